/* A sweep that goes on in a folder: what the folder holds stays, what is not asked for is skipped. Two readings of one file name a run by its settings.
 * LABELS: unit */
#include "sweep_support.h"

#define GRID TOP SINGLES "grid: {seed: [0, 1, 2], prune.ratio: [0.1, 0.5]}\n"

/* The folder's sweep.yaml as `then` leaves it, and what `now` becomes there; NULL: it is as it was. */
static rl_sweep *extend(const char *then, const char *now, rl_sweep **asked)
{
    static char previous[700], path[700];
    rl_error err = {0}, unread = {0};
    rl_sweep *old = read_good(then, NULL, NULL), *whole = NULL;
    snprintf(previous, sizeof previous, "%s/previous.yaml", world.folder);
    support_write(previous, old->resolved);
    rl_sweep_free(old);
    snprintf(path, sizeof path, "%s", write_sweep_text(now));
    assert_ok(rl_sweep_read(asked, path, NULL, 0, NULL, &err), err);
    assert_ok(rl_sweep_extend(&whole, *asked, path, NULL, 0, previous, false, &unread, &err), err);
    assert_int_equal(unread.status, RL_OK);
    return whole;
}

static int64_t count_asked(const rl_sweep *sweep)
{
    int64_t asked = 0;
    for (int64_t r = 0; r < sweep->num_runs; r++) asked += !sweep->runs[r].skipped;
    return asked;
}

static void assert_extends(const char *then, const char *now, int64_t runs, int64_t asked_for)
{
    rl_sweep *asked = NULL, *whole = extend(then, now, &asked);
    assert_non_null(whole);
    assert_int_equal(whole->num_runs, runs);
    assert_int_equal(count_asked(whole), asked_for);
    rl_sweep_free(whole);
    rl_sweep_free(asked);
}

static void assert_as_it_is(const char *then, const char *now)
{
    rl_sweep *asked = NULL;
    assert_null(extend(then, now, &asked));
    rl_sweep_free(asked);
}

static void test_more_and_fewer_values(void **state)
{
    (void)state;
    assert_as_it_is(GRID, GRID);
    assert_as_it_is(GRID, TOP SINGLES "grid: {seed: [0, 1, 2, 3], prune.ratio: [0.1, 0.5]}\n"); /* the old runs are among these */
    assert_extends(GRID, TOP SINGLES "grid: {seed: [7], prune.ratio: [0.5]}\n", 8, 1);
}

/* The file is the grid: what its filter: or exclude: leaves out is no run of the sweep any more (--filter asks for less of the grid instead). */
static void test_a_later_exclude_or_filter_narrows_the_sweep(void **state)
{
    rl_sweep *asked = NULL, *whole = extend(GRID, GRID "filter: seed == 1\n", &asked);
    (void)state;
    assert_non_null(whole);
    assert_int_equal(whole->num_runs, 2);
    assert_int_equal(count_asked(whole), 2);
    rl_sweep_free(whole);
    rl_sweep_free(asked);
    assert_extends(GRID, GRID "exclude: [{seed: 0, prune.ratio: 0.5}]\n", 5, 5);
}

/* Old runs that the file's conditions let pass stay, asked for or not. */
static void test_conditions_hold_for_old_runs_too(void **state)
{
    (void)state;
    assert_as_it_is(GRID "filter: seed == 0\n", GRID "filter: seed == 0\n");
    assert_as_it_is(GRID "filter: seed == 0\n", GRID "filter: seed <= 1\n");
    assert_extends(TOP SINGLES "grid: {seed: [3], prune.ratio: [0.1, 0.5]}\nexclude: [{prune.ratio: 0.5}]\n", GRID "exclude: [{prune.ratio: 0.5}]\n", 4, 3);
}

/* What the folder then says of itself is read back, and the next start finds the same. */
static void test_the_next_start_finds_the_same(void **state)
{
    static const char seven[] = TOP SINGLES "grid: {seed: [7], prune.ratio: [0.5]}\n";
    rl_sweep *asked = NULL, *whole = extend(GRID, seven, &asked), *again = NULL;
    char text[8192];
    (void)state;
    assert_non_null(whole);
    snprintf(text, sizeof text, "%s", whole->resolved);
    rl_sweep_free(asked);
    again = extend(text, seven, &asked);
    assert_non_null(again);
    assert_string_equal(again->resolved, whole->resolved);
    assert_int_equal(count_asked(again), 1);
    rl_sweep_free(again);
    rl_sweep_free(whole);
    rl_sweep_free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_and_fewer_values),
        cmocka_unit_test(test_a_later_exclude_or_filter_narrows_the_sweep),
        cmocka_unit_test(test_conditions_hold_for_old_runs_too),
        cmocka_unit_test(test_the_next_start_finds_the_same),
    };
    return cmocka_run_group_tests(tests, make_world, NULL);
}
