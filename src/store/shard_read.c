/* shard_read.c -- a shard back into memory, only after its checksum has been recomputed. */
#include "store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct rl_shard {
    hid_t file;
    char *path;
    rl_extents extents;
    int format;
    int64_t num_words, num_pruned;
    size_t longest_word;
    char **stage_name, **stage_model_key; /* [stages] */
    int32_t num_attributes, capacity;
    char **attribute_name, **attribute; /* [num_attributes] */
};

rl_place rl_shard_place(const rl_shard *shard) { return (rl_place){shard->file, shard->path}; }
const rl_extents *rl_shard_extents(const rl_shard *shard) { return &shard->extents; }
int rl_shard_format(const rl_shard *shard) { return shard->format; }
int64_t rl_shard_num_words(const rl_shard *shard) { return shard->num_words; }
size_t rl_shard_longest_word(const rl_shard *shard) { return shard->longest_word; }
int32_t rl_shard_num_stages(const rl_shard *shard) { return (int32_t)shard->extents.stages; }
const char *rl_shard_stage_name(const rl_shard *shard, int32_t stage) { return shard->stage_name[stage]; }
const char *rl_shard_stage_model_key(const rl_shard *shard, int32_t stage) { return shard->stage_model_key[stage]; }

const char *rl_shard_attribute(const rl_shard *shard, const char *name)
{
    for (int32_t i = 0; i < shard->num_attributes; i++)
        if (!strcmp(shard->attribute_name[i], name)) return shard->attribute[i];
    return NULL;
}

static void free_texts(char **texts, int64_t count)
{
    for (int64_t i = 0; texts && i < count; i++) rl_free(texts[i]);
    rl_free(texts);
}

void rl_shard_close(rl_shard *shard)
{
    if (!shard) return;
    rl_h5_close(shard->file);
    free_texts(shard->stage_name, shard->extents.stages);
    free_texts(shard->stage_model_key, shard->extents.stages);
    free_texts(shard->attribute_name, shard->num_attributes);
    free_texts(shard->attribute, shard->num_attributes);
    rl_free(shard->path);
    rl_free(shard);
}

/* ----------------------------------------------------------------------------------------------------- open */

typedef struct reading {
    rl_shard *shard;
    rl_status status;
    rl_error *err;
} reading;

static rl_status keep_attribute(rl_shard *shard, hid_t object, const char *name, rl_error *err)
{
    rl_status status = RL_OK;
    if (shard->num_attributes == shard->capacity) {
        int32_t capacity = shard->capacity ? 2 * shard->capacity : 64;
        char **names = rl_regrow(shard->attribute_name, (size_t)shard->capacity, (size_t)capacity, sizeof *names, err);
        if (!names) return RL_ERR_MEMORY;
        shard->attribute_name = names;
        char **texts = rl_regrow(shard->attribute, (size_t)shard->capacity, (size_t)capacity, sizeof *texts, err);
        if (!texts) return RL_ERR_MEMORY;
        shard->attribute = texts;
        shard->capacity = capacity;
    }
    int32_t at = shard->num_attributes++;
    shard->attribute_name[at] = rl_strdup(name, err);
    RL_TRY(shard->attribute_name[at] ? RL_OK : RL_ERR_MEMORY);
    RL_TRY(rl_h5_get_text(&shard->attribute[at], object, name, err));
    if (!shard->attribute[at]) shard->attribute[at] = rl_strdup("", err);
    RL_TRY(shard->attribute[at] ? RL_OK : RL_ERR_MEMORY);
cleanup:
    return status;
}

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    reading *r = context;
    (void)info;
    r->status = keep_attribute(r->shard, object, name, r->err);
    return r->status == RL_OK ? 0 : -1;
}

static rl_status read_attributes(rl_shard *shard, rl_error *err)
{
    reading r = {shard, RL_OK, err};
    if (H5Aiterate2(shard->file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, &r) < 0 && r.status == RL_OK)
        return rl_h5_fail(err, RL_ERR_INPUT, shard->path, "the attributes cannot be read");
    return r.status;
}

static rl_status check_contents(rl_shard *shard, rl_error *err)
{
    const char *format = rl_shard_attribute(shard, "format"), *stored = rl_shard_attribute(shard, "checksum");
    char found[RL_DIGEST_HEX];
    shard->format = !format ? 0 : !strcmp(format, RL_SHARD_FORMAT) ? 2 : !strcmp(format, "relearn shard 1") ? 1 : 0;
    if (!shard->format)
        return rl_fail(err, RL_ERR_INPUT, "%s: is no shard of this relearn; its format is \"%s\", expected \"%s\"",
                       shard->path, format ? format : "", RL_SHARD_FORMAT);
    rl_status status = rl_h5_checksum(found, rl_shard_place(shard), err);
    if (status == RL_OK && (!stored || strcmp(stored, found)))
        status = rl_fail(err, RL_ERR_INPUT, "%s: is damaged: its contents have the checksum %s, it says %s",
                         shard->path, found, stored ? stored : "nothing");
    return status;
}

static rl_status read_extent(int64_t *extent, const rl_shard *shard, const char *name, int num_dims, int dim, rl_error *err)
{
    rl_array shape;
    rl_status status = rl_h5_shape(&shape, rl_shard_place(shard), name, err);
    if (status == RL_OK && shape.num_dims != num_dims)
        status = rl_fail(err, RL_ERR_INPUT, "%s: %s has %d dimensions, expected %d", shard->path, name, shape.num_dims, num_dims);
    if (status == RL_OK) *extent = (int64_t)shape.dims[dim];
    return status;
}

static rl_status read_later_extents(rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(read_extent(&shard->extents.types, shard, "scores/type_f1", 2, 1, err));
    if (shard->format < 2) return RL_OK;
    RL_TRY(read_extent(&shard->extents.points, shard, "curve/f1", 2, 1, err));
    RL_TRY(read_extent(&shard->extents.others, shard, "also/concepts", 1, 0, err));
cleanup:
    return status;
}

/* Every extent, from one dataset each; rl_h5_get compares all others with them. */
static rl_status read_extents(rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = rl_shard_place(shard);
    rl_array words, steps, epochs, vocabulary, pruned;
    int64_t last_layer = -1;
    RL_TRY(rl_h5_shape(&words, file, "words/word", err));
    RL_TRY(rl_h5_shape(&steps, file, "training/loss", err));
    RL_TRY(rl_h5_shape(&epochs, file, "training/f1", err));
    RL_TRY(rl_h5_shape(&vocabulary, file, "vocabulary", err));
    RL_TRY(rl_h5_shape(&pruned, file, "pruned", err));
    if (words.num_dims != 3 || steps.num_dims != 2 || epochs.num_dims != 2 || vocabulary.num_dims != 1 ||
        pruned.num_dims != 1 || words.dims[0] < 1 || words.dims[1] < 1 || words.dims[1] > INT32_MAX ||
        vocabulary.element != RL_TEXT)
        return rl_fail(err, RL_ERR_INPUT, "%s: its arrays do not have the shapes of a shard", shard->path);
    shard->extents = (rl_extents){.stages = (int64_t)words.dims[0],
                                  .neurons = (int64_t)words.dims[1],
                                  .k = (int64_t)words.dims[2],
                                  .steps = (int64_t)steps.dims[1],
                                  .epochs = (int64_t)epochs.dims[1]};
    RL_TRY(read_later_extents(shard, err));
    shard->num_words = (int64_t)vocabulary.dims[0];
    shard->longest_word = vocabulary.width;
    shard->num_pruned = (int64_t)pruned.dims[0];
    rl_array axis = rl_array_of(RL_I32, 1, &words.dims[1]);
    int32_t *layer = NULL;
    RL_ALLOC(layer, shard->extents.neurons, err);
    status = rl_h5_get(layer, file, "neurons/layer", &axis, err);
    if (status == RL_OK) last_layer = layer[shard->extents.neurons - 1];
    rl_free(layer);
    RL_TRY(status);
    shard->extents.layers = last_layer + 1;
    if (last_layer < 0 || shard->extents.neurons % shard->extents.layers != 0)
        return rl_fail(err, RL_ERR_INPUT, "%s: %" PRId64 " neurons do not divide into %" PRId64 " layers", shard->path,
                       shard->extents.neurons, shard->extents.layers);
    shard->extents.hidden_size = shard->extents.neurons / shard->extents.layers;
cleanup:
    return status;
}

/* All that a gather, `show` or `export` may want later, while one bad shard still costs one run and not results.h5. */
static rl_status check_datasets(const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    const hsize_t stages = (hsize_t)shard->extents.stages;
    char name[64];
    for (size_t i = 0; i < rl_num_fields; i++) {
        if (rl_fields[i].since > shard->format || rl_fields[i].axis == RL_AXIS_PRUNED) continue;
        const rl_array array = rl_field_array(&rl_fields[i], &shard->extents);
        rl_field_path(name, &rl_fields[i]);
        RL_TRY(rl_h5_expect(rl_shard_place(shard), name, &array, err));
    }
    for (size_t i = 0; i < rl_num_score_fields; i++) {
        if (rl_score_fields[i].since > shard->format) continue;
        const rl_array array = rl_array_of(rl_score_fields[i].element, 1, &stages);
        snprintf(name, sizeof name, "scores/%s", rl_score_fields[i].name);
        RL_TRY(rl_h5_expect(rl_shard_place(shard), name, &array, err));
    }
    for (size_t i = 0; i < rl_num_run_fields && shard->format >= 2; i++) {
        const rl_array array = rl_array_of(RL_F64, 1, (hsize_t[]){1});
        snprintf(name, sizeof name, "recovery/%s", rl_run_fields[i].name);
        RL_TRY(rl_h5_expect(rl_shard_place(shard), name, &array, err));
    }
cleanup:
    return status;
}

static rl_status read_texts(char ***out, const rl_shard *shard, const char *name, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array shape;
    char *bytes = NULL, **texts = NULL;
    size_t count = (size_t)shard->extents.stages;
    RL_TRY(rl_h5_shape(&shape, rl_shard_place(shard), name, err));
    if (shape.element != RL_TEXT || shape.num_dims != 1 || shape.dims[0] != count)
        return rl_fail(err, RL_ERR_INPUT, "%s: %s is not one text for each stage", shard->path, name);
    RL_ALLOC(bytes, rl_array_bytes(&shape), err);
    RL_ALLOC(texts, count, err);
    RL_TRY(rl_h5_get(bytes, rl_shard_place(shard), name, &shape, err));
    for (size_t i = 0; i < count; i++) {
        texts[i] = rl_format(err, "%.*s", (int)shape.width, bytes + i * shape.width);
        RL_TRY(texts[i] ? RL_OK : RL_ERR_MEMORY);
    }
    *out = texts;
    texts = NULL;
cleanup:
    rl_free(bytes);
    free_texts(texts, (int64_t)count);
    return status;
}

static rl_status open_shard(rl_shard **out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    RL_ALLOC(shard, 1, err);
    shard->file = H5I_INVALID_HID;
    shard->path = rl_strdup(path, err);
    RL_TRY(shard->path ? RL_OK : RL_ERR_MEMORY);
    RL_TRY(rl_shard_check_seal(path, err));
    RL_TRY(rl_h5_open(&shard->file, path, "shard", err));
    RL_TRY(read_attributes(shard, err));
    RL_TRY(check_contents(shard, err));
    RL_TRY(read_extents(shard, err));
    RL_TRY(check_datasets(shard, err));
    RL_TRY(read_texts(&shard->stage_name, shard, "stages", err));
    RL_TRY(read_texts(&shard->stage_model_key, shard, "stage_model_key", err));
    *out = shard;
    shard = NULL;
cleanup:
    rl_shard_close(shard);
    return status;
}

rl_status rl_shard_open(rl_shard **out, const char *path, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = open_shard(out, path, err);
    rl_h5_quiet_end(quiet);
    return status;
}

rl_status rl_shard_check_run(const rl_shard *shard, const char *run_id, rl_error *err)
{
    const char *id = rl_shard_attribute(shard, "run");
    if (id && !strcmp(id, run_id)) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "%s: is the shard of run %s; expected run %s", shard->path, id ? id : "(none)",
                   run_id);
}

rl_status rl_shard_check(const char *path, const char *run_id, rl_error *err)
{
    rl_shard *shard = NULL;
    rl_status status = rl_shard_open(&shard, path, err);
    if (status == RL_OK) status = rl_shard_check_run(shard, run_id, err);
    rl_shard_close(shard);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- read */

static rl_status check_stage(const rl_shard *shard, int32_t stage, rl_error *err)
{
    if (stage >= 0 && stage < shard->extents.stages) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "%s: no stage %d; it has %" PRId64, shard->path, (int)stage,
                   shard->extents.stages);
}

static rl_status read_score(rl_score *out, const rl_shard *shard, const char *set, int32_t stage, rl_error *err)
{
    static const struct {
        const char *name;
        rl_element element;
        size_t member;
    } members[] = {{"f1", RL_F64, offsetof(rl_score, f1)},
                   {"precision", RL_F64, offsetof(rl_score, precision)},
                   {"recall", RL_F64, offsetof(rl_score, recall)},
                   {"support", RL_I64, offsetof(rl_score, support)},
                   {"predicted", RL_I64, offsetof(rl_score, predicted)},
                   {"correct", RL_I64, offsetof(rl_score, correct)}};
    rl_status status = RL_OK;
    rl_score score = {0};
    char *values = NULL, name[64];
    RL_ALLOC(values, 8 * shard->extents.stages, err);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        rl_array array = rl_array_of(members[i].element, 1, (hsize_t[]){(hsize_t)shard->extents.stages});
        snprintf(name, sizeof name, "scores/%s_%s", set, members[i].name);
        RL_TRY(rl_h5_get(values, rl_shard_place(shard), name, &array, err));
        memcpy((char *)&score + members[i].member, values + 8 * stage, 8);
    }
    *out = score;
cleanup:
    rl_free(values);
    return status;
}

rl_status rl_shard_read_scores(const rl_shard *shard, int32_t stage, rl_score *word, rl_score *subword,
                               rl_score *test_word, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    rl_score w, s, t;
    RL_TRY(check_stage(shard, stage, err));
    RL_TRY(read_score(&w, shard, "word", stage, err));
    RL_TRY(read_score(&s, shard, "subword", stage, err));
    RL_TRY(read_score(&t, shard, "test_word", stage, err));
    if (word) *word = w;
    if (subword) *subword = s;
    if (test_word) *test_word = t;
cleanup:
    rl_h5_quiet_end(quiet);
    return status;
}

/* Field `field` of one stage into the table's array, which is allocated here. */
static rl_status read_table_field(rl_neuron_table *table, const rl_shard *shard, const rl_field *field, int32_t stage,
                                  rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = rl_field_array(field, &shard->extents);
    size_t row = rl_array_bytes(&array) / (size_t)shard->extents.stages;
    char *values = NULL, *mine = NULL, name[64];
    RL_ALLOC(values, rl_array_bytes(&array), err);
    RL_ALLOC(mine, row, err);
    memcpy((char *)table + field->member, &mine, sizeof mine); /* owned by the table from here on */
    rl_fill_missing(mine, row / array.width, array.element, array.width);
    if (field->since > shard->format) goto cleanup;
    rl_field_path(name, field);
    RL_TRY(rl_h5_get(values, rl_shard_place(shard), name, &array, err));
    memcpy(mine, values + (size_t)stage * row, row);
cleanup:
    rl_free(values);
    return status;
}

rl_status rl_shard_read_neurons(const rl_shard *shard, int32_t stage, rl_neuron_table **out, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    const rl_extents *e = &shard->extents;
    rl_neuron_table *table = NULL;
    RL_TRY(check_stage(shard, stage, err));
    RL_ALLOC(table, 1, err);
    table->num_layers_plus_1 = e->layers;
    table->hidden_size = e->hidden_size;
    table->num_neurons = e->neurons;
    table->top_k = e->k;
    for (size_t i = 0; i < rl_num_fields; i++)
        if (rl_fields[i].axis == RL_AXIS_NEURON || rl_fields[i].axis == RL_AXIS_WORD)
            RL_TRY(read_table_field(table, shard, &rl_fields[i], stage, err));
    *out = table;
    table = NULL;
cleanup:
    rl_neuron_table_free(table);
    rl_h5_quiet_end(quiet);
    return status;
}

rl_status rl_shard_read_list(const rl_shard *shard, rl_dimension dimension, char **out, int64_t *count, size_t *width,
                             rl_error *err)
{
    rl_status status = RL_OK;
    const char *name = dimension == RL_DIM_TYPE ? "scores/types" : "also/concepts";
    rl_array array;
    char *bytes = NULL;
    *count = 0;
    *width = 1;
    if (dimension == RL_DIM_CONCEPT && shard->format < 2) {
        *out = rl_calloc(1, 1, err);
        return *out ? RL_OK : RL_ERR_MEMORY;
    }
    RL_TRY(rl_h5_shape(&array, rl_shard_place(shard), name, err));
    if (array.element != RL_TEXT || array.num_dims != 1 || (int64_t)array.dims[0] != rl_dimension_size(dimension, &shard->extents))
        return rl_fail(err, RL_ERR_INPUT, "%s: %s is not one name for each entry", shard->path, name);
    RL_ALLOC(bytes, rl_array_bytes(&array), err);
    RL_TRY(rl_h5_get(bytes, rl_shard_place(shard), name, &array, err));
    *out = bytes;
    *count = (int64_t)array.dims[0];
    *width = array.width;
    bytes = NULL;
cleanup:
    rl_free(bytes);
    return status;
}

rl_status rl_shard_read_vocabulary(const rl_shard *shard, char **out, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = rl_text_array(shard->longest_word, (hsize_t)shard->num_words);
    char *bytes = NULL;
    RL_ALLOC(bytes, rl_array_bytes(&array), err);
    RL_TRY(rl_h5_get(bytes, rl_shard_place(shard), "vocabulary", &array, err));
    *out = bytes;
    bytes = NULL;
cleanup:
    rl_free(bytes);
    return status;
}

rl_status rl_shard_read_words(const rl_shard *shard, rl_names **out, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    rl_names *names = NULL;
    char *bytes = NULL;
    RL_TRY(rl_names_create(&names, err));
    RL_TRY(rl_shard_read_vocabulary(shard, &bytes, err));
    for (int64_t i = 0; i < shard->num_words; i++) {
        const char *word = bytes + (size_t)i * shard->longest_word;
        int32_t id;
        RL_TRY(rl_names_intern(names, word, strnlen(word, shard->longest_word), &id, err));
        if (id != i) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: word %" PRId64 " of its vocabulary occurs twice", shard->path, i);
            goto cleanup;
        }
    }
    *out = names;
    names = NULL;
cleanup:
    rl_free(bytes);
    rl_names_free(names);
    rl_h5_quiet_end(quiet);
    return status;
}

bool rl_shard_prunes_neurons(const rl_shard *shard)
{
    const char *site = rl_shard_attribute(shard, "prune.site");
    return !site || (strcmp(site, "ffn") && strcmp(site, "head"));
}

rl_status rl_shard_read_pruned(const rl_shard *shard, int32_t **ids, int64_t *count, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    rl_array array = rl_array_of(RL_I32, 1, (hsize_t[]){(hsize_t)shard->num_pruned});
    int32_t *read = NULL;
    RL_ALLOC(read, shard->num_pruned, err);
    RL_TRY(rl_h5_get(read, rl_shard_place(shard), "pruned", &array, err));
    for (int64_t i = 0; i < shard->num_pruned; i++)
        if (read[i] < 0 || (rl_shard_prunes_neurons(shard) && read[i] >= shard->extents.neurons)) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: pruned neuron %d is not one of %" PRId64, shard->path,
                             (int)read[i], shard->extents.neurons);
            goto cleanup;
        }
    *ids = read;
    *count = shard->num_pruned;
    read = NULL;
cleanup:
    rl_free(read);
    rl_h5_quiet_end(quiet);
    return status;
}
