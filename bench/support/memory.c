/* memory.c -- see memory.h. Source of the loops: McCalpin, STREAM. */
#include "memory.h"

#include "clock.h"

#include <stdio.h>
#include <string.h>

enum { PASSES = 5, LANES = 64 };

static void triad(float *restrict a, const float *restrict b, const float *restrict c, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] = b[i] + 0.5f * c[i];
}

/* Sums side by side, so that additions do not wait for each other. */
static float read_all(const float *x, int64_t n)
{
    float lane[LANES] = {0}, sum = 0;
    for (int64_t i = 0; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

static double shorter(double a, double b) { return a < b ? a : b; }

rl_status measure_bandwidth(bandwidth *out, int64_t bytes, bool cpu_time, rl_error *err)
{
    rl_status status = RL_OK;
    float *a = NULL, *b = NULL, *c = NULL;
    volatile float sink = 0;
    int64_t n = bytes / (int64_t)sizeof *a;
    double best_triad = 1e9, best_read = 1e9;
    RL_ALLOC(a, n, err);
    RL_ALLOC(b, n, err);
    RL_ALLOC(c, n, err);
    for (int i = 0; i < PASSES; i++) {
        double from = clock_now(cpu_time);
        triad(a, b, c, n);
        double between = clock_now(cpu_time);
        sink = sink + read_all(b, n);
        best_triad = shorter(best_triad, between - from);
        best_read = shorter(best_read, clock_now(cpu_time) - between);
        sink = sink + a[i];
    }
    out->triad = 3e-9 * (double)bytes / best_triad;
    out->read = 1e-9 * (double)bytes / best_read;
cleanup:
    rl_free(a);
    rl_free(b);
    rl_free(c);
    return status;
}

/* A line "KEY:   N kB" of Linux's /proc/self/status, 0 where there is none. */
static double status_mib(const char *key)
{
    char line[256];
    double kib = 0;
    size_t length = strlen(key);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, length) && sscanf(line + length, ": %lf", &kib) == 1) break;
    if (file) fclose(file);
    return kib / 1024;
}

double resident_mib(void) { return status_mib("VmRSS"); }

double peak_mib(void) { return status_mib("VmHWM"); }
