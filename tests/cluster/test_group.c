/* Ranks that train together over MPI end with the bits of one process that makes all shares, and with HF Trainer's losses.
 * LABELS: golden
 * PROCESSORS: 4
 * TIMEOUT: 120 */
#include "../train/golden.h"
#include "cluster_internal.h"
#include "mpi_support.h"

typedef struct outcome {
    rl_model *model;
    rl_training_log log;
    rl_status status;
    rl_error err;
} outcome;

static void drop(outcome *o)
{
    rl_training_log_free(&o->log);
    rl_model_free(o->model);
}

static bool same_weights(const outcome *a, const outcome *b)
{
    return !memcmp(a->model->weights, b->model->weights, (size_t)a->model->num_weights * sizeof(float));
}

static bool same_losses(const rl_training_log *a, const rl_training_log *b)
{
    bool same = a->num_steps == b->num_steps;
    for (int64_t i = 0; same && i < a->num_steps; i++)
        same = a->steps[i].loss == b->steps[i].loss && a->steps[i].grad_norm == b->steps[i].grad_norm;
    return same;
}

static bool stop_now(void *context)
{
    int *asked = context;
    return ++*asked == 7;
}

static outcome train_toy(rl_train_settings settings, const rl_weight_mask *mask, const char *checkpoint, const rl_train_hooks *hooks)
{
    static toy_data toy;
    outcome o = {.model = tiny_model("bert", 0.1)};
    toy_fill(&toy);
    o.status = rl_train(o.model, &toy.encoded, &settings, 11, mask, checkpoint, hooks, &o.log, &o.err);
    return o;
}

/* Ranks 1..size of the world as a group; NULL elsewhere. */
static rl_rank_group *make_group(int32_t size)
{
    rl_error err = {0};
    rl_rank_group *group = NULL;
    const rl_grouping grouping = {size, 1, 1 + world_size - 1 - size};
    assert_ok_everywhere(rl_rank_group_create(&group, MPI_COMM_WORLD, &grouping, &err), err);
    bool inside = world_rank >= 1 && world_rank <= size;
    assert_everywhere(inside == (group != NULL));
    assert_everywhere(!group || (rl_rank_group_ranks(group)->rank == world_rank - 1 && rl_rank_group_ranks(group)->size == size));
    return group;
}

static void test_groups_have_the_bits_of_one_process(void **state)
{
    (void)state;
    for (int32_t size = 2; size <= 3; size++) {
        const int64_t offsets[] = {0, 200, 777};
        const rl_weight_mask mask = {offsets, 3};
        rl_train_settings settings = toy_settings();
        settings.ranks = size;
        outcome alone = train_toy(settings, &mask, NULL, NULL), together = {0};
        rl_rank_group *group = make_group(size);
        const rl_train_hooks hooks = {.group = group ? rl_rank_group_ranks(group) : NULL};
        if (group) together = train_toy(settings, &mask, NULL, &hooks);
        assert_ok_everywhere(alone.status, alone.err);
        assert_ok_everywhere(together.status, together.err);
        assert_everywhere(!group || same_weights(&alone, &together));
        assert_everywhere(!group || same_losses(&alone.log, &together.log));
        if (group) drop(&together);
        drop(&alone);
        rl_rank_group_free(group);
    }
}

/* A stop that reaches only the last rank ends the step for all; the first one's checkpoint is enough to go on. */
static void test_a_stop_is_everybodys_and_resumes(void **state)
{
    (void)state;
    int asked = 0;
    char path[4200];
    rl_train_settings settings = toy_settings();
    settings.ranks = 3;
    rl_rank_group *group = make_group(3);
    const rl_train_group *ranks = group ? rl_rank_group_ranks(group) : NULL;
    outcome alone = train_toy(settings, NULL, NULL, NULL), stopped = {0}, resumed = {0};
    snprintf(path, sizeof path, "%s/checkpoint", shared_folder());
    const char *checkpoint = ranks && ranks->rank == 0 ? path : NULL;
    const rl_train_hooks first = {.context = &asked, .should_stop = ranks && ranks->rank == 2 ? stop_now : NULL, .group = ranks};
    const rl_train_hooks second = {.group = ranks};
    if (group) stopped = train_toy(settings, NULL, checkpoint, &first);
    assert_everywhere(!group || stopped.status == RL_ERR_STOPPED);
    assert_everywhere(!group || strstr(stopped.err.message, "after step 7 of 18") != NULL);
    assert_everywhere(!checkpoint || rl_path_exists(path));
    if (group) resumed = train_toy(settings, NULL, checkpoint, &second);
    assert_ok_everywhere(resumed.status, resumed.err);
    assert_everywhere(!group || same_weights(&alone, &resumed));
    assert_everywhere(!checkpoint || (same_losses(&alone.log, &resumed.log) && !rl_path_exists(path)));
    if (group) drop(&stopped), drop(&resumed);
    drop(&alone);
    rl_rank_group_free(group);
}

/* One rank with other settings, or with a failure before training: all hear of it, none waits. */
static void test_a_failure_is_everybodys(void **state)
{
    (void)state;
    rl_error err = {0};
    rl_train_settings settings = toy_settings();
    settings.ranks = 3;
    rl_rank_group *group = make_group(3);
    const rl_train_group *ranks = group ? rl_rank_group_ranks(group) : NULL;
    const rl_train_hooks hooks = {.group = ranks};
    outcome o = {0};
    if (world_rank == 2) settings.learning_rate *= 2;
    if (group) o = train_toy(settings, NULL, NULL, &hooks);
    assert_everywhere(!group || (o.status == RL_ERR_INPUT && strstr(o.err.message, "rank 1 of the group has another model")));
    if (group) drop(&o);
    rl_status mine = world_rank == 3 ? rl_fail(&err, RL_ERR_IO, "a disk went away") : RL_OK;
    rl_status all = rl_train_group_agree(ranks, mine, &err);
    assert_everywhere(!group || (all == RL_ERR_IO && !strcmp(err.message, "a disk went away")));
    rl_rank_group_free(group);
}

static void test_hf_trainers_losses_on_two_ranks(void **state)
{
    (void)state;
    rl_error err = {0};
    rl_model *model = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_corpus *corpus = NULL;
    rl_encoded *encoded = NULL;
    rl_training_log log = {0};
    rl_train_settings settings = rl_train_defaults();
    json_t *root = read_golden("trajectories.json"), *golden = json_object_get(root, "distilbert");
    rl_rank_group *group = make_group(2);
    const rl_train_hooks hooks = {.group = group ? rl_rank_group_ranks(group) : NULL};
    settings.epochs = 10;
    settings.ranks = 2;
    settings.learning_rate = golden_number(golden, "learning_rate_setting");
    settings.warmup_steps = (int64_t)golden_number(golden, "warmup_steps");
    assert_ok(rl_model_load(&model, support_file("golden/train/distilbert"), NULL, 0, &err), err);
    assert_ok(rl_tokenizer_load(&tokenizer, support_file("golden/train/distilbert"), &err), err);
    assert_ok(rl_conll_read(&corpus, support_file("golden/train/corpus.conll"), model->config.labels, 0, &err), err);
    assert_ok(rl_encode_corpus(&encoded, tokenizer, corpus, true, 64, &err), err);
    rl_status status = group ? rl_train(model, encoded, &settings, 42, NULL, NULL, &hooks, &log, &err) : RL_OK;
    assert_ok_everywhere(status, err);
    if (group) assert_follows(&log, golden);
    rl_rank_group_free(group);
    rl_training_log_free(&log);
    rl_encoded_free(encoded);
    rl_corpus_free(corpus);
    rl_tokenizer_free(tokenizer);
    rl_model_free(model);
    json_decref(root);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_groups_have_the_bits_of_one_process),
        cmocka_unit_test(test_a_stop_is_everybodys_and_resumes),
        cmocka_unit_test(test_a_failure_is_everybodys),
        cmocka_unit_test(test_hf_trainers_losses_on_two_ranks),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
