/* nightly_runs.c -- the finished runs of a folder as a night sees them: their cells, seeds and F1. */
#include "nightly.h"
#include "planning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char separator[] = "  ";

void rl_night_clear(rl_night *night)
{
    for (int g = 0; g < RL_NUM_NIGHT_GROUPS; g++) {
        for (int32_t i = 0; night->values[g] && i < rl_names_count(night->metrics); i++) {
            rl_free(night->values[g][i].values);
            rl_free(night->values[g][i].seeds);
            rl_free(night->values[g][i].times);
        }
        rl_free(night->values[g]);
    }
    rl_names *const names[] = {night->cells, night->settings, night->ids, night->metrics, night->seeds, night->held};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) rl_names_free(names[i]);
    rl_free(night->seed_cells);
    json_decref(night->reported);
}

static rl_status create(rl_night *night, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names **const names[] = {&night->cells, &night->settings, &night->ids, &night->metrics, &night->seeds, &night->held};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) RL_TRY(rl_names_create(names[i], err));
cleanup:
    return status;
}

static rl_status grow_metrics(rl_night *night, rl_error *err)
{
    size_t old = night->metric_capacity, capacity = old ? 2 * old : 64;
    for (int g = 0; g < RL_NUM_NIGHT_GROUPS; g++) {
        rl_night_series *values = rl_regrow(night->values[g], old, capacity, sizeof *values, err);
        if (!values) return RL_ERR_MEMORY;
        night->values[g] = values;
    }
    night->metric_capacity = capacity;
    return RL_OK;
}

static rl_status grow_series(rl_night_series *s, rl_error *err)
{
    size_t old = (size_t)s->room, room = old ? 2 * old : 8;
    double *values = rl_regrow(s->values, old, room, sizeof *values, err);
    if (!values) return RL_ERR_MEMORY;
    s->values = values;
    int32_t *seeds = rl_regrow(s->seeds, old, room, sizeof *seeds, err);
    if (!seeds) return RL_ERR_MEMORY;
    s->seeds = seeds;
    int32_t *times = rl_regrow(s->times, old, room, sizeof *times, err);
    if (!times) return RL_ERR_MEMORY;
    s->times = times;
    s->room = (int64_t)room;
    return RL_OK;
}

/* Seeds are what is drawn at random: two runs of one are no two observations. */
static rl_status add_value(rl_night *night, int group, const char *metric, int32_t seed, double value, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    if (!isfinite(value)) return RL_OK;
    if ((size_t)rl_names_count(night->metrics) == night->metric_capacity) RL_TRY(grow_metrics(night, err));
    RL_TRY(rl_names_intern(night->metrics, metric, strlen(metric), &id, err));
    rl_night_series *s = &night->values[group][id];
    int64_t at = 0;
    while (at < s->count && s->seeds[at] != seed) at++;
    if (at == s->room) RL_TRY(grow_series(s, err));
    if (at == s->count) s->values[s->count] = 0, s->times[s->count] = 0, s->seeds[s->count++] = seed;
    s->times[at]++;
    s->values[at] += (value - s->values[at]) / s->times[at];
cleanup:
    return status;
}

/* Axes with one value say nothing. */
static bool varies(const rl_sweep *asked, int32_t axis)
{
    for (int64_t r = 1; r < asked->num_runs; r++)
        if (strcmp(asked->runs[r].axis_values[axis], asked->runs[0].axis_values[axis]) != 0) return true;
    return false;
}

/* "prune.select=concept  ": of an asked run, or of a shard where settings is NULL. */
static rl_status name_cell(rl_buffer *text, const rl_night *night, const rl_run_settings *settings, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    text->length = 0;
    RL_TRY(rl_buffer_append(text, "", 0, err));
    for (int32_t a = 0; a < night->asked->num_axes; a++) {
        const char *axis = night->asked->axes[a];
        if (!strcmp(axis, "seed") || !varies(night->asked, a)) continue;
        char *own = settings ? rl_settings_get(settings, axis, err) : NULL;
        const char *value = settings ? own : rl_shard_attribute(shard, axis);
        status = settings && !own ? RL_ERR_INTERNAL : rl_buffer_printf(text, err, "%s=%s%s", axis, value ? value : "", separator);
        rl_free(own);
        if (status != RL_OK) goto cleanup;
    }
cleanup:
    return status;
}

/* A cell has one configuration: its axes, and the file's other settings. */
static rl_status list_cells(rl_night *night, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer name = {0}, settings = {0};
    int32_t id = 0;
    for (int64_t r = 0; r < night->asked->num_runs; r++) {
        const rl_run_settings *run = &night->asked->runs[r].settings;
        RL_TRY(name_cell(&name, night, run, NULL, err));
        RL_TRY(rl_settings_identity(&settings, run, false, err));
        RL_TRY(rl_buffer_append(&settings, name.data, name.length, err)); /* an axis may be no setting of a shard */
        RL_TRY(rl_names_intern(night->cells, name.data, name.length, &id, err));
        RL_TRY(rl_names_intern(night->settings, settings.data, settings.length, &id, err));
    }
    RL_REQUIRE(rl_names_count(night->cells) == rl_names_count(night->settings), err);
cleanup:
    rl_buffer_free(&name);
    rl_buffer_free(&settings);
    return status;
}

/* The asked cell that a shard belongs to, or -1. *same: with all of its settings. */
static rl_status find_cell(int32_t *cell, bool *same, const rl_night *night, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer name = {0}, settings = {0};
    RL_TRY(name_cell(&name, night, NULL, shard, err));
    RL_TRY(rl_shard_identity(&settings, shard, false, err));
    RL_TRY(rl_buffer_append(&settings, name.data, name.length, err));
    *cell = rl_names_find(night->settings, settings.data, settings.length);
    *same = *cell >= 0;
    if (!*same) *cell = rl_names_find(night->cells, name.data, name.length);
cleanup:
    rl_buffer_free(&name);
    rl_buffer_free(&settings);
    return status;
}

static rl_status count_cell(int32_t *seed, rl_night *night, const char *name, int32_t cell, rl_error *err)
{
    rl_status status = RL_OK;
    char pair[64];
    int32_t id = 0, before = rl_names_count(night->held);
    int64_t number = strtoll(name, NULL, 10);
    if ((size_t)rl_names_count(night->seeds) == night->seed_capacity) {
        size_t capacity = night->seed_capacity ? 2 * night->seed_capacity : 64;
        int64_t *grown = rl_regrow(night->seed_cells, night->seed_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        night->seed_cells = grown;
        night->seed_capacity = capacity;
    }
    RL_TRY(rl_names_intern(night->seeds, name, strlen(name), seed, err));
    if (number > night->largest_seed) night->largest_seed = number;
    int length = snprintf(pair, sizeof pair, "%d %d", (int)*seed, (int)cell);
    RL_TRY(rl_names_intern(night->held, pair, (size_t)length, &id, err));
    night->seed_cells[*seed] += id == before;
cleanup:
    return status;
}

static rl_status read_scores(rl_night *night, int group, int32_t cell, int32_t seed, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer metric = {0};
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_score word, subword, test;
        RL_TRY(rl_shard_read_scores(shard, s, &word, &subword, &test, err));
        metric.length = 0;
        RL_TRY(rl_buffer_printf(&metric, err, "%s%s%sf1", rl_names_get(night->cells, cell), rl_shard_stage_name(shard, s), separator));
        RL_TRY(add_value(night, group, metric.data, seed, word.f1, err));
        if (!isfinite(test.f1)) continue;
        RL_TRY(rl_buffer_printf(&metric, err, " (test)"));
        RL_TRY(add_value(night, group, metric.data, seed, test.f1, err));
    }
cleanup:
    rl_buffer_free(&metric);
    return status;
}

static rl_status read_shard(rl_night *night, int group, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_error why = {0};
    int32_t cell = -1, seed = 0;
    bool same = false;
    if (rl_shard_open(&shard, path, &why) != RL_OK) return RL_OK; /* damaged: the next run sets it aside */
    const char *name = rl_shard_attribute(shard, "seed");
    RL_TRY(find_cell(&cell, &same, night, shard, err));
    if (cell < 0 || !name) goto cleanup;
    RL_TRY(count_cell(&seed, night, name, cell, err));
    status = read_scores(night, same ? group : RL_NIGHT_OTHERS, cell, seed, shard, err);
cleanup:
    rl_shard_close(shard);
    return status;
}

rl_status rl_night_read_shards(rl_night *night, int group, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *found = NULL;
    const char **names = NULL;
    char *folder = rl_path_join(directory, "runs", err), *path = NULL;
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_list_shards(&found, &names, directory, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        int32_t id = 0, before = rl_names_count(night->ids);
        RL_TRY(rl_names_intern(night->ids, names[i], strlen(names[i]), &id, err));
        if (id != before) continue;
        rl_free(path);
        path = rl_path_join(folder, names[i], err);
        bool unreported = night->reported && !json_object_get(night->reported, names[i]);
        status = path ? read_shard(night, unreported ? RL_NIGHT_NOW : group, path, err) : RL_ERR_MEMORY;
        if (status != RL_OK) goto cleanup;
    }
cleanup:
    rl_free(names);
    rl_names_free(found);
    rl_free(folder);
    rl_free(path);
    return status;
}

/* DIR/nightly/<UTC>.json, the newest by name; NULL: none. */
static rl_status newest_report(char **path, const char *folder, rl_error *err)
{
    rl_names *found = NULL;
    const char *newest = "";
    rl_status status = rl_list_folder(&found, folder, err);
    if (status != RL_OK) return status;
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        const char *name = rl_names_get(found, i), *dot = strrchr(name, '.');
        if (dot && !strcmp(dot, ".json") && strcmp(name, newest) > 0) newest = name;
    }
    if (newest[0] && !(*path = rl_path_join(folder, newest, err))) status = RL_ERR_MEMORY;
    rl_names_free(found);
    return status;
}

/* A night that was killed made seeds and no report. They were compared with nothing yet, and as earlier seeds they would hide a drift that
 * began with them: what the newest report does not know is new. */
static rl_status find_reported(rl_night *night, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_error why = {0};
    json_t *root = NULL, *name;
    size_t i;
    char *path = NULL, *folder = rl_path_join(directory, "nightly", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(newest_report(&path, folder, err));
    if (path && rl_json_read(&root, path, &why) == RL_OK && json_is_array(json_object_get(root, "shards"))) night->reported = json_object();
    json_array_foreach(json_object_get(root, "shards"), i, name)
        if (night->reported && json_is_string(name)) json_object_set_new(night->reported, json_string_value(name), json_true());
cleanup:
    json_decref(root);
    rl_free(path);
    rl_free(folder);
    return status;
}

rl_status rl_night_begin(rl_night *night, const rl_sweep *asked, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    night->asked = asked;
    RL_TRY(create(night, err));
    RL_TRY(list_cells(night, err));
    RL_TRY(find_reported(night, directory, err));
    RL_TRY(rl_night_read_shards(night, RL_NIGHT_BEFORE, directory, err));
cleanup:
    return status;
}
