/* LayerNorm forward, fused and backward: the protocol's worked examples, a float64 reference and its slope. */
#include "linalg_cases.h"

enum { T = 3, C = 37, BIG = T * C }; /* no multiple of any vector */

static double reference_row(double *y, const double *x, const float *gamma, const float *beta, int64_t n, double eps)
{
    double mean = 0.0, squares = 0.0;
    for (int64_t c = 0; c < n; c++) mean += x[c] / (double)n;
    for (int64_t c = 0; c < n; c++) squares += (x[c] - mean) * (x[c] - mean) / (double)n;
    for (int64_t c = 0; c < n; c++) y[c] = (x[c] - mean) / sqrt(squares + eps) * gamma[c] + beta[c];
    return 1.0 / sqrt(squares + eps);
}

static void test_worked_examples_of_the_protocol(void **state)
{
    const float x[] = {1, 2, 3, 6}, gamma[] = {1, 2, 0, 1}, beta[] = {0, .5f, .25f, -1}, dy[] = {1, -1, 2, .5f};
    const float small[] = {1e-3f, 2e-3f, 3e-3f, 6e-3f}, one[] = {1, 1, 1, 1}, zero[] = {0, 0, 0, 0};
    const double y[] = {-1.06904, -.569045, .25, .603567}, dx[] = {.715878, -.944959, .0668153, .162266},
                 dgamma[] = {-1.06904, .534522, 0, .801784}, tiny[] = {-1.06904, -.534522, 0, 1.60357},
                 damped[] = {-.544331, -.272166, 0, .816497};
    float out[4], mean, rstd, out_gamma[4], out_beta[4];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_layer_norm_forward(out, &mean, &rstd, x, gamma, beta, 1, 4, 1e-12f);
        for (int i = 0; i < 4; i++) assert_close(out[i], y[i], 1e-5, 1e-7); /* six digits are given */
        rl_layer_norm_backward(out, out_gamma, out_beta, dy, x, &mean, &rstd, gamma, 1, 4);
        for (int i = 0; i < 4; i++) assert_close(out[i], dx[i], 1e-5, 1e-7);
        for (int i = 0; i < 4; i++) assert_close(out_gamma[i], dgamma[i], 1e-5, 1e-7);
        for (int i = 0; i < 4; i++) assert_true(out_beta[i] == dy[i]);
        rl_layer_norm_forward(out, &mean, &rstd, small, one, zero, 1, 4, 1e-12f);
        for (int i = 0; i < 4; i++) assert_close(out[i], tiny[i], 1e-5, 1e-6);
        rl_layer_norm_forward(out, &mean, &rstd, small, one, zero, 1, 4, 1e-5f);
        for (int i = 0; i < 4; i++) assert_close(out[i], damped[i], 1e-5, 1e-6);
    }
}

typedef struct norm_case {
    float x[BIG], dy[BIG], y[BIG], dx[BIG], sum[BIG], residual[BIG];
    float bias[C], gamma[C], beta[C], dgamma[C], dbeta[C], mean[T], rstd[T];
} norm_case;

static void fill_case(norm_case *n)
{
    fill_numbers(n->x, BIG, 2.0f, 1);
    fill_numbers(n->dy, BIG, 1.0f, 2);
    fill_numbers(n->residual, BIG, 3.0f, 3);
    fill_numbers(n->bias, C, 1.0f, 4);
    fill_numbers(n->gamma, C, 1.5f, 5);
    fill_numbers(n->beta, C, 1.0f, 6);
}

static void test_forward_is_the_reference(void **state)
{
    static norm_case n;
    (void)state;
    fill_case(&n);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_layer_norm_forward(n.y, n.mean, n.rstd, n.x, n.gamma, n.beta, T, C, 1e-5f);
        for (int t = 0; t < T; t++) {
            double x[C], y[C];
            for (int c = 0; c < C; c++) x[c] = n.x[t * C + c];
            assert_close(n.rstd[t], reference_row(y, x, n.gamma, n.beta, C, 1e-5f), 1e-6, 0);
            for (int c = 0; c < C; c++) assert_close(n.y[t * C + c], y[c], 0, 3e-6);
        }
    }
}

/* In place (sum is x), with and without bias, with and without dropout, against the passes one by one. */
static void check_fused(norm_case *n, const float *bias, rl_dropout dropout)
{
    static float branch[BIG], in_place[BIG], y_in_place[BIG];
    for (int i = 0; i < BIG; i++) branch[i] = n->x[i] + (bias ? bias[i % C] : 0.0f);
    rl_dropout_apply(branch, branch, BIG, dropout);
    rl_residual_layer_norm_forward(n->y, n->sum, n->mean, n->rstd, n->x, bias, n->residual, n->gamma, n->beta, T, C,
                                   1e-12f, dropout);
    for (int i = 0; i < BIG; i++) assert_close(n->sum[i], (double)n->residual[i] + branch[i], 2e-7, 2e-7);
    for (int t = 0; t < T; t++) {
        double sum[C], y[C];
        for (int c = 0; c < C; c++) sum[c] = n->sum[t * C + c];
        reference_row(y, sum, n->gamma, n->beta, C, 1e-12);
        for (int c = 0; c < C; c++) assert_close(n->y[t * C + c], y[c], 0, 3e-6);
    }
    memcpy(in_place, n->x, sizeof in_place);
    rl_residual_layer_norm_forward(y_in_place, in_place, n->mean, n->rstd, in_place, bias, n->residual, n->gamma,
                                   n->beta, T, C, 1e-12f, dropout);
    assert_memory_equal(in_place, n->sum, sizeof in_place);
    assert_memory_equal(y_in_place, n->y, sizeof y_in_place);
}

static void test_fused_forward_is_its_parts(void **state)
{
    static norm_case n;
    rl_dropout dropout = {.p = 0.25f, .key = {11, 22}, .step = 3, .stream = 5};
    (void)state;
    fill_case(&n);
    for (size_t isa = 0; use_isa(isa); isa++) {
        check_fused(&n, n.bias, dropout);
        check_fused(&n, NULL, dropout);
        check_fused(&n, n.bias, rl_dropout_none());
        check_fused(&n, NULL, rl_dropout_none());
    }
}

/* d(sum of dy * y)/dx[at] of one row in float64. */
static double slope(const norm_case *n, int t, int at)
{
    const double h = 1e-5;
    double x[C], y[C], value[2];
    for (int side = 0; side < 2; side++) {
        value[side] = 0.0;
        for (int c = 0; c < C; c++) x[c] = n->x[t * C + c] + (c == at ? (side ? h : -h) : 0.0);
        reference_row(y, x, n->gamma, n->beta, C, 1e-5f);
        for (int c = 0; c < C; c++) value[side] += n->dy[t * C + c] * y[c];
    }
    return (value[1] - value[0]) / (2 * h);
}

static void test_backward_is_the_slope(void **state)
{
    static norm_case n;
    static float in_place[BIG];
    (void)state;
    fill_case(&n);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_layer_norm_forward(n.y, n.mean, n.rstd, n.x, n.gamma, n.beta, T, C, 1e-5f);
        for (int c = 0; c < C; c++) n.dgamma[c] = n.dbeta[c] = NAN; /* written, not accumulated */
        rl_layer_norm_backward(n.dx, n.dgamma, n.dbeta, n.dy, n.x, n.mean, n.rstd, n.gamma, T, C);
        for (int t = 0; t < T; t++)
            for (int c = 0; c < C; c++) assert_close(n.dx[t * C + c], slope(&n, t, c), 1e-5, 2e-6);
        for (int c = 0; c < C; c++) {
            double dgamma = 0.0, dbeta = 0.0;
            for (int t = 0; t < T; t++) {
                dgamma += n.dy[t * C + c] * ((double)n.x[t * C + c] - n.mean[t]) * n.rstd[t];
                dbeta += n.dy[t * C + c];
            }
            assert_close(n.dgamma[c], dgamma, 1e-5, 1e-6);
            assert_close(n.dbeta[c], dbeta, 1e-5, 1e-6);
        }
        memcpy(in_place, n.dy, sizeof in_place); /* dx may be dy */
        rl_layer_norm_backward(in_place, n.dgamma, n.dbeta, in_place, n.x, n.mean, n.rstd, n.gamma, T, C);
        assert_memory_equal(in_place, n.dx, sizeof in_place);
    }
}

static void test_nan_stays_in_its_row_and_is_not_lost(void **state)
{
    static norm_case n;
    (void)state;
    fill_case(&n);
    n.x[C + 5] = NAN;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_layer_norm_forward(n.y, n.mean, n.rstd, n.x, n.gamma, n.beta, T, C, 1e-5f);
        for (int c = 0; c < C; c++) assert_true(isnan(n.y[C + c]) && !isnan(n.y[c]) && !isnan(n.y[2 * C + c]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked_examples_of_the_protocol),
                                       cmocka_unit_test(test_forward_is_the_reference),
                                       cmocka_unit_test(test_fused_forward_is_its_parts),
                                       cmocka_unit_test(test_backward_is_the_slope),
                                       cmocka_unit_test(test_nan_stays_in_its_row_and_is_not_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
