/* cmd_neurons.c: relearn neurons --model FOLDER --tokens FILE --labels FILE --positive NAME[,NAME] [--method probeless] [--top N] --csv */
#include "cli.h"

#include <string.h>

static const rl_option options[] = {
    {"model", "FOLDER", "a Hugging Face folder, with or without a classification head"},
    {"tokens", "FILE", "concept corpus: one sentence a line, words separated by single spaces"},
    {"labels", "FILE", "the words' labels, parallel to --tokens"},
    {"positive", "NAME[,NAME]", "label parts that are the concept"},
    {"method", "probeless", "how neurons are ranked (default probeless)"},
    {"protocol", "NAME", "corrected (default), published or head"},
    {"top", "N", "print only the N best neurons (default: all)"},
    {"top-words", "N", "words per neuron (default 5)"},
    {"csv", NULL, "comma-separated values instead of an aligned table"},
    {NULL, NULL, NULL}};

enum { MAX_POSITIVES = 16 };

/* "A,B" -> pieces that point into a copy. */
static rl_status split(char **copy, const char *pieces[MAX_POSITIVES], size_t *count, const char *text, rl_error *err)
{
    *copy = rl_strdup(text, err);
    if (!*copy) return RL_ERR_MEMORY;
    *count = 0;
    for (char *piece = *copy; piece;) {
        char *comma = strchr(piece, ',');
        if (comma) *comma = '\0';
        if (*count == MAX_POSITIVES) return rl_fail(err, RL_ERR_USAGE, "--positive: more than %d names", MAX_POSITIVES);
        if (!*piece) return rl_fail(err, RL_ERR_USAGE, "--positive: '%s' has an empty name", text);
        pieces[(*count)++] = piece;
        piece = comma ? comma + 1 : NULL;
    }
    return RL_OK;
}

static rl_status read_protocol(rl_protocol *protocol, const rl_args *args, rl_error *err)
{
    static const char *const names[] = {"corrected", "published", "head"};
    const char *text = rl_args_text(args, "protocol", "corrected");
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *protocol = (rl_protocol)i;
            return RL_OK;
        }
    return rl_fail(err, RL_ERR_USAGE, "--protocol: '%s' is none of corrected, published, head", text);
}

static void print_table(const rl_neuron_table *t, const rl_names *words, int64_t top, int32_t *order)
{
    for (int32_t i = 0; i < (int32_t)t->num_neurons; i++) order[t->rank[i]] = i;
    printf("%s  neuron layer  unit     score  saliency  top words%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int64_t r = 0; r < top && r < t->num_neurons; r++) {
        int64_t n = order[r];
        printf("%8lld %5lld %5lld %9.5f %9.4f ", (long long)n, (long long)(n / t->hidden_size), (long long)(n % t->hidden_size),
               t->score[n], t->saliency[n]);
        for (int64_t k = 0; k < t->top_k && t->top_word[n * t->top_k + k] >= 0; k++)
            printf(" %s", rl_names_get(words, t->top_word[n * t->top_k + k]));
        printf("\n");
    }
}

/* An encoder without a head is welcome here: it is given one that nothing reads. */
static rl_status load_any_model(rl_model **model, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *labels = NULL;
    int32_t id = 0;
    if (rl_model_load(model, folder, NULL, 0, NULL) == RL_OK) return RL_OK;
    RL_TRY(rl_names_create(&labels, err));
    RL_TRY(rl_names_intern(labels, "O", 1, &id, err));
    RL_TRY(rl_model_load(model, folder, labels, 0, err));
cleanup:
    rl_names_free(labels);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *folder, *tokens, *labels, *positive, *pieces[MAX_POSITIVES], *method = rl_args_text(args, "method", "probeless");
    char *copy = NULL;
    size_t num_pieces = 0;
    rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .top_words = 5};
    rl_tokenizer *tokenizer = NULL;
    rl_model *model = NULL;
    rl_concept_data *data = NULL;
    rl_neuron_table *table = NULL;
    rl_buffer csv = {0};
    int32_t *order = NULL;
    int64_t limit = 0, top = 0;
    (void)exit_code;
    RL_TRY(rl_args_need(&folder, args, "model", err));
    RL_TRY(rl_args_need(&tokens, args, "tokens", err));
    RL_TRY(rl_args_need(&labels, args, "labels", err));
    RL_TRY(rl_args_need(&positive, args, "positive", err));
    RL_TRY(rl_args_int(&top, args, "top", 0, 1, err));
    RL_TRY(rl_args_int(&settings.top_words, args, "top-words", 5, 1, err));
    RL_TRY(read_protocol(&settings.protocol, args, err));
    if (strcmp(method, "probeless"))
        return rl_fail(err, RL_ERR_USAGE, "--method: '%s' is unknown; this version has probeless", method);
    RL_TRY(split(&copy, pieces, &num_pieces, positive, err));
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(load_any_model(&model, folder, err));
    RL_TRY(rl_tokenizer_load(&tokenizer, folder, err));
    RL_TRY(rl_model_sequence_limit(&limit, folder, tokenizer, err));
    RL_TRY(rl_concept_data_create(&data, tokens, labels, pieces, num_pieces, tokenizer, limit, settings.protocol, err));
    RL_TRY(rl_analyse_neurons(&table, model, data, &settings, NULL, NULL, 0, err));
    if (rl_args_flag(args, "csv")) {
        RL_TRY(rl_neuron_table_csv(&csv, table, data->corpus->words, top, err));
        fwrite(csv.data, 1, csv.length, stdout);
    } else {
        RL_ALLOC(order, table->num_neurons, err);
        print_table(table, data->corpus->words, top ? top : table->num_neurons, order);
    }
cleanup:
    rl_free(order);
    rl_buffer_free(&csv);
    rl_neuron_table_free(table);
    rl_concept_data_free(data);
    rl_tokenizer_free(tokenizer);
    rl_model_free(model);
    rl_free(copy);
    return status;
}

const rl_command rl_command_neurons = {
    "neurons", "--model FOLDER --tokens FILE --labels FILE --positive NAME[,NAME] [--method probeless] [--top N] [--csv]",
    "neurons ranked by how much of a concept they carry, with their top words", 0, 0, options, NULL, run, false};
