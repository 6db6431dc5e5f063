/* bench_step.c -- training steps as `finetune` runs them (batch 8, dropout 0.1, clipping, AdamW) against SGEMM.
 *
 * Two shapes with random weights: MiniLM-L6 (6 x 384, vocabulary 30522) and DistilBERT (6 x 768, 28996). Sentences:
 * CoNLL-2003's through --tokenizer where --train is given, else lengths from its histogram. Checks the answer (finite
 * losses, the first near ln K, the first steps' bits twice the same), then prints one JSON line a shape: real tokens a
 * second; GFLOP/s by rl_model_training_flops; the SGEMM rate measured right after, at the same T and all twelve
 * products of a layer, weighted by their work; their ratio. Median over steps; the first WARM steps are left out.
 *   bench_train_step [--smoke] [--shape minilm|distilbert] [--steps N] [--dropout P] [--profile]
 *                    [--train FILE --tokenizer FOLDER] */
#include "relearn/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WARM = 3, BATCH = 8, K = 9 };

typedef struct options {
    const char *shape, *train, *tokenizer;
    int64_t steps;
    double dropout;
    bool smoke, profile;
} options;

typedef struct shape {
    const char *name, *config; /* config.json without its closing brace */
} shape;
#define LABELS                                                                                                       \
    "\"id2label\":{\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\",\"6\":" \
    "\"I-LOC\",\"7\":\"B-MISC\",\"8\":\"I-MISC\"},\"relearn_random_init\":1,\"initializer_range\":0.02," \
    "\"pad_token_id\":0}"
static const shape shapes[] = {
    {"minilm", "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":30522,"
               "\"hidden_size\":384,\"num_hidden_layers\":6,\"num_attention_heads\":12,\"intermediate_size\":1536,"
               "\"max_position_embeddings\":512,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,"
               "\"hidden_dropout_prob\":0.1,\"attention_probs_dropout_prob\":0.1," LABELS},
    {"distilbert", "{\"model_type\":\"distilbert\",\"architectures\":[\"DistilBertForTokenClassification\"],"
                   "\"vocab_size\":28996,\"dim\":768,\"n_layers\":6,\"n_heads\":12,\"hidden_dim\":3072,"
                   "\"max_position_embeddings\":512,\"activation\":\"gelu\",\"dropout\":0.1,"
                   "\"attention_dropout\":0.1," LABELS},
};

/* ------------------------------------------------------------------------------------------------ inputs */

static rl_status load_model(rl_model **out, const shape *which, rl_error *err)
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
static rl_status synthetic(rl_encoded **out, int64_t sentences, rl_error *err)
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
            data->labels[t] = special ? RL_IGNORE_LABEL : data->ids[t] % K;
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

/* ---------------------------------------------------------------------------------- the SGEMM rate beside it */

enum { FORWARD, DX, DWEIGHT, PRODUCTS };
static void multiply(int product, float *x, float *weight, float *y, int64_t T, int64_t N, int64_t width)
{
    if (product == FORWARD) rl_gemm(false, true, T, N, width, 1, x, width, weight, width, 0, y, N);
    if (product == DX) rl_gemm(false, false, T, width, N, 1, y, N, weight, width, 0, x, width);
    if (product == DWEIGHT) rl_gemm(true, false, N, width, T, 1, y, N, x, width, 0, weight, width);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of one product, its operands in cache: the rate a kernel reaches when nothing else is in the way. */
static double product_seconds(int product, float *x, float *weight, float *y, int64_t T, int64_t N, int64_t width)
{
    enum { CALLS = 15 };
    double seconds[CALLS];
    for (int i = 0; i < CALLS; i++) {
        memset(product == FORWARD ? y : product == DX ? x : weight, 0, 64); /* keep values bounded */
        double from = rl_now_s();
        multiply(product, x, weight, y, T, N, width);
        seconds[i] = rl_now_s() - from;
    }
    qsort(seconds, CALLS, sizeof *seconds, ascending);
    return seconds[CALLS / 2];
}

/* Seconds and FLOPs of the twelve products of one layer on T tokens. */
static rl_status layer_products(double *seconds, double *flops, const rl_model_config *c, int64_t T, rl_error *err)
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
        for (int product = 0; product < PRODUCTS; product++) {
            *seconds += product_seconds(product, x, weight, y, T, out[i], in[i]);
            *flops += 2.0 * (double)T * (double)out[i] * (double)in[i];
        }
cleanup:
    rl_free(x);
    rl_free(y);
    rl_free(weight);
    return status;
}

/* Over batches of the run, spread over their sizes. */
static rl_status sgemm_gflops(double *rate, const rl_model_config *config, const rl_training_log *log, rl_error *err)
{
    rl_status status = RL_OK;
    double seconds = 0, flops = 0, *tokens = NULL;
    int64_t n = log->num_steps;
    RL_ALLOC(tokens, n, err);
    for (int64_t i = 0; i < n; i++) tokens[i] = (double)log->steps[i].tokens;
    qsort(tokens, (size_t)n, sizeof *tokens, ascending);
    for (int i = 0; i < 5; i++)
        RL_TRY(layer_products(&seconds, &flops, config, (int64_t)tokens[(2 * i + 1) * n / 10], err));
    *rate = 1e-9 * flops / seconds;
cleanup:
    rl_free(tokens);
    return status;
}

/* ----------------------------------------------------------------------------------------- phases of a step */

/* The same steps again from the parts that rl_train calls, each timed: where a step's time goes. */
static rl_status profile(const rl_model *trained, const rl_encoded *data, int64_t steps, double dropout, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_workspace *workspace = NULL;
    float *gradients = NULL, *m = NULL, *v = NULL;
    int32_t *start = NULL;
    double phase[4] = {0}, total = 0;
    static const char *const names[] = {"forward", "backward", "gradient_norm", "adamw"};
    RL_TRY(rl_model_copy(&model, trained, err));
    RL_ALLOC(gradients, model->num_weights, err);
    RL_ALLOC(m, model->num_weights, err);
    RL_ALLOC(v, model->num_weights, err);
    RL_ALLOC(start, BATCH + 1, err);
    RL_TRY(rl_workspace_create(&workspace, model, BATCH * data->max_length, BATCH, data->max_length,
                               BATCH * data->max_length * data->max_length, true, err));
    for (int64_t step = 0; step < steps; step++) {
        int64_t from = step * BATCH % (data->num_sentences - BATCH + 1), at = data->sentence_start[from];
        rl_batch batch = {.num_sentences = BATCH, .start = start, .ids = data->ids + at, .labels = data->labels + at};
        for (int b = 0; b <= BATCH; b++) start[b] = (int32_t)(data->sentence_start[from + b] - at);
        batch.num_tokens = start[BATCH];
        for (int b = 0; b < BATCH; b++)
            if (start[b + 1] - start[b] > batch.max_length) batch.max_length = start[b + 1] - start[b];
        rl_model_dropout drop = {.seed = 1, .step = (uint32_t)step, .override_rate = (float)dropout};
        rl_adamw adamw = {.learning_rate = 2e-5, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01,
                          .step = step + 1, .gradient_scale = 1};
        double t0 = rl_now_s();
        rl_model_forward(model, workspace, &batch, &drop);
        double t1 = rl_now_s();
        rl_model_backward(model, workspace, &batch, &drop, gradients);
        double t2 = rl_now_s();
        adamw.gradient_scale = (float)fmin(1, 1 / sqrt(rl_sum_of_squares(gradients, model->num_weights)));
        double t3 = rl_now_s();
        rl_adamw_step(model->weights, gradients, m, v, model->num_weights, adamw);
        double t4 = rl_now_s();
        if (step < WARM) continue;
        phase[0] += t1 - t0, phase[1] += t2 - t1, phase[2] += t3 - t2, phase[3] += t4 - t3, total += t4 - t0;
    }
    printf("{\"bench\":\"train.step.phases\",\"ms_per_step\":%.2f", 1e3 * total / (double)(steps - WARM));
    for (int i = 0; i < 4; i++) printf(",\"%s\":%.3f", names[i], phase[i] / total);
    printf("}\n");
cleanup:
    rl_free(start);
    rl_free(v);
    rl_free(m);
    rl_free(gradients);
    rl_workspace_free(workspace);
    rl_model_free(model);
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
    double sgemm;
    struct rusage usage;
    RL_TRY(load_model(&model, which, err));
    RL_TRY(rl_model_copy(&same, model, err));
    RL_TRY(o->train ? conll(&data, o, o->steps * BATCH, model->config.vocab_size, err)
                    : synthetic(&data, o->steps * BATCH, err));
    settings.epochs = 1;
    settings.dropout = o->dropout;
    RL_TRY(rl_train(model, data, &settings, 42, NULL, NULL, NULL, &log, err));
    getrusage(RUSAGE_SELF, &usage);
    settings.max_steps = 2;
    RL_TRY(rl_train(same, data, &settings, 42, NULL, NULL, NULL, &again, err));
    RL_TRY(check_answer(&log, &again, err));
    RL_TRY(measure(&t, model, data, &settings, &log, err));
    RL_TRY(sgemm_gflops(&sgemm, &model->config, &log, err));
    printf("{\"bench\":\"train.step\",\"shape\":\"%s\",\"sentences\":\"%s\",\"batch\":%d,\"dropout\":%g,\"steps\":%lld,"
           "\"tokens_per_step\":%.1f,\"ms_per_step\":%.2f,\"tokens_per_second\":%.0f,\"gflops\":%.1f,"
           "\"gflops_median\":%.1f,\"gflops_quartiles\":[%.1f,%.1f],\"sgemm_gflops\":%.1f,\"ratio\":%.3f,"
           "\"backend\":\"%s\",\"isa\":\"%s\","
           "\"peak_memory_mib\":%.0f,\"version\":\"%s\"}\n",
           which->name, o->train ? "conll2003" : "synthetic", BATCH, o->dropout, (long long)(log.num_steps - WARM),
           t.tokens_per_second * t.seconds / (double)(log.num_steps - WARM),
           1e3 * t.seconds / (double)(log.num_steps - WARM), t.tokens_per_second, t.gflops, t.median_gflops,
           t.first_quartile, t.third_quartile, sgemm, t.gflops / sgemm, rl_gemm_backend(), rl_isa_name(),
           (double)usage.ru_maxrss / 1024, RL_VERSION);
    fflush(stdout);
    if (o->profile) RL_TRY(profile(model, data, o->steps, o->dropout, err));
cleanup:
    rl_training_log_free(&log);
    rl_training_log_free(&again);
    rl_encoded_free(data);
    rl_model_free(same);
    rl_model_free(model);
    return status;
}

static int usage_error(const char *word)
{
    fprintf(stderr,
            "bench_train_step: %s; expected [--smoke] [--shape minilm|distilbert] [--steps N > %d] [--dropout P] "
            "[--profile] [--train FILE --tokenizer FOLDER]\n",
            word, WARM);
    return 2;
}

static int parse(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--smoke")) o->smoke = true;
        else if (!strcmp(argv[i], "--profile")) o->profile = true;
        else if (!strcmp(argv[i], "--shape")) o->shape = value, i++;
        else if (!strcmp(argv[i], "--steps")) o->steps = atoll(value), i++;
        else if (!strcmp(argv[i], "--dropout")) o->dropout = atof(value), i++;
        else if (!strcmp(argv[i], "--train")) o->train = value, i++;
        else if (!strcmp(argv[i], "--tokenizer")) o->tokenizer = value, i++;
        else return usage_error(argv[i]);
    }
    if (!o->train != !o->tokenizer) return usage_error("--train and --tokenizer belong together");
    if (o->smoke) o->steps = WARM + 2, o->shape = o->shape ? o->shape : "minilm";
    return o->steps > WARM ? 0 : usage_error("--steps");
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    options o = {.steps = 40, .dropout = 0.1};
    int failed = parse(&o, argc, argv), cases = 0;
    if (failed) return failed;
    rl_status status = rl_linalg_init(NULL, &err);
    for (size_t i = 0; status == RL_OK && i < sizeof shapes / sizeof *shapes; i++) {
        if (o.shape && strcmp(o.shape, shapes[i].name)) continue;
        status = run_case(&shapes[i], &o, &err);
        cases++;
    }
    if (status != RL_OK) fprintf(stderr, "bench_train_step: %s\n", err.message);
    return status != RL_OK ? rl_exit_code(status) : cases ? 0 : usage_error("--shape");
}
