/* parallel.c -- HDF5 files that all ranks of a communicator hold open: access lists, row selections, and room on the
 * disk. */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* ROMIO (MPICH's MPI-IO, and Open MPI's where chosen) locks what it reads, changes and writes back, and aborts the job where the file system
 * has no locks (Lustre without -o flock). Ranks write whole rows of their own: nothing need be read first. Other MPI-IOs ignore the hint. */
static MPI_Info without_locks(void)
{
    MPI_Info info = MPI_INFO_NULL;
    if (MPI_Info_create(&info) == MPI_SUCCESS) MPI_Info_set(info, "romio_ds_write", "disable");
    return info;
}

hid_t rl_parallel_access(MPI_Comm comm)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    MPI_Info info = without_locks();
    bool ok = access >= 0 && H5Pset_fapl_mpio(access, comm, info) >= 0 &&
              H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
              H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && H5Pset_coll_metadata_write(access, true) >= 0 &&
              H5Pset_all_coll_metadata_ops(access, true) >= 0;
    if (info != MPI_INFO_NULL) MPI_Info_free(&info); /* HDF5 has a copy */
    if (ok) return access;
    rl_h5_close(access);
    return H5I_INVALID_HID;
}

hid_t rl_parallel_transfer(void)
{
    hid_t list = H5Pcreate(H5P_DATASET_XFER);
    if (list >= 0 && H5Pset_dxpl_mpio(list, H5FD_MPIO_COLLECTIVE) >= 0) return list;
    rl_h5_close(list);
    return H5I_INVALID_HID;
}

/* Rows first .. first + count - 1 of a dataset whose leading dimension is rows; a scalar counts as one row. count 0:
 * nothing, but the call is made all the same, because the other ranks wait in it. */
rl_status rl_parallel_rows(rl_place file, hid_t dataset, hid_t transfer, bool write, hsize_t first, hsize_t count,
                           rl_array row, void *values, const char *what, rl_error *err)
{
    hid_t space = H5Dget_space(dataset), memory = H5I_INVALID_HID, type = rl_h5_memory_type(row.element, row.width);
    bool scalar = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR, ok = space >= 0 && type >= 0;
    hsize_t start[5] = {first}, extent[5] = {count};
    for (int i = 0; i < row.num_dims; i++) extent[i + 1] = row.dims[i];
    if (count == 0) extent[0] = 1; /* the shape of a NONE selection does not matter, its being one does */
    memory = scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(row.num_dims + 1, extent, NULL);
    ok = ok && memory >= 0;
    if (ok && count == 0)
        ok = H5Sselect_none(space) >= 0 && H5Sselect_none(memory) >= 0;
    else if (ok && !scalar)
        ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0;
    if (write)
        ok = H5Dwrite(dataset, type, memory, space, transfer, values) >= 0 && ok;
    else
        ok = H5Dread(dataset, type, memory, space, transfer, values) >= 0 && ok;
    rl_status status =
        ok ? RL_OK : rl_h5_fail(err, RL_ERR_IO, file.path, "%s cannot be %s", what, write ? "written" : "read back");
    rl_h5_close(type);
    rl_h5_close(memory);
    rl_h5_close(space);
    return status;
}

/* Disk blocks for `bytes` of path, now: a disk that is too full is then one plain error on one rank, and not a rank
 * stuck in the middle of a collective write. File systems without fallocate are asked for their free space instead. */
rl_status rl_reserve(const char *path, size_t bytes, rl_error *err)
{
    rl_status status = RL_OK;
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return rl_fail_errno(err, "%s: cannot be written", path);
    int refused = fallocate(descriptor, 0, 0, (off_t)bytes) == 0 ? 0 : errno;
    int64_t room = rl_disk_free_bytes(path);
    close(descriptor);
    if (refused == EOPNOTSUPP || refused == ENOSYS || refused == EINTR) {
        if (room >= 0 && (uint64_t)room < bytes)
            status = rl_fail(err, RL_ERR_IO, "%s: cannot be written; it needs %zu bytes and the disk has %" PRId64,
                             path, bytes, room);
    } else if (refused) {
        errno = refused;
        status = rl_fail_errno(err, "%s: cannot be written; it needs %zu bytes", path, bytes);
    }
    return status;
}
