/* token_classifier.c -- the whole model on a packed batch: encoder, head dropout, one linear layer, cross-entropy.
 *
 * logits = classifier(dropout(hidden_L)); loss = mean over labelled tokens (protocol §2.1). */
#include "model_internal.h"

#include <assert.h>
#include <math.h>
#include <string.h>

rl_status rl_batch_check(const rl_model *model, const rl_workspace *workspace, const rl_batch *batch, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_model_config *config = &model->config;
    RL_REQUIRE(batch->num_sentences > 0 && batch->num_tokens > 0 && batch->start[0] == 0, err);
    RL_REQUIRE(batch->start[batch->num_sentences] == batch->num_tokens, err);
    RL_REQUIRE(batch->num_sentences <= workspace->max_sentences && batch->num_tokens <= workspace->max_tokens, err);
    RL_REQUIRE(batch->max_length <= workspace->max_length, err);
    if (batch->max_length > config->max_positions)
        return rl_fail(err, RL_ERR_INPUT, "a sentence has %lld tokens; the model has %lld positions",
                       (long long)batch->max_length, (long long)config->max_positions);
    for (int64_t s = 0; s < batch->num_sentences; s++) {
        int64_t n = batch->start[s + 1] - batch->start[s];
        RL_REQUIRE(n > 0 && n <= batch->max_length, err);
    }
    RL_REQUIRE(!workspace->training ||
                   rl_attention_probs_count(batch->start, batch->num_sentences, 1) <= workspace->max_attention,
               err);
    for (int64_t t = 0; t < batch->num_tokens; t++) {
        if (batch->ids[t] < 0 || batch->ids[t] >= config->vocab_size)
            return rl_fail(
                err, RL_ERR_INPUT,
                "token id %d; the model's vocabulary has ids 0 to %lld (tokenizer and model do not belong together)",
                (int)batch->ids[t], (long long)config->vocab_size - 1);
        if (batch->labels && batch->labels[t] != RL_IGNORE_LABEL &&
            (batch->labels[t] < 0 || batch->labels[t] >= config->num_labels))
            return rl_fail(err, RL_ERR_INPUT, "label id %d; the model has labels 0 to %lld", (int)batch->labels[t],
                           (long long)config->num_labels - 1);
    }
cleanup:
    return status;
}

const float *rl_model_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch,
                              const rl_model_dropout *dropout)
{
    const rl_model_config *config = &model->config;
    int64_t T = batch->num_tokens, C = config->hidden_size, L = config->num_layers;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_HEAD, 0);
    const float *head_input = w->hidden[L];
    assert(w->training || !dropout);
    rl_embedding_layer_forward(model, w, batch, w->hidden[0], dropout);
    for (int64_t layer = 0; layer < L; layer++)
        rl_block_forward(model, w, batch, layer, w->hidden[layer + 1], w->hidden[layer], dropout);
    if (drop.p > 0) {
        rl_dropout_apply(w->head_input, head_input, T * C, drop);
        head_input = w->head_input;
    }
    rl_linear_forward(w->logits, head_input, rl_weight(model, RL_ROLE_HEAD_WEIGHT, 0),
                      rl_weight(model, RL_ROLE_HEAD_BIAS, 0), T, config->num_labels, C);
    return w->logits;
}

/* Flat arrays are summed whole (gradient norm), so what lies between tensors must be zero in gradients too. */
static void clear_padding(const rl_model *model, float *gradients)
{
    for (int64_t i = 0; i < model->num_parameters; i++) {
        int64_t end = model->parameters[i].offset + model->parameters[i].count;
        int64_t next = i + 1 < model->num_parameters ? model->parameters[i + 1].offset : model->num_weights;
        if (next > end) memset(gradients + end, 0, (size_t)(next - end) * sizeof *gradients);
    }
}

static void head_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *gradients,
                          const rl_model_dropout *dropout)
{
    const rl_model_config *config = &model->config;
    int64_t T = batch->num_tokens, C = config->hidden_size;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_HEAD, 0);
    const float *head_input = drop.p > 0 ? w->head_input : w->hidden[config->num_layers];
    rl_linear_backward(w->dhidden, rl_tensor(model, gradients, RL_ROLE_HEAD_WEIGHT, 0),
                       rl_tensor(model, gradients, RL_ROLE_HEAD_BIAS, 0), w->dlogits, head_input,
                       rl_weight(model, RL_ROLE_HEAD_WEIGHT, 0), T, config->num_labels, C, false);
    if (drop.p > 0) rl_dropout_apply(w->dhidden, w->dhidden, T * C, drop);
}

/* The mean over the whole's labelled tokens is the mean over the share's times their part of them. */
static double weigh_share(const rl_model *model, rl_workspace *w, const rl_batch *batch, double loss)
{
    int64_t T = batch->num_tokens, K = model->config.num_labels, own = 0;
    if (batch->num_labelled == 0) return loss;
    for (int64_t t = 0; t < T; t++) own += batch->labels[t] != RL_IGNORE_LABEL;
    double part = (double)own / (double)batch->num_labelled;
    for (int64_t i = 0; i < T * K; i++) w->dlogits[i] *= (float)part;
    return own ? loss * part : 0; /* without a labelled token the share's own mean is NaN, its gradient 0 */
}

double rl_model_backward_by_depth(const rl_model *model, rl_workspace *w, const rl_batch *batch,
                                  const rl_model_dropout *dropout, float *gradients,
                                  const rl_gradient_listener *listener)
{
    double loss = rl_cross_entropy(w->dlogits, w->logits, batch->labels, batch->num_tokens, model->config.num_labels);
    assert(w->training);
    loss = weigh_share(model, w, batch, loss);
    clear_padding(model, gradients);
    head_backward(model, w, batch, gradients, dropout);
    for (int64_t layer = model->config.num_layers - 1; layer >= 0; layer--) {
        rl_block_backward(model, w, batch, layer, w->dhidden, gradients, dropout);
        if (listener) listener->on_final(listener->context, layer + 1);
    }
    rl_embedding_layer_backward(model, w, batch, w->dhidden, gradients, dropout);
    if (listener) listener->on_final(listener->context, 0);
    return loss;
}

double rl_model_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, const rl_model_dropout *dropout,
                         float *gradients)
{
    return rl_model_backward_by_depth(model, w, batch, dropout, gradients, NULL);
}

void rl_model_embed(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *hidden)
{
    rl_embedding_layer_forward(model, w, batch, hidden, NULL);
}

void rl_model_block(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *hidden)
{
    rl_block_forward(model, w, batch, layer, hidden, hidden, NULL);
}

double rl_model_training_flops(const rl_model_config *config, double tokens, double attention)
{
    double C = (double)config->hidden_size, F = (double)config->intermediate_size, L = (double)config->num_layers;
    double matmul_parameters = L * (4 * C * C + 2 * C * F) + (double)config->num_labels * C;
    /* a product of 2mnk forward costs twice that backward; QK^T and PV are 2 n^2 C each */
    return 6 * matmul_parameters * tokens + 12 * L * C * attention;
}
