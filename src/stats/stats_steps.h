/* stats_steps.h -- what stats.c does after the per-run measures, one function a group of /stats. All collective. */
#ifndef RELEARN_STATS_STEPS_H
#define RELEARN_STATS_STEPS_H

#include "stats_internal.h"

typedef struct rl_work {
    const rl_source *source;
    rl_resampler *resampler;
    rl_curves *curves;
    rl_layers **layers; /* [num_models] */
    double *relocation, *relocation_mass; /* [num_runs] */
} rl_work;
typedef rl_status rl_step(const rl_work *work, rl_outputs *outputs, rl_error *err);
rl_step rl_step_comparisons, rl_step_agreement, rl_step_finders, rl_step_components, rl_step_regression, rl_step_variance, rl_step_robustness;
/* robustness.c: NaN unless the gain is positive. */
double rl_relearning_robustness(double fresh_gain, double gain);
/* For one model; *peak_bytes (may be NULL): grows to the largest local matrix. */
rl_status rl_components_of_model(const rl_work *work, int32_t model, rl_outputs *outputs, size_t *peak_bytes, rl_error *err);
extern rl_step *const rl_steps[];
extern const size_t rl_num_steps;

/* Everything but the writing; *findings on rank 0, may be NULL. */
rl_status rl_stats_outputs(rl_outputs *outputs, MPI_Comm comm, const char *path, json_t **findings, rl_error *err);
/* findings.c */
rl_status rl_findings_make(json_t **out, const rl_source *source, const rl_outputs *outputs, rl_error *err);

#endif
