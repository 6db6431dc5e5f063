/* sections.c -- the sections of a sweep file, each key checked where it stands. */
#include "sweep_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const char *const top_level[] = {"sweep", "data",  "concepts", "grid",    "exclude", "filter", "protocol", "model",
                                        "seed",  "concept", "arm",    "train",   "rank",    "prune",  "retrain",  "analyse",
                                        "keep",  "retries", "memory_per_rank", "stuck_after", "threads_per_rank", "hung_after", "ranks_per_run"};
enum { NUM_TOP_LEVEL = sizeof top_level / sizeof *top_level };

/* "exclude:" with nothing behind it, or "~": as if the key were not there. */
static bool is_nothing(const rl_yaml *node)
{
    if (node->kind != RL_YAML_SCALAR || node->quoted) return false;
    return !node->text[0] || !strcmp(node->text, "~") || !strcmp(node->text, "null");
}

static const rl_yaml *find(const rl_yaml *map, const char *name)
{
    for (size_t i = 0; map && map->kind == RL_YAML_MAP && i < map->count; i++)
        if (!strcmp(map->keys[i]->text, name)) return is_nothing(map->values[i]) ? NULL : map->values[i];
    return NULL;
}

static rl_status expect(const rl_yaml *node, rl_yaml_kind kind, const char *what, rl_error *err)
{
    static const char *const kinds[] = {"a single value", "a list", "a mapping"};
    if (node->kind == kind) return RL_OK;
    return rl_yaml_fail(node, err, "%s: %s was expected, not %s", what, kinds[kind], kinds[node->kind]);
}

static rl_status unknown_key(const rl_yaml *key, const char *path, const char *nearest, rl_error *err)
{
    return rl_yaml_fail(key, err, "'%s' is no key of a sweep%s%s", path, nearest ? "; did you mean " : "", nearest ? nearest : "");
}

static rl_status check_top_level(const rl_yaml *root, rl_error *err)
{
    for (size_t i = 0; i < root->count; i++) {
        bool known = false;
        for (int k = 0; k < NUM_TOP_LEVEL; k++) known |= !strcmp(root->keys[i]->text, top_level[k]);
        if (!known)
            return unknown_key(root->keys[i], root->keys[i]->text, rl_nearest_name(root->keys[i]->text, top_level, NUM_TOP_LEVEL), err);
    }
    return RL_OK;
}

static rl_status read_name(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    const rl_yaml *name = find(root, "sweep");
    if (!name) return rl_yaml_fail(root, err, "'sweep: NAME' is missing");
    rl_status status = expect(name, RL_YAML_SCALAR, "sweep", err);
    if (status != RL_OK) return status;
    size_t length = strlen(name->text);
    bool good = length > 0 && length <= 100 && name->text[0] != '.' && name->text[0] != '-';
    for (const char *c = name->text; *c; c++) good &= isalnum((unsigned char)*c) || *c == '-' || *c == '_' || *c == '.';
    if (!good) return rl_yaml_fail(name, err, "sweep: '%s' is no name of letters, digits, '-', '_' and '.'", name->text);
    return rl_scope_keep(&file->name, &file->scope, name->text, err);
}

/* ----------------------------------------------------------------------------------------------- concepts */

/* One text or a list of texts. */
static rl_status read_texts(const char **texts, int64_t *count, int64_t most, const rl_scope *scope, const rl_yaml *node,
                            const char *what, rl_error *err)
{
    rl_status status = RL_OK;
    if (node->kind == RL_YAML_MAP) return rl_yaml_fail(node, err, "%s: a value or a list of values was expected", what);
    size_t n = node->kind == RL_YAML_LIST ? node->count : 1;
    if (n == 0) return rl_yaml_fail(node, err, "%s: the list is empty", what);
    if ((int64_t)n > most) return rl_yaml_fail(node, err, "%s: more than %lld values", what, (long long)most);
    for (size_t i = 0; i < n; i++) {
        const rl_yaml *item = node->kind == RL_YAML_LIST ? node->values[i] : node;
        RL_TRY(expect(item, RL_YAML_SCALAR, what, err));
        if (!item->text[0]) return rl_yaml_fail(item, err, "%s: an empty value", what);
        RL_TRY(rl_scope_keep(&texts[i], scope, item->text, err));
    }
    *count = (int64_t)n;
cleanup:
    return status;
}

static rl_status read_concept_path(const char **path, const rl_scope *scope, const rl_yaml *node, const char *key, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    rl_error why = {0};
    RL_TRY(expect(node, RL_YAML_SCALAR, key, err));
    RL_TRY(rl_scope_absolute(path, scope, node->text, err));
    if (rl_file_view_open(&view, *path, &why) != RL_OK) return rl_yaml_fail(node, err, "%s: %s", key, why.message);
    rl_file_view_close(&view);
cleanup:
    return status;
}

/* The keys of each kind of concept; the first one tells the kind. */
static const struct {
    rl_concept_kind kind;
    const char *keys[5];
} concept_forms[] = {{RL_CONCEPT_LABELS, {"tokens", "labels", "positive", "type", NULL}},
                     {RL_CONCEPT_NER, {"ner", "in", NULL}},
                     {RL_CONCEPT_WORDS, {"words", "in", "type", NULL}},
                     {RL_CONCEPT_PATTERN, {"pattern", "in", "type", NULL}}};
enum { NUM_CONCEPT_FORMS = sizeof concept_forms / sizeof *concept_forms };

static rl_status no_key_of(const rl_yaml *key, int form, rl_error *err)
{
    const char *names[12];
    size_t n = 0;
    for (int f = 0; f < NUM_CONCEPT_FORMS; f++)
        for (int k = 0; (form < 0 || form == f) && concept_forms[f].keys[k] && n < 12; k++) names[n++] = concept_forms[f].keys[k];
    const char *nearest = rl_nearest_name(key->text, names, n);
    static const char *const forms[] = {"tokens, labels, positive and type", "ner and in", "words, in and type", "pattern, in and type"};
    return rl_yaml_fail(key, err, "'%s' is no key of this concept; expected %s%s%s%s", key->text,
                        form >= 0 ? forms[form] : "{tokens, labels, positive}, {ner}, {words} or {pattern}",
                        nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* Which form the mapping has, by the first key that only one form has. */
static rl_status concept_form(int *form, const rl_yaml *map, rl_error *err)
{
    *form = -1;
    for (int f = 0; f < NUM_CONCEPT_FORMS; f++) {
        if (!find(map, concept_forms[f].keys[0])) continue;
        if (*form >= 0)
            return rl_yaml_fail(map, err, "a concept has one of tokens, ner, words and pattern; '%s' and '%s' are given",
                                concept_forms[*form].keys[0], concept_forms[f].keys[0]);
        *form = f;
    }
    for (size_t i = 0; i < map->count; i++) {
        bool known = false;
        for (int f = 0; f < NUM_CONCEPT_FORMS; f++)
            for (int k = 0; concept_forms[f].keys[k]; k++)
                known |= (*form < 0 || *form == f) && !strcmp(concept_forms[f].keys[k], map->keys[i]->text);
        if (!known) return no_key_of(map->keys[i], *form, err);
    }
    if (*form >= 0) return RL_OK;
    *form = 0; /* positive, labels or nothing: the oldest form */
    return RL_OK;
}

static rl_status need(const rl_yaml **node, const rl_yaml *map, const char *key, const char *like, rl_error *err)
{
    *node = find(map, key);
    return *node ? RL_OK : rl_yaml_fail(map, err, "concepts: '%s: %s' is missing", key, like);
}

static rl_status read_labelled(rl_concept_settings *concept, const rl_scope *scope, const rl_yaml *map, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_yaml *node;
    RL_TRY(need(&node, map, "tokens", "FILE", err));
    RL_TRY(read_concept_path(&concept->tokens, scope, node, "tokens", err));
    RL_TRY(need(&node, map, "labels", "FILE", err));
    RL_TRY(read_concept_path(&concept->labels, scope, node, "labels", err));
    RL_TRY(need(&node, map, "positive", "[LABEL]", err));
    RL_TRY(read_texts(concept->positives, &concept->num_positives, RL_MAX_POSITIVES, scope, node, "positive", err));
cleanup:
    return status;
}

/* words: [a, b] is the list itself, words: FILE a file with one a line. */
static rl_status read_words(rl_concept_settings *concept, const rl_scope *scope, const rl_yaml *node, rl_error *err)
{
    rl_status status = RL_OK;
    const char **words = NULL;
    if (node->kind != RL_YAML_LIST) return read_concept_path(&concept->words_file, scope, node, "words", err);
    RL_ALLOC(words, node->count, err);
    concept->words = words; /* freed with the sweep, on failure too */
    RL_TRY(read_texts(words, &concept->num_words, (int64_t)node->count, scope, node, "words", err));
cleanup:
    return status;
}

static rl_status check_pattern(const rl_yaml *node, rl_error *err)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR why[120];
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)node->text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    if (!compiled) {
        pcre2_get_error_message(code, why, sizeof why);
        return rl_yaml_fail(node, err, "pattern: '%s' is no regular expression: %s at character %zu", node->text, (const char *)why,
                            (size_t)offset);
    }
    pcre2_code_free(compiled);
    return RL_OK;
}

static rl_status read_concept(rl_concept_settings *concept, const rl_scope *scope, const rl_yaml *name, const rl_yaml *map, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_yaml *node;
    int form = 0;
    RL_TRY(expect(map, RL_YAML_MAP, name->text, err));
    RL_TRY(concept_form(&form, map, err));
    concept->kind = concept_forms[form].kind;
    RL_TRY(rl_scope_keep(&concept->name, scope, name->text, err));
    switch (concept->kind) {
    case RL_CONCEPT_LABELS: RL_TRY(read_labelled(concept, scope, map, err)); break;
    case RL_CONCEPT_NER:
        RL_TRY(read_texts(concept->positives, &concept->num_positives, RL_MAX_POSITIVES, scope, find(map, "ner"), "ner", err));
        memcpy(concept->types, concept->positives, sizeof concept->types);
        concept->num_types = concept->num_positives;
        break;
    case RL_CONCEPT_WORDS: RL_TRY(read_words(concept, scope, find(map, "words"), err)); break;
    case RL_CONCEPT_PATTERN:
        RL_TRY(expect(find(map, "pattern"), RL_YAML_SCALAR, "pattern", err));
        RL_TRY(check_pattern(find(map, "pattern"), err));
        RL_TRY(rl_scope_keep(&concept->pattern, scope, find(map, "pattern")->text, err));
        break;
    }
    if ((node = find(map, "in"))) RL_TRY(read_concept_path(&concept->in, scope, node, "in", err));
    if ((node = find(map, "type")))
        RL_TRY(read_texts(concept->types, &concept->num_types, RL_MAX_POSITIVES, scope, node, "type", err));
cleanup:
    return status;
}

/* It stands in tables, and in lists that commas part. */
static rl_status check_concept_name(const rl_yaml *name, rl_error *err)
{
    bool good = name->text[0] != '\0';
    for (const char *c = name->text; *c; c++) good &= *c != ',' && !iscntrl((unsigned char)*c);
    if (!good) return rl_yaml_fail(name, err, "concepts: '%s' is no name; one without commas and control characters was expected", name->text);
    if (strcmp(name->text, "all") && strcmp(name->text, "none")) return RL_OK;
    return rl_yaml_fail(name, err, "concepts: '%s' is a word of analyse.also; expected another name", name->text);
}

static rl_status read_concepts(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_yaml *concepts = find(root, "concepts");
    if (!concepts) return rl_yaml_fail(root, err, "'concepts:' is missing");
    RL_TRY(expect(concepts, RL_YAML_MAP, "concepts", err));
    if (concepts->count == 0) return rl_yaml_fail(concepts, err, "concepts: at least one concept is needed");
    if (concepts->count > RL_MAX_CONCEPTS) return rl_yaml_fail(concepts, err, "concepts: more than %d concepts", RL_MAX_CONCEPTS);
    RL_ALLOC(file->scope.concepts, concepts->count, err);
    for (size_t i = 0; i < concepts->count; i++) {
        file->scope.num_concepts++; /* counted first: what it holds is freed on failure too */
        RL_TRY(check_concept_name(concepts->keys[i], err));
        RL_TRY(read_concept(&file->scope.concepts[i], &file->scope, concepts->keys[i], concepts->values[i], err));
    }
cleanup:
    return status;
}

/* ------------------------------------------------------------------------------------- settings, grid, exclude */

/* Keys of a section as full paths, nested maps joined by dots. data.format is checked and has no other value. */
static rl_status read_settings(rl_sweep_file *file, const char *prefix, const rl_yaml *node, rl_error *err)
{
    rl_status status = RL_OK;
    char path[128];
    RL_TRY(expect(node, RL_YAML_MAP, prefix, err));
    for (size_t i = 0; i < node->count; i++) {
        const rl_yaml *key = node->keys[i], *value = node->values[i];
        snprintf(path, sizeof path, "%s.%.60s", prefix, key->text);
        const rl_key *known = rl_key_find(path);
        if (known && is_nothing(value)) continue;
        if (!strcmp(path, "data.format")) {
            RL_TRY(expect(value, RL_YAML_SCALAR, path, err));
            if (strcmp(value->text, "conll")) return rl_yaml_fail(value, err, "data.format: '%s' is not conll", value->text);
        } else if (known) {
            if (value->kind == RL_YAML_LIST && rl_key_is_list(known)) {
                const char *joined = NULL;
                RL_TRY(rl_yaml_join(&joined, value, &file->scope, path, err));
                RL_TRY(rl_sweep_file_assign(file, known, joined, value->place, err));
                continue;
            }
            if (value->kind != RL_YAML_SCALAR)
                return rl_yaml_fail(value, err, "%s: a single value was expected; several values belong under grid:", path);
            RL_TRY(rl_sweep_file_assign(file, known, value->text, value->place, err));
        } else if (!strcmp(path, "analyse.similarity")) {
            RL_TRY(read_settings(file, path, value, err));
        } else {
            return unknown_key(key, path, rl_key_nearest(path), err);
        }
    }
cleanup:
    return status;
}

static rl_status read_grid(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_yaml *grid = find(root, "grid");
    if (!grid) return rl_yaml_fail(root, err, "'grid:' is missing");
    RL_TRY(expect(grid, RL_YAML_MAP, "grid", err));
    if (grid->count == 0) return rl_yaml_fail(grid, err, "grid: at least one axis is needed");
    for (size_t i = 0; i < grid->count; i++) {
        const rl_key *key = rl_key_find(grid->keys[i]->text);
        if (!key) return unknown_key(grid->keys[i], grid->keys[i]->text, rl_key_nearest(grid->keys[i]->text), err);
        for (int s = 0; s < file->num_settings; s++)
            if (file->settings[s].key == key)
                return rl_yaml_fail(grid->keys[i], err, "%s is an axis here and a single value at line %ld; one of them must go",
                                    key->path, file->settings[s].place.line);
        RL_TRY(rl_sweep_file_axis(file, key, grid->values[i], err));
    }
cleanup:
    return status;
}

static rl_status exclude_condition(rl_exclude *exclude, const rl_scope *scope, const rl_yaml *key, const rl_yaml *value, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_key *known = rl_key_find(key->text);
    if (!known) return unknown_key(key, key->text, rl_key_nearest(key->text), err);
    if (exclude->count == 8) return rl_yaml_fail(key, err, "exclude: more than 8 conditions in one entry");
    if (value->kind == RL_YAML_MAP) return rl_yaml_fail(value, err, "exclude: a value or a list of values was expected");
    size_t n = value->kind == RL_YAML_LIST ? value->count : 1;
    rl_condition *list = NULL;
    RL_ALLOC(list, n, err);
    exclude->conditions[exclude->count] = list;
    exclude->num_values[exclude->count++] = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        const rl_yaml *item = value->kind == RL_YAML_LIST ? value->values[i] : value;
        rl_run_settings scratch = rl_run_defaults(RL_PROTOCOL_CORRECTED);
        RL_TRY(expect(item, RL_YAML_SCALAR, "exclude", err));
        RL_TRY(rl_key_set(&scratch, known, item->text, scope, item->place, err));
        list[i].key = known;
        list[i].comparison = RL_EQUAL;
        RL_TRY(rl_key_canonical(&list[i].value, known, item->text, scope, item->place, err));
    }
cleanup:
    return status;
}

static rl_status read_excludes(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_yaml *list = find(root, "exclude");
    if (!list) return RL_OK;
    RL_TRY(expect(list, RL_YAML_LIST, "exclude", err));
    if (list->count > RL_MAX_EXCLUDES) return rl_yaml_fail(list, err, "exclude: more than %d entries", RL_MAX_EXCLUDES);
    for (size_t i = 0; i < list->count; i++) {
        const rl_yaml *entry = list->values[i];
        RL_TRY(expect(entry, RL_YAML_MAP, "exclude", err));
        if (entry->count == 0) return rl_yaml_fail(entry, err, "exclude: an empty entry would exclude everything");
        rl_exclude *exclude = &file->excludes[file->num_excludes++];
        exclude->place = entry->place;
        for (size_t k = 0; k < entry->count; k++)
            RL_TRY(exclude_condition(exclude, &file->scope, entry->keys[k], entry->values[k], err));
    }
cleanup:
    return status;
}

static bool given(rl_sweep_file *file, const char *path)
{
    const rl_key *key = rl_key_find(path);
    for (int i = 0; i < file->num_settings; i++)
        if (file->settings[i].key == key) return true;
    return rl_sweep_file_find_axis(file, key) != NULL;
}

rl_status rl_sweep_file_sections(rl_sweep_file *file, const rl_yaml *root, rl_error *err)
{
    static const char *const maps[] = {"data", "train", "rank", "prune", "retrain", "analyse"};
    static const char *const singles[] = {"protocol", "model", "seed", "concept", "arm", "ranks_per_run"};
    static const char *const needed[] = {"model", "concept", "data.train", "data.validation"};
    rl_status status = RL_OK;
    const rl_yaml *node;
    RL_TRY(expect(root, RL_YAML_MAP, "a sweep", err));
    RL_TRY(check_top_level(root, err));
    RL_TRY(read_name(file, root, err));
    RL_TRY(rl_sweep_file_policy(file, root, err));
    RL_TRY(read_concepts(file, root, err));
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if ((node = find(root, maps[i]))) RL_TRY(read_settings(file, maps[i], node, err));
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        if (!(node = find(root, singles[i]))) continue;
        RL_TRY(expect(node, RL_YAML_SCALAR, singles[i], err));
        RL_TRY(rl_sweep_file_assign(file, rl_key_find(singles[i]), node->text, node->place, err));
    }
    RL_TRY(read_grid(file, root, err));
    RL_TRY(read_excludes(file, root, err));
    if ((node = find(root, "filter"))) {
        RL_TRY(expect(node, RL_YAML_SCALAR, "filter", err));
        RL_TRY(rl_filter_parse(&file->filters[0], node->text, &file->scope, node->place, err));
        RL_TRY(rl_scope_keep(&file->filter_texts[0], &file->scope, node->text, err));
        file->filter_place = node->place;
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!given(file, needed[i])) return rl_yaml_fail(root, err, "'%s' is missing", needed[i]);
cleanup:
    return status;
}
