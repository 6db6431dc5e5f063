/* cmd_eval.c: relearn eval --model FOLDER --data FILE [--json] -- F1 of one model on one file. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rl_option options[] = {{"model", "FOLDER", "a token classifier's Hugging Face folder"},
                                    {"data", "FILE", "CoNLL columns"},
                                    {"json", NULL, "JSON on standard output"},
                                    RL_THREADS_OPTION,
                                    {NULL, NULL, NULL}};

static json_t *types_json(const rl_seqeval *scores)
{
    json_t *types = json_object();
    for (int32_t i = 0; i < scores->num_types; i++) {
        const rl_score *s = &scores->by_type[i];
        json_object_set_new(types, scores->types[i],
                            json_pack("{s:f, s:f, s:f, s:I}", "precision", s->precision, "recall", s->recall, "f1", s->f1,
                                      "support", (json_int_t)s->support));
    }
    return types;
}

static json_t *level_json(const rl_seqeval *scores)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:o}", "precision", scores->overall.precision, "recall", scores->overall.recall,
                     "f1", scores->overall.f1, "accuracy", scores->accuracy, "types", types_json(scores));
}

static rl_status print_json(const rl_evaluation *e, rl_error *err)
{
    json_t *root = level_json(e->word);
    json_object_set_new(root, "subword", level_json(e->subword));
    json_object_set_new(root, "loss", rl_json_number(e->loss));
    json_object_set_new(root, "tokens_per_second", json_real(e->tokens_per_second));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (text) printf("%s\n", text);
    rl_status status = text ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the scores cannot be printed as JSON");
    free(text); /* jansson's allocation, not ours */
    json_decref(root);
    return status;
}

static void print_level(const char *title, const rl_seqeval *scores)
{
    printf("%s%-12s precision  recall      F1  support%s\n", rl_bold(stdout), title, rl_plain(stdout));
    for (int32_t i = 0; i < scores->num_types; i++)
        printf("  %-12s %.4f  %.4f  %.4f  %7lld\n", scores->types[i], scores->by_type[i].precision, scores->by_type[i].recall,
               scores->by_type[i].f1, (long long)scores->by_type[i].support);
    printf("  %-12s %.4f  %.4f  %.4f  %7lld   accuracy %.4f\n", "all", scores->overall.precision, scores->overall.recall,
           scores->overall.f1, (long long)scores->overall.support, scores->accuracy);
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    const char *folder, *file;
    rl_ner_data data = {0};
    rl_model *model = NULL;
    rl_evaluation evaluation = {0};
    (void)exit_code;
    RL_TRY(rl_args_need(&folder, args, "model", err));
    RL_TRY(rl_args_need(&file, args, "data", err));
    RL_TRY(rl_linalg_init(NULL, err));
    RL_TRY(rl_args_threads(args, err));
    RL_TRY(rl_model_load(&model, folder, NULL, 0, err)); /* no head: an error that says so */
    RL_TRY(rl_ner_data_load(&data, folder, file, model->config.labels, err));
    RL_TRY(rl_evaluate(&evaluation, model, data.corpus, data.encoded, err));
    if (rl_args_flag(args, "json")) {
        RL_TRY(print_json(&evaluation, err));
    } else {
        print_level("words", evaluation.word);
        print_level("sub-words", evaluation.subword);
        printf("loss %.6f, %.0f tokens/s\n", evaluation.loss, evaluation.tokens_per_second);
    }
cleanup:
    rl_evaluation_clear(&evaluation);
    rl_model_free(model);
    rl_ner_data_free(&data);
    return status;
}

const rl_command rl_command_eval = {"eval", "--model FOLDER --data FILE [--json]", "F1 of one model on one file", 0, 0,
                                    options, NULL, run, false};
