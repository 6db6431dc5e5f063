/* 600 random taggings with every transition of B, I, E, S and O: precision, recall, F1 and accuracy are
 * seqeval 1.2.2's, bit for bit.
 * LABELS: golden */
#include "text_support.h"

typedef struct golden {
    rl_names *labels;
    int32_t letters[26]; /* letter -> label id */
    int32_t gold[128], predicted[128];
    int64_t start[16], num_sentences;
    int64_t checked;
    rl_seqeval *scores;
    int32_t next_type;
} golden;

static void read_labels(golden *g, char *line)
{
    int count = 0;
    for (char *word = strtok(line, " #\n"); word; word = strtok(NULL, " #\n"))
        assert_int_equal(rl_names_intern(g->labels, word, strlen(word), &g->letters[count++], NULL), RL_OK);
}

static void read_tags(golden *g, int32_t *ids, char *line)
{
    int64_t n = 0;
    g->num_sentences = 0;
    g->start[0] = 0;
    for (char *word = strtok(line + 4, " \n"); word; word = strtok(NULL, " \n")) {
        for (; *word; word++) ids[n++] = g->letters[*word - 'a'];
        g->start[++g->num_sentences] = n;
    }
}

static void check(const rl_score *score, const double *expected)
{
    assert_close(score->precision, expected[0], 0, 0);
    assert_close(score->recall, expected[1], 0, 0);
    assert_close(score->f1, expected[2], 0, 0);
    assert_true(score->support == (int64_t)expected[3]);
}

static void check_overall(golden *g, const char *line)
{
    double v[5];
    rl_error err;
    if (g->scores) assert_int_equal(g->next_type, g->scores->num_types);
    rl_seqeval_free(g->scores);
    g->scores = NULL;
    g->next_type = 0;
    assert_int_equal(sscanf(line, "all %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4), 5);
    assert_ok(rl_seqeval_score(&g->scores, g->labels, g->gold, g->predicted, g->start, g->num_sentences, &err), err);
    check(&g->scores->overall, v);
    assert_close(g->scores->accuracy, v[4], 0, 0);
    g->checked++;
}

static void check_type(golden *g, const char *line)
{
    char name[32];
    double v[4];
    assert_int_equal(sscanf(line, "type %31s %lf %lf %lf %lf", name, v, v + 1, v + 2, v + 3), 5);
    assert_true(g->next_type < g->scores->num_types);
    assert_string_equal(g->scores->types[g->next_type], name);
    check(&g->scores->by_type[g->next_type++], v);
}

static void test_random_taggings(void **state)
{
    golden g = {0};
    char line[1024];
    FILE *file = fopen(support_file("golden/text/seqeval.txt"), "r");
    (void)state;
    assert_non_null(file);
    assert_int_equal(rl_names_create(&g.labels, NULL), RL_OK);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#') read_labels(&g, line);
        if (line[0] == 'g') read_tags(&g, g.gold, line);
        if (line[0] == 'p') read_tags(&g, g.predicted, line);
        if (line[0] == 'a') check_overall(&g, line);
        if (line[0] == 't') check_type(&g, line);
    }
    fclose(file);
    assert_int_equal(g.checked, 600);
    rl_seqeval_free(g.scores);
    rl_names_free(g.labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_taggings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
