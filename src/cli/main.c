/* main.c -- relearn COMMAND ...: find the command, run it, turn its status into the exit code of the contract. */
#include "cli.h"

#include <mpi.h>
#include <string.h>

static const rl_command *const commands[] = {&rl_command_run,    &rl_command_plan,     &rl_command_status, &rl_command_show,
                                             &rl_command_gather, &rl_command_stats, &rl_command_report, &rl_command_export, &rl_command_simulate, &rl_command_nightly, &rl_command_finetune,
                                             &rl_command_eval,   &rl_command_neurons,  &rl_command_doctor};
enum { NUM_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fprintf(out, "relearn " RL_VERSION " -- how language models relearn concepts that were removed from them\n\n"
                 "usage: relearn COMMAND ...        relearn COMMAND --help says more\n\n");
    for (int i = 0; i < NUM_COMMANDS; i++) fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->help);
    fprintf(out, "\nExit codes: 0 done; 1 some runs failed, the rest is complete and gathered; 2 wrong usage or input, nothing was\n"
                 "computed; 3 nightly saw a metric move; 75 stopped on request, start again to resume; 70 internal error.\n");
}

static const rl_command *find_command(const char *name)
{
    for (int i = 0; i < NUM_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    rl_error err = {0}; /* makes one printable line of whatever the name is */
    const char *names[NUM_COMMANDS];
    for (int i = 0; i < NUM_COMMANDS; i++) names[i] = commands[i]->name;
    const char *nearest = rl_nearest_name(name, names, NUM_COMMANDS);
    rl_fail(&err, RL_ERR_USAGE, "unknown command '%s'%s%s%s; see relearn --help", name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
            nearest ? "'?" : "");
    fprintf(stderr, "relearn: %s\n", err.message);
    return 2;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
    return false;
}

/* Parse, start MPI where the command needs it, run. */
static int run_command(const rl_command *command, int argc, char **argv)
{
    rl_args args;
    rl_error err = {0};
    int exit_code = 0, rank = 0, provided;
    rl_status status = rl_args_parse(&args, command, argc, argv, &err);
    if (command->uses_mpi) {
        if (status == RL_OK) status = rl_stop_install(&err); /* MPI's start takes long enough for a signal to come */
        MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided); /* threads_per_rank's threads compute and never call MPI */
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL); /* a lost rank ends the job; the next start resumes */
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        if (status == RL_OK && command != &rl_command_doctor) status = rl_refuse_strangers(&err); /* doctor says which MPI it would be */
    }
    if (status == RL_OK) status = command->run(&args, &exit_code, &err);
    if (status != RL_OK) {
        exit_code = rl_exit_code(status);
        if (rank == 0) fprintf(stderr, "%srelearn:%s %s\n", rl_red(stderr), rl_plain(stderr), err.message);
        if (rank != 0 && exit_code == 70)
            fprintf(stderr, "relearn: rank %d: %s\n", rank, err.message); /* may be the only one */
    }
    if (rank == 0 && (fflush(stdout) != 0 || ferror(stdout)) && exit_code == 0) {
        fprintf(stderr, "relearn: standard output cannot be written\n");
        exit_code = 2;
    }
    /* A rank that fails alone must not leave the others inside a collective. */
    if (command->uses_mpi && exit_code == 70) MPI_Abort(MPI_COMM_WORLD, exit_code);
    if (command->uses_mpi) MPI_Finalize();
    return exit_code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("relearn " RL_VERSION " (numerics %d)\n", RL_NUMERICS_VERSION);
        return 0;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        if (argc == 2 || argv[2][0] == '-') {
            print_help(stdout);
            return 0;
        }
        const rl_command *named = find_command(argv[2]);
        if (!named) return unknown_command(argv[2]);
        rl_print_command_help(stdout, named);
        return 0;
    }
    const rl_command *command = find_command(argv[1]);
    if (!command) return unknown_command(argv[1]);
    if (asks_for_help(argc, argv)) {
        rl_print_command_help(stdout, command);
        return 0;
    }
    return run_command(command, argc - 2, argv + 2);
}
