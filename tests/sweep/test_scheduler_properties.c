/* The scheduler as a state machine: whatever order workers finish, fail or hand back in, every node runs exactly once,
 * after its dependencies, failures take their dependants and nothing else, and the schedule stays within list
 * scheduling's bound. Plans are made by hand here: no model, no file, no clock. */
#include "relearn/sweep.h"
#include "support.h"

typedef struct dag {
    rl_sweep sweep;
    rl_plan plan;
} dag;

static uint64_t draws;
static int64_t draw(int64_t below)
{
    return (int64_t)(rl_rng_bits(7, RL_PURPOSE_BOOTSTRAP, 0, 0, draws++) % (uint32_t)below);
}

static int32_t add(dag *d, rl_node_kind kind, int64_t run, double seconds, const int32_t *depends, int32_t num_depends)
{
    rl_node *node = &d->plan.nodes[d->plan.num_nodes];
    node->kind = kind;
    node->run = run;
    node->seconds = seconds;
    node->depends = rl_calloc((size_t)num_depends, sizeof *depends, NULL);
    if (num_depends) memcpy(node->depends, depends, (size_t)num_depends * sizeof *depends);
    node->num_depends = num_depends;
    return d->plan.num_nodes++;
}

static void start(dag *d, int64_t num_runs, int32_t max_nodes)
{
    memset(d, 0, sizeof *d);
    d->sweep.num_runs = num_runs;
    d->plan.sweep = &d->sweep;
    d->plan.nodes = rl_calloc((size_t)max_nodes, sizeof *d->plan.nodes, NULL);
    d->plan.run_error = rl_calloc((size_t)num_runs, sizeof *d->plan.run_error, NULL);
    assert_non_null(d->plan.nodes);
}

static void clear(dag *d)
{
    for (int32_t n = 0; n < d->plan.num_nodes; n++) rl_free(d->plan.nodes[n].depends);
    rl_free(d->plan.nodes);
    rl_free(d->plan.run_error);
}

/* Random stages that lean on up to three earlier ones; each run's shard leans on one to four of them. */
static void random_dag(dag *d, int32_t num_stages, int32_t num_runs)
{
    start(d, num_runs, num_stages + num_runs);
    for (int32_t n = 0; n < num_stages; n++) {
        int32_t depends[3], count = 0;
        for (int i = 0; i < 3; i++)
            if (n > 0 && draw(2)) depends[count++] = (int32_t)draw(n);
        add(d, RL_NODE_STAGE, 0, 0.01 + (double)draw(1000) / 100, depends, count);
    }
    for (int32_t r = 0; r < num_runs; r++) {
        int32_t depends[4], count = (int32_t)draw(4) + 1;
        for (int i = 0; i < count; i++) depends[i] = (int32_t)draw(num_stages);
        add(d, RL_NODE_SHARD, r, 0.05, depends, count);
    }
}

/* Many ready nodes within the affinity's margin, so that workers take theirs from the middle of the queue. */
static void wide_dag(dag *d, int32_t num_roots, int32_t num_children)
{
    start(d, 0, num_roots * (1 + num_children));
    for (int32_t r = 0; r < num_roots; r++) add(d, RL_NODE_STAGE, 0, 1, NULL, 0);
    for (int32_t i = 0; i < num_roots * num_children; i++)
        add(d, RL_NODE_STAGE, 0, 1 + (double)draw(45) / 1000, (int32_t[]){(int32_t)draw(num_roots)}, 1);
}

/* finetune -> identify -> prune -> analyse and rounds of retrain -> analyse; finetune and identify shared by `share`
 * runs. */
static void cycle_dag(dag *d, int64_t num_runs, int64_t share, int rounds)
{
    int32_t finetune = 0, identify = 0, stages[64];
    start(d, num_runs, (int32_t)(num_runs * (5 + 2 * rounds)));
    for (int64_t r = 0; r < num_runs; r++) {
        int count = 0;
        if (r % share == 0) {
            finetune = add(d, RL_NODE_STAGE, r, 100 + (double)(r % 7), NULL, 0);
            identify = add(d, RL_NODE_STAGE, r, 5, (int32_t[]){finetune}, 1);
        }
        stages[count++] = finetune;
        stages[count++] = identify;
        int32_t last = add(d, RL_NODE_STAGE, r, 0.1, (int32_t[]){finetune, identify}, 2);
        stages[count++] = last;
        stages[count++] = add(d, RL_NODE_STAGE, r, 5, (int32_t[]){last, identify}, 2);
        for (int k = 0; k < rounds; k++) {
            last = add(d, RL_NODE_STAGE, r, 40, (int32_t[]){last}, 1);
            stages[count++] = last;
            stages[count++] = add(d, RL_NODE_STAGE, r, 5, (int32_t[]){last, identify}, 2);
        }
        add(d, RL_NODE_SHARD, r, 0.1, stages, count);
    }
}

static bool depends_on_failed(const dag *d, const bool *broken, int32_t n)
{
    for (int32_t i = 0; i < d->plan.nodes[n].num_depends; i++)
        if (broken[d->plan.nodes[n].depends[i]]) return true;
    return false;
}

static void assert_ready_to_run(const dag *d, const rl_scheduler *s, int32_t node)
{
    assert_int_equal(rl_scheduler_state(s, node), RL_NODE_RUNNING);
    for (int32_t i = 0; i < d->plan.nodes[node].num_depends; i++)
        assert_int_equal(rl_scheduler_state(s, d->plan.nodes[node].depends[i]), RL_NODE_DONE);
}

typedef struct trial {
    int32_t workers, fail_percent, return_percent;
    int32_t *times_done;
    int64_t fallen; /* nodes that failures took down, as the scheduler says */
    bool *broken; /* failed itself or by a dependency: what should be FAILED at the end */
} trial;

/* Random completion order: at each turn one random worker is either given work or reports. */
static void drive(const dag *d, rl_scheduler *s, trial *t)
{
    rl_error err = {0};
    int32_t held[64];
    for (int32_t w = 0; w < t->workers; w++) held[w] = -1;
    for (int64_t turn = 0; !rl_scheduler_finished(s); turn++) {
        assert_true(turn < 1000000);
        int32_t w = (int32_t)draw(t->workers), node = held[w];
        if (node < 0) {
            held[w] = rl_scheduler_assign(s, w);
            if (held[w] >= 0) assert_ready_to_run(d, s, held[w]);
        } else {
            int64_t fate = draw(100);
            held[w] = -1;
            if (fate < t->fail_percent) {
                int32_t count = 0;
                t->broken[node] = true;
                rl_scheduler_failed(s, w, node);
                const int32_t *fallen = rl_scheduler_fallen(s, &count);
                assert_true(count > 0 && fallen[0] == node);
                for (int32_t i = 0; i < count; i++) assert_int_equal(rl_scheduler_state(s, fallen[i]), RL_NODE_FAILED);
                t->fallen += count;
            } else if (fate < t->fail_percent + t->return_percent) {
                rl_scheduler_returned(s, w, node);
            } else {
                t->times_done[node]++;
                rl_scheduler_done(s, w, node);
            }
        }
        assert_ok(rl_scheduler_check(s, &err), err);
    }
}

static void run_trial(const dag *d, trial t)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    int64_t failed_runs = 0, done_runs = 0;
    t.times_done = rl_calloc((size_t)d->plan.num_nodes, sizeof *t.times_done, NULL);
    t.broken = rl_calloc((size_t)d->plan.num_nodes, sizeof *t.broken, NULL);
    assert_ok(rl_scheduler_create(&s, &d->plan, t.workers, &err), err);
    assert_ok(rl_scheduler_check(s, &err), err);
    drive(d, s, &t);
    for (int32_t n = 0; n < d->plan.num_nodes; n++) {
        t.broken[n] = t.broken[n] || depends_on_failed(d, t.broken, n);
        assert_int_equal(rl_scheduler_state(s, n), t.broken[n] ? RL_NODE_FAILED : RL_NODE_DONE);
        assert_int_equal(t.times_done[n], t.broken[n] ? 0 : 1);
        t.fallen -= t.broken[n];
        if (d->plan.nodes[n].kind != RL_NODE_SHARD) continue;
        failed_runs += t.broken[n];
        done_runs += !t.broken[n];
    }
    assert_int_equal(t.fallen, 0); /* each was named once */
    rl_sweep_counts counts = rl_scheduler_counts(s);
    assert_int_equal(counts.failed, failed_runs);
    assert_int_equal(counts.done, done_runs);
    assert_int_equal(counts.running + counts.waiting, 0);
    assert_close(rl_scheduler_remaining_seconds(s), 0, 0, 1e-9);
    rl_scheduler_free(s);
    rl_free(t.times_done);
    rl_free(t.broken);
}

static void test_every_node_runs_once_in_any_order(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        dag d;
        random_dag(&d, 1 + (int32_t)draw(40), 1 + (int32_t)draw(12));
        run_trial(&d, (trial){.workers = 1 + (int32_t)draw(9)});
        clear(&d);
        wide_dag(&d, 6, 15);
        run_trial(&d, (trial){.workers = 1 + (int32_t)draw(9)});
        clear(&d);
    }
}

static void test_failures_take_dependants_and_nothing_else(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        dag d;
        random_dag(&d, 1 + (int32_t)draw(40), 1 + (int32_t)draw(12));
        run_trial(&d, (trial){.workers = 1 + (int32_t)draw(9), .fail_percent = 10});
        clear(&d);
    }
}

static void test_returned_nodes_run_again(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        dag d;
        random_dag(&d, 1 + (int32_t)draw(40), 1 + (int32_t)draw(12));
        run_trial(&d, (trial){.workers = 1 + (int32_t)draw(9), .fail_percent = 5, .return_percent = 40});
        clear(&d);
    }
}

/* After a stop nothing is handed out; what runs may still end in any way; then the machine is finished. */
static void test_stop_assigns_nothing_more(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    cycle_dag(&d, 6, 1, 1);
    assert_ok(rl_scheduler_create(&s, &d.plan, 3, &err), err);
    int32_t a = rl_scheduler_assign(s, 0), b = rl_scheduler_assign(s, 1), c = rl_scheduler_assign(s, 2);
    assert_true(a >= 0 && b >= 0 && c >= 0);
    rl_scheduler_stop(s);
    assert_false(rl_scheduler_finished(s));
    rl_scheduler_done(s, 0, a);
    assert_int_equal(rl_scheduler_assign(s, 0), -1);
    rl_scheduler_returned(s, 1, b);
    assert_int_equal(rl_scheduler_assign(s, 1), -1);
    assert_int_equal(rl_scheduler_state(s, b), RL_NODE_READY);
    assert_false(rl_scheduler_finished(s));
    rl_scheduler_failed(s, 2, c);
    assert_true(rl_scheduler_finished(s));
    assert_ok(rl_scheduler_check(s, &err), err);
    rl_scheduler_free(s);
    clear(&d);
}

/* Of what is ready it gets the longest path that begins with no training, however much training waits. */
static void test_a_light_worker_does_not_train(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    start(&d, 2, 5);
    for (int i = 0; i < 3; i++) add(&d, RL_NODE_STAGE, 0, 100, NULL, 0); /* kind 0: fine-tuning */
    int32_t shorter = add(&d, RL_NODE_SHARD, 0, 1, NULL, 0), longer = add(&d, RL_NODE_SHARD, 1, 2, NULL, 0);
    assert_ok(rl_scheduler_create(&s, &d.plan, 2, &err), err);
    rl_scheduler_set_light(s, 1);
    assert_int_equal(rl_scheduler_assign(s, 1), longer);
    rl_scheduler_returned(s, 1, longer);
    assert_ok(rl_scheduler_check(s, &err), err);
    assert_int_equal(rl_scheduler_assign(s, 1), longer);
    rl_scheduler_done(s, 1, longer);
    assert_int_equal(rl_scheduler_assign(s, 1), shorter);
    rl_scheduler_done(s, 1, shorter);
    assert_int_equal(rl_scheduler_assign(s, 1), -1);
    assert_true(rl_scheduler_assign(s, 0) < 3);
    assert_ok(rl_scheduler_check(s, &err), err);
    rl_scheduler_free(s);
    clear(&d);
}

/* A late or doubled message must not undo what happened: only the worker that holds a node can end it. */
static void test_reports_from_others_change_nothing(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    cycle_dag(&d, 2, 1, 0);
    assert_ok(rl_scheduler_create(&s, &d.plan, 2, &err), err);
    int32_t node = rl_scheduler_assign(s, 0);
    rl_scheduler_done(s, 1, node);
    assert_int_equal(rl_scheduler_state(s, node), RL_NODE_RUNNING);
    rl_scheduler_done(s, 0, node);
    rl_scheduler_failed(s, 0, node);
    rl_scheduler_returned(s, 0, node);
    assert_int_equal(rl_scheduler_state(s, node), RL_NODE_DONE);
    assert_ok(rl_scheduler_check(s, &err), err);
    rl_scheduler_free(s);
    clear(&d);
}

static void test_longest_remaining_path_goes_first(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    start(&d, 2, 5);
    int32_t lone = add(&d, RL_NODE_STAGE, 0, 10, NULL, 0); /* 10 s, then a shard of 1 */
    int32_t head = add(&d, RL_NODE_STAGE, 1, 1, NULL, 0);  /* 1 s, then 20 */
    int32_t tail = add(&d, RL_NODE_STAGE, 1, 20, &head, 1);
    add(&d, RL_NODE_SHARD, 0, 1, &lone, 1);
    add(&d, RL_NODE_SHARD, 1, 1, &tail, 1);
    assert_ok(rl_scheduler_create(&s, &d.plan, 2, &err), err);
    assert_int_equal(rl_scheduler_assign(s, 0), head);
    assert_int_equal(rl_scheduler_assign(s, 1), lone);
    assert_int_equal(rl_scheduler_assign(s, 0), -1); /* busy */
    assert_close(rl_scheduler_remaining_seconds(s), 33, 0, 1e-12);
    rl_scheduler_free(s);
    clear(&d);
}

/* Two chains alike but for 1 s: each worker stays with the model it made. A chain that is much longer still goes first.
 */
static void test_a_worker_keeps_to_what_it_holds_among_near_equals(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        dag d;
        start(&d, 2, 6);
        int32_t a = add(&d, RL_NODE_STAGE, 0, 10, NULL, 0), b = add(&d, RL_NODE_STAGE, 1, 10, NULL, 0);
        int32_t after_a = add(&d, RL_NODE_STAGE, 0, longer ? 150 : 101, &a, 1),
                after_b = add(&d, RL_NODE_STAGE, 1, 100, &b, 1);
        add(&d, RL_NODE_SHARD, 0, 1, &after_a, 1);
        add(&d, RL_NODE_SHARD, 1, 1, &after_b, 1);
        assert_ok(rl_scheduler_create(&s, &d.plan, 2, &err), err);
        assert_int_equal(rl_scheduler_assign(s, 0), a);
        assert_int_equal(rl_scheduler_assign(s, 1), b);
        rl_scheduler_done(s, 0, a);
        rl_scheduler_done(s, 1, b);
        assert_int_equal(rl_scheduler_assign(s, 1), longer ? after_a : after_b);
        assert_int_equal(rl_scheduler_assign(s, 0), longer ? after_b : after_a);
        rl_scheduler_free(s);
        clear(&d);
    }
}

static void test_what_is_done_is_not_done_again(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    cycle_dag(&d, 3, 1, 1);
    int32_t per_run = d.plan.num_nodes / 3;
    for (int32_t n = 0; n < per_run; n++) d.plan.nodes[n].done = true; /* run 0 */
    d.plan.nodes[per_run].done = true;                                 /* run 1's fine-tuning */
    d.plan.run_error[2] = rl_strdup("broken", NULL);
    assert_ok(rl_scheduler_create(&s, &d.plan, 1, &err), err);
    rl_sweep_counts counts = rl_scheduler_counts(s);
    assert_int_equal(counts.planned, 3);
    assert_int_equal(counts.done, 1);
    assert_int_equal(counts.failed, 1);
    for (int32_t node; (node = rl_scheduler_assign(s, 0)) >= 0; rl_scheduler_done(s, 0, node)) {
        assert_true(node > per_run);
        assert_false(d.plan.nodes[node].done);
    }
    assert_true(rl_scheduler_finished(s));
    assert_ok(rl_scheduler_check(s, &err), err);
    rl_scheduler_free(s);
    rl_free(d.plan.run_error[2]);
    clear(&d);
}

static void test_equal_events_give_equal_assignments(void **state)
{
    rl_error err = {0};
    dag d;
    int32_t first[2000], count[2] = {0, 0};
    (void)state;
    random_dag(&d, 60, 10);
    for (int pass = 0; pass < 2; pass++) {
        rl_scheduler *s = NULL;
        assert_ok(rl_scheduler_create(&s, &d.plan, 4, &err), err);
        while (!rl_scheduler_finished(s)) {
            int32_t held[4];
            for (int w = 0; w < 4; w++) {
                held[w] = rl_scheduler_assign(s, w);
                if (pass == 0) first[count[0]] = held[w];
                assert_int_equal(first[count[pass]++], held[w]);
            }
            for (int w = 0; w < 4; w++)
                if (held[w] >= 0) rl_scheduler_done(s, w, held[w]);
        }
        rl_scheduler_free(s);
    }
    assert_int_equal(count[0], count[1]);
    clear(&d);
}

static void bounds_of(const dag *d, double *work, double *path)
{
    double *finish = rl_calloc((size_t)d->plan.num_nodes, sizeof *finish, NULL);
    *work = *path = 0;
    for (int32_t n = 0; n < d->plan.num_nodes; n++) {
        for (int32_t i = 0; i < d->plan.nodes[n].num_depends; i++)
            if (finish[d->plan.nodes[n].depends[i]] > finish[n]) finish[n] = finish[d->plan.nodes[n].depends[i]];
        finish[n] += d->plan.nodes[n].seconds;
        *work += d->plan.nodes[n].seconds;
        if (finish[n] > *path) *path = finish[n];
    }
    rl_free(finish);
}

/* No schedule ends before max(work/m, longest path); a list schedule ends by work/m + (1 - 1/m) path (Graham 1969). */
static void assert_makespan_in_bounds(const dag *d, int32_t workers)
{
    rl_error err = {0};
    double work, path, m = workers;
    bounds_of(d, &work, &path);
    double makespan = rl_plan_predict_seconds(&d->plan, workers, &err);
    assert_true(makespan >= (work / m > path ? work / m : path) * (1 - 1e-12));
    assert_true(makespan <= (work / m + (1 - 1 / m) * path) * (1 + 1e-12));
    if (workers == 1) assert_close(makespan, work, 1e-12, 0);
}

static void test_makespan_is_within_list_schedulings_bound(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        dag d;
        random_dag(&d, 1 + (int32_t)draw(80), 1 + (int32_t)draw(20));
        for (int32_t workers = 1; workers <= 16; workers *= 2) assert_makespan_in_bounds(&d, workers);
        clear(&d);
    }
}

/* 100,000 runs on 4,096 workers: log n an event. Not a benchmark: the bound only catches a quadratic step (minutes). */
static void test_a_hundred_thousand_runs_on_4096_workers(void **state)
{
    dag d;
    (void)state;
    cycle_dag(&d, 100000, 100, 2);
    double before = rl_now_s();
    assert_makespan_in_bounds(&d, 4096);
    assert_true(rl_now_s() - before < 20);
    clear(&d);
}

static void test_a_plan_that_is_no_dag_is_refused(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    dag d;
    (void)state;
    start(&d, 1, 2);
    add(&d, RL_NODE_STAGE, 0, 1, (int32_t[]){1}, 1);
    add(&d, RL_NODE_SHARD, 0, 1, (int32_t[]){0}, 1);
    assert_int_equal(rl_scheduler_create(&s, &d.plan, 1, &err), RL_ERR_INTERNAL);
    assert_null(s);
    clear(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_node_runs_once_in_any_order),
        cmocka_unit_test(test_failures_take_dependants_and_nothing_else),
        cmocka_unit_test(test_returned_nodes_run_again),
        cmocka_unit_test(test_stop_assigns_nothing_more),
        cmocka_unit_test(test_a_light_worker_does_not_train),
        cmocka_unit_test(test_reports_from_others_change_nothing),
        cmocka_unit_test(test_longest_remaining_path_goes_first),
        cmocka_unit_test(test_a_worker_keeps_to_what_it_holds_among_near_equals),
        cmocka_unit_test(test_what_is_done_is_not_done_again),
        cmocka_unit_test(test_equal_events_give_equal_assignments),
        cmocka_unit_test(test_makespan_is_within_list_schedulings_bound),
        cmocka_unit_test(test_a_hundred_thousand_runs_on_4096_workers),
        cmocka_unit_test(test_a_plan_that_is_no_dag_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
