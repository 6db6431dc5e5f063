/* evaluate.c -- F1 at the two levels that must not be mixed (protocol §4): words, and HF Trainer's sub-words. */
#include "train_internal.h"

void rl_evaluation_clear(rl_evaluation *evaluation)
{
    if (!evaluation) return;
    rl_seqeval_free(evaluation->word);
    rl_seqeval_free(evaluation->subword);
    *evaluation = (rl_evaluation){0};
}

/* A word's tag is its first sub-word's prediction; a word without one (dropped characters, truncation) is O. */
static rl_status score_words(rl_seqeval **out, const rl_model *model, const rl_corpus *corpus, const rl_encoded *data,
                             const int32_t *predicted, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *tags = NULL, outside = rl_names_find(model->config.labels, "O", 1);
    if (outside < 0) return rl_fail(err, RL_ERR_INPUT, "the model has no label O; expected labels O, B-X, I-X");
    RL_ALLOC(tags, corpus->num_words, err);
    for (int64_t w = 0; w < corpus->num_words; w++) tags[w] = outside;
    for (int64_t t = data->num_tokens - 1; t >= 0; t--) /* backwards: the first sub-word is written last */
        if (data->word[t] >= 0) tags[data->word[t]] = predicted[t];
    RL_TRY(rl_seqeval_score(out, model->config.labels, corpus->label, tags, corpus->sentence_start,
                            corpus->num_sentences, err));
cleanup:
    rl_free(tags);
    return status;
}

/* Every labelled sub-word is a token of its own, its gold the aligned label. */
static rl_status score_subwords(rl_seqeval **out, const rl_model *model, const rl_encoded *data,
                                const int32_t *predicted, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t *gold = NULL, *tags = NULL;
    int64_t *start = NULL, n = 0;
    RL_ALLOC(gold, data->num_tokens, err);
    RL_ALLOC(tags, data->num_tokens, err);
    RL_ALLOC(start, data->num_sentences + 1, err);
    for (int64_t s = 0; s < data->num_sentences; s++) {
        for (int64_t t = data->sentence_start[s]; t < data->sentence_start[s + 1]; t++) {
            if (data->labels[t] == RL_IGNORE_LABEL) continue;
            gold[n] = data->labels[t];
            tags[n++] = predicted[t];
        }
        start[s + 1] = n;
    }
    RL_TRY(rl_seqeval_score(out, model->config.labels, gold, tags, start, data->num_sentences, err));
cleanup:
    rl_free(gold);
    rl_free(tags);
    rl_free(start);
    return status;
}

rl_status rl_evaluate(rl_evaluation *out, const rl_model *model, const rl_corpus *corpus, const rl_encoded *data,
                      rl_error *err)
{
    rl_status status = RL_OK;
    rl_evaluation evaluation = {0};
    int32_t *predicted = NULL;
    RL_REQUIRE(corpus->num_sentences == data->num_sentences && corpus->num_words == data->num_words, err);
    RL_REQUIRE(data->labels != NULL, err);
    RL_ALLOC(predicted, data->num_tokens, err);
    double started = rl_now_s();
    RL_TRY(rl_predict(model, data, predicted, &evaluation.loss, err));
    evaluation.tokens_per_second = (double)data->num_tokens / (rl_now_s() - started);
    RL_TRY(score_words(&evaluation.word, model, corpus, data, predicted, err));
    RL_TRY(score_subwords(&evaluation.subword, model, data, predicted, err));
    *out = evaluation;
    evaluation = (rl_evaluation){0};
cleanup:
    rl_evaluation_clear(&evaluation);
    rl_free(predicted);
    return status;
}
