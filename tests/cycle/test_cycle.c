/* One run on a tiny world: keys, sharing, the five stages' outputs, the same bits twice, and resuming after a stop.
 * LABELS: unit */
#include "cycle_support.h"

static support_world world;

static rl_run_settings tiny_settings(void)
{
    rl_run_settings s = settings_in(&world);
    s.test_file = world.test;
    s.train.epochs = 2;
    s.retrain_rounds = 2;
    return s;
}

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "world");
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

static int num_equal_keys(const rl_run_settings *a, const rl_run_settings *b)
{
    rl_stage *x = NULL, *y = NULL;
    int32_t n = 0, m = 0;
    int equal = 0;
    x = stages_of(&n, a);
    y = stages_of(&m, b);
    for (int32_t i = 0; i < n && i < m; i++) equal += !strcmp(x[i].key, y[i].key);
    rl_free(x);
    rl_free(y);
    return equal;
}

/* 8 stages: finetune, identify, prune, analyse 0, then retrain and analyse twice. */
static void test_keys_are_shared_exactly_where_bits_are(void **state)
{
    rl_run_settings a = tiny_settings(), b = a;
    (void)state;
    assert_int_equal(num_equal_keys(&a, &b), 8);
    b = a, b.seed = 2;
    assert_int_equal(num_equal_keys(&a, &b), 0);
    b = a, b.train.learning_rate = 1e-3;
    assert_int_equal(num_equal_keys(&a, &b), 0);
    b = a, b.prune.ratio = 0.3; /* fine-tuning and identification stay */
    assert_int_equal(num_equal_keys(&a, &b), 2);
    b = a, b.prune.permanent = true;
    assert_int_equal(num_equal_keys(&a, &b), 2);
    b = a, b.top_words = 3; /* the ranking's stage changes, and what is pruned by it hangs on its key */
    assert_int_equal(num_equal_keys(&a, &b), 1);
    b = a, b.retrain_epochs = 2;
    assert_int_equal(num_equal_keys(&a, &b), 4);
    b = a, b.test_file = NULL;
    assert_int_equal(num_equal_keys(&a, &b), 1);
    support_write(world.test, "oslo B-LOC\n\n");
    b = a; /* same path, other content: another key */
    rl_stage *x = NULL, *y = NULL;
    int32_t n = 0;
    x = stages_of(&n, &a);
    support_write(world.test, "oslo O\n\n");
    y = stages_of(&n, &b);
    assert_string_equal(x[0].key, y[0].key);
    assert_string_not_equal(x[1].key, y[1].key);
    rl_free(x);
    rl_free(y);
    support_make_world(&world, "world");
}

/* The causal check looks at the base and, where anything was retrained, at the last model: never twice at the same. Nothing else changes. */
static void test_causes_are_checked_before_and_after_retraining(void **state)
{
    static const int32_t rounds[] = {0, 1, 2}, checks[] = {1, 2, 2};
    (void)state;
    for (int i = 0; i < 3; i++) {
        rl_run_settings plain = tiny_settings(), asked = plain;
        int32_t without = 0, with = 0;
        plain.retrain_rounds = asked.retrain_rounds = rounds[i];
        asked.causal = true;
        rl_stage *a = stages_of(&without, &plain), *b = stages_of(&with, &asked);
        assert_int_equal(with - without, checks[i]);
        for (int32_t k = 0; k < without; k++) assert_string_equal(a[k].key, b[k].key);
        for (int32_t k = without; k < with; k++) {
            assert_int_equal(b[k].kind, RL_STAGE_CAUSAL);
            assert_int_equal(b[k].round, k == without ? 0 : rounds[i]);
        }
        rl_free(a);
        rl_free(b);
        asked.prune.select = RL_SELECT_NONE; /* nothing was pruned: nothing to check */
        rl_free(stages_of(&with, &asked));
        plain.prune.select = RL_SELECT_NONE;
        rl_free(stages_of(&without, &plain));
        assert_int_equal(with, without);
    }
}

/* Penalties are part of the probe's keys alone, and not where they are those that were used before there was a choice. */
static void test_the_probes_penalties_are_in_its_keys(void **state)
{
    rl_run_settings a = tiny_settings(), b = a;
    const rl_probe_settings usual = rl_probe_defaults();
    (void)state;
    b.lambda1 = 0.01;
    assert_int_equal(num_equal_keys(&a, &b), 8); /* probeless has none */
    a.rank_method = b.rank_method = RL_RANK_LINEAR_PROBE;
    assert_int_equal(num_equal_keys(&a, &b), 1);
    b = a, b.lambda2 = 0.5;
    assert_int_equal(num_equal_keys(&a, &b), 1);
    b = a, b.lambda1 = usual.lambda1, b.lambda2 = usual.lambda2;
    assert_int_equal(num_equal_keys(&a, &b), 8);
}

static void run_all(const char *directory, const rl_run_settings *settings, const rl_cycle_hooks *hooks, rl_run_result **result)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_stage *stages = NULL;
    int32_t n = 0;
    stages = stages_of(&n, settings);
    assert_int_equal(n, 8);
    assert_ok(rl_cycle_create(&cycle, directory, hooks, &err), err);
    for (int32_t i = 0; i < n; i++) {
        rl_status status;
        do status = rl_stage_execute(cycle, &stages[i], &err); /* a stopped stage is started again until it is done */
        while (status == RL_ERR_STOPPED);
        assert_ok(status, err);
        assert_true(rl_stage_is_complete(directory, stages[i].key));
    }
    assert_ok(rl_cycle_collect(result, cycle, stages, n, &err), err);
    rl_cycle_free(cycle);
    rl_free(stages);
}

static void assert_same_result(const rl_run_result *a, const rl_run_result *b)
{
    assert_int_equal(a->num_stages, b->num_stages);
    for (int32_t s = 0; s < a->num_stages; s++) {
        const rl_stage_result *x = &a->stages[s], *y = &b->stages[s];
        const int64_t N = x->neurons->num_neurons;
        assert_memory_equal(&x->word, &y->word, sizeof x->word);
        assert_memory_equal(&x->loss, &y->loss, sizeof x->loss);
        assert_memory_equal(x->neurons->score, y->neurons->score, (size_t)N * sizeof(double));
        assert_memory_equal(x->neurons->top_word, y->neurons->top_word, (size_t)(N * x->neurons->top_k) * sizeof(int32_t));
        assert_int_equal(x->log.num_steps, y->log.num_steps);
        for (int64_t i = 0; i < x->log.num_steps; i++) {
            assert_true(x->log.steps[i].loss == y->log.steps[i].loss);
            assert_true(x->log.steps[i].grad_norm == y->log.steps[i].grad_norm);
        }
        assert_int_equal(x->num_epochs, y->num_epochs);
        for (int64_t e = 0; e < x->num_epochs; e++) assert_true(x->epoch_word_f1[e] == y->epoch_word_f1[e]);
    }
}

static const char *fresh(const char *name)
{
    static char path[4][4096];
    static int next;
    rl_error err = {0};
    char *out = path[next++ % 4];
    snprintf(out, 4096, "%s/%s", world.folder, name);
    assert_ok(rl_remove_tree(out, &err), err);
    return out;
}

static void test_a_run_learns_is_pruned_and_relearns(void **state)
{
    rl_run_settings settings = tiny_settings();
    rl_run_result *r = NULL;
    settings.prune.permanent = true;
    (void)state;
    run_all(fresh("dir-a"), &settings, NULL, &r);
    assert_int_equal(r->num_stages, 4);
    assert_string_equal(r->stages[0].name, "base");
    assert_string_equal(r->stages[1].name, "pruned");
    assert_string_equal(r->stages[3].name, "retrained_2");
    assert_int_equal(r->num_pruned, 24); /* half of 3 x 16 */
    assert_int_equal(r->stages[0].log.num_steps, 16);
    assert_int_equal(r->stages[1].log.num_steps, 0);
    assert_int_equal(r->stages[2].log.num_steps, 8);
    assert_int_equal(r->stages[0].num_epochs, 2);
    assert_true(r->stages[0].word.f1 > 0.9); /* the toy grammar is learnable */
    assert_true(r->stages[1].word.f1 < r->stages[0].word.f1);
    for (int32_t s = 1; s < 4; s++)          /* permanent: a pruned channel stays constant, in every later stage */
        for (int64_t i = 0; i < r->num_pruned; i++) {
            assert_close(r->stages[s].neurons->sd[r->pruned[i]], 0, 0, 1e-6);
            assert_int_equal(r->stages[s].neurons->null[r->pruned[i]], 1);
        }
    rl_run_result_free(r);
}

typedef struct stopper {
    int steps_left, every;
} stopper;
static bool stop_now(void *context)
{
    stopper *s = context;
    if (--s->steps_left > 0) return false;
    s->steps_left = s->every;
    return true;
}

static void test_stops_change_no_bit(void **state)
{
    rl_run_settings settings = tiny_settings();
    rl_run_result *whole = NULL, *stopped = NULL;
    stopper s = {5, 5};
    const rl_cycle_hooks hooks = {.context = &s, .should_stop = stop_now};
    (void)state;
    run_all(fresh("dir-whole"), &settings, NULL, &whole);
    run_all(fresh("dir-stopped"), &settings, &hooks, &stopped);
    assert_same_result(whole, stopped);
    rl_run_result_free(whole);
    rl_run_result_free(stopped);
}

/* A worker that outlives its coordinator: while it trains, a second start takes over and does half of the stage. What the first writes after
 * that must not land in the second's folder, and it must not publish the stage; the second goes on as if it were alone. */
typedef struct outliving {
    const char *directory;
    const rl_stage *stage;
    bool taken;
} outliving;

static void make_half_by_a_second_start(void *context, const rl_stage *stage, const rl_step_record *record, int64_t total_steps)
{
    outliving *o = context;
    rl_error err = {0};
    stopper s = {3, 1000};
    const rl_cycle_hooks hooks = {.context = &s, .should_stop = stop_now};
    rl_cycle *second = NULL;
    (void)stage, (void)total_steps;
    if (o->taken || record->step < 2) return;
    o->taken = true;
    assert_ok(rl_cycle_create(&second, o->directory, &hooks, &err), err);
    assert_ok(rl_stages_take_over(o->directory, "second", &err), err);
    rl_cycle_set_start(second, "second");
    assert_int_equal(rl_stage_execute(second, o->stage, &err), RL_ERR_STOPPED);
    rl_cycle_free(second);
}

static void test_who_outlives_his_start_is_shut_out(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = tiny_settings();
    int32_t n = 0;
    rl_stage *stages = stages_of(&n, &settings);
    const char *directory = fresh("dir-outlived");
    outliving o = {directory, &stages[0], false};
    const rl_cycle_hooks hooks = {.context = &o, .on_step = make_half_by_a_second_start};
    rl_cycle *first = NULL, *second = NULL;
    char checkpoint[2 * 4096], before[RL_DIGEST_HEX], after[RL_DIGEST_HEX];
    (void)state;
    assert_ok(rl_cycle_create(&first, directory, &hooks, &err), err);
    assert_ok(rl_stages_take_over(directory, "first", &err), err); /* there is nothing yet, not even the folder */
    rl_cycle_set_start(first, "first");
    snprintf(checkpoint, sizeof checkpoint, "%s/stages/%s.second.work/checkpoint", directory, stages[0].key);
    assert_int_equal(rl_stage_execute(first, &stages[0], &err), RL_ERR_IO);
    assert_true(o.taken);
    assert_false(rl_stage_is_complete(directory, stages[0].key));
    assert_ok(rl_hash_file(checkpoint, before, &err), err);
    assert_int_equal(rl_stage_execute(first, &stages[0], &err), RL_OK); /* all of it again, aside: the same bytes, whoever is first */
    assert_ok(rl_hash_file(checkpoint, after, &err), err);
    assert_string_equal(before, after);
    assert_ok(rl_cycle_create(&second, directory, NULL, &err), err);
    rl_cycle_set_start(second, "third");
    assert_ok(rl_stages_take_over(directory, "third", &err), err);
    assert_ok(rl_stage_execute(second, &stages[0], &err), err);
    rl_cycle_free(first);
    rl_cycle_free(second);
    rl_free(stages);
}

/* A kill after the record and before the rename: the work folder is published as it is, not made again. */
static void test_a_finished_work_folder_is_published(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = tiny_settings();
    rl_stage *stages = NULL;
    int32_t n = 0;
    rl_cycle *cycle = NULL;
    char folder[2 * 4096], work[4096 + 64];
    const char *directory = fresh("dir-publish");
    (void)state;
    stages = stages_of(&n, &settings);
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    assert_ok(rl_stage_execute(cycle, &stages[0], &err), err);
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, stages[0].key);
    snprintf(work, sizeof work, "%.4096s.work", folder);
    assert_int_equal(rename(folder, work), 0);
    snprintf(folder, sizeof folder, "%s/checkpoint", work);
    support_write(folder, "left over");
    snprintf(folder, sizeof folder, "%s/marked", work); /* a folder made anew would not have it */
    support_write(folder, "marked\n");
    assert_ok(rl_stage_execute(cycle, &stages[0], &err), err);
    snprintf(folder, sizeof folder, "%s/stages/%s/marked", directory, stages[0].key);
    rl_file_view view = {0};
    assert_ok(rl_file_view_open(&view, folder, &err), err);
    assert_int_equal(view.size, 7);
    rl_file_view_close(&view);
    snprintf(folder, sizeof folder, "%s/stages/%s/checkpoint", directory, stages[0].key);
    assert_false(rl_path_exists(folder));
    rl_cycle_free(cycle);
    rl_free(stages);
}

/* Fails while `file` is not what the keys were made of, and then does not. */
static void expect_change_noticed(rl_cycle *cycle, const rl_stage *stage, const char *file)
{
    rl_error err = {0};
    rl_file_view before = {0};
    char part[1024];
    assert_ok(rl_file_view_open(&before, file, &err), err);
    char *was = rl_format(&err, "%.*s", (int)before.size, before.data), *is = rl_format(&err, "%s\n", was);
    rl_file_view_close(&before);
    support_write(file, is);
    snprintf(part, sizeof part, "%.*s", (int)(strstr(file, "/config.json") ? strlen(file) - strlen("/config.json") : strlen(file)), file);
    assert_fails(rl_stage_execute(cycle, stage, &err), RL_ERR_INPUT, err, part);
    assert_non_null(strstr(err.message, "has changed since"));
    support_write(file, was);
    rl_free(was);
    rl_free(is);
}

/* An editor's save in the middle of a sweep: a stage goes by the key of what was planned, and may be of nothing else. */
static void test_an_input_that_changes_after_planning_is_noticed(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = tiny_settings();
    rl_stage *stages = NULL;
    int32_t n = 0;
    rl_contents *contents = NULL;
    rl_cycle *cycle = NULL;
    rl_workload workload;
    char config[700];
    (void)state;
    snprintf(config, sizeof config, "%s/config.json", world.model);
    assert_ok(rl_contents_create(&contents, &err), err);
    assert_ok(rl_cycle_stages(&stages, &n, &settings, contents, &err), err);
    assert_ok(rl_cycle_create(&cycle, fresh("dir-changing"), NULL, &err), err);
    rl_cycle_keep_contents(cycle, contents);
    expect_change_noticed(cycle, &stages[0], world.train);
    expect_change_noticed(cycle, &stages[0], world.validation);
    expect_change_noticed(cycle, &stages[0], world.test);
    assert_ok(rl_cycle_workload(&workload, cycle, &settings, &err), err); /* the data are read, and kept */
    expect_change_noticed(cycle, &stages[0], config);
    assert_ok(rl_stage_execute(cycle, &stages[0], &err), err);
    expect_change_noticed(cycle, &stages[1], world.tokens);
    expect_change_noticed(cycle, &stages[1], world.labels);
    expect_change_noticed(cycle, &stages[1], config); /* its embeddings are the words' vectors */
    assert_ok(rl_stage_execute(cycle, &stages[1], &err), err);
    rl_model_config_free(&workload.config);
    rl_cycle_free(cycle);
    rl_free(stages);
}

static void test_controls_prune_what_they_say(void **state)
{
    rl_run_settings settings = tiny_settings();
    rl_run_result *none = NULL, *random = NULL;
    (void)state;
    settings.retrain_rounds = 2;
    settings.prune.select = RL_SELECT_NONE;
    run_all(fresh("dir-none"), &settings, NULL, &none);
    assert_int_equal(none->num_pruned, 0);
    assert_true(none->stages[1].word.f1 == none->stages[0].word.f1);
    settings.prune.select = RL_SELECT_RANDOM;
    run_all(fresh("dir-none"), &settings, NULL, &random); /* shares the base with the run before */
    assert_int_equal(random->num_pruned, 24);
    rl_run_result_free(none);
    rl_run_result_free(random);
}

static void test_inputs_that_do_not_fit_are_refused_before_computing(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = tiny_settings();
    rl_cycle *cycle = NULL;
    (void)state;
    assert_ok(rl_cycle_create(&cycle, fresh("dir-x"), NULL, &err), err);
    assert_ok(rl_cycle_check_inputs(cycle, &settings, &err), err);
    settings.model = world.broken_model;
    assert_ok(rl_cycle_check_data(cycle, &settings, &err), err);
    assert_fails(rl_cycle_check_model(cycle, &settings, &err), RL_ERR_INPUT, err, "broken-bert/config.json:1:");
    settings = tiny_settings();
    settings.concept.positives[0] = "SEM:named_entity:locaton";
    assert_fails(rl_cycle_check_data(cycle, &settings, &err), RL_ERR_INPUT, err, "SEM:named_entity:location");
    rl_cycle_free(cycle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_shared_exactly_where_bits_are),
        cmocka_unit_test(test_causes_are_checked_before_and_after_retraining),
        cmocka_unit_test(test_the_probes_penalties_are_in_its_keys),
        cmocka_unit_test(test_a_run_learns_is_pruned_and_relearns),
        cmocka_unit_test(test_stops_change_no_bit),
        cmocka_unit_test(test_who_outlives_his_start_is_shut_out),
        cmocka_unit_test(test_a_finished_work_folder_is_published),
        cmocka_unit_test(test_an_input_that_changes_after_planning_is_noticed),
        cmocka_unit_test(test_controls_prune_what_they_say),
        cmocka_unit_test(test_inputs_that_do_not_fit_are_refused_before_computing),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
