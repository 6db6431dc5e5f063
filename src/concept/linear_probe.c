/* linear_probe.c -- elastic-net logistic regression of the concept on one layer's neurons, solved to a stated residual.
 *
 * Proximal Newton (Lee, Sun, Saunders, Proximal Newton-type methods, 2014; glmnet's way, Friedman, Hastie, Tibshirani
 * 2010): the loss is replaced by its quadratic at the present w, that with both penalties is minimised by coordinate
 * descent, and a line search guards the step. Gradient and loss are in double, so they alone decide where it ends; the
 * Hessian is a float32 product, 2 n C^2 flops a step and nearly all of the cost.
 *
 * Unknowns are the C weights of the standardised neurons and, last, the intercept, which is not penalised. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-8     /* of the optimality residual; mean losses are of order 1 */
#define MAX_STEPS 100
#define MAX_SWEEPS 2000    /* of coordinate descent in one step */
#define BLOCK 1024         /* words of one product */
#define LANES 8

typedef struct problem {
    const float *X;
    const uint8_t *left_out;     /* [W] or NULL */
    const uint8_t *is_concept;   /* [W] */
    int64_t W, C, n;             /* n words are trained on */
    double lambda1, lambda2;
    double *mean, *sd;           /* [C] of the words trained on; sd 0: the neuron stays out */
    double *w, *step, *gradient; /* [C + 1] */
    double *curved;              /* [C + 1] H step */
    double *scaled;              /* [C] */
    double *margin, *slope;      /* [W] b + w.z and the same of the step */
    double *H;                   /* [C + 1, C + 1] */
    float *rows, *product;       /* [BLOCK, C + 1], [C + 1, C + 1] */
} problem;

rl_probe_settings rl_probe_defaults(void)
{
    return (rl_probe_settings){.lambda1 = 1e-3, .lambda2 = 1e-3, .control = true};
}

static bool trained_on(const problem *p, int64_t w)
{
    return !p->left_out || !p->left_out[w];
}

/* ------------------------------------------------------------------------------------------ margins and loss */

RL_PER_ISA static double dot(const double *restrict a, const float *restrict x, int64_t C)
{
    double lane[LANES] = {0}, sum = 0;
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += a[c + j] * (double)x[c + j];
    for (; c < C; c++) sum += a[c] * (double)x[c];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

/* margin[w] = v[C] + sum_c v_c z_wc of every word, held-out ones too. */
static void find_margins(problem *p, double *margin, const double *v)
{
    double offset = v[p->C];
    for (int64_t c = 0; c < p->C; c++) {
        p->scaled[c] = p->sd[c] > 0 ? v[c] / p->sd[c] : 0;
        offset -= p->scaled[c] * p->mean[c];
    }
    for (int64_t w = 0; w < p->W; w++) margin[w] = offset + dot(p->scaled, p->X + w * p->C, p->C);
}

/* ln(1 + exp(-m)) */
static double log_loss(double m)
{
    return m > 0 ? log1p(exp(-m)) : log1p(exp(m)) - m;
}

static double probability(double m)
{
    return m > 0 ? 1 / (1 + exp(-m)) : exp(m) / (1 + exp(m));
}

/* Mean loss and penalties at w + t step. */
static double objective(const problem *p, double t)
{
    double loss = 0, l1 = 0, l2 = 0;
    for (int64_t w = 0; w < p->W; w++) {
        double m = p->margin[w] + t * p->slope[w];
        if (trained_on(p, w)) loss += log_loss(p->is_concept[w] ? m : -m);
    }
    for (int64_t c = 0; c < p->C; c++) {
        double v = p->w[c] + t * p->step[c];
        l1 += fabs(v);
        l2 += v * v;
    }
    return loss / (double)p->n + p->lambda1 * l1 + 0.5 * p->lambda2 * l2;
}

/* ------------------------------------------------------------------------------------- gradient and residual */

RL_PER_ISA static void add_scaled(double *restrict y, const float *restrict x, double a, int64_t C)
{
    for (int64_t c = 0; c < C; c++) y[c] += a * (double)x[c];
}

/* Of the mean loss alone. */
static void find_gradient(problem *p)
{
    double *g = p->gradient, total = 0, n = (double)p->n;
    memset(g, 0, (size_t)(p->C + 1) * sizeof *g);
    for (int64_t w = 0; w < p->W; w++) {
        if (!trained_on(p, w)) continue;
        double r = probability(p->margin[w]) - (p->is_concept[w] ? 1 : 0);
        total += r;
        add_scaled(g, p->X + w * p->C, r, p->C);
    }
    for (int64_t c = 0; c < p->C; c++) g[c] = p->sd[c] > 0 ? (g[c] - p->mean[c] * total) / p->sd[c] / n : 0;
    g[p->C] = total / n;
}

/* How far from 0 the nearest subgradient of the objective is, in its worst entry. */
static double residual(const problem *p)
{
    double worst = fabs(p->gradient[p->C]);
    for (int64_t c = 0; c < p->C; c++) {
        double g = p->gradient[c] + p->lambda2 * p->w[c], off;
        off = p->w[c] != 0 ? fabs(g + copysign(p->lambda1, p->w[c])) : fmax(fabs(g) - p->lambda1, 0);
        worst = fmax(worst, off);
    }
    return worst;
}

/* -------------------------------------------------------------------------------------------------- curvature */

/* Row of one word: sqrt(p (1 - p)) (z, 1), so that the product of the rows with themselves is the Hessian. */
static void fill_row(const problem *p, float *row, int64_t w)
{
    double chance = probability(p->margin[w]), root = sqrt(chance * (1 - chance));
    for (int64_t c = 0; c < p->C; c++)
        row[c] = p->sd[c] > 0 ? (float)(root * ((double)p->X[w * p->C + c] - p->mean[c]) / p->sd[c]) : 0.0f;
    row[p->C] = (float)root;
}

static void add_block(problem *p, int64_t rows)
{
    int64_t D = p->C + 1;
    rl_gemm(true, false, D, D, rows, 1.0f, p->rows, D, p->rows, D, 0.0f, p->product, D);
    for (int64_t i = 0; i < D * D; i++) p->H[i] += (double)p->product[i] / (double)p->n;
}

static void find_curvature(problem *p)
{
    int64_t D = p->C + 1, rows = 0;
    memset(p->H, 0, (size_t)(D * D) * sizeof *p->H);
    for (int64_t w = 0; w < p->W; w++) {
        if (!trained_on(p, w)) continue;
        fill_row(p, p->rows + rows++ * D, w);
        if (rows == BLOCK) add_block(p, rows), rows = 0;
    }
    if (rows) add_block(p, rows);
}

/* ------------------------------------------------------------------------------------- one Newton direction */

static double soft(double x, double threshold)
{
    return x > threshold ? x - threshold : x < -threshold ? x + threshold : 0;
}

RL_PER_ISA static void add_column(double *restrict y, const double *restrict column, double a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * column[i];
}

/* The best value of unknown j with the others fixed; returns how much that changed the model's slope. */
static double descend(problem *p, int64_t j)
{
    int64_t D = p->C + 1;
    bool intercept = j == p->C;
    double curvature = p->H[j * D + j] + (intercept ? 0 : p->lambda2);
    if (!(curvature > 0)) return 0; /* a neuron without spread */
    double now = p->w[j] + p->step[j], slope = p->gradient[j] + p->curved[j] + (intercept ? 0 : p->lambda2 * now);
    double next = now - slope / curvature, change;
    if (!intercept) next = soft(next, p->lambda1 / curvature);
    change = next - now;
    if (change == 0) return 0;
    p->step[j] += change;
    add_column(p->curved, p->H + j * D, change, D);
    return fabs(change) * curvature;
}

static void find_step(problem *p, double enough)
{
    memset(p->step, 0, (size_t)(p->C + 1) * sizeof *p->step);
    memset(p->curved, 0, (size_t)(p->C + 1) * sizeof *p->curved);
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        double worst = 0;
        for (int64_t j = p->C; j >= 0; j--) worst = fmax(worst, descend(p, j)); /* the intercept first */
        if (worst <= enough) return;
    }
}

/* What the step promises: slope of the loss along it plus the change of the penalties. */
static double promised(const problem *p)
{
    double sum = p->gradient[p->C] * p->step[p->C];
    for (int64_t c = 0; c < p->C; c++) {
        double a = p->w[c], b = p->w[c] + p->step[c];
        sum += p->gradient[c] * p->step[c] + p->lambda1 * (fabs(b) - fabs(a)) + 0.5 * p->lambda2 * (b * b - a * a);
    }
    return sum;
}

/* The last steps lower the objective by less than its rounding: that much is forgiven. */
static void take_step(problem *p)
{
    double before, expected = promised(p), t = 1;
    memset(p->slope, 0, (size_t)p->W * sizeof *p->slope);
    find_margins(p, p->slope, p->step);
    before = objective(p, 0);
    while (t > 1e-6 && objective(p, t) > before + 1e-4 * t * expected + 1e-13 * fabs(before)) t *= 0.5;
    for (int64_t c = 0; c <= p->C; c++) p->w[c] += t * p->step[c];
    find_margins(p, p->margin, p->w);
}

/* --------------------------------------------------------------------------------------------------- one fit */

static rl_status minimise(problem *p, int64_t *iterations, double *left, rl_error *err)
{
    rl_status status = RL_OK;
    memset(p->w, 0, (size_t)(p->C + 1) * sizeof *p->w);
    memset(p->margin, 0, (size_t)p->W * sizeof *p->margin);
    for (*iterations = 0; *iterations < MAX_STEPS; ++*iterations) {
        find_gradient(p);
        *left = residual(p);
        if (*left <= TOLERANCE) return RL_OK;
        if (rl_work_should_stop()) return rl_fail(err, RL_ERR_STOPPED, "stopped on request during a linear probe");
        find_curvature(p);
        find_step(p, 0.1 * fmin(*left, sqrt(*left) * *left)); /* sharper as it closes in, to keep Newton's rate */
        take_step(p);
    }
    status = rl_fail(err, RL_ERR_DIVERGED,
                     "the linear probe is %.1e from its optimum after %d steps; expected %.0e; a larger lambda2 makes the "
                     "problem easier",
                     *left, MAX_STEPS, TOLERANCE);
    return status;
}

/* Share of the held-out words told right; NaN without any. */
static double held_out_accuracy(const problem *p)
{
    int64_t words = 0, right = 0;
    for (int64_t w = 0; w < p->W; w++) {
        if (trained_on(p, w)) continue;
        words++;
        right += (p->margin[w] > 0) == (p->is_concept[w] != 0);
    }
    return words ? (double)right / (double)words : NAN;
}

static rl_status prepare(problem *p, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t D = p->C + 1;
    RL_ALLOC(p->mean, p->C, err);
    RL_ALLOC(p->sd, p->C, err);
    RL_ALLOC(p->w, D, err);
    RL_ALLOC(p->step, D, err);
    RL_ALLOC(p->gradient, D, err);
    RL_ALLOC(p->curved, D, err);
    RL_ALLOC(p->scaled, p->C, err);
    RL_ALLOC(p->margin, p->W, err);
    RL_ALLOC(p->slope, p->W, err);
    RL_ALLOC(p->H, D * D, err);
    RL_ALLOC(p->rows, BLOCK * D, err);
    RL_ALLOC(p->product, D * D, err);
    rl_column_moments(p->mean, p->sd, p->X, p->left_out, p->W, p->C);
cleanup:
    return status;
}

static void release(problem *p)
{
    rl_free(p->mean);
    rl_free(p->sd);
    rl_free(p->w);
    rl_free(p->step);
    rl_free(p->gradient);
    rl_free(p->curved);
    rl_free(p->scaled);
    rl_free(p->margin);
    rl_free(p->slope);
    rl_free(p->H);
    rl_free(p->rows);
    rl_free(p->product);
}

/* Words trained on, and how many of them are concept. */
static int64_t count_trained(problem *p)
{
    int64_t concept = 0;
    p->n = 0;
    for (int64_t w = 0; w < p->W; w++) {
        if (!trained_on(p, w)) continue;
        p->n++;
        concept += p->is_concept[w] != 0;
    }
    return concept;
}

/* ---------------------------------------------------------------------------------------------- control task */

/* control [W]: every word of a type has the type's own label, concept with the concept's share. */
static void draw_control(uint8_t *control, const problem *p, const int32_t *word_type, uint64_t seed)
{
    int64_t concept = 0;
    for (int64_t w = 0; w < p->W; w++) concept += p->is_concept[w] != 0;
    for (int64_t w = 0; w < p->W; w++)
        control[w] = rl_rng_uniform(seed, RL_PURPOSE_CONTROL_LABELS, 0, 0, (uint64_t)word_type[w]) <
                     (double)concept / (double)p->W;
}

/* NaN where the draw left one label out: there is nothing to learn then. */
static rl_status control_accuracy(double *accuracy, problem *p, const int32_t *word_type, uint64_t seed, rl_error *err)
{
    rl_status status = RL_OK;
    uint8_t *control = NULL;
    int64_t steps, concept;
    double left;
    RL_ALLOC(control, p->W, err);
    draw_control(control, p, word_type, seed);
    p->is_concept = control;
    concept = count_trained(p);
    *accuracy = NAN;
    if (concept == 0 || concept == p->n) goto cleanup;
    RL_TRY(minimise(p, &steps, &left, err));
    *accuracy = held_out_accuracy(p);
cleanup:
    rl_free(control);
    return rl_error_while(err, status, "fitting the control task");
}

/* ---------------------------------------------------------------------------------------------- weight mass */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of sorted[C], ascending, are at most `size`. */
static int64_t count_up_to(const double *sorted, int64_t C, double size)
{
    int64_t low = 0, high = C;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sorted[middle] <= size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

rl_status rl_weight_mass(double *score, const double *weight, int64_t C, rl_error *err)
{
    rl_status status = RL_OK;
    double *sorted = NULL, *mass = NULL; /* mass[i]: of the i smallest */
    RL_ALLOC(sorted, C, err);
    RL_ALLOC(mass, C + 1, err);
    for (int64_t c = 0; c < C; c++) sorted[c] = fabs(weight[c]);
    qsort(sorted, (size_t)C, sizeof *sorted, by_size);
    for (int64_t c = 0; c < C; c++) mass[c + 1] = mass[c] + sorted[c];
    for (int64_t c = 0; c < C; c++)
        score[c] = mass[C] > 0 ? mass[count_up_to(sorted, C, fabs(weight[c]))] / mass[C] : 0;
cleanup:
    rl_free(sorted);
    rl_free(mass);
    return status;
}

rl_status rl_linear_probe(double *weight, rl_probe_result *result, const float *X, const uint8_t *is_concept,
                          const uint8_t *held_out, const int32_t *word_type, int64_t W, int64_t C,
                          const rl_probe_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    problem p = {.X = X, .left_out = held_out, .is_concept = is_concept, .W = W, .C = C};
    rl_probe_result found = {.control_accuracy = NAN};
    double *kept = NULL;
    int64_t concept = count_trained(&p);
    p.lambda1 = settings->lambda1;
    p.lambda2 = settings->lambda2;
    if (concept == 0 || concept == p.n)
        return rl_fail(err, RL_ERR_INPUT,
                       "%s of the %" PRId64 " words the linear probe trains on is of the concept; expected some and not all",
                       concept ? "every one" : "none", p.n);
    RL_TRY(rl_check_finite(X, W, C, err));
    RL_ALLOC(kept, C, err);
    RL_TRY(prepare(&p, err));
    RL_TRY(minimise(&p, &found.iterations, &found.residual, err));
    found.accuracy = held_out_accuracy(&p);
    found.intercept = p.w[C];
    memcpy(kept, p.w, (size_t)C * sizeof *kept); /* the control fit overwrites w */
    if (settings->control && held_out)
        RL_TRY(control_accuracy(&found.control_accuracy, &p, word_type, settings->seed, err));
    memcpy(weight, kept, (size_t)C * sizeof *weight);
    *result = found;
cleanup:
    rl_free(kept);
    release(&p);
    return status;
}
