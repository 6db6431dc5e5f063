/* synthetic.h -- a small sweep and run results whose every number says where it belongs, so that a misplaced row
 * shows. */
#ifndef RELEARN_TESTS_STORE_SYNTHETIC_H
#define RELEARN_TESTS_STORE_SYNTHETIC_H

#include "store_internal.h"
#include "support.h"

#define MAX_RUNS 12
#define TOP_K    3

typedef struct synthetic_sweep {
    rl_sweep sweep;
    rl_run runs[MAX_RUNS];
    char *axes[5];
    char *values[MAX_RUNS][5];
    char text[MAX_RUNS][5][64];
} synthetic_sweep;

/* Two folders called "mini" of different sizes; the rounds differ; two concepts with overlapping words. */
static inline void make_sweep(synthetic_sweep *s, int num_runs)
{
    static char *axes[] = {"model", "seed", "concept", "prune.ratio", "retrain.rounds"};
    memset(s, 0, sizeof *s);
    memcpy(s->axes, axes, sizeof axes);
    s->sweep = (rl_sweep){.path = "synthetic.yaml",
                          .name = "synthetic",
                          .num_axes = 5,
                          .axes = s->axes,
                          .num_runs = num_runs,
                          .runs = s->runs,
                          .resolved = "sweep: synthetic\ngrid: {seed: 0..9}\n"};
    for (int r = 0; r < num_runs; r++) {
        rl_run *run = &s->runs[r];
        rl_run_settings *settings = &run->settings;
        snprintf(run->id, sizeof run->id, "%012x", 0xabc0 + 7 * r);
        *settings = rl_run_defaults(RL_PROTOCOL_CORRECTED);
        settings->model = r % 3 == 2 ? "/models/b/mini" : "/models/a/mini";
        settings->train_file = "/data/train";
        settings->validation_file = "/data/validation";
        settings->concept.name = r % 2 ? "location" : "name";
        settings->concept.tokens = "/data/tokens";
        settings->concept.labels = "/data/labels";
        settings->concept.positives[0] = "LOC";
        settings->concept.num_positives = 1;
        settings->seed = r / 2;
        settings->retrain_rounds = 1 + r % 2;
        settings->prune.ratio = r % 2 ? 0.1 : 0.5;
        snprintf(s->text[r][0], 64, "%s", settings->model);
        snprintf(s->text[r][1], 64, "%d", (int)settings->seed);
        snprintf(s->text[r][2], 64, "%s", settings->concept.name);
        snprintf(s->text[r][3], 64, "%g", settings->prune.ratio);
        snprintf(s->text[r][4], 64, "%d", (int)settings->retrain_rounds);
        for (int a = 0; a < 5; a++) s->values[r][a] = s->text[r][a];
        run->axis_values = s->values[r];
    }
}

static inline int run_number(const rl_run *run) { return (int)((strtol(run->id, NULL, 16) - 0xabc0) / 7); }
static inline double value_at(int run, int64_t stage, int64_t i)
{
    return run * 1000.0 + (double)stage * 100.0 + (double)i / 7;
}
static inline bool is_small(const rl_run *run) { return strstr(run->settings.model, "/b/") != NULL; }
static inline int64_t num_layers_of(const rl_run *run) { return is_small(run) ? 2 : 3; }
static inline int64_t hidden_size_of(const rl_run *run) { return is_small(run) ? 5 : 8; }
static inline int64_t num_steps_of(int run, int64_t stage) { return stage == 1 ? 0 : 4 + run % 3; }
static inline const char *const *words_of(const rl_run *run, int64_t *count)
{
    static const char *const location[] = {"Paris", "the", "Z\xc3\xbcrich", "of"}, *const name[] = {"the", "Anna",
                                                                                                    "Paris"};
    bool is_location = !strcmp(run->settings.concept.name, "location");
    *count = is_location ? 4 : 3;
    return is_location ? location : name;
}

static inline void fill_table(rl_neuron_table *t, int run, int64_t stage, int64_t num_words)
{
    for (int64_t n = 0; n < t->num_neurons; n++) {
        double v = value_at(run, stage, n);
        t->score[n] = v;
        t->rank[n] = (int32_t)((n + run) % t->num_neurons);
        t->saliency[n] = n % 5 ? v / 3 : NAN;
        t->similarity[n] = -v;
        t->mean_difference[n] = (float)(v / 9);
        t->effect_size[n] = (float)(v / 11);
        t->sd[n] = (float)(v / 13);
        t->null[n] = n % 5 == 0;
        for (int64_t j = 0; j < t->top_k; j++) {
            t->top_word[n * t->top_k + j] = j < 2 ? (int32_t)((n + run + j) % num_words) : -1;
            t->top_score[n * t->top_k + j] = j < 2 ? v / (double)(j + 1) : 0;
        }
    }
}

static inline void *grown(size_t n, size_t size)
{
    void *memory = rl_calloc(n, size, NULL);
    if (!memory) abort();
    return memory;
}
#define GROW(pointer, n) ((pointer) = grown((size_t)(n), sizeof *(pointer)))

static inline rl_neuron_table *make_table(const rl_run *run)
{
    rl_neuron_table *t;
    GROW(t, 1);
    t->num_layers_plus_1 = num_layers_of(run);
    t->hidden_size = hidden_size_of(run);
    t->num_neurons = t->num_layers_plus_1 * t->hidden_size;
    t->top_k = TOP_K;
    GROW(t->score, t->num_neurons);
    GROW(t->rank, t->num_neurons);
    GROW(t->saliency, t->num_neurons);
    GROW(t->similarity, t->num_neurons);
    GROW(t->mean_difference, t->num_neurons);
    GROW(t->effect_size, t->num_neurons);
    GROW(t->sd, t->num_neurons);
    GROW(t->null, t->num_neurons);
    GROW(t->top_word, t->num_neurons * TOP_K);
    GROW(t->top_score, t->num_neurons * TOP_K);
    return t;
}

static inline rl_score make_score(double base)
{
    return (rl_score){.precision = base + 0.1,
                      .recall = base + 0.2,
                      .f1 = base + 0.3,
                      .support = (int64_t)base + 4,
                      .predicted = (int64_t)base + 5,
                      .correct = (int64_t)base + 6};
}

static inline void make_stage(rl_stage_result *stage, const rl_run *run, int64_t s, int64_t num_words)
{
    static const char *const types[] = {"LOC", "PER", "MISC"};
    int r = run_number(run);
    double base = value_at(r, s, 0);
    rl_stage_label(stage->name, s);
    snprintf(stage->model_key, sizeof stage->model_key, "%032x", r * 16 + (int)s);
    stage->word = make_score(base);
    stage->subword = make_score(base + 10);
    stage->test_word = make_score(base + 20);
    stage->test_subword = make_score(base + 30);
    stage->accuracy = base + 0.5;
    stage->loss = base + 0.6;
    stage->test_accuracy = NAN;
    stage->num_types = s == 0 ? 2 : 3; /* later stages predict a type that the first did not */
    GROW(stage->types, stage->num_types);
    GROW(stage->by_type, stage->num_types);
    for (int32_t t = 0; t < stage->num_types; t++) {
        stage->types[t] = rl_strdup(types[t], NULL);
        stage->by_type[t] = make_score(base + t);
    }
    stage->neurons = make_table(run);
    fill_table(stage->neurons, r, s, num_words);
    stage->log.num_steps = stage->log.capacity = num_steps_of(r, s);
    GROW(stage->log.steps, stage->log.num_steps);
    for (int64_t i = 0; i < stage->log.num_steps; i++)
        stage->log.steps[i] = (rl_step_record){.step = i + 1,
                                               .loss = value_at(r, s, i),
                                               .grad_norm = value_at(r, s, i) + 0.25,
                                               .learning_rate = 1e-5 * (double)(i + 1),
                                               .seconds = 0.5,
                                               .tokens = 100 + i};
    stage->num_epochs = s == 1 ? 0 : 2;
    GROW(stage->epoch_word_f1, 2);
    GROW(stage->epoch_subword_f1, 2);
    GROW(stage->epoch_loss, 2);
    for (int e = 0; e < 2; e++) {
        stage->epoch_word_f1[e] = base + e;
        stage->epoch_subword_f1[e] = base + e + 0.25;
        stage->epoch_loss[e] = base + e + 0.75;
    }
    stage->seconds = 12.5;
}

static inline rl_run_result *make_result(const rl_run *run)
{
    rl_run_result *result;
    int64_t count;
    const char *const *words = words_of(run, &count);
    GROW(result, 1);
    result->settings = &run->settings;
    result->num_words = count;
    GROW(result->words, result->num_words);
    for (int64_t i = 0; i < result->num_words; i++) result->words[i] = rl_strdup(words[i], NULL);
    result->num_stages = 2 + (int32_t)run->settings.retrain_rounds;
    GROW(result->stages, result->num_stages);
    for (int32_t s = 0; s < result->num_stages; s++) make_stage(&result->stages[s], run, s, result->num_words);
    result->num_pruned = 2 + run_number(run) % 2;
    GROW(result->pruned, result->num_pruned);
    for (int64_t i = 0; i < result->num_pruned; i++) result->pruned[i] = (int32_t)(run_number(run) + 3 * i) % 10;
    return result;
}

/* Every byte of a file; rl_free. */
static inline char *file_bytes(const char *path, size_t *size)
{
    rl_file_view view = {0};
    rl_error err = {0};
    assert_ok(rl_file_view_open(&view, path, &err), err);
    char *bytes = grown(view.size, 1);
    memcpy(bytes, view.data, view.size);
    *size = view.size;
    rl_file_view_close(&view);
    return bytes;
}

/* Ends the edits of a shard that was opened for writing: both checksums are again those that rl_shard_write would give it. */
static inline void close_sealed(hid_t file, const char *path)
{
    char checksum[RL_DIGEST_HEX];
    rl_error err = {0};
    const rl_place place = {file, path};
    size_t size = 0;
    if (rl_h5_checksum(checksum, place, &err) == RL_OK && H5Aexists(file, "checksum") > 0 && H5Adelete(file, "checksum") >= 0)
        rl_h5_put_text(place, "checksum", checksum, &err);
    if (H5Fclose(file) < 0) abort();
    char *bytes = file_bytes(path, &size);
    if (rl_shard_seal(bytes, size, &err) != RL_OK || rl_write_file(path, bytes, size, &err) != RL_OK) abort();
    rl_free(bytes);
}

#endif
