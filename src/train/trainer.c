/* trainer.c -- the training loop: epochs of steps, each forward, backward, clip, update, record.
 *
 * Everything a step needs is allocated before the first one. A step is a function of (weights, moments, seed, step
 * number), which is all that a checkpoint holds; so going on from one gives the bits of an undisturbed run. */
#include "train_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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
    rl_shares shares;    /* of a batch that is split (settings->ranks > 1) */
    bool stop, saves;    /* asked to in the step just made; there is a checkpoint, with a group's rank 0 at least */
    rl_training_log log; /* log.num_steps is the number of updates made */
    int64_t *order;      /* [S] of the epoch under way */
    int64_t steps_per_epoch, total_steps, num_steps;
} trainer;

static const rl_train_hooks no_hooks = {0};

static void trainer_clear(trainer *t)
{
    rl_workspace_free(t->workspace);
    rl_shares_clear(&t->shares);
    rl_packed_batch_clear(&t->batch);
    rl_optimizer_clear(&t->optimizer);
    rl_training_log_free(&t->log);
    rl_free(t->order);
}

static rl_status trainer_allocate(trainer *t, const rl_weight_mask *mask, rl_error *err)
{
    rl_status status = RL_OK;
    rl_batch_bounds bounds, share;
    RL_TRY(rl_batch_bounds_of(&bounds, t->data, t->settings->batch_size, err));
    share = rl_share_bounds(bounds, t->settings->ranks);
    RL_TRY(rl_packed_batch_create(&t->batch, bounds, err));
    RL_TRY(rl_workspace_create(&t->workspace, t->model, share.tokens, share.sentences, share.length, share.attention,
                               true, err));
    if (t->settings->precision == RL_PRECISION_BF16) RL_TRY(rl_workspace_use_bf16(t->workspace, t->model, err));
    RL_TRY(rl_optimizer_create(&t->optimizer, t->model, t->settings, mask, err));
    if (t->settings->ranks > 1)
        RL_TRY(rl_shares_create(&t->shares, &t->optimizer, t->settings, t->hooks->group, bounds, err));
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

/* The status that all ranks of the group go on with. */
static rl_status agree(const trainer *t, rl_status status, rl_error *err)
{
    return rl_train_group_agree(t->hooks->group, status, err);
}

static rl_status save(trainer *t, rl_error *err)
{
    rl_status status = t->saves ? rl_shares_collect_moments(&t->shares, err) : RL_OK;
    rl_checkpoint state = checkpoint_of(t);
    if (status == RL_OK && t->checkpoint_path) status = rl_checkpoint_write(&state, t->checkpoint_path, t->fit, err);
    return status;
}

static rl_status tell_set_aside(const trainer *t, rl_error *err)
{
    char *bad = rl_format(err, "%s.bad", t->checkpoint_path);
    rl_status status = bad ? t->hooks->on_set_aside(t->hooks->context, bad, err) : RL_ERR_MEMORY;
    rl_free(bad);
    return status;
}

static rl_status read_checkpoint(trainer *t, rl_error *err)
{
    bool restored = false, there = t->checkpoint_path && rl_path_exists(t->checkpoint_path);
    rl_checkpoint state = checkpoint_of(t);
    if (!t->checkpoint_path) return RL_OK;
    rl_status status = rl_checkpoint_read(&state, &restored, t->checkpoint_path, t->fit, err);
    if (status == RL_OK && there && !restored && t->hooks->on_set_aside) status = tell_set_aside(t, err);
    return status;
}

/* Rank 0's fit on all: a rank that was given another model or other data would spoil the others' sums. */
static rl_status compare_fits(trainer *t, rl_error *err)
{
    struct {
        char fit[RL_DIGEST_HEX];
        bool saves;
    } first = {.saves = t->saves};
    memcpy(first.fit, t->fit, sizeof first.fit);
    rl_status status = rl_shares_broadcast(t->hooks->group, &first, sizeof first, err);
    t->saves = first.saves;
    if (status == RL_OK && strcmp(first.fit, t->fit))
        status = rl_fail(err, RL_ERR_INPUT, "rank %d of the group has another model, other data or settings than its first",
                         (int)t->hooks->group->rank);
    return agree(t, status, err);
}

static rl_status resume(trainer *t, const rl_weight_mask *mask, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_train_group *group = t->hooks->group;
    t->saves = t->checkpoint_path != NULL;
    if (t->saves || group) RL_TRY(rl_checkpoint_fit(t->fit, t->model, t->data, t->settings, t->seed, mask, err));
    if (group) RL_TRY(compare_fits(t, err));
    RL_TRY(agree(t, read_checkpoint(t, err), err));
    RL_TRY(rl_shares_spread(&t->shares, &t->log.num_steps, err));
cleanup:
    return status;
}

static int64_t count_labels(const rl_batch *batch)
{
    int64_t count = 0;
    for (int64_t i = 0; i < batch->num_tokens; i++) count += batch->labels[i] != RL_IGNORE_LABEL;
    return count;
}

static rl_status check_finite(const trainer *t, const rl_step_record *record, rl_error *err)
{
    if (isfinite(record->loss) && isfinite(record->grad_norm)) return RL_OK;
    return rl_fail(err, RL_ERR_DIVERGED,
                   "training diverged at step %lld of %lld (epoch %lld, learning rate %g): loss %g, gradient norm %g%s"
                   "; expected finite numbers",
                   (long long)record->step, (long long)t->num_steps, (long long)record->epoch, record->learning_rate,
                   record->loss, record->grad_norm,
                   count_labels(&t->batch.view) ? "" : ", and the batch has no labelled token");
}

static bool asked_to_stop(const trainer *t) { return t->hooks->should_stop && t->hooks->should_stop(t->hooks->context); }

/* Gradients of the packed batch, their norm and the loss. */
static rl_status make_gradients(trainer *t, int64_t from, rl_model_dropout dropout, rl_step_record *record, rl_error *err)
{
    rl_step_sum sum = {0};
    const rl_split_step step = {t->data, t->order + from, &t->batch.view, count_labels(&t->batch.view), dropout};
    if (t->settings->ranks == 1) {
        rl_model_forward(t->model, t->workspace, &t->batch.view, &dropout);
        record->loss = rl_model_backward(t->model, t->workspace, &t->batch.view, &dropout, t->optimizer.gradients);
        record->grad_norm = rl_optimizer_gradient_norm(&t->optimizer);
        return RL_OK;
    }
    bool stop = t->hooks->group && asked_to_stop(t); /* before the exchange, which tells the others */
    rl_status status = rl_shares_gradients(&t->shares, t->workspace, &step, stop, &sum, err);
    record->loss = sum.loss, record->grad_norm = sum.norm, t->stop = sum.stop;
    return status;
}

static rl_status update(trainer *t, const rl_step_record *record, rl_error *err)
{
    if (t->settings->ranks > 1)
        return rl_shares_update(&t->shares, record->step, record->learning_rate, record->grad_norm, err);
    rl_optimizer_update(&t->optimizer, record->step, record->learning_rate, record->grad_norm);
    return RL_OK;
}

/* Finite, and hopeless all the same: a model that knows nothing has the loss ln L of L equally likely labels, and one whose last hundred
 * steps had ten times that on average has blown up. Single steps may (a pruned model's first, a rare label's); nothing that still learns
 * stays there. A function of the recorded losses alone: a resumed training sees the same. */
static rl_status check_bounded(const trainer *t, rl_error *err)
{
    enum { WINDOW = 100 };
    int64_t n = t->log.num_steps, labels = t->model->config.num_labels;
    double limit = 10 * log(labels > 2 ? (double)labels : 2), sum = 0;
    if (n < WINDOW) return RL_OK;
    for (int64_t i = n - WINDOW; i < n; i++) sum += t->log.steps[i].loss;
    if (sum / WINDOW <= limit) return RL_OK;
    return rl_fail(err, RL_ERR_DIVERGED,
                   "training diverged at step %lld of %lld (epoch %lld, learning rate %g): mean loss %g over the last %d steps; expected at "
                   "most %g, ten times that of a model that knows nothing",
                   (long long)n, (long long)t->num_steps, (long long)t->log.steps[n - 1].epoch, t->log.steps[n - 1].learning_rate,
                   sum / WINDOW, WINDOW, limit);
}

/* One update from sentences order[from .. from + batch_size). Allocates nothing. */
static rl_status train_step(trainer *t, int64_t epoch, rl_error *err)
{
    rl_status status = RL_OK;
    double started = rl_now_s();
    int64_t k = t->log.num_steps, B = t->settings->batch_size, from = (k - epoch * t->steps_per_epoch) * B;
    int64_t left = t->data->num_sentences - from;
    rl_model_dropout dropout = {.seed = t->seed, .step = (uint32_t)k, .override_rate = (float)t->settings->dropout};
    rl_step_record *record = &t->log.steps[k];
    rl_packed_batch_fill(&t->batch, t->data, t->order + from, left < B ? left : B);
    rl_optimizer_read(&t->optimizer, &t->batch.view);
    *record = (rl_step_record){.step = k + 1, .epoch = epoch, .tokens = t->batch.view.num_tokens};
    RL_TRY(make_gradients(t, from, dropout, record, err));
    record->learning_rate = rl_train_learning_rate(t->settings, k, t->total_steps);
    RL_TRY(check_finite(t, record, err));
    RL_TRY(update(t, record, err));
    record->seconds = rl_now_s() - started;
    t->log.num_steps = k + 1;
    if (t->hooks->on_step) t->hooks->on_step(t->hooks->context, record, t->num_steps);
    status = check_bounded(t, err);
cleanup:
    return status;
}

static rl_status look_at_grid(trainer *t, int64_t end, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t step = t->log.num_steps;
    if (t->hooks->grid_steps < 1 || step % t->hooks->grid_steps || step == end) return RL_OK;
    rl_optimizer_read_all(&t->optimizer); /* the hook may look at words that this batch did not have */
    if (t->hooks->on_grid) status = t->hooks->on_grid(t->hooks->context, step, t->model, err);
    return agree(t, status, err);
}

static rl_status stopped(const trainer *t, rl_error *err)
{
    return rl_fail(err, RL_ERR_STOPPED, "stopped on request after step %lld of %lld%s", (long long)t->log.num_steps,
                   (long long)t->num_steps, t->saves ? "" : "; no checkpoint was asked for");
}

/* The hook first: a checkpoint at an epoch's end says that the epoch was reported too. */
static rl_status end_epoch(trainer *t, int64_t epoch, bool whole, rl_error *err)
{
    rl_status status = RL_OK;
    rl_optimizer_read_all(&t->optimizer);
    if (whole && t->hooks->on_epoch) status = t->hooks->on_epoch(t->hooks->context, epoch, t->model, err);
    status = agree(t, status, err);
    return status == RL_OK ? agree(t, save(t, err), err) : status;
}

/* The rest of the epoch under way. A stop in its middle leaves a checkpoint there; at its end, the epoch's own. */
static rl_status run_epoch(trainer *t, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t epoch = t->log.num_steps / t->steps_per_epoch, end = (epoch + 1) * t->steps_per_epoch;
    if (end > t->num_steps) end = t->num_steps;
    t->stop = false;
    RL_TRY(rl_train_order(t->order, t->data->num_sentences, t->settings, t->seed, epoch, err));
    while (t->log.num_steps < end && !t->stop) {
        RL_TRY(train_step(t, epoch, err));
        RL_TRY(look_at_grid(t, end, err));
        if (!t->hooks->group) t->stop = asked_to_stop(t);
    }
    RL_TRY(end_epoch(t, epoch, t->log.num_steps == end, err));
    if (t->stop && t->log.num_steps < t->num_steps) status = stopped(t, err);
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
    RL_TRY(rl_train_check_machine(settings, err));
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
    RL_TRY(agree(&t, trainer_allocate(&t, mask, err), err));
    RL_TRY(resume(&t, mask, err));
    rl_optimizer_apply_mask(&t.optimizer);
    status = rl_optimizer_make_lazy(&t.optimizer, t.log.num_steps, t.num_steps, t.batch.bounds.tokens, err);
    RL_TRY(agree(&t, status, err));
    while (t.log.num_steps < t.num_steps) RL_TRY(run_epoch(&t, err));
    RL_TRY(agree(&t, finish(&t, err), err));
    if (log) {
        rl_training_log_free(log);
        *log = t.log;
        t.log = (rl_training_log){0};
    }
cleanup:
    trainer_clear(&t);
    return status;
}
