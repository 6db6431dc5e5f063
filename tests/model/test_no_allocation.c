/* A training step's forward and backward allocate nothing: everything lies in the workspace. Counted at malloc itself,
 * with the CBLAS back end (oneDNN allocates inside its products, which is its own affair).
 *
 * LABELS: unit */
#include "model_support.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
int main(void) { support_skip_program("malloc cannot be counted in this build (sanitizer, or not glibc)"); }
#else
static bool counting;
static long calls;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void count(void)
{
    if (counting) calls++;
}
void *malloc(size_t size) { return count(), __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return count(), __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return count(), __libc_realloc(old, size); }
void *aligned_alloc(size_t alignment, size_t size) { return count(), __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size)
{
    count();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12; /* ENOMEM */
}

static void test_no_allocation(void **state)
{
    static const rl_model_dropout dropout = {.seed = 1, .step = 2, .override_rate = -1};
    rl_model *model = load_text(tiny_bert);
    rl_error err = {0};
    owned_batch b;
    void *volatile memory = NULL;
    (void)state;
    assert_ok(rl_linalg_init("cblas", &err), err);
    protocol_batch(&b);
    rl_workspace *w = workspace_for(model, &b, true);
    float *gradients = new_gradients(model), *hidden = calloc(8 * 8, sizeof *hidden);
    rl_model_forward(model, w, &b.batch, &dropout); /* the back end's own first time */
    rl_model_backward(model, w, &b.batch, &dropout, gradients);
    counting = true;
    for (int step = 0; step < 3; step++) {
        rl_model_forward(model, w, &b.batch, &dropout);
        rl_model_backward(model, w, &b.batch, &dropout, gradients);
        rl_model_embed(model, w, &b.batch, hidden);
        rl_model_block(model, w, &b.batch, 1, hidden);
    }
    counting = false;
    assert_int_equal(calls, 0);
    counting = true; /* the counter counts */
    memory = malloc(10);
    free(memory);
    memory = rl_calloc(3, 3, NULL);
    counting = false;
    rl_free(memory);
    assert_int_equal(calls, 2);
    free(gradients);
    free(hidden);
    rl_workspace_free(w);
    rl_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation)};
    return cmocka_run_group_tests(tests, start_linalg, NULL);
}
#endif
