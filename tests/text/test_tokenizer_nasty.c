/* Nasty strings get the ids of Hugging Face's fast tokenizers: WordPiece cased and uncased, byte-level BPE as GPT-2 and
 * RoBERTa have it, from tokenizer.json and from the files of before (vocab.txt; vocab.json and merges.txt).
 * LABELS: golden */
#include "text_support.h"

/* The golden folder with its tokenizer.json left out. */
static const char *older_folder(const char *name)
{
    static char folder[512];
    char from[600], to[600];
    static const char *const files[] = {"vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"};
    snprintf(folder, sizeof folder, "%s/%s", support_temporary_folder(), name);
    assert_int_equal(rl_make_directories(folder, NULL), RL_OK);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(from, sizeof from, "%s/golden/text/%s/%s", RELEARN_TESTS_DIR, name, files[i]);
        if (!rl_path_exists(from)) continue;
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

static void check_both(const char *name)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s/golden/text/%s", RELEARN_TESTS_DIR, name);
    check_all(name, folder);
    check_all(name, older_folder(name));
}

static void test_wordpiece(void **state)
{
    (void)state;
    check_both("cased");
    check_both("uncased");
}

static void test_byte_pairs(void **state)
{
    (void)state;
    check_both("gpt2");
    check_both("roberta");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wordpiece), cmocka_unit_test(test_byte_pairs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
