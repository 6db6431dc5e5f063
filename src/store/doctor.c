/* doctor.c -- what `relearn doctor` asks about HDF5: which one it is, and whether all ranks can write one file and
 * read the same bytes. */
#include "store_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROUND_TRIP_ROWS  512 /* of 1024 doubles: 4 MiB a rank */
#define ROUND_TRIP_WIDTH 1024

const char *rl_hdf5_version(void)
{
    static char version[32]; /* the same text whoever asks */
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    snprintf(version, sizeof version, "%u.%u.%u", major, minor, release);
    return version;
}

/* Did the write really go out as one collective operation? HDF5 falls back silently. */
static rl_status check_collective(rl_place file, hid_t transfer, rl_error *err)
{
    uint32_t local = 0, global = 0;
    if (H5Pget_mpio_no_collective_cause(transfer, &local, &global) < 0)
        return rl_h5_fail(err, RL_ERR_INTERNAL, file.path, "HDF5 does not say whether the write was collective");
    if (global == H5D_MPIO_COLLECTIVE) return RL_OK;
    return rl_fail(err, RL_ERR_INTERNAL, "%s: HDF5 broke the collective write into independent ones (cause 0x%x)",
                   file.path, (unsigned)global);
}

static rl_status move_rows(rl_place file, hid_t dataset, int rank, bool write, double *values, rl_error *err)
{
    rl_array row = rl_array_of(RL_F64, 1, (hsize_t[]){ROUND_TRIP_WIDTH});
    hid_t transfer = rl_parallel_transfer();
    rl_status status = rl_parallel_rows(file, dataset, transfer, write, (hsize_t)rank * ROUND_TRIP_ROWS,
                                        ROUND_TRIP_ROWS, row, values, "/values", err);
    if (status == RL_OK && write) status = check_collective(file, transfer, err);
    rl_h5_close(transfer);
    return status;
}

static rl_status close_agreed(MPI_Comm comm, rl_place *file, hid_t dataset, rl_status status, rl_error *err)
{
    rl_h5_close(dataset);
    if (file->id >= 0 && H5Fclose(file->id) < 0 && status == RL_OK)
        status = rl_h5_fail(err, RL_ERR_IO, file->path, "cannot be closed");
    file->id = H5I_INVALID_HID;
    return rl_store_agree(comm, status, err);
}

static rl_status write_values(MPI_Comm comm, const char *path, int rank, int size, double *values, rl_error *err)
{
    hsize_t dims[] = {(hsize_t)size * ROUND_TRIP_ROWS, ROUND_TRIP_WIDTH};
    rl_array array = rl_array_of(RL_F64, 2, dims);
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, path};
    hid_t access = rl_parallel_access(comm), dataset = H5I_INVALID_HID;
    file.id = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (file.id < 0) status = rl_h5_fail(err, RL_ERR_IO, path, "cannot be made");
    rl_h5_close(access);
    status = rl_store_agree(comm, status, err);
    if (status != RL_OK) return close_agreed(comm, &file, dataset, status, err);
    status = rl_store_agree(comm, rl_h5_create(&dataset, file, "values", &array, err), err);
    if (status == RL_OK) status = move_rows(file, dataset, rank, true, values, err);
    return close_agreed(comm, &file, dataset, status, err);
}

static rl_status read_values(MPI_Comm comm, const char *path, int whose, double *values, rl_error *err)
{
    rl_status status = RL_OK;
    rl_place file = {H5I_INVALID_HID, path};
    hid_t access = rl_parallel_access(comm), dataset = H5I_INVALID_HID;
    file.id = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (file.id >= 0) dataset = H5Dopen2(file.id, "values", H5P_DEFAULT);
    if (dataset < 0) status = rl_h5_fail(err, RL_ERR_IO, path, "cannot be opened again");
    rl_h5_close(access);
    status = rl_store_agree(comm, status, err);
    if (status == RL_OK) status = move_rows(file, dataset, whose, false, values, err);
    return close_agreed(comm, &file, dataset, status, err);
}

/* A rank's rows: no value twice in the file. */
static void fill(double *values, size_t n, int rank)
{
    for (size_t i = 0; i < n; i++) values[i] = (double)rank + 1e-6 * (double)i;
}

static rl_status round_trip(MPI_Comm comm, const char *path, double *seconds, rl_error *err)
{
    rl_status status = RL_OK;
    int rank, size;
    size_t n = (size_t)ROUND_TRIP_ROWS * ROUND_TRIP_WIDTH;
    double *written = NULL, *read = NULL;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    written = rl_calloc(n, sizeof *written, err);
    read = rl_calloc(n, sizeof *read, err);
    RL_TRY(rl_store_agree(comm, written && read ? RL_OK : RL_ERR_MEMORY, err));
    if (rank == 0) status = rl_reserve(path, n * (size_t)size * sizeof *written + 65536, err);
    RL_TRY(rl_store_agree(comm, status, err));
    fill(written, n, rank);
    double start = rl_now_s();
    RL_TRY(write_values(comm, path, rank, size, written, err));
    RL_TRY(read_values(comm, path, (rank + 1) % size, read, err)); /* one's own may come from a cache, or back from the wrong place */
    *seconds = rl_now_s() - start;
    fill(written, n, (rank + 1) % size);
    if (memcmp(written, read, n * sizeof *read))
        status = rl_fail(
            err, RL_ERR_IO,
            "%s: parallel HDF5 reads back other bytes than it wrote; with Open MPI, try: mpirun --mca io romio321",
            path);
    status = rl_store_agree(comm, status, err);
cleanup:
    rl_free(written);
    rl_free(read);
    return status;
}

rl_status rl_hdf5_round_trip(MPI_Comm comm, const char *directory, double *megabytes_per_second, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    MPI_Comm plain = rl_store_plain_comm(comm);
    long pid = (long)getpid();
    int rank, size;
    double seconds = 0;
    MPI_Comm_rank(plain, &rank);
    MPI_Comm_size(plain, &size);
    MPI_Bcast(&pid, 1, MPI_LONG, 0, plain);
    char *path = rl_format(err, "%s/.relearn-hdf5-%ld.h5", directory, pid);
    RL_TRY(rl_store_agree(plain, path ? RL_OK : RL_ERR_MEMORY, err));
    RL_TRY(round_trip(plain, path, &seconds, err));
    double megabytes = 2.0 * size * ROUND_TRIP_ROWS * ROUND_TRIP_WIDTH * sizeof(double) / 1e6; /* there and back */
    *megabytes_per_second = seconds > 0 ? megabytes / seconds : 0;
cleanup:
    if (path && rank == 0) unlink(path);
    rl_free(path);
    MPI_Comm_free(&plain);
    rl_h5_quiet_end(quiet);
    return status;
}
