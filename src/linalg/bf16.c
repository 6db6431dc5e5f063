/* bf16.c -- linear layers on bfloat16 factors.
 *
 * Products are made in tiles (bf16_tiles.c), which round the factors as they pack them, in one of two ways: by AVX512-BF16, or by AMX, which
 * multiplies several times as fast. oneDNN's own AMX code is not used: 2.6's ends with an illegal instruction on Emerald Rapids. */
#include "linalg_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#ifdef RL_AMX_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

void rl_bf16_round(uint16_t *y, const float *x, int64_t n) { rl_kernels_in_use->round_bf16(y, x, n); }

#ifdef RL_BF16_KERNELS
static bool processor_has_it(void) { return __builtin_cpu_supports("avx512bf16"); }
#else
static bool processor_has_it(void) { return false; }
#endif

rl_status rl_bf16_check(rl_error *err)
{
    const char *expected = "expected a processor with AVX512-BF16 or AMX, or train.precision: fp32";
    if (!RL_HAS_BF16_KERNELS)
        return rl_fail(err, RL_ERR_INPUT,
                       "train.precision: bf16: this build has no bfloat16 products; expected x86-64 and a compiler that knows "
                       "-mavx512bf16 when relearn was built, or train.precision: fp32");
    if (strcmp(rl_isa_name(), "avx512") != 0)
        return rl_fail(err, RL_ERR_INPUT, "train.precision: bf16 cannot run on the instruction set %s; %s",
                       rl_isa_name(), expected);
    if (!processor_has_it())
        return rl_fail(err, RL_ERR_INPUT, "train.precision: bf16: this processor has no bfloat16 instructions; %s",
                       expected);
    return RL_OK;
}

/* Linux gives a process the room that tiles take in each thread's saved state only when asked (arch_prctl, Documentation/arch/x86/xstate.rst),
 * and refuses where the kernel, a hypervisor or the processor has none. Asked here and not beside the tiles' code: that is compiled for
 * processors which have them, and this one may not. */
bool rl_amx_usable(void)
{
#if defined(RL_AMX_KERNELS) && defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a = 0, b = 0, c = 0, d = 0;
    const unsigned tiles_and_bf16 = 1u << 24 | 1u << 22;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & tiles_and_bf16) == tiles_and_bf16 &&
           syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

static rl_bf16_way best_way(void) { return rl_amx_usable() ? RL_BF16_AMX : RL_BF16_AVX512; }

const char *rl_bf16_version(void) { return best_way() == RL_BF16_AMX ? "tiles 1, AMX" : "tiles 1, AVX512-BF16"; }

struct rl_bf16 {
    rl_bf16_way way;
    uint32_t *packed; /* the left factor of the product under way */
};

static void multiply(rl_bf16 *b, rl_bf16_shape s, const float *A, const float *B, float *C)
{
    rl_bf16_tiles_product(b->way, s, A, B, C, b->packed);
}

/* ------------------------------------------------------------------------------------------- the check */

enum { CHECK_M = 45, CHECK_N = 70, CHECK_K = 131 };

/* Small eighths are bfloat16 numbers, and float32 sums of their products are exact. */
static void fill(float *x, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * step % 31 - 15) * 0.125f;
}

static rl_status check_one(rl_bf16 *b, bool transpose_a, bool transpose_b, bool add, const float *A, const float *B,
                           float *C, rl_error *err)
{
    const float before = 0.75f;
    rl_bf16_shape s = {CHECK_M, CHECK_N, CHECK_K, transpose_a, transpose_b, add};
    for (int64_t i = 0; i < CHECK_M * CHECK_N; i++) C[i] = add ? before : NAN;
    multiply(b, s, A, B, C);
    for (int64_t i = 0; i < CHECK_M; i++)
        for (int64_t j = 0; j < CHECK_N; j++) {
            double sum = add ? before : 0.0, found = C[i * CHECK_N + j];
            for (int64_t k = 0; k < CHECK_K; k++)
                sum += (double)A[transpose_a ? k * CHECK_M + i : i * CHECK_K + k] *
                       B[transpose_b ? j * CHECK_K + k : k * CHECK_N + j];
            if (!(fabs(found - sum) <= 1e-3))
                return rl_fail(
                    err, RL_ERR_INTERNAL,
                    "bfloat16 products are wrong on this processor: %s%s [%d, %d] x [%d, %d], element "
                    "(%d, %d) is %g; expected %g; train.precision: fp32 does without them",
                    transpose_a ? "T" : "N", transpose_b ? "T" : "N", CHECK_M, CHECK_K, CHECK_K, CHECK_N, (int)i,
                    (int)j, found, sum);
        }
    return RL_OK;
}

static rl_status check_products(rl_bf16 *b, rl_error *err)
{
    rl_status status = RL_OK;
    float *A = NULL, *B = NULL, *C = NULL;
    RL_ALLOC(A, CHECK_M * CHECK_K, err);
    RL_ALLOC(B, CHECK_K * CHECK_N, err);
    RL_ALLOC(C, CHECK_M * CHECK_N, err);
    fill(A, CHECK_M * CHECK_K, 7);
    fill(B, CHECK_K * CHECK_N, 11);
    for (int variant = 0; variant < 8; variant++)
        RL_TRY(check_one(b, variant & 1, variant & 2, variant & 4, A, B, C, err));
cleanup:
    rl_free(A);
    rl_free(B);
    rl_free(C);
    return status;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Rows by width or, for the gradient of a weight, width by rows. */
static size_t packed_size(int64_t max_rows, int64_t max_width)
{
    size_t across = rl_bf16_tiles_scratch(max_rows, max_width), down = rl_bf16_tiles_scratch(max_width, max_rows);
    return across > down ? across : down;
}

rl_status rl_bf16_create_way(rl_bf16 **out, rl_bf16_way way, int64_t max_rows, int64_t max_width, rl_error *err)
{
    rl_status status = RL_OK;
    rl_bf16 *b = NULL;
    RL_REQUIRE(max_rows > 0 && max_width > 0, err);
    RL_TRY(rl_bf16_check(err));
    max_rows = larger(max_rows, CHECK_M), max_width = larger(max_width, CHECK_K);
    RL_ALLOC(b, 1, err);
    b->way = way;
    RL_ALLOC(b->packed, packed_size(max_rows, max_width), err);
    RL_TRY(check_products(b, err));
    *out = b;
    b = NULL;
cleanup:
    rl_bf16_free(b);
    return status;
}

rl_status rl_bf16_create(rl_bf16 **out, int64_t max_rows, int64_t max_width, rl_error *err)
{
    return rl_bf16_create_way(out, best_way(), max_rows, max_width, err);
}

void rl_bf16_free(rl_bf16 *b)
{
    if (!b) return;
    rl_free(b->packed);
    rl_free(b);
}

/* --------------------------------------------------------------------------------------- linear layers */

void rl_bf16_linear_forward(rl_bf16 *b, bool in_out, float *y, const float *x, const float *weight, const float *bias,
                            int64_t T, int64_t N, int64_t K)
{
    if (T <= 0) return;
    for (int64_t t = 0; bias && t < T; t++) memcpy(y + t * N, bias, (size_t)N * sizeof *y);
    multiply(b, (rl_bf16_shape){T, N, K, false, !in_out, bias != NULL}, x, weight, y);
}

void rl_bf16_linear_backward(rl_bf16 *b, bool in_out, float *dx, float *dweight, float *dbias, const float *dy,
                             const float *x, const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx)
{
    if (dbias) rl_column_sums(dbias, dy, T, N); /* before dx, which may be dy */
    if (T <= 0) return;
    if (in_out)
        multiply(b, (rl_bf16_shape){K, N, T, true, false, false}, x, dy, dweight);
    else
        multiply(b, (rl_bf16_shape){N, K, T, true, false, false}, dy, x, dweight);
    if (dx) multiply(b, (rl_bf16_shape){T, K, N, false, in_out, accumulate_dx}, dy, weight, dx);
}
