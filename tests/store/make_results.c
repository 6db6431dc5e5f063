/* make_results FOLDER: the synthetic sweep of the store tests as FOLDER/results.h5 and its shards, for
 * check_results.py. Run under mpirun. */
#include "mpi_support.h"
#include "synthetic.h"

int main(int argc, char **argv)
{
    static synthetic_sweep sweep;
    static rl_gather_run runs[8];
    static char shards[8][4300];
    rl_error err = {0};
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    make_sweep(&sweep, 8);
    rl_status status =
        argc == 2 ? rl_make_directories(argv[1], &err) : rl_fail(&err, RL_ERR_USAGE, "usage: make_results FOLDER");
    for (int r = 0; status == RL_OK && r < 8; r++) {
        bool failed = r == 3;
        rl_run_result *result = make_result(&sweep.runs[r]);
        snprintf(shards[r], sizeof shards[r], "%s/%s.h5", argv[1], sweep.runs[r].id);
        runs[r] = (rl_gather_run){.id = sweep.runs[r].id,
                                  .shard = failed ? NULL : shards[r],
                                  .status = failed ? "failed" : "done",
                                  .error = failed ? "the loss is NaN at step 3" : "",
                                  .seconds = 1.5 * r};
        if (world_rank == 0 && !failed) status = rl_shard_write(shards[r], &sweep.runs[r], &sweep.sweep, result, &err);
        rl_run_result_free(result);
    }
    status = rl_store_agree(MPI_COMM_WORLD, status, &err);
    if (status == RL_OK) status = rl_store_gather(MPI_COMM_WORLD, argv[1], &sweep.sweep, runs, NULL, &err);
    if (status != RL_OK && world_rank == 0) fprintf(stderr, "make_results: %s\n", err.message);
    MPI_Finalize();
    return status == RL_OK ? 0 : 1;
}
