/* Similarity of top-word lists: gensim's n_similarity on the vectors of protocol §13, empty lists, and vectors from a
 * model. */
#include "concept_support.h"

/* Rows of the golden's fastText file: input row r, column c = float32(sin(0.3 r + 0.7 c)). */
static float input(int r, int c)
{
    return (float)sin(.3 * r + .7 * c);
}

enum { THE, CAT, DOG, ANKARA, E_ACUTE, NOTHING, WORDS };

/* Rows: word row first for the two words of the vocabulary, then 2 + bucket of each n-gram, as the protocol lists them.
 */
static const int rows[WORDS][12] = {
    {0, 3, 8, 2, 6, 2, -1},
    {1, 9, 5, 3, 7, 8, -1},
    {4, 9, 9, 9, 5, -1},
    {2, 5, 7, 6, 5, 5, 5, 10, 5, 5, 2, -1},
    {3, -1}, /* "<é>" is 1002806231: bucket 1 */
    {-1},
};

static void fill_table(float *table)
{
    memset(table, 0, WORDS * 4 * sizeof *table);
    for (int w = 0; w < WORDS; w++)
        for (int c = 0; c < 4; c++) {
            double sum = 0;
            int n = 0;
            for (; rows[w][n] >= 0; n++) sum += input(rows[w][n], c);
            table[w * 4 + c] = n ? (float)(sum / n) : 0;
        }
}

static void test_gensims_n_similarity(void **state)
{
    static const int32_t cat_dog[] = {CAT, DOG, -1}, the[] = {THE, -1, -1};
    static const int32_t cat_cat_ankara[] = {CAT, CAT, ANKARA}, e_the[] = {E_ACUTE, THE, -1};
    float table[WORDS * 4];
    (void)state;
    fill_table(table);
    assert_close(table[0], .593654, 0, 1e-6); /* the golden's own vectors, so the table is right */
    assert_close(table[4], .673732, 0, 1e-6);
    assert_close(table[8], .642335, 0, 1e-6);
    assert_close(table[12], .826585, 0, 1e-6);
    assert_close(rl_similarity(table, 4, cat_dog, the, 3), .543265, 0, 1e-6);
    assert_close(rl_similarity(table, 4, cat_cat_ankara, e_the, 3), .774312, 0, 1e-6); /* repeats count */
    assert_close(rl_similarity(table, 4, cat_dog, cat_dog, 3), 1, 1e-15, 0);
}

static void test_empty_lists_and_zero_vectors(void **state)
{
    static const int32_t cat[] = {CAT, -1}, nothing[] = {NOTHING, -1}, empty[] = {-1, -1};
    float table[WORDS * 4];
    (void)state;
    fill_table(table);
    assert_true(isnan(rl_similarity(table, 4, cat, empty, 2)));
    assert_true(isnan(rl_similarity(table, 4, empty, cat, 2)));
    assert_same(rl_similarity(table, 4, cat, nothing, 2), 0);
}

/* A word's vector is the mean of the embedding rows of its pieces; a dropped word has none. */
static void test_vectors_of_a_model(void **state)
{
    static const char *texts[] = {"river", "Quito", "\xc2\x80"};
    rl_model *model = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_names *words = NULL;
    rl_id_list list = {0};
    rl_error err = {0};
    float *table = NULL;
    int32_t id;
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&model, support_file("golden/concept/tiny"), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&tokenizer, support_file("golden/concept/tiny"), &err), err);
    assert_ok(rl_names_create(&words, &err), err);
    for (int i = 0; i < 3; i++) assert_ok(rl_names_intern(words, texts[i], strlen(texts[i]), &id, &err), err);
    assert_ok(rl_word_vectors_from_model(&table, model, tokenizer, words, &err), err);
    int64_t C = model->config.hidden_size;
    for (int i = 0; i < 3; i++) {
        list.count = 0;
        assert_ok(rl_tokenizer_encode_word(tokenizer, texts[i], strlen(texts[i]), &list, &err), err);
        assert_true(i == 0 ? list.count == 1 : i == 1 ? list.count > 1 : list.count == 0);
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (size_t p = 0; p < list.count; p++)
                sum += model->weights[rl_model_word_embeddings(model) + list.ids[p] * C + c];
            assert_close(table[i * C + c], list.count ? sum / (double)list.count : 0, 1e-6, 0);
        }
    }
    model->config.vocab_size = 20; /* a tokenizer of another model */
    float *untouched = table;
    assert_fails(rl_word_vectors_from_model(&untouched, model, tokenizer, words, &err), RL_ERR_INPUT, err,
                 "vocabulary has 20");
    assert_ptr_equal(untouched, table);
    rl_free(table);
    rl_free(list.ids);
    rl_names_free(words);
    rl_tokenizer_free(tokenizer);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gensims_n_similarity),
        cmocka_unit_test(test_empty_lists_and_zero_vectors),
        cmocka_unit_test(test_vectors_of_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
