/* The journal keeps every whole record and counts damaged ones, whatever a kill or a bit flip left behind.
 * LABELS: unit */
#include "relearn/cluster.h"
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder(const char *name)
{
    static char path[4096];
    rl_error err = {0};
    snprintf(path, sizeof path, "%s/%s", support_temporary_folder(), name);
    assert_ok(rl_make_directories(path, &err), err);
    return path;
}

static rl_status collect(void *context, const json_t *event, rl_error *err)
{
    int64_t *seen = context;
    (void)err;
    seen[0]++;
    seen[1] += json_integer_value(json_object_get(event, "n"));
    assert_null(json_object_get(event, "sum"));
    assert_int_equal(json_string_length(json_object_get(event, "time")), 20);
    return RL_OK;
}

static void append(const char *directory, int from, int to)
{
    rl_error err = {0};
    rl_journal *journal = NULL;
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    for (int n = from; n <= to; n++)
        assert_ok(rl_journal_append(journal, json_pack("{s:s, s:i, s:f}", "event", "x", "n", n, "r", 0.1 * n), n % 2, &err), err);
    rl_journal_close(journal);
}

static void assert_journal(const char *directory, int64_t records, int64_t sum, int64_t damaged)
{
    rl_error err = {0};
    int64_t seen[2] = {0}, bad = -1;
    assert_ok(rl_journal_read(directory, collect, seen, &bad, &err), err);
    assert_int_equal(seen[0], records);
    assert_int_equal(seen[1], sum);
    assert_int_equal(bad, damaged);
}

static void test_records_come_back_in_full(void **state)
{
    const char *directory = folder("whole");
    (void)state;
    assert_journal(directory, 0, 0, 0); /* no file yet */
    append(directory, 1, 10);
    append(directory, 11, 20);
    assert_journal(directory, 20, 210, 0);
}

static off_t size_of_journal(const char *directory)
{
    char path[4200];
    struct stat entry;
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_int_equal(stat(path, &entry), 0);
    return entry.st_size;
}

/* Nothing is written before a flush, a later record or the end; then all of it, in the order it came. */
static void test_held_records_are_written_together_and_in_order(void **state)
{
    const char *directory = folder("held"), *text = "\"event\":\"x\",\"n\":2,\"r\":0.25";
    rl_error err = {0};
    rl_journal *journal = NULL;
    rl_file_view view = {0};
    char path[4200];
    (void)state;
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 1), &err), err);
    assert_ok(rl_journal_hold_text(journal, text, strlen(text), &err), err);
    assert_int_equal(size_of_journal(directory), 0);
    assert_ok(rl_journal_flush(journal, &err), err);
    assert_journal(directory, 2, 3, 0);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 3), &err), err);
    assert_ok(rl_journal_append(journal, json_pack("{s:s, s:i}", "event", "x", "n", 4), false, &err), err);
    assert_journal(directory, 4, 10, 0);
    assert_ok(rl_journal_hold_text(journal, text, strlen(text), &err), err);
    assert_ok(rl_journal_sync(journal, &err), err);
    assert_journal(directory, 5, 12, 0);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 6), &err), err);
    rl_journal_close(journal);
    assert_journal(directory, 6, 18, 0);
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_file_view_open(&view, path, &err), err);
    for (int n = 1, at = 0; n <= 6; n++) { /* in the order they came */
        char member[16];
        snprintf(member, sizeof member, "\"n\":%d", n == 5 ? 2 : n);
        const char *line = view.data + at, *end = memchr(line, '\n', view.size - (size_t)at);
        assert_non_null(end);
        assert_non_null(memmem(line, (size_t)(end - line), member, strlen(member)));
        at = (int)(end + 1 - view.data);
    }
    rl_file_view_close(&view);
}

/* A disk that is full for a moment costs nothing that was held; who is told of a failure does not find the record later. */
static void test_what_cannot_be_written_stays_held(void **state)
{
    const char *directory = folder("full");
    rl_error err = {0};
    rl_journal *journal = NULL;
    struct rlimit limit, full;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    assert_ok(rl_journal_append(journal, json_pack("{s:s, s:i}", "event", "x", "n", 1), false, &err), err);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    full = limit;
    full.rlim_cur = (rlim_t)size_of_journal(directory) + 20; /* half a record fits */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 2), &err), err);
    assert_int_equal(rl_journal_flush(journal, &err), RL_ERR_IO);
    assert_int_equal(rl_journal_append(journal, json_pack("{s:s, s:i}", "event", "x", "n", 4), false, &err), RL_ERR_IO);
    assert_journal(directory, 1, 1, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 8), &err), err);
    assert_ok(rl_journal_flush(journal, &err), err);
    full.rlim_cur = (rlim_t)size_of_journal(directory) + 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    assert_int_equal(rl_journal_append(journal, json_pack("{s:s, s:i}", "event", "x", "n", 16), false, &err), RL_ERR_IO); /* nothing else is held */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_ok(rl_journal_hold(journal, json_pack("{s:s, s:i}", "event", "x", "n", 32), &err), err);
    rl_journal_close(journal);
    assert_journal(directory, 4, 43, 0);
}

static void test_every_torn_tail_costs_one_record_at_most(void **state)
{
    const char *directory = folder("torn");
    char path[8192];
    rl_error err = {0};
    rl_file_view view = {0};
    static char bytes[4096];
    (void)state;
    append(directory, 1, 3);
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_file_view_open(&view, path, &err), err);
    size_t size = view.size, last = size - 1;
    assert_true(size < sizeof bytes);
    memcpy(bytes, view.data, size);
    rl_file_view_close(&view);
    while (bytes[last - 1] != '\n') last--;
    for (size_t cut = last; cut < size; cut++) {
        assert_ok(rl_write_file(path, bytes, cut, &err), err);
        bool whole = cut == size - 1; /* only the newline is missing */
        append(directory, 100, 100);
        assert_journal(directory, whole ? 4 : 3, whole ? 106 : 103, cut > last && !whole);
    }
}

static void test_a_flipped_bit_is_noticed(void **state)
{
    const char *directory = folder("flipped");
    char path[8192];
    rl_error err = {0};
    rl_file_view view = {0};
    static char bytes[4096];
    int64_t seen[2], bad;
    (void)state;
    append(directory, 1, 2);
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_file_view_open(&view, path, &err), err);
    size_t size = view.size, first = (size_t)((const char *)memchr(view.data, '\n', view.size) - view.data);
    memcpy(bytes, view.data, size);
    rl_file_view_close(&view);
    for (size_t at = 0; at < first; at++) { /* every byte of the first line; a made newline splits it in two bad ones */
        for (int bit = 0; bit < 8; bit += 3) {
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
            assert_ok(rl_write_file(path, bytes, size, &err), err);
            seen[0] = seen[1] = 0;
            assert_ok(rl_journal_read(directory, collect, seen, &bad, &err), err);
            assert_int_equal(seen[0], 1);
            assert_true(bad >= 1);
            bytes[at] = (char)(bytes[at] ^ (1 << bit));
        }
    }
}

static void test_a_folder_without_a_sweep_is_no_status(void **state)
{
    rl_error err = {0};
    rl_sweep_status *status = NULL;
    (void)state;
    assert_fails(rl_sweep_status_read(&status, folder("nothing"), &err), RL_ERR_INPUT, err, "no sweep was ever started");
}

static void write_whole(const char *directory, const char *bytes, size_t size)
{
    char path[8192];
    rl_error err = {0};
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_write_file(path, bytes, size, &err), err);
}

/* Records, their sum and the damaged ones that a reader knows of after one more reading; true: it was another journal, and nothing was visited. */
static bool assert_follows(rl_journal_place *place, const char *directory, int64_t seen[2], int64_t records, int64_t sum, int64_t damaged)
{
    rl_error err = {0};
    bool is_another = false;
    int64_t bad = -1;
    assert_ok(rl_journal_read_on(place, &is_another, directory, collect, seen, &bad, &err), err);
    assert_int_equal(seen[0], records);
    assert_int_equal(seen[1], sum);
    if (!is_another) assert_int_equal(bad, damaged);
    return is_another;
}

static void test_a_reader_goes_on_where_it_was(void **state)
{
    const char *directory = folder("follow");
    rl_error err = {0};
    rl_journal_place place = {0};
    rl_file_view view = {0};
    char path[8192], *notice = NULL;
    static char bytes[8192];
    int64_t seen[2] = {0};
    (void)state;
    assert_false(assert_follows(&place, directory, seen, 0, 0, 0)); /* no file yet */
    append(directory, 1, 3);
    assert_false(assert_follows(&place, directory, seen, 3, 6, 0));
    assert_false(assert_follows(&place, directory, seen, 3, 6, 0));
    append(directory, 4, 5);
    assert_false(assert_follows(&place, directory, seen, 5, 15, 0));
    append(directory, 6, 6);
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_file_view_open(&view, path, &err), err);
    size_t size = view.size;
    assert_true(size < sizeof bytes);
    memcpy(bytes, view.data, size);
    rl_file_view_close(&view);
    write_whole(directory, bytes, size - 30); /* half of it is not written yet */
    assert_false(assert_follows(&place, directory, seen, 5, 15, 1));
    write_whole(directory, bytes, size - 1); /* but for its newline */
    assert_false(assert_follows(&place, directory, seen, 6, 21, 0));
    write_whole(directory, bytes, size);
    assert_false(assert_follows(&place, directory, seen, 6, 21, 0));
    append(directory, 7, 7);
    assert_false(assert_follows(&place, directory, seen, 7, 28, 0));
    write_whole(directory, bytes, size); /* the failed append took its record back */
    assert_true(assert_follows(&place, directory, seen, 7, 28, 0));
    seen[0] = seen[1] = 0;
    assert_false(assert_follows(&place, directory, seen, 6, 21, 0));
    bytes[20] ^= 1;
    write_whole(directory, bytes, size);
    append(directory, 8, 8);
    assert_ok(rl_journal_mend(&notice, directory, &err), err); /* without the first record; as long as before or longer */
    assert_non_null(notice);
    rl_free(notice);
    append(directory, 9, 20);
    assert_true(assert_follows(&place, directory, seen, 6, 21, 0));
    seen[0] = seen[1] = 0;
    assert_false(assert_follows(&place, directory, seen, 18, 202, 0));
}

/* Written by another version, say: reading it and mending agree that it is not damaged, and nobody is told of it for ever. */
static void test_a_sealed_line_that_is_no_json_is_passed_over(void **state)
{
    const char *directory = folder("sealed");
    rl_error err = {0};
    char path[8192], line[64], *notice = NULL;
    (void)state;
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    int length = snprintf(line, sizeof line, "{bad,\"sum\":\"%016llx\"}\n", (unsigned long long)rl_hash64("{bad}", 5));
    assert_ok(rl_write_file(path, line, (size_t)length, &err), err);
    append(directory, 1, 2);
    assert_journal(directory, 2, 3, 0);
    assert_ok(rl_journal_mend(&notice, directory, &err), err);
    assert_null(notice);
}

static void record(rl_journal *journal, const char *event, const char *run, const char *stage, const char *error)
{
    rl_error err = {0};
    json_t *object = json_pack("{s:s, s:s, s:s, s:i}", "event", event, "run", run, "stage", stage, "round", 1);
    if (error) json_object_set_new(object, "error", json_string(error));
    assert_ok(rl_journal_append(journal, object, false, &err), err);
}

static void record_start(rl_journal *journal, const char *name)
{
    rl_error err = {0};
    json_t *start = json_pack("{s:s, s:s, s:i, s:[s, s]}", "event", "start", "sweep", name, "nodes", 9, "runs",
                              "aaaaaaaaaaaa", "bbbbbbbbbbbb");
    assert_ok(rl_journal_append(journal, start, false, &err), err);
}

static void assert_same_status(rl_sweep_watch *watch, const char *directory)
{
    rl_error err = {0};
    rl_sweep_status *seen = NULL, *read = NULL;
    assert_ok(rl_sweep_watch_look(&seen, watch, &err), err);
    assert_ok(rl_sweep_status_read(&read, directory, &err), err);
    assert_string_equal(seen->name, read->name);
    assert_string_equal(seen->updated, read->updated);
    assert_memory_equal(&seen->counts, &read->counts, sizeof seen->counts);
    assert_int_equal(seen->damaged_records, read->damaged_records);
    assert_int_equal(json_equal(seen->notices, read->notices), 1);
    assert_int_equal(seen->num_runs, read->num_runs);
    for (int64_t r = 0; r < read->num_runs; r++) {
        assert_string_equal(seen->runs[r].id, read->runs[r].id);
        assert_string_equal(seen->runs[r].state, read->runs[r].state);
        assert_int_equal(!seen->runs[r].error, !read->runs[r].error);
        if (read->runs[r].error) assert_string_equal(seen->runs[r].error, read->runs[r].error);
        assert_memory_equal(&seen->runs[r].f1, &read->runs[r].f1, sizeof(double));
        assert_close(seen->runs[r].seconds, read->runs[r].seconds, 0, 0);
    }
    rl_sweep_status_free(seen);
    rl_sweep_status_free(read);
}

/* The sweep's process is gone here: what ran waits in each view, and the next records find it as the journal has it. */
static void test_watching_knows_what_reading_knows(void **state)
{
    const char *directory = folder("watched");
    char path[8192];
    rl_error err = {0};
    rl_journal *journal = NULL;
    rl_sweep_watch *watch = NULL;
    rl_sweep_status *seen = NULL;
    (void)state;
    assert_ok(rl_sweep_watch_open(&watch, directory, &err), err);
    assert_fails(rl_sweep_watch_look(&seen, watch, &err), RL_ERR_INPUT, err, "no sweep was ever started");
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    record_start(journal, "first");
    assert_same_status(watch, directory);
    record(journal, "started", "aaaaaaaaaaaa", "finetune", NULL);
    assert_same_status(watch, directory);
    record(journal, "run_failed", "aaaaaaaaaaaa", "", "disk full");
    record(journal, "done", "bbbbbbbbbbbb", "shard", NULL);
    assert_same_status(watch, directory); /* without a shard it is not done */
    snprintf(path, sizeof path, "%s/runs", directory);
    assert_ok(rl_make_directories(path, &err), err);
    snprintf(path, sizeof path, "%s/runs/bbbbbbbbbbbb.h5", directory);
    assert_ok(rl_write_file(path, "x", 1, &err), err);
    assert_same_status(watch, directory);
    for (int i = 0; i < 12; i++) assert_ok(rl_journal_append(journal, json_pack("{s:s, s:s}", "event", "notice", "text", "a note"), false, &err), err);
    assert_same_status(watch, directory);
    record_start(journal, "second");
    assert_same_status(watch, directory);
    rl_journal_close(journal);
    snprintf(path, sizeof path, "%s/journal.jsonl", directory);
    assert_ok(rl_write_file(path, "", 0, &err), err);
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    record_start(journal, "begun anew");
    assert_same_status(watch, directory);
    rl_journal_close(journal);
    rl_sweep_watch_close(watch);
}

/* After a stage of a run failed, other stages that name it go on: it stays failed, and its reason stays, until the next start. */
static void test_a_failed_run_stays_failed_with_its_reason(void **state)
{
    const char *directory = folder("failed");
    rl_error err = {0};
    rl_journal *journal = NULL;
    rl_sweep_status *status = NULL;
    (void)state;
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    record_start(journal, "first");
    record(journal, "started", "aaaaaaaaaaaa", "analyse", NULL);
    record(journal, "failed", "aaaaaaaaaaaa", "analyse", "disk full");
    record(journal, "run_failed", "aaaaaaaaaaaa", "", "disk full");
    record(journal, "started", "aaaaaaaaaaaa", "retrain", NULL);
    record(journal, "returned", "aaaaaaaaaaaa", "retrain", NULL);
    assert_ok(rl_sweep_status_read(&status, directory, &err), err);
    assert_string_equal(status->runs[0].state, "failed");
    assert_string_equal(status->runs[0].error, "disk full");
    assert_int_equal(status->counts.failed, 1);
    assert_int_equal(status->counts.waiting, 1);
    rl_sweep_status_free(status);
    record_start(journal, "second");
    assert_ok(rl_sweep_status_read(&status, directory, &err), err);
    assert_string_equal(status->runs[0].state, "waiting");
    assert_string_equal(status->name, "second");
    rl_sweep_status_free(status);
    rl_journal_close(journal);
}

static void record_attempt(rl_journal *journal, const char *event, const char *key, double seconds, double modelled)
{
    rl_error err = {0};
    json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "event", event, "run", "aaaaaaaaaaaa", "stage", "finetune", "key", key);
    if (seconds > 0) json_object_set_new(object, "seconds", json_real(seconds));
    if (modelled > 0) json_object_set_new(object, "modelled_s", json_real(modelled));
    assert_ok(rl_journal_append(journal, object, false, &err), err);
}

static void test_forecasts_learn_what_shards_take(void **state)
{
    const char *directory = folder("shards");
    rl_error err = {0};
    rl_journal *journal = NULL;
    rl_sweep_past past;
    rl_node nodes[2] = {{.kind = RL_NODE_STAGE, .seconds = 10, .modelled_s = 10, .ranks = 1}, {.kind = RL_NODE_SHARD, .seconds = 0.05, .modelled_s = 0.05, .ranks = 1}};
    rl_plan plan = {.num_nodes = 2, .nodes = nodes};
    (void)state;
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    json_t *done = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f}", "event", "done", "run", "aaaaaaaaaaaa", "stage", "shard", "key", "aaaaaaaaaaaa", "seconds",
                             2.0, "modelled_s", 0.05);
    assert_ok(rl_journal_append(journal, done, false, &err), err);
    assert_ok(rl_sweep_past_read(&past, directory, &err), err);
    assert_ok(rl_plan_correct(&plan, past.factor, NULL, &err), err);
    assert_close(nodes[1].seconds, 2.0, 1e-12, 0);
    assert_close(nodes[0].seconds, 10.0, 0, 0);
    rl_sweep_past_clear(&past);
    rl_journal_close(journal);
}

/* Forecasts learn from whole stages: all parts of one that was stopped, and nothing of one whose first part is not known. */
static void test_parts_of_a_stage_are_no_stage(void **state)
{
    static const char *const before_end[] = {NULL, "returned", "started", "retry"}; /* whole, stopped, killed, failed */
    static const double factors[] = {0.2, 1.0, 0, 0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[] = "parts0";
        name[5] = (char)('0' + i);
        const char *directory = folder(name);
        rl_error err = {0};
        rl_journal *journal = NULL;
        rl_sweep_past past;
        assert_ok(rl_journal_open(&journal, directory, &err), err);
        record_attempt(journal, "started", "one", 0, 0);
        if (before_end[i]) record_attempt(journal, before_end[i], "one", i == 1 ? 8 : 0, 0);
        record_attempt(journal, "done", "one", 2, 10);
        assert_ok(rl_sweep_past_read(&past, directory, &err), err);
        assert_close(past.factor[RL_STAGE_FINETUNE], factors[i], 1e-12, 0);
        rl_sweep_past_clear(&past);
        record_attempt(journal, "started", "one", 0, 0); /* deleted and made once more: whole again */
        record_attempt(journal, "done", "one", 10, 10);
        assert_ok(rl_sweep_past_read(&past, directory, &err), err);
        assert_close(past.factor[RL_STAGE_FINETUNE], factors[i] > 0 ? (1 + factors[i]) / 2 : 1, 1e-12, 0);
        rl_sweep_past_clear(&past);
        rl_journal_close(journal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back_in_full),
        cmocka_unit_test(test_held_records_are_written_together_and_in_order),
        cmocka_unit_test(test_what_cannot_be_written_stays_held),
        cmocka_unit_test(test_every_torn_tail_costs_one_record_at_most),
        cmocka_unit_test(test_a_flipped_bit_is_noticed),
        cmocka_unit_test(test_a_reader_goes_on_where_it_was),
        cmocka_unit_test(test_a_sealed_line_that_is_no_json_is_passed_over),
        cmocka_unit_test(test_watching_knows_what_reading_knows),
        cmocka_unit_test(test_a_failed_run_stays_failed_with_its_reason),
        cmocka_unit_test(test_a_folder_without_a_sweep_is_no_status),
        cmocka_unit_test(test_parts_of_a_stage_are_no_stage),
        cmocka_unit_test(test_forecasts_learn_what_shards_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
