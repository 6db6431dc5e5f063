/* stop.c -- the clock, and the request to stop at the next safe point. */
#include "relearn/core.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The project's one global: a signal handler can reach nothing else. */
static volatile sig_atomic_t stop_requested;

double rl_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double rl_thread_cpu_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

void rl_utc_timestamp(char text[21])
{
    time_t now = time(NULL);
    struct tm broken;
    gmtime_r(&now, &broken);
    strftime(text, 21, "%Y-%m-%dT%H:%M:%SZ", &broken);
}

static void on_signal(int number)
{
    stop_requested = 1;
    if (number == SIGINT) signal(SIGINT, SIG_DFL); /* a second ctrl-C kills */
}

/* The handler gets a stack of its own. oneDNN 2.6's sgemm kernels lend the stack pointer to their workspace on the heap: a
 * signal frame written below it there corrupted the heap in 5 % of stopped starts ("corrupted size vs. prev_size"). */
static rl_status use_own_signal_stack(rl_error *err)
{
    static char memory[1 << 16]; /* an AVX-512 or AMX frame is some 3 to 12 kB */
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    return sigaltstack(&stack, NULL) == 0 ? RL_OK : rl_fail_errno(err, "signals cannot be given a stack");
}

rl_status rl_stop_install(rl_error *err)
{
    rl_status status = use_own_signal_stack(err);
    if (status != RL_OK) return status;
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGALRM};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART | SA_ONSTACK;
        if (sigaction(numbers[i], &action, NULL) != 0) return rl_fail_errno(err, "signals cannot be handled");
    }
    return RL_OK;
}

bool rl_stop_requested(void) { return stop_requested != 0; }

static struct {
    bool (*asked)(void *context);
    void *context;
} work;

void rl_work_ask(bool (*asked)(void *context), void *context)
{
    work.asked = asked;
    work.context = context;
}

bool rl_work_should_stop(void) { return rl_stop_requested() || (work.asked && work.asked(work.context)); }

void rl_stop_request(void) { stop_requested = 1; }

void rl_stop_after(double seconds)
{
    const double most = 86400.0 * 365;
    alarm(seconds < 1 ? 1 : (unsigned)(seconds < most ? seconds : most));
}
