/* speed.c -- how fast this machine multiplies: at its best (`doctor`), and as long work has it, which forecasts need (`plan`). */
#include "linalg_internal.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

typedef struct product {
    rl_gemm_function *multiply;
    int64_t M, N, K;
    float *A, *B, *C;
} product;

static bool product_begin(product *p, const char *backend, int64_t M, int64_t N, int64_t K)
{
    *p = (product){.multiply = rl_gemm_product_of(backend), .M = M, .N = N, .K = K};
    if (!p->multiply || M <= 0 || N <= 0 || K <= 0) return false;
    p->A = rl_calloc((size_t)(M * K), sizeof *p->A, NULL);
    p->B = rl_calloc((size_t)(K * N), sizeof *p->B, NULL);
    p->C = rl_calloc((size_t)(M * N), sizeof *p->C, NULL);
    if (!p->A || !p->B || !p->C) return false;
    for (int64_t i = 0; i < M * K; i++) p->A[i] = 1.0f;
    for (int64_t i = 0; i < K * N; i++) p->B[i] = 1.0f;
    rl_gemm_enter_thread();
    return true;
}

static void product_end(product *p)
{
    rl_free(p->A);
    rl_free(p->B);
    rl_free(p->C);
}

static void multiply(const product *p)
{
    p->multiply(false, false, p->M, p->N, p->K, 1.0f, p->A, p->K, p->B, p->N, 0.0f, p->C, p->N);
}

static double gflop(const product *p) { return 2e-9 * (double)p->M * (double)p->N * (double)p->K; }

/* Other work on the core only ever lowers a rate. */
double rl_gemm_rate(const char *backend, int64_t M, int64_t N, int64_t K, double seconds_budget)
{
    product p;
    double best = 0.0, begin = rl_now_s();
    bool ready = product_begin(&p, backend, M, N, K);
    for (int calls = 0; ready && (calls < 3 || rl_now_s() - begin < seconds_budget); calls++) {
        double from = rl_now_s();
        multiply(&p);
        double seconds = rl_now_s() - from;
        if (seconds > 0) best = fmax(best, gflop(&p) / seconds);
    }
    product_end(&p);
    return best;
}

/* Several measurements at once: none ends before all know enough, so that each has the company of the others to its end. */
typedef struct measurement {
    const char *backend;
    int64_t M, N, K;
    double least_s, most_s, rate;
    atomic_int *unsure; /* measurements whose mean is not steady yet */
    pthread_t thread;
} measurement;

/* The mean of rates, one for each block of calls, and what its standard error is made of (Welford). */
typedef struct mean_rate {
    int count;
    double mean, squares;
} mean_rate;

static void add_rate(mean_rate *m, double rate)
{
    double off = rate - m->mean;
    m->count++;
    m->mean += off / m->count;
    m->squares += off * (rate - m->mean);
}

static bool is_steady(const mean_rate *m)
{
    enum { LEAST = 4 };
    const double error_share = 0.02;
    return m->count >= LEAST && sqrt(m->squares / (m->count - 1) / m->count) < error_share * m->mean;
}

/* Seconds of core time: the other ranks wait for this one by polling, on the same cores where nothing binds them. */
static double rate_of_block(const product *p)
{
    const double block_s = 0.0125;
    int calls = 0;
    double begin = rl_thread_cpu_s(), used = 0;
    while (used < block_s) {
        multiply(p);
        calls++;
        used = rl_thread_cpu_s() - begin;
    }
    return calls * gflop(p) / used;
}

static bool is_over(const measurement *m, double elapsed_s)
{
    return elapsed_s >= m->least_s && (atomic_load(m->unsure) <= 0 || elapsed_s >= m->most_s);
}

static void *measure(void *context)
{
    measurement *m = context;
    product p;
    mean_rate seen = {0};
    bool ready = product_begin(&p, m->backend, m->M, m->N, m->K), sure = !ready;
    if (ready) multiply(&p); /* pages, and kernels that are made at their first call */
    if (sure) atomic_fetch_sub(m->unsure, 1);
    double begin = rl_now_s();
    while (ready && (seen.count == 0 || !is_over(m, rl_now_s() - begin))) {
        add_rate(&seen, rate_of_block(&p));
        if (!sure && is_steady(&seen)) {
            sure = true;
            atomic_fetch_sub(m->unsure, 1);
        }
    }
    product_end(&p);
    m->rate = seen.mean;
    return NULL;
}

/* The first `most` cores of this process; how many there are of them. */
static int list_cores(int list[], int most)
{
    cpu_set_t cores;
    int count = 0;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 0; /* more than the set has room for */
    for (int i = 0; i < CPU_SETSIZE && count < most; i++)
        if (CPU_ISSET(i, &cores)) list[count++] = i;
    return count;
}

/* Left to itself a new thread may share its parent's core for longer than a measurement lasts. Stop requests are the main thread's (threads.c). */
static bool start_on(int core, measurement *m)
{
    cpu_set_t only;
    sigset_t every, before;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    bool started = pthread_create(&m->thread, NULL, measure, m) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) pthread_setaffinity_np(m->thread, sizeof only, &only);
    return started;
}

double rl_gemm_sustained_rate(const char *backend, int64_t M, int64_t N, int64_t K, double least_s, double most_s,
                              int at_once)
{
    enum { MOST = 64 };
    int cores[MOST], count = list_cores(cores, at_once < MOST ? at_once : MOST), started = 0;
    measurement all[MOST];
    atomic_int unsure = count > 1 ? count : 1;
    double sum = 0;
    for (int i = 0; i < MOST; i++) all[i] = (measurement){backend, M, N, K, least_s, most_s, 0, &unsure, 0};
    while (count > 1 && started < count && start_on(cores[started], &all[started])) started++;
    if (started == 0) {
        measure(&all[0]);
        return all[0].rate;
    }
    atomic_fetch_sub(&unsure, count - started);
    for (int i = 0; i < started; i++) {
        pthread_join(all[i].thread, NULL);
        sum += all[i].rate;
    }
    return sum / started;
}
