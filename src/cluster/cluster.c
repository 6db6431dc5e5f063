/* cluster.c -- a sweep from plan to results.h5 on the ranks of a communicator. */
#include "cluster_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

rl_status rl_cluster_agree(MPI_Comm comm, rl_status status, rl_error *err)
{
    int rank = 0, num_ranks = 1;
    rl_error local = {.status = status};
    if (err) local = *err;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &num_ranks);
    int first = status == RL_OK ? num_ranks : rank;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
    if (first == num_ranks) return RL_OK;
    local.status = status;
    MPI_Bcast(&local, (int)sizeof local, MPI_BYTE, first, comm);
    if (err) *err = local;
    return local.status;
}

/* Every rank planned for itself; a node's number must mean the same stage everywhere. Collective. */
static rl_status agree_on_plan(MPI_Comm comm, const rl_plan *plan, rl_error *err)
{
    rl_hash *hash = NULL;
    char mine[RL_DIGEST_HEX] = "", first[RL_DIGEST_HEX];
    rl_status status = rl_hash_create(&hash, err);
    for (int32_t n = 0; status == RL_OK && n < plan->num_nodes; n++) rl_hash_text(hash, plan->nodes[n].stage.key);
    for (int64_t r = 0; status == RL_OK && r < plan->sweep->num_runs; r++) rl_hash_text(hash, plan->sweep->runs[r].id);
    if (status == RL_OK) rl_hash_digest(hash, mine);
    rl_hash_free(hash);
    memcpy(first, mine, sizeof first);
    MPI_Bcast(first, (int)sizeof first, MPI_CHAR, 0, comm);
    if (status == RL_OK && strcmp(first, mine)) {
        char host[128] = "unknown";
        gethostname(host, sizeof host - 1);
        status = rl_fail(
            err, RL_ERR_INPUT,
            "%s: this rank plans other stages than rank 0: its files differ, or its matrix products do (here %s, %s); "
            "set RELEARN_ISA and RELEARN_GEMM to what all machines have",
            host, rl_gemm_backend(), rl_isa_name());
    }
    return rl_cluster_agree(comm, status, err);
}

/* Rank 0 alone measured this machine: what it predicts of each stage is what all ranks write into their logs. Collective. */
static rl_status share_forecast(MPI_Comm comm, int rank, rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    double *seconds = NULL;
    RL_ALLOC(seconds, plan->num_nodes, err);
    for (int32_t n = 0; n < plan->num_nodes; n++) seconds[n] = plan->nodes[n].seconds;
cleanup:
    status = rl_cluster_agree(comm, status, err);
    if (status == RL_OK) MPI_Bcast(seconds, plan->num_nodes, MPI_DOUBLE, 0, comm);
    for (int32_t n = 0; status == RL_OK && rank > 0 && n < plan->num_nodes; n++) plan->nodes[n].seconds = seconds[n];
    rl_free(seconds);
    return status;
}

/* What a sweep writes lies in its own folder (the folder itself may be a link): a link in its place would lead the writing elsewhere. */
static rl_status refuse_links(const char *directory, rl_error *err)
{
    static const char *const names[] = {"stages", "runs", "logs", "quarantine", "quarantine/stages", "quarantine/runs", "nightly", "lock", "journal.jsonl"};
    rl_status status = RL_OK;
    struct stat info;
    for (size_t i = 0; status == RL_OK && i < sizeof names / sizeof *names; i++) {
        char *path = rl_path_join(directory, names[i], err);
        if (!path) return RL_ERR_MEMORY;
        if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode))
            status = rl_fail(err, RL_ERR_INPUT, "%s: is a symbolic link, and a sweep writes inside its own folder only; remove the link, or give --out "
                                                "the folder that shall hold everything", path);
        rl_free(path);
    }
    return status;
}

static rl_status prepare_directory(const char *directory, rl_error *err)
{
    static const char *const folders[] = {"stages", "runs"};
    rl_status refused = refuse_links(directory, err);
    if (refused != RL_OK) return refused;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path = rl_path_join(directory, folders[i], err);
        rl_status status = path ? rl_make_directories(path, err) : RL_ERR_MEMORY;
        rl_free(path);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}

/* What killed processes left half-written, in the folder itself and among the shards. We hold the lock. */
static rl_status sweep_up(const char *directory, rl_error *err)
{
    char *runs = rl_path_join(directory, "runs", err);
    rl_status status = runs ? rl_remove_temporaries(runs, err) : RL_ERR_MEMORY;
    rl_free(runs);
    return status == RL_OK ? rl_remove_temporaries(directory, err) : status;
}

/* ---------------------------------------------------------------------------------------------------- gather */

/* Rank 0's knowledge of each run as JSON, the same text on every rank: [{"status","error","seconds"}...]. */
static json_t *run_table(const rl_plan *plan, const rl_coordination *state, const char *directory)
{
    json_t *table = json_array();
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        const char *error = state->run_errors[r];
        char *path = rl_plan_shard_path(directory, plan->sweep->runs[r].id, NULL);
        bool whole = path && rl_path_exists(path);
        double seconds = 0;
        for (int32_t i = 0; i < plan->num_run_nodes[r]; i++) seconds += state->node_seconds[plan->run_nodes[r][i]];
        json_array_append_new(table, json_pack("{s:s, s:s, s:o}", "status", whole ? "done" : error ? "failed" : "planned",
                                               "error", whole || !error ? "" : error, "seconds",
                                               isfinite(seconds) ? json_real(seconds) : json_null()));
        rl_free(path);
    }
    return table;
}

/* Names what a gather would hold: unchanged means results.h5 is up to date. */
static rl_status table_digest(const rl_plan *plan, const json_t *table, char digest[RL_DIGEST_HEX], rl_error *err)
{
    rl_hash *hash = NULL;
    rl_status status = rl_hash_create(&hash, err);
    if (status != RL_OK) return status;
    rl_hash_text(hash, plan->sweep->resolved);
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        const json_t *row = json_array_get(table, (size_t)r);
        rl_hash_text(hash, plan->sweep->runs[r].id);
        rl_hash_text(hash, json_string_value(json_object_get(row, "status")));
        rl_hash_text(hash, json_string_value(json_object_get(row, "error")));
    }
    rl_hash_digest(hash, digest);
    rl_hash_free(hash);
    return RL_OK;
}

/* The text of rank 0 on every rank; NULL text on rank 0 (nothing to do) stays NULL everywhere. Collective. */
static rl_status broadcast_text(MPI_Comm comm, char **text, rl_error *err)
{
    int rank = 0;
    int64_t length = *text ? (int64_t)strlen(*text) + 1 : 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(&length, 1, MPI_INT64_T, 0, comm);
    if (length == 0) return RL_OK;
    if (length > INT32_MAX) return rl_fail(err, RL_ERR_INTERNAL, "the run table is too long to send");
    if (rank != 0) *text = rl_calloc((size_t)length, 1, err);
    rl_status status = rl_cluster_agree(comm, *text ? RL_OK : RL_ERR_MEMORY, err);
    if (status == RL_OK) MPI_Bcast(*text, (int)length, MPI_CHAR, 0, comm);
    return status;
}

static rl_status gather_from_table(MPI_Comm comm, const rl_plan *plan, const char *directory, const char *text,
                                   int64_t *num_damaged, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = plan->sweep->num_runs;
    rl_gather_run *runs = NULL;
    char **paths = NULL;
    json_t *table = json_loads(text, 0, NULL);
    RL_ALLOC(runs, n, err);
    RL_ALLOC(paths, n, err);
    for (int64_t r = 0; r < n; r++) {
        const json_t *row = json_array_get(table, (size_t)r), *seconds = json_object_get(row, "seconds");
        runs[r].id = plan->sweep->runs[r].id;
        runs[r].status = json_string_value(json_object_get(row, "status"));
        runs[r].error = json_string_value(json_object_get(row, "error"));
        runs[r].seconds = json_is_number(seconds) ? json_number_value(seconds) : NAN;
        RL_REQUIRE(runs[r].status && runs[r].error, err);
        if (strcmp(runs[r].status, "done")) continue;
        paths[r] = rl_plan_shard_path(directory, runs[r].id, err);
        runs[r].shard = paths[r];
    }
cleanup:
    status = rl_cluster_agree(comm, status, err);
    if (status == RL_OK) status = rl_store_gather(comm, directory, plan->sweep, runs, num_damaged, err);
    for (int64_t r = 0; paths && r < n; r++) rl_free(paths[r]);
    rl_free(paths);
    rl_free(runs);
    json_decref(table);
    return status;
}

/* Is results.h5 what the last gather left? One that was replaced, edited or damaged since goes to DIR/quarantine: the shards have it all. */
static rl_status check_results(bool *whole, const char *results, const rl_cluster_options *options, const rl_gathered *last,
                               rl_journal *journal, rl_error *err)
{
    char content[RL_DIGEST_HEX] = "", statistics[RL_DIGEST_HEX], *moved_to = NULL, text[2048];
    rl_error why = {0};
    *whole = false;
    if (!rl_path_exists(results) || !last->content[0]) return RL_OK; /* a journal of before this was recorded: gather once more */
    rl_status read = rl_store_digest(results, content, &why);
    if (read == RL_OK) read = rl_store_digest_stats(results, statistics, &why); /* whatever it says: nobody can replace what cannot be read */
    *whole = read == RL_OK && !strcmp(content, last->content);
    if (*whole) return RL_OK;
    rl_status status = rl_quarantine(&moved_to, options->directory, results, err);
    if (status != RL_OK) return status;
    snprintf(text, sizeof text, "%s: is not what was gathered here%s%s; moved to %s, made again from the shards", results,
             read == RL_OK ? "" : ": ", read == RL_OK ? "" : why.message, moved_to);
    rl_free(moved_to);
    rl_cluster_notice(options, journal, text);
    return RL_OK;
}

/* The results are there: what they hold goes into the journal, for the next start to compare. */
static rl_status record_gathered(const char *directory, const char *table, rl_journal *journal, rl_error *err)
{
    char content[RL_DIGEST_HEX] = "", *results = rl_path_join(directory, "results.h5", err);
    rl_error why = {0};
    rl_status status = results ? RL_OK : RL_ERR_MEMORY;
    if (results && rl_store_digest(results, content, &why) != RL_OK) /* it was read back whole a moment ago */
        status = rl_fail(err, RL_ERR_IO, "%s", why.message);
    if (status == RL_OK)
        status = rl_journal_append(journal, json_pack("{s:s, s:s, s:s}", "event", "gathered", "digest", table, "content", content), true, err);
    rl_free(results);
    return status;
}

/* Collective. Skipped when results.h5 already holds exactly this. */
static rl_status gather_results(MPI_Comm comm, const rl_plan *plan, const rl_cluster_options *options, const rl_coordination *state,
                                const rl_gathered *last, rl_journal *journal, int64_t *num_damaged, rl_error *err)
{
    rl_status status = RL_OK;
    int rank = 0;
    const char *directory = options->directory;
    char digest[RL_DIGEST_HEX] = "", *text = NULL;
    bool whole = false;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        char *results = rl_path_join(directory, "results.h5", err);
        json_t *table = run_table(plan, state, directory);
        status = results ? table_digest(plan, table, digest, err) : RL_ERR_MEMORY;
        if (status == RL_OK && !strcmp(digest, last->table)) status = check_results(&whole, results, options, last, journal, err);
        if (status == RL_OK && !whole) {
            char *dumped = json_dumps(table, JSON_COMPACT | JSON_REAL_PRECISION(17));
            text = dumped ? rl_strdup(dumped, err) : NULL;
            free(dumped); /* jansson's allocation, not ours */
            if (!text) status = RL_ERR_MEMORY;
        }
        json_decref(table);
        rl_free(results);
    }
    RL_TRY(rl_cluster_agree(comm, status, err));
    RL_TRY(broadcast_text(comm, &text, err));
    if (!text) goto cleanup;
    RL_TRY(gather_from_table(comm, plan, directory, text, num_damaged, err));
    if (rank == 0 && *num_damaged == 0)
        status = record_gathered(directory, digest, journal, err);
    status = rl_cluster_agree(comm, status, err);
cleanup:
    rl_free(text);
    return status;
}

/* Rank 0: shards that were damaged while the sweep ran (rl_inspect found them whole) go to DIR/quarantine; the next start makes them again. */
static rl_status set_damaged_aside(const rl_plan *plan, const rl_cluster_options *options, rl_journal *journal, rl_error *err)
{
    rl_status status = RL_OK;
    char *path = NULL, *moved_to = NULL, text[2048];
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        rl_error why = {0};
        const char *id = plan->sweep->runs[r].id;
        rl_free(path);
        path = rl_plan_shard_path(options->directory, id, err);
        if (!path) return RL_ERR_MEMORY;
        rl_status found = rl_path_exists(path) ? rl_shard_check(path, id, &why) : RL_OK;
        if (found == RL_OK) continue;
        if (found != RL_ERR_INPUT) {
            status = rl_fail(err, found, "%s", why.message);
            goto cleanup;
        }
        RL_TRY(rl_quarantine(&moved_to, options->directory, path, err));
        snprintf(text, sizeof text, "%s; moved to %s, the next start makes it again", why.message, moved_to);
        rl_free(moved_to);
        rl_cluster_notice(options, journal, text);
        RL_TRY(rl_journal_append(journal, json_pack("{s:s, s:s, s:s}", "event", "run_failed", "run", id, "error", why.message),
                                 true, err));
    }
cleanup:
    rl_free(path);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- whole */

typedef struct holdings { /* rank 0's */
    rl_lock lock;
    char start[RL_START_NAME];
    rl_journal *journal;
    rl_coordination state;
    rl_gathered gathered;
    int32_t num_refusals; /* earlier starts that the file system ended, nothing finished since */
} holdings;

/* Of this start alone: host, process and time. */
static rl_status name_start(char start[RL_START_NAME], rl_error *err)
{
    struct timespec now = {0};
    char text[256], host[128] = "unknown";
    gethostname(host, sizeof host - 1);
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(text, sizeof text, "%s %ld %lld.%09ld", host, (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
    if (length < 0) return rl_fail(err, RL_ERR_INTERNAL, "the start has no name");
    snprintf(start, RL_START_NAME, "%016" PRIx64, rl_hash64(text, (size_t)length));
    return RL_OK;
}

static rl_status take_hold(holdings *h, const rl_plan *plan, const rl_cluster_options *options, rl_error *err)
{
    rl_status status = RL_OK;
    const char *directory = options->directory;
    char *notice = NULL;
    char *lock = rl_path_join(directory, "lock", err), *sweep = rl_path_join(directory, "sweep.yaml", err);
    if (!lock || !sweep) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(prepare_directory(directory, err));
    RL_TRY(rl_lock_take(&h->lock, lock, err));
    RL_TRY(name_start(h->start, err));
    RL_TRY(rl_stages_take_over(directory, h->start, err));
    RL_TRY(sweep_up(directory, err));
    RL_TRY(rl_write_file(sweep, plan->sweep->resolved, strlen(plan->sweep->resolved), err));
    RL_TRY(rl_journal_mend(&notice, directory, err));
    RL_TRY(rl_journal_open(&h->journal, directory, err));
    if (notice) rl_cluster_notice(options, h->journal, notice);
    RL_ALLOC(h->state.run_errors, plan->sweep->num_runs, err);
    RL_ALLOC(h->state.node_seconds, plan->num_nodes, err);
    RL_ALLOC(h->state.earlier_s, plan->num_nodes, err);
    RL_TRY(rl_journal_history(plan, directory, h->state.node_seconds, h->state.earlier_s, &h->gathered, &h->num_refusals, err));
cleanup:
    rl_free(notice);
    rl_free(lock);
    rl_free(sweep);
    return status;
}

static void let_go(holdings *h, const rl_plan *plan)
{
    for (int64_t r = 0; h->state.run_errors && r < plan->sweep->num_runs; r++) rl_free(h->state.run_errors[r]);
    rl_free(h->state.run_errors);
    rl_free(h->state.node_seconds);
    rl_free(h->state.earlier_s);
    rl_journal_close(h->journal);
    rl_lock_release(&h->lock);
}

/* One rule for a disk that fills up or fails once work has begun, whoever noticed it: what is finished stays, and the same command goes on
 * when that is mended. So it is a stop (75) and no bad input (2), which means that nothing was computed. But a job that is requeued at 75 must
 * not come back for ever to a disk that stays broken: the fifth start in a row that gets nothing done says so and ends with 2. */
static rl_status stopped_by_storage(const holdings *h, int64_t stages_computed, rl_error *err)
{
    enum { patience = 5 };
    const rl_error why = *err;
    int32_t in_a_row = stages_computed > 0 ? 1 : h->num_refusals + 1;
    if (h->journal) /* may be refused too: then the next start is, before it begins */
        rl_journal_append(h->journal, json_pack("{s:s, s:s}", "event", "storage_refused", "error", why.message), true, NULL);
    if (in_a_row < patience)
        return rl_fail(err, RL_ERR_STOPPED, "%.700s; nothing that was finished is lost: the same command goes on when this is mended", why.message);
    return rl_fail(err, RL_ERR_IO, "%.700s; %d starts in a row ended like this with nothing done: mend the file system, then start by hand; "
                   "nothing that was finished is lost", why.message, (int)in_a_row);
}

rl_status rl_cluster_run(MPI_Comm comm, rl_plan *plan, rl_cycle *cycle, const rl_cluster_options *options,
                         rl_sweep_outcome *outcome, rl_error *err)
{
    rl_status status = RL_OK;
    int rank = 0;
    int64_t num_damaged = 0;
    holdings h = {.lock = {.descriptor = -1}};
    rl_sweep_outcome result = {0};
    rl_rank_log log = {.descriptor = -1};
    rl_work work = {plan, cycle, options->directory, &log, {0}};
    rl_rank_group *group = NULL;
    int num_ranks = 1;
    bool gathering = false;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &num_ranks);
    work.grouping = rl_grouping_of(plan->sweep, num_ranks);
    RL_TRY(agree_on_plan(comm, plan, err));
    RL_TRY(share_forecast(comm, rank, plan, err));
    if (rank == 0) status = take_hold(&h, plan, options, err);
    RL_TRY(rl_cluster_agree(comm, status, err));
    RL_TRY(rl_inspect(comm, plan, options, h.journal, err));
    RL_TRY(rl_rank_group_create(&group, comm, &work.grouping, err));
    MPI_Bcast(h.start, (int)sizeof h.start, MPI_CHAR, 0, comm);
    MPI_Bcast(&h.num_refusals, 1, MPI_INT32_T, 0, comm);
    rl_cycle_set_start(cycle, h.start);
    rl_rank_log_open(&log, options->directory, rank);
    if (rank == 0)
        status = rl_coordinate(comm, &work, options, h.journal, &h.state, &result, err);
    else if (group && rl_rank_group_ranks(group)->rank > 0)
        rl_helper_loop(comm, &work, group);
    else
        rl_worker_loop(comm, &work, group);
    rl_rank_group_free(group);
    if (rank == 0 && status == RL_ERR_IO && h.state.began) status = stopped_by_storage(&h, result.stages_computed, err);
    if (rank == 0 && result.num_hung > 0) { /* one rank will never come: the caller ends the job */
        result.stopped = true;
        *outcome = result;
        goto cleanup;
    }
    RL_TRY(rl_cluster_agree(comm, status, err));
    gathering = true;
    MPI_Bcast(&result, (int)sizeof result, MPI_BYTE, 0, comm);
    if (!result.stopped)
        RL_TRY(gather_results(comm, plan, options, &h.state, &h.gathered, h.journal, &num_damaged, err));
    if (rank == 0 && num_damaged) status = set_damaged_aside(plan, options, h.journal, err);
    RL_TRY(rl_cluster_agree(comm, status, err));
    result.runs.failed += num_damaged; /* a shard that was whole and is damaged now: set aside, redone by the next start */
    result.runs.done -= num_damaged;
    if (rank == 0)
        status = rl_journal_append(h.journal,
                                   json_pack("{s:s, s:I, s:I, s:b, s:f, s:f, s:f, s:i, s:I, s:f, s:f, s:f}", "event", "end", "done",
                                             (json_int_t)result.runs.done, "failed", (json_int_t)result.runs.failed, "stopped",
                                             (int)result.stopped, "elapsed_s", result.elapsed_s, "bound_s", result.bound_s, "busy_s", result.busy_s, "workers",
                                             (int)result.num_workers, "messages", (json_int_t)result.messages, "messages_s",
                                             result.messages_s, "messages_cpu_s", result.messages_cpu_s, "upkeep_s", result.upkeep_s),
                                   true, err);
    RL_TRY(rl_cluster_agree(comm, status, err));
    *outcome = result;
cleanup:
    if (gathering && status == RL_ERR_IO) status = stopped_by_storage(&h, result.stages_computed, err);
    rl_rank_log_close(&log);
    if (rank == 0) let_go(&h, plan);
    return status;
}
