/* What a rank's log keeps for the journal is text that JSON can hold, wherever a line was cut.
 * LABELS: unit */
#include "cluster_internal.h"
#include "support.h"

#include <string.h>

static void test_a_letter_that_is_cut_is_no_letter(void **state)
{
    char text[1201];
    rl_rank_log log = {.descriptor = -1};
    (void)state;
    for (int i = 0; i < 1200; i += 3) memcpy(text + i, "\xe8\xaa\x9e", 3); /* one letter over and over */
    text[1200] = '\0';
    for (int most = 898; most <= 900; most++) {
        rl_rank_log_begin(&log, "aaaaaaaaaaaa", "identify");
        rl_rank_log_line(&log, "FAILED: %.*s", most, text);
        json_t *string = json_string(log.tail); /* NULL where it is no UTF-8 */
        assert_non_null(string);
        assert_true(strlen(log.tail) > 800 && log.tail[strlen(log.tail) - 1] == '\n');
        assert_int_equal(log.tail[strlen(log.tail) - 2] == '?', most % 3 != 0);
        json_decref(string);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_letter_that_is_cut_is_no_letter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
