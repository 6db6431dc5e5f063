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
    double vector_share; /* of the word types that a file has a vector for; 1 of the model's own */
} rl_concept_inputs;

/* What a base model makes of the words that CKA compares, kept for the analyses of what became of it. */
typedef struct rl_base_states {
    char *key;
    rl_word_states *states;
} rl_base_states;

enum { RL_CYCLE_SLOTS = 4 }; /* runs of a sweep alternate between few models and concepts */
struct rl_cycle {
    char *directory;
    char work_suffix[RL_START_NAME + 8]; /* ".START.work" */
    rl_cycle_hooks hooks;
    rl_cycle_group group;      /* ranks.size 0: alone */
    rl_train_group under_way;  /* those of them that make the stage under way */
    rl_inputs *inputs[RL_CYCLE_SLOTS];
    rl_concept_inputs *concepts[RL_CYCLE_SLOTS];
    rl_base_states bases[RL_CYCLE_SLOTS];
    int next_inputs, next_concept, next_base;
    rl_contents *contents; /* what the keys of the plan were made of; NULL: not known */
    rl_names *vectors_checked; /* file and words of word vectors that rl_cycle_check_data has read; NULL: none yet */
};

/* concept_source.c */
typedef struct rl_concept_corpus {
    rl_corpus *corpus;             /* owned */
    const char *const *positives;  /* labels that are the concept; borrowed */
    size_t num_positives;
} rl_concept_corpus;
rl_status rl_cycle_concept_corpus(rl_concept_corpus *out, const rl_run_settings *settings, const rl_concept_settings *concept,
                                  rl_error *err);
/* Every type whose F1 is the concept's occurs among the corpus' labels. */
rl_status rl_cycle_check_types(const rl_concept_settings *concept, const rl_corpus *corpus, rl_error *err);
/* Keep the training sentences without the concept: without an entity of its types, and without a word of it. Words of it:
 * LABELS: word types that are of the concept in more than half of their places in the concept's own corpus; WORDS, PATTERN: what
 * the list or pattern marks in these sentences. Nothing left, or nothing dropped, is RL_ERR_INPUT. */
rl_status rl_cycle_drop_concept(rl_corpus *train, const rl_concept_settings *concept, rl_error *err);

/* inputs.c: borrowed from the cycle until a later call evicts them (hold at most one of each). */
rl_status rl_cycle_inputs(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
/* The inputs of never_learned's fine-tuning: training sentences without the concept. */
rl_status rl_cycle_inputs_without(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err);
rl_status rl_cycle_concept(const rl_concept_inputs **out, rl_cycle *cycle, const rl_run_settings *settings,
                           const rl_concept_settings *concept, rl_error *err);
rl_status rl_cycle_concept_data(rl_concept_data **out, const rl_inputs *in, const rl_run_settings *settings,
                                const rl_concept_settings *concept, rl_error *err);
/* What a stage has read is what its key was made of: these files have not changed since (RL_ERR_INPUT). */
rl_status rl_cycle_check_unchanged(const rl_cycle *cycle, const char *const *paths, size_t count, rl_error *err);
/* Parse the NER files alone; out-parameters owned by the caller. test NULL where there is none. */
rl_status rl_cycle_read_corpora(rl_corpus **train, rl_corpus **validation, rl_corpus **test,
                                const rl_run_settings *settings, rl_error *err);

rl_status rl_cycle_check_layers(const rl_run_settings *settings, rl_error *err); /* prune.layers: has the model such units? */

/* execute.c: the neurons of a complete analysis, its folder checked first. */
rl_status rl_stage_read_table(rl_neuron_table **out, rl_cycle *cycle, const char *key, rl_error *err);
/* The model a stage starts from: a stage folder, or (fine-tuning) the Hub folder with a head for these labels. */
rl_status rl_stage_load_model(rl_model **out, rl_cycle *cycle, const rl_stage *stage, const rl_names *labels, rl_error *err);
/* What F1 is measured on when neurons are zeroed. Borrows from both. */
rl_ablation_task rl_stage_ablation_task(const rl_inputs *in, const rl_concept_settings *concept);

/* prune_stage.c */
rl_status rl_stage_prune(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err);
/* What permanent pruning of LayerNorms holds at zero (offsets: rl_free); other units are masked by the model itself. */
rl_status rl_stage_read_mask(rl_weight_mask *mask, rl_cycle *cycle, const rl_stage *stage, const rl_model *model, rl_error *err);

/* base_states.c: word states of a fine-tuned model, at the words that CKA looks at. */
/* Room for them; NULL where CKA is off or the concept has too few words. */
rl_status rl_cycle_make_states(rl_word_states **out, const rl_stage *stage, const rl_model_config *config,
                               const rl_concept_data *data, rl_error *err);
/* Those of stage->base_key: kept from its identify stage in this process, else made by one pass. Borrowed until the next call. */
rl_status rl_cycle_base_states(const rl_word_states **out, rl_cycle *cycle, const rl_stage *stage, const rl_concept_inputs *concept,
                               rl_error *err);
/* Keep those of the model of key base; states is taken over, on failure too. */
rl_status rl_cycle_keep_states(rl_cycle *cycle, const char *base, const rl_stage *stage, const rl_concept_inputs *concept,
                               rl_word_states *states, rl_error *err);

/* keys.c */
int32_t rl_cycle_num_own(const rl_run_settings *settings);  /* stages of the run's own concept, at the front of its list */
int32_t rl_cycle_others(int32_t concepts[RL_MAX_CONCEPTS], const rl_run_settings *settings); /* indices into settings->concepts */
bool rl_cycle_prunes_hidden(const rl_run_settings *settings); /* the pruned ids are neurons of hidden states */
bool rl_cycle_measures_units(const rl_run_settings *settings); /* pruning needs a finder's pass of its own: inside the blocks */
enum { RL_CAUSAL_DRAWS = 5 };
rl_prune_select rl_cycle_select(const rl_run_settings *settings); /* none where the arm prunes nothing */
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
/* to/evaluation.json = from's validation scores, with these test scores (NULL: those that from has). f1: of the validation words. */
rl_status rl_stage_copy_evaluation(const char *to, const char *from, const rl_evaluation *test, double *f1, rl_error *err);
rl_status rl_stage_read_evaluation(rl_stage_result *result, const char *folder, const rl_concept_settings *concept, rl_error *err);
/* layers.json: {"cka": [...]} over hidden states. */
rl_status rl_stage_write_cka(const char *folder, const double *cka, int64_t count, rl_error *err);
rl_status rl_stage_read_cka(double *cka, int64_t count, const char *folder, rl_error *err); /* absent: NaN */
/* causal.json: {"pruned": {"count", "concept_drop", "other_drop", "concept_sd", "other_sd"}, "newly_salient", "random_matched"} */
rl_status rl_stage_write_causal(const char *folder, const rl_causal_check *check, rl_error *err);
rl_status rl_stage_read_causal(rl_stage_result *result, const char *folder, rl_error *err);
/* curve.json: {"points": [{"step", "f1", "loss", "types": {TYPE: {"correct", "predicted", "support"}}}]}, steps ascending. */
json_t *rl_curve_read(const char *folder, rl_error *err); /* an empty list where there is no file; NULL on failure */
rl_status rl_curve_add(json_t *points, int64_t step, const rl_evaluation *evaluation, rl_error *err); /* drops later ones */
rl_status rl_curve_write(json_t *points, const char *folder, rl_error *err);
/* Micro scores over the types, or (others) over all the rest; NaN F1 without types. types: a JSON object of scores. */
rl_score rl_types_score(const json_t *types, const rl_concept_settings *concept, bool others);
rl_status rl_stage_write_pruned(const char *folder, const int32_t *ids, int64_t count, rl_error *err);
rl_status rl_stage_read_pruned(int32_t **ids, int64_t *count, const char *folder, rl_error *err);
rl_status rl_stage_write_record(const char *folder, const rl_stage *stage, double seconds, rl_error *err);
rl_status rl_stage_read_seconds(double *seconds, const char *folder, rl_error *err);
/* integrity.c */
rl_status rl_stage_describe_files(json_t **out, const char *folder, rl_error *err); /* {NAME: {"bytes", "xxh3"}} */
/* Move PATH to DIR/quarantine and say so through the hook on_notice: "WHY; moved to ..., CONSEQUENCE" (not when
 * why is NULL). */
rl_status rl_stage_set_aside(rl_cycle *cycle, const rl_stage *stage, const char *path, const char *why, const char *consequence,
                             rl_error *err);
char *rl_stage_folder(const rl_cycle *cycle, const char *key, const char *suffix, rl_error *err); /* rl_free */

#endif
