/* Nasty strings get the ids of Hugging Face's fast tokenizers, cased and uncased, from tokenizer.json and from
 * vocab.txt. LABELS: golden */
#include "text_support.h"

/* The golden folder with its tokenizer.json left out. */
static const char *vocab_txt_folder(const char *name)
{
    static char folder[512];
    char from[600], to[600];
    static const char *const files[] = {"vocab.txt", "tokenizer_config.json"};
    snprintf(folder, sizeof folder, "%s/%s", support_temporary_folder(), name);
    assert_int_equal(rl_make_directories(folder, NULL), RL_OK);
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/golden/text/%s/%s", RELEARN_TESTS_DIR, name, files[i]);
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        assert_int_equal(rl_copy_file(from, to, NULL), RL_OK);
    }
    return folder;
}

static bool same_ids(const rl_id_list *got, const json_t *expected)
{
    bool same = got->count == json_array_size(expected);
    for (size_t i = 0; same && i < got->count; i++)
        same = got->ids[i] == json_integer_value(json_array_get(expected, i));
    return same;
}

static void print_difference(const char *name, const char *line, const rl_id_list *got)
{
    print_error("%s, expected: %s  got:", name, line);
    for (size_t i = 0; i < got->count; i++) print_error(" %d", got->ids[i]);
    print_error("\n");
}

static void check_all(const char *name, const char *folder)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    static char line[20000];
    int strings = 0, wrong = 0;
    FILE *file = fopen(support_file("golden/text/nasty.jsonl"), "r");
    assert_non_null(file);
    assert_ok(rl_tokenizer_load(&tokenizer, folder, &err), err);
    for (; fgets(line, sizeof line, file); strings++) {
        json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL), *text = json_object_get(row, "text");
        rl_id_list ids = {0};
        assert_non_null(row);
        assert_ok(rl_tokenizer_encode_word(tokenizer, json_string_value(text), json_string_length(text), &ids, &err),
                  err);
        if (!same_ids(&ids, json_object_get(row, name))) {
            print_difference(name, line, &ids);
            wrong++;
        }
        rl_free(ids.ids);
        json_decref(row);
    }
    fclose(file);
    assert_true(strings >= 150);
    assert_int_equal(wrong, 0);
    rl_tokenizer_free(tokenizer);
}

static void test_cased(void **state)
{
    (void)state;
    check_all("cased", support_file("golden/text/cased"));
    check_all("cased", vocab_txt_folder("cased"));
}

static void test_uncased(void **state)
{
    (void)state;
    check_all("uncased", support_file("golden/text/uncased"));
    check_all("uncased", vocab_txt_folder("uncased"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cased), cmocka_unit_test(test_uncased)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
