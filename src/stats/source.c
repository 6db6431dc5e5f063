/* source.c -- results.h5 as statistics see it: the columns of /runs, which of them are axes of the grid, the cells they
 * make, and the models below /neurons. Small things are read by every rank; neuron arrays stay in the file. */
#include "stats_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- columns */

typedef struct name_list {
    char *names[512];
    int32_t count;
    rl_status status;
    rl_error *err;
} name_list;

static herr_t take_name(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    name_list *list = context;
    (void)group;
    (void)info;
    if (list->count == 512) return -1;
    list->names[list->count] = rl_strdup(name, list->err);
    if (!list->names[list->count]) list->status = RL_ERR_MEMORY;
    return list->status == RL_OK && ++list->count ? 0 : -1;
}

static rl_status list_group(name_list *list, rl_place file, const char *group, rl_error *err)
{
    hid_t id = H5Gopen2(file.id, group, H5P_DEFAULT);
    rl_status status = RL_OK;
    list->err = err;
    if (id < 0 || H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, NULL, take_name, list) < 0)
        status = list->status != RL_OK ? list->status
                                       : rl_h5_fail(err, RL_ERR_INPUT, file.path,
                                                    "group %s cannot be read; it is not a whole relearn results file", group);
    rl_h5_close(id);
    return status;
}

static void free_names(name_list *list)
{
    for (int32_t i = 0; i < list->count; i++) rl_free(list->names[i]);
}

static rl_status read_column(rl_source_column *column, rl_place file, const char *name, rl_error *err)
{
    rl_status status = RL_OK;
    hid_t dataset = H5I_INVALID_HID;
    char path[300];
    snprintf(path, sizeof path, "/runs/%s", name);
    RL_TRY(rl_h5_shape(&column->array, file, path, err));
    column->name = rl_strdup(name, err);
    column->values = rl_calloc(rl_array_bytes(&column->array), 1, err);
    if (!column->name || !column->values) return RL_ERR_MEMORY;
    RL_TRY(rl_h5_get(column->values, file, path, &column->array, err));
    dataset = H5Dopen2(file.id, path, H5P_DEFAULT);
    RL_TRY(rl_h5_get_text(&column->long_name, dataset, "long_name", err));
cleanup:
    rl_h5_close(dataset);
    return status;
}

const rl_source_column *rl_source_column_named(const rl_source *source, const char *name)
{
    for (int32_t i = 0; i < source->num_columns; i++)
        if (!strcmp(source->columns[i].name, name)) return &source->columns[i];
    return NULL;
}

static rl_status read_columns(rl_source *s, rl_place file, rl_error *err)
{
    rl_status status = RL_OK;
    name_list list = {.count = 0};
    RL_TRY(list_group(&list, file, "/runs", err));
    RL_ALLOC(s->columns, list.count, err);
    for (int32_t i = 0; i < list.count; i++) {
        s->num_columns++;
        RL_TRY(read_column(&s->columns[i], file, list.names[i], err));
        const rl_array *a = &s->columns[i].array;
        if (a->num_dims != 1 || a->dims[0] != s->columns[0].array.dims[0])
            status = rl_fail(err, RL_ERR_INPUT, "%s: /runs/%s does not hold one value a run", file.path, list.names[i]);
        if (status != RL_OK) goto cleanup;
    }
cleanup:
    free_names(&list);
    return status;
}

void rl_source_text(char *text, size_t size, const rl_source_column *column, int64_t run)
{
    const unsigned char *at = column->values + (size_t)run * column->array.width;
    int64_t integer;
    double real;
    switch (column->array.element) {
    case RL_TEXT: snprintf(text, size, "%.*s", (int)strnlen((const char *)at, column->array.width), (const char *)at); break;
    case RL_I64:
        memcpy(&integer, at, sizeof integer);
        snprintf(text, size, "%lld", (long long)integer);
        break;
    case RL_F64:
        memcpy(&real, at, sizeof real);
        snprintf(text, size, "%.12g", real);
        break;
    default: snprintf(text, size, "?"); break;
    }
}

double rl_source_number(const rl_source_column *column, int64_t run)
{
    const unsigned char *at = column->values + (size_t)run * column->array.width;
    int64_t integer;
    double real;
    if (column->array.element == RL_F64) {
        memcpy(&real, at, sizeof real);
        return real;
    }
    if (column->array.element != RL_I64) return NAN;
    memcpy(&integer, at, sizeof integer);
    return (double)integer;
}

bool rl_source_same(const rl_source_column *c, int64_t a, int64_t b)
{
    return !memcmp(c->values + (size_t)a * c->array.width, c->values + (size_t)b * c->array.width, c->array.width);
}

bool rl_source_done(const rl_source *source, int64_t run)
{
    char text[16];
    rl_source_text(text, sizeof text, rl_source_column_named(source, "status"), run);
    return !strcmp(text, "done");
}

/* --------------------------------------------------------------------------------------------- axes, cells */

/* model and concept always count; other axes are the columns that gather describes as such. */
static rl_status find_axes(rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    static const char *const first[] = {"model", "concept"};
    RL_ALLOC(s->axes, s->num_columns, err);
    RL_ALLOC(s->varies, s->num_columns, err);
    for (size_t i = 0; i < 2; i++) s->axes[s->num_axes++] = (int32_t)(rl_source_column_named(s, first[i]) - s->columns);
    for (int32_t i = 0; i < s->num_columns; i++)
        if (s->columns[i].long_name && !strcmp(s->columns[i].long_name, "axis of the sweep's grid"))
            s->axes[s->num_axes++] = i;
    for (int32_t a = 0; a < s->num_axes; a++)
        for (int64_t r = 1; r < s->num_runs; r++)
            if (!rl_source_same(&s->columns[s->axes[a]], 0, r)) s->varies[a] = true;
    for (int64_t r = 1; r < s->num_runs; r++)
        if (s->seed[r] != s->seed[0]) s->seed_varies = true;
cleanup:
    return status;
}

static rl_status make_cells(rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *names = NULL;
    rl_buffer key = {0};
    RL_TRY(rl_names_create(&names, err));
    RL_ALLOC(s->cell_of_run, s->num_runs, err);
    RL_ALLOC(s->first_run, s->num_runs, err);
    for (int64_t r = 0; r < s->num_runs; r++) {
        key.length = 0;
        for (int32_t a = 0; a < s->num_axes; a++) {
            const rl_source_column *c = &s->columns[s->axes[a]];
            RL_TRY(rl_buffer_append(&key, c->values + (size_t)r * c->array.width, c->array.width, err));
        }
        RL_TRY(rl_names_intern(names, key.data, key.length, &s->cell_of_run[r], err));
        if (s->cell_of_run[r] == s->num_cells) s->first_run[s->num_cells++] = (int32_t)r;
    }
cleanup:
    rl_names_free(names);
    rl_buffer_free(&key);
    return status;
}

rl_status rl_source_label(char **out, const rl_source *s, int32_t cell, int32_t without, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    char value[4200];
    for (int32_t a = 0; a < s->num_axes; a++) {
        if (a == without || !s->varies[a]) continue;
        rl_source_text(value, sizeof value, &s->columns[s->axes[a]], s->first_run[cell]);
        RL_TRY(rl_buffer_printf(&text, err, "%s%s=%s", text.length ? ", " : "", s->columns[s->axes[a]].name, value));
    }
    *out = rl_strdup(text.length ? text.data : "all", err);
    if (!*out) status = RL_ERR_MEMORY;
cleanup:
    rl_buffer_free(&text);
    return status;
}

rl_status rl_source_runs_of_cell(int32_t **runs, int64_t *count, const rl_source *s, int32_t cell, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t n = 0;
    for (int64_t r = 0; r < s->num_runs; r++) n += s->cell_of_run[r] == cell;
    RL_ALLOC(*runs, n, err);
    n = 0;
    for (int64_t r = 0; r < s->num_runs; r++) {
        if (s->cell_of_run[r] != cell) continue;
        int64_t at = n++;
        for (; at > 0 && s->seed[(*runs)[at - 1]] > s->seed[r]; at--) (*runs)[at] = (*runs)[at - 1];
        (*runs)[at] = (int32_t)r;
    }
    *count = n;
cleanup:
    return status;
}

int64_t rl_source_pair_seeds(rl_run_pair *pairs, int64_t *num_seeds, const rl_source *s, const int32_t *a, int64_t num_a,
                             const int32_t *b, int64_t num_b)
{
    int64_t n = 0, seeds = 0;
    for (int64_t i = 0, j = 0; i < num_a || j < num_b; seeds++) {
        bool take_a = j == num_b || (i < num_a && s->seed[a[i]] <= s->seed[b[j]]);
        bool take_b = i == num_a || (j < num_b && s->seed[b[j]] <= s->seed[a[i]]);
        if (take_a && take_b) pairs[n++] = (rl_run_pair){a[i], b[j]};
        i += take_a;
        j += take_b;
    }
    if (num_seeds) *num_seeds = seeds;
    return n;
}

bool rl_source_differ_only_in(const rl_source *s, int32_t a, int32_t b, int32_t axis)
{
    for (int32_t i = 0; i < s->num_axes; i++)
        if (rl_source_same(&s->columns[s->axes[i]], s->first_run[a], s->first_run[b]) == (i == axis)) return false;
    return true;
}

/* -------------------------------------------------------------------------------------------------- models */

static int by_number(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

static rl_status list_model_cells(rl_source_model *m, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(m->cells, m->num_rows, err);
    for (int64_t i = 0; i < m->num_rows; i++) {
        int32_t cell = s->cell_of_run[m->run_of_row[i]], at = 0;
        while (at < m->num_cells && m->cells[at] != cell) at++;
        if (at == m->num_cells) m->cells[m->num_cells++] = cell;
    }
    qsort(m->cells, (size_t)m->num_cells, sizeof *m->cells, by_number);
cleanup:
    return status;
}

static rl_status read_model(rl_source_model *m, const rl_source *s, rl_place file, const char *name, rl_error *err)
{
    rl_status status = RL_OK;
    char path[300], text[64];
    rl_array array;
    int32_t *layer = NULL;
    const rl_source_column *model = rl_source_column_named(s, "model");
    m->name = rl_strdup(name, err);
    snprintf(path, sizeof path, "/neurons/%s/layer", name);
    RL_TRY(m->name ? RL_OK : RL_ERR_MEMORY);
    RL_TRY(rl_h5_shape(&array, file, path, err));
    if (array.element != RL_I32 || array.num_dims != 1 || array.dims[0] == 0)
        return rl_fail(err, RL_ERR_INPUT, "%s: %s does not number the layers of neurons", file.path, path);
    m->neurons = (int64_t)array.dims[0];
    RL_ALLOC(layer, m->neurons, err);
    RL_TRY(rl_h5_get(layer, file, path, &array, err));
    m->layers = (int64_t)layer[m->neurons - 1] + 1;
    m->hidden_size = m->neurons / (m->layers > 0 ? m->layers : 1);
    if (m->layers < 1 || m->layers * m->hidden_size != m->neurons)
        status = rl_fail(err, RL_ERR_INPUT, "%s: %s does not number the layers of neurons", file.path, path);
    if (status != RL_OK) goto cleanup;
    RL_ALLOC(m->run_of_row, s->num_runs, err);
    for (int64_t r = 0; r < s->num_runs; r++) {
        rl_source_text(text, sizeof text, model, r);
        if (!strcmp(text, name)) m->run_of_row[m->num_rows++] = (int32_t)r;
    }
    snprintf(path, sizeof path, "/neurons/%s/saliency", name);
    RL_TRY(rl_h5_shape(&array, file, path, err));
    if (array.num_dims != 3 || (int64_t)array.dims[0] != m->num_rows || (int64_t)array.dims[1] != s->num_stages ||
        (int64_t)array.dims[2] != m->neurons)
        status = rl_fail(err, RL_ERR_INPUT, "%s: %s does not have the shape of /runs", file.path, path);
    if (status == RL_OK) status = list_model_cells(m, s, err);
cleanup:
    rl_free(layer);
    return status;
}

int64_t rl_model_row(const rl_source_model *m, int64_t run)
{
    int64_t low = 0, high = m->num_rows;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (m->run_of_row[middle] < run)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->num_rows && m->run_of_row[low] == run ? low : -1;
}

static rl_status read_models(rl_source *s, rl_place file, rl_error *err)
{
    rl_status status = RL_OK;
    name_list list = {.count = 0};
    if (H5Lexists(file.id, "/neurons", H5P_DEFAULT) > 0) RL_TRY(list_group(&list, file, "/neurons", err));
    RL_ALLOC(s->models, list.count, err);
    for (int32_t i = 0; i < list.count; i++) {
        s->num_models++;
        RL_TRY(read_model(&s->models[i], s, file, list.names[i], err));
    }
cleanup:
    free_names(&list);
    return status;
}

/* -------------------------------------------------------------------------------------------------- open */

static const char *const needed[] = {"concept", "model", "run", "seed", "status"};

static rl_status check_file(rl_source *s, rl_place file, rl_error *err)
{
    rl_status status = RL_OK;
    char *format = NULL;
    RL_TRY(rl_h5_get_text(&format, file.id, "format", err));
    if (!format || strcmp(format, RL_RESULTS_FORMAT))
        status = rl_fail(err, RL_ERR_INPUT, "%s: is not a relearn results file; expected format '%s', found '%s'",
                         file.path, RL_RESULTS_FORMAT, format ? format : "none");
    if (status == RL_OK) status = rl_h5_get_text(&s->created, file.id, "created", err);
cleanup:
    rl_free(format);
    return status;
}

static int64_t count_stages(const rl_source *s)
{
    static const char *const fixed[] = {"f1_base", "f1_pruned"};
    char name[64];
    for (int64_t n = 0;; n++) {
        if (n < 2)
            snprintf(name, sizeof name, "%s", fixed[n]);
        else
            snprintf(name, sizeof name, "f1_retrained_%lld", (long long)n - 1);
        if (!rl_source_column_named(s, name)) return n;
    }
}

static rl_status read_small(rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, s->path};
    RL_TRY(rl_h5_open(&file.id, s->path, "results file", err));
    RL_TRY(check_file(s, file, err));
    RL_TRY(read_columns(s, file, err));
    s->num_runs = s->num_columns ? (int64_t)s->columns[0].array.dims[0] : 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!rl_source_column_named(s, needed[i]))
            status = rl_fail(err, RL_ERR_INPUT, "%s: no dataset /runs/%s; it is not a whole relearn results file", s->path,
                             needed[i]);
    if (status == RL_OK && rl_source_column_named(s, "seed")->array.element != RL_I64)
        status = rl_fail(err, RL_ERR_INPUT, "%s: /runs/seed does not hold integers", s->path);
    if (status != RL_OK) goto cleanup;
    s->seed = (const int64_t *)(const void *)rl_source_column_named(s, "seed")->values;
    s->num_stages = count_stages(s);
    for (int64_t r = 0; r < s->num_runs; r++) s->num_done += rl_source_done(s, r);
    if (s->num_done == 0 || s->num_stages == 0)
        status = rl_fail(err, RL_ERR_INPUT, "%s: none of its %lld runs is done; there is nothing to say yet", s->path,
                         (long long)s->num_runs);
    if (status == RL_OK) status = find_axes(s, err);
    if (status == RL_OK) status = make_cells(s, err);
    if (status == RL_OK) status = read_models(s, file, err);
cleanup:
    rl_h5_close(file.id);
    return status;
}

rl_status rl_source_open(rl_source **out, MPI_Comm comm, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    hid_t access = H5I_INVALID_HID;
    rl_source *s = rl_calloc(1, sizeof *s, err);
    if (s) {
        s->comm = comm;
        s->path = path;
        s->file = (rl_place){H5I_INVALID_HID, path};
        s->parted = rl_calloc(1, sizeof *s->parted, err);
        MPI_Comm_rank(comm, &s->rank);
        MPI_Comm_size(comm, &s->size);
    }
    RL_TRY(rl_store_agree(comm, s && s->parted ? read_small(s, err) : RL_ERR_MEMORY, err));
    access = rl_parallel_access(comm);
    s->file.id = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (s->file.id < 0)
        status = rl_h5_fail(err, RL_ERR_IO, path, "cannot be opened by all ranks together");
    status = rl_store_agree(comm, status, err);
    if (status != RL_OK) goto cleanup;
    *out = s;
    s = NULL;
cleanup:
    rl_h5_close(access);
    rl_source_close(s);
    return status;
}

void rl_source_close(rl_source *s)
{
    if (!s) return;
    rl_h5_close(s->file.id);
    for (int32_t i = 0; s->columns && i < s->num_columns; i++) {
        rl_free(s->columns[i].name);
        rl_free(s->columns[i].long_name);
        rl_free(s->columns[i].values);
    }
    for (int32_t i = 0; s->models && i < s->num_models; i++) {
        rl_free(s->models[i].name);
        rl_free(s->models[i].run_of_row);
        rl_free(s->models[i].cells);
    }
    rl_free(s->columns);
    rl_free(s->models);
    rl_free(s->axes);
    rl_free(s->varies);
    rl_free(s->cell_of_run);
    rl_free(s->first_run);
    rl_free(s->created);
    rl_free(s->parted);
    rl_free(s);
}

rl_status rl_source_agree(const rl_source *s, rl_status status, rl_error *err)
{
    if (*s->parted) return status;
    status = rl_store_agree(s->comm, status, err);
    *s->parted = status != RL_OK;
    return status;
}

rl_status rl_read_stage(double *out, rl_place dataset, int64_t row, int64_t stage, int64_t N, rl_error *err)
{
    hsize_t start[3] = {(hsize_t)row, (hsize_t)stage, 0}, count[3] = {1, 1, (hsize_t)N}, length = (hsize_t)N;
    hid_t space = H5Dget_space(dataset.id), memory = H5Screate_simple(1, &length, NULL);
    bool ok = space >= 0 && memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
              H5Dread(dataset.id, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, out) >= 0;
    rl_status status = ok ? RL_OK : rl_h5_fail(err, RL_ERR_INPUT, dataset.path, "neuron values cannot be read");
    rl_h5_close(memory);
    rl_h5_close(space);
    return status;
}

/* Bits, not numbers: an OR with zeros keeps NaN and -0 as they are. */
void rl_combine(MPI_Comm comm, void *values, size_t bytes)
{
    const size_t piece = (size_t)1 << 28;
    for (size_t at = 0; at < bytes; at += piece)
        MPI_Allreduce(MPI_IN_PLACE, (char *)values + at, (int)(bytes - at < piece ? bytes - at : piece), MPI_BYTE, MPI_BOR,
                      comm);
}
