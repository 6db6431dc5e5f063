/* hub.c -- a Hub folder becomes a model, and a model a Hub folder. */
#include "model_internal.h"

#include <string.h>

/* ------------------------------------------------------------------------------------------------ load */

/* A folder being read: both files open, the model laid out but for the head's size. */
typedef struct folder_reader {
    char *config_path;
    rl_weight_files files;
    bool random_init;
    uint64_t seed;
    rl_model *model;
} folder_reader;

static void close_folder(folder_reader *reader)
{
    rl_model_free(reader->model);
    rl_weight_files_close(&reader->files);
    rl_free(reader->config_path);
}

static rl_status open_folder(folder_reader *reader, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    if (!rl_path_is_directory(folder))
        return rl_fail_at(err, RL_ERR_INPUT, folder, 0, 0,
                          rl_path_exists(folder) ? "is not a folder; expected a model folder with config.json"
                                                 : "no such folder; expected a model folder with config.json");
    reader->config_path = rl_path_join(folder, "config.json", err);
    if (!reader->config_path) return RL_ERR_MEMORY;
    RL_ALLOC(reader->model, 1, err);
    RL_TRY(rl_json_read(&reader->model->config_json, reader->config_path, err));
    RL_TRY(rl_config_from_json(&reader->model->config, reader->model->config_json, reader->config_path, err));
    RL_TRY(rl_config_random_init(reader->model->config_json, reader->config_path, &reader->random_init, &reader->seed,
                                 err));
    RL_TRY(rl_masks_from_json(reader->model, json_object_get(reader->model->config_json, "relearn_masks"),
                              reader->config_path, err));
    RL_TRY(rl_weight_files_open(&reader->files, folder, err));
    if (!reader->files.name && !reader->random_init)
        status =
            rl_fail_at(err, RL_ERR_INPUT, folder, 0, 0,
                       "has config.json but no weights; expected model.safetensors or model.safetensors.index.json");
cleanup:
    return status;
}

/* Is there a token classification head? A sequence classifier's tensors have the same names; "architectures" tells. */
static bool folder_has_head(const folder_reader *reader)
{
    const json_t *config = reader->model->config_json;
    bool tensors = false;
    for (size_t i = 0; i < reader->files.num_tensors; i++)
        if (strcmp(reader->files.sorted[i]->name, "classifier.weight") == 0) tensors = true;
    if (!reader->files.name) return rl_config_names_token_classifier(config, false);
    return tensors && rl_config_names_token_classifier(config, true);
}

static rl_status replace_labels(rl_model_config *config, const rl_names *labels, rl_error *err)
{
    rl_names *copy = NULL;
    rl_status status = rl_names_copy(&copy, labels, err);
    if (status != RL_OK) return status;
    rl_names_free(config->labels);
    config->labels = copy;
    config->num_labels = rl_names_count(copy);
    return RL_OK;
}

rl_status rl_model_load(rl_model **out, const char *folder, const rl_names *labels, uint64_t head_seed, rl_error *err)
{
    rl_status status = RL_OK;
    folder_reader reader = {0};
    bool keep_head;
    RL_TRY(open_folder(&reader, folder, err));
    keep_head = folder_has_head(&reader) && (!labels || rl_names_equal(labels, reader.model->config.labels));
    if (!labels && !keep_head) {
        status = rl_fail_at(err, RL_ERR_INPUT, folder, 0, 0,
                            "has no token classification head; expected classifier.weight and a "
                            "*ForTokenClassification in config.json");
        goto cleanup;
    }
    if (!keep_head) RL_TRY(replace_labels(&reader.model->config, labels, err));
    RL_TRY(rl_model_layout(reader.model, true, err));
    if (reader.files.name)
        RL_TRY(rl_weight_files_read(&reader.files, reader.model, keep_head, err));
    else
        rl_init_all(reader.model, reader.seed);
    if (!keep_head) rl_init_head(reader.model, head_seed);
    reader.model->head_is_new = !keep_head;
    *out = reader.model;
    reader.model = NULL;
cleanup:
    close_folder(&reader);
    return status;
}

rl_status rl_model_check_folder(const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    folder_reader reader = {0};
    RL_TRY(open_folder(&reader, folder, err));
    RL_TRY(rl_model_layout(reader.model, false, err));
    if (reader.files.name) RL_TRY(rl_weight_files_read(&reader.files, reader.model, folder_has_head(&reader), err));
cleanup:
    close_folder(&reader);
    return status;
}

/* -------------------------------------------------------------------------------------------- copy, free */

rl_status rl_model_copy(rl_model **out, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *copy = NULL;
    const rl_unit *masked;
    int64_t num_masked;
    RL_ALLOC(copy, 1, err);
    copy->config = model->config;
    copy->config.labels = NULL;
    copy->head_is_new = model->head_is_new;
    RL_TRY(rl_names_copy(&copy->config.labels, model->config.labels, err));
    copy->config_json = json_deep_copy(model->config_json);
    if (model->config_json && !copy->config_json) {
        status = rl_fail(err, RL_ERR_MEMORY, "out of memory copying a model");
        goto cleanup;
    }
    RL_TRY(rl_model_layout(copy, true, err));
    masked = rl_model_masks_units(model->masks, &num_masked);
    RL_TRY(rl_model_set_masks(copy, masked, num_masked, err));
    memcpy(copy->weights, model->weights, (size_t)model->num_weights * sizeof *model->weights);
    *out = copy;
    copy = NULL;
cleanup:
    rl_model_free(copy);
    return status;
}

void rl_model_free(rl_model *model)
{
    if (!model) return;
    rl_model_config_free(&model->config);
    json_decref(model->config_json);
    rl_model_masks_free(model->masks);
    rl_free(model->parameters);
    rl_free(model->weights);
    rl_free(model);
}

/* ------------------------------------------------------------------------------------------------ save */

static rl_status json_out_of_memory(const char *folder, rl_error *err)
{
    return rl_fail(err, RL_ERR_MEMORY, "%s: out of memory writing config.json", folder);
}

static bool set_labels(json_t *root, const rl_names *labels)
{
    json_t *id2label = json_object(), *label2id = json_object();
    bool ok = id2label && label2id;
    for (int32_t i = 0; ok && i < rl_names_count(labels); i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        ok = json_object_set_new(id2label, key, json_string(rl_names_get(labels, i))) == 0 &&
             json_object_set_new(label2id, rl_names_get(labels, i), json_integer(i)) == 0;
    }
    /* the setters take their references even when they fail */
    ok = (json_object_set_new(root, "id2label", id2label) == 0) && ok;
    ok = (json_object_set_new(root, "label2id", label2id) == 0) && ok;
    return ok;
}

/* config.json as read, with what saving changed: a token classifier in float32 with these labels. */
static rl_status make_config(json_t **out, const rl_model *model, const char *folder, rl_error *err)
{
    json_t *masks = NULL;
    if (model->masks && rl_masks_to_json(&masks, model->masks, err) != RL_OK) return RL_ERR_MEMORY;
    json_t *root = model->config_json ? json_deep_copy(model->config_json) : json_object();
    bool ok = root != NULL;
    if (!ok) json_decref(masks);
    if (!ok) return json_out_of_memory(folder, err);
    json_object_del(root, "relearn_random_init");
    json_object_del(root, "relearn_masks");
    if (masks) ok = json_object_set_new(root, "relearn_masks", masks) == 0;
    json_object_del(root, "torch_dtype");  /* transformers 4's name of dtype */
    json_object_del(root, "problem_type"); /* of a sequence classifier */
    json_object_del(root, "num_labels");   /* transformers derives it from id2label */
    ok =
        ok && json_object_set_new(root, "architectures", json_pack("[s]", model->config.architecture->class_name)) == 0;
    ok = ok && json_object_set_new(root, "model_type", json_string(model->config.model_type)) == 0;
    ok = ok && json_object_set_new(root, "dtype", json_string("float32")) == 0;
    ok = ok && set_labels(root, model->config.labels);
    if (ok) {
        *out = root;
        return RL_OK;
    }
    json_decref(root);
    return json_out_of_memory(folder, err);
}

static rl_status copy_tokenizer(const char *folder, const char *tokenizer_folder, rl_error *err)
{
    rl_status status = RL_OK;
    char *from = NULL, *to = NULL;
    for (size_t i = 0; tokenizer_folder && i < rl_num_tokenizer_files; i++) {
        from = rl_path_join(tokenizer_folder, rl_tokenizer_files[i], err);
        to = rl_path_join(folder, rl_tokenizer_files[i], err);
        if (!from || !to) {
            status = RL_ERR_MEMORY;
            goto cleanup;
        }
        if (rl_path_exists(from)) RL_TRY(rl_copy_file(from, to, err));
        rl_free(from);
        rl_free(to);
        from = to = NULL;
    }
cleanup:
    rl_free(from);
    rl_free(to);
    return status;
}

/* config.json comes last: a folder that was cut short has none, and no reader takes it for a model. */
rl_status rl_model_save(const rl_model *model, const char *folder, const char *tokenizer_folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *config = NULL;
    char *weights_path = NULL, *config_path = NULL;
    RL_TRY(rl_make_directories(folder, err));
    weights_path = rl_path_join(folder, "model.safetensors", err);
    config_path = rl_path_join(folder, "config.json", err);
    if (!weights_path || !config_path) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(make_config(&config, model, folder, err));
    RL_TRY(rl_safetensors_write(weights_path, model, err));
    RL_TRY(copy_tokenizer(folder, tokenizer_folder, err));
    RL_TRY(rl_json_write(config_path, config, err));
cleanup:
    json_decref(config);
    rl_free(weights_path);
    rl_free(config_path);
    return rl_error_while(err, status, "saving the model into %s", folder);
}
