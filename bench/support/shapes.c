/* shapes.c -- see shapes.h. */
#include "shapes.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABELS                                                                                                       \
    "\"id2label\":{\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\",\"6\":" \
    "\"I-LOC\",\"7\":\"B-MISC\",\"8\":\"I-MISC\"},\"relearn_random_init\":1,\"initializer_range\":0.02," \
    "\"pad_token_id\":0}"
const shape bench_shapes[] = {
    {"minilm", "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":30522,"
               "\"hidden_size\":384,\"num_hidden_layers\":6,\"num_attention_heads\":12,\"intermediate_size\":1536,"
               "\"max_position_embeddings\":512,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
               "\"hidden_dropout_prob\":0.1,\"attention_probs_dropout_prob\":0.1," LABELS},
    {"distilbert", "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForTokenClassification\"],"
                   "\"vocab_size\":28996,\"dim\":768,\"n_layers\":6,\"n_heads\":12,\"hidden_dim\":3072,"
                   "\"max_position_embeddings\":512,\"activation\":\"gelu\",\"dropout\":0.1,"
                   "\"attention_dropout\":0.1," LABELS},
    {NULL, NULL}};

const shape *bench_shape(const char *name)
{
    for (const shape *s = bench_shapes; s->name; s++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

/* ------------------------------------------------------------------------------------------------ inputs */

rl_status bench_load_model(rl_model **out, const shape *which, rl_error *err)
{
    char folder[] = "/tmp/relearn-bench-XXXXXX", path[64];
    rl_status status = RL_OK;
    if (!mkdtemp(folder)) return rl_fail_errno(err, "%s", folder);
    snprintf(path, sizeof path, "%s/config.json", folder);
    RL_TRY(rl_write_file(path, which->config, strlen(which->config), err));
    RL_TRY(rl_model_load(out, folder, NULL, 0, err));
cleanup:
    rl_remove_tree(folder, NULL);
    return status;
}

/* Lengths in MiniLM's sub-words at 32 quantiles of CoNLL-2003's 14,041 training sentences (mean 19.95, here 19.84). */
static const int lengths[32] = {4,  6,  6,  7,  8,  8,  9,  10, 10, 11, 11, 12, 13, 13, 14, 15,
                                16, 17, 18, 20, 22, 23, 25, 27, 29, 31, 34, 36, 39, 42, 46, 53};

/* Ids with many repeats and a long tail, as words have. */
rl_status bench_synthetic(rl_encoded **out, int64_t sentences, rl_error *err)
{
    rl_status status = RL_OK;
    rl_encoded *data = NULL;
    RL_ALLOC(data, 1, err);
    RL_ALLOC(data->sentence_start, sentences + 1, err);
    RL_ALLOC(data->ids, sentences * 53, err);
    RL_ALLOC(data->labels, sentences * 53, err);
    RL_ALLOC(data->word, sentences * 53, err);
    for (int64_t s = 0, t = 0; s < sentences; s++) {
        int64_t n = lengths[(13 * s + 5) % 32];
        for (int64_t i = 0; i < n; i++, t++) {
            double u = rl_rng_uniform(1, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)t);
            bool special = i == 0 || i == n - 1;
            data->ids[t] = special ? 101 + (i > 0) : (int32_t)(1000 + 27000 * u * u * u * u);
            data->labels[t] = special ? RL_IGNORE_LABEL : data->ids[t] % BENCH_LABELS;
            data->word[t] = special ? -1 : (int32_t)data->num_words++;
        }
        data->sentence_start[s + 1] = data->num_tokens = t;
    }
    data->num_sentences = sentences;
    data->max_length = 53;
    *out = data;
    return RL_OK;
cleanup:
    rl_encoded_free(data);
    return status;
}

/* ---------------------------------------------------------------------------------- the SGEMM rate beside it */

enum { FORWARD, DX, DWEIGHT, PRODUCTS };
static void multiply(int product, float *x, float *weight, float *y, int64_t T, int64_t N, int64_t width)
{
    if (product == FORWARD) rl_gemm_of_library(false, true, T, N, width, 1, x, width, weight, width, 0, y, N);
    if (product == DX) rl_gemm_of_library(false, false, T, width, N, 1, y, N, weight, width, 0, x, width);
    if (product == DWEIGHT) rl_gemm_of_library(true, false, N, width, T, 1, y, N, x, width, 0, weight, width);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of one product, its operands in cache: the rate a kernel reaches when nothing else is in the way. */
static double product_seconds(int product, float *x, float *weight, float *y, int64_t T, int64_t N, int64_t width,
                              bool cpu_time)
{
    enum { CALLS = 15 };
    double seconds[CALLS];
    for (int i = 0; i < CALLS; i++) {
        memset(product == FORWARD ? y : product == DX ? x : weight, 0, 64); /* keep values bounded */
        double from = clock_now(cpu_time);
        multiply(product, x, weight, y, T, N, width);
        seconds[i] = clock_now(cpu_time) - from;
    }
    qsort(seconds, CALLS, sizeof *seconds, ascending);
    return seconds[CALLS / 2];
}

rl_status bench_layer_products(double *seconds, double *flops, const rl_model_config *c, int64_t T,
                               bench_products which, bool cpu_time, rl_error *err)
{
    rl_status status = RL_OK;
    const int64_t C = c->hidden_size, F = c->intermediate_size;
    const int64_t out[] = {3 * C, C, F, C}, in[] = {C, C, C, F};
    float *x = NULL, *weight = NULL, *y = NULL;
    RL_ALLOC(x, T * F, err);
    RL_ALLOC(y, T * F, err);
    RL_ALLOC(weight, F * C, err);
    for (int64_t i = 0; i < T * F; i++) x[i] = y[i] = (float)(i % 13 - 6) * 0.01f;
    for (int64_t i = 0; i < F * C; i++) weight[i] = (float)(i % 7 - 3) * 0.01f;
    for (int i = 0; i < 4; i++)
        for (int product = 0; product < (which == BENCH_FORWARD ? DX : PRODUCTS); product++) {
            *seconds += product_seconds(product, x, weight, y, T, out[i], in[i], cpu_time);
            *flops += 2.0 * (double)T * (double)out[i] * (double)in[i];
        }
cleanup:
    rl_free(x);
    rl_free(y);
    rl_free(weight);
    return status;
}
