/* stats.c -- all statistics in order, from results.h5 to results.h5:/stats. */
#include "stats_internal.h"

#include "stats_steps.h"

#include <stdio.h>
#include <string.h>

static rl_status add_attributes(const rl_source *s, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    char draws[24], seed[24];
    snprintf(draws, sizeof draws, "%lld", (long long)RL_STATS_DRAWS);
    snprintf(seed, sizeof seed, "%d", RL_STATS_SEED);
    const char *const attributes[][2] = {{"format", RL_STATS_FORMAT},
                                         {"computed_by", "relearn " RL_VERSION},
                                         {"gathered", s->created ? s->created : ""},
                                         {"level", "0.95"},
                                         {"q", "0.05"},
                                         {"draws", draws},
                                         {"random_seed", seed},
                                         {"salient_above", "0.5"},
                                         {"smallest_drop", "0.01"},
                                         {"skipped", o->skipped.length ? o->skipped.data : ""}};
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        RL_TRY(rl_outputs_attribute(o, "/stats", attributes[i][0], attributes[i][1], err));
cleanup:
    return status;
}

/* What the steps share. */
static void free_work(rl_work *w)
{
    for (int32_t m = 0; w->layers && m < w->source->num_models; m++) rl_layers_free(w->layers[m]);
    rl_free(w->layers);
    rl_free(w->relocation);
    rl_free(w->relocation_mass);
    rl_curves_free(w->curves);
    rl_resampler_free(w->resampler);
}

static rl_status per_run(rl_work *w, rl_outputs *o, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_source *s = w->source;
    RL_TRY(rl_resampler_create(&w->resampler, err));
    RL_TRY(rl_curves_create(&w->curves, s, err));
    RL_ALLOC(w->layers, s->num_models, err);
    RL_ALLOC(w->relocation, s->num_runs, err);
    RL_ALLOC(w->relocation_mass, s->num_runs, err);
    for (int32_t m = 0; m < s->num_models; m++) RL_TRY(rl_layers_create(&w->layers[m], s, m, err));
    RL_TRY(rl_cells_output(s, o, err));
    RL_TRY(rl_scores_output(s, w->resampler, o, err));
    RL_TRY(rl_curves_output(w->curves, s, w->resampler, o, err));
    RL_TRY(rl_relocation_output(w->layers, s, o, w->relocation, w->relocation_mass, err));
    for (int32_t m = 0; m < s->num_models; m++) RL_TRY(rl_layers_output(w->layers[m], s, w->resampler, o, err));
cleanup:
    return status;
}

static rl_status compute(rl_outputs *o, const rl_source *s, rl_error *err)
{
    rl_status status = RL_OK;
    rl_work w = {.source = s};
    RL_TRY(per_run(&w, o, err));
    for (size_t i = 0; i < rl_num_steps; i++) RL_TRY(rl_steps[i](&w, o, err));
    RL_TRY(add_attributes(s, o, err));
cleanup:
    free_work(&w);
    return status;
}

rl_status rl_stats_outputs(rl_outputs *o, MPI_Comm comm, const char *path, json_t **findings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_source *source = NULL;
    RL_TRY(rl_source_open(&source, comm, path, err));
    RL_TRY(rl_source_agree(source, compute(o, source, err), err));
    if (findings && source->rank == 0) status = rl_findings_make(findings, source, o, err);
    status = rl_store_agree(comm, status, err);
cleanup:
    rl_source_close(source);
    return status;
}

rl_status rl_stats_compute(MPI_Comm comm, const char *directory, json_t **findings, rl_error *err)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    rl_status status = RL_OK;
    rl_outputs outputs = {0};
    json_t *found = NULL;
    int rank;
    MPI_Comm plain = rl_store_plain_comm(comm);
    char *path = rl_path_join(directory, "results.h5", err);
    MPI_Comm_rank(comm, &rank);
    status = path ? rl_linalg_check_room(err) : RL_ERR_MEMORY; /* ScaLAPACK's products */
    RL_TRY(rl_store_agree(comm, status, err));
    RL_TRY(rl_stats_outputs(&outputs, plain, path, &found, err));
    RL_TRY(rl_store_agree(comm, rank == 0 ? rl_outputs_write(&outputs, path, err) : RL_OK, err));
    *findings = found;
    found = NULL;
cleanup:
    json_decref(found);
    rl_outputs_clear(&outputs);
    rl_free(path);
    MPI_Comm_free(&plain);
    rl_h5_quiet_end(quiet);
    return status;
}

/* ---------------------------------------------------------------------------------------------------- current */

static bool attribute_is(hid_t object, const char *name, const char *expected)
{
    char *text = NULL;
    bool same = expected && rl_h5_get_text(&text, object, name, NULL) == RL_OK && text && !strcmp(text, expected);
    rl_free(text);
    return same;
}

bool rl_stats_is_current(const char *directory, bool *changed)
{
    rl_h5_quiet quiet = rl_h5_quiet_begin();
    char content[RL_DIGEST_HEX], *path = rl_path_join(directory, "results.h5", NULL), *created = NULL;
    hid_t file = H5I_INVALID_HID, group = H5I_INVALID_HID;
    bool current = false;
    *changed = false;
    if (path && rl_h5_open(&file, path, "results file", NULL) == RL_OK && H5Lexists(file, "/stats", H5P_DEFAULT) > 0) {
        group = H5Gopen2(file, "/stats", H5P_DEFAULT);
        current = group >= 0 && rl_h5_get_text(&created, file, "created", NULL) == RL_OK &&
                  attribute_is(group, "gathered", created) && attribute_is(group, "format", RL_STATS_FORMAT) &&
                  attribute_is(group, "computed_by", "relearn " RL_VERSION);
        *changed = current && !(rl_store_digest_stats(path, content, NULL) == RL_OK && attribute_is(group, RL_STATS_SEAL, content));
        current &= !*changed;
    }
    rl_free(created);
    rl_free(path);
    rl_h5_close(group);
    rl_h5_close(file);
    rl_h5_quiet_end(quiet);
    return current;
}
