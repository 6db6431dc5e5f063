/* stage_files.c -- the small JSON files of a stage folder: epochs.json, evaluation.json, pruned.json, stage.json. */
#include "cycle_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char *rl_stage_folder(const rl_cycle *cycle, const char *key, const char *suffix, rl_error *err)
{
    return rl_format(err, "%s/stages/%s%s", cycle->directory, key, suffix);
}

static rl_status write_in(const char *folder, const char *name, json_t *root, rl_error *err)
{
    char *path = rl_path_join(folder, name, err);
    rl_status status = path ? rl_json_write(path, root, err) : RL_ERR_MEMORY;
    rl_free(path);
    json_decref(root);
    return status;
}

static rl_status write_summed_in(const char *folder, const char *name, json_t *root, rl_error *err)
{
    char *path = rl_path_join(folder, name, err);
    rl_status status = path ? rl_json_write_summed(path, root, err) : RL_ERR_MEMORY;
    rl_free(path);
    json_decref(root);
    return status;
}

static rl_status read_in(json_t **root, const char *folder, const char *name, rl_error *err)
{
    char *path = rl_path_join(folder, name, err);
    rl_status status = path ? rl_json_read(root, path, err) : RL_ERR_MEMORY;
    rl_free(path);
    return status;
}

static rl_status get_real(double *value, const json_t *object, const char *key, const char *folder, rl_error *err)
{
    const json_t *found = json_object_get(object, key);
    if (json_is_null(found)) {
        *value = NAN;
        return RL_OK;
    }
    if (!json_is_number(found)) return rl_fail(err, RL_ERR_INPUT, "%s: '%s' is missing or no number", folder, key);
    *value = json_number_value(found);
    return RL_OK;
}

static rl_status get_int(int64_t *value, const json_t *object, const char *key, const char *folder, rl_error *err)
{
    const json_t *found = json_object_get(object, key);
    if (!json_is_integer(found)) return rl_fail(err, RL_ERR_INPUT, "%s: '%s' is missing or no integer", folder, key);
    *value = json_integer_value(found);
    return RL_OK;
}

/* ------------------------------------------------------------------------------------------------- epochs */

void rl_epoch_scores_free(rl_epoch_scores *scores)
{
    rl_free(scores->word_f1);
    rl_free(scores->subword_f1);
    rl_free(scores->loss);
    *scores = (rl_epoch_scores){0};
}

static rl_status reserve(rl_epoch_scores *scores, int64_t count, rl_error *err)
{
    double **columns[] = {&scores->word_f1, &scores->subword_f1, &scores->loss};
    if (count <= scores->capacity) return RL_OK;
    int64_t capacity = count * 2;
    for (int i = 0; i < 3; i++) {
        double *grown = rl_regrow(*columns[i], (size_t)scores->capacity, (size_t)capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        *columns[i] = grown;
    }
    scores->capacity = capacity;
    return RL_OK;
}

rl_status rl_epoch_scores_set(rl_epoch_scores *scores, int64_t epoch, const rl_evaluation *evaluation, rl_error *err)
{
    rl_status status = reserve(scores, epoch + 1, err);
    if (status != RL_OK) return status;
    scores->word_f1[epoch] = evaluation->word->overall.f1;
    scores->subword_f1[epoch] = evaluation->subword->overall.f1;
    scores->loss[epoch] = evaluation->loss;
    scores->count = epoch + 1; /* an epoch that is redone after a kill replaces its own and later entries */
    return RL_OK;
}

rl_status rl_epoch_scores_write(const rl_epoch_scores *scores, const char *folder, rl_error *err)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < scores->count; i++)
        json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:o}", "epoch", (json_int_t)i, "f1",
                                              rl_json_number(scores->word_f1[i]), "subword_f1", rl_json_number(scores->subword_f1[i]),
                                              "loss", rl_json_number(scores->loss[i])));
    return write_summed_in(folder, "epochs.json", json_pack("{s:o}", "epochs", list), err);
}

rl_status rl_epoch_scores_read(rl_epoch_scores *scores, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL;
    char *path = rl_path_join(folder, "epochs.json", err);
    if (!path) return RL_ERR_MEMORY;
    scores->count = 0;
    if (!rl_path_exists(path)) goto cleanup;
    RL_TRY(rl_json_read_summed(&root, path, err));
    const json_t *list = json_object_get(root, "epochs"), *entry;
    size_t i;
    RL_TRY(reserve(scores, (int64_t)json_array_size(list), err));
    json_array_foreach(list, i, entry)
    {
        RL_TRY(get_real(&scores->word_f1[i], entry, "f1", path, err));
        RL_TRY(get_real(&scores->subword_f1[i], entry, "subword_f1", path, err));
        RL_TRY(get_real(&scores->loss[i], entry, "loss", path, err));
        scores->count = (int64_t)i + 1;
    }
cleanup:
    json_decref(root);
    rl_free(path);
    return status;
}

/* --------------------------------------------------------------------------------------------- evaluation */

static json_t *score_json(const rl_score *score)
{
    return json_pack("{s:f, s:f, s:f, s:I, s:I, s:I}", "precision", score->precision, "recall", score->recall, "f1",
                     score->f1, "support", (json_int_t)score->support, "predicted", (json_int_t)score->predicted,
                     "correct", (json_int_t)score->correct);
}

static json_t *seqeval_json(const rl_seqeval *scores)
{
    json_t *types = json_object();
    for (int32_t i = 0; i < scores->num_types; i++)
        json_object_set_new(types, scores->types[i], score_json(&scores->by_type[i]));
    return json_pack("{s:o, s:f, s:o}", "overall", score_json(&scores->overall), "accuracy", scores->accuracy, "types", types);
}

static json_t *evaluation_json(const rl_evaluation *evaluation)
{
    return json_pack("{s:o, s:o, s:o}", "word", seqeval_json(evaluation->word), "subword",
                     seqeval_json(evaluation->subword), "loss", rl_json_number(evaluation->loss));
}

static const json_t *overall(const json_t *evaluation, const char *level)
{
    return json_object_get(json_object_get(evaluation, level), "overall");
}

rl_status rl_stage_write_evaluation(const char *folder, const rl_evaluation *validation, const rl_evaluation *test,
                                    rl_error *err)
{
    json_t *root = json_pack("{s:o}", "validation", evaluation_json(validation));
    if (test) json_object_set_new(root, "test", evaluation_json(test));
    return write_in(folder, "evaluation.json", root, err);
}

rl_status rl_stage_copy_evaluation(const char *to, const char *from, const rl_evaluation *test, double *f1, rl_error *err)
{
    json_t *root = NULL;
    rl_status status = read_in(&root, from, "evaluation.json", err);
    if (status != RL_OK) return status;
    *f1 = json_number_value(json_object_get(overall(json_object_get(root, "validation"), "word"), "f1"));
    if (test) json_object_set_new(root, "test", evaluation_json(test));
    return write_in(to, "evaluation.json", root, err);
}

static rl_status read_score(rl_score *score, const json_t *object, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(get_real(&score->precision, object, "precision", folder, err));
    RL_TRY(get_real(&score->recall, object, "recall", folder, err));
    RL_TRY(get_real(&score->f1, object, "f1", folder, err));
    RL_TRY(get_int(&score->support, object, "support", folder, err));
    RL_TRY(get_int(&score->predicted, object, "predicted", folder, err));
    RL_TRY(get_int(&score->correct, object, "correct", folder, err));
cleanup:
    return status;
}

static rl_status read_types(rl_stage_result *result, const json_t *types, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    const char *name;
    json_t *score;
    RL_ALLOC(result->types, json_object_size(types), err);
    RL_ALLOC(result->by_type, json_object_size(types), err);
    json_object_foreach((json_t *)(uintptr_t)types, name, score)
    {
        result->types[result->num_types] = rl_strdup(name, err);
        if (!result->types[result->num_types]) return RL_ERR_MEMORY;
        RL_TRY(read_score(&result->by_type[result->num_types++], score, folder, err));
    }
cleanup:
    return status;
}

rl_status rl_stage_read_evaluation(rl_stage_result *result, const char *folder, const rl_concept_settings *concept, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL;
    const rl_score none = {NAN, NAN, NAN, 0, 0, 0};
    RL_TRY(read_in(&root, folder, "evaluation.json", err));
    const json_t *validation = json_object_get(root, "validation"), *test = json_object_get(root, "test");
    const json_t *word = json_object_get(validation, "word");
    RL_TRY(read_score(&result->word, overall(validation, "word"), folder, err));
    RL_TRY(read_score(&result->subword, overall(validation, "subword"), folder, err));
    RL_TRY(get_real(&result->accuracy, word, "accuracy", folder, err));
    RL_TRY(get_real(&result->loss, validation, "loss", folder, err));
    RL_TRY(read_types(result, json_object_get(word, "types"), folder, err));
    result->concept = rl_types_score(json_object_get(word, "types"), concept, false);
    result->others = rl_types_score(json_object_get(word, "types"), concept, true);
    const json_t *test_types = json_object_get(json_object_get(test, "word"), "types");
    result->test_concept = rl_types_score(test_types, concept, false);
    result->test_others = rl_types_score(test_types, concept, true);
    result->test_word = result->test_subword = none;
    result->test_accuracy = NAN;
    if (test) {
        RL_TRY(read_score(&result->test_word, overall(test, "word"), folder, err));
        RL_TRY(read_score(&result->test_subword, overall(test, "subword"), folder, err));
        RL_TRY(get_real(&result->test_accuracy, json_object_get(test, "word"), "accuracy", folder, err));
    }
cleanup:
    json_decref(root);
    return status;
}

/* -------------------------------------------------------------------------------------------------- curve */

json_t *rl_curve_read(const char *folder, rl_error *err)
{
    json_t *root = NULL, *points = NULL;
    char *path = rl_path_join(folder, "curve.json", err);
    if (!path) return NULL;
    if (!rl_path_exists(path))
        points = json_array();
    else if (rl_json_read_summed(&root, path, err) == RL_OK) {
        points = json_incref(json_object_get(root, "points"));
        if (!json_is_array(points)) rl_fail(err, RL_ERR_INPUT, "%s: 'points' is missing or no list", path);
    }
    json_decref(root);
    rl_free(path);
    return points;
}

rl_status rl_curve_add(json_t *points, int64_t step, const rl_evaluation *evaluation, rl_error *err)
{
    json_t *types = json_object();
    while (json_array_size(points)) { /* what a kill makes us see again */
        const json_t *last = json_array_get(points, json_array_size(points) - 1);
        if (json_integer_value(json_object_get(last, "step")) < step) break;
        json_array_remove(points, json_array_size(points) - 1);
    }
    for (int32_t i = 0; i < evaluation->word->num_types; i++)
        json_object_set_new(types, evaluation->word->types[i], score_json(&evaluation->word->by_type[i]));
    json_t *point = json_pack("{s:I, s:o, s:o, s:o}", "step", (json_int_t)step, "f1", rl_json_number(evaluation->word->overall.f1),
                              "loss", rl_json_number(evaluation->loss), "types", types);
    return json_array_append_new(points, point) == 0 ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "no memory for a point of the curve");
}

rl_status rl_curve_write(json_t *points, const char *folder, rl_error *err)
{
    return write_summed_in(folder, "curve.json", json_pack("{s:O}", "points", points), err);
}

static bool has_type(const rl_concept_settings *concept, const char *name)
{
    for (int64_t i = 0; i < concept->num_types; i++)
        if (!strcmp(concept->types[i], name)) return true;
    return false;
}

rl_score rl_types_score(const json_t *types, const rl_concept_settings *concept, bool others)
{
    rl_score score = {.precision = NAN, .recall = NAN, .f1 = NAN};
    const char *name;
    json_t *one;
    if (!json_is_object(types) || concept->num_types == 0) return score;
    json_object_foreach((json_t *)(uintptr_t)types, name, one)
    {
        if (has_type(concept, name) == others) continue;
        score.correct += json_integer_value(json_object_get(one, "correct"));
        score.support += json_integer_value(json_object_get(one, "support"));
        score.predicted += json_integer_value(json_object_get(one, "predicted"));
    }
    double correct = (double)score.correct; /* 0/0 = 0, as seqeval */
    score.precision = score.predicted ? correct / (double)score.predicted : 0;
    score.recall = score.support ? correct / (double)score.support : 0;
    score.f1 = score.correct ? 2 * score.precision * score.recall / (score.precision + score.recall) : 0;
    return score;
}

/* ----------------------------------------------------------------------------------------------- CKA, causal */

rl_status rl_stage_write_cka(const char *folder, const double *cka, int64_t count, rl_error *err)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list, rl_json_number(cka[i]));
    return write_in(folder, "layers.json", json_pack("{s:o}", "cka", list), err);
}

rl_status rl_stage_read_cka(double *cka, int64_t count, const char *folder, rl_error *err)
{
    json_t *root = NULL;
    char *path = rl_path_join(folder, "layers.json", err);
    rl_status status = path ? RL_OK : RL_ERR_MEMORY;
    for (int64_t i = 0; i < count; i++) cka[i] = NAN;
    if (status == RL_OK && rl_path_exists(path)) status = rl_json_read(&root, path, err);
    const json_t *list = json_object_get(root, "cka");
    for (int64_t i = 0; i < count && i < (int64_t)json_array_size(list); i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        if (json_is_number(value)) cka[i] = json_number_value(value);
    }
    json_decref(root);
    rl_free(path);
    return status;
}

const char *const rl_causal_set_names[RL_NUM_CAUSAL_SETS] = {"pruned", "newly_salient", "random_matched"};

static json_t *drop_json(const rl_causal_drop *drop)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t)drop->count, "concept_drop",
                     rl_json_number(drop->concept_drop), "other_drop", rl_json_number(drop->other_drop), "concept_sd",
                     rl_json_number(drop->concept_sd), "other_sd", rl_json_number(drop->other_sd));
}

rl_status rl_stage_write_causal(const char *folder, const rl_causal_check *check, rl_error *err)
{
    const rl_causal_drop *drops[RL_NUM_CAUSAL_SETS] = {&check->original, &check->salient, &check->random};
    json_t *root = json_pack("{s:o, s:o, s:o}", "f1", rl_json_number(check->intact.overall_f1), "concept_f1",
                             rl_json_number(check->intact.concept_f1), "other_f1", rl_json_number(check->intact.other_f1));
    for (int i = 0; i < RL_NUM_CAUSAL_SETS; i++) json_object_set_new(root, rl_causal_set_names[i], drop_json(drops[i]));
    return write_in(folder, "causal.json", root, err);
}

rl_status rl_stage_read_causal(rl_stage_result *result, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL;
    RL_TRY(read_in(&root, folder, "causal.json", err));
    for (int i = 0; i < RL_NUM_CAUSAL_SETS; i++) {
        const json_t *drop = json_object_get(root, rl_causal_set_names[i]);
        RL_TRY(get_real(&result->causal_count[i], drop, "count", folder, err));
        RL_TRY(get_real(&result->causal_concept_drop[i], drop, "concept_drop", folder, err));
        RL_TRY(get_real(&result->causal_other_drop[i], drop, "other_drop", folder, err));
        RL_TRY(get_real(&result->causal_concept_sd[i], drop, "concept_sd", folder, err));
        RL_TRY(get_real(&result->causal_other_sd[i], drop, "other_sd", folder, err));
    }
cleanup:
    json_decref(root);
    return status;
}

/* ------------------------------------------------------------------------------------------ pruned, record */

rl_status rl_stage_write_pruned(const char *folder, const int32_t *ids, int64_t count, rl_error *err)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list, json_integer(ids[i]));
    return write_in(folder, "pruned.json", json_pack("{s:o}", "neurons", list), err);
}

rl_status rl_stage_read_pruned(int32_t **ids, int64_t *count, const char *folder, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *root = NULL, *entry;
    int32_t *list = NULL;
    size_t i;
    RL_TRY(read_in(&root, folder, "pruned.json", err));
    json_t *neurons = json_object_get(root, "neurons");
    RL_ALLOC(list, json_array_size(neurons), err);
    json_array_foreach(neurons, i, entry)
    {
        if (!json_is_integer(entry)) {
            status = rl_fail(err, RL_ERR_INPUT, "%s/pruned.json: neuron %zu is no integer", folder, i);
            goto cleanup;
        }
        list[i] = (int32_t)json_integer_value(entry);
    }
    *ids = list;
    *count = (int64_t)json_array_size(neurons);
    list = NULL;
cleanup:
    rl_free(list);
    json_decref(root);
    return status;
}

/* The last file of a stage: what is listed in it is the stage (integrity.c). */
rl_status rl_stage_write_record(const char *folder, const rl_stage *stage, double seconds, rl_error *err)
{
    char time[21];
    json_t *files = NULL;
    rl_status status = rl_stage_describe_files(&files, folder, err);
    if (status != RL_OK) return status;
    rl_utc_timestamp(time);
    return write_summed_in(folder, "stage.json",
                           json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:f, s:s, s:s, s:s, s:I, s:o}", "kind",
                                     rl_stage_kind_name(stage->kind), "round", (int)stage->round, "key", stage->key, "model_key",
                                     stage->model_key, "ranking_key", stage->ranking_key, "prune_key", stage->prune_key, "seconds",
                                     seconds, "finished", time, "gemm_backend", rl_gemm_backend(), "isa", rl_isa_name(), "seed",
                                     (json_int_t)stage->settings->seed, "files", files),
                           err);
}

rl_status rl_stage_read_seconds(double *seconds, const char *folder, rl_error *err)
{
    json_t *root = NULL;
    rl_status status = read_in(&root, folder, "stage.json", err);
    if (status == RL_OK) status = get_real(seconds, root, "seconds", folder, err);
    json_decref(root);
    return status;
}
