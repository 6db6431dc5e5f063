/* A batch in shares (ranks_per_run): which sentence is whose, that shares together are the batch, and that nothing else
 * about a training changes. */
#include "fixtures.h"

static void spans_of(rl_encoded *data, int64_t start[], const int64_t *lengths, int64_t count)
{
    for (int64_t s = 0; s < count; s++) start[s + 1] = start[s] + lengths[s];
    *data = (rl_encoded){.num_sentences = count, .num_tokens = start[count], .sentence_start = start};
}

static void test_split_by_tokens(void **state)
{
    (void)state;
    const int64_t lengths[] = {3, 9, 4, 9, 8, 1}, sentence[] = {0, 1, 2, 3, 4, 5};
    int64_t start[7] = {0}, order[6], tokens[3];
    int32_t share_of[6];
    rl_encoded data;
    spans_of(&data, start, lengths, 6);
    rl_split_batch(share_of, &data, sentence, 6, 2, order, tokens);
    /* 9 -> 0, 9 -> 1, 8 -> 0, 4 -> 1, 3 -> 1, 1 -> 1 */
    const int32_t two[] = {1, 0, 1, 1, 0, 1};
    assert_memory_equal(share_of, two, sizeof two);
    assert_int_equal(tokens[0], 17);
    assert_int_equal(tokens[1], 17);
    rl_split_batch(share_of, &data, sentence, 2, 3, order, tokens); /* fewer sentences than shares */
    assert_true(share_of[0] == 1 && share_of[1] == 0 && tokens[2] == 0);
}

static void test_shares_stay_within_bounds(void **state)
{
    (void)state;
    int64_t lengths[40], sentence[40], start[41] = {0}, order[40], tokens[7];
    int32_t share_of[40];
    rl_encoded data;
    rl_batch_bounds bounds;
    rl_error err = {0};
    for (int64_t s = 0; s < 40; s++) lengths[s] = 1 + 19 * s * s % 53, sentence[s] = 39 - s;
    spans_of(&data, start, lengths, 40);
    for (int64_t count = 1; count <= 40; count += 3)
        for (int64_t shares = 1; shares <= 7; shares++) {
            int64_t attention[7] = {0};
            assert_ok(rl_batch_bounds_of(&bounds, &data, count, &err), err);
            bounds = rl_share_bounds(bounds, shares);
            rl_split_batch(share_of, &data, sentence, count, shares, order, tokens);
            for (int64_t b = 0; b < count; b++) attention[share_of[b]] += lengths[sentence[b]] * lengths[sentence[b]];
            for (int64_t s = 0; s < shares; s++)
                assert_true(tokens[s] <= bounds.tokens && attention[s] <= bounds.attention);
        }
}

typedef struct trained {
    rl_model *model;
    rl_training_log log;
} trained;

static void train(trained *out, int64_t ranks, double dropout, double weight_decay)
{
    static toy_data toy;
    rl_error err = {0};
    rl_train_settings settings = toy_settings();
    settings.ranks = ranks;
    settings.weight_decay = weight_decay;
    toy_fill(&toy);
    *out = (trained){.model = tiny_model("bert", dropout)};
    assert_ok(rl_train(out->model, &toy.encoded, &settings, 7, NULL, NULL, NULL, &out->log, &err), err);
}

static void drop(trained *t)
{
    rl_training_log_free(&t->log);
    rl_model_free(t->model);
}

/* Rounding only: the last batch of an epoch has one sentence, so that some shares are empty. */
static void test_shares_together_are_the_batch(void **state)
{
    (void)state;
    trained whole, split;
    train(&whole, 1, 0, 0.01);
    for (int64_t ranks = 2; ranks <= 5; ranks++) {
        train(&split, ranks, 0, 0.01);
        assert_int_equal(split.log.num_steps, whole.log.num_steps);
        for (int64_t i = 0; i < whole.log.num_steps; i++) {
            assert_int_equal(split.log.steps[i].tokens, whole.log.steps[i].tokens);
            assert_close(split.log.steps[i].loss, whole.log.steps[i].loss, 1e-4, 0);
            assert_close(split.log.steps[i].grad_norm, whole.log.steps[i].grad_norm, 1e-3, 0);
        }
        assert_close(split.log.steps[0].loss, whole.log.steps[0].loss, 1e-6, 0);
        assert_close(split.log.steps[0].grad_norm, whole.log.steps[0].grad_norm, 1e-6, 0);
        drop(&split);
    }
    drop(&whole);
}

static void test_same_bits_twice(void **state)
{
    (void)state;
    trained a, b;
    train(&a, 3, 0.1, 0.01);
    train(&b, 3, 0.1, 0.01);
    assert_same_weights(a.model, b.model);
    assert_same_log(&a.log, &b.log);
    drop(&a);
    drop(&b);
}

/* The first as an undivided batch does; no two alike. */
static void test_shares_draw_their_own_dropout(void **state)
{
    (void)state;
    assert_true(rl_share_seed(42, 0) == 42);
    assert_true(rl_share_seed(42, 1) != 42 && rl_share_seed(42, 1) != rl_share_seed(42, 2));
    assert_true(rl_share_seed(42, 1) != rl_share_seed(43, 1));
}

static void test_wrong_number_of_ranks_is_refused(void **state)
{
    (void)state;
    rl_error err = {0};
    rl_train_settings settings = rl_train_defaults();
    settings.ranks = 0;
    assert_int_equal(rl_train_check_settings(&settings, &err), RL_ERR_INPUT);
    assert_non_null(strstr(err.message, "ranks_per_run is 0"));
    settings.ranks = RL_MAX_RANKS_PER_RUN + 1;
    assert_int_equal(rl_train_check_settings(&settings, &err), RL_ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_by_tokens),
        cmocka_unit_test(test_shares_stay_within_bounds),
        cmocka_unit_test(test_shares_together_are_the_batch),
        cmocka_unit_test(test_same_bits_twice),
        cmocka_unit_test(test_shares_draw_their_own_dropout),
        cmocka_unit_test(test_wrong_number_of_ranks_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
