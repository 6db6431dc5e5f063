/* outputs.c -- /stats in memory, on every rank: what write.c puts into the file. */
#include "stats_internal.h"

#include <stdio.h>
#include <string.h>

void rl_outputs_clear(rl_outputs *o)
{
    for (int32_t i = 0; i < o->count; i++) {
        rl_free(o->items[i].path);
        rl_free(o->items[i].values);
        rl_free(o->items[i].long_name);
        rl_free(o->items[i].method);
        rl_free(o->items[i].interval);
        for (int d = 0; d < 4; d++) rl_free(o->items[i].scales[d]);
    }
    for (int32_t i = 0; i < o->num_attributes; i++) {
        rl_free(o->attributes[i].path);
        rl_free(o->attributes[i].name);
        rl_free(o->attributes[i].text);
    }
    rl_free(o->items);
    rl_buffer_free(&o->skipped);
    *o = (rl_outputs){0};
}

const rl_output *rl_outputs_find(const rl_outputs *o, const char *path)
{
    for (int32_t i = 0; i < o->count; i++)
        if (!strcmp(o->items[i].path, path)) return &o->items[i];
    return NULL;
}

/* A zeroed item at the end of the list. */
static rl_status new_item(rl_output **out, rl_outputs *o, rl_error *err)
{
    if (o->count == o->capacity) {
        int32_t capacity = o->capacity ? 2 * o->capacity : 64;
        rl_output *items = rl_regrow(o->items, (size_t)o->capacity, (size_t)capacity, sizeof *items, err);
        if (!items) return RL_ERR_MEMORY;
        o->items = items;
        o->capacity = capacity;
    }
    *out = &o->items[o->count++];
    (*out)->n = -1;
    return RL_OK;
}

static rl_status set_values(rl_output *item, const void *values, rl_error *err)
{
    item->values = rl_calloc(rl_array_count(&item->array), item->array.width, err);
    if (!item->values) return RL_ERR_MEMORY;
    memcpy(item->values, values, rl_array_bytes(&item->array));
    return RL_OK;
}

rl_status rl_outputs_add(rl_outputs *o, const rl_shape *shape, const char *name, rl_element element, size_t width,
                         const void *values, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    rl_output *item = NULL;
    RL_TRY(new_item(&item, o, err));
    item->array = (rl_array){.element = element, .width = element == RL_TEXT ? width : rl_element_width(element)};
    item->array.num_dims = shape->num_dims;
    item->units = element == RL_TEXT ? NULL : shape->units ? shape->units : "1";
    item->portable = !shape->approximate;
    if (!(item->path = rl_format(err, "%s/%s", shape->group, name))) return RL_ERR_MEMORY;
    if (!(item->long_name = rl_strdup(long_name, err))) return RL_ERR_MEMORY;
    if (shape->method && !(item->method = rl_strdup(shape->method, err))) return RL_ERR_MEMORY;
    for (int d = 0; d < shape->num_dims; d++) {
        if (!(item->scales[d] = rl_format(err, "%s/%s", shape->group, shape->dims[d]))) return RL_ERR_MEMORY;
        const rl_output *scale = rl_outputs_find(o, item->scales[d]);
        RL_REQUIRE(scale != NULL, err);
        item->array.dims[d] = scale->array.dims[0];
    }
    RL_TRY(set_values(item, values, err));
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------ estimates */

static rl_status add_part(rl_outputs *o, const rl_shape *shape, const char *name, const char *suffix,
                          const rl_estimate *estimates, size_t member, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    char full[128], text[400];
    double *values = NULL;
    size_t n = 1;
    for (int d = 0; d < shape->num_dims; d++) {
        char path[300];
        snprintf(path, sizeof path, "%s/%s", shape->group, shape->dims[d]);
        const rl_output *scale = rl_outputs_find(o, path);
        RL_REQUIRE(scale != NULL, err);
        n *= (size_t)scale->array.dims[0];
    }
    RL_ALLOC(values, n, err);
    for (size_t i = 0; i < n; i++) memcpy(&values[i], (const char *)&estimates[i] + member, sizeof values[i]);
    snprintf(full, sizeof full, "%s%s", name, suffix);
    snprintf(text, sizeof text, "%s%s", long_name,
             !strcmp(suffix, "_low")    ? ", lower end of its interval"
             : !strcmp(suffix, "_high") ? ", upper end of its interval"
             : !strcmp(suffix, "_sd")   ? ", standard deviation over seeds (ddof 1)"
                                        : ", mean over seeds");
    RL_TRY(rl_outputs_add(o, shape, full, RL_F64, 0, values, text, err));
cleanup:
    rl_free(values);
    return status;
}

static rl_status add_counts(rl_outputs *o, const rl_shape *shape, const char *name, const rl_estimate *estimates,
                            size_t n, int64_t *most, int64_t *fewest, rl_error *err)
{
    rl_status status = RL_OK;
    char full[128];
    rl_shape plain = *shape;
    int32_t *values = NULL;
    RL_ALLOC(values, n, err);
    *most = *fewest = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = estimates[i].n;
        if (values[i] > *most) *most = values[i];
        if (values[i] > 1 && (*fewest == 0 || values[i] < *fewest)) *fewest = values[i];
    }
    plain.units = "1";
    snprintf(full, sizeof full, "%s_n", name);
    RL_TRY(rl_outputs_add(o, &plain, full, RL_I32, 0, values, "seeds with a value", err));
cleanup:
    rl_free(values);
    return status;
}

/* Never "95 %" where so few seeds cannot give it. */
static char *describe_interval(int64_t fewest, rl_error *err)
{
    const double level = 100 * RL_STATS_LEVEL, most = 100 * rl_largest_coverage(fewest);
    if (fewest == 0) return rl_format(err, "none: one seed");
    if (most >= level)
        return rl_format(err, "%g %% BCa bootstrap over seeds, %lld draws; none with one seed", level, (long long)RL_STATS_DRAWS);
    return rl_format(err,
                     "BCa bootstrap over seeds, %lld draws, for %g %%, which fewer than 6 seeds cannot give: n seeds cover at most "
                     "1 - 2^(1-n), with the fewest here (%lld) %g %%; none with one seed",
                     (long long)RL_STATS_DRAWS, level, (long long)fewest, most);
}

rl_status rl_outputs_add_estimates(rl_outputs *o, const rl_shape *shape, const char *name,
                                   const rl_estimate *estimates, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t first = o->count;
    int64_t most = 0, fewest = 0;
    RL_TRY(add_part(o, shape, name, "", estimates, offsetof(rl_estimate, value), long_name, err));
    RL_TRY(add_part(o, shape, name, "_low", estimates, offsetof(rl_estimate, low), long_name, err));
    RL_TRY(add_part(o, shape, name, "_high", estimates, offsetof(rl_estimate, high), long_name, err));
    RL_TRY(add_part(o, shape, name, "_sd", estimates, offsetof(rl_estimate, sd), long_name, err));
    RL_TRY(add_counts(o, shape, name, estimates, rl_array_count(&o->items[first].array), &most, &fewest, err));
    o->items[first].n = most;
    o->items[first].coverage = fewest ? rl_largest_coverage(fewest) : 0;
    o->items[first].interval = describe_interval(fewest, err);
    if (!o->items[first].interval) status = RL_ERR_MEMORY;
cleanup:
    return status;
}

/* --------------------------------------------------------------------------------------------------- scales */

rl_status rl_outputs_add_scale(rl_outputs *o, const char *group, const char *name, rl_element element, size_t width,
                               int64_t n, const void *values, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    rl_output *item = NULL;
    RL_TRY(new_item(&item, o, err));
    item->is_scale = item->portable = true;
    item->units = element == RL_TEXT ? NULL : "1";
    item->array = element == RL_TEXT ? rl_text_array(width, (hsize_t)n) : rl_array_of(element, 1, (hsize_t[]){(hsize_t)n});
    if (!(item->path = rl_format(err, "%s/%s", group, name))) return RL_ERR_MEMORY;
    if (!(item->long_name = rl_strdup(long_name, err))) return RL_ERR_MEMORY;
    RL_TRY(set_values(item, values, err));
cleanup:
    return status;
}

rl_status rl_outputs_add_count(rl_outputs *o, const char *group, const char *name, int64_t n, const char *long_name,
                               rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *values = NULL;
    RL_ALLOC(values, n, err);
    for (int64_t i = 0; i < n; i++) values[i] = (int32_t)i;
    RL_TRY(rl_outputs_add_scale(o, group, name, RL_I32, 0, n, values, long_name, err));
cleanup:
    rl_free(values);
    return status;
}

rl_status rl_outputs_add_texts(rl_outputs *o, const rl_shape *shape, const char *name, const char *const *texts,
                               int64_t n, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    size_t width = 1;
    char *values = NULL;
    for (int64_t i = 0; i < n; i++)
        if (texts[i] && strlen(texts[i]) > width) width = strlen(texts[i]);
    RL_ALLOC(values, (size_t)n * width, err);
    for (int64_t i = 0; i < n; i++)
        if (texts[i]) memcpy(values + (size_t)i * width, texts[i], strlen(texts[i]));
    if (shape->num_dims)
        status = rl_outputs_add(o, shape, name, RL_TEXT, width, values, long_name, err);
    else
        status = rl_outputs_add_scale(o, shape->group, name, RL_TEXT, width, n, values, long_name, err);
cleanup:
    rl_free(values);
    return status;
}

rl_status rl_outputs_add_stages(rl_outputs *o, const rl_source *source, const char *group, rl_error *err)
{
    rl_status status = RL_OK;
    char *values = NULL;
    RL_ALLOC(values, source->num_stages * 32, err);
    for (int64_t s = 0; s < source->num_stages; s++) {
        if (s < 2)
            snprintf(values + s * 32, 32, "%s", s ? "pruned" : "base");
        else
            snprintf(values + s * 32, 32, "retrained_%lld", (long long)s - 1);
    }
    RL_TRY(rl_outputs_add_scale(o, group, "stage", RL_TEXT, 32, source->num_stages, values, "stage of the run", err));
cleanup:
    rl_free(values);
    return status;
}

rl_status rl_outputs_add_runs(rl_outputs *o, const rl_source *source, const char *group, const int32_t *runs, int64_t n,
                              rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_column *ids = rl_source_column_named(source, "run");
    size_t width = ids->array.width;
    char *values = NULL;
    RL_ALLOC(values, (size_t)n * width, err);
    for (int64_t i = 0; i < n; i++)
        memcpy(values + (size_t)i * width, ids->values + (size_t)(runs ? runs[i] : i) * width, width);
    RL_TRY(rl_outputs_add_scale(o, group, "run", RL_TEXT, width, n, values, "run id", err));
cleanup:
    rl_free(values);
    return status;
}

/* ------------------------------------------------------------------------------------- attributes and digest */

rl_status rl_outputs_attribute(rl_outputs *o, const char *path, const char *name, const char *text, rl_error *err)
{
    rl_status status = RL_OK;
    RL_REQUIRE(o->num_attributes < (int32_t)(sizeof o->attributes / sizeof *o->attributes), err);
    int32_t i = o->num_attributes++;
    o->attributes[i].path = rl_strdup(path, err);
    o->attributes[i].name = rl_strdup(name, err);
    o->attributes[i].text = rl_strdup(text, err);
    if (!o->attributes[i].path || !o->attributes[i].name || !o->attributes[i].text) status = RL_ERR_MEMORY;
cleanup:
    return status;
}

rl_status rl_outputs_skip(rl_outputs *o, rl_error *err, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rl_buffer_printf(&o->skipped, err, "%s%s", o->skipped.length ? "\n" : "", text);
}

rl_status rl_outputs_digest(const rl_outputs *o, char hex[RL_DIGEST_HEX], rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = rl_hash_create(&hash, err);
    for (int32_t i = 0; status == RL_OK && i < o->count; i++) {
        if (!o->items[i].portable) continue;
        rl_hash_text(hash, o->items[i].path);
        rl_hash_bytes(hash, o->items[i].values, rl_array_bytes(&o->items[i].array));
    }
    if (status == RL_OK) rl_hash_digest(hash, hex);
    rl_hash_free(hash);
    return status;
}
