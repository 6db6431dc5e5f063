/* A plan shares stages by key, knows what is done, drops runs that are the same, and is quick for 10,000 runs.
 * LABELS: unit */
#include "relearn/sweep.h"
#include "support.h"
#include "world.h"

static support_world world;

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "world");
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

typedef struct planned {
    rl_sweep *sweep;
    rl_cycle *cycle;
    rl_plan *plan;
} planned;

static rl_status plan_with(planned *p, const char *const *sets, size_t num_sets, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    memset(p, 0, sizeof *p);
    RL_TRY(rl_sweep_read(&p->sweep, world.sweep, sets, num_sets, NULL, err));
    RL_TRY(rl_cycle_create(&p->cycle, directory, NULL, err));
    RL_TRY(rl_plan_create(&p->plan, p->sweep, p->cycle, directory, 1, 10.0, err));
cleanup:
    return status;
}

static void release(planned *p)
{
    rl_plan_free(p->plan);
    rl_cycle_free(p->cycle);
    rl_sweep_free(p->sweep);
}

static void test_stages_are_shared_and_ordered(void **state)
{
    rl_error err = {0};
    planned p;
    (void)state;
    assert_ok(plan_with(&p, NULL, 0, NULL, &err), err);
    assert_int_equal(p.sweep->num_runs, 4);
    assert_int_equal(p.plan->num_nodes, 2 * 2 + 4 * 6 + 4);
    assert_int_equal(p.plan->num_stages_unshared, 4 * 8);
    assert_int_equal(p.plan->run_nodes[0][0], p.plan->run_nodes[1][0]); /* concept and random: one fine-tuning */
    assert_int_not_equal(p.plan->run_nodes[0][0], p.plan->run_nodes[2][0]);
    for (int32_t n = 0; n < p.plan->num_nodes; n++) {
        assert_false(p.plan->nodes[n].done);
        assert_true(p.plan->nodes[n].seconds > 0);
        for (int32_t d = 0; d < p.plan->nodes[n].num_depends; d++) assert_true(p.plan->nodes[n].depends[d] < n);
    }
    assert_true(p.plan->critical_path_seconds <= p.plan->total_seconds);
    assert_close(rl_plan_predict_seconds(p.plan, 1, &err), p.plan->total_seconds, 1e-9, 0);
    assert_int_equal(strlen(p.sweep->runs[0].id), RL_RUN_ID - 1);
    release(&p);
}

static void test_runs_that_are_the_same_are_one(void **state)
{
    rl_error err = {0};
    planned p;
    const char *const sets[] = {"prune.select=none", "prune.ratio=[0.1, 0.5]", "seed=0"};
    (void)state;
    assert_ok(plan_with(&p, sets, 3, NULL, &err), err);
    assert_int_equal(p.sweep->num_runs, 1);
    assert_string_equal(p.sweep->runs[0].axis_values[4], "0.1"); /* the first stays */
    release(&p);
}

static void test_what_is_on_disk_is_done(void **state)
{
    rl_error err = {0};
    planned p;
    char directory[1024], path[2048], first[RL_DIGEST_HEX];
    (void)state;
    snprintf(directory, sizeof directory, "%s/out", world.folder);
    assert_ok(plan_with(&p, NULL, 0, directory, &err), err);
    double all = p.plan->remaining_seconds;
    memcpy(first, p.plan->nodes[0].stage.key, sizeof first);
    snprintf(path, sizeof path, "%s/stages/%s", directory, first);
    assert_ok(rl_make_directories(path, &err), err);
    release(&p);
    assert_ok(plan_with(&p, NULL, 0, directory, &err), err);
    assert_false(p.plan->nodes[0].done); /* a folder without its record is not complete */
    release(&p);
    snprintf(path, sizeof path, "%s/stages/%s/stage.json", directory, first);
    support_write(path, "{}");
    assert_ok(plan_with(&p, NULL, 0, directory, &err), err);
    assert_true(p.plan->nodes[0].done);
    assert_close(all - p.plan->remaining_seconds, p.plan->nodes[0].seconds, 1e-9, 0);
    /* Shards of both runs of seed 0: their stages need no making, whether their folders are there or not. */
    snprintf(path, sizeof path, "%s/runs", directory);
    assert_ok(rl_make_directories(path, &err), err);
    for (int r = 0; r < 2; r++) {
        snprintf(path, sizeof path, "%s/runs/%s.h5", directory, p.sweep->runs[r].id);
        support_write(path, "x");
    }
    release(&p);
    assert_ok(plan_with(&p, NULL, 0, directory, &err), err);
    for (int r = 0; r < 4; r++)
        for (int32_t i = 0; i < p.plan->num_run_nodes[r]; i++)
            assert_int_equal(p.plan->nodes[p.plan->run_nodes[r][i]].done, r < 2);
    release(&p);
}

static void test_a_broken_model_breaks_its_runs_alone(void **state)
{
    rl_error err = {0};
    planned p;
    const char *const some[] = {"model=[tiny-bert, broken-bert]"}, *const all[] = {"model=broken-bert"};
    (void)state;
    assert_ok(plan_with(&p, some, 1, NULL, &err), err);
    for (int r = 0; r < 8; r++) {
        assert_int_equal(p.plan->run_error[r] != NULL, r >= 4);
        assert_int_equal(p.plan->num_run_nodes[r] > 0, r < 4);
    }
    assert_non_null(strstr(p.plan->run_error[4], "broken-bert/config.json:1:"));
    release(&p);
    assert_fails(plan_with(&p, all, 1, NULL, &err), RL_ERR_INPUT, err, "broken-bert/config.json:1:");
    release(&p);
}

/* The plan hands what its keys were made of to those who work (tests/cycle/test_cycle.c has every file). */
static void test_a_model_that_changes_after_planning_is_noticed(void **state)
{
    rl_error err = {0};
    planned p;
    char other[700], directory[1024];
    (void)state;
    snprintf(directory, sizeof directory, "%s/changing", world.folder);
    snprintf(other, sizeof other, "%s/other.json", world.model);
    assert_ok(plan_with(&p, NULL, 0, directory, &err), err);
    support_write(other, "{}"); /* came with another download */
    assert_fails(rl_stage_execute(p.cycle, &p.plan->nodes[0].stage, &err), RL_ERR_INPUT, err, "has changed since");
    assert_ok(rl_remove_tree(other, &err), err);
    assert_ok(rl_stage_execute(p.cycle, &p.plan->nodes[0].stage, &err), err);
    release(&p);
}

static void test_ten_thousand_runs(void **state)
{
    rl_error err = {0};
    planned p;
    const char *const sets[] = {"seed=0..4999"};
    (void)state;
    assert_ok(plan_with(&p, sets, 1, NULL, &err), err);
    assert_int_equal(p.sweep->num_runs, 5000 * 2);
    assert_int_equal(p.plan->num_nodes, 5000 * 2 + 10000 * 7);
    release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages_are_shared_and_ordered),
        cmocka_unit_test(test_runs_that_are_the_same_are_one),
        cmocka_unit_test(test_what_is_on_disk_is_done),
        cmocka_unit_test(test_a_broken_model_breaks_its_runs_alone),
        cmocka_unit_test(test_a_model_that_changes_after_planning_is_noticed),
        cmocka_unit_test(test_ten_thousand_runs),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
