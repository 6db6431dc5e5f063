/* cmd_status.c: relearn status DIR [--watch] [--json] -- progress, rate, ETA and failures of a live or finished sweep. */
#include "cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const rl_option options[] = {{"watch", NULL, "follow the sweep while it lives, anew every 2 seconds"},
                                    {"json", NULL, "JSON on standard output"},
                                    {NULL, NULL, NULL}};

static rl_status print_json(const rl_sweep_status *s, rl_error *err)
{
    json_t *runs = json_array();
    for (int64_t r = 0; r < s->num_runs; r++) {
        const rl_run_status *run = &s->runs[r];
        json_array_append_new(runs, json_pack("{s:s, s:s, s:O?, s:o, s:o, s:s?, s:s?}", "id", run->id, "state", run->state, "axes",
                                              run->axes, "f1", rl_json_number(run->f1), "seconds", rl_json_number(run->seconds),
                                              "error", run->error, "log", run->log));
    }
    json_t *root = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:s, s:I, s:o}", "sweep", s->name,
                             "alive", (int)s->alive, "planned", (json_int_t)s->counts.planned, "done",
                             (json_int_t)s->counts.done, "failed", (json_int_t)s->counts.failed, "running",
                             (json_int_t)s->counts.running, "waiting", (json_int_t)s->counts.waiting, "left_out", (json_int_t)s->counts.left_out, "stages_done",
                             (json_int_t)s->nodes_done, "stages_total", (json_int_t)s->nodes_total, "elapsed_s",
                             rl_json_number(s->elapsed_s), "eta_s", rl_json_number(s->eta_s), "tokens_per_second", rl_json_number(s->tokens_per_second),
                             "started", s->started, "updated", s->updated, "damaged_journal_records",
                             (json_int_t)s->damaged_records, "runs", runs);
    json_object_set_new(root, "threads_per_rank", json_integer(s->threads_per_rank));
    json_object_set(root, "notices", s->notices);
    json_object_set_new(root, "live", s->alive && s->live ? json_incref(s->live) : json_null());
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) printf("%s\n", text);
    rl_status status = text ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the status cannot be printed as JSON");
    free(text); /* jansson's allocation, not ours */
    json_decref(root);
    return status;
}

/* Axes in which the runs differ: the others say nothing of a run. */
static json_t *varying_axes(const rl_sweep_status *s)
{
    json_t *varying = json_object(), *first = json_object();
    const char *name;
    json_t *value;
    for (int64_t r = 0; r < s->num_runs; r++)
        json_object_foreach(s->runs[r].axes, name, value)
        {
            const json_t *seen = json_object_get(first, name);
            if (!seen) json_object_set(first, name, value);
            else if (!json_equal(seen, value)) json_object_set_new(varying, name, json_true());
        }
    json_decref(first);
    return varying;
}

/* "seed=0 prune.select=concept" */
static void print_axes(const json_t *varying, const rl_run_status *run)
{
    const char *name;
    json_t *value;
    json_object_foreach(run->axes, name, value)
        if (json_object_get(varying, name)) printf(" %s=%s", name, json_string_value(value));
}

/* The runs in one state that people ask for: ten thousand done ones nobody reads. */
static void print_runs(const rl_sweep_status *s, const json_t *varying, const char *state, int64_t count)
{
    enum { most = 20 };
    int64_t printed = 0;
    for (int64_t r = 0; r < s->num_runs && printed < most; r++) {
        const rl_run_status *run = &s->runs[r];
        char f1[16] = "     -";
        if (strcmp(run->state, state)) continue;
        printed++;
        if (isfinite(run->f1)) snprintf(f1, sizeof f1, "%6.4f", run->f1);
        printf("  %s  %s%-8s%s F1 %s  %8.1f s ", run->id, !strcmp(state, "failed") ? rl_red(stdout) : "", run->state, rl_plain(stdout), f1, run->seconds);
        print_axes(varying, run);
        printf("%s%s\n", run->error ? "  " : "", run->error ? run->error : "");
    }
    if (count > printed) printf("  ... and %lld more %s: --json names all\n", (long long)(count - printed), state);
}

static void print_failed_and_running(const rl_sweep_status *s)
{
    json_t *varying = varying_axes(s);
    print_runs(s, varying, "failed", s->counts.failed);
    if (s->counts.failed) printf("relearn run SWEEP.yaml --out DIR --retry-failed redoes exactly the failed runs; logs/ says more\n");
    print_runs(s, varying, "running", s->counts.running);
    json_decref(varying);
}

/* Finished also with failed runs: the sweep has ended by itself, and they are named. */
static const char *state_of(const rl_sweep_status *s)
{
    return s->alive ? "running" : s->counts.done + s->counts.failed == s->counts.planned ? "finished" : "not running";
}

/* ----------------------------------------------------------------------------------------------------- watching */

static void print_line(const rl_sweep_status *s)
{
    char eta[32], speed[32];
    rl_format_seconds(eta, s->eta_s);
    rl_format_number(speed, isfinite(s->tokens_per_second) ? s->tokens_per_second : 0);
    printf("%s %s %s: %lld/%lld runs, %lld failed, %lld running, stages %lld/%lld", s->updated, s->name, state_of(s), (long long)s->counts.done,
           (long long)s->counts.planned, (long long)s->counts.failed, (long long)s->counts.running, (long long)s->nodes_done, (long long)s->nodes_total);
    if (s->alive) printf(", %s tokens/s, ETA %s", speed, eta);
    printf("\n");
}

static void print_bar(const rl_sweep_status *s, int width)
{
    int64_t total = s->counts.planned > 0 ? s->counts.planned : 1;
    int length = width - 30 > 10 ? width - 30 : 10, done = (int)(s->counts.done * length / total);
    int failed = (int)(s->counts.failed * length / total);
    printf("[%s", rl_green(stdout));
    for (int i = 0; i < length; i++) {
        if (i == done) printf("%s", rl_red(stdout));
        if (i == done + failed) printf("%s", rl_plain(stdout));
        putchar(i < done ? '#' : i < done + failed ? 'x' : '.');
    }
    printf("%s] %3.0f %%\n", rl_plain(stdout), 100.0 * (double)s->counts.done / (double)total);
}

/* At most a line's width: what wraps would push the rest off the screen. */
static void print_clipped(int width, const char *format, ...) RL_PRINTF(2, 3);
static void print_clipped(int width, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (strlen(line) > (size_t)width) {
        while (width > 0 && ((unsigned char)line[width] & 0xC0) == 0x80) width--; /* no half of a letter */
        line[width] = '\0';
    }
    printf("%s\n", line);
}

static void print_workers(const json_t *live, int rows, int width)
{
    int task = width >= 96 ? 52 : width >= 76 ? width - 44 : width - 20;
    bool narrow = width < 76;
    const json_t *workers = json_object_get(live, "workers"), *worker;
    size_t i, hidden = 0, idle = 0;
    printf("\n%s%5s  %-*s %11s", rl_bold(stdout), "rank", task, "works on", "since");
    if (!narrow) printf(" %11s %10s", "predicted", "tokens/s");
    printf("%s\n", rl_plain(stdout));
    json_array_foreach(workers, i, worker)
    {
        char since[32] = "", predicted[32] = "", speed[32] = "";
        const json_t *seconds = json_object_get(worker, "seconds"), *expected = json_object_get(worker, "predicted_s");
        double tokens = json_number_value(json_object_get(worker, "tokens_per_second"));
        if ((int)i >= rows) {
            hidden++;
            idle += !json_is_number(seconds);
            continue;
        }
        if (json_is_number(seconds)) rl_format_seconds(since, json_number_value(seconds));
        if (json_is_number(expected)) rl_format_seconds(predicted, json_number_value(expected));
        if (tokens > 0) rl_format_number(speed, tokens);
        printf("%5lld  %-*.*s %11s", (long long)json_integer_value(json_object_get(worker, "rank")), task, task,
               json_string_value(json_object_get(worker, "task")), since);
        if (narrow)
            printf("\n");
        else
            printf(" %11s %10s\n", predicted, speed);
    }
    if (hidden) printf("       ... and %zu more, %zu of them idle\n", hidden, idle);
}

static void print_failures(const json_t *failures, int width, int rows)
{
    size_t n = json_array_size(failures);
    printf("\n%slast failures%s\n", rl_bold(stdout), rl_plain(stdout));
    for (size_t i = n > (size_t)rows ? n - (size_t)rows : 0; i < n; i++) {
        const json_t *failure = json_array_get(failures, i);
        print_clipped(width - 1, "  %s: %s", json_string_value(json_object_get(failure, "task")), json_string_value(json_object_get(failure, "error")));
    }
}

static void print_notices(const rl_sweep_status *s, size_t most)
{
    size_t n = json_array_size(s->notices);
    for (size_t i = n > most ? n - most : 0; i < n; i++) {
        const json_t *notice = json_array_get(s->notices, i);
        printf("note: %s %s\n", json_string_value(json_object_get(notice, "time")), json_string_value(json_object_get(notice, "text")));
    }
}

/* How many ranks and failures fit below the six lines of the sweep and above the hint: what scrolls takes the first lines away. */
static void share_room(int *workers, int *failures, int height)
{
    int room = height - 6 - 2, known = *failures < 5 ? *failures : 5, some = height / 8 > 1 ? height / 8 : 1;
    *failures = known < some ? known : some;
    if (room - 2 - (*failures + 2) < 2) *failures = 0;
    if (*failures) room -= *failures + 2;
    room -= 2; /* a blank line and the heading */
    if (*workers > room) *workers = room > 1 ? room - 1 : 0; /* the last says how many more */
}

static void print_screen(const rl_sweep_status *s)
{
    char elapsed[32], eta[32], speed[32], now[21], disk[32];
    const json_t *failures = json_object_get(s->live, "failures");
    int width = rl_terminal_width(stdout), workers = (int)json_array_size(json_object_get(s->live, "workers")), failed = (int)json_array_size(failures);
    share_room(&workers, &failed, rl_terminal_height(stdout));
    rl_utc_timestamp(now);
    rl_format_seconds(elapsed, s->elapsed_s);
    rl_format_seconds(eta, s->eta_s);
    rl_format_number(speed, isfinite(s->tokens_per_second) ? s->tokens_per_second : 0);
    rl_format_bytes(disk, json_number_value(json_object_get(s->live, "disk_free_bytes")));
    printf("\033[H\033[2J%s%.*s%s\n", rl_bold(stdout), width, s->name, rl_plain(stdout));
    print_clipped(width, "%s  started %s, now %s", state_of(s), s->started, now);
    print_bar(s, width);
    print_clipped(width, "runs    %lld done, %lld failed, %lld running, %lld waiting, %lld left out", (long long)s->counts.done,
                  (long long)s->counts.failed, (long long)s->counts.running, (long long)s->counts.waiting, (long long)s->counts.left_out);
    print_clipped(width, "stages  %lld of %lld; ETA %s", (long long)s->nodes_done, (long long)s->nodes_total, eta);
    print_clipped(width, "speed   %s tokens/s; %s elapsed; %s free", speed, elapsed, disk);
    if (workers) print_workers(s->live, workers, width);
    if (failed) print_failures(failures, width, failed);
    printf("\n%s%.*s%s", rl_dim(stdout), width, "Ctrl-C leaves; the sweep goes on", rl_plain(stdout)); /* no new line: the last one is the screen's */
}

static void print_text(const rl_sweep_status *s)
{
    char elapsed[32], eta[32], speed[32];
    rl_format_seconds(elapsed, s->elapsed_s);
    rl_format_seconds(eta, s->eta_s);
    rl_format_number(speed, isfinite(s->tokens_per_second) ? s->tokens_per_second : 0);
    printf("%s%s%s: %s; started %s, last event %s\n", rl_bold(stdout), s->name, rl_plain(stdout),
           state_of(s), s->started, s->updated);
    printf("runs: %lld planned, %lld done, %lld failed, %lld running, %lld waiting", (long long)s->counts.planned, (long long)s->counts.done,
           (long long)s->counts.failed, (long long)s->counts.running, (long long)s->counts.waiting);
    if (s->counts.left_out) printf(" (%lld more are not asked for now)", (long long)s->counts.left_out);
    printf("; stages: %lld of %lld; %s elapsed", (long long)s->nodes_done, (long long)s->nodes_total, elapsed);
    if (s->threads_per_rank > 1) printf("; %lld threads a rank", (long long)s->threads_per_rank);
    if (s->alive) printf("; %s tokens/s; ETA %s", speed, eta);
    printf("\n");
    if (s->damaged_records)
        printf("journal: %lld damaged record%s skipped\n", (long long)s->damaged_records, s->damaged_records == 1 ? "" : "s");
    print_notices(s, 10);
    print_failed_and_running(s);
}

static void pause_watching(void)
{
    const struct timespec step = {0, 100 * 1000 * 1000};
    for (int i = 0; i < 20 && !rl_stop_requested(); i++) nanosleep(&step, NULL);
}

/* Redrawn every 2 seconds on the terminal's other page; a line each time elsewhere; one JSON object each time with --json. */
static rl_status watch(const char *directory, bool json, rl_error *err)
{
    rl_sweep_watch *sweep = NULL;
    rl_status status = rl_stop_install(err);
    bool screen = !json && rl_is_terminal(stdout), alive = true;
    if (status == RL_OK) status = rl_sweep_watch_open(&sweep, directory, err);
    if (status == RL_OK && screen) printf("\033[?1049h");
    while (status == RL_OK && alive && !rl_stop_requested()) {
        rl_sweep_status *s = NULL;
        status = rl_sweep_watch_look(&s, sweep, err);
        if (status != RL_OK) break;
        if (json)
            status = print_json(s, err);
        else if (screen)
            print_screen(s);
        else
            print_line(s);
        fflush(stdout);
        alive = s->alive;
        rl_sweep_status_free(s);
        if (alive) pause_watching();
    }
    if (screen) printf("\033[?1049l");
    rl_sweep_watch_close(sweep);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    bool json = rl_args_flag(args, "json");
    rl_sweep_status *s = NULL;
    (void)exit_code;
    if (rl_args_flag(args, "watch")) {
        rl_status status = watch(args->operands[0], json, err);
        if (status != RL_OK || json || !rl_is_terminal(stdout)) return status;
    }
    rl_status status = rl_sweep_status_read(&s, args->operands[0], err);
    if (status != RL_OK) return status;
    if (json)
        status = print_json(s, err);
    else
        print_text(s);
    rl_sweep_status_free(s);
    return status;
}

const rl_command rl_command_status = {"status", "DIR [--watch] [--json]",
                                      "progress, rate, ETA and failures of a live or finished sweep", 1, 1, options,
                                      "Counts runs by state and names those that failed and that run, twenty of each; --json has all. --watch fills the terminal:\n"
                                      "runs by state, what each rank works on, rate, ETA and the last failures. Where output is no terminal it prints a line every\n"
                                      "2 seconds. ETA is the plan's forecast at first, then corrected by what stages take. Times are UTC.\n",
                                      run, false};
