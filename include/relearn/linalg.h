/* relearn/linalg.h -- the numbers: matrix products and the fused passes between them.
 *
 * Plain arrays in, plain arrays out; no model knowledge. All matrices are row-major float32, last index fastest.
 * Letters (docs/notation.md): T tokens of a packed batch, C hidden_size, H heads, D = C/H, F intermediate_size,
 * K labels. A packed batch of B sentences has start[B+1], sentence b owning tokens start[b]..start[b+1]-1.
 * Kernels are compiled once per ISA (baseline, AVX2+FMA, AVX-512) and picked at rl_linalg_init; sums have a fixed
 * order, so one binary + back end + ISA gives the same bits every time. Leans on core. Not one allocation inside a
 * kernel. Kernels assert nothing about content: NaN in gives NaN out. */
#ifndef RELEARN_LINALG_H
#define RELEARN_LINALG_H

#include "relearn/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------- start of day */

/* Choose back end and ISA, keep every BLAS single-threaded (threads are ours, see below), and check one product against a naive one
 * (RL_ERR_INTERNAL names the back end when they differ). backend: NULL = RELEARN_GEMM from the environment, else the
 * build's best. Idempotent; call once per process before any kernel. */
rl_status rl_linalg_init(const char *backend, rl_error *err);
/* Before the first call of a process into BLAS itself (double precision has no other way): OpenBLAS takes 128 MiB for its buffers then, and
 * where a limit refuses them it asks again for ever. RL_ERR_MEMORY instead. */
rl_status rl_linalg_check_room(rl_error *err);
const char *rl_gemm_backend(void);                        /* "onednn" or "cblas" in use */
/* The library behind it, its version and the kernel it picked for this CPU: another one may give other bits, so this is
 * part of every stage key. Valid until the next call. */
const char *rl_gemm_backend_version(void);
const char *rl_isa_name(void);                            /* "baseline", "avx2" or "avx512" in use; RELEARN_ISA lowers it */
size_t rl_gemm_backends(const char *const **names);       /* back ends compiled in */
/* GFLOP/s of one back end on [M,K]x[K,N] products, the best of what fits into about seconds_budget: what the core can do. 0 when not compiled in. */
double rl_gemm_rate(const char *backend, int64_t M, int64_t N, int64_t K, double seconds_budget);
/* What it sustains, as GFLOP/s of core time: the mean over at_once measurements, side by side on as many of this process's cores as there are.
 * Cores share clocks, caches and, on a virtual machine, other guests: what one has alone, or at its best, is not what each of several has.
 * For least_s where the rate is steady, and up to most_s where it is not. 0 when not compiled in. */
double rl_gemm_sustained_rate(const char *backend, int64_t M, int64_t N, int64_t K, double least_s, double most_s, int at_once);
double rl_fma_peak_gflops(void);                          /* measured FMA peak of one core with the ISA in use */

/* ----------------------------------------------------------------------------------------------- threads */

/* The calling thread and num_threads - 1 others share every pass of this header from now on (1: they leave). Only between
 * passes, from one thread of the process, and before workspaces are made (attention needs scratch for each).
 * RL_ERR_INPUT: not 1 .. RL_MAX_THREADS. */
#define RL_MAX_THREADS 256
rl_status rl_linalg_set_threads(int num_threads, rl_error *err);
int rl_linalg_threads(void);
/* *keep: the back end in use gives the same bits at any number of threads; otherwise rl_gemm_backend_version, and with it
 * every stage key, names the number. Everything but matrix products keeps its bits always. */
rl_status rl_linalg_threads_keep_bits(bool *keep, rl_error *err);
/* work(context, worker, piece) for piece 0 .. num_pieces - 1, in no order, by whichever thread is free; returns when all are
 * done. worker is 0 .. threads - 1. Pieces must not write what another one reads or writes. Inside a piece nothing is
 * shared again. */
typedef void rl_piece_function(void *context, int worker, int64_t piece);
void rl_share_out(int64_t num_pieces, rl_piece_function *work, void *context);

/* -------------------------------------------------------------------------------------------------- gemm */

/* C[M,N] = alpha * op(A)[M,K] op(B)[K,N] + beta * C, row-major; beta == 0 never reads C. lda/ldb/ldc are the row
 * strides of the arrays as stored. */
void rl_gemm(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
             int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc);
/* The same by one call of the back end, on the calling thread: the rate that others are held against (bench/). */
void rl_gemm_of_library(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
                        int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc);
/* y[T,N] = x[T,K] W^T [+ bias], W[N,K] as torch.nn.Linear stores it; bias may be NULL. */
void rl_linear_forward(float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N, int64_t K);
/* dx[T,K] = dy W (NULL: skipped; accumulate_dx adds to what dx holds); dweight[N,K] = dy^T x; dbias[N] = column sums
 * of dy (NULL: skipped). dweight and dbias are written, not accumulated. */
void rl_linear_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,
                        int64_t T, int64_t N, int64_t K, bool accumulate_dx);
/* The same with W[K,N], as GPT-2's Conv1D stores it. */
void rl_linear_in_out_forward(float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N,
                              int64_t K);
void rl_linear_in_out_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                               const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx);

/* ------------------------------------------------------------------------------------------------ bf16 */

/* The linear layers with both factors of each product rounded to bfloat16 (8 bits of mantissa, nearest even) and sums kept
 * in float32, as torch.autocast does: up to twice float32's FLOPs a second where the processor has AVX512-BF16, several times where
 * it has AMX; shared by the threads, same bits at any number of them. What comes in and goes out is float32. One object holds the rounded
 * factor of the call under way: one call at a time. */
typedef struct rl_bf16 rl_bf16;
/* RL_ERR_INPUT says what this processor, RELEARN_ISA or this build lacks. After rl_linalg_init. */
rl_status rl_bf16_check(rl_error *err);
/* Which products they are, with version and instructions: belongs to whatever names the bits. */
const char *rl_bf16_version(void);
/* For T <= max_rows, N and K <= max_width. Fails as rl_bf16_check does; RL_ERR_INTERNAL when its products
 * differ from naive ones. */
rl_status rl_bf16_create(rl_bf16 **out, int64_t max_rows, int64_t max_width, rl_error *err);
void rl_bf16_free(rl_bf16 *products);
/* As rl_linear_forward and rl_linear_backward; in_out: as their rl_linear_in_out_ kin. */
void rl_bf16_linear_forward(rl_bf16 *products, bool in_out, float *y, const float *x, const float *weight, const float *bias,
                            int64_t T, int64_t N, int64_t K);
void rl_bf16_linear_backward(rl_bf16 *products, bool in_out, float *dx, float *dweight, float *dbias, const float *dy,
                             const float *x, const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx);
/* Nearest bfloat16, ties to even, as bits; a NaN stays one. */
void rl_bf16_round(uint16_t *y, const float *x, int64_t n);

/* --------------------------------------------------------------------------------------------- dropout */

/* Counter-based dropout: element e of (seed, step, layer, site) is zeroed when its 32 Philox bits < p * 2^32, and
 * scaled by 1/(1-p) otherwise; forward and backward recompute the same mask, so none is stored. p == 0: identity. */
typedef struct rl_dropout {
    float p;
    uint32_t key[2];  /* rl_rng_key(seed, RL_PURPOSE_DROPOUT) */
    uint32_t step;    /* optimiser step, from 0 */
    uint32_t stream;  /* layer * 16 + site: a different value for every dropout of the model */
} rl_dropout;
static inline rl_dropout rl_dropout_none(void)
{
    rl_dropout none = {0};
    return none;
}
/* y = dropout(x), n elements; y may be x. Backward is the same call on dy. */
void rl_dropout_apply(float *y, const float *x, int64_t n, rl_dropout dropout);

/* ----------------------------------------------------------------------------------- elementwise + norms */

/* y = LayerNorm(x) * gamma + beta over rows of C. mean[T], rstd[T] are saved for backward.
 * Source: torch.nn.functional.layer_norm (biased variance). */
void rl_layer_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta,
                           int64_t T, int64_t C, float eps);
/* sum = residual + dropout(x + bias) (bias NULL: none); y = LayerNorm(sum). `sum` [T,C] is saved for backward; it may
 * be x. */
void rl_residual_layer_norm_forward(float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias,
                                    const float *residual, const float *gamma, const float *beta, int64_t T, int64_t C,
                                    float eps, rl_dropout dropout);
/* dx [T,C] from dy; dgamma, dbeta [C] written. x is the normalised input (`sum` above). dx may be dy. */
void rl_layer_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean,
                            const float *rstd, const float *gamma, int64_t T, int64_t C);
/* GELU of BERT (erf), with the bias added first: pre = x + bias; y = gelu(pre). pre [T,F] saved; pre may be x. */
void rl_bias_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F);
/* dpre = dy * gelu'(pre); dbias[F] = column sums of dpre. dpre may be dy. */
void rl_bias_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F);
/* The same with GPT-2's tanh form: y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), protocol §2.1. */
void rl_bias_tanh_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F);
void rl_bias_tanh_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F);
/* sum = residual + dropout(x + bias), for blocks whose norms stand first. sum may be x or residual. */
void rl_residual_forward(float *sum, const float *x, const float *bias, const float *residual, int64_t T, int64_t C,
                         rl_dropout dropout);
void rl_column_sums(float *sums, const float *x, int64_t T, int64_t N); /* fixed order */
void rl_add(float *y, const float *a, const float *b, int64_t n);       /* y may be a or b */

/* ------------------------------------------------------------------------------------------- attention */

/* How scores are made of Q K^T: times scale; causal: a query sees keys up to its own place only. */
typedef struct rl_attention_scores {
    float scale;
    bool causal;
} rl_attention_scores;
rl_attention_scores rl_attention_scores_default(int64_t D); /* 1 / sqrt(D), all keys */
/* Per sentence and head softmax(scale Q K^T) V on packed qkv[T, 3C] (q | k | v, head-major inside each).
 * out[T,C]. probs: saved softmax before dropout, sentence b at offset H * sum_{i<b} n_i^2, then [H, n, n]; a caller
 * sizes it by rl_attention_probs_count; NULL: not kept, and no dropout. Dropout is on the probabilities, element = index
 * in probs. */
int64_t rl_attention_probs_count(const int32_t *start, int64_t B, int64_t H);
/* Floats of scratch for one call, with as many threads as there are now. */
size_t rl_attention_scratch_count(int64_t max_length, int64_t D);
void rl_attention_forward(float *out, float *probs, const float *qkv, const int32_t *start, int64_t B, int64_t H,
                          int64_t D, rl_attention_scores scores, rl_dropout dropout, float *scratch);
/* dqkv[T,3C] written. */
void rl_attention_backward(float *dqkv, const float *dout, const float *qkv, const float *probs, const int32_t *start,
                           int64_t B, int64_t H, int64_t D, rl_attention_scores scores, rl_dropout dropout,
                           float *scratch);

/* ------------------------------------------------------------------------------------------ embeddings */

/* sum[t] = word[ids[t]] + position[t - start of its sentence] + type0 (type0 NULL: none). */
void rl_embedding_forward(float *sum, const float *word, const float *position, const float *type0, const int32_t *ids,
                          const int32_t *start, int64_t B, int64_t C);
/* Gradients of the three tables from dsum; all of the tables' rows are written (zero where untouched), but of dword only
 * rows[num_rows], which hold every id once, when rows is given. Row pad_id of word gets zero gradient (torch
 * padding_idx; pad_id < 0: none). */
void rl_embedding_backward(float *dword, float *dposition, float *dtype, int64_t num_types, const float *dsum,
                           const int32_t *ids, const int32_t *start, int64_t B, int64_t C, int64_t vocab_size,
                           int64_t num_positions, int32_t pad_id, const int32_t *rows, int64_t num_rows);

/* ------------------------------------------------------------------------------------------------ loss */

/* Mean over labels[t] != -100 of -log softmax(logits[t])[label] (double sum, fixed order); dlogits [T,K] (may be NULL)
 * the gradient. With no labelled token the loss is NaN as torch's is, and dlogits is NaN-free zeros. */
double rl_cross_entropy(float *dlogits, const float *logits, const int32_t *labels, int64_t T, int64_t K);
/* argmax per row, ties to the lowest index. */
void rl_argmax_rows(int32_t *best, const float *x, int64_t T, int64_t K);

/* ----------------------------------------------------------------------------------------------- adamw */

typedef enum rl_optimizer {
    RL_ADAMW_TORCH, /* torch.optim.AdamW: decay first; eps after the bias correction of v */
    RL_ADAMW_HF     /* transformers 4's AdamW: eps before the correction; decay afterwards   (protocol §3) */
} rl_optimizer;
typedef struct rl_adamw {
    rl_optimizer variant;
    double learning_rate, beta1, beta2, eps, weight_decay; /* double: 1 - 0.999f is off by 1e-5; weight_decay 0 for
                                                              biases and LayerNorm */
    int64_t step;                                         /* t, from 1 */
    float gradient_scale;                                 /* clip factor min(1, max_norm/(norm+1e-6)), applied on the fly */
} rl_adamw;
/* One pass: weights p, gradients g (unchanged), moments m, v of n elements. */
void rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings);
/* What differs between the steps of one training, rounded as rl_adamw_step rounds it. */
typedef struct rl_adamw_rates {
    float decay, rate, correction; /* RL_ADAMW_TORCH: 1 - lr wd, lr / b1, 1 / sqrt b2. RL_ADAMW_HF: lr wd, lr sqrt b2 / b1, unused */
} rl_adamw_rates;
rl_adamw_rates rl_adamw_rates_of(rl_adamw settings);
/* `count` steps whose gradient is zero, at rates[0], rates[1], ..: the bits of as many rl_adamw_step calls, in one pass
 * over memory. For rows of an embedding table that no batch has read. Of settings only variant, betas and eps count. */
void rl_adamw_idle_steps(float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates,
                         int64_t count);
double rl_sum_of_squares(const float *x, int64_t n); /* double lanes, fixed order: gradient norms */

/* --------------------------------------------------------------------- vector functions, tested to 4 ulp */
void rl_exp(float *y, const float *x, int64_t n);
void rl_erf(float *y, const float *x, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
