/* analyse.c -- one streaming pass over a model's layers gives everything the neuron table holds.
 *
 * Per layer, while its activations are in memory: contrast, score, top words, sd. Afterwards, over all neurons: rank,
 * null, saliency, similarity to the base stage. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct analysis {
    const rl_concept_data *data;
    rl_analysis_settings settings;
    rl_neuron_table *table;
    double *difference, *effect; /* [C] */
    float *means;                /* [K, C], published and head */
    int64_t *counts;             /* [K] */
} analysis;

static bool faithful(const rl_analysis_settings *settings)
{
    return settings->protocol != RL_PROTOCOL_CORRECTED;
}

/* -------------------------------------------------------------------------------------------------- one layer */

/* corrected: |mu_concept - mu_rest| in double; else probeless as NeuroX computes it. score [C] */
static rl_status score_layer(analysis *a, double *score, const float *X, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_concept_data *d = a->data;
    if (!faithful(&a->settings)) {
        for (int64_t c = 0; c < C; c++) score[c] = fabs(a->difference[c]);
        return RL_OK;
    }
    RL_TRY(rl_class_means(a->means, a->counts, X, d->word_class, W, C, d->num_classes, true, err));
    rl_probeless_scores(score, a->means, C, d->num_classes, d->positive_class);
cleanup:
    return status;
}

static rl_status analyse_layer(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    analysis *a = context;
    rl_neuron_table *t = a->table;
    const rl_concept_data *d = a->data;
    int64_t first = layer * C, k = t->top_k;
    RL_TRY(rl_contrast(a->difference, a->effect, X, d->word_class, d->positive_class, W, C, err));
    for (int64_t c = 0; c < C; c++) {
        t->mean_difference[first + c] = (float)a->difference[c];
        t->effect_size[first + c] = (float)a->effect[c];
    }
    RL_TRY(score_layer(a, t->score + first, X, W, C, err));
    RL_TRY(rl_top_words(t->top_word + first * k, t->top_score + first * k, NULL, t->sd + first, X, d->corpus->word,
                        rl_names_count(d->corpus->words), W, C, k, err));
cleanup:
    return status;
}

static rl_status run_pass(analysis *a, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = model->config.hidden_size;
    RL_ALLOC(a->difference, C, err);
    RL_ALLOC(a->effect, C, err);
    RL_ALLOC(a->means, a->data->num_classes * C, err);
    RL_ALLOC(a->counts, a->data->num_classes, err);
    RL_TRY(rl_activations_visit(model, a->data->encoded, analyse_layer, a, err));
cleanup:
    rl_free(a->difference);
    rl_free(a->effect);
    rl_free(a->means);
    rl_free(a->counts);
    return status;
}

/* ------------------------------------------------------------------------------------------------ all neurons */

static rl_status find_null(rl_neuron_table *t, const analysis *a, const rl_neuron_table *base, rl_error *err)
{
    if (!faithful(&a->settings))
        return rl_null_by_sd(t->null, t->sd, base ? base->sd : t->sd, t->num_layers_plus_1, t->hidden_size, err);
    for (int64_t n = 0; n < t->num_neurons; n++)
        t->null[n] =
            rl_null_by_words(a->settings.protocol, t->top_word + n * t->top_k, t->top_k, a->data->corpus->words);
    return RL_OK;
}

static void find_saliency(rl_neuron_table *t, rl_protocol protocol)
{
    double T = rl_saliency_T(protocol, t->num_layers_plus_1 - 1, t->hidden_size);
    for (int64_t n = 0; n < t->num_neurons; n++) {
        if (t->null[n])
            t->saliency[n] = NAN;
        else if (protocol == RL_PROTOCOL_CORRECTED)
            t->saliency[n] = rl_saliency(t->rank[n], t->num_neurons);
        else
            t->saliency[n] = rl_saliency_binned(t->rank[n], T);
    }
}

static void find_similarity(rl_neuron_table *t, const rl_neuron_table *base, const float *vectors, int64_t vector_size)
{
    int64_t k = t->top_k;
    for (int64_t n = 0; n < t->num_neurons; n++) {
        const int32_t *words = t->top_word + n * k;
        if (!base)
            t->similarity[n] = words[0] >= 0 ? 1.0 : NAN;
        else
            t->similarity[n] = vectors ? rl_similarity(vectors, vector_size, words, base->top_word + n * k, k) : NAN;
    }
}

static rl_status check_base(const rl_neuron_table *base, const rl_neuron_table *table, rl_error *err)
{
    if (!base || (base->num_layers_plus_1 == table->num_layers_plus_1 && base->hidden_size == table->hidden_size &&
                  base->top_k == table->top_k))
        return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "the base stage has %" PRId64 " x %" PRId64 " neurons with %" PRId64 " top words, this one %" PRId64
                   " x %" PRId64 " with %" PRId64 "; expected the same model and setting",
                   base->num_layers_plus_1, base->hidden_size, base->top_k, table->num_layers_plus_1,
                   table->hidden_size, table->top_k);
}

rl_status rl_analyse_neurons(rl_neuron_table **out, const rl_model *model, const rl_concept_data *data,
                             const rl_analysis_settings *settings, const rl_neuron_table *base, const float *vectors,
                             int64_t vector_size, rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *table = NULL;
    analysis a = {.data = data, .settings = *settings};
    RL_REQUIRE(settings->top_words > 0 && data->corpus->num_words == data->encoded->num_words, err);
    RL_TRY(rl_neuron_table_create(&table, model->config.num_layers + 1, model->config.hidden_size, settings->top_words,
                                  err));
    RL_TRY(check_base(base, table, err));
    a.table = table;
    RL_TRY(run_pass(&a, model, err));
    RL_TRY(rl_rank_neurons(NULL, table->rank, table->score, table->num_neurons, faithful(settings), err));
    RL_TRY(find_null(table, &a, base, err));
    find_saliency(table, settings->protocol);
    find_similarity(table, base, vectors, vector_size);
    *out = table;
    table = NULL;
cleanup:
    rl_neuron_table_free(table);
    return status;
}
