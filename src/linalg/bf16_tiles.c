/* bf16_tiles.c -- bfloat16 products in tiles, shared by the threads (kernels/avx512_bf16 says how a tile is made: tiles.c, and amx.c
 * where the processor has AMX). */
#include "linalg_internal.h"

#include <string.h>

#ifdef RL_BF16_KERNELS

/* A tile's depth: 144 KiB of pairs, which stay in the second-level cache while the rows of A pass by. Even. */
enum { DEEPEST = 1536, WORTH_SHARING = 1 << 20 /* multiply-adds: 5 microseconds */ };

/* The sum is made in stretches of DEEPEST, one after the other. */
typedef struct product {
    rl_bf16_shape shape;
    rl_bf16_pack_left_function *pack_left;
    rl_bf16_multiply_function *multiply;
    rl_bf16_factor A, B;
    uint32_t *packed; /* stretch after stretch of A */
    float *C;
    rl_pieces rows, columns;
} product;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t panel_rows(int64_t M) { return (M + 15) / 16 * 16; }

size_t rl_bf16_tiles_scratch(int64_t M, int64_t K) { return (size_t)(panel_rows(M) * rl_bf16_whole_steps((K + 1) / 2)); }

static uint32_t *packed_from(const product *p, int64_t k) { return p->packed + panel_rows(p->shape.M) * (k / 2); }

static rl_bf16_factor from_depth(rl_bf16_factor x, int64_t k)
{
    x.data += x.along_rows ? k : k * x.ld;
    return x;
}

/* All of it before anything is written: C may be where A is. */
static void pack_piece(void *context, int worker, int64_t piece)
{
    const product *p = context;
    (void)worker;
    for (int64_t k = 0; k < p->shape.K; k += DEEPEST)
        p->pack_left(packed_from(p, k), from_depth(p->A, k), smaller(p->shape.K - k, DEEPEST), rl_piece_start(p->rows, piece),
                     rl_piece_start(p->rows, piece + 1));
}

static rl_bf16_factor columns_from(rl_bf16_factor B, int64_t n)
{
    B.data += B.along_rows ? n * B.ld : n;
    return B;
}

/* The cache lines that `columns` columns of B are packed from. */
static rl_bf16_lines lines_of(rl_bf16_factor B, int64_t depth, int64_t columns)
{
    const int64_t line = 64, row = B.ld * (int64_t)sizeof(float);
    rl_bf16_lines lines = {.at = (const char *)B.data};
    if (B.along_rows) {
        lines.step = line, lines.run = (depth + 15) / 16, lines.count = lines.run * columns;
        lines.jump = row - lines.run * line;
    } else {
        lines.step = row, lines.run = depth, lines.count = depth * ((columns + 15) / 16);
        lines.jump = line - depth * row;
    }
    lines.left_in_run = lines.run;
    return lines;
}

/* One stretch of the columns from .. to - 1. */
static void multiply_columns(const product *p, int64_t k, int64_t from, int64_t to)
{
    const int64_t depth = smaller(p->shape.K - k, DEEPEST), pairs = (depth + 1) / 2;
    const rl_bf16_factor B = from_depth(p->B, k);
    _Alignas(64) uint32_t tile[DEEPEST / 2 * RL_BF16_COLUMNS];
    memset(tile + pairs * RL_BF16_COLUMNS, 0, (size_t)((rl_bf16_whole_steps(pairs) - pairs) * RL_BF16_COLUMNS) * sizeof *tile);
    for (int64_t n = from; n < to; n += RL_BF16_COLUMNS) {
        int64_t width = smaller(to - n, RL_BF16_COLUMNS), next = n + width;
        rl_bf16_lines lines = lines_of(columns_from(B, next < to ? next : n), depth, smaller(to - next, RL_BF16_COLUMNS));
        rl_bf16_pack(tile, RL_BF16_COLUMNS, columns_from(B, n), depth, 0, width);
        p->multiply(p->C + n, p->shape.N, p->shape.add || k > 0, packed_from(p, k), tile, p->shape.M, width, pairs, &lines);
    }
}

static void multiply_piece(void *context, int worker, int64_t piece)
{
    const product *p = context;
    (void)worker;
    for (int64_t k = 0; k < p->shape.K; k += DEEPEST)
        multiply_columns(p, k, rl_piece_start(p->columns, piece), rl_piece_start(p->columns, piece + 1));
}

void rl_bf16_tiles_product(rl_bf16_way way, rl_bf16_shape s, const float *A, const float *B, float *C, uint32_t *scratch)
{
    int64_t worth = s.M * s.N * s.K >= WORTH_SHARING ? RL_WORTH_SHARING : 0;
    product p = {.shape = s, .pack_left = rl_bf16_pack_left, .multiply = rl_bf16_multiply, .packed = scratch, .C = C};
#ifdef RL_AMX_KERNELS
    if (way == RL_BF16_AMX) p.pack_left = rl_amx_pack_left, p.multiply = rl_amx_multiply;
#else
    (void)way;
#endif
    p.A = s.transpose_a ? (rl_bf16_factor){A, s.M, false} : (rl_bf16_factor){A, s.K, true};
    p.B = s.transpose_b ? (rl_bf16_factor){B, s.K, true} : (rl_bf16_factor){B, s.N, false};
    p.rows = rl_cut(s.M, 16, 1, worth);
    p.columns = rl_cut(s.N, RL_BF16_COLUMNS, 1, worth);
    rl_share_out(p.rows.count, pack_piece, &p);
    rl_share_out(p.columns.count, multiply_piece, &p);
}

#else

/* Nobody asks where rl_bf16_check has said no. */
size_t rl_bf16_tiles_scratch(int64_t M, int64_t K)
{
    (void)M, (void)K;
    return 1;
}

void rl_bf16_tiles_product(rl_bf16_way way, rl_bf16_shape s, const float *A, const float *B, float *C, uint32_t *scratch)
{
    (void)way, (void)s, (void)A, (void)B, (void)C, (void)scratch;
}

#endif
