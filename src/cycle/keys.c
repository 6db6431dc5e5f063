/* keys.c -- stage keys: everything that can change a stage's bits, and nothing else (design §6). */
#include "contents.h"
#include "cycle_internal.h"

#include <string.h>

static const char *const kind_names[] = {"finetune", "identify", "prune", "retrain", "analyse"};
const char *rl_stage_kind_name(rl_stage_kind kind) { return kind_names[kind]; }

uint64_t rl_cycle_training_seed(const rl_run_settings *settings, int32_t round)
{
    /* The authors seed 42 in every round, so all rounds see one batch order (protocol §3); corrected: each its own (§14.27). */
    if (round == 0 || settings->protocol != RL_PROTOCOL_CORRECTED) return (uint64_t)settings->seed;
    return rl_rng_bits((uint64_t)settings->seed, RL_PURPOSE_ROUND_SEED, (uint32_t)round, 0, 0);
}

static rl_status begin(rl_hash **hash, rl_stage_kind kind, rl_error *err)
{
    rl_status status = rl_hash_create(hash, err);
    if (status != RL_OK) return status;
    rl_hash_text(*hash, kind_names[kind]);
    rl_hash_int(*hash, RL_NUMERICS_VERSION);
    rl_hash_text(*hash, rl_gemm_backend());
    rl_hash_text(*hash, rl_gemm_backend_version());
    rl_hash_text(*hash, rl_isa_name());
    return RL_OK;
}

static void finish(rl_hash *hash, char key[RL_DIGEST_HEX])
{
    rl_hash_digest(hash, key);
    rl_hash_free(hash);
}

static rl_status hash_content(rl_hash *hash, rl_contents *contents, const char *path, rl_error *err)
{
    const char *hex = "";
    rl_status status = path ? rl_contents_digest(contents, path, &hex, err) : RL_OK;
    if (status == RL_OK) rl_hash_text(hash, hex);
    return status;
}

static void hash_training(rl_hash *hash, const rl_train_settings *train)
{
    rl_hash_int(hash, train->epochs);
    rl_hash_int(hash, train->batch_size);
    rl_hash_int(hash, train->warmup_steps);
    rl_hash_int(hash, train->max_steps);
    rl_hash_real(hash, train->learning_rate);
    rl_hash_real(hash, train->weight_decay);
    rl_hash_real(hash, train->max_grad_norm);
    rl_hash_real(hash, train->adam_beta1);
    rl_hash_real(hash, train->adam_beta2);
    rl_hash_real(hash, train->adam_epsilon);
    rl_hash_real(hash, train->dropout);
    rl_hash_int(hash, train->shuffle);
    rl_hash_int(hash, train->optimizer);
    rl_hash_int(hash, train->order);
}

static rl_status finetune_key(rl_stage *stage, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = RL_OK;
    RL_TRY(begin(&hash, RL_STAGE_FINETUNE, err));
    RL_TRY(hash_content(hash, contents, settings->model, err));
    RL_TRY(hash_content(hash, contents, settings->train_file, err));
    RL_TRY(hash_content(hash, contents, settings->validation_file, err)); /* epochs.json holds its F1 */
    rl_hash_int(hash, settings->data_limit);
    rl_hash_int(hash, settings->seed);
    hash_training(hash, &settings->train);
    finish(hash, stage->key);
    return RL_OK;
cleanup:
    rl_hash_free(hash);
    return status;
}

/* What the analysis of any stage depends on beyond the model it looks at. */
static rl_status hash_analysis(rl_hash *hash, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(hash_content(hash, contents, settings->concept_tokens, err));
    RL_TRY(hash_content(hash, contents, settings->concept_labels, err));
    RL_TRY(hash_content(hash, contents, settings->validation_file, err));
    RL_TRY(hash_content(hash, contents, settings->test_file, err));
    rl_hash_int(hash, settings->num_concept_positives);
    for (int64_t i = 0; i < settings->num_concept_positives; i++) rl_hash_text(hash, settings->concept_positives[i]);
    rl_hash_int(hash, settings->protocol);
    rl_hash_int(hash, settings->rank_method);
    if (settings->rank_method == RL_RANK_RANDOM || settings->rank_method == RL_RANK_LINEAR_PROBE)
        rl_hash_int(hash, settings->seed);
    rl_hash_int(hash, settings->top_words);
    rl_hash_int(hash, settings->similarity_vectors);
cleanup:
    return status;
}

static rl_status analysis_key(rl_stage *stage, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = RL_OK;
    RL_TRY(begin(&hash, stage->kind, err));
    rl_hash_text(hash, stage->model_key);
    rl_hash_text(hash, stage->ranking_key);
    RL_TRY(hash_analysis(hash, settings, contents, err));
    finish(hash, stage->key);
    return RL_OK;
cleanup:
    rl_hash_free(hash);
    return status;
}

static rl_status prune_key(rl_stage *stage, const rl_run_settings *settings, rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = begin(&hash, RL_STAGE_PRUNE, err);
    if (status != RL_OK) return status;
    rl_hash_text(hash, stage->model_key);
    rl_hash_text(hash, stage->ranking_key);
    rl_hash_int(hash, settings->protocol);
    rl_hash_int(hash, settings->seed);
    rl_hash_int(hash, settings->prune_site);
    rl_hash_int(hash, settings->prune.select);
    if (settings->prune.select != RL_SELECT_NONE) { /* how much of nothing is removed makes no difference */
        rl_hash_real(hash, settings->prune.ratio);
        rl_hash_int(hash, settings->prune.permanent);
        rl_hash_int(hash, settings->prune.zero_beta);
    }
    finish(hash, stage->key);
    return RL_OK;
}

static rl_status retrain_key(rl_stage *stage, const rl_run_settings *settings, rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = begin(&hash, RL_STAGE_RETRAIN, err);
    if (status != RL_OK) return status;
    rl_hash_text(hash, stage->model_key); /* brings the data and the model along */
    rl_hash_text(hash, stage->prune_key);
    rl_hash_int(hash, stage->round);
    rl_hash_int(hash, (int64_t)rl_cycle_training_seed(settings, stage->round));
    hash_training(hash, &settings->train);
    rl_hash_int(hash, settings->retrain_epochs);
    finish(hash, stage->key);
    return RL_OK;
}

static rl_stage make(rl_stage_kind kind, int32_t round, const rl_run_settings *settings, const char *model_key,
                     const char *ranking_key, const char *prune)
{
    rl_stage stage = {.kind = kind, .round = round, .settings = settings};
    memcpy(stage.model_key, model_key, strlen(model_key) + 1);
    memcpy(stage.ranking_key, ranking_key, strlen(ranking_key) + 1);
    memcpy(stage.prune_key, prune, strlen(prune) + 1);
    return stage;
}

static void depend(rl_stage *stage, int32_t on) { stage->depends[stage->num_depends++] = on; }

rl_status rl_cycle_stages(rl_stage **stages, int32_t *num_stages, const rl_run_settings *settings,
                          rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    enum { FINETUNE, IDENTIFY, PRUNE, ANALYSE_PRUNED };
    int32_t n = 4 + 2 * (int32_t)settings->retrain_rounds;
    rl_stage *list = NULL;
    RL_ALLOC(list, n, err);
    list[FINETUNE] = make(RL_STAGE_FINETUNE, 0, settings, "", "", "");
    RL_TRY(finetune_key(&list[FINETUNE], settings, contents, err));
    const char *base = list[FINETUNE].key;

    list[IDENTIFY] = make(RL_STAGE_IDENTIFY, 0, settings, base, "", "");
    depend(&list[IDENTIFY], FINETUNE);
    RL_TRY(analysis_key(&list[IDENTIFY], settings, contents, err));
    const char *ranking = list[IDENTIFY].key;

    list[PRUNE] = make(RL_STAGE_PRUNE, 0, settings, base, ranking, "");
    depend(&list[PRUNE], FINETUNE);
    depend(&list[PRUNE], IDENTIFY);
    RL_TRY(prune_key(&list[PRUNE], settings, err));
    const char *pruned = list[PRUNE].key;

    list[ANALYSE_PRUNED] = make(RL_STAGE_ANALYSE, 0, settings, pruned, ranking, "");
    depend(&list[ANALYSE_PRUNED], PRUNE);
    depend(&list[ANALYSE_PRUNED], IDENTIFY);
    RL_TRY(analysis_key(&list[ANALYSE_PRUNED], settings, contents, err));

    for (int32_t round = 1, previous = PRUNE; round <= (int32_t)settings->retrain_rounds; round++) {
        int32_t retrain = 2 + 2 * round, analyse = retrain + 1;
        list[retrain] = make(RL_STAGE_RETRAIN, round, settings, list[previous].key, "", pruned);
        depend(&list[retrain], previous);
        if (previous != PRUNE) depend(&list[retrain], PRUNE);
        RL_TRY(retrain_key(&list[retrain], settings, err));
        list[analyse] = make(RL_STAGE_ANALYSE, round, settings, list[retrain].key, ranking, "");
        depend(&list[analyse], retrain);
        depend(&list[analyse], IDENTIFY);
        RL_TRY(analysis_key(&list[analyse], settings, contents, err));
        previous = retrain;
    }
    *stages = list;
    *num_stages = n;
    return RL_OK;
cleanup:
    rl_free(list);
    return status;
}

void rl_cycle_run_key(char key[RL_DIGEST_HEX], const rl_stage *stages, int32_t num_stages)
{
    rl_hash *hash = NULL;
    key[0] = '\0';
    if (rl_hash_create(&hash, NULL) != RL_OK) return;
    for (int32_t i = 0; i < num_stages; i++) rl_hash_text(hash, stages[i].key);
    rl_hash_text(hash, stages[0].settings->concept_name);
    finish(hash, key);
}
