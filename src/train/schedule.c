/* schedule.c -- when: how many steps, which learning rate, which sentence next. Source of all three: protocol §3. */
#include "train_internal.h"

#include <math.h>

rl_train_settings rl_train_defaults(void)
{
    rl_train_settings settings = {.epochs = 3,
                                  .batch_size = 8,
                                  .learning_rate = 2e-5,
                                  .weight_decay = 0.01,
                                  .max_grad_norm = 1.0,
                                  .adam_beta1 = 0.9,
                                  .adam_beta2 = 0.999,
                                  .adam_epsilon = 1e-8,
                                  .dropout = -1,
                                  .shuffle = true,
                                  .optimizer = RL_ADAMW_TORCH,
                                  .order = RL_ORDER_HF5,
                                  .ranks = 1};
    return settings;
}

static rl_status check_count(int64_t value, int64_t least, const char *key, rl_error *err)
{
    if (value >= least) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "train.%s is %lld; expected %lld or more", key, (long long)value,
                   (long long)least);
}

/* NaN is outside every range. */
static rl_status check_range(double value, bool inside, const char *key, const char *range, rl_error *err)
{
    if (inside) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "train.%s is %g; expected %s", key, value, range);
}

rl_status rl_train_check_settings(const rl_train_settings *s, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(check_count(s->epochs, 1, "epochs", err));
    RL_TRY(check_count(s->batch_size, 1, "batch_size", err));
    RL_TRY(check_count(s->warmup_steps, 0, "warmup_steps", err));
    RL_TRY(check_count(s->max_steps, 0, "max_steps", err));
    if (s->ranks < 1 || s->ranks > RL_MAX_RANKS_PER_RUN)
        return rl_fail(err, RL_ERR_INPUT, "ranks_per_run is %lld; expected 1 to %d", (long long)s->ranks, RL_MAX_RANKS_PER_RUN);
    const char *positive = "a finite number, 0 or more", *below_one = "0 <= value < 1";
    RL_TRY(check_range(s->learning_rate, s->learning_rate >= 0 && isfinite(s->learning_rate), "learning_rate", positive,
                       err));
    RL_TRY(check_range(s->weight_decay, s->weight_decay >= 0 && isfinite(s->weight_decay), "weight_decay", positive,
                       err));
    RL_TRY(check_range(s->max_grad_norm, s->max_grad_norm >= 0 && isfinite(s->max_grad_norm), "max_grad_norm", positive,
                       err));
    RL_TRY(check_range(s->adam_beta1, s->adam_beta1 >= 0 && s->adam_beta1 < 1, "adam_beta1", below_one, err));
    RL_TRY(check_range(s->adam_beta2, s->adam_beta2 >= 0 && s->adam_beta2 < 1, "adam_beta2", below_one, err));
    RL_TRY(check_range(s->adam_epsilon, s->adam_epsilon > 0 && isfinite(s->adam_epsilon), "adam_epsilon",
                       "a finite number above 0", err));
    RL_TRY(check_range(s->dropout, s->dropout < 1, "dropout", "below 1 (negative: the model's own)", err));
cleanup:
    return status;
}

rl_status rl_train_check_machine(const rl_train_settings *s, rl_error *err)
{
    return s->precision == RL_PRECISION_BF16 ? rl_bf16_check(err) : RL_OK;
}

int64_t rl_train_steps_per_epoch(const rl_train_settings *settings, int64_t num_sentences)
{
    return (num_sentences + settings->batch_size - 1) / settings->batch_size; /* the short last batch counts */
}

int64_t rl_train_total_steps(const rl_train_settings *settings, int64_t num_sentences)
{
    return settings->epochs * rl_train_steps_per_epoch(settings, num_sentences);
}

int64_t rl_train_num_steps(const rl_train_settings *settings, int64_t num_sentences)
{
    int64_t total = rl_train_total_steps(settings, num_sentences);
    return settings->max_steps > 0 && settings->max_steps < total ? settings->max_steps : total;
}

/* transformers.optimization.get_linear_schedule_with_warmup */
double rl_train_learning_rate(const rl_train_settings *settings, int64_t k, int64_t total_steps)
{
    int64_t warmup = settings->warmup_steps;
    if (k < warmup) return settings->learning_rate * ((double)k / (double)warmup);
    int64_t left = total_steps - k, span = total_steps - warmup;
    return settings->learning_rate * ((double)(left > 0 ? left : 0) / (double)(span > 0 ? span : 1));
}

/* HF 4's Trainer draws the sampler's own seed as one int64 from a generator seeded with `seed`: high word first, sign
 * bit cleared. MT19937 keeps the low 32 bits of a seed, so the high word only uses up a draw. */
static uint32_t sampler_seed(uint64_t seed)
{
    rl_mt19937 generator;
    rl_mt19937_seed(&generator, (uint32_t)seed);
    (void)rl_mt19937_next(&generator);
    return rl_mt19937_next(&generator);
}

/* torch's RandomSampler draws a second permutation an epoch, for the remainder num_samples % n = 0: drawn, not used. */
static void order_hf4(int64_t *order, int64_t n, uint64_t seed, int64_t epoch)
{
    rl_mt19937 generator;
    rl_mt19937_seed(&generator, sampler_seed(seed));
    for (int64_t draw = 0; draw <= 2 * epoch; draw++) rl_mt19937_randperm(&generator, n, order);
}

/* accelerate's SeedableRandomSampler: a generator seeded with seed + epoch, one permutation. */
static void order_hf5(int64_t *order, int64_t n, uint64_t seed, int64_t epoch)
{
    rl_mt19937 generator;
    rl_mt19937_seed(&generator, (uint32_t)(seed + (uint64_t)epoch));
    rl_mt19937_randperm(&generator, n, order);
}

rl_status rl_train_order(int64_t *order, int64_t n, const rl_train_settings *settings, uint64_t seed, int64_t epoch,
                         rl_error *err)
{
    if (n < 0 || n >= (int64_t)UINT32_MAX || epoch < 0)
        return rl_fail(err, RL_ERR_INPUT, "no order of %lld sentences in epoch %lld; expected fewer than 2^32 - 1",
                       (long long)n, (long long)epoch);
    if (!settings->shuffle)
        for (int64_t i = 0; i < n; i++) order[i] = i;
    else if (settings->order == RL_ORDER_HF4)
        order_hf4(order, n, seed, epoch);
    else
        order_hf5(order, n, seed, epoch);
    return RL_OK;
}
