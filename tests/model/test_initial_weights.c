/* A fresh model of every family is drawn as transformers draws one: the same constants to the bit, normals of the same deviation
 * and mean within their standard errors, the same rows of zeros (tools/goldens/initial.py).
 *
 * LABELS: unit golden */
#include "model_support.h"

#define ERRORS 5 /* standard errors: one false alarm in a million tensors */

static const char *const families[] = {"bert", "distilbert", "electra", "roberta", "gpt2"};

static bool is_listed(const json_t *rows, int64_t row)
{
    size_t i;
    json_t *value;
    json_array_foreach(rows, i, value) if (json_integer_value(value) == row) return true;
    return false;
}

static void check_constant(const rl_parameter *p, const float *w, double value)
{
    for (int64_t k = 0; k < p->count; k++)
        if ((double)w[k] != value) fail_msg("%s[%d] is %g; transformers has %g everywhere", p->name, (int)k, (double)w[k], value);
}

/* The rows that are zero there and no others are zero here; the rest is normal with the golden's deviation. */
static void check_normal(const rl_parameter *p, const float *w, const json_t *golden)
{
    const json_t *zero_rows = json_object_get(golden, "zero_rows");
    double sd = json_real_value(json_object_get(golden, "sd")), sum = 0, squares = 0, n = 0;
    int64_t row = json_integer_value(json_array_get(json_object_get(golden, "shape"), 1));
    for (int64_t r = 0; r < p->count / row; r++) {
        bool zero = is_listed(zero_rows, r);
        for (int64_t k = r * row; k < (r + 1) * row; k++) {
            double x = (double)w[k];
            if (zero ? x != 0 : fabs(x) > 6 * sd) fail_msg("%s: row %d has %g; sd %g", p->name, (int)r, x, sd);
            if (!zero) sum += x, squares += x * x, n++;
        }
    }
    assert_close(sum / n, 0, 0, ERRORS * sd / sqrt(n));
    assert_close(sqrt(squares / n), sd, ERRORS / sqrt(2 * n) * (1 + 1 / sqrt(40.0)), 0); /* the golden pools 40 models */
}

static void check_family(const json_t *golden)
{
    const json_t *tensors = json_object_get(golden, "tensors");
    char *config = json_dumps(json_object_get(golden, "config"), 0);
    rl_model *model = load_text(config);
    for (int64_t i = 0; i < model->num_parameters; i++) {
        const rl_parameter *p = &model->parameters[i];
        const json_t *tensor = json_object_get(tensors, p->name);
        if (!tensor) fail_msg("transformers has no tensor %s", p->name);
        int64_t count = 1;
        for (size_t d = 0; d < json_array_size(json_object_get(tensor, "shape")); d++)
            count *= json_integer_value(json_array_get(json_object_get(tensor, "shape"), d));
        assert_int_equal(p->count, count);
        if (json_real_value(json_object_get(tensor, "sd")) == 0)
            check_constant(p, model->weights + p->offset, json_real_value(json_object_get(tensor, "mean")));
        else
            check_normal(p, model->weights + p->offset, tensor);
    }
    assert_int_equal(model->num_parameters, json_object_size(tensors));
    rl_model_free(model);
    free(config);
}

static void test_fresh_models(void **state)
{
    json_error_t why;
    json_t *golden = json_load_file(support_file("golden/model/initial.json"), 0, &why);
    (void)state;
    assert_non_null(golden);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) check_family(json_object_get(golden, families[i]));
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fresh_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
