/* vector.h -- one register of this instruction set as a type, for the three places where a plain loop does not get the
 * code it should: the small matrix product (accumulators must stay in registers), Philox (32 x 32 -> 64 bits has no
 * loop form that gcc 12 turns into pmuludq) and the FMA peak. */
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
