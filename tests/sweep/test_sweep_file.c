/* Sweep files: presets, axes, ranges, excludes, filters, --set, the resolved text, and every fault with its place.
 * LABELS: unit */
#include "support.h"
#include "sweep_internal.h"
#include "world.h"

static support_world world;
static char path[700];

static int make(void **state)
{
    (void)state;
    support_make_world(&world, "world");
    snprintf(path, sizeof path, "%s/case.yaml", world.folder);
    return 0;
}

static const char head[] = "sweep: s\n"
                           "data: {train: train.conll, validation: validation.conll}\n"
                           "concepts: {location: {tokens: tokens.txt, labels: labels.txt, positive: \"SEM:named_entity:location\"}}\n";

static rl_status read_with(rl_sweep **sweep, const char *text, const char *const *sets, size_t num_sets, const char *filter,
                           rl_error *err)
{
    char *whole = rl_format(err, "%s%s", head, text);
    support_write(path, whole);
    rl_free(whole);
    return rl_sweep_read(sweep, path, sets, num_sets, filter, err);
}

static rl_sweep *read_good(const char *text)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    assert_ok(read_with(&sweep, text, NULL, 0, NULL, &err), err);
    return sweep;
}

static void test_the_grid_is_cartesian_last_axis_fastest(void **state)
{
    rl_sweep *s = read_good("grid: {model: tiny-bert, concept: [location], seed: 3..7..2, prune.ratio: [0.1, 0.25]}\n");
    static const int64_t seeds[] = {3, 3, 5, 5, 7, 7};
    (void)state;
    assert_int_equal(s->num_runs, 6);
    assert_int_equal(s->num_axes, 4);
    assert_string_equal(s->axes[3], "prune.ratio");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(s->runs[i].settings.seed, seeds[i]);
        assert_close(s->runs[i].settings.prune.ratio, i % 2 ? 0.25 : 0.1, 0, 0);
        assert_string_equal(s->runs[i].axis_values[3], i % 2 ? "0.25" : "0.1");
        assert_string_equal(s->runs[i].settings.model, world.model);
        assert_string_equal(s->runs[i].settings.concept.positives[0], "SEM:named_entity:location");
    }
    rl_sweep_free(s);
}

static void test_presets_come_before_what_is_said(void **state)
{
    rl_sweep *s = read_good("grid: {model: tiny-bert, concept: location, protocol: [corrected, published, head]}\ntrain: {epochs: 4}\n");
    (void)state;
    assert_int_equal(s->runs[0].settings.train.optimizer, RL_ADAMW_TORCH);
    assert_int_equal(s->runs[1].settings.train.optimizer, RL_ADAMW_HF);
    assert_int_equal(s->runs[2].settings.prune.select, RL_SELECT_RANDOM);
    assert_int_equal(s->runs[2].settings.train.epochs, 4); /* head would say 5 */
    assert_true(s->runs[1].settings.prune.ratio < 0);
    assert_close(s->runs[0].settings.prune.ratio, 0.5, 0, 0);
    rl_sweep_free(s);
}

static void test_set_overrides_settings_and_axes(void **state)
{
    rl_error err = {0};
    rl_sweep *s = NULL;
    const char *const sets[] = {"seed=5..6", "prune.select=[least, none]", "train.epochs=9", "concept=location"};
    (void)state;
    assert_ok(read_with(&s, "grid: {model: tiny-bert, concept: [location], seed: 0..3}\ntrain: {epochs: 4}\n", sets, 4, NULL, &err), err);
    assert_int_equal(s->num_runs, 4);
    assert_int_equal(s->runs[3].settings.seed, 6);
    assert_int_equal(s->runs[3].settings.prune.select, RL_SELECT_NONE);
    assert_int_equal(s->runs[3].settings.train.epochs, 9);
    rl_sweep_free(s);
}

static void test_excludes_and_filters(void **state)
{
    rl_error err = {0};
    rl_sweep *s = NULL;
    static const char text[] = "grid: {model: [tiny-bert, other], concept: location, seed: 0..4, prune.ratio: [0.1, 0.5]}\n"
                               "exclude:\n  - {seed: [1, 2], prune.ratio: 0.50}\n";
    char other[700];
    (void)state;
    snprintf(other, sizeof other, "%s/other", world.folder);
    assert_ok(rl_make_directories(other, &err), err);
    s = read_good(text);
    assert_int_equal(s->num_runs, 20 - 4);
    rl_sweep_free(s);
    assert_ok(read_with(&s, text, NULL, 0, "model == tiny-bert && seed>=1,prune.ratio<0.3", &err), err);
    assert_int_equal(s->num_runs, 4);
    rl_sweep_free(s);
    assert_ok(read_with(&s, text, NULL, 0, "seed != 0", &err), err);
    assert_int_equal(s->num_runs, 12);
    rl_sweep_free(s);
}

static void assert_same_runs(const rl_sweep *a, const rl_sweep *b)
{
    assert_int_equal(a->num_runs, b->num_runs);
    for (int64_t r = 0; r < a->num_runs; r++)
        for (size_t k = 0; k < rl_num_keys; k++) {
            rl_error err = {0};
            char *x = rl_settings_get(&a->runs[r].settings, rl_keys[k].path, &err);
            char *y = rl_settings_get(&b->runs[r].settings, rl_keys[k].path, &err);
            assert_string_equal(x, y);
            rl_free(x);
            rl_free(y);
        }
}

static void test_the_resolved_text_gives_the_same_runs(void **state)
{
    static const char *const cases[] = {
        "grid: {model: tiny-bert, concept: location, seed: 0..4, prune.ratio: [0.1, 0.5]}\nexclude: [{seed: 1, prune.ratio: [.1]}]\n"
        "train: {learning_rate: 2e-5, dropout: 0, shuffle: false}\nanalyse: {similarity: {vectors: model}, top_words: 7}\n",
        "grid: {protocol: [head, published], seed: [7]}\nmodel: tiny-bert\nconcept: location\nretrain: {rounds: 0}\nfilter: seed==7\n",
        "grid: {seed: [900719925474099, 0]}\nmodel: tiny-bert\nconcept: location\nprotocol: published\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_error err = {0};
        rl_sweep *a = read_good(cases[i]), *b = NULL;
        char elsewhere[700];
        snprintf(elsewhere, sizeof elsewhere, "%s/deeper", world.folder);
        assert_ok(rl_make_directories(elsewhere, &err), err);
        snprintf(elsewhere, sizeof elsewhere, "%s/deeper/again.yaml", world.folder);
        support_write(elsewhere, a->resolved);
        assert_ok(rl_sweep_read(&b, elsewhere, NULL, 0, NULL, &err), err);
        assert_same_runs(a, b);
        rl_sweep_free(a);
        rl_sweep_free(b);
    }
}

static void test_faults_have_their_place(void **state)
{
#define GRID "grid: {model: tiny-bert, concept: location}\n"
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"grid: {model: tiny-bert, concept: location, sed: 1}\n", "case.yaml:4:45: 'sed' is no key of a sweep; did you mean seed"},
        {GRID "trian: {}\n", "case.yaml:5:1: 'trian' is no key of a sweep; did you mean train"},
        {GRID "train: {epochs: [1, 2]}\n", "case.yaml:5:17: train.epochs: a single value was expected"},
        {GRID "train: {epochs: 1.5}\n", "case.yaml:5:17: train.epochs: '1.5' is not an integer"},
        {GRID "train: {epochs: 0}\n", "case.yaml:5:17:"},
        {GRID "train: {learning_rate: nan}\n", "case.yaml:5:24: train.learning_rate: 'nan' is not a number"},
        {GRID "train: {shuffle: yes}\n", "case.yaml:5:18: train.shuffle: 'yes' is not true or false"},
        {GRID "prune: {select: concpt}\n", "did you mean 'concept'?"},
        {GRID "prune: {ratio: 1.01}\n", "case.yaml:5:16: prune.ratio: '1.01' is not a number from 0 to 1"},
        {GRID "prune: {ratio: ''}\n", "case.yaml:5:16"},
        {GRID "train: {epochs: 2, epochs: 3}\n", "case.yaml:5:20: 'epochs' is given twice"},
        {GRID "train: [1]\n", "case.yaml:5:8: train: a mapping was expected, not a list"},
        {GRID "seed: 1\nconcept: location\n", "concept is an axis here and a single value at line 6"},
        {GRID "exclude: [{seed: 99}]\n", "matches no run"},
        {GRID "exclude: [{}]\n", "case.yaml:5:11:"},
        {GRID "filter: seed ~ 3\n", "case.yaml:5:9:"},
        {GRID "data: {}\n", "case.yaml:5:1: 'data' is given twice"},
        {"grid: {model: tiny-bert}\n", "'concept' is missing"},
        {"grid: {}\nmodel: tiny-bert\nconcept: location\n", "case.yaml:4:7: grid: at least one axis"},
        {"grid: {model: [tiny-bert, ./tiny-bert/], concept: location}\n", ""}, /* two names of one folder: allowed, see below */
        {"grid: {model: tiny-bert, concept: location, prune.ratio: [0.5, 0.50]}\n", "case.yaml:4:64: prune.ratio: '0.50' is given twice"},
        {"grid: {model: tiny-bert, concept: location, seed: 5..3}\n", "case.yaml:4:51: seed: the range '5..3' is empty"},
        {"grid: {model: tiny-bert, concept: location, seed: 0..99999999999}\n", "more than 1000000 values"},
        {"grid: {model: tiny-bert, concept: location, seed: [-1]}\n", "case.yaml:4:52: seed: '-1' is not an integer from 0"},
        {"grid: {model: no-bert, concept: location}\n", "case.yaml:4:15: model: there is no model folder"},
        {"grid: {model: tiny-bert, concept: locaton}\n", "case.yaml:4:35: concept: 'locaton' is not a name under concepts: (location); the nearest is location"},
        {GRID "data.train: x\n", "case.yaml:5:1:"},
        {GRID "---\nsweep: second\n", "second YAML document"},
        {GRID "train: {epochs: 2\n", "is not YAML"},
        {GRID "\ttrain: {}\n", "is not YAML"},
        {GRID "train: &a {epochs: *a}\n", "case.yaml:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rl_error err = {0};
        rl_sweep *sweep = NULL;
        rl_status status = read_with(&sweep, cases[i].text, NULL, 0, NULL, &err);
        if (status == RL_OK && cases[i].says[0] == '\0') {
            rl_sweep_free(sweep);
            continue;
        }
        if (status != RL_ERR_INPUT || !strstr(err.message, cases[i].says))
            print_error("case %zu: %s -> %d %s\n", i, cases[i].text, (int)status, err.message);
        assert_int_equal(status, RL_ERR_INPUT);
        assert_non_null(strstr(err.message, cases[i].says));
        assert_null(sweep);
    }
}

static void test_bad_sets_and_filters_name_the_option(void **state)
{
    static const char *const bad[] = {"train.epoch=3", "train.epochs", "train.epochs=", "=3", "seed=[1,1]", "train.epochs=x", "prune.ratio=2"};
    static const char *const says[] = {"train.epochs", "PATH=VALUE", "PATH=VALUE", "PATH=VALUE", "given twice", "not an integer", "0 to 1"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rl_error err = {0};
        rl_sweep *sweep = NULL;
        rl_status status = read_with(&sweep, GRID, &bad[i], 1, NULL, &err);
        assert_int_not_equal(status, RL_OK);
        assert_non_null(strstr(err.message, "--set"));
        if (!strstr(err.message, says[i])) print_error("%s -> %s\n", bad[i], err.message);
        assert_non_null(strstr(err.message, says[i]));
    }
    static const char *const filters[] = {"", "seed", "seed==", "seed==x", "sed==1", "seed==1 &&", "model<3", "prune.select<random", "prune.permanent>false"};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        rl_error err = {0};
        rl_sweep *sweep = NULL;
        if (read_with(&sweep, GRID, NULL, 0, filters[i], &err) == RL_OK) print_error("accepted: %s\n", filters[i]);
        assert_null(sweep);
        assert_non_null(strstr(err.message, "filter"));
    }
}

/* Any cut or changed byte is read or refused, never a crash (the sanitizer builds run this too). */
static void test_damaged_files_never_crash(void **state)
{
    char *whole = rl_format(NULL, "%s%s", head, "grid: {model: tiny-bert, concept: [location], seed: 0..3}\nexclude: [{seed: 1}]\nfilter: seed<3\n"
                                                "train: {epochs: 4, learning_rate: 2e-5}\nprune: {select: random}\n");
    size_t length = strlen(whole), refused = 0;
    (void)state;
    for (size_t i = 0; i < 2 * length; i++) {
        rl_error err = {0};
        rl_sweep *sweep = NULL;
        char *copy = rl_strdup(whole, &err);
        if (i < length)
            copy[i] = '\0';
        else
            copy[i - length] = (char)rl_rng_bits(1, RL_PURPOSE_BOOTSTRAP, 0, 0, i);
        support_write(path, copy);
        refused += rl_sweep_read(&sweep, path, NULL, 0, NULL, &err) != RL_OK;
        rl_sweep_free(sweep);
        rl_free(copy);
    }
    assert_true(refused > length / 2);
    rl_free(whole);
}

static void test_settings_by_path(void **state)
{
    rl_error err = {0};
    rl_run_settings s = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    rl_buffer text = {0};
    (void)state;
    assert_ok(rl_settings_set(&s, "train.learning_rate=3e-4", &err), err);
    assert_close(s.train.learning_rate, 3e-4, 0, 0);
    char *value = rl_settings_get(&s, "train.learning_rate", &err);
    assert_string_equal(value, "0.0003");
    rl_free(value);
    assert_fails(rl_settings_set(&s, "train.lr=1", &err), RL_ERR_USAGE, err, "'train.lr' is no setting");
    assert_null(rl_settings_get(&s, "nonsense", &err));
    assert_ok(rl_settings_describe(&text, &err), err);
    for (size_t k = 0; k < rl_num_keys; k++) assert_non_null(strstr(text.data, rl_keys[k].path));
    rl_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_grid_is_cartesian_last_axis_fastest),
        cmocka_unit_test(test_presets_come_before_what_is_said),
        cmocka_unit_test(test_set_overrides_settings_and_axes),
        cmocka_unit_test(test_excludes_and_filters),
        cmocka_unit_test(test_the_resolved_text_gives_the_same_runs),
        cmocka_unit_test(test_faults_have_their_place),
        cmocka_unit_test(test_bad_sets_and_filters_name_the_option),
        cmocka_unit_test(test_damaged_files_never_crash),
        cmocka_unit_test(test_settings_by_path),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
