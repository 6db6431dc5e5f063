/* group.c -- the messages of ranks that train together, over MPI point-to-point in a communicator of their own. */
#include "cluster_internal.h"

#include <sched.h>
#include <time.h>

enum { TAG_DATA = 1, TAG_SUMMON = 2 };
static const double busy_wait_s = 0.002, short_wait_s = 1.0;
static const size_t largest_message = (size_t)1 << 30; /* MPI counts are ints */

struct rl_rank_group {
    rl_train_group ranks;
    MPI_Comm comm; /* the group's ranks, in their order */
    MPI_Request *requests;
    int32_t count, capacity;
    rl_status status; /* of the first request that found no place: told by wait */
    rl_error error;
};

/* The table grows in the first step and is large enough from then on. */
static MPI_Request *next_request(rl_rank_group *g)
{
    if (g->count == g->capacity) {
        int32_t capacity = g->capacity ? 2 * g->capacity : 64;
        MPI_Request *grown = rl_regrow(g->requests, (size_t)g->count, (size_t)capacity, sizeof *grown, &g->error);
        if (!grown) {
            g->status = RL_ERR_MEMORY;
            return NULL;
        }
        g->requests = grown;
        g->capacity = capacity;
    }
    return &g->requests[g->count];
}

static void send_bytes(void *context, int32_t to, const void *data, size_t bytes)
{
    rl_rank_group *g = context;
    for (const char *at = data; bytes > 0;) {
        size_t part = bytes < largest_message ? bytes : largest_message;
        MPI_Request *request = next_request(g);
        if (!request) return;
        MPI_Isend(at, (int)part, MPI_BYTE, to, TAG_DATA, g->comm, request);
        g->count++;
        at += part;
        bytes -= part;
    }
}

static void receive_bytes(void *context, int32_t from, void *data, size_t bytes)
{
    rl_rank_group *g = context;
    for (char *at = data; bytes > 0;) {
        size_t part = bytes < largest_message ? bytes : largest_message;
        MPI_Request *request = next_request(g);
        if (!request) return;
        MPI_Irecv(at, (int)part, MPI_BYTE, from, TAG_DATA, g->comm, request);
        g->count++;
        at += part;
        bytes -= part;
    }
}

static bool all_done(rl_rank_group *g)
{
    int done = 1;
    MPI_Testall(g->count, g->requests, &done, MPI_STATUSES_IGNORE);
    return done != 0;
}

static void advance(void *context) { all_done(context); }

/* Within a step the others are a moment behind; while rank 0 evaluates or saves they have long to wait. */
static rl_status wait_for_all(void *context, rl_error *err)
{
    rl_rank_group *g = context;
    double start = rl_now_s();
    while (!all_done(g)) {
        double waited = rl_now_s() - start;
        if (waited < busy_wait_s) {
            sched_yield();
            continue;
        }
        struct timespec pause = {0, waited < short_wait_s ? 50000L : 3000000L};
        nanosleep(&pause, NULL);
    }
    g->count = 0;
    if (g->status != RL_OK && err) *err = g->error;
    return g->status;
}

/* Collective. colour: which group of comm this rank is in, or MPI_UNDEFINED. */
static rl_status create(rl_rank_group **out, MPI_Comm comm, int colour, rl_error *err)
{
    int rank = 0;
    rl_rank_group *g = rl_calloc(1, sizeof *g, err);
    rl_status status = rl_cluster_agree(comm, g ? RL_OK : RL_ERR_MEMORY, err);
    if (status != RL_OK) {
        rl_free(g);
        return status;
    }
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_split(comm, colour, rank, &g->comm);
    if (colour == MPI_UNDEFINED) {
        rl_free(g);
        return RL_OK;
    }
    g->ranks = (rl_train_group){g, 0, 0, send_bytes, receive_bytes, advance, wait_for_all};
    MPI_Comm_rank(g->comm, &g->ranks.rank);
    MPI_Comm_size(g->comm, &g->ranks.size);
    *out = g;
    return RL_OK;
}

rl_status rl_rank_group_create_whole(rl_rank_group **out, MPI_Comm comm, rl_error *err) { return create(out, comm, 0, err); }

rl_status rl_rank_group_create(rl_rank_group **out, MPI_Comm comm, const rl_grouping *grouping, rl_error *err)
{
    int rank = 0;
    MPI_Comm_rank(comm, &rank);
    if (grouping->num_groups == 0) return RL_OK;
    int worker = rank > 0 ? rl_grouping_worker(grouping, rank) : grouping->num_workers;
    return create(out, comm, worker < grouping->num_groups ? worker : MPI_UNDEFINED, err);
}

void rl_rank_group_free(rl_rank_group *g)
{
    if (!g) return;
    MPI_Comm_free(&g->comm);
    rl_free(g->requests);
    rl_free(g);
}

const rl_train_group *rl_rank_group_ranks(const rl_rank_group *g) { return &g->ranks; }

void rl_rank_group_summon(rl_rank_group *g, int32_t node, int32_t count)
{
    for (int32_t r = 1; r < count; r++) MPI_Send(&node, 1, MPI_INT32_T, r, TAG_SUMMON, g->comm);
}

bool rl_rank_group_summoned(rl_rank_group *g, int32_t *node)
{
    int waiting = 0;
    MPI_Iprobe(0, TAG_SUMMON, g->comm, &waiting, MPI_STATUS_IGNORE);
    if (waiting) MPI_Recv(node, 1, MPI_INT32_T, 0, TAG_SUMMON, g->comm, MPI_STATUS_IGNORE);
    return waiting != 0;
}
