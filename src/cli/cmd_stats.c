/* cmd_stats.c: relearn stats DIR [--json] -- cross-run statistics into DIR/results.h5:/stats, and the main findings. */
#include "cli.h"

#include "relearn/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rl_option options[] = {{"json", NULL, "the findings as JSON on standard output"}, {NULL, NULL, NULL}};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* "0.902 [0.896, 0.908]", with * where so few seeds cannot cover 95 %; "0.902 (1 seed)"; "-". */
static void print_estimate(const json_t *e, double *fewest)
{
    char value[64];
    double n = number(e, "n");
    bool few = n >= 2 && number(e, "coverage_at_most") < 0.95;
    if (few && !(n >= *fewest)) *fewest = n;
    if (!(n > 0))
        snprintf(value, sizeof value, "-");
    else if (n < 2)
        snprintf(value, sizeof value, "%.3f (1 seed)", number(e, "mean"));
    else
        snprintf(value, sizeof value, "%.3f [%.3f, %.3f]%s", number(e, "mean"), number(e, "low"), number(e, "high"), few ? "*" : "");
    printf("  %-22s", value);
}

static void print_few_seeds(double fewest)
{
    if (isfinite(fewest))
        printf("* not 95 %%: an interval over %.0f seeds covers at most %g %%; 6 seeds are the fewest that can give 95 %%\n", fewest,
               100 * (1 - pow(2, 1 - fewest)));
}

static int label_width(const json_t *cells)
{
    const json_t *cell;
    size_t i;
    int width = 4;
    json_array_foreach(cells, i, cell) if ((int)strlen(text(cell, "label")) > width) width = (int)strlen(text(cell, "label"));
    return width;
}

static void print_table(const json_t *cells, const char *title, const char *key, const char *axis)
{
    const json_t *cell, *e;
    size_t i, k;
    int width = label_width(cells);
    double fewest = NAN;
    printf("\n%s%s%s\n%-*s", rl_bold(stdout), title, rl_plain(stdout), width, "cell");
    json_array_foreach(json_object_get(json_array_get(cells, 0), key), k, e)
    {
        if (!strcmp(axis, "stage"))
            printf("  %-22s", text(e, axis));
        else
            printf("  %s %-*lld", axis, 21 - (int)strlen(axis), (long long)number(e, axis));
    }
    printf("\n");
    json_array_foreach(cells, i, cell)
    {
        printf("%-*s", width, text(cell, "label"));
        json_array_foreach(json_object_get(cell, key), k, e) print_estimate(e, &fewest);
        printf("\n");
    }
    print_few_seeds(fewest);
}

static void print_cells(const json_t *cells)
{
    const json_t *cell;
    size_t i;
    int width = label_width(cells);
    printf("%s%-*s  planned    done  failed   half-life, epochs (Kaplan-Meier)%s\n", rl_bold(stdout), width, "cell", rl_plain(stdout));
    json_array_foreach(cells, i, cell)
    {
        const json_t *life = json_object_get(cell, "half_life");
        double median = number(life, "median_epochs");
        printf("%-*s  %7.0f %7.0f %7.0f   ", width, text(cell, "label"), number(cell, "planned"), number(cell, "done"),
               number(cell, "failed"));
        if (!(number(life, "n") > 0))
            printf("undefined: no run lost enough F1 to pruning\n");
        else if (isnan(median))
            printf("not reached by half of %.0f (%.0f never)\n", number(life, "n"), number(life, "censored"));
        else
            printf("%.0f (%.0f of %.0f never)\n", median, number(life, "censored"), number(life, "n"));
    }
}

/* The cells that have one. */
static void print_robustness(const json_t *cells)
{
    const json_t *cell;
    size_t i;
    int width = label_width(cells), count = 0;
    double fewest = NAN;
    json_array_foreach(cells, i, cell)
    {
        const json_t *e = json_object_get(cell, "robustness");
        if (!(number(e, "n") > 0)) continue;
        if (!count++)
            printf("\n%sRelearning robustness R%s: gain in concept F1 of a model that never learned the concept, over the gain after pruning (1 = no faster)\n",
                   rl_bold(stdout), rl_plain(stdout));
        printf("%-*s", width, text(cell, "label"));
        print_estimate(e, &fewest);
        printf("\n");
    }
    print_few_seeds(fewest);
}

static void print_comparison(const json_t *c)
{
    char layer[32] = "";
    if (number(c, "layer") >= 0) snprintf(layer, sizeof layer, " layer %.0f", number(c, "layer"));
    printf("  %s: %s - %s, %s%s%s%s: ", text(c, "context"), text(c, "arm_a"), text(c, "arm_b"), text(c, "measure"),
           *text(c, "stage") ? " " : "", text(c, "stage"), layer);
    if (isfinite(number(c, "difference"))) printf("%+.4f, ", number(c, "difference"));
    if (isfinite(number(c, "low")))
        printf("[%+.4f, %+.4f]%s, ", number(c, "low"), number(c, "high"), number(c, "coverage_at_most") < 0.95 ? "*" : "");
    printf("n %.0f", number(c, "n"));
    if (isfinite(number(c, "p"))) printf(", p %.4g, adjusted %.4g", number(c, "p"), number(c, "p_adjusted"));
    printf(": %s", text(c, "verdict"));
    if (strcmp(text(c, "verdict"), "claimed") && number(c, "seeds_needed") > 0)
        printf("; about %.0f seeds would settle it", number(c, "seeds_needed"));
    printf("\n");
}

/* All claims, and of the rest what has no layer. */
static void print_comparisons(const json_t *list)
{
    const json_t *c;
    size_t i;
    int claimed = 0;
    if (!json_array_size(list)) return;
    json_array_foreach(list, i, c) claimed += number(c, "claimed") > 0;
    printf("\n%sComparisons, paired by seed%s: %d of %zu claimed (sign-flip and BCa agree, Benjamini-Hochberg at 0.05)\n",
           rl_bold(stdout), rl_plain(stdout), claimed, json_array_size(list));
    json_array_foreach(list, i, c) if (number(c, "claimed") > 0 || number(c, "layer") < 0) print_comparison(c);
}

static void print_regression(const json_t *list)
{
    const json_t *t;
    size_t i;
    if (!json_array_size(list)) return;
    printf("\n%sSaliency after retraining, regressed%s (standard errors clustered by seed)\n", rl_bold(stdout), rl_plain(stdout));
    json_array_foreach(list, i, t)
    {
        if (isnan(number(t, "estimate"))) continue;
        printf("  %-12s %-16s %+.4f", text(t, "fit"), text(t, "term"), number(t, "estimate"));
        if (isfinite(number(t, "se")))
            printf(" [%+.4f, %+.4f], p %.4g", number(t, "low"), number(t, "high"), number(t, "p"));
        else
            printf(" (one seed: no interval)");
        printf("\n");
    }
}

static void print_variance(const json_t *list)
{
    const json_t *t;
    size_t i;
    if (!json_array_size(list)) return;
    printf("\n%sShare of the variance between runs%s (type II)\n", rl_bold(stdout), rl_plain(stdout));
    json_array_foreach(list, i, t)
    {
        bool untold = isnan(number(t, "share")) && number(t, "df") == 0; /* one value, or other axes determine it */
        if (isnan(number(t, "share")) && !untold) continue;
        printf("  %-16s %-20s ", text(t, "response"), text(t, "factor"));
        if (untold)
            printf("not to be told: it has one value among these runs, or other axes determine it");
        else
            printf("%5.1f %%", 100 * number(t, "share"));
        if (isfinite(number(t, "p"))) printf("  F %.3g, p %.3g", number(t, "F"), number(t, "p"));
        printf("\n");
    }
}

static void print_findings(const json_t *findings)
{
    const json_t *cells = json_object_get(findings, "cells"), *runs = json_object_get(findings, "runs"), *line;
    size_t i;
    printf("%s: %.0f of %.0f runs done, %.0f failed\n\n", text(findings, "results"), number(runs, "done"), number(runs, "planned"),
           number(runs, "failed"));
    print_cells(cells);
    print_table(cells, "Entity F1 on validation, mean over seeds [95 % BCa]", "f1", "stage");
    print_table(cells, "Recovery: share of the F1 lost to pruning that came back", "recovery", "round");
    print_robustness(cells);
    print_comparisons(json_object_get(findings, "comparisons"));
    print_regression(json_object_get(findings, "regression"));
    print_variance(json_object_get(findings, "variance"));
    json_array_foreach(json_object_get(findings, "skipped"), i, line)
        printf("%s%s%s\n", i ? "" : "\nNot answered by this sweep:\n  ", i ? "  " : "", json_string_value(line));
}

static rl_status print_json(const json_t *findings, rl_error *err)
{
    char *dump = json_dumps(findings, JSON_INDENT(2));
    if (!dump) return rl_fail(err, RL_ERR_MEMORY, "the findings cannot be printed");
    printf("%s\n", dump);
    free(dump); /* jansson's allocation, not ours */
    return RL_OK;
}

static rl_status keep_others_out(rl_lock *lock, const char *directory, rl_error *err)
{
    char *path = rl_path_join(directory, "lock", err), *results = rl_path_join(directory, "results.h5", err);
    rl_status status = path && results ? RL_OK : RL_ERR_MEMORY;
    if (status == RL_OK && !rl_path_exists(results))
        status = rl_fail(err, RL_ERR_INPUT, "%s: no such file; relearn run or relearn gather %s makes it", results, directory);
    if (status == RL_OK) status = rl_lock_take(lock, path, err);
    if (status == RL_OK) status = rl_remove_temporaries(directory, err);
    rl_free(results);
    rl_free(path);
    return status;
}

static rl_status run(const rl_args *args, int *exit_code, rl_error *err)
{
    rl_status status = RL_OK;
    json_t *findings = NULL;
    rl_lock lock = {.descriptor = -1};
    int rank = 0;
    (void)exit_code;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    status = rl_linalg_init(NULL, err); /* one BLAS thread a rank */
    if (status == RL_OK && rank == 0) status = keep_others_out(&lock, args->operands[0], err);
    RL_TRY(rl_cluster_agree(MPI_COMM_WORLD, status, err));
    RL_TRY(rl_stats_compute(MPI_COMM_WORLD, args->operands[0], &findings, err));
    if (rank == 0 && rl_args_flag(args, "json")) status = print_json(findings, err);
    if (rank == 0 && !rl_args_flag(args, "json")) print_findings(findings);
cleanup:
    rl_lock_release(&lock);
    json_decref(findings);
    return status;
}

const rl_command rl_command_stats = {
    "stats", "DIR [--json]", "statistics over all runs, into DIR/results.h5:/stats, collectively under mpirun", 1, 1, options,
    "Intervals are over seeds, never over neurons; runs that failed or are missing are counted and left out. relearn run does\n"
    "this at its end by itself. What is written where: docs/results-format.md.\n",
    run, true};
