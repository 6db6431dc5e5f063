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
    const char *model_type; /* "bert", "distilbert" */
    int64_t vocab_size, hidden_size, num_layers, num_heads, intermediate_size, max_positions, type_vocab_size, num_labels;
    float layer_norm_eps, initializer_range;
    float dropout_hidden, dropout_attention, dropout_head; /* of config.json; 0 disables */
    int32_t pad_token_id;
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

typedef struct rl_model {
    rl_model_config config;
    int64_t num_parameters;     /* tensors */
    rl_parameter *parameters;   /* in bytewise name order is not promised; use rl_model_find */
    int64_t num_weights;        /* floats, padding between tensors included (padding stays zero) */
    float *weights;             /* [num_weights], 64-byte aligned */
    json_t *config_json;        /* as read, for saving */
    bool head_is_new;
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

/* gamma and beta (flat weight offsets) of the LayerNorm that produces hidden state `layer` (0 = embeddings). */
typedef struct rl_norm_offsets {
    int64_t gamma, beta;
} rl_norm_offsets;
rl_norm_offsets rl_model_norm_of_hidden_state(const rl_model *model, int64_t layer);
/* Flat offset of the [V, C] word embedding table. */
int64_t rl_model_word_embeddings(const rl_model *model);

/* A packed batch, borrowed: B sentences end to end, no padding. */
typedef struct rl_batch {
    int64_t num_sentences, num_tokens; /* B, T */
    int64_t max_length;
    const int32_t *start;  /* [B+1] */
    const int32_t *ids;    /* [T] */
    const int32_t *labels; /* [T], RL_IGNORE_LABEL = none; may be NULL in eval */
    const int32_t *rows;   /* [num_rows] each id once: of the word table's gradient only these rows are written; NULL: all */
    int64_t num_rows;
} rl_batch;

/* All activations of one batch, sized once (one arena) for the largest batch; nothing allocates afterwards. */
typedef struct rl_workspace rl_workspace;
/* max_attention = largest sum over a batch's sentences of n_b^2 (training only). training keeps what backward needs; otherwise
 * layers share buffers, and forward must be given dropout NULL. */
rl_status rl_workspace_create(rl_workspace **out, const rl_model *model, int64_t max_tokens, int64_t max_sentences,
                              int64_t max_length, int64_t max_attention, bool training, rl_error *err);
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
