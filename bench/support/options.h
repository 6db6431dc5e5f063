/* options.h -- the command line of a benchmark: a table of what it takes, which is checked, and printed by --help. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum bench_kind { BENCH_FLAG, BENCH_COUNT, BENCH_REAL, BENCH_TEXT } bench_kind;

typedef struct bench_option {
    const char *name; /* "--steps"; NULL ends a table */
    bench_kind kind;
    void *value; /* bool *, int64_t *, double *, const char ** : holds the default */
    const char *help;
    double least, most; /* of a number; most 0: any */
} bench_option;

/* What many take. */
#define BENCH_SHAPE(value) {"--shape", BENCH_TEXT, value, "minilm or distilbert; without it both", 0, 0}
#define BENCH_SMOKE(value) {"--smoke", BENCH_FLAG, value, "little of everything: only whether it runs", 0, 0}

/* -1: go on. Else what main returns at once: 0 after --help, 2 after one line on standard error about what is wrong. */
int bench_options(int argc, char **argv, const char *what, const bench_option *options);
/* One line on standard error; 2. */
#define BENCH_NO_SHAPE "--shape: expected minilm or distilbert"
int bench_wrong(const char *program, const char *why);

#endif
