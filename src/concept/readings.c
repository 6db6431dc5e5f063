/* readings.c -- what a neuron table and a curve say about relearning: where saliency lies, how fast F1 came back, how
 * mixed a neuron's words are and how near they are to the concept. Formulas: relearn/concept.h. */
#include "concept_internal.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ over layers */

void rl_layer_shares(double *share, const double *values, int64_t num_layers, int64_t layer_size)
{
    double total = 0;
    for (int64_t l = 0; l < num_layers; l++) {
        share[l] = 0;
        for (int64_t n = l * layer_size; n < (l + 1) * layer_size; n++)
            if (!isnan(values[n])) share[l] += fabs(values[n]);
        total += share[l];
    }
    for (int64_t l = 0; l < num_layers; l++) share[l] /= total; /* 0 / 0: NaN, nothing is anywhere */
}

double rl_share_entropy(const double *share, int64_t num_layers)
{
    double sum = 0;
    if (num_layers < 2) return NAN;
    for (int64_t l = 0; l < num_layers; l++)
        if (!(share[l] == 0)) sum -= share[l] * log(share[l]); /* a NaN stays one */
    return sum / log((double)num_layers);
}

double rl_share_centre(const double *share, int64_t num_layers)
{
    double sum = 0;
    for (int64_t l = 0; l < num_layers; l++) sum += (double)l * share[l];
    return sum;
}

/* -------------------------------------------------------------------------------------------------- over time */

double rl_recovery_half_life(const double *t, const double *rho, int64_t n, bool *censored)
{
    *censored = false;
    for (int64_t i = 0; i < n && !isnan(rho[i]); i++) {
        if (rho[i] < 0.5) continue;
        if (i == 0) return t[0];
        return t[i - 1] + (t[i] - t[i - 1]) * (0.5 - rho[i - 1]) / (rho[i] - rho[i - 1]);
    }
    *censored = true;
    return NAN;
}

double rl_recovery_area(const double *t, const double *rho, int64_t n)
{
    double sum = 0;
    if (n < 2) return NAN;
    for (int64_t i = 1; i < n; i++) sum += (t[i] - t[i - 1]) * 0.5 * (rho[i] + rho[i - 1]);
    return sum / (t[n - 1] - t[0]);
}

/* ---------------------------------------------------------------------------------------------- words of a neuron */

static double product(const float *a, const float *b, int64_t C)
{
    double sum = 0;
    for (int64_t c = 0; c < C; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

double rl_word_spread(const float *table, int64_t C, const int32_t *words, int64_t k)
{
    double sum = 0;
    int64_t pairs = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i + 1; j < k; j++) {
            if (words[i] < 0 || words[j] < 0) continue;
            const float *a = table + words[i] * C, *b = table + words[j] * C;
            double aa = product(a, a, C), bb = product(b, b, C);
            if (!(aa > 0) || !(bb > 0)) continue;
            sum += 1 - product(a, b, C) / (sqrt(aa) * sqrt(bb));
            pairs++;
        }
    return pairs ? sum / (double)pairs : NAN;
}

rl_status rl_concept_types(uint8_t *is_concept_type, const rl_concept_data *data, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t num_types = rl_names_count(data->corpus->words);
    int64_t *balance = NULL; /* [num_types] words of the concept - other words */
    RL_ALLOC(balance, num_types, err);
    for (int64_t w = 0; w < data->corpus->num_words; w++)
        balance[data->corpus->word[w]] += data->word_class[w] == data->positive_class ? 1 : -1;
    for (int32_t t = 0; t < num_types; t++) is_concept_type[t] = balance[t] > 0;
cleanup:
    rl_free(balance);
    return status;
}

void rl_concept_centroid(double *centroid, const float *table, int64_t C, const uint8_t *is_concept_type,
                         int32_t num_types)
{
    int64_t n = 0;
    memset(centroid, 0, (size_t)C * sizeof *centroid);
    for (int32_t t = 0; t < num_types; t++) {
        const float *v = table + t * C;
        if (!is_concept_type[t] || !(product(v, v, C) > 0)) continue;
        for (int64_t c = 0; c < C; c++) centroid[c] += (double)v[c];
        n++;
    }
    for (int64_t c = 0; n && c < C; c++) centroid[c] /= (double)n;
}

/* The cosine does not see lengths: the words' sum stands for their mean. */
double rl_centroid_similarity(const float *table, const double *centroid, int64_t C, const int32_t *words, int64_t k)
{
    double ab = 0, aa = 0, bb = 0;
    int64_t listed = 0;
    for (int64_t i = 0; i < k; i++) listed += words[i] >= 0;
    if (!listed) return NAN;
    for (int64_t c = 0; c < C; c++) {
        double x = 0;
        for (int64_t i = 0; i < k; i++)
            if (words[i] >= 0) x += (double)table[words[i] * C + c];
        ab += x * centroid[c];
        aa += x * x;
        bb += centroid[c] * centroid[c];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0.0;
}

static bool holds(const int32_t *words, int64_t k, int32_t word)
{
    for (int64_t i = 0; i < k; i++)
        if (words[i] == word) return true;
    return false;
}

/* Neuron n: which of its words it had before, and which are the concept's. */
static void count_words(rl_neuron_table *t, const rl_neuron_table *base, const uint8_t *is_concept_type, int64_t n)
{
    const int32_t *words = t->top_word + n * t->top_k, *before = (base ? base : t)->top_word + n * t->top_k;
    double listed = 0, old = 0, new = 0, concept = 0;
    for (int64_t i = 0; i < t->top_k && words[i] >= 0; i++) {
        bool had = holds(before, t->top_k, words[i]), is_concept = is_concept_type[words[i]];
        listed++;
        old += had;
        concept += is_concept;
        new += is_concept && !had;
    }
    t->old_share[n] = old / listed; /* no words: NaN */
    t->new_share[n] = new / listed;
    t->concept_share[n] = concept / listed;
}

rl_status rl_read_top_words(rl_neuron_table *t, const rl_concept_data *data, const rl_neuron_table *base,
                            const float *vectors, int64_t vector_size, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *is_concept_type = NULL;
    double *centroid = NULL;
    int32_t num_types = rl_names_count(data->corpus->words);
    RL_ALLOC(is_concept_type, num_types, err);
    RL_ALLOC(centroid, vector_size, err);
    RL_TRY(rl_concept_types(is_concept_type, data, err));
    if (vectors) rl_concept_centroid(centroid, vectors, vector_size, is_concept_type, num_types);
    for (int64_t n = 0; n < t->num_neurons; n++) {
        const int32_t *words = t->top_word + n * t->top_k;
        count_words(t, base, is_concept_type, n);
        t->spread[n] = vectors ? rl_word_spread(vectors, vector_size, words, t->top_k) : NAN;
        t->concept_similarity[n] =
            vectors ? rl_centroid_similarity(vectors, centroid, vector_size, words, t->top_k) : NAN;
    }
cleanup:
    rl_free(is_concept_type);
    rl_free(centroid);
    return status;
}
