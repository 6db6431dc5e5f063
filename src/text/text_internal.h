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
bool text_is_letter(int32_t code);          /* \p{L} of the ByteLevel pre-tokenizer's regex engine */
bool text_is_number(int32_t code);          /* \p{N} of the same */
int32_t text_lower(int32_t code);           /* one to one; U+0130 apart, see normalise.c */

typedef struct text_range {
    int32_t first, last;
} text_range;
/* The code points first, first + step, ... last are lower-cased by adding `delta`, whatever utf8proc's age. */
typedef struct text_case_range {
    int32_t first, last, step, delta;
} text_case_range;
extern const text_range text_other_ranges[], text_nonspacing_ranges[], text_ordered_ranges[], text_punctuation_ranges[],
    text_letter_ranges[], text_number_ranges[];
extern const size_t text_num_other_ranges, text_num_nonspacing_ranges, text_num_ordered_ranges,
    text_num_punctuation_ranges, text_num_letter_ranges, text_num_number_ranges;
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

/* A token that is matched as a whole before anything else sees the text. */
typedef struct text_added_token {
    const char *content; /* the tokenizer's own once added */
    size_t length;
    int32_t id;
    bool special;
    bool normalised; /* matched in the normalised text, not in the raw one */
    bool lstrip, rstrip; /* takes the white space before, behind it along */
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

/* One merge of a byte-pair vocabulary, in a table with open addressing (rank -1: a free place). */
typedef struct text_merge {
    uint64_t pair; /* left id << 32 | right id */
    int32_t rank, id;
} text_merge;

/* Byte-level BPE: every byte of a piece is a symbol, and pairs of symbols merge, the earliest merge of the list first. */
typedef struct text_byte_pairs {
    int32_t byte_id[256]; /* -1: the vocabulary has no such symbol */
    int32_t unk;          /* for those; -1: they are left out, as GPT-2's are */
    bool whole_first;     /* ignore_merges: a piece that is a token is not taken apart */
    text_merge *merges;
    size_t num_places; /* a power of two, or 0 */
    int32_t num_merges;
} text_byte_pairs;

typedef struct text_normaliser {
    bool clean_text, chinese, strip_accents, lowercase;
} text_normaliser;

struct rl_tokenizer {
    char *path; /* the file the vocabulary came from, for messages */
    text_byte_pairs *pairs;      /* NULL: WordPiece */
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

/* A symbol of the piece that is being merged, in a doubly linked list; id -1: merged into the one before. */
typedef struct text_symbol {
    int32_t id, previous, next;
} text_symbol;
/* A merge that may be made: the smallest rank first, then the leftmost. */
typedef struct text_candidate {
    int32_t rank, at, id;
} text_candidate;

/* Buffers of one encoding thread. Zero-initialise; text_scratch_free. */
typedef struct text_scratch {
    bool bare; /* byte-level BPE puts no space before the text */
    text_codes codes, decomposed;
    rl_buffer utf8;
    size_t *boundary; /* [characters + 1] byte offsets into utf8 */
    size_t boundary_capacity;
    text_symbol *symbols;       /* [symbol_capacity], and three candidates a symbol */
    text_candidate *candidates; /* a heap */
    size_t symbol_capacity, num_candidates;
} text_scratch;
void text_scratch_free(text_scratch *scratch);

/* BertNormalizer: text -> scratch->codes. */
rl_status text_normalise(const text_normaliser *normaliser, text_scratch *scratch, const char *text, size_t length,
                         rl_error *err);
/* Byte-level BPE of text without added tokens, behind a space of its own if it has none (add_prefix_space). */
rl_status text_encode_byte_pairs(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *text, size_t length,
                                 rl_id_list *out, rl_error *err);
/* End of the first piece that GPT-2's pattern finds in text .. end, which is not empty and UTF-8. */
const char *text_piece_end(const char *text, const char *end);
/* rl_tokenizer_encode_word with the caller's buffers. */
rl_status text_encode(const rl_tokenizer *tokenizer, text_scratch *scratch, const char *word, size_t length,
                      rl_id_list *out, rl_error *err);
rl_status text_id_push(rl_id_list *list, int32_t id, rl_error *err);

/* ----------------------------------------------------------------------------------- loading a tokenizer */

typedef enum text_special {
    TEXT_PAD,
    TEXT_UNK,
    TEXT_CLS,
    TEXT_SEP,
    TEXT_MASK,
    TEXT_BOS,
    TEXT_EOS,
    TEXT_NUM_SPECIALS
} text_special;
/* Which tokenizer the files are read as, and so which special tokens they have when they do not say. */
typedef enum text_kind { TEXT_BERT, TEXT_GPT2, TEXT_ROBERTA } text_kind;

/* What the files of a folder say, until the tokenizer is whole. JSON roots and paths are owned by rl_tokenizer_load. */
typedef struct text_loading {
    rl_tokenizer *tokenizer;
    /* NULL where the folder has no such file; vocab_path is vocab.json where merges_path is there */
    char *json_path, *vocab_path, *merges_path, *config_path, *map_path;
    text_kind kind;
    const char *class; /* tokenizer_class, or NULL */
    json_t *json, *config, *map;
    int strip_accents;                       /* 0, 1, or -1: as lowercase */
    const char *name[TEXT_NUM_SPECIALS];     /* borrowed from the JSON roots */
    const char *template_cls, *template_sep; /* of tokenizer.json's post_processor, or NULL */
} text_loading;

/* *value = object[key] where it is there and not null; another type is RL_ERR_INPUT naming path and key. */
rl_status text_json_bool(const json_t *object, const char *key, const char *path, bool *value, rl_error *err);
rl_status text_json_string(const json_t *object, const char *key, const char *path, const char **value, rl_error *err);

/* model.vocab of tokenizer.json, or all of vocab.json; key names it in messages. */
rl_status text_read_vocabulary(rl_tokenizer *tokenizer, const char *path, const char *key, const json_t *vocab,
                               rl_error *err);
/* kind of TEXT_GPT2 or TEXT_ROBERTA by class, template and vocabulary; refuses another class. */
rl_status text_settle_byte_pair_kind(text_loading *loading, rl_error *err);
rl_status text_load_byte_pair_files(text_loading *loading, rl_error *err);              /* vocab.json and merges.txt */
rl_status text_load_byte_pair_model(text_loading *loading, const json_t *model, rl_error *err); /* of tokenizer.json */
void text_byte_pairs_free(text_byte_pairs *pairs);
/* Id of the token that is written for these bytes; -1. */
int32_t text_find_bytes(const rl_tokenizer *tokenizer, const char *bytes, size_t length);
rl_status text_add_piece(rl_tokenizer *tokenizer, const char *token, size_t length, int32_t id, rl_error *err);
rl_status text_load_vocab_txt(rl_tokenizer *tokenizer, const char *path, rl_error *err);
rl_status text_load_tokenizer_json(text_loading *loading, rl_error *err);
/* Special token names, added tokens and normaliser settings of tokenizer_config.json and special_tokens_map.json. */
rl_status text_apply_config(text_loading *loading, rl_error *err);

/* Id of a token in the vocabulary or among the added ones; -1. */
int32_t text_token_id(const rl_tokenizer *tokenizer, const char *token);
/* Match `content` as a whole from now on; a second mention of one is checked against the first. */
rl_status text_add_token(rl_tokenizer *tokenizer, const char *path, const text_added_token *token, rl_error *err);
rl_status text_add_special(rl_tokenizer *tokenizer, const char *path, const char *content, int32_t id, rl_error *err);
/* One object of added_tokens: {"content": ..., "normalized": ..., ...}. */
rl_status text_add_token_object(rl_tokenizer *tokenizer, const char *path, const json_t *object, int64_t id,
                                rl_error *err);
/* Once the normaliser is settled. */
rl_status text_finish_added_tokens(rl_tokenizer *tokenizer, rl_error *err);
void text_added_tokens_free(rl_tokenizer *tokenizer);

#endif
