/* Products by way of turned tiles are right on every back end, and have the library's bits where they are in use; matrices are
 * turned on every instruction set, whatever their sides. */
#include "linalg_cases.h"

static void test_every_matrix_is_turned(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {1, 40}, {15, 17}, {16, 16}, {48, 384}, {33, 70}, {13, 500}};
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t rows = sizes[s][0], columns = sizes[s][1], stride = columns + 3;
            float *in = FLOATS(rows * stride), *out = FLOATS(rows * columns + 1);
            fill_numbers(in, rows * stride, 1.0f, 9);
            out[rows * columns] = 7.0f;
            rl_kernels_in_use->transpose(out, in, rows, columns, stride);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < columns; c++) assert_true(out[c * rows + r] == in[r * stride + c]);
            assert_true(out[rows * columns] == 7.0f);
            rl_free(in);
            rl_free(out);
        }
}

typedef struct shape {
    int64_t M, N, K;
    float alpha, beta;
} shape;

/* Strides that are not the sizes, as the threads' pieces of a product have them. */
static void compare(shape s, bool same_bits)
{
    int64_t lda = s.K + 2, ldb = s.K + 5, ldc = s.N + 1;
    float *A = FLOATS(s.M * lda), *B = FLOATS(s.N * ldb), *turned = FLOATS(s.M * ldc), *library = FLOATS(s.M * ldc);
    fill_numbers(A, s.M * lda, 1.0f, 1);
    fill_numbers(B, s.N * ldb, 1.0f, 2);
    for (int64_t i = 0; i < s.M * ldc; i++) turned[i] = library[i] = s.beta == 0.0f && i % ldc < s.N ? NAN : 0.5f;
    rl_gemm_turning(false, true, s.M, s.N, s.K, s.alpha, A, lda, B, ldb, s.beta, turned, ldc);
    rl_gemm_of_library(false, true, s.M, s.N, s.K, s.alpha, A, lda, B, ldb, s.beta, library, ldc);
    for (int64_t i = 0; i < s.M * ldc; i++) assert_close(turned[i], library[i], 0, 1e-6 * (double)(s.K + 4));
    if (same_bits) assert_memory_equal(turned, library, (size_t)(s.M * ldc) * sizeof *turned);
    rl_free(A);
    rl_free(B);
    rl_free(turned);
    rl_free(library);
}

static void test_products_are_the_library_s(void **state)
{
    const shape shapes[] = {{16, 48, 48, 1, 0},   {17, 50, 100, 1, 1},   {80, 384, 384, 1, 0},   {33, 96, 500, 0.5f, 0.25f},
                            {61, 97, 768, 1, 1},  {160, 144, 1152, 1, 0}, {47, 61, 1536, 1, 1},  {20, 200, 3072, -1, 0},
                            {600, 100, 384, 1, 1}, {15, 96, 96, 1, 0},    {64, 47, 96, 1, 0},     {64, 96, 1000, 1, 0},
                            {64, 96, 20, 1, 0},    {1100, 48, 600, 1, 0}};
    (void)state;
    for (size_t b = 0; use_backend(b); b++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) compare(shapes[s], rl_gemm_product() == rl_gemm_turning);
}

/* Whoever asks for another transposition gets the library's product. */
static void test_other_products_pass_through(void **state)
{
    enum { M = 64, N = 96, K = 80 };
    float *A = FLOATS(M * N), *B = FLOATS(N * N), *C = FLOATS(M * N), *expected = FLOATS(M * N);
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    fill_numbers(A, M * N, 1.0f, 3);
    fill_numbers(B, N * N, 1.0f, 4);
    for (int variant = 0; variant < 4; variant++) {
        bool ta = variant & 1, tb = variant & 2;
        if (!ta && tb) continue;
        rl_gemm_turning(ta, tb, M, N, K, 1.0f, A, ta ? M : K, B, tb ? K : N, 0.0f, C, N);
        rl_gemm_of_library(ta, tb, M, N, K, 1.0f, A, ta ? M : K, B, tb ? K : N, 0.0f, expected, N);
        assert_memory_equal(C, expected, (size_t)(M * N) * sizeof *C);
    }
    rl_free(A);
    rl_free(B);
    rl_free(C);
    rl_free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_matrix_is_turned),
        cmocka_unit_test(test_products_are_the_library_s),
        cmocka_unit_test(test_other_products_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
