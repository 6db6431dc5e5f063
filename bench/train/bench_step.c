/* bench_step.c -- training steps as `finetune` runs them (batch 8, dropout 0.1, clipping, AdamW) against SGEMM.
 *
 * Two shapes with random weights: MiniLM-L6 (6 x 384, vocabulary 30522) and DistilBERT (6 x 768, 28996). Sentences:
 * CoNLL-2003's through --tokenizer where --train is given, else lengths from its histogram. Checks the answer (finite
 * losses, the first near ln K, the first steps' bits twice the same), then prints one JSON line a shape: real tokens a
 * second; GFLOP/s by rl_model_training_flops; the SGEMM rate measured right after, at the same T and all twelve
 * products of a layer, weighted by their work; their ratio. Median over steps; the first WARM steps are left out.
 * peak_memory_mib is the process's own after training, unavoidable_mib weights, gradients, moments and the activations of
 * the largest batch. --profile: the same steps again, share of each class of kernels, for evaluation too; --cpu-time: by
 * this thread's time, which other programs disturb less.
 *   bench_train_step [--smoke] [--shape minilm|distilbert] [--steps N] [--dropout P] [--profile] [--cpu-time]
 *                    [--threads N] [--train FILE --tokenizer FOLDER]
 * SGEMM and memory rates stay one thread's: with --threads 2 the ratio goes up to 2. */
#include "relearn/train.h"

#include "memory.h"
#include "options.h"
#include "profile.h"
#include "shapes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM = 3, BATCH = 8, K = BENCH_LABELS };

typedef struct options {
    const char *shape, *train, *tokenizer;
    int64_t steps;
    int64_t threads;
    double dropout;
    bool smoke, profile, cpu_time;
} options;

static rl_status conll(rl_encoded **out, const options *o, int64_t sentences, int64_t vocab_size, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *corpus = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_encoded *data = NULL;
    RL_TRY(rl_conll_read(&corpus, o->train, NULL, sentences, err));
    RL_TRY(rl_tokenizer_load(&tokenizer, o->tokenizer, err));
    RL_TRY(rl_encode_corpus(&data, tokenizer, corpus, true, 512, err));
    for (int64_t t = 0; t < data->num_tokens; t++) data->ids[t] %= (int32_t)vocab_size; /* another model's ids */
    *out = data;
cleanup:
    rl_tokenizer_free(tokenizer);
    rl_corpus_free(corpus);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Over batches of the run, spread over their sizes. */
static rl_status sgemm_gflops(double *rate, const rl_model_config *config, const rl_training_log *log, bool cpu_time,
                              rl_error *err)
{
    rl_status status = RL_OK;
    double seconds = 0, flops = 0, *tokens = NULL;
    int64_t n = log->num_steps;
    RL_ALLOC(tokens, n, err);
    for (int64_t i = 0; i < n; i++) tokens[i] = (double)log->steps[i].tokens;
    qsort(tokens, (size_t)n, sizeof *tokens, ascending);
    for (int i = 0; i < 5; i++)
        RL_TRY(bench_layer_products(&seconds, &flops, config, (int64_t)tokens[(2 * i + 1) * n / 10], BENCH_TRAINING, cpu_time, err));
    *rate = 1e-9 * flops / seconds;
cleanup:
    rl_free(tokens);
    return status;
}

/* ------------------------------------------------------------------------------------- a step, kernel by kernel */

/* Steps from WARM on, as the timing above counts them. */
typedef struct window {
    profile profile;
    double whole;
    bool cpu_time;
} window;

static void look(void *context, const rl_step_record *record, int64_t total_steps)
{
    window *w = context;
    if (record->step == WARM) profile_begin(&w->profile, w->cpu_time);
    if (record->step == total_steps) w->whole = profile_end();
}

/* From a fresh model, so that both runs of a profile do the same steps. */
static rl_status train_profiled(window *w, const shape *which, const options *o, const rl_encoded *data,
                                const rl_train_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_train_hooks hooks = {.context = w, .on_step = look};
    *w = (window){.cpu_time = o->cpu_time};
    RL_TRY(bench_load_model(&model, which, err));
    RL_TRY(rl_train(model, data, settings, 42, NULL, NULL, &hooks, NULL, err));
cleanup:
    rl_model_free(model);
    return status;
}

static void print_head(const shape *which, const char *pass, const options *o, double ms)
{
    printf("{\"bench\":\"train.profile\",\"shape\":\"%s\",\"pass\":\"%s\",\"clock\":\"%s\",\"ms\":%.2f,", which->name, pass,
           o->cpu_time ? "cpu" : "wall", ms);
}

/* flops of all its steps, and the SGEMM rate by the same clock. */
static rl_status profile_training(const shape *which, const options *o, const rl_encoded *data,
                                  rl_train_settings settings, double flops, double sgemm, rl_error *err)
{
    rl_status status = RL_OK;
    window with, without;
    bandwidth memory;
    RL_TRY(measure_bandwidth(&memory, o->smoke ? 1 << 20 : 64 << 20, o->cpu_time, err));
    RL_TRY(train_profiled(&with, which, o, data, &settings, err));
    settings.dropout = 0;
    if (o->dropout > 0) {
        RL_TRY(profile_check(&with.profile, true, err));
        RL_TRY(train_profiled(&without, which, o, data, &settings, err));
        profile_separate_dropout(&with.profile, &without.profile);
    }
    print_head(which, "training", o, 1e3 * with.whole / (double)(o->steps - WARM));
    profile_print(&with.profile, with.whole);
    printf(",\"ratio\":%.3f,\"optimizer_gb_per_s\":%.2f,\"triad_gb_per_s\":%.2f,\"read_gb_per_s\":%.2f}\n",
           1e-9 * flops / with.whole / sgemm,
           1e-9 * with.profile.optimizer_bytes / with.profile.seconds[CLASS_OPTIMIZER], memory.triad, memory.read);
cleanup:
    return status;
}

/* One pass over the same sentences in eval mode; ms is of the whole pass. */
static rl_status profile_evaluation(const shape *which, const options *o, const rl_model *model,
                                    const rl_encoded *data, rl_error *err)
{
    rl_status status = RL_OK;
    profile p;
    int32_t *predicted = NULL;
    double loss, whole;
    RL_ALLOC(predicted, data->num_tokens, err);
    profile_begin(&p, o->cpu_time);
    status = rl_predict(model, data, predicted, &loss, err);
    whole = profile_end();
    if (status == RL_OK) status = profile_check(&p, false, err);
    if (status != RL_OK) goto cleanup;
    print_head(which, "evaluation", o, 1e3 * whole);
    profile_print(&p, whole);
    printf("}\n");
cleanup:
    rl_free(predicted);
    return status;
}

/* -------------------------------------------------------------------------------------------------- memory */

/* Bytes that a training cannot do without: weights, gradients, two moments, and the activations of the largest batch that
 * occurred. */
static rl_status unavoidable_mib(double *mib, const rl_model *model, const rl_encoded *data,
                                 const rl_train_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_workspace *workspace = NULL;
    int64_t *order = NULL, S = data->num_sentences, tokens = 0, attention = 0, length = 1;
    RL_ALLOC(order, S, err);
    RL_TRY(rl_train_order(order, S, settings, 42, 0, err));
    for (int64_t from = 0; from < S; from += BATCH) {
        int64_t n = 0, squares = 0;
        for (int64_t i = from; i < S && i < from + BATCH; i++) {
            int64_t own = data->sentence_start[order[i] + 1] - data->sentence_start[order[i]];
            n += own, squares += own * own;
            if (own > length) length = own;
        }
        if (n > tokens) tokens = n;
        if (squares > attention) attention = squares;
    }
    RL_TRY(rl_workspace_create(&workspace, model, tokens, BATCH, length, attention, true, err));
    *mib = (4.0 * sizeof(float) * (double)model->num_weights + (double)rl_workspace_bytes(workspace)) / 1048576;
cleanup:
    rl_workspace_free(workspace);
    rl_free(order);
    return status;
}

/* -------------------------------------------------------------------------------------------------- a case */

static double attention_of(const rl_encoded *data, const int64_t *sentence, int64_t count)
{
    double sum = 0;
    for (int64_t b = 0; b < count; b++) {
        double n = (double)(data->sentence_start[sentence[b] + 1] - data->sentence_start[sentence[b]]);
        sum += n * n;
    }
    return sum;
}

typedef struct timing {
    double tokens_per_second, gflops, median_gflops, first_quartile, third_quartile, seconds;
} timing;

static rl_status measure(timing *out, const rl_model *model, const rl_encoded *data, const rl_train_settings *settings,
                         const rl_training_log *log, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t *order = NULL, n = 0;
    double *rate = NULL, tokens = 0, flops = 0;
    timing t = {0};
    RL_ALLOC(order, data->num_sentences, err);
    RL_ALLOC(rate, log->num_steps, err);
    RL_TRY(rl_train_order(order, data->num_sentences, settings, 42, 0, err));
    for (int64_t i = WARM; i < log->num_steps; i++) {
        double attention = attention_of(data, order + i * BATCH, BATCH), count = (double)log->steps[i].tokens;
        double work = rl_model_training_flops(&model->config, count, attention);
        rate[n++] = 1e-9 * work / log->steps[i].seconds;
        flops += work, tokens += count, t.seconds += log->steps[i].seconds;
    }
    qsort(rate, (size_t)n, sizeof *rate, ascending);
    t.tokens_per_second = tokens / t.seconds, t.gflops = 1e-9 * flops / t.seconds;
    t.median_gflops = rate[n / 2], t.first_quartile = rate[n / 4], t.third_quartile = rate[3 * n / 4];
    *out = t;
cleanup:
    rl_free(order);
    rl_free(rate);
    return status;
}

/* Finite, first loss near ln K as a random head has it, and the same bits when asked again. */
static rl_status check_answer(const rl_training_log *log, const rl_training_log *again, rl_error *err)
{
    double first = log->steps[0].loss;
    if (!(fabs(first - log1p(K - 1)) <= 1.5))
        return rl_fail(err, RL_ERR_INTERNAL, "the first loss is %g; expected about ln 9", first);
    for (int64_t i = 0; i < again->num_steps; i++)
        if (again->steps[i].loss != log->steps[i].loss)
            return rl_fail(err, RL_ERR_INTERNAL, "step %d gives %.17g, then %.17g", (int)i + 1, log->steps[i].loss,
                           again->steps[i].loss);
    return RL_OK;
}

static rl_status run_case(const shape *which, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL, *same = NULL;
    rl_encoded *data = NULL;
    rl_training_log log = {0}, again = {0};
    rl_train_settings settings = rl_train_defaults();
    timing t;
    double sgemm, before = resident_mib(), peak, unavoidable;
    RL_TRY(bench_load_model(&model, which, err));
    RL_TRY(o->train ? conll(&data, o, o->steps * BATCH, model->config.vocab_size, err)
                    : bench_synthetic(&data, o->steps * BATCH, err));
    settings.epochs = 1;
    settings.dropout = o->dropout;
    RL_TRY(rl_train(model, data, &settings, 42, NULL, NULL, NULL, &log, err));
    peak = peak_mib();
    RL_TRY(unavoidable_mib(&unavoidable, model, data, &settings, err));
    settings.max_steps = 2;
    RL_TRY(bench_load_model(&same, which, err));
    RL_TRY(rl_train(same, data, &settings, 42, NULL, NULL, NULL, &again, err));
    RL_TRY(check_answer(&log, &again, err));
    RL_TRY(measure(&t, model, data, &settings, &log, err));
    RL_TRY(sgemm_gflops(&sgemm, &model->config, &log, o->cpu_time, err));
    printf("{\"bench\":\"train.step\",\"shape\":\"%s\",\"sentences\":\"%s\",\"batch\":%d,\"dropout\":%g,\"steps\":%lld,"
           "\"tokens_per_step\":%.1f,\"ms_per_step\":%.2f,\"tokens_per_second\":%.0f,\"gflops\":%.1f,"
           "\"gflops_median\":%.1f,\"gflops_quartiles\":[%.1f,%.1f],\"sgemm_gflops\":%.1f,\"ratio\":%.3f,"
           "\"backend\":\"%s\",\"isa\":\"%s\","
           "\"peak_memory_mib\":%.0f,\"before_mib\":%.0f,\"unavoidable_mib\":%.0f,\"memory_ratio\":%.3f,\"version\":\"%s\"}\n",
           which->name, o->train ? "conll2003" : "synthetic", BATCH, o->dropout, (long long)(log.num_steps - WARM),
           t.tokens_per_second * t.seconds / (double)(log.num_steps - WARM),
           1e3 * t.seconds / (double)(log.num_steps - WARM), t.tokens_per_second, t.gflops, t.median_gflops,
           t.first_quartile, t.third_quartile, sgemm, t.gflops / sgemm, rl_gemm_backend(), rl_isa_name(),
           peak, before, unavoidable, peak / unavoidable, RL_VERSION);
    fflush(stdout);
    settings.max_steps = 0;
    if (o->profile) RL_TRY(profile_training(which, o, data, settings, 1e9 * t.gflops * t.seconds, sgemm, err));
    if (o->profile) RL_TRY(profile_evaluation(which, o, model, data, err));
cleanup:
    rl_training_log_free(&log);
    rl_training_log_free(&again);
    rl_encoded_free(data);
    rl_model_free(same);
    rl_model_free(model);
    return status;
}

static int parse(options *o, int argc, char **argv)
{
    const bench_option table[] = {BENCH_SHAPE(&o->shape),
                                  {"--steps", BENCH_COUNT, &o->steps, "training steps, the first three uncounted", WARM + 1, 1e6},
                                  {"--dropout", BENCH_REAL, &o->dropout, "of attention and of the residual stream", 0, 0.9},
                                  {"--threads", BENCH_COUNT, &o->threads, "threads on one step", 1, RL_MAX_THREADS},
                                  {"--train", BENCH_TEXT, &o->train, "CoNLL file; without it synthetic sentences of its lengths", 0, 0},
                                  {"--tokenizer", BENCH_TEXT, &o->tokenizer, "model folder, with --train", 0, 0},
                                  {"--profile", BENCH_FLAG, &o->profile, "the same steps and an evaluation again, with a clock around every pass", 0, 0},
                                  {"--cpu-time", BENCH_FLAG, &o->cpu_time, "--profile by the thread's own clock", 0, 0},
                                  BENCH_SMOKE(&o->smoke),
                                  {0}};
    int code = bench_options(argc, argv, "training steps against the SGEMM rate of the same process; peak memory", table);
    if (code >= 0) return code;
    if (!o->train != !o->tokenizer) return bench_wrong(argv[0], "--train and --tokenizer belong together");
    if (o->smoke) o->profile = true, o->steps = WARM + 2, o->shape = o->shape ? o->shape : "minilm";
    o->profile |= o->cpu_time;
    return -1;
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    options o = {.steps = 40, .threads = 1, .dropout = 0.1};
    int code = parse(&o, argc, argv), cases = 0;
    if (code >= 0) return code;
    rl_status status = rl_linalg_init(NULL, &err);
    if (status == RL_OK) status = rl_linalg_set_threads((int)o.threads, &err);
    for (size_t i = 0; status == RL_OK && bench_shapes[i].name; i++) {
        if (o.shape && strcmp(o.shape, bench_shapes[i].name)) continue;
        status = run_case(&bench_shapes[i], &o, &err);
        cases++;
    }
    if (status != RL_OK) fprintf(stderr, "bench_train_step: %s\n", err.message);
    return status != RL_OK ? rl_exit_code(status) : cases ? 0 : bench_wrong(argv[0], BENCH_NO_SHAPE);
}
