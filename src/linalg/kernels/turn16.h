/* turn16.h -- sixteen registers of sixteen floats as a matrix with its rows and columns exchanged (AVX-512). */
#ifndef RELEARN_LINALG_TURN16_H
#define RELEARN_LINALG_TURN16_H

#include "vector.h"

#if defined(__AVX512F__)
/* to[j * to_stride + i] = rows[i][j]. Pairs of rows are interleaved, then pairs of pairs, then quarters of registers moved
 * twice. rows is used up. */
RL_INLINE void turn_16(float *to, int64_t to_stride, __m512 rows[16])
{
    __m512 *a = rows, b[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* a[i + j]: in quarter q, column 4q + j of rows i .. i + 3 */
        a[i] = (__m512)_mm512_unpacklo_pd((__m512d)b[i], (__m512d)b[i + 2]);
        a[i + 1] = (__m512)_mm512_unpackhi_pd((__m512d)b[i], (__m512d)b[i + 2]);
        a[i + 2] = (__m512)_mm512_unpacklo_pd((__m512d)b[i + 1], (__m512d)b[i + 3]);
        a[i + 3] = (__m512)_mm512_unpackhi_pd((__m512d)b[i + 1], (__m512d)b[i + 3]);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) { /* a[j], a[j + 4], a[j + 8], a[j + 12] hold columns j, j + 4, j + 8 and j + 12 */
        __m512 even_upper = _mm512_shuffle_f32x4(a[j], a[j + 4], 0x88),
               odd_upper = _mm512_shuffle_f32x4(a[j], a[j + 4], 0xdd),
               even_lower = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0x88),
               odd_lower = _mm512_shuffle_f32x4(a[j + 8], a[j + 12], 0xdd);
        _mm512_storeu_ps(to + j * to_stride, _mm512_shuffle_f32x4(even_upper, even_lower, 0x88));
        _mm512_storeu_ps(to + (j + 4) * to_stride, _mm512_shuffle_f32x4(odd_upper, odd_lower, 0x88));
        _mm512_storeu_ps(to + (j + 8) * to_stride, _mm512_shuffle_f32x4(even_upper, even_lower, 0xdd));
        _mm512_storeu_ps(to + (j + 12) * to_stride, _mm512_shuffle_f32x4(odd_upper, odd_lower, 0xdd));
    }
}
#endif

#endif
