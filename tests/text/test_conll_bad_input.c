/* Damaged CoNLL files: one clear line with file, line and column, and nothing handed over.
 * LABELS: unit */
#include "text_support.h"

static void refused(const char *bytes, size_t length, const char *message)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    assert_fails(rl_conll_read(&corpus, a_file("bad.conll", bytes, length), NULL, 0, &err), RL_ERR_INPUT, err, message);
    assert_null(corpus);
}
#define REFUSED(text, message) refused((text), sizeof(text) - 1, (message))

static void test_columns(void **state)
{
    (void)state;
    REFUSED("a NN O\nb O\n", "bad.conll:2:3: 2 columns; 3 were expected, as in line 1");
    REFUSED("\n\na NN O\nb NN x O\n", "bad.conll:4:8: 4 columns; 3 were expected, as in line 3");
    REFUSED("alone\n", "bad.conll:1:1: one column; at least a word and a tag were expected");
    REFUSED("a O\nb\n", "bad.conll:2:1: 1 columns; 2 were expected");
}

static void test_tags(void **state)
{
    (void)state;
    REFUSED("a O\nb PER\n", "bad.conll:2:3: unknown tag 'PER'; expected O, or B-, I-, E-, S-, L- or U- and a type");
    REFUSED("a B-PER\nb b-PER\n",
            "unknown tag 'b-PER'; expected O, or B-, I-, E-, S-, L- or U- and a type; the nearest is 'B-PER'");
    REFUSED("a I-LOC\nb I_LOC\n", "the nearest is 'I-LOC'");
    REFUSED("a o\n", "unknown tag 'o'; expected O, or B-, I-, E-, S-, L- or U- and a type; the nearest is 'O'");
    REFUSED("a B-\n", "unknown tag 'B-'");
    REFUSED("a -PER\n", "unknown tag '-PER'");
    REFUSED("a 0\n", "unknown tag '0'");
}

static void test_a_tag_longer_than_any(void **state)
{
    char text[2000] = "a B-";
    (void)state;
    memset(text + 4, 'X', 1900);
    refused(text, 1904, "bad.conll:1:3: unknown tag");
}

static void test_bytes(void **state)
{
    (void)state;
    REFUSED("a O\nZ\xfcrich O\n", "bad.conll:2:2: byte 0xfc is not UTF-8");
    REFUSED("a O\nb\xe2\x82 O\n", "bad.conll:2:2: byte 0xe2 is not UTF-8");
    REFUSED("\xed\xa0\x80 O\n", "bad.conll:1:1: byte 0xed is not UTF-8"); /* a surrogate */
    REFUSED("\xc0\xaf O\n", "bad.conll:1:1: byte 0xc0 is not UTF-8");     /* overlong */
    REFUSED("a O\nb\0c O\n", "bad.conll:2:2: a NUL byte");
    REFUSED("a O\rb O\r", "bad.conll:1:4: a carriage return inside the line");
    REFUSED("a O\nb O\n\xff", "bad.conll:3:1: byte 0xff is not UTF-8"); /* cut in the last line */
}

static void test_nothing_in_it(void **state)
{
    rl_corpus *corpus = NULL;
    rl_error err;
    (void)state;
    REFUSED("", "bad.conll: no sentence");
    REFUSED("\n\n \n", "bad.conll: no sentence");
    REFUSED("-DOCSTART- -X- O O\n\n", "bad.conll: no sentence");
    assert_fails(rl_conll_read(&corpus, "/nowhere/eng.train", NULL, 0, &err), RL_ERR_INPUT, err, "/nowhere/eng.train");
    assert_fails(rl_conll_read(&corpus, support_temporary_folder(), NULL, 0, &err), RL_ERR_INPUT, err,
                 "not a regular file");
}

/* Every truncation of a file is read or refused, never more; asan watches. */
static void test_any_truncation(void **state)
{
    static const char text[] =
        "-DOCSTART- -X- O\r\n\r\nZ\xc3\xbcrich NN B-LOC\r\n\xf0\x9f\x98\x80 . E-LOC\r\n\r\nx y O\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        rl_corpus *corpus = NULL;
        rl_error err = {RL_OK, ""};
        rl_status status = rl_conll_read(&corpus, a_file("cut.conll", text, n), NULL, 0, &err);
        assert_true(status == RL_OK ? corpus != NULL : corpus == NULL && status == RL_ERR_INPUT && err.message[0]);
        rl_corpus_free(corpus);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_a_tag_longer_than_any),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_nothing_in_it),
        cmocka_unit_test(test_any_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
