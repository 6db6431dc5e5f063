/* survey.c -- gather, part 1: what there is to gather, known to every rank before the first dataset is made.
 *
 * Each rank opens the shards of its own rows, checks them, and tells the others their sizes. A damaged shard is a
 * finding here (a failed row), not a failure of the gather. Memory: one shard at a time, one summary a run, each
 * distinct vocabulary once. */
#include "store_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------ one shard */

static rl_status check_stage_names(const rl_shard *shard, const rl_run_settings *settings, rl_error *err)
{
    const char *path = rl_shard_place(shard).path;
    char expected[32];
    if (rl_shard_num_stages(shard) != 2 + settings->retrain_rounds)
        return rl_fail(err, RL_ERR_INPUT, "%s: has %d stages; the sweep plans %" PRId64, path,
                       (int)rl_shard_num_stages(shard), 2 + settings->retrain_rounds);
    for (int32_t s = 0; s < rl_shard_num_stages(shard); s++) {
        rl_stage_label(expected, s);
        if (strcmp(rl_shard_stage_name(shard, s), expected))
            return rl_fail(err, RL_ERR_INPUT, "%s: stage %d is called %s; expected %s", path, (int)s,
                           rl_shard_stage_name(shard, s), expected);
    }
    return RL_OK;
}

/* Top words must be in the shard's own vocabulary, or they could not be renumbered. */
static rl_status check_word_ids(const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_extents *e = rl_shard_extents(shard);
    rl_array array = rl_array_of(RL_I32, 3, (hsize_t[]){(hsize_t)e->stages, (hsize_t)e->neurons, (hsize_t)e->k});
    int32_t *ids = NULL;
    RL_ALLOC(ids, rl_array_count(&array), err);
    RL_TRY(rl_h5_get(ids, rl_shard_place(shard), "words/word", &array, err));
    for (size_t i = 0; i < rl_array_count(&array); i++)
        if (ids[i] < -1 || ids[i] >= rl_shard_num_words(shard)) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: top word %d is not one of %" PRId64, rl_shard_place(shard).path,
                             (int)ids[i], rl_shard_num_words(shard));
            goto cleanup;
        }
cleanup:
    rl_free(ids);
    return status;
}

/* The other concepts that were followed have to have a place among the sweep's. */
static rl_status check_others(const rl_shard *shard, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    char *names = NULL;
    int64_t count = 0;
    size_t width = 0;
    RL_TRY(rl_shard_read_list(shard, RL_DIM_CONCEPT, &names, &count, &width, err));
    for (int64_t i = 0; i < count; i++) {
        const char *name = names + (size_t)i * width;
        const size_t length = strnlen(name, width);
        bool known = false;
        for (int64_t c = 0; c < settings->num_concepts && !known; c++)
            known = settings->also >> c & 1 && strlen(settings->concepts[c].name) == length && !memcmp(settings->concepts[c].name, name, length);
        if (!known) {
            status = rl_fail(err, RL_ERR_INPUT, "%s: '%.*s' is no concept that the run follows", rl_shard_place(shard).path, (int)length, name);
            goto cleanup;
        }
    }
cleanup:
    rl_free(names);
    return status;
}

static rl_status vocabulary_digest(char hex[RL_DIGEST_HEX], const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_hash *hash = NULL;
    char *bytes = NULL;
    RL_TRY(rl_hash_create(&hash, err));
    RL_TRY(rl_shard_read_vocabulary(shard, &bytes, err));
    rl_hash_int(hash, (int64_t)rl_shard_longest_word(shard));
    rl_hash_bytes(hash, bytes, (size_t)rl_shard_num_words(shard) * rl_shard_longest_word(shard));
    rl_hash_digest(hash, hex);
cleanup:
    rl_hash_free(hash);
    rl_free(bytes);
    return status;
}

/* "" where there is none. */
static rl_status types_digest(char hex[RL_DIGEST_HEX], const rl_shard *shard, rl_error *err)
{
    rl_status status = RL_OK;
    rl_hash *hash = NULL;
    char *bytes = NULL;
    int64_t count = 0;
    size_t width = 0;
    hex[0] = '\0';
    RL_TRY(rl_hash_create(&hash, err));
    RL_TRY(rl_shard_read_list(shard, RL_DIM_TYPE, &bytes, &count, &width, err));
    rl_hash_int(hash, (int64_t)width);
    rl_hash_bytes(hash, bytes, (size_t)count * width);
    if (count) rl_hash_digest(hash, hex);
cleanup:
    rl_hash_free(hash);
    rl_free(bytes);
    return status;
}

static void copy_attribute(char out[24], const rl_shard *shard, const char *name)
{
    const char *text = rl_shard_attribute(shard, name);
    snprintf(out, 24, "%s", text ? text : "");
}

static rl_status summarise(rl_summary *out, const rl_gather_run *run, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    int32_t *pruned = NULL;
    rl_summary summary;
    memset(&summary, 0, sizeof summary);
    RL_TRY(rl_shard_open(&shard, run->shard, err));
    RL_TRY(rl_shard_check_run(shard, run->id, err));
    RL_TRY(check_stage_names(shard, settings, err));
    RL_TRY(check_word_ids(shard, err));
    RL_TRY(check_others(shard, settings, err));
    RL_TRY(rl_shard_read_pruned(shard, &pruned, &summary.num_pruned, err));
    RL_TRY(vocabulary_digest(summary.vocabulary, shard, err));
    RL_TRY(types_digest(summary.types, shard, err));
    summary.presence = RL_PRESENT;
    summary.extents = *rl_shard_extents(shard);
    summary.num_words = rl_shard_num_words(shard);
    summary.longest_word = (int64_t)rl_shard_longest_word(shard);
    const char *share = rl_shard_attribute(shard, "vector_share");
    summary.vector_share = share ? strtod(share, NULL) : NAN;
    copy_attribute(summary.version, shard, "version");
    copy_attribute(summary.gemm_backend, shard, "gemm_backend");
    copy_attribute(summary.isa, shard, "isa");
    *out = summary;
cleanup:
    rl_free(pruned);
    rl_shard_close(shard);
    return status;
}

static rl_status summarise_own(rl_survey *survey, rl_error *err)
{
    for (int64_t r = survey->first; r < survey->first + survey->count; r++) {
        rl_error reason = {0};
        if (!survey->runs[r].shard) continue;
        rl_status status = summarise(&survey->summary[r], &survey->runs[r], &survey->sweep->runs[r].settings, &reason);
        if (status == RL_OK) continue;
        if (status != RL_ERR_INPUT && status != RL_ERR_IO) return rl_fail(err, status, "%s", reason.message);
        survey->summary[r].presence = RL_DAMAGED;
        survey->damage[r] = rl_strdup(reason.message, err);
        if (!survey->damage[r]) return RL_ERR_MEMORY;
    }
    return RL_OK;
}

/* ----------------------------------------------------------------------------------------------- exchange */

static rl_status exchange_summaries(rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    MPI_Datatype type;
    int *counts = NULL, *offsets = NULL;
    RL_ALLOC(counts, survey->size, err);
    RL_ALLOC(offsets, survey->size, err);
    for (int rank = 0; rank < survey->size; rank++) {
        offsets[rank] = (int)rl_share_first(survey->num_runs, survey->size, rank);
        counts[rank] = (int)rl_share_first(survey->num_runs, survey->size, rank + 1) - offsets[rank];
    }
cleanup:
    status = rl_store_agree(survey->comm, status, err);
    if (status == RL_OK) {
        MPI_Type_contiguous((int)sizeof(rl_summary), MPI_BYTE, &type);
        MPI_Type_commit(&type);
        MPI_Allgatherv(MPI_IN_PLACE, 0, type, survey->summary, counts, offsets, type, survey->comm);
        MPI_Type_free(&type);
    }
    rl_free(counts);
    rl_free(offsets);
    return status;
}

static rl_status exchange_damage(rl_survey *survey, rl_error *err)
{
    char message[sizeof err->message];
    for (int64_t r = 0; r < survey->num_runs; r++) {
        if (survey->summary[r].presence != RL_DAMAGED) continue;
        snprintf(message, sizeof message, "%s", survey->damage[r] ? survey->damage[r] : "");
        MPI_Bcast(message, (int)sizeof message, MPI_CHAR, rl_share_owner(survey->num_runs, survey->size, r),
                  survey->comm);
        rl_status status = RL_OK;
        if (!survey->damage[r] && !(survey->damage[r] = rl_strdup(message, err))) status = RL_ERR_MEMORY;
        status = rl_store_agree(survey->comm, status, err);
        if (status != RL_OK) return status;
    }
    return RL_OK;
}

/* ------------------------------------------------------------------------------------------------- models */

/* Basename of a folder as a group's name; HDF5 reads "." and ".." as paths. */
static char *group_name(const char *folder, rl_error *err)
{
    size_t end = strlen(folder);
    while (end > 1 && folder[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && folder[start - 1] != '/') start--;
    size_t length = end - start;
    bool dots = strspn(folder + start, ".") >= length;
    return dots ? rl_strdup("model", err) : rl_format(err, "%.*s", (int)length, folder + start);
}

static bool name_is_taken(const rl_survey *survey, const char *name)
{
    for (int32_t m = 0; m < survey->num_models; m++)
        if (!strcmp(survey->models[m].name, name)) return true;
    return false;
}

static rl_status add_model(rl_survey *survey, const char *folder, rl_error *err)
{
    char *base = group_name(folder, err), *name = base ? rl_strdup(base, err) : NULL;
    for (int n = 2; name && name_is_taken(survey, name); n++) {
        rl_free(name);
        name = rl_format(err, "%s_%d", base, n);
    }
    rl_free(base);
    if (!name) return RL_ERR_MEMORY;
    survey->models[survey->num_models].name = name;
    survey->models[survey->num_models].folder = folder;
    survey->num_models++;
    return RL_OK;
}

static bool same_folder(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    while (n > 1 && a[n - 1] == '/') n--;
    while (m > 1 && b[m - 1] == '/') m--;
    return n == m && memcmp(a, b, n) == 0;
}

static rl_status find_models(rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(survey->models, survey->num_runs, err); /* one each at most */
    for (int64_t r = 0; r < survey->num_runs; r++) {
        const char *folder = survey->sweep->runs[r].settings.model;
        int32_t m = 0;
        while (m < survey->num_models && !same_folder(survey->models[m].folder, folder)) m++;
        if (m == survey->num_models) RL_TRY(add_model(survey, folder, err));
        survey->model[r] = m;
        survey->model_row[r] = survey->models[m].num_runs++;
    }
cleanup:
    return status;
}

/* Extents of each model; a shard whose neurons differ from its siblings' was made from another model: damaged. Every
 * rank finds the same. */
static rl_status compare_models(rl_survey *survey, rl_error *err)
{
    for (int64_t r = 0; r < survey->num_runs; r++) {
        rl_summary *s = &survey->summary[r];
        struct rl_survey_model *model = &survey->models[survey->model[r]];
        if (s->presence != RL_PRESENT) continue;
        if (model->num_present == 0) model->extents = s->extents;
        if (s->extents.layers != model->extents.layers || s->extents.neurons != model->extents.neurons) {
            s->presence = RL_DAMAGED;
            survey->damage[r] =
                rl_format(err, "%s: has %" PRId64 " neurons, other runs of %s have %" PRId64, survey->runs[r].shard,
                          s->extents.neurons, model->folder, model->extents.neurons);
            if (!survey->damage[r]) return RL_ERR_MEMORY;
            continue;
        }
        if (s->extents.k > model->extents.k) model->extents.k = s->extents.k;
        model->num_present++;
    }
    return RL_OK;
}

static void find_longest(rl_survey *survey)
{
    rl_extents *longest = &survey->longest;
    for (int64_t r = 0; r < survey->num_runs; r++) {
        const rl_extents *e = &survey->summary[r].extents;
        int64_t planned = 2 + survey->sweep->runs[r].settings.retrain_rounds;
        if (planned > longest->stages) longest->stages = planned;
        survey->num_damaged += survey->summary[r].presence == RL_DAMAGED;
        if (survey->summary[r].presence != RL_PRESENT) continue;
        if (e->steps > longest->steps) longest->steps = e->steps;
        if (e->epochs > longest->epochs) longest->epochs = e->epochs;
        if (e->points > longest->points) longest->points = e->points;
    }
    for (int32_t m = 0; m < survey->num_models; m++) {
        survey->models[m].extents.stages = longest->stages;
        survey->models[m].extents.steps = longest->steps;
        survey->models[m].extents.epochs = longest->epochs;
        survey->models[m].extents.points = longest->points;
        survey->models[m].extents.types = longest->types;
        survey->models[m].extents.others = longest->others;
    }
}

/* -------------------------------------------------------------------------------------------- vocabularies */

static rl_status intern_vocabulary(rl_survey *survey, rl_vocabulary *v, const char *bytes, size_t width, rl_error *err)
{
    rl_status status = RL_OK;
    RL_ALLOC(v->global, v->num_words, err);
    for (int64_t i = 0; i < v->num_words; i++) {
        const char *word = bytes + (size_t)i * width;
        RL_TRY(rl_names_intern(survey->words, word, strnlen(word, width), &v->global[i], err));
    }
cleanup:
    return status;
}

/* The first run of a vocabulary reads it, everyone interns it: the same ids on every rank, in plan order. */
static rl_status share_vocabulary(rl_survey *survey, int64_t r, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_summary *s = &survey->summary[r];
    rl_vocabulary *v = &survey->vocabularies[survey->num_vocabularies];
    int owner = rl_share_owner(survey->num_runs, survey->size, r);
    size_t length = (size_t)s->num_words * (size_t)s->longest_word;
    rl_shard *shard = NULL;
    char *bytes = NULL;
    memcpy(v->digest, s->vocabulary, sizeof v->digest);
    v->num_words = s->num_words;
    survey->num_vocabularies++;
    if (length > INT_MAX)
        return rl_fail(err, RL_ERR_INPUT, "%s: its vocabulary is larger than 2 GiB", survey->runs[r].shard);
    if (survey->rank == owner) {
        status = rl_shard_open(&shard, survey->runs[r].shard, err);
        if (status == RL_OK) status = rl_shard_read_vocabulary(shard, &bytes, err);
        rl_shard_close(shard);
    } else if (!(bytes = rl_calloc(length, 1, err))) {
        status = RL_ERR_MEMORY;
    }
    RL_TRY(rl_store_agree(survey->comm, status, err));
    MPI_Bcast(bytes, (int)length, MPI_BYTE, owner, survey->comm);
    RL_TRY(rl_store_agree(survey->comm, intern_vocabulary(survey, v, bytes, (size_t)s->longest_word, err), err));
cleanup:
    rl_free(bytes);
    return status;
}

const rl_vocabulary *rl_survey_vocabulary(const rl_survey *survey, int64_t r)
{
    for (int32_t i = 0; i < survey->num_vocabularies; i++)
        if (!strcmp(survey->vocabularies[i].digest, survey->summary[r].vocabulary)) return &survey->vocabularies[i];
    return NULL;
}

static rl_status share_vocabularies(rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t r = 0; r < survey->num_runs; r++)
        if (survey->summary[r].presence == RL_PRESENT && !rl_survey_vocabulary(survey, r))
            RL_TRY(share_vocabulary(survey, r, err));
cleanup:
    return status;
}

/* ---------------------------------------------------------------------------------- entity types, concepts */

/* The first run of a list of types reads it, everyone interns it. */
static rl_status share_list(rl_survey *survey, int64_t r, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    char *bytes = NULL;
    int64_t sizes[2] = {0, 0};
    size_t width = 0;
    int owner = rl_share_owner(survey->num_runs, survey->size, r);
    if (survey->rank == owner) {
        status = rl_shard_open(&shard, survey->runs[r].shard, err);
        if (status == RL_OK) status = rl_shard_read_list(shard, RL_DIM_TYPE, &bytes, &sizes[0], &width, err);
        sizes[1] = (int64_t)width;
        rl_shard_close(shard);
    }
    RL_TRY(rl_store_agree(survey->comm, status, err));
    MPI_Bcast(sizes, 2, MPI_INT64_T, owner, survey->comm);
    if (survey->rank != owner && !(bytes = rl_calloc((size_t)(sizes[0] * sizes[1]), 1, err))) status = RL_ERR_MEMORY;
    RL_TRY(rl_store_agree(survey->comm, status, err));
    MPI_Bcast(bytes, (int)(sizes[0] * sizes[1]), MPI_BYTE, owner, survey->comm);
    for (int64_t i = 0; i < sizes[0] && status == RL_OK; i++) {
        const char *name = bytes + i * sizes[1];
        int32_t id;
        status = rl_names_intern(survey->types, name, strnlen(name, (size_t)sizes[1]), &id, err);
    }
    RL_TRY(rl_store_agree(survey->comm, status, err));
cleanup:
    rl_free(bytes);
    return status;
}

static rl_status share_types(rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *seen = NULL;
    int32_t id;
    status = rl_store_agree(survey->comm, rl_names_create(&seen, err), err);
    for (int64_t r = 0; status == RL_OK && r < survey->num_runs; r++) {
        const rl_summary *s = &survey->summary[r];
        if (s->presence != RL_PRESENT || !s->types[0] || rl_names_find(seen, s->types, strlen(s->types)) >= 0) continue;
        status = rl_store_agree(survey->comm, rl_names_intern(seen, s->types, strlen(s->types), &id, err), err);
        if (status == RL_OK) status = share_list(survey, r, err);
    }
    survey->longest.types = rl_names_count(survey->types);
    rl_names_free(seen);
    return status;
}

/* What the sweep's settings say: the same on every rank. */
static rl_status know_concepts(rl_survey *survey, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    int32_t id;
    for (int64_t r = 0; r < survey->num_runs; r++) {
        const rl_run_settings *settings = &survey->sweep->runs[r].settings;
        for (int64_t i = 0; i < settings->num_concepts; i++) {
            const char *name = settings->concepts[i].name;
            if (settings->also >> i & 1) RL_TRY(rl_names_intern(survey->others, name, strlen(name), &id, err));
        }
        text.length = 0;
        RL_TRY(rl_buffer_append(&text, "", 0, err));
        for (int64_t t = 0; t < settings->concept.num_types; t++)
            RL_TRY(rl_buffer_printf(&text, err, "%s%s", t ? "," : "", settings->concept.types[t]));
        survey->concept_types[r] = rl_strdup(text.length ? text.data : "", err);
        RL_TRY(survey->concept_types[r] ? RL_OK : RL_ERR_MEMORY);
    }
    survey->longest.others = rl_names_count(survey->others);
cleanup:
    rl_buffer_free(&text);
    return status;
}

/* ------------------------------------------------------------------------------------------------- all of it */

void rl_survey_free(rl_survey *survey)
{
    if (!survey) return;
    for (int64_t r = 0; survey->damage && r < survey->num_runs; r++) rl_free(survey->damage[r]);
    for (int32_t m = 0; survey->models && m < survey->num_models; m++) rl_free(survey->models[m].name);
    for (int32_t i = 0; survey->vocabularies && i < survey->num_vocabularies; i++)
        rl_free(survey->vocabularies[i].global);
    for (int64_t r = 0; survey->concept_types && r < survey->num_runs; r++) rl_free(survey->concept_types[r]);
    rl_free(survey->concept_types);
    rl_names_free(survey->types);
    rl_names_free(survey->others);
    rl_names_free(survey->words);
    rl_free(survey->vocabularies);
    rl_free(survey->models);
    rl_free(survey->model);
    rl_free(survey->model_row);
    rl_free(survey->damage);
    rl_free(survey->summary);
    rl_free(survey);
}

static rl_status allocate(rl_survey **out, MPI_Comm comm, const rl_sweep *sweep, const rl_gather_run *runs,
                          rl_error *err)
{
    rl_status status = RL_OK;
    rl_survey *survey = NULL;
    RL_ALLOC(survey, 1, err);
    survey->comm = comm;
    survey->sweep = sweep;
    survey->runs = runs;
    survey->num_runs = sweep->num_runs;
    MPI_Comm_rank(comm, &survey->rank);
    MPI_Comm_size(comm, &survey->size);
    survey->first = rl_share_first(survey->num_runs, survey->size, survey->rank);
    survey->count = rl_share_first(survey->num_runs, survey->size, survey->rank + 1) - survey->first;
    RL_ALLOC(survey->summary, survey->num_runs, err);
    RL_ALLOC(survey->damage, survey->num_runs, err);
    RL_ALLOC(survey->model, survey->num_runs, err);
    RL_ALLOC(survey->model_row, survey->num_runs, err);
    RL_ALLOC(survey->vocabularies, survey->num_runs, err);
    RL_TRY(rl_names_create(&survey->words, err));
    RL_TRY(rl_names_create(&survey->types, err));
    RL_TRY(rl_names_create(&survey->others, err));
    RL_ALLOC(survey->concept_types, survey->num_runs, err);
    *out = survey;
    survey = NULL;
cleanup:
    rl_survey_free(survey);
    return status;
}

rl_status rl_survey_create(rl_survey **out, MPI_Comm comm, const rl_sweep *sweep, const rl_gather_run *runs,
                           rl_error *err)
{
    rl_status status = RL_OK;
    rl_survey *survey = NULL;
    RL_TRY(rl_store_agree(comm, allocate(&survey, comm, sweep, runs, err), err));
    RL_TRY(rl_store_agree(comm, find_models(survey, err), err));
    RL_TRY(rl_store_agree(comm, summarise_own(survey, err), err));
    RL_TRY(exchange_summaries(survey, err));
    RL_TRY(exchange_damage(survey, err));
    RL_TRY(rl_store_agree(comm, compare_models(survey, err), err));
    RL_TRY(share_vocabularies(survey, err));
    RL_TRY(share_types(survey, err));
    RL_TRY(rl_store_agree(comm, know_concepts(survey, err), err));
    find_longest(survey);
    *out = survey;
    survey = NULL;
cleanup:
    rl_survey_free(survey);
    return status;
}
