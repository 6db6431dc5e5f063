/* architecture.c -- one row of data per model_type, and the layout of the flat weights array.
 *
 * A family that differs from these in names, keys, norm placement, mask, matrix layout or dropout sites is a new row
 * here;
 * nothing else in the room knows an architecture by name.
 * Names and keys: protocol §2.3; dropout sites: protocol §2.2. */
#include "model_internal.h"

#include <string.h>

#define SITE(name) (1u << RL_SITE_##name)

/* BERT's names, which RoBERTa and ELECTRA took over. */
#define BERT_KEYS                                                                                                     \
    .hidden_size = "hidden_size", .num_layers = "num_hidden_layers", .num_heads = "num_attention_heads",              \
    .max_positions = "max_position_embeddings", .intermediate_size = "intermediate_size", .activation = "hidden_act", \
    .dropout_hidden = "hidden_dropout_prob", .dropout_attention = "attention_probs_dropout_prob",                     \
    .dropout_head = {"classifier_dropout"}, .layer_norm_eps = "layer_norm_eps", .type_vocab_size = "type_vocab_size"
#define BERT_NAMES                                                                                                     \
    {                                                                                                                  \
        [RL_ROLE_WORD] = "embeddings.word_embeddings.weight",                                                          \
        [RL_ROLE_POSITION] = "embeddings.position_embeddings.weight",                                                  \
        [RL_ROLE_TYPE] = "embeddings.token_type_embeddings.weight",                                                    \
        [RL_ROLE_EMBEDDING_GAMMA] = "embeddings.LayerNorm.weight",                                                     \
        [RL_ROLE_EMBEDDING_BETA] = "embeddings.LayerNorm.bias",                                                        \
        [RL_ROLE_QUERY_WEIGHT] = "encoder.layer.{}.attention.self.query.weight",                                       \
        [RL_ROLE_KEY_WEIGHT] = "encoder.layer.{}.attention.self.key.weight",                                           \
        [RL_ROLE_VALUE_WEIGHT] = "encoder.layer.{}.attention.self.value.weight",                                       \
        [RL_ROLE_QUERY_BIAS] = "encoder.layer.{}.attention.self.query.bias",                                           \
        [RL_ROLE_KEY_BIAS] = "encoder.layer.{}.attention.self.key.bias",                                               \
        [RL_ROLE_VALUE_BIAS] = "encoder.layer.{}.attention.self.value.bias",                                           \
        [RL_ROLE_ATTENTION_OUT_WEIGHT] = "encoder.layer.{}.attention.output.dense.weight",                             \
        [RL_ROLE_ATTENTION_OUT_BIAS] = "encoder.layer.{}.attention.output.dense.bias",                                 \
        [RL_ROLE_ATTENTION_GAMMA] = "encoder.layer.{}.attention.output.LayerNorm.weight",                              \
        [RL_ROLE_ATTENTION_BETA] = "encoder.layer.{}.attention.output.LayerNorm.bias",                                 \
        [RL_ROLE_FFN_IN_WEIGHT] = "encoder.layer.{}.intermediate.dense.weight",                                        \
        [RL_ROLE_FFN_IN_BIAS] = "encoder.layer.{}.intermediate.dense.bias",                                            \
        [RL_ROLE_FFN_OUT_WEIGHT] = "encoder.layer.{}.output.dense.weight",                                             \
        [RL_ROLE_FFN_OUT_BIAS] = "encoder.layer.{}.output.dense.bias",                                                 \
        [RL_ROLE_OUTPUT_GAMMA] = "encoder.layer.{}.output.LayerNorm.weight",                                           \
        [RL_ROLE_OUTPUT_BETA] = "encoder.layer.{}.output.LayerNorm.bias", [RL_ROLE_HEAD_WEIGHT] = "classifier.weight", \
        [RL_ROLE_HEAD_BIAS] = "classifier.bias",                                                                       \
    }
#define ALL_SITES (SITE(EMBEDDING) | SITE(ATTENTION_PROBS) | SITE(ATTENTION_OUTPUT) | SITE(FFN_OUTPUT) | SITE(HEAD))

static const rl_architecture architectures[] = {
    {
        .model_type = "bert",
        .class_name = "BertForTokenClassification",
        .prefix = "bert.",
        .keys = {BERT_KEYS},
        .default_activation = "gelu",
        .default_eps = 1e-12f,
        .default_dropout_head = -1,
        .padding_row = true,
        .dropout_sites = ALL_SITES,
        .roots = {"embeddings.", "encoder.", "pooler."},
        .names = BERT_NAMES,
    },
    {
        .model_type = "distilbert",
        .class_name = "DistilBertForTokenClassification",
        .prefix = "distilbert.",
        .keys = {.hidden_size = "dim",
                 .num_layers = "n_layers",
                 .num_heads = "n_heads",
                 .max_positions = "max_position_embeddings",
                 .intermediate_size = "hidden_dim",
                 .activation = "activation",
                 .dropout_hidden = "dropout",
                 .dropout_attention = "attention_dropout"},
        .default_activation = "gelu",
        .default_eps = 1e-12f, /* hard-coded in modeling_distilbert.py */
        .default_dropout_head = -1,
        .padding_row = true,
        .dropout_sites =
            SITE(EMBEDDING) | SITE(ATTENTION_PROBS) | SITE(FFN_OUTPUT) | SITE(HEAD), /* none after out_lin */
        .roots = {"embeddings.", "transformer."},
        .names =
            {
                [RL_ROLE_WORD] = "embeddings.word_embeddings.weight",
                [RL_ROLE_POSITION] = "embeddings.position_embeddings.weight",
                [RL_ROLE_EMBEDDING_GAMMA] = "embeddings.LayerNorm.weight",
                [RL_ROLE_EMBEDDING_BETA] = "embeddings.LayerNorm.bias",
                [RL_ROLE_QUERY_WEIGHT] = "transformer.layer.{}.attention.q_lin.weight",
                [RL_ROLE_KEY_WEIGHT] = "transformer.layer.{}.attention.k_lin.weight",
                [RL_ROLE_VALUE_WEIGHT] = "transformer.layer.{}.attention.v_lin.weight",
                [RL_ROLE_QUERY_BIAS] = "transformer.layer.{}.attention.q_lin.bias",
                [RL_ROLE_KEY_BIAS] = "transformer.layer.{}.attention.k_lin.bias",
                [RL_ROLE_VALUE_BIAS] = "transformer.layer.{}.attention.v_lin.bias",
                [RL_ROLE_ATTENTION_OUT_WEIGHT] = "transformer.layer.{}.attention.out_lin.weight",
                [RL_ROLE_ATTENTION_OUT_BIAS] = "transformer.layer.{}.attention.out_lin.bias",
                [RL_ROLE_ATTENTION_GAMMA] = "transformer.layer.{}.sa_layer_norm.weight",
                [RL_ROLE_ATTENTION_BETA] = "transformer.layer.{}.sa_layer_norm.bias",
                [RL_ROLE_FFN_IN_WEIGHT] = "transformer.layer.{}.ffn.lin1.weight",
                [RL_ROLE_FFN_IN_BIAS] = "transformer.layer.{}.ffn.lin1.bias",
                [RL_ROLE_FFN_OUT_WEIGHT] = "transformer.layer.{}.ffn.lin2.weight",
                [RL_ROLE_FFN_OUT_BIAS] = "transformer.layer.{}.ffn.lin2.bias",
                [RL_ROLE_OUTPUT_GAMMA] = "transformer.layer.{}.output_layer_norm.weight",
                [RL_ROLE_OUTPUT_BETA] = "transformer.layer.{}.output_layer_norm.bias",
                [RL_ROLE_HEAD_WEIGHT] = "classifier.weight",
                [RL_ROLE_HEAD_BIAS] = "classifier.bias",
            },
    },
    {
        .model_type = "roberta", /* DistilRoBERTa too */
        .class_name = "RobertaForTokenClassification",
        .prefix = "roberta.",
        .keys = {BERT_KEYS},
        .default_activation = "gelu",
        .default_eps = 1e-12f,
        .default_dropout_head = -1,
        .default_pad = 1,
        .padding_row = true,
        .offset_positions = true,
        .dropout_sites = ALL_SITES,
        .roots = {"embeddings.", "encoder.", "pooler."},
        .names = BERT_NAMES,
    },
    {
        .model_type = "electra",
        .class_name = "ElectraForTokenClassification",
        .prefix = "electra.",
        .keys = {BERT_KEYS, .embedding_size = "embedding_size"},
        .default_activation = "gelu",
        .default_eps = 1e-12f,
        .default_dropout_head = -1,
        .default_embedding_size = 128,
        .padding_row = true,
        .dropout_sites = ALL_SITES,
        .roots = {"embeddings.", "embeddings_project.", "encoder."},
        .names = BERT_NAMES,
    },
    {
        .model_type = "gpt2", /* DistilGPT2 too */
        .class_name = "GPT2ForTokenClassification",
        .prefix = "transformer.",
        .keys = {.hidden_size = "n_embd",
                 .num_layers = "n_layer",
                 .num_heads = "n_head",
                 .max_positions = "n_positions",
                 .intermediate_size = "n_inner",
                 .activation = "activation_function",
                 .dropout_hidden = "resid_pdrop",
                 .dropout_attention = "attn_pdrop",
                 .dropout_embedding = "embd_pdrop",
                 .dropout_head = {"classifier_dropout", "hidden_dropout"},
                 .layer_norm_eps = "layer_norm_epsilon"},
        .default_activation = "gelu_new",
        .default_eps = 1e-5f,
        .default_dropout_head = 0.1f,
        .default_pad = -1,
        .intermediate_factor = 4,
        .norm_first = true,
        .causal = true,
        .in_out = true,
        .scaled_init = true,
        .dropout_sites = ALL_SITES,
        .roots = {"wte.", "wpe.", "h.", "ln_f."},
        .names =
            {
                [RL_ROLE_WORD] = "wte.weight",
                [RL_ROLE_POSITION] = "wpe.weight",
                [RL_ROLE_QUERY_WEIGHT] = "h.{}.attn.c_attn.weight",
                [RL_ROLE_QUERY_BIAS] = "h.{}.attn.c_attn.bias",
                [RL_ROLE_ATTENTION_OUT_WEIGHT] = "h.{}.attn.c_proj.weight",
                [RL_ROLE_ATTENTION_OUT_BIAS] = "h.{}.attn.c_proj.bias",
                [RL_ROLE_ATTENTION_GAMMA] = "h.{}.ln_1.weight",
                [RL_ROLE_ATTENTION_BETA] = "h.{}.ln_1.bias",
                [RL_ROLE_FFN_IN_WEIGHT] = "h.{}.mlp.c_fc.weight",
                [RL_ROLE_FFN_IN_BIAS] = "h.{}.mlp.c_fc.bias",
                [RL_ROLE_FFN_OUT_WEIGHT] = "h.{}.mlp.c_proj.weight",
                [RL_ROLE_FFN_OUT_BIAS] = "h.{}.mlp.c_proj.bias",
                [RL_ROLE_OUTPUT_GAMMA] = "h.{}.ln_2.weight",
                [RL_ROLE_OUTPUT_BETA] = "h.{}.ln_2.bias",
                [RL_ROLE_FINAL_GAMMA] = "ln_f.weight",
                [RL_ROLE_FINAL_BETA] = "ln_f.bias",
                [RL_ROLE_HEAD_WEIGHT] = "classifier.weight",
                [RL_ROLE_HEAD_BIAS] = "classifier.bias",
            },
    },
};
#define NUM_ARCHITECTURES (sizeof architectures / sizeof *architectures)

const rl_architecture *rl_architecture_find(const char *model_type)
{
    for (size_t i = 0; i < NUM_ARCHITECTURES; i++)
        if (strcmp(architectures[i].model_type, model_type) == 0) return &architectures[i];
    return NULL;
}

const char *rl_architecture_nearest(const char *model_type)
{
    const char *known[NUM_ARCHITECTURES];
    for (size_t i = 0; i < NUM_ARCHITECTURES; i++) known[i] = architectures[i].model_type;
    return rl_nearest_name(model_type, known, NUM_ARCHITECTURES);
}

void rl_architecture_list(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < NUM_ARCHITECTURES && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%s", i ? ", " : "", architectures[i].model_type);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* --------------------------------------------------------------------------------------------- layout */

static bool has_role(const rl_model_config *config, rl_role role) { return config->architecture->names[role] != NULL; }

bool rl_has_role(const rl_model *model, rl_role role) { return has_role(&model->config, role); }

/* How many of the roles first .. end - 1 the architecture has. */
static int64_t count_roles(const rl_model_config *config, int first, int end)
{
    int64_t n = 0;
    for (int role = first; role < end; role++) n += has_role(config, (rl_role)role);
    return n;
}

int64_t rl_parameter_index(const rl_model *model, rl_role role, int64_t layer)
{
    const rl_model_config *config = &model->config;
    if (role < RL_FIRST_LAYER_ROLE) return count_roles(config, 0, (int)role);
    int64_t index = count_roles(config, 0, RL_FIRST_LAYER_ROLE);
    int64_t per_layer = count_roles(config, RL_FIRST_LAYER_ROLE, RL_FIRST_LAST_ROLE);
    if (role < RL_FIRST_LAST_ROLE)
        return index + layer * per_layer + count_roles(config, RL_FIRST_LAYER_ROLE, (int)role);
    return index + config->num_layers * per_layer + count_roles(config, RL_FIRST_LAST_ROLE, (int)role);
}

bool rl_is_head_parameter(const rl_model *model, int64_t index)
{
    return index >= rl_parameter_index(model, RL_ROLE_HEAD_WEIGHT, 0);
}

/* What goes into and comes out of a role's matrix; in 0: a vector or a table of `out` rows. */
static void role_sizes(const rl_model_config *config, rl_role role, int64_t *out, int64_t *in)
{
    int64_t C = config->hidden_size, F = config->intermediate_size;
    int64_t trio = config->architecture->names[RL_ROLE_KEY_WEIGHT] ? C : 3 * C;
    *out = C;
    *in = 0;
    switch (role) {
    case RL_ROLE_QUERY_WEIGHT: *out = trio, *in = C; break;
    case RL_ROLE_QUERY_BIAS: *out = trio; break;
    case RL_ROLE_KEY_WEIGHT:
    case RL_ROLE_VALUE_WEIGHT:
    case RL_ROLE_ATTENTION_OUT_WEIGHT: *in = C; break;
    case RL_ROLE_FFN_IN_WEIGHT: *out = F, *in = C; break;
    case RL_ROLE_FFN_IN_BIAS: *out = F; break;
    case RL_ROLE_FFN_OUT_WEIGHT: *in = F; break;
    default: break; /* biases and LayerNorms over C */
    }
}

/* Rows and columns of a role's tensor as stored; columns 0 = a vector. */
static void role_shape(const rl_model_config *config, rl_role role, int64_t shape[2])
{
    int64_t C = config->hidden_size, out, in;
    role_sizes(config, role, &out, &in);
    shape[0] = config->architecture->in_out && in ? in : out;
    shape[1] = config->architecture->in_out && in ? out : in;
    switch (role) {
    case RL_ROLE_WORD: shape[0] = config->vocab_size, shape[1] = C; break;
    case RL_ROLE_POSITION: shape[0] = config->position_offset + config->max_positions, shape[1] = C; break;
    case RL_ROLE_TYPE: shape[0] = config->type_vocab_size, shape[1] = C; break;
    case RL_ROLE_HEAD_WEIGHT: shape[0] = config->num_labels, shape[1] = C; break;
    case RL_ROLE_HEAD_BIAS: shape[0] = config->num_labels, shape[1] = 0; break;
    default: break;
    }
}

static void spell(char name[128], const rl_architecture *architecture, rl_role role, int64_t layer)
{
    const char *pattern = architecture->names[role], *hole = strstr(pattern, "{}");
    const char *prefix = role < RL_FIRST_HEAD_ROLE ? architecture->prefix : "";
    if (hole)
        snprintf(name, 128, "%s%.*s%lld%s", prefix, (int)(hole - pattern), pattern, (long long)layer, hole + 2);
    else
        snprintf(name, 128, "%s%s", prefix, pattern);
}

/* Key and value follow query without a gap: the fused trio. Everything else starts on a 16-float (64-byte) boundary. */
static bool continues_trio(rl_role role)
{
    return role == RL_ROLE_KEY_WEIGHT || role == RL_ROLE_VALUE_WEIGHT || role == RL_ROLE_KEY_BIAS ||
           role == RL_ROLE_VALUE_BIAS;
}

static void add_parameter(rl_model *model, rl_role role, int64_t layer)
{
    rl_parameter *parameter = &model->parameters[model->num_parameters];
    int64_t shape[2];
    if (!has_role(&model->config, role)) return;
    role_shape(&model->config, role, shape);
    spell(parameter->name, model->config.architecture, role, layer);
    parameter->num_dims = shape[1] ? 2 : 1;
    parameter->shape[0] = shape[0];
    parameter->shape[1] = shape[1] ? shape[1] : 1;
    parameter->count = parameter->shape[0] * parameter->shape[1];
    parameter->decay = parameter->num_dims == 2; /* protocol §3: every matrix and table, no bias, no LayerNorm */
    if (!continues_trio(role)) model->num_weights = (model->num_weights + 15) / 16 * 16;
    parameter->offset = model->num_weights;
    model->num_weights += parameter->count;
    model->num_parameters++;
}

rl_status rl_model_layout(rl_model *model, bool with_weights, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t L = model->config.num_layers;
    RL_ALLOC(model->parameters, RL_ROLE_COUNT + L * RL_ROLES_PER_LAYER, err);
    model->num_parameters = model->num_weights = 0;
    for (int role = 0; role < RL_FIRST_LAYER_ROLE; role++) add_parameter(model, (rl_role)role, 0);
    for (int64_t layer = 0; layer < L; layer++)
        for (int role = RL_FIRST_LAYER_ROLE; role < RL_FIRST_LAST_ROLE; role++)
            add_parameter(model, (rl_role)role, layer);
    for (int role = RL_FIRST_LAST_ROLE; role < RL_ROLE_COUNT; role++) add_parameter(model, (rl_role)role, 0);
    model->num_weights = (model->num_weights + 15) / 16 * 16;
    if (with_weights) RL_ALLOC(model->weights, model->num_weights, err);
cleanup:
    return status;
}

int64_t rl_model_depth_offset(const rl_model *model, int64_t depth)
{
    if (depth == 0) return 0;
    return depth > model->config.num_layers ? model->num_weights : rl_offset_of(model, RL_FIRST_LAYER_ROLE, depth - 1);
}

const rl_parameter *rl_model_find(const rl_model *model, const char *name)
{
    for (int64_t i = 0; i < model->num_parameters; i++)
        if (strcmp(model->parameters[i].name, name) == 0) return &model->parameters[i];
    return NULL;
}

int64_t rl_offset_of(const rl_model *model, rl_role role, int64_t layer)
{
    return model->parameters[rl_parameter_index(model, role, layer)].offset;
}

rl_norm_offsets rl_model_norm_of_hidden_state(const rl_model *model, int64_t layer)
{
    if (layer > 0)
        return (rl_norm_offsets){rl_offset_of(model, RL_ROLE_OUTPUT_GAMMA, layer - 1),
                                 rl_offset_of(model, RL_ROLE_OUTPUT_BETA, layer - 1)};
    bool own = rl_has_role(model, RL_ROLE_EMBEDDING_GAMMA);
    return (rl_norm_offsets){rl_offset_of(model, own ? RL_ROLE_EMBEDDING_GAMMA : RL_ROLE_ATTENTION_GAMMA, 0),
                             rl_offset_of(model, own ? RL_ROLE_EMBEDDING_BETA : RL_ROLE_ATTENTION_BETA, 0)};
}

int64_t rl_model_word_embeddings(const rl_model *model) { return rl_offset_of(model, RL_ROLE_WORD, 0); }
