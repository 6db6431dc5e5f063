/* Training with bfloat16 factors stays as near float32's golden trajectory as PyTorch's autocast does, gives
 * the same bits twice and through a stop, and is refused where the processor cannot do it.
 * LABELS: golden */
#include "golden.h"

static void need_bf16(void)
{
    rl_error err = {0};
    assert_ok(rl_linalg_init(NULL, &err), err);
    if (rl_bf16_check(&err) == RL_OK) return;
    print_message("skipped: %s\n", err.message);
    skip();
}

/* The golden case NAME (tools/goldens/train.py), 100 steps. */
static rl_training_log train_case(const char *name, const json_t *golden, rl_precision precision)
{
    char folder[256];
    rl_error err = {0};
    rl_model *model = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_corpus *corpus = NULL;
    rl_encoded *encoded = NULL;
    rl_training_log log = {0};
    rl_train_settings settings = rl_train_defaults();
    snprintf(folder, sizeof folder, "golden/train/%s", name);
    assert_ok(rl_model_load(&model, support_file(folder), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&tokenizer, support_file(folder), &err), err);
    assert_ok(rl_conll_read(&corpus, support_file("golden/train/corpus.conll"), model->config.labels, 0, &err), err);
    assert_ok(rl_encode_corpus(&encoded, tokenizer, corpus, true, 64, &err), err);
    settings.epochs = 10;
    settings.learning_rate = golden_number(golden, "learning_rate_setting");
    settings.warmup_steps = (int64_t)golden_number(golden, "warmup_steps");
    settings.precision = precision;
    assert_ok(rl_train(model, encoded, &settings, 42, NULL, NULL, NULL, &log, &err), err);
    rl_encoded_free(encoded);
    rl_corpus_free(corpus);
    rl_tokenizer_free(tokenizer);
    rl_model_free(model);
    return log;
}

/* Root of the mean squared difference of losses from the float32 golden, over steps first .. 99. */
static double distance(const json_t *golden, const json_t *torch, const rl_training_log *log, int64_t first)
{
    double sum = 0;
    for (int64_t i = first; i < 100; i++) {
        double off = (log ? log->steps[i].loss : golden_at(torch, "loss", i)) - golden_at(golden, "loss", i);
        sum += off * off;
    }
    return sqrt(sum / (double)(100 - first));
}

/* The same of relative differences of gradient norms. One step's may be large where the norm is small: GPT-2's trajectory has steps
 * where three ways to sum the same products are 1.7, 2.8 and 4.7 % off and PyTorch's 2.2 %; over all steps they are 0.4 to 0.65 %. */
static double norms_distance(const json_t *golden, const json_t *torch, const rl_training_log *log)
{
    double sum = 0;
    for (int64_t i = 0; i < 100; i++) {
        double expected = golden_at(golden, "grad_norm", i);
        double off = (log ? log->steps[i].grad_norm : golden_at(torch, "grad_norm", i)) / expected - 1;
        sum += off * off;
    }
    return sqrt(sum / 100);
}

static void follow(const char *name)
{
    json_t *root = read_golden("trajectories.json"), *golden = json_object_get(root, name);
    json_t *bf16_root = read_golden("trajectories_bf16.json"), *torch = json_object_get(bf16_root, name);
    need_bf16();
    rl_training_log log = train_case(name, golden, RL_PRECISION_BF16);
    double ours = distance(golden, NULL, &log, 0), theirs = distance(golden, torch, NULL, 0);
    print_message("%s: losses differ from float32's by %.2g (rms); PyTorch's autocast by %.2g\n", name, ours, theirs);
    assert_int_equal(log.num_steps, 100);
    /* 2^-9 a rounding, averaged over the sums. PyTorch's own losses go off by 1e-3 at most and by 2.0e-4 to 3.5e-4 rms. */
    assert_true(ours <= 5e-4 && theirs <= 5e-4);
    assert_true(ours >= 1e-5); /* float32 follows to 1e-6: nearer than this is no bfloat16 */
    for (int i = 0; i < 100; i++) {
        assert_close(log.steps[i].loss, golden_at(golden, "loss", i), 0, 3e-3);
        assert_close(log.steps[i].loss, golden_at(torch, "loss", i), 0, 3e-3);
    }
    assert_true(norms_distance(golden, NULL, &log) <= 2 * norms_distance(golden, torch, NULL));
    rl_training_log_free(&log);
    json_decref(root);
    json_decref(bf16_root);
}

static void test_bert(void **state)
{
    (void)state;
    follow("bert");
}

static void test_distilbert(void **state)
{
    (void)state;
    follow("distilbert");
}

static void test_roberta(void **state)
{
    (void)state;
    follow("roberta");
}

static void test_gpt2(void **state)
{
    (void)state;
    follow("gpt2");
}

static rl_train_settings bf16_settings(void)
{
    rl_train_settings settings = toy_settings();
    settings.precision = RL_PRECISION_BF16;
    return settings;
}

static bool stop_after_three(void *context) { return ++*(int *)context == 3; }

static void test_same_bits_twice_and_through_a_stop(void **state)
{
    rl_error err = {0};
    toy_data toy;
    rl_train_settings settings = bf16_settings();
    rl_model *model[3];
    rl_training_log log[3] = {{0}, {0}, {0}};
    char checkpoint[512];
    int steps = 0;
    const rl_train_hooks stop = {.context = &steps, .should_stop = stop_after_three};
    (void)state;
    need_bf16();
    toy_fill(&toy);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", support_temporary_folder());
    for (int i = 0; i < 3; i++) {
        model[i] = tiny_model("bert", 0.1);
        if (i == 2) {
            assert_fails(rl_train(model[i], &toy.encoded, &settings, 42, NULL, checkpoint, &stop, NULL, &err),
                         RL_ERR_STOPPED, err, "step 3");
            rl_model_free(model[i]); /* another process starts from what the first one started from */
            model[i] = tiny_model("bert", 0.1);
        }
        assert_ok(
            rl_train(model[i], &toy.encoded, &settings, 42, NULL, i == 2 ? checkpoint : NULL, NULL, &log[i], &err),
            err);
        if (i == 0) continue;
        assert_same_weights(model[0], model[i]);
        assert_same_log(&log[0], &log[i]);
    }
    for (int i = 0; i < 3; i++) {
        rl_training_log_free(&log[i]);
        rl_model_free(model[i]);
    }
}

/* A checkpoint of the other precision is another training's. */
static void test_fits_tell_precisions_apart(void **state)
{
    rl_error err = {0};
    toy_data toy;
    rl_train_settings settings = bf16_settings();
    char fit[2][RL_DIGEST_HEX];
    rl_model *model;
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    toy_fill(&toy);
    model = tiny_model("bert", 0.1);
    assert_ok(rl_checkpoint_fit(fit[0], model, &toy.encoded, &settings, 42, NULL, &err), err);
    settings.precision = RL_PRECISION_FP32;
    assert_ok(rl_checkpoint_fit(fit[1], model, &toy.encoded, &settings, 42, NULL, &err), err);
    assert_string_not_equal(fit[0], fit[1]);
    rl_model_free(model);
}

static void test_refused_without_the_instructions(void **state)
{
    rl_error err = {0};
    toy_data toy;
    rl_train_settings settings = bf16_settings();
    rl_model *model;
    (void)state;
    setenv("RELEARN_ISA", "baseline", 1);
    assert_ok(rl_linalg_init(NULL, &err), err);
    toy_fill(&toy);
    model = tiny_model("bert", 0.1);
    assert_fails(rl_train_check_machine(&settings, &err), RL_ERR_INPUT, err, "train.precision: bf16");
    assert_fails(rl_train(model, &toy.encoded, &settings, 42, NULL, NULL, NULL, NULL, &err), RL_ERR_INPUT, err,
                 "baseline");
    settings.precision = RL_PRECISION_FP32;
    assert_ok(rl_train_check_machine(&settings, &err), err);
    rl_model_free(model);
    unsetenv("RELEARN_ISA");
    assert_ok(rl_linalg_init(NULL, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_distilbert),
        cmocka_unit_test(test_roberta),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_same_bits_twice_and_through_a_stop),
        cmocka_unit_test(test_fits_tell_precisions_apart),
        cmocka_unit_test(test_refused_without_the_instructions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
