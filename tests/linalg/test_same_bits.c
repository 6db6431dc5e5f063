/* One instruction set gives the same bits wherever the arrays lie (a sum whose order followed the alignment would not),
 * and the instruction sets agree with each other to a few roundings. */
#include "linalg_cases.h"

enum { T = 4, C = 70, D = 35, N = T * C };

typedef struct outputs {
    float y[N], mean[T], rstd[T], dx[N], dgamma[C], dbeta[C], gelu[N], pre[N], dpre[N], dbias[C], sums[C];
    float attention[N], probs[2 * T * T], p[N], m[N], v[N], exponential[N];
    double squares;
} outputs;

static void run_all(outputs *o, const float *x, const float *qkv, const float *row, float *scratch)
{
    static const int32_t start[] = {0, T};
    const rl_dropout dropout = {.p = 0.1f, .key = {1, 2}, .step = 3, .stream = 4};
    rl_adamw s = {RL_ADAMW_TORCH, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1.0f};
    memset(o, 0, sizeof *o);
    rl_residual_layer_norm_forward(o->y, o->pre, o->mean, o->rstd, x, row, qkv, row, row, T, C, 1e-5f, dropout);
    rl_layer_norm_backward(o->dx, o->dgamma, o->dbeta, x, qkv, o->mean, o->rstd, row, T, C);
    rl_bias_gelu_forward(o->gelu, o->pre, x, row, T, C);
    rl_bias_gelu_backward(o->dpre, o->dbias, qkv, x, T, C);
    rl_column_sums(o->sums, x, T, C);
    rl_attention_forward(o->attention, o->probs, qkv, start, 1, C / D, D,
                         rl_attention_scores_default(D), dropout, scratch);
    memcpy(o->p, x, sizeof o->p);
    rl_adamw_step(o->p, x, o->m, o->v, N, s);
    rl_exp(o->exponential, x, N);
    o->squares = rl_sum_of_squares(x, N);
}

static void test_bits_do_not_depend_on_alignment(void **state)
{
    static outputs straight, shifted;
    float *x = FLOATS(N + 16), *qkv = FLOATS(3 * N + 16), *row = FLOATS(C + 16);
    float *scratch = FLOATS(rl_attention_scratch_count(T, D) + 16);
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        for (int shift = 0; shift < 16; shift++) {
            fill_numbers(x + shift, N, 2.0f, 1);
            fill_numbers(qkv + shift, 3 * N, 1.0f, 2);
            fill_numbers(row + shift, C, 1.0f, 3);
            run_all(shift ? &shifted : &straight, x + shift, qkv + shift, row + shift, scratch + shift);
            if (shift) assert_memory_equal(&shifted, &straight, sizeof straight);
        }
    }
    rl_free(x);
    rl_free(qkv);
    rl_free(row);
    rl_free(scratch);
}

static void test_instruction_sets_agree(void **state)
{
    static outputs first, other;
    float *x = FLOATS(N), *qkv = FLOATS(3 * N), *row = FLOATS(C), *scratch = FLOATS(rl_attention_scratch_count(T, D));
    (void)state;
    fill_numbers(x, N, 2.0f, 1);
    fill_numbers(qkv, 3 * N, 1.0f, 2);
    fill_numbers(row, C, 1.0f, 3);
    for (size_t isa = 0; use_isa(isa); isa++) {
        run_all(isa ? &other : &first, x, qkv, row, scratch);
        if (!isa) continue;
        const float *a = (const float *)&other, *b = (const float *)&first;
        for (size_t i = 0; i < offsetof(outputs, squares) / sizeof(float); i++) /* sums of up to 70 numbers below 10 */
            assert_close(a[i], b[i], 1e-5, 5e-6);
        assert_close(other.squares, first.squares, 1e-14, 0);
    }
    rl_free(x);
    rl_free(qkv);
    rl_free(row);
    rl_free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits_do_not_depend_on_alignment),
                                       cmocka_unit_test(test_instruction_sets_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
