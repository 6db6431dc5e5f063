/* robustness.c -- relearning robustness R of each run that pruned, against the never_learned arm of its seed.
 *
 *     R = min((a - b of never_learned) / (a - b of the run), 1),  concept F1 before (b) and after (a) retraining
 *
 * 1: the concept comes back no faster than a model learns it that never saw it; near 0: it was never gone. Source: OpenUnlearning,
 * arXiv 2506.12618 (field notes C2), with retraining on the whole task in place of the forget set. */
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP "/stats/robustness"

typedef struct columns {
    const rl_source_column *arm, *select, *before, *after;
} columns;

static bool column_is(const rl_source_column *column, int64_t run, const char *value)
{
    char text[64];
    rl_source_text(text, sizeof text, column, run);
    return !strcmp(text, value);
}

static columns find_columns(const rl_source *s)
{
    char last[64];
    snprintf(last, sizeof last, "concept_f1_retrained_%lld", (long long)s->num_stages - 2);
    return (columns){rl_source_column_named(s, "arm"), rl_source_column_named(s, "prune.select"),
                     rl_source_column_named(s, "concept_f1_pruned"), rl_source_column_named(s, last)};
}

/* How neurons were found and removed says nothing about a model from which none was. */
static bool matters(const char *axis)
{
    return strcmp(axis, "arm") && strncmp(axis, "prune.", 6) && strncmp(axis, "rank.", 5);
}

static bool is_fresh_twin(const rl_source *s, const columns *c, int64_t run, int64_t twin)
{
    if (!column_is(c->arm, twin, "never_learned") || !rl_source_done(s, twin) || s->seed[run] != s->seed[twin]) return false;
    for (int32_t a = 0; a < s->num_axes; a++) {
        const rl_source_column *axis = &s->columns[s->axes[a]];
        if (matters(axis->name) && !rl_source_same(axis, run, twin)) return false;
    }
    return true;
}

static double gain(const columns *c, int64_t run) { return rl_source_number(c->after, run) - rl_source_number(c->before, run); }

double rl_relearning_robustness(double fresh_gain, double gain)
{
    if (!(gain > 0) || isnan(fresh_gain)) return NAN; /* nothing came back: no speed to compare */
    return fmin(fresh_gain / gain, 1.0);
}

/* NaN where nothing was pruned, a run is not done, or its seed has no never_learned run. */
static double robustness_of(const rl_source *s, const columns *c, int64_t run)
{
    if (!column_is(c->arm, run, "relearn") || (c->select && column_is(c->select, run, "none")) || !rl_source_done(s, run)) return NAN;
    for (int64_t twin = 0; twin < s->num_runs; twin++)
        if (is_fresh_twin(s, c, run, twin)) return rl_relearning_robustness(gain(c, twin), gain(c, run));
    return NAN;
}

static bool has_fresh_run(const rl_source *s, const columns *c)
{
    for (int64_t run = 0; c->arm && run < s->num_runs; run++)
        if (column_is(c->arm, run, "never_learned") && rl_source_done(s, run)) return true;
    return false;
}

static const char *why_not(const rl_source *s, const columns *c)
{
    if (!has_fresh_run(s, c)) return "robustness: no run of a model that never learned the concept; add the axis arm: [relearn, never_learned]";
    return c->before && c->after ? NULL : "robustness: this store has no concept F1 before and after retraining";
}

rl_status rl_step_robustness(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = w->source;
    const columns c = find_columns(s);
    const char *why = why_not(s, &c);
    rl_estimate *estimates = NULL;
    double *values = NULL;
    const rl_shape by_run = {.group = GROUP, .num_dims = 1, .dims = {"run"}, .units = "1",
                             .method = "min(gain of never_learned / gain of the run, 1), same seed, concept F1 of the last round minus pruned"};
    rl_shape by_cell = by_run;
    by_cell.dims[0] = "cell";
    if (why) return rl_outputs_skip(o, err, "%s", why);
    RL_ALLOC(values, s->num_runs, err);
    RL_ALLOC(estimates, s->num_cells, err);
    for (int64_t run = 0; run < s->num_runs; run++) values[run] = robustness_of(s, &c, run);
    RL_TRY(rl_outputs_add_runs(o, s, GROUP, NULL, s->num_runs, err));
    RL_TRY(rl_outputs_add(o, &by_run, "robustness_of_run", RL_F64, 0, values, "relearning robustness R", err));
    RL_TRY(rl_estimate_cells(estimates, s, w->resampler, NULL, s->num_cells, values, 1, err));
    RL_TRY(rl_outputs_add_count(o, GROUP, "cell", s->num_cells, "cell, as in /stats/cells", err));
    RL_TRY(rl_outputs_add_estimates(o, &by_cell, "robustness", estimates, "relearning robustness R", err));
cleanup:
    rl_free(values);
    rl_free(estimates);
    return status;
}
