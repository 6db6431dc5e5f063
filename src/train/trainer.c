/* trainer.c -- the training loop: epochs of steps, each forward, backward, clip, update, record.
 *
 * Everything a step needs is allocated before the first one. A step is a function of (weights, moments, seed, step
 * number), which is all that a checkpoint holds; so going on from one gives the bits of an undisturbed run. */
#include "train_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

typedef struct trainer {
    rl_model *model; /* borrowed, as data, settings, hooks, checkpoint_path */
    const rl_encoded *data;
    const rl_train_settings *settings;
    const rl_train_hooks *hooks;
    const char *checkpoint_path; /* NULL: none */
    uint64_t seed;
    char fit[RL_DIGEST_HEX];
    rl_workspace *workspace;
    rl_packed_batch batch;
    rl_optimizer_state optimizer;
    rl_training_log log; /* log.num_steps is the number of updates made */
    int64_t *order;      /* [S] of the epoch under way */
    int64_t steps_per_epoch, total_steps, num_steps;
} trainer;

static const rl_train_hooks no_hooks = {0};

static void trainer_clear(trainer *t)
{
    rl_workspace_free(t->workspace);
    rl_packed_batch_clear(&t->batch);
    rl_optimizer_clear(&t->optimizer);
    rl_training_log_free(&t->log);
    rl_free(t->order);
}

static rl_status trainer_allocate(trainer *t, const rl_weight_mask *mask, rl_error *err)
{
    rl_status status = RL_OK;
    rl_batch_bounds bounds;
    RL_TRY(rl_batch_bounds_of(&bounds, t->data, t->settings->batch_size, err));
    RL_TRY(rl_packed_batch_create(&t->batch, bounds, err));
    RL_TRY(rl_workspace_create(&t->workspace, t->model, bounds.tokens, bounds.sentences, bounds.length,
                               bounds.attention, true, err));
    RL_TRY(rl_optimizer_create(&t->optimizer, t->model, t->settings, mask, err));
    RL_TRY(rl_training_log_reserve(&t->log, t->num_steps, err));
    RL_ALLOC(t->order, t->data->num_sentences, err);
cleanup:
    return status;
}

static rl_checkpoint checkpoint_of(trainer *t)
{
    return (rl_checkpoint){.weights = t->model->weights,
                           .m = t->optimizer.m,
                           .v = t->optimizer.v,
                           .num_weights = t->model->num_weights,
                           .step = t->log.num_steps,
                           .log = &t->log};
}

static rl_status save(trainer *t, rl_error *err)
{
    if (!t->checkpoint_path) return RL_OK;
    rl_checkpoint state = checkpoint_of(t);
    return rl_checkpoint_write(&state, t->checkpoint_path, t->fit, err);
}

static rl_status tell_set_aside(const trainer *t, rl_error *err)
{
    char *bad = rl_format(err, "%s.bad", t->checkpoint_path);
    rl_status status = bad ? t->hooks->on_set_aside(t->hooks->context, bad, err) : RL_ERR_MEMORY;
    rl_free(bad);
    return status;
}

static rl_status resume(trainer *t, const rl_weight_mask *mask, rl_error *err)
{
    if (!t->checkpoint_path) return RL_OK;
    bool restored = false, there = rl_path_exists(t->checkpoint_path);
    rl_checkpoint state = checkpoint_of(t);
    rl_status status = rl_checkpoint_fit(t->fit, t->model, t->data, t->settings, t->seed, mask, err);
    if (status == RL_OK) status = rl_checkpoint_read(&state, &restored, t->checkpoint_path, t->fit, err);
    if (status == RL_OK && there && !restored && t->hooks->on_set_aside) status = tell_set_aside(t, err);
    return status;
}

static bool has_label(const rl_batch *batch)
{
    for (int64_t i = 0; i < batch->num_tokens; i++)
        if (batch->labels[i] != RL_IGNORE_LABEL) return true;
    return false;
}

static rl_status check_finite(const trainer *t, const rl_step_record *record, rl_error *err)
{
    if (isfinite(record->loss) && isfinite(record->grad_norm)) return RL_OK;
    return rl_fail(err, RL_ERR_DIVERGED,
                   "training diverged at step %lld of %lld (epoch %lld, learning rate %g): loss %g, gradient norm %g%s"
                   "; expected finite numbers",
                   (long long)record->step, (long long)t->num_steps, (long long)record->epoch, record->learning_rate,
                   record->loss, record->grad_norm,
                   has_label(&t->batch.view) ? "" : ", and the batch has no labelled token");
}

/* One update from sentences order[from .. from + batch_size). Allocates nothing. */
static rl_status train_step(trainer *t, int64_t epoch, rl_error *err)
{
    double started = rl_now_s();
    int64_t k = t->log.num_steps, B = t->settings->batch_size, from = (k - epoch * t->steps_per_epoch) * B;
    int64_t left = t->data->num_sentences - from;
    rl_model_dropout dropout = {.seed = t->seed, .step = (uint32_t)k, .override_rate = (float)t->settings->dropout};
    rl_step_record *record = &t->log.steps[k];
    rl_packed_batch_fill(&t->batch, t->data, t->order + from, left < B ? left : B);
    rl_optimizer_read(&t->optimizer, &t->batch.view);
    rl_model_forward(t->model, t->workspace, &t->batch.view, &dropout);
    *record = (rl_step_record){.step = k + 1, .epoch = epoch, .tokens = t->batch.view.num_tokens};
    record->loss = rl_model_backward(t->model, t->workspace, &t->batch.view, &dropout, t->optimizer.gradients);
    record->grad_norm = rl_optimizer_gradient_norm(&t->optimizer);
    record->learning_rate = rl_train_learning_rate(t->settings, k, t->total_steps);
    rl_status status = check_finite(t, record, err);
    if (status != RL_OK) return status;
    rl_optimizer_update(&t->optimizer, k + 1, record->learning_rate, record->grad_norm);
    record->seconds = rl_now_s() - started;
    t->log.num_steps = k + 1;
    if (t->hooks->on_step) t->hooks->on_step(t->hooks->context, record, t->num_steps);
    return RL_OK;
}

static rl_status look_at_grid(trainer *t, int64_t end, rl_error *err)
{
    int64_t step = t->log.num_steps;
    if (!t->hooks->on_grid || t->hooks->grid_steps < 1 || step % t->hooks->grid_steps || step == end) return RL_OK;
    rl_optimizer_read_all(&t->optimizer); /* the hook may look at words that this batch did not have */
    return t->hooks->on_grid(t->hooks->context, step, t->model, err);
}

static rl_status stopped(const trainer *t, rl_error *err)
{
    return rl_fail(err, RL_ERR_STOPPED, "stopped on request after step %lld of %lld%s", (long long)t->log.num_steps,
                   (long long)t->num_steps, t->checkpoint_path ? "" : "; no checkpoint was asked for");
}

/* The rest of the epoch under way. A stop in its middle leaves a checkpoint there; at its end, the epoch's own. */
static rl_status run_epoch(trainer *t, rl_error *err)
{
    rl_status status = RL_OK;
    bool stop = false;
    int64_t epoch = t->log.num_steps / t->steps_per_epoch, end = (epoch + 1) * t->steps_per_epoch;
    if (end > t->num_steps) end = t->num_steps;
    RL_TRY(rl_train_order(t->order, t->data->num_sentences, t->settings, t->seed, epoch, err));
    while (t->log.num_steps < end && !stop) {
        RL_TRY(train_step(t, epoch, err));
        RL_TRY(look_at_grid(t, end, err));
        stop = t->hooks->should_stop && t->hooks->should_stop(t->hooks->context);
    }
    rl_optimizer_read_all(&t->optimizer);
    /* The hook first: a checkpoint at an epoch's end says that the epoch was reported too. */
    if (t->log.num_steps == end && t->hooks->on_epoch)
        RL_TRY(t->hooks->on_epoch(t->hooks->context, epoch, t->model, err));
    RL_TRY(save(t, err));
    if (stop && t->log.num_steps < t->num_steps) status = stopped(t, err);
cleanup:
    return status;
}

static rl_status finish(trainer *t, rl_error *err)
{
    rl_status status = RL_OK;
    if (t->hooks->on_trained) RL_TRY(t->hooks->on_trained(t->hooks->context, t->model, &t->log, err));
    if (t->checkpoint_path && remove(t->checkpoint_path) != 0 && errno != ENOENT)
        status = rl_fail_errno(err, "%s: cannot remove the checkpoint of a finished training", t->checkpoint_path);
cleanup:
    return status;
}

static rl_status check_inputs(const rl_model *model, const rl_encoded *data, const rl_train_settings *settings,
                              rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_train_check_settings(settings, err));
    RL_TRY(rl_encoded_check(data, model, err));
    RL_REQUIRE(data->labels != NULL, err);
    if (rl_train_total_steps(settings, data->num_sentences) > UINT32_MAX) /* the dropout counter's width */
        status = rl_fail(err, RL_ERR_INPUT, "train.epochs %lld makes %lld steps; expected fewer than 2^32",
                         (long long)settings->epochs,
                         (long long)rl_train_total_steps(settings, data->num_sentences));
cleanup:
    return status;
}

rl_status rl_train(rl_model *model, const rl_encoded *data, const rl_train_settings *settings, uint64_t seed,
                   const rl_weight_mask *mask, const char *checkpoint, const rl_train_hooks *hooks,
                   rl_training_log *log, rl_error *err)
{
    rl_status status = check_inputs(model, data, settings, err);
    if (status != RL_OK) return status;
    trainer t = {.model = model,
                 .data = data,
                 .settings = settings,
                 .hooks = hooks ? hooks : &no_hooks,
                 .checkpoint_path = checkpoint,
                 .seed = seed,
                 .steps_per_epoch = rl_train_steps_per_epoch(settings, data->num_sentences),
                 .total_steps = rl_train_total_steps(settings, data->num_sentences),
                 .num_steps = rl_train_num_steps(settings, data->num_sentences)};
    RL_TRY(trainer_allocate(&t, mask, err));
    RL_TRY(resume(&t, mask, err));
    rl_optimizer_apply_mask(&t.optimizer);
    RL_TRY(rl_optimizer_make_lazy(&t.optimizer, t.log.num_steps, t.num_steps, t.batch.bounds.tokens, err));
    while (t.log.num_steps < t.num_steps) RL_TRY(run_epoch(&t, err));
    RL_TRY(finish(&t, err));
    if (log) {
        rl_training_log_free(log);
        *log = t.log;
        t.log = (rl_training_log){0};
    }
cleanup:
    trainer_clear(&t);
    return status;
}
