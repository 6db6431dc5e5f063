/* The real files read as protocol §1.1 and §1.2 count them.
 * LABELS: real */
#include "text_support.h"

static void test_conll_counts(void **state)
{
    static const struct {
        const char *file;
        int64_t sentences, words, longest, labels[9];
    } table[] = {
        {"conll2003/eng.train", 14041, 203621, 113, {169578, 6600, 4528, 6321, 3704, 7140, 1157, 3438, 1155}},
        {"conll2003/eng.testa", 3250, 51362, 109, {42759, 1842, 1307, 1341, 751, 1837, 257, 922, 346}},
        {"conll2003/eng.testb", 3453, 46435, 124, {38323, 1617, 1156, 1661, 835, 1668, 257, 702, 216}},
    };
    static const char *const names[] = {"O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        rl_corpus *corpus = NULL;
        rl_error err;
        int64_t counts[9] = {0}, longest = 0;
        assert_ok(rl_conll_read(&corpus, support_data(table[i].file), NULL, 0, &err), err);
        assert_int_equal(corpus->num_sentences, table[i].sentences);
        assert_int_equal(corpus->num_words, table[i].words);
        assert_int_equal(rl_names_count(corpus->labels), 9);
        for (int32_t l = 0; l < 9; l++) assert_string_equal(rl_names_get(corpus->labels, l), names[l]);
        for (int64_t w = 0; w < corpus->num_words; w++) counts[corpus->label[w]]++;
        for (int l = 0; l < 9; l++) assert_int_equal(counts[l], table[i].labels[l]);
        for (int64_t s = 0; s < corpus->num_sentences; s++) {
            int64_t length = corpus->sentence_start[s + 1] - corpus->sentence_start[s];
            if (length > longest) longest = length;
        }
        assert_int_equal(longest, table[i].longest);
        rl_corpus_free(corpus);
    }
}

/* All O on validation: accuracy 42759/51362, F1 0 (protocol §4). */
static void test_all_outside_scores(void **state)
{
    rl_corpus *corpus = NULL;
    rl_seqeval *scores = NULL;
    rl_error err;
    int32_t *outside;
    (void)state;
    assert_ok(rl_conll_read(&corpus, support_data("conll2003/eng.testa"), NULL, 0, &err), err);
    outside = rl_calloc((size_t)corpus->num_words, sizeof *outside, &err);
    assert_non_null(outside);
    assert_ok(rl_seqeval_score(&scores, corpus->labels, corpus->label, outside, corpus->sentence_start,
                               corpus->num_sentences, &err),
              err);
    assert_close(scores->accuracy, 42759. / 51362., 0, 0);
    assert_close(scores->overall.f1, 0, 0, 0);
    assert_int_equal(scores->overall.support, 5942);
    rl_seqeval_free(scores);
    rl_free(outside);
    rl_corpus_free(corpus);
}

static rl_corpus *concept(const char *name, int64_t sentences, int64_t words, int32_t types)
{
    char tokens[64], labels[64];
    rl_corpus *corpus = NULL;
    rl_error err;
    snprintf(tokens, sizeof tokens, "concepts/%s_tokens.txt", name);
    snprintf(labels, sizeof labels, "concepts/%s_labels.txt", name);
    assert_ok(rl_concept_corpus_read(&corpus, support_data(tokens), support_data(labels), &err), err);
    assert_int_equal(corpus->num_sentences, sentences);
    assert_int_equal(corpus->num_words, words);
    assert_int_equal(rl_names_count(corpus->words), types);
    return corpus;
}

static int64_t count_label(const rl_corpus *corpus, const char *label)
{
    int32_t id = rl_names_find(corpus->labels, label, strlen(label));
    int64_t count = 0;
    for (int64_t w = 0; w < corpus->num_words; w++) count += corpus->label[w] == id;
    return count;
}

static int64_t count_positive(const rl_corpus *corpus, const char *positive)
{
    rl_error err;
    int64_t count = 0;
    uint8_t *is_concept = rl_calloc((size_t)corpus->num_words, 1, &err);
    assert_non_null(is_concept);
    assert_ok(rl_concept_positive(is_concept, corpus, &positive, 1, &err), err);
    for (int64_t w = 0; w < corpus->num_words; w++) count += is_concept[w];
    rl_free(is_concept);
    return count;
}

static void test_concept_counts(void **state)
{
    (void)state;
    rl_corpus *location = concept("location", 2500, 74052, 13561);
    assert_int_equal(count_label(location, "N/A"), 70750);
    assert_int_equal(count_label(location, "SEM:named_entity:location"), 3302);
    assert_int_equal(count_positive(location, "SEM:named_entity:location"), 3302);
    rl_corpus_free(location);
    rl_corpus *america = concept("america", 5000, 150634, 19368);
    assert_int_equal(count_label(america, "N/A"), 143091);
    assert_int_equal(count_label(america, "SEM:origin:north_america,SEM:origin:north_america:usa"), 6162);
    assert_int_equal(count_positive(america, "SEM:origin:north_america:canada"), 808);
    assert_int_equal(count_positive(america, "SEM:origin:north_america:mexico"), 573);
    assert_int_equal(count_positive(america, "SEM:origin:north_america"), 6162 + 808 + 573);
    rl_corpus_free(america);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conll_counts),
        cmocka_unit_test(test_all_outside_scores),
        cmocka_unit_test(test_concept_counts),
    };
    if (!support_data("conll2003/eng.train") || !support_data("concepts/location_tokens.txt"))
        support_skip_program("no ../shared/data (CoNLL-2003, concept corpora)");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
