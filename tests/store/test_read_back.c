/* What parallel I/O wrote is read back and compared: bytes that change on the disk in between are found and named on
 * every rank. gather.c is included to stop between its two phases.
 * LABELS: mpi
 * PROCESSORS: 2
 * TIMEOUT: 240 */
#include "../../src/store/gather.c"

#include "mpi_support.h"
#include "synthetic.h"

#include <sys/stat.h>

static synthetic_sweep sweep;
static rl_gather_run runs[MAX_RUNS];
static char shard_paths[MAX_RUNS][4300];

static void set_up(int n)
{
    make_sweep(&sweep, n);
    for (int r = 0; r < n; r++) {
        rl_error err = {0};
        rl_run_result *result = make_result(&sweep.runs[r]);
        snprintf(shard_paths[r], sizeof shard_paths[r], "%s/%d.h5", shared_folder(), r);
        runs[r] = (rl_gather_run){
            .id = sweep.runs[r].id, .shard = shard_paths[r], .status = "done", .error = "", .seconds = 1};
        if (world_rank == 0 && rl_shard_write(shard_paths[r], &sweep.runs[r], &sweep.sweep, result, &err) != RL_OK)
            abort();
        rl_run_result_free(result);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Change one byte of `value`'s only occurrence in a file. */
static void change(const char *path, const void *value, size_t width)
{
    size_t n;
    char *bytes = file_bytes(path, &n), *at = memmem(bytes, n, value, width);
    FILE *file = fopen(path, "r+b");
    if (!at || !file || fseek(file, at - bytes, SEEK_SET) || fputc(at[0] ^ 1, file) == EOF || fclose(file)) abort();
    rl_free(bytes);
}

/* The gather with a fault between writing and verifying. */
static rl_status gather_with_fault(const void *value, size_t width, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    gather g = {
        .comm = rl_store_plain_comm(MPI_COMM_WORLD), .file = {H5I_INVALID_HID, NULL}};
    rl_status status = prepare(&g, shared_folder(), &sweep.sweep, runs, err);
    g.file.path = g.temporary;
    if (status == RL_OK) status = write_phase(&g, err);
    if (status == RL_OK && value && world_rank == 0) change(g.temporary, value, width);
    MPI_Barrier(MPI_COMM_WORLD);
    if (status == RL_OK) status = verify_phase(&g, err);
    release(&g, true);
    rl_h5_quiet_end(quiet);
    return status;
}

static void check_fault(const void *value, size_t width, const char *dataset, const char *whose)
{
    rl_error err = {0};
    rl_status status = gather_with_fault(value, width, &err);
    assert_everywhere(status == RL_ERR_IO);
    if (!strstr(err.message, dataset) || !strstr(err.message, whose)) print_error("%s\n", err.message);
    assert_everywhere(strstr(err.message, "differs from what was written") && strstr(err.message, dataset) &&
                      strstr(err.message, whose));
}

static void test_unchanged_file_passes(void **state)
{
    rl_error err = {0};
    (void)state;
    set_up(5);
    assert_ok_everywhere(gather_with_fault(NULL, 0, &err), err);
}

static void test_changed_bytes_are_named(void **state)
{
    double score = value_at(4, 2, 3), f1 = value_at(1, 0, 0) + 0.3;
    (void)state;
    set_up(5);
    check_fault(&score, sizeof score, "/neurons/mini/score", sweep.runs[4].id);
    check_fault(&f1, sizeof f1, "/runs/f1_base", "this rank's runs");
    check_fault("Anna", 4, "/vocabulary", "all runs");
    assert_everywhere(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0);
}

static void test_parallel_round_trip_of_doctor(void **state)
{
    rl_error err = {0};
    double rate = -1;
    char path[4400];
    (void)state;
    assert_ok_everywhere(rl_hdf5_round_trip(MPI_COMM_WORLD, shared_folder(), &rate, &err), err);
    assert_everywhere(rate > 0);
    rl_status status = rl_hdf5_round_trip(MPI_COMM_WORLD, "/nowhere/at/all", &rate, &err);
    assert_everywhere(status == RL_ERR_IO && strstr(err.message, "/nowhere/at/all"));
    snprintf(path, sizeof path, "%s/results.h5", shared_folder());
    assert_everywhere(!rl_path_exists(path)); /* the faulty ones above were not published */
    assert_everywhere(strchr(rl_hdf5_version(), '.') != NULL);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unchanged_file_passes),
        cmocka_unit_test(test_changed_bytes_are_named),
        cmocka_unit_test(test_parallel_round_trip_of_doctor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, all_tests); }
