/* cmd_finetune.c: relearn finetune --model FOLDER --train FILE --validation FILE --out FOLDER [--seed N] [--set train.KEY=VALUE]... */
#include "cli.h"

#include <math.h>
#include <string.h>

static const rl_option options[] = {
    {"model", "FOLDER", "Hugging Face folder to start from"},
    {"train", "FILE", "CoNLL columns"},
    {"validation", "FILE", "CoNLL columns; F1 after each epoch"},
    {"out", "FOLDER", "the fine-tuned Hugging Face folder, with training.jsonl in it"},
    {"seed", "N", "head, batch order and dropout (default 42)"},
    {"set", "train.KEY=VALUE", "override a training setting, see below (repeatable)"},
    RL_THREADS_OPTION,
    {NULL, NULL, NULL}};

typedef struct job {
    const rl_ner_data *train, *validation;
    rl_model *model;
    const char *out, *model_folder;
    bool live;
    double last_s;
} job;

static void on_step(void *context, const rl_step_record *record, int64_t total_steps)
{
    job *j = context;
    double now = rl_now_s();
    if (now - j->last_s < (j->live ? 0.2 : 10.0) && record->step != total_steps) return;
    j->last_s = now;
    fprintf(stderr, "%sstep %lld of %lld  loss %.4f  grad norm %.3f  %.0f tokens/s%s", j->live ? "\r\033[K" : "relearn: ",
            (long long)record->step, (long long)total_steps, record->loss, record->grad_norm,
            record->seconds > 0 ? (double)record->tokens / record->seconds : 0.0, j->live ? "" : "\n");
    fflush(stderr);
}

static rl_status on_epoch(void *context, int64_t epoch, const rl_model *model, rl_error *err)
{
    job *j = context;
    rl_evaluation evaluation = {0};
    rl_status status = rl_evaluate(&evaluation, model, j->validation->corpus, j->validation->encoded, err);
    if (status == RL_OK)
        fprintf(stderr, "%sepoch %lld: validation F1 %.4f (precision %.4f, recall %.4f), sub-word F1 %.4f, loss %.4f\n",
                j->live ? "\r\033[K" : "relearn: ", (long long)epoch + 1, evaluation.word->overall.f1,
                evaluation.word->overall.precision, evaluation.word->overall.recall, evaluation.subword->overall.f1,
                evaluation.loss);
    rl_evaluation_clear(&evaluation);
    return status;
}

static bool should_stop(void *context)
{
    (void)context;
    return rl_stop_requested();
}

static rl_status save(void *context, const rl_model *model, const rl_training_log *log, rl_error *err)
{
    job *j = context;
    char *path = rl_path_join(j->out, "training.jsonl", err);
    rl_status status = path ? rl_model_save(model, j->out, j->model_folder, err) : RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_training_log_write(log, path, err);
    rl_free(path);
    return status;
}

static rl_status read_settings(rl_run_settings *settings, const rl_args *args, rl_error *err)
{
    rl_status status = RL_OK;
    const char *sets[RL_MAX_GIVEN];
    size_t num_sets = rl_args_all(args, "set", sets);
    *settings = rl_run_defaults(RL_PROTOCOL_CORRECTED);
    RL_TRY(rl_args_int(&settings->seed, args, "seed", settings->seed, 0, err));
    for (size_t i = 0; i < num_sets; i++) {
        if (strncmp(sets[i], "train.", 6) != 0)
            return rl_fail(err, RL_ERR_USAGE, "--set %s: finetune knows train.KEY=VALUE only", sets[i]);
        RL_TRY(rl_settings_set(settings, sets[i], err));
    }
cleanup:
    return status;
}

/* A folder that already holds a model is somebody's result: refused, unless it is this very command resumed (its checkpoint). */
static rl_status prepare_out(const char *out, char **checkpoint, rl_error *err)
{
    rl_status status = RL_OK;
    char *config = rl_path_join(out, "config.json", err);
    *checkpoint = rl_path_join(out, "checkpoint", err);
    if (!config || !*checkpoint) {
        status = RL_ERR_MEMORY;
        goto cleanup;
    }
    if (rl_path_exists(config) && !rl_path_exists(*checkpoint)) {
        status = rl_fail(err, RL_ERR_USAGE, "%s: already holds a model; give --out another folder", out);
        goto cleanup;
    }
    RL_TRY(rl_make_directories(out, err));
cleanup:
    rl_free(config);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *model_folder, *train_file, *validation_file, *out;
    rl_ner_data train = {0}, validation = {0};
    rl_run_settings settings;
    rl_model *model = NULL;
    char *checkpoint = NULL;
    (void)exit_code;
    RL_TRY(rl_args_need(&model_folder, args, "model", err));
    RL_TRY(rl_args_need(&train_file, args, "train", err));
    RL_TRY(rl_args_need(&validation_file, args, "validation", err));
    RL_TRY(rl_args_need(&out, args, "out", err));
    RL_TRY(read_settings(&settings, args, err));
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_args_threads(args, err));
    RL_TRY(rl_train_check_machine(&settings.train, err));
    RL_TRY(rl_stop_install(err));
    RL_TRY(rl_ner_data_load(&train, model_folder, train_file, NULL, err));
    RL_TRY(rl_ner_data_load(&validation, model_folder, validation_file, train.corpus->labels, err));
    RL_TRY(rl_model_load(&model, model_folder, train.corpus->labels, (uint64_t)settings.seed, err));
    RL_TRY(prepare_out(out, &checkpoint, err));
    job j = {.train = &train, .validation = &validation, .model = model, .out = out, .model_folder = model_folder,
             .live = rl_is_terminal(stderr)};
    const rl_train_hooks hooks = {.context = &j, .on_step = on_step, .on_epoch = on_epoch, .should_stop = should_stop,
                                  .on_trained = save};
    RL_TRY(rl_train(model, train.encoded, &settings.train, (uint64_t)settings.seed, NULL, checkpoint, &hooks, NULL, err));
    printf("%s\n", out);
cleanup:
    rl_model_free(model);
    rl_ner_data_free(&train);
    rl_ner_data_free(&validation);
    rl_free(checkpoint);
    return status;
}

const rl_command rl_command_finetune = {
    "finetune", "--model FOLDER --train FILE --validation FILE --out FOLDER [--seed N] [--set train.KEY=VALUE]...",
    "fine-tune one model; stopped, the same command resumes", 0, 0, options,
    "Settings (defaults): train.epochs 3, train.batch_size 8, train.learning_rate 2e-5, train.weight_decay 0.01,\n"
    "train.max_grad_norm 1.0, train.warmup_steps 0, train.max_steps (none), train.dropout (the model's own),\n"
    "train.shuffle true, train.optimizer adamw, train.order hf5, train.precision fp32, train.adam_beta1, train.adam_beta2, train.adam_epsilon.\n",
    run, false};
