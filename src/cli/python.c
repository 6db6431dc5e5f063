/* python.c -- starting the Python package of analysis/: report and export --parquet are written there. No shell sees a path. */
#include "cli.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The first of the candidates that holds the package: $RELEARN_ANALYSIS alone when set; beside an installed program
 * (PREFIX/bin/relearn -> PREFIX/share/relearn/analysis); the source tree this was built from. */
static rl_status find_package(char **folder, rl_error *err)
{
    char program[4096];
    const char *given = getenv("RELEARN_ANALYSIS");
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash) *slash = 0;
    const char *form[] = {given && *given ? given : NULL, program, RELEARN_SOURCE_ANALYSIS};
    for (int i = given && *given ? 0 : 1; i < (given && *given ? 1 : 3); i++) {
        char *candidate = i == 1 ? rl_format(err, "%s/../share/relearn/analysis", form[i]) : rl_format(err, "%s", form[i]);
        char *main_file = candidate ? rl_path_join(candidate, "__main__.py", err) : NULL;
        bool found = main_file && rl_path_exists(main_file);
        rl_free(main_file);
        if (!candidate) return RL_ERR_MEMORY;
        if (found) {
            *folder = candidate;
            return RL_OK;
        }
        rl_free(candidate);
    }
    if (given && *given)
        return rl_fail(err, RL_ERR_INPUT, "RELEARN_ANALYSIS=%s: holds no __main__.py; expected the folder analysis of relearn", given);
    return rl_fail(err, RL_ERR_INPUT, "the Python package of relearn is neither in %s/../share/relearn/analysis nor in %s; "
                   "install relearn again or name its folder in RELEARN_ANALYSIS", program, RELEARN_SOURCE_ANALYSIS);
}

/* $RELEARN_PYTHON; else the virtual environment that ./quickstart makes beside the package; else python3 of PATH. */
static rl_status find_python(char **python, const char *package, rl_error *err)
{
    const char *given = getenv("RELEARN_PYTHON");
    *python = given && *given ? rl_format(err, "%s", given) : rl_format(err, "%s/../build/venv/bin/python", package);
    if (*python && (given && *given)) return RL_OK;
    if (*python && access(*python, X_OK) != 0) {
        rl_free(*python);
        *python = rl_format(err, "python3");
    }
    return *python ? RL_OK : RL_ERR_MEMORY;
}

static rl_status wait_for(int *exit_code, pid_t child, const char *python, rl_error *err)
{
    int state = 0;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR) return rl_fail(err, RL_ERR_INTERNAL, "%s: its end cannot be waited for: %s", python, strerror(errno));
    if (WIFSIGNALED(state)) return rl_fail(err, RL_ERR_INTERNAL, "%s ended by signal %d", python, WTERMSIG(state));
    int code = WEXITSTATUS(state);
    if (code == 127) return rl_fail(err, RL_ERR_INPUT, "%s cannot be started; set RELEARN_PYTHON to a Python 3 with numpy and h5py", python);
    *exit_code = code == 0 || code == 2 ? code : 70; /* 1 is an uncaught exception, whose trace Python has printed */
    return RL_OK;
}

rl_status rl_run_python(const char *const *arguments, size_t num_arguments, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    char *package = NULL, *python = NULL;
    const char *argv[RL_PYTHON_ARGUMENTS + 4] = {NULL};
    pid_t child = 0;
    if (num_arguments > RL_PYTHON_ARGUMENTS) return rl_fail(err, RL_ERR_INTERNAL, "%zu arguments for Python", num_arguments);
    RL_TRY(find_package(&package, err));
    RL_TRY(find_python(&python, package, err));
    argv[0] = python;
    argv[1] = package;
    for (size_t i = 0; i < num_arguments; i++) argv[2 + i] = arguments[i];
    fflush(NULL);
    int failed = posix_spawnp(&child, python, NULL, NULL, (char *const *)(uintptr_t)argv, environ);
    if (failed)
        status = rl_fail(err, RL_ERR_INPUT, "%s: %s; the report needs Python 3 with numpy and h5py (Debian: apt-get install python3 "
                         "python3-numpy python3-h5py), or name one in RELEARN_PYTHON", python, strerror(failed));
    else
        status = wait_for(exit_code, child, python, err);
cleanup:
    rl_free(package);
    rl_free(python);
    return status;
}
