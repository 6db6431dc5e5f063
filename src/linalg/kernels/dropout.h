/* dropout.h -- the factors of counter-based dropout, a chunk at a time. */
#ifndef RELEARN_LINALG_DROPOUT_H
#define RELEARN_LINALG_DROPOUT_H

#include "kernels.h"

#define RL_DROPOUT_CHUNK 512 /* elements at most per call: the factors stay in L1 */

typedef struct dropout_chunk {
    float factors[RL_DROPOUT_CHUNK + 4]; /* + the up to three elements of the first block before `first` */
} dropout_chunk;

/* Factors of elements first..first+n-1, n <= RL_DROPOUT_CHUNK: 0 or 1/(1-p). */
const float *ISA(dropout_factors)(dropout_chunk *chunk, uint64_t first, int64_t n, const rl_dropout *dropout);

#endif
