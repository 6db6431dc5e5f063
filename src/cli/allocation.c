/* allocation.c -- what started this process, by its own word: how many processes there should be, and when Slurm will end them. */
#include "cli.h"

#include <mpi.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* A launcher that this MPI does not speak starts N strangers, each rank 0 of 1 (open-mpi/ompi#13523): srun without PMIx or PMI2, or the
 * mpirun of another MPI. What started a process tells it how many there are, in a variable of its own. */
rl_status rl_refuse_strangers(rl_error *err)
{
    static const struct {
        const char *variable, *who, *mend;
    } launchers[] = {{"OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun", "use the mpirun of the MPI that relearn was built with (relearn doctor names it)"},
                     {"PMI_SIZE", "MPICH's mpiexec or srun", "use the mpirun of the MPI that relearn was built with (relearn doctor names it), or srun --mpi=pmix"},
                     {"SLURM_STEP_NUM_TASKS", "srun", "use mpirun, or srun --mpi=pmix (--mpi=pmi2 for MPICH)"}};
    int num_ranks = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const char *tasks = getenv(launchers[i].variable);
        if (!tasks) continue;
        if (atoi(tasks) < 2 || num_ranks > 1) return RL_OK; /* an MPI's own launcher knows better than Slurm, which may have started that */
        return rl_fail(err, RL_ERR_USAGE, "%s started %s processes that do not see each other as MPI ranks; %s", launchers[i].who, tasks,
                       launchers[i].mend);
    }
    return RL_OK;
}

void rl_tell_idle_tasks(void)
{
    const char *job = getenv("SLURM_JOB_ID"), *tasks = getenv("SLURM_NTASKS"); /* a step's own, where srun started one */
    int rank = 0, num_ranks = 1, num_tasks = tasks ? atoi(tasks) : 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    if (rank == 0 && job && num_tasks > num_ranks)
        fprintf(stderr, "relearn: note: Slurm job %s has %d tasks, and relearn runs as %d: the others lie idle; srun --mpi=pmix or mpirun -n %d starts as many\n",
                job, num_tasks, num_ranks, num_tasks);
}

/* ---------------------------------------------------------------------------------------- the time that is left */

/* What `text` says after this job's number in a line of its own that is all there; NULL: nothing. The last task of an array has the array's own
 * number, for which squeue lists all tasks. */
static const char *line_of_job(const char *text, const char *job)
{
    size_t length = strlen(job);
    for (; text; text = strchr(text, '\n')) {
        text += *text == '\n';
        if (!strncmp(text, job, length) && text[length] == ' ') return strchr(text, '\n') ? text + length + 1 : NULL;
    }
    return NULL;
}

/* squeue's %L: "1-02:03:04", "2:03:04" or "3:04"; UNLIMITED and NOT_SET are none. */
static bool parse_time_left(double *seconds, const char *text)
{
    char *end = NULL;
    double days = 0, total = (double)strtol(text, &end, 10);
    bool read = end != text;
    if (read && *end == '-') {
        days = total;
        text = end + 1;
        total = (double)strtol(text, &end, 10);
        read = end != text;
    }
    while (read && *end == ':') {
        text = end + 1;
        total = 60 * total + (double)strtol(text, &end, 10);
        read = end != text;
    }
    if (!read || total < 0 || (*end && !strchr(" \n", *end))) return false;
    *seconds = 86400 * days + total;
    return true;
}

/* What a program prints until it closes its output, for at most so long; it is waited for, by force if need be. */
static void read_all(char *answer, size_t size, int descriptor, pid_t child, double most_s)
{
    size_t length = 0;
    double end_s = rl_now_s() + most_s;
    struct pollfd wait = {.fd = descriptor, .events = POLLIN};
    for (double left; length + 1 < size && (left = end_s - rl_now_s()) > 0;) {
        int ready = poll(&wait, 1, (int)(1000 * left) + 1);
        ssize_t got = ready > 0 ? read(descriptor, answer + length, size - 1 - length) : ready;
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        length += (size_t)got;
    }
    answer[length] = '\0';
    if (rl_now_s() >= end_s) kill(child, SIGKILL);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
}

/* The only number that follows an extended time limit is the controller's: SLURM_JOB_END_TIME (Slurm 23.02) is the limit at the job's start. */
static void ask_squeue(char *answer, size_t size, const char *job)
{
    const char *const argv[] = {"squeue", "--noheader", "--format=%A %L", "--jobs", job, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t child = 0;
    answer[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&child, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (!failed) read_all(answer, size, ends[0], child, 20);
    close(ends[0]);
}

/* Seconds until Slurm ends this job; 0: nobody says, infinite: never. */
static double job_seconds_left(const char *job)
{
    char answer[1 << 15]; /* an array of some thousand tasks */
    double seconds = 0;
    if (!*job || job[strspn(job, "0123456789")]) return 0;
    ask_squeue(answer, sizeof answer, job);
    const char *left = line_of_job(answer, job);
    if (left && parse_time_left(&seconds, left)) return seconds;
    if (left && !strncmp(left, "UNLIMITED", 9)) return HUGE_VAL;
    const char *end_time = getenv("SLURM_JOB_END_TIME");
    seconds = end_time ? (double)atoll(end_time) - (double)time(NULL) : 0;
    return seconds > 0 ? seconds : 0; /* past: what a shell kept of an allocation that is gone */
}

void rl_stop_before_time_limit(void)
{
    const char *job = getenv("SLURM_JOB_ID");
    char left_text[32], before_text[32];
    int rank = 0;
    double left = 0, before = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0 && job) left = job_seconds_left(job);
    MPI_Bcast(&left, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD); /* a stop that all ranks hear reaches those that compute without asking rank 0 */
    if (rank == 0 && job && left <= 0)
        fprintf(stderr, "relearn: note: squeue does not say when Slurm job %s ends: it is stopped by a signal only\n", job);
    if (!(left > 0) || left > 1e8) return;
    before = left < 1200 ? left / 10 : 120; /* for the step under way and its checkpoint */
    rl_stop_after(left - before);
    rl_format_seconds(left_text, left);
    rl_format_seconds(before_text, before);
    if (rank == 0)
        fprintf(stderr, "relearn: note: Slurm job %s ends in %s; what is not finished %s before that stops by itself, resumable (exit code 75)\n",
                job, left_text, before_text);
}
