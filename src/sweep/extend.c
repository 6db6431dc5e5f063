/* extend.c -- a sweep that goes on in a folder: what it asks for beside what the folder already holds. */
#include "sweep_file.h"

#include <string.h>

/* All settings of a run as one text. Two runs with equal texts are one run. */
static rl_status fingerprint(rl_buffer *text, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    text->length = 0;
    for (size_t i = 0; i < rl_num_keys; i++) {
        RL_TRY(rl_key_get(text, &rl_keys[i], settings, err));
        RL_TRY(rl_buffer_append(text, "\n", 1, err));
    }
cleanup:
    return status;
}

static rl_status all_fingerprints(rl_names *names, const rl_sweep *sweep, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    int32_t id = 0;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        RL_TRY(fingerprint(&text, &sweep->runs[r].settings, err));
        RL_TRY(rl_names_intern(names, text.data, text.length, &id, err));
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

/* Is every run of `part` one of `names`? */
static rl_status is_within(bool *within, const rl_names *names, const rl_sweep *part, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    *within = true;
    for (int64_t r = 0; r < part->num_runs && *within; r++) {
        RL_TRY(fingerprint(&text, &part->runs[r].settings, err));
        *within = rl_names_find(names, text.data, text.length) >= 0;
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

/* A setting that was left out stands for something that no value says (the model's own dropout): no grid can hold it. */
static const char unset[] = "unset";

/* Distinct values of one setting over a sweep's runs, in order of first appearance. */
static rl_status values_of(rl_names *values, const rl_sweep *sweep, const rl_key *key, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    int32_t id = 0;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        text.length = 0;
        if (rl_key_is_unset(key, &sweep->runs[r].settings))
            RL_TRY(rl_buffer_append(&text, unset, sizeof unset - 1, err));
        else
            RL_TRY(rl_key_get(&text, key, &sweep->runs[r].settings, err));
        RL_TRY(rl_names_intern(values, text.data ? text.data : "", text.length, &id, err));
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status list_text(rl_buffer *text, const rl_names *values, int32_t most, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t i = 0; i < rl_names_count(values); i++) {
        if (i == most) return rl_buffer_printf(text, err, ", ...");
        RL_TRY(rl_buffer_printf(text, err, "%s%s", i ? ", " : "", rl_names_get(values, i)));
    }
cleanup:
    return status;
}

static bool is_axis_of(const rl_sweep *sweep, const rl_key *key)
{
    for (int32_t a = 0; a < sweep->num_axes; a++)
        if (!strcmp(sweep->axes[a], key->path)) return true;
    return false;
}

static bool has_unset(const rl_names *values) { return rl_names_find(values, unset, sizeof unset - 1) >= 0; }

static const rl_yaml *find_in_file(const rl_yaml *root, const char *path)
{
    const rl_yaml *found = NULL;
    for (size_t i = 0; root->kind == RL_YAML_MAP && i < root->count; i++)
        if (!strcmp(root->keys[i]->text, "grid")) found = rl_yaml_find(root->values[i], path);
    return found ? found : rl_yaml_find(root, path);
}

/* "FILE:LINE:COL" of what gives a setting its value, "--set ..." where that does, FILE alone for a default. NULL: no memory. */
static char *origin_of(const rl_key *key, const char *path, const char *const *sets, size_t num_sets, rl_error *err)
{
    rl_error why = {0};
    rl_yaml *root = NULL;
    size_t length = strlen(key->path);
    for (size_t i = num_sets; i-- > 0;)
        if (!strncmp(sets[i], key->path, length) && sets[i][length] == '=') return rl_format(err, "--set %s", sets[i]);
    const rl_yaml *value = rl_yaml_read(&root, path, &why) == RL_OK ? find_in_file(root, key->path) : NULL;
    char *text = value ? rl_format(err, "%s:%ld:%ld", path, value->place.line, value->place.column) : rl_format(err, "%s", path);
    rl_yaml_free(root);
    return text;
}

/* Both name other single values: no grid of this sweep holds both. */
static rl_status refuse(const char *origin, const rl_key *key, const rl_names *now, const rl_names *then, const char *previous,
                        rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer asked = {0}, held = {0};
    RL_TRY(list_text(&asked, now, 4, err));
    RL_TRY(list_text(&held, then, 4, err));
    const char *asked_text = asked.length ? asked.data : "unset", *held_text = held.length ? held.data : "unset";
    status = has_unset(now) || has_unset(then)
                 ? rl_fail(err, RL_ERR_INPUT, "%s: %s is %s here and %s in the runs of %s; give --out another folder (no axis holds a setting that is unset)",
                           origin, key->path, asked_text, held_text, previous)
                 : rl_fail(err, RL_ERR_INPUT,
                           "%s: %s is %s here and %s in the runs of %s; give --out another folder, or extend by making it an axis with both "
                           "(grid: %s: [%s, %s])",
                           origin, key->path, asked_text, held_text, previous, key->path, held_text, asked_text);
cleanup:
    rl_buffer_free(&asked);
    rl_buffer_free(&held);
    return status;
}

/* "PATH=[values of both]" when the old sweep has values that this one lacks; NULL otherwise. */
static rl_status widened(char **assignment, const rl_sweep *sweep, const rl_sweep *old, const rl_key *key, const char *const *sets,
                         size_t num_sets, const char *previous, bool both, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *now = NULL, *then = NULL;
    rl_buffer list = {0};
    char *origin = NULL;
    int32_t id = 0, before = 0;
    bool is_number = key->type == RL_KEY_INT || key->type == RL_KEY_REAL || key->type == RL_KEY_BOOL;
    RL_TRY(rl_names_create(&now, err));
    RL_TRY(rl_names_create(&then, err));
    RL_TRY(values_of(now, sweep, key, err));
    RL_TRY(values_of(then, old, key, err));
    before = rl_names_count(now);
    for (int32_t i = 0; i < rl_names_count(then); i++) {
        const char *value = rl_names_get(then, i);
        bool known = rl_names_find(now, value, strlen(value)) >= 0;
        bool widens = both || is_axis_of(sweep, key) || is_axis_of(old, key);
        if (!known && (!widens || has_unset(now) || has_unset(then))) {
            origin = origin_of(key, sweep->path, sets, num_sets, err);
            status = origin ? refuse(origin, key, now, then, previous, err) : RL_ERR_MEMORY;
            goto cleanup;
        }
        RL_TRY(rl_names_intern(now, value, strlen(value), &id, err));
    }
    if (rl_names_count(now) == before) goto cleanup;
    RL_TRY(rl_buffer_printf(&list, err, "%s=[", key->path));
    for (int32_t i = 0; i < rl_names_count(now); i++) {
        if (i) RL_TRY(rl_buffer_printf(&list, err, ", "));
        RL_TRY(is_number ? rl_buffer_printf(&list, err, "%s", rl_names_get(now, i)) : rl_yaml_quoted(&list, rl_names_get(now, i), err));
    }
    RL_TRY(rl_buffer_printf(&list, err, "]"));
    *assignment = list.data;
    list = (rl_buffer){0};
cleanup:
    rl_free(origin);
    rl_buffer_free(&list);
    rl_names_free(now);
    rl_names_free(then);
    return status;
}

/* The grid of both: this file with every axis widened by the old one's values. */
static rl_status join(rl_sweep **whole, const rl_sweep *sweep, const rl_sweep *old, const char *path, const char *const *sets, size_t num_sets,
                      const char *previous, bool both, rl_error *err)
{
    rl_status status = RL_OK;
    char **added = NULL;
    const char **all = NULL;
    size_t count = num_sets;
    RL_ALLOC(added, rl_num_keys, err);
    RL_ALLOC(all, num_sets + rl_num_keys, err);
    for (size_t i = 0; i < num_sets; i++) all[i] = sets[i];
    for (size_t i = 0; i < rl_num_keys; i++) {
        RL_TRY(widened(&added[i], sweep, old, &rl_keys[i], sets, num_sets, previous, both, err));
        if (added[i]) all[count++] = added[i];
    }
    RL_TRY(rl_sweep_read(whole, path, all, count, NULL, err));
cleanup:
    for (size_t i = 0; added && i < rl_num_keys; i++) rl_free(added[i]);
    rl_free(added);
    rl_free(all);
    return status;
}

static rl_status skip_others(rl_sweep *whole, const rl_names *asked, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    for (int64_t r = 0; r < whole->num_runs; r++) {
        RL_TRY(fingerprint(&text, &whole->runs[r].settings, err));
        whole->runs[r].skipped = rl_names_find(asked, text.data, text.length) < 0;
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

rl_status rl_sweep_extend(rl_sweep **whole, const rl_sweep *sweep, const char *path, const char *const *sets, size_t num_sets,
                          const char *previous, bool both, rl_error *unread, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep *old = NULL, *made = NULL;
    rl_names *asked = NULL;
    bool within = true;
    if (!rl_path_exists(previous)) return RL_OK;
    if (rl_sweep_read(&old, previous, NULL, 0, NULL, unread) != RL_OK) return RL_OK; /* its files are gone or moved, or another version wrote it */
    if (!strcmp(old->resolved, sweep->resolved)) goto cleanup;
    RL_TRY(rl_sweep_check_concepts(sweep, old, path, previous, err));
    RL_TRY(rl_names_create(&asked, err));
    RL_TRY(all_fingerprints(asked, sweep, err));
    RL_TRY(is_within(&within, asked, old, err));
    if (within) goto cleanup; /* the old runs are all among these */
    RL_TRY(join(&made, sweep, old, path, sets, num_sets, previous, both, err));
    RL_TRY(skip_others(made, asked, err));
    *whole = made;
    made = NULL;
cleanup:
    rl_names_free(asked);
    rl_sweep_free(made);
    rl_sweep_free(old);
    return status;
}
