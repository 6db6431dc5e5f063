/* collect.c -- from the complete stage folders of a run to the one result its shard is written from. */
#include "cycle_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void stage_result_clear(rl_stage_result *stage)
{
    for (int32_t i = 0; i < stage->num_types; i++) rl_free(stage->types[i]);
    rl_free(stage->types);
    rl_free(stage->by_type);
    rl_neuron_table_free(stage->neurons);
    rl_training_log_free(&stage->log);
    rl_free(stage->epoch_word_f1);
    rl_free(stage->epoch_subword_f1);
    rl_free(stage->epoch_loss);
    rl_free(stage->cka);          /* one block for all readings of layers */
    rl_free(stage->causal_count); /* one block for the causal check */
    rl_free(stage->point_step); /* one block for all columns of the curve */
    for (int32_t i = 0; stage->also && i < stage->num_also; i++) rl_neuron_table_free(stage->also[i]);
    rl_free(stage->also);
}

void rl_run_result_free(rl_run_result *result)
{
    if (!result) return;
    for (int32_t i = 0; result->stages && i < result->num_stages; i++) stage_result_clear(&result->stages[i]);
    rl_free(result->stages);
    rl_free(result->pruned);
    for (int64_t i = 0; result->words && i < result->num_words; i++) rl_free(result->words[i]);
    rl_free(result->words);
    rl_free((void *)result->also);
    rl_free(result);
}

/* Columns of n NaN in one block, which the first column is the start of. */
static rl_status make_columns(double **const *columns, int count, int64_t n, rl_error *err)
{
    double *block = rl_calloc((size_t)(count * n), sizeof *block, err);
    if (!block) return RL_ERR_MEMORY;
    for (int64_t i = 0; i < count * n; i++) block[i] = NAN;
    for (int i = 0; i < count; i++) *columns[i] = block + i * n;
    return RL_OK;
}

/* What the table says layer by layer, beside the CKA to the base model. */
static rl_status read_layers(rl_stage_result *out, const char *folder, bool is_base, rl_error *err)
{
    const rl_neuron_table *t = out->neurons;
    int64_t L1 = t->num_layers_plus_1;
    double **const columns[] = {&out->cka, &out->saliency_share, &out->probe_accuracy, &out->control_accuracy, &out->selectivity};
    rl_status status = make_columns(columns, 5, L1, err);
    if (status == RL_OK) status = rl_stage_read_cka(out->cka, L1, folder, err);
    if (status != RL_OK) return status;
    rl_layer_shares(out->saliency_share, t->saliency, L1, t->hidden_size);
    out->saliency_centre = rl_share_centre(out->saliency_share, L1);
    out->saliency_entropy = rl_share_entropy(out->saliency_share, L1);
    out->difference_centre = rl_centre_of_mass(t->mean_difference, L1, t->hidden_size);
    for (int64_t l = 0; l < L1; l++) {
        if (is_base) out->cka[l] = 1;
        out->probe_accuracy[l] = t->probe_accuracy[l];
        out->control_accuracy[l] = t->control_accuracy[l];
        out->selectivity[l] = t->probe_accuracy[l] - t->control_accuracy[l];
    }
    return RL_OK;
}

/* The analysis: scores, neurons, the name of the stage of the run and the model it looked at. */
static rl_status collect_analysis(rl_stage_result *out, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_status status = RL_OK;
    char *folder = rl_stage_folder(cycle, stage->key, "", err), *table = rl_stage_folder(cycle, stage->key, "/neurons.bin", err);
    double seconds = 0;
    if (!folder || !table) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if (stage->kind == RL_STAGE_IDENTIFY)
        snprintf(out->name, sizeof out->name, "base");
    else if (stage->round == 0)
        snprintf(out->name, sizeof out->name, "pruned");
    else
        snprintf(out->name, sizeof out->name, "retrained_%d", (int)stage->round);
    memcpy(out->model_key, stage->model_key, sizeof out->model_key);
    RL_TRY(rl_stage_check(folder, false, err));
    RL_TRY(rl_stage_read_evaluation(out, folder, &stage->settings->concept, err));
    RL_TRY(rl_neuron_table_read(&out->neurons, table, err));
    RL_TRY(read_layers(out, folder, stage->kind == RL_STAGE_IDENTIFY, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    out->seconds += seconds;
cleanup:
    rl_free(folder);
    rl_free(table);
    return status;
}

static rl_status make_points(rl_stage_result *out, int64_t n, rl_error *err)
{
    double **const columns[] = {&out->point_step, &out->point_f1,        &out->point_concept_f1,       &out->point_other_f1,
                                &out->point_loss, &out->point_recovered, &out->point_concept_recovered};
    rl_status status = make_columns(columns, 7, n, err);
    if (status == RL_OK) out->num_points = n;
    return status;
}

/* Every stage has room for a causal check; base and last round may have one. */
static rl_status make_causal(rl_stage_result *out, rl_error *err)
{
    double **const columns[] = {&out->causal_count, &out->causal_concept_drop, &out->causal_other_drop, &out->causal_concept_sd,
                                &out->causal_other_sd};
    return make_columns(columns, 5, RL_NUM_CAUSAL_SETS, err);
}

static rl_status collect_causal(rl_run_result *result, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_status status = RL_OK;
    double seconds = 0;
    rl_stage_result *out = &result->stages[stage->round == 0 ? 0 : 1 + stage->round];
    char *folder = rl_stage_folder(cycle, stage->key, "", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_stage_check(folder, false, err));
    RL_TRY(rl_stage_read_causal(out, folder, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    out->seconds += seconds;
cleanup:
    rl_free(folder);
    return status;
}

static double number_of(const json_t *value) { return json_is_number(value) ? json_number_value(value) : NAN; }

/* The curve of a training; of a folder that was made before there were curves: its epochs, without types. */
static rl_status collect_curve(rl_stage_result *out, const char *folder, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *points = rl_curve_read(folder, err), *point;
    size_t i;
    if (!points) return err ? err->status : RL_ERR_INPUT;
    size_t n = json_array_size(points);
    RL_TRY(make_points(out, n ? (int64_t)n : out->num_epochs, err));
    json_array_foreach(points, i, point)
    {
        const json_t *types = json_object_get(point, "types");
        out->point_step[i] = number_of(json_object_get(point, "step"));
        out->point_f1[i] = number_of(json_object_get(point, "f1"));
        out->point_loss[i] = number_of(json_object_get(point, "loss"));
        out->point_concept_f1[i] = rl_types_score(types, concept, false).f1;
        out->point_other_f1[i] = rl_types_score(types, concept, true).f1;
    }
    for (int64_t e = 0; n == 0 && e < out->num_epochs; e++) {
        int64_t end = -1;
        for (int64_t s = 0; s < out->log.num_steps; s++)
            if (out->log.steps[s].epoch <= e) end = out->log.steps[s].step;
        out->point_step[e] = (double)end;
        out->point_f1[e] = out->epoch_word_f1[e];
        out->point_loss[e] = out->epoch_loss[e];
    }
cleanup:
    json_decref(points);
    return status;
}

static rl_status collect_training(rl_stage_result *out, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_status status = RL_OK;
    rl_epoch_scores epochs = {0};
    double seconds = 0;
    char *folder = rl_stage_folder(cycle, stage->key, "", err), *log = rl_stage_folder(cycle, stage->key, "/training.jsonl", err);
    if (!folder || !log) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(rl_stage_check(folder, false, err));
    RL_TRY(rl_training_log_read(&out->log, log, err));
    RL_TRY(rl_epoch_scores_read(&epochs, folder, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    out->seconds += seconds;
    out->num_epochs = epochs.count; /* the three columns change hands */
    out->epoch_word_f1 = epochs.word_f1;
    out->epoch_subword_f1 = epochs.subword_f1;
    out->epoch_loss = epochs.loss;
    epochs = (rl_epoch_scores){0};
    RL_TRY(collect_curve(out, folder, &stage->settings->concept, err));
cleanup:
    rl_epoch_scores_free(&epochs);
    rl_free(folder);
    rl_free(log);
    return status;
}

static rl_status collect_prune(rl_run_result *result, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_status status = RL_OK;
    double seconds = 0;
    char *folder = rl_stage_folder(cycle, stage->key, "", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_stage_check(folder, false, err));
    RL_TRY(rl_stage_read_pruned(&result->pruned, &result->num_pruned, folder, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    result->stages[1].seconds += seconds;
cleanup:
    rl_free(folder);
    return status;
}

static rl_status collect_words(rl_run_result *result, rl_cycle *cycle, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_concept_inputs *concept = NULL;
    RL_TRY(rl_cycle_concept(&concept, cycle, result->settings, &result->settings->concept, err));
    const rl_names *words = concept->data->corpus->words;
    result->vector_share = concept->vector_share;
    RL_ALLOC(result->words, rl_names_count(words), err);
    result->num_words = rl_names_count(words);
    for (int32_t i = 0; i < (int32_t)result->num_words; i++) {
        result->words[i] = rl_strdup(rl_names_get(words, i), err);
        if (!result->words[i]) return RL_ERR_MEMORY;
    }
cleanup:
    return status;
}

/* The pruned model is point 0; retraining steps count on from round to round; recovered against base and pruned. */
static rl_status finish_curves(rl_run_result *result, rl_error *err)
{
    const rl_stage_result *base = &result->stages[0];
    rl_stage_result *pruned = &result->stages[1];
    rl_status status = make_points(pruned, 1, err);
    double before = 0;
    if (status != RL_OK) return status;
    pruned->point_step[0] = 0;
    pruned->point_f1[0] = pruned->word.f1;
    pruned->point_concept_f1[0] = pruned->concept.f1;
    pruned->point_other_f1[0] = pruned->others.f1;
    pruned->point_loss[0] = pruned->loss;
    for (int32_t s = 1; s < result->num_stages; s++) {
        rl_stage_result *stage = &result->stages[s];
        for (int64_t i = 0; i < stage->num_points; i++) {
            stage->point_step[i] += before;
            stage->point_recovered[i] = rl_recovered_fraction(stage->point_f1[i], base->word.f1, pruned->word.f1);
            stage->point_concept_recovered[i] =
                rl_recovered_fraction(stage->point_concept_f1[i], base->concept.f1, pruned->concept.f1);
        }
        before += (double)stage->log.num_steps;
    }
    return RL_OK;
}

/* Where nothing was lost (or there is no F1) nothing can come back: undefined, not censored. */
static void measure_half_life(double *half_life, double *censored, const double *t, const double *rho, int64_t n, double base,
                              double pruned)
{
    bool is_censored = false, lost = base > pruned;
    double found = rl_recovery_half_life(t, rho, n, &is_censored);
    *half_life = lost ? found : NAN;
    *censored = lost ? is_censored : NAN;
}

/* One number each for how fast and how much: over the pruned model's point and all of retraining's. */
static rl_status measure_recovery(rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = 0, at = 0;
    double *t = NULL, *rho = NULL, *concept_rho = NULL;
    for (int32_t s = 1; s < result->num_stages; s++) n += result->stages[s].num_points;
    RL_ALLOC(t, n, err);
    RL_ALLOC(rho, n, err);
    RL_ALLOC(concept_rho, n, err);
    for (int32_t s = 1; s < result->num_stages; s++)
        for (int64_t i = 0; i < result->stages[s].num_points; i++, at++) {
            t[at] = result->stages[s].point_step[i];
            rho[at] = result->stages[s].point_recovered[i];
            concept_rho[at] = result->stages[s].point_concept_recovered[i];
        }
    const rl_stage_result *base = &result->stages[0], *pruned = &result->stages[1];
    measure_half_life(&result->half_life, &result->half_life_censored, t, rho, n, base->word.f1, pruned->word.f1);
    result->recovery_area = rl_recovery_area(t, rho, n);
    measure_half_life(&result->concept_half_life, &result->concept_half_life_censored, t, concept_rho, n, base->concept.f1,
                      pruned->concept.f1);
    result->concept_recovery_area = rl_recovery_area(t, concept_rho, n);
cleanup:
    rl_free(t);
    rl_free(rho);
    rl_free(concept_rho);
    return status;
}

/* Does what a pruned neuron's words were like before tell how salient it is afterwards? */
static rl_status measure_primedness(rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_neuron_table *base = result->stages[0].neurons;
    uint8_t *use = NULL;
    for (int32_t s = 0; s < result->num_stages; s++) result->stages[s].primedness = NAN;
    if (!rl_cycle_prunes_hidden(result->settings)) return RL_OK;
    RL_ALLOC(use, base->num_neurons, err);
    for (int64_t i = 0; i < result->num_pruned; i++) use[result->pruned[i]] = 1;
    for (int32_t s = 0; s < result->num_stages; s++)
        RL_TRY(rl_spearman(&result->stages[s].primedness, base->concept_similarity, result->stages[s].neurons->saliency, use,
                           base->num_neurons, err));
cleanup:
    rl_free(use);
    return status;
}

/* Tables of the other concepts: stages[own + i * (R + 2) + s] is other concept i at stage s. */
static rl_status collect_others(rl_run_result *result, rl_cycle *cycle, const rl_stage *stages, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run_settings *settings = result->settings;
    int32_t concepts[RL_MAX_CONCEPTS], n = rl_cycle_others(concepts, settings), own = rl_cycle_num_own(settings);
    RL_ALLOC(result->also, n, err);
    result->num_also = n;
    for (int32_t i = 0; i < n; i++) result->also[i] = settings->concepts[concepts[i]].name;
    for (int32_t s = 0; s < result->num_stages; s++) {
        RL_ALLOC(result->stages[s].also, n, err);
        result->stages[s].num_also = n;
        for (int32_t i = 0; i < n; i++)
            RL_TRY(rl_stage_read_table(&result->stages[s].also[i], cycle, stages[own + i * result->num_stages + s].key, err));
    }
cleanup:
    return status;
}

static rl_status collect_own(rl_run_result *result, rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    switch (stage->kind) { /* base = 0, pruned = 1, retrained_k = 1 + k */
    case RL_STAGE_FINETUNE: return collect_training(&result->stages[0], cycle, stage, err);
    case RL_STAGE_IDENTIFY: return collect_analysis(&result->stages[0], cycle, stage, err);
    case RL_STAGE_PRUNE: return collect_prune(result, cycle, stage, err);
    case RL_STAGE_RETRAIN: return collect_training(&result->stages[1 + stage->round], cycle, stage, err);
    case RL_STAGE_ANALYSE: return collect_analysis(&result->stages[1 + stage->round], cycle, stage, err);
    case RL_STAGE_CAUSAL: return collect_causal(result, cycle, stage, err);
    }
    return RL_OK;
}

rl_status rl_cycle_collect(rl_run_result **out, rl_cycle *cycle, const rl_stage *stages, int32_t num_stages, rl_error *err)
{
    rl_status status = RL_OK;
    rl_run_result *result = NULL;
    RL_ALLOC(result, 1, err);
    result->settings = stages[0].settings;
    result->num_stages = 2 + (int32_t)result->settings->retrain_rounds;
    result->no_concept_f1 = result->settings->concept.num_types ? "" : "the concept names no entity type (type: under concepts:)";
    RL_ALLOC(result->stages, result->num_stages, err);
    for (int32_t s = 0; s < result->num_stages; s++) RL_TRY(make_causal(&result->stages[s], err));
    for (int32_t i = 0; i < num_stages && i < rl_cycle_num_own(result->settings); i++)
        RL_TRY(collect_own(result, cycle, &stages[i], err));
    RL_TRY(finish_curves(result, err));
    RL_TRY(measure_recovery(result, err));
    RL_TRY(measure_primedness(result, err));
    RL_TRY(collect_others(result, cycle, stages, err));
    RL_TRY(collect_words(result, cycle, err));
    *out = result;
    return RL_OK;
cleanup:
    rl_run_result_free(result);
    return status;
}
