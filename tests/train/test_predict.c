/* Predictions do not depend on how sentences are batched, the loss is HF's eval_loss, and the two levels of scores are
 * what protocol §4 says. */
#include "fixtures.h"

/* -log softmax in long double, and argmax, one sentence at a time. */
static void reference(const rl_model *model, const rl_encoded *data, int32_t *predicted, double *losses)
{
    rl_error err = {0};
    rl_workspace *workspace = NULL;
    int64_t K = model->config.num_labels;
    assert_ok(rl_workspace_create(&workspace, model, data->max_length, 1, data->max_length,
                                  data->max_length * data->max_length, false, &err), err);
    for (int64_t s = 0; s < data->num_sentences; s++) {
        int64_t from = data->sentence_start[s], n = data->sentence_start[s + 1] - from;
        int32_t start[] = {0, (int32_t)n};
        rl_batch batch = {.num_sentences = 1, .num_tokens = n, .max_length = n, .start = start, .ids = data->ids + from};
        const float *logits = rl_model_forward(model, workspace, &batch, NULL);
        for (int64_t t = 0; t < n; t++) {
            long double sum = 0;
            const float *row = logits + t * K;
            int32_t best = 0;
            for (int32_t k = 0; k < K; k++) {
                sum += expl((long double)row[k]);
                if (row[k] > row[best]) best = k;
            }
            predicted[from + t] = best;
            int32_t label = data->labels[from + t];
            if (label >= 0) losses[from + t] = (double)(logl(sum) - (long double)row[label]);
        }
    }
    rl_workspace_free(workspace);
}

static rl_model *spread_model(void) /* logits far enough apart that rounding cannot change the best */
{
    rl_model *model = tiny_model("bert", 0.1);
    for (int64_t i = 0; i < model->num_weights; i++) model->weights[i] *= 4;
    return model;
}

static void test_every_token_as_alone(void **state)
{
    toy_data toy;
    rl_error err = {0};
    int32_t predicted[TOY_MOST_TOKENS], expected[TOY_MOST_TOKENS];
    double losses[TOY_MOST_TOKENS], loss, weighted = 0;
    rl_model *model = spread_model();
    (void)state;
    toy_fill(&toy);
    reference(model, &toy.encoded, expected, losses);
    assert_ok(rl_predict(model, &toy.encoded, predicted, &loss, &err), err);
    assert_memory_equal(predicted, expected, (size_t)toy.encoded.num_tokens * sizeof *expected);
    for (int64_t s = 0; s < TOY_SENTENCES; s += 8) { /* 8, 8 and 5 sentences */
        int64_t to = s + 8 < TOY_SENTENCES ? s + 8 : TOY_SENTENCES, labelled = 0;
        double sum = 0;
        for (int64_t t = toy.start[s]; t < toy.start[to]; t++)
            if (toy.labels[t] >= 0) sum += losses[t], labelled++;
        weighted += (double)(to - s) * sum / (double)labelled;
    }
    assert_close(loss, weighted / TOY_SENTENCES, 1e-5, 0); /* float32 logits in batches of other shapes */
    rl_model_free(model);
}

/* More tokens than one batch holds, one sentence of each kind of length, no labels: still every token, in its place. */
static void test_many_batches_without_labels(void **state)
{
    enum { S = 400 };
    static int64_t start[S + 1];
    static int32_t ids[S * 12], predicted[S * 12];
    rl_error err = {0};
    rl_model *model = spread_model();
    (void)state;
    for (int64_t s = 0; s < S; s++) {
        int64_t n = 1 + (7 * s) % 12;
        start[s + 1] = start[s] + n;
        for (int64_t i = 0; i < n; i++) ids[start[s] + i] = (int32_t)((5 * (s % 12) + i) % 16); /* 12 kinds */
    }
    rl_encoded data = {
        .num_sentences = S, .num_tokens = start[S], .max_length = 12, .sentence_start = start, .ids = ids};
    assert_ok(rl_predict(model, &data, predicted, NULL, &err), err);
    for (int64_t s = 12; s < S; s++) /* sentence s is sentence s mod 12 again, in another batch */
        for (int64_t i = 0; i < start[s + 1] - start[s]; i++)
            assert_int_equal(predicted[start[s] + i], predicted[start[s % 12] + i]);
    rl_model_free(model);
}

static void test_loss_without_labels_is_our_mistake(void **state)
{
    toy_data toy;
    rl_error err = {0};
    double loss;
    int32_t predicted[TOY_MOST_TOKENS];
    rl_model *model = tiny_model("bert", 0);
    (void)state;
    toy_fill(&toy);
    toy.encoded.labels = NULL;
    assert_fails(rl_predict(model, &toy.encoded, predicted, &loss, &err), RL_ERR_INTERNAL, err, "violated");
    rl_model_free(model);
}

/* Every token is predicted B-PER (its bias wins). Four words, one of them dropped by the tokenizer, one of two
 * sub-words: words B-PER O B-LOC B-PER. */
static void test_word_and_subword_levels(void **state)
{
    int64_t sentence_start[] = {0, 3, 4}, token_start[] = {0, 5, 8}, word[] = {-1, 0, 0, 2, -1, -1, 3, -1};
    int32_t gold[] = {1, 0, 5, 1}, unused[] = {0, 1, 2, 3}, ids[] = {2, 5, 6, 7, 3, 2, 8, 3};
    int32_t labels[] = {-100, 1, 2, 5, -100, -100, 1, -100};
    rl_corpus corpus = {
        .num_sentences = 2, .num_words = 4, .sentence_start = sentence_start, .word = unused, .label = gold};
    rl_encoded data = {2, 8, 4, 5, token_start, ids, labels, word};
    rl_error err = {0};
    rl_evaluation e = {0};
    rl_model *model = tiny_model("bert", 0);
    (void)state;
    model->weights[rl_model_find(model, "classifier.bias")->offset + 1] = 1000;
    assert_ok(rl_evaluate(&e, model, &corpus, &data, &err), err);
    /* words: predicted B-PER O B-PER | B-PER */
    assert_int_equal(e.word->num_tokens, 4);
    assert_int_equal(e.word->overall.predicted, 3);
    assert_int_equal(e.word->overall.correct, 2);
    assert_int_equal(e.word->overall.support, 3);
    assert_close(e.word->accuracy, 0.75, 1e-15, 0);
    /* sub-words: gold B-PER I-PER B-LOC | B-PER against B-PER B-PER B-PER | B-PER: the first chunk is cut in two */
    assert_int_equal(e.subword->num_tokens, 4);
    assert_int_equal(e.subword->overall.predicted, 4);
    assert_int_equal(e.subword->overall.correct, 1);
    assert_close(e.subword->accuracy, 0.5, 1e-15, 0);
    assert_true(e.tokens_per_second > 0);
    rl_evaluation_clear(&e);
    rl_model_free(model);
}

/* Words of two sub-words with predictions that differ: the first one counts. */
static void test_a_words_tag_is_its_first_subwords(void **state)
{
    enum { WORDS = 5, TOKENS = 2 * WORDS + 2 };
    int64_t sentence_start[] = {0, WORDS}, token_start[] = {0, TOKENS}, word[TOKENS];
    int32_t gold[WORDS], unused[WORDS] = {0}, ids[TOKENS], labels[TOKENS], predicted[TOKENS], differing = 0;
    rl_corpus corpus = {
        .num_sentences = 1, .num_words = WORDS, .sentence_start = sentence_start, .word = unused, .label = gold};
    rl_encoded data = {1, TOKENS, WORDS, TOKENS, token_start, ids, labels, word};
    rl_error err = {0};
    rl_evaluation e = {0};
    rl_model *model = spread_model();
    (void)state;
    for (int t = 0; t < TOKENS; t++) {
        bool special = t == 0 || t == TOKENS - 1;
        ids[t] = 4 + 5 * t % 12;
        labels[t] = special ? RL_IGNORE_LABEL : 0;
        word[t] = special ? -1 : (t - 1) / 2;
    }
    assert_ok(rl_predict(model, &data, predicted, NULL, &err), err);
    for (int w = 0; w < WORDS; w++) {
        gold[w] = predicted[2 * w + 1];
        differing += predicted[2 * w + 1] != predicted[2 * w + 2];
    }
    assert_true(differing > 0);
    assert_ok(rl_evaluate(&e, model, &corpus, &data, &err), err);
    assert_close(e.word->accuracy, 1, 1e-15, 0);
    rl_evaluation_clear(&e);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_token_as_alone),
        cmocka_unit_test(test_many_batches_without_labels),
        cmocka_unit_test(test_loss_without_labels_is_our_mistake),
        cmocka_unit_test(test_word_and_subword_levels),
        cmocka_unit_test(test_a_words_tag_is_its_first_subwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
