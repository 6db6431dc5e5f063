/* worker.c -- one rank that makes stages and shards, and says how it goes. */
#include "cluster_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const double report_interval_s = 0.5, log_interval_s = 10;

void rl_poll_pause(int *idle_polls)
{
    int polls = *idle_polls < 8 ? (*idle_polls)++ : 8;
    struct timespec pause = {0, 50000L << (polls > 6 ? 6 : polls)}; /* 50 us up to 3.2 ms */
    nanosleep(&pause, NULL);
}

/* ------------------------------------------------------------------------------------- one node, with reports */

typedef struct reporter {
    const rl_report_sink *sink;
    rl_rank_log *log;
    int32_t node;
    double last_s, last_log_s, tokens, seconds;
} reporter;

static void on_step(void *context, const rl_stage *stage, const rl_step_record *record, int64_t total_steps)
{
    reporter *r = context;
    (void)stage;
    if (rl_now_s() - r->last_log_s >= log_interval_s) {
        rl_rank_log_line(r->log, "step %lld of %lld, loss %.4f, learning rate %.3g, gradient norm %.4f", (long long)record->step,
                         (long long)total_steps, record->loss, record->learning_rate, record->grad_norm);
        r->last_log_s = rl_now_s();
    }
    r->tokens += (double)record->tokens;
    r->seconds += record->seconds;
    if (rl_now_s() - r->last_s < report_interval_s || r->seconds <= 0) return;
    rl_report report = {.kind = RL_REPORT_STEP, .node = r->node, .f1 = NAN, .tokens_per_second = r->tokens / r->seconds};
    r->sink->send(r->sink->context, &report);
    r->last_s = rl_now_s();
    r->tokens = r->seconds = 0;
}

static void on_f1(void *context, const rl_stage *stage, double f1)
{
    reporter *r = context;
    (void)stage;
    rl_rank_log_line(r->log, "F1 %.4f", f1);
    rl_report report = {.kind = RL_REPORT_F1, .node = r->node, .f1 = f1, .tokens_per_second = NAN};
    r->sink->send(r->sink->context, &report);
}

static void on_notice(void *context, const rl_stage *stage, const char *text)
{
    reporter *r = context;
    (void)stage;
    rl_report report = {.kind = RL_REPORT_NOTICE, .node = r->node, .f1 = NAN, .tokens_per_second = NAN};
    snprintf(report.error.message, sizeof report.error.message, "%s", text);
    r->sink->send(r->sink->context, &report);
}

static bool should_stop(void *context)
{
    reporter *r = context;
    return rl_stop_requested() || r->sink->should_stop(r->sink->context);
}

static rl_status write_shard(const rl_work *work, const rl_node *node, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run *run = &work->plan->sweep->runs[node->run];
    int32_t num_stages = 0;
    rl_stage *stages = NULL;
    rl_run_result *result = NULL;
    char *path = rl_plan_shard_path(work->directory, run->id, err);
    if (!path) return RL_ERR_MEMORY;
    num_stages = work->plan->num_run_nodes[node->run] - 1;
    RL_ALLOC(stages, num_stages, err);
    for (int32_t i = 0; i < num_stages; i++) {
        stages[i] = work->plan->nodes[work->plan->run_nodes[node->run][i]].stage;
        stages[i].settings = &run->settings; /* a shared stage carries another run's settings */
    }
    RL_TRY(rl_cycle_collect(&result, work->cycle, stages, num_stages, err));
    RL_TRY(rl_shard_write(path, run, work->plan->sweep, result, err));
cleanup:
    rl_run_result_free(result);
    rl_free(stages);
    rl_free(path);
    return status;
}

static void begin_log(const rl_work *work, const rl_node *node)
{
    char stage[32] = "shard";
    if (node->kind == RL_NODE_STAGE) snprintf(stage, sizeof stage, "%s %d", rl_stage_kind_name(node->stage.kind), (int)node->stage.round);
    rl_rank_log_begin(work->log, work->plan->sweep->runs[node->run].id, stage);
    rl_rank_log_line(work->log, "begins, predicted %.3g s", node->seconds);
}

static void end_log(rl_rank_log *log, rl_report *report)
{
    if (report->kind == RL_REPORT_DONE)
        rl_rank_log_line(log, "done in %.1f s", report->seconds);
    else if (report->kind == RL_REPORT_FAILED)
        rl_rank_log_line(log, "FAILED after %.1f s: %.900s", report->seconds, report->error.message);
    else
        rl_rank_log_line(log, "stopped after %.1f s, resumable", report->seconds);
    snprintf(report->log, sizeof report->log, "%s", log->tail);
}

void rl_work_on_node(const rl_work *work, int32_t index, const rl_report_sink *sink)
{
    const rl_node *node = &work->plan->nodes[index];
    reporter r = {.sink = sink, .log = work->log, .node = index, .last_s = rl_now_s()};
    const rl_cycle_hooks hooks = {&r, on_step, on_f1, should_stop, on_notice};
    rl_report report = {.node = index, .f1 = NAN, .tokens_per_second = NAN};
    double start = rl_now_s();
    begin_log(work, node);
    rl_cycle_set_hooks(work->cycle, &hooks);
    rl_work_ask(sink->should_stop, sink->context); /* identifying and analysing have no steps to be asked at */
    rl_status status = node->kind == RL_NODE_SHARD ? write_shard(work, node, &report.error)
                                                   : rl_stage_execute(work->cycle, &node->stage, &report.error);
    rl_work_ask(NULL, NULL);
    report.seconds = rl_now_s() - start;
    report.error.status = status;
    report.kind = status == RL_OK ? RL_REPORT_DONE : status == RL_ERR_STOPPED ? RL_REPORT_RETURNED : RL_REPORT_FAILED;
    end_log(work->log, &report);
    sink->send(sink->context, &report);
}

/* --------------------------------------------------------------------------------------------- worker ranks */

typedef struct worker {
    MPI_Comm comm;
    bool told_to_stop;
    int32_t node, order; /* under way, and its number; node -1: none */
    bool given_up;
    rl_rank_group *group;
} worker;

/* Most reports have no words, and travel without the room for them. */
static size_t bytes_to_send(const rl_report *report)
{
    if (report->kind == RL_REPORT_FAILED) return sizeof *report;
    return report->kind == RL_REPORT_NOTICE ? offsetof(rl_report, log) : offsetof(rl_report, error);
}

static void send_to_coordinator(void *context, const rl_report *report)
{
    worker *w = context;
    MPI_Send(report, (int)bytes_to_send(report), MPI_BYTE, 0, RL_TAG_REPORT, w->comm);
}

/* An order that crossed the report of the node it means is of no consequence, also where the node is tried again: that is another order. */
static bool told_to_give_up(worker *w)
{
    bool meant = false;
    for (;;) {
        int waiting = 0;
        int32_t told[2];
        MPI_Iprobe(0, RL_TAG_GIVE_UP, w->comm, &waiting, MPI_STATUS_IGNORE);
        if (!waiting) return meant;
        MPI_Recv(told, 2, MPI_INT32_T, 0, RL_TAG_GIVE_UP, w->comm, MPI_STATUS_IGNORE);
        meant |= told[0] == w->node && told[1] == w->order;
    }
}

static bool told_to_stop(void *context)
{
    worker *w = context;
    int waiting = 0;
    if (!w->told_to_stop) MPI_Iprobe(0, RL_TAG_STOP, w->comm, &waiting, MPI_STATUS_IGNORE);
    if (waiting) {
        MPI_Recv(NULL, 0, MPI_BYTE, 0, RL_TAG_STOP, w->comm, MPI_STATUS_IGNORE);
        w->told_to_stop = true;
    }
    if (told_to_give_up(w)) w->given_up = true;
    return w->told_to_stop || w->given_up;
}

static int32_t next_assignment(worker *w)
{
    int32_t given[2];
    int waiting = 0, idle_polls = 0;
    for (;;) {
        MPI_Iprobe(0, RL_TAG_ASSIGN, w->comm, &waiting, MPI_STATUS_IGNORE);
        if (waiting) break;
        rl_poll_pause(&idle_polls);
    }
    MPI_Recv(given, 2, MPI_INT32_T, 0, RL_TAG_ASSIGN, w->comm, MPI_STATUS_IGNORE);
    w->order = given[1];
    return given[0];
}

static void summon(void *context, const rl_stage *stage, int32_t count)
{
    const worker *w = context;
    (void)stage;
    rl_rank_group_summon(w->group, w->node, count);
}

void rl_worker_loop(MPI_Comm comm, const rl_work *work, rl_rank_group *group)
{
    worker w = {.comm = comm, .node = -1, .group = group};
    const rl_report_sink sink = {&w, send_to_coordinator, told_to_stop};
    if (group) rl_cycle_set_group(work->cycle, &(rl_cycle_group){*rl_rank_group_ranks(group), &w, summon});
    for (int32_t node; (node = next_assignment(&w)) >= 0;) {
        w.node = node;
        w.given_up = false;
        rl_work_on_node(work, node, &sink);
        w.node = -1;
    }
    rl_cycle_set_group(work->cycle, NULL);
    told_to_give_up(&w);
    told_to_stop(&w); /* a stop that crossed our last report: nothing may stay unreceived */
}

/* ------------------------------------------------------------------------------------- ranks that help a worker */

static bool own_stop(void *context)
{
    (void)context;
    return rl_stop_requested();
}

/* What goes wrong here is reported by the worker, which learns of it as all of its group do. */
static void help(const rl_work *work, int32_t index)
{
    const rl_node *node = &work->plan->nodes[index];
    rl_error err = {0};
    double start = rl_now_s();
    begin_log(work, node);
    rl_status status = rl_stage_assist(work->cycle, &node->stage, &err);
    if (status == RL_OK || status == RL_ERR_STOPPED)
        rl_rank_log_line(work->log, "helped for %.1f s%s", rl_now_s() - start, status == RL_OK ? "" : ", stopped");
    else
        rl_rank_log_line(work->log, "FAILED after %.1f s: %.900s", rl_now_s() - start, err.message);
}

void rl_helper_loop(MPI_Comm comm, const rl_work *work, rl_rank_group *group)
{
    const rl_cycle_hooks hooks = {.should_stop = own_stop};
    int32_t node = -1;
    int leave = 0, idle_polls = 0;
    rl_cycle_set_hooks(work->cycle, &hooks);
    rl_cycle_set_group(work->cycle, &(rl_cycle_group){.ranks = *rl_rank_group_ranks(group)});
    while (!leave) {
        if (rl_rank_group_summoned(group, &node)) {
            help(work, node);
            idle_polls = 0;
            continue;
        }
        rl_poll_pause(&idle_polls);
        MPI_Iprobe(0, RL_TAG_ASSIGN, comm, &leave, MPI_STATUS_IGNORE);
    }
    MPI_Recv((int32_t[2]){0}, 2, MPI_INT32_T, 0, RL_TAG_ASSIGN, comm, MPI_STATUS_IGNORE);
    rl_cycle_set_group(work->cycle, NULL);
}
