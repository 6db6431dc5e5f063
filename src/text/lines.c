/* lines.c -- a text file line by line, refusing what no text file holds. */
#include "text_internal.h"

#include <string.h>

rl_status text_lines_open(text_lines *out, const char *path, rl_error *err)
{
    text_lines lines = {.path = path};
    rl_status status = rl_file_view_open(&lines.view, path, err);
    if (status != RL_OK) return status;
    if (lines.view.size >= 3 && memcmp(lines.view.data, "\xef\xbb\xbf", 3) == 0) lines.offset = 3;
    *out = lines;
    return RL_OK;
}

void text_lines_close(text_lines *lines) { rl_file_view_close(&lines->view); }

static rl_status check_line(const text_lines *lines, rl_error *err)
{
    const char *bad = memchr(lines->line, '\0', lines->length);
    if (bad)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, (long)(bad - lines->line) + 1,
                          "a NUL byte; a text file was expected");
    bad = memchr(lines->line, '\r', lines->length);
    if (bad)
        return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, (long)(bad - lines->line) + 1,
                          "a carriage return inside the line; lines end in LF or CRLF");
    int64_t offset = text_invalid_utf8(lines->line, lines->length);
    if (offset < 0) return RL_OK;
    return rl_fail_at(err, RL_ERR_INPUT, lines->path, lines->number, (long)offset + 1,
                      "byte 0x%02x is not UTF-8; convert the file to UTF-8 (iconv -t UTF-8)",
                      (unsigned char)lines->line[offset]);
}

rl_status text_lines_next(text_lines *lines, bool *more, rl_error *err)
{
    const char *start = lines->view.data + lines->offset;
    size_t left = lines->view.size - lines->offset;
    if (left == 0) {
        *more = false;
        return RL_OK;
    }
    const char *newline = memchr(start, '\n', left);
    lines->line = start;
    lines->length = newline ? (size_t)(newline - start) : left;
    lines->offset += lines->length + (newline ? 1 : 0);
    lines->number++;
    if (lines->length > 0 && start[lines->length - 1] == '\r') lines->length--;
    rl_status status = check_line(lines, err);
    if (status == RL_OK) *more = true;
    return status;
}
