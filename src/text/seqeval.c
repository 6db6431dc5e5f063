/* seqeval.c -- entity precision, recall and F1 as seqeval 1.2.2's default mode gives them, to the last digit.
 *
 * seqeval/metrics/sequence_labeling.py, get_entities: sentences are joined with an O after each; a tag is a first
 * letter and a type; start_of_chunk and end_of_chunk decide from a tag and its predecessor. An entity is right when
 * type, first and last word agree. At most one chunk ends at any word, so one walk over both sequences counts them. */
#include "text_internal.h"

#include <stdlib.h>
#include <string.h>

/* A label as seqeval reads it: chunk[0] and chunk[1:].split("-", 1)[-1] or "_". */
typedef struct tag {
    char letter; /* 0 for a first character beyond ASCII, which no rule names */
    int32_t type;
} tag;

/* The open chunk of one of the two sequences. */
typedef struct chunker {
    tag previous;
    int64_t begin;
} chunker;

/* seqeval's end_of_chunk. */
static bool ends_chunk(tag previous, tag next)
{
    char p = previous.letter, t = next.letter;
    if (p == 'E' || p == 'S') return true;
    if ((p == 'B' || p == 'I') && (t == 'B' || t == 'S' || t == 'O')) return true;
    return p != 'O' && p != '.' && previous.type != next.type;
}

/* seqeval's start_of_chunk. */
static bool starts_chunk(tag previous, tag next)
{
    char p = previous.letter, t = next.letter;
    if (t == 'B' || t == 'S') return true;
    if ((p == 'E' || p == 'S' || p == 'O') && (t == 'E' || t == 'I')) return true;
    return t != 'O' && t != '.' && previous.type != next.type;
}

/* Step to the tag of word i; true when a chunk (its type, its first word) ended at word i - 1. */
static bool step(chunker *c, tag next, int64_t i, int32_t *type, int64_t *begin)
{
    bool ended = ends_chunk(c->previous, next);
    *type = c->previous.type;
    *begin = c->begin;
    if (starts_chunk(c->previous, next)) c->begin = i;
    c->previous = next;
    return ended;
}

/* ------------------------------------------------------------------------------------------------- tags */

static rl_status read_tag(tag *out, rl_names *types, const char *label, rl_error *err)
{
    const char *rest = label, *end = label + strlen(label);
    int32_t first = rest < end ? text_decode(&rest, end) : 0;
    const char *dash = strchr(rest, '-'), *type = dash ? dash + 1 : rest;
    if (first < 0) return rl_fail(err, RL_ERR_INPUT, "the label '%s' is not UTF-8", label);
    if (*type == '\0') type = "_";
    out->letter = (char)(first < 0x80 ? first : 0);
    return rl_names_intern(types, type, strlen(type), &out->type, err);
}

/* Tags of all labels, then seqeval's own "O" behind them. */
static rl_status read_tags(tag **out, rl_names *types, const rl_names *labels, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t count = rl_names_count(labels);
    tag *tags = NULL;
    RL_ALLOC(tags, (size_t)count + 1, err);
    for (int32_t i = 0; i < count; i++) RL_TRY(read_tag(&tags[i], types, rl_names_get(labels, i), err));
    RL_TRY(read_tag(&tags[count], types, "O", err));
    *out = tags;
    return RL_OK;
cleanup:
    rl_free(tags);
    return status;
}

/* --------------------------------------------------------------------------------------------- counting */

static void count_word(rl_score *by_type, chunker *gold, chunker *predicted, tag gold_tag, tag predicted_tag, int64_t i)
{
    int32_t gold_type, predicted_type;
    int64_t gold_begin, predicted_begin;
    bool gold_ended = step(gold, gold_tag, i, &gold_type, &gold_begin);
    bool predicted_ended = step(predicted, predicted_tag, i, &predicted_type, &predicted_begin);
    if (gold_ended) by_type[gold_type].support++;
    if (predicted_ended) by_type[predicted_type].predicted++;
    if (gold_ended && predicted_ended && gold_type == predicted_type && gold_begin == predicted_begin)
        by_type[gold_type].correct++;
}

static int64_t count_chunks(rl_score *by_type, const tag *tags, int32_t outside, const int32_t *gold,
                            const int32_t *predicted, const int64_t *start, int64_t num_sentences)
{
    chunker g = {tags[outside], 0}, p = {tags[outside], 0};
    int64_t matches = 0, i = 0;
    for (int64_t s = 0; s < num_sentences; s++) {
        for (int64_t w = start[s]; w < start[s + 1]; w++) {
            count_word(by_type, &g, &p, tags[gold[w]], tags[predicted[w]], i++);
            matches += gold[w] == predicted[w];
        }
        count_word(by_type, &g, &p, tags[outside], tags[outside], i++);
    }
    return matches;
}

/* The order of operations is seqeval's: ((1 + 1) * P) * R / (P + R), and 0 for 0/0. */
static void finish_score(rl_score *score)
{
    score->precision = score->predicted ? (double)score->correct / (double)score->predicted : 0;
    score->recall = score->support ? (double)score->correct / (double)score->support : 0;
    double sum = score->precision + score->recall;
    score->f1 = 2.0 * score->precision * score->recall / (sum == 0 ? 1 : sum);
}

/* --------------------------------------------------------------------------------------------- reporting */

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Types with a chunk on either side, bytewise (Python's order of code points), with their scores. */
static rl_status report_types(rl_seqeval *scores, const rl_names *types, const rl_score *by_type, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t count = rl_names_count(types);
    RL_ALLOC(scores->types, count, err);
    RL_ALLOC(scores->by_type, count, err);
    for (int32_t i = 0; i < count; i++) {
        if (by_type[i].support + by_type[i].predicted == 0) continue;
        char *name = rl_strdup(rl_names_get(types, i), err);
        if (!name) return RL_ERR_MEMORY;
        scores->types[scores->num_types++] = name;
    }
    qsort(scores->types, (size_t)scores->num_types, sizeof *scores->types, compare_names);
    for (int32_t i = 0; i < scores->num_types; i++) {
        const rl_score *found = &by_type[rl_names_find(types, scores->types[i], strlen(scores->types[i]))];
        scores->by_type[i] = *found;
        scores->overall.support += found->support;
        scores->overall.predicted += found->predicted;
        scores->overall.correct += found->correct;
        finish_score(&scores->by_type[i]);
    }
    finish_score(&scores->overall);
cleanup:
    return status;
}

static rl_status check_ids(const int32_t *ids, int64_t first, int64_t end, int32_t count, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t w = first; w < end; w++) RL_REQUIRE(ids[w] >= 0 && ids[w] < count, err);
cleanup:
    return status;
}

rl_status rl_seqeval_score(rl_seqeval **out, const rl_names *labels, const int32_t *gold, const int32_t *predicted,
                           const int64_t *start, int64_t num_sentences, rl_error *err)
{
    rl_status status = RL_OK;
    rl_seqeval *scores = NULL;
    rl_names *types = NULL;
    tag *tags = NULL;
    rl_score *by_type = NULL;
    int32_t count = rl_names_count(labels);
    int64_t first = num_sentences ? start[0] : 0, end = num_sentences ? start[num_sentences] : 0;
    RL_TRY(check_ids(gold, first, end, count, err));
    RL_TRY(check_ids(predicted, first, end, count, err));
    RL_TRY(rl_names_create(&types, err));
    RL_TRY(read_tags(&tags, types, labels, err));
    RL_ALLOC(by_type, rl_names_count(types), err);
    RL_ALLOC(scores, 1, err);
    int64_t matches = count_chunks(by_type, tags, count, gold, predicted, start, num_sentences);
    scores->num_tokens = end - first;
    scores->accuracy = end > first ? (double)matches / (double)(end - first) : 0;
    RL_TRY(report_types(scores, types, by_type, err));
    *out = scores;
    scores = NULL;
cleanup:
    rl_seqeval_free(scores);
    rl_names_free(types);
    rl_free(tags);
    rl_free(by_type);
    return status;
}

void rl_seqeval_free(rl_seqeval *scores)
{
    if (!scores) return;
    for (int32_t i = 0; i < scores->num_types; i++) rl_free(scores->types[i]);
    rl_free(scores->types);
    rl_free(scores->by_type);
    rl_free(scores);
}
