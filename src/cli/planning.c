/* planning.c -- see planning.h. */
#include "planning.h"

#include <dirent.h>
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
    rl_sweep_past_clear(&planned->past);
    rl_free(planned->directory);
    *planned = (rl_planned){0};
}

static bool holds_finished_runs(const char *directory)
{
    bool found = false;
    char *path = rl_path_join(directory, "runs", NULL);
    DIR *folder = path ? opendir(path) : NULL;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        found = dot && !strcmp(dot, ".h5");
    }
    if (folder) closedir(folder);
    rl_free(path);
    return found;
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

rl_status rl_planned_make(rl_planned *out, const rl_planning *planning, rl_error *err)
{
    rl_status status = RL_OK;
    rl_planned p = {0};
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_sweep_read(&p.sweep, planning->file, planning->sets, planning->num_sets, planning->filter, err));
    RL_TRY(find_folder(&p, planning, err));
    RL_TRY(rl_linalg_set_threads(p.sweep->policy.threads_per_rank, err)); /* before stage keys: they may name the count */
    RL_TRY(rl_cycle_create(&p.cycle, p.directory, NULL, err));
    if (planning->must_have_folder)
        RL_TRY(rl_plan_create_runnable(&p.plan, p.sweep, p.cycle, p.directory, planning->num_ranks, err));
    else
        RL_TRY(rl_plan_create(&p.plan, p.sweep, p.cycle, p.directory, planning->num_ranks, 0, err));
    if (p.directory) RL_TRY(rl_sweep_past_read(&p.past, p.directory, err));
    if (planning->like) RL_TRY(learn_from(&p.past, planning->like, err));
    RL_TRY(rl_sweep_past_apply(&p.past, p.plan, planning->retry_failed, err));
    *out = p;
    p = (rl_planned){0};
cleanup:
    rl_planned_clear(&p);
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
    json_array_foreach(planned->past.runs, i, run)
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
    const rl_sweep_past *past = &planned->past;
    bool other = strcmp(past->gemm_backend, rl_gemm_backend()) != 0 || strcmp(past->isa, rl_isa_name()) != 0 ||
                 (past->gemm_version[0] && strcmp(past->gemm_version, rl_gemm_backend_version()) != 0);
    int64_t lost = count_lost(planned);
    if (past->num_starts > 0 && other)
        fprintf(stderr,
                "relearn: warning: %s was computed with %s %s on %s, this start has %s %s on %s: bits may differ, so everything is computed anew; "
                "RELEARN_GEMM and RELEARN_ISA choose what both have, --out another folder keeps them apart\n",
                planned->directory, past->gemm_backend, past->gemm_version, past->isa, rl_gemm_backend(), rl_gemm_backend_version(), rl_isa_name());
    else if (lost > 0)
        fprintf(stderr, "relearn: warning: %lld finished run%s of %s %s in this sweep and leave%s its results.h5 (shards stay in runs/): %s; --out another folder keeps them apart\n",
                (long long)lost, lost == 1 ? "" : "s", planned->directory, lost == 1 ? "is not" : "are not", lost == 1 ? "s" : "",
                planned->unread.status != RL_OK ? planned->unread.message : "what a data or model file holds, or relearn itself, has changed");
}
