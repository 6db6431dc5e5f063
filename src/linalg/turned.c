/* turned.c -- A B^T with B turned tile by tile before the back end sees it.
 *
 * The forward product of a linear layer is x W^T. oneDNN 2.6 copies its factors into an order of its own, and copying a
 * transposed one costs it 0.4 to 1 ns a number, as much as 40 to 100 multiply-adds. Turned here, 48 rows at a time into a
 * cache, W is multiplied as it lies: 99 to 111 GFLOP/s instead of 85 to 112 at 160 tokens, 108 to 113 instead of 98 to 106
 * at 640 (Zen 4, layers of MiniLM and DistilBERT, bench_linalg_gemm).
 *
 * No bit changes: the library sums an element over K in blocks, in the same order whichever way B lay, and K is cut here
 * only where it is cut there (the rule and its source: products.c). That is tried once before it is used. */
#include "linalg_internal.h"

#include <string.h>

enum { TILE = 48, BLOCK = 384, LARGEST_K = 2 * BLOCK, FEWEST = 16 /* rows, or columns of a tile */ };

/* As it is turned, a tile is [depth, width]. On the stack, because it is read at once and no caller should bring it. */
static void multiply_tile(int64_t M, int64_t width, int64_t depth, float alpha, const float *A, int64_t lda,
                          const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    _Alignas(64) float tile[TILE * LARGEST_K];
    rl_kernels_in_use->transpose(tile, B, width, depth, ldb);
    rl_gemm_of_library(false, false, M, width, depth, alpha, A, lda, tile, width, beta, C, ldc);
}

void rl_gemm_turning(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
                     int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    int64_t depth = K <= LARGEST_K ? K : BLOCK;
    if (transpose_a || !transpose_b || M < FEWEST || N % FEWEST != 0 || K % depth != 0) {
        rl_gemm_of_library(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
        return;
    }
    for (int64_t n = 0; n < N; n += TILE)
        for (int64_t k = 0; k < K; k += depth)
            multiply_tile(M, N - n < TILE ? N - n : TILE, depth, alpha, A + k, lda, B + n * ldb + k, ldb,
                          k ? 1.0f : beta, C + n, ldc);
}

/* ---------------------------------------------------------------------------------------- the promise, checked */

enum { SAMPLE_M = 83, SAMPLE_N = 2 * TILE + 13, SAMPLE_K = 3 * BLOCK };

static bool same_product(const float *A, const float *B, int64_t K, float beta, float *turned, float *whole)
{
    for (int64_t i = 0; i < SAMPLE_M * SAMPLE_N; i++) turned[i] = whole[i] = 0.25f;
    rl_gemm_turning(false, true, SAMPLE_M, SAMPLE_N, K, 1.0f, A, K, B, K, beta, turned, SAMPLE_N);
    rl_gemm_of_library(false, true, SAMPLE_M, SAMPLE_N, K, 1.0f, A, K, B, K, beta, whole, SAMPLE_N);
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): bits are what must be the same, a zero's sign included
    return memcmp(turned, whole, SAMPLE_M * SAMPLE_N * sizeof *whole) == 0;
}

rl_status rl_gemm_turning_keeps_bits(bool *keep, rl_error *err)
{
    rl_status status = RL_OK;
    float *A = NULL, *B = NULL, *C = NULL;
    RL_ALLOC(A, SAMPLE_M * SAMPLE_K, err);
    RL_ALLOC(B, SAMPLE_N * SAMPLE_K, err);
    RL_ALLOC(C, 2 * SAMPLE_M * SAMPLE_N, err);
    rl_gemm_fill_sample(A, SAMPLE_M * SAMPLE_K);
    for (int64_t i = 0; i < SAMPLE_N * SAMPLE_K; i++) B[i] = A[i * 7 % (SAMPLE_M * SAMPLE_K)];
    *keep = same_product(A, B, LARGEST_K - 36, 0.0f, C, C + SAMPLE_M * SAMPLE_N) &&
            same_product(A, B, SAMPLE_K, 1.0f, C, C + SAMPLE_M * SAMPLE_N);
cleanup:
    rl_free(A);
    rl_free(B);
    rl_free(C);
    return status;
}
