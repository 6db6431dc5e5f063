/* cmd_report.c: relearn report DIR -- DIR/report/index.html, by the Python package of analysis/. */
#include "cli.h"

static const rl_option options[] = {{"by", "AXIS", "the axis that becomes the colours (default: prune.select, rank.method, ... whichever varies)"},
                                    {"out", "FOLDER", "write there instead of DIR/report"},
                                    {NULL, NULL, NULL}};

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    const char *arguments[RL_PYTHON_ARGUMENTS] = {"report"}, *names[] = {"by", "out"};
    size_t n = 1;
    for (int i = 0; i < 2; i++) {
        const char *value = rl_args_text(args, names[i], NULL);
        if (!value) continue;
        arguments[n++] = i == 0 ? "--by" : "--out";
        arguments[n++] = value;
    }
    arguments[n++] = "--"; /* a folder may begin with a dash */
    arguments[n++] = args->operands[0];
    return rl_run_python(arguments, n, exit_code, err);
}

const rl_command rl_command_report = {
    "report", "DIR", "DIR/report/index.html: the questions of the sweep answered in pictures, from results.h5", 1, 1, options,
    "One self-contained file; every figure's numbers are beside it in DIR/report/data. Run relearn stats DIR first: intervals and tests\n"
    "come from there. Needs Python 3 with numpy and h5py: $RELEARN_PYTHON, else build/venv, else python3.\n", run, false};
