/* coordinator.h -- rank 0's state, for the two files that share it: coordinator.c decides and records, progress.c says how far it is. */
#ifndef RELEARN_CLUSTER_COORDINATOR_H
#define RELEARN_CLUSTER_COORDINATOR_H

#include "cluster_internal.h"

typedef struct pace { /* by kind; last: shards */
    double seen_s[RL_NUM_WORK_KINDS], predicted_s[RL_NUM_WORK_KINDS];
} pace;

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
    int32_t *order;        /* [num_workers] number of its last assignment: a stage that is tried again is another one */
    int32_t num_orders;
    double *given_up_s;    /* [num_workers] when it was told to hand its node back; 0: not */
    bool *hung;            /* [num_workers] answers no more: gets nothing any more */
    int32_t *idle, num_idle; /* workers without a node */
    bool many;             /* MPI ranks, and not one process that does both */
    double reserve_bytes;
    int8_t *attempts;      /* [num_nodes] failed ones */
    int64_t retries;
    rl_cleaning cleaning;
    char *metrics_file;
    double last_watch_s, last_upkeep_s, last_sync_s;
    bool sync_due;         /* the journal has records that a crash shall not lose */
    int64_t *finished, num_finished; /* [num_runs] runs whose stages may be deleted */
    double left_s[RL_NUM_WORK_KINDS]; /* predicted, by kind; last: shards */
    pace pace;             /* of this start's finished stages */
    double stretch;        /* the forecast / work divided by workers: at least 1 */
    json_t *failures;      /* the newest ten */
    double *speed;         /* [num_workers] tokens/s, 0 = none */
    double *took_s;        /* [num_nodes] what this start made; 0 = not (yet) */
    double start_s, last_tick_s, last_file_s, last_f1;
    double last_estimate_s, eta_s, tokens_per_second;
    int64_t nodes_done, nodes_total, nodes_failed; /* of the runs that this start asks for, or finds done */
    char event[512];
    rl_buffer record;      /* the text of the one that is being made */
    rl_status status;      /* the journal or progress file refused: the sweep stops, nothing is lost */
    rl_error *err;
} coordinator;

void coordinator_describe(const coordinator *c, int32_t index, char *text, size_t size); /* "retrain 1 of run 0123456789ab" */
int32_t coordinator_rank(const coordinator *c, int32_t worker);
double coordinator_factor(const pace *p, int kind); /* by how much stages of this kind, or all, differed from their predictions */
void coordinator_sum_left(coordinator *c);
rl_sweep_progress coordinator_progress(coordinator *c, bool is_event);
/* The small side files that `status` and Prometheus read while the sweep lives. */
void coordinator_write_progress(coordinator *c, const rl_sweep_progress *p, bool finished);

#endif
