/* cmd_show.c: relearn show DIR [RUN] -- tables in the terminal: F1 per stage, saliency per layer, top words per neuron. */
#include "cli.h"

#include <math.h>
#include <string.h>

static const rl_option options[] = {{"top", "N", "neurons listed for one run (default 10)"}, {NULL, NULL, NULL}};

enum { MAX_STAGES = 32, MAX_LAYERS = 64 };

/* ------------------------------------------------------------------------------------------- a whole sweep */

typedef struct row { /* one run of the overview */
    char id[RL_RUN_ID];
    char *cell;      /* its axis values without the seed, as text: what error bars are over seeds of */
    char *seed;
    int32_t num_stages;
    double f1[MAX_STAGES], saliency[MAX_STAGES][MAX_LAYERS];
    int64_t num_layers;
} row;

static void rows_free(row *rows, int64_t n)
{
    for (int64_t r = 0; rows && r < n; r++) {
        rl_free(rows[r].cell);
        rl_free(rows[r].seed);
    }
    rl_free(rows);
}

static const char *const axes_shown[] = {"model", "concept", "protocol", "prune.select", "prune.ratio", "prune.permanent",
                                         "retrain.rounds", "train.epochs", "train.learning_rate"};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static rl_status cell_text(char **text, const rl_shard *shard, rl_error *err)
{
    rl_buffer buffer = {0};
    rl_status status = RL_OK;
    for (size_t i = 0; i < sizeof axes_shown / sizeof *axes_shown; i++) {
        const char *value = rl_shard_attribute(shard, axes_shown[i]);
        if (!value) continue;
        if (!strcmp(axes_shown[i], "model")) value = base_name(value);
        RL_TRY(rl_buffer_printf(&buffer, err, "%s%s", buffer.length ? "\t" : "", value));
    }
    *text = buffer.data;
    return RL_OK;
cleanup:
    rl_buffer_free(&buffer);
    return status;
}

static rl_status read_row(row *out, const char *directory, const char *id, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_neuron_table *table = NULL;
    double sd[MAX_LAYERS], error[MAX_LAYERS];
    char *path = rl_plan_shard_path(directory, id, err);
    if (!path) return RL_ERR_MEMORY;
    memcpy(out->id, id, RL_RUN_ID);
    RL_TRY(rl_shard_open(&shard, path, err));
    RL_TRY(cell_text(&out->cell, shard, err));
    out->seed = rl_strdup(rl_shard_attribute(shard, "seed") ? rl_shard_attribute(shard, "seed") : "?", err);
    if (!out->seed) status = RL_ERR_MEMORY;
    if (status != RL_OK) goto cleanup;
    out->num_stages = rl_shard_num_stages(shard) < MAX_STAGES ? rl_shard_num_stages(shard) : MAX_STAGES;
    for (int32_t s = 0; s < out->num_stages; s++) {
        rl_score word, subword, test;
        RL_TRY(rl_shard_read_scores(shard, s, &word, &subword, &test, err));
        out->f1[s] = word.f1;
        RL_TRY(rl_shard_read_neurons(shard, s, &table, err));
        out->num_layers = table->num_layers_plus_1 < MAX_LAYERS ? table->num_layers_plus_1 : MAX_LAYERS;
        rl_layer_means(out->saliency[s], sd, error, table->saliency, out->num_layers, table->hidden_size, false);
        rl_neuron_table_free(table);
        table = NULL;
    }
cleanup:
    rl_neuron_table_free(table);
    rl_shard_close(shard);
    rl_free(path);
    return status;
}

/* Column c of a tab-separated cell. */
static void column_of(const char *cell, int c, char *text, size_t size)
{
    for (; c > 0 && cell; c--) {
        cell = strchr(cell, '\t');
        if (cell) cell++;
    }
    snprintf(text, size, "%.*s", cell ? (int)strcspn(cell, "\t") : 0, cell ? cell : "");
}

static int num_columns(const char *cell)
{
    int n = 1;
    for (; *cell; cell++) n += *cell == '\t';
    return n;
}

/* Columns in which runs differ, and their widths: what is the same everywhere need not be repeated on every line. */
static void varying_columns(const row *rows, int64_t n, int columns, bool *varies, int *width)
{
    for (int c = 0; c < columns; c++) {
        char first[256], text[256];
        column_of(rows[0].cell, c, first, sizeof first);
        varies[c] = false;
        width[c] = 0;
        for (int64_t r = 0; r < n; r++) {
            column_of(rows[r].cell, c, text, sizeof text);
            varies[c] |= strcmp(text, first) != 0;
            if ((int)strlen(text) > width[c]) width[c] = (int)strlen(text);
        }
    }
}

static void print_cell(const char *cell, int columns, const bool *varies, const int *width)
{
    for (int c = 0; c < columns; c++) {
        char text[256];
        if (!varies[c]) continue;
        column_of(cell, c, text, sizeof text);
        printf("%-*s  ", width[c], text);
    }
}

static void stage_title(int32_t s, char text[32])
{
    if (s < 2)
        snprintf(text, 32, "%s", s ? "pruned" : "base");
    else
        snprintf(text, 32, "round %d", (int)s - 1);
}

/* Mean and standard deviation (ddof 1) over the rows of one cell; NaN left out. */
static void over_cell(const row *rows, int64_t n, const char *cell, int32_t stage, int64_t layer, double *mean, double *sd, int *count)
{
    double sum = 0, squares = 0;
    *count = 0;
    for (int64_t r = 0; r < n; r++) {
        if (strcmp(rows[r].cell, cell) || stage >= rows[r].num_stages) continue;
        double value = layer < 0 ? rows[r].f1[stage] : rows[r].saliency[stage][layer];
        if (!isfinite(value)) continue;
        sum += value;
        (*count)++;
    }
    *mean = *count ? sum / *count : NAN;
    for (int64_t r = 0; r < n; r++) {
        if (strcmp(rows[r].cell, cell) || stage >= rows[r].num_stages) continue;
        double value = layer < 0 ? rows[r].f1[stage] : rows[r].saliency[stage][layer];
        if (isfinite(value)) squares += (value - *mean) * (value - *mean);
    }
    *sd = *count > 1 ? sqrt(squares / (*count - 1)) : NAN;
}

static void print_mean(double mean, double sd, int count, int decimals)
{
    if (!count)
        printf("%15s", "-");
    else if (count == 1)
        printf("%15.*f", decimals, mean);
    else
        printf("%*.*f ±%.*f", 15 - decimals - 4, decimals, mean, decimals, sd);
}

static bool first_of_cell(const row *rows, int64_t r)
{
    for (int64_t q = 0; q < r; q++)
        if (!strcmp(rows[q].cell, rows[r].cell)) return false;
    return true;
}

static void print_cells(const row *rows, int64_t n, int columns, const bool *varies, const int *width)
{
    int32_t stages = 0;
    int indent = 0;
    for (int64_t r = 0; r < n; r++)
        if (rows[r].num_stages > stages) stages = rows[r].num_stages;
    for (int c = 0; c < columns; c++) indent += varies[c] ? width[c] + 2 : 0;
    printf("\n%sEntity F1 on validation, mean ± standard deviation over seeds%s\n%*s   n", rl_bold(stdout), rl_plain(stdout), indent, "");
    for (int32_t s = 0; s < stages; s++) {
        char title[32];
        stage_title(s, title);
        printf("%15s", title);
    }
    printf("\n");
    for (int64_t r = 0; r < n; r++) {
        double mean, sd;
        int count;
        if (!first_of_cell(rows, r)) continue;
        print_cell(rows[r].cell, columns, varies, width);
        over_cell(rows, n, rows[r].cell, 0, -1, &mean, &sd, &count);
        printf("%4d", count);
        for (int32_t s = 0; s < stages; s++) {
            over_cell(rows, n, rows[r].cell, s, -1, &mean, &sd, &count);
            print_mean(mean, sd, count, 4);
        }
        printf("\n");
    }
}

static void print_saliency(const row *rows, int64_t n, int columns, const bool *varies, const int *width)
{
    printf("\n%sMean concept saliency by layer (0 = embeddings), mean over seeds%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int64_t r = 0; r < n; r++) {
        if (!first_of_cell(rows, r)) continue;
        print_cell(rows[r].cell, columns, varies, width);
        printf("\n  layer     ");
        for (int64_t l = 0; l < rows[r].num_layers; l++) printf("%7lld", (long long)l);
        printf("\n");
        for (int32_t s = 0; s < rows[r].num_stages; s++) {
            char title[32];
            stage_title(s, title);
            printf("  %-10s", title);
            for (int64_t l = 0; l < rows[r].num_layers; l++) {
                double mean, sd;
                int count;
                over_cell(rows, n, rows[r].cell, s, l, &mean, &sd, &count);
                if (count)
                    printf("%7.3f", mean);
                else
                    printf("%7s", "-");
            }
            printf("\n");
        }
    }
}

static void print_runs(const row *rows, int64_t n, int columns, const bool *varies, const int *width)
{
    printf("\n%sRuns%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int64_t r = 0; r < n; r++) {
        printf("  %s  ", rows[r].id);
        print_cell(rows[r].cell, columns, varies, width);
        printf("seed %-4s F1", rows[r].seed);
        for (int32_t s = 0; s < rows[r].num_stages; s++) printf(" %.4f", rows[r].f1[s]);
        printf("\n");
    }
}

static rl_status show_sweep(const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *sweep = NULL;
    row *rows = NULL;
    int64_t n = 0;
    bool varies[16];
    int width[16];
    RL_TRY(rl_sweep_status_read(&sweep, directory, err));
    RL_ALLOC(rows, sweep->num_runs, err);
    for (int64_t r = 0; r < sweep->num_runs; r++)
        if (!strcmp(sweep->runs[r].state, "done")) RL_TRY(read_row(&rows[n++], directory, sweep->runs[r].id, err));
    printf("%s%s%s: %lld of %lld runs done, %lld failed\n", rl_bold(stdout), sweep->name, rl_plain(stdout),
           (long long)sweep->counts.done, (long long)sweep->num_runs, (long long)sweep->counts.failed);
    if (!n) goto cleanup;
    int columns = num_columns(rows[0].cell);
    varying_columns(rows, n, columns, varies, width);
    print_cells(rows, n, columns, varies, width);
    print_saliency(rows, n, columns, varies, width);
    print_runs(rows, n, columns, varies, width);
cleanup:
    rows_free(rows, sweep ? sweep->num_runs : 0);
    rl_sweep_status_free(sweep);
    return status;
}

/* -------------------------------------------------------------------------------------------------- one run */

static rl_status print_scores(const rl_shard *shard, rl_error *err)
{
    printf("\n%s%-14s word F1  precision  recall   sub-word F1   test F1%s\n", rl_bold(stdout), "stage", rl_plain(stdout));
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_score word, subword, test;
        rl_status status = rl_shard_read_scores(shard, s, &word, &subword, &test, err);
        if (status != RL_OK) return status;
        printf("%-14s %.4f   %.4f     %.4f   %.4f        ", rl_shard_stage_name(shard, s), word.f1, word.precision, word.recall,
               subword.f1);
        if (isfinite(test.f1))
            printf("%.4f\n", test.f1);
        else
            printf("-\n");
    }
    return RL_OK;
}

static void print_layers(const char *stage, const rl_neuron_table *t)
{
    double mean[MAX_LAYERS], sd[MAX_LAYERS], error[MAX_LAYERS];
    int64_t layers = t->num_layers_plus_1 < MAX_LAYERS ? t->num_layers_plus_1 : MAX_LAYERS;
    rl_layer_means(mean, sd, error, t->saliency, layers, t->hidden_size, false);
    printf("%-14s", stage);
    for (int64_t l = 0; l < layers; l++)
        if (isfinite(mean[l]))
            printf("%7.3f", mean[l]);
        else
            printf("%7s", "-");
    printf("\n");
}

static void print_neuron(const rl_neuron_table *t, int64_t n, const rl_names *words, const uint8_t *pruned)
{
    printf("  %6lld  layer %2lld unit %4lld  saliency ", (long long)n, (long long)(n / t->hidden_size), (long long)(n % t->hidden_size));
    if (isfinite(t->saliency[n]))
        printf("%.4f", t->saliency[n]);
    else
        printf("null  ");
    printf("  similarity ");
    if (isfinite(t->similarity[n]))
        printf("%6.3f", t->similarity[n]);
    else
        printf("     -");
    printf("  %s ", pruned[n] ? "pruned" : "      ");
    for (int64_t k = 0; k < t->top_k && t->top_word[n * t->top_k + k] >= 0; k++)
        printf(" %s", rl_names_get(words, t->top_word[n * t->top_k + k]));
    printf("\n");
}

static void print_top(const char *stage, const rl_neuron_table *t, const rl_names *words, const uint8_t *pruned, int64_t top)
{
    printf("\n%sMost salient neurons, %s%s\n", rl_bold(stdout), stage, rl_plain(stdout));
    for (int32_t rank = 0; rank < top && rank < t->num_neurons; rank++)
        for (int64_t n = 0; n < t->num_neurons; n++)
            if (t->rank[n] == rank) print_neuron(t, n, words, pruned);
}

static rl_status show_run(const char *directory, const char *prefix, int64_t top, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_neuron_table **tables = NULL;
    rl_names *words = NULL;
    int32_t *ids = NULL, num_stages = 0;
    uint8_t *pruned = NULL;
    int64_t count = 0;
    char id[RL_RUN_ID], *path = NULL, *cell = NULL;
    RL_TRY(rl_find_run(id, directory, prefix, err));
    path = rl_plan_shard_path(directory, id, err);
    if (!path) return RL_ERR_MEMORY;
    if (!rl_path_exists(path)) {
        status = rl_fail(err, RL_ERR_INPUT, "%s: run %s is not done; relearn status %s says where it is", directory, id, directory);
        goto cleanup;
    }
    RL_TRY(rl_shard_open(&shard, path, err));
    num_stages = rl_shard_num_stages(shard);
    RL_ALLOC(tables, num_stages, err);
    for (int32_t s = 0; s < num_stages; s++) RL_TRY(rl_shard_read_neurons(shard, s, &tables[s], err));
    RL_TRY(rl_shard_read_words(shard, &words, err));
    RL_TRY(rl_shard_read_pruned(shard, &ids, &count, err));
    RL_ALLOC(pruned, tables[0]->num_neurons, err);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] >= 0 && ids[i] < tables[0]->num_neurons) pruned[ids[i]] = 1;
    RL_TRY(cell_text(&cell, shard, err));
    for (char *c = cell; *c; c++)
        if (*c == '\t') *c = ' ';
    printf("%srun %s%s: %s, seed %s; %lld of %lld neurons pruned\n", rl_bold(stdout), id, rl_plain(stdout), cell,
           rl_shard_attribute(shard, "seed"), (long long)count, (long long)tables[0]->num_neurons);
    RL_TRY(print_scores(shard, err));
    printf("\n%sMean saliency by layer (0 = embeddings)%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int32_t s = 0; s < num_stages; s++) print_layers(rl_shard_stage_name(shard, s), tables[s]);
    for (int32_t s = 0; s < num_stages; s++)
        if (s == 0 || s == num_stages - 1) print_top(rl_shard_stage_name(shard, s), tables[s], words, pruned, top);
cleanup:
    for (int32_t s = 0; tables && s < num_stages; s++) rl_neuron_table_free(tables[s]);
    rl_free(tables);
    rl_free(ids);
    rl_free(pruned);
    rl_names_free(words);
    rl_shard_close(shard);
    rl_free(path);
    rl_free(cell);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    int64_t top = 10;
    rl_status status = rl_args_int(&top, args, "top", 10, 0, err);
    (void)exit_code;
    if (status != RL_OK) return status;
    return args->num_operands == 2 ? show_run(args->operands[0], args->operands[1], top, err) : show_sweep(args->operands[0], err);
}

const rl_command rl_command_show = {"show", "DIR [RUN]", "tables: F1 per stage, saliency per layer, top words per neuron", 1, 2,
                                    options, NULL, run, false};
