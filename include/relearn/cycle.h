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

/* What of a neuron is removed. A hidden-state neuron: gamma (and beta) of its LayerNorm, or itself in the forward pass; or the
 * units behind: intermediate neurons of the FFN, attention heads, ranked by what the neurons they write to carry
 * (rl_model_carried_scores of 1 - rank/(N-1)). Free removal zeroes weights once, permanent removal masks for good. */
typedef enum rl_prune_site { RL_SITE_LAYER_NORM, RL_SITE_HIDDEN_STATE, RL_SITE_FFN_UNIT, RL_SITE_ATTENTION_HEAD } rl_prune_site;

/* Where a concept's words are marked (concepts: of a sweep file). */
typedef enum rl_concept_kind {
    RL_CONCEPT_LABELS,  /* tokens, labels: parallel files; a word whose label has one of `positives` as a comma part */
    RL_CONCEPT_NER,     /* {ner: TYPE}: words of entities of these types in CoNLL file `in` (NULL: data.train) */
    RL_CONCEPT_WORDS,   /* {words: FILE or [list]}: words or phrases of the list, in a file of sentences `in` (NULL: data.train) */
    RL_CONCEPT_PATTERN  /* {pattern: REGEX}: words that a PCRE2 pattern matches, in `in` as above */
} rl_concept_kind;
#define RL_MAX_POSITIVES 16
#define RL_MAX_CONCEPTS  64
/* Strings are the sweep's. */
typedef struct rl_concept_settings {
    const char *name;
    rl_concept_kind kind;
    const char *tokens, *labels;              /* LABELS */
    const char *in;                           /* NER, WORDS, PATTERN; NULL: data.train */
    const char *words_file, *pattern;         /* WORDS from a file; PATTERN */
    const char *const *words;                 /* WORDS from a list [num_words] */
    int64_t num_words;
    const char *positives[RL_MAX_POSITIVES];  /* LABELS: label parts; NER: entity types */
    int64_t num_positives;
    const char *types[RL_MAX_POSITIVES];      /* entity types whose F1 is the concept's F1; NER: its own types */
    int64_t num_types;                        /* 0: the concept has no F1 */
} rl_concept_settings;

/* relearn: the cycle. never_learned, the control for relearning robustness: the same chain from a model that was fine-tuned
 * without any training sentence of the concept (rl_concept_sentences), nothing pruned, then retrained on all sentences exactly
 * as the arm it is compared with. prune.* and rank.* do not matter to its training. */
typedef enum rl_arm { RL_ARM_RELEARN, RL_ARM_NEVER_LEARNED } rl_arm;

/* Everything one run depends on, resolved. Strings are borrowed from whoever made the settings (the sweep). */
typedef struct rl_run_settings {
    const char *model;                     /* Hub folder */
    const char *train_file, *validation_file, *test_file; /* test may be NULL */
    int64_t data_limit;                    /* training sentences kept, 0 = all */
    rl_concept_settings concept;
    const rl_concept_settings *concepts;   /* [num_concepts] of the sweep file; analyse.also chooses among them */
    int64_t num_concepts;
    uint64_t also;                         /* bit i: concepts[i] is analysed at every stage as well (its own bit is ignored) */
    rl_arm arm;
    int64_t seed;
    rl_protocol protocol;
    rl_train_settings train;
    rl_rank_method rank_method;
    double lambda1, lambda2;               /* linear_probe's penalties */
    rl_prune_site prune_site;
    rl_prune_settings prune;
    uint64_t prune_layers;                 /* bit l: hidden state l, or units of the block that writes it; 0 = all */
    int64_t retrain_rounds, retrain_epochs;
    int64_t evaluate_every;                /* steps between two points of the recovery curve; 0: epoch ends only */
    int64_t top_words;
    const char *similarity_vectors;        /* NULL: the initial model's; else a fastText .bin or .vec file */
    int64_t cka_words;                     /* words that the CKA to the base model looks at; 0: no CKA */
    bool causal;                           /* the causal check before and after retraining */
} rl_run_settings;
/* The presets of protocol §0 and §14; strings NULL. */
rl_run_settings rl_run_defaults(rl_protocol protocol);

typedef enum rl_stage_kind {
    RL_STAGE_FINETUNE, /* model folder, training.jsonl, epochs.json */
    RL_STAGE_IDENTIFY, /* analysis of the fine-tuned model: neurons.bin, evaluation.json: the ranking that prune uses */
    RL_STAGE_PRUNE,    /* model folder, pruned.json */
    RL_STAGE_RETRAIN,  /* model folder, training.jsonl, epochs.json */
    RL_STAGE_ANALYSE,  /* analysis of the pruned (round 0) or a retrained model: neurons.bin, evaluation.json */
    RL_STAGE_CAUSAL    /* what F1 the base (round 0) or the last retrained model loses without some neurons: causal.json */
} rl_stage_kind;
enum { RL_NUM_STAGE_KINDS = RL_STAGE_CAUSAL + 1 };
const char *rl_stage_kind_name(rl_stage_kind kind);

typedef struct rl_stage {
    rl_stage_kind kind;
    int32_t round;                       /* retrain: 1..R; analyse: 0 = pruned, 1..R */
    char key[RL_DIGEST_HEX];
    char model_key[RL_DIGEST_HEX];       /* stage whose model folder this one starts from; "" = settings->model */
    char ranking_key[RL_DIGEST_HEX];     /* identify stage (prune, retrain's mask, analyse's base); "" = none */
    char prune_key[RL_DIGEST_HEX];       /* prune stage (what is masked); "" = none */
    char base_key[RL_DIGEST_HEX];        /* finetune stage (analyse: what CKA compares with); "" = none */
    char last_key[RL_DIGEST_HEX];        /* causal: analysis of the last round; "" = none */
    char twin_key[RL_DIGEST_HEX];        /* analysis of the same model for the run's own concept; "" = this is it */
    int32_t concept;                     /* -1: the run's own; else index into settings->concepts */
    int32_t depends[4], num_depends;     /* indices into the run's stage list */
    const rl_run_settings *settings;
} rl_stage;

/* Hashes of input files, each computed once per process. */
typedef struct rl_contents rl_contents;
rl_status rl_contents_create(rl_contents **out, rl_error *err);
void rl_contents_free(rl_contents *contents);

const rl_concept_settings *rl_stage_concept(const rl_stage *stage);

/* The stages of a run in an order that respects their dependencies: finetune, identify, prune, analyse 0, then retrain k,
 * analyse k; then, with analyse.causal, the causal checks of the base and of the last round; then, for each concept of
 * analyse.also in file order, identify and analyse 0..R. stages is rl_calloc'd. Unreadable inputs are RL_ERR_INPUT naming the file. A folder whose files are present but broken still has keys. */
rl_status rl_cycle_stages(rl_stage **stages, int32_t *num_stages, const rl_run_settings *settings,
                          rl_contents *contents, rl_error *err);
/* Hash of all a run's stage keys and the concept's name: the run's identity, first 12 hex digits are its id. */
void rl_cycle_run_key(char key[RL_DIGEST_HEX], const rl_stage *stages, int32_t num_stages, rl_contents *contents);

/* Progress of a stage under way. */
typedef struct rl_cycle_hooks {
    void *context;
    void (*on_step)(void *context, const rl_stage *stage, const rl_step_record *record, int64_t total_steps);
    void (*on_f1)(void *context, const rl_stage *stage, double f1);
    bool (*should_stop)(void *context);
    void (*on_notice)(void *context, const rl_stage *stage, const char *text); /* something was damaged and is made again; one line */
} rl_cycle_hooks;

/* What one process keeps between stages (tokenizers, encoded corpora, word vectors), so that stages do not read them again. */
typedef struct rl_cycle rl_cycle;
rl_status rl_cycle_create(rl_cycle **out, const char *directory, const rl_cycle_hooks *hooks, rl_error *err);
void rl_cycle_free(rl_cycle *cycle);
void rl_cycle_set_hooks(rl_cycle *cycle, const rl_cycle_hooks *hooks); /* copied; its context must outlive the cycle's use */
/* What the keys of the plan were made of, taken over: a stage that then reads a file which has changed meanwhile fails (RL_ERR_INPUT). */
void rl_cycle_keep_contents(rl_cycle *cycle, rl_contents *contents);
/* Other processes that train with this one where a stage asks for it (settings.train.ranks > 1, at most ranks->size). summon, on
 * rank 0: ranks 1 .. count - 1 are to call rl_stage_assist for this stage now. Without them this process makes all shares. */
typedef struct rl_cycle_group {
    rl_train_group ranks;
    void *context;
    void (*summon)(void *context, const rl_stage *stage, int32_t count);
} rl_cycle_group;
void rl_cycle_set_group(rl_cycle *cycle, const rl_cycle_group *group); /* copied; NULL: alone */
/* DIR/stages/<key> is there and complete. */
bool rl_stage_is_complete(const char *directory, const char *key);
/* The folder's files are those that its stage.json lists, by size and checksum; RL_ERR_INPUT says which is not. with_weights: false
 * leaves out the contents of model.safetensors, the one file that takes time to read. */
rl_status rl_stage_check(const char *folder, bool with_weights, rl_error *err);
/* A start of a sweep has a name of its own, and works in DIR/stages/<key>.<start>.work. A process of an earlier start that outlived its
 * coordinator (a lost network, a stopped machine) finds that its folder is gone and fails; it can neither write into nor publish what
 * somebody else works on. start: up to 16 letters and digits; "" (after rl_cycle_create): <key>.work. */
#define RL_START_NAME 17
void rl_cycle_set_start(rl_cycle *cycle, const char *start);
/* Take over what earlier starts left under way in DIR: their work folders get this start's name. Of two for one stage the one that is
 * further stays (a finished record, then a checkpoint, then the newer). Only for who holds the folder's lock, before anybody works. */
rl_status rl_stages_take_over(const char *directory, const char *start, rl_error *err);
/* Make DIR/stages/<key>: worked on under DIR/stages/<key>.<start>.work (checkpoints live there, so an interrupted stage goes on
 * where it was), then published by rename. Does nothing when complete. RL_ERR_STOPPED: resumable. */
rl_status rl_stage_execute(rl_cycle *cycle, const rl_stage *stage, rl_error *err);
/* The part of a rank other than 0 in a training stage: nothing is written. Ends as rank 0's training does. */
rl_status rl_stage_assist(rl_cycle *cycle, const rl_stage *stage, rl_error *err);
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
/* The same of a model folder that holds no weights yet, from config.json and the data's words alone (1.3 sub-words a word, two
 * specials a sentence). RL_ERR_INPUT where weights are there, or config.json cannot be read. */
rl_status rl_cycle_estimate(rl_workload *out, const rl_run_settings *settings, rl_error *err);
double rl_stage_flops(const rl_stage *stage, const rl_workload *workload);
double rl_stage_disk_bytes(const rl_stage *stage, const rl_workload *workload);

/* ------------------------------------------------------------------------------------------------- results */

typedef enum rl_causal_set { RL_CAUSAL_PRUNED, RL_CAUSAL_NEWLY_SALIENT, RL_CAUSAL_RANDOM_MATCHED, RL_NUM_CAUSAL_SETS } rl_causal_set;
extern const char *const rl_causal_set_names[RL_NUM_CAUSAL_SETS];

typedef struct rl_stage_result {
    char name[32];            /* "base", "pruned", "retrained_1", ... : the stage names of `show` and `export` */
    char model_key[RL_DIGEST_HEX]; /* DIR/stages/<this> is the model folder */
    rl_score word, subword;   /* validation, micro */
    rl_score test_word, test_subword; /* NaN f1 when there is no test file */
    double accuracy, loss, test_accuracy;
    rl_score concept, others; /* word level, validation, micro over the concept's entity types and over all others; NaN: no types */
    rl_score test_concept, test_others;
    int32_t num_types;        /* word-level validation scores by type */
    char **types;
    rl_score *by_type;
    rl_neuron_table *neurons;
    /* readings [L+1]; one block. cka: debiased linear CKA to the base model (base: 1); share: of the saliency; selectivity:
     * accuracy - control accuracy of linear_probe. NaN where not taken. */
    double *cka, *saliency_share, *probe_accuracy, *control_accuracy, *selectivity;
    double saliency_centre, saliency_entropy; /* of the shares over layers */
    double difference_centre;                 /* centre of mass of |mean difference| over layers */
    double primedness;                        /* Spearman over pruned neurons: base similarity to the concept, saliency here */
    /* The causal check [RL_NUM_CAUSAL_SETS], one block; NaN where there was none. */
    double *causal_count, *causal_concept_drop, *causal_other_drop, *causal_concept_sd, *causal_other_sd;
    rl_training_log log;      /* empty for "pruned" */
    int64_t num_epochs;       /* per epoch of this stage's training */
    double *epoch_word_f1, *epoch_subword_f1, *epoch_loss;
    /* The stage's training on its grid of steps (epoch ends always). Retraining steps count on from round to round and
     * begin with the pruned model at 0; recovered = rl_recovered_fraction of F1, of the concept's F1. */
    int64_t num_points;
    double *point_step, *point_f1, *point_concept_f1, *point_other_f1, *point_loss, *point_recovered, *point_concept_recovered;
    int32_t num_also;
    rl_neuron_table **also;   /* [num_also] tables of the other concepts at this stage */
    double seconds;           /* wall time spent computing; differs between machines, so never part of a shard */
} rl_stage_result;
typedef struct rl_run_result {
    const rl_run_settings *settings;
    int32_t num_stages;       /* 2 + retrain_rounds */
    rl_stage_result *stages;
    int64_t num_pruned;
    int32_t *pruned;          /* ids chosen: of neurons, at sites ffn and head of units (block * units a block + unit) */
    int64_t num_words;        /* vocabulary of the concept corpus: top_word indexes it */
    char **words;
    double vector_share;      /* of these words: those that analyse.similarity.vectors has a vector for; 1: model's own */
    /* Of the whole curve from the pruned model on, in steps of retraining; rl_recovery_half_life, rl_recovery_area. */
    double half_life, half_life_censored, recovery_area;
    double concept_half_life, concept_half_life_censored, concept_recovery_area;
    int32_t num_also;
    const char **also;        /* [num_also] names of the other concepts */
    const char *no_concept_f1; /* why there is no F1 of the concept; "" where there is one */
} rl_run_result;
/* From the complete stage folders of a run. */
rl_status rl_cycle_collect(rl_run_result **out, rl_cycle *cycle, const rl_stage *stages, int32_t num_stages, rl_error *err);
void rl_run_result_free(rl_run_result *result);

#ifdef __cplusplus
}
#endif
#endif
