/* execute.c -- the five stages, each a pure function of its inputs, worked on aside and published whole. */
#include "cycle_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const checkpoint_name = "checkpoint", *const epochs_name = "epochs.json", *const curve_name = "curve.json";

bool rl_stage_is_complete(const char *directory, const char *key)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/stages/%s/stage.json", directory, key);
    return length > 0 && (size_t)length < sizeof path && rl_path_exists(path);
}

/* ---------------------------------------------------------------------------------------------- training */

typedef struct training {
    rl_cycle *cycle;
    const rl_stage *stage;
    const rl_inputs *inputs;
    const char *work; /* folder */
    double start_s;
    int64_t steps_per_epoch, num_steps;
    rl_epoch_scores epochs;
    rl_evaluation last; /* at the end of the last epoch */
    json_t *curve;
} training;

static void report_step(void *context, const rl_step_record *record, int64_t total_steps)
{
    training *job = context;
    if (job->cycle->hooks.on_step) job->cycle->hooks.on_step(job->cycle->hooks.context, job->stage, record, total_steps);
}

/* After each epoch the validation F1, as HF Trainer's evaluation_strategy="epoch"; on disk before the epoch's checkpoint. */
static rl_status evaluate_epoch(void *context, int64_t epoch, const rl_model *model, rl_error *err)
{
    training *job = context;
    rl_evaluation evaluation = {0};
    int64_t end = (epoch + 1) * job->steps_per_epoch, step = end < job->num_steps ? end : job->num_steps;
    rl_status status = rl_evaluate(&evaluation, model, job->inputs->validation, job->inputs->validation_encoded, err);
    if (status == RL_OK) status = rl_curve_add(job->curve, step, &evaluation, err);
    if (status == RL_OK) status = rl_curve_write(job->curve, job->work, err);
    if (status == RL_OK) status = rl_epoch_scores_set(&job->epochs, epoch, &evaluation, err);
    if (status == RL_OK) status = rl_epoch_scores_write(&job->epochs, job->work, err);
    if (status == RL_OK && job->cycle->hooks.on_f1)
        job->cycle->hooks.on_f1(job->cycle->hooks.context, job->stage, evaluation.word->overall.f1);
    if (status == RL_OK && step == job->num_steps) {
        job->last = evaluation;
        return RL_OK;
    }
    rl_evaluation_clear(&evaluation);
    return status;
}

/* Between epochs: a point of the curve. On disk at once, as an epoch's: a stop leaves what was seen. */
static rl_status evaluate_grid(void *context, int64_t step, const rl_model *model, rl_error *err)
{
    training *job = context;
    rl_evaluation evaluation = {0};
    rl_status status = rl_evaluate(&evaluation, model, job->inputs->validation, job->inputs->validation_encoded, err);
    if (status == RL_OK) status = rl_curve_add(job->curve, step, &evaluation, err);
    if (status == RL_OK) status = rl_curve_write(job->curve, job->work, err);
    rl_evaluation_clear(&evaluation);
    return status;
}

/* evaluation.json. Resumed behind the last epoch it is measured again: what a kill left of it has no checksum. */
static rl_status save_evaluation(training *job, const rl_model *model, rl_error *err)
{
    rl_status status = RL_OK;
    if (job->num_steps == 0) return RL_OK;
    if (!job->last.word) status = rl_evaluate(&job->last, model, job->inputs->validation, job->inputs->validation_encoded, err);
    return status == RL_OK ? rl_stage_write_evaluation(job->work, &job->last, NULL, err) : status;
}

/* Everything of the stage is on disk before its checkpoint goes: a kill in between costs nothing. */
static rl_status save_trained(void *context, const rl_model *model, const rl_training_log *log, rl_error *err)
{
    training *job = context;
    char *log_path = rl_path_join(job->work, "training.jsonl", err);
    rl_status status = log_path ? rl_training_log_write(log, log_path, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_epoch_scores_write(&job->epochs, job->work, err); /* no epoch leaves an empty list */
    if (status == RL_OK) status = rl_curve_write(job->curve, job->work, err);
    if (status == RL_OK) status = save_evaluation(job, model, err);
    if (status == RL_OK) status = rl_model_save(model, job->work, job->stage->settings->model, err);
    if (status == RL_OK) status = rl_stage_write_record(job->work, job->stage, rl_now_s() - job->start_s, err);
    rl_free(log_path);
    return status;
}

static bool asked_to_stop(void *context)
{
    training *job = context;
    return job->cycle->hooks.should_stop && job->cycle->hooks.should_stop(job->cycle->hooks.context);
}

static rl_status checkpoint_set_aside(void *context, const char *bad_path, rl_error *err)
{
    training *job = context;
    char *why = rl_format(err, "%s/%s: the checkpoint is damaged or of another training", job->work, checkpoint_name);
    rl_epoch_scores_free(&job->epochs); /* they are made again with their epochs */
    rl_status status = why ? rl_stage_set_aside(job->cycle, job->stage, bad_path, why, "the stage is trained from its start", err)
                           : RL_ERR_MEMORY;
    rl_free(why);
    return status;
}

static rl_status read_scores(training *job, rl_error *err)
{
    rl_status status = rl_epoch_scores_read(&job->epochs, job->work, err);
    json_t *curve = status == RL_OK ? rl_curve_read(job->work, err) : NULL;
    if (status == RL_OK && !curve) status = err->status;
    json_decref(job->curve);
    job->curve = curve ? curve : json_array();
    if (status != RL_OK) rl_epoch_scores_free(&job->epochs);
    return status;
}

static bool has_file(const training *job, const char *name)
{
    char *path = rl_path_join(job->work, name, NULL);
    bool there = path && rl_path_exists(path);
    rl_free(path);
    return there;
}

/* Scores and checkpoint are of use together only: all go, for one reason. */
static rl_status start_over(training *job, const char *why, rl_error *err)
{
    const char *const names[] = {epochs_name, curve_name, checkpoint_name};
    rl_status status = RL_OK;
    const char *reason = why;
    for (size_t i = 0; status == RL_OK && i < sizeof names / sizeof *names; i++) {
        char *path = rl_path_join(job->work, names[i], err);
        if (!path) return RL_ERR_MEMORY;
        if (rl_path_exists(path)) {
            status = rl_stage_set_aside(job->cycle, job->stage, path, reason, "the stage is trained from its start", err);
            reason = NULL;
        }
        rl_free(path);
    }
    rl_epoch_scores_free(&job->epochs);
    json_array_clear(job->curve);
    return status;
}

/* The scores seen before the checkpoint. Their files are there from the start, so that one that is missing later is noticed. */
static rl_status restore_scores(training *job, rl_error *err)
{
    rl_error why = {0};
    rl_status status = read_scores(job, &why);
    bool there = has_file(job, epochs_name) && has_file(job, curve_name);
    if (status == RL_OK && !there && has_file(job, checkpoint_name))
        status = rl_fail(&why, RL_ERR_INPUT, "%s: %s or %s is missing beside a checkpoint", job->work, epochs_name, curve_name);
    if (status == RL_ERR_INPUT) {
        status = start_over(job, why.message, err);
        there = false;
    } else if (status != RL_OK && err) {
        *err = why;
    }
    if (status == RL_OK && !there) status = rl_epoch_scores_write(&job->epochs, job->work, err);
    if (status == RL_OK && !there) status = rl_curve_write(job->curve, job->work, err);
    return status;
}

/* The ranks that train this stage together, or NULL: this process makes all its shares. */
static const rl_train_group *summon(rl_cycle *cycle, const rl_stage *stage)
{
    int64_t count = stage->settings->train.ranks;
    if (count < 2 || count > cycle->group.ranks.size) return NULL;
    cycle->under_way = cycle->group.ranks;
    cycle->under_way.size = (int32_t)count;
    if (cycle->under_way.rank == 0) cycle->group.summon(cycle->group.context, stage, (int32_t)count);
    return &cycle->under_way;
}

/* Hooks of a group's first rank, or of a process alone; the others only hear of a stop and know when the first one looks. */
static rl_train_hooks hooks_of(training *job, const rl_train_group *group)
{
    rl_train_hooks hooks = {.context = job,
                            .should_stop = asked_to_stop,
                            .grid_steps = job->stage->kind == RL_STAGE_RETRAIN ? job->stage->settings->evaluate_every : 0,
                            .group = group};
    if (!job->work) return hooks;
    hooks.on_step = report_step;
    hooks.on_epoch = evaluate_epoch;
    hooks.on_grid = evaluate_grid;
    hooks.on_trained = save_trained;
    hooks.on_set_aside = checkpoint_set_aside;
    return hooks;
}

/* Train `model` in work: checkpoint there meanwhile, model folder, training.jsonl, epochs.json and stage.json when done. work
 * NULL: another rank of the group does all that. */
static rl_status train_model(rl_cycle *cycle, const rl_stage *stage, const rl_inputs *in, rl_model *model,
                             const rl_train_settings *settings, const rl_weight_mask *mask, const char *work,
                             const rl_train_group *group, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t sentences = in->train_encoded->num_sentences;
    training job = {.cycle = cycle,
                    .stage = stage,
                    .inputs = in,
                    .work = work,
                    .start_s = rl_now_s(),
                    .steps_per_epoch = (sentences + settings->batch_size - 1) / settings->batch_size,
                    .num_steps = rl_train_num_steps(settings, sentences)};
    const rl_train_hooks hooks = hooks_of(&job, group);
    char *checkpoint = work ? rl_path_join(work, checkpoint_name, err) : NULL;
    if (work) status = checkpoint ? restore_scores(&job, err) : RL_ERR_MEMORY;
    RL_TRY(rl_train_group_agree(group, status, err));
    RL_TRY(rl_train(model, in->train_encoded, settings, rl_cycle_training_seed(stage->settings, stage->round), mask,
                    checkpoint, &hooks, NULL, err));
cleanup:
    rl_epoch_scores_free(&job.epochs);
    rl_evaluation_clear(&job.last);
    json_decref(job.curve);
    rl_free(checkpoint);
    return status;
}

static rl_status load_initial(rl_model **out, const rl_cycle *cycle, const rl_run_settings *settings, const rl_names *labels, rl_error *err)
{
    rl_status status = RL_OK;
    rl_model *model = NULL;
    RL_TRY(rl_model_load(&model, settings->model, labels, (uint64_t)settings->seed, err));
    RL_TRY(rl_cycle_check_unchanged(cycle, &settings->model, 1, err));
    *out = model;
    model = NULL;
cleanup:
    rl_model_free(model);
    return status;
}

rl_status rl_stage_load_model(rl_model **out, rl_cycle *cycle, const rl_stage *stage, const rl_names *labels, rl_error *err)
{
    const rl_run_settings *settings = stage->settings;
    if (stage->model_key[0] == '\0') return load_initial(out, cycle, settings, labels, err);
    char *folder = rl_stage_folder(cycle, stage->model_key, "", err);
    rl_status status = folder ? rl_stage_check(folder, true, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_model_load(out, folder, NULL, 0, err);
    rl_free(folder);
    return status;
}

static rl_status finetune(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_inputs *in = NULL;
    rl_model *model = NULL;
    const rl_train_group *group = summon(cycle, stage);
    status = stage->settings->arm == RL_ARM_NEVER_LEARNED ? rl_cycle_inputs_without(&in, cycle, stage->settings, err)
                                                          : rl_cycle_inputs(&in, cycle, stage->settings, err);
    if (status == RL_OK) status = rl_stage_load_model(&model, cycle, stage, in->train->labels, err);
    RL_TRY(rl_train_group_agree(group, status, err));
    RL_TRY(train_model(cycle, stage, in, model, &stage->settings->train, NULL, work, group, err));
cleanup:
    rl_model_free(model);
    return status;
}

static rl_status retrain(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run_settings *settings = stage->settings;
    const rl_inputs *in = NULL;
    rl_model *model = NULL;
    rl_weight_mask mask = {0};
    bool masked = settings->prune.permanent && settings->prune_site == RL_SITE_LAYER_NORM;
    const rl_train_group *group = summon(cycle, stage);
    rl_train_settings train = settings->train;
    train.epochs = settings->retrain_epochs;
    status = rl_cycle_inputs(&in, cycle, settings, err);
    if (status == RL_OK) status = rl_stage_load_model(&model, cycle, stage, in->train->labels, err);
    if (status == RL_OK && masked) status = rl_stage_read_mask(&mask, cycle, stage, model, err);
    RL_TRY(rl_train_group_agree(group, status, err));
    RL_TRY(train_model(cycle, stage, in, model, &train, masked ? &mask : NULL, work, group, err));
cleanup:
    rl_model_free(model);
    rl_free((int64_t *)mask.offsets);
    return status;
}

/* ------------------------------------------------------------------------------------------------- analyse */

rl_status rl_stage_read_table(rl_neuron_table **out, rl_cycle *cycle, const char *key, rl_error *err)
{
    char *folder = rl_stage_folder(cycle, key, "", err), *table = folder ? rl_path_join(folder, "neurons.bin", err) : NULL;
    rl_status status = table ? rl_stage_check(folder, true, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_neuron_table_read(out, table, err);
    rl_free(folder);
    rl_free(table);
    return status;
}

static rl_status evaluate_stage(const rl_inputs *in, const rl_model *model, const char *work, double *f1, rl_error *err)
{
    rl_status status = RL_OK;
    rl_evaluation validation = {0}, test = {0};
    RL_TRY(rl_evaluate(&validation, model, in->validation, in->validation_encoded, err));
    if (in->test) RL_TRY(rl_evaluate(&test, model, in->test, in->test_encoded, err));
    RL_TRY(rl_stage_write_evaluation(work, &validation, in->test ? &test : NULL, err));
    *f1 = validation.word->overall.f1;
cleanup:
    rl_evaluation_clear(&validation);
    rl_evaluation_clear(&test);
    return status;
}

/* Its training stage has seen a model's validation sentences at the end of its last epoch. */
static rl_status evaluate_test_alone(const rl_inputs *in, const rl_model *model, const char *work, const char *trained, double *f1,
                                     rl_error *err)
{
    rl_status status = RL_OK;
    rl_evaluation test = {0};
    if (in->test) RL_TRY(rl_evaluate(&test, model, in->test, in->test_encoded, err));
    RL_TRY(rl_stage_copy_evaluation(work, trained, in->test ? &test : NULL, f1, err));
cleanup:
    rl_evaluation_clear(&test);
    return status;
}

static bool has_evaluation(const char *folder)
{
    char *path = rl_path_join(folder, "evaluation.json", NULL);
    bool there = path && rl_path_exists(path);
    rl_free(path);
    return there;
}

/* What is known of a model is not measured again: another concept's analysis takes all of the run's own, an analysis takes the
 * validation scores that training wrote (pruned models have none). */
static rl_status evaluate_or_copy(rl_cycle *cycle, const rl_stage *stage, const rl_inputs *in, const rl_model *model,
                                  const char *work, double *f1, rl_error *err)
{
    rl_status status = RL_OK;
    bool twin = stage->twin_key[0] && rl_stage_is_complete(cycle->directory, stage->twin_key);
    char *folder = rl_stage_folder(cycle, twin ? stage->twin_key : stage->model_key, "", err);
    double known = NAN;
    if (!folder) return RL_ERR_MEMORY;
    RL_TRY(rl_stage_check(folder, false, err));
    if (twin)
        RL_TRY(rl_stage_copy_evaluation(work, folder, NULL, &known, err));
    else if (has_evaluation(folder))
        RL_TRY(evaluate_test_alone(in, model, work, folder, f1, err));
    else
        RL_TRY(evaluate_stage(in, model, work, f1, err));
cleanup:
    rl_free(folder);
    return status;
}

rl_ablation_task rl_stage_ablation_task(const rl_inputs *in, const rl_concept_settings *concept)
{
    return (rl_ablation_task){.corpus = in->validation,
                              .data = in->validation_encoded,
                              .types = concept->types,
                              .num_types = (size_t)concept->num_types};
}

/* The cheap finders rank the base model in the same pass, so that their agreement with the chosen one is known. A Gaussian
 * needs two words of each class. */
static uint32_t compared_finders(const rl_stage *stage, const rl_concept_data *data)
{
    int64_t positive = 0, W = data->corpus->num_words;
    for (int64_t w = 0; w < W; w++) positive += data->word_class[w] == data->positive_class;
    bool two = positive > 1 && W - positive > 1;
    uint32_t cheap = 1u << RL_RANK_PROBELESS | 1u << RL_RANK_AVERAGE_PRECISION | 1u << RL_RANK_IOU | 1u << RL_RANK_MEAN_SELECT;
    return stage->kind == RL_STAGE_IDENTIFY ? cheap | (two ? 1u << RL_RANK_GAUSSIAN : 0) : 0;
}

/* CKA of every hidden state to the base model's, at words of the concept corpus: layers.json. The same words for all stages.
 * The base model's own are kept for the stages that come after it. */
static rl_status compare_with_base(rl_cycle *cycle, const rl_stage *stage, rl_word_states **states,
                                   const rl_concept_inputs *concept, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_word_states *base = NULL;
    double *cka = NULL;
    if (!stage->base_key[0]) {
        rl_word_states *own = *states;
        *states = NULL;
        return rl_cycle_keep_states(cycle, stage->model_key, stage, concept, own, err);
    }
    RL_TRY(rl_cycle_base_states(&base, cycle, stage, concept, err));
    RL_ALLOC(cka, (*states)->num_states, err);
    RL_TRY(rl_cka_by_layer(cka, *states, base, err));
    RL_TRY(rl_stage_write_cka(work, cka, (*states)->num_states, err));
cleanup:
    rl_free(cka);
    return status;
}

/* identify and analyse: the same measurements, of the base model and of what became of it. */
static rl_status analyse(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_run_settings *run = stage->settings;
    const rl_inputs *in = NULL;
    const rl_concept_inputs *concept = NULL;
    rl_model *model = NULL;
    rl_neuron_table *table = NULL, *base = NULL;
    rl_word_states *states = NULL;
    char *path = rl_path_join(work, "neurons.bin", err);
    double f1 = NAN;
    if (!path) return RL_ERR_MEMORY;
    RL_TRY(rl_cycle_inputs(&in, cycle, run, err));
    RL_TRY(rl_stage_load_model(&model, cycle, stage, NULL, err));
    RL_TRY(evaluate_or_copy(cycle, stage, in, model, work, &f1, err));
    RL_TRY(rl_cycle_concept(&concept, cycle, run, rl_stage_concept(stage), err));
    if (stage->ranking_key[0]) RL_TRY(rl_stage_read_table(&base, cycle, stage->ranking_key, err));
    RL_TRY(rl_cycle_make_states(&states, stage, &model->config, concept->data, err));
    const rl_ablation_task task = rl_stage_ablation_task(in, rl_stage_concept(stage));
    const rl_analysis_settings settings = {.protocol = run->protocol,
                                           .top_words = run->top_words,
                                           .method = run->rank_method,
                                           .seed = (uint64_t)run->seed,
                                           .lambda1 = run->lambda1,
                                           .lambda2 = run->lambda2,
                                           .compare = compared_finders(stage, concept->data),
                                           .ablation = &task,
                                           .states = states};
    RL_TRY(rl_analyse_neurons(&table, model, concept->data, &settings, base, concept->vectors, concept->vector_size, err));
    RL_TRY(rl_neuron_table_write(table, path, err));
    if (states) RL_TRY(compare_with_base(cycle, stage, &states, concept, work, err));
    if (cycle->hooks.on_f1 && !isnan(f1)) cycle->hooks.on_f1(cycle->hooks.context, stage, f1);
cleanup:
    rl_neuron_table_free(table);
    rl_neuron_table_free(base);
    rl_word_states_free(states);
    rl_model_free(model);
    rl_free(path);
    return status;
}

static rl_status check_cause(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_status status = RL_OK;
    const rl_inputs *in = NULL;
    rl_model *model = NULL;
    rl_neuron_table *last = NULL;
    rl_causal_check check;
    int32_t *pruned = NULL, *order = NULL;
    int64_t count = 0;
    char *prune_folder = rl_stage_folder(cycle, stage->prune_key, "", err);
    if (!prune_folder) return RL_ERR_MEMORY;
    RL_TRY(rl_cycle_inputs(&in, cycle, stage->settings, err));
    RL_TRY(rl_stage_load_model(&model, cycle, stage, NULL, err));
    RL_TRY(rl_stage_check(prune_folder, false, err));
    RL_TRY(rl_stage_read_pruned(&pruned, &count, prune_folder, err));
    RL_TRY(rl_stage_read_table(&last, cycle, stage->last_key, err));
    RL_ALLOC(order, last->num_neurons, err);
    for (int32_t i = 0; i < (int32_t)last->num_neurons; i++) order[last->rank[i]] = i;
    const rl_ablation_task task = rl_stage_ablation_task(in, &stage->settings->concept);
    RL_TRY(rl_causal_check_run(&check, model, &task, pruned, count, order, RL_CAUSAL_DRAWS, (uint64_t)stage->settings->seed, err));
    RL_TRY(rl_stage_write_causal(work, &check, err));
cleanup:
    rl_model_free(model);
    rl_neuron_table_free(last);
    rl_free(pruned);
    rl_free(order);
    rl_free(prune_folder);
    return status;
}

static rl_status work_on(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    switch (stage->kind) {
    case RL_STAGE_FINETUNE: return finetune(cycle, stage, work, err);
    case RL_STAGE_PRUNE: return rl_stage_prune(cycle, stage, work, err);
    case RL_STAGE_RETRAIN: return retrain(cycle, stage, work, err);
    case RL_STAGE_IDENTIFY:
    case RL_STAGE_ANALYSE: return analyse(cycle, stage, work, err);
    case RL_STAGE_CAUSAL: return check_cause(cycle, stage, work, err);
    }
    return rl_fail(err, RL_ERR_INTERNAL, "stage kind %d is unknown", (int)stage->kind);
}

/* A work folder with its record is finished: only the rename is missing (a kill came before it). */
static bool has_record(const char *work)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/stage.json", work);
    return length > 0 && (size_t)length < sizeof path && rl_path_exists(path);
}

/* A work folder that says it is finished: only the rename is missing, if its files are what it says. */
static rl_status check_finished_work(rl_cycle *cycle, const rl_stage *stage, const char *work, rl_error *err)
{
    rl_error why = {0};
    rl_status status = has_record(work) ? rl_stage_check(work, true, &why) : RL_OK;
    if (status == RL_OK) return RL_OK;
    if (status != RL_ERR_INPUT) return rl_fail(err, status, "%s", why.message);
    status = rl_stage_set_aside(cycle, stage, work, why.message, "the stage is made again", err);
    return status == RL_OK ? rl_make_directories(work, err) : status;
}

static rl_status publish(const char *work, const char *folder, rl_error *err)
{
    char *checkpoint = rl_path_join(work, checkpoint_name, err);
    rl_status status = checkpoint ? rl_remove_tree(checkpoint, err) : RL_ERR_MEMORY;
    rl_free(checkpoint);
    if (status == RL_OK) status = rl_remove_temporaries(work, err); /* a killed process' half-written weights */
    return status == RL_OK ? rl_publish(work, folder, err) : status;
}

rl_status rl_stage_execute(rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    rl_status status = RL_OK;
    double start = rl_now_s();
    char *work = NULL, *folder = NULL;
    if (rl_stage_is_complete(cycle->directory, stage->key)) return RL_OK;
    work = rl_stage_folder(cycle, stage->key, cycle->work_suffix, err);
    folder = rl_stage_folder(cycle, stage->key, "", err);
    if (!work || !folder) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    RL_TRY(rl_remove_tree(folder, err)); /* a folder without stage.json was never published by us */
    RL_TRY(rl_make_directories(work, err));
    RL_TRY(check_finished_work(cycle, stage, work, err));
    if (!has_record(work)) RL_TRY(work_on(cycle, stage, work, err));
    if (!has_record(work)) RL_TRY(rl_stage_write_record(work, stage, rl_now_s() - start, err));
    RL_TRY(publish(work, folder, err));
cleanup:
    rl_free(work);
    rl_free(folder);
    return rl_error_while(err, status, "%s, seed %lld, model %s", rl_stage_kind_name(stage->kind),
                          (long long)stage->settings->seed, stage->settings->model);
}

rl_status rl_stage_assist(rl_cycle *cycle, const rl_stage *stage, rl_error *err)
{
    bool fine = stage->kind == RL_STAGE_FINETUNE;
    rl_status status = fine ? finetune(cycle, stage, NULL, err) : retrain(cycle, stage, NULL, err);
    return rl_error_while(err, status, "assisting %s, seed %lld", rl_stage_kind_name(stage->kind), (long long)stage->settings->seed);
}
