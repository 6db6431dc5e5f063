/* gather.c -- shards -> results.h5, by all ranks of a communicator.
 *
 *   survey -> layout -> create results.h5.tmp.PID -> each rank writes its rows -> close
 *   -> reopen, each rank reads its rows back and compares them with the shards -> rank 0: fsync, rename
 *
 * Opening, creating and closing are collective: every rank makes them in the same order with the same arguments, and
 * between steps that can fail on one rank alone there is an agreement (agree.c). Rows are written and read by each rank
 * for itself.
 * Until the rename the old results.h5 is untouched. */
#include "store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <hdf5_hl.h>
#include <unistd.h>

typedef struct gather {
    MPI_Comm comm;
    rl_survey *survey;
    rl_layout *layout;
    char *path, *temporary;
    rl_place file;
    unsigned char *stored, *row, *back; /* one row: as in the shard, as in results.h5, as read back */
} gather;

/* ------------------------------------------------------------------------------------------------- create */

static rl_status describe(gather *g, hid_t dataset, rl_element element, const char *units, const char *long_name,
                          rl_error *err)
{
    rl_status status = RL_OK;
    rl_place place = {dataset, g->temporary};
    if (units) RL_TRY(rl_h5_put_text(place, "units", units, err));
    if (long_name) RL_TRY(rl_h5_put_text(place, "long_name", long_name, err));
    if (element == RL_TEXT)
        RL_TRY(rl_h5_put_text(place, "_Encoding", "utf-8", err)); /* xarray decodes fixed-length text by it */
cleanup:
    return status;
}

static rl_status attach(gather *g, hid_t dataset, int axis, int32_t coordinate, const char *path, rl_error *err)
{
    if (H5DSattach_scale(dataset, g->layout->coordinates[coordinate].id, (unsigned)axis) >= 0) return RL_OK;
    return rl_h5_fail(err, RL_ERR_IO, g->temporary, "%s cannot be given its dimension scale %d", path, axis);
}

static rl_status create_coordinate(gather *g, rl_coordinate *c, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_h5_create(&c->id, g->file, c->path, &c->array, err));
    RL_TRY(describe(g, c->id, c->array.element, c->units, c->long_name, err));
    if (c->name && H5DSset_scale(c->id, c->name) < 0)
        status = rl_h5_fail(err, RL_ERR_IO, g->temporary, "%s cannot be made a dimension scale", c->path);
    if (status == RL_OK && c->along >= 0) status = attach(g, c->id, 0, c->along, c->path, err);
cleanup:
    return status;
}

static rl_status create_target(gather *g, rl_target *t, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = {
        .element = t->row.element, .width = t->row.width, .num_dims = t->row.num_dims + 1, .dims = {t->num_rows}};
    memcpy(array.dims + 1, t->row.dims, (size_t)t->row.num_dims * sizeof array.dims[0]);
    RL_TRY(rl_h5_create(&t->id, g->file, t->path, &array, err));
    RL_TRY(describe(g, t->id, t->row.element, t->field->units, t->field->long_name, err));
    if (!strcmp(t->field->group, "neurons") || !strcmp(t->field->group, "also")) /* CF: xarray makes layer and unit coordinates of the variable */
        RL_TRY(rl_h5_put_text((rl_place){t->id, g->temporary}, "coordinates", "layer unit", err));
    if (t->field->axis == RL_AXIS_WORD && t->row.element == RL_I32)
        RL_TRY(rl_h5_put_text((rl_place){t->id, g->temporary}, "index_into", "/vocabulary", err));
    for (int axis = 0; axis < array.num_dims; axis++) RL_TRY(attach(g, t->id, axis, t->scales[axis], t->path, err));
cleanup:
    return status;
}

static rl_status create_column(gather *g, rl_column *c, rl_error *err)
{
    rl_status status = RL_OK;
    rl_array array = {.element = c->element, .width = c->width, .num_dims = 1, .dims = {(hsize_t)g->survey->num_runs}};
    RL_TRY(rl_h5_create(&c->id, g->file, c->path, &array, err));
    RL_TRY(describe(g, c->id, c->element, c->units, c->long_name, err));
    RL_TRY(attach(g, c->id, 0, g->layout->runs_scale, c->path, err));
cleanup:
    return status;
}

/* Distinct values of a summary's text over the present runs, in plan order: "onednn", or "onednn, cblas" of a mixed
 * cluster. */
static void distinct(char out[256], const rl_survey *survey, size_t member)
{
    out[0] = '\0';
    for (int64_t r = 0; r < survey->num_runs; r++) {
        const char *text = (const char *)&survey->summary[r] + member;
        if (survey->summary[r].presence != RL_PRESENT || !text[0] || strstr(out, text)) continue;
        size_t used = strlen(out);
        snprintf(out + used, 256 - used, "%s%s", used ? ", " : "", text);
    }
}

/* Every rank must write the same bytes: the clock is rank 0's. */
static rl_status describe_file(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    char created[21], backends[256], isas[256], versions[256], number[16];
    rl_utc_timestamp(created);
    MPI_Bcast(created, sizeof created, MPI_CHAR, 0, g->comm);
    distinct(backends, g->survey, offsetof(rl_summary, gemm_backend));
    distinct(isas, g->survey, offsetof(rl_summary, isa));
    distinct(versions, g->survey, offsetof(rl_summary, version));
    snprintf(number, sizeof number, "%d", RL_NUMERICS_VERSION);
    const struct {
        const char *name, *text;
    } attributes[] = {{"title", "relearn: how concepts come back after their neurons were pruned"},
                      {"format", RL_RESULTS_FORMAT},
                      {"sweep", g->survey->sweep->name},
                      {"created", created},
                      {"gathered_by", "relearn " RL_VERSION},
                      {"computed_by", versions},
                      {"numerics_version", number},
                      {"gemm_backend", backends},
                      {"isa", isas}};
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        RL_TRY(rl_h5_put_text(g->file, attributes[i].name, attributes[i].text ? attributes[i].text : "", err));
cleanup:
    return status;
}

static rl_status create_contents(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    rl_layout *layout = g->layout;
    RL_TRY(rl_store_agree(g->comm, describe_file(g, err), err));
    for (int32_t i = 0; i < layout->num_groups; i++)
        RL_TRY(rl_store_agree(g->comm, rl_h5_make_group(g->file, layout->groups[i], err), err));
    for (int32_t i = 0; i < layout->num_coordinates; i++)
        RL_TRY(rl_store_agree(g->comm, create_coordinate(g, &layout->coordinates[i], err), err));
    for (int32_t i = 0; i < layout->num_columns; i++)
        RL_TRY(rl_store_agree(g->comm, create_column(g, &layout->columns[i], err), err));
    for (int32_t i = 0; i < layout->num_targets; i++)
        RL_TRY(rl_store_agree(g->comm, create_target(g, &layout->targets[i], err), err));
cleanup:
    return status;
}

/* Room first, before HDF5 has the file open; again afterwards, because creating truncates. 2 KiB a dataset cover
 * headers, attributes and the references of its scales (measured: 550 bytes). Without it a full disk goes unnoticed:
 * OMPIO 4.1.4 reports a write that met ENOSPC as done, and only the reading back below finds out. */
static rl_status reserve(gather *g, rl_error *err)
{
    size_t datasets = (size_t)g->layout->num_coordinates + (size_t)g->layout->num_columns + (size_t)g->layout->num_targets;
    rl_status status = RL_OK;
    if (g->survey->rank == 0)
        status = rl_reserve(g->temporary, rl_layout_bytes(g->layout, g->survey) + 65536 + 2048 * datasets, err);
    return rl_store_agree(g->comm, status, err);
}

static rl_status create_file(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    hid_t access = H5I_INVALID_HID, creation = H5I_INVALID_HID;
    RL_TRY(reserve(g, err));
    access = rl_parallel_access(g->comm);
    creation = rl_h5_file_creation();
    g->file.id = H5Fcreate(g->temporary, H5F_ACC_TRUNC, creation, access);
    if (g->file.id < 0) status = rl_h5_fail(err, RL_ERR_IO, g->temporary, "cannot be made");
    RL_TRY(rl_store_agree(g->comm, status, err));
    RL_TRY(reserve(g, err));
    RL_TRY(create_contents(g, err));
cleanup:
    rl_h5_close(creation);
    rl_h5_close(access);
    return status;
}

/* Collective, whatever happened before. Buffered metadata go out here, so its failure counts. */
static rl_status close_file(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    rl_layout_close(g->layout);
    if (g->file.id >= 0 && H5Fclose(g->file.id) < 0)
        status = rl_h5_fail(err, RL_ERR_IO, g->temporary, "cannot be completed");
    g->file.id = H5I_INVALID_HID;
    return rl_store_agree(g->comm, status, err);
}

/* --------------------------------------------------------------------------------------------------- rows */

/* Pruned in every stage but the base. */
static rl_status build_pruned(unsigned char *row, const rl_target *t, const rl_shard *shard, rl_error *err)
{
    int32_t *ids = NULL;
    int64_t count = 0, stages = rl_shard_num_stages(shard);
    size_t N = (size_t)t->row.dims[1];
    rl_status status = rl_shard_read_pruned(shard, &ids, &count, err);
    rl_fill_missing(row, rl_array_count(&t->row), RL_I8, 1);
    for (int64_t s = 0; status == RL_OK && s < stages; s++) {
        memset(row + (size_t)s * N, 0, N);
        for (int64_t i = 0; s > 0 && i < count && rl_shard_prunes_neurons(shard); i++) row[(size_t)s * N + (size_t)ids[i]] = 1;
    }
    rl_free(ids);
    return status;
}

/* Word ids of the shard's vocabulary -> of the union (survey.c has checked their range). */
static void renumber_words(gather *g, const rl_target *t, int64_t r)
{
    const rl_vocabulary *v = rl_survey_vocabulary(g->survey, r);
    int32_t *ids = (int32_t *)g->row;
    for (size_t i = 0; i < rl_array_count(&t->row); i++)
        if (ids[i] >= 0 && ids[i] < v->num_words) ids[i] = v->global[ids[i]];
}

/* Where the shard's own entity types or other concepts stand among all runs'; NULL for other axes. */
static rl_status places(int32_t **out, const gather *g, const rl_target *t, const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_dimension dimension = rl_axis_dimensions[t->field->axis][0];
    const rl_names *all = dimension == RL_DIM_TYPE ? g->survey->types : g->survey->others;
    char *names = NULL;
    int32_t *place = NULL;
    int64_t count = 0;
    size_t width = 0;
    if (dimension != RL_DIM_TYPE && dimension != RL_DIM_CONCEPT) return RL_OK;
    RL_TRY(rl_shard_read_list(shard, dimension, &names, &count, &width, err));
    RL_ALLOC(place, count, err);
    for (int64_t i = 0; i < count; i++) {
        const char *name = names + (size_t)i * width;
        place[i] = rl_names_find(all, name, strnlen(name, width));
        if (place[i] < 0) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: '%.*s' is no concept that the sweep follows", rl_shard_place(shard).path,
                             (int)width, name);
            goto cleanup;
        }
    }
    *out = place;
    place = NULL;
cleanup:
    rl_free(place);
    rl_free(names);
    return status;
}

/* Row of run r in g->row; shard NULL: all missing. */
static rl_status build_row(gather *g, const rl_target *t, int64_t r, const rl_shard *shard, rl_error *err)
{
    char name[64];
    int32_t *place = NULL;
    if (!shard || t->field->since > rl_shard_format(shard)) {
        rl_fill_missing(g->row, rl_array_count(&t->row), t->row.element, t->row.width);
        return RL_OK;
    }
    if (t->field->axis == RL_AXIS_PRUNED) return build_pruned(g->row, t, shard, err);
    rl_array stored = rl_field_array(t->field, rl_shard_extents(shard));
    rl_field_path(name, t->field);
    rl_status status = rl_h5_get(g->stored, rl_shard_place(shard), name, &stored, err);
    if (status == RL_OK) status = places(&place, g, t, shard, err);
    if (status == RL_OK) rl_pad(g->row, &t->row, g->stored, &stored, place);
    rl_free(place);
    if (status == RL_OK && t->field->axis == RL_AXIS_WORD && t->row.element == RL_I32) renumber_words(g, t, r);
    return status;
}

/* What was read back must be what the shard says, bit by bit (open-mpi/ompi#12718, #11917, #4404: wrong bytes
 * without an error). */
static rl_status compare(gather *g, const char *path, const char *whose, const void *expected, const void *found,
                         size_t bytes, rl_error *err)
{
    if (memcmp(expected, found, bytes) == 0) return RL_OK;
    return rl_fail(err, RL_ERR_IO,
                   "%s: %s of %s, read back, differs from what was written; the MPI library's parallel I/O corrupts "
                   "data here (with Open "
                   "MPI, try: mpirun --mca io romio321)",
                   g->temporary, path, whose);
}

/* One target's row of run r. Rows are contiguous and each is one rank's alone, so transfers are independent: no rank waits
 * for another between the first row and the agreement after the last (2,000 collective writes cost as many meetings). */
static rl_status transfer_row(gather *g, rl_target *t, int64_t r, const rl_shard *shard, bool write, rl_error *err)
{
    hsize_t at = (hsize_t)(t->model < 0 ? r : g->survey->model_row[r]);
    rl_status status = build_row(g, t, r, shard, err);
    if (status == RL_OK)
        status = rl_parallel_rows(g->file, t->id, H5P_DEFAULT, write, at, 1, t->row, write ? g->row : g->back, t->path, err);
    if (status == RL_OK && !write)
        status = compare(g, t->path, g->survey->runs[r].id, g->row, g->back, rl_array_bytes(&t->row), err);
    return status;
}

/* All targets of this rank's i-th run. One shard is open at a time. */
static rl_status transfer_run(gather *g, int64_t i, bool write, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    int64_t r = g->survey->first + i;
    if (g->survey->summary[r].presence == RL_PRESENT) RL_TRY(rl_shard_open(&shard, g->survey->runs[r].shard, err));
    for (int32_t t = 0; t < g->layout->num_targets; t++)
        if (g->layout->targets[t].model < 0 || g->layout->targets[t].model == g->survey->model[r])
            RL_TRY(transfer_row(g, &g->layout->targets[t], r, shard, write, err));
    if (write && shard) status = rl_columns_read(g->layout, g->survey, i, shard, err);
cleanup:
    rl_shard_close(shard);
    return status;
}

/* The rows of /runs in one block a rank, and what everyone knows by rank 0 (read back by all). */
static rl_status transfer_columns(gather *g, bool write, unsigned char *back, rl_error *err)
{
    rl_status status = RL_OK;
    rl_error later = {0};
    hsize_t first = (hsize_t)g->survey->first, count = (hsize_t)g->survey->count;
    for (int32_t i = 0; i < g->layout->num_columns; i++) {
        rl_column *c = &g->layout->columns[i];
        rl_array one = {.element = c->element, .width = c->width};
        rl_status moved = rl_parallel_rows(g->file, c->id, H5P_DEFAULT, write, first, count, one,
                                           write ? c->values : back, c->path, &later);
        if (moved == RL_OK && !write)
            moved = compare(g, c->path, "this rank's runs", c->values, back, (size_t)count * c->width, &later);
        if (moved != RL_OK && status == RL_OK) status = rl_fail(err, moved, "%s", later.message);
    }
    for (int32_t i = 0; i < g->layout->num_coordinates; i++) {
        rl_coordinate *c = &g->layout->coordinates[i];
        rl_array one = {.element = c->array.element, .width = c->array.width};
        hsize_t n = write && g->survey->rank != 0 ? 0 : (hsize_t)rl_array_count(&c->array);
        rl_status moved =
            rl_parallel_rows(g->file, c->id, H5P_DEFAULT, write, 0, n, one, write ? c->values : back, c->path, &later);
        if (moved == RL_OK && !write)
            moved = compare(g, c->path, "all runs", c->values, back, rl_array_bytes(&c->array), &later);
        if (moved != RL_OK && status == RL_OK) status = rl_fail(err, moved, "%s", later.message);
    }
    return rl_store_agree(g->comm, status, err);
}

static size_t largest_column(const gather *g)
{
    size_t largest = 1;
    for (int32_t i = 0; i < g->layout->num_columns; i++)
        if (g->layout->columns[i].width * (size_t)g->survey->count > largest)
            largest = g->layout->columns[i].width * (size_t)g->survey->count;
    for (int32_t i = 0; i < g->layout->num_coordinates; i++)
        if (rl_array_bytes(&g->layout->coordinates[i].array) > largest)
            largest = rl_array_bytes(&g->layout->coordinates[i].array);
    return largest;
}

static rl_status transfer_all(gather *g, bool write, rl_error *err)
{
    rl_status status = RL_OK;
    unsigned char *back = NULL;
    for (int64_t i = 0; i < g->survey->count && status == RL_OK; i++) status = transfer_run(g, i, write, err);
    RL_TRY(rl_store_agree(g->comm, status, err));
    back = rl_calloc(largest_column(g), 1, err);
    RL_TRY(rl_store_agree(g->comm, back ? RL_OK : RL_ERR_MEMORY, err));
    RL_TRY(transfer_columns(g, write, back, err));
cleanup:
    rl_free(back);
    return status;
}

/* -------------------------------------------------------------------------------------------------- verify */

static hid_t open_again(gather *g, const char *path, rl_status *status, rl_error *err)
{
    hid_t id = H5Dopen2(g->file.id, path, H5P_DEFAULT);
    if (id < 0 && *status == RL_OK)
        *status = rl_h5_fail(err, RL_ERR_IO, g->temporary, "%s cannot be opened again", path);
    return id;
}

static rl_status reopen_file(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    hid_t access = rl_parallel_access(g->comm);
    g->file.id = H5Fopen(g->temporary, H5F_ACC_RDONLY, access);
    if (g->file.id < 0) status = rl_h5_fail(err, RL_ERR_IO, g->temporary, "cannot be opened again");
    rl_h5_close(access);
    status = rl_store_agree(g->comm, status, err);
    if (status != RL_OK) return status;
    for (int32_t i = 0; i < g->layout->num_coordinates; i++)
        g->layout->coordinates[i].id = open_again(g, g->layout->coordinates[i].path, &status, err);
    for (int32_t i = 0; i < g->layout->num_columns; i++)
        g->layout->columns[i].id = open_again(g, g->layout->columns[i].path, &status, err);
    for (int32_t i = 0; i < g->layout->num_targets; i++)
        g->layout->targets[i].id = open_again(g, g->layout->targets[i].path, &status, err);
    return rl_store_agree(g->comm, status, err);
}

/* -------------------------------------------------------------------------------------------------- gather */

static rl_status make_row_buffers(gather *g, rl_error *err)
{
    rl_status status = RL_OK;
    size_t largest = 1;
    for (int32_t i = 0; i < g->layout->num_targets; i++)
        if (rl_array_bytes(&g->layout->targets[i].row) > largest) largest = rl_array_bytes(&g->layout->targets[i].row);
    RL_ALLOC(g->stored, largest, err);
    RL_ALLOC(g->row, largest, err);
    RL_ALLOC(g->back, largest, err);
cleanup:
    return status;
}

static rl_status name_files(gather *g, const char *directory, rl_error *err)
{
    long pid = (long)getpid();
    MPI_Bcast(&pid, 1, MPI_LONG, 0, g->comm);
    g->path = rl_path_join(directory, "results.h5", err);
    g->temporary = g->path ? rl_format(err, "%s.tmp.%ld", g->path, pid) : NULL;
    return g->temporary ? RL_OK : RL_ERR_MEMORY;
}

static rl_status publish(gather *g, rl_error *err)
{
    rl_status status = g->survey->rank == 0 ? rl_publish(g->temporary, g->path, err) : RL_OK;
    return rl_store_agree(g->comm, status, err);
}

static rl_status prepare(gather *g, const char *directory, const rl_sweep *sweep, const rl_gather_run *runs,
                         rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_store_agree(g->comm, name_files(g, directory, err), err));
    RL_TRY(rl_survey_create(&g->survey, g->comm, sweep, runs, err));
    RL_TRY(rl_store_agree(g->comm, rl_layout_create(&g->layout, g->survey, err), err));
    RL_TRY(rl_store_agree(g->comm, make_row_buffers(g, err), err));
cleanup:
    return status;
}

/* status: how it went so far, agreed upon. The file is closed whatever happened. */
static rl_status finish_phase(gather *g, rl_status status, rl_error *err)
{
    rl_error later = {0};
    rl_status closed = close_file(g, &later);
    if (status == RL_OK && closed != RL_OK) status = rl_fail(err, closed, "%s", later.message);
    return status;
}

static rl_status write_phase(gather *g, rl_error *err)
{
    rl_status status = create_file(g, err);
    if (status == RL_OK) status = transfer_all(g, true, err);
    return finish_phase(g, status, err);
}

static rl_status verify_phase(gather *g, rl_error *err)
{
    rl_status status = reopen_file(g, err);
    if (status == RL_OK) status = transfer_all(g, false, err);
    return finish_phase(g, status, err);
}

static void release(gather *g, bool failed)
{
    if (failed && g->survey && g->survey->rank == 0 && g->temporary) unlink(g->temporary);
    rl_layout_free(g->layout);
    rl_survey_free(g->survey);
    rl_free(g->stored);
    rl_free(g->row);
    rl_free(g->back);
    rl_free(g->path);
    rl_free(g->temporary);
    MPI_Comm_free(&g->comm);
}

rl_status rl_store_gather(MPI_Comm comm, const char *directory, const rl_sweep *sweep, const rl_gather_run *runs,
                          int64_t *num_damaged, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    gather g = {.comm = rl_store_plain_comm(comm), .file = {H5I_INVALID_HID, NULL}};
    RL_TRY(prepare(&g, directory, sweep, runs, err));
    g.file.path = g.temporary;
    RL_TRY(write_phase(&g, err));
    RL_TRY(verify_phase(&g, err));
    RL_TRY(publish(&g, err));
    if (num_damaged) *num_damaged = g.survey->num_damaged;
cleanup:
    release(&g, status != RL_OK);
    rl_h5_quiet_end(quiet);
    return rl_error_while(err, status, "gathering shards into %s/results.h5", directory);
}
