/* train_internal.h -- what the files of the train room share: packed batches, the optimiser's state, the checkpoint. */
#ifndef RELEARN_TRAIN_INTERNAL_H
#define RELEARN_TRAIN_INTERNAL_H

#include "relearn/train.h"

/* ---------------------------------------------------------------------------------- settings (schedule.c) */

/* RL_ERR_INPUT names the key of `train:` that is out of range. */
rl_status rl_train_check_settings(const rl_train_settings *settings, rl_error *err);
int64_t rl_train_steps_per_epoch(const rl_train_settings *settings, int64_t num_sentences);

/* -------------------------------------------------------------------------------------- batches (batches.c) */

/* The largest batch that can occur: sizes of the workspace and of the packed arrays. */
typedef struct rl_batch_bounds {
    int64_t tokens, sentences, length, attention; /* attention: sum over the sentences of n^2 */
} rl_batch_bounds;
/* Any `sentences` sentences of data fit: the longest ones together are the worst case. */
rl_status rl_batch_bounds_of(rl_batch_bounds *out, const rl_encoded *data, int64_t sentences, rl_error *err);

/* One packed batch with its own arrays, filled again and again: view is what the model reads. */
typedef struct rl_packed_batch {
    rl_batch view;
    rl_batch_bounds bounds;
    int32_t *start, *ids, *labels;
} rl_packed_batch;
rl_status rl_packed_batch_create(rl_packed_batch *out, rl_batch_bounds bounds, rl_error *err);
void rl_packed_batch_clear(rl_packed_batch *batch);
/* Sentences sentence[0..count) end to end, in that order. Allocates nothing. */
void rl_packed_batch_fill(rl_packed_batch *batch, const rl_encoded *data, const int64_t *sentence, int64_t count);
/* Ids, labels and lengths that the model can take; RL_ERR_INPUT names the sentence. */
rl_status rl_encoded_check(const rl_encoded *data, const rl_model *model, rl_error *err);

/* ---------------------------------------------------------------------------------- weights (optimizer.c) */

/* Rows of the word table, each updated when a batch next reads it instead of at every step: a row that no batch reads has
 * no gradient, and most of a table is such rows. The steps it has missed are made up in order and with their own rates, so
 * every bit is as if none had been missed, at a tenth of the memory traffic (lazy_rows.c). */
typedef struct rl_lazy_rows {
    int64_t tensor;          /* index of the table among the model's parameters */
    int64_t step;            /* updates made so far, as in all other tensors */
    int64_t *updated;        /* [V] updates that a row has had */
    rl_adamw_rates *rates;   /* [num_steps] of updates 1, 2, .. made in this process */
    int32_t *rows;           /* [num_rows] the rows of the batch under way, in the order of their first token */
    int64_t num_rows, *last_read; /* [V] the step whose batch last read a row */
} rl_lazy_rows;

/* AdamW over a model's flat weights: gradients and both moments at the same offsets. */
typedef struct rl_optimizer_state {
    rl_model *model;                   /* borrowed, as settings and mask */
    const rl_train_settings *settings;
    const rl_weight_mask *mask;        /* may be NULL */
    float *gradients, *m, *v;          /* [num_weights] */
    double *squares;                   /* [num_parameters] of the gradient, tensor by tensor */
    bool lazy;                         /* else every update goes over all rows */
    rl_lazy_rows words;
} rl_optimizer_state;
rl_status rl_optimizer_create(rl_optimizer_state *out, rl_model *model, const rl_train_settings *settings,
                              const rl_weight_mask *mask, rl_error *err);
void rl_optimizer_clear(rl_optimizer_state *state);
/* From here on rows of the word table are updated when they are read: `made` updates have been made, num_steps are planned,
 * batches have max_tokens tokens at most. Every batch must go through rl_optimizer_read before its forward pass. */
rl_status rl_optimizer_make_lazy(rl_optimizer_state *state, int64_t made, int64_t num_steps, int64_t max_tokens,
                                 rl_error *err);
/* Bring the rows that a batch reads up to date, and name them in batch->rows, each once. */
void rl_optimizer_read(rl_optimizer_state *state, rl_batch *batch);
/* Bring all rows up to date: before anything else looks at weights or moments. */
void rl_optimizer_read_all(rl_optimizer_state *state);
/* The settings of one update; weight_decay and gradient_scale are the caller's. */
rl_adamw rl_optimizer_adamw(const rl_train_settings *settings, int64_t t, double learning_rate);
/* sqrt of the sum of all squared gradients; lazy: of the word table's, those of the rows last read. */
double rl_optimizer_gradient_norm(rl_optimizer_state *state);
/* Update t (from 1) with clipping by norm; masked weights and moments end as zero. */
void rl_optimizer_update(rl_optimizer_state *state, int64_t t, double learning_rate, double norm);
/* The parts of an update, for whoever makes it piece by piece: its settings with the clipping in them; the dense weights between
 * two flat offsets; the word table's rows, where they are lazy. */
rl_adamw rl_optimizer_clipped(const rl_optimizer_state *state, int64_t t, double learning_rate, double norm);
void rl_optimizer_update_span(rl_optimizer_state *state, rl_adamw adamw, int64_t from, int64_t to);
void rl_optimizer_update_words(rl_optimizer_state *state, rl_adamw adamw);
/* Zero the masked weights and moments. */
void rl_optimizer_apply_mask(rl_optimizer_state *state);

/* Parts of the above (lazy_rows.c). */
void rl_lazy_rows_clear(rl_lazy_rows *rows);
double rl_lazy_rows_sum_of_squares(const rl_optimizer_state *state);
void rl_lazy_rows_update(rl_optimizer_state *state, rl_adamw settings);

/* ------------------------------------------------------------------------------ a batch in shares (split.c) */

/* share_of[b] of sentence[b] for b < count: longest first, each to the share with the fewest tokens so far. A function of the
 * batch alone. order [count] and tokens [num_shares] are scratch. */
void rl_split_batch(int32_t *share_of, const rl_encoded *data, const int64_t *sentence, int64_t count, int64_t num_shares,
                    int64_t *order, int64_t *tokens);
/* The largest share of a batch within bounds. */
rl_batch_bounds rl_share_bounds(rl_batch_bounds bounds, int64_t num_shares);
/* Shares draw their dropout independently; the first as an undivided batch does. */
uint64_t rl_share_seed(uint64_t seed, int64_t share);

/* --------------------------------------------------------------------- steps in shares (shares.c, exchange.c) */

/* What every rank must know of the others before it can end a step. */
typedef struct rl_step_note {
    double squares, loss; /* of this rank's part of the summed gradients; of its share of the batch */
    int64_t stop;
} rl_step_note;

/* A step whose batch is split: gradients of each share, their sum in the order of shares, and the update piece by piece. Of each
 * depth's dense weights (rl_model_depth_offset; the word table is not among them) rank r keeps the r-th piece up to date: it
 * sums what all have of it, updates it, and gives the weights back. Rows of the word table are few: all ranks do all of them. */
typedef struct rl_shares {
    int64_t count;                 /* settings->ranks */
    int64_t first, last;           /* shares and pieces made by this process */
    const rl_train_group *group;   /* NULL: all are */
    rl_optimizer_state *optimizer; /* borrowed; its word table is lazy */
    rl_packed_batch batch;         /* of one share */
    int64_t *sentence, *order, *tokens;
    int32_t *share_of;
    float *spare; /* alone: gradients of a share until they are added; in a group: what others have of this rank's pieces */
    int64_t piece_total;           /* floats of one rank's pieces, rounded up so that it is the same for all */
    float *rows;                   /* group: [count][max_tokens, C] gradients of the word rows by share */
    rl_step_note *notes;           /* [count] */
} rl_shares;
rl_status rl_shares_create(rl_shares *out, rl_optimizer_state *optimizer, const rl_train_settings *settings,
                           const rl_train_group *group, rl_batch_bounds bounds, rl_error *err);
void rl_shares_clear(rl_shares *shares);

/* Gradients of a batch: whole is it packed and read (rl_optimizer_read); num_labelled its labelled tokens. */
typedef struct rl_split_step {
    const rl_encoded *data;
    const int64_t *sentence; /* [whole->num_sentences] */
    const rl_batch *whole;
    int64_t num_labelled;
    rl_model_dropout dropout;
} rl_split_step;
typedef struct rl_step_sum {
    double loss, norm;
    bool stop; /* some rank said so */
} rl_step_sum;
rl_status rl_shares_gradients(rl_shares *shares, rl_workspace *workspace, const rl_split_step *step, bool stop,
                              rl_step_sum *sum, rl_error *err);
rl_status rl_shares_update(rl_shares *shares, int64_t t, double learning_rate, double norm, rl_error *err);
/* exchange.c: nothing where there is no group. */
typedef struct rl_piece {
    int64_t from, to; /* flat offsets */
} rl_piece;
rl_piece rl_shares_piece(const rl_shares *shares, int64_t depth, int64_t rank);
float *rl_shares_received(const rl_shares *shares, int64_t depth, int64_t rank); /* what rank has of this rank's piece */
void rl_shares_send_gradients(rl_shares *shares, int64_t depth);
rl_status rl_shares_exchange_rows(rl_shares *shares, rl_error *err);  /* and waits for the gradients */
rl_status rl_shares_exchange_notes(rl_shares *shares, rl_error *err);
void rl_shares_send_weights(rl_shares *shares, int64_t depth);
rl_status rl_shares_wait(rl_shares *shares, rl_error *err);
/* Rank 0 gets all moments, for its checkpoint; all ranks get rank 0's weights, moments and number of updates made. */
rl_status rl_shares_collect_moments(rl_shares *shares, rl_error *err);
rl_status rl_shares_spread(rl_shares *shares, int64_t *step, rl_error *err);
/* Rank 0's text on all of them. */
rl_status rl_shares_broadcast(const rl_train_group *group, void *data, size_t bytes, rl_error *err);

/* --------------------------------------------------------------------------------- log (training_log.c) */

rl_status rl_training_log_reserve(rl_training_log *log, int64_t capacity, rl_error *err);

/* -------------------------------------------------------------------------------- checkpoint (checkpoint.c) */

/* Everything a training is made of between two steps. Arrays [num_weights] are borrowed. */
typedef struct rl_checkpoint {
    float *weights, *m, *v;
    int64_t num_weights;
    int64_t step;          /* updates made */
    rl_training_log *log;  /* log->num_steps == step */
} rl_checkpoint;
/* What a checkpoint must have been made from to be resumed here: settings, seed, data, model, mask, back end, ISA.
 * Taken before the first step. */
rl_status rl_checkpoint_fit(char fit[RL_DIGEST_HEX], const rl_model *model, const rl_encoded *data,
                            const rl_train_settings *settings, uint64_t seed, const rl_weight_mask *mask,
                            rl_error *err);
rl_status rl_checkpoint_write(const rl_checkpoint *state, const char *path, const char *fit, rl_error *err);
/* *restored: the file was there, intact and fitting, and state now holds it. A file that is there but damaged, or made
 * from something else, becomes PATH.bad and state stays as it was. */
rl_status rl_checkpoint_read(rl_checkpoint *state, bool *restored, const char *path, const char *fit, rl_error *err);

#endif
