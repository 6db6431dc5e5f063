/* past.c -- what the journal of a folder says to the next start: how long stages took, which runs failed and why, and what computed them. */
#include "cluster_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rl_sweep_past_clear(rl_sweep_past *past)
{
    for (int32_t i = 0; past->failed && i < rl_names_count(past->failed); i++) rl_free(past->reasons[i]);
    rl_free(past->reasons);
    rl_free(past->machines);
    json_decref(past->runs);
    rl_names_free(past->failed);
    *past = (rl_sweep_past){0};
}

/* What came before a stage's end: a stop says how long it had worked, a kill (begun, and no end) or a failure does not. */
typedef struct attempts {
    double earlier_s;
    bool begun, unknown;
} attempts;

typedef struct reading {
    rl_sweep_past *past;
    size_t capacity, attempts_capacity;
    double observed[RL_NUM_WORK_KINDS], modelled[RL_NUM_WORK_KINDS];
    rl_names *keys;
    attempts *of; /* [keys] */
} reading;

static const char *text_of(const json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static rl_status attempts_of(attempts **out, reading *r, const json_t *event, rl_error *err)
{
    const char *key = text_of(event, "key");
    int32_t id = 0, before = rl_names_count(r->keys);
    if ((size_t)before == r->attempts_capacity) {
        size_t capacity = before ? 2 * (size_t)before : 256;
        attempts *grown = rl_regrow(r->of, r->attempts_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        r->of = grown;
        r->attempts_capacity = capacity;
    }
    rl_status status = rl_names_intern(r->keys, key, strlen(key), &id, err);
    if (status == RL_OK) *out = &r->of[id];
    return status;
}

static void on_attempt(attempts *a, const char *kind, const json_t *event)
{
    const json_t *seconds = json_object_get(event, "seconds");
    bool begins = !strcmp(kind, "started"), returned = !strcmp(kind, "returned") && json_is_number(seconds);
    a->unknown |= begins ? a->begun : !returned;
    a->begun = begins;
    if (returned) a->earlier_s += json_number_value(seconds);
}

static void on_done(reading *r, attempts *a, const json_t *event)
{
    double seconds = a->earlier_s + json_number_value(json_object_get(event, "seconds"));
    double modelled = a->unknown ? 0 : json_number_value(json_object_get(event, "modelled_s"));
    *a = (attempts){0};
    for (int k = 0; k < RL_NUM_WORK_KINDS && seconds > 0 && modelled > 0; k++)
        if (!strcmp(text_of(event, "stage"), rl_work_kind_name(k))) {
            r->observed[k] += seconds;
            r->modelled[k] += modelled;
        }
}

/* capacity: of past->reasons and past->machines. */
static rl_status add_failure(rl_sweep_past *past, size_t *capacity, const char *run, const char *reason, bool machine, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    if ((size_t)rl_names_count(past->failed) == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 16;
        char **reasons = rl_regrow(past->reasons, *capacity, more, sizeof *reasons, err);
        if (!reasons) return RL_ERR_MEMORY;
        past->reasons = reasons;
        bool *machines = rl_regrow(past->machines, *capacity, more, sizeof *machines, err);
        if (!machines) return RL_ERR_MEMORY;
        past->machines = machines;
        *capacity = more;
    }
    RL_TRY(rl_names_intern(past->failed, run, strlen(run), &id, err));
    rl_free(past->reasons[id]);
    past->reasons[id] = rl_strdup(reason, err);
    past->machines[id] = machine;
    if (!past->reasons[id]) status = RL_ERR_MEMORY;
cleanup:
    return status;
}

static rl_status on_failed(reading *r, const json_t *event, rl_error *err)
{
    const char *kind = text_of(event, "kind");
    bool machine = strcmp(kind, "diverged") != 0 && strcmp(kind, "stuck") != 0 && strcmp(kind, "internal") != 0 && strcmp(kind, "input") != 0 &&
                   strcmp(kind, "left") != 0;
    return add_failure(r->past, &r->capacity, text_of(event, "run"), text_of(event, "error"), machine, err);
}

/* It failed, was redone and is whole: should its shard get lost, it is made again like any other. */
static void forget_failure(rl_sweep_past *past, const char *run)
{
    int32_t id = rl_names_find(past->failed, run, strlen(run));
    if (id < 0) return;
    rl_free(past->reasons[id]);
    past->reasons[id] = NULL;
}

static rl_status visit(void *context, const json_t *event, rl_error *err)
{
    reading *r = context;
    const char *kind = text_of(event, "event");
    bool attempt = !strcmp(kind, "started") || !strcmp(kind, "returned") || !strcmp(kind, "failed") || !strcmp(kind, "retry");
    if (attempt || !strcmp(kind, "done")) {
        attempts *a = NULL;
        rl_status status = attempts_of(&a, r, event, err);
        if (status != RL_OK) return status;
        if (attempt)
            on_attempt(a, kind, event);
        else
            on_done(r, a, event);
    }
    if (!strcmp(kind, "done") && !strcmp(text_of(event, "stage"), rl_work_kind_name(RL_NUM_STAGE_KINDS))) forget_failure(r->past, text_of(event, "run"));
    if (!strcmp(kind, "run_failed")) return on_failed(r, event, err);
    if (!strcmp(kind, "start")) {
        r->past->num_starts++;
        json_decref(r->past->runs);
        r->past->runs = json_incref(json_object_get(event, "runs"));
        snprintf(r->past->gemm_backend, sizeof r->past->gemm_backend, "%s", text_of(event, "gemm_backend"));
        snprintf(r->past->gemm_version, sizeof r->past->gemm_version, "%s", text_of(event, "gemm_version"));
        snprintf(r->past->isa, sizeof r->past->isa, "%s", text_of(event, "isa"));
    }
    return RL_OK;
}

rl_status rl_sweep_past_read(rl_sweep_past *out, const char *directory, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_past past = {0};
    reading r = {.past = &past};
    int64_t damaged = 0;
    RL_TRY(rl_names_create(&past.failed, err));
    RL_TRY(rl_names_create(&r.keys, err));
    RL_TRY(rl_journal_read(directory, visit, &r, &damaged, err));
    for (int k = 0; k < RL_NUM_WORK_KINDS; k++)
        if (r.modelled[k] > 0) past.factor[k] = r.observed[k] / r.modelled[k];
    past.known = true;
    *out = past;
    past = (rl_sweep_past){0};
cleanup:
    rl_names_free(r.keys);
    rl_free(r.of);
    rl_sweep_past_clear(&past);
    return status;
}

/* {"starts", "factor": [kind], "failed": [[run, reason, machine]]} */
static char *past_as_text(const rl_sweep_past *past, rl_error *err)
{
    json_t *factor = json_array(), *failed = json_array();
    for (int k = 0; k < RL_NUM_WORK_KINDS; k++) json_array_append_new(factor, json_real(past->factor[k]));
    for (int32_t i = 0; past->failed && i < rl_names_count(past->failed); i++)
        if (past->reasons[i])
            json_array_append_new(failed, json_pack("[s, s, b]", rl_names_get(past->failed, i), past->reasons[i], (int)past->machines[i]));
    json_t *root = json_pack("{s:I, s:o, s:o}", "starts", (json_int_t)past->num_starts, "factor", factor, "failed", failed);
    char *dumped = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL, *text = dumped ? rl_strdup(dumped, err) : NULL;
    if (!dumped) rl_fail(err, RL_ERR_MEMORY, "what earlier starts tell cannot be made into text");
    free(dumped); /* jansson's allocation, not ours */
    json_decref(root);
    return text;
}

static rl_status past_from_text(rl_sweep_past *out, const char *text, size_t length, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep_past past = {.known = true};
    size_t capacity = 0, i;
    json_t *root = json_loadb(text, length, 0, NULL), *factor = json_object_get(root, "factor"), *entry;
    if (!root) return rl_fail(err, RL_ERR_MEMORY, "what earlier starts tell cannot be read from rank 0's text");
    RL_TRY(rl_names_create(&past.failed, err));
    past.num_starts = json_integer_value(json_object_get(root, "starts"));
    for (size_t k = 0; k < RL_NUM_WORK_KINDS; k++) past.factor[k] = json_number_value(json_array_get(factor, k));
    json_array_foreach(json_object_get(root, "failed"), i, entry)
        RL_TRY(add_failure(&past, &capacity, json_string_value(json_array_get(entry, 0)), json_string_value(json_array_get(entry, 1)),
                           json_is_true(json_array_get(entry, 2)), err));
    rl_sweep_past_clear(out);
    *out = past;
    past = (rl_sweep_past){0};
cleanup:
    json_decref(root);
    rl_sweep_past_clear(&past);
    return status;
}

rl_status rl_sweep_past_share(MPI_Comm comm, rl_sweep_past *past, rl_status status, rl_error *err)
{
    int rank = 0;
    char *text = NULL;
    int64_t length = 0;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && status == RL_OK && !(text = past_as_text(past, err))) status = RL_ERR_MEMORY;
    if (text) length = (int64_t)strlen(text);
    if (length > INT_MAX) status = rl_fail(err, RL_ERR_INTERNAL, "what earlier starts tell does not fit into one message");
    RL_TRY(rl_cluster_agree(comm, status, err));
    MPI_Bcast(&length, 1, MPI_INT64_T, 0, comm);
    if (rank > 0 && !(text = rl_calloc((size_t)length + 1, 1, err))) status = RL_ERR_MEMORY;
    RL_TRY(rl_cluster_agree(comm, status, err));
    MPI_Bcast(text, (int)length, MPI_CHAR, 0, comm);
    if (rank > 0) status = past_from_text(past, text, (size_t)length, err);
    RL_TRY(rl_cluster_agree(comm, status, err));
cleanup:
    rl_free(text);
    return status;
}

rl_status rl_sweep_past_apply(const rl_sweep_past *past, rl_plan *plan, bool retry_failed, rl_error *err)
{
    rl_status status = RL_OK;
    bool *leave_out = NULL;
    int64_t n = plan->sweep->num_runs;
    RL_ALLOC(leave_out, n, err);
    for (int64_t r = 0; r < n; r++) {
        int32_t count = plan->num_run_nodes[r];
        bool there = count && plan->nodes[plan->run_nodes[r][count - 1]].done && !plan->sweep->runs[r].skipped;
        int32_t id = past->failed ? rl_names_find(past->failed, plan->sweep->runs[r].id, RL_RUN_ID - 1) : -1;
        if (id >= 0 && !past->reasons[id]) id = -1; /* done since */
        leave_out[r] = plan->sweep->runs[r].skipped;
        if (there || plan->run_error[r]) continue;
        if (retry_failed) {
            leave_out[r] = id < 0;
        } else if (id >= 0 && !past->machines[id]) { /* the same seed would fail in the same way */
            plan->num_failed_before += plan->sweep->runs[r].skipped;
            plan->run_error[r] = rl_strdup(past->reasons[id], err);
            leave_out[r] = true;
            if (!plan->run_error[r]) status = RL_ERR_MEMORY;
            if (status != RL_OK) goto cleanup;
        }
    }
    RL_TRY(rl_plan_leave_out(plan, leave_out, err));
    RL_TRY(rl_plan_correct(plan, past->factor, NULL, err));
cleanup:
    rl_free(leave_out);
    return status;
}
