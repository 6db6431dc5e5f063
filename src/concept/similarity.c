/* similarity.c -- how near two top-word lists are in a space of word vectors (protocol §10). */
#include "concept_internal.h"

#include <math.h>
#include <string.h>

/* row[C] = mean of the embedding rows of ids; nothing for a word without sub-words: its row stays zero. */
static void mean_row(float *row, const float *embeddings, const rl_id_list *list, int64_t C)
{
    if (!list->count) return;
    for (int64_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t i = 0; i < list->count; i++) sum += (double)embeddings[list->ids[i] * C + c];
        row[c] = (float)(sum / (double)list->count);
    }
}

rl_status rl_word_vectors_from_model(float **table, const rl_model *initial, const rl_tokenizer *tokenizer,
                                     const rl_names *words, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = initial->config.hidden_size, num_types = rl_names_count(words);
    const float *embeddings = initial->weights + rl_model_word_embeddings(initial);
    float *made = NULL;
    rl_id_list list = {0};
    RL_ALLOC(made, num_types * C, err);
    for (int32_t t = 0; t < num_types; t++) {
        const char *word = rl_names_get(words, t);
        list.count = 0;
        RL_TRY(rl_tokenizer_encode_word(tokenizer, word, strlen(word), &list, err));
        for (size_t i = 0; i < list.count; i++)
            RL_TRY(rl_check_vocabulary(list.ids[i], initial->config.vocab_size, err));
        mean_row(made + t * C, embeddings, &list, C);
    }
    *table = made;
    made = NULL;
cleanup:
    rl_free(made);
    rl_free(list.ids);
    return status;
}

static int64_t list_length(const int32_t *words, int64_t k)
{
    int64_t n = 0;
    for (int64_t i = 0; i < k; i++) n += words[i] >= 0;
    return n;
}

static double summed(const float *table, int64_t C, int64_t c, const int32_t *words, int64_t k)
{
    double sum = 0;
    for (int64_t i = 0; i < k; i++)
        if (words[i] >= 0) sum += (double)table[words[i] * C + c];
    return sum;
}

/* The cosine does not see the lists' lengths, so sums stand for means. */
double rl_similarity(const float *table, int64_t C, const int32_t *a, const int32_t *b, int64_t k)
{
    double ab = 0, aa = 0, bb = 0;
    if (!list_length(a, k) || !list_length(b, k)) return NAN;
    for (int64_t c = 0; c < C; c++) {
        double x = summed(table, C, c, a, k), y = summed(table, C, c, b, k);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0.0;
}
