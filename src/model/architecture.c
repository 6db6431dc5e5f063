/* architecture.c -- one row of data per model_type, and the layout of the flat weights array.
 *
 * Adding RoBERTa or another post-LN encoder is a new row here; nothing else in the room knows an architecture by name.
 * Names and keys: protocol §2.3; dropout sites: protocol §2.2. */
#include "model_internal.h"

#include <string.h>

#define SITE(name) (1u << RL_SITE_##name)

static const rl_architecture architectures[] = {
    {
        .model_type = "bert",
        .class_name = "BertForTokenClassification",
        .prefix = "bert.",
        .keys = {.hidden_size = "hidden_size",
                 .num_layers = "num_hidden_layers",
                 .num_heads = "num_attention_heads",
                 .intermediate_size = "intermediate_size",
                 .activation = "hidden_act",
                 .dropout_hidden = "hidden_dropout_prob",
                 .dropout_attention = "attention_probs_dropout_prob",
                 .dropout_head = "classifier_dropout",
                 .layer_norm_eps = "layer_norm_eps",
                 .type_vocab_size = "type_vocab_size"},
        .default_eps = 1e-12f,
        .dropout_sites =
            SITE(EMBEDDING) | SITE(ATTENTION_PROBS) | SITE(ATTENTION_OUTPUT) | SITE(FFN_OUTPUT) | SITE(HEAD),
        .roots = {"embeddings.", "encoder.", "pooler."},
        .names = {"embeddings.word_embeddings.weight",
                  "embeddings.position_embeddings.weight",
                  "embeddings.token_type_embeddings.weight",
                  "embeddings.LayerNorm.weight",
                  "embeddings.LayerNorm.bias",
                  "encoder.layer.{}.attention.self.query.weight",
                  "encoder.layer.{}.attention.self.key.weight",
                  "encoder.layer.{}.attention.self.value.weight",
                  "encoder.layer.{}.attention.self.query.bias",
                  "encoder.layer.{}.attention.self.key.bias",
                  "encoder.layer.{}.attention.self.value.bias",
                  "encoder.layer.{}.attention.output.dense.weight",
                  "encoder.layer.{}.attention.output.dense.bias",
                  "encoder.layer.{}.attention.output.LayerNorm.weight",
                  "encoder.layer.{}.attention.output.LayerNorm.bias",
                  "encoder.layer.{}.intermediate.dense.weight",
                  "encoder.layer.{}.intermediate.dense.bias",
                  "encoder.layer.{}.output.dense.weight",
                  "encoder.layer.{}.output.dense.bias",
                  "encoder.layer.{}.output.LayerNorm.weight",
                  "encoder.layer.{}.output.LayerNorm.bias",
                  "classifier.weight",
                  "classifier.bias"},
    },
    {
        .model_type = "distilbert",
        .class_name = "DistilBertForTokenClassification",
        .prefix = "distilbert.",
        .keys = {.hidden_size = "dim",
                 .num_layers = "n_layers",
                 .num_heads = "n_heads",
                 .intermediate_size = "hidden_dim",
                 .activation = "activation",
                 .dropout_hidden = "dropout",
                 .dropout_attention = "attention_dropout"},
        .default_eps = 1e-12f, /* hard-coded in modeling_distilbert.py */
        .dropout_sites =
            SITE(EMBEDDING) | SITE(ATTENTION_PROBS) | SITE(FFN_OUTPUT) | SITE(HEAD), /* none after out_lin */
        .roots = {"embeddings.", "transformer."},
        .names = {"embeddings.word_embeddings.weight",
                  "embeddings.position_embeddings.weight",
                  NULL,
                  "embeddings.LayerNorm.weight",
                  "embeddings.LayerNorm.bias",
                  "transformer.layer.{}.attention.q_lin.weight",
                  "transformer.layer.{}.attention.k_lin.weight",
                  "transformer.layer.{}.attention.v_lin.weight",
                  "transformer.layer.{}.attention.q_lin.bias",
                  "transformer.layer.{}.attention.k_lin.bias",
                  "transformer.layer.{}.attention.v_lin.bias",
                  "transformer.layer.{}.attention.out_lin.weight",
                  "transformer.layer.{}.attention.out_lin.bias",
                  "transformer.layer.{}.sa_layer_norm.weight",
                  "transformer.layer.{}.sa_layer_norm.bias",
                  "transformer.layer.{}.ffn.lin1.weight",
                  "transformer.layer.{}.ffn.lin1.bias",
                  "transformer.layer.{}.ffn.lin2.weight",
                  "transformer.layer.{}.ffn.lin2.bias",
                  "transformer.layer.{}.output_layer_norm.weight",
                  "transformer.layer.{}.output_layer_norm.bias",
                  "classifier.weight",
                  "classifier.bias"},
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

static int64_t num_embedding_roles(const rl_model_config *config)
{
    return RL_FIRST_LAYER_ROLE - (has_role(config, RL_ROLE_TYPE) ? 0 : 1);
}

int64_t rl_parameter_index(const rl_model *model, rl_role role, int64_t layer)
{
    int64_t first = num_embedding_roles(&model->config);
    if (role < RL_FIRST_LAYER_ROLE) return role - (role > RL_ROLE_TYPE && !has_role(&model->config, RL_ROLE_TYPE));
    if (role < RL_FIRST_HEAD_ROLE) return first + layer * RL_ROLES_PER_LAYER + (role - RL_FIRST_LAYER_ROLE);
    return first + model->config.num_layers * RL_ROLES_PER_LAYER + (role - RL_FIRST_HEAD_ROLE);
}

bool rl_is_head_parameter(const rl_model *model, int64_t index)
{
    return index >= rl_parameter_index(model, RL_ROLE_HEAD_WEIGHT, 0);
}

/* Rows and columns of a role's tensor; columns 0 = a vector. */
static void role_shape(const rl_model_config *config, rl_role role, int64_t shape[2])
{
    int64_t C = config->hidden_size, F = config->intermediate_size;
    shape[0] = C;
    shape[1] = 0;
    switch (role) {
    case RL_ROLE_WORD: shape[0] = config->vocab_size, shape[1] = C; break;
    case RL_ROLE_POSITION: shape[0] = config->max_positions, shape[1] = C; break;
    case RL_ROLE_TYPE: shape[0] = config->type_vocab_size, shape[1] = C; break;
    case RL_ROLE_QUERY_WEIGHT:
    case RL_ROLE_KEY_WEIGHT:
    case RL_ROLE_VALUE_WEIGHT:
    case RL_ROLE_ATTENTION_OUT_WEIGHT: shape[1] = C; break;
    case RL_ROLE_FFN_IN_WEIGHT: shape[0] = F, shape[1] = C; break;
    case RL_ROLE_FFN_IN_BIAS: shape[0] = F; break;
    case RL_ROLE_FFN_OUT_WEIGHT: shape[1] = F; break;
    case RL_ROLE_HEAD_WEIGHT: shape[0] = config->num_labels, shape[1] = C; break;
    case RL_ROLE_HEAD_BIAS: shape[0] = config->num_labels; break;
    default: break; /* biases and LayerNorms over C */
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
        for (int role = RL_FIRST_LAYER_ROLE; role < RL_FIRST_HEAD_ROLE; role++)
            add_parameter(model, (rl_role)role, layer);
    for (int role = RL_FIRST_HEAD_ROLE; role < RL_ROLE_COUNT; role++) add_parameter(model, (rl_role)role, 0);
    model->num_weights = (model->num_weights + 15) / 16 * 16;
    if (with_weights) RL_ALLOC(model->weights, model->num_weights, err);
cleanup:
    return status;
}

const rl_parameter *rl_model_find(const rl_model *model, const char *name)
{
    for (int64_t i = 0; i < model->num_parameters; i++)
        if (strcmp(model->parameters[i].name, name) == 0) return &model->parameters[i];
    return NULL;
}

rl_norm_offsets rl_model_norm_of_hidden_state(const rl_model *model, int64_t layer)
{
    rl_role gamma = layer > 0 ? RL_ROLE_OUTPUT_GAMMA : RL_ROLE_EMBEDDING_GAMMA;
    rl_role beta = layer > 0 ? RL_ROLE_OUTPUT_BETA : RL_ROLE_EMBEDDING_BETA;
    rl_norm_offsets offsets = {model->parameters[rl_parameter_index(model, gamma, layer - 1)].offset,
                               model->parameters[rl_parameter_index(model, beta, layer - 1)].offset};
    return offsets;
}

int64_t rl_model_word_embeddings(const rl_model *model)
{
    return model->parameters[rl_parameter_index(model, RL_ROLE_WORD, 0)].offset;
}
