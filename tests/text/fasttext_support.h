/* fasttext_support.h -- small fastText models made in the test: protocol §13's golden, and variations of it. */
#ifndef FASTTEXT_SUPPORT_H
#define FASTTEXT_SUPPORT_H

#include "text_support.h"

#include <math.h>

typedef struct model_file {
    char bytes[2048];
    size_t length;
    size_t dictionary, matrix, output; /* where these start */
} model_file;

static inline void put(model_file *f, const void *bytes, size_t length)
{
    assert_true(f->length + length <= sizeof f->bytes);
    memcpy(f->bytes + f->length, bytes, length);
    f->length += length;
}
static inline void put_int(model_file *f, int32_t value) { put(f, &value, sizeof value); }
static inline void put_long(model_file *f, int64_t value) { put(f, &value, sizeof value); }
static inline void put_byte(model_file *f, char value) { put(f, &value, 1); }
static inline void put_matrix(model_file *f, int64_t rows)
{
    put_byte(f, 0);
    put_long(f, rows);
    put_long(f, 4);
    for (int64_t r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++) {
            float value = (float)sin(.3 * (double)r + .7 * c);
            put(f, &value, sizeof value);
        }
}

/* Words the, cat; a label; dimension 4, 10 buckets, n-grams of 3 and 4. kept -1: nothing is pruned; else this many of the pairs. */
static inline model_file make_model(int32_t version, int32_t kind, int64_t kept, const int32_t (*pairs)[2])
{
    static const int32_t args[] = {4, 5, 5, 1, 5, 1, 2, 0, 10, 3, 4, 100};
    static const char *const entries[] = {"the", "cat", "__label__x"};
    model_file f = {.length = 0};
    double sampling = 1e-4;
    put_int(&f, 793712314);
    put_int(&f, version);
    for (int i = 0; i < 12; i++) put_int(&f, i == 7 ? kind : args[i]);
    put(&f, &sampling, sizeof sampling);
    f.dictionary = f.length;
    put_int(&f, 3);
    put_int(&f, 2);
    put_int(&f, 1);
    put_long(&f, 100);
    put_long(&f, kept);
    for (int i = 0; i < 3; i++) {
        put(&f, entries[i], strlen(entries[i]) + 1);
        put_long(&f, 50 - i);
        put_byte(&f, i == 2);
    }
    for (int64_t i = 0; i < kept; i++) put(&f, pairs[i], sizeof pairs[i]);
    f.matrix = f.length;
    put_matrix(&f, 2 + (kept < 0 ? 10 : kept));
    f.output = f.length;
    put_matrix(&f, 2);
    return f;
}

/* The words' table; their number of dimensions must be `dimension`. */
typedef struct asked {
    rl_names *words;
    float *table;
    int64_t dimension, num_unknown;
    rl_error err;
} asked;

static inline rl_status ask(asked *a, const char *path, const char *const *words, int num_words, bool lowercase)
{
    int32_t id;
    *a = (asked){.dimension = -1};
    assert_ok(rl_names_create(&a->words, &a->err), a->err);
    for (int i = 0; i < num_words; i++)
        assert_ok(rl_names_intern(a->words, words[i], strlen(words[i]), &id, &a->err), a->err);
    return rl_word_vectors_from_file(&a->table, &a->dimension, &a->num_unknown, path, a->words, lowercase, &a->err);
}

static inline void ask_free(asked *a)
{
    rl_free(a->table);
    rl_names_free(a->words);
}

#endif
