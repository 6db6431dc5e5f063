/* Word vectors of a file: they make the similarities and readings of the top words and the keys of analyses, and nothing else;
 * a bad file is refused by the checks before anything is computed.
 * LABELS: unit */
#include "cycle_support.h"

#include <ctype.h>

static support_world world;
static char vectors[700];

/* Every word of the concept corpus in lower case, numbers by a fixed rule; the first `scale` times as long. */
static void write_vectors(int scale)
{
    rl_error err = {0};
    rl_corpus *corpus = NULL;
    rl_names *words = NULL;
    int32_t id;
    assert_ok(rl_concept_corpus_read(&corpus, world.tokens, world.labels, &err), err);
    assert_ok(rl_names_create(&words, &err), err);
    for (int32_t w = 0; w < rl_names_count(corpus->words); w++) {
        char lower[64];
        snprintf(lower, sizeof lower, "%s", rl_names_get(corpus->words, w));
        for (char *c = lower; *c; c++) *c = (char)tolower((unsigned char)*c);
        assert_ok(rl_names_intern(words, lower, strlen(lower), &id, &err), err);
    }
    FILE *file = fopen(vectors, "w");
    assert_non_null(file);
    fprintf(file, "%d 3\n", (int)rl_names_count(words));
    for (int32_t w = 0; w < rl_names_count(words); w++)
        fprintf(file, "%s %d %.2f %d\n", rl_names_get(words, w), (w ? 1 : scale) * (w % 7 - 3), .25 * (w % 5), w % 2 ? 1 : -1);
    assert_int_equal(fclose(file), 0);
    rl_names_free(words);
    rl_corpus_free(corpus);
}

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "vectors");
    snprintf(vectors, sizeof vectors, "%s/words.vec", world.folder);
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

static rl_run_settings settings_with(const char *file)
{
    rl_run_settings s = settings_in(&world);
    s.similarity_vectors = file;
    return s;
}

/* Analyses read the vectors; models, rankings and masks do not. */
static void assert_keys_differ_in_analyses(const rl_stage *a, const rl_stage *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        bool analysis = a[i].kind == RL_STAGE_IDENTIFY || a[i].kind == RL_STAGE_ANALYSE;
        assert_int_equal(a[i].kind, b[i].kind);
        assert_int_equal(strcmp(a[i].key, b[i].key) != 0, analysis);
    }
}

static void test_keys(void **state)
{
    int32_t n = 0, m = 0, k = 0;
    (void)state;
    write_vectors(1);
    rl_run_settings model = settings_with(NULL), file = settings_with(vectors);
    rl_stage *a = stages_of(&n, &model), *b = stages_of(&m, &file);
    write_vectors(2);
    rl_stage *c = stages_of(&k, &file);
    assert_true(n == m && m == k && n > 3);
    assert_keys_differ_in_analyses(a, b, n);
    assert_keys_differ_in_analyses(b, c, n);
    rl_free(a);
    rl_free(b);
    rl_free(c);
}

static rl_run_result *run(const rl_run_settings *settings)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_result *result = NULL;
    int32_t n = 0;
    char directory[700];
    rl_stage *stages = stages_of(&n, settings);
    snprintf(directory, sizeof directory, "%s/%s", world.folder, settings->similarity_vectors ? "file" : "model");
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    assert_ok(rl_cycle_check_inputs(cycle, settings, &err), err);
    for (int32_t i = 0; i < n; i++) assert_ok(rl_stage_execute(cycle, &stages[i], &err), err);
    assert_ok(rl_cycle_collect(&result, cycle, stages, n, &err), err);
    rl_cycle_free(cycle);
    rl_free(stages);
    return result;
}

/* The stored similarity is that of the stored top words in the file's vectors. */
static void test_similarities_are_of_the_file(void **state)
{
    rl_error err = {0};
    rl_names *words = NULL;
    float *table = NULL;
    int64_t dimension = 0, unknown = -1, seen = 0, changed = 0;
    int32_t id;
    (void)state;
    write_vectors(1);
    rl_run_settings by_model = settings_with(NULL), by_file = settings_with(vectors);
    rl_run_result *m = run(&by_model), *f = run(&by_file);
    assert_ok(rl_names_create(&words, &err), err);
    for (int64_t w = 0; w < f->num_words; w++) assert_ok(rl_names_intern(words, f->words[w], strlen(f->words[w]), &id, &err), err);
    assert_ok(rl_word_vectors_from_file(&table, &dimension, &unknown, vectors, words, true, &err), err);
    assert_int_equal(dimension, 3);
    assert_int_equal(unknown, 0);
    const rl_neuron_table *base = f->stages[0].neurons, *back = f->stages[2].neurons, *other = m->stages[2].neurons;
    assert_memory_equal(back->top_word, other->top_word, (size_t)(back->num_neurons * back->top_k) * sizeof *back->top_word);
    for (int64_t n = 0; n < back->num_neurons; n++) {
        int64_t at = n * back->top_k;
        double expected = rl_similarity(table, dimension, back->top_word + at, base->top_word + at, back->top_k);
        if (!isfinite(expected)) continue;
        assert_close(back->similarity[n], expected, 0, 0);
        seen++;
        changed += fabs(back->similarity[n] - other->similarity[n]) > 1e-3;
    }
    assert_true(seen > 10 && changed > seen / 4);
    assert_close(m->vector_share, 1, 0, 0);
    assert_close(f->vector_share, 1, 0, 0);
    rl_free(table);
    rl_names_free(words);
    rl_run_result_free(m);
    rl_run_result_free(f);
}

/* A file that lacks most words says how many it has. */
static void test_the_share_of_words_found(void **state)
{
    (void)state;
    support_write(vectors, "2 3\noslo 1 2 3\nlima 3 1 2\n");
    rl_run_settings settings = settings_with(vectors);
    rl_run_result *r = run(&settings);
    assert_true(r->num_words > 10);
    assert_close(r->vector_share, 2.0 / (double)r->num_words, 1e-12, 0);
    rl_run_result_free(r);
}

static void test_bad_files_are_refused_by_the_check(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_settings settings = settings_with(vectors);
    (void)state;
    assert_ok(rl_cycle_create(&cycle, world.folder, NULL, &err), err);
    support_write(vectors, "2 3\nthe 1 2 3\n");
    assert_fails(rl_cycle_check_data(cycle, &settings, &err), RL_ERR_INPUT, err, "words.vec:2: the file ends after 1 of the 2 words");
    support_write(vectors, "1 3\nqqqq 1 2 3\n");
    assert_fails(rl_cycle_check_data(cycle, &settings, &err), RL_ERR_INPUT, err, "words.vec: it has a vector for none of the");
    write_vectors(1);
    assert_ok(rl_cycle_check_data(cycle, &settings, &err), err);
    rl_cycle_free(cycle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_similarities_are_of_the_file),
        cmocka_unit_test(test_the_share_of_words_found),
        cmocka_unit_test(test_bad_files_are_refused_by_the_check),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
