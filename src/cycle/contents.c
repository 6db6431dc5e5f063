/* contents.c -- what is in the input files, hashed once per process. */
#include "cycle_internal.h"
#include "contents.h"

#include <stdlib.h>
#include <string.h>
#include <dirent.h>

struct rl_contents {
    rl_names *paths;
    char (*digests)[RL_DIGEST_HEX]; /* [capacity], by path id */
    size_t capacity;
    rl_hash *hash; /* lent for one key at a time: a plan makes tens of thousands */
};

rl_status rl_contents_create(rl_contents **out, rl_error *err)
{
    rl_status status = RL_OK;
    rl_contents *contents = NULL;
    RL_ALLOC(contents, 1, err);
    RL_TRY(rl_names_create(&contents->paths, err));
    RL_TRY(rl_hash_create(&contents->hash, err));
    *out = contents;
    return RL_OK;
cleanup:
    rl_contents_free(contents);
    return status;
}

void rl_contents_free(rl_contents *contents)
{
    if (!contents) return;
    rl_hash_free(contents->hash);
    rl_names_free(contents->paths);
    rl_free(contents->digests);
    rl_free(contents);
}

rl_hash *rl_contents_hash(rl_contents *contents)
{
    rl_hash_restart(contents->hash);
    return contents->hash;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Everything a model folder can change a run by: its JSON, weights and vocabulary; not READMEs or other formats. */
static bool is_model_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (name[0] == '.' || !dot) return false;
    return !strcmp(dot, ".json") || !strcmp(dot, ".safetensors") || !strcmp(name, "vocab.txt") || !strcmp(name, "merges.txt");
}

static rl_status list_model_files(char ***names, size_t *count, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    size_t n = 0, capacity = 0;
    char **list = NULL;
    DIR *open_folder = opendir(folder);
    if (!open_folder) return rl_fail(err, RL_ERR_INPUT, "%s: the model folder cannot be read", folder);
    for (struct dirent *entry; (entry = readdir(open_folder));) {
        if (!is_model_file(entry->d_name)) continue;
        if (n == capacity) {
            char **grown = rl_regrow(list, n, capacity ? capacity * 2 : 16, sizeof *list, err);
            if (!grown) {
                status = RL_ERR_MEMORY;
                goto cleanup;
            }
            list = grown;
            capacity = capacity ? capacity * 2 : 16;
        }
        list[n] = rl_strdup(entry->d_name, err);
        if (!list[n]) {
            status = RL_ERR_MEMORY;
            goto cleanup;
        }
        n++;
    }
    if (n) qsort(list, n, sizeof *list, by_name); /* readdir's order is the file system's */
cleanup:
    closedir(open_folder);
    *names = list;
    *count = n;
    return status;
}

/* A file or folder that cannot be read is that model's fault alone: it has a digest, and loading it says what is wrong. */
static const char unreadable[RL_DIGEST_HEX] = "unreadable";

static rl_status hash_folder(const char *folder, char hex[RL_DIGEST_HEX], rl_error *err)
{
    rl_status status = RL_OK;
    rl_hash *hash = NULL;
    char **names = NULL, *path = NULL;
    size_t count = 0;
    RL_TRY(rl_hash_create(&hash, err));
    status = list_model_files(&names, &count, folder, err);
    if (status == RL_ERR_INPUT) rl_hash_text(hash, unreadable);
    if (status == RL_ERR_MEMORY) goto cleanup;
    status = RL_OK;
    for (size_t i = 0; i < count; i++) {
        char file_hex[RL_DIGEST_HEX];
        rl_free(path);
        path = rl_path_join(folder, names[i], err);
        if (!path) status = RL_ERR_MEMORY;
        if (status != RL_OK) goto cleanup;
        status = rl_hash_file(path, file_hex, err);
        if (status == RL_ERR_INPUT) {
            memcpy(file_hex, unreadable, sizeof file_hex);
            status = RL_OK;
        }
        if (status != RL_OK) goto cleanup;
        rl_hash_text(hash, names[i]);
        rl_hash_text(hash, file_hex);
    }
    rl_hash_digest(hash, hex);
cleanup:
    for (size_t i = 0; i < count; i++) rl_free(names[i]);
    rl_free(names);
    rl_free(path);
    rl_hash_free(hash);
    return status;
}

static rl_status digest_of(char hex[RL_DIGEST_HEX], const char *path, rl_error *err)
{
    return rl_path_is_directory(path) ? hash_folder(path, hex, err) : rl_hash_file(path, hex, err);
}

rl_status rl_contents_check(const rl_contents *contents, const char *path, rl_error *err)
{
    char now[RL_DIGEST_HEX];
    int32_t id = contents && path ? rl_names_find(contents->paths, path, strlen(path)) : -1;
    if (id < 0) return RL_OK;
    rl_status status = digest_of(now, path, err);
    if (status != RL_OK || !strcmp(now, contents->digests[id])) return status;
    return rl_fail(err, RL_ERR_INPUT, "%s: has changed since this start was planned, and results would go by the key of what it was; put that back and "
                   "--retry-failed, or start again with what it is now", path);
}

rl_status rl_contents_digest(rl_contents *contents, const char *path, const char **hex, rl_error *err)
{
    rl_status status = RL_OK;
    char digest[RL_DIGEST_HEX];
    int32_t id = rl_names_find(contents->paths, path, strlen(path));
    if (id >= 0) {
        *hex = contents->digests[id];
        return RL_OK;
    }
    RL_TRY(digest_of(digest, path, err));
    if ((size_t)rl_names_count(contents->paths) == contents->capacity) {
        size_t capacity = contents->capacity ? contents->capacity * 2 : 16;
        char(*grown)[RL_DIGEST_HEX] = rl_regrow(contents->digests, contents->capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        contents->digests = grown;
        contents->capacity = capacity;
    }
    RL_TRY(rl_names_intern(contents->paths, path, strlen(path), &id, err));
    memcpy(contents->digests[id], digest, sizeof digest);
    *hex = contents->digests[id];
cleanup:
    return status;
}
