/* cli.h -- the commands (design §2). The only room that prints; everything below returns errors. */
#ifndef RELEARN_CLI_H
#define RELEARN_CLI_H

#include "relearn/cluster.h"

#include <stdio.h>

typedef struct rl_option {
    const char *name;     /* without the dashes; NULL ends the table */
    const char *argument; /* NULL: a flag */
    const char *help;
} rl_option;

enum { RL_MAX_OPERANDS = 4, RL_MAX_GIVEN = 128 };
typedef struct rl_args {
    const rl_option *options;
    int num_operands;
    const char *operands[RL_MAX_OPERANDS];
    int num_given;
    struct {
        const char *name, *value;
    } given[RL_MAX_GIVEN];
} rl_args;

typedef struct rl_command {
    const char *name, *operands, *help;
    int min_operands, max_operands;
    const rl_option *options;
    const char *details; /* what --help adds; may be NULL */
    rl_status (*run)(const rl_args *args, int *exit_code, rl_error *err); /* exit_code: 0 unless the command says more */
    bool uses_mpi;       /* MPI is started; only rank 0 prints */
} rl_command;

extern const rl_command rl_command_run, rl_command_plan, rl_command_status, rl_command_show, rl_command_gather,
    rl_command_export, rl_command_simulate, rl_command_nightly, rl_command_finetune, rl_command_eval, rl_command_neurons, rl_command_doctor;
extern const rl_command rl_command_report;
extern const rl_command rl_command_stats;

/* args.c */
rl_status rl_args_parse(rl_args *args, const rl_command *command, int argc, char **argv, rl_error *err);
const char *rl_args_text(const rl_args *args, const char *name, const char *fallback);
bool rl_args_flag(const rl_args *args, const char *name);
rl_status rl_args_int(int64_t *value, const rl_args *args, const char *name, int64_t fallback, int64_t smallest, rl_error *err);
rl_status rl_args_need(const char **value, const rl_args *args, const char *name, rl_error *err);
/* --threads N (default 1): that many threads share the work from here on. */
#define RL_THREADS_OPTION {"threads", "N", "threads that share the work (default 1); results are the same"}
rl_status rl_args_threads(const rl_args *args, rl_error *err);
/* All values of a repeatable option; values [RL_MAX_GIVEN]. */
size_t rl_args_all(const rl_args *args, const char *name, const char **values);
void rl_print_command_help(FILE *out, const rl_command *command);

/* terminal.c */
bool rl_is_terminal(FILE *out);      /* through mpirun too; and TERM is not dumb */
int rl_terminal_width(FILE *out);    /* 80 when unknown */
int rl_terminal_height(FILE *out);   /* 24 when unknown */
const char *rl_bold(FILE *out), *rl_dim(FILE *out), *rl_red(FILE *out), *rl_green(FILE *out), *rl_plain(FILE *out);
void rl_format_seconds(char text[32], double seconds);        /* "3 min 12 s"; "?" for NaN */
void rl_format_bytes(char text[32], double bytes);            /* "1.2 GB" */
void rl_format_number(char text[32], double value);           /* 12,345 */

/* loading.c: what the single-purpose commands share. */
typedef struct rl_ner_data {
    rl_tokenizer *tokenizer;
    rl_corpus *corpus;
    rl_encoded *encoded;
} rl_ner_data;
void rl_ner_data_free(rl_ner_data *data);
/* labels NULL: from the file. */
rl_status rl_ner_data_load(rl_ner_data *data, const char *folder, const char *file, const rl_names *labels, rl_error *err);

/* python.c: the package of analysis/ with these arguments, without a shell. exit_code: 0, 2 (it has said why) or 70. */
enum { RL_PYTHON_ARGUMENTS = 8 };
rl_status rl_run_python(const char *const *arguments, size_t num_arguments, int *exit_code, rl_error *err);

/* allocation.c: what started this process says of it. */
/* RL_ERR_USAGE where a launcher started several processes that are each rank 0 of 1, with the mend. */
rl_status rl_refuse_strangers(rl_error *err);
/* Inside a Slurm job with more tasks than there are ranks: rank 0 says so on stderr. */
void rl_tell_idle_tasks(void);
/* Inside a Slurm job: requests the stop in time by itself, on all ranks; rank 0 says so on stderr. Collective. */
void rl_stop_before_time_limit(void);

/* sweep_folder.c: a folder that a sweep ran in. */
/* The one run whose id starts with `prefix`: RL_ERR_USAGE names near ones. id [RL_RUN_ID]. */
rl_status rl_find_run(char id[RL_RUN_ID], const char *directory, const char *prefix, rl_error *err);

#endif
