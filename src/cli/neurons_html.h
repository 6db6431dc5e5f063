/* neurons_html.h -- see neurons_html.c. */
#ifndef RELEARN_NEURONS_HTML_H
#define RELEARN_NEURONS_HTML_H

#include "cli.h"

/* Append a page with the `top` best neurons' activations on every word of text. */
rl_status rl_neurons_html(rl_buffer *page, const rl_model *model, const char *model_folder, const rl_neuron_table *table,
                          const rl_names *words, const rl_corpus *text, const rl_encoded *encoded, const char *method, int64_t top,
                          rl_error *err);

#endif
