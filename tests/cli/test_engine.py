"""The engine around the runs: simulation, policies, failures that can be redone alone, observability."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

from cli_support import options, refused, relearn, run_tests, shards, world

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from processes import descendants, launcher, rank_of  # noqa: E402


def test_simulate_prints_and_draws():
    text = relearn("simulate", "sweep.yaml", "--ranks", "3", "--svg", "gantt.svg").stdout
    for word in ("makespan", "efficiency", "messages", "coordinator", "3 ranks (2 working)"):
        assert word in text, text
    root = xml.etree.ElementTree.parse(world / "gantt.svg").getroot()
    assert root.tag.endswith("svg") and len(root.findall(".//{*}rect")) > 12
    found = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "3", "--json").stdout)
    planned = json.loads(relearn("plan", "sweep.yaml", "--ranks", "3", "--json").stdout)
    assert found["num_runs"] == 4 and found["workers"] == 2 and found["num_nodes"] == planned["num_stages"] + 4
    assert found["bound_s"] <= found["makespan_s"] and 0 < found["efficiency"] <= 1
    assert found["messages"] >= 2 * found["num_nodes"]


def test_bars_too_narrow_to_be_seen_are_drawn_together():
    text = relearn("simulate", "sweep.yaml", "--ranks", "3", "--set", "seed=0..3999", "--set", "keep=none", "--svg", "narrow.svg").stdout
    assert re.search(r"workers busy 99\.\d+ %", text), text
    rows = {}
    for bar in xml.etree.ElementTree.parse(world / "narrow.svg").getroot().findall(".//{*}rect"):
        if bar.get("height") == "8":
            rows[bar.get("y")] = rows.get(bar.get("y"), 0) + float(bar.get("width"))
    assert len(rows) == 2 and all(0.98 * 1100 < drawn < 1.02 * 1100 for drawn in rows.values()), rows


def test_alone_nothing_is_sent():
    found = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "1", "--json").stdout)
    assert found["messages"] == found["messages_per_s"] == found["coordinator_load"] == 0 and found["num_nodes"] > 0, found


def test_simulated_losses():
    calm = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "9", "--set", "seed=0..49", "--json").stdout)
    rough = json.loads(relearn("simulate", "sweep.yaml", "--ranks", "9", "--set", "seed=0..49", "--kill-every", "2", "--restart", "1",
                               "--json").stdout)
    assert rough["kills"] > 0 and rough["lost_s"] > 0 and rough["makespan_s"] > calm["makespan_s"]
    refused("simulate", "sweep.yaml", "--ranks", "2", "--kill-every", "0.001", says="would never end")


def test_simulate_refuses_nonsense():
    refused("simulate", "sweep.yaml", says="--ranks is missing")
    refused("simulate", "sweep.yaml", "--ranks", "0", says="is not an integer >= 1")
    refused("simulate", "sweep.yaml", "--ranks", "4", "--kill-every", "often", says="--kill-every: 'often' is no number")
    refused("simulate", "sweep.yaml", "--ranks", "4", "--svg", "no/such/folder/g.svg", says="no/such/folder")


def events(directory, kind=None):
    lines = [json.loads(line) for line in (world / directory / "journal.jsonl").read_text().splitlines() if line]
    return [e for e in lines if kind in (None, e["event"])]


def stages(directory):
    return sorted(path.name for path in (world / directory / "stages").iterdir())


def test_keep_deletes_what_no_run_needs():
    relearn("run", "sweep.yaml", "--out", "all", ranks=3)
    relearn("run", "sweep.yaml", "--out", "final", "--set", "keep=final", ranks=3)
    relearn("run", "sweep.yaml", "--out", "none", "--set", "keep=none")
    assert shards("all") == shards("final") == shards("none")
    assert stages("none") == [], stages("none")
    kinds = [json.loads((world / "final/stages" / s / "stage.json").read_text()) for s in stages("final")]
    assert sorted({(k["kind"], k["round"]) for k in kinds if k["kind"] != "analyse"}) == [("identify", 0), ("retrain", 2)], kinds
    assert "0 stages computed" in relearn("run", "sweep.yaml", "--out", "none", "--set", "keep=none").stdout
    run = sorted(shards("none"))[0][:-3]
    refused("export", "none", run, "base", "--to", "gone", says=["was deleted", "--set keep=all"])
    planned = {k: json.loads(relearn("plan", "sweep.yaml", "--set", f"keep={k}", "--set", "seed=0..40", "--json").stdout)
               for k in ("all", "none")}
    assert planned["none"]["peak_disk_bytes"] < 0.5 * planned["all"]["peak_disk_bytes"], planned
    refused("plan", "sweep.yaml", "--set", "keep=some", says="'some' is not all, final or none")


def test_plan_tells_what_is_there_from_what_was_deleted():
    def plan(directory, *more):
        out = json.loads(relearn("plan", "sweep.yaml", "--out", directory, "--set", f"keep={directory}", *more, "--json").stdout)
        return [out[key] for key in ("stages_done", "stages_to_make", "stages_made_once_more", "runs_done", "runs_to_do")]
    more_arms = ("--set", "prune.select=[concept,random,none]")
    assert plan("all") == [28, 0, 0, 4, 0] and plan("none") == [0, 0, 0, 4, 0]
    assert plan("all", *more_arms) == [28, 12, 0, 4, 2] and plan("none", *more_arms) == [0, 16, 4, 4, 2]
    assert plan("none", "--set", "seed=0..2") == [0, 14, 0, 4, 2]
    text = relearn("plan", "sweep.yaml", "--out", "none", "--set", "keep=none", *more_arms).stdout
    assert "already there  0 stages, 4 runs" in text and "to make        16 stages, 2 runs; 4 of the stages once more" in text, text
    computed = len(events("none", "done"))
    relearn("run", "sweep.yaml", "--out", "none", "--set", "keep=none", *more_arms)
    assert len(events("none", "done")) == computed + 16 + 2 and stages("none") == []


def test_what_is_left_out_fills_no_disk():
    def disk(*more):
        return json.loads(relearn("plan", "sweep.yaml", "--out", "all", *more, "--json").stdout)["peak_disk_bytes"]
    held = disk()
    one, both = (disk("--set", "seed=7", *more) - held for more in (("--filter", "prune.select=concept"), ()))
    assert 0 < one < 0.8 * both, (one, both)


def test_an_interrupted_deletion_is_finished():
    relearn("run", "sweep.yaml", "--out", "half", "--set", "seed=0")
    (world / "half/stages/0123.gone").mkdir()
    (world / "half/stages/0123.gone/x").write_text("x")
    relearn("run", "sweep.yaml", "--out", "half", "--set", "seed=0", "--set", "keep=none")
    assert stages("half") == []


def test_asking_for_less_loses_nothing():
    whole = (world / "all/results.h5").stat().st_size
    before = shards("all")
    relearn("run", "sweep.yaml", "--out", "all", "--filter", "seed=0")
    relearn("run", "sweep.yaml", "--out", "all", "--set", "seed=1")
    state = json.loads(relearn("status", "all", "--json").stdout)
    assert state["planned"] == 4 and state["done"] == 4, state
    assert shards("all") == before and (world / "all/results.h5").stat().st_size >= whole * 0.9
    relearn("run", "sweep.yaml", "--out", "all", "--set", "seed=5", "--filter", "prune.select=concept")
    state = json.loads(relearn("status", "all", "--json").stdout)
    assert state["done"] == 5 and state["left_out"] == 1 and state["failed"] == 0, state
    assert state["stages_done"] == state["stages_total"] == 2 * 16 + 9, "what only the run left out needs is no stage of this start"
    assert "seed: 0" not in (world / "all/sweep.yaml").read_text()
    (world / "narrower.yaml").write_text((world / "sweep.yaml").read_text() + "exclude: [{seed: 0, prune.select: random}]\nfilter: seed <= 1\n")
    said = relearn("run", "narrower.yaml", "--out", "all", "--dry-run").stderr  # the file is the grid: only --filter asks for less of it
    assert "warning: 2 finished runs of all are not in this sweep" in said and "(--filter would not)" in said, said


def test_a_contradiction_is_refused_by_name():
    line = refused("run", "sweep.yaml", "--out", "all", "--set", "train.learning_rate=1e-3",
                   says=["train.learning_rate", "0.001", "--out another folder", "grid: train.learning_rate: ["])
    assert "all/sweep.yaml" in line and "--set train.learning_rate=1e-3: " in line, line
    relearn("plan", "sweep.yaml", "--set", "train.learning_rate=1e-3")  # another folder: no word


def test_a_contradiction_in_the_file_has_its_line_and_column():
    text = (world / "sweep.yaml").read_text()
    for key, old, new, value in (("train.epochs", "epochs: 2", "epochs: 3", "3"),
                                 ("train.dropout", "grid:\n", "grid:\n  train.dropout: [0.2]\n", "[0.2]")):
        changed = text.replace(old, new, 1)
        at = changed.index(new) + len(new.rstrip()) - len(value)
        line, column = changed.count("\n", 0, at) + 1, at - changed.rfind("\n", 0, at)
        (world / "contradicts.yaml").write_text(changed)
        refused("run", "contradicts.yaml", "--out", "all", "--dry-run",
                says=[f"contradicts.yaml:{line}:{column}: {key} is ", "all/sweep.yaml; give --out another folder"])


def test_contradictions_of_every_kind_name_their_key():
    """Numbers, words, switches, sections of all sorts: what a folder's finished runs have otherwise is named, with both ways out."""
    for key, value in (("train.epochs", "3"), ("train.batch_size", "3"), ("train.weight_decay", "0.5"), ("train.max_grad_norm", "2"),
                       ("train.warmup_steps", "3"), ("train.max_steps", "7"), ("train.optimizer", "adamw_hf"),
                       ("train.precision", "bf16"), ("retrain.rounds", "1"), ("retrain.epochs", "7"), ("prune.ratio", "0.3"), ("data.limit", "5"),
                       ("ranks_per_run", "2"), ("analyse.top_words", "3")):
        line = refused("run", "sweep.yaml", "--out", "all", "--set", f"{key}={value}", "--dry-run",
                       says=[f": {key} is {value} here and ", "all/sweep.yaml; give --out another folder, or extend", f"(grid: {key}: ["])
        both = re.search(r"\(grid: \S+: (\[[^]]*\])\)", line).group(1)
        offered = relearn("plan", "sweep.yaml", "--out", "all", "--set", f"{key}={both}", "--json")  # what it offers works
        assert json.loads(offered.stdout)["num_runs"] >= 8, (key, offered.stdout)


def test_a_concept_that_means_something_else_is_refused_at_its_key():
    text = (world / "sweep.yaml").read_text()
    (world / "labels2.txt").write_text((world / "labels.txt").read_text().replace("SEM:named_entity:location", "N/A", 1))
    (world / "copy.txt").write_text((world / "labels.txt").read_text())
    before = (world / "all/results.h5").read_bytes()
    for old, new, says in (("labels.txt", "labels2.txt", "labels2.txt here and "), ('["SEM:named_entity:location"]', "[X]", "positive X here and SEM"),
                           ("{tokens: tokens.txt", "{type: LOC, tokens: tokens.txt", "type LOC here and unset"),
                           ("location", "place", "location is not here and is"), ("positive: [", "pattern: x, positive: [", "'tokens' and 'pattern'")):
        (world / "other.yaml").write_text(text.replace(old, new))
        more = [] if "pattern" in new else ["all/sweep.yaml; give --out another folder, or extend by"]
        refused("run", "other.yaml", "--out", "all", "--set", "seed=0..9", says=["other.yaml:4:", says, *more])
    (world / "other.yaml").write_text(text.replace("{tokens: tokens.txt, labels: labels.txt, positive: [\"SEM:named_entity:location\"]}", "{words: [oslo]}"))
    refused("nightly", "other.yaml", "--out", "all", "--budget", "1h", says=["other.yaml:4:", "concepts: location has tokens unset here and "])
    assert (world / "all/results.h5").read_bytes() == before
    (world / "other.yaml").write_text(text.replace("labels.txt", "copy.txt").replace("  location", "  more: {words: [oslo]}\n  location", 1))
    assert "; 0 stages computed" in relearn("run", "other.yaml", "--out", "all").stdout  # the same file elsewhere, a concept that no run uses


def test_finished_runs_that_a_start_does_not_know_are_named():
    relearn("run", "sweep.yaml", "--out", "lost", "--set", "seed=0")
    train, resolved = (world / "train.conll").read_text(), world / "lost/sweep.yaml"
    (world / "train.conll").write_text(train + "oslo B-LOC\n\n")
    asked = ("sweep.yaml", "--out", "lost", "--set", "seed=0")
    said = [relearn(*command).stderr for command in (("plan", *asked), ("run", *asked, "--dry-run"), ("run", *asked))]
    (world / "train.conll").write_text(train)
    for changed in said:
        assert "warning: 2 finished runs of lost are not in this sweep" in changed and "a data or model file holds" in changed, said
    relearn("run", "sweep.yaml", "--out", "lost", "--set", "seed=0")
    resolved.write_text(resolved.read_text() + "x: [\n")
    unread = relearn("run", "sweep.yaml", "--out", "lost", "--set", "seed=1").stderr
    assert "warning: 2 finished runs of lost are not in this sweep" in unread and "lost/sweep.yaml:" in unread and "is not YAML" in unread, unread
    assert "warning" not in relearn("run", "sweep.yaml", "--out", "lost", "--set", "seed=0..1").stderr


def test_what_is_unset_can_be_no_axis():
    for value in ("0.2", "[0.1,0.2]"):
        line = refused("run", "sweep.yaml", "--out", "all", "--set", f"train.dropout={value}", "--dry-run",
                       says=["train.dropout is 0.", "here and unset in the runs of", "give --out another folder"])
        assert "grid:" not in line, line


def test_memory_is_refused_before_a_run_starts():
    refused("plan", "sweep.yaml", "--set", "memory_per_rank=1MB", says=["--set memory_per_rank=1MB: memory_per_rank: 1.0 MB is less than the 10", "on its rank"])
    text = "# a comment\nmemory_per_rank:  1MB\n" + (world / "sweep.yaml").read_text()
    (world / "greedy.yaml").write_text(text)
    for command in ("plan", "run", "nightly"):
        refused(command, "greedy.yaml", "--out", "greedy", *(["--budget", "1h"] if command == "nightly" else []),
                says=["greedy.yaml:2:19: memory_per_rank: 1.0 MB is less than the "])
    assert not (world / "greedy").exists()
    relearn("plan", "sweep.yaml", "--set", "memory_per_rank=64 GiB")
    refused("plan", "sweep.yaml", "--set", "memory_per_rank=much", says="is not a size such as 8GB")


def test_only_what_is_too_large_is_refused():
    """Of runs with small and with large batches the large ones fail, by name and before anything runs; the others are done."""
    axis = ["--set", "train.batch_size=[4,512]", "--set", "seed=0"]
    need = [json.loads(relearn("plan", "sweep.yaml", "--set", f"train.batch_size={n}", "--json").stdout)["memory_bytes_per_rank"] for n in (4, 512)]
    assert need[0] < need[1], need
    relearn("run", "sweep.yaml", "--out", "large", *axis, "--set", f"memory_per_rank={(need[0] + need[1]) / 2:.0f}", code=1)
    runs = json.loads(relearn("status", "large", "--json").stdout)["runs"]
    assert {(run["axes"]["train.batch_size"], run["state"]) for run in runs} == {("4", "done"), ("512", "failed")}, runs
    assert all("memory_per_rank" in run["error"] for run in runs if run["state"] == "failed"), runs
    mine = {run["id"] for run in runs if run["state"] == "failed"}
    assert not [e for e in events("large", "started") if e["run"] in mine]
    less = ["--set", f"memory_per_rank={(need[0] + need[1]) / 2:.0f}"]
    relearn("run", "sweep.yaml", "--out", "large", *axis, "--filter", "train.batch_size=4", *less)  # the large ones are not asked for
    relearn("run", "sweep.yaml", "--out", "large", *axis)
    relearn("run", "sweep.yaml", "--out", "large", *axis, *less)  # finished without a limit: nothing is left to refuse
    assert json.loads(relearn("status", "large", "--json").stdout)["done"] == 4


def test_retrying_where_nothing_was_started_is_refused():
    for more in ([], ["--dry-run"]):
        refused("run", "sweep.yaml", "--out", "nowhere", "--retry-failed", *more, says="--retry-failed: no sweep was ever started in nowhere")
    refused("run", "sweep.yaml", "--out", "nowhere", "--retry-failed", ranks=2, says="--retry-failed: no sweep was ever started in nowhere")
    assert not (world / "nowhere").exists()


def test_metrics_that_cannot_be_written_are_refused():
    for ranks in (0, 3):
        refused("run", "sweep.yaml", "--out", "unseen", "--metrics", "no/such/m.prom", ranks=ranks, says="--metrics: no/such/m.prom cannot be written: no/such is no folder")
    refused("run", "sweep.yaml", "--out", "unseen", "--metrics", "tiny-bert", says="--metrics: tiny-bert is a folder")
    refused("nightly", "sweep.yaml", "--budget", "1h", "--out", "unseen", "--metrics", "no/m.prom", says="--metrics: no/m.prom cannot be written")
    assert not (world / "unseen").exists()


def test_causal_stages_are_counted_drawn_and_learnt_from():
    """The kind of stage that came last has its own place in the plan's words, the picture's legend and the times that a folder's journal teaches."""
    causal = ["sweep.yaml", "--set", "analyse.causal=true"]
    told = dict(reversed(pair.split(" ")) for pair in re.findall(r"\d+ [a-z]+(?=[ \n])", relearn("plan", *causal).stdout.split("without sharing:")[1].split("\n")[0] + "\n"))
    planned = json.loads(relearn("plan", *causal, "--json").stdout)
    assert int(told["causal"]) > 0 and sum(map(int, told.values())) == planned["num_stages"], told
    relearn("simulate", *causal, "--ranks", "3", "--svg", "causal.svg")
    names = [node.text for node in xml.etree.ElementTree.parse(world / "causal.svg").getroot().findall(".//{*}text")]
    assert "causal" in names and "shard" in names, names
    relearn("run", *causal, "--out", "causal")
    assert sum(e["stage"] == "causal" for e in events("causal", "done")) == int(told["causal"])
    took = {kind: [(e["seconds"], e["modelled_s"]) for e in events("causal", "done") if e["stage"] == kind] for kind in [*told, "shard"]}
    learnt = json.loads(relearn("plan", *causal, "--out", "uncaused", "--like", "causal", "--json").stdout)
    assert abs(learnt["core_seconds"] - sum(second for pairs in took.values() for second, _ in pairs)) < 0.02, (learnt, took)


def test_threads_share_a_run():
    relearn("run", "sweep.yaml", "--out", "threads", "--set", "seed=0")
    alone = shards("threads")
    again = relearn("run", "sweep.yaml", "--out", "threads", "--set", "seed=0", "--set", "threads_per_rank=2", "--oversubscribe").stdout
    doctor = json.loads(relearn("doctor", "--json").stdout)
    assert doctor["cores_allowed"] >= 1, doctor
    if doctor["threads_keep_bits"]:
        assert "0 stages computed" in again and shards("threads") == alone, again
        relearn("run", "sweep.yaml", "--out", "two", "--set", "seed=0", "--set", "threads_per_rank=2", "--oversubscribe", ranks=3)
        assert shards("two") == alone
    assert json.loads(relearn("status", "threads", "--json").stdout)["threads_per_rank"] == 2
    assert "2 threads a rank" in relearn("status", "threads").stdout
    assert "threads_per_rank: 2" in (world / "threads/sweep.yaml").read_text()
    assert "200 threads each" in relearn("plan", "sweep.yaml", "--set", "threads_per_rank=200").stdout
    refused("run", "sweep.yaml", "--out", "never", "--set", "threads_per_rank=200", says=["threads_per_rank: 200", "may use", "--oversubscribe"])
    assert not (world / "never").exists()
    refused("plan", "sweep.yaml", "--set", "threads_per_rank=0", says="is not a whole number from 1 to 256")
    refused("eval", "--model", "m", "--data", "d", "--threads", "300", says="--threads: 300; expected 1 to 256")


def test_bf16_is_refused_where_the_processor_cannot_and_planned_anywhere():
    lowered = {"RELEARN_ISA": "baseline"}
    says = ["train.precision: bf16", "fp32"]
    one = ["sweep.yaml", "--set", "train.precision=bf16", "--set", "seed=0"]
    refused("run", *one, "--out", "never-bf16", env=lowered, says=says)
    refused("run", *one, "--out", "never-bf16", ranks=2, env=lowered, says=[*says, "rank 0 on "])
    assert not (world / "never-bf16").exists()
    assert json.loads(relearn("plan", *one, "--json", env=lowered).stdout)["num_runs"] == 2
    refused("plan", "sweep.yaml", "--set", "train.precision=fp61", says=["fp32, bf16"])


def test_what_takes_too_long_is_retried_then_left_failed_and_redone_alone():
    relearn("run", "sweep.yaml", "--out", "stuck", "--set", "stuck_after=1e-7", "--set", "seed=0", "--set", "retries=2", code=1)
    state = json.loads(relearn("status", "stuck", "--json").stdout)
    assert state["failed"] == 2 and all("stuck_after" in run["error"] for run in state["runs"]), state
    assert len(events("stuck", "retry")) == 2 and len(events("stuck", "failed")) == 1
    assert "begins" in events("stuck", "run_failed")[0]["log"], events("stuck", "run_failed")[0]
    relearn("run", "sweep.yaml", "--out", "stuck", "--set", "seed=0..1", code=1)  # the new seed works, the failed ones stay
    state = json.loads(relearn("status", "stuck", "--json").stdout)
    assert state["done"] == 2 and state["failed"] == 2, state
    relearn("run", "sweep.yaml", "--out", "stuck", "--set", "seed=0..2", "--retry-failed")
    state = json.loads(relearn("status", "stuck", "--json").stdout)
    assert state["done"] == 4 and state["failed"] == 0 and state["waiting"] == 0 and state["left_out"] == 2, state  # the new seed's
    assert state["planned"] == 4 and ": finished;" in relearn("status", "stuck").stdout
    for shard in (world / "stuck/runs").glob("*.h5"):  # a run that failed, was redone and loses its shard is made again like any other
        shard.unlink()
    relearn("run", "sweep.yaml", "--out", "stuck", "--set", "seed=0..1", "--retry-failed")  # nothing is failed: none of them
    assert not shards("stuck")
    assert "4 of 4 runs done" in relearn("run", "sweep.yaml", "--out", "stuck", "--set", "seed=0..1").stdout


def test_what_has_no_steps_is_asked_to_give_up_too():
    """Identifying and analysing ask during their activation passes; they asked for signals only, so a worker that worked was declared dead."""
    one = ["run", "sweep.yaml", "--out", "unasked", "--filter", "seed=0 && prune.select=concept", "--set", "retries=0"]
    relearn(*one)
    for done in events("unasked", "done"):
        if done["stage"] == "shard":
            (world / f"unasked/runs/{done['run']}.h5").unlink()
        elif done["stage"] != "finetune":
            shutil.rmtree(world / "unasked/stages" / done["key"])
    relearn(*one, "--set", "stuck_after=1e-7", code=1)
    assert events("unasked", "failed")[-1]["stage"] == "identify" and events("unasked", "failed")[-1]["kind"] == "stuck"


def stop_the_rank_that_works(out, ranks, epochs, stuck_after, *settings):
    """SIGSTOP to the rank that has the first stage; what the job says until it ends with 75."""
    command = [*launcher(options.mpiexec, ranks), options.program, "run", "sweep.yaml", "--out", out,
               "--set", f"train.epochs={epochs}", "--set", f"stuck_after={stuck_after}", "--set", "hung_after=1", *settings]
    process = subprocess.Popen(command, cwd=world, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not ((world / out / "journal.jsonl").exists() and events(out, "started")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    rank = events(out, "started")[0]["worker"] + 1
    for pid in descendants(process.pid):
        if rank_of(pid) == rank:
            os.kill(pid, signal.SIGSTOP)
    try:
        text, _ = process.communicate(timeout=100)
    finally:
        for pid in [*descendants(process.pid), process.pid] if process.poll() is None else []:
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 75 and "answers no more" in text, (process.returncode, text)


def test_an_idle_rank_takes_what_a_dead_one_had():
    stop_the_rank_that_works("taken", 3, 100, 4, "--filter", "seed=0 && prune.select=concept")
    assert json.loads(relearn("status", "taken", "--json").stdout)["done"] == 1, "one run, one other rank, which had nothing to do"


def test_when_all_ranks_answer_no_more_the_job_ends():
    """Rank 0 has stages that nobody can take: it waited for ever."""
    stop_the_rank_that_works("dead", 2, 400, 0.5)


def test_text_values_may_hold_quotes_and_backslashes():
    folder = world / 'ti"n\\y'
    shutil.copytree(world / "tiny-bert", folder)
    (folder / "config.json").write_text((folder / "config.json").read_text().replace('"relearn_random_init": 7', '"relearn_random_init": 8'))  # another model
    relearn("run", "sweep.yaml", "--out", "quoted", "--set", r'model=["ti\"n\\y"]', "--set", "seed=0")
    relearn("run", "sweep.yaml", "--out", "quoted", "--set", "seed=0")
    said = relearn("show", "quoted").stdout
    assert ": 4 of " in said.splitlines()[0], f"the folder's model and this one's: {said}"


def test_a_rank_that_answers_no_more_is_left_alone():
    limits = ["--set", "stuck_after=4", "--set", "hung_after=1", "--set", "retries=0"]  # 4 times 5 s
    command = [*launcher(options.mpiexec, 3), options.program, "run", "sweep.yaml", "--out", "hung", "--set", "train.epochs=60", *limits]
    process = subprocess.Popen(command, cwd=world, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not ((world / "hung/journal.jsonl").exists() and events("hung", "started")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    rank = events("hung", "started")[0]["worker"] + 1
    for pid in descendants(process.pid):
        if rank_of(pid) == rank:
            os.kill(pid, signal.SIGSTOP)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 75, (process.returncode, text)
    state = json.loads(relearn("status", "hung", "--json").stdout)
    mine = [run for run in state["runs"] if run["state"] == "failed"]
    assert mine and all(f"rank {rank} answers no more" in run["error"] for run in mine), state["runs"]
    assert len(events("hung", "stuck")) == 1 and state["done"] + state["failed"] == state["planned"], state
    assert state["done"] > 0, "the other rank went on"
    relearn("run", "sweep.yaml", "--out", "hung", "--set", "train.epochs=60", "--retry-failed", ranks=3)
    relearn("run", "sweep.yaml", "--out", "unhung", "--set", "train.epochs=60", ranks=3)
    assert shards("hung") == shards("unhung")


def test_logs_and_metrics():
    relearn("run", "sweep.yaml", "--out", "seen", "--metrics", "seen.prom", ranks=3)
    ids = {name[:-3] for name in shards("seen")}
    lines = [line for n in (1, 2) for line in (world / f"seen/logs/rank-{n}.log").read_text().splitlines()]
    assert lines and all(line.split()[0].endswith("Z") and line.split()[1] in ids for line in lines), lines[:5]
    assert any("finetune" in line and "F1 " in line for line in lines)
    text = (world / "seen.prom").read_text()
    assert 'relearn_runs{sweep="' in text and 'state="done"} 4' in text and "# TYPE relearn_eta_seconds gauge" not in text.split("# TYPE relearn_runs")[0]
    assert "relearn_finished" in text
    end = events("seen", "end")[-1]
    assert end["workers"] == 2 and 0 < end["busy_s"] <= 2 * end["elapsed_s"] and end["messages"] > 32, end


def test_efficiency_is_held_against_the_shortest_possible_makespan():
    text = relearn("run", "sweep.yaml", "--out", "path", "--filter", "seed=0 && prune.select=concept", ranks=4).stdout
    end, took = events("path", "end")[-1], {(e["stage"], e["round"]): e["seconds"] for e in events("path", "done")}
    tail = max(took["analyse", 0], took["retrain", 1] + max(took["analyse", 1], took["retrain", 2] + took["analyse", 2]))
    path = took["finetune", 0] + took["identify", 0] + took["prune", 0] + tail + took["shard", 0]
    assert abs(end["bound_s"] - max(path, end["busy_s"] / 3)) < 1e-6 and path <= end["elapsed_s"], (end, path)
    assert f"efficiency {100 * end['bound_s'] / end['elapsed_s']:.1f} %" in text, text


def test_status_names_axes_and_watches():
    state = json.loads(relearn("status", "seen", "--json").stdout)
    assert {run["axes"]["prune.select"] for run in state["runs"]} == {"concept", "random"}, state["runs"][0]
    assert state["live"] is None and state["alive"] is False
    text = relearn("status", "seen").stdout
    assert ": finished;" in text and "4 done" in text and not any(run["id"] in text for run in state["runs"]), f"done runs are counted, not listed: {text}"
    lines = relearn("status", "seen", "--watch").stdout.splitlines()
    assert len(lines) == 1 and "finished: 4/4 runs" in lines[0] and "ETA" not in lines[0] and "\033" not in lines[0], lines


def test_status_names_failed_runs_and_no_others():
    """With a failed stage nobody waits for what needed it; with many failed runs the first twenty are named, and --json has all."""
    rates = "train.learning_rate=[5e-3, 900]"
    relearn("run", "sweep.yaml", "--out", "diverged", "--set", rates, code=1)
    state = json.loads(relearn("status", "diverged", "--json").stdout)
    failed = [run["id"] for run in state["runs"] if run["state"] == "failed"]
    text = relearn("status", "diverged").stdout
    assert state["done"] == state["failed"] == 4 and all(run["id"] in text for run in state["runs"] if run["state"] == "failed"), text
    assert text.count(" failed   ") == 4 and ": finished;" in text and "seed=1 prune.select=random train.learning_rate=900" in text and "model=" not in text, text
    assert json.loads((world / "diverged/progress.json").read_text())["eta_s"] < 0.01, "nothing is left to wait for"
    relearn("run", "sweep.yaml", "--out", "diverged", "--set", "train.learning_rate=[900]", "--set", "seed=0..11", code=1)
    text = relearn("status", "diverged").stdout
    assert text.count(" failed   ") == 20 and "... and 4 more failed: --json names all" in text, text
    assert failed[0] in {run["id"] for run in json.loads(relearn("status", "diverged", "--json").stdout)["runs"] if run["state"] == "failed"}


def test_watch_follows_a_living_sweep():
    sweep = subprocess.Popen([options.program, "run", "sweep.yaml", "--out", "lives", "--set", "train.epochs=200", "--set", "seed=0..3"],
                             cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (world / "lives/progress.json").exists() and sweep.poll() is None:
        time.sleep(0.05)
    live = json.loads(relearn("status", "lives", "--json").stdout)["live"]
    lines = relearn("status", "lives", "--watch").stdout.splitlines()
    assert sweep.wait() == 0
    assert live is None or "task" in live["workers"][0], live
    assert all(" runs, " in line for line in lines) and len(lines) >= 1, lines


run_tests(globals())
