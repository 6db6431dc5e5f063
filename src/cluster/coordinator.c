/* coordinator.c -- rank 0: scheduler and journal, fed by reports. Alone, the same code feeds itself. */
#include "cluster_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double tick_interval_s = 1.0, progress_file_interval_s = 5.0;

typedef struct coordinator {
    const rl_work *work;
    const rl_cluster_options *options;
    rl_journal *journal;
    rl_coordination *state;
    rl_sweep_outcome *outcome;
    rl_scheduler *scheduler;
    int32_t num_workers;
    int32_t *running;      /* [num_workers] node or -1 */
    double *running_since; /* [num_workers] */
    double *speed;         /* [num_workers] tokens/s, 0 = none */
    double start_s, last_tick_s, last_file_s, last_f1;
    double predicted_s, observed_s; /* of nodes finished in this start: corrects the forecast */
    int64_t nodes_done, nodes_failed;
    char event[512];
    rl_status status;      /* the journal or progress file refused: the sweep stops, nothing is lost */
    rl_error *err;
} coordinator;

/* ------------------------------------------------------------------------------------------------ describing */

static void describe(const coordinator *c, int32_t index, char *text, size_t size)
{
    const rl_node *node = &c->work->plan->nodes[index];
    const char *run = c->work->plan->sweep->runs[node->run].id;
    if (node->kind == RL_NODE_SHARD)
        snprintf(text, size, "shard of run %s", run);
    else if (node->stage.kind == RL_STAGE_RETRAIN || node->stage.kind == RL_STAGE_ANALYSE)
        snprintf(text, size, "%s %d of run %s", rl_stage_kind_name(node->stage.kind), (int)node->stage.round, run);
    else
        snprintf(text, size, "%s of run %s", rl_stage_kind_name(node->stage.kind), run);
}

static json_t *node_event(const coordinator *c, const char *event, int32_t worker, int32_t index)
{
    const rl_node *node = &c->work->plan->nodes[index];
    const char *run = c->work->plan->sweep->runs[node->run].id;
    bool shard = node->kind == RL_NODE_SHARD;
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:i}", "event", event, "stage",
                     shard ? "shard" : rl_stage_kind_name(node->stage.kind), "round", shard ? 0 : (int)node->stage.round,
                     "key", shard ? run : node->stage.key, "run", run, "worker", (int)worker);
}

static void record(coordinator *c, json_t *event, bool sync)
{
    rl_status status = rl_journal_append(c->journal, event, sync, c->status == RL_OK ? c->err : NULL);
    if (c->status == RL_OK) c->status = status;
}

/* ------------------------------------------------------------------------------------------------- progress */

static double estimate_left(const coordinator *c)
{
    double left = rl_scheduler_remaining_seconds(c->scheduler), now = rl_now_s();
    double factor = c->predicted_s > 0 ? c->observed_s / c->predicted_s : 1.0;
    double spent = 0;
    for (int32_t w = 0; w < c->num_workers; w++)
        if (c->running[w] >= 0) {
            double node = c->work->plan->nodes[c->running[w]].seconds * factor, done = now - c->running_since[w];
            spent += done < node ? done : node;
        }
    if (c->observed_s <= 0) return NAN; /* nothing measured yet */
    left = left * factor - spent;
    return (left > 0 ? left : 0) / c->num_workers;
}

static rl_sweep_progress progress_of(const coordinator *c, bool is_event)
{
    rl_sweep_progress p = {.runs = rl_scheduler_counts(c->scheduler),
                           .nodes_done = c->nodes_done,
                           .nodes_total = c->work->plan->num_nodes,
                           .nodes_failed = c->nodes_failed,
                           .elapsed_s = rl_now_s() - c->start_s,
                           .eta_s = estimate_left(c),
                           .last_f1 = c->last_f1,
                           .last_event = c->event,
                           .is_event = is_event};
    for (int32_t w = 0; w < c->num_workers; w++) p.tokens_per_second += c->speed[w];
    return p;
}

/* The small side file that `status` reads while the sweep lives. */
static void write_progress_file(coordinator *c, const rl_sweep_progress *p)
{
    json_t *running = json_array();
    for (int32_t w = 0; w < c->num_workers; w++) {
        char text[256];
        if (c->running[w] < 0) continue;
        describe(c, c->running[w], text, sizeof text);
        json_array_append_new(running, json_pack("{s:i, s:s, s:o}", "worker", (int)w, "task", text, "tokens_per_second",
                                                 rl_json_number(c->speed[w])));
    }
    json_t *root = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "elapsed_s", rl_json_number(p->elapsed_s), "eta_s", rl_json_number(p->eta_s),
                             "tokens_per_second", rl_json_number(p->tokens_per_second), "last_f1", rl_json_number(p->last_f1), "nodes_done",
                             (json_int_t)p->nodes_done, "nodes_total", (json_int_t)p->nodes_total, "running", running);
    char *path = rl_path_join(c->options->directory, "progress.json", NULL);
    if (path) rl_json_write(path, root, NULL); /* only for onlookers: its failure harms nothing */
    rl_free(path);
    json_decref(root);
    c->last_file_s = rl_now_s();
}

static void tell(coordinator *c, bool is_event)
{
    rl_sweep_progress p = progress_of(c, is_event);
    c->last_tick_s = rl_now_s();
    if (c->options->on_progress) c->options->on_progress(c->options->context, &p);
    if (c->last_tick_s - c->last_file_s >= progress_file_interval_s) write_progress_file(c, &p);
}

/* --------------------------------------------------------------------------------------------------- events */

static void started(coordinator *c, int32_t worker, int32_t node)
{
    c->running[worker] = node;
    c->running_since[worker] = rl_now_s();
    record(c, node_event(c, "started", worker, node), false);
}

/* Every run that this failure takes down gets its reason, once. Not synchronised one by one (10,000 runs may share a stage):
 * what a crash loses of this, the next start finds out again. */
static void blame_runs(coordinator *c, const char *message)
{
    const rl_plan *plan = c->work->plan;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        if (c->state->run_errors[r] || plan->num_run_nodes[r] == 0) continue;
        int32_t shard = plan->run_nodes[r][plan->num_run_nodes[r] - 1];
        if (rl_scheduler_state(c->scheduler, shard) != RL_NODE_FAILED) continue;
        c->state->run_errors[r] = rl_strdup(message, NULL);
        record(c, json_pack("{s:s, s:s, s:s}", "event", "run_failed", "run", plan->sweep->runs[r].id, "error", message),
               false);
    }
}

/* The operating system refused (a full disk above all): no fault of the run, and the next one would meet it too. The sweep stops; all that
 * is finished is on disk, and the next start goes on. */
static void storage_failed(coordinator *c, int32_t worker, const rl_report *report)
{
    rl_scheduler_returned(c->scheduler, worker, report->node);
    if (c->status == RL_OK)
        c->status = rl_fail(c->err, RL_ERR_IO, "%.800s; nothing that was finished is lost: the same command goes on when this is mended",
                            report->error.message);
    record(c, node_event(c, "returned", worker, report->node), false);
}

static void finished(coordinator *c, int32_t worker, const rl_report *report)
{
    char what[256];
    json_t *event = NULL;
    describe(c, report->node, what, sizeof what);
    c->running[worker] = -1;
    c->speed[worker] = 0;
    if (report->kind == RL_REPORT_FAILED && report->error.status == RL_ERR_IO) {
        storage_failed(c, worker, report);
        return;
    }
    if (report->kind == RL_REPORT_DONE) {
        rl_scheduler_done(c->scheduler, worker, report->node);
        c->nodes_done++;
        c->outcome->stages_computed++;
        c->state->node_seconds[report->node] = report->seconds;
        c->predicted_s += c->work->plan->nodes[report->node].seconds;
        c->observed_s += report->seconds;
        event = node_event(c, "done", worker, report->node);
        json_object_set_new(event, "seconds", json_real(report->seconds));
        record(c, event, true);
        snprintf(c->event, sizeof c->event, "finished %s in %.1f s", what, report->seconds);
    } else if (report->kind == RL_REPORT_FAILED) {
        rl_scheduler_failed(c->scheduler, worker, report->node);
        c->nodes_failed++;
        event = node_event(c, "failed", worker, report->node);
        json_object_set_new(event, "error", json_string(report->error.message));
        record(c, event, true);
        blame_runs(c, report->error.message);
        snprintf(c->event, sizeof c->event, "FAILED %s: %.200s", what, report->error.message);
    } else {
        rl_scheduler_returned(c->scheduler, worker, report->node);
        rl_stop_request(); /* a rank that was signalled alone would get it back at once, and return it for ever */
        record(c, node_event(c, "returned", worker, report->node), false);
        snprintf(c->event, sizeof c->event, "stopped %s; it resumes where it was", what);
    }
    tell(c, true);
}

static void handle(coordinator *c, int32_t worker, const rl_report *report)
{
    if (report->kind == RL_REPORT_STEP) {
        c->speed[worker] = report->tokens_per_second;
    } else if (report->kind == RL_REPORT_F1) {
        c->last_f1 = report->f1;
        json_t *event = node_event(c, "f1", worker, report->node);
        json_object_set_new(event, "f1", rl_json_number(report->f1));
        record(c, event, false);
    } else if (report->kind == RL_REPORT_NOTICE) {
        rl_cluster_notice(c->options, c->journal, report->error.message);
    } else {
        finished(c, worker, report);
    }
}

/* ------------------------------------------------------------------------------------------------- one process */

static void send_to_self(void *context, const rl_report *report)
{
    coordinator *c = context;
    handle(c, 0, report);
    if (rl_now_s() - c->last_tick_s >= tick_interval_s) tell(c, false);
}

static bool self_should_stop(void *context)
{
    const coordinator *c = context;
    return c->status != RL_OK;
}

static void drive_alone(coordinator *c)
{
    const rl_report_sink sink = {c, send_to_self, self_should_stop};
    for (;;) {
        if (rl_stop_requested() || c->status != RL_OK) rl_scheduler_stop(c->scheduler);
        int32_t node = rl_scheduler_assign(c->scheduler, 0);
        if (node < 0) return;
        started(c, 0, node);
        rl_work_on_node(c->work, node, &sink);
    }
}

/* ------------------------------------------------------------------------------------------------ many ranks */

static void assign_idle(coordinator *c, MPI_Comm comm)
{
    for (int32_t w = 0; w < c->num_workers; w++) {
        if (c->running[w] >= 0) continue;
        int32_t node = rl_scheduler_assign(c->scheduler, w);
        if (node < 0) continue; /* another idle worker may still get one: affinity decides */
        started(c, w, node);
        MPI_Send(&node, 1, MPI_INT32_T, w + 1, RL_TAG_ASSIGN, comm);
    }
}

static bool receive_one(coordinator *c, MPI_Comm comm)
{
    int waiting = 0;
    MPI_Status from;
    rl_report report;
    MPI_Iprobe(MPI_ANY_SOURCE, RL_TAG_REPORT, comm, &waiting, &from);
    if (!waiting) return false;
    MPI_Recv(&report, (int)sizeof report, MPI_BYTE, from.MPI_SOURCE, RL_TAG_REPORT, comm, &from);
    handle(c, from.MPI_SOURCE - 1, &report);
    return true;
}

static void stop_all(coordinator *c, MPI_Comm comm)
{
    rl_scheduler_stop(c->scheduler);
    for (int32_t w = 0; w < c->num_workers; w++) MPI_Send(NULL, 0, MPI_BYTE, w + 1, RL_TAG_STOP, comm);
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
        if (receive_one(c, comm))
            idle_polls = 0;
        else
            rl_poll_pause(&idle_polls);
        if (rl_now_s() - c->last_tick_s >= tick_interval_s) tell(c, false);
    }
}

/* Workers wait for this in any case, also when rank 0 could not even begin. */
static void dismiss(MPI_Comm comm, int num_ranks)
{
    const int32_t leave = -1;
    for (int w = 1; w < num_ranks; w++) MPI_Send(&leave, 1, MPI_INT32_T, w, RL_TAG_ASSIGN, comm);
}

/* ----------------------------------------------------------------------------------------------------- whole */

static void record_start(coordinator *c, int num_ranks)
{
    char host[128] = "unknown";
    const rl_sweep *sweep = c->work->plan->sweep;
    json_t *runs = json_array();
    gethostname(host, sizeof host - 1);
    for (int64_t r = 0; r < sweep->num_runs; r++) json_array_append_new(runs, json_string(sweep->runs[r].id));
    record(c, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:o}", "event", "start", "sweep", sweep->name, "version",
                        RL_VERSION, "host", host, "pid", (int)getpid(), "ranks", num_ranks, "nodes",
                        (int)c->work->plan->num_nodes, "gemm_backend", rl_gemm_backend(), "isa", rl_isa_name(), "runs", runs),
           true);
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        const char *reason = c->work->plan->run_error[r];
        if (!reason) continue;
        c->state->run_errors[r] = rl_strdup(reason, NULL);
        record(c, json_pack("{s:s, s:s, s:s}", "event", "run_failed", "run", sweep->runs[r].id, "error", reason),
               false);
    }
}

rl_status rl_coordinate(MPI_Comm comm, const rl_work *work, const rl_cluster_options *options, rl_journal *journal,
                        rl_coordination *state, rl_sweep_outcome *outcome, rl_error *err)
{
    rl_status status = RL_OK;
    int num_ranks = 1;
    MPI_Comm_size(comm, &num_ranks);
    coordinator c = {.work = work, .options = options, .journal = journal, .state = state, .outcome = outcome, .err = err,
                     .num_workers = num_ranks > 1 ? num_ranks - 1 : 1, .start_s = rl_now_s(), .last_f1 = NAN};
    RL_TRY(rl_scheduler_create(&c.scheduler, work->plan, c.num_workers, err));
    RL_ALLOC(c.running, c.num_workers, err);
    RL_ALLOC(c.running_since, c.num_workers, err);
    RL_ALLOC(c.speed, c.num_workers, err);
    for (int32_t w = 0; w < c.num_workers; w++) c.running[w] = -1;
    for (int32_t n = 0; n < work->plan->num_nodes; n++) c.nodes_done += work->plan->nodes[n].done;
    record_start(&c, num_ranks);
    if (num_ranks > 1)
        drive_ranks(&c, comm);
    else
        drive_alone(&c);
    outcome->runs = rl_scheduler_counts(c.scheduler);
    outcome->elapsed_s = rl_now_s() - c.start_s;
    outcome->stopped = rl_stop_requested() && outcome->runs.done + outcome->runs.failed < outcome->runs.planned;
    status = c.status;
    rl_sweep_progress last = progress_of(&c, false);
    write_progress_file(&c, &last);
cleanup:
    dismiss(comm, num_ranks);
    rl_scheduler_free(c.scheduler);
    rl_free(c.running);
    rl_free(c.running_since);
    rl_free(c.speed);
    return status;
}
