/* fixtures.h -- what the train tests share: a tiny model with random weights, and a corpus of ids, no tokenizer. */
#ifndef RELEARN_TRAIN_FIXTURES_H
#define RELEARN_TRAIN_FIXTURES_H

#include "support.h"
#include "train_internal.h"

#define TINY_LABELS                                                                                           \
    "\"id2label\":{\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\"," \
    "\"6\":\"I-LOC\",\"7\":\"B-MISC\",\"8\":\"I-MISC\"}"

/* Protocol §15's sizes: vocab 16, 2 layers, 2 heads, C = 8, F = 16, K = 9. */
static inline rl_model *tiny_model(const char *model_type, double dropout)
{
    char folder[4096], path[4200], config[2048];
    rl_error err = {0};
    rl_model *model = NULL;
    bool bert = strcmp(model_type, "bert") == 0;
    snprintf(folder, sizeof folder, "%s/tiny-%s-%g", support_temporary_folder(), model_type, dropout);
    assert_ok(rl_make_directories(folder, &err), err);
    if (bert)
        snprintf(config, sizeof config,
                 "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":16,"
                 "\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":16,"
                 "\"max_position_embeddings\":12,\"type_vocab_size\":2,\"hidden_act\":\"gelu\","
                 "\"layer_norm_eps\":1e-12,\"hidden_dropout_prob\":%g,\"attention_probs_dropout_prob\":%g,"
                 "\"initializer_range\":0.02,\"pad_token_id\":0,\"relearn_random_init\":3," TINY_LABELS "}",
                 dropout, dropout);
    else
        snprintf(config, sizeof config,
                 "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForTokenClassification\"],"
                 "\"vocab_size\":16,\"dim\":8,\"n_layers\":2,\"n_heads\":2,\"hidden_dim\":16,"
                 "\"max_position_embeddings\":12,\"activation\":\"gelu\",\"dropout\":%g,\"attention_dropout\":%g,"
                 "\"initializer_range\":0.02,\"pad_token_id\":0,\"relearn_random_init\":3," TINY_LABELS "}",
                 dropout, dropout);
    snprintf(path, sizeof path, "%s/config.json", folder);
    support_write(path, config);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
    return model;
}

/* A corpus made of ids: sentences of 3 to 9 tokens whose labels follow from their ids: there is something to learn. */
enum { TOY_SENTENCES = 21, TOY_MOST_TOKENS = TOY_SENTENCES * 9 };
typedef struct toy_data {
    rl_encoded encoded;
    int64_t start[TOY_SENTENCES + 1], word[TOY_MOST_TOKENS];
    int32_t ids[TOY_MOST_TOKENS], labels[TOY_MOST_TOKENS];
} toy_data;

static inline void toy_fill(toy_data *toy)
{
    int64_t t = 0, w = 0;
    for (int64_t s = 0; s < TOY_SENTENCES; s++) {
        int64_t n = 3 + (5 * s) % 7;
        toy->start[s] = t;
        for (int64_t i = 0; i < n; i++, t++) {
            bool special = i == 0 || i == n - 1;
            toy->ids[t] = special ? (i ? 3 : 2) : (int32_t)(4 + (7 * s + 3 * i) % 12);
            toy->labels[t] = special ? RL_IGNORE_LABEL : toy->ids[t] % 9;
            toy->word[t] = special ? -1 : w++;
        }
    }
    toy->start[TOY_SENTENCES] = t;
    toy->encoded = (rl_encoded){.num_sentences = TOY_SENTENCES,
                                .num_tokens = t,
                                .num_words = w,
                                .max_length = 9,
                                .sentence_start = toy->start,
                                .ids = toy->ids,
                                .labels = toy->labels,
                                .word = toy->word};
}

/* Batches of 4 (the last of 1), 3 epochs of 6 steps, a learning rate at which the tiny model moves. */
static inline rl_train_settings toy_settings(void)
{
    rl_train_settings settings = rl_train_defaults();
    settings.batch_size = 4;
    settings.learning_rate = 1e-2;
    return settings;
}

static inline void assert_same_weights(const rl_model *a, const rl_model *b)
{
    assert_int_equal(a->num_weights, b->num_weights);
    assert_memory_equal(a->weights, b->weights, (size_t)a->num_weights * sizeof *a->weights);
}

/* Everything of the records but the seconds. */
static inline void assert_same_log(const rl_training_log *a, const rl_training_log *b)
{
    assert_int_equal(a->num_steps, b->num_steps);
    for (int64_t i = 0; i < a->num_steps; i++) {
        const rl_step_record *x = &a->steps[i], *y = &b->steps[i];
        assert_true(x->step == y->step && x->epoch == y->epoch && x->tokens == y->tokens);
        assert_true(x->loss == y->loss && x->grad_norm == y->grad_norm && x->learning_rate == y->learning_rate);
    }
}

#endif
