/* relearn/concept.h -- which neurons carry a concept, how much, in which words, and how to remove them.
 *
 * model + concept corpus -> one [W, C] activation matrix at a time, layer by layer -> per neuron: score, rank, saliency,
 * top words, similarity. Neuron n of N = (L+1)C: layer n / C (0 = embeddings), unit n mod C (protocol §2.2).
 * Leans on core, linalg, text, model (and train for nothing). Pure: no files but the neuron table's, no MPI. */
#ifndef RELEARN_CONCEPT_H
#define RELEARN_CONCEPT_H

#include "relearn/train.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rl_protocol { RL_PROTOCOL_CORRECTED, RL_PROTOCOL_PUBLISHED, RL_PROTOCOL_HEAD } rl_protocol;

/* --------------------------------------------------------------------------------------------- activations */

/* Called once per layer 0..L in order; activations [W, C] is borrowed for the call: row w = mean over word w's
 * sub-words (float32 sum in order, then / k; zeros for a word with no sub-word), protocol §5. */
typedef rl_status rl_layer_visitor(void *context, int64_t layer, const float *activations, int64_t num_words,
                                   int64_t hidden_size, rl_error *err);
/* One forward pass over all sentences, layer-major: memory is O(tokens x C), independent of L. Sentences longer than the model's
 * limit must have been dropped before (rl_concept_data_create does). */
rl_status rl_activations_visit(const rl_model *model, const rl_encoded *data, rl_layer_visitor *visit, void *context,
                               rl_error *err);

/* A concept corpus made ready for one tokenizer: classes per word and sub-words. Sentences over max_length sub-words
 * are dropped (num_dropped); 100 or more of them is RL_ERR_INPUT, as in NeuroX. corrected also drops words without any
 * sub-word (protocol §14.10). corpus->words keeps the file's ids, dropped words included. published, head: the positive
 * is one whole label string, or a comma part that only one label string has. */
typedef struct rl_concept_data {
    rl_corpus *corpus;        /* owned */
    rl_encoded *encoded;      /* owned */
    int32_t *word_class;      /* [W] */
    int32_t num_classes;      /* corrected: 2 (0 = rest, 1 = concept). published/head: one per distinct label string,
                                 first-occurrence order */
    int32_t positive_class;
    int64_t num_dropped;
} rl_concept_data;
rl_status rl_concept_data_create(rl_concept_data **out, const char *tokens_path, const char *labels_path,
                                 const char *const *positives, size_t num_positives, const rl_tokenizer *tokenizer,
                                 int64_t max_length, rl_protocol protocol, rl_error *err);
void rl_concept_data_free(rl_concept_data *data);

/* ------------------------------------------------------------------------------------------------- rankers */

/* Class means of one layer's X[W, C]: means [K, C] float32. faithful: float32 sums row by row in corpus order, float32
 * division (NX:probeless, bit-exact to numpy); else double sums. counts [K] out. */
rl_status rl_class_means(float *means, int64_t *counts, const float *X, const int32_t *word_class, int64_t W, int64_t C,
                         int32_t K, bool faithful, rl_error *err);
/* Probeless tag ranking: score[c] = sum over k != tag, in class order, of |means[tag] - means[k]| (protocol §6.1);
 * tag -1: the overall one, sum over unordered pairs. float32 arithmetic as numpy's, stored as double. */
void rl_probeless_scores(double *score, const float *means, int64_t C, int32_t K, int32_t tag);
/* order[N]: neuron ids, most important first; faithful ties: larger id first; corrected ties: smaller id first
 * (protocol §6.1, §14.26). rank[order[i]] = i; either may be NULL. NaN scores are RL_ERR_DIVERGED. */
rl_status rl_rank_neurons(int32_t *order, int32_t *rank, const double *score, int64_t N, bool faithful, rl_error *err);

/* ------------------------------------------------------------------------------------------------ top words */

/* Top words of all C neurons of one layer (protocol §11, NX:corpus.get_top_words bit-exactly): z = |(a - mean)/sd| with numpy's pairwise float32
 * sums, mean z per type in double in corpus order, divided by the best, > 0.1, first k, ties by first occurrence.
 * word [C, k] word-type ids (-1: none), score [C, k] (0: none); mean [C], sd [C] float32 (may be NULL). */
rl_status rl_top_words(int32_t *word, double *score, float *mean, float *sd, const float *X, const int32_t *word_type,
                       int32_t num_types, int64_t W, int64_t C, int64_t k, rl_error *err);
float rl_pairwise_sum(const float *x, int64_t n, int64_t stride); /* numpy's float32 sum, bit-exact */

/* ------------------------------------------------------------------------------- saliency and null neurons */

/* published/head: |(bin - m)/(1 - m)|, bin = rank/100 + 1, m = T/100 (protocol §9); corrected: 1 - rank/(N-1). */
double rl_saliency_binned(int64_t rank, double T);
double rl_saliency(int64_t rank, int64_t num_neurons);
/* T of a protocol on a model: published N, head L*C (4,608 of 5,376). */
double rl_saliency_T(rl_protocol protocol, int64_t num_layers, int64_t hidden_size);
/* Python's str.isalpha on one word: non-empty, every character in a Unicode L* category. */
bool rl_is_alphabetic(const char *word);
/* published: any top word is non-alphabetic; head: none is alphabetic (no top words at all: null too). k entries, -1 = none */
bool rl_null_by_words(rl_protocol protocol, const int32_t *word, int64_t k, const rl_names *words);
/* corrected: sd of the channel < 0.01 * median sd of its layer in the base model (protocol §14.10). */
#define RL_NULL_SD_FRACTION 0.01f

/* ---------------------------------------------------------------------------------------------- similarity */

/* vectors: model. table [num_types, C]: mean of the initial model's input-embedding rows of each word type's sub-words
 * (zero row for a type with none). */
rl_status rl_word_vectors_from_model(float **table, const rl_model *initial, const rl_tokenizer *tokenizer,
                                     const rl_names *words, rl_error *err);
/* cos(mean v(a), mean v(b)) over the entries != -1 of two top-word lists (repeats count); a zero mean gives 0; an empty list
 * NaN. protocol §10. */
double rl_similarity(const float *table, int64_t C, const int32_t *a, const int32_t *b, int64_t k);

/* ------------------------------------------------------------------------------------------- the neuron table */

/* One stage's analysis: what `neurons`, shards and statistics read. Arrays [N], top words [N, k]. */
typedef struct rl_neuron_table {
    int64_t num_layers_plus_1, hidden_size, num_neurons, top_k;
    double *score;            /* ranker's score */
    int32_t *rank;            /* 0 = most important */
    double *saliency;         /* NaN on null neurons */
    double *similarity;       /* of top words to the base stage's; NaN where undefined; base: 1 where words exist */
    float *mean_difference;   /* mu_concept - mu_rest (rest: all other words), double arithmetic */
    float *effect_size;       /* mean_difference / pooled sd; 0 where the pooled sd is 0 */
    float *sd;                /* channel standard deviation over all words */
    uint8_t *null;            /* 1 = null by the protocol's rule */
    int32_t *top_word;        /* word-type ids of the concept corpus, -1 none */
    double *top_score;
} rl_neuron_table;
typedef struct rl_analysis_settings {
    rl_protocol protocol;
    int64_t top_words;
} rl_analysis_settings;
/* Everything above in one streaming pass. base: the base stage's table for the null rule of `corrected` and similarity
 * (NULL: this is the base). vectors: rl_word_vectors_from_model's table [num types, vector_size]. */
rl_status rl_analyse_neurons(rl_neuron_table **out, const rl_model *model, const rl_concept_data *data,
                             const rl_analysis_settings *settings, const rl_neuron_table *base, const float *vectors,
                             int64_t vector_size, rl_error *err);
void rl_neuron_table_free(rl_neuron_table *table);
/* A checksummed binary file; reading a damaged one is RL_ERR_INPUT naming it. */
rl_status rl_neuron_table_write(const rl_neuron_table *table, const char *path, rl_error *err);
rl_status rl_neuron_table_read(rl_neuron_table **out, const char *path, rl_error *err);
/* NeuroX-style CSV of design §2: neuron,layer,unit,rank,score,saliency,top_words -- best first, at most `top` rows (0 = all). */
rl_status rl_neuron_table_csv(rl_buffer *csv, const rl_neuron_table *table, const rl_names *words, int64_t top,
                              rl_error *err);

/* --------------------------------------------------------------------------------------------------- prune */

typedef enum rl_prune_select { RL_SELECT_CONCEPT, RL_SELECT_RANDOM, RL_SELECT_LEAST, RL_SELECT_NONE } rl_prune_select;
typedef struct rl_prune_settings {
    rl_prune_select select;
    double ratio;   /* of all N neurons; < 0: the protocol's own count */
    bool permanent; /* mask re-applied after every step */
    bool zero_beta; /* beta too (protocol §14.4); default keep */
} rl_prune_settings;
/* How many ids: floor(ratio * N + 0.5); when ratio < 0 published 3000/5376 of N, head L*C/2, corrected N/2. */
int64_t rl_prune_count(rl_protocol protocol, double ratio, int64_t num_layers, int64_t hidden_size);
/* ids[count] to prune. concept: the front of the ranking (head: its tail, protocol §7.2); least: the other end; random: corrected
 * uniform without replacement from (seed, RL_PURPOSE_PRUNE), head/published ids 0..count-1 (protocol §7.3, as run); none: count must be 0. */
rl_status rl_prune_choose(int32_t *ids, int64_t count, const int32_t *order, int64_t N, rl_prune_select select,
                          rl_protocol protocol, uint64_t seed, rl_error *err);
/* Flat weight offsets that site layer_norm zeroes for these ids, without repeats, ascending. corrected: layer 0 -> the
 * embedding LayerNorm; published/head: Python wrap, layer 0 -> the last block (protocol §7.1). offsets [2*count] capacity (beta). */
rl_status rl_prune_offsets(int64_t *offsets, int64_t *num_offsets, const rl_model *model, const int32_t *ids,
                           int64_t count, bool wrap_embeddings, bool zero_beta, rl_error *err);
void rl_prune_apply(rl_model *model, const int64_t *offsets, int64_t num_offsets);

/* ---------------------------------------------------------------------------------------------- plasticity */

/* Per layer: mean, sd (ddof 0) and 95 % error 1.959963984540054 * sd(ddof 1)/sqrt(n) of values [N] as [layers, C]; NaN
 * dropped (nan_as_zero: counted as 0, as the authors' base column). Outputs [num_layers]. Source: protocol §12. */
void rl_layer_means(double *mean, double *sd, double *error, const double *values, int64_t num_layers,
                    int64_t hidden_size, bool nan_as_zero);
/* Share in percent of all values > 0.5 that lie in each layer, 3 decimals as the authors round; NaN is not > 0.5. */
void rl_redistribution(double *percent, const double *values, int64_t num_layers, int64_t hidden_size);
/* The authors' filter_ablated (protocol §9): values of the neurons among the last n/2 ids of the base ranking, re-ranked in
 * stage order and binned with T = n/2; all others NaN. null may be NULL. */
rl_status rl_filter_ablated_saliency(double *saliency, const int32_t *base_order, const int32_t *stage_order,
                                     const uint8_t *null, int64_t N, rl_error *err);
/* Centre of mass over layers of sum of |mean_difference| per layer; recovered fraction (f1 - pruned)/(base - pruned). */
double rl_centre_of_mass(const float *values, int64_t num_layers, int64_t hidden_size);
double rl_recovered_fraction(double f1, double f1_base, double f1_pruned); /* NaN when base == pruned */

#ifdef __cplusplus
}
#endif
#endif
