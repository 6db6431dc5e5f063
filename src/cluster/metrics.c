/* metrics.c -- a sweep's state in Prometheus' text format, for node_exporter's textfile collector. */
#include "cluster_internal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The folder as all hosts and working directories name it, with what the format wants escaped. */
static void escape_directory(rl_buffer *out, const char *directory)
{
    char resolved[PATH_MAX];
    const char *whole = realpath(directory, resolved);
    rl_buffer_append(out, "", 0, NULL);
    for (const char *at = whole ? whole : directory; *at;) {
        const size_t length = rl_utf8_length(at);
        if (length == 0) /* the collector would refuse the file */
            rl_buffer_printf(out, NULL, "\\\\x%02x", (unsigned)(unsigned char)*at);
        else if (*at == '\n')
            rl_buffer_append(out, "\\n", 2, NULL);
        else
            rl_buffer_printf(out, NULL, "%s%.*s", *at == '\\' || *at == '"' ? "\\" : "", (int)length, at);
        at += length ? length : 1;
    }
}

static void add(rl_buffer *text, const rl_metrics *m, const char *name, const char *type, const char *help, const char *label, double value)
{
    if (!isfinite(value)) return; /* unknown: no sample */
    if (help) rl_buffer_printf(text, NULL, "# HELP relearn_%s %s\n# TYPE relearn_%s %s\n", name, help, name, type);
    rl_buffer_printf(text, NULL, "relearn_%s{sweep=\"%s\",directory=\"%s\"%s} %.17g\n", name, m->sweep, m->directory, label, value);
}

void rl_metrics_write(const char *file, const rl_metrics *given)
{
    rl_buffer text = {0}, directory = {0};
    rl_metrics escaped = *given;
    const rl_metrics *m = &escaped;
    escape_directory(&directory, given->directory);
    escaped.directory = directory.data ? directory.data : "";
    const rl_sweep_progress *p = m->progress;
    add(&text, m, "runs", "gauge", "Runs of the sweep by state.", ",state=\"done\"", (double)p->runs.done);
    add(&text, m, "runs", "gauge", NULL, ",state=\"failed\"", (double)p->runs.failed);
    add(&text, m, "runs", "gauge", NULL, ",state=\"running\"", (double)p->runs.running);
    add(&text, m, "runs", "gauge", NULL, ",state=\"waiting\"", (double)p->runs.waiting);
    add(&text, m, "runs", "gauge", NULL, ",state=\"left_out\"", (double)p->runs.left_out);
    add(&text, m, "stages", "gauge", "Stages and shards of the plan.", "", (double)p->nodes_total);
    add(&text, m, "stages_done", "gauge", "Stages and shards done.", "", (double)p->nodes_done);
    add(&text, m, "stage_failures_total", "counter", "Stages that failed in this start.", "", (double)p->nodes_failed);
    add(&text, m, "stage_retries_total", "counter", "Failed stages tried again in this start.", "", (double)m->retries);
    add(&text, m, "workers", "gauge", "Ranks that work.", "", (double)m->num_workers);
    add(&text, m, "workers_busy", "gauge", "Ranks that have a stage.", "", (double)m->num_busy);
    add(&text, m, "busy_seconds_total", "counter", "Seconds of finished stages over all ranks.", "", m->busy_s);
    add(&text, m, "tokens_per_second", "gauge", "Training tokens a second over all ranks.", "", p->tokens_per_second);
    add(&text, m, "elapsed_seconds", "gauge", "Since this start.", "", p->elapsed_s);
    add(&text, m, "eta_seconds", "gauge", "Predicted seconds left.", "", p->eta_s);
    add(&text, m, "last_f1", "gauge", "The newest word-level validation F1.", "", p->last_f1);
    add(&text, m, "coordinator_messages_total", "counter", "Messages handled by the coordinator.", "", (double)m->messages);
    add(&text, m, "coordinator_busy_seconds_total", "counter", "Time the coordinator spent on them.", "", m->messages_s);
    add(&text, m, "disk_free_bytes", "gauge", "Free where the sweep writes.", "", m->disk_free_bytes);
    add(&text, m, "finished", "gauge", "1 once this start has ended.", "", m->finished ? 1 : 0);
    if (text.length) rl_write_file(file, text.data, text.length, NULL); /* only for onlookers: its failure harms nothing */
    rl_buffer_free(&text);
    rl_buffer_free(&directory);
}
