/* concept_support.h -- what the concept room's tests share: a fixed matrix, JSON goldens, the tiny model of protocol
 * §15. */
#ifndef RELEARN_TEST_CONCEPT_SUPPORT_H
#define RELEARN_TEST_CONCEPT_SUPPORT_H

#include "concept_internal.h"
#include "support.h"

#include <inttypes.h>

/* ------------------------------------------------------------------------------------------------ JSON goldens */

static inline json_t *read_golden(const char *file)
{
    json_t *root = NULL;
    rl_error err = {0};
    assert_ok(rl_json_read(&root, support_file(file), &err), err);
    return root;
}

static inline json_t *member(const json_t *object, const char *key)
{
    json_t *found = json_object_get(object, key);
    if (!found) print_error("golden without '%s'\n", key);
    assert_non_null(found);
    return found;
}

static inline int64_t integer_of(const json_t *object, const char *key)
{
    return json_integer_value(member(object, key));
}

/* Element i of an array; null is NaN. */
static inline double number_at(const json_t *array, int64_t i)
{
    const json_t *value = json_array_get(array, (size_t)i);
    assert_non_null(value);
    return json_is_null(value) ? NAN : json_number_value(value);
}

/* Equal to the last bit, or both NaN; -0 equals 0. */
#define assert_same(a, b) assert_same_at((a), (b), #a, __FILE__, __LINE__)
static inline void assert_same_at(double a, double b, const char *what, const char *file, int line)
{
    if (a == b || (isnan(a) && isnan(b))) return;
    print_error("%s:%d: %s = %.17g, expected exactly %.17g\n", file, line, what, a, b);
    _fail(file, line);
}

/* --------------------------------------------------------------------------------------------- a fixed matrix */

/* The matrix of tools/goldens/concept.py:fixed_matrix, equal to the last bit. */
typedef struct fixed_matrix {
    int64_t W, C;
    int32_t types;
    float *X;
    int32_t *type, *label;
} fixed_matrix;

static inline double fixed_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 32) / 4294967296.0;
}

static inline void fixed_channels(fixed_matrix *m, int64_t w)
{
    float *x = m->X + w * m->C;
    x[3] = 0.1f;
    x[7] = 0.5f;
    x[5] = m->type[w] == m->types / 2 ? 0.0f : 0.3f;
    x[9] = 1e-3f * x[9];
    x[9] = x[9] + 100.0f;
}

static inline fixed_matrix make_fixed_matrix(int64_t W, int64_t C, int32_t types)
{
    fixed_matrix m = {W,
                      C,
                      types,
                      calloc((size_t)(W * C), sizeof(float)),
                      calloc((size_t)W, sizeof(int32_t)),
                      calloc((size_t)W, sizeof(int32_t))};
    uint64_t state = 1;
    for (int64_t w = 0; w < W; w++) {
        double v = fixed_uniform(&state);
        m.type[w] = (int32_t)(types * v * v * v);
        for (int64_t c = 0; c < C; c++) {
            double u = 2.0 * fixed_uniform(&state) - 1.0;
            m.X[w * C + c] = (float)(u * u * u * (double)(c + 1) + 0.125 * (double)c);
        }
        fixed_channels(&m, w);
        m.label[w] = m.type[w] % 5 == 0 ? (int32_t)((m.type[w] * 7 + w / 500) % 4) : 0;
    }
    return m;
}

static inline void free_fixed_matrix(fixed_matrix *m)
{
    free(m->X);
    free(m->type);
    free(m->label);
}

/* --------------------------------------------------------------------------------- the tiny models of protocol §15 */

static inline int compare_parameter_names(const void *a, const void *b)
{
    return strcmp((*(const rl_parameter *const *)a)->name, (*(const rl_parameter *const *)b)->name);
}

/* Names sorted bytewise, ordinal t; element k = 0.5 sin(0.7 k + 1.3 t), LayerNorm weights 1 + 0.1 sin(...). */
static inline void fill_by_protocol(rl_model *model)
{
    const rl_parameter **sorted = calloc((size_t)model->num_parameters, sizeof *sorted);
    for (int64_t i = 0; i < model->num_parameters; i++) sorted[i] = &model->parameters[i];
    qsort(sorted, (size_t)model->num_parameters, sizeof *sorted, compare_parameter_names);
    for (int64_t t = 0; t < model->num_parameters; t++) {
        bool norm = strstr(sorted[t]->name, "LayerNorm.weight") || strstr(sorted[t]->name, "layer_norm.weight");
        for (int64_t k = 0; k < sorted[t]->count; k++) {
            double wave = sin(0.7 * (double)k + 1.3 * (double)t);
            model->weights[sorted[t]->offset + k] = (float)(norm ? 1 + 0.1 * wave : 0.5 * wave);
        }
    }
    free(sorted);
}

/* "bert" or "distilbert": vocab 16, 2 layers, 2 heads, D = 8, FFN 16, 9 labels. */
static inline rl_model *tiny_protocol_model(const char *type)
{
    char path[4200], text[2048];
    rl_model *model = NULL;
    rl_error err = {0};
    bool bert = !strcmp(type, "bert");
    snprintf(
        text, sizeof text,
        "{\"model_type\": \"%s\", \"architectures\": [\"%sForTokenClassification\"], \"vocab_size\": 16, \"%s\": 8, "
        "\"%s\": 2, \"%s\": 2, \"%s\": 16,"
        "\"max_position_embeddings\": 12, \"type_vocab_size\": 2, \"pad_token_id\": 0, \"relearn_random_init\": 7, "
        "\"%s\": \"gelu\","
        "\"id2label\": {\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\","
        "\"6\":\"I-LOC\",\"7\":\"B-MISC\",\"8\":\"I-MISC\"}}",
        type, bert ? "Bert" : "DistilBert", bert ? "hidden_size" : "dim", bert ? "num_hidden_layers" : "n_layers",
        bert ? "num_attention_heads" : "n_heads", bert ? "intermediate_size" : "hidden_dim",
        bert ? "hidden_act" : "activation");
    snprintf(path, sizeof path, "%s/config.json", support_temporary_folder());
    support_write(path, text);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&model, support_temporary_folder(), NULL, 0, &err), err);
    fill_by_protocol(model);
    return model;
}

/* ------------------------------------------------------------------------------------ the tiny model, its corpus */

#define TINY "golden/concept/tiny"
typedef struct small {
    rl_model *model;
    rl_tokenizer *tokenizer;
    rl_concept_data *data;
} small;

static inline small load_small(void)
{
    small s = {0};
    const char *positive = "SEM:named_entity:location";
    rl_error err = {0};
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&s.model, support_file(TINY), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&s.tokenizer, support_file(TINY), &err), err);
    assert_ok(rl_concept_data_create(&s.data, support_file(TINY "/tokens.txt"), support_file(TINY "/labels.txt"), &positive, 1,
                                     s.tokenizer, 64, RL_PROTOCOL_CORRECTED, &err),
              err);
    return s;
}

static inline void free_small(small *s)
{
    rl_concept_data_free(s->data);
    rl_tokenizer_free(s->tokenizer);
    rl_model_free(s->model);
}

#endif
