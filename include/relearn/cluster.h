/* relearn/cluster.h -- the sweep on MPI ranks: rank 0 coordinates, the others work; alone, one process does both.
 *
 * The only room that knows MPI point-to-point. A thin shell around the pure scheduler of sweep.h: messages in, events out,
 * assignments back, every event in DIR/journal.jsonl. Leans on core .. store. */
#ifndef RELEARN_CLUSTER_H
#define RELEARN_CLUSTER_H

#include "relearn/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the coordinator tells its owner (cli prints it). Called on rank 0 only. */
typedef struct rl_sweep_progress {
    rl_sweep_counts runs;
    int64_t nodes_done, nodes_total, nodes_failed;
    double elapsed_s, eta_s;          /* eta: the forecast at first, then corrected by what stages take */
    double tokens_per_second;         /* training tokens over all ranks, last reports */
    double last_f1;                   /* NaN before the first */
    const char *last_event;           /* one line, e.g. "finished retrain 2 of run 0123.. F1 0.9213" */
    bool is_event;                    /* false: a periodic tick */
} rl_sweep_progress;
typedef struct rl_cluster_options {
    const char *directory;
    const char *metrics_file;         /* Prometheus text format; NULL: DIR/metrics.prom */
    double forecast_s;                /* wall seconds that the plan predicts; 0: unknown, the work divided by the workers */
    void *context;
    void (*on_progress)(void *context, const rl_sweep_progress *progress);
    void (*on_notice)(void *context, const char *text); /* one line: something damaged was set aside and is made again; may be NULL */
} rl_cluster_options;
typedef struct rl_sweep_outcome {
    rl_sweep_counts runs;
    bool stopped;              /* a stop was requested, or the disk is full: exit 75 */
    bool disk_full;
    int32_t num_hung;          /* ranks that answer no more: nothing collective can follow; the caller ends the job with 75 */
    int64_t failed_before;     /* of runs.failed: in earlier starts, and this one does not ask for them */
    int64_t stages_computed;   /* by this process group, in this start */
    double busy_s;             /* of all workers together: stages and shards */
    double bound_s;            /* no schedule of what was made is shorter: the larger of its longest path and busy_s / workers */
    int32_t num_workers;
    int64_t messages;          /* that the coordinator handled, */
    double messages_s;         /* and how long that took it, from the message's arrival until the next stage is assigned and the record made; */
    double messages_cpu_s;     /* of that, what a core worked: less where the coordinator shares its core with workers; */
    double upkeep_s;           /* then, when no message waits: write and fsync of the journal, side files, deleting (alone: after each report) */
    double elapsed_s;
} rl_sweep_outcome;
/* Collective. All ranks pass the same plan inputs; only rank 0's errors are the caller's to print. Executes what the plan has
 * not done, journals it, gathers the shards into results.h5. RL_OK even when single runs failed (outcome says so). A file system that refuses
 * (ENOSPC, EDQUOT, EIO) is RL_ERR_IO before work begins, and RL_ERR_STOPPED, resumable, after. */
rl_status rl_cluster_run(MPI_Comm comm, rl_plan *plan, rl_cycle *cycle, const rl_cluster_options *options,
                         rl_sweep_outcome *outcome, rl_error *err);
/* The status every rank shall take: the first failing rank's status and message, broadcast. Collective. */
rl_status rl_cluster_agree(MPI_Comm comm, rl_status status, rl_error *err);
int rl_cluster_cores(void); /* that this process may use: by its affinity, and no more than Slurm gave its job on a machine */
/* Each working rank has a core for each of its threads, and no two ranks of a machine count on the same one: RL_ERR_INPUT says
 * how many there are. One thread a rank passes where the launcher was asked for more ranks than cores. Collective. */
rl_status rl_cluster_check_cores(MPI_Comm comm, int threads_per_rank, rl_error *err);

/* What earlier starts in a folder tell the next one. Zero-initialise; rl_sweep_past_clear. */
typedef struct rl_sweep_past {
    bool known;                            /* it was read, or shared by rank 0 */
    int64_t num_starts;
    double factor[RL_NUM_WORK_KINDS];      /* observed / modelled seconds of each kind of stage, and of shards; 0: none observed */
    char gemm_backend[32], gemm_version[128], isa[32]; /* of the last start */
    json_t *runs;                          /* of the last start: their ids */
    rl_names *failed;                      /* ids of runs that ever failed */
    char **reasons;                        /* [failed] the last one; NULL: the run is done since */
    bool *machines;                        /* [failed] the machine's fault, not the run's: files, memory */
} rl_sweep_past;
rl_status rl_sweep_past_read(rl_sweep_past *out, const char *directory, rl_error *err);
void rl_sweep_past_clear(rl_sweep_past *past);
/* Rank 0's past to all ranks, so that one process reads the journal: what plans depend on. What warnings alone name (runs, gemm_*, isa) stays rank 0's.
 * status: of rank 0's reading. Collective. */
rl_status rl_sweep_past_share(MPI_Comm comm, rl_sweep_past *past, rl_status status, rl_error *err);
/* Forecasts are corrected. Runs that failed by themselves stay failed (the same seed would fail again), those that the machine failed
 * are tried again; retry_failed: exactly the failed ones are worked on. */
rl_status rl_sweep_past_apply(const rl_sweep_past *past, rl_plan *plan, bool retry_failed, rl_error *err);

/* ------------------------------------------------------------------------------------------------ journal */

/* DIR/journal.jsonl: one JSON object a line, each ending in "sum": a checksum of the line before it was added. */
typedef struct rl_journal rl_journal;
rl_status rl_journal_open(rl_journal **out, const char *directory, rl_error *err);
void rl_journal_close(rl_journal *journal);
/* Takes event (a JSON object; reference stolen), adds "time" and "sum", and keeps it for the next write: records that come together cost one. */
rl_status rl_journal_hold(rl_journal *journal, json_t *event, rl_error *err);
/* The same for the members of such an object as text, without braces. */
rl_status rl_journal_hold_text(rl_journal *journal, const char *members, size_t length, rl_error *err);
rl_status rl_journal_flush(rl_journal *journal, rl_error *err);  /* writes what is held: all of it, or nothing and keeps it */
rl_status rl_journal_sync(rl_journal *journal, rl_error *err);   /* that, and fsync */
/* Flushes, holds one record and flushes, or synchronises, that: there and held no more where this succeeds, neither where it fails. */
rl_status rl_journal_append(rl_journal *journal, json_t *event, bool sync, rl_error *err);
/* Each intact record in order; damaged ones (a wrong checksum: a torn last line above all) are counted in *num_damaged. An absent file has none. */
rl_status rl_journal_read(const char *directory, rl_status (*visit)(void *context, const json_t *event, rl_error *err),
                          void *context, int64_t *num_damaged, rl_error *err);
/* The same for the records after a place, which moves on; zero-initialised it is the beginning. *num_damaged counts from there. A journal that is not the
 * one the place was in (it was mended, or begun anew) makes *is_another true: nothing is visited and the place is the beginning again, so the caller
 * forgets what it knows and calls once more. After an error some records may have been visited and the place has not moved. */
typedef struct rl_journal_place {
    size_t offset;
    uint64_t before;     /* hash of what precedes it */
    int64_t num_damaged;
} rl_journal_place;
rl_status rl_journal_read_on(rl_journal_place *place, bool *is_another, const char *directory,
                             rl_status (*visit)(void *context, const json_t *event, rl_error *err), void *context, int64_t *num_damaged, rl_error *err);

/* A journal with damaged records (a kill tore the last line, a disk flipped a bit) is copied to DIR/quarantine and rewritten without them.
 * *notice (rl_free) says so in one line; NULL when there is nothing to say. Only for who holds the folder's lock. */
rl_status rl_journal_mend(char **notice, const char *directory, rl_error *err);

/* The state of a sweep folder as its journal and files tell it, for `status`; alive: a process holds the lock. */
typedef struct rl_run_status {
    char id[RL_RUN_ID];
    char state[16];    /* "done", "failed", "running", "waiting", "left out": the last start does not ask for it */
    char *error;       /* NULL unless failed */
    char *log;         /* the last lines of the log of the rank that failed; or NULL */
    json_t *axes;      /* {"seed": "0", ...}; NULL when the journal does not say */
    double f1;         /* last word-level validation F1 known; NaN */
    double seconds;
} rl_run_status;
typedef struct rl_sweep_status {
    char *name;
    bool alive;
    int64_t num_runs;
    rl_run_status *runs;
    rl_sweep_counts counts;
    int64_t nodes_done, nodes_total;
    int64_t threads_per_rank; /* of the last start */
    double elapsed_s, eta_s, tokens_per_second;
    char started[21], updated[21];
    int64_t damaged_records;
    json_t *notices;   /* [{"time", "text"}]: the newest ten: what was set aside and is made again, a disk that filled up */
    json_t *live;      /* progress.json: "workers", "failures", "disk_free_bytes", ...; NULL when there is none */
} rl_sweep_status;
rl_status rl_sweep_status_read(rl_sweep_status **out, const char *directory, rl_error *err);
/* The same again and again: each look reads what came since the one before. After an error of look only close follows. */
typedef struct rl_sweep_watch rl_sweep_watch;
rl_status rl_sweep_watch_open(rl_sweep_watch **out, const char *directory, rl_error *err);
rl_status rl_sweep_watch_look(rl_sweep_status **out, rl_sweep_watch *watch, rl_error *err);
void rl_sweep_watch_close(rl_sweep_watch *watch);
void rl_sweep_status_free(rl_sweep_status *status);

#ifdef __cplusplus
}
#endif
#endif
