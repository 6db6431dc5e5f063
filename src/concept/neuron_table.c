/* neuron_table.c -- one stage's analysis as a checksummed file and as CSV.
 *
 * File: header, the arrays in the order of the struct, XXH3-64 of all bytes before it. Sizes follow from the header and
 * must equal the file's before anything is allocated. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TABLE_VERSION 2 /* 2: readings, probe accuracies and agreement */
#define BYTE_ORDER_MARK 0x01020304u
#define MAX_TOP_WORDS 4096
#define NUM_ARRAYS 19

static const char magic[8] = {'R', 'L', 'N', 'E', 'U', 'R', 'O', 'N'};

typedef struct header {
    char magic[8];
    uint32_t byte_order, version;
    int64_t num_layers_plus_1, hidden_size, top_k, method, overlap_k;
} header;

/* --------------------------------------------------------------------------------------------------- memory */

rl_status rl_neuron_table_create(rl_neuron_table **out, int64_t num_layers_plus_1, int64_t hidden_size, int64_t top_k,
                                 rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *t = NULL;
    int64_t N = num_layers_plus_1 * hidden_size;
    RL_ALLOC(t, 1, err);
    t->num_layers_plus_1 = num_layers_plus_1;
    t->hidden_size = hidden_size;
    t->num_neurons = N;
    t->top_k = top_k;
    RL_ALLOC(t->score, N, err);
    RL_ALLOC(t->rank, N, err);
    RL_ALLOC(t->saliency, N, err);
    RL_ALLOC(t->similarity, N, err);
    RL_ALLOC(t->mean_difference, N, err);
    RL_ALLOC(t->effect_size, N, err);
    RL_ALLOC(t->sd, N, err);
    RL_ALLOC(t->null, N, err);
    RL_ALLOC(t->top_word, N * top_k, err);
    RL_ALLOC(t->top_score, N * top_k, err);
    RL_ALLOC(t->spread, N, err);
    RL_ALLOC(t->concept_similarity, N, err);
    RL_ALLOC(t->old_share, N, err);
    RL_ALLOC(t->new_share, N, err);
    RL_ALLOC(t->concept_share, N, err);
    RL_ALLOC(t->probe_accuracy, num_layers_plus_1, err);
    RL_ALLOC(t->control_accuracy, num_layers_plus_1, err);
    RL_ALLOC(t->spearman, RL_NUM_RANK_METHODS, err);
    RL_ALLOC(t->overlap, RL_NUM_RANK_METHODS, err);
    *out = t;
    t = NULL;
cleanup:
    rl_neuron_table_free(t);
    return status;
}

void rl_neuron_table_free(rl_neuron_table *t)
{
    if (!t) return;
    rl_free(t->score);
    rl_free(t->rank);
    rl_free(t->saliency);
    rl_free(t->similarity);
    rl_free(t->mean_difference);
    rl_free(t->effect_size);
    rl_free(t->sd);
    rl_free(t->null);
    rl_free(t->top_word);
    rl_free(t->top_score);
    rl_free(t->spread);
    rl_free(t->concept_similarity);
    rl_free(t->old_share);
    rl_free(t->new_share);
    rl_free(t->concept_share);
    rl_free(t->probe_accuracy);
    rl_free(t->control_accuracy);
    rl_free(t->spearman);
    rl_free(t->overlap);
    rl_free(t);
}

/* The file's arrays, in order; writing and reading go through the same list. */
typedef struct span {
    void *data;
    size_t bytes;
} span;

static void list_arrays(span list[NUM_ARRAYS], const rl_neuron_table *t)
{
    size_t N = (size_t)t->num_neurons, Nk = N * (size_t)t->top_k;
    list[0] = (span){t->score, N * sizeof *t->score};
    list[1] = (span){t->rank, N * sizeof *t->rank};
    list[2] = (span){t->saliency, N * sizeof *t->saliency};
    list[3] = (span){t->similarity, N * sizeof *t->similarity};
    list[4] = (span){t->mean_difference, N * sizeof *t->mean_difference};
    list[5] = (span){t->effect_size, N * sizeof *t->effect_size};
    list[6] = (span){t->sd, N * sizeof *t->sd};
    list[7] = (span){t->null, N * sizeof *t->null};
    list[8] = (span){t->top_word, Nk * sizeof *t->top_word};
    list[9] = (span){t->top_score, Nk * sizeof *t->top_score};
    list[10] = (span){t->spread, N * sizeof *t->spread};
    list[11] = (span){t->concept_similarity, N * sizeof *t->concept_similarity};
    list[12] = (span){t->old_share, N * sizeof *t->old_share};
    list[13] = (span){t->new_share, N * sizeof *t->new_share};
    list[14] = (span){t->concept_share, N * sizeof *t->concept_share};
    list[15] = (span){t->probe_accuracy, (size_t)t->num_layers_plus_1 * sizeof *t->probe_accuracy};
    list[16] = (span){t->control_accuracy, (size_t)t->num_layers_plus_1 * sizeof *t->control_accuracy};
    list[17] = (span){t->spearman, RL_NUM_RANK_METHODS * sizeof *t->spearman};
    list[18] = (span){t->overlap, RL_NUM_RANK_METHODS * sizeof *t->overlap};
}

/* ---------------------------------------------------------------------------------------------------- write */

rl_status rl_neuron_table_write(const rl_neuron_table *table, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer bytes = {0};
    span list[NUM_ARRAYS];
    header head = {.byte_order = BYTE_ORDER_MARK,
                   .version = TABLE_VERSION,
                   .hidden_size = table->hidden_size,
                   .num_layers_plus_1 = table->num_layers_plus_1,
                   .top_k = table->top_k,
                   .method = (int64_t)table->method,
                   .overlap_k = table->overlap_k};
    uint64_t checksum;
    memcpy(head.magic, magic, sizeof magic);
    list_arrays(list, table);
    RL_TRY(rl_buffer_append(&bytes, &head, sizeof head, err));
    for (int i = 0; i < NUM_ARRAYS; i++) RL_TRY(rl_buffer_append(&bytes, list[i].data, list[i].bytes, err));
    checksum = rl_hash64(bytes.data, bytes.length);
    RL_TRY(rl_buffer_append(&bytes, &checksum, sizeof checksum, err));
    RL_TRY(rl_write_file(path, bytes.data, bytes.length, err));
cleanup:
    rl_buffer_free(&bytes);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- read */

static rl_status damaged(rl_error *err, const char *path, const char *what)
{
    return rl_fail(err, RL_ERR_INPUT, "%s: %s; expected a whole neuron table of version %d", path, what, TABLE_VERSION);
}

/* Bounds first, so that the size cannot overflow. */
static bool dimensions_are_sane(const header *head)
{
    return head->num_layers_plus_1 >= 1 && head->hidden_size >= 1 && head->num_layers_plus_1 <= INT32_MAX &&
           head->hidden_size <= INT32_MAX && head->num_layers_plus_1 * head->hidden_size <= INT32_MAX &&
           head->top_k >= 1 && head->top_k <= MAX_TOP_WORDS && head->method >= 0 && head->method < RL_NUM_RANK_METHODS &&
           head->overlap_k >= 0 && head->overlap_k <= INT32_MAX;
}

static size_t file_size(const header *head)
{
    rl_neuron_table shape = {.num_layers_plus_1 = head->num_layers_plus_1,
                             .num_neurons = head->num_layers_plus_1 * head->hidden_size,
                             .top_k = head->top_k};
    size_t size = sizeof *head + sizeof(uint64_t);
    span list[NUM_ARRAYS];
    list_arrays(list, &shape);
    for (int i = 0; i < NUM_ARRAYS; i++) size += list[i].bytes;
    return size;
}

static rl_status check_file(header *head, const rl_file_view *view, const char *path, rl_error *err)
{
    uint64_t checksum;
    if (view->size < sizeof *head + sizeof checksum) return damaged(err, path, "the file is too short");
    memcpy(head, view->data, sizeof *head);
    if (memcmp(head->magic, magic, sizeof magic)) return damaged(err, path, "not a neuron table");
    if (head->byte_order != BYTE_ORDER_MARK) return damaged(err, path, "written with another byte order");
    if (head->version != TABLE_VERSION) return damaged(err, path, "another version");
    if (!dimensions_are_sane(head)) return damaged(err, path, "impossible dimensions");
    if (file_size(head) != view->size) return damaged(err, path, "the size does not fit the header");
    memcpy(&checksum, view->data + view->size - sizeof checksum, sizeof checksum);
    if (rl_hash64(view->data, view->size - sizeof checksum) != checksum)
        return damaged(err, path, "the checksum differs");
    return RL_OK;
}

/* What readers use as an index must be one. */
static rl_status check_indices(const rl_neuron_table *table, const char *path, rl_error *err)
{
    int64_t N = table->num_neurons;
    for (int64_t n = 0; n < N; n++)
        if (table->rank[n] < 0 || table->rank[n] >= N) return damaged(err, path, "a rank is out of range");
    for (int64_t i = 0; i < N * table->top_k; i++)
        if (table->top_word[i] < -1) return damaged(err, path, "a top word is out of range");
    return RL_OK;
}

rl_status rl_neuron_table_read(rl_neuron_table **out, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_file_view view = {0};
    rl_neuron_table *table = NULL;
    header head = {0};
    span list[NUM_ARRAYS];
    const char *from;
    RL_TRY(rl_file_view_open(&view, path, err));
    RL_TRY(check_file(&head, &view, path, err));
    RL_TRY(rl_neuron_table_create(&table, head.num_layers_plus_1, head.hidden_size, head.top_k, err));
    table->method = (rl_rank_method)head.method;
    table->overlap_k = head.overlap_k;
    list_arrays(list, table);
    from = view.data + sizeof head;
    for (int i = 0; i < NUM_ARRAYS; from += list[i].bytes, i++) memcpy(list[i].data, from, list[i].bytes);
    RL_TRY(check_indices(table, path, err));
    *out = table;
    table = NULL;
cleanup:
    rl_neuron_table_free(table);
    rl_file_view_close(&view);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ CSV */

/* The shortest decimal that reads back as x, as Python's repr; "nan" for none. */
static rl_status append_number(rl_buffer *csv, double x, rl_error *err)
{
    char text[40];
    if (isnan(x)) return rl_buffer_append(csv, "nan", 3, err);
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    return rl_buffer_append(csv, text, strlen(text), err);
}

static rl_status append_words(rl_buffer *text, const rl_neuron_table *table, int64_t n, const rl_names *words,
                              rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t j = 0; j < table->top_k; j++) {
        int32_t word = table->top_word[n * table->top_k + j];
        if (word < 0) break;
        if (word >= rl_names_count(words))
            return rl_fail(err, RL_ERR_INPUT,
                           "neuron %" PRId64 " has top word %" PRId32 " of a vocabulary of %" PRId32
                           "; the table belongs to another corpus",
                           n, word, rl_names_count(words));
        if (j) RL_TRY(rl_buffer_append(text, " ", 1, err));
        RL_TRY(rl_buffer_append(text, rl_names_get(words, word), strlen(rl_names_get(words, word)), err));
    }
cleanup:
    return status;
}

/* RFC 4180: a field with a comma, quote or line break is quoted, quotes are doubled. */
static rl_status append_field(rl_buffer *csv, const rl_buffer *field, rl_error *err)
{
    rl_status status = RL_OK;
    bool quote = field->length && strcspn(field->data, ",\"\r\n") < field->length;
    if (!quote) return field->length ? rl_buffer_append(csv, field->data, field->length, err) : RL_OK;
    RL_TRY(rl_buffer_append(csv, "\"", 1, err));
    for (size_t i = 0; i < field->length; i++) {
        if (field->data[i] == '"') RL_TRY(rl_buffer_append(csv, "\"", 1, err));
        RL_TRY(rl_buffer_append(csv, field->data + i, 1, err));
    }
    RL_TRY(rl_buffer_append(csv, "\"", 1, err));
cleanup:
    return status;
}

static rl_status append_row(rl_buffer *csv, const rl_neuron_table *table, int64_t n, const rl_names *words,
                            rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer list = {0};
    RL_TRY(rl_buffer_printf(csv, err, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId32 ",", n, n / table->hidden_size,
                            n % table->hidden_size, table->rank[n]));
    RL_TRY(append_number(csv, table->score[n], err));
    RL_TRY(rl_buffer_append(csv, ",", 1, err));
    RL_TRY(append_number(csv, table->saliency[n], err));
    RL_TRY(rl_buffer_append(csv, ",", 1, err));
    RL_TRY(append_words(&list, table, n, words, err));
    RL_TRY(append_field(csv, &list, err));
    RL_TRY(rl_buffer_append(csv, "\n", 1, err));
cleanup:
    rl_buffer_free(&list);
    return status;
}

rl_status rl_neuron_table_csv(rl_buffer *csv, const rl_neuron_table *table, const rl_names *words, int64_t top,
                              rl_error *err)
{
    rl_status status = RL_OK;
    int64_t N = table->num_neurons, rows = top > 0 && top < N ? top : N;
    int32_t *order = NULL; /* 1 + neuron of each rank */
    RL_ALLOC(order, N, err);
    for (int64_t n = 0; n < N; n++) {
        RL_REQUIRE(table->rank[n] >= 0 && table->rank[n] < N && !order[table->rank[n]], err);
        order[table->rank[n]] = (int32_t)n + 1;
    }
    RL_TRY(rl_buffer_printf(csv, err, "neuron,layer,unit,rank,score,saliency,top_words\n"));
    for (int64_t i = 0; i < rows; i++) RL_TRY(append_row(csv, table, order[i] - 1, words, err));
cleanup:
    rl_free(order);
    return status;
}
