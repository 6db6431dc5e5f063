/* cluster_internal.h -- messages between coordinator and workers, and what they share. Seen inside src/cluster only. */
#ifndef RELEARN_CLUSTER_INTERNAL_H
#define RELEARN_CLUSTER_INTERNAL_H

#include "relearn/cluster.h"

typedef enum rl_tag {
    RL_TAG_ASSIGN = 1, /* coordinator -> worker: int32 node, number of the order; node -1: leave the loop */
    RL_TAG_STOP,       /* coordinator -> worker: stop at the next step (no payload) */
    RL_TAG_GIVE_UP,    /* coordinator -> worker: the same two; hand that one back, it takes far too long */
    RL_TAG_REPORT      /* worker -> coordinator: rl_report */
} rl_tag;

typedef enum rl_report_kind {
    RL_REPORT_STEP,    /* tokens_per_second is fresh */
    RL_REPORT_F1,      /* f1 is fresh */
    RL_REPORT_DONE,
    RL_REPORT_FAILED,  /* error says why */
    RL_REPORT_RETURNED, /* stopped; resumable */
    RL_REPORT_NOTICE    /* error.message is a line for people; the node goes on */
} rl_report_kind;
/* One binary, one machine type per job: the struct travels as bytes. */
typedef struct rl_report {
    int32_t kind, node;
    double f1, tokens_per_second, seconds;
    rl_error error; /* FAILED, NOTICE; other reports travel without it and what follows */
    char log[1200]; /* FAILED: the last lines of the rank's log */
} rl_report;

/* rank_log.c: DIR/logs/rank-N.log */
typedef struct rl_rank_log {
    int descriptor; /* -1: none */
    char run[RL_RUN_ID], stage[32], tail[1200];
} rl_rank_log;
void rl_rank_log_open(rl_rank_log *log, const char *directory, int rank);
void rl_rank_log_close(rl_rank_log *log);
void rl_rank_log_begin(rl_rank_log *log, const char *run, const char *stage);
void rl_rank_log_line(rl_rank_log *log, const char *format, ...) RL_PRINTF(2, 3);

/* Where a working process sends its reports: over MPI, or straight into the coordinator when it works alone. */
typedef struct rl_report_sink {
    void *context;
    void (*send)(void *context, const rl_report *report);
    bool (*should_stop)(void *context);
} rl_report_sink;

typedef struct rl_work {
    rl_plan *plan;
    rl_cycle *cycle;
    const char *directory;
    rl_rank_log *log;
    rl_grouping grouping;
} rl_work;

/* group.c: neighbouring ranks that train together, and their messages; see rl_train_group. */
typedef struct rl_rank_group rl_rank_group;
/* Collective over comm. *out stays NULL where this rank has no others with it. */
rl_status rl_rank_group_create(rl_rank_group **out, MPI_Comm comm, const rl_grouping *grouping, rl_error *err);
rl_status rl_rank_group_create_whole(rl_rank_group **out, MPI_Comm comm, rl_error *err); /* all ranks of comm; collective */
void rl_rank_group_free(rl_rank_group *group); /* collective */
const rl_train_group *rl_rank_group_ranks(const rl_rank_group *group);
/* Rank 0 of a group: call the others up to count to help with this node; the others: is there such a call? */
void rl_rank_group_summon(rl_rank_group *group, int32_t node, int32_t count);
bool rl_rank_group_summoned(rl_rank_group *group, int32_t *node);

/* worker.c: execute a node in this process, reporting steps, F1s and the outcome (exactly one of DONE, FAILED, RETURNED). */
void rl_work_on_node(const rl_work *work, int32_t node, const rl_report_sink *sink);
/* A worker rank's whole life: until it is told to leave. group: NULL where it has none. */
void rl_worker_loop(MPI_Comm comm, const rl_work *work, rl_rank_group *group);
/* The life of a rank that helps another one train. */
void rl_helper_loop(MPI_Comm comm, const rl_work *work, rl_rank_group *group);
/* Sleep a little longer each time nothing happened: Open MPI's blocking calls would busy-poll (design §7). */
void rl_poll_pause(int *idle_polls);

/* coordinator.c */
typedef struct rl_coordination {
    char **run_errors;     /* [num_runs] rl_free'd by the owner; NULL = no failure */
    double *node_seconds;  /* [num_nodes] NaN unknown */
    double *earlier_s;     /* [num_nodes] that earlier starts worked on it before they were stopped */
    bool began;            /* the journal holds this start: from here on work may be done */
} rl_coordination;
rl_status rl_coordinate(MPI_Comm comm, const rl_work *work, const rl_cluster_options *options, rl_journal *journal,
                        rl_coordination *state, rl_sweep_outcome *outcome, rl_error *err);

/* inspect.c: collective; journal is rank 0's. */
rl_status rl_inspect(MPI_Comm comm, rl_plan *plan, const rl_cluster_options *options, rl_journal *journal, rl_error *err);
json_t *rl_notice_event(const char *text); /* its record in the journal */
/* A line for people, on the terminal and in the journal. */
void rl_cluster_notice(const rl_cluster_options *options, rl_journal *journal, const char *text);

/* cleaning.c: stage folders that no unfinished run needs any more (policy.keep). */
typedef struct rl_cleaning {
    int32_t *users;        /* [num_nodes] unfinished runs that need the stage */
    double freed_bytes;
    int64_t num_deleted;
} rl_cleaning;
rl_status rl_cleaning_begin(rl_cleaning *cleaning, const rl_work *work, rl_error *err); /* deletes what an earlier start left */
void rl_cleaning_end(rl_cleaning *cleaning);
/* The shard of a run is written: its stages lose a user. */
void rl_cleaning_run_done(rl_cleaning *cleaning, const rl_work *work, int64_t run);
/* Bytes that must stay free: what one stage under way may still write. */
double rl_disk_reserve_bytes(const rl_plan *plan);

/* metrics.c: the file for node_exporter's textfile collector, replaced whole. */
typedef struct rl_metrics {
    const char *sweep, *directory; /* two folders of one sweep may be watched at once: their series must differ */
    const rl_sweep_progress *progress;
    int32_t num_workers, num_busy;
    int64_t messages, retries;
    double messages_s, busy_s, disk_free_bytes;
    bool finished;
} rl_metrics;
void rl_metrics_write(const char *file, const rl_metrics *metrics);

/* What the last complete gather held; "": not known. */
typedef struct rl_gathered {
    char table[RL_DIGEST_HEX];   /* sweep, runs and their status: what had to be gathered */
    char content[RL_DIGEST_HEX]; /* rl_store_digest of the results.h5 that came of it */
} rl_gathered;

/* journal.c: *num_refusals: starts that the file system ended, since a stage was last finished. */
rl_status rl_journal_history(const rl_plan *plan, const char *directory, double *node_seconds, double *earlier_s, rl_gathered *gathered,
                             int32_t *num_refusals, rl_error *err);

#endif
