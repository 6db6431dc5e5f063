/* Threads share a pass without changing one bit of it, on every instruction set; products where the back end promises it.
 * Workers take no signals, sleep and wake, and come and go.
 */
#include "linalg_cases.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum { T = 97, H = 6, D = 32, C = H * D, F = 4 * C + 3, B = 5, MOST_THREADS = 3 };
static const int32_t start[B + 1] = {0, 3, 40, 41, 80, T};

static void use_threads(int n)
{
    rl_error err = {0};
    assert_ok(rl_linalg_set_threads(n, &err), err);
    assert_int_equal(rl_linalg_threads(), n);
}

/* ------------------------------------------------------------------------------------------ every pass once */

typedef struct memory {
    float *x, *y, *qkv, *wide, *row, *scratch; /* inputs: x, y [T, C], qkv [T, 3C], wide [T, F], row [F] */
    float *out, *at;                           /* everything that the passes write, one after the other */
    size_t size;
} memory;

static float *take(memory *m, int64_t n, const float *from)
{
    float *to = m->at;
    m->at += n;
    assert_true((size_t)(m->at - m->out) <= m->size);
    if (from) memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

static void norms(memory *m, rl_dropout dropout)
{
    float *mean = take(m, T, NULL), *rstd = take(m, T, NULL), *sum = take(m, T * C, NULL), *dx = take(m, T * C, m->y);
    rl_layer_norm_forward(take(m, T * C, NULL), take(m, T, NULL), take(m, T, NULL), m->x, m->row, m->row, T, C, 1e-5f);
    rl_residual_layer_norm_forward(take(m, T * C, NULL), sum, mean, rstd, m->x, m->row, m->y, m->row, m->row, T, C, 1e-5f,
                                   dropout);
    rl_layer_norm_backward(dx, take(m, C, NULL), take(m, C, NULL), dx, sum, mean, rstd, m->row, T, C); /* in place */
    rl_residual_forward(take(m, T * C, NULL), m->x, m->row, m->y, T, C, dropout);
}

static void elements(memory *m, rl_dropout dropout)
{
    rl_adamw s = {RL_ADAMW_TORCH, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 0.5f};
    rl_bias_gelu_forward(take(m, T * F, NULL), take(m, T * F, NULL), m->wide, m->row, T, F);
    rl_bias_gelu_backward(take(m, T * F, NULL), take(m, F, NULL), m->wide, m->wide, T, F);
    rl_bias_tanh_gelu_forward(take(m, T * F, NULL), take(m, T * F, NULL), m->wide, m->row, T, F);
    rl_bias_tanh_gelu_backward(take(m, T * F, NULL), take(m, F, NULL), m->wide, m->wide, T, F);
    rl_column_sums(take(m, F, NULL), m->wide, T, F);
    rl_add(take(m, T * C, NULL), m->x, m->y, T * C);
    rl_dropout_apply(take(m, T * F, NULL), m->wide, T * F, dropout);
    rl_adamw_step(take(m, T * F, m->wide), m->wide, take(m, T * F, NULL), take(m, T * F, NULL), T * F, s);
}

static void attention(memory *m, rl_dropout dropout)
{
    rl_attention_scores scores = rl_attention_scores_default(D);
    float *probs = take(m, rl_attention_probs_count(start, B, H), NULL), *kept = take(m, T * C, NULL);
    rl_attention_forward(kept, probs, m->qkv, start, B, H, D, scores, dropout, m->scratch);
    rl_attention_backward(take(m, 3 * T * C, NULL), m->x, m->qkv, probs, start, B, H, D, scores, dropout, m->scratch);
    rl_attention_forward(take(m, T * C, NULL), NULL, m->qkv, start, B, H, D, scores, rl_dropout_none(), m->scratch);
    rl_attention_forward(take(m, T * C, NULL), probs, m->qkv, start, B, H, D, scores, rl_dropout_none(), m->scratch);
    assert_memory_equal(m->at - T * C, m->at - 2 * T * C, T * C * sizeof(float)); /* kept or not */
}

static void run_passes(memory *m, float *out)
{
    const rl_dropout dropout = {.p = 0.1f, .key = {1, 2}, .step = 3, .stream = 4};
    m->out = m->at = out;
    memset(out, 0, m->size * sizeof *out);
    m->scratch = FLOATS(rl_attention_scratch_count(T, D));
    norms(m, dropout);
    elements(m, dropout);
    attention(m, dropout);
    rl_free(m->scratch);
}

static void test_threads_change_no_bit_of_a_pass(void **state)
{
    memory m = {FLOATS(T * C), FLOATS(T * C), FLOATS(3 * T * C), FLOATS(T * F), FLOATS(F), NULL, NULL, NULL,
                12 * T * F + 16 * T * C + 64 * T * T};
    float *alone = FLOATS(m.size), *together = FLOATS(m.size);
    (void)state;
    fill_numbers(m.x, T * C, 2.0f, 1);
    fill_numbers(m.y, T * C, 2.0f, 2);
    fill_numbers(m.qkv, 3 * T * C, 1.0f, 3);
    fill_numbers(m.wide, T * F, 2.0f, 4);
    fill_numbers(m.row, F, 1.0f, 5);
    for (size_t isa = 0; use_isa(isa); isa++) {
        use_threads(1);
        run_passes(&m, alone);
        for (int n = 2; n <= MOST_THREADS; n++) {
            use_threads(n);
            run_passes(&m, together);
            assert_memory_equal(alone, together, m.size * sizeof *alone);
        }
    }
    use_threads(1);
    rl_free(m.x);
    rl_free(m.y);
    rl_free(m.qkv);
    rl_free(m.wide);
    rl_free(m.row);
    rl_free(alone);
    rl_free(together);
}

/* ------------------------------------------------------------------------------------------------ products */

typedef struct shape {
    int64_t T, N, K;
} shape;
/* Layers of MiniLM and DistilBERT at usual batches, a head, odd sizes, and a weight's gradient by 800 tokens, which oneDNN
 * sums up in blocks that depend on all three sizes; 97 is two units of cutting and one over, which must be nobody's piece. */
static const shape shapes[] = {{160, 1152, 384}, {37, 384, 1536}, {161, 768, 768}, {160, 9, 384},
                               {100, 130, 70},   {800, 3072, 768}, {97, 96, 384},  {97, 97, 384}};

/* y, dx (added to), dx, dweight, dbias of both layouts: 5 T (N + K) + ... floats; returns where the outputs end. */
static size_t run_layer(float *out, const float *x, const float *w, const float *dy, shape s)
{
    float *y = out, *dx = y + s.T * s.N, *dw = dx + s.T * s.K, *db = dw + s.N * s.K;
    memset(dx, 0, (size_t)(s.T * s.K) * sizeof *dx);
    rl_linear_forward(y, x, w, dy, s.T, s.N, s.K);
    rl_linear_backward(dx, dw, db, dy, x, w, s.T, s.N, s.K, true);
    y = db + s.N, dx = y + s.T * s.N, dw = dx + s.T * s.K, db = dw + s.N * s.K;
    rl_linear_in_out_forward(y, x, w, NULL, s.T, s.N, s.K);
    rl_linear_in_out_backward(dx, dw, db, dy, x, w, s.T, s.N, s.K, false);
    return (size_t)(db + s.N - out);
}

static void compare_layer(shape s, bool same_bits)
{
    int64_t most = 2 * (s.T * (s.N + s.K) + s.N * s.K + s.N);
    float *x = FLOATS(s.T * s.K), *w = FLOATS(s.N * s.K), *dy = FLOATS(s.T * s.N), *alone = FLOATS(most), *both = FLOATS(most);
    fill_numbers(x, s.T * s.K, 1.0f, 1);
    fill_numbers(w, s.N * s.K, 1.0f, 2);
    fill_numbers(dy, s.T * s.N, 1.0f, 3);
    use_threads(1);
    size_t n = run_layer(alone, x, w, dy, s);
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        use_threads(threads);
        assert_int_equal(run_layer(both, x, w, dy, s), n);
        if (same_bits) assert_memory_equal(alone, both, n * sizeof *alone);
        for (size_t i = 0; i < n; i++) assert_close(both[i], alone[i], 1e-3, 1e-4); /* sums of up to 1000 products below 1 */
    }
    use_threads(1);
    rl_free(x);
    rl_free(w);
    rl_free(dy);
    rl_free(alone);
    rl_free(both);
}

static void test_products_as_the_back_end_promises(void **state)
{
    const char *const *backends = NULL;
    size_t n = rl_gemm_backends(&backends);
    rl_error err = {0};
    (void)state;
    for (size_t b = 0; b < n; b++) {
        bool keep = false;
        assert_ok(rl_linalg_init(backends[b], &err), err);
        assert_ok(rl_linalg_threads_keep_bits(&keep, &err), err);
        use_threads(2);
        assert_int_equal(strstr(rl_gemm_backend_version(), ", 2 threads") != NULL, !keep); /* and so in stage keys */
        use_threads(1);
        assert_null(strstr(rl_gemm_backend_version(), "threads"));
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) compare_layer(shapes[i], keep);
    }
    assert_ok(rl_linalg_init(NULL, &err), err);
}

/* -------------------------------------------------------------------------------------------------- the pool */

typedef struct tally {
    atomic_int times[1000];
    atomic_int nested;
} tally;

static void count_nested(void *context, int worker, int64_t piece)
{
    (void)worker;
    (void)piece;
    atomic_fetch_add(&((tally *)context)->nested, 1);
}

static void count_piece(void *context, int worker, int64_t piece)
{
    tally *t = context;
    assert_in_range(worker, 0, rl_linalg_threads() - 1);
    atomic_fetch_add(&t->times[piece], 1);
    rl_share_out(3, count_nested, t);
}

static void test_every_piece_is_done_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        use_threads(threads);
        for (int64_t n = 0; n <= 1000; n += 250) {
            static tally t;
            memset(&t, 0, sizeof t);
            rl_share_out(n, count_piece, &t);
            for (int64_t i = 0; i < 1000; i++) assert_int_equal(t.times[i], i < n);
            assert_int_equal(t.nested, 3 * n);
            if (n == 500) usleep(20000); /* long enough for workers to fall asleep */
        }
    }
    use_threads(1);
}

typedef struct masks {
    atomic_int open[MOST_THREADS], seen[MOST_THREADS];
} masks;

static void look_at_mask(void *context, int worker, int64_t piece)
{
    masks *m = context;
    sigset_t blocked;
    (void)piece;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGALRM, SIGCHLD};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        atomic_fetch_add(&m->open[worker], !sigismember(&blocked, numbers[i]));
    atomic_fetch_add(&m->seen[worker], 1);
    usleep(1000); /* so that the others get a piece */
}

static void test_only_the_main_thread_takes_signals(void **state)
{
    static masks m;
    (void)state;
    use_threads(MOST_THREADS);
    for (int i = 0; i < 1000 && !(m.seen[0] && m.seen[1] && m.seen[2]); i++)
        rl_share_out(20, look_at_mask, &m); /* a busy machine may keep a worker waiting */
    use_threads(1);
    for (int worker = 0; worker < MOST_THREADS; worker++) {
        assert_true(m.seen[worker] > 0);
        assert_int_equal(m.open[worker], worker ? 0 : 5 * m.seen[worker]);
    }
}

static void test_refused_counts(void **state)
{
    rl_error err = {0};
    (void)state;
    assert_fails(rl_linalg_set_threads(0, &err), RL_ERR_INPUT, err, "0 threads; expected 1 to 256");
    assert_fails(rl_linalg_set_threads(257, &err), RL_ERR_INPUT, err, "257 threads; expected 1 to 256");
    assert_int_equal(rl_linalg_threads(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_change_no_bit_of_a_pass),
                                       cmocka_unit_test(test_products_as_the_back_end_promises),
                                       cmocka_unit_test(test_every_piece_is_done_once),
                                       cmocka_unit_test(test_only_the_main_thread_takes_signals),
                                       cmocka_unit_test(test_refused_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
