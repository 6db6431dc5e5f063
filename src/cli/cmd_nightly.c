/* cmd_nightly.c: relearn nightly SWEEP.yaml --budget 2h [--out DIR] -- as many new seeds as fit, then: did anything move? */
#include "nightly.h"
#include "plan_text.h"
#include "planning.h"

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

/* ------------------------------------------------------------------------------------------------------- seeds */

static bool is_whole(const rl_night *night, int64_t seed)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%lld", (long long)seed);
    int32_t id = rl_names_find(night->seeds, text, (size_t)length);
    return id >= 0 && night->seed_cells[id] == rl_names_count(night->cells);
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

static rl_status with_seeds(rl_planning *planning, char **set, const rl_planning *base, const int64_t *seeds, int64_t count, rl_error *err)
{
    *planning = *base;
    rl_status status = seeds_option(set, seeds, count, err);
    if (status == RL_OK) planning->sets[planning->num_sets++] = *set;
    return status;
}

static rl_status plan_seeds(rl_planned *out, char **set, const rl_planning *base, const int64_t *seeds, int64_t count, rl_error *err)
{
    rl_planning planning;
    rl_status status = with_seeds(&planning, set, base, seeds, count, err);
    return status == RL_OK ? rl_planned_make(out, &planning, err) : status;
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
static void look_for_begun_seeds(rl_night *night, const char *directory)
{
    rl_error why = {0};
    rl_sweep_status *known = NULL;
    if (rl_sweep_status_read(&known, directory, &why) != RL_OK) return; /* the first night */
    for (int64_t r = 0; r < known->num_runs; r++) {
        const char *seed = json_string_value(json_object_get(known->runs[r].axes, "seed"));
        int64_t number = seed ? strtoll(seed, NULL, 10) : INT64_MIN;
        if (number > night->largest_seed) night->largest_seed = number;
    }
    rl_sweep_status_free(known);
}

/* Ascending from the sweep's smallest: those that lack runs that can still come, then unseen ones. seeds [MAX_SEEDS] */
static rl_status next_seeds(int64_t *seeds, const rl_night *night, const rl_planning *base, rl_error *err)
{
    int64_t n = 0, seed = smallest_seed(night->asked);
    for (; seed <= night->largest_seed && n < MAX_SEEDS; seed++)
        if (!is_whole(night, seed)) seeds[n++] = seed;
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

static void print_tonight(const rl_night *night, const int64_t *seeds, int64_t count)
{
    int64_t begun = 0;
    while (begun < count && seeds[begun] <= night->largest_seed) begun++;
    if (begun) printf("tonight: %lld seed%s that lack%s runs, from %lld on\n", (long long)begun, begun == 1 ? "" : "s", begun == 1 ? "s" : "", (long long)seeds[0]);
    if (begun == count) return;
    printf("tonight: %lld new seed%s, %lld to %lld\n", (long long)(count - begun), count - begun == 1 ? "" : "s", (long long)seeds[begun],
           (long long)seeds[count - 1]);
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

/* The sweep as the file asks for it, the folder, and on rank 0, which alone chooses and compares, what the folder holds. */
static rl_status begin(rl_night *night, rl_sweep **asked, rl_planning *planning, char **directory, int rank, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(asked, planning->file, planning->sets, planning->num_sets, NULL, err));
    *directory = planning->directory ? rl_strdup(planning->directory, err) : rl_format(err, "results/%s", (*asked)->name);
    if (!*directory) return RL_ERR_MEMORY;
    planning->directory = *directory;
    planning->must_have_folder = planning->both = true;
    if (rank > 0) return RL_OK;
    RL_TRY(rl_night_begin(night, *asked, *directory, err));
    look_for_begun_seeds(night, *directory);
cleanup:
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planning planning = rl_planning_from(args), tonight;
    rl_sweep_past past = {0};
    rl_planned p = {0};
    rl_sweep *asked = NULL;
    rl_night night = {.largest_seed = INT64_MIN};
    char *directory = NULL, *set = NULL;
    int64_t seeds[MAX_SEEDS], count = 0, most = MAX_SEEDS;
    double budget_s = 0, q = 0;
    int rank = 0, num_ranks = 1, drift = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    planning.past = &past;
    planning.num_ranks = num_ranks;
    planning.gflops = rank > 0; /* rank 0 forecasts; all at once would measure each other */
    status = parse_budget(&budget_s, args, err);
    if (status == RL_OK) status = parse_q(&q, args, err);
    if (status == RL_OK) status = rl_args_int(&most, args, "seeds", MAX_SEEDS, 1, err);
    if (status == RL_OK) status = begin(&night, &asked, &planning, &directory, rank, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    if (rank == 0) status = next_seeds(seeds, &night, &planning, err);
    if (rank == 0 && status == RL_OK) /* rates are measured: each rank would choose for itself */
        status = choose_count(&count, &planning, seeds, most < MAX_SEEDS ? most : MAX_SEEDS, budget_s, err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    MPI_Bcast(&count, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    MPI_Bcast(seeds, (int)count, MPI_INT64_T, 0, MPI_COMM_WORLD);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, with_seeds(&tonight, &set, &planning, seeds, count, err), err));
    RL_TRY(rl_planned_make_together(&p, &tonight, err));
    if (rank == 0) print_tonight(&night, seeds, count);
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
    if (rank == 0) status = rl_night_read_shards(&night, RL_NIGHT_NOW, directory, err);
    if (rank == 0 && status == RL_OK) {
        bool moved = false;
        status = rl_night_report(&moved, &night, directory, q, err);
        drift = moved;
    }
    status = rl_cluster_agree(MPI_COMM_WORLD, status, err);
    MPI_Bcast(&drift, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (drift) *exit_code = 3; /* also of a night that was cut short: the next one finishes it, and might be too late to tell */
cleanup:
    rl_planned_clear(&p);
    rl_sweep_past_clear(&past);
    rl_night_clear(&night);
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
