/* config.json: every key's wrong type, range and unsupported value is one line that names the file and the key;
 * defaults are those of transformers' configuration classes.
 *
 * LABELS: unit */
#include "model_support.h"

static const char base_bert[] = "{\"model_type\": \"bert\", \"vocab_size\": 16, \"hidden_size\": 8, "
                                "\"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
                                "\"intermediate_size\": 16, \"max_position_embeddings\": 12}";
static const char base_distilbert[] = "{\"model_type\": \"distilbert\", \"vocab_size\": 16, \"dim\": 8, \"n_layers\": "
                                      "2, \"n_heads\": 2, \"hidden_dim\": 16,"
                                      "\"max_position_embeddings\": 12}";

/* base with `key` replaced by (or given) the JSON text `value`; NULL: taken out. */
static json_t *with(const char *base, const char *key, const char *value)
{
    json_error_t problem;
    json_t *root = json_loads(base, 0, &problem);
    assert_non_null(root);
    if (value) {
        json_t *parsed = json_loads(value, JSON_DECODE_ANY, &problem);
        assert_non_null(parsed);
        json_object_set_new(root, key, parsed);
    } else {
        json_object_del(root, key);
    }
    return root;
}

static void refuses(const char *base, const char *key, const char *value, const char *part)
{
    rl_error err = {0};
    rl_model_config config = {.vocab_size = 77};
    json_t *root = with(base, key, value);
    char named[300];
    assert_fails(rl_config_from_json(&config, root, "M/config.json", &err), RL_ERR_INPUT, err, part);
    snprintf(named, sizeof named, "M/config.json: ");
    assert_int_equal(strncmp(err.message, named, strlen(named)), 0);
    snprintf(named, sizeof named, "\"%s\"", key);
    assert_non_null(strstr(err.message, named));
    assert_int_equal(config.vocab_size, 77); /* untouched on failure */
    json_decref(root);
}

static rl_model_config accepts(const char *base, const char *key, const char *value)
{
    rl_error err = {0};
    rl_model_config config = {0};
    json_t *root = with(base, key, value);
    assert_ok(rl_config_from_json(&config, root, "M/config.json", &err), err);
    json_decref(root);
    return config;
}

static void test_sizes(void **state)
{
    static const char *const bert[] = {"vocab_size",          "hidden_size",       "num_hidden_layers",
                                       "num_attention_heads", "intermediate_size", "max_position_embeddings"};
    static const char *const distilbert[] = {"vocab_size", "dim",        "n_layers",
                                             "n_heads",    "hidden_dim", "max_position_embeddings"};
    (void)state;
    for (int which = 0; which < 2; which++)
        for (int i = 0; i < 6; i++) {
            const char *base = which ? base_bert : base_distilbert, *key = which ? bert[i] : distilbert[i];
            refuses(base, key, NULL, "expected an integer from 1 to");
            refuses(base, key, "\"8\"", "is a string; expected an integer");
            refuses(base, key, "8.0", "is a real number; expected an integer");
            refuses(base, key, "null", "is null; expected an integer");
            refuses(base, key, "[8]", "is an array");
            refuses(base, key, "0", "is 0; expected an integer from 1");
            refuses(base, key, "-2", "is -2;");
            refuses(base, key, "9000000000000000000", "is 9000000000000000000;");
        }
    refuses(base_bert, "type_vocab_size", "0", "is 0");
    refuses(base_bert, "type_vocab_size", "{}", "is an object");
    refuses(base_bert, "num_attention_heads", "3", "\"hidden_size\" is 8; expected a multiple of");
    refuses(base_distilbert, "n_heads", "16", "\"dim\" is 8; expected a multiple of \"n_heads\", which is 16");
}

static void test_rates_and_numbers(void **state)
{
    static const char *const rates[] = {"hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        refuses(base_bert, rates[i], "1", "is 1; expected a number in [0, 1)");
        refuses(base_bert, rates[i], "-0.1", "is -0.1");
        refuses(base_bert, rates[i], "\"0.1\"", "is a string; expected a number");
        refuses(base_bert, rates[i], "true", "is a boolean");
    }
    refuses(base_distilbert, "dropout", "1.5", "is 1.5");
    refuses(base_distilbert, "attention_dropout", "[]", "is an array");
    refuses(base_bert, "layer_norm_eps", "-1e-12", "expected a number in [0, 1]");
    refuses(base_bert, "layer_norm_eps", "\"1e-12\"", "is a string");
    refuses(base_bert, "initializer_range", "-0.02", "is -0.02");
    refuses(base_bert, "pad_token_id", "16", "expected 0 to 15");
    refuses(base_bert, "pad_token_id", "-1", "is -1");
    refuses(base_bert, "pad_token_id", "\"[PAD]\"", "is a string; expected a token id or null");
}

static void test_unsupported(void **state)
{
    (void)state;
    refuses(base_bert, "model_type", NULL, "expected bert, distilbert, roberta, electra, gpt2");
    refuses(base_bert, "model_type", "7", "is an integer");
    refuses(base_bert, "model_type", "\"t5\"", "\"t5\" is not supported; expected one of bert, distilbert");
    refuses(base_bert, "model_type", "\"distillbert\"", "the nearest is distilbert");
    refuses(base_bert, "hidden_act", "\"relu\"",
            "\"relu\" is not supported; expected \"gelu\", \"gelu_new\" or \"gelu_pytorch_tanh\"");
    refuses(base_bert, "hidden_act", "0", "is an integer; expected \"gelu\"");
    refuses(base_distilbert, "activation", "\"gelu_fast\"", "\"gelu_fast\" is not supported");
    refuses(base_bert, "is_decoder", "true", "true is not supported");
    refuses(base_bert, "is_decoder", "1", "is an integer; expected false");
    refuses(base_bert, "add_cross_attention", "true", "true is not supported");
    refuses(base_bert, "position_embedding_type", "\"relative_key\"",
            "\"relative_key\" is not supported; expected \"absolute\"");
    refuses(base_bert, "pruned_heads", "{\"0\": [1]}", "is not supported");
    refuses(base_bert, "quantization_config", "{\"bits\": 4}", "is not supported");
    refuses(base_distilbert, "sinusoidal_pos_embds", "\"no\"", "is a string; expected true or false");
    refuses(base_bert, "architectures", "\"BertModel\"", "is a string; expected an array");
    refuses(base_bert, "relearn_random_init", "\"x\"", "is a string; expected a seed");
    refuses(base_bert, "relearn_random_init", "-1", "is negative");
}

static const char base_gpt2[] =
    "{\"model_type\": \"gpt2\", \"vocab_size\": 16, \"n_embd\": 8, \"n_layer\": 2, \"n_head\": 2, "
    "\"n_positions\": 12}";
static const char base_roberta[] = "{\"model_type\": \"roberta\", \"vocab_size\": 16, \"hidden_size\": 8, "
                                   "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 16,"
                                   "\"max_position_embeddings\": 14}";
static const char base_electra[] = "{\"model_type\": \"electra\", \"vocab_size\": 16, \"hidden_size\": 8, "
                                   "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 16,"
                                   "\"max_position_embeddings\": 14, \"embedding_size\": 8}";

static rl_model_config accepted(const char *base, const char *key, const char *value)
{
    rl_model_config config = accepts(base, key, value);
    rl_model_config_free(&config);
    return config;
}

static void test_gpt2(void **state)
{
    (void)state;
    rl_model_config config = accepted(base_gpt2, "n_inner", "null");
    assert_int_equal(config.intermediate_size, 32);
    assert_int_equal(config.pad_token_id, -1);
    assert_true(config.tanh_gelu && !config.unscaled_attention && !config.layer_scaled_attention);
    assert_close(config.layer_norm_eps, 1e-5, 1e-6, 0);
    assert_close(config.dropout_head, 0.1, 1e-6, 0);
    assert_int_equal(accepted(base_gpt2, "n_inner", "24").intermediate_size, 24);
    assert_false(accepted(base_gpt2, "activation_function", "\"gelu\"").tanh_gelu);
    assert_close(accepted(base_gpt2, "classifier_dropout", "0.25").dropout_head, 0.25, 1e-6, 0);
    assert_close(accepted(base_gpt2, "hidden_dropout", "0.5").dropout_head, 0.5, 1e-6, 0);
    assert_close(accepted(base_gpt2, "resid_pdrop", "0.5").dropout_head, 0.1, 1e-6, 0); /* not hidden_dropout */
    assert_close(accepted(base_gpt2, "embd_pdrop", "0.5").dropout_embedding, 0.5, 1e-6, 0);
    assert_true(accepted(base_gpt2, "scale_attn_weights", "false").unscaled_attention);
    refuses(base_gpt2, "scale_attn_weights", "1", "is an integer; expected true or false");
    refuses(base_gpt2, "n_inner", "0", "is 0; expected an integer from 1");
    refuses(base_gpt2, "n_embd", NULL, "expected an integer from 1 to");
    refuses(base_gpt2, "activation_function", "\"relu\"", "\"relu\" is not supported");
    refuses(base_gpt2, "add_cross_attention", "true", "true is not supported");
    refuses(base_gpt2, "embd_pdrop", "1", "is 1; expected a number in [0, 1)");
    refuses(base_gpt2, "hidden_dropout", "\"x\"", "is a string; expected a number");
}

static void test_roberta_and_electra(void **state)
{
    (void)state;
    rl_model_config config = accepted(base_roberta, "pad_token_id", NULL);
    assert_int_equal(config.pad_token_id, 1);
    assert_int_equal(config.position_offset, 2);
    assert_int_equal(config.max_positions, 12);
    assert_int_equal(accepted(base_roberta, "pad_token_id", "4").max_positions, 9);
    refuses(base_roberta, "pad_token_id", "null", "expected a token id, behind which positions begin");
    refuses(base_roberta, "max_position_embeddings", "2", "is 2; expected more than 2");
    refuses(base_electra, "embedding_size", "4", "is 4; expected \"hidden_size\", which is 8");
    refuses(base_electra, "embedding_size", NULL, "is 128; expected \"hidden_size\", which is 8");
}

static void test_labels(void **state)
{
    (void)state;
    refuses(base_bert, "id2label", "[]", "is an array; expected an object");
    refuses(base_bert, "id2label", "{}", "has 0 labels");
    refuses(base_bert, "id2label", "{\"0\": \"O\", \"2\": \"X\"}", "no \"1\"; expected the keys \"0\" to \"1\"");
    refuses(base_bert, "id2label", "{\"0\": 5}", "is an integer");
    refuses(base_bert, "id2label", "{\"0\": \"O\", \"1\": \"O\"}", "gives \"O\" to 0 and to 1");
    refuses(base_bert, "label2id", "[]", "is an array");
    refuses(base_bert, "num_labels", "\"9\"", "is a string");
    rl_model_config config = accepts(base_bert, "id2label", "{\"1\": \"B-X\", \"0\": \"O\"}");
    assert_int_equal(config.num_labels, 2);
    assert_string_equal(rl_names_get(config.labels, 0), "O");
    rl_model_config_free(&config);
    config = accepts(base_bert, "num_labels", "3");
    assert_int_equal(config.num_labels, 3);
    assert_string_equal(rl_names_get(config.labels, 2), "LABEL_2");
    rl_model_config_free(&config);
}

static void test_defaults(void **state)
{
    (void)state;
    rl_model_config bert = accepts(base_bert, "classifier_dropout", "null");
    assert_true(bert.dropout_hidden == 0.1f && bert.dropout_attention == 0.1f && bert.dropout_head == 0.1f);
    assert_true(bert.layer_norm_eps == 1e-12f && bert.initializer_range == 0.02f);
    assert_int_equal(bert.type_vocab_size, 2);
    assert_int_equal(bert.pad_token_id, 0);
    assert_int_equal(bert.num_labels, 2);
    rl_model_config_free(&bert);
    bert = accepts(base_bert, "hidden_dropout_prob", "0.3");
    assert_true(bert.dropout_head == 0.3f && bert.dropout_attention == 0.1f); /* the head falls back to hidden's rate */
    rl_model_config_free(&bert);
    bert = accepts(base_bert, "layer_norm_eps", "1e-5");
    assert_true(bert.layer_norm_eps == 1e-5f);
    rl_model_config_free(&bert);
    bert = accepts(base_bert, "pad_token_id", "null");
    assert_int_equal(bert.pad_token_id, -1);
    rl_model_config_free(&bert);
    bert = accepts(base_bert, "hidden_dropout_prob", "0"); /* an integer is a number */
    assert_true(bert.dropout_hidden == 0);
    rl_model_config_free(&bert);
    rl_model_config distilbert = accepts(base_distilbert, "dropout", "0.2");
    assert_true(distilbert.dropout_head == 0.2f && distilbert.dropout_attention == 0.1f &&
                distilbert.layer_norm_eps == 1e-12f);
    rl_model_config_free(&distilbert);
    distilbert = accepts(base_distilbert, "sinusoidal_pos_embds", "true");
    rl_model_config_free(&distilbert);
}

/* A mistyped key is named with the key that was probably meant. */
static void test_nearest_key(void **state)
{
    rl_error err = {0};
    rl_model_config config;
    json_t *root = with(base_bert, "hidden_size", NULL);
    (void)state;
    json_object_set_new(root, "hiden_size", json_integer(8));
    assert_fails(rl_config_from_json(&config, root, "c", &err), RL_ERR_INPUT, err, "the nearest key is \"hiden_size\"");
    json_decref(root);
}

static void test_files(void **state)
{
    rl_error err = {0};
    rl_model_config config = {0};
    const char *folder = new_folder("config");
    (void)state;
    assert_int_not_equal(rl_model_config_read(&config, folder, &err), RL_OK);
    assert_non_null(strstr(err.message, "config.json"));
    write_in(folder, "config.json", "{\"model_type\": \"bert\",\n  oops}");
    assert_fails(rl_model_config_read(&config, folder, &err), RL_ERR_INPUT, err, "config.json:2:");
    write_in(folder, "config.json", "[1]");
    assert_fails(rl_model_config_read(&config, folder, &err), RL_ERR_INPUT, err, "config.json");
    write_in(folder, "config.json", base_bert);
    assert_ok(rl_model_config_read(&config, folder, &err), err);
    assert_int_equal(config.hidden_size, 8);
    rl_model_config_free(&config);
    assert_fails(rl_model_check_folder("/no/such/folder", &err), RL_ERR_INPUT, err, "/no/such/folder: no such folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_rates_and_numbers),   cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_gpt2),     cmocka_unit_test(test_roberta_and_electra), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_nearest_key),         cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
