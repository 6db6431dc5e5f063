/* gemm.c -- every matrix product of the program goes through here: two back ends, one checked before use.
 * A misdetected BLAS kernel costs 5x and a broken one the results, so the back end is measured (`doctor`) and its first
 * product compared with a naive one. Variables that the site set for its BLAS are the site's: none is touched. */
#include "linalg_internal.h"

#include <cblas.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef RELEARN_HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__GNUC__) && !defined(OPENBLAS_CONFIG_H)
/* Only OpenBLAS has it; another CBLAS links too. */
extern void openblas_set_num_threads(int num_threads) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
#define HAS_OPENBLAS_THREADS (openblas_set_num_threads != NULL)
#define HAS_OPENBLAS_NAMES (openblas_get_config != NULL && openblas_get_corename != NULL)
#else
#define HAS_OPENBLAS_THREADS 1
#define HAS_OPENBLAS_NAMES 1
#endif

static void product_cblas(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                          const float *A, int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
                (int)M, (int)N, (int)K, alpha, A, (int)lda, B, (int)ldb, beta, C, (int)ldc);
}

#ifdef RELEARN_HAVE_ONEDNN
/* oneDNN's sgemm is row-major. It refuses only when it cannot get memory: then no number may look like a result. */
static void product_onednn(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                           const float *A, int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    dnnl_status_t done = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', M, N, K, alpha, A, lda, B, ldb,
                                    beta, C, ldc);
    if (done == dnnl_success) return;
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) C[i * ldc + j] = NAN;
}
#endif

/* The build's best first. Measured on one core of a Zen 4 (FMA peak 118), products forward / dx / dW at T = 160,
 * best of each, GFLOP/s (bench_linalg_gemm prints the like):
 *   384 x 1536 both ways: oneDNN 2.6.3 90-102 / 114-116 / 110-114, OpenBLAS 0.3.21  99-101 / 99-102 / 103-106
 *   768 x 3072 both ways: oneDNN 2.6.3 92-99  / 98-112  / 108-110, OpenBLAS 0.3.21  88     / 91-94  / 96-98 */
static const char *const backend_names[] = {
#ifdef RELEARN_HAVE_ONEDNN
    "onednn",
#endif
    "cblas"};
static rl_gemm_function *const backend_products[] = {
#ifdef RELEARN_HAVE_ONEDNN
    product_onednn,
#endif
    product_cblas};
#define NUM_BACKENDS (sizeof backend_names / sizeof *backend_names)

static size_t backend_in_use;

size_t rl_gemm_backends(const char *const **names)
{
    *names = backend_names;
    return NUM_BACKENDS;
}

const char *rl_gemm_backend(void)
{
    return backend_names[backend_in_use];
}

/* Where a cut changes bits, so does the number of pieces. */
static int threads_of_bits(void)
{
    return rl_linalg_threads() > 1 && rl_gemm_cut_rule() == RL_CUT_NEW_BITS ? rl_linalg_threads() : 1;
}

static int print_version(char *text, size_t size)
{
#ifdef RELEARN_HAVE_ONEDNN
    if (!strcmp(rl_gemm_backend(), "onednn")) {
        const dnnl_version_t *version = dnnl_version();
        return snprintf(text, size, "oneDNN %d.%d.%d, CPU code %d", version->major, version->minor, version->patch,
                        (int)dnnl_get_effective_cpu_isa());
    }
#endif
    if (HAS_OPENBLAS_NAMES) return snprintf(text, size, "%.150s %.64s", openblas_get_config(), openblas_get_corename());
    return snprintf(text, size, "CBLAS");
}

const char *rl_gemm_backend_version(void)
{
    static char text[256];
    static size_t backend = NUM_BACKENDS; /* what text was made for: every stage key asks */
    static int threads;
    if (backend == backend_in_use && threads == threads_of_bits()) return text;
    backend = backend_in_use;
    threads = threads_of_bits();
    int length = print_version(text, sizeof text);
    if (threads > 1) snprintf(text + length, sizeof text - (size_t)length, ", %d threads", threads);
    return text;
}

static size_t find_backend(const char *name)
{
    size_t i = 0;
    while (i < NUM_BACKENDS && strcmp(name, backend_names[i]) != 0) i++;
    return i;
}

rl_gemm_function *rl_gemm_product_of(const char *backend)
{
    size_t found = find_backend(backend);
    return found < NUM_BACKENDS ? backend_products[found] : NULL;
}

/* OpenMP keeps the number for each thread that asks. */
void rl_gemm_enter_thread(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

/* Threads of a rank are ours (threads.c); a BLAS thread would fight them, or another rank, for its core. */
static void keep_single_threaded(void)
{
    rl_gemm_enter_thread();
    if (HAS_OPENBLAS_THREADS) openblas_set_num_threads(1);
}

/* ------------------------------------------------------------------------------------------------ the check */

enum { CHECK_M = 45, CHECK_N = 70, CHECK_K = 131, CHECK_PAD = 3 };

/* Small eighths, so that a float product of them is right to the last bits and a wrong element stands out. */
static void fill(float *x, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * step % 31 - 15) * 0.125f;
}

static rl_status check_one(const char *backend, rl_gemm_function *product, bool transpose_a, bool transpose_b,
                           const float *A, const float *B, float *C, rl_error *err)
{
    const int64_t M = CHECK_M, N = CHECK_N, K = CHECK_K, lda = (transpose_a ? M : K) + CHECK_PAD,
                  ldb = (transpose_b ? K : N) + CHECK_PAD, ldc = N + CHECK_PAD;
    const float alpha = 0.5f, beta = 2.0f, before = 0.75f;
    for (int64_t i = 0; i < M * ldc; i++) C[i] = before;
    product(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            double sum = 0.0;
            for (int64_t k = 0; k < K; k++)
                sum += (double)A[transpose_a ? k * lda + i : i * lda + k] * B[transpose_b ? j * ldb + k : k * ldb + j];
            double expected = alpha * sum + beta * before, found = C[i * ldc + j];
            if (!(fabs(found - expected) <= 1e-3)) /* products of magnitude <= 3.6: float rounding stays below 1e-4 */
                return rl_fail(
                    err, RL_ERR_INTERNAL,
                    "matrix products of back end '%s' are wrong on this processor: %s%s [%d, %d] x [%d, %d], "
                    "element (%d, %d) is %g; expected %g; try another with RELEARN_GEMM",
                    backend, transpose_a ? "T" : "N", transpose_b ? "T" : "N", CHECK_M, CHECK_K, CHECK_K, CHECK_N,
                    (int)i, (int)j, found, expected);
        }
    return RL_OK;
}

rl_status rl_gemm_check(const char *backend, rl_gemm_function *product, rl_error *err)
{
    rl_status status = RL_OK;
    float *A = NULL, *B = NULL, *C = NULL;
    const int64_t a_count = (CHECK_M + CHECK_PAD) * (CHECK_K + CHECK_PAD),
                  b_count = (CHECK_K + CHECK_PAD) * (CHECK_N + CHECK_PAD);
    RL_ALLOC(A, a_count, err);
    RL_ALLOC(B, b_count, err);
    RL_ALLOC(C, CHECK_M * (CHECK_N + CHECK_PAD), err);
    fill(A, a_count, 7);
    fill(B, b_count, 11);
    for (int variant = 0; variant < 4; variant++)
        RL_TRY(check_one(backend, product, variant & 1, variant & 2, A, B, C, err));
cleanup:
    rl_free(A);
    rl_free(B);
    rl_free(C);
    return status;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* ------------------------------------------------------------------------------------- what it is known for */

/* What the library promises about bits (products.c says from where), and whether it kept it on a sample here. */
static struct learnt {
    bool cutting_done, turning_done;
    rl_cut_rule rule;
    bool turning; /* products may go by way of turned tiles */
} learnt[NUM_BACKENDS];

static rl_cut_rule promised_rule(void)
{
#ifdef RELEARN_HAVE_ONEDNN
    if (!strcmp(rl_gemm_backend(), "onednn")) {
        int isa = (int)dnnl_get_effective_cpu_isa(), wide = (int)dnnl_cpu_isa_avx512_core;
        if ((isa & wide) == wide) return RL_CUT_EVEN_K;
        if (isa == (int)dnnl_cpu_isa_sse41) return RL_CUT_ANY;
    }
#endif
    return RL_CUT_NEW_BITS;
}

rl_status rl_gemm_learn_cut_rule(rl_error *err)
{
    struct learnt *l = &learnt[backend_in_use];
    rl_cut_rule rule = promised_rule();
    bool keep = rule != RL_CUT_NEW_BITS;
    if (l->cutting_done) return RL_OK;
    rl_status status = keep ? rl_gemm_cuts_keep_bits(&keep, err) : RL_OK;
    if (status != RL_OK) return status;
    l->rule = keep ? rule : RL_CUT_NEW_BITS;
    l->cutting_done = true;
    return RL_OK;
}

/* Worth it only for oneDNN's AVX-512 kernels, which is what that promise is of. */
static rl_status learn_turning(rl_error *err)
{
    struct learnt *l = &learnt[backend_in_use];
    bool keep = promised_rule() == RL_CUT_EVEN_K;
    if (l->turning_done) return RL_OK;
    rl_status status = keep ? rl_gemm_turning_keeps_bits(&keep, err) : RL_OK;
    if (status != RL_OK) return status;
    l->turning = keep;
    l->turning_done = true;
    return RL_OK;
}

rl_cut_rule rl_gemm_cut_rule(void)
{
    return learnt[backend_in_use].rule;
}

rl_status rl_linalg_check_room(rl_error *err)
{
    const size_t needed = (size_t)136 << 20; /* with what malloc adds */
    void *probe = mmap(NULL, needed, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* never touched: addresses alone */
    if (probe == MAP_FAILED)
        return rl_fail(err, RL_ERR_MEMORY, "BLAS needs %zu MiB for its buffers, and this process may not have them: %s; raise its limit (ulimit -v)",
                       needed >> 20, strerror(errno));
    munmap(probe, needed);
    return RL_OK;
}

rl_status rl_linalg_init(const char *backend, rl_error *err)
{
    static bool checked[NUM_BACKENDS];
    rl_status status = RL_OK;
    const char *name = backend ? backend : environment("RELEARN_GEMM");
    size_t chosen = name ? find_backend(name) : 0;
    if (chosen == NUM_BACKENDS)
        return rl_fail(err, RL_ERR_INPUT, "%s%s: unknown matrix product back end; this build has %s%s",
                       backend ? "" : "RELEARN_GEMM=", name, backend_names[0], NUM_BACKENDS > 1 ? " and cblas" : "");
    keep_single_threaded();
    if (!checked[chosen] && !strcmp(backend_names[chosen], "cblas")) RL_TRY(rl_linalg_check_room(err));
    if (!checked[chosen]) RL_TRY(rl_gemm_check(backend_names[chosen], backend_products[chosen], err));
    checked[chosen] = true;
    RL_TRY(rl_linalg_select_isa(environment("RELEARN_ISA"), err));
    backend_in_use = chosen;
    if (rl_linalg_threads() > 1) RL_TRY(rl_gemm_learn_cut_rule(err));
    RL_TRY(learn_turning(err));
cleanup:
    return status;
}

/* ----------------------------------------------------------------------------------------------------- use */

void rl_gemm_of_library(bool transpose_a, bool transpose_b, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
                        int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc)
{
    backend_products[backend_in_use](transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

rl_gemm_function *rl_gemm_product(void)
{
    return learnt[backend_in_use].turning ? rl_gemm_turning : rl_gemm_of_library;
}
