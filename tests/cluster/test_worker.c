/* A worker heeds the orders that mean what it works on, and no others: rank 0 stands in for the coordinator.
 * LABELS: unit
 * PROCESSORS: 2 */
#include "cluster_internal.h"
#include "mpi_support.h"
#include "world.h"

#include <math.h>

typedef struct bench { /* both ranks' */
    rl_sweep *sweep;
    rl_cycle *cycle;
    rl_plan *plan;
    char directory[700];
} bench;

static rl_status set_up(bench *b, const char *name, rl_error *err)
{
    static const char *const sets[] = {"seed=0", "prune.select=concept", "train.epochs=20"};
    rl_status status = RL_OK;
    support_world world;
    char path[600], stages[800];
    *b = (bench){0};
    if (world_rank == 0) support_make_world(&world, name);
    if (world_rank == 0) snprintf(path, sizeof path, "%s", world.sweep);
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    snprintf(b->directory, sizeof b->directory, "%s.results", path);
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(&b->sweep, path, sets, sizeof sets / sizeof *sets, NULL, err));
    RL_TRY(rl_cycle_create(&b->cycle, b->directory, NULL, err));
    RL_TRY(rl_plan_create_runnable(&b->plan, b->sweep, b->cycle, b->directory, 2, 1, err));
    snprintf(stages, sizeof stages, "%s/stages", b->directory);
    if (world_rank == 0) RL_TRY(rl_make_directories(stages, err));
cleanup:
    return status;
}

static void tear_down(bench *b)
{
    rl_plan_free(b->plan);
    rl_cycle_free(b->cycle);
    rl_sweep_free(b->sweep);
}

static void tell(rl_tag tag, int32_t node, int32_t order) { MPI_Send((int32_t[]){node, order}, 2, MPI_INT32_T, 1, tag, MPI_COMM_WORLD); }

/* What the worker says of the node at last; *num_f1: how many F1s came before. */
static rl_report outcome_of(int32_t node, int *num_f1)
{
    rl_report report = {.kind = RL_REPORT_STEP, .node = node};
    *num_f1 = 0;
    while (report.node == node && (report.kind == RL_REPORT_STEP || report.kind == RL_REPORT_F1 || report.kind == RL_REPORT_NOTICE)) {
        MPI_Recv(&report, (int)sizeof report, MPI_BYTE, 1, RL_TAG_REPORT, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        *num_f1 += report.kind == RL_REPORT_F1 && isfinite(report.f1);
    }
    return report;
}

static void work_until_dismissed(bench *b)
{
    rl_rank_log log = {.descriptor = -1};
    const rl_work work = {b->plan, b->cycle, b->directory, &log, rl_grouping_of(b->sweep, 2)};
    rl_worker_loop(MPI_COMM_WORLD, &work, NULL);
}

static void forget_stage(const bench *b)
{
    char path[800];
    rl_error err = {0};
    snprintf(path, sizeof path, "%s/stages/%s", b->directory, b->plan->nodes[0].stage.key);
    assert_ok(rl_remove_tree(path, &err), err);
}

static void test_an_order_to_give_up_means_one_assignment(void **state)
{
    rl_error err = {0};
    bench b;
    int kinds[3] = {-1, -1, -1}, num_f1[3] = {0};
    (void)state;
    assert_ok_everywhere(set_up(&b, "orders", &err), err);
    if (world_rank == 0) {
        tell(RL_TAG_GIVE_UP, 0, 6); /* crossed the report of an earlier try of the same stage */
        tell(RL_TAG_GIVE_UP, 1, 7); /* of another stage */
        tell(RL_TAG_ASSIGN, 0, 7);  /* last, so that the worker finds the others however busy the machine is */
        kinds[0] = outcome_of(0, &num_f1[0]).kind;
        forget_stage(&b);
        tell(RL_TAG_GIVE_UP, 0, 8);
        tell(RL_TAG_ASSIGN, 0, 8);
        kinds[1] = outcome_of(0, &num_f1[1]).kind;
        tell(RL_TAG_ASSIGN, 0, 9); /* goes on from its checkpoint: the order to give up was for 8 */
        kinds[2] = outcome_of(0, &num_f1[2]).kind;
        tell(RL_TAG_ASSIGN, -1, 0);
    } else
        work_until_dismissed(&b);
    assert_everywhere(world_rank > 0 || kinds[0] == RL_REPORT_DONE);
    assert_everywhere(world_rank > 0 || num_f1[0] == 20);
    assert_everywhere(world_rank > 0 || kinds[1] == RL_REPORT_RETURNED);
    assert_everywhere(world_rank > 0 || num_f1[1] < 20);
    assert_everywhere(world_rank > 0 || kinds[2] == RL_REPORT_DONE);
    tear_down(&b);
}

static void test_a_stop_is_for_all_that_follows(void **state)
{
    rl_error err = {0};
    bench b;
    int kinds[2] = {-1, -1}, num_f1 = 0;
    (void)state;
    assert_ok_everywhere(set_up(&b, "stop", &err), err);
    if (world_rank == 0) {
        MPI_Send(NULL, 0, MPI_BYTE, 1, RL_TAG_STOP, MPI_COMM_WORLD);
        tell(RL_TAG_ASSIGN, 0, 1);
        kinds[0] = outcome_of(0, &num_f1).kind;
        tell(RL_TAG_ASSIGN, 0, 2); /* was on its way when the stop was sent */
        kinds[1] = outcome_of(0, &num_f1).kind;
        tell(RL_TAG_GIVE_UP, 0, 2); /* came too late: nothing may stay unreceived */
        tell(RL_TAG_ASSIGN, -1, 0);
    } else
        work_until_dismissed(&b);
    int waiting = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &waiting, MPI_STATUS_IGNORE);
    assert_everywhere(!waiting);
    assert_everywhere(world_rank > 0 || (kinds[0] == RL_REPORT_RETURNED && kinds[1] == RL_REPORT_RETURNED));
    tear_down(&b);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_an_order_to_give_up_means_one_assignment),
        cmocka_unit_test(test_a_stop_is_for_all_that_follows),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
