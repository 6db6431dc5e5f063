/* tokenizer_config.c -- what tokenizer_config.json and special_tokens_map.json add to the vocabulary.
 *
 * As transformers 5.17 reads them: BertTokenizer classes rebuild the normaliser from tokenizer_config.json, so what it
 * states wins over tokenizer.json; the backend classes take tokenizer.json as it is; special_tokens_map.json wins over
 * tokenizer_config.json. Where transformers would assume do_lower_case although tokenizer.json says otherwise and
 * tokenizer_config.json says nothing, tokenizer.json holds. */
#include "text_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const special_keys[TEXT_NUM_SPECIALS] = {
    "pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token"};

/* -------------------------------------------------------------------------------------------------- class */

/* The classes whose vocab.txt means BERT's WordPiece; each also exists with "Fast" behind it. */
static const char *const bert_classes[] = {"BertTokenizer",       "DistilBertTokenizer", "ElectraTokenizer",
                                           "MobileBertTokenizer", "ConvBertTokenizer",   "LxmertTokenizer",
                                           "SqueezeBertTokenizer"};
/* These take tokenizer.json as it is and ignore do_lower_case and its like. */
static const char *const backend_classes[] = {"TokenizersBackend", "PreTrainedTokenizer"};

static bool is_class(const char *name, const char *const *classes, size_t count)
{
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, "Fast") == 0) length -= 4;
    for (size_t i = 0; i < count; i++)
        if (strlen(classes[i]) == length && strncmp(classes[i], name, length) == 0) return true;
    return false;
}

#define IS_CLASS(name, classes) is_class((name), (classes), sizeof(classes) / sizeof *(classes))

/* vocab.txt alone does not tell BERT from, say, BertJapaneseTokenizer, which splits words by a dictionary. */
static rl_status check_class(const text_loading *loading, const char *name, rl_error *err)
{
    if (loading->json || IS_CLASS(name, bert_classes) || IS_CLASS(name, backend_classes)) return RL_OK;
    const char *nearest = rl_nearest_name(name, bert_classes, sizeof bert_classes / sizeof *bert_classes);
    return rl_fail(err, RL_ERR_INPUT, "%s: tokenizer_class '%.60s' is not supported with vocab.txt; '%s' was expected",
                   loading->config_path, name, nearest ? nearest : bert_classes[0]);
}

/* transformers 5: GPT2Tokenizer puts nothing around a sentence, RobertaTokenizer <s> and </s>, whatever tokenizer.json's
 * post_processor says; other classes do as it says. Bare vocab.json and merges.txt: RoBERTa's have <s> and </s>. */
rl_status text_settle_byte_pair_kind(text_loading *loading, rl_error *err)
{
    static const char *const gpt2[] = {"GPT2Tokenizer"}, *const roberta[] = {"RobertaTokenizer"};
    const char *class = loading->class;
    bool both = text_token_id(loading->tokenizer, "<s>") >= 0 && text_token_id(loading->tokenizer, "</s>") >= 0;
    if (class && IS_CLASS(class, gpt2))
        loading->kind = TEXT_GPT2, loading->template_cls = loading->template_sep = NULL;
    else if (class && IS_CLASS(class, roberta))
        loading->kind = TEXT_ROBERTA, loading->template_cls = loading->template_sep = NULL;
    else if (class && !IS_CLASS(class, backend_classes))
        return rl_fail(err, RL_ERR_INPUT,
                       "%s: tokenizer_class '%.60s' is not supported with byte-level BPE; GPT2Tokenizer, RobertaTokenizer "
                       "or TokenizersBackend was expected",
                       loading->config_path, class);
    else if (loading->json)
        loading->kind = loading->template_cls ? TEXT_ROBERTA : TEXT_GPT2;
    else
        loading->kind = both ? TEXT_ROBERTA : TEXT_GPT2;
    if (class && !IS_CLASS(class, backend_classes)) loading->tokenizer->pairs->unk = -1; /* built without one */
    return RL_OK;
}

static rl_status apply_normaliser(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    const char *class = loading->class ? loading->class : "BertTokenizer";
    text_normaliser *normaliser = &loading->tokenizer->normaliser;
    bool strip = false;
    const json_t *stated = json_object_get(loading->config, "strip_accents");
    RL_TRY(check_class(loading, class, err));
    if (loading->json && IS_CLASS(class, backend_classes)) return RL_OK;
    RL_TRY(text_json_bool(loading->config, "do_lower_case", loading->config_path, &normaliser->lowercase, err));
    RL_TRY(text_json_bool(loading->config, "tokenize_chinese_chars", loading->config_path, &normaliser->chinese, err));
    RL_TRY(text_json_bool(loading->config, "strip_accents", loading->config_path, &strip, err));
    if (stated) loading->strip_accents = json_is_null(stated) ? -1 : strip;
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------- names */

/* "[SEP]" or {"content": "[SEP]", ...}. */
static rl_status read_name(const json_t *object, const char *key, const char *path, const char **name, rl_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_object(value)) return text_json_string(value, "content", path, name, err);
    return text_json_string(object, key, path, name, err);
}

static rl_status apply_names(text_loading *loading, rl_error *err)
{
    static const char *const usual[][TEXT_NUM_SPECIALS] = {
        [TEXT_BERT] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL, NULL},
        [TEXT_GPT2] = {NULL, "<|endoftext|>", NULL, NULL, NULL, "<|endoftext|>", "<|endoftext|>"},
        [TEXT_ROBERTA] = {"<pad>", "<unk>", "<s>", "</s>", "<mask>", "<s>", "</s>"}};
    rl_status status = RL_OK;
    for (int i = 0; i < TEXT_NUM_SPECIALS; i++) {
        RL_TRY(read_name(loading->config, special_keys[i], loading->config_path, &loading->name[i], err));
        RL_TRY(read_name(loading->map, special_keys[i], loading->map_path, &loading->name[i], err));
        if (!loading->name[i]) loading->name[i] = usual[loading->kind][i];
    }
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------ added tokens */

static rl_status add_decoder_tokens(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *decoder = json_object_get(loading->config, "added_tokens_decoder");
    for (void *i = json_object_iter(decoder); i; i = json_object_iter_next(decoder, i)) {
        char *end;
        long long id = strtoll(json_object_iter_key(i), &end, 10);
        if (*end || end == json_object_iter_key(i)) id = -1;
        RL_TRY(text_add_token_object(loading->tokenizer, loading->config_path, json_object_iter_value(i), id, err));
    }
cleanup:
    return status;
}

/* A list of further special tokens; each must have an id already, since the model has no row for a new one. */
static rl_status add_listed_tokens(text_loading *loading, const json_t *object, const char *path, const char *key,
                                   rl_error *err)
{
    rl_status status = RL_OK;
    const json_t *list = json_object_get(object, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_is_object(item) ? json_object_get(item, "content") : item);
        int32_t id = name ? text_token_id(loading->tokenizer, name) : -1;
        if (id < 0)
            return rl_fail(err, RL_ERR_INPUT, "%s: '%.100s' of %s is not in the vocabulary", path, name ? name : "?",
                           key);
        RL_TRY(text_add_special(loading->tokenizer, path, name, id, err));
    }
cleanup:
    return status;
}

static rl_status add_all_tokens(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    RL_TRY(add_decoder_tokens(loading, err));
    for (size_t i = 0; i < 2; i++) {
        RL_TRY(add_listed_tokens(loading, loading->config, loading->config_path, lists[i], err));
        RL_TRY(add_listed_tokens(loading, loading->map, loading->map_path, lists[i], err));
    }
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------ length */

static rl_status apply_max_length(text_loading *loading, rl_error *err)
{
    const json_t *value = json_object_get(loading->config, "model_max_length");
    if (!value || json_is_null(value)) return RL_OK;
    double length = json_is_number(value) ? json_number_value(value) : 0;
    if (!(length >= 3))
        return rl_fail(err, RL_ERR_INPUT, "%s: model_max_length is %s; a length of 3 or more was expected",
                       loading->config_path, json_is_number(value) ? "too small" : "not a number");
    if (length < 1e9) loading->tokenizer->max_length = (int64_t)length; /* 1e30 is transformers' "not stated" */
    return RL_OK;
}

rl_status text_apply_config(text_loading *loading, rl_error *err)
{
    rl_status status = RL_OK;
    if (!loading->tokenizer->pairs) RL_TRY(apply_normaliser(loading, err));
    RL_TRY(apply_names(loading, err));
    RL_TRY(add_all_tokens(loading, err));
    RL_TRY(apply_max_length(loading, err));
cleanup:
    return status;
}
