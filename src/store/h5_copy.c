/* h5_copy.c -- a results file written anew without one of its groups.
 *
 * HDF5 never gives back the holes that a deleted group leaves, so a file whose /stats is replaced again and again grows.
 * Raw data go over by H5Ocopy, without attributes: dimension scales are references to objects of the old file, so they are
 * attached anew. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

#include <hdf5_hl.h>

typedef struct copied {
    char *path;   /* "/runs/seed" */
    haddr_t from; /* of the object in the old file */
    bool is_group;
} copied;
typedef struct copying {
    rl_place from, to;
    const char *left_out; /* "stats" */
    copied *list;
    int32_t count, capacity;
    rl_status status;
    rl_error *err;
} copying;

static bool is_left_out(const char *name, const char *left_out)
{
    size_t length = strlen(left_out);
    return !strncmp(name, left_out, length) && (name[length] == '\0' || name[length] == '/');
}

static rl_status note(copying *c, const char *name, const H5O_info_t *info)
{
    rl_status status = RL_OK;
    if (c->count == c->capacity) {
        int32_t capacity = c->capacity ? 2 * c->capacity : 256;
        copied *list = rl_regrow(c->list, (size_t)c->capacity, (size_t)capacity, sizeof *list, c->err);
        if (!list) return RL_ERR_MEMORY;
        c->list = list;
        c->capacity = capacity;
    }
    copied *item = &c->list[c->count];
    *item = (copied){rl_format(c->err, "/%s", strcmp(name, ".") ? name : ""), info->addr, info->type == H5O_TYPE_GROUP};
    if (!item->path) return RL_ERR_MEMORY;
    c->count++;
    if (info->type != H5O_TYPE_GROUP && info->type != H5O_TYPE_DATASET)
        status = rl_fail(c->err, RL_ERR_INPUT, "%s: %s is not what relearn writes", c->from.path, item->path);
    return status;
}

static herr_t visit(hid_t root, const char *name, const H5O_info_t *info, void *context)
{
    copying *c = context;
    (void)root;
    if (!is_left_out(name, c->left_out)) c->status = note(c, name, info);
    return c->status == RL_OK ? 0 : -1;
}

static rl_status list_objects(copying *c)
{
    if (H5Ovisit(c->from.id, H5_INDEX_NAME, H5_ITER_INC, visit, c) >= 0) return RL_OK;
    if (c->status != RL_OK) return c->status;
    return rl_h5_fail(c->err, RL_ERR_INPUT, c->from.path, "its contents cannot be listed");
}

/* Parents come before what they hold: H5Ovisit goes down. */
static rl_status copy_object(copying *c, const copied *item)
{
    rl_status status = RL_OK;
    if (!strcmp(item->path, "/")) return RL_OK;
    if (item->is_group) return rl_h5_make_group(c->to, item->path, c->err);
    hid_t plain = H5Pcreate(H5P_OBJECT_COPY);
    if (plain < 0 || H5Pset_copy_object(plain, H5O_COPY_WITHOUT_ATTR_FLAG) < 0 ||
        H5Ocopy(c->from.id, item->path, c->to.id, item->path, plain, H5P_DEFAULT) < 0)
        status = rl_h5_fail(c->err, RL_ERR_IO, c->to.path, "%s cannot be copied", item->path);
    rl_h5_close(plain);
    return status;
}

/* ---------------------------------------------------------------------------------------------- attributes */

typedef struct attributes {
    copying *c;
    hid_t to;
} attributes;

static bool is_of_scales(const char *name)
{
    static const char *const names[] = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static herr_t copy_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    attributes *a = context;
    char *text = NULL;
    (void)info;
    if (is_of_scales(name)) return 0;
    a->c->status = rl_h5_get_text(&text, object, name, a->c->err);
    if (a->c->status == RL_OK && text) a->c->status = rl_h5_put_text((rl_place){a->to, a->c->to.path}, name, text, a->c->err);
    rl_free(text);
    return a->c->status == RL_OK ? 0 : -1;
}

/* Attributes of relearn's are text; what others have added and is not is left behind. */
static rl_status copy_attributes(copying *c, const copied *item)
{
    hid_t from = H5Oopen(c->from.id, item->path, H5P_DEFAULT);
    attributes a = {c, H5Oopen(c->to.id, item->path, H5P_DEFAULT)};
    char name[256] = "";
    bool ok = from >= 0 && a.to >= 0 && H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_attribute, &a) >= 0;
    if (ok && !item->is_group && H5DSis_scale(from) > 0)
        ok = H5DSget_scale_name(from, name, sizeof name) >= 0 && H5DSset_scale(a.to, name[0] ? name : NULL) >= 0;
    rl_status status = c->status;
    if (!ok && status == RL_OK) status = rl_h5_fail(c->err, RL_ERR_IO, c->to.path, "%s cannot be described", item->path);
    rl_h5_close(a.to);
    rl_h5_close(from);
    return status;
}

/* -------------------------------------------------------------------------------------------------- scales */

static herr_t attach_scale(hid_t dataset, unsigned dimension, hid_t scale, void *context)
{
    attributes *a = context;
    H5O_info_t info;
    (void)dataset;
    if (H5Oget_info2(scale, &info, H5O_INFO_BASIC) < 0) return -1;
    for (int32_t i = 0; i < a->c->count; i++) {
        if (a->c->list[i].from != info.addr) continue;
        hid_t same = H5Dopen2(a->c->to.id, a->c->list[i].path, H5P_DEFAULT);
        herr_t done = same < 0 ? -1 : H5DSattach_scale(a->to, same, dimension);
        rl_h5_close(same);
        return done;
    }
    return 0; /* a scale of the group that is left out */
}

static rl_status attach_scales(copying *c, const copied *item)
{
    hid_t from = H5Dopen2(c->from.id, item->path, H5P_DEFAULT), space = from >= 0 ? H5Dget_space(from) : H5I_INVALID_HID;
    attributes a = {c, H5Dopen2(c->to.id, item->path, H5P_DEFAULT)};
    bool ok = from >= 0 && a.to >= 0 && space >= 0;
    int num_dims = ok ? H5Sget_simple_extent_ndims(space) : 0;
    for (int d = 0; ok && d < num_dims; d++)
        ok = H5DSget_num_scales(from, (unsigned)d) <= 0 || H5DSiterate_scales(from, (unsigned)d, NULL, attach_scale, &a) >= 0;
    rl_status status = ok ? RL_OK : rl_h5_fail(c->err, RL_ERR_IO, c->to.path, "%s cannot get its scales", item->path);
    rl_h5_close(space);
    rl_h5_close(a.to);
    rl_h5_close(from);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- all */

static rl_status copy_all(copying *c)
{
    rl_status status = list_objects(c);
    for (int32_t i = 0; status == RL_OK && i < c->count; i++) status = copy_object(c, &c->list[i]);
    for (int32_t i = 0; status == RL_OK && i < c->count; i++) status = copy_attributes(c, &c->list[i]);
    for (int32_t i = 0; status == RL_OK && i < c->count; i++)
        if (!c->list[i].is_group) status = attach_scales(c, &c->list[i]);
    return status;
}

static hid_t create_file(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = rl_h5_file_creation(), file = H5I_INVALID_HID;
    if (access >= 0 && creation >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    rl_h5_close(creation);
    rl_h5_close(access);
    return file;
}

rl_status rl_h5_copy_without(const char *from, const char *to, const char *left_out, rl_error *err)
{
    rl_status status = RL_OK;
    copying c = {.from = {H5I_INVALID_HID, from}, .to = {H5I_INVALID_HID, to}, .left_out = left_out, .err = err};
    RL_TRY(rl_h5_open(&c.from.id, from, "results file", err));
    c.to.id = create_file(to);
    status = c.to.id >= 0 ? copy_all(&c) : rl_h5_fail(err, RL_ERR_IO, to, "cannot be made");
    if (c.to.id >= 0 && H5Fclose(c.to.id) < 0 && status == RL_OK) status = rl_h5_fail(err, RL_ERR_IO, to, "cannot be completed");
cleanup:
    for (int32_t i = 0; i < c.count; i++) rl_free(c.list[i].path);
    rl_free(c.list);
    rl_h5_close(c.from.id);
    return status;
}
