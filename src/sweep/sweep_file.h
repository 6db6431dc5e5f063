/* sweep_file.h -- a sweep file taken apart: sections, axes and assignments, before any run is made. */
#ifndef RELEARN_SWEEP_FILE_H
#define RELEARN_SWEEP_FILE_H

#include "sweep_internal.h"

enum { RL_MAX_SETTINGS = 64, RL_MAX_AXES = 16, RL_MAX_EXCLUDES = 256 };
static const int64_t rl_max_axis_values = 1000000, rl_max_runs = 1000000; /* a planned run takes some 10 kB on every rank */

typedef struct rl_assignment { /* PATH: VALUE outside the grid */
    const rl_key *key;
    const char *text;
    rl_place place;
} rl_assignment;
typedef struct rl_axis {
    const rl_key *key;
    rl_place place;
    int64_t count;
    const char **texts;   /* [count] */
    rl_place *places;     /* [count] */
    const char **paths;   /* [count] models and files: absolute and checked once; else NULL */
} rl_axis;
typedef struct rl_exclude { /* all conditions hold, each for one of its values -> left out */
    rl_place place;
    int count;
    rl_condition *conditions[8]; /* [count][num_values[i]] */
    int64_t num_values[8];
} rl_exclude;
typedef struct rl_sweep_file {
    const char *path;
    rl_scope scope;
    const char *name;
    rl_assignment settings[RL_MAX_SETTINGS];
    int num_settings;
    rl_axis axes[RL_MAX_AXES];
    int num_axes;
    rl_exclude excludes[RL_MAX_EXCLUDES];
    int num_excludes;
    rl_sweep_policy policy;
    bool overridden;      /* by --set */
    rl_filter filters[2]; /* the file's own, and --filter's */
    const char *filter_texts[2];
    rl_place filter_place; /* of the file's own */
} rl_sweep_file;

/* sections.c; strings live in scope.pool. */
rl_status rl_sweep_file_sections(rl_sweep_file *file, const rl_yaml *root, rl_error *err);
/* axes.c */
/* A list of scalars as one text, joined by commas. */
rl_status rl_yaml_join(const char **joined, const rl_yaml *list, const rl_scope *scope, const char *what, rl_error *err);
rl_status rl_sweep_file_axis(rl_sweep_file *file, const rl_key *key, const rl_yaml *values, rl_error *err); /* adds or replaces */
rl_status rl_sweep_file_set(rl_sweep_file *file, const char *assignment, rl_error *err);                    /* --set */
rl_axis *rl_sweep_file_find_axis(rl_sweep_file *file, const rl_key *key);
rl_status rl_sweep_file_assign(rl_sweep_file *file, const rl_key *key, const char *text, rl_place place, rl_error *err);
void rl_sweep_file_clear(rl_sweep_file *file);
/* policy.c */
rl_sweep_policy rl_policy_defaults(void);
bool rl_policy_is_key(const char *name);
rl_status rl_policy_set(rl_sweep_policy *policy, const char *name, const char *text, rl_place place, rl_error *err);
rl_status rl_policy_print(rl_buffer *text, const rl_sweep_policy *policy, rl_error *err);
rl_status rl_sweep_file_policy(rl_sweep_file *file, const rl_yaml *root, rl_error *err);
/* concept_changes.c: RL_ERR_INPUT at the key of the file at path that makes another concept of one that old's runs use. previous: old's file. */
rl_status rl_sweep_check_concepts(const rl_sweep *sweep, const rl_sweep *old, const char *path, const char *previous, rl_error *err);
/* resolve.c */
rl_status rl_sweep_resolve(rl_buffer *text, const rl_sweep_file *file, rl_error *err);

#endif
