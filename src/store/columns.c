/* columns.c -- gather, part 3: /runs, one value per run: what was planned, how it ended, its scores per stage. */
#include "store_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- typed from text */

static bool is_integer(const char *text)
{
    char *end;
    errno = 0;
    (void)strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static bool is_real(const char *text)
{
    char *end;
    (void)strtod(text, &end);
    return end != text && *end == '\0';
}

typedef const char *text_of(const rl_survey *survey, int64_t r, int32_t which);

/* Integers when all runs have integers, reals when all have numbers, text otherwise. */
static rl_element element_for(const rl_survey *survey, text_of *text, int32_t which)
{
    bool integers = true, reals = true;
    for (int64_t r = 0; r < survey->num_runs; r++) {
        integers = integers && is_integer(text(survey, r, which));
        reals = reals && is_real(text(survey, r, which));
    }
    return integers ? RL_I64 : reals ? RL_F64 : RL_TEXT;
}

static size_t widest(const rl_survey *survey, text_of *text, int32_t which)
{
    size_t width = 1;
    for (int64_t r = 0; r < survey->num_runs; r++)
        if (strlen(text(survey, r, which)) > width) width = strlen(text(survey, r, which));
    return width;
}

static const char *run_text(const rl_survey *survey, int64_t r, int32_t which)
{
    const rl_gather_run *run = &survey->runs[r];
    const rl_summary *s = &survey->summary[r];
    const rl_run_settings *settings = &survey->sweep->runs[r].settings;
    bool damaged = s->presence == RL_DAMAGED;
    const char *texts[] = {run->id,
                           damaged ? "failed" : run->status,
                           damaged ? survey->damage[r] : run->error,
                           survey->models[survey->model[r]].name,
                           settings->model,
                           settings->concept.name,
                           survey->concept_types[r],
                           settings->concept.num_types ? "" : "the concept names no entity type (type: under concepts:)",
                           s->version,
                           s->gemm_backend,
                           s->isa};
    return texts[which] ? texts[which] : "";
}
static const struct {
    const char *name, *long_name;
} run_texts[] = {{"id", "run id"},
                 {"status", "done, failed or planned"},
                 {"error", "why the run failed"},
                 {"model", "model, as the groups below /neurons and /words are called"},
                 {"model_folder", "folder of the model"},
                 {"concept", "concept"},
                 {"concept_types", "entity types whose F1 is the concept's F1, joined by commas"},
                 {"concept_f1_note", "why the concept has no F1"},
                 {"version", "relearn that computed the run"},
                 {"gemm_backend", "library that multiplied its matrices"},
                 {"isa", "instruction set of its kernels"}};

static const char *axis_text(const rl_survey *survey, int64_t r, int32_t which)
{
    const char *text = survey->sweep->runs[r].axis_values[which];
    return text ? text : "";
}

/* ------------------------------------------------------------------------------------------------- columns */

static bool has_column(const rl_layout *layout, const char *name)
{
    for (int32_t i = 0; i < layout->num_columns; i++)
        if (!strcmp(strrchr(layout->columns[i].path, '/') + 1, name)) return true;
    return !strcmp(name, "run"); /* the scale */
}

static rl_status add_column(rl_column **out, rl_layout *layout, const rl_survey *survey, const char *name,
                            const char *long_name, const char *units, rl_element element, size_t width, rl_error *err)
{
    rl_column column = {.units = units,
                        .element = element,
                        .width = element == RL_TEXT ? width : rl_element_width(element),
                        .id = H5I_INVALID_HID};
    column.path = rl_format(err, "/runs/%s", name);
    column.long_name = rl_strdup(long_name, err);
    column.values = rl_calloc((size_t)survey->count, column.width, err);
    if (!column.path || !column.long_name || !column.values) {
        rl_free(column.path);
        rl_free(column.long_name);
        rl_free(column.values);
        return RL_ERR_MEMORY;
    }
    rl_fill_missing(column.values, (size_t)survey->count, element, column.width);
    *out = &layout->columns[layout->num_columns++];
    **out = column;
    return RL_OK;
}

static void set_text(rl_column *column, int64_t row, const char *text)
{
    unsigned char *at = column->values + (size_t)row * column->width;
    int64_t integer;
    double real;
    switch (column->element) {
    case RL_I64:
        integer = strtoll(text, NULL, 10);
        memcpy(at, &integer, sizeof integer);
        break;
    case RL_F64:
        real = strtod(text, NULL);
        memcpy(at, &real, sizeof real);
        break;
    default: memcpy(at, text, strlen(text)); break;
    }
}

static rl_status add_text_column(rl_layout *layout, const rl_survey *survey, const char *name, const char *long_name,
                                 rl_element element, text_of *text, int32_t which, rl_error *err)
{
    rl_column *column = NULL;
    rl_status status = add_column(&column, layout, survey, name, long_name, element == RL_TEXT ? NULL : "1", element,
                                  widest(survey, text, which), err);
    for (int64_t i = 0; status == RL_OK && i < survey->count; i++)
        set_text(column, i, text(survey, survey->first + i, which));
    return status;
}

static rl_status add_numbers(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    rl_column *seed, *seconds, *num_stages, *num_pruned;
    RL_TRY(add_column(&seed, layout, survey, "seed", "seed", "1", RL_I64, 0, err));
    RL_TRY(add_column(&seconds, layout, survey, "seconds", "wall time of the run's stages", "s", RL_F64, 0, err));
    RL_TRY(add_column(&num_stages, layout, survey, "num_stages", "stages planned", "1", RL_I64, 0, err));
    RL_TRY(add_column(&num_pruned, layout, survey, "num_pruned", "neurons pruned; -1: no value", "1", RL_I64, 0, err));
    for (int64_t i = 0; i < survey->count; i++) {
        int64_t r = survey->first + i;
        const rl_run_settings *settings = &survey->sweep->runs[r].settings;
        ((int64_t *)seed->values)[i] = settings->seed;
        ((double *)seconds->values)[i] = survey->runs[r].seconds;
        ((int64_t *)num_stages->values)[i] = 2 + settings->retrain_rounds;
        if (survey->summary[r].presence == RL_PRESENT)
            ((int64_t *)num_pruned->values)[i] = survey->summary[r].num_pruned;
    }
cleanup:
    return status;
}

static bool any_vectors(const rl_survey *survey)
{
    for (int64_t r = 0; r < survey->num_runs; r++)
        if (survey->sweep->runs[r].settings.similarity_vectors) return true;
    return false;
}

static rl_status add_vector_share(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_column *column;
    if (!any_vectors(survey)) return RL_OK;
    rl_status status = add_column(&column, layout, survey, "vector_share",
                                  "share of the concept corpus' words that the file of word vectors has; NaN: the model's own", "1", RL_F64, 0, err);
    for (int64_t i = 0; status == RL_OK && i < survey->count; i++)
        if (survey->summary[survey->first + i].presence == RL_PRESENT)
            ((double *)column->values)[i] = survey->summary[survey->first + i].vector_share;
    return status;
}

static rl_status add_run_fields(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    rl_column *column;
    layout->first_number = layout->num_columns;
    for (size_t i = 0; i < rl_num_run_fields; i++)
        RL_TRY(add_column(&column, layout, survey, rl_run_fields[i].name, rl_run_fields[i].long_name, rl_run_fields[i].units,
                          RL_F64, 0, err));
cleanup:
    return status;
}

static rl_status add_scores(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    char name[128], long_name[256], label[32];
    rl_column *column;
    layout->first_score = layout->num_columns;
    for (size_t i = 0; i < rl_num_score_fields; i++) {
        if (!rl_score_fields[i].column) continue;
        for (int64_t s = 0; s < survey->longest.stages; s++) {
            rl_stage_label(label, s);
            snprintf(name, sizeof name, "%s_%s", rl_score_fields[i].column, label);
            snprintf(long_name, sizeof long_name, "%s, stage %s", rl_score_fields[i].long_name, label);
            RL_TRY(add_column(&column, layout, survey, name, long_name,
                              strcmp(rl_score_fields[i].column, "loss") ? "1" : "nat", RL_F64, 0, err));
        }
    }
cleanup:
    return status;
}

rl_status rl_columns_create(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    size_t num_texts = sizeof run_texts / sizeof run_texts[0];
    RL_ALLOC(layout->columns,
             (int64_t)num_texts + survey->sweep->num_axes + 5 + (int64_t)rl_num_run_fields + (int64_t)rl_num_score_fields * survey->longest.stages,
             err);
    for (size_t i = 0; i < num_texts; i++)
        RL_TRY(add_text_column(layout, survey, run_texts[i].name, run_texts[i].long_name, RL_TEXT, run_text, (int32_t)i,
                               err));
    RL_TRY(add_numbers(layout, survey, err));
    RL_TRY(add_vector_share(layout, survey, err));
    for (int32_t a = 0; a < survey->sweep->num_axes; a++) {
        if (has_column(layout, survey->sweep->axes[a])) continue;
        RL_TRY(add_text_column(layout, survey, survey->sweep->axes[a], "axis of the sweep's grid",
                               element_for(survey, axis_text, a), axis_text, a, err));
    }
    RL_TRY(add_run_fields(layout, survey, err));
    RL_TRY(add_scores(layout, survey, err));
cleanup:
    return status;
}

rl_status rl_columns_read(rl_layout *layout, const rl_survey *survey, int64_t row, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_extents *e = rl_shard_extents(shard);
    rl_array array = rl_array_of(RL_F64, 1, (hsize_t[]){(hsize_t)e->stages});
    rl_column *column = &layout->columns[layout->first_score];
    double *values = NULL;
    char name[64];
    RL_ALLOC(values, e->stages, err);
    for (size_t i = 0; i < rl_num_score_fields; i++) {
        if (!rl_score_fields[i].column) continue;
        snprintf(name, sizeof name, "scores/%s", rl_score_fields[i].name);
        bool there = rl_score_fields[i].since <= rl_shard_format(shard);
        if (there) RL_TRY(rl_h5_get(values, rl_shard_place(shard), name, &array, err));
        for (int64_t s = 0; s < e->stages && there; s++) ((double *)column[s].values)[row] = values[s];
        column += survey->longest.stages;
    }
    array.dims[0] = 1;
    for (size_t i = 0; i < rl_num_run_fields && rl_shard_format(shard) >= 2; i++) {
        snprintf(name, sizeof name, "recovery/%s", rl_run_fields[i].name);
        RL_TRY(rl_h5_get((double *)layout->columns[layout->first_number + (int32_t)i].values + row, rl_shard_place(shard), name,
                         &array, err));
    }
cleanup:
    rl_free(values);
    return status;
}
