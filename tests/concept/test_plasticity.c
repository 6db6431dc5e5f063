/* Tables per layer: protocol §12's large synthetic golden, made there by the authors' own functions. */
#include "concept_support.h"

enum { LAYERS = 7, C = 768, N = LAYERS * C };

typedef struct synthetic {
    int32_t base_order[N], stage_order[N];
    uint8_t null[N];
    double similarity[N];
} synthetic;

/* base ids = (4391 rho + 7) mod 5376, stage 4 ids = (1231 rho + 3) mod 5376, null iff id mod 5 = 0, word sets equal iff
 * id mod 11 = 0. */
static synthetic *make_synthetic(void)
{
    synthetic *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < N; i++) {
        s->base_order[i] = (4391 * i + 7) % N;
        s->stage_order[i] = (1231 * i + 3) % N;
        s->null[i] = i % 5 == 0;
        s->similarity[i] = i % 11 == 0 ? NAN : 37 * i % 101 / 100.0;
    }
    return s;
}

static void fill_saliency(double *saliency, const int32_t *order, const uint8_t *null, double T)
{
    for (int i = 0; i < N; i++) saliency[order[i]] = null[order[i]] ? NAN : rl_saliency_binned(i, T);
}

static void assert_counts(const double *saliency, const int *expected)
{
    for (int l = 0; l < LAYERS; l++) {
        int count = 0;
        for (int c = 0; c < C; c++) count += saliency[l * C + c] > .5;
        assert_int_equal(count, expected[l]);
    }
}

static void assert_percents(const double *saliency, const double *expected)
{
    double percent[LAYERS];
    rl_redistribution(percent, saliency, LAYERS, C);
    for (int l = 0; l < LAYERS; l++) assert_same(percent[l], expected[l]); /* rounded to 3 decimals, so equal */
}

static void test_redistribution_of_the_base(void **state)
{
    static const int counts4608[] = {261, 263, 264, 262, 263, 263, 264},
                     counts5376[] = {306, 310, 309, 307, 309, 310, 307};
    static const double percent4608[] = {14.185, 14.293, 14.348, 14.239, 14.293, 14.293, 14.348};
    synthetic *s = make_synthetic();
    double saliency[N];
    (void)state;
    fill_saliency(saliency, s->base_order, s->null, 4608);
    assert_counts(saliency, counts4608);
    assert_percents(saliency, percent4608);
    fill_saliency(saliency, s->base_order, s->null, 5376);
    assert_counts(saliency, counts5376);
    free(s);
}

static void test_redistribution_after_retraining(void **state)
{
    static const int counts[] = {147, 149, 148, 148, 150, 147, 150};
    static const double percent[] = {14.148, 14.341, 14.244, 14.244, 14.437, 14.148, 14.437};
    synthetic *s = make_synthetic();
    double saliency[N], without_null[N];
    int kept = 0, differ = 0;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_filter_ablated_saliency(saliency, s->base_order, s->stage_order, s->null, N, &err), err);
    assert_counts(saliency, counts);
    assert_percents(saliency, percent);
    assert_ok(rl_filter_ablated_saliency(without_null, s->base_order, s->stage_order, NULL, N, &err), err);
    for (int i = 0; i < N; i++) {
        kept += !isnan(without_null[i]);
        differ += !isnan(saliency[i]) && saliency[i] != without_null[i];
    }
    assert_int_equal(kept, N / 2);
    assert_int_equal(differ, 0); /* null neurons keep their row: the others' values do not move */
    free(s);
}

/* The golden prints 6 digits. */
static void assert_layers(const double *values, bool nan_as_zero, double mean0, double error0, double mean6,
                          double error6)
{
    double mean[LAYERS], sd[LAYERS], error[LAYERS];
    rl_layer_means(mean, sd, error, values, LAYERS, C, nan_as_zero);
    assert_close(mean[0], mean0, 0, 6e-7);
    assert_close(error[0], error0, 0, 6e-8);
    assert_close(mean[6], mean6, 0, 6e-7);
    assert_close(error[6], error6, 0, 6e-8);
}

static void assert_sd(const double *values, double sd0, double sd6)
{
    double mean[LAYERS], sd[LAYERS], error[LAYERS];
    rl_layer_means(mean, sd, error, values, LAYERS, C, true);
    assert_close(sd[0], sd0, 0, 6e-7);
    assert_close(sd[6], sd6, 0, 6e-7);
}

static void test_mean_saliency(void **state)
{
    synthetic *s = make_synthetic();
    double saliency[N];
    (void)state;
    fill_saliency(saliency, s->base_order, s->null, 4608);
    assert_layers(saliency, true, .352268, .0231258, .353265, .0231718);
    assert_sd(saliency, .326774, .327423);
    fill_saliency(saliency, s->base_order, s->null, 5376);
    assert_layers(saliency, true, .398756, .0233292, .398990, .0234044);
    assert_sd(saliency, .329647, .330709);
    fill_saliency(saliency, s->stage_order, s->null, 4608);
    assert_layers(saliency, false, .443109, .0244181, .444277, .0244590);
    fill_saliency(saliency, s->stage_order, s->null, 5376);
    assert_layers(saliency, false, .500591, .0233129, .502584, .0232568);
    free(s);
}

static void test_mean_similarity_and_regression_rows(void **state)
{
    static const double first[3][2] = {{.0683230, .37}, {.0647737, .74}, {1, .1}};
    synthetic *s = make_synthetic();
    double saliency[N], sum[2] = {0};
    int rows = 0;
    (void)state;
    assert_layers(s->similarity, false, .501619, .0216036, .498209, .0217015);
    fill_saliency(saliency, s->stage_order, s->null, 4608);
    for (int i = 0; i < N; i++) {
        if (isnan(saliency[i]) || isnan(s->similarity[i])) continue;
        if (rows < 3) {
            assert_close(saliency[i], first[rows][0], 0, 6e-8);
            assert_close(s->similarity[i], first[rows][1], 0, 1e-12);
        }
        sum[0] += saliency[i];
        sum[1] += s->similarity[i];
        rows++;
    }
    assert_int_equal(rows, 3909);
    assert_close(sum[0] / rows, .443133, 0, 6e-7);
    assert_close(sum[1] / rows, .500368, 0, 6e-7);
    free(s);
}

static void test_small_example_and_nan_rules(void **state)
{
    const double values[] = {.2, .4, .9, 1, .2, NAN, .4, NAN, NAN, NAN, NAN, NAN, 3, NAN, NAN, NAN};
    double mean[4], sd[4], error[4];
    (void)state;
    rl_layer_means(mean, sd, error, values, 4, 4, false);
    assert_close(mean[0], .625, 1e-15, 0);
    assert_close(sd[0], .3344772040064913, 1e-14, 0); /* np.std */
    assert_close(error[0], .378490, 0, 6e-7);
    assert_close(error[0] / 1.959963984540054, .193111, 0, 6e-7); /* scipy.stats.sem */
    assert_close(mean[1], .3, 1e-15, 0);
    assert_true(isnan(mean[2]) && isnan(sd[2]) && isnan(error[2]));
    assert_true(mean[3] == 3 && sd[3] == 0 && isnan(error[3]));
    rl_layer_means(mean, sd, error, values, 4, 4, true);
    assert_close(mean[1], .15, 1e-15, 0);
    assert_true(mean[2] == 0 && sd[2] == 0 && error[2] == 0);
}

static void test_centre_of_mass_and_recovery(void **state)
{
    static const float values[] = {1, -1, 0, 0, 3, -3}, nothing[] = {0, 0, 0, 0};
    (void)state;
    assert_close(rl_centre_of_mass(values, 3, 2), 2 * 6 / 8.0, 1e-15, 0);
    assert_true(isnan(rl_centre_of_mass(nothing, 2, 2)));
    assert_close(rl_recovered_fraction(.7, .9, .1), .75, 1e-15, 0);
    assert_true(isnan(rl_recovered_fraction(.7, .9, .9)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redistribution_of_the_base),
        cmocka_unit_test(test_redistribution_after_retraining),
        cmocka_unit_test(test_mean_saliency),
        cmocka_unit_test(test_mean_similarity_and_regression_rows),
        cmocka_unit_test(test_small_example_and_nan_rules),
        cmocka_unit_test(test_centre_of_mass_and_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
