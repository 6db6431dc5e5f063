/* exchange.c -- what the ranks of a group send each other in a step, and around training.
 *
 * A reduce-scatter and an all-gather by direct messages: each rank sends every other one its gradients of the piece that the
 * other keeps, and later gets that piece's new weights. As many bytes as a ring moves, in one hop, and the order of the sums
 * is ours and not the MPI library's. */
#include "train_internal.h"

#include <string.h>

/* Pieces begin on 64-byte boundaries of the flat arrays. */
rl_piece rl_shares_piece(const rl_shares *shares, int64_t depth, int64_t rank)
{
    const rl_model *model = shares->optimizer->model;
    int64_t begin = rl_model_depth_offset(model, depth), end = rl_model_depth_offset(model, depth + 1);
    if (depth == 0) begin = (model->config.vocab_size * model->config.hidden_size + 15) / 16 * 16; /* the word table is first */
    int64_t lines = (end - begin) / 16, from = begin + lines * rank / shares->count * 16;
    return (rl_piece){from, rank + 1 == shares->count ? end : begin + lines * (rank + 1) / shares->count * 16};
}

static int64_t length_of(rl_piece piece) { return piece.to - piece.from; }
static size_t bytes_of(rl_piece piece) { return (size_t)length_of(piece) * sizeof(float); }

float *rl_shares_received(const rl_shares *shares, int64_t depth, int64_t rank)
{
    int64_t own = shares->group->rank, slot = rank - (rank > own), at = slot * shares->piece_total;
    for (int64_t d = 0; d < depth; d++) at += length_of(rl_shares_piece(shares, d, own));
    return shares->spare + at;
}

static void send(const rl_shares *shares, int64_t to, const void *data, size_t bytes)
{
    if (bytes) shares->group->send(shares->group->context, (int32_t)to, data, bytes);
}

static void receive(const rl_shares *shares, int64_t from, void *data, size_t bytes)
{
    if (bytes) shares->group->receive(shares->group->context, (int32_t)from, data, bytes);
}

rl_status rl_shares_wait(rl_shares *shares, rl_error *err)
{
    return shares->group ? shares->group->wait(shares->group->context, err) : RL_OK;
}

void rl_shares_send_gradients(rl_shares *shares, int64_t depth)
{
    int64_t own = shares->group->rank;
    for (int64_t r = 0; r < shares->count; r++) {
        if (r == own) continue;
        rl_piece theirs = rl_shares_piece(shares, depth, r), mine = rl_shares_piece(shares, depth, own);
        receive(shares, r, rl_shares_received(shares, depth, r), bytes_of(mine));
        send(shares, r, shares->optimizer->gradients + theirs.from, bytes_of(theirs));
    }
    shares->group->advance(shares->group->context);
}

void rl_shares_send_weights(rl_shares *shares, int64_t depth)
{
    int64_t own = shares->group->rank;
    float *weights = shares->optimizer->model->weights;
    for (int64_t r = 0; r < shares->count; r++) {
        if (r == own) continue;
        rl_piece theirs = rl_shares_piece(shares, depth, r), mine = rl_shares_piece(shares, depth, own);
        receive(shares, r, weights + theirs.from, bytes_of(theirs));
        send(shares, r, weights + mine.from, bytes_of(mine));
    }
    shares->group->advance(shares->group->context);
}

/* One block of `bytes` a rank, in rank order; the own one is filled in. */
static rl_status exchange_blocks(rl_shares *shares, void *blocks, size_t bytes, size_t stride, rl_error *err)
{
    char *at = blocks;
    int64_t own = shares->group->rank;
    for (int64_t r = 0; r < shares->count; r++) {
        if (r == own) continue;
        receive(shares, r, at + (size_t)r * stride, bytes);
        send(shares, r, at + (size_t)own * stride, bytes);
    }
    return rl_shares_wait(shares, err);
}

rl_status rl_shares_exchange_rows(rl_shares *shares, rl_error *err)
{
    const rl_optimizer_state *o = shares->optimizer;
    size_t row = (size_t)o->model->config.hidden_size, count = (size_t)o->words.num_rows;
    float *own = shares->rows + (size_t)shares->group->rank * count * row;
    for (size_t i = 0; i < count; i++)
        memcpy(own + i * row, o->gradients + (size_t)o->words.rows[i] * row, row * sizeof *own);
    return exchange_blocks(shares, shares->rows, count * row * sizeof *own, count * row * sizeof *own, err);
}

rl_status rl_shares_exchange_notes(rl_shares *shares, rl_error *err)
{
    return exchange_blocks(shares, shares->notes, sizeof *shares->notes, sizeof *shares->notes, err);
}

/* ------------------------------------------------------------------------------------------- around training */

static void gather(const rl_shares *shares, float *flat, int64_t depth)
{
    int64_t own = shares->group->rank;
    rl_piece mine = rl_shares_piece(shares, depth, own);
    if (own != 0) send(shares, 0, flat + mine.from, bytes_of(mine));
    for (int64_t r = 1; own == 0 && r < shares->count; r++) {
        rl_piece theirs = rl_shares_piece(shares, depth, r);
        receive(shares, r, flat + theirs.from, bytes_of(theirs));
    }
}

rl_status rl_shares_collect_moments(rl_shares *shares, rl_error *err)
{
    if (!shares->group) return RL_OK;
    for (int64_t depth = 0; depth <= shares->optimizer->model->config.num_layers; depth++) {
        gather(shares, shares->optimizer->m, depth);
        gather(shares, shares->optimizer->v, depth);
    }
    return rl_shares_wait(shares, err);
}

rl_status rl_shares_broadcast(const rl_train_group *group, void *data, size_t bytes, rl_error *err)
{
    for (int32_t r = 1; group->rank == 0 && r < group->size; r++) group->send(group->context, r, data, bytes);
    if (group->rank != 0) group->receive(group->context, 0, data, bytes);
    return group->wait(group->context, err);
}

rl_status rl_shares_spread(rl_shares *shares, int64_t *step, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_optimizer_state *o = shares->optimizer;
    if (!shares->group) return RL_OK;
    size_t bytes = (size_t)o->model->num_weights * sizeof(float);
    RL_TRY(rl_shares_broadcast(shares->group, step, sizeof *step, err));
    if (*step == 0) return RL_OK;
    RL_TRY(rl_shares_broadcast(shares->group, o->model->weights, bytes, err));
    RL_TRY(rl_shares_broadcast(shares->group, o->m, bytes, err));
    RL_TRY(rl_shares_broadcast(shares->group, o->v, bytes, err));
cleanup:
    return status;
}

/* Rank 0 asks one after the other, so that nothing needs memory that might be missing. */
rl_status rl_train_group_agree(const rl_train_group *group, rl_status status, rl_error *err)
{
    rl_error verdict = {.status = status}, theirs = {0};
    if (!group) return status;
    if (err && status != RL_OK) verdict = *err;
    verdict.status = status;
    if (group->rank != 0) group->send(group->context, 0, &verdict, sizeof verdict);
    rl_status lost = group->wait(group->context, err);
    for (int32_t r = 1; group->rank == 0 && r < group->size && lost == RL_OK; r++) {
        group->receive(group->context, r, &theirs, sizeof theirs);
        lost = group->wait(group->context, err);
        if (verdict.status == RL_OK) verdict = theirs;
    }
    if (lost == RL_OK) lost = rl_shares_broadcast(group, &verdict, sizeof verdict, err);
    if (lost != RL_OK) return lost;
    if (err && verdict.status != RL_OK) *err = verdict;
    return verdict.status;
}
