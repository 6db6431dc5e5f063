/* word_vectors_model.c -- fastText's .bin: arguments, dictionary and input matrix, little-endian and packed (protocol
 * §13; fastText 0.9.2 args.cc, dictionary.cc, fasttext.cc, densematrix.cc).
 *
 * A word's vector is the mean of its own row and of its n-grams' rows; of a word that the dictionary lacks, of the
 * n-grams' rows alone. Sums run in float in fastText's order, so the bits are FastText::getWordVector's. Only rows that
 * are asked for are touched: the files are gigabytes, and mapped. */
#include "word_vectors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 793712314, OLD_VERSION = 11, VERSION = 12, SUPERVISED = 3, BYTES_PER_ENTRY = 10 };
static const char END_OF_SENTENCE[] = "</s>"; /* Dictionary::EOS: the one word that has no n-grams */

/* What --cutoff left of the n-grams: bucket -> row behind the words. */
typedef struct kept_bucket {
    int32_t bucket, row;
} kept_bucket;

typedef struct fasttext_model {
    text_vectors *vectors;
    size_t at; /* how far the file is read */
    int32_t dimension, bucket, shortest, longest;
    int32_t num_words, num_labels;
    int64_t num_kept; /* -1: nothing was cut off */
    kept_bucket *kept;
    int32_t *row_of; /* [words asked for] their row, -1: not in the dictionary */
    int64_t num_rows;
    size_t matrix; /* offset of the input matrix' numbers */
} fasttext_model;

#define FAIL(model, offset, ...) text_vectors_fail((model)->vectors, (offset), err, __VA_ARGS__)

bool text_is_fasttext_model(const char *data, size_t size)
{
    static const unsigned char magic[] = {0xba, 0x16, 0x4f, 0x2f}; /* 793712314 */
    return size >= sizeof magic && !memcmp(data, magic, sizeof magic);
}

uint32_t text_fasttext_hash(const char *text, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) {
        hash ^= (uint32_t)(int32_t)(int8_t)text[i];
        hash *= 16777619u;
    }
    return hash;
}

/* -------------------------------------------------------------------------------------------------- numbers */

static uint64_t little_endian(const char *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | (unsigned char)bytes[i];
    return value;
}

static rl_status take(fasttext_model *m, size_t count, const char *what, uint64_t *value, rl_error *err)
{
    if (m->vectors->size - m->at < count)
        return FAIL(m, m->vectors->size, "the file ends inside %s; is it cut off?", what);
    *value = little_endian(m->vectors->data + m->at, count);
    m->at += count;
    return RL_OK;
}

static rl_status take_int(fasttext_model *m, const char *what, int32_t *value, rl_error *err)
{
    uint64_t bits = 0;
    rl_status status = take(m, 4, what, &bits, err);
    if (status == RL_OK) *value = (int32_t)(uint32_t)bits;
    return status;
}

static rl_status take_long(fasttext_model *m, const char *what, int64_t *value, rl_error *err)
{
    uint64_t bits = 0;
    rl_status status = take(m, 8, what, &bits, err);
    if (status == RL_OK) *value = (int64_t)bits;
    return status;
}

static float float_at(const fasttext_model *m, size_t offset)
{
    uint32_t bits = (uint32_t)little_endian(m->vectors->data + offset, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ------------------------------------------------------------------------------------------------ arguments */

/* The twelve integers of Args::save, by their place. */
enum { ARG_DIM, ARG_MODEL = 7, ARG_BUCKET, ARG_MINN, ARG_MAXN, ARG_RATE, NUM_ARGS };

static rl_status check_arguments(const fasttext_model *m, size_t start, rl_error *err)
{
    if (m->dimension < 1 || m->dimension > TEXT_MAX_DIMENSION)
        return FAIL(m, start + 4 * ARG_DIM, "the vectors' dimension is %d; 1 to %d was expected", m->dimension,
                    TEXT_MAX_DIMENSION);
    if (m->bucket < 0) return FAIL(m, start + 4 * ARG_BUCKET, "%d buckets; 0 or more were expected", m->bucket);
    if (m->shortest < 0 || m->longest < 0 || (m->longest > 0 && m->shortest > m->longest))
        return FAIL(m, start + 4 * ARG_MINN, "n-grams of %d to %d characters; 0 <= minn <= maxn was expected",
                    m->shortest, m->longest);
    if (m->longest > 0 && m->bucket == 0)
        return FAIL(m, start + 4 * ARG_BUCKET, "no buckets for n-grams of %d to %d characters", m->shortest,
                    m->longest);
    return RL_OK;
}

static rl_status read_arguments(fasttext_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t version = 0, args[NUM_ARGS] = {0};
    uint64_t sampling = 0;
    m->at = 4; /* behind the magic number */
    RL_TRY(take_int(m, "the version", &version, err));
    if (version != VERSION && version != OLD_VERSION)
        return FAIL(m, 4, "fastText model version %d; %d or %d was expected", version, VERSION, OLD_VERSION);
    size_t start = m->at;
    for (int i = 0; i < NUM_ARGS; i++) RL_TRY(take_int(m, "the arguments", &args[i], err));
    RL_TRY(take(m, 8, "the arguments", &sampling, err));
    m->dimension = args[ARG_DIM];
    m->bucket = args[ARG_BUCKET];
    m->shortest = args[ARG_MINN];
    m->longest = version == OLD_VERSION && args[ARG_MODEL] == SUPERVISED ? 0 : args[ARG_MAXN];
    RL_TRY(check_arguments(m, start, err));
cleanup:
    return status;
}

/* ----------------------------------------------------------------------------------------------- dictionary */

/* Words come first and are rows of the input matrix, labels after them. */
static rl_status read_entry(fasttext_model *m, int32_t index, rl_error *err)
{
    const text_vectors *v = m->vectors;
    const char *word = v->data + m->at, *end = memchr(word, '\0', v->size - m->at);
    if (!end || v->size - (size_t)(end - v->data) < BYTES_PER_ENTRY)
        return FAIL(m, v->size, "the file ends inside the dictionary, at entry %d of %d; is it cut off?", index + 1,
                    m->num_words + m->num_labels);
    bool label = index >= m->num_words;
    if (end[9] != label)
        return FAIL(m, (size_t)(end + 9 - v->data), "entry %d of the dictionary has type %d; %d (%s) was expected",
                    index + 1, (unsigned char)end[9], label, label ? "a label" : "a word");
    int32_t asked = label ? -1 : rl_names_find(v->words, word, (size_t)(end - word));
    if (asked >= 0 && m->row_of[asked] < 0) m->row_of[asked] = index;
    m->at = (size_t)(end - v->data) + BYTES_PER_ENTRY;
    return RL_OK;
}

static int by_bucket(const void *a, const void *b)
{
    const kept_bucket *x = a, *y = b;
    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static rl_status read_kept(fasttext_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    if (m->num_kept <= 0) return RL_OK;
    if ((uint64_t)m->num_kept > (m->vectors->size - m->at) / 8)
        return FAIL(m, m->vectors->size, "the file ends inside the list of kept n-grams; is it cut off?");
    RL_ALLOC(m->kept, m->num_kept, err);
    for (int64_t i = 0; i < m->num_kept; i++) {
        size_t place = m->at;
        RL_TRY(take_int(m, "the list of kept n-grams", &m->kept[i].bucket, err));
        RL_TRY(take_int(m, "the list of kept n-grams", &m->kept[i].row, err));
        if (m->kept[i].bucket < 0 || m->kept[i].row < 0 || m->kept[i].row >= m->num_kept)
            return FAIL(m, place, "bucket %d in row %d is kept; rows are 0 to %" PRId64, m->kept[i].bucket,
                        m->kept[i].row, m->num_kept - 1);
    }
    qsort(m->kept, (size_t)m->num_kept, sizeof *m->kept, by_bucket);
cleanup:
    return status;
}

static rl_status read_dictionary(fasttext_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t size = 0;
    int64_t tokens = 0;
    size_t start = m->at;
    RL_TRY(take_int(m, "the dictionary", &size, err));
    RL_TRY(take_int(m, "the dictionary", &m->num_words, err));
    RL_TRY(take_int(m, "the dictionary", &m->num_labels, err));
    RL_TRY(take_long(m, "the dictionary", &tokens, err));
    RL_TRY(take_long(m, "the dictionary", &m->num_kept, err));
    if (size < 0 || m->num_words < 0 || m->num_labels < 0 || (int64_t)m->num_words + m->num_labels != size)
        return FAIL(m, start,
                    "the dictionary has %d entries, %d words and %d labels; size = words + labels was expected", size,
                    m->num_words, m->num_labels);
    if (tokens < 0) return FAIL(m, start + 12, "%" PRId64 " tokens; 0 or more were expected", tokens);
    if (m->num_kept < -1) return FAIL(m, start + 20, "%" PRId64 " kept n-grams; -1 or more were expected", m->num_kept);
    for (int32_t i = 0; i < size; i++) RL_TRY(read_entry(m, i, err));
    RL_TRY(read_kept(m, err));
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------------------- matrices */

/* Step over rows x columns floats. */
static rl_status skip_matrix(fasttext_model *m, const char *what, int64_t *rows, int64_t *columns, rl_error *err)
{
    rl_status status = RL_OK;
    size_t start = m->at;
    RL_TRY(take_long(m, what, rows, err));
    RL_TRY(take_long(m, what, columns, err));
    if (*rows < 0 || *columns != m->dimension)
        return FAIL(m, start, "%s is %" PRId64 " x %" PRId64 "; %d columns were expected", what, *rows, *columns,
                    m->dimension);
    // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): the dimension, which columns equals, was checked to be 1 or more
    if ((uint64_t)*rows > (m->vectors->size - m->at) / 4 / (uint64_t)*columns)
        return FAIL(m, m->vectors->size, "the file ends inside %s of %" PRId64 " x %" PRId64 "; is it cut off?", what,
                    *rows, *columns);
    m->at += (size_t)*rows * (size_t)*columns * 4;
cleanup:
    return status;
}

static rl_status read_input_matrix(fasttext_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    uint64_t quantised = 0;
    int64_t columns = 0, grams = m->num_kept < 0 ? m->bucket : m->num_kept;
    size_t start = m->at;
    RL_TRY(take(m, 1, "the input matrix", &quantised, err));
    if (quantised == 1)
        return FAIL(m, start, "the model is quantized (.ftz); the one it was made from, a .bin, was expected");
    if (quantised > 1) return FAIL(m, start, "the quantization mark is %d; 0 or 1 was expected", (int)quantised);
    RL_TRY(skip_matrix(m, "the input matrix", &m->num_rows, &columns, err));
    m->matrix = start + 17;
    if (m->num_rows != m->num_words + grams)
        return FAIL(m, start + 1, "the input matrix has %" PRId64 " rows; %d words + %" PRId64 " n-grams were expected",
                    m->num_rows, m->num_words, grams);
cleanup:
    return status;
}

/* Nothing of it is used, but a file that ends before it does is cut off. */
static rl_status check_output_matrix(fasttext_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    uint64_t quantised = 0;
    int64_t rows = 0, columns = 0;
    RL_TRY(take(m, 1, "the output matrix", &quantised, err));
    RL_TRY(skip_matrix(m, "the output matrix", &rows, &columns, err));
    if (m->at != m->vectors->size)
        return FAIL(m, m->at, "%zu bytes behind the output matrix; the end was expected", m->vectors->size - m->at);
cleanup:
    return status;
}

/* -------------------------------------------------------------------------------------------------- vectors */

/* sum += the row; FastText::addInputVector. */
static rl_status add_row(const fasttext_model *m, float *sum, int64_t row, rl_error *err)
{
    size_t at = m->matrix + (size_t)row * (size_t)m->dimension * 4;
    for (int32_t c = 0; c < m->dimension; c++, at += 4) {
        float value = float_at(m, at);
        if (!isfinite(value))
            return FAIL(m, at, "row %" PRId64 " of the input matrix has the number %g in column %d", row, (double)value,
                        c);
        sum[c] += value;
    }
    return RL_OK;
}

/* The row of an n-gram, or -1 where the cutoff took it; Dictionary::pushHash. */
static int64_t gram_row(const fasttext_model *m, const char *gram, size_t length)
{
    kept_bucket wanted = {(int32_t)(text_fasttext_hash(gram, length) % (uint32_t)m->bucket), 0};
    if (m->num_kept < 0) return m->num_words + (int64_t)wanted.bucket;
    if (m->num_kept == 0) return -1;
    const kept_bucket *found = bsearch(&wanted, m->kept, (size_t)m->num_kept, sizeof wanted, by_bucket);
    return found ? m->num_words + (int64_t)found->row : -1;
}

static size_t next_character(const char *text, size_t length, size_t at)
{
    do at++;
    while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* The n-grams of "<word>" by start, then length; a bracket alone is none. Dictionary::computeSubwords. */
static rl_status add_grams(const fasttext_model *m, float *sum, int64_t *count, const rl_buffer *bracketed,
                           rl_error *err)
{
    rl_status status = RL_OK;
    const char *text = bracketed->data;
    size_t length = bracketed->length;
    for (size_t start = 0; start < length; start++) {
        if (((unsigned char)text[start] & 0xc0) == 0x80) continue;
        for (size_t end = start, n = 1; end < length && n <= (size_t)m->longest; n++) {
            end = next_character(text, length, end);
            if (n < (size_t)m->shortest || (n == 1 && (start == 0 || end == length))) continue;
            int64_t row = gram_row(m, text + start, end - start);
            if (row < 0) continue;
            RL_TRY(add_row(m, sum, row, err));
            ++*count;
        }
    }
cleanup:
    return status;
}

static rl_status make_vector(const fasttext_model *m, int32_t asked, rl_buffer *bracketed, rl_error *err)
{
    rl_status status = RL_OK;
    const char *word = rl_names_get(m->vectors->words, asked);
    float *sum = m->vectors->rows + (int64_t)asked * m->dimension;
    int64_t count = 0;
    if (m->row_of[asked] >= 0) {
        RL_TRY(add_row(m, sum, m->row_of[asked], err));
        count++;
    }
    bracketed->length = 0;
    RL_TRY(rl_buffer_printf(bracketed, err, "<%s>", word));
    if (strcmp(word, END_OF_SENTENCE)) RL_TRY(add_grams(m, sum, &count, bracketed, err));
    float share = count ? (float)(1.0 / (double)count) : 0;
    for (int32_t c = 0; c < m->dimension; c++) {
        sum[c] *= share;
        if (!isfinite(sum[c]))
            return FAIL(m, m->matrix, "the vector of '%s' is not finite: its rows add up to more than a float holds",
                        word);
    }
    m->vectors->known[asked] = count > 0;
cleanup:
    return status;
}

rl_status text_read_fasttext_model(text_vectors *vectors, rl_error *err)
{
    rl_status status = RL_OK;
    fasttext_model m = {.vectors = vectors};
    rl_buffer bracketed = {0};
    int32_t count = rl_names_count(vectors->words);
    RL_TRY(read_arguments(&m, err));
    RL_ALLOC(m.row_of, count, err);
    for (int32_t w = 0; w < count; w++) m.row_of[w] = -1;
    RL_TRY(read_dictionary(&m, err));
    RL_TRY(read_input_matrix(&m, err));
    RL_TRY(check_output_matrix(&m, err));
    RL_TRY(text_vectors_reserve(vectors, m.dimension, err));
    for (int32_t w = 0; w < count; w++) RL_TRY(make_vector(&m, w, &bracketed, err));
cleanup:
    rl_buffer_free(&bracketed);
    rl_free(m.kept);
    rl_free(m.row_of);
    return status;
}
