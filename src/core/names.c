/* names.c -- interned strings: an open-addressing table over XXH3, ids in order of first appearance. */
#include "relearn/core.h"

#include <string.h>

struct rl_names {
    char **text;       /* [count] owned, NUL-terminated */
    size_t *length;    /* [count] */
    size_t capacity;
    int32_t count;
    int32_t *slots;    /* [num_slots] id or -1 */
    size_t num_slots;  /* a power of two, at least twice count */
};

static rl_status make_slots(rl_names *names, size_t num_slots, rl_error *err)
{
    int32_t *slots = rl_calloc(num_slots, sizeof *slots, err);
    if (!slots) return RL_ERR_MEMORY;
    memset(slots, 0xff, num_slots * sizeof *slots);
    for (int32_t id = 0; id < names->count; id++) {
        size_t s = rl_hash64(names->text[id], names->length[id]) & (num_slots - 1);
        while (slots[s] >= 0) s = (s + 1) & (num_slots - 1);
        slots[s] = id;
    }
    rl_free(names->slots);
    names->slots = slots;
    names->num_slots = num_slots;
    return RL_OK;
}

rl_status rl_names_create(rl_names **out, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *names = NULL;
    RL_ALLOC(names, 1, err);
    RL_TRY(make_slots(names, 64, err));
    *out = names;
    return RL_OK;
cleanup:
    rl_names_free(names);
    return status;
}

void rl_names_free(rl_names *names)
{
    if (!names) return;
    for (int32_t i = 0; i < names->count; i++) rl_free(names->text[i]);
    rl_free(names->text);
    rl_free(names->length);
    rl_free(names->slots);
    rl_free(names);
}

/* The slot that holds the text, or the free one where it belongs. */
static size_t slot_of(const rl_names *names, const char *text, size_t length)
{
    size_t s = rl_hash64(text, length) & (names->num_slots - 1);
    while (names->slots[s] >= 0) {
        int32_t id = names->slots[s];
        if (names->length[id] == length && memcmp(names->text[id], text, length) == 0) break;
        s = (s + 1) & (names->num_slots - 1);
    }
    return s;
}

int32_t rl_names_find(const rl_names *names, const char *text, size_t length)
{
    return names->slots[slot_of(names, text, length)];
}

static rl_status grow(rl_names *names, rl_error *err)
{
    size_t count = (size_t)names->count, capacity = names->capacity ? names->capacity * 2 : 32;
    char **text = rl_regrow(names->text, count, capacity, sizeof *text, err);
    if (!text) return RL_ERR_MEMORY;
    names->text = text;
    size_t *length = rl_regrow(names->length, count, capacity, sizeof *length, err);
    if (!length) return RL_ERR_MEMORY;
    names->length = length;
    names->capacity = capacity;
    return RL_OK;
}

rl_status rl_names_intern(rl_names *names, const char *text, size_t length, int32_t *id, rl_error *err)
{
    rl_status status = RL_OK;
    size_t slot = slot_of(names, text, length);
    if (names->slots[slot] >= 0) {
        *id = names->slots[slot];
        return RL_OK;
    }
    if (names->count == INT32_MAX) return rl_fail(err, RL_ERR_INPUT, "more than 2^31 distinct names");
    if ((size_t)names->count == names->capacity) RL_TRY(grow(names, err));
    char *copy = rl_calloc(length + 1, 1, err);
    if (!copy) return RL_ERR_MEMORY;
    if (length) memcpy(copy, text, length);
    names->text[names->count] = copy;
    names->length[names->count] = length;
    names->slots[slot] = names->count;
    *id = names->count++;
    if ((size_t)names->count * 2 > names->num_slots) RL_TRY(make_slots(names, names->num_slots * 2, err));
cleanup:
    return status;
}

const char *rl_names_get(const rl_names *names, int32_t id) { return names->text[id]; }
int32_t rl_names_count(const rl_names *names) { return names->count; }

/* Levenshtein distance of texts shorter than 64, capped at `worst` + 1. */
static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[64];
    if (n >= 64 || m >= 64) return 64;
    for (size_t j = 0; j <= m; j++) row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int substitute = diagonal + (a[i - 1] != b[j - 1]);
            int best = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = substitute < best ? substitute : best;
        }
    }
    return row[m];
}

const char *rl_nearest_name(const char *text, const char *const *candidates, size_t num_candidates)
{
    int best = 2 + (int)strlen(text) / 3; /* more than a third wrong is no typo */
    const char *nearest = NULL;
    for (size_t i = 0; i < num_candidates; i++) {
        int distance = edit_distance(text, candidates[i]);
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
