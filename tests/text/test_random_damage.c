/* Seeded byte damage to every kind of file this room reads: each is read or refused with a line, never worse (run under
 * asan and ubsan), and a failure hands nothing over.
 * LABELS: unit */
#include "text_support.h"

enum { ROUNDS = 200 };

/* Change, drop or double a few bytes; returns the new length. `text` holds 2 * length + 16 bytes. */
static size_t damage(char *text, size_t length, uint32_t round)
{
    static const char likely[] = "\0\n\r\t \"{}[]:,-\x80\xc3\xe2\xf0\xff"
                                 "09O#";
    for (uint32_t k = 0; k < 1 + round % 4; k++) {
        uint32_t bits = rl_rng_bits(7, RL_PURPOSE_BOOTSTRAP, round, k, 0),
                 how = rl_rng_bits(7, RL_PURPOSE_BOOTSTRAP, round, k, 1) % 4;
        size_t at = length ? bits % length : 0;
        if (length == 0) break;
        if (how == 0) text[at] = (char)(bits >> 24);
        if (how == 1) text[at] = likely[(bits >> 16) % (sizeof likely - 1)];
        if (how == 2) length = at;
        if (how == 3) memmove(text + at + 1, text + at, length - at), length++;
    }
    return length;
}

static char *damaged(const char *path, uint32_t round, size_t *length)
{
    rl_file_view view = {0};
    rl_error err;
    assert_ok(rl_file_view_open(&view, path, &err), err);
    char *text = rl_calloc(2 * view.size + 16, 1, &err);
    assert_non_null(text);
    memcpy(text, view.data, view.size);
    *length = damage(text, view.size, round);
    rl_file_view_close(&view);
    return text;
}

static void check_outcome(rl_status status, const void *made, const rl_error *err)
{
    if (status == RL_OK) {
        assert_non_null(made);
        return;
    }
    assert_null(made);
    assert_int_equal(status, RL_ERR_INPUT);
    assert_true(err->message[0] != '\0' && !strchr(err->message, '\n'));
}

static void test_tokenizer_files(void **state)
{
    static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json"};
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const char *name = names[round % 3];
        char folder[256], source[64];
        size_t length;
        rl_tokenizer *tokenizer = NULL;
        rl_error err = {RL_OK, ""};
        snprintf(folder, sizeof folder, "%s/%s", support_temporary_folder(), name);
        assert_int_equal(rl_make_directories(folder, NULL), RL_OK);
        snprintf(source, sizeof source, "golden/text/uncased/%s", name);
        char *text = damaged(support_file(source), round, &length), file[64];
        snprintf(file, sizeof file, "%s/%s", name, name);
        a_file(file, text, length);
        if (round % 3 == 2) { /* a damaged configuration beside a good vocabulary */
            snprintf(file, sizeof file, "%s/vocab.txt", name);
            a_file(file, "[PAD]\n[UNK]\n[CLS]\n[SEP]\na", 25);
        }
        rl_status status = rl_tokenizer_load(&tokenizer, folder, &err);
        check_outcome(status, tokenizer, &err);
        rl_id_list ids = {0};
        if (tokenizer) assert_ok(rl_tokenizer_encode_word(tokenizer, "Malm\xc3\xb6[SEP]s", 12, &ids, &err), err);
        rl_free(ids.ids);
        rl_tokenizer_free(tokenizer);
        rl_free(text);
    }
}

static void test_corpora(void **state)
{
    static const char conll[] =
        "-DOCSTART- -X- O\n\nZ\xc3\xbcrich NN B-LOC\nis VB O\n\n\xf0\x9f\x98\x80 . I-PER\r\nx y E-PER\r\n";
    static const char tokens[] = "Z\xc3\xbcrich is \xc2\x80 big\nso is Bern\n",
                      labels[] = "L,L:city N/A N/A N/A\nN/A N/A L\n";
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        char a[2 * sizeof conll + 16], b[2 * sizeof tokens + 16], path[512];
        rl_corpus *read = NULL, *pair = NULL;
        rl_error err = {RL_OK, ""};
        memcpy(a, conll, sizeof conll);
        memcpy(b, tokens, sizeof tokens);
        rl_status status = rl_conll_read(&read, a_file("c", a, damage(a, sizeof conll - 1, round)), NULL, 0, &err);
        check_outcome(status, read, &err);
        snprintf(path, sizeof path, "%s", a_file("t", b, damage(b, sizeof tokens - 1, round)));
        status = rl_concept_corpus_read(&pair, path, a_file("l", labels, sizeof labels - 1), &err);
        check_outcome(status, pair, &err);
        rl_corpus_free(read);
        rl_corpus_free(pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokenizer_files), cmocka_unit_test(test_corpora)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
