/* prune.c -- which neurons to remove, and the LayerNorm weights that carry them (protocol §7, §14.1-4). */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>

/* ---------------------------------------------------------------------------------------------- how many */

/* published: 3,000 of DistilBERT's 5,376, and in proportion elsewhere; head: 768 * 6 // 2; corrected: the half that the
 * paper speaks of (protocol §14.2). */
static int64_t own_count(rl_protocol protocol, int64_t num_layers, int64_t C)
{
    int64_t N = (num_layers + 1) * C;
    if (protocol == RL_PROTOCOL_PUBLISHED) return (3000 * N + 5376 / 2) / 5376;
    return protocol == RL_PROTOCOL_HEAD ? num_layers * C / 2 : (N + 1) / 2;
}

int64_t rl_prune_count(rl_protocol protocol, double ratio, int64_t num_layers, int64_t hidden_size)
{
    int64_t N = (num_layers + 1) * hidden_size;
    if (ratio < 0) return own_count(protocol, num_layers, hidden_size);
    return ratio >= 1 ? N : (int64_t)floor(ratio * (double)N + 0.5);
}

/* ------------------------------------------------------------------------------------------------- which */

static void take(int32_t *ids, int64_t count, const int32_t *order, int64_t N, bool front)
{
    for (int64_t i = 0; i < count; i++) ids[i] = order[front ? i : N - count + i];
}

/* HEAD shuffles ids 0..count-1 and prunes them all: its baseline is one fixed set (protocol §7.3). */
static rl_status take_random(int32_t *ids, int64_t count, int64_t N, rl_protocol protocol, uint64_t seed, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *chosen = NULL;
    if (protocol != RL_PROTOCOL_CORRECTED) {
        for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)i;
        return RL_OK;
    }
    RL_ALLOC(chosen, count, err);
    RL_TRY(rl_rng_choose(seed, RL_PURPOSE_PRUNE, 0, 0, N, count, chosen, err));
    for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)chosen[i];
cleanup:
    rl_free(chosen);
    return status;
}

rl_status rl_prune_choose(int32_t *ids, int64_t count, const int32_t *order, int64_t N, rl_prune_select select,
                          rl_protocol protocol, uint64_t seed, rl_error *err)
{
    bool front = protocol != RL_PROTOCOL_HEAD; /* HEAD takes a descending ranking's tail as the most important */
    if (count < 0 || count > N)
        return rl_fail(err, RL_ERR_INPUT, "cannot prune %" PRId64 " of %" PRId64 " neurons; expected 0 to %" PRId64,
                       count, N, N);
    if (select == RL_SELECT_NONE && count != 0)
        return rl_fail(err, RL_ERR_INPUT, "select none prunes nothing, but %" PRId64 " neurons were asked for", count);
    if (select == RL_SELECT_RANDOM) return take_random(ids, count, N, protocol, seed, err);
    if (select != RL_SELECT_NONE) take(ids, count, order, N, select == RL_SELECT_CONCEPT ? front : !front);
    return RL_OK;
}

/* ------------------------------------------------------------------------------------------------- where */

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t without_repeats(int64_t *offsets, int64_t n)
{
    int64_t kept = 0;
    qsort(offsets, (size_t)n, sizeof *offsets, ascending);
    for (int64_t i = 0; i < n; i++)
        if (!kept || offsets[kept - 1] != offsets[i]) offsets[kept++] = offsets[i];
    return kept;
}

rl_status rl_prune_offsets(int64_t *offsets, int64_t *num_offsets, const rl_model *model, const int32_t *ids,
                           int64_t count, bool wrap_embeddings, bool zero_beta, rl_error *err)
{
    int64_t C = model->config.hidden_size, L = model->config.num_layers, n = 0;
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= (L + 1) * C)
            return rl_fail(err, RL_ERR_INPUT, "neuron %" PRId32 " does not exist; expected 0 to %" PRId64, ids[i],
                           (L + 1) * C - 1);
    for (int64_t i = 0; i < count; i++) {
        int64_t layer = ids[i] / C, unit = ids[i] % C;
        rl_norm_offsets norm = rl_model_norm_of_hidden_state(model, layer == 0 && wrap_embeddings ? L : layer);
        offsets[n++] = norm.gamma + unit;
        if (zero_beta) offsets[n++] = norm.beta + unit;
    }
    *num_offsets = without_repeats(offsets, n);
    return RL_OK;
}

void rl_prune_apply(rl_model *model, const int64_t *offsets, int64_t num_offsets)
{
    for (int64_t i = 0; i < num_offsets; i++) model->weights[offsets[i]] = 0.0f;
}
