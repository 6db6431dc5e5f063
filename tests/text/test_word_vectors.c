/* Word vectors: fastText's own vectors to the last bit, the worked example of protocol §13, pruned and older models, .vec files.
 * LABELS: unit golden */
#include "fasttext_support.h"
#include "word_vectors.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static void test_hashes_of_signed_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_fasttext_hash("", 0), 2166136261u);
    assert_int_equal(text_fasttext_hash("<", 1), 957132539u);
    assert_int_equal(text_fasttext_hash("the", 3), 3020861980u);
    assert_int_equal(text_fasttext_hash("<ca", 3), 1066916747u);
    assert_int_equal(text_fasttext_hash("\xc3\xa9", 2), 1023043777u);
    assert_int_equal(text_fasttext_hash("<\xc3\xa9>", 4), 1002806231u); /* 4222937559 with unsigned bytes */
}

/* fasttext.tsv: word, its rows, the bits of the original's vector. */
static void test_the_originals_bits(void **state)
{
    char line[2048], words[64][512];
    const char *list[64];
    uint32_t bits[64][5];
    int n = 0;
    asked a;
    (void)state;
    FILE *file = fopen(support_file("golden/text/fasttext.tsv"), "r");
    assert_non_null(file);
    for (; fgets(line, sizeof line, file); n++) {
        char *tab = strchr(line, '\t'), *second = strchr(tab + 1, '\t');
        snprintf(words[n], sizeof words[n], "%.*s", (int)(tab - line), line);
        list[n] = words[n];
        assert_int_equal(sscanf(second, "%x %x %x %x %x", &bits[n][0], &bits[n][1], &bits[n][2], &bits[n][3], &bits[n][4]), 5);
    }
    fclose(file);
    assert_int_equal(n, 29);
    assert_ok(ask(&a, support_file("golden/text/fasttext.bin"), list, n, false), a.err);
    assert_int_equal(a.dimension, 5);
    assert_int_equal(a.num_unknown, 0);
    for (int w = 0; w < n; w++) assert_memory_equal(a.table + w * 5, bits[w], sizeof bits[w]);
    ask_free(&a);
}

static void assert_row(const asked *a, int word, float x, float y, float z, float w, double within)
{
    const float expected[] = {x, y, z, w};
    for (int c = 0; c < 4; c++) assert_close(a->table[word * 4 + c], expected[c], 0, within);
}

/* Six digits are given, so 1e-6; "é" has the n-gram <é> alone: 1002806231 mod 10 = 1, row 3. */
static void test_the_worked_example(void **state)
{
    static const char *const words[] = {"the", "cat", "dog", "Ankara", "\xc3\xa9", "__label__x"};
    model_file f = make_model(12, 2, -1, NULL);
    asked a;
    (void)state;
    assert_ok(ask(&a, a_file("m.bin", f.bytes, f.length), words, COUNT(words), false), a.err);
    assert_int_equal(a.dimension, 4);
    assert_int_equal(a.num_unknown, 0);
    assert_row(&a, 0, .593654f, .701827f, .479920f, .0322988f, 1e-6);
    assert_row(&a, 1, .673732f, .461761f, .0326169f, -.411868f, 1e-6);
    assert_row(&a, 2, .642335f, .197635f, -.340016f, -.717752f, 1e-6);
    assert_row(&a, 3, .826585f, .652884f, .172121f, -.389593f, 1e-6);
    assert_row(&a, 4, sinf(.9f), sinf(1.6f), sinf(2.3f), sinf(3.f), 1e-6);
    ask_free(&a);
}

/* Rows 0 and 1 are the words'. cat has buckets 7 3 1 5 6; kept are 7 -> row 2 and 1 -> row 4; dog's 2 7 7 7 3 give row 2. */
static void test_pruned_n_grams(void **state)
{
    static const int32_t pairs[][2] = {{7, 0}, {4, 1}, {1, 2}};
    static const char *const words[] = {"cat", "dog", "qqqq"};
    model_file f = make_model(12, 2, 3, pairs), none = make_model(12, 2, 0, NULL);
    asked a;
    (void)state;
    assert_ok(ask(&a, a_file("m.bin", f.bytes, f.length), words, 2, false), a.err);
    for (int c = 0; c < 4; c++) {
        assert_close(a.table[c], (sin(.3 + .7 * c) + sin(.6 + .7 * c) + sin(1.2 + .7 * c)) / 3, 0, 1e-6);
        assert_close(a.table[4 + c], sin(.6 + .7 * c), 0, 1e-6);
    }
    ask_free(&a);
    assert_ok(ask(&a, a_file("m.bin", none.bytes, none.length), words, 3, false), a.err);
    assert_row(&a, 0, sinf(.3f), sinf(1.f), sinf(1.7f), sinf(2.4f), 1e-6); /* n-grams give nothing */
    assert_row(&a, 1, 0, 0, 0, 0, 0);
    assert_int_equal(a.num_unknown, 2);
    ask_free(&a);
}

static void test_version_11_supervised_has_no_n_grams(void **state)
{
    static const char *const words[] = {"cat", "dog"};
    model_file supervised = make_model(11, 3, -1, NULL), skipgram = make_model(11, 2, -1, NULL);
    asked a;
    (void)state;
    assert_ok(ask(&a, a_file("m.bin", supervised.bytes, supervised.length), words, 2, false), a.err);
    assert_row(&a, 0, sinf(.3f), sinf(1.f), sinf(1.7f), sinf(2.4f), 1e-6);
    assert_int_equal(a.num_unknown, 1);
    ask_free(&a);
    assert_ok(ask(&a, a_file("m.bin", skipgram.bytes, skipgram.length), words, 2, false), a.err);
    assert_row(&a, 0, .673732f, .461761f, .0326169f, -.411868f, 1e-6);
    assert_int_equal(a.num_unknown, 0);
    ask_free(&a);
}

/* A word with a blank in it, one that is no UTF-8, one that comes twice, CRLF, no newline at the end. */
static void test_vec_files(void **state)
{
    static const char text[] = "6 2\nthe 1 -2.5e-1 \nNew York 3 4\r\n\xff 5 6\nthe 9 9\n\xc2\xa0 7 +8\nx  .5 1";
    static const char *const words[] = {"York", "New York", "the", "\xc2\xa0", "x", "x "};
    asked a;
    (void)state;
    assert_ok(ask(&a, A_FILE("v.bin", text), words, COUNT(words), false), a.err); /* the content says what it is */
    static const float expected[] = {0, 0, 3, 4, 1, -.25f, 7, 8, 0, 0, .5f, 1};
    assert_int_equal(a.dimension, 2);
    assert_int_equal(a.num_unknown, 2);
    assert_memory_equal(a.table, expected, sizeof expected);
    ask_free(&a);
}

static void test_lower_case(void **state)
{
    static const char text[] = "3 1\nthe 1\n\xc3\xbcrich 2\nThe 3\n";
    static const char *const words[] = {"The", "the", "\xc3\x9cRICH", "THE"};
    static const float folded[] = {1, 1, 2, 1}, exact[] = {3, 1, 0, 0};
    asked a;
    (void)state;
    assert_ok(ask(&a, A_FILE("v.vec", text), words, 4, true), a.err);
    assert_memory_equal(a.table, folded, sizeof folded);
    assert_int_equal(a.num_unknown, 0);
    ask_free(&a);
    assert_ok(ask(&a, A_FILE("v.vec", text), words, 4, false), a.err);
    assert_memory_equal(a.table, exact, sizeof exact);
    assert_int_equal(a.num_unknown, 2);
    ask_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes_of_signed_bytes), cmocka_unit_test(test_the_originals_bits),
        cmocka_unit_test(test_the_worked_example),     cmocka_unit_test(test_pruned_n_grams),
        cmocka_unit_test(test_version_11_supervised_has_no_n_grams),
        cmocka_unit_test(test_vec_files),              cmocka_unit_test(test_lower_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
