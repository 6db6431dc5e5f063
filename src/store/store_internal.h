/* store_internal.h -- what the files of src/store share.
 *
 * h5.c          HDF5 with rl_error: quiet error stack, typed arrays, text attributes, content hashes
 * fields.c      the one table of what a run has per stage, read by the shard writer and by the gather
 * shard_*.c     one run <-> one file; shard_seal.c: its bytes are whole before HDF5 sees them
 * agree.c       a failure of one rank becomes the failure of all before the next collective call
 * survey.c      gather, part 1: which shards are whole, how large their arrays are, the global vocabulary
 * layout.c      gather, part 2: every dataset of results.h5 with its shape and dimension scales
 * columns.c     gather, part 3: /runs, one value per run
 * parallel.c    files open on all ranks: access, row selections, room on the disk
 * gather.c      create, write, read back, publish
 * digest.c      one number for a whole results.h5 */
#ifndef RELEARN_STORE_INTERNAL_H
#define RELEARN_STORE_INTERNAL_H

#include "h5.h"

/* ---------------------------------------------------------------------------------------- fields.c */

typedef struct rl_extents {
    int64_t stages, layers, hidden_size, neurons, k, steps,
        epochs; /* layers counts the embeddings: neurons = layers * hidden_size */
    int64_t points, types, others; /* of the recovery curve; entity types; other concepts that were followed */
} rl_extents;
typedef enum rl_dimension { /* beside run and stage; each has a dimension scale in results.h5 */
    RL_DIM_NONE,
    RL_DIM_NEURON,
    RL_DIM_K,
    RL_DIM_STEP,
    RL_DIM_EPOCH,
    RL_DIM_POINT,
    RL_DIM_TYPE,
    RL_DIM_CONCEPT,
    RL_DIM_LAYER,
    RL_DIM_FINDER, /* rl_rank_method_names */
    RL_DIM_SET,    /* rl_causal_set_names */
    RL_DIM_COUNT
} rl_dimension;
int64_t rl_dimension_size(rl_dimension dimension, const rl_extents *extents);
typedef enum rl_axis {
    RL_AXIS_NEURON,
    RL_AXIS_WORD,   /* neuron and k */
    RL_AXIS_STEP,
    RL_AXIS_EPOCH,
    RL_AXIS_PRUNED, /* neuron, made from the list of ids */
    RL_AXIS_POINT,
    RL_AXIS_TYPE,   /* entity types: names differ from run to run */
    RL_AXIS_OTHER,  /* other concept and neuron */
    RL_AXIS_LAYER,
    RL_AXIS_FINDER,
    RL_AXIS_SET
} rl_axis;
extern const rl_dimension rl_axis_dimensions[][2];
/* One array [stage, ...] of a run: /GROUP/NAME in a shard, /GROUP[/MODEL]/NAME with a leading run axis in
 * results.h5. */
typedef struct rl_field {
    const char *group, *name;
    rl_element element;
    rl_axis axis;
    size_t member; /* offset in rl_neuron_table (a pointer), rl_step_record (a value), rl_stage_result (a pointer) or rl_score */
    const char *units, *long_name;
    int since;          /* format of the first shards that have it; 0: all */
    const char *stored; /* path in a shard; NULL: GROUP/NAME */
} rl_field;
extern const rl_field rl_fields[];
extern const size_t rl_num_fields;
rl_array rl_field_array(const rl_field *field, const rl_extents *extents); /* [stage, ...] */
bool rl_field_in_shard(const rl_field *field); /* and of a kind that put_field writes */
void rl_field_path(char path[64], const rl_field *field); /* in a shard */
/* Source [from] into destination [to], each dimension of which is at least as long; the rest is "missing". place (may be
 * NULL) [from's second dimension]: where along destination's second dimension each of source's entries goes. */
void rl_pad(void *destination, const rl_array *to, const void *source, const rl_array *from, const int32_t *place);
void rl_stage_label(char label[32], int64_t stage); /* "base", "pruned", "retrained_1", ... (cycle.h) */
/* Every per-stage number of /scores: /scores/NAME [stage]. */
typedef struct rl_score_field {
    const char *name;
    rl_element element;
    size_t member;      /* offset in rl_stage_result */
    const char *column; /* /runs/COLUMN_STAGE in results.h5; NULL: stays in the shard */
    const char *long_name;
    int since; /* as in rl_field */
} rl_score_field;
extern const rl_score_field rl_score_fields[];
extern const size_t rl_num_score_fields;
/* Numbers of a whole run: /recovery/NAME [1] in a shard, /runs/NAME in results.h5. */
typedef struct rl_run_field {
    const char *name;
    size_t member; /* offset in rl_run_result; double */
    const char *units, *long_name;
} rl_run_field;
extern const rl_run_field rl_run_fields[];
extern const size_t rl_num_run_fields;
/* Configuration paths whose values every shard carries as attributes. */
extern const char *const rl_setting_paths[];
typedef struct rl_later_setting {
    const char *path, *silent; /* the value that is not written */
} rl_later_setting;
extern const rl_later_setting rl_later_settings[];
extern const size_t rl_num_later_settings;
extern const size_t rl_num_setting_paths;

/* ------------------------------------------------------------------------------------ shard_seal.c */

#define RL_SHARD_FORMAT   "relearn shard 2" /* 1 is read too: what it lacks is missing */
#define RL_SHARD_SEAL     512 /* bytes of the file's user block (HDF5's place for an application's own): shard_seal.c */
rl_status rl_shard_seal(char *bytes, size_t length, rl_error *err); /* fill in the block of a whole file in memory */

/* ------------------------------------------------------------------------------------ shard_read.c */

rl_status rl_shard_check_run(const rl_shard *shard, const char *run_id, rl_error *err);
rl_place rl_shard_place(const rl_shard *shard);
const rl_extents *rl_shard_extents(const rl_shard *shard);
int rl_shard_format(const rl_shard *shard); /* 1 or 2 */
/* Names along RL_DIM_TYPE or RL_DIM_CONCEPT: as stored, [count * width], NUL-padded; rl_free. */
rl_status rl_shard_read_list(const rl_shard *shard, rl_dimension dimension, char **out, int64_t *count, size_t *width,
                             rl_error *err);
int64_t rl_shard_num_words(const rl_shard *shard);
size_t rl_shard_longest_word(const rl_shard *shard);
/* The vocabulary as stored: [num_words * longest_word], NUL-padded; rl_free. */
rl_status rl_shard_read_vocabulary(const rl_shard *shard, char **out, rl_error *err);

/* ---------------------------------------------------------------------------------------- survey.c */

typedef enum rl_presence { RL_DAMAGED = -1, RL_ABSENT = 0, RL_PRESENT = 1 } rl_presence;
typedef struct rl_summary { /* travels between ranks as bytes */
    int64_t presence;
    rl_extents extents;
    int64_t num_words, longest_word, num_pruned;
    double vector_share; /* NaN: not said */
    char types[RL_DIGEST_HEX]; /* digest of the list of entity types */
    char vocabulary[RL_DIGEST_HEX], version[24], gemm_backend[24], isa[24];
} rl_summary;
typedef struct rl_vocabulary {
    char digest[RL_DIGEST_HEX];
    int64_t num_words;
    int32_t *global; /* [num_words] id in the union */
} rl_vocabulary;
/* All runs, the same on every rank. */
typedef struct rl_survey {
    MPI_Comm comm;
    int rank, size;
    const rl_sweep *sweep;
    const rl_gather_run *runs;
    int64_t num_runs, first, count; /* this rank's rows */
    rl_summary *summary;            /* [num_runs] */
    char **damage;                  /* [num_runs] why a shard is damaged; NULL */
    int32_t *model;                 /* [num_runs] index into models */
    int64_t *model_row;             /* [num_runs] row among the runs of its model */
    int32_t num_models;
    struct rl_survey_model {
        char *name; /* unique basename of the folder */
        const char *folder;
        int64_t num_runs, num_present;
        rl_extents extents; /* of its present runs; stages, steps and epochs are the whole sweep's */
    } * models;
    int64_t num_damaged;
    rl_extents longest; /* stages (planned), steps, epochs over all runs */
    rl_names *words;    /* union of the vocabularies in plan order */
    rl_names *types;    /* union of the entity types in plan order */
    rl_names *others;   /* union of the other concepts that the sweep follows, in plan order */
    char **concept_types; /* [num_runs] "LOC,PER": types whose F1 is the concept's */
    int32_t num_vocabularies;
    rl_vocabulary *vocabularies;
} rl_survey;
/* Collective. */
rl_status rl_survey_create(rl_survey **out, MPI_Comm comm, const rl_sweep *sweep, const rl_gather_run *runs,
                           rl_error *err);
void rl_survey_free(rl_survey *survey);
const rl_vocabulary *rl_survey_vocabulary(const rl_survey *survey, int64_t r); /* of a present run */

/* ---------------------------------------------------------------------------------------- layout.c */

/* Small, known to every rank: coordinates, the vocabulary, the sweep file. */
typedef struct rl_coordinate {
    char *path;       /* "/neurons/minilm/unit" */
    const char *name; /* of the dimension it is the scale of; NULL: an ordinary dataset along `along` */
    int32_t along;    /* index of the coordinate it lies along; -1 */
    rl_array array;
    void *values;
    const char *units, *long_name;
    hid_t id;
} rl_coordinate;
/* One row per run. */
typedef struct rl_target {
    char *path;
    const rl_field *field;
    int32_t model; /* -1: rows of all runs, else of this model's */
    rl_array row;  /* without the run axis */
    hsize_t num_rows;
    int32_t scales[4]; /* coordinate of each axis, run first */
    hid_t id;
} rl_target;
/* /runs/NAME: one value per run; each rank holds its own rows. */
typedef struct rl_column {
    char *path, *long_name;
    const char *units;
    rl_element element;
    size_t width;
    unsigned char *values; /* [count * width] */
    hid_t id;
} rl_column;
typedef struct rl_layout {
    int32_t num_groups, num_coordinates, num_targets, num_columns;
    char **groups; /* in the order they are to be made */
    rl_coordinate *coordinates;
    rl_target *targets;
    rl_column *columns;
    int32_t runs_scale;  /* coordinate along /runs */
    int32_t first_number; /* columns[first_number + i]: the i-th run field */
    int32_t first_score; /* columns[first_score + i * stages + s]: the i-th score field with a column */
} rl_layout;
rl_status rl_layout_create(rl_layout **out, const rl_survey *survey, rl_error *err);
void rl_layout_free(rl_layout *layout);
void rl_layout_close(rl_layout *layout);                                  /* the ids, not the memory */
size_t rl_layout_bytes(const rl_layout *layout, const rl_survey *survey); /* raw data of the whole file */

/* --------------------------------------------------------------------------------------- columns.c */

/* /runs: appends the columns that this survey has, plan's values filled in. */
rl_status rl_columns_create(rl_layout *layout, const rl_survey *survey, rl_error *err);
/* Scores of own row `row` from its shard. */
rl_status rl_columns_read(rl_layout *layout, const rl_survey *survey, int64_t row, const rl_shard *shard,
                          rl_error *err);

#endif
