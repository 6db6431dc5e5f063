/* plan.c -- runs -> stages shared by key -> one DAG, with what is on disk already marked done. */
#include "sweep_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

char *rl_plan_shard_path(const char *directory, const char *run_id, rl_error *err)
{
    return rl_format(err, "%s/runs/%s.h5", directory, run_id);
}

void rl_plan_free(rl_plan *plan)
{
    if (!plan) return;
    for (int32_t n = 0; n < plan->num_nodes; n++) rl_free(plan->nodes[n].depends);
    for (int64_t r = 0; plan->sweep && r < plan->sweep->num_runs; r++) {
        if (plan->run_nodes) rl_free(plan->run_nodes[r]);
        if (plan->run_error) rl_free(plan->run_error[r]);
        if (plan->run_lacks) rl_free(plan->run_lacks[r]);
    }
    rl_free(plan->nodes);
    rl_free(plan->run_nodes);
    rl_free(plan->num_run_nodes);
    rl_free(plan->run_error);
    rl_free(plan->run_lacks);
    rl_free(plan->unused_concept);
    rl_free(plan);
}

/* What is checked and measured once per distinct combination of inputs. */
typedef struct measured {
    rl_names *keys;
    rl_workload *workloads;
    char **errors; /* NULL = usable */
    bool *lacks;   /* errors[i] is what is not downloaded yet; the workload is an estimate */
    size_t capacity;
} measured;

typedef struct builder {
    rl_plan *plan;
    rl_sweep *sweep;
    rl_cycle *cycle;
    rl_contents *contents;
    rl_names *data_seen, *run_keys, *run_ids, *stage_keys;
    rl_names *stages_there, *shards_there; /* what DIR/stages and DIR/runs list: not a stat a node */
    measured inputs;
    int32_t *node_of_stage; /* [stage_keys count] */
    size_t stage_capacity, node_capacity;
    const rl_run_settings *last_measured; /* neighbours in the grid mostly have its inputs: no text is made for them */
    int32_t last_input;
    const char *directory;
    double gflops;
    rl_grouping grouping; /* of the job that is planned for */
    bool may_lack; /* a model that is not downloaded yet has an estimate; else its runs are broken */
} builder;

static void builder_clear(builder *b)
{
    for (int32_t i = 0; b->inputs.keys && i < rl_names_count(b->inputs.keys); i++) {
        rl_model_config_free(&b->inputs.workloads[i].config);
        rl_free(b->inputs.errors[i]);
    }
    rl_names_free(b->inputs.keys);
    rl_free(b->inputs.workloads);
    rl_free(b->inputs.errors);
    rl_free(b->inputs.lacks);
    rl_names_free(b->data_seen);
    rl_names_free(b->run_keys);
    rl_names_free(b->run_ids);
    rl_names_free(b->stage_keys);
    rl_names_free(b->stages_there);
    rl_names_free(b->shards_there);
    rl_free(b->node_of_stage);
    rl_contents_free(b->contents);
}

/* What DIR/NAME lists; without a DIR, nothing. */
static rl_status list_in(rl_names **out, const char *directory, const char *name, rl_error *err)
{
    if (!directory) return rl_names_create(out, err);
    char *path = rl_path_join(directory, name, err);
    rl_status status = path ? rl_list_folder(out, path, err) : RL_ERR_MEMORY;
    rl_free(path);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ inputs */

static rl_status describe_inputs(rl_buffer *key, const rl_run_settings *s, bool with_model, rl_error *err)
{
    key->length = 0;
    return rl_buffer_printf(key, err, "%s|%s|%s|%s|%lld|%s|%d|%d|%llx|%d|%llx|%s", with_model ? s->model : "", s->train_file, s->validation_file,
                            s->test_file ? s->test_file : "", (long long)s->data_limit, s->concept.name, (int)s->protocol,
                            (int)s->arm, (unsigned long long)s->prune_layers, s->prune_layers ? (int)s->prune_site : 0, (unsigned long long)s->also,
                            s->similarity_vectors ? s->similarity_vectors : "");
}

/* A fault in data is the sweep's: everything stops here. */
static rl_status check_data_once(builder *b, const rl_run_settings *settings, rl_buffer *key, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = 0;
    RL_TRY(describe_inputs(key, settings, false, err));
    if (rl_names_find(b->data_seen, key->data, key->length) >= 0) return RL_OK;
    RL_TRY(rl_cycle_check_data(b->cycle, settings, err));
    RL_TRY(rl_names_intern(b->data_seen, key->data, key->length, &id, err));
cleanup:
    return status;
}

static rl_status reserve_inputs(measured *m, rl_error *err)
{
    size_t count = (size_t)rl_names_count(m->keys), capacity = m->capacity ? m->capacity * 2 : 16;
    if (count < m->capacity) return RL_OK;
    rl_workload *workloads = rl_regrow(m->workloads, count, capacity, sizeof *workloads, err);
    if (!workloads) return RL_ERR_MEMORY;
    m->workloads = workloads;
    char **errors = rl_regrow(m->errors, count, capacity, sizeof *errors, err);
    if (!errors) return RL_ERR_MEMORY;
    m->errors = errors;
    bool *lacks = rl_regrow(m->lacks, count, capacity, sizeof *lacks, err);
    if (!lacks) return RL_ERR_MEMORY;
    m->lacks = lacks;
    m->capacity = capacity;
    return RL_OK;
}

/* Strings are the sweep's pool's: equal pointers are equal texts, and unequal ones only cost a look-up. */
static bool same_inputs(const rl_run_settings *a, const rl_run_settings *b)
{
    return a && a->model == b->model && a->train_file == b->train_file && a->validation_file == b->validation_file &&
           a->test_file == b->test_file && a->data_limit == b->data_limit && a->concept.name == b->concept.name &&
           a->protocol == b->protocol && a->arm == b->arm && a->prune_layers == b->prune_layers &&
           (!a->prune_layers || a->prune_site == b->prune_site) && a->also == b->also &&
           a->similarity_vectors == b->similarity_vectors;
}

/* A fault in a model folder is that model's runs' alone: remembered, not returned. */
static rl_status measure_once(builder *b, int32_t *index, const rl_run_settings *settings, rl_error *err)
{
    rl_status status = RL_OK;
    rl_buffer key = {0};
    rl_error why = {0};
    RL_TRY(check_data_once(b, settings, &key, err));
    RL_TRY(describe_inputs(&key, settings, true, err));
    *index = rl_names_find(b->inputs.keys, key.data, key.length);
    if (*index >= 0) goto cleanup;
    RL_TRY(reserve_inputs(&b->inputs, err));
    rl_workload workload = {0};
    char *error = NULL;
    rl_status found = rl_cycle_check_model(b->cycle, settings, &why);
    if (found == RL_OK) found = rl_cycle_workload(&workload, b->cycle, settings, &why);
    bool lacks = found == RL_ERR_INPUT && rl_cycle_estimate(&workload, settings, NULL) == RL_OK;
    if (found != RL_OK && found != RL_ERR_INPUT && found != RL_ERR_IO) { /* ours, or the machine's: not the model's */
        status = rl_fail(err, found, "%s", why.message);
        goto cleanup;
    }
    if (found != RL_OK) {
        error = rl_strdup(why.message, err);
        if (!error) {
            status = RL_ERR_MEMORY;
            goto cleanup;
        }
    }
    status = rl_names_intern(b->inputs.keys, key.data, key.length, index, err);
    if (status != RL_OK) {
        rl_free(error);
        goto cleanup;
    }
    b->inputs.workloads[*index] = workload;
    b->inputs.errors[*index] = error;
    b->inputs.lacks[*index] = lacks;
cleanup:
    rl_buffer_free(&key);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- nodes */

static rl_status new_node(builder *b, int32_t *index, rl_node_kind kind, int64_t run, int32_t num_depends, rl_error *err)
{
    rl_plan *plan = b->plan;
    if ((size_t)plan->num_nodes == b->node_capacity) {
        size_t capacity = b->node_capacity ? b->node_capacity * 2 : 256;
        rl_node *grown = rl_regrow(plan->nodes, (size_t)plan->num_nodes, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        plan->nodes = grown;
        b->node_capacity = capacity;
    }
    rl_node *node = &plan->nodes[plan->num_nodes];
    node->kind = kind;
    node->run = run;
    node->depends = rl_calloc((size_t)num_depends, sizeof *node->depends, err);
    if (!node->depends) return RL_ERR_MEMORY;
    node->num_depends = num_depends;
    *index = plan->num_nodes++;
    return RL_OK;
}

/* The node of a stage: the one that is there already when an earlier run needs the same key. */
static rl_status stage_node(builder *b, int32_t *index, const rl_stage *stage, int64_t run, const int32_t *nodes,
                            const rl_workload *workload, rl_error *err)
{
    rl_status status = RL_OK;
    int32_t id = rl_names_find(b->stage_keys, stage->key, strlen(stage->key));
    if (id >= 0) {
        *index = b->node_of_stage[id];
        return RL_OK;
    }
    RL_TRY(new_node(b, index, RL_NODE_STAGE, run, stage->num_depends, err));
    rl_node *node = &b->plan->nodes[*index];
    node->stage = *stage;
    for (int32_t d = 0; d < stage->num_depends; d++) node->depends[d] = nodes[stage->depends[d]];
    node->ranks = rl_stage_ranks(stage, &b->grouping);
    node->seconds = node->modelled_s =
        rl_stage_seconds(stage, workload, b->gflops * rl_threads_speedup(b->sweep->policy.threads_per_rank), node->ranks);
    node->disk_bytes = rl_stage_disk_bytes(stage, workload);
    node->there = node->done = rl_names_find(b->stages_there, stage->key, strlen(stage->key)) >= 0 &&
                               rl_stage_is_complete(b->directory, stage->key);
    b->plan->disk_bytes += node->disk_bytes;
    if ((size_t)rl_names_count(b->stage_keys) == b->stage_capacity) {
        size_t capacity = b->stage_capacity ? b->stage_capacity * 2 : 256;
        int32_t *grown = rl_regrow(b->node_of_stage, b->stage_capacity, capacity, sizeof *grown, err);
        if (!grown) return RL_ERR_MEMORY;
        b->node_of_stage = grown;
        b->stage_capacity = capacity;
    }
    RL_TRY(rl_names_intern(b->stage_keys, stage->key, strlen(stage->key), &id, err));
    b->node_of_stage[id] = *index;
cleanup:
    return status;
}

static bool has_shard(const builder *b, int64_t run)
{
    char name[RL_RUN_ID + 3]; /* as rl_plan_shard_path */
    snprintf(name, sizeof name, "%s.h5", b->sweep->runs[run].id);
    return rl_names_find(b->shards_there, name, strlen(name)) >= 0;
}

static rl_status shard_node(builder *b, int32_t *nodes, int32_t num_stages, int64_t run, rl_error *err)
{
    int32_t index = 0;
    rl_status status = new_node(b, &index, RL_NODE_SHARD, run, num_stages, err);
    if (status != RL_OK) return status;
    rl_node *node = &b->plan->nodes[index];
    memcpy(node->depends, nodes, (size_t)num_stages * sizeof *nodes);
    node->ranks = 1;
    node->seconds = node->modelled_s = 0.05;
    for (int32_t i = 0; i < num_stages; i++) { /* a shard holds what its analyses hold */
        const rl_node *stage = &b->plan->nodes[nodes[i]];
        bool analysis = stage->stage.kind == RL_STAGE_IDENTIFY || stage->stage.kind == RL_STAGE_ANALYSE;
        if (analysis) node->disk_bytes += stage->disk_bytes;
    }
    b->plan->disk_bytes += node->disk_bytes;
    node->there = node->done = has_shard(b, run);
    if (node->done) b->sweep->runs[run].skipped = false; /* it is there: nothing is left out */
    nodes[num_stages] = index;
    return RL_OK;
}

static rl_status refuse_for_memory(char **run_error, const rl_sweep_policy *policy, double memory, rl_error *err)
{
    rl_error why = {0};
    rl_fail_at(&why, RL_ERR_INPUT, policy->memory_place.file, policy->memory_place.line, policy->memory_place.column,
               "memory_per_rank: %.1f MB is less than the %.1f MB of memory that the run is predicted to need on its rank",
               1e-6 * policy->memory_per_rank_bytes, 1e-6 * memory);
    *run_error = rl_strdup(why.message, err);
    return *run_error ? RL_OK : RL_ERR_MEMORY;
}

static rl_status add_run(builder *b, int64_t r, const rl_stage *stages, int32_t num_stages, int32_t input, rl_error *err)
{
    rl_status status = RL_OK;
    rl_plan *plan = b->plan;
    int32_t *nodes = NULL;
    if (b->inputs.errors[input]) {
        bool lacks = b->inputs.lacks[input], fails = !lacks || !b->may_lack;
        char **why = fails ? &plan->run_error[r] : &plan->run_lacks[r];
        *why = rl_format(err, "%s%s", b->inputs.errors[input],
                         lacks && fails ? "; download the model there first (relearn plan costs it without)" : "");
        if (!*why) return RL_ERR_MEMORY;
        if (fails) return RL_OK;
    }
    const rl_workload *workload = &b->inputs.workloads[input];
    double memory = rl_memory_bytes(workload, &b->sweep->runs[r].settings), limit = b->sweep->policy.memory_per_rank_bytes;
    bool needs_none = b->sweep->runs[r].skipped || has_shard(b, r); /* not asked for, or finished under another limit */
    if (limit > 0 && memory > limit && !needs_none) return refuse_for_memory(&plan->run_error[r], &b->sweep->policy, memory, err);
    RL_ALLOC(nodes, num_stages + 1, err);
    plan->run_nodes[r] = nodes;
    plan->num_run_nodes[r] = num_stages + 1;
    for (int32_t i = 0; i < num_stages; i++) RL_TRY(stage_node(b, &nodes[i], &stages[i], r, nodes, workload, err));
    RL_TRY(shard_node(b, nodes, num_stages, r, err));
    plan->num_stages_unshared += num_stages;
    if (memory > plan->memory_bytes_per_rank) plan->memory_bytes_per_rank = memory;
cleanup:
    return status;
}

/* Runs whose stages are all the same (prune.select: none at several ratios) are one run: the first stays. */
static rl_status identify_run(builder *b, bool *is_new, int32_t *twin, rl_run *run, const rl_stage *stages, int32_t num_stages,
                              rl_error *err)
{
    char key[RL_DIGEST_HEX];
    int32_t id = 0, before = rl_names_count(b->run_keys);
    rl_cycle_run_key(key, stages, num_stages, b->contents);
    memcpy(run->id, key, RL_RUN_ID - 1);
    run->id[RL_RUN_ID - 1] = '\0';
    rl_status status = rl_names_intern(b->run_keys, key, RL_DIGEST_HEX - 1, &id, err);
    *is_new = id == before;
    *twin = id; /* ids count kept runs: the index of the one that stays */
    if (status != RL_OK || !*is_new) return status;
    before = rl_names_count(b->run_ids); /* 48 bits: among a million runs two different ones may share them */
    status = rl_names_intern(b->run_ids, run->id, RL_RUN_ID - 1, &id, err);
    if (status == RL_OK && id != before)
        status = rl_fail(err, RL_ERR_INPUT, "two different runs have the id %s; leave one of them out by exclude or filter",
                         run->id);
    return status;
}

/* The runs' settings move when duplicates are dropped, so stages are made to point at their final place. */
static rl_status add_runs(builder *b, rl_error *err)
{
    rl_status status = RL_OK;
    rl_sweep *sweep = b->sweep;
    rl_stage *stages = NULL;
    int64_t kept = 0, total = sweep->num_runs;
    for (int64_t r = 0; r < total; r++) {
        rl_run moved = sweep->runs[r];
        bool is_new = false;
        int32_t input = 0, num_stages = 0, twin = 0;
        if (same_inputs(b->last_measured, &moved.settings))
            input = b->last_input;
        else
            RL_TRY(measure_once(b, &input, &moved.settings, err));
        b->last_measured = &sweep->runs[r].settings; /* stays what it was: duplicates only move runs forward */
        b->last_input = input;
        RL_TRY(rl_cycle_stages(&stages, &num_stages, &sweep->runs[r].settings, b->contents, err));
        RL_TRY(identify_run(b, &is_new, &twin, &moved, stages, num_stages, err));
        if (!is_new) {
            sweep->runs[twin].skipped &= moved.skipped; /* asked for under either name */
            rl_free(moved.axis_values);
            sweep->runs[r].axis_values = NULL;
        } else {
            if (kept != r) sweep->runs[r].axis_values = NULL;
            sweep->runs[kept] = moved;
            for (int32_t i = 0; i < num_stages; i++) stages[i].settings = &sweep->runs[kept].settings;
            RL_TRY(add_run(b, kept, stages, num_stages, input, err));
            kept++;
        }
        rl_free(stages);
        stages = NULL;
    }
    sweep->num_runs = kept;
cleanup:
    rl_free(stages);
    return status;
}

/* Bit i: some run ranks by concepts[i], or follows it. */
static uint64_t used_concepts(const rl_sweep *sweep)
{
    uint64_t used = 0;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        const rl_run_settings *s = &sweep->runs[r].settings;
        used |= s->also;
        for (int64_t i = 0; i < s->num_concepts; i++)
            if (s->concepts[i].name == s->concept.name) used |= UINT64_C(1) << i;
    }
    return used;
}

/* A filter or an exclude may leave a concept out, so its faults stop nothing; but who adds it to the grid tomorrow wants to know
 * today. The first fault is kept. */
static rl_status check_unused_concepts(builder *b, rl_error *err)
{
    const rl_sweep *sweep = b->sweep;
    uint64_t used = used_concepts(sweep);
    for (int64_t i = 0; sweep->num_runs > 0 && i < sweep->runs[0].settings.num_concepts; i++) {
        rl_run_settings settings = sweep->runs[0].settings;
        rl_error why = {0};
        if (used >> i & 1) continue;
        settings.concept = settings.concepts[i];
        settings.also = 0;
        settings.arm = RL_ARM_RELEARN;
        settings.similarity_vectors = NULL;
        rl_status found = rl_cycle_check_data(b->cycle, &settings, &why);
        if (found == RL_OK) continue;
        if (found != RL_ERR_INPUT && found != RL_ERR_IO) return rl_fail(err, found, "%s", why.message);
        b->plan->unused_concept = rl_format(err, "concept %s, which no run uses: %s", settings.concept.name, why.message);
        return b->plan->unused_concept ? RL_OK : RL_ERR_MEMORY;
    }
    return RL_OK;
}

/* --------------------------------------------------------------------------------------------- what is left to do */

/* A stage whose every run has its shard needs no making, even when its folder was deleted. */
static rl_status mark_unneeded(rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    bool *needed = NULL;
    RL_ALLOC(needed, plan->num_nodes, err);
    for (int32_t n = plan->num_nodes - 1; n >= 0; n--) {
        rl_node *node = &plan->nodes[n];
        if (node->kind == RL_NODE_SHARD) needed[n] = !node->done && !plan->sweep->runs[node->run].skipped;
        if (!needed[n]) node->done = true;
        for (int32_t d = 0; d < node->num_depends; d++) needed[node->depends[d]] |= needed[n] && !node->done;
    }
cleanup:
    rl_free(needed);
    return status;
}

/* Stages are told of under the first run that still waits for them. */
static rl_status name_runs(rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    bool *named = NULL;
    RL_ALLOC(named, plan->num_nodes, err);
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        int32_t count = plan->num_run_nodes[r];
        if (count == 0 || plan->nodes[plan->run_nodes[r][count - 1]].done) continue;
        for (int32_t i = 0; i < count; i++) {
            int32_t n = plan->run_nodes[r][i];
            if (!named[n]) {
                plan->nodes[n].run = r;
                plan->nodes[n].stage.settings = &plan->sweep->runs[r].settings;
            }
            named[n] = true;
        }
    }
cleanup:
    rl_free(named);
    return status;
}

rl_status rl_plan_refresh(rl_plan *plan, const char *directory, rl_error *err)
{
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        rl_node *node = &plan->nodes[n];
        if (node->kind == RL_NODE_SHARD) {
            char *path = rl_plan_shard_path(directory, plan->sweep->runs[node->run].id, err);
            if (!path) return RL_ERR_MEMORY;
            node->there = rl_path_exists(path);
            rl_free(path);
        } else
            node->there = rl_stage_is_complete(directory, node->stage.key);
        node->done = node->there;
    }
    return mark_unneeded(plan, err);
}

rl_status rl_plan_longest_path(double *longest, const rl_plan *plan, const double *seconds, rl_error *err)
{
    rl_status status = RL_OK;
    double *finish = NULL;
    RL_ALLOC(finish, plan->num_nodes, err);
    *longest = 0;
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        for (int32_t d = 0; d < node->num_depends; d++) finish[n] = fmax(finish[n], finish[node->depends[d]]);
        finish[n] += seconds[n];
        *longest = fmax(*longest, finish[n]);
    }
cleanup:
    rl_free(finish);
    return status;
}

static rl_status sum_up(rl_plan *plan, rl_error *err)
{
    rl_status status = RL_OK;
    double *seconds = NULL;
    RL_ALLOC(seconds, plan->num_nodes, err);
    plan->total_seconds = plan->remaining_seconds = 0;
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        plan->total_seconds += node->ranks * node->seconds;
        if (node->done) continue;
        plan->remaining_seconds += node->ranks * node->seconds;
        seconds[n] = node->seconds;
    }
    RL_TRY(rl_plan_longest_path(&plan->critical_path_seconds, plan, seconds, err));
cleanup:
    rl_free(seconds);
    return status;
}

bool rl_plan_leaves_out(const rl_plan *plan, int64_t run)
{
    bool failed = plan->run_error && plan->run_error[run];
    return !failed && plan->sweep->runs && plan->sweep->runs[run].skipped; /* simulated plans have neither */
}

rl_status rl_plan_take_over(rl_plan *plan, int64_t run, const char *id, rl_error *err)
{
    rl_status status = RL_OK;
    rl_run *taking = &((rl_sweep *)(uintptr_t)plan->sweep)->runs[run];
    int32_t count = plan->num_run_nodes[run];
    RL_REQUIRE(count > 0 && taking->skipped && strlen(id) == RL_RUN_ID - 1, err);
    memcpy(taking->id, id, RL_RUN_ID);
    taking->skipped = false; /* it is there: nothing is left out */
    plan->nodes[plan->run_nodes[run][count - 1]].done = true;
cleanup:
    return status;
}

rl_status rl_plan_leave_out(rl_plan *plan, const bool *leave_out, rl_error *err)
{
    rl_status status = RL_OK;
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        int32_t count = plan->num_run_nodes[r];
        bool shard_there = count && plan->nodes[plan->run_nodes[r][count - 1]].done;
        if (leave_out[r] && !shard_there) ((rl_sweep *)(uintptr_t)plan->sweep)->runs[r].skipped = true;
    }
    RL_TRY(mark_unneeded(plan, err));
    RL_TRY(name_runs(plan, err));
    RL_TRY(sum_up(plan, err));
cleanup:
    return status;
}

int rl_work_kind(const rl_node *node) { return node->kind == RL_NODE_SHARD ? RL_NUM_STAGE_KINDS : (int)node->stage.kind; }

const char *rl_work_kind_name(int kind) { return kind == RL_NUM_STAGE_KINDS ? "shard" : rl_stage_kind_name((rl_stage_kind)kind); }

rl_status rl_plan_correct(rl_plan *plan, const double *factor, const double *observed, rl_error *err)
{
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        rl_node *node = &plan->nodes[n];
        if (factor[rl_work_kind(node)] > 0) node->seconds = node->modelled_s * factor[rl_work_kind(node)];
        if (observed && isfinite(observed[n])) node->seconds = observed[n];
    }
    return sum_up(plan, err);
}

static rl_status refuse_when_all_broken(const rl_plan *plan, rl_error *err)
{
    for (int64_t r = 0; r < plan->sweep->num_runs; r++)
        if (!plan->run_error[r]) return RL_OK;
    return rl_fail(err, RL_ERR_INPUT, "%s", plan->run_error[0]);
}

/* Of one worker, while all work; measured once, so that plans of one process (nightly tries several) can be compared. The share of this
 * product's rate that whole stages sustain: the quick sweep's wall time on one and on two working cores (tests/cluster/test_forecast.py). */
static double default_gflops(const rl_grouping *grouping)
{
    static const char *backend;
    static int32_t workers;
    static double rate;
    if (backend != rl_gemm_backend() || workers != grouping->num_workers)
        rate = rl_gemm_sustained_rate(rl_gemm_backend(), 160, 1152, 384, 0.05, 1.0, grouping->num_workers);
    backend = rl_gemm_backend();
    workers = grouping->num_workers;
    return 0.70 * rate;
}

static rl_status create(rl_plan **out, builder b, rl_error *err)
{
    rl_status status = RL_OK;
    rl_plan *plan = NULL;
    rl_sweep *sweep = b.sweep;
    RL_ALLOC(plan, 1, err);
    b.plan = plan;
    plan->sweep = sweep;
    RL_ALLOC(plan->run_nodes, sweep->num_runs, err);
    RL_ALLOC(plan->num_run_nodes, sweep->num_runs, err);
    RL_ALLOC(plan->run_error, sweep->num_runs, err);
    RL_ALLOC(plan->run_lacks, sweep->num_runs, err);
    RL_TRY(rl_contents_create(&b.contents, err));
    RL_TRY(rl_names_create(&b.data_seen, err));
    RL_TRY(rl_names_create(&b.run_keys, err));
    RL_TRY(rl_names_create(&b.run_ids, err));
    RL_TRY(rl_names_create(&b.stage_keys, err));
    RL_TRY(list_in(&b.stages_there, b.directory, "stages", err));
    RL_TRY(list_in(&b.shards_there, b.directory, "runs", err));
    RL_TRY(rl_names_create(&b.inputs.keys, err));
    RL_TRY(add_runs(&b, err));
    RL_TRY(refuse_when_all_broken(plan, err));
    RL_TRY(check_unused_concepts(&b, err));
    RL_TRY(mark_unneeded(plan, err));
    RL_TRY(name_runs(plan, err));
    RL_TRY(sum_up(plan, err));
    rl_cycle_keep_contents(b.cycle, b.contents);
    b.contents = NULL;
    *out = plan;
    plan = NULL;
cleanup:
    builder_clear(&b);
    rl_plan_free(plan);
    return status;
}

rl_status rl_plan_create(rl_plan **out, rl_sweep *sweep, rl_cycle *cycle, const char *directory, int32_t num_ranks, double gflops,
                         rl_error *err)
{
    const rl_grouping grouping = rl_grouping_of(sweep, num_ranks);
    const builder b = {.sweep = sweep, .cycle = cycle, .directory = directory, .gflops = gflops > 0 ? gflops : default_gflops(&grouping),
                       .grouping = grouping, .may_lack = true};
    return create(out, b, err);
}

rl_status rl_plan_create_runnable(rl_plan **out, rl_sweep *sweep, rl_cycle *cycle, const char *directory, int32_t num_ranks, double gflops,
                                  rl_error *err)
{
    const rl_grouping grouping = rl_grouping_of(sweep, num_ranks);
    const builder b = {.sweep = sweep, .cycle = cycle, .directory = directory, .gflops = gflops > 0 ? gflops : default_gflops(&grouping),
                       .grouping = grouping};
    return create(out, b, err);
}
