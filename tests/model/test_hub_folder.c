/* Hub folders: what is read in which spelling, which head is kept, what is refused with which line, and that a saved
 * folder is the model again, bit for bit.
 *
 * LABELS: unit */
#include "model_support.h"

/* ------------------------------------------------------------------------------- a folder written by hand */

typedef struct folder_plan {
    const char *config;
    bool no_prefix, gamma_beta;
    const char *leave_out; /* HF name of a tensor that is not written */
    const char *reshape;   /* HF name of a tensor written as [1, count] */
    const char *as_i64;    /* HF name of a tensor written as I64 */
    const char *extra;     /* name of an additional F32 tensor [2] */
} folder_plan;

static void spell(char out[200], const rl_parameter *p, const folder_plan *plan, const char *prefix)
{
    const char *name = p->name;
    char *norm;
    if (plan->no_prefix && strncmp(name, prefix, strlen(prefix)) == 0) name += strlen(prefix);
    snprintf(out, 200, "%s", name);
    norm = strstr(out, "LayerNorm.");
    if (plan->gamma_beta && norm) strcpy(norm + 10, strcmp(norm + 10, "weight") == 0 ? "gamma" : "beta");
}

static bool is(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

/* The plan's model.safetensors with the weights of `model`; returns the folder. */
static const char *write_folder(const rl_model *model, const folder_plan *plan)
{
    const char *folder = new_folder("hub"), *prefix = model->config.architecture->prefix;
    rl_buffer header = {0}, file = {0};
    rl_error err = {0};
    long long offset = 0;
    assert_ok(rl_buffer_printf(&header, &err, "{\"__metadata__\": {\"format\": \"pt\"}"), err);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        char name[200], shape[64];
        long long bytes = (long long)p->count * (is(plan->as_i64, p->name) ? 8 : 4);
        if (is(plan->leave_out, p->name)) continue;
        spell(name, p, plan, prefix);
        snprintf(shape, sizeof shape, p->num_dims == 2 ? "%lld, %lld" : "%lld", (long long)p->shape[0],
                 (long long)p->shape[1]);
        if (is(plan->reshape, p->name)) snprintf(shape, sizeof shape, "1, %lld", (long long)p->count);
        assert_ok(rl_buffer_printf(&header, &err,
                                   ", \"%s\": {\"dtype\": \"%s\", \"shape\": [%s], \"data_offsets\": [%lld, %lld]}",
                                   name, is(plan->as_i64, p->name) ? "I64" : "F32", shape, offset, offset + bytes),
                  err);
        offset += bytes;
    }
    if (plan->extra)
        assert_ok(rl_buffer_printf(&header, &err,
                                   ", \"%s\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [%lld, %lld]}",
                                   plan->extra, offset, offset + 8),
                  err);
    assert_ok(rl_buffer_printf(&header, &err, "}"), err);
    char length[8];
    for (int i = 0; i < 8; i++) length[i] = (char)(header.length >> 8 * i & 255);
    assert_ok(rl_buffer_append(&file, length, 8, &err), err);
    assert_ok(rl_buffer_append(&file, header.data, header.length, &err), err);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        for (int twice = 0; !is(plan->leave_out, p->name) && twice < (is(plan->as_i64, p->name) ? 2 : 1); twice++)
            assert_ok(rl_buffer_append(&file, model->weights + p->offset, (size_t)p->count * 4, &err), err);
    }
    if (plan->extra) assert_ok(rl_buffer_append(&file, "\0\0\0\0\0\0\0\0", 8, &err), err);
    write_bytes(folder, "model.safetensors", file.data, file.length);
    write_in(folder, "config.json", plan->config);
    rl_buffer_free(&header);
    rl_buffer_free(&file);
    return folder;
}

static rl_model *formula_model(const char *config)
{
    rl_model *model = load_text(config);
    fill_by_formula(model);
    return model;
}

static void assert_same_weights(const rl_model *a, const rl_model *b)
{
    assert_int_equal(a->num_weights, b->num_weights);
    assert_memory_equal(a->weights, b->weights, (size_t)a->num_weights * sizeof *a->weights);
}

static void refuses(const char *folder, const char *part)
{
    rl_error err = {0};
    rl_model *model = (rl_model *)(uintptr_t)8;
    assert_fails(rl_model_load(&model, folder, NULL, 0, &err), RL_ERR_INPUT, err, part);
    assert_int_equal((uintptr_t)model, 8);
    assert_non_null(strstr(err.message, folder));
    assert_fails(rl_model_check_folder(folder, &err), RL_ERR_INPUT, err, part);
}

static rl_names *labels_of(const char *const *texts, int n)
{
    rl_names *labels = NULL;
    rl_error err = {0};
    int32_t id;
    assert_ok(rl_names_create(&labels, &err), err);
    for (int i = 0; i < n; i++) assert_ok(rl_names_intern(labels, texts[i], strlen(texts[i]), &id, &err), err);
    return labels;
}

/* ------------------------------------------------------------------------------------------------- reading */

static void test_spellings(void **state)
{
    const folder_plan plans[] = {{.config = tiny_bert},
                                 {.config = tiny_bert, .no_prefix = true},
                                 {.config = tiny_bert, .no_prefix = true, .gamma_beta = true},
                                 {.config = tiny_bert, .gamma_beta = true},
                                 {.config = tiny_bert, .extra = "bert.pooler.dense.bias"},
                                 {.config = tiny_bert, .extra = "cls.predictions.bias"},
                                 {.config = tiny_bert, .extra = "bert.embeddings.position_ids"},
                                 {.config = tiny_bert, .no_prefix = true, .extra = "pooler.dense.bias"},
                                 {.config = tiny_distilbert},
                                 {.config = tiny_distilbert, .no_prefix = true},
                                 {.config = tiny_distilbert, .extra = "vocab_projector.bias"},
                                 {.config = tiny_distilbert, .extra = "pre_classifier.bias"}};
    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        rl_model *model = formula_model(plans[i].config), *read = NULL;
        rl_error err = {0};
        const char *folder = write_folder(model, &plans[i]);
        assert_ok(rl_model_check_folder(folder, &err), err);
        assert_ok(rl_model_load(&read, folder, NULL, 0, &err), err);
        assert_same_weights(model, read);
        assert_false(read->head_is_new);
        rl_model_free(model);
        rl_model_free(read);
    }
}

static void test_refused_tensors(void **state)
{
    rl_model *bert = formula_model(tiny_bert);
    (void)state;
    folder_plan plan = {.config = tiny_bert, .leave_out = "bert.encoder.layer.1.attention.self.key.bias"};
    refuses(write_folder(bert, &plan), "no tensor \"bert.encoder.layer.1.attention.self.key.bias\"");
    plan = (folder_plan){.config = tiny_bert, .leave_out = "classifier.bias"};
    refuses(write_folder(bert, &plan), "no tensor \"classifier.bias\"");
    plan = (folder_plan){.config = tiny_bert, .reshape = "bert.encoder.layer.0.output.dense.weight"};
    refuses(write_folder(bert, &plan),
            "\"bert.encoder.layer.0.output.dense.weight\" has the shape [1, 128]; expected [8, 16]");
    plan = (folder_plan){.config = tiny_bert, .as_i64 = "bert.embeddings.LayerNorm.bias"};
    refuses(write_folder(bert, &plan), "\"bert.embeddings.LayerNorm.bias\" is I64; expected F32, F16 or BF16");
    plan = (folder_plan){.config = tiny_bert, .extra = "bert.encoder.layer.2.output.dense.bias"};
    refuses(write_folder(bert, &plan),
            "\"bert.encoder.layer.2.output.dense.bias\" has no place in the bert of config.json (2 layers)");
    plan =
        (folder_plan){.config = tiny_bert, .no_prefix = true, .extra = "encoder.layer.0.attention.self.query.lora_A"};
    refuses(write_folder(bert, &plan), "has no place");
    plan = (folder_plan){.config = tiny_distilbert};
    refuses(write_folder(bert, &plan), "no tensor \"distilbert.embeddings.word_embeddings.weight\"");
    rl_model_free(bert);
}

static void test_folders_without_weights(void **state)
{
    const char *folder = new_folder("none");
    char config[2000];
    (void)state;
    refuses(folder, "config.json");
    snprintf(config, sizeof config, "%s", tiny_bert);
    memcpy(strstr(config, "relearn_random_init"), "something_different", 19);
    write_in(folder, "config.json", config);
    refuses(folder, "has config.json but no weights; expected model.safetensors");
    write_in(folder, "pytorch_model.bin", "PK");
    refuses(folder, "holds pytorch_model.bin but no model.safetensors; convert to safetensors");
    write_in(folder, "model.safetensors", "");
    refuses(folder, "model.safetensors: is 0 bytes long");
}

/* -------------------------------------------------------------------------------------------------- shards */

static void refuses_index(const char *index, const char *part)
{
    rl_model *model = formula_model(tiny_bert);
    const char *folder = write_folder(model, &(folder_plan){.config = tiny_bert});
    char from[4200], to[4200];
    snprintf(from, sizeof from, "%s/model.safetensors", folder);
    snprintf(to, sizeof to, "%s/part.safetensors", folder);
    assert_int_equal(rename(from, to), 0);
    write_in(folder, "model.safetensors.index.json", index);
    refuses(folder, part);
    rl_model_free(model);
}

static void test_bad_indexes(void **state)
{
    (void)state;
    refuses_index("", "model.safetensors.index.json:1:");
    refuses_index("{}", "no \"weight_map\"");
    refuses_index("{\"weight_map\": []}", "no \"weight_map\"");
    refuses_index("{\"weight_map\": {\"classifier.bias\": 3}}", "the value of \"classifier.bias\" is not a file name");
    refuses_index("{\"weight_map\": {\"classifier.bias\": \"../part.safetensors\"}}",
                  "is not the plain name of a file");
    refuses_index("{\"weight_map\": {\"classifier.bias\": \"/etc/passwd\"}}", "is not the plain name of a file");
    refuses_index("{\"weight_map\": {\"classifier.bias\": \"..\"}}", "is not the plain name of a file");
    refuses_index("{\"weight_map\": {\"classifier.bias\": \"gone.safetensors\"}}",
                  "names the shard gone.safetensors, which is not in the folder");
    refuses_index("{\"weight_map\": {\"nobody\": \"part.safetensors\"}}",
                  "puts tensor \"nobody\" into part.safetensors, which does not hold it");
}

static void test_tensor_in_two_shards(void **state)
{
    rl_model *model = formula_model(tiny_bert);
    rl_error err = {0};
    const char *folder = write_folder(model, &(folder_plan){.config = tiny_bert});
    char one[4200], two[4200], three[4200];
    (void)state;
    snprintf(one, sizeof one, "%s/model.safetensors", folder);
    snprintf(two, sizeof two, "%s/2.safetensors", folder);
    snprintf(three, sizeof three, "%s/3.safetensors", folder);
    assert_ok(rl_copy_file(one, two, &err), err);
    assert_int_equal(rename(one, three), 0);
    write_in(folder, "model.safetensors.index.json",
             "{\"weight_map\": {\"classifier.bias\": \"2.safetensors\", \"classifier.weight\": \"3.safetensors\"}}");
    refuses(folder, "is also in");
    rl_model_free(model);
}

/* --------------------------------------------------------------------------------------------------- heads */

static void test_which_head(void **state)
{
    static const char *const nine[] = {"O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"};
    static const char *const swapped[] = {"O",     "I-PER", "B-PER",  "B-ORG", "I-ORG",
                                          "B-LOC", "I-LOC", "B-MISC", "I-MISC"};
    rl_model *model = formula_model(tiny_bert), *a = NULL, *b = NULL, *c = NULL;
    rl_names *same = labels_of(nine, 9), *other = labels_of(swapped, 9), *three = labels_of(nine, 3);
    rl_error err = {0};
    const char *folder = write_folder(model, &(folder_plan){.config = tiny_bert});
    int64_t head = rl_model_find(model, "classifier.weight")->offset;
    (void)state;
    assert_ok(rl_model_load(&a, folder, same, 5, &err), err);
    assert_same_weights(a, model);
    assert_false(a->head_is_new);
    assert_ok(rl_model_load(&b, folder, other, 5, &err), err);
    assert_true(b->head_is_new);
    assert_string_equal(rl_names_get(b->config.labels, 1), "I-PER");
    assert_memory_equal(b->weights, model->weights, (size_t)head * sizeof(float)); /* the encoder is the folder's */
    for (int64_t k = 0; k < 72; k++)
        assert_true(b->weights[head + k] == (float)(0.02f * rl_rng_normal(5, RL_PURPOSE_HEAD_INIT, 0, 0, (uint64_t)k)));
    for (int64_t k = 0; k < 9; k++) assert_true(b->weights[rl_model_find(b, "classifier.bias")->offset + k] == 0);
    assert_ok(rl_model_load(&c, folder, three, 6, &err), err);
    assert_int_equal(rl_model_find(c, "classifier.weight")->shape[0], 3);
    assert_int_equal(c->config.num_labels, 3);
    assert_true(c->weights[head] != b->weights[head]);
    rl_names_free(same);
    rl_names_free(other);
    rl_names_free(three);
    rl_model_free(model);
    rl_model_free(a);
    rl_model_free(b);
    rl_model_free(c);
}

/* A base model has no head; a sequence classifier's tensors are named like ours but mean something else. */
static void test_no_token_head(void **state)
{
    static const char *const two[] = {"O", "B-X"};
    rl_model *model = formula_model(tiny_bert), *read = NULL;
    rl_names *labels = labels_of(two, 2);
    rl_error err = {0};
    char config[2000];
    const char *folder;
    (void)state;
    snprintf(config, sizeof config, "%s", tiny_bert);
    memcpy(strstr(config, "BertForTokenClassification"), "BertForSequenceXlassificat", 26);
    folder = write_folder(model, &(folder_plan){.config = config});
    assert_fails(rl_model_load(&read, folder, NULL, 0, &err), RL_ERR_INPUT, err, "has no token classification head");
    assert_ok(rl_model_load(&read, folder, labels, 0, &err), err);
    assert_true(read->head_is_new);
    rl_model_free(read);
    folder = write_folder(model, &(folder_plan){.config = tiny_bert, .leave_out = "classifier.weight"});
    assert_fails(rl_model_load(&read, folder, NULL, 0, &err), RL_ERR_INPUT, err, "has no token classification head");
    assert_ok(rl_model_check_folder(folder, &err), err); /* still a model to fine-tune */
    rl_names_free(labels);
    rl_model_free(model);
}

/* ------------------------------------------------------------------------------------------ initialisation */

static void test_random_init(void **state)
{
    rl_model *model = load_text(tiny_bert), *again = load_text(tiny_bert);
    double sum = 0, squares = 0;
    int64_t n = 0;
    (void)state;
    assert_same_weights(model, again);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        const float *w = model->weights + p->offset;
        assert_int_equal(p->decay, p->num_dims == 2);
        for (int64_t k = 0; p->num_dims == 1 && k < p->count; k++)
            assert_true(w[k] == (strstr(p->name, "LayerNorm.weight") ? 1.0f : 0.0f));
        for (int64_t k = 0; p->num_dims == 2 && k < p->count; k++) {
            bool pad = strstr(p->name, "word_embeddings") && k < 8;
            assert_true(
                w[k] ==
                (pad ? 0.0f : (float)(0.02f * rl_rng_normal(7, RL_PURPOSE_WEIGHT_INIT, (uint32_t)i, 0, (uint64_t)k))));
            if (!pad) sum += w[k], squares += (double)w[k] * w[k], n++;
        }
    }
    assert_close(sum / (double)n, 0, 0, 4 * 0.02 / sqrt((double)n)); /* 4 standard errors */
    assert_close(sqrt(squares / (double)n), 0.02, 4 / sqrt(2.0 * (double)n), 0);
    rl_model_free(model);
    rl_model_free(again);
}

static void test_sinusoidal_positions(void **state)
{
    char config[2000];
    (void)state;
    snprintf(config, sizeof config, "{\"sinusoidal_pos_embds\": true, %s", tiny_distilbert + 1);
    rl_model *model = load_text(config);
    const float *w = model->weights + rl_model_find(model, "distilbert.embeddings.position_embeddings.weight")->offset;
    for (int p = 0; p < 12; p++)
        for (int j = 0; j < 8; j++) {
            double angle = p / pow(10000, 2 * (j / 2) / 8.0);
            assert_close(w[p * 8 + j], j % 2 ? cos(angle) : sin(angle), 0, 1e-6);
        }
    rl_model_free(model);
}

/* Alignment of every tensor, the fused trio without gaps, zero padding, and what the public lookups return. */
static void test_layout(void **state)
{
    static const char c20[] = "{\"model_type\": \"bert\", \"architectures\": [\"BertForTokenClassification\"], "
                              "\"vocab_size\": 7, \"hidden_size\": 10,"
                              "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 6, "
                              "\"max_position_embeddings\": 3,"
                              "\"relearn_random_init\": 1, \"num_labels\": 2}";
    rl_model *model = load_text(c20);
    char *owned = calloc((size_t)model->num_weights, 1);
    (void)state;
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        bool inside_trio = strstr(p->name, ".key.") || strstr(p->name, ".value.");
        if (!inside_trio) assert_int_equal(p->offset % 16, 0);
        if (inside_trio) assert_int_equal(p->offset, p[-1].offset + p[-1].count);
        for (int64_t k = 0; k < p->count; k++) assert_int_equal(owned[p->offset + k]++, 0);
        assert_ptr_equal(rl_model_find(model, p->name), p);
    }
    for (int64_t k = 0; k < model->num_weights; k++) assert_true(owned[k] || model->weights[k] == 0);
    assert_null(rl_model_find(model, "nobody"));
    assert_int_equal(rl_model_norm_of_hidden_state(model, 0).gamma,
                     rl_model_find(model, "bert.embeddings.LayerNorm.weight")->offset);
    assert_int_equal(rl_model_norm_of_hidden_state(model, 2).beta,
                     rl_model_find(model, "bert.encoder.layer.1.output.LayerNorm.bias")->offset);
    assert_int_equal(rl_model_word_embeddings(model),
                     rl_model_find(model, "bert.embeddings.word_embeddings.weight")->offset);
    free(owned);
    rl_model_free(model);
}

/* ------------------------------------------------------------------------------------------- copy and save */

static void test_copy_is_independent(void **state)
{
    rl_model *model = formula_model(tiny_distilbert), *copy = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_model_copy(&copy, model, &err), err);
    assert_same_weights(model, copy);
    assert_true(rl_names_equal(model->config.labels, copy->config.labels));
    copy->weights[0] += 1;
    assert_true(copy->weights[0] != model->weights[0]);
    rl_model_free(model);
    assert_string_equal(rl_names_get(copy->config.labels, 8), "I-MISC");
    rl_model_free(copy);
}

static void test_save_and_load(void **state)
{
    (void)state;
    for (int which = 0; which < 2; which++) {
        rl_model *model = formula_model(which ? tiny_bert : tiny_distilbert), *read = NULL;
        rl_error err = {0};
        json_t *config = NULL;
        char folder[4200], path[4300];
        const char *tokenizer = new_folder("tokenizer");
        write_in(tokenizer, "vocab.txt", "[PAD]\n[UNK]\n");
        write_in(tokenizer, "unrelated.txt", "x");
        snprintf(folder, sizeof folder, "%s/deep/er", new_folder("save"));
        assert_ok(rl_model_save(model, folder, tokenizer, &err), err);
        assert_ok(rl_model_save(model, folder, tokenizer, &err), err); /* again, over itself */
        assert_ok(rl_model_load(&read, folder, NULL, 0, &err), err);
        assert_same_weights(model, read);
        snprintf(path, sizeof path, "%s/config.json", folder);
        assert_ok(rl_json_read(&config, path, &err), err);
        assert_null(json_object_get(config, "relearn_random_init"));
        assert_string_equal(json_string_value(json_array_get(json_object_get(config, "architectures"), 0)),
                            which ? "BertForTokenClassification" : "DistilBertForTokenClassification");
        assert_string_equal(json_string_value(json_object_get(config, "dtype")), "float32");
        assert_string_equal(json_string_value(json_object_get(json_object_get(config, "id2label"), "8")), "I-MISC");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(config, "label2id"), "B-LOC")), 5);
        snprintf(path, sizeof path, "%s/vocab.txt", folder);
        assert_true(rl_path_exists(path));
        snprintf(path, sizeof path, "%s/unrelated.txt", folder);
        assert_false(rl_path_exists(path));
        json_decref(config);
        rl_model_free(model);
        rl_model_free(read);
    }
}

static void test_unwritable_target(void **state)
{
    rl_model *model = formula_model(tiny_bert);
    rl_error err = {0};
    char path[4200];
    (void)state;
    snprintf(path, sizeof path, "%s/file", new_folder("save"));
    support_write(path, "x");
    assert_int_not_equal(rl_model_save(model, path, NULL, &err), RL_OK);
    assert_non_null(strstr(err.message, path));
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_refused_tensors),
        cmocka_unit_test(test_folders_without_weights),
        cmocka_unit_test(test_bad_indexes),
        cmocka_unit_test(test_tensor_in_two_shards),
        cmocka_unit_test(test_which_head),
        cmocka_unit_test(test_no_token_head),
        cmocka_unit_test(test_random_init),
        cmocka_unit_test(test_sinusoidal_positions),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_copy_is_independent),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_unwritable_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
