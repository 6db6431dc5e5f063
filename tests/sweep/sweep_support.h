/* sweep_support.h -- reading variations of the tiny world's sweep file. */
#ifndef RELEARN_TESTS_SWEEP_SUPPORT_H
#define RELEARN_TESTS_SWEEP_SUPPORT_H

#include "relearn/sweep.h"
#include "support.h"
#include "world.h"

static support_world world;
static int make_world(void **state)
{
    (void)state;
    support_make_world(&world, "sweep");
    return 0;
}

/* The parts every file here needs, on two lines; a test appends the rest from line 3 on. */
#define TOP                                                      \
    "sweep: s\n"                                                 \
    "data: {train: train.conll, validation: validation.conll}\n" \
    "concepts: {location: {tokens: tokens.txt, labels: labels.txt, positive: [\"SEM:named_entity:location\"]}}\n"
enum { TOP_LINES = 3 };
#define SINGLES "model: tiny-bert\nconcept: location\n"

static inline const char *write_sweep_text(const char *text)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/s.yaml", world.folder);
    support_write(path, text);
    return path;
}

static inline rl_status read_with(rl_sweep **out, const char *text, const char *set, const char *filter, rl_error *err)
{
    return rl_sweep_read(out, write_sweep_text(text), &set, set ? 1 : 0, filter, err);
}

static inline rl_sweep *read_good(const char *text, const char *set, const char *filter)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    assert_ok(read_with(&sweep, text, set, filter, &err), err);
    assert_non_null(sweep);
    return sweep;
}

/* A setting of run r as text; a ring of buffers, so that two can be compared. */
static inline const char *setting(const rl_sweep *sweep, int64_t r, const char *path)
{
    static char texts[8][1024];
    static int next;
    rl_error err = {0};
    char *value = rl_settings_get(&sweep->runs[r].settings, path, &err), *text = texts[next++ % 8];
    assert_non_null(value);
    snprintf(text, sizeof texts[0], "%s", value);
    rl_free(value);
    return text;
}

#endif
