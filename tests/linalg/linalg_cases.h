/* linalg_cases.h -- what the kernel tests share: every instruction set of this processor, numbers, and distance in
 * ulps. */
#ifndef RELEARN_LINALG_CASES_H
#define RELEARN_LINALG_CASES_H

#include "linalg_internal.h"
#include "support.h"

/* for (size_t isa = 0; use_isa(isa); isa++): each one this processor has, then the best again. */
static inline bool use_isa(size_t i)
{
    const char *const *names = NULL;
    size_t usable = 0;
    rl_error err = {0};
    rl_linalg_isas(&names, &usable);
    assert_ok(rl_linalg_select_isa(i < usable ? names[i] : NULL, &err), err);
    return i < usable;
}

/* for (size_t b = 0; use_backend(b); b++): each back end of the build. */
static inline bool use_backend(size_t i)
{
    const char *const *names = NULL;
    rl_error err = {0};
    if (i >= rl_gemm_backends(&names)) return false;
    assert_ok(rl_linalg_init(names[i], &err), err);
    assert_string_equal(rl_gemm_backend(), names[i]);
    return true;
}

/* Numbers in (-1, 1), the same in every run. */
static inline float next_number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state * 0x1p-31f;
}

static inline void fill_numbers(float *x, int64_t n, float scale, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) x[i] = scale * next_number(&seed);
}

/* |found - expected| in units of the last place of a float of expected's size. 0 for equal infinities and two NaNs. */
static inline double ulps(float found, double expected)
{
    if (isnan(expected) || isnan(found)) return isnan(expected) && isnan(found) ? 0.0 : INFINITY;
    if (isinf((float)expected) || isinf(found)) return found == (float)expected ? 0.0 : INFINITY;
    int exponent = 0;
    frexp(expected, &exponent);
    if (expected == 0.0 || exponent < -125) exponent = -125;
    return fabs((double)found - expected) / ldexp(1.0, exponent - 24);
}

static inline void *allocate(size_t count, size_t size)
{
    rl_error err = {0};
    void *memory = rl_calloc(count, size, &err);
    assert_non_null(memory);
    return memory;
}
#define FLOATS(count) allocate((size_t)(count), sizeof(float))

#endif
