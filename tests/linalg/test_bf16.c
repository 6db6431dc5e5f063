/* Linear layers on bfloat16 factors: rounded to nearest even, multiplied and summed in float32, the same bits every time, and
 * refused where the processor or RELEARN_ISA has no such instructions. */
#include "linalg_cases.h"

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float widened(uint16_t bits) { return from_bits((uint32_t)bits << 16); }

static void test_rounding_is_to_nearest_even_on_every_isa(void **state)
{
    enum { COUNT = 16 };
    const uint32_t from[COUNT] = {0x3f800000u, 0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f807fffu, 0x80000000u,
                                  0x7f7fffffu, 0x7f800000u, 0xff800000u, 0x7f800001u, 0xffffffffu, 0x00008001u,
                                  0x00008000u, 0x00018000u, 0xbf818000u, 0x7f7f7fffu};
    const uint16_t expected[COUNT] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x8000, /* ties to even */
                                      0x7f80, 0x7f80, 0xff80, 0x7fc0, 0xffff, 0x0001, /* overflow, infinities, NaN */
                                      0x0000, 0x0002, 0xbf82, 0x7f7f};                /* denormals are kept */
    float x[COUNT];
    uint16_t y[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++) x[i] = from_bits(from[i]);
    for (size_t isa = 0;; isa++) {
        bool more = use_isa(isa);
        for (int n = 1; n <= COUNT; n += 5) { /* whole vectors and what is left over */
            memset(y, 0xee, sizeof y);
            rl_bf16_round(y, x, n);
            for (int i = 0; i < n; i++) assert_int_equal(y[i], expected[i]);
            if (n < COUNT) assert_int_equal(y[n], 0xeeee);
        }
        if (!more) break;
    }
}

/* Skips the test that asks, and says so, where bfloat16 products cannot run. */
static void need_bf16(void)
{
    rl_error err = {0};
    assert_ok(rl_linalg_init(NULL, &err), err);
    if (rl_bf16_check(&err) == RL_OK) return;
    print_message("skipped: %s\n", err.message);
    skip();
}

typedef struct layer {
    int64_t T, N, K;
    float *x, *weight, *bias, *dy, *y, *dx, *dweight, *dbias, *before;
    float *x_rounded, *weight_rounded, *dy_rounded;
} layer;

static float *rounded(const float *x, int64_t n)
{
    uint16_t *bits = allocate((size_t)n, sizeof *bits);
    float *out = FLOATS(n);
    rl_bf16_round(bits, x, n);
    for (int64_t i = 0; i < n; i++) out[i] = widened(bits[i]);
    rl_free(bits);
    return out;
}

static float *numbers(int64_t n, uint32_t seed)
{
    float *x = FLOATS(n);
    fill_numbers(x, n, 1.0f, seed);
    return x;
}

static layer make_layer(int64_t T, int64_t N, int64_t K)
{
    layer l = {.T = T, .N = N, .K = K};
    l.x = numbers(T * K, 1), l.weight = numbers(N * K, 2), l.bias = numbers(N, 3), l.dy = numbers(T * N, 4);
    l.before = numbers(T * K, 5);
    l.y = FLOATS(T * N), l.dx = FLOATS(T * K), l.dweight = FLOATS(N * K), l.dbias = FLOATS(N);
    l.x_rounded = rounded(l.x, T * K), l.weight_rounded = rounded(l.weight, N * K), l.dy_rounded = rounded(l.dy, T * N);
    return l;
}

static void drop_layer(layer *l)
{
    float *all[] = {l->x,      l->weight,    l->bias,           l->dy,        l->y, l->dx, l->dweight, l->dbias,
                    l->before, l->x_rounded, l->weight_rounded, l->dy_rounded};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) rl_free(all[i]);
}

/* Products of bfloat16 numbers are exact in float32; so only the sum of n numbers below 1 rounds. Factors that were not
 * rounded would be off by up to n 2^-8. */
static double bound(int64_t n) { return 1e-6 * (double)(n + 4); }

static void check_forward(rl_bf16 *products, layer *l, bool in_out, bool with_bias)
{
    for (int64_t i = 0; i < l->T * l->N; i++) l->y[i] = NAN;
    rl_bf16_linear_forward(products, in_out, l->y, l->x, l->weight, with_bias ? l->bias : NULL, l->T, l->N, l->K);
    for (int64_t t = 0; t < l->T; t++)
        for (int64_t n = 0; n < l->N; n++) {
            double sum = with_bias ? l->bias[n] : 0.0;
            for (int64_t k = 0; k < l->K; k++)
                sum += (double)l->x_rounded[t * l->K + k] * l->weight_rounded[in_out ? k * l->N + n : n * l->K + k];
            assert_close(l->y[t * l->N + n], sum, 0, bound(l->K));
        }
}

static void check_backward(rl_bf16 *products, layer *l, bool in_out, bool accumulate)
{
    for (int64_t i = 0; i < l->T * l->K; i++) l->dx[i] = accumulate ? l->before[i] : NAN;
    for (int64_t i = 0; i < l->N * l->K; i++) l->dweight[i] = NAN;
    for (int64_t i = 0; i < l->N; i++) l->dbias[i] = NAN;
    rl_bf16_linear_backward(products, in_out, l->dx, l->dweight, l->dbias, l->dy, l->x, l->weight, l->T, l->N, l->K,
                            accumulate);
    for (int64_t t = 0; t < l->T; t++)
        for (int64_t k = 0; k < l->K; k++) {
            double sum = accumulate ? l->before[t * l->K + k] : 0.0;
            for (int64_t n = 0; n < l->N; n++)
                sum += (double)l->dy_rounded[t * l->N + n] * l->weight_rounded[in_out ? k * l->N + n : n * l->K + k];
            assert_close(l->dx[t * l->K + k], sum, 0, bound(l->N));
        }
    for (int64_t n = 0; n < l->N; n++) {
        double column = 0.0;
        for (int64_t t = 0; t < l->T; t++) column += l->dy[t * l->N + n]; /* sums stay float32's: nothing is rounded */
        assert_close(l->dbias[n], column, 0, bound(l->T));
        for (int64_t k = 0; k < l->K; k++) {
            double sum = 0.0;
            for (int64_t t = 0; t < l->T; t++) sum += (double)l->dy_rounded[t * l->N + n] * l->x_rounded[t * l->K + k];
            assert_close(l->dweight[in_out ? k * l->N + n : n * l->K + k], sum, 0, bound(l->T));
        }
    }
}

/* The ways that run here: AVX512-BF16, and AMX where this build, processor and kernel have it. */
static int ways(void) { return rl_amx_usable() ? 2 : 1; }

static void check_layer(rl_bf16_way way, int64_t T, int64_t N, int64_t K)
{
    rl_error err = {0};
    rl_bf16 *products = NULL;
    layer l = make_layer(T, N, K);
    assert_ok(rl_bf16_create_way(&products, way, T, N > K ? N : K, &err), err);
    for (int variant = 0; variant < 4; variant++) {
        check_forward(products, &l, variant & 1, variant & 2);
        check_backward(products, &l, variant & 1, variant & 2);
    }
    rl_bf16_free(products);
    drop_layer(&l);
}

/* Every number of rows and of vectors that a block can have, odd sums, and sums longer than a tile is deep. */
static void test_products_are_those_of_rounded_factors(void **state)
{
    const int64_t sizes[][3] = {{1, 1, 1},    {3, 9, 5},     {33, 48, 17},  {71, 96, 65},    {8, 16, 32},
                                {15, 33, 50}, {20, 49, 129}, {5, 20, 1601}, {5, 3100, 7},    {1555, 9, 11}};
    (void)state;
    need_bf16();
    for (int way = 0; way < ways(); way++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_layer((rl_bf16_way)way, sizes[s][0], sizes[s][1], sizes[s][2]);
        for (int64_t rows = 1; rows <= 17; rows++) check_layer((rl_bf16_way)way, rows, 48 - rows, 34 + rows);
    }
}

static void test_dx_and_dbias_may_be_left_out(void **state)
{
    rl_error err = {0};
    rl_bf16 *products = NULL;
    (void)state;
    need_bf16();
    layer l = make_layer(12, 24, 16);
    assert_ok(rl_bf16_create(&products, 12, 24, &err), err);
    rl_bf16_linear_backward(products, false, NULL, l.dweight, NULL, l.dy, l.x, l.weight, 12, 24, 16, false);
    double sum = 0.0;
    for (int t = 0; t < 12; t++) sum += (double)l.dy_rounded[t * 24 + 3] * l.x_rounded[t * 16 + 5];
    assert_close(l.dweight[3 * 16 + 5], sum, 0, bound(12));
    rl_bf16_free(products);
    drop_layer(&l);
}

/* Longer than a tile is deep: the second part of the sum must not read what the first has written. */
static void test_dx_may_be_dy(void **state)
{
    enum { T = 3, C = 1700 };
    rl_error err = {0};
    (void)state;
    need_bf16();
    layer l = make_layer(T, C, C);
    for (int way = 0; way < ways(); way++) {
        rl_bf16 *products = NULL;
        float *both = FLOATS(T * C), *dweight = FLOATS(C * C);
        memcpy(both, l.dy, T * C * sizeof *both);
        assert_ok(rl_bf16_create_way(&products, (rl_bf16_way)way, T, C, &err), err);
        rl_bf16_linear_backward(products, false, l.dx, l.dweight, NULL, l.dy, l.x, l.weight, T, C, C, false);
        rl_bf16_linear_backward(products, false, both, dweight, NULL, both, l.x, l.weight, T, C, C, false);
        assert_memory_equal(both, l.dx, T * C * sizeof *both);
        assert_memory_equal(dweight, l.dweight, (size_t)C * C * sizeof *dweight);
        rl_bf16_free(products);
        rl_free(both);
        rl_free(dweight);
    }
    drop_layer(&l);
}

/* Forward and backward once, everything they give in one block. */
static float *all_results(rl_bf16_way way, layer *l, int64_t *count)
{
    rl_error err = {0};
    rl_bf16 *products = NULL;
    const int64_t sizes[] = {l->T * l->N, l->T * l->K, l->N * l->K};
    assert_ok(rl_bf16_create_way(&products, way, l->T, l->N > l->K ? l->N : l->K, &err), err);
    rl_bf16_linear_forward(products, false, l->y, l->x, l->weight, l->bias, l->T, l->N, l->K);
    rl_bf16_linear_backward(products, false, l->dx, l->dweight, NULL, l->dy, l->x, l->weight, l->T, l->N, l->K, false);
    rl_bf16_free(products);
    *count = sizes[0] + sizes[1] + sizes[2];
    float *all = FLOATS(*count), *at = all;
    const float *from[] = {l->y, l->dx, l->dweight};
    for (int i = 0; i < 3; at += sizes[i], i++) memcpy(at, from[i], (size_t)sizes[i] * sizeof *at);
    return all;
}

static void test_threads_keep_the_bits_of_tiles(void **state)
{
    rl_error err = {0};
    (void)state;
    need_bf16();
    layer l = make_layer(83, 300, 1600);
    for (int way = 0; way < ways(); way++) {
        int64_t count = 0;
        float *alone = all_results((rl_bf16_way)way, &l, &count);
        for (int threads = 2; threads <= 5; threads++) {
            assert_ok(rl_linalg_set_threads(threads, &err), err);
            float *together = all_results((rl_bf16_way)way, &l, &count);
            assert_memory_equal(alone, together, (size_t)count * sizeof *alone);
            rl_free(together);
        }
        assert_ok(rl_linalg_set_threads(1, &err), err);
        rl_free(alone);
    }
    drop_layer(&l);
}

static void test_same_bits_from_another_object(void **state)
{
    enum { T = 37, N = 64, K = 80 };
    rl_error err = {0};
    (void)state;
    need_bf16();
    layer l = make_layer(T, N, K);
    float *first = FLOATS(T * N);
    for (int time = 0; time < 2; time++) {
        rl_bf16 *products = NULL;
        assert_ok(rl_bf16_create(&products, T, K, &err), err);
        for (int64_t rows = time ? T : 5; rows <= T; rows += 8) /* other shapes before it or not */
            rl_bf16_linear_forward(products, false, l.y, l.x, l.weight, l.bias, rows, N, K);
        rl_bf16_linear_forward(products, false, time ? l.y : first, l.x, l.weight, l.bias, T, N, K);
        rl_bf16_free(products);
    }
    assert_memory_equal(first, l.y, T * N * sizeof *first);
    rl_free(first);
    drop_layer(&l);
}

static void test_refused_where_the_isa_is_lowered(void **state)
{
    rl_error err = {0};
    rl_bf16 *products = NULL;
    const char *const *names = NULL;
    size_t usable = 0;
    (void)state;
    rl_linalg_isas(&names, &usable);
    for (size_t i = 0; i < usable && strcmp(names[i], "avx512") != 0; i++) {
        assert_ok(rl_linalg_select_isa(names[i], &err), err);
        assert_fails(rl_bf16_check(&err), RL_ERR_INPUT, err, "train.precision");
        assert_non_null(strstr(err.message, "fp32"));
        assert_fails(rl_bf16_create(&products, 8, 8, &err), RL_ERR_INPUT, err, "train.precision");
        assert_null(products);
    }
    assert_ok(rl_linalg_select_isa(NULL, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_is_to_nearest_even_on_every_isa),
        cmocka_unit_test(test_products_are_those_of_rounded_factors),
        cmocka_unit_test(test_dx_and_dbias_may_be_left_out),
        cmocka_unit_test(test_dx_may_be_dy),
        cmocka_unit_test(test_threads_keep_the_bits_of_tiles),
        cmocka_unit_test(test_same_bits_from_another_object),
        cmocka_unit_test(test_refused_where_the_isa_is_lowered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
