/* Every family x site x finder, permanent or free in turn (probeless both), as whole runs on small random models: what was removed is exactly null in the
 * pruned model wherever the site promises it, and where the removal is permanent it still is after retraining; free units come
 * back. LABELS: golden
 * TIMEOUT: 300 */
#include "cycle_support.h"

static const char *const families[] = {"bert", "distilbert", "electra", "roberta", "gpt2"};
enum { NUM_FAMILIES = 5, NUM_SITES = 4 };

static support_world world;
static char directory[4096];
static rl_cycle *cycle;

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "combinations");
    snprintf(directory, sizeof directory, "%s/dir", world.folder);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    return 0;
}

static int end(void **state)
{
    (void)state;
    rl_cycle_free(cycle);
    return 0;
}

typedef struct combination {
    const char *family;
    rl_prune_site site;
    rl_rank_method method;
    bool permanent;
} combination;

static rl_run_settings settings_of(const combination *c, char model[256])
{
    rl_run_settings s = settings_in(&world);
    snprintf(model, 256, "%s", support_file("../sweeps/families"));
    snprintf(model + strlen(model), 256 - strlen(model), "/small-%s", c->family);
    s.model = model;
    s.train.epochs = 4; /* the ablation finder needs an F1 to lose */
    s.cka_words = 0;
    s.rank_method = c->method;
    s.prune_site = c->site;
    s.prune.permanent = c->permanent;
    s.prune.ratio = 0.25;
    s.prune.zero_beta = true; /* layer_norm: the neuron is 0, not its beta */
    return s;
}

/* Largest activation of the removed neurons or units of one layer, and of the others. */
typedef struct look {
    const int32_t *ids;
    int64_t count, units_per_layer;
    double removed, others;
} look;

static bool is_removed(const look *l, int64_t id)
{
    for (int64_t i = 0; i < l->count; i++)
        if (l->ids[i] == id) return true;
    return false;
}

static rl_status look_at(void *context, int64_t layer, const float *X, int64_t W, int64_t width, rl_error *err)
{
    look *l = context;
    int64_t D = width / l->units_per_layer;
    (void)err;
    for (int64_t c = 0; c < width; c++) {
        double *largest = is_removed(l, layer * l->units_per_layer + c / D) ? &l->removed : &l->others;
        for (int64_t w = 0; w < W; w++) *largest = fmax(*largest, fabs((double)X[w * width + c]));
    }
    return RL_OK;
}

static look look_at_model(const combination *c, const rl_run_settings *settings, const char *key, const int32_t *ids, int64_t count)
{
    rl_error err = {0};
    rl_model *model = NULL;
    const rl_inputs *in = NULL;
    const rl_concept_inputs *concept = NULL;
    char folder[4200];
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, key);
    assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
    assert_ok(rl_cycle_inputs(&in, cycle, settings, &err), err);
    assert_ok(rl_cycle_concept(&concept, cycle, settings, &settings->concept, &err), err);
    rl_unit_site site = c->site == RL_SITE_FFN_UNIT ? RL_UNIT_FFN : c->site == RL_SITE_ATTENTION_HEAD ? RL_UNIT_HEAD : RL_UNIT_HIDDEN;
    look l = {.ids = ids, .count = count, .units_per_layer = rl_units_per_layer(&model->config, site)};
    if (site == RL_UNIT_HIDDEN)
        assert_ok(rl_activations_visit(model, concept->data->encoded, look_at, &l, &err), err);
    else
        assert_ok(rl_units_visit(model, concept->data->encoded, site, look_at, &l, &err), err);
    rl_model_free(model);
    return l;
}

/* GPT-2 has no LayerNorm behind a hidden state: layer_norm there is what the authors did, and promises no null. */
static bool promises_null(const combination *c) { return c->site != RL_SITE_LAYER_NORM || strcmp(c->family, "gpt2"); }

static void check(const combination *c)
{
    rl_error err = {0};
    char model[256];
    rl_run_settings settings = settings_of(c, model);
    int32_t n = 0, *ids = NULL;
    int64_t count = 0;
    rl_stage *stages = stages_of(&n, &settings);
    char folder[4200];
    for (int32_t i = 0; i < n; i++) assert_ok(rl_stage_execute(cycle, &stages[i], &err), err);
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, stages[2].key);
    assert_ok(rl_stage_read_pruned(&ids, &count, folder, &err), err);
    assert_true(count > 0);
    look pruned = look_at_model(c, &settings, stages[2].key, ids, count);
    look retrained = look_at_model(c, &settings, stages[4].key, ids, count);
    assert_true(pruned.others > 0 && retrained.others > 0);
    if (promises_null(c)) assert_true(pruned.removed == 0);
    if (promises_null(c) && c->permanent) assert_true(retrained.removed == 0);
    if (!c->permanent) assert_true(retrained.removed > 0);
    rl_free(ids);
    rl_free(stages);
}

static void test_every_combination(void **state)
{
    int done = 0;
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int method = 0; method < RL_NUM_RANK_METHODS; method++)
            for (int site = 0; site < NUM_SITES; site++)
                for (int permanent = 0; permanent < 2; permanent++) {
                    if (method != RL_RANK_PROBELESS && permanent != (method + site + family) % 2) continue;
                    check(&(combination){families[family], (rl_prune_site)site, (rl_rank_method)method, permanent});
                    done++;
                }
    assert_int_equal(done, NUM_FAMILIES * NUM_SITES * (RL_NUM_RANK_METHODS + 1));
}

/* At ffn and head the finder's word counts: other finders, other units. */
static void test_finders_choose_different_units(void **state)
{
    (void)state;
    for (int site = RL_SITE_FFN_UNIT; site <= RL_SITE_ATTENTION_HEAD; site++) {
        char a[256], b[256];
        const combination one = {"bert", (rl_prune_site)site, RL_RANK_PROBELESS, true}, two = {"bert", (rl_prune_site)site, RL_RANK_RANDOM, true};
        rl_run_settings s = settings_of(&one, a), t = settings_of(&two, b);
        int32_t n = 0;
        rl_stage *first = stages_of(&n, &s), *second = stages_of(&n, &t);
        assert_string_not_equal(first[2].key, second[2].key);
        rl_free(first);
        rl_free(second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_finders_choose_different_units),
    };
    return cmocka_run_group_tests(tests, make, end);
}
