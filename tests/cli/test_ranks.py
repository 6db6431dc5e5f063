"""ranks_per_run: runs trained by groups of ranks give the same bytes on any number of ranks, stopped, killed or left alone."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from cli_support import options, refused, relearn, run_tests, shards, world

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from processes import descendants, on_ranks, rank_of  # noqa: E402

TWO = ("sweep.yaml", "--set", "ranks_per_run=2", "--set", "seed=0")
LONG = (*TWO, "--set", "train.epochs=30")


def plan(*arguments):
    return json.loads(relearn("plan", *arguments, "--json").stdout)


def logs(directory):
    return "".join(path.read_text() for path in (world / directory / "logs").glob("rank-*.log"))


def test_one_is_what_it_was():
    ids = [run["id"] for run in plan("sweep.yaml")["runs"]]
    assert ids == [run["id"] for run in plan("sweep.yaml", "--set", "ranks_per_run=1")["runs"]]
    assert not set(ids) & {run["id"] for run in plan("sweep.yaml", "--set", "ranks_per_run=2")["runs"]}


def test_groups_give_the_bytes_of_one_process():
    relearn("run", *TWO, "--out", "alone")
    relearn("run", *TWO, "--out", "three", ranks=3)  # a group of two
    relearn("run", *TWO, "--out", "four", ranks=4)   # and one that is left over
    relearn("run", *TWO, "--out", "five", ranks=5)   # two groups
    one = shards("alone")
    assert len(one) == 2, list(one)
    for other in ("three", "four", "five"):
        assert shards(other) == one, f"{other} ranks gave other bytes"
        assert "helped for" in logs(other), other
    assert "helped for" not in logs("alone")
    settings = (world / "three/sweep.yaml").read_text()
    assert "\nranks_per_run: 2\n" in settings, settings


def test_workers_log_the_forecast_of_rank_0():
    relearn("run", "sweep.yaml", "--out", "told", ranks=2)
    events = [json.loads(line) for line in (world / "told/journal.jsonl").read_text().splitlines()]
    modelled = sorted(f"{event['modelled_s']:.3g}" for event in events if event["event"] == "done")
    log = (world / "told/logs/rank-1.log").read_text()
    told = sorted(line.split("predicted ")[1].split(" s")[0] for line in log.splitlines() if "begins, predicted" in line)
    assert modelled and told == modelled, (told, modelled)


def test_what_is_left_over_trains_nothing():
    log = (world / "four/logs/rank-3.log").read_text() if (world / "four/logs/rank-3.log").exists() else ""
    assert "finetune" not in log and "retrain" not in log, log


def test_it_can_be_an_axis():
    axis = ("sweep.yaml", "--set", "ranks_per_run=[1,2]", "--set", "seed=0")
    relearn("run", *axis, "--out", "axis", ranks=3)
    both = shards("axis")
    assert len(both) == 4, list(both)
    relearn("run", *axis, "--out", "axis-alone")
    assert shards("axis-alone") == both


def start(directory, ranks):
    command = on_ranks(options.mpiexec, ranks, options.program, "run", *LONG, "--out", directory)
    return subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def helper_pid(process):
    """The last rank, which helps; None while it is not there."""
    return next((pid for pid in descendants(process.pid) if rank_of(pid) == 2), None)


def wait_for_help(process, directory):
    """Until rank 2 has begun to help, or the sweep is over."""
    log = world / directory / "logs/rank-2.log"
    while process.poll() is None and not (log.exists() and "begins" in log.read_text()):
        time.sleep(0.02)


def test_a_helper_that_dies_costs_nothing():
    relearn("run", *LONG, "--out", "undisturbed")
    kills = 0
    for _ in range(3):
        process = start("killed", 3)
        wait_for_help(process, "killed")
        time.sleep(0.3)
        if process.poll() is None and (pid := helper_pid(process)):
            os.kill(pid, signal.SIGKILL)
            kills += 1
        assert process.wait(timeout=90) is not None
    relearn("run", *LONG, "--out", "killed", ranks=3)
    assert kills > 0
    assert shards("killed") == shards("undisturbed")


def test_a_stop_that_only_a_helper_hears_stops_all():
    process = start("stopped", 3)
    wait_for_help(process, "stopped")
    time.sleep(0.2)
    pid = helper_pid(process)
    assert pid and process.poll() is None
    os.kill(pid, signal.SIGTERM)
    assert process.wait(timeout=90) == 75, process.returncode
    relearn("run", *LONG, "--out", "stopped", ranks=5)
    assert shards("stopped") == shards("undisturbed")


def test_a_diverging_run_fails_on_all_ranks():
    relearn("run", *TWO, "--set", "train.learning_rate=1000", "--set", "train.max_grad_norm=0", "--set", "train.epochs=30",
            "--out", "diverging", ranks=3, code=None)
    state = json.loads(relearn("status", "diverging", "--json").stdout)
    assert all(run["state"] in ("failed", "done") for run in state["runs"]), state


def test_a_broken_model_fails_alone():
    relearn("run", *TWO, "--set", "model=[tiny-bert,broken-bert]", "--out", "broken", ranks=3, code=1)
    state = json.loads(relearn("status", "broken", "--json").stdout)
    assert state["done"] == 2 and state["failed"] == 2, state


def test_failed_runs_of_groups_are_redone_alone():
    relearn("run", *TWO, "--out", "again", "--set", "stuck_after=1e-7", "--set", "retries=0", ranks=3, code=1)
    state = json.loads(relearn("status", "again", "--json").stdout)
    assert state["failed"] == 2 and state["done"] == 0 and all("stuck_after" in run["error"] for run in state["runs"]), state
    more = ("sweep.yaml", "--set", "ranks_per_run=2", "--set", "seed=0..1")
    relearn("run", *more, "--out", "again", "--retry-failed", ranks=3)  # exactly the failed ones, by a group again
    state = json.loads(relearn("status", "again", "--json").stdout)
    assert state["failed"] == 0 and state["done"] == 2 and state["left_out"] == 2, state
    assert "helped for" in logs("again") and shards("again") == shards("alone")


def test_plan_recommends():
    assert plan("sweep.yaml", "--ranks", "13")["recommended_ranks_per_run"] == 3  # 4 runs
    assert "ranks_per_run: 3" in relearn("plan", "sweep.yaml", "--ranks", "13").stdout
    assert plan("sweep.yaml", "--ranks", "3")["recommended_ranks_per_run"] is None
    text = relearn("plan", *TWO, "--ranks", "4").stdout
    assert "1 group of 2" in text and "1 left over" in text, text
    text = relearn("plan", *TWO, "--ranks", "2").stdout
    assert "needs 3 ranks" in text, text


def test_bad_values_are_refused():
    refused("plan", "sweep.yaml", "--set", "ranks_per_run=0", says="ranks_per_run: '0' is not an integer from 1 to 1024")
    refused("plan", "sweep.yaml", "--set", "ranks_per_rum=2", says="ranks_per_run")


run_tests(globals())
