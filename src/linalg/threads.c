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
static const uint64_t OPEN = 1u << 16, PRESENT = OPEN - 1; /* bits of a pass's state */

static struct pool {
    int num_workers;
    pthread_t workers[RL_MAX_THREADS];
    /* the pass under way */
    rl_piece_function *work;
    void *context;
    int64_t num_pieces;
    _Atomic int64_t next_piece;
    _Atomic uint64_t state; /* its number << 32, OPEN while workers may join, and how many are at it */
    _Atomic bool leave;
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

static bool is_new(uint64_t state, uint64_t seen)
{
    return (state & OPEN) && state >> 32 != seen;
}

/* Flags are read and written in one order that all threads agree on (seq_cst, the default): either the one that is
 * about to sleep sees the change, or the one that makes it sees the sleeper and takes the lock to wake it. */
static void wait_for_pass(uint64_t seen)
{
    for (int spin = 0; spin < SPINS && !is_new(atomic_load(&pool.state), seen); spin++) RL_PAUSE();
    if (is_new(atomic_load(&pool.state), seen)) return;
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleeping, 1);
    while (!is_new(atomic_load(&pool.state), seen) && !atomic_load(&pool.leave)) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleeping, 1);
    pthread_mutex_unlock(&pool.lock);
}

/* The number of the pass that the calling worker has joined; `seen` when there is none to join. */
static uint64_t join_pass(uint64_t seen)
{
    uint64_t state = atomic_load(&pool.state);
    while (is_new(state, seen))
        if (atomic_compare_exchange_weak(&pool.state, &state, state + 1)) return state >> 32;
    return seen;
}

static void wake_everybody(pthread_cond_t *sleepers)
{
    pthread_mutex_lock(&pool.lock);
    pthread_cond_broadcast(sleepers);
    pthread_mutex_unlock(&pool.lock);
}

static void leave_pass(void)
{
    uint64_t state = atomic_fetch_sub(&pool.state, 1) - 1;
    if (!(state & (OPEN | PRESENT)) && atomic_load(&pool.main_sleeps)) wake_everybody(&pool.done);
}

static void *worker_main(void *argument)
{
    uint64_t seen = 0;
    this_worker = (int)(intptr_t)argument;
    rl_gemm_enter_thread();
    while (!atomic_load(&pool.leave)) {
        wait_for_pass(seen);
        uint64_t joined = join_pass(seen);
        if (joined == seen) continue;
        seen = joined;
        work_along();
        leave_pass();
    }
    return NULL;
}

/* Nobody is present: the one before has ended. */
static void begin_pass(rl_piece_function *work, void *context, int64_t num_pieces)
{
    uint64_t number = atomic_load(&pool.state) >> 32;
    pool.work = work;
    pool.context = context;
    pool.num_pieces = num_pieces;
    atomic_store(&pool.next_piece, 0);
    atomic_store(&pool.state, (number + 1) << 32 | OPEN);
    if (atomic_load(&pool.sleeping)) wake_everybody(&pool.wake);
}

static void end_pass(void)
{
    atomic_fetch_and(&pool.state, ~OPEN);
    for (int spin = 0; spin < SPINS && atomic_load(&pool.state) & PRESENT; spin++) RL_PAUSE();
    if (!(atomic_load(&pool.state) & PRESENT)) return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.main_sleeps, 1);
    while (atomic_load(&pool.state) & PRESENT) pthread_cond_wait(&pool.done, &pool.lock);
    atomic_store(&pool.main_sleeps, 0);
    pthread_mutex_unlock(&pool.lock);
}

void rl_share_out(int64_t num_pieces, rl_piece_function *work, void *context)
{
    if (num_pieces <= 1 || pool.num_workers == 0 || inside_pass) {
        for (int64_t piece = 0; piece < num_pieces; piece++) work(context, this_worker, piece);
        return;
    }
    begin_pass(work, context, num_pieces);
    work_along();
    end_pass();
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
    atomic_store(&pool.leave, true);
    wake_everybody(&pool.wake);
    for (int i = 0; i < pool.num_workers; i++) pthread_join(pool.workers[i], NULL);
    atomic_store(&pool.leave, false);
    atomic_store(&pool.state, 0); /* a new worker has seen no pass */
    pool.num_workers = 0;
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
