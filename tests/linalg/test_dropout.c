/* The mask is Philox's and nothing else: the same on every instruction set, for any split, forward and backward, alone
 * or inside a fused pass. */
#include "linalg_cases.h"

enum { N = 2055 }; /* four chunks and a rest that is no multiple of 4 */

static rl_dropout settings(float p)
{
    rl_dropout dropout = {.p = p, .step = 7, .stream = 35};
    rl_rng_key(42, RL_PURPOSE_DROPOUT, dropout.key);
    return dropout;
}

/* The contract, straight from core: bits of element e < p * 2^32 drop it. */
static bool is_dropped(uint64_t e, const rl_dropout *dropout)
{
    uint64_t block = e / 4;
    uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), dropout->step, dropout->stream}, out[4];
    rl_philox4x32(counter, dropout->key, out);
    return (double)out[e % 4] < (double)dropout->p * 4294967296.0;
}

static void test_mask_is_philox_of_the_element(void **state)
{
    static float x[N], y[N];
    const float rates[] = {0.1f, 0.5f, 0.9f, 1e-3f};
    (void)state;
    for (int i = 0; i < N; i++) x[i] = (float)(i + 1);
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int r = 0; r < 4; r++) {
            rl_dropout dropout = settings(rates[r]);
            rl_dropout_apply(y, x, N, dropout);
            for (int i = 0; i < N; i++) {
                float expected = is_dropped((uint64_t)i, &dropout) ? 0.0f : x[i] * (1.0f / (1.0f - rates[r]));
                assert_memory_equal(&y[i], &expected, sizeof expected);
            }
        }
}

static void test_a_pass_may_be_cut_anywhere(void **state)
{
    static float x[N], whole[N], parts[N];
    rl_dropout dropout = settings(0.3f);
    (void)state;
    fill_numbers(x, N, 1.0f, 1);
    for (size_t isa = 0; use_isa(isa); isa++) {
        const int64_t cuts[] = {0, 1, 7, 519, 520, 1030, 1541, N};
        rl_dropout_apply(whole, x, N, dropout);
        for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++)
            rl_kernels_in_use->dropout_at(parts + cuts[i], x + cuts[i], (uint64_t)cuts[i], cuts[i + 1] - cuts[i],
                                          dropout);
        assert_memory_equal(whole, parts, sizeof whole);
    }
}

/* The high word of the block counter matters only beyond 2^34 elements; it must still be there. */
static void test_elements_beyond_32_bits_of_blocks(void **state)
{
    float x[64], y[64];
    const uint64_t first = (UINT64_C(1) << 34) - 30;
    rl_dropout dropout = settings(0.5f);
    (void)state;
    for (int i = 0; i < 64; i++) x[i] = 1.0f;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_kernels_in_use->dropout_at(y, x, first, 64, dropout);
        for (int i = 0; i < 64; i++) assert_true((y[i] == 0.0f) == is_dropped(first + (uint64_t)i, &dropout));
    }
}

static void test_extreme_rates(void **state)
{
    float x[9], y[9];
    (void)state;
    fill_numbers(x, 9, 2.0f, 3);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_dropout_apply(y, x, 9, rl_dropout_none());
        assert_memory_equal(x, y, sizeof x);
        rl_dropout_apply(y, x, 9, settings(1.0f));
        for (int i = 0; i < 9; i++) assert_true(y[i] == 0.0f);
    }
}

static void test_nan_stays_nan_even_where_dropped(void **state)
{
    float x[40];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        for (int i = 0; i < 40; i++) x[i] = NAN;
        rl_dropout_apply(x, x, 40, settings(0.5f)); /* in place, as backward does it */
        for (int i = 0; i < 40; i++) assert_true(isnan(x[i]));
    }
}

/* Steps, streams and seeds are independent: half of the elements agree, not all of them. */
static void test_steps_and_streams_differ(void **state)
{
    static float ones[N], a[N], b[N];
    rl_dropout first = settings(0.5f), second = first, third = first;
    int agree[2] = {0, 0};
    (void)state;
    second.step++;
    third.stream++;
    for (int i = 0; i < N; i++) ones[i] = 1.0f;
    rl_dropout_apply(a, ones, N, first);
    rl_dropout_apply(b, ones, N, second);
    for (int i = 0; i < N; i++) agree[0] += a[i] == b[i];
    rl_dropout_apply(b, ones, N, third);
    for (int i = 0; i < N; i++) agree[1] += a[i] == b[i];
    for (int i = 0; i < 2; i++) assert_in_range(agree[i], N / 2 - 150, N / 2 + 150); /* 6.6 standard deviations */
}

/* Inside the fused residual + LayerNorm the element is t * C + c, also where a row is no multiple of 4. */
static void test_fused_pass_uses_the_same_mask(void **state)
{
    enum { T = 5, C = 1030 };
    static float x[T * C], y[T * C], sum[T * C], dropped[T * C], zeros[T * C], gamma[C], beta[C], mean[T], rstd[T];
    rl_dropout dropout = settings(0.25f);
    (void)state;
    fill_numbers(x, T * C, 1.0f, 9);
    for (int c = 0; c < C; c++) gamma[c] = 1.0f;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_residual_layer_norm_forward(y, sum, mean, rstd, x, NULL, zeros, gamma, beta, T, C, 1e-12f, dropout);
        rl_dropout_apply(dropped, x, T * C, dropout);
        for (int i = 0; i < T * C; i++) assert_true(sum[i] == dropped[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mask_is_philox_of_the_element),
                                       cmocka_unit_test(test_a_pass_may_be_cut_anywhere),
                                       cmocka_unit_test(test_elements_beyond_32_bits_of_blocks),
                                       cmocka_unit_test(test_extreme_rates),
                                       cmocka_unit_test(test_nan_stays_nan_even_where_dropped),
                                       cmocka_unit_test(test_steps_and_streams_differ),
                                       cmocka_unit_test(test_fused_pass_uses_the_same_mask)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
