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

/* The same for what lies inside the blocks, layer = block 0..L-1: site ffn shows the intermediate activations behind GELU, [W, F];
 * head the attention outputs before their projection, [W, C], head h in columns h D to (h + 1) D. Averaged over sub-words as the
 * hidden states are. Memory: one block's. */
rl_status rl_units_visit(const rl_model *model, const rl_encoded *data, rl_unit_site site, rl_layer_visitor *visit, void *context,
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
/* The same from a corpus whose labels mark the concept (made from NER types, words or a pattern). corpus is taken over,
 * on failure too. */
rl_status rl_concept_data_from_corpus(rl_concept_data **out, rl_corpus *corpus, const char *const *positives,
                                      size_t num_positives, const rl_tokenizer *tokenizer, int64_t max_length,
                                      rl_protocol protocol, rl_error *err);
void rl_concept_data_free(rl_concept_data *data);

/* ------------------------------------------------------------------------------------------------- rankers */

/* Class means of one layer's X[W, C]: means [K, C] float32. faithful: float32 sums row by row in corpus order, float32
 * division (NX:probeless, bit-exact to numpy); else double sums. counts [K] out. */
rl_status rl_class_means(float *means, int64_t *counts, const float *X, const int32_t *word_class, int64_t W, int64_t C,
                         int32_t K, bool faithful, rl_error *err);
/* Probeless tag ranking: score[c] = sum over k != tag, in class order, of |means[tag] - means[k]| (protocol §6.1);
 * tag -1: the overall one, sum over unordered pairs. float32 arithmetic as numpy's, stored as double. */
void rl_probeless_scores(double *score, const float *means, int64_t C, int32_t K, int32_t tag);
/* ------------------------------------------------------------------------------------------------- finders */

/* How neurons are scored for a concept (rank.method). Every score is one number per neuron, larger = more of the
 * concept, from the words' activations x of that neuron, X[W, C] a layer at a time; "concept" are the words of
 * positive_class, "rest" all others. Under protocols published and head only probeless differs from corrected's.
 *   probeless          sum over k of |mu_concept - mu_k| (Antverg & Belinkov 2022; protocol 6.1); corrected: |mu_concept - mu_rest|
 *   linear_probe       share of its layer's weight mass that it and weaker neurons hold in an elastic-net logistic regression on the
 *                      layer (rl_linear_probe, rl_weight_mass); of weight 0: -1 / (1 + |Cohen's d|), below all others
 *   average_precision  area under precision-recall of x as a detector of the concept: what NeuroX calls IoU
 *   iou                intersection over union of the strongest words with the concept's words
 *   gaussian           mutual information in bits under one Gaussian per class
 *   mean_select        |mu_concept - mu_rest| / pooled sd (Cohen's d, protocol 6.5)
 *   ablation           drop in the concept's F1 when the neuron is zeroed (rl_ablation_scores)
 *   random             uniform (0, 1) of (seed, RL_PURPOSE_RANDOM_RANK, neuron): the baseline */
typedef enum rl_rank_method {
    RL_RANK_PROBELESS,
    RL_RANK_LINEAR_PROBE,
    RL_RANK_AVERAGE_PRECISION,
    RL_RANK_IOU,
    RL_RANK_GAUSSIAN,
    RL_RANK_MEAN_SELECT,
    RL_RANK_ABLATION,
    RL_RANK_RANDOM,
    RL_NUM_RANK_METHODS
} rl_rank_method;
extern const char *const rl_rank_method_names[RL_NUM_RANK_METHODS + 1]; /* by value, then NULL */
/* RL_ERR_INPUT lists the valid names and the nearest one. */
rl_status rl_rank_method_parse(rl_rank_method *method, const char *name, rl_error *err);

/* The finders that look at one neuron at a time, on one layer. is_concept[W] 0 or 1, both present (else RL_ERR_INPUT);
 * activations are finite (else RL_ERR_DIVERGED naming the neuron). score [C]. X is not changed.
 *
 * average_precision: AP = sum_k (R_k - R_{k-1}) P_k over the distinct values of x, descending, |x| < 0.05 taken as 0
 * (neurox/interpretation/iou_probe.py; sklearn.metrics.average_precision_score). Signed, so a neuron that is low on the
 * concept ranks last. A constant neuron scores the concept's share of the words. */
#define RL_AVERAGE_PRECISION_IGNORED 0.05f
rl_status rl_average_precision_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C,
                                      rl_error *err);
/* iou: |A and concept| / |A or concept| with A = {w: x_w > t}, t the (n+1)-th largest x, n the number of concept words: as many
 * words as the concept has, so that a perfect neuron reaches 1 (Network Dissection, Bau et al. 2017, with the quantile of
 * the concept instead of a fixed 0.5 %). Neurons are signed: the larger of x and -x. A constant neuron scores 0. */
rl_status rl_iou_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C, rl_error *err);
/* gaussian: MI = (H(pi) + mean_w ln P(y_w | x_w)) / ln 2, P(y|x) ~ pi_y N(x; mu_y, s_y), pi and mu the classes' shares and
 * means, s_y = (v_y + S_y) / (n_y + 2 d + 4), v_y the variance (ddof 1) and S_y the sum of squares (Torroba Hennigen et al.
 * 2020; neurox/interpretation/gaussian_probe.py). NeuroX fits d = all neurons jointly and picks fewer than 400 greedily; here
 * every neuron has a fit of its own: dimensions = 1. May be < 0, as NeuroX's. A neuron that is constant over all words tells
 * nothing and scores 0; in a class over which it is constant its variance is 1e-9 of the whole. Fewer than two words in a
 * class: RL_ERR_INPUT, singular variance. */
rl_status rl_gaussian_scores(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C,
                             int64_t dimensions, rl_error *err);

/* linear_probe: minimises over w, b
 *     1/n sum_i log(1 + exp(-y_i (b + w.z_i))) + lambda1 |w|_1 + lambda2/2 |w|_2^2,   y_i = +1 concept, -1 rest
 * with z the neurons standardised to mean 0 and sd 1 (ddof 0) over the training words; sklearn's LogisticRegression(penalty
 * elasticnet) has the same objective. NeuroX minimises the same with |w|_2 unsquared by ten epochs of Adam from a random
 * start (linear_probe.py; Dalvi et al. 2019); here the minimum itself is found by proximal Newton steps (Friedman et al. 2010;
 * Lee et al. 2014) until no entry of the optimality residual exceeds 1e-8, or RL_ERR_DIVERGED. Words of every fifth
 * sentence (index mod 5 = 4) are held out. One probe per layer and not one on all layers side by side as in NeuroX, because
 * that would hold W x N activations: a neuron competes with its layer alone. |w| of two probes are not of one scale: a layer whose
 * words are harder to tell apart needs larger weights, and by |w| the lowest layers would come first for no other reason. So
 * layers are compared as NeuroX compares classes, whose probes differ in scale too: by shares of weight mass (rl_weight_mass).
 * Selectivity = accuracy - control accuracy on the held-out words (Hewitt & Liang 2019): the control task gives each word
 * type a label of its own, drawn with the concept's share from (seed, RL_PURPOSE_CONTROL_LABELS, type). */
typedef struct rl_probe_settings {
    double lambda1, lambda2; /* rl_probe_defaults: 1e-3 each */
    uint64_t seed;           /* control labels */
    bool control;            /* fit the control task too: doubles the time */
} rl_probe_settings;
rl_probe_settings rl_probe_defaults(void);
typedef struct rl_probe_result {
    double accuracy, control_accuracy; /* on the held-out words; NaN where there are none, or no control */
    double residual;                   /* largest optimality residual of the main fit */
    int64_t iterations;                /* Newton steps of the main fit */
    double intercept;
} rl_probe_result;
/* weight [C]: w of the standardised neurons (constant ones 0). held_out [W] (NULL: none), word_type [W] of num_types. */
rl_status rl_linear_probe(double *weight, rl_probe_result *result, const float *X, const uint8_t *is_concept,
                          const uint8_t *held_out, const int32_t *word_type, int64_t W, int64_t C,
                          const rl_probe_settings *settings, rl_error *err);
/* score[c] = sum of the |w_i| with |w_i| <= |w_c| over the sum of all |w_i|, 0 where that is 0. 1 - score is the percentage of the
 * weight mass above which get_top_neurons takes neuron c, so that descending scores are NeuroX's get_neuron_ordering at an infinitely
 * fine stride (neurox 1.0.9, interpretation/linear_probe.py; Dalvi et al. 2019). The strongest neuron of every layer scores 1. */
rl_status rl_weight_mass(double *score, const double *weight, int64_t C, rl_error *err);

/* The finders on what lies inside the blocks. score [L, rl_units_per_layer]: site ffn, as for hidden states, of the intermediate
 * activations; site head, the mean over the head's D outputs of their scores [ours: no source scores a whole head by these
 * finders]. linear_probe: one probe per block; ablation: settings->ablation, the units themselves
 * zeroed, groups by |mu_concept - mu_rest|; random: by (seed, RL_PURPOSE_RANDOM_RANK, output). settings: protocol, method, seed,
 * lambdas, ablation. Fails as rl_analyse_neurons does for the base. */
typedef struct rl_analysis_settings rl_analysis_settings; /* below, at "the neuron table" */
rl_status rl_unit_scores(double *score, const rl_model *model, rl_unit_site site, const rl_concept_data *data,
                         const rl_analysis_settings *settings, rl_error *err);

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
    /* readings of the top words (see "readings"); NaN where undefined, and everywhere without vectors */
    double *spread;             /* mean pairwise distance of the top words' vectors */
    double *concept_similarity; /* of the top words to the concept's centroid; the base table's is the primedness */
    double *old_share;          /* of the top words: the neuron's own of the base stage */
    double *new_share;          /* words of the concept it did not have at the base stage */
    double *concept_share;      /* words of the concept */
    /* [num_layers_plus_1] of linear_probe, NaN of other finders */
    double *probe_accuracy, *control_accuracy;
    /* [RL_NUM_RANK_METHODS] with the ranking of each finder in settings.compare, NaN for the others */
    double *spearman, *overlap;
    rl_rank_method method;
    int64_t overlap_k;
} rl_neuron_table;
typedef struct rl_ablation_task rl_ablation_task; /* below, at "zeroing neurons" */
typedef struct rl_word_states rl_word_states;     /* below, at CKA */
struct rl_analysis_settings {
    rl_protocol protocol;
    int64_t top_words;
    rl_rank_method method;
    uint64_t seed;                   /* random, linear_probe's control labels: part of the stage key for these two */
    double lambda1, lambda2;         /* linear_probe; both 0: rl_probe_defaults */
    uint32_t compare;                /* bit m: also rank by finder m in the same pass and keep the agreement; not ablation */
    int64_t overlap_k;               /* of overlap@k; 0: N / 100, at least 1 */
    const rl_ablation_task *ablation; /* needed by method ablation only */
    rl_word_states *states;          /* filled in the same pass; NULL: none */
};
/* Everything above in one streaming pass. base: the base stage's table for the null rule of `corrected` and similarity
 * (NULL: this is the base). vectors: rl_word_vectors_from_model's table [num types, vector_size]. Method ablation has nothing to
 * rank by where the concept's F1 is 0, linear_probe where every weight is: RL_ERR_INPUT for the base; for a later stage, which
 * has lost that much, scores 0 and saliency NaN. */
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

/* random_matched and least_matched take as many neurons of each layer as `concept` would (control arms). */
typedef enum rl_prune_select {
    RL_SELECT_CONCEPT,
    RL_SELECT_RANDOM,
    RL_SELECT_LEAST,
    RL_SELECT_NONE,
    RL_SELECT_RANDOM_MATCHED,
    RL_SELECT_LEAST_MATCHED,
    RL_NUM_PRUNE_SELECTS
} rl_prune_select;
extern const char *const rl_prune_select_names[RL_NUM_PRUNE_SELECTS + 1]; /* by value, then NULL */
typedef struct rl_prune_settings {
    rl_prune_select select;
    double ratio;   /* of all N neurons; < 0: the protocol's own count */
    bool permanent; /* mask re-applied after every step */
    bool zero_beta; /* beta too (protocol §14.4); default keep */
} rl_prune_settings;
/* How many ids: floor(ratio * N + 0.5); when ratio < 0 published 3000/5376 of N, head L*C/2, corrected N/2. */
int64_t rl_prune_count(rl_protocol protocol, double ratio, int64_t num_layers, int64_t hidden_size);
/* The neurons that may be pruned: those of a ranking of num_layers x layer_size, in the layers marked (prune.layers). */
typedef struct rl_prune_scope {
    int64_t num_layers, layer_size; /* hidden states: L+1 and C */
    const uint8_t *layers;          /* [num_layers] 1 = may be pruned; NULL = all */
    bool in_blocks;                 /* layer 0 is a block, not the embeddings, which protocol head's own count leaves out */
} rl_prune_scope;
int64_t rl_prune_scope_size(const rl_prune_scope *scope); /* neurons in the marked layers */
/* floor(ratio * size + 0.5); ratio < 0: the protocol's own share of the size. Without `layers` this is rl_prune_count. */
int64_t rl_prune_scope_count(const rl_prune_scope *scope, rl_protocol protocol, double ratio);
/* ids[count] to prune of a ranking order[num_layers * layer_size]. concept: the front of the ranking (head: its tail, protocol
 * §7.2); least: the other end; random: corrected uniform without replacement from (seed, RL_PURPOSE_PRUNE), head/published
 * ids 0..count-1 (protocol §7.3, as run); random_matched: per layer as many as `concept` takes, uniform from (seed,
 * RL_PURPOSE_PRUNE, layer + 1), under every protocol; least_matched: per layer the other end; none: count must be 0. */
rl_status rl_prune_choose(int32_t *ids, int64_t count, const int32_t *order, const rl_prune_scope *scope,
                          rl_prune_select select, rl_protocol protocol, uint64_t seed, rl_error *err);
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

/* ------------------------------------------------------------------------------------------------ readings */

/* Formulas marked [ours] have no source that uses them for relearning (field-notes C2): they are definitions of this tool. */

/* p_l = sum over the layer of |value|, NaN as 0, over the sum of all layers; all NaN when that is 0. share [num_layers] */
void rl_layer_shares(double *share, const double *values, int64_t num_layers, int64_t layer_size);
/* Redistribution entropy H = -sum p_l ln p_l / ln num_layers: 0 = all in one layer, 1 = even. [ours] NaN for one layer. */
double rl_share_entropy(const double *share, int64_t num_layers);
/* sum l p_l: of saliencies, the saliency centre of mass. */
double rl_share_centre(const double *share, int64_t num_layers);

/* A recovery curve rho(t) = rl_recovered_fraction at steps t[0] < t[1] < ... [n]. Half-life: the first t with rho >= 0.5,
 * linear between grid points; NaN and *censored when never reached or when a rho is NaN before that. A run's own
 * number, in steps; the headline of relearn stats is the first whole epoch with rho >= 0.5 (docs/results-format.md). [ours] */
double rl_recovery_half_life(const double *t, const double *rho, int64_t n, bool *censored);
/* Area under it: 1 / (t[n-1] - t[0]) * integral of rho, trapezoids; NaN for fewer than 2 points. [ours] */
double rl_recovery_area(const double *t, const double *rho, int64_t n);

/* Spread of a list of words: mean over its pairs of 1 - cos(v_a, v_b); words without a vector (zero row) are left out;
 * NaN with fewer than 2. The wider, the more polysemantic. */
double rl_word_spread(const float *table, int64_t C, const int32_t *words, int64_t k);
/* centroid [C]: mean vector of the word types most of whose words are of the concept (is_concept_type [num_types], from
 * rl_concept_types), those without a vector left out; all 0 when none has one. */
void rl_concept_centroid(double *centroid, const float *table, int64_t C, const uint8_t *is_concept_type,
                         int32_t num_types);
/* 1 for word types of which more than half the words are of the concept. */
rl_status rl_concept_types(uint8_t *is_concept_type, const rl_concept_data *data, rl_error *err);
/* cos(mean v(words), centroid); an empty list NaN, a zero vector 0. */
double rl_centroid_similarity(const float *table, const double *centroid, int64_t C, const int32_t *words, int64_t k);
/* Spearman's rank correlation of x and y [n], ties given their mean rank, pairs with a NaN left out, and those where use
 * (may be NULL) is 0; NaN with fewer than 2 pairs or without spread. E.g. primedness against the saliency after
 * retraining, over the neurons that were pruned. */
rl_status rl_spearman(double *rho, const double *x, const double *y, const uint8_t *use, int64_t n, rl_error *err);
/* The same of two rankings [N] (no ties): 1 - 6 sum d^2 / (N (N^2 - 1)). */
double rl_rank_correlation(const int32_t *rank_a, const int32_t *rank_b, int64_t N);
/* |top k of a and of b| / k, ranks [N] with 0 = most important (AvgOverlap of Fan et al. 2023 for two finders). */
double rl_rank_overlap(const int32_t *rank_a, const int32_t *rank_b, int64_t N, int64_t k);

/* Debiased linear CKA = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y)) of X [n, C] and Y [n, D] (Kornblith et al. 2019), with the
 * unbiased HSIC of Song et al. 2012, eq. 5, for linear kernels K, L without their diagonal:
 *     1/(n(n-3)) [tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1]
 * It may be slightly negative. NaN when X or Y is constant (HSIC <= 0). n < 4 is RL_ERR_INPUT. Cost n C D products. */
rl_status rl_linear_cka(double *cka, const float *X, const float *Y, int64_t n, int64_t C, int64_t D, rl_error *err);
/* Positions to compare: at most `limit` word indices, ascending, half of them concept words where there are enough, drawn from
 * (seed, RL_PURPOSE_POSITIONS). Words only: the vector of a fixed first token ([CLS], BOS) is the same in every sentence of a
 * causal model, and its CKA 0/0. positions: rl_free. */
rl_status rl_choose_positions(int64_t **positions, int64_t *num_positions, const rl_concept_data *data, int64_t limit,
                              uint64_t seed, rl_error *err);
/* The vectors of chosen words in every hidden state of one model: what CKA compares. Filled by a pass of its own or, through
 * rl_analysis_settings, on the way of an analysis. */
struct rl_word_states {
    int64_t num_states, count, size; /* L + 1, words, C */
    int64_t *positions;              /* [count] owned */
    float *x;                        /* [num_states, count, size] owned */
};
/* Room for these words (copied) of a model with this config. */
rl_status rl_word_states_create(rl_word_states **out, const rl_model_config *config, const int64_t *positions, int64_t count,
                                rl_error *err);
/* One pass of data, which has the positions (else RL_ERR_INPUT), through the model whose config it was made for. */
rl_status rl_word_states_fill(rl_word_states *states, const rl_model *model, const rl_encoded *data, rl_error *err);
void rl_word_states_free(rl_word_states *states);
/* cka[num_states] of the same words in two models with equally many layers. */
rl_status rl_cka_by_layer(double *cka, const rl_word_states *a, const rl_word_states *b, rl_error *err);

/* ------------------------------------------------------------------------------------------ zeroing neurons */

/* What F1 is measured on when neurons are zeroed: sentences with gold labels of the model's label set, and which entity
 * types are the concept. "Concept F1" is the micro F1 (seqeval, word level) over these types; "other F1" over all other types.
 * With no type given (a concept that is no entity type) the concept F1 is the overall F1 of the task and other F1 is NaN. */
struct rl_ablation_task {
    const rl_corpus *corpus;
    const rl_encoded *data;      /* the same sentences */
    const char *const *types;    /* e.g. "LOC" */
    size_t num_types;
    int64_t evaluations;         /* per hidden state, for rl_ablation_scores; 0: 16 */
};
typedef struct rl_concept_f1 {
    double concept_f1, other_f1, overall_f1;
} rl_concept_f1;
/* From seqeval's scores by type: 2 correct / (support + predicted), 0/0 = 0. */
rl_concept_f1 rl_concept_f1_of(const rl_seqeval *scores, const char *const *types, size_t num_types);
/* F1 with hidden-state neurons ids[count] at 0 in the forward pass (each of its own layer, at every token; count 0: none).
 * The model is not changed. Blocks after a zeroed neuron see the zero, so an effect is a lower bound where they repair it. */
rl_status rl_zeroed_f1(rl_concept_f1 *f1, const rl_model *model, const rl_ablation_task *task, const int32_t *ids,
                       int64_t count, rl_error *err);
/* Finder ablation. score[n] = (F1 of the concept - F1 with n's group zeroed) / neurons in the group. Per hidden state the
 * neurons are ordered by prior (descending; ties smaller unit; NULL: by unit) and cut into up to 8 groups; then the group
 * with the largest drop is halved again and again, until `evaluations` forward passes are spent, so that neurons which matter
 * end in small groups. A pass starts at the zeroed layer: the whole costs about evaluations * (L+1) / 2 forward passes. The same
 * for units of blocks (site ffn, head; block by block); score and prior [rl_unit_layers, rl_units_per_layer]. */
rl_status rl_ablation_scores(double *score, const rl_model *model, rl_unit_site site, const rl_ablation_task *task,
                             const double *prior, rl_error *err);
/* Floating point operations of rl_ablation_scores: what it will cost, before it is begun. */
double rl_ablation_flops(const rl_model_config *config, const rl_ablation_task *task);

/* The causal check (field-notes C4): drops in F1 when the originally pruned neurons, the newly salient ones, or random
 * ones are zeroed. */
typedef struct rl_causal_drop {
    int64_t count;                  /* neurons zeroed */
    double concept_drop, other_drop; /* F1 without zeroing - F1 with it; random: mean over the draws */
    double concept_sd, other_sd;    /* over the draws (ddof 1), NaN otherwise */
} rl_causal_drop;
typedef struct rl_causal_check {
    rl_concept_f1 intact;
    rl_causal_drop original, salient, random;
} rl_causal_check;
/* original[count]: the pruned ids; salient: the front of order[N] without them, as many, but of each layer at most half of what
 * is left there; random: `draws` sets with as many neurons of each layer as `salient`, from the neurons in neither set, by
 * (seed, RL_PURPOSE_CAUSAL, draw, layer). draws + 3 evaluations. */
rl_status rl_causal_check_run(rl_causal_check *out, const rl_model *model, const rl_ablation_task *task,
                              const int32_t *original, int64_t count, const int32_t *order, int64_t draws, uint64_t seed,
                              rl_error *err);

#ifdef __cplusplus
}
#endif
#endif
