/* agreement.c -- do two rankings, or two readings, say the same about the neurons? */
#include "concept_internal.h"

#include <math.h>

typedef struct valued {
    double value;
    int64_t at;
} valued;

static int ascending(const void *a, const void *b)
{
    double x = ((const valued *)a)->value, y = ((const valued *)b)->value;
    return (x > y) - (x < y);
}

/* rank[at] from 1; equal values share the mean of their places. */
static void mean_ranks(double *rank, valued *list, int64_t n)
{
    qsort(list, (size_t)n, sizeof *list, ascending);
    for (int64_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && list[end].value == list[first].value;) end++;
        for (int64_t i = first; i < end; i++) rank[list[i].at] = 0.5 * (double)(first + 1 + end);
    }
}

static double pearson(const double *a, const double *b, int64_t n)
{
    double mean = 0.5 * (double)(n + 1), ab = 0, aa = 0, bb = 0; /* ranks 1..n, ties averaged, keep this mean */
    for (int64_t i = 0; i < n; i++) {
        ab += (a[i] - mean) * (b[i] - mean);
        aa += (a[i] - mean) * (a[i] - mean);
        bb += (b[i] - mean) * (b[i] - mean);
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

rl_status rl_spearman(double *rho, const double *x, const double *y, const uint8_t *use, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    valued *list = NULL; /* [2, n] */
    double *rank = NULL; /* [2, n] */
    int64_t pairs = 0;
    RL_ALLOC(list, 2 * n, err);
    RL_ALLOC(rank, 2 * n, err);
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i]) || (use && !use[i])) continue;
        list[pairs] = (valued){x[i], pairs};
        list[n + pairs] = (valued){y[i], pairs};
        pairs++;
    }
    mean_ranks(rank, list, pairs);
    mean_ranks(rank + n, list + n, pairs);
    *rho = pairs < 2 ? NAN : pearson(rank, rank + n, pairs);
cleanup:
    rl_free(list);
    rl_free(rank);
    return status;
}

double rl_rank_correlation(const int32_t *rank_a, const int32_t *rank_b, int64_t N)
{
    double squares = 0, n = (double)N;
    for (int64_t i = 0; i < N; i++) {
        double d = (double)rank_a[i] - (double)rank_b[i];
        squares += d * d;
    }
    return N < 2 ? NAN : 1 - 6 * squares / (n * (n * n - 1));
}

double rl_rank_overlap(const int32_t *rank_a, const int32_t *rank_b, int64_t N, int64_t k)
{
    int64_t both = 0;
    for (int64_t i = 0; i < N; i++) both += rank_a[i] < k && rank_b[i] < k;
    return (double)both / (double)k;
}
