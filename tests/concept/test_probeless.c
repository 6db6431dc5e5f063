/* Probeless ranking is NeuroX's: the worked example of protocol §6.1 and NeuroX's own float32 numbers, bit for bit;
 * ties and NaN as documented; contrast against a plain loop. LABELS: unit golden */
#include "concept_support.h"

static const float X[] = {1, 0, 2, 0, 0, 1, 2, 1, 3, 1, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1};
static const int32_t y[] = {0, 1, 0, 2, 1};

static void assert_order(const double *score, const int32_t *expected, int n)
{
    int32_t order[8], rank[8];
    rl_error err = {0};
    assert_ok(rl_rank_neurons(order, rank, score, n, true, &err), err);
    for (int i = 0; i < n; i++) {
        assert_int_equal(order[i], expected[i]);
        assert_int_equal(rank[expected[i]], i);
    }
}

static void check_worked_example(bool faithful)
{
    static const float means[] = {2, .5f, 1, 0, 0, .5f, 1.5f, 1, 1, 1, 2, 2};
    static const double scores[3][4] = {{3, .5, 1.5, 3}, {3, .5, 1, 2}, {2, 1, 1.5, 3}};
    static const int32_t orders[4][4] = {{3, 0, 2, 1}, {0, 3, 2, 1}, {3, 0, 2, 1}, {3, 0, 2, 1}};
    float found[12];
    double score[4];
    int64_t counts[3];
    rl_error err = {0};
    assert_ok(rl_class_means(found, counts, X, y, 5, 4, 3, faithful, &err), err);
    assert_memory_equal(found, means, sizeof means);
    assert_true(counts[0] == 2 && counts[1] == 2 && counts[2] == 1);
    for (int tag = 0; tag < 3; tag++) {
        rl_probeless_scores(score, found, 4, 3, tag);
        assert_memory_equal(score, scores[tag], sizeof score);
        assert_order(score, orders[tag], 4);
    }
    rl_probeless_scores(score, found, 4, 3, -1);
    assert_order(score, orders[3], 4);
}

static void test_worked_example(void **state)
{
    (void)state;
    check_worked_example(true);
    check_worked_example(false);
}

/* The golden that §6.1 and §11 share. */
static void test_two_hundred_words(void **state)
{
    static const double expected[] = {.0192461, .0206393, .511184, .0225816, .0309613, .00667165};
    static const int32_t order[] = {2, 4, 3, 1, 0, 5};
    float wave[200 * 6], means[12];
    int32_t class[200];
    int64_t counts[2];
    double score[6];
    rl_error err = {0};
    (void)state;
    for (int t = 0; t < 200; t++) {
        class[t] = t % 9 == 0;
        for (int n = 0; n < 6; n++)
            wave[t * 6 + n] = (float)(sin(.013 * (t + 1) * (n + 1) + n) + (t % 9 == 0 && n == 2 ? .5 : 0));
    }
    assert_ok(rl_class_means(means, counts, wave, class, 200, 6, 2, true, &err), err);
    rl_probeless_scores(score, means, 6, 2, 1);
    for (int n = 0; n < 6; n++) assert_close(score[n], expected[n], 1e-5, 0);
    assert_order(score, order, 6);
}

/* Class ids of the golden are in first-occurrence order already when mapped through class_order. */
static void test_neurox_to_the_bit(void **state)
{
    json_t *golden = read_golden("golden/concept/neurox.json"), *classes = member(golden, "class_order");
    fixed_matrix m =
        make_fixed_matrix(integer_of(golden, "W"), integer_of(golden, "C"), (int32_t)integer_of(golden, "types"));
    int32_t K = (int32_t)json_array_size(classes), class_of[8];
    float means[8 * 32];
    int64_t counts[8];
    double score[32];
    rl_error err = {0};
    (void)state;
    assert_true(K == 4);
    for (int32_t k = 0; k < K; k++) class_of[(int)number_at(classes, k)] = k;
    for (int64_t w = 0; w < m.W; w++) m.label[w] = class_of[m.label[w]];
    assert_ok(rl_class_means(means, counts, m.X, m.label, m.W, m.C, K, true, &err), err);
    for (int64_t i = 0; i < K * m.C; i++)
        assert_same(means[i], number_at(json_array_get(member(golden, "class_means"), (size_t)(i / m.C)), i % m.C));
    for (int32_t k = 0; k < K; k++) {
        char tag[8];
        snprintf(tag, sizeof tag, "%d", (int)number_at(classes, k));
        rl_probeless_scores(score, means, m.C, K, k);
        for (int64_t c = 0; c < m.C; c++)
            assert_same(score[c], number_at(member(member(golden, "tag_scores"), tag), c));
    }
    rl_probeless_scores(score, means, m.C, K, -1);
    for (int64_t c = 0; c < m.C; c++) assert_same(score[c], number_at(member(golden, "overall"), c));
    free_fixed_matrix(&m);
    json_decref(golden);
}

static void test_ties(void **state)
{
    static const double score[] = {1, 2, 1, 2, 1};
    static const int32_t larger_first[] = {3, 1, 4, 2, 0}, smaller_first[] = {1, 3, 0, 2, 4};
    int32_t order[5];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_rank_neurons(order, NULL, score, 5, true, &err), err);
    assert_memory_equal(order, larger_first, sizeof order);
    assert_ok(rl_rank_neurons(order, NULL, score, 5, false, &err), err);
    assert_memory_equal(order, smaller_first, sizeof order);
}

static void test_nan_is_a_diverged_run(void **state)
{
    const double score[] = {1, NAN};
    int32_t order[2] = {7, 7};
    rl_error err = {0};
    (void)state;
    assert_fails(rl_rank_neurons(order, NULL, score, 2, false, &err), RL_ERR_DIVERGED, err, "neuron 1 is not a number");
    assert_int_equal(order[0], 7);
}

static void test_a_class_without_words_is_refused(void **state)
{
    float means[16];
    int64_t counts[4] = {9, 9, 9, 9};
    rl_error err = {0};
    (void)state;
    assert_fails(rl_class_means(means, counts, X, y, 5, 4, 4, true, &err), RL_ERR_INPUT, err, "class 3 has no word");
    assert_true(counts[0] == 9);
}

/* Difference of means and Cohen's d, from the definition. */
static void test_contrast(void **state)
{
    fixed_matrix m = make_fixed_matrix(501, 20, 60);
    double difference[20], effect[20];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_contrast(difference, effect, m.X, m.label, 2, m.W, m.C, &err), err);
    for (int64_t c = 0; c < m.C; c++) {
        double sum[2] = {0}, n[2] = {0}, squares = 0;
        for (int64_t w = 0; w < m.W; w++) sum[m.label[w] == 2] += m.X[w * m.C + c], n[m.label[w] == 2]++;
        for (int64_t w = 0; w < m.W; w++) {
            int group = m.label[w] == 2;
            squares += pow(m.X[w * m.C + c] - sum[group] / n[group], 2);
        }
        double expected = sum[1] / n[1] - sum[0] / n[0], sd = sqrt(squares / (double)(m.W - 2));
        assert_close(difference[c], expected, 1e-12, 1e-14);
        if (c == 7)
            assert_same(effect[c], 0); /* a channel without spread */
        else if (c != 3)
            assert_close(effect[c], expected / sd, 1e-9, 0);
    }
    free_fixed_matrix(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_two_hundred_words),
        cmocka_unit_test(test_neurox_to_the_bit),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_nan_is_a_diverged_run),
        cmocka_unit_test(test_a_class_without_words_is_refused),
        cmocka_unit_test(test_contrast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
