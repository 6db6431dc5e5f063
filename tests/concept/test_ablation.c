/* Zeroing neurons: F1 as rl_evaluate gives it through the model's masks; the ablation finder against zeroing every neuron by
 * itself; what the causal check draws. A small random model scored against its own predictions, so that F1 starts at 1 and
 * every neuron that matters lowers it. LABELS: unit */
#include "concept_support.h"

enum { C = 8, STATES = 3, N = STATES * C, SENTENCES = 12, WORDS = 8 };

typedef struct fixture {
    rl_model *model;
    rl_corpus corpus;
    rl_encoded data;
    int64_t start[SENTENCES + 1], word[SENTENCES * WORDS];
    int32_t ids[SENTENCES * WORDS], labels[SENTENCES * WORDS], gold[SENTENCES * WORDS];
    rl_ablation_task task;
} fixture;

static void set_up(fixture *f, const char *type)
{
    rl_error err = {0};
    int32_t predicted[SENTENCES * WORDS];
    memset(f, 0, sizeof *f);
    f->model = tiny_protocol_model(type);
    for (int s = 0; s <= SENTENCES; s++) f->start[s] = s * WORDS;
    for (int t = 0; t < SENTENCES * WORDS; t++) f->word[t] = t, f->ids[t] = 1 + (t * t * 7 + t / WORDS) % 15;
    f->data = (rl_encoded){SENTENCES, SENTENCES * WORDS, SENTENCES * WORDS, WORDS, f->start, f->ids, f->labels, f->word};
    f->corpus = (rl_corpus){.num_sentences = SENTENCES,
                            .num_words = SENTENCES * WORDS,
                            .sentence_start = f->start,
                            .label = f->gold,
                            .labels = f->model->config.labels};
    assert_ok(rl_predict(f->model, &f->data, predicted, NULL, &err), err);
    memcpy(f->gold, predicted, sizeof predicted);
    memcpy(f->labels, predicted, sizeof predicted);
    f->task = (rl_ablation_task){.corpus = &f->corpus, .data = &f->data};
}

/* F1 of the same units by the model's own masks. */
static rl_concept_f1 by_masks(const fixture *f, const int32_t *ids, int64_t count)
{
    rl_unit units[N];
    rl_model_masks *masks = NULL;
    rl_evaluation evaluation = {0};
    rl_error err = {0};
    for (int64_t i = 0; i < count; i++) units[i] = (rl_unit){RL_UNIT_HIDDEN, ids[i] / C, ids[i] % C};
    assert_ok(rl_model_view_masks(&masks, f->model, units, count, &err), err);
    const rl_model view = rl_model_view(f->model, masks);
    assert_ok(rl_evaluate(&evaluation, &view, &f->corpus, &f->data, &err), err);
    rl_concept_f1 f1 = rl_concept_f1_of(evaluation.word, f->task.types, f->task.num_types);
    rl_evaluation_clear(&evaluation);
    rl_model_masks_free(masks);
    return f1;
}

/* The type that is predicted most, so that there is something to lose. */
static const char *common_type(const fixture *f)
{
    static const char *const types[] = {"PER", "ORG", "LOC", "MISC"};
    int count[4] = {0}, best = 0;
    for (int t = 0; t < SENTENCES * WORDS; t++)
        if (f->gold[t] > 0) count[(f->gold[t] - 1) / 2]++;
    for (int k = 1; k < 4; k++)
        if (count[k] > count[best]) best = k;
    assert_true(count[best] > 0);
    return types[best];
}

static void check_zeroing(const char *type)
{
    static const int32_t sets[][4] = {{0, 1, 2, 3}, {9, 10, 11, 15}, {16, 17, 20, 23}, {1, 8, 9, 22}};
    fixture f;
    const char *concept;
    rl_concept_f1 f1;
    rl_error err = {0};
    set_up(&f, type);
    concept = common_type(&f);
    f.task.types = &concept;
    f.task.num_types = 1;
    assert_ok(rl_zeroed_f1(&f1, f.model, &f.task, NULL, 0, &err), err);
    assert_same(f1.concept_f1, 1);
    assert_same(f1.overall_f1, 1);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        rl_concept_f1 expected = by_masks(&f, sets[i], 4);
        assert_ok(rl_zeroed_f1(&f1, f.model, &f.task, sets[i], 4, &err), err);
        assert_same(f1.concept_f1, expected.concept_f1);
        assert_same(f1.other_f1, expected.other_f1);
        assert_same(f1.overall_f1, expected.overall_f1);
    }
    assert_true(f1.overall_f1 < 1);
    rl_model_free(f.model);
}

static void test_zeroing_is_masking(void **state)
{
    (void)state;
    check_zeroing("bert");
    check_zeroing("distilbert");
}

/* With passes enough every neuron is alone in the end: its score is the drop by itself. With few, groups share theirs. */
static void test_scores(void **state)
{
    fixture f;
    double score[N], coarse[N];
    rl_concept_f1 f1;
    int different = 0;
    rl_error err = {0};
    (void)state;
    set_up(&f, "bert");
    f.task.evaluations = 100;
    assert_ok(rl_ablation_scores(score, f.model, RL_UNIT_HIDDEN, &f.task, NULL, &err), err);
    for (int32_t n = 0; n < N; n++) {
        assert_ok(rl_zeroed_f1(&f1, f.model, &f.task, &n, 1, &err), err);
        assert_close(score[n], 1 - f1.concept_f1, 0, 1e-15);
        different += score[n] != score[0];
    }
    assert_true(different > 5);
    f.task.evaluations = 2; /* two groups of four a state */
    assert_ok(rl_ablation_scores(coarse, f.model, RL_UNIT_HIDDEN, &f.task, NULL, &err), err);
    for (int32_t n = 0; n < N; n += 4) {
        const int32_t four[] = {n, n + 1, n + 2, n + 3};
        assert_ok(rl_zeroed_f1(&f1, f.model, &f.task, four, 4, &err), err);
        for (int i = 0; i < 4; i++) assert_close(coarse[n + i], (1 - f1.concept_f1) / 4, 0, 1e-15);
    }
    assert_true(rl_ablation_flops(&f.model->config, &f.task) > 0);
    rl_model_free(f.model);
}

/* Four passes a state: two groups by prior, then the worse one halved. */
static void test_groups_follow_the_prior(void **state)
{
    fixture f;
    double prior[N], score[N];
    rl_concept_f1 f1;
    const int32_t odd[] = {17, 19, 21, 23};
    rl_error err = {0};
    (void)state;
    set_up(&f, "bert");
    for (int n = 0; n < N; n++) prior[n] = n % 2;
    f.task.evaluations = 2;
    assert_ok(rl_ablation_scores(score, f.model, RL_UNIT_HIDDEN, &f.task, prior, &err), err);
    assert_ok(rl_zeroed_f1(&f1, f.model, &f.task, odd, 4, &err), err);
    for (int i = 0; i < 4; i++) assert_close(score[odd[i]], (1 - f1.concept_f1) / 4, 0, 1e-15);
    rl_model_free(f.model);
}

static double drop_of(const fixture *f, const int32_t *ids, int64_t count)
{
    rl_concept_f1 f1;
    rl_error err = {0};
    assert_ok(rl_zeroed_f1(&f1, f->model, &f->task, ids, count, &err), err);
    return 1 - f1.concept_f1;
}

/* A neuron whose place in front of two others would show: pruned, it must not count as newly salient. */
static int32_t telling_neuron(const fixture *f)
{
    static const int32_t right[] = {20, 19, 17};
    for (int32_t x = 0; x < 17; x++) {
        const int32_t wrong[] = {x, 20, 19};
        if (drop_of(f, wrong, 3) != drop_of(f, right, 3)) return x;
    }
    fail_msg("every neuron looks alike");
    return 0;
}

static void test_causal_check(void **state)
{
    static const int32_t salient[] = {20, 19, 17};
    fixture f;
    int32_t order[N] = {0, 20, 19, 17}, original[3];
    rl_causal_check check, again;
    rl_error err = {0};
    (void)state;
    set_up(&f, "bert");
    original[0] = order[0] = telling_neuron(&f);
    original[1] = 18, original[2] = 23;
    for (int32_t n = 0, at = 4; n < N; n++)
        if (n != order[0] && n != 20 && n != 19 && n != 17) order[at++] = n;
    assert_ok(rl_causal_check_run(&check, f.model, &f.task, original, 3, order, 4, 1, &err), err);
    assert_same(check.intact.concept_f1, 1);
    assert_same(check.original.concept_drop, drop_of(&f, original, 3));
    assert_same(check.salient.concept_drop, drop_of(&f, salient, 3));
    assert_true(check.original.count == 3 && check.salient.count == 3 && check.random.count == 3);
    assert_true(isnan(check.original.concept_sd) && check.random.concept_sd >= 0);
    assert_ok(rl_causal_check_run(&again, f.model, &f.task, original, 3, order, 4, 1, &err), err);
    assert_same(again.random.concept_drop, check.random.concept_drop);
    rl_model_free(f.model);
}

/* Half of the model is pruned: of what is left one half is salient, so that the random sets are as large, layer by layer. */
static void test_random_sets_are_as_large_whatever_was_pruned(void **state)
{
    fixture f;
    int32_t order[N], original[N / 2 + 1], salient[N], front = 0;
    rl_causal_check check;
    rl_error err = {0};
    (void)state;
    set_up(&f, "bert");
    for (int32_t n = 0; n < N; n++) order[n] = N - 1 - n; /* the last layer first */
    for (int32_t i = 0; i < N / 2; i++) original[i] = 2 * i;
    for (int32_t l = STATES - 1; l >= 0; l--) { /* 4 of 8 are kept in each: the two that stand in front */
        salient[front++] = l * C + 7;
        salient[front++] = l * C + 5;
    }
    assert_ok(rl_causal_check_run(&check, f.model, &f.task, original, N / 2, order, 3, 1, &err), err);
    assert_int_equal(check.original.count, N / 2);
    assert_int_equal(check.salient.count, front);
    assert_int_equal(check.random.count, front);
    assert_same(check.salient.concept_drop, drop_of(&f, salient, front));
    assert_true(check.random.concept_drop > 0); /* something was zeroed */
    original[N / 2] = 1;                        /* an odd number is left in the first layer: the smaller half is salient */
    assert_ok(rl_causal_check_run(&check, f.model, &f.task, original, N / 2 + 1, order, 3, 1, &err), err);
    assert_int_equal(check.salient.count, front - 1);
    assert_int_equal(check.random.count, front - 1);
    rl_model_free(f.model);
}

static void test_refusals(void **state)
{
    static const int32_t beyond[] = {N};
    const char *unknown = "GPE";
    fixture f;
    rl_concept_f1 f1;
    double score[N];
    rl_causal_check check;
    int32_t order[N] = {0};
    rl_error err = {0};
    (void)state;
    set_up(&f, "bert");
    assert_fails(rl_zeroed_f1(&f1, f.model, &f.task, beyond, 1, &err), RL_ERR_INPUT, err, "neuron 24 does not exist");
    assert_fails(rl_causal_check_run(&check, f.model, &f.task, beyond, 1, order, 1, 1, &err), RL_ERR_INPUT, err, "neuron 24");
    f.task.types = &unknown;
    f.task.num_types = 1;
    assert_fails(rl_zeroed_f1(&f1, f.model, &f.task, NULL, 0, &err), RL_ERR_INPUT, err, "no labels of type 'GPE'");
    f.task.num_types = 0;
    for (int t = 0; t < SENTENCES * WORDS; t++) f.gold[t] = 0;
    assert_fails(rl_ablation_scores(score, f.model, RL_UNIT_HIDDEN, &f.task, NULL, &err), RL_ERR_INPUT, err, "F1 is 0 before anything");
    rl_model_free(f.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroing_is_masking), cmocka_unit_test(test_scores),
        cmocka_unit_test(test_groups_follow_the_prior), cmocka_unit_test(test_causal_check),
        cmocka_unit_test(test_random_sets_are_as_large_whatever_was_pruned),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
