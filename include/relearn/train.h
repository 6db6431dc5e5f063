/* relearn/train.h -- Hugging Face Trainer's fine-tuning, without padding and without losing a step when killed.
 *
 * rl_encoded sentences + a model in; the trained model and one record per step out. Semantics: protocol §3. Leans on
 * core, linalg, text, model. Knows no MPI and prints nothing: progress goes through hooks. */
#ifndef RELEARN_TRAIN_H
#define RELEARN_TRAIN_H

#include "relearn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rl_data_order {
    RL_ORDER_HF5, /* epoch e: randperm of a fresh MT19937(seed + e)      -- transformers 5, torch 2 */
    RL_ORDER_HF4  /* one generator per training, two randperms an epoch, the first used -- what the authors ran */
} rl_data_order;

enum { RL_MAX_RANKS_PER_RUN = 1024 };
/* Factors of the matrix products in training; weights, moments, sums and evaluation are float32 with either (docs/precision.md). */
typedef enum rl_precision { RL_PRECISION_FP32, RL_PRECISION_BF16 } rl_precision;

/* The `train:` keys of a sweep (design §3) with their defaults by rl_train_defaults. */
typedef struct rl_train_settings {
    int64_t epochs, batch_size, warmup_steps;
    int64_t max_steps; /* 0 = none; ends early, the schedule still spans `epochs` */
    double learning_rate, weight_decay, max_grad_norm; /* max_grad_norm 0: no clipping */
    double adam_beta1, adam_beta2, adam_epsilon;
    double dropout; /* < 0: the model's own; else overrides every dropout */
    bool shuffle;
    rl_optimizer optimizer;
    rl_data_order order;
    int64_t ranks; /* shares that every batch is split into, by tokens; results depend on it, not on who makes them */
    rl_precision precision; /* bf16: only where the processor has it, see rl_train_check_machine */
} rl_train_settings;
rl_train_settings rl_train_defaults(void); /* 3 epochs, batch 8, 2e-5, 0.01, clip 1, warmup 0, AdamW torch, HF5 order, 1 rank */

/* Can this processor train so? RL_ERR_INPUT says what it lacks. rl_train asks too; this is for asking before anything is computed. */
rl_status rl_train_check_machine(const rl_train_settings *settings, rl_error *err);

typedef struct rl_step_record {
    int64_t step;  /* from 1 */
    int64_t epoch; /* from 0 */
    double loss, grad_norm, learning_rate, seconds; /* norm before clipping */
    int64_t tokens; /* real tokens of the batch, specials included */
} rl_step_record;
typedef struct rl_training_log {
    int64_t num_steps, capacity;
    rl_step_record *steps;
} rl_training_log;
void rl_training_log_free(rl_training_log *log); /* frees the steps, not the struct */
/* training.jsonl, one object a step with exactly the keys of design §2. */
rl_status rl_training_log_write(const rl_training_log *log, const char *path, rl_error *err);
rl_status rl_training_log_read(rl_training_log *log, const char *path, rl_error *err);

/* Weights held at zero through training, with their moments (prune.permanent): flat offsets into model->weights. */
typedef struct rl_weight_mask {
    const int64_t *offsets;
    int64_t count;
} rl_weight_mask;

/* Ranks that train one model together, each making one share of every batch and keeping one part of the moments. What carries
 * their messages is the owner's (cluster brings MPI). send, receive and advance do not wait, and what the first two name stays
 * untouched until wait returns; messages from one rank to another arrive in the order they were sent. */
typedef struct rl_train_group {
    void *context;
    int32_t rank, size; /* size: settings->ranks */
    void (*send)(void *context, int32_t to, const void *data, size_t bytes);
    void (*receive)(void *context, int32_t from, void *data, size_t bytes);
    void (*advance)(void *context); /* called now and then while gradients are made, so that messages move meanwhile */
    rl_status (*wait)(void *context, rl_error *err); /* for everything begun */
} rl_train_group;

typedef struct rl_train_hooks {
    void *context;
    void (*on_step)(void *context, const rl_step_record *record, int64_t total_steps); /* may be NULL */
    /* after each epoch (epoch from 0), e.g. to evaluate; a failure ends training with it; may be NULL */
    rl_status (*on_epoch)(void *context, int64_t epoch, const rl_model *model, rl_error *err);
    bool (*should_stop)(void *context); /* asked after every step; NULL: never */
    /* once, after the last epoch's checkpoint and before the checkpoint is removed: a caller that saves its results
     * here loses nothing to a kill in between; may be NULL */
    rl_status (*on_trained)(void *context, const rl_model *model, const rl_training_log *log, rl_error *err);
    /* after every grid_steps steps (0: never) that do not end an epoch; steps after a checkpoint are seen again; may be NULL */
    int64_t grid_steps;
    rl_status (*on_grid)(void *context, int64_t step, const rl_model *model, rl_error *err);
    /* the checkpoint did not fit and lies at bad_path now: an owner with a better place moves it there; may be NULL */
    rl_status (*on_set_aside)(void *context, const char *bad_path, rl_error *err);
    /* NULL: this process makes all shares itself, one after the other, with the same bits. Else every rank of the group calls
     * rl_train with the same arguments; rank 0 alone has a checkpoint and hooks, the others should_stop and grid_steps. */
    const rl_train_group *group;
} rl_train_hooks;

/* Train in place. Order and dropout are functions of (seed, epoch) and (seed, step) only. checkpoint: a file
 * written atomically after every epoch and when should_stop says so (then RL_ERR_STOPPED); when it exists and fits
 * (checksum, settings, seed, data) training resumes from it with the same bits, otherwise it is set aside as FILE.bad
 * and training starts again; removed at the end. NULL: none. log (zero-initialised; NULL: not wanted) gets all steps,
 * resumed ones included. A loss or norm that is not finite, or a mean loss of 100 steps above 10 ln(num labels), is RL_ERR_DIVERGED naming the step. on_epoch runs before its epoch's
 * checkpoint is written, so a kill between the two repeats both, and a resume never repeats an epoch that is in the
 * checkpoint. max_steps may end an epoch early; on_epoch is called for it all the same, as HF Trainer does. On failure
 * the weights are partly trained. */
/* In a group: any rank's stop or failure is everybody's, in the same step. Weights end the same on all ranks. */
rl_status rl_train(rl_model *model, const rl_encoded *data, const rl_train_settings *settings, uint64_t seed,
                   const rl_weight_mask *mask, const char *checkpoint, const rl_train_hooks *hooks,
                   rl_training_log *log, rl_error *err);
/* In a group, once before rl_train and after whatever may fail on one rank: the first failing rank's status, on all. */
rl_status rl_train_group_agree(const rl_train_group *group, rl_status status, rl_error *err);
/* T of the schedule: epochs * ceil(num_sentences / batch_size), max_steps left out. */
int64_t rl_train_total_steps(const rl_train_settings *settings, int64_t num_sentences);
/* Updates really made: T, or max_steps where that is less. */
int64_t rl_train_num_steps(const rl_train_settings *settings, int64_t num_sentences);
/* Learning rate of update k (0-based) of total_steps = T: linear warm-up, then linear decay to 0. */
double rl_train_learning_rate(const rl_train_settings *settings, int64_t k, int64_t total_steps);
/* order[n] of epoch e. */
rl_status rl_train_order(int64_t *order, int64_t n, const rl_train_settings *settings, uint64_t seed, int64_t epoch,
                         rl_error *err);

/* Predictions of every token, eval mode, batches by length up to a token budget; results do not depend on batching
 * order. predicted [T] label ids; loss (may be NULL): HF's eval_loss = sum_b n_b L_b / sum n_b over batches of 8
 * sentences in order. */
rl_status rl_predict(const rl_model *model, const rl_encoded *data, int32_t *predicted, double *loss, rl_error *err);

typedef struct rl_evaluation {
    rl_seqeval *word;     /* headline: a word's tag = its first sub-word's prediction; a word with no token -> O */
    rl_seqeval *subword;  /* HF Trainer's: every sub-word, specials dropped (protocol §4) */
    double loss;
    double tokens_per_second;
} rl_evaluation;
void rl_evaluation_clear(rl_evaluation *evaluation);
/* corpus and data are the same sentences; label ids are the model's. */
rl_status rl_evaluate(rl_evaluation *out, const rl_model *model, const rl_corpus *corpus, const rl_encoded *data,
                      rl_error *err);

#ifdef __cplusplus
}
#endif
#endif
