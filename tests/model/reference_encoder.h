/* reference_encoder.h -- the formulas of protocol §2 in float64, written from the protocol and sharing nothing with
 * src/model: tensors are found by their Hugging Face names, loops are plain. Dropout factors come from rl_dropout_apply
 * on ones. */
#ifndef RELEARN_TEST_REFERENCE_ENCODER_H
#define RELEARN_TEST_REFERENCE_ENCODER_H

#include "model_support.h"

/* Hugging Face names, by use; "%d" is the layer. */
typedef struct reference_names {
    const char *emb, *types, *q, *k, *v, *out, *norm1, *in, *ffn_out, *norm2;
    bool drops_attention_output;
} reference_names;
static const reference_names bert_names = {"bert.embeddings.",
                                           "token_type_embeddings.weight",
                                           "bert.encoder.layer.%d.attention.self.query",
                                           "bert.encoder.layer.%d.attention.self.key",
                                           "bert.encoder.layer.%d.attention.self.value",
                                           "bert.encoder.layer.%d.attention.output.dense",
                                           "bert.encoder.layer.%d.attention.output.LayerNorm",
                                           "bert.encoder.layer.%d.intermediate.dense",
                                           "bert.encoder.layer.%d.output.dense",
                                           "bert.encoder.layer.%d.output.LayerNorm",
                                           true};
static const reference_names distilbert_names = {"distilbert.embeddings.",
                                                 NULL,
                                                 "distilbert.transformer.layer.%d.attention.q_lin",
                                                 "distilbert.transformer.layer.%d.attention.k_lin",
                                                 "distilbert.transformer.layer.%d.attention.v_lin",
                                                 "distilbert.transformer.layer.%d.attention.out_lin",
                                                 "distilbert.transformer.layer.%d.sa_layer_norm",
                                                 "distilbert.transformer.layer.%d.ffn.lin1",
                                                 "distilbert.transformer.layer.%d.ffn.lin2",
                                                 "distilbert.transformer.layer.%d.output_layer_norm",
                                                 false};

typedef struct reference {
    const rl_model *model;
    const reference_names *names;
    const rl_batch *batch;
    const rl_model_dropout *dropout; /* NULL: eval */
    double *weights;                 /* [num_weights], to nudge */
    double logits[1024 * 9];
} reference;

#define REFERENCE_MAX (64 * 64)

static inline const double *reference_tensor(const reference *r, const char *pattern, const char *ending, int layer)
{
    char stem[160], name[200];
    const char *hole = strstr(pattern, "%d");
    if (hole)
        snprintf(stem, sizeof stem, "%.*s%d%s", (int)(hole - pattern), pattern, layer, hole + 2);
    else
        snprintf(stem, sizeof stem, "%s", pattern);
    snprintf(name, sizeof name, "%s%s", stem, ending);
    const rl_parameter *p = rl_model_find(r->model, name);
    if (!p) print_error("no tensor %s\n", name);
    assert_non_null(p);
    return r->weights + p->offset;
}

/* x *= factor of each element; site numbers and streams as model_internal.h declares them. */
static inline void reference_dropout(const reference *r, double *x, int64_t n, double rate, int layer, int site)
{
    static float ones[REFERENCE_MAX * 16], factors[REFERENCE_MAX * 16];
    if (!r->dropout) return;
    if (r->dropout->override_rate >= 0) rate = r->dropout->override_rate;
    rl_dropout d = {.p = (float)rate, .step = r->dropout->step, .stream = (uint32_t)(layer * 16 + site)};
    rl_rng_key(r->dropout->seed, RL_PURPOSE_DROPOUT, d.key);
    assert_true(n <= REFERENCE_MAX * 16);
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    rl_dropout_apply(factors, ones, n, d);
    for (int64_t i = 0; i < n; i++) x[i] *= factors[i];
}

static inline void reference_norm(double *y, const double *x, const double *gamma, const double *beta, int64_t T,
                                  int64_t C, double eps)
{
    for (int64_t t = 0; t < T; t++) {
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < C; c++) mean += x[t * C + c] / (double)C;
        for (int64_t c = 0; c < C; c++) variance += (x[t * C + c] - mean) * (x[t * C + c] - mean) / (double)C;
        for (int64_t c = 0; c < C; c++)
            y[t * C + c] = (x[t * C + c] - mean) / sqrt(variance + eps) * gamma[c] + beta[c];
    }
}

static inline void reference_linear(double *y, const double *x, const double *weight, const double *bias, int64_t T,
                                    int64_t N, int64_t K)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t n = 0; n < N; n++) {
            y[t * N + n] = bias[n];
            for (int64_t k = 0; k < K; k++) y[t * N + n] += x[t * K + k] * weight[n * K + k];
        }
}

/* softmax(q k^T / sqrt D) of one sentence and head: probs [n, n]. */
static inline void reference_attention(double *probs, const double *q, const double *k, int64_t n, int64_t C, int64_t D)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < n; j++) {
            double score = 0;
            for (int64_t d = 0; d < D; d++) score += q[i * C + d] * k[j * C + d];
            probs[i * n + j] = exp(score / sqrt((double)D));
            sum += probs[i * n + j];
        }
        for (int64_t j = 0; j < n; j++) probs[i * n + j] /= sum;
    }
}

static inline void reference_mix(double *out, const double *probs, const double *v, int64_t n, int64_t C, int64_t D)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; d < D; d++) {
            out[i * C + d] = 0;
            for (int64_t j = 0; j < n; j++) out[i * C + d] += probs[i * n + j] * v[j * C + d];
        }
}

static inline void reference_self_attention(const reference *r, double *out, const double *q, const double *k,
                                            const double *v, int layer)
{
    static double probs[REFERENCE_MAX * 16];
    const rl_model_config *c = &r->model->config;
    int64_t C = c->hidden_size, H = c->num_heads, D = C / H, offset = 0;
    for (int pass = 0; pass < 2; pass++, offset = 0) { /* all probabilities, then their dropout, then the mixtures */
        if (pass == 1) {
            int64_t count = 0;
            for (int64_t s = 0; s < r->batch->num_sentences; s++) {
                int64_t n = r->batch->start[s + 1] - r->batch->start[s];
                count += H * n * n;
            }
            reference_dropout(r, probs, count, c->dropout_attention, layer, 1);
        }
        for (int64_t s = 0; s < r->batch->num_sentences; s++)
            for (int64_t h = 0; h < H; h++) {
                int64_t first = r->batch->start[s], n = r->batch->start[s + 1] - first, at = first * C + h * D;
                if (pass == 0) reference_attention(probs + offset, q + at, k + at, n, C, D);
                if (pass == 1) reference_mix(out + at, probs + offset, v + at, n, C, D);
                offset += n * n;
            }
    }
}

static inline void reference_block(const reference *r, double *x, int layer)
{
    static double q[REFERENCE_MAX], k[REFERENCE_MAX], v[REFERENCE_MAX], a[REFERENCE_MAX], m[REFERENCE_MAX],
        f[REFERENCE_MAX * 4];
    const rl_model_config *c = &r->model->config;
    const reference_names *names = r->names;
    int64_t T = r->batch->num_tokens, C = c->hidden_size, F = c->intermediate_size;
#define W(pattern, ending) reference_tensor(r, pattern, ending, layer)
    assert_true(T * C <= REFERENCE_MAX && T * F <= 4 * REFERENCE_MAX);
    reference_linear(q, x, W(names->q, ".weight"), W(names->q, ".bias"), T, C, C);
    reference_linear(k, x, W(names->k, ".weight"), W(names->k, ".bias"), T, C, C);
    reference_linear(v, x, W(names->v, ".weight"), W(names->v, ".bias"), T, C, C);
    reference_self_attention(r, m, q, k, v, layer);
    reference_linear(a, m, W(names->out, ".weight"), W(names->out, ".bias"), T, C, C);
    if (names->drops_attention_output) reference_dropout(r, a, T * C, c->dropout_hidden, layer, 2);
    for (int64_t i = 0; i < T * C; i++) a[i] += x[i];
    reference_norm(m, a, W(names->norm1, ".weight"), W(names->norm1, ".bias"), T, C, c->layer_norm_eps);
    reference_linear(f, m, W(names->in, ".weight"), W(names->in, ".bias"), T, F, C);
    for (int64_t i = 0; i < T * F; i++) f[i] = f[i] * 0.5 * (1 + erf(f[i] * sqrt(0.5)));
    reference_linear(a, f, W(names->ffn_out, ".weight"), W(names->ffn_out, ".bias"), T, C, F);
    reference_dropout(r, a, T * C, c->dropout_hidden, layer, 3);
    for (int64_t i = 0; i < T * C; i++) a[i] += m[i];
    reference_norm(x, a, W(names->norm2, ".weight"), W(names->norm2, ".bias"), T, C, c->layer_norm_eps);
#undef W
}

static inline void reference_embed(const reference *r, double *x)
{
    static double sum[REFERENCE_MAX];
    const rl_model_config *c = &r->model->config;
    int64_t C = c->hidden_size, T = r->batch->num_tokens;
    const double *words = reference_tensor(r, r->names->emb, "word_embeddings.weight", 0);
    const double *positions = reference_tensor(r, r->names->emb, "position_embeddings.weight", 0);
    const double *types = r->names->types ? reference_tensor(r, r->names->emb, r->names->types, 0) : NULL;
    for (int64_t s = 0; s < r->batch->num_sentences; s++)
        for (int64_t t = r->batch->start[s]; t < r->batch->start[s + 1]; t++)
            for (int64_t i = 0; i < C; i++)
                sum[t * C + i] = words[r->batch->ids[t] * C + i] + positions[(t - r->batch->start[s]) * C + i] +
                                 (types ? types[i] : 0);
    reference_norm(x, sum, reference_tensor(r, r->names->emb, "LayerNorm.weight", 0),
                   reference_tensor(r, r->names->emb, "LayerNorm.bias", 0), T, C, c->layer_norm_eps);
    reference_dropout(r, x, T * C, c->dropout_hidden, 0, 0);
}

/* Fills r->logits and returns the loss. */
static inline double reference_loss(reference *r)
{
    static double x[REFERENCE_MAX];
    const rl_model_config *c = &r->model->config;
    int64_t T = r->batch->num_tokens, K = c->num_labels, labelled = 0;
    double loss = 0;
    reference_embed(r, x);
    for (int layer = 0; layer < c->num_layers; layer++) reference_block(r, x, layer);
    reference_dropout(r, x, T * c->hidden_size, c->dropout_head, 0, 4);
    reference_linear(r->logits, x, reference_tensor(r, "classifier", ".weight", 0),
                     reference_tensor(r, "classifier", ".bias", 0), T, K, c->hidden_size);
    for (int64_t t = 0; t < T; t++) {
        const double *row = r->logits + t * K;
        double sum = 0;
        if (r->batch->labels[t] == RL_IGNORE_LABEL) continue;
        for (int64_t k = 0; k < K; k++) sum += exp(row[k]);
        loss += log(sum) - row[r->batch->labels[t]];
        labelled++;
    }
    return loss / (double)labelled;
}

#endif
