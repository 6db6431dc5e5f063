/* cmd_show.c: relearn show DIR [RUN] -- tables in the terminal: F1 per stage, saliency per layer, top words per neuron. */
#include "cli.h"

#include <math.h>
#include <string.h>

static const rl_option options[] = {{"top", "N", "neurons listed for one run (default 10)"}, {NULL, NULL, NULL}};

enum { MAX_LAYERS = 64 };

/* ------------------------------------------------------------------------------------------- a whole sweep */

typedef struct row { /* one run of the overview */
    char id[RL_RUN_ID];
    char *cell; /* all its settings but the seed, tab-separated: what error bars are over seeds of */
    char *seed;
    int32_t num_stages;
    double *f1;       /* [num_stages] */
    double *saliency; /* [num_stages, num_layers] */
    int64_t num_layers;
    int64_t next; /* row of the same cell, -1 = the last */
    bool first;   /* of its cell */
} row;

typedef struct overview {
    int64_t num_rows;
    row *rows;
    rl_names *settings; /* the columns of a cell */
    bool *varies;       /* [columns] runs differ in it: the others need not be repeated on every line */
    bool *shortened;    /* [columns] last parts of paths are enough to tell them apart */
    int *width;         /* [columns] */
    int32_t num_stages; /* the most of any run */
    int64_t num_unreadable;
    rl_error unreadable; /* the first reason */
} overview;

static void row_clear(row *r)
{
    rl_free(r->cell);
    rl_free(r->seed);
    rl_free(r->f1);
    rl_free(r->saliency);
    *r = (row){0};
}

static void overview_clear(overview *o, int64_t capacity)
{
    for (int64_t r = 0; o->rows && r < capacity; r++) row_clear(&o->rows[r]);
    rl_free(o->rows);
    rl_names_free(o->settings);
    rl_free(o->varies);
    rl_free(o->shortened);
    rl_free(o->width);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Every setting there is: the first words of rl_settings_describe's lines. One left out here would be averaged over as if it
 * were a seed. */
static rl_status list_settings(rl_names **out, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    rl_names *names = NULL;
    RL_TRY(rl_names_create(&names, err));
    RL_TRY(rl_settings_describe(&text, err));
    for (const char *line = text.data; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        int32_t id = 0;
        size_t length = strcspn(line, " :\n");
        if (length && !(length == 4 && !strncmp(line, "seed", 4)))
            RL_TRY(rl_names_intern(names, line, length, &id, err));
    }
    *out = names;
    names = NULL;
cleanup:
    rl_names_free(names);
    rl_buffer_free(&text);
    return status;
}

static rl_status cell_text(char **text, const rl_shard *shard, const rl_names *settings, rl_error *err)
{
    rl_buffer buffer = {0};
    rl_status status = RL_OK;
    for (int32_t i = 0; i < rl_names_count(settings); i++) {
        const char *value = rl_shard_attribute(shard, rl_names_get(settings, i));
        RL_TRY(rl_buffer_printf(&buffer, err, "%s%s", i ? "\t" : "", value ? value : ""));
    }
    *text = buffer.data;
    return RL_OK;
cleanup:
    rl_buffer_free(&buffer);
    return status;
}

/* The means of one stage; the first stage tells how many layers there are. */
static rl_status read_stage(row *out, const rl_shard *shard, int32_t s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_neuron_table *table = NULL;
    rl_score word, subword, test;
    double mean[MAX_LAYERS], sd[MAX_LAYERS], error[MAX_LAYERS];
    RL_TRY(rl_shard_read_scores(shard, s, &word, &subword, &test, err));
    out->f1[s] = word.f1;
    RL_TRY(rl_shard_read_neurons(shard, s, &table, err));
    int64_t layers = table->num_layers_plus_1 < MAX_LAYERS ? table->num_layers_plus_1 : MAX_LAYERS;
    if (!out->saliency) {
        out->num_layers = layers;
        RL_ALLOC(out->saliency, layers * out->num_stages, err);
    }
    RL_REQUIRE(layers == out->num_layers, err);
    rl_layer_means(mean, sd, error, table->saliency, layers, table->hidden_size, false);
    memcpy(out->saliency + s * layers, mean, (size_t)layers * sizeof *mean);
cleanup:
    rl_neuron_table_free(table);
    return status;
}

static rl_status read_row(row *out, const rl_names *settings, const char *directory, const char *id, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    char *path = rl_plan_shard_path(directory, id, err);
    if (!path) return RL_ERR_MEMORY;
    memcpy(out->id, id, RL_RUN_ID);
    RL_TRY(rl_shard_open(&shard, path, err));
    const char *seed = rl_shard_attribute(shard, "seed");
    RL_TRY(cell_text(&out->cell, shard, settings, err));
    out->seed = rl_strdup(seed ? seed : "?", err);
    if (!out->seed) status = RL_ERR_MEMORY;
    if (status != RL_OK) goto cleanup;
    out->num_stages = rl_shard_num_stages(shard);
    RL_ALLOC(out->f1, out->num_stages, err);
    for (int32_t s = 0; s < out->num_stages; s++) RL_TRY(read_stage(out, shard, s, err));
cleanup:
    rl_shard_close(shard);
    rl_free(path);
    return status;
}

/* One damaged shard hides no other run. */
static rl_status read_rows(overview *o, const rl_sweep_status *sweep, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(o->rows, sweep->num_runs, err);
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        rl_error why = {0};
        row *next = &o->rows[o->num_rows];
        if (strcmp(sweep->runs[r].state, "done")) continue;
        status = read_row(next, o->settings, directory, sweep->runs[r].id, &why);
        if (status == RL_ERR_MEMORY) return rl_fail(err, status, "%s", why.message);
        if (status == RL_OK) {
            o->num_rows++;
            if (next->num_stages > o->num_stages) o->num_stages = next->num_stages;
            continue;
        }
        row_clear(next);
        if (o->num_unreadable++ == 0) o->unreadable = why;
        status = RL_OK;
    }
cleanup:
    return status;
}

/* Chain the rows of each cell. */
static rl_status link_cells(overview *o, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *cells = NULL;
    int64_t *last = NULL;
    RL_TRY(rl_names_create(&cells, err));
    RL_ALLOC(last, o->num_rows, err);
    for (int64_t r = 0; r < o->num_rows; r++) {
        int32_t id = 0, before = rl_names_count(cells);
        RL_TRY(rl_names_intern(cells, o->rows[r].cell, strlen(o->rows[r].cell), &id, err));
        o->rows[r].next = -1;
        o->rows[r].first = id == before;
        if (id < before) o->rows[last[id]].next = r;
        last[id] = r;
    }
cleanup:
    rl_names_free(cells);
    rl_free(last);
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

enum { MAX_VALUE = 4200 }; /* a path and its NUL */

static rl_status measure_column(overview *o, int32_t c, rl_error *err)
{
    rl_status status = RL_OK;
    char text[MAX_VALUE];
    int32_t id = 0;
    int longest = 0, longest_base = 0;
    rl_names *values = NULL, *bases = NULL;
    RL_TRY(rl_names_create(&values, err));
    RL_TRY(rl_names_create(&bases, err));
    for (int64_t r = 0; r < o->num_rows; r++) {
        if (!o->rows[r].first) continue;
        column_of(o->rows[r].cell, c, text, sizeof text);
        const char *base = base_name(text);
        RL_TRY(rl_names_intern(values, text, strlen(text), &id, err));
        RL_TRY(rl_names_intern(bases, base, strlen(base), &id, err));
        if ((int)strlen(text) > longest) longest = (int)strlen(text);
        if ((int)strlen(base) > longest_base) longest_base = (int)strlen(base);
    }
    o->varies[c] = rl_names_count(values) > 1;
    o->shortened[c] = rl_names_count(values) == rl_names_count(bases);
    o->width[c] = o->shortened[c] ? longest_base : longest;
cleanup:
    rl_names_free(values);
    rl_names_free(bases);
    return status;
}

static rl_status measure_columns(overview *o, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t columns = rl_names_count(o->settings);
    RL_ALLOC(o->varies, columns, err);
    RL_ALLOC(o->shortened, columns, err);
    RL_ALLOC(o->width, columns, err);
    for (int32_t c = 0; c < columns; c++) RL_TRY(measure_column(o, c, err));
cleanup:
    return status;
}

static void print_cell(const overview *o, const char *cell)
{
    for (int32_t c = 0; c < rl_names_count(o->settings); c++) {
        char text[MAX_VALUE];
        if (!o->varies[c]) continue;
        column_of(cell, c, text, sizeof text);
        printf("%-*s  ", o->width[c], o->shortened[c] ? base_name(text) : text);
    }
}

static void stage_title(int32_t s, char text[32])
{
    if (s < 2)
        snprintf(text, 32, "%s", s ? "pruned" : "base");
    else
        snprintf(text, 32, "round %d", (int)s - 1);
}

/* F1 (layer < 0) or a layer's saliency; NaN where the run has none. */
static double value_of(const row *r, int32_t stage, int64_t layer)
{
    if (stage >= r->num_stages || layer >= r->num_layers) return NAN;
    return layer < 0 ? r->f1[stage] : r->saliency[stage * r->num_layers + layer];
}

/* Mean and standard deviation (ddof 1) over the rows of the cell that begins at row `first`; NaN left out. */
static void over_cell(const row *rows, int64_t first, int32_t stage, int64_t layer, double *mean, double *sd,
                      int *count)
{
    double sum = 0, squares = 0;
    *count = 0;
    for (int64_t r = first; r >= 0; r = rows[r].next) {
        double value = value_of(&rows[r], stage, layer);
        if (!isfinite(value)) continue;
        sum += value;
        (*count)++;
    }
    *mean = *count ? sum / *count : NAN;
    for (int64_t r = first; r >= 0; r = rows[r].next) {
        double value = value_of(&rows[r], stage, layer);
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

/* The names of the columns that print_cell prints, in their width. */
static void print_cell_titles(const overview *o)
{
    for (int32_t c = 0; c < rl_names_count(o->settings); c++) {
        const char *name = rl_names_get(o->settings, c);
        if (!o->varies[c]) continue;
        if ((int)strlen(name) > o->width[c]) o->width[c] = (int)strlen(name);
        printf("%-*s  ", o->width[c], name);
    }
}

static void print_cells(const overview *o)
{
    printf("\n%sEntity F1 on validation, mean ± standard deviation over seeds%s\n", rl_bold(stdout), rl_plain(stdout));
    print_cell_titles(o);
    printf("   n");
    for (int32_t s = 0; s < o->num_stages; s++) {
        char title[32];
        stage_title(s, title);
        printf("%15s", title);
    }
    printf("\n");
    for (int64_t r = 0; r < o->num_rows; r++) {
        double mean, sd;
        int count;
        if (!o->rows[r].first) continue;
        print_cell(o, o->rows[r].cell);
        over_cell(o->rows, r, 0, -1, &mean, &sd, &count);
        printf("%4d", count);
        for (int32_t s = 0; s < o->num_stages; s++) {
            over_cell(o->rows, r, s, -1, &mean, &sd, &count);
            print_mean(mean, sd, count, 4);
        }
        printf("\n");
    }
}

static void print_saliency(const overview *o)
{
    printf("\n%sMean concept saliency by layer (0 = embeddings), mean over seeds%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int64_t r = 0; r < o->num_rows; r++) {
        const row *first = &o->rows[r];
        if (!first->first) continue;
        print_cell(o, first->cell);
        printf("\n  layer     ");
        for (int64_t l = 0; l < first->num_layers; l++) printf("%7lld", (long long)l);
        printf("\n");
        for (int32_t s = 0; s < first->num_stages; s++) {
            char title[32];
            stage_title(s, title);
            printf("  %-10s", title);
            for (int64_t l = 0; l < first->num_layers; l++) {
                double mean, sd;
                int count;
                over_cell(o->rows, r, s, l, &mean, &sd, &count);
                if (count)
                    printf("%7.3f", mean);
                else
                    printf("%7s", "-");
            }
            printf("\n");
        }
    }
}

static void print_runs(const overview *o)
{
    printf("\n%sRuns%s\n", rl_bold(stdout), rl_plain(stdout));
    for (int64_t r = 0; r < o->num_rows; r++) {
        printf("  %s  ", o->rows[r].id);
        print_cell(o, o->rows[r].cell);
        printf("seed %-4s F1", o->rows[r].seed);
        for (int32_t s = 0; s < o->rows[r].num_stages; s++) printf(" %.4f", o->rows[r].f1[s]);
        printf("\n");
    }
}

static rl_status show_sweep(const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_status *sweep = NULL;
    overview o = {0};
    RL_TRY(rl_sweep_status_read(&sweep, directory, err));
    RL_TRY(list_settings(&o.settings, err));
    RL_TRY(read_rows(&o, sweep, directory, err));
    printf("%s%s%s: %lld of %lld runs done, %lld failed\n", rl_bold(stdout), sweep->name, rl_plain(stdout),
           (long long)sweep->counts.done, (long long)sweep->num_runs, (long long)sweep->counts.failed);
    if (o.num_unreadable)
        printf("%lld shard%s cannot be read and %s left out: %s\n", (long long)o.num_unreadable,
               o.num_unreadable == 1 ? "" : "s", o.num_unreadable == 1 ? "is" : "are", o.unreadable.message);
    if (!o.num_rows) goto cleanup;
    RL_TRY(link_cells(&o, err));
    RL_TRY(measure_columns(&o, err));
    print_cells(&o);
    print_saliency(&o);
    print_runs(&o);
cleanup:
    overview_clear(&o, sweep ? sweep->num_runs : 0);
    rl_sweep_status_free(sweep);
    return status;
}

/* -------------------------------------------------------------------------------------------------- one run */

/* What a person asks of one run first, on one line. */
static void print_run_title(const rl_shard *shard, const char *id, int64_t num_pruned, int64_t num_neurons)
{
    static const char *const shown[] = {
        "concept",        "protocol",     "prune.select",        "prune.ratio", "prune.permanent",
        "retrain.rounds", "train.epochs", "train.learning_rate", "seed"};
    const char *model = rl_shard_attribute(shard, "model");
    printf("%srun %s%s: %s", rl_bold(stdout), id, rl_plain(stdout), model ? base_name(model) : "?");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *value = rl_shard_attribute(shard, shown[i]);
        if (value && value[0]) printf(", %s %s", shown[i], value);
    }
    const char *share = rl_shard_attribute(shard, "vector_share");
    if (share) printf("; word vectors of %.1f %% of the words", 100 * strtod(share, NULL));
    if (rl_shard_prunes_neurons(shard))
        printf("; %lld of %lld neurons pruned\n", (long long)num_pruned, (long long)num_neurons);
    else
        printf("; %lld %s units pruned\n", (long long)num_pruned, rl_shard_attribute(shard, "prune.site"));
}

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
    char id[RL_RUN_ID], *path = NULL;
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
        if (rl_shard_prunes_neurons(shard) && ids[i] >= 0 && ids[i] < tables[0]->num_neurons) pruned[ids[i]] = 1;
    print_run_title(shard, id, count, tables[0]->num_neurons);
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
