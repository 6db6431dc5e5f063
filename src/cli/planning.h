/* planning.h -- from a sweep file and the folder it goes on in to a plan: what run, plan, simulate and nightly begin with. */
#ifndef RELEARN_PLANNING_H
#define RELEARN_PLANNING_H

#include "cli.h"

typedef struct rl_planned {
    rl_sweep *sweep;
    rl_cycle *cycle;
    rl_plan *plan;
    char *directory; /* NULL: none, nothing is done yet */
    const rl_sweep_past *past; /* the planning's */
    rl_error unread; /* why DIR/sweep.yaml, and so what ran there, could not be read; status RL_OK: it could */
} rl_planned;
typedef struct rl_planning {
    const char *file, *directory, *filter, *like; /* directory NULL: results/NAME, when it is there or must_have_folder */
    const char *sets[RL_MAX_GIVEN + 8];
    size_t num_sets;
    int32_t num_ranks; /* of the job that runs or is predicted */
    double gflops;     /* as in rl_plan_create: 0 where forecasts are looked at, else nothing is measured for them */
    bool must_have_folder, retry_failed;
    rl_sweep_past *past;   /* the caller's, who clears it: read at the first plan, so that several of one folder read the journal once */
    bool both; /* settings that contradict the folder's become an axis: nightly looks at what they change */
} rl_planning;
/* From the options --out, --set, --filter, --like where the command has them. */
rl_planning rl_planning_from(const rl_args *args);
rl_status rl_planned_make(rl_planned *out, const rl_planning *planning, rl_error *err);
/* The same on all ranks, of which rank 0 alone reads the journal. Collective. */
rl_status rl_planned_make_together(rl_planned *out, const rl_planning *planning, rl_error *err);
void rl_planned_clear(rl_planned *planned);
/* cmd_run.c: execute, gather, statistics; progress and outcome are printed. budget_s > 0: stops after that. Collective. */
rl_status rl_planned_work(const rl_planned *planned, const char *metrics_file, double budget_s, int *exit_code, rl_error *err);
/* Shards of DIR/runs by name: their order must not be the file system's. *names (rl_free) points into *found (rl_names_free). */
rl_status rl_list_shards(rl_names **found, const char ***names, const char *directory, rl_error *err);
/* Says when what lies there was computed by other kernels than this start's, and when finished runs of the last start are not among this one's
 * (their files' contents changed, say): nothing of them can be used again. */
void rl_planned_warn_of_past(const rl_planned *planned);

#endif
