/* cmd_run.c: relearn run SWEEP.yaml [--out DIR] [--set path=value]... [--filter EXPR] [--dry-run] -- the sweep. */
#include "cli.h"
#include "plan_text.h"

#include "relearn/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const rl_option options[] = {
    {"out", "DIR", "where results go (default: results/NAME of the sweep); what is there is resumed"},
    {"set", "PATH=VALUE", "override a setting or an axis: --set train.epochs=1 --set seed=0..3 (repeatable)"},
    {"filter", "EXPR", "only some runs: --filter 'seed<3 && prune.select==concept'"},
    {"dry-run", NULL, "print the plan and stop"},
    {NULL, NULL, NULL}};

/* ------------------------------------------------------------------------------------------------- progress */

typedef struct screen {
    bool live;          /* a terminal: one line that is redrawn */
    double last_line_s; /* plain mode: a tick line at most every 10 s, an event at most every half second */
} screen;

static void status_line(char *text, size_t size, const rl_sweep_progress *p)
{
    char eta[32], speed[32], f1[32] = "";
    rl_format_seconds(eta, p->eta_s);
    rl_format_number(speed, p->tokens_per_second);
    if (isfinite(p->last_f1)) snprintf(f1, sizeof f1, "  F1 %.4f", p->last_f1);
    snprintf(text, size, "%lld/%lld runs  %lld/%lld stages%s%s  %s tokens/s  ETA %s", (long long)p->runs.done,
             (long long)p->runs.planned, (long long)p->nodes_done, (long long)p->nodes_total,
             p->runs.failed ? "  SOME FAILED" : "", f1, speed, eta);
}

static void on_progress(void *context, const rl_sweep_progress *p)
{
    screen *s = context;
    char text[512];
    status_line(text, sizeof text, p);
    if (s->live) {
        if (p->is_event) fprintf(stderr, "\r\033[K%s%s%s\n", rl_dim(stderr), p->last_event, rl_plain(stderr));
        fprintf(stderr, "\r\033[K%.*s", rl_terminal_width(stderr) - 1, text);
    } else if (p->is_event && (rl_now_s() - s->last_line_s > 0.5 || !strncmp(p->last_event, "FAILED", 6))) {
        fprintf(stderr, "relearn: %s [%s]\n", p->last_event, text);
        s->last_line_s = rl_now_s();
    } else if (rl_now_s() - s->last_line_s > 10.0) {
        fprintf(stderr, "relearn: %s\n", text);
        s->last_line_s = rl_now_s();
    }
    fflush(stderr);
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

static char *default_directory(const rl_sweep *sweep, rl_error *err) { return rl_format(err, "results/%s", sweep->name); }

static void print_outcome(const rl_sweep_outcome *outcome, const char *directory)
{
    char elapsed[32];
    rl_format_seconds(elapsed, outcome->elapsed_s);
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
    printf("; %lld stages computed in %s\n", (long long)outcome->stages_computed, elapsed);
    printf("results: %s/results.h5   tables: relearn show %s\n", directory, directory);
}

/* srun without a process manager that this MPI speaks starts N strangers, each rank 0 of 1 (open-mpi/ompi#13523). */
static rl_status refuse_strangers(int num_ranks, rl_error *err)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (!tasks || atoi(tasks) < 2 || num_ranks > 1 || getenv("OMPI_COMM_WORLD_SIZE")) return RL_OK;
    return rl_fail(err, RL_ERR_USAGE,
                   "srun started %s processes that do not see each other as MPI ranks; use mpirun, or srun --mpi=pmix",
                   tasks);
}

static rl_status make_plan(rl_sweep **sweep, rl_cycle **cycle, rl_plan **plan, char **directory, const rl_args *args,
                           rl_error *err)
{
    rl_status status = RL_OK;
    const char *sets[RL_MAX_GIVEN], *out = rl_args_text(args, "out", NULL);
    size_t num_sets = rl_args_all(args, "set", sets);
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(sweep, args->operands[0], sets, num_sets, rl_args_text(args, "filter", NULL), err));
    *directory = out ? rl_strdup(out, err) : default_directory(*sweep, err);
    if (!*directory) return RL_ERR_MEMORY;
    RL_TRY(rl_cycle_create(cycle, *directory, NULL, err));
    RL_TRY(rl_plan_create(plan, *sweep, *cycle, *directory, 0, err));
    for (int64_t r = 0; r < (*plan)->sweep->num_runs && status == RL_OK; r++)
        if ((*plan)->run_lacks[r])
            status = rl_fail(err, RL_ERR_INPUT, "%s; download the model there first (relearn plan costs it without)", (*plan)->run_lacks[r]);
cleanup:
    return status;
}

/* A sweep keeps its stages' models: say before hours of work that they may not fit. Measured where DIR will be. */
static void warn_of_full_disk(const rl_plan *plan, const char *directory)
{
    char need[32], have[32], *place = rl_strdup(directory, NULL);
    while (place && !rl_path_exists(place)) {
        char *parent = rl_path_parent(place, NULL);
        rl_free(place);
        place = parent;
    }
    double free_bytes = place ? (double)rl_disk_free_bytes(place) : -1;
    rl_free(place);
    if (free_bytes < 0 || free_bytes >= plan->disk_bytes) return;
    rl_format_bytes(need, plan->disk_bytes);
    rl_format_bytes(have, free_bytes);
    fprintf(stderr, "relearn: warning: the sweep may need %s in %s, where %s are free\n", need, directory, have);
}

/* /stats of a results.h5 that has none for what it holds now. The runs are safe without: a failure is a warning. Collective. */
static void make_statistics(const rl_sweep_outcome *outcome, const char *directory, int rank)
{
    rl_error err = {0};
    rl_lock lock = {.descriptor = -1};
    json_t *findings = NULL;
    char *path = NULL;
    int64_t num_done = outcome->runs.done;
    int wanted = !outcome->stopped && rank == 0 && num_done > 0 && !rl_stats_is_current(directory);
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

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep *sweep = NULL;
    rl_cycle *cycle = NULL;
    rl_plan *plan = NULL;
    char *directory = NULL;
    int rank = 0, num_ranks = 1;
    rl_sweep_outcome outcome = {0};
    screen view = {.live = rl_is_terminal(stderr)};
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    status = refuse_strangers(num_ranks, err);
    if (status == RL_OK) status = make_plan(&sweep, &cycle, &plan, &directory, args, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rank == 0)
        status = rl_print_plan(rl_args_flag(args, "dry-run") ? stdout : stderr, plan, num_ranks, directory, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rl_args_flag(args, "dry-run")) goto cleanup;
    if (rank == 0) warn_of_full_disk(plan, directory);
    const rl_cluster_options cluster = {directory, &view, on_progress, on_notice};
    status = rl_cluster_run(MPI_COMM_WORLD, plan, cycle, &cluster, &outcome, err);
    if (rank == 0 && view.live) end_live_view();
    if (status != RL_OK) goto cleanup;
    if (rank == 0) print_outcome(&outcome, directory);
    make_statistics(&outcome, directory, rank);
    *exit_code = outcome.stopped ? 75 : outcome.runs.failed ? 1 : 0;
cleanup:
    rl_plan_free(plan);
    rl_cycle_free(cycle);
    rl_sweep_free(sweep);
    rl_free(directory);
    return status;
}

const rl_command rl_command_run = {
    "run", "SWEEP.yaml [--out DIR] [--set PATH=VALUE]... [--filter EXPR] [--dry-run]",
    "the sweep: finetune, prune, retrain, analyse; resumes whatever is in DIR", 1, 1, options,
    "Under mpirun or srun, rank 0 coordinates and sleeps between messages, the others work: mpirun -n 3 for two cores.\n"
    "Alone, one process does everything. SIGTERM, SIGINT and SIGUSR1 stop at the next step with exit code 75; the same\n"
    "command goes on from there.\n",
    run, true};
