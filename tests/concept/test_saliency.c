/* Saliency and null neurons: every number of protocol §9's table, and the three null rules. */
#include "concept_support.h"

typedef struct row {
    double T;
    int64_t rank;
    double saliency;
} row;

static void test_table_of_the_protocol(void **state)
{
    static const row rows[] = {
        {5376, 0, 1},          {5376, 99, 1},           {5376, 100, .981046},   {5376, 2299, .583017},
        {5376, 2300, .564064}, {5376, 2699, .507202},   {5376, 2700, .488249},  {5376, 4500, .147081},
        {5376, 4600, .128127}, {5376, 5375, .00454890}, {4608, 0, 1},           {4608, 99, 1},
        {4608, 100, .977817},  {4608, 2299, .511979},   {4608, 2300, .489796},  {4608, 2699, .423248},
        {4608, 2700, .401065}, {4608, 4500, .00177462}, {4608, 4600, .0204082}, {4608, 5375, .175688},
        {2688, 0, 1},          {2688, 99, 1},           {2688, 100, .961360},   {2688, 2299, .149923},
        {2688, 2300, .111283}, {2688, 1299, .536321},   {2688, 1300, .497682},  {2688, 2687, .00463679},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_close(rl_saliency_binned(rows[i].rank, rows[i].T), rows[i].saliency, 0, 6e-7);
}

static int64_t count_above_half(double T, int64_t N)
{
    int64_t count = 0;
    for (int64_t rank = 0; rank < N; rank++) count += rl_saliency_binned(rank, T) > .5;
    return count;
}

static void test_counts_of_the_protocol(void **state)
{
    (void)state;
    assert_int_equal(count_above_half(5376, 5376), 2700);
    assert_int_equal(count_above_half(4608, 5376), 2300);
    assert_int_equal(count_above_half(2688, 2688), 1300);
}

static void test_corrected_saliency_and_T(void **state)
{
    (void)state;
    assert_same(rl_saliency(0, 5376), 1);
    assert_same(rl_saliency(5375, 5376), 0);
    assert_same(rl_saliency(25, 101), .75);
    assert_same(rl_saliency(0, 1), 1);
    assert_same(rl_saliency_T(RL_PROTOCOL_PUBLISHED, 6, 768), 5376);
    assert_same(rl_saliency_T(RL_PROTOCOL_HEAD, 6, 768), 4608);
}

/* Python: [w.isalpha() for w in ...] */
static void test_python_isalpha(void **state)
{
    static const char *letters[] = {"Ankara", "é", "Â", "straße", "日本", "ʻ", "ª", "Ǆ"};
    static const char *others[] = {"",         "£",   "½",         "3", "O'Brien", "a-b",
                                   "\xc2\x80", "a b", "e\xcc\x81", "Ⅷ", "\xff",    "a\xc3"};
    (void)state;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) assert_true(rl_is_alphabetic(letters[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_false(rl_is_alphabetic(others[i]));
}

static void test_null_by_words(void **state)
{
    static const int32_t none[] = {-1, -1, -1}, letters[] = {0, -1, -1}, mixed[] = {0, 1, -1}, dropped[] = {2, 1, -1};
    rl_names *words = NULL;
    rl_error err = {0};
    int32_t id;
    (void)state;
    assert_ok(rl_names_create(&words, &err), err);
    assert_ok(rl_names_intern(words, "Oslo", 4, &id, &err), err);
    assert_ok(rl_names_intern(words, "1996", 4, &id, &err), err);
    assert_ok(rl_names_intern(words, "\xc2\x80", 2, &id, &err), err);
    assert_false(rl_null_by_words(RL_PROTOCOL_PUBLISHED, letters, 3, words));
    assert_true(rl_null_by_words(RL_PROTOCOL_PUBLISHED, mixed, 3, words));
    assert_true(rl_null_by_words(RL_PROTOCOL_PUBLISHED, dropped, 3, words));
    assert_false(rl_null_by_words(RL_PROTOCOL_PUBLISHED, none, 3, words)); /* any() of nothing */
    assert_false(rl_null_by_words(RL_PROTOCOL_HEAD, letters, 3, words));
    assert_false(rl_null_by_words(RL_PROTOCOL_HEAD, mixed, 3, words));
    assert_true(rl_null_by_words(RL_PROTOCOL_HEAD, dropped, 3, words));
    assert_true(rl_null_by_words(RL_PROTOCOL_HEAD, none, 3, words));
    rl_names_free(words);
}

/* The limit is 1 % of the median of the *base* layer: layer 0's median is 2 (mean of 1 and 3), layer 1's is 200. */
static void test_null_by_sd(void **state)
{
    static const float base[] = {1, 3, 100, .5f, 200, 200, 1, 300};
    static const float sd[] = {.0199f, .0201f, 0, 5, 1.9f, 2.1f, 0, .02f};
    static const uint8_t expected[] = {1, 0, 1, 0, 1, 0, 1, 1};
    uint8_t null[8];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_null_by_sd(null, sd, base, 2, 4, &err), err);
    assert_memory_equal(null, expected, sizeof null);
    static const float dead[] = {0, 0, 0, 5}; /* more than half of a layer that never moves: its own median says nothing of it */
    assert_ok(rl_null_by_sd(null, dead, dead, 1, 4, &err), err);
    assert_memory_equal(null, ((const uint8_t[]){0, 0, 0, 0}), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_of_the_protocol),
        cmocka_unit_test(test_counts_of_the_protocol),
        cmocka_unit_test(test_corrected_saliency_and_T),
        cmocka_unit_test(test_python_isalpha),
        cmocka_unit_test(test_null_by_words),
        cmocka_unit_test(test_null_by_sd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
