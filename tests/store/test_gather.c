/* results.h5 holds what the shards hold, whoever and however many gathered it; what is missing is NaN, -1 or ""; and
 * a gather that fails leaves the old file.
 * LABELS: mpi
 * PROCESSORS: 3
 * TIMEOUT: 120 */
#include "mpi_support.h"
#include "synthetic.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUM_RUNS    8
#define FAILED_RUN  3 /* no shard */
#define DAMAGED_RUN 5 /* a flipped bit */

static synthetic_sweep sweep;
static rl_gather_run runs[MAX_RUNS];
static char shard_paths[MAX_RUNS][4300];
static const char *folder;

static void write_shard(int r)
{
    rl_error err = {0};
    rl_run_result *result = make_result(&sweep.runs[r]);
    if (rl_shard_write(shard_paths[r], &sweep.runs[r], &sweep.sweep, result, &err) != RL_OK) abort();
    rl_run_result_free(result);
}

static void damage(int r)
{
    size_t n;
    double score = value_at(r, 1, 2);
    char *bytes = file_bytes(shard_paths[r], &n), *at = memmem(bytes, n, &score, sizeof score);
    FILE *file = fopen(shard_paths[r], "r+b");
    if (!at || !file || fseek(file, at - bytes, SEEK_SET) || fputc(at[0] ^ 4, file) == EOF || fclose(file)) abort();
    rl_free(bytes);
}

/* Shards of runs 0 .. n-1 by rank 0; FAILED_RUN and DAMAGED_RUN as their names say when there are that many. */
static void set_up(int n)
{
    folder = shared_folder();
    make_sweep(&sweep, n);
    for (int r = 0; r < n; r++) {
        bool failed = r == FAILED_RUN;
        snprintf(shard_paths[r], sizeof shard_paths[r], "%s/%d.h5", folder, r);
        runs[r] = (rl_gather_run){.id = sweep.runs[r].id,
                                  .shard = failed ? NULL : shard_paths[r],
                                  .status = failed ? "failed" : "done",
                                  .error = failed ? "the loss is NaN at step 3" : "",
                                  .seconds = 1.5 * r};
        if (world_rank == 0 && !failed) write_shard(r);
    }
    if (world_rank == 0 && n > DAMAGED_RUN) damage(DAMAGED_RUN);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Gather into FOLDER/NAME/results.h5 by the first `size` ranks; the path on every rank. */
static const char *gather_into(const char *name, int size, rl_status *status, int64_t *damaged, rl_error *err)
{
    static char path[8][4400];
    static int next;
    char directory[4300], *results = path[next++ % 8];
    MPI_Comm comm = first_ranks(size);
    snprintf(directory, sizeof directory, "%s/%s", folder, name);
    snprintf(results, sizeof path[0], "%s/results.h5", directory);
    mkdir(directory, 0777);
    MPI_Barrier(MPI_COMM_WORLD);
    *status = RL_OK;
    if (comm != MPI_COMM_NULL) {
        *status = rl_store_gather(comm, directory, &sweep.sweep, runs, damaged, err);
        MPI_Comm_free(&comm);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    return results;
}

/* ------------------------------------------------------------------------------------------------- contents */

/* Rank 0 alone reads: it counts what is wrong, and all ranks assert afterwards. */
static int mistakes;
#define expect(condition) expect_at((condition), #condition, __LINE__)
static void expect_at(bool fine, const char *what, int line)
{
    if (!fine && mistakes++ < 20) print_error("%s:%d: not so: %s\n", __FILE__, line, what);
}

static rl_place results;
static void *read_all(const char *name, rl_array *shape)
{
    rl_error err = {0};
    if (rl_h5_shape(shape, results, name, &err) != RL_OK)
        *shape = rl_array_of(RL_F64, 3, (hsize_t[]){99, 99, 99}); /* zeros */
    char *values = grown(rl_array_bytes(shape) + 1, 1);
    bool read = rl_h5_get(values, results, name, shape, &err) == RL_OK;
    if (!read) print_error("%s\n", err.message);
    expect(read);
    return values;
}

static void check_text(const char *name, int row, const char *expected)
{
    rl_array shape;
    char *values = read_all(name, &shape), *at = values + (size_t)row * shape.width;
    expect(shape.element == RL_TEXT);
    expect(strnlen(at, shape.width) == strlen(expected));
    expect(memcmp(at, expected, strlen(expected)) == 0);
    rl_free(values);
}

static void check_number(const char *name, int row, double expected)
{
    rl_array shape;
    void *values = read_all(name, &shape);
    double found = shape.element == RL_I64 ? (double)((int64_t *)values)[row] : ((double *)values)[row];
    expect(shape.element == RL_I64 || shape.element == RL_F64);
    if (isnan(expected))
        expect(isnan(found));
    else
        expect(found == expected);
    rl_free(values);
}

static void check_columns(void)
{
    check_text("runs/id", 4, sweep.runs[4].id);
    check_text("runs/run", 4, sweep.runs[4].id);
    check_text("runs/status", 0, "done");
    check_text("runs/status", FAILED_RUN, "failed");
    check_text("runs/error", FAILED_RUN, "the loss is NaN at step 3");
    check_text("runs/status", DAMAGED_RUN, "failed");
    check_text("runs/model", 0, "mini");
    check_text("runs/model", 2, "mini_2");
    check_text("runs/model_folder", 2, "/models/b/mini");
    check_text("runs/concept", 1, "location");
    check_number("runs/seed", 7, 3);
    check_number("runs/seconds", 6, 9);
    check_number("runs/prune.ratio", 1, 0.1);
    check_number("runs/retrain.rounds", 1, 2);
    check_number("runs/num_pruned", 4, 2);
    check_number("runs/num_pruned", FAILED_RUN, -1);
    check_number("runs/f1_base", 6, value_at(6, 0, 0) + 0.3);
    check_number("runs/recall_pruned", 4, value_at(4, 1, 0) + 0.2);
    check_number("runs/subword_f1_retrained_1", 4, value_at(4, 2, 0) + 10.3);
    check_number("runs/test_f1_retrained_2", 7, value_at(7, 3, 0) + 20.3);
    check_number("runs/f1_retrained_2", 6, NAN); /* one round only */
    check_number("runs/f1_base", FAILED_RUN, NAN);
    check_number("runs/f1_base", DAMAGED_RUN, NAN);
    check_number("runs/test_accuracy_base", 0, NAN);
}

/* Row of run r in its model's groups: models alternate a a b a a b ... */
static int row_of(int r)
{
    int row = 0;
    for (int i = 0; i < r; i++) row += is_small(&sweep.runs[i]) == is_small(&sweep.runs[r]);
    return row;
}

static void check_neurons_of(int r, bool present)
{
    const char *model = is_small(&sweep.runs[r]) ? "mini_2" : "mini";
    int64_t N = num_layers_of(&sweep.runs[r]) * hidden_size_of(&sweep.runs[r]),
            stages = present ? 2 + sweep.runs[r].settings.retrain_rounds : 0;
    char name[64];
    rl_array shape;
    snprintf(name, sizeof name, "neurons/%s/score", model);
    double *score = read_all(name, &shape);
    snprintf(name, sizeof name, "neurons/%s/rank", model);
    int32_t *rank = read_all(name, &shape);
    snprintf(name, sizeof name, "neurons/%s/pruned", model);
    int8_t *pruned = read_all(name, &shape);
    expect(shape.dims[1] == 4);
    expect((int64_t)shape.dims[2] == N);
    int32_t first_pruned = r % 10;
    for (int64_t s = 0; s < 4; s++)
        for (int64_t n = 0; n < N; n++) {
            int64_t at = (row_of(r) * 4 + s) * N + n;
            if (s < stages) {
                expect(score[at] == value_at(r, s, n));
                expect(rank[at] == (n + r) % N);
                if (n == first_pruned) expect(pruned[at] == (s > 0));
            } else {
                expect(isnan(score[at]));
                expect(rank[at] == -1);
                expect(pruned[at] == -1);
            }
        }
    rl_free(score);
    rl_free(rank);
    rl_free(pruned);
}

static void check_words_of(int r)
{
    const char *model = is_small(&sweep.runs[r]) ? "mini_2" : "mini";
    int64_t N = num_layers_of(&sweep.runs[r]) * hidden_size_of(&sweep.runs[r]), count;
    const char *const *local = words_of(&sweep.runs[r], &count);
    rl_array shape, vocabulary;
    char name[64], *words = read_all("vocabulary", &vocabulary);
    snprintf(name, sizeof name, "words/%s/word", model);
    int32_t *ids = read_all(name, &shape);
    for (int64_t s = 0; s < 2; s++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t j = 0; j < TOP_K; j++) {
                int32_t id = ids[((row_of(r) * 4 + s) * N + n) * TOP_K + j];
                if (j == 2)
                    expect(id == -1);
                else
                    expect(strncmp(words + (size_t)id * vocabulary.width, local[(n + r + j) % count],
                                   vocabulary.width) == 0);
            }
    rl_free(ids);
    rl_free(words);
}

static void check_training_of(int r)
{
    rl_array shape, epochs;
    double *loss = read_all("training/loss", &shape), *f1 = read_all("training/f1", &epochs);
    expect(shape.dims[0] == NUM_RUNS);
    expect(shape.dims[2] == 6); /* the longest training */
    for (int64_t i = 0; i < 6; i++) {
        double found = loss[(r * 4 + 2) * 6 + i];
        if (i < num_steps_of(r, 2))
            expect(found == value_at(r, 2, i));
        else
            expect(isnan(found));
        expect(isnan(loss[(r * 4 + 1) * 6 + i])); /* pruning trains nothing */
    }
    expect(f1[r * 4 * 2 + 1] == value_at(r, 0, 0) + 1);
    rl_free(loss);
    rl_free(f1);
}

static void check_axes(void)
{
    rl_array shape;
    int32_t *layer = read_all("neurons/mini_2/layer", &shape), *unit = read_all("neurons/mini_2/unit", &shape);
    check_text("neurons/mini/stage", 3, "retrained_2");
    check_text("neurons/mini_2/run", 1, sweep.runs[5].id);
    expect(shape.dims[0] == 10);
    expect(layer[7] == 1);
    expect(unit[7] == 2);
    rl_free(layer);
    rl_free(unit);
}

static void check_contents(const char *path)
{
    rl_error err = {0};
    results.path = path;
    if (rl_h5_open(&results.id, path, "results file", &err) != RL_OK) print_error("%s\n", err.message);
    check_columns();
    check_axes();
    for (int r = 0; r < NUM_RUNS; r++) check_neurons_of(r, r != FAILED_RUN && r != DAMAGED_RUN);
    check_words_of(0);
    check_words_of(2);
    check_words_of(7);
    check_training_of(0);
    check_training_of(7);
    H5Fclose(results.id);
}

/* ---------------------------------------------------------------------------------------------------- tests */

static void digest_of(const char *path, char hex[RL_DIGEST_HEX])
{
    rl_error err = {0};
    rl_status status = world_rank == 0 ? rl_store_digest(path, hex, &err) : RL_OK;
    assert_ok_everywhere(status, err);
    MPI_Bcast(hex, RL_DIGEST_HEX, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static void test_same_store_by_one_two_and_three_ranks(void **state)
{
    char digest[4][RL_DIGEST_HEX], name[16];
    (void)state;
    set_up(NUM_RUNS);
    for (int size = 1; size <= 3; size++) {
        rl_error err = {0};
        rl_status status;
        int64_t damaged = -1;
        snprintf(name, sizeof name, "by%d", size);
        const char *path = gather_into(name, size, &status, &damaged, &err);
        assert_ok_everywhere(status, err);
        assert_everywhere(world_rank >= size || damaged == 1);
        digest_of(path, digest[size]);
        if (world_rank == 0) check_contents(path);
        assert_everywhere(mistakes == 0);
    }
    assert_everywhere(!strcmp(digest[1], digest[2]));
    assert_everywhere(!strcmp(digest[1], digest[3]));
    assert_everywhere(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0);
}

static void test_digest_sees_one_bit_but_not_time(void **state)
{
    char before[RL_DIGEST_HEX], slower[RL_DIGEST_HEX], after[RL_DIGEST_HEX];
    rl_error err = {0};
    rl_status status;
    (void)state;
    set_up(4);
    digest_of(gather_into("bit", 3, &status, NULL, &err), before);
    runs[0].seconds += 17;
    digest_of(gather_into("bit", 2, &status, NULL, &err), slower);
    if (world_rank == 0) {
        rl_run_result *result = make_result(&sweep.runs[1]);
        result->stages[1].neurons->effect_size[4] = nextafterf(result->stages[1].neurons->effect_size[4], 1e9f);
        if (rl_shard_write(shard_paths[1], &sweep.runs[1], &sweep.sweep, result, &err) != RL_OK) abort();
        rl_run_result_free(result);
    }
    digest_of(gather_into("bit", 3, &status, NULL, &err), after);
    assert_everywhere(!strcmp(before, slower));
    assert_everywhere(strcmp(before, after) != 0);
}

/* Runs in another order, and with them another vocabulary: still the same store. */
static void test_digest_is_order_free(void **state)
{
    char forward[RL_DIGEST_HEX], backward[RL_DIGEST_HEX];
    int64_t damaged = -1;
    rl_error err = {0};
    rl_status status;
    (void)state;
    set_up(3);
    sweep.runs[2].settings.model =
        "/models/b/other"; /* unlike basenames: which one is called _2 depends on the order */
    if (world_rank == 0) write_shard(2);
    digest_of(gather_into("forward", 3, &status, NULL, &err), forward);
    rl_run run = sweep.runs[0]; /* 0 and 1 differ in their vocabulary */
    sweep.runs[0] = sweep.runs[1];
    sweep.runs[1] = run;
    rl_gather_run gathered = runs[0];
    runs[0] = runs[1];
    runs[1] = gathered;
    for (int r = 0; r < 2; r++) runs[r].id = sweep.runs[r].id; /* they point into the runs that have changed places */
    digest_of(gather_into("backward", 2, &status, &damaged, &err), backward);
    assert_everywhere(damaged == 0 || world_rank == 2);
    assert_everywhere(!strcmp(forward, backward));
}

/* Another concept that this sweep does not follow has no place in results.h5: that run is damaged, the others are gathered. */
static void follow_a_stranger(const char *shard)
{
    rl_error err = {0};
    rl_array name, scores;
    hid_t file = H5Fopen(shard, H5F_ACC_RDWR, H5P_DEFAULT);
    const rl_place place = {file, shard};
    if (file < 0 || rl_h5_shape(&scores, place, "also/score", &err) != RL_OK || scores.num_dims != 3) abort();
    name = rl_text_array(5, 1);
    scores.dims[1] = 1;
    void *zeros = grown(rl_array_count(&scores), 8);
    H5Ldelete(file, "also/concepts", H5P_DEFAULT);
    bool made = rl_h5_put(place, "also/concepts", &name, "ghost", &err) == RL_OK;
    for (int i = 0; i < 3; i++) {
        static const char *const paths[] = {"also/score", "also/rank", "also/saliency"};
        scores.element = i == 1 ? RL_I32 : RL_F64;
        scores.width = rl_element_width(scores.element);
        H5Ldelete(file, paths[i], H5P_DEFAULT);
        made = made && rl_h5_put(place, paths[i], &scores, zeros, &err) == RL_OK;
    }
    if (!made) abort();
    rl_free(zeros);
    close_sealed(file, shard);
}

static void test_a_concept_that_nobody_follows(void **state)
{
    rl_error err = {0};
    rl_status status;
    int64_t damaged = -1;
    (void)state;
    set_up(3);
    if (world_rank == 0) follow_a_stranger(shard_paths[1]);
    MPI_Barrier(MPI_COMM_WORLD);
    const char *path = gather_into("ghost", 2, &status, &damaged, &err);
    assert_ok_everywhere(status, err);
    assert_everywhere(damaged == 1 || world_rank == 2);
    if (world_rank == 0) {
        results.path = path;
        expect(rl_h5_open(&results.id, path, "results file", &err) == RL_OK);
        check_text("runs/status", 0, "done");
        check_text("runs/status", 1, "failed");
        H5Fclose(results.id);
    }
    assert_everywhere(mistakes == 0);
}

static void test_more_ranks_than_runs(void **state)
{
    char one[RL_DIGEST_HEX], three[RL_DIGEST_HEX];
    rl_error err = {0};
    rl_status status;
    (void)state;
    set_up(1);
    digest_of(gather_into("lonely1", 1, &status, NULL, &err), one);
    assert_ok_everywhere(status, err);
    digest_of(gather_into("lonely3", 3, &status, NULL, &err), three);
    assert_ok_everywhere(status, err);
    assert_everywhere(!strcmp(one, three));
}

static void test_runs_without_any_shard_leave_their_status(void **state)
{
    rl_error err = {0};
    rl_status status;
    int64_t damaged = -1;
    (void)state;
    set_up(4);
    for (int r = 0; r < 4; r++)
        runs[r] = (rl_gather_run){.id = sweep.runs[r].id, .status = "failed", .error = "no model", .seconds = NAN};
    const char *path = gather_into("none", 3, &status, &damaged, &err);
    assert_ok_everywhere(status, err);
    assert_everywhere(damaged == 0);
    if (world_rank == 0) {
        results.path = path;
        expect(rl_h5_open(&results.id, path, "results file", &err) == RL_OK);
        check_text("runs/error", 3, "no model");
        check_number("runs/f1_base", 3, NAN);
        check_number("runs/seconds", 3, NAN);
        expect(H5Lexists(results.id, "neurons", H5P_DEFAULT) == 0);
        expect(H5Lexists(results.id, "vocabulary", H5P_DEFAULT) == 0);
        H5Fclose(results.id);
    }
    assert_everywhere(mistakes == 0);
}

/* open-mpi/ompi#12718: a Cartesian communicator and three ranks. */
static void test_cartesian_communicator(void **state)
{
    char plain[RL_DIGEST_HEX], grid[RL_DIGEST_HEX], directory[4300];
    rl_error err = {0};
    rl_status status;
    MPI_Comm cartesian;
    (void)state;
    set_up(NUM_RUNS);
    digest_of(gather_into("plain", 3, &status, NULL, &err), plain);
    MPI_Cart_create(MPI_COMM_WORLD, 1, &world_size, (int[]){0}, false, &cartesian);
    snprintf(directory, sizeof directory, "%s/plain", folder);
    assert_ok_everywhere(rl_store_gather(cartesian, directory, &sweep.sweep, runs, NULL, &err), err);
    MPI_Comm_free(&cartesian);
    snprintf(directory, sizeof directory, "%s/plain/results.h5", folder);
    digest_of(directory, grid);
    assert_everywhere(!strcmp(plain, grid));
}

static int files_in(const char *name)
{
    char command[4400], text[32] = "";
    snprintf(command, sizeof command, "ls -A %s/%s | wc -l", folder, name);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(text, sizeof text, pipe)) abort();
    pclose(pipe);
    return atoi(text);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void test_full_disk_keeps_the_old_store(void **state)
{
    char before[RL_DIGEST_HEX], after[RL_DIGEST_HEX];
    rl_error err = {0};
    rl_status status;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    set_up(NUM_RUNS);
    const char *path = gather_into("full", 3, &status, NULL, &err);
    digest_of(path, before);
    for (rlim_t limit = 0; limit < 200000; limit += 49999) {
        limit_file_size(limit);
        gather_into("full", 3, &status, NULL, &err);
        limit_file_size(RLIM_INFINITY);
        assert_everywhere(status == RL_ERR_IO && strstr(err.message, "cannot be written") &&
                          strstr(err.message, "File too large"));
    }
    digest_of(path, after);
    assert_everywhere(!strcmp(before, after));
    assert_everywhere(world_rank != 0 || files_in("full") == 1);
    assert_everywhere(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0);
}

static void test_missing_folder_fails_on_every_rank(void **state)
{
    rl_error err = {0};
    (void)state;
    set_up(2);
    rl_status status = rl_store_gather(MPI_COMM_WORLD, "/nowhere/at/all", &sweep.sweep, runs, NULL, &err);
    assert_everywhere(status == RL_ERR_IO && strstr(err.message, "/nowhere/at/all/results.h5") &&
                      strstr(err.message, "No such file"));
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_store_by_one_two_and_three_ranks),
        cmocka_unit_test(test_digest_sees_one_bit_but_not_time),
        cmocka_unit_test(test_digest_is_order_free),
        cmocka_unit_test(test_a_concept_that_nobody_follows),
        cmocka_unit_test(test_more_ranks_than_runs),
        cmocka_unit_test(test_runs_without_any_shard_leave_their_status),
        cmocka_unit_test(test_cartesian_communicator),
        cmocka_unit_test(test_full_disk_keeps_the_old_store),
        cmocka_unit_test(test_missing_folder_fails_on_every_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, all_tests); }
