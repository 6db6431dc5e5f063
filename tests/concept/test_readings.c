/* Readings of neuron tables, curves and activations: worked by hand, and CKA and Spearman as numpy and scipy compute
 * them. LABELS: unit golden */
#include "concept_support.h"


static void test_shares_over_layers(void **state)
{
    static const double values[] = {1, NAN, -1, 0, 0, 0, 3, 3}; /* four layers of two */
    static const double even[] = {.25, .25, .25, .25}, nothing[] = {NAN, 0, 0, NAN}, one[] = {0, 0, 1, 0};
    double share[4];
    (void)state;
    rl_layer_shares(share, values, 4, 2);
    assert_same(share[0], .125);
    assert_same(share[1], .125);
    assert_same(share[2], 0);
    assert_same(share[3], .75);
    assert_close(rl_share_entropy(share, 4), -(.25 * log(.125) + .75 * log(.75)) / log(4), 1e-14, 0);
    assert_close(rl_share_centre(share, 4), .125 + 3 * .75, 1e-14, 0);
    assert_close(rl_share_entropy(even, 4), 1, 1e-14, 0);
    assert_same(rl_share_entropy(one, 4), 0);
    assert_true(isnan(rl_share_entropy(one, 1)));
    rl_layer_shares(share, nothing, 4, 1);
    assert_true(isnan(share[0]) && isnan(rl_share_entropy(share, 4)) && isnan(rl_share_centre(share, 4)));
}

static void test_recovery_curves(void **state)
{
    static const double t[] = {0, 10, 30}, rising[] = {0, .4, .8}, never[] = {0, .3, .49}, lost[] = {0, NAN, .9},
                        just[] = {0, .3, .5};
    bool censored = true;
    (void)state;
    assert_close(rl_recovery_half_life(t, rising, 3, &censored), 15, 1e-12, 0); /* 10 + 20 * .1 / .4 */
    assert_false(censored);
    assert_close(rl_recovery_area(t, rising, 3), (10 * .2 + 20 * .6) / 30, 1e-14, 0);
    assert_true(isnan(rl_recovery_half_life(t, never, 3, &censored)) && censored);
    assert_true(isnan(rl_recovery_half_life(t, lost, 3, &censored)) && censored);
    assert_same(rl_recovery_half_life(t, just, 3, &censored), 30); /* half is half */
    assert_false(censored);
    assert_same(rl_recovery_half_life(t, rising + 2, 1, &censored), 0); /* already there */
    assert_false(censored);
    assert_true(isnan(rl_recovery_area(t, rising, 1)));
}

/* --------------------------------------------------------------------------------------------- words of a neuron */

static const float vectors[] = {1, 0, 0, 2, -3, 0, 0, 0, 1, 1}; /* five word types; the fourth has none */

static void test_spread(void **state)
{
    static const int32_t words[] = {0, 1, 2, 3, -1}, alike[] = {0, 0, -1, -1, -1}, alone[] = {1, 3, -1, -1, -1};
    (void)state;
    assert_close(rl_word_spread(vectors, 2, words, 5), (1 + 2 + 1) / 3.0, 1e-14, 0); /* 0-1, 0-2, 1-2; not 3 */
    assert_close(rl_word_spread(vectors, 2, alike, 5), 0, 0, 1e-14);
    assert_true(isnan(rl_word_spread(vectors, 2, alone, 5)));
}

static void test_centroid(void **state)
{
    static const uint8_t concept[] = {1, 1, 0, 1, 0}, none[5] = {0};
    static const int32_t words[] = {4, 4, -1}, empty[] = {-1, -1, -1}, zero[] = {3, -1, -1};
    double centroid[2];
    (void)state;
    rl_concept_centroid(centroid, vectors, 2, concept, 5);
    assert_same(centroid[0], .5); /* the mean of (1, 0) and (0, 2): the fourth type has no vector */
    assert_same(centroid[1], 1);
    assert_close(rl_centroid_similarity(vectors, centroid, 2, words, 3), 1.5 / sqrt(2 * 1.25), 1e-14, 0);
    assert_true(isnan(rl_centroid_similarity(vectors, centroid, 2, empty, 3)));
    assert_same(rl_centroid_similarity(vectors, centroid, 2, zero, 3), 0);
    rl_concept_centroid(centroid, vectors, 2, none, 5);
    assert_same(centroid[0] + centroid[1], 0);
}

/* Types a and b are the concept (b in two of three places, d in one of two: not more than half). The neuron had {a, c}; now it has
 * {a, b, d}. */
static void test_old_and_new_words(void **state)
{
    int32_t word[] = {0, 1, 1, 1, 2, 3, 3}, class[] = {1, 1, 1, 0, 0, 0, 1}, before[] = {0, 2, -1}, now[] = {0, 1, 3};
    rl_corpus corpus = {.num_words = 7, .word = word};
    rl_concept_data data = {.corpus = &corpus, .word_class = class, .num_classes = 2, .positive_class = 1};
    rl_neuron_table *t = NULL, *base = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_names_create(&corpus.words, &err), err);
    for (int32_t i = 0, id; i < 4; i++) assert_ok(rl_names_intern(corpus.words, &"abcd"[i], 1, &id, &err), err);
    assert_ok(rl_neuron_table_create(&t, 1, 1, 3, &err), err);
    assert_ok(rl_neuron_table_create(&base, 1, 1, 3, &err), err);
    memcpy(t->top_word, now, sizeof now);
    memcpy(base->top_word, before, sizeof before);
    assert_ok(rl_read_top_words(t, &data, base, NULL, 0, &err), err);
    assert_close(t->old_share[0], 1 / 3.0, 1e-14, 0);
    assert_close(t->new_share[0], 1 / 3.0, 1e-14, 0);
    assert_close(t->concept_share[0], 2 / 3.0, 1e-14, 0);
    assert_true(isnan(t->spread[0]) && isnan(t->concept_similarity[0]));
    assert_ok(rl_read_top_words(base, &data, NULL, NULL, 0, &err), err);
    assert_same(base->old_share[0], 1);
    assert_same(base->new_share[0], 0);
    assert_same(base->concept_share[0], .5);
    rl_neuron_table_free(t);
    rl_neuron_table_free(base);
    rl_names_free(corpus.words);
}

/* ------------------------------------------------------------------------------------------------- agreement */

static void test_spearman(void **state)
{
    json_t *golden = read_golden(TINY "/finders.json"), *one = member(golden, "spearman");
    double x[42], y[42], rho = 7;
    uint8_t use[42];
    rl_error err = {0};
    (void)state;
    for (int i = 0; i < 40; i++)
        x[i] = number_at(member(one, "x"), i), y[i] = number_at(member(one, "y"), i), use[i] = 1;
    x[40] = NAN, y[40] = 99, use[40] = 1; /* neither a NaN nor what is left out counts */
    x[41] = 99, y[41] = -99, use[41] = 0;
    assert_ok(rl_spearman(&rho, x, y, use, 42, &err), err);
    assert_close(rho, json_real_value(member(one, "rho")), 1e-12, 0);
    assert_ok(rl_spearman(&rho, x, y, NULL, 1, &err), err);
    assert_true(isnan(rho));
    for (int i = 0; i < 40; i++) y[i] = 3;
    assert_ok(rl_spearman(&rho, x, y, NULL, 40, &err), err);
    assert_true(isnan(rho));
    json_decref(golden);
}

static void test_rankings(void **state)
{
    static const int32_t a[] = {0, 1, 2, 3, 4}, b[] = {1, 0, 4, 3, 2}, reversed[] = {4, 3, 2, 1, 0};
    (void)state;
    assert_close(rl_rank_correlation(a, b, 5), 1 - 6 * 10.0 / 120, 1e-14, 0);
    assert_close(rl_rank_correlation(a, reversed, 5), -1, 1e-14, 0);
    assert_same(rl_rank_overlap(a, b, 5, 2), 1);
    assert_same(rl_rank_overlap(a, b, 5, 1), 0);
    assert_same(rl_rank_overlap(a, reversed, 5, 3), 1 / 3.0);
}

/* ------------------------------------------------------------------------------------------------------- CKA */

typedef struct kept {
    float *X; /* [L+1, W, C] */
} kept;

static rl_status keep_layer(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    (void)err;
    memcpy(((kept *)context)->X + layer * W * C, X, (size_t)(W * C) * sizeof *X);
    return RL_OK;
}

/* Every layer against every other, of every third word, as numpy's n x n kernels give it: float32 products, 1e-5. */
static void test_cka(void **state)
{
    small s = load_small();
    json_t *golden = read_golden(TINY "/finders.json");
    int64_t W = s.data->encoded->num_words, C = 16, n = (W + 2) / 3;
    kept all = {calloc((size_t)(4 * W * C), sizeof(float))};
    float *rows = calloc((size_t)(4 * n * C), sizeof *rows);
    double cka = 7;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_activations_visit(s.model, s.data->encoded, keep_layer, &all, &err), err);
    for (int64_t l = 0; l < 4; l++)
        for (int64_t i = 0; i < n; i++)
            memcpy(rows + (l * n + i) * C, all.X + (l * W + 3 * i) * C, (size_t)C * sizeof *rows);
    for (int64_t i = 0; i < 4; i++)
        for (int64_t j = 0; j < 4; j++) {
            assert_ok(rl_linear_cka(&cka, rows + i * n * C, rows + j * n * C, n, C, C, &err), err);
            assert_close(cka, number_at(json_array_get(member(golden, "cka"), (size_t)i), j), 0, 1e-5);
        }
    free(all.X);
    free(rows);
    json_decref(golden);
    free_small(&s);
}

/* Off-diagonal of X X' in double. */
static void naive_kernel(double K[6][6], const float *X, int C)
{
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            K[i][j] = 0;
            for (int c = 0; c < C && i != j; c++) K[i][j] += (double)X[i * C + c] * (double)X[j * C + c];
        }
}

/* Song et al. 2012, eq. 5, term by term for n = 6. */
static double naive_hsic(double K[6][6], double L[6][6])
{
    double trace = 0, k = 0, l = 0, kl = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            trace += K[i][j] * L[j][i], k += K[i][j], l += L[i][j];
            for (int m = 0; m < 6; m++) kl += K[i][m] * L[m][j];
        }
    return (trace + k * l / (5 * 4) - 2 / 4.0 * kl) / (6 * 3);
}

static void test_cka_of_six_words(void **state) /* few enough that every 1 in the formula shows */
{
    float X[6 * 3], Y[6 * 2];
    double K[6][6], L[6][6], cka;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    for (int i = 0; i < 18; i++) X[i] = (float)sin(3.0 * i) + 0.5f;
    for (int i = 0; i < 12; i++) Y[i] = X[i / 2 * 3] + (float)cos(5.0 * i);
    naive_kernel(K, X, 3);
    naive_kernel(L, Y, 2);
    assert_ok(rl_linear_cka(&cka, X, Y, 6, 3, 2, &err), err);
    assert_close(cka, naive_hsic(K, L) / sqrt(naive_hsic(K, K) * naive_hsic(L, L)), 0, 1e-5);
}

static rl_word_states *states_of(const rl_model *model, const rl_concept_data *data, const int64_t *positions, int64_t count)
{
    rl_word_states *states = NULL;
    rl_error err = {0};
    assert_ok(rl_word_states_create(&states, &model->config, positions, count, &err), err);
    assert_ok(rl_word_states_fill(states, model, data->encoded, &err), err);
    return states;
}

static void test_cka_of_a_model_with_itself_and_a_pruned_one(void **state)
{
    small s = load_small();
    rl_model *pruned = NULL;
    int64_t *positions = NULL, n = 0;
    double same[4], changed[4], bad[4] = {7, 7, 7, 7};
    const int64_t beyond[] = {0, 1, 2, 9999};
    rl_error err = {0};
    (void)state;
    assert_ok(rl_model_copy(&pruned, s.model, &err), err);
    for (int c = 0; c < 10; c++) pruned->weights[rl_model_norm_of_hidden_state(pruned, 2).gamma + c] = 0;
    assert_ok(rl_choose_positions(&positions, &n, s.data, 100, 1, &err), err);
    rl_word_states *base = states_of(s.model, s.data, positions, n), *after = states_of(pruned, s.data, positions, n);
    assert_ok(rl_cka_by_layer(same, base, base, &err), err);
    assert_ok(rl_cka_by_layer(changed, after, base, &err), err);
    for (int l = 0; l < 4; l++) assert_close(same[l], 1, 1e-12, 0);
    assert_close(changed[0], 1, 1e-12, 0);
    assert_close(changed[1], 1, 1e-12, 0);
    assert_true(changed[2] < 0.95 && changed[3] < 0.999);
    rl_word_states *three = states_of(s.model, s.data, beyond, 3), *outside = NULL;
    assert_fails(rl_cka_by_layer(bad, three, three, &err), RL_ERR_INPUT, err, "at least 4 positions; got 3");
    assert_same(bad[0], 7);
    assert_ok(rl_word_states_create(&outside, &s.model->config, beyond, 4, &err), err);
    assert_fails(rl_word_states_fill(outside, s.model, s.data->encoded, &err), RL_ERR_INPUT, err, "position 9999 does not exist");
    rl_word_states_free(base);
    rl_word_states_free(after);
    rl_word_states_free(three);
    rl_word_states_free(outside);
    rl_free(positions);
    rl_model_free(pruned);
    free_small(&s);
}

static void test_positions(void **state)
{
    small s = load_small();
    json_t *golden = read_golden(TINY "/finders.json");
    int64_t *positions = NULL, n = 0, concept = 0, all = integer_of(golden, "concept");
    rl_error err = {0};
    (void)state;
    for (int64_t limit = 20; limit <= 2000; limit *= 10, concept = 0) {
        assert_ok(rl_choose_positions(&positions, &n, s.data, limit, 1, &err), err);
        for (int64_t i = 0; i < n; i++) {
            assert_true(i == 0 || positions[i] > positions[i - 1]);
            concept += s.data->word_class[positions[i]];
        }
        if (limit == 20) assert_true(n == 20 && concept == 10);
        if (limit == 200) assert_true(n == 200 && concept == all); /* fewer than half there are */
        if (limit == 2000) assert_true(n == s.data->encoded->num_words && concept == all);
        rl_free(positions);
    }
    json_decref(golden);
    free_small(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_over_layers),
        cmocka_unit_test(test_recovery_curves),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_centroid),
        cmocka_unit_test(test_old_and_new_words),
        cmocka_unit_test(test_spearman),
        cmocka_unit_test(test_rankings),
        cmocka_unit_test(test_cka),
        cmocka_unit_test(test_cka_of_six_words),
        cmocka_unit_test(test_cka_of_a_model_with_itself_and_a_pruned_one),
        cmocka_unit_test(test_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
