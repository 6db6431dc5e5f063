/* small_product.h -- C = alpha A B (+ C) for the little matrices of attention, where a BLAS call costs more than the
 * product. B's rows are contiguous and are used as vectors; A is read one number at a time with any strides, so A^T
 * costs nothing. Six rows by two registers of C stay in registers over the whole of K. */
#ifndef RELEARN_LINALG_SMALL_PRODUCT_H
#define RELEARN_LINALG_SMALL_PRODUCT_H

#include "vector.h"

typedef struct small_matrix {
    const float *data;
    int64_t row, column; /* strides */
} small_matrix;

#define TILE_ROWS 6

/* rows <= TILE_ROWS and registers <= 2 are constants at every call, so these loops unroll to nothing but FMAs. */
RL_INLINE void product_tile(const int rows, const int registers, float *C, int64_t ldc, const float *a, int64_t row,
                            int64_t column, const float *b, int64_t ldb, int64_t K, float alpha, bool accumulate)
{
    floats sum[TILE_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (floats){0};
    for (int64_t k = 0; k < K; k++, a += column, b += ldb) {
        floats b0 = load_floats(b), b1 = registers == 2 ? load_floats(b + RL_FLOATS) : (floats){0};
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            sum[r][0] += a[r * row] * b0;
            if (registers == 2) sum[r][1] += a[r * row] * b1;
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < registers; i++) {
            float *c = C + r * ldc + i * RL_FLOATS;
            store_floats(c, accumulate ? alpha * sum[r][i] + load_floats(c) : alpha * sum[r][i]);
        }
}

/* All M rows of one panel of columns. */
RL_INLINE void product_panel(const int registers, float *C, int64_t ldc, small_matrix A, const float *b, int64_t ldb,
                             int64_t M, int64_t K, float alpha, bool accumulate)
{
    int64_t i = 0;
#define RL_TILE(rows)                                                                                              \
    product_tile(rows, registers, C + i * ldc, ldc, A.data + i * A.row, A.row, A.column, b, ldb, K, alpha, accumulate)
    for (; i + TILE_ROWS <= M; i += TILE_ROWS) RL_TILE(TILE_ROWS);
    switch (M - i) {
    case 5: RL_TILE(5); break;
    case 4: RL_TILE(4); break;
    case 3: RL_TILE(3); break;
    case 2: RL_TILE(2); break;
    case 1: RL_TILE(1); break;
    default: break;
    }
#undef RL_TILE
}

/* Columns that do not fill a register: only head sizes that are no multiple of it have any. */
static inline void product_rest(float *C, int64_t ldc, small_matrix A, const float *b, int64_t ldb, int64_t M,
                                int64_t N, int64_t K, float alpha, bool accumulate)
{
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            float sum = 0.0f;
            for (int64_t k = 0; k < K; k++) sum += A.data[i * A.row + k * A.column] * b[k * ldb + j];
            C[i * ldc + j] = accumulate ? alpha * sum + C[i * ldc + j] : alpha * sum;
        }
}

/* C[M,N] = alpha A[M,K] B[K,N], + C when accumulate. */
static void small_product(float *C, int64_t ldc, small_matrix A, const float *B, int64_t ldb, int64_t M, int64_t N,
                          int64_t K, float alpha, bool accumulate)
{
    int64_t j = 0;
    for (; j + 2 * RL_FLOATS <= N; j += 2 * RL_FLOATS)
        product_panel(2, C + j, ldc, A, B + j, ldb, M, K, alpha, accumulate);
    for (; j + RL_FLOATS <= N; j += RL_FLOATS) product_panel(1, C + j, ldc, A, B + j, ldb, M, K, alpha, accumulate);
    if (j < N) product_rest(C + j, ldc, A, B + j, ldb, M, N - j, K, alpha, accumulate);
}

#endif
