/* Interned names keep first-appearance ids; hashes tell field boundaries and types apart.
 * LABELS: unit */
#include "support.h"

static void test_ids_are_in_order_of_appearance(void **state)
{
    rl_error err = {0};
    rl_names *names = NULL;
    int32_t id = -1;
    char text[32];
    (void)state;
    assert_ok(rl_names_create(&names, &err), err);
    for (int i = 0; i < 5000; i++) {
        int length = snprintf(text, sizeof text, "word%d", i % 2500);
        assert_ok(rl_names_intern(names, text, (size_t)length, &id, &err), err);
        assert_int_equal(id, i % 2500);
    }
    assert_int_equal(rl_names_count(names), 2500);
    assert_string_equal(rl_names_get(names, 1234), "word1234");
    assert_int_equal(rl_names_find(names, "word77", 6), 77);
    assert_int_equal(rl_names_find(names, "word7", 6), -1); /* with its NUL: another string */
    assert_int_equal(rl_names_find(names, "absent", 6), -1);
    assert_ok(rl_names_intern(names, "", 0, &id, &err), err);
    assert_int_equal(id, 2500);
    rl_names_free(names);
}

static void test_nearest_name_is_a_likely_typo_only(void **state)
{
    const char *const keys[] = {"epochs", "batch_size", "learning_rate"};
    (void)state;
    assert_string_equal(rl_nearest_name("epoch", keys, 3), "epochs");
    assert_string_equal(rl_nearest_name("lerning_rate", keys, 3), "learning_rate");
    assert_null(rl_nearest_name("zzzzzz", keys, 3));
}

static void digest_of(char hex[RL_DIGEST_HEX], const char *a, const char *b, bool as_bytes)
{
    rl_error err = {0};
    rl_hash *hash = NULL;
    assert_ok(rl_hash_create(&hash, &err), err);
    if (as_bytes)
        rl_hash_bytes(hash, a, strlen(a));
    else
        rl_hash_text(hash, a);
    rl_hash_text(hash, b);
    rl_hash_digest(hash, hex);
    rl_hash_free(hash);
}

static void test_field_boundaries_are_content(void **state)
{
    char a[RL_DIGEST_HEX], b[RL_DIGEST_HEX], c[RL_DIGEST_HEX], d[RL_DIGEST_HEX];
    (void)state;
    digest_of(a, "ab", "c", false);
    digest_of(b, "a", "bc", false);
    digest_of(c, "ab", "c", true);
    digest_of(d, "ab", "c", false);
    assert_string_not_equal(a, b);
    assert_string_not_equal(a, c);
    assert_string_equal(a, d);
    assert_int_equal(strlen(a), RL_DIGEST_HEX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_in_order_of_appearance),
        cmocka_unit_test(test_nearest_name_is_a_likely_typo_only),
        cmocka_unit_test(test_field_boundaries_are_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
