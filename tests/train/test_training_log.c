/* training.jsonl has exactly the keys of design §2, in that order, and reads back to the same doubles. */
#include "fixtures.h"

static rl_step_record records[] = {
    {.step = 1, .epoch = 0, .loss = 2.2024, .grad_norm = 2.6264, .learning_rate = 2e-5, .tokens = 163, .seconds = 0.11},
    {.step = 2, .epoch = 0, .loss = 1.0 / 3, .grad_norm = 0.1, .learning_rate = 2e-5 / 3, .tokens = 9, .seconds = 2}};

static void test_written_as_the_design_says(void **state)
{
    char path[4200];
    rl_error err = {0};
    rl_file_view view;
    rl_training_log log = {.num_steps = 1, .capacity = 2, .steps = records};
    (void)state;
    snprintf(path, sizeof path, "%s/training.jsonl", support_temporary_folder());
    assert_ok(rl_training_log_write(&log, path, &err), err);
    assert_ok(rl_file_view_open(&view, path, &err), err);
    const char *expected = "{\"step\":1,\"epoch\":0,\"loss\":2.2024,\"grad_norm\":2.6264,\"learning_rate\":2e-05,"
                           "\"tokens\":163,\"seconds\":0.11}\n";
    assert_int_equal(view.size, strlen(expected));
    assert_memory_equal(view.data, expected, view.size);
    rl_file_view_close(&view);
}

static void test_reads_back_the_same_doubles(void **state)
{
    char path[4200];
    rl_error err = {0};
    rl_training_log log = {.num_steps = 2, .capacity = 2, .steps = records}, read = {0}, empty = {0};
    (void)state;
    snprintf(path, sizeof path, "%s/round.jsonl", support_temporary_folder());
    assert_ok(rl_training_log_write(&log, path, &err), err);
    assert_ok(rl_training_log_read(&read, path, &err), err);
    assert_same_log(&read, &log);
    assert_true(read.steps[1].seconds == 2);
    rl_training_log_free(&read);
    assert_ok(rl_training_log_write(&empty, path, &err), err);
    assert_ok(rl_training_log_read(&read, path, &err), err);
    assert_int_equal(read.num_steps, 0);
    rl_training_log_free(&read);
}

static void expect_refused(const char *text, const char *part)
{
    char path[4200];
    rl_error err = {0};
    rl_training_log log = {0};
    snprintf(path, sizeof path, "%s/bad.jsonl", support_temporary_folder());
    support_write(path, text);
    assert_fails(rl_training_log_read(&log, path, &err), RL_ERR_INPUT, err, part);
    assert_null(log.steps);
}

#define GOOD "{\"step\":1,\"epoch\":0,\"loss\":2,\"grad_norm\":2,\"learning_rate\":2e-5,\"tokens\":163,\"seconds\":1}\n"

static void test_damage_names_file_and_line(void **state)
{
    (void)state;
    expect_refused(GOOD "{\"step\":2,\"epo", "bad.jsonl:2:");
    expect_refused(GOOD GOOD "[1]\n", "bad.jsonl:3:1: not an object");
    expect_refused("{\"step\":1.5}\n", "bad.jsonl:1: no integer \"step\"");
    expect_refused("{\"step\":1,\"epoch\":0,\"loss\":\"x\"}\n", "no number \"loss\"");
    expect_refused(GOOD "\n" GOOD, "bad.jsonl:2:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_as_the_design_says),
        cmocka_unit_test(test_reads_back_the_same_doubles),
        cmocka_unit_test(test_damage_names_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
