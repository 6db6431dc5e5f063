/* carried.c -- how much of a score a unit hands on to the hidden state that its block writes. */
#include "model_internal.h"

#include <math.h>

/* |W| of input `in` on output c: Linear keeps [out, in], Conv1D [in, out]. */
static double weight(const rl_model *model, const float *W, int64_t in, int64_t c, int64_t num_in)
{
    int64_t C = model->config.hidden_size;
    return fabs((double)(model->config.architecture->in_out ? W[in * C + c] : W[c * num_in + in]));
}

void rl_model_carried_scores(double *score, const rl_model *model, rl_unit_site site, int64_t layer, const double *target)
{
    const rl_model_config *config = &model->config;
    int64_t C = config->hidden_size, units = rl_units_per_layer(config, site);
    rl_role role = site == RL_UNIT_FFN ? RL_ROLE_FFN_OUT_WEIGHT : RL_ROLE_ATTENTION_OUT_WEIGHT;
    int64_t num_in = site == RL_UNIT_FFN ? config->intermediate_size : C, wide = num_in / units;
    const float *W = model->weights + model->parameters[rl_parameter_index(model, role, layer)].offset;
    for (int64_t u = 0; u < units; u++) {
        score[u] = 0;
        for (int64_t in = u * wide; in < (u + 1) * wide; in++)
            for (int64_t c = 0; c < C; c++) score[u] += weight(model, W, in, c, num_in) * target[c];
    }
}
