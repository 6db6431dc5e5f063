/* weight_files.c -- the weights of a Hub folder by name: one model.safetensors, or shards under an index.
 *
 * Every parameter must be found with its shape, and no encoder tensor may be left over: a config.json of 6 layers
 * beside weights of 12 is refused instead of half-read. Other models' heads and buffers are passed over (protocol
 * §2.3). */
#include "model_internal.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------- opening */

static int by_name(const void *a, const void *b)
{
    const rl_tensor_view *x = *(rl_tensor_view *const *)a, *y = *(rl_tensor_view *const *)b;
    return strcmp(x->name, y->name);
}

static rl_status sort_by_name(rl_weight_files *files, rl_error *err)
{
    rl_status status = RL_OK;
    size_t n = 0;
    for (size_t f = 0; f < files->num_files; f++) n += files->files[f].num_tensors;
    RL_ALLOC(files->sorted, n, err);
    files->num_tensors = n;
    n = 0;
    for (size_t f = 0; f < files->num_files; f++)
        for (size_t i = 0; i < files->files[f].num_tensors; i++) files->sorted[n++] = &files->files[f].tensors[i];
    if (n > 1) qsort(files->sorted, n, sizeof *files->sorted, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(files->sorted[i - 1]->name, files->sorted[i]->name) == 0)
            return rl_fail_at(err, RL_ERR_INPUT, files->sorted[i]->file, 0, 0,
                              "tensor \"%.128s\" is also in %s; expected it once", files->sorted[i]->name,
                              files->sorted[i - 1]->file);
cleanup:
    return status;
}

static rl_status open_single(rl_weight_files *out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(out->files, 1, err);
    RL_TRY(rl_safetensors_open(&out->files[0], path, err));
    out->num_files = 1;
cleanup:
    return status;
}

static rl_tensor_view *find_exact(const rl_weight_files *files, const char *name)
{
    rl_tensor_view wanted = {.name = name}, *key = &wanted;
    rl_tensor_view **found = NULL;
    if (files->num_tensors) found = bsearch(&key, files->sorted, files->num_tensors, sizeof *files->sorted, by_name);
    return found ? *found : NULL;
}

/* Shards are files beside the index and nowhere else: an index from the Hub must not reach into the file system. */
static rl_status check_shard_name(const json_t *value, const char *tensor, const char *path, rl_error *err)
{
    const char *name = json_string_value(value);
    if (!name)
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0, "\"weight_map\": the value of \"%.128s\" is not a file name",
                          tensor);
    if (!*name || *name == '.' || strpbrk(name, "/\\"))
        return rl_fail_at(err, RL_ERR_INPUT, path, 0, 0,
                          "\"weight_map\": \"%.128s\" is not the plain name of a file in the same folder", name);
    return RL_OK;
}

static rl_status open_shard(rl_weight_files *out, const char *folder, const char *name, const char *index,
                            rl_error *err)
{
    rl_status status = RL_OK;
    char *path = rl_path_join(folder, name, err);
    if (!path) return RL_ERR_MEMORY;
    if (!rl_path_exists(path)) {
        status = rl_fail_at(err, RL_ERR_INPUT, index, 0, 0, "names the shard %.256s, which is not in the folder", name);
        goto cleanup;
    }
    RL_TRY(rl_safetensors_open(&out->files[out->num_files], path, err));
    out->num_files++;
cleanup:
    rl_free(path);
    return status;
}

/* Each shard once, in order of first mention. */
static rl_status open_shards(rl_weight_files *out, json_t *map, const char *folder, const char *index, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *names = NULL;
    const char *tensor;
    json_t *value;
    RL_TRY(rl_names_create(&names, err));
    json_object_foreach(map, tensor, value)
    {
        int32_t id;
        RL_TRY(check_shard_name(value, tensor, index, err));
        RL_TRY(rl_names_intern(names, json_string_value(value), strlen(json_string_value(value)), &id, err));
    }
    RL_ALLOC(out->files, rl_names_count(names), err);
    for (int32_t i = 0; i < rl_names_count(names); i++)
        RL_TRY(open_shard(out, folder, rl_names_get(names, i), index, err));
cleanup:
    rl_names_free(names);
    return status;
}

static rl_status check_map(const rl_weight_files *files, json_t *map, const char *index, rl_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value)
    {
        const rl_tensor_view *tensor = find_exact(files, name);
        const char *base = tensor ? strrchr(tensor->file, '/') : NULL;
        base = base ? base + 1 : (tensor ? tensor->file : NULL);
        if (!tensor || strcmp(base, json_string_value(value)) != 0)
            return rl_fail_at(err, RL_ERR_INPUT, index, 0, 0,
                              "\"weight_map\" puts tensor \"%.128s\" into %.128s, which does not hold it", name,
                              json_string_value(value));
    }
    return RL_OK;
}

static rl_status open_index(rl_weight_files *out, const char *folder, const char *index, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL, *map;
    RL_TRY(rl_json_read(&root, index, err));
    map = json_object_get(root, "weight_map");
    if (!json_object_size(map)) {
        status =
            rl_fail_at(err, RL_ERR_INPUT, index, 0, 0, "no \"weight_map\"; expected an object {tensor: file, ...}");
        goto cleanup;
    }
    RL_TRY(open_shards(out, map, folder, index, err));
    RL_TRY(sort_by_name(out, err));
    RL_TRY(check_map(out, map, index, err));
cleanup:
    json_decref(root);
    return status;
}

/* RL_OK when the folder has no weights of any kind; else what to do about a format that is not read here. */
static rl_status check_foreign(const char *folder, rl_error *err)
{
    static const char *const foreign[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
                                          "flax_model.msgpack"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        char *path = rl_path_join(folder, foreign[i], err);
        bool exists = path && rl_path_exists(path);
        rl_free(path);
        if (!path) return RL_ERR_MEMORY;
        if (exists)
            return rl_fail_at(err, RL_ERR_INPUT, folder, 0, 0,
                              "holds %s but no model.safetensors; convert to safetensors, for example with "
                              "transformers' save_pretrained",
                              foreign[i]);
    }
    return RL_OK;
}

rl_status rl_weight_files_open(rl_weight_files *out, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    rl_weight_files files = {0};
    char *single = rl_path_join(folder, "model.safetensors", err), *index = NULL;
    if (!single) return RL_ERR_MEMORY;
    index = rl_path_join(folder, "model.safetensors.index.json", err);
    if (!index) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if (rl_path_exists(single)) {
        RL_TRY(open_single(&files, single, err));
        RL_TRY(sort_by_name(&files, err));
        files.name = single;
        single = NULL;
    } else if (rl_path_exists(index)) {
        RL_TRY(open_index(&files, folder, index, err));
        files.name = index;
        index = NULL;
    } else {
        RL_TRY(check_foreign(folder, err));
    }
    *out = files;
    memset(&files, 0, sizeof files);
cleanup:
    rl_weight_files_close(&files);
    rl_free(single);
    rl_free(index);
    return status;
}

void rl_weight_files_close(rl_weight_files *files)
{
    if (!files) return;
    for (size_t i = 0; i < files->num_files; i++) rl_safetensors_close(&files->files[i]);
    rl_free(files->files);
    rl_free(files->sorted);
    rl_free(files->name);
    memset(files, 0, sizeof *files);
}

/* ---------------------------------------------------------------------------------------------- names */

/* bert-base-* were converted from TensorFlow: LayerNorm.gamma and .beta (protocol §2.3). */
static bool old_norm_name(char out[128], const char *name)
{
    const char *norm = strstr(name, "LayerNorm.");
    if (!norm) return false;
    snprintf(out, 128, "%.*s%s", (int)(norm - name) + 10, name, strcmp(norm + 10, "weight") == 0 ? "gamma" : "beta");
    return true;
}

static rl_tensor_view *find_either(const rl_weight_files *files, const char *name)
{
    char old[128];
    rl_tensor_view *found = find_exact(files, name);
    return found || !old_norm_name(old, name) ? found : find_exact(files, old);
}

rl_tensor_view *rl_weight_files_find(const rl_weight_files *files, const rl_model *model, int64_t parameter)
{
    const char *name = model->parameters[parameter].name, *prefix = model->config.architecture->prefix;
    rl_tensor_view *found = find_either(files, name);
    if (found || rl_is_head_parameter(model, parameter)) return found;
    return find_either(files, name + strlen(prefix));
}

/* Is the name one of the encoder's, with or without prefix? *stem: without. */
static bool is_encoder_name(const rl_architecture *architecture, const char *name, const char **stem)
{
    size_t length = strlen(architecture->prefix);
    bool prefixed = strncmp(name, architecture->prefix, length) == 0;
    *stem = prefixed ? name + length : name;
    for (size_t i = 0; i < sizeof architecture->roots / sizeof *architecture->roots; i++)
        if (architecture->roots[i] && strncmp(*stem, architecture->roots[i], strlen(architecture->roots[i])) == 0)
            return true;
    return prefixed;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

/* Encoder tensors that take no part in token classification. */
static bool is_ignorable(const char *stem)
{
    return strncmp(stem, "pooler.", 7) == 0 || ends_with(stem, "position_ids") || ends_with(stem, "token_type_ids") ||
           ends_with(stem, ".attn.bias") || ends_with(stem, ".attn.masked_bias"); /* GPT-2's causal mask */
}

static rl_status refuse_left_over(const rl_weight_files *files, const rl_model *model, rl_error *err)
{
    for (size_t i = 0; i < files->num_tensors; i++) {
        const rl_tensor_view *tensor = files->sorted[i];
        const char *stem;
        if (tensor->used || !is_encoder_name(model->config.architecture, tensor->name, &stem) || is_ignorable(stem))
            continue;
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                          "tensor \"%.128s\" has no place in the %s of config.json (%lld layers); expected weights and "
                          "configuration of one model",
                          tensor->name, model->config.model_type, (long long)model->config.num_layers);
    }
    return RL_OK;
}

/* --------------------------------------------------------------------------------------------- reading */

static void write_shape(char text[200], int num_dims, const int64_t *shape)
{
    size_t used = 1;
    snprintf(text, 200, "[");
    for (int i = 0; i < num_dims && used < 170; i++)
        used += (size_t)snprintf(text + used, 200 - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + used, 200 - used, "]");
}

static rl_status check_tensor(const rl_tensor_view *tensor, const rl_parameter *parameter, rl_error *err)
{
    bool fits = tensor->num_dims == parameter->num_dims;
    char has[200], wants[200];
    for (int i = 0; fits && i < tensor->num_dims; i++) fits = tensor->shape[i] == parameter->shape[i];
    if (tensor->dtype == RL_DTYPE_OTHER)
        return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0, "tensor \"%.128s\" is %s; expected F32, F16 or BF16",
                          tensor->name, tensor->dtype_name);
    if (fits) return RL_OK;
    write_shape(has, tensor->num_dims, tensor->shape);
    write_shape(wants, parameter->num_dims, parameter->shape);
    return rl_fail_at(err, RL_ERR_INPUT, tensor->file, 0, 0,
                      "tensor \"%.128s\" has the shape %s; expected %s as config.json says", tensor->name, has, wants);
}

static rl_status read_parameter(rl_weight_files *files, rl_model *model, int64_t index, rl_error *err)
{
    const rl_parameter *parameter = &model->parameters[index];
    rl_tensor_view *tensor = rl_weight_files_find(files, model, index);
    rl_status status;
    if (!tensor)
        return rl_fail_at(err, RL_ERR_INPUT, files->name, 0, 0,
                          "no tensor \"%s\"; expected every weight of the %s that config.json describes",
                          parameter->name, model->config.model_type);
    status = check_tensor(tensor, parameter, err);
    if (status != RL_OK) return status;
    tensor->used = true;
    if (model->weights) rl_tensor_to_float(model->weights + parameter->offset, tensor);
    return RL_OK;
}

rl_status rl_weight_files_read(rl_weight_files *files, rl_model *model, bool with_head, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t i = 0; i < model->num_parameters; i++)
        if (with_head || !rl_is_head_parameter(model, i)) RL_TRY(read_parameter(files, model, i, err));
    RL_TRY(refuse_left_over(files, model, err));
cleanup:
    return status;
}
