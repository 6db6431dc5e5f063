/* concept_internal.h -- what the files of this room share. */
#ifndef RELEARN_CONCEPT_INTERNAL_H
#define RELEARN_CONCEPT_INTERNAL_H

#include "relearn/concept.h"

/* Loops over neurons, compiled per vector width and picked at load time. Only element-wise IEEE operations are inside
 * and contraction is off (room.cmake), so every clone gives the same bits. Sanitizers instrument ifunc resolvers: no
 * clones there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && defined(__linux__) && !defined(RELEARN_NO_CLONES)
#define RL_PER_ISA __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define RL_PER_ISA
#endif

/* sum[C] = numpy's pairwise float32 sum of each column of X[W, C]; mean not NULL: of (x - mean)^2. scratch holds
 * rl_pairwise_scratch(W) * C floats. */
int64_t rl_pairwise_scratch(int64_t W);
void rl_pairwise_columns(float *sum, const float *X, int64_t W, int64_t C, const float *mean, float *scratch);

/* Concept against all other words, per neuron of one layer, in double: two passes over X[W, C].
 * difference = mu_concept - mu_rest; effect = difference / pooled sd, 0 where that is 0. */
rl_status rl_contrast(double *difference, double *effect, const float *X, const int32_t *word_class,
                      int32_t positive_class, int64_t W, int64_t C, rl_error *err);

/* corrected's null rule; base_sd [num_layers, C] of the base stage. */
rl_status rl_null_by_sd(uint8_t *null, const float *sd, const float *base_sd, int64_t num_layers, int64_t C,
                        rl_error *err);

/* All arrays zeroed. Dimensions must be sane: the caller has checked a file's. */
rl_status rl_neuron_table_create(rl_neuron_table **out, int64_t num_layers_plus_1, int64_t hidden_size, int64_t top_k,
                                 rl_error *err);

/* RL_ERR_INPUT when a tokenizer's id has no row in the model. */
rl_status rl_check_vocabulary(int32_t id, int64_t vocab_size, rl_error *err);

#endif
