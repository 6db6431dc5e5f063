/* filter.c -- conditions PATH OP VALUE joined by && or commas. */
#include "sweep_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_path_key(const rl_key *key)
{
    return key->type == RL_KEY_FILE || key->type == RL_KEY_MODEL || key->type == RL_KEY_VECTORS;
}

static const char *skip_blank(const char *at)
{
    while (isspace((unsigned char)*at)) at++;
    return at;
}

static rl_status parse_comparison(rl_condition *condition, const char **at, const char *whole, rl_place place, rl_error *err)
{
    static const struct {
        const char *text;
        int comparison;
    } operators[] = {{"==", RL_EQUAL}, {"!=", RL_UNEQUAL}, {"<=", RL_AT_MOST}, {">=", RL_AT_LEAST},
                     {"=", RL_EQUAL},  {"<", RL_LESS},     {">", RL_MORE}};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t length = strlen(operators[i].text);
        if (strncmp(*at, operators[i].text, length)) continue;
        *at += length;
        condition->comparison = operators[i].comparison;
        return RL_OK;
    }
    return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column,
                      "filter '%s': one of == != < <= > >= was expected at '%s'", whole, *at);
}

/* A value in quotes may hold commas, && and blanks: the length between the quotes, 0 when they do not close. */
static size_t quoted_length(const char *at)
{
    const char *end = strchr(at + 1, at[0]);
    return end ? (size_t)(end - at) - 1 : 0;
}

static size_t value_length(const char *at)
{
    size_t n = 0;
    while (at[n] && at[n] != ',' && strncmp(at + n, "&&", 2) != 0) n++;
    while (n && isspace((unsigned char)at[n - 1])) n--;
    return n;
}

static rl_status parse_condition(rl_condition *condition, const char **at, const char *whole, const rl_scope *scope,
                                 rl_place place, rl_error *err)
{
    char path[64];
    size_t length = strspn(*at, "abcdefghijklmnopqrstuvwxyz_.0123456789");
    if (length == 0 || length >= sizeof path)
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "filter '%s': a setting was expected at '%s'",
                          whole, *at);
    snprintf(path, sizeof path, "%.*s", (int)length, *at);
    condition->key = rl_key_find(path);
    if (!condition->key) {
        const char *nearest = rl_key_nearest(path);
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "filter '%s': '%s' is no setting%s%s", whole, path,
                          nearest ? "; did you mean " : "", nearest ? nearest : "");
    }
    *at = skip_blank(*at + length);
    rl_status status = parse_comparison(condition, at, whole, place, err);
    if (status != RL_OK) return status;
    *at = skip_blank(*at);
    bool quoted = **at == '"' || **at == '\'';
    length = quoted ? quoted_length(*at) : value_length(*at);
    if (length == 0)
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "filter '%s': a value was expected after %s", whole,
                          path);
    char *value = rl_format(err, "%.*s", (int)length, *at + quoted);
    if (!value) return RL_ERR_MEMORY;
    bool is_path = is_path_key(condition->key); /* a bare name is kept */
    status = is_path && !strchr(value, '/') ? rl_scope_keep(&condition->value, scope, value, err)
                                            : rl_key_canonical(&condition->value, condition->key, value, scope, place, err);
    rl_free(value);
    if (status != RL_OK) return status;
    *at = skip_blank(*at + length + 2 * quoted);
    if (**at && **at != ',' && strncmp(*at, "&&", 2) != 0)
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column,
                          "filter '%s': && or a comma was expected at '%s'", whole, *at);
    return RL_OK;
}

/* A value that its setting could never have is a typo, not an empty selection. */
static rl_status check_value(const rl_condition *condition, rl_place place, rl_error *err)
{
    rl_run_settings scratch = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    const rl_key *key = condition->key;
    if (condition->comparison > RL_UNEQUAL && key->type != RL_KEY_INT && key->type != RL_KEY_REAL)
        return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "filter: %s can only be compared by == and !=",
                          key->path);
    if (is_path_key(key) || key->type == RL_KEY_CONCEPT || key->type == RL_KEY_CONCEPTS || key->type == RL_KEY_LAYERS) return RL_OK;
    return rl_key_set(&scratch, key, condition->value, NULL, place, err);
}

rl_status rl_filter_parse(rl_filter *filter, const char *text, const rl_scope *scope, rl_place place, rl_error *err)
{
    rl_filter parsed = {.count = 0};
    const char *at = skip_blank(text);
    for (;;) {
        if (parsed.count == (int)(sizeof parsed.conditions / sizeof *parsed.conditions))
            return rl_fail_at(err, RL_ERR_INPUT, place.file, place.line, place.column, "filter: more than %d conditions", parsed.count);
        rl_condition *condition = &parsed.conditions[parsed.count++];
        rl_status status = parse_condition(condition, &at, text, scope, place, err);
        if (status == RL_OK) status = check_value(condition, place, err);
        if (status != RL_OK) return status;
        if (!*at) break;
        at = skip_blank(at + (*at == ',' ? 1 : 2));
    }
    *filter = parsed;
    return RL_OK;
}

rl_status rl_filter_print(rl_buffer *text, const rl_filter *filter, rl_error *err)
{
    static const char *const comparisons[] = {"==", "!=", "<", "<=", ">", ">="}; /* in the enum's order */
    rl_status status = RL_OK;
    for (int i = 0; status == RL_OK && i < filter->count; i++) {
        const rl_condition *c = &filter->conditions[i];
        const char *quote = strchr(c->value, '\'') ? "\"" : "'";
        status = rl_buffer_printf(text, err, "%s%s%s%s%s%s", text->length ? " && " : "", c->key->path,
                                  comparisons[c->comparison], quote, c->value, quote);
    }
    return status;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int compare(const rl_key *key, const char *actual, const char *wanted)
{
    if (key->type == RL_KEY_INT || key->type == RL_KEY_REAL) {
        double a = strtod(actual, NULL), b = strtod(wanted, NULL);
        return a < b ? -1 : a > b;
    }
    if (is_path_key(key))
        return strcmp(strchr(wanted, '/') ? actual : last_part(actual), wanted);
    return strcmp(actual, wanted);
}

rl_status rl_condition_holds(bool *holds, const rl_condition *condition, const rl_run_settings *settings, rl_error *err)
{
    rl_buffer actual = {0};
    if (rl_key_is_unset(condition->key, settings)) { /* the protocol's or the model's own value: not a number to compare */
        *holds = condition->comparison == RL_UNEQUAL;
        return RL_OK;
    }
    rl_status status = rl_key_get(&actual, condition->key, settings, err);
    if (status == RL_OK) {
        int order = compare(condition->key, actual.data, condition->value);
        switch (condition->comparison) {
        case RL_EQUAL: *holds = order == 0; break;
        case RL_UNEQUAL: *holds = order != 0; break;
        case RL_LESS: *holds = order < 0; break;
        case RL_AT_MOST: *holds = order <= 0; break;
        case RL_MORE: *holds = order > 0; break;
        case RL_AT_LEAST: *holds = order >= 0; break;
        }
    }
    rl_buffer_free(&actual);
    return status;
}

rl_status rl_filter_matches(bool *matches, const rl_filter *filter, const rl_run_settings *settings, rl_error *err)
{
    *matches = true;
    for (int i = 0; i < filter->count && *matches; i++) {
        rl_status status = rl_condition_holds(matches, &filter->conditions[i], settings, err);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}
