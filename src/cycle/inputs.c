/* inputs.c -- what one process reads once and keeps between stages: tokenizers, encoded corpora, word vectors. */
#include "cycle_internal.h"

#include <string.h>

static void inputs_free(rl_inputs *inputs)
{
    if (!inputs) return;
    rl_free(inputs->key);
    rl_encoded_free(inputs->train_encoded);
    rl_encoded_free(inputs->validation_encoded);
    rl_encoded_free(inputs->test_encoded);
    rl_corpus_free(inputs->train);
    rl_corpus_free(inputs->validation);
    rl_corpus_free(inputs->test);
    rl_tokenizer_free(inputs->tokenizer);
    rl_free(inputs);
}

static void concept_free(rl_concept_inputs *concept)
{
    if (!concept) return;
    rl_free(concept->key);
    rl_concept_data_free(concept->data);
    rl_free(concept->vectors);
    rl_free(concept);
}

rl_status rl_cycle_create(rl_cycle **out, const char *directory, const rl_cycle_hooks *hooks, rl_error *err)
{
    rl_status status = RL_OK;
    rl_cycle *cycle = NULL;
    RL_ALLOC(cycle, 1, err);
    cycle->directory = rl_strdup(directory ? directory : "", err);
    if (!cycle->directory) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if (hooks) cycle->hooks = *hooks;
    *out = cycle;
    return RL_OK;
cleanup:
    rl_cycle_free(cycle);
    return status;
}

void rl_cycle_set_hooks(rl_cycle *cycle, const rl_cycle_hooks *hooks) { cycle->hooks = *hooks; }

void rl_cycle_free(rl_cycle *cycle)
{
    if (!cycle) return;
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        inputs_free(cycle->inputs[i]);
        concept_free(cycle->concepts[i]);
    }
    rl_free(cycle->directory);
    rl_free(cycle);
}

rl_status rl_cycle_read_corpora(rl_corpus **train, rl_corpus **validation, rl_corpus **test,
                                const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *a = NULL, *b = NULL, *c = NULL;
    RL_TRY(rl_conll_read(&a, settings->train_file, NULL, settings->data_limit, err));
    RL_TRY(rl_conll_read(&b, settings->validation_file, a->labels, 0, err));
    if (settings->test_file) RL_TRY(rl_conll_read(&c, settings->test_file, a->labels, 0, err));
    *train = a, *validation = b, *test = c;
    return RL_OK;
cleanup:
    rl_corpus_free(a);
    rl_corpus_free(b);
    rl_corpus_free(c);
    return status;
}

static rl_status load_inputs(rl_inputs **out, const rl_run_settings *settings, const char *key, rl_error *err)
{
    rl_status status = RL_OK;
    rl_inputs *in = NULL;
    RL_ALLOC(in, 1, err);
    in->key = rl_strdup(key, err);
    if (!in->key) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_tokenizer_load(&in->tokenizer, settings->model, err);
    if (status == RL_OK) status = rl_model_sequence_limit(&in->max_length, settings->model, in->tokenizer, err);
    if (status != RL_OK) goto cleanup;
    RL_TRY(rl_cycle_read_corpora(&in->train, &in->validation, &in->test, settings, err));
    RL_TRY(rl_encode_corpus(&in->train_encoded, in->tokenizer, in->train, true, in->max_length, err));
    RL_TRY(rl_encode_corpus(&in->validation_encoded, in->tokenizer, in->validation, true, in->max_length, err));
    if (in->test) RL_TRY(rl_encode_corpus(&in->test_encoded, in->tokenizer, in->test, true, in->max_length, err));
    *out = in;
    return RL_OK;
cleanup:
    inputs_free(in);
    return status;
}

rl_status rl_cycle_inputs(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    char *key = rl_format(err, "%s|%s|%s|%s|%lld", settings->model, settings->train_file, settings->validation_file,
                          settings->test_file ? settings->test_file : "", (long long)settings->data_limit);
    rl_inputs *made = NULL;
    if (!key) return RL_ERR_MEMORY;
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        if (!cycle->inputs[i] || strcmp(cycle->inputs[i]->key, key)) continue;
        *out = cycle->inputs[i];
        goto cleanup;
    }
    RL_TRY(load_inputs(&made, settings, key, err));
    int slot = cycle->next_inputs++ % RL_CYCLE_SLOTS;
    inputs_free(cycle->inputs[slot]);
    cycle->inputs[slot] = made;
    *out = made;
cleanup:
    rl_free(key);
    return status;
}

/* ------------------------------------------------------------------------------------------------ concept */

/* Word vectors need the initial model's embedding table and nothing else of it. */
static rl_status load_vectors(rl_concept_inputs *concept, const rl_inputs *in, const rl_run_settings *settings, rl_error *err)
{
    rl_model *initial = NULL;
    rl_status status = rl_model_load(&initial, settings->model, in->train->labels, (uint64_t)settings->seed, err);
    if (status != RL_OK) return status;
    concept->vector_size = initial->config.hidden_size;
    status = rl_word_vectors_from_model(&concept->vectors, initial, in->tokenizer, concept->data->corpus->words, err);
    rl_model_free(initial);
    return status;
}

static rl_status load_concept(rl_concept_inputs **out, const rl_inputs *in, const rl_run_settings *settings,
                              const char *key, rl_error *err)
{
    rl_status status = RL_OK;
    rl_concept_inputs *concept = NULL;
    RL_ALLOC(concept, 1, err);
    concept->key = rl_strdup(key, err);
    if (!concept->key) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(rl_concept_data_create(&concept->data, settings->concept_tokens, settings->concept_labels,
                                  settings->concept_positives, (size_t)settings->num_concept_positives, in->tokenizer,
                                  in->max_length, settings->protocol, err));
    RL_TRY(load_vectors(concept, in, settings, err));
    *out = concept;
    return RL_OK;
cleanup:
    concept_free(concept);
    return status;
}

rl_status rl_cycle_concept(const rl_concept_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer key = {0};
    const rl_inputs *in = NULL;
    rl_concept_inputs *made = NULL;
    RL_TRY(rl_buffer_printf(&key, err, "%s|%s|%s|%d", settings->model, settings->concept_tokens,
                            settings->concept_labels, (int)settings->protocol));
    for (int64_t i = 0; i < settings->num_concept_positives; i++)
        RL_TRY(rl_buffer_printf(&key, err, "|%s", settings->concept_positives[i]));
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        if (!cycle->concepts[i] || strcmp(cycle->concepts[i]->key, key.data)) continue;
        *out = cycle->concepts[i];
        goto cleanup;
    }
    RL_TRY(rl_cycle_inputs(&in, cycle, settings, err));
    RL_TRY(load_concept(&made, in, settings, key.data, err));
    int slot = cycle->next_concept++ % RL_CYCLE_SLOTS;
    concept_free(cycle->concepts[slot]);
    cycle->concepts[slot] = made;
    *out = made;
cleanup:
    rl_buffer_free(&key);
    return status;
}

/* ------------------------------------------------------------------------------------------------- checks */

rl_status rl_cycle_check_data(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *train = NULL, *validation = NULL, *test = NULL, *concept = NULL;
    uint8_t *positive = NULL;
    (void)cycle;
    RL_TRY(rl_cycle_read_corpora(&train, &validation, &test, settings, err));
    RL_TRY(rl_concept_corpus_read(&concept, settings->concept_tokens, settings->concept_labels, err));
    RL_ALLOC(positive, concept->num_words, err);
    RL_TRY(rl_concept_positive(positive, concept, settings->concept_positives,
                               (size_t)settings->num_concept_positives, err));
cleanup:
    rl_free(positive);
    rl_corpus_free(train);
    rl_corpus_free(validation);
    rl_corpus_free(test);
    rl_corpus_free(concept);
    return status;
}

rl_status rl_cycle_check_model(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_tokenizer *tokenizer = NULL;
    int64_t max_length = 0;
    (void)cycle;
    rl_status status = rl_model_check_folder(settings->model, err);
    if (status == RL_OK) status = rl_tokenizer_load(&tokenizer, settings->model, err);
    if (status == RL_OK) status = rl_model_sequence_limit(&max_length, settings->model, tokenizer, err);
    rl_tokenizer_free(tokenizer);
    return status;
}

rl_status rl_cycle_check_inputs(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = rl_cycle_check_data(cycle, settings, err);
    return status == RL_OK ? rl_cycle_check_model(cycle, settings, err) : status;
}
