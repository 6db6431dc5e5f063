/* byte_pair_files.c -- a byte-level BPE's vocabulary and merges: vocab.json with merges.txt, or tokenizer.json's model.
 *
 * The files write a byte as a printable character: '!'..'~', U+00A1..U+00AC and U+00AE..U+00FF stand for themselves, the
 * other 68 for U+0100, U+0101, .. in order (GPT-2's bytes_to_unicode). */
#include "text_internal.h"

#include <string.h>
#include <utf8proc.h>

/* ------------------------------------------------------------------------------------------------- bytes */

static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* The character that a byte is written as. */
static int32_t character_of(int byte)
{
    int32_t others = 0;
    if (stands_for_itself(byte)) return byte;
    for (int b = 0; b < byte; b++) others += !stands_for_itself(b);
    return 0x100 + others;
}

static size_t write_byte(char *to, int byte)
{
    return (size_t)utf8proc_encode_char(character_of(byte), (utf8proc_uint8_t *)to);
}

static void settle_bytes(const rl_tokenizer *tokenizer, text_byte_pairs *pairs)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        pairs->byte_id[byte] = text_vocabulary_find(&tokenizer->whole, text, write_byte(text, byte));
    }
}

int32_t text_find_bytes(const rl_tokenizer *tokenizer, const char *bytes, size_t length)
{
    char text[512];
    size_t used = 0;
    if (2 * length > sizeof text || length > tokenizer->whole.longest) return -1; /* a character takes at most 2 bytes */
    for (size_t i = 0; i < length; i++) used += write_byte(text + used, (unsigned char)bytes[i]);
    return text_vocabulary_find(&tokenizer->whole, text, used);
}

/* ------------------------------------------------------------------------------------------------ merges */

static rl_status reserve_merges(text_byte_pairs *pairs, size_t count, rl_error *err)
{
    rl_status status = RL_OK;
    size_t places = 64;
    while (places < 2 * count) places *= 2;
    RL_ALLOC(pairs->merges, places, err);
    pairs->num_places = places;
    for (size_t i = 0; i < places; i++) pairs->merges[i].rank = -1;
cleanup:
    return status;
}

/* A pair that is listed twice has its last rank, as in tokenizers. */
static void put_merge(text_byte_pairs *pairs, int32_t left, int32_t right, int32_t id)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = rl_hash64(&pair, sizeof pair) & (pairs->num_places - 1);
    while (pairs->merges[at].rank >= 0 && pairs->merges[at].pair != pair) at = (at + 1) & (pairs->num_places - 1);
    pairs->merges[at] = (text_merge){.pair = pair, .rank = pairs->num_merges++, .id = id};
}

/* The symbols of a merge and what they make are tokens; place: the line of merges.txt or the index in the list. */
static rl_status add_merge(rl_tokenizer *tokenizer, const char *path, long place, const char *left, size_t left_length,
                           const char *right, size_t right_length, rl_error *err)
{
    char joined[1024];
    int32_t ids[3];
    const char *part[] = {left, right, joined};
    size_t length[] = {left_length, right_length, left_length + right_length};
    if (length[2] > sizeof joined)
        return rl_fail_at(err, RL_ERR_INPUT, path, place, 1, "a merge of %zu bytes; at most %zu were expected", length[2],
                          sizeof joined);
    memcpy(joined, left, left_length);
    memcpy(joined + left_length, right, right_length);
    for (int i = 0; i < 3; i++) {
        ids[i] = text_vocabulary_find(&tokenizer->whole, part[i], length[i]);
        if (ids[i] < 0)
            return rl_fail_at(err, RL_ERR_INPUT, path, place, 1,
                              "the merge of '%.*s' and '%.*s' needs '%.*s', which is not in the vocabulary",
                              (int)left_length, left, (int)right_length, right, (int)length[i], part[i]);
    }
    put_merge(tokenizer->pairs, ids[0], ids[1], ids[2]);
    return RL_OK;
}

/* "left right"; place as above. */
static rl_status add_merge_text(rl_tokenizer *tokenizer, const char *path, long place, const char *text, size_t length,
                                rl_error *err)
{
    const char *space = memchr(text, ' ', length), *end = text + length;
    if (!space || space == text || space + 1 == end || memchr(space + 1, ' ', (size_t)(end - space - 1)))
        return rl_fail_at(err, RL_ERR_INPUT, path, place, 1,
                          "'%.*s' is not a merge; two symbols with a space between were expected",
                          (int)(length > 100 ? 100 : length), text);
    return add_merge(tokenizer, path, place, text, (size_t)(space - text), space + 1, (size_t)(end - space - 1), err);
}

static rl_status count_lines(size_t *count, const char *path, rl_error *err)
{
    text_lines lines = {0};
    rl_status status = RL_OK;
    RL_TRY(text_lines_open(&lines, path, err));
    for (bool more = true; more; (*count)++) RL_TRY(text_lines_next(&lines, &more, err));
cleanup:
    text_lines_close(&lines);
    return status;
}

/* merges.txt: a line "#version: ..." first, then a merge a line; a blank line may end it. */
static rl_status read_merges_file(rl_tokenizer *tokenizer, const char *path, rl_error *err)
{
    text_lines lines = {0};
    rl_status status = RL_OK;
    size_t count = 0;
    RL_TRY(count_lines(&count, path, err));
    RL_TRY(reserve_merges(tokenizer->pairs, count, err));
    RL_TRY(text_lines_open(&lines, path, err));
    for (bool more;;) {
        RL_TRY(text_lines_next(&lines, &more, err));
        if (!more) break;
        if (lines.length == 0 || (lines.length >= 8 && memcmp(lines.line, "#version", 8) == 0)) continue;
        RL_TRY(add_merge_text(tokenizer, path, lines.number, lines.line, lines.length, err));
    }
cleanup:
    text_lines_close(&lines);
    return status;
}

/* "a b", or since tokenizers 0.20 ["a", "b"]. */
static rl_status read_merges_json(rl_tokenizer *tokenizer, const char *path, const json_t *list, rl_error *err)
{
    rl_status status = RL_OK;
    if (!json_is_array(list)) return rl_fail(err, RL_ERR_INPUT, "%s: model.merges is not an array", path);
    RL_TRY(reserve_merges(tokenizer->pairs, json_array_size(list), err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i), *left = json_array_get(item, 0), *right = json_array_get(item, 1);
        if (json_is_string(item))
            RL_TRY(add_merge_text(tokenizer, path, 0, json_string_value(item), json_string_length(item), err));
        else if (json_array_size(item) == 2 && json_is_string(left) && json_is_string(right))
            RL_TRY(add_merge(tokenizer, path, 0, json_string_value(left), json_string_length(left),
                             json_string_value(right), json_string_length(right), err));
        else
            return rl_fail(err, RL_ERR_INPUT, "%s: model.merges[%zu] is not a pair; \"a b\" or [\"a\", \"b\"] was expected",
                           path, i);
    }
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------- files */

static rl_status create(rl_tokenizer *tokenizer, rl_error *err)
{
    rl_status status = RL_OK;
    tokenizer->prefix[0] = '\0'; /* no piece is special for not being a word's first */
    RL_ALLOC(tokenizer->pairs, 1, err);
    tokenizer->pairs->unk = -1;
cleanup:
    return status;
}

void text_byte_pairs_free(text_byte_pairs *pairs)
{
    if (pairs) rl_free(pairs->merges);
    rl_free(pairs);
}

rl_status text_load_byte_pair_files(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *vocab = NULL;
    rl_tokenizer *tokenizer = loading->tokenizer;
    RL_TRY(create(tokenizer, err));
    RL_TRY(rl_json_read(&vocab, loading->vocab_path, err));
    RL_TRY(text_read_vocabulary(tokenizer, loading->vocab_path, "the file", vocab, err));
    settle_bytes(tokenizer, tokenizer->pairs);
    RL_TRY(read_merges_file(tokenizer, loading->merges_path, err));
cleanup:
    json_decref(vocab);
    return status;
}

/* Settings of the BPE model that would change ids and that neither family uses. */
static rl_status refuse_settings(const json_t *model, const char *path, rl_error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    rl_status status = RL_OK;
    bool fallback = false, fuse = false;
    RL_TRY(text_json_bool(model, "byte_fallback", path, &fallback, err));
    RL_TRY(text_json_bool(model, "fuse_unk", path, &fuse, err));
    for (size_t i = 0; i < 2; i++) {
        const char *affix = "";
        RL_TRY(text_json_string(model, affixes[i], path, &affix, err));
        if (affix[0])
            return rl_fail(err, RL_ERR_INPUT, "%s: model.%s is '%.60s'; byte-level BPE has none", path, affixes[i],
                           affix);
    }
    const json_t *dropout = json_object_get(model, "dropout");
    if (fallback || (dropout && !json_is_null(dropout)) || (fuse && json_is_string(json_object_get(model, "unk_token"))))
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: model.byte_fallback, model.fuse_unk or model.dropout is set; byte-level BPE as GPT-2's was "
                         "expected, without them",
                         path);
cleanup:
    return status;
}

rl_status text_load_byte_pair_model(text_loading *loading, const json_t *model, rl_error *err)
{
    rl_status status = RL_OK;
    rl_tokenizer *tokenizer = loading->tokenizer;
    const char *unk = NULL;
    RL_TRY(create(tokenizer, err));
    RL_TRY(refuse_settings(model, loading->json_path, err));
    RL_TRY(text_json_string(model, "unk_token", loading->json_path, &unk, err));
    RL_TRY(text_json_bool(model, "ignore_merges", loading->json_path, &tokenizer->pairs->whole_first, err));
    RL_TRY(text_read_vocabulary(tokenizer, loading->json_path, "model.vocab", json_object_get(model, "vocab"), err));
    settle_bytes(tokenizer, tokenizer->pairs);
    if (unk) tokenizer->pairs->unk = text_vocabulary_find(&tokenizer->whole, unk, strlen(unk));
    RL_TRY(read_merges_json(tokenizer, loading->json_path, json_object_get(model, "merges"), err));
cleanup:
    return status;
}
