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

static void hash_reals(rl_hash *hash, int first)
{
    for (int i = 0; i < 200; i++) rl_hash_real(hash, 0.1 * (first + i));
}

/* Texts of reals are remembered, by more of them than there are places: a hash that has seen others gives the same. */
static void test_a_used_hash_gives_what_a_new_one_does(void **state)
{
    (void)state;
    rl_error err = {0};
    rl_hash *used = NULL, *new = NULL;
    char a[RL_DIGEST_HEX], b[RL_DIGEST_HEX];
    assert_ok(rl_hash_create(&used, &err), err);
    assert_ok(rl_hash_create(&new, &err), err);
    hash_reals(used, -100);
    rl_hash_restart(used);
    hash_reals(used, 7);
    hash_reals(new, 7);
    rl_hash_digest(used, a);
    rl_hash_digest(new, b);
    assert_string_equal(a, b);
    rl_hash_real(new, 0.30000000000000004);
    rl_hash_real(used, 0.3);
    rl_hash_digest(used, a);
    rl_hash_digest(new, b);
    assert_string_not_equal(a, b);
    rl_hash_free(used);
    rl_hash_free(new);
}

/* Keys made by earlier versions must be found again: this digest was printed before texts were remembered. */
static void test_digests_of_reals_stay(void **state)
{
    (void)state;
    rl_error err = {0};
    rl_hash *hash = NULL;
    char hex[RL_DIGEST_HEX];
    assert_ok(rl_hash_create(&hash, &err), err);
    rl_hash_real(hash, 0.1);
    rl_hash_real(hash, 5e-5);
    rl_hash_real(hash, -0.0);
    rl_hash_real(hash, 3);
    rl_hash_digest(hash, hex);
    assert_string_equal(hex, "e8e7fe15800cf5f9b9444c4453deb235");
    rl_hash_free(hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_are_in_order_of_appearance),
        cmocka_unit_test(test_nearest_name_is_a_likely_typo_only),
        cmocka_unit_test(test_field_boundaries_are_content),
        cmocka_unit_test(test_a_used_hash_gives_what_a_new_one_does),
        cmocka_unit_test(test_digests_of_reals_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
