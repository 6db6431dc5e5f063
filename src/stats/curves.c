/* curves.c -- how far and how fast F1 came back, per run and per cell.
 *
 * rho = (F1 - pruned) / (base - pruned), at the end of each round and, from /training/f1, at the end of each epoch of
 * retraining; undefined where pruning cost less than RL_STATS_SMALLEST_DROP. The half-life is the first epoch with rho >= 1/2,
 * censored where there is none (field notes C2), so cells get a Kaplan-Meier median, never a mean over the runs that made it. */
#include "stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP_RUNS     "/stats/runs"
#define GROUP_RECOVERY "/stats/recovery"

void rl_curves_free(rl_curves *c)
{
    if (!c) return;
    rl_free(c->drop);
    rl_free(c->rho);
    rl_free(c->rho_epoch);
    rl_free(c->area);
    rl_free(c->half_life);
    rl_free(c->censored);
    rl_free(c);
}

static double f1_of(const rl_source *s, int64_t run, int64_t stage)
{
    char name[64];
    if (stage >= s->num_stages) return NAN;
    if (stage < 2)
        snprintf(name, sizeof name, "f1_%s", stage ? "pruned" : "base");
    else
        snprintf(name, sizeof name, "f1_retrained_%lld", (long long)stage - 1);
    return rl_source_done(s, run) ? rl_source_number(rl_source_column_named(s, name), run) : NAN;
}

static double recovery(double f1, double base, double pruned)
{
    return base - pruned >= RL_STATS_SMALLEST_DROP ? (f1 - pruned) / (base - pruned) : NAN;
}

/* Epochs that a stage has: what follows the last value is the padding of shorter stages. */
static int64_t epochs_of(const double *f1, int64_t per_stage)
{
    while (per_stage > 0 && !isfinite(f1[per_stage - 1])) per_stage--;
    return per_stage;
}

/* epochs [stages, per_stage] of one run end to end, those of the retrained stages; *count of them. A gap stays one: what comes
 * after it keeps its epoch. */
static void run_epochs(double *rho, int64_t *count, const double *f1, int64_t num_stages, int64_t per_stage, double base,
                       double pruned)
{
    *count = 0;
    for (int64_t s = 2; s < num_stages; s++)
        for (int64_t e = 0, n = epochs_of(f1 + s * per_stage, per_stage); e < n; e++)
            rho[1 + (*count)++] = recovery(f1[s * per_stage + e], base, pruned);
}

/* Area and half-life of rho[0..count], rho[0] = 0 at pruning; neither where an epoch's value is missing. */
static void summarise(rl_curves *c, int64_t run, const double *rho, int64_t count)
{
    double area = 0;
    bool whole = count > 0;
    for (int64_t t = 1; t <= count; t++) whole = whole && isfinite(rho[t]);
    c->area[run] = c->half_life[run] = NAN;
    c->censored[run] = -1;
    if (!whole) return;
    c->censored[run] = 1;
    c->half_life[run] = (double)count;
    for (int64_t t = 1; t <= count; t++) {
        area += (rho[t - 1] + rho[t]) / 2;
        if (rho[t] >= 0.5 && c->censored[run] == 1) {
            c->censored[run] = 0;
            c->half_life[run] = (double)t;
        }
    }
    c->area[run] = area / (double)count;
}

static void fill_run(rl_curves *c, const rl_source *s, int64_t run, const double *epochs, int64_t per_stage)
{
    double base = f1_of(s, run, 0), pruned = f1_of(s, run, 1), *rho = c->rho + run * (c->num_rounds + 1);
    double *curve = c->rho_epoch + run * (c->num_epochs + 1);
    int64_t count = 0;
    c->drop[run] = base - pruned;
    for (int64_t k = 0; k <= c->num_rounds; k++) rho[k] = recovery(f1_of(s, run, k + 1), base, pruned);
    for (int64_t t = 0; t <= c->num_epochs; t++) curve[t] = NAN;
    curve[0] = recovery(pruned, base, pruned);
    if (epochs && rl_source_done(s, run))
        run_epochs(curve, &count, epochs + run * s->num_stages * per_stage, s->num_stages, per_stage, base, pruned);
    summarise(c, run, curve, count);
}

static rl_status read_epochs(double **out, int64_t *per_stage, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, s->path};
    rl_array array;
    RL_TRY(rl_h5_open(&file.id, s->path, "results file", err));
    if (H5Lexists(file.id, "/training", H5P_DEFAULT) <= 0 || H5Lexists(file.id, "/training/f1", H5P_DEFAULT) <= 0)
        goto cleanup;
    RL_TRY(rl_h5_shape(&array, file, "/training/f1", err));
    if (array.element != RL_F64 || array.num_dims != 3 || (int64_t)array.dims[0] != s->num_runs ||
        (int64_t)array.dims[1] != s->num_stages)
        status = rl_fail(err, RL_ERR_INPUT, "%s: /training/f1 does not have the shape of /runs", s->path);
    if (status != RL_OK) goto cleanup;
    RL_ALLOC(*out, rl_array_count(&array), err);
    RL_TRY(rl_h5_get(*out, file, "/training/f1", &array, err));
    *per_stage = (int64_t)array.dims[2];
cleanup:
    rl_h5_close(file.id);
    return status;
}

rl_status rl_curves_create(rl_curves **out, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_curves *c = NULL;
    double *epochs = NULL;
    int64_t per_stage = 0;
    RL_TRY(rl_source_agree(s, read_epochs(&epochs, &per_stage, s, err), err));
    RL_ALLOC(c, 1, err);
    c->num_rounds = s->num_stages > 2 ? s->num_stages - 2 : 0;
    c->num_epochs = c->num_rounds * per_stage;
    RL_ALLOC(c->drop, s->num_runs, err);
    RL_ALLOC(c->rho, s->num_runs * (c->num_rounds + 1), err);
    RL_ALLOC(c->rho_epoch, s->num_runs * (c->num_epochs + 1), err);
    RL_ALLOC(c->area, s->num_runs, err);
    RL_ALLOC(c->half_life, s->num_runs, err);
    RL_ALLOC(c->censored, s->num_runs, err);
    for (int64_t r = 0; r < s->num_runs; r++) fill_run(c, s, r, epochs, per_stage);
    *out = c;
    c = NULL;
cleanup:
    rl_free(epochs);
    rl_curves_free(c);
    return status;
}

/* -------------------------------------------------------------------------------------------------- output */

static rl_status output_runs(const rl_curves *c, const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shape run = {.group = GROUP_RUNS, .num_dims = 1, .dims = {"run"}};
    rl_shape round = {.group = GROUP_RUNS, .num_dims = 2, .dims = {"run", "round"}};
    RL_TRY(rl_outputs_add_runs(o, s, GROUP_RUNS, NULL, s->num_runs, err));
    RL_TRY(rl_outputs_add_count(o, GROUP_RUNS, "round", c->num_rounds + 1, "retraining round, 0 = pruned", err));
    run.method = "combination of all axes but seed";
    RL_TRY(rl_outputs_add(o, &run, "cell", RL_I32, 0, s->cell_of_run, "cell of the run", err));
    run.method = "F1 of base minus F1 of pruned, word level, validation";
    RL_TRY(rl_outputs_add(o, &run, "drop", RL_F64, 0, c->drop, "F1 that pruning cost", err));
    round.method = "(F1 - pruned)/(base - pruned); NaN where pruning cost less than 0.01";
    RL_TRY(rl_outputs_add(o, &round, "rho", RL_F64, 0, c->rho, "recovered share of the F1 lost to pruning", err));
    run.method = "trapezoids over epochs of retraining, divided by their number";
    RL_TRY(rl_outputs_add(o, &run, "area", RL_F64, 0, c->area, "mean recovery over retraining", err));
    run.method = "first epoch with recovery >= 0.5; the last epoch where censored";
    run.units = "epoch";
    RL_TRY(rl_outputs_add(o, &run, "half_life", RL_F64, 0, c->half_life, "half-life of the removal", err));
    run.units = NULL;
    run.method = "0 reached, 1 censored, -1 undefined";
    RL_TRY(rl_outputs_add(o, &run, "censored", RL_I8, 0, c->censored, "whether the half-life was reached", err));
cleanup:
    return status;
}

static rl_status estimate_and_add(const rl_source *s, rl_resampler *r, rl_outputs *o, const char *name, const char *axis,
                                  const double *values, int64_t width, const char *long_name, const char *method,
                                  rl_error *err)
{
    rl_status status = RL_OK;
    rl_estimate *e = NULL;
    rl_shape shape = {.group = GROUP_RECOVERY, .num_dims = axis ? 2 : 1, .dims = {"cell", axis}, .method = method};
    RL_ALLOC(e, s->num_cells * width, err);
    RL_TRY(rl_estimate_cells(e, s, r, NULL, s->num_cells, values, width, err));
    RL_TRY(rl_outputs_add_estimates(o, &shape, name, e, long_name, err));
cleanup:
    rl_free(e);
    return status;
}

typedef struct lives { /* of all cells */
    double *median, *low, *high;
    int32_t *n, *censored, *undefined;
} lives;

static rl_status fill_lives(lives *l, const rl_curves *c, const rl_source *s, int32_t cell, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *runs = NULL;
    int64_t n = 0, m = 0;
    double *time = NULL;
    int8_t *censored = NULL;
    RL_TRY(rl_source_runs_of_cell(&runs, &n, s, cell, err));
    RL_ALLOC(time, n, err);
    RL_ALLOC(censored, n, err);
    for (int64_t i = 0; i < n; i++) {
        if (!rl_source_done(s, runs[i])) continue;
        time[m] = c->half_life[runs[i]];
        censored[m] = c->censored[runs[i]];
        l->n[cell] += censored[m] >= 0;
        l->censored[cell] += censored[m] == 1;
        l->undefined[cell] += censored[m] < 0;
        m++;
    }
    RL_TRY(rl_median_life(&l->median[cell], &l->low[cell], &l->high[cell], time, censored, m, err));
cleanup:
    rl_free(runs);
    rl_free(time);
    rl_free(censored);
    return status;
}

static rl_status output_lives(const rl_curves *c, const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    lives l = {0};
    rl_shape shape = {.group = GROUP_RECOVERY, .num_dims = 1, .dims = {"cell"}, .units = "epoch",
                      .method = "Kaplan-Meier median over seeds; 95 % interval by complementary log-log"};
    RL_ALLOC(l.median, s->num_cells, err);
    RL_ALLOC(l.low, s->num_cells, err);
    RL_ALLOC(l.high, s->num_cells, err);
    RL_ALLOC(l.n, s->num_cells, err);
    RL_ALLOC(l.censored, s->num_cells, err);
    RL_ALLOC(l.undefined, s->num_cells, err);
    for (int32_t cell = 0; cell < s->num_cells; cell++) RL_TRY(fill_lives(&l, c, s, cell, err));
    RL_TRY(rl_outputs_add(o, &shape, "half_life", RL_F64, 0, l.median, "median half-life of the removal", err));
    RL_TRY(rl_outputs_add(o, &shape, "half_life_low", RL_F64, 0, l.low, "lower end; NaN is open", err));
    RL_TRY(rl_outputs_add(o, &shape, "half_life_high", RL_F64, 0, l.high, "upper end; NaN is open", err));
    shape.units = "1";
    shape.method = "count of runs";
    RL_TRY(rl_outputs_add(o, &shape, "half_life_n", RL_I32, 0, l.n, "runs with a defined curve", err));
    RL_TRY(rl_outputs_add(o, &shape, "half_life_censored", RL_I32, 0, l.censored, "runs that never got to half", err));
    RL_TRY(rl_outputs_add(o, &shape, "half_life_undefined", RL_I32, 0, l.undefined, "runs without a curve", err));
cleanup:
    rl_free(l.median);
    rl_free(l.low);
    rl_free(l.high);
    rl_free(l.n);
    rl_free(l.censored);
    rl_free(l.undefined);
    return status;
}

rl_status rl_curves_output(const rl_curves *c, const rl_source *s, rl_resampler *r, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    static const char *const rho = "recovered share of the F1 lost to pruning";
    RL_TRY(output_runs(c, s, o, err));
    RL_TRY(rl_outputs_add_count(o, GROUP_RECOVERY, "cell", s->num_cells, "cell, as in /stats/cells", err));
    RL_TRY(rl_outputs_add_count(o, GROUP_RECOVERY, "round", c->num_rounds + 1, "retraining round, 0 = pruned", err));
    RL_TRY(rl_outputs_add_count(o, GROUP_RECOVERY, "epoch", c->num_epochs + 1, "epochs of retraining, 0 = pruned", err));
    RL_TRY(estimate_and_add(s, r, o, "rho", "round", c->rho, c->num_rounds + 1, rho,
                            "(F1 - pruned)/(base - pruned) after each round", err));
    RL_TRY(estimate_and_add(s, r, o, "rho_epoch", "epoch", c->rho_epoch, c->num_epochs + 1, rho,
                            "(F1 - pruned)/(base - pruned) after each epoch", err));
    RL_TRY(estimate_and_add(s, r, o, "area", NULL, c->area, 1, "mean recovery over retraining",
                            "trapezoids over epochs of retraining, divided by their number", err));
    RL_TRY(output_lives(c, s, o, err));
cleanup:
    return status;
}
