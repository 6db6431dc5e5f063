/* A checkpoint is either exactly what was written for exactly this training, or it is set aside as FILE.bad. */
#include "fixtures.h"

#include <unistd.h>

enum { WEIGHTS = 5, STEPS = 2 };
typedef struct holder {
    float weights[WEIGHTS], m[WEIGHTS], v[WEIGHTS];
    rl_step_record steps[4];
    rl_training_log log;
    rl_checkpoint state;
} holder;

static void hold(holder *h, bool filled)
{
    *h = (holder){0};
    for (int i = 0; filled && i < WEIGHTS; i++) h->weights[i] = 1.5f * (float)i, h->m[i] = -2.0f, h->v[i] = 0.25f;
    for (int i = 0; filled && i < STEPS; i++)
        h->steps[i] = (rl_step_record){.step = i + 1, .loss = 0.1 * i, .tokens = 7};
    h->log = (rl_training_log){.num_steps = filled ? STEPS : 0, .capacity = 4, .steps = h->steps};
    h->state = (rl_checkpoint){h->weights, h->m, h->v, WEIGHTS, h->log.num_steps, &h->log};
}

static char path[4200], bad[4300];
static const char fit[RL_DIGEST_HEX] = "0123456789abcdef0123456789abcdef";

static void write_good(void)
{
    rl_error err = {0};
    holder from;
    hold(&from, true);
    snprintf(path, sizeof path, "%s/checkpoint", support_temporary_folder());
    snprintf(bad, sizeof bad, "%s.bad", path);
    unlink(bad);
    assert_ok(rl_checkpoint_write(&from.state, path, fit, &err), err);
}

static void expect_set_aside(const char *its_fit)
{
    rl_error err = {0};
    holder to;
    bool restored = true;
    hold(&to, false);
    assert_ok(rl_checkpoint_read(&to.state, &restored, path, its_fit, &err), err);
    assert_false(restored);
    assert_false(rl_path_exists(path));
    assert_true(rl_path_exists(bad));
    for (int i = 0; i < WEIGHTS; i++) assert_true(to.weights[i] == 0 && to.m[i] == 0 && to.v[i] == 0);
    assert_true(to.state.step == 0 && to.log.num_steps == 0);
}

static void test_round_trip(void **state)
{
    rl_error err = {0};
    holder from, to;
    bool restored = false;
    (void)state;
    write_good();
    hold(&from, true);
    hold(&to, false);
    assert_ok(rl_checkpoint_read(&to.state, &restored, path, fit, &err), err);
    assert_true(restored);
    assert_memory_equal(to.weights, from.weights, sizeof from.weights);
    assert_memory_equal(to.m, from.m, sizeof from.m);
    assert_memory_equal(to.v, from.v, sizeof from.v);
    assert_int_equal(to.state.step, STEPS);
    assert_same_log(&to.log, &from.log);
    assert_true(rl_path_exists(path));
}

static void test_absent_is_no_error(void **state)
{
    rl_error err = {0};
    holder to;
    bool restored = true;
    (void)state;
    hold(&to, false);
    assert_ok(rl_checkpoint_read(&to.state, &restored, "/nonexistent/checkpoint", fit, &err), err);
    assert_false(restored);
}

/* Every single byte of the file, and every length it could be cut to. */
static void test_any_damage_is_noticed(void **state)
{
    rl_error err = {0};
    rl_file_view view;
    (void)state;
    write_good();
    assert_ok(rl_file_view_open(&view, path, &err), err);
    size_t size = view.size;
    char *bytes = malloc(size + 1);
    memcpy(bytes, view.data, size);
    rl_file_view_close(&view);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        assert_ok(rl_write_file(path, bytes, size, &err), err);
        expect_set_aside(fit);
        bytes[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < size; cut += 13) {
        assert_ok(rl_write_file(path, bytes, cut, &err), err);
        expect_set_aside(fit);
    }
    bytes[size] = 0;
    assert_ok(rl_write_file(path, bytes, size + 1, &err), err);
    expect_set_aside(fit);
    free(bytes);
}

static void test_anothers_checkpoint_is_set_aside(void **state)
{
    (void)state;
    write_good();
    expect_set_aside("0123456789abcdef0123456789abcdee");
}

/* More steps than this training has records for, with a checksum that holds. */
static void test_too_many_steps_are_refused(void **state)
{
    rl_error err = {0};
    holder to;
    bool restored = true;
    (void)state;
    write_good();
    hold(&to, false);
    to.log.capacity = 1;
    assert_ok(rl_checkpoint_read(&to.state, &restored, path, fit, &err), err);
    assert_false(restored);
}

static void test_unwritable_folder_is_named(void **state)
{
    rl_error err = {0};
    holder from;
    (void)state;
    hold(&from, true);
    assert_fails(rl_checkpoint_write(&from.state, "/nonexistent/checkpoint", fit, &err), RL_ERR_IO, err,
                 "writing the checkpoint /nonexistent/checkpoint");
}

/* What the fit must tell apart: each change alone gives another digest. */
static void test_fit_depends_on_everything(void **state)
{
    enum { CASES = 11 };
    char digests[CASES][RL_DIGEST_HEX];
    toy_data toy;
    rl_error err = {0};
    rl_model *model = tiny_model("bert", 0.1);
    rl_train_settings base = toy_settings();
    const int64_t offsets[] = {3, 4};
    rl_weight_mask mask = {offsets, 1}, longer = {offsets, 2};
    int n = 0;
    (void)state;
    toy_fill(&toy);
    rl_train_settings variants[] = {base, base, base, base, base};
    variants[1].epochs = 4;
    variants[2].dropout = 0;
    variants[3].shuffle = false;
    variants[4].optimizer = RL_ADAMW_HF;
    for (int i = 0; i < 5; i++)
        assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &variants[i], 1, NULL, &err), err);
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 2, NULL, &err), err);
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 1, &mask, &err), err);
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 1, &longer, &err), err);
    toy.labels[1]++;
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 1, NULL, &err), err);
    toy_fill(&toy);
    model->weights[0] += 1;
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 1, NULL, &err), err);
    model->weights[0] -= 1;
    model->config.dropout_attention = 0.2f;
    assert_ok(rl_checkpoint_fit(digests[n++], model, &toy.encoded, &base, 1, NULL, &err), err);
    assert_int_equal(n, CASES);
    for (int i = 0; i < CASES; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(digests[i], digests[j]);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_absent_is_no_error),
        cmocka_unit_test(test_any_damage_is_noticed),
        cmocka_unit_test(test_anothers_checkpoint_is_set_aside),
        cmocka_unit_test(test_too_many_steps_are_refused),
        cmocka_unit_test(test_unwritable_folder_is_named),
        cmocka_unit_test(test_fit_depends_on_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
