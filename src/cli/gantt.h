/* gantt.h -- who worked on what when, as an SVG picture: at most 64 workers' rows, and how many were busy over time. */
#ifndef RELEARN_GANTT_H
#define RELEARN_GANTT_H

#include "cli.h"

enum { RL_GANTT_ROWS = 64, RL_GANTT_BINS = 512 };
typedef struct rl_gantt_bar {
    double start_s, end_s;
    int32_t row;
    int8_t kind; /* rl_work_kind, then: lost in a kill */
} rl_gantt_bar;
typedef struct rl_gantt {
    const rl_plan *plan;
    int32_t num_workers, num_rows; /* rows are workers spread evenly over all of them */
    rl_gantt_bar *bars;
    size_t count, capacity;
    double bin_s, busy_s[RL_GANTT_BINS]; /* worker seconds per bin; bins double in width as time goes on */
    rl_status status;
} rl_gantt;
rl_gantt rl_gantt_begin(const rl_plan *plan, int32_t num_workers);
void rl_gantt_add(void *gantt, int32_t worker, int32_t node, double start_s, double end_s, bool lost); /* as on_interval */
rl_status rl_gantt_write(const rl_gantt *gantt, const char *file, const rl_simulation *result, rl_error *err);
void rl_gantt_free(rl_gantt *gantt);

#endif
