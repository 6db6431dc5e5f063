/* However a training is interrupted, what it ends with is the same to the last bit. */
#include "fixtures.h"

#include <unistd.h>

static char path[4200], bad[4300];
static rl_model *whole; /* the undisturbed training's outcome */
static rl_training_log whole_log;
static toy_data toy;

enum { STEPS = 18, STEPS_PER_EPOCH = 6 };

typedef struct watch {
    int64_t stop_at;            /* stop once this step is done; 0 = never */
    int64_t steps_here, last_step, epochs[8], num_epochs;
    int64_t fail_epoch;         /* 1 + epoch whose hook fails: a kill between evaluation and checkpoint */
    bool fail_trained, trained; /* fail_trained: a kill between the last checkpoint and the publication */
} watch;

static void on_step(void *context, const rl_step_record *record, int64_t total_steps)
{
    watch *w = context;
    assert_int_equal(total_steps, STEPS);
    w->last_step = record->step;
    w->steps_here++;
}
static bool should_stop(void *context)
{
    const watch *w = context;
    return w->stop_at && w->last_step >= w->stop_at;
}
static rl_status on_epoch(void *context, int64_t epoch, const rl_model *model, rl_error *err)
{
    watch *w = context;
    (void)model;
    if (w->fail_epoch == epoch + 1) return rl_fail(err, RL_ERR_IO, "killed");
    w->epochs[w->num_epochs++] = epoch;
    return RL_OK;
}
static rl_status on_trained(void *context, const rl_model *model, const rl_training_log *log, rl_error *err)
{
    watch *w = context;
    assert_same_weights(model, whole);
    assert_same_log(log, &whole_log);
    w->trained = true;
    return w->fail_trained ? rl_fail(err, RL_ERR_IO, "killed") : RL_OK;
}

/* One start of the program: a fresh model from the same weights, going on from whatever is at `path`. */
static rl_status start(watch *w, rl_model **model, rl_training_log *log, rl_error *err)
{
    rl_train_settings settings = toy_settings();
    rl_train_hooks hooks = {w, on_step, on_epoch, should_stop, on_trained, 0, NULL, NULL, NULL};
    *model = tiny_model("bert", 0.1);
    return rl_train(*model, &toy.encoded, &settings, 7, NULL, path, &hooks, log, err);
}

/* Start again, to the end, and compare. Returns the steps it took. */
static int64_t expect_finishes_alike(watch *w)
{
    rl_error err = {0};
    rl_model *model;
    rl_training_log log = {0};
    *w = (watch){0};
    assert_ok(start(w, &model, &log, &err), err);
    assert_same_weights(model, whole);
    assert_same_log(&log, &whole_log);
    assert_false(rl_path_exists(path));
    assert_true(w->trained);
    rl_model_free(model);
    rl_training_log_free(&log);
    return w->steps_here;
}

static void interrupt(watch w, rl_status expected, const char *part)
{
    rl_error err = {0};
    rl_model *model;
    rl_training_log log = {0};
    assert_fails(start(&w, &model, &log, &err), expected, err, part);
    assert_null(log.steps);
    rl_model_free(model);
}

static int make_whole(void **state)
{
    rl_error err = {0};
    rl_train_settings settings = toy_settings();
    (void)state;
    snprintf(path, sizeof path, "%s/checkpoint", support_temporary_folder());
    snprintf(bad, sizeof bad, "%s.bad", path);
    toy_fill(&toy);
    whole = tiny_model("bert", 0.1);
    assert_ok(rl_train(whole, &toy.encoded, &settings, 7, NULL, NULL, NULL, &whole_log, &err), err);
    return 0;
}
static int drop_whole(void **state)
{
    (void)state;
    rl_model_free(whole);
    rl_training_log_free(&whole_log);
    return 0;
}

static void test_stop_at_every_step(void **state)
{
    watch w;
    (void)state;
    for (int64_t step = 1; step < STEPS; step++) {
        char part[64];
        snprintf(part, sizeof part, "stopped on request after step %d of 18", (int)step);
        interrupt((watch){.stop_at = step}, RL_ERR_STOPPED, part);
        assert_true(rl_path_exists(path));
        assert_int_equal(expect_finishes_alike(&w), STEPS - step);
        assert_int_equal(w.num_epochs, 3 - step / STEPS_PER_EPOCH); /* finished epochs are not reported again */
        assert_int_equal(w.epochs[0], step / STEPS_PER_EPOCH);
    }
    interrupt((watch){.stop_at = 3}, RL_ERR_STOPPED, "step 3 of 18"); /* and stopped twice */
    interrupt((watch){.stop_at = 11}, RL_ERR_STOPPED, "step 11 of 18");
    assert_int_equal(expect_finishes_alike(&w), 7);
}

static void test_stop_with_the_last_step_is_done(void **state)
{
    rl_error err = {0};
    watch w = {.stop_at = STEPS};
    rl_model *model;
    rl_training_log log = {0};
    (void)state;
    assert_ok(start(&w, &model, &log, &err), err);
    assert_same_weights(model, whole);
    rl_model_free(model);
    rl_training_log_free(&log);
}

static void test_kill_between_evaluation_and_checkpoint_repeats_the_epoch(void **state)
{
    watch w;
    (void)state;
    interrupt((watch){.fail_epoch = 2}, RL_ERR_IO, "killed");
    assert_int_equal(expect_finishes_alike(&w), 12); /* from the end of epoch 0 */
    assert_true(w.num_epochs == 2 && w.epochs[0] == 1);
}

static void test_kill_after_the_last_epoch_costs_nothing(void **state)
{
    watch w;
    (void)state;
    interrupt((watch){.fail_trained = true}, RL_ERR_IO, "killed");
    assert_true(rl_path_exists(path));
    assert_int_equal(expect_finishes_alike(&w), 0);
    assert_int_equal(w.num_epochs, 0);
}

static void damage(size_t at)
{
    rl_error err = {0};
    rl_file_view view;
    assert_ok(rl_file_view_open(&view, path, &err), err);
    char *bytes = malloc(view.size);
    size_t size = view.size;
    memcpy(bytes, view.data, size);
    rl_file_view_close(&view);
    bytes[at % size] ^= 1;
    assert_ok(rl_write_file(path, bytes, size, &err), err);
    free(bytes);
}

static void test_damaged_checkpoint_is_set_aside(void **state)
{
    watch w;
    (void)state;
    for (size_t at = 100; at < 40000; at += 9973) {
        interrupt((watch){.stop_at = 9}, RL_ERR_STOPPED, "step 9");
        damage(at);
        assert_int_equal(expect_finishes_alike(&w), STEPS); /* from the start, to the same bits */
        assert_true(rl_path_exists(bad));
        unlink(bad);
    }
}

static void test_another_seeds_checkpoint_is_set_aside(void **state)
{
    rl_error err = {0};
    watch w = {.stop_at = 5};
    rl_train_settings settings = toy_settings();
    rl_train_hooks hooks = {.context = &w, .on_step = on_step, .should_stop = should_stop};
    rl_model *model = tiny_model("bert", 0.1);
    (void)state;
    rl_status status = rl_train(model, &toy.encoded, &settings, 8, NULL, path, &hooks, NULL, &err);
    assert_fails(status, RL_ERR_STOPPED, err, "step 5");
    rl_model_free(model);
    assert_int_equal(expect_finishes_alike(&w), STEPS);
    assert_true(rl_path_exists(bad));
    unlink(bad);
}

static void test_checkpoint_that_cannot_be_written_ends_training(void **state)
{
    rl_error err = {0};
    rl_train_settings settings = toy_settings();
    rl_model *model = tiny_model("bert", 0.1);
    (void)state;
    rl_status status = rl_train(model, &toy.encoded, &settings, 7, NULL, "/nonexistent/checkpoint", NULL, NULL, &err);
    assert_fails(status, RL_ERR_IO, err, "/nonexistent/checkpoint");
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_at_every_step),
        cmocka_unit_test(test_stop_with_the_last_step_is_done),
        cmocka_unit_test(test_kill_between_evaluation_and_checkpoint_repeats_the_epoch),
        cmocka_unit_test(test_kill_after_the_last_epoch_costs_nothing),
        cmocka_unit_test(test_damaged_checkpoint_is_set_aside),
        cmocka_unit_test(test_another_seeds_checkpoint_is_set_aside),
        cmocka_unit_test(test_checkpoint_that_cannot_be_written_ends_training),
    };
    return cmocka_run_group_tests(tests, make_whole, drop_whole);
}
