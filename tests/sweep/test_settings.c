/* Single settings by path: what `finetune --set` takes, what results columns read, what --help prints. */
#include "relearn/sweep.h"
#include "support.h"

static void test_a_setting_reads_back_as_it_was_set(void **state)
{
    static const char *const pairs[][2] = {{"train.epochs", "7"},
                                           {"train.learning_rate", "5e-05"},
                                           {"train.learning_rate", "0.1"},
                                           {"train.shuffle", "false"},
                                           {"train.dropout", "0"},
                                           {"train.optimizer", "adamw_hf"},
                                           {"train.order", "hf4"},
                                           {"prune.select", "least"},
                                           {"prune.ratio", "1"},
                                           {"retrain.rounds", "0"},
                                           {"analyse.top_words", "64"},
                                           {"data.limit", "1000"},
                                           {"seed", "3"}};
    rl_error err = {0};
    rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char assignment[100];
        snprintf(assignment, sizeof assignment, "%s=%s", pairs[i][0], pairs[i][1]);
        assert_ok(rl_settings_set(&s, assignment, &err), err);
        char *text = rl_settings_get(&s, pairs[i][0], &err);
        assert_non_null(text);
        assert_string_equal(text, pairs[i][1]);
        rl_free(text);
    }
    assert_int_equal(s.train.epochs, 7);
    assert_false(s.train.shuffle);
    assert_int_equal(s.train.optimizer, RL_ADAMW_HF);
    assert_int_equal(s.top_words, 64);
}

static void test_bad_assignments_change_nothing(void **state)
{
    static const char *const bad[] = {"train.epochs",
                                      "=3",
                                      "train.epochs=",
                                      "train.epochs=x",
                                      "train.epochs=0",
                                      "train.epochs= 3",
                                      "train.epoch=3",
                                      "prune.ratio=2",
                                      "prune.ratio=nan",
                                      "train.shuffle=1",
                                      "prune.select=all",
                                      "model=tiny-bert",
                                      "concept=location",
                                      "data.train=x",
                                      "",
                                      "train=3"};
    rl_error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED), before = s;
        rl_status status = rl_settings_set(&s, bad[i], &err);
        if (status == RL_OK) print_error("accepted: %s\n", bad[i]);
        assert_int_not_equal(status, RL_OK);
        assert_int_equal(rl_exit_code(status), 2);
        assert_memory_equal(&s, &before, sizeof s);
    }
    rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    assert_int_not_equal(rl_settings_set(&s, "train.epoch=3", &err), RL_OK);
    assert_non_null(strstr(err.message, "train.epochs"));
}

static void test_an_unknown_path_has_no_value(void **state)
{
    rl_error err = {0};
    rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    (void)state;
    assert_null(rl_settings_get(&s, "prune.rato", &err));
    assert_non_null(strstr(err.message, "prune.ratio"));
}

/* Every path that can be read is described, with the default it has. */
static void test_the_description_names_every_setting(void **state)
{
    static const char *const some[] = {
        "model", "seed", "train.epochs", "train.adam_epsilon", "analyse.similarity.vectors", "prune.ratio"};
    rl_error err = {0};
    rl_buffer text = {0};
    (void)state;
    assert_ok(rl_settings_describe(&text, &err), err);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) assert_non_null(strstr(text.data, some[i]));
    for (char *line = text.data; *line; line = strchr(line, '\n') + 1) /* "train.epochs: 3   meaning" */
        assert_int_equal(line[strspn(line, "abcdefghijklmnopqrstuvwxyz_.0123456789")], ':');
    assert_non_null(strstr(text.data, "train.epochs: 3 "));
    rl_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_setting_reads_back_as_it_was_set),
        cmocka_unit_test(test_bad_assignments_change_nothing),
        cmocka_unit_test(test_an_unknown_path_has_no_value),
        cmocka_unit_test(test_the_description_names_every_setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
