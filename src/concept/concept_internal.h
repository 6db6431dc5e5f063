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

/* How passes over rows of activations fetch what they read next: a line at a time, of the row so many on. */
enum { RL_LINE = 16 /* floats */, RL_ROWS_AHEAD = 4 };

/* finders.c: sum[C] += x[C]; sum[C] += (x - mean)^2. In double. */
void rl_add_row(double *restrict sum, const float *restrict x, int64_t C);
void rl_add_square(double *restrict sum, const float *restrict x, const double *restrict mean, int64_t C);
/* sum[C] = numpy's pairwise float32 sum of each column of X[W, C]; mean not NULL: of (x - mean)^2. scratch holds
 * rl_pairwise_scratch(W) * C floats. */
int64_t rl_pairwise_scratch(int64_t W);
void rl_pairwise_columns(float *sum, const float *X, int64_t W, int64_t C, const float *mean, float *scratch);

/* Concept against all other words, per neuron of one layer, in double: two passes over X[W, C].
 * difference = mu_concept - mu_rest; effect = difference / pooled sd, 0 where that is 0. */
rl_status rl_contrast(double *difference, double *effect, const float *X, const int32_t *word_class,
                      int32_t positive_class, int64_t W, int64_t C, rl_error *err);

/* A layer-major pass over all tokens of a corpus, one hidden state at a time. Zero-initialise; rl_pass_end always. */
typedef struct rl_pass {
    const rl_model *model;
    const rl_encoded *data;
    rl_workspace *workspace;
    float *hidden;   /* [T, C] the present hidden state; may be changed between two calls of rl_pass_advance */
    float *words;    /* [W, C] after rl_pass_average_words */
    int32_t *pieces; /* [W] sub-words of each word */
    int32_t *start;  /* [largest batch + 1] */
    int64_t max_tokens, max_sentences, max_attention;
    /* rl_pass_watch: what the units of the block behind the present hidden state are */
    int64_t unit_width; /* F or C; 0: not watched */
    float *units;       /* [max_tokens, unit_width] */
    float *unit_words;  /* [W, unit_width] after rl_pass_advance */
} rl_pass;
rl_status rl_pass_begin(rl_pass *pass, const rl_model *model, const rl_encoded *data, rl_error *err);
/* hidden becomes hidden state `state`; it must hold state - 1 (anything for state 0). */
rl_status rl_pass_advance(rl_pass *pass, int64_t state, rl_error *err);
void rl_pass_average_words(rl_pass *pass);
/* From now on rl_pass_advance to state 1..L averages the units of block state - 1 over the sub-words of each word too. */
rl_status rl_pass_watch(rl_pass *pass, rl_unit_site site, rl_error *err);
void rl_pass_end(rl_pass *pass);

/* cka.c: RL_ERR_INPUT names a position beyond num_words; one layer's words [W, C] into the rows of states. */
rl_status rl_word_states_check(const rl_word_states *states, const rl_model_config *config, int64_t num_words, rl_error *err);
void rl_word_states_take(rl_word_states *states, int64_t layer, const float *words);

/* What one finder needs beside a layer, once per analysis. */
typedef struct rl_finder {
    const rl_concept_data *data;
    uint8_t *is_concept, *held_out; /* [W] */
    float *means;                   /* [K, C], published and head */
    int64_t *counts;                /* [K] */
    rl_probe_settings probe;
    uint64_t seed;
    bool faithful;
} rl_finder;
/* One layer's activations X[W, C] and its contrast [C]. */
typedef struct rl_layer_view {
    int64_t layer, W, C;
    const float *X;
    const double *difference, *effect;
} rl_layer_view;
rl_status rl_finder_prepare(rl_finder *finder, const rl_concept_data *data, const rl_analysis_settings *settings,
                            int64_t hidden_size, rl_error *err);
void rl_finder_release(rl_finder *finder);
/* score [C]; result only of linear_probe. Ablation writes nothing. */
rl_status rl_finder_layer(const rl_finder *finder, rl_rank_method method, double *score, rl_probe_result *result,
                          const rl_layer_view *view, rl_error *err);
/* After the last layer, score [N]: RL_ERR_INPUT where linear_probe found no weight anywhere. */
rl_status rl_finder_finish(rl_rank_method method, const double *score, int64_t N, rl_error *err);

/* RL_ERR_DIVERGED names the first unit with an activation that is not finite. */
rl_status rl_check_finite(const float *X, int64_t W, int64_t C, rl_error *err);
/* RL_ERR_INPUT unless some and not all words are of the concept. */
rl_status rl_check_two_classes(int64_t *num_concept, const uint8_t *is_concept, int64_t W, rl_error *err);
/* mean and sd (ddof 0) [C] of the rows not left out (NULL: all), in double. A spread of at most RL_CONSTANT_SD of the mean is
 * rounding (a pruned channel averaged over sub-words differs in its last bit): sd 0. */
#define RL_CONSTANT_SD 1e-6
void rl_column_moments(double *mean, double *sd, const float *X, const uint8_t *left_out, int64_t W, int64_t C);

/* The table's readings of its top words; base NULL: this is the base; vectors NULL: what needs them is NaN. */
rl_status rl_read_top_words(rl_neuron_table *table, const rl_concept_data *data, const rl_neuron_table *base,
                            const float *vectors, int64_t vector_size, rl_error *err);

/* corrected's null rule; base_sd [num_layers, C] of the base stage. */
rl_status rl_null_by_sd(uint8_t *null, const float *sd, const float *base_sd, int64_t num_layers, int64_t C,
                        rl_error *err);

/* All arrays zeroed. Dimensions must be sane: the caller has checked a file's. */
rl_status rl_neuron_table_create(rl_neuron_table **out, int64_t num_layers_plus_1, int64_t hidden_size, int64_t top_k,
                                 rl_error *err);

/* RL_ERR_INPUT when a tokenizer's id has no row in the model. */
rl_status rl_check_vocabulary(int32_t id, int64_t vocab_size, rl_error *err);

#endif
