/* walk.c -- every object of a file of ours, in name order; and the checksum that is made of them. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------- walking */

typedef struct walk {
    const rl_h5_tour *tour;
    char path[512];
    int depth;
    rl_status status;
    rl_error *err;
} walk;

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context);

static rl_status visit_object(walk *w, hid_t object)
{
    const rl_h5_tour *tour = w->tour;
    const char *file = tour->file.path;
    H5I_type_t kind = H5Iget_type(object);
    if (kind != H5I_GROUP && kind != H5I_DATASET)
        return rl_fail(w->err, RL_ERR_INPUT, "%s: %s is not what relearn writes", file, w->path);
    rl_status status = tour->visit(tour->context, object, kind == H5I_DATASET, w->path, w->err);
    if (status != RL_OK || kind == H5I_DATASET) return status;
    if (w->depth == tour->max_depth)
        return rl_fail(w->err, RL_ERR_INPUT, "%s: %s is nested deeper than relearn writes", file, w->path);
    w->depth++;
    herr_t walked = H5Literate(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_link, w);
    w->depth--;
    if (w->status == RL_OK && walked < 0)
        return rl_h5_fail(w->err, RL_ERR_INPUT, file, "group %s/ cannot be read", w->path);
    return w->status;
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    walk *w = context;
    const char *file = w->tour->file.path, *left_out = w->tour->left_out, *only = w->tour->only;
    size_t length = strlen(w->path);
    (void)info;
    if (length == 0 && left_out && !strcmp(name, left_out)) return 0;
    if (length == 0 && only && strcmp(name, only)) return 0;
    if (length + strlen(name) + RL_H5_PATH_SPARE > sizeof w->path) {
        w->status = rl_fail(w->err, RL_ERR_INPUT, "%s: a name below %s is too long", file, w->path);
        return -1;
    }
    snprintf(w->path + length, sizeof w->path - length, "/%s", name);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    w->status = object >= 0 ? visit_object(w, object) : rl_h5_fail(w->err, RL_ERR_INPUT, file, "%s cannot be opened", w->path);
    rl_h5_close(object);
    w->path[length] = '\0';
    return w->status == RL_OK ? 0 : -1;
}

rl_status rl_h5_visit_all(const rl_h5_tour *tour, rl_error *err)
{
    walk w = {.tour = tour, .err = err};
    hid_t root = H5Gopen2(tour->file.id, "/", H5P_DEFAULT);
    rl_status status = root >= 0 ? visit_object(&w, root) : rl_h5_fail(err, RL_ERR_INPUT, tour->file.path, "the root group cannot be read");
    rl_h5_close(root);
    return status;
}

/* ------------------------------------------------------------------------------------------------- checksum */

typedef struct summing {
    rl_hash *hash;
    rl_place file;
    hsize_t file_bytes;
    rl_status status; /* of visit_attribute, which HDF5 calls */
    rl_error *err;
} summing;

static rl_status hash_dataset(summing *s, hid_t dataset, const char *path)
{
    rl_array shape;
    rl_status status = RL_OK;
    unsigned char *bytes = NULL;
    hid_t type = H5I_INVALID_HID;
    if (!rl_h5_shape_of(dataset, &shape))
        return rl_fail(s->err, RL_ERR_INPUT, "%s: dataset %s is of a kind that relearn does not write", s->file.path, path);
    double size = (double)shape.width;
    for (int i = 0; i < shape.num_dims; i++) size *= (double)shape.dims[i];
    if (size > (double)s->file_bytes)
        return rl_fail(s->err, RL_ERR_INPUT, "%s: dataset %s claims more bytes than the file has", s->file.path, path);
    RL_ALLOC(bytes, rl_array_bytes(&shape) + 1, s->err);
    type = rl_h5_file_type(shape.element, shape.width); /* as stored: the same hash on a big-endian machine */
    if (type < 0 || (rl_array_count(&shape) && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) < 0)) {
        status = rl_h5_fail(s->err, RL_ERR_INPUT, s->file.path, "dataset %s cannot be read", path);
        goto cleanup;
    }
    rl_hash_text(s->hash, path);
    rl_hash_int(s->hash, (int64_t)shape.element);
    rl_hash_int(s->hash, (int64_t)shape.width);
    rl_hash_int(s->hash, shape.num_dims);
    for (int i = 0; i < shape.num_dims; i++) rl_hash_int(s->hash, (int64_t)shape.dims[i]);
    rl_hash_bytes(s->hash, bytes, rl_array_bytes(&shape));
cleanup:
    rl_h5_close(type);
    rl_free(bytes);
    return status;
}

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    summing *s = context;
    char *text = NULL;
    (void)info;
    if (!strcmp(name, "checksum")) return 0;
    s->status = rl_h5_get_text(&text, object, name, s->err);
    if (s->status == RL_OK && !text)
        s->status = rl_fail(s->err, RL_ERR_INPUT, "%s: attribute %s is not text", s->file.path, name);
    if (s->status == RL_OK) {
        rl_hash_text(s->hash, name);
        rl_hash_text(s->hash, text);
    }
    rl_free(text);
    return s->status == RL_OK ? 0 : -1;
}

/* The root's attributes and every dataset. */
static rl_status hash_object(void *context, hid_t object, bool is_dataset, const char *path, rl_error *err)
{
    summing *s = context;
    if (is_dataset) return hash_dataset(s, object, path);
    if (path[0] != '\0') return RL_OK;
    if (H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, s) < 0 && s->status == RL_OK)
        return rl_h5_fail(err, RL_ERR_INPUT, s->file.path, "the attributes cannot be read");
    return s->status;
}

rl_status rl_h5_checksum(char hex[RL_DIGEST_HEX], rl_place file, rl_error *err)
{
    rl_status status = RL_OK;
    summing s = {.file = file, .err = err};
    RL_TRY(rl_hash_create(&s.hash, err));
    if (H5Fget_filesize(file.id, &s.file_bytes) < 0) {
        status = rl_h5_fail(err, RL_ERR_INPUT, file.path, "its size cannot be read");
        goto cleanup;
    }
    /* A shard's groups nest three deep at most; a damaged one may hold a cycle. */
    RL_TRY(rl_h5_visit_all(&(rl_h5_tour){.file = file, .max_depth = 4, .visit = hash_object, .context = &s}, err));
    rl_hash_digest(s.hash, hex);
cleanup:
    rl_hash_free(s.hash);
    return status;
}
