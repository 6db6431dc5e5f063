/* activations.c -- all words of a corpus through the model, one layer of everything after the other (design §4).
 *
 * The hidden states of the whole corpus, [T, C], are moved up in place, batch by batch; after each layer sub-words are
 * averaged into [W, C] and shown to the visitor. Batches are runs of whole sentences in corpus order, cut by length
 * alone: the last bits of a matrix product may depend on its height, so the cut is a pure function of the data. */
#include "concept_internal.h"

#include <inttypes.h>
#include <string.h>

#define BATCH_TOKENS 512 /* tall enough for the products' full rate, small enough to stay in the second-level cache */

/* The batch that begins at sentence `first` ends before the returned one. */
static int64_t batch_end(const rl_encoded *data, int64_t first)
{
    int64_t end = first + 1;
    while (end < data->num_sentences && data->sentence_start[end + 1] - data->sentence_start[first] <= BATCH_TOKENS)
        end++;
    return end;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void measure_batches(rl_pass *p)
{
    const int64_t *start = p->data->sentence_start;
    for (int64_t first = 0, end; first < p->data->num_sentences; first = end) {
        int64_t attention = 0;
        end = batch_end(p->data, first);
        for (int64_t s = first; s < end; s++) attention += (start[s + 1] - start[s]) * (start[s + 1] - start[s]);
        p->max_tokens = larger(p->max_tokens, start[end] - start[first]);
        p->max_sentences = larger(p->max_sentences, end - first);
        p->max_attention = larger(p->max_attention, attention);
    }
}

static rl_batch make_batch(rl_pass *p, int64_t first, int64_t end)
{
    const int64_t *start = p->data->sentence_start;
    rl_batch batch = {.num_sentences = end - first,
                      .num_tokens = start[end] - start[first],
                      .start = p->start,
                      .ids = p->data->ids + start[first]};
    for (int64_t s = first; s <= end; s++) p->start[s - first] = (int32_t)(start[s] - start[first]);
    for (int64_t s = first; s < end; s++) batch.max_length = larger(batch.max_length, start[s + 1] - start[s]);
    return batch;
}

/* words [W, width] += the rows of x [n, width], tokens first .. first + n - 1. */
static void add_tokens(float *words, const float *x, const rl_encoded *data, int64_t first, int64_t n, int64_t width)
{
    for (int64_t t = 0; t < n; t++) {
        if (data->word[first + t] < 0) continue;
        float *word = words + data->word[first + t] * width;
        const float *token = x + t * width;
        for (int64_t c = 0; c < width; c++) word[c] += token[c];
    }
}

static void divide_words(float *words, const rl_pass *p, int64_t width)
{
    for (int64_t w = 0; w < p->data->num_words; w++)
        if (p->pieces[w] > 1)
            for (int64_t c = w * width; c < (w + 1) * width; c++) words[c] /= (float)p->pieces[w];
}

static void clear_words(float *words, const rl_pass *p, int64_t width)
{
    memset(words, 0, (size_t)(p->data->num_words * width) * sizeof *words);
}

rl_status rl_pass_advance(rl_pass *p, int64_t state, rl_error *err)
{
    int64_t C = p->model->config.hidden_size, layer = state - 1;
    bool watch = p->unit_width > 0 && layer >= 0;
    if (watch) clear_words(p->unit_words, p, p->unit_width);
    for (int64_t first = 0, end; first < p->data->num_sentences; first = end) {
        end = batch_end(p->data, first);
        rl_batch batch = make_batch(p, first, end);
        int64_t token = p->data->sentence_start[first];
        float *hidden = p->hidden + token * C;
        if (rl_work_should_stop()) return rl_fail(err, RL_ERR_STOPPED, "stopped on request during the activation pass");
        if (layer < 0)
            rl_model_embed(p->model, p->workspace, &batch, hidden);
        else
            rl_model_block(p->model, p->workspace, &batch, layer, hidden);
        if (watch) add_tokens(p->unit_words, p->units, p->data, token, batch.num_tokens, p->unit_width);
    }
    if (watch) divide_words(p->unit_words, p, p->unit_width);
    return RL_OK;
}

/* NeuroX's aggregation "average": float32 sums in order, then / k; no sub-word: zeros (protocol §5.4). */
void rl_pass_average_words(rl_pass *p)
{
    int64_t C = p->model->config.hidden_size;
    clear_words(p->words, p, C);
    add_tokens(p->words, p->hidden, p->data, 0, p->data->num_tokens, C);
    divide_words(p->words, p, C);
}

rl_status rl_check_vocabulary(int32_t id, int64_t vocab_size, rl_error *err)
{
    if (id >= 0 && id < vocab_size) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "the tokenizer gives id %" PRId32 ", but the model's vocabulary has %" PRId64
                   " entries; expected the tokenizer the model was trained with",
                   id, vocab_size);
}

static rl_status count_pieces(rl_pass *p, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t V = p->model->config.vocab_size;
    for (int64_t t = 0; t < p->data->num_tokens; t++) {
        RL_TRY(rl_check_vocabulary(p->data->ids[t], V, err));
        RL_REQUIRE(p->data->word[t] < p->data->num_words, err);
        if (p->data->word[t] >= 0) p->pieces[p->data->word[t]]++;
    }
cleanup:
    return status;
}

rl_status rl_pass_begin(rl_pass *p, const rl_model *model, const rl_encoded *data, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = model->config.hidden_size;
    p->model = model;
    p->data = data;
    RL_REQUIRE(data->num_sentences > 0 && data->num_words > 0, err);
    RL_REQUIRE(data->max_length <= model->config.max_positions, err);
    measure_batches(p);
    RL_TRY(rl_workspace_create(&p->workspace, p->model, p->max_tokens, p->max_sentences, p->data->max_length,
                               p->max_attention, false, err));
    RL_ALLOC(p->hidden, p->data->num_tokens * C, err);
    RL_ALLOC(p->words, p->data->num_words * C, err);
    RL_ALLOC(p->pieces, p->data->num_words, err);
    RL_ALLOC(p->start, p->max_sentences + 1, err);
    RL_TRY(count_pieces(p, err));
cleanup:
    return status;
}

rl_status rl_pass_watch(rl_pass *p, rl_unit_site site, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t width = site == RL_UNIT_FFN ? p->model->config.intermediate_size : p->model->config.hidden_size;
    RL_ALLOC(p->units, p->max_tokens * width, err);
    RL_ALLOC(p->unit_words, p->data->num_words * width, err);
    p->unit_width = width;
    rl_workspace_watch(p->workspace, site, p->units);
cleanup:
    return status;
}

void rl_pass_end(rl_pass *p)
{
    rl_free(p->units);
    rl_free(p->unit_words);
    rl_workspace_free(p->workspace);
    rl_free(p->hidden);
    rl_free(p->words);
    rl_free(p->pieces);
    rl_free(p->start);
}

rl_status rl_activations_visit(const rl_model *model, const rl_encoded *data, rl_layer_visitor *visit, void *context,
                               rl_error *err)
{
    rl_status status = RL_OK;
    rl_pass p = {0};
    RL_TRY(rl_pass_begin(&p, model, data, err));
    for (int64_t layer = 0; layer <= model->config.num_layers; layer++) {
        RL_TRY(rl_pass_advance(&p, layer, err));
        rl_pass_average_words(&p);
        RL_TRY(visit(context, layer, p.words, data->num_words, model->config.hidden_size, err));
    }
cleanup:
    rl_pass_end(&p);
    return status;
}

rl_status rl_units_visit(const rl_model *model, const rl_encoded *data, rl_unit_site site, rl_layer_visitor *visit, void *context,
                         rl_error *err)
{
    rl_status status = RL_OK;
    rl_pass p = {0};
    RL_REQUIRE(site == RL_UNIT_FFN || site == RL_UNIT_HEAD, err);
    RL_TRY(rl_pass_begin(&p, model, data, err));
    RL_TRY(rl_pass_watch(&p, site, err));
    for (int64_t state = 0; state <= model->config.num_layers; state++) {
        RL_TRY(rl_pass_advance(&p, state, err));
        if (state > 0) RL_TRY(visit(context, state - 1, p.unit_words, data->num_words, p.unit_width, err));
    }
cleanup:
    rl_pass_end(&p);
    return status;
}
