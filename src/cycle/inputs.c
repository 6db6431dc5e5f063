/* inputs.c -- what one process reads once and keeps between stages: tokenizers, encoded corpora, word vectors. */
#include "contents.h"
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
    rl_cycle_set_start(cycle, "");
    *out = cycle;
    return RL_OK;
cleanup:
    rl_cycle_free(cycle);
    return status;
}

void rl_cycle_set_hooks(rl_cycle *cycle, const rl_cycle_hooks *hooks) { cycle->hooks = *hooks; }
void rl_cycle_set_group(rl_cycle *cycle, const rl_cycle_group *group) { cycle->group = group ? *group : (rl_cycle_group){0}; }

void rl_cycle_keep_contents(rl_cycle *cycle, rl_contents *contents)
{
    rl_contents_free(cycle->contents);
    cycle->contents = contents;
}

rl_status rl_cycle_check_unchanged(const rl_cycle *cycle, const char *const *paths, size_t count, rl_error *err)
{
    rl_status status = RL_OK;
    for (size_t i = 0; i < count && status == RL_OK; i++) status = rl_contents_check(cycle->contents, paths[i], err);
    return status;
}

void rl_cycle_free(rl_cycle *cycle)
{
    if (!cycle) return;
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        inputs_free(cycle->inputs[i]);
        concept_free(cycle->concepts[i]);
        rl_free(cycle->bases[i].key);
        rl_word_states_free(cycle->bases[i].states);
    }
    rl_contents_free(cycle->contents);
    rl_names_free(cycle->vectors_checked);
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

static rl_status load_inputs(rl_inputs **out, const rl_run_settings *settings, bool without, const char *key, rl_error *err)
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
    if (without) RL_TRY(rl_cycle_drop_concept(in->train, &settings->concept, err));
    RL_TRY(rl_encode_corpus(&in->train_encoded, in->tokenizer, in->train, true, in->max_length, err));
    RL_TRY(rl_encode_corpus(&in->validation_encoded, in->tokenizer, in->validation, true, in->max_length, err));
    if (in->test) RL_TRY(rl_encode_corpus(&in->test_encoded, in->tokenizer, in->test, true, in->max_length, err));
    *out = in;
    return RL_OK;
cleanup:
    inputs_free(in);
    return status;
}

/* After reading: a change in between shows too. */
static rl_status check_inputs(const rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    const char *const paths[] = {settings->model, settings->train_file, settings->validation_file, settings->test_file};
    return rl_cycle_check_unchanged(cycle, paths, sizeof paths / sizeof *paths, err);
}

static rl_status check_concept_files(const rl_cycle *cycle, const rl_run_settings *settings, const rl_concept_settings *concept, rl_error *err)
{
    const char *const paths[] = {settings->model, settings->train_file, concept->tokens, concept->labels, concept->in, concept->words_file,
                                 settings->similarity_vectors};
    return rl_cycle_check_unchanged(cycle, paths, sizeof paths / sizeof *paths, err);
}

static rl_status find_inputs(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, bool without, rl_error *err)
{
    rl_status status = RL_OK;
    char *key = rl_format(err, "%s|%s|%s|%s|%lld|%s", settings->model, settings->train_file, settings->validation_file,
                          settings->test_file ? settings->test_file : "", (long long)settings->data_limit,
                          without ? settings->concept.name : "");
    rl_inputs *made = NULL;
    if (!key) return RL_ERR_MEMORY;
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        if (!cycle->inputs[i] || strcmp(cycle->inputs[i]->key, key)) continue;
        *out = cycle->inputs[i];
        goto cleanup;
    }
    RL_TRY(load_inputs(&made, settings, without, key, err));
    RL_TRY(check_inputs(cycle, settings, err));
    if (without) RL_TRY(check_concept_files(cycle, settings, &settings->concept, err));
    int slot = cycle->next_inputs++ % RL_CYCLE_SLOTS;
    inputs_free(cycle->inputs[slot]);
    *out = cycle->inputs[slot] = made;
    made = NULL;
cleanup:
    inputs_free(made);
    rl_free(key);
    return status;
}

rl_status rl_cycle_inputs(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    return find_inputs(out, cycle, settings, false, err);
}

rl_status rl_cycle_inputs_without(const rl_inputs **out, rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    return find_inputs(out, cycle, settings, true, err);
}

/* ------------------------------------------------------------------------------------------------ concept */

rl_status rl_cycle_concept_data(rl_concept_data **out, const rl_inputs *in, const rl_run_settings *settings,
                                const rl_concept_settings *concept, rl_error *err)
{
    rl_concept_corpus read = {0};
    rl_status status = rl_cycle_concept_corpus(&read, settings, concept, err);
    if (status != RL_OK) return status;
    return rl_concept_data_from_corpus(out, read.corpus, read.positives, read.num_positives, in->tokenizer, in->max_length,
                                       settings->protocol, err);
}

/* Where a word vector file is given (protocol §10: corrected looks words up in lower case). A file that knows none of the
 * words is another language's or another case's: every similarity would be 0. */
static rl_status load_vector_file(float **vectors, int64_t *vector_size, double *share, const rl_run_settings *settings,
                                  const rl_names *words, rl_error *err)
{
    int64_t unknown = 0, count = rl_names_count(words);
    float *made = NULL;
    rl_status status = rl_word_vectors_from_file(&made, vector_size, &unknown, settings->similarity_vectors, words,
                                                 settings->protocol == RL_PROTOCOL_CORRECTED, err);
    if (status == RL_OK && unknown == count)
        status = rl_fail(err, RL_ERR_INPUT, "%s: it has a vector for none of the %lld words of the concept's corpus",
                         settings->similarity_vectors, (long long)count);
    if (status != RL_OK) {
        rl_free(made);
        return status;
    }
    *vectors = made;
    *share = 1 - (double)unknown / (double)count;
    return RL_OK;
}

/* Word vectors need the initial model's embedding table and nothing else of it. */
static rl_status load_vectors(rl_concept_inputs *concept, const rl_inputs *in, const rl_run_settings *settings, rl_error *err)
{
    rl_model *initial = NULL;
    const rl_names *words = concept->data->corpus->words;
    if (settings->similarity_vectors)
        return load_vector_file(&concept->vectors, &concept->vector_size, &concept->vector_share, settings, words, err);
    rl_status status = rl_model_load(&initial, settings->model, in->train->labels, (uint64_t)settings->seed, err);
    if (status != RL_OK) return status;
    concept->vector_size = initial->config.hidden_size;
    concept->vector_share = 1;
    status = rl_word_vectors_from_model(&concept->vectors, initial, in->tokenizer, words, err);
    rl_model_free(initial);
    return status;
}

static rl_status load_concept(rl_concept_inputs **out, const rl_inputs *in, const rl_run_settings *settings,
                              const rl_concept_settings *concept, const char *key, rl_error *err)
{
    rl_status status = RL_OK;
    rl_concept_inputs *made = NULL;
    RL_ALLOC(made, 1, err);
    made->key = rl_strdup(key, err);
    if (!made->key) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(rl_cycle_concept_data(&made->data, in, settings, concept, err));
    RL_TRY(load_vectors(made, in, settings, err));
    *out = made;
    return RL_OK;
cleanup:
    concept_free(made);
    return status;
}

/* A sweep has one concept of a name; what it is made from beyond that are the settings here. */
rl_status rl_cycle_concept(const rl_concept_inputs **out, rl_cycle *cycle, const rl_run_settings *settings,
                           const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_inputs *in = NULL;
    rl_concept_inputs *made = NULL;
    char *key = rl_format(err, "%s|%s|%s|%lld|%s|%d|%s", settings->model, concept->name, settings->train_file,
                          (long long)settings->data_limit, concept->tokens ? concept->tokens : "", (int)settings->protocol,
                          settings->similarity_vectors ? settings->similarity_vectors : "");
    if (!key) return RL_ERR_MEMORY;
    for (int i = 0; i < RL_CYCLE_SLOTS; i++) {
        if (!cycle->concepts[i] || strcmp(cycle->concepts[i]->key, key)) continue;
        *out = cycle->concepts[i];
        goto cleanup;
    }
    RL_TRY(rl_cycle_inputs(&in, cycle, settings, err));
    RL_TRY(load_concept(&made, in, settings, concept, key, err));
    RL_TRY(check_concept_files(cycle, settings, concept, err));
    int slot = cycle->next_concept++ % RL_CYCLE_SLOTS;
    concept_free(cycle->concepts[slot]);
    *out = cycle->concepts[slot] = made;
    made = NULL;
cleanup:
    concept_free(made);
    rl_free(key);
    return status;
}

/* ------------------------------------------------------------------------------------------------- checks */

/* Read the words' vectors once: the files may be gigabytes, and runs of a sweep mostly share them. */
static rl_status check_vectors(rl_cycle *cycle, const rl_run_settings *settings, const rl_concept_settings *concept,
                               const rl_names *words, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    int64_t size = 0;
    double share;
    float *vectors = NULL;
    rl_buffer key = {0};
    if (!settings->similarity_vectors) return RL_OK;
    RL_TRY(rl_buffer_printf(&key, err, "%s|%s|%s|%lld|%d", settings->similarity_vectors, concept->name, settings->train_file,
                            (long long)settings->data_limit, settings->protocol == RL_PROTOCOL_CORRECTED));
    if (!cycle->vectors_checked) RL_TRY(rl_names_create(&cycle->vectors_checked, err));
    if (rl_names_find(cycle->vectors_checked, key.data, key.length) >= 0) goto cleanup;
    RL_TRY(load_vector_file(&vectors, &size, &share, settings, words, err));
    RL_TRY(rl_names_intern(cycle->vectors_checked, key.data, key.length, &id, err));
cleanup:
    rl_free(vectors);
    rl_buffer_free(&key);
    return status;
}

/* The concept's words, and (where it has types) that the task has them. */
static rl_status check_concept(rl_cycle *cycle, const rl_run_settings *settings, const rl_concept_settings *concept,
                               const rl_corpus *train, rl_error *err)
{
    rl_status status = RL_OK;
    rl_concept_corpus read = {0};
    uint8_t *positive = NULL;
    RL_TRY(rl_cycle_concept_corpus(&read, settings, concept, err));
    RL_ALLOC(positive, read.corpus->num_words, err);
    RL_TRY(rl_concept_positive(positive, read.corpus, read.positives, read.num_positives, err));
    RL_TRY(rl_cycle_check_types(concept, train, err));
    RL_TRY(check_vectors(cycle, settings, concept, read.corpus->words, err));
cleanup:
    rl_free(positive);
    rl_corpus_free(read.corpus);
    return status;
}

rl_status rl_cycle_check_data(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *train = NULL, *validation = NULL, *test = NULL;
    RL_TRY(rl_cycle_read_corpora(&train, &validation, &test, settings, err));
    RL_TRY(check_concept(cycle, settings, &settings->concept, train, err));
    for (int64_t i = 0; i < settings->num_concepts; i++)
        if (settings->also >> i & 1) RL_TRY(check_concept(cycle, settings, &settings->concepts[i], train, err));
    if (settings->arm == RL_ARM_NEVER_LEARNED) RL_TRY(rl_cycle_drop_concept(train, &settings->concept, err));
cleanup:
    rl_corpus_free(train);
    rl_corpus_free(validation);
    rl_corpus_free(test);
    return status;
}

rl_status rl_cycle_check_layers(const rl_run_settings *settings, rl_error *err)
{
    rl_model_config config = {0};
    rl_status status = rl_model_config_read(&config, settings->model, err);
    if (status != RL_OK) return status;
    if (config.num_layers < 63 && settings->prune_layers >> (config.num_layers + 1))
        status = rl_fail(err, RL_ERR_INPUT, "%s: prune.layers names a hidden state that is not there; it has 0 to %lld",
                         settings->model, (long long)config.num_layers);
    else if (settings->prune_layers == 1 && !rl_cycle_prunes_hidden(settings))
        status = rl_fail(err, RL_ERR_INPUT, "prune.layers is 0, the embeddings, which have no %s; expected some of 1 to %lld",
                         settings->prune_site == RL_SITE_FFN_UNIT ? "FFN units" : "attention heads", (long long)config.num_layers);
    rl_model_config_free(&config);
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
    if (status == RL_OK) status = rl_cycle_check_layers(settings, err);
    rl_tokenizer_free(tokenizer);
    return status;
}

rl_status rl_cycle_check_inputs(rl_cycle *cycle, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = rl_cycle_check_data(cycle, settings, err);
    return status == RL_OK ? rl_cycle_check_model(cycle, settings, err) : status;
}
