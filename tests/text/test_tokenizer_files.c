/* Which of a folder's files decides what, as transformers 5.17 has it, and every way a folder can be wrong.
 * LABELS: unit */
#include "text_support.h"

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
#define JSON_SPECIALS "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4"
#define NORMALISER(lower)                                                                                              \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":" \
    "null,\"lowercase\":" lower "}"
#define PRE "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define MODEL(vocab)                                                                                                   \
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_"      \
    "chars_per_word\":100,\"vocab\":{" vocab "}}"
#define CASED_JSON                                                                                                     \
    "{" NORMALISER("false") "," PRE                                                                                    \
                            "," MODEL(JSON_SPECIALS ",\"Paris\":5,\"paris\":6,\"e\":7,\"\xc3\xa9\":8,\"##s\":9") "}"

static void expect(const char *path, const char *word, const char *ids)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    rl_id_list list = {0};
    char text[256] = "";
    assert_ok(rl_tokenizer_load(&tokenizer, path, &err), err);
    assert_ok(rl_tokenizer_encode_word(tokenizer, word, strlen(word), &list, &err), err);
    for (size_t i = 0; i < list.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? " " : "", list.ids[i]);
    assert_string_equal(text, ids);
    rl_free(list.ids);
    rl_tokenizer_free(tokenizer);
}

/* ---------------------------------------------------------------------------------------------- what decides */

static void test_vocab_txt_is_lower_case_unless_told(void **state)
{
    static const char vocab[] = SPECIALS "Paris\nparis\ne\n\xc3\xa9\n##s\n";
    (void)state;
    expect(FOLDER("vocab.txt", vocab), "Paris", "6");
    expect(FOLDER("vocab.txt", vocab), "\xc3\xa9s", "7 9");
    expect(FOLDER("vocab.txt", vocab, "tokenizer_config.json", "{\"do_lower_case\": false}"), "Paris", "5");
    expect(FOLDER("vocab.txt", vocab, "tokenizer_config.json", "{\"do_lower_case\": false}"), "\xc3\xa9s", "8 9");
    expect(FOLDER("vocab.txt", vocab, "tokenizer_config.json", "{\"strip_accents\": false}"), "\xc3\x89s", "8 9");
    expect(FOLDER("vocab.txt", vocab, "tokenizer_config.json", "{\"do_lower_case\": false, \"strip_accents\": true}"),
           "\xc3\xa9s", "7 9");
    expect(FOLDER("vocab.txt", SPECIALS "\xe5\x8c\x97\n##\xe4\xba\xac\n"), "\xe5\x8c\x97\xe4\xba\xac", "5 1");
    expect(FOLDER("vocab.txt", SPECIALS "\xe5\x8c\x97\n##\xe4\xba\xac\n", "tokenizer_config.json",
                  "{\"tokenize_chinese_chars\": false}"),
           "\xe5\x8c\x97\xe4\xba\xac", "5 6");
}

static void test_tokenizer_json_wins_over_vocab_txt(void **state)
{
    (void)state;
    expect(FOLDER("tokenizer.json", CASED_JSON, "vocab.txt", "damaged"), "Paris", "5");
    expect(FOLDER("tokenizer.json", CASED_JSON), "\xc3\xa9s", "8 9");
    expect(FOLDER("tokenizer.json",
                  "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false,\"strip_accents\":true}," PRE
                  "," MODEL(JSON_SPECIALS ",\"E\":5,\"\xc3\x89\":6") "}"),
           "\xc3\x89", "5");
}

/* BertTokenizer rebuilds its normaliser from tokenizer_config.json; the backend class does not. */
static void test_config_wins_over_the_normaliser_where_it_speaks(void **state)
{
    (void)state;
    expect(FOLDER("tokenizer.json", CASED_JSON, "tokenizer_config.json", "{\"do_lower_case\": true}"), "Paris", "6");
    expect(FOLDER("tokenizer.json", CASED_JSON, "tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\"}"),
           "Paris", "5");
    expect(FOLDER("tokenizer.json", CASED_JSON, "tokenizer_config.json",
                  "{\"do_lower_case\": true, \"tokenizer_class\": \"PreTrainedTokenizerFast\"}"),
           "Paris", "5");
}

static void test_line_ends_and_trailing_blanks_of_vocab_txt(void **state)
{
    (void)state;
    expect(FOLDER("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nparis \r\ne"), "Paris", "5");
    expect(FOLDER("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n\ne"), "e",
           "5"); /* one empty token, as HF takes it; no [MASK] */
}

static void test_specials(void **state)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    (void)state;
    assert_ok(rl_tokenizer_load(&tokenizer,
                                FOLDER("vocab.txt", "x\n<p>\n<u>\n<c>\n<s>\n", "tokenizer_config.json",
                                       "{\"pad_token\":\"<p>\",\"unk_token\":{\"content\":\"<u>\"},\"cls_token\":\"?\","
                                       "\"sep_token\":\"<s>\",\"model_max_length\":1000000000000000019884624838656}",
                                       "special_tokens_map.json", "{\"cls_token\":\"<c>\"}"),
                                &err),
              err);
    rl_special_ids ids = rl_tokenizer_special_ids(tokenizer);
    assert_int_equal(ids.pad, 1);
    assert_int_equal(ids.unk, 2);
    assert_int_equal(ids.cls, 3);
    assert_int_equal(ids.sep, 4);
    assert_int_equal(ids.mask, -1);
    assert_int_equal(rl_tokenizer_vocab_size(tokenizer), 5);
    assert_true(rl_tokenizer_max_length(tokenizer) == INT64_MAX);
    rl_tokenizer_free(tokenizer);
    assert_ok(rl_tokenizer_load(&tokenizer,
                                FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"model_max_length\":512}"),
                                &err),
              err);
    assert_true(rl_tokenizer_max_length(tokenizer) == 512);
    rl_tokenizer_free(tokenizer);
}

/* Added tokens: raw ones before normalisation, normalised ones after it; the longest wins; ids may lie behind the
 * vocabulary. */
static void test_added_tokens(void **state)
{
    static const char json[] = "{" NORMALISER("true") "," PRE "," MODEL(
        JSON_SPECIALS
        ",\"a\":5,\"b\":6,\"##b\":7") ",\"added_tokens\":[{\"id\":3,\"content\":\"[SEP]\",\"special\":true,"
                                      "\"normalized\":false,\"single_word\":false},"
                                      "{\"id\":8,\"content\":\"<X>\",\"special\":false,\"normalized\":false},{\"id\":9,"
                                      "\"content\":\"<X>>\",\"special\":false,\"normalized\":false},"
                                      "{\"id\":10,\"content\":\"R\xc3\x89\",\"special\":false,\"normalized\":true},"
                                      "{\"id\":11,\"content\":\"\xc3\x9c\"}]}";
    (void)state;
    expect(FOLDER("tokenizer.json", json), "a<X>b", "5 8 6");
    expect(FOLDER("tokenizer.json", json), "a<X>>b[SEP]ab", "5 9 6 3 5 7");
    expect(FOLDER("tokenizer.json", json), "<x>", "1 1 1");
    expect(FOLDER("tokenizer.json", json),
           "a\xc3\xbc"
           "b",
           "5 11 6"); /* U with dots: normalised unless said otherwise */
    expect(FOLDER("tokenizer.json", json),
           "are\xcc\x81"
           "b",
           "5 10 6");
    expect(FOLDER("tokenizer.json", json, "tokenizer_config.json",
                  "{\"added_tokens_decoder\":{\"5\":{\"content\":\"a\",\"special\":true}}}"),
           "bab", "6 5 6");
    expect(FOLDER("vocab.txt", SPECIALS "a\nb\n##b\n", "tokenizer_config.json", "{\"extra_special_tokens\":[\"a\"]}"),
           "bab", "6 5 6");
}

static void test_sparse_ids_and_other_prefixes(void **state)
{
    static const char json[] = "{" NORMALISER(
        "true") "," PRE
                ",\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"__\","
                "\"max_input_chars_per_word\":3,\"vocab\":{" JSON_SPECIALS ",\"__b\":900,\"a\":70}}}";
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    (void)state;
    expect(FOLDER("tokenizer.json", json), "abb", "70 900 900");
    expect(FOLDER("tokenizer.json", json), "abbb", "1");
    assert_ok(rl_tokenizer_load(&tokenizer, FOLDER("tokenizer.json", json), &err), err);
    assert_int_equal(rl_tokenizer_vocab_size(tokenizer), 901);
    rl_tokenizer_free(tokenizer);
}

static void test_a_word_that_is_not_utf8(void **state)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    rl_id_list ids = {0};
    (void)state;
    assert_ok(rl_tokenizer_load(&tokenizer, FOLDER("vocab.txt", SPECIALS "a\n"), &err), err);
    assert_ok(rl_tokenizer_encode_word(tokenizer, "a", 1, &ids, &err), err);
    assert_fails(rl_tokenizer_encode_word(tokenizer, "a[SEP]\xff", 7, &ids, &err), RL_ERR_INPUT, err, "not UTF-8");
    assert_int_equal(ids.count, 1); /* untouched on failure */
    rl_free(ids.ids);
    rl_tokenizer_free(tokenizer);
}

/* ------------------------------------------------------------------------------------------------- bad folders */

static void test_bad_vocab_txt(void **state)
{
    (void)state;
    folder_refused(FOLDER("config.json", "{}"), "no tokenizer; tokenizer.json, vocab.txt (WordPiece), or vocab.json with merges.txt");
    folder_refused(FOLDER("vocab.txt", ""), "vocab.txt: an empty vocabulary");
    folder_refused(FOLDER("vocab.txt", SPECIALS "a\nb\na\n"), "vocab.txt:8:1: duplicate token 'a', first in line 6");
    folder_refused(FOLDER("vocab.txt", SPECIALS "a\n\n\n"), "vocab.txt:8:1: a second empty line, after line 7");
    folder_refused(FOLDER("vocab.txt", SPECIALS "a\xff\n"), "vocab.txt:6:2: byte 0xff is not UTF-8");
    folder_refused(FOLDER("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP\na\n"),
            "vocab.txt: the special token '[SEP]' is not in the vocabulary; the nearest is '[SEP'");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "added_tokens.json", "{}"),
            "added_tokens.json: is read with tokenizer.json only");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"tokenizer_class\":\"BertJapaneseTokenizer\"}"),
            "tokenizer_class 'BertJapaneseTokenizer' is not supported with vocab.txt; 'BertTokenizer' was expected");
}

static void test_bad_config(void **state)
{
    (void)state;
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"do_lower_case\": 1}"),
            "do_lower_case is a number; true or false was expected");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"do_lower_case\": tru}"),
            "tokenizer_config.json:1:");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "[1]"),
            "tokenizer_config.json:1:1: a JSON object was expected");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", ""), "tokenizer_config.json:1:");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"model_max_length\": \"x\"}"),
            "model_max_length is not a number");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"model_max_length\": 2}"),
            "model_max_length is too small");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json", "{\"cls_token\": 7}"),
            "cls_token is a number; a string was expected");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json",
                   "{\"added_tokens_decoder\":{\"3\":{\"content\":\"[CLS]\"}}}"),
            "the added token '[CLS]' has the id 3, but the vocabulary says 2");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "tokenizer_config.json",
                   "{\"added_tokens_decoder\":{\"x\":{\"content\":\"[CLS]\"}}}"),
            "an added token without content");
    folder_refused(FOLDER("vocab.txt", SPECIALS, "special_tokens_map.json", "{\"additional_special_tokens\":[\"<e>\"]}"),
            "'<e>' of additional_special_tokens is not in the vocabulary");
}

#define JSON(model) FOLDER("tokenizer.json", "{" NORMALISER("true") "," PRE "," model "}")

static void test_bad_tokenizer_json(void **state)
{
    (void)state;
    folder_refused(FOLDER("tokenizer.json", ""), "tokenizer.json:1:");
    folder_refused(FOLDER("tokenizer.json", "{\"model\": {"), "tokenizer.json:1:");
    folder_refused(FOLDER("tokenizer.json", "{}"), "tokenizer.json: model is missing; only 'WordPiece' and 'BPE' are supported");
    folder_refused(JSON("\"model\":{\"type\":\"Unigram\"}"), "tokenizer.json: model is 'Unigram'; only 'WordPiece' and 'BPE'");
    folder_refused(JSON("\"model\":{\"type\":\"WordPiece\"}"),
            "model.vocab is missing; an object of tokens and ids was expected");
    folder_refused(JSON("\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}"), "model.vocab is empty");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\n\"a\":5,\"a\":6")), "tokenizer.json:2:");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\"a\":5,\"b\":5")), "the id 5 belongs to 'a' and to 'b'; ids must differ");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\"a\":-1")), "the id of token 'a' is out of range");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\"a\":2000000000")), "token 'a' has the id 2000000000");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\"a\":\"5\"")), "the id of token 'a' is a string");
    folder_refused(JSON(MODEL("\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2")),
            "tokenizer.json: the special token '[SEP]' is not in the vocabulary");
    folder_refused(JSON(MODEL("\"a\":0")), "the special token '[PAD]' is not in the vocabulary");
    folder_refused(JSON(MODEL(JSON_SPECIALS ",\"a\xff\":5")), "tokenizer.json:1:");
    folder_refused(JSON("\"model\":{\"type\":\"WordPiece\",\"max_input_chars_per_word\":0,\"vocab\":{\"a\":1}}"),
            "max_input_chars_per_word is an integer; a count above 0");
    folder_refused(FOLDER("tokenizer.json", "{\"normalizer\":null," PRE "," MODEL(JSON_SPECIALS) "}"),
            "normalizer is null; only 'BertNormalizer' is supported");
    folder_refused(FOLDER("tokenizer.json", "{\"normalizer\":{\"type\":\"NFC\"}," PRE "," MODEL(JSON_SPECIALS) "}"),
            "normalizer is 'NFC'; only 'BertNormalizer'");
    folder_refused(FOLDER("tokenizer.json", "{" NORMALISER("true") "," MODEL(JSON_SPECIALS) "}"),
            "pre_tokenizer is missing; only 'BertPreTokenizer'");
    folder_refused(JSON(MODEL(JSON_SPECIALS) ",\"post_processor\":{\"type\":\"RobertaProcessing\"}"),
            "post_processor 'RobertaProcessing' does not make [CLS] A [SEP]");
    folder_refused(JSON(MODEL(JSON_SPECIALS) ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[PAD]\",0],\"cls\":["
                                      "\"[CLS]\",2]}"),
            "post_processor puts a sentence between '[CLS]' and '[PAD]'");
    folder_refused(JSON(MODEL(JSON_SPECIALS) ",\"added_tokens\":[{\"id\":5,\"content\":\"<e>\",\"single_word\":true}]"),
            "the added token '<e>' is single_word");
    folder_refused(JSON(MODEL(JSON_SPECIALS) ",\"added_tokens\":7"), "added_tokens is an integer; an array was expected");
    folder_refused(JSON(MODEL(JSON_SPECIALS) ",\"added_tokens\":[7]"), "an added token is not an object");
}

/* Every truncation of a good tokenizer.json is refused with a place. */
static void test_any_truncation(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof CASED_JSON - 1; n++) {
        char text[sizeof CASED_JSON] = CASED_JSON;
        text[n] = '\0';
        folder_refused(FOLDER("tokenizer.json", text), "tokenizer.json:1:");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab_txt_is_lower_case_unless_told),
        cmocka_unit_test(test_tokenizer_json_wins_over_vocab_txt),
        cmocka_unit_test(test_config_wins_over_the_normaliser_where_it_speaks),
        cmocka_unit_test(test_line_ends_and_trailing_blanks_of_vocab_txt),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_sparse_ids_and_other_prefixes),
        cmocka_unit_test(test_a_word_that_is_not_utf8),
        cmocka_unit_test(test_bad_vocab_txt),
        cmocka_unit_test(test_bad_config),
        cmocka_unit_test(test_bad_tokenizer_json),
        cmocka_unit_test(test_any_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
