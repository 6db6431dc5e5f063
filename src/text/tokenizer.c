/* tokenizer.c -- a Hub folder's tokenizer: which files it has, in which order they speak, and the object they make. */
#include "text_internal.h"

#include <string.h>

const char *const rl_tokenizer_files[] = {"tokenizer.json", "tokenizer_config.json", "vocab.txt",
                                          "vocab.json",     "merges.txt",            "special_tokens_map.json"};
const size_t rl_num_tokenizer_files = sizeof rl_tokenizer_files / sizeof *rl_tokenizer_files;

enum { MAX_WORD_CHARACTERS = 100 }; /* BERT's max_input_chars_per_word */

/* ------------------------------------------------------------------------------------------------- files */

/* *path = folder/name where there is such a file, else NULL. */
static rl_status find_file(char **path, const char *folder, const char *name, rl_error *err)
{
    char *candidate = rl_path_join(folder, name, err);
    if (!candidate) return RL_ERR_MEMORY;
    if (rl_path_exists(candidate))
        *path = candidate;
    else
        rl_free(candidate);
    return RL_OK;
}

/* transformers writes 1e30 as an integer for "no limit", which overflows jansson's: all numbers are read as reals here.
 */
static rl_status read_config(json_t **out, const char *path, rl_error *err)
{
    rl_file_view view = {0};
    json_error_t problem;
    rl_status status = rl_file_view_open(&view, path, err);
    if (status != RL_OK) return status;
    json_t *root = json_loadb(view.data, view.size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &problem);
    rl_file_view_close(&view);
    if (!root)
        return rl_fail_at(err, RL_ERR_INPUT, path, problem.line, problem.column > 0 ? problem.column : 1,
                          "is not JSON: %s", problem.text);
    if (json_is_object(root)) {
        *out = root;
        return RL_OK;
    }
    json_decref(root);
    return rl_fail_at(err, RL_ERR_INPUT, path, 1, 1, "a JSON object was expected");
}

static rl_status find_byte_pair_files(text_loading *loading, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(find_file(&loading->vocab_path, folder, "vocab.json", err));
    RL_TRY(find_file(&loading->merges_path, folder, "merges.txt", err));
    if (!loading->vocab_path != !loading->merges_path)
        status = rl_fail(err, RL_ERR_INPUT, "%s: has no %s beside it; byte-level BPE needs both",
                         loading->vocab_path ? loading->vocab_path : loading->merges_path,
                         loading->vocab_path ? "merges.txt" : "vocab.json");
cleanup:
    return status;
}

static rl_status find_files(text_loading *loading, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    char *added = NULL;
    RL_TRY(find_file(&loading->json_path, folder, "tokenizer.json", err));
    RL_TRY(find_file(&loading->vocab_path, folder, "vocab.txt", err));
    if (!loading->json_path && !loading->vocab_path) RL_TRY(find_byte_pair_files(loading, folder, err));
    RL_TRY(find_file(&loading->config_path, folder, "tokenizer_config.json", err));
    RL_TRY(find_file(&loading->map_path, folder, "special_tokens_map.json", err));
    if (!loading->json_path && !loading->vocab_path)
        return rl_fail(err, RL_ERR_INPUT,
                       "%s: no tokenizer; tokenizer.json, vocab.txt (WordPiece), or vocab.json with merges.txt (byte-level "
                       "BPE) was expected there",
                       folder);
    RL_TRY(find_file(&added, folder, "added_tokens.json", err));
    if (added && !loading->json_path)
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: is read with tokenizer.json only; save the tokenizer with transformers "
                         "to get that file",
                         added);
cleanup:
    rl_free(added);
    return status;
}

static rl_status read_vocabulary(text_loading *loading, rl_error *err)
{
    rl_tokenizer *tokenizer = loading->tokenizer;
    const char *path = loading->json_path ? loading->json_path : loading->vocab_path;
    tokenizer->path = rl_strdup(path, err);
    tokenizer->prefix = rl_strdup("##", err);
    if (!tokenizer->path || !tokenizer->prefix) return RL_ERR_MEMORY;
    if (loading->json_path) return text_load_tokenizer_json(loading, err);
    return loading->merges_path ? text_load_byte_pair_files(loading, err) : text_load_vocab_txt(tokenizer, path, err);
}

/* ---------------------------------------------------------------------------------------------- specials */

static rl_status refuse_missing(const rl_tokenizer *tokenizer, const char *name, rl_error *err)
{
    const rl_names *names = tokenizer->whole.names;
    size_t count = (size_t)rl_names_count(names);
    const char **all = rl_calloc(count, sizeof *all, err);
    if (!all) return RL_ERR_MEMORY;
    for (size_t i = 0; i < count; i++) all[i] = rl_names_get(names, (int32_t)i);
    const char *nearest = rl_nearest_name(name, all, count);
    rl_status status =
        rl_fail(err, RL_ERR_INPUT, "%s: the special token '%.100s' is not in the vocabulary%s%.100s%s", tokenizer->path,
                name, nearest ? "; the nearest is '" : "", nearest ? nearest : "", nearest ? "'" : "");
    rl_free(all);
    return status;
}

/* May the vocabulary lack it? BERT only [MASK]; of byte-level BPE only what a sentence is put between must be there. */
static bool may_be_missing(const text_loading *loading, int special)
{
    if (loading->kind == TEXT_BERT) return special >= TEXT_MASK;
    return loading->kind == TEXT_GPT2 || (special != TEXT_CLS && special != TEXT_SEP);
}

/* Ids of the special tokens, matched as a whole in text from now on. */
static rl_status settle_ids(int32_t *ids, text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    rl_tokenizer *tokenizer = loading->tokenizer;
    for (int i = 0; i < TEXT_NUM_SPECIALS; i++) {
        const char *name = loading->name[i];
        ids[i] = name ? text_token_id(tokenizer, name) : -1;
        if (ids[i] < 0 && !may_be_missing(loading, i)) return refuse_missing(tokenizer, name, err);
        if (ids[i] < 0) continue;
        RL_TRY(text_add_special(tokenizer, tokenizer->path, name, ids[i], err));
    }
cleanup:
    return status;
}

static rl_status settle_specials(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t ids[TEXT_NUM_SPECIALS];
    RL_TRY(settle_ids(ids, loading, err));
    loading->tokenizer->special =
        (rl_special_ids){ids[TEXT_PAD], ids[TEXT_UNK], ids[TEXT_CLS], ids[TEXT_SEP], ids[TEXT_MASK]};
    if (loading->kind == TEXT_GPT2) loading->tokenizer->special.cls = loading->tokenizer->special.sep = -1;
    if (loading->template_cls && (strcmp(loading->template_cls, loading->name[TEXT_CLS]) != 0 ||
                                  strcmp(loading->template_sep, loading->name[TEXT_SEP]) != 0))
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: post_processor puts a sentence between '%.60s' and '%.60s', but the "
                         "folder's cls_token and sep_token are '%.60s' and '%.60s'",
                         loading->json_path, loading->template_cls, loading->template_sep, loading->name[TEXT_CLS],
                         loading->name[TEXT_SEP]);
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------ public */

static void loading_clear(text_loading *loading)
{
    rl_tokenizer_free(loading->tokenizer);
    rl_free(loading->json_path);
    rl_free(loading->vocab_path);
    rl_free(loading->merges_path);
    rl_free(loading->config_path);
    rl_free(loading->map_path);
    json_decref(loading->json);
    json_decref(loading->config);
    json_decref(loading->map);
}

rl_status rl_tokenizer_load(rl_tokenizer **out, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    text_loading loading = {.strip_accents = -1};
    RL_ALLOC(loading.tokenizer, 1, err);
    rl_tokenizer *tokenizer = loading.tokenizer;
    tokenizer->normaliser = (text_normaliser){.clean_text = true, .chinese = true, .lowercase = true};
    tokenizer->max_word_characters = MAX_WORD_CHARACTERS;
    tokenizer->max_length = INT64_MAX;
    RL_TRY(find_files(&loading, folder, err));
    if (loading.config_path) RL_TRY(read_config(&loading.config, loading.config_path, err));
    if (loading.map_path) RL_TRY(rl_json_read(&loading.map, loading.map_path, err));
    RL_TRY(text_json_string(loading.config, "tokenizer_class", loading.config_path, &loading.class, err));
    RL_TRY(read_vocabulary(&loading, err));
    if (tokenizer->pairs) RL_TRY(text_settle_byte_pair_kind(&loading, err));
    RL_TRY(text_apply_config(&loading, err));
    tokenizer->normaliser.strip_accents =
        loading.strip_accents < 0 ? tokenizer->normaliser.lowercase : loading.strip_accents != 0;
    RL_TRY(settle_specials(&loading, err));
    RL_TRY(text_finish_added_tokens(tokenizer, err));
    *out = tokenizer;
    loading.tokenizer = NULL;
cleanup:
    loading_clear(&loading);
    return status;
}

void rl_tokenizer_free(rl_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    rl_free(tokenizer->path);
    rl_free(tokenizer->prefix);
    rl_names_free(tokenizer->whole.names);
    rl_free(tokenizer->whole.ids);
    rl_names_free(tokenizer->continuing.names);
    rl_free(tokenizer->continuing.ids);
    text_added_tokens_free(tokenizer);
    text_byte_pairs_free(tokenizer->pairs);
    rl_free(tokenizer);
}

int32_t rl_tokenizer_vocab_size(const rl_tokenizer *tokenizer) { return tokenizer->num_ids; }
int64_t rl_tokenizer_max_length(const rl_tokenizer *tokenizer) { return tokenizer->max_length; }
rl_special_ids rl_tokenizer_special_ids(const rl_tokenizer *tokenizer) { return tokenizer->special; }
