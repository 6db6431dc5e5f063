/* compare.c -- arm against arm, paired by seed: what is claimed, what is not, and what could not have been.
 *
 * Cells that differ in one axis only. Where prune.select is an axis, its concept arm against each control; every other axis
 * but model and concept: its first value against each other one, without the layers. A claim needs both the sign-flip test,
 * after Benjamini-Hochberg over the family (the axis), and the BCa interval (field notes D; arXiv 2511.19794). */
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP "/stats/comparisons"

typedef enum measure { F1, RHO, AREA, HALF_LIFE, CENTRE, CENTRE_MASS, SALIENCY } measure;
static const char *const measure_names[] = {"f1", "rho", "area", "half_life", "centre", "centre_mass", "saliency"};

typedef struct hypothesis {
    int32_t axis, cell_a, cell_b, measure, layer;
    int32_t stage; /* -1: none */
} hypothesis;
typedef struct outcome {
    int64_t draws;
    double mean_a, mean_b, p, smallest, d_z, g_z, superiority;
    rl_estimate difference;
    int32_t n, missing, exact, equal;
} outcome;
typedef struct comparisons {
    const rl_work *work;
    int64_t count, capacity;
    hypothesis *list;
    outcome *outcomes;
} comparisons;

/* ------------------------------------------------------------------------------------------------ hypotheses */

static rl_status add(comparisons *c, hypothesis h, rl_error *err)
{
    if (c->count == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 256;
        hypothesis *list = rl_regrow(c->list, (size_t)c->capacity, (size_t)capacity, sizeof *list, err);
        if (!list) return RL_ERR_MEMORY;
        c->list = list;
        c->capacity = capacity;
    }
    c->list[c->count++] = h;
    return RL_OK;
}

static const rl_layers *layers_of(const rl_work *w, int64_t run, int64_t *row)
{
    for (int32_t m = 0; m < w->source->num_models; m++)
        if ((*row = rl_model_row(&w->source->models[m], run)) >= 0) return w->layers[m];
    return NULL;
}

/* What two arms are asked. The base stage is theirs in common and therefore not asked about. */
static rl_status add_pair(comparisons *c, int32_t axis, int32_t a, int32_t b, bool by_layer, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = c->work->source;
    int64_t row = 0;
    const rl_layers *layers = layers_of(c->work, s->first_run[a], &row);
    hypothesis h = {.axis = axis, .cell_a = a, .cell_b = b, .layer = -1};
    static const measure by_stage[] = {F1, RHO, CENTRE, CENTRE_MASS};
    for (size_t i = 0; i < sizeof by_stage / sizeof *by_stage; i++)
        for (int64_t stage = by_stage[i] == RHO ? 2 : 1; stage < s->num_stages; stage++) {
            if (!layers && by_stage[i] >= CENTRE) continue;
            h.measure = (int32_t)by_stage[i];
            h.stage = (int32_t)stage;
            RL_TRY(add(c, h, err));
        }
    h.measure = SALIENCY;
    for (int64_t stage = 1; by_layer && layers && stage < s->num_stages; stage++)
        for (h.stage = (int32_t)stage, h.layer = 0; h.layer < layers->model->layers; h.layer++) RL_TRY(add(c, h, err));
    h.layer = h.stage = -1;
    h.measure = AREA;
    RL_TRY(add(c, h, err));
    h.measure = HALF_LIFE;
    RL_TRY(add(c, h, err));
cleanup:
    return status;
}

static bool axis_is(const rl_source *s, int32_t axis, const char *name)
{
    return !strcmp(s->columns[s->axes[axis]].name, name);
}

static bool arm_is(const rl_source *s, int32_t axis, int32_t cell, const char *value)
{
    char text[64];
    rl_source_text(text, sizeof text, &s->columns[s->axes[axis]], s->first_run[cell]);
    return !strcmp(text, value);
}

static rl_status list_hypotheses(comparisons *c, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = c->work->source;
    for (int32_t axis = 2; axis < s->num_axes; axis++) {
        bool select = axis_is(s, axis, "prune.select");
        if (!s->varies[axis]) continue;
        for (int32_t a = 0; a < s->num_cells; a++) {
            bool reference = select ? arm_is(s, axis, a, "concept")
                                    : rl_source_same(&s->columns[s->axes[axis]], s->first_run[a], 0);
            for (int32_t b = 0; reference && b < s->num_cells; b++)
                if (a != b && rl_source_differ_only_in(s, a, b, axis)) RL_TRY(add_pair(c, axis, a, b, select, err));
        }
    }
cleanup:
    return status;
}

/* ---------------------------------------------------------------------------------------------------- values */

static double value_of(const rl_work *w, const hypothesis *h, int64_t run)
{
    const rl_source *s = w->source;
    int64_t row = 0;
    char name[64];
    if (!rl_source_done(s, run)) return NAN;
    if (h->measure == RHO) return w->curves->rho[run * (w->curves->num_rounds + 1) + h->stage - 1];
    if (h->measure == AREA) return w->curves->area[run];
    if (h->measure == F1) {
        snprintf(name, sizeof name, "f1_%s", "pruned");
        if (h->stage > 1) snprintf(name, sizeof name, "f1_retrained_%d", (int)h->stage - 1);
        return rl_source_number(rl_source_column_named(s, name), run);
    }
    const rl_layers *layers = layers_of(w, run, &row);
    if (!layers) return NAN;
    if (h->measure == SALIENCY) return rl_layers_value(layers, s->num_stages, row, h->stage, RL_LAYER_SALIENCY, h->layer);
    return rl_layers_value(layers, s->num_stages, row, h->stage, h->measure == CENTRE ? RL_STAGE_CENTRE : RL_STAGE_CENTRE_MASS, -1);
}

/* +1: a took longer, -1: b did, 0: the censored order is unknown or they tie (Gehan 1965's scores); NaN: no curve. */
static double who_took_longer(const rl_curves *c, int64_t a, int64_t b)
{
    int8_t x = c->censored[a], y = c->censored[b];
    double ta = c->half_life[a], tb = c->half_life[b];
    if (x < 0 || y < 0) return NAN;
    if (x == 1 && y == 1) return 0;
    if (x == 1) return ta >= tb;
    if (y == 1) return -(double)(tb >= ta);
    return (double)(ta > tb) - (double)(ta < tb);
}

/* Of the pairs those with both values; a, b, d [count]. */
static int64_t match(double *a, double *b, double *d, const rl_work *w, const hypothesis *h, const rl_run_pair *pairs, int64_t count)
{
    int64_t n = 0;
    bool life = h->measure == HALF_LIFE;
    for (int64_t i = 0; i < count; i++) {
        int32_t x = pairs[i].a, y = pairs[i].b;
        bool done = rl_source_done(w->source, x) && rl_source_done(w->source, y);
        a[n] = life ? NAN : value_of(w, h, x);
        b[n] = life ? NAN : value_of(w, h, y);
        d[n] = !life ? a[n] - b[n] : done ? who_took_longer(w->curves, x, y) : NAN;
        n += isfinite(d[n]) != 0;
    }
    return n;
}

static double mean_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return n ? sum / (double)n : NAN;
}

static rl_status judge(outcome *o, const double *a, const double *b, const double *d, int64_t n, rl_resampler *r, rl_error *err)
{
    rl_status status = rl_estimate_mean(&o->difference, r, d, n, err);
    double ahead = 0;
    rl_sign_flip test = rl_sign_flip_test(d, n);
    o->n = (int32_t)n;
    o->mean_a = mean_of(a, n);
    o->mean_b = mean_of(b, n);
    o->p = test.p;
    o->smallest = test.smallest;
    o->exact = test.exact;
    o->draws = test.draws;
    o->equal = 1;
    for (int64_t i = 0; i < n; i++) {
        ahead += d[i] > 0 ? 1 : d[i] < 0 ? 0 : 0.5;
        o->equal = o->equal && d[i] == 0;
    }
    o->superiority = n ? ahead / (double)n : NAN;
    o->d_z = o->difference.sd > 0 ? o->difference.value / o->difference.sd : NAN;
    o->g_z = o->d_z * (1 - 3 / (4 * (double)(n - 1) - 1));
    return status;
}

static rl_status test_one(outcome *o, const rl_work *w, const hypothesis *h, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *runs_a = NULL, *runs_b = NULL;
    int64_t num_a = 0, num_b = 0, seeds = 0;
    rl_run_pair *pairs = NULL;
    double *values = NULL;
    RL_TRY(rl_source_runs_of_cell(&runs_a, &num_a, w->source, h->cell_a, err));
    RL_TRY(rl_source_runs_of_cell(&runs_b, &num_b, w->source, h->cell_b, err));
    RL_ALLOC(pairs, num_a + 1, err);
    RL_ALLOC(values, 3 * (num_a + 1), err);
    double *a = values, *b = a + num_a + 1, *d = b + num_a + 1; /* match writes one place beyond what it keeps */
    int64_t n = match(a, b, d, w, h, pairs, rl_source_pair_seeds(pairs, &seeds, w->source, runs_a, num_a, runs_b, num_b));
    o->missing = (int32_t)(seeds - n);
    RL_TRY(judge(o, a, b, d, n, w->resampler, err));
cleanup:
    rl_free(runs_a);
    rl_free(runs_b);
    rl_free(pairs);
    rl_free(values);
    return status;
}

static rl_status test_all(comparisons *c, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = c->work->source;
    c->outcomes = rl_calloc((size_t)c->count, sizeof *c->outcomes, err);
    if (!c->outcomes) status = RL_ERR_MEMORY;
    for (int64_t i = s->rank; status == RL_OK && i < c->count; i += s->size)
        status = test_one(&c->outcomes[i], c->work, &c->list[i], err);
    status = rl_source_agree(s, status, err);
    if (status == RL_OK) rl_combine(s->comm, c->outcomes, (size_t)c->count * sizeof *c->outcomes);
    return status;
}

/* ------------------------------------------------------------------------------------------------- verdicts */

typedef struct verdicts {
    double *p, *adjusted, *sorted; /* of one family, then */
    double *p_adjusted, *coverage; /* of all */
    int32_t *family_size, *seeds_needed, *seeds_needed_alone;
    int8_t *claimed;
    char (*text)[64];
} verdicts;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void pronounce(verdicts *v, int64_t i, const outcome *o, double adjusted, int64_t m)
{
    bool excludes = o->difference.low > 0 || o->difference.high < 0;
    v->p_adjusted[i] = adjusted;
    v->family_size[i] = (int32_t)m;
    v->coverage[i] = rl_largest_coverage(o->n);
    v->claimed[i] = (int8_t)(adjusted <= RL_STATS_Q && excludes);
    v->seeds_needed[i] = rl_pairs_needed(o->d_z, RL_STATS_Q / (double)m, RL_STATS_POWER);
    v->seeds_needed_alone[i] = rl_pairs_needed(o->d_z, RL_STATS_Q, RL_STATS_POWER);
    if (o->n == 0)
        snprintf(v->text[i], sizeof v->text[i], "no pairs");
    else if (v->claimed[i])
        snprintf(v->text[i], sizeof v->text[i], "claimed");
    else if (o->equal)
        snprintf(v->text[i], sizeof v->text[i], "no difference");
    else if (o->smallest > RL_STATS_Q || !rl_could_be_claimed(v->sorted, m, o->p, o->smallest, RL_STATS_Q))
        snprintf(v->text[i], sizeof v->text[i], "cannot be significant with %d seed%s", (int)o->n, o->n == 1 ? "" : "s");
    else
        snprintf(v->text[i], sizeof v->text[i], "not claimed");
}

/* The hypotheses of one axis are next to each other: first .. end - 1. */
static rl_status judge_family(verdicts *v, const comparisons *c, int64_t first, int64_t end, rl_error *err)
{
    int64_t m = 0, sorted = 0;
    for (int64_t i = first; i < end; i++) v->p[i - first] = c->outcomes[i].n ? c->outcomes[i].p : NAN;
    rl_status status = rl_benjamini_hochberg(v->adjusted, &m, v->p, end - first, err);
    if (status != RL_OK) return status;
    for (int64_t i = 0; i < end - first; i++)
        if (!isnan(v->p[i])) v->sorted[sorted++] = v->p[i];
    qsort(v->sorted, (size_t)sorted, sizeof *v->sorted, ascending);
    for (int64_t i = first; i < end; i++) pronounce(v, i, &c->outcomes[i], v->adjusted[i - first], m);
    return RL_OK;
}

static rl_status judge_all(verdicts *v, const comparisons *c, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(v->p, c->count, err);
    RL_ALLOC(v->adjusted, c->count, err);
    RL_ALLOC(v->sorted, c->count, err);
    RL_ALLOC(v->p_adjusted, c->count, err);
    RL_ALLOC(v->coverage, c->count, err);
    RL_ALLOC(v->family_size, c->count, err);
    RL_ALLOC(v->seeds_needed, c->count, err);
    RL_ALLOC(v->seeds_needed_alone, c->count, err);
    RL_ALLOC(v->claimed, c->count, err);
    RL_ALLOC(v->text, c->count, err);
    for (int64_t first = 0, end; first < c->count; first = end) {
        for (end = first; end < c->count && c->list[end].axis == c->list[first].axis; end++) {}
        RL_TRY(judge_family(v, c, first, end, err));
    }
cleanup:
    return status;
}

/* --------------------------------------------------------------------------------------------------- output */

static const rl_shape shape = {.group = GROUP, .num_dims = 1, .dims = {"comparison"},
                               .method = "arm a minus arm b, paired by seed; sign-flip permutation and BCa bootstrap"};

typedef rl_status text_of(char **out, const comparisons *c, const hypothesis *h, rl_error *err);

static rl_status copy_text(char **out, const char *text, rl_error *err) { return (*out = rl_strdup(text, err)) ? RL_OK : RL_ERR_MEMORY; }
static rl_status family_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err)
{
    return copy_text(out, c->work->source->columns[c->work->source->axes[h->axis]].name, err);
}
static rl_status arm_text(char **out, const comparisons *c, const hypothesis *h, int32_t cell, rl_error *err)
{
    char text[4200];
    const rl_source *s = c->work->source;
    rl_source_text(text, sizeof text, &s->columns[s->axes[h->axis]], s->first_run[cell]);
    return copy_text(out, text, err);
}
static rl_status arm_a_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err) { return arm_text(out, c, h, h->cell_a, err); }
static rl_status arm_b_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err) { return arm_text(out, c, h, h->cell_b, err); }
static rl_status context_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err)
{
    return rl_source_label(out, c->work->source, h->cell_a, h->axis, err);
}
static rl_status measure_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err)
{
    (void)c;
    return copy_text(out, measure_names[h->measure], err);
}
static rl_status stage_text(char **out, const comparisons *c, const hypothesis *h, rl_error *err)
{
    char text[32] = "";
    (void)c;
    if (h->stage >= 0) snprintf(text, sizeof text, h->stage < 2 ? "pruned" : "retrained_%d", (int)h->stage - 1);
    return copy_text(out, text, err);
}

static rl_status output_text(rl_outputs *o, const comparisons *c, const char *name, text_of *text, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    char **texts = NULL;
    RL_ALLOC(texts, c->count, err);
    for (int64_t i = 0; i < c->count; i++) RL_TRY(text(&texts[i], c, &c->list[i], err));
    RL_TRY(rl_outputs_add_texts(o, &shape, name, (const char *const *)texts, c->count, long_name, err));
cleanup:
    for (int64_t i = 0; texts && i < c->count; i++) rl_free(texts[i]);
    rl_free(texts);
    return status;
}

static rl_status output_verdicts(rl_outputs *o, const comparisons *c, const verdicts *v, rl_error *err)
{
    rl_status status = RL_OK;
    const char **texts = NULL;
    RL_ALLOC(texts, c->count, err);
    for (int64_t i = 0; i < c->count; i++) texts[i] = v->text[i];
    RL_TRY(rl_outputs_add_texts(o, &shape, "verdict", texts, c->count, "what may be said", err));
    RL_TRY(rl_outputs_add(o, &shape, "p_adjusted", RL_F64, 0, v->p_adjusted, "Benjamini-Hochberg over the family", err));
    RL_TRY(rl_outputs_add(o, &shape, "coverage_at_most", RL_F64, 0, v->coverage,
                          "what the interval of so few pairs can cover at most: 0.95, 1 - 2^(1-n) below 6", err));
    RL_TRY(rl_outputs_add(o, &shape, "family_size", RL_I32, 0, v->family_size, "hypotheses with a p in the family", err));
    RL_TRY(rl_outputs_add(o, &shape, "claimed", RL_I8, 0, v->claimed, "1: both test and interval say so", err));
    RL_TRY(rl_outputs_add(o, &shape, "seeds_needed", RL_I32, 0, v->seeds_needed,
                          "pairs for 80 % power at level q/family_size, paired t; -1: none or > 10000", err));
    RL_TRY(rl_outputs_add(o, &shape, "seeds_needed_alone", RL_I32, 0, v->seeds_needed_alone,
                          "pairs for 80 % power at level q, paired t; -1: none or > 10000", err));
cleanup:
    rl_free(texts);
    return status;
}

/* One member of every outcome or hypothesis, found by its offset. */
static rl_status output_member(rl_outputs *o, const comparisons *c, const char *name, rl_element element, const void *first,
                               size_t stride, const char *long_name, rl_error *err)
{
    rl_status status = RL_OK;
    size_t width = rl_element_width(element);
    char *values = NULL;
    RL_ALLOC(values, (size_t)c->count * width, err);
    for (int64_t i = 0; i < c->count; i++)
        memcpy(values + (size_t)i * width, (const char *)first + (size_t)i * stride, width); /* little-endian: i8 of an int32 too */
    RL_TRY(rl_outputs_add(o, &shape, name, element, 0, values, long_name, err));
cleanup:
    rl_free(values);
    return status;
}

static rl_status output_all(rl_outputs *o, const comparisons *c, const verdicts *v, rl_error *err)
{
    rl_status status = RL_OK;
    const hypothesis *h = c->list;
    const outcome *r = c->outcomes;
    const struct {
        const char *name;
        rl_element element;
        const void *first;
        size_t stride;
        const char *long_name;
    } members[] = {{"cell_a", RL_I32, &h->cell_a, sizeof *h, "cell of arm a"},
                   {"cell_b", RL_I32, &h->cell_b, sizeof *h, "cell of arm b"},
                   {"layer", RL_I32, &h->layer, sizeof *h, "layer; -1: not by layer"},
                   {"n", RL_I32, &r->n, sizeof *r, "pairs"},
                   {"missing", RL_I32, &r->missing, sizeof *r, "seeds without a pair"},
                   {"mean_a", RL_F64, &r->mean_a, sizeof *r, "mean of arm a over the pairs"},
                   {"mean_b", RL_F64, &r->mean_b, sizeof *r, "mean of arm b over the pairs"},
                   {"difference", RL_F64, &r->difference.value, sizeof *r, "mean paired difference"},
                   {"low", RL_F64, &r->difference.low, sizeof *r, "lower end of its BCa interval"},
                   {"high", RL_F64, &r->difference.high, sizeof *r, "upper end of its BCa interval"},
                   {"p", RL_F64, &r->p, sizeof *r, "two-sided sign-flip permutation test"},
                   {"p_smallest", RL_F64, &r->smallest, sizeof *r, "smallest p that so many pairs can give"},
                   {"exact", RL_I8, &r->exact, sizeof *r, "1: all sign flips; 0: drawn"},
                   {"draws", RL_I64, &r->draws, sizeof *r, "sign flips looked at"},
                   {"d_z", RL_F64, &r->d_z, sizeof *r, "mean difference / sd of the differences"},
                   {"g_z", RL_F64, &r->g_z, sizeof *r, "d_z with Hedges' correction"},
                   {"superiority", RL_F64, &r->superiority, sizeof *r, "P(a > b) + P(a = b)/2"}};
    RL_TRY(rl_outputs_add_count(o, GROUP, "comparison", c->count, "hypothesis", err));
    RL_TRY(output_text(o, c, "family", family_text, "axis in which the arms differ", err));
    RL_TRY(output_text(o, c, "arm_a", arm_a_text, "value of the axis in arm a", err));
    RL_TRY(output_text(o, c, "arm_b", arm_b_text, "value of the axis in arm b", err));
    RL_TRY(output_text(o, c, "context", context_text, "the other axes that vary", err));
    RL_TRY(output_text(o, c, "measure", measure_text, "what is compared", err));
    RL_TRY(output_text(o, c, "stage", stage_text, "stage; empty: the whole retraining", err));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        RL_TRY(output_member(o, c, members[i].name, members[i].element, members[i].first, members[i].stride, members[i].long_name, err));
    RL_TRY(output_verdicts(o, c, v, err));
cleanup:
    return status;
}

static void free_all(comparisons *c, verdicts *v)
{
    rl_free(c->list);
    rl_free(c->outcomes);
    rl_free(v->p);
    rl_free(v->adjusted);
    rl_free(v->sorted);
    rl_free(v->p_adjusted);
    rl_free(v->coverage);
    rl_free(v->family_size);
    rl_free(v->seeds_needed);
    rl_free(v->seeds_needed_alone);
    rl_free(v->claimed);
    rl_free(v->text);
}

rl_status rl_step_comparisons(const rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    comparisons c = {.work = w};
    verdicts v = {0};
    bool select = false;
    RL_TRY(list_hypotheses(&c, err));
    for (int64_t i = 0; i < c.count && !select; i++) select = axis_is(w->source, c.list[i].axis, "prune.select");
    if (!select) RL_TRY(rl_outputs_skip(o, err, "comparisons: no concept arm beside a control; add the axis prune.select: [concept, random]"));
    if (c.count == 0) goto cleanup;
    RL_TRY(test_all(&c, err));
    RL_TRY(judge_all(&v, &c, err));
    RL_TRY(output_all(o, &c, &v, err));
cleanup:
    free_all(&c, &v);
    return status;
}
