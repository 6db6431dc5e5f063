/* rl_linalg_init: picks what the environment asks for, refuses what is not there or multiplies wrongly, keeps every
 * BLAS to one thread, and says what is in use. */
#include "linalg_cases.h"

#if defined(__GNUC__)
extern int openblas_get_num_threads(void) __attribute__((weak));
#endif

static void test_the_best_by_default_and_again(void **state)
{
    const char *const *backends = NULL, *const *isas = NULL;
    size_t usable = 0;
    rl_error err = {0};
    (void)state;
    assert_true(rl_gemm_backends(&backends) >= 1);
    rl_linalg_isas(&isas, &usable);
    for (int again = 0; again < 2; again++) {
        assert_ok(rl_linalg_init(NULL, &err), err);
        assert_string_equal(rl_gemm_backend(), backends[0]);
        assert_string_equal(rl_isa_name(), isas[usable - 1]);
    }
#if defined(__GNUC__)
    if (openblas_get_num_threads) assert_int_equal(openblas_get_num_threads(), 1);
#endif
}

static void test_environment_chooses(void **state)
{
    rl_error err = {0};
    (void)state;
    setenv("RELEARN_GEMM", "cblas", 1);
    setenv("RELEARN_ISA", "baseline", 1);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_string_equal(rl_gemm_backend(), "cblas");
    assert_string_equal(rl_isa_name(), "baseline");
    setenv("RELEARN_GEMM", "", 1); /* empty is as good as unset */
    setenv("RELEARN_ISA", "", 1);
    assert_ok(rl_linalg_init(NULL, &err), err);
    unsetenv("RELEARN_GEMM");
    unsetenv("RELEARN_ISA");
    assert_ok(rl_linalg_init(NULL, &err), err);
}

static void test_unknown_names_are_refused_and_change_nothing(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    const char *backend = rl_gemm_backend(), *isa = rl_isa_name();
    setenv("RELEARN_GEMM", "mkl", 1);
    assert_fails(rl_linalg_init(NULL, &err), RL_ERR_INPUT, err, "RELEARN_GEMM=mkl: unknown matrix product back end");
    unsetenv("RELEARN_GEMM");
    assert_fails(rl_linalg_init("blas", &err), RL_ERR_INPUT, err,
                 "blas: unknown matrix product back end; this build has");
    setenv("RELEARN_ISA", "avx51", 1);
    assert_fails(rl_linalg_init("cblas", &err), RL_ERR_INPUT, err,
                 "RELEARN_ISA=avx51: unknown instruction set; expected");
    unsetenv("RELEARN_ISA");
    assert_string_equal(rl_gemm_backend(), backend);
    assert_string_equal(rl_isa_name(), isa);
}

static void test_an_instruction_set_that_is_not_there_is_refused(void **state)
{
    const char *const *names = NULL;
    size_t usable = 0, count = rl_linalg_isas(&names, &usable), index = 99;
    rl_error err = {0};
    (void)state;
    for (size_t has = 1; has <= count; has++) { /* as on a processor with the first `has` of them */
        assert_ok(rl_linalg_find_isa(&index, NULL, has, &err), err);
        assert_int_equal(index, has - 1);
        for (size_t i = 0; i < has; i++) {
            assert_ok(rl_linalg_find_isa(&index, names[i], has, &err), err);
            assert_int_equal(index, i);
        }
        for (size_t i = has; i < count; i++)
            assert_fails(rl_linalg_find_isa(&index, names[i], has, &err), RL_ERR_INPUT, err,
                         "this processor does not have it; the best it has is");
        assert_int_equal(index, has - 1); /* untouched by the failures */
    }
}

/* Products that are wrong in the ways a broken BLAS is. */
static void product_that_forgets_beta(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                                      const float *A, int64_t lda, const float *B, int64_t ldb, float beta, float *C,
                                      int64_t ldc)
{
    (void)beta;
    rl_gemm(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, 0.0f, C, ldc);
}

static void product_with_one_wrong_element(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K,
                                           float alpha, const float *A, int64_t lda, const float *B, int64_t ldb,
                                           float beta, float *C, int64_t ldc)
{
    rl_gemm(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    if (transpose_a && !transpose_b) C[(M - 1) * ldc + N - 1] += 0.01f;
}

static void product_of_nan(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                           const float *A, int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    rl_gemm(transpose_a, transpose_b, M, N, K, alpha * NAN, A, lda, B, ldb, beta, C, ldc);
}

static void test_a_broken_back_end_is_refused_by_name(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_gemm_check("right", rl_gemm, &err), err);
    assert_fails(rl_gemm_check("forgetful", product_that_forgets_beta, &err), RL_ERR_INTERNAL, err,
                 "back end 'forgetful' are wrong");
    assert_fails(rl_gemm_check("slip", product_with_one_wrong_element, &err), RL_ERR_INTERNAL, err,
                 "TN [45, 131] x [131, 70], element (44, 69)");
    assert_fails(rl_gemm_check("nan", product_of_nan, &err), RL_ERR_INTERNAL, err, "back end 'nan'");
}

static void test_rates_are_measured(void **state)
{
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) assert_true(rl_fma_peak_gflops() > 0.1);
    assert_true(rl_gemm_rate(rl_gemm_backend(), 64, 64, 64, 0.0) > 0.01);
    assert_true(rl_gemm_rate("mkl", 64, 64, 64, 0.0) == 0.0);
    const int at_once[] = {0, 1, 2, 1000}; /* as many as there are cores, at most */
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++) {
        double rate = rl_gemm_sustained_rate(rl_gemm_backend(), 64, 64, 64, 0.0, 0.1, at_once[i]);
        assert_true(rate > 0.01 && rate < 1e5);
    }
    assert_true(rl_gemm_sustained_rate("mkl", 64, 64, 64, 0.0, 0.1, 3) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_by_default_and_again),
        cmocka_unit_test(test_environment_chooses),
        cmocka_unit_test(test_unknown_names_are_refused_and_change_nothing),
        cmocka_unit_test(test_an_instruction_set_that_is_not_there_is_refused),
        cmocka_unit_test(test_a_broken_back_end_is_refused_by_name),
        cmocka_unit_test(test_rates_are_measured),
    };
    unsetenv("RELEARN_GEMM"); /* this test is about them */
    unsetenv("RELEARN_ISA");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
