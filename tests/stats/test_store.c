/* /stats of a small store is what numpy says, has the same bytes at any number of ranks, and never damages results.h5.
 * LABELS: golden
 * PROCESSORS: 4
 * TIMEOUT: 300 */
#include "golden_stats.h"

#include <unistd.h>

#include "../store/synthetic.h"
#include "mpi_support.h"

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
    static const char *const stores[] = {"grid", "one", "constant", "finders", "arms"};
    char digests[5][RL_DIGEST_HEX] = {{0}};
    rl_error err = {0};
    (void)state;
    for (size_t k = 0; k < sizeof stores / sizeof *stores; k++)
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

/* Seed 3 has no never_learned run that is done, and seed 2's pruned run gains nothing: four of six seeds have an R. */
static void test_robustness_against_a_model_that_never_learned(void **state)
{
    static const int64_t runs_with_one[] = {0 * 3, 1 * 3, 4 * 3, 5 * 3};
    rl_outputs o = {0};
    json_t *expected = json_object_get(golden(), "arms");
    bool fine = true;
    int64_t defined = 0;
    (void)state;
    compute(&o, "arms", world_size);
    for (size_t i = 0; i < 4; i++)
        fine = fine && close_to(value_of(&o, "/stats/robustness/robustness_of_run", runs_with_one[i]), item(list(expected, "robustness"), i));
    for (int64_t run = 0; run < 18; run++) defined += !isnan(value_of(&o, "/stats/robustness/robustness_of_run", run));
    fine = fine && defined == 4 && value_of(&o, "/stats/robustness/robustness_of_run", 3) == 1;
    fine = fine && close_to(value_of(&o, "/stats/robustness/robustness", 0), field(expected, "mean"));
    fine = fine && ((const int32_t *)rl_outputs_find(&o, "/stats/robustness/robustness_n")->values)[0] == 4;
    assert_everywhere(fine);
    rl_outputs_clear(&o);
    compute(&o, "grid", world_size); /* no such arm: said, not guessed */
    assert_everywhere(!rl_outputs_find(&o, "/stats/robustness/robustness") && strstr(o.skipped.data, "add the axis arm"));
    rl_outputs_clear(&o);
}

typedef rl_status edit(rl_place file, rl_error *err);

/* What is computed for a copy of golden/stats/NAME.h5 that rank 0 has changed first. */
static void compute_edited(rl_outputs *o, const char *name, edit *change)
{
    char from[600], path[5100];
    rl_error err = {0};
    rl_status status = RL_OK;
    snprintf(from, sizeof from, "%s/golden/stats/%s.h5", RELEARN_TESTS_DIR, name);
    snprintf(path, sizeof path, "%s/edited.h5", shared_folder());
    if (world_rank == 0) status = rl_copy_file(from, path, &err);
    if (world_rank == 0 && status == RL_OK) {
        rl_place file = {H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), path};
        status = file.id < 0 ? RL_ERR_IO : change(file, &err);
        rl_h5_close(file.id);
    }
    assert_ok_everywhere(status, err);
    assert_ok_everywhere(rl_stats_outputs(o, MPI_COMM_WORLD, path, NULL, &err), err);
}

static rl_status rename_arm(rl_place file, const char *from, const char *to, rl_error *err)
{
    rl_array old = {0};
    char texts[64][16] = {{0}}, values[1024] = {0};
    rl_status status = rl_h5_shape(&old, file, "/runs/prune.select", err);
    if (status != RL_OK || rl_array_bytes(&old) > sizeof values || rl_array_count(&old) > 64) return RL_ERR_INTERNAL;
    status = rl_h5_get(values, file, "/runs/prune.select", &old, err);
    rl_array wide = rl_text_array(16, old.dims[0]);
    for (size_t i = 0; i < rl_array_count(&old); i++) {
        bool renamed = !strncmp(values + i * old.width, from, old.width);
        snprintf(texts[i], sizeof texts[i], "%.*s", renamed ? 15 : (int)old.width, renamed ? to : values + i * old.width);
    }
    hid_t dataset = H5I_INVALID_HID;
    if (status == RL_OK && H5Ldelete(file.id, "/runs/prune.select", H5P_DEFAULT) < 0) status = RL_ERR_INTERNAL;
    if (status == RL_OK) status = rl_h5_put(file, "/runs/prune.select", &wide, texts, err);
    if (status == RL_OK) dataset = H5Dopen2(file.id, "/runs/prune.select", H5P_DEFAULT);
    if (status == RL_OK) status = rl_h5_put_text((rl_place){dataset, file.path}, "long_name", "axis of the sweep's grid", err);
    rl_h5_close(dataset);
    return status;
}

static rl_status match_by_layer(rl_place file, rl_error *err) { return rename_arm(file, "random", "random_matched", err); }
static rl_status take_concept_away(rl_place file, rl_error *err) { return rename_arm(file, "concept", "least", err); }

static void test_controls_alone_are_said_to_answer_nothing(void **state)
{
    rl_outputs o = {0};
    (void)state;
    compute_edited(&o, "grid", take_concept_away);
    assert_everywhere(o.skipped.length && strstr(o.skipped.data, "comparisons: no concept arm beside a control"));
    rl_outputs_clear(&o);
}

static void test_every_selection_has_a_fit(void **state)
{
    rl_outputs o = {0};
    (void)state;
    compute_edited(&o, "grid", match_by_layer);
    const rl_output *fit = rl_outputs_find(&o, "/stats/regression/fit"), *runs = rl_outputs_find(&o, "/stats/regression/num_runs");
    bool fine = fit && runs && fit->array.dims[0] == 3;
    fine = fine && !strcmp((const char *)fit->values + fit->array.width, "concept") &&
           !strcmp((const char *)fit->values + 2 * fit->array.width, "random_matched");
    fine = fine && ((const int32_t *)runs->values)[1] + ((const int32_t *)runs->values)[2] == ((const int32_t *)runs->values)[0];
    assert_everywhere(fine);
    rl_outputs_clear(&o);
}

static rl_status keep_base_only(rl_place file, rl_error *err)
{
    static const char *const links[] = {"/neurons", "/training", "/runs/f1_pruned"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (H5Lexists(file.id, links[i], H5P_DEFAULT) > 0 && H5Ldelete(file.id, links[i], H5P_DEFAULT) < 0)
            return rl_fail(err, RL_ERR_INTERNAL, "%s stays", links[i]);
    return RL_OK;
}

static void test_a_store_of_base_stages_has_scores_and_no_recovery(void **state)
{
    rl_outputs o = {0};
    (void)state;
    compute_edited(&o, "grid", keep_base_only);
    assert_everywhere(isfinite(value_of(&o, "/stats/scores/f1", 0)) && isnan(value_of(&o, "/stats/recovery/rho", 0)));
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
    bool changed = true;
    assert_everywhere(!rl_stats_is_current(folder, &changed) && !changed);
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
    assert_everywhere(rl_stats_is_current(folder, &changed) && !changed);
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
        cmocka_unit_test(test_robustness_against_a_model_that_never_learned),
        cmocka_unit_test(test_comparisons_are_paired_by_seed),
        cmocka_unit_test(test_agreement_between_seeds),
        cmocka_unit_test(test_finders_are_compared_by_seed),
        cmocka_unit_test(test_controls_alone_are_said_to_answer_nothing),
        cmocka_unit_test(test_every_selection_has_a_fit),
        cmocka_unit_test(test_a_store_of_base_stages_has_scores_and_no_recovery),
        cmocka_unit_test(test_results_are_replaced_whole),
        cmocka_unit_test(test_bad_files_are_refused),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
