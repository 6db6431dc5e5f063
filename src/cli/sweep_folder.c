/* sweep_folder.c -- finding runs in a folder that a sweep ran in. */
#include "cli.h"

#include <string.h>

rl_status rl_find_run(char id[RL_RUN_ID], const char *directory, const char *prefix, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *sweep = NULL;
    int64_t matches = 0, match = 0;
    RL_TRY(rl_sweep_status_read(&sweep, directory, err));
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        if (strncmp(sweep->runs[r].id, prefix, strlen(prefix)) != 0) continue;
        matches++;
        match = r;
    }
    if (matches == 1)
        memcpy(id, sweep->runs[match].id, RL_RUN_ID);
    else if (matches == 0)
        status = rl_fail(err, RL_ERR_USAGE, "%s: no run's id starts with '%s'; relearn status %s lists them", directory,
                         prefix, directory);
    else
        status = rl_fail(err, RL_ERR_USAGE, "%s: %lld runs' ids start with '%s'; give more of it", directory,
                         (long long)matches, prefix);
cleanup:
    rl_sweep_status_free(sweep);
    return status;
}
