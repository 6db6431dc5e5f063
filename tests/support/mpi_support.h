/* mpi_support.h -- tests on several ranks: one folder for all, and a verdict that all ranks share before anyone
 * asserts. */
#ifndef RELEARN_TESTS_MPI_SUPPORT_H
#define RELEARN_TESTS_MPI_SUPPORT_H

#include "support.h"

#include <mpi.h>

static int world_rank, world_size;

/* Rank 0's temporary folder, the same text on every rank. */
static inline const char *shared_folder(void)
{
    static char folder[4096];
    if (world_rank == 0) snprintf(folder, sizeof folder, "%s", support_temporary_folder());
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    return folder;
}

/* A lone failing assertion would leave the other ranks in a collective call until the TIMEOUT: count first, then all
 * assert. */
#define assert_everywhere(condition) check_everywhere((condition), #condition, __FILE__, __LINE__)
static inline void check_everywhere(bool fine, const char *what, const char *file, int line)
{
    int bad = !fine, any = 0;
    if (bad) print_error("%s:%d: rank %d: not so: %s\n", file, line, world_rank, what);
    MPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (any) _fail(file, line);
}
#define assert_ok_everywhere(call, err) check_ok_everywhere((call), &(err), __FILE__, __LINE__)
static inline void check_ok_everywhere(rl_status status, const rl_error *err, const char *file, int line)
{
    check_everywhere(status == RL_OK, err->message[0] ? err->message : "status is RL_OK", file, line);
}

/* The first `size` ranks of the world as a communicator; MPI_COMM_NULL on the others. */
static inline MPI_Comm first_ranks(int size)
{
    MPI_Comm comm;
    MPI_Comm_split(MPI_COMM_WORLD, world_rank < size ? 0 : MPI_UNDEFINED, world_rank, &comm);
    return comm;
}

static inline int run_mpi_tests(int argc, char **argv, int (*tests)(void))
{
    int failed, worst = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    failed = tests();
    MPI_Allreduce(&failed, &worst, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return worst;
}

#endif
