/* variance.c -- which axis moves the outcome: main-effects analysis of variance over runs, type II.
 *
 * The sum of squares of a factor is what leaving it out adds to the residual of the model with all factors (statsmodels
 * anova_lm(typ=2) without interactions). A factor that has one value among the runs in question, or that the others determine,
 * has no share: NaN. Runs are few beside neurons, so every rank does the same sums in the same order. */
#include "least_squares.h"
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP "/stats/variance"
enum { F1_RECOVERY, AREA, RELOCATION, RELOCATION_MASS, NUM_RESPONSES };
static const char *const response_names[] = {"f1_recovery", "area", "relocation", "relocation_mass"};

typedef struct factors { /* level of each run in each factor */
    int32_t count;
    const rl_source_column **columns; /* [count] */
    int32_t **level;                  /* [count][num_runs] */
    int32_t *num_levels;
} factors;
typedef struct anova { /* [factor + 1]: the residual last */
    double *sum, *df, *F, *p, *share;
    double total;
    int32_t num_runs;
} anova;

static void factors_free(factors *f)
{
    for (int32_t i = 0; f->level && i < f->count; i++) rl_free(f->level[i]);
    rl_free(f->level);
    rl_free((void *)f->columns);
    rl_free(f->num_levels);
}

static rl_status add_factor(factors *f, const rl_source *s, const rl_source_column *column, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *names = NULL;
    int32_t at = f->count;
    f->columns[at] = column;
    RL_ALLOC(f->level[at], s->num_runs, err);
    f->count++;
    RL_TRY(rl_names_create(&names, err));
    for (int64_t r = 0; r < s->num_runs; r++)
        RL_TRY(rl_names_intern(names, (const char *)column->values + (size_t)r * column->array.width, column->array.width,
                               &f->level[at][r], err));
    f->num_levels[at] = rl_names_count(names);
cleanup:
    rl_names_free(names);
    return status;
}

static rl_status list_factors(factors *f, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(f->columns, s->num_axes + 1, err);
    RL_ALLOC(f->level, s->num_axes + 1, err);
    RL_ALLOC(f->num_levels, s->num_axes + 1, err);
    for (int32_t a = 0; a < s->num_axes; a++)
        if (s->varies[a]) RL_TRY(add_factor(f, s, &s->columns[s->axes[a]], err));
    if (s->seed_varies) RL_TRY(add_factor(f, s, rl_source_column_named(s, "seed"), err));
cleanup:
    return status;
}

/* Residual sum of squares and rank of the model with all factors but one (-1: all); runs [n]. */
static rl_status residual(double *rss, int64_t *rank, const factors *f, int32_t without, const int32_t *runs, const double *y, int64_t n,
                          rl_error *err)
{
    rl_status status = RL_OK;
    rl_basis basis = {0};
    double *column = NULL;
    int64_t columns = 1;
    for (int32_t k = 0; k < f->count; k++) columns += f->num_levels[k];
    RL_TRY(rl_basis_create(&basis, n, columns < n ? columns : n, err));
    RL_ALLOC(column, n, err);
    for (int64_t i = 0; i < n; i++) column[i] = 1;
    rl_basis_add(&basis, column);
    for (int32_t k = 0; k < f->count; k++)
        for (int32_t level = 0; k != without && level < f->num_levels[k] && basis.count < basis.capacity; level++) {
            for (int64_t i = 0; i < n; i++) column[i] = f->level[k][runs[i]] == level;
            rl_basis_add(&basis, column); /* the last level of a factor is determined by the others, as may be more */
        }
    *rss = rl_basis_project(&basis, NULL, y);
    *rank = basis.count;
cleanup:
    rl_basis_free(&basis);
    rl_free(column);
    return status;
}

static double total_squares(const double *y, int64_t n)
{
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) mean += y[i] / (double)n;
    for (int64_t i = 0; i < n; i++) sum += (y[i] - mean) * (y[i] - mean);
    return sum;
}

static rl_status analyse(anova *a, const factors *f, const double *values, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *runs = NULL;
    double *y = NULL, full = 0, less = 0;
    int64_t n = 0, rank = 0, rank_less = 0;
    RL_ALLOC(runs, s->num_runs, err);
    RL_ALLOC(y, s->num_runs, err);
    for (int64_t r = 0; r < s->num_runs; r++)
        if (rl_source_done(s, r) && isfinite(values[r])) runs[n] = (int32_t)r, y[n++] = values[r];
    a->num_runs = (int32_t)n;
    if (n < 2) goto cleanup;
    a->total = total_squares(y, n);
    RL_TRY(residual(&full, &rank, f, -1, runs, y, n, err));
    for (int32_t k = 0; k < f->count; k++) {
        RL_TRY(residual(&less, &rank_less, f, k, runs, y, n, err));
        a->sum[k] = less > full ? less - full : 0;
        a->df[k] = (double)(rank - rank_less);
        a->share[k] = a->total > 0 && rank > rank_less ? a->sum[k] / a->total : NAN; /* 0 would say that it has no effect */
        if (n > rank && rank > rank_less && full > 0) {
            a->F[k] = a->sum[k] / a->df[k] / (full / (double)(n - rank));
            a->p[k] = rl_f_upper(a->F[k], a->df[k], (double)(n - rank));
        }
    }
    a->sum[f->count] = full;
    a->df[f->count] = (double)(n - rank);
    a->share[f->count] = a->total > 0 ? full / a->total : NAN;
cleanup:
    rl_free(runs);
    rl_free(y);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- output */

/* rho after the run's last round. */
static rl_status last_recovery(double **out, const rl_work *w, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t rounds = w->curves->num_rounds;
    RL_ALLOC(*out, w->source->num_runs, err);
    for (int64_t r = 0; r < w->source->num_runs; r++) {
        (*out)[r] = NAN;
        for (int64_t k = 1; k <= rounds; k++)
            if (isfinite(w->curves->rho[r * (rounds + 1) + k])) (*out)[r] = w->curves->rho[r * (rounds + 1) + k];
    }
cleanup:
    return status;
}

static rl_status output(double *const numbers[5], const double *total, const int32_t *num_runs, const factors *f, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    static const char *const names[] = {"sum_of_squares", "df", "F", "p", "share"};
    static const char *const long_names[] = {"type II sum of squares", "degrees of freedom", "F against the residual", "P(F larger)",
                                             "sum of squares / total sum of squares"};
    const char **texts = NULL;
    rl_shape both = {.group = GROUP, .num_dims = 2, .dims = {"response", "factor"}, .approximate = true,
                     .method = "main-effects analysis of variance over runs, type II sums of squares"};
    rl_shape one = {.group = GROUP, .num_dims = 1, .dims = {"response"}, .approximate = true};
    const rl_shape scale = {.group = GROUP};
    RL_ALLOC(texts, f->count + 1, err);
    for (int32_t k = 0; k < f->count; k++) texts[k] = f->columns[k]->name;
    texts[f->count] = "residual";
    RL_TRY(rl_outputs_add_texts(o, &scale, "response", response_names, NUM_RESPONSES, "what varies between runs", err));
    RL_TRY(rl_outputs_add_texts(o, &scale, "factor", texts, f->count + 1, "axis, or what none explains", err));
    for (int i = 0; i < 5; i++) RL_TRY(rl_outputs_add(o, &both, names[i], RL_F64, 0, numbers[i], long_names[i], err));
    RL_TRY(rl_outputs_add(o, &one, "total", RL_F64, 0, total, "total sum of squares about the mean", err));
    RL_TRY(rl_outputs_add(o, &one, "num_runs", RL_I32, 0, num_runs, "runs with a value", err));
cleanup:
    rl_free((void *)texts);
    return status;
}

rl_status rl_step_variance(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    factors f = {0};
    double *numbers[5] = {0}, *recovery = NULL, total[NUM_RESPONSES];
    int32_t num_runs[NUM_RESPONSES];
    RL_TRY(list_factors(&f, w->source, err));
    if (f.count == 0) {
        status = rl_outputs_skip(o, err, "variance: no axis has more than one value");
        goto cleanup;
    }
    int64_t width = f.count + 1;
    RL_TRY(last_recovery(&recovery, w, err));
    for (int i = 0; i < 5; i++) {
        RL_ALLOC(numbers[i], NUM_RESPONSES * width, err);
        for (int64_t k = 0; k < NUM_RESPONSES * width; k++) numbers[i][k] = NAN;
    }
    const double *const values[] = {recovery, w->curves->area, w->relocation, w->relocation_mass};
    for (int i = 0; i < NUM_RESPONSES; i++) {
        anova a = {numbers[0] + i * width, numbers[1] + i * width, numbers[2] + i * width, numbers[3] + i * width, numbers[4] + i * width,
                   NAN, 0};
        RL_TRY(analyse(&a, &f, values[i], w->source, err));
        total[i] = a.total;
        num_runs[i] = a.num_runs;
    }
    RL_TRY(output(numbers, total, num_runs, &f, o, err));
cleanup:
    for (int i = 0; i < 5; i++) rl_free(numbers[i]);
    rl_free(recovery);
    factors_free(&f);
    return status;
}
