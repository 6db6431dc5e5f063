/* A whole training as Hugging Face's Trainer does it: shuffling, the short last batch, clipping, warm-up, decay, AdamW,
 * then evaluation. Ten epochs of a small model of each family, step by step, to the norm of every tensor (tools/goldens/train.py).
 * LABELS: golden */
#include "golden.h"

typedef struct case_data {
    rl_model *model;
    rl_tokenizer *tokenizer;
    rl_corpus *corpus;
    rl_encoded *encoded;
} case_data;

static case_data load_case(const char *name)
{
    char folder[256];
    rl_error err = {0};
    case_data c = {0};
    snprintf(folder, sizeof folder, "golden/train/%s", name);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&c.model, support_file(folder), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&c.tokenizer, support_file(folder), &err), err);
    const char *corpus = support_file("golden/train/corpus.conll");
    assert_ok(rl_conll_read(&c.corpus, corpus, c.model->config.labels, 0, &err), err);
    assert_ok(rl_encode_corpus(&c.encoded, c.tokenizer, c.corpus, true, 64, &err), err);
    return c;
}

static void drop_case(case_data *c)
{
    rl_encoded_free(c->encoded);
    rl_corpus_free(c->corpus);
    rl_tokenizer_free(c->tokenizer);
    rl_model_free(c->model);
}

static void assert_tensor_norms(const rl_model *model, const json_t *norms)
{
    assert_int_equal(json_object_size(norms), model->num_parameters);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *tensor = &model->parameters[i];
        double norm = sqrt(rl_sum_of_squares(model->weights + tensor->offset, tensor->count));
        /* keys' biases have no gradient but rounding noise, which Adam blows up to full steps: no digit holds there */
        bool noise = strstr(tensor->name, "key.bias") || strstr(tensor->name, "k_lin.bias");
        assert_close(norm, golden_number(norms, tensor->name), 1e-3, noise ? 1 : 1e-4);
    }
}

static void follow_trainer(const char *name, int64_t ranks)
{
    rl_error err = {0};
    case_data c = load_case(name);
    json_t *root = read_golden("trajectories.json"), *golden = json_object_get(root, name);
    rl_training_log log = {0};
    rl_evaluation evaluation = {0};
    rl_train_settings settings = rl_train_defaults();
    settings.epochs = 10;
    settings.ranks = ranks;
    settings.learning_rate = golden_number(golden, "learning_rate_setting");
    settings.warmup_steps = (int64_t)golden_number(golden, "warmup_steps");
    assert_ok(rl_train(c.model, c.encoded, &settings, 42, NULL, NULL, NULL, &log, &err), err);
    assert_follows(&log, golden);
    assert_tensor_norms(c.model, json_object_get(golden, "tensor_norms"));
    assert_ok(rl_evaluate(&evaluation, c.model, c.corpus, c.encoded, &err), err);
    assert_close(evaluation.loss, golden_number(golden, "eval_loss"), 1e-3, 0);
    assert_close(evaluation.subword->overall.f1, golden_number(golden, "eval_subword_f1"), 1e-12, 0);
    rl_evaluation_clear(&evaluation);
    rl_training_log_free(&log);
    json_decref(root);
    drop_case(&c);
}

static void test_bert(void **state)
{
    (void)state;
    follow_trainer("bert", 1);
}

static void test_distilbert(void **state)
{
    (void)state;
    follow_trainer("distilbert", 1);
}

static void test_roberta(void **state)
{
    (void)state;
    follow_trainer("roberta", 1);
}

static void test_gpt2(void **state)
{
    (void)state;
    follow_trainer("gpt2", 1);
}

/* Batches in two and three shares, which one process makes: the same training. */
static void test_two_ranks(void **state)
{
    (void)state;
    follow_trainer("distilbert", 2);
    follow_trainer("gpt2", 2);
}

static void test_three_ranks(void **state)
{
    (void)state;
    follow_trainer("bert", 3);
    follow_trainer("roberta", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_distilbert),
        cmocka_unit_test(test_roberta),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_two_ranks),
        cmocka_unit_test(test_three_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
