/* agree.c -- ranks go on together or not at all.
 *
 * A rank that returned early from between two collective calls would leave the others waiting in the second one. So:
 * work locally, agree, and take the status from the agreed value. */
#include "store_internal.h"

#include <string.h>

rl_status rl_store_agree(MPI_Comm comm, rl_status status, rl_error *err)
{
    int rank, size, mine, first;
    struct {
        int status;
        char message[sizeof(((rl_error *)0)->message)];
    } verdict = {(int)status, ""};
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    mine = status == RL_OK ? size : rank;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, comm);
    if (first == size) return RL_OK;
    if (status != RL_OK && err) memcpy(verdict.message, err->message, sizeof verdict.message);
    MPI_Bcast(&verdict, (int)sizeof verdict, MPI_BYTE, first, comm);
    return rl_fail(err, (rl_status)verdict.status, "%s", verdict.message);
}

MPI_Comm rl_store_plain_comm(MPI_Comm comm)
{
    MPI_Comm plain;
    int rank;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_split(comm, 0, rank, &plain); /* unlike MPI_Comm_dup it drops the topology */
    return plain;
}

int64_t rl_share_first(int64_t n, int size, int rank) { return n / size * rank + (n % size < rank ? n % size : rank); }

int rl_share_owner(int64_t n, int size, int64_t thing)
{
    int owner = 0;
    while (owner + 1 < size && rl_share_first(n, size, owner + 1) <= thing) owner++;
    return owner;
}
