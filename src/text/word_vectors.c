/* word_vectors.c -- vectors of given words out of a fastText file, whichever of its two formats it has. */
#include "word_vectors.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

rl_status text_vectors_fail(const text_vectors *vectors, size_t offset, rl_error *err, const char *format, ...)
{
    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return rl_fail(err, RL_ERR_INPUT, "%s: byte %zu: %s", vectors->path, offset, what);
}

rl_status text_vectors_reserve(text_vectors *vectors, int64_t dimension, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t count = rl_names_count(vectors->words);
    RL_ALLOC(vectors->rows, count * dimension, err);
    RL_ALLOC(vectors->known, count, err);
    vectors->dimension = dimension;
cleanup:
    return status;
}

/* Code point by code point; U+0130 is the one that becomes two, as in Python's str.lower(). */
static rl_status lower_case(rl_buffer *to, const char *word, rl_error *err)
{
    rl_status status = RL_OK;
    const char *end = word + strlen(word);
    to->length = 0;
    while (word < end) {
        utf8proc_uint8_t bytes[4];
        int32_t code = text_decode(&word, end);
        if (code < 0)
            RL_TRY(rl_buffer_append(to, word++, 1, err));
        else if (code == 0x130)
            RL_TRY(rl_buffer_append(to, "i\xcc\x87", 3, err));
        else
            RL_TRY(rl_buffer_append(to, bytes, (size_t)utf8proc_encode_char(text_lower(code), bytes), err));
    }
cleanup:
    return status;
}

/* lowered: the distinct lower-cased words; form[word] is the id there. */
static rl_status lower_all(rl_names *lowered, int32_t *form, const rl_names *words, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    for (int32_t w = 0; w < rl_names_count(words); w++) {
        RL_TRY(lower_case(&text, rl_names_get(words, w), err));
        RL_TRY(rl_names_intern(lowered, text.data ? text.data : "", text.length, &form[w], err));
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status read_any(text_vectors *vectors, const char *path, const rl_names *words, rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, path, err);
    if (status != RL_OK) return status;
    *vectors = (text_vectors){.path = path, .data = view.data, .size = view.size, .words = words};
    status = text_is_fasttext_model(view.data, view.size) ? text_read_fasttext_model(vectors, err)
                                                          : text_read_vector_lines(vectors, err);
    rl_file_view_close(&view);
    return status;
}

/* The rows of the words from the rows of their lower-cased forms. */
static rl_status spread(text_vectors *vectors, const int32_t *form, int64_t num_words, rl_error *err)
{
    rl_status status = RL_OK;
    text_vectors from = *vectors;
    int64_t C = from.dimension;
    vectors->rows = NULL;
    vectors->known = NULL;
    RL_ALLOC(vectors->rows, num_words * C, err);
    RL_ALLOC(vectors->known, num_words, err);
    for (int64_t w = 0; w < num_words; w++) {
        memcpy(vectors->rows + w * C, from.rows + form[w] * C, (size_t)C * sizeof *from.rows);
        vectors->known[w] = from.known[form[w]];
    }
cleanup:
    rl_free(from.rows);
    rl_free(from.known);
    return status;
}

rl_status rl_word_vectors_from_file(float **table, int64_t *dimension, int64_t *num_unknown, const char *path,
                                    const rl_names *words, bool lowercase, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t count = rl_names_count(words), unknown = 0;
    text_vectors vectors = {0};
    rl_names *lowered = NULL;
    int32_t *form = NULL;
    if (lowercase) {
        RL_ALLOC(form, count, err);
        RL_TRY(rl_names_create(&lowered, err));
        RL_TRY(lower_all(lowered, form, words, err));
    }
    RL_TRY(read_any(&vectors, path, lowercase ? lowered : words, err));
    if (lowercase) RL_TRY(spread(&vectors, form, count, err));
    for (int64_t w = 0; w < count; w++) unknown += !vectors.known[w];
    *table = vectors.rows;
    *dimension = vectors.dimension;
    if (num_unknown) *num_unknown = unknown;
    vectors.rows = NULL;
cleanup:
    rl_free(vectors.rows);
    rl_free(vectors.known);
    rl_names_free(lowered);
    rl_free(form);
    return status;
}
