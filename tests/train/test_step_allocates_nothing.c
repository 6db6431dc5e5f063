/* One arena per run: between the first step's end and the last step's end, epoch boundaries included, no code of ours
 * asks for memory. This program's own malloc family counts the calls that come from the executable's text (our rooms
 * are linked in statically); what a BLAS does inside its shared library is its own. Under asan the interposition would
 * fight asan's, so the test is skipped there. */
#include "fixtures.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__GLIBC__)
int main(void)
{
    support_skip_program("counting mallocs needs glibc's malloc to itself");
    return 0;
}
#else

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern const char __executable_start[], etext[];

static bool counting;
static int64_t num_calls;

static void count(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    if (counting && at >= (uintptr_t)__executable_start && at < (uintptr_t)etext) num_calls++;
}
void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}
void *realloc(void *old, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}
void *aligned_alloc(size_t alignment, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

static void on_step(void *context, const rl_step_record *record, int64_t total_steps)
{
    (void)context;
    counting = record->step < total_steps;
}

static int64_t calls_in_steps(rl_train_settings settings, double dropout)
{
    rl_error err = {0};
    toy_data toy;
    rl_train_hooks hooks = {.on_step = on_step};
    rl_model *model = tiny_model("bert", dropout);
    toy_fill(&toy);
    num_calls = 0;
    assert_ok(rl_train(model, &toy.encoded, &settings, 1, NULL, NULL, &hooks, NULL, &err), err);
    rl_model_free(model);
    return num_calls;
}

static void test_steps_and_epoch_boundaries(void **state)
{
    rl_train_settings settings = toy_settings();
    (void)state;
    assert_int_equal(calls_in_steps(settings, 0.1), 0);
    settings.order = RL_ORDER_HF4;
    settings.optimizer = RL_ADAMW_HF;
    assert_int_equal(calls_in_steps(settings, 0), 0);
}

/* The counter itself: rl_calloc's aligned_alloc is seen. */
static void test_the_counter_counts(void **state)
{
    rl_error err = {0};
    (void)state;
    num_calls = 0;
    counting = true;
    rl_free(rl_calloc(1, 1, &err));
    counting = false;
    assert_int_equal(num_calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_and_epoch_boundaries),
        cmocka_unit_test(test_the_counter_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
