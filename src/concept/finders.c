/* finders.c -- rank.method: names, and the one place that turns a method into a layer's scores. */
#include "concept_internal.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *const rl_rank_method_names[RL_NUM_RANK_METHODS + 1] = {
    [RL_RANK_PROBELESS] = "probeless",     [RL_RANK_LINEAR_PROBE] = "linear_probe",
    [RL_RANK_AVERAGE_PRECISION] = "average_precision",
    [RL_RANK_IOU] = "iou",                 [RL_RANK_GAUSSIAN] = "gaussian",
    [RL_RANK_MEAN_SELECT] = "mean_select", [RL_RANK_ABLATION] = "ablation",
    [RL_RANK_RANDOM] = "random",
};

static rl_status unknown_method(const char *name, rl_error *err)
{
    const char *nearest = rl_nearest_name(name, rl_rank_method_names, RL_NUM_RANK_METHODS);
    char list[256];
    size_t used = 0;
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", m ? ", " : "", rl_rank_method_names[m]);
    return rl_fail(err, RL_ERR_INPUT, "unknown rank method '%s'; expected one of %s%s%s%s", name, list,
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

rl_status rl_rank_method_parse(rl_rank_method *method, const char *name, rl_error *err)
{
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++) {
        if (strcmp(name, rl_rank_method_names[m])) continue;
        *method = (rl_rank_method)m;
        return RL_OK;
    }
    return unknown_method(name, err);
}

/* ------------------------------------------------------------------------------------- what every finder checks */

rl_status rl_check_finite(const float *X, int64_t W, int64_t C, rl_error *err)
{
    for (int64_t w = 0; w < W; w++)
        for (int64_t c = 0; c < C; c++)
            if (!(fabsf(X[w * C + c]) <= FLT_MAX))
                return rl_fail(err, RL_ERR_DIVERGED,
                               "an activation of unit %" PRId64 " is not finite; expected finite activations", c);
    return RL_OK;
}

rl_status rl_check_two_classes(int64_t *num_concept, const uint8_t *is_concept, int64_t W, rl_error *err)
{
    int64_t n = 0;
    for (int64_t w = 0; w < W; w++) n += is_concept[w] != 0;
    if (n == 0 || n == W)
        return rl_fail(err, RL_ERR_INPUT,
                       "%s of the %" PRId64 " words is of the concept; a finder needs words of the concept and others",
                       n ? "every one" : "none", W);
    *num_concept = n;
    return RL_OK;
}

/* Each line of the row four on is asked for while the same line of this one is added: at 1.5 to 3 KiB a row, in which sums are read and
 * written beside, the processor alone keeps up with half of what memory gives. */
RL_PER_ISA void rl_add_row(double *restrict sum, const float *restrict x, int64_t C)
{
    for (int64_t from = 0; from < C; from += RL_LINE) {
        int64_t to = from + RL_LINE < C ? from + RL_LINE : C;
        __builtin_prefetch(x + RL_ROWS_AHEAD * C + from);
        for (int64_t c = from; c < to; c++) sum[c] += (double)x[c];
    }
}

RL_PER_ISA void rl_add_square(double *restrict sum, const float *restrict x, const double *restrict mean, int64_t C)
{
    for (int64_t from = 0; from < C; from += RL_LINE) {
        int64_t to = from + RL_LINE < C ? from + RL_LINE : C;
        __builtin_prefetch(x + RL_ROWS_AHEAD * C + from);
        for (int64_t c = from; c < to; c++) {
            double d = (double)x[c] - mean[c];
            sum[c] += d * d;
        }
    }
}

void rl_column_moments(double *mean, double *sd, const float *X, const uint8_t *left_out, int64_t W, int64_t C)
{
    int64_t n = 0;
    memset(mean, 0, (size_t)C * sizeof *mean);
    memset(sd, 0, (size_t)C * sizeof *sd);
    for (int64_t w = 0; w < W; w++)
        if (!left_out || !left_out[w]) rl_add_row(mean, X + w * C, C), n++;
    for (int64_t c = 0; c < C; c++) mean[c] /= (double)n;
    for (int64_t w = 0; w < W; w++)
        if (!left_out || !left_out[w]) rl_add_square(sd, X + w * C, mean, C);
    for (int64_t c = 0; c < C; c++) sd[c] = sqrt(sd[c] / (double)n);
    for (int64_t c = 0; c < C; c++)
        if (sd[c] <= RL_CONSTANT_SD * fabs(mean[c])) sd[c] = 0;
}

/* ---------------------------------------------------------------------------------------------------- set up */

/* Every fifth sentence is kept from the linear probe, to measure its accuracy on. */
static void hold_out(uint8_t *held_out, const rl_corpus *corpus)
{
    for (int64_t s = 4; s < corpus->num_sentences; s += 5)
        for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++) held_out[w] = 1;
}

static rl_probe_settings probe_settings(const rl_analysis_settings *settings)
{
    rl_probe_settings probe = rl_probe_defaults();
    if (settings->lambda1 != 0 || settings->lambda2 != 0)
        probe.lambda1 = settings->lambda1, probe.lambda2 = settings->lambda2;
    probe.seed = settings->seed;
    return probe;
}

rl_status rl_finder_prepare(rl_finder *f, const rl_concept_data *data, const rl_analysis_settings *settings,
                            int64_t hidden_size, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t W = data->corpus->num_words, num_concept;
    f->data = data;
    f->seed = settings->seed;
    f->faithful = settings->protocol != RL_PROTOCOL_CORRECTED;
    f->probe = probe_settings(settings);
    RL_ALLOC(f->is_concept, W, err);
    RL_ALLOC(f->held_out, W, err);
    RL_ALLOC(f->means, data->num_classes * hidden_size, err);
    RL_ALLOC(f->counts, data->num_classes, err);
    for (int64_t w = 0; w < W; w++) f->is_concept[w] = data->word_class[w] == data->positive_class;
    RL_TRY(rl_check_two_classes(&num_concept, f->is_concept, W, err));
    hold_out(f->held_out, data->corpus);
cleanup:
    return status;
}

void rl_finder_release(rl_finder *f)
{
    rl_free(f->is_concept);
    rl_free(f->held_out);
    rl_free(f->means);
    rl_free(f->counts);
}

/* ------------------------------------------------------------------------------------------------ one layer */

/* corrected: |mu_concept - mu_rest| in double; else as NeuroX computes it. */
static rl_status probeless(const rl_finder *f, double *score, const rl_layer_view *v, rl_error *err)
{
    const rl_concept_data *d = f->data;
    if (!f->faithful) {
        for (int64_t c = 0; c < v->C; c++) score[c] = fabs(v->difference[c]);
        return RL_OK;
    }
    rl_status status = rl_class_means(f->means, f->counts, v->X, d->word_class, v->W, v->C, d->num_classes, true, err);
    if (status == RL_OK) rl_probeless_scores(score, f->means, v->C, d->num_classes, d->positive_class);
    return status;
}

/* A neuron whose spread is rounding alone differs by nothing, however many of its deviations that is. */
static rl_status mean_select(double *score, const rl_layer_view *v, rl_error *err)
{
    rl_status status = RL_OK;
    double *mean = NULL, *sd = NULL;
    RL_ALLOC(mean, v->C, err);
    RL_ALLOC(sd, v->C, err);
    rl_column_moments(mean, sd, v->X, NULL, v->W, v->C);
    for (int64_t c = 0; c < v->C; c++) score[c] = sd[c] > 0 ? fabs(v->effect[c]) : 0.0;
cleanup:
    rl_free(mean);
    rl_free(sd);
    return status;
}

/* |w| of two layers' probes are not of one scale, shares of a layer's weight mass are. Weights that the penalty made 0, most of an upper
 * layer's, would be ties, and ties go by id, that is by layer: below all others, they go by the neuron's own effect size. */
static rl_status linear_probe(const rl_finder *f, double *score, rl_probe_result *result, const rl_layer_view *v,
                              rl_error *err)
{
    rl_status status = RL_OK;
    double *weight = NULL;
    RL_ALLOC(weight, v->C, err);
    RL_TRY(rl_linear_probe(weight, result, v->X, f->is_concept, f->held_out, f->data->corpus->word, v->W, v->C, &f->probe,
                           err));
    RL_TRY(rl_weight_mass(score, weight, v->C, err));
    for (int64_t c = 0; c < v->C; c++)
        if (weight[c] == 0) score[c] = -1 / (1 + fabs(v->effect[c]));
cleanup:
    rl_free(weight);
    return status;
}

static void random_scores(double *score, uint64_t seed, int64_t layer, int64_t C)
{
    for (int64_t c = 0; c < C; c++)
        score[c] = rl_rng_uniform(seed, RL_PURPOSE_RANDOM_RANK, 0, 0, (uint64_t)(layer * C + c));
}

rl_status rl_finder_layer(const rl_finder *f, rl_rank_method method, double *score, rl_probe_result *result,
                          const rl_layer_view *v, rl_error *err)
{
    rl_status status = method == RL_RANK_PROBELESS ? RL_OK : rl_check_finite(v->X, v->W, v->C, err);
    if (status != RL_OK) return rl_error_while(err, status, "finder %s, layer %" PRId64, rl_rank_method_names[method], v->layer);
    switch (method) {
    case RL_RANK_PROBELESS: return probeless(f, score, v, err);
    case RL_RANK_LINEAR_PROBE: status = linear_probe(f, score, result, v, err); break;
    case RL_RANK_AVERAGE_PRECISION: status = rl_average_precision_scores(score, v->X, f->is_concept, v->W, v->C, err); break;
    case RL_RANK_IOU: status = rl_iou_scores(score, v->X, f->is_concept, v->W, v->C, err); break;
    case RL_RANK_GAUSSIAN: status = rl_gaussian_scores(score, v->X, f->is_concept, v->W, v->C, 1, err); break;
    case RL_RANK_MEAN_SELECT: status = mean_select(score, v, err); break;
    case RL_RANK_RANDOM: random_scores(score, f->seed, v->layer, v->C); break;
    case RL_RANK_ABLATION: break; /* not from activations: rl_ablation_scores */
    case RL_NUM_RANK_METHODS: status = rl_fail(err, RL_ERR_INTERNAL, "no rank method"); break;
    }
    return rl_error_while(err, status, "finder %s, layer %" PRId64, rl_rank_method_names[method], v->layer);
}

rl_status rl_finder_finish(rl_rank_method method, const double *score, int64_t N, rl_error *err)
{
    if (method != RL_RANK_LINEAR_PROBE) return RL_OK;
    for (int64_t n = 0; n < N; n++)
        if (score[n] > 0) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT,
                   "finder linear_probe: every weight is 0; no neuron varies with the concept, or rank.lambda1 is too large");
}
