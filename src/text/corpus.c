/* corpus.c -- a corpus in memory: built word by word by the readers, freed whole. */
#include "text_internal.h"

void rl_corpus_free(rl_corpus *corpus)
{
    if (!corpus) return;
    rl_free(corpus->path);
    rl_free(corpus->sentence_start);
    rl_free(corpus->word);
    rl_free(corpus->label);
    rl_names_free(corpus->words);
    rl_names_free(corpus->labels);
    rl_free(corpus);
}

rl_status text_builder_create(text_builder *out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = NULL;
    RL_ALLOC(corpus, 1, err);
    corpus->path = rl_strdup(path, err);
    if (!corpus->path) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_names_create(&corpus->words, err);
    if (status == RL_OK) status = rl_names_create(&corpus->labels, err);
    if (status != RL_OK) goto cleanup;
    RL_ALLOC(corpus->sentence_start, 1, err);
    *out = (text_builder){.corpus = corpus, .sentence_capacity = 1};
    return RL_OK;
cleanup:
    rl_corpus_free(corpus);
    return status;
}

static rl_status grow_words(text_builder *builder, rl_error *err)
{
    rl_corpus *corpus = builder->corpus;
    size_t count = (size_t)corpus->num_words, capacity = builder->word_capacity ? builder->word_capacity * 2 : 1024;
    int32_t *word = rl_regrow(corpus->word, count, capacity, sizeof *word, err);
    if (!word) return RL_ERR_MEMORY;
    corpus->word = word;
    int32_t *label = rl_regrow(corpus->label, count, capacity, sizeof *label, err);
    if (!label) return RL_ERR_MEMORY;
    corpus->label = label;
    builder->word_capacity = capacity;
    return RL_OK;
}

rl_status text_builder_word(text_builder *builder, const char *word, size_t length, int32_t label, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = builder->corpus;
    if ((size_t)corpus->num_words == builder->word_capacity) RL_TRY(grow_words(builder, err));
    RL_TRY(rl_names_intern(corpus->words, word, length, &corpus->word[corpus->num_words], err));
    corpus->label[corpus->num_words++] = label;
cleanup:
    return status;
}

rl_status text_builder_end_sentence(text_builder *builder, rl_error *err)
{
    rl_corpus *corpus = builder->corpus;
    size_t starts = (size_t)corpus->num_sentences + 1;
    if (corpus->sentence_start[starts - 1] == corpus->num_words) return RL_OK;
    if (starts == builder->sentence_capacity) {
        int64_t *grown = rl_regrow(corpus->sentence_start, starts, starts * 2, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        corpus->sentence_start = grown;
        builder->sentence_capacity = starts * 2;
    }
    corpus->sentence_start[starts] = corpus->num_words;
    corpus->num_sentences++;
    return RL_OK;
}
