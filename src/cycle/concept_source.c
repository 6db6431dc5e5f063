/* concept_source.c -- where a concept's words are: labelled files, entity types, word lists, patterns; and which training
 * sentences hold the concept. */
#include "cycle_internal.h"

#include <string.h>

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
    case RL_CONCEPT_PATTERN:
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
