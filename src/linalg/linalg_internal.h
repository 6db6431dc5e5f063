/* linalg_internal.h -- what the room keeps to itself: the table of kernels per instruction set, and the back ends. */
#ifndef RELEARN_LINALG_INTERNAL_H
#define RELEARN_LINALG_INTERNAL_H

#include "relearn/linalg.h"

#if defined(__x86_64__)
#define RL_X86_64 1
#endif

/* Every kernel that exists once per instruction set: X(result, name, arguments). The table, its prototypes and its
 * entries are all made from this list. The contracts stand in relearn/linalg.h; those of the few that are not public
 * stand here:
 *   dropout_at   y[i] = x[i] * factor of element first + i, so that a pass can be cut anywhere
 * Passes that threads share are cut by rows where rows stand alone ([from, T)), and by columns where rows are summed up
 * (`stride` floats from row to row of a [T, N] part):
 *   layer_norm_backward_rows, _columns   the two halves of layer_norm_backward: dx by rows; dgamma and dbeta by columns
 *   attention_forward, _backward         heads i .. heads - 1 of sentence b, whose probs begin at element `first`;
 *                                        probs NULL (no dropout then): not kept
 *   transpose    out [columns, rows] = in [rows, columns] turned, in_stride floats from row to row of `in`
 *   fma_work     `rounds` rounds of independent multiply-adds; returns the FLOPs done, *sink keeps them alive */
#define RL_KERNEL_LIST(X)                                                                                              \
    X(void, exp, (float *y, const float *x, int64_t n))                                                                \
    X(void, erf, (float *y, const float *x, int64_t n))                                                                \
    X(void, round_bf16, (uint16_t *y, const float *x, int64_t n))                                                      \
    X(void, dropout_at, (float *y, const float *x, uint64_t first, int64_t n, rl_dropout dropout))                     \
    X(void, layer_norm_forward,                                                                                        \
      (float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta, int64_t T,           \
       int64_t C, float eps))                                                                                          \
    X(void, residual_layer_norm_forward,                                                                               \
      (float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias, const float *residual,       \
       const float *gamma, const float *beta, int64_t from, int64_t T, int64_t C, float eps, rl_dropout dropout))      \
    X(void, layer_norm_backward,                                                                                       \
      (float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean, const float *rstd,  \
       const float *gamma, int64_t T, int64_t C))                                                                      \
    X(void, layer_norm_backward_rows,                                                                                  \
      (float *dx, const float *dy, const float *x, const float *mean, const float *rstd, const float *gamma,           \
       int64_t T, int64_t C))                                                                                          \
    X(void, layer_norm_backward_columns,                                                                               \
      (float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean, const float *rstd, int64_t T,  \
       int64_t C, int64_t stride))                                                                                     \
    X(void, bias_gelu_forward, (float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F))        \
    X(void, bias_gelu_backward,                                                                                        \
      (float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F, int64_t stride))            \
    X(void, bias_tanh_gelu_forward,                                                                                    \
      (float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F))                                 \
    X(void, bias_tanh_gelu_backward,                                                                                   \
      (float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F, int64_t stride))            \
    X(void, residual_forward,                                                                                          \
      (float *sum, const float *x, const float *bias, const float *residual, int64_t from, int64_t T, int64_t C,       \
       rl_dropout dropout))                                                                                            \
    X(void, column_sums, (float *sums, const float *x, int64_t T, int64_t N, int64_t stride))                          \
    X(void, add, (float *y, const float *a, const float *b, int64_t n))                                                \
    X(void, attention_forward,                                                                                         \
      (float *out, float *probs, const float *qkv, const int32_t *start, int64_t b, int64_t i, int64_t heads,          \
       int64_t H, int64_t D, uint64_t first, rl_attention_scores scores, rl_dropout dropout, float *scratch))          \
    X(void, attention_backward,                                                                                        \
      (float *dqkv, const float *dout, const float *qkv, const float *probs, const int32_t *start, int64_t b,          \
       int64_t i, int64_t heads, int64_t H, int64_t D, uint64_t first, rl_attention_scores scores,                     \
       rl_dropout dropout, float *scratch))                                                                            \
    X(void, adamw_step, (float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings))                  \
    X(void, adamw_idle_steps,                                                                                          \
      (float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates, int64_t count))        \
    X(void, transpose, (float *out, const float *in, int64_t rows, int64_t columns, int64_t in_stride))                \
    X(double, sum_of_squares, (const float *x, int64_t n))                                                             \
    X(double, fma_work, (int64_t rounds, float *sink))

#define RL_KERNEL_MEMBER(result, name, arguments) result(*name) arguments;
typedef struct rl_kernels {
    const char *isa;
    RL_KERNEL_LIST(RL_KERNEL_MEMBER)
} rl_kernels;

extern const rl_kernels rl_kernels_baseline;
#ifdef RL_X86_64
extern const rl_kernels rl_kernels_avx2, rl_kernels_avx512;
#endif
/* The table in use: baseline until rl_linalg_init has looked at the processor. */
extern const rl_kernels *rl_kernels_in_use;

/* Index of the named instruction set among rl_linalg_isas, of which a processor has the first `usable`; NULL: the best.
 * RL_ERR_INPUT when it is unknown or not there. */
rl_status rl_linalg_find_isa(size_t *index, const char *name, size_t usable, rl_error *err);
/* Find it on this processor and use it. */
rl_status rl_linalg_select_isa(const char *name, rl_error *err);
/* Instruction sets of this build, slowest first; those before *usable run on this processor. */
size_t rl_linalg_isas(const char *const **names, size_t *usable);

typedef void rl_gemm_function(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                              const float *A, int64_t lda, const float *B, int64_t ldb, float beta, float *C,
                              int64_t ldc);

/* Which products threads may cut so that every element is the sum it is without threads (gemm.c). */
typedef enum rl_cut_rule {
    RL_CUT_NEW_BITS, /* no such promise: the count of threads belongs to the bits */
    RL_CUT_EVEN_K,   /* those of K <= 768, or of a multiple of 384 */
    RL_CUT_ANY,      /* all */
} rl_cut_rule;
rl_cut_rule rl_gemm_cut_rule(void);
/* Find it out for the back end in use: before anything is cut. */
rl_status rl_gemm_learn_cut_rule(rl_error *err);
/* Whether pieces of a few products have the bits of the whole. */
rl_status rl_gemm_cuts_keep_bits(bool *keep, rl_error *err);
/* A new thread's share of keeping every BLAS single-threaded. */
void rl_gemm_enter_thread(void);
/* rl_gemm_of_library by way of turned tiles of B where A B^T is asked for (turned.c). */
rl_gemm_function rl_gemm_turning;
/* Whether a few of its products have the bits of the back end's own. */
rl_status rl_gemm_turning_keeps_bits(bool *keep, rl_error *err);
/* Numbers in [-0.5, 0.5) for both checks of bits, the same in every process. */
static inline void rl_gemm_fill_sample(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(rl_hash64(&i, sizeof i) >> 40) * 0x1p-24f - 0.5f;
}
/* Which of the two is in use for products of one thread. */
rl_gemm_function *rl_gemm_product(void);
/* One back end's own; NULL: this build has none of that name. */
rl_gemm_function *rl_gemm_product_of(const char *backend);

/* [0, n) cut into `count` pieces of whole units (the last may end early); none is empty. */
typedef struct rl_pieces {
    int64_t n, unit, count;
} rl_pieces;
/* As many pieces as threads times per_thread, or one where the pass touches fewer than RL_WORTH_SHARING floats. */
#define RL_WORTH_SHARING 8192
rl_pieces rl_cut(int64_t n, int64_t unit, int per_thread, int64_t floats);
static inline int64_t rl_piece_start(rl_pieces p, int64_t piece)
{
    int64_t at = (p.n + p.unit - 1) / p.unit * piece / p.count * p.unit;
    return at < p.n ? at : p.n;
}

/* Scratch of rl_attention_*: rows of queries that are worked on at a time, and the unit that key counts are padded to
 * (one AVX-512 vector; the same on every instruction set, so that a caller's scratch fits all). */
#define RL_ATTENTION_ROWS 64
#define RL_ATTENTION_PAD 16
static inline int64_t rl_attention_padded(int64_t n)
{
    return (n + RL_ATTENTION_PAD - 1) / RL_ATTENTION_PAD * RL_ATTENTION_PAD;
}

/* ------------------------------------------------------------------------------------------------ bfloat16 */

/* C[M,N] = op(A) op(B) [+ C], everything float32, row-major and dense; the factors are rounded on the way. */
typedef struct rl_bf16_shape {
    int64_t M, N, K;
    bool transpose_a, transpose_b, add;
} rl_bf16_shape;

/* Two ways to make it, with other bits; rl_bf16_create takes the better one that runs here. */
typedef enum rl_bf16_way { RL_BF16_AVX512, RL_BF16_AMX } rl_bf16_way;
bool rl_amx_usable(void); /* asks the operating system for the tiles: from then on this process may use them */
rl_status rl_bf16_create_way(rl_bf16 **out, rl_bf16_way way, int64_t max_rows, int64_t max_width, rl_error *err);

/* In tiles (bf16_tiles.c), with this much scratch for op(A) of M rows and K columns. Same bits at any number of threads. */
size_t rl_bf16_tiles_scratch(int64_t M, int64_t K);
void rl_bf16_tiles_product(rl_bf16_way way, rl_bf16_shape shape, const float *A, const float *B, float *C, uint32_t *scratch);

/* What they are made of (kernels/avx512_bf16). A packed panel is [pairs, group]: `group` rows of op(A) or columns of
 * op(B), two neighbours along the sum as bfloat16 in 32 bits, the first one low; an odd last one beside a zero. */
#ifdef RL_BF16_KERNELS
#define RL_HAS_BF16_KERNELS true
enum { RL_BF16_ROWS = 8, RL_BF16_COLUMNS = 48 };
typedef struct rl_bf16_factor {
    const float *data;
    int64_t ld;
    bool along_rows; /* the sum runs along rows of the array: number k of vector j is data[j * ld + k], else data[k * ld + j] */
} rl_bf16_factor;
/* Vectors from .. to - 1 of x, each `depth` long, into panels. group == RL_BF16_ROWS: panel after panel, the last one filled up
 * with zeros to a multiple of 16 vectors, from a multiple of 16. Else one panel, from 0. */
void rl_bf16_pack(uint32_t *out, int64_t group, rl_bf16_factor x, int64_t depth, int64_t from, int64_t to);
/* Cache lines to fetch meanwhile, one a step: runs of `run` lines `step` bytes apart, `jump` bytes between a run's end and the
 * next one's start; `count` are left. */
typedef struct rl_bf16_lines {
    const char *at;
    int64_t step, run, left_in_run, jump, count;
} rl_bf16_lines;
/* Rows from .. to - 1 of op(A) as the next function wants them: panels of RL_BF16_ROWS; for AMX, row after row, its pairs filled up with
 * zeros to a multiple of RL_BF16_STEP. Filled up to a multiple of 16 rows, from a multiple of 16. */
enum { RL_BF16_STEP = 16 };
static inline int64_t rl_bf16_whole_steps(int64_t pairs) { return (pairs + RL_BF16_STEP - 1) / RL_BF16_STEP * RL_BF16_STEP; }
typedef void rl_bf16_pack_left_function(uint32_t *out, rl_bf16_factor x, int64_t depth, int64_t from, int64_t to);
rl_bf16_pack_left_function rl_bf16_pack_left, rl_amx_pack_left;
/* C[M, width <= RL_BF16_COLUMNS] = A tile [+ C]; tile in one panel of RL_BF16_COLUMNS, filled up to a multiple of RL_BF16_STEP pairs. */
typedef void rl_bf16_multiply_function(float *C, int64_t ldc, bool add, const uint32_t *A, const uint32_t *tile, int64_t M, int64_t width,
                                       int64_t pairs, rl_bf16_lines *lines);
rl_bf16_multiply_function rl_bf16_multiply, rl_amx_multiply;
#else
#define RL_HAS_BF16_KERNELS false
#endif

/* All four transpositions of one product against a naive one in double; RL_ERR_INTERNAL names the back end. */
rl_status rl_gemm_check(const char *backend, rl_gemm_function *product, rl_error *err);

#endif
