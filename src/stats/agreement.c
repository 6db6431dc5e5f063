/* agreement.c -- do seeds, and finders, pick the same neurons?
 *
 * One stage of the runs that are paired is in memory at a time, on the one rank that has the cell. Relearning neurons of a
 * run: salient at the stage and not at base; a pair is asked only about neurons salient at base in neither run, so chance is
 * hypergeometric in their number. */
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct pair_values { /* of one pair at one stage */
    double spearman, jaccard, chance, p;
} pair_values;
typedef struct agreement {
    const rl_source *source;
    const rl_source_model *model;
    rl_place file;                             /* this rank's own */
    int64_t num_pairs, *first_pair;            /* [num_cells + 1] */
    int32_t *pair_cell, *pair_a, *pair_b;      /* runs */
    pair_values *values;                       /* [pair, stage] */
    rl_estimate *spearman, *jaccard, *excess;  /* [cell, stage] */
    double *chance, *relearning;               /* [cell, stage] */
} agreement;

static void clear(agreement *a)
{
    rl_h5_close(a->file.id);
    rl_free(a->first_pair);
    rl_free(a->pair_cell);
    rl_free(a->pair_a);
    rl_free(a->pair_b);
    rl_free(a->values);
    rl_free(a->spearman);
    rl_free(a->jaccard);
    rl_free(a->excess);
    rl_free(a->chance);
    rl_free(a->relearning);
}

/* Done runs of a cell, at most RL_STATS_PAIRED_SEEDS. */
static rl_status runs_to_pair(int32_t **runs, int64_t *count, const rl_source *s, int32_t cell, rl_error *err)
{
    int64_t all = 0, n = 0;
    rl_status status = rl_source_runs_of_cell(runs, &all, s, cell, err);
    for (int64_t i = 0; status == RL_OK && i < all && n < RL_STATS_PAIRED_SEEDS; i++)
        if (rl_source_done(s, (*runs)[i])) (*runs)[n++] = (*runs)[i];
    *count = n;
    return status;
}

static rl_status list_pairs(agreement *a, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_model *m = a->model;
    int32_t *runs = NULL;
    int64_t n = 0, at = 0;
    RL_ALLOC(a->first_pair, m->num_cells + 1, err);
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t c = 0; c < m->num_cells; c++) {
            RL_TRY(runs_to_pair(&runs, &n, a->source, m->cells[c], err));
            for (int64_t i = 0; pass && i < n; i++)
                for (int64_t j = i + 1; j < n; j++, at++)
                    a->pair_cell[at] = m->cells[c], a->pair_a[at] = runs[i], a->pair_b[at] = runs[j];
            if (!pass) a->first_pair[c + 1] = a->first_pair[c] + n * (n - 1) / 2;
            rl_free(runs);
            runs = NULL;
        }
        if (pass) break;
        a->num_pairs = a->first_pair[m->num_cells];
        RL_ALLOC(a->pair_cell, a->num_pairs, err);
        RL_ALLOC(a->pair_a, a->num_pairs, err);
        RL_ALLOC(a->pair_b, a->num_pairs, err);
        RL_ALLOC(a->values, a->num_pairs * a->source->num_stages, err);
    }
cleanup:
    rl_free(runs);
    return status;
}

/* base and now: [N] of either run. */
static rl_status compare_runs(pair_values *out, const double *base_a, const double *now_a, const double *base_b, const double *now_b,
                              int64_t N, bool later, rl_error *err)
{
    int64_t universe = 0, in_a = 0, in_b = 0, both = 0;
    rl_status status = rl_spearman(&out->spearman, now_a, now_b, NULL, N, err);
    out->jaccard = out->chance = out->p = NAN;
    if (status != RL_OK || !later) return status;
    for (int64_t i = 0; i < N; i++) {
        if (base_a[i] > RL_STATS_SALIENT || base_b[i] > RL_STATS_SALIENT) continue;
        bool x = now_a[i] > RL_STATS_SALIENT, y = now_b[i] > RL_STATS_SALIENT;
        universe++;
        in_a += x;
        in_b += y;
        both += x && y;
    }
    if (in_a + in_b == 0) return RL_OK;
    out->jaccard = (double)both / (double)(in_a + in_b - both);
    out->chance = rl_jaccard_chance(universe, in_a, in_b);
    out->p = rl_overlap_upper(universe, in_a, in_b, both);
    return RL_OK;
}

static int64_t count_relearning(const double *base, const double *now, int64_t N)
{
    int64_t n = 0;
    for (int64_t i = 0; i < N; i++) n += now[i] > RL_STATS_SALIENT && !(base[i] > RL_STATS_SALIENT);
    return n;
}

/* Pair values of one member as a matrix [n, n], upper triangle, and their mean. */
static rl_status mean_of_pairs(rl_estimate *out, const agreement *a, int64_t first, int64_t n, int64_t stage, int which, rl_error *err)
{
    rl_status status = RL_OK;
    double *matrix = NULL;
    RL_ALLOC(matrix, n * n, err);
    for (int64_t i = 0, at = first; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, at++) {
            const pair_values *v = &a->values[at * a->source->num_stages + stage];
            matrix[i * n + j] = which == 0 ? v->spearman : which == 1 ? v->jaccard : which == 2 ? v->jaccard - v->chance : v->chance;
        }
    rl_pair_mean(out, matrix, n);
cleanup:
    rl_free(matrix);
    return status;
}

static rl_status do_stage(agreement *a, int32_t c, const double *base, const double *now, int64_t n, int64_t stage, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = a->model->neurons, S = a->source->num_stages, at = a->first_pair[c];
    double relearning = 0;
    rl_estimate chance;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, at++)
            RL_TRY(compare_runs(&a->values[at * S + stage], base + i * N, now + i * N, base + j * N, now + j * N, N, stage > 1, err));
    for (int64_t i = 0; i < n; i++) relearning += (double)count_relearning(base + i * N, now + i * N, N);
    RL_TRY(mean_of_pairs(&a->spearman[c * S + stage], a, a->first_pair[c], n, stage, 0, err));
    RL_TRY(mean_of_pairs(&a->jaccard[c * S + stage], a, a->first_pair[c], n, stage, 1, err));
    RL_TRY(mean_of_pairs(&a->excess[c * S + stage], a, a->first_pair[c], n, stage, 2, err));
    RL_TRY(mean_of_pairs(&chance, a, a->first_pair[c], n, stage, 3, err));
    a->chance[c * S + stage] = chance.value;
    a->relearning[c * S + stage] = stage > 1 && n ? relearning / (double)n : NAN;
cleanup:
    return status;
}

static rl_status do_cell(agreement *a, hid_t dataset, int32_t c, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *runs = NULL;
    int64_t n = 0, N = a->model->neurons;
    double *base = NULL, *now = NULL;
    RL_TRY(runs_to_pair(&runs, &n, a->source, a->model->cells[c], err));
    RL_ALLOC(base, n * N, err);
    RL_ALLOC(now, n * N, err);
    for (int64_t stage = 0; stage < a->source->num_stages; stage++) {
        for (int64_t i = 0; i < n; i++)
            RL_TRY(rl_read_stage((stage ? now : base) + i * N, (rl_place){dataset, a->file.path},
                                 rl_model_row(a->model, runs[i]), stage, N, err));
        RL_TRY(do_stage(a, c, base, stage ? now : base, n, stage, err));
    }
cleanup:
    rl_free(runs);
    rl_free(base);
    rl_free(now);
    return status;
}

static rl_status make_room(agreement *a, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = a->model->num_cells * a->source->num_stages;
    RL_ALLOC(a->spearman, n, err);
    RL_ALLOC(a->jaccard, n, err);
    RL_ALLOC(a->excess, n, err);
    RL_ALLOC(a->chance, n, err);
    RL_ALLOC(a->relearning, n, err);
    RL_TRY(list_pairs(a, err));
    RL_TRY(rl_h5_open(&a->file.id, a->file.path, "results file", err));
cleanup:
    return status;
}

static rl_status compute(agreement *a, rl_error *err)
{
    const rl_source *s = a->source;
    char path[300];
    int64_t n = a->model->num_cells * s->num_stages;
    snprintf(path, sizeof path, "/neurons/%s/saliency", a->model->name);
    rl_status status = make_room(a, err);
    hid_t dataset = status == RL_OK ? H5Dopen2(a->file.id, path, H5P_DEFAULT) : H5I_INVALID_HID;
    for (int32_t c = s->rank; status == RL_OK && c < a->model->num_cells; c += s->size) status = do_cell(a, dataset, c, err);
    rl_h5_close(dataset);
    status = rl_source_agree(s, status, err);
    if (status != RL_OK) return status;
    rl_combine(s->comm, a->values, (size_t)(a->num_pairs * s->num_stages) * sizeof *a->values);
    rl_combine(s->comm, a->spearman, (size_t)n * sizeof *a->spearman);
    rl_combine(s->comm, a->jaccard, (size_t)n * sizeof *a->jaccard);
    rl_combine(s->comm, a->excess, (size_t)n * sizeof *a->excess);
    rl_combine(s->comm, a->chance, (size_t)n * sizeof *a->chance);
    rl_combine(s->comm, a->relearning, (size_t)n * sizeof *a->relearning);
    return RL_OK;
}

/* --------------------------------------------------------------------------------------------------- output */

/* NAME, NAME_low, NAME_high (and NAME_n): the jackknife's, so rl_outputs_add_estimates does not fit. */
static rl_status add_jackknife(rl_outputs *o, const rl_shape *shape, const char *name, const rl_estimate *e, int64_t n, bool counts,
                               const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    static const struct {
        const char *suffix;
        size_t member;
    } parts[] = {{"", offsetof(rl_estimate, value)}, {"_low", offsetof(rl_estimate, low)}, {"_high", offsetof(rl_estimate, high)}};
    double *values = NULL;
    int32_t *count = NULL;
    char full[64];
    RL_ALLOC(values, n, err);
    RL_ALLOC(count, n, err);
    for (size_t k = 0; k < 3; k++) {
        for (int64_t i = 0; i < n; i++) memcpy(&values[i], (const char *)&e[i] + parts[k].member, sizeof *values);
        snprintf(full, sizeof full, "%s%s", name, parts[k].suffix);
        RL_TRY(rl_outputs_add(o, shape, full, RL_F64, 0, values, long_name, err));
    }
    for (int64_t i = 0; i < n; i++) count[i] = e[i].n;
    snprintf(full, sizeof full, "%s_n", name);
    if (counts) RL_TRY(rl_outputs_add(o, shape, full, RL_I32, 0, count, "seeds that are paired", err));
cleanup:
    rl_free(values);
    rl_free(count);
    return status;
}

static rl_status output_pairs(const agreement *a, rl_outputs *o, const char *group, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_column *ids = rl_source_column_named(a->source, "run");
    rl_shape one = {.group = group, .num_dims = 1, .dims = {"pair"}}, by_stage = {.group = group, .num_dims = 2, .dims = {"pair", "stage"}};
    static const char *const names[] = {"pair_spearman", "pair_jaccard", "pair_chance", "pair_p"};
    static const char *const long_names[] = {"Spearman's correlation of neuron saliency", "Jaccard index of the relearning neurons",
                                             "index expected of random sets", "hypergeometric upper tail of the overlap"};
    int64_t n = a->num_pairs * a->source->num_stages;
    double *values = NULL;
    char *text = NULL;
    RL_ALLOC(values, n, err);
    RL_ALLOC(text, (size_t)a->num_pairs * ids->array.width, err);
    RL_TRY(rl_outputs_add(o, &one, "pair_cell", RL_I32, 0, a->pair_cell, "cell of the pair", err));
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < a->num_pairs; i++)
            memcpy(text + (size_t)i * ids->array.width, ids->values + (size_t)(side ? a->pair_b : a->pair_a)[i] * ids->array.width,
                   ids->array.width);
        RL_TRY(rl_outputs_add(o, &one, side ? "pair_run_b" : "pair_run_a", RL_TEXT, ids->array.width, text, "run id", err));
    }
    for (size_t k = 0; k < 4; k++) {
        for (int64_t i = 0; i < n; i++) memcpy(&values[i], (const char *)&a->values[i] + k * sizeof(double), sizeof *values);
        RL_TRY(rl_outputs_add(o, &by_stage, names[k], RL_F64, 0, values, long_names[k], err));
    }
cleanup:
    rl_free(values);
    rl_free(text);
    return status;
}

static rl_status output_model(const agreement *a, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char group[300];
    int64_t n = a->model->num_cells * a->source->num_stages;
    rl_shape shape = {.group = group, .num_dims = 2, .dims = {"cell", "stage"},
                      .method = "mean over pairs of seeds; interval: jackknife over seeds, t"};
    snprintf(group, sizeof group, "/stats/agreement/%s", a->model->name);
    RL_TRY(rl_outputs_add_scale(o, group, "cell", RL_I32, 0, a->model->num_cells, a->model->cells, "cell, as in /stats/cells", err));
    RL_TRY(rl_outputs_add_stages(o, a->source, group, err));
    RL_TRY(rl_outputs_add_count(o, group, "pair", a->num_pairs, "pair of seeds", err));
    RL_TRY(add_jackknife(o, &shape, "spearman", a->spearman, n, true, "Spearman's correlation of neuron saliency between seeds", err));
    RL_TRY(add_jackknife(o, &shape, "jaccard", a->jaccard, n, true, "Jaccard index of the relearning neurons between seeds", err));
    RL_TRY(add_jackknife(o, &shape, "jaccard_excess", a->excess, n, false, "Jaccard index above chance", err));
    RL_TRY(rl_outputs_add(o, &shape, "jaccard_chance", RL_F64, 0, a->chance, "index expected of random sets", err));
    RL_TRY(rl_outputs_add(o, &shape, "relearning", RL_F64, 0, a->relearning, "relearning neurons of a run, mean", err));
    RL_TRY(output_pairs(a, o, group, err));
cleanup:
    return status;
}

rl_status rl_step_agreement(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    if (!w->source->seed_varies) return rl_outputs_skip(o, err, "agreement: one seed only; add the axis seed");
    for (int32_t m = 0; status == RL_OK && m < w->source->num_models; m++) {
        agreement a = {.source = w->source, .model = &w->source->models[m], .file = {H5I_INVALID_HID, w->source->path}};
        status = compute(&a, err);
        if (status == RL_OK && a.num_pairs) status = output_model(&a, o, err);
        clear(&a);
    }
    return status;
}
