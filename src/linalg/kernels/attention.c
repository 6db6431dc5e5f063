/* attention.c -- softmax(scale Q K^T) V, all keys or causal, sentence by sentence and head by head, on packed qkv.
 * Source: protocol §2.1. Sentences have some 15 to 20 tokens, so the products are small_product's; RL_ATTENTION_ROWS
 * queries at a time keep the scores of a long sentence in cache. Score rows are padded to RL_ATTENTION_PAD columns, so
 * that no vector loop over them has a tail: padded scores are -inf before the softmax and so 0 after it. */
#include "small_product.h"
#include "vector_math.h"

#include <math.h>

/* One head of one sentence: where its rows are. */
typedef struct head {
    int64_t n, padded, D, stride;           /* stride: of a row of qkv, 3C */
    const float *query, *key, *value;       /* [n, D] */
    uint64_t first;                         /* index in probs of this head's [n, n] */
    float padding[RL_ATTENTION_PAD];        /* added to the last columns of scores: 0, or -inf on padded ones */
} head;

/* Scratch of one call: a transposed panel [D, padded] and two blocks [RL_ATTENTION_ROWS, padded]. Probabilities that
 * nobody keeps lie in the second block: without dropout it is free. */
typedef struct workspace {
    float *panel, *scores, *dropped;
} workspace;

static workspace cut(float *scratch, const head *h)
{
    float *scores = scratch + h->D * h->padded;
    return (workspace){scratch, scores, scores + RL_ATTENTION_ROWS * h->padded};
}

static head find_head(const float *qkv, const int32_t *start, int64_t b, int64_t i, int64_t H, int64_t D,
                      uint64_t first_of_sentence)
{
    int64_t n = start[b + 1] - start[b], C = H * D;
    const float *query = qkv + start[b] * 3 * C + i * D;
    head h = {n, rl_attention_padded(n), D, 3 * C, query, query + C, query + 2 * C,
              first_of_sentence + (uint64_t)(i * n * n), {0}};
    for (int64_t j = n - h.padded + RL_ATTENTION_PAD; j < RL_ATTENTION_PAD; j++) h.padding[j] = -INFINITY;
    return h;
}

/* panel[d][j] = rows[j][d], padded columns 0. */
static void transpose(float *panel, const float *rows, const head *h)
{
    const int64_t n4 = h->n / 4 * 4, D4 = h->D / 4 * 4;
    for (int64_t j = 0; j < n4; j += 4) {
        const float *from = rows + j * h->stride;
        for (int64_t d = 0; d < D4; d += 4) transpose_4_by_4(panel + d * h->padded + j, h->padded, from + d, h->stride);
        for (int64_t d = D4; d < h->D; d++)
            for (int64_t i = 0; i < 4; i++) panel[d * h->padded + j + i] = from[i * h->stride + d];
    }
    for (int64_t d = 0; d < h->D; d++) {
        float *to = panel + d * h->padded;
        for (int64_t j = n4; j < h->n; j++) to[j] = rows[j * h->stride + d];
        for (int64_t j = h->n; j < h->padded; j++) to[j] = 0.0f;
    }
}

/* p[n] = softmax(s[n]); s has padded columns and is overwritten. NaN anywhere makes the row NaN: the maximum passes it
 * by, the sum does not. */
static void softmax_row(float *restrict p, float *restrict s, const head *h)
{
    float *last = s + h->padded - RL_ATTENTION_PAD;
    /* Whole registers: a smaller store would stall the load that follows. */
    for (int i = 0; i < RL_ATTENTION_PAD; i += RL_FLOATS)
        store_floats(last + i, load_floats(last + i) + load_floats(h->padding + i));
    floats best = load_floats(s), sum = {0};
    for (int64_t j = RL_FLOATS; j < h->padded; j += RL_FLOATS) best = larger(load_floats(s + j), best);
    float largest = largest_lane(best);
#pragma omp simd
    for (int64_t j = 0; j < h->padded; j++) s[j] = exp_one(s[j] - largest);
    for (int64_t j = 0; j < h->padded; j += RL_FLOATS) sum += load_floats(s + j);
    float scale = 1.0f / sum_of_lanes(sum);
#pragma omp simd
    for (int64_t j = 0; j < h->n; j++) p[j] = s[j] * scale;
}

/* Queries i .. i + rows - 1 see keys up to their own: behind it scores are -inf, so probabilities 0, and the backward pass
 * needs nothing of its own. */
static void hide_later_keys(float *scores, int64_t i, int64_t rows, const head *h)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = i + r + 1; j < h->n; j++) scores[r * h->padded + j] = -INFINITY;
}

static void head_forward(float *out, float *probs, const head *h, rl_attention_scores how, const rl_dropout *dropout,
                         float *scratch)
{
    workspace w = cut(scratch, h);
    transpose(w.panel, h->key, h);
    for (int64_t i = 0; i < h->n; i += RL_ATTENTION_ROWS) {
        int64_t rows = h->n - i < RL_ATTENTION_ROWS ? h->n - i : RL_ATTENTION_ROWS;
        float *p = probs ? probs + i * h->n : w.dropped;
        small_matrix q = {h->query + i * h->stride, h->stride, 1}, weights = {p, h->n, 1};
        small_product(w.scores, h->padded, q, w.panel, h->padded, rows, h->padded, h->D, how.scale, false);
        if (how.causal) hide_later_keys(w.scores, i, rows, h);
        for (int64_t r = 0; r < rows; r++) softmax_row(p + r * h->n, w.scores + r * h->padded, h);
        if (dropout->p > 0.0f) {
            ISA(dropout_at)(w.dropped, p, h->first + (uint64_t)(i * h->n), rows * h->n, *dropout);
            weights.data = w.dropped;
        }
        small_product(out + i * h->stride / 3, h->stride / 3, weights, h->value, h->stride, rows, h->D, h->n, 1.0f,
                      false);
    }
}

void ISA(attention_forward)(float *out, float *probs, const float *qkv, const int32_t *start, int64_t b, int64_t i,
                            int64_t heads, int64_t H, int64_t D, uint64_t first, rl_attention_scores scores,
                            rl_dropout dropout, float *scratch)
{
    for (; i < heads; i++) {
        head h = find_head(qkv, start, b, i, H, D, first);
        head_forward(out + start[b] * H * D + i * D, probs ? probs + h.first : NULL, &h, scores, &dropout, scratch);
    }
}

/* Through the softmax and the dropout at once. With dropped = factor * p and u = gradient of dropped (padded rows):
 * dp = factor u, dscore = scale p (dp - sum dp p) = scale (dropped u - p sum dropped u). Written over u. */
static void softmax_backward_row(float *restrict u, const float *p, const float *dropped, int64_t n, float scale)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += dropped[j] * u[j];
#pragma omp simd
    for (int64_t j = 0; j < n; j++) u[j] = scale * (dropped[j] * u[j] - p[j] * sum);
}

/* out = P V, P = dropout(softmax(S)), S = scale Q K^T:
 * dV = P^T dout, dP = dout V^T, dQ = dS K, dK = dS^T Q. dV and dK add up over the blocks of queries, in order. */
static void head_backward(float *dquery, const float *dout, const float *probs, const head *h, float scale,
                          const rl_dropout *dropout, float *scratch)
{
    workspace w = cut(scratch, h);
    int64_t C = h->stride / 3;
    float *dkey = dquery + C, *dvalue = dkey + C;
    transpose(w.panel, h->value, h);
    for (int64_t i = 0; i < h->n; i += RL_ATTENTION_ROWS) {
        int64_t rows = h->n - i < RL_ATTENTION_ROWS ? h->n - i : RL_ATTENTION_ROWS;
        const float *p = probs + i * h->n, *dropped = p, *dout_rows = dout + i * C, *query = h->query + i * h->stride;
        if (dropout->p > 0.0f) {
            ISA(dropout_at)(w.dropped, p, h->first + (uint64_t)(i * h->n), rows * h->n, *dropout);
            dropped = w.dropped;
        }
        small_matrix up = {dout_rows, C, 1}, dropped_t = {dropped, 1, h->n}, ds = {w.scores, h->padded, 1},
                     ds_t = {w.scores, 1, h->padded};
        small_product(dvalue, h->stride, dropped_t, dout_rows, C, h->n, h->D, rows, 1.0f, i > 0);
        small_product(w.scores, h->padded, up, w.panel, h->padded, rows, h->padded, h->D, 1.0f, false);
        for (int64_t r = 0; r < rows; r++)
            softmax_backward_row(w.scores + r * h->padded, p + r * h->n, dropped + r * h->n, h->n, scale);
        small_product(dquery + i * h->stride, h->stride, ds, h->key, h->stride, rows, h->D, h->n, 1.0f, false);
        small_product(dkey, h->stride, ds_t, query, h->stride, h->n, h->D, rows, 1.0f, i > 0);
    }
}

void ISA(attention_backward)(float *dqkv, const float *dout, const float *qkv, const float *probs,
                             const int32_t *start, int64_t b, int64_t i, int64_t heads, int64_t H, int64_t D,
                             uint64_t first, rl_attention_scores scores, rl_dropout dropout, float *scratch)
{
    for (; i < heads; i++) {
        head h = find_head(qkv, start, b, i, H, D, first);
        head_backward(dqkv + (h.query - qkv), dout + start[b] * H * D + i * D, probs + h.first, &h, scores.scale,
                      &dropout, scratch);
    }
}
