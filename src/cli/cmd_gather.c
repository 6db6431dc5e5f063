/* cmd_gather.c: relearn gather DIR -- the shards of a sweep folder into DIR/results.h5, collectively. */
#include "cli.h"

#include <math.h>
#include <string.h>

static const rl_option options[] = {{NULL, NULL, NULL}};

/* What the journal and the shards say of each run, in the sweep's order. */
static rl_status describe_runs(rl_gather_run *runs, char **paths, const rl_sweep *sweep, const rl_sweep_status *known,
                               const char *directory, rl_error *err)
{
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        const rl_run_status *match = NULL;
        for (int64_t k = 0; k < known->num_runs && !match; k++)
            if (!strcmp(known->runs[k].id, sweep->runs[r].id)) match = &known->runs[k];
        bool done = match && !strcmp(match->state, "done"), failed = match && !strcmp(match->state, "failed");
        paths[r] = rl_plan_shard_path(directory, sweep->runs[r].id, err);
        if (!paths[r]) return RL_ERR_MEMORY;
        runs[r] = (rl_gather_run){.id = sweep->runs[r].id,
                                  .shard = done ? paths[r] : NULL,
                                  .status = done ? "done" : failed ? "failed" : "planned",
                                  .error = failed && match->error ? match->error : "",
                                  .seconds = done ? match->seconds : NAN};
    }
    return RL_OK;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *directory = args->operands[0];
    rl_sweep *sweep = NULL;
    rl_cycle *cycle = NULL;
    rl_plan *plan = NULL;
    rl_sweep_status *known = NULL;
    rl_gather_run *runs = NULL;
    char **paths = NULL, *file = rl_path_join(directory, "sweep.yaml", err);
    int64_t num_damaged = 0;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    status = file ? rl_linalg_init(NULL, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_sweep_status_read(&known, directory, err);
    if (status == RL_OK) status = rl_sweep_read(&sweep, file, NULL, 0, NULL, err);
    if (status == RL_OK) status = rl_cycle_create(&cycle, directory, NULL, err);
    if (status == RL_OK) status = rl_plan_create(&plan, sweep, cycle, directory, 0, err); /* gives the runs their ids */
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    RL_ALLOC(runs, sweep->num_runs, err);
    RL_ALLOC(paths, sweep->num_runs, err);
    RL_TRY(describe_runs(runs, paths, sweep, known, directory, err));
    RL_TRY(rl_store_gather(MPI_COMM_WORLD, directory, sweep, runs, &num_damaged, err));
    if (rank == 0) {
        printf("%s/results.h5: %lld of %lld runs\n", directory, (long long)(known->counts.done - num_damaged),
               (long long)sweep->num_runs);
        if (num_damaged)
            printf("%lld damaged shard%s left out; relearn run makes %s again\n", (long long)num_damaged,
                   num_damaged == 1 ? " was" : "s were", num_damaged == 1 ? "it" : "them");
    }
    *exit_code = num_damaged || known->counts.failed ? 1 : 0;
cleanup:
    for (int64_t r = 0; paths && r < sweep->num_runs; r++) rl_free(paths[r]);
    rl_free(paths);
    rl_free(runs);
    rl_plan_free(plan);
    rl_cycle_free(cycle);
    rl_sweep_free(sweep);
    rl_sweep_status_free(known);
    rl_free(file);
    return status;
}

const rl_command rl_command_gather = {"gather", "DIR", "the shards of DIR into DIR/results.h5, collectively under mpirun", 1, 1,
                                      options, NULL, run, true};
