/* bench_gemm.c -- the three products of a linear layer at training shapes, on every back end of the build.
 * Forward y = x W^T, dx = dy W, dW = dy^T x for T packed tokens and W [N, K], and the forward product as the library makes it
 * when it is not given W in turned tiles (src/linalg/turned.c). One JSON line a case; GFLOP/s is the best
 * of the calls within the budget, share is of the FMA peak measured in the same process.
 *   bench_linalg_gemm [--smoke] [--seconds PER_CASE] */
#include "relearn/linalg.h"

#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum product { FORWARD, DX, DWEIGHT, FORWARD_OF_LIBRARY, NUM_PRODUCTS } product;
static const char *const product_names[] = {"forward", "dx", "dweight", "forward_of_library"};

typedef struct arrays {
    float *x, *weight, *y;
} arrays;

static void multiply(product which, const arrays *a, int64_t T, int64_t N, int64_t K)
{
    switch (which) {
    case FORWARD: rl_gemm(false, true, T, N, K, 1.0f, a->x, K, a->weight, K, 0.0f, a->y, N); break;
    case DX: rl_gemm(false, false, T, K, N, 1.0f, a->y, N, a->weight, K, 0.0f, a->x, K); break;
    case DWEIGHT: rl_gemm(true, false, N, K, T, 1.0f, a->y, N, a->x, K, 0.0f, a->weight, K); break;
    default: rl_gemm_of_library(false, true, T, N, K, 1.0f, a->x, K, a->weight, K, 0.0f, a->y, N); break;
    }
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7 % 31 - 15) * 0.125f;
}

/* Element (0, 0) of the forward product against its definition: a timing counts only if the answer is right. */
static bool right(const arrays *a, int64_t T, int64_t N, int64_t K)
{
    double sum = 0.0;
    multiply(FORWARD, a, T, N, K);
    for (int64_t k = 0; k < K; k++) sum += (double)a->x[k] * a->weight[k];
    return fabs(sum - a->y[0]) <= 1e-4 * (double)K;
}

static double best_rate(product which, const arrays *a, int64_t T, int64_t N, int64_t K, double budget_s)
{
    double best = 0.0, end = rl_now_s() + budget_s;
    do {
        double from = rl_now_s();
        multiply(which, a, T, N, K);
        double rate = 2e-9 * (double)T * (double)N * (double)K / (rl_now_s() - from);
        best = rate > best ? rate : best;
    } while (rl_now_s() < end);
    return best;
}

static int bench_shape(int64_t T, int64_t N, int64_t K, double budget_s, double peak)
{
    arrays a = {rl_calloc((size_t)(T * K), sizeof(float), NULL), rl_calloc((size_t)(N * K), sizeof(float), NULL),
                rl_calloc((size_t)(T * N), sizeof(float), NULL)};
    int failed = !a.x || !a.weight || !a.y;
    for (int which = 0; !failed && which < NUM_PRODUCTS; which++) {
        fill(a.x, T * K); /* again: dx writes x, dweight the weights */
        fill(a.weight, N * K);
        failed = !right(&a, T, N, K);
        double rate = best_rate((product)which, &a, T, N, K, budget_s);
        printf("{\"bench\":\"gemm\",\"backend\":\"%s\",\"product\":\"%s\",\"T\":%lld,\"N\":%lld,\"K\":%lld,"
               "\"gflops\":%.1f,\"share_of_fma_peak\":%.3f,\"right\":%s}\n",
               rl_gemm_backend(), product_names[which], (long long)T, (long long)N, (long long)K, rate, rate / peak,
               failed ? "false" : "true");
    }
    rl_free(a.x);
    rl_free(a.weight);
    rl_free(a.y);
    return failed;
}

int main(int argc, char **argv)
{
    static const int64_t tokens[] = {80, 160, 640};
    static const int64_t shapes[][2] = {{384, 384},  {1152, 384}, {1536, 384}, {384, 1536},
                                        {768, 768}, {2304, 768}, {3072, 768}, {768, 3072}};
    bool smoke = false;
    double budget_s = 0.1;
    const bench_option table[] = {{"--seconds", BENCH_REAL, &budget_s, "seconds a case", 0.001, 60},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int code = bench_options(argc, argv, "the products of linear layers on every back end, against the FMA peak", table);
    if (code >= 0) return code;
    if (smoke) budget_s = 0;
    const char *const *backends = NULL;
    size_t num_backends = rl_gemm_backends(&backends);
    int failed = 0;
    rl_error err = {0};
    for (size_t b = 0; b < num_backends; b++) {
        if (rl_linalg_init(backends[b], &err) != RL_OK) {
            fprintf(stderr, "bench_gemm: %s\n", err.message);
            return 1;
        }
        double peak = rl_fma_peak_gflops();
        for (size_t t = 0; t < (smoke ? 1 : 3); t++)
            for (size_t s = 0; s < (smoke ? 2 : 8); s++)
                failed |= bench_shape(tokens[t], shapes[s][0], shapes[s][1], budget_s, peak);
    }
    return failed;
}
