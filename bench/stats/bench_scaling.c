/* bench_scaling.c -- relearn stats on a synthetic store, and gather's write beside a raw one: weak scaling and memory.
 *
 *   mpirun -n R bench_stats_scaling [--runs 2000] [--neurons 5376] [--smoke]
 *
 * Weak scaling: run with R ranks on R times the runs. Each rank writes its rows of the store through parallel HDF5 (what
 * gather does, at the same place), and the same bytes raw; then the principal components of runs x neurons (pdsyrk, pdsyevd)
 * are computed, and checked: the components' variances may not exceed the total, and the shares fall. Rank 0 prints JSON. */
#include "stats_steps.h"

#include "options.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STAGES = 1, LAYERS = 7, ROUNDS = 5 /* of writing, HDF5 and raw in turn; the medians are compared */ };

/* /runs and the layers: small, by rank 0 alone. */
static rl_status write_small(const char *path, int64_t R, int64_t N, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = {H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), path};
    rl_array text = rl_text_array(12, (hsize_t)R), integers = rl_array_of(RL_I64, 1, (hsize_t[]){(hsize_t)R}),
             reals = rl_array_of(RL_F64, 1, (hsize_t[]){(hsize_t)R}), layers = rl_array_of(RL_I32, 1, (hsize_t[]){(hsize_t)N});
    char *words = rl_calloc((size_t)R, 12, err);
    int64_t *seeds = rl_calloc((size_t)R, sizeof *seeds, err);
    double *f1 = rl_calloc((size_t)R, sizeof *f1, err);
    int32_t *layer = rl_calloc((size_t)N, sizeof *layer, err);
    if (file.id < 0) status = rl_h5_fail(err, RL_ERR_IO, path, "cannot be made");
    if (!words || !seeds || !f1 || !layer) status = RL_ERR_MEMORY;
    for (int64_t r = 0; status == RL_OK && r < R; r++) snprintf(words + r * 12, 12, "%08x", (unsigned)r), seeds[r] = r, f1[r] = 0.9;
    for (int64_t n = 0; status == RL_OK && n < N; n++) layer[n] = (int32_t)(n / (N / LAYERS));
    if (status == RL_OK) status = rl_h5_put_text(file, "format", RL_RESULTS_FORMAT, err);
    if (status == RL_OK) status = rl_h5_make_group(file, "/runs", err);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/run", &text, words, err);
    for (int64_t r = 0; status == RL_OK && r < R; r++) memset(words + r * 12, 0, 12), memcpy(words + r * 12, "done", 4);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/status", &text, words, err);
    for (int64_t r = 0; status == RL_OK && r < R; r++) memset(words + r * 12, 0, 12), memcpy(words + r * 12, "mini", 4);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/model", &text, words, err);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/concept", &text, words, err);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/seed", &integers, seeds, err);
    if (status == RL_OK) status = rl_h5_put(file, "/runs/f1_base", &reals, f1, err);
    if (status == RL_OK) status = rl_h5_make_group(file, "/neurons", err);
    if (status == RL_OK) status = rl_h5_make_group(file, "/neurons/mini", err);
    if (status == RL_OK) status = rl_h5_put(file, "/neurons/mini/layer", &layers, layer, err);
    if (file.id >= 0 && H5Fclose(file.id) < 0 && status == RL_OK) status = rl_h5_fail(err, RL_ERR_IO, path, "cannot be completed");
    rl_free(words);
    rl_free(seeds);
    rl_free(f1);
    rl_free(layer);
    return status;
}

static void fill_row(double *row, int64_t r, int64_t N)
{
    for (int64_t n = 0; n < N; n++)
        row[n] = rl_rng_uniform(7, RL_PURPOSE_BOOTSTRAP, 9, 0, (uint64_t)(r * N + n)) + (double)(r % 3) * (double)(n % 5) / 8;
}

/* As gather: each rank its own rows, one at a time. Seconds until all of it is on the disk. */
static rl_status write_rows(double *seconds, MPI_Comm comm, const char *path, int64_t R, int64_t N, rl_error *err)
{
    rl_status status = RL_OK;
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    rl_array all = rl_array_of(RL_F64, 3, (hsize_t[]){(hsize_t)R, STAGES, (hsize_t)N}), row = rl_array_of(RL_F64, 2, (hsize_t[]){STAGES, (hsize_t)N});
    int64_t first = rl_share_first(R, size, rank), count = rl_share_first(R, size, rank + 1) - first;
    double *values = rl_calloc((size_t)N, sizeof *values, err), spent = 0;
    hid_t access = rl_parallel_access(comm), dataset = H5I_INVALID_HID;
    rl_place file = {H5Fopen(path, H5F_ACC_RDWR, access), path};
    status = values && file.id >= 0 ? rl_h5_create(&dataset, file, "/neurons/mini/saliency", &all, err) : RL_ERR_IO;
    status = rl_store_agree(comm, status, err);
    for (int64_t i = 0; status == RL_OK && i < count; i++) {
        fill_row(values, first + i, N);
        double start = rl_now_s();
        status = rl_parallel_rows(file, dataset, H5P_DEFAULT, true, (hsize_t)(first + i), 1, row, values, "saliency", err);
        spent += rl_now_s() - start;
    }
    MPI_Allreduce(MPI_IN_PLACE, &spent, 1, MPI_DOUBLE, MPI_MAX, comm); /* whoever wrote longest; making the numbers is not counted */
    double start = rl_now_s();
    rl_h5_close(dataset);
    rl_h5_close(access);
    if (file.id >= 0) H5Fclose(file.id);
    MPI_Barrier(comm);
    int descriptor = rank == 0 ? open(path, O_RDONLY) : -1;
    if (descriptor >= 0 && (fsync(descriptor) != 0 || close(descriptor) != 0)) spent = NAN;
    MPI_Barrier(comm);
    *seconds = spent + rl_now_s() - start;
    rl_free(values);
    return rl_store_agree(comm, status, err);
}

/* The same bytes by rank 0, plainly. */
static double raw_seconds(const char *path, int64_t R, int64_t N)
{
    double *row = rl_calloc((size_t)N, sizeof *row, NULL), spent = 0, start;
    rl_atomic_file file = {.descriptor = -1};
    if (!row || rl_atomic_begin(&file, path, NULL) != RL_OK) return NAN;
    for (int64_t r = 0; r < R; r++) {
        fill_row(row, r, N);
        start = rl_now_s();
        if (rl_atomic_write(&file, row, (size_t)N * sizeof *row, NULL) != RL_OK) spent = NAN;
        spent += rl_now_s() - start;
    }
    start = rl_now_s();
    if (rl_atomic_commit(&file, NULL) != RL_OK) spent = NAN;
    spent += rl_now_s() - start;
    unlink(path);
    rl_free(row);
    return spent;
}

static rl_status components(double *seconds, size_t *peak, bool *right, MPI_Comm comm, const char *path, rl_error *err)
{
    rl_status status = RL_OK;
    rl_source *source = NULL;
    rl_outputs o = {0};
    rl_layers layers = {0}, *list[1] = {&layers};
    double *present = NULL;
    RL_TRY(rl_source_open(&source, comm, path, err));
    layers.model = &source->models[0];
    RL_ALLOC(present, source->num_runs * STAGES * RL_NUM_STAGE_MEASURES, err); /* zeros: every run has the stage */
    layers.by_stage = present;
    rl_work work = {.source = source, .layers = list};
    MPI_Barrier(comm);
    double start = rl_now_s();
    RL_TRY(rl_components_of_model(&work, 0, &o, peak, err));
    *seconds = rl_now_s() - start;
    const double *share = rl_outputs_find(&o, "/stats/components/mini/share")->values;
    *right = share[0] > share[1] && share[1] >= share[2] && share[9] > 0 && share[0] < 1;
cleanup:
    rl_free(present);
    rl_outputs_clear(&o);
    rl_source_close(source);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double seconds[ROUNDS])
{
    qsort(seconds, ROUNDS, sizeof *seconds, ascending);
    return seconds[ROUNDS / 2];
}

static rl_status measure(MPI_Comm comm, int64_t R, int64_t N, rl_error *err)
{
    rl_status status = RL_OK;
    int rank, size;
    char path[256], raw[300];
    double gathers[ROUNDS] = {0}, plains[ROUNDS] = {0}, gather = NAN, plain = NAN, seconds = NAN, memory;
    size_t peak = 0, largest = 0;
    bool right = false;
    struct rusage usage;
    long pid = (long)getpid();
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Bcast(&pid, 1, MPI_LONG, 0, comm);
    snprintf(path, sizeof path, "%s/bench-stats-%ld.h5", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", pid);
    snprintf(raw, sizeof raw, "%s.raw", path);
    for (int i = 0; i < ROUNDS; i++) {
        RL_TRY(rl_store_agree(comm, rank == 0 ? write_small(path, R, N, err) : RL_OK, err));
        RL_TRY(write_rows(&gathers[i], comm, path, R, N, err));
        if (rank == 0) plains[i] = raw_seconds(raw, R, N);
        MPI_Barrier(comm);
    }
    gather = median(gathers);
    plain = median(plains);
    RL_TRY(components(&seconds, &peak, &right, comm, path, err));
    MPI_Allreduce(&peak, &largest, 1, MPI_UNSIGNED_LONG, MPI_MAX, comm);
    getrusage(RUSAGE_SELF, &usage);
    memory = (double)usage.ru_maxrss / 1024;
    double megabytes = (double)(R * N) * 8e-6;
    if (rank == 0)
        printf("{\"ranks\": %d, \"runs\": %lld, \"neurons\": %lld, \"right\": %s, \"components_s\": %.3f, \"largest_local_matrix_mb\": %.2f, "
               "\"whole_matrix_mb\": %.2f, \"rank0_peak_rss_mb\": %.0f, \"hdf5_mb_per_s\": %.0f, \"raw_mb_per_s\": %.0f, "
               "\"share_of_raw\": %.3f}\n",
               size, (long long)R, (long long)N, right ? "true" : "false", seconds, (double)largest / 1e6, megabytes, memory, megabytes / gather,
               megabytes / plain, plain / gather);
    if (!right) status = rl_fail(err, RL_ERR_INTERNAL, "the components are not those of the matrix");
cleanup:
    if (rank == 0) unlink(path);
    return status;
}

int main(int argc, char **argv)
{
    rl_error err = {0};
    int rank;
    bool smoke = false;
    int64_t R = 2000, N = 5376;
    const bench_option table[] = {{"--runs", BENCH_COUNT, &R, "runs of the synthetic store", 3, 1e6},
                                  {"--neurons", BENCH_COUNT, &N, "neurons a run", LAYERS, 1e7},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int code = bench_options(argc, argv, "gather's writing beside raw writing, and principal components by ScaLAPACK (under mpirun)", table);
    if (code >= 0) return code;
    if (smoke) R = 40, N = 70;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    rl_status status = rl_linalg_init(NULL, &err);
    if (status == RL_OK) status = measure(MPI_COMM_WORLD, R, N / LAYERS * LAYERS, &err);
    if (status != RL_OK && rank == 0) fprintf(stderr, "bench_stats_scaling: %s\n", err.message);
    MPI_Finalize();
    return status == RL_OK ? 0 : 1;
}
