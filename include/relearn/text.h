/* relearn/text.h -- from files to ids, and from ids to scores.
 *
 * In: CoNLL columns, concept corpora, a Hub folder's tokenizer, fastText's word vectors. Out: interned words and labels,
 * packed sub-word ids, seqeval's precision/recall/F1. Leans on core and utf8proc. Every reader names FILE:LINE:COL when
 * it refuses. */
#ifndef RELEARN_TEXT_H
#define RELEARN_TEXT_H

#include "relearn/core.h"

#ifdef __cplusplus
extern "C" {
#endif

#define RL_IGNORE_LABEL (-100) /* torch.nn.CrossEntropyLoss ignore_index */

/* ------------------------------------------------------------------------------------------------ corpora */

/* Sentences of words, each word with one label. S sentences, W words. Immutable once read. */
typedef struct rl_corpus {
    char *path;              /* where it came from, for messages */
    int64_t num_sentences, num_words;
    int64_t *sentence_start; /* [S+1] into the words */
    int32_t *word;           /* [W] id into words */
    int32_t *label;          /* [W] id into labels */
    rl_names *words;         /* distinct words, exact bytes, first-occurrence order */
    rl_names *labels;        /* CoNLL: O, B-X, I-X, ...; concept corpus: label strings in first-occurrence order */
} rl_corpus;
void rl_corpus_free(rl_corpus *corpus);

/* CoNLL columns: one word a line, first column the word, last column the tag, blank-separated (spaces or tabs); blank line or a
 * line that starts with -DOCSTART- ends a sentence; LF or CRLF; final newline optional; UTF-8. The number of columns
 * is that of the first word line (>= 2) and must not change. Any tag scheme (IOB1, IOB2, BIOES/IOBES/BILOU)
 * becomes IOB2: the chunks are the ones seqeval sees.
 *   labels  NULL: the label set is made from the file: O, then B-T, I-T per type, types PER ORG LOC MISC first in that
 *           order where present, others sorted bytewise (so CoNLL-2003 gives protocol §1.1's ids 0..8: odd = B, B+1 = I);
 *           else every tag must be in it (RL_ERR_INPUT with line, the tag, and the nearest valid one) and ids are its.
 *   limit   keep only the first `limit` sentences; 0 = all. The labels are still those of the whole file.
 * An empty file (no sentence) is RL_ERR_INPUT. */
rl_status rl_conll_read(rl_corpus **out, const char *path, const rl_names *labels, int64_t limit, rl_error *err);

/* Two parallel files, one sentence a line, words separated by single ASCII spaces (line stripped at both ends first);
 * counts must agree line by line (else FILE:LINE names both counts). Label strings are kept whole. */
rl_status rl_concept_corpus_read(rl_corpus **out, const char *tokens_path, const char *labels_path, rl_error *err);
/* One sentence a line, words separated by blanks; empty lines are none. Every label is "". */
rl_status rl_sentences_read(rl_corpus **out, const char *path, rl_error *err);
/* is_concept[W] = 1 where any comma-separated part of the word's label equals one of positives (exact, case-sensitive).
 * RL_ERR_INPUT when none or all of the words are positive; the message lists the nearest label. */
rl_status rl_concept_positive(uint8_t *is_concept, const rl_corpus *corpus, const char *const *positives,
                              size_t num_positives, rl_error *err);

/* ---------------------------------------------------------------------------------------------- tokenizer */

/* BERT's WordPiece, cased or uncased, or the byte-level BPE of GPT-2 and RoBERTa; immutable and shareable once loaded.
 * From tokenizer.json if the folder has one (WordPiece with BertNormalizer and BertPreTokenizer, or BPE with ByteLevel; else
 * RL_ERR_INPUT), else vocab.txt, lower-casing by default, else vocab.json with merges.txt. Every word gets the leading
 * space of add_prefix_space, which transformers demands of words that are split already. tokenizer_class GPT2Tokenizer
 * puts nothing around a sentence, RobertaTokenizer <s> and </s>; without it tokenizer.json's post_processor says, and
 * bare vocab.json and merges.txt are RoBERTa's when they have both. WordPiece: do_lower_case, strip_accents and tokenize_chinese_chars of tokenizer_config.json win where they are stated, as in
 * transformers 5's BertTokenizer (its backend classes take tokenizer.json as it is); special_tokens_map.json names the
 * special tokens before tokenizer_config.json does. model_max_length is reported, not applied. */
typedef struct rl_tokenizer rl_tokenizer;
rl_status rl_tokenizer_load(rl_tokenizer **out, const char *folder, rl_error *err);
void rl_tokenizer_free(rl_tokenizer *tokenizer);
int32_t rl_tokenizer_vocab_size(const rl_tokenizer *tokenizer); /* largest id + 1 */
int64_t rl_tokenizer_max_length(const rl_tokenizer *tokenizer); /* INT64_MAX when not stated */
typedef struct rl_special_ids {
    int32_t pad, unk, cls, sep, mask; /* -1 when absent: BERT's mask, most of GPT-2's (then nothing is around a sentence) */
} rl_special_ids;
rl_special_ids rl_tokenizer_special_ids(const rl_tokenizer *tokenizer);
/* A growing id list; zero-initialise, rl_free(ids). */
typedef struct rl_id_list {
    int32_t *ids;
    size_t count, capacity;
} rl_id_list;
/* Append the ids of one pre-split word (no [CLS]/[SEP]); may append nothing (a word of dropped characters only).
 * Special-token strings such as "[SEP]" inside text become their id, as the fast Hugging Face tokenizers do. */
rl_status rl_tokenizer_encode_word(const rl_tokenizer *tokenizer, const char *word, size_t length, rl_id_list *out,
                                   rl_error *err);
/* Files of the tokenizer that `export` and saved stages copy along (tokenizer.json, vocab.txt, ...), as they exist. */
extern const char *const rl_tokenizer_files[];
extern const size_t rl_num_tokenizer_files;

/* A corpus as sub-words: per sentence [CLS] words [SEP], or GPT-2's words alone, cut to max_length. T = num_tokens over all sentences. */
typedef struct rl_encoded {
    int64_t num_sentences, num_tokens, num_words;
    int64_t max_length;      /* longest sentence in tokens */
    int64_t *sentence_start; /* [S+1] into the tokens */
    int32_t *ids;            /* [T] */
    int32_t *labels;         /* [T], RL_IGNORE_LABEL on specials; NULL when not asked for */
    int64_t *word;           /* [T] index of the word in the corpus, -1 on specials */
} rl_encoded;
/* with_labels: corpus labels are IOB2 ids with odd = B, B+1 = I; first sub-word y, further ones y+1 when y is odd
 * (protocol §1.1; found by name, so a model's own numbering works too). max_length includes the two specials, is at least
 * 3 and is the caller's: the tokenizer's own limit is not applied here. */
rl_status rl_encode_corpus(rl_encoded **out, const rl_tokenizer *tokenizer, const rl_corpus *corpus, bool with_labels,
                           int64_t max_length, rl_error *err);
/* The same without labels, as if each sentence were one raw line with single spaces: GPT-2's first word then has no space
 * before it (protocol §5.1, the faithful presets). Nothing differs for WordPiece. */
rl_status rl_encode_lines(rl_encoded **out, const rl_tokenizer *tokenizer, const rl_corpus *corpus, int64_t max_length,
                          rl_error *err);
void rl_encoded_free(rl_encoded *encoded);

/* ------------------------------------------------------------------------------------------- word vectors */

/* table [num words, dimension] (rl_free): each word's vector out of a fastText .bin model or a .vec text file, told apart
 * by what they hold (protocol §13). .bin: versions 12 and 11, not quantized; the bits of FastText::getWordVector, so a word
 * that the dictionary lacks has the mean of its n-grams' rows. .vec: "COUNT DIMENSION", then a word and its numbers a line; the
 * first line of a word counts. num_unknown (may be NULL): words without any vector; their rows are zero.
 *   lowercase  look up the words in lower case, code point by code point (protocol §10, corrected)
 * RL_ERR_INPUT names FILE:LINE:COL of a .vec file, "FILE: byte N" of a .bin; numbers that no asked word needs are not
 * looked at. */
rl_status rl_word_vectors_from_file(float **table, int64_t *dimension, int64_t *num_unknown, const char *path,
                                    const rl_names *words, bool lowercase, rl_error *err);

/* ------------------------------------------------------------------------------------------------ seqeval */

typedef struct rl_score {
    double precision, recall, f1; /* 0/0 = 0 */
    int64_t support, predicted, correct;
} rl_score;
typedef struct rl_seqeval {
    rl_score overall;     /* micro */
    double accuracy;      /* exact tag matches / tokens, O included */
    int64_t num_tokens;
    int32_t num_types;    /* types in gold or prediction, sorted bytewise */
    char **types;         /* [num_types] */
    rl_score *by_type;    /* [num_types] */
} rl_seqeval;
/* seqeval 1.2.2, default mode (conlleval). gold, predicted [start[S]] are ids into labels ("O", "B-X", "I-X"; also E-/S-
 * as seqeval reads them). */
rl_status rl_seqeval_score(rl_seqeval **out, const rl_names *labels, const int32_t *gold, const int32_t *predicted,
                           const int64_t *start, int64_t num_sentences, rl_error *err);
void rl_seqeval_free(rl_seqeval *scores);

#ifdef __cplusplus
}
#endif
#endif
