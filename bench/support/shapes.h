/* shapes.h -- the models and sentences that benchmarks run on, and the SGEMM rate at their products. */
#ifndef RELEARN_BENCH_SHAPES_H
#define RELEARN_BENCH_SHAPES_H

#include "relearn/model.h"

enum { BENCH_LABELS = 9 };

typedef struct shape {
    const char *name, *config; /* config.json without its closing brace */
} shape;
/* MiniLM-L6 (6 x 384, vocabulary 30522) and DistilBERT (6 x 768, 28996); ended by a NULL name. */
extern const shape bench_shapes[];
const shape *bench_shape(const char *name); /* NULL: none */

/* Random weights, the same each time. */
rl_status bench_load_model(rl_model **out, const shape *which, rl_error *err);
/* Sentences of CoNLL-2003's lengths, each word one sub-word; ids with many repeats and a long tail, as words have. */
rl_status bench_synthetic(rl_encoded **out, int64_t sentences, rl_error *err);

typedef enum bench_products { BENCH_FORWARD, BENCH_TRAINING } bench_products;
/* Adds seconds and FLOPs of the four (forward) or twelve products of one layer on T tokens, operands in cache: the rate a
 * kernel reaches when nothing else is in the way. By the clock of clock.h. */
rl_status bench_layer_products(double *seconds, double *flops, const rl_model_config *config, int64_t T,
                               bench_products which, bool cpu_time, rl_error *err);

#endif
