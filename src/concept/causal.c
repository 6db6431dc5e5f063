/* causal.c -- do the neurons that a ranking points at carry the concept? Zero them and see what F1 loses, beside as
 * many random ones of the same layers (field-notes C4). */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>

typedef struct causal {
    const rl_model *model;
    const rl_ablation_task *task;
    int64_t N, C, num_layers;
    uint8_t *taken;              /* [N] in the original or the salient set */
    int32_t *salient, *drawn;    /* [count] */
    int32_t *free_units;         /* [C] */
    int64_t *chosen;             /* [C] */
    int64_t *room;               /* [num_layers] salient neurons that a layer may still give */
    int64_t num_salient;
    uint64_t seed;
} causal;

/* The front of the ranking without the neurons that were pruned, of each layer at most half of those that were kept: the
 * other half is what as many random ones are drawn from. Without this, pruning half of the model would leave none to draw. */
static void pick_salient(causal *c, const int32_t *order, int64_t count)
{
    for (int64_t l = 0; l < c->num_layers; l++) {
        int64_t kept = 0;
        for (int64_t n = l * c->C; n < (l + 1) * c->C; n++) kept += !c->taken[n];
        c->room[l] = kept / 2;
    }
    for (int64_t i = 0; i < c->N && c->num_salient < count; i++)
        if (!c->taken[order[i]] && c->room[order[i] / c->C]-- > 0) c->salient[c->num_salient++] = order[i];
    for (int64_t i = 0; i < c->num_salient; i++) c->taken[c->salient[i]] = 1;
}

/* As many of each layer as the salient set has, of those in neither set. */
static rl_status draw_matched(causal *c, int64_t draw, int64_t *num_drawn, rl_error *err)
{
    rl_status status = RL_OK;
    *num_drawn = 0;
    for (int64_t l = 0; l < c->num_layers; l++) {
        int64_t wanted = 0, available = 0;
        for (int64_t i = 0; i < c->num_salient; i++) wanted += c->salient[i] / c->C == l;
        for (int64_t n = l * c->C; n < (l + 1) * c->C; n++)
            if (!c->taken[n]) c->free_units[available++] = (int32_t)n;
        if (wanted == 0) continue;
        RL_TRY(rl_rng_choose(c->seed, RL_PURPOSE_CAUSAL, (uint32_t)draw, (uint32_t)l, available, wanted, c->chosen, err));
        for (int64_t i = 0; i < wanted; i++) c->drawn[(*num_drawn)++] = c->free_units[c->chosen[i]];
    }
cleanup:
    return status;
}

static rl_status drop_of(rl_causal_drop *drop, const causal *c, const rl_concept_f1 *intact, const int32_t *ids,
                         int64_t count, rl_error *err)
{
    rl_concept_f1 f1;
    rl_status status = rl_zeroed_f1(&f1, c->model, c->task, ids, count, err);
    if (status != RL_OK) return status;
    *drop = (rl_causal_drop){count, intact->concept_f1 - f1.concept_f1, intact->other_f1 - f1.other_f1, NAN, NAN};
    return RL_OK;
}

static double sd_of(double sum, double squares, int64_t n)
{
    return n > 1 ? sqrt(fmax(squares - sum * sum / (double)n, 0) / (double)(n - 1)) : NAN;
}

static rl_status random_drops(rl_causal_drop *out, causal *c, const rl_concept_f1 *intact, int64_t draws, rl_error *err)
{
    rl_status status = RL_OK;
    double sum[2] = {0, 0}, squares[2] = {0, 0}, n = (double)draws;
    rl_causal_drop one = {0};
    int64_t count = 0;
    for (int64_t d = 0; d < draws; d++) {
        RL_TRY(draw_matched(c, d, &count, err));
        RL_TRY(drop_of(&one, c, intact, c->drawn, count, err));
        sum[0] += one.concept_drop, squares[0] += one.concept_drop * one.concept_drop;
        sum[1] += one.other_drop, squares[1] += one.other_drop * one.other_drop;
    }
    *out = (rl_causal_drop){count, sum[0] / n, sum[1] / n, sd_of(sum[0], squares[0], draws), sd_of(sum[1], squares[1], draws)};
cleanup:
    return status;
}

static rl_status prepare(causal *c, const int32_t *original, int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    c->C = c->model->config.hidden_size;
    c->num_layers = c->model->config.num_layers + 1;
    c->N = c->num_layers * c->C;
    RL_ALLOC(c->taken, c->N, err);
    RL_ALLOC(c->salient, count, err);
    RL_ALLOC(c->drawn, count, err);
    RL_ALLOC(c->free_units, c->C, err);
    RL_ALLOC(c->chosen, c->C, err);
    RL_ALLOC(c->room, c->num_layers, err);
    for (int64_t i = 0; i < count; i++) {
        if (original[i] < 0 || original[i] >= c->N)
            return rl_fail(err, RL_ERR_INPUT, "neuron %" PRId32 " does not exist; expected 0 to %" PRId64, original[i],
                           c->N - 1);
        c->taken[original[i]] = 1;
    }
cleanup:
    return status;
}

rl_status rl_causal_check_run(rl_causal_check *out, const rl_model *model, const rl_ablation_task *task,
                              const int32_t *original, int64_t count, const int32_t *order, int64_t draws, uint64_t seed,
                              rl_error *err)
{
    rl_status status = RL_OK;
    causal c = {.model = model, .task = task, .seed = seed};
    rl_causal_check check = {0};
    RL_TRY(prepare(&c, original, count, err));
    pick_salient(&c, order, count);
    RL_TRY(rl_zeroed_f1(&check.intact, model, task, NULL, 0, err));
    RL_TRY(drop_of(&check.original, &c, &check.intact, original, count, err));
    RL_TRY(drop_of(&check.salient, &c, &check.intact, c.salient, c.num_salient, err));
    RL_TRY(random_drops(&check.random, &c, &check.intact, draws, err));
    *out = check;
cleanup:
    rl_free(c.taken);
    rl_free(c.salient);
    rl_free(c.drawn);
    rl_free(c.free_units);
    rl_free(c.chosen);
    rl_free(c.room);
    return status;
}
