/* vector.h -- one register of this instruction set as a type, for the places where a plain loop does not get the code
 * it should: the small matrix product (accumulators must stay in registers), sums over the short rows of a softmax (an
 * `omp simd` sum ends in a chain of scalar additions), Philox (32 x 32 -> 64 bits has no loop form that gcc 12 turns
 * into pmuludq) and the FMA peak. */
#ifndef RELEARN_LINALG_VECTOR_H
#define RELEARN_LINALG_VECTOR_H

#include "kernels.h"

#include <string.h>

#if defined(__AVX512F__)
#define RL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define RL_VECTOR_BYTES 32
#else
#define RL_VECTOR_BYTES 16
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define RL_FLOATS (RL_VECTOR_BYTES / 4)
#define RL_WORDS (RL_VECTOR_BYTES / 8)
typedef float floats __attribute__((vector_size(RL_VECTOR_BYTES)));
typedef int32_t ints __attribute__((vector_size(RL_VECTOR_BYTES)));
typedef uint64_t words __attribute__((vector_size(RL_VECTOR_BYTES)));

RL_INLINE floats load_floats(const float *x)
{
    floats v;
    memcpy(&v, x, sizeof v); /* any alignment */
    return v;
}

RL_INLINE void store_floats(float *x, floats v)
{
    memcpy(x, &v, sizeof v);
}

RL_INLINE floats larger(floats a, floats b)
{
    ints where = a > b;
    return (floats)(((ints)a & where) | ((ints)b & ~where));
}

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_ints __attribute__((vector_size(16)));

/* Lanes summed as a tree: quarters of the register, then the four lanes. */
RL_INLINE float sum_of_lanes(floats v)
{
    quad part[RL_FLOATS / 4];
    memcpy(part, &v, sizeof v);
#pragma GCC unroll 2
    for (int half = RL_FLOATS / 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return (part[0][0] + part[0][2]) + (part[0][1] + part[0][3]);
}

RL_INLINE float largest_lane(floats v)
{
    quad part[RL_FLOATS / 4];
    memcpy(part, &v, sizeof v);
#pragma GCC unroll 2
    for (int half = RL_FLOATS / 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) {
            quad_ints where = part[i + half] > part[i];
            part[i] = (quad)(((quad_ints)part[i + half] & where) | ((quad_ints)part[i] & ~where));
        }
    float a = part[0][0] > part[0][2] ? part[0][0] : part[0][2], b = part[0][1] > part[0][3] ? part[0][1] : part[0][3];
    return a > b ? a : b;
}

/* to[k][0..3] = (from[0][k], from[1][k], from[2][k], from[3][k]). */
RL_INLINE void transpose_4_by_4(float *to, int64_t to_stride, const float *from, int64_t from_stride)
{
    quad a, b, c, d;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + from_stride, sizeof b);
    memcpy(&c, from + 2 * from_stride, sizeof c);
    memcpy(&d, from + 3 * from_stride, sizeof d);
    quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    quad AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    quad column[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                      __builtin_shufflevector(AB, CD, 0, 1, 4, 5), __builtin_shufflevector(AB, CD, 2, 3, 6, 7)};
    for (int k = 0; k < 4; k++) memcpy(to + k * to_stride, &column[k], sizeof(quad));
}

/* Low 32 bits of each word times the same of the other: 64 bits. */
RL_INLINE words multiply_low_halves(words a, words b)
{
#if defined(__AVX512F__)
    return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

#endif
