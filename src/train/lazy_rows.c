/* lazy_rows.c -- AdamW of the word table, row by row when a batch reads it.
 *
 * A step without a gradient still moves a row: by its momentum, and by weight decay. Neither needs to happen before
 * somebody looks. So a row remembers how many updates it has had, and gets the missing ones, in order and at their own
 * learning rates, when its word next occurs: same numbers, one pass over memory instead of hundreds. */
#include "train_internal.h"

rl_status rl_optimizer_make_lazy(rl_optimizer_state *state, int64_t made, int64_t num_steps, int64_t max_tokens,
                                 rl_error *err)
{
    rl_status status = RL_OK;
    rl_lazy_rows rows = {.tensor = -1, .step = made};
    int64_t table = rl_model_word_embeddings(state->model), V = state->model->config.vocab_size;
    for (int64_t i = 0; i < state->model->num_parameters; i++)
        if (state->model->parameters[i].offset == table) rows.tensor = i;
    RL_REQUIRE(rows.tensor >= 0, err);
    RL_ALLOC(rows.updated, V, err);
    RL_ALLOC(rows.last_read, V, err);
    RL_ALLOC(rows.rates, num_steps, err);
    RL_ALLOC(rows.rows, max_tokens, err);
    for (int64_t i = 0; i < V; i++) rows.updated[i] = made, rows.last_read[i] = -1;
    state->words = rows;
    state->lazy = true;
    return RL_OK;
cleanup:
    rl_lazy_rows_clear(&rows);
    return status;
}

void rl_lazy_rows_clear(rl_lazy_rows *rows)
{
    rl_free(rows->updated);
    rl_free(rows->last_read);
    rl_free(rows->rates);
    rl_free(rows->rows);
    *rows = (rl_lazy_rows){0};
}

static int64_t offset_of(const rl_optimizer_state *state, int64_t row)
{
    const rl_parameter *table = &state->model->parameters[state->words.tensor];
    return table->offset + row * table->shape[1];
}

/* The updates that a row has missed. */
static void catch_up(rl_optimizer_state *state, int64_t row)
{
    rl_lazy_rows *words = &state->words;
    int64_t at = offset_of(state, row), C = state->model->config.hidden_size, from = words->updated[row];
    if (from < words->step)
        rl_adamw_idle_steps(state->model->weights + at, state->m + at, state->v + at, C,
                            rl_optimizer_adamw(state->settings, words->step, 0), words->rates + from,
                            words->step - from);
    words->updated[row] = words->step;
}

static void catch_up_piece(void *context, int worker, int64_t i)
{
    rl_optimizer_state *state = context;
    (void)worker;
    catch_up(state, state->words.rows[i]);
}

static void catch_up_row(void *context, int worker, int64_t row)
{
    (void)worker;
    catch_up(context, row);
}

void rl_optimizer_read(rl_optimizer_state *state, rl_batch *batch)
{
    rl_lazy_rows *words = &state->words;
    if (!state->lazy) return;
    words->num_rows = 0;
    for (int64_t t = 0; t < batch->num_tokens; t++) {
        int32_t row = batch->ids[t];
        if (words->last_read[row] == words->step) continue;
        words->last_read[row] = words->step;
        words->rows[words->num_rows++] = row;
    }
    rl_share_out(words->num_rows, catch_up_piece, state);
    batch->rows = words->rows;
    batch->num_rows = words->num_rows;
}

void rl_optimizer_read_all(rl_optimizer_state *state)
{
    if (state->lazy) rl_share_out(state->model->config.vocab_size, catch_up_row, state);
}

double rl_lazy_rows_sum_of_squares(const rl_optimizer_state *state)
{
    double sum = 0;
    for (int64_t i = 0; i < state->words.num_rows; i++)
        sum += rl_sum_of_squares(state->gradients + offset_of(state, state->words.rows[i]),
                                 state->model->config.hidden_size);
    return sum;
}

typedef struct row_update {
    rl_optimizer_state *state;
    rl_adamw settings;
} row_update;

static void update_row(void *context, int worker, int64_t i)
{
    const row_update *u = context;
    rl_optimizer_state *state = u->state;
    int64_t row = state->words.rows[i], at = offset_of(state, row);
    (void)worker;
    rl_adamw_step(state->model->weights + at, state->gradients + at, state->m + at, state->v + at,
                  state->model->config.hidden_size, u->settings);
    state->words.updated[row] = state->words.step;
}

/* One update: at once for the rows just read, noted down for the others. */
void rl_lazy_rows_update(rl_optimizer_state *state, rl_adamw settings)
{
    rl_lazy_rows *words = &state->words;
    row_update update = {state, settings};
    words->rates[words->step++] = rl_adamw_rates_of(settings);
    rl_share_out(words->num_rows, update_row, &update);
}
