/* layer_norm.c -- LayerNorm alone, fused with what stands before it, and its gradient.
 * Source: torch.nn.functional.layer_norm: biased variance, two passes over the row. */
#include "dropout.h"

#include <math.h>
#include <string.h>

/* y = (x - mean) * rstd * gamma + beta of one row whose sum is known. */
RL_INLINE void normalise_row(float *y, float *mean, float *rstd, const float *x, float total, const float *gamma,
                             const float *beta, int64_t C, float eps)
{
    float average = total / (float)C, squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < C; c++) squares += (x[c] - average) * (x[c] - average);
    float scale = 1.0f / sqrtf(squares / (float)C + eps);
#pragma omp simd
    for (int64_t c = 0; c < C; c++) y[c] = (x[c] - average) * scale * gamma[c] + beta[c];
    *mean = average;
    *rstd = scale;
}

void ISA(layer_norm_forward)(float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta,
                             int64_t T, int64_t C, float eps)
{
    for (int64_t t = 0; t < T; t++) {
        const float *row = x + t * C;
        float total = 0.0f;
#pragma omp simd reduction(+ : total)
        for (int64_t c = 0; c < C; c++) total += row[c];
        normalise_row(y + t * C, mean + t, rstd + t, row, total, gamma, beta, C, eps);
    }
}

/* sum = residual + factors * (x + bias) on n elements of a row; returns their total. factors, bias NULL: none. */
RL_INLINE float add_residual(float *sum, const float *x, const float *bias, const float *residual,
                             const float *factors, int64_t n)
{
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; i++) {
        float branch = bias ? x[i] + bias[i] : x[i];
        float s = residual[i] + (factors ? branch * factors[i] : branch);
        sum[i] = s;
        total += s;
    }
    return total;
}

static float add_residual_row(float *sum, const float *x, const float *bias, const float *residual, int64_t t,
                              int64_t C, const rl_dropout *dropout)
{
    dropout_chunk chunk;
    float total = 0.0f;
    if (!(dropout->p > 0.0f))
        return bias ? add_residual(sum, x, bias, residual, NULL, C) : add_residual(sum, x, NULL, residual, NULL, C);
    for (int64_t c = 0; c < C; c += RL_DROPOUT_CHUNK) {
        int64_t n = C - c < RL_DROPOUT_CHUNK ? C - c : RL_DROPOUT_CHUNK;
        const float *factors = ISA(dropout_factors)(&chunk, (uint64_t)(t * C + c), n, dropout);
        total += bias ? add_residual(sum + c, x + c, bias + c, residual + c, factors, n)
                      : add_residual(sum + c, x + c, NULL, residual + c, factors, n);
    }
    return total;
}

void ISA(residual_layer_norm_forward)(float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias,
                                      const float *residual, const float *gamma, const float *beta, int64_t from,
                                      int64_t T, int64_t C, float eps, rl_dropout dropout)
{
    for (int64_t t = from; t < T; t++) {
        int64_t at = t * C;
        float total = add_residual_row(sum + at, x + at, bias, residual + at, t, C, &dropout);
        normalise_row(y + at, mean + t, rstd + t, sum + at, total, gamma, beta, C, eps);
    }
}

/* With n = (x - mean) rstd and g = dy gamma: dx = rstd (g - mean(g) - n mean(g n)); dgamma += dy n; dbeta += dy, row
 * after row. The first loop has read dy before the second writes dx, so they may be one array. */
RL_INLINE void layer_norm_backward_row(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x,
                                       float mean, float rstd, const float *gamma, int64_t C)
{
    float sum_g = 0.0f, sum_gn = 0.0f;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t c = 0; c < C; c++) {
        float n = (x[c] - mean) * rstd, g = dy[c] * gamma[c];
        sum_g += g;
        sum_gn += g * n;
        dgamma[c] += dy[c] * n;
        dbeta[c] += dy[c];
    }
    float mean_g = sum_g / (float)C, mean_gn = sum_gn / (float)C;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) dx[c] = rstd * (dy[c] * gamma[c] - mean_g - (x[c] - mean) * rstd * mean_gn);
}

void ISA(layer_norm_backward)(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x,
                              const float *mean, const float *rstd, const float *gamma, int64_t T, int64_t C)
{
    memset(dgamma, 0, (size_t)C * sizeof *dgamma);
    memset(dbeta, 0, (size_t)C * sizeof *dbeta);
    for (int64_t t = 0; t < T; t++)
        layer_norm_backward_row(dx + t * C, dgamma, dbeta, dy + t * C, x + t * C, mean[t], rstd[t], gamma, C);
}

/* ------------------------------------------------------------------ the same in two halves, for several threads */

void ISA(layer_norm_backward_rows)(float *dx, const float *dy, const float *x, const float *mean, const float *rstd,
                                   const float *gamma, int64_t T, int64_t C)
{
    for (int64_t t = 0; t < T; t++) {
        const float *g = dy + t * C, *row = x + t * C;
        float *to = dx + t * C, sum_g = 0.0f, sum_gn = 0.0f, m = mean[t], r = rstd[t];
#pragma omp simd reduction(+ : sum_g, sum_gn)
        for (int64_t c = 0; c < C; c++) {
            float n = (row[c] - m) * r, scaled = g[c] * gamma[c];
            sum_g += scaled;
            sum_gn += scaled * n;
        }
        float mean_g = sum_g / (float)C, mean_gn = sum_gn / (float)C;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) to[c] = r * (g[c] * gamma[c] - mean_g - (row[c] - m) * r * mean_gn);
    }
}

void ISA(layer_norm_backward_columns)(float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean,
                                      const float *rstd, int64_t T, int64_t C, int64_t stride)
{
    memset(dgamma, 0, (size_t)C * sizeof *dgamma);
    memset(dbeta, 0, (size_t)C * sizeof *dbeta);
    for (int64_t t = 0; t < T; t++) {
        const float *g = dy + t * stride, *row = x + t * stride;
        float m = mean[t], r = rstd[t];
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            float n = (row[c] - m) * r;
            dgamma[c] += g[c] * n;
            dbeta[c] += g[c];
        }
    }
}
