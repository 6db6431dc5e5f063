/* neurons_html.c -- how strongly neurons answer to each word of a text, as one self-contained page for light and dark screens. */
#include "neurons_html.h"

#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- activations */

typedef struct picked {
    const int64_t *neurons;
    int64_t count, W;
    float *values; /* [count, W] */
} picked;

static rl_status pick(void *context, int64_t layer, const float *X, int64_t W, int64_t C, rl_error *err)
{
    picked *p = context;
    (void)err;
    for (int64_t i = 0; i < p->count; i++) {
        if (p->neurons[i] / C != layer) continue;
        for (int64_t w = 0; w < W; w++) p->values[i * p->W + w] = X[w * C + p->neurons[i] % C];
    }
    return RL_OK;
}

/* Mean and standard deviation over the text, in double. */
static void moments(double *mean, double *sd, const float *x, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - *mean) * ((double)x[i] - *mean);
    *sd = sqrt(squares / (double)n);
}

/* ----------------------------------------------------------------------------------------------------- page */

static rl_status escaped(rl_buffer *page, const char *text, rl_error *err)
{
    rl_status status = RL_OK;
    for (const char *c = text; *c && status == RL_OK; c++) {
        const char *entity = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
        status = entity ? rl_buffer_printf(page, err, "%s", entity) : rl_buffer_append(page, c, 1, err);
    }
    return status;
}

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>relearn neurons</title>\n<style>\n"
    ":root{color-scheme:light dark;--fg:#1b1b1f;--bg:#fff;--dim:#666;--up:214,94,0;--down:0,114,178;--line:#ddd;--most:.75}\n"
    "@media (prefers-color-scheme:dark){:root{--fg:#e8e8ea;--bg:#16161a;--dim:#a0a0a8;--up:255,150,60;--down:86,180,233;--line:#333;--most:.55}}\n"
    "body{font:16px/1.6 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:62rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}h2{font-size:1.05rem;margin:2rem 0 .2rem;border-top:1px solid var(--line);padding-top:1rem}\n"
    "p{margin:.25rem 0}.d{color:var(--dim);font-size:.9rem}\n"
    "span[style]{border-radius:.2em;padding:.05em .15em}\n"
    /* --most keeps the words readable: at least 4.5 to 1 in both schemes */
    ".u,.l{color:var(--fg)}.u{background:rgba(var(--up),calc(var(--a)*var(--most)))}.l{background:rgba(var(--down),calc(var(--a)*var(--most)))}\n"
    "</style></head><body>\n";

static rl_status sentence(rl_buffer *page, const rl_corpus *text, int64_t s, const float *x, double mean, double sd, rl_error *err)
{
    rl_status status = RL_OK;
    RL_TRY(rl_buffer_printf(page, err, "<p>"));
    for (int64_t w = text->sentence_start[s]; w < text->sentence_start[s + 1]; w++) {
        double z = sd > 0 ? ((double)x[w] - mean) / sd : 0, strength = fabs(z) > 3 ? 1 : fabs(z) / 3;
        RL_TRY(rl_buffer_printf(page, err, "<span class=\"%s\" style=\"--a:%.2f\" title=\"%.4f, z %+.2f\">", z < 0 ? "l" : "u",
                                strength, (double)x[w], z));
        RL_TRY(escaped(page, rl_names_get(text->words, text->word[w]), err));
        RL_TRY(rl_buffer_printf(page, err, "</span> "));
    }
    RL_TRY(rl_buffer_printf(page, err, "</p>\n"));
cleanup:
    return status;
}

static rl_status section(rl_buffer *page, const rl_neuron_table *t, const rl_names *words, const rl_corpus *text, int64_t neuron,
                         const float *x, rl_error *err)
{
    rl_status status = RL_OK;
    double mean = 0, sd = 0;
    moments(&mean, &sd, x, text->num_words);
    RL_TRY(rl_buffer_printf(page, err, "<h2>%lld. neuron %lld: layer %lld, unit %lld</h2>\n<p class=\"d\">score %.6g, saliency %.4f; top words:",
                            (long long)t->rank[neuron] + 1, (long long)neuron, (long long)(neuron / t->hidden_size),
                            (long long)(neuron % t->hidden_size), t->score[neuron], t->saliency[neuron]));
    for (int64_t k = 0; k < t->top_k && t->top_word[neuron * t->top_k + k] >= 0; k++) {
        RL_TRY(rl_buffer_printf(page, err, " "));
        RL_TRY(escaped(page, rl_names_get(words, t->top_word[neuron * t->top_k + k]), err));
    }
    RL_TRY(rl_buffer_printf(page, err, "</p>\n"));
    for (int64_t s = 0; s < text->num_sentences; s++) RL_TRY(sentence(page, text, s, x, mean, sd, err));
cleanup:
    return status;
}

rl_status rl_neurons_html(rl_buffer *page, const rl_model *model, const char *model_folder, const rl_neuron_table *table,
                          const rl_names *words, const rl_corpus *text, const rl_encoded *encoded, const char *method, int64_t top,
                          rl_error *err)
{
    rl_status status = RL_OK;
    int64_t count = top < table->num_neurons ? top : table->num_neurons, *neurons = NULL;
    picked p = {.count = count, .W = text->num_words};
    RL_ALLOC(neurons, count, err);
    RL_ALLOC(p.values, count * text->num_words, err);
    p.neurons = neurons;
    for (int64_t n = 0; n < table->num_neurons; n++)
        if (table->rank[n] < count) neurons[table->rank[n]] = n;
    RL_TRY(rl_activations_visit(model, encoded, pick, &p, err));
    RL_TRY(rl_buffer_append(page, head, sizeof head - 1, err));
    RL_TRY(rl_buffer_printf(page, err, "<h1>Neurons of "));
    RL_TRY(escaped(page, model_folder, err));
    RL_TRY(rl_buffer_printf(page, err, "</h1>\n<p class=\"d\">The %lld best by %s. Colour: how far a word's activation lies above "
                            "(<span class=\"u\" style=\"--a:1\">so</span>) or below (<span class=\"l\" style=\"--a:1\">so</span>) the "
                            "neuron's mean over this text, full at three standard deviations.</p>\n", (long long)count, method));
    for (int64_t i = 0; i < count; i++)
        RL_TRY(section(page, table, words, text, neurons[i], p.values + i * text->num_words, err));
    RL_TRY(rl_buffer_printf(page, err, "</body></html>\n"));
cleanup:
    rl_free(neurons);
    rl_free(p.values);
    return status;
}
