"""`relearn run` on the tiny world: the same bits on any number of ranks, resuming, failing alone, sharing stages."""
import collections
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time

from cli_support import options, refused, relearn, run_tests, shards, world

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from processes import descendants, launcher, rank_of  # noqa: E402


def events(directory):
    return [json.loads(line) for line in (world / directory / "journal.jsonl").read_text().splitlines() if line]


def done_stages(directory):
    return [e for e in events(directory) if e["event"] == "done"]


def test_bits_are_the_same_on_1_2_and_3_ranks():
    for ranks in (1, 2, 3):
        relearn("run", "sweep.yaml", "--out", f"ranks{ranks}", ranks=ranks)
    one = shards("ranks1")
    assert len(one) == 4, list(one)
    assert one == shards("ranks2"), "2 ranks gave other bytes than 1"
    assert one == shards("ranks3"), "3 ranks gave other bytes than 1"
    assert all((world / f"ranks{r}/results.h5").exists() for r in (1, 2, 3))


def test_without_mpirun_it_is_the_same():
    relearn("run", "sweep.yaml", "--out", "alone")
    assert shards("alone") == shards("ranks1")


def test_stages_are_shared_between_runs():
    # 2 seeds x {concept, random}: fine-tuning and identification once a seed, the other 6 stages once a run, and 4 shards
    assert len(done_stages("ranks1")) == 2 * 2 + 4 * 6 + 4, len(done_stages("ranks1"))


def test_a_finished_sweep_computes_nothing():
    before = len(done_stages("ranks2"))
    results = (world / "ranks2/results.h5").stat().st_mtime_ns
    out = relearn("run", "sweep.yaml", "--out", "ranks2", ranks=2).stdout
    assert "0 stages computed" in out, out
    assert len(done_stages("ranks2")) == before
    assert (world / "ranks2/results.h5").stat().st_mtime_ns == results


def test_results_that_are_not_what_was_gathered_are_made_again():
    """Replaced by another sweep's, cut short, edited: noticed by content, set aside, gathered again, computing nothing."""
    results, before = world / "ranks2/results.h5", len(done_stages("ranks2"))
    whole = results.read_bytes()
    relearn("run", "sweep.yaml", "--out", "other", "--set", "seed=7")
    assert b"random" in whole
    forgeries = ((world / "other/results.h5").read_bytes(), whole[:len(whole) // 2], whole.replace(b"random", b"randon"), b"")
    for n, forged in enumerate(forgeries):
        results.write_bytes(forged)
        done = relearn("run", "sweep.yaml", "--out", "ranks2", ranks=2)
        assert "results.h5: is not what was gathered here" in done.stderr and "0 stages computed" in done.stdout, (n, done)
        aside = world / "ranks2/quarantine" / ("results.h5" if n == 0 else f"results.h5.{n + 1}")
        assert aside.read_bytes() == forged, aside
        again = results.read_bytes()
        assert len(again) == len(whole) and again.count(b"random") == whole.count(b"random"), n
    quiet = relearn("run", "sweep.yaml", "--out", "ranks2", ranks=2)
    assert "gathered here" not in quiet.stderr and len(done_stages("ranks2")) == before


def test_statistics_that_were_edited_are_made_again():
    """A number or a text of /stats changed by hand: noticed, computed again; what was gathered stays as it is."""
    results = world / "ranks2/results.h5"
    whole = results.read_bytes()
    mean = struct.pack("<d", json.loads(relearn("stats", "ranks2", "--json").stdout)["cells"][0]["f1"][0]["mean"])
    relearn("run", "sweep.yaml", "--out", "ranks2")  # the same
    assert mean in whole and b"mean over seeds" in whole
    for forged, says in ((whole.replace(mean, struct.pack("<d", 0.123)), "results.h5: /stats is not what was computed here; made again"),
                         (whole.replace(b"mean over seeds", b"MEAN over seeds"), "results.h5: is not what was gathered here")):  # HDF5's own checksum
        results.write_bytes(forged)
        for note in (True, False):
            done = relearn("run", "sweep.yaml", "--out", "ranks2", ranks=2)
            assert (says in done.stderr) == note and done.stderr.count("note:") == note and "warning" not in done.stderr, done
            assert "0 stages computed" in done.stdout, done
        assert mean in results.read_bytes() and b"MEAN over" not in results.read_bytes()


def test_more_seeds_compute_only_what_is_new():
    before = {e["key"] for e in done_stages("ranks2")}
    relearn("run", "sweep.yaml", "--out", "ranks2", "--set", "seed=0..2", ranks=2)
    after = [e["key"] for e in done_stages("ranks2")]
    assert len(after) - len(before) == 2 + 2 * 6 + 2, len(after) - len(before)
    assert len(shards("ranks2")) == 6


def test_more_ratios_and_concepts_compute_only_what_is_new():
    text = (world / "sweep.yaml").read_text()
    more = text.replace("concepts:\n", 'concepts:\n  other: {tokens: tokens.txt, labels: labels.txt, positive: ["N/A"]}\n')
    (world / "concepts.yaml").write_text(more.replace("concept: [location]", "concept: [location, other]"))
    a_run = {"prune": 1, "retrain": 2, "analyse": 3, "shard": 1}  # beside what its seed and its concept share
    relearn("run", "sweep.yaml", "--out", "grows", "--set", "seed=0")
    for sweep, shared, runs in (("sweep.yaml", {}, 2), ("concepts.yaml", {"identify": 1}, 4)):
        before, old = len(done_stages("grows")), shards("grows")
        arguments = (sweep, "--out", "grows", "--set", "seed=0", "--set", "prune.ratio=[0.5, 0.25]")
        plan = json.loads(relearn("plan", *arguments, "--json").stdout)
        relearn("run", *arguments)
        new = collections.Counter(e["stage"] for e in done_stages("grows")[before:])
        assert new == collections.Counter({kind: runs * n for kind, n in a_run.items()}) + collections.Counter(shared), new
        assert (plan["stages_to_make"], plan["runs_to_do"]) == (sum(new.values()) - runs, runs), plan
        assert old.items() <= shards("grows").items() and len(shards("grows")) == len(old) + runs
    keys = [e["key"] for e in done_stages("grows")]
    assert len(keys) == len(set(keys))


def test_an_undisturbed_sweep_to_compare_with():
    relearn("run", "sweep.yaml", "--out", "undisturbed", "--set", "train.epochs=30", "--set", "seed=0")
    assert len(shards("undisturbed")) == 2


def test_a_stopped_sweep_resumes_to_the_same_bits():
    command = [options.program, "run", "sweep.yaml", "--out", "stopped", "--set", "train.epochs=30", "--set", "seed=0"]
    stops, pause, deadline = 0, 0.3, time.time() + 150
    while time.time() < deadline:  # each start is left a little more time, however slow the machine is
        process = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
        if code not in (75, -signal.SIGTERM):  # the latter: before main had begun
            break
        stops, pause = stops + 1, pause * 1.1
    assert code == 0 and stops > 0, (code, stops)
    assert shards("stopped") == shards("undisturbed")


def test_a_killed_sweep_resumes_to_the_same_bits():
    command = [*launcher(options.mpiexec, 3), options.program, "run", "sweep.yaml", "--out", "killed",
               "--set", "train.epochs=30", "--set", "seed=0"]
    kills = 0
    for delay in (0.6, 0.8, 1.0, 1.2):
        process = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        time.sleep(delay)
        if process.poll() is None:
            for pid in (process.pid, *descendants(process.pid)):  # mpirun gives each rank a process group of its own
                os.kill(pid, signal.SIGKILL)
            kills += 1
        process.wait(timeout=60)
        time.sleep(0.2)
    relearn("run", "sweep.yaml", "--out", "killed", "--set", "train.epochs=30", "--set", "seed=0", ranks=3)
    assert kills > 0
    assert shards("killed") == shards("undisturbed")


def test_a_broken_model_fails_alone():
    done = relearn("run", "sweep.yaml", "--out", "broken", "--set", "model=[tiny-bert,broken-bert]", ranks=2, code=1)
    assert "4 failed" in done.stdout, done.stdout
    state = json.loads(relearn("status", "broken", "--json").stdout)
    assert state["done"] == 4 and state["failed"] == 4, state
    failed = [run for run in state["runs"] if run["state"] == "failed"]
    assert all("broken-bert/config.json:1:" in run["error"] for run in failed), failed
    assert shards("broken").keys() == shards("ranks1").keys()
    assert (world / "broken/results.h5").exists()


def test_a_model_with_an_unreadable_file_fails_alone():
    folder = world / "dangling-bert"
    shutil.copytree(world / "tiny-bert", folder)
    (folder / "vocab.txt").unlink()
    (folder / "vocab.txt").symlink_to("absent-blob")  # a download that was cut short
    relearn("run", "sweep.yaml", "--out", "dangling", "--set", "model=[tiny-bert,dangling-bert]", code=1)
    state = json.loads(relearn("status", "dangling", "--json").stdout)
    assert state["done"] == 4 and state["failed"] == 4, state
    assert all("vocab.txt" in run["error"] for run in state["runs"] if run["state"] == "failed"), state
    plan = relearn("plan", "sweep.yaml", "--set", "model=[tiny-bert,dangling-bert]").stdout
    assert "cannot run     4 runs:" in plan and plan.count("vocab.txt") == 1, plan


def test_a_model_that_is_not_downloaded_fails_alone():
    (world / "no-weights-bert").mkdir()
    config = json.loads((world / "tiny-bert/config.json").read_text())
    config.pop("relearn_random_init", None)
    (world / "no-weights-bert/config.json").write_text(json.dumps(config))
    both = ("sweep.yaml", "--set", "model=[tiny-bert,no-weights-bert]")
    plan = json.loads(relearn("plan", *both, "--json").stdout)
    assert sum(run["lacks"] is not None for run in plan["runs"]) == 4, plan
    relearn("run", *both, "--out", "no-weights", code=1)
    state = json.loads(relearn("status", "no-weights", "--json").stdout)
    assert state["done"] == 4 and state["failed"] == 4, state
    assert all("download the model there first" in run["error"] for run in state["runs"] if run["state"] == "failed"), state
    refused("run", "sweep.yaml", "--set", "model=no-weights-bert", "--out", "none", says="download the model there first")


def test_only_broken_models_is_bad_input():
    refused("run", "sweep.yaml", "--out", "all-broken", "--set", "model=broken-bert", says="broken-bert/config.json:1:")
    assert not (world / "all-broken").exists()


def test_one_rank_signalled_alone_stops_the_sweep():
    command = [*launcher(options.mpiexec, 3), options.program, "run", "sweep.yaml", "--out", "one-signalled",
               "--set", "train.epochs=3000", "--set", "seed=0"]
    process = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        time.sleep(0.05)
        if (world / "one-signalled/journal.jsonl").exists() and any(e["event"] == "started" for e in events("one-signalled")):
            break
    worker = events("one-signalled")[-1]["worker"]
    for pid in descendants(process.pid):
        if rank_of(pid) == worker + 1:
            os.kill(pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 75
    assert [e["event"] for e in events("one-signalled")].count("returned") == 1


def test_ranks_that_plan_other_stages_are_refused():
    isa = json.loads(relearn("doctor", "--json").stdout)["isa"]
    if isa == "baseline":
        return  # nothing below it to differ by
    one = ["run", "sweep.yaml", "--out", "mixed"]
    done = subprocess.run([*launcher(options.mpiexec, 1), options.program, *one, ":", "-n", "1", "env",
                           "RELEARN_ISA=baseline", options.program, *one], cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "plans other stages than rank 0" in done.stderr, done
    assert not (world / "mixed").exists()


def test_two_sweeps_in_one_folder_are_refused():
    command = [options.program, "run", "sweep.yaml", "--out", "locked", "--set", "train.epochs=200"]
    process = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        time.sleep(0.05)
        if (world / "locked/lock").exists() and (world / "locked/lock").read_text():
            break
    line = refused("run", "sweep.yaml", "--out", "locked", "--set", "train.epochs=200", says="another relearn works here")
    assert str(process.pid) in line, (line, process.pid)
    process.terminate()
    process.wait(timeout=60)


def test_a_missing_shard_alone_is_made_again():
    victim = sorted((world / "ranks1/runs").glob("*.h5"))[0]
    before, whole = len(done_stages("ranks1")), victim.read_bytes()
    victim.unlink()
    relearn("run", "sweep.yaml", "--out", "ranks1")
    assert len(done_stages("ranks1")) == before + 1
    assert victim.read_bytes() == whole


def test_a_damaged_shard_is_noticed_and_made_again():
    victim = sorted((world / "ranks3/runs").glob("*.h5"))[1]
    whole = victim.read_bytes()
    middle = len(whole) // 2
    victim.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
    (world / "ranks3/results.h5").unlink()
    done = relearn("run", "sweep.yaml", "--out", "ranks3", ranks=2)
    assert f"{victim.name}: is damaged or cut short" in done.stderr, done.stderr
    assert victim.read_bytes() == whole
    assert (world / "ranks3/quarantine/runs" / victim.name).exists()


def test_dry_run_and_plan_write_nothing():
    out = relearn("run", "sweep.yaml", "--out", "dry", "--dry-run").stdout
    assert "4 runs" in out and not (world / "dry").exists(), out
    plan = json.loads(relearn("plan", "sweep.yaml", "--json", "--ranks", "3").stdout)
    assert plan["num_runs"] == 4 and plan["num_stages"] == 28 and plan["num_stages_unshared"] == 32 and plan["keep"] == "all", plan
    assert plan["stages"] == {"finetune": 2, "identify": 2, "prune": 4, "retrain": 8, "analyse": 12}, plan
    assert plan["wall_seconds"] > 0 and plan["disk_bytes"] > 0 and plan["memory_bytes_per_rank"] > 0


def test_runs_that_are_left_out_are_not_called_there():
    out = relearn("run", "sweep.yaml", "--retry-failed", "--dry-run", "--out", "ranks1", "--set", "seed=0..2").stdout
    assert "already there  28 stages, 4 runs" in out and "left out       2 runs" in out, out
    plan = json.loads(relearn("plan", "sweep.yaml", "--out", "nowhere", "--json").stdout)
    assert (plan["runs_done"], plan["stages_done"], plan["runs_left_out"]) == (0, 0, 0), plan
    plan = json.loads(relearn("plan", "sweep.yaml", "--out", "ranks1", "--json").stdout)
    assert (plan["runs_done"], plan["stages_done"], plan["runs_left_out"]) == (4, plan["num_stages"], 0), plan


def test_filter_takes_some_runs():
    plan = json.loads(relearn("plan", "sweep.yaml", "--json", "--filter", "seed==0 && prune.select!=random").stdout)
    assert plan["num_runs"] == 1


def test_the_resolved_sweep_gives_the_same_runs():
    relearn("run", "ranks3/sweep.yaml", "--out", "again")
    assert shards("again") == shards("ranks3")


def test_gather_by_hand():
    (world / "again/results.h5").unlink()
    relearn("gather", "again", ranks=2)
    assert "0 stages computed" in relearn("run", "ranks3/sweep.yaml", "--out", "again").stdout
    assert not (world / "again/quarantine").exists()  # the same as the run's own gather
    assert (world / "again/results.h5").exists()


def test_gather_refuses_what_would_empty_the_results():
    before = (world / "again/results.h5").read_bytes()
    train = (world / "train.conll").read_text()
    (world / "train.conll").write_text(train + "\noslo B-LOC\n")
    refused("gather", "again", says="are not those that ran here")
    refused("gather", "again", says="are not those that ran here", ranks=2)
    (world / "train.conll").write_text(train)
    assert (world / "again/results.h5").read_bytes() == before


def test_what_kills_left_is_swept_up():
    for name in ("again/runs/0123.h5.tmp.99", "again/results.h5.tmp.99"):
        (world / name).write_text("half")
    relearn("run", "again/sweep.yaml", "--out", "again")
    assert not list((world / "again").rglob("*.tmp.*"))


run_tests(globals())
