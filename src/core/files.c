/* files.c -- files that are whole or absent: views, folders, atomic writes, publishing, locks. */
#include "relearn/core.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- views */

/* Network file systems interrupt open: that is no failure. */
static int open_to_read(const char *path, int flags)
{
    int descriptor;
    do descriptor = open(path, O_RDONLY | O_CLOEXEC | flags);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* Is it this path that is wrong? Everything else is the machine's doing, and passes: nothing is damaged, no run has failed. */
static bool is_wrong_path(int number)
{
    static const int wrong[] = {ENOENT, ENOTDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, EISDIR, ENXIO};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (number == wrong[i]) return true;
    return false;
}

rl_status rl_file_view_open(rl_file_view *out, const char *path, rl_error *err)
{
    struct stat info;
    int descriptor = open_to_read(path, O_NONBLOCK | O_NOCTTY); /* a FIFO without a writer would be waited for, for ever */
    if (descriptor < 0)
        return rl_fail(err, is_wrong_path(errno) ? RL_ERR_INPUT : RL_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(descriptor);
        return rl_fail(err, RL_ERR_INPUT, "%s: is not a regular file", path);
    }
    rl_file_view view = {.data = "", .size = (size_t)info.st_size, .mapped = false};
    if (view.size > 0) {
        void *memory = mmap(NULL, view.size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (memory == MAP_FAILED) {
            int number = errno;
            close(descriptor);
            return rl_fail(err, RL_ERR_IO, "%s: cannot be mapped: %s", path, strerror(number));
        }
        view.data = memory;
        view.mapped = true;
    }
    close(descriptor);
    *out = view;
    return RL_OK;
}

void rl_file_view_close(rl_file_view *view)
{
    if (view->mapped) munmap((void *)(uintptr_t)view->data, view->size);
    *view = (rl_file_view){0};
}

/* ------------------------------------------------------------------------------------------------- paths */

bool rl_path_exists(const char *path) { return access(path, F_OK) == 0; }

bool rl_path_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *rl_path_join(const char *folder, const char *name, rl_error *err)
{
    if (name[0] == '/' || folder[0] == '\0') return rl_strdup(name, err);
    bool slash = folder[strlen(folder) - 1] == '/';
    return rl_format(err, "%s%s%s", folder, slash ? "" : "/", name);
}

char *rl_path_parent(const char *path, rl_error *err)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return rl_strdup(".", err);
    return slash == path ? rl_strdup("/", err) : rl_format(err, "%.*s", (int)(slash - path), path);
}

rl_status rl_make_directories(const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    char *copy = rl_strdup(path, err);
    if (!copy) return RL_ERR_MEMORY;
    for (char *c = copy + 1; status == RL_OK; c++) {
        if (*c != '/' && *c != '\0') continue;
        char kept = *c;
        *c = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = rl_fail_errno(err, "%s: the folder cannot be made", copy);
        else if (!rl_path_is_directory(copy))
            status = rl_fail(err, RL_ERR_IO, "%s: is in the way of a folder", copy);
        *c = kept;
        if (kept == '\0') break;
    }
    rl_free(copy);
    return status;
}

static rl_status remove_children(const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    DIR *folder = opendir(path);
    if (!folder) return rl_fail_errno(err, "%s: cannot be listed", path);
    for (struct dirent *entry; status == RL_OK && (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        char *child = rl_path_join(path, entry->d_name, err);
        status = child ? rl_remove_tree(child, err) : RL_ERR_MEMORY;
        rl_free(child);
    }
    closedir(folder);
    return status;
}

rl_status rl_remove_tree(const char *path, rl_error *err)
{
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT ? RL_OK : rl_fail_errno(err, "%s: cannot be examined", path);
    if (!S_ISDIR(info.st_mode))
        return unlink(path) == 0 || errno == ENOENT ? RL_OK : rl_fail_errno(err, "%s: cannot be removed", path);
    rl_status status = remove_children(path, err);
    if (status == RL_OK && rmdir(path) != 0 && errno != ENOENT) status = rl_fail_errno(err, "%s: cannot be removed", path);
    return status;
}

rl_status rl_list_folder(rl_names **out, const char *path, rl_error *err)
{
    rl_names *names = NULL;
    int32_t id = 0;
    rl_status status = rl_names_create(&names, err);
    if (status != RL_OK) return status;
    DIR *folder = opendir(path);
    for (struct dirent *entry; status == RL_OK && folder && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = rl_names_intern(names, entry->d_name, strlen(entry->d_name), &id, err);
    if (folder) closedir(folder);
    if (status == RL_OK)
        *out = names;
    else
        rl_names_free(names);
    return status;
}

int64_t rl_disk_free_bytes(const char *path)
{
    struct statvfs info;
    if (statvfs(path, &info) != 0 || info.f_blocks == 0) return -1; /* /proc and its like have no blocks at all */
    return (int64_t)info.f_bavail * (int64_t)info.f_frsize;
}

/* ------------------------------------------------------------------------------------------ atomic files */

/* POSIX lets a signal interrupt fsync, and network file systems interrupt open: neither is a failure. */
static int synchronise(int descriptor)
{
    int result;
    do result = fsync(descriptor);
    while (result != 0 && errno == EINTR);
    return result;
}

static int open_to_write(const char *path, int flags)
{
    int descriptor; /* a name of our own making: where a link lies there, it is somebody else's */
    do descriptor = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0666);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* A signal may interrupt a write, or end it early: neither is a fault. */
static bool write_all(int descriptor, const void *bytes, size_t length)
{
    for (const char *next = bytes; length > 0;) {
        ssize_t written = write(descriptor, next, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        next += written;
        length -= (size_t)written;
    }
    return true;
}

static bool lock_whole(int descriptor)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result;
    do result = fcntl(descriptor, F_SETLK, &whole);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

static bool cut_off(int descriptor)
{
    int result;
    do result = ftruncate(descriptor, 0);
    while (result != 0 && errno == EINTR);
    return result == 0 && lseek(descriptor, 0, SEEK_SET) == 0;
}

static rl_status sync_parent(const char *path, rl_error *err)
{
    char *parent = rl_path_parent(path, err);
    if (!parent) return RL_ERR_MEMORY;
    int descriptor = open_to_read(parent, O_DIRECTORY);
    /* Some network file systems refuse fsync on a folder (EINVAL), as does one that may not be listed: the rename itself is then all there is. */
    rl_status status = RL_OK;
    if (descriptor < 0 ? errno != EACCES : synchronise(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = rl_fail_errno(err, "%s: cannot be synchronised", parent);
    if (descriptor >= 0) close(descriptor);
    rl_free(parent);
    return status;
}

rl_status rl_atomic_begin(rl_atomic_file *file, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_atomic_file made = {.descriptor = -1};
    made.path = rl_strdup(path, err);
    made.temporary = rl_format(err, "%s.tmp.%ld", path, (long)getpid());
    if (!made.path || !made.temporary) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    made.descriptor = open_to_write(made.temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (made.descriptor < 0) {
        status = rl_fail_errno(err, "%s: cannot be written", path);
        goto cleanup;
    }
    *file = made;
    return RL_OK;
cleanup:
    rl_free(made.path);
    rl_free(made.temporary);
    return status;
}

rl_status rl_atomic_write(rl_atomic_file *file, const void *bytes, size_t length, rl_error *err)
{
    return write_all(file->descriptor, bytes, length) ? RL_OK : rl_fail_errno(err, "%s: cannot be written", file->path);
}

static void forget(rl_atomic_file *file)
{
    rl_free(file->path);
    rl_free(file->temporary);
    *file = (rl_atomic_file){.descriptor = -1};
}

rl_status rl_atomic_commit(rl_atomic_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    if (synchronise(file->descriptor) != 0) status = rl_fail_errno(err, "%s: cannot be synchronised", file->path);
    if (close(file->descriptor) != 0 && status == RL_OK) status = rl_fail_errno(err, "%s: cannot be closed", file->path);
    file->descriptor = -1;
    if (status == RL_OK && rename(file->temporary, file->path) != 0)
        status = rl_fail_errno(err, "%s: cannot be put in place", file->path);
    if (status == RL_OK) status = sync_parent(file->path, err);
    if (status != RL_OK) unlink(file->temporary);
    forget(file);
    return status;
}

void rl_atomic_abandon(rl_atomic_file *file)
{
    if (!file->path) return;
    if (file->descriptor >= 0) close(file->descriptor);
    unlink(file->temporary);
    forget(file);
}

rl_status rl_write_file(const char *path, const void *bytes, size_t length, rl_error *err)
{
    rl_atomic_file file = {.descriptor = -1};
    rl_status status = rl_atomic_begin(&file, path, err);
    if (status != RL_OK) return status;
    status = rl_atomic_write(&file, bytes, length, err);
    if (status == RL_OK) return rl_atomic_commit(&file, err);
    rl_atomic_abandon(&file);
    return status;
}

rl_status rl_copy_file(const char *from, const char *to, rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, from, err);
    if (status == RL_OK) status = rl_write_file(to, view.data, view.size, err);
    rl_file_view_close(&view);
    return status;
}

/* NAME.tmp.PID, and NAME.tmp.PID.locktest.JOB: Open MPI tries locks beside a file that it opens. */
static bool is_temporary(const char *name)
{
    static const char mark[] = ".tmp.", locks[] = ".locktest.";
    const char *at = strstr(name, mark), *digits = at ? at + sizeof mark - 1 : "";
    const char *rest = digits + strspn(digits, "0123456789");
    return at && at != name && rest != digits && (*rest == '\0' || !strncmp(rest, locks, sizeof locks - 1));
}

rl_status rl_remove_temporaries(const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    struct stat info;
    DIR *folder = opendir(path);
    if (!folder) return errno == ENOENT ? RL_OK : rl_fail_errno(err, "%s: cannot be listed", path);
    for (struct dirent *entry; status == RL_OK && (entry = readdir(folder));) {
        if (!is_temporary(entry->d_name)) continue;
        char *child = rl_path_join(path, entry->d_name, err);
        if (!child) status = RL_ERR_MEMORY;
        if (child && lstat(child, &info) == 0 && S_ISREG(info.st_mode) && unlink(child) != 0 && errno != ENOENT)
            status = rl_fail_errno(err, "%s: cannot be removed", child);
        rl_free(child);
    }
    closedir(folder);
    return status;
}

static rl_status sync_path(const char *path, rl_error *err)
{
    int descriptor = open_to_read(path, 0);
    if (descriptor < 0) return rl_fail_errno(err, "%s: cannot be opened", path);
    rl_status status = RL_OK;
    if (synchronise(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = rl_fail_errno(err, "%s: cannot be synchronised", path);
    close(descriptor);
    return status;
}

rl_status rl_publish(const char *temporary, const char *path, rl_error *err)
{
    rl_status status = sync_path(temporary, err);
    if (status != RL_OK) return status;
    if (rename(temporary, path) != 0) {
        /* Another process completed the same content-addressed folder first: ours is the same bytes. */
        if (errno == ENOTEMPTY || errno == EEXIST) return rl_remove_tree(temporary, err);
        return rl_fail_errno(err, "%s: cannot be put in place", path);
    }
    return sync_parent(path, err);
}

/* -------------------------------------------------------------------------------------------------- lock */

static void read_holder(int descriptor, char *holder, size_t size)
{
    ssize_t got = pread(descriptor, holder, size - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
}

/* Where the file system knows no locks (Lustre without -o flock), the file's own text must do: a dead process of this host is stale. */
static rl_status judge_by_text(const char *holder, const char *path, rl_error *err)
{
    char host[128] = "unknown", its_host[128];
    long pid = 0;
    gethostname(host, sizeof host - 1);
    if (sscanf(holder, "%127s %ld", its_host, &pid) != 2) return RL_OK;
    if (strcmp(host, its_host) != 0)
        return rl_fail(err, RL_ERR_INPUT, "%s: another relearn may work here (host and pid: %s), and this file system has no locks to tell; "
                       "if that process is gone, remove the file", path, holder);
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "%s: another relearn works here (host and pid: %s)", path, holder);
}

static rl_status held_or_refused(int descriptor, const char *path, rl_error *err)
{
    int number = errno;
    char holder[256];
    read_holder(descriptor, holder, sizeof holder);
    if (number == EACCES || number == EAGAIN)
        return rl_fail(err, RL_ERR_INPUT, "%s: another relearn works here (host and pid: %s); if that machine is gone for good, remove the file",
                       path, holder[0] ? holder : "unknown");
    if (number == ENOSYS || number == ENOLCK || number == EOPNOTSUPP) return judge_by_text(holder, path, err);
    errno = number;
    return rl_fail_errno(err, "%s: cannot be locked", path);
}

rl_status rl_lock_take(rl_lock *out, const char *path, rl_error *err)
{
    int descriptor = open_to_write(path, O_RDWR | O_CREAT);
    if (descriptor < 0) return rl_fail_errno(err, "%s: cannot be written", path);
    if (!lock_whole(descriptor)) {
        rl_status status = held_or_refused(descriptor, path, err);
        if (status != RL_OK) {
            close(descriptor);
            return status;
        }
    }
    char host[128] = "unknown", text[256];
    gethostname(host, sizeof host - 1);
    int length = snprintf(text, sizeof text, "%s %ld\n", host, (long)getpid());
    char *copy = rl_strdup(path, err);
    if (!copy || !cut_off(descriptor) || !write_all(descriptor, text, (size_t)length)) {
        rl_status status = copy ? rl_fail_errno(err, "%s: cannot be written", path) : RL_ERR_MEMORY;
        rl_free(copy);
        close(descriptor);
        return status;
    }
    *out = (rl_lock){descriptor, copy};
    return RL_OK;
}

void rl_lock_release(rl_lock *lock)
{
    if (!lock->path) return;
    cut_off(lock->descriptor); /* where it fails, an old holder's name in a free lock file harms nobody */
    close(lock->descriptor);
    rl_free(lock->path);
    *lock = (rl_lock){.descriptor = -1};
}
