"""Under tests/slurm/one_node.sh: slurm/sweep.sbatch stops on USR1, requeues itself and goes on; survives scontrol requeue; and leaves what
an undisturbed sweep leaves, its ranks started by srun and by mpirun. srun's singletons are refused before anything is written. Run as:
one_node.sh python3 test_slurm.py ARGUMENTS"""
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "crash"))
import crash_support as crash
from crash_support import options, world

root = pathlib.Path(__file__).resolve().parents[2]
LONG = ["sweep.yaml", "--set", "seed=0", "--set", "train.epochs=400", "--set", f"retrain.epochs={crash.RETRAIN_EPOCHS}"]


def slurm(*arguments):
    done = subprocess.run(arguments, cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def submit(out, launch=None, arguments=LONG):
    environment = {**os.environ, "RELEARN": options.program, "OMPI_MCA_btl": "self,vader", "PMIX_MCA_gds": "hash"}
    if launch:
        environment["RELEARN_LAUNCH"] = launch
    done = subprocess.run(["sbatch", "--parsable", "--ntasks=2", "--time=10", "--mem-per-cpu=500", f"--output={out}.log",
                           str(root / "slurm/sweep.sbatch"), *arguments, "--out", out],
                          cwd=world, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state(job):
    fields = dict(word.split("=", 1) for word in slurm("scontrol", "-o", "show", "job", job).split() if "=" in word)
    return fields["JobState"], fields["ExitCode"], int(fields["Restarts"])


def wait_until(what, condition, seconds=120):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen in {seconds} s")


def events(out):
    path = world / out / "journal.jsonl"
    return path.read_text() if path.exists() else ""


def finish(job, out, restarts):
    def ended():
        if state(job)[0] == "PENDING":  # a requeued job waits for its credentials to expire
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)
        return state(job)[0] in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
    wait_until(f"the end of job {job}", ended, 240)
    log = (world / f"{out}.log").read_text()
    assert state(job) == ("COMPLETED", "0:0", restarts), f"{state(job)}\n{log[-3000:]}"
    return log


def reference():
    if not (world / "undisturbed").exists():
        crash.run("undisturbed", 2, arguments=["run", *LONG])
    return crash.contents("undisturbed")


def under_way(out, starts=1):
    """The fine-tuning has a checkpoint, in the start that counts."""
    wait_until("training", lambda: events(out).count('"event":"start"') == starts and list((world / out).glob("stages/*.work/checkpoint")))


def test_a_signal_before_the_limit_requeues_and_goes_on():
    """Under srun, where Slurm speaks PMIx; relearn has read the time limit of the job."""
    expected = reference()
    job = submit("signalled")
    under_way("signalled")
    slurm("scancel", "--signal=USR1", "--batch", job)
    log = finish(job, "signalled", 1)
    assert "stopped with work left; requeueing" in log, log[-2000:]
    assert len(re.findall(rf"note: Slurm job {job} ends in (9 min|10 min 00 s)", log)) == 2, log[-2000:]
    assert events("signalled").count('"event":"returned"') == 1
    crash.assert_same("signalled", expected, "a signalled job")


def test_a_preempted_job_goes_on():
    """Under mpirun, as where Slurm and MPI have no PMI in common."""
    expected = reference()
    job = submit("preempted", launch=f"{options.mpiexec} -n 2 --bind-to core:overload-allowed")
    under_way("preempted")
    slurm("scontrol", "requeue", job)
    finish(job, "preempted", 1)
    crash.assert_same("preempted", expected, "a preempted job")


def test_singletons_are_refused():
    # Debian's Open MPI notices by itself; seeing nothing of Slurm but the number of tasks it starts strangers, as other builds do
    # (open-mpi/ompi#13523).
    alone = 'exec env -i PATH="$PATH" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 SLURM_STEP_NUM_TASKS="$SLURM_STEP_NUM_TASKS" "$@"'
    done = subprocess.run(["srun", "-n", "2", "--mpi=none", "--mem-per-cpu=500", "bash", "-c", alone, "-", options.program, "run", *LONG,
                           "--out", "strangers"], cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "do not see each other as MPI ranks" in done.stderr, (done.returncode, done.stderr)
    assert not (world / "strangers").exists()


crash.run_tests(globals())
