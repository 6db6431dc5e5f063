/* finders.c -- do two ways of ranking neurons name the same ones? Cells that differ in rank.method alone, run against run of
 * the same seed: Spearman's correlation of the ranks, and what their top tenths share. */
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOP_SHARE 0.1

typedef struct finder_pair {
    int32_t cell_a, cell_b;
} finder_pair;
typedef struct finders {
    const rl_source *source;
    const rl_source_model *model;
    rl_place file; /* this rank's own */
    hid_t rank;
    int32_t axis;
    int64_t count;
    finder_pair *pairs;
    rl_estimate *spearman, *overlap; /* [pair, stage] */
} finders;

static void clear(finders *f)
{
    rl_h5_close(f->rank);
    rl_h5_close(f->file.id);
    rl_free(f->pairs);
    rl_free(f->spearman);
    rl_free(f->overlap);
}

static rl_status list_pairs(finders *f, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source_model *m = f->model;
    RL_ALLOC(f->pairs, (int64_t)m->num_cells * m->num_cells, err);
    for (int32_t i = 0; i < m->num_cells; i++)
        for (int32_t j = i + 1; j < m->num_cells; j++)
            if (rl_source_differ_only_in(f->source, m->cells[i], m->cells[j], f->axis))
                f->pairs[f->count++] = (finder_pair){m->cells[i], m->cells[j]};
    RL_ALLOC(f->spearman, f->count * f->source->num_stages, err);
    RL_ALLOC(f->overlap, f->count * f->source->num_stages, err);
cleanup:
    return status;
}

/* Ranks of one run at a stage; -1 (no value) becomes NaN. */
static rl_status read_ranks(double *out, const finders *f, int64_t run, int64_t stage, rl_error *err)
{
    int64_t N = f->model->neurons;
    rl_status status = rl_read_stage(out, (rl_place){f->rank, f->file.path}, rl_model_row(f->model, run), stage, N, err);
    for (int64_t n = 0; status == RL_OK && n < N; n++)
        if (out[n] < 0) out[n] = NAN;
    return status;
}

static double top_overlap(const double *a, const double *b, int64_t N)
{
    int64_t top = (int64_t)(TOP_SHARE * (double)N + 0.5), both = 0, known = 0;
    for (int64_t n = 0; n < N; n++) {
        known += isfinite(a[n]) && isfinite(b[n]);
        both += a[n] < (double)top && b[n] < (double)top;
    }
    return known == N && top > 0 ? (double)both / (double)top : NAN;
}

typedef struct paired_runs { /* of one pair of cells */
    rl_run_pair *runs;
    int64_t count;
    double *ranks;               /* [2, N] */
    double *spearman, *overlap;  /* [count] */
} paired_runs;

static rl_status compare(finders *f, int64_t pair, int64_t stage, paired_runs *p, rl_resampler *r, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = f->model->neurons, at = pair * f->source->num_stages + stage;
    for (int64_t i = 0; i < p->count; i++) {
        RL_TRY(read_ranks(p->ranks, f, p->runs[i].a, stage, err));
        RL_TRY(read_ranks(p->ranks + N, f, p->runs[i].b, stage, err));
        RL_TRY(rl_spearman(&p->spearman[i], p->ranks, p->ranks + N, NULL, N, err));
        p->overlap[i] = top_overlap(p->ranks, p->ranks + N, N);
    }
    RL_TRY(rl_estimate_mean(&f->spearman[at], r, p->spearman, p->count, err));
    RL_TRY(rl_estimate_mean(&f->overlap[at], r, p->overlap, p->count, err));
cleanup:
    return status;
}

/* The done runs of either cell that share a seed. */
static rl_status pair_runs(paired_runs *p, const finders *f, int64_t pair, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = f->source;
    int32_t *a = NULL, *b = NULL;
    int64_t num_a = 0, num_b = 0, all;
    RL_TRY(rl_source_runs_of_cell(&a, &num_a, s, f->pairs[pair].cell_a, err));
    RL_TRY(rl_source_runs_of_cell(&b, &num_b, s, f->pairs[pair].cell_b, err));
    RL_ALLOC(p->runs, num_a, err);
    RL_ALLOC(p->ranks, 2 * f->model->neurons, err);
    RL_ALLOC(p->spearman, num_a, err);
    RL_ALLOC(p->overlap, num_a, err);
    all = rl_source_pair_seeds(p->runs, NULL, s, a, num_a, b, num_b);
    for (int64_t i = 0; i < all; i++)
        if (rl_source_done(s, p->runs[i].a) && rl_source_done(s, p->runs[i].b)) p->runs[p->count++] = p->runs[i];
cleanup:
    rl_free(a);
    rl_free(b);
    return status;
}

static rl_status do_pair(finders *f, int64_t pair, rl_resampler *r, rl_error *err)
{
    rl_status status = RL_OK;
    paired_runs p = {0};
    RL_TRY(pair_runs(&p, f, pair, err));
    for (int64_t stage = 0; stage < f->source->num_stages; stage++) RL_TRY(compare(f, pair, stage, &p, r, err));
cleanup:
    rl_free(p.runs);
    rl_free(p.ranks);
    rl_free(p.spearman);
    rl_free(p.overlap);
    return status;
}

static rl_status compute(finders *f, rl_resampler *r, rl_error *err)
{
    rl_status status = list_pairs(f, err);
    char path[300];
    snprintf(path, sizeof path, "/neurons/%s/rank", f->model->name);
    if (status == RL_OK) status = rl_h5_open(&f->file.id, f->file.path, "results file", err);
    if (status == RL_OK && (f->rank = H5Dopen2(f->file.id, path, H5P_DEFAULT)) < 0)
        status = rl_h5_fail(err, RL_ERR_INPUT, f->file.path, "no dataset %s", path);
    for (int64_t i = f->source->rank; status == RL_OK && i < f->count; i += f->source->size) status = do_pair(f, i, r, err);
    status = rl_source_agree(f->source, status, err);
    if (status != RL_OK) return status;
    size_t bytes = (size_t)(f->count * f->source->num_stages) * sizeof *f->spearman;
    rl_combine(f->source->comm, f->spearman, bytes);
    rl_combine(f->source->comm, f->overlap, bytes);
    return RL_OK;
}

static rl_status output_sides(const finders *f, rl_outputs *o, const char *group, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shape one = {.group = group, .num_dims = 1, .dims = {"finder_pair"}};
    const rl_source_column *method = &f->source->columns[f->source->axes[f->axis]];
    int32_t *cells = NULL;
    char *texts = NULL;
    RL_ALLOC(cells, f->count, err);
    RL_ALLOC(texts, f->count * 64, err);
    for (int side = 0; side < 2; side++) {
        memset(texts, 0, (size_t)f->count * 64);
        for (int64_t i = 0; i < f->count; i++) {
            cells[i] = side ? f->pairs[i].cell_b : f->pairs[i].cell_a;
            rl_source_text(texts + i * 64, 64, method, f->source->first_run[cells[i]]);
        }
        RL_TRY(rl_outputs_add(o, &one, side ? "cell_b" : "cell_a", RL_I32, 0, cells, "cell", err));
        RL_TRY(rl_outputs_add(o, &one, side ? "method_b" : "method_a", RL_TEXT, 64, texts, "rank.method", err));
    }
cleanup:
    rl_free(cells);
    rl_free(texts);
    return status;
}

static rl_status output(const finders *f, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char group[300];
    const double chance = TOP_SHARE;
    rl_shape shape = {.group = group, .num_dims = 2, .dims = {"finder_pair", "stage"}, .method = "mean over seeds; ranks of the same seed"};
    rl_shape scalar = {.group = group, .method = "size of the top share"};
    snprintf(group, sizeof group, "/stats/finders/%s", f->model->name);
    RL_TRY(rl_outputs_add_count(o, group, "finder_pair", f->count, "pair of cells that differ in rank.method", err));
    RL_TRY(rl_outputs_add_stages(o, f->source, group, err));
    RL_TRY(output_sides(f, o, group, err));
    RL_TRY(rl_outputs_add_estimates(o, &shape, "spearman", f->spearman, "Spearman's correlation of the finders' ranks", err));
    RL_TRY(rl_outputs_add_estimates(o, &shape, "overlap", f->overlap, "share of the top tenth in common", err));
    RL_TRY(rl_outputs_add(o, &scalar, "overlap_chance", RL_F64, 0, &chance, "overlap of random tenths", err));
cleanup:
    return status;
}

rl_status rl_step_finders(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = w->source;
    int32_t axis = -1;
    for (int32_t a = 2; a < s->num_axes; a++)
        if (s->varies[a] && !strcmp(s->columns[s->axes[a]].name, "rank.method")) axis = a;
    if (axis < 0) return rl_outputs_skip(o, err, "finders: one way of ranking only; add the axis rank.method");
    for (int32_t m = 0; status == RL_OK && m < s->num_models; m++) {
        finders f = {.source = s, .model = &s->models[m], .file = {H5I_INVALID_HID, s->path}, .rank = H5I_INVALID_HID, .axis = axis};
        status = compute(&f, w->resampler, err);
        if (status == RL_OK && f.count) status = output(&f, o, err);
        clear(&f);
    }
    return status;
}
