/* concept_source.c -- where a concept's words are: labelled files, entity types, word lists, patterns; and which training
 * sentences hold the concept. */
#include "cycle_internal.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const char marked[] = "concept", unmarked[] = "rest";

/* Is this IOB2 label one of the types? */
static bool is_of_type(const char *label, const char *const *types, int64_t num_types)
{
    if (label[0] != 'B' && label[0] != 'I') return false;
    for (int64_t i = 0; i < num_types; i++)
        if (label[1] == '-' && !strcmp(label + 2, types[i])) return true;
    return false;
}

static rl_status no_such_type(const rl_corpus *corpus, const char *type, rl_error *err)
{
    const char *names[64], *nearest;
    char list[300] = "";
    size_t n = 0;
    for (int32_t l = 0; l < rl_names_count(corpus->labels) && n < 64; l++) {
        const char *label = rl_names_get(corpus->labels, l);
        if (strncmp(label, "B-", 2) != 0) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", label + 2);
        names[n++] = label + 2;
    }
    nearest = rl_nearest_name(type, names, n);
    return rl_fail(err, RL_ERR_INPUT, "%s: has no entity of type '%s'; its types are %s%s%s%s", corpus->path, type, list,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

rl_status rl_cycle_check_types(const rl_concept_settings *concept, const rl_corpus *corpus, rl_error *err)
{
    for (int64_t i = 0; i < concept->num_types; i++) {
        bool found = false;
        for (int32_t l = 0; l < rl_names_count(corpus->labels); l++)
            found |= is_of_type(rl_names_get(corpus->labels, l), &concept->types[i], 1);
        if (!found) {
            rl_status status = no_such_type(corpus, concept->types[i], err);
            return rl_error_while(err, status, "looking for the F1 of concept %s", concept->name);
        }
    }
    return RL_OK;
}

static void mark_types(uint8_t *is_concept, const rl_corpus *corpus, const char *const *types, int64_t num_types)
{
    for (int64_t w = 0; w < corpus->num_words; w++)
        is_concept[w] |= is_of_type(rl_names_get(corpus->labels, corpus->label[w]), types, num_types);
}

/* ------------------------------------------------------------------------------------------ words, patterns */

/* One entry of a list: a word, or words in a row. Case counts. phrase ids [64]. */
static rl_status mark_phrase(uint8_t *is_concept, const rl_corpus *corpus, const char *entry, size_t length, const char *place, long line, rl_error *err)
{
    int32_t ids[64];
    int64_t n = 0;
    for (size_t at = 0; at < length;) {
        size_t word = at;
        while (word < length && entry[word] != ' ' && entry[word] != '\t') word++;
        if (word > at && n == 64)
            return rl_fail_at(err, RL_ERR_INPUT, place, line, line ? (long)at + 1 : 0, "words: an entry of more than 64 words, '%.*s...'; one entry a line was expected",
                              (int)(length < 60 ? length : 60), entry);
        if (word > at) ids[n++] = rl_names_find(corpus->words, entry + at, word - at);
        at = word + 1;
    }
    for (int64_t s = 0; s < corpus->num_sentences && n; s++)
        for (int64_t w = corpus->sentence_start[s]; w + n <= corpus->sentence_start[s + 1]; w++) {
            int64_t same = 0;
            while (same < n && corpus->word[w + same] == ids[same]) same++;
            if (same == n) memset(is_concept + w, 1, (size_t)n);
        }
    return RL_OK;
}

/* One entry a line, blank lines left out. */
static rl_status mark_file(uint8_t *is_concept, const rl_corpus *corpus, const char *path, rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, path, err);
    long line = 0;
    for (size_t at = 0; status == RL_OK && at < view.size;) {
        const char *end = memchr(view.data + at, '\n', view.size - at);
        size_t next = end ? (size_t)(end - view.data) : view.size, length = next - at;
        if (length && view.data[next - 1] == '\r') length--;
        status = mark_phrase(is_concept, corpus, view.data + at, length, path, ++line, err);
        at = next + 1;
    }
    rl_file_view_close(&view);
    return status;
}

/* Words in which the pattern is found; each distinct word is looked at once. */
static rl_status mark_pattern(uint8_t *is_concept, const rl_corpus *corpus, const char *pattern, rl_error *err)
{
    rl_status status = RL_OK;
    int code = 0;
    PCRE2_SIZE offset = 0;
    uint8_t *matches = NULL;
    pcre2_match_data *data = NULL;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    if (!compiled) {
        PCRE2_UCHAR why[120];
        pcre2_get_error_message(code, why, sizeof why);
        return rl_fail(err, RL_ERR_INPUT, "pattern '%s': %s at character %zu", pattern, (const char *)why, (size_t)offset);
    }
    RL_ALLOC(matches, rl_names_count(corpus->words), err);
    data = pcre2_match_data_create_from_pattern(compiled, NULL);
    if (!data) status = rl_fail(err, RL_ERR_MEMORY, "no memory to match '%s'", pattern);
    for (int32_t i = 0; status == RL_OK && i < rl_names_count(corpus->words); i++) {
        const char *word = rl_names_get(corpus->words, i);
        int found = pcre2_match(compiled, (PCRE2_SPTR)word, strlen(word), 0, 0, data, NULL);
        if (found < PCRE2_ERROR_NOMATCH && (found > PCRE2_ERROR_UTF8_ERR1 || found < PCRE2_ERROR_UTF8_ERR21))
            status = rl_fail(err, RL_ERR_INPUT, "pattern '%s' gives up on '%s' (PCRE2 error %d)", pattern, word, found);
        matches[i] = found >= 0;
    }
    for (int64_t w = 0; status == RL_OK && w < corpus->num_words; w++) is_concept[w] |= matches[corpus->word[w]];
cleanup:
    rl_free(matches);
    pcre2_match_data_free(data);
    pcre2_code_free(compiled);
    return status;
}

static rl_status mark_listed(uint8_t *is_concept, const rl_corpus *corpus, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    if (concept->kind == RL_CONCEPT_PATTERN) return mark_pattern(is_concept, corpus, concept->pattern, err);
    if (concept->words_file) return mark_file(is_concept, corpus, concept->words_file, err);
    for (int64_t i = 0; i < concept->num_words && status == RL_OK; i++)
        status = mark_phrase(is_concept, corpus, concept->words[i], strlen(concept->words[i]), concept->name, 0, err);
    return status;
}

/* ------------------------------------------------------------------------------------------------- corpora */

/* Replace a corpus' labels by "rest" and "concept". */
static rl_status relabel(rl_corpus *corpus, const uint8_t *is_concept, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *labels = NULL;
    int32_t rest = 0, concept = 0;
    RL_TRY(rl_names_create(&labels, err));
    RL_TRY(rl_names_intern(labels, unmarked, strlen(unmarked), &rest, err));
    RL_TRY(rl_names_intern(labels, marked, strlen(marked), &concept, err));
    for (int64_t w = 0; w < corpus->num_words; w++) corpus->label[w] = is_concept[w] ? concept : rest;
    rl_names_free(corpus->labels);
    corpus->labels = labels;
    return RL_OK;
cleanup:
    rl_names_free(labels);
    return status;
}

static rl_status ner_corpus(rl_corpus **out, const rl_run_settings *settings, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = NULL;
    uint8_t *is_concept = NULL;
    RL_TRY(rl_conll_read(&corpus, concept->in ? concept->in : settings->train_file, NULL,
                         concept->in ? 0 : settings->data_limit, err));
    RL_TRY(rl_cycle_check_types(concept, corpus, err));
    RL_ALLOC(is_concept, corpus->num_words, err);
    mark_types(is_concept, corpus, concept->positives, concept->num_positives);
    RL_TRY(relabel(corpus, is_concept, err));
    *out = corpus;
    corpus = NULL;
cleanup:
    rl_free(is_concept);
    rl_corpus_free(corpus);
    return status;
}

/* Sentences of `in`, or the training data's, with the listed or matching words marked. */
static rl_status listed_corpus(rl_corpus **out, const rl_run_settings *settings, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = NULL;
    uint8_t *is_concept = NULL;
    int64_t count = 0;
    if (concept->in)
        RL_TRY(rl_sentences_read(&corpus, concept->in, err));
    else
        RL_TRY(rl_conll_read(&corpus, settings->train_file, NULL, settings->data_limit, err));
    RL_ALLOC(is_concept, corpus->num_words, err);
    RL_TRY(mark_listed(is_concept, corpus, concept, err));
    for (int64_t w = 0; w < corpus->num_words; w++) count += is_concept[w];
    if (count == 0 || count == corpus->num_words) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: %s word is of concept %s; expected some and not all", corpus->path,
                         count ? "every" : "no", concept->name);
        goto cleanup;
    }
    RL_TRY(relabel(corpus, is_concept, err));
    *out = corpus;
    corpus = NULL;
cleanup:
    rl_free(is_concept);
    rl_corpus_free(corpus);
    return status;
}

rl_status rl_cycle_concept_corpus(rl_concept_corpus *out, const rl_run_settings *settings, const rl_concept_settings *concept,
                                  rl_error *err)
{
    static const char *const made[] = {marked};
    rl_status status;
    rl_concept_corpus read = {.positives = made, .num_positives = 1};
    switch (concept->kind) {
    case RL_CONCEPT_LABELS:
        read.positives = concept->positives;
        read.num_positives = (size_t)concept->num_positives;
        status = rl_concept_corpus_read(&read.corpus, concept->tokens, concept->labels, err);
        break;
    case RL_CONCEPT_NER: status = ner_corpus(&read.corpus, settings, concept, err); break;
    case RL_CONCEPT_WORDS:
    case RL_CONCEPT_PATTERN: status = listed_corpus(&read.corpus, settings, concept, err); break;
    default: status = rl_fail(err, RL_ERR_INTERNAL, "concept %s has no kind", concept->name); break;
    }
    if (status == RL_OK) *out = read;
    return status;
}

/* --------------------------------------------------------------------------------------- sentences without */

/* Words of the training corpus whose type is, in the concept's own corpus, of the concept more often than not. */
static rl_status mark_concept_types(uint8_t *is_concept, const rl_corpus *train, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = NULL;
    uint8_t *positive = NULL;
    int64_t *balance = NULL; /* [word types] occurrences in the concept minus others */
    RL_TRY(rl_concept_corpus_read(&corpus, concept->tokens, concept->labels, err));
    RL_ALLOC(positive, corpus->num_words, err);
    RL_ALLOC(balance, rl_names_count(corpus->words), err);
    RL_TRY(rl_concept_positive(positive, corpus, concept->positives, (size_t)concept->num_positives, err));
    for (int64_t w = 0; w < corpus->num_words; w++) balance[corpus->word[w]] += positive[w] ? 1 : -1;
    for (int64_t w = 0; w < train->num_words; w++) {
        const char *word = rl_names_get(train->words, train->word[w]);
        int32_t id = rl_names_find(corpus->words, word, strlen(word));
        is_concept[w] |= id >= 0 && balance[id] > 0;
    }
cleanup:
    rl_free(balance);
    rl_free(positive);
    rl_corpus_free(corpus);
    return status;
}

/* Keep the sentences without a marked word, in place. */
static void drop_sentences(rl_corpus *corpus, const uint8_t *is_concept)
{
    int64_t sentences = 0, words = 0, first = 0;
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        int64_t end = corpus->sentence_start[s + 1];
        bool holds = false;
        for (int64_t w = first; w < end; w++) holds |= is_concept[w];
        for (int64_t w = first; w < end && !holds; w++, words++) {
            corpus->word[words] = corpus->word[w];
            corpus->label[words] = corpus->label[w];
        }
        first = end;
        if (!holds) corpus->sentence_start[++sentences] = words;
    }
    corpus->num_sentences = sentences;
    corpus->num_words = words;
}

rl_status rl_cycle_drop_concept(rl_corpus *train, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *is_concept = NULL;
    int64_t before = train->num_sentences;
    RL_ALLOC(is_concept, train->num_words, err);
    mark_types(is_concept, train, concept->types, concept->num_types);
    if (concept->kind == RL_CONCEPT_LABELS) RL_TRY(mark_concept_types(is_concept, train, concept, err));
    if (concept->kind == RL_CONCEPT_WORDS || concept->kind == RL_CONCEPT_PATTERN)
        RL_TRY(mark_listed(is_concept, train, concept, err));
    drop_sentences(train, is_concept);
    if (train->num_sentences == 0)
        status = rl_fail(err, RL_ERR_INPUT, "%s: each of its %lld sentences holds concept %s; arm: never_learned has nothing to learn from",
                         train->path, (long long)before, concept->name);
    else if (train->num_sentences == before)
        status = rl_fail(err, RL_ERR_INPUT, "%s: none of its %lld sentences holds concept %s; arm: never_learned would be the same model",
                         train->path, (long long)before, concept->name);
cleanup:
    rl_free(is_concept);
    return status;
}
