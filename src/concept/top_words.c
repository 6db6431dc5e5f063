/* top_words.c -- the words a neuron answers to most: NeuroX's get_top_words for all neurons of a layer at once.
 *
 * Source: neurox/analysis/corpus.py (protocol §11). Three passes over X[W, C]: mean; sd; then word type by word type,
 * each type's rows in corpus order, so that the sums of one type, [C], stay in the first-level cache.
 *
 * The list of a neuron is the first k types by score/max, descending, ties by first occurrence; max is known only
 * after the last type. So types are logged as they come when fewer than k earlier ones score at least as much (any
 * other type is behind those k for good, whatever max is), some 50 a neuron, and the log is replayed in the end. */
#include "concept_internal.h"

#include <math.h>
#include <string.h>

#define MIN_SCORE 0.1 /* NeuroX's MIN_THRESHOLD, strict */
#define SCAN 32       /* neurons looked at together for a newcomer */

typedef struct candidate {
    int64_t next; /* earlier candidate of the same neuron, -1: none */
    int32_t type;
    double score;
} candidate;

/* Word types in order of first occurrence, the rows of each in corpus order. */
typedef struct occurrences {
    int32_t num_types;
    int32_t *type;  /* [num_types] */
    int64_t *start; /* [num_types + 1] into row */
    int64_t *row;   /* [W + RL_ROWS_AHEAD], the last ones 0: rows that nothing is lost by fetching */
} occurrences;

typedef struct finder {
    const float *X;
    int64_t C, k;
    const float *mean, *sd;
    double *score;   /* [C] of the type at hand */
    double *max;     /* [C] */
    double *leaders; /* [C, k] highest scores so far, descending */
    double *entry;   /* [C] = leaders[k-1]: what a newcomer must exceed */
    int64_t *last;   /* [C] latest candidate */
    candidate *log;
    int64_t num_log, log_capacity;
} finder;

static void occurrences_clear(occurrences *o)
{
    rl_free(o->type);
    rl_free(o->start);
    rl_free(o->row);
}

static rl_status find_occurrences(occurrences *o, const int32_t *word_type, int32_t num_types, int64_t W, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *place = NULL; /* [num_types] 1 + position in o->type */
    int64_t *next = NULL;
    RL_ALLOC(place, num_types, err);
    RL_ALLOC(o->type, num_types, err);
    RL_ALLOC(o->start, (int64_t)num_types + 1, err);
    RL_ALLOC(next, num_types, err);
    RL_ALLOC(o->row, W + RL_ROWS_AHEAD, err);
    for (int64_t w = 0; w < W; w++) {
        int32_t type = word_type[w];
        RL_REQUIRE(word_type[w] >= 0 && word_type[w] < num_types, err);
        if (!place[type]) {
            o->type[o->num_types++] = type;
            place[type] = o->num_types;
        }
        o->start[place[type]]++;
    }
    for (int32_t t = 0; t < o->num_types; t++) {
        next[t] = o->start[t];
        o->start[t + 1] += o->start[t];
    }
    for (int64_t w = 0; w < W; w++) o->row[next[place[word_type[w]] - 1]++] = w;
cleanup:
    rl_free(place);
    rl_free(next);
    return status;
}

/* ------------------------------------------------------------------------------------------ mean and sd */

/* numpy divides in float32; in double and rounded is the same here, and right beyond 2^24 words. */
static void divide(float *x, int64_t C, int64_t n)
{
    for (int64_t c = 0; c < C; c++) x[c] = (float)((double)x[c] / (double)n);
}

static rl_status mean_and_sd(float *mean, float *sd, const float *X, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    float *scratch = NULL;
    RL_ALLOC(scratch, rl_pairwise_scratch(W) * C, err);
    rl_pairwise_columns(mean, X, W, C, NULL, scratch);
    divide(mean, C, W);
    rl_pairwise_columns(sd, X, W, C, mean, scratch);
    divide(sd, C, W);
    for (int64_t c = 0; c < C; c++) sd[c] = sqrtf(sd[c]);
cleanup:
    rl_free(scratch);
    return status;
}

/* ---------------------------------------------------------------------------------------- score of a type */

/* |(x - mean) / sd|: float32 up to the absolute value, then double, as numpy 1.24 adds a Python 0 and float32s. */
static inline double z_score(float x, float mean, float sd)
{
    return (double)fabsf((x - mean) / sd);
}

/* The rows of a type lie anywhere. While a line of one is used, the same line of the row RL_ROWS_AHEAD further on in the walk is fetched. */
RL_PER_ISA static void add_z(double *restrict score, const float *restrict X, const int64_t *restrict row,
                             const float *restrict mean, const float *restrict sd, int64_t C)
{
    const float *x = X + row[0] * C, *ahead = X + row[RL_ROWS_AHEAD] * C;
    for (int64_t from = 0; from < C; from += RL_LINE) {
        int64_t to = from + RL_LINE < C ? from + RL_LINE : C;
        __builtin_prefetch(ahead + from);
        for (int64_t c = from; c < to; c++) score[c] += z_score(x[c], mean[c], sd[c]);
    }
}

/* Four rows in order: their memory is read side by side, which halves the time of a walk by type, and the next four's is fetched
 * (bench_concept_top_words as a whole: 0.43 -> 0.37 s). */
RL_PER_ISA static void add_4_z(double *restrict score, const float *restrict X, const int64_t *restrict row,
                               const float *restrict mean, const float *restrict sd, int64_t C)
{
    const float *a = X + row[0] * C, *b = X + row[1] * C, *d = X + row[2] * C, *e = X + row[3] * C;
    for (int64_t from = 0; from < C; from += RL_LINE) {
        int64_t to = from + RL_LINE < C ? from + RL_LINE : C;
        for (int i = 0; i < 4; i++) __builtin_prefetch(X + row[i + RL_ROWS_AHEAD] * C + from);
        for (int64_t c = from; c < to; c++) {
            double sum = score[c];
            sum += z_score(a[c], mean[c], sd[c]);
            sum += z_score(b[c], mean[c], sd[c]);
            sum += z_score(d[c], mean[c], sd[c]);
            sum += z_score(e[c], mean[c], sd[c]);
            score[c] = sum;
        }
    }
}

RL_PER_ISA static void finish_score(double *restrict score, double *restrict max, int64_t count, int64_t C)
{
    double n = (double)count;
    if (count > 1)
        for (int64_t c = 0; c < C; c++) score[c] /= n;
    for (int64_t c = 0; c < C; c++) max[c] = score[c] > max[c] ? score[c] : max[c];
}

static void score_type(finder *f, const int64_t *row, int64_t count)
{
    int64_t i = 0;
    memset(f->score, 0, (size_t)f->C * sizeof *f->score);
    for (; i + 4 <= count; i += 4) add_4_z(f->score, f->X, row + i, f->mean, f->sd, f->C);
    for (; i < count; i++) add_z(f->score, f->X, row + i, f->mean, f->sd, f->C);
    finish_score(f->score, f->max, count, f->C);
}

/* --------------------------------------------------------------------------------------------- candidates */

RL_PER_ISA static int any_above(const double *restrict score, const double *restrict entry, int64_t n)
{
    int any = 0;
    for (int64_t c = 0; c < n; c++) any |= score[c] > entry[c];
    return any;
}

static rl_status log_candidate(finder *f, int64_t c, int32_t type, rl_error *err)
{
    double *leader = f->leaders + c * f->k, score = f->score[c];
    int64_t i = f->k - 1;
    if (f->num_log == f->log_capacity) {
        int64_t capacity = f->log_capacity ? 2 * f->log_capacity : 64 * f->C;
        candidate *log = rl_regrow(f->log, (size_t)f->log_capacity, (size_t)capacity, sizeof *log, err);
        if (!log) return RL_ERR_MEMORY;
        f->log = log;
        f->log_capacity = capacity;
    }
    f->log[f->num_log] = (candidate){.next = f->last[c], .type = type, .score = score};
    f->last[c] = f->num_log++;
    for (; i > 0 && leader[i - 1] < score; i--) leader[i] = leader[i - 1];
    leader[i] = score;
    f->entry[c] = leader[f->k - 1];
    return RL_OK;
}

static rl_status log_candidates(finder *f, int32_t type, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t c0 = 0; c0 < f->C; c0 += SCAN) {
        int64_t n = f->C - c0 < SCAN ? f->C - c0 : SCAN;
        if (!any_above(f->score + c0, f->entry + c0, n)) continue;
        for (int64_t c = c0; c < c0 + n; c++)
            if (f->score[c] > f->entry[c]) RL_TRY(log_candidate(f, c, type, err));
    }
cleanup:
    return status;
}

/* The chain runs from the latest type to the earliest, so a tie puts the earlier one in front. A channel with sd 0 has
 * infinite or NaN scores only, and inf / inf is NaN: its list is empty, as NeuroX's. */
static void pick(const finder *f, int64_t c, int32_t *word, double *score)
{
    int64_t held = 0, k = f->k;
    for (int64_t j = 0; j < k; j++) word[j] = -1, score[j] = 0;
    for (int64_t at = f->last[c]; at >= 0; at = f->log[at].next) {
        double share = f->log[at].score / f->max[c];
        int64_t i = held < k ? held : k - 1;
        if (!(share > MIN_SCORE) || (held == k && share < score[k - 1])) continue;
        for (; i > 0 && score[i - 1] <= share; i--) word[i] = word[i - 1], score[i] = score[i - 1];
        word[i] = f->log[at].type;
        score[i] = share;
        if (held < k) held++;
    }
}

/* ------------------------------------------------------------------------------------------------ together */

static void finder_clear(finder *f)
{
    rl_free(f->score);
    rl_free(f->max);
    rl_free(f->leaders);
    rl_free(f->entry);
    rl_free(f->last);
    rl_free(f->log);
}

static rl_status finder_prepare(finder *f, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(f->score, f->C, err);
    RL_ALLOC(f->max, f->C, err);
    RL_ALLOC(f->leaders, f->C * f->k, err); /* zeros: a score of 0 is never kept, 0 / max > 0.1 is false */
    RL_ALLOC(f->entry, f->C, err);
    RL_ALLOC(f->last, f->C, err);
    for (int64_t c = 0; c < f->C; c++) f->last[c] = -1;
cleanup:
    return status;
}

rl_status rl_top_words(int32_t *word, double *score, float *mean, float *sd, const float *X, const int32_t *word_type,
                       int32_t num_types, int64_t W, int64_t C, int64_t k, rl_error *err)
{
    rl_status status = RL_OK;
    finder f = {.X = X, .C = C, .k = k};
    occurrences o = {0};
    float *moments = NULL;
    RL_REQUIRE(W > 0 && C > 0 && k > 0 && num_types > 0, err);
    RL_ALLOC(moments, 2 * C, err);
    f.mean = moments;
    f.sd = moments + C;
    RL_TRY(find_occurrences(&o, word_type, num_types, W, err));
    RL_TRY(finder_prepare(&f, err));
    RL_TRY(mean_and_sd(moments, moments + C, X, W, C, err));
    for (int32_t t = 0; t < o.num_types; t++) {
        score_type(&f, o.row + o.start[t], o.start[t + 1] - o.start[t]);
        RL_TRY(log_candidates(&f, o.type[t], err));
    }
    for (int64_t c = 0; c < C; c++) pick(&f, c, word + c * k, score + c * k);
    if (mean) memcpy(mean, f.mean, (size_t)C * sizeof *mean);
    if (sd) memcpy(sd, f.sd, (size_t)C * sizeof *sd);
cleanup:
    finder_clear(&f);
    occurrences_clear(&o);
    rl_free(moments);
    return status;
}
