/* Entity scores: the worked examples of protocol §4, and what is counted where nothing can be.
 * LABELS: unit */
#include "text_support.h"

/* Sentences as "B-PER O / B-LOC": ids into labels, and starts. */
typedef struct tagged {
    int32_t ids[64];
    int64_t start[16], num_sentences;
} tagged;

static tagged tag(rl_names *labels, const char *text)
{
    tagged t = {.num_sentences = 1};
    char copy[512];
    int64_t n = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        if (strcmp(word, "/") == 0)
            t.start[t.num_sentences++] = n;
        else
            assert_int_equal(rl_names_intern(labels, word, strlen(word), &t.ids[n++], NULL), RL_OK);
    }
    t.start[t.num_sentences] = n;
    return t;
}

static rl_seqeval *score(const char *gold, const char *predicted)
{
    rl_names *labels = NULL;
    rl_seqeval *scores = NULL;
    rl_error err;
    assert_int_equal(rl_names_create(&labels, NULL), RL_OK);
    tagged g = tag(labels, gold), p = tag(labels, predicted);
    assert_ok(rl_seqeval_score(&scores, labels, g.ids, p.ids, g.start, g.num_sentences, &err), err);
    rl_names_free(labels);
    return scores;
}

static void test_worked_example(void **state)
{
    static const char *const types[] = {"LOC", "MISC", "ORG", "PER"};
    static const double expected[4][3] = {{1. / 2, 1. / 3, 0.4}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}};
    rl_seqeval *s = score("B-PER I-PER O B-LOC / B-ORG I-ORG O / B-LOC B-LOC O O",
                          "B-PER I-PER O I-LOC / B-ORG O O / B-LOC I-LOC O B-MISC");
    (void)state;
    assert_int_equal(s->num_types, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(s->types[i], types[i]);
        assert_close(s->by_type[i].precision, expected[i][0], 0, 0);
        assert_close(s->by_type[i].recall, expected[i][1], 0, 0);
        assert_close(s->by_type[i].f1, expected[i][2], 1e-16, 0);
    }
    assert_int_equal(s->by_type[0].support, 3);
    assert_close(s->overall.precision, 0.4, 0, 0);
    assert_close(s->overall.recall, 0.4, 0, 0);
    assert_close(s->overall.f1, 0.4, 1e-15, 0);
    assert_int_equal(s->overall.support, 5);
    assert_close(s->accuracy, 7. / 11, 0, 0);
    assert_int_equal(s->num_tokens, 11);
    rl_seqeval_free(s);
}

/* (PER,0,1)(LOC,3,3)(ORG,4,4) and (PER,0,0)(LOC,1,2)(LOC,3,3): against the same chunks in IOB2 all is right. */
static void test_malformed_tags_open_chunks(void **state)
{
    (void)state;
    rl_seqeval *a = score("I-PER I-PER O B-LOC I-ORG", "B-PER I-PER O B-LOC B-ORG");
    assert_int_equal(a->overall.correct, 3);
    assert_close(a->overall.f1, 1, 0, 0);
    rl_seqeval_free(a);
    rl_seqeval *b = score("B-PER I-LOC I-LOC B-LOC", "B-PER B-LOC I-LOC B-LOC");
    assert_int_equal(b->overall.correct, 3);
    assert_int_equal(b->overall.support, 3);
    assert_int_equal(b->overall.predicted, 3);
    rl_seqeval_free(b);
}

static void test_a_chunk_ends_with_its_sentence(void **state)
{
    rl_seqeval *s = score("B-PER / I-PER", "B-PER / O");
    (void)state;
    assert_int_equal(s->overall.support, 2);
    assert_int_equal(s->overall.correct, 1);
    rl_seqeval_free(s);
}

static void test_nothing_to_divide_by_is_zero(void **state)
{
    (void)state;
    rl_seqeval *s = score("O O O B-PER", "O O O O");
    assert_close(s->overall.f1, 0, 0, 0);
    assert_close(s->overall.precision, 0, 0, 0);
    assert_close(s->accuracy, 0.75, 0, 0);
    rl_seqeval_free(s);
    s = score("O", "O");
    assert_int_equal(s->num_types, 0);
    assert_close(s->overall.f1, 0, 0, 0);
    assert_close(s->accuracy, 1, 0, 0);
    rl_seqeval_free(s);
    s = score("", "");
    assert_close(s->accuracy, 0, 0, 0);
    rl_seqeval_free(s);
}

static void test_an_id_outside_the_labels_is_refused(void **state)
{
    rl_names *labels = NULL;
    rl_seqeval *scores = NULL;
    rl_error err;
    const int64_t start[] = {0, 1};
    int32_t id;
    (void)state;
    assert_int_equal(rl_names_create(&labels, NULL), RL_OK);
    assert_int_equal(rl_names_intern(labels, "O", 1, &id, NULL), RL_OK);
    assert_fails(rl_seqeval_score(&scores, labels, (int32_t[]){0}, (int32_t[]){1}, start, 1, &err), RL_ERR_INTERNAL,
                 err, "violated");
    assert_fails(rl_seqeval_score(&scores, labels, (int32_t[]){-100}, (int32_t[]){0}, start, 1, &err), RL_ERR_INTERNAL,
                 err, "violated");
    assert_null(scores);
    rl_names_free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_malformed_tags_open_chunks),
        cmocka_unit_test(test_a_chunk_ends_with_its_sentence),
        cmocka_unit_test(test_nothing_to_divide_by_is_zero),
        cmocka_unit_test(test_an_id_outside_the_labels_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
