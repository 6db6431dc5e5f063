/* layout.c -- gather, part 2: every dataset of results.h5, decided before the file is made and the same on every
 * rank.
 *
 * Each group brings its own dimension scales (run, stage, neuron, ...): xarray opens one group at a time and does
 * not look for coordinates in its parents. A model's groups hold the runs of that model only; run ids align them
 * with /runs. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------- coordinates */

/* Takes values over, on failure too. Returns the index in *out. */
static rl_status add_coordinate(int32_t *out, rl_layout *layout, const char *group, const char *name, rl_array array,
                                void *values, const char *long_name, rl_error *err)
{
    char *path = values ? rl_format(err, "%s/%s", group, name) : NULL;
    if (!path) {
        rl_free(values);
        return RL_ERR_MEMORY;
    }
    *out = layout->num_coordinates++;
    layout->coordinates[*out] = (rl_coordinate){.path = path,
                                                .name = strrchr(path, '/') + 1,
                                                .along = -1,
                                                .array = array,
                                                .values = values,
                                                .units = array.element == RL_TEXT ? NULL : "1",
                                                .long_name = long_name,
                                                .id = H5I_INVALID_HID};
    return RL_OK;
}

/* n integers first, first + 1, ...; divided and reduced for layer and unit. */
static rl_status add_numbers(int32_t *out, rl_layout *layout, const char *group, const char *name, int64_t n,
                             int64_t first, int64_t divisor, int64_t modulus, const char *long_name, rl_error *err)
{
    rl_array array = rl_array_of(RL_I32, 1, (hsize_t[]){(hsize_t)n});
    int32_t *values = rl_calloc((size_t)n, sizeof *values, err);
    for (int64_t i = 0; values && i < n; i++) values[i] = (int32_t)((first + i) / divisor % modulus);
    return add_coordinate(out, layout, group, name, array, values, long_name, err);
}

static rl_status add_count(int32_t *out, rl_layout *layout, const char *group, const char *name, int64_t n,
                           int64_t first, const char *long_name, rl_error *err)
{
    return add_numbers(out, layout, group, name, n, first, 1, INT64_MAX, long_name, err);
}

/* Ids of the runs of one model (-1: of all). */
static rl_status add_runs(int32_t *out, rl_layout *layout, const rl_survey *survey, const char *group, int32_t model,
                          rl_error *err)
{
    int64_t n = model < 0 ? survey->num_runs : survey->models[model].num_runs;
    size_t width = 1;
    for (int64_t r = 0; r < survey->num_runs; r++)
        if (strlen(survey->runs[r].id) > width) width = strlen(survey->runs[r].id);
    char *values = rl_calloc((size_t)n, width, err);
    for (int64_t r = 0, at = 0; values && r < survey->num_runs; r++)
        if (model < 0 || survey->model[r] == model)
            memcpy(values + (size_t)at++ * width, survey->runs[r].id, strlen(survey->runs[r].id));
    return add_coordinate(out, layout, group, "run", rl_text_array(width, (hsize_t)n), values, "run id", err);
}

static rl_status add_stages(int32_t *out, rl_layout *layout, const rl_survey *survey, const char *group, rl_error *err)
{
    size_t width = 32, n = (size_t)survey->longest.stages;
    char *values = rl_calloc(n, width, err), label[32];
    for (size_t s = 0; values && s < n; s++) {
        rl_stage_label(label, (int64_t)s);
        memcpy(values + s * width, label, strlen(label));
    }
    return add_coordinate(out, layout, group, "stage", rl_text_array(width, n), values, "stage of the run", err);
}

static rl_status add_vocabulary(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    int32_t n = rl_names_count(survey->words), at;
    size_t width = 1;
    if (n == 0) return RL_OK;
    for (int32_t i = 0; i < n; i++)
        if (strlen(rl_names_get(survey->words, i)) > width) width = strlen(rl_names_get(survey->words, i));
    char *values = rl_calloc((size_t)n, width, err);
    for (int32_t i = 0; values && i < n; i++)
        memcpy(values + (size_t)i * width, rl_names_get(survey->words, i), strlen(rl_names_get(survey->words, i)));
    return add_coordinate(&at, layout, "", "vocabulary", rl_text_array(width, (hsize_t)n), values,
                          "distinct words of the concept corpora, in plan order", err);
}

static rl_status add_sweep_file(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    const char *text = survey->sweep->resolved ? survey->sweep->resolved : "";
    int32_t at;
    rl_array array = rl_text_array(strlen(text), 1);
    array.num_dims = 0;
    char *values = rl_calloc(array.width, 1, err);
    if (values) memcpy(values, text, strlen(text));
    rl_status status =
        add_coordinate(&at, layout, "", "sweep_yaml", array, values, "the resolved sweep file (YAML)", err);
    if (status == RL_OK) layout->coordinates[at].name = NULL;
    return status;
}

/* ------------------------------------------------------------------------------------------------- targets */

static rl_status add_group(rl_layout *layout, const char *path, rl_error *err)
{
    char *copy = rl_strdup(path, err);
    if (!copy) return RL_ERR_MEMORY;
    layout->groups[layout->num_groups++] = copy;
    return RL_OK;
}

/* Every field of `group` whose extents are not empty. scales: run, stage, then what the axis says. */
static rl_status add_targets(rl_layout *layout, const rl_survey *survey, const char *group, const char *path,
                             int32_t model, const int32_t *axis_scale, int32_t run_scale, int32_t stage_scale,
                             rl_error *err)
{
    const rl_extents *extents = model < 0 ? &survey->longest : &survey->models[model].extents;
    int64_t num_rows = model < 0 ? survey->num_runs : survey->models[model].num_runs;
    for (size_t i = 0; i < rl_num_fields; i++) {
        const rl_field *field = &rl_fields[i];
        if (strcmp(field->group, group)) continue;
        rl_target target = {.field = field,
                            .model = model,
                            .row = rl_field_array(field, extents),
                            .num_rows = (hsize_t)num_rows,
                            .id = H5I_INVALID_HID,
                            .scales = {run_scale, stage_scale, axis_scale[field->axis], axis_scale[RL_AXIS_PRUNED]}};
        if (rl_array_count(&target.row) == 0) continue;
        if (!(target.path = rl_format(err, "%s/%s", path, field->name))) return RL_ERR_MEMORY;
        layout->targets[layout->num_targets++] = target;
    }
    return RL_OK;
}

static rl_status add_model_group(rl_layout *layout, const rl_survey *survey, const char *group, int32_t model,
                                 rl_error *err)
{
    rl_status status = RL_OK;
    const struct rl_survey_model *m = &survey->models[model];
    const rl_extents *e = &m->extents;
    bool words = !strcmp(group, "words");
    int32_t run, stage, neuron, extra = -1;
    char *path = rl_format(err, "/%s/%s", group, m->name);
    RL_TRY(path ? RL_OK : RL_ERR_MEMORY);
    RL_TRY(add_group(layout, path, err));
    RL_TRY(add_runs(&run, layout, survey, path, model, err));
    RL_TRY(add_stages(&stage, layout, survey, path, err));
    RL_TRY(add_count(&neuron, layout, path, "neuron", e->neurons, 0, "neuron: layer * hidden size + unit", err));
    if (words) {
        RL_TRY(add_count(&extra, layout, path, "k", e->k, 0, "position in the list of top words, best first", err));
    } else {
        RL_TRY(add_numbers(&extra, layout, path, "layer", e->neurons, 0, e->hidden_size, INT64_MAX,
                           "layer, 0 = embeddings", err));
        layout->coordinates[extra].along = neuron;
        layout->coordinates[extra].name = NULL;
        RL_TRY(
            add_numbers(&extra, layout, path, "unit", e->neurons, 0, 1, e->hidden_size, "unit within the layer", err));
        layout->coordinates[extra].along = neuron;
        layout->coordinates[extra].name = NULL;
    }
    const int32_t axis_scale[] = {[RL_AXIS_NEURON] = neuron,
                                  [RL_AXIS_WORD] = neuron,
                                  [RL_AXIS_STEP] = -1,
                                  [RL_AXIS_EPOCH] = -1,
                                  [RL_AXIS_PRUNED] = words ? extra : neuron};
    RL_TRY(add_targets(layout, survey, group, path, model, axis_scale, run, stage, err));
cleanup:
    rl_free(path);
    return status;
}

static rl_status add_model_groups(rl_layout *layout, const rl_survey *survey, const char *group, rl_error *err)
{
    rl_status status = RL_OK;
    bool words = !strcmp(group, "words"), any = false;
    char path[32];
    snprintf(path, sizeof path, "/%s", group);
    for (int32_t m = 0; m < survey->num_models; m++) {
        if (survey->models[m].num_present == 0 || (words && survey->models[m].extents.k == 0)) continue;
        if (!any) RL_TRY(add_group(layout, path, err));
        any = true;
        RL_TRY(add_model_group(layout, survey, group, m, err));
    }
cleanup:
    return status;
}

static rl_status add_training(rl_layout *layout, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t run, stage, step = -1, epoch = -1;
    if (survey->longest.steps == 0 && survey->longest.epochs == 0) return RL_OK;
    RL_TRY(add_group(layout, "/training", err));
    RL_TRY(add_runs(&run, layout, survey, "/training", -1, err));
    RL_TRY(add_stages(&stage, layout, survey, "/training", err));
    if (survey->longest.steps)
        RL_TRY(add_count(&step, layout, "/training", "step", survey->longest.steps, 1,
                         "step of the stage's training, from 1", err));
    if (survey->longest.epochs)
        RL_TRY(add_count(&epoch, layout, "/training", "epoch", survey->longest.epochs, 1,
                         "epochs of the stage's training completed", err));
    const int32_t axis_scale[] = {[RL_AXIS_NEURON] = -1,
                                  [RL_AXIS_WORD] = -1,
                                  [RL_AXIS_STEP] = step,
                                  [RL_AXIS_EPOCH] = epoch,
                                  [RL_AXIS_PRUNED] = -1};
    RL_TRY(add_targets(layout, survey, "training", "/training", -1, axis_scale, run, stage, err));
cleanup:
    return status;
}

/* --------------------------------------------------------------------------------------------------- layout */

void rl_layout_close(rl_layout *layout)
{
    if (!layout) return;
    for (int32_t i = 0; i < layout->num_coordinates; i++) {
        rl_h5_close(layout->coordinates[i].id);
        layout->coordinates[i].id = H5I_INVALID_HID;
    }
    for (int32_t i = 0; i < layout->num_targets; i++) {
        rl_h5_close(layout->targets[i].id);
        layout->targets[i].id = H5I_INVALID_HID;
    }
    for (int32_t i = 0; i < layout->num_columns; i++) {
        rl_h5_close(layout->columns[i].id);
        layout->columns[i].id = H5I_INVALID_HID;
    }
}

void rl_layout_free(rl_layout *layout)
{
    if (!layout) return;
    for (int32_t i = 0; i < layout->num_groups; i++) rl_free(layout->groups[i]);
    for (int32_t i = 0; i < layout->num_coordinates; i++) {
        rl_free(layout->coordinates[i].path);
        rl_free(layout->coordinates[i].values);
    }
    for (int32_t i = 0; i < layout->num_targets; i++) rl_free(layout->targets[i].path);
    for (int32_t i = 0; i < layout->num_columns; i++) {
        rl_free(layout->columns[i].path);
        rl_free(layout->columns[i].long_name);
        rl_free(layout->columns[i].values);
    }
    rl_free(layout->groups);
    rl_free(layout->coordinates);
    rl_free(layout->targets);
    rl_free(layout->columns);
    rl_free(layout);
}

size_t rl_layout_bytes(const rl_layout *layout, const rl_survey *survey)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < layout->num_coordinates; i++) bytes += rl_array_bytes(&layout->coordinates[i].array);
    for (int32_t i = 0; i < layout->num_targets; i++)
        bytes += rl_array_bytes(&layout->targets[i].row) * (size_t)layout->targets[i].num_rows;
    for (int32_t i = 0; i < layout->num_columns; i++) bytes += layout->columns[i].width * (size_t)survey->num_runs;
    return bytes;
}

rl_status rl_layout_create(rl_layout **out, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    rl_layout *layout = NULL;
    int64_t models = survey->num_models;
    RL_ALLOC(layout, 1, err);
    RL_ALLOC(layout->groups, 4 + 2 * models, err);      /* runs, neurons, words, training; two a model */
    RL_ALLOC(layout->coordinates, 7 + 9 * models, err); /* 1 + 4 + vocabulary + sweep; 5 + 4 a model */
    RL_ALLOC(layout->targets, (int64_t)rl_num_fields * (models + 1), err);
    RL_TRY(add_sweep_file(layout, survey, err));
    RL_TRY(add_vocabulary(layout, survey, err));
    RL_TRY(add_group(layout, "/runs", err));
    RL_TRY(add_runs(&layout->runs_scale, layout, survey, "/runs", -1, err));
    RL_TRY(rl_columns_create(layout, survey, err));
    RL_TRY(add_model_groups(layout, survey, "neurons", err));
    RL_TRY(add_model_groups(layout, survey, "words", err));
    RL_TRY(add_training(layout, survey, err));
    *out = layout;
    layout = NULL;
cleanup:
    rl_layout_free(layout);
    return status;
}
