/* Cross entropy: the protocol's worked example, slope, ignored labels; argmax: ties go to the lowest index. */
#include "linalg_cases.h"

static void test_worked_example_of_the_protocol(void **state)
{
    const float logits[] = {2, 1, 0, 0, 0, 3, 1, 1, 1};
    const int32_t labels[] = {0, -100, 1};
    const double expected[] = {-.167380, .122364, .0450153, 0, 0, 0, .166667, -.333333, .166667};
    float dlogits[9] = {7, 7, 7, 7, 7, 7, 7, 7, 7};
    (void)state;
    assert_close(rl_cross_entropy(dlogits, logits, labels, 3, 3), .753109, 1e-6, 0);
    for (int i = 0; i < 9; i++) assert_close(dlogits[i], expected[i], 3e-6, 0);
    assert_close(rl_cross_entropy(NULL, logits, labels, 3, 3), .753109, 1e-6, 0);
}

static void test_gradient_is_the_slope_also_for_large_logits(void **state)
{
    enum { T = 6, K = 9 };
    float logits[T * K], dlogits[T * K];
    const int32_t labels[T] = {0, 8, -100, 3, 3, 5};
    (void)state;
    fill_numbers(logits, T * K, 5.0f, 1);
    for (int k = 0; k < K; k++) { /* without the row's maximum e^900 overflows and the sum of e^-900 is 0 */
        logits[k] += 900.0f;
        logits[K + k] -= 900.0f;
    }
    rl_cross_entropy(dlogits, logits, labels, T, K);
    for (int i = 0; i < T * K; i++) {
        const float h = 0x1p-9f; /* exact in float next to 900; the slope errs by h^2 */
        float before = logits[i];
        logits[i] = before + h;
        double up = rl_cross_entropy(NULL, logits, labels, T, K);
        logits[i] = before - h;
        double down = rl_cross_entropy(NULL, logits, labels, T, K);
        logits[i] = before;
        assert_close(dlogits[i], (up - down) / (2.0 * h), 1e-3, 1e-6);
    }
}

static void test_nothing_labelled_is_nan_with_zero_gradient(void **state)
{
    const float logits[] = {1, 2, 3, 4};
    const int32_t labels[] = {-100, -100};
    float dlogits[4] = {7, 7, 7, 7};
    (void)state;
    assert_true(isnan(rl_cross_entropy(dlogits, logits, labels, 2, 2)));
    for (int i = 0; i < 4; i++) assert_true(dlogits[i] == 0.0f);
}

static void test_nan_logits_give_a_nan_loss(void **state)
{
    const float logits[] = {1, NAN, NAN, 4};
    const int32_t labels[] = {0, 1};
    (void)state;
    assert_true(isnan(rl_cross_entropy(NULL, logits, labels, 1, 2)));
    assert_true(isnan(rl_cross_entropy(NULL, logits + 2, labels, 1, 2)));
}

static void test_argmax_ties_go_to_the_lowest(void **state)
{
    const float x[] = {1, 3, 3, 0, 0, 0, -2, -3, -1, INFINITY, INFINITY, 0};
    const int32_t expected[] = {1, 0, 2, 0};
    int32_t best[4];
    (void)state;
    rl_argmax_rows(best, x, 4, 3);
    assert_memory_equal(best, expected, sizeof best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked_example_of_the_protocol),
                                       cmocka_unit_test(test_gradient_is_the_slope_also_for_large_logits),
                                       cmocka_unit_test(test_nothing_labelled_is_nan_with_zero_gradient),
                                       cmocka_unit_test(test_nan_logits_give_a_nan_loss),
                                       cmocka_unit_test(test_argmax_ties_go_to_the_lowest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
