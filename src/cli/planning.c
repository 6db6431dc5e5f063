/* planning.c -- see planning.h. */
#include "planning.h"

#include <stdlib.h>
#include <string.h>

rl_planning rl_planning_from(const rl_args *args)
{
    rl_planning planning = {.file = args->operands[0],
                            .directory = rl_args_text(args, "out", NULL),
                            .filter = rl_args_text(args, "filter", NULL),
                            .like = rl_args_text(args, "like", NULL)};
    planning.num_sets = rl_args_all(args, "set", planning.sets);
    return planning;
}

void rl_planned_clear(rl_planned *planned)
{
    rl_plan_free(planned->plan);
    rl_cycle_free(planned->cycle);
    rl_sweep_free(planned->sweep);
    rl_free(planned->directory);
    *planned = (rl_planned){0};
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

rl_status rl_list_shards(rl_names **found, const char ***names, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    rl_names *all = NULL;
    char *path = rl_path_join(directory, "runs", err);
    if (!path) return RL_ERR_MEMORY;
    RL_TRY(rl_names_create(found, err));
    RL_TRY(rl_list_folder(&all, path, err));
    for (int32_t i = 0; i < rl_names_count(all); i++) {
        const char *name = rl_names_get(all, i), *dot = strrchr(name, '.');
        if (dot && strcmp(dot, ".h5") == 0) RL_TRY(rl_names_intern(*found, name, strlen(name), &id, err));
    }
    RL_ALLOC(*names, rl_names_count(*found), err);
    for (int32_t i = 0; i < rl_names_count(*found); i++) (*names)[i] = rl_names_get(*found, i);
    qsort(*names, (size_t)rl_names_count(*found), sizeof **names, by_text);
cleanup:
    rl_names_free(all);
    rl_free(path);
    return status;
}

static bool holds_finished_runs(const char *directory)
{
    rl_names *found = NULL;
    const char **names = NULL;
    bool any = rl_list_shards(&found, &names, directory, NULL) == RL_OK && rl_names_count(found) > 0;
    rl_free(names);
    rl_names_free(found);
    return any;
}

/* The folder, and the sweep with what the folder holds beside it. */
static rl_status find_folder(rl_planned *p, const rl_planning *planning, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep *whole = NULL;
    char *previous = NULL;
    p->directory = planning->directory ? rl_strdup(planning->directory, err) : rl_format(err, "results/%s", p->sweep->name);
    if (!p->directory) return RL_ERR_MEMORY;
    if (!planning->must_have_folder && !planning->directory && !rl_path_is_directory(p->directory)) {
        rl_free(p->directory);
        p->directory = NULL;
        return RL_OK;
    }
    if (!holds_finished_runs(p->directory)) return RL_OK;
    previous = rl_path_join(p->directory, "sweep.yaml", err);
    if (!previous) return RL_ERR_MEMORY;
    RL_TRY(rl_sweep_extend(&whole, p->sweep, planning->file, planning->sets, planning->num_sets, previous,
                           planning->both, &p->unread, err));
    if (whole) {
        rl_sweep_free(p->sweep);
        p->sweep = whole;
    }
cleanup:
    rl_free(previous);
    return status;
}

/* A run that this start does not ask for and whose own shard is not there: the text that its shard would bear, -> run. */
static rl_status list_missing(rl_names *missing, int64_t **runs, const rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer text = {0};
    int32_t id = 0;
    RL_ALLOC(*runs, plan->sweep->num_runs, err);
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        if (!rl_plan_leaves_out(plan, r) || plan->num_run_nodes[r] == 0) continue;
        RL_TRY(rl_settings_identity(&text, &plan->sweep->runs[r].settings, true, err));
        RL_TRY(rl_names_intern(missing, text.data, text.length, &id, err));
        (*runs)[id] = r;
    }
cleanup:
    rl_buffer_free(&text);
    return status;
}

static rl_status take_over_shard(rl_plan *plan, const char *path, const rl_names *missing, const int64_t *runs, rl_error *err)
{
    rl_status status = RL_OK;
    rl_shard *shard = NULL;
    rl_buffer text = {0};
    rl_error why = {0};
    if (rl_shard_open(&shard, path, &why) != RL_OK) return RL_OK; /* damaged: nobody asks for it */
    const char *id = rl_shard_attribute(shard, "run");
    RL_TRY(rl_shard_identity(&text, shard, true, err));
    int32_t found = rl_names_find(missing, text.data, text.length);
    if (found >= 0 && id && rl_plan_leaves_out(plan, runs[found])) status = rl_plan_take_over(plan, runs[found], id, err);
cleanup:
    rl_shard_close(shard);
    rl_buffer_free(&text);
    return status;
}

/* Shards that other kernels made, or that were made before a file changed, bear other ids than the plan's. What this start asks for is
 * computed anew; the others are what the folder holds of those runs, and a results.h5 without them would replace one that has them. */
static rl_status keep_what_is_held(rl_plan *plan, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *missing = NULL, *found = NULL, *own = NULL;
    const char **names = NULL;
    int64_t *runs = NULL;
    int32_t id = 0;
    char *path = NULL;
    RL_TRY(rl_names_create(&missing, err));
    RL_TRY(rl_names_create(&own, err));
    RL_TRY(list_missing(missing, &runs, plan, err));
    if (rl_names_count(missing) == 0) goto cleanup;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) RL_TRY(rl_names_intern(own, plan->sweep->runs[r].id, RL_RUN_ID - 1, &id, err));
    RL_TRY(rl_list_shards(&found, &names, directory, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        if (rl_names_find(own, names[i], strlen(names[i]) - 3) >= 0) continue; /* without ".h5" */
        rl_free(path);
        path = rl_format(err, "%s/runs/%s", directory, names[i]);
        RL_TRY(path ? take_over_shard(plan, path, missing, runs, err) : RL_ERR_MEMORY);
    }
cleanup:
    rl_free(path);
    rl_free(runs);
    rl_free(names);
    rl_names_free(found);
    rl_names_free(own);
    rl_names_free(missing);
    return status;
}

/* Another folder's observed times stand in where this one has none. */
static rl_status learn_from(rl_sweep_past *past, const char *like, rl_error *err)
{
    rl_sweep_past other = {0};
    rl_status status = rl_sweep_past_read(&other, like, err);
    if (status != RL_OK) return status;
    bool any = false;
    for (int k = 0; k < RL_NUM_WORK_KINDS; k++) {
        any |= other.factor[k] > 0;
        if (past->factor[k] <= 0) past->factor[k] = other.factor[k];
    }
    if (!any) status = rl_fail(err, RL_ERR_INPUT, "--like %s: no stage was finished there", like);
    rl_sweep_past_clear(&other);
    return status;
}

/* The plan by what lies in the folder, without what its journal tells. */
static rl_status lay_out(rl_planned *out, const rl_planning *planning, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planned p = {.past = planning->past};
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(&p.sweep, planning->file, planning->sets, planning->num_sets, planning->filter, err));
    RL_TRY(find_folder(&p, planning, err));
    RL_TRY(rl_linalg_set_threads(p.sweep->policy.threads_per_rank, err)); /* before stage keys: they may name the count */
    RL_TRY(rl_cycle_create(&p.cycle, p.directory, NULL, err));
    if (planning->must_have_folder)
        RL_TRY(rl_plan_create_runnable(&p.plan, p.sweep, p.cycle, p.directory, planning->num_ranks, planning->gflops, err));
    else
        RL_TRY(rl_plan_create(&p.plan, p.sweep, p.cycle, p.directory, planning->num_ranks, planning->gflops, err));
    if (p.directory) RL_TRY(keep_what_is_held(p.plan, p.directory, err));
    *out = p;
    p = (rl_planned){0};
cleanup:
    rl_planned_clear(&p);
    return status;
}

static rl_status recall(const rl_planning *planning, const rl_planned *p, rl_error *err)
{
    rl_status status = RL_OK;
    if (planning->past->known) return RL_OK;
    if (p->directory) RL_TRY(rl_sweep_past_read(planning->past, p->directory, err));
    if (planning->like) RL_TRY(learn_from(planning->past, planning->like, err));
cleanup:
    return status;
}

rl_status rl_planned_make(rl_planned *out, const rl_planning *planning, rl_error *err)
{
    rl_status status = lay_out(out, planning, err);
    if (status == RL_OK) status = recall(planning, out, err);
    if (status == RL_OK) status = rl_sweep_past_apply(planning->past, out->plan, planning->retry_failed, err);
    if (status != RL_OK) rl_planned_clear(out);
    return status;
}

rl_status rl_planned_make_together(rl_planned *out, const rl_planning *planning, rl_error *err)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    rl_status status = lay_out(out, planning, err);
    if (status == RL_OK && rank == 0) status = recall(planning, out, err);
    status = rl_sweep_past_share(MPI_COMM_WORLD, planning->past, status, err);
    if (status == RL_OK) status = rl_cluster_agree(MPI_COMM_WORLD, rl_sweep_past_apply(planning->past, out->plan, planning->retry_failed, err), err);
    if (status != RL_OK) rl_planned_clear(out);
    return status;
}

/* Finished runs of the last start that this one does not know: their keys are others now. */
static int64_t count_lost(const rl_planned *planned)
{
    rl_names *ids = NULL;
    int64_t lost = 0;
    int32_t id = 0;
    size_t i;
    const json_t *run;
    if (rl_names_create(&ids, NULL) != RL_OK) return 0;
    for (int64_t r = 0; r < planned->sweep->num_runs; r++) rl_names_intern(ids, planned->sweep->runs[r].id, strlen(planned->sweep->runs[r].id), &id, NULL);
    json_array_foreach(planned->past->runs, i, run)
    {
        const char *name = json_string_value(run);
        if (!name || rl_names_find(ids, name, strlen(name)) >= 0) continue;
        char *shard = rl_plan_shard_path(planned->directory, name, NULL);
        lost += shard && rl_path_exists(shard);
        rl_free(shard);
    }
    rl_names_free(ids);
    return lost;
}

void rl_planned_warn_of_past(const rl_planned *planned)
{
    const rl_sweep_past *past = planned->past;
    bool other = strcmp(past->gemm_backend, rl_gemm_backend()) != 0 || strcmp(past->isa, rl_isa_name()) != 0 ||
                 (past->gemm_version[0] && strcmp(past->gemm_version, rl_gemm_backend_version()) != 0);
    int64_t lost = count_lost(planned);
    if (past->num_starts > 0 && other)
        fprintf(stderr,
                "relearn: warning: %s was computed with %s %s on %s, this start has %s %s on %s: bits may differ, so all that it asks for is computed anew; "
                "RELEARN_GEMM and RELEARN_ISA choose what both have, --out another folder keeps them apart\n",
                planned->directory, past->gemm_backend, past->gemm_version, past->isa, rl_gemm_backend(), rl_gemm_backend_version(), rl_isa_name());
    else if (lost > 0)
        fprintf(stderr, "relearn: warning: %lld finished run%s of %s %s in this sweep and leave%s its results.h5 (shards stay in runs/): %s; --out another folder keeps them apart\n",
                (long long)lost, lost == 1 ? "" : "s", planned->directory, lost == 1 ? "is not" : "are not", lost == 1 ? "s" : "",
                planned->unread.status != RL_OK ? planned->unread.message : "a filter: or exclude: of the file leaves them out (--filter would not), or what a data or model file holds, or relearn itself, has changed");
}
