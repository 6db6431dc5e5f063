/* What a run says beyond its chain: the concept's own F1, curves on a grid, other concepts, layers, finders, causes, and the
 * arm that never saw the concept. On the tiny world, whose locations are entities of type LOC.
 * LABELS: unit */
#include "cycle_support.h"

#include <math.h>

static support_world world;
static rl_concept_settings concepts[2];

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "readings");
    concepts[0] = (rl_concept_settings){.name = "location",
                                        .kind = RL_CONCEPT_LABELS,
                                        .tokens = world.tokens,
                                        .labels = world.labels,
                                        .positives = {"SEM:named_entity:location"},
                                        .num_positives = 1,
                                        .types = {"LOC"},
                                        .num_types = 1};
    concepts[1] = (rl_concept_settings){
        .name = "people", .kind = RL_CONCEPT_NER, .positives = {"PER"}, .num_positives = 1, .types = {"PER"}, .num_types = 1};
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

static rl_run_settings settings_of(int concept)
{
    rl_run_settings s = settings_in(&world);
    s.concept = concepts[concept];
    s.concepts = concepts;
    s.num_concepts = 2;
    s.train.epochs = 2;
    s.cka_words = 60;
    return s;
}

static rl_run_result *run(const char *name, const rl_run_settings *settings)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_result *result = NULL;
    int32_t n = 0;
    char directory[4096];
    rl_stage *stages = stages_of(&n, settings);
    snprintf(directory, sizeof directory, "%s/%s", world.folder, name);
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    assert_ok(rl_cycle_check_inputs(cycle, settings, &err), err);
    for (int32_t i = 0; i < n; i++) assert_ok(rl_stage_execute(cycle, &stages[i], &err), err);
    assert_ok(rl_cycle_collect(&result, cycle, stages, n, &err), err);
    rl_cycle_free(cycle);
    rl_free(stages);
    return result;
}

static void test_the_concept_has_an_F1_of_its_own(void **state)
{
    rl_run_settings settings = settings_of(0);
    (void)state;
    settings.evaluate_every = 3;
    rl_run_result *r = run("curve", &settings);
    const rl_stage_result *base = &r->stages[0], *pruned = &r->stages[1], *back = &r->stages[2];
    int loc = -1;
    for (int t = 0; t < base->num_types; t++)
        if (!strcmp(base->types[t], "LOC")) loc = t;
    assert_true(loc >= 0);
    assert_close(base->concept.f1, base->by_type[loc].f1, 0, 1e-12);
    assert_int_equal(base->concept.support + base->others.support, base->word.support);
    assert_int_equal(base->num_points, 2); /* 60 sentences, 8 a step: epochs end after 8 and 16 */
    assert_close(base->point_step[1], 16, 0, 0);
    assert_close(pruned->point_step[0], 0, 0, 0);
    assert_close(pruned->point_f1[0], pruned->word.f1, 0, 0);
    assert_int_equal(back->num_points, 3); /* 3, 6 and the end, 8 */
    assert_close(back->point_step[0], 3, 0, 0);
    assert_close(back->point_step[2], 8, 0, 0);
    assert_close(back->point_f1[2], back->word.f1, 0, 0);
    assert_close(back->point_concept_f1[2], back->concept.f1, 0, 0);
    assert_true(isnan(base->point_recovered[0]));
    assert_close(pruned->point_recovered[0], 0, 0, 0);
    assert_close(back->point_recovered[2], rl_recovered_fraction(back->word.f1, base->word.f1, pruned->word.f1), 0, 0);
    rl_run_result_free(r);
}

static void test_layers_finders_and_causes(void **state)
{
    rl_run_settings settings = settings_of(0);
    (void)state;
    settings.causal = true;
    settings.prune.ratio = 0.25;
    rl_run_result *r = run("causes", &settings);
    const rl_stage_result *base = &r->stages[0], *back = &r->stages[2];
    double sum = 0;
    for (int l = 0; l < 3; l++) {
        assert_close(base->cka[l], 1, 0, 0);
        assert_true(back->cka[l] < 1 && back->cka[l] > -0.5);
        sum += back->saliency_share[l];
    }
    assert_close(sum, 1, 0, 1e-12);
    assert_true(base->saliency_entropy > 0 && base->saliency_entropy <= 1);
    assert_true(base->saliency_centre > 0 && base->saliency_centre < 2);
    assert_true(isnan(base->neurons->spearman[RL_RANK_PROBELESS]));
    assert_true(base->neurons->spearman[RL_RANK_MEAN_SELECT] > 0); /* both by the difference of means */
    assert_close(base->causal_count[RL_CAUSAL_PRUNED], 12, 0, 0);
    assert_true(base->causal_concept_drop[RL_CAUSAL_PRUNED] > 0);
    assert_true(!isnan(base->causal_other_drop[RL_CAUSAL_NEWLY_SALIENT]));
    assert_true(isnan(r->stages[1].causal_count[0]) && back->causal_count[RL_CAUSAL_RANDOM_MATCHED] > 0);
    rl_run_result_free(r);
}

/* location's run that follows people has, for people, the keys and numbers of people's own run where they share a model. */
static void test_other_concepts_are_followed(void **state)
{
    rl_run_settings own = settings_of(1), follower = settings_of(0);
    int32_t n = 0, m = 0;
    (void)state;
    follower.also = 3; /* both: its own is left out */
    rl_stage *a = stages_of(&n, &own), *b = stages_of(&m, &follower);
    assert_int_equal(n, 6);
    assert_int_equal(m, 6 + 3);
    assert_string_equal(a[1].key, b[6].key);
    assert_string_not_equal(a[2].key, b[2].key);
    rl_free(a);
    rl_free(b);
    rl_run_result *r = run("others", &follower), *p = run("others", &own);
    assert_int_equal(r->num_also, 1);
    assert_string_equal(r->also[0], "people");
    assert_memory_equal(r->stages[0].also[0]->score, p->stages[0].neurons->score, 48 * sizeof(double));
    assert_close(r->stages[2].others.f1, r->stages[2].others.f1, 0, 0);
    rl_run_result_free(r);
    rl_run_result_free(p);
}

static void test_never_learned_has_not_seen_the_concept(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = settings_of(1), twin = settings;
    rl_corpus *train = NULL;
    (void)state;
    settings.arm = twin.arm = RL_ARM_NEVER_LEARNED;
    twin.prune.ratio = 0.1; /* nothing is pruned: the same run */
    twin.prune.permanent = true;
    int32_t n = 0, m = 0;
    rl_stage *a = stages_of(&n, &settings), *b = stages_of(&m, &twin);
    for (int32_t i = 0; i < n; i++) assert_string_equal(a[i].key, b[i].key);
    rl_free(a);
    rl_free(b);
    /* every sentence of the tiny world has a person: nothing would be left */
    assert_ok(rl_conll_read(&train, world.train, NULL, 0, &err), err);
    assert_fails(rl_cycle_drop_concept(train, &concepts[1], &err), RL_ERR_INPUT, err, "never_learned has nothing to learn from");
    rl_corpus_free(train);
    /* firms are in every third sentence alone */
    settings.concept.name = "firms";
    settings.concept.positives[0] = settings.concept.types[0] = "ORG";
    assert_ok(rl_conll_read(&train, world.train, NULL, 0, &err), err);
    int64_t before = train->num_sentences;
    assert_ok(rl_cycle_drop_concept(train, &settings.concept, &err), err);
    assert_int_equal(train->num_sentences, before - 20);
    for (int64_t w = 0; w < train->num_words; w++)
        assert_null(strstr(rl_names_get(train->labels, train->label[w]), "ORG"));
    rl_corpus_free(train);
    rl_run_result *r = run("never", &settings);
    assert_int_equal(r->num_pruned, 0);
    assert_true(isnan(r->half_life) && isnan(r->half_life_censored)); /* nothing was lost */
    assert_close(r->stages[0].concept.f1, 0, 0, 0); /* it has never seen one */
    assert_true(r->stages[0].others.f1 > 0);
    assert_true(r->stages[1].word.f1 == r->stages[0].word.f1);
    assert_int_equal(r->stages[0].log.num_steps, 2 * 5); /* 40 sentences */
    assert_int_equal(r->stages[2].log.num_steps, 8);     /* all 60 */
    rl_run_result_free(r);
}

/* The last byte of the first number in a file becomes another digit: still good JSON, other contents. */
static void falsify(const char *directory, const char *key, const char *name)
{
    char path[4096], text[65536];
    snprintf(path, sizeof path, "%s/stages/%s/%s", directory, key, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text, file), at = strcspn(text, "123456789");
    assert_true(at < n);
    text[at] = text[at] == '9' ? '1' : (char)(text[at] + 1);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(text[at], file), text[at]);
    assert_int_equal(fclose(file), 0);
}

/* What one process keeps between stages (the base's word states, scores that training left) changes no bit: a run whose every stage
 * has a process of its own gives the same, and the scores are what measuring gives. */
static void test_nothing_depends_on_what_a_process_has_seen(void **state)
{
    rl_error err = {0};
    rl_run_settings settings = settings_of(0);
    rl_run_result *together = run("together", &settings), *apart = NULL;
    rl_evaluation measured = {0};
    rl_cycle *cycle = NULL;
    rl_model *model = NULL;
    rl_inputs const *in = NULL;
    char directory[4096], folder[8192];
    int32_t n = 0;
    rl_stage *stages = stages_of(&n, &settings);
    (void)state;
    snprintf(directory, sizeof directory, "%s/apart", world.folder);
    for (int32_t i = 0; i < n; i++) {
        rl_cycle_free(cycle);
        assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
        assert_ok(rl_stage_execute(cycle, &stages[i], &err), err);
    }
    assert_ok(rl_cycle_collect(&apart, cycle, stages, n, &err), err);
    for (int s = 0; s < apart->num_stages; s++) {
        assert_memory_equal(apart->stages[s].cka, together->stages[s].cka, 3 * sizeof(double));
        assert_memory_equal(apart->stages[s].neurons->score, together->stages[s].neurons->score, 48 * sizeof(double));
        assert_close(apart->stages[s].word.f1, together->stages[s].word.f1, 0, 0);
    }
    assert_true(apart->stages[1].cka[2] < 0.999 && apart->stages[2].cka[2] < 1);
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, stages[4].key); /* retrained: its analysis copied the scores */
    assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
    assert_ok(rl_cycle_inputs(&in, cycle, &settings, &err), err);
    assert_ok(rl_evaluate(&measured, model, in->validation, in->validation_encoded, &err), err);
    assert_close(apart->stages[2].word.f1, measured.word->overall.f1, 0, 0);
    assert_close(apart->stages[2].loss, measured.loss, 0, 0);
    rl_evaluation_clear(&measured);
    rl_model_free(model);
    rl_run_result_free(together);
    rl_run_result_free(apart);
    rl_cycle_free(cycle);
    rl_free(stages);
}

/* Nothing is taken from a stage whose files are not what its record lists. */
static void test_what_is_read_is_checked_first(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_result *result = NULL;
    rl_run_settings settings = settings_of(0);
    int32_t n = 0;
    char directory[4096], folder[8192];
    (void)state;
    settings.causal = true;
    settings.prune.ratio = 0.25;
    settings.also = 2;
    rl_run_result_free(run("checked", &settings));
    rl_stage *stages = stages_of(&n, &settings);
    snprintf(directory, sizeof directory, "%s/checked", world.folder);
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    falsify(directory, stages[8].key, "evaluation.json"); /* 6, 7: causes; 8: the base seen with the other concept */
    assert_fails(rl_cycle_collect(&result, cycle, stages, n, &err), RL_ERR_INPUT, err, "evaluation.json: is damaged");
    falsify(directory, stages[6].key, "causal.json");
    assert_fails(rl_cycle_collect(&result, cycle, stages, n, &err), RL_ERR_INPUT, err, "causal.json: is damaged");
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, stages[8].key);
    assert_ok(rl_remove_tree(folder, &err), err);
    falsify(directory, stages[1].key, "evaluation.json"); /* which the other concept's copies */
    assert_fails(rl_stage_execute(cycle, &stages[8], &err), RL_ERR_INPUT, err, "evaluation.json: is damaged");
    rl_cycle_free(cycle);
    rl_free(stages);
}

/* The better a removal worked the less there is to rank by: that is a result, not a failure. */
static void test_a_removal_of_everything_is_no_failure_of_a_finder(void **state)
{
    static const rl_rank_method methods[] = {RL_RANK_ABLATION, RL_RANK_LINEAR_PROBE};
    rl_run_settings settings = settings_of(0);
    (void)state;
    settings.prune.ratio = 1;
    settings.prune.permanent = settings.prune.zero_beta = true;
    for (int m = 0; m < 2; m++) {
        settings.rank_method = methods[m];
        rl_run_result *r = run("all-gone", &settings);
        const rl_neuron_table *base = r->stages[0].neurons, *pruned = r->stages[1].neurons;
        assert_true(r->stages[0].concept.f1 > 0 && !isnan(base->saliency[7]));
        assert_close(r->stages[1].concept.f1, 0, 0, 0);
        for (int n = 0; n < 48; n++) assert_true(isnan(pruned->saliency[n]) && pruned->score[n] == 0);
        rl_run_result_free(r);
    }
}

static void test_units_that_no_layer_has_are_refused(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_settings settings = settings_of(0);
    (void)state;
    assert_ok(rl_cycle_create(&cycle, NULL, NULL, &err), err);
    settings.prune_layers = 1; /* the embeddings */
    assert_ok(rl_cycle_check_model(cycle, &settings, &err), err);
    settings.prune_site = RL_SITE_FFN_UNIT;
    assert_fails(rl_cycle_check_model(cycle, &settings, &err), RL_ERR_INPUT, err, "no FFN units; expected some of 1 to 2");
    settings.prune_layers = 3;
    assert_ok(rl_cycle_check_model(cycle, &settings, &err), err);
    rl_cycle_free(cycle);
}

static void test_a_type_the_task_does_not_have_is_named(void **state)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_settings settings = settings_of(0);
    (void)state;
    settings.concept.types[0] = "LOK";
    assert_ok(rl_cycle_create(&cycle, NULL, NULL, &err), err);
    assert_fails(rl_cycle_check_data(cycle, &settings, &err), RL_ERR_INPUT, err, "no entity of type 'LOK'; its types are PER, ORG, LOC; did you mean 'LOC'?");
    settings = settings_of(0);
    settings.prune_layers = 1 << 5;
    assert_fails(rl_cycle_check_model(cycle, &settings, &err), RL_ERR_INPUT, err, "it has 0 to 2");
    rl_cycle_free(cycle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_concept_has_an_F1_of_its_own), cmocka_unit_test(test_layers_finders_and_causes),
        cmocka_unit_test(test_other_concepts_are_followed),      cmocka_unit_test(test_never_learned_has_not_seen_the_concept),
        cmocka_unit_test(test_a_type_the_task_does_not_have_is_named),
        cmocka_unit_test(test_nothing_depends_on_what_a_process_has_seen),
        cmocka_unit_test(test_what_is_read_is_checked_first),     cmocka_unit_test(test_units_that_no_layer_has_are_refused),
        cmocka_unit_test(test_a_removal_of_everything_is_no_failure_of_a_finder),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
