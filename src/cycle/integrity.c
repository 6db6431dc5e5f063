/* integrity.c -- a stage folder knows its files: stage.json lists size and XXH3-128 of each, and carries a checksum of its own.
 * Whoever reads a stage checks it first; what does not match goes to DIR/quarantine and is made again. */
#include "cycle_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char record_name[] = "stage.json", weights_name[] = "model.safetensors";

/* Not part of the result: the record itself, hidden files, a checkpoint, what a kill left half-written. */
static bool is_listed(const char *name)
{
    return name[0] != '.' && strcmp(name, record_name) != 0 && strncmp(name, "checkpoint", 10) != 0 && !strstr(name, ".tmp.");
}

static rl_status describe_file(json_t *files, const char *folder, const char *name, rl_error *err)
{
    char hex[RL_DIGEST_HEX];
    struct stat info;
    char *path = rl_path_join(folder, name, err);
    if (!path) return RL_ERR_MEMORY;
    rl_status status = stat(path, &info) == 0 ? rl_hash_file(path, hex, err) : rl_fail_errno(err, "%s: cannot be read", path);
    rl_free(path);
    if (status != RL_OK) return status;
    json_object_set_new(files, name, json_pack("{s:I, s:s}", "bytes", (json_int_t)info.st_size, "xxh3", hex));
    return RL_OK;
}

rl_status rl_stage_describe_files(json_t **out, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *files = json_object();
    DIR *open_folder = opendir(folder);
    if (!open_folder) status = rl_fail_errno(err, "%s: cannot be listed", folder);
    for (struct dirent *entry; status == RL_OK && (entry = readdir(open_folder));)
        if (is_listed(entry->d_name)) status = describe_file(files, folder, entry->d_name, err);
    if (open_folder) closedir(open_folder);
    if (status == RL_OK)
        *out = files;
    else
        json_decref(files);
    return status;
}

static rl_status check_file(const json_t *described, const char *folder, const char *name, bool contents, rl_error *err)
{
    rl_status status = RL_OK;
    char hex[RL_DIGEST_HEX];
    struct stat info;
    const char *expected = json_string_value(json_object_get(described, "xxh3"));
    json_int_t bytes = json_integer_value(json_object_get(described, "bytes"));
    char *path = rl_path_join(folder, name, err);
    if (!path) return RL_ERR_MEMORY;
    if (stat(path, &info) != 0) {
        status = errno == ENOENT ? rl_fail(err, RL_ERR_INPUT, "%s: is missing", path) : rl_fail_errno(err, "%s: cannot be read", path);
    } else if (info.st_size != bytes) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: is damaged: it has %lld bytes, expected %lld", path, (long long)info.st_size,
                         (long long)bytes);
    } else if (contents) {
        status = rl_hash_file(path, hex, err);
        if (status == RL_OK && (!expected || strcmp(hex, expected)))
            status = rl_fail(err, RL_ERR_INPUT, "%s: is damaged: its contents have the checksum %s, expected %s", path, hex,
                             expected ? expected : "none");
    }
    rl_free(path);
    return status;
}

rl_status rl_stage_check(const char *folder, bool with_weights, rl_error *err)
{
    json_t *root = NULL, *described;
    const char *name;
    char *path = rl_path_join(folder, record_name, err);
    if (!path) return RL_ERR_MEMORY;
    rl_status status = rl_json_read_summed(&root, path, err);
    rl_free(path);
    if (status == RL_OK && !json_is_object(json_object_get(root, "files")))
        status = rl_fail(err, RL_ERR_INPUT, "%s/%s: lists no files; expected the record of a stage of this relearn", folder, record_name);
    if (status == RL_OK)
        json_object_foreach(json_object_get(root, "files"), name, described)
        {
            status = check_file(described, folder, name, with_weights || strcmp(name, weights_name) != 0, err);
            if (status != RL_OK) break;
        }
    json_decref(root);
    return status;
}

/* Tell the owner in one line, naming the path as seen from DIR. */
static void tell(rl_cycle *cycle, const rl_stage *stage, const char *why, const char *moved_to, const char *consequence)
{
    char text[1024];
    snprintf(text, sizeof text, "%s; moved to %s, %s", why, moved_to, consequence);
    if (cycle->hooks.on_notice) cycle->hooks.on_notice(cycle->hooks.context, stage, text);
}

rl_status rl_stage_set_aside(rl_cycle *cycle, const rl_stage *stage, const char *path, const char *why, const char *consequence,
                             rl_error *err)
{
    char *moved_to = NULL;
    rl_status status = rl_quarantine(&moved_to, cycle->directory, path, err);
    if (status == RL_OK && why) tell(cycle, stage, why, moved_to, consequence);
    rl_free(moved_to);
    return status;
}
