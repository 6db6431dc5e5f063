/* rankers.c -- class means, the probeless score, the order of neurons, and concept against rest. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------- class means */

RL_PER_ISA static void add_row_float(float *restrict sum, const float *restrict x, int64_t C)
{
    for (int64_t c = 0; c < C; c++) sum[c] += x[c];
}

/* numpy's np.mean(rows, axis=0): float32 sums, row after row, then a float32 division. */
static void float_means(float *means, const int64_t *counts, const float *X, const int32_t *word_class, int64_t W,
                        int64_t C, int32_t K)
{
    memset(means, 0, (size_t)(K * C) * sizeof *means);
    for (int64_t w = 0; w < W; w++) add_row_float(means + word_class[w] * C, X + w * C, C);
    for (int32_t k = 0; k < K; k++)
        for (int64_t c = 0; c < C; c++) means[k * C + c] /= (float)counts[k];
}

static void double_means(float *means, double *sums, const int64_t *counts, const float *X, const int32_t *word_class,
                         int64_t W, int64_t C, int32_t K)
{
    for (int64_t w = 0; w < W; w++) rl_add_row(sums + word_class[w] * C, X + w * C, C);
    for (int32_t k = 0; k < K; k++)
        for (int64_t c = 0; c < C; c++) means[k * C + c] = (float)(sums[k * C + c] / (double)counts[k]);
}

static rl_status count_classes(int64_t *counts, const int32_t *word_class, int64_t W, int32_t K, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t w = 0; w < W; w++) {
        RL_REQUIRE(word_class[w] >= 0 && word_class[w] < K, err);
        counts[word_class[w]]++;
    }
    for (int32_t k = 0; k < K; k++)
        if (!counts[k])
            return rl_fail(err, RL_ERR_INPUT, "class %" PRId32 " has no word; a mean needs at least one", k);
cleanup:
    return status;
}

rl_status rl_class_means(float *means, int64_t *counts, const float *X, const int32_t *word_class, int64_t W, int64_t C,
                         int32_t K, bool faithful, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *found = NULL;
    double *sums = NULL;
    RL_ALLOC(found, K, err);
    RL_TRY(count_classes(found, word_class, W, K, err));
    if (!faithful) RL_ALLOC(sums, K * C, err);
    if (faithful)
        float_means(means, found, X, word_class, W, C, K);
    else
        double_means(means, sums, found, X, word_class, W, C, K);
    memcpy(counts, found, (size_t)K * sizeof *counts);
cleanup:
    rl_free(found);
    rl_free(sums);
    return status;
}

/* ----------------------------------------------------------------------------------------------- probeless */

/* One neuron's sums, in numpy's order: classes (or pairs of them) in class order. Source:
 * neurox/interpretation/probeless.py, _get_tag_wise_ranking and _get_overall_ranking. */
static float distance_of(const float *means, int64_t C, int64_t c, int32_t K, int32_t tag)
{
    float sum = 0.0f;
    for (int32_t a = tag < 0 ? 0 : tag; a < (tag < 0 ? K : tag + 1); a++)
        for (int32_t b = tag < 0 ? a + 1 : 0; b < K; b++)
            if (b != a) sum += fabsf(means[a * C + c] - means[b * C + c]);
    return sum;
}

void rl_probeless_scores(double *score, const float *means, int64_t C, int32_t K, int32_t tag)
{
    for (int64_t c = 0; c < C; c++) score[c] = (double)distance_of(means, C, c, K, tag);
}

/* --------------------------------------------------------------------------------------------------- order */

typedef struct scored {
    double score;
    int32_t neuron;
} scored;

static int best_first(const scored *a, const scored *b)
{
    return (a->score < b->score) - (a->score > b->score);
}

static int ties_larger_id(const void *a, const void *b)
{
    int by_score = best_first(a, b);
    return by_score ? by_score : ((const scored *)b)->neuron - ((const scored *)a)->neuron;
}

static int ties_smaller_id(const void *a, const void *b)
{
    int by_score = best_first(a, b);
    return by_score ? by_score : ((const scored *)a)->neuron - ((const scored *)b)->neuron;
}

rl_status rl_rank_neurons(int32_t *order, int32_t *rank, const double *score, int64_t N, bool faithful, rl_error *err)
{
    rl_status status = RL_OK;
    scored *list = NULL;
    RL_REQUIRE(N >= 0 && N <= INT32_MAX, err);
    RL_ALLOC(list, N, err);
    for (int64_t n = 0; n < N; n++) {
        list[n] = (scored){score[n], (int32_t)n};
        if (isnan(score[n])) {
            status = rl_fail(err, RL_ERR_DIVERGED,
                             "the score of neuron %" PRId64 " is not a number: "
                             "the model's activations are not finite",
                             n);
            goto cleanup;
        }
    }
    qsort(list, (size_t)N, sizeof *list, faithful ? ties_larger_id : ties_smaller_id);
    for (int64_t i = 0; i < N; i++) {
        if (order) order[i] = list[i].neuron;
        if (rank) rank[list[i].neuron] = (int32_t)i;
    }
cleanup:
    rl_free(list);
    return status;
}

/* -------------------------------------------------------------------------------------- concept against rest */

/* Cohen's d: pooled variance = (sum of squares within both groups) / (n0 + n1 - 2). */
static void effect_sizes(double *effect, const double *difference, const double *squares, int64_t W, int64_t C)
{
    for (int64_t c = 0; c < C; c++) {
        double sd = W > 2 ? sqrt(squares[c] / (double)(W - 2)) : 0.0;
        effect[c] = sd > 0 ? difference[c] / sd : 0.0;
    }
}

rl_status rl_contrast(double *difference, double *effect, const float *X, const int32_t *word_class,
                      int32_t positive_class, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    double *mean = NULL, *squares = NULL; /* mean [2, C]: rest, concept */
    int64_t count[2] = {0, 0};
    RL_ALLOC(mean, 2 * C, err);
    RL_ALLOC(squares, C, err);
    for (int64_t w = 0; w < W; w++) {
        int concept = word_class[w] == positive_class;
        count[concept]++;
        rl_add_row(mean + concept * C, X + w * C, C);
    }
    RL_REQUIRE(count[0] > 0 && count[1] > 0, err);
    for (int64_t c = 0; c < 2 * C; c++) mean[c] /= (double)count[c >= C];
    for (int64_t w = 0; w < W; w++) rl_add_square(squares, X + w * C, mean + (word_class[w] == positive_class) * C, C);
    for (int64_t c = 0; c < C; c++) difference[c] = mean[C + c] - mean[c];
    effect_sizes(effect, difference, squares, W, C);
cleanup:
    rl_free(mean);
    rl_free(squares);
    return status;
}
