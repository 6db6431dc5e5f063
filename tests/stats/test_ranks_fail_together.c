/* Out of memory on one rank, wherever it strikes, is the same error on all ranks: nobody waits for the one that left.
 * LABELS: golden
 * PROCESSORS: 2
 * TIMEOUT: 240 */
#include "golden_stats.h"

#include "../store/synthetic.h"
#include "mpi_support.h"

#include <errno.h>
#include <stdlib.h>

static int64_t countdown = -1; /* allocations of this rank until one fails; negative: none does */

/* In front of the C library's for this program: src/core/memory.c is its only caller. */
void *aligned_alloc(size_t alignment, size_t size)
{
    void *memory = NULL;
    if (countdown >= 0 && countdown-- == 0) return NULL;
    return posix_memalign(&memory, alignment, size) ? NULL : memory;
}

/* Statistics of a golden store with the nth allocation of `victim` failing; *used: how many it made. */
static rl_status compute(const char *name, int victim, int64_t nth, int64_t *used)
{
    const int64_t plenty = INT64_MAX;
    char path[600];
    rl_error err = {0};
    rl_outputs o = {0};
    json_t *findings = NULL;
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    snprintf(path, sizeof path, "%s/golden/stats/%s.h5", RELEARN_TESTS_DIR, name);
    countdown = nth < 0 ? plenty : world_rank == victim ? nth : -1;
    rl_status status = rl_stats_outputs(&o, MPI_COMM_WORLD, path, &findings, &err);
    if (used) *used = plenty - countdown;
    countdown = -1;
    rl_outputs_clear(&o);
    json_decref(findings);
    rl_h5_quiet_end(quiet);
    if (status != RL_OK && status != RL_ERR_MEMORY) print_error("allocation %lld: %s\n", (long long)nth, err.message);
    return status;
}

/* `times` places spread evenly over all allocations, for each rank as the victim. */
static void fail_everywhere(const char *name, int64_t times)
{
    int64_t used = 0, most = 0;
    assert_everywhere(compute(name, 0, -1, &used) == RL_OK);
    MPI_Allreduce(&used, &most, 1, MPI_INT64_T, MPI_MIN, MPI_COMM_WORLD);
    for (int victim = 0; victim < world_size; victim++)
        for (int64_t i = 0; i < times; i++) assert_everywhere(compute(name, victim, most * (2 * i + 1) / (2 * times), NULL) == RL_ERR_MEMORY);
    assert_everywhere(compute(name, 0, -1, NULL) == RL_OK);
}

static void test_one_run(void **state)
{
    (void)state;
    fail_everywhere("one", 40);
}

static void test_a_grid_with_comparisons_and_seeds(void **state)
{
    (void)state;
    fail_everywhere("grid", 12);
}

static void test_finders(void **state)
{
    (void)state;
    fail_everywhere("finders", 12);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_one_run),
        cmocka_unit_test(test_a_grid_with_comparisons_and_seeds),
        cmocka_unit_test(test_finders),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
