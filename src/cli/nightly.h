/* nightly.h -- what a night compares: F1 of the finished runs of a folder, by metric and by whose seeds they are. */
#ifndef RELEARN_NIGHTLY_H
#define RELEARN_NIGHTLY_H

#include "cli.h"

/* Whose values: earlier seeds with tonight's settings; tonight's; earlier seeds of the same cell with other settings, which stand in where
 * there are none with these (a learning rate that was changed). */
enum { RL_NIGHT_BEFORE, RL_NIGHT_NOW, RL_NIGHT_OTHERS, RL_NUM_NIGHT_GROUPS };

typedef struct rl_night_series { /* of one metric: a value a seed */
    double *values;
    int32_t *seeds, *times; /* several runs of a seed (RL_NIGHT_OTHERS alone can have them): their mean */
    int64_t count, room;
} rl_night_series;

/* F1 by metric ("prune.select=concept  retrained_1  f1") of finished runs. */
typedef struct rl_night {
    const rl_sweep *asked; /* whose axes but the seed make the cells */
    rl_names *cells, *settings; /* what is asked for but the seed, by its axes and whole: id = cell */
    rl_names *ids, *metrics, *seeds;
    rl_names *held;        /* "SEED CELL" of finished runs */
    json_t *reported;      /* shards that the last report knows; NULL: there was none */
    rl_night_series *values[RL_NUM_NIGHT_GROUPS]; /* [metric] */
    size_t metric_capacity;
    int64_t *seed_cells, largest_seed; /* [seeds] cells held */
    size_t seed_capacity;
} rl_night;

/* Of a zero-initialised night with largest_seed = INT64_MIN: every run that DIR holds now; what the newest report does not know is NOW's. */
rl_status rl_night_begin(rl_night *night, const rl_sweep *asked, const char *directory, rl_error *err);
/* Every shard of DIR/runs that was not read before goes into this group. */
rl_status rl_night_read_shards(rl_night *night, int group, const char *directory, rl_error *err);
/* DIR/nightly/<UTC>.json, and what moved on standard output. q: false discovery rate over all metrics. */
rl_status rl_night_report(bool *drift, const rl_night *night, const char *directory, double q, rl_error *err);
void rl_night_clear(rl_night *night);

#endif
