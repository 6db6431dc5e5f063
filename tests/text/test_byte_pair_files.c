/* Byte-level BPE: which of a folder's files decides what, GPT-2's pattern, and every way a folder can be wrong.
 * LABELS: unit */
#include "text_internal.h"
#include "text_support.h"

/* U+0120 stands for the space. h=0 i=1 s=2 space=3 hi=4 " hi"=5 </s>=6 <s>=7 <|endoftext|>=8 */
#define VOCABULARY \
    "{\"h\":0,\"i\":1,\"s\":2,\"\xc4\xa0\":3,\"hi\":4,\"\xc4\xa0hi\":5,\"</s>\":6,\"<s>\":7,\"<|endoftext|>\":8}"
#define GPT2_VOCABULARY "{\"h\":0,\"i\":1,\"s\":2,\"\xc4\xa0\":3,\"hi\":4,\"\xc4\xa0hi\":5,\"<|endoftext|>\":6}"
#define MERGES "#version: 0.2\nh i\n\xc4\xa0 hi\n"
#define JSON(merges, more) \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":" VOCABULARY ",\"merges\":" merges "},\"pre_tokenizer\":{\"type\":" \
    "\"ByteLevel\"}" more "}"
#define TEMPLATE ",\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",7],\"sep\":[\"</s>\",6]}"

/* The ids of a sentence of one word, and of a raw line of it. */
static void expect(const char *path, const char *word, const char *ids, const char *raw)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    rl_corpus *corpus = NULL;
    rl_encoded *encoded = NULL;
    char line[64], text[256];
    snprintf(line, sizeof line, "%s O\n", word);
    assert_ok(rl_tokenizer_load(&tokenizer, path, &err), err);
    assert_ok(rl_conll_read(&corpus, a_file("one.conll", line, strlen(line)), NULL, 0, &err), err);
    for (int pass = 0; pass < 2; pass++) {
        const char *expected = pass ? raw : ids;
        if (pass)
            assert_ok(rl_encode_lines(&encoded, tokenizer, corpus, 100, &err), err);
        else
            assert_ok(rl_encode_corpus(&encoded, tokenizer, corpus, true, 100, &err), err);
        text[0] = '\0';
        for (int64_t i = 0; i < encoded->num_tokens; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? " " : "", encoded->ids[i]);
        assert_string_equal(text, expected);
        rl_encoded_free(encoded);
    }
    rl_corpus_free(corpus);
    rl_tokenizer_free(tokenizer);
}

/* ---------------------------------------------------------------------------------------------- what decides */

static void test_bare_files(void **state)
{
    (void)state;
    expect(FOLDER("vocab.json", VOCABULARY, "merges.txt", MERGES), "hi", "7 5 6", "7 4 6");
    expect(FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", MERGES), "hi", "5", "4");
    expect(FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", "h i\r\n\xc4\xa0 hi\r\n\r\n"), "hi", "5", "4");
}

static void test_the_class_decides_what_is_around_a_sentence(void **state)
{
    (void)state;
    expect(FOLDER("vocab.json", VOCABULARY, "merges.txt", MERGES, "tokenizer_config.json",
                  "{\"tokenizer_class\":\"GPT2TokenizerFast\"}"),
           "hi", "5", "4");
    expect(FOLDER("tokenizer.json", JSON("[\"h i\"]", ""), "tokenizer_config.json",
                  "{\"tokenizer_class\":\"RobertaTokenizer\"}"),
           "hi", "7 3 4 6", "7 4 6");
    expect(FOLDER("tokenizer.json", JSON("[\"h i\"]", TEMPLATE)), "hi", "7 3 4 6", "7 4 6");
    expect(FOLDER("tokenizer.json", JSON("[[\"h\",\"i\"]]", ",\"post_processor\":{\"type\":\"ByteLevel\"}")), "hi",
           "3 4", "4");
}

/* Bytes that have no symbol are left out, as tokenizers does without an unk_token; merges reach over the gap. */
static void test_bytes_without_a_symbol(void **state)
{
    (void)state;
    expect(FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", MERGES), "hxi", "5", "4");
    expect(FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", MERGES), "hi<|endoftext|>hi", "5 6 5", "4 6 4");
}

/* The leftmost of equal merges first; an earlier merge before a later one wherever it stands. */
static void test_order_of_merges(void **state)
{
    const char *vocabulary = "{\"a\":0,\"b\":1,\"\xc4\xa0\":2,\"aa\":3,\"ab\":4,\"aab\":5}";
    (void)state;
    expect(FOLDER("vocab.json", vocabulary, "merges.txt", "a a\na b\n"), "aaaa", "2 3 3", "3 3");
    expect(FOLDER("vocab.json", vocabulary, "merges.txt", "a a\na b\n"), "aaab", "2 3 4", "3 4");
    expect(FOLDER("vocab.json", vocabulary, "merges.txt", "a b\na a\n"), "aaab", "2 3 4", "3 4");
    expect(FOLDER("vocab.json", vocabulary, "merges.txt", "a b\na a\na ab\n"), "aab", "2 5", "5");
}

static void test_pieces_of_the_pattern(void **state)
{
    static const struct {
        const char *text, *pieces;
    } cases[] = {{"it's", "it|'s|"},     {" we'll've", " we|'ll|'ve|"}, {"a  b", "a| | b|"},   {"a   ", "a|   |"},
                 {" .'s", " .'|s|"},     {"x1y22", "x|1|y|22|"},        {"'S", "'|S|"},       {"a\tb", "a|\t|b|"},
                 {"\xc2\xa0x", "\xc2\xa0|x|"}, {"é\xcc\x81", "é|\xcc\x81|"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[64] = "";
        const char *at = cases[i].text, *end = at + strlen(at);
        for (const char *stop; at < end; at = stop) {
            stop = text_piece_end(at, end);
            snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s|", (int)(stop - at), at);
        }
        assert_string_equal(found, cases[i].pieces);
    }
}

/* A word of many thousand bytes is no trouble: merging is n log n. */
static void test_a_long_word(void **state)
{
    rl_tokenizer *tokenizer = NULL;
    rl_error err;
    rl_id_list ids = {0};
    size_t length = 400000;
    char *word = rl_calloc(length, 1, &err);
    (void)state;
    for (size_t i = 0; i < length; i++) word[i] = "hi"[i % 2];
    assert_ok(rl_tokenizer_load(&tokenizer, FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", MERGES), &err), err);
    assert_ok(rl_tokenizer_encode_word(tokenizer, word, length, &ids, &err), err);
    assert_int_equal(ids.count, length / 2);
    assert_int_equal(ids.ids[0], 5);
    assert_int_equal(ids.ids[1], 4);
    rl_free(ids.ids);
    rl_free(word);
    rl_tokenizer_free(tokenizer);
}

/* ------------------------------------------------------------------------------------------------ bad input */

static void test_bad_files(void **state)
{
    (void)state;
    folder_refused(FOLDER("vocab.json", VOCABULARY), "vocab.json: has no merges.txt beside it");
    folder_refused(FOLDER("merges.txt", MERGES), "merges.txt: has no vocab.json beside it");
    folder_refused(FOLDER("vocab.json", "[]", "merges.txt", MERGES), "vocab.json:1:1: a JSON object was expected");
    folder_refused(FOLDER("vocab.json", "{\"h\":-1}", "merges.txt", MERGES), "vocab.json: the id of token 'h' is out of range");
    folder_refused(FOLDER("vocab.json", "{\"h\":0,\"i\":0}", "merges.txt", MERGES), "vocab.json: the id 0 belongs to");
    folder_refused(FOLDER("vocab.json", VOCABULARY, "merges.txt", "#version\nh i\nhi\n"),
            "merges.txt:3:1: 'hi' is not a merge; two symbols with a space between");
    folder_refused(FOLDER("vocab.json", VOCABULARY, "merges.txt", "h i s\n"), "merges.txt:1:1: 'h i s' is not a merge");
    folder_refused(FOLDER("vocab.json", VOCABULARY, "merges.txt", "h s\n"),
            "merges.txt:1:1: the merge of 'h' and 's' needs 'hs', which is not in the vocabulary");
    folder_refused(FOLDER("vocab.json", VOCABULARY, "merges.txt", "h \xff\n"), "merges.txt:1:3:");
    folder_refused(FOLDER("vocab.json", VOCABULARY, "merges.txt", MERGES, "tokenizer_config.json",
                   "{\"tokenizer_class\":\"BartTokenizer\"}"),
            "tokenizer_class 'BartTokenizer' is not supported with byte-level BPE; GPT2Tokenizer, RobertaTokenizer");
    folder_refused(FOLDER("vocab.json", GPT2_VOCABULARY, "merges.txt", MERGES, "tokenizer_config.json",
                   "{\"tokenizer_class\":\"RobertaTokenizer\"}"),
            "vocab.json: the special token '<s>' is not in the vocabulary");
}

static void test_bad_tokenizer_json(void **state)
{
    (void)state;
    folder_refused(FOLDER("tokenizer.json", JSON("{}", "")), "tokenizer.json: model.merges is not an array");
    folder_refused(FOLDER("tokenizer.json", JSON("[3]", "")), "tokenizer.json: model.merges[0] is not a pair");
    folder_refused(FOLDER("tokenizer.json", JSON("[]", ",\"normalizer\":{\"type\":\"NFC\"}")), "it has a normalizer");
    folder_refused(FOLDER("tokenizer.json", JSON("[]", ",\"post_processor\":{\"type\":\"TemplateProcessing\"}")),
            "post_processor 'TemplateProcessing' does not make <s> A </s> or A of a sentence");
    folder_refused(FOLDER("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":"
                                     "{\"type\":\"Whitespace\"}}"),
            "pre_tokenizer is 'Whitespace'; only 'ByteLevel' is supported");
    folder_refused(FOLDER("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":"
                                     "true},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}"),
            "model.byte_fallback, model.fuse_unk or model.dropout is set");
    folder_refused(FOLDER("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],"
                                     "\"end_of_word_suffix\":\"</w>\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}"),
            "model.end_of_word_suffix is '</w>'; byte-level BPE has none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bare_files),
                                       cmocka_unit_test(test_the_class_decides_what_is_around_a_sentence),
                                       cmocka_unit_test(test_bytes_without_a_symbol),
                                       cmocka_unit_test(test_order_of_merges),
                                       cmocka_unit_test(test_pieces_of_the_pattern),
                                       cmocka_unit_test(test_a_long_word),
                                       cmocka_unit_test(test_bad_files),
                                       cmocka_unit_test(test_bad_tokenizer_json)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
