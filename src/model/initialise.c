/* initialise.c -- weights that no file gives: a new head, or a whole model "from scratch" (protocol §2.2).
 *
 * Element k of a tensor is a function of (seed, purpose, parameter, k) only, so any subset can be drawn in any order.
 */
#include "model_internal.h"

#include <math.h>
#include <string.h>

static void fill_normal(float *values, int64_t count, double sd, uint64_t seed, rl_purpose purpose, uint32_t stream)
{
    for (int64_t k = 0; k < count; k++) values[k] = (float)(sd * rl_rng_normal(seed, purpose, stream, 0, (uint64_t)k));
}

static void fill(float *values, int64_t count, float value)
{
    for (int64_t k = 0; k < count; k++) values[k] = value;
}

/* The formula of modeling_distilbert.py's _create_sinusoidal_embeddings. */
static void fill_sinusoidal(float *values, int64_t positions, int64_t C)
{
    for (int64_t p = 0; p < positions; p++)
        for (int64_t j = 0; j < C; j++) {
            double angle = (double)p / pow(10000.0, 2.0 * (double)(j / 2) / (double)C);
            values[p * C + j] = (float)(j % 2 ? cos(angle) : sin(angle));
        }
}

static void fill_gammas(rl_model *model)
{
    int64_t C = model->config.hidden_size;
    const rl_role outer[] = {RL_ROLE_EMBEDDING_GAMMA, RL_ROLE_FINAL_GAMMA};
    for (int i = 0; i < 2; i++)
        if (rl_has_role(model, outer[i])) fill(rl_tensor(model, model->weights, outer[i], 0), C, 1.0f);
    for (int64_t layer = 0; layer < model->config.num_layers; layer++) {
        fill(rl_tensor(model, model->weights, RL_ROLE_ATTENTION_GAMMA, layer), C, 1.0f);
        fill(rl_tensor(model, model->weights, RL_ROLE_OUTPUT_GAMMA, layer), C, 1.0f);
    }
}

/* GPT-2 draws what is added to the stream narrower: N(0, sd / sqrt(2 L)), modeling_gpt2.py's _init_weights. */
static double deviation(const rl_model *model, int64_t parameter)
{
    const rl_model_config *config = &model->config;
    for (int64_t layer = 0; config->architecture->scaled_init && layer < config->num_layers; layer++)
        if (parameter == rl_parameter_index(model, RL_ROLE_ATTENTION_OUT_WEIGHT, layer) ||
            parameter == rl_parameter_index(model, RL_ROLE_FFN_OUT_WEIGHT, layer))
            return config->initializer_range / sqrt(2.0 * (double)config->num_layers);
    return config->initializer_range;
}

void rl_init_all(rl_model *model, uint64_t seed)
{
    const rl_model_config *config = &model->config;
    int64_t C = config->hidden_size;
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *parameter = &model->parameters[i];
        float *values = model->weights + parameter->offset;
        if (parameter->num_dims == 2)
            fill_normal(values, parameter->count, deviation(model, i), seed, RL_PURPOSE_WEIGHT_INIT, (uint32_t)i);
        else
            fill(values, parameter->count, 0.0f);
    }
    fill_gammas(model);
    if (json_is_true(json_object_get(model->config_json, "sinusoidal_pos_embds")))
        fill_sinusoidal(rl_tensor(model, model->weights, RL_ROLE_POSITION, 0), config->max_positions, C);
    if (!config->architecture->padding_row || config->pad_token_id < 0) return; /* torch.nn.Embedding's padding_idx */
    fill(rl_tensor(model, model->weights, RL_ROLE_WORD, 0) + config->pad_token_id * C, C, 0.0f);
    if (config->architecture->offset_positions)
        fill(rl_tensor(model, model->weights, RL_ROLE_POSITION, 0) + config->pad_token_id * C, C, 0.0f);
}

void rl_init_head(rl_model *model, uint64_t seed)
{
    const rl_model_config *config = &model->config;
    fill_normal(rl_tensor(model, model->weights, RL_ROLE_HEAD_WEIGHT, 0), config->num_labels * config->hidden_size,
                config->initializer_range, seed, RL_PURPOSE_HEAD_INIT, 0);
    fill(rl_tensor(model, model->weights, RL_ROLE_HEAD_BIAS, 0), config->num_labels, 0.0f);
}
