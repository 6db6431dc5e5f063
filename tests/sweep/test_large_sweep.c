/* Ten thousand runs are read and planned in the blink that `relearn plan` may take. The bounds are several times what it
 * needs: they catch work repeated per run (files opened, lists searched), not a slow machine.
 * LABELS: slow */
#include "sweep_support.h"

#include <time.h>

static double cpu_s(void) { return (double)clock() / CLOCKS_PER_SEC; } /* other programs' load is not ours */

static void test_ten_thousand_runs(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_plan *plan = NULL;
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_cycle_create(&cycle, NULL, NULL, &err), err);
    double start = cpu_s();
    rl_sweep *sweep =
        read_good(TOP SINGLES
                  "grid:\n  seed: 0..499\n  prune.ratio: [0.1, 0.2, 0.3, 0.4, 0.5]\n  prune.select: [concept, random]\n"
                  "  prune.permanent: [true, false]\n",
                  NULL, NULL);
    double read_s = cpu_s() - start;
    start = cpu_s();
    assert_ok(rl_plan_create(&plan, sweep, cycle, world.folder, 1, 50, &err), err);
    double plan_s = cpu_s() - start;
    start = cpu_s();
    assert_true(rl_plan_predict_seconds(plan, 256, &err) > 0);
    double predict_s = cpu_s() - start;
    print_message("10,000 runs, %d nodes: CPU time to read %.3f s, plan %.3f s, predict %.3f s\n", plan->num_nodes,
                  read_s, plan_s, predict_s);
    assert_int_equal(sweep->num_runs, 10000);
    assert_true(read_s < 0.5 && plan_s < 3 && predict_s < 1);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
    rl_cycle_free(cycle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ten_thousand_runs)};
    return cmocka_run_group_tests(tests, make_world, NULL);
}
