/* Random numbers are a function of their coordinates, equal to published known answers, and torch's batch order.
 * LABELS: unit */
#include "support.h"

/* Random123's kat_vectors, philox4x32 10 rounds. */
static void test_philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        rl_philox4x32(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

/* Protocol §3: n = 11, seed 42; and the starts for CoNLL-2003's 14,041 sentences of HF 5 and HF 4. */
static void test_randperm_is_torchs(void **state)
{
    static const int64_t small[] = {6, 8, 9, 2, 1, 10, 0, 7, 3, 5, 4};
    static const int64_t epoch0[] = {2295, 13308, 1611, 5781, 9103}, epoch1[] = {10675, 7249, 5949};
    static const int64_t hf4[] = {10813, 389, 7317, 6351, 6110, 10403, 10571, 5394, 3485, 4071};
    static const int64_t hf4_second[] = {12650, 6586, 8945, 11199, 10046};
    static int64_t order[14041];
    rl_mt19937 generator;
    (void)state;
    rl_mt19937_seed(&generator, 42);
    rl_mt19937_randperm(&generator, 11, order);
    assert_memory_equal(order, small, sizeof small);
    rl_mt19937_seed(&generator, 42);
    rl_mt19937_randperm(&generator, 14041, order);
    assert_memory_equal(order, epoch0, sizeof epoch0);
    rl_mt19937_seed(&generator, 43);
    rl_mt19937_randperm(&generator, 14041, order);
    assert_memory_equal(order, epoch1, sizeof epoch1);
    rl_mt19937_seed(&generator, 3421126067u);
    rl_mt19937_randperm(&generator, 14041, order);
    assert_memory_equal(order, hf4, sizeof hf4);
    rl_mt19937_randperm(&generator, 14041, order); /* drawn and thrown away */
    rl_mt19937_randperm(&generator, 14041, order);
    assert_memory_equal(order, hf4_second, sizeof hf4_second);
}

static void test_normal_has_the_moments_of_a_normal(void **state)
{
    double sum = 0, squares = 0, fourth = 0;
    const int n = 200000;
    (void)state;
    for (int i = 0; i < n; i++) {
        double x = rl_rng_normal(7, RL_PURPOSE_WEIGHT_INIT, 3, 1, (uint64_t)i);
        sum += x, squares += x * x, fourth += x * x * x * x;
    }
    /* standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n); five of them */
    assert_close(sum / n, 0, 0, 5 / sqrt(n));
    assert_close(squares / n, 1, 0, 5 * sqrt(2.0 / n));
    assert_close(fourth / n, 3, 0, 5 * sqrt(96.0 / n));
}

static void test_streams_differ_by_seed_purpose_and_place(void **state)
{
    uint32_t x = rl_rng_bits(1, RL_PURPOSE_PRUNE, 0, 0, 5);
    (void)state;
    assert_int_equal(x, rl_rng_bits(1, RL_PURPOSE_PRUNE, 0, 0, 5));
    assert_int_not_equal(x, rl_rng_bits(2, RL_PURPOSE_PRUNE, 0, 0, 5));
    assert_int_not_equal(x, rl_rng_bits(1, RL_PURPOSE_DROPOUT, 0, 0, 5));
    assert_int_not_equal(x, rl_rng_bits(1, RL_PURPOSE_PRUNE, 1, 0, 5));
    assert_int_not_equal(x, rl_rng_bits(1, RL_PURPOSE_PRUNE, 0, 1, 5));
    assert_int_not_equal(x, rl_rng_bits(1, RL_PURPOSE_PRUNE, 0, 0, 6));
    assert_int_not_equal(x, rl_rng_bits(1ull << 32 | 1, RL_PURPOSE_PRUNE, 0, 0, 5));
}

static void test_choose_takes_distinct_values_evenly(void **state)
{
    rl_error err = {0};
    int64_t chosen[30], hits[100] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        bool seen[100] = {false};
        assert_ok(rl_rng_choose(seed, RL_PURPOSE_PRUNE, 0, 0, 100, 30, chosen, &err), err);
        for (int i = 0; i < 30; i++) {
            assert_in_range(chosen[i], 0, 99);
            assert_false(seen[chosen[i]]);
            seen[chosen[i]] = true;
            hits[chosen[i]]++;
        }
    }
    for (int i = 0; i < 100; i++) assert_close((double)hits[i], 600, 0, 5 * sqrt(2000 * 0.3 * 0.7));
    assert_int_equal(rl_rng_choose(1, RL_PURPOSE_PRUNE, 0, 0, 3, 4, chosen, &err), RL_ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_randperm_is_torchs),
        cmocka_unit_test(test_normal_has_the_moments_of_a_normal),
        cmocka_unit_test(test_streams_differ_by_seed_purpose_and_place),
        cmocka_unit_test(test_choose_takes_distinct_values_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
