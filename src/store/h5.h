/* store/h5.h -- HDF5 as relearn speaks it: rl_error instead of a printed stack, arrays with one type table, ranks that go
 * on together or not at all. For src/store and the rooms to its right that read its files (stats); installed with nothing. */
#ifndef RELEARN_STORE_H5_H
#define RELEARN_STORE_H5_H

#include "relearn/store.h"

#include <hdf5.h>

#define RL_RESULTS_FORMAT "relearn results 1"

/* -------------------------------------------------------------------------------------------- h5.c */

/* HDF5 prints its error stack to stderr unless told otherwise; nothing below cli prints. Every public function of
 * the room brackets its work with these two, and leaves the caller's setting as it was. */
typedef struct rl_h5_quiet {
    H5E_auto2_t function;
    void *data;
} rl_h5_quiet;
rl_h5_quiet rl_h5_quiet_begin(void);
void rl_h5_quiet_end(rl_h5_quiet quiet);
/* "path: what: the reason HDF5 gives" */
rl_status rl_h5_fail(rl_error *err, rl_status status, const char *path, const char *format, ...) RL_PRINTF(4, 5);
void rl_h5_close(hid_t id); /* any kind of id; negative is fine */

typedef enum rl_element { RL_F64, RL_F32, RL_I64, RL_I32, RL_I8, RL_TEXT } rl_element;
/* A dataset's content: num_dims 0 is a scalar. width: bytes of one element (RL_TEXT: fixed length, NUL-padded
 * UTF-8). */
typedef struct rl_array {
    rl_element element;
    size_t width;
    int num_dims;
    hsize_t dims[4];
} rl_array;
rl_array rl_array_of(rl_element element, int num_dims, const hsize_t *dims);
rl_array rl_text_array(size_t width, hsize_t count);
size_t rl_element_width(rl_element element); /* 0 for RL_TEXT */
size_t rl_array_count(const rl_array *array);
size_t rl_array_bytes(const rl_array *array);
/* Fill n elements with what stands for "there is none": NaN, -1, "". */
void rl_fill_missing(void *values, size_t n, rl_element element, size_t width);

hid_t rl_h5_memory_type(rl_element element, size_t width); /* native; close it */
hid_t rl_h5_file_type(rl_element element, size_t width);   /* little-endian; close it */
hid_t rl_h5_space(const rl_array *array);
/* Where an HDF5 object lives, and the file's name for messages. */
typedef struct rl_place {
    hid_t id;
    const char *path;
} rl_place;
/* Creation lists without time stamps, with compact attributes and links (no hidden heaps). Close them. */
hid_t rl_h5_file_creation(void);
hid_t rl_h5_group_creation(void);
hid_t rl_h5_dataset_creation(const rl_array *array);
rl_status rl_h5_make_group(rl_place place, const char *name, rl_error *err);
/* A new dataset, left open in *out. */
rl_status rl_h5_create(hid_t *out, rl_place place, const char *name, const rl_array *array, rl_error *err);
/* create + write + close, all of it by this process. */
rl_status rl_h5_put(rl_place place, const char *name, const rl_array *array, const void *values, rl_error *err);
/* Open a file of ours read-only by this process; kind is what it should be, for the message. */
rl_status rl_h5_open(hid_t *out, const char *path, const char *kind, rl_error *err);
/* Shape of an existing dataset; RL_ERR_INPUT when it is absent or of a kind that relearn never writes. */
rl_status rl_h5_shape(rl_array *out, rl_place place, const char *name, rl_error *err);
/* The same of an open dataset; false where it is of such a kind. */
bool rl_h5_shape_of(hid_t dataset, rl_array *out);
/* RL_ERR_INPUT unless there is a dataset of exactly this type and shape (RL_TEXT: width too). */
rl_status rl_h5_expect(rl_place place, const char *name, const rl_array *expected, rl_error *err);
/* That, and read it into values. */
rl_status rl_h5_get(void *values, rl_place place, const char *name, const rl_array *expected, rl_error *err);
rl_status rl_h5_put_text(rl_place place, const char *name, const char *text, rl_error *err); /* attribute */
/* The attribute as text, of fixed or (as h5py writes) variable length; rl_free; NULL with *err untouched where it is absent or
 * no text. */
rl_status rl_h5_get_text(char **out, hid_t object, const char *name, rl_error *err);

/* ------------------------------------------------------------------------------------------- walk.c */

/* Every group and dataset of a file in name order, a group before what it holds. The root's path is "", others begin with
 * a slash and leave RL_H5_PATH_SPARE bytes of 512. Anything else than these two kinds, or more than max_depth groups
 * within each other (a damaged file may hold a cycle), is RL_ERR_INPUT. */
#define RL_H5_PATH_SPARE 8
typedef struct rl_h5_tour {
    rl_place file;
    int max_depth;        /* the root counts as one */
    const char *left_out; /* name in the root of what is not visited, or NULL */
    const char *only;     /* name in the root of all that is visited beside the root itself, or NULL */
    rl_status (*visit)(void *context, hid_t object, bool is_dataset, const char *path, rl_error *err);
    void *context;
} rl_h5_tour;
rl_status rl_h5_visit_all(const rl_h5_tour *tour, rl_error *err);
/* XXH3 over all root attributes but "checksum" and over every dataset's path, type, shape and bytes, in name order. */
rl_status rl_h5_checksum(char hex[RL_DIGEST_HEX], rl_place file, rl_error *err);

/* ---------------------------------------------------------------------------------------- h5_copy.c */

/* One process: `to` = a new file with all that `from` holds but the group `left_out` ("stats"), without holes. Its scales,
 * texts and raw data are the same; attributes that are not text are left behind. Not synchronised: rl_publish does that. */
rl_status rl_h5_copy_without(const char *from, const char *to, const char *left_out, rl_error *err);

/* ----------------------------------------------------------------------------------------- agree.c */

/* Collective. The lowest failing rank's status and message on every rank. */
rl_status rl_store_agree(MPI_Comm comm, rl_status status, rl_error *err);
/* A communicator of the same ranks without topology (open-mpi/ompi#12718: a Cartesian one corrupts parallel HDF5
 * data; a dup keeps it). */
MPI_Comm rl_store_plain_comm(MPI_Comm comm);
/* Ranks' shares of n things: contiguous blocks that differ by at most one. */
int64_t rl_share_first(int64_t n, int size, int rank);
int rl_share_owner(int64_t n, int size, int64_t thing);

/* -------------------------------------------------------------------------------------- parallel.c */

hid_t rl_parallel_access(MPI_Comm comm); /* file access through MPI-IO; close it */
hid_t rl_parallel_transfer(void);        /* collective transfers; H5P_DEFAULT: each rank for itself; close it */
/* Write or read rows [first, first + count) of a dataset [rows, row...]; where `transfer` is collective, so is this, and count 0
 * joins without data. */
rl_status rl_parallel_rows(rl_place file, hid_t dataset, hid_t transfer, bool write, hsize_t first, hsize_t count,
                           rl_array row, void *values, const char *what, rl_error *err);
rl_status rl_reserve(const char *path, size_t bytes, rl_error *err); /* one rank: make sure that path can hold bytes */

#endif
