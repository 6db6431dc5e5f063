/* ablation.c -- what a concept's F1 loses when neurons of the hidden states are zeroed, and the finder made of it.
 *
 * Sentences move up layer by layer as in activations.c; at each hidden state the neurons' columns are set to 0 before
 * the next block sees them, and the last hidden state goes through the classifier. The model is never touched. */
#include "concept_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define EVALUATIONS 16 /* per hidden state, where the task does not say */
#define FIRST_GROUPS 8

/* ----------------------------------------------------------------------------------------------- scores of a task */

static double f1_of(int64_t correct, int64_t support, int64_t predicted)
{
    return support + predicted > 0 ? 2.0 * (double)correct / (double)(support + predicted) : 0.0;
}

static bool is_listed(const char *type, const char *const *types, size_t num_types)
{
    for (size_t i = 0; i < num_types; i++)
        if (!strcmp(type, types[i])) return true;
    return false;
}

rl_concept_f1 rl_concept_f1_of(const rl_seqeval *scores, const char *const *types, size_t num_types)
{
    int64_t correct[2] = {0}, support[2] = {0}, predicted[2] = {0}; /* other types, concept */
    for (int32_t i = 0; i < scores->num_types; i++) {
        int k = is_listed(scores->types[i], types, num_types);
        correct[k] += scores->by_type[i].correct;
        support[k] += scores->by_type[i].support;
        predicted[k] += scores->by_type[i].predicted;
    }
    if (num_types == 0) return (rl_concept_f1){scores->overall.f1, NAN, scores->overall.f1};
    return (rl_concept_f1){f1_of(correct[1], support[1], predicted[1]), f1_of(correct[0], support[0], predicted[0]),
                           scores->overall.f1};
}

/* ------------------------------------------------------------------------------------------------- one model's pass */

typedef struct probe_pass {
    rl_pass pass;
    const rl_model *model;
    const rl_ablation_task *task;
    const float *weight, *bias; /* of the classifier, [K, C] and [K] */
    float *logits;              /* [T, K] */
    int32_t *predicted, *tags;  /* [T], [W] */
    int32_t outside;
} probe_pass;

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

/* The token classifier: Hugging Face calls it "classifier", or "score" in GPT-2's family. */
static const float *head_part(const rl_model *model, const char *part, int num_dims)
{
    const char *const heads[] = {"classifier", "score"};
    char name[64];
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
        snprintf(name, sizeof name, "%s.%s", heads[h], part);
        for (int64_t i = 0; i < model->num_parameters; i++)
            if (model->parameters[i].num_dims == num_dims && ends_with(model->parameters[i].name, name))
                return model->weights + model->parameters[i].offset;
    }
    return NULL;
}

static rl_status check_task(const rl_model *model, const rl_ablation_task *task, rl_error *err)
{
    rl_status status = RL_OK;
    bool found;
    for (size_t i = 0; i < task->num_types; i++) {
        found = false;
        for (int32_t l = 0; l < rl_names_count(model->config.labels); l++) {
            const char *label = rl_names_get(model->config.labels, l);
            found = found || (strlen(label) > 2 && label[1] == '-' && !strcmp(label + 2, task->types[i]));
        }
        if (!found)
            return rl_fail(err, RL_ERR_INPUT, "the model has no labels of type '%s'; expected an entity type of its task",
                           task->types[i]);
    }
    RL_REQUIRE(task->corpus->num_sentences == task->data->num_sentences &&
                   task->corpus->num_words == task->data->num_words,
               err);
cleanup:
    return status;
}

static rl_status begin(probe_pass *p, const rl_model *model, const rl_ablation_task *task, rl_error *err)
{
    rl_status status = RL_OK;
    p->model = model;
    p->task = task;
    p->weight = head_part(model, "weight", 2);
    p->bias = head_part(model, "bias", 1);
    p->outside = rl_names_find(model->config.labels, "O", 1);
    if (!p->weight) return rl_fail(err, RL_ERR_INPUT, "the model has no token classifier to measure F1 with");
    if (p->outside < 0) return rl_fail(err, RL_ERR_INPUT, "the model has no label O; expected labels O, B-X, I-X");
    RL_TRY(check_task(model, task, err));
    RL_TRY(rl_pass_begin(&p->pass, model, task->data, err));
    RL_ALLOC(p->logits, task->data->num_tokens * model->config.num_labels, err);
    RL_ALLOC(p->predicted, task->data->num_tokens, err);
    RL_ALLOC(p->tags, task->corpus->num_words, err);
cleanup:
    return status;
}

static void end(probe_pass *p)
{
    rl_pass_end(&p->pass);
    rl_free(p->logits);
    rl_free(p->predicted);
    rl_free(p->tags);
}

/* units[count] of the present hidden state become 0 at every token. */
static void zero_units(probe_pass *p, const int32_t *units, int64_t count)
{
    int64_t C = p->model->config.hidden_size;
    for (int64_t t = 0; t < p->task->data->num_tokens; t++)
        for (int64_t i = 0; i < count; i++) p->pass.hidden[t * C + units[i]] = 0.0f;
}

/* F1 from the last hidden state; a word's tag is its first sub-word's, as in rl_evaluate. */
static rl_status score_last(probe_pass *p, rl_concept_f1 *f1, rl_error *err)
{
    rl_status status = RL_OK;
    rl_seqeval *scores = NULL;
    const rl_encoded *data = p->task->data;
    const rl_corpus *corpus = p->task->corpus;
    int64_t K = p->model->config.num_labels;
    rl_linear_forward(p->logits, p->pass.hidden, p->weight, p->bias, data->num_tokens, K, p->model->config.hidden_size);
    rl_argmax_rows(p->predicted, p->logits, data->num_tokens, K);
    for (int64_t w = 0; w < corpus->num_words; w++) p->tags[w] = p->outside;
    for (int64_t t = data->num_tokens - 1; t >= 0; t--)
        if (data->word[t] >= 0) p->tags[data->word[t]] = p->predicted[t];
    RL_TRY(rl_seqeval_score(&scores, p->model->config.labels, corpus->label, p->tags, corpus->sentence_start,
                            corpus->num_sentences, err));
    *f1 = rl_concept_f1_of(scores, p->task->types, p->task->num_types);
cleanup:
    rl_seqeval_free(scores);
    return status;
}

rl_status rl_zeroed_f1(rl_concept_f1 *f1, const rl_model *model, const rl_ablation_task *task, const int32_t *ids,
                       int64_t count, rl_error *err)
{
    rl_status status = RL_OK;
    probe_pass p = {0};
    int32_t *units = NULL;
    int64_t C = model->config.hidden_size, L = model->config.num_layers;
    RL_ALLOC(units, count, err);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= (L + 1) * C) {
            status = rl_fail(err, RL_ERR_INPUT, "neuron %" PRId32 " does not exist; expected 0 to %" PRId64, ids[i],
                             (L + 1) * C - 1);
            goto cleanup;
        }
    RL_TRY(begin(&p, model, task, err));
    for (int64_t state = 0; state <= L; state++) {
        int64_t n = 0;
        for (int64_t i = 0; i < count; i++)
            if (ids[i] / C == state) units[n++] = (int32_t)(ids[i] % C);
        RL_TRY(rl_pass_advance(&p.pass, state, err));
        zero_units(&p, units, n);
    }
    RL_TRY(score_last(&p, f1, err));
cleanup:
    end(&p);
    rl_free(units);
    return status;
}

/* ------------------------------------------------------------------------------------------------- the finder */

typedef struct group {
    int64_t first, count; /* into the layer's units in order */
    double drop;          /* of the concept's F1 when all of them are 0 */
} group;

typedef struct search {
    probe_pass probe;
    rl_unit_site site;
    int64_t state, num_groups, budget; /* budget: evaluations left at this hidden state, or the block that reads it */
    int64_t num_units;                 /* U of a layer of the site */
    float *intact;                     /* [T, C] the hidden state with nothing zeroed */
    int32_t *units;                    /* [U] by prior */
    group *groups;                     /* [U] */
    rl_unit *masked;                   /* [U] a group's, in blocks */
    double whole;                      /* F1 of the intact model */
} search;

static size_t hidden_bytes(const search *s)
{
    return (size_t)(s->probe.task->data->num_tokens * s->probe.model->config.hidden_size) * sizeof(float);
}

/* Block s->state with units[count] at 0, through a view of the model. */
static rl_status advance_masked(search *s, const int32_t *units, int64_t count, rl_error *err)
{
    rl_model_masks *masks = NULL;
    const rl_model *model = s->probe.model;
    for (int64_t i = 0; i < count; i++) s->masked[i] = (rl_unit){s->site, (int32_t)s->state, units[i]};
    rl_status status = rl_model_view_masks(&masks, model, s->masked, count, err);
    if (status != RL_OK) return status;
    const rl_model view = rl_model_view(model, masks);
    s->probe.pass.model = &view;
    status = rl_pass_advance(&s->probe.pass, s->state + 1, err);
    s->probe.pass.model = model;
    rl_model_masks_free(masks);
    return status;
}

static rl_status evaluate_group(search *s, group *g, rl_error *err)
{
    rl_status status = RL_OK;
    rl_concept_f1 f1;
    int64_t state = s->state;
    memcpy(s->probe.pass.hidden, s->intact, hidden_bytes(s));
    if (s->site == RL_UNIT_HIDDEN) {
        zero_units(&s->probe, s->units + g->first, g->count);
    } else {
        RL_TRY(advance_masked(s, s->units + g->first, g->count, err));
        state++;
    }
    while (++state <= s->probe.model->config.num_layers) RL_TRY(rl_pass_advance(&s->probe.pass, state, err));
    RL_TRY(score_last(&s->probe, &f1, err));
    g->drop = s->whole - f1.concept_f1;
    s->budget--;
cleanup:
    return status;
}

typedef struct prioritised {
    double prior;
    int32_t unit;
} prioritised;

static int by_prior(const void *a, const void *b)
{
    const prioritised *x = a, *y = b;
    int order = (x->prior < y->prior) - (x->prior > y->prior);
    return order ? order : x->unit - y->unit;
}

/* Neurons of alike prior share a group: the few that matter are then not spread over all of them. */
static rl_status order_units(search *s, const double *prior, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t U = s->num_units;
    prioritised *list = NULL;
    RL_ALLOC(list, U, err);
    for (int64_t u = 0; u < U; u++) list[u] = (prioritised){prior ? prior[s->state * U + u] : 0, (int32_t)u};
    qsort(list, (size_t)U, sizeof *list, by_prior);
    for (int64_t u = 0; u < U; u++) s->units[u] = list[u].unit;
cleanup:
    rl_free(list);
    return status;
}

static rl_status first_groups(search *s, rl_error *err)
{
    rl_status status = RL_OK;
    int64_t U = s->num_units, n = FIRST_GROUPS;
    if (n > U) n = U;
    if (n > s->budget) n = s->budget;
    s->num_groups = n;
    for (int64_t i = 0; i < n; i++) {
        s->groups[i] = (group){.first = i * U / n, .count = (i + 1) * U / n - i * U / n};
        RL_TRY(evaluate_group(s, &s->groups[i], err));
    }
cleanup:
    return status;
}

/* The divisible group that costs the concept most; NULL when all neurons stand alone. */
static group *worst_group(search *s)
{
    group *worst = NULL;
    for (int64_t i = 0; i < s->num_groups; i++)
        if (s->groups[i].count > 1 && (!worst || s->groups[i].drop > worst->drop)) worst = &s->groups[i];
    return worst;
}

static rl_status refine(search *s, rl_error *err)
{
    rl_status status = RL_OK;
    group *whole;
    while (s->budget >= 2 && (whole = worst_group(s))) {
        group *half = &s->groups[s->num_groups++];
        int64_t kept = (whole->count + 1) / 2;
        *half = (group){.first = whole->first + kept, .count = whole->count - kept};
        whole->count = kept;
        RL_TRY(evaluate_group(s, whole, err));
        RL_TRY(evaluate_group(s, half, err));
    }
cleanup:
    return status;
}

static int64_t budget_of(const rl_ablation_task *task)
{
    return task->evaluations > 0 ? task->evaluations : EVALUATIONS;
}

/* score [U] of the present layer. */
static rl_status score_state(search *s, double *score, const double *prior, rl_error *err)
{
    rl_status status = RL_OK;
    s->budget = budget_of(s->probe.task);
    RL_TRY(order_units(s, prior, err));
    RL_TRY(first_groups(s, err));
    RL_TRY(refine(s, err));
    for (int64_t i = 0; i < s->num_groups; i++) {
        const group *g = &s->groups[i];
        for (int64_t j = g->first; j < g->first + g->count; j++) score[s->units[j]] = g->drop / (double)g->count;
    }
cleanup:
    return status;
}

/* intact: from hidden state s->state - 1 to s->state. */
static rl_status advance_intact(search *s, rl_error *err)
{
    rl_status status = RL_OK;
    memcpy(s->probe.pass.hidden, s->intact, hidden_bytes(s));
    RL_TRY(rl_pass_advance(&s->probe.pass, s->state, err));
    memcpy(s->intact, s->probe.pass.hidden, hidden_bytes(s));
cleanup:
    return status;
}

rl_status rl_ablation_scores(double *score, const rl_model *model, rl_unit_site site, const rl_ablation_task *task,
                             const double *prior, rl_error *err)
{
    rl_status status = RL_OK;
    search s = {.site = site, .num_units = rl_units_per_layer(&model->config, site)};
    rl_concept_f1 whole;
    RL_TRY(rl_zeroed_f1(&whole, model, task, NULL, 0, err));
    if (whole.concept_f1 == 0)
        return rl_fail(err, RL_ERR_INPUT, "finder ablation: the concept's F1 is 0 before anything is zeroed; nothing can drop");
    s.whole = whole.concept_f1;
    RL_TRY(begin(&s.probe, model, task, err));
    RL_ALLOC(s.intact, task->data->num_tokens * model->config.hidden_size, err);
    RL_ALLOC(s.units, s.num_units, err);
    RL_ALLOC(s.groups, s.num_units, err);
    RL_ALLOC(s.masked, s.num_units, err);
    for (; s.state < rl_unit_layers(&model->config, site); s.state++) {
        RL_TRY(advance_intact(&s, err));
        RL_TRY(score_state(&s, score + s.state * s.num_units, prior, err));
    }
cleanup:
    end(&s.probe);
    rl_free(s.intact);
    rl_free(s.units);
    rl_free(s.groups);
    rl_free(s.masked);
    return status;
}

double rl_ablation_flops(const rl_model_config *config, const rl_ablation_task *task)
{
    double attention = 0, layers = (double)config->num_layers;
    for (int64_t s = 0; s < task->data->num_sentences; s++) {
        double n = (double)(task->data->sentence_start[s + 1] - task->data->sentence_start[s]);
        attention += n * n;
    }
    double forward = rl_model_training_flops(config, (double)task->data->num_tokens, attention) / 3;
    return forward * (2 + (double)budget_of(task) * (layers + 1) / 2); /* states q = 0..L run L - q of L blocks */
}
