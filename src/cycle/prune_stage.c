/* prune_stage.c -- which neurons or units a run removes, and their removal. */
#include "cycle_internal.h"

/* ------------------------------------------------------------------------------------------------- which */

static rl_unit_site unit_site(const rl_run_settings *settings)
{
    return settings->prune_site == RL_SITE_FFN_UNIT         ? RL_UNIT_FFN
           : settings->prune_site == RL_SITE_ATTENTION_HEAD ? RL_UNIT_HEAD
                                                            : RL_UNIT_HIDDEN;
}

/* The units among which a site chooses. */
typedef struct unit_space {
    rl_prune_scope scope;
    uint8_t layers[64]; /* scope.layers, where prune.layers says something */
    int32_t *order;     /* most important first */
} unit_space;

static int64_t num_units(const unit_space *space) { return space->scope.num_layers * space->scope.layer_size; }

static rl_status order_neurons(unit_space *space, const rl_neuron_table *table, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(space->order, table->num_neurons, err);
    for (int32_t i = 0; i < (int32_t)table->num_neurons; i++) space->order[table->rank[i]] = i;
cleanup:
    return status;
}

/* What the site's units are worth to the finder: a pass of the concept corpus through the model, unless nothing is chosen by it. */
static rl_status measure_units(double *score, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run_settings *run = stage->settings;
    const rl_inputs *in = NULL;
    const rl_concept_inputs *concept = NULL;
    if (!rl_cycle_measures_units(run)) return RL_OK;
    RL_TRY(rl_cycle_inputs(&in, cycle, run, err));
    RL_TRY(rl_cycle_concept(&concept, cycle, run, &run->concept, err));
    const rl_ablation_task task = rl_stage_ablation_task(in, &run->concept);
    const rl_analysis_settings settings = {.protocol = run->protocol,
                                           .method = run->rank_method,
                                           .seed = (uint64_t)run->seed,
                                           .lambda1 = run->lambda1,
                                           .lambda2 = run->lambda2,
                                           .ablation = &task};
    RL_TRY(rl_unit_scores(score, model, unit_site(run), concept->data, &settings, err));
cleanup:
    return status;
}

static rl_status order_units(unit_space *space, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    double *score = NULL;
    RL_ALLOC(score, num_units(space), err);
    RL_ALLOC(space->order, num_units(space), err);
    RL_TRY(measure_units(score, cycle, stage, model, err));
    RL_TRY(rl_rank_neurons(space->order, NULL, score, num_units(space), false, err));
cleanup:
    rl_free(score);
    return status;
}

static rl_status order_neurons_of(unit_space *space, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_neuron_table *table = NULL;
    rl_status status = rl_stage_read_table(&table, cycle, stage->ranking_key, err);
    if (status == RL_OK) status = order_neurons(space, table, err);
    rl_neuron_table_free(table);
    return status;
}

static rl_status make_space(unit_space *space, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err)
{
    const rl_run_settings *settings = stage->settings;
    rl_unit_site site = unit_site(settings);
    int first = site == RL_UNIT_HIDDEN ? 0 : 1; /* block b writes hidden state b + 1 */
    space->scope.num_layers = rl_unit_layers(&model->config, site);
    space->scope.layer_size = rl_units_per_layer(&model->config, site);
    space->scope.in_blocks = site != RL_UNIT_HIDDEN;
    if (settings->prune_layers && space->scope.num_layers + first > 64)
        return rl_fail(err, RL_ERR_INPUT, "prune.layers chooses among 64 hidden states, this model has %lld",
                       (long long)model->config.num_layers + 1);
    for (int l = 0; l + first < 64; l++) space->layers[l] = settings->prune_layers >> (l + first) & 1;
    space->scope.layers = settings->prune_layers ? space->layers : NULL;
    return site == RL_UNIT_HIDDEN ? order_neurons_of(space, cycle, stage, err) : order_units(space, cycle, stage, model, err);
}

/* ids of the neurons or units to prune. */
static rl_status choose(int32_t **ids, int64_t *count, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run_settings *settings = stage->settings;
    int64_t n = 0;
    int32_t *list = NULL;
    unit_space space = {0};
    RL_TRY(make_space(&space, cycle, stage, model, err));
    if (rl_cycle_select(settings) != RL_SELECT_NONE)
        n = rl_prune_scope_count(&space.scope, settings->protocol, settings->prune.ratio);
    RL_ALLOC(list, n, err);
    RL_TRY(rl_prune_choose(list, n, space.order, &space.scope, rl_cycle_select(settings), settings->protocol,
                           (uint64_t)settings->seed, err));
    *ids = list;
    *count = n;
    list = NULL;
cleanup:
    rl_free(space.order);
    rl_free(list);
    return status;
}

/* ------------------------------------------------------------------------------------------------ removal */

/* Flat weight offsets of the pruned ids, for pruning itself and for the mask that keeps them at zero. */
static rl_status offsets_of(int64_t **offsets, int64_t *num_offsets, const rl_run_settings *settings, const rl_model *model,
                            const int32_t *ids, int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *list = NULL;
    RL_ALLOC(list, 2 * count, err);
    RL_TRY(rl_prune_offsets(list, num_offsets, model, ids, count, settings->protocol != RL_PROTOCOL_CORRECTED,
                            settings->prune.zero_beta, err));
    *offsets = list;
    return RL_OK;
cleanup:
    rl_free(list);
    return status;
}

rl_status rl_stage_read_mask(rl_weight_mask *mask, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *ids = NULL;
    int64_t count = 0, *offsets = NULL;
    char *folder = rl_stage_folder(cycle, stage->prune_key, "", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_stage_check(folder, false, err)); /* its weights are read by round 1, which checks them */
    RL_TRY(rl_stage_read_pruned(&ids, &count, folder, err));
    RL_TRY(offsets_of(&offsets, &mask->count, stage->settings, model, ids, count, err));
    mask->offsets = offsets;
cleanup:
    rl_free(ids);
    rl_free(folder);
    return status;
}

/* Can weights alone say that these units are zero, and nothing else with them? Not where a residual stream is one memory for
 * all layers (GPT-2's hidden states): there a unit has more writers than its norm's gamma and beta. */
static bool weights_can_say(const rl_model *model, const rl_unit *units, int64_t count)
{
    return count == 0 || units[0].site != RL_UNIT_HIDDEN || rl_model_unit_spans(NULL, model, units[0]) <= 2;
}

static rl_status remove_units(rl_model *model, const rl_run_settings *settings, const int32_t *ids, int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    rl_unit *units = NULL;
    rl_unit_site site = unit_site(settings);
    int64_t size = rl_units_per_layer(&model->config, site);
    RL_ALLOC(units, count, err);
    for (int64_t i = 0; i < count; i++) units[i] = (rl_unit){site, (int32_t)(ids[i] / size), (int32_t)(ids[i] % size)};
    if (settings->prune.permanent) RL_TRY(rl_model_set_masks(model, units, count, err)); /* kept in config.json from here on */
    if (!settings->prune.permanent || weights_can_say(model, units, count)) RL_TRY(rl_model_zero_units(model, units, count, err));
cleanup:
    rl_free(units);
    return status;
}

static rl_status remove_norms(rl_model *model, const rl_run_settings *settings, const int32_t *ids, int64_t count, rl_error *err)
{
    int64_t num_offsets = 0, *offsets = NULL;
    rl_status status = offsets_of(&offsets, &num_offsets, settings, model, ids, count, err);
    if (status == RL_OK) rl_prune_apply(model, offsets, num_offsets);
    rl_free(offsets);
    return status;
}

rl_status rl_stage_prune(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    RL_TRY(rl_stage_load_model(&model, cycle, stage, NULL, err));
    RL_TRY(choose(&ids, &count, cycle, stage, model, err));
    if (stage->settings->prune_site == RL_SITE_LAYER_NORM)
        RL_TRY(remove_norms(model, stage->settings, ids, count, err));
    else
        RL_TRY(remove_units(model, stage->settings, ids, count, err));
    RL_TRY(rl_stage_write_pruned(work, ids, count, err));
    RL_TRY(rl_model_save(model, work, stage->settings->model, err));
cleanup:
    rl_free(ids);
    rl_model_free(model);
    return status;
}
