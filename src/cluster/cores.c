/* cores.c -- are there cores for the threads that a sweep asks for? A rank that mpirun has bound to one core would run two
 * threads on it in turns, which is slower than one. */
#include "cluster_internal.h"

#include <sched.h>
#include <unistd.h>

static rl_status check(int rank, int mine, int on_machine, int workers, int threads, rl_error *err)
{
    char host[128] = "unknown";
    gethostname(host, sizeof host - 1);
    if (mine < threads)
        return rl_fail(err, RL_ERR_INPUT,
                       "threads_per_rank: %d, but rank %d on %s may use %d core%s; expected as many (mpirun --map-by slot:PE=%d, "
                       "srun --cpus-per-task=%d), or run --oversubscribe",
                       threads, rank, host, mine, mine == 1 ? "" : "s", threads, threads);
    if (on_machine < workers * threads)
        return rl_fail(err, RL_ERR_INPUT,
                       "threads_per_rank: %d for %d working ranks on %s, which has %d cores for them; expected at most %d working ranks "
                       "there, or run --oversubscribe",
                       threads, workers, host, on_machine, on_machine / threads);
    return RL_OK;
}

static void allowed(cpu_set_t *cores)
{
    CPU_ZERO(cores);
    if (sched_getaffinity(0, sizeof *cores, cores) == 0) return;
    for (int i = 0; i < CPU_SETSIZE; i++) CPU_SET(i, cores); /* more cores than the set has room for */
}

int rl_cluster_cores(void)
{
    cpu_set_t cores;
    allowed(&cores);
    return CPU_COUNT(&cores);
}

rl_status rl_cluster_check_cores(MPI_Comm comm, int threads, rl_error *err)
{
    MPI_Comm machine = MPI_COMM_NULL;
    cpu_set_t mine, all;
    int rank = 0, num_ranks = 1, workers = 0;
    rl_status status = RL_OK;
    if (threads <= 1) return RL_OK; /* ranks are the caller's own business */
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &num_ranks);
    int works = rank > 0 || num_ranks == 1; /* rank 0 of several sleeps */
    allowed(&mine);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine);
    MPI_Allreduce(&mine, &all, (int)sizeof all, MPI_BYTE, MPI_BOR, machine);
    MPI_Allreduce(&works, &workers, 1, MPI_INT, MPI_SUM, machine);
    MPI_Comm_free(&machine);
    if (works) status = check(rank, CPU_COUNT(&mine), CPU_COUNT(&all), workers, threads, err);
    return rl_cluster_agree(comm, status, err);
}
