/* detectors.c -- how well one neuron's activation alone picks out the concept's words: average precision and IoU.
 *
 * Both need a neuron's words in the order of their activation. Columns are copied sixteen at a time, so that X is read
 * in whole cache lines, and sorted by radix: three passes over 32 bits, about 1 ms for 74,000 words. */
#include "concept_internal.h"

#include <math.h>
#include <string.h>

#define COLUMNS 16
#define DIGIT_BITS 11
#define DIGITS 3 /* of 11 bits: 33 >= 32 */

/* One word of one neuron: the activation as an unsigned number of the same order, and in bit 0 whether it is concept. */
typedef uint64_t item;

typedef struct sorter {
    int64_t W, num_concept;
    const uint8_t *is_concept;
    float *columns;       /* [COLUMNS, W] */
    item *items, *other;  /* [W] */
} sorter;

typedef double measure_fn(const sorter *s);

/* Negative floats reversed, positive ones above them; -0 and 0 are one value. */
static item item_of(float x, uint8_t concept)
{
    uint32_t bits;
    float plain = x + 0.0f;
    memcpy(&bits, &plain, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (item)bits << 1 | (concept != 0);
}

static void sort_pass(item *to, const item *from, int64_t n, int shift)
{
    int64_t place[1 << DIGIT_BITS] = {0}, before = 0;
    const item mask = (1 << DIGIT_BITS) - 1;
    for (int64_t i = 0; i < n; i++) place[from[i] >> shift & mask]++;
    for (int d = 0; d < 1 << DIGIT_BITS; d++) {
        int64_t count = place[d];
        place[d] = before;
        before += count;
    }
    for (int64_t i = 0; i < n; i++) to[place[from[i] >> shift & mask]++] = from[i];
}

/* items ascending by activation. */
static void sort_column(sorter *s, const float *x, float ignored)
{
    for (int64_t w = 0; w < s->W; w++)
        s->items[w] = item_of(fabsf(x[w]) < ignored ? 0.0f : x[w], s->is_concept[w]);
    for (int d = 0; d < DIGITS; d++) {
        item *sorted = s->other;
        sort_pass(sorted, s->items, s->W, 1 + d * DIGIT_BITS);
        s->other = s->items;
        s->items = sorted;
    }
}

static void copy_columns(sorter *s, const float *X, int64_t C, int64_t first, int64_t n)
{
    for (int64_t w = 0; w < s->W; w++)
        for (int64_t j = 0; j < n; j++) s->columns[j * s->W + w] = X[w * C + first + j];
}

static rl_status score_columns(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C,
                               float ignored, measure_fn *measure, rl_error *err)
{
    rl_status status = RL_OK;
    sorter s = {.W = W, .is_concept = is_concept};
    RL_TRY(rl_check_two_classes(&s.num_concept, is_concept, W, err));
    RL_TRY(rl_check_finite(X, W, C, err));
    RL_ALLOC(s.columns, COLUMNS * W, err);
    RL_ALLOC(s.items, W, err);
    RL_ALLOC(s.other, W, err);
    for (int64_t first = 0; first < C; first += COLUMNS) {
        int64_t n = C - first < COLUMNS ? C - first : COLUMNS;
        copy_columns(&s, X, C, first, n);
        for (int64_t j = 0; j < n; j++) {
            sort_column(&s, s.columns + j * W, ignored);
            score[first + j] = measure(&s);
        }
    }
cleanup:
    rl_free(s.columns);
    rl_free(s.items);
    rl_free(s.other);
    return status;
}

/* ----------------------------------------------------------------------------------------- average precision */

/* From the strongest word down; equal activations are one threshold. */
static double average_precision(const sorter *s)
{
    double sum = 0;
    int64_t found = 0;
    for (int64_t i = s->W - 1; i >= 0;) {
        item value = s->items[i] >> 1;
        int64_t new = 0;
        for (; i >= 0 && s->items[i] >> 1 == value; i--) new += (int64_t)(s->items[i] & 1);
        found += new;
        sum += (double)new / (double)s->num_concept * ((double)found / (double)(s->W - 1 - i));
    }
    return sum;
}

rl_status rl_average_precision_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C,
                                      rl_error *err)
{
    return score_columns(score, X, is_concept, W, C, RL_AVERAGE_PRECISION_IGNORED, average_precision, err);
}

/* ------------------------------------------------------------------------------------------------------- IoU */

/* Words from one end that are strictly beyond the (n+1)-th. step -1: from the strongest down. */
static double overlap_from(const sorter *s, int64_t end, int64_t step)
{
    int64_t n = s->num_concept, active = 0, both = 0;
    item threshold = s->items[end + step * n] >> 1;
    for (; s->items[end + step * active] >> 1 != threshold; active++)
        both += (int64_t)(s->items[end + step * active] & 1);
    return (double)both / (double)(active + n - both);
}

static double intersection_over_union(const sorter *s)
{
    return fmax(overlap_from(s, s->W - 1, -1), overlap_from(s, 0, 1));
}

rl_status rl_iou_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    double *mean = NULL, *sd = NULL;
    RL_ALLOC(mean, C, err);
    RL_ALLOC(sd, C, err);
    RL_TRY(score_columns(score, X, is_concept, W, C, 0.0f, intersection_over_union, err));
    rl_column_moments(mean, sd, X, NULL, W, C);
    for (int64_t c = 0; c < C; c++)
        if (sd[c] == 0) score[c] = 0; /* constant but for rounding */
cleanup:
    rl_free(mean);
    rl_free(sd);
    return status;
}
