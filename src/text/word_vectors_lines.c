/* word_vectors_lines.c -- fastText's .vec: "COUNT DIMENSION", then a word and its numbers a line (protocol §13).
 *
 * The last DIMENSION fields are the numbers and what is left of them is the word, so words may hold blanks. Lines are
 * bytes here: published files hold words that are no UTF-8. Numbers are read where the word is asked for; of all other
 * lines only the fields are counted. */
#include "word_vectors.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct vector_lines {
    text_vectors *vectors;
    size_t offset; /* of the next line */
    long number;   /* of the line below, from 1 */
    const char *line;
    size_t length; /* without blanks at its end */
    int64_t count; /* as the header says */
} vector_lines;

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool next_line(vector_lines *lines)
{
    size_t left = lines->vectors->size - lines->offset;
    if (!left) return false;
    lines->line = lines->vectors->data + lines->offset;
    const char *newline = memchr(lines->line, '\n', left);
    lines->length = newline ? (size_t)(newline - lines->line) : left;
    lines->offset += lines->length + (newline != NULL);
    lines->number++;
    while (lines->length && is_blank(lines->line[lines->length - 1])) lines->length--;
    return true;
}

#define FAIL(lines, column, ...) \
    rl_fail_at(err, RL_ERR_INPUT, (lines)->vectors->path, (lines)->number, (long)(column), __VA_ARGS__)

/* Digits at *at; -1 where there are none or too many. */
static int64_t header_number(const char **at, const char *end)
{
    int64_t value = 0;
    const char *start = *at;
    for (; *at < end && isdigit((unsigned char)**at); ++*at) {
        if (*at - start == 15) return -1;
        value = value * 10 + (**at - '0');
    }
    return *at > start ? value : -1;
}

static rl_status read_header(vector_lines *lines, int64_t *dimension, rl_error *err)
{
    static const char expected[] =
        "this is no fastText .bin (it does not start with 793712314), and the first line of a "
        ".vec file is COUNT DIMENSION, such as 2000000 300";
    if (!next_line(lines)) return FAIL(lines, 0, "the file is empty; a fastText .bin or .vec file was expected");
    const char *at = lines->line, *end = at + lines->length;
    lines->count = header_number(&at, end);
    if (lines->count < 0 || at == end || !is_blank(*at)) return FAIL(lines, 1, "%s", expected);
    while (at < end && is_blank(*at)) at++;
    long column = at - lines->line + 1;
    *dimension = header_number(&at, end);
    if (*dimension < 0 || at != end) return FAIL(lines, column, "%s", expected);
    if (*dimension >= 1 && *dimension <= TEXT_MAX_DIMENSION) return RL_OK;
    return FAIL(lines, column, "the vectors' dimension is %" PRId64 "; 1 to %d was expected", *dimension,
                TEXT_MAX_DIMENSION);
}

/* Where the numbers start, from the line's end; the word's length. */
static rl_status split_line(const vector_lines *lines, int64_t dimension, size_t *numbers, size_t *word, rl_error *err)
{
    size_t at = lines->length;
    for (int64_t field = 0; field < dimension; field++) {
        while (at && is_blank(lines->line[at - 1])) at--;
        size_t end = at;
        while (at && !is_blank(lines->line[at - 1])) at--;
        if (at == end || at == 0)
            return FAIL(lines, 0, "a word and %" PRId64 " numbers were expected; there are %" PRId64 " fields",
                        dimension, field + (at != end));
    }
    *numbers = at;
    *word = at - 1; /* one blank in front of the numbers; those before it are the word's */
    return *word ? RL_OK : FAIL(lines, 1, "no word in front of the %" PRId64 " numbers", dimension);
}

static rl_status read_number(const vector_lines *lines, size_t *at, float *to, rl_error *err)
{
    char field[64], *end = NULL;
    while (*at < lines->length && is_blank(lines->line[*at])) ++*at;
    size_t start = *at, length;
    while (*at < lines->length && !is_blank(lines->line[*at])) ++*at;
    length = *at - start;
    memcpy(field, lines->line + start, length < sizeof field ? length : sizeof field - 1);
    field[length < sizeof field ? length : sizeof field - 1] = '\0';
    *to = strtof(field, &end);
    bool decimal = length < sizeof field && strspn(field, "0123456789+-.eE") == length; /* strtof reads hex too */
    if (decimal && end == field + length && isfinite(*to)) return RL_OK;
    for (char *c = field; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~') *c = '?';
    return FAIL(lines, start + 1, "'%s' is no finite number; one of a vector's was expected", field);
}

/* The first line of a word counts: files have the most frequent first. */
static rl_status take_line(const vector_lines *lines, rl_error *err)
{
    text_vectors *v = lines->vectors;
    size_t at = 0, length = 0;
    rl_status status = split_line(lines, v->dimension, &at, &length, err);
    if (status != RL_OK) return status;
    int32_t word = rl_names_find(v->words, lines->line, length);
    if (word < 0 || v->known[word]) return RL_OK;
    for (int64_t c = 0; c < v->dimension && status == RL_OK; c++)
        status = read_number(lines, &at, v->rows + word * v->dimension + c, err);
    v->known[word] = 1;
    return status;
}

rl_status text_read_vector_lines(text_vectors *vectors, rl_error *err)
{
    rl_status status = RL_OK;
    vector_lines lines = {.vectors = vectors};
    int64_t dimension = 0, seen = 0;
    RL_TRY(read_header(&lines, &dimension, err));
    RL_TRY(text_vectors_reserve(vectors, dimension, err));
    for (; next_line(&lines); seen++) {
        if (seen == lines.count)
            return FAIL(&lines, 0, "more lines than the %" PRId64 " words that the first line announces", lines.count);
        RL_TRY(take_line(&lines, err));
    }
    if (seen < lines.count)
        return FAIL(&lines, 0, "the file ends after %" PRId64 " of the %" PRId64 " words that its first line announces",
                    seen, lines.count);
cleanup:
    return status;
}
