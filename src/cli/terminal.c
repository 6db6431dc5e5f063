/* terminal.c -- colours only where a person looks, and numbers as people write them. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool rl_is_terminal(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

static const char *when_terminal(FILE *out, const char *code) { return rl_is_terminal(out) ? code : ""; }
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
