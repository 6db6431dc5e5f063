"""What the crash tests share: a tiny world, starting and killing sweeps, and comparing what they leave (standard library only)."""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from processes import descendants, launcher, on_ranks, rank_of  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--program", required=True)
parser.add_argument("--make-world", required=True)
parser.add_argument("--store-digest", required=True)
parser.add_argument("--shim", required=True)
parser.add_argument("--mpiexec", default="mpirun")
parser.add_argument("--seed", type=int, default=20261123)
parser.add_argument("--count", type=int, default=0, help="kills or faults to try; 0: the test's own number")
parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
options = parser.parse_args()
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
if os.geteuid() == 0:  # containers and CI: Open MPI asks twice
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
# More ranks than cores: what waits must let others run.
os.environ.setdefault("OMPI_MCA_btl_vader_single_copy_mechanism", "none")

# In memory where there is room: these tests are about what is in files after a process died, and wait for fsync thousands of times.
memory = pathlib.Path("/dev/shm")
roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
folder = pathlib.Path(tempfile.mkdtemp(prefix="relearn-crash-", dir=os.environ.get("TMPDIR") or (memory if roomy else None)))
world = pathlib.Path(subprocess.run([options.make_world, str(folder)], check=True, capture_output=True, text=True).stdout.strip())

# Long enough to be killed in the middle, short enough for hundreds of starts: 2 runs, 3 trainings each.
TRAIN_EPOCHS, RETRAIN_EPOCHS = 24, 12
SWEEP = ["run", "sweep.yaml", "--set", "seed=0", "--set", f"train.epochs={TRAIN_EPOCHS}", "--set", f"retrain.epochs={RETRAIN_EPOCHS}"]


def command(out, ranks=0, arguments=SWEEP):
    alone = [options.program, *arguments, "--out", out]
    return on_ranks(options.mpiexec, ranks, *alone) if ranks else alone


def shim(out, **settings):
    """Environment that preloads the shim for the files of folder `out`: shim("a", PATH="journal", AT=3, DO="EIO")."""
    return {"LD_PRELOAD": options.shim, "RELEARN_FAULT_ROOT": str(world / out),
            **{f"RELEARN_FAULT_{key}": str(value) for key, value in settings.items()}}


def run(out, ranks=0, env=None, code=0, arguments=SWEEP, timeout=120):
    done = subprocess.run(command(out, ranks, arguments), cwd=world, env={**os.environ, **(env or {})}, capture_output=True, text=True,
                          timeout=timeout)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{out}: exit {done.returncode}, expected {code}\nstdout: {done.stdout[-2000:]}\nstderr: {done.stderr[-3000:]}")
    return done


def start(out, ranks=0, env=None):
    log = (world / f"{out}.log").open("ab")
    process = subprocess.Popen(command(out, ranks), cwd=world, env={**os.environ, **(env or {})}, stdout=log, stderr=log,
                               start_new_session=True)
    log.close()
    return process


def log_of(out):
    path = world / f"{out}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def digest(out):
    done = subprocess.run([options.store_digest, str(world / out / "results.h5")], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def without_times(name, data):
    """A stage's files hold wall times: those are not results."""
    if name == "training.jsonl":
        return re.sub(rb'"seconds":[^,}]*', b"", data)
    if name == "stage.json":
        record = json.loads(data)
        for key in ("seconds", "finished", "sum"):
            record.pop(key, None)
        record.get("files", {}).pop("training.jsonl", None)
        return json.dumps(record, sort_keys=True).encode()
    return data


def contents(out):
    """Every result of a sweep folder: stage files, shards, and results.h5 by its contents."""
    base = world / out
    found = {str(p.relative_to(base)): without_times(p.name, p.read_bytes())
             for top in ("stages", "runs") for p in sorted((base / top).rglob("*")) if p.is_file()}
    found["results.h5"] = digest(out)
    return found


def assert_same(out, reference, what):
    mine = contents(out)
    missing, more = sorted(reference.keys() - mine.keys()), sorted(mine.keys() - reference.keys())
    differ = sorted(name for name in reference.keys() & mine.keys() if reference[name] != mine[name])
    assert not missing and not more and not differ, f"{what}: missing {missing}, too much {more}, different {differ}"


def epochs_of(base):
    """Training epochs that each finished stage of a sweep folder has, by key."""
    return {p.parent.name: len(json.loads(p.read_text())["epochs"]) for p in (base / "stages").glob("*/epochs.json")}


def epochs_kept(lines):
    """How many epochs of each stage were made and kept, by what the shim saw. A training puts epochs.json in place at the end of each epoch,
    before that epoch's checkpoint, and when it begins without a checkpoint; a checkpoint without scores of its own is of a stop within an epoch
    (mpirun signals the others when a rank dies)."""
    epochs, scores, resumable = collections.Counter(), collections.Counter(), set()
    for line in lines:
        process, op, rest = line.split(" ", 2)
        part = re.search(r"/stages/([0-9a-f]+)\.[0-9a-f]+\.work/([^/]+)$", rest.split(" -> ")[-1]) if op == "rename" else None
        if not part:
            continue
        stage, name = part.groups()
        if name == "epochs.json":
            scores[process, stage] += 1
        elif name == "checkpoint":
            epochs[stage] += scores[process, stage] > (stage not in resumable)
            scores[process, stage] = 0
            resumable.add(stage)
    return epochs


def assert_nothing_twice(out, log):
    """What the shim saw being put in place: each stage and shard once, and each epoch once, over all starts."""
    base, put = world / out, collections.Counter()
    lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    for line in lines:
        _, op, rest = line.split(" ", 2)
        if op == "rename":
            put[rest.split(" -> ")[1]] += 1
    for path, times in put.items():
        # A start takes over what was under way by a rename.
        if os.path.basename(os.path.dirname(path)) in ("stages", "runs") and not path.endswith(".work"):
            assert times == 1, f"{out}: {path} was made {times} times"
    expected = epochs_of(base)
    for stage, times in epochs_kept(lines).items():
        assert times <= expected[stage], f"{out}: {times} epochs of {stage} were made and kept, which has {expected[stage]}"


def leave(ok):
    if options.keep or not ok:
        print(f"left in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if ok else 1)


_told = [time.time(), time.time()]  # begun, last line


def progress(done, of, what):
    """A long campaign says how far it is, twice a minute."""
    now = time.time()
    if now - _told[1] >= 30:
        print(f"      {done} of {of} {what}, {now - _told[0]:.0f} s", flush=True)
        _told[1] = now


def run_campaign(main):
    """One campaign of many draws; its seed is said when it fails."""
    ok = False
    try:
        main()
        ok = True
    except (AssertionError, subprocess.TimeoutExpired) as problem:
        print(f"FAIL (seed {options.seed}): {problem}")
    leave(ok)


def run_tests(namespace):
    tests = [(n, f) for n, f in namespace.items() if n.startswith("test_")]
    failed = 0
    for name, test in tests:
        begun = time.time()
        try:
            test()
            print(f"ok    {name}  ({time.time() - begun:.1f} s)", flush=True)
        except Exception as problem:  # one failure must not hide the others
            failed += 1
            import traceback
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(tests) - failed} of {len(tests)} passed")
    leave(not failed and tests)
