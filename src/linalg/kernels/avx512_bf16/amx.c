/* amx.c -- the same products where the processor has AMX: blocks of sixteen rows of A by up to 48 columns of B, 1024 FLOPs a cycle.
 *
 * B is packed as for vdpbf16ps, A with each row's pairs in one run, both filled up with zeros to steps of 32 numbers along the sum. A block's sums
 * stay in three tiles over the whole depth, from C where it is added to, so which columns and threads a product is cut into changes no bit.
 * tdpbf16ps takes denormal numbers for zero and sums in an order of its own (Intel's manual): these are not the bits of vdpbf16ps. */
#include "pairs.h"

#include <string.h>

enum { ROWS = 16, STEP = RL_BF16_STEP };

/* ------------------------------------------------------------------------------------------------- packing */

void rl_amx_pack_left(uint32_t *out, rl_bf16_factor x, int64_t depth, int64_t from, int64_t to)
{
    const int64_t stride = rl_bf16_whole_steps((depth + 1) / 2);
    for (int64_t j = from; j < to; j += ROWS)
        for (int64_t k = 0; k < depth; k += 2 * STEP) {
            uint32_t *at = out + j * stride + k / 2;
            __m512 turned[16];
            if (x.along_rows) {
                for (int i = 0; i < ROWS; i++)
                    _mm512_storeu_si512(at + i * stride, j + i < to ? pairs_along(x.data + (j + i) * x.ld + k, depth - k) : _mm512_setzero_si512());
                continue;
            }
#pragma GCC unroll 16
            for (int p = 0; p < STEP; p++)
                turned[p] = (__m512)pairs_across(x.data + (k + 2 * p) * x.ld + j, x.ld, first_lanes(to - j), depth - k - 2 * p);
            turn_16((float *)at, stride, turned);
        }
}

/* --------------------------------------------------------------------------------------------- multiplying */

/* The compiler is not told what tile instructions read: all that was written to x is in memory now. */
RL_INLINE void settle(const void *x) { __asm__ volatile("" : : "r"(x) : "memory"); }

/* Tiles 0, 1, 2: C; 3: A; 4, 5, 6: B. All of sixteen rows of 64 bytes. */
static void configure(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes_in_row[16];
        uint8_t rows[16];
    } __attribute__((packed)) config = {.palette = 1};
    for (int t = 0; t < 7; t++) config.bytes_in_row[t] = 64, config.rows[t] = ROWS;
    settle(&config);
    _tile_loadconfig(&config);
}

/* What is fetched meanwhile: lines that the next tile is packed from, and the rows of C that follow, for writing. */
typedef struct ahead {
    rl_bf16_lines *lines;
    int64_t lines_a_step, rows_a_step, row;
    const float *next_C;
} ahead;

RL_INLINE void fetch_ahead(const int vectors, ahead *a, int64_t ldc)
{
    for (int64_t i = 0; i < a->lines_a_step && a->lines->count > 0; i++, a->lines->count--) fetch_line(a->lines);
    for (int64_t i = 0; i < a->rows_a_step && a->row < ROWS; i++, a->row++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) __builtin_prefetch(a->next_C + a->row * ldc + 16 * v, 1, 3);
}

/* vectors is a constant at every call. C has sixteen rows of that many vectors. */
RL_INLINE void multiply_block(const int vectors, float *C, int64_t ldc, bool add, const uint32_t *A, const uint32_t *B, int64_t pairs,
                              ahead *a, int64_t next_ldc)
{
    const int64_t c_stride = ldc * (int64_t)sizeof *C, a_stride = pairs * (int64_t)sizeof *A, b_stride = RL_BF16_COLUMNS * (int64_t)sizeof *B;
    if (add) {
        _tile_loadd(0, C, c_stride);
        if (vectors > 1) _tile_loadd(1, C + 16, c_stride);
        if (vectors > 2) _tile_loadd(2, C + 32, c_stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
    }
    for (int64_t pair = 0; pair < pairs; pair += STEP) {
        const uint32_t *b = B + pair * RL_BF16_COLUMNS;
        fetch_ahead(vectors, a, next_ldc);
        _tile_loadd(3, A + pair, a_stride);
        _tile_loadd(4, b, b_stride);
        _tile_dpbf16ps(0, 3, 4);
        if (vectors > 1) {
            _tile_loadd(5, b + 16, b_stride);
            _tile_dpbf16ps(1, 3, 5);
        }
        if (vectors > 2) {
            _tile_loadd(6, b + 32, b_stride);
            _tile_dpbf16ps(2, 3, 6);
        }
    }
    _tile_stored(0, C, c_stride);
    if (vectors > 1) _tile_stored(1, C + 16, c_stride);
    if (vectors > 2) _tile_stored(2, C + 32, c_stride);
}

static void move_rows(float *to, int64_t to_ld, const float *from, int64_t from_ld, int64_t rows, int64_t width)
{
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * to_ld, from + r * from_ld, (size_t)width * sizeof *to);
}

void rl_amx_multiply(float *C, int64_t ldc, bool add, const uint32_t *A, const uint32_t *tile, int64_t M, int64_t width, int64_t pairs,
                     rl_bf16_lines *lines)
{
    const int64_t vectors = (width + 15) / 16, stride = rl_bf16_whole_steps(pairs), steps = (M + ROWS - 1) / ROWS * (stride / STEP);
    ahead a = {.lines = lines, .lines_a_step = (lines->count + steps - 1) / steps, .rows_a_step = (ROWS * STEP + stride - 1) / stride};
    _Alignas(64) float edge[ROWS * RL_BF16_COLUMNS];
    configure();
    for (int64_t m = 0; m < M; m += ROWS) {
        const int64_t rows = M - m < ROWS ? M - m : ROWS;
        const bool whole = rows == ROWS && width % 16 == 0;
        float *at = C + m * ldc, *block = whole ? at : edge;
        const int64_t ld = whole ? ldc : RL_BF16_COLUMNS;
        a.next_C = at + (m + 2 * ROWS <= M ? ROWS * ldc : 0), a.row = 0;
        if (!whole && add) move_rows(edge, ld, at, ldc, rows, width);
        settle(block);
        if (vectors == 1) multiply_block(1, block, ld, add, A + m * stride, tile, stride, &a, ldc);
        if (vectors == 2) multiply_block(2, block, ld, add, A + m * stride, tile, stride, &a, ldc);
        if (vectors == 3) multiply_block(3, block, ld, add, A + m * stride, tile, stride, &a, ldc);
        if (!whole) move_rows(at, ldc, edge, ld, rows, width);
    }
    _tile_release();
}
