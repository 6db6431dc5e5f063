/* The distribution functions, intervals and tests of stats say what scipy and statsmodels say.
 * LABELS: golden */
#include "golden_stats.h"

#include <cmocka.h>

static json_t *functions(void) { return json_object_get(golden(), "functions"); }

/* Each row: arguments, then the expected value. 1e-9 relative: scipy's own series differ by 1e-12 and less. */
static void test_distributions(void **state)
{
    json_t *row;
    size_t i;
    (void)state;
    json_array_foreach(list(functions(), "normal_quantile"), i, row)
        assert_close(rl_normal_quantile(item(row, 0)), item(row, 1), 1e-12, 1e-15);
    json_array_foreach(list(functions(), "student"), i, row)
        assert_close(rl_student_two_sided(item(row, 0), item(row, 1)), item(row, 2), 1e-9, 0);
    json_array_foreach(list(functions(), "student_critical"), i, row)
        assert_close(rl_student_critical(item(row, 0), item(row, 1)), item(row, 2), 1e-9, 0);
    json_array_foreach(list(functions(), "f"), i, row)
        assert_close(rl_f_upper(item(row, 0), item(row, 1), item(row, 2)), item(row, 3), 1e-9, 0);
    json_array_foreach(list(functions(), "noncentral_t"), i, row)
        assert_close(rl_noncentral_t_cdf(item(row, 0), item(row, 1), item(row, 2)), item(row, 3), 1e-9, 1e-13);
}

static void test_overlap_of_random_sets(void **state)
{
    json_t *row;
    size_t i;
    (void)state;
    json_array_foreach(list(functions(), "overlap"), i, row)
        assert_close(rl_overlap_upper((int64_t)item(row, 0), (int64_t)item(row, 1), (int64_t)item(row, 2), (int64_t)item(row, 3)),
                     item(row, 4), 1e-8, 1e-15);
    json_array_foreach(list(functions(), "jaccard_chance"), i, row)
        assert_close(rl_jaccard_chance((int64_t)item(row, 0), (int64_t)item(row, 1), (int64_t)item(row, 2)), item(row, 3), 1e-8, 0);
    assert_true(isnan(rl_jaccard_chance(10, 0, 0)));
}

static void test_power(void **state)
{
    json_t *row;
    size_t i;
    (void)state;
    json_array_foreach(list(functions(), "power"), i, row)
        assert_close(rl_paired_power(item(row, 0), (int64_t)item(row, 1), item(row, 2)), item(row, 3), 1e-7, 0);
    json_array_foreach(list(functions(), "pairs_needed"), i, row)
        assert_int_equal(rl_pairs_needed(item(row, 0), item(row, 1), 0.8), (int)item(row, 2));
    assert_int_equal(rl_pairs_needed(50, 0.05, 0.8), 6); /* whatever the effect, 5 flips cannot reach 0.05 */
    assert_int_equal(rl_pairs_needed(0, 0.05, 0.8), -1);
    assert_int_equal(rl_pairs_needed(1e-4, 0.05, 0.8), -1);
}

static void test_spearman(void **state)
{
    json_t *golden_rho = json_object_get(functions(), "spearman");
    int64_t n;
    double *a = reals(list(golden_rho, "a"), &n), *b = reals(list(golden_rho, "b"), &n), rho = 0, with_nan[32];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_spearman(&rho, a, b, NULL, n, &err), err);
    assert_close(rho, field(golden_rho, "rho"), 1e-12, 0);
    memcpy(with_nan, a, (size_t)n * sizeof *a);
    with_nan[n] = NAN; /* a null neuron is left out */
    b = rl_regrow(b, (size_t)n, (size_t)n + 1, sizeof *b, NULL);
    assert_ok(rl_spearman(&rho, with_nan, b, NULL, n + 1, &err), err);
    assert_close(rho, field(golden_rho, "rho"), 1e-12, 0);
    rl_free(a);
    rl_free(b);
}

static void test_sign_flip_counts_every_flip(void **state)
{
    json_t *entry;
    size_t i;
    (void)state;
    json_array_foreach(list(functions(), "sign_flip"), i, entry)
    {
        int64_t n;
        double *d = reals(list(entry, "d"), &n);
        rl_sign_flip test = rl_sign_flip_test(d, n);
        assert_close(test.p, field(entry, "p"), 1e-12, 0);
        assert_true(test.exact && test.draws == (int64_t)1 << n);
        assert_close(test.smallest, pow(2, 1 - (double)n), 1e-15, 0);
        rl_free(d);
    }
}

/* Beyond 20 pairs flips are drawn: all differences positive gives the smallest p there is, noise about 0 a large one. */
static void test_sign_flip_by_draws(void **state)
{
    double same[24], mixed[24];
    (void)state;
    for (int i = 0; i < 24; i++) same[i] = 1 + 0.01 * i, mixed[i] = i % 2 ? 1 + 0.001 * i : -1;
    rl_sign_flip a = rl_sign_flip_test(same, 24), b = rl_sign_flip_test(mixed, 24);
    assert_false(a.exact);
    assert_int_equal(a.draws, RL_STATS_FLIPS);
    assert_close(a.p, a.smallest, 0, 1e-4);
    assert_true(b.p > 0.5);
    double far[40];
    for (int i = 0; i < 40; i++) far[i] = 1 + i; /* no draw of 99,999 turns no sign: 2^-39 */
    assert_close(rl_sign_flip_test(far, 40).p, 1.0 / 100000, 1e-15, 0);
}

static void test_benjamini_hochberg(void **state)
{
    json_t *family = json_object_get(functions(), "benjamini_hochberg");
    int64_t n, m;
    double *p = reals(list(family, "p"), &n), *adjusted = rl_calloc((size_t)n + 1, sizeof *adjusted, NULL);
    rl_error err = {0};
    (void)state;
    p = rl_regrow(p, (size_t)n, (size_t)n + 1, sizeof *p, NULL);
    p[n] = NAN; /* no test, so not of the family */
    assert_ok(rl_benjamini_hochberg(adjusted, &m, p, n + 1, &err), err);
    assert_int_equal(m, n);
    for (int64_t i = 0; i < n; i++) assert_close(adjusted[i], item(list(family, "adjusted"), (size_t)i), 1e-12, 0);
    assert_true(isnan(adjusted[n]));
    rl_free(p);
    rl_free(adjusted);
}

/* Field notes D: a lone discovery at q = .05 needs p <= .05/m; in company less is enough. */
static void test_what_could_be_claimed(void **state)
{
    const double lone[] = {0.0078125, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95}, company[] = {0.0078125, 0.0078125, 0.5, 0.6, 0.7, 0.8, 0.9};
    (void)state;
    assert_true(rl_could_be_claimed(lone, 6, 0.5, 0.0078125, 0.05));  /* 8 seeds serve m <= 6 */
    assert_false(rl_could_be_claimed(lone + 1, 6, 0.5, 0.015625, 0.05));
    assert_false(rl_could_be_claimed(lone + 1, 6, 0.95, 0.0625, 0.05));
    assert_true(rl_could_be_claimed(company, 7, 0.5, 0.0078125, 0.05));
    assert_false(rl_could_be_claimed(company, 7, 0.5, 0.03125, 0.05));
}

/* All n^n resamples as draws, so scipy and we see the same distribution. */
static void test_bca_is_scipys(void **state)
{
    json_t *entry;
    size_t i;
    (void)state;
    json_array_foreach(list(functions(), "bca"), i, entry)
    {
        int64_t n, draws = 1;
        double *x = reals(list(entry, "sample"), &n), total = 0, low, high, jackknife[8];
        for (int64_t k = 0; k < n; k++) draws *= n, total += x[k];
        double *means = rl_calloc((size_t)draws, sizeof *means, NULL);
        for (int64_t b = 0; b < draws; b++) {
            int64_t code = b;
            for (int64_t k = 0; k < n; k++, code /= n) means[b] += x[code % n];
            means[b] /= (double)n;
        }
        for (int64_t k = 0; k < n; k++) jackknife[k] = (total - x[k]) / (double)(n - 1);
        rl_bca_interval(&low, &high, total / (double)n, means, draws, jackknife, n, 0.95);
        assert_close(low, field(entry, "low"), 1e-9, 1e-12);
        assert_close(high, field(entry, "high"), 1e-9, 1e-12);
        rl_free(means);
        rl_free(x);
    }
}

static void test_estimates_say_when_there_is_no_interval(void **state)
{
    rl_resampler *r = NULL;
    rl_estimate e;
    rl_error err = {0};
    const double one[] = {NAN, 0.5, NAN}, none[] = {NAN, INFINITY}, equal[] = {0.1, 0.1, 0.1}, three[] = {0.1, NAN, 0.2, 0.6};
    (void)state;
    assert_ok(rl_resampler_create(&r, &err), err);
    assert_ok(rl_estimate_mean(&e, r, one, 3, &err), err);
    assert_true(e.value == 0.5 && isnan(e.low) && isnan(e.high) && isnan(e.sd) && e.n == 1);
    assert_ok(rl_estimate_mean(&e, r, none, 2, &err), err);
    assert_true(isnan(e.value) && isnan(e.low) && e.n == 0);
    assert_ok(rl_estimate_mean(&e, r, equal, 3, &err), err);
    assert_true(e.value == 0.1 && e.low == 0.1 && e.high == 0.1 && e.sd == 0 && e.n == 3);
    assert_ok(rl_estimate_mean(&e, r, three, 4, &err), err);
    assert_close(e.value, 0.3, 1e-12, 0);
    assert_close(e.sd, 0.26457513110645907, 1e-12, 0);
    assert_true(e.n == 3 && e.low >= 0.1 && e.low < 0.3 && e.high > 0.3 && e.high <= 0.6);
    rl_resampler_free(r);
}

static void test_censored_median(void **state)
{
    json_t *entry;
    size_t i;
    rl_error err = {0};
    const double medians[] = {5, 3, NAN}; /* S: .875 .75 .6 .45 / .8 .6 .4 / 1 */
    (void)state;
    json_array_foreach(list(functions(), "survival"), i, entry)
    {
        int64_t n;
        double *time = reals(list(entry, "time"), &n), median, low, high;
        int8_t censored[16];
        for (int64_t k = 0; k < n; k++) censored[k] = (int8_t)item(list(entry, "censored"), (size_t)k);
        assert_ok(rl_median_life(&median, &low, &high, time, censored, n, &err), err);
        assert_same_or_nan(median, medians[i], 0, 0);
        assert_same_or_nan(low, field(entry, "low"), 0, 0);
        assert_same_or_nan(high, field(entry, "high"), 0, 0);
        rl_free(time);
    }
}

static void test_pairs_of_seeds(void **state)
{
    /* pairs of 3 seeds: .2 (0,1), .4 (0,2), .9 (1,2): leave-one-out .9, .4, .2; jackknife error sqrt(2/3 * .26) */
    const double values[9] = {NAN, 0.2, 0.4, NAN, NAN, 0.9}, two[4] = {NAN, 0.3};
    rl_estimate e;
    (void)state;
    rl_pair_mean(&e, values, 3);
    assert_close(e.value, 0.5, 1e-12, 0);
    assert_close(e.sd, sqrt(2.0 / 3 * 0.26), 1e-12, 0);
    assert_close(e.high - e.value, 4.302652729911275 * e.sd, 1e-9, 0);
    rl_pair_mean(&e, two, 2);
    assert_true(e.value == 0.3 && isnan(e.low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_overlap_of_random_sets),
        cmocka_unit_test(test_power),
        cmocka_unit_test(test_spearman),
        cmocka_unit_test(test_sign_flip_counts_every_flip),
        cmocka_unit_test(test_sign_flip_by_draws),
        cmocka_unit_test(test_benjamini_hochberg),
        cmocka_unit_test(test_what_could_be_claimed),
        cmocka_unit_test(test_bca_is_scipys),
        cmocka_unit_test(test_estimates_say_when_there_is_no_interval),
        cmocka_unit_test(test_censored_median),
        cmocka_unit_test(test_pairs_of_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
