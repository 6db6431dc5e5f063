/* sweep_dag.h -- plans made by hand, shaped as sweeps are: no model, no file. Shared by tests and bench/sweep. */
#ifndef RELEARN_TESTS_SWEEP_DAG_H
#define RELEARN_TESTS_SWEEP_DAG_H

#include "relearn/sweep.h"

typedef struct sweep_dag {
    rl_sweep sweep;
    rl_plan plan;
    rl_run_settings settings; /* all runs' */
} sweep_dag;

static inline int32_t sweep_dag_add(sweep_dag *d, rl_node_kind kind, rl_stage_kind of, int32_t round, int64_t run, double seconds,
                                    double bytes, const int32_t *depends, int32_t num_depends)
{
    rl_node *node = &d->plan.nodes[d->plan.num_nodes];
    *node = (rl_node){.kind = kind, .run = run, .seconds = seconds, .disk_bytes = bytes, .num_depends = num_depends};
    node->stage = (rl_stage){.kind = of, .round = round, .settings = &d->settings};
    node->depends = rl_calloc((size_t)num_depends, sizeof *depends, NULL);
    for (int32_t i = 0; i < num_depends; i++) node->depends[i] = depends[i];
    return d->plan.num_nodes++;
}

/* finetune -> identify -> prune -> analyse, and rounds of retrain -> analyse; `share` runs share fine-tuning. Times differ by
 * seed, so that workers do not march in step. A model is 1e8 bytes, an analysis 1e5. */
static inline void sweep_dag_make(sweep_dag *d, int64_t num_runs, int64_t share, int32_t rounds, rl_keep keep)
{
    const rl_node_kind stage = RL_NODE_STAGE;
    const double model = 1e8, table = 1e5;
    int32_t finetune = 0, identify = 0, stages[64];
    *d = (sweep_dag){.sweep = {.num_runs = num_runs, .policy = {.keep = keep}}};
    d->settings = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    d->settings.retrain_rounds = rounds;
    d->plan.sweep = &d->sweep;
    d->plan.nodes = rl_calloc((size_t)(num_runs * (5 + 2 * rounds)), sizeof(rl_node), NULL);
    for (int64_t r = 0; r < num_runs; r++) {
        int32_t count = 0;
        double pace = 0.9 + 0.2 * rl_rng_uniform(3, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)r);
        if (r % share == 0) {
            finetune = sweep_dag_add(d, stage, RL_STAGE_FINETUNE, 0, r, 100 * pace, model, NULL, 0);
            identify = sweep_dag_add(d, stage, RL_STAGE_IDENTIFY, 0, r, 5 * pace, table, (int32_t[]){finetune}, 1);
        }
        stages[count++] = finetune;
        stages[count++] = identify;
        int32_t last = sweep_dag_add(d, stage, RL_STAGE_PRUNE, 0, r, 0.1, model, (int32_t[]){finetune, identify}, 2);
        stages[count++] = last;
        stages[count] = sweep_dag_add(d, stage, RL_STAGE_ANALYSE, 0, r, 5 * pace, table, (int32_t[]){last, identify}, 2);
        count++;
        for (int32_t k = 1; k <= rounds; k++) {
            last = sweep_dag_add(d, stage, RL_STAGE_RETRAIN, k, r, 40 * pace, model, (int32_t[]){last}, 1);
            stages[count++] = last;
            stages[count] = sweep_dag_add(d, stage, RL_STAGE_ANALYSE, k, r, 5 * pace, table, (int32_t[]){last, identify}, 2);
            count++;
        }
        sweep_dag_add(d, RL_NODE_SHARD, RL_STAGE_FINETUNE, 0, r, 0.1, 4 * table, stages, count);
    }
}

static inline void sweep_dag_clear(sweep_dag *d)
{
    for (int32_t n = 0; n < d->plan.num_nodes; n++) rl_free(d->plan.nodes[n].depends);
    rl_free(d->plan.nodes);
}

#endif
