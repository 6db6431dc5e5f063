/* What rl_train promises besides the numbers: hooks, masks, dropout, clipping, an early end, and a clear end when it
 * diverges. */
#include "fixtures.h"

typedef struct outcome {
    rl_model *model;
    rl_training_log log;
    rl_error err;
    rl_status status;
} outcome;

static outcome train(double dropout, rl_train_settings settings, uint64_t seed, const rl_weight_mask *mask,
                     const rl_train_hooks *hooks)
{
    toy_data toy;
    outcome result = {.model = tiny_model("bert", dropout)};
    toy_fill(&toy);
    result.status = rl_train(result.model, &toy.encoded, &settings, seed, mask, NULL, hooks, &result.log, &result.err);
    return result;
}

static void drop(outcome *result)
{
    rl_model_free(result->model);
    rl_training_log_free(&result->log);
}

static void test_loss_falls(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.epochs = 20;
    outcome a = train(0, settings, 42, NULL, NULL);
    assert_ok(a.status, a.err);
    assert_int_equal(a.log.num_steps, 120);
    assert_true(a.log.steps[119].loss < 0.5 * a.log.steps[0].loss);
    assert_int_equal(a.log.steps[0].step, 1);
    assert_int_equal(a.log.steps[5].epoch, 0);
    assert_int_equal(a.log.steps[6].epoch, 1);
    drop(&a);
}

/* Each epoch covers every token once: a batch's tokens are its sentences' and nothing else (no padding). */
static void test_an_epoch_has_every_token_once(void **state)
{
    toy_data toy;
    int64_t tokens = 0;
    (void)state;
    toy_fill(&toy);
    outcome a = train(0, toy_settings(), 42, NULL, NULL);
    assert_ok(a.status, a.err);
    for (int i = 6; i < 12; i++) tokens += a.log.steps[i].tokens;
    assert_int_equal(tokens, toy.encoded.num_tokens);
    drop(&a);
}

static void test_same_seed_same_bits_other_seed_other_dropout(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.shuffle = false; /* so that the seed speaks through dropout alone */
    outcome a = train(0.1, settings, 1, NULL, NULL), b = train(0.1, settings, 1, NULL, NULL),
            c = train(0.1, settings, 2, NULL, NULL);
    assert_ok(a.status, a.err);
    assert_same_weights(a.model, b.model);
    assert_same_log(&a.log, &b.log);
    assert_true(a.log.steps[0].loss != c.log.steps[0].loss);
    drop(&a), drop(&b), drop(&c);
}

/* With nothing learnt between steps, what changes the loss of the same batch is its step's own masks. */
static void test_every_step_draws_its_own_dropout(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.batch_size = TOY_SENTENCES;
    settings.shuffle = false;
    settings.learning_rate = 0;
    outcome a = train(0.1, settings, 1, NULL, NULL), b = train(0, settings, 1, NULL, NULL);
    assert_ok(a.status, a.err);
    assert_true(a.log.steps[0].loss != a.log.steps[1].loss && a.log.steps[1].loss != a.log.steps[2].loss);
    assert_true(b.log.steps[0].loss == b.log.steps[1].loss && b.log.steps[1].loss == b.log.steps[2].loss);
    drop(&a), drop(&b);
}

static void test_dropout_key_overrides_the_model(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.shuffle = false;
    settings.dropout = 0;
    outcome a = train(0.1, settings, 1, NULL, NULL), b = train(0.1, settings, 2, NULL, NULL);
    settings.dropout = -1;
    outcome c = train(0, settings, 3, NULL, NULL);
    settings.dropout = 0.5;
    outcome d = train(0, settings, 3, NULL, NULL);
    assert_ok(a.status, a.err);
    assert_same_weights(a.model, b.model); /* nothing random is left */
    assert_same_weights(a.model, c.model);
    assert_true(c.log.steps[0].loss != d.log.steps[0].loss);
    drop(&a), drop(&b), drop(&c), drop(&d);
}

/* The loss with dropout is right on average: over seeds the first step's mean is near the loss without. */
static void test_dropout_is_unbiased_on_the_first_loss(void **state)
{
    rl_train_settings settings = toy_settings();
    double sum = 0, squares = 0;
    enum { SEEDS = 64 };
    (void)state;
    settings.shuffle = false;
    settings.max_steps = 1;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        outcome a = train(0.1, settings, seed, NULL, NULL);
        assert_ok(a.status, a.err);
        sum += a.log.steps[0].loss;
        squares += a.log.steps[0].loss * a.log.steps[0].loss;
        drop(&a);
    }
    settings.dropout = 0;
    outcome plain = train(0.1, settings, 0, NULL, NULL);
    double mean = sum / SEEDS, sd = sqrt(squares / SEEDS - mean * mean);
    assert_true(sd > 0);
    /* six standard errors, and the curvature of the loss, which is below 0.01 here */
    assert_close(mean, plain.log.steps[0].loss, 0, 6 * sd / sqrt(SEEDS) + 0.01);
    drop(&plain);
}

static void test_masked_weights_stay_zero(void **state)
{
    (void)state;
    outcome free_run = train(0, toy_settings(), 42, NULL, NULL);
    rl_norm_offsets norm = rl_model_norm_of_hidden_state(free_run.model, 1);
    const int64_t offsets[] = {norm.gamma + 2, norm.beta + 2, norm.gamma + 5};
    rl_weight_mask mask = {offsets, 3};
    outcome a = train(0, toy_settings(), 42, &mask, NULL);
    assert_ok(a.status, a.err);
    for (int i = 0; i < 3; i++) {
        assert_true(a.model->weights[offsets[i]] == 0);
        assert_true(free_run.model->weights[offsets[i]] != 0);
    }
    assert_true(a.model->weights[norm.gamma + 3] != 0);
    drop(&a), drop(&free_run);
}

static void test_mask_outside_the_model_is_refused(void **state)
{
    const int64_t offsets[] = {1 << 30};
    rl_weight_mask mask = {offsets, 1};
    (void)state;
    outcome a = train(0, toy_settings(), 42, &mask, NULL);
    assert_fails(a.status, RL_ERR_INPUT, a.err, "masked weight 1073741824");
    drop(&a);
}

/* Moments of masked weights are zero too: else they would jump when the mask is lifted. */
static void test_masked_moments_stay_zero(void **state)
{
    rl_error err = {0};
    rl_optimizer_state optimizer;
    rl_model *model = tiny_model("bert", 0);
    rl_train_settings settings = toy_settings();
    const int64_t offsets[] = {7};
    rl_weight_mask mask = {offsets, 1};
    (void)state;
    assert_ok(rl_optimizer_create(&optimizer, model, &settings, &mask, &err), err);
    for (int64_t i = 0; i < model->num_weights; i++) optimizer.gradients[i] = 0.5f;
    rl_optimizer_update(&optimizer, 1, 1e-3, 1.0);
    assert_true(model->weights[7] == 0 && optimizer.m[7] == 0 && optimizer.v[7] == 0);
    assert_true(model->weights[8] != 0 && optimizer.m[8] != 0 && optimizer.v[8] != 0);
    rl_optimizer_clear(&optimizer);
    rl_model_free(model);
}

/* Protocol §3: gradients (3,4),(12) have norm 13; clipped to 1 they are 0.230769 0.307692 0.923077. */
static void test_clipping_by_global_norm(void **state)
{
    rl_error err = {0};
    rl_optimizer_state optimizer;
    rl_model *model = tiny_model("bert", 0);
    rl_train_settings settings = toy_settings();
    const rl_parameter *first = &model->parameters[0], *second = &model->parameters[1];
    (void)state;
    assert_ok(rl_optimizer_create(&optimizer, model, &settings, NULL, &err), err);
    optimizer.gradients[first->offset] = 3, optimizer.gradients[first->offset + 1] = 4;
    optimizer.gradients[second->offset] = 12;
    double norm = rl_optimizer_gradient_norm(&optimizer);
    assert_close(norm, 13, 1e-12, 0);
    rl_optimizer_update(&optimizer, 1, 1e-3, norm); /* m = (1 - beta1) g after the first update */
    assert_close(optimizer.m[first->offset] * 10, 0.230769, 2e-6, 0);
    assert_close(optimizer.m[first->offset + 1] * 10, 0.307692, 2e-6, 0);
    assert_close(optimizer.m[second->offset] * 10, 0.923077, 2e-6, 0);
    rl_optimizer_clear(&optimizer);
    settings.max_grad_norm = 0;
    assert_ok(rl_optimizer_create(&optimizer, model, &settings, NULL, &err), err);
    optimizer.gradients[0] = 100;
    rl_optimizer_update(&optimizer, 1, 1e-3, 100);
    assert_close(optimizer.m[0], 10, 1e-6, 0);
    rl_optimizer_clear(&optimizer);
    rl_model_free(model);
}

/* Matrices and tables shrink without gradients, biases and LayerNorms do not: p (1 - lr wd). */
static void test_decay_takes_matrices_only(void **state)
{
    rl_error err = {0};
    rl_optimizer_state optimizer;
    rl_model *model = tiny_model("distilbert", 0);
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.weight_decay = 0.5;
    for (int64_t i = 0; i < model->num_weights; i++) model->weights[i] = 1;
    assert_ok(rl_optimizer_create(&optimizer, model, &settings, NULL, &err), err);
    rl_optimizer_update(&optimizer, 1, 0.1, 0);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *tensor = &model->parameters[i];
        bool decays = tensor->num_dims == 2; /* in these architectures the two are the same set */
        assert_close(model->weights[tensor->offset], decays ? 0.95 : 1.0, 1e-6, 0);
    }
    rl_optimizer_clear(&optimizer);
    rl_model_free(model);
}

typedef struct seen {
    int64_t steps, epochs[8], num_epochs, total;
    bool fail;
} seen;
static void on_step(void *context, const rl_step_record *record, int64_t total_steps)
{
    seen *s = context;
    assert_int_equal(record->step, ++s->steps);
    s->total = total_steps;
}
static rl_status on_epoch(void *context, int64_t epoch, const rl_model *model, rl_error *err)
{
    seen *s = context;
    (void)model;
    s->epochs[s->num_epochs++] = epoch;
    return s->fail ? rl_fail(err, RL_ERR_IO, "no evaluation today") : RL_OK;
}

static void test_hooks_and_max_steps(void **state)
{
    seen s = {0};
    rl_train_hooks hooks = {.context = &s, .on_step = on_step, .on_epoch = on_epoch};
    rl_train_settings settings = toy_settings();
    (void)state;
    outcome a = train(0, settings, 42, NULL, &hooks);
    assert_ok(a.status, a.err);
    assert_true(s.steps == 18 && s.total == 18 && s.num_epochs == 3 && s.epochs[2] == 2);
    s = (seen){0};
    settings.max_steps = 8; /* in the second epoch: it is reported, as HF Trainer does */
    outcome b = train(0, settings, 42, NULL, &hooks);
    assert_ok(b.status, b.err);
    assert_true(s.steps == 8 && s.total == 8 && s.num_epochs == 2 && s.epochs[1] == 1);
    for (int i = 0; i < 8; i++) assert_true(a.log.steps[i].loss == b.log.steps[i].loss); /* one schedule */
    s = (seen){.fail = true};
    outcome c = train(0, settings, 42, NULL, &hooks);
    assert_fails(c.status, RL_ERR_IO, c.err, "no evaluation today");
    assert_null(c.log.steps);
    drop(&a), drop(&b), drop(&c);
}

typedef struct grid_view {
    float *weights; /* as the hook saw them */
    int64_t num_weights, calls;
} grid_view;
static rl_status on_grid(void *context, int64_t step, const rl_model *model, rl_error *err)
{
    grid_view *view = context;
    (void)err;
    assert_int_equal(step, 4);
    assert_int_equal(model->num_weights, view->num_weights);
    memcpy(view->weights, model->weights, (size_t)view->num_weights * sizeof *view->weights);
    view->calls++;
    return RL_OK;
}

/* In the middle of an epoch the hook gets the model that a training of as many steps ends with: rows of the word table
 * that the last batch did not read are up to date too. */
static void test_the_grid_sees_every_row_up_to_date(void **state)
{
    rl_error err = {0};
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.batch_size = 1; /* a sentence has half of the vocabulary at most */
    settings.epochs = 1;
    settings.max_steps = 4;
    outcome whole = train(0, settings, 42, NULL, NULL);
    assert_ok(whole.status, whole.err);
    grid_view view = {.num_weights = whole.model->num_weights};
    view.weights = rl_calloc((size_t)view.num_weights, sizeof *view.weights, &err);
    rl_train_hooks hooks = {.context = &view, .grid_steps = 4, .on_grid = on_grid};
    settings.max_steps = 5;
    outcome longer = train(0, settings, 42, NULL, &hooks);
    assert_ok(longer.status, longer.err);
    assert_int_equal(view.calls, 1);
    assert_memory_equal(view.weights, whole.model->weights, (size_t)view.num_weights * sizeof *view.weights);
    rl_free(view.weights);
    drop(&whole), drop(&longer);
}

static void test_divergence_names_the_step(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.learning_rate = 1e30;
    settings.max_grad_norm = 0;
    outcome a = train(0, settings, 42, NULL, NULL);
    assert_fails(a.status, RL_ERR_DIVERGED, a.err,
                 "training diverged at step 2 of 18 (epoch 0, learning rate 9.44444e+29)");
    drop(&a);
}

/* Losses that stay finite, far above ln 5: AdamW moves each weight by about its learning rate, so a head of weights in the thousands makes
 * logits in the thousands. A hundred steps must have gone wrong before it is said; 99 of them are no verdict. */
static void test_a_loss_that_explodes_and_stays_finite_is_divergence(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.learning_rate = 20;
    settings.epochs = 40;
    outcome a = train(0, settings, 42, NULL, NULL);
    assert_fails(a.status, RL_ERR_DIVERGED, a.err, "training diverged at step 100 of 240 (epoch 16, learning rate ");
    assert_non_null(strstr(a.err.message, "over the last 100 steps"));
    settings.max_steps = 99;
    outcome shorter = train(0, settings, 42, NULL, NULL);
    assert_ok(shorter.status, shorter.err);
    drop(&a), drop(&shorter);
}

static void test_bad_settings_are_refused_before_training(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    settings.batch_size = 0;
    outcome a = train(0, settings, 42, NULL, NULL);
    assert_fails(a.status, RL_ERR_INPUT, a.err, "train.batch_size is 0");
    drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_falls),
        cmocka_unit_test(test_an_epoch_has_every_token_once),
        cmocka_unit_test(test_same_seed_same_bits_other_seed_other_dropout),
        cmocka_unit_test(test_every_step_draws_its_own_dropout),
        cmocka_unit_test(test_dropout_key_overrides_the_model),
        cmocka_unit_test(test_dropout_is_unbiased_on_the_first_loss),
        cmocka_unit_test(test_masked_weights_stay_zero),
        cmocka_unit_test(test_mask_outside_the_model_is_refused),
        cmocka_unit_test(test_masked_moments_stay_zero),
        cmocka_unit_test(test_clipping_by_global_norm),
        cmocka_unit_test(test_decay_takes_matrices_only),
        cmocka_unit_test(test_hooks_and_max_steps),
        cmocka_unit_test(test_the_grid_sees_every_row_up_to_date),
        cmocka_unit_test(test_divergence_names_the_step),
        cmocka_unit_test(test_a_loss_that_explodes_and_stays_finite_is_divergence),
        cmocka_unit_test(test_bad_settings_are_refused_before_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
