/* adamw.c -- the optimiser's one pass over all weights, and the sum of squares that clipping needs. */
#include "kernels.h"

#include <float.h>
#include <math.h>

/* A first moment without new gradient shrinks by beta1 a step and would stay among the subnormals for good (a few units
 * in the last place times 0.9 round back to themselves), where some processors take a hundred cycles an operation. */
RL_INLINE float no_subnormal(float m)
{
    return fabsf(m) < FLT_MIN ? 0.0f : m;
}

/* torch.optim.AdamW (protocol §3): p *= 1 - lr wd; p -= (lr / b1) m / (sqrt v / sqrt b2 + eps). */
static void step_torch(float *p, const float *g, float *m, float *v, int64_t n, const rl_adamw *s, double b1, double b2)
{
    const float scale = s->gradient_scale, beta1 = (float)s->beta1, beta2 = (float)s->beta2, eps = (float)s->eps,
                new1 = (float)(1.0 - s->beta1), new2 = (float)(1.0 - s->beta2),
                kept = (float)(1.0 - s->learning_rate * s->weight_decay), rate = (float)(s->learning_rate / b1),
                correction = (float)(1.0 / sqrt(b2));
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float gradient = g[i] * scale;
        float first = no_subnormal(beta1 * m[i] + new1 * gradient), second = beta2 * v[i] + new2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        p[i] = p[i] * kept - rate * first / (sqrtf(second) * correction + eps);
    }
}

/* transformers 4's AdamW (protocol §3): p -= lr (sqrt b2 / b1) m / (sqrt v + eps); then p -= lr wd p. */
static void step_hf(float *p, const float *g, float *m, float *v, int64_t n, const rl_adamw *s, double b1, double b2)
{
    const float scale = s->gradient_scale, beta1 = (float)s->beta1, beta2 = (float)s->beta2, eps = (float)s->eps,
                new1 = (float)(1.0 - s->beta1), new2 = (float)(1.0 - s->beta2),
                decay = (float)(s->learning_rate * s->weight_decay), rate = (float)(s->learning_rate * sqrt(b2) / b1);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float gradient = g[i] * scale;
        float first = no_subnormal(beta1 * m[i] + new1 * gradient), second = beta2 * v[i] + new2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        float moved = p[i] - rate * first / (sqrtf(second) + eps);
        p[i] = moved - decay * moved;
    }
}

void ISA(adamw_step)(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings)
{
    double b1 = 1.0 - pow(settings.beta1, (double)settings.step), b2 = 1.0 - pow(settings.beta2, (double)settings.step);
    if (settings.variant == RL_ADAMW_TORCH)
        step_torch(p, g, m, v, n, &settings, b1, b2);
    else
        step_hf(p, g, m, v, n, &settings, b1, b2);
}

double ISA(sum_of_squares)(const float *x, int64_t n)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}
