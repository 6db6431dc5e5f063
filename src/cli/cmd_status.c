/* cmd_status.c: relearn status DIR [--watch] [--json] -- progress, rate, ETA and failures of a live or finished sweep. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const rl_option options[] = {{"watch", NULL, "repeat every 2 seconds while the sweep lives"},
                                    {"json", NULL, "JSON on standard output"},
                                    {NULL, NULL, NULL}};

static rl_status print_json(const rl_sweep_status *s, rl_error *err)
{
    json_t *runs = json_array();
    for (int64_t r = 0; r < s->num_runs; r++) {
        const rl_run_status *run = &s->runs[r];
        json_array_append_new(runs, json_pack("{s:s, s:s, s:o, s:o, s:s?}", "id", run->id, "state", run->state, "f1",
                                              rl_json_number(run->f1), "seconds", rl_json_number(run->seconds), "error", run->error));
    }
    json_t *root = json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:s, s:I, s:o}", "sweep", s->name,
                             "alive", (int)s->alive, "planned", (json_int_t)s->counts.planned, "done",
                             (json_int_t)s->counts.done, "failed", (json_int_t)s->counts.failed, "running",
                             (json_int_t)s->counts.running, "waiting", (json_int_t)s->counts.waiting, "stages_done",
                             (json_int_t)s->nodes_done, "stages_total", (json_int_t)s->nodes_total, "elapsed_s",
                             rl_json_number(s->elapsed_s), "eta_s", rl_json_number(s->eta_s), "tokens_per_second", rl_json_number(s->tokens_per_second),
                             "started", s->started, "updated", s->updated, "damaged_journal_records",
                             (json_int_t)s->damaged_records, "runs", runs);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) printf("%s\n", text);
    rl_status status = text ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the status cannot be printed as JSON");
    free(text); /* jansson's allocation, not ours */
    json_decref(root);
    return status;
}

static void print_runs(const rl_sweep_status *s)
{
    for (int64_t r = 0; r < s->num_runs; r++) {
        const rl_run_status *run = &s->runs[r];
        const char *colour = !strcmp(run->state, "failed") ? rl_red(stdout) : !strcmp(run->state, "done") ? rl_green(stdout) : "";
        char f1[16] = "     -";
        if (isfinite(run->f1)) snprintf(f1, sizeof f1, "%6.4f", run->f1);
        printf("  %s  %s%-8s%s F1 %s  %8.1f s%s%s\n", run->id, colour, run->state, rl_plain(stdout), f1, run->seconds,
               run->error ? "  " : "", run->error ? run->error : "");
    }
}

static void print_text(const rl_sweep_status *s)
{
    char elapsed[32], eta[32], speed[32];
    rl_format_seconds(elapsed, s->elapsed_s);
    rl_format_seconds(eta, s->eta_s);
    rl_format_number(speed, isfinite(s->tokens_per_second) ? s->tokens_per_second : 0);
    printf("%s%s%s: %s; started %s, last event %s\n", rl_bold(stdout), s->name, rl_plain(stdout),
           s->alive ? "running" : s->counts.done == s->num_runs ? "finished" : "not running", s->started, s->updated);
    printf("runs: %lld planned, %lld done, %lld failed, %lld running, %lld waiting; stages: %lld of %lld; %s elapsed",
           (long long)s->counts.planned, (long long)s->counts.done, (long long)s->counts.failed, (long long)s->counts.running,
           (long long)s->counts.waiting, (long long)s->nodes_done, (long long)s->nodes_total, elapsed);
    if (s->alive) printf("; %s tokens/s; ETA %s", speed, eta);
    printf("\n");
    if (s->damaged_records)
        printf("journal: %lld damaged record%s skipped\n", (long long)s->damaged_records, s->damaged_records == 1 ? "" : "s");
    print_runs(s);
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    bool watch = rl_args_flag(args, "watch"), alive = false;
    (void)exit_code;
    do {
        rl_sweep_status *s = NULL;
        rl_status status = rl_sweep_status_read(&s, args->operands[0], err);
        if (status != RL_OK) return status;
        if (watch && rl_is_terminal(stdout)) printf("\033[H\033[2J");
        if (rl_args_flag(args, "json"))
            status = print_json(s, err);
        else
            print_text(s);
        fflush(stdout);
        alive = s->alive;
        rl_sweep_status_free(s);
        if (status != RL_OK) return status;
        if (watch && alive) sleep(2);
    } while (watch && alive);
    return RL_OK;
}

const rl_command rl_command_status = {"status", "DIR [--watch] [--json]",
                                      "progress, rate, ETA and failures of a live or finished sweep", 1, 1, options, NULL, run,
                                      false};
