/* exp and erf are within 4 units in the last place of double libm on every instruction set: over all float bit
 * patterns (every 2,039th), densely where they are used, and at the values where such code goes wrong. */
#include "linalg_cases.h"

#define CHUNK 1000
/* 4 is promised. Measured over every 101st pattern: 1.00 and 2.59; these bounds also kill a coefficient that is
 * slightly off. */
#define MOST_EXP 2.0
#define MOST_ERF 3.0

typedef void vector_function(float *y, const float *x, int64_t n);

static double worst_of(vector_function *ours, double (*libm)(double), const float *x, int64_t n)
{
    static float y[CHUNK];
    double worst = 0.0;
    ours(y, x, n);
    for (int64_t i = 0; i < n; i++) {
        double error = ulps(y[i], libm(x[i]));
        if (error > worst) worst = error;
    }
    return worst;
}

static double worst_over_bit_patterns(vector_function *ours, double (*libm)(double))
{
    static float x[CHUNK];
    double worst = 0.0;
    int64_t n = 0;
    for (uint64_t bits = 0; bits < UINT64_C(1) << 32; bits += 2039) {
        uint32_t pattern = (uint32_t)bits;
        memcpy(&x[n++], &pattern, sizeof pattern);
        if (n < CHUNK) continue;
        double error = worst_of(ours, libm, x, n);
        worst = error > worst ? error : worst;
        n = 0;
    }
    return worst;
}

static double worst_between(vector_function *ours, double (*libm)(double), double from, double to)
{
    static float x[CHUNK];
    double worst = 0.0;
    for (int64_t chunk = 0; chunk < 100; chunk++) {
        for (int64_t i = 0; i < CHUNK; i++)
            x[i] = (float)(from + (to - from) * (double)(chunk * CHUNK + i) / (100.0 * CHUNK));
        double error = worst_of(ours, libm, x, CHUNK);
        worst = error > worst ? error : worst;
    }
    return worst;
}

static void test_exp_is_within_4_ulp(void **state)
{
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        assert_true(worst_over_bit_patterns(rl_exp, exp) <= MOST_EXP);
        assert_true(worst_between(rl_exp, exp, -104.0, 89.0) <= MOST_EXP); /* subnormal results below -87.3 */
        assert_true(worst_between(rl_exp, exp, -1.0, 1.0) <= MOST_EXP);
    }
}

static void test_erf_is_within_4_ulp(void **state)
{
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        assert_true(worst_over_bit_patterns(rl_erf, erf) <= MOST_ERF);
        assert_true(worst_between(rl_erf, erf, -4.5, 4.5) <= MOST_ERF);
        assert_true(worst_between(rl_erf, erf, -1e-3, 1e-3) <= MOST_ERF);
        assert_true(worst_between(rl_erf, erf, 0.74, 0.76) <= MOST_ERF); /* where the two formulas meet */
        assert_true(worst_between(rl_erf, erf, 3.8, 4.0) <= MOST_ERF);   /* where it reaches 1 */
    }
}

static void test_special_values(void **state)
{
    const float x[] = {0.0f,     -0.0f,    INFINITY, -INFINITY, NAN,    FLT_MIN, -FLT_MIN, 0x1p-149f,
                       -0x1p-149f, FLT_MAX, -FLT_MAX, 88.72283f, 88.7229f, -103.97f, -103.98f, -87.4f, 1.0f};
    enum { N = sizeof x / sizeof *x };
    float y[N];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_exp(y, x, N);
        for (int i = 0; i < N; i++) assert_true(ulps(y[i], exp(x[i])) <= MOST_EXP);
        rl_erf(y, x, N);
        for (int i = 0; i < N; i++) assert_true(ulps(y[i], erf(x[i])) <= MOST_ERF);
        assert_true(signbit(y[1]) && !signbit(y[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp_is_within_4_ulp),
                                       cmocka_unit_test(test_erf_is_within_4_ulp),
                                       cmocka_unit_test(test_special_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
