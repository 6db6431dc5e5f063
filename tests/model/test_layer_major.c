/* Passes layer by layer, eval workspaces and other batchings give the very bits of rl_model_forward: analyses and
 * training see one model. Also: the workspace's size, FLOPs, and rl_batch_check's refusals.
 *
 * LABELS: unit */
#include "model_support.h"

static void seven_sentences(owned_batch *b)
{
    memset(b, 0, sizeof *b);
    for (int s = 0; s < 7; s++) {
        int32_t ids[12], labels[12];
        int n = 1 + (5 * s) % 12;
        for (int i = 0; i < n; i++) {
            ids[i] = (3 * i + 7 * s) % 16;
            labels[i] = i % 4 ? (i + s) % 9 : RL_IGNORE_LABEL;
        }
        batch_sentence(b, ids, labels, n);
    }
}

static void check_layer_major(const char *config, bool training)
{
    rl_model *model = load_text(config);
    owned_batch b;
    fill_by_formula(model);
    seven_sentences(&b);
    rl_workspace *w = workspace_for(model, &b, true), *other = workspace_for(model, &b, training);
    size_t n = (size_t)(b.batch.num_tokens * 8);
    float *hidden = calloc(n, sizeof *hidden);
    rl_model_forward(model, w, &b.batch, NULL);
    rl_model_embed(model, other, &b.batch, hidden);
    assert_memory_equal(hidden, w->hidden[0], n * sizeof *hidden);
    for (int64_t l = 0; l < model->config.num_layers; l++) {
        rl_model_block(model, other, &b.batch, l, hidden);
        assert_memory_equal(hidden, w->hidden[l + 1], n * sizeof *hidden);
    }
    const float *logits = rl_model_forward(model, other, &b.batch, NULL);
    assert_memory_equal(logits, w->logits, (size_t)b.batch.num_tokens * 9 * sizeof *logits);
    free(hidden);
    rl_workspace_free(w);
    rl_workspace_free(other);
    rl_model_free(model);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        check_layer_major(tiny_bert, training);
        check_layer_major(tiny_distilbert, training);
    }
}

/* Without padding a sentence's logits do not depend on its neighbours (up to the GEMM's blocking of rows, so not bit
 * for bit). */
static void test_sentences_do_not_see_each_other(void **state)
{
    rl_model *model = load_text(tiny_bert);
    owned_batch all, one;
    (void)state;
    fill_by_formula(model);
    seven_sentences(&all);
    rl_workspace *w = workspace_for(model, &all, false), *alone = workspace_for(model, &all, false);
    const float *logits = rl_model_forward(model, w, &all.batch, NULL);
    for (int s = 0; s < 7; s++) {
        int32_t first = all.start[s], n = all.start[s + 1] - first;
        memset(&one, 0, sizeof one);
        batch_sentence(&one, all.ids + first, all.labels + first, n);
        const float *mine = rl_model_forward(model, alone, &one.batch, NULL);
        for (int i = 0; i < n * 9; i++) assert_close(mine[i], logits[first * 9 + i], 0, 2e-6);
    }
    rl_workspace_free(w);
    rl_workspace_free(alone);
    rl_model_free(model);
}

/* Training keeps 8 C + 2 F + 4 floats a token and layer and the probabilities; eval a few arrays in all. */
static void test_workspace_size(void **state)
{
    rl_model *model = load_text(tiny_bert);
    rl_workspace *training = NULL, *eval = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_workspace_create(&training, model, 4096, 64, 128, 64 * 128 * 128, true, &err), err);
    assert_ok(rl_workspace_create(&eval, model, 4096, 64, 128, 64 * 128 * 128, false, &err), err);
    double per_layer =
        4096.0 * (8 * 8 + 2 * 16 + 4) + 2 * 64 * 128 * 128; /* qkv 3, context, sum1, middle, sum2, next hidden */
    double other = 4096.0 * (8 * 4 + 2 + 2 * 9 + 4 * 8);    /* embedding, head, logits, backward */
    double scratch = (double)rl_attention_scratch_count(128, 4);
    assert_close((double)rl_workspace_bytes(training), 4 * (2 * per_layer + other + scratch), 0.002, 0);
    assert_close((double)rl_workspace_bytes(eval),
                 4 * (4096.0 * (8 + 24 + 8 + 8 + 2 + 16 + 9) + scratch), 0.002, 0);
    rl_workspace_free(training);
    rl_workspace_free(eval);
    assert_fails(rl_workspace_create(&training, model, 0, 1, 1, 1, true, &err), RL_ERR_INTERNAL, err, "max_tokens");
    rl_model_free(model);
}

static void test_batch_check(void **state)
{
    rl_model *model = load_text(tiny_bert);
    rl_error err = {0};
    owned_batch b;
    (void)state;
    seven_sentences(&b);
    rl_workspace *w = workspace_for(model, &b, true);
    int32_t keep = b.ids[3];
    b.ids[3] = 16;
    assert_fails(rl_batch_check(model, w, &b.batch, &err), RL_ERR_INPUT, err,
                 "token id 16; the model's vocabulary has ids 0 to 15");
    b.ids[3] = keep;
    b.labels[3] = 9;
    assert_fails(rl_batch_check(model, w, &b.batch, &err), RL_ERR_INPUT, err,
                 "label id 9; the model has labels 0 to 8");
    b.labels[3] = -100;
    b.batch.max_length = w->max_length = 13;
    assert_fails(rl_batch_check(model, w, &b.batch, &err), RL_ERR_INPUT, err, "13 tokens; the model has 12 positions");
    b.batch.max_length = 12;
    w->max_attention -= 1;
    assert_fails(rl_batch_check(model, w, &b.batch, &err), RL_ERR_INTERNAL, err, "max_attention");
    rl_workspace_free(w);
    rl_model_free(model);
}

/* 10 tokens, one sentence: 6 (L (4 C^2 + 2 C F) + K C) T + 12 L C n^2. */
static void test_flops(void **state)
{
    rl_model *model = load_text(tiny_bert);
    (void)state;
    assert_close(rl_model_training_flops(&model->config, 10, 100),
                 6 * (2 * (4 * 64 + 2 * 8 * 16) + 72) * 10.0 + 12 * 2 * 8 * 100, 1e-12, 0);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_sentences_do_not_see_each_other),
        cmocka_unit_test(test_workspace_size), cmocka_unit_test(test_batch_check),
        cmocka_unit_test(test_flops),
    };
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
