/* units.c -- the finders on what lies inside the blocks: feed-forward units and attention heads. */
#include "concept_internal.h"

#include <math.h>
#include <string.h>

typedef struct unit_analysis {
    const rl_concept_data *data;
    rl_rank_method method;
    rl_finder finder;
    double *difference, *effect; /* [width] */
    double *score;               /* [L, width]; of ablation: its prior */
} unit_analysis;

static rl_status score_block(void *context, int64_t block, const float *X, int64_t W, int64_t width, rl_error *err)
{
    rl_status status = RL_OK;
    unit_analysis *a = context;
    const rl_layer_view view = {block, W, width, X, a->difference, a->effect};
    rl_probe_result probe;
    double *score = a->score + block * width;
    RL_TRY(rl_contrast(a->difference, a->effect, X, a->data->word_class, a->data->positive_class, W, width, err));
    RL_TRY(rl_finder_layer(&a->finder, a->method, score, &probe, &view, err));
    if (a->method == RL_RANK_ABLATION)
        for (int64_t c = 0; c < width; c++) score[c] = fabs(a->difference[c]);
cleanup:
    return status;
}

/* A head is D outputs: their mean. A feed-forward unit is one. */
static void mean_of_outputs(double *score, const double *outputs, int64_t num_units, int64_t D)
{
    for (int64_t u = 0; u < num_units; u++) {
        double sum = 0;
        for (int64_t d = 0; d < D; d++) sum += outputs[u * D + d];
        score[u] = sum / (double)D;
    }
}

rl_status rl_unit_scores(double *score, const rl_model *model, rl_unit_site site, const rl_concept_data *data,
                         const rl_analysis_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_model_config *config = &model->config;
    int64_t width = site == RL_UNIT_FFN ? config->intermediate_size : config->hidden_size, L = config->num_layers;
    int64_t num_units = L * rl_units_per_layer(config, site), D = width / rl_units_per_layer(config, site);
    double *prior = NULL;
    unit_analysis a = {.data = data, .method = settings->method};
    if (settings->method == RL_RANK_ABLATION && !settings->ablation)
        return rl_fail(err, RL_ERR_INPUT, "finder ablation needs sentences with labels to measure F1 on; got none");
    RL_ALLOC(a.difference, width, err);
    RL_ALLOC(a.effect, width, err);
    RL_ALLOC(a.score, L * width, err);
    RL_ALLOC(prior, num_units, err);
    RL_TRY(rl_finder_prepare(&a.finder, data, settings, width, err));
    RL_TRY(rl_units_visit(model, data->encoded, site, score_block, &a, err));
    RL_TRY(rl_finder_finish(settings->method, a.score, L * width, err));
    mean_of_outputs(prior, a.score, num_units, D);
    if (settings->method == RL_RANK_ABLATION)
        RL_TRY(rl_ablation_scores(score, model, site, settings->ablation, prior, err));
    else
        memcpy(score, prior, (size_t)num_units * sizeof *score);
cleanup:
    rl_finder_release(&a.finder);
    rl_free(a.difference);
    rl_free(a.effect);
    rl_free(a.score);
    rl_free(prior);
    return status;
}
