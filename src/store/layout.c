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

static rl_status add_texts(int32_t *out, rl_layout *layout, const char *group, const char *name, const rl_names *texts,
                           const char *long_name, rl_error *err)
{
    int32_t n = rl_names_count(texts);
    size_t width = 1;
    for (int32_t i = 0; i < n; i++)
        if (strlen(rl_names_get(texts, i)) > width) width = strlen(rl_names_get(texts, i));
    char *values = rl_calloc((size_t)n, width, err);
    for (int32_t i = 0; values && i < n; i++)
        memcpy(values + (size_t)i * width, rl_names_get(texts, i), strlen(rl_names_get(texts, i)));
    return add_coordinate(out, layout, group, name, rl_text_array(width, (hsize_t)n), values, long_name, err);
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

static rl_status add_listed(int32_t *out, rl_layout *layout, const char *group, const char *name, const char *const *texts,
                            int n, const char *long_name, rl_error *err)
{
    size_t width = 32;
    char *values = rl_calloc((size_t)n, width, err);
    for (int i = 0; values && i < n; i++) memcpy(values + (size_t)i * width, texts[i], strlen(texts[i]));
    return add_coordinate(out, layout, group, name, rl_text_array(width, (hsize_t)n), values, long_name, err);
}

/* The scale of one dimension in a group. */
static rl_status add_scale(int32_t *out, rl_layout *layout, const rl_survey *survey, const char *path, rl_dimension dimension,
                           const rl_extents *e, rl_error *err)
{
    switch (dimension) {
    case RL_DIM_NEURON:
        return add_count(out, layout, path, "neuron", e->neurons, 0, "neuron: layer * hidden size + unit", err);
    case RL_DIM_K: return add_count(out, layout, path, "k", e->k, 0, "position in the list of top words, best first", err);
    case RL_DIM_STEP: return add_count(out, layout, path, "step", e->steps, 1, "step of the stage's training, from 1", err);
    case RL_DIM_EPOCH:
        return add_count(out, layout, path, "epoch", e->epochs, 1, "epochs of the stage's training completed", err);
    case RL_DIM_POINT: return add_count(out, layout, path, "point", e->points, 0, "point of the stage's curve", err);
    case RL_DIM_TYPE: return add_texts(out, layout, path, "type", survey->types, "entity type", err);
    case RL_DIM_CONCEPT:
        return add_texts(out, layout, path, "concept", survey->others, "concept that is followed beside the run's own", err);
    case RL_DIM_LAYER: return add_count(out, layout, path, "layer", e->layers, 0, "hidden state, 0 = embeddings", err);
    case RL_DIM_FINDER:
        return add_listed(out, layout, path, "finder", rl_rank_method_names, RL_NUM_RANK_METHODS, "way to rank neurons", err);
    case RL_DIM_SET:
        return add_listed(out, layout, path, "set", rl_causal_set_names, RL_NUM_CAUSAL_SETS, "neurons that were zeroed", err);
    case RL_DIM_NONE:
    case RL_DIM_COUNT: break;
    }
    *out = -1;
    return RL_OK;
}

/* layer and unit of each neuron, along `neuron`. */
static rl_status add_neuron_coordinates(rl_layout *layout, const char *path, int32_t neuron, const rl_extents *e, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t at;
    RL_TRY(add_numbers(&at, layout, path, "layer", e->neurons, 0, e->hidden_size, INT64_MAX, "layer, 0 = embeddings", err));
    layout->coordinates[at].along = neuron;
    layout->coordinates[at].name = NULL;
    RL_TRY(add_numbers(&at, layout, path, "unit", e->neurons, 0, 1, e->hidden_size, "unit within the layer", err));
    layout->coordinates[at].along = neuron;
    layout->coordinates[at].name = NULL;
cleanup:
    return status;
}

/* Scales of the dimensions that the fields of `group` have; -1 where none has it or it is empty. */
static rl_status add_scales(int32_t scales[RL_DIM_COUNT], rl_layout *layout, const rl_survey *survey, const char *group,
                            const char *path, const rl_extents *extents, rl_error *err)
{
    rl_status status = RL_OK;
    for (int d = 0; d < RL_DIM_COUNT; d++) {
        bool used = false;
        scales[d] = -1;
        for (size_t i = 0; i < rl_num_fields; i++)
            used |= !strcmp(rl_fields[i].group, group) &&
                    (rl_axis_dimensions[rl_fields[i].axis][0] == (rl_dimension)d || rl_axis_dimensions[rl_fields[i].axis][1] == (rl_dimension)d);
        if (used && rl_dimension_size((rl_dimension)d, extents) > 0)
            RL_TRY(add_scale(&scales[d], layout, survey, path, (rl_dimension)d, extents, err));
    }
cleanup:
    return status;
}

/* Every field of `group` whose extents are not empty, in the group PATH; model -1: one row for every run. */
static rl_status add_fields(rl_layout *layout, const rl_survey *survey, const char *group, const char *path, int32_t model,
                            rl_error *err)
{
    rl_status status = RL_OK;
    const rl_extents *extents = model < 0 ? &survey->longest : &survey->models[model].extents;
    int32_t run, stage, scales[RL_DIM_COUNT];
    RL_TRY(add_group(layout, path, err));
    RL_TRY(add_runs(&run, layout, survey, path, model, err));
    RL_TRY(add_stages(&stage, layout, survey, path, err));
    RL_TRY(add_scales(scales, layout, survey, group, path, extents, err));
    if (scales[RL_DIM_NEURON] >= 0 && scales[RL_DIM_K] < 0)
        RL_TRY(add_neuron_coordinates(layout, path, scales[RL_DIM_NEURON], extents, err));
    for (size_t i = 0; i < rl_num_fields; i++) {
        const rl_field *field = &rl_fields[i];
        const rl_dimension *beside = rl_axis_dimensions[field->axis];
        if (strcmp(field->group, group)) continue;
        rl_target target = {.field = field,
                            .model = model,
                            .row = rl_field_array(field, extents),
                            .num_rows = (hsize_t)(model < 0 ? survey->num_runs : survey->models[model].num_runs),
                            .id = H5I_INVALID_HID,
                            .scales = {run, stage, scales[beside[0]], scales[beside[1]]}};
        if (rl_array_count(&target.row) == 0) continue;
        if (!(target.path = rl_format(err, "%s/%s", path, field->name))) return RL_ERR_MEMORY;
        layout->targets[layout->num_targets++] = target;
    }
cleanup:
    return status;
}

/* Has any field of the group something to hold? */
static bool has_values(const char *group, const rl_extents *extents)
{
    for (size_t i = 0; i < rl_num_fields; i++) {
        rl_array array = rl_field_array(&rl_fields[i], extents);
        if (!strcmp(rl_fields[i].group, group) && rl_array_count(&array) > 0) return true;
    }
    return false;
}

static rl_status add_model_groups(rl_layout *layout, const rl_survey *survey, const char *group, rl_error *err)
{
    rl_status status = RL_OK;
    bool any = false;
    char path[32], *inner = NULL;
    snprintf(path, sizeof path, "/%s", group);
    for (int32_t m = 0; m < survey->num_models; m++) {
        if (survey->models[m].num_present == 0 || !has_values(group, &survey->models[m].extents)) continue;
        if (!any) RL_TRY(add_group(layout, path, err));
        any = true;
        rl_free(inner);
        inner = rl_format(err, "%s/%s", path, survey->models[m].name);
        RL_TRY(inner ? RL_OK : RL_ERR_MEMORY);
        RL_TRY(add_fields(layout, survey, group, inner, m, err));
    }
cleanup:
    rl_free(inner);
    return status;
}

static rl_status add_run_group(rl_layout *layout, const rl_survey *survey, const char *group, rl_error *err)
{
    char path[32];
    int64_t present = 0;
    for (int32_t m = 0; m < survey->num_models; m++) present += survey->models[m].num_present;
    snprintf(path, sizeof path, "/%s", group);
    return present && has_values(group, &survey->longest) ? add_fields(layout, survey, group, path, -1, err) : RL_OK;
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

/* Neurons differ from model to model; the rest is the same for all runs. */
static const char *const model_groups[] = {"neurons", "words", "also", "layers"}, *const run_groups[] = {"training", "curve", "types", "finders", "causal"};

rl_status rl_layout_create(rl_layout **out, const rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t words;
    rl_layout *layout = NULL;
    int64_t models = survey->num_models;
    RL_ALLOC(layout, 1, err);
    enum { MODEL_GROUPS = sizeof model_groups / sizeof *model_groups, RUN_GROUPS = sizeof run_groups / sizeof *run_groups };
    RL_ALLOC(layout->groups, 1 + RUN_GROUPS + MODEL_GROUPS * (1 + models), err);
    RL_ALLOC(layout->coordinates, 3 + (RL_DIM_COUNT + 4) * (RUN_GROUPS + MODEL_GROUPS * models), err); /* run, stage, layer, unit */
    RL_ALLOC(layout->targets, (int64_t)rl_num_fields * (models + 1), err);
    RL_TRY(add_sweep_file(layout, survey, err));
    if (rl_names_count(survey->words))
        RL_TRY(add_texts(&words, layout, "", "vocabulary", survey->words, "distinct words of the concept corpora, in plan order", err));
    RL_TRY(add_group(layout, "/runs", err));
    RL_TRY(add_runs(&layout->runs_scale, layout, survey, "/runs", -1, err));
    RL_TRY(rl_columns_create(layout, survey, err));
    for (int g = 0; g < MODEL_GROUPS; g++) RL_TRY(add_model_groups(layout, survey, model_groups[g], err));
    for (int g = 0; g < RUN_GROUPS; g++) RL_TRY(add_run_group(layout, survey, run_groups[g], err));
    *out = layout;
    layout = NULL;
cleanup:
    rl_layout_free(layout);
    return status;
}
