/* batches.c -- sentences packed end to end: a batch has no padding, so every FLOP is spent on a real token. */
#include "train_internal.h"

#include <stdlib.h>
#include <string.h>

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static int64_t sentence_length(const rl_encoded *data, int64_t s)
{
    return data->sentence_start[s + 1] - data->sentence_start[s];
}

rl_status rl_batch_bounds_of(rl_batch_bounds *out, const rl_encoded *data, int64_t sentences, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *lengths = NULL, S = data->num_sentences;
    rl_batch_bounds bounds = {.sentences = sentences < S ? sentences : S};
    RL_ALLOC(lengths, S, err);
    for (int64_t s = 0; s < S; s++) lengths[s] = sentence_length(data, s);
    qsort(lengths, (size_t)S, sizeof *lengths, descending);
    for (int64_t i = 0; i < bounds.sentences; i++) {
        bounds.tokens += lengths[i];
        bounds.attention += lengths[i] * lengths[i];
    }
    bounds.length = S ? lengths[0] : 0;
    *out = bounds;
cleanup:
    rl_free(lengths);
    return status;
}

rl_status rl_packed_batch_create(rl_packed_batch *out, rl_batch_bounds bounds, rl_error *err)
{
    rl_status status = RL_OK;
    rl_packed_batch batch = {.bounds = bounds};
    if (bounds.tokens > INT32_MAX) /* start[] is int32 */
        return rl_fail(err, RL_ERR_INPUT, "a batch of %lld tokens; expected at most %d; lower train.batch_size",
                       (long long)bounds.tokens, INT32_MAX);
    RL_ALLOC(batch.start, bounds.sentences + 1, err);
    RL_ALLOC(batch.ids, bounds.tokens, err);
    RL_ALLOC(batch.labels, bounds.tokens, err);
    *out = batch;
    return RL_OK;
cleanup:
    rl_packed_batch_clear(&batch);
    return status;
}

void rl_packed_batch_clear(rl_packed_batch *batch)
{
    rl_free(batch->start);
    rl_free(batch->ids);
    rl_free(batch->labels);
    *batch = (rl_packed_batch){0};
}

void rl_packed_batch_fill(rl_packed_batch *batch, const rl_encoded *data, const int64_t *sentence, int64_t count)
{
    int64_t T = 0, longest = 0;
    for (int64_t b = 0; b < count; b++) {
        int64_t from = data->sentence_start[sentence[b]], n = sentence_length(data, sentence[b]);
        batch->start[b] = (int32_t)T;
        memcpy(batch->ids + T, data->ids + from, (size_t)n * sizeof *batch->ids);
        if (data->labels) memcpy(batch->labels + T, data->labels + from, (size_t)n * sizeof *batch->labels);
        T += n;
        if (n > longest) longest = n;
    }
    batch->start[count] = (int32_t)T;
    batch->view = (rl_batch){.num_sentences = count,
                             .num_tokens = T,
                             .max_length = longest,
                             .start = batch->start,
                             .ids = batch->ids,
                             .labels = data->labels ? batch->labels : NULL};
}

static rl_status check_sentence(const rl_encoded *data, const rl_model_config *config, int64_t s, rl_error *err)
{
    int64_t length = sentence_length(data, s);
    if (length < 1 || length > config->max_positions)
        return rl_fail(err, RL_ERR_INPUT, "sentence %lld has %lld tokens; the model takes 1 to %lld", (long long)s + 1,
                       (long long)length, (long long)config->max_positions);
    for (int64_t t = data->sentence_start[s]; t < data->sentence_start[s + 1]; t++) {
        if (data->ids[t] < 0 || data->ids[t] >= config->vocab_size)
            return rl_fail(err, RL_ERR_INPUT, "sentence %lld: token id %d; the model's vocabulary has 0 to %lld",
                           (long long)s + 1, data->ids[t], (long long)config->vocab_size - 1);
        if (data->labels && data->labels[t] != RL_IGNORE_LABEL &&
            (data->labels[t] < 0 || data->labels[t] >= config->num_labels))
            return rl_fail(err, RL_ERR_INPUT, "sentence %lld: label id %d; the model has labels 0 to %lld",
                           (long long)s + 1, data->labels[t], (long long)config->num_labels - 1);
    }
    return RL_OK;
}

rl_status rl_encoded_check(const rl_encoded *data, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    if (data->num_sentences < 1) return rl_fail(err, RL_ERR_INPUT, "no sentence in the data; expected at least one");
    for (int64_t s = 0; s < data->num_sentences; s++) RL_TRY(check_sentence(data, &model->config, s, err));
cleanup:
    return status;
}
