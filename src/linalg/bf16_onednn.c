/* bf16_onednn.c -- bfloat16 products through oneDNN's matrix product primitive, for processors with AMX.
 *
 * Factors are rounded right before each product, into buffers that stay in cache: weights are read once in the forward and
 * once in the backward pass, which costs the memory traffic that a kept bfloat16 copy of them would. oneDNN makes code for
 * every shape (a third of a millisecond); a batch's number of tokens is part of it, so the code is kept in a table. */
#include "linalg_internal.h"

#include <stdio.h>

#if defined(RELEARN_HAVE_ONEDNN) && defined(RL_BF16_KERNELS)
#include <oneapi/dnnl/dnnl.h>
#if DNNL_VERSION_MAJOR == 2
#define USABLE 1
#endif
#endif

#ifdef USABLE
static bool has_bits(int isa, int wanted) { return (isa & wanted) == wanted; }

bool rl_bf16_onednn_has_amx(void) { return has_bits((int)dnnl_get_effective_cpu_isa(), (int)dnnl_cpu_isa_avx512_core_amx); }

bool rl_bf16_onednn_usable(void) { return has_bits((int)dnnl_get_effective_cpu_isa(), (int)dnnl_cpu_isa_avx512_core_bf16); }

void rl_bf16_onednn_version(char *text, size_t size)
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d, CPU code %d", version->major, version->minor, version->patch,
             (int)dnnl_get_effective_cpu_isa());
}

/* ------------------------------------------------------------------------------------------ one product */

typedef struct product {
    rl_bf16_shape shape;
    dnnl_primitive_t primitive; /* NULL: a free place of the table */
    dnnl_memory_t A, B, C, scratch;
    size_t scratch_bytes;
} product;

enum { PLACES = 8192, MOST = PLACES / 2 }; /* 12 products a batch size: the sizes of any corpus; else it starts again */

struct rl_bf16_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product *table; /* [PLACES], open addressing */
    int64_t num_products;
    void *scratch; /* of the product under way */
    size_t scratch_bytes;
    uint16_t *left, *right; /* its factors, rounded */
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

static dnnl_status_t product_make(product *p, rl_bf16_shape s, dnnl_engine_t engine)
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

static size_t place_of(rl_bf16_shape s)
{
    uint64_t mixed = (uint64_t)s.M * 0x9e3779b97f4a7c15u ^ (uint64_t)s.N * 0xc2b2ae3d27d4eb4fu ^
                     (uint64_t)s.K * 0x165667b19e3779f9u ^
                     (uint64_t)(s.transpose_a | s.transpose_b << 1 | s.add << 2) << 40;
    return (size_t)((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u >> 32) % PLACES;
}

static bool same_shape(rl_bf16_shape a, rl_bf16_shape b)
{
    return a.M == b.M && a.N == b.N && a.K == b.K && a.transpose_a == b.transpose_a && a.transpose_b == b.transpose_b &&
           a.add == b.add;
}

static void forget_all(rl_bf16_onednn *b)
{
    for (size_t i = 0; b->table && i < PLACES; i++) product_clear(&b->table[i]);
    b->num_products = 0;
}

/* NULL: oneDNN cannot make it. */
static product *find_product(rl_bf16_onednn *b, rl_bf16_shape s)
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

static bool scratch_of(rl_bf16_onednn *b, size_t bytes)
{
    if (bytes <= b->scratch_bytes) return true;
    rl_free(b->scratch);
    b->scratch = rl_calloc(bytes, 1, NULL);
    b->scratch_bytes = b->scratch ? bytes : 0;
    return b->scratch != NULL;
}

static bool product_run(rl_bf16_onednn *b, rl_bf16_shape s, const uint16_t *A, const uint16_t *B, float *C)
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

bool rl_bf16_onednn_product(rl_bf16_onednn *b, rl_bf16_shape s, const float *A, const float *B, float *C)
{
    rl_bf16_round(b->left, A, s.M * s.K);
    rl_bf16_round(b->right, B, s.K * s.N);
    return product_run(b, s, b->left, b->right, C);
}

rl_status rl_bf16_onednn_create(rl_bf16_onednn **out, int64_t most_left, int64_t most_right, rl_error *err)
{
    rl_status status = RL_OK;
    rl_bf16_onednn *b = NULL;
    RL_ALLOC(b, 1, err);
    RL_ALLOC(b->table, PLACES, err);
    RL_ALLOC(b->left, most_left, err);
    RL_ALLOC(b->right, most_right, err);
    if (dnnl_engine_create(&b->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&b->stream, b->engine, dnnl_stream_default_flags) != dnnl_success) {
        status = rl_fail(err, RL_ERR_MEMORY, "oneDNN has no memory to start");
        goto cleanup;
    }
    *out = b;
    b = NULL;
cleanup:
    rl_bf16_onednn_free(b);
    return status;
}

void rl_bf16_onednn_free(rl_bf16_onednn *b)
{
    if (!b) return;
    forget_all(b);
    if (b->stream) dnnl_stream_destroy(b->stream);
    if (b->engine) dnnl_engine_destroy(b->engine);
    rl_free(b->table);
    rl_free(b->scratch);
    rl_free(b->left);
    rl_free(b->right);
    rl_free(b);
}

#else

bool rl_bf16_onednn_has_amx(void) { return false; }

bool rl_bf16_onednn_usable(void) { return false; }

/* Nobody has an rl_bf16_onednn to call these with. */
void rl_bf16_onednn_version(char *text, size_t size) { snprintf(text, size, "none"); }

rl_status rl_bf16_onednn_create(rl_bf16_onednn **out, int64_t most_left, int64_t most_right, rl_error *err)
{
    (void)out, (void)most_left, (void)most_right;
    return rl_fail(err, RL_ERR_INTERNAL, "this build has no bfloat16 products of oneDNN");
}

void rl_bf16_onednn_free(rl_bf16_onednn *b) { (void)b; }

bool rl_bf16_onednn_product(rl_bf16_onednn *b, rl_bf16_shape s, const float *A, const float *B, float *C)
{
    (void)b, (void)s, (void)A, (void)B, (void)C;
    return false;
}

#endif
