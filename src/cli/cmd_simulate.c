/* cmd_simulate.c: relearn simulate SWEEP.yaml --ranks N -- the scheduler in virtual time. Computes nothing. */
#include "gantt.h"
#include "planning.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const rl_option options[] = {
    {"ranks", "N", "as mpirun -n N: one coordinates, N - 1 work"},
    {"kill-every", "S", "lose a rank every S seconds on average: the job ends and starts again from its checkpoints"},
    {"restart", "S", "seconds from such a loss to the next start's first stage (default 30)"},
    {"spread", "P", "stages take P percent more or less than predicted (standard deviation of the logarithm; default 0)"},
    {"message-us", "U", "the coordinator's microseconds a message (default 50)"},
    {"svg", "FILE", "draw who worked on what when"},
    {"out", "DIR", "count what DIR already holds as done (default: results/NAME, if it is there)"},
    {"like", "DIR", "stage times as another sweep's journal has them"},
    {"set", "PATH=VALUE", "as in run (repeatable)"},
    {"filter", "EXPR", "as in run"},
    {"json", NULL, "JSON on standard output"},
    {NULL, NULL, NULL}};

static rl_status real_option(double *value, const rl_args *args, const char *name, double fallback, double smallest, double largest,
                             rl_error *err)
{
    const char *text = rl_args_text(args, name, NULL);
    char *end = NULL;
    if (!text) {
        *value = fallback;
        return RL_OK;
    }
    errno = 0;
    double parsed = strtod(text, &end);
    if (errno || end == text || *end || !(parsed >= smallest && parsed <= largest))
        return rl_fail(err, RL_ERR_USAGE, "--%s: '%s' is no number from %g to %g", name, text, smallest, largest);
    *value = parsed;
    return RL_OK;
}

static rl_status read_options(rl_simulation_options *o, int64_t *ranks, const rl_args *args, rl_error *err)
{
    rl_status status = RL_OK;
    double message_us = 0, spread_percent = 0;
    const char *given = NULL;
    *o = (rl_simulation_options){.reports_per_s = 2}; /* as workers report while they train */
    RL_TRY(rl_args_need(&given, args, "ranks", err));
    RL_TRY(rl_args_int(ranks, args, "ranks", 1, 1, err));
    if (*ranks > 1000000) return rl_fail(err, RL_ERR_USAGE, "--ranks: %lld is more than 1000000", (long long)*ranks);
    RL_TRY(real_option(&o->kill_every_s, args, "kill-every", 0, 1e-3, 1e12, err));
    RL_TRY(real_option(&o->restart_s, args, "restart", 30, 0, 1e9, err));
    RL_TRY(real_option(&message_us, args, "message-us", 50, 0, 1e9, err));
    RL_TRY(real_option(&spread_percent, args, "spread", 0, 0, 300, err));
    o->message_s = *ranks > 1 ? 1e-6 * message_us : 0; /* alone nothing is sent */
    o->spread = 0.01 * spread_percent;
cleanup:
    return status;
}

static void print_text(const rl_plan *plan, const rl_simulation *r, int64_t ranks, const rl_simulation_options *o, double cpu_s)
{
    char makespan[32], bound[32], path[32], work[32], lost[32], disk[32], messages[32], nodes[32];
    rl_format_seconds(makespan, r->makespan_s);
    rl_format_seconds(bound, r->bound_s);
    rl_format_seconds(path, r->critical_path_s);
    rl_format_seconds(work, r->work_s);
    rl_format_seconds(lost, r->lost_s);
    rl_format_bytes(disk, r->peak_disk_bytes);
    rl_format_number(messages, (double)r->messages);
    rl_format_number(nodes, (double)r->num_nodes);
    printf("%s%s%s: %lld runs, %s stages and shards to do, on %lld rank%s (%d working)\n", rl_bold(stdout), plan->sweep->name,
           rl_plain(stdout), (long long)plan->sweep->num_runs, nodes, (long long)ranks, ranks == 1 ? "" : "s", (int)o->num_workers);
    printf("  makespan       %s; no schedule is shorter than %s\n", makespan, bound);
    printf("  efficiency     %.2f %% of that bound; workers busy %.2f %% of the time\n", 100 * r->efficiency, 100 * r->busy_share);
    printf("  work           %s in all; the longest path takes %s\n", work, path);
    if (r->num_kills) printf("  losses         %lld ranks lost, %s done twice\n", (long long)r->num_kills, lost);
    printf("  messages       %s, %.1f a second; coordinator busy %.2f %% at %.0f us a message\n", messages, r->messages_per_s,
           100 * r->coordinator_load, 1e6 * o->message_s);
    printf("  scheduler      %.2f us of this machine's time a message\n", r->num_nodes ? 1e6 * cpu_s / (double)(2 * r->num_nodes) : 0);
    printf("  disk           at most %s at once\n", disk);
}

static rl_status print_json(const rl_plan *plan, const rl_simulation *r, int64_t ranks, const rl_simulation_options *o, double cpu_s,
                            rl_error *err)
{
    json_t *root = json_pack(
        "{s:s, s:I, s:I, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "sweep", plan->sweep->name,
        "num_runs", (json_int_t)plan->sweep->num_runs, "ranks", (json_int_t)ranks, "workers", (int)o->num_workers, "num_nodes",
        (json_int_t)r->num_nodes, "makespan_s", r->makespan_s, "bound_s", r->bound_s, "critical_path_s", r->critical_path_s, "work_s",
        r->work_s, "lost_s", r->lost_s, "efficiency", r->efficiency, "busy_share", r->busy_share, "kills", (json_int_t)r->num_kills,
        "messages", (json_int_t)r->messages, "messages_per_s", r->messages_per_s, "coordinator_load", r->coordinator_load,
        "message_s", o->message_s, "scheduler_s_per_message", r->num_nodes ? cpu_s / (double)(2 * r->num_nodes) : 0, "peak_disk_bytes",
        r->peak_disk_bytes);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) printf("%s\n", text);
    rl_status status = text ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the simulation cannot be printed as JSON");
    free(text); /* jansson's allocation, not ours */
    json_decref(root);
    return status;
}

static rl_status simulate(const rl_args *args, const rl_plan *plan, rl_simulation_options *o, int64_t ranks, rl_error *err)
{
    rl_status status = RL_OK;
    rl_simulation result;
    rl_gantt gantt = rl_gantt_begin(plan, o->num_workers);
    const char *svg = rl_args_text(args, "svg", NULL);
    if (svg) {
        o->context = &gantt;
        o->on_interval = rl_gantt_add;
    }
    clock_t start = clock();
    RL_TRY(rl_simulate(&result, plan, o, err));
    double cpu_s = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (ranks == 1) result.messages = 0, result.messages_per_s = 0; /* one process tells itself */
    if (svg) RL_TRY(rl_gantt_write(&gantt, svg, &result, err));
    if (rl_args_flag(args, "json"))
        RL_TRY(print_json(plan, &result, ranks, o, cpu_s, err));
    else
        print_text(plan, &result, ranks, o, cpu_s);
cleanup:
    rl_gantt_free(&gantt);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planned p = {0};
    rl_sweep_past past = {0};
    rl_planning planning = rl_planning_from(args);
    planning.past = &past;
    rl_simulation_options o;
    int64_t ranks = 1;
    (void)exit_code;
    RL_TRY(read_options(&o, &ranks, args, err));
    planning.num_ranks = (int32_t)ranks;
    RL_TRY(rl_planned_make(&p, &planning, err));
    rl_simulation_set_ranks(&o, p.sweep, (int32_t)ranks);
    RL_TRY(simulate(args, p.plan, &o, ranks, err));
cleanup:
    rl_planned_clear(&p);
    rl_sweep_past_clear(&past);
    return status;
}

const rl_command rl_command_simulate = {
    "simulate", "SWEEP.yaml --ranks N [--kill-every S] [--svg FILE] [--json]",
    "the same scheduler in virtual time: makespan, efficiency, coordinator load", 1, 1, options,
    "Stages take as long as plan predicts. Efficiency is the share of the shortest possible makespan, which is the longer of the\n"
    "longest path and the work divided by the workers. A lost rank ends the MPI job; training goes on from its last epoch.\n",
    run, false};
