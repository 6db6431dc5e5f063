/* cmd_gather.c: relearn gather DIR -- the shards of a sweep folder into DIR/results.h5, collectively. */
#include "cli.h"

#include <math.h>
#include <string.h>

static const rl_option options[] = {{NULL, NULL, NULL}};

/* What the journal and the shards say of each run, in the sweep's order. Stage keys, and so ids, hold inputs and kernels: where
 * they differ from those of the last start, its shards would not be found and an empty results.h5 would replace a good one. */
static rl_status describe_runs(rl_gather_run *runs, char **paths, const rl_sweep *sweep, const rl_sweep_status *known,
                               const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *ids = NULL;
    int32_t row = 0;
    int64_t strange = 0;
    RL_TRY(rl_names_create(&ids, err));
    for (int64_t k = 0; k < known->num_runs; k++)
        RL_TRY(rl_names_intern(ids, known->runs[k].id, strlen(known->runs[k].id), &row, err));
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        row = rl_names_find(ids, sweep->runs[r].id, strlen(sweep->runs[r].id));
        strange += row < 0;
        if (row < 0) continue;
        const rl_run_status *match = &known->runs[row];
        bool done = !strcmp(match->state, "done"), failed = !strcmp(match->state, "failed");
        paths[r] = rl_plan_shard_path(directory, sweep->runs[r].id, err);
        if (!paths[r]) status = RL_ERR_MEMORY;
        if (status != RL_OK) goto cleanup;
        runs[r] = (rl_gather_run){.id = sweep->runs[r].id,
                                  .shard = done ? paths[r] : NULL,
                                  .status = done ? "done" : failed ? "failed" : "planned",
                                  .error = failed && match->error ? match->error : "",
                                  .seconds = done ? match->seconds : NAN};
    }
    if (strange || sweep->num_runs != known->num_runs)
        status = rl_fail(
            err, RL_ERR_INPUT,
            "%s: %lld of %lld runs are not those that ran here: the model, the data, or this machine's matrix products "
            "(%s, %s) are others than then; nothing was gathered",
            directory, (long long)strange, (long long)sweep->num_runs, rl_gemm_backend(), rl_isa_name());
cleanup:
    rl_names_free(ids);
    return status;
}

/* Rank 0 alone keeps others out. Taken after the last look at the lock: closing any descriptor of the file gives it up (fcntl). */
static rl_status keep_others_out(rl_lock *lock, const char *directory, int rank, rl_error *err)
{
    if (rank != 0) return RL_OK;
    char *path = rl_path_join(directory, "lock", err);
    rl_status status = path ? rl_lock_take(lock, path, err) : RL_ERR_MEMORY;
    rl_free(path);
    return status;
}

static rl_status make_lists(rl_gather_run **runs, char ***paths, int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(*runs, count, err);
    RL_ALLOC(*paths, count, err);
cleanup:
    return status;
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
    rl_lock lock = {.descriptor = -1};
    int64_t num_damaged = 0;
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    status = file ? rl_linalg_init(NULL, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_sweep_status_read(&known, directory, err);
    if (status == RL_OK) status = rl_sweep_read(&sweep, file, NULL, 0, NULL, err);
    if (status == RL_OK) status = rl_cycle_create(&cycle, directory, NULL, err);
    if (status == RL_OK) status = rl_plan_create(&plan, sweep, cycle, directory, 1, 1, err); /* gives the runs their ids; what they would cost is nobody's question */
    if (status == RL_OK) status = make_lists(&runs, &paths, sweep->num_runs, err);
    if (status == RL_OK) status = describe_runs(runs, paths, sweep, known, directory, err);
    if (status == RL_OK) status = keep_others_out(&lock, directory, rank, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
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
    rl_lock_release(&lock);
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
