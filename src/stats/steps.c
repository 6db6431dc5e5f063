/* steps.c -- the order of the groups of /stats. */
#include "stats_steps.h"

rl_step *const rl_steps[] = {rl_step_comparisons, rl_step_robustness, rl_step_agreement, rl_step_finders,
                            rl_step_components, rl_step_regression, rl_step_variance};
const size_t rl_num_steps = sizeof rl_steps / sizeof *rl_steps;
