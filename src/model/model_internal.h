/* model_internal.h -- what the files of src/model share: roles, the architecture table, weight files, activations.
 *
 * A *role* is what a tensor does ("key weight"), the same for every architecture; an architecture says how the tensor
 * of a role is called on disk. Code below the loader speaks roles only. */
#ifndef RELEARN_MODEL_INTERNAL_H
#define RELEARN_MODEL_INTERNAL_H

#include "relearn/model.h"

/* The order is the order in the flat weights array: query, key and value follow each other without padding, so that the
 * trio is one [3C, C] matrix and one product gives qkv [T, 3C]. */
typedef enum rl_role {
    RL_ROLE_WORD,
    RL_ROLE_POSITION,
    RL_ROLE_TYPE,            /* absent in DistilBERT */
    RL_ROLE_EMBEDDING_GAMMA, /* absent where norms stand before the halves of a block (GPT-2), as beta */
    RL_ROLE_EMBEDDING_BETA,
    RL_ROLE_QUERY_WEIGHT, /* first of the roles that every layer has; the fused trio where key and value have no name */
    RL_ROLE_KEY_WEIGHT,
    RL_ROLE_VALUE_WEIGHT,
    RL_ROLE_QUERY_BIAS,
    RL_ROLE_KEY_BIAS,
    RL_ROLE_VALUE_BIAS,
    RL_ROLE_ATTENTION_OUT_WEIGHT,
    RL_ROLE_ATTENTION_OUT_BIAS,
    RL_ROLE_ATTENTION_GAMMA,
    RL_ROLE_ATTENTION_BETA,
    RL_ROLE_FFN_IN_WEIGHT,
    RL_ROLE_FFN_IN_BIAS,
    RL_ROLE_FFN_OUT_WEIGHT,
    RL_ROLE_FFN_OUT_BIAS,
    RL_ROLE_OUTPUT_GAMMA,
    RL_ROLE_OUTPUT_BETA,
    RL_ROLE_FINAL_GAMMA, /* first of the roles behind the layers: LayerNorm of the last hidden state, GPT-2 */
    RL_ROLE_FINAL_BETA,
    RL_ROLE_HEAD_WEIGHT,
    RL_ROLE_HEAD_BIAS,
    RL_ROLE_COUNT
} rl_role;

#define RL_FIRST_LAYER_ROLE RL_ROLE_QUERY_WEIGHT
#define RL_FIRST_LAST_ROLE  RL_ROLE_FINAL_GAMMA
#define RL_FIRST_HEAD_ROLE  RL_ROLE_HEAD_WEIGHT
#define RL_ROLES_PER_LAYER  (RL_FIRST_LAST_ROLE - RL_FIRST_LAYER_ROLE)

/* Every place where dropout may act; with the layer it makes rl_dropout.stream = layer * 16 + site. The embedding's and
 * the head's site count as layer 0, which no block's site shares. */
typedef enum rl_site {
    RL_SITE_EMBEDDING = 0,
    RL_SITE_ATTENTION_PROBS = 1,
    RL_SITE_ATTENTION_OUTPUT = 2, /* not in DistilBERT (protocol §2.2) */
    RL_SITE_FFN_OUTPUT = 3,
    RL_SITE_HEAD = 4
} rl_site;

/* Where config.json keeps a value. NULL: the architecture has no such key. */
typedef struct rl_config_keys {
    const char *hidden_size, *num_layers, *num_heads, *activation, *max_positions;
    const char *intermediate_size; /* absent or null: intermediate_factor * hidden_size, where that is not 0 */
    const char *dropout_hidden, *dropout_attention;
    const char *dropout_embedding; /* NULL: dropout_hidden's rate */
    const char *dropout_head[2];   /* the first that is there and not null; else default_dropout_head */
    const char *layer_norm_eps;    /* NULL: the architecture's default_eps */
    const char *type_vocab_size;   /* NULL: no token types */
    const char *embedding_size;    /* must be hidden_size: no projection is behind the embeddings */
} rl_config_keys;

struct rl_architecture {
    const char *model_type; /* config.json's model_type */
    const char *class_name; /* what save writes into "architectures" */
    const char *prefix;     /* of encoder tensors; the head has none */
    rl_config_keys keys;
    const char *default_activation;   /* where config.json has none */
    float default_eps;                /* of LayerNorm where no key gives it */
    float default_dropout_head;       /* < 0: dropout_hidden's rate */
    int32_t default_pad;              /* pad_token_id where config.json has none; -1: no such token */
    int64_t intermediate_factor;      /* 0: intermediate_size must be there */
    int64_t default_embedding_size;   /* where keys.embedding_size is absent */
    bool norm_first;                  /* x + f(LN x) and a last LN, instead of LN(x + f(x)) */
    bool causal;                      /* a token attends to itself and earlier ones only */
    bool in_out;                      /* a block's matrices are [in, out] (Conv1D), not [out, in] (Linear) */
    bool scaled_init;                 /* from scratch, projections into the stream get sd / sqrt(2 L) */
    bool padding_row;                 /* the padding token's embedding starts at zero and gets no gradient */
    bool offset_positions;            /* the first token has position pad_token_id + 1 */
    uint32_t dropout_sites;           /* bit per rl_site */
    const char *roots[4];             /* what names of encoder tensors start with when a file leaves the prefix out */
    const char *names[RL_ROLE_COUNT]; /* "{}" stands for the layer; NULL: this architecture has no such tensor */
};

const rl_architecture *rl_architecture_find(const char *model_type);
const char *rl_architecture_nearest(const char *model_type); /* NULL: none is near */
void rl_architecture_list(char *text, size_t size);          /* "bert, distilbert, ..." for messages */

/* --------------------------------------------------------------------------------------------- layout */

/* Fill model->parameters, num_parameters and num_weights from model->config; allocates zeroed weights when
 * with_weights. */
rl_status rl_model_layout(rl_model *model, bool with_weights, rl_error *err);
/* Position in model->parameters of a role that the architecture has; layer is ignored for roles outside the blocks. */
int64_t rl_parameter_index(const rl_model *model, rl_role role, int64_t layer);
/* The flat offset of a role's tensor. */
int64_t rl_offset_of(const rl_model *model, rl_role role, int64_t layer);
/* The role's span inside a flat array laid out as model->weights (weights, gradients, moments). */
static inline float *rl_tensor(const rl_model *model, float *flat, rl_role role, int64_t layer)
{
    return flat + model->parameters[rl_parameter_index(model, role, layer)].offset;
}
static inline const float *rl_weight(const rl_model *model, rl_role role, int64_t layer)
{
    return rl_tensor(model, model->weights, role, layer);
}
bool rl_has_role(const rl_model *model, rl_role role);
bool rl_is_head_parameter(const rl_model *model, int64_t index);

/* ----------------------------------------------------------------------------------------------- masks */

/* Zero the masked units of a site and layer in x, T rows as wide as the site: values forward, gradients backward. */
void rl_apply_masks(const rl_model *model, rl_unit_site site, int64_t layer, float *x, int64_t T);
/* The "relearn_masks" of config.json; root NULL: none. */
rl_status rl_masks_to_json(json_t **out, const rl_model_masks *masks, rl_error *err);
rl_status rl_masks_from_json(rl_model *model, json_t *root, const char *path, rl_error *err);
bool rl_names_equal(const rl_names *a, const rl_names *b);
rl_status rl_names_copy(rl_names **out, const rl_names *names, rl_error *err);

/* ------------------------------------------------------------------------------------------ config.json */

/* Fill out from parsed JSON; path only for messages. */
rl_status rl_config_from_json(rl_model_config *out, const json_t *root, const char *path, rl_error *err);
/* "architectures" names a *ForTokenClassification (true also when the key is absent and if_absent says so). */
bool rl_config_names_token_classifier(const json_t *root, bool if_absent);
/* The optional "relearn_random_init": SEED. *present false when the key is not there. */
rl_status rl_config_random_init(const json_t *root, const char *path, bool *present, uint64_t *seed, rl_error *err);

/* ----------------------------------------------------------------------------------------- safetensors */

#define RL_TENSOR_MAX_DIMS 8
typedef enum rl_dtype { RL_DTYPE_F32, RL_DTYPE_F16, RL_DTYPE_BF16, RL_DTYPE_OTHER } rl_dtype;

typedef struct rl_tensor_view {
    const char *name, *dtype_name, *file; /* borrowed from the owner below */
    rl_dtype dtype;
    int num_dims;
    int64_t shape[RL_TENSOR_MAX_DIMS], count;
    const char *data;   /* maybe unaligned; little-endian */
    size_t begin, size; /* bytes, in the file's data section */
    bool used;
} rl_tensor_view;

/* One safetensors file: the mapping, its parsed header, and one view per tensor in order of data offset. */
typedef struct rl_safetensors {
    char *path;
    rl_file_view file;
    json_t *header;
    rl_tensor_view *tensors;
    size_t num_tensors;
} rl_safetensors;
rl_status rl_safetensors_open(rl_safetensors *out, const char *path, rl_error *err);
void rl_safetensors_close(rl_safetensors *file); /* zero-initialised is fine */
/* Convert F32, F16 or BF16 to float: values[count]. */
void rl_tensor_to_float(float *values, const rl_tensor_view *tensor);
float rl_half_to_float(uint16_t bits);
/* All parameters of the model as F32, `__metadata__` {"format": "pt"}; written aside and renamed. */
rl_status rl_safetensors_write(const char *path, const rl_model *model, rl_error *err);

/* ----------------------------------------------------------------------------------------- weight files */

/* The weights of a Hub folder, in one file or in shards, by name. */
typedef struct rl_weight_files {
    char *name; /* the single file or the index, for messages; NULL: the folder has no weights */
    rl_safetensors *files;
    size_t num_files;
    rl_tensor_view **sorted; /* by name, for lookup */
    size_t num_tensors;
} rl_weight_files;
/* out->name stays NULL when the folder has no weights at all; a folder with only foreign formats is RL_ERR_INPUT. */
rl_status rl_weight_files_open(rl_weight_files *out, const char *folder, rl_error *err);
void rl_weight_files_close(rl_weight_files *files);
/* Tensor of one parameter under any accepted spelling (with or without prefix, gamma/beta), or NULL. */
rl_tensor_view *rl_weight_files_find(const rl_weight_files *files, const rl_model *model, int64_t parameter);
/* Find every parameter (the head's only when with_head), check dtype and shape, and copy into the weights when
 * model->weights is there. Then refuse encoder tensors that no parameter asked for. */
rl_status rl_weight_files_read(rl_weight_files *files, rl_model *model, bool with_head, rl_error *err);

/* -------------------------------------------------------------------------------------- initialisation */

/* Every weight "from scratch" (protocol §2.2) as a function of the seed. */
void rl_init_all(rl_model *model, uint64_t seed);
/* Only the head: N(0, initializer_range) and zero bias. */
void rl_init_head(rl_model *model, uint64_t seed);

/* ------------------------------------------------------------------------------------------ activations */

/* What one block computes. Training keeps one per layer; in eval all layers share one. Shapes: T tokens. */
typedef struct rl_block_buffers {
    float *qkv;           /* [T, 3C] */
    float *probs;         /* softmax, per sentence [H, n, n] */
    float *context;       /* [T, C] attention output before its projection */
    float *sum1;          /* [T, C] stream after attention; goes into the next LayerNorm */
    float *mean1, *rstd1; /* [T] of the attention half's LayerNorm */
    float *middle;        /* [T, C] input of the feed-forward network */
    float *pre;           /* [T, F] input of GELU */
    float *gelu;          /* [T, F] */
    float *sum2; /* [T, C] input of the second LayerNorm. Norms first: output of the first (attention's input) */
    float *mean2, *rstd2; /* [T] of the feed-forward half's LayerNorm */
} rl_block_buffers;

struct rl_workspace {
    rl_arena *arena;
    bool training;
    rl_bf16 *bf16; /* NULL: products of float32 factors */
    rl_unit_site watched; /* rl_workspace_watch */
    float *copy;          /* NULL: nobody watches */
    int64_t max_tokens, max_sentences, max_length, max_attention;
    float *attention_scratch;
    float *outer_sum;               /* [T, C] input of the LayerNorm outside blocks: the embeddings', or the last */
    float *outer_mean, *outer_rstd; /* [T] */
    float **hidden;                 /* [L+1] of [T, C]; eval: all the same */
    rl_block_buffers *block;        /* [L]; eval: all the same */
    float *head_input;              /* [T, C] after the head's dropout; also the backward pass's second buffer */
    float *logits, *dlogits;        /* [T, K] */
    /* backward only */
    float *dhidden; /* [T, C] gradient of the stream, turned in place from layer to layer */
    float *wide;    /* [T, max(F, 4C)]: dgelu, or dcontext beside dqkv */
};

/* The dropout of one place, or none when dropout is NULL or the architecture has no such site. */
rl_dropout rl_dropout_at(const rl_model *model, const rl_model_dropout *dropout, rl_site site, int64_t layer);

/* Hidden state 0 into hidden [T, C]. */
void rl_embedding_layer_forward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, float *hidden,
                                const rl_model_dropout *dropout);
/* One block: y [T, C] from x [T, C]; y may be x (then only eval mode is possible). */
void rl_block_forward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, int64_t layer, float *y,
                      const float *x, const rl_model_dropout *dropout);
/* Gradients of one block; dstream [T, C] holds d(output) on entry and d(input) on return. */
void rl_block_backward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, int64_t layer,
                       float *dstream, float *gradients, const rl_model_dropout *dropout);
/* dstream [T, C]: d(hidden state 0); destroyed. */
void rl_embedding_layer_backward(const rl_model *model, rl_workspace *workspace, const rl_batch *batch, float *dstream,
                                 float *gradients, const rl_model_dropout *dropout);

#endif
