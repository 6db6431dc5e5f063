/* Every site, free and permanent, in a whole run: what is removed is gone after pruning, stays gone where it is permanent,
 * and at the sites of hidden states the measured neuron is null.
 * LABELS: unit
 * TIMEOUT: 120 */
#include "cycle_support.h"

static support_world world;

static int make(void **state)
{
    rl_error err = {0};
    (void)state;
    support_make_world(&world, "sites");
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

static rl_run_settings settings_at(rl_prune_site site, bool permanent)
{
    rl_run_settings s = settings_in(&world);
    s.cka_words = 0;
    s.prune_site = site;
    s.prune.permanent = permanent;
    s.prune.ratio = 0.25;
    s.prune.zero_beta = true; /* layer_norm: the neuron is 0, not its beta */
    return s;
}

static rl_run_result *run(const char *directory, const rl_run_settings *settings, rl_stage **stages)
{
    rl_error err = {0};
    rl_cycle *cycle = NULL;
    rl_run_result *result = NULL;
    int32_t n = 0;
    *stages = stages_of(&n, settings);
    assert_ok(rl_cycle_create(&cycle, directory, NULL, &err), err);
    for (int32_t i = 0; i < n; i++) assert_ok(rl_stage_execute(cycle, &(*stages)[i], &err), err);
    assert_ok(rl_cycle_collect(&result, cycle, *stages, n, &err), err);
    rl_cycle_free(cycle);
    return result;
}

static void check_neurons(const rl_run_result *r, bool permanent)
{
    assert_int_equal(r->num_pruned, 12); /* of 3 x 16 */
    for (int32_t s = 1; s < 3; s++)
        for (int64_t i = 0; i < r->num_pruned; i++) {
            float sd = r->stages[s].neurons->sd[r->pruned[i]];
            if (s == 1 || permanent) assert_close(sd, 0, 0, 1e-6);
        }
    if (permanent) return;
    int back = 0; /* free: some of them move again */
    for (int64_t i = 0; i < r->num_pruned; i++) back += r->stages[2].neurons->sd[r->pruned[i]] > 1e-4f;
    assert_true(back > 0);
}

/* The stage's folder keeps the masks, or has none. */
static void check_masks(const char *directory, const rl_stage *stage, rl_unit_site site, int64_t expected)
{
    rl_error err = {0};
    rl_model *model = NULL;
    int64_t n = 0;
    char folder[4200];
    snprintf(folder, sizeof folder, "%s/stages/%s", directory, stage->key);
    assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
    const rl_unit *units = rl_model_masks_units(model->masks, &n);
    assert_int_equal(n, expected);
    for (int64_t i = 0; i < n; i++) assert_int_equal(units[i].site, site);
    rl_model_free(model);
}

static void test_every_site_free_and_permanent(void **state)
{
    static const rl_unit_site unit_sites[] = {RL_UNIT_HIDDEN, RL_UNIT_HIDDEN, RL_UNIT_FFN, RL_UNIT_HEAD};
    static const int64_t counts[] = {12, 12, 16, 1}; /* a quarter of 48 neurons, 2 x 32 units, 2 x 2 heads */
    char directory[4096];
    (void)state;
    snprintf(directory, sizeof directory, "%s/dir", world.folder);
    for (int site = 0; site < 4; site++)
        for (int permanent = 0; permanent < 2; permanent++) {
            rl_run_settings settings = settings_at((rl_prune_site)site, permanent);
            rl_stage *stages = NULL;
            rl_run_result *r = run(directory, &settings, &stages);
            assert_int_equal(r->num_pruned, counts[site]);
            if (site < 2) check_neurons(r, permanent);
            bool masked = site > 0 && permanent;
            check_masks(directory, &stages[2], unit_sites[site], masked ? counts[site] : 0);
            check_masks(directory, &stages[4], unit_sites[site], masked ? counts[site] : 0);
            rl_run_result_free(r);
            rl_free(stages);
        }
}

/* prune.layers: 2 chooses hidden state 2, and at the other sites the block that writes it, 1. */
static void test_layers_restrict_every_site(void **state)
{
    char directory[4096];
    (void)state;
    snprintf(directory, sizeof directory, "%s/dir", world.folder);
    for (int site = 0; site < 4; site++) {
        rl_run_settings settings = settings_at((rl_prune_site)site, false);
        rl_stage *stages = NULL;
        settings.prune_layers = 1 << 2;
        settings.prune.ratio = 0.5;
        rl_run_result *r = run(directory, &settings, &stages);
        int64_t size = site < 2 ? 16 : site == 2 ? 32 : 2;
        assert_int_equal(r->num_pruned, size / 2);
        for (int64_t i = 0; i < r->num_pruned; i++) assert_int_equal(r->pruned[i] / size, site < 2 ? 2 : 1);
        rl_run_result_free(r);
        rl_free(stages);
    }
}

static void test_every_finder_runs(void **state)
{
    char directory[4096];
    (void)state;
    snprintf(directory, sizeof directory, "%s/dir", world.folder);
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++) {
        rl_run_settings settings = settings_at(RL_SITE_HIDDEN_STATE, true);
        rl_stage *stages = NULL;
        settings.rank_method = (rl_rank_method)m;
        rl_run_result *r = run(directory, &settings, &stages);
        assert_int_equal(r->stages[0].neurons->method, m);
        check_neurons(r, true);
        rl_run_result_free(r);
        rl_free(stages);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_site_free_and_permanent),
        cmocka_unit_test(test_layers_restrict_every_site),
        cmocka_unit_test(test_every_finder_runs),
    };
    return cmocka_run_group_tests(tests, make, NULL);
}
