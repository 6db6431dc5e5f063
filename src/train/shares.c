/* shares.c -- one step of a batch in shares, made by one process or by a group of ranks with the same bits.
 *
 * Mean gradient of the batch = sum over the shares of theirs, each weighed by its labelled tokens. Sums run in the order of
 * shares, pieces of the norm in the order of ranks: nothing depends on who does what, or on what arrives first. */
#include "train_internal.h"

#include <math.h>
#include <string.h>

rl_status rl_shares_create(rl_shares *out, rl_optimizer_state *optimizer, const rl_train_settings *settings,
                           const rl_train_group *group, rl_batch_bounds bounds, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_model *model = optimizer->model;
    int64_t G = settings->ranks, L = model->config.num_layers;
    rl_shares s = {.count = G, .last = G, .group = group, .optimizer = optimizer};
    RL_REQUIRE(rl_model_word_embeddings(model) == 0 && (!group || group->size == G), err);
    if (group) s.first = group->rank, s.last = group->rank + 1;
    s.piece_total = model->num_weights / G + 16 * (L + 2);
    RL_TRY(rl_packed_batch_create(&s.batch, rl_share_bounds(bounds, G), err));
    RL_ALLOC(s.sentence, bounds.sentences, err);
    RL_ALLOC(s.order, bounds.sentences, err);
    RL_ALLOC(s.share_of, bounds.sentences, err);
    RL_ALLOC(s.tokens, G, err);
    RL_ALLOC(s.notes, G, err);
    RL_ALLOC(s.spare, group ? (G - 1) * s.piece_total : model->num_weights, err);
    if (group) RL_ALLOC(s.rows, G * bounds.tokens * model->config.hidden_size, err);
    *out = s;
    return RL_OK;
cleanup:
    rl_shares_clear(&s);
    return status;
}

void rl_shares_clear(rl_shares *s)
{
    rl_packed_batch_clear(&s->batch);
    rl_free(s->sentence);
    rl_free(s->order);
    rl_free(s->share_of);
    rl_free(s->tokens);
    rl_free(s->notes);
    rl_free(s->spare);
    rl_free(s->rows);
    *s = (rl_shares){0};
}

/* ------------------------------------------------------------------------------------------------ one share */

static void on_final(void *context, int64_t depth)
{
    rl_shares *shares = context;
    rl_shares_send_gradients(shares, depth);
}

/* A batch may have fewer sentences than there are shares. */
static void no_gradients(rl_shares *s, float *gradients, const rl_gradient_listener *listener)
{
    const rl_lazy_rows *words = &s->optimizer->words;
    const rl_model *model = s->optimizer->model;
    int64_t C = model->config.hidden_size, dense = rl_shares_piece(s, 0, 0).from;
    memset(gradients + dense, 0, (size_t)(model->num_weights - dense) * sizeof *gradients);
    for (int64_t i = 0; i < words->num_rows; i++) memset(gradients + words->rows[i] * C, 0, (size_t)C * sizeof *gradients);
    for (int64_t depth = model->config.num_layers; listener && depth >= 0; depth--) listener->on_final(listener->context, depth);
}

/* Gradients and loss of one share. */
static double make_share(rl_shares *s, int64_t share, rl_workspace *workspace, const rl_split_step *step, float *gradients,
                         const rl_gradient_listener *listener)
{
    rl_model_dropout dropout = step->dropout;
    int64_t count = 0;
    for (int64_t b = 0; b < step->whole->num_sentences; b++)
        if (s->share_of[b] == share) s->sentence[count++] = step->sentence[b];
    if (count == 0) {
        no_gradients(s, gradients, listener);
        return 0;
    }
    rl_packed_batch_fill(&s->batch, step->data, s->sentence, count);
    s->batch.view.rows = step->whole->rows;
    s->batch.view.num_rows = step->whole->num_rows;
    s->batch.view.num_labelled = step->num_labelled;
    dropout.seed = rl_share_seed(step->dropout.seed, share);
    rl_model_forward(s->optimizer->model, workspace, &s->batch.view, &dropout);
    return rl_model_backward_by_depth(s->optimizer->model, workspace, &s->batch.view, &dropout, gradients, listener);
}

/* -------------------------------------------------------------------------------------------- all of them */

static void add_rows(rl_shares *s, const float *from)
{
    const rl_lazy_rows *words = &s->optimizer->words;
    int64_t C = s->optimizer->model->config.hidden_size;
    for (int64_t i = 0; i < words->num_rows; i++) {
        float *to = s->optimizer->gradients + words->rows[i] * C;
        rl_add(to, to, from + words->rows[i] * C, C);
    }
}

static void make_all(rl_shares *s, rl_workspace *workspace, const rl_split_step *step)
{
    float *sum = s->optimizer->gradients;
    int64_t dense = rl_shares_piece(s, 0, 0).from, n = s->optimizer->model->num_weights - dense;
    for (int64_t share = 0; share < s->count; share++) {
        float *gradients = share ? s->spare : sum;
        s->notes[share].loss = make_share(s, share, workspace, step, gradients, NULL);
        if (share == 0) continue;
        rl_add(sum + dense, sum + dense, gradients + dense, n);
        add_rows(s, gradients);
    }
}

/* Contributions to `n` floats at `at` of this rank's piece, in rank order; the sum ends among the gradients. */
static void sum_part(rl_shares *s, int64_t depth, int64_t at, int64_t n)
{
    int64_t rank = s->group->rank, from = rl_shares_piece(s, depth, rank).from;
    float *own = s->optimizer->gradients + from + at, *sum = rank ? rl_shares_received(s, depth, 0) + at : own;
    for (int64_t r = 1; r < s->count; r++) {
        const float *next = r == rank ? own : rl_shares_received(s, depth, r) + at;
        float *to = r >= rank ? own : sum;
        rl_add(to, sum, next, n);
        sum = to;
    }
}

/* Sum and norm of a piece in parts that stay in the cache between the two. */
static double finish_piece(rl_shares *s, int64_t depth, int64_t rank)
{
    enum { PART = 1 << 14 };
    rl_piece piece = rl_shares_piece(s, depth, rank);
    double squares = 0;
    for (int64_t at = piece.from; at < piece.to; at += PART) {
        int64_t n = piece.to - at < PART ? piece.to - at : PART;
        if (s->group) sum_part(s, depth, at - piece.from, n);
        squares += rl_sum_of_squares(s->optimizer->gradients + at, n);
    }
    return squares;
}

static void sum_rows(rl_shares *s)
{
    const rl_lazy_rows *words = &s->optimizer->words;
    int64_t C = s->optimizer->model->config.hidden_size, block = words->num_rows * C;
    for (int64_t i = 0; i < words->num_rows; i++) {
        float *to = s->optimizer->gradients + words->rows[i] * C;
        memcpy(to, s->rows + i * C, (size_t)C * sizeof *to);
        for (int64_t r = 1; r < s->count; r++) rl_add(to, to, s->rows + r * block + i * C, C);
    }
}

static rl_status make_one(rl_shares *s, rl_workspace *workspace, const rl_split_step *step, rl_error *err)
{
    const rl_gradient_listener listener = {s, on_final};
    int64_t rank = s->group->rank;
    s->notes[rank].loss = make_share(s, rank, workspace, step, s->optimizer->gradients, &listener);
    rl_status status = rl_shares_exchange_rows(s, err);
    if (status == RL_OK) sum_rows(s);
    return status;
}

static rl_step_sum total(const rl_shares *s)
{
    rl_step_sum sum = {0};
    double squares = rl_lazy_rows_sum_of_squares(s->optimizer);
    for (int64_t r = 0; r < s->count; r++) {
        sum.loss += s->notes[r].loss;
        squares += s->notes[r].squares;
        sum.stop |= s->notes[r].stop != 0;
    }
    sum.norm = sqrt(squares);
    return sum;
}

rl_status rl_shares_gradients(rl_shares *s, rl_workspace *workspace, const rl_split_step *step, bool stop, rl_step_sum *sum,
                              rl_error *err)
{
    rl_status status = RL_OK;
    rl_split_batch(s->share_of, step->data, step->sentence, step->whole->num_sentences, s->count, s->order, s->tokens);
    if (s->group)
        RL_TRY(make_one(s, workspace, step, err));
    else
        make_all(s, workspace, step);
    for (int64_t r = s->first; r < s->last; r++) {
        s->notes[r].squares = 0;
        s->notes[r].stop = stop;
        for (int64_t depth = s->optimizer->model->config.num_layers; depth >= 0; depth--)
            s->notes[r].squares += finish_piece(s, depth, r);
    }
    if (s->group) RL_TRY(rl_shares_exchange_notes(s, err));
    *sum = total(s);
    if (step->num_labelled == 0) sum->loss = NAN; /* as of an undivided batch */
cleanup:
    return status;
}

rl_status rl_shares_update(rl_shares *s, int64_t t, double learning_rate, double norm, rl_error *err)
{
    rl_adamw adamw = rl_optimizer_clipped(s->optimizer, t, learning_rate, norm);
    for (int64_t depth = 0; depth <= s->optimizer->model->config.num_layers; depth++) {
        for (int64_t r = s->first; r < s->last; r++) {
            rl_piece piece = rl_shares_piece(s, depth, r);
            rl_optimizer_update_span(s->optimizer, adamw, piece.from, piece.to);
        }
        if (s->group) rl_shares_send_weights(s, depth);
    }
    rl_optimizer_update_words(s->optimizer, adamw);
    rl_status status = rl_shares_wait(s, err);
    rl_optimizer_apply_mask(s->optimizer); /* after the others' pieces came, which may hold what is masked */
    return status;
}
