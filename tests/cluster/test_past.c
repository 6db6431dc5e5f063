/* What earlier starts tell reaches every rank from rank 0, which alone reads the journal.
 * LABELS: unit
 * PROCESSORS: 3 */
#include "mpi_support.h"
#include "relearn/cluster.h"

static void record(rl_journal *journal, json_t *event)
{
    rl_error err = {0};
    assert_ok(rl_journal_append(journal, event, false, &err), err);
}

static json_t *run_failed(const char *run, const char *kind, const char *error)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "event", "run_failed", "run", run, "kind", kind, "error", error);
}

/* 24 failed runs: more than the tables begin with. The second of them is done since. */
static void write_journal(const char *directory)
{
    rl_error err = {0};
    rl_journal *journal = NULL;
    char run[RL_RUN_ID];
    assert_ok(rl_journal_open(&journal, directory, &err), err);
    for (int start = 0; start < 3; start++) record(journal, json_pack("{s:s, s:s}", "event", "start", "gemm_backend", "of rank 0 alone"));
    for (int i = 0; i < 24; i++) {
        snprintf(run, sizeof run, "%012d", i);
        record(journal, run_failed(run, i % 2 ? "diverged" : "io", i % 3 ? "loss is NaN \xe2\x80\xa6" : "\"disk\" full"));
    }
    record(journal, json_pack("{s:s, s:s, s:s, s:s}", "event", "done", "run", "000000000001", "stage", "shard", "key", "x"));
    record(journal, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f}", "event", "done", "run", "x", "stage", "finetune", "key", "y", "seconds", 1.0, "modelled_s", 3.0));
    rl_journal_close(journal);
}

static bool same_reason(const rl_sweep_past *past, int i)
{
    char run[RL_RUN_ID];
    snprintf(run, sizeof run, "%012d", i);
    int32_t id = rl_names_find(past->failed, run, strlen(run));
    if (i == 1) return id < 0 || !past->reasons[id]; /* done since */
    return id >= 0 && past->reasons[id] && !strcmp(past->reasons[id], i % 3 ? "loss is NaN \xe2\x80\xa6" : "\"disk\" full") && past->machines[id] == (i % 2 == 0);
}

static void test_every_rank_knows_what_rank_0_read(void **state)
{
    rl_error err = {0};
    rl_sweep_past past = {0};
    rl_status status = RL_OK;
    (void)state;
    if (world_rank == 0) write_journal(support_temporary_folder());
    if (world_rank == 0) status = rl_sweep_past_read(&past, support_temporary_folder(), &err);
    assert_ok_everywhere(rl_sweep_past_share(MPI_COMM_WORLD, &past, status, &err), err);
    assert_everywhere(past.known);
    assert_everywhere(past.num_starts == 3);
    assert_everywhere(past.factor[RL_STAGE_FINETUNE] == 1.0 / 3.0);
    assert_everywhere(past.factor[RL_STAGE_RETRAIN] == 0);
    bool same = true;
    for (int i = 0; i < 24; i++) same &= same_reason(&past, i);
    assert_everywhere(same);
    assert_ok_everywhere(rl_sweep_past_share(MPI_COMM_WORLD, &past, RL_OK, &err), err); /* again: a night plans more than once */
    assert_everywhere(past.num_starts == 3 && same_reason(&past, 23));
    rl_sweep_past_clear(&past);
}

static void test_a_first_start_has_no_past(void **state)
{
    rl_error err = {0};
    rl_sweep_past past = {0};
    (void)state;
    assert_ok_everywhere(rl_sweep_past_share(MPI_COMM_WORLD, &past, RL_OK, &err), err);
    assert_everywhere(past.num_starts == 0 && past.factor[RL_STAGE_FINETUNE] == 0);
    rl_sweep_past_clear(&past);
}

static void test_rank_0s_failure_is_everybodys(void **state)
{
    rl_error err = {0};
    rl_sweep_past past = {0};
    rl_status status = RL_OK;
    (void)state;
    if (world_rank == 0) status = rl_fail(&err, RL_ERR_IO, "journal.jsonl: cannot be read");
    status = rl_sweep_past_share(MPI_COMM_WORLD, &past, status, &err);
    assert_everywhere(status == RL_ERR_IO);
    assert_everywhere(strstr(err.message, "cannot be read") != NULL);
    assert_everywhere(!past.known);
}

static int tests(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_every_rank_knows_what_rank_0_read),
        cmocka_unit_test(test_a_first_start_has_no_past),
        cmocka_unit_test(test_rank_0s_failure_is_everybodys),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}

int main(int argc, char **argv) { return run_mpi_tests(argc, argv, tests); }
