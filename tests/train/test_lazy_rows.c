/* Rows of the word table that are updated when a batch reads them have the bits of rows updated at every step. */
#include "fixtures.h"

enum { STEPS = 1000, TOKENS = 5, VOCABULARY = 16 };

typedef struct side {
    rl_model *model;
    rl_optimizer_state optimizer;
} side;

static void open_side(side *s, const rl_train_settings *settings, const rl_weight_mask *mask)
{
    rl_error err = {0};
    s->model = tiny_model("bert", 0);
    assert_ok(rl_optimizer_create(&s->optimizer, s->model, settings, mask, &err), err);
    rl_optimizer_apply_mask(&s->optimizer);
}

static void close_side(side *s)
{
    rl_optimizer_clear(&s->optimizer);
    rl_model_free(s->model);
}

/* Words 0..9 are frequent, 10..14 rare, 15 never occurs. */
static int32_t word_of(int64_t step, int64_t token)
{
    uint64_t draw = (uint64_t)(1e9 * rl_rng_uniform(5, RL_PURPOSE_BOOTSTRAP, (uint32_t)step, 0, (uint64_t)token));
    return draw % 97 == 0 ? (int32_t)(10 + draw % 5) : (int32_t)(draw % 10);
}

/* Some gradient in every tensor; in the word table in the batch's rows alone. */
static void set_gradients(const side *s, const int32_t *ids, int64_t step)
{
    int64_t table = rl_model_word_embeddings(s->model), C = s->model->config.hidden_size;
    for (int64_t i = 0; i < s->model->num_weights; i++) {
        bool word = i >= table && i < table + VOCABULARY * C, read = !word;
        for (int64_t t = 0; word && t < TOKENS; t++) read |= ids[t] == (i - table) / C;
        s->optimizer.gradients[i] = read ? 1e-3f * (float)((i * 31 + step * 17) % 101 - 50) : 0.0f;
    }
}

static double update(side *s, const int32_t *ids, int64_t step, const rl_train_settings *settings)
{
    rl_batch batch = {.num_tokens = TOKENS, .ids = ids};
    rl_optimizer_read(&s->optimizer, &batch);
    set_gradients(s, ids, step);
    double norm = rl_optimizer_gradient_norm(&s->optimizer);
    rl_optimizer_update(&s->optimizer, step + 1, rl_train_learning_rate(settings, step, STEPS), norm);
    return norm;
}

static void same_bits(const side *a, const side *b)
{
    size_t bytes = (size_t)a->model->num_weights * sizeof(float);
    assert_memory_equal(a->model->weights, b->model->weights, bytes);
    assert_memory_equal(a->optimizer.m, b->optimizer.m, bytes);
    assert_memory_equal(a->optimizer.v, b->optimizer.v, bytes);
}

static void compare(rl_optimizer variant, const rl_weight_mask *mask)
{
    rl_error err = {0};
    side dense, lazy;
    int32_t ids[TOKENS];
    rl_train_settings settings = rl_train_defaults();
    settings.optimizer = variant;
    settings.learning_rate = 1e-3;
    settings.max_grad_norm = 0; /* the norm sums rows in another order; the clip factor is compared below */
    open_side(&dense, &settings, mask);
    open_side(&lazy, &settings, mask);
    assert_ok(rl_optimizer_make_lazy(&lazy.optimizer, 0, STEPS, TOKENS, &err), err);
    for (int64_t step = 0; step < STEPS; step++) {
        for (int64_t t = 0; t < TOKENS; t++) ids[t] = word_of(step, t);
        double norm = update(&dense, ids, step, &settings);
        assert_close(update(&lazy, ids, step, &settings), norm, 1e-14, 0);
        if (step % 333 == 100) { /* as an epoch's end does */
            rl_optimizer_read_all(&lazy.optimizer);
            same_bits(&dense, &lazy);
        }
    }
    rl_optimizer_read_all(&lazy.optimizer);
    same_bits(&dense, &lazy);
    close_side(&dense);
    close_side(&lazy);
}

static void test_a_thousand_steps_are_the_same_bits(void **state)
{
    (void)state;
    compare(RL_ADAMW_TORCH, NULL);
    compare(RL_ADAMW_HF, NULL);
}

static void test_masked_weights_of_the_table_stay_zero(void **state)
{
    rl_model *model = tiny_model("bert", 0);
    int64_t table = rl_model_word_embeddings(model), C = model->config.hidden_size;
    const int64_t offsets[] = {table + 3, table + 4 * C, table + 15 * C + 7};
    rl_weight_mask mask = {offsets, 3};
    (void)state;
    compare(RL_ADAMW_TORCH, &mask);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_thousand_steps_are_the_same_bits),
                                       cmocka_unit_test(test_masked_weights_of_the_table_stay_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
