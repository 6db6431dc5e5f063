/* relearn/sweep.h -- from SWEEP.yaml to who should do what next.
 *
 * YAML -> grid -> runs -> plan (a DAG of stages, shared by key) -> cost -> scheduler. The scheduler is a pure state machine:
 * events in, assignments out; no MPI, no clock, no file, so the MPI coordinator, the single process and the tests drive the same code.
 * Leans on core .. cycle. */
#ifndef RELEARN_SWEEP_H
#define RELEARN_SWEEP_H

#include "relearn/cycle.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --------------------------------------------------------------------------------------------- sweep file */

#define RL_RUN_ID 13
typedef struct rl_run {
    char id[RL_RUN_ID];          /* first 12 hex digits of the run key; filled by rl_plan_create */
    rl_run_settings settings;    /* strings owned by the sweep */
    char **axis_values;          /* [num_axes] as text */
    bool skipped;                /* belongs to the sweep, but is not to be worked on in this start */
} rl_run;
/* What decides how a sweep is worked off, and never what comes out. */
typedef enum rl_keep { RL_KEEP_ALL, RL_KEEP_FINAL, RL_KEEP_NONE } rl_keep;
typedef struct rl_sweep_policy {
    rl_keep keep; /* stage folders that outlive their last use: all; models after the last round, and analyses; none */
    int32_t retries;              /* of a failed stage, before its runs are failed */
    double memory_per_rank_bytes; /* runs that are predicted to need more are refused; 0: no limit */
    struct {
        const char *file; /* the sweep's; or the option's text, with line 0 */
        long line, column;
    } memory_place;               /* what says memory_per_rank, for messages */
    int32_t threads_per_rank;     /* that share one run's passes */
    double stuck_after;           /* a stage that takes this many times its predicted time (at least 5 s) is given up; 0: never */
    double hung_after_s;          /* a rank that has not answered so long after it was asked to give a stage up is left alone */
} rl_sweep_policy;
typedef struct rl_sweep {
    char *path, *name;
    rl_sweep_policy policy;
    int32_t num_axes;
    char **axes;                 /* configuration paths in file order: "model", "seed", "prune.ratio", ... */
    int64_t num_runs;
    rl_run *runs;                /* grid order: the last axis varies fastest; excluded and filtered ones left out */
    char *resolved;              /* the resolved file as YAML text: defaults, presets and --set filled in, absolute paths */
} rl_sweep;
/* Unknown keys, wrong types, values out of range, duplicate keys or axes, empty grids, unreadable files: RL_ERR_INPUT with FILE:LINE:COL and the
 * nearest valid name (for --set and --filter: the text of the option instead of a place). sets: "path=value". filter: NULL or
 * conditions PATH OP VALUE joined by "&&" or "," with OP one of = == != < <= > >= . */
rl_status rl_sweep_read(rl_sweep **out, const char *path, const char *const *sets, size_t num_sets, const char *filter,
                        rl_error *err);
void rl_sweep_free(rl_sweep *sweep);
/* A sweep that goes on in a folder must not drop what the folder holds. previous: DIR/sweep.yaml, the resolved sweep of the last
 * start (absent: *whole stays NULL, sweep is what runs). Where it has runs that sweep lacks, *whole is the grid of both, with
 * the runs that sweep does not ask for marked skipped. Single settings that contradict each other are RL_ERR_INPUT by name, or, with
 * both, an axis of the two values; concepts of one name that are not the same are RL_ERR_INPUT always. unread: why previous cannot be read
 * (then its runs are not known, and *whole stays NULL); untouched when it can.
 * path, sets: as sweep was read; the caller frees both sweeps. */
rl_status rl_sweep_extend(rl_sweep **whole, const rl_sweep *sweep, const char *path, const char *const *sets, size_t num_sets,
                          const char *previous, bool both, rl_error *unread, rl_error *err);
/* One `train.KEY=VALUE` (or prune., retrain., analyse., data.limit, protocol) applied to settings: for `finetune --set`. */
rl_status rl_settings_set(rl_run_settings *settings, const char *assignment, rl_error *err);
/* "train.epochs: 3" lines with their meaning: for --help and docs. */
rl_status rl_settings_describe(rl_buffer *text, rl_error *err);
/* Value of any configuration path of a run as text (for results columns and filters); rl_free. NULL + err when unknown. */
char *rl_settings_get(const rl_run_settings *settings, const char *path, rl_error *err);

/* ---------------------------------------------------------------------------------------------------- plan */

typedef enum rl_node_kind { RL_NODE_STAGE, RL_NODE_SHARD } rl_node_kind;
typedef struct rl_node {
    rl_node_kind kind;
    rl_stage stage;        /* RL_NODE_STAGE */
    int64_t run;           /* the run (shard), or the first run not done that needs the stage */
    int32_t *depends;      /* node indices, all smaller than this node's */
    int32_t num_depends;
    int32_t ranks;         /* that work on it side by side: a group's, where one trains it */
    double seconds;        /* predicted wall time, corrected by what was observed */
    double modelled_s;     /* predicted from FLOPs alone */
    double disk_bytes;     /* of its folder or shard */
    bool there;            /* on disk when planned */
    bool done;             /* that, or not needed in this start */
} rl_node;
/* What times are told apart by: the kind of a stage, and last shards. */
enum { RL_NUM_WORK_KINDS = RL_NUM_STAGE_KINDS + 1 };
int rl_work_kind(const rl_node *node);
const char *rl_work_kind_name(int kind);
typedef struct rl_plan {
    const rl_sweep *sweep;
    int32_t num_nodes;
    rl_node *nodes;
    int32_t **run_nodes;   /* [num_runs] node index of each stage of the run in rl_cycle_stages order, then its shard node */
    int32_t *num_run_nodes;
    int64_t num_stages_unshared; /* what it would be without sharing */
    char **run_error;      /* [num_runs] NULL, or why this run cannot work (its model folder is broken): found before computing */
    int64_t num_failed_before; /* runs that earlier starts failed and this one does not ask for (rl_sweep_past_apply) */
    char *unused_concept;  /* NULL, or what is wrong with a concept of the file that no run looks at: worth a warning */
    char **run_lacks;      /* [num_runs] NULL, or what must be downloaded before the run can work; its cost is estimated */
    double total_seconds, remaining_seconds; /* of every rank that works */
    double critical_path_seconds, disk_bytes, memory_bytes_per_rank;
} rl_plan;
/* Checks every input once (rl_cycle_check_inputs per distinct combination). A broken model folder marks its runs in run_error; when
 * every run is broken, or the fault is in data or concept files, the whole plan is RL_ERR_INPUT. directory NULL: nothing is done yet.
 * num_ranks: of the job, which decides who trains together. gflops: predicted sustained training rate of one rank (0: it is measured). */
rl_status rl_plan_create(rl_plan **out, rl_sweep *sweep, rl_cycle *cycle, const char *directory, int32_t num_ranks, double gflops,
                         rl_error *err);
/* The same for a start that computes: a model that is not downloaded yet is a broken one, its runs fail alone. */
rl_status rl_plan_create_runnable(rl_plan **out, rl_sweep *sweep, rl_cycle *cycle, const char *directory, int32_t num_ranks, double gflops,
                                  rl_error *err);
/* Look at DIR again: done and needed anew, after something was moved away. The predictions stay those of the first look. */
rl_status rl_plan_refresh(rl_plan *plan, const char *directory, rl_error *err);
void rl_plan_free(rl_plan *plan);
/* What DIR holds for a run that is not asked for is another shard than its own: computed by other kernels, or from files that have changed
 * since. The run takes its id, and is done; the plan's sums change with the next rl_plan_leave_out. */
rl_status rl_plan_take_over(rl_plan *plan, int64_t run, const char *id, rl_error *err);
/* Nothing is computed for these runs in this start: leave_out [num_runs]. */
rl_status rl_plan_leave_out(rl_plan *plan, const bool *leave_out, rl_error *err);
/* The run is not asked for, not there, and not refused or failed. */
bool rl_plan_leaves_out(const rl_plan *plan, int64_t run);
/* Predictions corrected by what stages took: factor [RL_NUM_WORK_KINDS] of the modelled seconds (0: nothing known), then
 * observed [num_nodes] (may be NULL) where finite. */
rl_status rl_plan_correct(rl_plan *plan, const double *factor, const double *observed, rl_error *err);
/* Longest path through the DAG when nodes take seconds [num_nodes]; 0: that one is not made. No number of workers makes it shorter. */
rl_status rl_plan_longest_path(double *longest, const rl_plan *plan, const double *seconds, rl_error *err);
/* Predicted wall seconds of what remains on num_workers, by driving the scheduler in virtual time. */
double rl_plan_predict_seconds(const rl_plan *plan, int32_t num_workers, rl_error *err);
/* The shard of a run: DIR/runs/<id>.h5; rl_free. */
char *rl_plan_shard_path(const char *directory, const char *run_id, rl_error *err);

/* May this stage's folder go once everything that reads it is done? */
bool rl_policy_deletes(const rl_sweep_policy *policy, const rl_stage *stage);

/* ------------------------------------------------------------------------------------------------- grouping
 * Who trains with whom (ranks_per_run > 1). Rank 0 coordinates; the ranks behind it are groups of `size` neighbours, of which
 * the first is the worker that the scheduler knows; what is left over works alone, on anything but training. Where not even one
 * group comes together each rank is a worker that makes all shares itself: slower, with the same bits. */
typedef struct rl_grouping {
    int32_t size, num_groups, num_workers; /* workers: the groups first */
} rl_grouping;
rl_grouping rl_grouping_of(const rl_sweep *sweep, int32_t num_ranks);
int32_t rl_grouping_rank(const rl_grouping *grouping, int32_t worker);
int32_t rl_grouping_worker(const rl_grouping *grouping, int32_t rank); /* of a rank >= 1: the worker that it is or helps */
/* First worker that gets no training; num_workers where all do. */
int32_t rl_grouping_first_light(const rl_grouping *grouping);
/* The value that would let all of num_ranks work where they are more than the runs that can go on side by side; 0: none. */
int32_t rl_recommended_ranks_per_run(const rl_plan *plan, int32_t num_ranks);

/* ----------------------------------------------------------------------------------------------- scheduler */

typedef struct rl_scheduler rl_scheduler; /* borrows the plan */
rl_status rl_scheduler_create(rl_scheduler **out, const rl_plan *plan, int32_t num_workers, rl_error *err);
void rl_scheduler_free(rl_scheduler *scheduler);
/* Workers from this one on get no training stages. */
void rl_scheduler_set_light(rl_scheduler *scheduler, int32_t first_light);
/* The idle worker's next node, or -1 (nothing ready now). Longest remaining path first; among near equals the one whose
 * input the worker made last. Where stage folders are to be deleted (policy.keep) and the longest path is far from deciding
 * the end, what was begun is finished first instead, so that few folders are alive at once. Marks the node running. */
int32_t rl_scheduler_assign(rl_scheduler *scheduler, int32_t worker);
/* Outcomes. A failed node fails every node that depends on it; their runs are failed, nothing else is touched. */
void rl_scheduler_done(rl_scheduler *scheduler, int32_t worker, int32_t node);
void rl_scheduler_failed(rl_scheduler *scheduler, int32_t worker, int32_t node);
/* [*count] nodes that the last rl_scheduler_failed took down, that one first; borrowed until the next one. */
const int32_t *rl_scheduler_fallen(const rl_scheduler *scheduler, int32_t *count);
/* A stopped node goes back to ready (worker stopping); nothing is assigned after rl_scheduler_stop. */
void rl_scheduler_returned(rl_scheduler *scheduler, int32_t worker, int32_t node);
void rl_scheduler_stop(rl_scheduler *scheduler);
bool rl_scheduler_finished(const rl_scheduler *scheduler);     /* no node running and none will be assigned any more */
typedef enum rl_node_state { RL_NODE_WAITING, RL_NODE_READY, RL_NODE_RUNNING, RL_NODE_DONE, RL_NODE_FAILED } rl_node_state;
rl_node_state rl_scheduler_state(const rl_scheduler *scheduler, int32_t node);
/* Runs by state: a run is done when its shard node is, and running while a worker makes something for it. left_out: skipped and not there;
 * the sum of the others is planned. */
typedef struct rl_sweep_counts {
    int64_t planned, done, failed, running, waiting, left_out;
} rl_sweep_counts;
rl_sweep_counts rl_scheduler_counts(const rl_scheduler *scheduler);
double rl_scheduler_path_seconds(const rl_scheduler *scheduler, int32_t node); /* predicted, from the node's start to the end of what needs it */
double rl_scheduler_remaining_seconds(const rl_scheduler *scheduler); /* predicted work left, all workers together */
int32_t rl_scheduler_num_ready(const rl_scheduler *scheduler);
/* The whole invariant, for tests and asserts: RL_ERR_INTERNAL names what is broken. */
rl_status rl_scheduler_check(const rl_scheduler *scheduler, rl_error *err);

/* ----------------------------------------------------------------------------------------------- simulation */

/* The scheduler in virtual time: workers take as long as predicted, the coordinator serves one message after the other. */
typedef struct rl_simulation_options {
    int32_t num_workers;
    int32_t num_light;     /* the last so many of them get no training */
    double message_s;      /* coordinator's time for a report and what follows from it; 0: messages cost nothing */
    double reports_per_s;  /* of each worker that trains, beside the report that ends a stage */
    double kill_every_s;   /* mean time between losses of a rank (exponential); each ends the job. 0: none */
    double restart_s;      /* from a loss to the next start's first assignment */
    double spread;         /* standard deviation of the logarithm of stage times around the predicted ones */
    uint64_t seed;         /* of the losses and the spread */
    void *context;
    void (*on_interval)(void *context, int32_t worker, int32_t node, double start_s, double end_s, bool lost); /* may be NULL */
} rl_simulation_options;
typedef struct rl_simulation {
    double makespan_s, work_s, critical_path_s;
    double bound_s;          /* no schedule is shorter: the larger of the critical path and work / workers */
    double efficiency;       /* bound / makespan */
    double busy_share;       /* of workers x makespan, redone work included */
    double lost_s;           /* work done twice because of kills */
    int64_t num_kills, num_nodes, messages;  /* reports and the assignments that answer them */
    double messages_per_s, coordinator_load; /* share of the makespan that the coordinator works; above 1: more reports come than it can serve */
    double peak_disk_bytes;  /* stage folders, checkpoints under way, shards and results.h5 (while it is replaced: both), what is there included */
} rl_simulation;
/* num_workers and num_light of a job of num_ranks. */
void rl_simulation_set_ranks(rl_simulation_options *options, const rl_sweep *sweep, int32_t num_ranks);
/* Of what the plan has not done. RL_ERR_INPUT when losses come so often that nothing is ever finished. */
rl_status rl_simulate(rl_simulation *out, const rl_plan *plan, const rl_simulation_options *options, rl_error *err);

#ifdef __cplusplus
}
#endif
#endif
