/* keys.c -- stage keys: everything that can change a stage's bits, and nothing else (design §6). */
#include "contents.h"
#include "cycle_internal.h"

#include <string.h>

static const char *const kind_names[] = {"finetune", "identify", "prune", "retrain", "analyse", "causal"};
const char *rl_stage_kind_name(rl_stage_kind kind) { return kind_names[kind]; }

/* Raised when an analysis writes something new or other bits: analyses are made again, models are not. */
enum { READINGS_VERSION = 2 };

const rl_concept_settings *rl_stage_concept(const rl_stage *stage)
{
    return stage->concept < 0 ? &stage->settings->concept : &stage->settings->concepts[stage->concept];
}

rl_prune_select rl_cycle_select(const rl_run_settings *settings)
{
    return settings->arm == RL_ARM_NEVER_LEARNED ? RL_SELECT_NONE : settings->prune.select;
}

uint64_t rl_cycle_training_seed(const rl_run_settings *settings, int32_t round)
{
    /* The authors seed 42 in every round, so all rounds see one batch order (protocol §3); corrected: each its own (§14.27). */
    if (round == 0 || settings->protocol != RL_PROTOCOL_CORRECTED) return (uint64_t)settings->seed;
    return rl_rng_bits((uint64_t)settings->seed, RL_PURPOSE_ROUND_SEED, (uint32_t)round, 0, 0);
}

static rl_hash *begin(rl_contents *contents, rl_stage_kind kind)
{
    rl_hash *hash = rl_contents_hash(contents);
    rl_hash_text(hash, kind_names[kind]);
    rl_hash_int(hash, RL_NUMERICS_VERSION);
    rl_hash_text(hash, rl_gemm_backend());
    rl_hash_text(hash, rl_gemm_backend_version());
    rl_hash_text(hash, rl_isa_name());
    return hash;
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
    if (train->ranks > 1) { /* named, so that no other setting that came later has the same hash */
        rl_hash_text(hash, "ranks_per_run");
        rl_hash_int(hash, train->ranks);
    }
    if (train->precision == RL_PRECISION_BF16) { /* float32 keeps the keys it had before there was a choice */
        rl_hash_text(hash, "bf16");
        rl_hash_text(hash, rl_bf16_version());
    }
}

static void hash_texts(rl_hash *hash, const char *const *texts, int64_t count)
{
    rl_hash_int(hash, count);
    for (int64_t i = 0; i < count; i++) rl_hash_text(hash, texts[i]);
}

/* What makes the concept's words, beyond the label files that hash_ranking names in its own order. */
static rl_status hash_source(rl_hash *hash, const rl_run_settings *settings, const rl_concept_settings *concept,
                             rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    if (concept->kind == RL_CONCEPT_LABELS) return RL_OK;
    rl_hash_int(hash, concept->kind);
    RL_TRY(hash_content(hash, contents, concept->in ? concept->in : settings->train_file, err));
    rl_hash_int(hash, concept->in ? 0 : settings->data_limit);
    RL_TRY(hash_content(hash, contents, concept->words_file, err));
    hash_texts(hash, concept->words, concept->num_words);
    rl_hash_text(hash, concept->pattern ? concept->pattern : "");
cleanup:
    return status;
}

static rl_status hash_concept(rl_hash *hash, const rl_run_settings *settings, const rl_concept_settings *concept,
                              rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(hash_content(hash, contents, concept->tokens, err));
    RL_TRY(hash_content(hash, contents, concept->labels, err));
    hash_texts(hash, concept->positives, concept->num_positives);
    RL_TRY(hash_source(hash, settings, concept, contents, err));
cleanup:
    return status;
}

static rl_status finetune_key(rl_stage *stage, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_hash *hash = begin(contents, RL_STAGE_FINETUNE);
    rl_status status = RL_OK;
    RL_TRY(hash_content(hash, contents, settings->model, err));
    RL_TRY(hash_content(hash, contents, settings->train_file, err));
    RL_TRY(hash_content(hash, contents, settings->validation_file, err)); /* epochs.json holds its F1 */
    rl_hash_int(hash, settings->data_limit);
    rl_hash_int(hash, settings->seed);
    hash_training(hash, &settings->train);
    if (settings->arm == RL_ARM_NEVER_LEARNED) {
        rl_hash_text(hash, "without the concept");
        RL_TRY(hash_concept(hash, settings, &settings->concept, contents, err));
        hash_texts(hash, settings->concept.types, settings->concept.num_types);
    }
    rl_hash_digest(hash, stage->key);
cleanup:
    return status;
}

/* Which version of its ranking, and penalties only where they are not those of all keys before there was a choice. */
static void hash_probe(rl_hash *hash, const rl_run_settings *settings)
{
    const rl_probe_settings usual = rl_probe_defaults();
    rl_hash_text(hash, "weight mass, then effect size");
    if (settings->lambda1 == usual.lambda1 && settings->lambda2 == usual.lambda2) return;
    rl_hash_text(hash, "lambda");
    rl_hash_real(hash, settings->lambda1);
    rl_hash_real(hash, settings->lambda2);
}

/* What a ranking depends on beyond the model it looks at. Of the first version's settings it is the first version's key,
 * so that what was pruned and retrained then is still used. */
static rl_status hash_ranking(rl_hash *hash, const rl_run_settings *settings, const rl_concept_settings *concept,
                              rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(hash_content(hash, contents, concept->tokens, err));
    RL_TRY(hash_content(hash, contents, concept->labels, err));
    RL_TRY(hash_content(hash, contents, settings->validation_file, err));
    RL_TRY(hash_content(hash, contents, settings->test_file, err));
    hash_texts(hash, concept->positives, concept->num_positives);
    rl_hash_int(hash, settings->protocol);
    rl_hash_int(hash, settings->rank_method);
    if (settings->rank_method == RL_RANK_RANDOM || settings->rank_method == RL_RANK_LINEAR_PROBE)
        rl_hash_int(hash, settings->seed);
    if (settings->rank_method == RL_RANK_LINEAR_PROBE) hash_probe(hash, settings);
    rl_hash_int(hash, settings->top_words);
    rl_hash_int(hash, 0); /* where the first version's word vectors came from */
    RL_TRY(hash_source(hash, settings, concept, contents, err));
    if (settings->rank_method == RL_RANK_ABLATION) hash_texts(hash, concept->types, concept->num_types);
cleanup:
    return status;
}

/* identity (may be NULL): the ranking's, which is what pruning by it depends on. */
static rl_status analysis_key(rl_stage *stage, char *identity, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_hash *hash = begin(contents, stage->kind);
    rl_status status = RL_OK;
    char ranking[RL_DIGEST_HEX];
    rl_hash_text(hash, stage->model_key);
    rl_hash_text(hash, stage->ranking_key);
    RL_TRY(hash_ranking(hash, settings, rl_stage_concept(stage), contents, err));
    rl_hash_digest(hash, ranking);
    if (identity) memcpy(identity, ranking, sizeof ranking);
    rl_hash_int(hash, READINGS_VERSION);
    rl_hash_text(hash, stage->base_key);
    if (stage->base_key[0]) rl_hash_int(hash, settings->cka_words);
    RL_TRY(hash_content(hash, contents, settings->similarity_vectors, err));
    rl_hash_digest(hash, stage->key);
cleanup:
    return status;
}

static void prune_key(rl_stage *stage, const char *ranking, const rl_run_settings *settings, rl_contents *contents)
{
    rl_hash *hash = begin(contents, RL_STAGE_PRUNE);
    rl_prune_select select = rl_cycle_select(settings);
    rl_hash_text(hash, stage->model_key);
    rl_hash_text(hash, ranking);
    rl_hash_int(hash, settings->protocol);
    rl_hash_int(hash, settings->seed);
    rl_hash_int(hash, select == RL_SELECT_NONE ? RL_SITE_LAYER_NORM : settings->prune_site);
    rl_hash_int(hash, select);
    if (select != RL_SELECT_NONE) { /* where and how much of nothing is removed makes no difference */
        rl_hash_real(hash, settings->prune.ratio);
        rl_hash_int(hash, settings->prune.permanent);
        rl_hash_int(hash, settings->prune.zero_beta);
        if (settings->prune_layers) rl_hash_int(hash, (int64_t)settings->prune_layers);
        if (settings->protocol == RL_PROTOCOL_HEAD && settings->prune.ratio < 0 && !rl_cycle_prunes_hidden(settings))
            rl_hash_text(hash, "half of the blocks"); /* once it was less */
        if (rl_cycle_measures_units(settings)) rl_hash_text(hash, "units measured"); /* once they were ranked by weights */
    }
    rl_hash_digest(hash, stage->key);
}

static rl_status causal_key(rl_stage *stage, const rl_run_settings *settings, rl_contents *contents, rl_error *err)
{
    rl_hash *hash = begin(contents, RL_STAGE_CAUSAL);
    rl_status status = RL_OK;
    rl_hash_text(hash, stage->model_key);
    rl_hash_text(hash, stage->prune_key);
    rl_hash_text(hash, stage->last_key);
    RL_TRY(hash_content(hash, contents, settings->validation_file, err));
    rl_hash_int(hash, settings->seed);
    rl_hash_int(hash, RL_CAUSAL_DRAWS);
    rl_hash_text(hash, "half of a layer"); /* once random sets could be smaller than the salient one */
    hash_texts(hash, settings->concept.types, settings->concept.num_types);
    rl_hash_digest(hash, stage->key);
cleanup:
    return status;
}

static void retrain_key(rl_stage *stage, const rl_run_settings *settings, rl_contents *contents)
{
    rl_hash *hash = begin(contents, RL_STAGE_RETRAIN);
    rl_hash_text(hash, stage->model_key); /* brings the data and the model along */
    rl_hash_text(hash, stage->prune_key);
    rl_hash_int(hash, stage->round);
    rl_hash_int(hash, (int64_t)rl_cycle_training_seed(settings, stage->round));
    hash_training(hash, &settings->train);
    rl_hash_int(hash, settings->retrain_epochs);
    if (settings->evaluate_every) rl_hash_int(hash, settings->evaluate_every); /* more points in its curve */
    rl_hash_digest(hash, stage->key);
}

static void set_key(char to[RL_DIGEST_HEX], const char *key) { memcpy(to, key, strlen(key) + 1); }

static rl_stage make(rl_stage_kind kind, int32_t round, const rl_run_settings *settings, const char *model_key,
                     const char *ranking_key, const char *prune)
{
    rl_stage stage = {.kind = kind, .round = round, .settings = settings, .concept = -1};
    set_key(stage.model_key, model_key);
    set_key(stage.ranking_key, ranking_key);
    set_key(stage.prune_key, prune);
    return stage;
}

static void depend(rl_stage *stage, int32_t on) { stage->depends[stage->num_depends++] = on; }

enum { FINETUNE, IDENTIFY, PRUNE, ANALYSE_PRUNED };
/* Index in the run's list of the model that round r's analysis looks at, and of that analysis; r = -1: the base's. */
static int32_t model_at(int32_t round) { return round < 0 ? FINETUNE : round == 0 ? PRUNE : 2 + 2 * round; }
static int32_t analysis_at(int32_t round) { return round < 0 ? IDENTIFY : round == 0 ? ANALYSE_PRUNED : 3 + 2 * round; }

/* Zeroing says something where hidden-state neurons were pruned. */
static int32_t num_causal(const rl_run_settings *settings)
{
    bool possible = settings->causal && rl_cycle_select(settings) != RL_SELECT_NONE && rl_cycle_prunes_hidden(settings);
    return !possible ? 0 : settings->retrain_rounds > 0 ? 2 : 1;
}

static int32_t num_chain(const rl_run_settings *settings) { return 4 + 2 * (int32_t)settings->retrain_rounds; }
int32_t rl_cycle_num_own(const rl_run_settings *settings) { return num_chain(settings) + num_causal(settings); }
bool rl_cycle_prunes_hidden(const rl_run_settings *settings)
{
    return settings->prune_site == RL_SITE_LAYER_NORM || settings->prune_site == RL_SITE_HIDDEN_STATE;
}

bool rl_cycle_measures_units(const rl_run_settings *settings)
{
    rl_prune_select select = rl_cycle_select(settings);
    return !rl_cycle_prunes_hidden(settings) && select != RL_SELECT_NONE && select != RL_SELECT_RANDOM;
}

int32_t rl_cycle_others(int32_t concepts[RL_MAX_CONCEPTS], const rl_run_settings *settings)
{
    int32_t count = 0;
    for (int64_t i = 0; i < settings->num_concepts && i < RL_MAX_CONCEPTS; i++)
        if (settings->also >> i & 1 && strcmp(settings->concepts[i].name, settings->concept.name)) concepts[count++] = (int32_t)i;
    return count;
}

static rl_status analysis(rl_stage *list, int32_t at, int32_t round, const rl_run_settings *settings, rl_contents *contents,
                          rl_error *err)
{
    list[at] = make(RL_STAGE_ANALYSE, round, settings, list[model_at(round)].key, list[IDENTIFY].key, "");
    set_key(list[at].base_key, list[FINETUNE].key);
    depend(&list[at], model_at(round));
    depend(&list[at], IDENTIFY);
    return analysis_key(&list[at], NULL, settings, contents, err);
}

/* Identify and analyse 0..R for another concept: the same keys as in that concept's own runs where they share models. */
static rl_status other_concept(rl_stage *list, int32_t first, int32_t concept, const rl_run_settings *settings,
                               rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t round = -1; round <= (int32_t)settings->retrain_rounds; round++) {
        rl_stage *stage = &list[first + 1 + round];
        *stage = make(round < 0 ? RL_STAGE_IDENTIFY : RL_STAGE_ANALYSE, round < 0 ? 0 : round, settings,
                      list[model_at(round)].key, round < 0 ? "" : list[first].key, "");
        stage->concept = concept;
        set_key(stage->twin_key, list[analysis_at(round)].key);
        depend(stage, model_at(round));
        depend(stage, analysis_at(round));
        if (round >= 0) {
            depend(stage, first);
            set_key(stage->base_key, list[FINETUNE].key);
        }
        RL_TRY(analysis_key(stage, NULL, settings, contents, err));
    }
cleanup:
    return status;
}

/* The base (round 0) or the last round without the pruned, the newly salient and random neurons. */
static rl_status causal(rl_stage *list, int32_t at, int32_t round, const rl_run_settings *settings, rl_contents *contents,
                        rl_error *err)
{
    int32_t last = analysis_at((int32_t)settings->retrain_rounds), model = round == 0 ? FINETUNE : model_at(round);
    list[at] = make(RL_STAGE_CAUSAL, round, settings, list[model].key, "", list[PRUNE].key);
    set_key(list[at].last_key, list[last].key);
    depend(&list[at], model);
    depend(&list[at], PRUNE);
    depend(&list[at], last);
    return causal_key(&list[at], settings, contents, err);
}

rl_status rl_cycle_stages(rl_stage **stages, int32_t *num_stages, const rl_run_settings *settings,
                          rl_contents *contents, rl_error *err)
{
    rl_status status = RL_OK;
    char ranking[RL_DIGEST_HEX];
    int32_t others[RL_MAX_CONCEPTS], num_others = rl_cycle_others(others, settings), rounds = (int32_t)settings->retrain_rounds;
    int32_t chain = num_chain(settings), n = rl_cycle_num_own(settings), total = n + num_others * (2 + rounds);
    rl_stage *list = NULL;
    RL_ALLOC(list, total, err);
    list[FINETUNE] = make(RL_STAGE_FINETUNE, 0, settings, "", "", "");
    RL_TRY(finetune_key(&list[FINETUNE], settings, contents, err));

    list[IDENTIFY] = make(RL_STAGE_IDENTIFY, 0, settings, list[FINETUNE].key, "", "");
    depend(&list[IDENTIFY], FINETUNE);
    RL_TRY(analysis_key(&list[IDENTIFY], ranking, settings, contents, err));

    list[PRUNE] = make(RL_STAGE_PRUNE, 0, settings, list[FINETUNE].key, list[IDENTIFY].key, "");
    depend(&list[PRUNE], FINETUNE);
    depend(&list[PRUNE], IDENTIFY);
    prune_key(&list[PRUNE], ranking, settings, contents);
    RL_TRY(analysis(list, ANALYSE_PRUNED, 0, settings, contents, err));

    for (int32_t round = 1; round <= rounds; round++) {
        int32_t previous = model_at(round - 1), retrain = model_at(round);
        list[retrain] = make(RL_STAGE_RETRAIN, round, settings, list[previous].key, "", list[PRUNE].key);
        depend(&list[retrain], previous);
        if (previous != PRUNE) depend(&list[retrain], PRUNE);
        retrain_key(&list[retrain], settings, contents);
        RL_TRY(analysis(list, analysis_at(round), round, settings, contents, err));
    }
    for (int32_t at = chain; at < n; at++) RL_TRY(causal(list, at, at == chain ? 0 : rounds, settings, contents, err));
    for (int32_t i = 0; i < num_others; i++, n += 2 + rounds) RL_TRY(other_concept(list, n, others[i], settings, contents, err));
    *stages = list;
    *num_stages = total;
    return RL_OK;
cleanup:
    rl_free(list);
    return status;
}

void rl_cycle_run_key(char key[RL_DIGEST_HEX], const rl_stage *stages, int32_t num_stages, rl_contents *contents)
{
    rl_hash *hash = rl_contents_hash(contents);
    for (int32_t i = 0; i < num_stages; i++) rl_hash_text(hash, stages[i].key);
    const rl_concept_settings *concept = &stages[0].settings->concept;
    rl_hash_text(hash, concept->name);
    if (concept->kind != RL_CONCEPT_NER && concept->num_types) hash_texts(hash, concept->types, concept->num_types);
    rl_hash_digest(hash, key);
}
