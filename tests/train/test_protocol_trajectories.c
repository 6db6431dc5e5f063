/* Four steps of rl_train with both AdamWs on protocol §15's tiny models: losses before each and after the last.
 * LABELS: golden */
#include "fixtures.h"

static int by_name(const void *a, const void *b)
{
    const rl_parameter *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Tensors in bytewise name order, ordinal t; element k = 0.5 sin(0.7 k + 1.3 t), LayerNorm weights 1 + 0.1 sin(...). */
static void fill(rl_model *model)
{
    const rl_parameter *sorted[64];
    assert_true(model->num_parameters <= 64);
    for (int64_t i = 0; i < model->num_parameters; i++) sorted[i] = &model->parameters[i];
    qsort(sorted, (size_t)model->num_parameters, sizeof *sorted, by_name);
    for (int64_t t = 0; t < model->num_parameters; t++) {
        const rl_parameter *tensor = sorted[t];
        bool norm = strstr(tensor->name, "LayerNorm.weight") || strstr(tensor->name, "layer_norm.weight");
        for (int64_t k = 0; k < tensor->count; k++) {
            double wave = sin(0.7 * (double)k + 1.3 * (double)t);
            model->weights[tensor->offset + k] = (float)(norm ? 1 + 0.1 * wave : 0.5 * wave);
        }
    }
}

/* The protocol's batch; its pads do not exist here. */
static int64_t start[] = {0, 5, 8}, word[] = {-1, 0, 1, 2, -1, -1, 3, -1};
static int32_t ids[] = {5, 6, 7, 8, 9, 10, 11, 12}, labels[] = {-100, 0, 5, 6, -100, -100, 3, -100};
static const rl_encoded data = {.num_sentences = 2,
                                .num_tokens = 8,
                                .num_words = 4,
                                .max_length = 5,
                                .sentence_start = start,
                                .ids = ids,
                                .labels = labels,
                                .word = word};

static void expect_losses(const char *model_type, rl_optimizer optimizer, const double losses[5])
{
    rl_error err = {0};
    rl_model *model = tiny_model(model_type, 0);
    rl_training_log log = {0};
    rl_train_settings settings = rl_train_defaults();
    int32_t predicted[8];
    double last;
    settings.epochs = 4;
    settings.batch_size = 2;
    settings.learning_rate = 1e-2;
    settings.shuffle = false;
    settings.optimizer = optimizer;
    fill(model);
    assert_ok(rl_train(model, &data, &settings, 42, NULL, NULL, NULL, &log, &err), err);
    for (int i = 0; i < 4; i++) assert_close(log.steps[i].loss, losses[i], 5e-6, 0); /* six digits are given */
    assert_ok(rl_predict(model, &data, predicted, &last, &err), err);
    assert_close(last, losses[4], 5e-6, 0);
    rl_training_log_free(&log);
    rl_model_free(model);
}

static void test_torch_adamw(void **state)
{
    const double distilbert[] = {3.13986, 2.63703, 2.28965, 2.12759, 2.06615};
    const double bert[] = {2.53164, 2.18952, 2.00124, 1.92050, 1.88301};
    (void)state;
    expect_losses("distilbert", RL_ADAMW_TORCH, distilbert);
    expect_losses("bert", RL_ADAMW_TORCH, bert);
}

static void test_hf4_adamw(void **state)
{
    const double distilbert[] = {3.13986, 2.63706, 2.28968, 2.12761, 2.06617};
    const double bert[] = {2.53164, 2.18955, 2.00127, 1.92053, 1.88305};
    (void)state;
    expect_losses("distilbert", RL_ADAMW_HF, distilbert);
    expect_losses("bert", RL_ADAMW_HF, bert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch_adamw),
        cmocka_unit_test(test_hf4_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
