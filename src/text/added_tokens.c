/* added_tokens.c -- tokens that are matched as a whole before all else: "[SEP]" and what a folder adds to it. */
#include "text_internal.h"

#include <inttypes.h>
#include <string.h>

int32_t text_token_id(const rl_tokenizer *tokenizer, const char *token)
{
    int32_t id = text_vocabulary_find(&tokenizer->whole, token, strlen(token));
    for (size_t i = 0; id < 0 && i < tokenizer->num_added; i++)
        if (strcmp(tokenizer->added[i].content, token) == 0) id = tokenizer->added[i].id;
    return id;
}

static rl_status reserve_token(rl_tokenizer *tokenizer, rl_error *err)
{
    if (tokenizer->num_added < tokenizer->added_capacity) return RL_OK;
    size_t capacity = tokenizer->added_capacity * 2 + 8;
    text_added_token *grown = rl_regrow(tokenizer->added, tokenizer->num_added, capacity, sizeof *grown, err);
    if (!grown) return RL_ERR_MEMORY;
    tokenizer->added = grown;
    tokenizer->added_capacity = capacity;
    return RL_OK;
}

rl_status text_add_token(rl_tokenizer *tokenizer, const char *path, const text_added_token *token, rl_error *err)
{
    rl_status status = RL_OK;
    const char *content = token->content;
    int32_t known = text_token_id(tokenizer, content);
    if (content[0] == '\0') return RL_OK; /* tokenizers ignores it */
    if (known >= 0 && known != token->id)
        return rl_fail(err, RL_ERR_INPUT, "%s: the added token '%.100s' has the id %d, but the vocabulary says %d",
                       path, content, token->id, known);
    for (size_t i = 0; i < tokenizer->num_added; i++)
        if (strcmp(tokenizer->added[i].content, content) == 0) return RL_OK; /* the first mention's flags hold */
    RL_TRY(reserve_token(tokenizer, err));
    text_added_token *own = &tokenizer->added[tokenizer->num_added];
    *own = *token;
    own->length = strlen(content);
    own->content = rl_strdup(content, err);
    if (!own->content) return RL_ERR_MEMORY;
    tokenizer->num_added++;
    if (own->id >= tokenizer->num_ids) tokenizer->num_ids = own->id + 1;
cleanup:
    return status;
}

rl_status text_add_special(rl_tokenizer *tokenizer, const char *path, const char *content, int32_t id, rl_error *err)
{
    text_added_token token = {.content = content, .id = id, .special = true};
    return text_add_token(tokenizer, path, &token, err);
}

rl_status text_add_token_object(rl_tokenizer *tokenizer, const char *path, const json_t *object, int64_t id,
                                rl_error *err)
{
    rl_status status = RL_OK;
    const char *content = NULL;
    text_added_token token = {.id = (int32_t)id};
    bool single_word = false;
    if (!json_is_object(object)) return rl_fail(err, RL_ERR_INPUT, "%s: an added token is not an object", path);
    RL_TRY(text_json_string(object, "content", path, &content, err));
    if (!content || id < 0 || id > 1 << 24)
        return rl_fail(err, RL_ERR_INPUT, "%s: an added token without content, or with the id %" PRId64, path, id);
    RL_TRY(text_json_bool(object, "special", path, &token.special, err));
    token.normalised = !token.special;
    RL_TRY(text_json_bool(object, "normalized", path, &token.normalised, err));
    RL_TRY(text_json_bool(object, "lstrip", path, &token.lstrip, err));
    RL_TRY(text_json_bool(object, "rstrip", path, &token.rstrip, err));
    RL_TRY(text_json_bool(object, "single_word", path, &single_word, err));
    if (single_word)
        return rl_fail(err, RL_ERR_INPUT,
                       "%s: the added token '%.100s' is single_word, which is not supported; "
                       "\"single_word\": false was expected",
                       path, content);
    if (tokenizer->pairs) token.normalised = false; /* byte-level BPE normalises nothing */
    token.content = content;
    RL_TRY(text_add_token(tokenizer, path, &token, err));
cleanup:
    return status;
}

static rl_status normalise_content(const rl_tokenizer *tokenizer, text_added_token *token, rl_error *err)
{
    rl_status status = RL_OK;
    text_scratch scratch = {0};
    RL_TRY(text_normalise(&tokenizer->normaliser, &scratch, token->content, token->length, err));
    token->codes = scratch.codes.data;
    token->num_codes = scratch.codes.count;
    scratch.codes = (text_codes){0};
cleanup:
    text_scratch_free(&scratch);
    return status;
}

rl_status text_finish_added_tokens(rl_tokenizer *tokenizer, rl_error *err)
{
    rl_status status = RL_OK;
    for (size_t i = 0; i < tokenizer->num_added; i++) {
        text_added_token *token = &tokenizer->added[i];
        if (token->normalised) {
            RL_TRY(normalise_content(tokenizer, token, err));
            tokenizer->any_normalised = true;
        } else {
            tokenizer->raw_start[(unsigned char)token->content[0]] = true;
        }
    }
cleanup:
    return status;
}

void text_added_tokens_free(rl_tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->num_added; i++) {
        rl_free((char *)(uintptr_t)tokenizer->added[i].content);
        rl_free(tokenizer->added[i].codes);
    }
    rl_free(tokenizer->added);
}
