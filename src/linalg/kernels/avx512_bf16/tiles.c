/* tiles.c -- products of bfloat16 factors that are rounded as they are packed (AVX512-BF16).
 *
 * Factors are packed as pairs (pairs.h). Eight rows
 * of A by 48 columns of B stay in 24 registers over the whole depth of a tile: 11 loads for 24 instructions of 64 FLOPs.
 * While a tile is worked on, the lines that the next one is packed from, and those that the next rows of C lie in, are
 * fetched: weights come from memory, gradients go there, and neither waits.
 *
 * An element's sum takes its pairs one after the other into one register, from C where it is added to: which tiles and threads
 * a product is cut into changes no bit. */
#include "pairs.h"

#define ROWS RL_BF16_ROWS
#define VECTORS (RL_BF16_COLUMNS / 16)

/* ------------------------------------------------------------------------------------------------- packing */

/* Sixteen pairs at one depth: columns j .. j + 15 of group-wide panels, each [pairs, group]. group is 8 or a multiple of 16. */
RL_INLINE void put(uint32_t *out, int64_t group, int64_t pairs, int64_t pair, int64_t j, __m512i x)
{
    if (group != ROWS) {
        _mm512_storeu_si512(out + pair * group + j, x);
        return;
    }
    uint32_t *to = out + j / ROWS * pairs * ROWS + pair * ROWS;
    _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)(to + pairs * ROWS), _mm512_extracti64x4_epi64(x, 1));
}

/* Neighbours along the sum lie in one row of x: sixteen rows are rounded and their pairs turned. */
RL_INLINE void pack_rows(uint32_t *out, int64_t group, const float *x, int64_t ld, int64_t depth, int64_t j, int64_t count)
{
    int64_t pairs = (depth + 1) / 2;
    _Alignas(64) float turned[16][16];
    for (int64_t k = 0; k < depth; k += 32) {
        __m512 rows[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            rows[i] = j + i < count ? (__m512)pairs_along(x + (j + i) * ld + k, depth - k) : _mm512_setzero_ps();
        turn_16(turned[0], 16, rows);
        for (int64_t p = 0; p < 16 && k / 2 + p < pairs; p++)
            put(out, group, pairs, k / 2 + p, j, _mm512_load_si512(turned[p]));
    }
}

/* Neighbours along the sum lie below each other: two rows of x are rounded and interleaved. */
RL_INLINE void pack_columns(uint32_t *out, int64_t group, const float *x, int64_t ld, int64_t depth, int64_t j, int64_t count)
{
    __mmask16 mask = first_lanes(count - j);
    for (int64_t k = 0; k < depth; k += 2)
        put(out, group, (depth + 1) / 2, k / 2, j, pairs_across(x + k * ld + j, ld, mask, depth - k));
}

void rl_bf16_pack(uint32_t *out, int64_t group, rl_bf16_factor x, int64_t depth, int64_t from, int64_t to)
{
    for (int64_t j = from; j < to; j += 16)
        if (x.along_rows)
            pack_rows(out, group, x.data, x.ld, depth, j, to);
        else
            pack_columns(out, group, x.data, x.ld, depth, j, to);
}

/* ---------------------------------------------------------------------------------------------- multiplying */

/* One block of C. */
typedef struct block {
    float *C;
    const float *next_C; /* what follows: its lines are fetched for writing */
    int64_t ldc, pairs;
    const uint32_t *a, *b; /* packed panels [pairs, ROWS] and [pairs, RL_BF16_COLUMNS] */
    __mmask16 last;        /* lanes of the last vector */
    bool add;
} block;

RL_INLINE void add_pair(const int rows, const int vectors, __m512 sum[ROWS][VECTORS], const block *t, int64_t pair)
{
    const uint32_t *a = t->a + pair * ROWS, *b = t->b + pair * RL_BF16_COLUMNS;
    __m512i column[VECTORS];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) column[v] = _mm512_loadu_si512(b + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        __m512i row = _mm512_set1_epi32((int)a[r]);
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)row, (__m512bh)column[v]);
    }
}

/* rows <= ROWS and vectors <= VECTORS are constants at every call: sums are registers. */
RL_INLINE void multiply_block(const int rows, const int vectors, const block *t, rl_bf16_lines *lines)
{
    __m512 sum[ROWS][VECTORS];
    int64_t pair = 0, fetching = lines->count < t->pairs ? lines->count : t->pairs;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            sum[r][v] = t->add ? _mm512_maskz_loadu_ps(v == vectors - 1 ? t->last : 0xffff, t->C + r * t->ldc + 16 * v)
                               : _mm512_setzero_ps();
    for (; pair < rows && pair < t->pairs; pair++) { /* one row of what follows at a time */
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++) __builtin_prefetch(t->next_C + pair * t->ldc + 16 * v, 1, 3);
        add_pair(rows, vectors, sum, t, pair);
    }
    lines->count -= fetching > pair ? fetching - pair : 0;
    for (; pair < fetching; pair++) {
        fetch_line(lines);
        add_pair(rows, vectors, sum, t, pair);
    }
    for (; pair < t->pairs; pair++) add_pair(rows, vectors, sum, t, pair);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(t->C + r * t->ldc + 16 * v, v == vectors - 1 ? t->last : 0xffff, sum[r][v]);
}

typedef void block_function(const block *t, rl_bf16_lines *lines);
#define RL_BLOCK(rows, vectors)                                                                \
    static void block_##rows##_##vectors(const block *t, rl_bf16_lines *lines)                 \
    {                                                                                          \
        multiply_block(rows, vectors, t, lines);                                               \
    }
#define RL_BLOCKS(rows) RL_BLOCK(rows, 1) RL_BLOCK(rows, 2) RL_BLOCK(rows, 3)
RL_BLOCKS(1) RL_BLOCKS(2) RL_BLOCKS(3) RL_BLOCKS(4) RL_BLOCKS(5) RL_BLOCKS(6) RL_BLOCKS(7) RL_BLOCKS(8)
#define RL_ENTRIES(rows) {block_##rows##_1, block_##rows##_2, block_##rows##_3}
static block_function *const blocks[ROWS][VECTORS] = {RL_ENTRIES(1), RL_ENTRIES(2), RL_ENTRIES(3), RL_ENTRIES(4),
                                                      RL_ENTRIES(5), RL_ENTRIES(6), RL_ENTRIES(7), RL_ENTRIES(8)};

void rl_bf16_multiply(float *C, int64_t ldc, bool add, const uint32_t *A, const uint32_t *tile, int64_t M, int64_t width,
                      int64_t pairs, rl_bf16_lines *lines)
{
    int64_t vectors = (width + 15) / 16;
    block t = {.ldc = ldc, .pairs = pairs, .b = tile, .last = first_lanes(width - 16 * (vectors - 1)), .add = add};
    for (int64_t m = 0; m < M; m += ROWS) {
        int64_t rows = M - m < ROWS ? M - m : ROWS;
        t.C = C + m * ldc;
        t.next_C = m + ROWS < M ? t.C + ROWS * ldc : t.C;
        t.a = A + m * pairs;
        blocks[rows - 1][vectors - 1](&t, lines);
    }
}

void rl_bf16_pack_left(uint32_t *out, rl_bf16_factor x, int64_t depth, int64_t from, int64_t to) { rl_bf16_pack(out, ROWS, x, depth, from, to); }
