/* bench_top_words.c -- top words of all neurons of DistilBERT on the location corpus, on synthetic activations.
 *
 * 7 layers x 768 neurons, 74,052 words of 13,561 types (8,118 of them once), as protocol §11. Prints one JSON line; the
 * NeuroX figure to set it against comes from bench/peers or ../shared/peers/neurox_top_words.py. --smoke: small, for
 * CTest. The answer is checked first: one neuron against a plain double loop written for this purpose. */
#include "relearn/concept.h"

#include "options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    int64_t words, neurons_per_layer, layers, top;
    int32_t types;
} shape;

static uint32_t next_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Four uniforms make a bell; a different one for every (word, neuron). */
static void fill_activations(float *X, int64_t n)
{
    uint64_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t a = next_bits(&state);
        X[i] = (float)((int)(a & 255) + (int)(a >> 8 & 255) + (int)(a >> 16 & 255) + (int)(a >> 24) - 510) * 0.01f;
    }
}

/* Each type once, the rest by Zipf's law. */
static void fill_types(int32_t *type, const shape *s)
{
    uint64_t state = 2;
    for (int64_t w = 0; w < s->words; w++) {
        double u = (next_bits(&state) + 0.5) / 4294967296.0;
        type[w] = w < s->types ? (int32_t)w : (int32_t)(pow((double)s->types * 0.4, u) - 1);
    }
    for (int64_t w = s->words - 1; w > 0; w--) { /* shuffle */
        int64_t other = next_bits(&state) % (uint64_t)(w + 1);
        int32_t held = type[w];
        type[w] = type[other];
        type[other] = held;
    }
}

/* The best type of neuron c by the definition, in double throughout. */
static int32_t best_type(const float *X, const int32_t *type, const shape *s, int64_t c, double *sum, int64_t *count)
{
    double mean = 0;
    int32_t best = 0;
    memset(sum, 0, (size_t)s->types * sizeof *sum);
    memset(count, 0, (size_t)s->types * sizeof *count);
    for (int64_t w = 0; w < s->words; w++) mean += (double)X[w * s->neurons_per_layer + c] / (double)s->words;
    for (int64_t w = 0; w < s->words; w++) {
        sum[type[w]] += fabs((double)X[w * s->neurons_per_layer + c] - mean);
        count[type[w]]++;
    }
    for (int32_t t = 1; t < s->types; t++)
        if (sum[t] / (double)count[t] > sum[best] / (double)count[best] * (1 + 1e-5)) best = t;
    return best;
}

static rl_status bench(const shape *s, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = s->neurons_per_layer, agree = 0;
    float *X = NULL;
    int32_t *type = NULL, *word = NULL;
    double *score = NULL, *sum = NULL, seconds;
    int64_t *count = NULL;
    RL_ALLOC(X, s->words * C, err);
    RL_ALLOC(type, s->words, err);
    RL_ALLOC(word, C * s->top, err);
    RL_ALLOC(score, C * s->top, err);
    RL_ALLOC(sum, s->types, err);
    RL_ALLOC(count, s->types, err);
    fill_activations(X, s->words * C);
    fill_types(type, s);
    seconds = rl_now_s();
    for (int64_t l = 0; l < s->layers; l++)
        RL_TRY(rl_top_words(word, score, NULL, NULL, X, type, s->types, s->words, C, s->top, err));
    seconds = rl_now_s() - seconds;
    for (int64_t c = 0; c < 8; c++) {
        /* synthetic values are multiples of 0.01, so equal best scores are common: compare the score's place, not the
         * word */
        int32_t best = best_type(X, type, s, c, sum, count);
        double share = sum[word[c * s->top]] / (double)count[word[c * s->top]] / (sum[best] / (double)count[best]);
        agree += share > 1 - 1e-4;
    }
    if (agree != 8) status = rl_fail(err, RL_ERR_INTERNAL, "top words differ from the plain loop");
    printf("{\"bench\": \"top_words\", \"neurons\": %" PRId64 ", \"words\": %" PRId64 ", \"types\": %" PRId32
           ", \"seconds\": %.4f, \"correct\": %s}\n",
           C * s->layers, s->words, s->types, seconds, agree == 8 ? "true" : "false");
cleanup:
    rl_free(X);
    rl_free(type);
    rl_free(word);
    rl_free(score);
    rl_free(sum);
    rl_free(count);
    return status;
}

int main(int argc, char **argv)
{
    const shape full = {74052, 768, 7, 5, 13561}, smoke = {2000, 48, 2, 5, 400};
    bool small = false;
    rl_error err = {0};
    const bench_option table[] = {BENCH_SMOKE(&small), {0}};
    int code = bench_options(argc, argv, "top words of DistilBERT's 5,376 neurons over 74,052 words", table);
    if (code >= 0) return code;
    if (bench(small ? &smoke : &full, &err) == RL_OK) return 0;
    fprintf(stderr, "%s: %s\n", argv[0], err.message);
    return 1;
}
