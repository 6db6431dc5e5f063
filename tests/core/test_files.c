/* Files are whole or absent: atomic writes, publishing, locks, removal, JSON errors with their place.
 * LABELS: unit */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *in_temporary(const char *name)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", support_temporary_folder(), name);
    return path;
}

static void test_write_replaces_whole_files(void **state)
{
    rl_error err = {0};
    rl_file_view view = {0};
    (void)state;
    assert_ok(rl_write_file(in_temporary("a.txt"), "first", 5, &err), err);
    assert_ok(rl_write_file(in_temporary("a.txt"), "2nd", 3, &err), err);
    assert_ok(rl_file_view_open(&view, in_temporary("a.txt"), &err), err);
    assert_int_equal(view.size, 3);
    assert_memory_equal(view.data, "2nd", 3);
    rl_file_view_close(&view);
    assert_ok(rl_write_file(in_temporary("empty"), "", 0, &err), err);
    assert_ok(rl_file_view_open(&view, in_temporary("empty"), &err), err);
    assert_int_equal(view.size, 0);
    rl_file_view_close(&view);
}

/* A full disk (here: a file size limit) leaves the old file as it was, no temporary, and one clear line. */
static void test_a_full_disk_keeps_the_old_file(void **state)
{
    rl_error err = {0};
    rl_file_view view = {0};
    struct rlimit old, tiny;
    static char block[1 << 20];
    (void)state;
    assert_ok(rl_write_file(in_temporary("kept"), "old", 3, &err), err);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tiny = old;
    tiny.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    rl_status status = rl_write_file(in_temporary("kept"), block, sizeof block, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_fails(status, RL_ERR_IO, err, "kept: cannot be written");
    assert_ok(rl_file_view_open(&view, in_temporary("kept"), &err), err);
    assert_int_equal(view.size, 3);
    rl_file_view_close(&view);
    char temporary[64];
    snprintf(temporary, sizeof temporary, "kept.tmp.%ld", (long)getpid());
    assert_false(rl_path_exists(in_temporary(temporary)));
}

static void test_unreadable_and_unwritable_are_named(void **state)
{
    rl_error err = {0};
    rl_file_view view = {0};
    (void)state;
    assert_fails(rl_file_view_open(&view, in_temporary("absent"), &err), RL_ERR_INPUT, err, "absent: cannot be read");
    assert_fails(rl_file_view_open(&view, support_temporary_folder(), &err), RL_ERR_INPUT, err, "not a regular file");
    assert_fails(rl_write_file("/proc/no/such/folder/x", "x", 1, &err), RL_ERR_IO, err, "/proc/no/such/folder/x: cannot be written");
    assert_ok(rl_write_file(in_temporary("plain"), "x", 1, &err), err);
    assert_int_equal(rl_make_directories(in_temporary("plain/below"), &err), RL_ERR_IO);
}

/* A FIFO that nobody writes to, where a file was expected, is refused at once. */
static void test_a_fifo_is_not_waited_for(void **state)
{
    rl_error err = {0};
    rl_file_view view = {0};
    (void)state;
    assert_int_equal(mkfifo(in_temporary("fifo"), 0666), 0);
    alarm(10); /* were it waited for, this would end the test */
    assert_fails(rl_file_view_open(&view, in_temporary("fifo"), &err), RL_ERR_INPUT, err, "fifo: is not a regular file");
    alarm(0);
}

static void test_publish_keeps_what_is_complete(void **state)
{
    rl_error err = {0};
    char from[8192], to[8192];
    (void)state;
    snprintf(from, sizeof from, "%s", in_temporary("stage.work"));
    snprintf(to, sizeof to, "%s", in_temporary("stage"));
    assert_ok(rl_make_directories(from, &err), err);
    assert_ok(rl_write_file(in_temporary("stage.work/x"), "1", 1, &err), err);
    assert_ok(rl_publish(from, to, &err), err);
    assert_true(rl_path_exists(in_temporary("stage/x")));
    assert_ok(rl_make_directories(from, &err), err);
    assert_ok(rl_write_file(in_temporary("stage.work/y"), "2", 1, &err), err);
    assert_ok(rl_publish(from, to, &err), err); /* another process was first: ours goes */
    assert_false(rl_path_exists(in_temporary("stage/y")));
    assert_false(rl_path_exists(from));
    assert_ok(rl_remove_tree(to, &err), err);
    assert_false(rl_path_exists(to));
    assert_ok(rl_remove_tree(to, &err), err); /* absent is fine */
}

static void test_remove_tree_does_not_follow_links(void **state)
{
    rl_error err = {0};
    char outside[8192], inside[8192];
    (void)state;
    snprintf(outside, sizeof outside, "%s", in_temporary("outside"));
    assert_ok(rl_make_directories(outside, &err), err);
    assert_ok(rl_write_file(in_temporary("outside/precious"), "x", 1, &err), err);
    assert_ok(rl_make_directories(in_temporary("tree/sub"), &err), err);
    snprintf(inside, sizeof inside, "%s", in_temporary("tree/sub/link"));
    assert_int_equal(symlink(outside, inside), 0);
    assert_ok(rl_remove_tree(in_temporary("tree"), &err), err);
    assert_true(rl_path_exists(in_temporary("outside/precious")));
}

static void test_a_lock_names_its_holder(void **state)
{
    rl_error err = {0};
    rl_lock lock = {.descriptor = -1};
    char path[8192], pid[32];
    (void)state;
    snprintf(path, sizeof path, "%s", in_temporary("lock"));
    assert_ok(rl_lock_take(&lock, path, &err), err);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    pid_t child = fork(); /* fcntl locks are a process's: only another one can be refused */
    if (child == 0) {
        rl_lock second = {.descriptor = -1};
        rl_error refused = {0};
        rl_status status = rl_lock_take(&second, path, &refused);
        _exit(status == RL_ERR_INPUT && strstr(refused.message, pid) ? 0 : 1);
    }
    int code = -1;
    waitpid(child, &code, 0);
    assert_int_equal(code, 0);
    rl_lock_release(&lock);
    assert_ok(rl_lock_take(&lock, path, &err), err); /* a left-over file is no lock */
    rl_lock_release(&lock);
}

static void test_json_errors_have_a_place(void **state)
{
    rl_error err = {0};
    json_t *root = NULL;
    (void)state;
    support_write(in_temporary("bad.json"), "{\n  \"a\": 1,\n  \"b\": }\n");
    assert_fails(rl_json_read(&root, in_temporary("bad.json"), &err), RL_ERR_INPUT, err, "bad.json:3:");
    support_write(in_temporary("list.json"), "[1]");
    assert_fails(rl_json_read(&root, in_temporary("list.json"), &err), RL_ERR_INPUT, err, "object was expected");
    support_write(in_temporary("twice.json"), "{\"a\": 1, \"a\": 2}");
    assert_fails(rl_json_read(&root, in_temporary("twice.json"), &err), RL_ERR_INPUT, err, "duplicate");
    assert_null(root);
    support_write(in_temporary("good.json"), "{\"a\": 1.5}");
    assert_ok(rl_json_read(&root, in_temporary("good.json"), &err), err);
    assert_ok(rl_json_write(in_temporary("copy.json"), root, &err), err);
    json_decref(root);
    assert_ok(rl_json_read(&root, in_temporary("copy.json"), &err), err);
    assert_close(json_number_value(json_object_get(root, "a")), 1.5, 0, 0);
    json_decref(root);
}

/* What a kill leaves half-written is removed; names that only look like it are somebody's. */
static void test_temporaries_are_removed_and_nothing_else(void **state)
{
    static const char *const names[] = {
        "a.h5.tmp.123", "model.safetensors.tmp.7", "results.h5.tmp.26309.locktest.0", "b.tmp.", "f.tmp.1.lock", "c.tmp.12x", ".tmp.5", "d.tmp", "e.h5"};
    char path[4200], folder[4100];
    rl_error err = {0};
    (void)state;
    snprintf(folder, sizeof folder, "%s/temporaries", support_temporary_folder());
    assert_ok(rl_remove_temporaries(folder, &err), err); /* absent */
    snprintf(path, sizeof path, "%s/folder.tmp.9", folder);
    assert_ok(rl_make_directories(path, &err), err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        support_write(path, "x");
    }
    assert_ok(rl_remove_temporaries(folder, &err), err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        assert_int_equal(rl_path_exists(path), i >= 3);
    }
    snprintf(path, sizeof path, "%s/folder.tmp.9", folder);
    assert_true(rl_path_is_directory(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_temporaries_are_removed_and_nothing_else),
        cmocka_unit_test(test_write_replaces_whole_files),
        cmocka_unit_test(test_a_full_disk_keeps_the_old_file),
        cmocka_unit_test(test_unreadable_and_unwritable_are_named),
        cmocka_unit_test(test_a_fifo_is_not_waited_for),
        cmocka_unit_test(test_publish_keeps_what_is_complete),
        cmocka_unit_test(test_remove_tree_does_not_follow_links),
        cmocka_unit_test(test_a_lock_names_its_holder),
        cmocka_unit_test(test_json_errors_have_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
