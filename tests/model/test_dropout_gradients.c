/* Dropout acts exactly at the sites of protocol §2.2 with the declared Philox streams, backward is the slope of forward
 * under the same masks, and rate 0 is eval. Witness: a float64 reference that shares no code with src/model.
 *
 * LABELS: unit */
#include "reference_encoder.h"

/* C = 12 with 3 heads: no multiple of 16, so the fused trio and the tails are exercised; three different rates. */
static const char bert_config[] =
    "{\"model_type\": \"bert\", \"architectures\": [\"BertForTokenClassification\"], \"vocab_size\": 11, "
    "\"hidden_size\": 12,"
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 3, \"intermediate_size\": 20, \"max_position_embeddings\": 8,"
    "\"type_vocab_size\": 2, \"hidden_dropout_prob\": 0.25, \"attention_probs_dropout_prob\": 0.4, "
    "\"classifier_dropout\": 0.15,"
    "\"relearn_random_init\": 3, " LABELS_9 "}";
static const char distilbert_config[] =
    "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForTokenClassification\"], \"vocab_size\": 11, "
    "\"dim\": 12,"
    "\"n_layers\": 2, \"n_heads\": 3, \"hidden_dim\": 20, \"max_position_embeddings\": 8, \"dropout\": 0.25,"
    "\"attention_dropout\": 0.4, \"relearn_random_init\": 3, " LABELS_9 "}";

typedef struct fixture {
    rl_model *model;
    rl_workspace *workspace;
    owned_batch b;
    float *gradients;
    reference r;
} fixture;

static fixture *set_up(bool bert)
{
    static const int32_t ids1[] = {2, 5, 7, 1, 3, 9}, labels1[] = {-100, 0, 5, 6, 1, -100};
    static const int32_t ids2[] = {4}, labels2[] = {8}, ids3[] = {2, 0, 10}, labels3[] = {-100, 3, 0};
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->model = load_text(bert ? bert_config : distilbert_config);
    fill_by_formula(f->model);
    batch_sentence(&f->b, ids1, labels1, 6);
    batch_sentence(&f->b, ids2, labels2, 1);
    batch_sentence(&f->b, ids3, labels3, 3);
    f->workspace = workspace_for(f->model, &f->b, true);
    f->gradients = new_gradients(f->model);
    f->r = (reference){.model = f->model, .names = bert ? &bert_names : &distilbert_names, .batch = &f->b.batch};
    f->r.weights = calloc((size_t)f->model->num_weights, sizeof *f->r.weights);
    for (int64_t i = 0; i < f->model->num_weights; i++) f->r.weights[i] = f->model->weights[i];
    return f;
}

static void tear_down(fixture *f)
{
    rl_workspace_free(f->workspace);
    rl_model_free(f->model);
    free(f->gradients);
    free(f->r.weights);
    free(f);
}

static void check_logits(fixture *f, const rl_model_dropout *dropout)
{
    const float *logits = rl_model_forward(f->model, f->workspace, &f->b.batch, dropout);
    f->r.dropout = dropout;
    reference_loss(&f->r);
    for (int64_t i = 0; i < f->b.batch.num_tokens * 9; i++) assert_close(logits[i], f->r.logits[i], 0, 2e-5);
}

static double slope(reference *r, int64_t at)
{
    double before = r->weights[at], h = 1e-5, up, down;
    r->weights[at] = before + h;
    up = reference_loss(r);
    r->weights[at] = before - h;
    down = reference_loss(r);
    r->weights[at] = before;
    return (up - down) / (2 * h);
}

/* Per tensor: the largest gradient and four spread elements. */
static void check_slopes(fixture *f, const rl_model_dropout *dropout)
{
    rl_model_forward(f->model, f->workspace, &f->b.batch, dropout);
    double loss = rl_model_backward(f->model, f->workspace, &f->b.batch, dropout, f->gradients);
    f->r.dropout = dropout;
    assert_close(loss, reference_loss(&f->r), 2e-6, 0);
    for (int64_t i = 0; i < f->model->num_parameters; i++) {
        const rl_parameter *p = &f->model->parameters[i];
        const float *g = f->gradients + p->offset;
        int64_t best = 0;
        for (int64_t k = 1; k < p->count; k++)
            if (fabsf(g[k]) > fabsf(g[best])) best = k;
        for (int64_t j = 0; j < 5; j++) {
            int64_t at = j == 4 ? best : (p->count * j / 4 + 5 * j) % p->count;
            bool pad_row = strstr(p->name, "word_embeddings") && at / 12 == f->model->config.pad_token_id;
            double expected =
                pad_row ? 0 : slope(&f->r, p->offset + at); /* torch's padding_idx: no gradient by definition */
            assert_close(g[at], expected, 1e-4, 1e-4 * fabsf(g[best]) + 2e-7);
        }
    }
}

static const rl_model_dropout own_rates = {.seed = 42, .step = 17, .override_rate = -1},
                              half = {.seed = 43, .step = 0, .override_rate = 0.5f},
                              zero = {.seed = 42, .step = 17, .override_rate = 0};

static void test_forward_drops_where_the_protocol_says(void **state)
{
    (void)state;
    for (int bert = 0; bert < 2; bert++) {
        fixture *f = set_up(bert);
        check_logits(f, NULL);
        check_logits(f, &own_rates);
        check_logits(f, &half);
        tear_down(f);
    }
}

static void test_backward_is_the_slope_of_forward(void **state)
{
    (void)state;
    for (int bert = 0; bert < 2; bert++) {
        fixture *f = set_up(bert);
        check_slopes(f, NULL);
        check_slopes(f, &own_rates);
        check_slopes(f, &half);
        tear_down(f);
    }
}

static void test_rate_zero_is_eval(void **state)
{
    (void)state;
    for (int bert = 0; bert < 2; bert++) {
        fixture *f = set_up(bert);
        float eval[90], other[90];
        size_t bytes = sizeof *eval * 9 * (size_t)f->b.batch.num_tokens;
        memcpy(eval, rl_model_forward(f->model, f->workspace, &f->b.batch, NULL), bytes);
        memcpy(other, rl_model_forward(f->model, f->workspace, &f->b.batch, &zero), bytes);
        assert_memory_equal(eval, other, bytes);
        memcpy(other, rl_model_forward(f->model, f->workspace, &f->b.batch, &own_rates), bytes);
        assert_memory_not_equal(eval, other, bytes);
        tear_down(f);
    }
}

/* Rates, streams and key as declared; a stream of its own for every dropout; nothing after DistilBERT's out_lin. */
static void test_sites_and_streams(void **state)
{
    static const float rates[] = {0.25f, 0.4f, 0.25f, 0.25f, 0.15f};
    (void)state;
    for (int bert = 0; bert < 2; bert++) {
        fixture *f = set_up(bert);
        uint32_t key[2];
        rl_rng_key(42, RL_PURPOSE_DROPOUT, key);
        for (int site = 0; site < 5; site++) {
            rl_dropout d = rl_dropout_at(f->model, &own_rates, (rl_site)site, 1);
            float rate = !bert && site == RL_SITE_HEAD ? 0.25f : rates[site]; /* DistilBERT's head takes `dropout` */
            if (!bert && site == RL_SITE_ATTENTION_OUTPUT) {
                assert_true(d.p == 0);
                continue;
            }
            assert_true(d.p == rate);
            assert_int_equal(d.stream, 16 + site);
            assert_int_equal(d.step, 17);
            assert_memory_equal(d.key, key, sizeof key);
            assert_true(rl_dropout_at(f->model, NULL, (rl_site)site, 1).p == 0);
            assert_true(rl_dropout_at(f->model, &half, (rl_site)site, 1).p == 0.5f);
        }
        tear_down(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sites_and_streams),
        cmocka_unit_test(test_forward_drops_where_the_protocol_says),
        cmocka_unit_test(test_backward_is_the_slope_of_forward),
        cmocka_unit_test(test_rate_zero_is_eval),
    };
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
