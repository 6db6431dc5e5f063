/* What GPT-2 needs beside BERT's kernels: gelu_new, causal attention with a scale of its own, matrices stored [in, out], and a
 * residual without a norm. */
#include "linalg_cases.h"

static double reference_gelu(double x) { return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

static void test_worked_examples_of_the_protocol(void **state)
{
    const float x[] = {-3, -1, -.5f, .5f, 1, 3}, zero[6] = {0};
    const double expected[] = {-.00363739, -.158808, -.154286, .345714, .841192, 2.99636};
    float y[6], pre[6];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_tanh_gelu_forward(y, pre, x, zero, 1, 6);
        for (int i = 0; i < 6; i++) assert_close(y[i], expected[i], 3e-6, 0); /* six digits are given */
        assert_memory_equal(pre, x, sizeof x);
    }
}

/* The exponent's rounding grows with |u|; what is left of the value on the left tail still has five digits. */
static void test_gelu_over_the_whole_range(void **state)
{
    enum { N = 12001 };
    static float x[N], y[N], pre[N], zero[N], slope[N], dbias[N], one[N];
    (void)state;
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 1e-3f, one[i] = 1.0f;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_tanh_gelu_forward(y, pre, x, zero, 1, N);
        rl_bias_tanh_gelu_backward(slope, dbias, one, pre, 1, N);
        for (int i = 0; i < N; i++) {
            const double h = 1e-5, a = x[i];
            assert_close(y[i], reference_gelu(a), x[i] < 0 ? 2e-5 : 1e-6, 1e-12);
            assert_close(slope[i], (reference_gelu(a + h) - reference_gelu(a - h)) / (2 * h), 2e-6, 5e-7);
            assert_true(dbias[i] == slope[i]);
        }
    }
}

static void test_gelu_extremes(void **state)
{
    const float x[] = {NAN, 0.0f, 100.0f, -100.0f, FLT_MAX, -FLT_MAX}, zero[6] = {0};
    float y[6], pre[6];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_bias_tanh_gelu_forward(y, pre, x, zero, 1, 6);
        assert_true(isnan(y[0]) && y[1] == 0.0f && y[2] == 100.0f && y[3] == 0.0f && y[4] == FLT_MAX && y[5] == 0.0f);
    }
}

/* Query i of a causal sentence is the last query of the sentence cut behind it. 70 tokens: two blocks of queries. */
static void test_causal_attention_is_attention_on_prefixes(void **state)
{
    enum { N = 70, D = 12, H = 2, C = H * D };
    const int32_t all[] = {0, N};
    float *qkv = FLOATS(N * 3 * C), *out = FLOATS(N * C), *cut = FLOATS(N * C), *probs = FLOATS(H * N * N),
          *cut_probs = FLOATS(H * N * N), *scratch = FLOATS(rl_attention_scratch_count(N, D));
    const rl_attention_scores causal = {.scale = 0.4f, .causal = true}, full = {.scale = 0.4f};
    (void)state;
    fill_numbers(qkv, N * 3 * C, 1.5f, 1);
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_attention_forward(out, probs, qkv, all, 1, H, D, causal, rl_dropout_none(), scratch);
        for (int64_t i = 0; i < N; i++) {
            const int32_t prefix[] = {0, (int32_t)i + 1};
            rl_attention_forward(cut, cut_probs, qkv, prefix, 1, H, D, full, rl_dropout_none(), scratch);
            for (int64_t c = 0; c < C; c++) assert_close(out[i * C + c], cut[i * C + c], 1e-5, 1e-6);
            for (int64_t h = 0; h < H; h++)
                for (int64_t j = i + 1; j < N; j++) assert_true(probs[(h * N + i) * N + j] == 0.0f);
        }
    }
    rl_free(qkv);
    rl_free(out);
    rl_free(cut);
    rl_free(probs);
    rl_free(cut_probs);
    rl_free(scratch);
}

/* A later token has no part in an earlier one's output, so none in its gradient; the scale is linear in dq. */
static void test_causal_backward(void **state)
{
    enum { N = 9, D = 5, C = D };
    const int32_t start[] = {0, N};
    float qkv[N * 3 * C], out[N * C], probs[N * N], dout[N * C] = {0}, dqkv[N * 3 * C];
    float *scratch = FLOATS(rl_attention_scratch_count(N, D));
    const rl_attention_scores scores = {.scale = 0.7f, .causal = true};
    (void)state;
    fill_numbers(qkv, N * 3 * C, 1.5f, 1);
    fill_numbers(dout, 4 * C, 1.0f, 2); /* only tokens 0 to 3 are asked for */
    for (size_t isa = 0; use_isa(isa); isa++) {
        rl_attention_forward(out, probs, qkv, start, 1, 1, D, scores, rl_dropout_none(), scratch);
        rl_attention_backward(dqkv, dout, qkv, probs, start, 1, 1, D, scores, rl_dropout_none(), scratch);
        for (int64_t i = 4 * 3 * C; i < N * 3 * C; i++) assert_true(dqkv[i] == 0.0f);
        for (int64_t i = 0; i < 4 * 3 * C; i += 7) {
            const float h = 0x1p-7f, before = qkv[i];
            double value[2] = {0};
            for (int side = 0; side < 2; side++) {
                float nudged[N * C], other[N * N];
                qkv[i] = before + (side ? h : -h);
                rl_attention_forward(nudged, other, qkv, start, 1, 1, D, scores, rl_dropout_none(), scratch);
                for (int64_t c = 0; c < N * C; c++) value[side] += (double)dout[c] * nudged[c];
            }
            qkv[i] = before;
            assert_close(dqkv[i], (value[1] - value[0]) / (2.0 * (double)h), 1e-3, 1e-4);
        }
    }
    rl_free(scratch);
}

static void test_in_out_linear_is_linear_of_the_transpose(void **state)
{
    enum { T = 7, N = 13, K = 10 };
    static float x[T * K], w[N * K], io[K * N], bias[N], dy[T * N], y[T * N], y2[T * N], dx[T * K], dx2[T * K],
        dw[N * K], dio[K * N], db[N], db2[N];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    fill_numbers(x, T * K, 1, 1);
    fill_numbers(w, N * K, 1, 2);
    fill_numbers(bias, N, 1, 3);
    fill_numbers(dy, T * N, 1, 4);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++) io[k * N + n] = w[n * K + k];
    for (int with = 0; with < 2; with++) {
        rl_linear_forward(y, x, w, with ? bias : NULL, T, N, K);
        rl_linear_in_out_forward(y2, x, io, with ? bias : NULL, T, N, K);
        for (int i = 0; i < T * N; i++) assert_close(y2[i], y[i], 1e-6, 1e-6);
        for (int i = 0; i < T * K; i++) dx[i] = dx2[i] = with ? 2.0f : NAN; /* added to, or written */
        rl_linear_backward(dx, dw, db, dy, x, w, T, N, K, with);
        rl_linear_in_out_backward(dx2, dio, with ? NULL : db2, dy, x, io, T, N, K, with);
        for (int i = 0; i < T * K; i++) assert_close(dx2[i], dx[i], 1e-6, 1e-6);
        for (int n = 0; n < N; n++)
            for (int k = 0; k < K; k++) assert_close(dio[k * N + n], dw[n * K + k], 1e-6, 1e-6);
        assert_memory_equal(db, db2, sizeof db);
    }
}

/* A row wider than the part that goes through cache at once, and of odd width: the masks must be those of the flat array. */
static void test_residual(void **state)
{
    enum { T = 3, C = 517 };
    static float x[T * C], bias[C], residual[T * C], sum[T * C], expected[T * C];
    const rl_dropout dropouts[] = {rl_dropout_none(), {.p = 0.3f, .key = {5, 6}, .step = 9, .stream = 33}};
    (void)state;
    fill_numbers(bias, C, 1, 2);
    fill_numbers(residual, T * C, 1, 3);
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int d = 0; d < 2; d++) {
            fill_numbers(x, T * C, 1, 1);
            for (int i = 0; i < T * C; i++) expected[i] = x[i] + bias[i % C];
            rl_dropout_apply(expected, expected, T * C, dropouts[d]);
            rl_residual_forward(sum, x, bias, residual, T, C, dropouts[d]);
            for (int i = 0; i < T * C; i++) assert_close(sum[i], expected[i] + residual[i], 1e-6, 1e-6);
            rl_residual_forward(x, x, bias, residual, T, C, dropouts[d]); /* sum may be x */
            assert_memory_equal(x, sum, sizeof sum);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked_examples_of_the_protocol),
                                       cmocka_unit_test(test_gelu_over_the_whole_range),
                                       cmocka_unit_test(test_gelu_extremes),
                                       cmocka_unit_test(test_causal_attention_is_attention_on_prefixes),
                                       cmocka_unit_test(test_causal_backward),
                                       cmocka_unit_test(test_in_out_linear_is_linear_of_the_transpose),
                                       cmocka_unit_test(test_residual)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
