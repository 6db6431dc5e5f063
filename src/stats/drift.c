/* drift.c -- do the newest seeds differ from the accumulated ones? Per metric a prediction interval for their mean and an exact
 * permutation test; over all metrics Benjamini-Hochberg. */
#include "stats_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t most_splits = 200000, drawn_splits = 99999;

static double mean_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* C(n, k), or -1 when more than most_splits. */
static int64_t count_splits(int64_t n, int64_t k)
{
    double splits = 1;
    if (k > n - k) k = n - k; /* as many, and no partial product above the result */
    for (int64_t i = 1; i <= k; i++) {
        splits = splits * (double)(n - k + i) / (double)i;
        if (splits > (double)most_splits * 1e6) return -1;
    }
    return splits <= (double)most_splits ? (int64_t)(splits + 0.5) : -1;
}

/* How far the mean of a chosen group of m lies from that of the rest. Monotone in the distance of its sum from its expectation. */
static double distance(double sum, int64_t m, int64_t n, double total) { return fabs(sum - total * (double)m / (double)n); }

/* All ways to choose m of pooled[at..n): those at least as far as what was seen. */
static int64_t count_far(const double *pooled, int64_t n, int64_t at, int64_t left, double sum, int64_t m, double total, double threshold)
{
    if (left == 0) return distance(sum, m, n, total) >= threshold;
    if (n - at < left) return 0;
    return count_far(pooled, n, at + 1, left - 1, sum + pooled[at], m, total, threshold) +
           count_far(pooled, n, at + 1, left, sum, m, total, threshold);
}

static int64_t draw_far(const double *pooled, int64_t n, int64_t m, double total, double threshold, int64_t *chosen, rl_status *status,
                        rl_error *err)
{
    int64_t far = 0;
    for (int64_t k = 0; k < drawn_splits && *status == RL_OK; k++) {
        double sum = 0;
        *status = rl_rng_choose(RL_STATS_SEED, RL_PURPOSE_BOOTSTRAP, (uint32_t)k, 7, n, m, chosen, err);
        for (int64_t i = 0; i < m; i++) sum += pooled[chosen[i]];
        far += distance(sum, m, n, total) >= threshold;
    }
    return far;
}

/* pooled [n]: the m new ones first. What differs by rounding alone counts as equal. */
static rl_status permutation_test(rl_drift *d, const double *pooled, int64_t n, int64_t m, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *chosen = NULL, splits = count_splits(n, m);
    double total = mean_of(pooled, n) * (double)n, sum = mean_of(pooled, m) * (double)m, scale = 0;
    for (int64_t i = 0; i < n; i++) scale += fabs(pooled[i]);
    double threshold = distance(sum, m, n, total) - 1e-12 * scale;
    d->exact = splits > 0;
    if (d->exact) {
        d->p = (double)count_far(pooled, n, 0, m, 0, m, total, threshold) / (double)splits;
        d->smallest = (2 * m == n ? 2.0 : 1.0) / (double)splits; /* halves have their mirror image */
        return RL_OK;
    }
    RL_ALLOC(chosen, m, err);
    int64_t far = draw_far(pooled, n, m, total, threshold, chosen, &status, err);
    d->p = (double)(far + 1) / (double)(drawn_splits + 1);
    d->smallest = 1 / (double)(drawn_splits + 1);
cleanup:
    rl_free(chosen);
    return status;
}

/* The mean of m further values of the same normal population: mean -+ t s sqrt(1/n + 1/m). */
static void prediction_interval(rl_drift *d, const double *before)
{
    double squares = 0, n = (double)d->num_before, m = (double)d->num_now;
    for (int64_t i = 0; i < d->num_before; i++) squares += (before[i] - d->mean_before) * (before[i] - d->mean_before);
    d->low = d->high = NAN;
    if (d->num_before < 2) return;
    double half = rl_student_critical(1 - RL_STATS_LEVEL, n - 1) * sqrt(squares / (n - 1)) * sqrt(1 / n + 1 / m);
    d->low = d->mean_before - half;
    d->high = d->mean_before + half;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted first: sums round, and drawn splits fall, the same whatever order the values came in (a folder's, say). */
static rl_status compare_one(rl_drift *d, rl_error *err)
{
    rl_status status = RL_OK;
    double *pooled = NULL, *before;
    d->p = d->adjusted = d->smallest = d->low = d->high = NAN;
    d->moved = false;
    if (d->num_before < 1 || d->num_now < 1) return RL_OK;
    RL_ALLOC(pooled, d->num_before + d->num_now, err);
    before = pooled + d->num_now;
    memcpy(pooled, d->now, (size_t)d->num_now * sizeof *pooled);
    memcpy(before, d->before, (size_t)d->num_before * sizeof *pooled);
    qsort(pooled, (size_t)d->num_now, sizeof *pooled, ascending);
    qsort(before, (size_t)d->num_before, sizeof *pooled, ascending);
    d->mean_before = mean_of(before, d->num_before);
    d->mean_now = mean_of(pooled, d->num_now);
    prediction_interval(d, before);
    status = permutation_test(d, pooled, d->num_before + d->num_now, d->num_now, err);
cleanup:
    rl_free(pooled);
    return status;
}

rl_status rl_drift_compare(rl_drift *metrics, int64_t n, double q, int64_t *num_moved, rl_error *err)
{
    rl_status status = RL_OK;
    double *p = NULL, *adjusted = NULL;
    int64_t family = 0, moved = 0;
    RL_ALLOC(p, n, err);
    RL_ALLOC(adjusted, n, err);
    for (int64_t i = 0; i < n; i++) {
        RL_TRY(compare_one(&metrics[i], err));
        p[i] = metrics[i].p;
    }
    RL_TRY(rl_benjamini_hochberg(adjusted, &family, p, n, err));
    for (int64_t i = 0; i < n; i++) {
        metrics[i].adjusted = adjusted[i];
        metrics[i].moved = adjusted[i] <= q;
        moved += metrics[i].moved;
    }
    *num_moved = moved;
cleanup:
    rl_free(p);
    rl_free(adjusted);
    return status;
}
