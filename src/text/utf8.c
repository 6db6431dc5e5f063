/* utf8.c -- code points: decoding through utf8proc, and the character classes that tokenizers uses. */
#include "text_internal.h"

#include <utf8proc.h>

enum { FIRST_CAPACITY = 64 };

rl_status text_codes_push(text_codes *codes, int32_t code, rl_error *err)
{
    if (codes->count == codes->capacity) {
        size_t capacity = codes->capacity ? codes->capacity * 2 : FIRST_CAPACITY;
        int32_t *grown = rl_regrow(codes->data, codes->count, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        codes->data = grown;
        codes->capacity = capacity;
    }
    codes->data[codes->count++] = code;
    return RL_OK;
}

void text_codes_free(text_codes *codes)
{
    rl_free(codes->data);
    *codes = (text_codes){0};
}

int32_t text_decode(const char **text, const char *end)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)*text, end - *text, &code);
    if (used <= 0) return -1;
    *text += used;
    return code;
}

int64_t text_invalid_utf8(const char *text, size_t length)
{
    const char *next = text, *end = text + length;
    while (next < end) {
        if ((unsigned char)*next < 0x80)
            next++;
        else if (text_decode(&next, end) < 0)
            return next - text;
    }
    return -1;
}

/* ----------------------------------------------------------------------------------- character classes */

static bool in_ranges(const text_range *ranges, size_t count, int32_t code)
{
    size_t low = 0, high = count; /* the first range whose last is not below code */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= code;
}

bool text_is_other(int32_t code) { return in_ranges(text_other_ranges, text_num_other_ranges, code); }

bool text_is_nonspacing_mark(int32_t code)
{
    return code >= 0x300 && in_ranges(text_nonspacing_ranges, text_num_nonspacing_ranges, code);
}

bool text_is_ordered_mark(int32_t code)
{
    return code >= 0x300 && in_ranges(text_ordered_ranges, text_num_ordered_ranges, code);
}

bool text_is_letter(int32_t code) { return in_ranges(text_letter_ranges, text_num_letter_ranges, code); }

bool text_is_number(int32_t code) { return in_ranges(text_number_ranges, text_num_number_ranges, code); }

bool text_is_punctuation(int32_t code) { return in_ranges(text_punctuation_ranges, text_num_punctuation_ranges, code); }

/* White_Space, stable since Unicode 6.3 (PropList.txt). */
bool text_is_white_space(int32_t code)
{
    if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool text_is_python_space(int32_t code) { return text_is_white_space(code) || (code >= 0x1c && code <= 0x1f); }

/* BERT's blocks as tokenizers has them: extension E starts at 2B920 there (2B820 in BERT's Python), and ids follow it.
 */
bool text_is_chinese(int32_t code)
{
    static const text_range blocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},  {0x20000, 0x2a6df},
                                        {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};
    return code >= 0x3400 && in_ranges(blocks, sizeof blocks / sizeof *blocks, code);
}

int32_t text_lower(int32_t code)
{
    if (code < 0x80) return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
    for (size_t i = 0; i < text_num_late_case_ranges; i++) {
        const text_case_range *range = &text_late_case_ranges[i];
        if (code >= range->first && code <= range->last && (code - range->first) % range->step == 0)
            return code + range->delta;
    }
    return utf8proc_tolower(code);
}
