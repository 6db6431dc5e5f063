/* inspect.c -- before anything is computed: is what earlier starts left still what they wrote?
 *
 * Every shard, and every stage that something not yet done will read, is compared with its checksums, each rank taking its share. What does
 * not match is set aside under DIR/quarantine, said in one line, and made again by this start. */
#include "cluster_internal.h"

#include <stdio.h>
#include <string.h>

json_t *rl_notice_event(const char *text) { return json_pack("{s:s, s:o}", "event", "notice", "text", rl_json_text(text)); }

void rl_cluster_notice(const rl_cluster_options *options, rl_journal *journal, const char *text)
{
    /* For people, not for the next start: a journal that cannot take it says so at its next record. */
    rl_journal_append(journal, rl_notice_event(text), false, NULL);
    if (options->on_notice) options->on_notice(options->context, text);
}

static char *node_path(const rl_plan *plan, int32_t n, const char *directory, rl_error *err)
{
    const rl_node *node = &plan->nodes[n];
    return node->kind == RL_NODE_SHARD ? rl_plan_shard_path(directory, plan->sweep->runs[node->run].id, err)
                                       : rl_format(err, "%s/stages/%s", directory, node->stage.key);
}

/* RL_OK also for what is not there at all: that is no damage. */
static rl_status check_node(const rl_plan *plan, int32_t n, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    char *path = node_path(plan, n, directory, err);
    if (!path) return RL_ERR_MEMORY;
    if (rl_path_exists(path))
        status = plan->nodes[n].kind == RL_NODE_SHARD ? rl_shard_check_seal(path, err) : rl_stage_check(path, true, err);
    rl_free(path);
    return status;
}

enum { UNSEEN = 0, TO_CHECK = 1, WHOLE = 2, DAMAGED = 3 };

/* Rank 0: what there is to look at and has not been looked at. Returns whether there is anything. */
static bool choose(const rl_plan *plan, unsigned char *state)
{
    bool any = false;
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        if (node->kind == RL_NODE_SHARD && node->done && state[n] == UNSEEN) state[n] = TO_CHECK;
        for (int32_t d = 0; !node->done && d < node->num_depends; d++) {
            int32_t input = node->depends[d];
            if (plan->nodes[input].done && state[input] == UNSEEN) state[input] = TO_CHECK;
        }
    }
    for (int32_t n = 0; n < plan->num_nodes; n++) any |= state[n] == TO_CHECK;
    return any;
}

/* Collective. What cannot be read at all says nothing about damage: then nothing is set aside, and nothing is begun. */
static rl_status check_share(MPI_Comm comm, const rl_plan *plan, const char *directory, unsigned char *state, rl_error *err)
{
    rl_status status = RL_OK;
    int rank = 0, num_ranks = 1, turn = 0;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &num_ranks);
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        if (state[n] != TO_CHECK || turn++ % num_ranks != rank) continue;
        rl_error why = {0};
        rl_status found = check_node(plan, n, directory, &why);
        state[n] = found == RL_ERR_INPUT ? DAMAGED : WHOLE;
        if (found != RL_OK && found != RL_ERR_INPUT && status == RL_OK) status = rl_fail(err, found, "%s", why.message);
    }
    MPI_Allreduce(MPI_IN_PLACE, state, plan->num_nodes, MPI_UNSIGNED_CHAR, MPI_MAX, comm);
    return rl_cluster_agree(comm, status, err);
}

static rl_status set_aside(const rl_plan *plan, int32_t n, const char *directory, const rl_cluster_options *options,
                           rl_journal *journal, rl_error *err)
{
    rl_error why = {0};
    char text[2048], *moved_to = NULL, *path = node_path(plan, n, directory, err);
    if (!path) return RL_ERR_MEMORY;
    rl_status status = check_node(plan, n, directory, &why);
    if (status == RL_ERR_INPUT)
        status = rl_quarantine(&moved_to, directory, path, err);
    else if (status != RL_OK)
        rl_fail(err, status, "%s", why.message);
    if (moved_to) {
        snprintf(text, sizeof text, "%s; moved to %s, to be made again", why.message, moved_to);
        rl_cluster_notice(options, journal, text);
    }
    rl_free(path);
    rl_free(moved_to);
    return status;
}

/* Rank 0. Without a shard its run's stages are needed again, and those are looked at in the next round. */
static rl_status quarantine_damaged(rl_plan *plan, unsigned char *state, const rl_cluster_options *options, rl_journal *journal,
                                    rl_error *err)
{
    rl_status status = RL_OK;
    bool any = false;
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        if (state[n] != DAMAGED) continue;
        RL_TRY(set_aside(plan, n, options->directory, options, journal, err));
        state[n] = WHOLE; /* gone: nothing to look at any more */
        any = true;
    }
    if (any) RL_TRY(rl_plan_refresh(plan, options->directory, err));
cleanup:
    return status;
}

rl_status rl_inspect(MPI_Comm comm, rl_plan *plan, const rl_cluster_options *options, rl_journal *journal, rl_error *err)
{
    rl_status status = RL_OK;
    int rank = 0, more = 0;
    unsigned char *state = NULL;
    MPI_Comm_rank(comm, &rank);
    state = rl_calloc((size_t)plan->num_nodes + 1, 1, err);
    RL_TRY(rl_cluster_agree(comm, state ? RL_OK : RL_ERR_MEMORY, err));
    for (;;) {
        if (rank == 0) more = choose(plan, state);
        MPI_Bcast(&more, 1, MPI_INT, 0, comm);
        if (!more) break;
        MPI_Bcast(state, plan->num_nodes, MPI_UNSIGNED_CHAR, 0, comm);
        RL_TRY(check_share(comm, plan, options->directory, state, err));
        if (rank == 0) status = quarantine_damaged(plan, state, options, journal, err);
        RL_TRY(rl_cluster_agree(comm, status, err));
    }
cleanup:
    rl_free(state);
    return status;
}
