/* cka.c -- how alike two models see the same words: debiased linear CKA, one layer of both at a time.
 *
 * Kernels are n x n and never made: with K = X X' without its diagonal, tr(KL) = |X'Y|^2 - sum_i |x_i|^2 |y_i|^2, and
 * (K1)_i = x_i.s - |x_i|^2 with s the sum of rows. The estimator does not change when X or Y is shifted, so both are
 * centred first, which keeps float32 products accurate. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BLOCK 1024 /* rows of one product: float32 inside, double between */

typedef struct kernel {
    int64_t n, C;
    float *X;        /* [n, C] centred */
    double *norm;    /* [n] |x_i|^2 */
    double *row_sum; /* [n] (K1)_i */
    double total;    /* 1'K1 */
} kernel;

static void kernel_release(kernel *k)
{
    rl_free(k->X);
    rl_free(k->norm);
    rl_free(k->row_sum);
}

/* mean, sum: scratch [C] */
static void centre(kernel *k, const float *X, double *mean, double *sum)
{
    for (int64_t i = 0; i < k->n; i++)
        for (int64_t c = 0; c < k->C; c++) mean[c] += (double)X[i * k->C + c];
    for (int64_t c = 0; c < k->C; c++) mean[c] /= (double)k->n;
    for (int64_t i = 0; i < k->n; i++)
        for (int64_t c = 0; c < k->C; c++) {
            float x = (float)((double)X[i * k->C + c] - mean[c]);
            k->X[i * k->C + c] = x;
            k->norm[i] += (double)x * (double)x;
            sum[c] += (double)x; /* not 0: what rounding left */
        }
}

static rl_status kernel_of(kernel *k, const float *X, int64_t n, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    double *scratch = NULL;
    k->n = n;
    k->C = C;
    RL_ALLOC(k->X, n * C, err);
    RL_ALLOC(k->norm, n, err);
    RL_ALLOC(k->row_sum, n, err);
    RL_ALLOC(scratch, 2 * C, err);
    centre(k, X, scratch, scratch + C);
    for (int64_t i = 0; i < n; i++) {
        double dot = 0;
        for (int64_t c = 0; c < C; c++) dot += (double)k->X[i * C + c] * scratch[C + c];
        k->row_sum[i] = dot - k->norm[i];
        k->total += k->row_sum[i];
    }
cleanup:
    rl_free(scratch);
    return status;
}

/* |X'Y|^2 */
static rl_status cross(double *squares, const kernel *x, const kernel *y, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t size = x->C * y->C;
    float *block = NULL;
    double *sum = NULL, total = 0;
    RL_ALLOC(block, size, err);
    RL_ALLOC(sum, size, err);
    for (int64_t i = 0; i < x->n; i += BLOCK) {
        int64_t rows = x->n - i < BLOCK ? x->n - i : BLOCK;
        rl_gemm(true, false, x->C, y->C, rows, 1.0f, x->X + i * x->C, x->C, y->X + i * y->C, y->C, 0.0f, block, y->C);
        for (int64_t j = 0; j < size; j++) sum[j] += (double)block[j];
    }
    for (int64_t j = 0; j < size; j++) total += sum[j] * sum[j];
    *squares = total;
cleanup:
    rl_free(block);
    rl_free(sum);
    return status;
}

static rl_status hsic(double *value, const kernel *x, const kernel *y, rl_error *err)
{
    double n = (double)x->n, squares = 0, diagonal = 0, rows = 0;
    rl_status status = cross(&squares, x, y, err);
    if (status != RL_OK) return status;
    for (int64_t i = 0; i < x->n; i++) {
        diagonal += x->norm[i] * y->norm[i];
        rows += x->row_sum[i] * y->row_sum[i];
    }
    *value = (squares - diagonal + x->total * y->total / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3));
    return RL_OK;
}

rl_status rl_linear_cka(double *cka, const float *X, const float *Y, int64_t n, int64_t C, int64_t D, rl_error *err)
{
    rl_status status = RL_OK;
    kernel x = {0}, y = {0};
    double xy, xx, yy;
    if (n < 4) return rl_fail(err, RL_ERR_INPUT, "debiased CKA needs at least 4 positions; got %" PRId64, n);
    RL_TRY(rl_check_finite(X, n, C, err));
    RL_TRY(rl_check_finite(Y, n, D, err));
    RL_TRY(kernel_of(&x, X, n, C, err));
    RL_TRY(kernel_of(&y, Y, n, D, err));
    RL_TRY(hsic(&xy, &x, &y, err));
    RL_TRY(hsic(&xx, &x, &x, err));
    RL_TRY(hsic(&yy, &y, &y, err));
    *cka = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
cleanup:
    kernel_release(&x);
    kernel_release(&y);
    return status;
}

/* ------------------------------------------------------------------------------------------------ positions */

/* From the words of one class, [from] of `available`, `count` drawn. */
static rl_status draw(int64_t *positions, int64_t count, const int64_t *from, int64_t available, uint64_t seed,
                      uint32_t class, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *chosen = NULL;
    RL_ALLOC(chosen, count, err);
    RL_TRY(rl_rng_choose(seed, RL_PURPOSE_POSITIONS, class, 0, available, count, chosen, err));
    for (int64_t i = 0; i < count; i++) positions[i] = from[chosen[i]];
cleanup:
    rl_free(chosen);
    return status;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Words of each class that have a sub-word, ascending: rest from the front of list [W], concept from its end. */
static void list_words(int64_t *list, int64_t count[2], const rl_concept_data *data)
{
    int64_t last = -1, W = data->encoded->num_words;
    for (int64_t t = 0; t < data->encoded->num_tokens; t++) {
        int64_t w = data->encoded->word[t];
        if (w < 0 || w == last) continue; /* words stand in order: a repeat is another sub-word */
        last = w;
        if (data->word_class[w] == data->positive_class)
            list[W - ++count[1]] = w;
        else
            list[count[0]++] = w;
    }
}

rl_status rl_choose_positions(int64_t **positions, int64_t *num_positions, const rl_concept_data *data, int64_t limit,
                              uint64_t seed, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *list = NULL, *made = NULL, count[2] = {0, 0}, W = data->encoded->num_words, concept, rest;
    RL_ALLOC(list, W, err);
    list_words(list, count, data);
    rest = smaller(limit - smaller(limit / 2, count[1]), count[0]);
    concept = smaller(limit - rest, count[1]);
    RL_ALLOC(made, rest + concept, err);
    RL_TRY(draw(made, rest, list, count[0], seed, 0, err));
    RL_TRY(draw(made + rest, concept, list + W - count[1], count[1], seed, 1, err));
    qsort(made, (size_t)(rest + concept), sizeof *made, ascending);
    *positions = made;
    *num_positions = rest + concept;
    made = NULL;
cleanup:
    rl_free(list);
    rl_free(made);
    return status;
}

/* -------------------------------------------------------------------------------------------------- two models */

rl_status rl_word_states_create(rl_word_states **out, const rl_model_config *config, const int64_t *positions, int64_t count,
                                rl_error *err)
{
    rl_status status = RL_OK;
    rl_word_states *made = NULL;
    RL_ALLOC(made, 1, err);
    *made = (rl_word_states){.num_states = config->num_layers + 1, .count = count, .size = config->hidden_size};
    RL_ALLOC(made->positions, count, err);
    RL_ALLOC(made->x, made->num_states * count * made->size, err);
    if (count) memcpy(made->positions, positions, (size_t)count * sizeof *positions);
    *out = made;
    made = NULL;
cleanup:
    rl_word_states_free(made);
    return status;
}

void rl_word_states_free(rl_word_states *states)
{
    if (!states) return;
    rl_free(states->positions);
    rl_free(states->x);
    rl_free(states);
}

rl_status rl_word_states_check(const rl_word_states *states, const rl_model_config *config, int64_t num_words, rl_error *err)
{
    rl_status status = RL_OK;
    RL_REQUIRE(states->num_states == config->num_layers + 1 && states->size == config->hidden_size, err);
    for (int64_t i = 0; i < states->count && status == RL_OK; i++)
        if (states->positions[i] < 0 || states->positions[i] >= num_words)
            status = rl_fail(err, RL_ERR_INPUT, "position %" PRId64 " does not exist; expected 0 to %" PRId64,
                             states->positions[i], num_words - 1);
cleanup:
    return status;
}

void rl_word_states_take(rl_word_states *states, int64_t layer, const float *words)
{
    size_t C = (size_t)states->size;
    float *rows = states->x + (size_t)(layer * states->count) * C;
    for (int64_t i = 0; i < states->count; i++)
        memcpy(rows + (size_t)i * C, words + (size_t)states->positions[i] * C, C * sizeof *rows);
}

static rl_status take_layer(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    (void)W, (void)C, (void)err;
    rl_word_states_take(context, layer, X);
    return RL_OK;
}

rl_status rl_word_states_fill(rl_word_states *states, const rl_model *model, const rl_encoded *data, rl_error *err)
{
    rl_status status = rl_word_states_check(states, &model->config, data->num_words, err);
    return status == RL_OK ? rl_activations_visit(model, data, take_layer, states, err) : status;
}

rl_status rl_cka_by_layer(double *cka, const rl_word_states *a, const rl_word_states *b, rl_error *err)
{
    rl_status status = RL_OK;
    double *found = NULL;
    if (a->num_states != b->num_states)
        return rl_fail(err, RL_ERR_INPUT, "the models have %" PRId64 " and %" PRId64 " layers; CKA by layer needs as many",
                       a->num_states - 1, b->num_states - 1);
    RL_REQUIRE(a->count == b->count, err);
    RL_ALLOC(found, a->num_states, err);
    for (int64_t layer = 0; layer < a->num_states; layer++) {
        status = rl_linear_cka(&found[layer], a->x + layer * a->count * a->size, b->x + layer * b->count * b->size, a->count,
                               a->size, b->size, err);
        if (status != RL_OK) {
            status = rl_error_while(err, status, "CKA of layer %" PRId64, layer);
            goto cleanup;
        }
    }
    memcpy(cka, found, (size_t)a->num_states * sizeof *cka);
cleanup:
    rl_free(found);
    return status;
}
