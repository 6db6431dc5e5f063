/* word_vectors.h -- what the readers of fastText files share. */
#ifndef RELEARN_TEXT_WORD_VECTORS_H
#define RELEARN_TEXT_WORD_VECTORS_H

#include "text_internal.h"

/* The vectors that are asked for, found by their words while a file goes by. */
typedef struct text_vectors {
    const char *path;
    const char *data; /* the whole file */
    size_t size;
    const rl_names *words;
    int64_t dimension;
    float *rows;    /* [words, dimension], owned; zero where no vector is known */
    uint8_t *known; /* [words], owned */
} text_vectors;

enum { TEXT_MAX_DIMENSION = 1 << 20 }; /* larger ones are damage: fastText's own are 100 to 300 */

/* Once the file has said its dimension: rows and known. */
rl_status text_vectors_reserve(text_vectors *vectors, int64_t dimension, rl_error *err);
/* "FILE: byte N: ..." */
rl_status text_vectors_fail(const text_vectors *vectors, size_t offset, rl_error *err, const char *format, ...)
    RL_PRINTF(4, 5);

bool text_is_fasttext_model(const char *data, size_t size);
rl_status text_read_fasttext_model(text_vectors *vectors, rl_error *err); /* .bin */
rl_status text_read_vector_lines(text_vectors *vectors, rl_error *err);   /* .vec */

/* fastText's Dictionary::hash: FNV-1a of 32 bits, but a byte is a signed char when it is mixed in. */
uint32_t text_fasttext_hash(const char *text, size_t length);

#endif
