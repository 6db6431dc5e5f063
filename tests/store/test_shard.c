/* A shard gives back exactly what was written, is a function of the result alone, and is never believed when damaged.
 * LABELS: unit */
#include "synthetic.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static synthetic_sweep sweep;
static char folder[4096], path[4300];

static void write_shard(const char *where, int r)
{
    rl_error err = {0};
    rl_run_result *result = make_result(&sweep.runs[r]);
    assert_ok(rl_shard_write(where, &sweep.runs[r], &sweep.sweep, result, &err), err);
    rl_run_result_free(result);
}

static void no_open_ids(void) { assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0); }

static int fresh_shard(void **state)
{
    (void)state;
    make_sweep(&sweep, 4);
    snprintf(folder, sizeof folder, "%s", support_temporary_folder());
    snprintf(path, sizeof path, "%s/shard.h5", folder);
    write_shard(path, 1);
    return 0;
}

static void check_table(const rl_neuron_table *t, const rl_neuron_table *w)
{
    size_t N = (size_t)w->num_neurons;
    assert_int_equal(t->num_neurons, w->num_neurons);
    assert_int_equal(t->num_layers_plus_1, w->num_layers_plus_1);
    assert_int_equal(t->hidden_size, w->hidden_size);
    assert_int_equal(t->top_k, w->top_k);
    assert_memory_equal(t->score, w->score, N * sizeof *t->score);
    assert_memory_equal(t->rank, w->rank, N * sizeof *t->rank);
    assert_memory_equal(t->saliency, w->saliency, N * sizeof *t->saliency);
    assert_memory_equal(t->similarity, w->similarity, N * sizeof *t->similarity);
    assert_memory_equal(t->mean_difference, w->mean_difference, N * sizeof *t->mean_difference);
    assert_memory_equal(t->effect_size, w->effect_size, N * sizeof *t->effect_size);
    assert_memory_equal(t->sd, w->sd, N * sizeof *t->sd);
    assert_memory_equal(t->null, w->null, N);
    assert_memory_equal(t->top_word, w->top_word, N * TOP_K * sizeof *t->top_word);
    assert_memory_equal(t->top_score, w->top_score, N * TOP_K * sizeof *t->top_score);
}

static void check_stage(const rl_shard *shard, int32_t s, const rl_stage_result *expected)
{
    rl_error err = {0};
    rl_score word, subword, test_word;
    rl_neuron_table *table = NULL;
    assert_string_equal(rl_shard_stage_name(shard, s), expected->name);
    assert_string_equal(rl_shard_stage_model_key(shard, s), expected->model_key);
    assert_ok(rl_shard_read_scores(shard, s, &word, &subword, &test_word, &err), err);
    assert_memory_equal(&word, &expected->word, sizeof word);
    assert_memory_equal(&subword, &expected->subword, sizeof subword);
    assert_memory_equal(&test_word, &expected->test_word, sizeof test_word);
    assert_ok(rl_shard_read_neurons(shard, s, &table, &err), err);
    check_table(table, expected->neurons);
    rl_neuron_table_free(table);
}

static void test_reads_back_what_was_written(void **state)
{
    rl_error err = {0};
    rl_shard *shard = NULL;
    rl_names *words = NULL;
    rl_run_result *expected = make_result(&sweep.runs[1]);
    int32_t *pruned = NULL;
    int64_t count = 0;
    (void)state;
    assert_ok(rl_shard_check(path, sweep.runs[1].id, &err), err);
    assert_ok(rl_shard_open(&shard, path, &err), err);
    assert_int_equal(rl_shard_num_stages(shard), 4);
    for (int32_t s = 0; s < 4; s++) check_stage(shard, s, &expected->stages[s]);
    assert_ok(rl_shard_read_words(shard, &words, &err), err);
    assert_int_equal(rl_names_count(words), expected->num_words);
    for (int32_t i = 0; i < rl_names_count(words); i++) assert_string_equal(rl_names_get(words, i), expected->words[i]);
    assert_ok(rl_shard_read_pruned(shard, &pruned, &count, &err), err);
    assert_int_equal(count, expected->num_pruned);
    assert_memory_equal(pruned, expected->pruned, (size_t)count * sizeof *pruned);
    rl_free(pruned);
    rl_names_free(words);
    rl_shard_close(shard);
    rl_run_result_free(expected);
    no_open_ids();
}

static void test_attributes_name_run_settings_and_provenance(void **state)
{
    rl_error err = {0};
    rl_shard *shard = NULL;
    (void)state;
    assert_ok(rl_shard_open(&shard, path, &err), err);
    assert_string_equal(rl_shard_attribute(shard, "run"), sweep.runs[1].id);
    assert_string_equal(rl_shard_attribute(shard, "sweep"), "synthetic");
    assert_string_equal(rl_shard_attribute(shard, "model"), "/models/a/mini");
    assert_string_equal(rl_shard_attribute(shard, "concept"), "location");
    assert_string_equal(rl_shard_attribute(shard, "seed"), "0");
    assert_string_equal(rl_shard_attribute(shard, "prune.ratio"), "0.1");
    assert_string_equal(rl_shard_attribute(shard, "version"), RL_VERSION);
    for (size_t i = 0; i < rl_num_setting_paths; i++) assert_non_null(rl_shard_attribute(shard, rl_setting_paths[i]));
    assert_non_null(rl_shard_attribute(shard, "gemm_backend"));
    assert_non_null(rl_shard_attribute(shard, "isa"));
    assert_null(rl_shard_attribute(shard, "no such attribute"));
    rl_shard_close(shard);
}

/* Every line of rl_settings_describe starts with a path. A setting that the sweep knows and the shard leaves out
 * fails here. */
static void test_every_setting_of_the_sweep_is_recorded(void **state)
{
    rl_error err = {0};
    rl_buffer text = {0};
    char *save = NULL;
    size_t num_lines = 0;
    (void)state;
    assert_ok(rl_settings_describe(&text, &err), err);
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save), num_lines++) {
        char *path_of_line = line + strspn(line, " ");
        bool found = false;
        path_of_line[strcspn(path_of_line, " :")] = '\0';
        for (size_t i = 0; !found && i < rl_num_setting_paths; i++) found = !strcmp(rl_setting_paths[i], path_of_line);
        for (size_t i = 0; !found && i < rl_num_later_settings; i++) found = !strcmp(rl_later_settings[i].path, path_of_line);
        if (!found) print_error("not in the shard: %s\n", path_of_line);
        assert_true(found);
    }
    assert_true(num_lines > 20);
    rl_buffer_free(&text);
}

static void test_equal_results_are_equal_bytes(void **state)
{
    char other[4300], *a, *b;
    size_t n, m;
    (void)state;
    snprintf(other, sizeof other, "%s/other.h5", folder);
    write_shard(other, 1);
    a = file_bytes(path, &n);
    b = file_bytes(other, &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    rl_free(a);
    rl_free(b);
}

static void assert_no_times(hid_t creation)
{
    hbool_t tracked = true;
    assert_true(H5Pget_obj_track_times(creation, &tracked) >= 0);
    assert_false(tracked);
    H5Pclose(creation);
}

/* The two shards above may be written in one second: so look for the time stamps themselves. */
static void test_no_object_has_a_time_stamp(void **state)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), root = H5Gopen2(file, "/", H5P_DEFAULT);
    hid_t group = H5Gopen2(file, "neurons", H5P_DEFAULT), dataset = H5Dopen2(file, "neurons/score", H5P_DEFAULT);
    (void)state;
    assert_no_times(H5Gget_create_plist(root));
    assert_no_times(H5Gget_create_plist(group));
    assert_no_times(H5Dget_create_plist(dataset));
    H5Dclose(dataset);
    H5Gclose(group);
    H5Gclose(root);
    H5Fclose(file);
}

static void write_changed(const char *where, void (*change)(rl_run_result *result))
{
    rl_error err = {0};
    rl_run_result *result = make_result(&sweep.runs[1]);
    change(result);
    assert_ok(rl_shard_write(where, &sweep.runs[1], &sweep.sweep, result, &err), err);
    rl_run_result_free(result);
}
static void change_seconds(rl_run_result *result)
{
    for (int32_t s = 0; s < result->num_stages; s++) {
        result->stages[s].seconds += 1;
        for (int64_t i = 0; i < result->stages[s].log.num_steps; i++) result->stages[s].log.steps[i].seconds *= 2;
    }
}
static void change_one_bit(rl_run_result *result)
{
    result->stages[3].neurons->score[5] = nextafter(result->stages[3].neurons->score[5], 1e9);
}

static bool same_file(const char *first, const char *second)
{
    size_t n, m;
    char *a = file_bytes(first, &n), *b = file_bytes(second, &m);
    bool same = n == m && memcmp(a, b, n) == 0;
    rl_free(a);
    rl_free(b);
    return same;
}

static void test_wall_time_is_no_part_of_a_shard_but_the_last_bit_is(void **state)
{
    char other[4300];
    (void)state;
    snprintf(other, sizeof other, "%s/other.h5", folder);
    write_changed(other, change_seconds);
    assert_true(same_file(path, other));
    write_changed(other, change_one_bit);
    assert_false(same_file(path, other));
}

/* ------------------------------------------------------------------------------------------------ bad input */

static void write_bytes(const char *where, const char *bytes, size_t n)
{
    FILE *file = fopen(where, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void test_truncated_shards_are_refused(void **state)
{
    char bad[4300];
    size_t n;
    char *bytes = file_bytes(path, &n);
    (void)state;
    snprintf(bad, sizeof bad, "%s/bad.h5", folder);
    for (size_t kept = 0; kept < n; kept += kept < 600 ? 37 : 997) {
        rl_error err = {0};
        write_bytes(bad, bytes, kept);
        assert_fails(rl_shard_check(bad, sweep.runs[1].id, &err), RL_ERR_INPUT, err, bad);
    }
    rl_free(bytes);
    no_open_ids();
}

static void test_flipped_bits_are_found(void **state)
{
    char bad[4300];
    size_t n;
    char *bytes = file_bytes(path, &n);
    (void)state;
    snprintf(bad, sizeof bad, "%s/bad.h5", folder);
    for (size_t at = 0; at < n; at += 61) {
        rl_error err = {0};
        bytes[at] ^= (char)(1 << (at % 8));
        write_bytes(bad, bytes, n);
        assert_fails(rl_shard_check(bad, sweep.runs[1].id, &err), RL_ERR_INPUT, err, bad);
        bytes[at] ^= (char)(1 << (at % 8));
    }
    rl_free(bytes);
    no_open_ids();
}

/* Behind the seal of the bytes the checksum of the contents: it holds for a file that other tools have rewritten
 * too. */
static void test_changed_contents_are_found_behind_a_good_seal(void **state)
{
    rl_error err = {0};
    double score = value_at(1, 2, 3);
    size_t n;
    char *bytes = file_bytes(path, &n), *at = memmem(bytes, n, &score, sizeof score);
    (void)state;
    assert_non_null(at);
    at[0] ^= 1;
    assert_ok(rl_shard_seal(bytes, n, &err), err);
    write_bytes(path, bytes, n);
    assert_fails(rl_shard_check(path, sweep.runs[1].id, &err), RL_ERR_INPUT, err,
                 "is damaged: its contents have the checksum");
    rl_free(bytes);
}

/* The checksums say that the file is as it was written, not by what version: one that lacks a dataset must not be opened, to fail later. */
static void test_every_dataset_is_looked_for(void **state)
{
    static const char *const names[] = {"neurons/mean_difference", "words/score", "training/tokens", "curve/recovered", "scores/type_support", "also/rank",
                                        "scores/word_correct", "scores/subword_f1", "recovery/half_life"};
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof names / sizeof *names); i++) { /* gone; there, in another shape */
        rl_error err = {0};
        const char *name = names[i / 2];
        write_shard(path, 1);
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(file >= 0 && H5Ldelete(file, name, H5P_DEFAULT) >= 0);
        const rl_array other = rl_array_of(RL_F64, 1, (hsize_t[]){99});
        double values[99] = {0};
        if (i % 2) assert_ok(rl_h5_put((rl_place){file, path}, name, &other, values, &err), err);
        close_sealed(file, path);
        assert_fails(rl_shard_check(path, sweep.runs[1].id, &err), RL_ERR_INPUT, err, name);
        assert_non_null(strstr(err.message, i % 2 ? "another shape" : "no dataset"));
    }
    no_open_ids();
}

static void test_other_files_are_refused(void **state)
{
    rl_error err = {0};
    char bad[4300];
    rl_shard *shard = NULL;
    (void)state;
    snprintf(bad, sizeof bad, "%s/other-bad.h5", folder);
    assert_fails(rl_shard_check(bad, "x", &err), RL_ERR_INPUT, err, "No such file");
    support_write(bad, "");
    assert_fails(rl_shard_check(bad, "x", &err), RL_ERR_INPUT, err, "bad.h5: is no shard of this relearn");
    support_write(bad, "not HDF5 at all");
    assert_fails(rl_shard_open(&shard, bad, &err), RL_ERR_INPUT, err, "bad.h5: is no shard of this relearn");
    assert_null(shard);
    assert_fails(rl_shard_check(folder, "x", &err), RL_ERR_INPUT, err, "is not a regular file");
    assert_fails(rl_shard_check(path, "000000000000", &err), RL_ERR_INPUT, err,
                 "is the shard of run 00000000abc7; expected run 000000000000");
    hid_t foreign = H5Fcreate(bad, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(foreign);
    assert_fails(rl_shard_check(bad, "x", &err), RL_ERR_INPUT, err, "is no shard of this relearn");
    no_open_ids();
}

static void test_stage_out_of_range_is_refused(void **state)
{
    rl_error err = {0};
    rl_shard *shard = NULL;
    rl_neuron_table *table = NULL;
    (void)state;
    assert_ok(rl_shard_open(&shard, path, &err), err);
    assert_fails(rl_shard_read_neurons(shard, 4, &table, &err), RL_ERR_INPUT, err, "no stage 4; it has 4");
    assert_fails(rl_shard_read_scores(shard, -1, NULL, NULL, NULL, &err), RL_ERR_INPUT, err, "no stage -1");
    rl_shard_close(shard);
}

/* ----------------------------------------------------------------------------------------------- bad output */

static rl_status write_limited(rlim_t bytes, rl_error *err)
{
    struct rlimit old, small;
    rl_run_result *result = make_result(&sweep.runs[2]);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    rl_status status = rl_shard_write(path, &sweep.runs[2], &sweep.sweep, result, err);
    setrlimit(RLIMIT_FSIZE, &old);
    rl_run_result_free(result);
    return status;
}

static void test_full_disk_leaves_the_old_shard(void **state)
{
    rl_error err = {0};
    char temporary[4400];
    (void)state;
    for (rlim_t limit = 0; limit < 20000; limit += 4999)
        assert_fails(write_limited(limit, &err), RL_ERR_IO, err, "shard.h5: cannot be written: File too large");
    assert_ok(rl_shard_check(path, sweep.runs[1].id, &err), err);
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid());
    assert_false(rl_path_exists(temporary));
    no_open_ids();
}

static void test_unwritable_place_is_one_clear_line(void **state)
{
    rl_error err = {0};
    char inside[4400];
    rl_run_result *result = make_result(&sweep.runs[1]);
    (void)state;
    snprintf(inside, sizeof inside, "%s/below-a-file.h5", path);
    assert_fails(rl_shard_write(inside, &sweep.runs[1], &sweep.sweep, result, &err), RL_ERR_IO, err,
                 "below-a-file.h5: cannot be written: Not a directory");
    rl_run_result_free(result);
    no_open_ids();
}

static void test_callers_error_printing_is_left_as_it_was(void **state)
{
    H5E_auto2_t before, after;
    void *data;
    rl_error err = {0};
    (void)state;
    H5Eget_auto2(H5E_DEFAULT, &before, &data);
    assert_fails(rl_shard_check("/nowhere/at.all", "x", &err), RL_ERR_INPUT, err, "/nowhere/at.all");
    H5Eget_auto2(H5E_DEFAULT, &after, &data);
    assert_true(before == after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_reads_back_what_was_written, fresh_shard),
        cmocka_unit_test_setup(test_attributes_name_run_settings_and_provenance, fresh_shard),
        cmocka_unit_test_setup(test_every_setting_of_the_sweep_is_recorded, fresh_shard),
        cmocka_unit_test_setup(test_equal_results_are_equal_bytes, fresh_shard),
        cmocka_unit_test_setup(test_no_object_has_a_time_stamp, fresh_shard),
        cmocka_unit_test_setup(test_wall_time_is_no_part_of_a_shard_but_the_last_bit_is, fresh_shard),
        cmocka_unit_test_setup(test_truncated_shards_are_refused, fresh_shard),
        cmocka_unit_test_setup(test_flipped_bits_are_found, fresh_shard),
        cmocka_unit_test_setup(test_changed_contents_are_found_behind_a_good_seal, fresh_shard),
        cmocka_unit_test_setup(test_every_dataset_is_looked_for, fresh_shard),
        cmocka_unit_test_setup(test_other_files_are_refused, fresh_shard),
        cmocka_unit_test_setup(test_stage_out_of_range_is_refused, fresh_shard),
        cmocka_unit_test_setup(test_full_disk_leaves_the_old_shard, fresh_shard),
        cmocka_unit_test_setup(test_unwritable_place_is_one_clear_line, fresh_shard),
        cmocka_unit_test_setup(test_callers_error_printing_is_left_as_it_was, fresh_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
