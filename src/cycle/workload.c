/* workload.c -- how much work and disk a stage is: the numbers of the cost model. */
#include "cycle_internal.h"

#include <math.h>
#include <unistd.h>

static void measure(double *tokens, double *attention, int64_t *longest, const rl_encoded *encoded)
{
    *tokens = (double)encoded->num_tokens;
    *attention = 0;
    for (int64_t s = 0; s < encoded->num_sentences; s++) {
        double n = (double)(encoded->sentence_start[s + 1] - encoded->sentence_start[s]);
        *attention += n * n;
    }
    if (encoded->max_length > *longest) *longest = encoded->max_length;
}

rl_status rl_cycle_workload(rl_workload *out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_inputs *in = NULL;
    rl_concept_data *concept = NULL;
    rl_workload work = {0};
    RL_TRY(rl_cycle_inputs(&in, cycle, settings, err));
    measure(&work.train_tokens, &work.train_attention, &work.max_length, in->train_encoded);
    work.train_sentences = in->train_encoded->num_sentences;
    measure(&work.validation_tokens, &work.validation_attention, &work.max_length, in->validation_encoded);
    if (in->test_encoded) measure(&work.test_tokens, &work.test_attention, &work.max_length, in->test_encoded);
    RL_TRY(rl_cycle_concept_data(&concept, in, settings, &settings->concept, err));
    measure(&work.concept_tokens, &work.concept_attention, &work.max_length, concept->encoded);
    RL_TRY(rl_model_config_read(&work.config, settings->model, err));
    work.config.num_labels = rl_names_count(in->train->labels);
    *out = work;
cleanup:
    rl_concept_data_free(concept);
    return status;
}

static void estimate(double *tokens, double *attention, int64_t *longest, const rl_corpus *corpus)
{
    const double pieces_per_word = 1.3, specials = 2; /* WordPiece on CoNLL-2003: 1.3 */
    *tokens = *attention = 0;
    for (int64_t s = 0; s < corpus->num_sentences; s++) {
        double n = specials + pieces_per_word * (double)(corpus->sentence_start[s + 1] - corpus->sentence_start[s]);
        *tokens += n;
        *attention += n * n;
        if ((int64_t)n > *longest) *longest = (int64_t)n;
    }
}

static bool has_file(const char *folder, const char *name)
{
    char *path = rl_path_join(folder, name, NULL);
    char target[1]; /* a link that leads nowhere is a download cut short, not one that was never begun */
    bool found = path && (rl_path_exists(path) || readlink(path, target, sizeof target) >= 0);
    rl_free(path);
    return found;
}

/* A tokenizer's file that is a link to nowhere. */
static bool is_cut_short(const char *folder)
{
    static const char *const names[] = {"vocab.txt", "tokenizer.json", "vocab.json", "merges.txt"};
    bool cut = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = rl_path_join(folder, names[i], NULL);
        cut |= path && has_file(folder, names[i]) && !rl_path_exists(path);
        rl_free(path);
    }
    return cut;
}

rl_status rl_cycle_estimate(rl_workload *out, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *train = NULL, *validation = NULL, *test = NULL;
    rl_concept_corpus concept = {0};
    rl_workload work = {0};
    RL_TRY(rl_cycle_check_layers(settings, err));
    if (rl_model_check_folder(settings->model, NULL) == RL_OK || has_file(settings->model, "model.safetensors") || 
        has_file(settings->model, "model.safetensors.index.json") || is_cut_short(settings->model))
        return rl_fail(err, RL_ERR_INPUT, "%s: its weights are there", settings->model);
    RL_TRY(rl_model_config_read(&work.config, settings->model, err));
    RL_TRY(rl_cycle_read_corpora(&train, &validation, &test, settings, err));
    RL_TRY(rl_cycle_concept_corpus(&concept, settings, &settings->concept, err));
    estimate(&work.train_tokens, &work.train_attention, &work.max_length, train);
    work.train_sentences = train->num_sentences;
    estimate(&work.validation_tokens, &work.validation_attention, &work.max_length, validation);
    if (test) estimate(&work.test_tokens, &work.test_attention, &work.max_length, test);
    estimate(&work.concept_tokens, &work.concept_attention, &work.max_length, concept.corpus);
    work.config.num_labels = rl_names_count(train->labels);
    *out = work;
    work.config = (rl_model_config){0};
cleanup:
    rl_model_config_free(&work.config);
    rl_corpus_free(train);
    rl_corpus_free(validation);
    rl_corpus_free(test);
    rl_corpus_free(concept.corpus);
    return status;
}

/* grid_steps: retrain.evaluate_every, each point of which is an evaluation. */
static double training_flops(const rl_workload *work, const rl_run_settings *settings, int64_t epochs, int64_t grid_steps)
{
    double share = (double)epochs; /* epochs' worth of training sentences, fewer when max_steps ends it early */
    double steps_per_epoch = (double)((work->train_sentences + settings->train.batch_size - 1) / settings->train.batch_size);
    if (settings->train.max_steps > 0 && (double)settings->train.max_steps < share * steps_per_epoch)
        share = (double)settings->train.max_steps / steps_per_epoch;
    double train = rl_model_training_flops(&work->config, work->train_tokens, work->train_attention);
    double evaluation = rl_model_training_flops(&work->config, work->validation_tokens, work->validation_attention) / 3.0;
    double on_grid = grid_steps > 0 ? floor(share * steps_per_epoch / (double)grid_steps) : 0;
    return share * (train + evaluation) + on_grid * evaluation;
}

/* The training before an analysis has left the validation scores. */
static bool was_evaluated(const rl_stage *stage)
{
    return stage->kind == RL_STAGE_IDENTIFY ? stage->settings->train.epochs > 0
                                            : stage->round > 0 && stage->settings->retrain_epochs > 0;
}

/* The concept corpus through the model; ablation: half the model for each of 16 evaluations a layer, too. */
static double finder_flops(const rl_workload *work, const rl_run_settings *settings)
{
    double concept = rl_model_training_flops(&work->config, work->concept_tokens, work->concept_attention) / 3.0;
    double validation = rl_model_training_flops(&work->config, work->validation_tokens, work->validation_attention) / 3.0;
    return concept + (settings->rank_method == RL_RANK_ABLATION ? 8.0 * (double)(work->config.num_layers + 1) * validation : 0);
}

double rl_stage_flops(const rl_stage *stage, const rl_workload *work)
{
    const rl_run_settings *settings = stage->settings;
    switch (stage->kind) {
    case RL_STAGE_FINETUNE: return training_flops(work, settings, settings->train.epochs, 0);
    case RL_STAGE_RETRAIN: return training_flops(work, settings, settings->retrain_epochs, settings->evaluate_every);
    case RL_STAGE_PRUNE: return rl_cycle_measures_units(settings) ? finder_flops(work, settings) : 0;
    case RL_STAGE_CAUSAL:
    case RL_STAGE_IDENTIFY:
    case RL_STAGE_ANALYSE: break;
    }
    double validation = rl_model_training_flops(&work->config, work->validation_tokens, work->validation_attention) / 3.0;
    if (stage->kind == RL_STAGE_CAUSAL) return (RL_CAUSAL_DRAWS + 3) * validation;
    double test = rl_model_training_flops(&work->config, work->test_tokens, work->test_attention) / 3.0;
    return (was_evaluated(stage) ? 0 : validation) + test + finder_flops(work, settings);
}

/* Weights of a model with these shapes, in floats: close enough for a disk forecast (biases and norms included). */
static double num_weights(const rl_model_config *c)
{
    double C = (double)c->hidden_size, F = (double)c->intermediate_size;
    double tables = C * (double)(c->vocab_size + c->max_positions + c->type_vocab_size);
    return tables + 2 * C + (double)c->num_layers * (4 * C * C + 2 * C * F + 9 * C + F) + (C + 1) * (double)c->num_labels;
}

double rl_stage_disk_bytes(const rl_stage *stage, const rl_workload *work)
{
    double model = 4.0 * num_weights(&work->config) + 1e6; /* and the tokenizer's files */
    double neurons = (double)((work->config.num_layers + 1) * work->config.hidden_size);
    if (stage->kind == RL_STAGE_CAUSAL) return 8192;
    if (stage->kind == RL_STAGE_IDENTIFY || stage->kind == RL_STAGE_ANALYSE)
        return neurons * (81.0 + 12.0 * (double)stage->settings->top_words) + 8192;
    return model;
}
