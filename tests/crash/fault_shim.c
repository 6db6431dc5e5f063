/* fault_shim.c -- an LD_PRELOAD library that makes the file system misbehave, on the n-th call that matters, in one process.
 *
 * Calls are those that change or sync a file or folder whose path contains RELEARN_FAULT_PATH (default: every path below
 * RELEARN_FAULT_ROOT, which must be set). Environment:
 *   RELEARN_FAULT_ROOT  folder whose files matter
 *   RELEARN_FAULT_PATH  part of the paths that count; empty: all
 *   RELEARN_FAULT_OPS   comma-separated: open write fsync rename unlink mkdir truncate lock; empty: all of these (open: for writing only).
 *                       read: opening a file or folder for reading, which fails where it is named (ENOSPC .. ENOSYS only)
 *   RELEARN_FAULT_AT    the n-th counted call of the process misbehaves, from 1; 0 or unset: none
 *   RELEARN_FAULT_FOR   how many calls in a row misbehave (default 1; 0: all from then on)
 *   RELEARN_FAULT_DO    ENOSPC EIO EDQUOT EINTR ENOSYS (fail with it), SHORT (write half), KILL (SIGKILL before the call),
 *                       TEAR (write half, then SIGKILL), AFTER (SIGKILL after the call), FLIP (a bit of the last byte of pwrite and pwritev,
 *                       where they write 4 kB and more: what is data, not a header)
 *   RELEARN_FAULT_LOG   file that gets "PID OP PATH[ -> PATH]" for every call that succeeded
 * Only what goes through the dynamic linker is seen; the C library's own stdio writes are not. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum fault { NONE, FAIL, SHORT, TEAR, AFTER, FLIP } fault;

static atomic_long counted;

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) return true;
    return list[0] == '\0';
}

static void absolute(char out[PATH_MAX], const char *path)
{
    char folder[PATH_MAX];
    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        snprintf(out, PATH_MAX, "%s", path);
    else if (snprintf(out, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX)
        out[0] = '\0';
}

static void path_of(char out[PATH_MAX], int descriptor)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length > 0 ? length : 0] = '\0';
}

static bool matters(const char *path, const char *op)
{
    const char *root = setting("RELEARN_FAULT_ROOT"), *part = setting("RELEARN_FAULT_PATH");
    if (!root[0] || strncmp(path, root, strlen(root))) return false;
    return (!part[0] || strstr(path, part)) && has_word(setting("RELEARN_FAULT_OPS"), op);
}

static int error_number(const char *name)
{
    return !strcmp(name, "EIO") ? EIO : !strcmp(name, "EINTR") ? EINTR : !strcmp(name, "EDQUOT") ? EDQUOT : !strcmp(name, "ENOSYS") ? ENOSYS : ENOSPC;
}

/* What shall happen to this call; errno is set for FAIL. */
static fault next_fault(const char *path, const char *op)
{
    long at = atol(setting("RELEARN_FAULT_AT"));
    if (!matters(path, op)) return NONE;
    long n = atomic_fetch_add(&counted, 1) + 1;
    const char *count = getenv("RELEARN_FAULT_FOR"), *what = setting("RELEARN_FAULT_DO");
    long times = count ? atol(count) : 1;
    if (at <= 0 || n < at || (times > 0 && n >= at + times)) return NONE;
    if (!strcmp(what, "KILL")) kill(getpid(), SIGKILL);
    if (!strcmp(what, "SHORT")) return SHORT;
    if (!strcmp(what, "TEAR")) return TEAR;
    if (!strcmp(what, "AFTER")) return AFTER;
    if (!strcmp(what, "FLIP")) return FLIP;
    errno = error_number(what);
    return FAIL;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Not by the interposed calls: open and write here are the system's. */
static void note(const char *op, const char *path, const char *to)
{
    static atomic_int log_file = -2;
    char line[2 * PATH_MAX + 64];
    if (log_file == -2) {
        const char *name = setting("RELEARN_FAULT_LOG");
        log_file = name[0] ? REAL(open)(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    }
    if (log_file < 0) return;
    int kept = errno, length = snprintf(line, sizeof line, "%ld %s %s%s%s\n", (long)getpid(), op, path, to ? " -> " : "", to ? to : "");
    if (REAL(write)(log_file, line, (size_t)length) < 0) abort();
    errno = kept;
}

static void done(fault fault, const char *op, const char *path, const char *to)
{
    if (matters(path, op)) note(op, path, to);
    if (fault == AFTER || fault == TEAR) kill(getpid(), SIGKILL);
}

/* ------------------------------------------------------------------------------------------------------ open */

static bool writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

static bool read_fails(const char *path) { return setting("RELEARN_FAULT_OPS")[0] && next_fault(path, "read") == FAIL; }

#define OPEN_BODY(path, flags, call)                             \
    char whole[PATH_MAX];                                        \
    mode_t mode = 0;                                             \
    va_list more;                                                \
    va_start(more, flags);                                       \
    if (flags & O_CREAT) mode = (mode_t)va_arg(more, int);       \
    va_end(more);                                                \
    absolute(whole, path);                                       \
    if (!writes(flags)) return read_fails(whole) ? -1 : call;    \
    fault fault = next_fault(whole, "open");                     \
    if (fault == FAIL) return -1;                                \
    int descriptor = call;                                       \
    if (descriptor >= 0) done(fault, "open", whole, NULL);       \
    return descriptor

int open(const char *path, int flags, ...) { OPEN_BODY(path, flags, REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPEN_BODY(path, flags, REAL(open64)(path, flags, mode)); }
int openat(int folder, const char *path, int flags, ...) { OPEN_BODY(path, flags, REAL(openat)(folder, path, flags, mode)); }

/* ----------------------------------------------------------------------------------------------------- write */

static size_t half(fault fault, size_t length) { return (fault == SHORT || fault == TEAR) && length > 1 ? length / 2 : length; }

static ssize_t flipped(fault fault, int descriptor, off_t at, ssize_t written)
{
    char last;
    if (fault != FLIP || written < 4096 || pread(descriptor, &last, 1, at + written - 1) != 1) return written;
    last ^= 1;
    if (REAL(pwrite)(descriptor, &last, 1, at + written - 1) != 1) abort();
    return written;
}

#define WRITE_BODY(call)                             \
    char path[PATH_MAX];                             \
    path_of(path, descriptor);                       \
    fault fault = next_fault(path, "write");         \
    if (fault == FAIL) return -1;                    \
    ssize_t written = call;                          \
    if (written >= 0) done(fault, "write", path, NULL); \
    return written

ssize_t write(int descriptor, const void *bytes, size_t length) { WRITE_BODY(REAL(write)(descriptor, bytes, half(fault, length))); }
ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t at)
{
    WRITE_BODY(flipped(fault, descriptor, at, REAL(pwrite)(descriptor, bytes, half(fault, length), at)));
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t at)
{
    WRITE_BODY(flipped(fault, descriptor, at, REAL(pwrite64)(descriptor, bytes, half(fault, length), at)));
}
ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    WRITE_BODY(REAL(writev)(descriptor, parts, fault == SHORT || fault == TEAR ? 1 : count));
}
ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t at)
{
    WRITE_BODY(flipped(fault, descriptor, at, REAL(pwritev)(descriptor, parts, fault == SHORT || fault == TEAR ? 1 : count, at)));
}

/* ------------------------------------------------------------------------------------------- sync and folders */

#define DESCRIPTOR_BODY(op, call)              \
    char path[PATH_MAX];                       \
    path_of(path, descriptor);                 \
    fault fault = next_fault(path, op);        \
    if (fault == FAIL) return -1;              \
    int result = call;                         \
    if (result == 0) done(fault, op, path, NULL); \
    return result

int fsync(int descriptor) { DESCRIPTOR_BODY("fsync", REAL(fsync)(descriptor)); }
int fdatasync(int descriptor) { DESCRIPTOR_BODY("fsync", REAL(fdatasync)(descriptor)); }
int ftruncate(int descriptor, off_t length) { DESCRIPTOR_BODY("truncate", REAL(ftruncate)(descriptor, length)); }
int ftruncate64(int descriptor, off64_t length) { DESCRIPTOR_BODY("truncate", REAL(ftruncate64)(descriptor, length)); }

#define PATH_BODY(op, path, to, call)          \
    char whole[PATH_MAX];                      \
    absolute(whole, path);                     \
    fault fault = next_fault(whole, op);       \
    if (fault == FAIL) return -1;              \
    int result = call;                         \
    if (result == 0) done(fault, op, whole, to); \
    return result

int rename(const char *from, const char *to) { PATH_BODY("rename", from, to, REAL(rename)(from, to)); }
int unlink(const char *path) { PATH_BODY("unlink", path, NULL, REAL(unlink)(path)); }
int rmdir(const char *path) { PATH_BODY("unlink", path, NULL, REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { PATH_BODY("mkdir", path, NULL, REAL(mkdir)(path, mode)); }

/* ------------------------------------------------------------------------------------------------------ lock */

static bool locks(int command) { return command == F_SETLK || command == F_SETLKW; }

#define FCNTL_BODY(name)                                            \
    va_list more;                                                   \
    va_start(more, command);                                        \
    void *argument = va_arg(more, void *);                          \
    va_end(more);                                                   \
    if (!locks(command)) return REAL(name)(descriptor, command, argument); \
    DESCRIPTOR_BODY("lock", REAL(name)(descriptor, command, argument))

int fcntl(int descriptor, int command, ...) { FCNTL_BODY(fcntl); }
int fcntl64(int descriptor, int command, ...) { FCNTL_BODY(fcntl64); }
