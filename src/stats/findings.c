/* findings.c -- the main findings as JSON, from what will be written: per cell the runs, F1 and recovery with intervals,
 * half-life; the comparisons that say something; what the sweep cannot answer. */
#include "stats_steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double real_at(const rl_outputs *o, const char *path, int64_t i)
{
    const rl_output *item = rl_outputs_find(o, path);
    if (!item || i >= (int64_t)rl_array_count(&item->array)) return NAN;
    switch (item->array.element) {
    case RL_F64: return ((const double *)item->values)[i];
    case RL_I32: return ((const int32_t *)item->values)[i];
    case RL_I64: return (double)((const int64_t *)item->values)[i];
    case RL_I8: return ((const int8_t *)item->values)[i];
    default: return NAN;
    }
}

static json_t *text_at(const rl_outputs *o, const char *path, int64_t i)
{
    const rl_output *item = rl_outputs_find(o, path);
    if (!item || item->array.element != RL_TEXT || i >= (int64_t)rl_array_count(&item->array)) return json_string("");
    const char *at = (const char *)item->values + (size_t)i * item->array.width;
    json_t *text = json_stringn(at, strnlen(at, item->array.width));
    return text ? text : json_string("?");
}

static json_t *estimate_at(const rl_outputs *o, const char *group, const char *name, int64_t i)
{
    char path[200];
    double v[4];
    static const char *const suffixes[] = {"", "_low", "_high", "_n"};
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s%s", group, name, suffixes[k]);
        v[k] = real_at(o, path, i);
    }
    int n = isfinite(v[3]) ? (int)v[3] : 0;
    return json_pack("{s:o, s:o, s:o, s:i, s:o}", "mean", rl_json_number(v[0]), "low", rl_json_number(v[1]), "high",
                     rl_json_number(v[2]), "n", n, "coverage_at_most", rl_json_number(rl_largest_coverage(n)));
}

static json_t *estimates_along(const rl_outputs *o, const char *group, const char *name, const char *axis, int64_t first,
                               int64_t count)
{
    json_t *list = json_array();
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, axis);
    const rl_output *scale = rl_outputs_find(o, path);
    for (int64_t i = 0; scale && i < count; i++) {
        json_t *entry = estimate_at(o, group, name, first + i);
        json_object_set_new(entry, axis, scale->array.element == RL_TEXT ? text_at(o, path, i)
                                                                          : json_integer((json_int_t)real_at(o, path, i)));
        json_array_append_new(list, entry);
    }
    return list;
}

static int64_t length_of(const rl_outputs *o, const char *path)
{
    const rl_output *item = rl_outputs_find(o, path);
    return item ? (int64_t)item->array.dims[0] : 0;
}

/* entry[name] = group's value i, for each name. */
static void set_numbers(json_t *entry, const rl_outputs *o, const char *group, const char *const *names, size_t count,
                        int64_t i)
{
    char path[200];
    for (size_t k = 0; k < count; k++) {
        snprintf(path, sizeof path, "%s/%s", group, names[k]);
        json_object_set_new(entry, names[k], rl_json_number(real_at(o, path, i)));
    }
}
#define SET_NUMBERS(entry, o, group, names, i) set_numbers(entry, o, group, names, sizeof(names) / sizeof *(names), i)

static json_t *half_life_of(const rl_outputs *o, int64_t cell)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:i, s:i}", "median_epochs",
                     rl_json_number(real_at(o, "/stats/recovery/half_life", cell)), "low",
                     rl_json_number(real_at(o, "/stats/recovery/half_life_low", cell)), "high",
                     rl_json_number(real_at(o, "/stats/recovery/half_life_high", cell)), "n",
                     (int)real_at(o, "/stats/recovery/half_life_n", cell), "censored",
                     (int)real_at(o, "/stats/recovery/half_life_censored", cell), "undefined",
                     (int)real_at(o, "/stats/recovery/half_life_undefined", cell));
}

static json_t *cell_json(const rl_source *s, const rl_outputs *o, int64_t cell)
{
    int64_t rounds = length_of(o, "/stats/recovery/round");
    return json_pack("{s:i, s:o, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "cell", (int)cell, "label",
                     text_at(o, "/stats/cells/label", cell), "planned", (int)real_at(o, "/stats/cells/planned", cell), "done",
                     (int)real_at(o, "/stats/cells/done", cell), "failed", (int)real_at(o, "/stats/cells/failed", cell), "f1",
                     estimates_along(o, "/stats/scores", "f1", "stage", cell * s->num_stages, s->num_stages), "recovery",
                     estimates_along(o, "/stats/recovery", "rho", "round", cell * rounds, rounds), "area",
                     estimate_at(o, "/stats/recovery", "area", cell), "robustness",
                     estimate_at(o, "/stats/robustness", "robustness", cell), "half_life", half_life_of(o, cell));
}

static json_t *comparison_json(const rl_outputs *o, int64_t i)
{
    static const char *const texts[] = {"family", "arm_a", "arm_b", "context", "measure", "stage", "verdict"};
    static const char *const numbers[] = {"layer", "n", "missing", "mean_a", "mean_b", "difference", "low", "high", "p",
                                          "p_smallest", "p_adjusted", "family_size", "d_z", "g_z", "superiority", "claimed",
                                          "seeds_needed", "seeds_needed_alone", "coverage_at_most"};
    json_t *entry = json_object();
    char path[200];
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        snprintf(path, sizeof path, "/stats/comparisons/%s", texts[k]);
        json_object_set_new(entry, texts[k], text_at(o, path, i));
    }
    SET_NUMBERS(entry, o, "/stats/comparisons", numbers, i);
    return entry;
}

static json_t *terms_json(const rl_outputs *o)
{
    static const char *const numbers[] = {"estimate", "se", "t", "p", "low", "high"};
    json_t *list = json_array();
    int64_t fits = length_of(o, "/stats/regression/fit"), terms = length_of(o, "/stats/regression/term");
    for (int64_t i = 0; i < fits * terms; i++) {
        json_t *entry = json_object();
        json_object_set_new(entry, "fit", text_at(o, "/stats/regression/fit", i / terms));
        json_object_set_new(entry, "term", text_at(o, "/stats/regression/term", i % terms));
        json_object_set_new(entry, "num_clusters",
                            json_integer((json_int_t)real_at(o, "/stats/regression/num_clusters", i / terms)));
        SET_NUMBERS(entry, o, "/stats/regression", numbers, i);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *variance_json(const rl_outputs *o)
{
    static const char *const numbers[] = {"sum_of_squares", "df", "F", "p", "share"};
    json_t *list = json_array();
    int64_t responses = length_of(o, "/stats/variance/response"), factors = length_of(o, "/stats/variance/factor");
    for (int64_t i = 0; i < responses * factors; i++) {
        json_t *entry = json_object();
        json_object_set_new(entry, "response", text_at(o, "/stats/variance/response", i / factors));
        json_object_set_new(entry, "factor", text_at(o, "/stats/variance/factor", i % factors));
        SET_NUMBERS(entry, o, "/stats/variance", numbers, i);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *skipped_json(const rl_outputs *o)
{
    json_t *list = json_array();
    for (const char *at = o->skipped.length ? o->skipped.data : NULL; at && *at;) {
        size_t length = strcspn(at, "\n");
        json_array_append_new(list, json_stringn(at, length));
        at += length + (at[length] == '\n');
    }
    return list;
}

rl_status rl_findings_make(json_t **out, const rl_source *s, const rl_outputs *o, rl_error *err)
{
    json_t *cells = json_array(), *comparisons = json_array();
    int64_t failed = 0;
    for (int64_t c = 0; c < s->num_cells; c++) {
        json_array_append_new(cells, cell_json(s, o, c));
        failed += (int64_t)real_at(o, "/stats/cells/failed", c);
    }
    for (int64_t i = 0; i < length_of(o, "/stats/comparisons/comparison"); i++)
        json_array_append_new(comparisons, comparison_json(o, i));
    *out = json_pack("{s:s, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o}", "format", RL_STATS_FORMAT, "results", rl_json_text(s->path),
                     "runs", "planned", (json_int_t)s->num_runs, "done", (json_int_t)s->num_done, "failed",
                     (json_int_t)failed, "cells", cells, "comparisons", comparisons, "regression", terms_json(o), "variance",
                     variance_json(o), "skipped", skipped_json(o));
    return *out ? RL_OK : rl_fail(err, RL_ERR_MEMORY, "the findings cannot be put together");
}
