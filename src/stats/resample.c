/* resample.c -- intervals and tests over seeds that assume no distribution: BCa bootstrap, sign-flip permutation,
 * Benjamini-Hochberg, and how many pairs a paired comparison would need.
 *
 * Draws are Philox in (number of values, draw, position): every estimate over n seeds resamples the same seeds in the same
 * draws, at any number of ranks. Sums run in one order. */
#include "stats_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------- draws */

struct rl_resampler {
    int64_t n;       /* what `index` was drawn for */
    uint32_t *index; /* [RL_STATS_DRAWS * n] */
    double *means;   /* [RL_STATS_DRAWS] */
    double *present, *jackknife; /* [capacity] */
    int64_t capacity;
};

rl_status rl_resampler_create(rl_resampler **out, rl_error *err)
{
    rl_status status = RL_OK;
    rl_resampler *r = NULL;
    RL_ALLOC(r, 1, err);
    RL_ALLOC(r->means, RL_STATS_DRAWS, err);
    *out = r;
    r = NULL;
cleanup:
    rl_resampler_free(r);
    return status;
}

void rl_resampler_free(rl_resampler *r)
{
    if (!r) return;
    rl_free(r->index);
    rl_free(r->means);
    rl_free(r->present);
    rl_free(r->jackknife);
    rl_free(r);
}

static rl_status draw_indices(rl_resampler *r, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    if (r->n == n) return RL_OK;
    rl_free(r->index);
    r->index = NULL;
    r->n = 0;
    RL_ALLOC(r->index, RL_STATS_DRAWS * n, err);
    for (int64_t i = 0; i < RL_STATS_DRAWS * n; i++) {
        uint64_t bits = rl_rng_bits(RL_STATS_SEED, RL_PURPOSE_BOOTSTRAP, (uint32_t)n, 0, (uint64_t)i);
        r->index[i] = (uint32_t)(bits * (uint64_t)n >> 32);
    }
    r->n = n;
cleanup:
    return status;
}

static rl_status make_room(rl_resampler *r, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    if (n <= r->capacity) return RL_OK;
    rl_free(r->present);
    rl_free(r->jackknife);
    r->present = r->jackknife = NULL;
    r->capacity = 0;
    RL_ALLOC(r->present, n, err);
    RL_ALLOC(r->jackknife, n, err);
    r->capacity = n;
cleanup:
    return status;
}

/* --------------------------------------------------------------------------------------------------- BCa */

/* The k-th smallest, by Hoare's selection; reorders x. */
static double smallest(double *x, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i > j) break;
            double swap = x[i];
            x[i++] = x[j];
            x[j--] = swap;
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return x[k];
}

#define TIE 1e-12 /* of the largest: sums of the same numbers in another order differ by less */

/* numpy.percentile's default: linear between the two nearest. */
static double quantile(double *x, int64_t n, double p)
{
    double at = p * (double)(n - 1);
    if (!(at >= 0)) return NAN;
    int64_t below = (int64_t)floor(at);
    if (below >= n - 1) return smallest(x, n, n - 1);
    double a = smallest(x, n, below), b = smallest(x, n, below + 1);
    return a + (b - a) * (at - (double)below);
}

double rl_largest_coverage(int64_t n)
{
    double most = 1 - ldexp(1, (int)(1 - n));
    return n < 2 ? NAN : most < RL_STATS_LEVEL ? most : RL_STATS_LEVEL;
}

static double largest_of(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* Efron 1987; Efron & Tibshirani 1993, eq. 14.9-14.15; the conventions of scipy.stats.bootstrap(method="BCa"), except that a
 * draw of the same values in another order is the value itself, whatever its sum rounds to: of n values that is n!/n^n of the
 * draws, 22 % of those of 3, and where values are multiples of each other many more. */
void rl_bca_interval(double *low, double *high, double value, double *draws, int64_t num_draws, const double *jackknife,
                     int64_t n, double level)
{
    double mean = 0, squares = 0, cubes = 0, tie = TIE * largest_of(draws, num_draws);
    int64_t less = 0, not_more = 0;
    for (int64_t i = 0; i < num_draws; i++) less += draws[i] < value - tie, not_more += draws[i] <= value + tie;
    for (int64_t i = 0; i < n; i++) mean += jackknife[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        double d = mean - jackknife[i];
        squares += d * d;
        cubes += d * d * d;
    }
    double bias = rl_normal_quantile((double)(less + not_more) / (2 * (double)num_draws));
    double acceleration = cubes / (6 * squares * sqrt(squares)), z = rl_normal_quantile((1 - level) / 2);
    double a = bias + z, b = bias - z;
    *low = quantile(draws, num_draws, rl_normal_cdf(bias + a / (1 - acceleration * a)));
    *high = quantile(draws, num_draws, rl_normal_cdf(bias + b / (1 - acceleration * b)));
}

static double sum_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static bool all_equal(const double *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0]) return false;
    return true;
}

static double sd_of(const double *x, int64_t n, double mean)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

static rl_status interval_of_mean(rl_estimate *e, rl_resampler *r, const double *x, int64_t n, rl_error *err)
{
    rl_status status = draw_indices(r, n, err);
    if (status != RL_OK) return status;
    double total = sum_of(x, n);
    for (int64_t i = 0; i < n; i++) r->jackknife[i] = (total - x[i]) / (double)(n - 1);
    for (int64_t b = 0; b < RL_STATS_DRAWS; b++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += x[r->index[b * n + i]];
        r->means[b] = sum / (double)n;
    }
    rl_bca_interval(&e->low, &e->high, e->value, r->means, RL_STATS_DRAWS, r->jackknife, n, RL_STATS_LEVEL);
    return RL_OK;
}

rl_status rl_estimate_mean(rl_estimate *out, rl_resampler *r, const double *values, int64_t n, rl_error *err)
{
    rl_estimate e = {NAN, NAN, NAN, NAN, 0};
    rl_status status = make_room(r, n, err);
    if (status != RL_OK) return status;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(values[i])) r->present[e.n++] = values[i];
    if (e.n == 1 || (e.n > 1 && all_equal(r->present, e.n))) {
        e.value = r->present[0];
        if (e.n > 1) e.low = e.high = e.value, e.sd = 0;
    } else if (e.n > 1) {
        e.value = sum_of(r->present, e.n) / (double)e.n;
        e.sd = sd_of(r->present, e.n, e.value);
        status = interval_of_mean(&e, r, r->present, e.n, err);
    }
    if (status == RL_OK) *out = e;
    return status;
}

/* -------------------------------------------------------------------------------------------------- sign flip */

/* How many of the 2^(n - i) ways to sign d[i..] bring |sum| to the threshold. */
static int64_t count_flips(const double *d, int64_t n, int64_t i, double sum, double threshold)
{
    if (i == n) return fabs(sum) >= threshold;
    return count_flips(d, n, i + 1, sum + d[i], threshold) + count_flips(d, n, i + 1, sum - d[i], threshold);
}

static int64_t sample_flips(const double *d, int64_t n, double threshold, int64_t draws)
{
    int64_t hits = 0, words = (n + 31) / 32;
    for (int64_t k = 0; k < draws; k++) {
        double sum = 0;
        for (int64_t w = 0; w < words; w++) {
            uint32_t bits =
                rl_rng_bits(RL_STATS_SEED, RL_PURPOSE_BOOTSTRAP, (uint32_t)n, 1, (uint64_t)(k * words + w));
            for (int64_t i = w * 32; i < n && i < (w + 1) * 32; i++, bits >>= 1) sum += bits & 1 ? d[i] : -d[i];
        }
        hits += fabs(sum) >= threshold;
    }
    return hits;
}

/* Sums of the same numbers in another order differ by rounding: what differs by less counts as equal. */
rl_sign_flip rl_sign_flip_test(const double *d, int64_t n)
{
    rl_sign_flip result = {.p = NAN, .smallest = NAN};
    double scale = 0;
    if (n == 0) return result;
    for (int64_t i = 0; i < n; i++) scale += fabs(d[i]);
    double threshold = fabs(sum_of(d, n)) - TIE * scale;
    result.exact = n <= RL_STATS_EXACT_PAIRS;
    if (result.exact) { /* all flips come in mirrored pairs: the first sign stays */
        result.draws = (int64_t)1 << n;
        result.p = (double)count_flips(d, n, 1, d[0], threshold) / (double)(result.draws / 2);
        result.smallest = ldexp(1, (int)(1 - n));
    } else {
        result.draws = RL_STATS_FLIPS;
        result.p = (double)(sample_flips(d, n, threshold, result.draws) + 1) / (double)(result.draws + 1);
        result.smallest = 1 / (double)(result.draws + 1);
    }
    return result;
}

/* ------------------------------------------------------------------------------------------- many hypotheses */

typedef struct ordered {
    double p;
    int64_t index;
} ordered;

static int by_p(const void *a, const void *b)
{
    const ordered *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Benjamini & Hochberg 1995, as adjusted p-values. */
rl_status rl_benjamini_hochberg(double *adjusted, int64_t *family_size, const double *p, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    ordered *order = NULL;
    int64_t m = 0;
    double least = 1;
    RL_ALLOC(order, n, err);
    for (int64_t i = 0; i < n; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i])) order[m++] = (ordered){p[i], i};
    }
    qsort(order, (size_t)m, sizeof *order, by_p);
    for (int64_t k = m; k-- > 0;) {
        double q = order[k].p * (double)m / (double)(k + 1);
        if (q < least) least = q;
        adjusted[order[k].index] = least;
    }
    *family_size = m;
cleanup:
    rl_free(order);
    return status;
}

/* Would Benjamini-Hochberg at level q reject hypothesis i, were its p as small as it can be? `sorted` holds all m p-values
 * ascending; p[i] is one of them. */
bool rl_could_be_claimed(const double *sorted, int64_t m, double p, double smallest, double q)
{
    bool skipped = false;
    int64_t rank = 0; /* of hypotheses with p-values up to the k-th, the replaced one among them */
    if (smallest <= q / (double)m) return true;
    for (int64_t k = 0; k < m; k++) {
        if (!skipped && sorted[k] == p) {
            skipped = true;
            continue;
        }
        rank++;
        double bar = sorted[k] > smallest ? sorted[k] : smallest;
        if (bar <= q * (double)(rank + 1) / (double)m) return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------ power */

/* Of a two-sided paired t-test with n pairs at standardised effect d_z. */
double rl_paired_power(double d_z, int64_t n, double level)
{
    double df = (double)(n - 1), critical = rl_student_critical(level, df), delta = fabs(d_z) * sqrt((double)n);
    return 1 - rl_noncentral_t_cdf(critical, df, delta) + rl_noncentral_t_cdf(-critical, df, delta);
}

int32_t rl_pairs_needed(double d_z, double level, double power)
{
    int64_t low = 1, high = 2;
    if (!isfinite(d_z) || d_z == 0 || !(level > 0)) return -1;
    while (ldexp(1, (int)(1 - high)) > level) high++; /* the permutation test must be able to say it */
    low = high - 1;
    while (high <= RL_STATS_MOST_PAIRS && rl_paired_power(d_z, high, level) < power) low = high, high *= 2;
    if (high > 2 * RL_STATS_MOST_PAIRS) return -1;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (rl_paired_power(d_z, middle, level) < power)
            low = middle;
        else
            high = middle;
    }
    return high > RL_STATS_MOST_PAIRS ? -1 : (int32_t)high;
}
