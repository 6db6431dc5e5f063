/* vocabulary.c -- tokens -> ids, as one table for first pieces and one for the rest; vocab.txt. */
#include "text_internal.h"

#include <string.h>

enum { MAX_ID = 1 << 24 }; /* no vocabulary comes near; keeps the tables of a damaged file small */

rl_status text_vocabulary_add(text_vocabulary *vocabulary, const char *token, size_t length, int32_t id, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t place;
    if (!vocabulary->names) RL_TRY(rl_names_create(&vocabulary->names, err));
    RL_TRY(rl_names_intern(vocabulary->names, token, length, &place, err));
    if ((size_t)place >= vocabulary->capacity) {
        size_t capacity = (size_t)place * 2 + 64;
        int32_t *grown = rl_regrow(vocabulary->ids, vocabulary->capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        vocabulary->ids = grown;
        vocabulary->capacity = capacity;
    }
    vocabulary->ids[place] = id;
    if (length > vocabulary->longest) vocabulary->longest = length;
cleanup:
    return status;
}

int32_t text_vocabulary_find(const text_vocabulary *vocabulary, const char *token, size_t length)
{
    int32_t place = vocabulary->names ? rl_names_find(vocabulary->names, token, length) : -1;
    return place < 0 ? -1 : vocabulary->ids[place];
}

/* A token of the vocabulary proper: findable as it is written, and behind other pieces when it has the prefix. */
rl_status text_add_piece(rl_tokenizer *tokenizer, const char *token, size_t length, int32_t id, rl_error *err)
{
    rl_status status = RL_OK;
    size_t prefix = strlen(tokenizer->prefix);
    if (id < 0 || id >= MAX_ID)
        return rl_fail(err, RL_ERR_INPUT, "%s: token '%.100s' has the id %d; 0 to %d were expected", tokenizer->path,
                       token, id, MAX_ID - 1);
    RL_TRY(text_vocabulary_add(&tokenizer->whole, token, length, id, err));
    if (length > prefix && memcmp(token, tokenizer->prefix, prefix) == 0)
        RL_TRY(text_vocabulary_add(&tokenizer->continuing, token + prefix, length - prefix, id, err));
    if (id >= tokenizer->num_ids) tokenizer->num_ids = id + 1;
cleanup:
    return status;
}

/* Trailing white space does not belong to a token (tokenizers' read_file: trim_end). */
static size_t trimmed_length(const char *line, size_t length)
{
    while (length > 0) {
        size_t last = length - 1;
        while (((unsigned char)line[last] & 0xc0) == 0x80) last--;
        const char *next = line + last;
        if (!text_is_white_space(text_decode(&next, line + length))) break;
        length = last;
    }
    return length;
}

static rl_status add_line(rl_tokenizer *tokenizer, const text_lines *lines, rl_error *err)
{
    size_t length = trimmed_length(lines->line, lines->length);
    int32_t first = text_vocabulary_find(&tokenizer->whole, lines->line, length);
    if (first >= 0 && length == 0)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, 1,
                          "a second empty line, after line %d; one token a line was expected", first + 1);
    if (first >= 0)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, 1,
                          "duplicate token '%.*s', first in line %d; every token was expected once",
                          (int)(length > 100 ? 100 : length), lines->line, first + 1);
    if (lines->number > MAX_ID)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, 1, "more than %d tokens", MAX_ID);
    return text_add_piece(tokenizer, lines->line, length, (int32_t)lines->number - 1, err);
}

rl_status text_load_vocab_txt(rl_tokenizer *tokenizer, const char *path, rl_error *err)
{
    text_lines lines = {0};
    rl_status status = RL_OK;
    RL_TRY(text_lines_open(&lines, path, err));
    for (bool more;;) {
        RL_TRY(text_lines_next(&lines, &more, err));
        if (!more) break;
        RL_TRY(add_line(tokenizer, &lines, err));
    }
    if (tokenizer->num_ids == 0)
        status = rl_fail(err, RL_ERR_INPUT, "%s: an empty vocabulary; one token a line was expected", path);
cleanup:
    text_lines_close(&lines);
    return status;
}
