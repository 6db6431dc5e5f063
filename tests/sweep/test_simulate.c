/* The scheduler in virtual time: every stage once and after its inputs, no worker twice at a time, work and disk accounted for,
 * losses redone from checkpoints, a coordinator that can be too slow. */
#include "support.h"
#include "sweep_dag.h"

typedef struct record { /* what on_interval told */
    const rl_plan *plan;
    double *worker_free, *ended; /* per worker; per node, -1 = not yet */
    double seconds, lost;
    int64_t intervals;
} record;

static void take(void *context, int32_t worker, int32_t node, double start_s, double end_s, bool lost)
{
    record *r = context;
    assert_true(start_s >= r->worker_free[worker] && end_s >= start_s);
    r->worker_free[worker] = end_s;
    for (int32_t d = 0; d < r->plan->nodes[node].num_depends; d++) {
        double ready = r->ended[r->plan->nodes[node].depends[d]];
        assert_true(ready >= 0 && ready <= start_s);
    }
    assert_true(r->ended[node] < 0);
    if (!lost) r->ended[node] = end_s;
    r->seconds += end_s - start_s;
    r->intervals++;
}

static rl_simulation simulate(const sweep_dag *d, rl_simulation_options o)
{
    rl_error err = {0};
    rl_simulation result;
    record r = {.plan = &d->plan};
    r.worker_free = rl_calloc((size_t)o.num_workers, sizeof(double), &err);
    r.ended = rl_calloc((size_t)d->plan.num_nodes, sizeof(double), &err);
    for (int32_t n = 0; n < d->plan.num_nodes; n++) r.ended[n] = -1;
    o.context = &r;
    o.on_interval = take;
    assert_ok(rl_simulate(&result, &d->plan, &o, &err), err);
    for (int32_t n = 0; n < d->plan.num_nodes; n++) assert_true(r.ended[n] >= 0);
    assert_close(result.busy_share * o.num_workers * result.makespan_s, r.seconds, 1e-9, 0);
    assert_close(result.work_s + result.lost_s, r.seconds, 1e-9, 0);
    assert_int_equal(result.num_nodes, d->plan.num_nodes);
    assert_true(result.makespan_s >= result.bound_s * (1 - 1e-12) && result.efficiency <= 1 + 1e-12);
    rl_free(r.worker_free);
    rl_free(r.ended);
    return result;
}

static double work_of(const sweep_dag *d)
{
    double work = 0;
    for (int32_t n = 0; n < d->plan.num_nodes; n++) work += d->plan.nodes[n].seconds;
    return work;
}

static void test_it_is_the_forecast_when_messages_cost_nothing(void **state)
{
    rl_error err = {0};
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 40, 4, 2, RL_KEEP_ALL);
    for (int32_t workers = 1; workers <= 64; workers *= 4) {
        rl_simulation r = simulate(&d, (rl_simulation_options){.num_workers = workers});
        assert_close(r.makespan_s, rl_plan_predict_seconds(&d.plan, workers, &err), 0, 0);
        assert_close(r.work_s, work_of(&d), 1e-9, 0);
        assert_int_equal(r.messages, 2 * d.plan.num_nodes);
        if (workers == 1) assert_close(r.efficiency, 1, 1e-9, 0);
    }
    sweep_dag_clear(&d);
}

static void assert_little_idle(int64_t num_runs, int32_t workers, double reports_per_s, double most_load)
{
    sweep_dag d;
    sweep_dag_make(&d, num_runs, 10, 2, RL_KEEP_ALL);
    rl_simulation r =
        simulate(&d, (rl_simulation_options){.num_workers = workers, .message_s = 50e-6, .reports_per_s = reports_per_s});
    assert_true(r.efficiency >= 0.98);
    assert_true(r.coordinator_load > 0 && r.coordinator_load < most_load);
    sweep_dag_clear(&d);
}

static void test_many_runs_on_many_workers_leave_little_idle(void **state)
{
    (void)state;
    assert_little_idle(5000, 200, 2, 0.1);
}

/* The size that is promised: 100,000 runs on 4,096 ranks, each message as dear as the coordinator's is allowed to be. */
static void test_the_largest_sweep_keeps_its_ranks_busy(void **state)
{
    (void)state;
    assert_little_idle(100000, 4095, 2, 1);
}

static void test_a_slow_coordinator_is_the_bottleneck(void **state)
{
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 200, 4, 1, RL_KEEP_ALL);
    rl_simulation r = simulate(&d, (rl_simulation_options){.num_workers = 100, .message_s = 1});
    assert_true(r.makespan_s >= d.plan.num_nodes - 101); /* one report after the other, a second each */
    assert_true(r.efficiency < 0.5);
    sweep_dag_clear(&d);
}

/* A report and the assignment that answers it are one service, and what ends at once tells of no steps. */
static void test_the_coordinator_is_busy_for_at_most_the_whole_time(void **state)
{
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 2000, 4, 1, RL_KEEP_ALL);
    for (int32_t n = 0; n < d.plan.num_nodes; n++) d.plan.nodes[n].seconds = 0.05;
    rl_simulation r = simulate(&d, (rl_simulation_options){.num_workers = 4000, .message_s = 1e-3, .reports_per_s = 2});
    assert_int_equal(r.messages, 2 * d.plan.num_nodes);
    assert_true(r.coordinator_load > 0.95 && r.coordinator_load <= 1);
    assert_close(r.makespan_s, 1e-3 * d.plan.num_nodes, 0.05, 0);
    r = simulate(&d, (rl_simulation_options){.num_workers = 4000, .message_s = 1e-3, .kill_every_s = 1, .seed = 1}); /* most waits when a rank is lost */
    assert_true(r.num_kills > 0 && r.coordinator_load > 0.5 && r.coordinator_load <= 1);
    sweep_dag_clear(&d);
}

static void test_losses_cost_what_no_checkpoint_holds(void **state)
{
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 60, 4, 2, RL_KEEP_ALL);
    const rl_simulation_options calm = {.num_workers = 16, .seed = 5};
    rl_simulation_options rough = calm;
    rough.kill_every_s = 50;
    rough.restart_s = 3;
    rough.reports_per_s = 1;
    rl_simulation a = simulate(&d, calm), b = simulate(&d, rough), again = simulate(&d, rough);
    assert_true(b.num_kills > 3 && b.lost_s > 0);
    assert_true((double)b.messages > 2.0 * d.plan.num_nodes + 0.8 * a.work_s * 0.75); /* what a loss cut off was told of too; training is most of the work */
    assert_close(b.work_s, a.work_s, 1e-9, 0); /* nothing is lost for good, nothing is done twice beyond lost_s */
    assert_true(b.lost_s <= (double)b.num_kills * 16 * 25); /* an epoch of fine-tuning takes at most 22 s */
    assert_true(b.makespan_s > a.makespan_s + 3.0 * (double)b.num_kills);
    assert_close(b.makespan_s, again.makespan_s, 0, 0);
    sweep_dag_clear(&d);
}

static void test_losses_without_end_are_refused(void **state)
{
    rl_error err = {0};
    rl_simulation result;
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 4, 1, 1, RL_KEEP_ALL);
    const rl_simulation_options o = {.num_workers = 2, .kill_every_s = 1e-3};
    assert_fails(rl_simulate(&result, &d.plan, &o, &err), RL_ERR_INPUT, err, "would never end");
    sweep_dag_clear(&d);
}

/* What is begun is finished first: with keep: none few models live at once, and the end comes hardly later. */
static void test_deleting_bounds_the_disk(void **state)
{
    rl_simulation kept[3];
    (void)state;
    for (int k = RL_KEEP_ALL; k <= RL_KEEP_NONE; k++) {
        sweep_dag d;
        sweep_dag_make(&d, 2000, 4, 2, (rl_keep)k);
        kept[k] = simulate(&d, (rl_simulation_options){.num_workers = 50});
        sweep_dag_clear(&d);
    }
    double models = 2000 * 3 + 500;
    assert_true(kept[RL_KEEP_ALL].peak_disk_bytes >= models * 1e8);
    assert_true(kept[RL_KEEP_FINAL].peak_disk_bytes >= 2000 * 1e8);
    assert_true(kept[RL_KEEP_FINAL].peak_disk_bytes < 2000 * 1e8 + 50 * 16e8);
    assert_true(kept[RL_KEEP_NONE].peak_disk_bytes < 50 * 16e8); /* a worker: a shared model, its four runs' three, a checkpoint */
    assert_true(kept[RL_KEEP_NONE].efficiency > 0.97);
}

/* With few models alive the results themselves are what fills the disk: shards, and results.h5 with the same again; going on in a folder
 * that has some of them, the old results.h5 beside the new one. */
static void test_results_count(void **state)
{
    enum { RUNS = 5000 };
    const double shards = RUNS * 4e5, models = 16e8;
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, RUNS, 10, 1, RL_KEEP_NONE);
    rl_simulation fresh = simulate(&d, (rl_simulation_options){.num_workers = 1});
    assert_true(fresh.peak_disk_bytes >= 2 * shards && fresh.peak_disk_bytes < 2 * shards + models);
    for (int32_t n = 0; n < d.plan.num_nodes; n++) d.plan.nodes[n].there = d.plan.nodes[n].done = true;
    const rl_simulation_options o = {.num_workers = 1};
    rl_error err = {0};
    rl_simulation again;
    assert_ok(rl_simulate(&again, &d.plan, &o, &err), err);
    assert_close(again.peak_disk_bytes, 3 * shards, 1e-12, 0);
    for (int32_t n = 0; n < d.plan.num_nodes; n++) d.plan.nodes[n].there = false; /* left out: done with, and nowhere */
    assert_ok(rl_simulate(&again, &d.plan, &o, &err), err);
    assert_close(again.peak_disk_bytes, 0, 0, 0);
    sweep_dag_clear(&d);
}

static void test_the_spread_keeps_the_total_and_is_reproducible(void **state)
{
    sweep_dag d;
    (void)state;
    sweep_dag_make(&d, 500, 5, 2, RL_KEEP_ALL);
    const rl_simulation_options o = {.num_workers = 8, .spread = 0.3, .seed = 2};
    rl_simulation a = simulate(&d, o), b = simulate(&d, o);
    assert_close(a.work_s, work_of(&d), 0.05, 0); /* 3,600 draws of mean 1 */
    assert_close(a.makespan_s, b.makespan_s, 0, 0);
    sweep_dag_clear(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_the_forecast_when_messages_cost_nothing),
        cmocka_unit_test(test_many_runs_on_many_workers_leave_little_idle),
        cmocka_unit_test(test_the_largest_sweep_keeps_its_ranks_busy),
        cmocka_unit_test(test_a_slow_coordinator_is_the_bottleneck),
        cmocka_unit_test(test_the_coordinator_is_busy_for_at_most_the_whole_time),
        cmocka_unit_test(test_losses_cost_what_no_checkpoint_holds),
        cmocka_unit_test(test_losses_without_end_are_refused),
        cmocka_unit_test(test_deleting_bounds_the_disk),
        cmocka_unit_test(test_results_count),
        cmocka_unit_test(test_the_spread_keeps_the_total_and_is_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
