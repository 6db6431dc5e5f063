/* fastText files that are cut off, damaged or something else: each is refused with its place, and nothing is handed over.
 * LABELS: unit */
#include "fasttext_support.h"

static const char *const words[] = {"the", "cat", "Ankara"};

static void refused(const char *path, const char *place, const char *why)
{
    asked a;
    char message[600];
    rl_status status = ask(&a, path, words, 3, false);
    snprintf(message, sizeof message, "%s:%s", path, place);
    assert_fails(status, RL_ERR_INPUT, a.err, message);
    assert_fails(status, RL_ERR_INPUT, a.err, why);
    assert_null(a.table);
    assert_int_equal(a.dimension, -1);
    ask_free(&a);
}

static void refused_with(const model_file *good, size_t at, const void *bytes, size_t length, const char *why)
{
    model_file f = *good;
    char place[64];
    memcpy(f.bytes + at, bytes, length);
    snprintf(place, sizeof place, " byte ");
    refused(a_file("m.bin", f.bytes, f.length), place, why);
}

static void refused_int(const model_file *good, size_t at, int32_t value, const char *why)
{
    refused_with(good, at, &value, sizeof value, why);
}

static void test_model_fields(void **state)
{
    model_file f = make_model(12, 2, -1, NULL);
    const float nan = NAN, inf = -INFINITY;
    const int64_t negative = -2, many = INT64_MAX;
    (void)state;
    refused_int(&f, 4, 13, "byte 4: fastText model version 13; 12 or 11 was expected");
    refused_int(&f, 8, 0, "byte 8: the vectors' dimension is 0; 1 to 1048576 was expected");
    refused_int(&f, 8, -4, "the vectors' dimension is -4");
    refused_int(&f, 8, 5, "5 columns were expected");
    refused_int(&f, 40, -1, "byte 40: -1 buckets; 0 or more were expected");
    refused_int(&f, 40, 0, "no buckets for n-grams of 3 to 4 characters");
    refused_int(&f, 40, 11, "2 words + 11 n-grams were expected");
    refused_int(&f, 44, 5, "byte 44: n-grams of 5 to 4 characters; 0 <= minn <= maxn was expected");
    refused_int(&f, 44, -1, "n-grams of -1 to 4");
    refused_int(&f, 48, -3, "n-grams of 3 to -3");
    refused_int(&f, f.dictionary, -3, "the dictionary has -3 entries, 2 words and 1 labels");
    refused_int(&f, f.dictionary + 4, 3, "size = words + labels was expected");
    refused_int(&f, f.dictionary + 8, -1, "2 words and -1 labels");
    refused_with(&f, f.dictionary + 12, &negative, 8, "-2 tokens");
    refused_with(&f, f.dictionary + 20, &negative, 8, "-2 kept n-grams");
    refused_with(&f, f.dictionary + 20, &many, 8, "inside the list of kept n-grams");
    refused_with(&f, f.dictionary + 40, "\1", 1, "entry 1 of the dictionary has type 1; 0 (a word) was expected");
    refused_with(&f, f.matrix, "\1", 1, "quantized");
    refused_with(&f, f.matrix, "\7", 1, "the quantization mark is 7");
    refused_with(&f, f.matrix + 1, &negative, 8, "the input matrix is -2 x 4");
    refused_with(&f, f.matrix + 1, &many, 8, "the file ends inside the input matrix");
    refused_with(&f, f.output + 1, &many, 8, "the file ends inside the output matrix");
    refused_with(&f, f.matrix + 17 + 16 + 8, &nan, 4, "row 1 of the input matrix has the number nan in column 2");
    refused_with(&f, f.matrix + 17, &inf, 4, "row 0 of the input matrix has the number -inf in column 0");
}

static void test_pruned_list(void **state)
{
    static const int32_t rows[][2] = {{7, 0}, {4, 2}}, buckets[][2] = {{-7, 0}, {4, 1}};
    model_file f = make_model(12, 2, 2, rows), g = make_model(12, 2, 2, buckets);
    (void)state;
    refused(a_file("m.bin", f.bytes, f.length), " byte 146", "bucket 4 in row 2 is kept; rows are 0 to 1");
    refused(a_file("m.bin", g.bytes, g.length), " byte 138", "bucket -7 in row 0 is kept");
}

static void test_models_cut_off_anywhere(void **state)
{
    model_file f = make_model(12, 2, -1, NULL);
    char place[64];
    (void)state;
    for (size_t length = 4; length < f.length; length++) {
        snprintf(place, sizeof place, " byte %zu", length);
        refused(a_file("m.bin", f.bytes, length), place, "is it cut off?");
    }
    put_byte(&f, 'x');
    refused(a_file("m.bin", f.bytes, f.length), " byte ", "1 bytes behind the output matrix");
}

static void test_vec_lines(void **state)
{
    static const char expected[] = "the first line of a .vec file is COUNT DIMENSION";
    (void)state;
    refused(A_FILE("v", ""), "", "the file is empty");
    refused(A_FILE("v", "the 1 2\n"), "1:1", expected);
    refused(A_FILE("v", "2\n"), "1:1", expected);
    refused(A_FILE("v", "2 -1\n"), "1:3", expected);
    refused(A_FILE("v", "2 3 4\n"), "1:3", expected);
    refused(A_FILE("v", "99999999999999999 3\n"), "1:1", expected);
    refused(A_FILE("v", "\x01\x02\x03\x04\x05\x06"), "1:1", "this is no fastText .bin (it does not start with 793712314)");
    refused(A_FILE("v", "2 0\n"), "1:3", "the vectors' dimension is 0");
    refused(A_FILE("v", "2 2\nthe 1 2\n"), "2", "the file ends after 1 of the 2 words that its first line announces");
    refused(A_FILE("v", "1 2\nthe 1 2\na 1 2\n"), "3", "more lines than the 1 words");
    refused(A_FILE("v", "2 2\nthe 1\na 1 2\n"), "2", "a word and 2 numbers were expected; there are 2 fields");
    refused(A_FILE("v", "2 2\nthe 1 2\n\n"), "3", "a word and 2 numbers were expected; there are 0 fields");
    refused(A_FILE("v", "1 2\n 1 2\n"), "2:1", "no word in front of the 2 numbers");
    refused(A_FILE("v", "1 2\nthe 1 nan\n"), "2:7", "'nan' is no finite number");
    refused(A_FILE("v", "1 2\nthe inf 1\n"), "2:5", "'inf' is no finite number");
    refused(A_FILE("v", "1 2\nthe 1e99 1\n"), "2:5", "'1e99' is no finite number");
    refused(A_FILE("v", "1 2\nthe 0x1 1\n"), "2:5", "'0x1' is no finite number");
    refused(A_FILE("v", "1 2\nthe 1 \xff\n"), "2:7", "'?' is no finite number");
}

static void test_files_that_are_none(void **state)
{
    asked a;
    (void)state;
    assert_fails(ask(&a, "/nowhere/x.bin", words, 3, false), RL_ERR_INPUT, a.err, "/nowhere/x.bin: cannot be read");
    ask_free(&a);
    assert_fails(ask(&a, "/", words, 3, false), RL_ERR_INPUT, a.err, "is not a regular file");
    ask_free(&a);
}

/* Bytes changed at random, under asan and ubsan: read or refused with a line, never worse. */
static void damage(const char *name, const char *bytes, size_t length, uint32_t round)
{
    char copy[2048];
    asked a;
    memcpy(copy, bytes, length);
    for (uint32_t k = 0; k < 1 + round % 4; k++) {
        uint32_t bits = rl_rng_bits(7, RL_PURPOSE_BOOTSTRAP, round, k, 0);
        copy[bits % length] = (char)(bits >> 24);
    }
    rl_status status = ask(&a, a_file(name, copy, length), words, 3, round % 2);
    if (status != RL_OK) {
        assert_int_equal(status, RL_ERR_INPUT);
        assert_null(a.table);
        assert_true(a.err.message[0] && !strchr(a.err.message, '\n'));
    } else
        for (int64_t i = 0; i < 3 * a.dimension; i++) assert_true(isfinite(a.table[i]));
    ask_free(&a);
}

static void test_random_damage(void **state)
{
    static const int32_t pairs[][2] = {{7, 0}, {4, 1}, {1, 2}};
    static const char vec[] = "3 3\nthe .1 -2e3 3\ncat 4 5 6\nNew York 7 8 9\n";
    model_file whole = make_model(12, 2, -1, NULL), pruned = make_model(12, 2, 3, pairs);
    (void)state;
    for (uint32_t round = 0; round < 600; round++) {
        damage("whole", whole.bytes, whole.length, round);
        damage("head", whole.bytes, whole.matrix + 17, round); /* its fields alone: a byte of the whole is mostly a number's */
        damage("pruned", pruned.bytes, pruned.length, round);
        damage("vec", vec, sizeof vec - 1, round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_fields),        cmocka_unit_test(test_pruned_list), cmocka_unit_test(test_models_cut_off_anywhere),
        cmocka_unit_test(test_vec_lines),           cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
