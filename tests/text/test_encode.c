/* A corpus as packed sub-words: specials, words, the labels of further sub-words, truncation.
 * LABELS: unit */
#include "text_support.h"

static rl_tokenizer *a_tokenizer(void)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    A_FILE("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##be\n##re\nx\ny\n##z\n");
    assert_ok(rl_tokenizer_load(&tokenizer, support_temporary_folder(), &err), err);
    return tokenizer;
}

static rl_corpus *a_corpus(const char *text)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    assert_ok(rl_conll_read(&corpus, a_file("c.conll", text, strlen(text)), NULL, 0, &err), err);
    return corpus;
}

static rl_encoded *encode(const rl_corpus *corpus, bool with_labels, int64_t max_length)
{
    rl_encoded *encoded = NULL;
    rl_error err;
    rl_tokenizer *tokenizer = a_tokenizer();
    assert_ok(rl_encode_corpus(&encoded, tokenizer, corpus, with_labels, max_length, &err), err);
    rl_tokenizer_free(tokenizer);
    return encoded;
}

#define EXPECT(array, ...)                                                                                             \
    do {                                                                                                               \
        const int64_t expected[] = {__VA_ARGS__};                                                                      \
        for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)                                                \
            assert_int_equal((int64_t)(array)[i], expected[i]);                                                        \
    } while (0)

/* protocol §1.1: labels [5,0,3], word ids [-,0,0,0,1,2,2,-] -> [-100,5,6,6,0,3,4,-100]. */
static void test_worked_example(void **state)
{
    rl_corpus *corpus = a_corpus("unbere B-LOC\nx O\nyz B-ORG\n\nx B-PER\nx B-MISC\n");
    rl_encoded *e = encode(corpus, true, 512);
    (void)state;
    assert_int_equal(corpus->label[0], 5);
    assert_int_equal(corpus->label[2], 3);
    EXPECT(e->ids, 2, 5, 6, 7, 8, 9, 10, 3, 2, 8, 8, 3);
    EXPECT(e->word, -1, 0, 0, 0, 1, 2, 2, -1, -1, 3, 4, -1);
    EXPECT(e->labels, -100, 5, 6, 6, 0, 3, 4, -100, -100, 1, 7, -100);
    EXPECT(e->sentence_start, 0, 8, 12);
    assert_int_equal(e->num_tokens, 12);
    assert_int_equal(e->num_sentences, 2);
    assert_int_equal(e->num_words, 5);
    assert_int_equal(e->max_length, 8);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
}

static void test_an_inside_label_stays(void **state)
{
    rl_corpus *corpus = a_corpus("x B-LOC\nyz I-LOC\nyz O\n");
    rl_encoded *e = encode(corpus, true, 512);
    (void)state;
    EXPECT(e->labels, -100, 1, 2, 2, 0, 0, -100);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
}

/* A word of dropped characters only has no token, so its index is skipped. */
static void test_a_word_without_tokens(void **state)
{
    rl_corpus *corpus = a_corpus("x O\n\xc2\x80 B-LOC\ny O\n");
    rl_encoded *e = encode(corpus, true, 512);
    (void)state;
    EXPECT(e->ids, 2, 8, 9, 3);
    EXPECT(e->word, -1, 0, 2, -1);
    EXPECT(e->labels, -100, 0, 0, -100);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
}

static void test_truncation_cuts_inside_a_word(void **state)
{
    rl_corpus *corpus = a_corpus("unbere B-LOC\nx O\n\ny O\n");
    rl_encoded *e = encode(corpus, true, 4);
    (void)state;
    EXPECT(e->ids, 2, 5, 6, 3, 2, 9, 3);
    EXPECT(e->word, -1, 0, 0, -1, -1, 2, -1);
    EXPECT(e->labels, -100, 1, 2, -100, -100, 0, -100);
    EXPECT(e->sentence_start, 0, 4, 7);
    assert_int_equal(e->max_length, 4);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
}

static void test_labels_only_on_request(void **state)
{
    rl_corpus *corpus = a_corpus("unbere B-LOC\n");
    rl_encoded *e = encode(corpus, false, 512);
    (void)state;
    assert_null(e->labels);
    EXPECT(e->ids, 2, 5, 6, 7, 3);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
}

static void test_no_room_is_refused(void **state)
{
    rl_corpus *corpus = a_corpus("x O\n");
    rl_tokenizer *tokenizer = a_tokenizer();
    rl_encoded *e = NULL;
    rl_error err;
    (void)state;
    assert_fails(rl_encode_corpus(&e, tokenizer, corpus, true, 2, &err), RL_ERR_INPUT, err,
                 "leaves no room between [CLS] and [SEP]");
    assert_null(e);
    rl_tokenizer_free(tokenizer);
    rl_corpus_free(corpus);
}

/* Labels numbered otherwise (all B- first): the further sub-words still get I- of the same type. */
static void test_other_label_orders(void **state)
{
    static const char *const order[] = {"B-LOC", "B-PER", "I-LOC", "I-PER", "O"};
    rl_names *labels = NULL;
    rl_corpus *corpus = NULL;
    rl_error err;
    int32_t id;
    (void)state;
    assert_int_equal(rl_names_create(&labels, NULL), RL_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(rl_names_intern(labels, order[i], strlen(order[i]), &id, NULL), RL_OK);
    assert_ok(rl_conll_read(&corpus, A_FILE("o.conll", "yz B-PER\nyz O\n"), labels, 0, &err), err);
    rl_encoded *e = encode(corpus, true, 512);
    EXPECT(e->labels, -100, 1, 3, 4, 4, -100);
    rl_encoded_free(e);
    rl_corpus_free(corpus);
    rl_names_free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),         cmocka_unit_test(test_an_inside_label_stays),
        cmocka_unit_test(test_a_word_without_tokens),  cmocka_unit_test(test_truncation_cuts_inside_a_word),
        cmocka_unit_test(test_labels_only_on_request), cmocka_unit_test(test_no_room_is_refused),
        cmocka_unit_test(test_other_label_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
