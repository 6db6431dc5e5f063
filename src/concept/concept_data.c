/* concept_data.c -- a concept corpus made ready for one tokenizer: which words count, in which class, as which
 * sub-words.
 *
 * Dropped: sentences longer than max_length (as in NeuroX, 100 of them are an error); under `corrected` also words the
 * tokenizer leaves nothing of, whose rows would be zero in every layer (protocol §14.10). Word ids stay those of the
 * file. */
#include "concept_internal.h"

#include <inttypes.h>
#include <string.h>

#define MAX_DROPPED 100 /* neurox load_data: this many is an error */

/* ------------------------------------------------------------------------------------------------ what stays */

/* NeuroX deletes every special token but [UNK], wherever it stands (protocol §5.2). */
static void forget_special_tokens(rl_encoded *encoded, const rl_tokenizer *tokenizer)
{
    rl_special_ids special = rl_tokenizer_special_ids(tokenizer);
    for (int64_t t = 0; t < encoded->num_tokens; t++) {
        int32_t id = encoded->ids[t];
        if (id == special.unk) continue; /* GPT-2's end of text is its unknown token too */
        if (id == special.cls || id == special.sep || id == special.pad || id == special.mask) encoded->word[t] = -1;
    }
}

static bool fits(const rl_encoded *encoded, int64_t sentence, int64_t max_length)
{
    return encoded->sentence_start[sentence + 1] - encoded->sentence_start[sentence] <= max_length;
}

/* keep[W] */
static void mark_words(uint8_t *keep, const rl_corpus *corpus, const rl_encoded *encoded, int64_t max_length,
                       bool need_pieces)
{
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        if (!fits(encoded, s, max_length)) continue;
        if (!need_pieces)
            for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++) keep[w] = 1;
        else
            for (int64_t t = encoded->sentence_start[s]; t < encoded->sentence_start[s + 1]; t++)
                if (encoded->word[t] >= 0) keep[encoded->word[t]] = 1;
    }
}

/* ------------------------------------------------------------------------------------------------- drop in place */

static int64_t drop_words(rl_corpus *corpus, const rl_encoded *encoded, const uint8_t *keep, int64_t max_length)
{
    int64_t sentences = 0, words = 0, first = 0;
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        int64_t end = corpus->sentence_start[s + 1];
        for (int64_t w = first; w < end; w++) {
            if (!keep[w]) continue;
            corpus->word[words] = corpus->word[w];
            corpus->label[words++] = corpus->label[w];
        }
        first = end;
        if (fits(encoded, s, max_length)) corpus->sentence_start[++sentences] = words;
    }
    corpus->num_words = words;
    corpus->num_sentences = sentences;
    return sentences;
}

/* place[W]: a kept word's new index. */
static void drop_tokens(rl_encoded *encoded, const int64_t *place, int64_t num_words, int64_t max_length)
{
    int64_t sentences = 0, tokens = 0, first = 0;
    encoded->max_length = 0;
    for (int64_t s = 0; s < encoded->num_sentences; s++) {
        int64_t end = encoded->sentence_start[s + 1], length = end - first;
        for (int64_t t = first; t < end && length <= max_length; t++, tokens++) {
            encoded->ids[tokens] = encoded->ids[t];
            encoded->word[tokens] = encoded->word[t] < 0 ? -1 : place[encoded->word[t]];
        }
        first = end;
        if (length > max_length) continue;
        encoded->sentence_start[++sentences] = tokens;
        if (length > encoded->max_length) encoded->max_length = length;
    }
    encoded->num_tokens = tokens;
    encoded->num_sentences = sentences;
    encoded->num_words = num_words;
}

static rl_status drop(rl_concept_data *data, const uint8_t *keep, int64_t max_length, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *place = NULL, words = 0, sentences = data->corpus->num_sentences;
    RL_ALLOC(place, data->corpus->num_words, err);
    for (int64_t w = 0; w < data->corpus->num_words; w++) {
        place[w] = words;
        words += keep[w];
    }
    data->num_dropped = sentences - drop_words(data->corpus, data->encoded, keep, max_length);
    drop_tokens(data->encoded, place, words, max_length);
    if (data->num_dropped >= MAX_DROPPED)
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: %" PRId64 " sentences are longer than %" PRId64 " sub-words; expected "
                         "fewer than %d",
                         data->corpus->path, data->num_dropped, max_length, MAX_DROPPED);
    else if (words == 0)
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: no word is left: every sentence is longer than %" PRId64
                         " sub-words or holds only words the tokenizer drops",
                         data->corpus->path, max_length);
cleanup:
    rl_free(place);
    return status;
}

/* --------------------------------------------------------------------------------------------------- classes */

/* published, head: one class per label string, in order of first occurrence among the kept words. label_class[labels]:
 * -1 or class. */
static rl_status classes_by_label(rl_concept_data *data, int32_t *label_class, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_corpus *corpus = data->corpus;
    for (int32_t l = 0; l < rl_names_count(corpus->labels); l++) label_class[l] = -1;
    for (int64_t w = 0; w < corpus->num_words; w++) {
        int32_t *class = &label_class[corpus->label[w]];
        if (*class < 0) *class = data->num_classes++;
        data->word_class[w] = *class;
    }
    if (data->num_classes < 2)
        status = rl_fail(err, RL_ERR_INPUT, "%s: all words carry the label '%s'; expected at least two labels",
                         corpus->path, rl_names_get(corpus->labels, corpus->label[0]));
    return status;
}

/* The one label string that is the concept: equal to the positive, or, when none is, the only one with such a comma
 * part. (The authors look the whole string up, which fails on their own second corpus: protocol §14.25.) is_concept
 * [W]: scratch. */
static rl_status find_positive_label(int32_t *label, const rl_corpus *corpus, uint8_t *is_concept,
                                     const char *const *positives, size_t num_positives, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t found = num_positives == 1 ? rl_names_find(corpus->labels, positives[0], strlen(positives[0])) : -1;
    if (found < 0) {
        RL_TRY(rl_concept_positive(is_concept, corpus, positives, num_positives, err));
        for (int64_t w = 0; w < corpus->num_words; w++) {
            if (!is_concept[w] || corpus->label[w] == found) continue;
            if (found >= 0)
                return rl_fail(err, RL_ERR_INPUT,
                               "%s: '%s' and '%s' are both positive; protocols published and head rank "
                               "one label string; expected one of them in full",
                               corpus->path, rl_names_get(corpus->labels, found),
                               rl_names_get(corpus->labels, corpus->label[w]));
            found = corpus->label[w];
        }
    }
    *label = found;
cleanup:
    return status;
}

static rl_status label_classes(rl_concept_data *data, int32_t positive_label, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *label_class = NULL;
    RL_ALLOC(label_class, rl_names_count(data->corpus->labels), err);
    RL_TRY(classes_by_label(data, label_class, err));
    if (label_class[positive_label] < 0)
        status = rl_fail(err, RL_ERR_INPUT, "%s: no word of the concept is left after dropping long sentences",
                         data->corpus->path);
    else
        data->positive_class = label_class[positive_label];
cleanup:
    rl_free(label_class);
    return status;
}

/* corrected: rest and concept; both must have survived. */
static rl_status two_classes(rl_concept_data *data, const uint8_t *is_concept, rl_error *err)
{
    int64_t count[2] = {0, 0};
    data->num_classes = 2;
    data->positive_class = 1;
    for (int64_t w = 0; w < data->corpus->num_words; w++) count[data->word_class[w] = is_concept[w]]++;
    if (count[0] && count[1]) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "%s: after dropping long sentences and words without sub-words, %s word is of the "
                   "concept; expected some and not all",
                   data->corpus->path, count[1] ? "every" : "no");
}

/* -------------------------------------------------------------------------------------------------- together */

static rl_status prepare(rl_concept_data *data, const char *const *positives, size_t num_positives,
                         const rl_tokenizer *tokenizer, int64_t max_length, rl_protocol protocol, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *keep = NULL, *is_concept = NULL;
    int32_t label = -1;
    bool corrected = protocol == RL_PROTOCOL_CORRECTED;
    rl_corpus *corpus = data->corpus;
    RL_ALLOC(keep, corpus->num_words, err);
    RL_ALLOC(is_concept, corpus->num_words, err);
    RL_ALLOC(data->word_class, corpus->num_words, err);
    if (corrected)
        RL_TRY(rl_concept_positive(is_concept, corpus, positives, num_positives, err));
    else
        RL_TRY(find_positive_label(&label, corpus, is_concept, positives, num_positives, err));
    /* the authors' extraction reads raw lines, where GPT-2's first word has no space before it (protocol §14.22) */
    RL_TRY(protocol == RL_PROTOCOL_CORRECTED
               ? rl_encode_corpus(&data->encoded, tokenizer, corpus, false, INT64_MAX, err)
               : rl_encode_lines(&data->encoded, tokenizer, corpus, INT64_MAX, err));
    forget_special_tokens(data->encoded, tokenizer);
    mark_words(keep, corpus, data->encoded, max_length, corrected);
    for (int64_t w = 0, kept = 0; w < corpus->num_words; w++)
        if (keep[w]) is_concept[kept++] = is_concept[w];
    RL_TRY(drop(data, keep, max_length, err));
    if (corrected)
        RL_TRY(two_classes(data, is_concept, err));
    else
        RL_TRY(label_classes(data, label, err));
cleanup:
    rl_free(keep);
    rl_free(is_concept);
    return status;
}

rl_status rl_concept_data_create(rl_concept_data **out, const char *tokens_path, const char *labels_path,
                                 const char *const *positives, size_t num_positives, const rl_tokenizer *tokenizer,
                                 int64_t max_length, rl_protocol protocol, rl_error *err)
{
    rl_corpus *corpus = NULL;
    rl_status status = rl_concept_corpus_read(&corpus, tokens_path, labels_path, err);
    if (status != RL_OK) return status;
    return rl_concept_data_from_corpus(out, corpus, positives, num_positives, tokenizer, max_length, protocol, err);
}

rl_status rl_concept_data_from_corpus(rl_concept_data **out, rl_corpus *corpus, const char *const *positives,
                                      size_t num_positives, const rl_tokenizer *tokenizer, int64_t max_length,
                                      rl_protocol protocol, rl_error *err)
{
    rl_status status = RL_OK;
    rl_concept_data *data = rl_calloc(1, sizeof *data, err);
    if (!data) {
        rl_corpus_free(corpus);
        return RL_ERR_MEMORY;
    }
    data->corpus = corpus;
    RL_TRY(prepare(data, positives, num_positives, tokenizer, max_length, protocol, err));
    *out = data;
    data = NULL;
cleanup:
    rl_concept_data_free(data);
    return status;
}

void rl_concept_data_free(rl_concept_data *data)
{
    if (!data) return;
    rl_corpus_free(data->corpus);
    rl_encoded_free(data->encoded);
    rl_free(data->word_class);
    rl_free(data);
}
