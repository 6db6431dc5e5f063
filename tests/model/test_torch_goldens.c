/* Small Hub folders in every layout, against float64 PyTorch (tools/goldens/model.py): logits and hidden states within
 * 2e-5, the loss, and every parameter's gradient. Error of a gradient: max |d| / max |g| and |d|_2 / |g|_2 of its
 * tensor, both <= 1e-4.
 *
 * LABELS: golden */
#include "model_support.h"

static const char *const cases[] = {"bert_f32", "bert_f16_no_prefix", "bert_bf16_sharded", "distilbert_f32",
                                    "distilbert_f16_no_prefix", "gpt2_f32", "gpt2_f16_no_prefix", "roberta_f32",
                                    "electra_f32", "bert_masked", "distilbert_masked", "roberta_masked", "gpt2_masked"};

typedef struct golden {
    rl_model *model;
    json_t *json;
    rl_safetensors arrays;
    owned_batch b;
    float *values; /* scratch for one array */
} golden;

static void open_golden(golden *g, const char *name)
{
    rl_error err = {0};
    char path[4096];
    memset(g, 0, sizeof *g);
    snprintf(path, sizeof path, "%s", support_file("golden/model"));
    char *folder = rl_path_join(path, name, &err);
    assert_ok(rl_model_check_folder(folder, &err), err);
    assert_ok(rl_model_load(&g->model, folder, NULL, 0, &err), err);
    assert_false(g->model->head_is_new);
    snprintf(path, sizeof path, "%s/golden.json", folder);
    assert_ok(rl_json_read(&g->json, path, &err), err);
    snprintf(path, sizeof path, "%s/golden.safetensors", folder);
    assert_ok(rl_safetensors_open(&g->arrays, path, &err), err);
    batch_from_json(&g->b, g->json);
    g->values = calloc((size_t)g->model->num_weights, sizeof *g->values);
    rl_free(folder);
}

static void close_golden(golden *g)
{
    rl_model_free(g->model);
    json_decref(g->json);
    rl_safetensors_close(&g->arrays);
    free(g->values);
}

/* The golden array of this name, converted; its size must be count. */
static const float *array(golden *g, const char *kind, const char *name, int64_t count)
{
    char full[256];
    snprintf(full, sizeof full, "%s.%s", kind, name);
    for (size_t i = 0; i < g->arrays.num_tensors; i++) {
        if (strcmp(g->arrays.tensors[i].name, full) != 0) continue;
        assert_int_equal(g->arrays.tensors[i].count, count);
        rl_tensor_to_float(g->values, &g->arrays.tensors[i]);
        return g->values;
    }
    print_error("no golden array %s\n", full);
    fail();
    return NULL;
}

static void check_logits(const golden *g, const float *logits)
{
    const json_t *rows = json_object_get(g->json, "logits");
    int64_t K = g->model->config.num_labels;
    assert_int_equal(json_array_size(rows), g->b.batch.num_tokens);
    for (int64_t t = 0; t < g->b.batch.num_tokens; t++)
        for (int64_t k = 0; k < K; k++)
            assert_close(logits[t * K + k],
                         json_number_value(json_array_get(json_array_get(rows, (size_t)t), (size_t)k)), 0, 2e-5);
}

static void check_hidden(golden *g, const rl_workspace *workspace)
{
    int64_t n = g->b.batch.num_tokens * g->model->config.hidden_size;
    for (int64_t l = 0; l <= g->model->config.num_layers; l++) {
        char layer[8];
        snprintf(layer, sizeof layer, "%d", (int)l);
        const float *expected = array(g, "hidden", layer, n);
        for (int64_t i = 0; i < n; i++) assert_close(workspace->hidden[l][i], expected[i], 0, 2e-5);
    }
}

static double largest(const float *x, int64_t n)
{
    double best = 0;
    for (int64_t i = 0; i < n; i++) best = fmax(best, fabs(x[i]));
    return best;
}

/* A key bias adds the same to all scores of a query, so its exact gradient is 0: there the golden is float64's noise
 * and ours float32's, which is measured against the model's largest gradient instead. */
static void check_gradient(golden *g, const rl_parameter *p, const float *mine, double model_largest)
{
    const float *expected = array(g, "gradient", p->name, p->count);
    bool is_zero = strstr(p->name, "key.bias") || strstr(p->name, "k_lin.bias");
    double worst = 0, difference = 0, scale = largest(expected, p->count), norm = norm_of(expected, p->count);
    for (int64_t i = 0; i < p->count; i++) {
        double d = (double)mine[i] - expected[i];
        worst = fabs(d) > worst || isnan(d) ? fabs(d) : worst;
        difference += d * d;
    }
    if (is_zero) {
        assert_true(scale < 1e-9);
        assert_close(worst, 0, 0, 1e-6 * model_largest);
    } else {
        assert_true(scale > 0);
        if (!(worst <= 1e-4 * scale && sqrt(difference) <= 1e-4 * norm)) print_error("%s\n", p->name);
        assert_close(worst / scale, 0, 0, 1e-4);
        assert_close(sqrt(difference) / norm, 0, 0, 1e-4);
    }
}

static void check_case(const char *name)
{
    golden g;
    open_golden(&g, name);
    rl_workspace *training = workspace_for(g.model, &g.b, true), *eval = workspace_for(g.model, &g.b, false);
    float *gradients = new_gradients(g.model);
    check_logits(&g, rl_model_forward(g.model, eval, &g.b.batch, NULL));
    check_logits(&g, rl_model_forward(g.model, training, &g.b.batch, NULL));
    check_hidden(&g, training);
    double loss = rl_model_backward(g.model, training, &g.b.batch, NULL, gradients);
    assert_close(loss, json_number_value(json_object_get(g.json, "loss")), 1e-6, 0);
    for (int64_t i = 0; i < g.model->num_parameters; i++)
        check_gradient(&g, &g.model->parameters[i], gradients + g.model->parameters[i].offset,
                       largest(gradients, g.model->num_weights));
    free(gradients);
    rl_workspace_free(training);
    rl_workspace_free(eval);
    close_golden(&g);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("case %s\n", cases[i]);
        check_case(cases[i]);
    }
}

/* The id of the padding token stands in a sentence of every case, and still its row gets no gradient (padding_idx);
 * rows that no token reads get exactly zero. */
static void test_unused_rows_have_zero_gradient(void **state)
{
    golden g;
    (void)state;
    open_golden(&g, "bert_f32");
    int64_t C = g.model->config.hidden_size;
    rl_workspace *workspace = workspace_for(g.model, &g.b, true);
    float *gradients = new_gradients(g.model), *words = gradients + rl_model_word_embeddings(g.model);
    float *positions = gradients + rl_model_find(g.model, "bert.embeddings.position_embeddings.weight")->offset;
    float *types = gradients + rl_model_find(g.model, "bert.embeddings.token_type_embeddings.weight")->offset;
    bool used[64] = {false};
    rl_model_forward(g.model, workspace, &g.b.batch, NULL);
    rl_model_backward(g.model, workspace, &g.b.batch, NULL, gradients);
    for (int64_t t = 0; t < g.b.batch.num_tokens; t++) used[g.b.ids[t]] = true;
    assert_true(used[0]);
    used[0] = false;
    for (int64_t row = 0; row < g.model->config.vocab_size; row++)
        assert_true((largest(words + row * C, C) > 0) == used[row]);
    for (int64_t row = 0; row < g.model->config.max_positions; row++)
        assert_true((largest(positions + row * C, C) > 0) == (row < g.b.batch.max_length));
    assert_true(largest(types, C) > 0);
    assert_true(largest(types + C, C) == 0);
    free(gradients);
    rl_workspace_free(workspace);
    close_golden(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_unused_rows_have_zero_gradient)};
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
