/* adamw.c -- the optimiser's one pass over all weights, its steps without a gradient, and the sum of squares that
 * clipping needs. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What stays the same through a training. */
typedef struct constants {
    float beta1, beta2, new1, new2, eps;
} constants;

static constants constants_of(const rl_adamw *s)
{
    return (constants){.beta1 = (float)s->beta1,
                       .beta2 = (float)s->beta2,
                       .new1 = (float)(1.0 - s->beta1),
                       .new2 = (float)(1.0 - s->beta2),
                       .eps = (float)s->eps};
}

/* A first moment without new gradient shrinks by beta1 a step and would stay among the subnormals for good (a few units
 * in the last place times 0.9 round back to themselves), where some processors take a hundred cycles an operation. */
RL_INLINE float no_subnormal(float m)
{
    return fabsf(m) < FLT_MIN ? 0.0f : m;
}

RL_INLINE float first_moment(float m, float gradient, constants k)
{
    return no_subnormal(k.beta1 * m + k.new1 * gradient);
}

RL_INLINE float second_moment(float v, float gradient, constants k)
{
    return k.beta2 * v + k.new2 * gradient * gradient;
}

/* torch.optim.AdamW (protocol §3): p *= 1 - lr wd; p -= (lr / b1) m / (sqrt v / sqrt b2 + eps). */
RL_INLINE float torch_weight(float p, float m, float v, constants k, rl_adamw_rates r)
{
    return p * r.decay - r.rate * m / (sqrtf(v) * r.correction + k.eps);
}

/* transformers 4's AdamW (protocol §3): p -= lr (sqrt b2 / b1) m / (sqrt v + eps); then p -= lr wd p. */
RL_INLINE float hf_weight(float p, float m, float v, constants k, rl_adamw_rates r)
{
    float moved = p - r.rate * m / (sqrtf(v) + k.eps);
    return moved - r.decay * moved;
}

/* One loop for both variants and for steps with and without gradient: the compiler makes four of it, all of which round
 * alike. g NULL: zero. */
RL_INLINE void step(float *restrict p, const float *restrict g, float *restrict m, float *restrict v, int64_t n,
                    float scale, constants k, rl_adamw_rates r, rl_optimizer variant)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float gradient = g ? g[i] * scale : 0.0f;
        m[i] = first_moment(m[i], gradient, k);
        v[i] = second_moment(v[i], gradient, k);
        p[i] = variant == RL_ADAMW_TORCH ? torch_weight(p[i], m[i], v[i], k, r) : hf_weight(p[i], m[i], v[i], k, r);
    }
}

void ISA(adamw_step)(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings)
{
    constants k = constants_of(&settings);
    rl_adamw_rates r = rl_adamw_rates_of(settings);
    if (settings.variant == RL_ADAMW_TORCH)
        step(p, g, m, v, n, settings.gradient_scale, k, r, RL_ADAMW_TORCH);
    else
        step(p, g, m, v, n, settings.gradient_scale, k, r, RL_ADAMW_HF);
}

/* ------------------------------------------------------------------------------------ steps without a gradient */

static bool all_zero(const float *x, int64_t n)
{
    uint32_t any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        any |= bits;
    }
    return any == 0;
}

/* Steps while there is momentum; returns how many were made. It is asked for every few steps only. */
static int64_t idle_with_momentum(float *p, float *m, float *v, int64_t n, constants k, const rl_adamw_rates *rates,
                                  int64_t count, rl_optimizer variant)
{
    for (int64_t s = 0; s < count; s++) {
        if (s % 8 == 0 && all_zero(m, n)) return s;
        if (variant == RL_ADAMW_TORCH)
            step(p, NULL, m, v, n, 1.0f, k, rates[s], RL_ADAMW_TORCH);
        else
            step(p, NULL, m, v, n, 1.0f, k, rates[s], RL_ADAMW_HF);
    }
    return count;
}

/* Without momentum a step is one multiplication of p and one of v: a block that fits into registers goes through all
 * steps before the next. */
enum { BLOCK = 64 };
RL_INLINE void idle_block(float *restrict p, float *restrict v, int n, constants k, const rl_adamw_rates *rates,
                          int64_t count, rl_optimizer variant)
{
    for (int64_t s = 0; s < count; s++) {
        float decay = rates[s].decay;
#pragma omp simd
        for (int i = 0; i < n; i++) p[i] = variant == RL_ADAMW_TORCH ? p[i] * decay : p[i] - decay * p[i];
    }
    if (all_zero(v, n)) return;
    for (int64_t s = 0; s < count; s++)
#pragma omp simd
        for (int i = 0; i < n; i++) v[i] *= k.beta2;
}

static void idle_without_momentum(float *p, float *v, int64_t n, constants k, const rl_adamw_rates *rates,
                                  int64_t count, rl_optimizer variant)
{
    float block[2][BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        size_t bytes = (size_t)(n - at < BLOCK ? n - at : BLOCK) * sizeof *p;
        memset(block, 0, sizeof block);
        memcpy(block[0], p + at, bytes);
        memcpy(block[1], v + at, bytes);
        if (variant == RL_ADAMW_TORCH)
            idle_block(block[0], block[1], BLOCK, k, rates, count, RL_ADAMW_TORCH);
        else
            idle_block(block[0], block[1], BLOCK, k, rates, count, RL_ADAMW_HF);
        memcpy(p + at, block[0], bytes);
        memcpy(v + at, block[1], bytes);
    }
}

void ISA(adamw_idle_steps)(float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates,
                           int64_t count)
{
    constants k = constants_of(&settings);
    int64_t made = idle_with_momentum(p, m, v, n, k, rates, count, settings.variant);
    if (made < count) idle_without_momentum(p, v, n, k, rates + made, count - made, settings.variant);
}

double ISA(sum_of_squares)(const float *x, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}
