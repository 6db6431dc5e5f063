/* document.c -- a YAML file as a tree in which every node knows its place. */
#include "sweep_internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

rl_status rl_yaml_fail(const rl_yaml *node, rl_error *err, const char *format, ...)
{
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rl_fail_at(err, RL_ERR_INPUT, node->place.file, node->place.line, node->place.column, "%s", text);
}

void rl_yaml_free(rl_yaml *node)
{
    if (!node) return;
    for (size_t i = 0; i < node->count; i++) {
        if (node->keys) rl_yaml_free(node->keys[i]);
        if (node->values) rl_yaml_free(node->values[i]);
    }
    rl_free(node->keys);
    rl_free(node->values);
    rl_free(node->text);
    rl_free(node);
}

enum { MAX_DEPTH = 16, MAX_NODES = 200000 }; /* an alias bomb or a self-containing alias ends here */
static const char too_large[] = "the file is nested too deeply or too large";
typedef struct conversion {
    yaml_document_t *document;
    const char *file;
    size_t num_nodes;
} conversion;

static rl_status convert(rl_yaml **out, conversion *c, int index, int depth, rl_error *err);

static rl_status convert_children(rl_yaml *node, conversion *c, const yaml_node_t *from, int depth, rl_error *err)
{
    rl_status status = RL_OK;
    if (from->type == YAML_SEQUENCE_NODE) {
        size_t count = (size_t)(from->data.sequence.items.top - from->data.sequence.items.start);
        RL_ALLOC(node->values, count, err);
        for (; node->count < count; node->count++)
            RL_TRY(convert(&node->values[node->count], c, from->data.sequence.items.start[node->count], depth + 1, err));
    } else if (from->type == YAML_MAPPING_NODE) {
        size_t count = (size_t)(from->data.mapping.pairs.top - from->data.mapping.pairs.start);
        RL_ALLOC(node->keys, count, err);
        RL_ALLOC(node->values, count, err);
        node->count = count;
        for (size_t i = 0; i < count; i++) {
            RL_TRY(convert(&node->keys[i], c, from->data.mapping.pairs.start[i].key, depth + 1, err));
            RL_TRY(convert(&node->values[i], c, from->data.mapping.pairs.start[i].value, depth + 1, err));
        }
    }
cleanup:
    return status;
}

/* Keys are plain texts and occur once. */
static rl_status check_keys(const rl_yaml *node, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *seen = NULL;
    int32_t id = 0;
    RL_TRY(rl_names_create(&seen, err));
    for (size_t i = 0; i < node->count && status == RL_OK; i++) {
        const rl_yaml *key = node->keys[i];
        if (key->kind != RL_YAML_SCALAR)
            status = rl_yaml_fail(key, err, "a key must be a plain name");
        else if ((status = rl_names_intern(seen, key->text, strlen(key->text), &id, err)) == RL_OK && (size_t)id < i)
            status = rl_yaml_fail(key, err, "'%s' is given twice; first at line %ld", key->text, node->keys[id]->place.line);
    }
cleanup:
    rl_names_free(seen);
    return status;
}

static rl_status convert(rl_yaml **out, conversion *c, int index, int depth, rl_error *err)
{
    rl_status status = RL_OK;
    rl_yaml *node = NULL;
    const yaml_node_t *from = yaml_document_get_node(c->document, index);
    RL_ALLOC(node, 1, err);
    node->place = (rl_place){c->file, (long)from->start_mark.line + 1, (long)from->start_mark.column + 1};
    if (depth > MAX_DEPTH || ++c->num_nodes > MAX_NODES) {
        status = rl_yaml_fail(node, err, too_large);
        goto cleanup;
    }
    if (from->type == YAML_SCALAR_NODE) {
        node->kind = RL_YAML_SCALAR;
        node->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        RL_ALLOC(node->text, from->data.scalar.length + 1, err);
        memcpy(node->text, from->data.scalar.value, from->data.scalar.length);
        if (strlen(node->text) != from->data.scalar.length) {
            status = rl_yaml_fail(node, err, "a NUL byte is not text");
            goto cleanup;
        }
    } else {
        node->kind = from->type == YAML_SEQUENCE_NODE ? RL_YAML_LIST : RL_YAML_MAP;
        RL_TRY(convert_children(node, c, from, depth, err));
        if (node->kind == RL_YAML_MAP) RL_TRY(check_keys(node, err));
    }
    *out = node;
    return RL_OK;
cleanup:
    rl_yaml_free(node);
    return status;
}

/* libyaml gives bytes that are no text an offset instead of a mark. */
static rl_place place_of_offset(const char *name, const char *text, size_t length, size_t offset)
{
    rl_place place = {name, 1, 1};
    for (size_t i = 0; i < offset && i < length; i++) {
        bool newline = text[i] == '\n', continues = ((unsigned char)text[i] & 0xC0) == 0x80;
        place.line += newline;
        place.column = newline ? 1 : place.column + !continues;
    }
    return place;
}

static rl_status parser_failure(const yaml_parser_t *parser, const char *name, const char *text, size_t length,
                                rl_error *err)
{
    const char *problem = parser->problem ? parser->problem : "it cannot be read";
    if (parser->error == YAML_MEMORY_ERROR)
        return rl_fail(err, RL_ERR_MEMORY, "%s: out of memory for the YAML parser", name);
    if (parser->error == YAML_READER_ERROR) {
        rl_place at = place_of_offset(name, text, length, parser->problem_offset);
        return rl_fail_at(err, RL_ERR_INPUT, at.file, at.line, at.column, "is not YAML: %s", problem);
    }
    return rl_fail_at(err, RL_ERR_INPUT, name, (long)parser->problem_mark.line + 1, (long)parser->problem_mark.column + 1,
                      "is not YAML: %s", problem);
}

/* libyaml's time grows with the square of the depth, so that a few thousand brackets would keep it for minutes: before it builds
 * a tree, the limits of convert are applied to what it reads. Faults of the text are left to the reading that follows. */
static rl_status check_extent(const char *name, const char *text, size_t length, rl_error *err)
{
    rl_status status = RL_OK;
    yaml_parser_t parser;
    size_t num_nodes = 0;
    int depth = -1; /* of the node that begins */
    bool ended = false;
    if (!yaml_parser_initialize(&parser)) return rl_fail(err, RL_ERR_MEMORY, "out of memory for the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    for (yaml_event_t event; !ended && status == RL_OK && yaml_parser_parse(&parser, &event); yaml_event_delete(&event)) {
        bool opens = event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        depth += opens;
        num_nodes += opens || event.type == YAML_SCALAR_EVENT;
        depth -= event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        if (depth > MAX_DEPTH || num_nodes > MAX_NODES)
            status = rl_fail_at(err, RL_ERR_INPUT, name, (long)event.start_mark.line + 1, (long)event.start_mark.column + 1, too_large);
        ended = event.type == YAML_STREAM_END_EVENT;
    }
    yaml_parser_delete(&parser);
    return status;
}

rl_status rl_yaml_parse(rl_yaml **out, const char *name, const char *text, size_t length, rl_error *err)
{
    rl_status status = check_extent(name, text, length, err);
    yaml_parser_t parser;
    yaml_document_t document, second;
    if (status != RL_OK) return status;
    if (!yaml_parser_initialize(&parser)) return rl_fail(err, RL_ERR_MEMORY, "out of memory for the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    if (!yaml_parser_load(&parser, &document)) {
        status = parser_failure(&parser, name, text, length, err);
        yaml_parser_delete(&parser);
        return status;
    }
    conversion c = {&document, name, 0};
    if (!yaml_document_get_root_node(&document)) {
        status = rl_fail_at(err, RL_ERR_INPUT, name, 1, 1, "the file is empty; a sweep was expected");
    } else if (!yaml_parser_load(&parser, &second)) {
        status = parser_failure(&parser, name, text, length, err);
    } else {
        if (yaml_document_get_root_node(&second))
            status = rl_fail_at(err, RL_ERR_INPUT, name, (long)second.start_mark.line + 1, 1, "a second YAML document is not read");
        yaml_document_delete(&second);
    }
    rl_yaml *root = NULL;
    if (status == RL_OK) status = convert(&root, &c, 1, 0, err); /* the root is node 1 */
    if (status == RL_OK) *out = root;
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return status;
}

rl_status rl_yaml_read(rl_yaml **out, const char *path, rl_error *err)
{
    rl_file_view view = {0};
    rl_status status = rl_file_view_open(&view, path, err);
    if (status != RL_OK) return status;
    status = rl_yaml_parse(out, path, view.data, view.size, err);
    rl_file_view_close(&view);
    return status;
}

const rl_yaml *rl_yaml_find(const rl_yaml *map, const char *path)
{
    const rl_yaml *found = NULL;
    for (size_t i = 0; map->kind == RL_YAML_MAP && i < map->count && !found; i++) {
        const char *name = map->keys[i]->text;
        size_t length = strlen(name);
        if (!strcmp(name, path)) found = map->values[i];
        else if (!strncmp(name, path, length) && path[length] == '.') found = rl_yaml_find(map->values[i], path + length + 1);
    }
    return found;
}
