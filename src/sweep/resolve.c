/* resolve.c -- the sweep as one complete YAML text: presets and --set filled in, paths absolute. Reading it gives the same runs. */
#include "sweep_file.h"

#include <stdio.h>
#include <string.h>

/* The code point to escape when YAML does not take the character at c raw inside quotes; 0: take it raw. Controls, DEL,
 * C1 (NEL ends a line), U+2028 and U+2029 (line ends of YAML 1.1), U+FEFF. */
static unsigned to_escape(const char *c, int *length)
{
    const unsigned char *u = (const unsigned char *)c;
    *length = 1;
    if (u[0] < 0x20 || u[0] == 0x7f) return u[0];
    if (u[0] == 0xC2 && u[1] >= 0x80 && u[1] <= 0x9F) {
        *length = 2;
        return u[1];
    }
    *length = 3;
    if (u[0] == 0xE2 && u[1] == 0x80 && (u[2] == 0xA8 || u[2] == 0xA9)) return 0x2000u + u[2] - 0x80u;
    if (u[0] == 0xEF && u[1] == 0xBB && u[2] == 0xBF) return 0xFEFF;
    *length = 1;
    return 0;
}

rl_status rl_yaml_quoted(rl_buffer *text, const char *value, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_buffer_append(text, "\"", 1, err));
    for (const char *c = value, *next; *c; c = next) {
        int length = 1;
        unsigned escaped = to_escape(c, &length);
        next = c + length;
        if (*c == '"' || *c == '\\')
            RL_TRY(rl_buffer_printf(text, err, "\\%c", *c));
        else if (escaped)
            RL_TRY(rl_buffer_printf(text, err, "\\u%04x", escaped));
        else
            RL_TRY(rl_buffer_append(text, c, 1, err));
    }
    RL_TRY(rl_buffer_append(text, "\"", 1, err));
cleanup:
    return status;
}

/* Plain where nothing can be mistaken. */
static rl_status scalar(rl_buffer *text, const char *value, rl_error *err)
{
    bool plain = value[0] != '\0' && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-") == strlen(value) &&
                 value[0] != '-' && value[0] != '.';
    return plain ? rl_buffer_append(text, value, strlen(value), err) : rl_yaml_quoted(text, value, err);
}

/* "    KEY: [a, b]"; one value stands alone. */
static rl_status texts(rl_buffer *text, const char *key, const char *const *values, int64_t count, bool list, rl_error *err)
{
    rl_status status = RL_OK;
    if (count == 0) return RL_OK;
    RL_TRY(rl_buffer_printf(text, err, "    %s: %s", key, list ? "[" : ""));
    for (int64_t i = 0; i < count; i++) {
        if (i) RL_TRY(rl_buffer_printf(text, err, ", "));
        RL_TRY(scalar(text, values[i], err));
    }
    RL_TRY(rl_buffer_printf(text, err, "%s\n", list ? "]" : ""));
cleanup:
    return status;
}

static rl_status one_text(rl_buffer *text, const char *key, const char *value, rl_error *err)
{
    return value ? texts(text, key, &value, 1, false, err) : RL_OK;
}

static rl_status concepts(rl_buffer *text, const rl_scope *scope, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_buffer_printf(text, err, "concepts:\n"));
    for (size_t i = 0; i < scope->num_concepts; i++) {
        const rl_concept_settings *c = &scope->concepts[i];
        bool ner = c->kind == RL_CONCEPT_NER;
        RL_TRY(rl_buffer_printf(text, err, "  "));
        RL_TRY(scalar(text, c->name, err));
        RL_TRY(rl_buffer_printf(text, err, ":\n"));
        RL_TRY(one_text(text, "tokens", c->tokens, err));
        RL_TRY(one_text(text, "labels", c->labels, err));
        RL_TRY(texts(text, ner ? "ner" : "positive", c->positives, c->num_positives, true, err));
        RL_TRY(one_text(text, "words", c->words_file, err));
        RL_TRY(texts(text, "words", c->words, c->num_words, true, err));
        RL_TRY(one_text(text, "pattern", c->pattern, err));
        RL_TRY(one_text(text, "in", c->in, err));
        RL_TRY(texts(text, "type", c->types, ner ? 0 : c->num_types, true, err));
    }
cleanup:
    return status;
}

static rl_status value(rl_buffer *text, const rl_sweep_file *file, const rl_key *key, const char *given, rl_error *err)
{
    rl_status status = RL_OK;
    const char *path = given;
    RL_TRY(rl_key_canonical(&path, key, given, &file->scope, (rl_place){file->path, 0, 0}, err));
    RL_TRY(scalar(text, path, err));
cleanup:
    return status;
}

static rl_status grid(rl_buffer *text, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_buffer_printf(text, err, "grid:\n"));
    for (int a = 0; a < file->num_axes; a++) {
        const rl_axis *axis = &file->axes[a];
        RL_TRY(rl_buffer_printf(text, err, "  %s: [", axis->key->path));
        for (int64_t i = 0; i < axis->count; i++) {
            if (i) RL_TRY(rl_buffer_printf(text, err, ", "));
            RL_TRY(value(text, file, axis->key, axis->texts[i], err));
        }
        RL_TRY(rl_buffer_printf(text, err, "]\n"));
    }
cleanup:
    return status;
}

static rl_status excludes(rl_buffer *text, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    if (file->num_excludes) RL_TRY(rl_buffer_printf(text, err, "exclude:\n"));
    for (int e = 0; e < file->num_excludes; e++) {
        const rl_exclude *exclude = &file->excludes[e];
        for (int c = 0; c < exclude->count; c++) {
            RL_TRY(rl_buffer_printf(text, err, "  %c %s: [", c ? ' ' : '-', exclude->conditions[c][0].key->path));
            for (int64_t v = 0; v < exclude->num_values[c]; v++) {
                if (v) RL_TRY(rl_buffer_printf(text, err, ", "));
                RL_TRY(value(text, file, exclude->conditions[c][v].key, exclude->conditions[c][v].value, err));
            }
            RL_TRY(rl_buffer_printf(text, err, "]\n"));
        }
    }
cleanup:
    return status;
}

static rl_status filters(rl_buffer *text, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer joined = {0};
    for (int f = 0; f < 2; f++) RL_TRY(rl_filter_print(&joined, &file->filters[f], err));
    if (joined.length) {
        RL_TRY(rl_buffer_printf(text, err, "filter: "));
        RL_TRY(scalar(text, joined.data, err));
        RL_TRY(rl_buffer_printf(text, err, "\n"));
    }
cleanup:
    rl_buffer_free(&joined);
    return status;
}

static bool is_axis(const rl_sweep_file *file, const rl_key *key)
{
    for (int a = 0; a < file->num_axes; a++)
        if (file->axes[a].key == key) return true;
    return false;
}

static const rl_assignment *assigned(const rl_sweep_file *file, const rl_key *key)
{
    for (int s = 0; s < file->num_settings; s++)
        if (file->settings[s].key == key) return &file->settings[s];
    return NULL;
}

/* "a.b.c: v" as nested block mappings, written flat in table order: sections are contiguous in the table. */
static rl_status settings(rl_buffer *text, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_key *protocol_key = rl_key_find("protocol");
    rl_run_settings effective = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    const rl_assignment *protocol = assigned(file, protocol_key);
    bool presets_vary = is_axis(file, protocol_key); /* then only what was said explicitly can be written down */
    char section[64] = "";
    if (protocol) RL_TRY(rl_key_set(&effective, protocol_key, protocol->text, &file->scope, protocol->place, err));
    effective = rl_run_defaults(effective.protocol);
    for (int s = 0; s < file->num_settings; s++)
        RL_TRY(rl_key_set(&effective, file->settings[s].key, file->settings[s].text, &file->scope, file->settings[s].place, err));
    for (size_t i = 0; i < rl_num_keys; i++) {
        const rl_key *key = &rl_keys[i];
        if (is_axis(file, key) || rl_key_is_unset(key, &effective) || (presets_vary && !assigned(file, key))) continue;
        if (rl_key_is_late_default(key, &effective)) continue;
        const char *dot = strchr(key->path, '.'), *name = dot ? dot + 1 : key->path;
        int length = dot ? (int)(dot - key->path) : 0;
        if (dot && (strncmp(section, key->path, (size_t)length) || section[length])) {
            snprintf(section, sizeof section, "%.*s", length, key->path);
            RL_TRY(rl_buffer_printf(text, err, "%s:\n", section));
        }
        const char *second = strchr(name, '.');
        if (second)
            RL_TRY(rl_buffer_printf(text, err, "  %.*s:\n    %s: ", (int)(second - name), name, second + 1));
        else
            RL_TRY(rl_buffer_printf(text, err, "%s%s: ", dot ? "  " : "", name));
        rl_buffer plain = {0};
        status = rl_key_get(&plain, key, &effective, err);
        if (status == RL_OK) status = scalar(text, plain.data, err);
        rl_buffer_free(&plain);
        if (status != RL_OK) goto cleanup;
        RL_TRY(rl_buffer_printf(text, err, "\n"));
    }
cleanup:
    return status;
}

rl_status rl_sweep_resolve(rl_buffer *text, const rl_sweep_file *file, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_buffer_printf(text, err, "# resolved by relearn " RL_VERSION ": everything that decides the runs, with absolute paths\nsweep: "));
    RL_TRY(scalar(text, file->name, err));
    RL_TRY(rl_buffer_printf(text, err, "\n"));
    RL_TRY(rl_policy_print(text, &file->policy, err));
    RL_TRY(concepts(text, &file->scope, err));
    RL_TRY(grid(text, file, err));
    RL_TRY(excludes(text, file, err));
    RL_TRY(filters(text, file, err));
    RL_TRY(settings(text, file, err));
cleanup:
    return status;
}
