/* rank_log.c -- DIR/logs/rank-N.log: what one rank did, a line a happening: UTC, run id, stage, words. The last lines of a node are kept
 * for the failure report. A log that cannot be written harms nothing. */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void rl_rank_log_open(rl_rank_log *log, const char *directory, int rank)
{
    char *folder = rl_path_join(directory, "logs", NULL), *path = rl_format(NULL, "%s/logs/rank-%d.log", directory, rank);
    log->descriptor = -1;
    if (folder && path && rl_make_directories(folder, NULL) == RL_OK)
        log->descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    rl_free(folder);
    rl_free(path);
}

void rl_rank_log_close(rl_rank_log *log)
{
    if (log->descriptor >= 0) close(log->descriptor);
    log->descriptor = -1;
}

void rl_rank_log_begin(rl_rank_log *log, const char *run, const char *stage)
{
    snprintf(log->run, sizeof log->run, "%s", run);
    snprintf(log->stage, sizeof log->stage, "%s", stage);
    log->tail[0] = '\0';
}

/* The newest lines that fit, oldest first. */
static void keep_tail(rl_rank_log *log, const char *line, size_t length)
{
    size_t held = strlen(log->tail);
    while (held && held + length + 1 > sizeof log->tail) {
        const char *next = strchr(log->tail, '\n');
        size_t drop = next ? (size_t)(next - log->tail) + 1 : held;
        memmove(log->tail, log->tail + drop, held - drop + 1);
        held -= drop;
    }
    if (length + 1 <= sizeof log->tail) memcpy(log->tail + held, line, length + 1);
}

static void write_line(rl_rank_log *log, const char *line, size_t length)
{
    while (length > 0 && log->descriptor >= 0) {
        ssize_t written = write(log->descriptor, line, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            rl_rank_log_close(log);
            return;
        }
        line += written;
        length -= (size_t)written;
    }
}

void rl_rank_log_line(rl_rank_log *log, const char *format, ...)
{
    char line[1400], time[21];
    va_list arguments;
    rl_utc_timestamp(time);
    int at = snprintf(line, sizeof line, "%s %s %s: ", time, log->run, log->stage);
    va_start(arguments, format);
    int more = vsnprintf(line + at, sizeof line - (size_t)at - 1, format, arguments);
    va_end(arguments);
    size_t length = (size_t)at + (more > 0 ? (size_t)more : 0);
    if (length > sizeof line - 2) length = sizeof line - 2;
    line[length] = '\0';
    rl_make_printable(line); /* a letter that was cut is none: the tail goes into the journal, which is JSON */
    length = strlen(line);
    memcpy(line + length, "\n", 2);
    keep_tail(log, line, length + 1);
    write_line(log, line, length + 1);
}
