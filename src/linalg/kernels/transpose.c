/* transpose.c -- a matrix with its rows and columns exchanged, from memory into a cache. */
#include "vector.h"

/* How far ahead of the reads the rows are fetched: rows follow each other in memory, but a block is read along several of
 * them at a time, which the processor's own prefetcher does not follow. 16 to 128 KiB measure alike. */
enum { AHEAD = 32768 / sizeof(float) };

#if defined(__AVX512F__)
enum { SIDE = 16 };

/* Sixteen rows of sixteen: pairs of rows interleaved, then pairs of pairs, then quarters of registers moved twice. */
RL_INLINE void transpose_block(float *to, int64_t to_stride, const float *from, int64_t from_stride)
{
    __m512 a[SIDE], b[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) a[i] = _mm512_loadu_ps(from + i * from_stride);
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i += 4) { /* a[i + j]: in quarter q, column 4q + j of rows i .. i + 3 */
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
#else
enum { SIDE = 4 };
#define transpose_block transpose_4_by_4
#endif

static void transpose_part(float *out, const float *in, int64_t rows, int64_t columns, int64_t out_stride,
                           int64_t in_stride)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * out_stride + r] = in[r * in_stride + c];
}

void ISA(transpose)(float *out, const float *in, int64_t rows, int64_t columns, int64_t in_stride)
{
    int64_t whole_rows = rows / SIDE * SIDE, whole_columns = columns / SIDE * SIDE;
    for (int64_t r = 0; r < whole_rows; r += SIDE)
        for (int64_t c = 0; c < whole_columns; c += SIDE) {
            for (int i = 0; i < SIDE; i++) __builtin_prefetch(in + AHEAD + (r + i) * in_stride + c, 0, 2);
            transpose_block(out + c * rows + r, rows, in + r * in_stride + c, in_stride);
        }
    transpose_part(out + whole_columns * rows, in + whole_columns, whole_rows, columns - whole_columns, rows, in_stride);
    transpose_part(out + whole_rows, in + whole_rows * in_stride, rows - whole_rows, columns, rows, in_stride);
}
