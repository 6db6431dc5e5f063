/* plan_text.h -- a plan in words, for `plan` and at the start of `run`. */
#ifndef RELEARN_PLAN_TEXT_H
#define RELEARN_PLAN_TEXT_H

#include "cli.h"

/* num_ranks as given to mpirun: one of several coordinates. directory may be NULL. */
rl_status rl_print_plan(FILE *out, const rl_plan *plan, int num_ranks, const char *directory, rl_error *err);
rl_status rl_print_plan_json(FILE *out, const rl_plan *plan, int num_ranks, rl_error *err);

#endif
