/* coordinator.c -- rank 0: scheduler and journal, fed by reports. Alone, the same code feeds itself. */
#include "coordinator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double tick_interval_s = 1.0, progress_file_interval_s = 2.0;
static const double upkeep_interval_s = 0.05; /* at most so long does a record wait for its write and fsync while messages keep coming */
static const double least_patience_s = 5.0; /* times policy.stuck_after */

/* -------------------------------------------------------------------------------------------------- records */

static const char *failure_kind(rl_status status)
{
    static const char *const names[] = {"", "usage", "input", "io", "memory", "diverged", "stuck", "internal"};
    return names[status];
}

/* What goes wrong first ends the sweep, and is what it says. */
static rl_error *first_error(const coordinator *c) { return c->status == RL_OK ? c->err : NULL; }

static void keep_first(coordinator *c, rl_status status)
{
    if (c->status == RL_OK) c->status = status;
}

/* Written when no message waits; sync: and then, or soon, synchronised. */
static void record(coordinator *c, json_t *event, bool sync)
{
    keep_first(c, rl_journal_hold(c->journal, event, first_error(c)));
    c->sync_due |= sync;
}

/* What every message that matters leaves in the journal: a record of a node. Kinds, keys and ids need no escapes, so their text is made here,
 * in a third of the time that a tree of JSON takes. more: a format of further members, each after a comma. */
RL_PRINTF(6, 7) static void record_node(coordinator *c, const char *event, int32_t worker, int32_t index, bool sync, const char *more, ...)
{
    const rl_node *node = &c->work->plan->nodes[index];
    const char *run = c->work->plan->sweep->runs[node->run].id;
    const bool shard = node->kind == RL_NODE_SHARD;
    va_list arguments;
    c->record.length = 0;
    rl_status status = rl_buffer_printf(&c->record, first_error(c),
                                        "\"event\":\"%s\",\"stage\":\"%s\",\"round\":%d,\"key\":\"%s\",\"run\":\"%s\",\"worker\":%d", event,
                                        rl_work_kind_name(rl_work_kind(node)), shard ? 0 : (int)node->stage.round,
                                        shard ? run : node->stage.key, run, (int)worker);
    va_start(arguments, more);
    if (status == RL_OK) status = rl_buffer_vprintf(&c->record, first_error(c), more, arguments);
    va_end(arguments);
    if (status == RL_OK) status = rl_journal_hold_text(c->journal, c->record.data, c->record.length, first_error(c));
    keep_first(c, status);
    c->sync_due |= sync;
}

/* -------------------------------------------------------------------------------------------------- upkeep */

/* A full disk stops the sweep while what runs can still be put away: nothing is damaged, the same command goes on. */
static void watch_disk(coordinator *c)
{
    double disk_free = (double)rl_disk_free_bytes(c->options->directory);
    if (disk_free < 0 || disk_free >= 0.25 * c->reserve_bytes || c->outcome->disk_full) return;
    c->outcome->disk_full = true;
    record(c, json_pack("{s:s, s:o}", "event", "disk_full", "free_bytes", json_real(disk_free)), true);
    rl_stop_request();
}

static void tell(coordinator *c, bool is_event)
{
    rl_sweep_progress p = coordinator_progress(c, is_event);
    c->last_tick_s = rl_now_s();
    if (c->options->on_progress) c->options->on_progress(c->options->context, &p);
}

/* What waits for a disk: done when no message waits, so that a worker gets its next stage first. Nothing depends on it: stages and shards are
 * on disk before their report is sent, and what a crash loses of the journal, their folders tell. One write and one fsync commit all that
 * arrived together. */
static void keep_up(coordinator *c)
{
    double start = rl_now_s();
    c->last_upkeep_s = start;
    if (c->sync_due) {
        keep_first(c, rl_journal_sync(c->journal, first_error(c)));
        c->sync_due = false;
        c->last_sync_s = rl_now_s();
    } else {
        keep_first(c, rl_journal_flush(c->journal, first_error(c)));
    }
    for (int64_t i = 0; i < c->num_finished; i++) rl_cleaning_run_done(&c->cleaning, c->work, c->finished[i]);
    c->num_finished = 0;
    if (start - c->last_file_s >= progress_file_interval_s) {
        rl_sweep_progress p = coordinator_progress(c, false);
        coordinator_write_progress(c, &p, false);
        watch_disk(c);
    }
    c->outcome->upkeep_s += rl_now_s() - start;
}

/* --------------------------------------------------------------------------------------------------- events */

static void started(coordinator *c, int32_t worker, int32_t node)
{
    c->running[worker] = node;
    c->running_since[worker] = rl_now_s();
    record_node(c, "started", worker, node, false, "%s", "");
}

/* Every run that this failure takes down gets its reason, once. Not synchronised one by one (10,000 runs may share a stage):
 * what a crash loses of this, the next start finds out again. */
static void blame_run(coordinator *c, int64_t r, const rl_report *report, const char *what)
{
    if (c->state->run_errors[r]) return;
    c->state->run_errors[r] = rl_strdup(report->error.message, NULL);
    json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:s}", "event", "run_failed", "run", c->work->plan->sweep->runs[r].id, "error",
                              report->error.message, "kind", failure_kind(report->error.status), "stage", what);
    json_object_set_new(event, "log", json_string(report->log));
    record(c, event, false);
}

/* What failed and all that needed it will not come. */
static void give_up_fallen(coordinator *c, const rl_report *report)
{
    char what[256];
    int32_t count = 0;
    const int32_t *fallen = rl_scheduler_fallen(c->scheduler, &count);
    coordinator_describe(c, report->node, what, sizeof what);
    for (int32_t i = 0; i < count; i++) {
        const rl_node *node = &c->work->plan->nodes[fallen[i]];
        c->left_s[rl_work_kind(node)] -= node->seconds;
        if (node->kind == RL_NODE_SHARD) blame_run(c, node->run, report, what);
    }
    json_array_append_new(c->failures, json_pack("{s:s, s:s}", "task", what, "error", report->error.message));
    if (json_array_size(c->failures) > 10) json_array_remove(c->failures, 0);
}

static void record_returned(coordinator *c, int32_t worker, const rl_report *report)
{
    record_node(c, "returned", worker, report->node, false, ",\"seconds\":%.17g", report->seconds);
}

/* The operating system refused (a full disk above all): no fault of the run, and the next one would meet it too. The sweep stops; all that
 * is finished is on disk, and the next start goes on. */
static void storage_failed(coordinator *c, int32_t worker, const rl_report *report)
{
    rl_scheduler_returned(c->scheduler, worker, report->node);
    if (c->status == RL_OK)
        c->status = rl_fail(c->err, RL_ERR_IO, "%s", report->error.message);
    record_returned(c, worker, report);
}

static void node_done(coordinator *c, int32_t worker, const rl_report *report, const char *what)
{
    const rl_node *node = &c->work->plan->nodes[report->node];
    int kind = rl_work_kind(node);
    rl_scheduler_done(c->scheduler, worker, report->node);
    c->nodes_done++;
    c->outcome->stages_computed++;
    c->outcome->busy_s += report->seconds;
    c->took_s[report->node] = report->seconds;
    c->state->node_seconds[report->node] = c->state->earlier_s[report->node] + report->seconds;
    c->left_s[kind] -= node->seconds;
    c->pace.seen_s[kind] += report->seconds;
    c->pace.predicted_s[kind] += node->seconds;
    const bool sync = node->kind == RL_NODE_SHARD || rl_now_s() - c->last_sync_s > upkeep_interval_s;
    record_node(c, "done", worker, report->node, sync, ",\"seconds\":%.17g,\"modelled_s\":%.17g", report->seconds, node->modelled_s);
    if (node->kind == RL_NODE_SHARD) c->finished[c->num_finished++] = node->run;
    snprintf(c->event, sizeof c->event, "finished %s in %.1f s", what, report->seconds);
}

static void node_failed(coordinator *c, int32_t worker, const rl_report *report, const char *what)
{
    bool again = c->attempts[report->node] < c->work->plan->sweep->policy.retries;
    json_t *why = json_pack("{s:s}", "kind", failure_kind(report->error.status));
    json_object_set_new(why, "error", json_string(report->error.message));
    if (report->log[0]) json_object_set_new(why, "log", json_string(report->log));
    char *text = json_dumps(why, JSON_COMPACT); /* {...} */
    record_node(c, again ? "retry" : "failed", worker, report->node, true, "%s%.*s", text ? "," : "", text ? (int)strlen(text) - 2 : 0, text ? text + 1 : "");
    free(text);
    json_decref(why);
    if (again) {
        c->attempts[report->node]++;
        c->retries++;
        rl_scheduler_returned(c->scheduler, worker, report->node);
        snprintf(c->event, sizeof c->event, "once more: %s: %.200s", what, report->error.message);
        return;
    }
    rl_scheduler_failed(c->scheduler, worker, report->node);
    c->nodes_failed++;
    give_up_fallen(c, report);
    snprintf(c->event, sizeof c->event, "FAILED %s: %.200s", what, report->error.message);
}

static void node_returned(coordinator *c, int32_t worker, const rl_report *report, const char *what)
{
    rl_scheduler_returned(c->scheduler, worker, report->node);
    rl_stop_request(); /* a rank that was signalled alone would get it back at once, and return it for ever */
    record_returned(c, worker, report);
    snprintf(c->event, sizeof c->event, "stopped %s; it resumes where it was", what);
}

/* Handed back because it took too long: a failure, whatever the worker called it. */
static void call_it_stuck(const coordinator *c, rl_report *report)
{
    const rl_node *node = &c->work->plan->nodes[report->node];
    report->kind = RL_REPORT_FAILED;
    report->error.status = RL_ERR_STOPPED; /* failure_kind: stuck */
    snprintf(report->error.message, sizeof report->error.message, "took more than %g times its predicted %.1f s (stuck_after)",
             c->work->plan->sweep->policy.stuck_after, node->seconds);
}

static void finished(coordinator *c, int32_t worker, const rl_report *sent)
{
    char what[256];
    rl_report stuck;
    const rl_report *report = sent;
    coordinator_describe(c, sent->node, what, sizeof what);
    if (c->given_up_s[worker] > 0 && sent->kind == RL_REPORT_RETURNED && !rl_stop_requested()) {
        stuck = *sent;
        call_it_stuck(c, &stuck);
        report = &stuck;
    }
    c->running[worker] = -1;
    c->given_up_s[worker] = 0;
    c->idle[c->num_idle++] = worker;
    c->speed[worker] = 0;
    if (report->kind == RL_REPORT_FAILED && report->error.status == RL_ERR_IO) {
        storage_failed(c, worker, report);
        return;
    }
    if (report->kind == RL_REPORT_DONE)
        node_done(c, worker, report, what);
    else if (report->kind == RL_REPORT_FAILED)
        node_failed(c, worker, report, what);
    else
        node_returned(c, worker, report, what);
    tell(c, true);
}

static void handle(coordinator *c, int32_t worker, const rl_report *report)
{
    if (report->kind == RL_REPORT_STEP) {
        c->speed[worker] = report->tokens_per_second;
    } else if (report->kind == RL_REPORT_F1) {
        c->last_f1 = report->f1;
        if (isfinite(report->f1))
            record_node(c, "f1", worker, report->node, false, ",\"f1\":%.17g", report->f1);
        else
            record_node(c, "f1", worker, report->node, false, ",\"f1\":null");
    } else if (report->kind == RL_REPORT_NOTICE) {
        record(c, rl_notice_event(report->error.message), false);
        if (c->options->on_notice) c->options->on_notice(c->options->context, report->error.message);
    } else {
        finished(c, worker, report);
    }
}

/* ------------------------------------------------------------------------------------------------- one process */

static void send_to_self(void *context, const rl_report *report)
{
    coordinator *c = context;
    handle(c, 0, report);
    keep_up(c);
    if (rl_now_s() - c->last_tick_s >= tick_interval_s) tell(c, false);
}

/* Longer than any stage of its kind should take. */
static bool takes_too_long(const coordinator *c, int32_t worker)
{
    double multiple = c->work->plan->sweep->policy.stuck_after;
    if (multiple <= 0 || c->running[worker] < 0) return false;
    const rl_node *node = &c->work->plan->nodes[c->running[worker]];
    double predicted = node->seconds * fmax(coordinator_factor(&c->pace, rl_work_kind(node)), 1);
    return rl_now_s() - c->running_since[worker] > multiple * fmax(predicted, least_patience_s);
}

static bool self_should_stop(void *context)
{
    coordinator *c = context;
    if (c->given_up_s[0] <= 0 && takes_too_long(c, 0)) c->given_up_s[0] = rl_now_s();
    return c->status != RL_OK || c->given_up_s[0] > 0;
}

static void drive_alone(coordinator *c)
{
    const rl_report_sink sink = {c, send_to_self, self_should_stop};
    for (;;) {
        if (rl_stop_requested() || c->status != RL_OK) rl_scheduler_stop(c->scheduler);
        int32_t node = rl_scheduler_assign(c->scheduler, 0);
        if (node < 0) return;
        c->num_idle = 0;
        started(c, 0, node);
        keep_up(c);
        rl_work_on_node(c->work, node, &sink);
    }
}

/* ------------------------------------------------------------------------------------------------ many ranks */

/* The place of an idle worker that gets something, and what: the last idle one, those that train first. -1: none. */
static int32_t next_idle(coordinator *c, int32_t *node)
{
    int32_t first_light = rl_grouping_first_light(&c->work->grouping);
    for (int light = 0; light < 2; light++)
        for (int32_t i = c->num_idle - 1; i >= 0; i--) {
            if ((c->idle[i] >= first_light) != light) continue;
            *node = rl_scheduler_assign(c->scheduler, c->idle[i]);
            if (*node >= 0) return i;
            if (!light) break; /* nothing is ready at all */
        }
    return -1;
}

static void assign_idle(coordinator *c, MPI_Comm comm)
{
    int32_t node = -1;
    if (rl_stop_requested() || c->status != RL_OK) return; /* the loop is about to tell all */
    for (int32_t place; (place = next_idle(c, &node)) >= 0;) {
        int32_t w = c->idle[place];
        c->idle[place] = c->idle[--c->num_idle];
        c->order[w] = ++c->num_orders;
        MPI_Send((int32_t[]){node, c->order[w]}, 2, MPI_INT32_T, coordinator_rank(c, w), RL_TAG_ASSIGN, comm);
        started(c, w, node);
    }
}

static bool nobody_works(const coordinator *c)
{
    for (int32_t w = 0; w < c->num_workers; w++)
        if (c->running[w] >= 0) return false;
    return true;
}

/* A stage that takes far too long is first asked for, which training heeds at its next step. A rank that does not answer is left
 * alone: its node is failed, the others go on without it, and the job ends with 75 (an MPI rank cannot be replaced). */
static void watch_workers(coordinator *c, MPI_Comm comm)
{
    /* All that is idle was offered what is ready since the last look: what is left is for ranks that answer no more. */
    if (c->outcome->num_hung > 0 && nobody_works(c)) rl_stop_request();
    for (int32_t w = 0; w < c->num_workers; w++) {
        double asked = c->given_up_s[w];
        if (asked <= 0 && takes_too_long(c, w)) {
            c->given_up_s[w] = rl_now_s();
            MPI_Send((int32_t[]){c->running[w], c->order[w]}, 2, MPI_INT32_T, coordinator_rank(c, w), RL_TAG_GIVE_UP, comm);
            record_node(c, "stuck", w, c->running[w], true, "%s", "");
        } else if (asked > 0 && rl_now_s() - asked > c->work->plan->sweep->policy.hung_after_s && !c->hung[w]) {
            rl_report report = {.kind = RL_REPORT_FAILED, .node = c->running[w], .error = {.status = RL_ERR_STOPPED}};
            char what[256];
            snprintf(report.error.message, sizeof report.error.message,
                     "rank %d answers no more, %.0f s after it was asked to give up this stage", (int)coordinator_rank(c, w), rl_now_s() - asked);
            coordinator_describe(c, report.node, what, sizeof what);
            c->hung[w] = true;
            c->outcome->num_hung++;
            c->running[w] = -1;
            node_failed(c, w, &report, what);
            tell(c, true);
        }
    }
}

static bool receive_one(coordinator *c, MPI_Comm comm)
{
    int waiting = 0;
    MPI_Status from;
    rl_report report;
    MPI_Iprobe(MPI_ANY_SOURCE, RL_TAG_REPORT, comm, &waiting, &from);
    if (!waiting) return false;
    double start = rl_now_s(), cpu_start = rl_thread_cpu_s();
    report.error.status = RL_OK;
    report.error.message[0] = report.log[0] = '\0';
    MPI_Recv(&report, (int)sizeof report, MPI_BYTE, from.MPI_SOURCE, RL_TAG_REPORT, comm, &from);
    int32_t worker = rl_grouping_worker(&c->work->grouping, from.MPI_SOURCE);
    if (!c->hung[worker]) { /* a late answer comes for a node that is not its any more */
        handle(c, worker, &report);
        assign_idle(c, comm);
    }
    c->outcome->messages++;
    c->outcome->messages_s += rl_now_s() - start;
    c->outcome->messages_cpu_s += rl_thread_cpu_s() - cpu_start;
    return true;
}

static void stop_all(coordinator *c, MPI_Comm comm)
{
    rl_scheduler_stop(c->scheduler);
    for (int32_t w = 0; w < c->num_workers; w++) MPI_Send(NULL, 0, MPI_BYTE, coordinator_rank(c, w), RL_TAG_STOP, comm);
    record(c, json_pack("{s:s}", "event", "stopping"), true);
}

static void drive_ranks(coordinator *c, MPI_Comm comm)
{
    bool stopping = false;
    int idle_polls = 0;
    while (!rl_scheduler_finished(c->scheduler)) {
        if (!stopping && (rl_stop_requested() || c->status != RL_OK)) {
            stop_all(c, comm);
            stopping = true;
        }
        assign_idle(c, comm);
        bool received = receive_one(c, comm);
        if (!received || rl_now_s() - c->last_upkeep_s >= upkeep_interval_s) keep_up(c);
        if (received)
            idle_polls = 0;
        else
            rl_poll_pause(&idle_polls);
        if (rl_now_s() - c->last_watch_s >= tick_interval_s) {
            watch_workers(c, comm);
            c->last_watch_s = rl_now_s();
        }
        if (rl_now_s() - c->last_tick_s >= tick_interval_s) tell(c, false);
    }
}

/* Workers wait for this in any case, also when rank 0 could not even begin. */
static void dismiss(MPI_Comm comm, int num_ranks)
{
    const int32_t leave[] = {-1, 0};
    for (int w = 1; w < num_ranks; w++) MPI_Send(leave, 2, MPI_INT32_T, w, RL_TAG_ASSIGN, comm);
}

/* ----------------------------------------------------------------------------------------------------- whole */

static rl_status record_start(coordinator *c, int num_ranks)
{
    rl_status status = RL_OK;
    char host[128] = "unknown";
    const rl_sweep *sweep = c->work->plan->sweep;
    json_t *runs = json_array(), *axes = json_array(), *values = json_array(), *left_out = json_array();
    gethostname(host, sizeof host - 1);
    for (int32_t a = 0; a < sweep->num_axes; a++) json_array_append_new(axes, json_string(sweep->axes[a]));
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        json_t *row = json_array();
        for (int32_t a = 0; a < sweep->num_axes; a++) json_array_append_new(row, json_string(sweep->runs[r].axis_values[a]));
        json_array_append_new(values, row);
        json_array_append_new(runs, json_string(sweep->runs[r].id));
        if (rl_plan_leaves_out(c->work->plan, r)) json_array_append_new(left_out, json_integer(r));
    }
    status = rl_journal_append(
        c->journal,
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "event", "start", "sweep", sweep->name, "version",
                  RL_VERSION, "host", host, "pid", (int)getpid(), "ranks", num_ranks, "threads", (int)sweep->policy.threads_per_rank, "nodes",
                  (int)c->nodes_total, "gemm_backend", rl_gemm_backend(), "gemm_version", rl_gemm_backend_version(), "isa",
                  rl_isa_name(), "axes", axes, "values", values, "runs", runs, "left_out", left_out),
        true, c->err);
    if (status != RL_OK) return status;
    c->state->began = true;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        const char *reason = c->work->plan->run_error[r];
        if (!reason) continue;
        c->state->run_errors[r] = rl_strdup(reason, NULL);
        bool refused = c->work->plan->num_run_nodes[r] == 0; /* by the plan, each time anew; else left as an earlier start failed it */
        record(c, json_pack("{s:s, s:s, s:s, s:s}", "event", "run_failed", "run", sweep->runs[r].id, "error", reason, "kind",
                            refused ? "refused" : "left"),
               false);
    }
    return RL_OK;
}

/* What only left-out runs need is neither done nor to be done. */
static rl_status count_left(coordinator *c, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_plan *plan = c->work->plan;
    double left = 0;
    bool *counted = NULL;
    RL_ALLOC(counted, plan->num_nodes, err);
    for (int64_t r = 0; r < plan->sweep->num_runs; r++)
        for (int32_t i = 0; i < plan->num_run_nodes[r] && !plan->sweep->runs[r].skipped; i++) {
            int32_t n = plan->run_nodes[r][i];
            if (counted[n]) continue;
            counted[n] = true;
            c->nodes_total++;
            c->nodes_done += plan->nodes[n].done;
        }
    coordinator_sum_left(c);
    for (int k = 0; k < RL_NUM_WORK_KINDS; k++) left += c->left_s[k];
    c->stretch = left > 0 ? fmax(c->options->forecast_s * c->num_workers / left, 1) : 1;
cleanup:
    rl_free(counted);
    return status;
}

rl_status rl_coordinate(MPI_Comm comm, const rl_work *work, const rl_cluster_options *options, rl_journal *journal,
                        rl_coordination *state, rl_sweep_outcome *outcome, rl_error *err)
{
    rl_status status = RL_OK;
    int num_ranks = 1;
    MPI_Comm_size(comm, &num_ranks);
    coordinator c = {.work = work, .options = options, .journal = journal, .state = state, .outcome = outcome, .err = err,
                     .num_workers = work->grouping.num_workers, .start_s = rl_now_s(), .last_f1 = NAN};
    RL_TRY(rl_scheduler_create(&c.scheduler, work->plan, c.num_workers, err));
    rl_scheduler_set_light(c.scheduler, rl_grouping_first_light(&work->grouping));
    RL_ALLOC(c.running, c.num_workers, err);
    RL_ALLOC(c.running_since, c.num_workers, err);
    RL_ALLOC(c.speed, c.num_workers, err);
    RL_ALLOC(c.took_s, work->plan->num_nodes, err);
    RL_ALLOC(c.order, c.num_workers, err);
    RL_ALLOC(c.given_up_s, c.num_workers, err);
    RL_ALLOC(c.hung, c.num_workers, err);
    RL_ALLOC(c.idle, c.num_workers, err);
    RL_ALLOC(c.attempts, work->plan->num_nodes, err);
    RL_ALLOC(c.finished, work->plan->sweep->num_runs, err);
    RL_TRY(rl_cleaning_begin(&c.cleaning, work, err));
    c.metrics_file = options->metrics_file ? rl_strdup(options->metrics_file, err) : rl_path_join(options->directory, "metrics.prom", err);
    if (!c.metrics_file) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    c.failures = json_array();
    c.many = num_ranks > 1;
    c.reserve_bytes = rl_disk_reserve_bytes(work->plan);
    for (int32_t w = c.num_workers; w > 0; w--) c.running[w - 1] = -1, c.idle[c.num_idle++] = w - 1;
    RL_TRY(count_left(&c, err));
    RL_TRY(record_start(&c, num_ranks));
    if (num_ranks > 1)
        drive_ranks(&c, comm);
    else
        drive_alone(&c);
    keep_up(&c);
    outcome->runs = rl_scheduler_counts(c.scheduler);
    outcome->failed_before = work->plan->num_failed_before;
    outcome->elapsed_s = rl_now_s() - c.start_s;
    outcome->num_workers = c.num_workers;
    outcome->stopped = rl_stop_requested() && outcome->runs.done + outcome->runs.failed < outcome->runs.planned;
    RL_TRY(rl_plan_longest_path(&outcome->bound_s, work->plan, c.took_s, err));
    outcome->bound_s = fmax(outcome->bound_s, outcome->busy_s / c.num_workers);
    status = c.status;
    rl_sweep_progress last = coordinator_progress(&c, false);
    coordinator_write_progress(&c, &last, true);
cleanup:
    dismiss(comm, num_ranks);
    rl_cleaning_end(&c.cleaning);
    rl_buffer_free(&c.record);
    json_decref(c.failures);
    rl_free(c.metrics_file);
    rl_free(c.order);
    rl_free(c.given_up_s);
    rl_free(c.hung);
    rl_free(c.idle);
    rl_free(c.attempts);
    rl_free(c.finished);
    rl_scheduler_free(c.scheduler);
    rl_free(c.running);
    rl_free(c.running_since);
    rl_free(c.speed);
    rl_free(c.took_s);
    return status;
}
