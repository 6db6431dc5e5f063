/* isa.c -- which instruction set the kernels run on, and vector functions through its table. */
#include "linalg_internal.h"

#include <string.h>

const rl_kernels *rl_kernels_in_use = &rl_kernels_baseline;

#ifdef RL_X86_64
static const char *const isa_names[] = {"baseline", "avx2", "avx512"};
static const rl_kernels *const isa_tables[] = {&rl_kernels_baseline, &rl_kernels_avx2, &rl_kernels_avx512};

/* __builtin_cpu_supports also asks whether the operating system saves the wide registers. */
static size_t count_usable(void)
{
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? 3 : avx2 ? 2 : 1;
}
#else
static const char *const isa_names[] = {"baseline"};
static const rl_kernels *const isa_tables[] = {&rl_kernels_baseline};
static size_t count_usable(void)
{
    return 1;
}
#endif

#define NUM_ISAS (sizeof isa_names / sizeof *isa_names)

size_t rl_linalg_isas(const char *const **names, size_t *usable)
{
    *names = isa_names;
    *usable = count_usable();
    return NUM_ISAS;
}

static rl_status refuse_unknown(const char *name, rl_error *err)
{
    const char *nearest = rl_nearest_name(name, isa_names, NUM_ISAS);
    return rl_fail(err, RL_ERR_INPUT, "RELEARN_ISA=%s: unknown instruction set; expected %s%s%s%s", name,
                   NUM_ISAS > 1 ? "baseline, avx2 or avx512" : "baseline", nearest ? " (did you mean " : "",
                   nearest ? nearest : "", nearest ? "?)" : "");
}

rl_status rl_linalg_find_isa(size_t *index, const char *name, size_t usable, rl_error *err)
{
    size_t i = 0;
    while (name && i < NUM_ISAS && strcmp(name, isa_names[i]) != 0) i++;
    if (i == NUM_ISAS) return refuse_unknown(name, err);
    if (i >= usable)
        return rl_fail(err, RL_ERR_INPUT, "RELEARN_ISA=%s: this processor does not have it; the best it has is %s",
                       name, isa_names[usable - 1]);
    *index = name ? i : usable - 1;
    return RL_OK;
}

rl_status rl_linalg_select_isa(const char *name, rl_error *err)
{
    size_t index = 0;
    rl_status status = rl_linalg_find_isa(&index, name, count_usable(), err);
    if (status == RL_OK) rl_kernels_in_use = isa_tables[index];
    return status;
}

const char *rl_isa_name(void)
{
    return rl_kernels_in_use->isa;
}

double rl_fma_peak_gflops(void)
{
    float sink = 0.0f;
    double best = 0.0, end = rl_now_s() + 0.05;
    do { /* the best of many short bursts: other processes on the core only ever lower a rate */
        double begin = rl_now_s(), flops = rl_kernels_in_use->fma_work(20000, &sink), seconds = rl_now_s() - begin;
        if (seconds > 0 && flops / seconds > best) best = flops / seconds;
    } while (rl_now_s() < end);
    return best * 1e-9;
}

void rl_exp(float *y, const float *x, int64_t n)
{
    rl_kernels_in_use->exp(y, x, n);
}

void rl_erf(float *y, const float *x, int64_t n)
{
    rl_kernels_in_use->erf(y, x, n);
}
