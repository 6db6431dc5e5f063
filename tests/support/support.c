#include "support.h"

#include <unistd.h>

void support_assert_close(double a, double b, double rtol, double atol, const char *what, const char *file, int line)
{
    if (fabs(a - b) <= atol + rtol * fabs(b)) return;
    print_error("%s:%d: %s = %.17g, expected %.17g (rtol %g, atol %g)\n", file, line, what, a, b, rtol, atol);
    _fail(file, line);
}

void support_assert_ok(rl_status status, const rl_error *err, const char *file, int line)
{
    if (status == RL_OK) return;
    print_error("%s:%d: status %d: %s\n", file, line, (int)status, err->message);
    _fail(file, line);
}

void support_assert_fails(rl_status status, rl_status expected, const rl_error *err, const char *part, const char *file,
                          int line)
{
    if (status == expected && strstr(err->message, part)) return;
    print_error("%s:%d: status %d (expected %d), message: %s\n  expected to contain: %s\n", file, line, (int)status,
                (int)expected, status == RL_OK ? "(none)" : err->message, part);
    _fail(file, line);
}

static char *ring(void)
{
    static char buffers[16][4096];
    static int next;
    return buffers[next++ % 16];
}

static const char *existing(const char *folder, const char *file)
{
    char *path = ring();
    if (!folder) return NULL;
    snprintf(path, 4096, "%s/%s", folder, file);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *support_data(const char *file)
{
    const char *found = existing(getenv("RELEARN_DATA"), file);
    return found ? found : existing(RELEARN_SOURCE_DIR "/../shared/data", file);
}

const char *support_minilm(void)
{
    const char *found = existing(getenv("RELEARN_MODELS"), "minilm");
    return found ? found : existing(RELEARN_SOURCE_DIR "/models", "minilm");
}

const char *support_gpt2_tokenizer(void)
{
    const char *found = existing(getenv("RELEARN_MODELS"), "gpt2-tokenizer");
    return found ? found : existing(RELEARN_SOURCE_DIR "/models", "gpt2-tokenizer");
}

const char *support_file(const char *file)
{
    char *path = ring();
    snprintf(path, 4096, "%s/%s", RELEARN_TESTS_DIR, file);
    return path;
}

void support_skip_program(const char *why)
{
    printf("SKIPPED: %s\n", why);
    fflush(stdout);
    _exit(77);
}

static char temporary[4096];

static void remove_temporary(void) { rl_remove_tree(temporary, NULL); }

const char *support_temporary_folder(void)
{
    const char *base = getenv("TMPDIR");
    if (temporary[0]) return temporary;
    snprintf(temporary, sizeof temporary, "%s/relearn-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(temporary)) abort();
    atexit(remove_temporary);
    return temporary;
}

void support_set_folder(const char *folder) { snprintf(temporary, sizeof temporary, "%s", folder); }

void support_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(text, 1, strlen(text), file) != strlen(text) || fclose(file)) abort();
}
