/* elementwise.c -- passes that look at one element at a time, and sums down columns. */
#include "vector.h"
#include "vector_math.h"

enum { RESIDUAL_PART = 256 }; /* elements of a row that pass through the first-level cache at a time */

void ISA(exp)(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = exp_one(x[i]);
}

void ISA(erf)(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = erf_one(x[i]);
}

/* Half of the last kept bit is added, less one where that bit is 0: nearest, ties to even. A NaN would be carried into
 * infinity, so it only loses its low bits and is made quiet. Plain integers: the same bits on every instruction set, and
 * as fast as memory without vcvtneps2bf16, which would flush denormals. */
void ISA(round_bf16)(uint16_t *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
        y[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded);
    }
}

void ISA(add)(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/* Four rows at a time, so that the sums are loaded and stored once for four additions. */
void ISA(column_sums)(float *sums, const float *x, int64_t T, int64_t N, int64_t stride)
{
    int64_t t = 0;
    memset(sums, 0, (size_t)N * sizeof *sums);
    for (; t + 4 <= T; t += 4) {
        const float *row = x + t * stride, *second = row + stride, *third = second + stride, *fourth = third + stride;
#pragma omp simd
        for (int64_t i = 0; i < N; i++) sums[i] += (row[i] + second[i]) + (third[i] + fourth[i]);
    }
    for (; t < T; t++) {
        const float *row = x + t * stride;
#pragma omp simd
        for (int64_t i = 0; i < N; i++) sums[i] += row[i];
    }
}

/* cdf(x) = erfc(-x / sqrt 2) / 2 with e^(-x^2/2) given, which the density needs too. Better than 1 + erf on the left
 * tail, where that cancels. Source: arXiv 1606.08415; transformers activations.GELUActivation. */
RL_INLINE float normal_cdf(float x, float gauss)
{
    float tail = 0.5f * gauss * erfcx_one(absolute(x) * 0.707106781f);
    return x < 0.0f ? tail : 1.0f - tail;
}

void ISA(bias_gelu_forward)(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            float a = x[t * F + f] + bias[f];
            pre[t * F + f] = a;
            y[t * F + f] = a * normal_cdf(a, exp_one(-0.5f * a * a));
        }
    }
}

/* gelu'(x) = cdf(x) + x pdf(x). */
void ISA(bias_gelu_backward)(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F,
                             int64_t stride)
{
    memset(dbias, 0, (size_t)F * sizeof *dbias);
    for (int64_t t = 0; t < T; t++) {
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            float a = pre[t * stride + f], gauss = exp_one(-0.5f * a * a);
            float slope = dy[t * stride + f] * (normal_cdf(a, gauss) + a * gauss * 0.398942280f);
            dpre[t * stride + f] = slope;
            dbias[f] += slope;
        }
    }
}

/* x/2 (1 + tanh u) = x / (1 + e^-2u): no cancellation on the left tail, where 1 + tanh has none of its digits left.
 * Source: transformers activations.NewGELUActivation; u = sqrt(2/pi) (x + 0.044715 x^3). */
RL_INLINE float tanh_gate(float x)
{
    return 1.0f / (1.0f + exp_one(-1.59576912f * (x + 0.044715f * x * x * x)));
}

void ISA(bias_tanh_gelu_forward)(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++) {
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            float a = x[t * F + f] + bias[f];
            pre[t * F + f] = a;
            y[t * F + f] = a * tanh_gate(a);
        }
    }
}

/* With the gate s(x): s + x s (1 - s) 2u'. */
void ISA(bias_tanh_gelu_backward)(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F,
                                  int64_t stride)
{
    memset(dbias, 0, (size_t)F * sizeof *dbias);
    for (int64_t t = 0; t < T; t++) {
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            float a = pre[t * stride + f], gate = tanh_gate(a), rise = 1.59576912f * (1.0f + 0.134145f * a * a);
            float slope = dy[t * stride + f] * (gate + a * gate * (1.0f - gate) * rise);
            dpre[t * stride + f] = slope;
            dbias[f] += slope;
        }
    }
}

/* Row by row, so that the dropout's counters are the elements' places whatever T is. */
void ISA(residual_forward)(float *sum, const float *x, const float *bias, const float *residual, int64_t from,
                           int64_t T, int64_t C, rl_dropout dropout)
{
    for (int64_t t = from; t < T; t++) {
        float row[RESIDUAL_PART];
        for (int64_t at = 0; at < C; at += RESIDUAL_PART) {
            const int64_t n = C - at < RESIDUAL_PART ? C - at : RESIDUAL_PART, place = t * C + at;
#pragma omp simd
            for (int64_t c = 0; c < n; c++) row[c] = x[place + c] + bias[at + c];
            if (dropout.p > 0.0f) ISA(dropout_at)(row, row, (uint64_t)place, n, dropout);
#pragma omp simd
            for (int64_t c = 0; c < n; c++) sum[place + c] = residual[place + c] + row[c];
        }
    }
}

/* Twelve chains: more than latency x units on the processors at hand. Factors near 1 keep the values finite. */
double ISA(fma_work)(int64_t rounds, float *sink)
{
    enum { CHAINS = 12 };
    floats sum[CHAINS], factor = (floats){0} + 0.999999f, term = (floats){0} + 1e-6f;
    for (int i = 0; i < CHAINS; i++) sum[i] = term * (float)(i + 1);
    for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * factor + term;
    for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
    for (int i = 0; i < RL_FLOATS; i++) *sink += sum[0][i];
    return (double)rounds * CHAINS * RL_FLOATS * 2.0;
}
