/* Whatever bytes a sweep file holds, reading it ends in runs or in one line that names the file: never in a crash (the
 * sanitizer builds watch), never in an internal error. */
#include "sweep_support.h"

static const char full[] =
    "# a comment\nsweep: s\ndata: {train: train.conll, validation: validation.conll, format: conll, limit: 20}\n"
    "concepts:\n  location: {tokens: tokens.txt, labels: \"labels.txt\", positive: ['SEM:named_entity:location', b]}\n"
    "grid:\n  model: [tiny-bert]\n  seed: 0..4..2\n  concept: location\n  prune.ratio: [0.1, .5]\n"
    "exclude:\n  - {seed: [0, 2], prune.ratio: 0.5}\nfilter: seed<4 && prune.ratio<=0.5\nprotocol: corrected\n"
    "train: {epochs: 2, learning_rate: 5e-3, shuffle: false}\nprune: {select: concept}\nanalyse: {similarity: "
    "{vectors: model}}\n";
enum { LENGTH = sizeof full - 1 };

static char path[700];
static int64_t num_good, num_bad;

static void write_bytes(const char *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, length, file) != length || fclose(file)) abort();
}

static void read_bytes(const char *bytes, size_t length)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    write_bytes(bytes, length);
    rl_status status = rl_sweep_read(&sweep, path, NULL, 0, NULL, &err);
    if (status == RL_OK) {
        num_good++;
        assert_true(sweep->num_runs > 0);
        assert_non_null(sweep->resolved);
        rl_sweep_free(sweep);
        return;
    }
    num_bad++;
    if (status != RL_ERR_INPUT || strncmp(err.message, path, strlen(path)))
        print_error("%.*s\n-> %s\n", (int)length, bytes, err.message);
    assert_int_equal(status, RL_ERR_INPUT);
    assert_memory_equal(err.message, path, strlen(path));
    assert_null(sweep);
}

static int name_file(void **state)
{
    make_world(state);
    snprintf(path, sizeof path, "%s/damaged.yaml", world.folder);
    return 0;
}

static void test_the_whole_file_is_good(void **state)
{
    (void)state;
    num_good = num_bad = 0;
    read_bytes(full, LENGTH);
    assert_int_equal(num_good, 1);
}

static void test_every_truncation(void **state)
{
    (void)state;
    num_good = num_bad = 0;
    for (size_t n = 0; n < LENGTH; n++) read_bytes(full, n);
    assert_true(num_bad > LENGTH / 2);
}

/* Every byte replaced by each of a few that mean something to YAML, and one that is not UTF-8. */
static void test_every_byte_replaced(void **state)
{
    static const char bytes[] = "\n\t :{}[],-'\"#&*!|>%@`0.\\\x01\xff";
    char text[sizeof full];
    (void)state;
    num_good = num_bad = 0;
    for (size_t i = 0; i < LENGTH; i++) {
        for (size_t b = i % 9; b < sizeof bytes; b += 9) { /* a ninth of them at each place; sizeof: NUL too */
            memcpy(text, full, sizeof full);
            text[i] = bytes[b];
            read_bytes(text, LENGTH);
        }
    }
    assert_true(num_good > 0 && num_bad > 500);
}

static void test_random_damage(void **state)
{
    char text[2 * sizeof full];
    (void)state;
    for (uint64_t trial = 0, at = 0; trial < 300; trial++) {
        size_t length = LENGTH;
        memcpy(text, full, sizeof full);
        for (uint32_t edits = 1 + rl_rng_bits(trial, RL_PURPOSE_BOOTSTRAP, 1, 0, 0) % 4; edits > 0; edits--) {
            size_t from = rl_rng_bits(trial, RL_PURPOSE_BOOTSTRAP, 2, 0, at++) % length,
                   n = rl_rng_bits(trial, RL_PURPOSE_BOOTSTRAP, 3, 0, at++) % 30;
            if (n > length - from) n = length - from;
            if (edits % 2 && length + n < sizeof text) { /* doubles a piece, or drops one */
                memmove(text + from + n, text + from, length - from);
                length += n;
            } else {
                memmove(text + from, text + from + n, length - from - n);
                length -= n;
            }
            if (length == 0) break;
        }
        read_bytes(text, length);
    }
}

/* Files made to be expensive: they end early. */
static void test_bombs_end_early(void **state)
{
    static char text[1000000];
    (void)state;
    double before = rl_now_s();
    size_t n = (size_t)snprintf(text, sizeof text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
                              i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    num_good = num_bad = 0;
    read_bytes(text, n);
    read_bytes("a: &a [*a]\n", 11);
    read_bytes("&a {a: *a}\n", 11);
    memset(text, '[', 200000);
    read_bytes(text, 200000);
    n = 0;
    for (int i = 0; i < 90000; i++) n += (size_t)snprintf(text + n, sizeof text - n, "k%d: 1\n", i);
    read_bytes(text, n);
    assert_int_equal(num_good, 0);
    assert_true(rl_now_s() - before < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_file_is_good), cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_byte_replaced),    cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_bombs_end_early),
    };
    return cmocka_run_group_tests(tests, name_file, NULL);
}
