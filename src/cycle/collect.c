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
}

void rl_run_result_free(rl_run_result *result)
{
    if (!result) return;
    for (int32_t i = 0; result->stages && i < result->num_stages; i++) stage_result_clear(&result->stages[i]);
    rl_free(result->stages);
    rl_free(result->pruned);
    for (int64_t i = 0; result->words && i < result->num_words; i++) rl_free(result->words[i]);
    rl_free(result->words);
    rl_free(result);
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
    RL_TRY(rl_stage_read_evaluation(out, folder, err));
    RL_TRY(rl_neuron_table_read(&out->neurons, table, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    out->seconds += seconds;
cleanup:
    rl_free(folder);
    rl_free(table);
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
    RL_TRY(rl_training_log_read(&out->log, log, err));
    RL_TRY(rl_epoch_scores_read(&epochs, folder, err));
    RL_TRY(rl_stage_read_seconds(&seconds, folder, err));
    out->seconds += seconds;
    out->num_epochs = epochs.count; /* the three columns change hands */
    out->epoch_word_f1 = epochs.word_f1;
    out->epoch_subword_f1 = epochs.subword_f1;
    out->epoch_loss = epochs.loss;
    epochs = (rl_epoch_scores){0};
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
    RL_TRY(rl_cycle_concept(&concept, cycle, result->settings, err));
    const rl_names *words = concept->data->corpus->words;
    RL_ALLOC(result->words, rl_names_count(words), err);
    result->num_words = rl_names_count(words);
    for (int32_t i = 0; i < (int32_t)result->num_words; i++) {
        result->words[i] = rl_strdup(rl_names_get(words, i), err);
        if (!result->words[i]) return RL_ERR_MEMORY;
    }
cleanup:
    return status;
}

rl_status rl_cycle_collect(rl_run_result **out, rl_cycle *cycle, const rl_stage *stages, int32_t num_stages, rl_error *err)
{
    rl_status status = RL_OK;
    rl_run_result *result = NULL;
    RL_ALLOC(result, 1, err);
    result->settings = stages[0].settings;
    result->num_stages = 2 + (int32_t)result->settings->retrain_rounds;
    RL_ALLOC(result->stages, result->num_stages, err);
    for (int32_t i = 0; i < num_stages; i++) {
        const rl_stage *stage = &stages[i];
        switch (stage->kind) { /* base = 0, pruned = 1, retrained_k = 1 + k */
        case RL_STAGE_FINETUNE: RL_TRY(collect_training(&result->stages[0], cycle, stage, err)); break;
        case RL_STAGE_IDENTIFY: RL_TRY(collect_analysis(&result->stages[0], cycle, stage, err)); break;
        case RL_STAGE_PRUNE: RL_TRY(collect_prune(result, cycle, stage, err)); break;
        case RL_STAGE_RETRAIN: RL_TRY(collect_training(&result->stages[1 + stage->round], cycle, stage, err)); break;
        case RL_STAGE_ANALYSE: RL_TRY(collect_analysis(&result->stages[1 + stage->round], cycle, stage, err)); break;
        }
    }
    RL_TRY(collect_words(result, cycle, err));
    *out = result;
    return RL_OK;
cleanup:
    rl_run_result_free(result);
    return status;
}
