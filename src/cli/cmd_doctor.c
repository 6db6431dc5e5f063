/* cmd_doctor.c: relearn doctor [--json] -- what this machine offers, what is slow or wrong, and the mend. */
#include "cli.h"

#include "relearn/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const rl_option options[] = {{"json", NULL, "JSON on standard output"},
                                    {"directory", "DIR", "where the disk is measured (default: the current folder)"},
                                    {NULL, NULL, NULL}};

/* Training shapes of a 384- and a 768-wide model: tokens of a batch x outputs x inputs. */
static const int64_t shapes[][3] = {{160, 1152, 384}, {160, 1536, 384}, {160, 3072, 768}, {160, 768, 3072}};

static void cpu_name(char text[128])
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(text, 128, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(text, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file) fclose(file);
}

static double mean_rate(const char *backend)
{
    double sum = 0;
    const int n = (int)(sizeof shapes / sizeof *shapes);
    for (int i = 0; i < n; i++) sum += rl_gemm_rate(backend, shapes[i][0], shapes[i][1], shapes[i][2], 0.15);
    return sum / n;
}

/* MB/s of 64 MB written, fsynced and removed again; NaN when it cannot be. */
static double disk_rate(const char *directory)
{
    const size_t bytes = (size_t)64 << 20;
    char *path = rl_format(NULL, "%s/.relearn-doctor.%ld", directory, (long)getpid()), *block = rl_calloc(bytes, 1, NULL);
    double rate = NAN, start = rl_now_s();
    if (path && block && rl_write_file(path, block, bytes, NULL) == RL_OK) rate = (double)bytes / 1e6 / (rl_now_s() - start);
    if (path) unlink(path);
    rl_free(block);
    rl_free(path);
    return rate;
}

static void advise(json_t *advice, double peak, const char *chosen, double chosen_rate, double best_rate, const char *best)
{
    char text[400];
    if (strcmp(chosen, best) && best_rate > 1.1 * chosen_rate) {
        snprintf(text, sizeof text, "%s is %.1f times as fast as %s here: RELEARN_GEMM=%s", best, best_rate / chosen_rate, chosen, best);
        json_array_append_new(advice, json_string(text));
    }
    if (best_rate < 0.4 * peak) {
        snprintf(text, sizeof text,
                 "matrix products reach only %.0f %% of the FMA peak: OpenBLAS may have picked a kernel for another CPU "
                 "(install libdnnl-dev and build again, or have OPENBLAS_CORETYPE set for this CPU)",
                 100 * best_rate / peak);
        json_array_append_new(advice, json_string(text));
    }
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) json_array_append_new(advice, json_string("one core only: ranks would share it"));
}

static json_t *gemm_json(json_t *advice, double peak)
{
    const char *const *names, *best = "";
    size_t count = rl_gemm_backends(&names);
    double best_rate = 0, chosen_rate = 0;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        double rate = mean_rate(names[i]);
        bool chosen = !strcmp(names[i], rl_gemm_backend());
        if (chosen) chosen_rate = rate;
        if (rate > best_rate) {
            best_rate = rate;
            best = names[i];
        }
        json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:b}", "backend", names[i], "gflops", rate, "share_of_peak",
                                              rate / peak, "chosen", (int)chosen));
    }
    advise(advice, peak, rl_gemm_backend(), chosen_rate, best_rate, best);
    return list;
}

static json_t *hdf5_json(json_t *advice, const char *directory)
{
    double rate = NAN;
    rl_error err = {0};
    rl_status status = rl_hdf5_round_trip(MPI_COMM_WORLD, directory, &rate, &err);
    if (status != RL_OK) json_array_append_new(advice, json_string(err.message));
    return json_pack("{s:s, s:b, s:b, s:o}", "version", rl_hdf5_version(), "parallel", 1, "round_trip", (int)(status == RL_OK),
                     "megabytes_per_second", rl_json_number(rate));
}

/* The eigenvectors of a small matrix, by all ranks: field notes E tells of grids on which ScaLAPACK goes wrong. */
static json_t *scalapack_json(json_t *advice)
{
    double residual = NAN;
    rl_error err = {0};
    char text[200];
    rl_status status = rl_scalapack_residual(MPI_COMM_WORLD, &residual, &err);
    bool right = status == RL_OK && residual < 1e-10;
    if (status != RL_OK) json_array_append_new(advice, json_string(err.message));
    if (status == RL_OK && !right) {
        snprintf(text, sizeof text, "ScaLAPACK's pdsyevd leaves a residual of %.2g: relearn stats would be wrong here; install another build of it", residual);
        json_array_append_new(advice, json_string(text));
    }
    return json_pack("{s:b, s:o}", "right", (int)right, "residual", rl_json_number(residual));
}

/* doctor alone runs where every other command is refused: it says which MPI this is. */
static void advise_on_launcher(json_t *advice)
{
    rl_error err = {0};
    if (rl_refuse_strangers(&err) != RL_OK) json_array_append_new(advice, json_string(err.message));
}

static json_t *examine(const char *directory)
{
    char cpu[128], mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0, num_ranks = 1;
    json_t *advice = json_array();
    double peak = rl_fma_peak_gflops();
    cpu_name(cpu);
    MPI_Get_library_version(mpi, &length);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    mpi[strcspn(mpi, ",\n")] = '\0';
    advise_on_launcher(advice);
    bool keep = false;
    rl_status known = rl_linalg_threads_keep_bits(&keep, NULL);
    json_t *gemm = gemm_json(advice, peak), *hdf5 = hdf5_json(advice, directory), *scalapack = scalapack_json(advice);
    int64_t free_bytes = rl_disk_free_bytes(directory);
    if (free_bytes >= 0 && free_bytes < (int64_t)5e9)
        json_array_append_new(advice, json_string("less than 5 GB of disk are free here: a sweep keeps its stages' models"));
    return json_pack("{s:i, s:b, s:s, s:s, s:i, s:s, s:f, s:o, s:s, s:i, s:o, s:o, s:{s:s, s:o, s:I}, s:o}", "cores_allowed", rl_cluster_cores(),
                     "threads_keep_bits", (int)(known == RL_OK && keep), "version", RL_VERSION, "cpu", cpu,
                     "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "isa", rl_isa_name(), "fma_peak_gflops", peak, "gemm", gemm,
                     "mpi", mpi, "ranks", num_ranks, "hdf5", hdf5, "scalapack", scalapack, "disk", "directory", directory, "write_megabytes_per_second",
                     rl_json_number(disk_rate(directory)), "free_bytes", (json_int_t)free_bytes, "advice", advice);
}

static void print_text(const json_t *root)
{
    const json_t *entry, *hdf5 = json_object_get(root, "hdf5"), *disk = json_object_get(root, "disk");
    size_t i;
    char size[32];
    printf("relearn   %s\n", RL_VERSION);
    printf("cpu       %s, %lld cores, kernels for %s\n", json_string_value(json_object_get(root, "cpu")),
           (long long)json_integer_value(json_object_get(root, "cores")), json_string_value(json_object_get(root, "isa")));
    printf("peak      %.0f GFLOP/s a core (fused multiply-adds)\n", json_real_value(json_object_get(root, "fma_peak_gflops")));
    json_array_foreach(json_object_get(root, "gemm"), i, entry)
        printf("gemm      %-8s %4.0f GFLOP/s, %2.0f %% of the peak%s\n", json_string_value(json_object_get(entry, "backend")),
               json_real_value(json_object_get(entry, "gflops")), 100 * json_real_value(json_object_get(entry, "share_of_peak")),
               json_is_true(json_object_get(entry, "chosen")) ? "  <- in use" : "");
    printf("threads   threads_per_rank %s; this process may use %lld core%s\n",
           json_is_true(json_object_get(root, "threads_keep_bits")) ? "changes no bit" : "is part of the stage keys with this back end",
           (long long)json_integer_value(json_object_get(root, "cores_allowed")),
           json_integer_value(json_object_get(root, "cores_allowed")) == 1 ? "" : "s");
    printf("mpi       %s, %lld rank(s) now\n", json_string_value(json_object_get(root, "mpi")),
           (long long)json_integer_value(json_object_get(root, "ranks")));
    printf("hdf5      %s, parallel, write-read round trip %s (%.0f MB/s)\n", json_string_value(json_object_get(hdf5, "version")),
           json_is_true(json_object_get(hdf5, "round_trip")) ? "right" : "WRONG",
           json_number_value(json_object_get(hdf5, "megabytes_per_second")));
    const json_t *scalapack = json_object_get(root, "scalapack");
    printf("scalapack pdsyevd on these ranks %s (residual %.1g)\n", json_is_true(json_object_get(scalapack, "right")) ? "right" : "WRONG",
           json_number_value(json_object_get(scalapack, "residual")));
    rl_format_bytes(size, (double)json_integer_value(json_object_get(disk, "free_bytes")));
    printf("disk      %s: %.0f MB/s written and synchronised, %s free\n", json_string_value(json_object_get(disk, "directory")),
           json_number_value(json_object_get(disk, "write_megabytes_per_second")), size);
    json_array_foreach(json_object_get(root, "advice"), i, entry) printf("advice    %s\n", json_string_value(entry));
    if (!json_array_size(json_object_get(root, "advice"))) printf("%snothing to mend%s\n", rl_green(stdout), rl_plain(stdout));
}

/* A folder that is not there says nothing about parallel HDF5. */
static rl_status check_directory(const char *directory, rl_error *err)
{
    if (rl_path_is_directory(directory) && access(directory, W_OK) == 0) return RL_OK;
    return rl_fail(err, RL_ERR_USAGE, "--directory: %s is no folder that this user may write into; the folder where results shall go was expected", directory);
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    int rank = 0;
    const char *directory = rl_args_text(args, "directory", ".");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    rl_status status = check_directory(directory, err);
    if (status == RL_OK) status = rl_linalg_init(NULL, err);
    status = rl_cluster_agree(MPI_COMM_WORLD, status, err); /* one machine of several may be at fault */
    if (status != RL_OK) return status;
    json_t *root = examine(directory);
    if (!root) return rl_fail(err, RL_ERR_MEMORY, "the findings cannot be put together");
    bool right = json_is_true(json_object_get(json_object_get(root, "hdf5"), "round_trip")) &&
                 json_is_true(json_object_get(json_object_get(root, "scalapack"), "right"));
    *exit_code = right ? 0 : 1;
    if (rank == 0 && rl_args_flag(args, "json")) {
        char *text = json_dumps(root, JSON_INDENT(2));
        if (text) printf("%s\n", text);
        free(text); /* jansson's allocation, not ours */
    } else if (rank == 0) {
        print_text(root);
    }
    json_decref(root);
    return RL_OK;
}

const rl_command rl_command_doctor = {"doctor", "[--json]", "CPU, matrix-product rates, MPI, parallel HDF5, ScaLAPACK, disk: what is slow or wrong", 0,
                                      0, options,
    "On several ranks (mpirun -n 4 relearn doctor, in the folder where results shall go) each writes into one file through parallel\n"
    "HDF5 and reads what its neighbour wrote. Exit code 1 where that, or ScaLAPACK, gives wrong results: sweeps would too.\n", run, true};
