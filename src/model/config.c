/* config.c -- config.json of a Hub folder, every key checked for type, range and what this engine supports.
 *
 * Sizes must be there; everything else has the default that transformers' configuration class gives it. */
#include "model_internal.h"

#include <math.h>
#include <string.h>

#define MAX_SIZE   (INT64_C(1) << 24) /* no model comes near; keeps every product far inside int64_t */
#define MAX_LAYERS 4096
#define MAX_LABELS 65536

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_NULL: return "null";
    default: return "a boolean";
    }
}

static rl_status wrong_type(const json_t *value, const char *path, const char *key, const char *expected, rl_error *err)
{
    return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\" is %s; expected %s", key, type_name(value), expected);
}

/* The key of root nearest to what was looked for, so that a typo is named. */
static const char *nearest_key(const json_t *root, const char *wanted)
{
    const char *keys[256], *key;
    size_t n = 0;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        if (n < sizeof keys / sizeof *keys) keys[n++] = key;
    }
    return rl_nearest_name(wanted, keys, n);
}

static rl_status missing(const json_t *root, const char *path, const char *key, const char *expected, rl_error *err)
{
    const char *nearest = nearest_key(root, key);
    if (nearest)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "no key \"%s\"; expected %s; the nearest key is \"%s\"", key,
                          expected, nearest);
    return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "no key \"%s\"; expected %s", key, expected);
}

/* An integer in 1..max; fallback 0: the key must be there. */
static rl_status read_size(int64_t *out, const json_t *root, const char *path, const char *key, int64_t max,
                           int64_t fallback, rl_error *err)
{
    const json_t *value = json_object_get(root, key);
    char expected[64];
    snprintf(expected, sizeof expected, "an integer from 1 to %lld", (long long)max);
    if (!value && fallback) *out = fallback;
    if (!value) return fallback ? RL_OK : missing(root, path, key, expected, err);
    if (!json_is_integer(value)) return wrong_type(value, path, key, expected, err);
    if (json_integer_value(value) < 1 || json_integer_value(value) > max)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\" is %lld; expected %s", key,
                          (long long)json_integer_value(value), expected);
    *out = json_integer_value(value);
    return RL_OK;
}

/* A finite number in [low, high], or in [low, high) when half_open (a dropout rate of 1 would divide by zero). */
static rl_status read_number(float *out, const json_t *root, const char *path, const char *key, double low, double high,
                             bool half_open, float fallback, rl_error *err)
{
    const json_t *value = key ? json_object_get(root, key) : NULL;
    char expected[64];
    double number;
    snprintf(expected, sizeof expected, "a number in [%g, %g%s", low, high, half_open ? ")" : "]");
    if (!value) {
        *out = fallback;
        return RL_OK;
    }
    if (!json_is_number(value)) return wrong_type(value, path, key, expected, err);
    number = json_number_value(value);
    if (!(number >= low && (half_open ? number < high : number <= high)))
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\" is %g; expected %s", key, number, expected);
    *out = (float)number;
    return RL_OK;
}

/* A string key that may be absent but has few supported values; *which (may be NULL): the index of the one it has, left
 * alone when the key is absent. */
static rl_status require_text(int *which, const json_t *root, const char *path, const char *key,
                              const char *const *supported, int num_supported, rl_error *err)
{
    const json_t *value = key ? json_object_get(root, key) : NULL;
    char expected[96];
    size_t used = 0;
    if (!value) return RL_OK;
    for (int i = 0; i < num_supported && used < sizeof expected; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s\"%s\"",
                                 !i                      ? ""
                                 : i + 1 < num_supported ? ", "
                                                         : " or ",
                                 supported[i]);
    if (!json_is_string(value)) return wrong_type(value, path, key, expected, err);
    for (int i = 0; i < num_supported; i++)
        if (strcmp(json_string_value(value), supported[i]) == 0) {
            if (which) *which = i;
            return RL_OK;
        }
    return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\": \"%.64s\" is not supported; expected %s", key,
                      json_string_value(value), expected);
}

static rl_status require_false(const json_t *root, const char *path, const char *key, rl_error *err)
{
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_false(value)) return RL_OK;
    if (!json_is_boolean(value)) return wrong_type(value, path, key, "false", err);
    return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\": true is not supported; expected false", key);
}

static rl_status require_boolean(const json_t *root, const char *path, const char *key, rl_error *err)
{
    const json_t *value = json_object_get(root, key);
    return !value || json_is_boolean(value) ? RL_OK : wrong_type(value, path, key, "true or false", err);
}

/* What would change the maths and that this engine doesn't do: say so instead of computing something else. */
static rl_status check_supported(const json_t *root, const char *path, rl_error *err)
{
    static const char *const absolute = "absolute";
    rl_status status = RL_OK;
    const json_t *pruned = json_object_get(root, "pruned_heads");
    RL_TRY(require_text(NULL, root, path, "position_embedding_type", &absolute, 1, err));
    RL_TRY(require_false(root, path, "is_decoder", err));
    RL_TRY(require_false(root, path, "add_cross_attention", err));
    RL_TRY(require_false(root, path, "is_encoder_decoder", err));
    RL_TRY(require_boolean(root, path, "sinusoidal_pos_embds", err)); /* either way the table is in the file */
    if (pruned && !json_is_object(pruned)) return wrong_type(pruned, path, "pruned_heads", "an object", err);
    if (json_object_size(pruned))
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"pruned_heads\" is not supported; expected it to be empty");
    if (json_object_get(root, "quantization_config") && !json_is_null(json_object_get(root, "quantization_config")))
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"quantization_config\" is not supported; expected a model in F32, F16 or BF16");
cleanup:
    return status;
}

/* transformers' names of the exact GELU and of its tanh form (activations.py: gelu_new and gelu_pytorch_tanh are
 * one). */
static rl_status read_activation(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    static const char *const supported[] = {"gelu", "gelu_new", "gelu_pytorch_tanh"};
    int which = strcmp(config->architecture->default_activation, "gelu") == 0 ? 0 : 1;
    rl_status status = require_text(&which, root, path, config->architecture->keys.activation, supported, 3, err);
    config->tanh_gelu = which > 0;
    return status;
}

/* What only changes how scores are scaled (GPT-2). */
static rl_status read_attention(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    if (!config->architecture->causal) return RL_OK;
    RL_TRY(require_boolean(root, path, "scale_attn_weights", err));
    RL_TRY(require_boolean(root, path, "scale_attn_by_inverse_layer_idx", err));
    RL_TRY(require_boolean(root, path, "reorder_and_upcast_attn", err)); /* rounding only */
    config->unscaled_attention = json_is_false(json_object_get(root, "scale_attn_weights"));
    config->layer_scaled_attention = json_is_true(json_object_get(root, "scale_attn_by_inverse_layer_idx"));
cleanup:
    return status;
}

static rl_status read_architecture(const rl_architecture **out, const json_t *root, const char *path, rl_error *err)
{
    const json_t *value = json_object_get(root, "model_type");
    const char *nearest;
    char list[128];
    rl_architecture_list(list, sizeof list);
    if (!value) return missing(root, path, "model_type", list, err);
    if (!json_is_string(value)) return wrong_type(value, path, "model_type", list, err);
    *out = rl_architecture_find(json_string_value(value));
    if (*out) return RL_OK;
    nearest = rl_architecture_nearest(json_string_value(value));
    return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                      "\"model_type\": \"%.64s\" is not supported; expected one of %s%s%s", json_string_value(value),
                      list, nearest ? "; the nearest is " : "", nearest ? nearest : "");
}

static bool is_absent(const json_t *root, const char *key)
{
    const json_t *value = key ? json_object_get(root, key) : NULL;
    return !value || json_is_null(value);
}

static rl_status check_embedding_size(const rl_model_config *config, const json_t *root, const char *path,
                                      rl_error *err)
{
    const char *key = config->architecture->keys.embedding_size;
    int64_t size = 0;
    if (!key) return RL_OK;
    rl_status status = read_size(&size, root, path, key, MAX_SIZE, config->architecture->default_embedding_size, err);
    if (status == RL_OK && size != config->hidden_size)
        return rl_fail_at(
            err, RL_ERR_INPUT, path, 0, 0,
            "\"%s\" is %lld; expected \"hidden_size\", which is %lld: a projection behind the embeddings is "
            "not supported",
            key, (long long)size, (long long)config->hidden_size);
    return status;
}

static rl_status read_sizes(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_config_keys *keys = &config->architecture->keys;
    RL_TRY(read_size(&config->vocab_size, root, path, "vocab_size", MAX_SIZE, 0, err));
    RL_TRY(read_size(&config->hidden_size, root, path, keys->hidden_size, MAX_SIZE, 0, err));
    RL_TRY(read_size(&config->num_layers, root, path, keys->num_layers, MAX_LAYERS, 0, err));
    RL_TRY(read_size(&config->num_heads, root, path, keys->num_heads, MAX_SIZE, 0, err));
    config->intermediate_size = config->architecture->intermediate_factor * config->hidden_size;
    if (!config->intermediate_size || !is_absent(root, keys->intermediate_size))
        RL_TRY(read_size(&config->intermediate_size, root, path, keys->intermediate_size, MAX_SIZE, 0, err));
    RL_TRY(read_size(&config->max_positions, root, path, keys->max_positions, MAX_SIZE, 0, err));
    RL_TRY(check_embedding_size(config, root, path, err));
    if (keys->type_vocab_size)
        RL_TRY(read_size(&config->type_vocab_size, root, path, keys->type_vocab_size, MAX_SIZE, 2, err));
    if (config->hidden_size % config->num_heads) // NOLINT(clang-analyzer-core.DivideZero): read_size gives 1 or more
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\" is %lld; expected a multiple of \"%s\", which is %lld",
                          keys->hidden_size, (long long)config->hidden_size, keys->num_heads,
                          (long long)config->num_heads);
cleanup:
    return status;
}

static rl_status read_rate(float *out, const json_t *root, const char *path, const char *key, float fallback,
                           rl_error *err)
{
    return read_number(out, root, path, key, 0, 1, true, fallback, err);
}

static rl_status read_head_rate(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    const rl_architecture *architecture = config->architecture;
    float fallback =
        architecture->default_dropout_head < 0 ? config->dropout_hidden : architecture->default_dropout_head;
    for (int i = 0; i < 2; i++)
        if (!is_absent(root, architecture->keys.dropout_head[i]))
            return read_rate(&config->dropout_head, root, path, architecture->keys.dropout_head[i], fallback, err);
    config->dropout_head = fallback;
    return RL_OK;
}

static rl_status read_rates(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_config_keys *keys = &config->architecture->keys;
    RL_TRY(read_rate(&config->dropout_hidden, root, path, keys->dropout_hidden, 0.1f, err));
    RL_TRY(read_rate(&config->dropout_attention, root, path, keys->dropout_attention, 0.1f, err));
    RL_TRY(read_rate(&config->dropout_embedding, root, path, keys->dropout_embedding,
                     keys->dropout_embedding ? 0.1f : config->dropout_hidden, err));
    RL_TRY(read_head_rate(config, root, path, err));
    config->layer_norm_eps = config->architecture->default_eps;
    if (keys->layer_norm_eps)
        RL_TRY(read_number(&config->layer_norm_eps, root, path, keys->layer_norm_eps, 0, 1, false,
                           config->architecture->default_eps, err));
    RL_TRY(read_number(&config->initializer_range, root, path, "initializer_range", 0, 100, false, 0.02f, err));
cleanup:
    return status;
}

static rl_status read_pad(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    const json_t *value = json_object_get(root, "pad_token_id");
    config->pad_token_id = config->architecture->default_pad;
    if (!value) return RL_OK;
    if (json_is_null(value)) {
        config->pad_token_id = -1;
        return RL_OK;
    }
    if (!json_is_integer(value)) return wrong_type(value, path, "pad_token_id", "a token id or null", err);
    if (json_integer_value(value) < 0 || json_integer_value(value) >= config->vocab_size)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"pad_token_id\" is %lld; expected 0 to %lld (vocab_size - 1)",
                          (long long)json_integer_value(value), (long long)config->vocab_size - 1);
    config->pad_token_id = (int32_t)json_integer_value(value);
    return RL_OK;
}

/* RoBERTa's positions begin behind the padding token's: of 514 rows 512 can be used. */
static rl_status offset_positions(rl_model_config *config, const char *path, rl_error *err)
{
    const char *key = config->architecture->keys.max_positions;
    if (!config->architecture->offset_positions) return RL_OK;
    if (config->pad_token_id < 0)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"pad_token_id\" is null; expected a token id, behind which positions begin");
    config->position_offset = config->pad_token_id + 1;
    config->max_positions -= config->position_offset;
    if (config->max_positions < 1)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"%s\" is %lld; expected more than %lld (pad_token_id + 1)",
                          key, (long long)config->max_positions + (long long)config->position_offset,
                          (long long)config->position_offset);
    return RL_OK;
}

/* --------------------------------------------------------------------------------------------- labels */

static rl_status add_label(rl_names *labels, const char *text, int64_t expected_id, const char *path, rl_error *err)
{
    int32_t id;
    rl_status status = rl_names_intern(labels, text, strlen(text), &id, err);
    if (status == RL_OK && id != expected_id)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"id2label\" gives \"%.64s\" to %d and to %lld; expected distinct labels", text, id,
                          (long long)expected_id);
    return status;
}

static rl_status read_id2label(rl_names *labels, const json_t *map, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    size_t n = json_object_size(map);
    if (!json_is_object(map)) return wrong_type(map, path, "id2label", "an object {\"0\": LABEL, ...}", err);
    if (n < 1 || n > MAX_LABELS)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"id2label\" has %zu labels; expected 1 to %d", n,
                          MAX_LABELS);
    for (size_t i = 0; i < n; i++) {
        char key[24];
        const json_t *label;
        snprintf(key, sizeof key, "%zu", i);
        label = json_object_get(map, key);
        if (!label)
            return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                              "\"id2label\" has %zu labels but no \"%s\"; expected the keys \"0\" to \"%zu\"", n, key,
                              n - 1);
        if (!json_is_string(label))
            return wrong_type(label, path, "id2label", "an object whose values are strings", err);
        RL_TRY(add_label(labels, json_string_value(label), (int64_t)i, path, err));
    }
cleanup:
    return status;
}

/* transformers' default when id2label is absent: num_labels (2) labels LABEL_0, LABEL_1, ... */
static rl_status default_labels(rl_names *labels, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = 0;
    RL_TRY(read_size(&n, root, path, "num_labels", MAX_LABELS, 2, err));
    for (int64_t i = 0; i < n; i++) {
        char label[32];
        snprintf(label, sizeof label, "LABEL_%lld", (long long)i);
        RL_TRY(add_label(labels, label, i, path, err));
    }
cleanup:
    return status;
}

static rl_status read_labels(rl_model_config *config, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    const json_t *map = json_object_get(root, "id2label"), *inverse = json_object_get(root, "label2id");
    RL_TRY(rl_names_create(&config->labels, err));
    if (inverse && !json_is_object(inverse) && !json_is_null(inverse))
        return wrong_type(inverse, path, "label2id", "an object {LABEL: id, ...}", err);
    if (map && !json_is_null(map))
        RL_TRY(read_id2label(config->labels, map, path, err));
    else
        RL_TRY(default_labels(config->labels, root, path, err));
    config->num_labels = rl_names_count(config->labels);
cleanup:
    return status;
}

bool rl_names_equal(const rl_names *a, const rl_names *b)
{
    if (rl_names_count(a) != rl_names_count(b)) return false;
    for (int32_t i = 0; i < rl_names_count(a); i++)
        if (strcmp(rl_names_get(a, i), rl_names_get(b, i)) != 0) return false;
    return true;
}

rl_status rl_names_copy(rl_names **out, const rl_names *names, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *copy = NULL;
    int32_t id;
    RL_TRY(rl_names_create(&copy, err));
    for (int32_t i = 0; i < rl_names_count(names); i++)
        RL_TRY(rl_names_intern(copy, rl_names_get(names, i), strlen(rl_names_get(names, i)), &id, err));
    *out = copy;
    copy = NULL;
cleanup:
    rl_names_free(copy);
    return status;
}

/* ---------------------------------------------------------------------------------------- the whole file */

bool rl_config_names_token_classifier(const json_t *root, bool if_absent)
{
    static const char ending[] = "ForTokenClassification";
    const json_t *list = json_object_get(root, "architectures");
    if (!json_array_size(list)) return if_absent;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t length = name ? strlen(name) : 0;
        if (length >= sizeof ending - 1 && strcmp(name + length - (sizeof ending - 1), ending) == 0) return true;
    }
    return false;
}

rl_status rl_config_random_init(const json_t *root, const char *path, bool *present, uint64_t *seed, rl_error *err)
{
    const json_t *value = json_object_get(root, "relearn_random_init");
    *present = value != NULL;
    if (!value) return RL_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"relearn_random_init\" is %s; expected a seed, an integer >= 0",
                          json_is_integer(value) ? "negative" : type_name(value));
    *seed = (uint64_t)json_integer_value(value);
    return RL_OK;
}

rl_status rl_config_from_json(rl_model_config *out, const json_t *root, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model_config config = {0};
    const json_t *list = json_object_get(root, "architectures");
    bool present;
    uint64_t seed;
    RL_TRY(read_architecture(&config.architecture, root, path, err));
    config.model_type = config.architecture->model_type;
    if (list && !json_is_array(list) && !json_is_null(list)) {
        status = wrong_type(list, path, "architectures", "an array of class names", err);
        goto cleanup;
    }
    RL_TRY(check_supported(root, path, err));
    RL_TRY(read_sizes(&config, root, path, err));
    RL_TRY(read_rates(&config, root, path, err));
    RL_TRY(read_pad(&config, root, path, err));
    RL_TRY(offset_positions(&config, path, err));
    RL_TRY(read_activation(&config, root, path, err));
    RL_TRY(read_attention(&config, root, path, err));
    RL_TRY(rl_config_random_init(root, path, &present, &seed, err));
    RL_TRY(read_labels(&config, root, path, err));
    *out = config;
    config.labels = NULL;
cleanup:
    rl_names_free(config.labels);
    return status;
}

rl_status rl_model_config_read(rl_model_config *out, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL;
    char *path = rl_path_join(folder, "config.json", err);
    if (!path) return RL_ERR_MEMORY;
    RL_TRY(rl_json_read(&root, path, err));
    RL_TRY(rl_config_from_json(out, root, path, err));
cleanup:
    json_decref(root);
    rl_free(path);
    return status;
}

void rl_model_config_free(rl_model_config *config)
{
    if (!config) return;
    rl_names_free(config->labels);
    config->labels = NULL;
}

rl_status rl_model_sequence_limit(int64_t *limit, const char *folder, const rl_tokenizer *tokenizer, rl_error *err)
{
    rl_model_config config = {0};
    rl_status status = rl_model_config_read(&config, folder, err);
    if (status != RL_OK) return status;
    int64_t longest = rl_tokenizer_max_length(tokenizer);
    if (rl_tokenizer_vocab_size(tokenizer) > config.vocab_size)
        status =
            rl_fail(err, RL_ERR_INPUT, "%s: the tokenizer has %d ids but the model's embedding table only %lld rows",
                    folder, rl_tokenizer_vocab_size(tokenizer), (long long)config.vocab_size);
    else
        *limit = longest < config.max_positions ? longest : config.max_positions;
    rl_model_config_free(&config);
    return status;
}
