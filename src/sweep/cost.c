/* cost.c -- predicted seconds and memory of a stage. */
#include "sweep_internal.h"

/* Amdahl's law with the share of a training step that stays on one thread (its loss, embeddings, and waiting at joins). */
double rl_threads_speedup(int32_t threads)
{
    const double alone = 0.04;
    return 1 / (alone + (1 - alone) / (threads > 1 ? threads : 1));
}

static bool trains(const rl_stage *stage) { return stage->kind == RL_STAGE_FINETUNE || stage->kind == RL_STAGE_RETRAIN; }

int32_t rl_stage_ranks(const rl_stage *stage, const rl_grouping *grouping)
{
    int64_t ranks = stage->settings->train.ranks;
    return trains(stage) && grouping->num_groups > 0 && ranks <= grouping->size ? (int32_t)ranks : 1;
}

/* A rank of a group makes a share of the FLOPs; what they send each other, and products of fewer rows, cost about a quarter.
 * bfloat16 factors: as bench_train_precision measures. */
static double speed_up(const rl_stage *stage, int32_t ranks)
{
    double precision = trains(stage) && stage->settings->train.precision == RL_PRECISION_BF16 ? 1.6 : 1;
    return precision * (ranks > 1 ? 0.75 * (double)ranks : 1);
}

/* Beyond the FLOPs: loading and saving a model, evaluation's text work, and top words (about 2 ns per neuron and word). */
double rl_stage_seconds(const rl_stage *stage, const rl_workload *workload, double gflops, int32_t ranks)
{
    const double write_bytes_per_s = 4e8, top_word_s = 2e-9;
    double seconds = 0.05 + rl_stage_flops(stage, workload) / (1e9 * gflops * speed_up(stage, ranks)) +
                     rl_stage_disk_bytes(stage, workload) / write_bytes_per_s;
    if (trains(stage)) { /* a checkpoint of weights and moments each epoch */
        double epochs = (double)(stage->kind == RL_STAGE_FINETUNE ? stage->settings->train.epochs : stage->settings->retrain_epochs);
        seconds += 3.0 * epochs * rl_stage_disk_bytes(stage, workload) / write_bytes_per_s;
    }
    if (stage->kind == RL_STAGE_IDENTIFY || stage->kind == RL_STAGE_ANALYSE)
        seconds += top_word_s * workload->concept_tokens *
                   (double)((workload->config.num_layers + 1) * workload->config.hidden_size);
    return seconds;
}

/* Training holds weights, gradients and two moments, and what backward needs of the longest possible batch; the analysis a
 * layer of the whole concept corpus, per sub-word and per word, and what lies inside a block where that is pruned. The larger
 * of the two, and the model's file, which is mapped while weights are copied from it. */
double rl_memory_bytes(const rl_workload *workload, const rl_run_settings *settings)
{
    const rl_model_config *c = &workload->config;
    rl_stage model_stage = {.kind = RL_STAGE_PRUNE, .settings = settings};
    double weights = rl_stage_disk_bytes(&model_stage, workload), C = (double)c->hidden_size, F = (double)c->intermediate_size;
    double tokens = (double)settings->train.batch_size * (double)workload->max_length;
    double attention = tokens * (double)workload->max_length * (double)c->num_heads;
    double activations = 4.0 * (double)c->num_layers * (tokens * (9 * C + 2 * F) + attention);
    double received = settings->train.ranks > 1 ? weights : 0; /* other ranks' gradients, or a second set of one's own */
    double inside = settings->prune_site == RL_SITE_FFN_UNIT ? F : settings->prune_site == RL_SITE_ATTENTION_HEAD ? C : 0;
    double training = 4 * weights + received + activations, analysis = weights + workload->concept_tokens * (8.0 * C + 4.0 * inside);
    return 1e8 + weights + (training > analysis ? training : analysis);
}
