/* pairs.h -- rounding to bfloat16 in the pairs that vdpbf16ps and tdpbf16ps take: two numbers that follow each other along the sum in 32
 * bits, the first one low (AVX512-BF16). */
#ifndef RELEARN_LINALG_PAIRS_H
#define RELEARN_LINALG_PAIRS_H

#include "../turn16.h"

RL_INLINE __mmask16 first_lanes(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1 << n) - 1); }

/* 32 numbers as 32 bfloat16, the first 16 low. */
RL_INLINE __m512i rounded(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }

/* Neighbours along the sum lie beside each other: sixteen pairs of one vector, of which `left` numbers are left. */
RL_INLINE __m512i pairs_along(const float *x, int64_t left)
{
    return rounded(_mm512_maskz_loadu_ps(first_lanes(left), x), _mm512_maskz_loadu_ps(first_lanes(left - 16), x + 16));
}

/* Neighbours along the sum lie below each other: one pair of each of sixteen vectors, of which `left` numbers are left. */
RL_INLINE __m512i pairs_across(const float *x, int64_t ld, __mmask16 vectors, int64_t left)
{
    static const uint16_t interleave[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512 even = left > 0 ? _mm512_maskz_loadu_ps(vectors, x) : _mm512_setzero_ps();
    __m512 odd = left > 1 ? _mm512_maskz_loadu_ps(vectors, x + ld) : _mm512_setzero_ps();
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(interleave), rounded(even, odd));
}

/* Steps over the lines that the next tile is packed from; where there is no step left, it stays. */
RL_INLINE void fetch_line(rl_bf16_lines *lines)
{
    __builtin_prefetch(lines->at, 0, 2);
    lines->at += lines->step;
    if (--lines->left_in_run == 0) lines->left_in_run = lines->run, lines->at += lines->jump;
}

#endif
