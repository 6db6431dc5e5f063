/* progress.c -- how far a sweep is, how long it will take, and the side files that tell onlookers. */
#include "coordinator.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double estimate_interval_s = 0.1;

void coordinator_describe(const coordinator *c, int32_t index, char *text, size_t size)
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

/* By how much stages differed from their predictions; before the first, not at all. */
static double factor_of_all(const pace *p)
{
    double seen = 0, predicted = 0;
    for (int k = 0; k < RL_NUM_STAGE_KINDS; k++) seen += p->seen_s[k], predicted += p->predicted_s[k];
    return predicted > 0 ? seen / predicted : 1;
}

double coordinator_factor(const pace *p, int kind) { return p->predicted_s[kind] > 0 ? p->seen_s[kind] / p->predicted_s[kind] : factor_of_all(p); }

/* What runs already takes longer than it should is as slow as if it ended now, or slower. */
static pace pace_by_now(const coordinator *c, double now)
{
    pace p = c->pace;
    for (int32_t w = 0; w < c->num_workers; w++) {
        if (c->running[w] < 0) continue;
        const rl_node *node = &c->work->plan->nodes[c->running[w]];
        double elapsed = now - c->running_since[w];
        if (elapsed <= node->seconds * coordinator_factor(&c->pace, rl_work_kind(node))) continue;
        p.seen_s[rl_work_kind(node)] += elapsed;
        p.predicted_s[rl_work_kind(node)] += node->seconds;
    }
    return p;
}

/* What is left over all workers, as much longer as the plan's forecast was than such a division; no less than what must still follow the
 * stages that run, one after the other: at the end a few workers have all that is left. */
static double estimate_left(const coordinator *c)
{
    double left = 0, path = 0, now = rl_now_s();
    const pace p = pace_by_now(c, now);
    for (int k = 0; k < RL_NUM_WORK_KINDS; k++) left += c->left_s[k] * coordinator_factor(&p, k);
    for (int32_t w = 0; w < c->num_workers; w++)
        if (c->running[w] >= 0) {
            const rl_node *node = &c->work->plan->nodes[c->running[w]];
            double mine = node->seconds * coordinator_factor(&p, rl_work_kind(node)), done = fmin(now - c->running_since[w], mine);
            left -= done;
            path = fmax(path, mine - done + (rl_scheduler_path_seconds(c->scheduler, c->running[w]) - node->seconds) * factor_of_all(&p));
        }
    return fmax(fmax(left, 0) / c->num_workers * c->stretch, path);
}

void coordinator_sum_left(coordinator *c)
{
    memset(c->left_s, 0, sizeof c->left_s);
    for (int32_t n = 0; n < c->work->plan->num_nodes; n++) {
        rl_node_state state = rl_scheduler_state(c->scheduler, n);
        if (state != RL_NODE_DONE && state != RL_NODE_FAILED) c->left_s[rl_work_kind(&c->work->plan->nodes[n])] += c->work->plan->nodes[n].seconds;
    }
}

/* Both look at every worker: 0.1 ms for 4,096, as much as two messages may cost. So not for every stage that ends. */
static void estimate(coordinator *c)
{
    c->last_estimate_s = rl_now_s();
    c->eta_s = estimate_left(c);
    c->tokens_per_second = 0;
    for (int32_t w = 0; w < c->num_workers; w++) c->tokens_per_second += c->speed[w];
}

rl_sweep_progress coordinator_progress(coordinator *c, bool is_event)
{
    if (!is_event || rl_now_s() - c->last_estimate_s >= estimate_interval_s) estimate(c);
    return (rl_sweep_progress){.runs = rl_scheduler_counts(c->scheduler),
                               .nodes_done = c->nodes_done,
                               .nodes_total = c->nodes_total,
                               .nodes_failed = c->nodes_failed,
                               .elapsed_s = rl_now_s() - c->start_s,
                               .eta_s = c->eta_s,
                               .tokens_per_second = c->tokens_per_second,
                               .last_f1 = c->last_f1,
                               .last_event = c->event,
                               .is_event = is_event};
}

int32_t coordinator_rank(const coordinator *c, int32_t worker) { return rl_grouping_rank(&c->work->grouping, worker); }

static json_t *worker_activity(const coordinator *c, int32_t w)
{
    char text[256] = "idle";
    double now = rl_now_s();
    bool busy = c->running[w] >= 0;
    if (c->hung[w]) snprintf(text, sizeof text, "answers no more");
    if (busy) coordinator_describe(c, c->running[w], text, sizeof text);
    return json_pack("{s:i, s:i, s:s, s:o, s:o, s:o}", "worker", (int)w, "rank", c->many ? (int)coordinator_rank(c, w) : 0, "task", text,
                     "seconds", rl_json_number(busy ? now - c->running_since[w] : NAN), "predicted_s",
                     rl_json_number(busy ? c->work->plan->nodes[c->running[w]].seconds : NAN), "tokens_per_second",
                     rl_json_number(busy ? c->speed[w] : NAN));
}

void coordinator_write_progress(coordinator *c, const rl_sweep_progress *p, bool finished)
{
    json_t *workers = json_array();
    int32_t busy = 0;
    double disk_free = (double)rl_disk_free_bytes(c->options->directory);
    for (int32_t w = 0; w < c->num_workers; w++) {
        busy += c->running[w] >= 0;
        json_array_append_new(workers, worker_activity(c, w));
    }
    json_t *root = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:O, s:o}", "elapsed_s",
                             rl_json_number(p->elapsed_s), "eta_s", rl_json_number(p->eta_s), "tokens_per_second",
                             rl_json_number(p->tokens_per_second), "last_f1", rl_json_number(p->last_f1), "nodes_done",
                             (json_int_t)p->nodes_done, "nodes_total", (json_int_t)p->nodes_total, "runs_running",
                             (json_int_t)p->runs.running, "retries", (json_int_t)c->retries, "messages",
                             (json_int_t)c->outcome->messages, "messages_s", rl_json_number(c->outcome->messages_s), "busy_s",
                             rl_json_number(c->outcome->busy_s), "disk_free_bytes", rl_json_number(disk_free), "failures", c->failures,
                             "workers", workers);
    char *path = rl_path_join(c->options->directory, "progress.json", NULL);
    if (path && root) rl_json_write(path, root, NULL); /* only for onlookers: its failure harms nothing */
    rl_free(path);
    json_decref(root);
    const rl_metrics metrics = {c->work->plan->sweep->name, c->options->directory, p, c->num_workers, busy, c->outcome->messages, c->retries,
                                c->outcome->messages_s, c->outcome->busy_s, disk_free, finished};
    if (c->metrics_file) rl_metrics_write(c->metrics_file, &metrics);
    c->last_file_s = rl_now_s();
}
