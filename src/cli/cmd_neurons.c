/* cmd_neurons.c: relearn neurons --model FOLDER --tokens FILE --labels FILE --positive NAME[,NAME] [--method NAME] [--top N]
 * [--csv] [--text FILE --html FILE] */
#include "neurons_html.h"

#include <string.h>

static const rl_option options[] = {
    {"model", "FOLDER", "a Hugging Face folder, with or without a classification head"},
    {"tokens", "FILE", "concept corpus: one sentence a line, words separated by single spaces"},
    {"labels", "FILE", "the words' labels, parallel to --tokens"},
    {"positive", "NAME[,NAME]", "label parts that are the concept"},
    {"method", "NAME", "probeless (default), linear_probe, average_precision, iou, gaussian, mean_select, ablation or random"},
    {"data", "FILE", "CoNLL columns on which method ablation measures F1"},
    {"type", "NAME[,NAME]", "entity types whose F1 method ablation looks at (default: all)"},
    {"seed", "N", "of method random and linear_probe's control labels alone (default 42)"},
    {"text", "FILE", "sentences for --html, one a line"},
    {"html", "FILE", "write a page with the best neurons' activations on every word of --text (10 neurons, or --top)"},
    {"protocol", "NAME", "corrected (default), published or head"},
    {"top", "N", "print only the N best neurons (default: all)"},
    {"top-words", "N", "words per neuron (default 5)"},
    {"csv", NULL, "comma-separated values instead of an aligned table"},
    RL_THREADS_OPTION,
    {NULL, NULL, NULL}};

enum { MAX_POSITIVES = 16 };

/* "A,B" -> pieces that point into a copy. */
static rl_status split(char **copy, const char *pieces[MAX_POSITIVES], size_t *count, const char *option, const char *text,
                       rl_error *err)
{
    *copy = rl_strdup(text, err);
    if (!*copy) return RL_ERR_MEMORY;
    *count = 0;
    for (char *piece = *copy; piece;) {
        char *comma = strchr(piece, ',');
        if (comma) *comma = '\0';
        if (*count == MAX_POSITIVES) return rl_fail(err, RL_ERR_USAGE, "--%s: more than %d names", option, MAX_POSITIVES);
        if (!*piece) return rl_fail(err, RL_ERR_USAGE, "--%s: '%s' has an empty name", option, text);
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

/* Everything one call holds. */
typedef struct job {
    const char *folder, *method;
    char *positives, *types; /* what the pieces point into */
    rl_tokenizer *tokenizer;
    rl_model *model;
    rl_concept_data *data;
    rl_neuron_table *table;
    rl_ner_data task; /* method ablation */
    int64_t limit, top;
} job;

static void job_clear(job *j)
{
    rl_neuron_table_free(j->table);
    rl_concept_data_free(j->data);
    rl_tokenizer_free(j->tokenizer);
    rl_model_free(j->model);
    rl_ner_data_free(&j->task);
    rl_free(j->positives);
    rl_free(j->types);
}

/* Method ablation needs a task: a head, sentences with tags, and perhaps types. pieces [MAX_POSITIVES] outlives the task. */
static rl_status load_task(rl_ablation_task *task, job *j, const rl_args *args, const char *pieces[MAX_POSITIVES], rl_error *err)
{
    rl_status status = RL_OK;
    const char *data = rl_args_text(args, "data", NULL), *types = rl_args_text(args, "type", NULL);
    size_t count = 0;
    if (!data) return rl_fail(err, RL_ERR_USAGE, "--method ablation needs --data FILE, on which F1 is measured");
    if (types) RL_TRY(split(&j->types, pieces, &count, "type", types, err));
    rl_model_free(j->model);
    j->model = NULL;
    RL_TRY(rl_model_load(&j->model, j->folder, NULL, 0, err)); /* no head: an error that says so */
    RL_TRY(rl_ner_data_load(&j->task, j->folder, data, j->model->config.labels, err));
    *task = (rl_ablation_task){.corpus = j->task.corpus, .data = j->task.encoded, .types = pieces, .num_types = count};
cleanup:
    return status;
}

static rl_status write_html(const job *j, const char *html, const char *text_path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_corpus *text = NULL;
    rl_encoded *encoded = NULL;
    rl_buffer page = {0};
    RL_TRY(rl_sentences_read(&text, text_path, err));
    RL_TRY(rl_encode_corpus(&encoded, j->tokenizer, text, false, j->limit, err));
    RL_TRY(rl_neurons_html(&page, j->model, j->folder, j->table, j->data->corpus->words, text, encoded, j->method,
                           j->top ? j->top : 10, err));
    RL_TRY(rl_write_file(html, page.data, page.length, err));
cleanup:
    rl_buffer_free(&page);
    rl_encoded_free(encoded);
    rl_corpus_free(text);
    return status;
}

static rl_status print(const job *j, bool as_csv, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer csv = {0};
    int32_t *order = NULL;
    if (as_csv) {
        RL_TRY(rl_neuron_table_csv(&csv, j->table, j->data->corpus->words, j->top, err));
        fwrite(csv.data, 1, csv.length, stdout);
    } else {
        RL_ALLOC(order, j->table->num_neurons, err);
        print_table(j->table, j->data->corpus->words, j->top ? j->top : j->table->num_neurons, order);
    }
cleanup:
    rl_buffer_free(&csv);
    rl_free(order);
    return status;
}

/* What only another option makes use of, before anything is computed. */
static rl_status check_together(const rl_args *args, const char *method, rl_error *err)
{
    static const char *const of_ablation[] = {"data", "type"};
    bool html = rl_args_flag(args, "html"), text = rl_args_flag(args, "text");
    for (int i = 0; i < 2; i++)
        if (rl_args_flag(args, of_ablation[i]) && strcmp(method, rl_rank_method_names[RL_RANK_ABLATION]))
            return rl_fail(err, RL_ERR_USAGE, "--%s: is used by --method ablation alone, not by %s", of_ablation[i], method);
    if (rl_args_flag(args, "seed") && strcmp(method, rl_rank_method_names[RL_RANK_RANDOM]) &&
        strcmp(method, rl_rank_method_names[RL_RANK_LINEAR_PROBE]))
        return rl_fail(err, RL_ERR_USAGE, "--seed: %s draws nothing; a seed is used by --method random and linear_probe alone", method);
    if (text && !html)
        return rl_fail(err, RL_ERR_USAGE, "--text %s: is shown by --html FILE alone", rl_args_text(args, "text", NULL));
    return html && !text ? rl_fail(err, RL_ERR_USAGE, "--html needs --text FILE, one sentence a line") : RL_OK;
}

static rl_status rank_neurons(job *j, const rl_args *args, rl_error *err)
{
    rl_status status = RL_OK;
    const char *tokens, *labels, *positive, *pieces[MAX_POSITIVES], *types[MAX_POSITIVES];
    size_t num_pieces = 0;
    int64_t seed = 42, most = 64; /* words, as analyse.top_words */
    rl_error why = {0};
    rl_ablation_task task = {0};
    rl_analysis_settings settings = {.protocol = RL_PROTOCOL_CORRECTED, .ablation = &task};
    RL_TRY(rl_args_need(&j->folder, args, "model", err));
    RL_TRY(rl_args_need(&tokens, args, "tokens", err));
    RL_TRY(rl_args_need(&labels, args, "labels", err));
    RL_TRY(rl_args_need(&positive, args, "positive", err));
    RL_TRY(rl_args_int(&j->top, args, "top", 0, 1, err));
    RL_TRY(rl_args_int(&settings.top_words, args, "top-words", 5, 1, err));
    if (settings.top_words > most) return rl_fail(err, RL_ERR_USAGE, "--top-words: '%lld' is more than %lld", (long long)settings.top_words, (long long)most);
    RL_TRY(rl_args_int(&seed, args, "seed", 42, 0, err));
    RL_TRY(read_protocol(&settings.protocol, args, err));
    settings.seed = (uint64_t)seed;
    if (rl_rank_method_parse(&settings.method, j->method, &why) != RL_OK)
        return rl_fail(err, RL_ERR_USAGE, "--method: %s", why.message);
    RL_TRY(split(&j->positives, pieces, &num_pieces, "positive", positive, err));
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_args_threads(args, err));
    RL_TRY(load_any_model(&j->model, j->folder, err));
    RL_TRY(rl_tokenizer_load(&j->tokenizer, j->folder, err));
    RL_TRY(rl_model_sequence_limit(&j->limit, j->folder, j->tokenizer, err));
    if (settings.method == RL_RANK_ABLATION) RL_TRY(load_task(&task, j, args, types, err));
    RL_TRY(rl_concept_data_create(&j->data, tokens, labels, pieces, num_pieces, j->tokenizer, j->limit, settings.protocol, err));
    RL_TRY(rl_analyse_neurons(&j->table, j->model, j->data, &settings, NULL, NULL, 0, err));
cleanup:
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *html = rl_args_text(args, "html", NULL), *text = rl_args_text(args, "text", NULL);
    job j = {.method = rl_args_text(args, "method", "probeless")};
    (void)exit_code;
    RL_TRY(check_together(args, j.method, err));
    RL_TRY(rank_neurons(&j, args, err));
    if (html) RL_TRY(write_html(&j, html, text, err));
    if (html && !rl_args_flag(args, "csv"))
        printf("%s\n", html);
    else
        RL_TRY(print(&j, rl_args_flag(args, "csv"), err));
cleanup:
    job_clear(&j);
    return status;
}

const rl_command rl_command_neurons = {
    "neurons", "--model FOLDER --tokens FILE --labels FILE --positive NAME[,NAME] [--method NAME] [--top N] [--csv] [--text FILE --html FILE]",
    "neurons ranked by how much of a concept they carry, with their top words", 0, 0, options, NULL, run, false};
