/* workspace.c -- every activation of a batch in one arena, sized once.
 *
 * Training keeps per layer what the backward pass reads: 8 C + 2 F floats a token (F = 4C: 16 C) and the attention
 * probabilities. Values that cost one pass to make again (dropout masks, dropped copies) are not kept. In eval all
 * layers share one set, and inside it buffers whose lives don't meet share memory; attention probabilities are not kept. */
#include "model_internal.h"

#include <string.h>

typedef struct span {
    const char *name;
    float **where;
    int64_t count;
} span;

typedef struct span_table {
    span *spans;
    size_t count, capacity;
} span_table;

#define BLOCK_SPANS 12
#define OTHER_SPANS 16

static void add(span_table *table, const char *name, float **where, int64_t count)
{
    if (table->count < table->capacity) table->spans[table->count++] = (span){name, where, count};
}

/* The arrays of one training block, as rl_block_buffers lists them. */
static void add_block(span_table *table, rl_block_buffers *block, const rl_model_config *config, int64_t T,
                      int64_t attention)
{
    int64_t C = config->hidden_size, F = config->intermediate_size;
    add(table, "qkv", &block->qkv, 3 * T * C);
    add(table, "probs", &block->probs, config->num_heads * attention);
    add(table, "context", &block->context, T * C);
    add(table, "sum1", &block->sum1, T * C);
    add(table, "mean1", &block->mean1, T);
    add(table, "rstd1", &block->rstd1, T);
    add(table, "middle", &block->middle, T * C);
    add(table, "pre", &block->pre, T * F);
    add(table, "gelu", &block->gelu, T * F);
    add(table, "sum2", &block->sum2, T * C);
    add(table, "mean2", &block->mean2, T);
    add(table, "rstd2", &block->rstd2, T);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void describe_training(span_table *table, rl_workspace *w, const rl_model_config *config)
{
    int64_t T = w->max_tokens, C = config->hidden_size, F = config->intermediate_size, L = config->num_layers;
    add(table, "outer_sum", &w->outer_sum, T * C);
    add(table, "outer_mean", &w->outer_mean, T);
    add(table, "outer_rstd", &w->outer_rstd, T);
    for (int64_t layer = 0; layer <= L; layer++) add(table, "hidden", &w->hidden[layer], T * C);
    for (int64_t layer = 0; layer < L; layer++) add_block(table, &w->block[layer], config, T, w->max_attention);
    add(table, "head_input", &w->head_input, T * C);
    add(table, "dlogits", &w->dlogits, T * config->num_labels);
    add(table, "dhidden", &w->dhidden, T * C);
    add(table, "wide", &w->wide, T * larger(F, 4 * C));
}

static void describe_eval(span_table *table, rl_workspace *w, const rl_model_config *config)
{
    int64_t T = w->max_tokens, C = config->hidden_size, F = config->intermediate_size;
    rl_block_buffers *block = &w->block[0];
    add(table, "hidden", &w->hidden[0], T * C);
    add(table, "qkv | pre", &block->qkv, T * larger(3 * C, F));
    add(table, "context | middle", &block->context, T * C);
    add(table, "sum", &block->sum1, T * C);
    add(table, "mean", &block->mean1, T);
    add(table, "rstd", &block->rstd1, T);
    add(table, "gelu", &block->gelu, T * F);
}

/* The eval aliases; each pair's lives don't meet (see rl_block_forward's order). */
static void share_eval(rl_workspace *w, int64_t L, bool norm_first)
{
    rl_block_buffers *block = &w->block[0];
    block->pre = block->qkv;
    block->middle = block->context;
    block->sum2 = norm_first ? block->context : block->sum1;
    block->mean2 = block->mean1;
    block->rstd2 = block->rstd1;
    w->outer_sum = norm_first ? block->context : block->sum1;
    w->outer_mean = block->mean1;
    w->outer_rstd = block->rstd1;
    for (int64_t layer = 1; layer < L; layer++) w->block[layer] = *block;
    for (int64_t layer = 1; layer <= L; layer++) w->hidden[layer] = w->hidden[0];
    w->head_input = w->hidden[0];
}

static rl_status take_all(rl_workspace *w, const span_table *table, rl_error *err)
{
    rl_status status = RL_OK;
    size_t bytes = 0;
    for (size_t i = 0; i < table->count; i++) {
        size_t span_bytes = rl_arena_span((size_t)table->spans[i].count, sizeof(float));
        if ((uint64_t)table->spans[i].count > SIZE_MAX / 8 || bytes + span_bytes < bytes)
            return rl_fail(err, RL_ERR_MEMORY, "out of memory: %s needs %lld floats", table->spans[i].name,
                           (long long)table->spans[i].count);
        bytes += span_bytes;
    }
    RL_TRY(rl_arena_create(&w->arena, "activations", bytes, err));
    for (size_t i = 0; i < table->count; i++) {
        float *memory = rl_arena_take(w->arena, (size_t)table->spans[i].count, sizeof(float));
        RL_REQUIRE(memory != NULL, err);
        *table->spans[i].where = memory;
    }
cleanup:
    return status;
}

static rl_status fill_workspace(rl_workspace *w, const rl_model_config *config, rl_error *err)
{
    rl_status status = RL_OK;
    span_table table = {0};
    int64_t L = config->num_layers;
    RL_ALLOC(w->hidden, L + 1, err);
    RL_ALLOC(w->block, L, err);
    table.capacity = (size_t)(BLOCK_SPANS * L + L + 1 + OTHER_SPANS);
    RL_ALLOC(table.spans, table.capacity, err);
    add(&table, "logits", &w->logits, w->max_tokens * config->num_labels);
    add(&table, "attention scratch", &w->attention_scratch,
        (int64_t)rl_attention_scratch_count(w->max_length, config->hidden_size / config->num_heads));
    if (w->training)
        describe_training(&table, w, config);
    else
        describe_eval(&table, w, config);
    RL_REQUIRE(table.count < table.capacity, err);
    RL_TRY(take_all(w, &table, err));
    if (!w->training) share_eval(w, L, config->architecture->norm_first);
cleanup:
    rl_free(table.spans);
    return status;
}

rl_status rl_workspace_create(rl_workspace **out, const rl_model *model, int64_t max_tokens, int64_t max_sentences,
                              int64_t max_length, int64_t max_attention, bool training, rl_error *err)
{
    rl_status status = RL_OK;
    rl_workspace *w = NULL;
    RL_REQUIRE(max_tokens > 0 && max_sentences > 0 && max_length > 0 && max_length <= max_tokens, err);
    RL_REQUIRE(max_tokens <= INT32_MAX && (!training || max_attention > 0), err);
    RL_ALLOC(w, 1, err);
    w->training = training;
    w->max_tokens = max_tokens;
    w->max_sentences = max_sentences;
    w->max_length = max_length;
    w->max_attention = max_attention;
    RL_TRY(fill_workspace(w, &model->config, err));
    *out = w;
    w = NULL;
cleanup:
    rl_workspace_free(w);
    return status;
}

rl_status rl_workspace_use_bf16(rl_workspace *workspace, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t C = model->config.hidden_size, F = model->config.intermediate_size, widest = F > 3 * C ? F : 3 * C;
    RL_REQUIRE(workspace->training && !workspace->bf16, err);
    RL_TRY(rl_bf16_create(&workspace->bf16, workspace->max_tokens, widest, err));
cleanup:
    return status;
}

size_t rl_workspace_bytes(const rl_workspace *workspace) { return rl_arena_bytes(workspace->arena); }

void rl_workspace_free(rl_workspace *workspace)
{
    if (!workspace) return;
    rl_bf16_free(workspace->bf16);
    rl_arena_free(workspace->arena);
    rl_free(workspace->hidden);
    rl_free(workspace->block);
    rl_free(workspace);
}

void rl_workspace_watch(rl_workspace *workspace, rl_unit_site site, float *copy)
{
    workspace->watched = site;
    workspace->copy = copy;
}
