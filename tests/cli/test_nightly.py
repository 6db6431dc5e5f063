"""relearn nightly: new seeds go into the store that is there, unchanged nights pass, a real change is named."""
import json
import shutil
import subprocess
import time

from cli_support import options, refused, relearn, run_tests, shards, world


def nightly(*more, code=0, ranks=0):
    return relearn("nightly", "sweep.yaml", "--out", "nights", "--budget", "1h", *more, code=code, ranks=ranks).stdout


def reports():
    return [json.loads(path.read_text()) for path in sorted((world / "nights/nightly").glob("*.json"))]


def seeds_done():
    return sorted({int(run["axes"]["seed"]) for run in json.loads(relearn("status", "nights", "--json").stdout)["runs"]
                   if run["state"] == "done"})


def test_a_dry_run_writes_nothing():
    for ranks in (0, 3):
        out = nightly("--seeds", "8", "--dry-run", ranks=ranks)
        assert "tonight: 8 new seeds, 0 to 7" in out and "16 runs into nights" in out and "wall time" in out and "drift" not in out, out
        assert not (world / "nights").exists()


def test_the_first_night_has_nothing_to_compare_with():
    out = nightly("--seeds", "8")
    assert "8 new seeds, 0 to 7" in out and "nothing to compare with yet" in out, out
    assert seeds_done() == list(range(8)) and len(shards("nights")) == 16


def test_an_unchanged_night_extends_the_store_and_passes():
    before = shards("nights")
    journal = (world / "nights/journal.jsonl").read_bytes()
    assert "3 new seeds, 8 to 10" in nightly("--seeds", "3", "--dry-run")
    assert shards("nights") == before and len(reports()) == 1 and (world / "nights/journal.jsonl").read_bytes() == journal
    out = nightly("--seeds", "3", ranks=3)
    assert "3 new seeds, 8 to 10" in out and "no drift" in out, out
    assert seeds_done() == list(range(11))
    assert before.items() <= shards("nights").items(), "old shards changed"
    last = reports()[-1]
    assert last["metrics_compared"] == 2 * 8 and last["metrics_moved"] == 0, last
    assert {m["compared_with"] for m in last["metrics"]} == {"same settings"}
    assert {(m["seeds_before"], m["seeds_now"]) for m in last["metrics"]} == {(8, 3)}


def test_another_learning_rate_is_drift():
    out = nightly("--seeds", "3", "--set", "train.learning_rate=1e-5", code=3)
    assert "DRIFT" in out and "base  f1" in out, out
    assert "no earlier seed has tonight's settings" in out, out
    last = reports()[-1]
    moved = [m for m in last["metrics"] if m["moved"]]
    assert moved and all(m["adjusted_p"] <= 0.05 and not m["predicted_low"] <= m["mean_now"] <= m["predicted_high"] for m in moved), last
    assert last["metrics_moved"] == len(moved)
    state = json.loads(relearn("status", "nights", "--json").stdout)
    runs = state["runs"]
    assert (state["planned"], state["done"], state["waiting"], state["left_out"]) == (28, 28, 0, 28), "each seed has one of two learning rates"
    said = relearn("status", "nights").stdout
    assert ": finished;" in said and "28 done, 0 failed, 0 running, 0 waiting (28 more are not asked for now)" in said, said
    assert 'state="left_out"} 28' in (world / "nights/metrics.prom").read_text()
    done = [run for run in runs if run["state"] == "done"]
    assert len(done) == 2 * 14 and len({run["axes"]["train.learning_rate"] for run in done}) == 2, "the store lost runs"


def stored(out):
    """Runs by seed and status in results.h5, as status has them: shards that lie there."""
    state = json.loads(relearn("status", out, "--json").stdout)
    return sorted((int(run["axes"]["seed"]), run["state"]) for run in state["runs"]), state


def test_a_changed_setting_that_is_taken_back_leaves_the_baseline_alone():
    """Seeds of another learning rate are no earlier seeds of this one: 11, not 14; its own next night is compared with its own."""
    shutil.copytree(world / "nights", world / "back")
    relearn("nightly", "sweep.yaml", "--out", "back", "--budget", "1h", "--seeds", "1")
    last = json.loads(max((world / "back/nightly").glob("*.json")).read_text())
    assert {(m["seeds_before"], m["seeds_now"]) for m in last["metrics"]} == {(11, 1)}, last
    out = relearn("nightly", "sweep.yaml", "--out", "back", "--budget", "1h", "--seeds", "2", "--set", "train.learning_rate=1e-5").stdout
    assert "no earlier seed" not in out and "nothing can be said with so few seeds: the smallest possible p is 0.100" in out, out


def test_a_grid_that_became_narrower():
    """Only seeds of the same cell are compared, each once, and a seed that has what is asked for now is not taken again."""
    shutil.copytree(world / "nights", world / "narrow")
    for first in (14, 16):
        out = relearn("nightly", "sweep.yaml", "--out", "narrow", "--budget", "1h", "--seeds", "2", "--set", "prune.select=[random]").stdout
        assert f"2 new seeds, {first} to {first + 1}" in out, out
        last = json.loads(max((world / "narrow/nightly").glob("*.json")).read_text())
        assert {(m["seeds_before"], m["seeds_now"]) for m in last["metrics"]} == {(first - 3, 2)}, last
    out = relearn("nightly", "sweep.yaml", "--out", "narrow", "--budget", "1h", "--seeds", "5", "--dry-run").stdout
    assert "4 seeds that lack runs, from 14 on" in out and "1 new seed, 18 to 18" in out, out


def test_seeds_that_failed_by_themselves_are_not_taken_again():
    shutil.copytree(world / "nights", world / "failing")
    for first in (14, 16):
        night = relearn("nightly", "sweep.yaml", "--out", "failing", "--budget", "1h", "--seeds", "2", "--set", "train.learning_rate=900", code=1)
        assert f"2 new seeds, {first} to {first + 1}" in night.stdout and "none of tonight's runs was finished" in night.stdout, night.stdout
    night = relearn("nightly", "sweep.yaml", "--out", "failing", "--budget", "1h", "--seeds", "1")  # asks for none of them: exit 0
    assert "8 failed" in night.stdout and "8 of them in earlier starts and not asked for now" in night.stdout, night.stdout


def test_another_back_end_keeps_what_the_store_holds():
    """Its runs have other ids, so the earlier seeds' shards are not found by theirs: they stay in results.h5 all the same."""
    shutil.copytree(world / "nights", world / "other")
    before = shards("other")
    night = relearn("nightly", "sweep.yaml", "--out", "other", "--budget", "1h", "--seeds", "2", env={"RELEARN_ISA": "baseline"})
    assert "all that it asks for is computed anew" in night.stderr and "2 new seeds, 14 to 15" in night.stdout, night
    assert "32 of 32 runs done" in night.stdout, night.stdout
    runs, state = stored("other")
    assert state["done"] == 32 and {seed for seed, _ in runs} == set(range(16)), state
    assert before.items() <= shards("other").items() and len(shards("other")) == 32
    assert ": 32 of " in relearn("show", "other").stdout.splitlines()[0], "results.h5 lost runs"


def test_seeds_of_a_night_that_was_killed_are_compared_by_the_next():
    """They are new until a report has seen them: taken for earlier seeds they would hide a drift that began with them."""
    shutil.copytree(world / "nights", world / "killed")
    command = ["nightly", "sweep.yaml", "--out", "killed", "--budget", "1h", "--set", "train.learning_rate=1e-6"]
    before = len(shards("killed"))
    night = subprocess.Popen([options.program, *command, "--seeds", "60"], cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(shards("killed")) < before + 8 and night.poll() is None:
        time.sleep(0.01)
    night.kill()
    night.wait()
    finished = (len(shards("killed")) - before) // 2
    assert finished >= 3 and len(list((world / "killed/nightly").glob("*.json"))) == len(reports())
    out = relearn(*command, "--seeds", "1", code=3).stdout
    last = json.loads(max((world / "killed/nightly").glob("*.json")).read_text())
    assert "DRIFT" in out and max(m["seeds_now"] for m in last["metrics"]) >= finished, (out, finished)
    assert len(last["shards"]) == len(shards("killed"))


def test_runs_of_other_settings_are_none_of_tonights():
    """A sweep over another learning rate went into the folder since the last night: its old seeds were taken for new ones, and for drift."""
    shutil.copytree(world / "back", world / "mixed")
    relearn("nightly", "sweep.yaml", "--out", "mixed", "--budget", "1h", "--seeds", "1")
    rate = [run["axes"]["train.learning_rate"] for run in json.loads(relearn("status", "mixed", "--json").stdout)["runs"] if run["state"] == "done"]
    usual = max(rate, key=float)
    relearn("run", "sweep.yaml", "--out", "mixed", "--set", "seed=0..3", "--set", f"train.learning_rate=[{usual}, 1e-6]")
    out = relearn("nightly", "sweep.yaml", "--out", "mixed", "--budget", "1h", "--seeds", "2").stdout
    last = json.loads(max((world / "mixed/nightly").glob("*.json")).read_text())
    assert "DRIFT" not in out and {m["seeds_now"] for m in last["metrics"]} == {2}, (out, last)


def test_drift_is_said_of_a_night_that_was_cut_short():
    """By its budget or by a signal: 3, not 75."""
    before = shards("nights")
    night = subprocess.Popen([options.program, "nightly", "sweep.yaml", "--out", "nights", "--budget", "1h", "--seeds", "60", "--set", "train.learning_rate=2e-2"],
                             cwd=world, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(shards("nights")) < len(before) + 24 and night.poll() is None:
        time.sleep(0.01)
    night.terminate()
    out, err = night.communicate(timeout=60)
    assert night.returncode == 3 and "stopped after" in out and "DRIFT" in out, (night.returncode, out, err)
    assert json.loads(relearn("status", "nights", "--json").stdout)["waiting"] > 0


def test_bad_budgets():
    refused("nightly", "sweep.yaml", says="--budget is missing")
    for text in ("soon", "2x", "-1h", "0", "1h30", "1h-30m", "0x10", "1e3", "inf", "nan", "2 days", "1.2.3h", "."):
        refused("nightly", "sweep.yaml", "--budget", text, says="is no time such as 2h")
    for text in ("2h", "90m", "1h30m", "1.5h", "3600", "1d"):
        assert "1 new seed" in relearn("nightly", "sweep.yaml", "--out", "none", "--budget", text, "--seeds", "1", "--dry-run").stdout
    refused("nightly", "sweep.yaml", "--out", "short", "--budget", "0.001s", says="one new seed is predicted to take")
    refused("nightly", "sweep.yaml", "--budget", "1h", "--q", "2", says="--q: '2' is no number between 0 and 1")


run_tests(globals())
