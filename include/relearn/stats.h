/* relearn/stats.h -- what the runs of a sweep say together.
 *
 * DIR/results.h5 (gathered by store) in; DIR/results.h5 with /stats out (docs/results-format.md), and the main findings as
 * JSON for whoever prints them. Read through parallel HDF5 by all ranks of a communicator, computed by all of them, the
 * large linear algebra by ScaLAPACK; written by rank 0 into a copy that is read back, synchronised and renamed, so a kill
 * leaves the old file. Leans on core .. store. */
#ifndef RELEARN_STATS_H
#define RELEARN_STATS_H

#include "relearn/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collective. DIR/results.h5:/stats is replaced. *findings: on rank 0 a new JSON object (json_decref), NULL elsewhere. A
 * results.h5 that is absent, unfinished or not ours is RL_ERR_INPUT; one without a done run too ("nothing to say"). */
rl_status rl_stats_compute(MPI_Comm comm, const char *directory, json_t **findings, rl_error *err);
/* DIR/results.h5 has a /stats that was computed from its present contents by this version, and is as it was computed (*changed: all but
 * that). Never fails: false. */
bool rl_stats_is_current(const char *directory, bool *changed);

/* Nightly: one metric's values of accumulated seeds and of new ones, and what comparing them says. */
typedef struct rl_drift {
    const double *before, *now; /* finite; the caller's */
    int64_t num_before, num_now;
    double mean_before, mean_now;
    double low, high;           /* 95 % prediction interval for the mean of num_now further seeds (t; needs 2 before) */
    double p, smallest;         /* two-sided permutation test of the difference of means; the smallest p that so few seeds allow */
    double adjusted;            /* Benjamini-Hochberg over all metrics compared; NaN when a side is empty */
    bool exact;                 /* all splits were counted, none drawn */
    bool moved;                 /* adjusted <= q */
} rl_drift;
/* Not collective. False discovery rate q over the n metrics; when nothing changed, the chance that any is flagged is at most q. */
rl_status rl_drift_compare(rl_drift *metrics, int64_t n, double q, int64_t *num_moved, rl_error *err);

/* For doctor: the largest |A V - V diag(w)| of a small symmetric eigenproblem solved by pdsyevd on all ranks. Collective. */
rl_status rl_scalapack_residual(MPI_Comm comm, double *residual, rl_error *err);

#ifdef __cplusplus
}
#endif
#endif
