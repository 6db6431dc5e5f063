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

static void test_all_planes(void **state)
{
    static const text_normaliser uncased = {true, true, true, true}, cased = {true, true, false, false}, raw = {.strip_accents = true};
    FILE *file = fopen(support_file("golden/text/codepoints.txt"), "r");
    char name[16];
    int plane, count = 0;
    unsigned long long expected;
    (void)state;
    assert_non_null(file);
    for (; fscanf(file, "%15s %d %llx", name, &plane, &expected) == 3; count++) {
        const text_normaliser *normaliser = name[0] == 'u' ? &uncased : name[0] == 'c' ? &cased : &raw;
        uint64_t digest = plane_digest(normaliser, plane);
        if (digest != expected) print_error("%s, plane %d\n", name, plane);
        assert_true(digest == expected);
    }
    fclose(file);
    assert_int_equal(count, 3 * 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_planes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
