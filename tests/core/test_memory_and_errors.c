/* Memory is aligned, zeroed and overflow-checked; errors are one line and keep their place.
 * LABELS: unit */
#include "support.h"

static void test_allocations_are_zero_and_aligned(void **state)
{
    rl_error err = {0};
    (void)state;
    for (size_t n = 0; n < 300; n += 37) {
        char *memory = rl_calloc(n, 1, &err);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(memory[i], 0);
        rl_free(memory);
    }
    assert_null(rl_calloc(SIZE_MAX / 2, 4, &err));
    assert_int_equal(err.status, RL_ERR_MEMORY);
}

static void test_regrow_keeps_and_zeroes(void **state)
{
    rl_error err = {0};
    int *list = rl_calloc(3, sizeof *list, &err);
    (void)state;
    list[0] = 1, list[1] = 2, list[2] = 3;
    list = rl_regrow(list, 3, 100, sizeof *list, &err);
    assert_non_null(list);
    assert_int_equal(list[2], 3);
    for (int i = 3; i < 100; i++) assert_int_equal(list[i], 0);
    rl_free(list);
}

static void test_an_arena_is_full_when_it_is_full(void **state)
{
    rl_error err = {0};
    rl_arena *arena = NULL;
    size_t size = rl_arena_span(10, 4) + rl_arena_span(3, 8);
    (void)state;
    assert_ok(rl_arena_create(&arena, "test", size, &err), err);
    float *a = rl_arena_take(arena, 10, 4);
    size_t mark = rl_arena_mark(arena);
    double *b = rl_arena_take(arena, 3, 8);
    assert_non_null(a);
    assert_non_null(b);
    a[9] = 1;
    b[2] = 2;
    assert_null(rl_arena_take(arena, 1, 1));
    rl_arena_release(arena, mark);
    assert_ptr_equal(rl_arena_take(arena, 3, 8), b);
    rl_arena_free(arena);
}

static void test_errors_are_one_line_with_their_place(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_int_equal(rl_fail_at(&err, RL_ERR_INPUT, "a.yaml", 3, 7, "unknown key '%s'", "x\ny"), RL_ERR_INPUT);
    assert_string_equal(err.message, "a.yaml:3:7: unknown key 'x y'");
    assert_int_equal(rl_error_while(&err, RL_ERR_INPUT, "reading %d", 5), RL_ERR_INPUT);
    assert_string_equal(err.message, "a.yaml:3:7: unknown key 'x y' (while reading 5)");
    assert_int_equal(rl_error_while(&err, RL_OK, "never"), RL_OK);
    assert_null(strstr(err.message, "never"));
    rl_fail(NULL, RL_ERR_INPUT, "nobody listens");
    char longer[3000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    rl_fail(&err, RL_ERR_IO, "%s", longer);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    rl_error_while(&err, RL_ERR_IO, "more");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

/* A message goes into the journal as JSON and to a terminal: whatever bytes a file held, it is valid UTF-8 without controls. */
static void test_errors_are_valid_utf8_without_controls(void **state)
{
    rl_error err = {0};
    char longer[1100], path[2000];
    (void)state;
    rl_fail(&err, RL_ERR_INPUT, "word '%s'", "\xff\x1b[2Jo\xcc\x88\xed\xa0\x80\xe2\x82");
    assert_string_equal(err.message, "word '? [2Jo\xcc\x88\?\?\?\?\?'");
    rl_fail(&err, RL_ERR_INPUT, "%s", "\xc0\x80 \xf4\x90\x80\x80 \xf0\x9f\x98\x80 \xe0\x80\x80");
    assert_string_equal(err.message, "?? ???? \xf0\x9f\x98\x80 ???");
    for (size_t i = 0; i < sizeof longer; i++) longer[i] = i % 2 ? '\x88' : '\xcc';
    longer[sizeof longer - 1] = '\0';
    for (int shift = 0; shift < 2; shift++) { /* cut inside a character or between two */
        rl_fail(&err, RL_ERR_INPUT, "%s%s", shift ? "a" : "", longer);
        json_t *text = json_string(err.message);
        assert_non_null(text);
        json_decref(text);
    }
    memset(path, 'd', sizeof path - 1);
    memcpy(path + sizeof path - 8, "/a.yaml", 8);
    rl_fail_at(&err, RL_ERR_INPUT, path, 12, 34, "what is wrong");
    assert_non_null(strstr(err.message, "d/a.yaml:12:34: what is wrong"));
}

static void test_exit_codes_are_the_contract(void **state)
{
    (void)state;
    assert_int_equal(rl_exit_code(RL_OK), 0);
    assert_int_equal(rl_exit_code(RL_ERR_USAGE), 2);
    assert_int_equal(rl_exit_code(RL_ERR_INPUT), 2);
    assert_int_equal(rl_exit_code(RL_ERR_IO), 2);
    assert_int_equal(rl_exit_code(RL_ERR_STOPPED), 75);
    assert_int_equal(rl_exit_code(RL_ERR_INTERNAL), 70);
    assert_int_equal(rl_exit_code(RL_ERR_MEMORY), 70);
}

static void test_a_buffer_grows_and_ends_in_nul(void **state)
{
    rl_error err = {0};
    rl_buffer buffer = {0};
    (void)state;
    for (int i = 0; i < 1000; i++) assert_ok(rl_buffer_printf(&buffer, &err, "%d,", i), err);
    assert_int_equal(buffer.length, 3890);
    assert_int_equal(strlen(buffer.data), 3890);
    rl_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations_are_zero_and_aligned),
        cmocka_unit_test(test_regrow_keeps_and_zeroes),
        cmocka_unit_test(test_an_arena_is_full_when_it_is_full),
        cmocka_unit_test(test_errors_are_one_line_with_their_place),
        cmocka_unit_test(test_errors_are_valid_utf8_without_controls),
        cmocka_unit_test(test_exit_codes_are_the_contract),
        cmocka_unit_test(test_a_buffer_grows_and_ends_in_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
