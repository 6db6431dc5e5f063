/* Concept corpora: two files side by side, labels kept whole, positives by comma-separated part; damage is named.
 * LABELS: unit */
#include "text_support.h"

static rl_status read_pair(rl_corpus **corpus, const char *tokens, size_t t, const char *labels, size_t l,
                           rl_error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s", a_file("tokens.txt", tokens, t));
    return rl_concept_corpus_read(corpus, path, a_file("labels.txt", labels, l), err);
}
#define READ(corpus, tokens, labels, err)                                                                              \
    read_pair((corpus), (tokens), sizeof(tokens) - 1, (labels), sizeof(labels) - 1, (err))

static void test_words_and_labels(void **state)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    assert_ok(READ(&corpus,
                   "  Mt Diogenes , \xc2\x80 a\xc2\xa0"
                   "b\r\nParis\r\n",
                   "N/A LOC,LOC:hill N/A N/A N/A\nLOC", &err),
              err);
    assert_int_equal(corpus->num_sentences, 2);
    assert_int_equal(corpus->num_words, 6);
    assert_string_equal(word_of(corpus, 0), "Mt");
    assert_string_equal(word_of(corpus, 3), "\xc2\x80"); /* a control character is a word */
    assert_string_equal(word_of(corpus, 4), "a\xc2\xa0"
                                            "b");             /* only ASCII spaces separate */
    assert_string_equal(label_of(corpus, 1), "LOC,LOC:hill"); /* commas do not split */
    assert_string_equal(rl_names_get(corpus->labels, 0), "N/A");
    assert_int_equal(rl_names_count(corpus->labels), 3);
    rl_corpus_free(corpus);
}

static void test_blank_end_of_file(void **state)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    assert_ok(READ(&corpus, "a b\n\n\n", "x y", &err), err);
    assert_int_equal(corpus->num_sentences, 1);
    rl_corpus_free(corpus);
}

static void test_positives(void **state)
{
    static const char *const usa[] = {"O:usa"}, *const both[] = {"O:usa", "O:canada"}, *const part[] = {"O:us"};
    rl_corpus *corpus = NULL;
    rl_error err;
    uint8_t is_concept[5] = {9, 9, 9, 9, 9};
    (void)state;
    assert_ok(READ(&corpus, "a b c d e\n", "N/A O,O:usa O:canada O:usa,x N/A\n", &err), err);
    assert_ok(rl_concept_positive(is_concept, corpus, usa, 1, &err), err);
    assert_memory_equal(is_concept, "\0\1\0\1\0", 5);
    assert_ok(rl_concept_positive(is_concept, corpus, both, 2, &err), err);
    assert_memory_equal(is_concept, "\0\1\1\1\0", 5);
    assert_fails(rl_concept_positive(is_concept, corpus, part, 1, &err), RL_ERR_INPUT, err,
                 "tokens.txt: none of its 5 words carries the label 'O:us'; the nearest label is 'O:usa'");
    assert_memory_equal(is_concept, "\0\1\1\1\0", 5); /* untouched on failure */
    rl_corpus_free(corpus);
}

static void test_all_positive_is_refused(void **state)
{
    static const char *const loc[] = {"LOC"};
    rl_corpus *corpus = NULL;
    rl_error err;
    uint8_t is_concept[2];
    (void)state;
    assert_ok(READ(&corpus, "a b\n", "LOC x,LOC\n", &err), err);
    assert_fails(rl_concept_positive(is_concept, corpus, loc, 1, &err), RL_ERR_INPUT, err, "all of its 2 words");
    rl_corpus_free(corpus);
}

#define REFUSED(tokens, labels, message)                                                                               \
    do {                                                                                                               \
        rl_corpus *none = NULL;                                                                                        \
        rl_error why;                                                                                                  \
        assert_fails(READ(&none, tokens, labels, &why), RL_ERR_INPUT, why, message);                                   \
        assert_null(none);                                                                                             \
    } while (0)

static void test_damage(void **state)
{
    (void)state;
    REFUSED("a b\nc d e\n", "x y\nx y\n", "labels.txt:2: 2 labels for the 3 words of line 2 of ");
    REFUSED("a\nb\nc\n", "x\nx\n", "tokens.txt:3: no line for it in ");
    REFUSED("a\n", "x\nx\n", "labels.txt:2: no line for it in ");
    REFUSED("a  b\n", "x y z\n", "tokens.txt:1:3: an empty word (two spaces)");
    REFUSED("a b c\n", "x  y\n", "labels.txt:1:3: an empty word (two spaces)");
    REFUSED("a\n\nb\n", "x\n\nx\n", "tokens.txt:2: an empty line");
    REFUSED("a\tb c\n", "x y\n", "tokens.txt:1:2: a tab");
    REFUSED("", "", "tokens.txt: no sentence");
    REFUSED("a b\xff\n", "x y\n", "tokens.txt:1:4: byte 0xff is not UTF-8");
    REFUSED("a b\n", "x \xc3\n", "labels.txt:1:3: byte 0xc3 is not UTF-8");
    REFUSED("a \0\n", "x y\n", "tokens.txt:1:3: a NUL byte");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_labels), cmocka_unit_test(test_blank_end_of_file),
        cmocka_unit_test(test_positives),        cmocka_unit_test(test_all_positive_is_refused),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
