/* bench_passes.c -- the three passes over sentences: training steps, evaluation, extraction of activations; on one thread
 * and on several.
 *
 * MiniLM's and DistilBERT's shapes with random weights, lengths from CoNLL-2003's histogram. Checks the answer (several
 * threads give one thread's bits where the back end keeps them; losses near ln K), then prints one JSON line a shape and
 * pass: tokens a second and GFLOP/s on one thread, the SGEMM rate of the same products measured between the rounds (at
 * evaluation's 1024 and extraction's 512 rows, training's 160), their ratio, and how many times as fast N threads are.
 * Rounds alternate, and the best of each counts: other work on the machine only ever slows one down.
 *   bench_concept_passes [--smoke] [--shape minilm|distilbert] [--threads N] [--rounds N] [--sentences N] */
#include "relearn/concept.h"
#include "relearn/train.h"

#include "options.h"
#include "shapes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 8, K = BENCH_LABELS, WARM = 3 };

typedef struct options {
    const char *shape;
    int64_t threads, rounds, sentences;
} options;

static double attention_of(const rl_encoded *data)
{
    double sum = 0;
    for (int64_t s = 0; s < data->num_sentences; s++) {
        double n = (double)(data->sentence_start[s + 1] - data->sentence_start[s]);
        sum += n * n;
    }
    return sum;
}

/* --------------------------------------------------------------------------------------------- the passes */

typedef enum pass { TRAIN, EVALUATE, EXTRACT, NUM_PASSES } pass;
static const char *const names[NUM_PASSES] = {"train", "evaluate", "extract"};
static const int64_t rows[NUM_PASSES] = {160, 1024, 512}; /* of a product, about */

/* Everything that a pass computed, as one number: bits that differ show. */
static rl_status hash_layer(void *context, int64_t layer, const float *words, int64_t W, int64_t C, rl_error *err)
{
    uint64_t *sum = context;
    (void)err;
    *sum ^= rl_hash64(words, (size_t)(W * C) * sizeof *words) + (uint64_t)layer;
    return RL_OK;
}

/* Of the steps from WARM on, as if all were like them: what a run pays once (moments' pages, the word table brought up to date) belongs
 * to no step. */
static double seconds_of_steps(const rl_training_log *log)
{
    double seconds = 0, tokens = 0, all = 0;
    for (int64_t i = 0; i < log->num_steps; i++) {
        all += (double)log->steps[i].tokens;
        if (i < WARM && log->num_steps > WARM) continue;
        seconds += log->steps[i].seconds, tokens += (double)log->steps[i].tokens;
    }
    return seconds * all / tokens;
}

static rl_status do_pass(double *seconds, uint64_t *bits, pass which, const rl_model *model, const rl_encoded *data,
                         rl_error *err)
{
    rl_status status = RL_OK;
    rl_training_log steps = {0};
    rl_model *trained = NULL;
    int32_t *predicted = NULL;
    rl_train_settings settings = rl_train_defaults();
    double loss = log(K);
    settings.epochs = 1;
    RL_TRY(rl_model_copy(&trained, model, err));
    RL_ALLOC(predicted, data->num_tokens, err);
    *bits = 0;
    double from = rl_now_s();
    if (which == TRAIN) RL_TRY(rl_train(trained, data, &settings, 42, NULL, NULL, NULL, &steps, err));
    if (which == EVALUATE) RL_TRY(rl_predict(model, data, predicted, &loss, err));
    if (which == EXTRACT) RL_TRY(rl_activations_visit(model, data, hash_layer, bits, err));
    *seconds = which == TRAIN ? seconds_of_steps(&steps) : rl_now_s() - from;
    if (which == TRAIN) *bits = rl_hash64(trained->weights, (size_t)trained->num_weights * sizeof *trained->weights);
    if (which == EVALUATE) *bits = rl_hash64(predicted, (size_t)data->num_tokens * sizeof *predicted) ^ rl_hash64(&loss, sizeof loss);
    if (!(fabs(loss - log(K)) < 1.5)) status = rl_fail(err, RL_ERR_INTERNAL, "the loss is %g; expected about ln 9", loss);
cleanup:
    rl_training_log_free(&steps);
    rl_free(predicted);
    rl_model_free(trained);
    return status;
}

/* ---------------------------------------------------------------------------------- the SGEMM rate beside it */

/* Seconds of a layer's products on T rows, the best of a few; training has three of each. */
static double layer_seconds(const rl_model_config *c, float *x, float *w, float *y, int64_t T, bool training)
{
    const int64_t C = c->hidden_size, F = c->intermediate_size, out[] = {3 * C, C, F, C}, in[] = {C, C, C, F};
    double total = 0;
    for (int i = 0; i < 4; i++) {
        double best[3] = {INFINITY, INFINITY, INFINITY};
        for (int call = 0; call < 4; call++) {
            double t0 = rl_now_s();
            rl_gemm_of_library(false, true, T, out[i], in[i], 1, x, in[i], w, in[i], 0, y, out[i]);
            double t1 = rl_now_s();
            if (training) rl_gemm_of_library(false, false, T, in[i], out[i], 1, y, out[i], w, in[i], 0, x, in[i]);
            double t2 = rl_now_s();
            if (training) rl_gemm_of_library(true, false, out[i], in[i], T, 1, y, out[i], x, in[i], 0, w, in[i]);
            double t3 = rl_now_s(), took[3] = {t1 - t0, t2 - t1, t3 - t2};
            for (int p = 0; p < 3; p++) best[p] = fmin(best[p], took[p]);
            for (int64_t k = 0; k < T; k++) x[k * in[i]] = y[k * out[i]] = 0.01f; /* values stay bounded enough to be timed */
        }
        total += best[0] + best[1] + best[2];
    }
    return total;
}

static rl_status sgemm_gflops(double *rate, const rl_model_config *c, int64_t T, bool training, rl_error *err)
{
    rl_status status = RL_OK;
    const int64_t C = c->hidden_size, F = c->intermediate_size;
    float *x = NULL, *w = NULL, *y = NULL;
    RL_ALLOC(x, T * F, err);
    RL_ALLOC(y, T * F, err);
    RL_ALLOC(w, F * C, err);
    for (int64_t i = 0; i < F * C; i++) w[i] = (float)(i % 7 - 3) * 1e-3f;
    double flops = (training ? 6.0 : 2.0) * (double)T * (double)(4 * C * C + 2 * C * F);
    *rate = fmax(*rate, 1e-9 * flops / layer_seconds(c, x, w, y, T, training));
cleanup:
    rl_free(x);
    rl_free(w);
    rl_free(y);
    return status;
}

/* -------------------------------------------------------------------------------------------------- a case */

static rl_status measure(double best[2], double *sgemm, pass which, const rl_model *model, const rl_encoded *data,
                         const options *o, bool keep, rl_error *err)
{
    rl_status status = RL_OK;
    uint64_t bits[2] = {0, 0};
    best[0] = best[1] = INFINITY;
    for (int64_t round = 0; round < o->rounds; round++) {
        RL_TRY(sgemm_gflops(sgemm, &model->config, rows[which], which == TRAIN, err));
        for (int many = 0; many < 2; many++) {
            double seconds = 0;
            RL_TRY(rl_linalg_set_threads(many ? (int)o->threads : 1, err));
            RL_TRY(do_pass(&seconds, &bits[many], which, model, data, err));
            best[many] = fmin(best[many], seconds);
        }
        RL_TRY(rl_linalg_set_threads(1, err));
        if (keep && bits[0] != bits[1])
            return rl_fail(err, RL_ERR_INTERNAL, "%s on %lld threads has other bits than on one", names[which], (long long)o->threads);
    }
cleanup:
    return status;
}

static rl_status run_case(const shape *which, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_encoded *data = NULL;
    double attention = 0;
    bool keep = false;
    RL_TRY(bench_load_model(&model, which, err));
    RL_TRY(bench_synthetic(&data, o->sentences, err));
    attention = attention_of(data);
    RL_TRY(rl_linalg_threads_keep_bits(&keep, err));
    double tokens = (double)data->num_tokens, work = rl_model_training_flops(&model->config, tokens, attention);
    for (pass p = TRAIN; p < NUM_PASSES; p++) {
        double best[2], sgemm = 0, flops = p == TRAIN ? work : work / 3;
        RL_TRY(measure(best, &sgemm, p, model, data, o, keep, err));
        printf("{\"bench\":\"concept.passes\",\"shape\":\"%s\",\"pass\":\"%s\",\"tokens\":%.0f,\"tokens_per_second\":%.0f,"
               "\"gflops\":%.1f,\"sgemm_gflops\":%.1f,\"ratio\":%.3f,\"threads\":%lld,\"speedup\":%.3f,\"same_bits\":%s,"
               "\"backend\":\"%s\",\"isa\":\"%s\",\"version\":\"%s\"}\n",
               which->name, names[p], tokens, tokens / best[0], 1e-9 * flops / best[0], sgemm, 1e-9 * flops / best[0] / sgemm,
               (long long)o->threads, best[0] / best[1], keep ? "true" : "false", rl_gemm_backend(), rl_isa_name(), RL_VERSION);
        fflush(stdout);
    }
cleanup:
    rl_encoded_free(data);
    rl_model_free(model);
    return status;
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    options o = {.threads = 2, .rounds = 5, .sentences = 320};
    bool smoke = false;
    const bench_option table[] = {BENCH_SHAPE(&o.shape),
                                  {"--threads", BENCH_COUNT, &o.threads, "threads to compare one with", 1, RL_MAX_THREADS},
                                  {"--rounds", BENCH_COUNT, &o.rounds, "rounds, of which the best counts", 1, 1000},
                                  {"--sentences", BENCH_COUNT, &o.sentences, "sentences a pass", BATCH, 1e6},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int cases = 0, code = bench_options(argc, argv, "training, evaluation and extraction on one thread and on several", table);
    if (code >= 0) return code;
    if (smoke) o.rounds = 1, o.sentences = 16, o.shape = "minilm";
    rl_status status = rl_linalg_init(NULL, &err);
    for (size_t i = 0; status == RL_OK && bench_shapes[i].name; i++) {
        if (o.shape && strcmp(o.shape, bench_shapes[i].name)) continue;
        status = run_case(&bench_shapes[i], &o, &err);
        cases++;
    }
    if (status != RL_OK) fprintf(stderr, "bench_concept_passes: %s\n", err.message);
    return status != RL_OK ? rl_exit_code(status) : cases ? 0 : bench_wrong(argv[0], BENCH_NO_SHAPE);
}
