/* sweep_internal.h -- seen inside src/sweep only. */
#ifndef RELEARN_SWEEP_INTERNAL_H
#define RELEARN_SWEEP_INTERNAL_H

#include "relearn/sweep.h"

/* ------------------------------------------------------------------------------- schema.c: configuration paths */

typedef enum rl_key_type {
    RL_KEY_INT,
    RL_KEY_REAL,
    RL_KEY_BOOL,
    RL_KEY_CHOICE,
    RL_KEY_FILE,
    RL_KEY_MODEL,
    RL_KEY_CONCEPT,
    RL_KEY_LAYERS,   /* "all", or hidden states as "0,2,4..6"; in a sweep file a list too */
    RL_KEY_CONCEPTS, /* "none", "all" or names under concepts:, joined by commas; in a sweep file a list too */
    RL_KEY_VECTORS   /* "model" or a file */
} rl_key_type;
typedef struct rl_key {
    const char *path;
    rl_key_type type;
    size_t offset;             /* of the member in rl_run_settings */
    double smallest, largest;  /* numbers; REAL bounds inclusive */
    const char *const *choices;/* CHOICE: NULL-terminated, index = enum value */
    const char *help;
} rl_key;
extern const rl_key rl_keys[];
extern const size_t rl_num_keys;
const rl_key *rl_key_find(const char *path);
const char *rl_key_nearest(const char *path); /* or NULL */

/* Where a text came from, for messages: FILE:LINE:COL, or an option's text (line 0). */
typedef struct rl_place {
    const char *file;
    long line, column;
} rl_place;

/* Strings that live as long as the sweep; files and models made absolute against folder; concepts by name. */
typedef struct rl_scope {
    rl_names *pool;
    const char *folder;
    rl_concept_settings *concepts; /* the sweep's: settings point into it */
    size_t num_concepts;
} rl_scope;
/* Parse text into the member of settings. scope may be NULL for keys that need none. */
rl_status rl_key_set(rl_run_settings *settings, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                     rl_error *err);
/* Canonical text of the member (shortest number that reads back the same; "" for an unset file). */
rl_status rl_key_get(rl_buffer *text, const rl_key *key, const rl_run_settings *settings, rl_error *err);
/* A value as text in its one spelling ("1, 2,3" of prune.layers is "1..3"); other types keep theirs. */
rl_status rl_key_canonical(const char **kept, const rl_key *key, const char *text, const rl_scope *scope, rl_place place,
                           rl_error *err);
bool rl_key_is_list(const rl_key *key); /* a YAML list is one value */
/* The default of a key that came later: left out of resolved files, so that those of earlier versions stay what they are. */
bool rl_key_is_late_default(const rl_key *key, const rl_run_settings *settings);
bool rl_key_is_unset(const rl_key *key, const rl_run_settings *settings); /* a "protocol's own" or "model's own" value */
/* text kept in the pool. */
rl_status rl_scope_keep(const char **kept, const rl_scope *scope, const char *text, rl_error *err);
rl_status rl_scope_absolute(const char **kept, const rl_scope *scope, const char *path, rl_error *err);

/* --------------------------------------------------------------------------------- document.c: YAML with places */

typedef enum rl_yaml_kind { RL_YAML_SCALAR, RL_YAML_LIST, RL_YAML_MAP } rl_yaml_kind;
typedef struct rl_yaml rl_yaml;
struct rl_yaml {
    rl_yaml_kind kind;
    rl_place place;
    bool quoted;        /* SCALAR: never a range */
    char *text;         /* SCALAR */
    size_t count;       /* LIST items, MAP pairs */
    rl_yaml **keys;     /* MAP */
    rl_yaml **values;   /* LIST, MAP */
};
rl_status rl_yaml_read(rl_yaml **out, const char *path, rl_error *err);
rl_status rl_yaml_parse(rl_yaml **out, const char *name, const char *text, size_t length, rl_error *err);
void rl_yaml_free(rl_yaml *node);
const rl_yaml *rl_yaml_find(const rl_yaml *map, const char *path); /* where a map says PATH: as one name, or a section deeper; or NULL */
rl_status rl_yaml_fail(const rl_yaml *node, rl_error *err, const char *format, ...) RL_PRINTF(3, 4);

/* -------------------------------------------------------------------------------------- filter.c: --filter EXPR */

typedef struct rl_condition {
    const rl_key *key;
    enum { RL_EQUAL, RL_UNEQUAL, RL_LESS, RL_AT_MOST, RL_MORE, RL_AT_LEAST } comparison;
    const char *value; /* the pool's. A model or file: absolute, or a bare name that stands for any path ending in it */
} rl_condition;
typedef struct rl_filter {
    rl_condition conditions[16];
    int count;
} rl_filter;
rl_status rl_filter_parse(rl_filter *filter, const char *text, const rl_scope *scope, rl_place place, rl_error *err);
rl_status rl_filter_print(rl_buffer *text, const rl_filter *filter,
                          rl_error *err); /* appends "a==1 && b<2": reads back the same */
rl_status rl_filter_matches(bool *matches, const rl_filter *filter, const rl_run_settings *settings, rl_error *err);
/* One value as a filter or an exclude compares it: numbers by value, models and files by path (or bare last part). */
rl_status rl_condition_holds(bool *holds, const rl_condition *condition, const rl_run_settings *settings, rl_error *err);

/* cost.c */
double rl_threads_speedup(int32_t threads); /* of a stage's arithmetic */
/* Of the job's ranks, those that work on this stage side by side: a group's for training where one comes together, else 1. */
int32_t rl_stage_ranks(const rl_stage *stage, const rl_grouping *grouping);
double rl_stage_seconds(const rl_stage *stage, const rl_workload *workload, double gflops, int32_t ranks);
double rl_memory_bytes(const rl_workload *workload, const rl_run_settings *settings);

/* resolve.c: a double-quoted YAML scalar of any text. */
rl_status rl_yaml_quoted(rl_buffer *text, const char *value, rl_error *err);

#endif
