/* The neuron table's file comes back bit for bit; any damaged, cut or foreign one is refused by name. The CSV is RFC
 * 4180. */
#include "concept_support.h"

static rl_neuron_table *make_table(void)
{
    rl_neuron_table *t = NULL;
    rl_error err = {0};
    assert_ok(rl_neuron_table_create(&t, 2, 3, 2, &err), err);
    for (int n = 0; n < 6; n++) {
        t->score[n] = .1 * n;
        t->rank[n] = 5 - n;
        t->saliency[n] = n == 2 ? NAN : n / 5.0;
        t->similarity[n] = 1.0 / (n + 1);
        t->mean_difference[n] = (float)n - 2.5f;
        t->effect_size[n] = .25f * (float)n;
        t->sd[n] = 1 + (float)n;
        t->null[n] = n == 2;
        t->top_word[2 * n] = n < 4 ? n : -1;
        t->top_word[2 * n + 1] = n < 3 ? n + 1 : -1;
        t->top_score[2 * n] = n < 4;
    }
    return t;
}

static const char *path_of(const char *name)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/%s", support_temporary_folder(), name);
    return path;
}

static void test_round_trip(void **state)
{
    rl_neuron_table *t = make_table(), *back = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_neuron_table_write(t, path_of("table"), &err), err);
    assert_ok(rl_neuron_table_read(&back, path_of("table"), &err), err);
    assert_true(back->num_layers_plus_1 == 2 && back->hidden_size == 3 && back->num_neurons == 6 && back->top_k == 2);
    assert_memory_equal(back->score, t->score, 6 * sizeof *t->score);
    assert_memory_equal(back->rank, t->rank, 6 * sizeof *t->rank);
    assert_memory_equal(back->saliency, t->saliency, 6 * sizeof *t->saliency);
    assert_memory_equal(back->similarity, t->similarity, 6 * sizeof *t->similarity);
    assert_memory_equal(back->mean_difference, t->mean_difference, 6 * sizeof *t->mean_difference);
    assert_memory_equal(back->effect_size, t->effect_size, 6 * sizeof *t->effect_size);
    assert_memory_equal(back->sd, t->sd, 6 * sizeof *t->sd);
    assert_memory_equal(back->null, t->null, 6 * sizeof *t->null);
    assert_memory_equal(back->top_word, t->top_word, 12 * sizeof *t->top_word);
    assert_memory_equal(back->top_score, t->top_score, 12 * sizeof *t->top_score);
    rl_neuron_table_free(back);
    rl_neuron_table_free(t);
}

/* Try the first `size` bytes of `bytes` as a table. */
static void assert_refused(const char *bytes, size_t size)
{
    rl_neuron_table *back = (rl_neuron_table *)&back;
    rl_error err = {0};
    assert_ok(rl_write_file(path_of("damaged"), bytes, size, &err), err);
    assert_fails(rl_neuron_table_read(&back, path_of("damaged"), &err), RL_ERR_INPUT, err, path_of("damaged"));
    assert_ptr_equal(back, &back);
}

static void test_every_damaged_byte_and_every_cut_is_noticed(void **state)
{
    rl_neuron_table *t = make_table();
    rl_file_view view = {0};
    rl_error err = {0};
    char *bytes;
    (void)state;
    assert_ok(rl_neuron_table_write(t, path_of("table"), &err), err);
    assert_ok(rl_file_view_open(&view, path_of("table"), &err), err);
    bytes = malloc(view.size + 1);
    memcpy(bytes, view.data, view.size);
    bytes[view.size] = 0;
    for (size_t i = 0; i < view.size; i += i < 64 ? 1 : 37) {
        bytes[i] ^= 0x40;
        assert_refused(bytes, view.size);
        bytes[i] ^= 0x40;
    }
    for (size_t size = 0; size < view.size; size += size < 64 ? 1 : 37) assert_refused(bytes, size);
    assert_refused(bytes, view.size + 1);
    uint64_t checksum = rl_hash64(bytes, view.size); /* a file that is longer than its header says, checksum and all */
    bytes = realloc(bytes, view.size + sizeof checksum);
    memcpy(bytes + view.size, &checksum, sizeof checksum);
    assert_refused(bytes, view.size + sizeof checksum);
    free(bytes);
    rl_file_view_close(&view);
    rl_neuron_table_free(t);
}

/* A whole file whose contents are not indices would send a reader out of bounds. */
static void test_ranks_that_are_no_ranks(void **state)
{
    rl_neuron_table *t = make_table(), *back = NULL;
    rl_error err = {0};
    (void)state;
    t->rank[3] = 6;
    assert_ok(rl_neuron_table_write(t, path_of("ranks"), &err), err);
    assert_fails(rl_neuron_table_read(&back, path_of("ranks"), &err), RL_ERR_INPUT, err, "a rank is out of range");
    t->rank[3] = 2;
    t->top_word[0] = -2;
    assert_ok(rl_neuron_table_write(t, path_of("ranks"), &err), err);
    assert_fails(rl_neuron_table_read(&back, path_of("ranks"), &err), RL_ERR_INPUT, err, "a top word is out of range");
    rl_neuron_table_free(t);
}

static rl_names *make_words(void)
{
    static const char *texts[] = {"Oslo", "a,b", "\"Ulysses\"", "x"};
    rl_names *words = NULL;
    rl_error err = {0};
    int32_t id;
    assert_ok(rl_names_create(&words, &err), err);
    for (int i = 0; i < 4; i++) assert_ok(rl_names_intern(words, texts[i], strlen(texts[i]), &id, &err), err);
    return words;
}

static void test_csv(void **state)
{
    static const char expected[] = "neuron,layer,unit,rank,score,saliency,top_words\n"
                                   "5,1,2,0,0.5,1,\n"
                                   "4,1,1,1,0.4,0.8,\n"
                                   "3,1,0,2,0.30000000000000004,0.6,x\n"
                                   "2,0,2,3,0.2,nan,\"\"\"Ulysses\"\" x\"\n"
                                   "1,0,1,4,0.1,0.2,\"a,b \"\"Ulysses\"\"\"\n"
                                   "0,0,0,5,0,0,\"Oslo a,b\"\n";
    rl_neuron_table *t = make_table();
    rl_names *words = make_words();
    rl_buffer csv = {0}, two = {0};
    rl_error err = {0};
    (void)state;
    assert_ok(rl_neuron_table_csv(&csv, t, words, 0, &err), err);
    assert_string_equal(csv.data, expected);
    assert_ok(rl_neuron_table_csv(&two, t, words, 2, &err), err);
    assert_int_equal(two.length, strstr(expected, "3,1,0") - expected);
    assert_memory_equal(two.data, expected, two.length);
    t->top_word[0] = 4;
    assert_fails(rl_neuron_table_csv(&two, t, words, 0, &err), RL_ERR_INPUT, err, "another corpus");
    rl_buffer_free(&csv);
    rl_buffer_free(&two);
    rl_names_free(words);
    rl_neuron_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_damaged_byte_and_every_cut_is_noticed),
        cmocka_unit_test(test_ranks_that_are_no_ranks),
        cmocka_unit_test(test_csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
