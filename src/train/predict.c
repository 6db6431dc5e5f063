/* predict.c -- labels for every token of a corpus, in batches of like lengths; HF Trainer's eval_loss on the way. */
#include "train_internal.h"

#include <math.h>
#include <stdlib.h>

enum {
    TOKEN_BUDGET = 1024,    /* enough rows for a GEMM at full speed; activations still fit the caches */
    HF_EVAL_BATCH_SIZE = 8  /* eval_loss is defined over batches of this many sentences (protocol §3) */
};

typedef struct ranked {
    int64_t length, sentence;
} ranked;

static int by_length(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->sentence < y->sentence ? -1 : x->sentence > y->sentence;
}

/* Sentences by length, ties in file order: a function of the data alone. */
static rl_status order_by_length(int64_t *order, const rl_encoded *data, rl_error *err)
{
    rl_status status = RL_OK;
    ranked *sentences = NULL;
    int64_t S = data->num_sentences;
    RL_ALLOC(sentences, S, err);
    for (int64_t s = 0; s < S; s++)
        sentences[s] = (ranked){data->sentence_start[s + 1] - data->sentence_start[s], s};
    qsort(sentences, (size_t)S, sizeof *sentences, by_length);
    for (int64_t s = 0; s < S; s++) order[s] = sentences[s].sentence;
cleanup:
    rl_free(sentences);
    return status;
}

/* End of the batch that starts at order[from]; its sizes raise *bounds. One sentence is always taken. */
static int64_t next_batch(rl_batch_bounds *bounds, const rl_encoded *data, const int64_t *order, int64_t from)
{
    rl_batch_bounds batch = {0};
    int64_t at = from;
    for (; at < data->num_sentences; at++, batch.sentences++) {
        int64_t n = data->sentence_start[order[at] + 1] - data->sentence_start[order[at]];
        if (at > from && batch.tokens + n > TOKEN_BUDGET) break;
        batch.tokens += n;
        batch.attention += n * n;
        if (n > batch.length) batch.length = n;
    }
    if (batch.tokens > bounds->tokens) bounds->tokens = batch.tokens;
    if (batch.sentences > bounds->sentences) bounds->sentences = batch.sentences;
    if (batch.length > bounds->length) bounds->length = batch.length;
    if (batch.attention > bounds->attention) bounds->attention = batch.attention;
    return at;
}

/* -log softmax(logits)[label] in double, shifted by the largest logit. */
static double token_loss(const float *logits, int64_t K, int32_t label)
{
    double largest = logits[0], sum = 0;
    for (int64_t k = 1; k < K; k++) largest = logits[k] > largest ? logits[k] : largest;
    for (int64_t k = 0; k < K; k++) sum += exp(logits[k] - largest);
    return log(sum) + largest - logits[label];
}

/* A batch's best labels and token losses, from its packed places back to the corpus'. */
static void scatter(int32_t *predicted, double *losses, const int32_t *best, const float *logits, int64_t K,
                    const rl_encoded *data, const int64_t *sentence, int64_t count)
{
    for (int64_t b = 0, t = 0; b < count; b++)
        for (int64_t at = data->sentence_start[sentence[b]]; at < data->sentence_start[sentence[b] + 1]; at++, t++) {
            predicted[at] = best[t];
            if (!losses || data->labels[at] == RL_IGNORE_LABEL) continue;
            losses[at] = token_loss(logits + t * K, K, data->labels[at]);
        }
}

/* sum_b n_b L_b / sum_b n_b: n_b sentences, L_b mean over labelled tokens. Left out: a batch without any (HF: NaN). */
static double hf_eval_loss(const double *losses, const rl_encoded *data)
{
    double weighted = 0, sentences = 0;
    for (int64_t from = 0; from < data->num_sentences; from += HF_EVAL_BATCH_SIZE) {
        int64_t to = from + HF_EVAL_BATCH_SIZE < data->num_sentences ? from + HF_EVAL_BATCH_SIZE : data->num_sentences;
        int64_t labelled = 0;
        double sum = 0;
        for (int64_t t = data->sentence_start[from]; t < data->sentence_start[to]; t++)
            if (data->labels[t] != RL_IGNORE_LABEL) {
                sum += losses[t];
                labelled++;
            }
        if (!labelled) continue;
        weighted += (double)(to - from) * (sum / (double)labelled);
        sentences += (double)(to - from);
    }
    return weighted / sentences;
}

rl_status rl_predict(const rl_model *model, const rl_encoded *data, int32_t *predicted, double *loss, rl_error *err)
{
    rl_status status = RL_OK;
    rl_workspace *workspace = NULL;
    rl_packed_batch batch = {0};
    rl_batch_bounds bounds = {0};
    int64_t *order = NULL, S = data->num_sentences, K = model->config.num_labels;
    int32_t *best = NULL;
    double *losses = NULL;
    RL_TRY(rl_encoded_check(data, model, err));
    RL_REQUIRE(!loss || data->labels, err);
    RL_ALLOC(order, S, err);
    RL_TRY(order_by_length(order, data, err));
    for (int64_t from = 0; from < S;) from = next_batch(&bounds, data, order, from);
    RL_TRY(rl_packed_batch_create(&batch, bounds, err));
    RL_TRY(rl_workspace_create(&workspace, model, bounds.tokens, bounds.sentences, bounds.length, bounds.attention,
                               false, err));
    RL_ALLOC(best, bounds.tokens, err);
    if (loss) RL_ALLOC(losses, data->num_tokens, err);
    for (int64_t from = 0, to; from < S; from = to) {
        to = next_batch(&bounds, data, order, from);
        rl_packed_batch_fill(&batch, data, order + from, to - from);
        const float *logits = rl_model_forward(model, workspace, &batch.view, NULL);
        rl_argmax_rows(best, logits, batch.view.num_tokens, K);
        scatter(predicted, losses, best, logits, K, data, order + from, to - from);
    }
    if (loss) *loss = hf_eval_loss(losses, data);
cleanup:
    rl_workspace_free(workspace);
    rl_packed_batch_clear(&batch);
    rl_free(order);
    rl_free(best);
    rl_free(losses);
    return status;
}
