/* Nightly's comparison: exact p-values counted by hand, intervals by formula, a real change flagged, unchanged nights left alone. */
#include "support.h"

#include "relearn/stats.h"

static void test_p_values_counted_by_hand(void **state)
{
    rl_error err = {0};
    int64_t moved = 0;
    const double before[] = {1, 2, 3, 4}, now[] = {10, 11}, same[] = {2, 3};
    (void)state;
    rl_drift d[] = {{.before = before, .num_before = 4, .now = now, .num_now = 2},
                    {.before = before, .num_before = 4, .now = same, .num_now = 2}};
    assert_ok(rl_drift_compare(d, 2, 0.2, &moved, &err), err);
    assert_close(d[0].p, 1.0 / 15, 1e-12, 0); /* of C(6,2) pairs only {10, 11} is as far out: {1, 2} is nearer */
    assert_close(d[0].smallest, 1.0 / 15, 1e-12, 0);
    assert_close(d[1].p, 1, 1e-12, 0); /* its sum is the expected one */
    assert_close(d[0].adjusted, 2.0 / 15, 1e-12, 0);
    assert_true(d[0].moved && !d[1].moved && d[0].exact);
    assert_int_equal(moved, 1);
    /* mean 2.5, s^2 = 5/3, t(0.975, 3) = 3.182446, sqrt(1/4 + 1/2) */
    assert_close(d[0].low, 2.5 - 3.182446305 * sqrt(5.0 / 3) * sqrt(0.75), 1e-6, 0);
    assert_close(d[0].high, 2.5 + 3.182446305 * sqrt(5.0 / 3) * sqrt(0.75), 1e-6, 0);
}

/* C(4, 2) = 6 splits, and each has its mirror image: no p is below 2/6. */
static void test_halves_have_a_mirror_image(void **state)
{
    rl_error err = {0};
    int64_t moved = 0;
    const double before[] = {1, 2}, now[] = {10, 11};
    rl_drift d = {.before = before, .num_before = 2, .now = now, .num_now = 2};
    (void)state;
    assert_ok(rl_drift_compare(&d, 1, 0.5, &moved, &err), err);
    assert_close(d.p, 2.0 / 6, 1e-12, 0);
    assert_close(d.smallest, 2.0 / 6, 1e-12, 0);
}

/* One earlier seed, 59 new ones: there are 60 splits, however many halves of 60 there are. */
static void test_few_splits_of_many_seeds_are_counted(void **state)
{
    rl_error err = {0};
    int64_t moved = 0;
    double now[59];
    const double before[] = {100};
    (void)state;
    for (int i = 0; i < 59; i++) now[i] = i;
    rl_drift d = {.before = before, .num_before = 1, .now = now, .num_now = 59};
    assert_ok(rl_drift_compare(&d, 1, 0.05, &moved, &err), err);
    assert_true(d.exact && d.moved);
    assert_close(d.p, 1.0 / 60, 1e-12, 0);
    assert_close(d.smallest, 1.0 / 60, 1e-12, 0);
}

static void test_empty_sides_say_nothing(void **state)
{
    rl_error err = {0};
    int64_t moved = 9;
    const double one[] = {0.5};
    (void)state;
    rl_drift d[] = {{.now = one, .num_now = 1}, {.before = one, .num_before = 1}, {.before = one, .num_before = 1, .now = one, .num_now = 1}};
    assert_ok(rl_drift_compare(d, 3, 0.05, &moved, &err), err);
    assert_int_equal(moved, 0);
    assert_true(isnan(d[0].p) && isnan(d[1].adjusted) && isnan(d[2].low));
    assert_close(d[2].p, 1, 0, 0);
}

static void test_many_seeds_are_sampled(void **state)
{
    rl_error err = {0};
    int64_t moved = 0;
    double before[60], now[20];
    (void)state;
    for (int i = 0; i < 60; i++) before[i] = rl_rng_normal(1, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)i);
    for (int i = 0; i < 20; i++) now[i] = 3 + rl_rng_normal(2, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)i);
    rl_drift d = {.before = before, .num_before = 60, .now = now, .num_now = 20};
    assert_ok(rl_drift_compare(&d, 1, 0.05, &moved, &err), err);
    assert_true(!d.exact && d.moved);
    assert_true(d.p == 1.0 / 100000); /* none of 99,999 splits is as far out; a p of 0 would be a claim that no draw can support */
    assert_true(d.smallest == d.p);
}

/* A folder lists its shards in any order: the same bits, drawn splits included. */
static void test_the_order_of_values_does_not_matter(void **state)
{
    rl_error err = {0};
    int64_t moved = 0;
    double before[60], now[20], before_back[60], now_back[20];
    (void)state;
    for (int i = 0; i < 60; i++) before_back[59 - i] = before[i] = rl_rng_normal(1, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)i);
    for (int i = 0; i < 20; i++) now_back[19 - i] = now[i] = 0.3 + rl_rng_normal(2, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)i);
    rl_drift d[] = {{.before = before, .num_before = 60, .now = now, .num_now = 20},
                    {.before = before_back, .num_before = 60, .now = now_back, .num_now = 20}};
    assert_ok(rl_drift_compare(d, 2, 0.05, &moved, &err), err);
    assert_true(!d[0].exact && d[0].p > 0.001);
    assert_true(d[0].p == d[1].p && d[0].mean_before == d[1].mean_before && d[0].mean_now == d[1].mean_now);
    assert_true(d[0].low == d[1].low && d[0].high == d[1].high);
}

/* Nights on which nothing changed, metrics that hang together as stages of one run do: any flag at all is a false one. */
static int false_flags(uint32_t nights, int num_metrics, int before, int now)
{
    enum { MOST = 16 };
    rl_error err = {0};
    int flagged = 0;
    for (uint32_t night = 0; night < nights; night++) {
        double values[MOST][MOST];
        rl_drift d[MOST] = {0};
        int64_t moved = 0;
        for (int s = 0; s < before + now; s++) {
            double seed = rl_rng_normal(night, RL_PURPOSE_BOOTSTRAP, 9, 0, (uint64_t)s); /* good and bad seeds */
            for (int k = 0; k < num_metrics; k++)
                values[k][s] = 0.9 + 0.02 * (0.7 * seed + 0.7 * rl_rng_normal(night, RL_PURPOSE_BOOTSTRAP, 10, (uint32_t)k, (uint64_t)s));
        }
        for (int k = 0; k < num_metrics; k++)
            d[k] = (rl_drift){.before = values[k], .num_before = before, .now = values[k] + before, .num_now = now};
        assert_ok(rl_drift_compare(d, num_metrics, 0.05, &moved, &err), err);
        flagged += moved > 0;
    }
    print_message("%d metrics, %d + %d seeds: %d of %u unchanged nights were flagged\n", num_metrics, before, now, flagged, nights);
    return flagged;
}

/* The promise: of 200 nights at most the nominal 5 % are flagged. */
static void test_unchanged_nights_are_flagged_at_most_at_the_nominal_rate(void **state)
{
    (void)state;
    assert_true(false_flags(200, 12, 8, 3) <= 10);
    assert_true(false_flags(200, 4, 12, 3) <= 10);
}

/* And not because nothing is ever flagged: one metric alone has the rate of its test, 8 of the C(11, 3) = 165 splits, 4.85 %. Of 20,000
 * nights 970 then, 30 more or less; fewer than 872 or more than 1,068 have a chance of one in a thousand together. */
static void test_one_metric_has_the_nominal_rate(void **state)
{
    (void)state;
    int flagged = false_flags(20000, 1, 8, 3);
    assert_in_range(flagged, 872, 1068);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p_values_counted_by_hand), cmocka_unit_test(test_halves_have_a_mirror_image),
        cmocka_unit_test(test_few_splits_of_many_seeds_are_counted),
        cmocka_unit_test(test_empty_sides_say_nothing),
        cmocka_unit_test(test_many_seeds_are_sampled),
        cmocka_unit_test(test_the_order_of_values_does_not_matter),
        cmocka_unit_test(test_unchanged_nights_are_flagged_at_most_at_the_nominal_rate),
        cmocka_unit_test(test_one_metric_has_the_nominal_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
