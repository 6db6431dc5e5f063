/* Ten thousand runs are read and planned in the blink that `relearn plan` may take. The bounds are ten times what an
 * unloaded core needs: they catch work repeated per run (files opened, lists searched), not a slow machine. LABELS:
 * slow */
#include "sweep_support.h"

static void test_ten_thousand_runs(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_plan *plan = NULL;
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_cycle_create(&cycle, NULL, NULL, &err), err);
    double start = rl_now_s();
    rl_sweep *sweep =
        read_good(TOP SINGLES
                  "grid:\n  seed: 0..499\n  prune.ratio: [0.1, 0.2, 0.3, 0.4, 0.5]\n  prune.select: [concept, random]\n"
                  "  prune.permanent: [true, false]\n",
                  NULL, NULL);
    double read_s = rl_now_s() - start;
    start = rl_now_s();
    assert_ok(rl_plan_create(&plan, sweep, cycle, world.folder, 50, &err), err);
    double plan_s = rl_now_s() - start;
    start = rl_now_s();
    assert_true(rl_plan_predict_seconds(plan, 256, &err) > 0);
    double predict_s = rl_now_s() - start;
    print_message("10,000 runs, %d nodes: read %.3f s, plan %.3f s, predict %.3f s\n", plan->num_nodes, read_s, plan_s,
                  predict_s);
    assert_int_equal(sweep->num_runs, 10000);
    assert_true(read_s < 3 && plan_s < 5 && predict_s < 2);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
    rl_cycle_free(cycle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ten_thousand_runs)};
    return cmocka_run_group_tests(tests, make_world, NULL);
}
