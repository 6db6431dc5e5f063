/* layers.c -- where a concept sits: per run, stage and layer, from the neuron arrays, read one run a rank at a time through
 * parallel HDF5 and never kept. */
#include "stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct neuron_rows { /* of one run: [stage, neuron] */
    double *saliency, *similarity;
    float *mean_difference, *effect_size;
    int8_t *pruned;
} neuron_rows;

void rl_layers_free(rl_layers *l)
{
    if (!l) return;
    rl_free(l->by_layer);
    rl_free(l->by_stage);
    rl_free(l);
}

double rl_layers_value(const rl_layers *l, int64_t num_stages, int64_t row, int64_t stage, int measure, int64_t layer)
{
    int64_t at = row * num_stages + stage;
    if (layer < 0) return l->by_stage[at * RL_NUM_STAGE_MEASURES + measure];
    return l->by_layer[(at * RL_NUM_LAYER_MEASURES + measure) * l->model->layers + layer];
}

/* ---------------------------------------------------------------------------------------------------- one run */

typedef struct layer_sums {
    double saliency, mass, pruned_mass, effect, similarity;
    int64_t num_saliency, num_similarity, num_salient;
} layer_sums;

static layer_sums sum_layer(const neuron_rows *rows, int64_t from, int64_t pruned_from, int64_t C)
{
    layer_sums sums = {0};
    for (int64_t i = 0; i < C; i++) {
        double s = rows->saliency[from + i], w = rows->similarity[from + i];
        double m = fabs((double)rows->mean_difference[from + i]);
        if (isfinite(s)) sums.saliency += s, sums.num_saliency++, sums.num_salient += s > RL_STATS_SALIENT;
        if (isfinite(w)) sums.similarity += w, sums.num_similarity++;
        sums.mass += m;
        sums.effect += fabs((double)rows->effect_size[from + i]);
        if (rows->pruned[pruned_from + i] == 1) sums.pruned_mass += m;
    }
    return sums;
}

/* A stage that the run does not have is NaN throughout: its masses are, which no real stage's are. */
static void fill_stage(rl_layers *l, const neuron_rows *rows, int64_t row, int64_t stage, int64_t num_stages)
{
    int64_t L = l->model->layers, C = l->model->hidden_size, N = l->model->neurons;
    double *out = l->by_layer + (row * num_stages + stage) * RL_NUM_LAYER_MEASURES * L;
    double *whole = l->by_stage + (row * num_stages + stage) * RL_NUM_STAGE_MEASURES;
    double mass = 0, saliency = 0, salient = 0, moment = 0, mass_moment = 0, entropy = 0;
    for (int64_t k = 0; k < L; k++) {
        layer_sums s = sum_layer(rows, stage * N + k * C, (num_stages > 1 ? N : 0) + k * C, C);
        bool present = isfinite(s.mass);
        out[RL_LAYER_SALIENCY * L + k] = s.num_saliency ? s.saliency / (double)s.num_saliency : NAN;
        out[RL_LAYER_SHARE * L + k] = present ? (double)s.num_salient / (double)C : NAN;
        out[RL_LAYER_REDISTRIBUTION * L + k] = (double)s.num_salient;
        out[RL_LAYER_MASS * L + k] = s.mass / (double)C;
        out[RL_LAYER_MASS_SHARE * L + k] = s.mass;
        out[RL_LAYER_PRUNED_MASS_SHARE * L + k] = s.pruned_mass;
        out[RL_LAYER_EFFECT_SIZE * L + k] = s.effect / (double)C;
        out[RL_LAYER_SIMILARITY * L + k] = s.num_similarity ? s.similarity / (double)s.num_similarity : NAN;
        out[RL_LAYER_NULL_SHARE * L + k] = present ? (double)(C - s.num_saliency) / (double)C : NAN;
        mass += s.mass;
        mass_moment += s.mass * (double)k;
        saliency += s.saliency;
        moment += s.saliency * (double)k;
        salient += (double)s.num_salient;
    }
    for (int64_t k = 0; k < L; k++) {
        double p = out[RL_LAYER_SALIENCY * L + k] * (1 - out[RL_LAYER_NULL_SHARE * L + k]) * (double)C / saliency;
        if (p > 0) entropy -= p * log(p);
        out[RL_LAYER_REDISTRIBUTION * L + k] /= isfinite(mass) ? salient : NAN;
        out[RL_LAYER_MASS_SHARE * L + k] /= mass;
        out[RL_LAYER_PRUNED_MASS_SHARE * L + k] /= mass;
    }
    whole[RL_STAGE_CENTRE] = moment / saliency;
    whole[RL_STAGE_CENTRE_MASS] = mass_moment / mass;
    whole[RL_STAGE_ENTROPY] = saliency > 0 && L > 1 ? entropy / log((double)L) : NAN;
}

/* -------------------------------------------------------------------------------------------------- reading */

static const struct {
    const char *name;
    rl_element element;
} arrays[] = {{"saliency", RL_F64}, {"similarity", RL_F64}, {"mean_difference", RL_F32}, {"effect_size", RL_F32}, {"pruned", RL_I8}};
enum { NUM_ARRAYS = sizeof arrays / sizeof *arrays };

static rl_status open_arrays(hid_t id[NUM_ARRAYS], const rl_source *s, const rl_source_model *m, rl_error *err)
{
    char path[300];
    for (int i = 0; i < NUM_ARRAYS; i++) {
        rl_array shape;
        snprintf(path, sizeof path, "/neurons/%s/%s", m->name, arrays[i].name);
        rl_status status = rl_h5_shape(&shape, s->file, path, err);
        if (status != RL_OK) return status;
        if (shape.element != arrays[i].element || shape.num_dims != 3 || (int64_t)shape.dims[0] != m->num_rows ||
            (int64_t)shape.dims[1] != s->num_stages || (int64_t)shape.dims[2] != m->neurons)
            return rl_fail(err, RL_ERR_INPUT, "%s: %s has another shape or type than its neighbours", s->path, path);
        id[i] = H5Dopen2(s->file.id, path, H5P_DEFAULT);
        if (id[i] < 0) return rl_h5_fail(err, RL_ERR_INPUT, s->path, "%s cannot be opened", path);
    }
    return RL_OK;
}

static rl_status read_row(neuron_rows *rows, const hid_t id[NUM_ARRAYS], const rl_source *s, const rl_source_model *m,
                          int64_t row, rl_error *err)
{
    void *const to[NUM_ARRAYS] = {rows->saliency, rows->similarity, rows->mean_difference, rows->effect_size, rows->pruned};
    rl_status status = RL_OK;
    for (int i = 0; i < NUM_ARRAYS; i++) {
        rl_array shape = rl_array_of(arrays[i].element, 2, (hsize_t[]){(hsize_t)s->num_stages, (hsize_t)m->neurons});
        RL_TRY(rl_parallel_rows(s->file, id[i], H5P_DEFAULT, false, (hsize_t)row, 1, shape, to[i], arrays[i].name, err));
    }
cleanup:
    return status;
}

static rl_status make_rows(neuron_rows *rows, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(rows->saliency, n, err);
    RL_ALLOC(rows->similarity, n, err);
    RL_ALLOC(rows->mean_difference, n, err);
    RL_ALLOC(rows->effect_size, n, err);
    RL_ALLOC(rows->pruned, n, err);
cleanup:
    return status;
}

static rl_status make_layers(rl_layers *l, neuron_rows *rows, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = l->model->num_rows * s->num_stages;
    RL_ALLOC(l->by_layer, n * RL_NUM_LAYER_MEASURES * l->model->layers, err);
    RL_ALLOC(l->by_stage, n * RL_NUM_STAGE_MEASURES, err);
    status = make_rows(rows, s->num_stages * l->model->neurons, err);
cleanup:
    return status;
}

rl_status rl_layers_create(rl_layers **out, const rl_source *s, int32_t model, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_model *m = &s->models[model];
    rl_layers *l = rl_calloc(1, sizeof *l, err);
    neuron_rows rows = {0};
    hid_t id[NUM_ARRAYS] = {-1, -1, -1, -1, -1};
    int64_t first = rl_share_first(m->num_rows, s->size, s->rank), end = rl_share_first(m->num_rows, s->size, s->rank + 1);
    if (l) l->model = m;
    RL_TRY(rl_source_agree(s, l ? make_layers(l, &rows, s, err) : RL_ERR_MEMORY, err));
    RL_TRY(rl_source_agree(s, open_arrays(id, s, m, err), err));
    for (int64_t row = first; row < end; row++) {
        RL_TRY(read_row(&rows, id, s, m, row, err));
        for (int64_t stage = 0; stage < s->num_stages; stage++) fill_stage(l, &rows, row, stage, s->num_stages);
    }
    RL_TRY(rl_source_agree(s, RL_OK, err));
    rl_combine(s->comm, l->by_layer,
               (size_t)(m->num_rows * s->num_stages * RL_NUM_LAYER_MEASURES * m->layers) * sizeof(double));
    rl_combine(s->comm, l->by_stage, (size_t)(m->num_rows * s->num_stages * RL_NUM_STAGE_MEASURES) * sizeof(double));
    *out = l;
    l = NULL;
cleanup:
    for (int i = 0; i < NUM_ARRAYS; i++) rl_h5_close(id[i]);
    rl_free(rows.saliency);
    rl_free(rows.similarity);
    rl_free(rows.mean_difference);
    rl_free(rows.effect_size);
    rl_free(rows.pruned);
    rl_layers_free(l);
    return status;
}

/* --------------------------------------------------------------------------------------------------- output */

static const struct {
    const char *name, *long_name, *method;
} layer_measures[RL_NUM_LAYER_MEASURES] = {
    [RL_LAYER_SALIENCY] = {"saliency", "mean saliency of the layer's neurons", "mean over neurons that are not null"},
    [RL_LAYER_SHARE] = {"share", "share of the layer's neurons with saliency > 0.5", "null neurons count as not salient"},
    [RL_LAYER_REDISTRIBUTION] = {"redistribution", "share of all neurons with saliency > 0.5 that lie in the layer",
                                 "number in the layer / number in the model"},
    [RL_LAYER_MASS] = {"mass", "mean |mean difference| of the layer's neurons", "mean over neurons"},
    [RL_LAYER_MASS_SHARE] = {"mass_share", "share of the model's |mean difference| in the layer", "sum over neurons / total"},
    [RL_LAYER_PRUNED_MASS_SHARE] = {"pruned_mass_share", "share of the model's |mean difference| in the layer's pruned neurons",
                                    "sum over pruned neurons / total"},
    [RL_LAYER_EFFECT_SIZE] = {"effect_size", "mean |effect size| of the layer's neurons", "mean over neurons"},
    [RL_LAYER_SIMILARITY] = {"similarity", "mean similarity of top words to base", "mean over neurons that have one"},
    [RL_LAYER_NULL_SHARE] = {"null_share", "share of null neurons", "neurons without saliency / neurons"}};
static const struct {
    const char *name, *long_name, *method, *units;
} stage_measures[RL_NUM_STAGE_MEASURES] = {
    [RL_STAGE_CENTRE] = {"centre", "centre of mass over layers of saliency", "sum of layer * saliency / sum", "layer"},
    [RL_STAGE_CENTRE_MASS] = {"centre_mass", "centre of mass over layers of |mean difference|",
                              "sum of layer * |mean difference| / sum", "layer"},
    [RL_STAGE_ENTROPY] = {"entropy", "entropy over layers of saliency; 1 = evenly spread", "-sum p log p / log layers", "1"}};

/* Values [run, width] of one measure, NaN for runs of other models. */
static void spread(double *values, const rl_layers *l, const rl_source *s, int measure, bool by_layer)
{
    int64_t L = by_layer ? l->model->layers : 1, width = s->num_stages * L;
    for (int64_t i = 0; i < s->num_runs * width; i++) values[i] = NAN;
    for (int64_t row = 0; row < l->model->num_rows; row++)
        for (int64_t stage = 0; stage < s->num_stages; stage++)
            for (int64_t k = 0; k < L; k++)
                values[l->model->run_of_row[row] * width + stage * L + k] =
                    rl_layers_value(l, s->num_stages, row, stage, measure, by_layer ? k : -1);
}

static rl_status output_measure(const rl_layers *l, const rl_source *s, rl_resampler *r, rl_outputs *o, const char *group,
                                int measure, bool by_layer, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t width = s->num_stages * (by_layer ? l->model->layers : 1);
    double *values = NULL;
    rl_estimate *e = NULL;
    rl_shape shape = {.group = group,
                      .num_dims = by_layer ? 3 : 2,
                      .dims = {"cell", "stage", "layer"},
                      .units = by_layer ? "1" : stage_measures[measure].units,
                      .method = by_layer ? layer_measures[measure].method : stage_measures[measure].method};
    RL_ALLOC(values, s->num_runs * width, err);
    RL_ALLOC(e, l->model->num_cells * width, err);
    spread(values, l, s, measure, by_layer);
    RL_TRY(rl_estimate_cells(e, s, r, l->model->cells, l->model->num_cells, values, width, err));
    RL_TRY(rl_outputs_add_estimates(o, &shape, by_layer ? layer_measures[measure].name : stage_measures[measure].name, e,
                                    by_layer ? layer_measures[measure].long_name : stage_measures[measure].long_name, err));
cleanup:
    rl_free(values);
    rl_free(e);
    return status;
}

/* What the store gives by layer already: /layers/MODEL/NAME [row, stage, layer], small. False: the store has none. */
static bool read_given(double *values, const rl_layers *l, const rl_source *s, const char *name, rl_status *status, rl_error *err)
{
    rl_place file = {H5I_INVALID_HID, s->path};
    rl_array shape;
    char path[300];
    bool there = false;
    snprintf(path, sizeof path, "/layers/%s", l->model->name);
    *status = rl_h5_open(&file.id, s->path, "results file", err);
    if (*status == RL_OK && H5Lexists(file.id, "/layers", H5P_DEFAULT) > 0 && H5Lexists(file.id, path, H5P_DEFAULT) > 0) {
        snprintf(path, sizeof path, "/layers/%s/%s", l->model->name, name);
        there = H5Lexists(file.id, path, H5P_DEFAULT) > 0;
    }
    if (there) *status = rl_h5_shape(&shape, file, path, err);
    there = there && *status == RL_OK && shape.element == RL_F64 && shape.num_dims == 3 && (int64_t)shape.dims[0] == l->model->num_rows &&
            (int64_t)shape.dims[1] == s->num_stages && (int64_t)shape.dims[2] == l->model->layers;
    if (there) *status = rl_h5_get(values, file, path, &shape, err);
    rl_h5_close(file.id);
    return there;
}

static rl_status output_given(const rl_layers *l, const rl_source *s, rl_resampler *r, rl_outputs *o, const char *group, const char *name,
                              const char *long_name, rl_error *err)
{
    rl_status status = RL_OK, read = RL_OK;
    int64_t width = s->num_stages * l->model->layers;
    double *rows = NULL, *values = NULL;
    rl_estimate *e = NULL;
    rl_shape shape = {.group = group, .num_dims = 3, .dims = {"cell", "stage", "layer"}, .method = "as stored by run"};
    RL_ALLOC(rows, l->model->num_rows * width, err);
    RL_ALLOC(values, s->num_runs * width, err);
    RL_ALLOC(e, l->model->num_cells * width, err);
    bool there = read_given(rows, l, s, name, &read, err);
    RL_TRY(rl_source_agree(s, read, err));
    if (!there) goto cleanup;
    for (int64_t i = 0; i < s->num_runs * width; i++) values[i] = NAN;
    for (int64_t row = 0; row < l->model->num_rows; row++)
        memcpy(values + l->model->run_of_row[row] * width, rows + row * width, (size_t)width * sizeof *rows);
    RL_TRY(rl_estimate_cells(e, s, r, l->model->cells, l->model->num_cells, values, width, err));
    RL_TRY(rl_outputs_add_estimates(o, &shape, name, e, long_name, err));
cleanup:
    rl_free(rows);
    rl_free(values);
    rl_free(e);
    return status;
}

rl_status rl_layers_output(const rl_layers *l, const rl_source *s, rl_resampler *r, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char group[300];
    snprintf(group, sizeof group, "/stats/layers/%s", l->model->name);
    RL_TRY(rl_outputs_add_scale(o, group, "cell", RL_I32, 0, l->model->num_cells, l->model->cells,
                                "cell, as in /stats/cells", err));
    RL_TRY(rl_outputs_add_stages(o, s, group, err));
    RL_TRY(rl_outputs_add_count(o, group, "layer", l->model->layers, "layer, 0 = embeddings", err));
    for (int i = 0; i < RL_NUM_LAYER_MEASURES; i++) RL_TRY(output_measure(l, s, r, o, group, i, true, err));
    for (int i = 0; i < RL_NUM_STAGE_MEASURES; i++) RL_TRY(output_measure(l, s, r, o, group, i, false, err));
    RL_TRY(output_given(l, s, r, o, group, "cka", "debiased linear CKA to the base model", err));
    RL_TRY(output_given(l, s, r, o, group, "probe_accuracy", "held-out accuracy of the linear probe", err));
    RL_TRY(output_given(l, s, r, o, group, "selectivity", "accuracy of the linear probe above that on control labels", err));
cleanup:
    return status;
}

/* Last stage that the run has minus base, of both centres. */
rl_status rl_relocation_output(rl_layers *const *layers, const rl_source *s, rl_outputs *o, double *relocation,
                               double *relocation_mass, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shape shape = {.group = "/stats/runs", .num_dims = 1, .dims = {"run"}, .units = "layer",
                      .method = "centre of mass over layers at the last stage minus at base; negative: towards the embeddings"};
    for (int64_t run = 0; run < s->num_runs; run++) relocation[run] = relocation_mass[run] = NAN;
    for (int32_t m = 0; m < s->num_models; m++)
        for (int64_t row = 0; row < s->models[m].num_rows; row++)
            for (int64_t stage = 2; stage < s->num_stages; stage++) {
                int64_t run = s->models[m].run_of_row[row];
                double mass = rl_layers_value(layers[m], s->num_stages, row, stage, RL_STAGE_CENTRE_MASS, -1);
                if (!isfinite(mass)) continue;
                relocation_mass[run] = mass - rl_layers_value(layers[m], s->num_stages, row, 0, RL_STAGE_CENTRE_MASS, -1);
                relocation[run] = rl_layers_value(layers[m], s->num_stages, row, stage, RL_STAGE_CENTRE, -1) -
                                  rl_layers_value(layers[m], s->num_stages, row, 0, RL_STAGE_CENTRE, -1);
            }
    RL_TRY(rl_outputs_add(o, &shape, "relocation", RL_F64, 0, relocation, "relocation of saliency", err));
    RL_TRY(rl_outputs_add(o, &shape, "relocation_mass", RL_F64, 0, relocation_mass, "relocation of |mean difference|", err));
cleanup:
    return status;
}
