/* The real concept corpora through MiniLM's tokenizer: protocol §1.2's counts, and the words the tokenizer drops (§5).
 * LABELS: real */
#include "concept_support.h"

static rl_tokenizer *tokenizer;
static char location_tokens[4096], location_labels[4096], america_tokens[4096], america_labels[4096];

static void find(char *path, const char *file)
{
    const char *found = support_data(file);
    if (!found) support_skip_program("the concept corpora are not here (RELEARN_DATA)");
    snprintf(path, 4096, "%s", found);
}

static void count_classes(const rl_concept_data *data, int64_t *count)
{
    for (int64_t w = 0; w < data->corpus->num_words; w++) count[data->word_class[w]]++;
}

static rl_concept_data *create(const char *tokens, const char *labels, const char *positive, rl_protocol protocol)
{
    rl_concept_data *data = NULL;
    rl_error err = {0};
    assert_ok(rl_concept_data_create(&data, tokens, labels, &positive, 1, tokenizer, 512, protocol, &err), err);
    return data;
}

static void test_location(void **state)
{
    int64_t published[2] = {0}, corrected[2] = {0};
    rl_concept_data *data =
        create(location_tokens, location_labels, "SEM:named_entity:location", RL_PROTOCOL_PUBLISHED);
    (void)state;
    count_classes(data, published);
    assert_true(data->corpus->num_words == 74052 && rl_names_count(data->corpus->words) == 13561 &&
                data->num_dropped == 0);
    assert_true(published[0] == 70750 && published[1] == 3302 && data->positive_class == 1);
    rl_concept_data_free(data);
    data = create(location_tokens, location_labels, "SEM:named_entity:location", RL_PROTOCOL_CORRECTED);
    count_classes(data, corrected);
    assert_true(corrected[0] == 70740 && corrected[1] == 3302); /* ten control characters leave no sub-word */
    rl_concept_data_free(data);
}

static void test_america(void **state)
{
    static const int64_t expected[] = {143091, 6162, 808, 573};
    int64_t count[4] = {0}, two[2] = {0}, sorted[4];
    rl_concept_data *data =
        create(america_tokens, america_labels, "SEM:origin:north_america:mexico", RL_PROTOCOL_PUBLISHED);
    (void)state;
    assert_int_equal(data->num_classes, 4);
    count_classes(data, count);
    for (int i = 0; i < 4; i++) { /* each expected count belongs to one class */
        int at = 0;
        while (at < 4 && count[at] != expected[i]) at++;
        assert_in_range(at, 0, 3);
        sorted[i] = at;
    }
    assert_int_equal(data->positive_class, sorted[3]);
    rl_concept_data_free(data);
    data = create(america_tokens, america_labels, "SEM:origin:north_america", RL_PROTOCOL_CORRECTED);
    count_classes(data, two);
    assert_int_equal(two[1], 6162 + 808 + 573);
    rl_concept_data_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_location), cmocka_unit_test(test_america)};
    rl_error err = {0};
    int failed;
    find(location_tokens, "concepts/location_tokens.txt");
    find(location_labels, "concepts/location_labels.txt");
    find(america_tokens, "concepts/america_tokens.txt");
    find(america_labels, "concepts/america_labels.txt");
    if (!support_minilm()) support_skip_program("the MiniLM folder is not here (./quickstart fetches it)");
    if (rl_tokenizer_load(&tokenizer, support_minilm(), &err) != RL_OK) return fprintf(stderr, "%s\n", err.message), 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rl_tokenizer_free(tokenizer);
    return failed;
}
