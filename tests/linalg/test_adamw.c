/* AdamW in both variants: the protocol's worked example, a float64 reference over many steps, and the clip. */
#include "linalg_cases.h"

static rl_adamw settings(rl_optimizer variant, double learning_rate, int64_t step)
{
    return (rl_adamw){.variant = variant, .learning_rate = learning_rate, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                      .weight_decay = 0.01, .step = step, .gradient_scale = 1.0f};
}

/* protocol §3: lr 0.1 falling linearly over T = 3 steps, wd 0.01, no clip. */
static void test_worked_examples_of_the_protocol(void **state)
{
    const float g[3][2] = {{0.5f, -1e-9f}, {0.25f, 2e-9f}, {-1.0f, 0.0f}};
    const double expected[2][3][2] = {
        {{0.899000002, -1.98890909}, {0.836255361, -1.99091579}, {0.842855177, -1.99133064}},
        {{0.899100063, -1.99768508}, {0.836396819, -1.99652453}, {0.842994293, -1.9959252}}};
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int variant = 0; variant < 2; variant++) {
            float p[] = {1.0f, -2.0f}, m[] = {0, 0}, v[] = {0, 0};
            for (int k = 0; k < 3; k++) {
                rl_adamw s = settings(variant ? RL_ADAMW_HF : RL_ADAMW_TORCH, 0.1 * (3 - k) / 3, k + 1);
                rl_adamw_step(p, g[k], m, v, 2, s);
                for (int i = 0; i < 2; i++) assert_close(p[i], expected[variant][k][i], 2.5e-7, 0); /* 2 ulp */
            }
        }
}

static void reference_step(double *p, double g, double *m, double *v, const rl_adamw *s)
{
    double b1 = 1 - pow(s->beta1, (double)s->step), b2 = 1 - pow(s->beta2, (double)s->step);
    g *= s->gradient_scale;
    *m = s->beta1 * *m + (1 - s->beta1) * g;
    *v = s->beta2 * *v + (1 - s->beta2) * g * g;
    if (s->variant == RL_ADAMW_TORCH) {
        *p *= 1 - s->learning_rate * s->weight_decay;
        *p -= s->learning_rate / b1 * *m / (sqrt(*v) / sqrt(b2) + s->eps);
    } else {
        *p -= s->learning_rate * (sqrt(b2) / b1) * *m / (sqrt(*v) + s->eps);
        *p -= s->learning_rate * s->weight_decay * *p;
    }
}

static void test_many_steps_are_the_reference(void **state)
{
    enum { N = 53, STEPS = 40 };
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int variant = 0; variant < 2; variant++) {
            float p[N], g[N], m[N] = {0}, v[N] = {0};
            double pd[N], md[N] = {0}, vd[N] = {0};
            fill_numbers(p, N, 1.0f, 1);
            for (int i = 0; i < N; i++) pd[i] = p[i];
            for (int t = 1; t <= STEPS; t++) {
                rl_adamw s = settings(variant ? RL_ADAMW_HF : RL_ADAMW_TORCH, 1e-2 / t, t);
                s.gradient_scale = 0.25f;
                fill_numbers(g, N, 2.0f, (uint32_t)t);
                rl_adamw_step(p, g, m, v, N, s);
                for (int i = 0; i < N; i++) reference_step(&pd[i], g[i], &md[i], &vd[i], &s);
            }
            for (int i = 0; i < N; i++) {
                assert_close(p[i], pd[i], 0, 1e-6);
                assert_close(m[i], md[i], 1e-5, 1e-7); /* the moments are state too */
                assert_close(v[i], vd[i], 1e-5, 1e-9);
            }
        }
}

/* protocol §3: gradients (3, 4), (12) have norm 13; clipped they are (0.230769, 0.307692), (0.923077). With beta1 = 0
 * and no history the first moment is the clipped gradient. */
static void test_clip_of_the_protocol(void **state)
{
    const float g[] = {3, 4, 12};
    const double expected[] = {0.230769, 0.307692, 0.923077};
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        float p[3] = {0}, m[3] = {0}, v[3] = {0};
        double norm = sqrt(rl_sum_of_squares(g, 2) + rl_sum_of_squares(g + 2, 1));
        rl_adamw s = settings(RL_ADAMW_TORCH, 1e-3, 1);
        assert_true(norm == 13.0);
        s.beta1 = 0.0;
        s.gradient_scale = (float)fmin(1.0, 1.0 / (norm + 1e-6));
        rl_adamw_step(p, g, m, v, 3, s);
        for (int i = 0; i < 3; i++) assert_close(m[i], expected[i], 2e-6, 0);
        assert_true(g[0] == 3.0f && g[2] == 12.0f);
    }
}

/* Without gradient a moment goes to zero and does not stay subnormal, and decay and momentum go on (protocol §3). */
static void test_rows_without_gradient_move_on_and_end_at_zero(void **state)
{
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        float p[1] = {1.0f}, g[1] = {0.0f}, m[1] = {1e-3f}, v[1] = {1e-6f};
        rl_adamw_step(p, g, m, v, 1, settings(RL_ADAMW_TORCH, 1e-2, 1));
        assert_close(p[0], 1 - 1e-4 - 1e-2 * 9e-3 / sqrt(0.999e-3), 1e-6, 0);
        for (int t = 2; t < 1200; t++) {
            rl_adamw_step(p, g, m, v, 1, settings(RL_ADAMW_TORCH, 1e-2, t));
            assert_true(m[0] == 0.0f || m[0] >= FLT_MIN);
        }
        assert_true(m[0] == 0.0f);
    }
}

/* Idle steps at once are as many steps with a zero gradient, bit for bit: from fresh momentum down to none, at a falling
 * rate, in widths with and without a tail, with rows that never had a gradient among them. */
static void test_idle_steps_at_once_are_the_same_bits(void **state)
{
    enum { N = 83, STEPS = 1500 };
    static rl_adamw_rates rates[STEPS];
    static float p[2][N], m[2][N], v[2][N], g[N];
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int variant = 0; variant < 2; variant++)
            for (int64_t n = 1; n <= N; n += 41)
                for (int64_t cut = 0; cut < STEPS; cut += 499) {
                    rl_adamw s = settings(variant ? RL_ADAMW_HF : RL_ADAMW_TORCH, 0, 0);
                    fill_numbers(p[0], N, 1.0f, 1);
                    fill_numbers(m[0], N, 1e-3f, 2);
                    fill_numbers(g, N, 1e-3f, 3);
                    for (int i = 0; i < N; i++) v[0][i] = g[i] * g[i];
                    for (int i = 40; i < 60; i++) m[0][i] = v[0][i] = 0.0f;
                    memset(g, 0, sizeof g);
                    memcpy(p[1], p[0], sizeof p[0]), memcpy(m[1], m[0], sizeof m[0]), memcpy(v[1], v[0], sizeof v[0]);
                    for (int t = 0; t < STEPS; t++) {
                        s.step = 7 + t, s.learning_rate = 1e-3 * (STEPS - t) / STEPS;
                        rates[t] = rl_adamw_rates_of(s);
                        rl_adamw_step(p[0], g, m[0], v[0], n, s);
                    }
                    rl_adamw_idle_steps(p[1], m[1], v[1], n, s, rates, cut);
                    rl_adamw_idle_steps(p[1], m[1], v[1], n, s, rates + cut, STEPS - cut);
                    assert_memory_equal(p[0], p[1], (size_t)n * sizeof **p);
                    assert_memory_equal(m[0], m[1], (size_t)n * sizeof **m);
                    assert_memory_equal(v[0], v[1], (size_t)n * sizeof **v);
                }
}

static void test_sum_of_squares(void **state)
{
    enum { N = 1003 };
    static float x[N];
    (void)state;
    fill_numbers(x, N, 1e3f, 1);
    x[7] = 1e25f; /* its square overflows float, not double */
    for (size_t isa = 0; use_isa(isa); isa++)
        for (int n = 0; n <= N; n += 59) {
            double sum = 0.0;
            for (int i = 0; i < n; i++) sum += (double)x[i] * x[i];
            assert_close(rl_sum_of_squares(x, n), sum, 1e-14, 0);
        }
    x[3] = NAN;
    assert_true(isnan(rl_sum_of_squares(x, N)));
}

static void test_nan_gradient_is_not_lost(void **state)
{
    (void)state;
    for (size_t isa = 0; use_isa(isa); isa++) {
        float p[2] = {1, 1}, g[2] = {NAN, 1}, m[2] = {0}, v[2] = {0};
        rl_adamw_step(p, g, m, v, 2, settings(RL_ADAMW_TORCH, 1e-2, 1));
        assert_true(isnan(p[0]) && isnan(m[0]) && isnan(v[0]) && !isnan(p[1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked_examples_of_the_protocol),
                                       cmocka_unit_test(test_many_steps_are_the_reference),
                                       cmocka_unit_test(test_clip_of_the_protocol),
                                       cmocka_unit_test(test_rows_without_gradient_move_on_and_end_at_zero),
                                       cmocka_unit_test(test_idle_steps_at_once_are_the_same_bits),
                                       cmocka_unit_test(test_sum_of_squares),
                                       cmocka_unit_test(test_nan_gradient_is_not_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
