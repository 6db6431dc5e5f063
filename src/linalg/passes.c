/* passes.c -- the public passes: each forwards to the kernels in use, cut into pieces where threads share it.
 *
 * Rows that stand alone are cut by rows, sums down columns by columns, elements by ranges, attention by sentence and head:
 * every number comes out of the same operations in the same order as without a cut. Columns and elements are cut at
 * multiples of 64 floats (a cache line, and whole registers of every instruction set), so that the vector loops of a
 * piece are the whole's, tail included. */
#include "linalg_internal.h"

#include <math.h>

enum { COLUMNS = 64, ELEMENTS = 4096, PER_THREAD = 4 /* pieces: a slow core takes fewer */ };

/* ------------------------------------------------------------------------------------------------- by rows */

typedef struct rows_pass {
    float *y, *sum, *mean, *rstd;
    const float *x, *bias, *residual, *gamma, *beta;
    int64_t C;
    float eps;
    rl_dropout dropout;
    rl_pieces pieces;
} rows_pass;

static rl_pieces cut_rows(int64_t T, int64_t C)
{
    return rl_cut(T, 1, PER_THREAD, T * C);
}

static void layer_norm_piece(void *context, int worker, int64_t piece)
{
    const rows_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1), at = from * a->C;
    (void)worker;
    rl_kernels_in_use->layer_norm_forward(a->y + at, a->mean + from, a->rstd + from, a->x + at, a->gamma, a->beta,
                                          to - from, a->C, a->eps);
}

void rl_layer_norm_forward(float *y, float *mean, float *rstd, const float *x, const float *gamma, const float *beta,
                           int64_t T, int64_t C, float eps)
{
    rows_pass a = {.y = y, .mean = mean, .rstd = rstd, .x = x, .gamma = gamma, .beta = beta, .C = C, .eps = eps,
                   .pieces = cut_rows(T, C)};
    rl_share_out(a.pieces.count, layer_norm_piece, &a);
}

static void residual_layer_norm_piece(void *context, int worker, int64_t piece)
{
    const rows_pass *a = context;
    (void)worker;
    rl_kernels_in_use->residual_layer_norm_forward(a->y, a->sum, a->mean, a->rstd, a->x, a->bias, a->residual, a->gamma,
                                                   a->beta, rl_piece_start(a->pieces, piece),
                                                   rl_piece_start(a->pieces, piece + 1), a->C, a->eps, a->dropout);
}

void rl_residual_layer_norm_forward(float *y, float *sum, float *mean, float *rstd, const float *x, const float *bias,
                                    const float *residual, const float *gamma, const float *beta, int64_t T, int64_t C,
                                    float eps, rl_dropout dropout)
{
    rows_pass a = {y, sum, mean, rstd, x, bias, residual, gamma, beta, C, eps, dropout, cut_rows(T, C)};
    rl_share_out(a.pieces.count, residual_layer_norm_piece, &a);
}

static void residual_piece(void *context, int worker, int64_t piece)
{
    const rows_pass *a = context;
    (void)worker;
    rl_kernels_in_use->residual_forward(a->sum, a->x, a->bias, a->residual, rl_piece_start(a->pieces, piece),
                                        rl_piece_start(a->pieces, piece + 1), a->C, a->dropout);
}

void rl_residual_forward(float *sum, const float *x, const float *bias, const float *residual, int64_t T, int64_t C,
                         rl_dropout dropout)
{
    rows_pass a = {.sum = sum, .x = x, .bias = bias, .residual = residual, .C = C, .dropout = dropout,
                   .pieces = cut_rows(T, C)};
    rl_share_out(a.pieces.count, residual_piece, &a);
}

typedef void gelu_forward_kernel(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F);
typedef struct gelu_pass {
    gelu_forward_kernel *kernel;
    float *y, *pre;
    const float *x, *bias;
    int64_t F;
    rl_pieces pieces;
} gelu_pass;

static void gelu_piece(void *context, int worker, int64_t piece)
{
    const gelu_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1), at = from * a->F;
    (void)worker;
    a->kernel(a->y + at, a->pre + at, a->x + at, a->bias, to - from, a->F);
}

void rl_bias_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    gelu_pass a = {rl_kernels_in_use->bias_gelu_forward, y, pre, x, bias, F, cut_rows(T, F)};
    rl_share_out(a.pieces.count, gelu_piece, &a);
}

void rl_bias_tanh_gelu_forward(float *y, float *pre, const float *x, const float *bias, int64_t T, int64_t F)
{
    gelu_pass a = {rl_kernels_in_use->bias_tanh_gelu_forward, y, pre, x, bias, F, cut_rows(T, F)};
    rl_share_out(a.pieces.count, gelu_piece, &a);
}

/* ---------------------------------------------------------------------------------------------- by columns */

typedef void gelu_backward_kernel(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F,
                                  int64_t stride);
typedef struct gelu_back_pass {
    gelu_backward_kernel *kernel;
    float *dpre, *dbias;
    const float *dy, *pre;
    int64_t T, F;
    rl_pieces pieces;
} gelu_back_pass;

static rl_pieces cut_columns(int64_t T, int64_t N)
{
    return rl_cut(N, COLUMNS, PER_THREAD, T * N);
}

static void gelu_back_piece(void *context, int worker, int64_t piece)
{
    const gelu_back_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1);
    (void)worker;
    a->kernel(a->dpre + from, a->dbias + from, a->dy + from, a->pre + from, a->T, to - from, a->F);
}

void rl_bias_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F)
{
    gelu_back_pass a = {rl_kernels_in_use->bias_gelu_backward, dpre, dbias, dy, pre, T, F, cut_columns(T, F)};
    rl_share_out(a.pieces.count, gelu_back_piece, &a);
}

void rl_bias_tanh_gelu_backward(float *dpre, float *dbias, const float *dy, const float *pre, int64_t T, int64_t F)
{
    gelu_back_pass a = {rl_kernels_in_use->bias_tanh_gelu_backward, dpre, dbias, dy, pre, T, F, cut_columns(T, F)};
    rl_share_out(a.pieces.count, gelu_back_piece, &a);
}

typedef struct norm_back_pass {
    float *dx, *dgamma, *dbeta;
    const float *dy, *x, *mean, *rstd, *gamma;
    int64_t T, C;
    rl_pieces pieces;
} norm_back_pass;

static void norm_back_columns_piece(void *context, int worker, int64_t piece)
{
    const norm_back_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1);
    (void)worker;
    rl_kernels_in_use->layer_norm_backward_columns(a->dgamma + from, a->dbeta + from, a->dy + from, a->x + from, a->mean,
                                                   a->rstd, a->T, to - from, a->C);
}

static void norm_back_rows_piece(void *context, int worker, int64_t piece)
{
    const norm_back_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1), at = from * a->C;
    (void)worker;
    rl_kernels_in_use->layer_norm_backward_rows(a->dx + at, a->dy + at, a->x + at, a->mean + from, a->rstd + from,
                                                a->gamma, to - from, a->C);
}

/* Alone in one go. Together the sums down columns come first: dx, by rows, may be written over dy. */
void rl_layer_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy, const float *x, const float *mean,
                            const float *rstd, const float *gamma, int64_t T, int64_t C)
{
    norm_back_pass a = {dx, dgamma, dbeta, dy, x, mean, rstd, gamma, T, C, cut_columns(T, C)};
    if (a.pieces.count == 1) {
        rl_kernels_in_use->layer_norm_backward(dx, dgamma, dbeta, dy, x, mean, rstd, gamma, T, C);
        return;
    }
    rl_share_out(a.pieces.count, norm_back_columns_piece, &a);
    a.pieces = cut_rows(T, C);
    rl_share_out(a.pieces.count, norm_back_rows_piece, &a);
}

typedef struct sums_pass {
    float *sums;
    const float *x;
    int64_t T, N;
    rl_pieces pieces;
} sums_pass;

static void sums_piece(void *context, int worker, int64_t piece)
{
    const sums_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1);
    (void)worker;
    rl_kernels_in_use->column_sums(a->sums + from, a->x + from, a->T, to - from, a->N);
}

void rl_column_sums(float *sums, const float *x, int64_t T, int64_t N)
{
    sums_pass a = {sums, x, T, N, cut_columns(T, N)};
    rl_share_out(a.pieces.count, sums_piece, &a);
}

/* --------------------------------------------------------------------------------------------- by elements */

typedef struct elements_pass {
    float *y;
    const float *a, *b;
    rl_dropout dropout;
    rl_pieces pieces;
} elements_pass;

static rl_pieces cut_elements(int64_t n)
{
    return rl_cut(n, ELEMENTS, PER_THREAD, n);
}

static void dropout_piece(void *context, int worker, int64_t piece)
{
    const elements_pass *p = context;
    int64_t from = rl_piece_start(p->pieces, piece), to = rl_piece_start(p->pieces, piece + 1);
    (void)worker;
    rl_kernels_in_use->dropout_at(p->y + from, p->a + from, (uint64_t)from, to - from, p->dropout);
}

void rl_dropout_apply(float *y, const float *x, int64_t n, rl_dropout dropout)
{
    elements_pass p = {.y = y, .a = x, .dropout = dropout, .pieces = cut_elements(n)};
    rl_share_out(p.pieces.count, dropout_piece, &p);
}

static void add_piece(void *context, int worker, int64_t piece)
{
    const elements_pass *p = context;
    int64_t from = rl_piece_start(p->pieces, piece), to = rl_piece_start(p->pieces, piece + 1);
    (void)worker;
    rl_kernels_in_use->add(p->y + from, p->a + from, p->b + from, to - from);
}

void rl_add(float *y, const float *a, const float *b, int64_t n)
{
    elements_pass p = {.y = y, .a = a, .b = b, .pieces = cut_elements(n)};
    rl_share_out(p.pieces.count, add_piece, &p);
}

typedef struct adamw_pass {
    float *p, *m, *v;
    const float *g;
    rl_adamw settings;
    rl_pieces pieces;
} adamw_pass;

static void adamw_piece(void *context, int worker, int64_t piece)
{
    const adamw_pass *a = context;
    int64_t from = rl_piece_start(a->pieces, piece), to = rl_piece_start(a->pieces, piece + 1);
    (void)worker;
    rl_kernels_in_use->adamw_step(a->p + from, a->g + from, a->m + from, a->v + from, to - from, a->settings);
}

void rl_adamw_step(float *p, const float *g, float *m, float *v, int64_t n, rl_adamw settings)
{
    adamw_pass a = {p, m, v, g, settings, cut_elements(n)};
    rl_share_out(a.pieces.count, adamw_piece, &a);
}

/* A row of a table at a time: a caller with many rows shares those out. */
void rl_adamw_idle_steps(float *p, float *m, float *v, int64_t n, rl_adamw settings, const rl_adamw_rates *rates,
                         int64_t count)
{
    rl_kernels_in_use->adamw_idle_steps(p, m, v, n, settings, rates, count);
}

/* One sum in one order: a caller with many arrays shares those out (rl_sums_of_squares). */
double rl_sum_of_squares(const float *x, int64_t n)
{
    return rl_kernels_in_use->sum_of_squares(x, n);
}

/* ------------------------------------------------------------------------------- by sentences and heads */

int64_t rl_attention_probs_count(const int32_t *start, int64_t B, int64_t H)
{
    int64_t count = 0;
    for (int64_t b = 0; b < B; b++) {
        int64_t n = start[b + 1] - start[b];
        count += H * n * n;
    }
    return count;
}

rl_attention_scores rl_attention_scores_default(int64_t D)
{
    return (rl_attention_scores){.scale = 1.0f / sqrtf((float)D)};
}

/* One transposed [D, n] panel of keys or values, and two [RL_ATTENTION_ROWS, n] blocks of scores. */
static int64_t scratch_of_thread(int64_t max_length, int64_t D)
{
    return rl_attention_padded(max_length) * (D + 2 * RL_ATTENTION_ROWS);
}

size_t rl_attention_scratch_count(int64_t max_length, int64_t D)
{
    return (size_t)(rl_linalg_threads() * scratch_of_thread(max_length, D));
}

typedef struct attention_pass {
    float *out, *probs, *scratch; /* backward: out is dqkv */
    const float *dout, *qkv, *kept;
    const int32_t *start;
    int64_t H, D, scratch_each, head_groups;
    rl_attention_scores scores;
    rl_dropout dropout;
} attention_pass;

/* Sentences in order, each cut into as many groups of heads as make a piece for everybody. */
static int64_t cut_attention(attention_pass *a, int64_t B)
{
    int64_t C = a->H * a->D, longest = 0;
    for (int64_t b = 0; b < B; b++)
        if (a->start[b + 1] - a->start[b] > longest) longest = a->start[b + 1] - a->start[b];
    bool alone = rl_cut(B * a->H, 1, 1, 4 * (a->start[B] - a->start[0]) * C).count == 1;
    a->head_groups = alone ? 1 : a->H;
    a->scratch_each = scratch_of_thread(longest, a->D);
    return B * a->head_groups;
}

typedef struct heads {
    int64_t sentence, from, to;
    uint64_t first; /* of the sentence's probabilities; only kept and dropped ones need it */
} heads;

static heads heads_of(const attention_pass *a, int64_t piece, bool with_first)
{
    int64_t b = piece / a->head_groups, group = piece % a->head_groups;
    return (heads){b, group * a->H / a->head_groups, (group + 1) * a->H / a->head_groups,
                   with_first ? (uint64_t)rl_attention_probs_count(a->start, b, a->H) : 0};
}

static void attention_piece(void *context, int worker, int64_t piece)
{
    const attention_pass *a = context;
    heads h = heads_of(a, piece, a->probs != NULL);
    rl_kernels_in_use->attention_forward(a->out, a->probs, a->qkv, a->start, h.sentence, h.from, h.to, a->H, a->D, h.first,
                                         a->scores, a->dropout, a->scratch + worker * a->scratch_each);
}

void rl_attention_forward(float *out, float *probs, const float *qkv, const int32_t *start, int64_t B, int64_t H,
                          int64_t D, rl_attention_scores scores, rl_dropout dropout, float *scratch)
{
    attention_pass a = {.out = out, .probs = probs, .scratch = scratch, .qkv = qkv, .start = start, .H = H, .D = D,
                        .scores = scores, .dropout = probs ? dropout : rl_dropout_none()};
    rl_share_out(cut_attention(&a, B), attention_piece, &a);
}

static void attention_back_piece(void *context, int worker, int64_t piece)
{
    const attention_pass *a = context;
    heads h = heads_of(a, piece, true);
    rl_kernels_in_use->attention_backward(a->out, a->dout, a->qkv, a->kept, a->start, h.sentence, h.from, h.to, a->H,
                                          a->D, h.first, a->scores, a->dropout, a->scratch + worker * a->scratch_each);
}

void rl_attention_backward(float *dqkv, const float *dout, const float *qkv, const float *probs, const int32_t *start,
                           int64_t B, int64_t H, int64_t D, rl_attention_scores scores, rl_dropout dropout,
                           float *scratch)
{
    attention_pass a = {.out = dqkv, .scratch = scratch, .dout = dout, .qkv = qkv, .kept = probs, .start = start,
                        .H = H, .D = D, .scores = scores, .dropout = dropout};
    rl_share_out(cut_attention(&a, B), attention_back_piece, &a);
}
