/* cores.c -- are there cores for all ranks and their threads? A rank that mpirun has bound to one core would run two threads on it in turns,
 * which is slower than one; and a Slurm that binds nothing shows every job all cores of the machine, though its job has fewer. */
#include "cluster_internal.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Slurm's CPUs of this job on one machine, the most where they differ ("36(x2),4"); INT_MAX outside of Slurm. */
static int job_cores(void)
{
    const char *text = getenv("SLURM_JOB_CPUS_PER_NODE");
    long most = 0;
    while (text && *text) {
        long cores = strtol(text, NULL, 10);
        if (cores > most) most = cores;
        text = strchr(text, ',');
        if (text) text++;
    }
    return most > 0 && most < INT_MAX ? (int)most : INT_MAX;
}

/* More ranks than cores: Open MPI's mpirun refuses more than its slots and srun more than the job's CPUs unless told to; MPICH's mpiexec never. */
static bool launcher_was_asked(int num_ranks)
{
    const char *slots = getenv("OMPI_UNIVERSE_SIZE");
    return getenv("SLURM_OVERCOMMIT") || getenv("OMPI_MCA_rmaps_base_oversubscribe") || (slots && num_ranks > atoi(slots));
}

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
                       "threads_per_rank: %d for %d working ranks on %s, which has %d core%s for them; expected at most %d working rank%s "
                       "there, or run --oversubscribe",
                       threads, workers, host, on_machine, on_machine == 1 ? "" : "s", on_machine / threads, on_machine / threads == 1 ? "" : "s");
    return RL_OK;
}

static void allowed(cpu_set_t *cores)
{
    CPU_ZERO(cores);
    if (sched_getaffinity(0, sizeof *cores, cores) == 0) return;
    for (int i = 0; i < CPU_SETSIZE; i++) CPU_SET(i, cores); /* more cores than the set has room for */
}

static int count(const cpu_set_t *cores)
{
    int num_cores = CPU_COUNT(cores), most = job_cores();
    return num_cores < most ? num_cores : most;
}

int rl_cluster_cores(void)
{
    cpu_set_t cores;
    allowed(&cores);
    return count(&cores);
}

rl_status rl_cluster_check_cores(MPI_Comm comm, int threads, rl_error *err)
{
    MPI_Comm machine = MPI_COMM_NULL;
    cpu_set_t mine, all;
    int rank = 0, num_ranks = 1, workers = 0;
    rl_status status = RL_OK;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &num_ranks);
    int asked = threads <= 1 && launcher_was_asked(num_ranks); /* by rank 0's word: not every launcher tells all of them */
    MPI_Bcast(&asked, 1, MPI_INT, 0, comm);
    if (asked) return RL_OK;
    int works = rank > 0 || num_ranks == 1; /* rank 0 of several sleeps */
    allowed(&mine);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine);
    MPI_Allreduce(&mine, &all, (int)sizeof all, MPI_BYTE, MPI_BOR, machine);
    MPI_Allreduce(&works, &workers, 1, MPI_INT, MPI_SUM, machine);
    MPI_Comm_free(&machine);
    if (works) status = check(rank, count(&mine), count(&all), workers, threads, err);
    return rl_cluster_agree(comm, status, err);
}
