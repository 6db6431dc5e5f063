/* relearn/model.h -- a Hugging Face token classifier, forward and backward, on packed batches.
 *
 * A Hub folder (config.json, model.safetensors or a sharded index) in; logits, hidden states, gradients and a Hub folder out.
 * An architecture is a table of data (tensor names, config keys, dropout sites), not a copy of the code: see
 * src/model/architecture.c. Letters: T tokens, C hidden_size, L layers, H heads, D head_dim, F intermediate_size,
 * V vocab_size, K labels. Hidden state l of L+1: 0 = embedding output, i = output of block i-1 (protocol §2.2).
 * Leans on core, linalg, text. Knows no MPI, no optimiser. */
#ifndef RELEARN_MODEL_H
#define RELEARN_MODEL_H

#include "relearn/core.h"
#include "relearn/linalg.h"
#include "relearn/text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rl_architecture rl_architecture; /* private table; one per model_type */

typedef struct rl_model_config {
    const rl_architecture *architecture;
    const char *model_type; /* "bert", "distilbert", "roberta", "electra", "gpt2" */
    int64_t vocab_size, hidden_size, num_layers, num_heads, intermediate_size, type_vocab_size, num_labels;
    int64_t max_positions;   /* tokens a sequence may have; the table has position_offset rows more */
    int64_t position_offset; /* row of a sequence's first token: 0, RoBERTa padding_idx + 1 */
    float layer_norm_eps, initializer_range;
    float dropout_hidden, dropout_attention, dropout_embedding, dropout_head; /* of config.json; 0 disables */
    bool tanh_gelu;              /* gelu_new (GPT-2) instead of the exact GELU */
    bool unscaled_attention;     /* scores not divided by sqrt(D): GPT-2's scale_attn_weights false */
    bool layer_scaled_attention; /* scores of block i divided by i + 1: scale_attn_by_inverse_layer_idx */
    int32_t pad_token_id;        /* -1: none */
    rl_names *labels; /* id2label; owned */
} rl_model_config;

/* One tensor of the model. Weights, gradients and moments are flat arrays with the same offsets. */
typedef struct rl_parameter {
    char name[128];    /* as Hugging Face names it, with prefix: "bert.encoder.layer.0.output.LayerNorm.weight" */
    int num_dims;
    int64_t shape[2];  /* row-major */
    int64_t offset, count;
    bool decay;        /* weight decay applies (matrices and tables; not biases, not LayerNorm) */
} rl_parameter;

typedef struct rl_model_masks rl_model_masks; /* see "masks" below */

typedef struct rl_model {
    rl_model_config config;
    int64_t num_parameters;     /* tensors */
    rl_parameter *parameters;   /* in bytewise name order is not promised; use rl_model_find */
    int64_t num_weights;        /* floats, padding between tensors included (padding stays zero) */
    float *weights;             /* [num_weights], 64-byte aligned */
    json_t *config_json;        /* as read, for saving */
    bool head_is_new;
    rl_model_masks *masks;      /* owned; NULL: none. Set with rl_model_set_masks */
} rl_model;

/* Read only config.json (shapes, labels): cheap checks before computing. Free with rl_model_config_free. */
rl_status rl_model_config_read(rl_model_config *out, const char *folder, rl_error *err);
void rl_model_config_free(rl_model_config *config);
/* Longest sequence, specials included, that the folder's position table and the tokenizer both allow. RL_ERR_INPUT when the
 * tokenizer has more ids than the folder's embedding table has rows. */
rl_status rl_model_sequence_limit(int64_t *limit, const char *folder, const rl_tokenizer *tokenizer, rl_error *err);
/* Check a folder as rl_model_load would without keeping weights: config, every tensor's presence, dtype, shape, bounds. */
rl_status rl_model_check_folder(const char *folder, rl_error *err);

/* Load weights (F32, F16, BF16; with or without prefix; LayerNorm.gamma/beta; sharded index). labels NULL: the folder
 * must have a head, kept as it is. Else: a head whose id2label equals labels (same names, same order) is kept, any
 * other is replaced by a new one: N(0, initializer_range) from (head_seed, RL_PURPOSE_HEAD_INIT), bias 0. A folder with
 * config.json but no weights file at all is RL_ERR_INPUT, unless config.json carries "relearn_random_init": SEED
 * (then weights are drawn as protocol §2.2's "from scratch": sweeps/quick). */
rl_status rl_model_load(rl_model **out, const char *folder, const rl_names *labels, uint64_t head_seed, rl_error *err);
rl_status rl_model_copy(rl_model **out, const rl_model *model, rl_error *err);
void rl_model_free(rl_model *model);
/* Write a Hub folder: config.json (architectures *ForTokenClassification, id2label, label2id, dtype), model.safetensors in F32
 * with HF names, and the tokenizer files of tokenizer_folder (NULL: none). `folder` is created; files are written aside and
 * renamed, config.json last. */
rl_status rl_model_save(const rl_model *model, const char *folder, const char *tokenizer_folder, rl_error *err);
/* NULL when absent. Accepts the full HF name. */
const rl_parameter *rl_model_find(const rl_model *model, const char *name);

/* gamma and beta (flat weight offsets) of the LayerNorm that belongs to hidden state `layer` (0 = embeddings). Where norms
 * follow their block it is the one that produces the state. On GPT-2 none does: layer q > 0 gives h[q-1].ln_2, as the authors
 * pruned (protocol §7.1), layer 0 the first reader, h[0].ln_1; the measured neuron itself is site hidden's. */
typedef struct rl_norm_offsets {
    int64_t gamma, beta;
} rl_norm_offsets;
rl_norm_offsets rl_model_norm_of_hidden_state(const rl_model *model, int64_t layer);
/* Flat offset of the [V, C] word embedding table. */
int64_t rl_model_word_embeddings(const rl_model *model);

/* -------------------------------------------------------------------------------------------------------- masks
 * A unit of the forward pass that can be removed. Masked units are exactly 0 in every pass over the model (training,
 * evaluation, layer-major), and so is the gradient through them: what stands behind them in the backward pass sees
 * nothing. Costs nothing where no unit of a layer is masked. docs/models.md says where each site lies in each family. */
typedef enum rl_unit_site {
    RL_UNIT_HIDDEN, /* layer 0..L, unit c < C: element c of hidden state `layer`, where the neuron is measured */
    RL_UNIT_FFN,    /* layer 0..L-1 (block), unit j < F: intermediate activation j, after GELU */
    RL_UNIT_HEAD,   /* layer 0..L-1 (block), unit h < H: head h's D columns of the attention output before its projection */
    RL_UNIT_SITES
} rl_unit_site;
typedef struct rl_unit {
    rl_unit_site site;
    int32_t layer, unit;
} rl_unit;
/* How many layers a site has (hidden: L+1, else L) and how many units a layer. */
int64_t rl_unit_layers(const rl_model_config *config, rl_unit_site site);
int64_t rl_units_per_layer(const rl_model_config *config, rl_unit_site site);

/* Immutable once made: sorted by site, layer, unit, without repeats. A unit beyond the model is RL_ERR_INPUT. */
rl_status rl_model_masks_create(rl_model_masks **out, const rl_model_config *config, const rl_unit *units,
                                int64_t num_units, rl_error *err);
void rl_model_masks_free(rl_model_masks *masks);
/* All masked units in order; NULL masks have none. Borrowed. */
const rl_unit *rl_model_masks_units(const rl_model_masks *masks, int64_t *num_units);

/* Permanent removal: the model keeps these masks (replacing what it had; none for num_units 0) through training,
 * rl_model_copy, rl_model_save and rl_model_load: config.json carries them as "relearn_masks", so a saved stage folder is
 * whole without another file. transformers ignores that key; ask rl_model_zero_units too and the folder means the same
 * there wherever weights can express it (docs/models.md). */
rl_status rl_model_set_masks(rl_model *model, const rl_unit *units, int64_t num_units, rl_error *err);
/* Ablation without a copy: the same weights seen through the model's own masks and `also` (borrowed, made for this model by
 * rl_model_view_masks). A view is used and dropped, never freed or trained. */
rl_status rl_model_view_masks(rl_model_masks **out, const rl_model *model, const rl_unit *also, int64_t num_units,
                              rl_error *err);
static inline rl_model rl_model_view(const rl_model *model, rl_model_masks *masks)
{
    rl_model view = *model;
    view.masks = masks;
    return view;
}

/* Free removal: zero once, and only weights that training can bring back. The unit is then exactly 0 in the forward pass,
 * its readers keep their weights, so the gradient that reaches it is not 0 and it may regrow at the first step:
 *   ffn     row and bias of the up-projection (GELU(0) = 0); the down-projection's column stays
 *   head    rows and biases of the value projection (any average of zeros is zero); the output projection's columns stay
 *   hidden  gamma and beta of the LayerNorm that produces it. Where none does (GPT-2, layer < L) a residual stream is one
 *           memory for all layers: every writer of channel c up to that layer, so hidden states 0..layer lose it together
 * Spans are arithmetic sequences of flat weight offsets, of a unit that exists; returns how many (spans NULL: only counts).
 * A unit beyond the model is RL_ERR_INPUT, and then nothing is zeroed. */
typedef struct rl_weight_span {
    int64_t offset, stride, count;
} rl_weight_span;
int64_t rl_model_unit_spans(rl_weight_span *spans, const rl_model *model, rl_unit unit);
rl_status rl_model_zero_units(rl_model *model, const rl_unit *units, int64_t num_units, rl_error *err);

/* A packed batch, borrowed: B sentences end to end, no padding. */
typedef struct rl_batch {
    int64_t num_sentences, num_tokens; /* B, T */
    int64_t max_length;
    const int32_t *start;  /* [B+1] */
    const int32_t *ids;    /* [T] */
    const int32_t *labels; /* [T], RL_IGNORE_LABEL = none; may be NULL in eval */
    const int32_t *rows;   /* [num_rows] each id once: of the word table's gradient only these rows are written; NULL: all */
    int64_t num_rows;
    int64_t num_labelled; /* of the whole that this batch is a share of: the loss is a mean over so many; 0: over its own */
} rl_batch;

/* All activations of one batch, sized once (one arena) for the largest batch; nothing allocates afterwards. */
typedef struct rl_workspace rl_workspace;
/* max_attention = largest sum over a batch's sentences of n_b^2 (training only). training keeps what backward needs; otherwise
 * layers share buffers, and forward must be given dropout NULL. */
rl_status rl_workspace_create(rl_workspace **out, const rl_model *model, int64_t max_tokens, int64_t max_sentences,
                              int64_t max_length, int64_t max_attention, bool training, rl_error *err);
/* From now on the products of the blocks' linear layers round their factors to bfloat16 (rl_bf16 in linalg.h); weights,
 * gradients and everything else stay float32, the head's product too. Training workspaces only. Fails as rl_bf16_create does. */
rl_status rl_workspace_use_bf16(rl_workspace *workspace, const rl_model *model, rl_error *err);
/* From now on every block of a pass leaves a copy of what its units are, behind masks: site ffn [T, F] activations behind GELU,
 * head [T, C] attention output before its projection (head h: columns h D to (h + 1) D). copy is borrowed; NULL: no more. */
void rl_workspace_watch(rl_workspace *workspace, rl_unit_site site, float *copy);
size_t rl_workspace_bytes(const rl_workspace *workspace);
void rl_workspace_free(rl_workspace *workspace);

/* Dropout of one training step; rates < 0 mean the model's own (config), 0 turns that site off. */
typedef struct rl_model_dropout {
    uint64_t seed;
    uint32_t step;
    float override_rate; /* < 0: config's rates; else every site's rate */
} rl_model_dropout;

/* Does the batch fit model and workspace: lengths, token ids < V, labels < K? The calls below do not look (a debug build
 * asserts), so check what comes from files once: RL_ERR_INPUT for ids, labels and lengths beyond the model. */
rl_status rl_batch_check(const rl_model *model, const rl_workspace *workspace, const rl_batch *batch, rl_error *err);

/* Forward to logits [T, K], which stay in the workspace until the next call. dropout NULL = eval mode. */
const float *rl_model_forward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch,
                              const rl_model_dropout *dropout);
/* Loss of the last forward (mean over labelled tokens), then gradients [num_weights] of every parameter: written. Needs a training
 * workspace and the same batch and dropout. Returns the loss. */
double rl_model_backward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch,
                         const rl_model_dropout *dropout, float *gradients);
/* The same, telling as it goes whose gradients are final: those of one depth after the other, from L down to 0. */
typedef struct rl_gradient_listener {
    void *context;
    void (*on_final)(void *context, int64_t depth);
} rl_gradient_listener;
double rl_model_backward_by_depth(const rl_model *model, rl_workspace *workspace, const rl_batch *batch,
                                  const rl_model_dropout *dropout, float *gradients,
                                  const rl_gradient_listener *listener);
/* Where a depth begins in flat arrays: 0 the embeddings (their word table first), l block l - 1, L also what stands behind the
 * blocks; L + 1: the end of all. */
int64_t rl_model_depth_offset(const rl_model *model, int64_t depth);

/* Layer-major passes (design §4): hidden state 0 of a batch, then one block in place. Eval mode, hidden [T, C]. */
void rl_model_embed(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, float *hidden);
void rl_model_block(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, int64_t layer, float *hidden);

/* FLOPs of forward + backward on `tokens` tokens whose sentences' squared lengths sum to `attention`: 6 x matmul parameters x
 * tokens + attention products; forward only = a third. For ratios to the SGEMM rate and the cost model. */
double rl_model_training_flops(const rl_model_config *config, double tokens, double attention);

#ifdef __cplusplus
}
#endif
#endif
