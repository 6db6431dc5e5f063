/* text_internal.h -- what the files of the text room share: lines of a file, code points, tags, the tokenizer's
 * insides. */
#ifndef RELEARN_TEXT_INTERNAL_H
#define RELEARN_TEXT_INTERNAL_H

#include "relearn/text.h"

/* ------------------------------------------------------------------------------------------------- UTF-8 */

/* A growing list of code points. Zero-initialise; text_codes_free. */
typedef struct text_codes {
    int32_t *data;
    size_t count, capacity;
} text_codes;
rl_status text_codes_push(text_codes *codes, int32_t code, rl_error *err);
void text_codes_free(text_codes *codes);

/* Read one code point at *text (end exclusive) and step over it; -1 where the bytes are not UTF-8. */
int32_t text_decode(const char **text, const char *end);
/* Offset of the first byte that is not UTF-8, or -1. */
int64_t text_invalid_utf8(const char *text, size_t length);
/* White space that Python's str.strip() takes off. */
bool text_is_python_space(int32_t code);

/* ----------------------------------------------------------------------------------- character classes */

/* As tokenizers 0.23.3 sees them (unicode_tables.c is generated from it): its Unicode version is not utf8proc's. */
bool text_is_other(int32_t code);           /* categories Cc, Cf, Co; unassigned ones are kept */
bool text_is_nonspacing_mark(int32_t code); /* category Mn */
bool text_is_ordered_mark(int32_t code);    /* a combining class other than 0 */
bool text_is_punctuation(int32_t code);     /* ASCII punctuation and symbols, categories P* */
bool text_is_white_space(int32_t code);     /* the White_Space property */
bool text_is_chinese(int32_t code);         /* BERT's CJK ideograph blocks */
int32_t text_lower(int32_t code);           /* one to one; U+0130 apart, see normalise.c */

typedef struct text_range {
    int32_t first, last;
} text_range;
/* The code points first, first + step, ... last are lower-cased by adding `delta`, whatever utf8proc's age. */
typedef struct text_case_range {
    int32_t first, last, step, delta;
} text_case_range;
extern const text_range text_other_ranges[], text_nonspacing_ranges[], text_ordered_ranges[], text_punctuation_ranges[];
extern const size_t text_num_other_ranges, text_num_nonspacing_ranges, text_num_ordered_ranges,
    text_num_punctuation_ranges;
extern const text_case_range text_late_case_ranges[];
extern const size_t text_num_late_case_ranges;

/* ------------------------------------------------------------------------------------------------- lines */

/* A text file line by line: LF or CRLF, final newline optional, a byte order mark skipped. */
typedef struct text_lines {
    const char *path;
    rl_file_view view;
    size_t offset;
    long number;      /* of the current line, from 1 */
    const char *line; /* not NUL-terminated */
    size_t length;
} text_lines;
rl_status text_lines_open(text_lines *out, const char *path, rl_error *err);
/* *more = false at the end. NUL, a stray CR and bytes that are not UTF-8 are RL_ERR_INPUT with line and column (in
 * bytes). */
rl_status text_lines_next(text_lines *lines, bool *more, rl_error *err);
void text_lines_close(text_lines *lines);

/* ---------------------------------------------------------------------------------------------- corpora */

/* A corpus that grows word by word; text_builder_finish hands it over. */
typedef struct text_builder {
    rl_corpus *corpus;
    size_t word_capacity, sentence_capacity;
} text_builder;
rl_status text_builder_create(text_builder *out, const char *path, rl_error *err);
rl_status text_builder_word(text_builder *builder, const char *word, size_t length, int32_t label, rl_error *err);
rl_status text_builder_end_sentence(text_builder *builder, rl_error *err); /* an empty one is not counted */

/* ------------------------------------------------------------------------------------------------- tags */

/* "B-PER" -> 'B', "PER"; "O" -> 'O', "". false when it is neither O nor a letter of BIESLU, '-', and a type. */
bool text_tag_split(const char *tag, char *prefix, const char **type);

/* -------------------------------------------------------------------------------------------- tokenizer */

/* A token that is matched as a whole before WordPiece sees the text. */
typedef struct text_added_token {
    char *content;
    size_t length;
    int32_t id;
    bool special;
    bool normalised; /* matched in the normalised text, not in the raw one */
    int32_t *codes;  /* normalised content, where normalised */
    size_t num_codes;
} text_added_token;

/* Strings -> ids, where ids need not be dense. */
typedef struct text_vocabulary {
    rl_names *names;
    int32_t *ids; /* [count of names] */
    size_t capacity;
    size_t longest; /* in bytes */
} text_vocabulary;
rl_status text_vocabulary_add(text_vocabulary *vocabulary, const char *token, size_t length, int32_t id, rl_error *err);
int32_t text_vocabulary_find(const text_vocabulary *vocabulary, const char *token, size_t length); /* id or -1 */

typedef struct text_normaliser {
    bool clean_text, chinese, strip_accents, lowercase;
} text_normaliser;

struct rl_tokenizer {
    char *path; /* the file the vocabulary came from, for messages */
    text_normaliser normaliser;
    text_vocabulary whole;       /* every token as it is written: a word's first piece */
    text_vocabulary continuing;  /* tokens that start with the prefix, without it: all further pieces */
    char *prefix;                /* "##" */
    int64_t max_word_characters; /* 100 */
    text_added_token *added;
    size_t num_added, added_capacity;
    bool raw_start[256]; /* first bytes of raw added tokens: most words skip the search */
    bool any_normalised;
    rl_special_ids special;
    int32_t num_ids; /* largest id + 1 */
    int64_t max_length;
};

/* Buffers of one encoding thread. Zero-initialise; text_scratch_free. */
typedef struct text_scratch {
    text_codes codes, decomposed;
    rl_buffer utf8;
    size_t *boundary; /* [characters + 1] byte offsets into utf8 */
    size_t boundary_capacity;
} text_scratch;
void text_scratch_free(text_scratch *scratch);

/* BertNormalizer: text -> scratch->codes. */
rl_status text_normalise(const text_normaliser *normaliser, text_scratch *scratch, const char *text, size_t length,
                         rl_error *err);
/* rl_tokenizer_encode_word with the caller's buffers. */
rl_status text_encode(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *word, size_t length,
                      rl_id_list *out, rl_error *err);
rl_status text_id_push(rl_id_list *list, int32_t id, rl_error *err);

/* ----------------------------------------------------------------------------------- loading a tokenizer */

typedef enum text_special { TEXT_PAD, TEXT_UNK, TEXT_CLS, TEXT_SEP, TEXT_MASK, TEXT_NUM_SPECIALS } text_special;

/* What the files of a folder say, until the tokenizer is whole. JSON roots and paths are owned by rl_tokenizer_load. */
typedef struct text_loading {
    rl_tokenizer *tokenizer;
    char *json_path, *vocab_path, *config_path, *map_path; /* NULL where the folder has no such file */
    json_t *json, *config, *map;
    int strip_accents;                       /* 0, 1, or -1: as lowercase */
    const char *name[TEXT_NUM_SPECIALS];     /* borrowed from the JSON roots */
    const char *template_cls, *template_sep; /* of tokenizer.json's post_processor, or NULL */
} text_loading;

/* *value = object[key] where it is there and not null; another type is RL_ERR_INPUT naming path and key. */
rl_status text_json_bool(const json_t *object, const char *key, const char *path, bool *value, rl_error *err);
rl_status text_json_string(const json_t *object, const char *key, const char *path, const char **value, rl_error *err);

rl_status text_add_piece(rl_tokenizer *tokenizer, const char *token, size_t length, int32_t id, rl_error *err);
rl_status text_load_vocab_txt(rl_tokenizer *tokenizer, const char *path, rl_error *err);
rl_status text_load_tokenizer_json(text_loading *loading, rl_error *err);
/* Special token names, added tokens and normaliser settings of tokenizer_config.json and special_tokens_map.json. */
rl_status text_apply_config(text_loading *loading, rl_error *err);

/* Id of a token in the vocabulary or among the added ones; -1. */
int32_t text_token_id(const rl_tokenizer *tokenizer, const char *token);
/* Match `content` as a whole from now on; a second mention of one is checked against the first. */
rl_status text_add_token(rl_tokenizer *tokenizer, const char *path, const char *content, int32_t id, bool special,
                         bool normalised, rl_error *err);
/* One object of added_tokens: {"content": ..., "normalized": ..., ...}. */
rl_status text_add_token_object(rl_tokenizer *tokenizer, const char *path, const json_t *object, int64_t id,
                                rl_error *err);
/* Once the normaliser is settled. */
rl_status text_finish_added_tokens(rl_tokenizer *tokenizer, rl_error *err);
void text_added_tokens_free(rl_tokenizer *tokenizer);

#endif
