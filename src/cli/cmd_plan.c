/* cmd_plan.c: relearn plan SWEEP.yaml [--ranks N] [--json] -- what a sweep will cost. Computes nothing. */
#include "plan_text.h"
#include "planning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rl_option options[] = {
    {"ranks", "N", "predict the wall time of mpirun -n N (default 1)"},
    {"out", "DIR", "count what DIR already holds as done (default: results/NAME, if it is there)"},
    {"like", "DIR", "stage times as another sweep's journal has them, where DIR has none yet"},
    {"set", "PATH=VALUE", "as in run (repeatable)"},
    {"filter", "EXPR", "as in run"},
    {"json", NULL, "JSON on standard output"},
    {NULL, NULL, NULL}};

static const char *const keeps[] = {"all", "final", "none"};
static const int max_ranks = 1000000; /* the forecast keeps a list of them */

typedef struct totals {
    int64_t num_stages, stages_there, stages_to_make, stages_once_more, runs_there, runs_to_do, runs_broken, runs_left_out;
    int64_t by_kind[RL_NUM_STAGE_KINDS];
    double wall_s, unshared_s, peak_disk_bytes;
} totals;

/* What lies in DIR, what this start makes, and what of that is made once more: runs that are there have needed it (keep deleted it, or it is
 * missing), and runs that are not there need it again. */
static rl_status count_there(totals *t, const rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    bool *was_made = NULL;
    RL_ALLOC(was_made, plan->num_nodes, err);
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        int32_t count = plan->num_run_nodes[r];
        bool there = count && plan->nodes[plan->run_nodes[r][count - 1]].there;
        t->runs_left_out += rl_plan_leaves_out(plan, r);
        for (int32_t i = 0; there && i < count; i++) was_made[plan->run_nodes[r][i]] = true;
    }
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        *(node->kind == RL_NODE_SHARD ? &t->runs_there : &t->stages_there) += node->there;
        *(node->kind == RL_NODE_SHARD ? &t->runs_to_do : &t->stages_to_make) += !node->done;
        t->stages_once_more += was_made[n] && !node->done;
    }
cleanup:
    rl_free(was_made);
    return status;
}

static totals count(const rl_plan *plan, int num_ranks, rl_error *err)
{
    totals t = {.wall_s = NAN};
    if (count_there(&t, plan, err) != RL_OK) return t;
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        if (node->kind == RL_NODE_SHARD) continue;
        t.num_stages++;
        t.by_kind[node->stage.kind]++;
    }
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) t.runs_broken += plan->run_error[r] != NULL;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) /* each run alone */
        for (int32_t i = 0; i < plan->num_run_nodes[r]; i++) {
            const rl_node *node = &plan->nodes[plan->run_nodes[r][i]];
            t.unshared_s += node->ranks * node->seconds;
        }
    rl_simulation forecast;
    rl_simulation_options options_of = {0};
    rl_simulation_set_ranks(&options_of, plan->sweep, num_ranks);
    if (rl_simulate(&forecast, plan, &options_of, err) != RL_OK) return t;
    t.wall_s = forecast.makespan_s;
    t.peak_disk_bytes = forecast.peak_disk_bytes;
    return t;
}

static void print_axes(FILE *out, const rl_sweep *sweep)
{
    for (int32_t a = 0; a < sweep->num_axes; a++) {
        rl_names *values = NULL;
        int32_t id = 0;
        if (rl_names_create(&values, NULL) != RL_OK) return;
        for (int64_t r = 0; r < sweep->num_runs; r++)
            rl_names_intern(values, sweep->runs[r].axis_values[a], strlen(sweep->runs[r].axis_values[a]), &id, NULL);
        fprintf(out, "  %-14s", sweep->axes[a]);
        for (int32_t i = 0; i < rl_names_count(values) && i < 12; i++) fprintf(out, " %s", rl_names_get(values, i));
        if (rl_names_count(values) > 12) fprintf(out, " ... (%d values)", rl_names_count(values));
        fprintf(out, "\n");
        rl_names_free(values);
    }
}

/* The reasons why runs cannot work, each once, the first few: nothing ran yet that status could tell of. */
static void print_reasons(FILE *out, const rl_plan *plan, int64_t runs_broken)
{
    const char *shown[3];
    int n = 0;
    for (int64_t r = 0; r < plan->sweep->num_runs && n < 3; r++) {
        bool is_new = plan->run_error[r] != NULL;
        for (int i = 0; i < n && is_new; i++) is_new = strcmp(shown[i], plan->run_error[r]) != 0;
        if (is_new) shown[n++] = plan->run_error[r];
    }
    if (n) fprintf(out, "  cannot run     %lld runs:\n", (long long)runs_broken);
    for (int i = 0; i < n; i++) fprintf(out, "                 %s\n", shown[i]);
}

/* Folders that hold a config.json and no weights: what a run will need. */
static void print_lacks(FILE *out, const rl_plan *plan)
{
    const char *last = "";
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        const char *lacks = plan->run_lacks[r];
        if (!lacks || !strcmp(last, lacks)) continue;
        if (!last[0]) fprintf(out, "  to download    costs are estimated from config.json; these runs fail until it is there:\n");
        fprintf(out, "                 %s\n", lacks);
        last = lacks;
    }
}

static void print_there(FILE *out, const totals *t)
{
    fprintf(out, "  already there  %lld stages, %lld runs\n", (long long)t->stages_there, (long long)t->runs_there);
    fprintf(out, "  to make        %lld stages, %lld runs", (long long)t->stages_to_make, (long long)t->runs_to_do);
    if (t->stages_once_more)
        fprintf(out, "; %lld of the stages once more, which were deleted (keep) or are missing", (long long)t->stages_once_more);
    fprintf(out, "\n");
}

/* Who trains with whom, and what would use more of the ranks. */
static void print_grouping(FILE *out, const rl_plan *plan, int num_ranks)
{
    const rl_grouping grouping = rl_grouping_of(plan->sweep, num_ranks);
    int recommended = rl_recommended_ranks_per_run(plan, num_ranks), asked = 1;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++)
        if (plan->sweep->runs[r].settings.train.ranks > asked) asked = (int)plan->sweep->runs[r].settings.train.ranks;
    if (grouping.num_groups) {
        int left = grouping.num_workers - grouping.num_groups;
        fprintf(out, "  groups         %d group%s of %d train together", (int)grouping.num_groups,
                grouping.num_groups == 1 ? "" : "s", (int)grouping.size);
        if (left) fprintf(out, "; %d left over, for other stages", left);
        fprintf(out, "\n");
    } else if (asked > 1) {
        fprintf(out, "  groups         ranks_per_run: %d needs %d ranks; until then one rank makes all of a run's shares\n", asked, asked + 1);
    }
    if (recommended)
        fprintf(out, "  hint           more ranks than runs: ranks_per_run: %d would let %s of them work on their training\n",
                recommended, (num_ranks - 1) % recommended ? "most" : "all");
}

rl_status rl_print_plan(FILE *out, const rl_plan *plan, int num_ranks, const char *directory, rl_error *err)
{
    char core[32], left[32], wall[32], disk[32], memory[32], unshared[32];
    const totals t = count(plan, num_ranks, err);
    const int threads = (int)plan->sweep->policy.threads_per_rank;
    if (isnan(t.wall_s)) return RL_ERR_MEMORY;
    rl_format_seconds(core, threads * plan->total_seconds);
    rl_format_seconds(left, threads * plan->remaining_seconds);
    rl_format_seconds(wall, t.wall_s);
    rl_format_bytes(disk, t.peak_disk_bytes);
    rl_format_seconds(unshared, threads * t.unshared_s);
    rl_format_bytes(memory, plan->memory_bytes_per_rank);
    fprintf(out, "%s%s%s: %lld runs", rl_bold(out), plan->sweep->name, rl_plain(out), (long long)plan->sweep->num_runs);
    if (directory) fprintf(out, " into %s", directory);
    fprintf(out, "\n");
    print_axes(out, plan->sweep);
    fprintf(out, "  stages         %lld instead of %lld without sharing:", (long long)t.num_stages,
            (long long)plan->num_stages_unshared);
    for (int k = 0; k < RL_NUM_STAGE_KINDS; k++)
        if (t.by_kind[k]) fprintf(out, " %lld %s", (long long)t.by_kind[k], rl_stage_kind_name((rl_stage_kind)k));
    fprintf(out, "\n");
    if (t.stages_there || t.runs_there) print_there(out, &t);
    if (t.runs_left_out) fprintf(out, "  left out       %lld runs: not asked for now\n", (long long)t.runs_left_out);
    print_reasons(out, plan, t.runs_broken);
    print_lacks(out, plan);
    if (plan->unused_concept) fprintf(out, "  warning        %s\n", plan->unused_concept);
    fprintf(out, "  core time      %s instead of %s without sharing (%.0f %% saved), %s to do\n", core, unshared,
            t.unshared_s > 0 ? 100 * (1 - plan->total_seconds / t.unshared_s) : 0, left);
    fprintf(out, "  wall time      about %s with %d rank%s (%d working", wall, num_ranks, num_ranks == 1 ? "" : "s",
            num_ranks > 1 ? num_ranks - 1 : 1);
    if (threads > 1) fprintf(out, ", %d threads each", threads);
    fprintf(out, ")\n");
    print_grouping(out, plan, num_ranks);
    fprintf(out, "  disk           at most %s at once (keep: %s); memory per rank about %s\n", disk, keeps[plan->sweep->policy.keep], memory);
    return RL_OK;
}

rl_status rl_print_plan_json(FILE *out, const rl_plan *plan, int num_ranks, rl_error *err)
{
    const totals t = count(plan, num_ranks, err);
    json_t *runs = json_array(), *root = NULL;
    char *text = NULL;
    int recommended = rl_recommended_ranks_per_run(plan, num_ranks);
    if (isnan(t.wall_s)) return RL_ERR_MEMORY;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        const rl_run *run = &plan->sweep->runs[r];
        json_t *axes = json_object();
        for (int32_t a = 0; a < plan->sweep->num_axes; a++)
            json_object_set_new(axes, plan->sweep->axes[a], json_string(run->axis_values[a]));
        json_array_append_new(runs, json_pack("{s:s, s:o, s:s?, s:s?}", "id", run->id, "axes", axes, "error", plan->run_error[r],
                                               "lacks", plan->run_lacks[r]));
    }
    const int threads = (int)plan->sweep->policy.threads_per_rank;
    root = json_pack("{s:i, s:f, s:f, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "threads_per_rank",
                     threads, "unshared_core_seconds", threads * t.unshared_s, "peak_disk_bytes", t.peak_disk_bytes, "sweep", plan->sweep->name, "keep",
                     keeps[plan->sweep->policy.keep], "num_runs", (json_int_t)plan->sweep->num_runs, "runs_done", (json_int_t)t.runs_there, "runs_left_out",
                     (json_int_t)t.runs_left_out, "runs_to_do", (json_int_t)t.runs_to_do, "num_stages", (json_int_t)t.num_stages, "num_stages_unshared", (json_int_t)plan->num_stages_unshared, "stages_done",
                     (json_int_t)t.stages_there, "stages_to_make", (json_int_t)t.stages_to_make, "stages_made_once_more",
                     (json_int_t)t.stages_once_more, "ranks", num_ranks, "core_seconds", threads * plan->total_seconds,
                     "remaining_core_seconds", threads * plan->remaining_seconds, "critical_path_seconds",
                     plan->critical_path_seconds, "wall_seconds", t.wall_s, "disk_bytes", plan->disk_bytes,
                     "memory_bytes_per_rank", plan->memory_bytes_per_rank, "recommended_ranks_per_run",
                     recommended ? json_integer(recommended) : json_null(), "runs", runs);
    json_t *kinds = json_object();
    for (int k = 0; k < RL_NUM_STAGE_KINDS; k++)
        if (t.by_kind[k]) json_object_set_new(kinds, rl_stage_kind_name((rl_stage_kind)k), json_integer((json_int_t)t.by_kind[k]));
    if (root) json_object_set(root, "stages", kinds);
    json_decref(kinds);
    if (root && plan->unused_concept) json_object_set_new(root, "warning", json_string(plan->unused_concept));
    text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) fprintf(out, "%s\n", text);
    rl_status status = text ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the plan cannot be printed as JSON");
    free(text); /* jansson's allocation, not ours */
    json_decref(root);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planned p = {0};
    rl_sweep_past past = {0};
    rl_planning planning = rl_planning_from(args);
    planning.past = &past;
    int64_t ranks = 1;
    (void)exit_code;
    RL_TRY(rl_args_int(&ranks, args, "ranks", 1, 1, err));
    if (ranks > max_ranks)
        return rl_fail(err, RL_ERR_USAGE, "--ranks: %lld is more than %d", (long long)ranks, max_ranks);
    planning.num_ranks = (int32_t)ranks;
    RL_TRY(rl_planned_make(&p, &planning, err));
    if (rl_args_flag(args, "json"))
        status = rl_print_plan_json(stdout, p.plan, (int)ranks, err);
    else
        status = rl_print_plan(stdout, p.plan, (int)ranks, p.directory, err);
    rl_planned_warn_of_past(&p);
cleanup:
    rl_planned_clear(&p);
    rl_sweep_past_clear(&past);
    return status;
}

const rl_command rl_command_plan = {"plan", "SWEEP.yaml [--ranks N] [--json]",
                                    "runs, shared stages, core-hours, wall time, disk and memory; computes nothing", 1, 1,
                                    options, NULL, run, false};
