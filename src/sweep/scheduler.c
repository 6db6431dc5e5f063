/* scheduler.c -- who does what next: a pure state machine over a plan's DAG. No MPI, no clock, no file.
 *
 * Invariant (rl_scheduler_check): a node is WAITING while a dependency is not done, READY when all are (and only then in
 * the heaps), RUNNING on exactly one worker, DONE, or FAILED; a FAILED node's dependants are all FAILED. */
#include "sweep_internal.h"

#include <math.h>
#include <string.h>

/* Ready nodes, best first. Two orders: longest remaining path, and plan order (a run's stages stand together). */
typedef struct ready_heap {
    int32_t *items, size;
    int32_t *place;         /* [num_nodes] index in items, -1 = not in it */
    bool by_plan_order;
} ready_heap;

struct rl_scheduler {
    const rl_plan *plan;
    int32_t num_nodes, num_workers, first_light;
    uint8_t *state;         /* [num_nodes] rl_node_state */
    int32_t *missing;       /* [num_nodes] dependencies not done */
    int32_t *child_start;   /* [num_nodes+1] into children */
    int32_t *children;
    double *priority;       /* [num_nodes] predicted seconds from this node's start to the end of its longest path */
    ready_heap ready, begun_first; /* the same nodes in both */
    ready_heap light;       /* of these what is no training */
    int32_t *running;       /* [num_workers] node or -1 */
    int32_t *last_done;     /* [num_workers] node or -1: its files are in that machine's page cache, its corpora and base states in the worker */
    int32_t num_running;
    int32_t *fallen, num_fallen; /* [num_nodes] what the last failure took down */
    int32_t *run_workers;   /* [num_runs] workers that make something for the run */
    int64_t num_runs, runs_running;
    double remaining_s;
    rl_sweep_counts counts; /* all but running and waiting */
    bool stopped;
};

/* -------------------------------------------------------------------------------------------------- ready heap */

/* Longest remaining path first; equal ones in plan order, so that the choice is a function of the state. */
static bool before(const rl_scheduler *s, int32_t a, int32_t b)
{
    return s->priority[a] > s->priority[b] || (s->priority[a] == s->priority[b] && a < b);
}

static bool precedes(const rl_scheduler *s, const ready_heap *h, int32_t a, int32_t b)
{
    return h->by_plan_order ? a < b : before(s, a, b);
}

static void place(ready_heap *h, int32_t at, int32_t node)
{
    h->items[at] = node;
    h->place[node] = at;
}

static void sift_up(const rl_scheduler *s, ready_heap *h, int32_t at)
{
    int32_t node = h->items[at];
    for (; at > 0 && precedes(s, h, node, h->items[(at - 1) / 2]); at = (at - 1) / 2) place(h, at, h->items[(at - 1) / 2]);
    place(h, at, node);
}

static void sift_down(const rl_scheduler *s, ready_heap *h, int32_t at)
{
    int32_t node = h->items[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= h->size) break;
        if (child + 1 < h->size && precedes(s, h, h->items[child + 1], h->items[child])) child++;
        if (!precedes(s, h, h->items[child], node)) break;
        place(h, at, h->items[child]);
        at = child;
    }
    place(h, at, node);
}

static void heap_add(const rl_scheduler *s, ready_heap *h, int32_t node)
{
    h->items[h->size] = node;
    sift_up(s, h, h->size++);
}

static void heap_remove(const rl_scheduler *s, ready_heap *h, int32_t node)
{
    int32_t at = h->place[node], last = h->items[--h->size];
    h->place[node] = -1;
    if (last == node) return;
    place(h, at, last);
    sift_up(s, h, at);
    sift_down(s, h, h->place[last]);
}

static bool trains(const rl_scheduler *s, int32_t n)
{
    const rl_node *node = &s->plan->nodes[n];
    return node->kind == RL_NODE_STAGE && (node->stage.kind == RL_STAGE_FINETUNE || node->stage.kind == RL_STAGE_RETRAIN);
}

static void push_ready(rl_scheduler *s, int32_t node)
{
    s->state[node] = RL_NODE_READY;
    heap_add(s, &s->ready, node);
    heap_add(s, &s->begun_first, node);
    if (!trains(s, node)) heap_add(s, &s->light, node);
}

static void take_ready(rl_scheduler *s, int32_t node)
{
    heap_remove(s, &s->ready, node);
    heap_remove(s, &s->begun_first, node);
    if (!trains(s, node)) heap_remove(s, &s->light, node);
}

static rl_status make_heap(ready_heap *h, int32_t num_nodes, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(h->items, num_nodes, err);
    RL_ALLOC(h->place, num_nodes, err);
    for (int32_t n = 0; n < num_nodes; n++) h->place[n] = -1;
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------------ set-up */

static rl_status link_children(rl_scheduler *s, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *next = NULL;
    RL_ALLOC(s->child_start, s->num_nodes + 1, err);
    for (int32_t n = 0; n < s->num_nodes; n++)
        for (int32_t d = 0; d < s->plan->nodes[n].num_depends; d++) {
            RL_REQUIRE(s->plan->nodes[n].depends[d] >= 0 && s->plan->nodes[n].depends[d] < n, err);
            s->child_start[s->plan->nodes[n].depends[d] + 1]++;
        }
    for (int32_t n = 0; n < s->num_nodes; n++) s->child_start[n + 1] += s->child_start[n];
    RL_ALLOC(s->children, s->child_start[s->num_nodes], err);
    RL_ALLOC(next, s->num_nodes, err);
    memcpy(next, s->child_start, (size_t)s->num_nodes * sizeof *next);
    for (int32_t n = 0; n < s->num_nodes; n++)
        for (int32_t d = 0; d < s->plan->nodes[n].num_depends; d++) s->children[next[s->plan->nodes[n].depends[d]]++] = n;
cleanup:
    rl_free(next);
    return status;
}

static void set_priorities(rl_scheduler *s)
{
    for (int32_t n = s->num_nodes - 1; n >= 0; n--) { /* children have larger indices */
        double longest = 0;
        for (int32_t c = s->child_start[n]; c < s->child_start[n + 1]; c++)
            if (s->priority[s->children[c]] > longest) longest = s->priority[s->children[c]];
        s->priority[n] = longest + (s->plan->nodes[n].done ? 0 : s->plan->nodes[n].seconds);
    }
}

static bool is_shard(const rl_scheduler *s, int32_t node) { return s->plan->nodes[node].kind == RL_NODE_SHARD; }

static void count_runs(rl_scheduler *s)
{
    int64_t num_runs = s->plan->sweep ? s->plan->sweep->num_runs : 0;
    for (int64_t r = 0; r < num_runs; r++) {
        s->counts.failed += s->plan->run_error && s->plan->run_error[r];
        s->counts.left_out += rl_plan_leaves_out(s->plan, r);
    }
    s->counts.planned = num_runs - s->counts.left_out;
}

static void start_states(rl_scheduler *s)
{
    for (int32_t n = 0; n < s->num_nodes; n++) {
        const rl_node *node = &s->plan->nodes[n];
        for (int32_t d = 0; d < node->num_depends; d++) s->missing[n] += !s->plan->nodes[node->depends[d]].done;
        s->state[n] = RL_NODE_WAITING;
        if (node->done)
            s->state[n] = RL_NODE_DONE;
        else
            s->remaining_s += node->seconds;
        if (node->done && is_shard(s, n)) s->counts.done += !s->plan->sweep || !s->plan->sweep->runs || !s->plan->sweep->runs[node->run].skipped;
    }
    for (int32_t n = 0; n < s->num_nodes; n++)
        if (s->state[n] == RL_NODE_WAITING && s->missing[n] == 0) push_ready(s, n);
    count_runs(s);
}

rl_status rl_scheduler_create(rl_scheduler **out, const rl_plan *plan, int32_t num_workers, rl_error *err)
{
    rl_status status = RL_OK;
    rl_scheduler *s = NULL;
    RL_REQUIRE(num_workers >= 1, err);
    RL_ALLOC(s, 1, err);
    s->plan = plan;
    s->num_nodes = plan->num_nodes;
    s->num_workers = s->first_light = num_workers;
    RL_ALLOC(s->state, s->num_nodes, err);
    RL_ALLOC(s->missing, s->num_nodes, err);
    RL_ALLOC(s->priority, s->num_nodes, err);
    RL_TRY(make_heap(&s->ready, s->num_nodes, err));
    s->begun_first.by_plan_order = true;
    RL_TRY(make_heap(&s->begun_first, s->num_nodes, err));
    RL_TRY(make_heap(&s->light, s->num_nodes, err));
    RL_ALLOC(s->fallen, s->num_nodes, err);
    for (int32_t n = 0; n < s->num_nodes; n++)
        if (plan->nodes[n].run >= s->num_runs) s->num_runs = plan->nodes[n].run + 1;
    RL_ALLOC(s->run_workers, s->num_runs, err);
    RL_ALLOC(s->running, num_workers, err);
    RL_ALLOC(s->last_done, num_workers, err);
    for (int32_t w = 0; w < num_workers; w++) s->running[w] = s->last_done[w] = -1;
    RL_TRY(link_children(s, err));
    set_priorities(s);
    start_states(s);
    *out = s;
    return RL_OK;
cleanup:
    rl_scheduler_free(s);
    return status;
}

void rl_scheduler_set_light(rl_scheduler *s, int32_t first_light) { s->first_light = first_light; }

void rl_scheduler_free(rl_scheduler *s)
{
    if (!s) return;
    rl_free(s->state);
    rl_free(s->missing);
    rl_free(s->child_start);
    rl_free(s->children);
    rl_free(s->priority);
    rl_free(s->ready.items);
    rl_free(s->ready.place);
    rl_free(s->begun_first.items);
    rl_free(s->begun_first.place);
    rl_free(s->light.items);
    rl_free(s->light.place);
    rl_free(s->fallen);
    rl_free(s->run_workers);
    rl_free(s->running);
    rl_free(s->last_done);
    rl_free(s);
}

/* ------------------------------------------------------------------------------------------------------ events */

/* A ready child of what the worker made last, or -1. */
static int32_t near_at_hand(const rl_scheduler *s, int32_t worker)
{
    int32_t last = s->last_done[worker], best = -1;
    if (last < 0) return -1;
    for (int32_t c = s->child_start[last]; c < s->child_start[last + 1]; c++) {
        int32_t node = s->children[c];
        if (s->state[node] == RL_NODE_READY && (best < 0 || before(s, node, best))) best = node;
    }
    return best;
}

/* Any order keeps all workers busy until little is left (Graham: makespan <= work / m + longest path), so what is begun is finished
 * first: runs are complete early, what a stop leaves is whole runs, and folders can be deleted. Near the end the longest path decides. */
static bool has_slack(const rl_scheduler *s)
{
    return s->remaining_s > 3.0 * s->num_workers * s->priority[s->ready.items[0]];
}

static int32_t choose(const rl_scheduler *s, int32_t worker)
{
    const double worth = 0.95; /* of the longest path: what is at hand costs the end next to nothing */
    int32_t near = near_at_hand(s, worker), first = s->ready.items[0];
    if (has_slack(s)) return near >= 0 ? near : s->begun_first.items[0];
    return near >= 0 && s->priority[near] >= worth * s->priority[first] ? near : first;
}

/* The best of what is no training, or -1. */
static int32_t choose_light(const rl_scheduler *s) { return s->light.size > 0 ? s->light.items[0] : -1; }

int32_t rl_scheduler_assign(rl_scheduler *s, int32_t worker)
{
    if (s->stopped || s->ready.size == 0 || s->running[worker] >= 0) return -1;
    int32_t node = worker >= s->first_light ? choose_light(s) : choose(s, worker);
    if (node < 0) return -1;
    take_ready(s, node);
    s->state[node] = RL_NODE_RUNNING;
    s->running[worker] = node;
    s->num_running++;
    s->runs_running += s->run_workers[s->plan->nodes[node].run]++ == 0;
    return node;
}

static bool leave(rl_scheduler *s, int32_t worker, int32_t node)
{
    if (s->running[worker] != node || s->state[node] != RL_NODE_RUNNING) return false; /* not ours to end */
    s->running[worker] = -1;
    s->num_running--;
    s->runs_running -= --s->run_workers[s->plan->nodes[node].run] == 0;
    return true;
}

void rl_scheduler_done(rl_scheduler *s, int32_t worker, int32_t node)
{
    if (!leave(s, worker, node)) return;
    s->state[node] = RL_NODE_DONE;
    s->last_done[worker] = node;
    s->remaining_s -= s->plan->nodes[node].seconds;
    s->counts.done += is_shard(s, node);
    for (int32_t c = s->child_start[node]; c < s->child_start[node + 1]; c++) {
        int32_t child = s->children[c];
        if (--s->missing[child] == 0 && s->state[child] == RL_NODE_WAITING) push_ready(s, child);
    }
}

/* A dependant of a node that is not done is WAITING, or FAILED already. Depth is that of the DAG: a dozen. */
static void fail_down(rl_scheduler *s, int32_t node)
{
    s->state[node] = RL_NODE_FAILED;
    s->fallen[s->num_fallen++] = node;
    s->remaining_s -= s->plan->nodes[node].seconds;
    s->counts.failed += is_shard(s, node);
    for (int32_t c = s->child_start[node]; c < s->child_start[node + 1]; c++)
        if (s->state[s->children[c]] == RL_NODE_WAITING) fail_down(s, s->children[c]);
}

void rl_scheduler_failed(rl_scheduler *s, int32_t worker, int32_t node)
{
    s->num_fallen = 0;
    if (leave(s, worker, node)) fail_down(s, node);
}

const int32_t *rl_scheduler_fallen(const rl_scheduler *s, int32_t *count)
{
    *count = s->num_fallen;
    return s->fallen;
}

void rl_scheduler_returned(rl_scheduler *s, int32_t worker, int32_t node)
{
    if (leave(s, worker, node)) push_ready(s, node);
}

void rl_scheduler_stop(rl_scheduler *s) { s->stopped = true; }
bool rl_scheduler_finished(const rl_scheduler *s) { return s->num_running == 0 && (s->stopped || s->ready.size == 0); }
int32_t rl_scheduler_num_ready(const rl_scheduler *s) { return s->stopped ? 0 : s->ready.size; }
rl_node_state rl_scheduler_state(const rl_scheduler *s, int32_t node) { return (rl_node_state)s->state[node]; }
double rl_scheduler_path_seconds(const rl_scheduler *s, int32_t node) { return s->priority[node]; }

double rl_scheduler_remaining_seconds(const rl_scheduler *s) { return s->remaining_s > 0 ? s->remaining_s : 0; }

rl_sweep_counts rl_scheduler_counts(const rl_scheduler *s)
{
    rl_sweep_counts counts = s->counts;
    int64_t left = counts.planned - counts.done - counts.failed;
    counts.running = s->runs_running < left ? s->runs_running : left;
    counts.waiting = left - counts.running;
    return counts;
}

/* ------------------------------------------------------------------------------------------------------- check */

static rl_status check_node(const rl_scheduler *s, int32_t n, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_node *node = &s->plan->nodes[n];
    int32_t missing = 0, failed = 0;
    for (int32_t d = 0; d < node->num_depends; d++) {
        missing += s->state[node->depends[d]] != RL_NODE_DONE;
        failed += s->state[node->depends[d]] == RL_NODE_FAILED;
    }
    RL_REQUIRE(missing == s->missing[n], err);
    for (int h = 0; h < 2; h++) {
        const ready_heap *heap = h ? &s->begun_first : &s->ready;
        RL_REQUIRE((heap->place[n] >= 0) == (s->state[n] == RL_NODE_READY), err);
        RL_REQUIRE(heap->place[n] < 0 || heap->items[heap->place[n]] == n, err);
    }
    RL_REQUIRE((s->light.place[n] >= 0) == (s->state[n] == RL_NODE_READY && !trains(s, n)), err);
    RL_REQUIRE(s->state[n] != RL_NODE_READY || missing == 0, err);
    RL_REQUIRE(s->state[n] != RL_NODE_WAITING || missing > 0, err);
    RL_REQUIRE(failed == 0 || s->state[n] == RL_NODE_FAILED || node->done, err);
cleanup:
    return status;
}

rl_status rl_scheduler_check(const rl_scheduler *s, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t running = 0;
    for (int32_t n = 0; n < s->num_nodes; n++) RL_TRY(check_node(s, n, err));
    for (int32_t i = 1; i < s->ready.size; i++)
        RL_REQUIRE(!before(s, s->ready.items[i], s->ready.items[(i - 1) / 2]), err);
    for (int32_t i = 1; i < s->begun_first.size; i++)
        RL_REQUIRE(s->begun_first.items[(i - 1) / 2] < s->begun_first.items[i], err);
    for (int32_t i = 1; i < s->light.size; i++)
        RL_REQUIRE(!before(s, s->light.items[i], s->light.items[(i - 1) / 2]), err);
    for (int32_t w = 0; w < s->num_workers; w++) {
        if (s->running[w] < 0) continue;
        running++;
        RL_REQUIRE(s->state[s->running[w]] == RL_NODE_RUNNING, err);
        for (int32_t v = 0; v < w && s->num_workers <= 64; v++) RL_REQUIRE(s->running[v] != s->running[w], err);
    }
    RL_REQUIRE(running == s->num_running, err);
cleanup:
    return status;
}
