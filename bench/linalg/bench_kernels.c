/* bench_kernels.c -- the passes between the matrix products, on every instruction set of this processor, at the shape
 * of a training batch: 8 sentences of 20 tokens. One JSON line a case; ns_per_element is the best call within the
 * budget, ms_per_step what the pass costs in one training step of that model. What a pass writes is first compared with
 * the slowest set's (AdamW, which works on its own state, is left to its test).
 *   bench_linalg_kernels [--smoke] [--width C] [--head D] [--layers L] [--length TOKENS] */
#include "linalg_internal.h"

#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct batch {
    int64_t C, D, L, B, n, T, F, H; /* letters of relearn/linalg.h; n tokens a sentence, L layers */
    int64_t num_weights;
    int32_t start[9];
    float *x, *other, *out, *saved, *row, *row_sums, *row_sums2, *mean, *rstd, *probs, *scratch, *p, *g, *m, *v;
    rl_dropout dropout;
} batch;

static void residual_layer_norm(batch *b)
{
    rl_residual_layer_norm_forward(b->out, b->saved, b->mean, b->rstd, b->x, b->row, b->other, b->row, b->row, b->T,
                                   b->C, 1e-12f, b->dropout);
}
static void layer_norm_backward(batch *b)
{
    rl_layer_norm_backward(b->out, b->row_sums, b->row_sums2, b->other, b->x, b->mean, b->rstd, b->row, b->T, b->C);
}
static void dropout_backward(batch *b)
{
    rl_dropout_apply(b->out, b->x, b->T * b->C, b->dropout);
}
static void bias_gelu_forward(batch *b)
{
    rl_bias_gelu_forward(b->out, b->saved, b->x, b->row, b->T, b->F);
}
static void bias_gelu_backward(batch *b)
{
    rl_bias_gelu_backward(b->out, b->row_sums, b->other, b->x, b->T, b->F);
}
static void column_sums(batch *b)
{
    rl_column_sums(b->out, b->x, b->T, b->C);
}
static void attention_forward(batch *b)
{
    rl_attention_forward(b->out, b->probs, b->x, b->start, b->B, b->H, b->D,
                         rl_attention_scores_default(b->D), b->dropout, b->scratch);
}
static void attention_backward(batch *b)
{
    rl_attention_backward(b->out, b->other, b->x, b->probs, b->start, b->B, b->H, b->D,
                         rl_attention_scores_default(b->D), b->dropout, b->scratch);
}
static void adamw(batch *b)
{
    rl_adamw s = {RL_ADAMW_TORCH, 2e-5, 0.9, 0.999, 1e-8, 0.01, 1, 1.0f};
    rl_adamw_step(b->p, b->g, b->m, b->v, b->num_weights, s);
}
static void sum_of_squares(batch *b)
{
    b->out[0] = (float)rl_sum_of_squares(b->g, b->num_weights);
}

/* `elements` in units of T * C, or 0 for one per weight; `calls` a layer, or 0 for once a step. */
static const struct {
    const char *name;
    void (*run)(batch *b);
    int64_t elements, calls;
} cases[] = {
    {"residual_layer_norm_forward", residual_layer_norm, 1, 2},
    {"layer_norm_backward", layer_norm_backward, 1, 2},
    {"dropout_backward", dropout_backward, 1, 2},
    {"bias_gelu_forward", bias_gelu_forward, 4, 1},
    {"bias_gelu_backward", bias_gelu_backward, 4, 1},
    {"column_sums", column_sums, 1, 5},
    {"attention_forward", attention_forward, 1, 1},
    {"attention_backward", attention_backward, 1, 1},
    {"adamw", adamw, 0, 0},
    {"sum_of_squares", sum_of_squares, 0, 0},
};

static double best_seconds(void (*run)(batch *b), batch *b, double budget_s)
{
    double best = INFINITY, end = rl_now_s() + budget_s;
    do {
        double from = rl_now_s();
        run(b);
        double seconds = rl_now_s() - from;
        best = seconds < best ? seconds : best;
    } while (rl_now_s() < end);
    return best;
}

static bool agrees(const batch *b, const float *first, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(b->out[i] - first[i]) <= 1e-4f + 1e-4f * fabsf(first[i]))) return false;
    return true;
}

static int bench(batch *b, double budget_s, float *first)
{
    const char *const *isas = NULL;
    size_t usable = 0;
    int failed = 0;
    rl_linalg_isas(&isas, &usable);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t i = 0; i < usable; i++) {
            rl_linalg_select_isa(isas[i], NULL);
            residual_layer_norm(b); /* mean, rstd and probs of this set */
            attention_forward(b);
            int64_t elements = cases[c].elements ? cases[c].elements * b->T * b->C : b->num_weights;
            memset(b->out, 0, (size_t)(b->T * b->F) * sizeof *b->out);
            cases[c].run(b);
            if (i == 0) memcpy(first, b->out, (size_t)(b->T * b->F) * sizeof *first);
            bool right = agrees(b, first, b->T * b->F);
            double seconds = best_seconds(cases[c].run, b, budget_s);
            double per_step = seconds * (double)(cases[c].calls ? cases[c].calls * b->L : 1);
            failed |= !right;
            printf("{\"bench\":\"kernels\",\"isa\":\"%s\",\"kernel\":\"%s\",\"T\":%lld,\"C\":%lld,\"us\":%.1f,"
                   "\"ns_per_element\":%.3f,\"ms_per_step\":%.2f,\"right\":%s}\n",
                   rl_isa_name(), cases[c].name, (long long)b->T, (long long)b->C, seconds * 1e6,
                   seconds * 1e9 / (double)elements, per_step * 1e3, right ? "true" : "false");
        }
    return failed;
}

static float *numbers(int64_t n, float scale)
{
    float *x = rl_calloc((size_t)n, sizeof *x, NULL);
    for (int64_t i = 0; x && i < n; i++) x[i] = (float)(i * 7 % 31 - 15) * scale;
    return x;
}

int main(int argc, char **argv)
{
    bool smoke = false;
    batch b = {.C = 384, .D = 32, .L = 6, .n = 20, .B = 8};
    const bench_option table[] = {{"--width", BENCH_COUNT, &b.C, "hidden size, a multiple of --head", 1, 65536},
                                  {"--head", BENCH_COUNT, &b.D, "size of a head", 1, 1024},
                                  {"--layers", BENCH_COUNT, &b.L, "layers", 1, 1000},
                                  {"--length", BENCH_COUNT, &b.n, "tokens a sentence", 1, 65536},
                                  BENCH_SMOKE(&smoke),
                                  {0}};
    int code = bench_options(argc, argv, "the passes between the matrix products, on every instruction set of this processor", table);
    if (code >= 0) return code;
    b.dropout = (rl_dropout){.p = 0.1f, .key = {1, 2}, .step = 3, .stream = 4};
    if (b.C % b.D != 0) return bench_wrong(argv[0], "--width must be a multiple of --head");
    b.T = b.B * b.n;
    b.F = 4 * b.C;
    b.H = b.C / b.D;
    b.num_weights = smoke ? 1000 : b.L * 12 * b.C * b.C + 30522 * b.C; /* blocks and a BERT vocabulary */
    for (int32_t i = 0; i <= b.B; i++) b.start[i] = i * (int32_t)b.n;
    float **arrays[] = {&b.x, &b.other, &b.out, &b.saved, &b.row, &b.row_sums, &b.row_sums2, &b.mean, &b.rstd};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) *arrays[i] = numbers(b.T * b.F, 0.05f);
    float **weights[] = {&b.p, &b.g, &b.m, &b.v};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        *weights[i] = numbers(b.num_weights, i == 3 ? 0.0f : 1e-3f);
    b.probs = numbers(rl_attention_probs_count(b.start, b.B, b.H), 0.0f);
    b.scratch = numbers((int64_t)rl_attention_scratch_count(b.n, b.D), 0.0f);
    float *first = numbers(b.T * b.F, 0.0f);
    int failed = !b.probs || !b.scratch || !first || !b.v || !b.rstd || bench(&b, smoke ? 0.0 : 0.1, first);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rl_free(*arrays[i]);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) rl_free(*weights[i]);
    rl_free(b.probs);
    rl_free(b.scratch);
    rl_free(first);
    return failed;
}
