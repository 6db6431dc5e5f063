/* products.c -- matrix products as the rest of the program asks for them, cut into pieces where threads share them.
 *
 * A piece is a call of the back end on some columns (or rows) of C over the whole of K. Whether an element's sum is then
 * rounded as in one call on everything is the library's doing:
 *   oneDNN, AVX-512: K is summed in blocks, whose ends depend on K alone up to 768 and at multiples of 384. Elsewhere two
 *     ways of blocking meet (384, 384, rest, or 384 and two halves), chosen by all three sizes: gemm_driver.cpp
 *     (get_k_padd, nocopy_checker_avx512) and jit_avx512_core_gemm_f32.cpp. Such a product is not cut: it is the gradient
 *     of a weight by a batch of more than 768 tokens, and stands beside that of the input, which is.
 *   oneDNN, SSE4.1: one way of blocking, by K alone.
 *   oneDNN, AVX2, and every CBLAS: no such rule. Products are cut all the same, and the number of threads is part of the
 *     bits (rl_linalg_threads_keep_bits).
 * A promise is checked on a few products before it is believed. Cuts lie at multiples of 48, which every tile (8 to 48
 * wide) divides, so that no piece has more edge tiles than the whole. No piece is smaller than that: a product of one column, or
 * A B^T of up to 15 rows, goes through other kernels with other sums. */
#include "linalg_internal.h"

#include <string.h>

enum { CUT_UNIT = 48, WORTH_CUTTING = 1 << 20 /* multiply-adds: 10 microseconds */ };

typedef struct product {
    bool transpose_a, transpose_b;
    int64_t M, N, K;
    float alpha, beta;
    const float *A, *B, *bias; /* bias (NULL: none) is laid down first, and the product added to it */
    int64_t lda, ldb, ldc;
    float *C;
    bool by_columns;
    rl_pieces pieces;
} product;

static bool may_cut(int64_t K)
{
    rl_cut_rule rule = rl_gemm_cut_rule();
    return rule != RL_CUT_EVEN_K || K <= 768 || K % 384 == 0;
}

static void cut(product *p)
{
    bool worth = p->M * p->N * p->K >= WORTH_CUTTING && may_cut(p->K);
    p->by_columns = p->N >= p->M;
    int64_t n = p->by_columns ? p->N : p->M, most = n / CUT_UNIT > 1 ? n / CUT_UNIT : 1;
    p->pieces = rl_cut(n, CUT_UNIT, 1, worth ? RL_WORTH_SHARING : 0);
    if (p->pieces.count > most) p->pieces.count = most; /* what is left over joins the last whole unit */
}

/* One write instead of a pass that reads and writes. */
static void lay_bias(const product *p, float *C, int64_t M, int64_t first, int64_t N)
{
    for (int64_t t = 0; p->bias && t < M; t++) memcpy(C + t * p->ldc, p->bias + first, (size_t)N * sizeof *C);
}

static void multiply_piece(const product *p, int64_t piece)
{
    int64_t from = rl_piece_start(p->pieces, piece), count = rl_piece_start(p->pieces, piece + 1) - from;
    int64_t M = p->M, N = p->N;
    const float *A = p->A, *B = p->B;
    float *C = p->C;
    if (p->by_columns) {
        B += p->transpose_b ? from * p->ldb : from;
        C += from;
        N = count;
    } else {
        A += p->transpose_a ? from : from * p->lda;
        C += from * p->ldc;
        M = count;
    }
    lay_bias(p, C, M, p->by_columns ? from : 0, N);
    rl_gemm_product()(p->transpose_a, p->transpose_b, M, N, p->K, p->alpha, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
}

/* Products that do not wait for each other. */
typedef struct product_list {
    product products[2];
    int count;
} product_list;

static void list_piece(void *context, int worker, int64_t piece)
{
    const product_list *list = context;
    int i = 0;
    (void)worker;
    for (; piece >= list->products[i].pieces.count; i++) piece -= list->products[i].pieces.count;
    multiply_piece(&list->products[i], piece);
}

static void add_product(product_list *list, product p)
{
    if (p.M <= 0 || p.N <= 0) return; /* some CBLAS print a complaint about these */
    cut(&p);
    list->products[list->count++] = p;
}

static void multiply(product_list *list)
{
    int64_t pieces = 0;
    for (int i = 0; i < list->count; i++) pieces += list->products[i].pieces.count;
    rl_share_out(pieces, list_piece, list);
}

static void multiply_one(product p)
{
    product_list list = {.count = 0};
    add_product(&list, p);
    multiply(&list);
}

/* ----------------------------------------------------------------------------------------------------- use */

void rl_gemm(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
             int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    multiply_one((product){.transpose_a = transpose_a, .transpose_b = transpose_b, .M = M, .N = N, .K = K, .alpha = alpha,
                           .beta = beta, .A = A, .lda = lda, .B = B, .ldb = ldb, .C = C, .ldc = ldc});
}

void rl_linear_forward(float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N,
                       int64_t K)
{
    multiply_one((product){.transpose_b = true, .M = T, .N = N, .K = K, .alpha = 1.0f, .beta = bias ? 1.0f : 0.0f, .A = x,
                           .lda = K, .B = weight, .ldb = K, .C = y, .ldc = N, .bias = bias});
}

/* dweight first: where it may not be cut, one thread is at it while the others begin with dx. */
void rl_linear_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,
                        int64_t T, int64_t N, int64_t K, bool accumulate_dx)
{
    product_list list = {.count = 0};
    add_product(&list, (product){.transpose_a = true, .M = N, .N = K, .K = T, .alpha = 1.0f, .A = dy, .lda = N, .B = x,
                                 .ldb = K, .C = dweight, .ldc = K});
    if (dx)
        add_product(&list, (product){.M = T, .N = K, .K = N, .alpha = 1.0f, .beta = accumulate_dx ? 1.0f : 0.0f, .A = dy,
                                     .lda = N, .B = weight, .ldb = K, .C = dx, .ldc = K});
    multiply(&list);
    if (dbias) rl_column_sums(dbias, dy, T, N);
}

void rl_linear_in_out_forward(float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N,
                              int64_t K)
{
    multiply_one((product){.M = T, .N = N, .K = K, .alpha = 1.0f, .beta = bias ? 1.0f : 0.0f, .A = x, .lda = K,
                           .B = weight, .ldb = N, .C = y, .ldc = N, .bias = bias});
}

void rl_linear_in_out_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx)
{
    product_list list = {.count = 0};
    add_product(&list, (product){.transpose_a = true, .M = K, .N = N, .K = T, .alpha = 1.0f, .A = x, .lda = K, .B = dy,
                                 .ldb = N, .C = dweight, .ldc = N});
    if (dx)
        add_product(&list, (product){.transpose_b = true, .M = T, .N = K, .K = N, .alpha = 1.0f,
                                     .beta = accumulate_dx ? 1.0f : 0.0f, .A = dy, .lda = N, .B = weight, .ldb = N,
                                     .C = dx, .ldc = K});
    multiply(&list);
    if (dbias) rl_column_sums(dbias, dy, T, N);
}

/* ---------------------------------------------------------------------------------------- promises, checked */

/* Large enough for the copying kernels of the whole, small enough for the others of the piece. */
enum { SAMPLE_M = 1056, SAMPLE_N = 1104, PIECE_ROW = 960, PIECE_COLUMN = 912, PIECE_M = 96, PIECE_N = 144 };

static bool same_piece(bool transpose_a, bool transpose_b, int64_t K, const float *A, const float *B, float *whole,
                       float *piece)
{
    int64_t lda = transpose_a ? SAMPLE_M : K, ldb = transpose_b ? K : SAMPLE_N;
    rl_gemm_function *gemm = rl_gemm_of_library;
    gemm(transpose_a, transpose_b, SAMPLE_M, SAMPLE_N, K, 1.0f, A, lda, B, ldb, 0.0f, whole, SAMPLE_N);
    gemm(transpose_a, transpose_b, PIECE_M, PIECE_N, K, 1.0f, transpose_a ? A + PIECE_ROW : A + PIECE_ROW * lda, lda,
            transpose_b ? B + PIECE_COLUMN * ldb : B + PIECE_COLUMN, ldb, 0.0f, piece, PIECE_N);
    for (int64_t i = 0; i < PIECE_M; i++)
        // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): bits are what must be the same, a zero's sign included
        if (memcmp(piece + i * PIECE_N, whole + (PIECE_ROW + i) * SAMPLE_N + PIECE_COLUMN, PIECE_N * sizeof *piece) != 0)
            return false;
    return true;
}

rl_status rl_gemm_cuts_keep_bits(bool *keep, rl_error *err)
{
    static const int64_t sizes[] = {500, 1152}; /* below and above two blocks; the second a multiple of one */
    rl_status status = RL_OK;
    float *A = NULL, *B = NULL, *whole = NULL, *piece = NULL;
    bool same = true;
    RL_ALLOC(A, SAMPLE_M * sizes[1], err);
    RL_ALLOC(B, SAMPLE_N * sizes[1], err);
    RL_ALLOC(whole, SAMPLE_M * SAMPLE_N, err);
    RL_ALLOC(piece, PIECE_M * PIECE_N, err);
    rl_gemm_fill_sample(A, SAMPLE_M * sizes[1]);
    for (int64_t i = 0; i < SAMPLE_N * sizes[1]; i++) B[i] = A[SAMPLE_M * sizes[1] - 1 - i % (SAMPLE_M * sizes[1])];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int transposed = 0; same && transposed < 3; transposed++) /* as the linear layers ask: NN, TN, NT */
            same = same_piece(transposed == 1, transposed == 2, sizes[s], A, B, whole, piece);
    *keep = same;
cleanup:
    rl_free(A);
    rl_free(B);
    rl_free(whole);
    rl_free(piece);
    return status;
}
