/* Pruning: protocol §15's pruned losses, logits, hidden states and gradients; which ids each selection takes; where
 * they lie. */
#include "concept_support.h"

#define CLOSE(a, b) assert_close(a, b, 1e-5, 2e-6) /* the protocol prints 6 digits, float32 keeps about as many */

/* The batch of §15 without its padding. */
static const int32_t ids[] = {5, 6, 7, 8, 9, 10, 11, 12}, labels[] = {-100, 0, 5, 6, -100, -100, 3, -100},
                     start[] = {0, 5, 8};
static const rl_batch batch = {
    .num_sentences = 2, .num_tokens = 8, .max_length = 5, .start = start, .ids = ids, .labels = labels};
static const int32_t pruned[] = {3, 10, 20};

/* One layer of n neurons, all of which may be pruned. */
#define scope_of(n) ((const rl_prune_scope){1, (n), NULL, false})

typedef struct fixture {
    rl_model *model;
    rl_workspace *workspace;
    float *gradients;
    int64_t offsets[6], num_offsets;
} fixture;

static fixture set_up(const char *type)
{
    fixture f = {.model = tiny_protocol_model(type)};
    rl_error err = {0};
    f.gradients = calloc((size_t)f.model->num_weights, sizeof *f.gradients);
    assert_ok(rl_workspace_create(&f.workspace, f.model, 8, 2, 5, 34, true, &err), err);
    assert_ok(rl_prune_offsets(f.offsets, &f.num_offsets, f.model, pruned, 3, true, false, &err), err);
    rl_prune_apply(f.model, f.offsets, f.num_offsets);
    return f;
}

static void tear_down(fixture *f)
{
    rl_workspace_free(f->workspace);
    rl_model_free(f->model);
    free(f->gradients);
}

/* The second column of hidden state 1 and the third of hidden state 2 are constant: beta survives (protocol §14.4). */
static void check_hidden_states(const fixture *f, double hidden1, double hidden2)
{
    float hidden[8 * 8];
    rl_model_embed(f->model, f->workspace, &batch, hidden);
    rl_model_block(f->model, f->workspace, &batch, 0, hidden);
    for (int t = 0; t < 8; t++) CLOSE(hidden[t * 8 + 2], hidden1);
    rl_model_block(f->model, f->workspace, &batch, 1, hidden);
    for (int t = 0; t < 8; t++) CLOSE(hidden[t * 8 + 3], hidden2);
}

static void test_distilbert(void **state)
{
    static const double logits[] = {.972670, 1.72899, 1.70232, .900956};
    fixture f = set_up("distilbert");
    const float *found = rl_model_forward(f.model, f.workspace, &batch, NULL);
    (void)state;
    for (int i = 0; i < 4; i++) CLOSE(found[1 * 9 + i], logits[i]);
    CLOSE(rl_model_backward(f.model, f.workspace, &batch, NULL, f.gradients), 3.26406);
    CLOSE(f.gradients[rl_model_norm_of_hidden_state(f.model, 2).gamma + 3], .0136066);
    CLOSE(f.gradients[rl_model_norm_of_hidden_state(f.model, 1).gamma + 2], .0202933);
    check_hidden_states(&f, -.163318, .366897);
    tear_down(&f);
}

static void test_bert(void **state)
{
    fixture f = set_up("bert");
    (void)state;
    rl_model_forward(f.model, f.workspace, &batch, NULL);
    CLOSE(rl_model_backward(f.model, f.workspace, &batch, NULL, f.gradients), 2.51966);
    tear_down(&f);
}

/* ------------------------------------------------------------------------------------------------- offsets */

static void test_embedding_neurons_wrap_or_have_their_own_norm(void **state)
{
    static const int32_t both[] = {19, 3, 3}; /* layer 2 unit 3, layer 0 unit 3, and a repeat */
    rl_model *model = tiny_protocol_model("bert");
    int64_t offsets[6], n = 0;
    rl_norm_offsets last = rl_model_norm_of_hidden_state(model, 2), first = rl_model_norm_of_hidden_state(model, 0);
    rl_error err = {0};
    (void)state;
    assert_ok(rl_prune_offsets(offsets, &n, model, both, 3, true, false, &err), err);
    assert_int_equal(n, 1); /* the embedding id hits the last block's scalar: duplicates collapse (protocol §7.1) */
    assert_int_equal(offsets[0], last.gamma + 3);
    assert_ok(rl_prune_offsets(offsets, &n, model, both, 3, false, false, &err), err);
    assert_int_equal(n, 2);
    assert_true(offsets[0] < offsets[1]);
    assert_true(offsets[0] + offsets[1] == last.gamma + first.gamma + 6);
    assert_ok(rl_prune_offsets(offsets, &n, model, both, 3, false, true, &err), err);
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++) model->weights[offsets[i]] = 9;
    rl_prune_apply(model, offsets, n);
    assert_true(model->weights[first.gamma + 3] == 0 && model->weights[last.beta + 3] == 0);
    assert_true(model->weights[first.gamma + 2] != 0 && model->weights[last.beta + 4] != 0);
    rl_model_free(model);
}

static void test_a_neuron_that_does_not_exist(void **state)
{
    static const int32_t beyond[] = {24}, below[] = {-1};
    rl_model *model = tiny_protocol_model("bert");
    int64_t offsets[2] = {7, 7}, n = 7;
    rl_error err = {0};
    (void)state;
    assert_fails(rl_prune_offsets(offsets, &n, model, beyond, 1, true, false, &err), RL_ERR_INPUT, err,
                 "neuron 24 does not exist; expected 0 to 23");
    assert_fails(rl_prune_offsets(offsets, &n, model, below, 1, true, false, &err), RL_ERR_INPUT, err, "neuron -1");
    assert_true(n == 7 && offsets[0] == 7);
    rl_model_free(model);
}

/* ---------------------------------------------------------------------------------------- counts and choices */

static void test_counts(void **state)
{
    (void)state;
    assert_int_equal(rl_prune_count(RL_PROTOCOL_PUBLISHED, -1, 6, 768), 3000);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_HEAD, -1, 6, 768), 2304);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_PUBLISHED, -1, 6, 384), 1500);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_PUBLISHED, -1, 2, 16), 27); /* 26.8 */
    assert_int_equal(rl_prune_count(RL_PROTOCOL_CORRECTED, -1, 6, 768), 2688);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_CORRECTED, .3, 6, 768), 1613); /* 1612.8 */
    assert_int_equal(rl_prune_count(RL_PROTOCOL_CORRECTED, 0, 6, 768), 0);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_CORRECTED, 1, 6, 768), 5376);
    assert_int_equal(rl_prune_count(RL_PROTOCOL_HEAD, .5, 6, 768), 2688);
}

static void assert_choice(rl_prune_select select, rl_protocol protocol, const int32_t *expected)
{
    static const int32_t order[] = {4, 2, 0, 1, 3};
    int32_t chosen[2];
    rl_error err = {0};
    assert_ok(rl_prune_choose(chosen, 2, order, &scope_of(5), select, protocol, 1, &err), err);
    assert_memory_equal(chosen, expected, sizeof chosen);
}

static void test_ends_of_the_ranking(void **state)
{
    static const int32_t front[] = {4, 2}, tail[] = {1, 3}, lowest[] = {0, 1};
    (void)state;
    assert_choice(RL_SELECT_CONCEPT, RL_PROTOCOL_CORRECTED, front);
    assert_choice(RL_SELECT_CONCEPT, RL_PROTOCOL_PUBLISHED, front);
    assert_choice(RL_SELECT_CONCEPT, RL_PROTOCOL_HEAD, tail); /* protocol §7.2 */
    assert_choice(RL_SELECT_LEAST, RL_PROTOCOL_CORRECTED, tail);
    assert_choice(RL_SELECT_LEAST, RL_PROTOCOL_HEAD, front);
    assert_choice(RL_SELECT_RANDOM, RL_PROTOCOL_HEAD, lowest); /* protocol §7.3 */
    assert_choice(RL_SELECT_RANDOM, RL_PROTOCOL_PUBLISHED, lowest);
}

/* Without replacement, another set for another seed, and every neuron as likely as any other: over 400 seeds each of 20
 * neurons is chosen 100 times on average, sd 8.7; five sd is a chance of 1e-5 for all 20. */
static void test_random_baseline(void **state)
{
    int32_t chosen[5], again[5], hits[20] = {0};
    rl_error err = {0};
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        int32_t seen[20] = {0};
        assert_ok(rl_prune_choose(chosen, 5, NULL, &scope_of(20), RL_SELECT_RANDOM, RL_PROTOCOL_CORRECTED, seed, &err), err);
        assert_ok(rl_prune_choose(again, 5, NULL, &scope_of(20), RL_SELECT_RANDOM, RL_PROTOCOL_CORRECTED, seed, &err), err);
        assert_memory_equal(chosen, again, sizeof chosen);
        for (int i = 0; i < 5; i++) {
            assert_in_range(chosen[i], 0, 19);
            assert_int_equal(seen[chosen[i]]++, 0);
            hits[chosen[i]]++;
        }
    }
    for (int n = 0; n < 20; n++) assert_in_range(hits[n], 100 - 43, 100 + 43);
}

static void test_impossible_counts(void **state)
{
    static const int32_t order[] = {0, 1};
    int32_t chosen[3];
    rl_error err = {0};
    (void)state;
    assert_fails(rl_prune_choose(chosen, 3, order, &scope_of(2), RL_SELECT_CONCEPT, RL_PROTOCOL_CORRECTED, 0, &err), RL_ERR_INPUT,
                 err, "cannot prune 3 of 2");
    assert_fails(rl_prune_choose(chosen, 1, order, &scope_of(2), RL_SELECT_NONE, RL_PROTOCOL_CORRECTED, 0, &err), RL_ERR_INPUT,
                 err, "select none");
    assert_ok(rl_prune_choose(chosen, 0, order, &scope_of(2), RL_SELECT_NONE, RL_PROTOCOL_CORRECTED, 0, &err), err);
}

/* Two of layer 0, none of layer 1, one of layer 2, in three layers of four: the others take as many of each. */
static void test_matched_by_layer(void **state)
{
    static const int32_t order[] = {2, 9, 0, 5, 1, 11, 3, 4, 10, 6, 7, 8};
    const rl_prune_scope scope = {3, 4, NULL, false};
    int32_t chosen[3], again[3];
    bool varies = false;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_prune_choose(chosen, 3, order, &scope, RL_SELECT_LEAST_MATCHED, RL_PROTOCOL_CORRECTED, 1, &err), err);
    assert_true(chosen[0] == 1 && chosen[1] == 3 && chosen[2] == 8);
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (rl_protocol p = RL_PROTOCOL_CORRECTED; p <= RL_PROTOCOL_PUBLISHED; p++) {
            assert_ok(rl_prune_choose(chosen, 3, order, &scope, RL_SELECT_RANDOM_MATCHED, p, seed, &err), err);
            assert_true(chosen[0] < 4 && chosen[1] < 4 && chosen[0] != chosen[1] && chosen[2] >= 8);
        }
        assert_ok(rl_prune_choose(again, 3, order, &scope, RL_SELECT_RANDOM_MATCHED, RL_PROTOCOL_CORRECTED, seed, &err), err);
        assert_memory_equal(chosen, again, sizeof chosen);
        varies = varies || chosen[2] != 9;
    }
    assert_true(varies);
}

/* Layers draw for themselves: as many of each, but not the same units. */
static void test_layers_draw_apart(void **state)
{
    static const int32_t order[] = {0, 4, 1, 5, 2, 6, 3, 7};
    const rl_prune_scope scope = {2, 4, NULL, false};
    int32_t chosen[2];
    bool apart = false;
    rl_error err = {0};
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        assert_ok(rl_prune_choose(chosen, 2, order, &scope, RL_SELECT_RANDOM_MATCHED, RL_PROTOCOL_CORRECTED, seed, &err), err);
        apart = apart || chosen[1] != chosen[0] + 4;
    }
    assert_true(apart);
}

static void test_only_some_layers(void **state)
{
    static const int32_t order[] = {2, 9, 0, 5, 1, 11, 3, 4, 10, 6, 7, 8};
    static const uint8_t layers[] = {0, 1, 1};
    static const rl_prune_select selects[] = {RL_SELECT_CONCEPT, RL_SELECT_RANDOM, RL_SELECT_LEAST, RL_SELECT_RANDOM_MATCHED};
    const rl_prune_scope scope = {3, 4, layers, false}, all = {3, 4, NULL, false};
    int32_t chosen[8];
    rl_error err = {0};
    (void)state;
    assert_int_equal(rl_prune_scope_size(&scope), 8);
    assert_int_equal(rl_prune_scope_count(&scope, RL_PROTOCOL_CORRECTED, 0.3), 2);
    assert_int_equal(rl_prune_scope_count(&scope, RL_PROTOCOL_CORRECTED, -1), 4);
    for (rl_protocol p = RL_PROTOCOL_CORRECTED; p <= RL_PROTOCOL_HEAD; p++)
        assert_int_equal(rl_prune_scope_count(&all, p, -1), rl_prune_count(p, -1, 2, 4));
    for (size_t i = 0; i < sizeof selects / sizeof *selects; i++) {
        assert_ok(rl_prune_choose(chosen, 5, order, &scope, selects[i], RL_PROTOCOL_CORRECTED, 3, &err), err);
        for (int j = 0; j < 5; j++) assert_true(chosen[j] >= 4);
    const rl_prune_scope blocks = {.num_layers = 6, .layer_size = 12, .in_blocks = true}; /* heads: no embeddings to leave out */
    assert_int_equal(rl_prune_scope_count(&blocks, RL_PROTOCOL_HEAD, -1), 36);
    assert_int_equal(rl_prune_scope_count(&blocks, RL_PROTOCOL_CORRECTED, -1), 36);
}
    assert_ok(rl_prune_choose(chosen, 2, order, &scope, RL_SELECT_CONCEPT, RL_PROTOCOL_CORRECTED, 3, &err), err);
    assert_true(chosen[0] == 9 && chosen[1] == 5);
    assert_fails(rl_prune_choose(chosen, 9, order, &scope, RL_SELECT_CONCEPT, RL_PROTOCOL_CORRECTED, 3, &err), RL_ERR_INPUT,
                 err, "cannot prune 9 of 8 neurons");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distilbert),
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_embedding_neurons_wrap_or_have_their_own_norm),
        cmocka_unit_test(test_a_neuron_that_does_not_exist),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_ends_of_the_ranking),
        cmocka_unit_test(test_random_baseline),
        cmocka_unit_test(test_matched_by_layer),
        cmocka_unit_test(test_layers_draw_apart),
        cmocka_unit_test(test_only_some_layers),
        cmocka_unit_test(test_impossible_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
