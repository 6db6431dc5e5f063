/* model_support.h -- what the model room's tests share: small folders, packed batches, the fill of protocol §15. */
#ifndef RELEARN_TEST_MODEL_SUPPORT_H
#define RELEARN_TEST_MODEL_SUPPORT_H

#include "model_internal.h"
#include "support.h"

#include <sys/stat.h>

/* A fresh folder inside the test's temporary one. */
static inline const char *new_folder(const char *name)
{
    static char paths[64][4096];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, 4096, "%s/%s-%d", support_temporary_folder(), name, next);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static inline void write_in(const char *folder, const char *name, const char *text)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    support_write(path, text);
}

static inline void write_bytes(const char *folder, const char *name, const void *bytes, size_t length)
{
    char path[4200];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

/* Sizes of protocol §15 ("vocab 16, 2 layers, 2 heads, D = 8, FFN 16, C = 9"), no weights file: drawn from the seed. */
#define LABELS_9                                                                                                  \
    "\"id2label\": {\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\"," \
    "\"6\":\"I-LOC\",\"7\":\"B-MISC\",\"8\":\"I-MISC\"}"
static const char tiny_bert[] =
    "{\"model_type\": \"bert\", \"architectures\": [\"BertForTokenClassification\"], \"vocab_size\": 16, "
    "\"hidden_size\": 8,"
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 16, \"max_position_embeddings\": 12,"
    "\"type_vocab_size\": 2, \"hidden_act\": \"gelu\", \"pad_token_id\": 0, \"relearn_random_init\": 7, " LABELS_9 "}";
static const char tiny_distilbert[] =
    "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForTokenClassification\"], \"vocab_size\": 16, "
    "\"dim\": 8,"
    "\"n_layers\": 2, \"n_heads\": 2, \"hidden_dim\": 16, \"max_position_embeddings\": 12, \"activation\": \"gelu\","
    "\"pad_token_id\": 0, \"relearn_random_init\": 7, " LABELS_9 "}";

static const char tiny_roberta[] =
    "{\"model_type\": \"roberta\", \"architectures\": [\"RobertaForTokenClassification\"], \"vocab_size\": 16, "
    "\"hidden_size\": 8, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 16,"
    "\"max_position_embeddings\": 14, \"type_vocab_size\": 1, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-5,"
    "\"pad_token_id\": 1, \"relearn_random_init\": 7, " LABELS_9 "}";
static const char tiny_electra[] =
    "{\"model_type\": \"electra\", \"architectures\": [\"ElectraForTokenClassification\"], \"vocab_size\": 16, "
    "\"hidden_size\": 8, \"embedding_size\": 8, \"num_hidden_layers\": 2, \"num_attention_heads\": 2,"
    "\"intermediate_size\": 16, \"max_position_embeddings\": 12, \"type_vocab_size\": 2, \"hidden_act\": \"gelu\","
    "\"relearn_random_init\": 7, " LABELS_9 "}";
static const char tiny_gpt2[] =
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2ForTokenClassification\"], \"vocab_size\": 16, \"n_embd\": 8,"
    "\"n_layer\": 2, \"n_head\": 2, \"n_inner\": 16, \"n_positions\": 12, \"pad_token_id\": 15,"
    "\"relearn_random_init\": 7, " LABELS_9 "}";
static const char *const tiny_families[] = {tiny_bert, tiny_distilbert, tiny_roberta, tiny_electra, tiny_gpt2};
#define NUM_FAMILIES (int)(sizeof tiny_families / sizeof *tiny_families)

static inline rl_model *load_text(const char *config)
{
    rl_model *model = NULL;
    rl_error err = {0};
    const char *folder = new_folder("model");
    write_in(folder, "config.json", config);
    assert_ok(rl_model_load(&model, folder, NULL, 0, &err), err);
    return model;
}

/* ------------------------------------------------------------------------------------------- weights by formula */

static inline int compare_names(const void *a, const void *b)
{
    return strcmp((*(const rl_parameter *const *)a)->name, (*(const rl_parameter *const *)b)->name);
}

/* Protocol §15: names sorted bytewise, ordinal t; element k = 0.5 sin(0.7 k + 1.3 t), LayerNorm weights 1 + 0.1
 * sin(...). */
static inline void fill_by_formula(rl_model *model)
{
    const rl_parameter **sorted = calloc((size_t)model->num_parameters, sizeof *sorted);
    assert_non_null(sorted);
    for (int64_t i = 0; i < model->num_parameters; i++) sorted[i] = &model->parameters[i];
    qsort(sorted, (size_t)model->num_parameters, sizeof *sorted, compare_names);
    for (int64_t t = 0; t < model->num_parameters; t++) {
        const char *name = sorted[t]->name;
        bool norm = strstr(name, "LayerNorm.weight") || strstr(name, "layer_norm.weight") ||
                    (strstr(name, "ln_") && strstr(name, ".weight")); /* GPT-2's ln_1, ln_2, ln_f */
        for (int64_t k = 0; k < sorted[t]->count; k++) {
            double wave = sin(0.7 * (double)k + 1.3 * (double)t);
            model->weights[sorted[t]->offset + k] = (float)(norm ? 1 + 0.1 * wave : 0.5 * wave);
        }
    }
    free(sorted);
}

/* ------------------------------------------------------------------------------------------------------ batches */

typedef struct owned_batch {
    rl_batch batch;
    int32_t start[65], ids[1024], labels[1024];
    int64_t attention;
} owned_batch;

static inline void batch_sentence(owned_batch *b, const int32_t *ids, const int32_t *labels, int64_t n)
{
    int64_t T = b->batch.num_tokens;
    memcpy(b->ids + T, ids, (size_t)n * sizeof *ids);
    memcpy(b->labels + T, labels, (size_t)n * sizeof *labels);
    b->start[++b->batch.num_sentences] = (int32_t)(T + n);
    b->batch.num_tokens = T + n;
    b->attention += n * n;
    if (n > b->batch.max_length) b->batch.max_length = n;
    b->batch.start = b->start;
    b->batch.ids = b->ids;
    b->batch.labels = b->labels;
}

/* Sentences of golden.json: "ids" and "labels", arrays of arrays. */
static inline void batch_from_json(owned_batch *b, const json_t *golden)
{
    const json_t *ids = json_object_get(golden, "ids"), *labels = json_object_get(golden, "labels");
    memset(b, 0, sizeof *b);
    for (size_t s = 0; s < json_array_size(ids); s++) {
        int32_t row_ids[256], row_labels[256];
        size_t n = json_array_size(json_array_get(ids, s));
        for (size_t i = 0; i < n; i++) {
            row_ids[i] = (int32_t)json_integer_value(json_array_get(json_array_get(ids, s), i));
            row_labels[i] = (int32_t)json_integer_value(json_array_get(json_array_get(labels, s), i));
        }
        batch_sentence(b, row_ids, row_labels, (int64_t)n);
    }
    assert_true(b->batch.num_tokens > 0);
}

/* The batch of protocol §15, without its padding. */
static inline void protocol_batch(owned_batch *b)
{
    static const int32_t ids1[] = {5, 6, 7, 8, 9}, labels1[] = {-100, 0, 5, 6, -100};
    static const int32_t ids2[] = {10, 11, 12}, labels2[] = {-100, 3, -100};
    memset(b, 0, sizeof *b);
    batch_sentence(b, ids1, labels1, 5);
    batch_sentence(b, ids2, labels2, 3);
}

static inline rl_workspace *workspace_for(const rl_model *model, const owned_batch *b, bool training)
{
    rl_workspace *workspace = NULL;
    rl_error err = {0};
    assert_ok(rl_workspace_create(&workspace, model, b->batch.num_tokens, b->batch.num_sentences, b->batch.max_length,
                                  b->attention, training, &err),
              err);
    assert_ok(rl_batch_check(model, workspace, &b->batch, &err), err);
    return workspace;
}

static inline float *new_gradients(const rl_model *model)
{
    float *gradients = malloc((size_t)model->num_weights * sizeof *gradients);
    assert_non_null(gradients);
    for (int64_t i = 0; i < model->num_weights; i++) gradients[i] = NAN; /* whatever is not written shows */
    return gradients;
}

static inline double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

static inline int start_linalg(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linalg_init(NULL, &err), err);
    return 0;
}

#endif
