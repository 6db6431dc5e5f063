/* gaussian.c -- how many bits a neuron tells about the concept when each class is one Gaussian.
 *
 * Source: Torroba Hennigen, Williams, Cotterell, Intrinsic Probing through Dimension Selection (EMNLP 2020), as
 * neurox/interpretation/gaussian_probe.py computes it (protocol §6.4), one neuron at a time. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define FLOOR 1e-9 /* of the neuron's whole variance: a class in which it is constant must not be a spike of infinite height */

typedef struct fit {
    int64_t count[2];
    double *mean[2], *variance[2]; /* [C], rest and concept */
    double log_share[2];
} fit;

static void fit_release(fit *f)
{
    for (int k = 0; k < 2; k++) {
        rl_free(f->mean[k]);
        rl_free(f->variance[k]);
    }
}

/* s = (S / (n - 1) + S) / (n + 2 d + 4): the mean of the posterior under a diagonal inverse-Wishart prior. */
static void fit_classes(fit *f, const float *X, const uint8_t *is_concept, int64_t W, int64_t C, int64_t dimensions)
{
    for (int64_t w = 0; w < W; w++) rl_add_row(f->mean[is_concept[w] != 0], X + w * C, C);
    for (int k = 0; k < 2; k++)
        for (int64_t c = 0; c < C; c++) f->mean[k][c] /= (double)f->count[k];
    for (int64_t w = 0; w < W; w++) {
        int k = is_concept[w] != 0;
        rl_add_square(f->variance[k], X + w * C, f->mean[k], C);
    }
    for (int k = 0; k < 2; k++) {
        double n = (double)f->count[k], shrink = n + 2.0 * (double)dimensions + 4.0;
        f->log_share[k] = log(n / (double)W);
        for (int64_t c = 0; c < C; c++) f->variance[k][c] = (f->variance[k][c] / (n - 1) + f->variance[k][c]) / shrink;
    }
}

/* ln(share N(x; mean, variance)) up to ln(2 pi) / 2, which both classes share. */
static double log_joint(const fit *f, int k, int64_t c, double x)
{
    double d = x - f->mean[k][c], v = f->variance[k][c];
    return f->log_share[k] - 0.5 * (log(v) + d * d / v);
}

/* -ln P(y | x) = ln(1 + exp(other - own)), without overflow. */
static double surprise(double own, double other)
{
    double d = other - own;
    return d > 0 ? d + log1p(exp(-d)) : log1p(exp(d));
}

/* sum[c] of the surprise at every word's class. */
static void add_surprises(double *sum, const fit *f, const float *X, const uint8_t *is_concept, const double *sd,
                          int64_t W, int64_t C)
{
    for (int64_t w = 0; w < W; w++) {
        int own = is_concept[w] != 0;
        for (int64_t c = 0; c < C; c++) {
            if (sd[c] == 0) continue;
            double x = (double)X[w * C + c];
            sum[c] += surprise(log_joint(f, own, c, x), log_joint(f, !own, c, x));
        }
    }
}

static rl_status check_counts(fit *f, const uint8_t *is_concept, int64_t W, rl_error *err)
{
    int64_t num_concept = 0;
    rl_status status = rl_check_two_classes(&num_concept, is_concept, W, err);
    if (status != RL_OK) return status;
    f->count[1] = num_concept;
    f->count[0] = W - num_concept;
    if (f->count[0] > 1 && num_concept > 1) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "singular variance: %" PRId64 " words of the concept and %" PRId64
                   " others; a Gaussian needs at least 2 of each",
                   f->count[1], f->count[0]);
}

rl_status rl_gaussian_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C,
                             int64_t dimensions, rl_error *err)
{
    rl_status status = RL_OK;
    fit f = {0};
    double *mean = NULL, *sd = NULL, *sum = NULL, entropy = 0;
    RL_TRY(check_counts(&f, is_concept, W, err));
    RL_TRY(rl_check_finite(X, W, C, err));
    for (int k = 0; k < 2; k++) {
        RL_ALLOC(f.mean[k], C, err);
        RL_ALLOC(f.variance[k], C, err);
    }
    RL_ALLOC(mean, C, err);
    RL_ALLOC(sd, C, err);
    RL_ALLOC(sum, C, err);
    rl_column_moments(mean, sd, X, NULL, W, C);
    fit_classes(&f, X, is_concept, W, C, dimensions);
    for (int k = 0; k < 2; k++) {
        entropy -= exp(f.log_share[k]) * f.log_share[k];
        for (int64_t c = 0; c < C; c++) f.variance[k][c] = fmax(f.variance[k][c], FLOOR * sd[c] * sd[c]);
    }
    add_surprises(sum, &f, X, is_concept, sd, W, C);
    for (int64_t c = 0; c < C; c++) score[c] = sd[c] == 0 ? 0.0 : (entropy - sum[c] / (double)W) / log(2.0);
cleanup:
    fit_release(&f);
    rl_free(mean);
    rl_free(sd);
    rl_free(sum);
    return status;
}
