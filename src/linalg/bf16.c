/* bf16.c -- linear layers on bfloat16 factors, through oneDNN's matrix product primitive.
 *
 * Factors are rounded right before each product, into buffers that stay in cache: weights are read once in the forward and
 * once in the backward pass, which costs the memory traffic that a kept bfloat16 copy of them would. oneDNN makes code for
 * every shape (a third of a millisecond); a batch's number of tokens is part of it, so the code is kept in a table. */
#include "linalg_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#ifdef RELEARN_HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

void rl_bf16_round(uint16_t *y, const float *x, int64_t n) { rl_kernels_in_use->round_bf16(y, x, n); }

#if defined(RELEARN_HAVE_ONEDNN) && DNNL_VERSION_MAJOR == 2 && defined(RL_X86_64)

static bool has_bits(int isa, int wanted) { return (isa & wanted) == wanted; }

rl_status rl_bf16_check(rl_error *err)
{
    const char *expected = "expected a processor with AVX512-BF16 or AMX, or train.precision: fp32";
    if (strcmp(rl_isa_name(), "avx512") != 0)
        return rl_fail(err, RL_ERR_INPUT, "train.precision: bf16 cannot run on the instruction set %s; %s",
                       rl_isa_name(), expected);
    if (!__builtin_cpu_supports("avx512bf16"))
        return rl_fail(err, RL_ERR_INPUT, "train.precision: bf16: this processor has no bfloat16 instructions; %s",
                       expected);
    if (!has_bits((int)dnnl_get_effective_cpu_isa(), (int)dnnl_cpu_isa_avx512_core_bf16))
        return rl_fail(err, RL_ERR_INPUT,
                       "train.precision: bf16: oneDNN does not use this processor's bfloat16 instructions "
                       "(ONEDNN_MAX_CPU_ISA?); %s",
                       expected);
    return RL_OK;
}

const char *rl_bf16_version(void)
{
    static char text[64];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d, CPU code %d", version->major, version->minor, version->patch,
             (int)dnnl_get_effective_cpu_isa());
    return text;
}

/* ------------------------------------------------------------------------------------------ one product */

/* C[M,N] = op(A) op(B) [+ C], everything row-major and dense. */
typedef struct shape {
    int64_t M, N, K;
    bool transpose_a, transpose_b, add;
} shape;

typedef struct product {
    shape shape;
    dnnl_primitive_t primitive; /* NULL: a free place of the table */
    dnnl_memory_t A, B, C, scratch;
    size_t scratch_bytes;
} product;

enum { PLACES = 8192, MOST = PLACES / 2 }; /* 12 products a batch size: the sizes of any corpus; else it starts again */

struct rl_bf16 {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product *table; /* [PLACES], open addressing */
    int64_t num_products;
    void *scratch; /* of the product under way */
    size_t scratch_bytes;
    uint16_t *left, *right; /* rounded activations or gradients [max_rows, max_width] */
    uint16_t *weight;       /* [max_weight] */
};

static void product_clear(product *p)
{
    if (p->A) dnnl_memory_destroy(p->A);
    if (p->B) dnnl_memory_destroy(p->B);
    if (p->C) dnnl_memory_destroy(p->C);
    if (p->scratch) dnnl_memory_destroy(p->scratch);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    *p = (product){0};
}

static dnnl_memory_desc_t describe(int64_t rows, int64_t columns, bool transposed, dnnl_data_type_t type)
{
    dnnl_memory_desc_t desc = {0};
    dnnl_dims_t dims = {rows, columns}, strides = {transposed ? 1 : columns, transposed ? rows : 1};
    dnnl_memory_desc_init_by_strides(&desc, 2, dims, type, strides);
    return desc;
}

/* Scratch is ours, one for all: oneDNN's own would be megabytes for each shape. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *out, bool add)
{
    dnnl_post_ops_t after = NULL;
    dnnl_status_t done = dnnl_primitive_attr_create(out);
    if (done == dnnl_success) done = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    if (done != dnnl_success || !add) return done;
    done = dnnl_post_ops_create(&after);
    if (done == dnnl_success) done = dnnl_post_ops_append_sum(after, 1.0f);
    if (done == dnnl_success) done = dnnl_primitive_attr_set_post_ops(*out, after);
    if (after) dnnl_post_ops_destroy(after);
    return done;
}

static dnnl_status_t make_memories(product *p, const dnnl_memory_desc_t desc[3], const_dnnl_primitive_desc_t made,
                                   dnnl_engine_t engine)
{
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0);
    dnnl_status_t done = dnnl_memory_create(&p->A, &desc[0], engine, DNNL_MEMORY_NONE);
    p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if (done == dnnl_success) done = dnnl_memory_create(&p->B, &desc[1], engine, DNNL_MEMORY_NONE);
    if (done == dnnl_success) done = dnnl_memory_create(&p->C, &desc[2], engine, DNNL_MEMORY_NONE);
    if (done == dnnl_success) done = dnnl_memory_create(&p->scratch, scratch, engine, DNNL_MEMORY_NONE);
    return done;
}

static dnnl_status_t product_make(product *p, shape s, dnnl_engine_t engine)
{
    const dnnl_memory_desc_t desc[3] = {describe(s.M, s.K, s.transpose_a, dnnl_bf16),
                                        describe(s.K, s.N, s.transpose_b, dnnl_bf16),
                                        describe(s.M, s.N, false, dnnl_f32)};
    dnnl_matmul_desc_t operation;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t made = NULL;
    *p = (product){.shape = s};
    dnnl_status_t done = dnnl_matmul_desc_init(&operation, &desc[0], &desc[1], NULL, &desc[2]);
    if (done == dnnl_success) done = make_attributes(&attributes, s.add);
    if (done == dnnl_success) done = dnnl_primitive_desc_create(&made, &operation, attributes, engine, NULL);
    if (done == dnnl_success) done = dnnl_primitive_create(&p->primitive, made);
    if (done == dnnl_success) done = make_memories(p, desc, made, engine);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (made) dnnl_primitive_desc_destroy(made);
    if (done != dnnl_success) product_clear(p);
    return done;
}

/* ------------------------------------------------------------------------------------------- the table */

static size_t place_of(shape s)
{
    uint64_t mixed = (uint64_t)s.M * 0x9e3779b97f4a7c15u ^ (uint64_t)s.N * 0xc2b2ae3d27d4eb4fu ^
                     (uint64_t)s.K * 0x165667b19e3779f9u ^
                     (uint64_t)(s.transpose_a | s.transpose_b << 1 | s.add << 2) << 40;
    return (size_t)((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u >> 32) % PLACES;
}

static bool same_shape(shape a, shape b)
{
    return a.M == b.M && a.N == b.N && a.K == b.K && a.transpose_a == b.transpose_a && a.transpose_b == b.transpose_b &&
           a.add == b.add;
}

static void forget_all(rl_bf16 *b)
{
    for (size_t i = 0; b->table && i < PLACES; i++) product_clear(&b->table[i]);
    b->num_products = 0;
}

/* NULL: oneDNN cannot make it. */
static product *find_product(rl_bf16 *b, shape s)
{
    size_t i = place_of(s);
    while (b->table[i].primitive && !same_shape(b->table[i].shape, s)) i = (i + 1) % PLACES;
    if (b->table[i].primitive) return &b->table[i];
    if (b->num_products == MOST) {
        forget_all(b);
        i = place_of(s);
    }
    if (product_make(&b->table[i], s, b->engine) != dnnl_success) return NULL;
    b->num_products++;
    return &b->table[i];
}

static bool scratch_of(rl_bf16 *b, size_t bytes)
{
    if (bytes <= b->scratch_bytes) return true;
    rl_free(b->scratch);
    b->scratch = rl_calloc(bytes, 1, NULL);
    b->scratch_bytes = b->scratch ? bytes : 0;
    return b->scratch != NULL;
}

static bool product_run(rl_bf16 *b, shape s, const uint16_t *A, const uint16_t *B, float *C)
{
    product *p = find_product(b, s);
    if (!p || !scratch_of(b, p->scratch_bytes)) return false;
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, p->A}, {DNNL_ARG_WEIGHTS, p->B}, {DNNL_ARG_DST, p->C}, {DNNL_ARG_SCRATCHPAD, p->scratch}};
    return dnnl_memory_set_data_handle(p->A, (void *)A) == dnnl_success &&
           dnnl_memory_set_data_handle(p->B, (void *)B) == dnnl_success &&
           dnnl_memory_set_data_handle(p->C, C) == dnnl_success &&
           dnnl_memory_set_data_handle(p->scratch, b->scratch) == dnnl_success &&
           dnnl_primitive_execute(p->primitive, b->stream, 4, arguments) == dnnl_success &&
           dnnl_stream_wait(b->stream) == dnnl_success;
}

/* It fails only when it cannot get memory: then no number may look like a result. */
static void multiply(rl_bf16 *b, shape s, const uint16_t *A, const uint16_t *B, float *C)
{
    if (product_run(b, s, A, B, C)) return;
    for (int64_t i = 0; i < s.M * s.N; i++) C[i] = NAN;
}

/* ------------------------------------------------------------------------------------------- the check */

enum { CHECK_M = 45, CHECK_N = 70, CHECK_K = 131 };

/* Small eighths are bfloat16 numbers, and float32 sums of their products are exact. */
static void fill(uint16_t *bits, float *x, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * step % 31 - 15) * 0.125f;
    rl_bf16_round(bits, x, n);
}

static rl_status check_one(rl_bf16 *b, bool transpose_a, bool transpose_b, bool add, const float *A, const float *B,
                           float *C, rl_error *err)
{
    const float before = 0.75f;
    shape s = {CHECK_M, CHECK_N, CHECK_K, transpose_a, transpose_b, add};
    for (int64_t i = 0; i < CHECK_M * CHECK_N; i++) C[i] = add ? before : NAN;
    multiply(b, s, b->left, b->right, C);
    for (int64_t i = 0; i < CHECK_M; i++)
        for (int64_t j = 0; j < CHECK_N; j++) {
            double sum = add ? before : 0.0, found = C[i * CHECK_N + j];
            for (int64_t k = 0; k < CHECK_K; k++)
                sum += (double)A[transpose_a ? k * CHECK_M + i : i * CHECK_K + k] *
                       B[transpose_b ? j * CHECK_K + k : k * CHECK_N + j];
            if (!(fabs(found - sum) <= 1e-3))
                return rl_fail(
                    err, RL_ERR_INTERNAL,
                    "oneDNN's bfloat16 products are wrong on this processor: %s%s [%d, %d] x [%d, %d], element "
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
    fill(b->left, A, CHECK_M * CHECK_K, 7);
    fill(b->right, B, CHECK_K * CHECK_N, 11);
    for (int variant = 0; variant < 8; variant++)
        RL_TRY(check_one(b, variant & 1, variant & 2, variant & 4, A, B, C, err));
cleanup:
    rl_free(A);
    rl_free(B);
    rl_free(C);
    return status;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

rl_status rl_bf16_create(rl_bf16 **out, int64_t max_rows, int64_t max_width, int64_t max_weight, rl_error *err)
{
    rl_status status = RL_OK;
    rl_bf16 *b = NULL;
    RL_REQUIRE(max_rows > 0 && max_width > 0 && max_weight > 0, err);
    RL_TRY(rl_bf16_check(err));
    RL_ALLOC(b, 1, err);
    RL_ALLOC(b->table, PLACES, err);
    RL_ALLOC(b->left, larger(max_rows * max_width, CHECK_M * CHECK_K), err);
    RL_ALLOC(b->right, larger(max_rows * max_width, CHECK_K * CHECK_N), err);
    RL_ALLOC(b->weight, max_weight, err);
    if (dnnl_engine_create(&b->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&b->stream, b->engine, dnnl_stream_default_flags) != dnnl_success) {
        status = rl_fail(err, RL_ERR_MEMORY, "oneDNN has no memory to start");
        goto cleanup;
    }
    RL_TRY(check_products(b, err));
    *out = b;
    b = NULL;
cleanup:
    rl_bf16_free(b);
    return status;
}

void rl_bf16_free(rl_bf16 *b)
{
    if (!b) return;
    forget_all(b);
    if (b->stream) dnnl_stream_destroy(b->stream);
    if (b->engine) dnnl_engine_destroy(b->engine);
    rl_free(b->table);
    rl_free(b->scratch);
    rl_free(b->left);
    rl_free(b->right);
    rl_free(b->weight);
    rl_free(b);
}

/* --------------------------------------------------------------------------------------- linear layers */

void rl_bf16_linear_forward(rl_bf16 *b, bool in_out, float *y, const float *x, const float *weight, const float *bias,
                            int64_t T, int64_t N, int64_t K)
{
    if (T <= 0) return;
    for (int64_t t = 0; bias && t < T; t++) memcpy(y + t * N, bias, (size_t)N * sizeof *y);
    rl_bf16_round(b->left, x, T * K);
    rl_bf16_round(b->weight, weight, N * K);
    multiply(b, (shape){T, N, K, false, !in_out, bias != NULL}, b->left, b->weight, y);
}

void rl_bf16_linear_backward(rl_bf16 *b, bool in_out, float *dx, float *dweight, float *dbias, const float *dy,
                             const float *x, const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx)
{
    if (dbias) rl_column_sums(dbias, dy, T, N); /* before dx, which may be dy */
    if (T <= 0) return;
    rl_bf16_round(b->left, dy, T * N);
    rl_bf16_round(b->right, x, T * K);
    if (dx) {
        rl_bf16_round(b->weight, weight, N * K);
        multiply(b, (shape){T, K, N, false, in_out, accumulate_dx}, b->left, b->weight, dx);
    }
    if (in_out)
        multiply(b, (shape){K, N, T, true, false, false}, b->right, b->left, dweight);
    else
        multiply(b, (shape){N, K, T, true, false, false}, b->left, b->right, dweight);
}

#else

rl_status rl_bf16_check(rl_error *err)
{
    return rl_fail(
        err, RL_ERR_INPUT,
        "train.precision: bf16: this build has no bfloat16 products; expected x86-64 and oneDNN 2 when relearn was "
        "built, or train.precision: fp32");
}

const char *rl_bf16_version(void) { return "none"; }

rl_status rl_bf16_create(rl_bf16 **out, int64_t max_rows, int64_t max_width, int64_t max_weight, rl_error *err)
{
    (void)out, (void)max_rows, (void)max_width, (void)max_weight;
    return rl_bf16_check(err);
}

void rl_bf16_free(rl_bf16 *b) { (void)b; }

/* Nobody has an rl_bf16 to call these with. */
void rl_bf16_linear_forward(rl_bf16 *b, bool in_out, float *y, const float *x, const float *weight, const float *bias,
                            int64_t T, int64_t N, int64_t K)
{
    (void)b, (void)in_out, (void)y, (void)x, (void)weight, (void)bias, (void)T, (void)N, (void)K;
}

void rl_bf16_linear_backward(rl_bf16 *b, bool in_out, float *dx, float *dweight, float *dbias, const float *dy,
                             const float *x, const float *weight, int64_t T, int64_t N, int64_t K, bool accumulate_dx)
{
    (void)b, (void)in_out, (void)dx, (void)dweight, (void)dbias, (void)dy, (void)x, (void)weight, (void)T, (void)N,
        (void)K;
    (void)accumulate_dx;
}

#endif
