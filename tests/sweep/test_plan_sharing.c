/* A plan shares what runs have in common, computes nothing twice, and says beforehand what cannot work.
 * The tiny world's model, data and concept go through the real readers; nothing is trained. */
#include "sweep_support.h"

#include <unistd.h>

static rl_cycle *cycle;
static char directory[700];

static int set_up(void **state)
{
    rl_error err = {0};
    make_world(state);
    assert_ok(rl_linalg_init(NULL, &err), err);
    assert_ok(rl_cycle_create(&cycle, NULL, NULL, &err), err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rl_cycle_free(cycle);
    return 0;
}

static int fresh_directory(void **state)
{
    rl_error err = {0};
    char folder[800];
    (void)state;
    snprintf(directory, sizeof directory, "%s/out", world.folder);
    assert_ok(rl_remove_tree(directory, &err), err);
    snprintf(folder, sizeof folder, "%s/stages", directory);
    assert_ok(rl_make_directories(folder, &err), err);
    snprintf(folder, sizeof folder, "%s/runs", directory);
    assert_ok(rl_make_directories(folder, &err), err);
    return 0;
}

static rl_plan *plan_of(rl_sweep *sweep, const char *out)
{
    rl_error err = {0};
    rl_plan *plan = NULL;
    assert_ok(rl_plan_create(&plan, sweep, cycle, out, 1, 50, &err), err);
    return plan;
}

/* What every plan promises, whatever it was made of. */
static void assert_plan_is_whole(const rl_plan *plan)
{
    double longest = 0, remaining = 0, *finish = rl_calloc((size_t)plan->num_nodes, sizeof *finish, NULL);
    for (int32_t n = 0; n < plan->num_nodes; n++) {
        const rl_node *node = &plan->nodes[n];
        assert_true(node->seconds > 0 && isfinite(node->seconds));
        for (int32_t d = 0; d < node->num_depends; d++) {
            assert_in_range(node->depends[d], 0, n - 1);
            if (finish[node->depends[d]] > finish[n]) finish[n] = finish[node->depends[d]];
        }
        if (!node->done) finish[n] += node->seconds, remaining += node->seconds;
        if (!node->done && finish[n] > longest) longest = finish[n];
        if (node->kind == RL_NODE_STAGE) assert_ptr_equal(node->stage.settings, &plan->sweep->runs[node->run].settings);
    }
    for (int64_t r = 0; r < plan->sweep->num_runs; r++) {
        if (plan->run_error[r]) continue;
        const rl_node *shard = &plan->nodes[plan->run_nodes[r][plan->num_run_nodes[r] - 1]];
        assert_int_equal(shard->kind, RL_NODE_SHARD);
        assert_int_equal(shard->run, r);
        assert_int_equal(strlen(plan->sweep->runs[r].id), RL_RUN_ID - 1);
    }
    assert_close(plan->remaining_seconds, remaining, 1e-9, 1e-12);
    assert_close(plan->critical_path_seconds, longest, 1e-9, 1e-12);
    assert_true(plan->total_seconds >= plan->remaining_seconds * (1 - 1e-12));
    rl_free(finish);
}

static int count(const rl_plan *plan, int kind, int done) /* kind -1: shards; done -1: either */
{
    int n = 0;
    for (int32_t i = 0; i < plan->num_nodes; i++) {
        const rl_node *node = &plan->nodes[i];
        bool same =
            kind < 0 ? node->kind == RL_NODE_SHARD : node->kind == RL_NODE_STAGE && (int)node->stage.kind == kind;
        n += same && (done < 0 || node->done == (done != 0));
    }
    return n;
}

static int count_to_do(const rl_plan *plan)
{
    int n = 0;
    for (int32_t i = 0; i < plan->num_nodes; i++) n += !plan->nodes[i].done;
    return n;
}

/* 2 seeds x {concept, random} x 3 ratios, 2 rounds: fine-tuning and identification once a seed. */
static const char grid_text[] =
    TOP SINGLES "grid:\n  seed: 0..1\n  prune.select: [concept, random]\n  prune.ratio: [0.1, 0.3, 0.5]\n"
                "retrain: {rounds: 2}\n";

static void test_runs_share_their_stages(void **state)
{
    rl_error err = {0};
    (void)state;
    rl_sweep *sweep = read_good(grid_text, NULL, NULL);
    rl_plan *plan = plan_of(sweep, NULL);
    assert_plan_is_whole(plan);
    assert_int_equal(sweep->num_runs, 12);
    assert_int_equal(count(plan, RL_STAGE_FINETUNE, -1), 2);
    assert_int_equal(count(plan, RL_STAGE_IDENTIFY, -1), 2);
    assert_int_equal(count(plan, RL_STAGE_PRUNE, -1), 12);
    assert_int_equal(count(plan, RL_STAGE_RETRAIN, -1), 24);
    assert_int_equal(count(plan, RL_STAGE_ANALYSE, -1), 36);
    assert_int_equal(count(plan, -1, -1), 12);
    assert_int_equal(plan->num_stages_unshared, 12 * 8);
    assert_int_equal(count_to_do(plan), plan->num_nodes);
    assert_true(plan->disk_bytes > 0 && plan->memory_bytes_per_rank > 0);
    double one = rl_plan_predict_seconds(plan, 1, &err), many = rl_plan_predict_seconds(plan, 100, &err);
    assert_close(one, plan->remaining_seconds, 1e-9, 0);
    assert_true(many >= plan->critical_path_seconds * (1 - 1e-12) && many < one / 4);
    for (int64_t r = 1; r < sweep->num_runs; r++) assert_string_not_equal(sweep->runs[r].id, sweep->runs[r - 1].id);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

/* Shares cost what one rank needs for all of them until a group comes together; a group is faster, and all its ranks' time counts. */
static void test_only_a_group_makes_training_faster(void **state)
{
    static const struct { const char *set; int32_t num_ranks, together; } jobs[] = {{"ranks_per_run=1", 4, 1}, {NULL, 4, 1}, {NULL, 5, 4}};
    double total[3], path[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        rl_error err = {0};
        rl_plan *plan = NULL;
        rl_sweep *sweep = read_good(TOP SINGLES "grid:\n  seed: 0..1\nranks_per_run: 4\n", jobs[i].set, NULL);
        const double slow = 1e-3; /* Gflop/s: arithmetic is what counts */
        assert_ok(rl_plan_create(&plan, sweep, cycle, NULL, jobs[i].num_ranks, slow, &err), err);
        for (int32_t n = 0; n < plan->num_nodes; n++) {
            const rl_node *node = &plan->nodes[n];
            bool trains = node->kind == RL_NODE_STAGE && (node->stage.kind == RL_STAGE_FINETUNE || node->stage.kind == RL_STAGE_RETRAIN);
            assert_int_equal(node->ranks, trains ? jobs[i].together : 1);
        }
        total[i] = plan->total_seconds;
        path[i] = plan->critical_path_seconds;
        rl_plan_free(plan);
        rl_sweep_free(sweep);
    }
    assert_close(total[1], total[0], 1e-9, 0);
    assert_close(path[1], path[0], 1e-9, 0);
    assert_true(total[2] > 1.1 * total[1] && path[2] < 0.5 * path[1]);
}

/* The control prunes nothing, so its ratio is no difference: the first of such runs stays and nothing is computed
 * twice. */
static void test_controls_at_several_ratios_are_one_run(void **state)
{
    (void)state;
    rl_sweep *sweep =
        read_good(TOP SINGLES "grid:\n  prune.ratio: [0.1, 0.3, 0.5]\n  prune.select: [concept, none]\n  seed: 0..1\n",
                  NULL, NULL);
    assert_int_equal(sweep->num_runs, 12);
    rl_plan *plan = plan_of(sweep, NULL);
    assert_int_equal(sweep->num_runs, 8);
    assert_plan_is_whole(plan);
    int controls = 0;
    for (int64_t r = 0; r < sweep->num_runs; r++) {
        bool is_control = sweep->runs[r].settings.prune.select == RL_SELECT_NONE;
        controls += is_control;
        assert_string_equal(sweep->runs[r].axis_values[1], is_control ? "none" : "concept"); /* moved together */
        if (is_control) assert_string_equal(sweep->runs[r].axis_values[0], "0.1");
        for (int64_t q = 0; q < r; q++) assert_string_not_equal(sweep->runs[r].id, sweep->runs[q].id);
    }
    assert_int_equal(controls, 2);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

/* Ids are a function of what a run is, not of the sweep around it. */
static void test_a_run_keeps_its_id_in_a_larger_sweep(void **state)
{
    (void)state;
    rl_sweep *small = read_good(TOP SINGLES "grid: {seed: 1}\n", NULL, NULL),
             *large = read_good(TOP SINGLES "grid: {seed: 0..3}\n", NULL, NULL);
    rl_plan *a = plan_of(small, NULL), *b = plan_of(large, NULL);
    assert_string_equal(small->runs[0].id, large->runs[1].id);
    rl_plan_free(a);
    rl_plan_free(b);
    rl_sweep_free(small);
    rl_sweep_free(large);
}

static void write_shard(const char *id)
{
    rl_error err = {0};
    char *path = rl_plan_shard_path(directory, id, &err);
    assert_non_null(path);
    support_write(path, "shard");
    rl_free(path);
}

/* A run with its shard needs no stage, also when the stages' folders are gone; what another run needs is still needed.
 */
static void test_finished_runs_need_nothing(void **state)
{
    (void)state;
    rl_sweep *sweep = read_good(grid_text, NULL, NULL);
    rl_plan *plan = plan_of(sweep, directory);
    assert_int_equal(count_to_do(plan), plan->num_nodes);
    for (int r = 0; r < 6; r++) write_shard(sweep->runs[r].id); /* all of seed 0 */
    write_shard(sweep->runs[6].id);                             /* one of seed 1 */
    rl_plan_free(plan);

    plan = plan_of(sweep, directory);
    assert_plan_is_whole(plan);
    assert_int_equal(count(plan, -1, 1), 7);
    assert_int_equal(count(plan, RL_STAGE_FINETUNE, 0), 1);
    assert_int_equal(count(plan, RL_STAGE_IDENTIFY, 0), 1);
    assert_int_equal(count(plan, RL_STAGE_PRUNE, 0), 5);
    assert_int_equal(count_to_do(plan), 2 + 5 * 7);
    for (int64_t r = 7; r < 12; r++) write_shard(sweep->runs[r].id);
    rl_plan_free(plan);

    plan = plan_of(sweep, directory);
    assert_int_equal(count_to_do(plan), 0);
    assert_close(plan->remaining_seconds, 0, 0, 0);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

/* The mark of a complete stage is made by really executing one: identification of seed 0 of one run. */
static void test_complete_stages_are_done(void **state)
{
    rl_error err = {0};
    rl_cycle *worker = NULL;
    (void)state;
    rl_sweep *sweep = read_good(
        TOP SINGLES "grid: {prune.ratio: [0.1, 0.5]}\ntrain: {max_steps: 2}\nretrain: {rounds: 0}\n", NULL, NULL);
    rl_plan *plan = plan_of(sweep, directory);
    assert_ok(rl_cycle_create(&worker, directory, NULL, &err), err);
    assert_int_equal(plan->nodes[0].stage.kind, RL_STAGE_FINETUNE);
    assert_ok(rl_stage_execute(worker, &plan->nodes[0].stage, &err), err);
    rl_plan_free(plan);
    plan = plan_of(sweep, directory);
    assert_plan_is_whole(plan);
    assert_true(plan->nodes[0].done);
    assert_int_equal(count_to_do(plan), plan->num_nodes - 1);
    rl_cycle_free(worker);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

static void test_a_broken_model_fails_its_runs_alone(void **state)
{
    rl_error err = {0};
    rl_scheduler *s = NULL;
    (void)state;
    rl_sweep *sweep =
        read_good(TOP "grid:\n  model: [broken-bert, tiny-bert]\n  concept: location\n  seed: 0..2\n", NULL, NULL);
    rl_plan *plan = plan_of(sweep, NULL);
    assert_plan_is_whole(plan);
    assert_int_equal(sweep->num_runs, 6);
    for (int r = 0; r < 6; r++) {
        assert_int_equal(plan->run_error[r] != NULL, r < 3);
        if (r < 3) assert_non_null(strstr(plan->run_error[r], "broken-bert/config.json:1:"));
        assert_int_equal(strlen(sweep->runs[r].id), RL_RUN_ID - 1); /* it is reported by its id */
        assert_int_equal(plan->num_run_nodes[r] > 0, r >= 3);
    }
    assert_ok(rl_scheduler_create(&s, plan, 2, &err), err);
    assert_int_equal(rl_scheduler_counts(s).failed, 3);
    assert_int_equal(rl_scheduler_counts(s).planned, 6);
    rl_scheduler_free(s);
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

/* A cache whose blobs were cleared away: the link is there, the file is not. */
static void test_a_model_folder_with_a_dangling_link_fails_alone(void **state)
{
    static const char *const files[] = {"config.json", "vocab.txt", "tokenizer_config.json"};
    rl_error err = {0};
    char folder[700], from[800], to[800];
    (void)state;
    snprintf(folder, sizeof folder, "%s/dangling", world.folder);
    assert_ok(rl_make_directories(folder, &err), err);
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/%s", world.model, files[i]);
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        assert_ok(rl_copy_file(from, to, &err), err);
    }
    snprintf(to, sizeof to, "%s/config.json", folder); /* without the tiny model's "relearn_random_init" */
    support_write(to, "{\"model_type\": \"bert\", \"vocab_size\": 40, \"hidden_size\": 16, \"num_hidden_layers\": 2,\n"
                      "\"num_attention_heads\": 2, \"intermediate_size\": 32, \"hidden_act\": \"gelu\",\n"
                      "\"max_position_embeddings\": 64, \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12}");
    snprintf(to, sizeof to, "%s/model.safetensors", folder);
    assert_int_equal(symlink("/nowhere/blob", to), 0);
    rl_sweep *sweep =
        read_good(TOP "grid:\n  model: [dangling, tiny-bert]\n  concept: location\n  seed: 0..1\n", NULL, NULL);
    rl_plan *plan = plan_of(sweep, NULL);
    assert_plan_is_whole(plan);
    assert_int_equal(sweep->num_runs, 4);
    for (int r = 0; r < 4; r++) {
        assert_int_equal(plan->run_error[r] != NULL, r < 2);
        assert_int_equal(strlen(sweep->runs[r].id), RL_RUN_ID - 1);
        for (int q = 0; q < r; q++) assert_string_not_equal(sweep->runs[r].id, sweep->runs[q].id);
    }
    assert_non_null(strstr(plan->run_error[0], "dangling"));
    rl_plan_free(plan);
    rl_sweep_free(sweep);
}

static void assert_no_plan(const char *text, const char *says)
{
    rl_error err = {0};
    rl_plan *plan = NULL;
    rl_sweep *sweep = read_good(text, NULL, NULL);
    rl_status status = rl_plan_create(&plan, sweep, cycle, NULL, 1, 50, &err);
    assert_fails(status, RL_ERR_INPUT, err, says);
    assert_null(plan);
    rl_sweep_free(sweep);
}

static void test_faults_of_all_runs_refuse_the_plan(void **state)
{
    char path[800];
    (void)state;
    assert_no_plan(TOP "concept: location\ngrid: {model: broken-bert, seed: 0..2}\n", "broken-bert/config.json:1:");
    snprintf(path, sizeof path, "%s/bad.conll", world.folder);
    support_write(path, "anna B-PER\noslo\n");
    assert_no_plan("sweep: s\ndata: {train: train.conll, validation: bad.conll}\nconcepts: {location: {tokens: "
                   "tokens.txt, labels: labels.txt, "
                   "positive: \"SEM:named_entity:location\"}}\n" SINGLES "grid: {seed: 0..2}\n",
                   "bad.conll:2");
    assert_no_plan("sweep: s\ndata: {train: train.conll, validation: validation.conll}\nconcepts: {location: {tokens: "
                   "tokens.txt, labels: "
                   "labels.txt, positive: absent}}\n" SINGLES "grid: {seed: 0..2}\n",
                   "absent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_share_their_stages),
        cmocka_unit_test(test_only_a_group_makes_training_faster),
        cmocka_unit_test(test_controls_at_several_ratios_are_one_run),
        cmocka_unit_test(test_a_run_keeps_its_id_in_a_larger_sweep),
        cmocka_unit_test_setup(test_finished_runs_need_nothing, fresh_directory),
        cmocka_unit_test_setup(test_complete_stages_are_done, fresh_directory),
        cmocka_unit_test(test_a_broken_model_fails_its_runs_alone),
        cmocka_unit_test(test_a_model_folder_with_a_dangling_link_fails_alone),
        cmocka_unit_test(test_faults_of_all_runs_refuse_the_plan),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
