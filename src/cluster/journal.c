/* journal.c -- DIR/journal.jsonl: what happened, one checksummed line per event, appended and never rewritten. */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rl_journal {
    int descriptor;
    bool torn; /* a write failed half-way and could not be taken back: the next one begins on a line of its own */
    char *path;
    rl_buffer held;  /* whole lines, not yet written */
    time_t second;   /* that is written out in time[] */
    char time[21];
};

/* All of it or nothing: half a record would spoil the next one. */
static rl_status write_lines(rl_journal *journal, const rl_buffer *lines, rl_error *err)
{
    off_t before = lseek(journal->descriptor, 0, SEEK_END);
    for (size_t done = 0; done < lines->length;) {
        ssize_t written = write(journal->descriptor, lines->data + done, lines->length - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            rl_status status = rl_fail_errno(err, "%s: cannot be written", journal->path);
            if (done > 0 && (before < 0 || ftruncate(journal->descriptor, before) != 0)) journal->torn = true;
            return status;
        }
        done += (size_t)written;
    }
    return RL_OK;
}

static rl_status write_newline(rl_journal *journal, rl_error *err)
{
    const rl_buffer newline = {.data = (char[]){"\n"}, .length = 1};
    return write_lines(journal, &newline, err);
}

/* A kill may have torn the last line: the next record starts on a line of its own. */
static rl_status end_torn_line(rl_journal *journal, rl_error *err)
{
    off_t size = lseek(journal->descriptor, 0, SEEK_END);
    char last = '\n';
    if (size > 0 && pread(journal->descriptor, &last, 1, size - 1) != 1)
        return rl_fail_errno(err, "%s: cannot be read", journal->path);
    return last == '\n' ? RL_OK : write_newline(journal, err);
}

rl_status rl_journal_open(rl_journal **out, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_journal *journal = NULL;
    RL_ALLOC(journal, 1, err);
    journal->descriptor = -1;
    journal->path = rl_path_join(directory, "journal.jsonl", err);
    if (!journal->path) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    do journal->descriptor = open(journal->path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    while (journal->descriptor < 0 && errno == EINTR);
    if (journal->descriptor < 0) {
        status = rl_fail_errno(err, "%s: cannot be written", journal->path);
        goto cleanup;
    }
    RL_TRY(end_torn_line(journal, err));
    *out = journal;
    return RL_OK;
cleanup:
    rl_journal_close(journal);
    return status;
}

void rl_journal_close(rl_journal *journal)
{
    if (!journal) return;
    if (journal->descriptor >= 0) {
        rl_journal_flush(journal, NULL);
        close(journal->descriptor);
    }
    rl_buffer_free(&journal->held);
    rl_free(journal->path);
    rl_free(journal);
}

static int synchronise(int descriptor)
{
    int result;
    do result = fdatasync(descriptor);
    while (result != 0 && errno == EINTR);
    return result;
}

/* {...,"sum":"16 hex digits"}: the sum is over the line as it was without it. */
rl_status rl_journal_hold_text(rl_journal *journal, const char *members, size_t length, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer *held = &journal->held;
    const size_t before = held->length;
    const time_t now = time(NULL);
    if (now != journal->second) rl_utc_timestamp(journal->time);
    journal->second = now;
    RL_TRY(rl_buffer_append(held, "{", 1, err));
    RL_TRY(rl_buffer_append(held, members, length, err));
    RL_TRY(rl_buffer_printf(held, err, ",\"time\":\"%s\"}", journal->time));
    uint64_t sum = rl_hash64(held->data + before, held->length - before);
    held->length--;
    RL_TRY(rl_buffer_printf(held, err, ",\"sum\":\"%016" PRIx64 "\"}\n", sum));
cleanup:
    if (status != RL_OK) held->length = before;
    return status;
}

rl_status rl_journal_hold(rl_journal *journal, json_t *event, rl_error *err)
{
    char *text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(event);
    if (!text) return rl_fail(err, RL_ERR_MEMORY, "%s: a record cannot be made", journal->path);
    rl_status status = rl_journal_hold_text(journal, text + 1, strlen(text) - 2, err);
    free(text); /* jansson's allocation, not ours */
    return status;
}

rl_status rl_journal_flush(rl_journal *journal, rl_error *err)
{
    rl_status status = RL_OK;
    if (journal->held.length == 0) return RL_OK;
    if (journal->torn) status = write_newline(journal, err);
    if (status == RL_OK) journal->torn = false, status = write_lines(journal, &journal->held, err);
    if (status == RL_OK) journal->held.length = 0;
    return status;
}

rl_status rl_journal_sync(rl_journal *journal, rl_error *err)
{
    rl_status status = rl_journal_flush(journal, err);
    if (status == RL_OK && synchronise(journal->descriptor) != 0) status = rl_fail_errno(err, "%s: cannot be synchronised", journal->path);
    return status;
}

rl_status rl_journal_append(rl_journal *journal, json_t *event, bool sync, rl_error *err)
{
    rl_status status = rl_journal_flush(journal, err); /* what came before is not this record's affair */
    if (status != RL_OK) {
        json_decref(event);
        return status;
    }
    off_t before = lseek(journal->descriptor, 0, SEEK_END);
    status = rl_journal_hold(journal, event, err);
    if (status == RL_OK) status = sync ? rl_journal_sync(journal, err) : rl_journal_flush(journal, err);
    if (status == RL_OK) return RL_OK;
    journal->held.length = 0; /* who is told of a failure shall not find the record there later */
    if (before >= 0 && ftruncate(journal->descriptor, before) != 0) { /* then a whole record more is there, or write_lines knows of half a one */
    }
    return status;
}

/* {...} of a line that has its checksum right, without it; false for any other. */
static bool check_line(rl_buffer *bare, const char *line, size_t length)
{
    static const char mark[] = ",\"sum\":\"";
    const size_t tail = sizeof mark - 1 + 16 + 2;
    char sum[17];
    if (length <= tail || memcmp(line + length - tail, mark, sizeof mark - 1) != 0 || memcmp(line + length - 2, "\"}", 2) != 0) return false;
    bare->length = 0;
    if (rl_buffer_append(bare, line, length - tail, NULL) != RL_OK || rl_buffer_append(bare, "}", 1, NULL) != RL_OK) return false;
    snprintf(sum, sizeof sum, "%016" PRIx64, rl_hash64(bare->data, bare->length));
    return memcmp(sum, line + length - 18, 16) == 0;
}

static size_t line_length(const rl_file_view *view, size_t at)
{
    const char *end = memchr(view->data + at, '\n', view->size - at);
    return end ? (size_t)(end - view->data) - at : view->size - at;
}

static uint64_t hash_before(const rl_file_view *view, size_t offset)
{
    size_t length = offset < 256 ? offset : 256; /* more than the end of a record: its time and its sum */
    return rl_hash64(view->data + offset - length, length);
}

rl_status rl_journal_read_on(rl_journal_place *place, bool *is_another, const char *directory, rl_status (*visit)(void *context, const json_t *event, rl_error *err),
                             void *context, int64_t *num_damaged, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    rl_buffer bare = {0};
    rl_journal_place at = *place;
    bool torn = false;
    char *path = rl_path_join(directory, "journal.jsonl", err);
    *is_another = false;
    if (!path) return RL_ERR_MEMORY;
    if (rl_path_exists(path)) RL_TRY(rl_file_view_open(&view, path, err));
    *is_another = at.offset > view.size || (at.offset > 0 && hash_before(&view, at.offset) != at.before);
    if (*is_another) {
        *place = (rl_journal_place){0};
        goto cleanup;
    }
    while (at.offset < view.size && !torn) {
        const char *line = view.data + at.offset;
        size_t length = line_length(&view, at.offset);
        bool ended = at.offset + length < view.size;
        bool intact = length && check_line(&bare, line, length);
        json_t *event = intact ? json_loadb(bare.data, bare.length, 0, NULL) : NULL;
        torn = length && !intact && !ended; /* or half of it is not written yet: looked at again */
        at.num_damaged += length && !intact && ended;
        if (event) status = visit(context, event, err);
        json_decref(event);
        if (status != RL_OK) goto cleanup;
        if (!torn) at.offset += length + ended;
    }
    at.before = at.offset > 0 ? hash_before(&view, at.offset) : 0;
    *place = at;
    *num_damaged = at.num_damaged + torn;
cleanup:
    rl_file_view_close(&view);
    rl_buffer_free(&bare);
    rl_free(path);
    return status;
}

rl_status rl_journal_read(const char *directory, rl_status (*visit)(void *context, const json_t *event, rl_error *err),
                          void *context, int64_t *num_damaged, rl_error *err)
{
    rl_journal_place start = {0};
    bool is_another = false;
    return rl_journal_read_on(&start, &is_another, directory, visit, context, num_damaged, err);
}

/* The intact lines of a journal, as they are. */
static rl_status keep_intact(rl_buffer *kept, int64_t *num_kept, int64_t *num_damaged, const rl_file_view *view, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer bare = {0};
    for (size_t at = 0; status == RL_OK && at < view->size;) {
        size_t length = line_length(view, at);
        bool intact = length && check_line(&bare, view->data + at, length);
        *num_damaged += length && !intact;
        *num_kept += intact;
        if (intact) status = rl_buffer_append(kept, view->data + at, length, err);
        if (intact && status == RL_OK) status = rl_buffer_append(kept, "\n", 1, err);
        at += length + 1;
    }
    rl_buffer_free(&bare);
    return status;
}

rl_status rl_journal_mend(char **notice, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    rl_buffer kept = {0};
    int64_t num_kept = 0, num_damaged = 0;
    char *copy = NULL, *path = rl_path_join(directory, "journal.jsonl", err);
    *notice = NULL;
    if (!path) return RL_ERR_MEMORY;
    if (!rl_path_exists(path)) goto cleanup;
    RL_TRY(rl_file_view_open(&view, path, err));
    RL_TRY(keep_intact(&kept, &num_kept, &num_damaged, &view, err));
    if (!num_damaged) goto cleanup;
    RL_TRY(rl_quarantine_copy(&copy, directory, path, err)); /* first the copy: a kill in between loses nothing */
    RL_TRY(rl_write_file(path, kept.data ? kept.data : "", kept.length, err));
    *notice = rl_format(err, "%s: %" PRId64 " of its records %s damaged or torn; copied to %s, the %" PRId64 " whole ones stay", path,
                        num_damaged, num_damaged == 1 ? "was" : "were", copy, num_kept);
    if (!*notice) status = RL_ERR_MEMORY;
cleanup:
    rl_file_view_close(&view);
    rl_buffer_free(&kept);
    rl_free(copy);
    rl_free(path);
    return status;
}

/* ------------------------------------------------------------------- what earlier starts knew of this plan */

typedef struct history {
    const rl_plan *plan;
    rl_names *keys;       /* stage keys and run ids of the plan; id -> node */
    int32_t *node_of;     /* [count] */
    double *node_seconds, *earlier_s;
    rl_gathered *gathered;
    int32_t num_refusals;
} history;

static void recall_digest(char digest[RL_DIGEST_HEX], const json_t *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event, name));
    snprintf(digest, RL_DIGEST_HEX, "%s", text ? text : "");
}

static rl_status recall(void *context, const json_t *event, rl_error *err)
{
    history *h = context;
    const char *kind = json_string_value(json_object_get(event, "event"));
    const char *key = json_string_value(json_object_get(event, "key"));
    (void)err;
    if (kind && !strcmp(kind, "gathered")) {
        recall_digest(h->gathered->table, event, "digest");
        recall_digest(h->gathered->content, event, "content");
    }
    if (kind && !strcmp(kind, "storage_refused")) h->num_refusals++;
    if (kind && (!strcmp(kind, "done") || !strcmp(kind, "gathered"))) h->num_refusals = 0;
    bool done = kind && !strcmp(kind, "done");
    int32_t id = key && (done || (kind && !strcmp(kind, "returned"))) ? rl_names_find(h->keys, key, strlen(key)) : -1;
    if (id < 0) return RL_OK;
    double *earlier_s = &h->earlier_s[h->node_of[id]], seconds = *earlier_s + json_number_value(json_object_get(event, "seconds"));
    *earlier_s = done ? 0 : seconds;
    if (done) h->node_seconds[h->node_of[id]] = seconds;
    return RL_OK;
}

rl_status rl_journal_history(const rl_plan *plan, const char *directory, double *node_seconds, double *earlier_s, rl_gathered *gathered,
                             int32_t *num_refusals, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t damaged = 0;
    history h = {.plan = plan, .node_seconds = node_seconds, .earlier_s = earlier_s, .gathered = gathered};
    RL_TRY(rl_names_create(&h.keys, err));
    RL_ALLOC(h.node_of, plan->num_nodes, err);
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        const char *key = node->kind == RL_NODE_SHARD ? plan->sweep->runs[node->run].id : node->stage.key;
        int32_t id = 0;
        RL_TRY(rl_names_intern(h.keys, key, strlen(key), &id, err));
        h.node_of[id] = n;
        node_seconds[n] = NAN;
    }
    RL_TRY(rl_journal_read(directory, recall, &h, &damaged, err));
    *num_refusals = h.num_refusals;
cleanup:
    rl_names_free(h.keys);
    rl_free(h.node_of);
    return status;
}
