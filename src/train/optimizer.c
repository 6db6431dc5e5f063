/* optimizer.c -- clip by global norm, AdamW on every tensor, pruned weights held at zero. Source: protocol §3. */
#include "train_internal.h"

#include <math.h>

rl_status rl_optimizer_create(rl_optimizer_state *out, rl_model *model, const rl_train_settings *settings,
                              const rl_weight_mask *mask, rl_error *err)
{
    rl_status status = RL_OK;
    rl_optimizer_state state = {.model = model, .settings = settings, .mask = mask};
    for (int64_t i = 0; mask && i < mask->count; i++)
        if (mask->offsets[i] < 0 || mask->offsets[i] >= model->num_weights)
            return rl_fail(err, RL_ERR_INPUT, "masked weight %lld; the model has weights 0 to %lld",
                           (long long)mask->offsets[i], (long long)model->num_weights - 1);
    RL_ALLOC(state.gradients, model->num_weights, err);
    RL_ALLOC(state.m, model->num_weights, err);
    RL_ALLOC(state.v, model->num_weights, err);
    RL_ALLOC(state.squares, model->num_parameters, err);
    *out = state;
    return RL_OK;
cleanup:
    rl_optimizer_clear(&state);
    return status;
}

void rl_optimizer_clear(rl_optimizer_state *state)
{
    rl_free(state->gradients);
    rl_free(state->m);
    rl_free(state->v);
    rl_free(state->squares);
    rl_lazy_rows_clear(&state->words);
    *state = (rl_optimizer_state){0};
}

static bool is_lazy(const rl_optimizer_state *state, int64_t tensor)
{
    return state->lazy && tensor == state->words.tensor;
}

static void square_tensor(void *context, int worker, int64_t i)
{
    const rl_optimizer_state *state = context;
    const rl_parameter *tensor = &state->model->parameters[i];
    (void)worker;
    state->squares[i] = is_lazy(state, i) ? rl_lazy_rows_sum_of_squares(state)
                                          : rl_sum_of_squares(state->gradients + tensor->offset, tensor->count);
}

/* torch.nn.utils.clip_grad_norm_: the norm of the tensors' norms, here without leaving float64. A tensor's squares are one
 * thread's, so that they are added in one order. */
double rl_optimizer_gradient_norm(rl_optimizer_state *state)
{
    double sum = 0;
    rl_share_out(state->model->num_parameters, square_tensor, state);
    for (int64_t i = 0; i < state->model->num_parameters; i++) sum += state->squares[i];
    return sqrt(sum);
}

void rl_optimizer_apply_mask(rl_optimizer_state *state)
{
    for (int64_t i = 0; state->mask && i < state->mask->count; i++) {
        int64_t at = state->mask->offsets[i];
        state->model->weights[at] = state->m[at] = state->v[at] = 0.0f;
    }
}

static float clip_factor(double norm, double limit)
{
    double factor = limit > 0 ? limit / (norm + 1e-6) : 1.0;
    return factor < 1.0 ? (float)factor : 1.0f;
}

rl_adamw rl_optimizer_adamw(const rl_train_settings *settings, int64_t t, double learning_rate)
{
    return (rl_adamw){.variant = settings->optimizer,
                      .learning_rate = learning_rate,
                      .beta1 = settings->adam_beta1,
                      .beta2 = settings->adam_beta2,
                      .eps = settings->adam_epsilon,
                      .step = t,
                      .gradient_scale = 1.0f};
}

rl_adamw rl_optimizer_clipped(const rl_optimizer_state *state, int64_t t, double learning_rate, double norm)
{
    rl_adamw adamw = rl_optimizer_adamw(state->settings, t, learning_rate);
    adamw.gradient_scale = clip_factor(norm, state->settings->max_grad_norm);
    return adamw;
}

void rl_optimizer_update_span(rl_optimizer_state *state, rl_adamw adamw, int64_t from, int64_t to)
{
    for (int64_t i = 0; i < state->model->num_parameters; i++) {
        const rl_parameter *tensor = &state->model->parameters[i];
        int64_t at = tensor->offset > from ? tensor->offset : from, end = tensor->offset + tensor->count;
        if (end > to) end = to;
        if (at >= end || is_lazy(state, i)) continue;
        adamw.weight_decay = tensor->decay ? state->settings->weight_decay : 0.0;
        rl_adamw_step(state->model->weights + at, state->gradients + at, state->m + at, state->v + at, end - at, adamw);
    }
}

void rl_optimizer_update_words(rl_optimizer_state *state, rl_adamw adamw)
{
    if (!state->lazy) return;
    adamw.weight_decay = state->model->parameters[state->words.tensor].decay ? state->settings->weight_decay : 0.0;
    rl_lazy_rows_update(state, adamw);
}

void rl_optimizer_update(rl_optimizer_state *state, int64_t t, double learning_rate, double norm)
{
    rl_adamw adamw = rl_optimizer_clipped(state, t, learning_rate, norm);
    rl_optimizer_update_words(state, adamw);
    rl_optimizer_update_span(state, adamw, 0, state->model->num_weights);
    rl_optimizer_apply_mask(state);
}
