/* steps.c -- the order of the groups of /stats. */
#include "stats_steps.h"

static rl_status nothing(const rl_work *w, rl_outputs *o, rl_error *err)
{
    (void)w;
    (void)o;
    (void)err;
    return RL_OK;
}
rl_step *const rl_steps[] = {nothing};
const size_t rl_num_steps = sizeof rl_steps / sizeof *rl_steps;
