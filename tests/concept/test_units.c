/* The finders inside the blocks: feed-forward units and heads of every family against transformers' activations and
 * scikit-learn, scipy and numpy on them (tools/goldens/units.py); the ablation finder against zeroing every unit by itself.
 *
 * LABELS: unit golden */
#include "concept_support.h"

enum { MOST = 256 };

typedef struct fixture {
    rl_model *model;
    rl_corpus corpus;
    rl_encoded data;
    rl_concept_data concept;
    int64_t start[MOST], words_start[MOST], word[MOST];
    int32_t ids[MOST], word_class[MOST], type[MOST], label[MOST];
} fixture;

static void read_sentences(fixture *f, const json_t *golden)
{
    const json_t *ids = member(golden, "ids"), *words = member(golden, "word");
    int64_t T = 0, W = 0;
    for (size_t s = 0; s < json_array_size(ids); s++) {
        const json_t *row = json_array_get(ids, s), *word = json_array_get(words, s);
        f->start[s] = T;
        f->words_start[s] = W;
        for (size_t i = 0; i < json_array_size(row); i++, T++) {
            f->ids[T] = (int32_t)number_at(row, (int64_t)i);
            f->word[T] = (int64_t)number_at(word, (int64_t)i);
            if (f->word[T] >= W) W = f->word[T] + 1;
        }
        f->data.num_sentences++;
        if ((int64_t)json_array_size(row) > f->data.max_length) f->data.max_length = (int64_t)json_array_size(row);
    }
    assert_true(T < MOST);
    f->start[f->data.num_sentences] = T;
    f->words_start[f->data.num_sentences] = W;
    f->data.num_tokens = T;
    f->data.num_words = W;
}

static void set_up(fixture *f, const char *folder, const json_t *golden)
{
    rl_error err = {0};
    char path[256];
    memset(f, 0, sizeof *f);
    snprintf(path, sizeof path, "golden/model/%s", folder);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_model_load(&f->model, support_file(path), NULL, 0, &err), err);
    read_sentences(f, golden);
    f->data.sentence_start = f->start, f->data.ids = f->ids, f->data.word = f->word;
    for (int64_t w = 0; w < f->data.num_words; w++) {
        f->word_class[w] = (int32_t)number_at(member(golden, "concept"), w);
        f->type[w] = (int32_t)(w % 5);
    }
    f->corpus = (rl_corpus){.num_sentences = f->data.num_sentences, .num_words = f->data.num_words,
                            .sentence_start = f->words_start, .word = f->type, .label = f->label,
                            .labels = f->model->config.labels};
    f->concept = (rl_concept_data){.corpus = &f->corpus, .encoded = &f->data, .word_class = f->word_class, .num_classes = 2,
                                   .positive_class = 1};
}

/* Both sides round activations to float32 at different places, and a score in units of a small spread magnifies that: 5e-5 of the
 * largest score; 5e-4 of the linear probe's, whose 65 words nearly separate, so that its weights react ten times as much. The golden
 * leaves out (null) what shaking the activations by 1e-6 would turn: an average precision or IoU, which are steps, and Gaussians of
 * hardly any spread. */
static void compare(const fixture *f, rl_unit_site site, const json_t *expected)
{
    const char *name;
    json_t *list;
    rl_error err = {0};
    int64_t n = rl_unit_layers(&f->model->config, site) * rl_units_per_layer(&f->model->config, site);
    double *score = calloc((size_t)n, sizeof *score);
    int finders = 0, left_out;
    json_object_foreach((json_t *)expected, name, list)
    {
        rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .seed = 1};
        left_out = 0;
        double largest = 0, tolerance = strcmp(name, "linear_probe") ? 5e-5 : 5e-4;
        assert_ok(rl_rank_method_parse(&settings.method, name, &err), err);
        assert_ok(rl_unit_scores(score, f->model, site, &f->concept, &settings, &err), err);
        assert_int_equal(json_array_size(list), n);
        for (int64_t i = 0; i < n; i++)
            if (!isnan(number_at(list, i))) largest = fmax(largest, fabs(number_at(list, i)));
        assert_true(largest > 0);
        for (int64_t i = 0; i < n; i++) {
            if (isnan(number_at(list, i))) {
                left_out++;
                continue;
            }
            if (fabs(score[i] - number_at(list, i)) > tolerance * largest) print_error("%s, unit %lld\n", name, (long long)i);
            assert_close(score[i], number_at(list, i), 0, tolerance * largest);
        }
        assert_true(left_out <= n / 2); /* a head needs all of its outputs to be steady */
        finders++;
    }
    assert_int_equal(finders, 6);
    free(score);
}

static void test_scores_are_those_of_transformers_activations(void **state)
{
    json_t *root = read_golden("golden/concept/units.json"), *families = member(root, "families"), *golden;
    const char *folder;
    int count = 0;
    (void)state;
    json_object_foreach(families, folder, golden)
    {
        fixture f;
        set_up(&f, folder, golden);
        compare(&f, RL_UNIT_FFN, member(member(golden, "sites"), "ffn"));
        compare(&f, RL_UNIT_HEAD, member(member(golden, "sites"), "head"));
        rl_model_free(f.model);
        count++;
    }
    assert_int_equal(count, 5);
    json_decref(root);
}

/* F1 with one unit masked, by the evaluation that everything else uses. */
static double f1_without(const fixture *f, rl_unit unit)
{
    rl_model_masks *masks = NULL;
    rl_evaluation evaluation = {0};
    rl_error err = {0};
    assert_ok(rl_model_view_masks(&masks, f->model, &unit, 1, &err), err);
    const rl_model view = rl_model_view(f->model, masks);
    assert_ok(rl_evaluate(&evaluation, &view, &f->corpus, &f->data, &err), err);
    double f1 = evaluation.word->overall.f1;
    rl_evaluation_clear(&evaluation);
    rl_model_masks_free(masks);
    return f1;
}

/* The model's own predictions as gold: F1 is 1, and every unit that matters lowers it. */
static void label_by_prediction(fixture *f)
{
    int32_t predicted[MOST];
    rl_error err = {0};
    f->data.labels = calloc(MOST, sizeof *f->data.labels);
    assert_ok(rl_predict(f->model, &f->data, predicted, NULL, &err), err);
    for (int64_t t = f->data.num_tokens - 1; t >= 0; t--) /* a word's tag is its first piece's */
        if (f->word[t] >= 0) f->label[f->word[t]] = predicted[t];
    for (int64_t t = 0; t < f->data.num_tokens; t++) f->data.labels[t] = f->word[t] >= 0 ? predicted[t] : RL_IGNORE_LABEL;
}

static void check_ablation(const char *folder, const json_t *golden, rl_unit_site site)
{
    fixture f;
    rl_error err = {0};
    set_up(&f, folder, golden);
    label_by_prediction(&f);
    const rl_ablation_task task = {.corpus = &f.corpus, .data = &f.data, .evaluations = 1000};
    const rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .method = RL_RANK_ABLATION, .ablation = &task};
    int64_t U = rl_units_per_layer(&f.model->config, site), n = rl_unit_layers(&f.model->config, site) * U;
    double *score = calloc((size_t)n, sizeof *score);
    assert_ok(rl_unit_scores(score, f.model, site, &f.concept, &settings, &err), err);
    for (int64_t i = 0; i < n; i++)
        assert_close(score[i], 1 - f1_without(&f, (rl_unit){site, (int32_t)(i / U), (int32_t)(i % U)}), 0, 1e-12);
    free(score);
    free(f.data.labels);
    rl_model_free(f.model);
}

static void test_ablation_zeroes_the_unit(void **state)
{
    json_t *root = read_golden("golden/concept/units.json"), *families = member(root, "families"), *golden;
    const char *folder;
    (void)state;
    json_object_foreach(families, folder, golden)
    {
        check_ablation(folder, golden, RL_UNIT_FFN);
        check_ablation(folder, golden, RL_UNIT_HEAD);
    }
    json_decref(root);
}

static void test_what_cannot_work_is_said(void **state)
{
    json_t *root = read_golden("golden/concept/units.json");
    fixture f;
    rl_error err = {0};
    double score[MOST * 8];
    (void)state;
    set_up(&f, "bert_f32", member(member(root, "families"), "bert_f32"));
    rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .method = RL_RANK_ABLATION};
    assert_fails(rl_unit_scores(score, f.model, RL_UNIT_FFN, &f.concept, &settings, &err), RL_ERR_INPUT, err, "sentences with labels");
    memset(f.word_class, 0, sizeof f.word_class);
    settings.method = RL_RANK_MEAN_SELECT;
    assert_fails(rl_unit_scores(score, f.model, RL_UNIT_HEAD, &f.concept, &settings, &err), RL_ERR_INPUT, err, "none of the");
    rl_model_free(f.model);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_those_of_transformers_activations),
        cmocka_unit_test(test_ablation_zeroes_the_unit),
        cmocka_unit_test(test_what_cannot_work_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
