/* cleaning.c -- keep: final and keep: none. A folder goes by one rename and is removed after it, so that no half of it is ever taken for
 * a stage. A failed run is unfinished: what it needs stays for --retry-failed. */
#include "cluster_internal.h"

#include <stdio.h>
#include <string.h>

static void delete_folder(rl_cleaning *cleaning, const rl_work *work, const rl_node *node)
{
    char *folder = rl_format(NULL, "%s/stages/%s", work->directory, node->stage.key);
    char *gone = rl_format(NULL, "%s/stages/%s.gone", work->directory, node->stage.key);
    if (folder && gone && rename(folder, gone) == 0 && rl_remove_tree(gone, NULL) == RL_OK) {
        cleaning->freed_bytes += node->disk_bytes;
        cleaning->num_deleted++;
    }
    rl_free(folder);
    rl_free(gone);
}

static bool is_deletable(const rl_work *work, const rl_node *node)
{
    return node->kind == RL_NODE_STAGE && rl_policy_deletes(&work->plan->sweep->policy, &node->stage);
}

/* What a kill left between rename and removal. */
static rl_status remove_leftovers(const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_names *found = NULL;
    char *stages = rl_path_join(directory, "stages", err), *path = NULL;
    if (!stages) return RL_ERR_MEMORY;
    RL_TRY(rl_list_folder(&found, stages, err));
    for (int32_t i = 0; i < rl_names_count(found); i++) {
        const char *name = rl_names_get(found, i), *dot = strrchr(name, '.');
        if (!dot || strcmp(dot, ".gone") != 0) continue;
        rl_free(path);
        path = rl_path_join(stages, name, err);
        RL_TRY(path ? rl_remove_tree(path, err) : RL_ERR_MEMORY);
    }
cleanup:
    rl_names_free(found);
    rl_free(stages);
    rl_free(path);
    return status;
}

static bool is_finished(const rl_plan *plan, int64_t run)
{
    int32_t count = plan->num_run_nodes[run];
    return count > 0 && plan->nodes[plan->run_nodes[run][count - 1]].done && !plan->sweep->runs[run].skipped;
}

rl_status rl_cleaning_begin(rl_cleaning *cleaning, const rl_work *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_plan *plan = work->plan;
    RL_ALLOC(cleaning->users, plan->num_nodes, err);
    RL_TRY(remove_leftovers(work->directory, err));
    for (int64_t r = 0; r < plan->sweep->num_runs; r++)
        for (int32_t i = 0; i < plan->num_run_nodes[r] && !is_finished(plan, r); i++) cleaning->users[plan->run_nodes[r][i]]++;
    for (int32_t n = 0; n < plan->num_nodes && plan->sweep->policy.keep != RL_KEEP_ALL; n++) {
        const rl_node *node = &plan->nodes[n];
        if (cleaning->users[n] == 0 && is_deletable(work, node) && rl_stage_is_complete(work->directory, node->stage.key))
            delete_folder(cleaning, work, node);
    }
cleanup:
    return status;
}

void rl_cleaning_end(rl_cleaning *cleaning) { rl_free(cleaning->users); }

void rl_cleaning_run_done(rl_cleaning *cleaning, const rl_work *work, int64_t run)
{
    const rl_plan *plan = work->plan;
    for (int32_t i = 0; i < plan->num_run_nodes[run]; i++) {
        int32_t n = plan->run_nodes[run][i];
        if (--cleaning->users[n] == 0 && is_deletable(work, &plan->nodes[n])) delete_folder(cleaning, work, &plan->nodes[n]);
    }
}

double rl_disk_reserve_bytes(const rl_plan *plan)
{
    double largest = 0; /* a model, its optimizer's moments beside it, and the model folder again */
    for (int32_t n = 0; n < plan->num_nodes; n++)
        if (!plan->nodes[n].done && 4 * plan->nodes[n].disk_bytes > largest) largest = 4 * plan->nodes[n].disk_bytes;
    return largest;
}
