/* relearn/store.h -- run shards, and the one file they are gathered into.
 *
 * rl_run_result -> DIR/runs/<id>.h5 (one process, serial HDF5 access, written aside, fsynced, renamed) ->
 * DIR/results.h5 (all ranks of a communicator through parallel HDF5, written under a temporary name, read back and
 * compared, renamed). Layout: design §6 and docs/formats.md; every dimension is an HDF5 dimension scale, so h5py and
 * xarray show names. Leans on core .. sweep. */
#ifndef RELEARN_STORE_H
#define RELEARN_STORE_H

#include "relearn/sweep.h"

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Write one shard. Bytes are a function of the result alone: no time stamps, no host, no rank, no wall time; it records
 * binary version, GEMM back end and ISA. A checksum over all content is stored in it. */
rl_status rl_shard_write(const char *path, const rl_run *run, const rl_sweep *sweep, const rl_run_result *result,
                         rl_error *err);
/* Opens, checks the checksum and the run id: RL_OK when whole. */
rl_status rl_shard_check(const char *path, const char *run_id, rl_error *err);
/* Only that the file's bytes are those that were written: as fast as it can be read, and without HDF5. */
rl_status rl_shard_check_seal(const char *path, rl_error *err);

/* What a gather needs to know about each planned run beyond its shard. */
typedef struct rl_gather_run {
    const char *id;
    const char *shard;  /* path, or NULL when the run has none (failed, not done) */
    const char *status; /* "done", "failed", "planned" */
    const char *error;  /* "" unless failed */
    double seconds;     /* wall seconds of the run's stages; NaN unknown */
} rl_gather_run;
/* Collective on comm. runs [num_runs] in plan order, the same on all ranks. Damaged shards are reported as failed
 * rows (their status in /runs says so), counted in *num_damaged. On failure the old results.h5 stays as it was. */
rl_status rl_store_gather(MPI_Comm comm, const char *directory, const rl_sweep *sweep, const rl_gather_run *runs,
                          int64_t *num_damaged, rl_error *err);
/* An order-free digest of everything in a results.h5 except wall times and /stats: equal stores have equal digests. */
rl_status rl_store_digest(const char *results_path, char hex[RL_DIGEST_HEX], rl_error *err);
/* The same of /stats alone, without the attribute that keeps it: who edits /stats by hand is found out. */
#define RL_STATS_SEAL "content"
rl_status rl_store_digest_stats(const char *results_path, char hex[RL_DIGEST_HEX], rl_error *err);

/* Reading a shard back for `show` and `export --csv`. */
typedef struct rl_shard rl_shard;
rl_status rl_shard_open(rl_shard **out, const char *path, rl_error *err);
void rl_shard_close(rl_shard *shard);
int32_t rl_shard_num_stages(const rl_shard *shard);
const char *rl_shard_stage_name(const rl_shard *shard, int32_t stage);
const char *rl_shard_stage_model_key(const rl_shard *shard, int32_t stage);
/* "run", "model", "concept", "seed", every configuration path, ... as text; NULL if absent. */
const char *rl_shard_attribute(const rl_shard *shard, const char *name);
/* What a run was asked to be, as one text (text is replaced): equal for its settings and its shard, whatever machine and content of files
 * made it. Without the seed: equal for all seeds of one configuration. */
rl_status rl_settings_identity(rl_buffer *text, const rl_run_settings *settings, bool with_seed, rl_error *err);
rl_status rl_shard_identity(rl_buffer *text, const rl_shard *shard, bool with_seed, rl_error *err);
rl_status rl_shard_read_scores(const rl_shard *shard, int32_t stage, rl_score *word, rl_score *subword,
                               rl_score *test_word, rl_error *err);
rl_status rl_shard_read_neurons(const rl_shard *shard, int32_t stage, rl_neuron_table **out, rl_error *err);
rl_status rl_shard_read_words(const rl_shard *shard, rl_names **out, rl_error *err); /* the vocabulary */
/* Whether the pruned ids are neurons; at sites ffn and head they are units (block * units a block + unit). */
bool rl_shard_prunes_neurons(const rl_shard *shard);
rl_status rl_shard_read_pruned(const rl_shard *shard, int32_t **ids, int64_t *count, rl_error *err);

/* HDF5 as doctor reports it: library version, parallel or not; a collective write-read round trip in `directory`. */
rl_status rl_hdf5_round_trip(MPI_Comm comm, const char *directory, double *megabytes_per_second, rl_error *err);
const char *rl_hdf5_version(void);

#ifdef __cplusplus
}
#endif
#endif
