/* cycle_internal.h -- seen inside src/cycle only. */
#ifndef RELEARN_CYCLE_INTERNAL_H
#define RELEARN_CYCLE_INTERNAL_H

#include "relearn/cycle.h"

/* The NER files of a run, parsed and encoded for one model's tokenizer. test may be absent (NULL). */
typedef struct rl_inputs {
    char *key; /* what it was made from */
    rl_tokenizer *tokenizer;
    int64_t max_length;
    rl_corpus *train, *validation, *test;
    rl_encoded *train_encoded, *validation_encoded, *test_encoded;
} rl_inputs;

/* A concept corpus made ready for a model, and the word vectors that similarity uses. */
typedef struct rl_concept_inputs {
    char *key;
    rl_concept_data *data;
    float *vectors; /* [num types, vector_size] */
    int64_t vector_size;
} rl_concept_inputs;

enum { RL_CYCLE_SLOTS = 4 }; /* runs of a sweep alternate between few models and concepts */
struct rl_cycle {
    char *directory;
    rl_cycle_hooks hooks;
    rl_inputs *inputs[RL_CYCLE_SLOTS];
    rl_concept_inputs *concepts[RL_CYCLE_SLOTS];
    int next_inputs, next_concept;
};

/* inputs.c: borrowed from the cycle until a later call evicts them (hold at most one of each). */
rl_status rl_cycle_inputs(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
rl_status rl_cycle_concept(const rl_concept_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
/* Parse the NER files alone; out-parameters owned by the caller. test NULL where there is none. */
rl_status rl_cycle_read_corpora(rl_corpus **train, rl_corpus **validation, rl_corpus **test,
                                const rl_run_settings *settings, rl_error *err);

/* keys.c */
uint64_t rl_cycle_training_seed(const rl_run_settings *settings, int32_t round); /* round 0 = fine-tuning */

/* stage_files.c: the small JSON files of a stage folder. */
typedef struct rl_epoch_scores {
    int64_t count, capacity;
    double *word_f1, *subword_f1, *loss;
} rl_epoch_scores;
void rl_epoch_scores_free(rl_epoch_scores *scores);
rl_status rl_epoch_scores_set(rl_epoch_scores *scores, int64_t epoch, const rl_evaluation *evaluation, rl_error *err);
rl_status rl_epoch_scores_write(const rl_epoch_scores *scores, const char *folder, rl_error *err);
rl_status rl_epoch_scores_read(rl_epoch_scores *scores, const char *folder, rl_error *err); /* absent: none */
rl_status rl_stage_write_evaluation(const char *folder, const rl_evaluation *validation, const rl_evaluation *test,
                                    rl_error *err);
rl_status rl_stage_read_evaluation(rl_stage_result *result, const char *folder, rl_error *err);
rl_status rl_stage_write_pruned(const char *folder, const int32_t *ids, int64_t count, rl_error *err);
rl_status rl_stage_read_pruned(int32_t **ids, int64_t *count, const char *folder, rl_error *err);
rl_status rl_stage_write_record(const char *folder, const rl_stage *stage, double seconds, rl_error *err);
rl_status rl_stage_read_seconds(double *seconds, const char *folder, rl_error *err);
char *rl_stage_folder(const rl_cycle *cycle, const char *key, const char *suffix, rl_error *err); /* rl_free */

#endif
