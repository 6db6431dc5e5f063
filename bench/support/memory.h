/* memory.h -- what memory gives (STREAM's triad, a plain read) and what this process holds of it. */
#ifndef RELEARN_BENCH_MEMORY_H
#define RELEARN_BENCH_MEMORY_H

#include "relearn/core.h"

typedef struct bandwidth {
    double triad, read; /* GB/s of one core: a = b + s c (three arrays counted); the sum of an array */
} bandwidth;
/* Arrays of `bytes` each, which should not fit into the last cache; the best of a few passes, by the clock of clock.h. */
rl_status measure_bandwidth(bandwidth *out, int64_t bytes, bool cpu_time, rl_error *err);

double resident_mib(void); /* now */
double peak_mib(void);     /* so far; a forked child starts from what it inherits */

#endif
