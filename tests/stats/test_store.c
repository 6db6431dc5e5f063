/* /stats of a small store is what numpy says, has the same bytes at any number of ranks, and never damages results.h5.
 * LABELS: golden
 * PROCESSORS: 4
 * TIMEOUT: 300 */
#include "golden_stats.h"

#include <unistd.h>

#include "../store/mpi_support.h"

/* Everything computed for golden/stats/NAME.h5 by the first `size` ranks; the other ranks get nothing. */
static void compute(rl_outputs *o, const char *name, int size)
{
    char path[600];
    rl_error err = {0};
    rl_status status = RL_OK;
    MPI_Comm comm = first_ranks(size);
    snprintf(path, sizeof path, "%s/golden/stats/%s.h5", RELEARN_TESTS_DIR, name);
    if (comm != MPI_COMM_NULL) {
        status = rl_stats_outputs(o, comm, path, NULL, &err);
        MPI_Comm_free(&comm);
    }
    assert_ok_everywhere(status, err);
}

static double value_of(const rl_outputs *o, const char *path, int64_t i)
{
    const rl_output *found = rl_outputs_find(o, path);
    return found ? ((const double *)found->values)[i] : NAN;
}

static bool close_to(double a, double b) { return fabs(a - b) <= 1e-12 * fabs(b); }

static void test_same_bytes_at_any_number_of_ranks(void **state)
{
    static const char *const stores[] = {"grid", "one", "constant", "finders"};
    char digests[5][RL_DIGEST_HEX] = {{0}};
    rl_error err = {0};
    (void)state;
    for (size_t k = 0; k < 4; k++)
        for (int size = 1; size <= world_size; size++) {
            rl_outputs o = {0};
            compute(&o, stores[k], size);
            if (world_rank == 0 && rl_outputs_digest(&o, digests[size], &err) != RL_OK) digests[size][0] = '\0';
            assert_everywhere(world_rank > 0 || (digests[size][0] && !strcmp(digests[size], digests[1])));
            rl_outputs_clear(&o);
        }
}

static void test_layers_are_numpys(void **state)
{
    rl_outputs o = {0};
    json_t *expected = json_object_get(json_object_get(golden(), "one"), "layers");
    bool fine = true;
    (void)state;
    compute(&o, "one", world_size);
    for (int64_t l = 0; l < 3; l++) { /* one cell, one run, stage 2 */
        fine = fine && close_to(value_of(&o, "/stats/layers/mini/saliency", 2 * 3 + l), item(list(expected, "saliency"), (size_t)l));
        fine = fine && close_to(value_of(&o, "/stats/layers/mini/share", 2 * 3 + l), item(list(expected, "share"), (size_t)l));
        fine = fine && close_to(value_of(&o, "/stats/layers/mini/mass", 2 * 3 + l), item(list(expected, "mass"), (size_t)l));
        fine = fine && isnan(value_of(&o, "/stats/layers/mini/saliency_low", 2 * 3 + l)); /* one seed: no interval */
    }
    fine = fine && close_to(value_of(&o, "/stats/layers/mini/centre", 2), field(expected, "centre"));
    assert_everywhere(fine);
    rl_outputs_clear(&o);
}

/* Run 5 of grid failed, run 8 has a NaN loss: both lower n and nothing else. */
static void test_gaps_are_counted(void **state)
{
    rl_outputs o = {0};
    (void)state;
    compute(&o, "grid", world_size);
    const int32_t *planned = rl_outputs_find(&o, "/stats/cells/planned")->values, *done = rl_outputs_find(&o, "/stats/cells/done")->values,
                  *failed = rl_outputs_find(&o, "/stats/cells/failed")->values, *f1_n = rl_outputs_find(&o, "/stats/scores/f1_n")->values,
                  *loss_n = rl_outputs_find(&o, "/stats/scores/loss_n")->values;
    bool fine = true;
    for (int c = 0; c < 4; c++) { /* seeds vary slowest: run 5 is cell 1, run 8 cell 0 */
        fine = fine && planned[c] == 6 && done[c] == (c == 1 ? 5 : 6) && failed[c] == (c == 1);
        fine = fine && f1_n[c * 4 + 2] == done[c] && loss_n[c * 4 + 2] == (c == 0 ? 5 : done[c]) && loss_n[c * 4 + 1] == done[c];
    }
    fine = fine && close_to(value_of(&o, "/stats/scores/f1", 1 * 4 + 1), field(json_object_get(golden(), "grid"), "f1_pruned_cell_1"));
    assert_everywhere(fine);
    rl_outputs_clear(&o);
}

/* The row of a comparison: concept - random at ratio 0.3 (cells 1 and 3), F1 after pruning. */
static int64_t find_comparison(const rl_outputs *o)
{
    const rl_output *measure = rl_outputs_find(o, "/stats/comparisons/measure"), *stage = rl_outputs_find(o, "/stats/comparisons/stage");
    const int32_t *a = rl_outputs_find(o, "/stats/comparisons/cell_a")->values, *b = rl_outputs_find(o, "/stats/comparisons/cell_b")->values;
    for (int64_t i = 0; i < (int64_t)measure->array.dims[0]; i++)
        if (a[i] == 1 && b[i] == 3 && !strncmp((const char *)measure->values + (size_t)i * measure->array.width, "f1", measure->array.width) &&
            !strncmp((const char *)stage->values + (size_t)i * stage->array.width, "pruned", stage->array.width))
            return i;
    return -1;
}

static void test_comparisons_are_paired_by_seed(void **state)
{
    rl_outputs o = {0};
    json_t *expected = json_object_get(json_object_get(golden(), "grid"), "paired");
    (void)state;
    compute(&o, "grid", world_size);
    int64_t i = find_comparison(&o);
    bool fine = i >= 0;
    fine = fine && ((const int32_t *)rl_outputs_find(&o, "/stats/comparisons/n")->values)[i] == (int)field(expected, "n");
    fine = fine && ((const int32_t *)rl_outputs_find(&o, "/stats/comparisons/missing")->values)[i] == 1;
    static const char *const names[] = {"difference", "p", "d_z", "g_z", "superiority"};
    for (size_t k = 0; fine && k < sizeof names / sizeof *names; k++) {
        char path[100];
        snprintf(path, sizeof path, "/stats/comparisons/%s", names[k]);
        fine = fabs(value_of(&o, path, i) - field(expected, names[k])) <= 1e-10 * fabs(field(expected, names[k])) + 1e-15;
    }
    const rl_output *verdict = rl_outputs_find(&o, "/stats/comparisons/verdict");
    fine = fine && !strncmp((const char *)verdict->values + (size_t)i * verdict->array.width, "cannot be significant with 5 seeds", 34);
    fine = fine && ((const int8_t *)rl_outputs_find(&o, "/stats/comparisons/claimed")->values)[i] == 0;
    assert_everywhere(fine);
    rl_outputs_clear(&o);
}

static void test_agreement_between_seeds(void **state)
{
    rl_outputs o = {0};
    json_t *expected = json_object_get(json_object_get(golden(), "grid"), "agreement");
    (void)state;
    compute(&o, "grid", world_size);
    assert_everywhere(close_to(value_of(&o, "/stats/agreement/mini/spearman", 3), field(expected, "spearman")) &&
                      close_to(value_of(&o, "/stats/agreement/mini/jaccard", 3), field(expected, "jaccard")) &&
                      close_to(value_of(&o, "/stats/agreement/mini/relearning", 3), field(expected, "relearning")) &&
                      fabs(value_of(&o, "/stats/agreement/mini/jaccard_chance", 3) - field(expected, "chance")) < 1e-10 &&
                      isnan(value_of(&o, "/stats/agreement/mini/jaccard", 0)));
    rl_outputs_clear(&o);
}

/* 5 seeds, one run of one finder failed: 4 pairs. */
static void test_finders_are_compared_by_seed(void **state)
{
    rl_outputs o = {0};
    json_t *expected = json_object_get(golden(), "finders");
    (void)state;
    compute(&o, "finders", world_size);
    const rl_output *n = rl_outputs_find(&o, "/stats/finders/mini/spearman_n"), *method = rl_outputs_find(&o, "/stats/finders/mini/method_b");
    assert_everywhere(n && ((const int32_t *)n->values)[3] == (int)field(expected, "n") && !strcmp(method->values, "probe") &&
                      close_to(value_of(&o, "/stats/finders/mini/spearman", 3), field(expected, "spearman")) &&
                      close_to(value_of(&o, "/stats/finders/mini/overlap", 3), field(expected, "overlap")));
    rl_outputs_clear(&o);
}

static void test_results_are_replaced_whole(void **state)
{
    char folder[5000], path[5100];
    rl_error err = {0};
    json_t *findings = NULL;
    rl_status status = RL_OK;
    char before[RL_DIGEST_HEX], after[RL_DIGEST_HEX];
    (void)state;
    snprintf(folder, sizeof folder, "%s/replace", shared_folder());
    snprintf(path, sizeof path, "%s/results.h5", folder);
    if (world_rank == 0) status = rl_make_directories(folder, &err);
    if (world_rank == 0 && status == RL_OK) status = rl_copy_file(support_file("golden/stats/grid.h5"), path, &err);
    assert_ok_everywhere(status, err);
    assert_everywhere(!rl_stats_is_current(folder));
    if (world_rank == 0) status = rl_store_digest(path, before, &err);
    assert_ok_everywhere(status, err);
    for (int i = 0; i < 2; i++) {
        status = rl_stats_compute(MPI_COMM_WORLD, folder, &findings, &err);
        assert_ok_everywhere(status, err);
        assert_everywhere((findings != NULL) == (world_rank == 0));
        json_decref(findings);
        findings = NULL;
    }
    if (world_rank == 0) status = rl_store_digest(path, after, &err);
    assert_ok_everywhere(status, err);
    assert_everywhere(world_rank > 0 || !strcmp(before, after)); /* what was gathered is untouched */
    assert_everywhere(rl_stats_is_current(folder));
}

/* Each refusal is one line that names the file; the file stays as it was, and nothing is left beside it. */
static void refuse(const char *name, const char *bytes, size_t size, const char *part)
{
    char folder[5000], path[5100];
    rl_error err = {0};
    json_t *findings = NULL;
    rl_status status = RL_OK;
    snprintf(folder, sizeof folder, "%s/%s", shared_folder(), name);
    snprintf(path, sizeof path, "%s/results.h5", folder);
    if (world_rank == 0) status = rl_make_directories(folder, &err);
    if (world_rank == 0 && status == RL_OK && bytes) status = rl_write_file(path, bytes, size, &err);
    assert_ok_everywhere(status, err);
    status = rl_stats_compute(MPI_COMM_WORLD, folder, &findings, &err);
    assert_everywhere(status == RL_ERR_INPUT && strstr(err.message, part) && strstr(err.message, "results.h5") && !findings);
    if (world_rank == 0 && bytes) {
        rl_file_view view = {0};
        status = rl_file_view_open(&view, path, &err);
        if (status == RL_OK && (view.size != size || memcmp(view.data, bytes, size))) status = RL_ERR_INTERNAL;
        rl_file_view_close(&view);
    } else {
        status = RL_OK;
    }
    assert_ok_everywhere(status, err);
}

static void test_bad_files_are_refused(void **state)
{
    rl_file_view view = {0};
    rl_error err = {0};
    rl_status status = rl_file_view_open(&view, support_file("golden/stats/grid.h5"), &err);
    char *other = rl_calloc(view.size, 1, &err);
    (void)state;
    assert_ok_everywhere(status, err);
    memcpy(other, view.data, view.size);
    for (size_t i = 0; i + 17 < view.size; i++)
        if (!memcmp(other + i, "relearn results 1", 17)) other[i + 16] = '9';
    refuse("absent", NULL, 0, "No such file");
    refuse("text", "not HDF5", 8, "not a whole relearn results file");
    refuse("cut", view.data, view.size / 2, "not a whole relearn results file");
    refuse("foreign", other, view.size, "expected format 'relearn results 1', found 'relearn results 9'");
    rl_free(other);
    rl_file_view_close(&view);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_same_bytes_at_any_number_of_ranks),
        cmocka_unit_test(test_layers_are_numpys),
        cmocka_unit_test(test_gaps_are_counted),
        cmocka_unit_test(test_comparisons_are_paired_by_seed),
        cmocka_unit_test(test_agreement_between_seeds),
        cmocka_unit_test(test_finders_are_compared_by_seed),
        cmocka_unit_test(test_results_are_replaced_whole),
        cmocka_unit_test(test_bad_files_are_refused),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
