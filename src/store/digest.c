/* digest.c -- one number for a whole results.h5: equal stores have equal numbers, whoever wrote them and in whatever
 * order.
 *
 * The sum, modulo 2^128 in two lanes, of one hash for each attribute, each row of a dataset along `run` (named by
 * the run's id), and each other dataset. Indices into /vocabulary count as the words they stand for. Left out: wall
 * times (created, seconds). */
#include "store_internal.h"

#include <hdf5_hl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct sum {
    uint64_t high, low;
    rl_place file;
    char *words; /* [num_words * word_width] of /vocabulary */
    int64_t num_words;
    size_t word_width;
    const char *path; /* of the object under way */
    bool of_stats;    /* /stats and nothing else */
    rl_status status; /* of visit_attribute, which HDF5 calls */
    rl_error *err;
} sum;

static void add_term(sum *s, const rl_hash *hash)
{
    char hex[RL_DIGEST_HEX], half[17] = "";
    uint64_t high, low;
    rl_hash_digest(hash, hex);
    memcpy(half, hex, 16);
    sscanf(half, "%" SCNx64, &high);
    sscanf(hex + 16, "%" SCNx64, &low);
    s->high += high;
    s->low += low;
}

static void hash_word(sum *s, rl_hash *hash, int32_t id)
{
    char word[64] = "?"; /* an index that is in no vocabulary is itself */
    if (id < 0 || id >= s->num_words) {
        rl_hash_text(hash, word);
        rl_hash_int(hash, id);
        return;
    }
    const char *text = s->words + (size_t)id * s->word_width;
    rl_hash_bytes(hash, text, strnlen(text, s->word_width));
}

/* Elements of one row; text without its padding, so that a longer neighbour changes nothing. */
static void hash_elements(sum *s, rl_hash *hash, const rl_array *shape, const unsigned char *values, size_t n,
                          bool words)
{
    if (words)
        for (size_t i = 0; i < n; i++) hash_word(s, hash, ((const int32_t *)values)[i]);
    else if (shape->element == RL_TEXT)
        for (size_t i = 0; i < n; i++)
            rl_hash_bytes(hash, values + i * shape->width,
                          strnlen((const char *)values + i * shape->width, shape->width));
    else
        rl_hash_bytes(hash, values, n * shape->width);
}

static herr_t first_scale(hid_t dataset, unsigned axis, hid_t scale, void *name)
{
    (void)dataset;
    (void)axis;
    return H5DSget_scale_name(scale, name, 32) >= 0 ? 1 : -1;
}

/* Name of the scale along the first axis; a scale lies along itself. */
static void leading_axis(char name[32], hid_t dataset)
{
    name[0] = '\0';
    if (H5DSis_scale(dataset) > 0)
        H5DSget_scale_name(dataset, name, 32);
    else
        H5DSiterate_scales(dataset, 0, NULL, first_scale, name);
}

/* Ids of the runs along the first axis: the scale `run` beside the dataset. */
static rl_status read_ids(char **out, size_t *width, sum *s, hsize_t rows)
{
    rl_status status = RL_OK;
    rl_array shape;
    char path[512], *ids = NULL;
    snprintf(path, sizeof path, "%.*s/run", (int)(strrchr(s->path, '/') - s->path), s->path);
    RL_TRY(rl_h5_shape(&shape, s->file, path, s->err));
    if (shape.element != RL_TEXT || shape.num_dims != 1 || shape.dims[0] != rows)
        return rl_fail(s->err, RL_ERR_INPUT, "%s: %s does not name the rows of %s", s->file.path, path, s->path);
    RL_ALLOC(ids, rl_array_bytes(&shape), s->err);
    RL_TRY(rl_h5_get(ids, s->file, path, &shape, s->err));
    *width = shape.width;
    *out = ids;
    ids = NULL;
cleanup:
    rl_free(ids);
    return status;
}

static rl_status add_row(sum *s, hid_t dataset, const rl_array *shape, hsize_t first, hsize_t count, const char *id,
                         bool words)
{
    rl_status status = RL_OK;
    rl_hash *hash = NULL;
    unsigned char *values = NULL;
    rl_array row = {
        .element = shape->element, .width = shape->width, .num_dims = shape->num_dims ? shape->num_dims - 1 : 0};
    for (int i = 0; i < row.num_dims; i++) row.dims[i] = shape->dims[i + 1];
    size_t n = rl_array_count(&row) * (size_t)count;
    RL_TRY(rl_hash_create(&hash, s->err));
    RL_ALLOC(values, n * row.width, s->err);
    if (n) RL_TRY(rl_parallel_rows(s->file, dataset, H5P_DEFAULT, false, first, count, row, values, s->path, s->err));
    rl_hash_text(hash, s->path);
    rl_hash_text(hash, id);
    rl_hash_int(hash, row.num_dims);
    for (int i = 0; i < row.num_dims; i++) rl_hash_int(hash, (int64_t)row.dims[i]);
    hash_elements(s, hash, shape, values, n, words);
    add_term(s, hash);
cleanup:
    rl_free(values);
    rl_hash_free(hash);
    return status;
}

static rl_status shape_of(rl_array *shape, sum *s) { return rl_h5_shape(shape, s->file, s->path, s->err); }

static rl_status add_dataset(sum *s, hid_t dataset)
{
    rl_status status = RL_OK;
    rl_array shape;
    char axis[32], id[64], *ids = NULL;
    size_t width = 0;
    bool words = H5Aexists(dataset, "index_into") > 0;
    RL_TRY(shape_of(&shape, s));
    leading_axis(axis, dataset);
    hsize_t rows = shape.num_dims ? shape.dims[0] : 1;
    bool by_run = !strcmp(axis, "run"), by_word = !strcmp(s->path, "/vocabulary");
    if (!by_run && !by_word) return add_row(s, dataset, &shape, 0, rows, "", words);
    if (by_run) RL_TRY(read_ids(&ids, &width, s, rows));
    for (hsize_t r = 0; r < rows; r++) {
        snprintf(id, sizeof id, "%.*s", by_run ? (int)width : 0, by_run ? ids + r * width : "");
        RL_TRY(add_row(s, dataset, &shape, r, 1, id, words));
    }
cleanup:
    rl_free(ids);
    return status;
}

/* ------------------------------------------------------------------------------------------------- objects */

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    sum *s = context;
    char *text = NULL;
    rl_hash *hash = NULL;
    (void)info;
    if (!strcmp(name, "created") || (s->of_stats && !strcmp(name, RL_STATS_SEAL) && !strcmp(s->path, "/stats"))) return 0;
    s->status = rl_h5_get_text(&text, object, name, s->err);
    if (s->status == RL_OK && text)
        s->status = rl_hash_create(&hash, s->err); /* other kinds: references of the scales */
    if (s->status == RL_OK && text) {
        rl_hash_text(hash, s->path);
        rl_hash_text(hash, name);
        rl_hash_text(hash, text);
        add_term(s, hash);
    }
    rl_hash_free(hash);
    rl_free(text);
    return s->status == RL_OK ? 0 : -1;
}

static rl_status add_object(void *context, hid_t object, bool is_dataset, const char *path, rl_error *err)
{
    sum *s = context;
    s->path = path;
    if (s->of_stats && !path[0]) return RL_OK; /* the root's attributes are not of /stats */
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, s) < 0 && s->status == RL_OK)
        return rl_h5_fail(err, RL_ERR_INPUT, s->file.path, "the attributes of %s/ cannot be read", path);
    if (s->status != RL_OK) return s->status;
    return is_dataset && strcmp(path, "/runs/seconds") ? add_dataset(s, object) : RL_OK;
}

static rl_status read_vocabulary(sum *s)
{
    rl_status status = RL_OK;
    rl_array shape;
    if (H5Lexists(s->file.id, "/vocabulary", H5P_DEFAULT) <= 0) return RL_OK;
    RL_TRY(rl_h5_shape(&shape, s->file, "/vocabulary", s->err));
    if (shape.element != RL_TEXT || shape.num_dims != 1)
        return rl_fail(s->err, RL_ERR_INPUT, "%s: /vocabulary is not a list of words", s->file.path);
    RL_ALLOC(s->words, rl_array_bytes(&shape), s->err);
    RL_TRY(rl_h5_get(s->words, s->file, "/vocabulary", &shape, s->err));
    s->num_words = (int64_t)shape.dims[0];
    s->word_width = shape.width;
cleanup:
    return status;
}

static rl_status digest(const char *results_path, char hex[RL_DIGEST_HEX], bool of_stats, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    sum s = {.file = {H5I_INVALID_HID, results_path}, .of_stats = of_stats, .err = err};
    RL_TRY(rl_h5_open(&s.file.id, results_path, "results file", err));
    RL_TRY(read_vocabulary(&s));
    const rl_h5_tour tour = {.file = s.file, .max_depth = 8, .left_out = of_stats ? NULL : "stats", .only = of_stats ? "stats" : NULL,
                             .visit = add_object, .context = &s};
    RL_TRY(rl_h5_visit_all(&tour, err));
    snprintf(hex, RL_DIGEST_HEX, "%016" PRIx64 "%016" PRIx64, s.high, s.low);
cleanup:
    rl_free(s.words);
    rl_h5_close(s.file.id);
    rl_h5_quiet_end(quiet);
    return status;
}

rl_status rl_store_digest(const char *results_path, char hex[RL_DIGEST_HEX], rl_error *err)
{
    return digest(results_path, hex, false, err); /* /stats is made from the rest, by relearn stats */
}

rl_status rl_store_digest_stats(const char *results_path, char hex[RL_DIGEST_HEX], rl_error *err)
{
    return digest(results_path, hex, true, err);
}
