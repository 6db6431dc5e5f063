/* grouping.c -- which ranks train together: a function of the sweep and the number of ranks. */
#include "sweep_internal.h"

rl_grouping rl_grouping_of(const rl_sweep *sweep, int32_t num_ranks)
{
    int32_t size = 1, working = num_ranks > 1 ? num_ranks - 1 : 1;
    for (int64_t r = 0; r < sweep->num_runs; r++)
        if (sweep->runs[r].settings.train.ranks > size) size = (int32_t)sweep->runs[r].settings.train.ranks;
    int32_t groups = size > 1 ? working / size : 0;
    if (groups == 0) return (rl_grouping){1, 0, working};
    return (rl_grouping){size, groups, groups + working % size};
}

int32_t rl_grouping_rank(const rl_grouping *g, int32_t worker)
{
    return worker < g->num_groups ? 1 + worker * g->size : 1 + g->num_groups * (g->size - 1) + worker;
}

int32_t rl_grouping_worker(const rl_grouping *g, int32_t rank)
{
    int32_t grouped = g->num_groups * g->size;
    return rank <= grouped ? (rank - 1) / g->size : g->num_groups + rank - 1 - grouped;
}

int32_t rl_grouping_first_light(const rl_grouping *g) { return g->num_groups ? g->num_groups : g->num_workers; }

int32_t rl_recommended_ranks_per_run(const rl_plan *plan, int32_t num_ranks)
{
    const rl_sweep *sweep = plan->sweep;
    int64_t runs = 0, most = RL_MAX_RANKS_PER_RUN;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        int32_t count = plan->num_run_nodes[r];
        if (count == 0 || plan->nodes[plan->run_nodes[r][count - 1]].done || sweep->runs[r].skipped) continue;
        runs++;
        if (sweep->runs[r].settings.train.batch_size < most) most = sweep->runs[r].settings.train.batch_size;
    }
    int64_t each = runs ? (num_ranks - 1) / runs : 0;
    if (each > most) each = most; /* a share of less than a sentence is empty */
    return each > 1 && each > rl_grouping_of(sweep, num_ranks).size ? (int32_t)each : 0;
}

void rl_simulation_set_ranks(rl_simulation_options *options, const rl_sweep *sweep, int32_t num_ranks)
{
    const rl_grouping grouping = rl_grouping_of(sweep, num_ranks);
    options->num_workers = grouping.num_workers;
    options->num_light = grouping.num_workers - rl_grouping_first_light(&grouping);
}
