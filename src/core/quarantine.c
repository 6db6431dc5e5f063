/* quarantine.c -- what is found damaged is moved out of the way, never deleted and never trusted. */
#include "relearn/core.h"

#include <stdio.h>
#include <string.h>

/* DIR/quarantine/REST for DIR/REST, with .2, .3, ... where that name is taken. */
static char *free_name(const char *directory, const char *path, rl_error *err)
{
    size_t length = strlen(directory);
    const char *rest = !strncmp(path, directory, length) && path[length] == '/' ? path + length + 1 : strrchr(path, '/');
    rest = !rest ? path : *rest == '/' ? rest + 1 : rest;
    char *name = rl_format(err, "%s/quarantine/%s", directory, rest);
    for (int n = 2; name && rl_path_exists(name); n++) {
        rl_free(name);
        name = rl_format(err, "%s/quarantine/%s.%d", directory, rest, n);
    }
    return name;
}

static rl_status move(const char *from, const char *to, rl_error *err)
{
    return rename(from, to) == 0 ? RL_OK : rl_fail_errno(err, "%s: is damaged and cannot be moved to %s", from, to);
}

static rl_status set_aside(char **where, const char *directory, const char *path,
                           rl_status (*put)(const char *from, const char *to, rl_error *err), rl_error *err)
{
    rl_status status = RL_OK;
    char *parent = NULL, *name = free_name(directory, path, err);
    if (!name) return RL_ERR_MEMORY;
    parent = rl_path_parent(name, err);
    if (!parent) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_make_directories(parent, err);
    if (status == RL_OK) status = put(path, name, err);
    rl_free(parent);
    if (status == RL_OK && where)
        *where = name;
    else
        rl_free(name);
    return status;
}

rl_status rl_quarantine(char **moved_to, const char *directory, const char *path, rl_error *err)
{
    return set_aside(moved_to, directory, path, move, err);
}

rl_status rl_quarantine_copy(char **copied_to, const char *directory, const char *path, rl_error *err)
{
    return set_aside(copied_to, directory, path, rl_copy_file, err);
}
