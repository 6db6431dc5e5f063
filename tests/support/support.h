/* support.h -- what all tests share: cmocka, closeness that refuses NaN, and data that may be absent. */
#ifndef RELEARN_TEST_SUPPORT_H
#define RELEARN_TEST_SUPPORT_H

#include "relearn/core.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Accepts inside |a - b| <= atol + rtol * |b|, so NaN fails. */
#define assert_close(a, b, rtol, atol) support_assert_close((a), (b), (rtol), (atol), #a, __FILE__, __LINE__)
void support_assert_close(double a, double b, double rtol, double atol, const char *what, const char *file, int line);
/* status == RL_OK, printing err's message when not. */
#define assert_ok(status, err) support_assert_ok((status), &(err), __FILE__, __LINE__)
void support_assert_ok(rl_status status, const rl_error *err, const char *file, int line);
/* status is the expected failure and the message contains `part`. */
#define assert_fails(status, expected, err, part) support_assert_fails((status), (expected), &(err), (part), __FILE__, __LINE__)
void support_assert_fails(rl_status status, rl_status expected, const rl_error *err, const char *part, const char *file,
                          int line);

/* Path of FILE under ../shared/data (or $RELEARN_DATA), or NULL where absent; static buffer ring, do not free. */
const char *support_data(const char *file);
/* The MiniLM folder ($RELEARN_MODELS/minilm, or models/minilm in the source tree as quickstart leaves it), or NULL. */
const char *support_minilm(void);
/* GPT-2's vocab.json and merges.txt, looked for in the same places. */
const char *support_gpt2_tokenizer(void);
/* Path of FILE under tests/. */
const char *support_file(const char *file);
/* Say why and leave with 77, which CTest shows as skipped. */
void support_skip_program(const char *why);
/* A fresh folder under $TMPDIR, removed at exit. */
const char *support_temporary_folder(void);
/* Use this existing folder instead, and leave it there. */
void support_set_folder(const char *folder);
/* Write a text file for a test. */
void support_write(const char *path, const char *text);

#endif
