/* ranks.c -- means over pairs of seeds, and the median of times that may be censored. */
#include "stats_internal.h"

#include <math.h>
#include <stdlib.h>

/* ----------------------------------------------------------------------------------------- pairs of seeds */

/* Mean of all pairs of n seeds, with the jackknife over seeds (a pair is not a repetition; its two seeds are): Tukey's
 * t interval with n - 1 degrees of freedom. pair(i, j) = values[i * n + j], i < j. Seeds without a value are left out. */
void rl_pair_mean(rl_estimate *out, const double *values, int64_t n)
{
    double total = 0, mean = 0, squares = 0;
    int64_t count = 0, seeds = 0;
    *out = (rl_estimate){NAN, NAN, NAN, NAN, 0};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            if (isfinite(values[i * n + j])) total += values[i * n + j], count++;
    if (!count) return;
    out->value = total / (double)count;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t k = 0; k < n; k++) {
            double without = total;
            int64_t left = count;
            for (int64_t i = 0; i < n; i++) {
                double v = i < k ? values[i * n + k] : i > k ? values[k * n + i] : NAN;
                if (isfinite(v)) without -= v, left--;
            }
            if (left == count) continue;
            double leave_out = left ? without / (double)left : NAN;
            if (pass == 0)
                mean += leave_out, seeds++;
            else
                squares += (leave_out - mean / (double)seeds) * (leave_out - mean / (double)seeds);
        }
    }
    out->n = (int32_t)seeds;
    if (seeds < 3 || !isfinite(squares)) return;
    double error = sqrt(squares * (double)(seeds - 1) / (double)seeds),
           t = rl_student_critical(1 - RL_STATS_LEVEL, (double)(seeds - 1));
    out->sd = error;
    out->low = out->value - t * error;
    out->high = out->value + t * error;
}

/* ------------------------------------------------------------------------------------------------ survival */

typedef struct lifetime {
    double time;
    bool event;
} lifetime;

static int by_time(const void *a, const void *b)
{
    const lifetime *x = a, *y = b;
    return x->time < y->time ? -1 : x->time > y->time;
}

/* Kaplan & Meier 1958; Brookmeyer & Crowley 1982 with the log(-log) transform: statsmodels SurvfuncRight.quantile_ci, except
 * that the median is the first time with S <= 1/2 (not < 1/2). */
rl_status rl_median_life(double *median, double *low, double *high, const double *time, const int8_t *censored,
                         int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    lifetime *lives = NULL;
    double survival = 1, greenwood = 0, z = rl_normal_quantile(0.5 + RL_STATS_LEVEL / 2);
    bool inside = false;
    int64_t m = 0;
    *median = *low = *high = NAN;
    RL_ALLOC(lives, n, err);
    for (int64_t i = 0; i < n; i++)
        if (censored[i] >= 0 && isfinite(time[i])) lives[m++] = (lifetime){time[i], censored[i] == 0};
    qsort(lives, (size_t)m, sizeof *lives, by_time);
    for (int64_t i = 0, j; i < m; i = j) {
        int64_t deaths = 0, at_risk = m - i;
        for (j = i; j < m && lives[j].time == lives[i].time; j++) deaths += lives[j].event;
        if (!deaths) continue;
        survival *= 1 - (double)deaths / (double)at_risk;
        greenwood += (double)deaths / ((double)at_risk * (double)(at_risk - deaths));
        if (isnan(*median) && survival <= 0.5 + 1e-12) *median = lives[i].time;
        double slope = -1 / (survival * log(survival)), error = survival * sqrt(greenwood) * fabs(slope);
        double distance = (log(-log(survival)) - log(-log(0.5))) / error;
        bool within = survival > 0 && fabs(distance) <= z;
        if (within && isnan(*low)) *low = lives[i].time;
        if (inside && !within && isnan(*high)) *high = lives[i].time;
        inside = within;
    }
cleanup:
    rl_free(lives);
    return status;
}
