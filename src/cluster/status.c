/* status.c -- what a sweep folder says of itself: journal, side file, lock. Reads only. */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct rl_sweep_watch {
    char *directory;
    rl_journal_place place;
    rl_sweep_status *status; /* as the journal alone tells it so far */
    rl_names *ids;           /* run ids; id = row */
    int64_t *f1_round;       /* [rows] the round that a run's f1 was measured after */
};

static void clear_run(rl_run_status *run)
{
    rl_free(run->error);
    rl_free(run->log);
    json_decref(run->axes);
    *run = (rl_run_status){0};
}

void rl_sweep_status_free(rl_sweep_status *status)
{
    if (!status) return;
    for (int64_t r = 0; status->runs && r < status->num_runs; r++) clear_run(&status->runs[r]);
    rl_free(status->runs);
    json_decref(status->live);
    json_decref(status->notices);
    rl_free(status->name);
    rl_free(status);
}

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static void set_state(rl_run_status *run, const char *state)
{
    snprintf(run->state, sizeof run->state, "%s", state);
    if (strcmp(state, "failed")) {
        rl_free(run->error);
        rl_free(run->log);
        run->error = run->log = NULL;
    }
}

/* {"seed": "0", ...} of the i-th run of a start; NULL when it does not say. */
static json_t *axes_of(const json_t *start, int64_t i)
{
    const json_t *names = json_object_get(start, "axes"), *row = json_array_get(json_object_get(start, "values"), (size_t)i);
    if (!json_is_array(row)) return NULL;
    json_t *axes = json_object();
    for (size_t a = 0; a < json_array_size(row); a++) {
        const char *name = json_string_value(json_array_get(names, a));
        if (name) json_object_set(axes, name, json_array_get(row, a));
    }
    return axes;
}

/* Runs that a start knows of and does not work on, by index. */
static void leave_out(rl_run_status *runs, int64_t n, const json_t *indices)
{
    size_t i;
    const json_t *index;
    json_array_foreach(indices, i, index)
    {
        int64_t r = json_is_integer(index) ? json_integer_value(index) : -1;
        if (r >= 0 && r < n && strcmp(runs[r].state, "done")) set_state(&runs[r], "left out");
    }
}

/* A start names all its runs; ones seen before keep what is known of them, except that nothing is running any more. */
static rl_status on_start(rl_sweep_watch *w, const json_t *event, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *s = w->status;
    const json_t *ids = json_object_get(event, "runs"), *threads = json_object_get(event, "threads");
    int64_t n = (int64_t)json_array_size(ids);
    s->threads_per_rank = threads ? json_integer_value(threads) : 1;
    rl_run_status *runs = NULL;
    rl_names *names = NULL;
    int64_t *rounds = NULL;
    char *name = rl_strdup(text_of(event, "sweep"), err);
    if (!name) return RL_ERR_MEMORY;
    RL_ALLOC(runs, n, err);
    RL_ALLOC(rounds, n, err);
    RL_TRY(rl_names_create(&names, err));
    for (int64_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(ids, (size_t)i));
        int32_t row = 0;
        if (!id) id = "";
        RL_TRY(rl_names_intern(names, id, strlen(id), &row, err));
        int32_t old = rl_names_find(w->ids, id, strlen(id));
        if (old >= 0 && old < s->num_runs && !strcmp(s->runs[old].state, "done")) {
            runs[i] = s->runs[old];
            rounds[i] = w->f1_round[old];
            s->runs[old] = (rl_run_status){0}; /* moved */
            json_decref(runs[i].axes);
            runs[i].axes = axes_of(event, i);
            continue;
        }
        snprintf(runs[i].id, sizeof runs[i].id, "%s", id);
        set_state(&runs[i], "waiting");
        runs[i].axes = axes_of(event, i);
        runs[i].f1 = NAN;
    }
    leave_out(runs, n, json_object_get(event, "left_out"));
    for (int64_t i = 0; i < s->num_runs; i++) clear_run(&s->runs[i]);
    rl_free(s->runs);
    rl_names_free(w->ids);
    rl_free(w->f1_round);
    s->runs = runs, s->num_runs = n, w->ids = names, w->f1_round = rounds;
    s->nodes_total = json_integer_value(json_object_get(event, "nodes"));
    s->nodes_done = 0;
    snprintf(s->started, sizeof s->started, "%s", text_of(event, "time"));
    rl_free(s->name);
    s->name = name;
    return RL_OK;
cleanup:
    rl_free(name);
    rl_free(runs);
    rl_free(rounds);
    rl_names_free(names);
    return status;
}

/* Analyses end in any order: the F1 of the latest round is the run's. */
static void on_f1(rl_run_status *run, int64_t *f1_round, const json_t *event)
{
    int64_t round = json_integer_value(json_object_get(event, "round"));
    if (isfinite(run->f1) && round < *f1_round) return;
    run->f1 = json_number_value(json_object_get(event, "f1"));
    *f1_round = round;
}

static void on_node(rl_run_status *run, const char *kind, const json_t *event)
{
    bool shard = !strcmp(text_of(event, "stage"), "shard"), failed = !strcmp(run->state, "failed");
    if (!strcmp(kind, "started") && !failed)
        set_state(run, "running"); /* a failed run's other stages may go on: others share them */
    if (!strcmp(kind, "returned") && !failed) set_state(run, "waiting");
    if (!strcmp(kind, "done")) run->seconds += json_number_value(json_object_get(event, "seconds"));
    if (!strcmp(kind, "done") && shard) set_state(run, "done");
}

/* What people should know of the folder and no run's state tells. */
static void on_notice(rl_sweep_status *s, const json_t *event, const char *text)
{
    json_array_append_new(s->notices, json_pack("{s:s, s:s}", "time", text_of(event, "time"), "text", text));
    if (json_array_size(s->notices) > 10) json_array_remove(s->notices, 0);
}

static rl_status visit(void *context, const json_t *event, rl_error *err)
{
    rl_sweep_watch *w = context;
    const char *kind = text_of(event, "event"), *id = text_of(event, "run");
    snprintf(w->status->updated, sizeof w->status->updated, "%s", text_of(event, "time"));
    if (!strcmp(kind, "start")) return on_start(w, event, err);
    if (!strcmp(kind, "notice")) on_notice(w->status, event, text_of(event, "text"));
    if (!strcmp(kind, "disk_full")) on_notice(w->status, event, "the disk was nearly full; the sweep stopped, resumable");
    int32_t row = rl_names_find(w->ids, id, strlen(id));
    if (row < 0 || row >= w->status->num_runs) return RL_OK;
    rl_run_status *run = &w->status->runs[row];
    if (!strcmp(kind, "run_failed")) {
        set_state(run, "failed");
        rl_free(run->error);
        run->error = rl_strdup(text_of(event, "error"), err);
        if (json_object_get(event, "log")) {
            rl_free(run->log);
            run->log = rl_strdup(text_of(event, "log"), err);
        }
        return run->error ? RL_OK : RL_ERR_MEMORY;
    }
    if (!strcmp(kind, "f1")) on_f1(run, &w->f1_round[row], event);
    on_node(run, kind, event);
    return RL_OK;
}

/* Somebody holds the lock file: F_GETLK tells without taking it. */
static bool is_alive(const char *directory)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = rl_path_join(directory, "lock", NULL);
    int descriptor = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1; /* onlookers may have no right to write */
    bool held = descriptor >= 0 && fcntl(descriptor, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    if (descriptor >= 0) close(descriptor);
    rl_free(path);
    return held;
}

static double real_of(const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void read_side_file(rl_sweep_status *s, const char *directory)
{
    json_t *root = NULL;
    char *path = rl_path_join(directory, "progress.json", NULL);
    s->elapsed_s = s->eta_s = s->tokens_per_second = NAN;
    if (path && rl_path_exists(path) && rl_json_read(&root, path, NULL) == RL_OK) {
        s->elapsed_s = real_of(root, "elapsed_s");
        s->nodes_done = json_integer_value(json_object_get(root, "nodes_done"));
        if (s->alive) s->eta_s = real_of(root, "eta_s");
        if (s->alive) s->tokens_per_second = real_of(root, "tokens_per_second");
    }
    s->live = root;
    rl_free(path);
}

static void count(rl_sweep_status *s)
{
    s->counts = (rl_sweep_counts){0};
    for (int64_t r = 0; r < s->num_runs; r++) {
        rl_run_status *run = &s->runs[r];
        if (!strcmp(run->state, "running") && !s->alive) set_state(run, "waiting"); /* its process is gone */
        s->counts.done += !strcmp(run->state, "done");
        s->counts.failed += !strcmp(run->state, "failed");
        s->counts.running += !strcmp(run->state, "running");
        s->counts.waiting += !strcmp(run->state, "waiting");
        s->counts.left_out += !strcmp(run->state, "left out");
    }
    s->counts.planned = s->num_runs - s->counts.left_out;
}

/* A run whose shard lies there is done, whatever the journal lost. */
static rl_status look_for_shards(rl_sweep_status *s, const char *directory, rl_error *err)
{
    char name[RL_RUN_ID + 3]; /* as rl_plan_shard_path */
    rl_names *found = NULL;
    char *path = rl_path_join(directory, "runs", err);
    rl_status status = path ? rl_list_folder(&found, path, err) : RL_ERR_MEMORY;
    for (int64_t r = 0; status == RL_OK && r < s->num_runs; r++) {
        snprintf(name, sizeof name, "%s.h5", s->runs[r].id);
        if (rl_names_find(found, name, strlen(name)) >= 0)
            set_state(&s->runs[r], "done");
        else if (!strcmp(s->runs[r].state, "done"))
            set_state(&s->runs[r], "waiting");
    }
    rl_names_free(found);
    rl_free(path);
    return status;
}

static rl_status copy_run(rl_run_status *out, const rl_run_status *run, rl_error *err)
{
    *out = *run;
    out->axes = json_incref(run->axes);
    out->error = run->error ? rl_strdup(run->error, err) : NULL;
    out->log = run->log ? rl_strdup(run->log, err) : NULL;
    return (run->error && !out->error) || (run->log && !out->log) ? RL_ERR_MEMORY : RL_OK;
}

static rl_status copy_status(rl_sweep_status **out, const rl_sweep_status *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *copy = NULL;
    RL_ALLOC(copy, 1, err);
    *copy = *s;
    copy->live = NULL;
    copy->notices = json_copy(s->notices);
    copy->runs = NULL;
    copy->num_runs = 0;
    copy->name = rl_strdup(s->name, err);
    RL_TRY(copy->name ? RL_OK : RL_ERR_MEMORY);
    RL_ALLOC(copy->runs, s->num_runs, err);
    copy->num_runs = s->num_runs;
    for (int64_t r = 0; r < s->num_runs; r++) RL_TRY(copy_run(&copy->runs[r], &s->runs[r], err));
    *out = copy;
    copy = NULL;
cleanup:
    rl_sweep_status_free(copy);
    return status;
}

static void forget(rl_sweep_watch *w)
{
    rl_names_free(w->ids);
    rl_free(w->f1_round);
    rl_sweep_status_free(w->status);
    w->ids = NULL, w->f1_round = NULL, w->status = NULL;
}

static rl_status begin(rl_sweep_watch *w, rl_error *err)
{
    rl_status status = RL_OK;
    w->place = (rl_journal_place){0};
    RL_ALLOC(w->status, 1, err);
    RL_TRY(rl_names_create(&w->ids, err));
    w->status->notices = json_array();
cleanup:
    return status;
}

rl_status rl_sweep_watch_open(rl_sweep_watch **out, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_watch *w = NULL;
    RL_ALLOC(w, 1, err);
    w->directory = rl_strdup(directory, err);
    RL_TRY(w->directory ? RL_OK : RL_ERR_MEMORY);
    RL_TRY(begin(w, err));
    *out = w;
    w = NULL;
cleanup:
    rl_sweep_watch_close(w);
    return status;
}

void rl_sweep_watch_close(rl_sweep_watch *w)
{
    if (!w) return;
    forget(w);
    rl_free(w->directory);
    rl_free(w);
}

rl_status rl_sweep_watch_look(rl_sweep_status **out, rl_sweep_watch *w, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *s = NULL;
    bool is_another = false;
    RL_TRY(rl_journal_read_on(&w->place, &is_another, w->directory, visit, w, &w->status->damaged_records, err));
    if (is_another) {
        forget(w);
        RL_TRY(begin(w, err));
        RL_TRY(rl_journal_read_on(&w->place, &is_another, w->directory, visit, w, &w->status->damaged_records, err));
    }
    if (!w->status->name) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: no sweep was ever started here (journal.jsonl has no start)", w->directory);
        goto cleanup;
    }
    RL_TRY(copy_status(&s, w->status, err));
    s->alive = is_alive(w->directory);
    read_side_file(s, w->directory);
    RL_TRY(look_for_shards(s, w->directory, err));
    count(s);
    *out = s;
    s = NULL;
cleanup:
    rl_sweep_status_free(s);
    return status;
}

rl_status rl_sweep_status_read(rl_sweep_status **out, const char *directory, rl_error *err)
{
    rl_sweep_watch *w = NULL;
    rl_status status = rl_sweep_watch_open(&w, directory, err);
    if (status == RL_OK) status = rl_sweep_watch_look(out, w, err);
    rl_sweep_watch_close(w);
    return status;
}
