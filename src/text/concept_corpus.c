/* concept_corpus.c -- two parallel files, tokens and labels -> a corpus; and which of its words carry the concept. */
#include "text_internal.h"

#include <inttypes.h>
#include <string.h>

/* A line stripped as Python's str.strip() does (protocol §1.2); `column` is where it starts. */
typedef struct stripped {
    const char *next, *end;
} stripped;

static stripped strip(const text_lines *lines)
{
    stripped s = {lines->line, lines->line + lines->length};
    for (const char *after = s.next; s.next < s.end; s.next = after)
        if (!text_is_python_space(text_decode(&after, s.end))) break;
    while (s.end > s.next) {
        const char *last = s.end - 1;
        while (((unsigned char)*last & 0xc0) == 0x80) last--; /* valid UTF-8: a first byte is near */
        const char *after = last;
        if (!text_is_python_space(text_decode(&after, s.end))) break;
        s.end = last;
    }
    return s;
}

/* Only white space from here to the end of the file: such lines are not sentences. */
static bool rest_is_blank(const text_lines *lines)
{
    const char *rest = lines->line + lines->length, *end = lines->view.data + lines->view.size;
    while (rest < end && strchr(" \t\r\n", *rest)) rest++;
    return rest == end;
}

static int64_t count_words(stripped s)
{
    int64_t count = s.next < s.end;
    for (const char *c = s.next; c < s.end; c++) count += *c == ' ';
    return count;
}

/* The next word of a line, up to a single space; an empty one or a tab is refused. */
static rl_status next_word(stripped *s, const text_lines *lines, const char **word, size_t *length, rl_error *err)
{
    const char *space = memchr(s->next, ' ', (size_t)(s->end - s->next));
    const char *end = space ? space : s->end, *tab = memchr(s->next, '\t', (size_t)(end - s->next));
    if (tab || end == s->next)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, (long)((tab ? tab : end) - lines->line) + 1,
                          "%s; words are separated by single spaces", tab ? "a tab" : "an empty word (two spaces)");
    *word = s->next;
    *length = (size_t)(end - s->next);
    s->next = space ? space + 1 : end;
    return RL_OK;
}

static rl_status read_sentence(text_builder *builder, const text_lines *tokens, const text_lines *labels, rl_error *err)
{
    rl_status status = RL_OK;
    stripped t = strip(tokens), l = strip(labels);
    int64_t num_words = count_words(t), num_labels = count_words(l);
    const char *word = NULL, *label = NULL;
    size_t word_length = 0, label_length = 0;
    int32_t id;
    if (num_words == 0)
        return rl_fail_at(err, RL_ERR_INPUT, tokens->path, tokens->number, 0,
                          "an empty line; every line is a sentence");
    if (num_words != num_labels)
        return rl_fail_at(err, RL_ERR_INPUT, labels->path, labels->number, 0,
                          "%" PRId64 " labels for the %" PRId64 " words of line %ld of %s; one for each was expected",
                          num_labels, num_words, tokens->number, tokens->path);
    while (t.next < t.end) {
        RL_TRY(next_word(&t, tokens, &word, &word_length, err));
        RL_TRY(next_word(&l, labels, &label, &label_length, err));
        RL_TRY(rl_names_intern(builder->corpus->labels, label, label_length, &id, err));
        RL_TRY(text_builder_word(builder, word, word_length, id, err));
    }
    RL_TRY(text_builder_end_sentence(builder, err));
cleanup:
    return status;
}

/* The next line that belongs to the corpus. */
static rl_status next_sentence(text_lines *lines, bool *more, rl_error *err)
{
    rl_status status = text_lines_next(lines, more, err);
    if (status != RL_OK || !*more) return status;
    stripped s = strip(lines);
    if (s.next == s.end && rest_is_blank(lines)) *more = false;
    return RL_OK;
}

static rl_status read_pairs(text_builder *builder, text_lines *tokens, text_lines *labels, rl_error *err)
{
    rl_status status = RL_OK;
    for (bool more_tokens, more_labels;;) {
        RL_TRY(next_sentence(tokens, &more_tokens, err));
        RL_TRY(next_sentence(labels, &more_labels, err));
        if (!more_tokens && !more_labels) break;
        if (more_tokens != more_labels) {
            const text_lines *longer = more_tokens ? tokens : labels, *shorter = more_tokens ? labels : tokens;
            return rl_fail_at(err, RL_ERR_INPUT, longer->path, longer->number, 0,
                              "no line for it in %s, which has %" PRId64 " sentences; the files go line by line",
                              shorter->path, builder->corpus->num_sentences);
        }
        RL_TRY(read_sentence(builder, tokens, labels, err));
    }
    if (builder->corpus->num_sentences == 0)
        status = rl_fail(err, RL_ERR_INPUT, "%s: no sentence; one a line was expected", tokens->path);
cleanup:
    return status;
}

rl_status rl_concept_corpus_read(rl_corpus **out, const char *tokens_path, const char *labels_path, rl_error *err)
{
    text_lines tokens = {0}, labels = {0};
    text_builder builder = {0};
    rl_status status = RL_OK;
    RL_TRY(text_lines_open(&tokens, tokens_path, err));
    RL_TRY(text_lines_open(&labels, labels_path, err));
    RL_TRY(text_builder_create(&builder, tokens_path, err));
    RL_TRY(read_pairs(&builder, &tokens, &labels, err));
    *out = builder.corpus;
    builder.corpus = NULL;
cleanup:
    rl_corpus_free(builder.corpus);
    text_lines_close(&tokens);
    text_lines_close(&labels);
    return status;
}

/* ------------------------------------------------------------------------------------------- the concept */

static bool is_one_of(const char *part, size_t length, const char *const *positives, size_t num_positives)
{
    for (size_t i = 0; i < num_positives; i++)
        if (strlen(positives[i]) == length && memcmp(positives[i], part, length) == 0) return true;
    return false;
}

static bool label_is_positive(const char *label, const char *const *positives, size_t num_positives)
{
    for (;;) {
        size_t length = strcspn(label, ",");
        if (is_one_of(label, length, positives, num_positives)) return true;
        if (label[length] == '\0') return false;
        label += length + 1;
    }
}

/* All comma-separated parts of all labels, as one set. */
static rl_status collect_parts(rl_names *parts, const rl_names *labels, rl_error *err)
{
    for (int32_t i = 0, id; i < rl_names_count(labels); i++) {
        const char *label = rl_names_get(labels, i);
        for (;;) {
            size_t length = strcspn(label, ",");
            rl_status status = rl_names_intern(parts, label, length, &id, err);
            if (status != RL_OK) return status;
            if (label[length] == '\0') break;
            label += length + 1;
        }
    }
    return RL_OK;
}

static rl_status refuse_no_positive(const rl_corpus *corpus, const char *const *positives, size_t num_positives,
                                    rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *parts = NULL;
    const char **names = NULL;
    RL_TRY(rl_names_create(&parts, err));
    RL_TRY(collect_parts(parts, corpus->labels, err));
    size_t count = (size_t)rl_names_count(parts);
    RL_ALLOC(names, count, err);
    for (size_t i = 0; i < count; i++) names[i] = rl_names_get(parts, (int32_t)i);
    const char *wanted = num_positives ? positives[0] : "", *nearest = rl_nearest_name(wanted, names, count);
    status =
        rl_fail(err, RL_ERR_INPUT, "%s: none of its %" PRId64 " words carries the label '%.200s'%s; %s is '%.200s'",
                corpus->path, corpus->num_words, wanted, num_positives > 1 ? " or one of the others asked for" : "",
                nearest ? "the nearest label" : "a label it has", nearest ? nearest : names[count - 1]);
cleanup:
    rl_free(names);
    rl_names_free(parts);
    return status;
}

rl_status rl_concept_positive(uint8_t *is_concept, const rl_corpus *corpus, const char *const *positives,
                              size_t num_positives, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *positive = NULL; /* [labels] */
    int64_t found = 0;
    RL_ALLOC(positive, rl_names_count(corpus->labels), err);
    for (int32_t i = 0; i < rl_names_count(corpus->labels); i++)
        positive[i] = label_is_positive(rl_names_get(corpus->labels, i), positives, num_positives);
    for (int64_t w = 0; w < corpus->num_words; w++) found += positive[corpus->label[w]];
    if (found == 0) {
        status = refuse_no_positive(corpus, positives, num_positives, err);
    } else if (found == corpus->num_words) {
        status =
            rl_fail(err, RL_ERR_INPUT,
                    "%s: all of its %" PRId64 " words carry the label '%.200s'%s; "
                    "words without the concept are needed to compare with",
                    corpus->path, corpus->num_words, positives[0], num_positives > 1 ? " or another asked for" : "");
    } else {
        for (int64_t w = 0; w < corpus->num_words; w++) is_concept[w] = positive[corpus->label[w]];
    }
cleanup:
    rl_free(positive);
    return status;
}
