/* bench_scheduler.c -- 100,000 runs on 4,096 ranks in virtual time: efficiency against the lower bound, and what one message
 * costs the scheduler. --smoke: 2,000 runs on 64. One JSON line a case. */
#include "../../tests/sweep/sweep_dag.h"

#include "options.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int simulate(int64_t runs, int32_t ranks, rl_keep keep, double kill_every_s)
{
    rl_error err = {0};
    rl_simulation r;
    sweep_dag d;
    sweep_dag_make(&d, runs, 10, 2, keep);
    const rl_simulation_options o = {.num_workers = ranks - 1, .message_s = 50e-6, .reports_per_s = 2, .kill_every_s = kill_every_s,
                                     .restart_s = 30};
    clock_t start = clock();
    rl_status status = rl_simulate(&r, &d.plan, &o, &err);
    double cpu_s = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (status != RL_OK) fprintf(stderr, "%s\n", err.message);
    if (status == RL_OK)
        printf("{\"runs\":%lld,\"ranks\":%d,\"keep\":%d,\"nodes\":%d,\"kills\":%lld,\"efficiency\":%.4f,\"busy_share\":%.4f,"
               "\"coordinator_load\":%.3f,\"peak_disk_bytes\":%.3g,\"cpu_s\":%.3f,\"scheduler_us_per_message\":%.3f}\n",
               (long long)runs, ranks, (int)keep, d.plan.num_nodes, (long long)r.num_kills, r.efficiency, r.busy_share, r.coordinator_load,
               r.peak_disk_bytes, cpu_s, 1e6 * cpu_s / (2.0 * (double)r.num_nodes));
    sweep_dag_clear(&d);
    return status != RL_OK || (kill_every_s <= 0 && r.efficiency < 0.98);
}

int main(int argc, char **argv)
{
    bool smoke = false;
    const bench_option table[] = {{"--smoke", BENCH_FLAG, &smoke, "2,000 runs on 64 ranks: only whether it runs", 0, 0}, {0}};
    int code = bench_options(argc, argv, "100,000 runs on 4,096 ranks in virtual time", table);
    if (code >= 0) return code;
    int64_t runs = smoke ? 2000 : 100000;
    int32_t ranks = smoke ? 64 : 4096;
    return simulate(runs, ranks, RL_KEEP_ALL, 0) | simulate(runs, ranks, RL_KEEP_NONE, 0) | simulate(runs, ranks, RL_KEEP_ALL, 3600);
}
