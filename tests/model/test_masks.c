/* Removal in the forward pass, on every family: the masked unit is exactly zero where it is measured, everything
 * behind it is
 * as if its readers' weights were zero, gradients are those of finite differences, and zeroed weights can come back.
 *
 * LABELS: unit */
#include "model_support.h"

typedef struct fixture {
    rl_model *model;
    rl_workspace *workspace, *eval;
    float *gradients;
    owned_batch b;
    const rl_model_dropout *dropout; /* NULL: none */
} fixture;

static void set_up(fixture *f, const char *config)
{
    f->model = load_text(config);
    fill_by_formula(f->model);
    protocol_batch(&f->b); /* points into itself: a fixture must not be copied */
    f->workspace = workspace_for(f->model, &f->b, true);
    f->eval = workspace_for(f->model, &f->b, false);
    f->gradients = new_gradients(f->model);
    f->dropout = NULL;
}

static void tear_down(fixture *f)
{
    rl_workspace_free(f->workspace);
    rl_workspace_free(f->eval);
    rl_model_free(f->model);
    free(f->gradients);
}

static double loss_and_gradients(fixture *f)
{
    rl_model_forward(f->model, f->workspace, &f->b.batch, f->dropout);
    return rl_model_backward(f->model, f->workspace, &f->b.batch, f->dropout, f->gradients);
}

static void set_masks(rl_model *model, const rl_unit *units, int64_t n)
{
    rl_error err = {0};
    assert_ok(rl_model_set_masks(model, units, n, &err), err);
}

/* Two units of every layer of a site, in no order and one of them twice. */
static int64_t some_units(rl_unit units[32], const rl_model *model, rl_unit_site site)
{
    int64_t n = 0;
    for (int32_t layer = 0; layer < rl_unit_layers(&model->config, site); layer++) {
        int32_t last = (int32_t)rl_units_per_layer(&model->config, site) - 1;
        units[n++] = (rl_unit){site, layer, last};
        if (site != RL_UNIT_HEAD) units[n++] = (rl_unit){site, layer, 1};
        units[n++] = (rl_unit){site, layer, last};
    }
    return n;
}

/* The T values of a unit in the training workspace; width: floats of a unit. */
static const float *place_of(const fixture *f, rl_unit unit, int64_t *row, int64_t *width)
{
    const rl_model_config *c = &f->model->config;
    *width = unit.site == RL_UNIT_HEAD ? c->hidden_size / c->num_heads : 1;
    *row = unit.site == RL_UNIT_FFN ? c->intermediate_size : c->hidden_size;
    const float *x = unit.site == RL_UNIT_HIDDEN ? f->workspace->hidden[unit.layer]
                     : unit.site == RL_UNIT_FFN  ? f->workspace->block[unit.layer].gelu
                                                 : f->workspace->block[unit.layer].context;
    return x + unit.unit * *width;
}

static bool is_null(const fixture *f, rl_unit unit)
{
    int64_t row, width;
    const float *x = place_of(f, unit, &row, &width);
    for (int64_t t = 0; t < f->b.batch.num_tokens; t++)
        for (int64_t d = 0; d < width; d++)
            if (x[t * row + d] != 0.0f) return false;
    return true;
}

static void test_masked_units_are_null(void **state)
{
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = 0; site < RL_UNIT_SITES; site++) {
            fixture f;
            set_up(&f, tiny_families[family]);
            rl_unit units[32];
            int64_t n = some_units(units, f.model, (rl_unit_site)site);
            rl_model_forward(f.model, f.workspace, &f.b.batch, NULL);
            for (int64_t i = 0; i < n; i++) assert_false(is_null(&f, units[i]));
            set_masks(f.model, units, n);
            rl_model_forward(f.model, f.workspace, &f.b.batch, NULL);
            for (int64_t i = 0; i < n; i++) assert_true(is_null(&f, units[i]));
            assert_false(is_null(&f, (rl_unit){(rl_unit_site)site, 0, 0}));
            tear_down(&f);
        }
}

/* Dropout must not bring anything back. */
static void test_masked_units_are_null_under_dropout(void **state)
{
    const rl_model_dropout dropout = {.seed = 3, .step = 5, .override_rate = 0.3f};
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = 0; site < RL_UNIT_SITES; site++) {
            fixture f;
            set_up(&f, tiny_families[family]);
            rl_unit units[32];
            int64_t n = some_units(units, f.model, (rl_unit_site)site);
            set_masks(f.model, units, n);
            rl_model_forward(f.model, f.workspace, &f.b.batch, &dropout);
            for (int64_t i = 0; i < n; i++) assert_true(is_null(&f, units[i]));
            tear_down(&f);
        }
}

/* The evaluation's shared buffers, the layer-major pass and a view give the logits of the training pass. */
static void test_every_pass_obeys(void **state)
{
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = 0; site < RL_UNIT_SITES; site++) {
            fixture f;
            set_up(&f, tiny_families[family]);
            rl_error err = {0};
            rl_unit units[32];
            rl_model_masks *masks = NULL;
            int64_t n = some_units(units, f.model, (rl_unit_site)site), T = f.b.batch.num_tokens;
            int64_t C = f.model->config.hidden_size, L = f.model->config.num_layers;
            float plain[9 * 8], hidden[8 * 8];
            memcpy(plain, rl_model_forward(f.model, f.eval, &f.b.batch, NULL), sizeof plain);
            assert_ok(rl_model_view_masks(&masks, f.model, units, n, &err), err);
            rl_model view = rl_model_view(f.model, masks);
            const float *masked = rl_model_forward(&view, f.workspace, &f.b.batch, NULL);
            assert_memory_not_equal(masked, plain, sizeof plain);
            const float *again = rl_model_forward(&view, f.eval, &f.b.batch, NULL);
            for (int64_t i = 0; i < T * 9; i++) assert_close(again[i], masked[i], 0, 1e-6);
            rl_model_embed(&view, f.eval, &f.b.batch, hidden);
            for (int64_t layer = 0; layer < L; layer++) rl_model_block(&view, f.eval, &f.b.batch, layer, hidden);
            for (int64_t i = 0; i < T * C; i++) assert_close(hidden[i], f.workspace->hidden[L][i], 0, 1e-6);
            /* the model behind the view is as it was */
            assert_memory_equal(rl_model_forward(f.model, f.eval, &f.b.batch, NULL), plain, sizeof plain);
            rl_model_masks_free(masks);
            tear_down(&f);
        }
}

/* Central differences in float32 see some three digits; gradients here are of the order of 0.01 to 1. */
static double numeric(fixture *f, int64_t offset)
{
    const float step = 0x1p-8f, before = f->model->weights[offset];
    double loss[2];
    for (int i = 0; i < 2; i++) {
        f->model->weights[offset] = before + (i ? step : -step);
        loss[i] = loss_and_gradients(f);
    }
    f->model->weights[offset] = before;
    return (loss[1] - loss[0]) / (2.0 * (double)step);
}

static void check_slopes(fixture *f)
{
    float *analytic = new_gradients(f->model);
    loss_and_gradients(f);
    memcpy(analytic, f->gradients, (size_t)f->model->num_weights * sizeof *analytic);
    for (int64_t p = 0; p < f->model->num_parameters; p++)
        for (int64_t k = 0; k < f->model->parameters[p].count; k += 1 + f->model->parameters[p].count / 7) {
            int64_t at = f->model->parameters[p].offset + k;
            bool pad_row = strstr(f->model->parameters[p].name, "word_embeddings") && k < 16;
            if (!pad_row) assert_close(analytic[at], numeric(f, at), 5e-3, 5e-4);
        }
    free(analytic);
}

/* With every dropout of the family on as well: the masks of one step are the same however often it is computed. */
static void test_gradients_of_masked_models(void **state)
{
    const rl_model_dropout dropout = {.seed = 3, .step = 5, .override_rate = 0.3f};
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = 0; site < RL_UNIT_SITES; site++) {
            fixture f;
            rl_unit units[32];
            set_up(&f, tiny_families[family]);
            set_masks(f.model, units, some_units(units, f.model, (rl_unit_site)site));
            check_slopes(&f);
            f.dropout = &dropout;
            check_slopes(&f);
            tear_down(&f);
        }
}

/* Nothing of a masked unit reaches the weights that make it, and those that read it get nothing either. */
static void test_no_gradient_through_masked_units(void **state)
{
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++) {
        fixture f;
        set_up(&f, tiny_families[family]);
        const rl_unit ffn = {RL_UNIT_FFN, 1, 3}, head = {RL_UNIT_HEAD, 0, 1};
        const rl_unit units[] = {ffn, head};
        set_masks(f.model, units, 2);
        loss_and_gradients(&f);
        for (int i = 0; i < 2; i++) {
            rl_weight_span spans[64];
            int64_t n = rl_model_unit_spans(spans, f.model, units[i]);
            for (int64_t s = 0; s < n; s++)
                for (int64_t k = 0; k < spans[s].count; k++)
                    assert_true(f.gradients[spans[s].offset + k * spans[s].stride] == 0.0f);
        }
        tear_down(&f);
    }
}

/* Masking a unit is the same as zeroing what reads it: the down-projection's column, the output projection's columns.
 * */
static void test_masks_equal_zeroed_readers(void **state)
{
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = RL_UNIT_FFN; site <= RL_UNIT_HEAD; site++) {
            fixture f;
            set_up(&f, tiny_families[family]);
            const rl_unit unit = {(rl_unit_site)site, 1, 1};
            float masked[9 * 8];
            int64_t C = f.model->config.hidden_size, in = site == RL_UNIT_FFN ? f.model->config.intermediate_size : C;
            int64_t width = site == RL_UNIT_FFN ? 1 : C / f.model->config.num_heads;
            bool in_out = f.model->config.architecture->in_out;
            set_masks(f.model, &unit, 1);
            memcpy(masked, rl_model_forward(f.model, f.eval, &f.b.batch, NULL), sizeof masked);
            set_masks(f.model, NULL, 0);
            float *matrix = rl_tensor(f.model, f.model->weights,
                                      site == RL_UNIT_FFN ? RL_ROLE_FFN_OUT_WEIGHT : RL_ROLE_ATTENTION_OUT_WEIGHT, 1);
            for (int64_t out = 0; out < C; out++)
                for (int64_t d = width; d < 2 * width; d++) matrix[in_out ? d * C + out : out * in + d] = 0;
            const float *zeroed = rl_model_forward(f.model, f.eval, &f.b.batch, NULL);
            for (int i = 0; i < 9 * 8; i++) assert_close(zeroed[i], masked[i], 0, 1e-6);
            tear_down(&f);
        }
}

/* Free removal: null at once, and the gradient of what was zeroed is not. */
static void test_zeroed_units_are_null_and_can_regrow(void **state)
{
    rl_error err = {0};
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++)
        for (int site = 0; site < RL_UNIT_SITES; site++)
            for (int32_t layer = 0; layer < 2; layer++) {
                fixture f;
                set_up(&f, tiny_families[family]);
                rl_unit unit = {(rl_unit_site)site, layer, 1};
                rl_weight_span spans[64];
                int64_t n = rl_model_unit_spans(spans, f.model, unit), alive = 0;
                assert_ok(rl_model_zero_units(f.model, &unit, 1, &err), err);
                loss_and_gradients(&f);
                assert_true(is_null(&f, unit));
                for (int64_t s = 0; s < n; s++)
                    for (int64_t k = 0; k < spans[s].count; k++) {
                        int64_t at = spans[s].offset + k * spans[s].stride;
                        assert_true(f.model->weights[at] == 0.0f);
                        alive += f.gradients[at] != 0.0f;
                    }
                assert_true(alive > 0);
                for (int64_t i = 0; i < f.model->num_weights; i++) f.model->weights[i] -= 0.01f * f.gradients[i];
                rl_model_forward(f.model, f.workspace, &f.b.batch, NULL);
                assert_false(is_null(&f, unit));
                tear_down(&f);
            }
}

/* A stream's channel is lost in every state up to the one asked for; the state behind ln_f needs only gamma and beta.
 * */
static void test_zeroed_channel_of_a_stream(void **state)
{
    rl_error err = {0};
    fixture f;
    set_up(&f, tiny_gpt2);
    const rl_unit unit = {RL_UNIT_HIDDEN, 1, 1};
    (void)state;
    assert_ok(rl_model_zero_units(f.model, &unit, 1, &err), err);
    rl_model_forward(f.model, f.workspace, &f.b.batch, NULL);
    assert_true(is_null(&f, unit) && is_null(&f, (rl_unit){RL_UNIT_HIDDEN, 0, 1}));
    assert_false(is_null(&f, (rl_unit){RL_UNIT_HIDDEN, 2, 1}));
    assert_int_equal(rl_model_unit_spans(NULL, f.model, (rl_unit){RL_UNIT_HIDDEN, 2, 1}), 2);
    tear_down(&f);
}

static void test_masks_travel_with_the_model(void **state)
{
    rl_error err = {0};
    (void)state;
    for (int family = 0; family < NUM_FAMILIES; family++) {
        fixture f;
        set_up(&f, tiny_families[family]);
        rl_model *copy = NULL, *loaded = NULL;
        const rl_unit units[] = {
            {RL_UNIT_HEAD, 0, 1}, {RL_UNIT_HIDDEN, 2, 7}, {RL_UNIT_FFN, 1, 15}, {RL_UNIT_HIDDEN, 0, 3}};
        char folder[4300];
        float expected[9 * 8];
        int64_t n;
        set_masks(f.model, units, 4);
        memcpy(expected, rl_model_forward(f.model, f.eval, &f.b.batch, NULL), sizeof expected);
        assert_ok(rl_model_copy(&copy, f.model, &err), err);
        snprintf(folder, sizeof folder, "%s/saved", new_folder("masked"));
        assert_ok(rl_model_save(copy, folder, NULL, &err), err);
        assert_ok(rl_model_load(&loaded, folder, NULL, 0, &err), err);
        assert_memory_equal(rl_model_forward(copy, f.eval, &f.b.batch, NULL), expected, sizeof expected);
        assert_memory_equal(rl_model_forward(loaded, f.eval, &f.b.batch, NULL), expected, sizeof expected);
        assert_int_equal(rl_model_masks_units(loaded->masks, &n)[0].layer, 0);
        assert_int_equal(n, 4);
        set_masks(loaded, NULL, 0);
        assert_ok(rl_model_save(loaded, folder, NULL, &err), err); /* and an old entry does not survive */
        rl_model_free(loaded);
        assert_ok(rl_model_load(&loaded, folder, NULL, 0, &err), err);
        assert_null(loaded->masks);
        rl_model_free(copy);
        rl_model_free(loaded);
        tear_down(&f);
    }
}

static void refuses_unit(const rl_model *model, rl_unit unit, const char *message)
{
    rl_model_masks *masks = NULL;
    rl_error err = {0};
    assert_int_equal(rl_model_masks_create(&masks, &model->config, &unit, 1, &err), RL_ERR_INPUT);
    assert_non_null(strstr(err.message, message));
    assert_null(masks);
}

static void refuses_text(const char *masks, const char *message)
{
    rl_model *model = NULL;
    rl_error err = {0};
    char config[2048];
    const char *folder = new_folder("refused");
    snprintf(config, sizeof config, "%.*s, \"relearn_masks\": %s}", (int)strlen(tiny_gpt2) - 1, tiny_gpt2, masks);
    write_in(folder, "config.json", config);
    assert_int_equal(rl_model_load(&model, folder, NULL, 0, &err), RL_ERR_INPUT);
    if (!strstr(err.message, message)) print_error("%s\n", err.message);
    assert_non_null(strstr(err.message, message));
    assert_non_null(strstr(err.message, "config.json"));
}

static void test_bad_masks(void **state)
{
    rl_model *model = load_text(tiny_gpt2);
    (void)state;
    refuses_unit(model, (rl_unit){RL_UNIT_HIDDEN, 3, 0}, "layer 3 of site hidden does not exist; expected 0 to 2");
    refuses_unit(model, (rl_unit){RL_UNIT_FFN, 2, 0}, "layer 2 of site ffn does not exist; expected 0 to 1");
    refuses_unit(model, (rl_unit){RL_UNIT_FFN, 0, 16}, "unit 16 of site ffn does not exist; expected 0 to 15");
    refuses_unit(model, (rl_unit){RL_UNIT_HEAD, 0, -1}, "unit -1 of site head does not exist; expected 0 to 1");
    rl_model_free(model);
    refuses_text("[]", "is not an object");
    refuses_text("{\"hiden\": []}", "\"hiden\" is not a site; expected hidden, ffn or head; the nearest is hidden");
    refuses_text("{\"head\": 1}", "\"head\" is not an array");
    refuses_text("{\"head\": [[0]]}", "an entry that is not [layer, unit]");
    refuses_text("{\"head\": [[0, 0.5]]}", "an entry that is not [layer, unit]");
    refuses_text("{\"head\": [[0, 2]]}", "unit 2 of site head does not exist");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_units_are_null),
        cmocka_unit_test(test_masked_units_are_null_under_dropout),
        cmocka_unit_test(test_every_pass_obeys),
        cmocka_unit_test(test_gradients_of_masked_models),
        cmocka_unit_test(test_no_gradient_through_masked_units),
        cmocka_unit_test(test_masks_equal_zeroed_readers),
        cmocka_unit_test(test_zeroed_units_are_null_and_can_regrow),
        cmocka_unit_test(test_zeroed_channel_of_a_stream),
        cmocka_unit_test(test_masks_travel_with_the_model),
        cmocka_unit_test(test_bad_masks),
    };
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
