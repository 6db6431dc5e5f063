/* args.c -- the command line against a command's table of options. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const rl_option *find_option(const rl_option *options, const char *name, size_t length)
{
    for (const rl_option *o = options; o && o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

static rl_status unknown_option(const rl_command *command, const char *given, size_t length, rl_error *err)
{
    const char *names[32];
    char text[64];
    size_t n = 0;
    for (const rl_option *o = command->options; o && o->name && n < 31; o++) names[n++] = o->name;
    names[n++] = "help";
    snprintf(text, sizeof text, "%.*s", (int)(length < 60 ? length : 60), given);
    const char *nearest = rl_nearest_name(text, names, n);
    if (nearest)
        return rl_fail(err, RL_ERR_USAGE, "%s: unknown option --%s; did you mean --%s?", command->name, text, nearest);
    return rl_fail(err, RL_ERR_USAGE, "%s: unknown option --%s; see relearn %s --help", command->name, text, command->name);
}

static rl_status take_option(rl_args *args, const rl_command *command, int argc, char **argv, int *i, rl_error *err)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const rl_option *option = find_option(command->options, name, length);
    const char *value = equals ? equals + 1 : NULL;
    if (!option) return unknown_option(command, name, length, err);
    if (!option->argument && value)
        return rl_fail(err, RL_ERR_USAGE, "%s: --%s takes no value", command->name, option->name);
    if (option->argument && !value) {
        if (*i + 1 >= argc)
            return rl_fail(err, RL_ERR_USAGE, "%s: --%s needs a value: %s", command->name, option->name, option->argument);
        value = argv[++*i];
    }
    if (option->argument && !value[0]) /* an unset shell variable: --out "$DIR" would mean the root folder */
        return rl_fail(err, RL_ERR_USAGE, "%s: the value of --%s is empty; expected %s", command->name, option->name,
                       option->argument);
    if (args->num_given == RL_MAX_GIVEN)
        return rl_fail(err, RL_ERR_USAGE, "%s: more than %d options", command->name, RL_MAX_GIVEN);
    args->given[args->num_given].name = option->name;
    args->given[args->num_given++].value = value;
    return RL_OK;
}

rl_status rl_args_parse(rl_args *args, const rl_command *command, int argc, char **argv, rl_error *err)
{
    bool only_operands = false;
    *args = (rl_args){.options = command->options};
    for (int i = 0; i < argc; i++) {
        if (!only_operands && !strcmp(argv[i], "--")) {
            only_operands = true;
        } else if (!only_operands && !strncmp(argv[i], "--", 2)) {
            rl_status status = take_option(args, command, argc, argv, &i, err);
            if (status != RL_OK) return status;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
            return rl_fail(err, RL_ERR_USAGE, "%s: unknown option %s; see relearn %s --help", command->name, argv[i],
                           command->name);
        } else if (args->num_operands == command->max_operands) {
            return rl_fail(err, RL_ERR_USAGE, "%s: '%s' is one argument too many; usage: relearn %s %s", command->name,
                           argv[i], command->name, command->operands);
        } else if (!argv[i][0]) {
            return rl_fail(err, RL_ERR_USAGE, "%s: an argument is empty; usage: relearn %s %s", command->name,
                           command->name, command->operands);
        } else {
            args->operands[args->num_operands++] = argv[i];
        }
    }
    if (args->num_operands < command->min_operands)
        return rl_fail(err, RL_ERR_USAGE, "%s: an argument is missing; usage: relearn %s %s", command->name, command->name,
                       command->operands);
    return RL_OK;
}

const char *rl_args_text(const rl_args *args, const char *name, const char *fallback)
{
    for (int i = args->num_given - 1; i >= 0; i--) /* the last one wins */
        if (!strcmp(args->given[i].name, name)) return args->given[i].value ? args->given[i].value : "";
    return fallback;
}

bool rl_args_flag(const rl_args *args, const char *name) { return rl_args_text(args, name, NULL) != NULL; }

rl_status rl_args_int(int64_t *value, const rl_args *args, const char *name, int64_t fallback, int64_t smallest, rl_error *err)
{
    const char *text = rl_args_text(args, name, NULL);
    char *end = NULL;
    if (!text) {
        *value = fallback;
        return RL_OK;
    }
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno || end == text || *end || parsed < smallest)
        return rl_fail(err, RL_ERR_USAGE, "--%s: '%s' is not an integer >= %lld", name, text, (long long)smallest);
    *value = parsed;
    return RL_OK;
}

rl_status rl_args_threads(const rl_args *args, rl_error *err)
{
    int64_t threads = 1;
    rl_status status = rl_args_int(&threads, args, "threads", 1, 1, err);
    if (status == RL_OK && threads > RL_MAX_THREADS)
        status = rl_fail(err, RL_ERR_USAGE, "--threads: %lld; expected 1 to %d", (long long)threads, RL_MAX_THREADS);
    return status == RL_OK ? rl_linalg_set_threads((int)threads, err) : status;
}

rl_status rl_args_need(const char **value, const rl_args *args, const char *name, rl_error *err)
{
    *value = rl_args_text(args, name, NULL);
    return *value ? RL_OK : rl_fail(err, RL_ERR_USAGE, "--%s is missing", name);
}

size_t rl_args_all(const rl_args *args, const char *name, const char **values)
{
    size_t n = 0;
    for (int i = 0; i < args->num_given; i++)
        if (!strcmp(args->given[i].name, name)) values[n++] = args->given[i].value;
    return n;
}

void rl_print_command_help(FILE *out, const rl_command *command)
{
    fprintf(out, "relearn %s %s\n    %s\n", command->name, command->operands, command->help);
    if (command->options && command->options->name) fprintf(out, "\nOptions\n");
    for (const rl_option *o = command->options; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        fprintf(out, "  %-26s %s\n", left, o->help);
    }
    if (command->details) fprintf(out, "\n%s", command->details);
}
