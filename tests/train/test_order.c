/* Which sentence comes when, under torch's generator as Transformers 4 and 5 seed it (protocol §3's permutations). */
#include "fixtures.h"

enum { CONLL = 14041 };

static void expect_order(rl_data_order kind, int64_t epoch, const int64_t *first, size_t count)
{
    static int64_t order[CONLL];
    rl_error err = {0};
    rl_train_settings settings = rl_train_defaults();
    settings.order = kind;
    assert_ok(rl_train_order(order, CONLL, &settings, 42, epoch, &err), err);
    for (size_t i = 0; i < count; i++) assert_int_equal(order[i], first[i]);
}

static void test_hf5_orders(void **state)
{
    const int64_t first[] = {2295, 13308, 1611, 5781, 9103}, second[] = {10675, 7249, 5949};
    (void)state;
    expect_order(RL_ORDER_HF5, 0, first, 5);
    expect_order(RL_ORDER_HF5, 1, second, 3);
}

static void test_hf4_orders(void **state)
{
    const int64_t first[] = {10813, 389, 7317, 6351, 6110, 10403, 10571, 5394, 3485, 4071};
    const int64_t second[] = {12650, 6586, 8945, 11199, 10046};
    (void)state;
    expect_order(RL_ORDER_HF4, 0, first, 10);
    expect_order(RL_ORDER_HF4, 1, second, 5);
}

static void test_small_permutation(void **state)
{
    const int64_t expected[] = {6, 8, 9, 2, 1, 10, 0, 7, 3, 5, 4};
    int64_t order[11];
    rl_error err = {0};
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    assert_ok(rl_train_order(order, 11, &settings, 42, 0, &err), err);
    assert_memory_equal(order, expected, sizeof expected);
}

static void test_without_shuffling_file_order(void **state)
{
    int64_t order[7];
    rl_error err = {0};
    rl_train_settings settings = rl_train_defaults();
    (void)state;
    settings.shuffle = false;
    assert_ok(rl_train_order(order, 7, &settings, 42, 3, &err), err);
    for (int64_t i = 0; i < 7; i++) assert_int_equal(order[i], i);
    assert_fails(rl_train_order(order, -1, &settings, 42, 0, &err), RL_ERR_INPUT, err, "-1 sentences");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf5_orders),
        cmocka_unit_test(test_hf4_orders),
        cmocka_unit_test(test_small_permutation),
        cmocka_unit_test(test_without_shuffling_file_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
