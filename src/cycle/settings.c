/* settings.c -- the three presets (protocol §0, §14). */
#include "cycle_internal.h"

rl_run_settings rl_run_defaults(rl_protocol protocol)
{
    const rl_probe_settings probe = rl_probe_defaults();
    rl_run_settings settings = {
        .protocol = protocol,
        .seed = 42, /* what transformers.TrainingArguments and the authors use */
        .train = rl_train_defaults(),
        .rank_method = RL_RANK_PROBELESS,
        .lambda1 = probe.lambda1,
        .lambda2 = probe.lambda2,
        .prune_site = RL_SITE_LAYER_NORM,
        .prune = {.select = RL_SELECT_CONCEPT, .ratio = 0.5, .permanent = false, .zero_beta = false},
        .retrain_rounds = 4,
        .retrain_epochs = 2,
        .top_words = 5,
        .cka_words = 1000,
    };
    if (protocol == RL_PROTOCOL_CORRECTED) return settings;
    settings.train.optimizer = RL_ADAMW_HF; /* transformers 4.29's default: what the authors ran */
    settings.train.order = RL_ORDER_HF4;
    settings.prune.ratio = -1.0; /* the protocol's own count */
    if (protocol == RL_PROTOCOL_HEAD) {
        settings.train.epochs = 5;
        settings.prune.select = RL_SELECT_RANDOM; /* the only branch HEAD runs (protocol §7.3) */
    }
    return settings;
}
