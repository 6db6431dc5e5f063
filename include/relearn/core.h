/* relearn/core.h -- what every other room stands on.
 *
 * Errors that carry one clear line, arenas, random numbers that are a pure function of their coordinates, content
 * hashes, interned names, files that are either whole or absent, and the stop request. Leans on nothing but libc,
 * jansson (JSON) and xxHash. Nothing here prints, exits or aborts; nothing here knows MPI.
 *
 * Conventions of the whole project: functions return rl_status and take the caller's rl_error last; out-parameters
 * are untouched on failure; `*_free(NULL)` is fine; strings are UTF-8 and NUL-terminated. */
#ifndef RELEARN_CORE_H
#define RELEARN_CORE_H

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RL_VERSION "0.1.0"
/* Raised whenever a change alters the bits a stage produces: it is part of every stage key (design §6). */
#define RL_NUMERICS_VERSION 2

/* ------------------------------------------------------------------------------------------------ errors */

typedef enum rl_status {
    RL_OK = 0,
    RL_ERR_USAGE,    /* the command line is wrong                                            -> exit 2 */
    RL_ERR_INPUT,    /* a file or setting is wrong                                           -> exit 2, or a failed run */
    RL_ERR_IO,       /* the operating system refused: full disk, no permission               -> exit 2, or a failed run */
    RL_ERR_MEMORY,   /* out of memory                                                        -> exit 70, or a failed run */
    RL_ERR_DIVERGED, /* a loss exploded or is not finite: a result of the run, not a crash   -> a failed run */
    RL_ERR_STOPPED,  /* a stop was requested; everything needed to resume is on disk         -> exit 75 */
    RL_ERR_INTERNAL  /* our mistake                                                          -> exit 70 */
} rl_status;

typedef struct rl_error {
    rl_status status;
    char message[1024]; /* one line, without "relearn: " and without a final newline */
} rl_error;

#if defined(__GNUC__)
#define RL_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#else
#define RL_PRINTF(format_index, first_argument)
#endif

/* Set *err (may be NULL) and return status. */
rl_status rl_fail(rl_error *err, rl_status status, const char *format, ...) RL_PRINTF(3, 4);
/* As rl_fail with "FILE:LINE:COLUMN: " in front; line or column <= 0 are left out. */
rl_status rl_fail_at(rl_error *err, rl_status status, const char *file, long line, long column, const char *format, ...)
    RL_PRINTF(6, 7);
/* As rl_fail with ": " strerror(errno) appended; status RL_ERR_IO. */
rl_status rl_fail_errno(rl_error *err, const char *format, ...) RL_PRINTF(2, 3);
/* Append " (while ...)" to a failure; does nothing when status is RL_OK. Returns status. */
rl_status rl_error_while(rl_error *err, rl_status status, const char *format, ...) RL_PRINTF(3, 4);
/* The exit code of the contract (design §2): 0, 2, 70 or 75. */
int rl_exit_code(rl_status status);

/* One line of valid UTF-8, in place, whatever the bytes were and wherever they were cut ('?' for what is none): for terminals and JSON.
 * Error messages are that already; a path need not be. */
void rl_make_printable(char *text);
size_t rl_utf8_length(const char *letter); /* bytes of the UTF-8 sequence there; 0: none (RFC 3629: no surrogates, no overlong forms) */

/* In a function that has `rl_status status` and a `cleanup:` label. */
#define RL_TRY(call)                          \
    do {                                      \
        status = (call);                      \
        if (status != RL_OK) goto cleanup;    \
    } while (0)

/* ptr = zeroed array of n; on failure status = RL_ERR_MEMORY and goto cleanup. Free with rl_free. */
#define RL_ALLOC(ptr, n, err)                                       \
    do {                                                            \
        (ptr) = rl_calloc((size_t)(n), sizeof *(ptr), (err));       \
        if (!(ptr)) {                                               \
            status = RL_ERR_MEMORY;                                 \
            goto cleanup;                                           \
        }                                                           \
    } while (0)

/* An invariant of ours; stays on in release. Fails the surrounding function with RL_ERR_INTERNAL. */
#define RL_REQUIRE(condition, err)                                                                           \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            status = rl_fail_at((err), RL_ERR_INTERNAL, __FILE__, __LINE__, 0, "violated: %s", #condition);  \
            goto cleanup;                                                                                    \
        }                                                                                                    \
    } while (0)

/* ------------------------------------------------------------------------------------------------ memory */

/* Zeroed memory, 64-byte aligned, at least one byte; NULL and *err on failure (overflow included). */
void *rl_calloc(size_t count, size_t size, rl_error *err);
/* Grow to count elements, old contents kept, new bytes zeroed. `old_count` is what it held. NULL on failure: the old
 * block stays valid. */
void *rl_regrow(void *old, size_t old_count, size_t count, size_t size, rl_error *err);
void rl_free(void *memory); /* NULL is fine */
char *rl_strdup(const char *text, rl_error *err);
char *rl_format(rl_error *err, const char *format, ...) RL_PRINTF(2, 3); /* malloc'd string; rl_free */

/* A region sized once, handed out in 64-byte-aligned spans, given back all at once or to a mark. */
typedef struct rl_arena rl_arena;
rl_status rl_arena_create(rl_arena **out, const char *name, size_t bytes, rl_error *err);
void *rl_arena_take(rl_arena *arena, size_t count, size_t size); /* NULL when full: callers size exactly; not zeroed */
size_t rl_arena_mark(const rl_arena *arena);
void rl_arena_release(rl_arena *arena, size_t mark); /* poisoned in asan builds */
size_t rl_arena_bytes(const rl_arena *arena);
size_t rl_arena_span(size_t count, size_t size); /* bytes that one take of this size uses */
void rl_arena_free(rl_arena *arena);

/* A growing byte string; always NUL-terminated after the first append. Zero-initialise; rl_buffer_free. */
typedef struct rl_buffer {
    char *data;
    size_t length, capacity;
} rl_buffer;
rl_status rl_buffer_append(rl_buffer *buffer, const void *bytes, size_t length, rl_error *err);
rl_status rl_buffer_printf(rl_buffer *buffer, rl_error *err, const char *format, ...) RL_PRINTF(3, 4);
rl_status rl_buffer_vprintf(rl_buffer *buffer, rl_error *err, const char *format, va_list arguments);
void rl_buffer_free(rl_buffer *buffer);

/* --------------------------------------------------------------------------------------- interned names */

/* Distinct strings with ids 0, 1, 2, ... in order of first appearance. Byte-wise exact. Not thread-safe. */
typedef struct rl_names rl_names;
rl_status rl_names_create(rl_names **out, rl_error *err);
void rl_names_free(rl_names *names);
/* id of text[0..length), added if new. */
rl_status rl_names_intern(rl_names *names, const char *text, size_t length, int32_t *id, rl_error *err);
int32_t rl_names_find(const rl_names *names, const char *text, size_t length); /* -1 when absent */
const char *rl_names_get(const rl_names *names, int32_t id);                   /* valid until rl_names_free */
int32_t rl_names_count(const rl_names *names);
/* The candidate nearest to `text` by edit distance, or NULL when none is near enough to be a likely typo. */
const char *rl_nearest_name(const char *text, const char *const *candidates, size_t num_candidates);

/* ----------------------------------------------------------------------------------------------- random */

/* Philox4x32-10 (Salmon et al., SC'11; Random123). out = philox(counter, key). Pure. */
void rl_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* What a stream is for: with the seed it makes the key, so that no two uses ever share numbers. */
typedef enum rl_purpose {
    RL_PURPOSE_DROPOUT = 1,
    RL_PURPOSE_HEAD_INIT = 2,
    RL_PURPOSE_WEIGHT_INIT = 3,
    RL_PURPOSE_ROUND_SEED = 4,
    RL_PURPOSE_PRUNE = 5,
    RL_PURPOSE_BOOTSTRAP = 6,
    RL_PURPOSE_RANDOM_RANK = 7,
    RL_PURPOSE_CONTROL_LABELS = 8,
    RL_PURPOSE_POSITIONS = 9,
    RL_PURPOSE_CAUSAL = 10,
    RL_PURPOSE_SHARE_SEED = 11
} rl_purpose;
/* key = two words mixed from (seed, purpose) by Philox itself. */
void rl_rng_key(uint64_t seed, rl_purpose purpose, uint32_t key[2]);
/* Element `index` of stream (seed, purpose, a, b): 32 random bits; uniform in (0,1); normal by Box-Muller (double). */
uint32_t rl_rng_bits(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index);
double rl_rng_uniform(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index);
double rl_rng_normal(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, uint64_t index);
/* num_chosen distinct values of 0..n-1, ascending-free order of a Fisher-Yates walk on the given stream. chosen[num_chosen]. */
rl_status rl_rng_choose(uint64_t seed, rl_purpose purpose, uint32_t a, uint32_t b, int64_t n, int64_t num_chosen,
                        int64_t *chosen, rl_error *err);

/* torch.randperm on the CPU (protocol §3 "Order"): MT19937 with the 32-bit seed, r[i] <-> r[i + u32 mod (n-i)].
 * The generator is exposed because HF 4 draws two permutations an epoch from one generator. */
typedef struct rl_mt19937 {
    uint32_t state[624];
    int position;
} rl_mt19937;
void rl_mt19937_seed(rl_mt19937 *generator, uint32_t seed);
uint32_t rl_mt19937_next(rl_mt19937 *generator);
void rl_mt19937_randperm(rl_mt19937 *generator, int64_t n, int64_t *permutation); /* n < 2^32 */

/* ------------------------------------------------------------------------------------------------- hash */

#define RL_DIGEST_HEX 33 /* 32 hex digits and a NUL */
/* XXH3-128 over tagged, length-prefixed fields, so that ("ab","c") and ("a","bc") differ. */
typedef struct rl_hash rl_hash;
rl_status rl_hash_create(rl_hash **out, rl_error *err);
void rl_hash_restart(rl_hash *hash); /* as newly created */
void rl_hash_bytes(rl_hash *hash, const void *bytes, size_t length);
void rl_hash_text(rl_hash *hash, const char *text);
void rl_hash_int(rl_hash *hash, int64_t value);
void rl_hash_real(rl_hash *hash, double value);
void rl_hash_digest(const rl_hash *hash, char hex[RL_DIGEST_HEX]);
void rl_hash_free(rl_hash *hash);
uint64_t rl_hash64(const void *bytes, size_t length); /* XXH3-64: checksums of records */
rl_status rl_hash_file(const char *path, char hex[RL_DIGEST_HEX], rl_error *err); /* content only */

/* ------------------------------------------------------------------------------------------------ files */

/* A read-only view of a whole file (mmap; an empty file has data "" and size 0). */
typedef struct rl_file_view {
    const char *data;
    size_t size;
    bool mapped;
} rl_file_view;
rl_status rl_file_view_open(rl_file_view *out, const char *path, rl_error *err);
void rl_file_view_close(rl_file_view *view); /* zero-initialised is fine */

bool rl_path_exists(const char *path);
bool rl_path_is_directory(const char *path);
char *rl_path_join(const char *folder, const char *name, rl_error *err); /* an absolute name wins; rl_free */
char *rl_path_parent(const char *path, rl_error *err);                   /* "." for a bare name; rl_free */
rl_status rl_make_directories(const char *path, rl_error *err);          /* mkdir -p */
rl_status rl_remove_tree(const char *path, rl_error *err);               /* absent is fine; never follows links */
rl_status rl_copy_file(const char *from, const char *to, rl_error *err); /* atomic on the receiving side */
/* What a folder lists but . and .., in the file system's order (rl_names_free); nothing when it cannot be listed. */
rl_status rl_list_folder(rl_names **out, const char *path, rl_error *err);
int64_t rl_disk_free_bytes(const char *path);                            /* -1 when unknown */

/* Write aside (same folder, name.tmp.<pid>), fsync, rename, fsync the folder: readers see the old bytes or the new. */
typedef struct rl_atomic_file {
    int descriptor;
    char *path, *temporary;
} rl_atomic_file;
rl_status rl_atomic_begin(rl_atomic_file *file, const char *path, rl_error *err);
rl_status rl_atomic_write(rl_atomic_file *file, const void *bytes, size_t length, rl_error *err); /* retries EINTR, short */
rl_status rl_atomic_commit(rl_atomic_file *file, rl_error *err);
void rl_atomic_abandon(rl_atomic_file *file); /* after commit: nothing left to do */
rl_status rl_write_file(const char *path, const void *bytes, size_t length, rl_error *err); /* the three in one */
/* Remove what kills left of the above in one folder: regular files NAME.tmp.PID. Only where nobody else writes. Absent is fine. */
rl_status rl_remove_temporaries(const char *folder, rl_error *err);
/* Make durable and visible a folder or file that was prepared under a temporary name. Replaces nothing that is a
 * non-empty folder (RL_OK and the temporary is removed when the target is already complete). */
rl_status rl_publish(const char *temporary, const char *path, rl_error *err);

/* Move a damaged file or folder of DIR to the same place under DIR/quarantine (with .2, .3, ... where the name is taken).
 * *moved_to (rl_free; may be NULL) is where it went. */
rl_status rl_quarantine(char **moved_to, const char *directory, const char *path, rl_error *err);
rl_status rl_quarantine_copy(char **copied_to, const char *directory, const char *path, rl_error *err); /* the file stays as well */

/* An exclusive advisory lock file holding "host pid"; released by rl_lock_release or process death (fcntl). */
typedef struct rl_lock {
    int descriptor;
    char *path;
} rl_lock;
rl_status rl_lock_take(rl_lock *out, const char *path, rl_error *err); /* RL_ERR_INPUT names the holder */
void rl_lock_release(rl_lock *lock);

/* ------------------------------------------------------------------------------------------------- JSON */

/* Parse a JSON file; failures name FILE:LINE:COL. The root must be an object. json_decref when done. */
rl_status rl_json_read(json_t **out, const char *path, rl_error *err);
/* A new reference; JSON has no NaN or infinity: those become null. */
json_t *rl_json_number(double value);
json_t *rl_json_text(const char *text); /* a new reference; made printable, since JSON is UTF-8; NULL without memory */
rl_status rl_json_write(const char *path, const json_t *root, rl_error *err); /* indented, sorted keys, atomic */

/* Files of our own, with "sum": a checksum of everything else in them. Writing adds it; reading takes it off again, and refuses
 * a file that has none or another (RL_ERR_INPUT). */
rl_status rl_json_write_summed(const char *path, json_t *root, rl_error *err);
rl_status rl_json_read_summed(json_t **out, const char *path, rl_error *err);

/* ---------------------------------------------------------------------------------------- clock and stop */

double rl_now_s(void); /* monotonic seconds */
double rl_thread_cpu_s(void); /* seconds of a core that this thread has had: waiting for a core, or a disk, is not in it */
/* "2026-11-22T21:52:05Z" */
void rl_utc_timestamp(char text[21]);
/* SIGTERM, SIGINT, SIGUSR1 -> rl_stop_requested(). A second SIGINT kills as usual. */
rl_status rl_stop_install(rl_error *err);
bool rl_stop_requested(void);
/* That, or the work under way shall end: what long loops ask that have no hooks of their own. asked (NULL: none; one for the process) is called
 * then, by the thread that asks: the one that called rl_work_ask. */
bool rl_work_should_stop(void);
void rl_work_ask(bool (*asked)(void *context), void *context);
void rl_stop_request(void);
/* Requests it by itself so many seconds from now, once rl_stop_install has been called; the last call counts. */
void rl_stop_after(double seconds);

#ifdef __cplusplus
}
#endif
#endif
