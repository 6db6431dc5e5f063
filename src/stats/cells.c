/* cells.c -- what was planned, done and failed, and scores over seeds: one row a combination of all axes but seed. */
#include "stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ estimates */

static rl_status estimate_cell(rl_estimate *out, const rl_source *s, rl_resampler *r, int32_t cell, const double *values,
                               int64_t width, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *runs = NULL;
    double *column = NULL;
    int64_t n = 0;
    RL_TRY(rl_source_runs_of_cell(&runs, &n, s, cell, err));
    RL_ALLOC(column, n, err);
    for (int64_t w = 0; w < width; w++) {
        for (int64_t i = 0; i < n; i++)
            column[i] = rl_source_done(s, runs[i]) ? values[runs[i] * width + w] : NAN;
        RL_TRY(rl_estimate_mean(&out[w], r, column, n, err));
    }
cleanup:
    rl_free(runs);
    rl_free(column);
    return status;
}

rl_status rl_estimate_cells(rl_estimate *out, const rl_source *s, rl_resampler *r, const int32_t *cells, int32_t num_cells,
                            const double *values, int64_t width, rl_error *err)
{
    rl_status status = RL_OK;
    memset(out, 0, (size_t)(num_cells * width) * sizeof *out);
    for (int32_t i = s->rank; status == RL_OK && i < num_cells; i += s->size)
        status = estimate_cell(out + i * width, s, r, cells ? cells[i] : i, values, width, err);
    status = rl_source_agree(s, status, err);
    if (status == RL_OK) rl_combine(s->comm, out, (size_t)(num_cells * width) * sizeof *out);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- cells */

typedef struct cell_counts {
    int32_t *planned, *done, *failed;
    int8_t *complete;
} cell_counts;

static rl_status count_runs(cell_counts *c, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    char text[16];
    RL_ALLOC(c->planned, s->num_cells, err);
    RL_ALLOC(c->done, s->num_cells, err);
    RL_ALLOC(c->failed, s->num_cells, err);
    RL_ALLOC(c->complete, s->num_cells, err);
    for (int64_t r = 0; r < s->num_runs; r++) {
        rl_source_text(text, sizeof text, rl_source_column_named(s, "status"), r);
        c->planned[s->cell_of_run[r]]++;
        c->done[s->cell_of_run[r]] += !strcmp(text, "done");
        c->failed[s->cell_of_run[r]] += !strcmp(text, "failed");
    }
    for (int32_t i = 0; i < s->num_cells; i++) c->complete[i] = (int8_t)(c->done[i] == c->planned[i]);
cleanup:
    return status;
}

static rl_status output_counts(const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    cell_counts c = {0};
    rl_shape shape = {.group = "/stats/cells", .num_dims = 1, .dims = {"cell"}, .method = "count of runs"};
    RL_TRY(count_runs(&c, s, err));
    RL_TRY(rl_outputs_add(o, &shape, "planned", RL_I32, 0, c.planned, "runs planned", err));
    RL_TRY(rl_outputs_add(o, &shape, "done", RL_I32, 0, c.done, "runs done", err));
    RL_TRY(rl_outputs_add(o, &shape, "failed", RL_I32, 0, c.failed, "runs failed", err));
    RL_TRY(rl_outputs_add(o, &shape, "complete", RL_I8, 0, c.complete, "1 when every planned run is done", err));
cleanup:
    rl_free(c.planned);
    rl_free(c.done);
    rl_free(c.failed);
    rl_free(c.complete);
    return status;
}

static rl_status output_axis(const rl_source *s, int32_t axis, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_column *c = &s->columns[s->axes[axis]];
    rl_shape shape = {.group = "/stats/cells", .num_dims = 1, .dims = {"cell"}};
    unsigned char *values = NULL;
    RL_ALLOC(values, (size_t)s->num_cells * c->array.width, err);
    for (int32_t i = 0; i < s->num_cells; i++)
        memcpy(values + (size_t)i * c->array.width, c->values + (size_t)s->first_run[i] * c->array.width, c->array.width);
    RL_TRY(rl_outputs_add(o, &shape, c->name, c->array.element, c->array.width, values, c->long_name ? c->long_name : c->name, err));
cleanup:
    rl_free(values);
    return status;
}

static rl_status output_labels(const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char **labels = NULL;
    rl_shape shape = {.group = "/stats/cells", .num_dims = 1, .dims = {"cell"}};
    RL_ALLOC(labels, s->num_cells, err);
    for (int32_t i = 0; i < s->num_cells; i++) RL_TRY(rl_source_label(&labels[i], s, i, -1, err));
    RL_TRY(rl_outputs_add_texts(o, &shape, "label", (const char *const *)labels, s->num_cells,
                                "axes that vary and their values", err));
cleanup:
    for (int32_t i = 0; labels && i < s->num_cells; i++) rl_free(labels[i]);
    rl_free(labels);
    return status;
}

static rl_status output_axis_names(const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer all = {0}, varying = {0};
    for (int32_t a = 0; a < s->num_axes; a++) {
        const char *name = s->columns[s->axes[a]].name;
        RL_TRY(rl_buffer_printf(&all, err, "%s\t", name));
        if (s->varies[a]) RL_TRY(rl_buffer_printf(&varying, err, "%s%s", varying.length ? "\t" : "", name));
    }
    RL_TRY(rl_buffer_printf(&all, err, "seed"));
    if (s->seed_varies) RL_TRY(rl_buffer_printf(&varying, err, "%sseed", varying.length ? "\t" : ""));
    RL_TRY(rl_outputs_attribute(o, "/stats/cells", "axes", all.data, err));
    RL_TRY(rl_outputs_attribute(o, "/stats/cells", "varying", varying.length ? varying.data : "", err));
cleanup:
    rl_buffer_free(&all);
    rl_buffer_free(&varying);
    return status;
}

rl_status rl_cells_output(const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_outputs_add_count(o, "/stats/cells", "cell", s->num_cells, "combination of all axes but seed", err));
    RL_TRY(output_labels(s, o, err));
    for (int32_t a = 0; a < s->num_axes; a++) RL_TRY(output_axis(s, a, o, err));
    RL_TRY(output_counts(s, o, err));
    RL_TRY(output_axis_names(s, o, err));
cleanup:
    return status;
}

/* --------------------------------------------------------------------------------------------------- scores */

static const struct {
    const char *name, *long_name, *units;
} scores[] = {{"f1", "word-level micro F1 on the validation data", "1"},
              {"precision", "word-level micro precision on the validation data", "1"},
              {"recall", "word-level micro recall on the validation data", "1"},
              {"accuracy", "word-level accuracy on the validation data", "1"},
              {"loss", "loss on the validation data", "nat"},
              {"subword_f1", "sub-word-level micro F1 on the validation data", "1"},
              {"test_f1", "word-level micro F1 on the test data", "1"},
              {"test_precision", "word-level micro precision on the test data", "1"},
              {"test_recall", "word-level micro recall on the test data", "1"},
              {"test_accuracy", "word-level accuracy on the test data", "1"},
              {"test_subword_f1", "sub-word-level micro F1 on the test data", "1"},
              {"concept_f1", "word-level micro F1 of the concept's entity types on the validation data", "1"},
              {"other_f1", "word-level micro F1 of all other entity types on the validation data", "1"},
              {"test_concept_f1", "word-level micro F1 of the concept's entity types on the test data", "1"},
              {"test_other_f1", "word-level micro F1 of all other entity types on the test data", "1"},
              {"primedness", "Spearman correlation over pruned neurons: base similarity to the concept, saliency", "1"}};

/* values [run, stage]; false where /runs has no such column. */
static bool score_values(double *values, const rl_source *s, const char *name)
{
    char column[128];
    for (int64_t stage = 0; stage < s->num_stages; stage++) {
        if (stage < 2)
            snprintf(column, sizeof column, "%s_%s", name, stage ? "pruned" : "base");
        else
            snprintf(column, sizeof column, "%s_retrained_%lld", name, (long long)stage - 1);
        const rl_source_column *c = rl_source_column_named(s, column);
        if (!c) return false;
        for (int64_t r = 0; r < s->num_runs; r++) values[r * s->num_stages + stage] = rl_source_number(c, r);
    }
    return true;
}

rl_status rl_scores_output(const rl_source *s, rl_resampler *r, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    double *values = NULL;
    rl_estimate *e = NULL;
    rl_shape shape = {.group = "/stats/scores", .num_dims = 2, .dims = {"cell", "stage"}, .method = "mean over seeds"};
    RL_ALLOC(values, s->num_runs * s->num_stages, err);
    RL_ALLOC(e, s->num_cells * s->num_stages, err);
    RL_TRY(rl_outputs_add_count(o, shape.group, "cell", s->num_cells, "cell, as in /stats/cells", err));
    RL_TRY(rl_outputs_add_stages(o, s, shape.group, err));
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        if (!score_values(values, s, scores[i].name)) continue;
        shape.units = scores[i].units;
        RL_TRY(rl_estimate_cells(e, s, r, NULL, s->num_cells, values, s->num_stages, err));
        RL_TRY(rl_outputs_add_estimates(o, &shape, scores[i].name, e, scores[i].long_name, err));
    }
cleanup:
    rl_free(values);
    rl_free(e);
    return status;
}
