/* simulate.c -- the scheduler in virtual time: what a sweep takes on N workers, with losses of ranks and a coordinator
 * that serves one message after the other. The forecast of `plan` is the same simulation without either. */
#include "sweep_internal.h"

#include <math.h>
#include <string.h>

typedef struct task { /* a worker and when it will be free, in a binary heap by time */
    double until;
    int32_t worker, node;
} task;

typedef struct simulator {
    const rl_plan *plan;
    const rl_simulation_options *options;
    rl_scheduler *scheduler;
    task *heap;                /* [num_workers] busy workers, the next to end first */
    int32_t size, *idle, num_idle;
    double *since;             /* [num_workers] start of what runs there */
    double *saved;             /* [num_nodes] share that checkpoints hold; NULL without kills */
    int32_t *readers;          /* [num_nodes] nodes that will still read this one's folder */
    double now_s, served_s;    /* virtual time; when the coordinator is free again */
    double coordinator_s;      /* that it worked */
    int32_t num_reporting;     /* busy workers that tell of their steps */
    double next_kill_s, disk_bytes;
    int64_t draws;
    int fruitless;             /* kills in a row without anything gained */
    rl_simulation result;
} simulator;

/* ------------------------------------------------------------------------------------------------- busy workers */

static void push_task(simulator *m, task item)
{
    int32_t at = m->size++;
    for (; at > 0 && m->heap[(at - 1) / 2].until > item.until; at = (at - 1) / 2) m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = item;
}

static task pop_task(simulator *m)
{
    task *heap = m->heap, first = heap[0], last = heap[--m->size];
    int32_t at = 0;
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= m->size) break;
        if (child + 1 < m->size && heap[child + 1].until < heap[child].until) child++;
        if (heap[child].until >= last.until) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* --------------------------------------------------------------------------------------------------- durations */

static bool is_training(const rl_node *node)
{
    return node->kind == RL_NODE_STAGE && (node->stage.kind == RL_STAGE_FINETUNE || node->stage.kind == RL_STAGE_RETRAIN);
}

static double epochs_of(const rl_node *node)
{
    if (!is_training(node) || !node->stage.settings) return 1;
    const rl_run_settings *settings = node->stage.settings;
    return (double)(node->stage.kind == RL_STAGE_FINETUNE ? settings->train.epochs : settings->retrain_epochs);
}

/* exp(N(-s^2/2, s)) has mean 1: the total work stays what was predicted. The same at any number of workers. */
static double whole_seconds(const simulator *m, int32_t node)
{
    double s = m->options->spread, seconds = m->plan->nodes[node].seconds;
    return s > 0 ? seconds * exp(s * rl_rng_normal(m->options->seed, RL_PURPOSE_BOOTSTRAP, 1, 0, (uint64_t)node) - s * s / 2)
                 : seconds;
}

static double seconds_left(const simulator *m, int32_t node)
{
    return whole_seconds(m, node) * (m->saved ? 1 - m->saved[node] : 1);
}

static double until_next_kill(simulator *m)
{
    double mean = m->options->kill_every_s;
    if (mean <= 0) return INFINITY;
    return -mean * log(rl_rng_uniform(m->options->seed, RL_PURPOSE_BOOTSTRAP, 2, 0, (uint64_t)m->draws++));
}

/* -------------------------------------------------------------------------------------------------------- disk */

static void use_disk(simulator *m, double bytes)
{
    m->disk_bytes += bytes;
    if (m->disk_bytes > m->result.peak_disk_bytes) m->result.peak_disk_bytes = m->disk_bytes;
}

/* A training stage's folder holds a checkpoint: weights and two moments. */
static double working_bytes(const rl_node *node) { return is_training(node) ? 3 * node->disk_bytes : 0; }

static void release_input(simulator *m, int32_t input)
{
    const rl_node *node = &m->plan->nodes[input];
    if (--m->readers[input] == 0 && node->kind == RL_NODE_STAGE && m->plan->sweep &&
        rl_policy_deletes(&m->plan->sweep->policy, &node->stage))
        use_disk(m, -node->disk_bytes);
}

/* results.h5 holds what the shards hold. */
static double results_bytes(const rl_plan *plan, bool of_there)
{
    double bytes = 0;
    for (int32_t n = 0; n < plan->num_nodes; n++)
        if (plan->nodes[n].kind == RL_NODE_SHARD && (plan->nodes[n].there || (!of_there && !plan->nodes[n].done))) bytes += plan->nodes[n].disk_bytes;
    return bytes;
}

static void count_disk(simulator *m)
{
    for (int32_t n = 0; n < m->plan->num_nodes; n++) {
        const rl_node *node = &m->plan->nodes[n];
        if (node->there && (node->kind == RL_NODE_SHARD || m->readers[n] > 0 || !m->plan->sweep ||
                           !rl_policy_deletes(&m->plan->sweep->policy, &node->stage)))
            use_disk(m, node->disk_bytes);
    }
    use_disk(m, results_bytes(m->plan, true));
}

/* The gather writes the new results.h5 beside the old one. */
static void gather_disk(simulator *m) { use_disk(m, results_bytes(m->plan, false)); }

/* ------------------------------------------------------------------------------------------------------ events */

/* Training tells of its steps while it goes on; what ends before the first such report is due sends none. */
static double reports_of(const simulator *m, const rl_node *node, double seconds)
{
    return is_training(node) ? floor(m->options->reports_per_s * seconds) : 0;
}

/* The coordinator takes a message when it is done with those before; reports under way slow it down evenly. Returns when
 * its answer is out. */
static double serve(simulator *m, double at_s)
{
    double reports = m->options->reports_per_s * (double)m->num_reporting * m->options->message_s;
    double service = m->options->message_s / (1 - (reports < 0.95 ? reports : 0.95));
    double start = m->served_s > at_s ? m->served_s : at_s;
    m->served_s = start + service;
    m->coordinator_s += m->options->message_s;
    return m->served_s;
}

/* The idle worker that gets something, and what; those that train come first. -1: none. */
static int32_t next_idle(simulator *m, int32_t *node)
{
    int32_t first_light = m->options->num_workers - m->options->num_light;
    for (int light = 0; light < 2; light++)
        for (int32_t i = m->num_idle - 1; i >= 0; i--) {
            if ((m->idle[i] >= first_light) != light) continue;
            *node = rl_scheduler_assign(m->scheduler, m->idle[i]);
            if (*node >= 0) return i;
            if (!light) break; /* nothing is ready at all */
        }
    return -1;
}

static void assign_idle(simulator *m, double from_s)
{
    int32_t node = -1;
    for (int32_t place; (place = next_idle(m, &node)) >= 0;) {
        int32_t worker = m->idle[place];
        m->idle[place] = m->idle[--m->num_idle];
        m->result.messages++;
        m->since[worker] = from_s;
        use_disk(m, m->plan->nodes[node].disk_bytes + working_bytes(&m->plan->nodes[node]));
        double seconds = seconds_left(m, node);
        m->num_reporting += reports_of(m, &m->plan->nodes[node], seconds) > 0;
        push_task(m, (task){from_s + seconds, worker, node});
    }
}

static void tell_interval(simulator *m, const task *t, double end_s, bool lost)
{
    m->result.busy_share += end_s - m->since[t->worker]; /* seconds until the end, then a share */
    if (m->options->on_interval)
        m->options->on_interval(m->options->context, t->worker, t->node, m->since[t->worker], end_s, lost);
}

static void end_task(simulator *m)
{
    task t = pop_task(m);
    const rl_node *node = &m->plan->nodes[t.node];
    m->now_s = t.until;
    tell_interval(m, &t, t.until, false);
    rl_scheduler_done(m->scheduler, t.worker, t.node);
    use_disk(m, -working_bytes(node));
    for (int32_t d = 0; d < node->num_depends; d++) release_input(m, node->depends[d]);
    m->idle[m->num_idle++] = t.worker;
    double reports = reports_of(m, node, seconds_left(m, t.node));
    m->num_reporting -= reports > 0;
    m->coordinator_s += reports * m->options->message_s;
    m->result.messages += 1 + (int64_t)reports;
    m->result.num_nodes++;
    m->fruitless = 0;
    assign_idle(m, serve(m, t.until));
}

/* A lost rank ends the MPI job: all workers go back to their last checkpoints, and wait for the next start. */
static rl_status kill_job(simulator *m, rl_error *err)
{
    double gained = 0;
    m->now_s = m->next_kill_s;
    while (m->size > 0) {
        task t = m->heap[--m->size];
        const rl_node *node = &m->plan->nodes[t.node];
        double whole = whole_seconds(m, t.node), ran = fmax(m->now_s - m->since[t.worker], 0), epochs = epochs_of(node);
        double reached = is_training(node) ? floor((m->saved[t.node] + ran / whole) * epochs + 1e-9) / epochs : 0;
        double kept = fmax(reached - m->saved[t.node], 0) * whole;
        m->result.lost_s += ran - kept;
        gained += kept;
        if (reached > m->saved[t.node]) m->saved[t.node] = reached;
        if (ran > 0) tell_interval(m, &t, m->now_s, true);
        m->result.messages += (int64_t)reports_of(m, node, ran);
        m->coordinator_s += reports_of(m, node, ran) * m->options->message_s;
        use_disk(m, -(node->disk_bytes + working_bytes(node)));
        rl_scheduler_returned(m->scheduler, t.worker, t.node);
        m->idle[m->num_idle++] = t.worker;
    }
    m->num_reporting = 0;
    m->coordinator_s -= fmax(m->served_s - m->now_s, 0); /* what still waited for it */
    m->result.num_kills++;
    m->fruitless = gained > 0 ? 0 : m->fruitless + 1;
    if (m->fruitless > 10000)
        return rl_fail(err, RL_ERR_INPUT,
                       "the sweep would never end: a rank is lost every %g s, and no epoch is done in between",
                       m->options->kill_every_s);
    m->now_s += m->options->restart_s;
    m->served_s = m->now_s;
    m->next_kill_s = m->now_s + until_next_kill(m);
    assign_idle(m, m->now_s);
    return RL_OK;
}

/* ------------------------------------------------------------------------------------------------------- whole */

static rl_status prepare(simulator *m, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_plan *plan = m->plan;
    RL_TRY(rl_scheduler_create(&m->scheduler, plan, m->options->num_workers, err));
    rl_scheduler_set_light(m->scheduler, m->options->num_workers - m->options->num_light);
    RL_ALLOC(m->heap, m->options->num_workers, err);
    RL_ALLOC(m->idle, m->options->num_workers, err);
    RL_ALLOC(m->since, m->options->num_workers, err);
    RL_ALLOC(m->readers, plan->num_nodes, err);
    if (m->options->kill_every_s > 0) RL_ALLOC(m->saved, plan->num_nodes, err);
    for (int32_t n = 0; n < plan->num_nodes; n++)
        for (int32_t d = 0; d < plan->nodes[n].num_depends && !plan->nodes[n].done; d++) m->readers[plan->nodes[n].depends[d]]++;
    for (int32_t w = m->options->num_workers; w > 0; w--) m->idle[m->num_idle++] = w - 1;
    count_disk(m);
    m->next_kill_s = until_next_kill(m);
cleanup:
    return status;
}

/* Of what was to do, with the times that were simulated. */
static rl_status critical_path(double *longest, const simulator *m, rl_error *err)
{
    rl_status status = RL_OK;
    double *seconds = NULL;
    RL_ALLOC(seconds, m->plan->num_nodes, err);
    for (int32_t n = 0; n < m->plan->num_nodes; n++) seconds[n] = m->plan->nodes[n].done ? 0 : whole_seconds(m, n);
    RL_TRY(rl_plan_longest_path(longest, m->plan, seconds, err));
cleanup:
    rl_free(seconds);
    return status;
}

static void sum_up(simulator *m)
{
    rl_simulation *r = &m->result;
    double workers = (double)m->options->num_workers;
    r->makespan_s = fmax(m->now_s, m->served_s); /* over when the coordinator has heard of the last stage */
    r->work_s = r->busy_share - r->lost_s;
    r->bound_s = fmax(r->critical_path_s, r->work_s / workers);
    r->efficiency = r->makespan_s > 0 ? r->bound_s / r->makespan_s : 1;
    r->busy_share = r->makespan_s > 0 ? r->busy_share / (workers * r->makespan_s) : 1;
    r->messages_per_s = r->makespan_s > 0 ? (double)r->messages / r->makespan_s : 0;
    r->coordinator_load = r->makespan_s > 0 ? m->coordinator_s / r->makespan_s : 0;
}

rl_status rl_simulate(rl_simulation *out, const rl_plan *plan, const rl_simulation_options *options, rl_error *err)
{
    rl_status status = RL_OK;
    simulator m = {.plan = plan, .options = options};
    RL_TRY(prepare(&m, err));
    assign_idle(&m, 0);
    while (m.size > 0) {
        if (m.heap[0].until <= m.next_kill_s)
            end_task(&m);
        else
            RL_TRY(kill_job(&m, err));
    }
    gather_disk(&m);
    RL_TRY(critical_path(&m.result.critical_path_s, &m, err));
    sum_up(&m);
    *out = m.result;
cleanup:
    rl_free(m.heap);
    rl_free(m.idle);
    rl_free(m.since);
    rl_free(m.saved);
    rl_free(m.readers);
    rl_scheduler_free(m.scheduler);
    return status;
}

double rl_plan_predict_seconds(const rl_plan *plan, int32_t num_workers, rl_error *err)
{
    rl_simulation result;
    const rl_simulation_options options = {.num_workers = num_workers};
    return rl_simulate(&result, plan, &options, err) == RL_OK ? result.makespan_s : NAN;
}
