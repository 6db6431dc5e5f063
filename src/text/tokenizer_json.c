/* tokenizer_json.c -- tokenizer.json of the tokenizers package, as far as it is BERT's WordPiece or GPT-2's byte-level
 * BPE; the rest is refused.
 *
 * "truncation" and "padding" are not read: transformers sets both anew at every call. The decoder is not needed. */
#include "text_internal.h"

#include <inttypes.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- JSON, checked */

static const char *kind_of(const json_t *value)
{
    static const char *const kinds[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    return value ? kinds[json_typeof(value)] : "missing";
}

rl_status text_json_bool(const json_t *object, const char *key, const char *path, bool *value, rl_error *err)
{
    const json_t *found = json_object_get(object, key);
    if (!found || json_is_null(found)) return RL_OK;
    if (!json_is_boolean(found))
        return rl_fail(err, RL_ERR_INPUT, "%s: %s is %s; true or false was expected", path, key, kind_of(found));
    *value = json_is_true(found);
    return RL_OK;
}

rl_status text_json_string(const json_t *object, const char *key, const char *path, const char **value, rl_error *err)
{
    const json_t *found = json_object_get(object, key);
    if (!found || json_is_null(found)) return RL_OK;
    if (!json_is_string(found))
        return rl_fail(err, RL_ERR_INPUT, "%s: %s is %s; a string was expected", path, key, kind_of(found));
    *value = json_string_value(found);
    return RL_OK;
}

/* json[key].type must be the one kind we implement. */
static rl_status require_type(const text_loading *loading, const char *key, const char *wanted, rl_error *err)
{
    const json_t *part = json_object_get(loading->json, key);
    const json_t *type = json_object_get(part, "type");
    if (json_is_string(type) && strcmp(json_string_value(type), wanted) == 0) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "%s: %s is %s%.60s%s; only '%s'%s supported", loading->json_path, key,
                   json_is_string(type) ? "'" : "", json_is_string(type) ? json_string_value(type) : kind_of(part),
                   json_is_string(type) ? "'" : "", wanted, strcmp(key, "model") == 0 ? " and 'BPE' are" : " is");
}

/* ------------------------------------------------------------------------------------------------- model */

static rl_status read_model_settings(text_loading *loading, const json_t *model, rl_error *err)
{
    rl_status status = RL_OK;
    const char *prefix = NULL;
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");
    RL_TRY(text_json_string(model, "unk_token", loading->json_path, &loading->name[TEXT_UNK], err));
    RL_TRY(text_json_string(model, "continuing_subword_prefix", loading->json_path, &prefix, err));
    if (prefix) {
        rl_free(loading->tokenizer->prefix);
        loading->tokenizer->prefix = rl_strdup(prefix, err);
        if (!loading->tokenizer->prefix) return RL_ERR_MEMORY;
    }
    if (!longest) return RL_OK;
    if (!json_is_integer(longest) || json_integer_value(longest) < 1)
        return rl_fail(err, RL_ERR_INPUT, "%s: model.max_input_chars_per_word is %s; a count above 0 was expected",
                       loading->json_path, kind_of(longest));
    loading->tokenizer->max_word_characters = json_integer_value(longest);
cleanup:
    return status;
}

/* Two tokens with one id cannot both be meant. owner [num_ids]: 1 + place of the token that has the id. */
static rl_status check_ids_differ(const rl_tokenizer *tokenizer, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    const text_vocabulary *whole = &tokenizer->whole;
    int32_t *owner = NULL;
    RL_ALLOC(owner, tokenizer->num_ids, err);
    for (int32_t i = 0; i < rl_names_count(whole->names); i++) {
        int32_t id = whole->ids[i];
        if (owner[id]) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: the id %d belongs to '%.100s' and to '%.100s'; ids must differ", path,
                             id, rl_names_get(whole->names, owner[id] - 1), rl_names_get(whole->names, i));
            goto cleanup;
        }
        owner[id] = i + 1;
    }
cleanup:
    rl_free(owner);
    return status;
}

rl_status text_read_vocabulary(rl_tokenizer *tokenizer, const char *path, const char *key, const json_t *vocab,
                               rl_error *err)
{
    rl_status status = RL_OK;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return rl_fail(err, RL_ERR_INPUT, "%s: %s is %s; an object of tokens and ids was expected", path, key,
                       json_is_object(vocab) ? "empty" : kind_of(vocab));
    for (void *i = json_object_iter((json_t *)(uintptr_t)vocab); i;
         i = json_object_iter_next((json_t *)(uintptr_t)vocab, i)) {
        const char *token = json_object_iter_key(i);
        const json_t *id = json_object_iter_value(i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return rl_fail(err, RL_ERR_INPUT, "%s: the id of token '%.100s' is %s; a whole number from 0 was expected",
                           path, token, json_is_integer(id) ? "out of range" : kind_of(id));
        RL_TRY(text_add_piece(tokenizer, token, strlen(token), (int32_t)json_integer_value(id), err));
    }
    RL_TRY(check_ids_differ(tokenizer, path, err));
cleanup:
    return status;
}

/* Files from before tokenizers 0.11 have no model.type: BPE is then known by its merges, WordPiece by its prefix key. */
static bool is_byte_pairs(const text_loading *loading)
{
    const json_t *model = json_object_get(loading->json, "model"), *type = json_object_get(model, "type");
    return type ? json_is_string(type) && strcmp(json_string_value(type), "BPE") == 0
                : json_object_get(model, "merges") != NULL;
}

static rl_status read_model(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    const json_t *model = json_object_get(loading->json, "model");
    if (json_object_get(model, "type") || !json_object_get(model, "continuing_subword_prefix"))
        RL_TRY(require_type(loading, "model", "WordPiece", err));
    RL_TRY(read_model_settings(loading, model, err));
    RL_TRY(text_read_vocabulary(loading->tokenizer, loading->json_path, "model.vocab", json_object_get(model, "vocab"),
                                err));
cleanup:
    return status;
}

/* -------------------------------------------------------------------------------------------- pipeline */

static rl_status read_normaliser(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    text_normaliser *normaliser = &loading->tokenizer->normaliser;
    const json_t *part = json_object_get(loading->json, "normalizer");
    bool strip = false;
    RL_TRY(require_type(loading, "normalizer", "BertNormalizer", err));
    RL_TRY(text_json_bool(part, "clean_text", loading->json_path, &normaliser->clean_text, err));
    RL_TRY(text_json_bool(part, "handle_chinese_chars", loading->json_path, &normaliser->chinese, err));
    RL_TRY(text_json_bool(part, "lowercase", loading->json_path, &normaliser->lowercase, err));
    RL_TRY(text_json_bool(part, "strip_accents", loading->json_path, &strip, err));
    if (json_is_boolean(json_object_get(part, "strip_accents"))) loading->strip_accents = strip;
cleanup:
    return status;
}

static rl_status read_added_tokens(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    const json_t *list = json_object_get(loading->json, "added_tokens");
    if (list && !json_is_null(list) && !json_is_array(list))
        return rl_fail(err, RL_ERR_INPUT, "%s: added_tokens is %s; an array was expected", loading->json_path,
                       kind_of(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
        RL_TRY(text_add_token_object(loading->tokenizer, loading->json_path, token,
                                     json_is_integer(id) ? json_integer_value(id) : -1, err));
    }
cleanup:
    return status;
}

/* A template's piece: the name of a special token, or NULL. */
static const char *special_piece(const json_t *piece)
{
    return json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
}

/* What a sentence is put between: template_cls and template_sep stay NULL where nothing is or nothing is said. */
static bool read_template(text_loading *loading, const json_t *part, const char *type)
{
    if (!part || json_is_null(part)) return true;
    if (strcmp(type, "ByteLevel") == 0) return true; /* offsets only */
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        loading->template_cls = json_string_value(json_array_get(json_object_get(part, "cls"), 0));
        loading->template_sep = json_string_value(json_array_get(json_object_get(part, "sep"), 0));
    } else if (strcmp(type, "TemplateProcessing") == 0) {
        const json_t *single = json_object_get(part, "single");
        if (json_array_size(single) == 1 && json_object_get(json_array_get(single, 0), "Sequence")) return true;
        if (json_array_size(single) == 3 && json_object_get(json_array_get(single, 1), "Sequence")) {
            loading->template_cls = special_piece(json_array_get(single, 0));
            loading->template_sep = special_piece(json_array_get(single, 2));
        }
    }
    return loading->template_cls && loading->template_sep;
}

/* One sequence must become [CLS] A [SEP], of byte-level BPE A alone also; which tokens those are is compared with the
 * folder's names later. */
static rl_status read_post_processor(text_loading *loading, rl_error *err)
{
    const json_t *part = json_object_get(loading->json, "post_processor");
    const char *type = json_string_value(json_object_get(part, "type"));
    bool read = read_template(loading, part, type ? type : "");
    if (read && (!part || json_is_null(part) || loading->template_cls || loading->tokenizer->pairs)) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "%s: post_processor '%.60s' does not make %s of a sentence, as %s does", loading->json_path,
                   type ? type : kind_of(part), loading->tokenizer->pairs ? "<s> A </s> or A" : "[CLS] A [SEP]",
                   loading->tokenizer->pairs ? "RoBERTa's or GPT-2's" : "BERT's");
}

/* ByteLevel with its own pattern and no normaliser. Its add_prefix_space is not asked for: words come already split. */
static rl_status check_byte_level(const text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    const json_t *normaliser = json_object_get(loading->json, "normalizer");
    bool pattern = true;
    RL_TRY(require_type(loading, "pre_tokenizer", "ByteLevel", err));
    RL_TRY(text_json_bool(json_object_get(loading->json, "pre_tokenizer"), "use_regex", loading->json_path, &pattern,
                          err));
    if (!pattern || (normaliser && !json_is_null(normaliser)))
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: %s; byte-level BPE as GPT-2's was expected (pre_tokenizer ByteLevel with use_regex, "
                         "normalizer null)",
                         loading->json_path, pattern ? "it has a normalizer" : "pre_tokenizer.use_regex is false");
cleanup:
    return status;
}

rl_status text_load_tokenizer_json(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_json_read(&loading->json, loading->json_path, err));
    if (is_byte_pairs(loading)) {
        RL_TRY(check_byte_level(loading, err));
        RL_TRY(text_load_byte_pair_model(loading, json_object_get(loading->json, "model"), err));
    } else {
        RL_TRY(read_model(loading, err));
        RL_TRY(read_normaliser(loading, err));
        RL_TRY(require_type(loading, "pre_tokenizer", "BertPreTokenizer", err));
    }
    RL_TRY(read_post_processor(loading, err));
    RL_TRY(read_added_tokens(loading, err));
cleanup:
    return status;
}
