/* error.c -- one clear line per failure, carried by the caller's rl_error. */
#include "relearn/core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

size_t rl_utf8_length(const char *letter)
{
    const unsigned char *text = (const unsigned char *)letter;
    size_t length = text[0] < 0x80                      ? 1
                    : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
                    : (text[0] & 0xf0) == 0xe0          ? 3
                    : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                                        : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f)) return 0;
    if ((text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)) return 0;
    return length;
}

void rl_make_printable(char *text)
{
    unsigned char *to = (unsigned char *)text;
    for (const unsigned char *from = to; *from;) {
        size_t length = rl_utf8_length((const char *)from);
        if (length == 0 || *from < 0x20 || *from == 0x7f) {
            *to++ = *from++ >= 0x80 ? '?' : ' ';
            continue;
        }
        while (length--) *to++ = *from++;
    }
    *to = '\0';
}

static void set(rl_error *err, rl_status status, const char *prefix, const char *format, va_list arguments)
{
    if (!err) return;
    err->status = status;
    size_t used = (size_t)snprintf(err->message, sizeof err->message, "%s", prefix);
    if (used < sizeof err->message) vsnprintf(err->message + used, sizeof err->message - used, format, arguments);
    rl_make_printable(err->message);
}

rl_status rl_fail(rl_error *err, rl_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set(err, status, "", format, arguments);
    va_end(arguments);
    return status;
}

rl_status rl_fail_at(rl_error *err, rl_status status, const char *file, long line, long column, const char *format, ...)
{
    char prefix[512];
    va_list arguments;
    size_t length = strlen(file),
           longest = sizeof prefix - 64; /* of a longer path the end says more, and the place must stay */
    if (length > longest) file += length - longest;
    if (line > 0 && column > 0)
        snprintf(prefix, sizeof prefix, "%s:%ld:%ld: ", file, line, column);
    else if (line > 0)
        snprintf(prefix, sizeof prefix, "%s:%ld: ", file, line);
    else
        snprintf(prefix, sizeof prefix, "%s: ", file);
    va_start(arguments, format);
    set(err, status, prefix, format, arguments);
    va_end(arguments);
    return status;
}

rl_status rl_fail_errno(rl_error *err, const char *format, ...)
{
    int number = errno;
    va_list arguments;
    va_start(arguments, format);
    set(err, RL_ERR_IO, "", format, arguments);
    va_end(arguments);
    if (err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(number));
    }
    return RL_ERR_IO;
}

rl_status rl_error_while(rl_error *err, rl_status status, const char *format, ...)
{
    if (status == RL_OK || !err) return status;
    size_t used = strlen(err->message);
    va_list arguments;
    if (used + 16 >= sizeof err->message) return status;
    used += (size_t)snprintf(err->message + used, sizeof err->message - used, " (while ");
    va_start(arguments, format);
    vsnprintf(err->message + used, sizeof err->message - used - 1, format, arguments);
    va_end(arguments);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ")");
    rl_make_printable(err->message);
    return status;
}

int rl_exit_code(rl_status status)
{
    switch (status) {
    case RL_OK: return 0;
    case RL_ERR_USAGE:
    case RL_ERR_INPUT:
    case RL_ERR_IO: return 2;
    case RL_ERR_STOPPED: return 75;
    case RL_ERR_MEMORY:
    case RL_ERR_DIVERGED:
    case RL_ERR_INTERNAL: break;
    }
    return status == RL_ERR_DIVERGED ? 1 : 70;
}
