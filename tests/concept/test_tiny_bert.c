/* A small random BERT on a small corpus: activations as PyTorch's, and every column of the neuron tables, of the base
 * model and of a pruned one, as numpy and NeuroX compute them, under each protocol. LABELS: unit golden */
#include "concept_support.h"

#define FOLDER "golden/concept/tiny"
#define CLOSE(a, b) assert_close(a, b, 1e-5, 1e-5) /* activations are of order 1 and differ by float32's rounding */

typedef struct fixture {
    rl_model *model;
    rl_tokenizer *tokenizer;
    json_t *golden;
    rl_concept_data *data;
    float *vectors;
} fixture;

static void load_data(fixture *f, rl_protocol protocol)
{
    const char *positive = "SEM:named_entity:location";
    rl_error err = {0};
    assert_ok(rl_concept_data_create(&f->data, support_file(FOLDER "/tokens.txt"), support_file(FOLDER "/labels.txt"),
                                     &positive, 1, f->tokenizer, 64, protocol, &err),
              err);
    assert_ok(rl_word_vectors_from_model(&f->vectors, f->model, f->tokenizer, f->data->corpus->words, &err), err);
}

static fixture set_up(rl_protocol protocol)
{
    fixture f = {.golden = read_golden(FOLDER "/analysis.json")};
    rl_error err = {0};
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&f.model, support_file(FOLDER), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&f.tokenizer, support_file(FOLDER), &err), err);
    load_data(&f, protocol);
    return f;
}

static void tear_down(fixture *f)
{
    rl_free(f->vectors);
    rl_concept_data_free(f->data);
    rl_tokenizer_free(f->tokenizer);
    rl_model_free(f->model);
    json_decref(f->golden);
}

/* -------------------------------------------------------------------------------------------------- activations */

typedef struct expectation {
    const float *X; /* [L+1, W, C] */
    int64_t num_layers;
} expectation;

static rl_status compare_layer(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    expectation *e = context;
    (void)err;
    assert_int_equal(layer, e->num_layers);
    e->num_layers++;
    for (int64_t i = 0; i < W * C; i++) CLOSE(X[i], e->X[layer * W * C + i]);
    return RL_OK;
}

static void test_activations(void **state)
{
    fixture f = set_up(RL_PROTOCOL_PUBLISHED);
    const json_t *pieces = member(f.golden, "pieces");
    rl_file_view file = {0};
    expectation e = {0};
    int64_t W = f.data->encoded->num_words, C = f.model->config.hidden_size;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_file_view_open(&file, support_file(FOLDER "/activations.bin"), &err), err);
    assert_int_equal(W, json_array_size(pieces));
    assert_int_equal(file.size, 4 * W * C * sizeof(float));
    e.X = (const float *)(const void *)file.data;
    for (int64_t w = 0; w < W; w++)
        if (number_at(pieces, w) == 0)
            for (int64_t c = 0; c < C; c++) assert_same(e.X[w * C + c], 0);
    assert_ok(rl_activations_visit(f.model, f.data->encoded, compare_layer, &e, &err), err);
    assert_int_equal(e.num_layers, 4);
    rl_file_view_close(&file);
    tear_down(&f);
}

enum { COPIES = 6 };

/* The corpus COPIES times over: more than one batch of tokens, whose borders fall elsewhere in every copy. */
static rl_encoded *repeat(const rl_encoded *one)
{
    rl_encoded *many = calloc(1, sizeof *many);
    int64_t S = one->num_sentences, T = one->num_tokens;
    *many = (rl_encoded){COPIES * S,
                         COPIES * T,
                         COPIES * one->num_words,
                         one->max_length,
                         calloc((size_t)(COPIES * S + 1), sizeof(int64_t)),
                         calloc((size_t)(COPIES * T), sizeof(int32_t)),
                         NULL,
                         calloc((size_t)(COPIES * T), sizeof(int64_t))};
    for (int64_t s = 0; s < COPIES * S; s++) many->sentence_start[s + 1] = s / S * T + one->sentence_start[s % S + 1];
    for (int64_t t = 0; t < COPIES * T; t++) {
        many->ids[t] = one->ids[t % T];
        many->word[t] = one->word[t % T] < 0 ? -1 : t / T * one->num_words + one->word[t % T];
    }
    return many;
}

static rl_status compare_copies(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    const expectation *e = context;
    (void)err;
    for (int64_t i = 0; i < W * C; i++) CLOSE(X[i], e->X[(layer * W / COPIES * C) + i % (W / COPIES * C)]);
    return RL_OK;
}

static void test_several_batches(void **state)
{
    fixture f = set_up(RL_PROTOCOL_PUBLISHED);
    rl_encoded *many = repeat(f.data->encoded);
    rl_file_view file = {0};
    expectation e = {0};
    rl_error err = {0};
    (void)state;
    assert_true(many->num_tokens > 4 * 512);
    assert_ok(rl_file_view_open(&file, support_file(FOLDER "/activations.bin"), &err), err);
    e.X = (const float *)(const void *)file.data;
    assert_ok(rl_activations_visit(f.model, many, compare_copies, &e, &err), err);
    rl_file_view_close(&file);
    free(many->sentence_start);
    free(many->ids);
    free(many->word);
    free(many);
    tear_down(&f);
}

static rl_status refuse(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    (void)X, (void)W, (void)C;
    ++*(int *)context;
    return layer == 1 ? rl_fail(err, RL_ERR_IO, "the visitor's own failure") : RL_OK;
}

static void test_a_failing_visitor_ends_the_pass(void **state)
{
    fixture f = set_up(RL_PROTOCOL_CORRECTED);
    int calls = 0;
    rl_error err = {0};
    (void)state;
    assert_fails(rl_activations_visit(f.model, f.data->encoded, refuse, &calls, &err), RL_ERR_IO, err,
                 "the visitor's own");
    assert_int_equal(calls, 2);
    f.model->config.vocab_size = 50;
    assert_fails(rl_activations_visit(f.model, f.data->encoded, refuse, &calls, &err), RL_ERR_INPUT, err,
                 "vocabulary has 50");
    tear_down(&f);
}

/* ------------------------------------------------------------------------------------------------- neuron tables */

/* Two orders agree where scores are further apart than the tolerance: at every rank stands a neuron of the same score.
 */
static void check_ranks(const rl_neuron_table *t, const json_t *expected)
{
    const json_t *order = member(expected, "order"), *score = member(expected, "score");
    for (int64_t n = 0; n < t->num_neurons; n++)
        CLOSE(number_at(score, (int64_t)number_at(order, t->rank[n])), number_at(score, n));
}

static void check_top_words(const rl_neuron_table *t, const rl_names *words, const json_t *lists, int64_t n)
{
    const json_t *list = json_array_get(lists, (size_t)n);
    for (int64_t j = 0; j < t->top_k; j++) {
        int32_t word = t->top_word[n * t->top_k + j];
        const json_t *pair = json_array_get(list, (size_t)j);
        assert_true((word >= 0) == (pair != NULL));
        if (!pair) continue;
        assert_string_equal(rl_names_get(words, word), json_string_value(json_array_get(pair, 0)));
        assert_close(t->top_score[n * t->top_k + j], number_at(pair, 1), 1e-4,
                     0); /* a channel's sd may be 10 % of its mean */
    }
}

static void assert_close_or_both_nan(double a, double b)
{
    if (!isnan(a) || !isnan(b)) CLOSE(a, b);
}

static void check_table(const rl_neuron_table *t, const rl_names *words, const json_t *expected)
{
    assert_int_equal(t->num_neurons, json_array_size(member(expected, "score")));
    for (int64_t n = 0; n < t->num_neurons; n++) {
        CLOSE(t->score[n], number_at(member(expected, "score"), n));
        CLOSE(t->mean_difference[n], number_at(member(expected, "mean_difference"), n));
        CLOSE(t->sd[n], number_at(member(expected, "sd"), n));
        assert_int_equal(t->null[n], (int)number_at(member(expected, "null"), n));
        if (t->sd[n] > 1e-3f)
            assert_close(t->effect_size[n], number_at(member(expected, "effect_size"), n), 1e-3, 1e-4);
        check_top_words(t, words, member(expected, "top_words"), n);
        assert_close_or_both_nan(t->similarity[n], number_at(member(expected, "similarity"), n));
        assert_true(isnan(t->saliency[n]) == (t->null[n] == 1));
    }
    check_ranks(t, expected);
}

/* Saliency is a function of rank, which may differ inside a tie: compare through the golden's own rank. */
static void check_saliency(const rl_neuron_table *t, const json_t *expected)
{
    const json_t *order = member(expected, "order"), *saliency = member(expected, "saliency");
    for (int64_t n = 0; n < t->num_neurons; n++) {
        double there = number_at(saliency, (int64_t)number_at(order, t->rank[n]));
        if (!isnan(there) && !isnan(t->saliency[n])) assert_close(t->saliency[n], there, 1e-12, 0);
    }
}

static int32_t *ids_of(const json_t *array, int64_t *count)
{
    *count = (int64_t)json_array_size(array);
    int32_t *ids = calloc((size_t)*count, sizeof *ids);
    for (int64_t i = 0; i < *count; i++) ids[i] = (int32_t)number_at(array, i);
    return ids;
}

static void prune(rl_model *model, const json_t *expected, bool wrap)
{
    int64_t count, num_offsets, *offsets;
    int32_t *ids = ids_of(member(expected, "ids"), &count);
    rl_error err = {0};
    offsets = calloc((size_t)count, sizeof *offsets);
    assert_ok(rl_prune_offsets(offsets, &num_offsets, model, ids, count, wrap, false, &err), err);
    rl_prune_apply(model, offsets, num_offsets);
    free(offsets);
    free(ids);
}

static void check_protocol(rl_protocol protocol, const char *name)
{
    fixture f = set_up(protocol);
    const rl_analysis_settings settings = {.protocol = protocol, .top_words = 5};
    const json_t *after = member(member(f.golden, "pruned"), name);
    rl_neuron_table *base = NULL, *stage = NULL;
    int64_t C = f.model->config.hidden_size;
    rl_error err = {0};
    assert_ok(rl_analyse_neurons(&base, f.model, f.data, &settings, NULL, f.vectors, C, &err), err);
    check_table(base, f.data->corpus->words, member(f.golden, name));
    check_saliency(base, member(f.golden, name));
    prune(f.model, after, protocol != RL_PROTOCOL_CORRECTED);
    assert_ok(rl_analyse_neurons(&stage, f.model, f.data, &settings, base, f.vectors, C, &err), err);
    check_table(stage, f.data->corpus->words, after);
    check_saliency(stage, after);
    rl_neuron_table_free(base);
    rl_neuron_table_free(stage);
    tear_down(&f);
}

static void test_corrected(void **state)
{
    (void)state;
    check_protocol(RL_PROTOCOL_CORRECTED, "corrected");
}

static void test_published(void **state)
{
    (void)state;
    check_protocol(RL_PROTOCOL_PUBLISHED, "published");
}

static void test_head(void **state)
{
    (void)state;
    check_protocol(RL_PROTOCOL_HEAD, "head");
}

/* The last layer all gone, gamma and beta: its own median sd is 0, so only the base's tells that its neurons are null;
 * their scores are all 0, so only the tie rule orders them. */
static void check_dead_layer(rl_protocol protocol, int64_t rank_of_first, int64_t rank_of_last)
{
    fixture f = set_up(protocol);
    const rl_analysis_settings settings = {.protocol = protocol, .top_words = 5};
    int64_t C = f.model->config.hidden_size, N = 4 * C;
    rl_norm_offsets norm = rl_model_norm_of_hidden_state(f.model, 3);
    rl_neuron_table *base = NULL, *stage = NULL;
    rl_error err = {0};
    assert_ok(rl_analyse_neurons(&base, f.model, f.data, &settings, NULL, NULL, 0, &err), err);
    for (int64_t c = 0; c < C; c++) f.model->weights[norm.gamma + c] = f.model->weights[norm.beta + c] = 0;
    assert_ok(rl_analyse_neurons(&stage, f.model, f.data, &settings, base, NULL, 0, &err), err);
    for (int64_t n = 3 * C; n < N; n++) {
        assert_true(stage->score[n] == 0 && stage->sd[n] == 0 && stage->top_word[5 * n] == -1);
        assert_int_equal(stage->null[n], protocol == RL_PROTOCOL_CORRECTED || protocol == RL_PROTOCOL_HEAD);
        assert_true(isnan(stage->similarity[n])); /* and no words, so no similarity */
    }
    assert_int_equal(stage->rank[3 * C], rank_of_first);
    assert_int_equal(stage->rank[N - 1], rank_of_last);
    rl_neuron_table_free(base);
    rl_neuron_table_free(stage);
    tear_down(&f);
}

static void test_a_dead_layer(void **state)
{
    (void)state;
    check_dead_layer(RL_PROTOCOL_CORRECTED, 48, 63); /* ties: smaller id first */
    check_dead_layer(RL_PROTOCOL_PUBLISHED, 63, 48); /* larger id first */
    check_dead_layer(RL_PROTOCOL_HEAD, 63, 48);
}

static void test_another_models_base_is_refused(void **state)
{
    fixture f = set_up(RL_PROTOCOL_CORRECTED);
    const rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .top_words = 5};
    rl_neuron_table *base = NULL, *stage = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_neuron_table_create(&base, 2, 16, 5, &err), err);
    assert_fails(rl_analyse_neurons(&stage, f.model, f.data, &settings, base, NULL, 0, &err), RL_ERR_INPUT, err,
                 "the base stage has 2 x 16 neurons");
    assert_null(stage);
    rl_neuron_table_free(base);
    tear_down(&f);
}

/* A model whose weights blew up is a diverged run, not a crash and not a table. */
static void test_activations_that_are_not_finite(void **state)
{
    fixture f = set_up(RL_PROTOCOL_CORRECTED);
    const rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .top_words = 5};
    rl_neuron_table *table = NULL;
    rl_error err = {0};
    (void)state;
    f.model->weights[rl_model_norm_of_hidden_state(f.model, 0).gamma] = NAN;
    assert_fails(rl_analyse_neurons(&table, f.model, f.data, &settings, NULL, NULL, 0, &err), RL_ERR_DIVERGED, err,
                 "neuron 0 is not");
    assert_null(table);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_a_failing_visitor_ends_the_pass),
        cmocka_unit_test(test_corrected),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_several_batches),
        cmocka_unit_test(test_a_dead_layer),
        cmocka_unit_test(test_another_models_base_is_refused),
        cmocka_unit_test(test_activations_that_are_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
