/* GELU with erf, its slope, and the sums down columns that give bias gradients. */
#include "linalg_cases.h"

static double reference_gelu(double x)
{
    return 0.5 * x * erfc(-x * M_SQRT1_2);
}

static void test_worked_examples_of_the_protocol(void **state)
{
    const float x[] = {-3, -1, -.5f, .5f, 1, 3}, zero[6] = {0};
    const double expected[] = {-.00404969, -.158655, -.154269, .345731, .841345, 2.99595};
    float y[6], pre[6];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_gelu_forward(y, pre, x, zero, 1, 6);
        for (int i = 0; i < 6; i++) assert_close(y[i], expected[i], 3e-6, 0); /* six digits are given */
        assert_memory_equal(pre, x, sizeof x);
    }
}

/* Relative to the value itself, the left tail included, where 1 + erf would have cancelled to nothing. The argument of
 * the exponential, x^2 / 2, is rounded once: that is x^2 / 2 ulp of the result. */
static void test_forward_is_the_reference_over_the_whole_range(void **state)
{
    enum { N = 20001 };
    static float x[N], y[N], zero[N];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 1e-3f;
        rl_bias_gelu_forward(y, x, x, zero, 1, N); /* pre may be x */
        for (int i = 0; i < N; i++) {
            double tolerance = (8.0 + 0.5 * x[i] * x[i]) * FLT_EPSILON;
            assert_close(y[i], reference_gelu(x[i]), x[i] < 0 ? tolerance : 4 * FLT_EPSILON, 0);
        }
    }
}

static void test_extremes(void **state)
{
    const float x[] = {NAN, 0.0f, 100.0f, -100.0f, FLT_MAX, -FLT_MAX, INFINITY}, zero[7] = {0},
                dy[] = {1, 1, 1, 1, 1, 1, 1};
    float y[7], pre[7], dx[7], dbias[7];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_gelu_forward(y, pre, x, zero, 1, 7);
        assert_true(isnan(y[0]) && y[1] == 0.0f && y[2] == 100.0f && y[3] == 0.0f && y[4] == FLT_MAX && y[5] == 0.0f);
        assert_true(isinf(y[6]));
        rl_bias_gelu_backward(dx, dbias, dy, pre, 1, 7);
        assert_true(isnan(dx[0]) && dx[1] == 0.5f && dx[2] == 1.0f && dx[3] == 0.0f && dx[4] == 1.0f && dx[5] == 0.0f);
    }
}

static void test_bias_comes_first_and_backward_is_the_slope(void **state)
{
    enum { T = 5, F = 43 };
    static float x[T * F], bias[F], y[T * F], pre[T * F], dy[T * F], dpre[T * F], dbias[F];
    (void)state;
    fill_numbers(x, T * F, 4.0f, 1);
    fill_numbers(bias, F, 1.0f, 2);
    fill_numbers(dy, T * F, 1.0f, 3);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_gelu_forward(y, pre, x, bias, T, F);
        for (int f = 0; f < F; f++) dbias[f] = NAN; /* written, not accumulated */
        rl_bias_gelu_backward(dpre, dbias, dy, pre, T, F);
        for (int f = 0; f < F; f++) {
            double sum = 0.0;
            for (int i = f; i < T * F; i += F) {
                const double h = 1e-5, a = pre[i];
                assert_true(pre[i] == x[i] + bias[f]);
                double slope = dy[i] * (reference_gelu(a + h) - reference_gelu(a - h)) / (2 * h);
                assert_close(dpre[i], slope, 4 * FLT_EPSILON, 2e-7);
                sum += dpre[i];
            }
            assert_close(dbias[f], sum, 1e-6, 1e-6);
        }
        memcpy(y, dy, sizeof y);
        rl_bias_gelu_backward(y, dbias, y, pre, T, F); /* dpre may be dy */
        assert_memory_equal(y, dpre, sizeof y);
    }
}

static void test_column_sums_and_add(void **state)
{
    enum { N = 29 };
    static float x[7 * N], sums[N], y[7 * N];
    (void)state;
    fill_numbers(x, 7 * N, 1.0f, 1);
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int T = 0; T <= 7; T++) {
            for (int i = 0; i < N; i++) sums[i] = NAN;
            rl_column_sums(sums, x, T, N);
            for (int i = 0; i < N; i++) {
                double sum = 0.0;
                for (int t = 0; t < T; t++) sum += x[t * N + i];
                assert_close(sums[i], sum, 1e-6, 1e-6);
            }
            memcpy(y, x, sizeof y);
            rl_add(y, y, x, T * N); /* y may be a */
            for (int i = 0; i < 7 * N; i++) assert_true(y[i] == (i < T * N ? 2.0f * x[i] : x[i]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked_examples_of_the_protocol),
                                       cmocka_unit_test(test_forward_is_the_reference_over_the_whole_range),
                                       cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_bias_comes_first_and_backward_is_the_slope),
                                       cmocka_unit_test(test_column_sums_and_add)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
