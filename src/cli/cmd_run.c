/* cmd_run.c: relearn run SWEEP.yaml [--out DIR] [--set path=value]... [--filter EXPR] [--dry-run] -- the sweep. */
#include "cli.h"
#include "plan_text.h"
#include "planning.h"

#include "relearn/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const rl_option options[] = {
    {"out", "DIR", "where results go (default: results/NAME of the sweep); what is there is resumed"},
    {"set", "PATH=VALUE", "override a setting or an axis: --set train.epochs=1 --set seed=0..3 (repeatable; paths as in the file)"},
    {"filter", "EXPR", "only some runs: --filter 'seed<3 && prune.select==concept'"},
    {"retry-failed", NULL, "work on exactly the runs that failed in DIR before"},
    {"metrics", "FILE", "keep Prometheus metrics there, for node_exporter's textfile collector (default: DIR/metrics.prom)"},
    {"oversubscribe", NULL, "allow more ranks times threads_per_rank than there are cores"},
    {"dry-run", NULL, "print the plan and stop"},
    {NULL, NULL, NULL}};

/* ------------------------------------------------------------------------------------------------- progress */

typedef struct screen {
    bool live;          /* a terminal: one line that is redrawn */
    double budget_s;    /* seconds after which the sweep stops, resumable; 0: none */
    double last_line_s; /* plain mode: a tick line at most every 10 s, an event at most every half second */
} screen;

static void status_line(char *text, size_t size, const rl_sweep_progress *p)
{
    char eta[32], number[32], speed[48] = "", f1[32] = "";
    rl_format_seconds(eta, p->eta_s);
    rl_format_number(number, p->tokens_per_second);
    if (p->tokens_per_second > 0) snprintf(speed, sizeof speed, "  %s tokens/s", number); /* nobody trains: no speed */
    if (isfinite(p->last_f1)) snprintf(f1, sizeof f1, "  F1 %.4f", p->last_f1);
    snprintf(text, size, "%lld/%lld runs  %lld/%lld stages%s%s%s  ETA %s", (long long)p->runs.done,
             (long long)p->runs.planned, (long long)p->nodes_done, (long long)p->nodes_total,
             p->runs.failed ? "  SOME FAILED" : "", f1, speed, eta);
}

static void on_progress(void *context, const rl_sweep_progress *p)
{
    screen *s = context;
    char text[512];
    const double silent_s = rl_now_s() - s->last_line_s;
    const bool event_line = p->is_event && (silent_s > 0.5 || !strncmp(p->last_event, "FAILED", 6));
    if (s->budget_s > 0 && p->elapsed_s > s->budget_s) rl_stop_request();
    if (!s->live && !event_line && silent_s <= 10.0) return;
    status_line(text, sizeof text, p);
    if (s->live) {
        if (p->is_event) fprintf(stderr, "\r\033[K%s%s%s\n", rl_dim(stderr), p->last_event, rl_plain(stderr));
        fprintf(stderr, "\r\033[K%.*s", rl_terminal_width(stderr) - 1, text);
    } else if (event_line) {
        fprintf(stderr, "relearn: %s [%s]\n", p->last_event, text);
    } else {
        fprintf(stderr, "relearn: %s\n", text);
    }
    fflush(stderr);
    s->last_line_s = rl_now_s();
}

/* mpirun forwards stderr and stdout by separate ways: give the wiped line time to arrive before the outcome is printed. */
static void end_live_view(void)
{
    const struct timespec pause = {0, 50 * 1000 * 1000};
    fprintf(stderr, "\r\033[K");
    fflush(stderr);
    nanosleep(&pause, NULL);
}

/* Beside the progress, on a line of its own. */
static void on_notice(void *context, const char *text)
{
    screen *s = context;
    fprintf(stderr, "%srelearn: note: %s\n", s->live ? "\r\033[K" : "", text);
}

/* ------------------------------------------------------------------------------------------------------- run */

static void print_outcome(const rl_sweep_outcome *outcome, const char *directory)
{
    char elapsed[32], bound[32];
    rl_format_seconds(elapsed, outcome->elapsed_s);
    if (outcome->num_hung)
        printf("%s%d rank%s no more%s: the job ends here; the next start does the rest\n", rl_red(stdout), (int)outcome->num_hung,
               outcome->num_hung == 1 ? " answers" : "s answer", rl_plain(stdout));
    if (outcome->disk_full)
        printf("%sthe disk is full%s: free some of it, or set keep: none; nothing was damaged\n", rl_red(stdout), rl_plain(stdout));
    if (outcome->stopped) {
        printf("%sstopped%s after %s: %lld of %lld runs done; the same command resumes\n", rl_bold(stdout), rl_plain(stdout),
               elapsed, (long long)outcome->runs.done, (long long)outcome->runs.planned);
        return;
    }
    printf("%s%lld of %lld runs done%s", rl_bold(stdout), (long long)outcome->runs.done, (long long)outcome->runs.planned,
           rl_plain(stdout));
    if (outcome->runs.failed)
        printf(", %s%lld failed%s (relearn status %s says why)", rl_red(stdout), (long long)outcome->runs.failed,
               rl_plain(stdout), directory);
    if (outcome->failed_before) printf(", %lld of them in earlier starts and not asked for now", (long long)outcome->failed_before);
    printf("; %lld stages computed in %s", (long long)outcome->stages_computed, elapsed);
    if (outcome->stages_computed && outcome->elapsed_s > 0) {
        rl_format_seconds(bound, outcome->bound_s);
        printf(", workers busy %.1f %% of it; efficiency %.1f %% (no schedule is shorter than %s)",
               100 * outcome->busy_s / (outcome->elapsed_s * outcome->num_workers), 100 * outcome->bound_s / outcome->elapsed_s, bound);
    }
    printf("\n");
    printf("results: %s/results.h5   tables: relearn show %s\n", directory, directory);
}

/* Where DIR will be. -1: unknown. */
static double free_bytes_at(const char *directory)
{
    char *place = rl_strdup(directory, NULL);
    while (place && !rl_path_exists(place)) {
        char *parent = rl_path_parent(place, NULL);
        rl_free(place);
        place = parent;
    }
    double bytes = place ? (double)rl_disk_free_bytes(place) : -1;
    rl_free(place);
    return bytes;
}

/* Before hours of work: is there room for one stage at all, and likely for all that will lie there at once? *forecast_s: how long it may take. */
static rl_status check_disk(double *forecast_s, const rl_plan *plan, const char *directory, int num_ranks, int rank, rl_error *err)
{
    char need[32], have[32];
    rl_simulation forecast;
    rl_simulation_options of = {0};
    rl_simulation_set_ranks(&of, plan->sweep, num_ranks);
    double room = free_bytes_at(directory), least = 0;
    for (int32_t n = 0; n < plan->num_nodes; n++)
        if (!plan->nodes[n].done && 2 * plan->nodes[n].disk_bytes > least) least = 2 * plan->nodes[n].disk_bytes;
    rl_format_bytes(have, room);
    rl_format_bytes(need, least);
    if (room >= 0 && room < least)
        return rl_fail(err, RL_ERR_IO, "%s: %s are free where one stage alone needs %s; nothing was computed", directory, have, need);
    if (rank > 0) return RL_OK;
    rl_status status = rl_simulate(&forecast, plan, &of, err);
    if (status == RL_OK) *forecast_s = forecast.makespan_s;
    if (status != RL_OK || room < 0) return status;
    double held = 0; /* what lies there already is not free any more */
    for (int32_t n = 0; n < plan->num_nodes; n++) /* shards twice: results.h5 has them too */
        if (plan->nodes[n].there) held += (plan->nodes[n].kind == RL_NODE_SHARD ? 2 : 1) * plan->nodes[n].disk_bytes;
    rl_format_bytes(need, forecast.peak_disk_bytes - held);
    if (forecast.peak_disk_bytes - held > room)
        fprintf(stderr,
                "relearn: warning: the sweep may need %s in %s, where %s are free; keep: final or none in the sweep deletes models that no "
                "run needs any more\n",
                need, directory, have);
    return RL_OK;
}

/* /stats of a results.h5 that has none for what it holds now. The runs are safe without: a failure is a warning. Collective. */
static void make_statistics(const rl_sweep_outcome *outcome, const char *directory, int rank)
{
    rl_error err = {0};
    rl_lock lock = {.descriptor = -1};
    json_t *findings = NULL;
    char *path = NULL;
    int64_t num_done = outcome->runs.done;
    bool changed = false;
    int wanted = !outcome->stopped && rank == 0 && num_done > 0 && !rl_stats_is_current(directory, &changed);
    if (changed) fprintf(stderr, "relearn: note: %s/results.h5: /stats is not what was computed here; made again\n", directory);
    if (rank == 0 && !outcome->stopped && num_done == 0) printf("no statistics: none of the runs is done\n");
    MPI_Bcast(&wanted, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (!wanted) return;
    rl_status status = rank == 0 && !(path = rl_path_join(directory, "lock", &err)) ? RL_ERR_MEMORY : RL_OK;
    if (path) status = rl_lock_take(&lock, path, &err);
    status = rl_cluster_agree(MPI_COMM_WORLD, status, &err);
    if (status == RL_OK) status = rl_stats_compute(MPI_COMM_WORLD, directory, &findings, &err);
    if (rank == 0 && status == RL_OK) printf("statistics: in results.h5:/stats   findings: relearn stats %s   pictures: relearn report %s\n", directory, directory);
    if (rank == 0 && status != RL_OK) fprintf(stderr, "relearn: warning: no statistics: %s\n", err.message);
    rl_lock_release(&lock);
    json_decref(findings);
    rl_free(path);
}

/* A rank may sit on another processor than the one that planned: each asks its own, before anything is computed. */
static rl_status check_machine(const rl_plan *plan, int rank, int num_ranks, rl_error *err)
{
    rl_error why = {0};
    char host[64] = "";
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        bool asks = node->kind == RL_NODE_STAGE && !node->done;
        rl_status status = asks ? rl_train_check_machine(&node->stage.settings->train, &why) : RL_OK;
        if (status == RL_OK) continue;
        gethostname(host, sizeof host - 1);
        return num_ranks < 2 ? rl_fail(err, status, "%s", why.message)
                             : rl_fail(err, status, "rank %d on %s: %s", rank, host, why.message);
    }
    return RL_OK;
}

/* Who asks for a file in some folder wants to know now that it will never appear: the sweep itself goes on without. */
static rl_status check_metrics(const char *file, rl_error *err)
{
    if (!file) return RL_OK;
    char *folder = rl_path_parent(file, err);
    if (!folder) return RL_ERR_MEMORY;
    rl_status status = RL_OK;
    if (rl_path_is_directory(file))
        status = rl_fail(err, RL_ERR_USAGE, "--metrics: %s is a folder; a file was expected", file);
    else if (!rl_path_is_directory(folder) || access(folder, W_OK) != 0)
        status = rl_fail(err, RL_ERR_USAGE, "--metrics: %s cannot be written: %s is no folder that this user may write into", file, folder);
    rl_free(folder);
    return status;
}

rl_status rl_planned_work(const rl_planned *p, const char *metrics_file, double budget_s, int *exit_code, rl_error *err)
{
    screen view = {.live = rl_is_terminal(stderr), .budget_s = budget_s};
    int rank = 0, num_ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    rl_sweep_outcome outcome = {0};
    rl_cluster_options cluster = {
        .directory = p->directory, .metrics_file = metrics_file, .context = &view, .on_progress = on_progress,
        .on_notice = on_notice};
    if (rank == 0) rl_planned_warn_of_past(p);
    rl_status status = check_machine(p->plan, rank, num_ranks, err);
    if (status == RL_OK) status = check_disk(&cluster.forecast_s, p->plan, p->directory, num_ranks, rank, err);
    if (status == RL_OK && rank == 0) status = check_metrics(metrics_file, err); /* the coordinator's file: other nodes need no such folder */
    status = rl_cluster_agree(MPI_COMM_WORLD, status, err);
    if (status != RL_OK) return status;
    rl_tell_idle_tasks();
    rl_stop_before_time_limit();
    status = rl_cluster_run(MPI_COMM_WORLD, p->plan, p->cycle, &cluster, &outcome, err);
    if (rank == 0 && view.live) end_live_view();
    if (rank == 0 && (status == RL_OK || outcome.num_hung > 0)) print_outcome(&outcome, p->directory);
    if (outcome.num_hung > 0) { /* ranks that answer no more cannot be waited for */
        if (status != RL_OK) fprintf(stderr, "relearn: %s\n", err->message);
        fflush(stdout);
        MPI_Abort(MPI_COMM_WORLD, status == RL_OK ? 75 : rl_exit_code(status));
    }
    if (status != RL_OK) return status;
    make_statistics(&outcome, p->directory, rank);
    *exit_code = outcome.stopped ? 75 : outcome.runs.failed > outcome.failed_before ? 1 : 0;
    return RL_OK;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planned p = {0};
    rl_sweep_past past = {0};
    rl_planning planning = rl_planning_from(args);
    int rank = 0, num_ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    planning.past = &past;
    planning.must_have_folder = true;
    planning.num_ranks = num_ranks;
    planning.gflops = rank > 0; /* rank 0 forecasts; all at once would measure each other */
    planning.retry_failed = rl_args_flag(args, "retry-failed");
    RL_TRY(rl_planned_make_together(&p, &planning, err));
    if (planning.retry_failed && past.num_starts == 0) {
        status = rl_fail(err, RL_ERR_USAGE, "--retry-failed: no sweep was ever started in %s; without the option one is", p.directory);
        goto cleanup;
    }
    if (rank == 0)
        status = rl_print_plan(rl_args_flag(args, "dry-run") ? stdout : stderr, p.plan, num_ranks, p.directory, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (!rl_args_flag(args, "dry-run") && !rl_args_flag(args, "oversubscribe"))
        RL_TRY(rl_cluster_check_cores(MPI_COMM_WORLD, p.sweep->policy.threads_per_rank, err));
    if (!rl_args_flag(args, "dry-run"))
        status = rl_planned_work(&p, rl_args_text(args, "metrics", NULL), 0, exit_code, err);
    else if (rank == 0)
        rl_planned_warn_of_past(&p);
cleanup:
    rl_planned_clear(&p);
    rl_sweep_past_clear(&past);
    return status;
}

const rl_command rl_command_run = {
    "run", "SWEEP.yaml [--out DIR] [--set PATH=VALUE]... [--filter EXPR] [--retry-failed] [--dry-run]",
    "the sweep: finetune, prune, retrain, analyse; resumes whatever is in DIR", 1, 1, options,
    "Under mpirun or srun, rank 0 coordinates and sleeps between messages, the others work: mpirun -n 3 for two cores.\n"
    "Alone, one process does everything. SIGTERM, SIGINT and SIGUSR1 stop at the next step with exit code 75; the same\n"
    "command goes on from there. What DIR already holds stays in its results.h5, also when --filter or --set ask for less.\n"
    "Inside a Slurm job it stops by itself, in the same way, two minutes before the time limit.\n"
    "A run that failed by itself stays failed until --retry-failed; one that the machine failed (files, memory) is tried again.\n",
    run, true};
