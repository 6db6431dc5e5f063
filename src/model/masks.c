/* masks.c -- units that are zero while the model runs: the lists, and the columns they clear.
 *
 * Units are kept sorted by (site, layer, unit) with the place where each (site, layer) begins, so that a pass over a
 * layer
 * finds its few masked columns at once and one without any pays a comparison. */
#include "model_internal.h"

#include <stdlib.h>
#include <string.h>

struct rl_model_masks {
    int64_t num_units, num_layers; /* num_layers: the model's L */
    rl_unit *units;
    int64_t *start; /* [RL_UNIT_SITES * (L + 1) + 1] first unit of each (site, layer) */
};

static const char *const site_names[RL_UNIT_SITES] = {"hidden", "ffn", "head"};

int64_t rl_unit_layers(const rl_model_config *config, rl_unit_site site)
{
    return config->num_layers + (site == RL_UNIT_HIDDEN ? 1 : 0);
}

int64_t rl_units_per_layer(const rl_model_config *config, rl_unit_site site)
{
    return site == RL_UNIT_HIDDEN ? config->hidden_size
           : site == RL_UNIT_FFN  ? config->intermediate_size
                                  : config->num_heads;
}

/* ----------------------------------------------------------------------------------------------------- lists */

static int by_place(const void *a, const void *b)
{
    const rl_unit *x = a, *y = b;
    if (x->site != y->site) return x->site < y->site ? -1 : 1;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return (x->unit > y->unit) - (x->unit < y->unit);
}

static rl_status check_unit(const rl_model_config *config, rl_unit unit, rl_error *err)
{
    if ((unsigned)unit.site >= RL_UNIT_SITES)
        return rl_fail(err, RL_ERR_INPUT, "site %d of a masked unit does not exist; expected hidden, ffn or head",
                       (int)unit.site);
    if (unit.layer < 0 || unit.layer >= rl_unit_layers(config, unit.site))
        return rl_fail(err, RL_ERR_INPUT, "layer %d of site %s does not exist; expected 0 to %lld", unit.layer,
                       site_names[unit.site], (long long)rl_unit_layers(config, unit.site) - 1);
    if (unit.unit < 0 || unit.unit >= rl_units_per_layer(config, unit.site))
        return rl_fail(err, RL_ERR_INPUT, "unit %d of site %s does not exist; expected 0 to %lld", unit.unit,
                       site_names[unit.site], (long long)rl_units_per_layer(config, unit.site) - 1);
    return RL_OK;
}

static void sort_without_repeats(rl_model_masks *masks)
{
    int64_t kept = 0;
    if (masks->num_units) qsort(masks->units, (size_t)masks->num_units, sizeof *masks->units, by_place);
    for (int64_t i = 0; i < masks->num_units; i++)
        if (!kept || by_place(&masks->units[kept - 1], &masks->units[i]) != 0) masks->units[kept++] = masks->units[i];
    masks->num_units = kept;
}

static void find_starts(rl_model_masks *masks)
{
    int64_t places = RL_UNIT_SITES * (masks->num_layers + 1);
    for (int64_t i = 0; i < masks->num_units; i++)
        masks->start[masks->units[i].site * (masks->num_layers + 1) + masks->units[i].layer + 1]++;
    for (int64_t place = 0; place < places; place++) masks->start[place + 1] += masks->start[place];
}

rl_status rl_model_masks_create(rl_model_masks **out, const rl_model_config *config, const rl_unit *units,
                                int64_t num_units, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model_masks *masks = NULL;
    for (int64_t i = 0; i < num_units; i++) RL_TRY(check_unit(config, units[i], err));
    RL_ALLOC(masks, 1, err);
    masks->num_units = num_units;
    masks->num_layers = config->num_layers;
    RL_ALLOC(masks->units, num_units, err);
    RL_ALLOC(masks->start, RL_UNIT_SITES * (config->num_layers + 1) + 1, err);
    if (num_units) memcpy(masks->units, units, (size_t)num_units * sizeof *units);
    sort_without_repeats(masks);
    find_starts(masks);
    *out = masks;
    masks = NULL;
cleanup:
    rl_model_masks_free(masks);
    return status;
}

void rl_model_masks_free(rl_model_masks *masks)
{
    if (!masks) return;
    rl_free(masks->units);
    rl_free(masks->start);
    rl_free(masks);
}

const rl_unit *rl_model_masks_units(const rl_model_masks *masks, int64_t *num_units)
{
    *num_units = masks ? masks->num_units : 0;
    return masks ? masks->units : NULL;
}

rl_status rl_model_set_masks(rl_model *model, const rl_unit *units, int64_t num_units, rl_error *err)
{
    rl_model_masks *masks = NULL;
    rl_status status = num_units ? rl_model_masks_create(&masks, &model->config, units, num_units, err) : RL_OK;
    if (status != RL_OK) return status;
    rl_model_masks_free(model->masks);
    model->masks = masks;
    return RL_OK;
}

rl_status rl_model_view_masks(rl_model_masks **out, const rl_model *model, const rl_unit *also, int64_t num_units,
                              rl_error *err)
{
    rl_status status = RL_OK;
    int64_t num_own;
    const rl_unit *own = rl_model_masks_units(model->masks, &num_own);
    rl_unit *all = NULL;
    RL_ALLOC(all, num_own + num_units, err);
    if (num_own) memcpy(all, own, (size_t)num_own * sizeof *all);
    if (num_units) memcpy(all + num_own, also, (size_t)num_units * sizeof *all);
    RL_TRY(rl_model_masks_create(out, &model->config, all, num_own + num_units, err));
cleanup:
    rl_free(all);
    return status;
}

/* --------------------------------------------------------------------------------------------------- columns */

void rl_apply_masks(const rl_model *model, rl_unit_site site, int64_t layer, float *x, int64_t T)
{
    const rl_model_masks *masks = model->masks;
    if (!masks) return;
    const int64_t *start = masks->start + (int64_t)site * (masks->num_layers + 1) + layer;
    if (start[0] == start[1]) return;
    int64_t wide = site == RL_UNIT_HEAD ? model->config.hidden_size / model->config.num_heads : 1;
    int64_t row = wide * rl_units_per_layer(&model->config, site);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = start[0]; i < start[1]; i++)
            memset(x + t * row + masks->units[i].unit * wide, 0, (size_t)wide * sizeof *x);
}

/* ---------------------------------------------------------------------------------------------- config.json */

/* {"hidden": [[layer, unit], ...], "ffn": ..., "head": ...}; sites without units are left out. */
rl_status rl_masks_to_json(json_t **out, const rl_model_masks *masks, rl_error *err)
{
    json_t *root = json_object();
    bool ok = root != NULL;
    for (int site = 0; ok && site < RL_UNIT_SITES; site++) {
        json_t *list = json_array();
        ok = list != NULL;
        for (int64_t i = 0; ok && i < masks->num_units; i++)
            if ((int)masks->units[i].site == site)
                ok = json_array_append_new(list, json_pack("[ii]", masks->units[i].layer, masks->units[i].unit)) == 0;
        if (ok && json_array_size(list)) ok = json_object_set(root, site_names[site], list) == 0;
        json_decref(list);
    }
    if (!ok) {
        json_decref(root);
        return rl_fail(err, RL_ERR_MEMORY, "out of memory writing masks");
    }
    *out = root;
    return RL_OK;
}

static rl_status read_pair(rl_unit *unit, const json_t *pair, int site, const char *path, rl_error *err)
{
    const json_t *layer = json_array_get(pair, 0), *index = json_array_get(pair, 1);
    json_int_t limit = INT32_MAX;
    if (json_array_size(pair) != 2 || !json_is_integer(layer) || !json_is_integer(index) ||
        json_integer_value(layer) < 0 || json_integer_value(layer) > limit || json_integer_value(index) < 0 ||
        json_integer_value(index) > limit)
        // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): check_sites has refused names that are no site
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"relearn_masks\": \"%s\" has an entry that is not [layer, unit]", site_names[site]);
    *unit = (rl_unit){(rl_unit_site)site, (int32_t)json_integer_value(layer), (int32_t)json_integer_value(index)};
    return RL_OK;
}

static int find_site(const char *name)
{
    int site = 0;
    while (site < RL_UNIT_SITES && strcmp(name, site_names[site]) != 0) site++;
    return site;
}

static rl_status check_sites(json_t *root, const char *path, int64_t *total, rl_error *err)
{
    const char *name;
    json_t *list;
    if (!json_is_object(root))
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"relearn_masks\" is not an object of sites");
    json_object_foreach(root, name, list)
    {
        const char *nearest = rl_nearest_name(name, site_names, RL_UNIT_SITES);
        if (find_site(name) == RL_UNIT_SITES)
            return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                              "\"relearn_masks\": \"%.64s\" is not a site; expected hidden, ffn or head%s%s", name,
                              nearest ? "; the nearest is " : "", nearest ? nearest : "");
        if (!json_is_array(list))
            return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                              "\"relearn_masks\": \"%s\" is not an array of [layer, unit]", name);
        *total += (int64_t)json_array_size(list);
    }
    return RL_OK;
}

rl_status rl_masks_from_json(rl_model *model, json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_unit *units = NULL;
    int64_t total = 0, n = 0;
    const char *name;
    json_t *list;
    if (!root) return RL_OK;
    RL_TRY(check_sites(root, path, &total, err));
    RL_ALLOC(units, total, err);
    json_object_foreach(root, name, list)
    {
        for (size_t i = 0; i < json_array_size(list); i++, n++)
            RL_TRY(read_pair(&units[n], json_array_get(list, i), find_site(name), path, err));
    }
    status = rl_error_while(err, rl_model_set_masks(model, units, total, err), "reading \"relearn_masks\" of %s", path);
cleanup:
    rl_free(units);
    return status;
}

/* ---------------------------------------------------------------------------------------------- free removal */

/* Everything that writes output `unit` of a linear map of `in` inputs, whose outputs are `out` of a fused matrix'
 * rows. */
static int64_t writers(rl_weight_span *spans, const rl_model *model, rl_role weight, rl_role bias, int64_t layer,
                       int64_t unit, int64_t out, int64_t in)
{
    int64_t matrix = rl_offset_of(model, weight, layer);
    if (spans) {
        spans[0] = model->config.architecture->in_out ? (rl_weight_span){matrix + unit, out, in}
                                                      : (rl_weight_span){matrix + unit * in, 1, in};
        spans[1] = (rl_weight_span){rl_offset_of(model, bias, layer) + unit, 1, 1};
    }
    return 2;
}

static int64_t ffn_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit)
{
    return writers(spans, model, RL_ROLE_FFN_IN_WEIGHT, RL_ROLE_FFN_IN_BIAS, unit.layer, unit.unit,
                   model->config.intermediate_size, model->config.hidden_size);
}

/* The D value columns of one head; query, key and value lie end to end in either layout. */
static int64_t head_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit)
{
    int64_t C = model->config.hidden_size, D = C / model->config.num_heads, n = 0;
    for (int64_t d = 0; d < D; d++, n += 2)
        writers(spans ? spans + n : NULL, model, RL_ROLE_QUERY_WEIGHT, RL_ROLE_QUERY_BIAS, unit.layer,
                2 * C + unit.unit * D + d, 3 * C, C);
    return n;
}

static int64_t norm_spans(rl_weight_span *spans, int64_t gamma, int64_t beta, int64_t unit)
{
    if (spans) {
        spans[0] = (rl_weight_span){gamma + unit, 1, 1};
        spans[1] = (rl_weight_span){beta + unit, 1, 1};
    }
    return 2;
}

/* Column `unit` of the tables, and output `unit` of every block before hidden state `layer`. */
static int64_t stream_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit)
{
    const rl_model_config *config = &model->config;
    int64_t C = config->hidden_size, n = 2;
    if (spans) {
        spans[0] = (rl_weight_span){rl_offset_of(model, RL_ROLE_WORD, 0) + unit.unit, C, config->vocab_size};
        spans[1] = (rl_weight_span){rl_offset_of(model, RL_ROLE_POSITION, 0) + unit.unit, C,
                                    config->position_offset + config->max_positions};
    }
    for (int64_t layer = 0; layer < unit.layer; layer++, n += 4) {
        writers(spans ? spans + n : NULL, model, RL_ROLE_ATTENTION_OUT_WEIGHT, RL_ROLE_ATTENTION_OUT_BIAS, layer,
                unit.unit, C, C);
        writers(spans ? spans + n + 2 : NULL, model, RL_ROLE_FFN_OUT_WEIGHT, RL_ROLE_FFN_OUT_BIAS, layer, unit.unit, C,
                config->intermediate_size);
    }
    return n;
}

static int64_t hidden_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit)
{
    if (!model->config.architecture->norm_first) {
        rl_norm_offsets norm = rl_model_norm_of_hidden_state(model, unit.layer);
        return norm_spans(spans, norm.gamma, norm.beta, unit.unit);
    }
    if (unit.layer == model->config.num_layers)
        return norm_spans(spans, rl_offset_of(model, RL_ROLE_FINAL_GAMMA, 0),
                          rl_offset_of(model, RL_ROLE_FINAL_BETA, 0), unit.unit);
    return stream_spans(spans, model, unit);
}

int64_t rl_model_unit_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit)
{
    switch (unit.site) {
    case RL_UNIT_FFN: return ffn_spans(spans, model, unit);
    case RL_UNIT_HEAD: return head_spans(spans, model, unit);
    default: return hidden_spans(spans, model, unit);
    }
}

static void zero_span(rl_model *model, rl_weight_span span)
{
    for (int64_t k = 0; k < span.count; k++) model->weights[span.offset + k * span.stride] = 0.0f;
}

rl_status rl_model_zero_units(rl_model *model, const rl_unit *units, int64_t num_units, rl_error *err)
{
    rl_status status = RL_OK;
    rl_weight_span *spans = NULL;
    int64_t most = 0;
    for (int64_t i = 0; i < num_units; i++) {
        RL_TRY(check_unit(&model->config, units[i], err));
        int64_t n = rl_model_unit_spans(NULL, model, units[i]);
        most = n > most ? n : most;
    }
    RL_ALLOC(spans, most, err);
    for (int64_t i = 0; i < num_units; i++) {
        int64_t n = rl_model_unit_spans(spans, model, units[i]);
        for (int64_t s = 0; s < n; s++) zero_span(model, spans[s]);
    }
cleanup:
    rl_free(spans);
    return status;
}
