/* cmd_nightly.c: relearn nightly SWEEP.yaml --budget 2h [--out DIR] -- as many new seeds as fit, then: did anything move? */
#include "plan_text.h"
#include "planning.h"

#include "relearn/stats.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rl_option options[] = {
    {"budget", "TIME", "wall time for this night: 2h, 90m, 1h30m, 45s; a bare number is seconds"},
    {"out", "DIR", "the folder that grows (default: results/NAME of the sweep)"},
    {"q", "Q", "false discovery rate over all metrics (default 0.05)"},
    {"seeds", "N", "at most so many new seeds"},
    {"set", "PATH=VALUE", "as in run (repeatable)"},
    {"metrics", "FILE", "as in run"},
    {"oversubscribe", NULL, "as in run"},
    {"dry-run", NULL, "print tonight's seeds and plan, and stop"},
    {NULL, NULL, NULL}};

enum { MAX_STAGES = 64, MAX_SEEDS = 1000 };
static const char separator[] = "  ";

/* ------------------------------------------------------------------------------------------------ what DIR holds */

/* Whose values: earlier seeds with tonight's settings; tonight's; earlier seeds of the same cell with other settings, which stand in where
 * there are none with these (a learning rate that was changed). */
enum { BEFORE, NOW, OTHERS, NUM_GROUPS };

typedef struct series { /* of one metric: a value a seed */
    double *values;
    int32_t *seeds, *times; /* several runs of a seed (OTHERS alone can have them): their mean */
    int64_t count, room;
} series;

/* F1 by metric ("prune.select=concept  retrained_1  f1") of finished runs. */
typedef struct collected {
    const rl_sweep *asked; /* whose axes but the seed make the cells */
    rl_names *cells, *settings; /* what is asked for but the seed, by its axes and whole: id = cell */
    rl_names *ids, *metrics, *seeds;
    rl_names *held;        /* "SEED CELL" of finished runs */
    json_t *reported;      /* shards that the last report knows; NULL: there was none */
    series *values[NUM_GROUPS]; /* [metric] */
    size_t metric_capacity;
    int64_t *seed_cells, largest_seed; /* [seeds] cells held */
    size_t seed_capacity;
} collected;

static void collected_clear(collected *c)
{
    for (int g = 0; g < NUM_GROUPS; g++) {
        for (int32_t i = 0; c->values[g] && i < rl_names_count(c->metrics); i++) {
            rl_free(c->values[g][i].values);
            rl_free(c->values[g][i].seeds);
            rl_free(c->values[g][i].times);
        }
        rl_free(c->values[g]);
    }
    rl_names *const names[] = {c->cells, c->settings, c->ids, c->metrics, c->seeds, c->held};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) rl_names_free(names[i]);
    rl_free(c->seed_cells);
    json_decref(c->reported);
}

static rl_status collected_create(collected *c, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names **const names[] = {&c->cells, &c->settings, &c->ids, &c->metrics, &c->seeds, &c->held};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) RL_TRY(rl_names_create(names[i], err));
cleanup:
    return status;
}

static rl_status grow_metrics(collected *c, rl_error *err)
{
    size_t old = c->metric_capacity, capacity = old ? 2 * old : 64;
    for (int g = 0; g < NUM_GROUPS; g++) {
        series *values = rl_regrow(c->values[g], old, capacity, sizeof *values, err);
        if (!values) return RL_ERR_MEMORY;
        c->values[g] = values;
    }
    c->metric_capacity = capacity;
    return RL_OK;
}

static rl_status grow_series(series *s, rl_error *err)
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
static rl_status add_value(collected *c, int group, const char *metric, int32_t seed, double value, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    if (!isfinite(value)) return RL_OK;
    if ((size_t)rl_names_count(c->metrics) == c->metric_capacity) RL_TRY(grow_metrics(c, err));
    RL_TRY(rl_names_intern(c->metrics, metric, strlen(metric), &id, err));
    series *s = &c->values[group][id];
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
static rl_status name_cell(rl_buffer *text, const collected *c, const rl_run_settings *settings, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    text->length = 0;
    RL_TRY(rl_buffer_append(text, "", 0, err));
    for (int32_t a = 0; a < c->asked->num_axes; a++) {
        const char *axis = c->asked->axes[a];
        if (!strcmp(axis, "seed") || !varies(c->asked, a)) continue;
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
static rl_status list_cells(collected *c, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer name = {0}, settings = {0};
    int32_t id = 0;
    for (int64_t r = 0; r < c->asked->num_runs; r++) {
        const rl_run_settings *run = &c->asked->runs[r].settings;
        RL_TRY(name_cell(&name, c, run, NULL, err));
        RL_TRY(rl_settings_identity(&settings, run, false, err));
        RL_TRY(rl_buffer_append(&settings, name.data, name.length, err)); /* an axis may be no setting of a shard */
        RL_TRY(rl_names_intern(c->cells, name.data, name.length, &id, err));
        RL_TRY(rl_names_intern(c->settings, settings.data, settings.length, &id, err));
    }
    RL_REQUIRE(rl_names_count(c->cells) == rl_names_count(c->settings), err);
cleanup:
    rl_buffer_free(&name);
    rl_buffer_free(&settings);
    return status;
}

/* The asked cell that a shard belongs to, or -1. *same: with all of its settings. */
static rl_status find_cell(int32_t *cell, bool *same, const collected *c, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer name = {0}, settings = {0};
    RL_TRY(name_cell(&name, c, NULL, shard, err));
    RL_TRY(rl_shard_identity(&settings, shard, false, err));
    RL_TRY(rl_buffer_append(&settings, name.data, name.length, err));
    *cell = rl_names_find(c->settings, settings.data, settings.length);
    *same = *cell >= 0;
    if (!*same) *cell = rl_names_find(c->cells, name.data, name.length);
cleanup:
    rl_buffer_free(&name);
    rl_buffer_free(&settings);
    return status;
}

static rl_status count_cell(int32_t *seed, collected *c, const char *name, int32_t cell, rl_error *err)
{
    rl_status status = RL_OK;
    char pair[64];
    int32_t id = 0, before = rl_names_count(c->held);
    int64_t number = strtoll(name, NULL, 10);
    if ((size_t)rl_names_count(c->seeds) == c->seed_capacity) {
        size_t capacity = c->seed_capacity ? 2 * c->seed_capacity : 64;
        int64_t *grown = rl_regrow(c->seed_cells, c->seed_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        c->seed_cells = grown;
        c->seed_capacity = capacity;
    }
    RL_TRY(rl_names_intern(c->seeds, name, strlen(name), seed, err));
    if (number > c->largest_seed) c->largest_seed = number;
    int length = snprintf(pair, sizeof pair, "%d %d", (int)*seed, (int)cell);
    RL_TRY(rl_names_intern(c->held, pair, (size_t)length, &id, err));
    c->seed_cells[*seed] += id == before;
cleanup:
    return status;
}

static rl_status read_scores(collected *c, int group, int32_t cell, int32_t seed, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer metric = {0};
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_score word, subword, test;
        RL_TRY(rl_shard_read_scores(shard, s, &word, &subword, &test, err));
        metric.length = 0;
        RL_TRY(rl_buffer_printf(&metric, err, "%s%s%sf1", rl_names_get(c->cells, cell), rl_shard_stage_name(shard, s), separator));
        RL_TRY(add_value(c, group, metric.data, seed, word.f1, err));
        if (!isfinite(test.f1)) continue;
        RL_TRY(rl_buffer_printf(&metric, err, " (test)"));
        RL_TRY(add_value(c, group, metric.data, seed, test.f1, err));
    }
cleanup:
    rl_buffer_free(&metric);
    return status;
}

static rl_status read_shard(collected *c, int group, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_error why = {0};
    int32_t cell = -1, seed = 0;
    bool same = false;
    if (rl_shard_open(&shard, path, &why) != RL_OK) return RL_OK; /* damaged: the next run sets it aside */
    const char *name = rl_shard_attribute(shard, "seed");
    RL_TRY(find_cell(&cell, &same, c, shard, err));
    if (cell < 0 || !name) goto cleanup;
    RL_TRY(count_cell(&seed, c, name, cell, err));
    status = read_scores(c, same ? group : OTHERS, cell, seed, shard, err);
cleanup:
    rl_shard_close(shard);
    return status;
}

/* Every shard of DIR/runs that was not read before goes into this group. */
static rl_status read_new_shards(collected *c, int group, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *found = NULL;
    const char **names = NULL;
    char *folder = rl_path_join(directory, "runs", err), *path = NULL;
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_list_shards(&found, &names, directory, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        int32_t id = 0, before = rl_names_count(c->ids);
        RL_TRY(rl_names_intern(c->ids, names[i], strlen(names[i]), &id, err));
        if (id != before) continue;
        rl_free(path);
        path = rl_path_join(folder, names[i], err);
        bool unreported = c->reported && !json_object_get(c->reported, names[i]);
        status = path ? read_shard(c, unreported ? NOW : group, path, err) : RL_ERR_MEMORY;
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
    char name[256] = "";
    DIR *open_folder = opendir(folder); /* an absent folder has none */
    for (struct dirent *entry; open_folder && (entry = readdir(open_folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && !strcmp(dot, ".json") && strcmp(entry->d_name, name) > 0) snprintf(name, sizeof name, "%s", entry->d_name);
    }
    if (open_folder) closedir(open_folder);
    if (name[0]) *path = rl_path_join(folder, name, err);
    return name[0] && !*path ? RL_ERR_MEMORY : RL_OK;
}

/* A night that was killed made seeds and no report. They were compared with nothing yet, and as earlier seeds they would hide a drift that
 * began with them: what the newest report does not know is new. */
static rl_status find_reported(collected *c, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_error why = {0};
    json_t *root = NULL, *name;
    size_t i;
    char *path = NULL, *folder = rl_path_join(directory, "nightly", err);
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(newest_report(&path, folder, err));
    if (path && rl_json_read(&root, path, &why) == RL_OK && json_is_array(json_object_get(root, "shards"))) c->reported = json_object();
    json_array_foreach(json_object_get(root, "shards"), i, name)
        if (c->reported && json_is_string(name)) json_object_set_new(c->reported, json_string_value(name), json_true());
cleanup:
    json_decref(root);
    rl_free(path);
    rl_free(folder);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- seeds */

static bool is_whole(const collected *c, int64_t seed)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%lld", (long long)seed);
    int32_t id = rl_names_find(c->seeds, text, (size_t)length);
    return id >= 0 && c->seed_cells[id] == rl_names_count(c->cells);
}

static int64_t smallest_seed(const rl_sweep *asked)
{
    int64_t smallest = asked->runs[0].settings.seed;
    for (int64_t r = 0; r < asked->num_runs; r++)
        if (asked->runs[r].settings.seed < smallest) smallest = asked->runs[r].settings.seed;
    return smallest;
}

static rl_status seeds_option(char **set, const int64_t *seeds, int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    RL_TRY(rl_buffer_printf(&text, err, "seed=["));
    for (int64_t i = 0; i < count; i++) RL_TRY(rl_buffer_printf(&text, err, "%s%lld", i ? ", " : "", (long long)seeds[i]));
    RL_TRY(rl_buffer_printf(&text, err, "]"));
    *set = text.data;
    return RL_OK;
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status plan_seeds(rl_planned *out, char **set, const rl_planning *base, const int64_t *seeds, int64_t count, rl_error *err)
{
    rl_planning planning = *base;
    rl_status status = seeds_option(set, seeds, count, err);
    if (status != RL_OK) return status;
    planning.sets[planning.num_sets++] = *set;
    return rl_planned_make(out, &planning, err);
}

/* A seed whose missing runs failed by themselves, or are excluded, would be taken night after night. */
static bool has_work(const rl_plan *plan, int64_t seed)
{
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        const rl_run *run = &plan->sweep->runs[r];
        int32_t count = plan->num_run_nodes[r];
        if (run->settings.seed == seed && !run->skipped && !plan->run_error[r] && count && !plan->nodes[plan->run_nodes[r][count - 1]].done) return true;
    }
    return false;
}

static rl_status keep_workable(int64_t *seeds, int64_t *count, const rl_planning *base, rl_error *err)
{
    rl_planned p = {0};
    char *set = NULL;
    int64_t kept = 0;
    rl_status status = *count ? plan_seeds(&p, &set, base, seeds, *count, err) : RL_OK;
    for (int64_t i = 0; status == RL_OK && i < *count; i++)
        if (has_work(p.plan, seeds[i])) seeds[kept++] = seeds[i];
    if (status == RL_OK) *count = kept;
    rl_planned_clear(&p);
    rl_free(set);
    return status;
}

/* Seeds that an earlier night began and no run of which was finished are in the journal alone. */
static void look_for_begun_seeds(collected *c, const char *directory)
{
    rl_error why = {0};
    rl_sweep_status *known = NULL;
    if (rl_sweep_status_read(&known, directory, &why) != RL_OK) return; /* the first night */
    for (int64_t r = 0; r < known->num_runs; r++) {
        const char *seed = json_string_value(json_object_get(known->runs[r].axes, "seed"));
        int64_t number = seed ? strtoll(seed, NULL, 10) : INT64_MIN;
        if (number > c->largest_seed) c->largest_seed = number;
    }
    rl_sweep_status_free(known);
}

/* Ascending from the sweep's smallest: those that lack runs that can still come, then unseen ones. seeds [MAX_SEEDS] */
static rl_status next_seeds(int64_t *seeds, const collected *c, const rl_planning *base, rl_error *err)
{
    int64_t n = 0, seed = smallest_seed(c->asked);
    for (; seed <= c->largest_seed && n < MAX_SEEDS; seed++)
        if (!is_whole(c, seed)) seeds[n++] = seed;
    rl_status status = keep_workable(seeds, &n, base, err);
    for (; n < MAX_SEEDS; seed++) seeds[n++] = seed;
    return status;
}

static rl_status predict(double *seconds, const rl_planning *base, const int64_t *seeds, int64_t count, rl_error *err)
{
    rl_planned p = {0};
    rl_simulation forecast;
    rl_simulation_options of = {0};
    char *set = NULL;
    rl_status status = plan_seeds(&p, &set, base, seeds, count, err);
    if (status == RL_OK) {
        rl_simulation_set_ranks(&of, p.sweep, base->num_ranks);
        status = rl_simulate(&forecast, p.plan, &of, err);
    }
    if (status == RL_OK) *seconds = forecast.makespan_s;
    rl_planned_clear(&p);
    rl_free(set);
    return status;
}

/* The most seeds whose forecast fits: doubled until it does not, then halved in between. */
static rl_status choose_count(int64_t *count, const rl_planning *base, const int64_t *seeds, int64_t most, double budget_s, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t fits = 0, fails = most + 1;
    double seconds = 0, one = 0;
    for (int64_t n = 1; fits + 1 < fails;) {
        RL_TRY(predict(&seconds, base, seeds, n, err));
        if (n == 1) one = seconds;
        if (seconds <= budget_s)
            fits = n;
        else
            fails = n;
        n = fails > most ? (2 * n < most ? 2 * n : most) : (fits + fails) / 2;
    }
    if (fits == 0)
        status = rl_fail(err, RL_ERR_USAGE, "--budget: one new seed is predicted to take %.0f s, more than the %.0f s allowed; nothing was computed",
                         one, budget_s);
    *count = fits;
cleanup:
    return status;
}

static void print_tonight(const collected *c, const int64_t *seeds, int64_t count)
{
    int64_t begun = 0;
    while (begun < count && seeds[begun] <= c->largest_seed) begun++;
    if (begun) printf("tonight: %lld seed%s that lack%s runs, from %lld on\n", (long long)begun, begun == 1 ? "" : "s", begun == 1 ? "s" : "", (long long)seeds[0]);
    if (begun == count) return;
    printf("tonight: %lld new seed%s, %lld to %lld\n", (long long)(count - begun), count - begun == 1 ? "" : "s", (long long)seeds[begun],
           (long long)seeds[count - 1]);
}

/* ------------------------------------------------------------------------------------------------------ report */

/* Where no earlier seed had tonight's settings, those with other ones are what it is compared with. */
static int group_before(const collected *c, int32_t metric) { return c->values[BEFORE][metric].count ? BEFORE : OTHERS; }

static rl_status make_drifts(rl_drift **out, const collected *c, double q, int64_t *num_moved, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t n = rl_names_count(c->metrics);
    rl_drift *drifts = NULL;
    RL_ALLOC(drifts, n, err);
    for (int32_t i = 0; i < n; i++) {
        const series *before = &c->values[group_before(c, i)][i], *now = &c->values[NOW][i];
        drifts[i] = (rl_drift){.before = before->values, .num_before = before->count, .now = now->values, .num_now = now->count};
    }
    RL_TRY(rl_drift_compare(drifts, n, q, num_moved, err));
    *out = drifts;
    return RL_OK;
cleanup:
    rl_free(drifts);
    return status;
}

static int32_t count_compared(const collected *c, const rl_drift *drifts)
{
    int32_t compared = 0;
    for (int32_t i = 0; i < rl_names_count(c->metrics); i++) compared += isfinite(drifts[i].p);
    return compared;
}

static json_t *report_of(const collected *c, const rl_drift *drifts, int64_t num_moved, double q)
{
    char now[21];
    json_t *metrics = json_array(), *shards = json_array();
    rl_utc_timestamp(now);
    for (int32_t i = 0; i < rl_names_count(c->ids); i++) json_array_append_new(shards, json_string(rl_names_get(c->ids, i)));
    for (int32_t i = 0; i < rl_names_count(c->metrics); i++) {
        const rl_drift *d = &drifts[i];
        bool both = d->num_before && d->num_now;
        json_array_append_new(
            metrics, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "metric", rl_names_get(c->metrics, i), "compared_with",
                               group_before(c, i) == BEFORE ? "same settings" : "other settings", "seeds_before", (json_int_t)d->num_before, "seeds_now", (json_int_t)d->num_now, "mean_before",
                               rl_json_number(both ? d->mean_before : NAN), "mean_now", rl_json_number(both ? d->mean_now : NAN),
                               "predicted_low", rl_json_number(d->low), "predicted_high", rl_json_number(d->high), "p",
                               rl_json_number(d->p), "smallest_possible_p", rl_json_number(d->smallest), "adjusted_p",
                               rl_json_number(d->adjusted), "exact", (int)d->exact, "moved", (int)d->moved));
    }
    return json_pack("{s:s, s:f, s:I, s:I, s:o, s:o}", "time", now, "q", q, "metrics_moved", (json_int_t)num_moved, "metrics_compared",
                     (json_int_t)count_compared(c, drifts), "metrics", metrics, "shards", shards);
}

static void print_drift(const char *name, const rl_drift *d)
{
    printf("  %s%-56s%s %.4f (%lld seeds) -> %.4f (%lld new), expected %.4f to %.4f, adjusted p %.4f\n", d->moved ? rl_red(stdout) : "", name,
           rl_plain(stdout), d->mean_before, (long long)d->num_before, d->mean_now, (long long)d->num_now, d->low, d->high, d->adjusted);
}

static bool is_outside(const rl_drift *d) { return isfinite(d->low) && (d->mean_now < d->low || d->mean_now > d->high); }

/* What moved, or what did not and lies outside its prediction interval nevertheless: one in twenty does. */
static void print_metrics(const collected *c, const rl_drift *drifts, bool moved)
{
    bool any = moved;
    for (int32_t i = 0; i < rl_names_count(c->metrics); i++) {
        if (drifts[i].moved != moved || (!moved && !is_outside(&drifts[i]))) continue;
        if (!any) printf("outside the 95 %% prediction interval, which alone is no drift:\n");
        any = true;
        print_drift(rl_names_get(c->metrics, i), &drifts[i]);
    }
}

static void print_verdict(const collected *c, const rl_drift *drifts, int64_t num_moved, double q, const char *file)
{
    double smallest = 1;
    int32_t n = rl_names_count(c->metrics), compared = count_compared(c, drifts);
    int64_t now = 0;
    bool others = false;
    for (int32_t i = 0; i < n; i++) {
        now += drifts[i].num_now;
        if (!isfinite(drifts[i].p)) continue;
        others |= group_before(c, i) == OTHERS;
        if (drifts[i].smallest < smallest) smallest = drifts[i].smallest;
    }
    if (others) printf("no earlier seed has tonight's settings: compared with those of other settings\n");
    if (num_moved)
        printf("%sDRIFT%s: %lld of %d metrics moved (false discovery rate %g)\n", rl_red(stdout), rl_plain(stdout), (long long)num_moved, compared, q);
    else if (now == 0)
        printf("nothing to compare: none of tonight's runs was finished\n");
    else if (compared == 0)
        printf("nothing to compare with yet: these are the first seeds\n");
    else if (smallest > q)
        printf("nothing can be said with so few seeds: the smallest possible p is %.3f; see the prediction intervals\n", smallest);
    else
        printf("no drift: none of %d metrics moved (false discovery rate %g)\n", compared, q);
    print_metrics(c, drifts, true);
    print_metrics(c, drifts, false);
    printf("report: %s\n", file);
}

/* DIR/nightly/<UTC>.json, and what moved on standard output. */
static rl_status report(bool *drift, collected *c, const char *directory, double q, rl_error *err)
{
    rl_status status = RL_OK;
    rl_drift *drifts = NULL;
    json_t *root = NULL;
    int64_t num_moved = 0;
    char now[21], *folder = rl_path_join(directory, "nightly", err), *file = NULL;
    rl_utc_timestamp(now);
    file = folder ? rl_format(err, "%s/%s.json", folder, now) : NULL;
    if (!file) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_make_directories(folder, err);
    if (status == RL_OK) status = make_drifts(&drifts, c, q, &num_moved, err);
    if (status != RL_OK) goto cleanup;
    root = report_of(c, drifts, num_moved, q);
    RL_TRY(rl_json_write(file, root, err));
    print_verdict(c, drifts, num_moved, q, file);
    *drift = num_moved > 0;
cleanup:
    json_decref(root);
    rl_free(drifts);
    rl_free(folder);
    rl_free(file);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- whole */

/* "2h", "90m", "45s", "1h30m"; a number alone: seconds. "1h30" could be either, so it is neither. */
static bool read_time(double *seconds, const char *text)
{
    *seconds = 0;
    for (const char *at = text; *at;) {
        char *end = NULL;
        double value = strtod(at, &end);
        if (end == at || (size_t)(end - at) != strspn(at, "0123456789.")) return false;
        const char *unit = *end ? strchr("smhd", *end) : at == text ? "s" : NULL;
        if (!unit) return false;
        *seconds += value * (*unit == 'd' ? 86400 : *unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1);
        at = *end ? end + 1 : end;
    }
    return *seconds > 0 && isfinite(*seconds);
}

static rl_status parse_budget(double *seconds, const rl_args *args, rl_error *err)
{
    const char *text = NULL;
    rl_status status = rl_args_need(&text, args, "budget", err);
    if (status == RL_OK && !read_time(seconds, text)) status = rl_fail(err, RL_ERR_USAGE, "--budget: '%s' is no time such as 2h, 90m or 1h30m", text);
    return status;
}

static rl_status parse_q(double *q, const rl_args *args, rl_error *err)
{
    const char *text = rl_args_text(args, "q", "0.05");
    char *end = NULL;
    *q = strtod(text, &end);
    if (end == text || *end || !(*q > 0 && *q < 1)) return rl_fail(err, RL_ERR_USAGE, "--q: '%s' is no number between 0 and 1", text);
    return RL_OK;
}

/* The sweep as the file asks for it, the folder, and what the folder holds. */
static rl_status begin(collected *c, rl_sweep **asked, rl_planning *planning, char **directory, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(asked, planning->file, planning->sets, planning->num_sets, NULL, err));
    *directory = planning->directory ? rl_strdup(planning->directory, err) : rl_format(err, "results/%s", (*asked)->name);
    if (!*directory) return RL_ERR_MEMORY;
    planning->directory = *directory;
    planning->must_have_folder = planning->both = true;
    c->asked = *asked;
    RL_TRY(collected_create(c, err));
    RL_TRY(list_cells(c, err));
    RL_TRY(find_reported(c, *directory, err));
    RL_TRY(read_new_shards(c, BEFORE, *directory, err));
    look_for_begun_seeds(c, *directory);
cleanup:
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planning planning = rl_planning_from(args);
    rl_planned p = {0};
    rl_sweep *asked = NULL;
    collected c = {.largest_seed = INT64_MIN};
    char *directory = NULL, *set = NULL;
    int64_t seeds[MAX_SEEDS], count = 0, most = MAX_SEEDS;
    double budget_s = 0, q = 0;
    int rank = 0, num_ranks = 1, drift = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    planning.num_ranks = num_ranks;
    planning.gflops = rank > 0; /* rank 0 forecasts; all at once would measure each other */
    status = parse_budget(&budget_s, args, err);
    if (status == RL_OK) status = parse_q(&q, args, err);
    if (status == RL_OK) status = rl_args_int(&most, args, "seeds", MAX_SEEDS, 1, err);
    if (status == RL_OK) status = begin(&c, &asked, &planning, &directory, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rank == 0) status = next_seeds(seeds, &c, &planning, err);
    if (rank == 0 && status == RL_OK) /* rates are measured: each rank would choose for itself */
        status = choose_count(&count, &planning, seeds, most < MAX_SEEDS ? most : MAX_SEEDS, budget_s, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    MPI_Bcast(&count, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    MPI_Bcast(seeds, (int)count, MPI_INT64_T, 0, MPI_COMM_WORLD);
    status = plan_seeds(&p, &set, &planning, seeds, count, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rank == 0) print_tonight(&c, seeds, count);
    if (rl_args_flag(args, "dry-run")) {
        if (rank == 0) {
            status = rl_print_plan(stdout, p.plan, num_ranks, p.directory, err);
            rl_planned_warn_of_past(&p);
        }
        status = rl_cluster_agree(MPI_COMM_WORLD, status, err);
        goto cleanup;
    }
    if (!rl_args_flag(args, "oversubscribe")) RL_TRY(rl_cluster_check_cores(MPI_COMM_WORLD, p.sweep->policy.threads_per_rank, err));
    RL_TRY(rl_planned_work(&p, rl_args_text(args, "metrics", NULL), budget_s, exit_code, err));
    if (rank == 0) status = read_new_shards(&c, NOW, directory, err);
    if (rank == 0 && status == RL_OK) {
        bool moved = false;
        status = report(&moved, &c, directory, q, err);
        drift = moved;
    }
    status = rl_cluster_agree(MPI_COMM_WORLD, status, err);
    MPI_Bcast(&drift, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (drift) *exit_code = 3; /* also of a night that was cut short: the next one finishes it, and might be too late to tell */
cleanup:
    rl_planned_clear(&p);
    collected_clear(&c);
    rl_sweep_free(asked);
    rl_free(directory);
    rl_free(set);
    return status;
}

const rl_command rl_command_nightly = {
    "nightly", "SWEEP.yaml --budget TIME [--out DIR] [--dry-run]", "new seeds that fit the budget, then: did any metric move? exit 3 when it did", 1, 1, options,
    "Takes the next seeds that DIR does not hold, as many as are predicted to fit, adds their runs to DIR and its results.h5, and\n"
    "compares their F1 per cell and stage with all earlier seeds': a 95 % prediction interval, a permutation test (exact to 200,000\n"
    "splits, 99,999 drawn ones beyond), and Benjamini-Hochberg over all metrics; the test alone decides. Earlier seeds are those with\n"
    "the same settings, a night that drifted included. Where there are none, as after a setting was changed, those with other\n"
    "settings stand in, once; the new values become an axis of the store. Another back end or changed data files are no settings: they\n"
    "are what is looked for. DIR/nightly/<UTC>.json keeps the report. For scrontab or cron; a night that is cut short is finished by\n"
    "the next.\n",
    run, true};
