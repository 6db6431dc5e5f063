/* Threads of a rank are no part of a stage key: 20 training steps, an evaluation and an extraction have the same bits at
 * 1, 2 and 3 threads, on every instruction set. The model is large enough for every pass to be cut.
 * TIMEOUT: 300 */
#include "support.h"

#include "relearn/concept.h"
#include "relearn/train.h"

#include <stdlib.h>

enum { SENTENCES = 80, MOST_LENGTH = 40, STEPS = 20, LAYERS = 2, C = 96, MOST_THREADS = 3 };

static rl_model *make_model(void)
{
    char path[4200];
    rl_error err = {0};
    rl_model *model = NULL;
    snprintf(path, sizeof path, "%s/config.json", support_temporary_folder());
    support_write(path,
                  "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":700,"
                  "\"hidden_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"intermediate_size\":384,"
                  "\"max_position_embeddings\":64,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
                  "\"hidden_dropout_prob\":0.1,\"attention_probs_dropout_prob\":0.1,\"initializer_range\":0.1,"
                  "\"pad_token_id\":0,\"relearn_random_init\":3,\"id2label\":{\"0\":\"O\",\"1\":\"B-LOC\",\"2\":\"I-LOC\"}}");
    assert_ok(rl_model_load(&model, support_temporary_folder(), NULL, 0, &err), err);
    return model;
}

typedef struct text {
    rl_encoded encoded;
    int64_t start[SENTENCES + 1], word[SENTENCES * MOST_LENGTH];
    int32_t ids[SENTENCES * MOST_LENGTH], labels[SENTENCES * MOST_LENGTH];
} text;

static void fill(text *x)
{
    int64_t t = 0, w = 0;
    for (int64_t s = 0; s < SENTENCES; s++) {
        int64_t n = 4 + 7 * s % (MOST_LENGTH - 3);
        for (int64_t i = 0; i < n; i++, t++) {
            bool special = i == 0 || i == n - 1;
            x->ids[t] = special ? 1 : (int32_t)(2 + (13 * s + 5 * i * i) % 690);
            x->labels[t] = special ? RL_IGNORE_LABEL : x->ids[t] % 3;
            x->word[t] = special ? -1 : i % 4 == 2 ? w - 1 : w++; /* some words of two pieces */
        }
        x->start[s + 1] = t;
    }
    x->encoded = (rl_encoded){.num_sentences = SENTENCES, .num_tokens = t, .num_words = w, .max_length = MOST_LENGTH,
                              .sentence_start = x->start, .ids = x->ids, .labels = x->labels, .word = x->word};
}

typedef struct outcome {
    float *weights, *states; /* [num_weights]; [LAYERS + 1, num_words, C] */
    double losses[STEPS], norms[STEPS], eval_loss;
    int32_t predicted[SENTENCES * MOST_LENGTH];
} outcome;

static rl_status keep_layer(void *context, int64_t layer, const float *words, int64_t W, int64_t width, rl_error *err)
{
    (void)err;
    memcpy((float *)context + layer * W * width, words, (size_t)(W * width) * sizeof *words);
    return RL_OK;
}

static void run_all(outcome *o, const text *x)
{
    rl_error err = {0};
    rl_training_log log = {0};
    rl_model *model = make_model();
    rl_train_settings settings = rl_train_defaults();
    settings.epochs = 2;
    settings.learning_rate = 1e-3;
    assert_ok(rl_train(model, &x->encoded, &settings, 42, NULL, NULL, NULL, &log, &err), err);
    assert_int_equal(log.num_steps, STEPS);
    memset(o, 0, sizeof *o);
    for (int i = 0; i < STEPS; i++) o->losses[i] = log.steps[i].loss, o->norms[i] = log.steps[i].grad_norm;
    assert_ok(rl_predict(model, &x->encoded, o->predicted, &o->eval_loss, &err), err);
    o->states = rl_calloc((size_t)((LAYERS + 1) * x->encoded.num_words * C), sizeof *o->states, &err);
    o->weights = rl_calloc((size_t)model->num_weights, sizeof *o->weights, &err);
    assert_non_null(o->states);
    assert_non_null(o->weights);
    assert_ok(rl_activations_visit(model, &x->encoded, keep_layer, o->states, &err), err);
    memcpy(o->weights, model->weights, (size_t)model->num_weights * sizeof *o->weights);
    rl_training_log_free(&log);
    rl_model_free(model);
}

static void assert_same(const outcome *a, const outcome *b, const text *x)
{
    rl_model *model = make_model();
    assert_memory_equal(a->losses, b->losses, sizeof a->losses);
    assert_memory_equal(a->norms, b->norms, sizeof a->norms);
    assert_memory_equal(a->weights, b->weights, (size_t)model->num_weights * sizeof *a->weights);
    assert_memory_equal(&a->eval_loss, &b->eval_loss, sizeof a->eval_loss);
    assert_memory_equal(a->predicted, b->predicted, sizeof a->predicted);
    assert_memory_equal(a->states, b->states, (size_t)((LAYERS + 1) * x->encoded.num_words * C) * sizeof *a->states);
    assert_true(memcmp(model->weights, a->weights, (size_t)model->num_weights * sizeof *a->weights) != 0); /* it trained */
    rl_model_free(model);
}

static void clear(outcome *o)
{
    rl_free(o->weights);
    rl_free(o->states);
}

static void test_threads_change_no_bit(void **state)
{
    static const char *const isas[] = {"baseline", "avx2", "avx512"};
    static text x;
    static outcome alone, together;
    (void)state;
    fill(&x);
    for (size_t isa = 0; isa < sizeof isas / sizeof *isas; isa++) {
        rl_error err = {0};
        bool keep = false;
        setenv("RELEARN_ISA", isas[isa], 1);
        if (rl_linalg_init(NULL, &err) != RL_OK) continue; /* not this processor's */
        assert_ok(rl_linalg_threads_keep_bits(&keep, &err), err);
        if (!keep) continue; /* then the count is in the key */
        run_all(&alone, &x);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            assert_ok(rl_linalg_set_threads(threads, &err), err);
            run_all(&together, &x);
            assert_same(&alone, &together, &x);
            clear(&together);
        }
        clear(&alone);
        assert_ok(rl_linalg_set_threads(1, &err), err);
    }
    unsetenv("RELEARN_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_change_no_bit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
