/* terminal.c -- colours only where a person looks, and numbers as people write them. */
#include "cli.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Open MPI gives its children a pseudo-terminal for stdout and a pipe for stderr, whatever it has itself: what counts is
 * where mpirun, our parent, writes. Not found (another host's daemon): no terminal. -1 or an open descriptor. */
static int open_launchers(int descriptor)
{
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)getppid(), descriptor);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length <= 0) return -1;
    target[length] = '\0';
    if (strncmp(target, "/dev/pts/", 9) != 0 && strncmp(target, "/dev/tty", 8) != 0) return -1;
    return open(target, O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

static bool ends_at_terminal(FILE *out)
{
    if (!getenv("OMPI_COMM_WORLD_RANK")) return isatty(fileno(out));
    int descriptor = open_launchers(fileno(out));
    if (descriptor >= 0) close(descriptor);
    return descriptor >= 0;
}

bool rl_is_terminal(FILE *out)
{
    const char *term = getenv("TERM");
    return term && strcmp(term, "dumb") != 0 && ends_at_terminal(out);
}

static struct winsize size_of(FILE *out)
{
    struct winsize size = {0};
    int descriptor = getenv("OMPI_COMM_WORLD_RANK") ? open_launchers(fileno(out)) : dup(fileno(out));
    if (descriptor >= 0 && ioctl(descriptor, TIOCGWINSZ, &size) != 0) size = (struct winsize){0};
    if (descriptor >= 0) close(descriptor);
    return size;
}

/* What the terminal says; where it does not know (0), the variable that shells keep; else what terminals always had. */
static int size_or(int known, const char *variable, int least, int usual)
{
    const char *text = getenv(variable);
    int size = known > 0 ? known : text ? atoi(text) : 0;
    return size <= 0 ? usual : size < least ? least : size;
}

int rl_terminal_width(FILE *out) { return size_or(size_of(out).ws_col, "COLUMNS", 20, 80); }
int rl_terminal_height(FILE *out) { return size_or(size_of(out).ws_row, "LINES", 8, 24); }

/* https://no-color.org: colours only, and only when it is not empty. */
static const char *when_terminal(FILE *out, const char *code)
{
    const char *without = getenv("NO_COLOR");
    return (!without || !without[0]) && rl_is_terminal(out) ? code : "";
}
const char *rl_bold(FILE *out) { return when_terminal(out, "\033[1m"); }
const char *rl_dim(FILE *out) { return when_terminal(out, "\033[2m"); }
const char *rl_red(FILE *out) { return when_terminal(out, "\033[31m"); }
const char *rl_green(FILE *out) { return when_terminal(out, "\033[32m"); }
const char *rl_plain(FILE *out) { return when_terminal(out, "\033[0m"); }

void rl_format_seconds(char text[32], double seconds)
{
    if (!isfinite(seconds)) {
        snprintf(text, 32, "?");
    } else if (seconds < 60) {
        snprintf(text, 32, "%.*f s", seconds < 9.95 ? 1 : 0, seconds);
    } else if (seconds < 3600) {
        snprintf(text, 32, "%d min %02d s", (int)(seconds / 60), (int)fmod(seconds, 60));
    } else if (seconds < 48 * 3600) {
        snprintf(text, 32, "%d h %02d min", (int)(seconds / 3600), (int)fmod(seconds / 60, 60));
    } else {
        snprintf(text, 32, "%.1f days", seconds / 86400);
    }
}

void rl_format_bytes(char text[32], double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int unit = 0;
    while (bytes >= 1000 && unit < 5) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, 32, "%.*f %s", unit && bytes < 10 ? 1 : 0, bytes, units[unit]);
}

void rl_format_number(char text[32], double value)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%.0f", value), at = 0;
    if (length > 20) length = 20;
    for (int i = 0; i < length; i++) {
        text[at++] = digits[i];
        if ((length - i - 1) % 3 == 0 && i + 1 < length && digits[i] != '-') text[at++] = ',';
    }
    text[at] = '\0';
}
