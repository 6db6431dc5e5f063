/* byte_pairs.c -- byte-level BPE of GPT-2 and RoBERTa: text -> pieces -> bytes -> merged symbols -> ids.
 *
 * Equal to the ByteLevel pre-tokenizer and BPE model of the tokenizers package (tokenizers/src/models/bpe/word.rs). Words
 * are split already, so each gets a space before it, as transformers demands of such input (add_prefix_space). */
#include "text_internal.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------ pieces */

typedef enum piece_class { LETTER, NUMBER, SPACE, OTHER } piece_class;

static piece_class class_of(int32_t code)
{
    if (text_is_letter(code)) return LETTER;
    if (text_is_number(code)) return NUMBER;
    return text_is_white_space(code) ? SPACE : OTHER;
}

/* End of the run of one class that starts at text; *last is where its last character starts. */
static const char *run_end(const char *text, const char *end, piece_class class, const char **last)
{
    while (text < end) {
        const char *next = text;
        if (class_of(text_decode(&next, end)) != class) break;
        *last = text;
        text = next;
    }
    return text;
}

/* 's 't 're 've 'm 'll 'd, in this order; its length, or 0. */
static size_t contraction(const char *text, const char *end)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(endings[i]);
        if ((size_t)(end - text) >= length && memcmp(text, endings[i], length) == 0) return length;
    }
    return 0;
}

/* GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
const char *text_piece_end(const char *text, const char *end)
{
    const char *next = text, *last = text;
    size_t ending = contraction(text, end);
    if (ending) return text + ending;
    int32_t code = text_decode(&next, end);
    if (code == ' ' && next < end) {
        const char *after = next;
        piece_class following = class_of(text_decode(&after, end));
        if (following != SPACE) return run_end(next, end, following, &last);
    }
    piece_class class = class_of(code);
    const char *stop = run_end(text, end, class, &last);
    /* White space before a word leaves it its last character, unless that is all there is. */
    return class == SPACE && stop < end && last > text ? last : stop;
}

/* ------------------------------------------------------------------------------------------------ merges */

static const text_merge *find_merge(const text_byte_pairs *pairs, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    if (!pairs->num_places) return NULL;
    for (size_t at = rl_hash64(&pair, sizeof pair);; at++) {
        const text_merge *merge = &pairs->merges[at & (pairs->num_places - 1)];
        if (merge->rank < 0) return NULL;
        if (merge->pair == pair) return merge;
    }
}

static bool comes_before(text_candidate a, text_candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(text_scratch *scratch, text_candidate candidate)
{
    size_t at = scratch->num_candidates++;
    for (; at > 0 && comes_before(candidate, scratch->candidates[(at - 1) / 2]); at = (at - 1) / 2)
        scratch->candidates[at] = scratch->candidates[(at - 1) / 2];
    scratch->candidates[at] = candidate;
}

static text_candidate heap_pop(text_scratch *scratch)
{
    text_candidate first = scratch->candidates[0], moved = scratch->candidates[--scratch->num_candidates];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < scratch->num_candidates; at = child) {
        if (child + 1 < scratch->num_candidates &&
            comes_before(scratch->candidates[child + 1], scratch->candidates[child]))
            child++;
        if (!comes_before(scratch->candidates[child], moved)) break;
        scratch->candidates[at] = scratch->candidates[child];
    }
    scratch->candidates[at] = moved;
    return first;
}

static void propose(const text_byte_pairs *pairs, text_scratch *scratch, int32_t left)
{
    const text_symbol *symbol = left < 0 ? NULL : &scratch->symbols[left];
    if (!symbol || symbol->next < 0) return;
    const text_merge *merge = find_merge(pairs, symbol->id, scratch->symbols[symbol->next].id);
    if (merge) heap_push(scratch, (text_candidate){.rank = merge->rank, .at = left, .id = merge->id});
}

/* One merge, unless its symbols have changed since it was proposed. */
static void apply(const text_byte_pairs *pairs, text_scratch *scratch, text_candidate candidate)
{
    text_symbol *symbol = &scratch->symbols[candidate.at];
    if (symbol->id < 0 || symbol->next < 0) return;
    text_symbol *right = &scratch->symbols[symbol->next];
    const text_merge *merge = find_merge(pairs, symbol->id, right->id);
    if (!merge || merge->id != candidate.id) return;
    symbol->id = candidate.id;
    symbol->next = right->next;
    right->id = -1;
    if (symbol->next >= 0) scratch->symbols[symbol->next].previous = candidate.at;
    propose(pairs, scratch, symbol->previous);
    propose(pairs, scratch, candidate.at);
}

static rl_status reserve_symbols(text_scratch *scratch, size_t count, rl_error *err)
{
    rl_status status = RL_OK;
    if (count <= scratch->symbol_capacity) return RL_OK;
    rl_free(scratch->symbols);
    rl_free(scratch->candidates);
    scratch->symbols = NULL, scratch->candidates = NULL;
    scratch->symbol_capacity = 0;
    RL_ALLOC(scratch->symbols, 2 * count, err);
    RL_ALLOC(scratch->candidates, 6 * count, err); /* one a symbol at first, two more at each of fewer merges */
    scratch->symbol_capacity = 2 * count;
cleanup:
    return status;
}

/* The piece's bytes as symbols, those without one left out or unknown; their number. */
static int32_t read_symbols(const text_byte_pairs *pairs, text_scratch *scratch, const char *piece, size_t length)
{
    int32_t count = 0;
    for (size_t i = 0; i < length; i++) {
        int32_t id = pairs->byte_id[(unsigned char)piece[i]];
        if (id < 0) id = pairs->unk;
        if (id < 0) continue;
        scratch->symbols[count] = (text_symbol){.id = id, .previous = count - 1, .next = count + 1};
        count++;
    }
    if (count) scratch->symbols[count - 1].next = -1;
    return count;
}

static rl_status merge_piece(const text_byte_pairs *pairs, text_scratch *scratch, const char *piece, size_t length,
                             rl_id_list *out, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(reserve_symbols(scratch, length, err));
    int32_t count = read_symbols(pairs, scratch, piece, length);
    scratch->num_candidates = 0;
    for (int32_t i = 0; i < count; i++) propose(pairs, scratch, i);
    while (scratch->num_candidates) apply(pairs, scratch, heap_pop(scratch));
    for (int32_t i = 0; i < count; i++)
        if (scratch->symbols[i].id >= 0) RL_TRY(text_id_push(out, scratch->symbols[i].id, err));
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------- text */

rl_status text_encode_byte_pairs(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *text, size_t length,
                                 rl_id_list *out, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t invalid = text_invalid_utf8(text, length);
    if (invalid >= 0)
        return rl_fail(err, RL_ERR_INPUT, "a word is not UTF-8 at its byte %lld", (long long)invalid + 1);
    scratch->utf8.length = 0;
    if (text[0] != ' ' && !scratch->bare) RL_TRY(rl_buffer_append(&scratch->utf8, " ", 1, err));
    RL_TRY(rl_buffer_append(&scratch->utf8, text, length, err));
    const char *at = scratch->utf8.data, *end = at + scratch->utf8.length;
    for (const char *stop; at < end; at = stop) {
        stop = text_piece_end(at, end);
        int32_t whole = tokenizer->pairs->whole_first ? text_find_bytes(tokenizer, at, (size_t)(stop - at)) : -1;
        if (whole >= 0)
            RL_TRY(text_id_push(out, whole, err));
        else
            RL_TRY(merge_piece(tokenizer->pairs, scratch, at, (size_t)(stop - at), out, err));
    }
cleanup:
    return status;
}
