/* CoNLL columns become IOB2 whatever tag scheme, line ends and separators the file has.
 * LABELS: unit */
#include "text_support.h"

static void expect(const char *bytes, size_t length, const char *labels)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    assert_ok(rl_conll_read(&corpus, a_file("a.conll", bytes, length), NULL, 0, &err), err);
    assert_string_equal(all_labels(corpus), labels);
    rl_corpus_free(corpus);
}
#define EXPECT(text, labels) expect((text), sizeof(text) - 1, (labels))

static void test_iob1_becomes_iob2(void **state)
{
    (void)state;
    EXPECT("EU I-ORG\nrejects O\nGerman I-MISC\nB I-MISC\nC B-MISC\nD I-PER\n\nE I-PER\n",
           "B-ORG O B-MISC I-MISC B-MISC B-PER / B-PER");
}

static void test_iob2_stays(void **state)
{
    (void)state;
    EXPECT("a B-PER\nb I-PER\nc B-PER\nd O\ne B-LOC\n", "B-PER I-PER B-PER O B-LOC");
}

static void test_bioes_and_bilou_lose_their_ends(void **state)
{
    (void)state;
    EXPECT("a B-PER\nb I-PER\nc E-PER\nd S-PER\ne S-LOC\nf O\n", "B-PER I-PER I-PER B-PER B-LOC O");
    EXPECT("a B-PER\nb I-PER\nc L-PER\nd U-PER\ne U-LOC\nf O\n", "B-PER I-PER I-PER B-PER B-LOC O");
    /* ill-formed: what follows an end starts anew, as in seqeval */
    EXPECT("a B-X\nb E-X\nc I-X\nd E-X\ne E-X\n", "B-X I-X B-X I-X B-X");
}

static void test_line_ends_separators_and_documents(void **state)
{
    (void)state;
    const char *labels = "B-PER O / B-LOC";
    EXPECT("a B-PER\nb O\n\nc B-LOC\n", labels);
    EXPECT("a B-PER\r\nb O\r\n\r\nc B-LOC\r\n", labels);
    EXPECT("a B-PER\nb O\n\nc B-LOC", labels);              /* no final newline */
    EXPECT("a\tB-PER\nb \t O\n \t \nc  B-LOC  \n", labels); /* tabs, runs of blanks, a blank line of blanks */
    EXPECT("\xef\xbb\xbf"
           "a B-PER\nb O\n\n\n\nc B-LOC\n\n",
           labels);
    EXPECT("-DOCSTART- -X- O O\n\na B-PER\nb O\n-DOCSTART-\nc B-LOC\n", labels); /* any number of columns */
    EXPECT("a NN B-PER\nb NN O\n\nc NN B-LOC\n", labels);
}

static void test_words_and_sentences(void **state)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    assert_ok(rl_conll_read(&corpus,
                            A_FILE("w.conll", "\xef\xbb\xbfZ\xc3\xbcrich x I-LOC\nis x O\n\nZ\xc3\xbcrich x I-LOC\n"),
                            NULL, 0, &err),
              err);
    assert_int_equal(corpus->num_sentences, 2);
    assert_int_equal(corpus->num_words, 3);
    assert_int_equal(corpus->sentence_start[1], 2);
    assert_int_equal(corpus->sentence_start[2], 3);
    assert_string_equal(word_of(corpus, 0), "Z\xc3\xbcrich");
    assert_int_equal(corpus->word[0], corpus->word[2]);
    assert_int_equal(rl_names_count(corpus->words), 2);
    rl_corpus_free(corpus);
}

/* CoNLL-2003's types come first in the order of its ids, others bytewise; every type has its pair. */
static void test_label_ids(void **state)
{
    static const char *const expected[] = {"O",      "B-ORG",  "I-ORG",  "B-LOC",  "I-LOC", "B-MISC",
                                           "I-MISC", "B-DATE", "I-DATE", "B-date", "I-date"};
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    assert_ok(
        rl_conll_read(&corpus, A_FILE("l.conll", "a I-date\nb I-MISC\nc I-LOC\nd I-DATE\ne I-ORG\n"), NULL, 0, &err),
        err);
    assert_int_equal(rl_names_count(corpus->labels), 11);
    for (int32_t i = 0; i < 11; i++) assert_string_equal(rl_names_get(corpus->labels, i), expected[i]);
    assert_int_equal(corpus->label[0], 9);
    assert_int_equal(corpus->label[4], 1);
    rl_corpus_free(corpus);
}

static rl_names *names_of(const char *const *labels, int count)
{
    rl_names *names = NULL;
    int32_t id;
    assert_int_equal(rl_names_create(&names, NULL), RL_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(rl_names_intern(names, labels[i], strlen(labels[i]), &id, NULL), RL_OK);
    return names;
}

static void test_given_labels_set_the_ids(void **state)
{
    static const char *const labels[] = {"B-LOC", "O", "I-LOC", "B-PER", "I-PER"};
    rl_names *given = names_of(labels, 5);
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    assert_ok(rl_conll_read(&corpus, A_FILE("g.conll", "a I-LOC\nb I-LOC\nc O\nd I-PER\n"), given, 0, &err), err);
    assert_int_equal(rl_names_count(corpus->labels), 5);
    assert_int_equal(corpus->label[0], 0);
    assert_int_equal(corpus->label[1], 2);
    assert_int_equal(corpus->label[2], 1);
    assert_int_equal(corpus->label[3], 3);
    rl_corpus_free(corpus);
    corpus = NULL;
    assert_fails(rl_conll_read(&corpus, A_FILE("g.conll", "a I-LOC\nb O\n\nc x\n"), given, 0, &err), RL_ERR_INPUT, err,
                 "g.conll:4:3: unknown tag 'x'");
    assert_fails(
        rl_conll_read(&corpus, A_FILE("g.conll", "a I-LOC\nb I-LOCC\n"), given, 0, &err), RL_ERR_INPUT, err,
        "g.conll:2:3: tag 'I-LOCC' (B-LOCC in IOB2) is not one of the 5 labels expected; the nearest is 'B-LOC'");
    assert_null(corpus);
    rl_names_free(given);
}

/* The limit drops sentences, but not the labels they hold: a limited training file still fits its validation file. */
static void test_limit(void **state)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    const char *path = A_FILE("m.conll", "a I-LOC\nb O\n\nc O\n\nd I-PER\n");
    (void)state;
    assert_ok(rl_conll_read(&corpus, path, NULL, 2, &err), err);
    assert_int_equal(corpus->num_sentences, 2);
    assert_int_equal(corpus->num_words, 3);
    assert_int_equal(rl_names_count(corpus->words), 3);
    assert_int_equal(rl_names_count(corpus->labels), 5);
    rl_corpus_free(corpus);
    assert_ok(rl_conll_read(&corpus, path, NULL, 99, &err), err);
    assert_int_equal(corpus->num_sentences, 3);
    rl_corpus_free(corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iob1_becomes_iob2),
        cmocka_unit_test(test_iob2_stays),
        cmocka_unit_test(test_bioes_and_bilou_lose_their_ends),
        cmocka_unit_test(test_line_ends_separators_and_documents),
        cmocka_unit_test(test_words_and_sentences),
        cmocka_unit_test(test_label_ids),
        cmocka_unit_test(test_given_labels_set_the_ids),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
