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
    rl_finder finder;
    double *difference, *effect;                /* [C] */
    double *compared[RL_NUM_RANK_METHODS];      /* [N] scores of the finders in settings.compare, else NULL */
    bool is_stage;                              /* there is a base table */
    bool undefined;                             /* nothing could be ranked: scores 0, saliency NaN */
} analysis;

static bool faithful(const rl_analysis_settings *settings)
{
    return settings->protocol != RL_PROTOCOL_CORRECTED;
}

/* -------------------------------------------------------------------------------------------------- one layer */

static rl_status score_layer(analysis *a, const rl_layer_view *view, rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *t = a->table;
    int64_t first = view->layer * view->C;
    rl_probe_result probe = {.accuracy = NAN, .control_accuracy = NAN};
    RL_TRY(rl_finder_layer(&a->finder, a->settings.method, t->score + first, &probe, view, err));
    t->probe_accuracy[view->layer] = probe.accuracy;
    t->control_accuracy[view->layer] = probe.control_accuracy;
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++)
        if (a->compared[m])
            RL_TRY(rl_finder_layer(&a->finder, (rl_rank_method)m, a->compared[m] + first, &probe, view, err));
cleanup:
    return status;
}

static rl_status analyse_layer(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    analysis *a = context;
    rl_neuron_table *t = a->table;
    const rl_concept_data *d = a->data;
    const rl_layer_view view = {layer, W, C, X, a->difference, a->effect};
    int64_t first = layer * C, k = t->top_k;
    RL_TRY(rl_contrast(a->difference, a->effect, X, d->word_class, d->positive_class, W, C, err));
    for (int64_t c = 0; c < C; c++) {
        t->mean_difference[first + c] = (float)a->difference[c];
        t->effect_size[first + c] = (float)a->effect[c];
    }
    RL_TRY(score_layer(a, &view, err));
    RL_TRY(rl_top_words(t->top_word + first * k, t->top_score + first * k, NULL, t->sd + first, X, d->corpus->word,
                        rl_names_count(d->corpus->words), W, C, k, err));
    if (a->settings.states) rl_word_states_take(a->settings.states, layer, X);
cleanup:
    return status;
}

/* The table's own finder agrees with itself, so it is left out; ablation is no part of an activation pass. */
static bool is_compared(const rl_analysis_settings *settings, int m)
{
    return settings->compare >> m & 1 && m != (int)settings->method && m != RL_RANK_ABLATION;
}

/* Neurons of alike mean difference are zeroed together. */
static rl_status score_by_ablation(analysis *a, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *t = a->table;
    double *prior = NULL;
    rl_concept_f1 f1 = {.concept_f1 = 1};
    if (a->is_stage) RL_TRY(rl_zeroed_f1(&f1, model, a->settings.ablation, NULL, 0, err));
    a->undefined = f1.concept_f1 == 0;
    if (a->undefined) return RL_OK; /* all of the F1 was removed: no fault of the run, but nothing is left to drop */
    RL_ALLOC(prior, t->num_neurons, err);
    for (int64_t n = 0; n < t->num_neurons; n++) prior[n] = fabs((double)t->mean_difference[n]);
    RL_TRY(rl_ablation_scores(t->score, model, RL_UNIT_HIDDEN, a->settings.ablation, prior, err));
cleanup:
    rl_free(prior);
    return status;
}

/* The probe has no weight anywhere. */
static bool none_positive(const double *score, int64_t N)
{
    for (int64_t n = 0; n < N; n++)
        if (score[n] > 0) return false;
    return true;
}

static rl_status run_pass(analysis *a, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = model->config.hidden_size, N = a->table->num_neurons;
    if (a->settings.states) RL_TRY(rl_word_states_check(a->settings.states, &model->config, a->data->encoded->num_words, err));
    RL_ALLOC(a->difference, C, err);
    RL_ALLOC(a->effect, C, err);
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++)
        if (is_compared(&a->settings, m)) RL_ALLOC(a->compared[m], N, err);
    RL_TRY(rl_finder_prepare(&a->finder, a->data, &a->settings, C, err));
    RL_TRY(rl_activations_visit(model, a->data->encoded, analyse_layer, a, err));
    a->undefined = a->is_stage && a->settings.method == RL_RANK_LINEAR_PROBE && none_positive(a->table->score, N);
    if (a->undefined) memset(a->table->score, 0, (size_t)N * sizeof *a->table->score);
    if (!a->undefined) RL_TRY(rl_finder_finish(a->settings.method, a->table->score, N, err));
    if (a->settings.method == RL_RANK_ABLATION) RL_TRY(score_by_ablation(a, model, err));
cleanup:
    return status;
}

static void release(analysis *a)
{
    rl_finder_release(&a->finder);
    rl_free(a->difference);
    rl_free(a->effect);
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++) rl_free(a->compared[m]);
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

static void find_saliency(rl_neuron_table *t, rl_protocol protocol, bool undefined)
{
    double T = rl_saliency_T(protocol, t->num_layers_plus_1 - 1, t->hidden_size);
    for (int64_t n = 0; n < t->num_neurons; n++) {
        if (t->null[n] || undefined)
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

/* Spearman and overlap@k of the table's ranking with every other finder's. */
static rl_status find_agreement(rl_neuron_table *t, analysis *a, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *rank = NULL;
    int64_t N = t->num_neurons;
    RL_ALLOC(rank, N, err);
    t->overlap_k = a->settings.overlap_k > 0 ? a->settings.overlap_k : N / 100 > 0 ? N / 100 : 1;
    if (t->overlap_k > N) t->overlap_k = N;
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++) {
        t->spearman[m] = t->overlap[m] = NAN;
        if (!a->compared[m]) continue;
        RL_TRY(rl_finder_finish((rl_rank_method)m, a->compared[m], N, err));
        RL_TRY(rl_rank_neurons(NULL, rank, a->compared[m], N, faithful(&a->settings), err));
        t->spearman[m] = rl_rank_correlation(t->rank, rank, N);
        t->overlap[m] = rl_rank_overlap(t->rank, rank, N, t->overlap_k);
    }
cleanup:
    rl_free(rank);
    return status;
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
    analysis a = {.data = data, .settings = *settings, .is_stage = base != NULL};
    if (settings->method == RL_RANK_ABLATION && !settings->ablation)
        return rl_fail(err, RL_ERR_INPUT, "finder ablation needs sentences with labels to measure F1 on; got none");
    RL_REQUIRE(settings->top_words > 0 && data->corpus->num_words == data->encoded->num_words, err);
    RL_TRY(rl_neuron_table_create(&table, model->config.num_layers + 1, model->config.hidden_size, settings->top_words,
                                  err));
    RL_TRY(check_base(base, table, err));
    a.table = table;
    table->method = settings->method;
    RL_TRY(run_pass(&a, model, err));
    RL_TRY(rl_rank_neurons(NULL, table->rank, table->score, table->num_neurons, faithful(settings), err));
    RL_TRY(find_agreement(table, &a, err));
    RL_TRY(find_null(table, &a, base, err));
    find_saliency(table, settings->protocol, a.undefined);
    find_similarity(table, base, vectors, vector_size);
    RL_TRY(rl_read_top_words(table, data, base, vectors, vector_size, err));
    *out = table;
    table = NULL;
cleanup:
    release(&a);
    rl_neuron_table_free(table);
    return status;
}
