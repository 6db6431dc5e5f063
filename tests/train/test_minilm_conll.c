/* Fidelity on real weights and real text: MiniLM, CoNLL-2003 in file order, dropout 0: the losses and gradient norms of
 * 100 steps within 0.1 % of Hugging Face Trainer's, step by step.
 * LABELS: real golden
 * TIMEOUT: 600 */
#include "golden.h"

static void test_hundred_steps(void **state)
{
    rl_error err = {0};
    rl_corpus *corpus = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_encoded *encoded = NULL;
    rl_model *model = NULL;
    rl_training_log log = {0};
    rl_train_settings settings = rl_train_defaults();
    json_t *golden = read_golden("minilm_conll.json");
    (void)state;
    settings.dropout = 0;
    settings.shuffle = false;
    settings.max_steps = 100;
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_conll_read(&corpus, support_data("conll2003/eng.train"), NULL, 0, &err), err);
    assert_int_equal(corpus->num_sentences, (int64_t)golden_number(golden, "sentences"));
    assert_ok(rl_tokenizer_load(&tokenizer, support_minilm(), &err), err);
    assert_ok(rl_encode_corpus(&encoded, tokenizer, corpus, true, 512, &err), err);
    assert_ok(rl_model_load(&model, support_minilm(), corpus->labels, 0, &err), err);
    const rl_parameter *weight = rl_model_find(model, "classifier.weight");
    const rl_parameter *bias = rl_model_find(model, "classifier.bias");
    for (int64_t k = 0; k < weight->count; k++)
        model->weights[weight->offset + k] = (float)(0.02 * sin(0.7 * (double)k));
    for (int64_t k = 0; k < bias->count; k++) model->weights[bias->offset + k] = 0;
    assert_ok(rl_train(model, encoded, &settings, 42, NULL, NULL, NULL, &log, &err), err);
    for (int64_t i = 0; i < 100; i++) assert_int_equal(log.steps[i].tokens, (int64_t)golden_at(golden, "tokens", i));
    assert_follows(&log, golden);
    rl_training_log_free(&log);
    rl_model_free(model);
    rl_encoded_free(encoded);
    rl_tokenizer_free(tokenizer);
    rl_corpus_free(corpus);
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hundred_steps)};
    if (!support_data("conll2003/eng.train")) support_skip_program("no conll2003/eng.train under ../shared/data");
    if (!support_minilm()) support_skip_program("no models/minilm (./quickstart obtains it)");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
