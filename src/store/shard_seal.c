/* shard_seal.c -- the first 512 bytes of a shard: what it is, how long, and a checksum of all other bytes, in two
 * lines of text.
 *
 * Why before HDF5 reads anything: 1.10.8 leaks ids when it meets damaged metadata and prints "infinite loop closing
 * library" at exit. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>

static rl_status seal_text(char text[RL_SHARD_SEAL], const char *bytes, size_t length, rl_error *err)
{
    char hex[RL_DIGEST_HEX];
    rl_hash *hash = NULL;
    rl_status status = rl_hash_create(&hash, err);
    if (status != RL_OK) return status;
    rl_hash_bytes(hash, bytes + RL_SHARD_SEAL, length - RL_SHARD_SEAL);
    rl_hash_digest(hash, hex);
    rl_hash_free(hash);
    memset(text, 0, RL_SHARD_SEAL);
    snprintf(text, RL_SHARD_SEAL, RL_SHARD_FORMAT "\n%zu bytes, of those after the first %d XXH3-128 %s\n", length,
             RL_SHARD_SEAL, hex);
    return RL_OK;
}

rl_status rl_shard_seal(char *bytes, size_t length, rl_error *err) { return seal_text(bytes, bytes, length, err); }

rl_status rl_shard_check_seal(const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    char expected[RL_SHARD_SEAL];
    rl_file_view view = {0};
    RL_TRY(rl_file_view_open(&view, path, err));
    if (view.size < RL_SHARD_SEAL || memcmp(view.data, RL_SHARD_FORMAT "\n", strlen(RL_SHARD_FORMAT) + 1)) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: is no shard of this relearn; expected a file that starts with \"%s\"",
                         path, RL_SHARD_FORMAT);
        goto cleanup;
    }
    RL_TRY(seal_text(expected, view.data, view.size, err));
    if (memcmp(view.data, expected, RL_SHARD_SEAL))
        status = rl_fail(err, RL_ERR_INPUT,
                         "%s: is damaged or cut short; its %zu bytes do not match the checksum in its first line", path,
                         view.size);
cleanup:
    rl_file_view_close(&view);
    return status;
}
