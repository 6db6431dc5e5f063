/* isa.c -- which instruction set the kernels run on, and the public names that forward to its table. */
#include "linalg_internal.h"

#include <math.h>
#include <string.h>

const rl_kernels *rl_kernels_in_use = &rl_kernels_baseline;

#ifdef RL_X86_64
static const char *const isa_names[] = {"baseline", "avx2", "avx512"};
static const rl_kernels *const isa_tables[] = {&rl_kernels_baseline, &rl_kernels_avx2, &rl_kernels_avx512};

/* __builtin_cpu_supports also asks whether the operating system saves the wide registers. */
static size_t count_usable(void)
{
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? 3 : avx2 ? 2 : 1;
}
#else
static const char *const isa_names[] = {"baseline"};
static const rl_kernels *const isa_tables[] = {&rl_kernels_baseline};
static size_t count_usable(void)
{
    return 1;
}
#endif

#define NUM_ISAS (sizeof isa_names / sizeof *isa_names)

size_t rl_linalg_isas(const char *const **names, size_t *usable)
{
    *names = isa_names;
    *usable = count_usable();
    return NUM_ISAS;
}

static rl_status refuse_unknown(const char *name, rl_error *err)
{
    const char *nearest = rl_nearest_name(name, isa_names, NUM_ISAS);
    return rl_fail(err, RL_ERR_INPUT, "RELEARN_ISA=%s: unknown instruction set; expected %s%s%s%s", name,
                   NUM_ISAS > 1 ? "baseline, avx2 or avx512" : "baseline", nearest ? " (did you mean " : "",
                   nearest ? nearest : "", nearest ? "?)" : "");
}

rl_status rl_linalg_find_isa(size_t *index, const char *name, size_t usable, rl_error *err)
{
    size_t i = 0;
    while (name && i < NUM_ISAS && strcmp(name, isa_names[i]) != 0) i++;
    if (i == NUM_ISAS) return refuse_unknown(name, err);
    if (i >= usable)
        return rl_fail(err, RL_ERR_INPUT, "RELEARN_ISA=%s: this processor does not have it; the best it has is %s",
                       name, isa_names[usable - 1]);
    *index = name ? i : usable - 1;
    return RL_OK;
}

rl_status rl_linalg_select_isa(const char *name, rl_error *err)
{
    size_t index = 0;
    rl_status status = rl_linalg_find_isa(&index, name, count_usable(), err);
    if (status == RL_OK) rl_kernels_in_use = isa_tables[index];
    return status;
}

const char *rl_isa_name(void)
{
    return rl_kernels_in_use->isa;
}

double rl_fma_peak_gflops(void)
{
    float sink = 0.0f;
    double best = 0.0, end = rl_now_s() + 0.05;
    do { /* the best of many short bursts: other processes on the core only ever lower a rate */
        double begin = rl_now_s(), flops = rl_kernels_in_use->fma_work(20000, &sink), seconds = rl_now_s() - begin;
        if (seconds > 0 && flops / seconds > best) best = flops / seconds;
    } while (rl_now_s() < end);
    return best * 1e-9;
}

void rl_exp(float *y, const float *x, int64_t n)
{
    rl_kernels_in_use->exp(y, x, n);
}

void rl_erf(float *y, const float *x, int64_t n)
{
    rl_kernels_in_use->erf(y, x, n);
}

void rl_dropout_apply(float *y, const float *x, int64_t n, rl_dropout dropout)
{
    rl_kernels_in_use->dropout_at(y, x, 0, n, dropout);
}

void rl_layer_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta,
                           int64_t T, int64_t C, float eps)
{
    rl_kernels_in_use->layer_norm_forward(y, mean, rstd, x, gamma, beta, T, C, eps);
}

void rl_residual_layer_norm_forward(float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias,
                                    const float *residual, const float *gamma, const float *beta, int64_t T, int64_t C,
                                    float eps, rl_dropout dropout)
{
    rl_kernels_in_use->residual_layer_norm_forward(y, sum, mean, rstd, x, bias, residual, gamma, beta, T, C, eps,
                                                   dropout);
}

void rl_layer_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean,
                            const float *rstd, const float *gamma, int64_t T, int64_t C)
{
    rl_kernels_in_use->layer_norm_backward(dx, dgamma, dbeta, dy, x, mean, rstd, gamma, T, C);
}

void rl_bias_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    rl_kernels_in_use->bias_gelu_forward(y, pre, x, bias, T, F);
}

void rl_bias_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F)
{
    rl_kernels_in_use->bias_gelu_backward(dpre, dbias, dy, pre, T, F);
}

void rl_bias_tanh_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    rl_kernels_in_use->bias_tanh_gelu_forward(y, pre, x, bias, T, F);
}

void rl_bias_tanh_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F)
{
    rl_kernels_in_use->bias_tanh_gelu_backward(dpre, dbias, dy, pre, T, F);
}

void rl_residual_forward(float *sum, const float *x, const float *bias, const float *residual, int64_t T, int64_t C,
                         rl_dropout dropout)
{
    rl_kernels_in_use->residual_forward(sum, x, bias, residual, T, C, dropout);
}

void rl_column_sums(float *sums, const float *x, int64_t T, int64_t N)
{
    rl_kernels_in_use->column_sums(sums, x, T, N);
}

void rl_add(float *y, const float *a, const float *b, int64_t n)
{
    rl_kernels_in_use->add(y, a, b, n);
}

int64_t rl_attention_probs_count(const int32_t *start, int64_t B, int64_t H)
{
    int64_t count = 0;
    for (int64_t b = 0; b < B; b++) {
        int64_t n = start[b + 1] - start[b];
        count += H * n * n;
    }
    return count;
}

rl_attention_scores rl_attention_scores_default(int64_t D)
{
    return (rl_attention_scores){.scale = 1.0f / sqrtf((float)D)};
}

/* One transposed [D, n] panel of keys or values, and two [RL_ATTENTION_ROWS, n] blocks of scores. */
size_t rl_attention_scratch_count(int64_t max_length, int64_t D)
{
    return (size_t)(rl_attention_padded(max_length) * (D + 2 * RL_ATTENTION_ROWS));
}

void rl_attention_forward(float *out, float *probs, const float *qkv, const int32_t *start, int64_t B, int64_t H,
                          int64_t D, rl_attention_scores scores, rl_dropout dropout, float *scratch)
{
    rl_kernels_in_use->attention_forward(out, probs, qkv, start, B, H, D, scores, dropout, scratch);
}

void rl_attention_backward(float *dqkv, const float *dout, const float *qkv, const float *probs, const int32_t *start,
                           int64_t B, int64_t H, int64_t D, rl_attention_scores scores, rl_dropout dropout,
                           float *scratch)
{
    rl_kernels_in_use->attention_backward(dqkv, dout, qkv, probs, start, B, H, D, scores, dropout, scratch);
}

void rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings)
{
    rl_kernels_in_use->adamw_step(p, g, m, v, n, settings);
}

void rl_adamw_idle_steps(float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates,
                         int64_t count)
{
    rl_kernels_in_use->adamw_idle_steps(p, m, v, n, settings, rates, count);
}

double rl_sum_of_squares(const float *x, int64_t n)
{
    return rl_kernels_in_use->sum_of_squares(x, n);
}
