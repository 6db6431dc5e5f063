/* Every back end multiplies right, in all transpositions and strides; a wrong one is refused at the start. */
#include "linalg_cases.h"

#include <sys/resource.h>

static void reference_product(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                              const float *A, int64_t lda, const float *B, int64_t ldb, float beta, const float *before,
                              double *C, int64_t ldc)
{
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            double sum = 0.0;
            for (int64_t k = 0; k < K; k++)
                sum += (double)A[transpose_a ? k * lda + i : i * lda + k] * B[transpose_b ? j * ldb + k : k * ldb + j];
            C[i * ldc + j] = alpha * sum + (beta == 0.0f ? 0.0 : (double)beta * before[i * ldc + j]);
        }
}

static void check_product(int64_t M, int64_t N, int64_t K, int variant, float alpha, float beta)
{
    bool transpose_a = variant & 1, transpose_b = variant & 2;
    int64_t lda = (transpose_a ? M : K) + 2, ldb = (transpose_b ? K : N) + 5, ldc = N + 1;
    float *A = FLOATS((M + K) * lda), *B = FLOATS((N + K) * ldb), *C = FLOATS(M * ldc), *before = FLOATS(M * ldc);
    double *expected = allocate((size_t)(M * ldc), sizeof *expected);
    fill_numbers(A, (transpose_a ? K : M) * lda, 1.0f, 1);
    fill_numbers(B, (transpose_b ? N : K) * ldb, 1.0f, 2);
    for (int64_t i = 0; i < M * ldc; i++) C[i] = before[i] = beta == 0.0f ? NAN : 0.5f; /* beta 0 must not read C */
    rl_gemm(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    reference_product(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, before, expected, ldc);
    for (int64_t i = 0; i < M; i++) {
        for (int64_t j = 0; j < N; j++) /* K roundings of numbers below 1 at worst */
            assert_close(C[i * ldc + j], expected[i * ldc + j], 0, 1e-6 * (double)(K + 4));
        if (beta == 0.0f) assert_true(isnan(C[i * ldc + N])); /* what lies between the rows is nobody's */
    }
    rl_free(A);
    rl_free(B);
    rl_free(C);
    rl_free(before);
    rl_free(expected);
}

static void test_all_transpositions_on_all_back_ends(void **state)
{
    const int64_t sizes[][3] = {{1, 1, 1}, {3, 9, 5}, {17, 33, 65}, {80, 96, 48}, {130, 7, 200}};
    (void)state;
    for (size_t b = 0; use_backend(b); b++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int variant = 0; variant < 4; variant++) {
                check_product(sizes[s][0], sizes[s][1], sizes[s][2], variant, 1.0f, 0.0f);
                check_product(sizes[s][0], sizes[s][1], sizes[s][2], variant, -0.5f, 1.0f);
                check_product(sizes[s][0], sizes[s][1], sizes[s][2], variant, 1.0f, 0.25f);
            }
}

static void test_empty_products(void **state)
{
    float A[4] = {1, 2, 3, 4}, C[4] = {1, 2, 3, 4};
    (void)state;
    for (size_t b = 0; use_backend(b); b++) {
        rl_gemm(false, false, 0, 2, 2, 1.0f, A, 2, A, 2, 0.0f, C, 2);
        rl_gemm(false, false, 2, 0, 2, 1.0f, A, 2, A, 2, 0.0f, C, 2);
        assert_true(C[0] == 1.0f && C[3] == 4.0f);
    }
}

enum { T = 11, N = 7, K = 13 };
typedef struct linear {
    float x[T * K], weight[N * K], bias[N], dy[T * N], y[T * N], dx[T * K], dweight[N * K], dbias[N];
} linear;

static void test_linear_forward_is_x_times_weight_transposed(void **state)
{
    static linear l;
    (void)state;
    fill_numbers(l.x, T * K, 1.0f, 1);
    fill_numbers(l.weight, N * K, 1.0f, 2);
    fill_numbers(l.bias, N, 1.0f, 3);
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        for (int i = 0; i < T * N; i++) l.y[i] = NAN;
        rl_linear_forward(l.y, l.x, l.weight, with_bias ? l.bias : NULL, T, N, K);
        for (int t = 0; t < T; t++)
            for (int n = 0; n < N; n++) {
                double sum = with_bias ? l.bias[n] : 0.0;
                for (int k = 0; k < K; k++) sum += (double)l.x[t * K + k] * l.weight[n * K + k];
                assert_close(l.y[t * N + n], sum, 0, 3e-6);
            }
    }
}

static void check_linear_backward(const linear *l, const float *dx_before, bool accumulate)
{
    for (int t = 0; t < T; t++)
        for (int k = 0; k < K; k++) {
            double sum = accumulate ? dx_before[t * K + k] : 0.0;
            for (int n = 0; n < N; n++) sum += (double)l->dy[t * N + n] * l->weight[n * K + k];
            assert_close(l->dx[t * K + k], sum, 0, 3e-6);
        }
    for (int n = 0; n < N; n++) {
        double dbias = 0.0;
        for (int t = 0; t < T; t++) dbias += l->dy[t * N + n];
        assert_close(l->dbias[n], dbias, 0, 3e-6);
        for (int k = 0; k < K; k++) {
            double sum = 0.0;
            for (int t = 0; t < T; t++) sum += (double)l->dy[t * N + n] * l->x[t * K + k];
            assert_close(l->dweight[n * K + k], sum, 0, 3e-6);
        }
    }
}

static void test_linear_backward(void **state)
{
    static linear l;
    static float before[T * K];
    (void)state;
    fill_numbers(l.x, T * K, 1.0f, 1);
    fill_numbers(l.weight, N * K, 1.0f, 2);
    fill_numbers(l.dy, T * N, 1.0f, 4);
    fill_numbers(before, T * K, 1.0f, 5);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        for (int i = 0; i < T * K; i++) l.dx[i] = accumulate ? before[i] : NAN;
        for (int i = 0; i < N * K; i++) l.dweight[i] = NAN; /* written, not accumulated */
        for (int i = 0; i < N; i++) l.dbias[i] = NAN;
        rl_linear_backward(l.dx, l.dweight, l.dbias, l.dy, l.x, l.weight, T, N, K, accumulate);
        check_linear_backward(&l, before, accumulate);
    }
    memset(l.dweight, 0, sizeof l.dweight);
    rl_linear_backward(NULL, l.dweight, l.dbias, l.dy, l.x, l.weight, T, N, K, false); /* the first layer needs no dx */
    check_linear_backward(&l, before, true);
}

/* OpenBLAS would ask for ever. */
static void test_a_limit_without_room_for_blas_is_refused(void **state)
{
    rl_error err = {0};
    struct rlimit before, tight;
    (void)state;
    assert_ok(rl_linalg_check_room(&err), err);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = (struct rlimit){1 << 20, before.rlim_max}; /* less than the process has: nothing more is given */
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    rl_status status = rl_linalg_check_room(&err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_fails(status, RL_ERR_MEMORY, err, "ulimit -v");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_transpositions_on_all_back_ends),
                                       cmocka_unit_test(test_a_limit_without_room_for_blas_is_refused),
                                       cmocka_unit_test(test_empty_products),
                                       cmocka_unit_test(test_linear_forward_is_x_times_weight_transposed),
                                       cmocka_unit_test(test_linear_backward)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
