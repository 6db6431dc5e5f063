/* Axes, ranges, exclude, --filter, --set and presets give exactly the runs one would write down by hand, and the
 * resolved file gives them again. */
#include "sweep_support.h"

static void test_the_last_axis_varies_fastest(void **state)
{
    rl_sweep *s = read_good(TOP SINGLES "grid:\n  seed: 3..4\n  prune.ratio: [0.1, 0.3, 0.5]\n", NULL, NULL);
    const double ratios[] = {0.1, 0.3, 0.5};
    (void)state;
    assert_int_equal(s->num_axes, 2);
    assert_int_equal(s->num_runs, 6);
    for (int r = 0; r < 6; r++) {
        assert_int_equal(s->runs[r].settings.seed, 3 + r / 3);
        assert_close(s->runs[r].settings.prune.ratio, ratios[r % 3], 0, 0);
        assert_string_equal(s->runs[r].axis_values[0], r / 3 ? "4" : "3");
    }
    rl_sweep_free(s);
}

static void test_ranges_are_inclusive_and_may_step(void **state)
{
    const struct {
        const char *range;
        int64_t count, first, last;
    } cases[] = {{"0..9", 10, 0, 9}, {"5..5", 1, 5, 5}, {"0..10..5", 3, 0, 10}, {"0..9..5", 2, 0, 5}, {"7", 1, 7, 7}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000];
        snprintf(text, sizeof text, TOP SINGLES "grid: {seed: %s}\n", cases[i].range);
        rl_sweep *s = read_good(text, NULL, NULL);
        assert_int_equal(s->num_runs, cases[i].count);
        assert_int_equal(s->runs[0].settings.seed, cases[i].first);
        assert_int_equal(s->runs[s->num_runs - 1].settings.seed, cases[i].last);
        rl_sweep_free(s);
    }
}

static void test_exclude_leaves_out_combinations(void **state)
{
    rl_sweep *s = read_good(TOP SINGLES "grid:\n  seed: 0..3\n  prune.select: [concept, random, none]\n"
                                        "exclude:\n  - {seed: [1, 2], prune.select: none}\n  - seed: 3\n",
                            NULL, NULL);
    (void)state;
    assert_int_equal(s->num_runs, 12 - 2 - 3);
    for (int64_t r = 0; r < s->num_runs; r++) {
        const rl_run_settings *x = &s->runs[r].settings;
        assert_true(x->seed != 3);
        assert_false((x->seed == 1 || x->seed == 2) && x->prune.select == RL_SELECT_NONE);
    }
    rl_sweep_free(s);
}

static void assert_filter(const char *filter, int64_t count)
{
    rl_sweep *s = read_good(TOP SINGLES
                            "grid:\n  seed: 0..9\n  prune.ratio: [0.1, 0.3, 0.5]\n  prune.select: [concept, random]\n",
                            NULL, filter);
    if (s->num_runs != count)
        print_error("%s: %lld runs, expected %lld\n", filter, (long long)s->num_runs, (long long)count);
    assert_int_equal(s->num_runs, count);
    rl_sweep_free(s);
}

static void test_filters_keep_what_all_conditions_accept(void **state)
{
    (void)state;
    assert_filter("seed==3", 6);
    assert_filter("seed = 3", 6);
    assert_filter("seed!=3", 54);
    assert_filter("seed<3", 18);
    assert_filter("seed<=3", 24);
    assert_filter("seed>7", 12);
    assert_filter(" seed >= 7 ", 18);
    assert_filter("seed<10", 60); /* by value: as texts, 9 comes after 10 */
    assert_filter("prune.ratio=.30", 20);
    assert_filter("prune.ratio>0.1 && prune.ratio<5e-1", 20);
    assert_filter("seed>=1,seed<=2, prune.select=random", 6);
    assert_filter("seed>=1&&seed<=2&&prune.select!=random", 6);
    assert_filter("concept==location", 60);
    assert_filter("model==tiny-bert", 60);
    assert_filter("train.epochs==3", 60); /* a setting need not be an axis */
}

static void test_set_replaces_axes_and_settings(void **state)
{
    const char *text = TOP SINGLES "grid:\n  seed: 0..2\ntrain: {epochs: 2}\n";
    (void)state;
    rl_sweep *s = read_good(text, "seed=5..6", NULL);
    assert_int_equal(s->num_runs, 2);
    assert_int_equal(s->runs[0].settings.seed, 5);
    rl_sweep_free(s);

    s = read_good(text, "seed=7", NULL); /* one value: still the axis */
    assert_int_equal(s->num_runs, 1);
    assert_int_equal(s->num_axes, 1);
    assert_int_equal(s->runs[0].settings.seed, 7);
    rl_sweep_free(s);

    s = read_good(text, "train.epochs=9", NULL);
    assert_int_equal(s->num_axes, 1);
    assert_int_equal(s->runs[2].settings.train.epochs, 9);
    rl_sweep_free(s);

    s = read_good(text, "train.epochs=[3, 4]", NULL); /* a list makes an axis of what was one value */
    assert_int_equal(s->num_axes, 2);
    assert_string_equal(s->axes[1], "train.epochs");
    assert_int_equal(s->num_runs, 6);
    assert_int_equal(s->runs[1].settings.train.epochs, 4);
    rl_sweep_free(s);

    s = read_good(text, "prune.ratio=[0.25]", NULL);
    assert_int_equal(s->num_axes, 2);
    assert_close(s->runs[0].settings.prune.ratio, 0.25, 0, 0);
    rl_sweep_free(s);
}

/* Presets of protocol §0; what the file says comes on top, also when the protocol is an axis or comes by --set. */
static void test_presets_give_way_to_what_is_said(void **state)
{
    const char *text = TOP SINGLES "grid:\n  seed: 1\n  protocol: [corrected, published, head]\nretrain: {epochs: 7}\n";
    rl_sweep *s = read_good(text, NULL, NULL);
    (void)state;
    assert_int_equal(s->num_runs, 3);
    assert_int_equal(s->runs[0].settings.train.epochs, 3);
    assert_int_equal(s->runs[0].settings.train.optimizer, RL_ADAMW_TORCH);
    assert_close(s->runs[0].settings.prune.ratio, 0.5, 0, 0);
    assert_int_equal(s->runs[1].settings.train.epochs, 3);
    assert_int_equal(s->runs[1].settings.train.optimizer, RL_ADAMW_HF);
    assert_int_equal(s->runs[1].settings.train.order, RL_ORDER_HF4);
    assert_true(s->runs[1].settings.prune.ratio < 0);
    assert_int_equal(s->runs[2].settings.train.epochs, 5);
    assert_int_equal(s->runs[2].settings.prune.select, RL_SELECT_RANDOM);
    for (int r = 0; r < 3; r++) assert_int_equal(s->runs[r].settings.retrain_epochs, 7);
    rl_sweep_free(s);

    s = read_good(TOP SINGLES "grid: {seed: 1}\nprotocol: corrected\ntrain: {optimizer: adamw}\n", "protocol=head",
                  NULL);
    assert_int_equal(s->runs[0].settings.protocol, RL_PROTOCOL_HEAD);
    assert_int_equal(s->runs[0].settings.train.epochs, 5);
    assert_int_equal(s->runs[0].settings.train.optimizer, RL_ADAMW_TORCH); /* said */
    rl_sweep_free(s);
}

/* ----------------------------------------------------------------------------------------------- resolved */

static const char *const paths[] = {"model",
                                    "seed",
                                    "concept",
                                    "protocol",
                                    "data.train",
                                    "data.validation",
                                    "data.test",
                                    "data.limit",
                                    "train.epochs",
                                    "train.batch_size",
                                    "train.learning_rate",
                                    "train.weight_decay",
                                    "train.max_grad_norm",
                                    "train.warmup_steps",
                                    "train.max_steps",
                                    "train.dropout",
                                    "train.shuffle",
                                    "train.optimizer",
                                    "train.order",
                                    "train.adam_beta1",
                                    "train.adam_beta2",
                                    "train.adam_epsilon",
                                    "rank.method",
                                    "prune.site",
                                    "prune.permanent",
                                    "prune.select",
                                    "prune.ratio",
                                    "prune.zero_beta",
                                    "retrain.rounds",
                                    "retrain.epochs",
                                    "analyse.top_words",
                                    "analyse.similarity.vectors"};

static void assert_same_runs(const rl_sweep *a, const rl_sweep *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->num_axes, b->num_axes);
    for (int i = 0; i < a->num_axes; i++) assert_string_equal(a->axes[i], b->axes[i]);
    assert_int_equal(a->num_runs, b->num_runs);
    for (int64_t r = 0; r < a->num_runs; r++) {
        const rl_run_settings *x = &a->runs[r].settings, *y = &b->runs[r].settings;
        for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
            assert_string_equal(setting(a, r, paths[p]), setting(b, r, paths[p]));
        assert_string_equal(x->concept.tokens, y->concept.tokens);
        assert_string_equal(x->concept.labels, y->concept.labels);
        assert_int_equal(x->concept.num_positives, y->concept.num_positives);
        for (int64_t p = 0; p < x->concept.num_positives; p++)
            assert_string_equal(x->concept.positives[p], y->concept.positives[p]);
    }
}

/* The resolved text in another folder: relative paths would not survive that. */
static void assert_resolves(const char *text, const char *set, const char *filter)
{
    rl_error err = {0};
    char folder[700], path[800];
    rl_sweep *first = read_good(text, set, filter), *again = NULL, *third = NULL;
    snprintf(folder, sizeof folder, "%s/elsewhere", world.folder);
    snprintf(path, sizeof path, "%s/sweep.yaml", folder);
    assert_ok(rl_make_directories(folder, &err), err);
    support_write(path, first->resolved);
    assert_ok(rl_sweep_read(&again, path, NULL, 0, NULL, &err), err);
    assert_same_runs(first, again);
    support_write(path, again->resolved);
    assert_ok(rl_sweep_read(&third, path, NULL, 0, NULL, &err), err);
    assert_string_equal(again->resolved, third->resolved);
    rl_sweep_free(first);
    rl_sweep_free(again);
    rl_sweep_free(third);
}

static void test_the_resolved_file_gives_the_same_runs(void **state)
{
    (void)state;
    assert_resolves(TOP SINGLES "grid: {seed: 0..3}\n", NULL, NULL);
    assert_resolves(TOP "grid:\n  model: [tiny-bert, ./broken-bert]\n  concept: [location]\n  prune.ratio: [0.1, 1e-7, "
                        "0.30000000000000004]\n",
                    NULL, NULL);
    assert_resolves(TOP SINGLES "grid: {seed: 0..5}\nexclude: [{seed: [1, 3]}, {seed: 5}]\n", NULL, "seed>0");
    assert_resolves(TOP SINGLES "grid: {seed: 0..5}\nfilter: seed<5\n", NULL, "seed>0, prune.select==concept");
    assert_resolves(TOP SINGLES "grid: {seed: 0..5}\n", "prune.ratio=[0.1,0.3]", NULL);
    assert_resolves(TOP SINGLES "grid: {seed: 1, protocol: [corrected, published, head]}\ntrain: {dropout: 0}\n", NULL,
                    NULL);
    assert_resolves(TOP SINGLES "grid: {seed: 1}\nprotocol: published\n", NULL, NULL); /* ratio: the protocol's own */
    assert_resolves(TOP SINGLES "grid: {seed: 1}\nprotocol: head\nprune: {ratio: 0.25}\n", NULL, NULL);
    assert_resolves(TOP SINGLES "grid: {seed: 1}\nanalyse: {top_words: 9, similarity: {vectors: model}}\n", NULL, NULL);
}

/* Every key is written out, so that a later release with other defaults reads the same experiment. */
static void test_the_resolved_file_is_complete(void **state)
{
    rl_sweep *s = read_good(TOP SINGLES "grid: {seed: 1}\n", NULL, NULL);
    (void)state;
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        char last[64];
        const char *dot = strrchr(paths[p], '.');
        if (!strcmp(paths[p], "data.test") || !strcmp(paths[p], "train.dropout"))
            continue; /* not said, and no value stands for that */
        snprintf(last, sizeof last, "%s:", dot ? dot + 1 : paths[p]);
        if (!strstr(s->resolved, last)) print_error("%s is not in\n%s\n", paths[p], s->resolved);
        assert_non_null(strstr(s->resolved, last));
    }
    rl_sweep_free(s);
}

/* Labels are free text: whatever YAML could mistake must come back byte for byte. */
static void test_odd_labels_survive_the_resolved_file(void **state)
{
    const char *const labels[] = {
        "null", "~",    "true",  "a: b",  "a #b",    "- a",     "'",       "\\\"",     "\\\\",
        "*a",   "&a",   "!a",    "%a",    "@a",      "{a",      "a,b",     "\\t",      "\\n",
        " a ",  "0..9", "\\x01", "\\x7f", "\\u0085", "\\u2028", "\\ufeff", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    (void)state;
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        char text[2000];
        snprintf(text, sizeof text,
                 "sweep: s\ndata: {train: train.conll, validation: validation.conll}\n"
                 "concepts: {location: {tokens: tokens.txt, labels: labels.txt, positive: [\"%s\", other]}}\n" SINGLES
                 "grid: {seed: 1}\n",
                 labels[i]);
        assert_resolves(text, NULL, NULL);
    }
}

/* sweeps/example.yaml, beside files of the names it uses. */
static void test_the_example_is_read(void **state)
{
    static const char *const names[][2] = {{"train.conll", "eng.train"},
                                           {"validation.conll", "eng.testa"},
                                           {"test.conll", "eng.testb"},
                                           {"tokens.txt", "location_tokens.txt"},
                                           {"labels.txt", "location_labels.txt"}};
    rl_error err = {0};
    rl_sweep *s = NULL;
    char from[800], to[800];
    (void)state;
    snprintf(to, sizeof to, "%s/example/models/minilm", world.folder);
    assert_ok(rl_make_directories(to, &err), err);
    snprintf(to, sizeof to, "%s/example/data", world.folder);
    assert_ok(rl_make_directories(to, &err), err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(from, sizeof from, "%s/%s", world.folder, names[i][0]);
        snprintf(to, sizeof to, "%s/example/data/%s", world.folder, names[i][1]);
        assert_ok(rl_copy_file(from, to, &err), err);
    }
    snprintf(to, sizeof to, "%s/example/example.yaml", world.folder);
    assert_ok(rl_copy_file(RELEARN_SOURCE_DIR "/sweeps/example.yaml", to, &err), err);
    assert_ok(rl_sweep_read(&s, to, NULL, 0, NULL, &err), err);
    assert_int_equal(s->num_runs, 10 * (3 * 3 - 1));
    assert_int_equal(s->runs[0].settings.train.epochs, 5);
    rl_sweep_free(s);
}

static void make_twin_models(void)
{
    static const char *const files[] = {"config.json", "vocab.txt", "tokenizer_config.json"};
    rl_error err = {0};
    for (int m = 0; m < 2; m++) {
        char folder[700], from[800], to[800];
        snprintf(folder, sizeof folder, "%s/%s/mini", world.folder, m ? "b" : "a");
        assert_ok(rl_make_directories(folder, &err), err);
        for (int i = 0; i < 3; i++) {
            snprintf(from, sizeof from, "%s/%s", world.model, files[i]);
            snprintf(to, sizeof to, "%s/%s", folder, files[i]);
            assert_ok(rl_copy_file(from, to, &err), err);
        }
    }
}

static void assert_only_b(rl_sweep *s)
{
    assert_int_equal(s->num_runs, 1);
    assert_non_null(strstr(s->runs[0].settings.model, "/b/mini"));
    rl_sweep_free(s);
}

/* Two models of one name in two folders are two models: only a bare name stands for both. */
static void test_models_are_told_apart_by_their_paths(void **state)
{
    const char *head = TOP "concept: location\ngrid: {model: [a/mini, b/mini], seed: 1}\n";
    char text[3000], path[700];
    (void)state;
    make_twin_models();
    snprintf(text, sizeof text, "%sexclude: [{model: a/mini}]\n", head);
    assert_only_b(read_good(text, NULL, NULL));
    snprintf(text, sizeof text, "%sexclude: [{model: ./b/../a//mini/}]\n", head);
    assert_only_b(read_good(text, NULL, NULL));
    assert_only_b(read_good(head, NULL, "model==b/mini"));
    assert_only_b(read_good(head, NULL, "model != ./a/mini"));
    snprintf(path, sizeof path, "model=='%s/b/mini'", world.folder);
    assert_only_b(read_good(head, NULL, path));
    rl_sweep *both = read_good(head, NULL, "model==mini");
    assert_int_equal(both->num_runs, 2);
    rl_sweep_free(both);
    assert_resolves(head, NULL, "model==b/mini");
    assert_resolves(head, NULL, "model==mini");
}

static void test_exclude_compares_whole_paths(void **state)
{
    char text[4000], path[1000];
    size_t n = 0;
    (void)state;
    make_twin_models();
    while (n < 600) n += (size_t)snprintf(path + n, sizeof path - n, "./");
    snprintf(path + n, sizeof path - n, "a/mini");
    snprintf(text, sizeof text, TOP "concept: location\ngrid: {model: [%s, b/mini], seed: 1}\nexclude: [{model: %s}]\n",
             path, path);
    assert_only_b(read_good(text, NULL, NULL));
}

/* A shorter axis by --set may leave an exclude of the file without work; the resolved file then does without it. */
static void test_set_may_take_an_excludes_values_away(void **state)
{
    const char *text = TOP SINGLES "grid: {seed: 0..9}\nexclude: [{seed: 1}, {seed: 7}]\n";
    (void)state;
    rl_sweep *s = read_good(text, "seed=0..3", NULL);
    assert_int_equal(s->num_runs, 3);
    rl_sweep_free(s);
    assert_resolves(text, "seed=0..3", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_axis_varies_fastest),
        cmocka_unit_test(test_ranges_are_inclusive_and_may_step),
        cmocka_unit_test(test_exclude_leaves_out_combinations),
        cmocka_unit_test(test_filters_keep_what_all_conditions_accept),
        cmocka_unit_test(test_set_replaces_axes_and_settings),
        cmocka_unit_test(test_presets_give_way_to_what_is_said),
        cmocka_unit_test(test_the_resolved_file_gives_the_same_runs),
        cmocka_unit_test(test_the_resolved_file_is_complete),
        cmocka_unit_test(test_odd_labels_survive_the_resolved_file),
        cmocka_unit_test(test_the_example_is_read),
        cmocka_unit_test(test_models_are_told_apart_by_their_paths),
        cmocka_unit_test(test_exclude_compares_whole_paths),
        cmocka_unit_test(test_set_may_take_an_excludes_values_away),
    };
    return cmocka_run_group_tests(tests, make_world, NULL);
}
