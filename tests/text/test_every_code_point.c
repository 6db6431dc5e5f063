/* Every one of Unicode's 1,112,064 code points is normalised as the tokenizers package does it, whatever the system's
 * utf8proc: digests per plane and setting.
 * LABELS: golden */
#include "text_internal.h"
#include "text_support.h"

#include <utf8proc.h>

static void append(text_codes *stream, const text_codes *codes)
{
    assert_int_equal(text_codes_push(stream, (int32_t)codes->count, NULL), RL_OK);
    for (size_t i = 0; i < codes->count; i++) assert_int_equal(text_codes_push(stream, codes->data[i], NULL), RL_OK);
}

static uint64_t plane_digest(const text_normaliser *normaliser, int32_t plane)
{
    text_scratch scratch = {0};
    text_codes stream = {0};
    for (int32_t code = plane << 16; code < (plane + 1) << 16; code++) {
        utf8proc_uint8_t bytes[4];
        if (code >= 0xd800 && code < 0xe000) continue;
        size_t length = (size_t)utf8proc_encode_char(code, bytes);
        assert_int_equal(text_normalise(normaliser, &scratch, (const char *)bytes, length, NULL), RL_OK);
        append(&stream, &scratch.codes);
    }
    uint64_t digest = rl_hash64(stream.data, stream.count * sizeof *stream.data);
    text_codes_free(&stream);
    text_scratch_free(&scratch);
    return digest;
}

/* Pieces that byte-level BPE makes of a letter, a digit and a sign with the code point behind. */
static uint64_t pieces_digest(int32_t plane)
{
    text_codes stream = {0};
    for (int32_t code = plane << 16; code < (plane + 1) << 16; code++)
        for (int i = 0; i < 3 && !(code >= 0xd800 && code < 0xe000); i++) {
            char text[8] = {"a1!"[i]};
            const char *at = text, *end = text + 1 + utf8proc_encode_char(code, (utf8proc_uint8_t *)text + 1);
            int32_t count = 0;
            for (; at < end; count++) at = text_piece_end(at, end);
            assert_int_equal(text_codes_push(&stream, count, NULL), RL_OK);
        }
    uint64_t digest = rl_hash64(stream.data, stream.count * sizeof *stream.data);
    text_codes_free(&stream);
    return digest;
}

static void test_all_planes(void **state)
{
    static const text_normaliser settings[] = {
        {true, true, true, true}, {true, true, false, false}, {true, true, false, true}, {.strip_accents = true}};
    static const char initials[] = "uckr"; /* uncased, cased, kept (lower case, accents kept), raw */
    FILE *file = fopen(support_file("golden/text/codepoints.txt"), "r");
    char name[16];
    int plane, count = 0;
    unsigned long long expected;
    (void)state;
    assert_non_null(file);
    for (; fscanf(file, "%15s %d %llx", name, &plane, &expected) == 3; count++) {
        const char *setting = strchr(initials, name[0]); /* else "pieces" */
        uint64_t digest = setting ? plane_digest(&settings[setting - initials], plane) : pieces_digest(plane);
        if (digest != expected) print_error("%s, plane %d\n", name, plane);
        assert_true(digest == expected);
    }
    fclose(file);
    assert_int_equal(count, 5 * 17);
}

/* Marks that survive strip_accents (category Mc) come out in canonical order; those younger than the tables stay put.
 */
static void test_order_of_marks(void **state)
{
    static const text_normaliser uncased = {true, true, true, true};
    static const struct {
        const char *text;
        int32_t codes[4];
        size_t count;
    } cases[] = {
        {"a\xf0\x9d\x85\xad\xf0\x9d\x85\xa5", {'a', 0x1d165, 0x1d16d}, 3},    /* 1D16D (226), 1D165 (216) */
        {"a\xe3\x80\xae\xcc\x81\xf0\x9d\x85\xa5", {'a', 0x1d165, 0x302e}, 3}, /* around a mark that goes */
        {"a\xf0\x9d\x85\xad"
         "b\xf0\x9d\x85\xa5",
         {'a', 0x1d16d, 'b', 0x1d165},
         4},                                                                   /* a letter between */
        {"\xe3\x80\xae\xe1\xab\x83\xe3\x80\xae", {0x302e, 0x1ac3, 0x302e}, 3}, /* 1AC3 (220): Unicode 14 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_scratch scratch = {0};
        assert_int_equal(text_normalise(&uncased, &scratch, cases[i].text, strlen(cases[i].text), NULL), RL_OK);
        assert_int_equal(scratch.codes.count, cases[i].count);
        for (size_t c = 0; c < cases[i].count; c++) assert_int_equal(scratch.codes.data[c], cases[i].codes[c]);
        text_scratch_free(&scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_planes), cmocka_unit_test(test_order_of_marks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
