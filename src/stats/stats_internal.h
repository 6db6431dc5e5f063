/* stats_internal.h -- what the files of src/stats share.
 *
 * distributions.c  normal, t, F, noncentral t, hypergeometric
 * resample.c       BCa bootstrap, sign-flip test, Benjamini-Hochberg, power
 * ranks.c          pairs of seeds, censored medians
 * source.c         results.h5 as statistics see it: columns, axes, cells, models
 * outputs.c        /stats in memory: datasets with scales and attributes; write.c: into results.h5, safely
 * curves.c         per run: recovery, half-life, area          -> /stats/runs, /stats/recovery
 * layers.c         per run, stage and layer: saliency, mass, ... -> /stats/layers
 * cells.c          planned, done, failed; scores               -> /stats/cells, /stats/scores
 * compare.c        arm against arm, paired by seed             -> /stats/comparisons
 * robustness.c     gain against a model that never learned  -> /stats/robustness
 * agreement.c      seeds and finders with each other           -> /stats/agreement, /stats/finders
 * matrix.c         block-cyclic matrices from hyperslabs; ScaLAPACK
 * components.c, regression.c, variance.c                       -> /stats/components, regression, variance
 * drift.c          new seeds against accumulated ones, for nightly
 * findings.c       the main findings as JSON
 * stats.c          all of it in order */
#ifndef RELEARN_STATS_INTERNAL_H
#define RELEARN_STATS_INTERNAL_H

#include "relearn/stats.h"

#include "store/h5.h"

#define RL_STATS_FORMAT        "relearn stats 1"
#define RL_STATS_LEVEL         0.95
#define RL_STATS_Q             0.05
#define RL_STATS_POWER         0.8
#define RL_STATS_DRAWS         ((int64_t)5000) /* of the bootstrap */
#define RL_STATS_FLIPS         ((int64_t)99999)
#define RL_STATS_EXACT_PAIRS   20
#define RL_STATS_MOST_PAIRS    10000
#define RL_STATS_PAIRED_SEEDS  64 /* seeds of a cell that are paired with each other */
#define RL_STATS_SEED          0
#define RL_STATS_SALIENT       0.5
#define RL_STATS_SMALLEST_DROP 0.01 /* F1 lost to pruning below which recovery means nothing */

/* --------------------------------------------------------------------------------------- distributions.c */

double rl_normal_cdf(double x);
double rl_normal_quantile(double p);
double rl_incomplete_beta(double a, double b, double x); /* regularised */
double rl_student_two_sided(double t, double df);        /* P(|T| > |t|) */
double rl_student_critical(double p, double df);         /* t with P(|T| > t) = p */
double rl_f_upper(double F, double df1, double df2);
double rl_noncentral_t_cdf(double t, double df, double delta);
/* Random sets of a and b out of n: P(at least x in common); expected Jaccard index. */
double rl_overlap_upper(int64_t n, int64_t a, int64_t b, int64_t x);
double rl_jaccard_chance(int64_t n, int64_t a, int64_t b);

/* -------------------------------------------------------------------------------------------- resample.c */

typedef struct rl_estimate {
    double value, low, high, sd;
    int32_t n;
} rl_estimate;
typedef struct rl_resampler rl_resampler; /* caches the draws of one n */
rl_status rl_resampler_create(rl_resampler **out, rl_error *err);
void rl_resampler_free(rl_resampler *r);
/* Mean of the finite values with its BCa interval. One value: no interval. Equal values: an interval of width 0. */
rl_status rl_estimate_mean(rl_estimate *out, rl_resampler *r, const double *values, int64_t n, rl_error *err);
/* What an interval of the mean over n seeds can cover at most, NaN without one. A bootstrap interval lies within the range of
 * its n values, and that range misses the centre of a symmetric distribution whenever all values lie on one side of it:
 * 2^(1-n). Below 6 seeds 95 % are out of reach. */
double rl_largest_coverage(int64_t n);
/* draws are reordered. */
void rl_bca_interval(double *low, double *high, double value, double *draws, int64_t num_draws, const double *jackknife,
                     int64_t n, double level);
typedef struct rl_sign_flip {
    double p, smallest;
    bool exact;
    int64_t draws;
} rl_sign_flip;
rl_sign_flip rl_sign_flip_test(const double *d, int64_t n); /* two-sided, of the mean */
rl_status rl_benjamini_hochberg(double *adjusted, int64_t *family_size, const double *p, int64_t n, rl_error *err);
bool rl_could_be_claimed(const double *sorted, int64_t m, double p, double smallest, double q);
double rl_paired_power(double d_z, int64_t n, double level);
int32_t rl_pairs_needed(double d_z, double level, double power);

/* ----------------------------------------------------------------------------------------------- ranks.c */

void rl_pair_mean(rl_estimate *out, const double *values, int64_t n);
rl_status rl_median_life(double *median, double *low, double *high, const double *time, const int8_t *censored,
                         int64_t n, rl_error *err);

/* ---------------------------------------------------------------------------------------------- source.c */

typedef struct rl_source_column { /* of /runs */
    char *name, *long_name;
    rl_array array; /* [num_runs] */
    unsigned char *values;
} rl_source_column;
typedef struct rl_source_model {
    char *name;
    int64_t num_rows, layers, hidden_size, neurons;
    int32_t *run_of_row; /* [num_rows] index into /runs */
    int32_t num_cells;
    int32_t *cells;      /* [num_cells] cells with a run of this model, ascending */
} rl_source_model;
typedef struct rl_source {
    MPI_Comm comm;
    int rank, size;
    const char *path;
    rl_place file;  /* open on all ranks; each reads its own rows when it wants to */
    bool *parted;   /* all ranks know of a failure */
    char *created;
    int64_t num_runs, num_done;
    int32_t num_columns;
    rl_source_column *columns;
    int32_t num_axes, *axes; /* columns of the grid's axes but seed: model, concept, then the rest by name */
    bool *varies;            /* [num_axes] */
    bool seed_varies;
    const int64_t *seed;     /* [num_runs] */
    int64_t num_stages;
    int32_t num_cells, *cell_of_run, *first_run; /* [num_runs], [num_cells] */
    int32_t num_models;
    rl_source_model *models;
} rl_source;
/* Collective. The lowest failing rank's status and message on every rank, as rl_store_agree; but once all ranks know of a
 * failure they are on their way out and wait for each other no more. So a rank whose own work fails may return at once, up to
 * the agreement around everything: it meets the others in whichever agreement they come to next. What this asks for: between
 * work that can fail on one rank and the next collective call there is an agreement. */
rl_status rl_source_agree(const rl_source *source, rl_status status, rl_error *err);
/* Collective. */
rl_status rl_source_open(rl_source **out, MPI_Comm comm, const char *path, rl_error *err);
void rl_source_close(rl_source *source);
const rl_source_column *rl_source_column_named(const rl_source *source, const char *name); /* NULL */
/* A value of a column as text / as a number (NaN for text). */
void rl_source_text(char *text, size_t size, const rl_source_column *column, int64_t run);
double rl_source_number(const rl_source_column *column, int64_t run);
bool rl_source_same(const rl_source_column *column, int64_t a, int64_t b);
bool rl_source_done(const rl_source *source, int64_t run);
/* "prune.select=concept, prune.ratio=0.3" of a cell's varying axes, one axis left out (-1: none); "all" when none is left. */
rl_status rl_source_label(char **out, const rl_source *source, int32_t cell, int32_t without, rl_error *err);
/* Runs of a cell in order of seed: *count of them; rl_free. */
rl_status rl_source_runs_of_cell(int32_t **runs, int64_t *count, const rl_source *source, int32_t cell, rl_error *err);
/* Runs of two lists in order of seed that have a seed in common; *num_seeds (may be NULL): seeds of either. pairs [num_a]. */
typedef struct rl_run_pair {
    int32_t a, b;
} rl_run_pair;
int64_t rl_source_pair_seeds(rl_run_pair *pairs, int64_t *num_seeds, const rl_source *source, const int32_t *a, int64_t num_a,
                             const int32_t *b, int64_t num_b);
/* One stage of one run [N] of a neuron array, as doubles. Not collective. */
rl_status rl_read_stage(double *out, rl_place dataset, int64_t row, int64_t stage, int64_t N, rl_error *err);
/* Cells that differ in axis `axis` alone. */
bool rl_source_differ_only_in(const rl_source *source, int32_t a, int32_t b, int32_t axis);
/* Add the ranks' arrays of which each element is zero but on one rank: exact, whatever the order. */
void rl_combine(MPI_Comm comm, void *values, size_t bytes);

/* --------------------------------------------------------------------------------------------- outputs.c */

typedef struct rl_output {
    char *path;        /* "/stats/scores/f1" */
    rl_array array;
    void *values;
    bool is_scale;
    char *scales[4];   /* paths of the dimensions' scales; NULL */
    const char *units; /* static text */
    char *long_name, *method, *interval;
    double coverage;   /* of the interval with the fewest seeds at most; 0: no attribute */
    int64_t n;         /* -1: no attribute */
    bool portable;     /* the same bytes at any number of ranks */
} rl_output;
typedef struct rl_outputs {
    int32_t count, capacity;
    rl_output *items;
    int32_t num_attributes;
    struct {
        char *path, *name, *text; /* of a group */
    } attributes[64];
    rl_buffer skipped;
} rl_outputs;
void rl_outputs_clear(rl_outputs *outputs);
/* The description of what follows: kept by the caller. */
typedef struct rl_shape {
    const char *group;                     /* "/stats/layers/minilm" */
    int num_dims;
    const char *dims[4];                   /* names of scales in the group */
    const char *units, *method;            /* units NULL: text */
    bool approximate;                      /* ScaLAPACK: last bits depend on the ranks */
} rl_shape;
/* Copies n elements of values; the scales must be there already. */
rl_status rl_outputs_add(rl_outputs *outputs, const rl_shape *shape, const char *name, rl_element element, size_t width,
                         const void *values, const char *long_name, rl_error *err);
/* NAME, NAME_low, NAME_high, NAME_sd, NAME_n. */
rl_status rl_outputs_add_estimates(rl_outputs *outputs, const rl_shape *shape, const char *name,
                                   const rl_estimate *estimates, const char *long_name, rl_error *err);
rl_status rl_outputs_add_scale(rl_outputs *outputs, const char *group, const char *name, rl_element element,
                               size_t width, int64_t n, const void *values, const char *long_name, rl_error *err);
rl_status rl_outputs_add_count(rl_outputs *outputs, const char *group, const char *name, int64_t n,
                               const char *long_name, rl_error *err); /* 0, 1, ... n - 1 */
rl_status rl_outputs_add_texts(rl_outputs *outputs, const rl_shape *shape, const char *name, const char *const *texts,
                               int64_t n, const char *long_name, rl_error *err); /* num_dims 0: a scale */
rl_status rl_outputs_add_stages(rl_outputs *outputs, const rl_source *source, const char *group, rl_error *err);
rl_status rl_outputs_add_runs(rl_outputs *outputs, const rl_source *source, const char *group, const int32_t *runs,
                              int64_t n, rl_error *err); /* runs NULL: all */
rl_status rl_outputs_attribute(rl_outputs *outputs, const char *path, const char *name, const char *text, rl_error *err);
rl_status rl_outputs_skip(rl_outputs *outputs, rl_error *err, const char *format, ...) RL_PRINTF(3, 4);
const rl_output *rl_outputs_find(const rl_outputs *outputs, const char *path); /* NULL */
/* One number for all that must not depend on the number of ranks. */
rl_status rl_outputs_digest(const rl_outputs *outputs, char hex[RL_DIGEST_HEX], rl_error *err);

/* ----------------------------------------------------------------------------------------------- write.c */

/* One process: results.h5 with /stats replaced, aside, read back, renamed. */
rl_status rl_outputs_write(const rl_outputs *outputs, const char *path, rl_error *err);

/* ------------------------------------------------------------------------------------------ what it computes */

/* Per run, known to all ranks. */
typedef struct rl_curves {
    int64_t num_rounds, num_epochs; /* rho has num_rounds + 1 columns, rho_epoch num_epochs + 1 */
    double *drop, *rho, *rho_epoch, *area, *half_life;
    int8_t *censored;
} rl_curves;
rl_status rl_curves_create(rl_curves **out, const rl_source *source, rl_error *err); /* collective */
void rl_curves_free(rl_curves *curves);
rl_status rl_curves_output(const rl_curves *curves, const rl_source *source, rl_resampler *resampler,
                           rl_outputs *outputs, rl_error *err);

typedef enum rl_layer_measure {
    RL_LAYER_SALIENCY,
    RL_LAYER_SHARE,
    RL_LAYER_REDISTRIBUTION,
    RL_LAYER_MASS,
    RL_LAYER_MASS_SHARE,
    RL_LAYER_PRUNED_MASS_SHARE,
    RL_LAYER_EFFECT_SIZE,
    RL_LAYER_SIMILARITY,
    RL_LAYER_NULL_SHARE,
    RL_NUM_LAYER_MEASURES
} rl_layer_measure;
typedef enum rl_stage_measure { RL_STAGE_CENTRE, RL_STAGE_CENTRE_MASS, RL_STAGE_ENTROPY, RL_NUM_STAGE_MEASURES } rl_stage_measure;
typedef struct rl_layers { /* of one model */
    const rl_source_model *model;
    double *by_layer; /* [row, stage, measure, layer] */
    double *by_stage; /* [row, stage, measure] */
} rl_layers;
rl_status rl_layers_create(rl_layers **out, const rl_source *source, int32_t model, rl_error *err); /* collective */
void rl_layers_free(rl_layers *layers);
double rl_layers_value(const rl_layers *layers, int64_t num_stages, int64_t row, int64_t stage, int measure,
                       int64_t layer); /* layer < 0: a stage measure */
rl_status rl_layers_output(const rl_layers *layers, const rl_source *source, rl_resampler *resampler,
                           rl_outputs *outputs, rl_error *err);
/* The centre of all runs (NaN elsewhere) at a stage: [num_runs], for comparisons and variance. */
int64_t rl_model_row(const rl_source_model *model, int64_t run); /* -1 */

rl_status rl_cells_output(const rl_source *source, rl_outputs *outputs, rl_error *err);
rl_status rl_scores_output(const rl_source *source, rl_resampler *resampler, rl_outputs *outputs, rl_error *err);
rl_status rl_relocation_output(rl_layers *const *layers, const rl_source *source, rl_outputs *outputs, double *relocation,
                               double *relocation_mass, rl_error *err);
/* Estimates over the seeds of each cell of values [run, width]; estimates [cell, width] for `cells` cells, computed by the
 * ranks in turn. Collective. */
rl_status rl_estimate_cells(rl_estimate *out, const rl_source *source, rl_resampler *resampler, const int32_t *cells,
                            int32_t num_cells, const double *values, int64_t width, rl_error *err);

#endif
