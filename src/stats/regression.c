/* regression.c -- saliency after retraining on what the neuron was before: the primed-neuron claim.
 *
 * Rows are neurons x runs, but the unit of evidence is the run, and runs of one seed share their fine-tuned model: standard
 * errors are clustered by seed (CR1: Liang & Zeger 1986 with G/(G-1) (n-1)/(n-k), as statsmodels), t with G - 1 degrees of
 * freedom. [X y] goes in slabs of runs into a block-cyclic matrix, one run a block, its triangular factor (pdgeqrf) into a small
 * one that is updated slab by slab: memory per rank is a few runs, whatever their number. Columns that others determine are
 * dropped and named. Rows with a gap are rows of zeros, which change no factor. */
#include "least_squares.h"
#include "matrix.h"
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUP         "/stats/regression"
#define RUNS_PER_SLAB 8 /* a rank */
enum { INTERCEPT, BASE_SALIENCY, SIMILARITY, DEPTH, PRUNED, FIRST_MODEL };

typedef struct design {
    const rl_work *work;
    int64_t terms; /* columns of X; y is column `terms` */
    const char *select; /* NULL: all runs */
    bool primed; /* the store has each neuron's similarity to the concept: its value at base, else that of its words to base */
    double *base, *after, *similarity, *pruned; /* [largest N] of one run */
    int64_t num_rows, num_runs;
} design;
typedef struct fit {
    double *r; /* [terms + 1, terms + 1] */
    double *estimate, *se, *t, *p, *low, *high; /* [terms] */
    double r_squared;
    int64_t num_rows;
    int32_t num_runs, num_clusters;
    char dropped[512];
} fit;

/* ------------------------------------------------------------------------------------------------------ rows */

/* The last stage that the run has; -1. */
static int64_t last_stage(const rl_work *w, int32_t m, int64_t row)
{
    for (int64_t stage = w->source->num_stages; stage-- > 2;)
        if (isfinite(rl_layers_value(w->layers[m], w->source->num_stages, row, stage, RL_STAGE_CENTRE_MASS, -1))) return stage;
    return -1;
}

static bool is_used(const design *d, int32_t m, int64_t row)
{
    const rl_source *s = d->work->source;
    int64_t run = s->models[m].run_of_row[row];
    char text[64];
    if (!rl_source_done(s, run) || last_stage(d->work, m, row) < 0) return false;
    if (!d->select) return true;
    rl_source_text(text, sizeof text, rl_source_column_named(s, "prune.select"), run);
    return !strcmp(text, d->select);
}

typedef struct sources {
    hid_t saliency, similarity, pruned;
} sources;

static rl_status read_run(design *d, const sources *from, int32_t m, int64_t row, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    int64_t N = s->models[m].neurons, last = last_stage(d->work, m, row);
    RL_TRY(rl_read_stage(d->base, (rl_place){from->saliency, s->path}, row, 0, N, err));
    RL_TRY(rl_read_stage(d->after, (rl_place){from->saliency, s->path}, row, last, N, err));
    RL_TRY(rl_read_stage(d->similarity, (rl_place){from->similarity, s->path}, row, d->primed ? 0 : last, N, err));
    RL_TRY(rl_read_stage(d->pruned, (rl_place){from->pruned, s->path}, row, s->num_stages > 1, N, err));
cleanup:
    return status;
}

/* x [terms + 1] of one neuron, y last; false: it has a gap. */
static bool make_row(double *x, const design *d, int32_t m, int64_t n)
{
    const rl_source_model *model = &d->work->source->models[m];
    double depth = model->layers > 1 ? (double)(n / model->hidden_size) / (double)(model->layers - 1) : 0;
    memset(x, 0, (size_t)(d->terms + 1) * sizeof *x);
    if (!isfinite(d->base[n]) || !isfinite(d->after[n]) || !isfinite(d->similarity[n]) || d->pruned[n] < 0) return false;
    x[INTERCEPT] = 1;
    x[BASE_SALIENCY] = d->base[n];
    x[SIMILARITY] = d->similarity[n];
    x[DEPTH] = depth;
    x[PRUNED] = d->pruned[n];
    if (m > 0) x[FIRST_MODEL + m - 1] = 1;
    x[d->terms] = d->after[n];
    return true;
}

/* -------------------------------------------------------------------------------------------- triangular factor */

typedef struct used_rows { /* of one model */
    int64_t *rows, count;
} used_rows;

static rl_status list_used(used_rows *u, const design *d, int32_t m, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(u->rows, d->work->source->models[m].num_rows, err);
    for (int64_t row = 0; row < d->work->source->models[m].num_rows; row++)
        if (is_used(d, m, row)) u->rows[u->count++] = row;
cleanup:
    return status;
}

static rl_status fill_slab(rl_matrix *a, design *d, const sources *from, int32_t m, const used_rows *u, int64_t first, double *x,
                           rl_error *err)
{
    const rl_source *s = d->work->source;
    int64_t N = s->models[m].neurons;
    for (int64_t b = 0; b * N < a->local_rows; b++) {
        int64_t i = first + b * s->size + s->rank;
        rl_status status = i < u->count ? read_run(d, from, m, u->rows[i], err) : RL_OK;
        if (status != RL_OK) return status;
        for (int64_t n = 0; i < u->count && n < N; n++) {
            if (!make_row(x, d, m, n)) continue;
            d->num_rows++;
            for (int64_t j = 0; j <= d->terms; j++) a->values[j * a->lld + b * N + n] = x[j];
        }
    }
    return RL_OK;
}

/* One slab: runs first .. first + count - 1 of the list, dealt to the ranks in turn. */
static rl_status add_slab(double *r, design *d, const rl_grid *grid, const sources *from, int32_t m, const used_rows *u, int64_t first,
                          int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    int64_t width = d->terms + 1, N = s->models[m].neurons;
    rl_matrix a = {0};
    double *x = rl_calloc((size_t)width, sizeof *x, err), *piece = rl_calloc((size_t)(width * width), sizeof *piece, err);
    status = x && piece ? rl_matrix_create(&a, grid, count * N, width, N, width, err) : RL_ERR_MEMORY;
    RL_TRY(rl_source_agree(s, status, err));
    RL_TRY(rl_source_agree(s, fill_slab(&a, d, from, m, u, first, x, err), err));
    RL_TRY(rl_source_agree(s, rl_matrix_triangle(piece, &a, err), err));
    rl_combine(s->comm, piece, (size_t)(width * width) * sizeof *piece);
    rl_triangle_update(r, piece, width);
cleanup:
    rl_matrix_free(&a);
    rl_free(x);
    rl_free(piece);
    return status;
}

static void close_sources(sources *from)
{
    rl_h5_close(from->saliency);
    rl_h5_close(from->similarity);
    rl_h5_close(from->pruned);
}

static rl_status open_sources(sources *from, const design *d, int32_t m, rl_error *err)
{
    const rl_source *s = d->work->source;
    char path[300];
    snprintf(path, sizeof path, "/neurons/%s/saliency", s->models[m].name);
    from->saliency = H5Dopen2(s->file.id, path, H5P_DEFAULT);
    snprintf(path, sizeof path, "/neurons/%s/%s", s->models[m].name, d->primed ? "concept_similarity" : "similarity");
    from->similarity = H5Dopen2(s->file.id, path, H5P_DEFAULT);
    snprintf(path, sizeof path, "/neurons/%s/pruned", s->models[m].name);
    from->pruned = H5Dopen2(s->file.id, path, H5P_DEFAULT);
    if (from->saliency >= 0 && from->similarity >= 0 && from->pruned >= 0) return RL_OK;
    return rl_h5_fail(err, RL_ERR_INPUT, s->path, "%s cannot be opened", path);
}

/* [X y] of every used run, factored. */
static rl_status factor(double *r, design *d, const rl_grid *grid, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    int64_t slab = RUNS_PER_SLAB * s->size;
    for (int32_t m = 0; m < s->num_models; m++) {
        used_rows u = {0};
        sources from = {-1, -1, -1};
        status = rl_source_agree(s, list_used(&u, d, m, err), err);
        if (status == RL_OK) status = rl_source_agree(s, open_sources(&from, d, m, err), err);
        for (int64_t first = 0; status == RL_OK && first < u.count; first += slab)
            status = add_slab(r, d, grid, &from, m, &u, first, u.count - first < slab ? u.count - first : slab, err);
        d->num_runs += u.count;
        close_sources(&from);
        rl_free(u.rows);
        if (status != RL_OK) break;
    }
    return status;
}

/* -------------------------------------------------------------------------------------------------- clusters */

/* scores [terms] += X'e of one run. */
static rl_status score_run(double *scores, design *d, const sources *from, int32_t m, int64_t row, const double *beta, double *x,
                           rl_error *err)
{
    rl_status status = read_run(d, from, m, row, err);
    for (int64_t n = 0; status == RL_OK && n < d->work->source->models[m].neurons; n++) {
        if (!make_row(x, d, m, n)) continue;
        double e = x[d->terms];
        for (int64_t j = 0; j < d->terms; j++) e -= x[j] * beta[j];
        for (int64_t j = 0; j < d->terms; j++) scores[j] += x[j] * e;
    }
    return status;
}

/* scores [run, terms] of each used run, by the rank that has its turn. */
static rl_status score_runs(double *scores, design *d, const double *beta, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    double *x = rl_calloc((size_t)d->terms + 1, sizeof *x, err);
    RL_TRY(rl_source_agree(s, x ? RL_OK : RL_ERR_MEMORY, err));
    for (int32_t m = 0; m < s->num_models && status == RL_OK; m++) {
        sources from = {-1, -1, -1};
        const rl_source_model *model = &s->models[m];
        status = rl_source_agree(s, open_sources(&from, d, m, err), err);
        for (int64_t row = s->rank; status == RL_OK && row < model->num_rows; row += s->size)
            if (is_used(d, m, row)) status = score_run(scores + model->run_of_row[row] * d->terms, d, &from, m, row, beta, x, err);
        status = rl_source_agree(s, status, err);
        close_sources(&from);
    }
cleanup:
    rl_free(x);
    return status;
}

/* meat [terms, terms] = sum over seeds of s s', s the sum of its runs' scores; seeds in ascending order. */
static rl_status sum_clusters(double *meat, int32_t *num_clusters, const design *d, const double *scores, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    int8_t *used = NULL;
    double *sum = NULL;
    RL_ALLOC(used, s->num_runs, err);
    RL_ALLOC(sum, d->terms, err);
    for (int32_t m = 0; m < s->num_models; m++)
        for (int64_t row = 0; row < s->models[m].num_rows; row++)
            if (is_used(d, m, row)) used[s->models[m].run_of_row[row]] = 1;
    for (int64_t r = 0; r < s->num_runs; r++) {
        if (used[r] != 1) continue;
        memset(sum, 0, (size_t)d->terms * sizeof *sum);
        for (int64_t q = r; q < s->num_runs; q++) {
            if (used[q] != 1 || s->seed[q] != s->seed[r]) continue;
            used[q] = 2;
            for (int64_t j = 0; j < d->terms; j++) sum[j] += scores[q * d->terms + j];
        }
        for (int64_t i = 0; i < d->terms; i++)
            for (int64_t j = 0; j < d->terms; j++) meat[i * d->terms + j] += sum[i] * sum[j];
        (*num_clusters)++;
    }
cleanup:
    rl_free(used);
    rl_free(sum);
    return status;
}

static void sandwich(fit *f, const double *inverse, const double *meat, const int64_t *kept, int64_t k, int64_t terms)
{
    double G = f->num_clusters, n = (double)f->num_rows, scale = G / (G - 1) * (n - 1) / (n - (double)k);
    double t = rl_student_critical(1 - RL_STATS_LEVEL, G - 1);
    for (int64_t i = 0; i < k; i++) {
        double variance = 0;
        for (int64_t a = 0; a < k; a++)
            for (int64_t b = 0; b < k; b++) variance += inverse[i * k + a] * meat[kept[a] * terms + kept[b]] * inverse[b * k + i];
        int64_t j = kept[i];
        f->se[j] = sqrt(scale * variance);
        f->t[j] = f->estimate[j] / f->se[j];
        f->p[j] = rl_student_two_sided(f->t[j], G - 1);
        f->low[j] = f->estimate[j] - t * f->se[j];
        f->high[j] = f->estimate[j] + t * f->se[j];
    }
}

/* ------------------------------------------------------------------------------------------------------- fit */

static void term_name(char text[128], const design *d, int64_t term)
{
    const rl_source *s = d->work->source;
    static const char *const names[] = {"intercept", "base_saliency", "similarity", "depth", "pruned"};
    if (term == SIMILARITY && d->primed)
        snprintf(text, 128, "concept_similarity");
    else if (term < FIRST_MODEL)
        snprintf(text, 128, "%s", names[term]);
    else
        snprintf(text, 128, "model:%.100s", s->models[term - FIRST_MODEL + 1].name);
}

/* Columns of the factor in order, those that are determined left out; estimates, R^2. */
static void solve(fit *f, rl_basis *basis, int64_t *kept, double *work, const design *d)
{
    int64_t width = d->terms + 1;
    char name[128];
    for (int64_t j = 0; j < d->terms; j++) {
        for (int64_t i = 0; i < width; i++) work[i] = f->r[i * width + j];
        if (rl_basis_add(basis, work)) {
            kept[basis->count - 1] = j;
            continue;
        }
        term_name(name, d, j);
        size_t used = strlen(f->dropped);
        snprintf(f->dropped + used, sizeof f->dropped - used, "%s%s", used ? ", " : "", name);
    }
    for (int64_t i = 0; i < width; i++) work[i] = f->r[i * width + d->terms];
    double left = rl_basis_project(basis, work + width, work), total = 0;
    for (int64_t i = 1; i < basis->count; i++) total += work[width + i] * work[width + i]; /* 0 is the intercept's */
    rl_basis_solve(basis, work, work + width);
    for (int64_t i = 0; i < basis->count; i++) f->estimate[kept[i]] = work[i];
    f->r_squared = total + left > 0 ? total / (total + left) : NAN;
}

static rl_status errors_of(fit *f, rl_basis *basis, const int64_t *kept, design *d, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    double *scores = rl_calloc((size_t)(s->num_runs * d->terms), sizeof *scores, err),
           *meat = rl_calloc((size_t)(d->terms * d->terms), sizeof *meat, err),
           *inverse = rl_calloc((size_t)(d->terms * d->terms), sizeof *inverse, err), *beta = rl_calloc((size_t)d->terms, sizeof *beta, err);
    RL_TRY(rl_source_agree(s, scores && meat && inverse && beta ? RL_OK : RL_ERR_MEMORY, err));
    for (int64_t i = 0; i < basis->count; i++) beta[kept[i]] = f->estimate[kept[i]];
    RL_TRY(score_runs(scores, d, beta, err));
    rl_combine(s->comm, scores, (size_t)(s->num_runs * d->terms) * sizeof *scores);
    RL_TRY(sum_clusters(meat, &f->num_clusters, d, scores, err));
    rl_basis_inverse(basis, inverse);
    if (f->num_clusters > 1 && f->num_rows > basis->count) sandwich(f, inverse, meat, kept, basis->count, d->terms);
cleanup:
    rl_free(scores);
    rl_free(meat);
    rl_free(inverse);
    rl_free(beta);
    return status;
}

static rl_status make_fit(fit *f, design *d, const rl_grid *grid, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = d->work->source;
    int64_t width = d->terms + 1, *kept = NULL, rows = 0;
    rl_basis basis = {0};
    double *work = NULL;
    RL_ALLOC(f->r, width * width, err);
    RL_ALLOC(kept, width, err);
    RL_ALLOC(work, 2 * width, err);
    RL_TRY(rl_basis_create(&basis, width, width, err));
    d->num_rows = d->num_runs = 0;
    RL_TRY(factor(f->r, d, grid, err));
    MPI_Allreduce(&d->num_rows, &rows, 1, MPI_INT64_T, MPI_SUM, s->comm);
    f->num_rows = rows;
    f->num_runs = (int32_t)d->num_runs;
    if (rows == 0) goto cleanup;
    solve(f, &basis, kept, work, d);
    RL_TRY(errors_of(f, &basis, kept, d, err));
cleanup:
    rl_basis_free(&basis);
    rl_free(kept);
    rl_free(work);
    rl_free(f->r);
    f->r = NULL;
    return status;
}

/* --------------------------------------------------------------------------------------------------- output */

typedef struct fits { /* [fit, term] */
    int64_t count, terms;
    char (*names)[64];
    double *numbers[6]; /* estimate, se, t, p, low, high */
    double *r_squared;
    int64_t *num_rows;
    int32_t *num_runs, *num_clusters;
    char (*dropped)[512];
} fits;

static void fits_free(fits *f)
{
    for (int i = 0; i < 6; i++) rl_free(f->numbers[i]);
    rl_free(f->names);
    rl_free(f->r_squared);
    rl_free(f->num_rows);
    rl_free(f->num_runs);
    rl_free(f->num_clusters);
    rl_free(f->dropped);
}

static rl_status fits_create(fits *f, int64_t most, int64_t terms, rl_error *err)
{
    rl_status status = RL_OK;
    f->terms = terms;
    RL_ALLOC(f->names, most, err);
    for (int i = 0; i < 6; i++) {
        RL_ALLOC(f->numbers[i], most * terms, err);
        for (int64_t k = 0; k < most * terms; k++) f->numbers[i][k] = NAN;
    }
    RL_ALLOC(f->r_squared, most, err);
    RL_ALLOC(f->num_rows, most, err);
    RL_ALLOC(f->num_runs, most, err);
    RL_ALLOC(f->num_clusters, most, err);
    RL_ALLOC(f->dropped, most, err);
cleanup:
    return status;
}

static rl_status add_fit(fits *f, design *d, const rl_grid *grid, const char *name, rl_error *err)
{
    int64_t at = f->count++, first = at * f->terms;
    fit one = {.estimate = f->numbers[0] + first, .se = f->numbers[1] + first, .t = f->numbers[2] + first, .p = f->numbers[3] + first,
               .low = f->numbers[4] + first, .high = f->numbers[5] + first, .r_squared = NAN};
    snprintf(f->names[at], sizeof f->names[at], "%s", name);
    rl_status status = make_fit(&one, d, grid, err);
    f->r_squared[at] = one.r_squared;
    f->num_rows[at] = one.num_rows;
    f->num_runs[at] = one.num_runs;
    f->num_clusters[at] = one.num_clusters;
    memcpy(f->dropped[at], one.dropped, sizeof one.dropped);
    return status;
}

static rl_status output_names(const fits *f, const design *d, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char *terms = NULL, name[128];
    RL_ALLOC(terms, f->terms * 128, err);
    for (int64_t j = 0; j < f->terms; j++) {
        term_name(name, d, j);
        memcpy(terms + j * 128, name, strlen(name));
    }
    RL_TRY(rl_outputs_add_scale(o, GROUP, "fit", RL_TEXT, 64, f->count, f->names, "runs that were used", err));
    RL_TRY(rl_outputs_add_scale(o, GROUP, "term", RL_TEXT, 128, f->terms, terms, "term of the regression", err));
cleanup:
    rl_free(terms);
    return status;
}

static rl_status output(const fits *f, const design *d, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    static const char *const names[] = {"estimate", "se", "t", "p", "low", "high"};
    static const char *const long_names[] = {"change of saliency after retraining per unit of the term", "standard error, clustered by seed",
                                             "estimate / se", "two-sided p", "lower end of the 95 % interval", "upper end of the 95 % interval"};
    rl_shape both = {.group = GROUP, .num_dims = 2, .dims = {"fit", "term"}, .approximate = true,
                     .method = "least squares (pdgeqrf) over neurons of all runs; CR1 errors clustered by seed, t with clusters - 1"};
    rl_shape one = {.group = GROUP, .num_dims = 1, .dims = {"fit"}, .approximate = true};
    RL_TRY(output_names(f, d, o, err));
    for (int i = 0; i < 6; i++) RL_TRY(rl_outputs_add(o, &both, names[i], RL_F64, 0, f->numbers[i], long_names[i], err));
    RL_TRY(rl_outputs_add(o, &one, "r_squared", RL_F64, 0, f->r_squared, "share of the variance explained", err));
    RL_TRY(rl_outputs_add(o, &one, "num_rows", RL_I64, 0, f->num_rows, "neurons of runs used", err));
    RL_TRY(rl_outputs_add(o, &one, "num_runs", RL_I32, 0, f->num_runs, "runs used", err));
    RL_TRY(rl_outputs_add(o, &one, "num_clusters", RL_I32, 0, f->num_clusters, "seeds", err));
    RL_TRY(rl_outputs_add(o, &one, "dropped", RL_TEXT, 512, f->dropped, "terms that others determine", err));
cleanup:
    return status;
}

/* All models have the similarity to the concept (collective: metadata are read by all ranks together). */
static bool all_primed(const rl_source *s)
{
    char path[300];
    for (int32_t m = 0; m < s->num_models; m++) {
        snprintf(path, sizeof path, "/neurons/%s/concept_similarity", s->models[m].name);
        if (H5Lexists(s->file.id, path, H5P_DEFAULT) <= 0) return false;
    }
    return true;
}

static rl_status make_design(design *d, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t largest = 1;
    d->primed = all_primed(d->work->source);
    for (int32_t m = 0; m < d->work->source->num_models; m++)
        if (d->work->source->models[m].neurons > largest) largest = d->work->source->models[m].neurons;
    d->terms = FIRST_MODEL + d->work->source->num_models - 1;
    RL_ALLOC(d->base, largest, err);
    RL_ALLOC(d->after, largest, err);
    RL_ALLOC(d->similarity, largest, err);
    RL_ALLOC(d->pruned, largest, err);
cleanup:
    return status;
}

rl_status rl_step_regression(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = w->source;
    design d = {.work = w};
    fits f = {0};
    rl_grid grid = {.comm = MPI_COMM_NULL};
    bool select = false;
    if (s->num_models == 0 || s->num_stages < 3) return rl_outputs_skip(o, err, "regression: no retrained stage");
    RL_TRY(rl_source_agree(s, RL_OK, err)); /* looking into the shared file is collective */
    for (int32_t a = 2; a < s->num_axes; a++) select = select || (s->varies[a] && !strcmp(s->columns[s->axes[a]].name, "prune.select"));
    status = make_design(&d, err);
    if (status == RL_OK) status = fits_create(&f, 1 + RL_NUM_PRUNE_SELECTS, d.terms, err);
    RL_TRY(rl_source_agree(s, status, err));
    RL_TRY(rl_source_agree(s, rl_grid_create(&grid, s->comm, 0, err), err));
    RL_TRY(add_fit(&f, &d, &grid, "all", err));
    for (int i = 0; select && i < RL_NUM_PRUNE_SELECTS; i++) {
        d.select = rl_prune_select_names[i];
        RL_TRY(add_fit(&f, &d, &grid, d.select, err));
        if (f.num_runs[f.count - 1] == 0) f.count--; /* no such arm */
    }
    RL_TRY(output(&f, &d, o, err));
cleanup:
    rl_grid_free(&grid);
    fits_free(&f);
    rl_free(d.base);
    rl_free(d.after);
    rl_free(d.similarity);
    rl_free(d.pruned);
    return status;
}
