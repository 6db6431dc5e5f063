/* saliency.c -- from rank to saliency, and which neurons are null (protocol §9, §14.10-12). */
#include "concept_internal.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

/* T = 100 divides by zero, as the authors' code does: their models have thousands of neurons. */
double rl_saliency_binned(int64_t rank, double T)
{
    double m = T / 100.0;
    double bin = (double)(rank / 100 + 1);
    return fabs((bin - m) / (1.0 - m));
}

double rl_saliency(int64_t rank, int64_t num_neurons)
{
    return num_neurons > 1 ? 1.0 - (double)rank / (double)(num_neurons - 1) : 1.0;
}

double rl_saliency_T(rl_protocol protocol, int64_t num_layers, int64_t hidden_size)
{
    return (double)((protocol == RL_PROTOCOL_HEAD ? num_layers : num_layers + 1) * hidden_size);
}

static bool is_letter(utf8proc_int32_t character)
{
    utf8proc_category_t category = utf8proc_category(character);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO; /* Lu Ll Lt Lm Lo, in this order */
}

bool rl_is_alphabetic(const char *word)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)word;
    utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(word);
    if (!left) return false;
    while (left > 0) {
        utf8proc_int32_t character;
        utf8proc_ssize_t used = utf8proc_iterate(bytes, left, &character);
        if (used <= 0 || !is_letter(character)) return false;
        bytes += used;
        left -= used;
    }
    return true;
}

bool rl_null_by_words(rl_protocol protocol, const int32_t *word, int64_t k, const rl_names *words)
{
    bool any_letters = false, any_other = false;
    for (int64_t i = 0; i < k && word[i] >= 0; i++) {
        if (rl_is_alphabetic(rl_names_get(words, word[i])))
            any_letters = true;
        else
            any_other = true;
    }
    return protocol == RL_PROTOCOL_PUBLISHED ? any_other : !any_letters;
}

/* ---------------------------------------------------------------------------------------- null by channel sd */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* sorted: scratch [n]. An even n: the mean of the middle two, as numpy. */
static double median(float *sorted, const float *x, int64_t n)
{
    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return ((double)sorted[(n - 1) / 2] + (double)sorted[n / 2]) / 2;
}

rl_status rl_null_by_sd(uint8_t *null, const float *sd, const float *base_sd, int64_t num_layers, int64_t C,
                        rl_error *err)
{
    rl_status status = RL_OK;
    float *sorted = NULL;
    RL_ALLOC(sorted, C, err);
    for (int64_t l = 0; l < num_layers; l++) {
        double limit = (double)RL_NULL_SD_FRACTION * median(sorted, base_sd + l * C, C);
        for (int64_t n = l * C; n < (l + 1) * C; n++) null[n] = (double)sd[n] < limit;
    }
cleanup:
    rl_free(sorted);
    return status;
}
