/* What a reader of shards makes of one whose checksums are right and whose contents are not what it expects: datasets gone, of another type or
 * shape, moved, with other numbers; attributes gone or of another kind. The input is a list of such edits of a whole shard, so that HDF5 itself
 * always reads a sound file: its parser is not ours, and the seal keeps damaged files away from it (src/store/shard_seal.c). */
#include "synthetic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of LeakSanitizer, where it is there: what MPI and HDF5 keep for later is not ours. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_OBJECTS = 256, MOST_EDITS = 8, MOST_SIDE = 9, MOST_BYTES = 1 << 16 };

static char folder[256], edited[300], intact[300];
static char objects[MOST_OBJECTS][512], attributes[MOST_OBJECTS][64]; /* of a whole shard */
static size_t num_objects, num_attributes;
static char *template;
static size_t template_size;
static synthetic_sweep sweep;
static rl_error err;
static bool say; /* RELEARN_FUZZ_SAY: what the readers make of each input */

/* ----------------------------------------------------------------------------------------------------- input */

typedef struct input {
    const uint8_t *at, *end;
} input;

static size_t take(input *in, size_t below)
{
    return in->at < in->end ? *in->at++ % below : 0;
}

/* Any number of bytes: the input's rest over and over, or zeros. */
static void take_bytes(const input *in, char *bytes, size_t count)
{
    const size_t left = (size_t)(in->end - in->at);
    for (size_t i = 0; i < count; i++) bytes[i] = left ? (char)in->at[i % left] : 0;
}

static const char *take_text(input *in)
{
    static char text[64];
    const size_t length = take(in, sizeof text);
    size_t i = 0;
    for (; i < length && in->at < in->end; i++) text[i] = (char)*in->at++;
    text[i] = '\0';
    return text;
}

/* ----------------------------------------------------------------------------------------------------- edits */

static hid_t type_of(size_t kind, size_t width)
{
    static const hid_t *const numbers[] = {&H5T_IEEE_F64LE_g, &H5T_IEEE_F32LE_g, &H5T_STD_I64LE_g, &H5T_STD_I32LE_g, &H5T_STD_I8LE_g,
                                           &H5T_STD_U64LE_g, &H5T_IEEE_F64BE_g, &H5T_STD_U8LE_g};
    if (kind < sizeof numbers / sizeof *numbers) return H5Tcopy(*numbers[kind]);
    hid_t type = H5Tcopy(H5T_C_S1_g);
    H5Tset_size(type, kind == 8 ? H5T_VARIABLE : width + 1);
    if (kind == 9) H5Tset_strpad(type, H5T_STR_NULLPAD);
    if (kind == 10) H5Tset_strpad(type, H5T_STR_SPACEPAD);
    return type;
}

static void fill(hid_t dataset, hid_t type, const input *in)
{
    static char bytes[MOST_BYTES];
    hid_t space = H5Dget_space(dataset);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const size_t size = H5Tget_size(type) * (size_t)(count > 0 ? count : 0);
    if (size && size <= sizeof bytes && H5Tis_variable_str(type) <= 0) {
        take_bytes(in, bytes, size);
        H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
    }
    rl_h5_close(space);
}

static void replace_dataset(hid_t file, const char *path, input *in)
{
    hsize_t dims[4];
    const size_t kind = take(in, 11), width = take(in, 20), rank = take(in, 5);
    for (size_t i = 0; i < rank; i++) dims[i] = take(in, MOST_SIDE);
    H5Ldelete(file, path, H5P_DEFAULT);
    hid_t type = type_of(kind, width), space = rank ? H5Screate_simple((int)rank, dims, NULL) : H5Screate(take(in, 2) ? H5S_NULL : H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (dataset >= 0) fill(dataset, type, in);
    rl_h5_close(dataset);
    rl_h5_close(space);
    rl_h5_close(type);
}

/* A few of its numbers or letters: that one neuron names a word that is not there is further in than a dataset of rubbish. */
static void change_values(hid_t file, const char *path, input *in)
{
    static char bytes[MOST_BYTES];
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), type = dataset >= 0 ? H5Dget_type(dataset) : H5I_INVALID_HID;
    hid_t space = dataset >= 0 ? H5Dget_space(dataset) : H5I_INVALID_HID;
    const hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : 0;
    const size_t width = count > 0 ? H5Tget_size(type) : 0, size = width * (size_t)count;
    if (size && size <= sizeof bytes && H5Tis_variable_str(type) <= 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0) {
        for (size_t changes = 1 + take(in, 4); changes > 0; changes--) {
            const size_t at = (take(in, 256) | take(in, 256) << 8) % (size_t)count * width;
            for (size_t i = 0; i < width && i < 8; i++) bytes[at + i] = (char)take(in, 256);
        }
        H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
    }
    rl_h5_close(space);
    rl_h5_close(type);
    rl_h5_close(dataset);
}

static void replace_attribute(hid_t file, const char *name, input *in)
{
    static char bytes[64 * 32];
    const size_t kind = take(in, 12);
    H5Adelete(file, name);
    if (kind == 11) { /* the usual text, with other letters */
        rl_h5_put_text((rl_place){file, edited}, name, take_text(in), &err);
        return;
    }
    const hsize_t count = 1 + take(in, 4);
    hid_t type = type_of(kind == 8 ? 9 : kind, take(in, 20)), space = take(in, 2) ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, NULL);
    hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    take_bytes(in, bytes, sizeof bytes);
    if (attribute >= 0) H5Awrite(attribute, type, bytes);
    rl_h5_close(attribute);
    rl_h5_close(space);
    rl_h5_close(type);
}

static void edit(hid_t file, input *in)
{
    const size_t what = take(in, 8);
    const char *path = objects[take(in, num_objects)], *name = attributes[take(in, num_attributes)];
    if (what == 0) H5Ldelete(file, path, H5P_DEFAULT);
    if (what == 1) replace_dataset(file, path, in);
    if (what == 2 || what == 3) change_values(file, path, in);
    if (what == 4) H5Adelete(file, name);
    if (what == 5) replace_attribute(file, name, in);
    if (what == 6) H5Lmove(file, path, H5L_SAME_LOC, objects[take(in, num_objects)], H5P_DEFAULT, H5P_DEFAULT);
    if (what == 7) {
        H5Ldelete(file, path, H5P_DEFAULT);
        rl_h5_close(H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

/* ---------------------------------------------------------------------------------------------------- shards */

static void write_edited(input *in)
{
    if (rl_write_file(edited, template, template_size, &err) != RL_OK) abort();
    hid_t file = H5Fopen(edited, H5F_ACC_RDWR, H5P_DEFAULT);
    if (file < 0) abort();
    for (int i = 0; i < MOST_EDITS && in->at < in->end; i++) edit(file, in);
    close_sealed(file, edited);
}

static void read_everything(rl_shard *shard)
{
    rl_buffer identity = {0};
    rl_names *words = NULL;
    int32_t *pruned = NULL;
    int64_t count = 0;
    rl_score score;
    rl_shard_check_run(shard, sweep.runs[0].id, &err);
    if (rl_shard_read_words(shard, &words, &err) == RL_OK) rl_names_free(words);
    if (rl_shard_read_pruned(shard, &pruned, &count, &err) == RL_OK) rl_free(pruned);
    rl_shard_identity(&identity, shard, true, &err);
    rl_buffer_free(&identity);
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_neuron_table *table = NULL;
        rl_shard_read_scores(shard, s, &score, &score, &score, &err);
        if (rl_shard_read_neurons(shard, s, &table, &err) == RL_OK) rl_neuron_table_free(table);
        if (strlen(rl_shard_stage_name(shard, s)) + strlen(rl_shard_stage_model_key(shard, s)) > 1 << 20) abort();
    }
}

static void watch_leaks(bool watch)
{
    if (__lsan_disable && __lsan_enable) (watch ? __lsan_enable : __lsan_disable)();
}

/* One bad shard must not keep the others out of results.h5. */
static void gather(void)
{
    const rl_gather_run runs[] = {{sweep.runs[0].id, edited, "done", "", 1}, {sweep.runs[1].id, intact, "done", "", 1}};
    char digest[RL_DIGEST_HEX], results[300];
    int64_t damaged = 0;
    snprintf(results, sizeof results, "%s/results.h5", folder);
    watch_leaks(false);
    const rl_status status = rl_store_gather(MPI_COMM_SELF, folder, &sweep.sweep, runs, &damaged, &err);
    if (say) fprintf(stderr, "gathered: %s, %lld damaged\n", status == RL_OK ? "whole" : err.message, (long long)damaged);
    if (status != RL_OK) abort();
    if (rl_store_digest(results, digest, &err) != RL_OK) abort();
    watch_leaks(true);
}

/* ------------------------------------------------------------------------------------------------- libFuzzer */

static rl_status note_object(void *context, hid_t object, bool is_dataset, const char *path, rl_error *error)
{
    (void)context, (void)object, (void)is_dataset, (void)error;
    if (path[0] && num_objects < MOST_OBJECTS) snprintf(objects[num_objects++], sizeof objects[0], "%s", path);
    return RL_OK;
}

static herr_t note_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    (void)object, (void)info, (void)context;
    if (num_attributes < MOST_OBJECTS) snprintf(attributes[num_attributes++], sizeof attributes[0], "%s", name);
    return 0;
}

static void write_whole(const char *path, int run)
{
    rl_run_result *result = make_result(&sweep.runs[run]);
    if (rl_shard_write(path, &sweep.runs[run], &sweep.sweep, result, &err) != RL_OK) abort();
    rl_run_result_free(result);
}

static void leave(void) { rl_remove_tree(folder, NULL); }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    rl_shard *shard = NULL;
    setenv("OMPI_MCA_opal_signal", "", 1); /* libFuzzer shall see a crash, and keep the input */
    watch_leaks(false);
    MPI_Init(argc, argv);
    say = getenv("RELEARN_FUZZ_SAY") != NULL;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    snprintf(folder, sizeof folder, "%s/relearn-fuzz-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    snprintf(edited, sizeof edited, "%s/edited.h5", folder);
    snprintf(intact, sizeof intact, "%s/intact.h5", folder);
    if (rl_make_directories(folder, &err) != RL_OK) abort();
    atexit(leave);
    make_sweep(&sweep, 2);
    write_whole(edited, 0);
    write_whole(intact, 1);
    template = file_bytes(edited, &template_size);
    if (rl_shard_open(&shard, edited, &err) != RL_OK) abort();
    const rl_h5_tour tour = {.file = rl_shard_place(shard), .max_depth = 4, .visit = note_object};
    if (rl_h5_visit_all(&tour, &err) != RL_OK || H5Aiterate2(rl_shard_place(shard).id, H5_INDEX_NAME, H5_ITER_INC, NULL, note_attribute, NULL) < 0) abort();
    rl_shard_close(shard);
    watch_leaks(true);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, data + size};
    rl_shard *shard = NULL;
    err = (rl_error){0};
    write_edited(&in);
    err = (rl_error){0};
    const rl_status status = rl_shard_open(&shard, edited, &err);
    if (say) fprintf(stderr, "%s\n", status == RL_OK ? "opened" : err.message);
    if (status == RL_OK) read_everything(shard);
    rl_shard_close(shard);
    if (size && data[size - 1] % 32 == 0) gather(); /* takes thirty times as long as all the rest */
    return 0;
}
