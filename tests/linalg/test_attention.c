/* Attention per sentence and head against a float64 reference, its slope, its dropout, and long sentences. */
#include "linalg_cases.h"

typedef struct packed {
    int64_t B, H, D, T, C;
    const int32_t *start;
} packed;

/* Factor of element e of probs, from the public dropout. */
static float factor_of(uint64_t e, rl_dropout dropout)
{
    float one = 1.0f, factor;
    rl_kernels_in_use->dropout_at(&factor, &one, e, 1, dropout);
    return factor;
}

/* One query of one head in float64: weights[n] before dropout, out[D] after it. qkv is double, so that it can be
 * nudged. */
static void reference_query(double *weights, double *out, const double *qkv, const packed *s, int64_t b, int64_t head,
                            int64_t i, uint64_t first, rl_dropout dropout)
{
    int64_t n = s->start[b + 1] - s->start[b];
    const double *rows = qkv + s->start[b] * 3 * s->C + head * s->D;
    double largest = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
        weights[j] = 0.0;
        for (int64_t d = 0; d < s->D; d++) weights[j] += rows[i * 3 * s->C + d] * rows[j * 3 * s->C + s->C + d];
        weights[j] /= sqrt((double)s->D);
        largest = fmax(largest, weights[j]);
    }
    for (int64_t j = 0; j < n; j++) sum += weights[j] = exp(weights[j] - largest);
    for (int64_t d = 0; d < s->D; d++) out[d] = 0.0;
    for (int64_t j = 0; j < n; j++) {
        weights[j] /= sum;
        double kept = weights[j] * factor_of(first + (uint64_t)(i * n + j), dropout);
        for (int64_t d = 0; d < s->D; d++) out[d] += kept * rows[j * 3 * s->C + 2 * s->C + d];
    }
}

static uint64_t first_of(const packed *s, int64_t b, int64_t head)
{
    int64_t n = s->start[b + 1] - s->start[b];
    return (uint64_t)(rl_attention_probs_count(s->start, b, s->H) + head * n * n);
}

static void check_forward(const packed *s, const float *qkv, const float *out, const float *probs, rl_dropout dropout)
{
    double *wide = allocate((size_t)(s->T * 3 * s->C), sizeof *wide), *weights = allocate(2048, sizeof *weights),
           row[256];
    for (int64_t i = 0; i < s->T * 3 * s->C; i++) wide[i] = qkv[i];
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t head = 0; head < s->H; head++)
            for (int64_t i = 0, n = s->start[b + 1] - s->start[b]; i < n; i += (n > 100 ? 37 : 1)) {
                uint64_t first = first_of(s, b, head);
                reference_query(weights, row, wide, s, b, head, i, first, dropout);
                for (int64_t j = 0; j < n; j++)
                    assert_close(probs[first + (uint64_t)(i * n + j)], weights[j], 3e-6, 1e-9);
                for (int64_t d = 0; d < s->D; d++)
                    assert_close(out[(s->start[b] + i) * s->C + head * s->D + d], row[d], 1e-5, 3e-6);
            }
    rl_free(wide);
    rl_free(weights);
}

typedef struct attention_case {
    float *qkv, *out, *probs, *dout, *dqkv, *scratch;
    int64_t num_probs;
} attention_case;

static attention_case make_case(const packed *s)
{
    int64_t longest = 0, count = rl_attention_probs_count(s->start, s->B, s->H);
    for (int64_t b = 0; b < s->B; b++)
        if (s->start[b + 1] - s->start[b] > longest) longest = s->start[b + 1] - s->start[b];
    attention_case c = {FLOATS(s->T * 3 * s->C), FLOATS(s->T * s->C),     FLOATS(count), FLOATS(s->T * s->C),
                        FLOATS(s->T * 3 * s->C), FLOATS(rl_attention_scratch_count(longest, s->D)), count};
    fill_numbers(c.qkv, s->T * 3 * s->C, 1.5f, 1);
    fill_numbers(c.dout, s->T * s->C, 1.0f, 2);
    for (size_t i = 0; i < rl_attention_scratch_count(longest, s->D); i++) c.scratch[i] = NAN; /* promises nothing */
    return c;
}

static void free_case(attention_case *c)
{
    rl_free(c->qkv);
    rl_free(c->out);
    rl_free(c->probs);
    rl_free(c->dout);
    rl_free(c->dqkv);
    rl_free(c->scratch);
}

static const rl_dropout some_dropout = {.p = 0.2f, .key = {5, 6}, .step = 9, .stream = 33};

static void test_forward_is_the_reference(void **state)
{
    static const int32_t start[] = {0, 1, 3, 3, 20, 53, 61}; /* lengths 1, 2, 0, 17, 33, 8 */
    const packed shapes[] = {{6, 2, 4, 61, 8, start}, {6, 3, 32, 61, 96, start}, {6, 1, 13, 61, 13, start}};
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int i = 0; i < 3; i++)
            for (int with_dropout = 0; with_dropout < 2; with_dropout++) {
                const packed *s = &shapes[i];
                rl_dropout dropout = with_dropout ? some_dropout : rl_dropout_none();
                attention_case c = make_case(s);
                rl_attention_forward(c.out, c.probs, c.qkv, start, s->B, s->H, s->D,
                                     rl_attention_scores_default(s->D), dropout, c.scratch);
                check_forward(s, c.qkv, c.out, c.probs, dropout);
                free_case(&c);
            }
}

/* 1,024 tokens are many blocks of queries; sentences before and after must not be touched by their padding. */
static void test_long_sentences(void **state)
{
    static const int32_t start[] = {0, 3, 133, 1157, 1160};
    const packed s = {4, 1, 16, 1160, 16, start};
    (void)state;
    attention_case c = make_case(&s);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_attention_forward(c.out, c.probs, c.qkv, start, s.B, s.H, s.D,
                             rl_attention_scores_default(s.D), some_dropout, c.scratch);
        check_forward(&s, c.qkv, c.out, c.probs, some_dropout);
    }
    free_case(&c);
}

/* Scores of +-1e4 overflow an exponential that has not lost its maximum. */
static void test_large_scores_stay_finite(void **state)
{
    static const int32_t start[] = {0, 19};
    const packed s = {1, 1, 8, 19, 8, start};
    (void)state;
    attention_case c = make_case(&s);
    for (int64_t i = 0; i < s.T * 3 * s.C; i++) c.qkv[i] *= 70.0f;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_attention_forward(c.out, c.probs, c.qkv, start, 1, 1, 8,
                             rl_attention_scores_default(8), rl_dropout_none(), c.scratch);
        for (int64_t i = 0; i < 19; i++) {
            double sum = 0.0;
            for (int64_t j = 0; j < 19; j++) sum += c.probs[i * 19 + j];
            assert_close(sum, 1.0, 1e-6, 0);
        }
    }
    free_case(&c);
}

static void test_nan_reaches_its_sentence_only(void **state)
{
    static const int32_t start[] = {0, 5, 23};
    const packed s = {2, 1, 8, 23, 8, start};
    (void)state;
    attention_case c = make_case(&s);
    c.qkv[9 * 24 + 8 + 3] = NAN; /* a key of the second sentence */
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_attention_forward(c.out, c.probs, c.qkv, start, 2, 1, 8,
                             rl_attention_scores_default(8), rl_dropout_none(), c.scratch);
        for (int64_t i = 0; i < 23 * 8; i++) assert_true(isnan(c.out[i]) == (i >= 5 * 8));
    }
    free_case(&c);
}

/* sum of dout * out of the sentence b in float64. */
static double objective(const packed *s, const double *qkv, const float *dout, int64_t b, rl_dropout dropout)
{
    double value = 0.0, weights[128], row[64];
    for (int64_t head = 0; head < s->H; head++)
        for (int64_t i = 0; i < s->start[b + 1] - s->start[b]; i++) {
            reference_query(weights, row, qkv, s, b, head, i, first_of(s, b, head), dropout);
            for (int64_t d = 0; d < s->D; d++) value += dout[(s->start[b] + i) * s->C + head * s->D + d] * row[d];
        }
    return value;
}

static void check_slope(const packed *s, rl_dropout dropout)
{
    attention_case c = make_case(s);
    double *wide = allocate((size_t)(s->T * 3 * s->C), sizeof *wide);
    const double h = 1e-5;
    for (int64_t i = 0; i < s->T * 3 * s->C; i++) {
        wide[i] = c.qkv[i];
        c.dqkv[i] = NAN; /* written, not accumulated */
    }
    rl_attention_forward(c.out, c.probs, c.qkv, s->start, s->B, s->H, s->D,
                         rl_attention_scores_default(s->D), dropout, c.scratch);
    rl_attention_backward(c.dqkv, c.dout, c.qkv, c.probs, s->start, s->B, s->H, s->D,
                         rl_attention_scores_default(s->D), dropout, c.scratch);
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t i = s->start[b] * 3 * s->C; i < s->start[b + 1] * 3 * s->C; i += s->T > 40 ? 211 : 1) {
            double before = wide[i], value[2];
            wide[i] = before + h;
            value[1] = objective(s, wide, c.dout, b, dropout);
            wide[i] = before - h;
            value[0] = objective(s, wide, c.dout, b, dropout);
            wide[i] = before;
            assert_close(c.dqkv[i], (value[1] - value[0]) / (2 * h), 1e-5, 5e-6);
        }
    rl_free(wide);
    free_case(&c);
}

static void test_backward_is_the_slope(void **state)
{
    static const int32_t start[] = {0, 1, 8, 25}, longer[] = {0, 70}; /* 70: two blocks of queries */
    const packed small = {3, 2, 5, 25, 10, start}, blocks = {1, 2, 16, 70, 32, longer};
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        check_slope(&small, rl_dropout_none());
        check_slope(&small, some_dropout);
        check_slope(&blocks, some_dropout);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward_is_the_reference),
                                       cmocka_unit_test(test_long_sentences),
                                       cmocka_unit_test(test_large_scores_stay_finite),
                                       cmocka_unit_test(test_nan_reaches_its_sentence_only),
                                       cmocka_unit_test(test_backward_is_the_slope)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
