/* concept_changes.c -- a sweep that goes on in a folder means by each concept's name what the folder's runs meant. */
#include "sweep_file.h"

#include <string.h>

typedef struct texts {
    const char *const *text;
    int64_t count;
    bool is_file;
} texts;

static const char *const keys[] = {"tokens", "labels", "positive", "ner", "words", "pattern", "in", "type"};
enum { NUM_KEYS = sizeof keys / sizeof *keys };

static texts one(const char *const *text, bool is_file) { return (texts){text, *text != NULL, is_file}; }

/* What a concept says under keys[k]; nothing: count 0. */
static texts texts_of(const rl_concept_settings *c, int k)
{
    bool ner = c->kind == RL_CONCEPT_NER;
    switch (k) {
    case 0: return one(&c->tokens, true);
    case 1: return one(&c->labels, true);
    case 2: return (texts){c->positives, ner ? 0 : c->num_positives, false};
    case 3: return (texts){c->positives, ner ? c->num_positives : 0, false};
    case 4: return c->words_file ? one(&c->words_file, true) : (texts){c->words, c->num_words, false};
    case 5: return one(&c->pattern, false);
    case 6: return one(&c->in, true);
    default: return (texts){c->types, ner ? 0 : c->num_types, false};
    }
}

/* A file that was moved is the same file. */
static bool same_contents(const char *a, const char *b)
{
    char digest_a[RL_DIGEST_HEX], digest_b[RL_DIGEST_HEX];
    return rl_hash_file(a, digest_a, NULL) == RL_OK && rl_hash_file(b, digest_b, NULL) == RL_OK && !strcmp(digest_a, digest_b);
}

static bool holds(const texts *list, const char *text)
{
    for (int64_t i = 0; i < list->count; i++)
        if (!strcmp(list->text[i], text)) return true;
    return false;
}

/* In any order. */
static bool are_same(const texts *a, const texts *b)
{
    if (a->count != b->count || a->is_file != b->is_file) return false;
    if (a->is_file) return !a->count || !strcmp(a->text[0], b->text[0]) || same_contents(a->text[0], b->text[0]);
    for (int64_t i = 0; i < a->count; i++)
        if (!holds(b, a->text[i])) return false;
    return true;
}

/* The tables are the sweeps': every run has all concepts of its file. */
static const rl_concept_settings *find_concept(const rl_sweep *sweep, const char *name)
{
    const rl_run_settings *any = &sweep->runs[0].settings;
    for (int64_t i = 0; i < any->num_concepts; i++)
        if (!strcmp(any->concepts[i].name, name)) return &any->concepts[i];
    return NULL;
}

static bool is_used(const rl_sweep *sweep, int64_t concept)
{
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        const rl_run_settings *s = &sweep->runs[r].settings;
        if (s->also >> concept & 1 || !strcmp(s->concept.name, s->concepts[concept].name)) return true;
    }
    return false;
}

static rl_status append_list(rl_buffer *text, const texts *list, rl_error *err)
{
    rl_status status = list->count ? RL_OK : rl_buffer_printf(text, err, "unset");
    for (int64_t i = 0; i < list->count && i <= 4 && status == RL_OK; i++)
        status = i == 4 ? rl_buffer_printf(text, err, ", ...") : rl_buffer_printf(text, err, "%s%s", i ? ", " : "", list->text[i]);
    return status;
}

/* At the key in the file, the concept where the key is gone, `concepts:` where the concept is. */
static rl_status refuse(const char *path, const char *name, const char *key, const char *what, const char *previous, rl_error *err)
{
    rl_status status = RL_OK;
    rl_yaml *root = NULL;
    char *full = rl_format(err, "concepts.%s.%s", name, key), *concept = rl_format(err, "concepts.%s", name);
    if (!full || !concept) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_yaml_read(&root, path, err);
    if (status == RL_OK) {
        const rl_yaml *at = rl_yaml_find(root, full);
        if (!at) at = rl_yaml_find(root, concept);
        if (!at) at = rl_yaml_find(root, "concepts");
        status = rl_yaml_fail(at ? at : root, err, "concepts: %s %s in the runs of %s; give --out another folder, or extend by keeping that concept and adding a new name",
                              name, what, previous);
    }
    rl_yaml_free(root);
    rl_free(full);
    rl_free(concept);
    return status;
}

static rl_status check_concept(const rl_concept_settings *now, const rl_concept_settings *then, const char *path, const char *previous,
                               rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer what = {0};
    if (!now) return refuse(path, then->name, "", "is not here and is", previous, err);
    for (int k = 0; k < NUM_KEYS; k++) {
        const texts asked = texts_of(now, k), held = texts_of(then, k);
        if (are_same(&asked, &held)) continue;
        RL_TRY(rl_buffer_printf(&what, err, "has %s ", keys[k]));
        RL_TRY(append_list(&what, &asked, err));
        RL_TRY(rl_buffer_printf(&what, err, " here and "));
        RL_TRY(append_list(&what, &held, err));
        status = refuse(path, then->name, keys[k], what.data, previous, err);
        goto cleanup;
    }
cleanup:
    rl_buffer_free(&what);
    return status;
}

rl_status rl_sweep_check_concepts(const rl_sweep *sweep, const rl_sweep *old, const char *path, const char *previous, rl_error *err)
{
    const rl_run_settings *any = &old->runs[0].settings;
    for (int64_t i = 0; i < any->num_concepts; i++) {
        const rl_concept_settings *then = &any->concepts[i];
        if (!is_used(old, i)) continue;
        rl_status status = check_concept(find_concept(sweep, then->name), then, path, previous, err);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}
