/* split.c -- a batch in shares of about as many tokens each: which sentence is whose. */
#include "train_internal.h"

static int64_t length_of(const rl_encoded *data, int64_t s) { return data->sentence_start[s + 1] - data->sentence_start[s]; }

/* Places of the batch by falling length, equals in their order. Insertion: batches are short, and nothing is allocated. */
static void order_by_length(int64_t *order, const rl_encoded *data, const int64_t *sentence, int64_t count)
{
    for (int64_t b = 0; b < count; b++) {
        int64_t at = b, length = length_of(data, sentence[b]);
        for (; at > 0 && length_of(data, sentence[order[at - 1]]) < length; at--) order[at] = order[at - 1];
        order[at] = b;
    }
}

/* Longest processing time first (Graham 1969): no share exceeds the average by more than its last sentence. */
void rl_split_batch(int32_t *share_of, const rl_encoded *data, const int64_t *sentence, int64_t count, int64_t num_shares,
                    int64_t *order, int64_t *tokens)
{
    order_by_length(order, data, sentence, count);
    for (int64_t s = 0; s < num_shares; s++) tokens[s] = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t least = 0;
        for (int64_t s = 1; s < num_shares; s++)
            if (tokens[s] < tokens[least]) least = s;
        share_of[order[i]] = (int32_t)least;
        tokens[least] += length_of(data, sentence[order[i]]);
    }
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

rl_batch_bounds rl_share_bounds(rl_batch_bounds bounds, int64_t num_shares)
{
    int64_t tokens = smaller(bounds.tokens, bounds.tokens / num_shares + bounds.length); /* as above */
    return (rl_batch_bounds){.tokens = tokens,
                             .sentences = bounds.sentences,
                             .length = bounds.length,
                             .attention = smaller(bounds.attention, tokens * bounds.length)};
}

uint64_t rl_share_seed(uint64_t seed, int64_t share)
{
    return share == 0 ? seed : rl_rng_bits(seed, RL_PURPOSE_SHARE_SEED, (uint32_t)share, 0, 0);
}
