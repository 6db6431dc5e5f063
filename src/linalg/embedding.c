/* embedding.c -- the sum of the three embedding tables, and the gradients of the tables: memory traffic, not
 * arithmetic. */
#include "linalg_internal.h"

#include <string.h>

void rl_embedding_forward(float *sum, const float *word, const float *position, const float *type0, const int32_t *ids,
                          const int32_t *start, int64_t B, int64_t C)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = start[b]; t < start[b + 1]; t++) {
            const float *w = word + ids[t] * C, *p = position + (t - start[b]) * C;
            float *to = sum + t * C;
            if (type0)
                for (int64_t c = 0; c < C; c++) to[c] = w[c] + type0[c] + p[c];
            else
                for (int64_t c = 0; c < C; c++) to[c] = w[c] + p[c];
        }
}

static void add_row(float *restrict to, const float *restrict from, int64_t C)
{
    for (int64_t c = 0; c < C; c++) to[c] += from[c];
}

/* Rows add up in token order: the same bits every time. */
void rl_embedding_backward(float *dword, float *dposition, float *dtype, int64_t num_types, const float *dsum,
                           const int32_t *ids, const int32_t *start, int64_t B, int64_t C, int64_t vocab_size,
                           int64_t num_positions, int32_t pad_id, const int32_t *rows, int64_t num_rows)
{
    if (!rows) memset(dword, 0, (size_t)(vocab_size * C) * sizeof *dword);
    for (int64_t i = 0; rows && i < num_rows; i++) memset(dword + rows[i] * C, 0, (size_t)C * sizeof *dword);
    memset(dposition, 0, (size_t)(num_positions * C) * sizeof *dposition);
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = start[b]; t < start[b + 1]; t++) {
            if (ids[t] != pad_id) add_row(dword + ids[t] * C, dsum + t * C, C);
            add_row(dposition + (t - start[b]) * C, dsum + t * C, C);
        }
    if (!dtype) return;
    memset(dtype, 0, (size_t)(num_types * C) * sizeof *dtype);
    rl_column_sums(dtype, dsum + start[0] * C, start[B] - start[0], C); /* every token is of type 0 */
}
