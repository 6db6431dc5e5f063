/* plasticity.c -- what the neurons' values say layer by layer, and how much of a concept came back (protocol §12). */
#include "concept_internal.h"

#include <math.h>

#define Z_95 1.959963984540054 /* scipy.stats.norm.ppf(0.975) */

/* ------------------------------------------------------------------------------------------ layer means */

typedef struct moments {
    double mean, squares; /* sum of squared deviations */
    int64_t n;
} moments;

static double value_of(double x, bool nan_as_zero)
{
    return nan_as_zero && isnan(x) ? 0.0 : x;
}

static moments moments_of(const double *x, int64_t n, bool nan_as_zero)
{
    moments m = {0};
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = value_of(x[i], nan_as_zero);
        if (!isnan(v)) sum += v, m.n++;
    }
    m.mean = sum / (double)m.n; /* 0 / 0: no value, NaN */
    for (int64_t i = 0; i < n; i++) {
        double d = value_of(x[i], nan_as_zero) - m.mean;
        if (!isnan(d)) m.squares += d * d;
    }
    return m;
}

void rl_layer_means(double *mean, double *sd, double *error, const double *values, int64_t num_layers,
                    int64_t hidden_size, bool nan_as_zero)
{
    for (int64_t l = 0; l < num_layers; l++) {
        moments m = moments_of(values + l * hidden_size, hidden_size, nan_as_zero);
        mean[l] = m.mean;
        sd[l] = m.n ? sqrt(m.squares / (double)m.n) : NAN;
        error[l] = m.n > 1 ? Z_95 * sqrt(m.squares / (double)(m.n - 1)) / sqrt((double)m.n) : NAN;
    }
}

/* ----------------------------------------------------------------------------------------- redistribution */

static int64_t count_above_half(const double *values, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += values[i] > 0.5;
    return count;
}

/* Python's round(x, 3): the decimal nearest to the exact value, ties to even; printf rounds the same way. */
static double three_decimals(double x)
{
    char text[64];
    if (!isfinite(x)) return x;
    snprintf(text, sizeof text, "%.3f", x);
    return strtod(text, NULL);
}

void rl_redistribution(double *percent, const double *values, int64_t num_layers, int64_t hidden_size)
{
    double total = (double)count_above_half(values, num_layers * hidden_size);
    for (int64_t l = 0; l < num_layers; l++)
        percent[l] = three_decimals(100.0 * (double)count_above_half(values + l * hidden_size, hidden_size) / total);
}

/* ---------------------------------------------------------------------------------------- filter_ablated */

rl_status rl_filter_ablated_saliency(double *saliency, const int32_t *base_order, const int32_t *stage_order,
                                     const uint8_t *null, int64_t N, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *kept = NULL;
    int64_t rank = 0;
    RL_ALLOC(kept, N, err);
    for (int64_t i = N - N / 2; i < N; i++) kept[base_order[i]] = 1;
    for (int64_t n = 0; n < N; n++) saliency[n] = NAN;
    for (int64_t i = 0; i < N; i++) {
        int32_t n = stage_order[i];
        if (!kept[n]) continue;
        if (!null || !null[n]) saliency[n] = rl_saliency_binned(rank, (double)(N / 2));
        rank++; /* a null neuron keeps its row in the authors' table, only its cell is empty */
    }
cleanup:
    rl_free(kept);
    return status;
}

/* ------------------------------------------------------------------------------------------- absolute measures */

double rl_centre_of_mass(const float *values, int64_t num_layers, int64_t hidden_size)
{
    double mass = 0, moment = 0;
    for (int64_t l = 0; l < num_layers; l++)
        for (int64_t c = 0; c < hidden_size; c++) {
            double m = fabs((double)values[l * hidden_size + c]);
            mass += m;
            moment += m * (double)l;
        }
    return moment / mass; /* NaN where nothing carries the concept */
}

double rl_recovered_fraction(double f1, double f1_base, double f1_pruned)
{
    return f1_base == f1_pruned ? NAN : (f1 - f1_pruned) / (f1_base - f1_pruned);
}
