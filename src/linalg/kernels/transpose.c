/* transpose.c -- a matrix with its rows and columns exchanged, from memory into a cache. */
#include "turn16.h"

/* How far ahead of the reads the rows are fetched: rows follow each other in memory, but a block is read along several of
 * them at a time, which the processor's own prefetcher does not follow. 16 to 128 KiB measure alike. */
enum { AHEAD = 32768 / sizeof(float) };

#if defined(__AVX512F__)
enum { SIDE = 16 };

RL_INLINE void transpose_block(float *to, int64_t to_stride, const float *from, int64_t from_stride)
{
    __m512 rows[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) rows[i] = _mm512_loadu_ps(from + i * from_stride);
    turn_16(to, to_stride, rows);
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
