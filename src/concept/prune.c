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

int64_t rl_prune_scope_size(const rl_prune_scope *scope)
{
    int64_t layers = 0;
    for (int64_t l = 0; l < scope->num_layers; l++) layers += !scope->layers || scope->layers[l];
    return layers * scope->layer_size;
}

int64_t rl_prune_scope_count(const rl_prune_scope *scope, rl_protocol protocol, double ratio)
{
    int64_t N = scope->num_layers * scope->layer_size, size = rl_prune_scope_size(scope);
    int64_t own = scope->in_blocks && protocol == RL_PROTOCOL_HEAD ? N / 2 : own_count(protocol, scope->num_layers - 1, scope->layer_size);
    if (ratio < 0) return size == N ? own : (int64_t)floor((double)own * (double)size / (double)N + 0.5);
    return ratio >= 1 ? size : (int64_t)floor(ratio * (double)size + 0.5);
}

/* ------------------------------------------------------------------------------------------------- which */

const char *const rl_prune_select_names[RL_NUM_PRUNE_SELECTS + 1] = {
    [RL_SELECT_CONCEPT] = "concept", [RL_SELECT_RANDOM] = "random",
    [RL_SELECT_LEAST] = "least",     [RL_SELECT_NONE] = "none",
    [RL_SELECT_RANDOM_MATCHED] = "random_matched", [RL_SELECT_LEAST_MATCHED] = "least_matched",
};

static void take(int32_t *ids, int64_t count, const int32_t *order, int64_t N, bool front)
{
    for (int64_t i = 0; i < count; i++) ids[i] = order[front ? i : N - count + i];
}

/* HEAD shuffles ids 0..count-1 and prunes them all: its baseline is one fixed set (protocol §7.3). ids [count] index the
 * neurons that may be pruned, N of them in ascending order. */
static rl_status take_random(int32_t *ids, int64_t count, const int32_t *allowed, int64_t N, rl_protocol protocol,
                             uint64_t seed, uint32_t stream, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *chosen = NULL;
    if (protocol != RL_PROTOCOL_CORRECTED) {
        for (int64_t i = 0; i < count; i++) ids[i] = allowed[i];
        return RL_OK;
    }
    RL_ALLOC(chosen, count, err);
    RL_TRY(rl_rng_choose(seed, RL_PURPOSE_PRUNE, stream, 0, N, count, chosen, err));
    for (int64_t i = 0; i < count; i++) ids[i] = allowed[chosen[i]];
cleanup:
    rl_free(chosen);
    return status;
}

/* The neurons of `order` (NULL: by id) in layers [first, last), order kept. Returns how many. */
static int64_t only_layers(int32_t *kept, const int32_t *order, const rl_prune_scope *scope, int64_t first, int64_t last)
{
    int64_t n = 0, N = scope->num_layers * scope->layer_size;
    for (int64_t i = 0; i < N; i++) {
        int32_t id = order ? order[i] : (int32_t)i;
        int64_t layer = id / scope->layer_size;
        if (layer >= first && layer < last && (!scope->layers || scope->layers[layer])) kept[n++] = id;
    }
    return n;
}

static int by_id(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Layer by layer as many as the concept selection (concept [count]) has there. scratch [layer_size] */
static rl_status take_matched(int32_t *ids, int64_t count, const int32_t *concept, const int32_t *order,
                              const rl_prune_scope *scope, bool random, bool front, int32_t *scratch, uint64_t seed,
                              rl_error *err)
{
    rl_status status = RL_OK;
    int64_t taken = 0;
    for (int64_t l = 0; l < scope->num_layers; l++) {
        int64_t wanted = 0, n = only_layers(scratch, order, scope, l, l + 1);
        for (int64_t i = 0; i < count; i++) wanted += concept[i] / scope->layer_size == l;
        if (wanted == 0) continue;
        if (random) {
            qsort(scratch, (size_t)n, sizeof *scratch, by_id);
            RL_TRY(take_random(ids + taken, wanted, scratch, n, RL_PROTOCOL_CORRECTED, seed, (uint32_t)l + 1, err));
        } else {
            take(ids + taken, wanted, scratch, n, !front);
        }
        taken += wanted;
    }
cleanup:
    return status;
}

static rl_status check_count(int64_t count, int64_t size, rl_prune_select select, rl_error *err)
{
    if (count < 0 || count > size)
        return rl_fail(err, RL_ERR_INPUT, "cannot prune %" PRId64 " of %" PRId64 " neurons; expected 0 to %" PRId64,
                       count, size, size);
    if (select == RL_SELECT_NONE && count != 0)
        return rl_fail(err, RL_ERR_INPUT, "select none prunes nothing, but %" PRId64 " neurons were asked for", count);
    return RL_OK;
}

rl_status rl_prune_choose(int32_t *ids, int64_t count, const int32_t *order, const rl_prune_scope *scope,
                          rl_prune_select select, rl_protocol protocol, uint64_t seed, rl_error *err)
{
    rl_status status = RL_OK;
    bool front = protocol != RL_PROTOCOL_HEAD; /* HEAD takes a descending ranking's tail as the most important */
    int32_t *allowed = NULL, *concept = NULL, *scratch = NULL;
    int64_t N = rl_prune_scope_size(scope);
    RL_TRY(check_count(count, N, select, err));
    RL_ALLOC(allowed, N, err);
    RL_ALLOC(concept, count, err);
    RL_ALLOC(scratch, scope->layer_size, err);
    only_layers(allowed, order, scope, 0, scope->num_layers);
    take(concept, count, allowed, N, front);
    switch (select) {
    case RL_SELECT_CONCEPT: take(ids, count, allowed, N, front); break;
    case RL_SELECT_LEAST: take(ids, count, allowed, N, !front); break;
    case RL_SELECT_RANDOM:
        qsort(allowed, (size_t)N, sizeof *allowed, by_id);
        RL_TRY(take_random(ids, count, allowed, N, protocol, seed, 0, err));
        break;
    case RL_SELECT_RANDOM_MATCHED:
    case RL_SELECT_LEAST_MATCHED:
        RL_TRY(take_matched(ids, count, concept, order, scope, select == RL_SELECT_RANDOM_MATCHED, front, scratch, seed, err));
        break;
    case RL_SELECT_NONE:
    case RL_NUM_PRUNE_SELECTS: break;
    }
cleanup:
    rl_free(allowed);
    rl_free(concept);
    rl_free(scratch);
    return status;
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
