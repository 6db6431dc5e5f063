/* A batch holds its sentences end to end and nothing else, and no batch can outgrow the arrays. */
#include "fixtures.h"

static void test_sentences_are_packed_end_to_end(void **state)
{
    toy_data toy;
    rl_error err = {0};
    rl_packed_batch batch;
    rl_batch_bounds bounds;
    const int64_t sentence[] = {5, 0, 20};
    (void)state;
    toy_fill(&toy);
    assert_ok(rl_batch_bounds_of(&bounds, &toy.encoded, 3, &err), err);
    assert_ok(rl_packed_batch_create(&batch, bounds, &err), err);
    rl_packed_batch_fill(&batch, &toy.encoded, sentence, 3);
    int64_t t = 0, longest = 0;
    for (int64_t b = 0; b < 3; b++) {
        int64_t from = toy.start[sentence[b]], n = toy.start[sentence[b] + 1] - from;
        assert_int_equal(batch.view.start[b], t);
        for (int64_t i = 0; i < n; i++, t++) {
            assert_int_equal(batch.view.ids[t], toy.ids[from + i]);
            assert_int_equal(batch.view.labels[t], toy.labels[from + i]);
        }
        if (n > longest) longest = n;
    }
    assert_int_equal(batch.view.start[3], t);
    assert_int_equal(batch.view.num_tokens, t);
    assert_int_equal(batch.view.max_length, longest);
    assert_int_equal(batch.view.num_sentences, 3);
    rl_packed_batch_clear(&batch);
}

static void test_bounds_are_the_longest_sentences(void **state)
{
    rl_error err = {0};
    rl_batch_bounds bounds;
    int64_t start[] = {0, 4, 6, 13, 16, 21}; /* lengths 4 2 7 3 5 */
    rl_encoded data = {.num_sentences = 5, .num_tokens = 21, .sentence_start = start};
    (void)state;
    assert_ok(rl_batch_bounds_of(&bounds, &data, 2, &err), err);
    assert_int_equal(bounds.tokens, 12);
    assert_int_equal(bounds.attention, 49 + 25);
    assert_int_equal(bounds.length, 7);
    assert_int_equal(bounds.sentences, 2);
    assert_ok(rl_batch_bounds_of(&bounds, &data, 8, &err), err); /* a batch larger than the corpus */
    assert_int_equal(bounds.tokens, 21);
    assert_int_equal(bounds.sentences, 5);
}

static void expect_refused(toy_data *toy, const rl_model *model, const char *part)
{
    rl_error err = {0};
    assert_fails(rl_encoded_check(&toy->encoded, model, &err), RL_ERR_INPUT, err, part);
    toy_fill(toy);
}

static void test_data_that_is_not_the_models_is_refused(void **state)
{
    toy_data toy;
    rl_error err = {0};
    rl_model *model = tiny_model("bert", 0);
    (void)state;
    toy_fill(&toy);
    assert_ok(rl_encoded_check(&toy.encoded, model, &err), err);
    toy.ids[toy.start[2]] = 16;
    expect_refused(&toy, model, "sentence 3: token id 16; the model's vocabulary has 0 to 15");
    toy.ids[0] = -1;
    expect_refused(&toy, model, "sentence 1: token id -1");
    toy.labels[1] = 9;
    expect_refused(&toy, model, "sentence 1: label id 9; the model has labels 0 to 8");
    toy.start[1] = 14;
    expect_refused(&toy, model, "sentence 1 has 14 tokens; the model takes 1 to 12");
    toy.start[1] = 0;
    expect_refused(&toy, model, "sentence 1 has 0 tokens");
    toy.encoded.num_sentences = 0;
    expect_refused(&toy, model, "no sentence");
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences_are_packed_end_to_end),
        cmocka_unit_test(test_bounds_are_the_longest_sentences),
        cmocka_unit_test(test_data_that_is_not_the_models_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
