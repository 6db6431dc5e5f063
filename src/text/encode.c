/* encode.c -- a corpus as packed sub-words with their words and labels.
 *
 * Words are interned, so every distinct word is tokenised once; the rest is copying. */
#include "text_internal.h"

#include <inttypes.h>
#include <string.h>

/* [CLS] and [SEP], or none: GPT-2 puts nothing around a sentence. */
static int64_t num_specials(const rl_tokenizer *tokenizer) { return tokenizer->special.cls >= 0 ? 2 : 0; }

/* Pieces of every distinct word: ids[start[w] .. start[w + 1]). */
typedef struct word_pieces {
    rl_id_list list;
    int64_t *start;
} word_pieces;

/* The pieces of words inside a line, and of words at its start. */
typedef struct line_pieces {
    word_pieces inside, first;
    const word_pieces *at_start; /* first where it was made, else inside */
} line_pieces;

static rl_status encode_words(word_pieces *pieces, const rl_tokenizer *tokenizer, const rl_names *words, bool bare,
                              rl_error *err)
{
    rl_status status = RL_OK;
    text_scratch scratch = {.bare = bare};
    int32_t count = rl_names_count(words);
    RL_ALLOC(pieces->start, (size_t)count + 1, err);
    for (int32_t w = 0; w < count; w++) {
        const char *word = rl_names_get(words, w);
        RL_TRY(text_encode(tokenizer, &scratch, word, strlen(word), &pieces->list, err));
        pieces->start[w + 1] = (int64_t)pieces->list.count;
    }
cleanup:
    text_scratch_free(&scratch);
    return status;
}

static const word_pieces *pieces_at(const line_pieces *line, const rl_corpus *corpus, int64_t s, int64_t w)
{
    return w == corpus->sentence_start[s] ? line->at_start : &line->inside;
}

/* Tokens of one sentence, specials included, cut to max_length. */
static int64_t sentence_tokens(const line_pieces *line, const rl_corpus *corpus, int64_t s, int64_t specials,
                               int64_t max_length)
{
    int64_t tokens = specials;
    for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++) {
        const int64_t *start = pieces_at(line, corpus, s, w)->start + corpus->word[w];
        tokens += start[1] - start[0];
    }
    return tokens < max_length ? tokens : max_length;
}

/* The label of a word's second and further pieces: I-T after B-T where the set has it, else the same (protocol §1.1,
 * whose y + 1 where y is odd this is for CoNLL-2003's ids; by name it also holds for a model that numbers its labels
 * otherwise). */
static rl_status continuing_labels(int32_t **out, const rl_names *labels, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t count = rl_names_count(labels), *continuing = NULL;
    RL_ALLOC(continuing, count, err);
    for (int32_t y = 0; y < count; y++) {
        const char *label = rl_names_get(labels, y);
        continuing[y] = y;
        if (label[0] != 'B' || label[1] != '-') continue;
        char *inside = rl_format(err, "I%s", label + 1);
        if (!inside) {
            status = RL_ERR_MEMORY;
            goto cleanup;
        }
        int32_t found = rl_names_find(labels, inside, strlen(inside));
        if (found >= 0) continuing[y] = found;
        rl_free(inside);
    }
    *out = continuing;
    return RL_OK;
cleanup:
    rl_free(continuing);
    return status;
}

static void put(rl_encoded *encoded, int64_t *at, int32_t id, int64_t word, int32_t label)
{
    encoded->ids[*at] = id;
    encoded->word[*at] = word;
    if (encoded->labels) encoded->labels[*at] = label;
    ++*at;
}

static void fill_sentence(rl_encoded *encoded, const rl_tokenizer *tokenizer, const line_pieces *line,
                          const rl_corpus *corpus, const int32_t *continuing, int64_t s)
{
    bool specials = num_specials(tokenizer) > 0;
    int64_t at = encoded->sentence_start[s], last = encoded->sentence_start[s + 1] - specials;
    if (specials) put(encoded, &at, tokenizer->special.cls, -1, RL_IGNORE_LABEL);
    for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++) {
        const word_pieces *pieces = pieces_at(line, corpus, s, w);
        int32_t word = corpus->word[w], label = corpus->label[w];
        for (int64_t p = pieces->start[word]; p < pieces->start[word + 1] && at < last; p++) {
            put(encoded, &at, pieces->list.ids[p], w, label);
            label = continuing ? continuing[corpus->label[w]] : label;
        }
    }
    if (specials) put(encoded, &at, tokenizer->special.sep, -1, RL_IGNORE_LABEL);
}

static rl_status allocate(rl_encoded *encoded, const rl_corpus *corpus, const line_pieces *line, bool with_labels,
                          int64_t specials, int64_t max_length, rl_error *err)
{
    rl_status status = RL_OK;
    encoded->num_sentences = corpus->num_sentences;
    encoded->num_words = corpus->num_words;
    RL_ALLOC(encoded->sentence_start, corpus->num_sentences + 1, err);
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        int64_t tokens = sentence_tokens(line, corpus, s, specials, max_length);
        encoded->sentence_start[s + 1] = encoded->sentence_start[s] + tokens;
        if (tokens > encoded->max_length) encoded->max_length = tokens;
    }
    encoded->num_tokens = encoded->sentence_start[corpus->num_sentences];
    RL_ALLOC(encoded->ids, encoded->num_tokens, err);
    RL_ALLOC(encoded->word, encoded->num_tokens, err);
    if (with_labels) RL_ALLOC(encoded->labels, encoded->num_tokens, err);
cleanup:
    return status;
}

static rl_status encode_line_pieces(line_pieces *line, const rl_tokenizer *tokenizer, const rl_corpus *corpus, bool raw,
                                    rl_error *err)
{
    rl_status status = RL_OK;
    bool bare = raw && tokenizer->pairs; /* WordPiece does not see spaces */
    line->at_start = bare ? &line->first : &line->inside;
    RL_TRY(encode_words(&line->inside, tokenizer, corpus->words, false, err));
    if (bare) RL_TRY(encode_words(&line->first, tokenizer, corpus->words, true, err));
cleanup:
    return status;
}

static void line_pieces_clear(line_pieces *line)
{
    rl_free(line->inside.list.ids);
    rl_free(line->inside.start);
    rl_free(line->first.list.ids);
    rl_free(line->first.start);
}

static rl_status encode_corpus(rl_encoded **out, const rl_tokenizer *tokenizer, const rl_corpus *corpus,
                               bool with_labels, bool raw, int64_t max_length, rl_error *err)
{
    rl_status status = RL_OK;
    rl_encoded *encoded = NULL;
    line_pieces line = {0};
    int32_t *continuing = NULL;
    if (max_length <= num_specials(tokenizer))
        return rl_fail(err, RL_ERR_INPUT, "%s: a sequence limit of %" PRId64 " leaves no room between [CLS] and [SEP]",
                       corpus->path, max_length);
    RL_ALLOC(encoded, 1, err);
    RL_TRY(encode_line_pieces(&line, tokenizer, corpus, raw, err));
    RL_TRY(allocate(encoded, corpus, &line, with_labels, num_specials(tokenizer), max_length, err));
    if (with_labels) RL_TRY(continuing_labels(&continuing, corpus->labels, err));
    for (int64_t s = 0; s < corpus->num_sentences; s++)
        fill_sentence(encoded, tokenizer, &line, corpus, continuing, s);
    *out = encoded;
    encoded = NULL;
cleanup:
    rl_encoded_free(encoded);
    line_pieces_clear(&line);
    rl_free(continuing);
    return status;
}

rl_status rl_encode_corpus(rl_encoded **out, const rl_tokenizer *tokenizer, const rl_corpus *corpus, bool with_labels,
                           int64_t max_length, rl_error *err)
{
    return encode_corpus(out, tokenizer, corpus, with_labels, false, max_length, err);
}

rl_status rl_encode_lines(rl_encoded **out, const rl_tokenizer *tokenizer, const rl_corpus *corpus, int64_t max_length,
                          rl_error *err)
{
    return encode_corpus(out, tokenizer, corpus, false, true, max_length, err);
}

void rl_encoded_free(rl_encoded *encoded)
{
    if (!encoded) return;
    rl_free(encoded->sentence_start);
    rl_free(encoded->ids);
    rl_free(encoded->labels);
    rl_free(encoded->word);
    rl_free(encoded);
}
