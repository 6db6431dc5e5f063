/* h5.c -- HDF5 as the rest of relearn speaks: rl_error instead of a printed stack, arrays with one type table, no id
 * left open. */
#include "store_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- errors */

rl_h5_quiet rl_h5_quiet_begin(void)
{
    rl_h5_quiet quiet = {NULL, NULL};
    H5Eget_auto2(H5E_DEFAULT, &quiet.function, &quiet.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return quiet;
}

void rl_h5_quiet_end(rl_h5_quiet quiet) { H5Eset_auto2(H5E_DEFAULT, quiet.function, quiet.data); }

/* The innermost entry is the cause; the others say who called whom. */
static herr_t take_reason(unsigned n, const H5E_error2_t *entry, void *reason)
{
    if (n == 0) snprintf(reason, 256, "%s", entry->desc ? entry->desc : "");
    return 0;
}

/* Drivers wrap strerror in a paragraph with addresses and dates: "... error message = 'No space left on device',
 * ...". */
static void shorten_reason(char *reason)
{
    char *quote = strstr(reason, "error message = '");
    if (!quote) return;
    quote += strlen("error message = '");
    quote[strcspn(quote, "'")] = '\0';
    memmove(reason, quote, strlen(quote) + 1);
}

/* Before anything is closed: every call into HDF5 clears the stack first. */
rl_status rl_h5_fail(rl_error *err, rl_status status, const char *path, const char *format, ...)
{
    char what[512], reason[256] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
    H5Eclear2(H5E_DEFAULT);
    shorten_reason(reason);
    return rl_fail(err, status, "%s: %s%s%s", path, what, reason[0] ? ": HDF5: " : "", reason);
}

void rl_h5_close(hid_t id)
{
    if (id >= 0) H5Idec_ref(id);
}

/* ------------------------------------------------------------------------------------------------- arrays */

size_t rl_element_width(rl_element element)
{
    static const size_t widths[] = {[RL_F64] = 8, [RL_F32] = 4, [RL_I64] = 8, [RL_I32] = 4, [RL_I8] = 1, [RL_TEXT] = 0};
    return widths[element];
}

rl_array rl_array_of(rl_element element, int num_dims, const hsize_t *dims)
{
    rl_array array = {.element = element, .width = rl_element_width(element), .num_dims = num_dims};
    for (int i = 0; i < num_dims; i++) array.dims[i] = dims[i];
    return array;
}

/* HDF5 has no strings of length 0: an array of empty texts is one NUL wide. */
rl_array rl_text_array(size_t width, hsize_t count)
{
    return (rl_array){.element = RL_TEXT, .width = width ? width : 1, .num_dims = 1, .dims = {count}};
}

size_t rl_array_count(const rl_array *array)
{
    size_t count = 1;
    for (int i = 0; i < array->num_dims; i++) count *= (size_t)array->dims[i];
    return count;
}

size_t rl_array_bytes(const rl_array *array) { return rl_array_count(array) * array->width; }

void rl_fill_missing(void *values, size_t n, rl_element element, size_t width)
{
    switch (element) {
    case RL_F64:
        for (size_t i = 0; i < n; i++) ((double *)values)[i] = NAN;
        break;
    case RL_F32:
        for (size_t i = 0; i < n; i++) ((float *)values)[i] = NAN;
        break;
    case RL_I64:
    case RL_I32:
    case RL_I8: memset(values, 0xff, n * width); break; /* -1 in two's complement */
    case RL_TEXT: memset(values, 0, n * width); break;
    }
}

/* ------------------------------------------------------------------------------------- types and properties */

static hid_t text_type(size_t width)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return type;
    if (H5Tset_size(type, width) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

hid_t rl_h5_memory_type(rl_element element, size_t width)
{
    switch (element) {
    case RL_F64: return H5Tcopy(H5T_NATIVE_DOUBLE);
    case RL_F32: return H5Tcopy(H5T_NATIVE_FLOAT);
    case RL_I64: return H5Tcopy(H5T_NATIVE_INT64);
    case RL_I32: return H5Tcopy(H5T_NATIVE_INT32);
    case RL_I8: return H5Tcopy(H5T_NATIVE_INT8);
    case RL_TEXT: break;
    }
    return text_type(width);
}

hid_t rl_h5_file_type(rl_element element, size_t width)
{
    switch (element) {
    case RL_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case RL_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case RL_I64: return H5Tcopy(H5T_STD_I64LE);
    case RL_I32: return H5Tcopy(H5T_STD_I32LE);
    case RL_I8: return H5Tcopy(H5T_STD_I8LE);
    case RL_TEXT: break;
    }
    return text_type(width);
}

hid_t rl_h5_space(const rl_array *array)
{
    return array->num_dims == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(array->num_dims, array->dims, NULL);
}

/* No modification times (equal results shall be equal bytes); few attributes and links, so all of them stay in the
 * object headers, which carry checksums, and no heap is made. */
static hid_t creation_list(hid_t class_id, bool links)
{
    hid_t list = H5Pcreate(class_id);
    if (list < 0) return list;
    bool ok = H5Pset_attr_phase_change(list, 4096, 4095) >= 0 && H5Pset_obj_track_times(list, false) >= 0;
    if (links) ok = ok && H5Pset_link_phase_change(list, 4096, 4095) >= 0;
    if (ok) return list;
    H5Pclose(list);
    return H5I_INVALID_HID;
}

hid_t rl_h5_file_creation(void) { return creation_list(H5P_FILE_CREATE, true); }
hid_t rl_h5_group_creation(void) { return creation_list(H5P_GROUP_CREATE, true); }

/* Contiguous, allocated at once; every element is written explicitly, so nothing is written twice (FILL_TIME_NEVER),
 * and readers still learn the fill value. */
hid_t rl_h5_dataset_creation(const rl_array *array)
{
    union {
        double f64;
        int64_t i64;
    } missing[1];
    hid_t list = creation_list(H5P_DATASET_CREATE, false), type = rl_h5_memory_type(array->element, array->width);
    bool ok = list >= 0 && type >= 0 && H5Pset_layout(list, H5D_CONTIGUOUS) >= 0 &&
              H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) >= 0 && H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0;
    if (ok && array->element != RL_TEXT) {
        rl_fill_missing(missing, 1, array->element, array->width);
        ok = H5Pset_fill_value(list, type, missing) >= 0;
    }
    rl_h5_close(type);
    if (ok) return list;
    rl_h5_close(list);
    return H5I_INVALID_HID;
}

/* ------------------------------------------------------------------------------------------------- writing */

rl_status rl_h5_make_group(rl_place place, const char *name, rl_error *err)
{
    hid_t list = rl_h5_group_creation();
    hid_t group = H5Gcreate2(place.id, name, H5P_DEFAULT, list, H5P_DEFAULT);
    rl_status status = group >= 0 ? RL_OK : rl_h5_fail(err, RL_ERR_IO, place.path, "group %s cannot be made", name);
    rl_h5_close(group);
    rl_h5_close(list);
    return status;
}

rl_status rl_h5_create(hid_t *out, rl_place place, const char *name, const rl_array *array, rl_error *err)
{
    hid_t type = rl_h5_file_type(array->element, array->width), space = rl_h5_space(array);
    hid_t list = rl_h5_dataset_creation(array), dataset = H5I_INVALID_HID;
    if (type >= 0 && space >= 0 && list >= 0)
        dataset = H5Dcreate2(place.id, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    rl_status status = dataset >= 0 ? RL_OK : rl_h5_fail(err, RL_ERR_IO, place.path, "dataset %s cannot be made", name);
    if (status == RL_OK) *out = dataset;
    rl_h5_close(list);
    rl_h5_close(space);
    rl_h5_close(type);
    return status;
}

rl_status rl_h5_put(rl_place place, const char *name, const rl_array *array, const void *values, rl_error *err)
{
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    rl_status status = RL_OK;
    RL_TRY(rl_h5_create(&dataset, place, name, array, err));
    type = rl_h5_memory_type(array->element, array->width);
    if (type < 0 || (rl_array_count(array) && H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
        status = rl_h5_fail(err, RL_ERR_IO, place.path, "dataset %s cannot be written", name);
cleanup:
    rl_h5_close(type);
    rl_h5_close(dataset);
    return status;
}

rl_status rl_h5_put_text(rl_place place, const char *name, const char *text, rl_error *err)
{
    size_t width = strlen(text) ? strlen(text) : 1;
    hid_t type = text_type(width), space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    if (type >= 0 && space >= 0) attribute = H5Acreate2(place.id, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    rl_status status = RL_OK;
    if (attribute < 0 || H5Awrite(attribute, type, text) < 0)
        status = rl_h5_fail(err, RL_ERR_IO, place.path, "attribute %s cannot be written", name);
    rl_h5_close(attribute);
    rl_h5_close(space);
    rl_h5_close(type);
    return status;
}

/* ------------------------------------------------------------------------------------------------- reading */

/* Our files never change once they have their name, so no lock is needed; some network file systems refuse locks. */
rl_status rl_h5_open(hid_t *out, const char *path, const char *kind, rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, path, err); /* says plainly when it is absent or no file */
    if (status != RL_OK) return status;
    rl_file_view_close(&view);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = H5I_INVALID_HID;
    if (access >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0
#if H5_VERSION_GE(1, 10, 7)
        && H5Pset_file_locking(access, false, true) >= 0
#endif
    )
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (file < 0) status = rl_h5_fail(err, RL_ERR_INPUT, path, "is not a whole relearn %s", kind);
    rl_h5_close(access);
    if (status == RL_OK) *out = file;
    return status;
}

static bool element_of(hid_t type, rl_array *out)
{
    size_t size = H5Tget_size(type);
    H5T_class_t class = H5Tget_class(type);
    bool is_fixed_text = class == H5T_STRING && H5Tis_variable_str(type) == 0;
    bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    if (is_fixed_text)
        out->element = RL_TEXT;
    else if (class == H5T_FLOAT && (size == 8 || size == 4))
        out->element = size == 8 ? RL_F64 : RL_F32;
    else if (is_signed && (size == 8 || size == 4 || size == 1))
        out->element = size == 8 ? RL_I64 : size == 4 ? RL_I32 : RL_I8;
    else
        return false;
    out->width = size;
    return true;
}

bool rl_h5_shape_of(hid_t dataset, rl_array *out)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    rl_array shape = {0};
    bool ok = type >= 0 && space >= 0 && element_of(type, &shape);
    shape.num_dims = ok ? H5Sget_simple_extent_ndims(space) : -1;
    ok = ok && shape.num_dims >= 0 && shape.num_dims <= 4 && H5Sget_simple_extent_dims(space, shape.dims, NULL) >= 0;
    rl_h5_close(space);
    rl_h5_close(type);
    if (ok) *out = shape;
    return ok;
}

static rl_status open_dataset(hid_t *out, rl_array *shape, rl_place place, const char *name, rl_error *err)
{
    hid_t dataset = H5Dopen2(place.id, name, H5P_DEFAULT);
    if (dataset < 0) return rl_h5_fail(err, RL_ERR_INPUT, place.path, "no dataset %s", name);
    if (!rl_h5_shape_of(dataset, shape)) {
        rl_h5_close(dataset);
        return rl_fail(err, RL_ERR_INPUT, "%s: dataset %s is of a kind that relearn does not write", place.path, name);
    }
    *out = dataset;
    return RL_OK;
}

rl_status rl_h5_shape(rl_array *out, rl_place place, const char *name, rl_error *err)
{
    hid_t dataset = H5I_INVALID_HID;
    rl_status status = open_dataset(&dataset, out, place, name, err);
    rl_h5_close(dataset);
    return status;
}

static bool same_array(const rl_array *a, const rl_array *b)
{
    if (a->element != b->element || a->width != b->width || a->num_dims != b->num_dims) return false;
    return memcmp(a->dims, b->dims, (size_t)a->num_dims * sizeof a->dims[0]) == 0;
}

static rl_status open_expected(hid_t *out, rl_place place, const char *name, const rl_array *expected, rl_error *err)
{
    rl_array found = {0};
    rl_status status = open_dataset(out, &found, place, name, err);
    if (status != RL_OK || same_array(&found, expected)) return status;
    return rl_fail(err, RL_ERR_INPUT, "%s: dataset %s has another shape or type than its neighbours", place.path, name);
}

rl_status rl_h5_expect(rl_place place, const char *name, const rl_array *expected, rl_error *err)
{
    hid_t dataset = H5I_INVALID_HID;
    rl_status status = open_expected(&dataset, place, name, expected, err);
    rl_h5_close(dataset);
    return status;
}

rl_status rl_h5_get(void *values, rl_place place, const char *name, const rl_array *expected, rl_error *err)
{
    hid_t dataset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    rl_status status = RL_OK;
    RL_TRY(open_expected(&dataset, place, name, expected, err));
    type = rl_h5_memory_type(expected->element, expected->width);
    if (type < 0 || (rl_array_count(expected) && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0))
        status = rl_h5_fail(err, RL_ERR_INPUT, place.path, "dataset %s cannot be read", name);
cleanup:
    rl_h5_close(type);
    rl_h5_close(dataset);
    return status;
}

static rl_status read_text(char **out, hid_t attribute, hid_t type, rl_error *err)
{
    char *text = rl_calloc(H5Tget_size(type) + 1, 1, err);
    rl_status status = text ? RL_OK : RL_ERR_MEMORY;
    /* As stored: HDF5's own attributes are ASCII, ours UTF-8, and it converts neither into the other. */
    if (status == RL_OK && H5Aread(attribute, type, text) < 0)
        status = rl_h5_fail(err, RL_ERR_INPUT, "attribute", "cannot be read");
    if (status == RL_OK)
        *out = text;
    else
        rl_free(text);
    return status;
}

/* HDF5 allocates the text and wants it back. */
static rl_status read_variable_text(char **out, hid_t attribute, hid_t type, hid_t space, rl_error *err)
{
    char *text = NULL;
    rl_status status = H5Aread(attribute, type, &text) < 0 ? rl_h5_fail(err, RL_ERR_INPUT, "attribute", "cannot be read") : RL_OK;
    if (status == RL_OK && !(*out = rl_strdup(text ? text : "", err))) status = RL_ERR_MEMORY;
    if (text) H5Dvlen_reclaim(type, space, H5P_DEFAULT, &text);
    return status;
}

rl_status rl_h5_get_text(char **out, hid_t object, const char *name, rl_error *err)
{
    rl_status status = RL_OK;
    *out = NULL;
    if (H5Aexists(object, name) <= 0) return RL_OK;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID,
          space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    bool scalar = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (type >= 0 && scalar && H5Tget_class(type) == H5T_STRING)
        status = H5Tis_variable_str(type) > 0 ? read_variable_text(out, attribute, type, space, err) : read_text(out, attribute, type, err);
    rl_h5_close(space);
    rl_h5_close(type);
    rl_h5_close(attribute);
    return status;
}
