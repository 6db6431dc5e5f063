/* bench_ranks.c -- one run on several ranks (ranks_per_run) against the same run on one, in one process group.
 *
 * DistilBERT's shape with random weights, batch 8, CoNLL's length distribution, dropout 0.1, clipping, AdamW. Rounds alternate: the
 * first rank alone (the others sleep), then all together; the ratio of the medians is the speed-up. Checks that the group's losses
 * are those of one process that makes all shares. One JSON line.
 *   mpirun -n N bench_cluster_ranks [--smoke] [--steps N] [--rounds N]
 * One rank alone is no group: exit 77. */
#include "cluster_internal.h"

#include "options.h"
#include "shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 8, WARM = 2, MOST_ROUNDS = 16 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of the steps behind the first WARM, and the last loss. */
static rl_status train(double *seconds, double *loss, const rl_encoded *data, int64_t ranks, int64_t steps,
                       const rl_train_group *group, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_training_log log = {0};
    rl_train_settings settings = rl_train_defaults();
    const rl_train_hooks hooks = {.group = group};
    settings.epochs = 1;
    settings.ranks = ranks;
    settings.max_steps = steps;
    RL_TRY(bench_load_model(&model, bench_shape("distilbert"), err));
    RL_TRY(rl_train(model, data, &settings, 42, NULL, NULL, &hooks, &log, err));
    *seconds = 0;
    for (int64_t i = WARM; i < log.num_steps; i++) *seconds += log.steps[i].seconds;
    *loss = log.steps[log.num_steps - 1].loss;
cleanup:
    rl_training_log_free(&log);
    rl_model_free(model);
    return status;
}

/* Ranks that have nothing to do leave the machine alone, where MPI's barrier would spin. */
static void meet(const rl_train_group *group, rl_error *err) { rl_train_group_agree(group, RL_OK, err); }

static rl_status measure(const rl_train_group *group, int64_t steps, int rounds, rl_error *err)
{
    rl_status status = RL_OK;
    rl_encoded *data = NULL;
    double one[MOST_ROUNDS], all[MOST_ROUNDS], loss = 0, shares = 0, together = 0, unused;
    RL_TRY(bench_synthetic(&data, steps * BATCH, err));
    if (group->rank == 0) RL_TRY(train(&unused, &shares, data, group->size, steps, NULL, err));
    meet(group, err);
    for (int round = 0; round < rounds; round++) {
        if (group->rank == 0) RL_TRY(train(&one[round], &loss, data, 1, steps, NULL, err));
        meet(group, err);
        RL_TRY(train(&all[round], &together, data, group->size, steps, group, err));
        meet(group, err);
    }
    if (group->rank != 0) goto cleanup;
    if (together != shares)
        RL_TRY(rl_fail(err, RL_ERR_INTERNAL, "the group's last loss is %.17g, one process with all shares has %.17g", together, shares));
    qsort(one, (size_t)rounds, sizeof *one, ascending);
    qsort(all, (size_t)rounds, sizeof *all, ascending);
    double scale = 1e3 / (double)(steps - WARM);
    printf("{\"bench\":\"cluster.ranks\",\"shape\":\"distilbert\",\"ranks\":%d,\"batch\":%d,\"steps\":%lld,\"rounds\":%d,\"ms_per_step_one\":%.2f,"
           "\"ms_per_step_group\":%.2f,\"speed_up\":%.3f,\"backend\":\"%s\",\"isa\":\"%s\",\"version\":\"%s\"}\n",
           (int)group->size, BATCH, (long long)(steps - WARM), rounds, scale * one[rounds / 2], scale * all[rounds / 2],
           one[rounds / 2] / all[rounds / 2], rl_gemm_backend(), rl_isa_name(), RL_VERSION);
cleanup:
    rl_encoded_free(data);
    return status;
}

static int run(MPI_Comm comm, int64_t steps, int rounds)
{
    rl_error err = {0};
    rl_rank_group *group = NULL;
    rl_status status = rl_linalg_init(NULL, &err);
    if (status == RL_OK) status = rl_rank_group_create_whole(&group, comm, &err);
    if (status == RL_OK) status = measure(rl_rank_group_ranks(group), steps, rounds, &err);
    if (status != RL_OK) {
        fprintf(stderr, "bench_cluster_ranks: %s\n", err.message);
        MPI_Abort(comm, rl_exit_code(status)); /* the others wait for this rank */
    }
    rl_rank_group_free(group);
    return 0;
}

int main(int argc, char **argv)
{
    int num_ranks = 1;
    int64_t steps = 22, rounds = 5;
    bool smoke = false;
    const bench_option table[] = {{"--steps", BENCH_COUNT, &steps, "training steps a round, the first ones uncounted", WARM + 1, 1e6},
                                  {"--rounds", BENCH_COUNT, &rounds, "rounds", 1, MOST_ROUNDS},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int code = bench_options(argc, argv, "ranks that train one run together against one rank (under mpirun -n N, N > 1)", table);
    if (code >= 0) return code;
    if (smoke) steps = WARM + 1, rounds = 1;
    code = 77;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    if (num_ranks > 1)
        code = run(MPI_COMM_WORLD, steps, (int)rounds);
    else
        fprintf(stderr, "bench_cluster_ranks: one rank; run it under mpirun -n N, N > 1\n");
    MPI_Finalize();
    return code;
}
