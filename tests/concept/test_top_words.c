/* Top words are NeuroX's: the worked examples of protocol §11 and §6.1, and NeuroX's own numbers, bit for bit, on a
 * fixed matrix. LABELS: unit golden */
#include "concept_support.h"

#define K 5

/* One neuron; words as ids. */
static void top_of_column(int32_t *word, double *score, float *mean, float *sd, const float *a, const int32_t *type,
                          int64_t W)
{
    rl_error err = {0};
    assert_ok(rl_top_words(word, score, mean, sd, a, type, 64, W, 1, K, &err), err);
}

static void assert_list(const int32_t *word, const double *score, const int32_t *expected, const double *values, int n)
{
    for (int i = 0; i < K; i++) {
        assert_int_equal(word[i], i < n ? expected[i] : -1);
        assert_same(score[i], i < n ? values[i] : 0.0);
    }
}

enum { THE, CAT, SAT, DOG, RAN, FAR };
static const int32_t two_sentences[] = {THE, CAT, SAT, THE, DOG, RAN, FAR};

static void test_scores_of_the_worked_example(void **state)
{
    static const float a[] = {.1f, 2, -1.5f, .3f, 2, .2f, .1f};
    static const int32_t words[] = {SAT, CAT, DOG, FAR, RAN};
    static const double scores[] = {1, .78832121359821, .78832121359821, .18248173436771653, .1313868545947686};
    int32_t word[K];
    double score[K];
    float mean, sd;
    (void)state;
    top_of_column(word, score, &mean, &sd, a, two_sentences, 7);
    assert_list(word, score, words, scores, 5);
    assert_same(mean, .45714283f);
    assert_same(sd, 1.1299268f);
}

static void test_equal_scores_keep_the_order_of_first_occurrence(void **state)
{
    static const float a[] = {1, -1, 0, 1, 1, -1, -1};
    static const int32_t in_order[] = {THE, CAT, DOG, RAN, FAR}, other_ids[] = {9, 4, 3, 9, 2, 1, 0},
                         renamed[] = {9, 4, 2, 1, 0};
    static const double ones[] = {1, 1, 1, 1, 1};
    int32_t word[K];
    double score[K];
    (void)state;
    top_of_column(word, score, NULL, NULL, a, two_sentences, 7);
    assert_list(word, score, in_order, ones, 5);
    top_of_column(word, score, NULL, NULL, a, other_ids, 7); /* the order of ids does not matter */
    assert_list(word, score, renamed, ones, 5);
}

static void test_low_scores_are_filtered_strictly_above_a_tenth(void **state)
{
    static const float a[] = {.1f, .1f, .1f, .1f, 0, .1f, .1f};
    static const int32_t words[] = {DOG, THE, CAT, SAT, RAN};
    static const double scores[] = {1, .1666666585555014, .1666666585555014, .1666666585555014, .1666666585555014};
    /* mean 0, mean square 204 / 51 = 4: z is exactly half the value, and 1 is exactly a tenth of 10: not above it */
    static const float tenth[51] = {10, -10, 1, -1, 1, -1};
    static const int32_t types[] = {0, 1, 2, 3, 2, 3}, kept[] = {0, 1};
    static const double ones[] = {1, 1};
    int32_t word[K], type[51];
    double score[K];
    float sd;
    (void)state;
    top_of_column(word, score, NULL, NULL, a, two_sentences, 7);
    assert_list(word, score, words, scores, 5);
    for (int w = 0; w < 51; w++) type[w] = w < 6 ? types[w] : 4;
    top_of_column(word, score, NULL, &sd, tenth, type, 51);
    assert_same(sd, 2);
    assert_list(word, score, kept, ones, 2);
}

static void test_constant_channels(void **state)
{
    static const float off[] = {.1f, .1f, .1f, .1f, .1f, .1f, .1f}, exact[] = {.5f, .5f, .5f, .5f, .5f, .5f, .5f};
    static const int32_t first_five[] = {THE, CAT, SAT, DOG, RAN};
    static const double ones[] = {1, 1, 1, 1, 1};
    int32_t word[K];
    double score[K];
    float mean, sd;
    (void)state;
    top_of_column(word, score, &mean, &sd, off, two_sentences, 7);
    assert_close(fabs((double)mean - (double).1f), 7.45e-9, 1e-2,
                 0); /* the mean is one rounding off, so every z is 1 */
    assert_list(word, score, first_five, ones, 5);
    top_of_column(word, score, &mean, &sd, exact, two_sentences, 7);
    assert_same(sd, 0);
    assert_list(word, score, NULL, NULL, 0); /* NaN scores: an empty list */
}

/* The golden that §6.1 and §11 share. */
static void test_two_hundred_words(void **state)
{
    static const int32_t words0[] = {0, 7, 14, 21, 28}, words2[] = {31, 15, 24, 26, 13};
    static const double scores0[] = {1, .993331, .986493, .979490, .972320},
                        scores2[] = {1, .972151, .944166, .913594, .899458};
    float X[200 * 6];
    int32_t type[200], word[6 * K];
    double score[6 * K];
    rl_error err = {0};
    (void)state;
    for (int t = 0; t < 200; t++) {
        type[t] = 7 * t % 37;
        for (int n = 0; n < 6; n++)
            X[t * 6 + n] = (float)(sin(.013 * (t + 1) * (n + 1) + n) + (t % 9 == 0 && n == 2 ? .5 : 0));
    }
    assert_ok(rl_top_words(word, score, NULL, NULL, X, type, 37, 200, 6, K, &err), err);
    for (int i = 0; i < K; i++) {
        assert_int_equal(word[0 * K + i], words0[i]);
        assert_close(score[0 * K + i], scores0[i], 0, 6e-7);
        assert_int_equal(word[2 * K + i], words2[i]);
        assert_close(score[2 * K + i], scores2[i], 0, 6e-7);
    }
}

static void check_column(const json_t *list, const int32_t *word, const double *score)
{
    int64_t n = (int64_t)json_array_size(list);
    for (int64_t i = 0; i < K; i++) {
        const json_t *pair = json_array_get(list, (size_t)i);
        assert_int_equal(word[i], i < n ? (int32_t)number_at(pair, 0) : -1);
        assert_same(score[i], i < n ? number_at(pair, 1) : 0.0);
    }
}

static void test_neurox_to_the_bit(void **state)
{
    json_t *golden = read_golden("golden/concept/neurox.json");
    fixed_matrix m =
        make_fixed_matrix(integer_of(golden, "W"), integer_of(golden, "C"), (int32_t)integer_of(golden, "types"));
    int32_t word[32 * K];
    double score[32 * K];
    float mean[32], sd[32];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_top_words(word, score, mean, sd, m.X, m.type, m.types, m.W, m.C, K, &err), err);
    for (int64_t c = 0; c < m.C; c++) {
        assert_same(mean[c], number_at(member(golden, "mean"), c));
        assert_same(sd[c], number_at(member(golden, "sd"), c));
        check_column(json_array_get(member(golden, "top_words"), (size_t)c), word + c * K, score + c * K);
    }
    free_fixed_matrix(&m);
    json_decref(golden);
}

static void test_numpys_float32_sum(void **state)
{
    json_t *golden = read_golden("golden/concept/neurox.json"), *value;
    fixed_matrix m =
        make_fixed_matrix(integer_of(golden, "W"), integer_of(golden, "C"), (int32_t)integer_of(golden, "types"));
    const char *length;
    (void)state;
    assert_true(json_object_size(member(golden, "sums")) == 8);
    json_object_foreach(member(golden, "sums"), length, value)
        assert_same(rl_pairwise_sum(m.X + 1, atoi(length), m.C), json_number_value(value));
    free_fixed_matrix(&m);
    json_decref(golden);
}

/* The walk by columns, whatever their number, gives what one column alone gives. */
static void test_columns_do_not_see_each_other(void **state)
{
    fixed_matrix m = make_fixed_matrix(777, 67, 90);
    int32_t word[67 * K], alone[K];
    double score[67 * K], alone_score[K];
    float column[777], mean[67];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_top_words(word, score, mean, NULL, m.X, m.type, m.types, m.W, m.C, K, &err), err);
    for (int64_t c = 0; c < m.C; c++) {
        for (int64_t w = 0; w < m.W; w++) column[w] = m.X[w * m.C + c];
        assert_ok(rl_top_words(alone, alone_score, NULL, NULL, column, m.type, m.types, m.W, 1, K, &err), err);
        assert_memory_equal(alone, word + c * K, sizeof alone);
        assert_memory_equal(alone_score, score + c * K, sizeof alone_score);
        assert_same(mean[c], rl_pairwise_sum(column, m.W, 1) / (float)m.W);
    }
    free_fixed_matrix(&m);
}

static void test_a_word_type_out_of_range_is_refused(void **state)
{
    static const float a[] = {1, 2};
    static const int32_t type[] = {0, 3};
    int32_t word[K] = {42};
    double score[K];
    rl_error err = {0};
    (void)state;
    assert_fails(rl_top_words(word, score, NULL, NULL, a, type, 3, 2, 1, K, &err), RL_ERR_INTERNAL, err, "word_type");
    assert_int_equal(word[0], 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_of_the_worked_example),
        cmocka_unit_test(test_equal_scores_keep_the_order_of_first_occurrence),
        cmocka_unit_test(test_low_scores_are_filtered_strictly_above_a_tenth),
        cmocka_unit_test(test_constant_channels),
        cmocka_unit_test(test_two_hundred_words),
        cmocka_unit_test(test_neurox_to_the_bit),
        cmocka_unit_test(test_numpys_float32_sum),
        cmocka_unit_test(test_columns_do_not_see_each_other),
        cmocka_unit_test(test_a_word_type_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
