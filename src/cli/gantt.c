/* gantt.c -- see gantt.h. */
#include "gantt.h"

#include <math.h>
#include <string.h>

enum { LOST = RL_NUM_WORK_KINDS, NUM_KINDS };
static const char *const colours[NUM_KINDS] = {"#3b6fb6", "#e0a030", "#7a4fa3", "#4f9d69", "#d9705a", "#2aa5a5", "#222222", "#bbbbbb"};
static const double left = 90, top = 150, width = 1100, row_height = 9, curve_height = 80;

rl_gantt rl_gantt_begin(const rl_plan *plan, int32_t num_workers)
{
    return (rl_gantt){.plan = plan,
                      .num_workers = num_workers,
                      .num_rows = num_workers < RL_GANTT_ROWS ? num_workers : RL_GANTT_ROWS,
                      .bin_s = 1e-3};
}

void rl_gantt_free(rl_gantt *gantt)
{
    rl_free(gantt->bars);
    gantt->bars = NULL;
}

static void widen_bins(rl_gantt *g)
{
    for (int i = 0; i < RL_GANTT_BINS / 2; i++) g->busy_s[i] = g->busy_s[2 * i] + g->busy_s[2 * i + 1];
    memset(g->busy_s + RL_GANTT_BINS / 2, 0, sizeof g->busy_s / 2);
    g->bin_s *= 2;
}

static void count_busy(rl_gantt *g, double start_s, double end_s)
{
    while (end_s >= g->bin_s * RL_GANTT_BINS) widen_bins(g);
    int first = (int)(start_s / g->bin_s), last = (int)(end_s / g->bin_s);
    for (int i = first; i <= last; i++)
        g->busy_s[i] += fmin(end_s, g->bin_s * (i + 1)) - fmax(start_s, g->bin_s * i);
}

static int32_t row_of(const rl_gantt *g, int32_t worker) /* -1: not drawn */
{
    int32_t row = (int32_t)((int64_t)worker * g->num_rows / g->num_workers);
    return (int32_t)(((int64_t)row * g->num_workers + g->num_rows - 1) / g->num_rows) == worker ? row : -1;
}

void rl_gantt_add(void *gantt, int32_t worker, int32_t node, double start_s, double end_s, bool lost)
{
    rl_gantt *g = gantt;
    const rl_node *of = &g->plan->nodes[node];
    int32_t row = row_of(g, worker);
    count_busy(g, start_s, end_s);
    if (row < 0 || g->status != RL_OK) return;
    if (g->count == g->capacity) {
        size_t capacity = g->capacity ? 2 * g->capacity : 1024;
        rl_gantt_bar *grown = rl_regrow(g->bars, g->count, capacity, sizeof *grown, NULL);
        if (!grown) g->status = RL_ERR_MEMORY;
        if (!grown) return;
        g->bars = grown;
        g->capacity = capacity;
    }
    int kind = lost ? LOST : rl_work_kind(of);
    g->bars[g->count++] = (rl_gantt_bar){start_s, end_s, row, (int8_t)kind};
}

/* ---------------------------------------------------------------------------------------------------- drawing */

static rl_status heading(rl_buffer *svg, const rl_gantt *g, const rl_simulation *r, double height, rl_error *err)
{
    rl_status status = RL_OK;
    char makespan[32];
    rl_format_seconds(makespan, r->makespan_s);
    RL_TRY(rl_buffer_printf(svg, err,
                            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" "
                            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                            left + width + 20, height));
    RL_TRY(rl_buffer_printf(svg, err,
                            "<text x=\"%g\" y=\"20\" font-size=\"15\">%s: %lld runs on %d worker%s, %s, efficiency %.1f %%</text>\n",
                            left, g->plan->sweep->name, (long long)g->plan->sweep->num_runs, (int)g->num_workers,
                            g->num_workers == 1 ? "" : "s", makespan, 100 * r->efficiency));
    for (int k = 0; k < NUM_KINDS; k++) {
        const char *name = k == LOST ? "lost" : rl_work_kind_name(k);
        RL_TRY(rl_buffer_printf(svg, err, "<rect x=\"%g\" y=\"30\" width=\"10\" height=\"10\" fill=\"%s\"/><text x=\"%g\" y=\"39\">%s</text>\n",
                                left + 90 * k, colours[k], left + 90 * k + 14, name));
    }
cleanup:
    return status;
}

/* Share of busy workers over time. */
static rl_status curve(rl_buffer *svg, const rl_gantt *g, double makespan_s, rl_error *err)
{
    rl_status status = RL_OK;
    double base = top - 15;
    RL_TRY(rl_buffer_printf(svg, err, "<text x=\"10\" y=\"%g\">busy</text><polygon fill=\"#cfdcec\" points=\"%g,%g", base - 30, left, base));
    for (int i = 0; i < RL_GANTT_BINS; i++) {
        double start = g->bin_s * i, span = fmin(g->bin_s, makespan_s - start);
        if (span <= 0) break;
        double y = base - curve_height * fmin(g->busy_s[i] / (span * g->num_workers), 1);
        double x0 = left + width * start / makespan_s, x1 = left + width * (start + span) / makespan_s;
        RL_TRY(rl_buffer_printf(svg, err, " %.1f,%.1f %.1f,%.1f", x0, y, x1, y));
    }
    RL_TRY(rl_buffer_printf(svg, err, " %g,%g\"/>\n", left + width, base));
cleanup:
    return status;
}

/* What is drawn as one rectangle: bars that touch, of one kind or too narrow to be seen apart. */
typedef struct block {
    double start_s, end_s, seconds[NUM_KINDS];
} block;

static int main_kind(const block *b)
{
    int most = 0;
    for (int k = 1; k < NUM_KINDS; k++)
        if (b->seconds[k] > b->seconds[most]) most = k;
    return most;
}

static bool belongs_to(const block *b, const rl_gantt_bar *bar, double scale)
{
    bool touches = b->end_s > b->start_s && (bar->start_s - b->end_s) * scale < 0.5;
    bool narrow = (b->end_s - b->start_s) * scale < 1 && (bar->end_s - bar->start_s) * scale < 1;
    return touches && (narrow || main_kind(b) == bar->kind);
}

static rl_status draw_block(rl_buffer *svg, const block *b, int32_t row, double scale, rl_error *err)
{
    if (b->end_s <= b->start_s) return RL_OK;
    return rl_buffer_printf(svg, err, "<rect x=\"%.2f\" y=\"%g\" width=\"%.2f\" height=\"%g\" fill=\"%s\"/>\n", left + b->start_s * scale,
                            top + row_height * row, (b->end_s - b->start_s) * scale, row_height - 1, colours[main_kind(b)]);
}

/* Bars of one row come in order of time. */
static rl_status rows(rl_buffer *svg, const rl_gantt *g, double makespan_s, rl_error *err)
{
    rl_status status = RL_OK;
    block open[RL_GANTT_ROWS] = {0};
    double scale = makespan_s > 0 ? width / makespan_s : 0;
    for (int32_t r = 0; r < g->num_rows; r++) {
        int64_t worker = ((int64_t)r * g->num_workers + g->num_rows - 1) / g->num_rows;
        RL_TRY(rl_buffer_printf(svg, err, "<text x=\"10\" y=\"%g\" font-size=\"8\">worker %lld</text>\n", top + row_height * r + 7,
                                (long long)worker));
    }
    for (size_t i = 0; i < g->count; i++) {
        const rl_gantt_bar *bar = &g->bars[i];
        block *b = &open[bar->row];
        if (!belongs_to(b, bar, scale)) {
            RL_TRY(draw_block(svg, b, bar->row, scale, err));
            *b = (block){.start_s = bar->start_s};
        }
        b->end_s = bar->end_s;
        b->seconds[bar->kind] += bar->end_s - bar->start_s;
    }
    for (int32_t r = 0; r < g->num_rows; r++) RL_TRY(draw_block(svg, &open[r], r, scale, err));
cleanup:
    return status;
}

static rl_status axis(rl_buffer *svg, double makespan_s, double y, rl_error *err)
{
    rl_status status = RL_OK;
    for (int i = 0; i <= 5; i++) {
        char text[32];
        rl_format_seconds(text, makespan_s * i / 5);
        const char *anchor = i < 5 ? "middle" : "end"; /* the last ends with the axis: beyond it the picture does */
        RL_TRY(rl_buffer_printf(svg, err, "<text x=\"%g\" y=\"%g\" text-anchor=\"%s\">%s</text>\n", left + width * i / 5, y, anchor, text));
    }
cleanup:
    return status;
}

rl_status rl_gantt_write(const rl_gantt *g, const char *file, const rl_simulation *result, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer svg = {0};
    double bottom = top + row_height * g->num_rows;
    if (g->status != RL_OK) return rl_fail(err, g->status, "%s: out of memory for the picture", file);
    RL_TRY(heading(&svg, g, result, bottom + 30, err));
    RL_TRY(curve(&svg, g, result->makespan_s, err));
    RL_TRY(rows(&svg, g, result->makespan_s, err));
    RL_TRY(axis(&svg, result->makespan_s, bottom + 18, err));
    RL_TRY(rl_buffer_printf(&svg, err, "</svg>\n"));
    RL_TRY(rl_write_file(file, svg.data, svg.length, err));
cleanup:
    rl_buffer_free(&svg);
    return status;
}
