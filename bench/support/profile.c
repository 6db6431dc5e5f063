/* profile.c -- a clock around every public pass of linalg, by the linker's --wrap=NAME: callers of NAME reach
 * __wrap_NAME, and __real_NAME is the function itself. */
#include "profile.h"

#include "clock.h"
#include "relearn/linalg.h"

#include <stdio.h>

const char *const class_names[NUM_CLASSES] = {"gemm",      "attention",  "norms",     "gelu", "dropout",
                                              "optimizer", "embeddings", "bias_sums", "loss", "other"};

static _Thread_local profile *counting;

static double now(const profile *p) { return clock_now(p->cpu_time); }

void profile_begin(profile *p, bool cpu_time)
{
    *p = (profile){.cpu_time = cpu_time};
    p->began = now(p);
    counting = p;
}

double profile_end(void)
{
    profile *p = counting;
    double whole = now(p) - p->began, known = 0;
    counting = NULL;
    for (int c = 0; c < CLASS_OTHER; c++) known += p->seconds[c];
    p->seconds[CLASS_OTHER] = whole - known;
    return whole;
}

void profile_separate_dropout(profile *with, const profile *without)
{
    static const kernel_class fused[] = {CLASS_ATTENTION, CLASS_NORMS};
    for (int i = 0; i < 2; i++) {
        double inside = with->seconds[fused[i]] - without->seconds[fused[i]];
        if (inside < 0) inside = 0; /* less than the noise */
        with->seconds[fused[i]] -= inside;
        with->seconds[CLASS_DROPOUT] += inside;
    }
}

void profile_print(const profile *p, double whole)
{
    printf("\"shares\":{");
    for (int c = 0; c < NUM_CLASSES; c++)
        printf("%s\"%s\":%.4f", c ? "," : "", class_names[c], p->seconds[c] / whole);
    printf("},\"outside_gemm\":%.4f", 1 - p->seconds[CLASS_GEMM] / whole);
}

rl_status profile_check(const profile *p, bool training, rl_error *err)
{
    for (int c = 0; c < CLASS_OTHER; c++) {
        bool trains_only = c == CLASS_DROPOUT || c == CLASS_OPTIMIZER || c == CLASS_BIAS_SUMS || c == CLASS_LOSS;
        if (p->seconds[c] <= 0 && (training || !trains_only))
            return rl_fail(err, RL_ERR_INTERNAL, "the profile counted nothing as %s", class_names[c]);
    }
    return RL_OK;
}

/* WRAPPED(class, name, (parameters), (arguments)) for passes that return nothing; WRAPPED_RETURN for the others. */
#define WRAPPED(class, name, parameters, arguments)                                                                   \
    void __real_##name parameters;                                                                                    \
    void __wrap_##name parameters;                                                                                    \
    void __wrap_##name parameters                                                                                     \
    {                                                                                                                 \
        double from = counting ? now(counting) : 0;                                                                   \
        __real_##name arguments;                                                                                      \
        if (counting) counting->seconds[class] += now(counting) - from;                                               \
    }
#define WRAPPED_RETURN(class, name, parameters, arguments)                                                            \
    double __real_##name parameters;                                                                                  \
    double __wrap_##name parameters;                                                                                  \
    double __wrap_##name parameters                                                                                   \
    {                                                                                                                 \
        double from = counting ? now(counting) : 0, result = __real_##name arguments;                                 \
        if (counting) counting->seconds[class] += now(counting) - from;                                               \
        return result;                                                                                                \
    }

/* ------------------------------------------------------------------------------------------------- products */

WRAPPED(CLASS_GEMM, rl_gemm,
        (bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A, int64_t lda,
         const float *B, int64_t ldb, float beta, float *C, int64_t ldc),
        (transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc))
WRAPPED(CLASS_GEMM, rl_linear_forward,
        (float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N, int64_t K),
        (y, x, weight, bias, T, N, K))
WRAPPED(CLASS_GEMM, rl_linear_in_out_forward,
        (float *y, const float *x, const float *weight, const float *bias, int64_t T, int64_t N, int64_t K),
        (y, x, weight, bias, T, N, K))
WRAPPED(CLASS_BIAS_SUMS, rl_column_sums, (float *sums, const float *x, int64_t T, int64_t N), (sums, x, T, N))

/* The bias gradient is asked for apart, which is how linalg makes it too. */
#define WRAPPED_BACKWARD(name)                                                                                        \
    void __real_##name(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,  \
                       int64_t T, int64_t N, int64_t K, bool accumulate_dx);                                          \
    void __wrap_##name(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,  \
                       int64_t T, int64_t N, int64_t K, bool accumulate_dx);                                          \
    void __wrap_##name(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *weight,  \
                       int64_t T, int64_t N, int64_t K, bool accumulate_dx)                                           \
    {                                                                                                                 \
        double from = counting ? now(counting) : 0;                                                                   \
        __real_##name(dx, dweight, NULL, dy, x, weight, T, N, K, accumulate_dx);                                      \
        if (counting) counting->seconds[CLASS_GEMM] += now(counting) - from;                                          \
        if (dbias) __wrap_rl_column_sums(dbias, dy, T, N);                                                            \
    }
WRAPPED_BACKWARD(rl_linear_backward)
WRAPPED_BACKWARD(rl_linear_in_out_backward)

/* ---------------------------------------------------------------------------------------------------- passes */

WRAPPED(CLASS_DROPOUT, rl_dropout_apply, (float *y, const float *x, int64_t n, rl_dropout dropout), (y, x, n, dropout))
WRAPPED(CLASS_NORMS, rl_layer_norm_forward,
        (float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta, int64_t T,
         int64_t C, float eps),
        (y, mean, rstd, x, gamma, beta, T, C, eps))
WRAPPED(CLASS_NORMS, rl_residual_layer_norm_forward,
        (float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias, const float *residual,
         const float *gamma, const float *beta, int64_t T, int64_t C, float eps, rl_dropout dropout),
        (y, sum, mean, rstd, x, bias, residual, gamma, beta, T, C, eps, dropout))
WRAPPED(CLASS_NORMS, rl_layer_norm_backward,
        (float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean, const float *rstd,
         const float *gamma, int64_t T, int64_t C),
        (dx, dgamma, dbeta, dy, x, mean, rstd, gamma, T, C))
WRAPPED(CLASS_NORMS, rl_residual_forward,
        (float *sum, const float *x, const float *bias, const float *residual, int64_t T, int64_t C,
         rl_dropout dropout),
        (sum, x, bias, residual, T, C, dropout))
WRAPPED(CLASS_NORMS, rl_add, (float *y, const float *a, const float *b, int64_t n), (y, a, b, n))
WRAPPED(CLASS_GELU, rl_bias_gelu_forward,
        (float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F), (y, pre, x, bias, T, F))
WRAPPED(CLASS_GELU, rl_bias_gelu_backward,
        (float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F),
        (dpre, dbias, dy, pre, T, F))
WRAPPED(CLASS_GELU, rl_bias_tanh_gelu_forward,
        (float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F), (y, pre, x, bias, T, F))
WRAPPED(CLASS_GELU, rl_bias_tanh_gelu_backward,
        (float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F),
        (dpre, dbias, dy, pre, T, F))
WRAPPED(CLASS_ATTENTION, rl_attention_forward,
        (float *out, float *probs, const float *qkv, const int32_t *start, int64_t B, int64_t H, int64_t D,
         rl_attention_scores scores, rl_dropout dropout, float *scratch),
        (out, probs, qkv, start, B, H, D, scores, dropout, scratch))
WRAPPED(CLASS_ATTENTION, rl_attention_backward,
        (float *dqkv, const float *dout, const float *qkv, const float *probs, const int32_t *start, int64_t B,
         int64_t H, int64_t D, rl_attention_scores scores, rl_dropout dropout, float *scratch),
        (dqkv, dout, qkv, probs, start, B, H, D, scores, dropout, scratch))
WRAPPED(CLASS_EMBEDDINGS, rl_embedding_forward,
        (float *sum, const float *word, const float *position, const float *type0, const int32_t *ids,
         const int32_t *start, int64_t B, int64_t C),
        (sum, word, position, type0, ids, start, B, C))
WRAPPED(CLASS_EMBEDDINGS, rl_embedding_backward,
        (float *dword, float *dposition, float *dtype, int64_t num_types, const float *dsum, const int32_t *ids,
         const int32_t *start, int64_t B, int64_t C, int64_t vocab_size, int64_t num_positions, int32_t pad_id,
         const int32_t *rows, int64_t num_rows),
        (dword, dposition, dtype, num_types, dsum, ids, start, B, C, vocab_size, num_positions, pad_id, rows,
         num_rows))
WRAPPED(CLASS_LOSS, rl_argmax_rows, (int32_t *best, const float *x, int64_t T, int64_t K), (best, x, T, K))
WRAPPED_RETURN(CLASS_LOSS, rl_cross_entropy,
               (float *dlogits, const float *logits, const int32_t *labels, int64_t T, int64_t K),
               (dlogits, logits, labels, T, K))

/* ------------------------------------------------------------------------------------------------- optimiser */

/* Bytes of memory that the pass reads and writes, were none of it in a cache. */
#define COUNT_BYTES(per_weight, n) \
    if (counting) counting->optimizer_bytes += (per_weight) * (double)(n)

double __real_rl_sum_of_squares(const float *x, int64_t n);
double __wrap_rl_sum_of_squares(const float *x, int64_t n);
double __wrap_rl_sum_of_squares(const float *x, int64_t n)
{
    double from = counting ? now(counting) : 0, sum = __real_rl_sum_of_squares(x, n);
    if (counting) counting->seconds[CLASS_OPTIMIZER] += now(counting) - from;
    COUNT_BYTES(4.0, n);
    return sum;
}

WRAPPED(CLASS_OPTIMIZER, rl_adamw_idle_steps,
        (float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates, int64_t count),
        (p, m, v, n, settings, rates, count))

void __real_rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings);
void __wrap_rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings);
void __wrap_rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings)
{
    double from = counting ? now(counting) : 0;
    __real_rl_adamw_step(p, g, m, v, n, settings);
    if (counting) counting->seconds[CLASS_OPTIMIZER] += now(counting) - from;
    COUNT_BYTES(28.0, n); /* p, g, m, v in; p, m, v out */
}
