/* shard_write.c -- one run's result as one HDF5 file whose bytes depend on nothing but the result.
 *
 * The file is built in memory (HDF5's core driver without a backing store) and handed to core's atomic writer: a
 * full disk is then a plain write() that failed, with its reason, and HDF5 never holds a half-written file. A
 * checksum of the contents goes into an attribute, one of all bytes into the file's first block. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ contents */

static rl_status result_extents(rl_extents *out, const rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    rl_extents e = {.stages = result->num_stages, .others = result->num_also};
    for (int32_t s = 0; s < result->num_stages; s++) {
        const rl_stage_result *stage = &result->stages[s];
        const rl_neuron_table *t = stage->neurons;
        if (stage->log.num_steps > e.steps) e.steps = stage->log.num_steps;
        if (stage->num_epochs > e.epochs) e.epochs = stage->num_epochs;
        if (stage->num_points > e.points) e.points = stage->num_points;
        RL_REQUIRE(t != NULL, err);
        if (s == 0) {
            e.layers = t->num_layers_plus_1;
            e.hidden_size = t->hidden_size;
            e.neurons = t->num_neurons;
            e.k = t->top_k;
        }
        RL_REQUIRE(t->num_layers_plus_1 == e.layers && t->num_neurons == e.neurons && t->top_k == e.k, err);
        RL_REQUIRE(t->num_neurons == t->num_layers_plus_1 * t->hidden_size, err);
    }
    *out = e;
cleanup:
    return status;
}

/* The tables of the other concepts, one after another. */
static size_t gather_others(void *scratch, const rl_field *field, const rl_stage_result *stage)
{
    size_t total = 0, width = rl_element_width(field->element);
    for (int32_t i = 0; i < stage->num_also; i++) {
        const void *values = NULL;
        size_t n = (size_t)stage->also[i]->num_neurons;
        memcpy(&values, (const char *)stage->also[i] + field->member, sizeof values);
        memcpy((char *)scratch + total * width, values, n * width);
        total += n;
    }
    return total;
}

/* One stage's part of a field: how many elements there are and where. Steps are gathered into scratch. */
static size_t stage_values(const void **values, void *scratch, const rl_field *field, const rl_stage_result *stage)
{
    const rl_neuron_table *t = stage->neurons;
    const rl_training_log *log = &stage->log;
    switch (field->axis) {
    case RL_AXIS_NEURON:
    case RL_AXIS_WORD:
        memcpy(values, (const char *)t + field->member, sizeof *values);
        return *values ? (size_t)t->num_neurons * (size_t)(field->axis == RL_AXIS_WORD ? t->top_k : 1) : 0;
    case RL_AXIS_FINDER:
        memcpy(values, (const char *)t + field->member, sizeof *values);
        return *values ? RL_NUM_RANK_METHODS : 0;
    case RL_AXIS_LAYER:
        memcpy(values, (const char *)stage + field->member, sizeof *values);
        return *values ? (size_t)t->num_layers_plus_1 : 0;
    case RL_AXIS_SET:
        memcpy(values, (const char *)stage + field->member, sizeof *values);
        return *values ? RL_NUM_CAUSAL_SETS : 0;
    case RL_AXIS_STEP: /* rl_step_record's fields are all 8 bytes wide */
        for (int64_t i = 0; i < log->num_steps; i++)
            memcpy((char *)scratch + 8 * i, (const char *)&log->steps[i] + field->member, 8);
        *values = scratch;
        return (size_t)log->num_steps;
    case RL_AXIS_EPOCH:
        memcpy(values, (const char *)stage + field->member, sizeof *values);
        return (size_t)stage->num_epochs;
    case RL_AXIS_POINT:
        memcpy(values, (const char *)stage + field->member, sizeof *values);
        return (size_t)stage->num_points;
    case RL_AXIS_OTHER: *values = scratch; return gather_others(scratch, field, stage);
    case RL_AXIS_TYPE:
    case RL_AXIS_PRUNED: break;
    }
    return 0;
}

static rl_status put_field(rl_place file, const rl_field *field, const rl_run_result *result, const rl_extents *extents,
                           rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = rl_field_array(field, extents);
    size_t row = rl_array_bytes(&array) / (size_t)extents->stages;
    char *values = NULL, *scratch = NULL, name[64];
    RL_ALLOC(values, rl_array_bytes(&array), err);
    RL_ALLOC(scratch, row, err);
    rl_fill_missing(values, rl_array_count(&array), array.element, array.width);
    for (int32_t s = 0; s < result->num_stages; s++) {
        const void *from = NULL;
        size_t n = stage_values(&from, scratch, field, &result->stages[s]);
        if (n) memcpy(values + (size_t)s * row, from, n * array.width);
    }
    rl_field_path(name, field);
    RL_TRY(rl_h5_put(file, name, &array, values, err));
cleanup:
    rl_free(scratch);
    rl_free(values);
    return status;
}

/* layer and unit of every neuron: protocol §2.2. */
static rl_status put_neuron_axes(rl_place file, const rl_extents *extents, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = rl_array_of(RL_I32, 1, (hsize_t[]){(hsize_t)extents->neurons});
    int32_t *layer = NULL, *unit = NULL;
    RL_ALLOC(layer, extents->neurons, err);
    RL_ALLOC(unit, extents->neurons, err);
    for (int64_t n = 0; n < extents->neurons; n++) {
        layer[n] = (int32_t)(n / extents->hidden_size);
        unit[n] = (int32_t)(n % extents->hidden_size);
    }
    RL_TRY(rl_h5_put(file, "neurons/layer", &array, layer, err));
    RL_TRY(rl_h5_put(file, "neurons/unit", &array, unit, err));
cleanup:
    rl_free(layer);
    rl_free(unit);
    return status;
}

/* n texts, text(context, i), as one array as wide as the longest. */
static rl_status put_texts(rl_place file, const char *name, int64_t n, const char *(*text)(const void *, int64_t),
                           const void *context, rl_error *err)
{
    rl_status status = RL_OK;
    size_t width = 0;
    char *values = NULL;
    for (int64_t i = 0; i < n; i++)
        if (strlen(text(context, i)) > width) width = strlen(text(context, i));
    rl_array array = rl_text_array(width, (hsize_t)n);
    RL_ALLOC(values, rl_array_bytes(&array), err);
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * array.width, text(context, i), strlen(text(context, i)));
    RL_TRY(rl_h5_put(file, name, &array, values, err));
cleanup:
    rl_free(values);
    return status;
}

static const char *stage_name(const void *result, int64_t i) { return ((const rl_run_result *)result)->stages[i].name; }
static const char *stage_key(const void *result, int64_t i)
{
    return ((const rl_run_result *)result)->stages[i].model_key;
}
static const char *word(const void *result, int64_t i) { return ((const rl_run_result *)result)->words[i]; }
static const char *other_name(const void *result, int64_t i) { return ((const rl_run_result *)result)->also[i]; }
static const char *type_name(const void *names, int64_t i) { return rl_names_get(names, (int32_t)i); }

/* ------------------------------------------------------------------------------------------------- scores */

static rl_status put_scores(rl_place file, const rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = rl_array_of(RL_F64, 1, (hsize_t[]){(hsize_t)result->num_stages});
    char *values = NULL, name[64];
    RL_ALLOC(values, rl_array_bytes(&array), err);
    for (size_t i = 0; i < rl_num_score_fields; i++) {
        const rl_score_field *field = &rl_score_fields[i];
        for (int32_t s = 0; s < result->num_stages; s++) /* every score is 8 bytes wide */
            memcpy(values + 8 * s, (const char *)&result->stages[s] + field->member, 8);
        array.element = field->element;
        snprintf(name, sizeof name, "scores/%s", field->name);
        RL_TRY(rl_h5_put(file, name, &array, values, err));
    }
cleanup:
    rl_free(values);
    return status;
}

static const struct {
    const char *name;
    rl_element element;
    size_t member;
} type_fields[] = {{"scores/type_f1", RL_F64, offsetof(rl_score, f1)},
                   {"scores/type_precision", RL_F64, offsetof(rl_score, precision)},
                   {"scores/type_recall", RL_F64, offsetof(rl_score, recall)},
                   {"scores/type_support", RL_I64, offsetof(rl_score, support)},
                   {"scores/type_predicted", RL_I64, offsetof(rl_score, predicted)},
                   {"scores/type_correct", RL_I64, offsetof(rl_score, correct)}};

static rl_status put_type_field(rl_place file, size_t which, const rl_names *types, const rl_run_result *result,
                                rl_error *err)
{
    rl_status status = RL_OK;
    hsize_t num_types = (hsize_t)rl_names_count(types), dims[] = {(hsize_t)result->num_stages, num_types};
    rl_array array = rl_array_of(type_fields[which].element, 2, dims);
    char *values = NULL;
    RL_ALLOC(values, rl_array_bytes(&array), err);
    rl_fill_missing(values, rl_array_count(&array), array.element, array.width);
    for (int32_t s = 0; s < result->num_stages; s++)
        for (int32_t t = 0; t < result->stages[s].num_types; t++) {
            const char *name = result->stages[s].types[t];
            size_t at = (size_t)s * (size_t)num_types + (size_t)rl_names_find(types, name, strlen(name));
            memcpy(values + 8 * at, (const char *)&result->stages[s].by_type[t] + type_fields[which].member, 8);
        }
    RL_TRY(rl_h5_put(file, type_fields[which].name, &array, values, err));
cleanup:
    rl_free(values);
    return status;
}

/* Stages may differ in their types (a prediction can bring one in): the union, in order of appearance. */
static rl_status put_type_scores(rl_place file, const rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *types = NULL;
    int32_t id;
    RL_TRY(rl_names_create(&types, err));
    for (int32_t s = 0; s < result->num_stages; s++)
        for (int32_t t = 0; t < result->stages[s].num_types; t++)
            RL_TRY(rl_names_intern(types, result->stages[s].types[t], strlen(result->stages[s].types[t]), &id, err));
    RL_TRY(put_texts(file, "scores/types", rl_names_count(types), type_name, types, err));
    for (size_t i = 0; i < sizeof type_fields / sizeof type_fields[0]; i++)
        RL_TRY(put_type_field(file, i, types, result, err));
cleanup:
    rl_names_free(types);
    return status;
}

/* ----------------------------------------------------------------------------------------------- attributes */

/* silent: the value that is left unsaid; NULL: none. */
static rl_status put_setting(rl_place file, const rl_run_settings *settings, const char *path, const char *silent, rl_error *err)
{
    char *value = rl_settings_get(settings, path, err);
    if (!value) return RL_ERR_INTERNAL;
    rl_status status = silent && !strcmp(value, silent) ? RL_OK : rl_h5_put_text(file, path, value, err);
    rl_free(value);
    return status;
}

static rl_status put_identity(rl_place file, const rl_run *run, const rl_sweep *sweep, const rl_run_result *result,
                              rl_error *err)
{
    const struct {
        const char *name, *text;
    } attributes[] = {
        {"format", RL_SHARD_FORMAT},         {"run", run->id},      {"sweep", sweep->name}, {"version", RL_VERSION},
        {"gemm_backend", rl_gemm_backend()}, {"isa", rl_isa_name()}};
    rl_status status = RL_OK;
    char number[32];
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        RL_TRY(rl_h5_put_text(file, attributes[i].name, attributes[i].text ? attributes[i].text : "", err));
    snprintf(number, sizeof number, "%d", RL_NUMERICS_VERSION);
    RL_TRY(rl_h5_put_text(file, "numerics_version", number, err));
    for (size_t i = 0; i < rl_num_setting_paths; i++) RL_TRY(put_setting(file, result->settings, rl_setting_paths[i], NULL, err));
    for (size_t i = 0; i < rl_num_later_settings; i++)
        RL_TRY(put_setting(file, result->settings, rl_later_settings[i].path, rl_later_settings[i].silent, err));
    if (result->settings->similarity_vectors) { /* shards without a file of vectors keep their bytes */
        snprintf(number, sizeof number, "%.6f", result->vector_share);
        RL_TRY(rl_h5_put_text(file, "vector_share", number, err));
    }
    RL_TRY(rl_h5_put_text(file, "concept_f1_note", result->no_concept_f1 ? result->no_concept_f1 : "", err));
    for (int32_t a = 0; a < sweep->num_axes; a++) /* an axis that is no setting above still gets its value */
        if (H5Aexists(file.id, sweep->axes[a]) == 0)
            RL_TRY(rl_h5_put_text(file, sweep->axes[a], run->axis_values[a], err));
cleanup:
    return status;
}

static rl_status put_run_fields(rl_place file, const rl_run_result *result, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array one = rl_array_of(RL_F64, 1, (hsize_t[]){1});
    char name[64];
    for (size_t i = 0; i < rl_num_run_fields; i++) {
        snprintf(name, sizeof name, "recovery/%s", rl_run_fields[i].name);
        RL_TRY(rl_h5_put(file, name, &one, (const char *)result + rl_run_fields[i].member, err));
    }
cleanup:
    return status;
}

static rl_status put_contents(rl_place file, const rl_run_result *result, rl_error *err)
{
    static const char *const groups[] = {"scores", "neurons", "words", "training", "curve", "also", "layers", "finders", "causal", "recovery"};
    rl_status status = RL_OK;
    rl_extents extents;
    rl_array pruned = rl_array_of(RL_I32, 1, (hsize_t[]){(hsize_t)result->num_pruned});
    RL_TRY(result_extents(&extents, result, err));
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) RL_TRY(rl_h5_make_group(file, groups[i], err));
    RL_TRY(put_texts(file, "stages", result->num_stages, stage_name, result, err));
    RL_TRY(put_texts(file, "stage_model_key", result->num_stages, stage_key, result, err));
    RL_TRY(put_scores(file, result, err));
    RL_TRY(put_type_scores(file, result, err));
    RL_TRY(put_run_fields(file, result, err));
    RL_TRY(put_neuron_axes(file, &extents, err));
    for (size_t i = 0; i < rl_num_fields; i++)
        if (rl_field_in_shard(&rl_fields[i])) RL_TRY(put_field(file, &rl_fields[i], result, &extents, err));
    RL_TRY(put_texts(file, "also/concepts", result->num_also, other_name, result, err));
    RL_TRY(put_texts(file, "vocabulary", result->num_words, word, result, err));
    RL_TRY(rl_h5_put(file, "pruned", &pruned, result->pruned, err));
cleanup:
    return status;
}

/* ---------------------------------------------------------------------------------------------------- file */

/* The file as HDF5 leaves it when it is closed. (H5Fget_file_image of 1.10.8 clears a flag of the superblock without
 * mending the superblock's checksum: such an image cannot be opened.) */
typedef struct image {
    size_t capacity, length; /* capacity: of HDF5's buffer, set before the close; 0: given up */
    char *bytes;
    rl_error *err;
} image;

/* HDF5 File Format Specification 3.0, superblock version 2: the end-of-file address is the little-endian word at
 * byte 28, counted from the file's first byte. HDF5's buffer is longer, in steps of its own. */
static size_t image_length(const unsigned char *memory, size_t capacity)
{
    const unsigned char *superblock = memory + RL_SHARD_SEAL;
    uint64_t length = 0;
    if (capacity < RL_SHARD_SEAL + 48 || superblock[8] != 2) return 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | superblock[28 + i];
    return length <= capacity ? (size_t)length : 0;
}

static herr_t take_image(void *memory, H5FD_file_image_op_t operation, void *context)
{
    image *out = context;
    if (operation == H5FD_FILE_IMAGE_OP_FILE_CLOSE && (out->length = image_length(memory, out->capacity)) > 0) {
        out->bytes = rl_calloc(out->length, 1, out->err);
        if (out->bytes) memcpy(out->bytes, memory, out->length);
    }
    return H5free_memory(memory);
}
static void *same_context(void *context) { return context; }
static herr_t keep_context(void *context)
{
    (void)context;
    return 0;
}

/* An empty file in memory. Format of HDF5 1.8: its object headers carry checksums, and every later library reads it. */
static rl_status create_image(hid_t *out, image *kept, const char *path, rl_error *err)
{
    H5FD_file_image_callbacks_t callbacks = {
        .image_free = take_image, .udata_copy = same_context, .udata_free = keep_context, .udata = kept};
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = rl_h5_file_creation(), file = H5I_INVALID_HID;
    bool ok = access >= 0 && creation >= 0 && H5Pset_fapl_core(access, 1 << 20, false) >= 0 &&
              H5Pset_userblock(creation, RL_SHARD_SEAL) >= 0 && H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
              H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0;
    if (ok) file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    rl_status status = file >= 0 ? RL_OK : rl_h5_fail(err, RL_ERR_INTERNAL, path, "no HDF5 file can be made in memory");
    rl_h5_close(creation);
    rl_h5_close(access);
    if (status == RL_OK) *out = file;
    return status;
}

static rl_status close_image(hid_t *file, image *kept, const char *path, rl_error *err)
{
    hsize_t capacity = 0;
    rl_status status = RL_OK;
    if (H5Fflush(*file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_filesize(*file, &capacity) < 0)
        status = rl_h5_fail(err, RL_ERR_MEMORY, path, "the file cannot be completed in memory");
    kept->capacity = (size_t)capacity;
    if (H5Fclose(*file) < 0 && status == RL_OK)
        status = rl_h5_fail(err, RL_ERR_MEMORY, path, "the file cannot be closed in memory");
    *file = H5I_INVALID_HID;
    if (status != RL_OK || kept->bytes) return status;
    return kept->length ? RL_ERR_MEMORY : rl_fail(err, RL_ERR_INTERNAL, "%s: HDF5 made a file of another format", path);
}

rl_status rl_shard_write(const char *path, const rl_run *run, const rl_sweep *sweep, const rl_run_result *result,
                         rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, path};
    image kept = {.err = err};
    char checksum[RL_DIGEST_HEX];
    RL_REQUIRE(result->num_stages > 0, err);
    RL_TRY(create_image(&file.id, &kept, path, err));
    RL_TRY(put_identity(file, run, sweep, result, err));
    RL_TRY(put_contents(file, result, err));
    RL_TRY(rl_h5_checksum(checksum, file, err));
    RL_TRY(rl_h5_put_text(file, "checksum", checksum, err));
    RL_TRY(close_image(&file.id, &kept, path, err));
    RL_TRY(rl_shard_seal(kept.bytes, kept.length, err));
    RL_TRY(rl_write_file(path, kept.bytes, kept.length, err));
cleanup:
    rl_free(kept.bytes);
    rl_h5_close(file.id);
    rl_h5_quiet_end(quiet);
    return status;
}
