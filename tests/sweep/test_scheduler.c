/* The scheduler on random DAGs: every node once, failures take their dependants only, any order, any number of workers.
 * LABELS: unit */
#include "relearn/sweep.h"
#include "support.h"

/* A plan of `runs` runs: finetune (shared by `share` runs) -> identify -> prune -> rounds of retrain + analyse -> shard. */
typedef struct made_plan {
    rl_plan plan;
    rl_sweep sweep;
    rl_run *runs;
} made_plan;

static double uniform(uint64_t seed, uint64_t i) { return rl_rng_uniform(seed, RL_PURPOSE_BOOTSTRAP, 0, 0, i); }

static int32_t add(rl_plan *plan, rl_node_kind kind, int64_t run, double seconds, int32_t a, int32_t b)
{
    rl_error err = {0};
    rl_node *node = &plan->nodes[plan->num_nodes];
    node->kind = kind;
    node->run = run;
    node->seconds = seconds;
    node->num_depends = (a >= 0) + (b >= 0);
    node->depends = rl_calloc(2, sizeof *node->depends, &err);
    node->depends[0] = a;
    if (b >= 0) node->depends[1] = b;
    return plan->num_nodes++;
}

static void make_plan(made_plan *made, int64_t runs, int64_t share, int rounds, uint64_t seed)
{
    rl_error err = {0};
    uint64_t draw = 0;
    int32_t finetune = -1, identify = -1;
    memset(made, 0, sizeof *made);
    made->plan.nodes = rl_calloc((size_t)(runs * (5 + 2 * rounds)), sizeof(rl_node), &err);
    made->plan.sweep = &made->sweep;
    made->sweep.num_runs = runs;
    for (int64_t r = 0; r < runs; r++) {
        rl_plan *plan = &made->plan;
        if (r % share == 0) {
            finetune = add(plan, RL_NODE_STAGE, r, 20 + 20 * uniform(seed, draw++), -1, -1);
            identify = add(plan, RL_NODE_STAGE, r, 1 + uniform(seed, draw++), finetune, -1);
        }
        int32_t last = add(plan, RL_NODE_STAGE, r, 0.2, finetune, identify), shard_a = -1, shard_b = -1;
        for (int k = 0; k < rounds; k++) {
            last = add(plan, RL_NODE_STAGE, r, 5 + 5 * uniform(seed, draw++), last, -1);
            shard_b = shard_a;
            shard_a = add(plan, RL_NODE_STAGE, r, 1, last, identify);
        }
        add(plan, RL_NODE_SHARD, r, 0.1, shard_a, shard_b);
    }
}

static void free_plan(made_plan *made)
{
    for (int32_t n = 0; n < made->plan.num_nodes; n++) rl_free(made->plan.nodes[n].depends);
    rl_free(made->plan.nodes);
}

/* Events in random order: finish, fail or give back some running node; afterwards everything is done or failed for a reason. */
static void drive_randomly(uint64_t seed, double p_fail, double p_return, bool stop_midway)
{
    rl_error err = {0};
    made_plan made;
    rl_scheduler *s = NULL;
    enum { WORKERS = 7 };
    int32_t running[WORKERS], started[4096] = {0}, returned[4096] = {0};
    uint64_t draw = 1000000;
    int num_running = 0, steps = 0;
    make_plan(&made, 12, 3, 2, seed);
    assert_true(made.plan.num_nodes < 4096);
    assert_ok(rl_scheduler_create(&s, &made.plan, WORKERS, &err), err);
    for (int w = 0; w < WORKERS; w++) running[w] = -1;
    while (!rl_scheduler_finished(s)) {
        if (stop_midway && ++steps == 40) rl_scheduler_stop(s);
        for (int w = 0; w < WORKERS; w++) {
            if (running[w] >= 0 || (running[w] = rl_scheduler_assign(s, w)) < 0) continue;
            started[running[w]]++;
            num_running++;
            for (int32_t d = 0; d < made.plan.nodes[running[w]].num_depends; d++)
                assert_int_equal(rl_scheduler_state(s, made.plan.nodes[running[w]].depends[d]), RL_NODE_DONE);
        }
        assert_ok(rl_scheduler_check(s, &err), err);
        if (num_running == 0) continue;
        int w = (int)(uniform(seed, draw++) * WORKERS);
        while (running[w] < 0) w = (w + 1) % WORKERS;
        double u = uniform(seed, draw++);
        if (u < p_fail) {
            rl_scheduler_failed(s, w, running[w]);
        } else if (u < p_fail + p_return) {
            returned[running[w]]++;
            rl_scheduler_returned(s, w, running[w]);
        } else {
            rl_scheduler_done(s, w, running[w]);
        }
        running[w] = -1;
        num_running--;
        assert_ok(rl_scheduler_check(s, &err), err);
    }
    rl_sweep_counts counts = rl_scheduler_counts(s);
    int64_t done = 0, failed = 0;
    for (int32_t n = 0; n < made.plan.num_nodes; n++) {
        rl_node_state state = rl_scheduler_state(s, n);
        assert_true(started[n] <= 1 + returned[n]);
        if (!stop_midway) assert_true(state == RL_NODE_DONE || state == RL_NODE_FAILED);
        if (state == RL_NODE_DONE) assert_int_equal(started[n], 1 + returned[n]);
        if (state == RL_NODE_FAILED && started[n] == 0) { /* it never ran: one of its inputs failed */
            bool reason = false;
            for (int32_t d = 0; d < made.plan.nodes[n].num_depends; d++)
                reason |= rl_scheduler_state(s, made.plan.nodes[n].depends[d]) == RL_NODE_FAILED;
            assert_true(reason);
        }
        done += made.plan.nodes[n].kind == RL_NODE_SHARD && state == RL_NODE_DONE;
        failed += made.plan.nodes[n].kind == RL_NODE_SHARD && state == RL_NODE_FAILED;
    }
    assert_int_equal(counts.done, done);
    assert_int_equal(counts.failed, failed);
    assert_int_equal(counts.planned, 12);
    if (p_fail == 0 && !stop_midway) assert_int_equal(done, 12);
    rl_scheduler_free(s);
    free_plan(&made);
}

static void test_every_node_runs_once_in_any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) drive_randomly(seed, 0, 0, false);
}

static void test_failures_take_dependants_only(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) drive_randomly(seed, 0.08, 0.05, false);
}

static void test_a_stop_assigns_nothing_more(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) drive_randomly(seed, 0.02, 0.1, true);
}

static void test_the_longest_path_goes_first_and_inputs_stay_near(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    made_plan made;
    (void)state;
    memset(&made, 0, sizeof made);
    made.plan.nodes = rl_calloc(8, sizeof(rl_node), &err);
    made.plan.sweep = &made.sweep;
    int32_t brief = add(&made.plan, RL_NODE_STAGE, 0, 5, -1, -1), head = add(&made.plan, RL_NODE_STAGE, 0, 1, -1, -1);
    int32_t tail = add(&made.plan, RL_NODE_STAGE, 0, 10, head, -1), other = add(&made.plan, RL_NODE_STAGE, 0, 10.2, -1, -1);
    assert_ok(rl_scheduler_create(&s, &made.plan, 2, &err), err);
    assert_int_equal(rl_scheduler_assign(s, 0), head); /* 1 + 10 is the longest */
    rl_scheduler_done(s, 0, head);
    assert_int_equal(rl_scheduler_assign(s, 0), tail); /* 10 against 10.2: near enough to stay with its input */
    assert_int_equal(rl_scheduler_assign(s, 1), other);
    assert_int_equal(rl_scheduler_assign(s, 1), -1);   /* busy */
    rl_scheduler_done(s, 1, other);
    assert_int_equal(rl_scheduler_assign(s, 1), brief);
    rl_scheduler_free(s);
    free_plan(&made);
}

/* Half of the work leaves about half of the runs finished, not all of them half done: what a stop leaves can be used. */
static void test_what_is_begun_is_finished_first(void **state)
{
    enum { RUNS = 60, WORKERS = 2 };
    rl_error err = {0};
    rl_scheduler *s = NULL;
    made_plan made;
    (void)state;
    make_plan(&made, RUNS, 3, 2, 5);
    assert_ok(rl_scheduler_create(&s, &made.plan, WORKERS, &err), err);
    for (int32_t done = 0; done < made.plan.num_nodes / 2; done += WORKERS) {
        int32_t now[WORKERS];
        for (int32_t w = 0; w < WORKERS; w++) now[w] = rl_scheduler_assign(s, w);
        for (int32_t w = 0; w < WORKERS; w++) rl_scheduler_done(s, w, now[w]);
    }
    rl_sweep_counts counts = rl_scheduler_counts(s);
    assert_true(counts.done >= 2 * RUNS / 5 && counts.done <= RUNS / 2);
    rl_scheduler_free(s);
    free_plan(&made);
}

/* Graham: any list schedule ends within critical path + work / workers; and never before their maximum. */
static void test_makespan_is_within_the_bounds_of_list_scheduling(void **state)
{
    rl_error err = {0};
    (void)state;
    for (int32_t workers = 1; workers <= 64; workers *= 4) {
        made_plan made;
        double work = 0, critical = 0;
        double *finish;
        make_plan(&made, 100, 5, 3, 99);
        finish = rl_calloc((size_t)made.plan.num_nodes, sizeof *finish, &err);
        for (int32_t n = 0; n < made.plan.num_nodes; n++) {
            const rl_node *node = &made.plan.nodes[n];
            for (int32_t d = 0; d < node->num_depends; d++) finish[n] = fmax(finish[n], finish[node->depends[d]]);
            finish[n] += node->seconds;
            work += node->seconds;
            critical = fmax(critical, finish[n]);
        }
        double makespan = rl_plan_predict_seconds(&made.plan, workers, &err);
        assert_true(makespan >= fmax(critical, work / workers) - 1e-6);
        assert_true(makespan <= critical + work / workers + 1e-6);
        if (workers == 1) assert_close(makespan, work, 1e-9, 0);
        rl_free(finish);
        free_plan(&made);
    }
}

static void test_a_hundred_thousand_runs_on_4096_workers(void **state)
{
    rl_error err = {0};
    made_plan made;
    (void)state;
    make_plan(&made, 100000, 10, 2, 5);
    double work = 0;
    for (int32_t n = 0; n < made.plan.num_nodes; n++) work += made.plan.nodes[n].seconds;
    double makespan = rl_plan_predict_seconds(&made.plan, 4095, &err);
    assert_true(work / (4095 * makespan) > 0.85); /* the tail of a few long chains is all that idles */
    free_plan(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_node_runs_once_in_any_order),
        cmocka_unit_test(test_failures_take_dependants_only),
        cmocka_unit_test(test_a_stop_assigns_nothing_more),
        cmocka_unit_test(test_the_longest_path_goes_first_and_inputs_stay_near),
        cmocka_unit_test(test_what_is_begun_is_finished_first),
        cmocka_unit_test(test_makespan_is_within_the_bounds_of_list_scheduling),
        cmocka_unit_test(test_a_hundred_thousand_runs_on_4096_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
