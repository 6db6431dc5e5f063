/* encoder.c -- the post-LN encoder of BERT and DistilBERT: embeddings and blocks, forward and backward side by side.
 *
 *   h0 = dropout(LN(word + position [+ type 0]))
 *   a  = Wo attention(Wqkv x + b);  m = LN1(x + dropout(a + bo))
 *   f  = W2 gelu(W1 m + b1);        y = LN2(m + dropout(f + b2))            (protocol §2.2; sites missing there are
 * off)
 *
 * Gradients are written, never accumulated; the residual stream's gradient lives in one array that each step turns in
 * place. */
#include "model_internal.h"

#include <assert.h>

/* ------------------------------------------------------------------------------------------- dropout */

rl_dropout rl_dropout_at(const rl_model *model, const rl_model_dropout *dropout, rl_site site, int64_t layer)
{
    const rl_model_config *config = &model->config;
    rl_dropout out = rl_dropout_none();
    if (!dropout || !(config->architecture->dropout_sites >> site & 1u)) return out;
    out.p = site == RL_SITE_ATTENTION_PROBS ? config->dropout_attention
            : site == RL_SITE_HEAD          ? config->dropout_head
                                            : config->dropout_hidden;
    if (dropout->override_rate >= 0) out.p = dropout->override_rate;
    rl_rng_key(dropout->seed, RL_PURPOSE_DROPOUT, out.key);
    out.step = dropout->step;
    out.stream = (uint32_t)layer * 16 + (uint32_t)site;
    return out;
}

/* dy behind a dropout: the same mask on the gradient. Uses buffer only when the site drops anything. */
static const float *behind_dropout(const float *dy, float *buffer, int64_t n, rl_dropout dropout)
{
    if (dropout.p <= 0) return dy;
    rl_dropout_apply(buffer, dy, n, dropout);
    return buffer;
}

/* ---------------------------------------------------------------------------------------- embeddings */

void rl_embedding_layer_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *hidden,
                                const rl_model_dropout *dropout)
{
    int64_t T = batch->num_tokens, C = model->config.hidden_size;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_EMBEDDING, 0);
    const float *type0 = rl_has_role(model, RL_ROLE_TYPE) ? rl_weight(model, RL_ROLE_TYPE, 0) : NULL;
    assert(T <= w->max_tokens && batch->max_length <= w->max_length);
    rl_embedding_forward(w->embedding_sum, rl_weight(model, RL_ROLE_WORD, 0), rl_weight(model, RL_ROLE_POSITION, 0),
                         type0, batch->ids, batch->start, batch->num_sentences, C);
    rl_layer_norm_forward(hidden, w->embedding_mean, w->embedding_rstd, w->embedding_sum,
                          rl_weight(model, RL_ROLE_EMBEDDING_GAMMA, 0), rl_weight(model, RL_ROLE_EMBEDDING_BETA, 0), T,
                          C, model->config.layer_norm_eps);
    if (drop.p > 0) rl_dropout_apply(hidden, hidden, T * C, drop);
}

void rl_embedding_layer_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *dstream,
                                 float *gradients, const rl_model_dropout *dropout)
{
    const rl_model_config *config = &model->config;
    int64_t T = batch->num_tokens, C = config->hidden_size;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_EMBEDDING, 0);
    float *dtype = rl_has_role(model, RL_ROLE_TYPE) ? rl_tensor(model, gradients, RL_ROLE_TYPE, 0) : NULL;
    if (drop.p > 0) rl_dropout_apply(dstream, dstream, T * C, drop);
    rl_layer_norm_backward(dstream, rl_tensor(model, gradients, RL_ROLE_EMBEDDING_GAMMA, 0),
                           rl_tensor(model, gradients, RL_ROLE_EMBEDDING_BETA, 0), dstream, w->embedding_sum,
                           w->embedding_mean, w->embedding_rstd, rl_weight(model, RL_ROLE_EMBEDDING_GAMMA, 0), T, C);
    rl_embedding_backward(rl_tensor(model, gradients, RL_ROLE_WORD, 0),
                          rl_tensor(model, gradients, RL_ROLE_POSITION, 0), dtype, dtype ? config->type_vocab_size : 0,
                          dstream, batch->ids, batch->start, batch->num_sentences, C, config->vocab_size,
                          config->max_positions, config->pad_token_id, batch->rows, batch->num_rows);
}

/* ------------------------------------------------------------------------------------------- attention */

/* In an eval workspace only one sentence's probabilities fit, so sentences go one at a time; same kernel, same bits. */
static void attend(const rl_model *model, rl_workspace *w, const rl_batch *batch, rl_block_buffers *b, rl_dropout drop)
{
    int64_t H = model->config.num_heads, D = model->config.hidden_size / H;
    if (w->training) {
        rl_attention_forward(b->context, b->probs, b->qkv, batch->start, batch->num_sentences, H, D, drop,
                             w->attention_scratch);
        return;
    }
    assert(drop.p <= 0);
    for (int64_t s = 0; s < batch->num_sentences; s++)
        rl_attention_forward(b->context, b->probs, b->qkv, batch->start + s, 1, H, D, rl_dropout_none(),
                             w->attention_scratch);
}

static void attention_half_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                   const float *x, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size;
    rl_linear_forward(b->qkv, x, rl_weight(model, RL_ROLE_QUERY_WEIGHT, layer),
                      rl_weight(model, RL_ROLE_QUERY_BIAS, layer), T, 3 * C, C);
    attend(model, w, batch, b, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_PROBS, layer));
    rl_linear_forward(b->sum1, b->context, rl_weight(model, RL_ROLE_ATTENTION_OUT_WEIGHT, layer), NULL, T, C, C);
    rl_residual_layer_norm_forward(
        b->middle, b->sum1, b->mean1, b->rstd1, b->sum1, rl_weight(model, RL_ROLE_ATTENTION_OUT_BIAS, layer), x,
        rl_weight(model, RL_ROLE_ATTENTION_GAMMA, layer), rl_weight(model, RL_ROLE_ATTENTION_BETA, layer), T, C,
        model->config.layer_norm_eps, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer));
}

/* dstream: d(middle) in, d(x) out. */
static void attention_half_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                    float *dstream, float *gradients, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, H = model->config.num_heads;
    float *dqkv = w->wide, *dcontext = w->wide + 3 * T * C;
    const float *da;
    rl_layer_norm_backward(dstream, rl_tensor(model, gradients, RL_ROLE_ATTENTION_GAMMA, layer),
                           rl_tensor(model, gradients, RL_ROLE_ATTENTION_BETA, layer), dstream, b->sum1, b->mean1,
                           b->rstd1, rl_weight(model, RL_ROLE_ATTENTION_GAMMA, layer), T, C);
    da = behind_dropout(dstream, w->head_input, T * C, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer));
    rl_linear_backward(dcontext, rl_tensor(model, gradients, RL_ROLE_ATTENTION_OUT_WEIGHT, layer),
                       rl_tensor(model, gradients, RL_ROLE_ATTENTION_OUT_BIAS, layer), da, b->context,
                       rl_weight(model, RL_ROLE_ATTENTION_OUT_WEIGHT, layer), T, C, C, false);
    rl_attention_backward(dqkv, dcontext, b->qkv, b->probs, batch->start, batch->num_sentences, H, C / H,
                          rl_dropout_at(model, dropout, RL_SITE_ATTENTION_PROBS, layer), w->attention_scratch);
    rl_linear_backward(dstream, rl_tensor(model, gradients, RL_ROLE_QUERY_WEIGHT, layer),
                       rl_tensor(model, gradients, RL_ROLE_QUERY_BIAS, layer), dqkv, w->hidden[layer],
                       rl_weight(model, RL_ROLE_QUERY_WEIGHT, layer), T, 3 * C, C, true);
}

/* ---------------------------------------------------------------------------------------- feed-forward */

static void ffn_half_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *y,
                             const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, F = model->config.intermediate_size;
    rl_linear_forward(b->pre, b->middle, rl_weight(model, RL_ROLE_FFN_IN_WEIGHT, layer), NULL, T, F, C);
    rl_bias_gelu_forward(b->gelu, b->pre, b->pre, rl_weight(model, RL_ROLE_FFN_IN_BIAS, layer), T, F);
    rl_linear_forward(b->sum2, b->gelu, rl_weight(model, RL_ROLE_FFN_OUT_WEIGHT, layer), NULL, T, C, F);
    rl_residual_layer_norm_forward(
        y, b->sum2, b->mean2, b->rstd2, b->sum2, rl_weight(model, RL_ROLE_FFN_OUT_BIAS, layer), b->middle,
        rl_weight(model, RL_ROLE_OUTPUT_GAMMA, layer), rl_weight(model, RL_ROLE_OUTPUT_BETA, layer), T, C,
        model->config.layer_norm_eps, rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
}

/* dstream: d(y) in, d(middle) out. */
static void ffn_half_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                              float *dstream, float *gradients, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, F = model->config.intermediate_size;
    float *dpre = w->wide;
    const float *df;
    rl_layer_norm_backward(dstream, rl_tensor(model, gradients, RL_ROLE_OUTPUT_GAMMA, layer),
                           rl_tensor(model, gradients, RL_ROLE_OUTPUT_BETA, layer), dstream, b->sum2, b->mean2,
                           b->rstd2, rl_weight(model, RL_ROLE_OUTPUT_GAMMA, layer), T, C);
    df = behind_dropout(dstream, w->head_input, T * C, rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
    rl_linear_backward(dpre, rl_tensor(model, gradients, RL_ROLE_FFN_OUT_WEIGHT, layer),
                       rl_tensor(model, gradients, RL_ROLE_FFN_OUT_BIAS, layer), df, b->gelu,
                       rl_weight(model, RL_ROLE_FFN_OUT_WEIGHT, layer), T, C, F, false);
    rl_bias_gelu_backward(dpre, rl_tensor(model, gradients, RL_ROLE_FFN_IN_BIAS, layer), dpre, b->pre, T, F);
    /* the bias's gradient is done, so the two products are called directly: dW1 = dpre^T m; dstream += dpre W1 */
    rl_gemm(true, false, F, C, T, 1.0f, dpre, F, b->middle, C, 0.0f,
            rl_tensor(model, gradients, RL_ROLE_FFN_IN_WEIGHT, layer), C);
    rl_gemm(false, false, T, C, F, 1.0f, dpre, F, rl_weight(model, RL_ROLE_FFN_IN_WEIGHT, layer), C, 1.0f, dstream, C);
}

/* --------------------------------------------------------------------------------------------- blocks */

void rl_block_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *y,
                      const float *x, const rl_model_dropout *dropout)
{
    attention_half_forward(model, w, batch, layer, x, dropout); /* the last reader of x: y may be x */
    ffn_half_forward(model, w, batch, layer, y, dropout);
}

void rl_block_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *dstream,
                       float *gradients, const rl_model_dropout *dropout)
{
    ffn_half_backward(model, w, batch, layer, dstream, gradients, dropout);
    attention_half_backward(model, w, batch, layer, dstream, gradients, dropout);
}
