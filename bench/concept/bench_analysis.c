/* bench_analysis.c -- what an analysis is made of, each against the limit of this machine measured in the same process:
 * extraction (all words through the model, layer by layer) against SGEMM at its products; probeless scores and saliency of
 * one concept (two passes over a layer's activations) against a plain read of memory.
 *
 * Random weights, synthetic sentences; activations of the second part are synthetic, [words, width] a layer. The answer is
 * checked first: one neuron against a plain double loop. One JSON line a part.
 *   bench_concept_analysis [--smoke] [--shape minilm|distilbert] [--sentences N] [--words N] [--cpu-time] */
#include "concept_internal.h"

#include "clock.h"
#include "memory.h"
#include "options.h"
#include "profile.h"
#include "shapes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 512, CONCEPT_EVERY = 11 };

typedef struct options {
    const char *shape;
    int64_t sentences, words;
    bool smoke, cpu_time;
} options;

/* ---------------------------------------------------------------------------------------------- extraction */

static rl_status look(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    double *sum = context;
    for (int64_t i = 0; i < W * C; i += C) *sum += (double)X[i];
    return isfinite(*sum) ? RL_OK : rl_fail(err, RL_ERR_INTERNAL, "layer %d has no finite activations", (int)layer);
}

static double squared_lengths(const rl_encoded *data)
{
    double sum = 0;
    for (int64_t s = 0; s < data->num_sentences; s++) {
        double n = (double)(data->sentence_start[s + 1] - data->sentence_start[s]);
        sum += n * n;
    }
    return sum;
}

static rl_status extract(const shape *which, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_encoded *data = NULL;
    profile p;
    double checksum = 0, whole, seconds = 0, flops = 0, work;
    RL_TRY(bench_load_model(&model, which, err));
    RL_TRY(bench_synthetic(&data, o->sentences, err));
    profile_begin(&p, o->cpu_time);
    status = rl_activations_visit(model, data, look, &checksum, err);
    whole = profile_end();
    if (status == RL_OK) status = profile_check(&p, false, err);
    if (status != RL_OK) goto cleanup;
    RL_TRY(bench_layer_products(&seconds, &flops, &model->config, BATCH_TOKENS, BENCH_FORWARD, o->cpu_time, err));
    work = rl_model_training_flops(&model->config, (double)data->num_tokens, squared_lengths(data)) / 3;
    printf("{\"bench\":\"analysis.extraction\",\"shape\":\"%s\",\"clock\":\"%s\",\"tokens\":%lld,\"seconds\":%.3f,"
           "\"tokens_per_second\":%.0f,\"gflops\":%.1f,\"sgemm_gflops\":%.1f,\"ratio\":%.3f,",
           which->name, o->cpu_time ? "cpu" : "wall", (long long)data->num_tokens, whole,
           (double)data->num_tokens / whole, 1e-9 * work / whole, 1e-9 * flops / seconds,
           work / whole / (flops / seconds));
    profile_print(&p, whole);
    printf("}\n");
    fflush(stdout);
cleanup:
    rl_encoded_free(data);
    rl_model_free(model);
    return status;
}

/* ---------------------------------------------------------------------------------------- probeless, saliency */

/* One layer's activations and whether a word is of the concept. */
typedef struct layer {
    float *X;
    int32_t *word_class;
    int64_t W, C, L; /* L: how often the layer is looked at, as hidden states of a model */
} layer;

static void fill(layer *l)
{
    for (int64_t i = 0; i < l->W * l->C; i++)
        l->X[i] = (float)((uint32_t)i * 2654435761u >> 20 & 1023) * 0.001f + (i / l->C % CONCEPT_EVERY == 0 ? 0.1f : 0.0f);
    for (int64_t w = 0; w < l->W; w++) l->word_class[w] = w % CONCEPT_EVERY == 0;
}

static rl_status check_neuron(const layer *l, const double *difference, rl_error *err)
{
    double sum[2] = {0}, count[2] = {0};
    for (int64_t w = 0; w < l->W; w++) sum[l->word_class[w]] += (double)l->X[w * l->C], count[l->word_class[w]]++;
    double expected = sum[1] / count[1] - sum[0] / count[0];
    if (fabs(difference[0] - expected) <= 1e-9) return RL_OK;
    return rl_fail(err, RL_ERR_INTERNAL, "mean difference %.12g; expected %.12g", difference[0], expected);
}

static rl_status probeless(const layer *l, const shape *which, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = l->L * l->C;
    double *difference = NULL, *effect = NULL, *score = NULL, *saliency = NULL, seconds, rate;
    int32_t *rank = NULL;
    bandwidth memory;
    RL_ALLOC(difference, N, err);
    RL_ALLOC(effect, N, err);
    RL_ALLOC(score, N, err);
    RL_ALLOC(saliency, N, err);
    RL_ALLOC(rank, N, err);
    RL_TRY(measure_bandwidth(&memory, l->W * l->C * (int64_t)sizeof(float), o->cpu_time, err));
    seconds = clock_now(o->cpu_time);
    for (int64_t i = 0; i < l->L; i++)
        RL_TRY(rl_contrast(difference + i * l->C, effect + i * l->C, l->X, l->word_class, 1, l->W, l->C, err));
    for (int64_t n = 0; n < N; n++) score[n] = fabs(difference[n]);
    RL_TRY(rl_rank_neurons(NULL, rank, score, N, false, err));
    for (int64_t n = 0; n < N; n++) saliency[n] = rl_saliency(rank[n], N);
    seconds = clock_now(o->cpu_time) - seconds;
    RL_TRY(check_neuron(l, difference, err));
    rate = 2e-9 * (double)(l->L * l->W * l->C) * sizeof(float) / seconds;
    printf("{\"bench\":\"analysis.probeless_saliency\",\"shape\":\"%s\",\"clock\":\"%s\",\"neurons\":%lld,\"words\":%lld,"
           "\"passes\":2,\"seconds\":%.4f,\"gb_per_s\":%.2f,\"read_gb_per_s\":%.2f,\"triad_gb_per_s\":%.2f,\"ratio\":%.3f}\n",
           which->name, o->cpu_time ? "cpu" : "wall", (long long)N, (long long)l->W, seconds, rate, memory.read,
           memory.triad, rate / memory.read);
    fflush(stdout);
cleanup:
    rl_free(difference);
    rl_free(effect);
    rl_free(score);
    rl_free(saliency);
    rl_free(rank);
    return status;
}

static rl_status rank_words(const shape *which, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    layer l = {.W = o->words, .C = strcmp(which->name, "minilm") ? 768 : 384, .L = 7};
    RL_ALLOC(l.X, l.W * l.C, err);
    RL_ALLOC(l.word_class, l.W, err);
    fill(&l);
    RL_TRY(probeless(&l, which, o, err));
cleanup:
    rl_free(l.X);
    rl_free(l.word_class);
    return status;
}

/* ---------------------------------------------------------------------------------------------- command line */

static int parse(options *o, int argc, char **argv)
{
    const bench_option table[] = {BENCH_SHAPE(&o->shape),
                                  {"--sentences", BENCH_COUNT, &o->sentences, "sentences to extract from", 1, 1e6},
                                  {"--words", BENCH_COUNT, &o->words, "words whose activations are looked at", 2, 1e8},
                                  {"--cpu-time", BENCH_FLAG, &o->cpu_time, "the thread's own clock", 0, 0},
                                  BENCH_SMOKE(&o->smoke),
                                  {0}};
    int code = bench_options(argc, argv, "extraction against SGEMM; probeless scores and saliency against a read of memory", table);
    if (o->smoke) o->shape = "minilm", o->sentences = 16, o->words = 500;
    return code;
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    options o = {.sentences = 600, .words = 74052};
    int code = parse(&o, argc, argv), cases = 0;
    if (code >= 0) return code;
    rl_status status = rl_linalg_init(NULL, &err);
    for (size_t i = 0; status == RL_OK && bench_shapes[i].name; i++) {
        if (o.shape && strcmp(o.shape, bench_shapes[i].name)) continue;
        status = extract(&bench_shapes[i], &o, &err);
        if (status == RL_OK) status = rank_words(&bench_shapes[i], &o, &err);
        cases++;
    }
    if (status != RL_OK) fprintf(stderr, "bench_concept_analysis: %s\n", err.message);
    return status != RL_OK ? rl_exit_code(status) : cases ? 0 : bench_wrong(argv[0], BENCH_NO_SHAPE);
}
