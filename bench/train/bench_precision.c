/* bench_precision.c -- training steps with bfloat16 factors beside the same steps with float32's, in one process.
 *
 * Two shapes with random weights, 6 layers of 384 and of 768; sentence lengths from CoNLL-2003's histogram, batch 8, dropout
 * 0.1. Each precision trains two epochs in file order, by turns; the second epoch counts, when oneDNN has its code for every
 * shape. Checks that bf16 trains (finite, and not float32's bits), then prints one JSON line a shape: the median
 * over steps of fp32's seconds over bf16's for the same batch. Without bfloat16 instructions it says so and leaves with 77.
 *   bench_train_precision [--smoke] [--shape 384|768] [--steps N] [--rounds N] */
#include "relearn/train.h"

#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 8, MOST_TOKENS = 53, LABELS = 9 };

typedef struct options {
    int64_t width, steps, rounds;
} options;

static rl_status load_model(rl_model **out, int64_t width, rl_error *err)
{
    char folder[] = "/tmp/relearn-bench-XXXXXX", *path = NULL, *config = NULL;
    rl_status status = RL_OK;
    if (!mkdtemp(folder)) return rl_fail_errno(err, "%s", folder);
    path = rl_path_join(folder, "config.json", err);
    config = rl_format(
        err,
        "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":30522,"
        "\"hidden_size\":%lld,\"num_hidden_layers\":6,\"num_attention_heads\":12,\"intermediate_size\":%lld,"
        "\"max_position_embeddings\":512,\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"hidden_dropout_prob\":0.1,"
        "\"attention_probs_dropout_prob\":0.1,\"relearn_random_init\":1,\"pad_token_id\":0,\"id2label\":{\"0\":\"O\","
        "\"1\":\"B-A\",\"2\":\"I-A\",\"3\":\"B-B\",\"4\":\"I-B\",\"5\":\"B-C\",\"6\":\"I-C\",\"7\":\"B-D\",\"8\":\"I-"
        "D\"}}",
        (long long)width, (long long)(4 * width));
    if (!path || !config) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_write_file(path, config, strlen(config), err);
    if (status == RL_OK) status = rl_model_load(out, folder, NULL, 0, err);
    rl_free(path);
    rl_free(config);
    rl_remove_tree(folder, NULL);
    return status;
}

/* Lengths in MiniLM's sub-words at 32 quantiles of CoNLL-2003's training sentences, as in bench_step.c. */
static const int lengths[32] = {4,  6,  6,  7,  8,  8,  9,  10, 10, 11, 11, 12, 13, 13, 14, 15,
                                16, 17, 18, 20, 22, 23, 25, 27, 29, 31, 34, 36, 39, 42, 46, 53};

static rl_status make_data(rl_encoded **out, int64_t sentences, rl_error *err)
{
    rl_status status = RL_OK;
    rl_encoded *data = NULL;
    RL_ALLOC(data, 1, err);
    RL_ALLOC(data->sentence_start, sentences + 1, err);
    RL_ALLOC(data->ids, sentences * MOST_TOKENS, err);
    RL_ALLOC(data->labels, sentences * MOST_TOKENS, err);
    RL_ALLOC(data->word, sentences * MOST_TOKENS, err);
    for (int64_t s = 0, t = 0; s < sentences; s++) {
        for (int64_t i = 0; i < lengths[(13 * s + 5) % 32]; i++, t++) {
            data->ids[t] = 1000 + (int32_t)(rl_rng_bits(1, RL_PURPOSE_BOOTSTRAP, 0, 0, (uint64_t)t) % 20000);
            data->labels[t] = data->ids[t] % LABELS;
        }
        data->sentence_start[s + 1] = data->num_tokens = t;
    }
    data->num_sentences = sentences;
    data->max_length = MOST_TOKENS;
    *out = data;
    return RL_OK;
cleanup:
    rl_encoded_free(data);
    return status;
}

static rl_status train(rl_training_log *log, const rl_model *model, const rl_encoded *data, rl_precision precision,
                       rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *copy = NULL;
    rl_train_settings settings = rl_train_defaults();
    settings.epochs = 2;
    settings.shuffle = false;
    settings.precision = precision;
    RL_TRY(rl_model_copy(&copy, model, err));
    RL_TRY(rl_train(copy, data, &settings, 42, NULL, NULL, NULL, log, err));
cleanup:
    rl_model_free(copy);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static rl_status check(const rl_training_log *fp32, const rl_training_log *bf16, rl_error *err)
{
    double a = fp32->steps[0].loss, b = bf16->steps[0].loss;
    if (fabs(a - b) <= 0.02 * a && a != b) return RL_OK;
    return rl_fail(err, RL_ERR_INTERNAL,
                   "the first loss is %.9g with fp32 and %.9g with bf16; expected two near each other", a, b);
}

static rl_status run_shape(int64_t width, const options *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    rl_encoded *data = NULL;
    rl_training_log log[2] = {{0}, {0}};
    double *ratio = NULL, seconds[2] = {0}, tokens = 0;
    int64_t n = 0;
    RL_TRY(load_model(&model, width, err));
    RL_TRY(make_data(&data, o->steps * BATCH, err));
    RL_ALLOC(ratio, o->rounds * o->steps, err);
    for (int64_t round = 0; round < o->rounds; round++) {
        RL_TRY(train(&log[0], model, data, RL_PRECISION_FP32, err));
        RL_TRY(train(&log[1], model, data, RL_PRECISION_BF16, err));
        RL_TRY(check(&log[0], &log[1], err));
        for (int64_t i = o->steps; i < 2 * o->steps; i++) {
            ratio[n++] = log[0].steps[i].seconds / log[1].steps[i].seconds;
            for (int p = 0; p < 2; p++) seconds[p] += log[p].steps[i].seconds;
            tokens += (double)log[0].steps[i].tokens;
        }
    }
    qsort(ratio, (size_t)n, sizeof *ratio, ascending);
    printf("{\"bench\":\"train.precision\",\"width\":%lld,\"batch\":%d,\"steps\":%lld,\"fp32_tokens_per_second\":%.0f,"
           "\"bf16_tokens_per_second\":%.0f,\"ratio\":%.3f,\"ratio_quartiles\":[%.3f,%.3f],\"backend\":\"%s\",\"bf16\":"
           "\"%s\","
           "\"isa\":\"%s\",\"version\":\"%s\"}\n",
           (long long)width, BATCH, (long long)n, tokens / seconds[0], tokens / seconds[1], ratio[n / 2], ratio[n / 4],
           ratio[3 * n / 4], rl_gemm_backend(), rl_bf16_version(), rl_isa_name(), RL_VERSION);
    fflush(stdout);
cleanup:
    for (int p = 0; p < 2; p++) rl_training_log_free(&log[p]);
    rl_free(ratio);
    rl_encoded_free(data);
    rl_model_free(model);
    return status;
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    options o = {.steps = 20, .rounds = 3};
    bool smoke = false;
    const bench_option table[] = {{"--shape", BENCH_COUNT, &o.width, "384 or 768; 0: both", 0, 768},
                                  {"--steps", BENCH_COUNT, &o.steps, "training steps a round", 1, 1e6},
                                  {"--rounds", BENCH_COUNT, &o.rounds, "rounds", 1, 1000},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int code = bench_options(argc, argv, "training in bfloat16 against fp32, step by step in turns", table);
    if (code >= 0) return code;
    if (smoke) o = (options){.width = 384, .steps = 1, .rounds = 1};
    if (o.width != 0 && o.width != 384 && o.width != 768) return bench_wrong(argv[0], "--shape: expected 384 or 768");
    rl_status status = rl_linalg_init(NULL, &err);
    if (status == RL_OK && rl_bf16_check(&err) != RL_OK) {
        printf("skipped: %s\n", err.message);
        return 77;
    }
    for (int64_t width = 384; status == RL_OK && width <= 768; width *= 2)
        if (o.width == 0 || o.width == width) status = run_shape(width, &o, &err);
    if (status != RL_OK) fprintf(stderr, "bench_train_precision: %s\n", err.message);
    return status != RL_OK ? rl_exit_code(status) : 0;
}
