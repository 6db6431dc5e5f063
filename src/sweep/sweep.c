/* sweep.c -- a sweep file becomes its runs: presets, then the file's settings, then each grid point's values. */
#include "sweep_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a caller of rl_sweep_read holds, with what its strings live in. */
typedef struct owned_sweep {
    rl_sweep sweep; /* first: the public pointer is this one */
    rl_names *pool;
    rl_concept_settings *concepts; /* settings point into it */
    size_t num_concepts;
    int64_t capacity;
} owned_sweep;

void rl_sweep_free(rl_sweep *sweep)
{
    if (!sweep) return;
    owned_sweep *owned = (owned_sweep *)sweep;
    for (int64_t r = 0; r < sweep->num_runs; r++) rl_free(sweep->runs[r].axis_values);
    rl_free(sweep->runs);
    rl_free(sweep->axes);
    rl_free(sweep->resolved);
    for (size_t i = 0; i < owned->num_concepts; i++) rl_free((void *)(uintptr_t)owned->concepts[i].words);
    rl_free(owned->concepts);
    rl_names_free(owned->pool);
    rl_free(owned);
}

/* ------------------------------------------------------------------------------------------------- one run */

static rl_status apply(rl_run_settings *settings, const rl_sweep_file *file, const rl_key *key, const char *text, rl_place place,
                       rl_error *err)
{
    return rl_key_set(settings, key, text, &file->scope, place, err);
}

enum { NUM_PROTOCOLS = RL_PROTOCOL_HEAD + 1 };

/* What all runs of a protocol start from: its presets, then the file's settings. Made once: files are opened once. */
static rl_status make_bases(rl_run_settings bases[NUM_PROTOCOLS], const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    for (int p = 0; p < NUM_PROTOCOLS; p++) {
        bases[p] = rl_run_defaults((rl_protocol)p);
        for (int s = 0; s < file->num_settings; s++)
            RL_TRY(apply(&bases[p], file, file->settings[s].key, file->settings[s].text, file->settings[s].place, err));
    }
cleanup:
    return status;
}

/* Everything was checked before. */
static rl_status apply_point(rl_run_settings *settings, const rl_axis *axis, const rl_sweep_file *file, int64_t at,
                             rl_error *err)
{
    if (!axis->paths) return apply(settings, file, axis->key, axis->texts[at], axis->places[at], err);
    memcpy((char *)settings + axis->key->offset, &axis->paths[at], sizeof axis->paths[at]);
    return RL_OK;
}

/* The protocol's presets come first, whether the protocol is an axis or a single value. */
static rl_status settings_at(rl_run_settings *settings, const rl_run_settings *bases, const rl_sweep_file *file,
                             const int64_t *point, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_key *protocol_key = rl_key_find("protocol");
    rl_run_settings made = bases[RL_PROTOCOL_CORRECTED]; /* holds the file's protocol when there is one */
    for (int a = 0; a < file->num_axes; a++)
        if (file->axes[a].key == protocol_key) RL_TRY(apply_point(&made, &file->axes[a], file, point[a], err));
    made = bases[made.protocol];
    for (int a = 0; a < file->num_axes; a++) RL_TRY(apply_point(&made, &file->axes[a], file, point[a], err));
    *settings = made;
cleanup:
    return status;
}

static rl_status is_excluded(bool *excluded, bool *used, const rl_sweep_file *file, const rl_run_settings *settings, rl_error *err)
{
    *excluded = false;
    for (int e = 0; e < file->num_excludes; e++) {
        const rl_exclude *exclude = &file->excludes[e];
        bool all = true;
        for (int c = 0; c < exclude->count && all; c++) {
            bool any = false;
            for (int64_t v = 0; v < exclude->num_values[c] && !any; v++) {
                rl_status status = rl_condition_holds(&any, &exclude->conditions[c][v], settings, err);
                if (status != RL_OK) return status;
            }
            all = any;
        }
        if (all) *excluded = used[e] = true;
    }
    return RL_OK;
}

static rl_status passes_filters(bool *passes, const rl_sweep_file *file, const rl_run_settings *settings, rl_error *err)
{
    *passes = true;
    for (int f = 0; f < 2 && *passes; f++) {
        rl_status status = rl_filter_matches(passes, &file->filters[f], settings, err);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}

/* ------------------------------------------------------------------------------------------------ the grid */

static rl_status grid_size(int64_t *size, const rl_sweep_file *file, rl_error *err)
{
    *size = 1;
    for (int a = 0; a < file->num_axes; a++)
        if (__builtin_mul_overflow(*size, file->axes[a].count, size) || *size > rl_max_runs)
            return rl_fail_at(err, RL_ERR_INPUT, file->path, file->axes[a].place.line, file->axes[a].place.column,
                              "the grid has more than %lld runs", (long long)rl_max_runs);
    return RL_OK;
}

static rl_status add_run(owned_sweep *owned, const rl_sweep_file *file, const rl_run_settings *settings, const int64_t *point,
                         rl_error *err)
{
    rl_sweep *sweep = &owned->sweep;
    if (sweep->num_runs == owned->capacity) {
        int64_t capacity = owned->capacity ? owned->capacity * 2 : 64;
        rl_run *grown = rl_regrow(sweep->runs, (size_t)sweep->num_runs, (size_t)capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        sweep->runs = grown;
        owned->capacity = capacity;
    }
    rl_run *run = &sweep->runs[sweep->num_runs];
    run->settings = *settings;
    run->axis_values = rl_calloc((size_t)sweep->num_axes, sizeof *run->axis_values, err);
    if (!run->axis_values) return RL_ERR_MEMORY;
    for (int a = 0; a < file->num_axes; a++) run->axis_values[a] = (char *)(uintptr_t)file->axes[a].texts[point[a]]; /* the pool's */
    sweep->num_runs++;
    return RL_OK;
}

static void next_point(int64_t *point, const rl_sweep_file *file)
{
    for (int a = file->num_axes - 1; a >= 0; a--) { /* the last axis varies fastest */
        if (++point[a] < file->axes[a].count) return;
        point[a] = 0;
    }
}

/* An entry that leaves nothing out is a typo, unless --set took its values away: then it is dropped, so that the
 * resolved file can be read again. */
static rl_status settle_excludes(rl_sweep_file *file, const bool *used, rl_error *err)
{
    int kept = 0;
    for (int e = 0; e < file->num_excludes && !file->overridden; e++)
        if (!used[e])
            return rl_fail_at(err, RL_ERR_INPUT, file->path, file->excludes[e].place.line,
                              file->excludes[e].place.column, "exclude: this entry matches no run of the grid");
    for (int e = 0; e < file->num_excludes; e++) {
        rl_exclude entry = file->excludes[e];
        for (int c = 0; !used[e] && c < entry.count; c++) rl_free(entry.conditions[c]);
        if (used[e]) file->excludes[kept++] = entry;
    }
    file->num_excludes = kept;
    return RL_OK;
}

/* At the option or the place that leaves them out. */
static rl_status no_run_left(const rl_sweep_file *file, int64_t size, rl_error *err)
{
    if (file->filter_texts[1])
        return rl_fail(err, RL_ERR_INPUT, "%s: no run is left of the grid's %lld by --filter '%s'", file->path, (long long)size, file->filter_texts[1]);
    const rl_place at = file->filter_texts[0] ? file->filter_place : file->excludes[0].place;
    return rl_fail_at(err, RL_ERR_INPUT, at.file, at.line, at.column, "no run is left of the grid's %lld by %s", (long long)size,
                      file->filter_texts[0] ? "filter:" : "exclude:");
}

static rl_status make_runs(owned_sweep *owned, rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t size = 0, point[RL_MAX_AXES] = {0};
    bool used[RL_MAX_EXCLUDES] = {false};
    rl_run_settings bases[NUM_PROTOCOLS];
    RL_TRY(grid_size(&size, file, err));
    RL_TRY(make_bases(bases, file, err));
    for (int64_t i = 0; i < size; i++, next_point(point, file)) {
        rl_run_settings settings;
        bool excluded = false, passes = false;
        RL_TRY(settings_at(&settings, bases, file, point, err));
        RL_TRY(is_excluded(&excluded, used, file, &settings, err));
        RL_TRY(passes_filters(&passes, file, &settings, err));
        if (passes && !excluded) RL_TRY(add_run(owned, file, &settings, point, err));
    }
    RL_TRY(settle_excludes(file, used, err));
    if (owned->sweep.num_runs == 0) status = no_run_left(file, size, err);
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------- reading */

static char *absolute_folder_of(const char *path, rl_error *err)
{
    char resolved[PATH_MAX], *parent = rl_path_parent(path, err);
    if (!parent) return NULL;
    const char *found = realpath(parent, resolved);
    rl_free(parent);
    return rl_strdup(found ? found : ".", err);
}

static rl_status read_file(rl_sweep_file *file, const char *const *sets, size_t num_sets, const char *filter, rl_error *err)
{
    rl_status status = RL_OK;
    rl_yaml *root = NULL;
    const char *option = NULL;
    RL_TRY(rl_yaml_read(&root, file->path, err));
    RL_TRY(rl_sweep_file_sections(file, root, err));
    file->overridden = num_sets > 0;
    for (size_t i = 0; i < num_sets; i++) RL_TRY(rl_sweep_file_set(file, sets[i], err));
    if (filter) {
        RL_TRY(rl_scope_keep(&option, &file->scope, "--filter", err));
        RL_TRY(rl_filter_parse(&file->filters[1], filter, &file->scope, (rl_place){option, 0, 0}, err));
        RL_TRY(rl_scope_keep(&file->filter_texts[1], &file->scope, filter, err));
    }
cleanup:
    rl_yaml_free(root);
    return status;
}

static rl_status name_axes(owned_sweep *owned, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(owned->sweep.axes, file->num_axes, err);
    owned->sweep.num_axes = file->num_axes;
    for (int a = 0; a < file->num_axes; a++) owned->sweep.axes[a] = (char *)(uintptr_t)file->axes[a].key->path; /* the table's */
cleanup:
    return status;
}

rl_status rl_sweep_read(rl_sweep **out, const char *path, const char *const *sets, size_t num_sets, const char *filter,
                        rl_error *err)
{
    rl_status status = RL_OK;
    owned_sweep *owned = NULL;
    rl_sweep_file *file = NULL; /* large: not on the stack */
    rl_buffer resolved = {0};
    const char *kept = NULL;
    RL_ALLOC(owned, 1, err);
    RL_ALLOC(file, 1, err);
    RL_TRY(rl_names_create(&owned->pool, err));
    file->policy = rl_policy_defaults();
    file->scope.pool = owned->pool;
    RL_TRY(rl_scope_keep(&file->path, &file->scope, path, err));
    file->scope.folder = absolute_folder_of(path, err);
    if (!file->scope.folder) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    status = read_file(file, sets, num_sets, filter, err);
    owned->concepts = file->scope.concepts; /* on failure too: to be freed */
    owned->num_concepts = file->scope.num_concepts;
    if (status != RL_OK) goto cleanup;
    RL_TRY(name_axes(owned, file, err));
    RL_TRY(make_runs(owned, file, err));
    RL_TRY(rl_sweep_resolve(&resolved, file, err));
    RL_TRY(rl_scope_keep(&kept, &file->scope, path, err));
    owned->sweep.path = (char *)(uintptr_t)kept;
    owned->sweep.name = (char *)(uintptr_t)file->name;
    owned->sweep.resolved = resolved.data;
    owned->sweep.policy = file->policy;
    resolved = (rl_buffer){0};
    *out = &owned->sweep;
    owned = NULL;
cleanup:
    if (file) rl_sweep_file_clear(file);
    rl_free(file);
    rl_buffer_free(&resolved);
    if (owned) rl_sweep_free(&owned->sweep);
    return status;
}
