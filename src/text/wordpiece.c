/* wordpiece.c -- one word of a corpus -> ids; byte-level BPE takes over behind the added tokens (byte_pairs.c).
 *
 * The pipeline of Hugging Face's fast BERT tokenizers: added tokens ("[SEP]") are cut out of the raw text, the rest is
 * normalised, added tokens of the normalised kind are cut out of that, what remains is split at white space and around
 * every punctuation sign, and each part goes through WordPiece: greedy, longest match first. */
#include "text_internal.h"

#include <string.h>
#include <utf8proc.h>

rl_status text_id_push(rl_id_list *list, int32_t id, rl_error *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        int32_t *grown = rl_regrow(list->ids, list->count, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        list->ids = grown;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return RL_OK;
}

/* --------------------------------------------------------------------------------------------- wordpiece */

/* codes -> scratch->utf8 with the byte offset of every character, so that pieces are slices. */
static rl_status write_utf8(text_scratch *scratch, const int32_t *codes, size_t count, rl_error *err)
{
    rl_status status = RL_OK;
    if (count + 1 > scratch->boundary_capacity) {
        size_t *grown = rl_regrow(scratch->boundary, 0, 2 * count + 64, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        scratch->boundary = grown;
        scratch->boundary_capacity = 2 * count + 64;
    }
    scratch->utf8.length = 0;
    for (size_t i = 0; i < count; i++) {
        utf8proc_uint8_t bytes[4];
        scratch->boundary[i] = scratch->utf8.length;
        RL_TRY(rl_buffer_append(&scratch->utf8, bytes, (size_t)utf8proc_encode_char(codes[i], bytes), err));
    }
    scratch->boundary[count] = scratch->utf8.length;
cleanup:
    return status;
}

/* The longest known piece that starts at character `from`: its id, *end behind it; -1 when there is none. */
static int32_t longest_piece(const rl_tokenizer *tokenizer, const text_scratch *scratch, size_t from, size_t count,
                             size_t *end)
{
    const text_vocabulary *vocabulary = from == 0 ? &tokenizer->whole : &tokenizer->continuing;
    const char *start = scratch->utf8.data + scratch->boundary[from];
    for (size_t to = count; to > from; to--) {
        size_t length = scratch->boundary[to] - scratch->boundary[from];
        int32_t id = length > vocabulary->longest ? -1 : text_vocabulary_find(vocabulary, start, length);
        if (id < 0) continue;
        *end = to;
        return id;
    }
    return -1;
}

static rl_status encode_part(const rl_tokenizer *tokenizer, text_scratch *scratch, const int32_t *codes, size_t count,
                             rl_id_list *out, rl_error *err)
{
    size_t before = out->count;
    rl_status status = RL_OK;
    if (count > (size_t)tokenizer->max_word_characters) return text_id_push(out, tokenizer->special.unk, err);
    RL_TRY(write_utf8(scratch, codes, count, err));
    for (size_t from = 0; from < count;) {
        int32_t id = longest_piece(tokenizer, scratch, from, count, &from);
        if (id < 0) { /* no way on: the whole part is unknown */
            out->count = before;
            return text_id_push(out, tokenizer->special.unk, err);
        }
        RL_TRY(text_id_push(out, id, err));
    }
cleanup:
    return status;
}

/* BertPreTokenizer on normalised text, then WordPiece on each part. */
static rl_status encode_parts(const rl_tokenizer *tokenizer, text_scratch *scratch, const int32_t *codes, size_t count,
                              rl_id_list *out, rl_error *err)
{
    rl_status status = RL_OK;
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        if (text_is_white_space(codes[i])) {
            i++;
            continue;
        }
        if (!text_is_punctuation(codes[i]))
            while (end < count && !text_is_white_space(codes[end]) && !text_is_punctuation(codes[end])) end++;
        RL_TRY(encode_part(tokenizer, scratch, codes + i, end - i, out, err));
        i = end;
    }
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------ added tokens */

static const text_added_token *match_raw(const rl_tokenizer *tokenizer, const char *text, size_t left)
{
    const text_added_token *best = NULL;
    if (!tokenizer->raw_start[(unsigned char)*text]) return NULL;
    for (size_t i = 0; i < tokenizer->num_added; i++) {
        const text_added_token *token = &tokenizer->added[i];
        if (token->normalised || token->length > left || (best && best->length >= token->length)) continue;
        if (memcmp(token->content, text, token->length) == 0) best = token;
    }
    return best;
}

static const text_added_token *match_normalised(const rl_tokenizer *tokenizer, const int32_t *codes, size_t left)
{
    const text_added_token *best = NULL;
    for (size_t i = 0; i < tokenizer->num_added; i++) {
        const text_added_token *token = &tokenizer->added[i];
        if (!token->normalised || token->num_codes == 0 || token->num_codes > left) continue;
        if (best && best->num_codes >= token->num_codes) continue;
        if (memcmp(token->codes, codes, token->num_codes * sizeof *codes) == 0) best = token;
    }
    return best;
}

static rl_status encode_normalised(const rl_tokenizer *tokenizer, text_scratch *scratch, rl_id_list *out, rl_error *err)
{
    rl_status status = RL_OK;
    const int32_t *codes = scratch->codes.data;
    size_t start = 0, count = scratch->codes.count;
    for (size_t i = 0; tokenizer->any_normalised && i < count;) {
        const text_added_token *token = match_normalised(tokenizer, codes + i, count - i);
        if (!token) {
            i++;
            continue;
        }
        RL_TRY(encode_parts(tokenizer, scratch, codes + start, i - start, out, err));
        RL_TRY(text_id_push(out, token->id, err));
        start = i += token->num_codes;
    }
    RL_TRY(encode_parts(tokenizer, scratch, codes + start, count - start, out, err));
cleanup:
    return status;
}

static rl_status encode_raw(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *text, size_t length,
                            rl_id_list *out, rl_error *err)
{
    if (length == 0) return RL_OK;
    if (tokenizer->pairs) return text_encode_byte_pairs(tokenizer, scratch, text, length, out, err);
    rl_status status = text_normalise(&tokenizer->normaliser, scratch, text, length, err);
    if (status != RL_OK || scratch->codes.count == 0) return status;
    return encode_normalised(tokenizer, scratch, out, err);
}

/* Length of text[0 .. length) without the white space at its end. */
static size_t without_space_behind(const char *text, size_t length)
{
    while (length > 0) {
        size_t last = length - 1;
        while (last > 0 && ((unsigned char)text[last] & 0xc0) == 0x80) last--;
        const char *next = text + last;
        if (!text_is_white_space(text_decode(&next, text + length))) break;
        length = last;
    }
    return length;
}

static size_t space_before(const char *text, size_t length)
{
    const char *at = text, *next = text, *end = text + length;
    while (next < end && text_is_white_space(text_decode(&next, end))) at = next;
    return (size_t)(at - text);
}

rl_status text_encode(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *word, size_t length,
                      rl_id_list *out, rl_error *err)
{
    rl_status status = RL_OK;
    size_t start = 0;
    for (size_t i = 0; i < length;) {
        const text_added_token *token = match_raw(tokenizer, word + i, length - i);
        if (!token) {
            i++;
            continue;
        }
        size_t before = token->lstrip ? without_space_behind(word + start, i - start) : i - start;
        RL_TRY(encode_raw(tokenizer, scratch, word + start, before, out, err));
        RL_TRY(text_id_push(out, token->id, err));
        i += token->length;
        if (token->rstrip) i += space_before(word + i, length - i);
        start = i;
    }
    RL_TRY(encode_raw(tokenizer, scratch, word + start, length - start, out, err));
cleanup:
    return status;
}

rl_status rl_tokenizer_encode_word(const rl_tokenizer *tokenizer, const char *word, size_t length, rl_id_list *out,
                                   rl_error *err)
{
    text_scratch scratch = {0};
    size_t before = out->count;
    rl_status status = text_encode(tokenizer, &scratch, word, length, out, err);
    if (status != RL_OK) out->count = before;
    text_scratch_free(&scratch);
    return status;
}
