/* normalise.c -- BertNormalizer of the tokenizers package (tokenizers/src/normalizers/bert.rs), code point by code
 * point: clean_text, handle_chinese_chars, strip_accents (NFD without marks), lowercase, in this order. */
#include "text_internal.h"

#include <utf8proc.h>

enum {
    REPLACEMENT = 0xfffd,
    CAPITAL_I_WITH_DOT = 0x130,
    COMBINING_DOT_ABOVE = 0x307,
    LATE_DECOMPOSITION = 0x11938, /* DIVES AKURU VOWEL SIGN O, Unicode 13: whole to tokenizers */
    LONGEST_DECOMPOSITION = 32
};

static bool is_dropped(int32_t code)
{
    if (code == '\t' || code == '\n' || code == '\r') return false;
    return code == 0 || code == REPLACEMENT || text_is_other(code);
}

/* clean_text and handle_chinese_chars: text -> codes. */
static rl_status clean(const text_normaliser *normaliser, text_codes *codes, const char *text, size_t length,
                       rl_error *err)
{
    rl_status status = RL_OK;
    for (const char *next = text, *end = text + length; next < end;) {
        int32_t code = text_decode(&next, end);
        if (code < 0) return rl_fail(err, RL_ERR_INPUT, "a word is not UTF-8 at its byte %d", (int)(next - text) + 1);
        if (normaliser->clean_text && is_dropped(code)) continue;
        if (normaliser->clean_text && text_is_white_space(code)) code = ' ';
        bool alone = normaliser->chinese && text_is_chinese(code);
        if (alone) RL_TRY(text_codes_push(codes, ' ', err));
        RL_TRY(text_codes_push(codes, code, err));
        if (alone) RL_TRY(text_codes_push(codes, ' ', err));
    }
cleanup:
    return status;
}

/* -------------------------------------------------------------------------------------------- strip accents */

static rl_status decompose(text_codes *out, int32_t code, rl_error *err)
{
    utf8proc_int32_t parts[LONGEST_DECOMPOSITION];
    int boundary_class = 0;
    if (code < 0xc0 || code == LATE_DECOMPOSITION) return text_codes_push(out, code, err);
    utf8proc_ssize_t count = utf8proc_decompose_char(code, parts, LONGEST_DECOMPOSITION,
                                                     UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary_class);
    if (count < 0 || count > LONGEST_DECOMPOSITION) return text_codes_push(out, code, err); /* not assigned */
    rl_status status = RL_OK;
    for (utf8proc_ssize_t i = 0; i < count && status == RL_OK; i++) status = text_codes_push(out, parts[i], err);
    return status;
}

/* A mark encoded after tokenizers' tables (Unicode 9) is an ordinary character to it, also here. */
static int combining_class(int32_t code)
{
    return text_is_ordered_mark(code) ? utf8proc_get_property(code)->combining_class : 0;
}

/* Canonical ordering (UAX 15): a stable insertion sort of every run of marks by combining class. */
static void order_marks(text_codes *codes)
{
    for (size_t i = 1; i < codes->count; i++) {
        int32_t code = codes->data[i];
        int class = combining_class(code);
        size_t place = i;
        if (class == 0) continue;
        for (; place > 0 && combining_class(codes->data[place - 1]) > class; place--)
            codes->data[place] = codes->data[place - 1];
        codes->data[place] = code;
    }
}

static rl_status strip_accents(text_scratch *scratch, rl_error *err)
{
    text_codes *from = &scratch->codes, *to = &scratch->decomposed;
    rl_status status = RL_OK;
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) RL_TRY(decompose(to, from->data[i], err));
    order_marks(to);
    from->count = 0;
    for (size_t i = 0; i < to->count; i++)
        if (!text_is_nonspacing_mark(to->data[i])) RL_TRY(text_codes_push(from, to->data[i], err));
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------ lowercase */

/* Unicode's full lower case without context: one to one, except that I with a dot becomes i and a dot. */
static rl_status lowercase(text_scratch *scratch, rl_error *err)
{
    text_codes *from = &scratch->codes, *to = &scratch->decomposed;
    rl_status status = RL_OK;
    to->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        bool dotted = from->data[i] == CAPITAL_I_WITH_DOT;
        RL_TRY(text_codes_push(to, dotted ? 'i' : text_lower(from->data[i]), err));
        if (dotted) RL_TRY(text_codes_push(to, COMBINING_DOT_ABOVE, err));
    }
    text_codes swap = *from;
    *from = *to;
    *to = swap;
cleanup:
    return status;
}

rl_status text_normalise(const text_normaliser *normaliser, text_scratch *scratch, const char *text, size_t length,
                         rl_error *err)
{
    rl_status status = RL_OK;
    scratch->codes.count = 0;
    RL_TRY(clean(normaliser, &scratch->codes, text, length, err));
    if (normaliser->strip_accents) RL_TRY(strip_accents(scratch, err));
    if (normaliser->lowercase) RL_TRY(lowercase(scratch, err));
cleanup:
    return status;
}

void text_scratch_free(text_scratch *scratch)
{
    text_codes_free(&scratch->codes);
    text_codes_free(&scratch->decomposed);
    rl_buffer_free(&scratch->utf8);
    rl_free(scratch->boundary);
    rl_free(scratch->symbols);
    rl_free(scratch->candidates);
    *scratch = (text_scratch){0};
}
