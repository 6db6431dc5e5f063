/* A concept corpus made ready: which words and sentences are dropped, the classes of each protocol, and what is
 * refused. */
#include "concept_support.h"

static rl_tokenizer *tokenizer;

static int load_tokenizer(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_ok(rl_tokenizer_load(&tokenizer, support_file("golden/concept/tiny"), &err), err);
    return 0;
}

static int free_tokenizer(void **state)
{
    (void)state;
    rl_tokenizer_free(tokenizer);
    return 0;
}

static rl_status create(rl_concept_data **out, const char *tokens, const char *labels, const char *positive,
                        int64_t max_length, rl_protocol protocol, rl_error *err)
{
    char tokens_path[4200], labels_path[4200];
    snprintf(tokens_path, sizeof tokens_path, "%s/tokens", support_temporary_folder());
    snprintf(labels_path, sizeof labels_path, "%s/labels", support_temporary_folder());
    support_write(tokens_path, tokens);
    support_write(labels_path, labels);
    return rl_concept_data_create(out, tokens_path, labels_path, &positive, 1, tokenizer, max_length, protocol, err);
}

static void assert_words(const rl_concept_data *data, const char *const *words, const int32_t *classes, int64_t n)
{
    assert_int_equal(data->corpus->num_words, n);
    assert_int_equal(data->encoded->num_words, n);
    for (int64_t w = 0; w < n; w++) {
        assert_string_equal(rl_names_get(data->corpus->words, data->corpus->word[w]), words[w]);
        assert_int_equal(data->word_class[w], classes[w]);
    }
    assert_int_equal(data->corpus->sentence_start[data->corpus->num_sentences], n);
    for (int64_t t = 0; t < data->encoded->num_tokens; t++) assert_in_range(data->encoded->word[t] + 1, 0, n);
}

/* The second sentence is too long; in the third, \x80 leaves no sub-word. */
static const char tokens[] = "the river\nthe river and the sea and houses\n\xc2\x80 Oslo won\nLima [SEP] Cork\n";
static const char labels[] = "N/A N/A\nN/A N/A N/A N/A N/A N/A N/A\nN/A city N/A\ncity N/A city,old\n";

static void test_corrected_drops_words_without_sub_words(void **state)
{
    static const char *const words[] = {"the", "river", "Oslo", "won", "Lima", "Cork"};
    static const int32_t classes[] = {0, 0, 1, 0, 1, 1};
    rl_concept_data *data = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(create(&data, tokens, labels, "city", 7, RL_PROTOCOL_CORRECTED, &err), err);
    assert_words(data, words, classes, 6);
    assert_int_equal(data->num_dropped, 1);
    assert_int_equal(data->corpus->num_sentences, 3);
    assert_int_equal(data->encoded->num_sentences, 3);
    assert_int_equal(data->encoded->num_tokens, data->encoded->sentence_start[3]);
    assert_true(data->encoded->max_length <= 7);
    assert_int_equal(data->num_classes, 2);
    assert_int_equal(data->positive_class, 1);
    rl_concept_data_free(data);
}

static void test_published_keeps_them_and_has_a_class_per_label(void **state)
{
    static const char *const words[] = {"the", "river", "\xc2\x80", "Oslo", "won", "Lima", "[SEP]", "Cork"};
    static const int32_t classes[] = {0, 0, 0, 1, 0, 1, 0, 2};
    rl_concept_data *data = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(create(&data, tokens, labels, "city", 7, RL_PROTOCOL_PUBLISHED, &err), err);
    assert_words(data, words, classes, 8);
    assert_int_equal(data->num_classes, 3);
    assert_int_equal(data->positive_class, 1);
    rl_concept_data_free(data);
    assert_ok(create(&data, tokens, labels, "city,old", 7, RL_PROTOCOL_HEAD, &err), err); /* a whole label string */
    assert_int_equal(data->positive_class, 2);
    rl_concept_data_free(data);
    assert_ok(create(&data, tokens, labels, "old", 7, RL_PROTOCOL_HEAD, &err), err); /* the only label with this part */
    assert_int_equal(data->positive_class, 2);
    rl_concept_data_free(data);
}

/* The sub-words of kept words still point at them. */
static void test_sub_words_follow_their_words(void **state)
{
    rl_concept_data *data = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(create(&data, tokens, labels, "city", 7, RL_PROTOCOL_CORRECTED, &err), err);
    for (int64_t w = 0; w < data->corpus->num_words; w++) {
        const char *text = rl_names_get(data->corpus->words, data->corpus->word[w]);
        rl_id_list list = {0};
        size_t found = 0;
        assert_ok(rl_tokenizer_encode_word(tokenizer, text, strlen(text), &list, &err), err);
        for (int64_t t = 0; t < data->encoded->num_tokens; t++)
            if (data->encoded->word[t] == w) assert_int_equal(data->encoded->ids[t], list.ids[found++]);
        assert_int_equal(found, list.count);
        rl_free(list.ids);
    }
    rl_concept_data_free(data);
}

static void assert_refused(const char *text, const char *label_text, const char *positive, int64_t max_length,
                           rl_protocol protocol, const char *message)
{
    rl_concept_data *data = NULL;
    rl_error err = {0};
    assert_fails(create(&data, text, label_text, positive, max_length, protocol, &err), RL_ERR_INPUT, err, message);
    assert_null(data);
}

static void test_what_is_refused(void **state)
{
    rl_buffer text = {0}, label = {0};
    rl_error err = {0};
    (void)state;
    for (int i = 0; i < 100; i++) assert_ok(rl_buffer_printf(&text, &err, "the river and the sea and houses\n"), err);
    for (int i = 0; i < 100; i++) assert_ok(rl_buffer_printf(&label, &err, "x N/A N/A N/A N/A N/A N/A\n"), err);
    assert_ok(rl_buffer_printf(&text, &err, "the river\n"), err);
    assert_ok(rl_buffer_printf(&label, &err, "x N/A\n"), err);
    assert_refused(text.data, label.data, "x", 6, RL_PROTOCOL_CORRECTED, "100 sentences are longer than 6");
    assert_refused("the river\n", "x N/A\n", "x", 3, RL_PROTOCOL_PUBLISHED, "no word is left");
    assert_refused("the \xc2\x80\n", "N/A x\n", "x", 9, RL_PROTOCOL_CORRECTED, "no word is of the concept");
    assert_refused("the \xc2\x80\n", "x N/A\n", "x", 9, RL_PROTOCOL_CORRECTED, "every word is of the concept");
    assert_refused("the river\nthe sea and houses and the sea\n", "N/A y\nN/A N/A N/A N/A N/A N/A x\n", "x", 6,
                   RL_PROTOCOL_HEAD, "no word of the concept is left");
    assert_refused(tokens, labels, "nowhere", 9, RL_PROTOCOL_CORRECTED, "nowhere");
    assert_refused("a the river\n", "p,q q,r N/A\n", "q", 9, RL_PROTOCOL_PUBLISHED,
                   "'p,q' and 'q,r' are both positive");
    rl_buffer_free(&text);
    rl_buffer_free(&label);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corrected_drops_words_without_sub_words),
        cmocka_unit_test(test_published_keeps_them_and_has_a_class_per_label),
        cmocka_unit_test(test_sub_words_follow_their_words),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, load_tokenizer, free_tokenizer);
}
