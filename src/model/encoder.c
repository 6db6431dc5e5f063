/* encoder.c -- embeddings and blocks of every family, forward and backward side by side.
 *
 * A block is two halves, attention A and feed-forward network F, each around the residual stream:
 *   norms after (BERT):    h0 = dropout(LN(word + position [+ type 0]));  m = LN1(x + A(x));  y = LN2(m + F(m))
 *   norms first (GPT-2):   h0 = dropout(word + position);  s = x + A(LN1(x));  y = s + F(LN2(s));  hL = LNf(y)
 *   A(x) = dropout(Wo attention(Wqkv x + b) + bo),  F(x) = dropout(W2 gelu(W1 x + b1) + b2)
 * (protocol §2.2). Norm placement, mask, matrix layout and dropout sites are the architecture's; A and F are written
 * once.
 *
 * Gradients are written, never accumulated; the residual stream's gradient lives in one array that each step turns in
 * place. */
#include "model_internal.h"

#include <assert.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------- dropout */

rl_dropout rl_dropout_at(const rl_model *model, const rl_model_dropout *dropout, rl_site site, int64_t layer)
{
    const rl_model_config *config = &model->config;
    rl_dropout out = rl_dropout_none();
    if (!dropout || !(config->architecture->dropout_sites >> site & 1u)) return out;
    out.p = site == RL_SITE_ATTENTION_PROBS ? config->dropout_attention
            : site == RL_SITE_HEAD          ? config->dropout_head
            : site == RL_SITE_EMBEDDING     ? config->dropout_embedding
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

/* y = x W + bias (NULL: none), with W as the architecture stores it. */
static void linear_forward(const rl_model *model, const rl_workspace *ws, float *y, const float *x, rl_role weight, const float *bias,
                           int64_t layer, int64_t T, int64_t N, int64_t K)
{
    const float *w = rl_weight(model, weight, layer);
    if (ws->bf16)
        rl_bf16_linear_forward(ws->bf16, model->config.architecture->in_out, y, x, w, bias, T, N, K);
    else if (model->config.architecture->in_out)
        rl_linear_in_out_forward(y, x, w, bias, T, N, K);
    else
        rl_linear_forward(y, x, w, bias, T, N, K);
}

static void linear_backward(const rl_model *model, const rl_workspace *ws, float *dx, float *gradients, float *dbias, const float *dy,
                            const float *x, rl_role weight, int64_t layer, int64_t T, int64_t N, int64_t K,
                            bool accumulate_dx)
{
    const float *w = rl_weight(model, weight, layer);
    float *dw = rl_tensor(model, gradients, weight, layer);
    if (ws->bf16)
        rl_bf16_linear_backward(ws->bf16, model->config.architecture->in_out, dx, dw, dbias, dy, x, w, T, N, K, accumulate_dx);
    else if (model->config.architecture->in_out)
        rl_linear_in_out_backward(dx, dw, dbias, dy, x, w, T, N, K, accumulate_dx);
    else
        rl_linear_backward(dx, dw, dbias, dy, x, w, T, N, K, accumulate_dx);
}

/* The LayerNorm of a role pair, in place or not: dx may be dy. */
static void norm_forward(const rl_model *model, float *y, float *mean, float *rstd, const float *x, rl_role gamma,
                         int64_t layer, int64_t T)
{
    rl_layer_norm_forward(y, mean, rstd, x, rl_weight(model, gamma, layer), rl_weight(model, gamma + 1, layer), T,
                          model->config.hidden_size, model->config.layer_norm_eps);
}

static void norm_backward(const rl_model *model, float *dx, float *gradients, const float *dy, const float *x,
                          const float *mean, const float *rstd, rl_role gamma, int64_t layer, int64_t T)
{
    rl_layer_norm_backward(dx, rl_tensor(model, gradients, gamma, layer), rl_tensor(model, gradients, gamma + 1, layer),
                           dy, x, mean, rstd, rl_weight(model, gamma, layer), T, model->config.hidden_size);
}

/* ---------------------------------------------------------------------------------------- embeddings */

/* The table's row of a sequence's first token. */
static const float *first_position(const rl_model *model)
{
    return rl_weight(model, RL_ROLE_POSITION, 0) + model->config.position_offset * model->config.hidden_size;
}

void rl_embedding_layer_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *hidden,
                                const rl_model_dropout *dropout)
{
    int64_t T = batch->num_tokens, C = model->config.hidden_size;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_EMBEDDING, 0);
    const float *type0 = rl_has_role(model, RL_ROLE_TYPE) ? rl_weight(model, RL_ROLE_TYPE, 0) : NULL;
    bool norm = rl_has_role(model, RL_ROLE_EMBEDDING_GAMMA);
    assert(T <= w->max_tokens && batch->max_length <= w->max_length);
    rl_embedding_forward(norm ? w->outer_sum : hidden, rl_weight(model, RL_ROLE_WORD, 0), first_position(model), type0,
                         batch->ids, batch->start, batch->num_sentences, C);
    if (norm) norm_forward(model, hidden, w->outer_mean, w->outer_rstd, w->outer_sum, RL_ROLE_EMBEDDING_GAMMA, 0, T);
    if (drop.p > 0) rl_dropout_apply(hidden, hidden, T * C, drop);
    rl_apply_masks(model, RL_UNIT_HIDDEN, 0, hidden, T);
}

static void tables_backward(const rl_model *model, const rl_batch *batch, const float *dsum, float *gradients)
{
    const rl_model_config *config = &model->config;
    int64_t C = config->hidden_size;
    float *dtype = rl_has_role(model, RL_ROLE_TYPE) ? rl_tensor(model, gradients, RL_ROLE_TYPE, 0) : NULL;
    float *dposition = rl_tensor(model, gradients, RL_ROLE_POSITION, 0);
    memset(dposition, 0, (size_t)(config->position_offset * C) * sizeof *dposition);
    rl_embedding_backward(rl_tensor(model, gradients, RL_ROLE_WORD, 0), dposition + config->position_offset * C, dtype,
                          dtype ? config->type_vocab_size : 0, dsum, batch->ids, batch->start, batch->num_sentences, C,
                          config->vocab_size, config->max_positions,
                          config->architecture->padding_row ? config->pad_token_id : -1, batch->rows, batch->num_rows);
}

void rl_embedding_layer_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, float *dstream,
                                 float *gradients, const rl_model_dropout *dropout)
{
    int64_t T = batch->num_tokens;
    rl_dropout drop = rl_dropout_at(model, dropout, RL_SITE_EMBEDDING, 0);
    rl_apply_masks(model, RL_UNIT_HIDDEN, 0, dstream, T);
    if (drop.p > 0) rl_dropout_apply(dstream, dstream, T * model->config.hidden_size, drop);
    if (rl_has_role(model, RL_ROLE_EMBEDDING_GAMMA))
        norm_backward(model, dstream, gradients, dstream, w->outer_sum, w->outer_mean, w->outer_rstd,
                      RL_ROLE_EMBEDDING_GAMMA, 0, T);
    tables_backward(model, batch, dstream, gradients);
}

/* ------------------------------------------------------------------------------------------- attention */

static rl_attention_scores scores_of(const rl_model *model, int64_t layer)
{
    const rl_model_config *config = &model->config;
    rl_attention_scores scores = rl_attention_scores_default(config->hidden_size / config->num_heads);
    scores.causal = config->architecture->causal;
    if (config->unscaled_attention) scores.scale = 1.0f;
    if (config->layer_scaled_attention) scores.scale /= (float)(layer + 1);
    return scores;
}

/* What a layer's units are is known here: masked ones become 0, and whoever watches gets a copy. */
static void settle_units(const rl_model *model, const rl_workspace *w, rl_unit_site site, int64_t layer, float *x, int64_t T,
                         int64_t width)
{
    rl_apply_masks(model, site, layer, x, T);
    if (w->copy && w->watched == site) memcpy(w->copy, x, (size_t)(T * width) * sizeof *x);
}

/* Probabilities are kept for the backward pass only. */
static void attend(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, rl_dropout drop)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t H = model->config.num_heads, D = model->config.hidden_size / H;
    assert(w->training || drop.p <= 0);
    rl_attention_forward(b->context, w->training ? b->probs : NULL, b->qkv, batch->start, batch->num_sentences, H, D,
                         scores_of(model, layer), drop, w->attention_scratch);
}

/* y = A(x) before its bias and dropout. */
static void attention_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *y,
                              const float *x, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size;
    linear_forward(model, w, b->qkv, x, RL_ROLE_QUERY_WEIGHT, rl_weight(model, RL_ROLE_QUERY_BIAS, layer), layer, T, 3 * C,
                   C);
    attend(model, w, batch, layer, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_PROBS, layer));
    settle_units(model, w, RL_UNIT_HEAD, layer, b->context, T, C);
    linear_forward(model, w, y, b->context, RL_ROLE_ATTENTION_OUT_WEIGHT, NULL, layer, T, C, C);
}

/* dy: d(A(x)) behind its dropout; dx = or += d(x). dx may be dy when it doesn't accumulate. */
static void attention_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *dx,
                               bool accumulate_dx, const float *dy, const float *x, float *gradients,
                               const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, H = model->config.num_heads;
    float *dqkv = w->wide, *dcontext = w->wide + 3 * T * C;
    linear_backward(model, w, dcontext, gradients, rl_tensor(model, gradients, RL_ROLE_ATTENTION_OUT_BIAS, layer), dy,
                    b->context, RL_ROLE_ATTENTION_OUT_WEIGHT, layer, T, C, C, false);
    rl_apply_masks(model, RL_UNIT_HEAD, layer, dcontext, T);
    rl_attention_backward(dqkv, dcontext, b->qkv, b->probs, batch->start, batch->num_sentences, H, C / H,
                          scores_of(model, layer), rl_dropout_at(model, dropout, RL_SITE_ATTENTION_PROBS, layer),
                          w->attention_scratch);
    linear_backward(model, w, dx, gradients, rl_tensor(model, gradients, RL_ROLE_QUERY_BIAS, layer), dqkv, x,
                    RL_ROLE_QUERY_WEIGHT, layer, T, 3 * C, C, accumulate_dx);
}

/* ---------------------------------------------------------------------------------------- feed-forward */

/* y = F(x) before its bias and dropout. */
static void ffn_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *y,
                        const float *x)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, F = model->config.intermediate_size;
    const float *bias = rl_weight(model, RL_ROLE_FFN_IN_BIAS, layer);
    linear_forward(model, w, b->pre, x, RL_ROLE_FFN_IN_WEIGHT, NULL, layer, T, F, C);
    if (model->config.tanh_gelu)
        rl_bias_tanh_gelu_forward(b->gelu, b->pre, b->pre, bias, T, F);
    else
        rl_bias_gelu_forward(b->gelu, b->pre, b->pre, bias, T, F);
    settle_units(model, w, RL_UNIT_FFN, layer, b->gelu, T, F);
    linear_forward(model, w, y, b->gelu, RL_ROLE_FFN_OUT_WEIGHT, NULL, layer, T, C, F);
}

/* As attention_backward. */
static void ffn_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *dx,
                         bool accumulate_dx, const float *dy, const float *x, float *gradients)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, C = model->config.hidden_size, F = model->config.intermediate_size;
    float *dpre = w->wide, *dbias = rl_tensor(model, gradients, RL_ROLE_FFN_IN_BIAS, layer);
    linear_backward(model, w, dpre, gradients, rl_tensor(model, gradients, RL_ROLE_FFN_OUT_BIAS, layer), dy, b->gelu,
                    RL_ROLE_FFN_OUT_WEIGHT, layer, T, C, F, false);
    rl_apply_masks(model, RL_UNIT_FFN, layer, dpre, T);
    if (model->config.tanh_gelu)
        rl_bias_tanh_gelu_backward(dpre, dbias, dpre, b->pre, T, F);
    else
        rl_bias_gelu_backward(dpre, dbias, dpre, b->pre, T, F);
    linear_backward(model, w, dx, gradients, NULL, dpre, x, RL_ROLE_FFN_IN_WEIGHT, layer, T, F, C, accumulate_dx);
}

/* ------------------------------------------------------------------------------ blocks, norms after their half */

/* y = LN(x + dropout(f + bias)); sum, which holds f, becomes LN's input. */
static void add_and_norm(const rl_model *model, float *y, float *sum, float *mean, float *rstd, const float *x,
                         rl_role bias, rl_role gamma, int64_t layer, int64_t T, rl_dropout drop)
{
    rl_residual_layer_norm_forward(y, sum, mean, rstd, sum, rl_weight(model, bias, layer), x,
                                   rl_weight(model, gamma, layer), rl_weight(model, gamma + 1, layer), T,
                                   model->config.hidden_size, model->config.layer_norm_eps, drop);
}

static void block_forward_norm_after(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                     float *y, const float *x, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens;
    attention_forward(model, w, batch, layer, b->sum1, x, dropout);
    add_and_norm(model, b->middle, b->sum1, b->mean1, b->rstd1, x, RL_ROLE_ATTENTION_OUT_BIAS, RL_ROLE_ATTENTION_GAMMA,
                 layer, T, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer)); /* last reader of x */
    ffn_forward(model, w, batch, layer, b->sum2, b->middle);
    add_and_norm(model, y, b->sum2, b->mean2, b->rstd2, b->middle, RL_ROLE_FFN_OUT_BIAS, RL_ROLE_OUTPUT_GAMMA, layer, T,
                 rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
}

static void block_backward_norm_after(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                      float *dstream, float *gradients, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, n = T * model->config.hidden_size;
    const float *df, *da;
    norm_backward(model, dstream, gradients, dstream, b->sum2, b->mean2, b->rstd2, RL_ROLE_OUTPUT_GAMMA, layer, T);
    df = behind_dropout(dstream, w->head_input, n, rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
    ffn_backward(model, w, batch, layer, dstream, true, df, b->middle, gradients);
    norm_backward(model, dstream, gradients, dstream, b->sum1, b->mean1, b->rstd1, RL_ROLE_ATTENTION_GAMMA, layer, T);
    da = behind_dropout(dstream, w->head_input, n, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer));
    attention_backward(model, w, batch, layer, dstream, true, da, w->hidden[layer], gradients, dropout);
}

/* ------------------------------------------------------------------------------ blocks, norms before their half */

/* y = x + dropout(f + bias) where y holds f. */
static void add_to_stream(const rl_model *model, float *y, const float *x, rl_role bias, int64_t layer, int64_t T,
                          rl_dropout drop)
{
    rl_residual_forward(y, y, rl_weight(model, bias, layer), x, T, model->config.hidden_size, drop);
}

static bool ends_in_norm(const rl_model *model, int64_t layer)
{
    return layer == model->config.num_layers - 1 && rl_has_role(model, RL_ROLE_FINAL_GAMMA);
}

static void block_forward_norm_first(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                     float *y, const float *x, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens;
    float *end = ends_in_norm(model, layer) ? w->outer_sum : y;
    norm_forward(model, b->sum2, b->mean1, b->rstd1, x, RL_ROLE_ATTENTION_GAMMA, layer, T);
    attention_forward(model, w, batch, layer, b->sum1, b->sum2, dropout);
    add_to_stream(model, b->sum1, x, RL_ROLE_ATTENTION_OUT_BIAS, layer, T,
                  rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer)); /* last reader of x */
    norm_forward(model, b->middle, b->mean2, b->rstd2, b->sum1, RL_ROLE_OUTPUT_GAMMA, layer, T);
    ffn_forward(model, w, batch, layer, end, b->middle);
    add_to_stream(model, end, b->sum1, RL_ROLE_FFN_OUT_BIAS, layer, T,
                  rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
    if (end != y) norm_forward(model, y, w->outer_mean, w->outer_rstd, end, RL_ROLE_FINAL_GAMMA, 0, T);
}

static void block_backward_norm_first(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer,
                                      float *dstream, float *gradients, const rl_model_dropout *dropout)
{
    rl_block_buffers *b = &w->block[layer];
    int64_t T = batch->num_tokens, n = T * model->config.hidden_size;
    float *branch = w->head_input;
    const float *df, *da;
    if (ends_in_norm(model, layer))
        norm_backward(model, dstream, gradients, dstream, w->outer_sum, w->outer_mean, w->outer_rstd,
                      RL_ROLE_FINAL_GAMMA, 0, T);
    df = behind_dropout(dstream, branch, n, rl_dropout_at(model, dropout, RL_SITE_FFN_OUTPUT, layer));
    ffn_backward(model, w, batch, layer, branch, false, df, b->middle, gradients);
    norm_backward(model, branch, gradients, branch, b->sum1, b->mean2, b->rstd2, RL_ROLE_OUTPUT_GAMMA, layer, T);
    rl_add(dstream, dstream, branch, n);
    da = behind_dropout(dstream, branch, n, rl_dropout_at(model, dropout, RL_SITE_ATTENTION_OUTPUT, layer));
    attention_backward(model, w, batch, layer, branch, false, da, b->sum2, gradients, dropout);
    norm_backward(model, branch, gradients, branch, w->hidden[layer], b->mean1, b->rstd1, RL_ROLE_ATTENTION_GAMMA,
                  layer, T);
    rl_add(dstream, dstream, branch, n);
}

/* --------------------------------------------------------------------------------------------- blocks */

void rl_block_forward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *y,
                      const float *x, const rl_model_dropout *dropout)
{
    if (model->config.architecture->norm_first)
        block_forward_norm_first(model, w, batch, layer, y, x, dropout);
    else
        block_forward_norm_after(model, w, batch, layer, y, x, dropout);
    rl_apply_masks(model, RL_UNIT_HIDDEN, layer + 1, y, batch->num_tokens);
}

void rl_block_backward(const rl_model *model, rl_workspace *w, const rl_batch *batch, int64_t layer, float *dstream,
                       float *gradients, const rl_model_dropout *dropout)
{
    rl_apply_masks(model, RL_UNIT_HIDDEN, layer + 1, dstream, batch->num_tokens);
    if (model->config.architecture->norm_first)
        block_backward_norm_first(model, w, batch, layer, dstream, gradients, dropout);
    else
        block_backward_norm_after(model, w, batch, layer, dstream, gradients, dropout);
}
