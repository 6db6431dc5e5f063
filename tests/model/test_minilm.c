/* A real BERT (all-MiniLM-L6-v2: 6 layers, 384 wide, no head, no prefix) on four CoNLL sentences, against float64
 * PyTorch: logits, loss, and of every parameter the gradient's norm and six elements, the largest among them.
 *
 * LABELS: real golden */
#include "model_support.h"

static rl_names *nine_labels(void)
{
    rl_names *labels = NULL;
    rl_error err = {0};
    assert_ok(rl_names_create(&labels, &err), err);
    for (int i = 0; i < 9; i++) {
        char name[8];
        int32_t id;
        snprintf(name, sizeof name, "T%d", i);
        assert_ok(rl_names_intern(labels, name, strlen(name), &id, &err), err);
    }
    return labels;
}

static void fill_head(rl_model *model)
{
    const char *const names[] = {"classifier.weight", "classifier.bias"};
    for (int t = 0; t < 2; t++) {
        const rl_parameter *p = rl_model_find(model, names[t]);
        for (int64_t k = 0; k < p->count; k++)
            model->weights[p->offset + k] = (float)(0.05 * sin(0.7 * (double)k + 1.3 * t));
    }
}

static void check_gradient(const json_t *golden, const char *name, const float *mine, int64_t count, double scale)
{
    const json_t *at = json_object_get(golden, "at"), *values = json_object_get(golden, "values");
    double norm = json_number_value(json_object_get(golden, "norm")),
           max = json_number_value(json_object_get(golden, "max"));
    bool is_zero = strstr(name, "key.bias") != NULL; /* exactly 0 in theory: see test_torch_goldens.c */
    assert_non_null(golden);
    if (is_zero)
        assert_close(norm_of(mine, count), 0, 0, 1e-6 * scale);
    else
        assert_close(norm_of(mine, count), norm, 1e-4, 0);
    for (size_t i = 0; i < json_array_size(at); i++)
        assert_close(mine[json_integer_value(json_array_get(at, i))], json_number_value(json_array_get(values, i)), 0,
                     is_zero ? 1e-6 * scale : 1e-4 * max);
}

static void test_minilm(void **state)
{
    rl_model *model = NULL;
    json_t *golden = NULL;
    rl_error err = {0};
    owned_batch b;
    rl_names *labels = nine_labels();
    (void)state;
    assert_ok(rl_model_load(&model, support_minilm(), labels, 1, &err), err);
    assert_true(model->head_is_new);
    fill_head(model);
    assert_ok(rl_json_read(&golden, support_file("golden/model/minilm.json"), &err), err);
    batch_from_json(&b, golden);
    rl_workspace *workspace = workspace_for(model, &b, true);
    float *gradients = new_gradients(model);
    const float *logits = rl_model_forward(model, workspace, &b.batch, NULL);
    const json_t *rows = json_object_get(golden, "logits");
    for (int64_t t = 0; t < b.batch.num_tokens; t++)
        for (int64_t k = 0; k < 9; k++)
            assert_close(logits[t * 9 + k],
                         json_number_value(json_array_get(json_array_get(rows, (size_t)t), (size_t)k)), 0, 2e-5);
    double loss = rl_model_backward(model, workspace, &b.batch, NULL, gradients);
    assert_close(loss, json_number_value(json_object_get(golden, "loss")), 1e-6, 0);
    double total = json_number_value(json_object_get(golden, "gradient_norm"));
    assert_close(sqrt(rl_sum_of_squares(gradients, model->num_weights)), total, 1e-5, 0);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        check_gradient(json_object_get(json_object_get(golden, "gradients"), p->name), p->name, gradients + p->offset,
                       p->count, total);
    }
    free(gradients);
    json_decref(golden);
    rl_workspace_free(workspace);
    rl_model_free(model);
    rl_names_free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_minilm)};
    if (!support_minilm()) support_skip_program("no models/minilm (./quickstart obtains it)");
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
