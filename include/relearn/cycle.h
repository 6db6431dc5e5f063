/* relearn/cycle.h -- one run: finetune -> identify -> prune -> retrain -> analyse, as content-addressed stages.
 *
 * Resolved settings in; folders DIR/stages/<key>/ out, each a pure function of its key and therefore shareable between
 * runs; and one rl_run_result that a shard is written from. A key hashes everything that can change the stage's bits: contents of model and
 * data files, settings, input keys, RL_NUMERICS_VERSION, GEMM back end and ISA (design §6). Leans on core .. concept.
 * Knows no MPI and prints nothing. */
#ifndef RELEARN_CYCLE_H
#define RELEARN_CYCLE_H

#include "relearn/concept.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rl_prune_site { RL_SITE_LAYER_NORM } rl_prune_site;
typedef enum rl_vectors { RL_VECTORS_MODEL } rl_vectors;

#define RL_MAX_POSITIVES 16
/* Everything one run depends on, resolved. Strings are borrowed from whoever made the settings (the sweep). */
typedef struct rl_run_settings {
    const char *model;                     /* Hub folder */
    const char *train_file, *validation_file, *test_file; /* test may be NULL */
    int64_t data_limit;                    /* training sentences kept, 0 = all */
    const char *concept_name, *concept_tokens, *concept_labels;
    const char *concept_positives[RL_MAX_POSITIVES];
    int64_t num_concept_positives;
    int64_t seed;
    rl_protocol protocol;
    rl_train_settings train;
    rl_rank_method rank_method;
    rl_prune_site prune_site;
    rl_prune_settings prune;
    int64_t retrain_rounds, retrain_epochs;
    int64_t top_words;
    rl_vectors similarity_vectors;
} rl_run_settings;
/* The presets of protocol §0 and §14; strings NULL. */
rl_run_settings rl_run_defaults(rl_protocol protocol);

typedef enum rl_stage_kind {
    RL_STAGE_FINETUNE, /* model folder, training.jsonl, epochs.json */
    RL_STAGE_IDENTIFY, /* analysis of the fine-tuned model: neurons.bin, evaluation.json: the ranking that prune uses */
    RL_STAGE_PRUNE,    /* model folder, pruned.json */
    RL_STAGE_RETRAIN,  /* model folder, training.jsonl, epochs.json */
    RL_STAGE_ANALYSE   /* analysis of the pruned (round 0) or a retrained model: neurons.bin, evaluation.json */
} rl_stage_kind;
const char *rl_stage_kind_name(rl_stage_kind kind);

typedef struct rl_stage {
    rl_stage_kind kind;
    int32_t round;                       /* retrain: 1..R; analyse: 0 = pruned, 1..R */
    char key[RL_DIGEST_HEX];
    char model_key[RL_DIGEST_HEX];       /* stage whose model folder this one starts from; "" = settings->model */
    char ranking_key[RL_DIGEST_HEX];     /* identify stage (prune, retrain's mask, analyse's base); "" = none */
    char prune_key[RL_DIGEST_HEX];       /* prune stage (retrain: what stays masked); "" = none */
    int32_t depends[3], num_depends;     /* indices into the run's stage list */
    const rl_run_settings *settings;
} rl_stage;

/* Hashes of input files, each computed once per process. */
typedef struct rl_contents rl_contents;
rl_status rl_contents_create(rl_contents **out, rl_error *err);
void rl_contents_free(rl_contents *contents);

/* The stages of a run in an order that respects their dependencies: finetune, identify, prune, analyse 0, then retrain k,
 * analyse k. stages is rl_calloc'd. Unreadable inputs are RL_ERR_INPUT naming the file. A folder whose files are present but broken still has keys. */
rl_status rl_cycle_stages(rl_stage **stages, int32_t *num_stages, const rl_run_settings *settings,
                          rl_contents *contents, rl_error *err);
/* Hash of all a run's stage keys and the concept's name: the run's identity, first 12 hex digits are its id. */
void rl_cycle_run_key(char key[RL_DIGEST_HEX], const rl_stage *stages, int32_t num_stages);

/* Progress of a stage under way. */
typedef struct rl_cycle_hooks {
    void *context;
    void (*on_step)(void *context, const rl_stage *stage, const rl_step_record *record, int64_t total_steps);
    void (*on_f1)(void *context, const rl_stage *stage, double f1);
    bool (*should_stop)(void *context);
} rl_cycle_hooks;

/* What one process keeps between stages (tokenizers, encoded corpora, word vectors), so that stages do not read them again. */
typedef struct rl_cycle rl_cycle;
rl_status rl_cycle_create(rl_cycle **out, const char *directory, const rl_cycle_hooks *hooks, rl_error *err);
void rl_cycle_free(rl_cycle *cycle);
void rl_cycle_set_hooks(rl_cycle *cycle, const rl_cycle_hooks *hooks); /* copied; its context must outlive the cycle's use */
/* DIR/stages/<key> is there and complete. */
bool rl_stage_is_complete(const char *directory, const char *key);
/* Make DIR/stages/<key>: worked on under DIR/stages/<key>.work (checkpoints live there, so an interrupted stage goes on
 * where it was), then published by rename. Does nothing when complete. RL_ERR_STOPPED: resumable. */
rl_status rl_stage_execute(rl_cycle *cycle, const rl_stage *stage, rl_error *err);
/* Read and check inputs without computing. data: the corpora parse, the concept has positive words (a fault here is the sweep's:
 * RL_ERR_INPUT for all). model: folder, tensors, tokenizer fit (a fault here is that model's runs' alone). inputs: data, then model. */
rl_status rl_cycle_check_data(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
rl_status rl_cycle_check_model(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
rl_status rl_cycle_check_inputs(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
/* Numbers the cost model needs; reads and encodes the data. tokens and sum of squared sentence lengths. */
typedef struct rl_workload {
    double train_tokens, train_attention, validation_tokens, validation_attention, test_tokens, test_attention;
    double concept_tokens, concept_attention;
    int64_t train_sentences, max_length;
    rl_model_config config; /* rl_model_config_free */
} rl_workload;
rl_status rl_cycle_workload(rl_workload *out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
double rl_stage_flops(const rl_stage *stage, const rl_workload *workload);
double rl_stage_disk_bytes(const rl_stage *stage, const rl_workload *workload);

/* ------------------------------------------------------------------------------------------------- results */

typedef struct rl_stage_result {
    char name[32];            /* "base", "pruned", "retrained_1", ... : the stage names of `show` and `export` */
    char model_key[RL_DIGEST_HEX]; /* DIR/stages/<this> is the model folder */
    rl_score word, subword;   /* validation, micro */
    rl_score test_word, test_subword; /* NaN f1 when there is no test file */
    double accuracy, loss, test_accuracy;
    int32_t num_types;        /* word-level validation scores by type */
    char **types;
    rl_score *by_type;
    rl_neuron_table *neurons;
    rl_training_log log;      /* empty for "pruned" */
    int64_t num_epochs;       /* per epoch of this stage's training */
    double *epoch_word_f1, *epoch_subword_f1, *epoch_loss;
    double seconds;           /* wall time spent computing; differs between machines, so never part of a shard */
} rl_stage_result;
typedef struct rl_run_result {
    const rl_run_settings *settings;
    int32_t num_stages;       /* 2 + retrain_rounds */
    rl_stage_result *stages;
    int64_t num_pruned;
    int32_t *pruned;          /* neuron ids chosen */
    int64_t num_words;        /* vocabulary of the concept corpus: top_word indexes it */
    char **words;
} rl_run_result;
/* From the complete stage folders of a run. */
rl_status rl_cycle_collect(rl_run_result **out, rl_cycle *cycle, const rl_stage *stages, int32_t num_stages, rl_error *err);
void rl_run_result_free(rl_run_result *result);

#ifdef __cplusplus
}
#endif
#endif
