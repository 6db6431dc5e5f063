/* clock.h -- wall time, or this thread's own, which other programs on the machine lengthen less. */
#ifndef RELEARN_BENCH_CLOCK_H
#define RELEARN_BENCH_CLOCK_H

#include "relearn/core.h"

#include <time.h>

static inline double clock_now(bool cpu_time)
{
    struct timespec t;
    if (!cpu_time) return rl_now_s();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
