/* take_over.c -- work folders carry the name of the start that works in them, so that whoever outlives his start is shut out by name: his
 * folder is renamed in one step, and every path he holds leads nowhere. No clock and no lease is needed for that, on any file system. */
#include "cycle_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void rl_cycle_set_start(rl_cycle *cycle, const char *start)
{
    snprintf(cycle->work_suffix, sizeof cycle->work_suffix, "%s%.*s.work", start[0] ? "." : "", RL_START_NAME - 1, start);
}

/* KEY.work or KEY.START.work: the key's length; 0 for every other name. */
static size_t key_of_work(const char *name)
{
    static const char mark[] = ".work";
    size_t length = strlen(name), tail = sizeof mark - 1;
    if (length <= tail || strcmp(name + length - tail, mark) != 0) return 0;
    return strcspn(name, ".");
}

/* 2: finished, only the rename is missing; 1: has a checkpoint; 0: has nothing that would be missed. */
static int progress_of(const char *folder, struct timespec *changed)
{
    static const char *const marks[] = {"checkpoint", "stage.json"};
    struct stat info;
    int progress = 0;
    *changed = stat(folder, &info) == 0 ? info.st_mtim : (struct timespec){0};
    for (int i = 0; i < 2; i++) {
        char *path = rl_path_join(folder, marks[i], NULL);
        if (path && rl_path_exists(path)) progress = i + 1;
        rl_free(path);
    }
    return progress;
}

static bool is_further(const char *one, const char *other)
{
    struct timespec its, others;
    int a = progress_of(one, &its), b = progress_of(other, &others);
    if (a != b) return a > b;
    return its.tv_sec > others.tv_sec || (its.tv_sec == others.tv_sec && its.tv_nsec > others.tv_nsec);
}

static rl_status take_one(const char *stages, const char *name, size_t key_length, const char *start, rl_error *err)
{
    rl_status status = RL_OK;
    char *from = rl_path_join(stages, name, err);
    char *to = rl_format(err, "%s/%.*s.%s.work", stages, (int)key_length, name, start);
    struct stat info;
    if (!from || !to) status = RL_ERR_MEMORY;
    if (status == RL_OK && lstat(from, &info) == 0 && !S_ISDIR(info.st_mode)) { /* a link would lead the work elsewhere */
        status = rl_remove_tree(from, err);
        goto cleanup;
    }
    if (status == RL_OK && strcmp(from, to) != 0 && rl_path_exists(to)) {
        if (is_further(to, from)) {
            status = rl_remove_tree(from, err);
            goto cleanup;
        }
        status = rl_remove_tree(to, err);
    }
    if (status == RL_OK && rename(from, to) != 0 && errno != ENOENT) status = rl_fail_errno(err, "%s: cannot be renamed", from);
cleanup:
    rl_free(from);
    rl_free(to);
    return status;
}

rl_status rl_stages_take_over(const char *directory, const char *start, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *found = NULL; /* listed first: renaming while reading a folder may show a name twice */
    char *stages = rl_path_join(directory, "stages", err);
    if (!stages) return RL_ERR_MEMORY;
    RL_TRY(rl_list_folder(&found, stages, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        const char *name = rl_names_get(found, i);
        if (key_of_work(name)) RL_TRY(take_one(stages, name, key_of_work(name), start, err));
    }
cleanup:
    rl_names_free(found);
    rl_free(stages);
    return status;
}
