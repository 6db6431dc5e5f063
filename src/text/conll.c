/* conll.c -- CoNLL columns -> sentences of words with IOB2 labels.
 *
 * Every tag scheme is converted by one rule, because where a chunk starts can be told from a tag and its predecessor in
 * all of them: at B-, S- and U-; at any tag whose type is not the predecessor's; after O; after E-, S-, L- and U-,
 * which end their chunk. A chunk's first word becomes B-, the others I-. IOB2 maps to itself, IOB1's I- after O or
 * another type becomes B- (protocol §1.1), and BIOES and BILOU lose their ends. The chunks are the ones seqeval sees in
 * the file. */
#include "text_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tag of the file, parsed once: prefix letter and id of its type. */
typedef struct parsed_tag {
    char prefix; /* 'O', 'B', 'I', 'E', 'S', 'L', 'U' */
    int32_t type;
} parsed_tag;

/* While reading, a label is a code: 0 = O, 1 + 2t = B of type t, 2 + 2t = I; types in order of appearance. */
typedef struct reader {
    text_lines lines;
    text_builder builder;
    int64_t limit;
    const rl_names *given; /* the caller's label set, or NULL */
    rl_names *tags, *types;
    parsed_tag *parsed; /* [count of tags] */
    size_t parsed_capacity;
    int32_t *label_of_code; /* [2 * types + 1]; -1 = not in the given set */
    size_t code_capacity;
    long num_columns, columns_line; /* set by the first word line */
    parsed_tag previous;            /* of the same sentence; 'O' at its start */
} reader;

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* ------------------------------------------------------------------------------------------------- tags */

/* What the tag may have been meant to be: one of this file's, or its own type behind a real prefix. */
static const char *likely_tag(const reader *r, const char *tag, char spelled[][80], const char **names)
{
    size_t count = 0;
    int32_t seen = rl_names_count(r->tags);
    names[count++] = "O";
    for (int32_t i = 0; i < seen && count < 60; i++)
        if (rl_names_get(r->tags, i) != tag) names[count++] = rl_names_get(r->tags, i);
    if (tag[0] && strchr("-_.:/", tag[1] ? tag[1] : ' ') && strlen(tag) < 70)
        for (size_t p = 0; p < 4; p++) {
            snprintf(spelled[p], sizeof spelled[p], "%c-%s", "BIES"[p], tag + 2);
            if (tag[2]) names[count++] = spelled[p];
        }
    return rl_nearest_name(tag, names, count);
}

static rl_status refuse_tag(const reader *r, const char *tag, long column, rl_error *err)
{
    char spelled[4][80];
    const char *names[64], *nearest = likely_tag(r, tag, spelled, names);
    return rl_fail_at(err, RL_ERR_INPUT, r->lines.path, r->lines.number, column,
                      "unknown tag '%.100s'; expected O, or B-, I-, E-, S-, L- or U- and a type%s%s%s", tag,
                      nearest ? "; the nearest is '" : "", nearest ? nearest : "", nearest ? "'" : "");
}

static rl_status parse_new_tag(reader *r, int32_t id, long column, rl_error *err)
{
    const char *tag = rl_names_get(r->tags, id), *type;
    parsed_tag parsed = {0};
    if (!text_tag_split(tag, &parsed.prefix, &type)) return refuse_tag(r, tag, column, err);
    if (parsed.prefix != 'O') {
        rl_status status = rl_names_intern(r->types, type, strlen(type), &parsed.type, err);
        if (status != RL_OK) return status;
    }
    if ((size_t)id >= r->parsed_capacity) {
        size_t capacity = (size_t)id * 2 + 16;
        parsed_tag *grown = rl_regrow(r->parsed, r->parsed_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        r->parsed = grown;
        r->parsed_capacity = capacity;
    }
    r->parsed[id] = parsed;
    return RL_OK;
}

static bool starts_chunk(parsed_tag previous, parsed_tag tag)
{
    if (tag.prefix == 'B' || tag.prefix == 'S' || tag.prefix == 'U') return true;
    return previous.prefix == 'O' || previous.type != tag.type || strchr("ESLU", previous.prefix) != NULL;
}

/* ----------------------------------------------------------------------------------------------- labels */

static void write_label(char *text, size_t size, const rl_names *types, int32_t code)
{
    if (code == 0)
        snprintf(text, size, "O");
    else
        snprintf(text, size, "%c-%s", code % 2 ? 'B' : 'I', rl_names_get(types, (code - 1) / 2));
}

static rl_status refuse_label(const reader *r, const char *tag, const char *label, long column, rl_error *err)
{
    int32_t count = rl_names_count(r->given);
    const char **names = rl_calloc((size_t)count + 1, sizeof *names, err);
    if (!names) return RL_ERR_MEMORY;
    for (int32_t i = 0; i < count; i++) names[i] = rl_names_get(r->given, i);
    const char *nearest = rl_nearest_name(label, names, (size_t)count);
    rl_status status =
        rl_fail_at(err, RL_ERR_INPUT, r->lines.path, r->lines.number, column,
                   "tag '%.100s' (%.100s in IOB2) is not one of the %d labels expected%s%s%s", tag, label, count,
                   nearest ? "; the nearest is '" : "", nearest ? nearest : "", nearest ? "'" : "");
    rl_free(names);
    return status;
}

/* The given set must hold this code's label; looked up once per code. */
static rl_status check_label(reader *r, int32_t code, const char *tag, long column, rl_error *err)
{
    char label[256];
    if ((size_t)code >= r->code_capacity) {
        size_t capacity = (size_t)code * 2 + 16;
        int32_t *grown = rl_regrow(r->label_of_code, r->code_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        for (size_t i = r->code_capacity; i < capacity; i++) grown[i] = -1;
        r->label_of_code = grown;
        r->code_capacity = capacity;
    }
    if (r->label_of_code[code] >= 0) return RL_OK;
    write_label(label, sizeof label, r->types, code);
    r->label_of_code[code] = rl_names_find(r->given, label, strlen(label));
    return r->label_of_code[code] >= 0 ? RL_OK : refuse_label(r, tag, label, column, err);
}

/* ------------------------------------------------------------------------------------------------- lines */

typedef struct columns {
    const char *word, *tag;
    size_t word_length, tag_length;
    long count;
} columns;

static columns split_columns(const char *line, size_t length)
{
    columns found = {0};
    size_t i = 0;
    while (i < length) {
        while (i < length && is_blank(line[i])) i++;
        size_t start = i;
        while (i < length && !is_blank(line[i])) i++;
        if (i == start) break;
        if (found.count++ == 0) {
            found.word = line + start;
            found.word_length = i - start;
        }
        found.tag = line + start;
        found.tag_length = i - start;
    }
    return found;
}

static rl_status check_columns(reader *r, const columns *found, rl_error *err)
{
    if (r->num_columns == 0 && found->count >= 2) {
        r->num_columns = found->count;
        r->columns_line = r->lines.number;
    }
    long column = (long)(found->tag - r->lines.line) + 1;
    if (r->num_columns == 0)
        return rl_fail_at(err, RL_ERR_INPUT, r->lines.path, r->lines.number, column,
                          "one column; at least a word and a tag were expected, separated by blanks");
    if (found->count == r->num_columns) return RL_OK;
    return rl_fail_at(err, RL_ERR_INPUT, r->lines.path, r->lines.number, column,
                      "%ld columns; %ld were expected, as in line %ld", found->count, r->num_columns, r->columns_line);
}

static rl_status read_word(reader *r, const columns *found, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id, known = rl_names_count(r->tags);
    long column = (long)(found->tag - r->lines.line) + 1;
    RL_TRY(check_columns(r, found, err));
    if (found->tag_length > 200) return refuse_tag(r, "(over 200 bytes)", column, err);
    RL_TRY(rl_names_intern(r->tags, found->tag, found->tag_length, &id, err));
    if (id == known) RL_TRY(parse_new_tag(r, id, column, err));
    parsed_tag tag = r->parsed[id];
    int32_t code = tag.prefix == 'O' ? 0 : 1 + 2 * tag.type + (starts_chunk(r->previous, tag) ? 0 : 1);
    r->previous = tag;
    if (r->given) RL_TRY(check_label(r, code, rl_names_get(r->tags, id), column, err));
    if (r->limit == 0 || r->builder.corpus->num_sentences < r->limit)
        RL_TRY(text_builder_word(&r->builder, found->word, found->word_length, code, err));
cleanup:
    return status;
}

static rl_status end_sentence(reader *r, rl_error *err)
{
    r->previous = (parsed_tag){'O', 0};
    return text_builder_end_sentence(&r->builder, err);
}

static bool is_document_start(const text_lines *lines)
{
    static const char mark[] = "-DOCSTART-";
    return lines->length >= sizeof mark - 1 && memcmp(lines->line, mark, sizeof mark - 1) == 0;
}

static rl_status read_lines(reader *r, rl_error *err)
{
    rl_status status = RL_OK;
    for (bool more;;) {
        RL_TRY(text_lines_next(&r->lines, &more, err));
        if (!more) break;
        columns found = split_columns(r->lines.line, r->lines.length);
        if (found.count == 0 || is_document_start(&r->lines))
            RL_TRY(end_sentence(r, err));
        else
            RL_TRY(read_word(r, &found, err));
    }
    RL_TRY(end_sentence(r, err));
    if (r->builder.corpus->num_sentences == 0)
        status =
            rl_fail(err, RL_ERR_INPUT, "%s: no sentence; lines of a word and its tag were expected", r->lines.path);
cleanup:
    return status;
}

/* -------------------------------------------------------------------------------------------- label sets */

/* PER ORG LOC MISC come first, in this order (CoNLL-2003's ids), everything else bytewise behind. */
static int place_of_type(const char *type)
{
    static const char *const first[] = {"PER", "ORG", "LOC", "MISC"};
    for (int i = 0; i < 4; i++)
        if (strcmp(type, first[i]) == 0) return i;
    return 4;
}

static int compare_types(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int difference = place_of_type(x) - place_of_type(y);
    return difference ? difference : strcmp(x, y);
}

static rl_status intern_label(rl_names *labels, char letter, const char *type, int32_t *id, rl_error *err)
{
    char *text = rl_format(err, "%c-%s", letter, type);
    if (!text) return RL_ERR_MEMORY;
    rl_status status = rl_names_intern(labels, text, strlen(text), id, err);
    rl_free(text);
    return status;
}

/* Make the corpus's own labels and the map from codes to them. */
static rl_status make_labels(reader *r, int32_t *label_of_code, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t num_types = rl_names_count(r->types), type;
    const char **sorted = NULL;
    rl_names *labels = r->builder.corpus->labels;
    RL_ALLOC(sorted, num_types + 1, err);
    for (int32_t i = 0; i < num_types; i++) sorted[i] = rl_names_get(r->types, i);
    qsort(sorted, (size_t)num_types, sizeof *sorted, compare_types);
    RL_TRY(rl_names_intern(labels, "O", 1, &label_of_code[0], err));
    for (int32_t i = 0; i < num_types; i++) {
        type = rl_names_find(r->types, sorted[i], strlen(sorted[i]));
        RL_TRY(intern_label(labels, 'B', sorted[i], &label_of_code[1 + 2 * type], err));
        RL_TRY(intern_label(labels, 'I', sorted[i], &label_of_code[2 + 2 * type], err));
    }
cleanup:
    rl_free(sorted);
    return status;
}

static rl_status copy_labels(reader *r, rl_error *err)
{
    rl_status status = RL_OK;
    for (int32_t i = 0, id; i < rl_names_count(r->given) && status == RL_OK; i++) {
        const char *label = rl_names_get(r->given, i);
        status = rl_names_intern(r->builder.corpus->labels, label, strlen(label), &id, err);
    }
    return status;
}

static rl_status settle_labels(reader *r, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = r->builder.corpus;
    int32_t *map = NULL;
    if (r->given) {
        RL_TRY(copy_labels(r, err));
    } else {
        RL_ALLOC(map, 2 * (size_t)rl_names_count(r->types) + 1, err);
        RL_TRY(make_labels(r, map, err));
    }
    const int32_t *label_of_code = r->given ? r->label_of_code : map;
    for (int64_t w = 0; w < corpus->num_words; w++) corpus->label[w] = label_of_code[corpus->label[w]];
cleanup:
    rl_free(map);
    return status;
}

/* ------------------------------------------------------------------------------------------------ public */

rl_status rl_conll_read(rl_corpus **out, const char *path, const rl_names *labels, int64_t limit, rl_error *err)
{
    reader r = {.given = labels, .limit = limit, .previous = {'O', 0}};
    rl_status status = RL_OK;
    RL_TRY(text_lines_open(&r.lines, path, err));
    RL_TRY(text_builder_create(&r.builder, path, err));
    RL_TRY(rl_names_create(&r.tags, err));
    RL_TRY(rl_names_create(&r.types, err));
    RL_TRY(read_lines(&r, err));
    RL_TRY(settle_labels(&r, err));
    *out = r.builder.corpus;
    r.builder.corpus = NULL;
cleanup:
    rl_corpus_free(r.builder.corpus);
    text_lines_close(&r.lines);
    rl_names_free(r.tags);
    rl_names_free(r.types);
    rl_free(r.parsed);
    rl_free(r.label_of_code);
    return status;
}
