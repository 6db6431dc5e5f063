/* Every finder of rank.method against scikit-learn, scipy and NeuroX's formulas on the small BERT's activations, the worked
 * examples of protocol §6.3 and §6.4, names, and what a finder refuses. LABELS: unit golden */
#include "concept_support.h"

/* The small BERT's activations [L+1, W, C] of the words that have sub-words, as tools/goldens/finders.py reads them. */
typedef struct fixture {
    json_t *golden;
    int64_t W, C, num_layers;
    float *X;
    uint8_t *is_concept, *held_out;
    int32_t *type;
} fixture;

static void read_words(fixture *f, const json_t *pieces)
{
    rl_corpus *corpus = NULL;
    rl_error err = {0};
    int64_t kept = 0;
    assert_ok(rl_concept_corpus_read(&corpus, support_file(TINY "/tokens.txt"), support_file(TINY "/labels.txt"), &err), err);
    for (int64_t s = 0; s < corpus->num_sentences; s++)
        for (int64_t w = corpus->sentence_start[s]; w < corpus->sentence_start[s + 1]; w++) {
            if (number_at(pieces, w) == 0) continue;
            f->is_concept[kept] = strcmp(rl_names_get(corpus->labels, corpus->label[w]), "N/A") != 0;
            f->held_out[kept] = s % 5 == 4;
            f->type[kept++] = corpus->word[w];
        }
    assert_int_equal(kept, f->W);
    rl_corpus_free(corpus);
}

static fixture set_up(void)
{
    fixture f = {.golden = read_golden(TINY "/finders.json"), .C = 16, .num_layers = 4};
    json_t *analysis = read_golden(TINY "/analysis.json"), *pieces = member(analysis, "pieces");
    rl_file_view file = {0};
    rl_error err = {0};
    int64_t all = (int64_t)json_array_size(pieces), kept = 0;
    f.W = integer_of(f.golden, "words");
    f.X = calloc((size_t)(f.num_layers * f.W * f.C), sizeof *f.X);
    f.is_concept = calloc((size_t)f.W, 1);
    f.held_out = calloc((size_t)f.W, 1);
    f.type = calloc((size_t)f.W, sizeof *f.type);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_file_view_open(&file, support_file(TINY "/activations.bin"), &err), err);
    for (int64_t l = 0; l < f.num_layers; l++)
        for (int64_t w = 0; w < all; w++)
            if (number_at(pieces, w) > 0)
                memcpy(f.X + f.C * kept++, file.data + (l * all + w) * f.C * 4, (size_t)f.C * sizeof *f.X);
    assert_int_equal(kept, f.num_layers * f.W);
    read_words(&f, pieces);
    rl_file_view_close(&file);
    json_decref(analysis);
    return f;
}

static void tear_down(fixture *f)
{
    json_decref(f->golden);
    free(f->X);
    free(f->is_concept);
    free(f->held_out);
    free(f->type);
}

/* ------------------------------------------------------------------------------------------ against references */

typedef rl_status scorer(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C, rl_error *err);

static rl_status gaussian(double *score, const float *X, const uint8_t *is_concept, int64_t W, int64_t C, rl_error *err)
{
    return rl_gaussian_scores(score, X, is_concept, W, C, 1, err);
}

static void check_scores(const fixture *f, const char *name, scorer *find, double tolerance)
{
    json_t *expected = member(member(f->golden, "scores"), name);
    double score[16];
    rl_error err = {0};
    float *copy = malloc((size_t)(f->W * f->C) * sizeof *copy);
    for (int64_t l = 0; l < f->num_layers; l++) {
        const float *X = f->X + l * f->W * f->C;
        memcpy(copy, X, (size_t)(f->W * f->C) * sizeof *copy);
        assert_ok(find(score, X, f->is_concept, f->W, f->C, &err), err);
        assert_memory_equal(copy, X, (size_t)(f->W * f->C) * sizeof *copy); /* NeuroX zeroes small values in place */
        for (int64_t c = 0; c < f->C; c++) assert_close(score[c], number_at(expected, l * f->C + c), tolerance, tolerance);
    }
    free(copy);
}

/* Same formulas in double: what differs is the order of sums. */
static void test_scores(void **state)
{
    fixture f = set_up();
    (void)state;
    check_scores(&f, "average_precision", rl_average_precision_scores, 1e-12);
    check_scores(&f, "iou", rl_iou_scores, 1e-12);
    check_scores(&f, "gaussian", gaussian, 1e-10);
    tear_down(&f);
}

/* Both stop at the same minimum: ours within 1e-8 of optimality over lambda2 = 2e-3, so weights agree to 1e-5. */
static void test_linear_probe(void **state)
{
    fixture f = set_up();
    rl_probe_settings settings = {.lambda1 = 1e-3, .lambda2 = 2e-3, .seed = 1, .control = true};
    rl_probe_result result, again;
    double weight[16], repeated[16];
    rl_error err = {0};
    (void)state;
    for (int64_t l = 0; l < f.num_layers; l++) {
        json_t *expected = json_array_get(member(f.golden, "probe"), (size_t)l);
        const float *X = f.X + l * f.W * f.C;
        assert_ok(rl_linear_probe(weight, &result, X, f.is_concept, f.held_out, f.type, f.W, f.C, &settings, &err), err);
        for (int64_t c = 0; c < f.C; c++) assert_close(weight[c], number_at(member(expected, "weight"), c), 0, 1e-5);
        assert_close(result.intercept, json_real_value(member(expected, "intercept")), 0, 1e-5);
        assert_close(result.accuracy, json_real_value(member(expected, "accuracy")), 0, 1e-12);
        assert_true(result.residual <= 1e-8 && result.iterations > 1 && result.iterations < 30);
        assert_true(result.control_accuracy >= 0 && result.control_accuracy <= 1);
        assert_ok(rl_linear_probe(repeated, &again, X, f.is_concept, f.held_out, f.type, f.W, f.C, &settings, &err), err);
        assert_memory_equal(weight, repeated, sizeof weight);
        assert_memory_equal(&result, &again, sizeof result);
    }
    tear_down(&f);
}

/* ---------------------------------------------------------------------------------------------- worked examples */

static void test_average_precision_by_hand(void **state) /* protocol §6.3 */
{
    static const float X[] = {.9f,  .01f, -.5f, .8f, .2f, .04f, .7f,   -.2f, .3f,
                              .04f, .2f,  .3f,  .03f, .1f, -.9f, -.6f, 0,    .1f};
    static const uint8_t y[] = {1, 0, 1, 1, 0, 0};
    double score[3];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_average_precision_scores(score, X, y, 6, 3, &err), err);
    assert_close(score[0], .755556, 1e-5, 0);
    assert_close(score[1], .466667, 1e-5, 0);
    assert_close(score[2], .866667, 1e-5, 0);
}

static void test_gaussian_by_hand(void **state) /* protocol §6.4: the fit is of three neurons together, d = 3 */
{
    static const float X[] = {1,   .2f, -.5f, 1.5f,  -.1f, .3f,  .8f,  .4f, .1f, -1,  .3f,
                              .2f, -1.2f, -.4f, -.6f, -.7f, .1f,  .9f, .1f, -.2f, .05f};
    static const uint8_t y[] = {1, 1, 1, 0, 0, 0, 0};
    double score[3];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_gaussian_scores(score, X, y, 7, 3, 3, &err), err);
    assert_close(score[0], .985223, 2e-6, 0);
    assert_close(score[1], -.159909, 5e-6, 0);
    assert_close(score[2], .0325428, 2e-5, 0);
}

/* Three concept words of six. Unit 0 is highest on them: 1. Unit 1 lowest: 1 too, by its other sign. Unit 2: {9, 8} of its top
 * three are concept's: 2 / (3 + 3 - 2). Unit 3 is constant. Unit 4: three words tie behind the first, so one is active. */
static void test_iou_by_hand(void **state)
{
    static const float X[] = {9, -9, 9, 1, 5, 8, -8, 8, 1, 2, 7, -7, 1, 1, 2, 1, -1, 7, 1, 2, 2, -2, 2, 1, 2, 3, -3, 3, 1, 2};
    static const uint8_t y[] = {1, 1, 1, 0, 0, 0};
    static const double expected[] = {1, 1, .5, 0, 1 / 3.0};
    double score[5];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_iou_scores(score, X, y, 6, 5, &err), err);
    for (int c = 0; c < 5; c++) assert_close(score[c], expected[c], 1e-14, 0);
}

/* ------------------------------------------------------------------------------------------------ special neurons */

/* A neuron that never changes, and one pruned to a constant whose average over sub-words differs in its last bit. */
static void test_constant_neurons_know_nothing(void **state)
{
    fixture f = set_up();
    rl_probe_settings settings = rl_probe_defaults();
    rl_probe_result result;
    double weight[16], mutual[16], overlap[16];
    rl_error err = {0};
    (void)state;
    for (int64_t w = 0; w < f.W; w++) {
        f.X[w * f.C + 3] = 0.25f;
        f.X[w * f.C + 5] = f.is_concept[w] ? 0.3f : nextafterf(0.3f, 1);
    }
    assert_ok(rl_linear_probe(weight, &result, f.X, f.is_concept, NULL, f.type, f.W, f.C, &settings, &err), err);
    assert_ok(rl_gaussian_scores(mutual, f.X, f.is_concept, f.W, f.C, 1, &err), err);
    assert_ok(rl_iou_scores(overlap, f.X, f.is_concept, f.W, f.C, &err), err);
    assert_true(isnan(result.accuracy)); /* nothing was held out */
    for (int c = 3; c <= 5; c += 2) {
        assert_same(weight[c], 0);
        assert_same(mutual[c], 0);
        assert_same(overlap[c], 0);
    }
    assert_true(weight[4] != 0 && mutual[4] != 0 && overlap[4] > 0);
    tear_down(&f);
}

/* Bits of a neuron that is 2 at half of its words, the concept's, and x[20] at the others: the variance of the constant class is 1e-9 of
 * the neuron's whole variance. */
static double bits_of_a_spike(const double *x)
{
    double all = 0, rest = 0, squares = 0, whole = 0, surprise = 0;
    for (int i = 0; i < 20; i++) rest += x[i] / 20, all += (x[i] + 2) / 40;
    for (int i = 0; i < 20; i++) squares += (x[i] - rest) * (x[i] - rest), whole += ((x[i] - all) * (x[i] - all) + (2 - all) * (2 - all)) / 40;
    double wide = (squares / 19 + squares) / 26, narrow = 1e-9 * whole;
    for (int i = 0; i < 40; i++) {
        double v = i < 20 ? x[i] : 2, of_rest = exp(-(v - rest) * (v - rest) / wide / 2) / sqrt(wide);
        double of_concept = exp(-(v - 2) * (v - 2) / narrow / 2) / sqrt(narrow);
        surprise -= log((i < 20 ? of_rest : of_concept) / (of_rest + of_concept)) / 40;
    }
    return 1 - surprise / log(2);
}

/* Constant over the concept's words only: finite, and near the most a neuron can tell. Where the others come near that constant, the width
 * of the spike decides. */
static void test_a_neuron_constant_in_one_class(void **state)
{
    float X[40];
    uint8_t y[40];
    double score, entropy = 1, near[20];
    rl_error err = {0};
    (void)state;
    for (int i = 0; i < 40; i++) {
        y[i] = i >= 20;
        X[i] = y[i] ? 2.0f : 2.0f + (float)(i - 10) / 65536; /* exact in float32; one of them is 2 */
        if (!y[i]) near[i] = (double)X[i];
    }
    near[0] = X[0] = 1.5f;
    assert_ok(rl_gaussian_scores(&score, X, y, 40, 1, 1, &err), err);
    assert_close(score, bits_of_a_spike(near), 1e-9, 0);
    for (int i = 0; i < 40; i++) y[i] = i % 2 == 0, X[i] = y[i] ? 2.0f : (float)(i % 7) * 0.1f;
    assert_ok(rl_gaussian_scores(&score, X, y, 40, 1, 1, &err), err);
    assert_close(score, entropy, 1e-6, 0);
}

static void test_weight_mass_by_hand(void **state)
{
    static const double weight[] = {-4, 0, 1, 3, -1, 0}, none[] = {0, 0, 0};
    static const double expected[] = {1, 0, 2.0 / 9, 5.0 / 9, 2.0 / 9, 0}; /* equal sizes are taken together */
    double score[6];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_weight_mass(score, weight, 6, &err), err);
    for (int c = 0; c < 6; c++) assert_same(score[c], expected[c]);
    assert_ok(rl_weight_mass(score, none, 3, &err), err);
    for (int c = 0; c < 3; c++) assert_same(score[c], 0);
}

/* A probe with ten times the weights is no probe of a more important layer. */
static void test_weight_mass_has_no_scale(void **state)
{
    static const double narrow[] = {0.5, -0.25, 0.125}, wide[] = {5, -2.5, 1.25};
    double a[3], b[3];
    rl_error err = {0};
    (void)state;
    assert_ok(rl_weight_mass(a, narrow, 3, &err), err);
    assert_ok(rl_weight_mass(b, wide, 3, &err), err);
    assert_memory_equal(a, b, sizeof a);
}

static void test_a_large_penalty_leaves_only_the_intercept(void **state)
{
    fixture f = set_up();
    rl_probe_settings settings = {.lambda1 = 10, .lambda2 = 1e-3};
    rl_probe_result result;
    double weight[16], share = (double)integer_of(f.golden, "concept") / (double)f.W;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_linear_probe(weight, &result, f.X, f.is_concept, NULL, f.type, f.W, f.C, &settings, &err), err);
    for (int64_t c = 0; c < f.C; c++) assert_same(weight[c], 0);
    assert_close(result.intercept, log(share / (1 - share)), 1e-6, 0);
    tear_down(&f);
}

/* ------------------------------------------------------------------------------------------------ refusals */

static void test_names(void **state)
{
    rl_rank_method method = RL_RANK_RANDOM;
    rl_error err = {0};
    (void)state;
    for (int m = 0; m < RL_NUM_RANK_METHODS; m++) {
        assert_ok(rl_rank_method_parse(&method, rl_rank_method_names[m], &err), err);
        assert_int_equal(method, m);
    }
    assert_null(rl_rank_method_names[RL_NUM_RANK_METHODS]);
    assert_fails(rl_rank_method_parse(&method, "gausian", &err), RL_ERR_INPUT, err,
                 "unknown rank method 'gausian'; expected one of probeless, linear_probe, average_precision, iou, gaussian, "
                 "mean_select, ablation, random; did you mean 'gaussian'?");
    assert_int_equal(method, RL_RANK_RANDOM);
}

static void test_one_class_is_refused(void **state)
{
    static const float X[] = {1, 2, 3, 4};
    static const uint8_t none[4] = {0}, every[] = {1, 1, 1, 1}, one[] = {1, 0, 0, 0};
    static const int32_t type[4] = {0};
    rl_probe_settings settings = rl_probe_defaults();
    rl_probe_result result;
    double score = 7;
    rl_error err = {0};
    (void)state;
    assert_fails(rl_iou_scores(&score, X, none, 4, 1, &err), RL_ERR_INPUT, err, "none of the 4 words is of the concept");
    assert_fails(rl_average_precision_scores(&score, X, every, 4, 1, &err), RL_ERR_INPUT, err, "every one of the 4 words");
    assert_fails(rl_gaussian_scores(&score, X, one, 4, 1, 1, &err), RL_ERR_INPUT, err,
                 "singular variance: 1 words of the concept and 3 others");
    assert_fails(rl_linear_probe(&score, &result, X, none, NULL, type, 4, 1, &settings, &err), RL_ERR_INPUT, err,
                 "none of the 4 words the linear probe trains on");
    assert_fails(rl_linear_probe(&score, &result, X, one, one, type, 4, 1, &settings, &err), RL_ERR_INPUT, err,
                 "none of the 3 words");
    assert_same(score, 7);
}

static void test_activations_that_are_not_finite(void **state)
{
    float X[] = {1, 2, 3, 4, 5, 6, 7, INFINITY};
    static const uint8_t y[] = {1, 0, 1, 0};
    static const int32_t type[4] = {0};
    rl_probe_settings settings = rl_probe_defaults();
    rl_probe_result result;
    double score[2];
    rl_error err = {0};
    (void)state;
    for (int i = 0; i < 2; i++, X[7] = NAN) {
        assert_fails(rl_iou_scores(score, X, y, 4, 2, &err), RL_ERR_DIVERGED, err, "unit 1 is not finite");
        assert_fails(rl_gaussian_scores(score, X, y, 4, 2, 1, &err), RL_ERR_DIVERGED, err, "unit 1");
        assert_fails(rl_linear_probe(score, &result, X, y, NULL, type, 4, 2, &settings, &err), RL_ERR_DIVERGED, err, "unit 1");
    }
}

/* ------------------------------------------------------------------------------------- through the analysis */

/* Our own activations differ from PyTorch's by float32's rounding, so scores do by about 1e-5. */
static void check_method(const small *s, const json_t *golden, rl_rank_method method, double tolerance)
{
    const rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .top_words = 5, .method = method};
    json_t *expected = member(member(golden, "scores"), rl_rank_method_names[method]);
    rl_neuron_table *t = NULL;
    rl_error err = {0};
    assert_ok(rl_analyse_neurons(&t, s->model, s->data, &settings, NULL, NULL, 0, &err), err);
    assert_int_equal(t->method, method);
    for (int64_t n = 0; n < t->num_neurons; n++) {
        assert_close(t->score[n], number_at(expected, n), tolerance, tolerance);
        assert_true(isnan(t->spearman[method]) && isnan(t->overlap[method]));
    }
    for (int64_t l = 0; l < 4; l++) assert_true(isnan(t->probe_accuracy[l]));
    rl_neuron_table_free(t);
}

static void test_streamed(void **state)
{
    small s = load_small();
    json_t *golden = read_golden(TINY "/finders.json");
    (void)state;
    check_method(&s, golden, RL_RANK_MEAN_SELECT, 2e-5);
    check_method(&s, golden, RL_RANK_GAUSSIAN, 2e-5);
    check_method(&s, golden, RL_RANK_AVERAGE_PRECISION, 2e-5);
    json_decref(golden);
    free_small(&s);
}

/* NeuroX's get_neuron_ordering on the reference weights of each layer: how much of the layer's weight mass is not yet taken
 * when the neuron's turn comes. Accuracies of each layer are kept. */
static void test_streamed_linear_probe(void **state)
{
    small s = load_small();
    const rl_analysis_settings settings = {.top_words = 5, .method = RL_RANK_LINEAR_PROBE, .lambda1 = 1e-3, .lambda2 = 2e-3};
    json_t *golden = read_golden(TINY "/finders.json");
    rl_neuron_table *t = NULL;
    int zero = 0;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_analyse_neurons(&t, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    for (int64_t n = 0; n < t->num_neurons; n++) {
        json_t *probe = json_array_get(member(golden, "probe"), (size_t)(n / 16));
        if (number_at(member(probe, "weight"), n % 16) == 0) {
            assert_close(t->score[n], -1 / (1 + fabs((double)t->effect_size[n])), 1e-6, 0);
            zero++;
        } else {
            assert_close(t->score[n], 1 - number_at(member(probe, "mass_before"), n % 16), 1e-3, 1e-5);
        }
    }
    assert_true(zero > 2);
    for (int64_t l = 0; l < 4; l++) {
        json_t *expected = member(json_array_get(member(golden, "probe"), (size_t)l), "accuracy");
        assert_close(t->probe_accuracy[l], json_real_value(expected), 0, 1e-12);
        assert_true(t->control_accuracy[l] > 0.5);
    }
    rl_neuron_table_free(t);
    json_decref(golden);
    free_small(&s);
}

/* One pass, two finders: the agreement is that of two separate tables. */
static void test_agreement_in_one_pass(void **state)
{
    small s = load_small();
    rl_analysis_settings settings = {.top_words = 5, .method = RL_RANK_GAUSSIAN, .overlap_k = 7};
    rl_neuron_table *a = NULL, *b = NULL;
    rl_error err = {0};
    (void)state;
    settings.compare = 1u << RL_RANK_MEAN_SELECT | 1u << RL_RANK_GAUSSIAN | 1u << RL_RANK_ABLATION | 1u << RL_RANK_RANDOM;
    assert_ok(rl_analyse_neurons(&a, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    settings.compare = 0;
    settings.method = RL_RANK_MEAN_SELECT;
    assert_ok(rl_analyse_neurons(&b, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    assert_same(a->spearman[RL_RANK_MEAN_SELECT], rl_rank_correlation(a->rank, b->rank, a->num_neurons));
    assert_same(a->overlap[RL_RANK_MEAN_SELECT], rl_rank_overlap(a->rank, b->rank, a->num_neurons, 7));
    assert_true(a->spearman[RL_RANK_MEAN_SELECT] > fabs(a->spearman[RL_RANK_RANDOM]));
    assert_true(isnan(a->spearman[RL_RANK_GAUSSIAN]) && isnan(a->spearman[RL_RANK_ABLATION]));
    assert_int_equal(a->overlap_k, 7);
    rl_neuron_table_free(a);
    rl_neuron_table_free(b);
    free_small(&s);
}

/* The overlap that results.h5 keeps is of the top hundredth: 3 of the 4 x 80 neurons of a wider model. */
static void test_overlap_is_of_the_top_hundredth(void **state)
{
    char path[4200];
    small s = load_small();
    rl_analysis_settings settings = {.top_words = 5, .method = RL_RANK_GAUSSIAN, .compare = 1u << RL_RANK_MEAN_SELECT};
    rl_model *wider = NULL;
    rl_neuron_table *t = NULL;
    rl_error err = {0};
    (void)state;
    snprintf(path, sizeof path, "%s/config.json", support_temporary_folder());
    support_write(path, "{\"model_type\":\"bert\",\"architectures\":[\"BertForTokenClassification\"],\"vocab_size\":266,\"hidden_size\":80,"
                        "\"num_hidden_layers\":3,\"num_attention_heads\":2,\"intermediate_size\":24,\"max_position_embeddings\":64,"
                        "\"type_vocab_size\":2,\"hidden_act\":\"gelu\",\"layer_norm_eps\":1e-12,\"initializer_range\":0.2,\"pad_token_id\":0,"
                        "\"relearn_random_init\":3,\"id2label\":{\"0\":\"O\",\"1\":\"B-LOC\"}}");
    assert_ok(rl_model_load(&wider, support_temporary_folder(), NULL, 0, &err), err);
    assert_ok(rl_analyse_neurons(&t, wider, s.data, &settings, NULL, NULL, 0, &err), err);
    assert_int_equal(t->num_neurons, 320);
    assert_int_equal(t->overlap_k, 3);
    double thirds = 3 * t->overlap[RL_RANK_MEAN_SELECT];
    assert_close(thirds, round(thirds), 0, 1e-12);
    rl_neuron_table_free(t);
    rl_model_free(wider);
    free_small(&s);
}

static void test_random_is_the_seeds(void **state)
{
    small s = load_small();
    rl_analysis_settings settings = {.top_words = 5, .method = RL_RANK_RANDOM, .seed = 3};
    rl_neuron_table *a = NULL, *b = NULL, *c = NULL;
    rl_error err = {0};
    (void)state;
    assert_ok(rl_analyse_neurons(&a, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    assert_ok(rl_analyse_neurons(&b, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    settings.seed = 4;
    assert_ok(rl_analyse_neurons(&c, s.model, s.data, &settings, NULL, NULL, 0, &err), err);
    assert_memory_equal(a->score, b->score, (size_t)a->num_neurons * sizeof *a->score);
    assert_memory_not_equal(a->rank, c->rank, (size_t)a->num_neurons * sizeof *a->rank);
    for (int64_t n = 0; n < a->num_neurons; n++) assert_true(a->score[n] > 0 && a->score[n] < 1);
    rl_neuron_table_free(a);
    rl_neuron_table_free(b);
    rl_neuron_table_free(c);
    free_small(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_linear_probe),
        cmocka_unit_test(test_average_precision_by_hand),
        cmocka_unit_test(test_gaussian_by_hand),
        cmocka_unit_test(test_iou_by_hand),
        cmocka_unit_test(test_constant_neurons_know_nothing),
        cmocka_unit_test(test_a_neuron_constant_in_one_class),
        cmocka_unit_test(test_a_large_penalty_leaves_only_the_intercept),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_one_class_is_refused),
        cmocka_unit_test(test_activations_that_are_not_finite),
        cmocka_unit_test(test_streamed),
        cmocka_unit_test(test_weight_mass_by_hand),
        cmocka_unit_test(test_weight_mass_has_no_scale),
        cmocka_unit_test(test_streamed_linear_probe),
        cmocka_unit_test(test_agreement_in_one_pass),
        cmocka_unit_test(test_overlap_is_of_the_top_hundredth),
        cmocka_unit_test(test_random_is_the_seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
