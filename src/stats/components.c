/* components.c -- principal components of the runs x neurons saliency matrix, stage by stage, on ScaLAPACK.
 *
 * X [R, N] is block-cyclic over all ranks, each filling its own blocks from hyperslabs; no rank holds the whole. The Gram
 * matrix of the smaller side (pdsyrk) goes to a grid of its own (one rank where it is small), is decomposed there (pdsyevd)
 * and its leading vectors come back for one product. A null neuron's value is the neuron's mean over the runs that have
 * one, so after centring it is 0 and moves nothing. */
#include "matrix.h"
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_COMPONENTS 10
#define NEGLIGIBLE      1e-12 /* of the largest eigenvalue: rounding, not variance */

typedef struct problem { /* one stage of one model */
    const rl_source *source;
    const rl_source_model *model;
    const int64_t *rows; /* [R] rows of the model that have the stage */
    int64_t R, stage, k;
    rl_grid grid;
    rl_matrix x;
} problem;
typedef struct results { /* of one stage */
    double *variance, *share, *score, *loading; /* [K], [K], [rows, K], [K, N] */
    double total;
    int64_t imputed;
} results;

/* --------------------------------------------------------------------------------------------------- filling */

/* This rank's columns of one row: every npcol-th block. */
static rl_status select_columns(hid_t space, const problem *p, int64_t row, rl_error *err)
{
    const rl_matrix *x = &p->x;
    herr_t ok = H5Sselect_none(space);
    for (int64_t j = 0; ok >= 0 && j < x->local_columns; j += x->nb) {
        int64_t width = x->local_columns - j < x->nb ? x->local_columns - j : x->nb;
        hsize_t start[3] = {(hsize_t)row, (hsize_t)p->stage, (hsize_t)rl_matrix_column(x, j)}, count[3] = {1, 1, (hsize_t)width};
        ok = H5Sselect_hyperslab(space, j ? H5S_SELECT_OR : H5S_SELECT_SET, start, NULL, count, NULL);
    }
    return ok >= 0 ? RL_OK : rl_h5_fail(err, RL_ERR_INTERNAL, p->source->path, "columns cannot be selected");
}

/* Local row i into row [local_columns]. */
static rl_status read_row(double *values, const problem *p, hid_t dataset, int64_t i, rl_error *err)
{
    hsize_t length = (hsize_t)p->x.local_columns;
    hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(1, &length, NULL);
    rl_status status = select_columns(space, p, p->rows[rl_matrix_row(&p->x, i)], err);
    if (status == RL_OK && H5Dread(dataset, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, values) < 0)
        status = rl_h5_fail(err, RL_ERR_INPUT, p->source->path, "saliency cannot be read");
    rl_h5_close(memory);
    rl_h5_close(space);
    return status;
}

static rl_status fill_rows(problem *p, double *row, hid_t dataset, rl_error *err)
{
    rl_status status = RL_OK;
    rl_matrix *x = &p->x;
    for (int i = 0; i < x->local_rows && x->local_columns > 0 && p->grid.rank >= 0; i++) {
        RL_TRY(read_row(row, p, dataset, i, err));
        for (int j = 0; j < x->local_columns; j++) x->values[(size_t)j * (size_t)x->lld + (size_t)i] = row[j];
    }
cleanup:
    return status;
}

static rl_status fill(problem *p, rl_error *err)
{
    rl_status status = RL_OK;
    char path[300];
    snprintf(path, sizeof path, "/neurons/%s/saliency", p->model->name);
    hid_t dataset = H5Dopen2(p->source->file.id, path, H5P_DEFAULT);
    double *row = rl_calloc((size_t)p->x.local_columns + 1, sizeof *row, err);
    RL_TRY(rl_source_agree(p->source, row && dataset >= 0 ? RL_OK : RL_ERR_INPUT, err));
    status = rl_source_agree(p->source, fill_rows(p, row, dataset, err), err);
cleanup:
    rl_h5_close(dataset);
    rl_free(row);
    return status;
}

/* x - mean of its column over the runs that have a value; 0 where there is none. */
static rl_status centre(problem *p, int64_t *imputed, double *total, rl_error *err)
{
    rl_status status = RL_OK;
    rl_matrix *x = &p->x;
    int64_t N = p->model->neurons, holes = 0;
    double *sums = rl_calloc((size_t)(2 * N), sizeof *sums, err), squares = 0;
    RL_TRY(rl_source_agree(p->source, sums ? RL_OK : RL_ERR_MEMORY, err));
    for (int j = 0; j < x->local_columns; j++)
        for (int i = 0; i < x->local_rows; i++) {
            double v = x->values[(size_t)j * (size_t)x->lld + (size_t)i];
            int64_t n = rl_matrix_column(x, j);
            if (isfinite(v)) sums[n] += v, sums[N + n] += 1;
        }
    MPI_Allreduce(MPI_IN_PLACE, sums, (int)(2 * N), MPI_DOUBLE, MPI_SUM, p->source->comm);
    for (int j = 0; j < x->local_columns; j++)
        for (int i = 0; i < x->local_rows; i++) {
            double *v = &x->values[(size_t)j * (size_t)x->lld + (size_t)i];
            int64_t n = rl_matrix_column(x, j);
            holes += !isfinite(*v);
            *v = isfinite(*v) ? *v - sums[n] / sums[N + n] : 0;
            squares += *v * *v;
        }
    MPI_Allreduce(&holes, imputed, 1, MPI_INT64_T, MPI_SUM, p->source->comm);
    MPI_Allreduce(&squares, total, 1, MPI_DOUBLE, MPI_SUM, p->source->comm);
    *total /= (double)(p->R - 1);
cleanup:
    rl_free(sums);
    return status;
}

/* -------------------------------------------------------------------------------------------- decomposition */

/* The k leading eigenvectors of the Gram matrix, by columns, on the grid of x: largest first. */
static rl_status decompose(double *values, rl_matrix *leading, problem *p, bool of_rows, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = of_rows ? p->R : p->model->neurons;
    rl_grid small = {.comm = MPI_COMM_NULL};
    rl_matrix gram = {0}, moved = {0}, vectors = {0}, back = {0};
    double *all = NULL;
    RL_TRY(rl_source_agree(p->source, rl_grid_create(&small, p->source->comm, n, err), err));
    status = rl_matrix_create(&gram, &p->grid, n, n, RL_MATRIX_BLOCK, RL_MATRIX_BLOCK, err);
    if (status == RL_OK) status = rl_matrix_create(&back, &p->grid, n, n, RL_MATRIX_BLOCK, RL_MATRIX_BLOCK, err);
    if (status == RL_OK) status = rl_matrix_create(&moved, &small, n, n, RL_MATRIX_BLOCK, RL_MATRIX_BLOCK, err);
    if (status == RL_OK) status = rl_matrix_create(&vectors, &small, n, n, RL_MATRIX_BLOCK, RL_MATRIX_BLOCK, err);
    if (status == RL_OK && !(all = rl_calloc((size_t)n, sizeof *all, err))) status = RL_ERR_MEMORY;
    RL_TRY(rl_source_agree(p->source, status, err));
    rl_matrix_gram(&gram, &p->x, of_rows);
    rl_matrix_move(&moved, &gram, &p->grid);
    RL_TRY(rl_source_agree(p->source, small.rank >= 0 ? rl_matrix_eigen(all, &vectors, &moved, err) : RL_OK, err));
    MPI_Bcast(all, (int)n, MPI_DOUBLE, 0, p->source->comm);
    rl_matrix_move(&back, &vectors, &p->grid);
    for (int64_t i = 0; i < p->k; i++) values[i] = all[n - 1 - i];
    *leading = back;
    back = (rl_matrix){0};
cleanup:
    rl_matrix_free(&gram);
    rl_matrix_free(&moved);
    rl_matrix_free(&vectors);
    rl_matrix_free(&back);
    rl_grid_free(&small);
    rl_free(all);
    return status;
}

/* Columns first .. of a distributed matrix, last first, as [rows, k] known to all. */
static void collect(double *out, const rl_matrix *a, int64_t rows, int64_t k, MPI_Comm comm)
{
    memset(out, 0, (size_t)(rows * k) * sizeof *out);
    for (int j = 0; j < a->local_columns; j++)
        for (int i = 0; i < a->local_rows; i++) {
            int64_t c = a->n - 1 - rl_matrix_column(a, j);
            if (c < k) out[rl_matrix_row(a, i) * k + c] = a->values[(size_t)j * (size_t)a->lld + (size_t)i];
        }
    rl_combine(comm, out, (size_t)(rows * k) * sizeof *out);
}

/* u: of runs [R, k], v: of neurons [N, k]; unit columns of one side, the other its product with x. */
static rl_status both_sides(double *u, double *v, problem *p, double *values, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = p->model->neurons;
    bool of_rows = p->R <= N;
    rl_matrix one = {0}, other = {0};
    RL_TRY(decompose(values, &one, p, of_rows, err));
    status = rl_matrix_create(&other, &p->grid, of_rows ? N : p->R, one.n, of_rows ? p->x.nb : p->x.mb, one.nb, err);
    RL_TRY(rl_source_agree(p->source, status, err));
    rl_matrix_product(&other, of_rows, &p->x, &one);
    collect(of_rows ? u : v, &one, of_rows ? p->R : N, p->k, p->source->comm);
    collect(of_rows ? v : u, &other, of_rows ? N : p->R, p->k, p->source->comm);
cleanup:
    rl_matrix_free(&one);
    rl_matrix_free(&other);
    return status;
}

/* Scores and unit loadings, the largest entry of a loading positive. */
static void scale(results *out, const problem *p, const double *values, const double *u, const double *v)
{
    int64_t N = p->model->neurons;
    bool of_rows = p->R <= N;
    for (int64_t c = 0; c < p->k; c++) {
        bool real = values[c] > NEGLIGIBLE * values[0] && values[0] > 0;
        double root = real ? sqrt(values[c]) : 0, largest = 0, sign = 1;
        out->variance[c] = real ? values[c] / (double)(p->R - 1) : 0;
        out->share[c] = out->total > 0 ? out->variance[c] / out->total : NAN;
        for (int64_t n = 0; n < N; n++)
            if (fabs(v[n * p->k + c]) > fabs(largest)) largest = v[n * p->k + c];
        if (largest < 0) sign = -1;
        for (int64_t n = 0; n < N; n++) out->loading[c * N + n] = real ? sign * v[n * p->k + c] / (of_rows ? root : 1) : NAN;
        for (int64_t i = 0; i < p->R; i++)
            out->score[p->rows[i] * MOST_COMPONENTS + c] = real ? sign * u[i * p->k + c] * (of_rows ? root : 1) : 0;
    }
}

static int64_t block_for(int64_t n, int num)
{
    int64_t block = (n + num - 1) / num;
    return block < 1 ? 1 : block > RL_MATRIX_BLOCK ? RL_MATRIX_BLOCK : block;
}

static rl_status analyse_stage(results *out, problem *p, size_t *peak_bytes, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = p->model->neurons;
    double *u = NULL, *v = NULL, values[MOST_COMPONENTS] = {0};
    p->k = p->R - 1 < N ? p->R - 1 : N;
    if (p->k > MOST_COMPONENTS) p->k = MOST_COMPONENTS;
    RL_TRY(rl_source_agree(p->source, rl_grid_create(&p->grid, p->source->comm, INT32_MAX, err), err));
    status = rl_matrix_create(&p->x, &p->grid, p->R, N, block_for(p->R, p->grid.rows), block_for(N, p->grid.columns), err);
    u = rl_calloc((size_t)(p->R * MOST_COMPONENTS), sizeof *u, err);
    v = rl_calloc((size_t)(N * MOST_COMPONENTS), sizeof *v, err);
    RL_TRY(rl_source_agree(p->source, status != RL_OK ? status : u && v ? RL_OK : RL_ERR_MEMORY, err));
    if (peak_bytes && rl_matrix_local_bytes(&p->x) > *peak_bytes) *peak_bytes = rl_matrix_local_bytes(&p->x);
    RL_TRY(fill(p, err));
    RL_TRY(centre(p, &out->imputed, &out->total, err));
    RL_TRY(both_sides(u, v, p, values, err));
    scale(out, p, values, u, v);
cleanup:
    rl_matrix_free(&p->x);
    rl_grid_free(&p->grid);
    rl_free(u);
    rl_free(v);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- output */

typedef struct stages { /* all of a model: [stage, ...] */
    double *variance, *share, *score, *loading, *total;
    int32_t *num_runs;
    int64_t *imputed, *rows;
} stages;

static void stages_free(stages *t)
{
    rl_free(t->variance);
    rl_free(t->share);
    rl_free(t->score);
    rl_free(t->loading);
    rl_free(t->total);
    rl_free(t->num_runs);
    rl_free(t->imputed);
    rl_free(t->rows);
}

static rl_status missing(double **out, int64_t n, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(*out, n, err);
    for (int64_t i = 0; i < n; i++) (*out)[i] = NAN;
cleanup:
    return status;
}

static rl_status stages_create(stages *t, const rl_source *s, const rl_source_model *m, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t S = s->num_stages;
    RL_TRY(missing(&t->variance, S * MOST_COMPONENTS, err));
    RL_TRY(missing(&t->share, S * MOST_COMPONENTS, err));
    RL_TRY(missing(&t->score, S * m->num_rows * MOST_COMPONENTS, err));
    RL_TRY(missing(&t->loading, S * MOST_COMPONENTS * m->neurons, err));
    RL_TRY(missing(&t->total, S, err));
    RL_ALLOC(t->num_runs, S, err);
    RL_ALLOC(t->imputed, S, err);
    RL_ALLOC(t->rows, m->num_rows, err);
cleanup:
    return status;
}

static rl_status output(const stages *t, const rl_source *s, const rl_source_model *m, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char group[300];
    snprintf(group, sizeof group, "/stats/components/%s", m->name);
    rl_shape by = {.group = group, .num_dims = 2, .dims = {"stage", "component"}, .approximate = true,
                   .method = "eigen-decomposition (pdsyevd) of the Gram matrix (pdsyrk) of the smaller side; null neurons at their mean"};
    rl_shape score = by, loading = by, stage = {.group = group, .num_dims = 1, .dims = {"stage"}, .approximate = true};
    score.num_dims = loading.num_dims = 3;
    score.dims[1] = "run", score.dims[2] = "component";
    loading.dims[2] = "neuron";
    RL_TRY(rl_outputs_add_stages(o, s, group, err));
    RL_TRY(rl_outputs_add_count(o, group, "component", MOST_COMPONENTS, "principal component, largest first", err));
    RL_TRY(rl_outputs_add_runs(o, s, group, m->run_of_row, m->num_rows, err));
    RL_TRY(rl_outputs_add_count(o, group, "neuron", m->neurons, "neuron: layer * hidden size + unit", err));
    RL_TRY(rl_outputs_add(o, &by, "variance", RL_F64, 0, t->variance, "variance over runs along the component (ddof 1)", err));
    RL_TRY(rl_outputs_add(o, &by, "share", RL_F64, 0, t->share, "share of the total variance", err));
    RL_TRY(rl_outputs_add(o, &score, "score", RL_F64, 0, t->score, "coordinate of the run", err));
    RL_TRY(rl_outputs_add(o, &loading, "loading", RL_F64, 0, t->loading, "unit vector of the component", err));
    RL_TRY(rl_outputs_add(o, &stage, "total_variance", RL_F64, 0, t->total, "sum over neurons of the variance over runs", err));
    RL_TRY(rl_outputs_add(o, &stage, "num_runs", RL_I32, 0, t->num_runs, "runs", err));
    RL_TRY(rl_outputs_add(o, &stage, "imputed", RL_I64, 0, t->imputed, "values of null neurons replaced by their mean", err));
cleanup:
    return status;
}

rl_status rl_components_of_model(const rl_work *w, int32_t model, rl_outputs *o, size_t *peak_bytes, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = w->source;
    const rl_source_model *m = &s->models[model];
    int64_t most = 0;
    stages t = {0};
    RL_TRY(rl_source_agree(s, stages_create(&t, s, m, err), err));
    for (int64_t stage = 0; stage < s->num_stages; stage++) {
        problem p = {.source = s, .model = m, .rows = t.rows, .stage = stage, .grid = {.comm = MPI_COMM_NULL}};
        results r = {.variance = t.variance + stage * MOST_COMPONENTS, .share = t.share + stage * MOST_COMPONENTS,
                     .score = t.score + stage * m->num_rows * MOST_COMPONENTS, .loading = t.loading + stage * MOST_COMPONENTS * m->neurons,
                     .total = NAN};
        for (int64_t row = 0; row < m->num_rows; row++)
            if (isfinite(rl_layers_value(w->layers[model], s->num_stages, row, stage, RL_STAGE_CENTRE_MASS, -1))) t.rows[p.R++] = row;
        t.num_runs[stage] = (int32_t)p.R;
        if (p.R > most) most = p.R;
        if (p.R > 1) RL_TRY(analyse_stage(&r, &p, peak_bytes, err));
        t.total[stage] = r.total;
        t.imputed[stage] = r.imputed;
    }
    if (most > 1)
        status = output(&t, s, m, o, err);
    else
        status = rl_outputs_skip(o, err, "components of %s: one run has no variance between runs", m->name);
cleanup:
    stages_free(&t);
    return status;
}

rl_status rl_step_components(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t m = 0; status == RL_OK && m < w->source->num_models; m++) status = rl_components_of_model(w, m, o, NULL, err);
    return status;
}
