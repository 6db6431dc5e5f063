/* threads.c -- a few threads that wait for shares of one pass at a time: fork, work, join.
 *
 * The calling thread works along. A pass is cut into pieces that write different numbers, so who does which piece, and in
 * which order, changes no bit. Between two passes of a training step lie microseconds: workers look for the next one that
 * long before they sleep. They take no signals: a stop request is the main thread's, and a handler must never run on a
 * stack that oneDNN has lent to its kernel (core/stop.c). */
#include "linalg_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#define RL_PAUSE() __builtin_ia32_pause()
#else
#define RL_PAUSE() ((void)0)
#endif

enum { SPINS = 2000 /* some 20 to 100 microseconds */ };

static struct pool {
    int num_workers;
    pthread_t workers[RL_MAX_THREADS];
    /* the pass under way */
    rl_piece_function *work;
    void *context;
    int64_t num_pieces;
    _Atomic int64_t next_piece;
    _Atomic int still_working;
    _Atomic uint64_t pass; /* counts up; workers wait for another value */
    bool leave;
    /* who sleeps */
    _Atomic int sleeping, main_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* Inside a pass another one is not cut again, and its pieces are this thread's. */
static _Thread_local bool inside_pass;
static _Thread_local int this_worker;

int rl_linalg_threads(void)
{
    return pool.num_workers + 1;
}

static void work_along(void)
{
    inside_pass = true;
    for (int64_t piece; (piece = atomic_fetch_add(&pool.next_piece, 1)) < pool.num_pieces;)
        pool.work(pool.context, this_worker, piece);
    inside_pass = false;
}

/* Counters are read and written in one order that all threads agree on (seq_cst, the default): either the one that is
 * about to sleep sees the change, or the one that makes it sees the sleeper and takes the lock to wake it. */
static uint64_t wait_for_pass(uint64_t seen)
{
    uint64_t pass = atomic_load(&pool.pass);
    for (int spin = 0; pass == seen && spin < SPINS; spin++, pass = atomic_load(&pool.pass)) RL_PAUSE();
    if (pass != seen) return pass;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while ((pass = atomic_load(&pool.pass)) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
    return pass;
}

static void begin_pass(rl_piece_function *work, void *context, int64_t num_pieces)
{
    pool.work = work;
    pool.context = context;
    pool.num_pieces = num_pieces;
    atomic_store(&pool.next_piece, 0);
    atomic_store(&pool.still_working, pool.num_workers);
    atomic_fetch_add(&pool.pass, 1);
    if (atomic_load(&pool.sleeping) == 0) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void leave_pass(void)
{
    if (atomic_fetch_sub(&pool.still_working, 1) != 1 || !atomic_load(&pool.main_sleeps)) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_signal(&pool.done);
    pthread_mutex_unlock(&pool.lock);
}

static void wait_for_workers(void)
{
    for (int spin = 0; spin < SPINS && atomic_load(&pool.still_working); spin++) RL_PAUSE();
    if (!atomic_load(&pool.still_working)) return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.main_sleeps, 1);
    while (atomic_load(&pool.still_working)) pthread_cond_wait(&pool.done, &pool.lock);
    atomic_store(&pool.main_sleeps, 0);
    pthread_mutex_unlock(&pool.lock);
}

static void *worker_main(void *argument)
{
    uint64_t seen = 0;
    this_worker = (int)(intptr_t)argument;
    rl_gemm_enter_thread();
    for (;;) {
        seen = wait_for_pass(seen);
        if (pool.leave) return NULL;
        work_along();
        leave_pass();
    }
}

void rl_share_out(int64_t num_pieces, rl_piece_function *work, void *context)
{
    if (num_pieces <= 1 || pool.num_workers == 0 || inside_pass) {
        for (int64_t piece = 0; piece < num_pieces; piece++) work(context, this_worker, piece);
        return;
    }
    begin_pass(work, context, num_pieces);
    work_along();
    wait_for_workers();
}

rl_pieces rl_cut(int64_t n, int64_t unit, int per_thread, int64_t floats)
{
    int64_t units = (n + unit - 1) / unit, most = (int64_t)rl_linalg_threads() * per_thread;
    if (rl_linalg_threads() == 1 || inside_pass || floats < RL_WORTH_SHARING) most = 1;
    return (rl_pieces){n, unit, units < 1 ? 1 : units < most ? units : most};
}

static void dismiss_workers(void)
{
    if (!pool.num_workers) return;
    pool.leave = true;
    begin_pass(NULL, NULL, 0);
    for (int i = 0; i < pool.num_workers; i++) pthread_join(pool.workers[i], NULL);
    pool.leave = false;
    pool.num_workers = 0;
    atomic_store(&pool.pass, 0); /* what a new worker has seen */
}

static rl_status hire_workers(int num_workers, rl_error *err)
{
    sigset_t all, before;
    int failed = 0, hired = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread starts with its maker's mask */
    for (; hired < num_workers && !failed; hired += !failed)
        failed = pthread_create(&pool.workers[hired], NULL, worker_main, (void *)(intptr_t)(hired + 1));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool.num_workers = hired;
    if (!failed) return RL_OK;
    dismiss_workers();
    return rl_fail(err, RL_ERR_IO, "%d threads cannot be started: %s; expected fewer threads_per_rank", num_workers + 1,
                   strerror(failed));
}

rl_status rl_linalg_set_threads(int num_threads, rl_error *err)
{
    if (num_threads < 1 || num_threads > RL_MAX_THREADS)
        return rl_fail(err, RL_ERR_INPUT, "%d threads; expected 1 to %d", num_threads, RL_MAX_THREADS);
    if (num_threads == rl_linalg_threads()) return RL_OK;
    rl_status status = num_threads > 1 ? rl_gemm_learn_cut_rule(err) : RL_OK;
    if (status != RL_OK) return status;
    dismiss_workers();
    return hire_workers(num_threads - 1, err);
}

rl_status rl_linalg_threads_keep_bits(bool *keep, rl_error *err)
{
    rl_status status = rl_gemm_learn_cut_rule(err);
    if (status == RL_OK) *keep = rl_gemm_cut_rule() != RL_CUT_NEW_BITS;
    return status;
}
