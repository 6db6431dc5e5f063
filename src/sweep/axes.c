/* axes.c -- values of one configuration path: scalars, lists, integer ranges; and --set, which overrides either. */
#include "sweep_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rl_axis *rl_sweep_file_find_axis(rl_sweep_file *file, const rl_key *key)
{
    for (int i = 0; i < file->num_axes; i++)
        if (file->axes[i].key == key) return &file->axes[i];
    return NULL;
}

static void clear_axis(rl_axis *axis)
{
    rl_free(axis->texts);
    rl_free(axis->places);
    rl_free(axis->paths);
    axis->texts = NULL;
    axis->places = NULL;
    axis->paths = NULL;
    axis->count = 0;
}

void rl_sweep_file_clear(rl_sweep_file *file)
{
    for (int i = 0; i < file->num_axes; i++) clear_axis(&file->axes[i]);
    for (int i = 0; i < file->num_excludes; i++)
        for (int c = 0; c < file->excludes[i].count; c++) rl_free(file->excludes[i].conditions[c]);
    rl_free((void *)(uintptr_t)file->scope.folder);
}

/* Decimal digits with an optional sign; out of 64 bits: the nearest, which no setting takes. */
static bool scan_integer(const char **at, long long *value)
{
    const char *digits = *at + (**at == '-' || **at == '+');
    char *end = NULL;
    if (*digits < '0' || *digits > '9') return false;
    *value = strtoll(*at, &end, 10);
    *at = end;
    return true;
}

static bool skip_dots(const char **at)
{
    if (strncmp(*at, "..", 2) != 0) return false;
    *at += 2;
    return true;
}

/* "A..B" or "A..B..STEP", inclusive. */
static bool parse_range(const char *text, long long *first, long long *last, long long *step)
{
    *step = 1;
    if (!scan_integer(&text, first) || !skip_dots(&text) || !scan_integer(&text, last)) return false;
    return *text == '\0' || (skip_dots(&text) && scan_integer(&text, step) && *text == '\0');
}

static rl_status range_values(rl_axis *axis, const rl_scope *scope, const rl_yaml *node, rl_error *err)
{
    rl_status status = RL_OK;
    long long first, last, step;
    if (!parse_range(node->text, &first, &last, &step)) return RL_ERR_INTERNAL;
    if (last < first || step < 1)
        return rl_yaml_fail(node, err, "%s: the range '%s' is empty; FIRST..LAST or FIRST..LAST..STEP was expected", axis->key->path,
                            node->text);
    long long span = 0;
    if (__builtin_sub_overflow(last, first, &span) || span / step >= rl_max_axis_values)
        return rl_yaml_fail(node, err, "%s: the range '%s' has more than %lld values", axis->key->path, node->text,
                            (long long)rl_max_axis_values);
    int64_t count = span / step + 1;
    RL_ALLOC(axis->texts, count, err);
    RL_ALLOC(axis->places, count, err);
    for (; axis->count < count; axis->count++) {
        char text[32];
        snprintf(text, sizeof text, "%lld", first + step * axis->count);
        RL_TRY(rl_scope_keep(&axis->texts[axis->count], scope, text, err));
        axis->places[axis->count] = node->place;
    }
cleanup:
    return status;
}

rl_status rl_yaml_join(const char **joined, const rl_yaml *list, const rl_scope *scope, const char *what, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    if (list->count == 0) return rl_yaml_fail(list, err, "%s: the list is empty", what);
    for (size_t i = 0; i < list->count; i++) {
        if (list->values[i]->kind != RL_YAML_SCALAR) {
            status = rl_yaml_fail(list->values[i], err, "%s: a single value was expected", what);
            goto cleanup;
        }
        RL_TRY(rl_buffer_printf(&text, err, "%s%s", i ? "," : "", list->values[i]->text));
    }
    RL_TRY(rl_scope_keep(joined, scope, text.data, err));
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status list_values(rl_axis *axis, const rl_scope *scope, rl_yaml *const *items, size_t count, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(axis->texts, count, err);
    RL_ALLOC(axis->places, count, err);
    for (size_t i = 0; i < count; i++) {
        if (items[i]->kind == RL_YAML_LIST && rl_key_is_list(axis->key))
            RL_TRY(rl_yaml_join(&axis->texts[i], items[i], scope, axis->key->path, err));
        else if (items[i]->kind != RL_YAML_SCALAR)
            return rl_yaml_fail(items[i], err, "%s: a single value was expected", axis->key->path);
        else
            RL_TRY(rl_scope_keep(&axis->texts[i], scope, items[i]->text, err));
        axis->places[i] = items[i]->place;
        axis->count++;
    }
cleanup:
    return status;
}

/* Two texts of one value ("0.5" and ".5") are one value too. */
static rl_status check_values(rl_axis *axis, const rl_scope *scope, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *seen = NULL;
    rl_buffer text = {0};
    RL_TRY(rl_names_create(&seen, err));
    if (axis->key->type == RL_KEY_FILE || axis->key->type == RL_KEY_MODEL || axis->key->type == RL_KEY_VECTORS)
        RL_ALLOC(axis->paths, axis->count, err);
    for (int64_t i = 0; i < axis->count; i++) {
        rl_run_settings scratch = rl_run_defaults(RL_PROTOCOL_CORRECTED);
        int32_t id = 0;
        RL_TRY(rl_key_set(&scratch, axis->key, axis->texts[i], scope, axis->places[i], err));
        if (axis->paths) memcpy(&axis->paths[i], (const char *)&scratch + axis->key->offset, sizeof axis->paths[i]);
        text.length = 0;
        RL_TRY(rl_key_get(&text, axis->key, &scratch, err));
        RL_TRY(rl_names_intern(seen, text.data, text.length, &id, err));
        if (id != (int32_t)i) {
            status = rl_fail_at(err, RL_ERR_INPUT, axis->places[i].file, axis->places[i].line, axis->places[i].column,
                                "%s: '%s' is given twice", axis->key->path, axis->texts[i]);
            goto cleanup;
        }
    }
cleanup:
    rl_names_free(seen);
    rl_buffer_free(&text);
    return status;
}

rl_status rl_sweep_file_axis(rl_sweep_file *file, const rl_key *key, const rl_yaml *values, rl_error *err)
{
    rl_status status = RL_OK;
    rl_axis made = {.key = key, .place = values->place}, *old = rl_sweep_file_find_axis(file, key);
    long long a, b, c;
    rl_yaml *single = (rl_yaml *)(uintptr_t)values;
    if (values->kind == RL_YAML_MAP) return rl_yaml_fail(values, err, "%s: a list of values was expected", key->path);
    if (values->kind == RL_YAML_LIST && values->count == 0)
        return rl_yaml_fail(values, err, "%s: the list is empty, so there would be no run", key->path);
    if (!old && file->num_axes == RL_MAX_AXES) return rl_yaml_fail(values, err, "more than %d axes", RL_MAX_AXES);
    if (values->kind == RL_YAML_LIST)
        status = list_values(&made, &file->scope, values->values, values->count, err);
    else if (key->type == RL_KEY_INT && !values->quoted && parse_range(values->text, &a, &b, &c))
        status = range_values(&made, &file->scope, values, err);
    else
        status = list_values(&made, &file->scope, &single, 1, err);
    if (status == RL_OK) status = check_values(&made, &file->scope, err);
    if (status != RL_OK) {
        clear_axis(&made);
        return status;
    }
    if (old) {
        clear_axis(old);
        *old = made;
    } else {
        file->axes[file->num_axes++] = made;
    }
    return RL_OK;
}

rl_status rl_sweep_file_assign(rl_sweep_file *file, const rl_key *key, const char *text, rl_place place, rl_error *err)
{
    rl_status status = RL_OK;
    rl_run_settings scratch = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    int at = 0;
    RL_TRY(rl_key_set(&scratch, key, text, &file->scope, place, err));
    while (at < file->num_settings && file->settings[at].key != key) at++;
    if (at == RL_MAX_SETTINGS) return rl_fail(err, RL_ERR_INTERNAL, "more settings than the table has");
    RL_TRY(rl_scope_keep(&file->settings[at].text, &file->scope, text, err));
    file->settings[at].key = key;
    file->settings[at].place = place;
    if (at == file->num_settings) file->num_settings++;
cleanup:
    return status;
}

rl_status rl_sweep_file_set(rl_sweep_file *file, const char *assignment, rl_error *err)
{
    rl_status status = RL_OK;
    rl_yaml *value = NULL;
    long long a, b, c;
    char path[64], *origin = rl_format(err, "--set %s", assignment);
    const char *equals = strchr(assignment, '='), *kept = NULL;
    if (!origin) return RL_ERR_MEMORY;
    RL_TRY(rl_scope_keep(&kept, &file->scope, origin, err));
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof path || !equals[1]) {
        status = rl_fail(err, RL_ERR_USAGE, "--set %s: PATH=VALUE was expected", assignment);
        goto cleanup;
    }
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    const rl_key *key = rl_key_find(path);
    if (rl_policy_is_key(path)) {
        status = rl_policy_set(&file->policy, path, equals + 1, (rl_place){kept, 0, 0}, err);
        goto cleanup;
    }
    if (!key) {
        const char *nearest = rl_key_nearest(path);
        status = rl_fail(err, RL_ERR_USAGE, "--set %s: '%s' is no setting%s%s", assignment, path,
                         nearest ? "; did you mean " : "", nearest ? nearest : "");
        goto cleanup;
    }
    RL_TRY(rl_yaml_parse(&value, kept, equals + 1, strlen(equals + 1), err));
    bool many = value->kind != RL_YAML_SCALAR || (key->type == RL_KEY_INT && parse_range(value->text, &a, &b, &c));
    value->place = (rl_place){kept, 0, 0}; /* a place inside an option's text helps nobody */
    for (size_t i = 0; value->kind == RL_YAML_LIST && i < value->count; i++) value->values[i]->place = value->place;
    if (many || rl_sweep_file_find_axis(file, key))
        status = rl_sweep_file_axis(file, key, value, err);
    else
        status = rl_sweep_file_assign(file, key, value->text, value->place, err);
cleanup:
    rl_yaml_free(value);
    rl_free(origin);
    return status;
}
