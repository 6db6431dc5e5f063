/* write.c -- /stats into results.h5, by one process and never in place.
 *
 *   copy results.h5 aside without its old /stats -> write -> close -> open again, compare -> fsync, rename
 *
 * One writer: /stats is small beside what it was computed from, and a serial writer cannot meet the faults of parallel
 * HDF5 (field notes E). A file that has a /stats is written anew without it (store/h5_copy.c), so it keeps its size however
 * often they are remade; one that was just gathered is copied as it is. */
#include "stats_internal.h"

#include <hdf5_hl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rl_status describe(rl_place place, const rl_output *item, rl_error *err)
{
    rl_status status = RL_OK;
    char number[32];
    RL_TRY(rl_h5_put_text(place, "long_name", item->long_name, err));
    if (item->units) RL_TRY(rl_h5_put_text(place, "units", item->units, err));
    if (item->array.element == RL_TEXT) RL_TRY(rl_h5_put_text(place, "_Encoding", "utf-8", err));
    if (item->method) RL_TRY(rl_h5_put_text(place, "method", item->method, err));
    if (item->interval) RL_TRY(rl_h5_put_text(place, "interval", item->interval, err));
    snprintf(number, sizeof number, "%g", item->coverage);
    if (item->coverage > 0) RL_TRY(rl_h5_put_text(place, "coverage_at_most", number, err));
    snprintf(number, sizeof number, "%lld", (long long)item->n);
    if (item->n >= 0) RL_TRY(rl_h5_put_text(place, "n", number, err));
cleanup:
    return status;
}

static rl_status attach_scales(rl_place file, hid_t dataset, const rl_output *item, rl_error *err)
{
    for (int d = 0; d < item->array.num_dims && item->scales[d]; d++) {
        hid_t scale = H5Dopen2(file.id, item->scales[d], H5P_DEFAULT);
        herr_t done = scale < 0 ? -1 : H5DSattach_scale(dataset, scale, (unsigned)d);
        rl_h5_close(scale);
        if (done < 0) return rl_h5_fail(err, RL_ERR_IO, file.path, "%s cannot get its scale", item->path);
    }
    return RL_OK;
}

static rl_status write_item(rl_place file, const rl_output *item, rl_error *err)
{
    rl_status status = RL_OK;
    hid_t dataset = H5I_INVALID_HID, type = rl_h5_memory_type(item->array.element, item->array.width);
    RL_TRY(rl_h5_create(&dataset, file, item->path, &item->array, err));
    if (rl_array_count(&item->array) && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, item->values) < 0)
        status = rl_h5_fail(err, RL_ERR_IO, file.path, "%s cannot be written", item->path);
    if (status == RL_OK) status = describe((rl_place){dataset, file.path}, item, err);
    if (status == RL_OK && item->is_scale && H5DSset_scale(dataset, strrchr(item->path, '/') + 1) < 0)
        status = rl_h5_fail(err, RL_ERR_IO, file.path, "%s cannot be made a scale", item->path);
    if (status == RL_OK && !item->is_scale) status = attach_scales(file, dataset, item, err);
cleanup:
    rl_h5_close(type);
    rl_h5_close(dataset);
    return status;
}

/* Every group above a path that is not there yet. */
static rl_status make_groups(rl_place file, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    char group[300];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(group, sizeof group, "%.*s", (int)(slash - path), path);
        if (H5Lexists(file.id, group, H5P_DEFAULT) <= 0) RL_TRY(rl_h5_make_group(file, group, err));
    }
cleanup:
    return status;
}

static rl_status write_attribute(rl_place file, const char *path, const char *name, const char *text, rl_error *err)
{
    hid_t group = H5Oopen(file.id, path, H5P_DEFAULT);
    rl_status status = group >= 0 ? rl_h5_put_text((rl_place){group, file.path}, name, text, err)
                                  : rl_h5_fail(err, RL_ERR_IO, file.path, "%s cannot be opened", path);
    rl_h5_close(group);
    return status;
}

static rl_status write_all(rl_place file, const rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t i = 0; i < o->count; i++) {
        RL_TRY(make_groups(file, o->items[i].path, err));
        RL_TRY(write_item(file, &o->items[i], err));
    }
    for (int32_t i = 0; i < o->num_attributes; i++)
        RL_TRY(write_attribute(file, o->attributes[i].path, o->attributes[i].name, o->attributes[i].text, err));
cleanup:
    return status;
}

static rl_status read_back(const char *temporary, const rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, temporary};
    void *values = NULL;
    RL_TRY(rl_h5_open(&file.id, temporary, "results file", err));
    for (int32_t i = 0; i < o->count; i++) {
        const rl_output *item = &o->items[i];
        values = rl_calloc(rl_array_count(&item->array), item->array.width, err);
        if (!values) status = RL_ERR_MEMORY;
        if (status == RL_OK) status = rl_h5_get(values, file, item->path, &item->array, err);
        if (status == RL_OK && memcmp(values, item->values, rl_array_bytes(&item->array)))
            status = rl_fail(err, RL_ERR_IO, "%s: %s, read back, differs from what was written", temporary, item->path);
        rl_free(values);
        if (status != RL_OK) break;
    }
cleanup:
    rl_h5_close(file.id);
    return status;
}

static rl_status open_copy(rl_place *file, rl_error *err)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0)
        file->id = H5Fopen(file->path, H5F_ACC_RDWR, access);
    rl_h5_close(access);
    return file->id >= 0 ? RL_OK : rl_h5_fail(err, RL_ERR_IO, file->path, "cannot be opened for writing");
}

static rl_status close_copy(rl_place file, rl_status status, rl_error *err)
{
    if (file.id >= 0 && H5Fclose(file.id) < 0 && status == RL_OK)
        status = rl_h5_fail(err, RL_ERR_IO, file.path, "cannot be completed");
    return status;
}

static rl_status write_copy(const char *temporary, const rl_outputs *o, rl_error *err)
{
    rl_place file = {H5I_INVALID_HID, temporary};
    rl_status status = open_copy(&file, err);
    if (status == RL_OK) status = write_all(file, o, err);
    return close_copy(file, status, err);
}

/* What is there now, as an attribute of it: rl_stats_is_current compares. */
static rl_status seal_copy(const char *temporary, rl_error *err)
{
    char hex[RL_DIGEST_HEX];
    rl_place file = {H5I_INVALID_HID, temporary};
    rl_status status = rl_store_digest_stats(temporary, hex, err);
    if (status != RL_OK) return status;
    status = open_copy(&file, err);
    if (status == RL_OK) status = write_attribute(file, "/stats", RL_STATS_SEAL, hex, err);
    return close_copy(file, status, err);
}

static rl_status has_stats(bool *out, const char *path, rl_error *err)
{
    hid_t file = H5I_INVALID_HID;
    rl_status status = rl_h5_open(&file, path, "results file", err);
    if (status == RL_OK) *out = H5Lexists(file, "/stats", H5P_DEFAULT) > 0;
    rl_h5_close(file);
    return status;
}

rl_status rl_outputs_write(const rl_outputs *o, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    bool again = false;
    char *temporary = rl_format(err, "%s.tmp.%ld", path, (long)getpid());
    if (!temporary) return RL_ERR_MEMORY;
    RL_TRY(has_stats(&again, path, err));
    RL_TRY(again ? rl_h5_copy_without(path, temporary, "stats", err) : rl_copy_file(path, temporary, err));
    RL_TRY(write_copy(temporary, o, err));
    RL_TRY(seal_copy(temporary, err));
    RL_TRY(read_back(temporary, o, err));
    RL_TRY(rl_publish(temporary, path, err));
cleanup:
    if (status != RL_OK) unlink(temporary);
    rl_free(temporary);
    return status;
}
