/* loss.c -- cross entropy and argmax over the few label columns: too small to be worth an instruction set. */
#include "linalg_internal.h"

#include <math.h>
#include <string.h>

#define IGNORED_LABEL (-100) /* torch.nn.CrossEntropyLoss ignore_index */

typedef struct softmax_parts {
    double largest, sum; /* of the row; of e^(x - largest) */
} softmax_parts;

static softmax_parts take_apart(const float *row, int64_t K)
{
    softmax_parts parts = {row[0], 0.0};
    for (int64_t k = 1; k < K; k++)
        if (row[k] > parts.largest) parts.largest = row[k];
    for (int64_t k = 0; k < K; k++) parts.sum += exp(row[k] - parts.largest);
    return parts;
}

/* d/dx of -log softmax(x)[label], divided by the number of labelled tokens. */
static void gradient_row(float *drow, const float *row, softmax_parts parts, int32_t label, int64_t K, double scale)
{
    for (int64_t k = 0; k < K; k++)
        drow[k] = (float)(scale * (exp(row[k] - parts.largest) / parts.sum - (k == label ? 1.0 : 0.0)));
}

/* Source: torch.nn.functional.cross_entropy, reduction "mean"; protocol §2.1. */
double rl_cross_entropy(float *dlogits, const float *logits, const int32_t *labels, int64_t T, int64_t K)
{
    int64_t num_labelled = 0;
    double loss = 0.0;
    for (int64_t t = 0; t < T; t++) num_labelled += labels[t] != IGNORED_LABEL;
    for (int64_t t = 0; t < T; t++) {
        const float *row = logits + t * K;
        if (labels[t] == IGNORED_LABEL) {
            if (dlogits) memset(dlogits + t * K, 0, (size_t)K * sizeof *dlogits);
            continue;
        }
        softmax_parts parts = take_apart(row, K);
        loss += log(parts.sum) + parts.largest - row[labels[t]];
        if (dlogits) gradient_row(dlogits + t * K, row, parts, labels[t], K, 1.0 / (double)num_labelled);
    }
    return loss / (double)num_labelled; /* 0 / 0: NaN, as torch's */
}

void rl_argmax_rows(int32_t *best, const float *x, int64_t T, int64_t K)
{
    for (int64_t t = 0; t < T; t++) {
        const float *row = x + t * K;
        int32_t index = 0;
        for (int32_t k = 1; k < K; k++)
            if (row[k] > row[index]) index = k;
        best[t] = index;
    }
}
