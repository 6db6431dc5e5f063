/* cmd_nightly.c: relearn nightly SWEEP.yaml --budget 2h [--out DIR] -- as many new seeds as fit, then: did anything move? */
#include "plan_text.h"
#include "planning.h"

#include "relearn/stats.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rl_option options[] = {
    {"budget", "TIME", "wall time for this night: 90m, 2h, 45s"},
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

/* F1 by metric ("prune.select=concept  retrained_1  f1") of finished runs; a metric's values in two groups. */
typedef struct collected {
    const rl_sweep *asked;  /* whose axes but the seed make the cells */
    rl_names *ids, *metrics, *seeds;
    double **values[2];     /* [before, now][metric][count] */
    int64_t *counts[2], *room[2];
    int64_t *seed_runs;     /* [seeds] finished runs */
    size_t metric_capacity, seed_capacity;
} collected;

static void collected_clear(collected *c)
{
    for (int g = 0; g < 2; g++) {
        for (int32_t i = 0; c->metrics && i < rl_names_count(c->metrics); i++) rl_free(c->values[g][i]);
        rl_free(c->values[g]);
        rl_free(c->counts[g]);
        rl_free(c->room[g]);
    }
    rl_names_free(c->ids);
    rl_names_free(c->metrics);
    rl_names_free(c->seeds);
    rl_free(c->seed_runs);
}

static rl_status grow_metrics(collected *c, rl_error *err)
{
    size_t old = c->metric_capacity, capacity = old ? 2 * old : 64;
    for (int g = 0; g < 2; g++) {
        double **values = rl_regrow(c->values[g], old, capacity, sizeof *values, err);
        if (!values) return RL_ERR_MEMORY;
        c->values[g] = values;
        int64_t *counts = rl_regrow(c->counts[g], old, capacity, sizeof *counts, err);
        if (!counts) return RL_ERR_MEMORY;
        c->counts[g] = counts;
        int64_t *room = rl_regrow(c->room[g], old, capacity, sizeof *room, err);
        if (!room) return RL_ERR_MEMORY;
        c->room[g] = room;
    }
    c->metric_capacity = capacity;
    return RL_OK;
}

static rl_status add_value(collected *c, int group, const char *metric, double value, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    if (!isfinite(value)) return RL_OK;
    if ((size_t)rl_names_count(c->metrics) == c->metric_capacity) RL_TRY(grow_metrics(c, err));
    RL_TRY(rl_names_intern(c->metrics, metric, strlen(metric), &id, err));
    int64_t n = c->counts[group][id];
    if (n == c->room[group][id]) {
        int64_t room = n ? 2 * n : 8;
        double *grown = rl_regrow(c->values[group][id], (size_t)n, (size_t)room, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        c->values[group][id] = grown;
        c->room[group][id] = room;
    }
    c->values[group][id][c->counts[group][id]++] = value;
cleanup:
    return status;
}

static rl_status name_cell(rl_buffer *text, const collected *c, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t a = 0; a < c->asked->num_axes; a++) {
        const char *value = rl_shard_attribute(shard, c->asked->axes[a]);
        bool several = false; /* axes with one value say nothing */
        for (int64_t r = 1; r < c->asked->num_runs && !several; r++)
            several = strcmp(c->asked->runs[r].axis_values[a], c->asked->runs[0].axis_values[a]) != 0;
        if (!strcmp(c->asked->axes[a], "seed") || !several) continue;
        RL_TRY(rl_buffer_printf(text, err, "%s=%s%s", c->asked->axes[a], value ? value : "", separator));
    }
cleanup:
    return status;
}

static rl_status count_seed(collected *c, const char *seed, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    if ((size_t)rl_names_count(c->seeds) == c->seed_capacity) {
        size_t capacity = c->seed_capacity ? 2 * c->seed_capacity : 64;
        int64_t *grown = rl_regrow(c->seed_runs, c->seed_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        c->seed_runs = grown;
        c->seed_capacity = capacity;
    }
    RL_TRY(rl_names_intern(c->seeds, seed, strlen(seed), &id, err));
    c->seed_runs[id]++;
cleanup:
    return status;
}

static rl_status read_shard(collected *c, int group, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_buffer cell = {0}, metric = {0};
    rl_error why = {0};
    if (rl_shard_open(&shard, path, &why) != RL_OK) return RL_OK; /* damaged: the next run sets it aside */
    const char *seed = rl_shard_attribute(shard, "seed");
    RL_TRY(count_seed(c, seed ? seed : "", err));
    RL_TRY(name_cell(&cell, c, shard, err));
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_score word, subword, test;
        RL_TRY(rl_shard_read_scores(shard, s, &word, &subword, &test, err));
        metric.length = 0;
        RL_TRY(rl_buffer_printf(&metric, err, "%s%s%sf1", cell.length ? cell.data : "", rl_shard_stage_name(shard, s), separator));
        RL_TRY(add_value(c, group, metric.data, word.f1, err));
        if (!isfinite(test.f1)) continue;
        RL_TRY(rl_buffer_printf(&metric, err, " (test)"));
        RL_TRY(add_value(c, group, metric.data, test.f1, err));
    }
cleanup:
    rl_shard_close(shard);
    rl_buffer_free(&cell);
    rl_buffer_free(&metric);
    return status;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Shards of a folder by name: the order of metrics must not be the file system's. *names points into *found. */
static rl_status list_shards(rl_names **found, const char ***names, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    DIR *open_folder = opendir(folder); /* an absent folder has none */
    RL_TRY(rl_names_create(found, err));
    for (struct dirent *entry; open_folder && (entry = readdir(open_folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".h5") == 0) RL_TRY(rl_names_intern(*found, entry->d_name, strlen(entry->d_name), &id, err));
    }
    RL_ALLOC(*names, rl_names_count(*found), err);
    for (int32_t i = 0; i < rl_names_count(*found); i++) (*names)[i] = rl_names_get(*found, i);
    qsort(*names, (size_t)rl_names_count(*found), sizeof **names, by_text);
cleanup:
    if (open_folder) closedir(open_folder);
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
    RL_TRY(list_shards(&found, &names, folder, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        int32_t id = 0, before = rl_names_count(c->ids);
        RL_TRY(rl_names_intern(c->ids, names[i], strlen(names[i]), &id, err));
        if (id != before) continue;
        rl_free(path);
        path = rl_path_join(folder, names[i], err);
        status = path ? read_shard(c, group, path, err) : RL_ERR_MEMORY;
        if (status != RL_OK) goto cleanup;
    }
cleanup:
    rl_free(names);
    rl_names_free(found);
    rl_free(folder);
    rl_free(path);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- seeds */

/* Unfinished ones first seen, then unseen: ascending from the sweep's smallest. seeds [MAX_SEEDS] */
static void next_seeds(int64_t *seeds, const collected *c)
{
    int64_t smallest = c->asked->runs[0].settings.seed, most = 0, n = 0;
    for (int64_t r = 0; r < c->asked->num_runs; r++)
        if (c->asked->runs[r].settings.seed < smallest) smallest = c->asked->runs[r].settings.seed;
    for (int32_t i = 0; i < rl_names_count(c->seeds); i++)
        if (c->seed_runs[i] > most) most = c->seed_runs[i];
    for (int64_t seed = smallest; n < MAX_SEEDS; seed++) {
        char text[32];
        int length = snprintf(text, sizeof text, "%lld", (long long)seed);
        int32_t id = rl_names_find(c->seeds, text, (size_t)length);
        if (id < 0 || c->seed_runs[id] < most) seeds[n++] = seed;
    }
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

/* ------------------------------------------------------------------------------------------------------ report */

static rl_status make_drifts(rl_drift **out, const collected *c, double q, int64_t *num_moved, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t n = rl_names_count(c->metrics);
    rl_drift *drifts = NULL;
    RL_ALLOC(drifts, n, err);
    for (int32_t i = 0; i < n; i++)
        drifts[i] = (rl_drift){.before = c->values[0][i], .num_before = c->counts[0][i], .now = c->values[1][i], .num_now = c->counts[1][i]};
    RL_TRY(rl_drift_compare(drifts, n, q, num_moved, err));
    *out = drifts;
    return RL_OK;
cleanup:
    rl_free(drifts);
    return status;
}

static json_t *report_of(const collected *c, const rl_drift *drifts, int64_t num_moved, double q)
{
    char now[21];
    json_t *metrics = json_array();
    rl_utc_timestamp(now);
    for (int32_t i = 0; i < rl_names_count(c->metrics); i++) {
        const rl_drift *d = &drifts[i];
        bool both = d->num_before && d->num_now;
        json_array_append_new(
            metrics, json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "metric", rl_names_get(c->metrics, i), "seeds_before",
                               (json_int_t)d->num_before, "seeds_now", (json_int_t)d->num_now, "mean_before",
                               rl_json_number(both ? d->mean_before : NAN), "mean_now", rl_json_number(both ? d->mean_now : NAN),
                               "predicted_low", rl_json_number(d->low), "predicted_high", rl_json_number(d->high), "p",
                               rl_json_number(d->p), "smallest_possible_p", rl_json_number(d->smallest), "adjusted_p",
                               rl_json_number(d->adjusted), "exact", (int)d->exact, "moved", (int)d->moved));
    }
    return json_pack("{s:s, s:f, s:I, s:I, s:o}", "time", now, "q", q, "metrics_moved", (json_int_t)num_moved, "metrics_compared",
                     (json_int_t)rl_names_count(c->metrics), "metrics", metrics);
}

static void print_drift(const char *name, const rl_drift *d)
{
    printf("  %s%-56s%s %.4f (%lld seeds) -> %.4f (%lld new), expected %.4f to %.4f, adjusted p %.4f\n", d->moved ? rl_red(stdout) : "", name,
           rl_plain(stdout), d->mean_before, (long long)d->num_before, d->mean_now, (long long)d->num_now, d->low, d->high, d->adjusted);
}

static void print_verdict(const collected *c, const rl_drift *drifts, int64_t num_moved, double q, const char *file)
{
    double smallest = 1;
    int32_t n = rl_names_count(c->metrics), compared = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!isfinite(drifts[i].p)) continue;
        compared++;
        if (drifts[i].smallest < smallest) smallest = drifts[i].smallest;
    }
    if (num_moved)
        printf("%sDRIFT%s: %lld of %d metrics moved (false discovery rate %g)\n", rl_red(stdout), rl_plain(stdout), (long long)num_moved, compared, q);
    else if (compared == 0)
        printf("nothing to compare with yet: these are the first seeds\n");
    else if (smallest > q)
        printf("nothing can be said with so few seeds: the smallest possible p is %.3f; see the prediction intervals\n", smallest);
    else
        printf("no drift: none of %d metrics moved (false discovery rate %g)\n", compared, q);
    for (int32_t i = 0; i < n; i++)
        if (drifts[i].moved || (isfinite(drifts[i].low) && (drifts[i].mean_now < drifts[i].low || drifts[i].mean_now > drifts[i].high)))
            print_drift(rl_names_get(c->metrics, i), &drifts[i]);
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

/* "2h", "90m", "45s", "1h30m", or seconds. */
static rl_status parse_budget(double *seconds, const rl_args *args, rl_error *err)
{
    const char *text = NULL, *at = NULL;
    double total = 0;
    rl_status status = rl_args_need(&text, args, "budget", err);
    if (status != RL_OK) return status;
    for (at = text; *at;) {
        char *end = NULL;
        double value = strtod(at, &end);
        if (end == at || !(value >= 0)) break;
        double unit = *end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : 1;
        total += value * unit;
        at = end + (*end && strchr("dhms", *end) != NULL);
        if (at == end && *end) break;
    }
    if (*at || !(total > 0) || !isfinite(total)) return rl_fail(err, RL_ERR_USAGE, "--budget: '%s' is no time such as 2h, 90m or 1h30m", text);
    *seconds = total;
    return RL_OK;
}

static rl_status parse_q(double *q, const rl_args *args, rl_error *err)
{
    const char *text = rl_args_text(args, "q", "0.05");
    char *end = NULL;
    *q = strtod(text, &end);
    if (end == text || *end || !(*q > 0 && *q < 1)) return rl_fail(err, RL_ERR_USAGE, "--q: '%s' is no number between 0 and 1", text);
    return RL_OK;
}

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
    RL_TRY(rl_names_create(&c->ids, err));
    RL_TRY(rl_names_create(&c->metrics, err));
    RL_TRY(rl_names_create(&c->seeds, err));
    RL_TRY(read_new_shards(c, 0, *directory, err));
cleanup:
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planning planning = rl_planning_from(args);
    rl_planned p = {0};
    rl_sweep *asked = NULL;
    collected c = {0};
    char *directory = NULL, *set = NULL;
    int64_t seeds[MAX_SEEDS], count = 0, most = MAX_SEEDS;
    double budget_s = 0, q = 0;
    int rank = 0, num_ranks = 1, drift = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    planning.num_ranks = num_ranks;
    status = parse_budget(&budget_s, args, err);
    if (status == RL_OK) status = parse_q(&q, args, err);
    if (status == RL_OK) status = rl_args_int(&most, args, "seeds", MAX_SEEDS, 1, err);
    if (status == RL_OK) status = begin(&c, &asked, &planning, &directory, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    next_seeds(seeds, &c);
    if (rank == 0) /* rates are measured: each rank would choose for itself */
        status = choose_count(&count, &planning, seeds, most < MAX_SEEDS ? most : MAX_SEEDS, budget_s, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    MPI_Bcast(&count, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    status = plan_seeds(&p, &set, &planning, seeds, count, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rank == 0) printf("tonight: %lld new seed%s, %lld to %lld\n", (long long)count, count == 1 ? "" : "s", (long long)seeds[0], (long long)seeds[count - 1]);
    if (rl_args_flag(args, "dry-run")) {
        if (rank == 0) status = rl_print_plan(stdout, p.plan, num_ranks, p.directory, err);
        status = rl_cluster_agree(MPI_COMM_WORLD, status, err);
        goto cleanup;
    }
    if (!rl_args_flag(args, "oversubscribe")) RL_TRY(rl_cluster_check_cores(MPI_COMM_WORLD, p.sweep->policy.threads_per_rank, err));
    RL_TRY(rl_planned_work(&p, rl_args_text(args, "metrics", NULL), budget_s, exit_code, err));
    if (rank == 0) status = read_new_shards(&c, 1, directory, err);
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
    "compares their F1 per cell and stage with all earlier seeds': a 95 % prediction interval, an exact permutation test, and\n"
    "Benjamini-Hochberg over all metrics. A sweep file whose settings changed since is compared too: its new values become an axis\n"
    "of the store. DIR/nightly/<UTC>.json keeps the report. For scrontab or cron; a night that is cut short is finished by the next.\n",
    run, true};
