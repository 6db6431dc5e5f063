/* How many steps and at which rate: the numbers of protocol §3. A schedule one step off trains another model. */
#include "fixtures.h"

static void test_steps_of_conll(void **state)
{
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    assert_int_equal(rl_train_total_steps(&settings, 14041), 5268);
    settings.epochs = 5;
    assert_int_equal(rl_train_total_steps(&settings, 14041), 8780);
    settings.epochs = 2;
    assert_int_equal(rl_train_total_steps(&settings, 14041), 3512);
    settings.epochs = 1;
    assert_int_equal(rl_train_total_steps(&settings, 14041), 1756); /* the last batch has one sentence */
}

static void test_linear_decay(void **state)
{
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    assert_true(rl_train_learning_rate(&settings, 0, 8780) == 2e-5);
    assert_close(rl_train_learning_rate(&settings, 1, 8780), 1.99977e-5, 3e-6, 0); /* six digits are given */
    assert_close(rl_train_learning_rate(&settings, 8779, 8780), 2.27790e-9, 3e-6, 0);
    assert_true(rl_train_learning_rate(&settings, 8780, 8780) == 0);
}

static void test_warmup_rises_from_zero(void **state)
{
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    settings.learning_rate = 1.0;
    settings.warmup_steps = 4;
    const double expected[] = {0, 0.25, 0.5, 0.75, 1, 5.0 / 6, 4.0 / 6, 3.0 / 6, 2.0 / 6, 1.0 / 6, 0};
    for (int64_t k = 0; k <= 10; k++) assert_close(rl_train_learning_rate(&settings, k, 10), expected[k], 1e-15, 0);
}

static void test_max_steps_leaves_the_schedule(void **state)
{
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    settings.max_steps = 100;
    assert_int_equal(rl_train_total_steps(&settings, 14041), 5268);
    assert_int_equal(rl_train_num_steps(&settings, 14041), 100);
    settings.max_steps = 6000;
    assert_int_equal(rl_train_num_steps(&settings, 14041), 5268);
}

static void expect_refused(rl_train_settings settings, const char *part)
{
    rl_error err = {0};
    assert_fails(rl_train_check_settings(&settings, &err), RL_ERR_INPUT, err, part);
}

static void test_settings_out_of_range_are_named(void **state)
{
    rl_error err = {0};
    rl_train_settings good = rl_train_defaults(), s;
    (void)state;
    assert_ok(rl_train_check_settings(&good, &err), err);
    expect_refused((s = good, s.epochs = 0, s), "train.epochs is 0; expected 1 or more");
    expect_refused((s = good, s.batch_size = -8, s), "train.batch_size is -8; expected 1 or more");
    expect_refused((s = good, s.warmup_steps = -1, s), "train.warmup_steps");
    expect_refused((s = good, s.max_steps = -1, s), "train.max_steps");
    expect_refused((s = good, s.learning_rate = NAN, s), "train.learning_rate is nan");
    expect_refused((s = good, s.weight_decay = INFINITY, s), "train.weight_decay is inf");
    expect_refused((s = good, s.max_grad_norm = -1, s), "train.max_grad_norm");
    expect_refused((s = good, s.adam_beta1 = 1, s), "train.adam_beta1 is 1; expected 0 <= value < 1");
    expect_refused((s = good, s.adam_beta2 = -0.1, s), "train.adam_beta2");
    expect_refused((s = good, s.adam_epsilon = 0, s), "train.adam_epsilon");
    expect_refused((s = good, s.dropout = 1, s), "train.dropout is 1; expected below 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_conll),
        cmocka_unit_test(test_linear_decay),
        cmocka_unit_test(test_warmup_rises_from_zero),
        cmocka_unit_test(test_max_steps_leaves_the_schedule),
        cmocka_unit_test(test_settings_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
