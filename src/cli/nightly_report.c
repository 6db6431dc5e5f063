/* nightly_report.c -- did any metric move? DIR/nightly/<UTC>.json, and the verdict on standard output. */
#include "nightly.h"

#include "relearn/stats.h"

#include <math.h>

/* Where no earlier seed had tonight's settings, those with other ones are what it is compared with. */
static int group_before(const rl_night *night, int32_t metric) { return night->values[RL_NIGHT_BEFORE][metric].count ? RL_NIGHT_BEFORE : RL_NIGHT_OTHERS; }

static rl_status make_drifts(rl_drift **out, const rl_night *night, double q, int64_t *num_moved, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t n = rl_names_count(night->metrics);
    rl_drift *drifts = NULL;
    RL_ALLOC(drifts, n, err);
    for (int32_t i = 0; i < n; i++) {
        const rl_night_series *before = &night->values[group_before(night, i)][i], *now = &night->values[RL_NIGHT_NOW][i];
        drifts[i] = (rl_drift){.before = before->values, .num_before = before->count, .now = now->values, .num_now = now->count};
    }
    RL_TRY(rl_drift_compare(drifts, n, q, num_moved, err));
    *out = drifts;
    return RL_OK;
cleanup:
    rl_free(drifts);
    return status;
}

static int32_t count_compared(const rl_night *night, const rl_drift *drifts)
{
    int32_t compared = 0;
    for (int32_t i = 0; i < rl_names_count(night->metrics); i++) compared += isfinite(drifts[i].p);
    return compared;
}

static json_t *report_of(const rl_night *night, const rl_drift *drifts, int64_t num_moved, double q)
{
    char now[21];
    json_t *metrics = json_array(), *shards = json_array();
    rl_utc_timestamp(now);
    for (int32_t i = 0; i < rl_names_count(night->ids); i++) json_array_append_new(shards, json_string(rl_names_get(night->ids, i)));
    for (int32_t i = 0; i < rl_names_count(night->metrics); i++) {
        const rl_drift *d = &drifts[i];
        bool both = d->num_before && d->num_now;
        json_array_append_new(
            metrics, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "metric", rl_names_get(night->metrics, i), "compared_with",
                               group_before(night, i) == RL_NIGHT_BEFORE ? "same settings" : "other settings", "seeds_before", (json_int_t)d->num_before, "seeds_now", (json_int_t)d->num_now, "mean_before",
                               rl_json_number(both ? d->mean_before : NAN), "mean_now", rl_json_number(both ? d->mean_now : NAN),
                               "predicted_low", rl_json_number(d->low), "predicted_high", rl_json_number(d->high), "p",
                               rl_json_number(d->p), "smallest_possible_p", rl_json_number(d->smallest), "adjusted_p",
                               rl_json_number(d->adjusted), "exact", (int)d->exact, "moved", (int)d->moved));
    }
    return json_pack("{s:s, s:f, s:I, s:I, s:o, s:o}", "time", now, "q", q, "metrics_moved", (json_int_t)num_moved, "metrics_compared",
                     (json_int_t)count_compared(night, drifts), "metrics", metrics, "shards", shards);
}

static void print_drift(const char *name, const rl_drift *d)
{
    printf("  %s%-56s%s %.4f (%lld seeds) -> %.4f (%lld new), expected %.4f to %.4f, adjusted p %.4f\n", d->moved ? rl_red(stdout) : "", name,
           rl_plain(stdout), d->mean_before, (long long)d->num_before, d->mean_now, (long long)d->num_now, d->low, d->high, d->adjusted);
}

static bool is_outside(const rl_drift *d) { return isfinite(d->low) && (d->mean_now < d->low || d->mean_now > d->high); }

/* What moved, or what did not and lies outside its prediction interval nevertheless: one in twenty does. */
static void print_metrics(const rl_night *night, const rl_drift *drifts, bool moved)
{
    bool any = moved;
    for (int32_t i = 0; i < rl_names_count(night->metrics); i++) {
        if (drifts[i].moved != moved || (!moved && !is_outside(&drifts[i]))) continue;
        if (!any) printf("outside the 95 %% prediction interval, which alone is no drift:\n");
        any = true;
        print_drift(rl_names_get(night->metrics, i), &drifts[i]);
    }
}

static void print_verdict(const rl_night *night, const rl_drift *drifts, int64_t num_moved, double q, const char *file)
{
    double smallest = 1;
    int32_t n = rl_names_count(night->metrics), compared = count_compared(night, drifts);
    int64_t now = 0;
    bool others = false;
    for (int32_t i = 0; i < n; i++) {
        now += drifts[i].num_now;
        if (!isfinite(drifts[i].p)) continue;
        others |= group_before(night, i) == RL_NIGHT_OTHERS;
        if (drifts[i].smallest < smallest) smallest = drifts[i].smallest;
    }
    if (others) printf("no earlier seed has tonight's settings: compared with those of other settings\n");
    if (num_moved)
        printf("%sDRIFT%s: %lld of %d metrics moved (false discovery rate %g)\n", rl_red(stdout), rl_plain(stdout), (long long)num_moved, compared, q);
    else if (now == 0)
        printf("nothing to compare: none of tonight's runs was finished\n");
    else if (compared == 0)
        printf("nothing to compare with yet: these are the first seeds\n");
    else if (smallest > q)
        printf("nothing can be said with so few seeds: the smallest possible p is %.3f; see the prediction intervals\n", smallest);
    else
        printf("no drift: none of %d metrics moved (false discovery rate %g)\n", compared, q);
    print_metrics(night, drifts, true);
    print_metrics(night, drifts, false);
    printf("report: %s\n", file);
}

rl_status rl_night_report(bool *drift, const rl_night *night, const char *directory, double q, rl_error *err)
{
    rl_status status = RL_OK;
    rl_drift *drifts = NULL;
    json_t *root = NULL;
    int64_t num_moved = 0;
    char now[21], *folder = rl_path_join(directory, "nightly", err), *file = NULL;
    rl_utc_timestamp(now);
    file = folder ? rl_format(err, "%s/%s.json", folder, now) : NULL;
    if (!file) status = RL_ERR_MEMORY;
    if (status == RL_OK) status = rl_make_directories(folder, err);
    if (status == RL_OK) status = make_drifts(&drifts, night, q, &num_moved, err);
    if (status != RL_OK) goto cleanup;
    root = report_of(night, drifts, num_moved, q);
    RL_TRY(rl_json_write(file, root, err));
    print_verdict(night, drifts, num_moved, q, file);
    *drift = num_moved > 0;
cleanup:
    json_decref(root);
    rl_free(drifts);
    rl_free(folder);
    rl_free(file);
    return status;
}
