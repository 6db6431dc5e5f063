/* A sweep file says what it means or is refused at its very place: FILE:LINE:COL, what was expected, the nearest valid
 * name. */
#include "sweep_support.h"

static void test_the_designs_file_is_read(void **state)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    (void)state;
    assert_ok(rl_sweep_read(&sweep, world.sweep, NULL, 0, NULL, &err), err);
    assert_string_equal(sweep->name, "tiny");
    assert_int_equal(sweep->num_axes, 4);
    assert_string_equal(sweep->axes[0], "model");
    assert_string_equal(sweep->axes[3], "prune.select");
    assert_int_equal(sweep->num_runs, 4);
    const rl_run_settings *s = &sweep->runs[3].settings; /* the last axis varies fastest */
    assert_int_equal(s->seed, 1);
    assert_int_equal(s->prune.select, RL_SELECT_RANDOM);
    assert_int_equal(sweep->runs[2].settings.prune.select, RL_SELECT_CONCEPT);
    assert_string_equal(sweep->runs[3].axis_values[1], "1");
    assert_string_equal(sweep->runs[3].axis_values[3], "random");
    assert_int_equal(s->train.epochs, 2);
    assert_close(s->train.learning_rate, 5e-3, 0, 0);
    assert_int_equal(s->train.batch_size, 8); /* not said: the default */
    assert_true(s->prune.permanent);
    assert_int_equal(s->retrain_rounds, 2);
    assert_int_equal(s->concept.num_positives, 1);
    assert_string_equal(s->concept.positives[0], "SEM:named_entity:location");
    assert_true(s->model[0] == '/' && s->train_file[0] == '/' && s->concept.tokens[0] == '/');
    assert_non_null(s->test_file);
    rl_sweep_free(sweep);
}

typedef struct fault {
    const char *rest;  /* after TOP */
    long line, column; /* of the whole file; 0: not checked */
    const char *says[2];
} fault;
#define L(n) (TOP_LINES + (n))

static const fault faults[] = {
    {SINGLES "grid: {sed: [1]}\n", L(3), 8, {"sed", "seed"}},
    {SINGLES "grid: {seed: 1}\ntrian: {epochs: 2}\n", L(4), 1, {"trian", "train"}},
    {SINGLES "grid: {seed: 1}\ntrain: {epoch: 2}\n", L(4), 9, {"epoch", "epochs"}},
    {SINGLES "grid: {seed: 1}\ntrain:\n  epochs: two\n", L(5), 11, {"two", "integer"}},
    {SINGLES "grid: {seed: 1}\ntrain: {epochs: 2.5}\n", L(4), 17, {"2.5", "integer"}},
    {SINGLES "grid: {seed: 1}\ntrain: {epochs: -1}\n", L(4), 17, {"-1", "train.epochs"}},
    {SINGLES "grid: {seed: 1}\ntrain: {epochs: [1, 2]}\n", L(4), 17, {"train.epochs", "grid:"}},
    {SINGLES "grid: {seed: 1}\ntrain: {epochs: {a: 1}}\n", L(4), 17, {"train.epochs", ""}},
    {SINGLES "grid: {seed: 1}\ntrain: {batch_size: 0}\n", L(4), 21, {"train.batch_size", "0"}},
    {SINGLES "grid: {seed: 1}\ntrain: {learning_rate: fast}\n", L(4), 24, {"fast", "number"}},
    {SINGLES "grid: {seed: 1}\ntrain: {learning_rate: nan}\n", L(4), 24, {"nan", "number"}},
    {SINGLES "grid: {seed: 1}\ntrain: {learning_rate: inf}\n", L(4), 24, {"inf", "number"}},
    {SINGLES "grid: {seed: 1}\ntrain: {learning_rate: 99999999999999999999e999}\n", L(4), 24, {"number", ""}},
    {SINGLES "grid: {seed: 1}\ntrain: {epochs: 99999999999999999999}\n", L(4), 17, {"integer", ""}},
    {SINGLES "grid: {seed: 1}\ntrain: {shuffle: maybe}\n", L(4), 18, {"maybe", "true or false"}},
    {SINGLES "grid: {seed: 1}\ntrain: {optimizer: adam}\n", L(4), 20, {"adam", "adamw"}},
    {SINGLES "grid: {seed: 1}\nprune: {ratio: 1.01}\n", L(4), 16, {"1.01", "prune.ratio"}},
    {SINGLES "grid: {seed: 1}\nprune: {ratio: -0.1}\n", L(4), 16, {"-0.1", "prune.ratio"}},
    {SINGLES "grid: {seed: 1}\nprune: {select: consept}\n", L(4), 17, {"consept", "concept"}},
    {SINGLES "grid: {seed: 1}\nprune: {site: ln_2}\n", L(4), 15, {"ln_2", "layer_norm"}},
    {SINGLES "grid: {seed: 1}\nprune: 3\n", L(4), 8, {"prune", "mapping"}},
    {SINGLES "grid: {seed: 1}\nrank: {method: probless}\n", L(4), 16, {"probless", "probeless"}},
    {SINGLES "grid: {seed: 1}\nanalyse: {top_words: 65}\n", L(4), 22, {"65", "64"}},
    {SINGLES "grid: {seed: 1}\nanalyse: {similarity: {vector: model}}\n", L(4), 24, {"vector", "vectors"}},
    {SINGLES "grid: {seed: 1}\nanalyse: {similarity: model}\n", L(4), 23, {"similarity", "mapping"}},
    {SINGLES "grid: {seed: 1}\nanalyse: {similarity: {vectors: no.vec}}\n", L(4), 33, {"no.vec: cannot be read", ".bin or .vec"}},
    {SINGLES "grid: {seed: 1}\nretrain: {rounds: -1}\n", L(4), 19, {"retrain.rounds", "-1"}},
    {SINGLES "grid: {seed: 1}\nprotocol: publshed\n", L(4), 11, {"publshed", "published"}},
    {SINGLES "grid: {seed: 1}\nprotocol: [head]\n", L(4), 11, {"protocol", "single value"}},
    {SINGLES "grid: {}\n", L(3), 7, {"grid", "axis"}},
    {SINGLES "grid: []\n", L(3), 7, {"grid", "mapping"}},
    {SINGLES "grid:\n  seed: []\n", L(4), 9, {"seed", "empty"}},
    {SINGLES "grid:\n  seed: [1, 2, 1]\n", L(4), 16, {"seed", "twice"}},
    {SINGLES "grid:\n  prune.ratio: [0.5, .50]\n", L(4), 22, {"prune.ratio", "twice"}},
    {SINGLES "grid:\n  seed: 3..1\n", L(4), 9, {"3..1", "empty"}},
    {SINGLES "grid:\n  seed: 1..3..0\n", L(4), 9, {"1..3..0", ""}},
    {SINGLES "grid:\n  seed: 0..9000000\n", L(4), 9, {"0..9000000", "values"}},
    {SINGLES "grid:\n  seed: -9223372036854775808..9223372036854775807\n", L(4), 9, {"seed", "values"}},
    {SINGLES "grid:\n  seed: 0..99999999999999999999\n", L(4), 9, {"seed", "values"}},
    {SINGLES "grid: {seed: 1}\nprune: {ratio: 0x1p-1}\n", L(4), 16, {"0x1p-1", "number"}},
    {SINGLES "grid: {seed: 1}\n# \xc3\xa9 \xff\n", L(4), 5, {"YAML", "UTF-8"}},
    {SINGLES "grid: {seed: 1}\nfilter: \"seed=='1\"\n", L(4), 9, {"filter", "value"}},
    {SINGLES "grid:\n  seed: -1..1\n", L(4), 9, {"-1", "seed"}},
    {SINGLES "grid:\n  seed: [[1]]\n", L(4), 10, {"seed", "single value"}},
    {SINGLES "grid:\n  seed: {a: 1}\n", L(4), 9, {"seed", "list"}},
    {SINGLES "grid:\n  seed: 0..9999\n  train.epochs: 1..9999\n", L(5), 17, {"grid", "runs"}},
    {SINGLES "grid:\n  prune.ratio: 0..1\n", L(4), 16, {"prune.ratio", "0..1"}},
    {SINGLES "grid:\n  seed: 1\n  seed: 2\n", L(5), 3, {"seed", "twice"}},
    {SINGLES "grid:\n  seed: 1\ngrid:\n  seed: 2\n", L(5), 1, {"grid", "twice"}},
    {SINGLES "grid:\n  concept: [locatoin]\n", L(4), 0, {"concept", ""}},
    {"model: tiny-bert\ngrid:\n  concept: [locatoin]\n", L(3), 13, {"locatoin", "location"}},
    {"concept: location\ngrid:\n  model: [tiny-brt]\n", L(3), 11, {"model", "tiny-brt"}},
    {"concept: location\ngrid:\n  model: [train.conll]\n", L(3), 11, {"model", "train.conll"}},
    {"concept: location\ngrid: {seed: 1}\n", 0, 0, {"model", "missing"}},
    {"model: tiny-bert\ngrid: {seed: 1}\n", 0, 0, {"concept", "missing"}},
    {SINGLES "seed: 3\ngrid:\n  seed: 0..2\n", L(5), 3, {"seed", "axis"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: 3\n", L(4), 10, {"exclude", "list"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: [{}]\n", L(4), 11, {"exclude", "empty"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: [{sede: 1}]\n", L(4), 12, {"sede", "seed"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: [{seed: 7}]\n", L(4), 11, {"exclude", "matches no run"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: [{seed: x}]\n", L(4), 18, {"seed", "x"}},
    {SINGLES "grid: {seed: 0..2}\nexclude: [{seed: [0, 1, 2]}]\n", L(4), 11, {"no run is left", "exclude:"}},
    {SINGLES "grid: {seed: 0..2}\nfilter: seed > 7\n", L(4), 9, {"no run is left", "filter:"}},
    {SINGLES "grid:\n  seed: 0..999\n  train.epochs: 1..1001\n", L(5), 17, {"more than 1000000 runs", ""}},
    {SINGLES "grid: {seed: 0..2}\nfilter: sed==1\n", L(4), 9, {"sed", "seed"}},
    {SINGLES "grid: {seed: 1}\n---\nsweep: t\n", L(4), 1, {"second", "document"}},
    {SINGLES "grid: {seed: [1}\n", L(3), 16, {"YAML", ""}},
    {SINGLES "grid:\n\tseed: 1\n", L(4), 1, {"YAML", ""}},
    {SINGLES "grid: {seed: 1}\n? [a]\n: 3\n", L(4), 3, {"key", ""}},
    {SINGLES "grid: {seed: 1}\ndata: {train: train.conll}\n", L(4), 1, {"data", "twice"}},
};

static void assert_refused(const char *text, const fault *f)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    char place[800];
    const char *path = write_sweep_text(text);
    rl_status status = rl_sweep_read(&sweep, path, NULL, 0, NULL, &err);
    if (status != RL_ERR_INPUT) print_error("accepted:\n%s\n", text);
    snprintf(place, sizeof place, f->column ? "%s:%ld:%ld: " : f->line ? "%s:%ld:" : "%s", path, f->line, f->column);
    assert_fails(status, RL_ERR_INPUT, err, place);
    for (int i = 0; i < 2; i++)
        if (f->says[i]) assert_fails(status, RL_ERR_INPUT, err, f->says[i]);
    assert_null(strchr(err.message, '\n'));
    assert_null(sweep);
}

static void test_every_fault_names_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char text[2000];
        snprintf(text, sizeof text, "%s%s", TOP, faults[i].rest);
        assert_refused(text, &faults[i]);
    }
}

/* Faults in what TOP holds, and in whole files. */
static const struct {
    const char *text;
    fault f;
} whole_faults[] = {
    {"", {.line = 1, .column = 1, .says = {"empty"}}},
    {"# nothing\n", {.line = 1, .column = 1, .says = {"empty"}}},
    {"- a\n", {.line = 1, .column = 1, .says = {"mapping"}}},
    {"just text\n", {.line = 1, .column = 1, .says = {"mapping"}}},
    {"data: {}\n", {.line = 1, .says = {"sweep", "missing"}}},
    {"sweep: [a]\n", {.line = 1, .column = 8, .says = {"sweep"}}},
    {"sweep: a/b\n", {.line = 1, .column = 8, .says = {"a/b", "letters"}}},
    {"sweep: \"\"\n", {.line = 1, .column = 8, .says = {"letters"}}},
    {"sweep: ..\n", {.line = 1, .column = 8, .says = {"letters"}}},
    {"sweep: s\n", {.line = 1, .says = {"concepts", "missing"}}},
    {"sweep: s\nconcepts: {}\n", {.line = 2, .column = 11, .says = {"concept"}}},
    {"sweep: s\nconcepts: {l: {tokens: tokens.txt, label: labels.txt}}\n",
     {.line = 2, .column = 36, .says = {"label", "labels"}}},
    {"sweep: s\nconcepts: {l: {tokens: tokens.txt, labels: labels.txt}}\n",
     {.line = 2, .says = {"positive", "missing"}}},
    {"sweep: s\nconcepts: {l: {tokens: tokens.txt, labels: labels.txt, positive: []}}\n",
     {.line = 2, .column = 66, .says = {"positive", "empty"}}},
    {"sweep: s\nconcepts: {l: {tokens: absent.txt, labels: labels.txt, positive: a}}\n",
     {.line = 2, .column = 24, .says = {"absent.txt"}}},
    {"sweep: s\nconcepts: {l: {tokens: [a], labels: labels.txt, positive: a}}\n",
     {.line = 2, .column = 24, .says = {"tokens"}}},
    {"sweep: s\nconcepts: {all: {ner: LOC}}\n", {.line = 2, .column = 12, .says = {"'all'", "another name"}}},
    {"sweep: s\nconcepts: {\"a,b\": {ner: LOC}}\n", {.line = 2, .column = 12, .says = {"'a,b'", "no name"}}},
    {"sweep: s\nconcepts: {\"a\\nb\": {ner: LOC}}\n", {.line = 2, .column = 12, .says = {"no name", "control characters"}}},
    {"sweep: s\nconcepts: {l: 3}\n", {.line = 2, .column = 15, .says = {"mapping"}}},
};
static const fault data_faults[] = {
    {"data: {train: absent.conll, validation: validation.conll}\n", 2, 15, {"absent.conll", "data.train"}},
    {"data: {train: tiny-bert, validation: validation.conll}\n", 2, 15, {"tiny-bert", "data.train"}},
    {"data: {train: train.conll}\n", 0, 0, {"data.validation", "missing"}},
    {"data: {train: train.conll, validation: validation.conll, format: csv}\n", 2, 66, {"csv", "conll"}},
    {"data: {train: train.conll, validation: validation.conll, limit: -3}\n", 2, 65, {"data.limit", "-3"}},
    {"data: {trian: train.conll, validation: validation.conll}\n", 2, 8, {"trian", "train"}},
};

static void test_faults_of_whole_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof whole_faults / sizeof *whole_faults; i++)
        assert_refused(whole_faults[i].text, &whole_faults[i].f);
    for (size_t i = 0; i < sizeof data_faults / sizeof *data_faults; i++) {
        char text[2000];
        snprintf(text, sizeof text,
                 "sweep: s\n%sconcepts: {location: {tokens: tokens.txt, labels: labels.txt, positive: a}}\n%sgrid: "
                 "{seed: 1}\n",
                 data_faults[i].rest, SINGLES);
        assert_refused(text, &data_faults[i]);
    }
}

static void test_an_absent_file_is_named(void **state)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    (void)state;
    assert_int_not_equal(rl_sweep_read(&sweep, "/no/such/sweep.yaml", NULL, 0, NULL, &err), RL_OK);
    assert_non_null(strstr(err.message, "/no/such/sweep.yaml"));
    assert_int_equal(rl_exit_code(err.status), 2);
}

static void refuse_option(const char *set, const char *filter, const char *says)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    rl_status status = read_with(&sweep, TOP SINGLES "grid: {seed: 0..2}\n", set, filter, &err);
    if (status == RL_OK) print_error("accepted: %s %s\n", set ? set : "", filter ? filter : "");
    assert_int_not_equal(status, RL_OK);
    assert_int_equal(rl_exit_code(status), 2);
    if (!strstr(err.message, says)) print_error("'%s' is not in: %s\n", says, err.message);
    assert_non_null(strstr(err.message, says));
    assert_null(sweep);
}

static void test_faults_in_options_name_the_option(void **state)
{
    (void)state;
    refuse_option("train.epoch=3", NULL, "train.epochs");
    refuse_option("train.epochs=three", NULL, "--set train.epochs=three");
    refuse_option("seed=[1,1]", NULL, "--set seed=[1,1]");
    refuse_option("seed=[", NULL, "--set seed=[");
    refuse_option("seed={a: 1}", NULL, "--set seed={a: 1}");
    refuse_option("seed=", NULL, "--set seed=");
    refuse_option("seed", NULL, "--set seed");
    refuse_option("=3", NULL, "--set =3");
    refuse_option("model=absent", NULL, "absent");
    refuse_option("seed=3..1", NULL, "--set seed=3..1");
    refuse_option(NULL, "sed==1", "seed");
    refuse_option(NULL, "seed==x", "x");
    refuse_option(NULL, "seed~1", "seed~1");
    refuse_option(NULL, "seed==", "seed");
    refuse_option(NULL, "", "filter");
    refuse_option(NULL, "seed==99", "seed==99");
    refuse_option(NULL, "model<x", "model");
    refuse_option(NULL, "prune.select==rnadom", "random");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_designs_file_is_read),
        cmocka_unit_test(test_every_fault_names_its_place),
        cmocka_unit_test(test_faults_of_whole_files),
        cmocka_unit_test(test_an_absent_file_is_named),
        cmocka_unit_test(test_faults_in_options_name_the_option),
    };
    return cmocka_run_group_tests(tests, make_world, NULL);
}
