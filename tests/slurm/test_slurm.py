"""Under tests/slurm/one_node.sh: slurm/sweep.sbatch stops on USR1, requeues itself and goes on; the quick sweep survives scontrol requeue; and
both leave what an undisturbed sweep leaves, their ranks started by srun and by mpirun. scancel ends a job for good, and an array's task
requeues itself alone. srun's singletons and more threads than the job has CPUs are refused before anything is written. Run as: one_node.sh python3 test_slurm.py ARGUMENTS"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "crash"))
import crash_support as crash
from crash_support import options, world

root = pathlib.Path(__file__).resolve().parents[2]
# The quick sweep as ./quickstart runs it where there is no pretrained model, one of its two seeds: it trains for half a minute instead of four.
QUICK = [str(root / "sweeps/quick/random.yaml"), "--set", "seed=0"]
LONG = ["sweep.yaml", "--set", "seed=0", "--set", "train.epochs=400", "--set", f"retrain.epochs={crash.RETRAIN_EPOCHS}"]
# Debian's Open MPI notices by itself that srun does not speak its language; seeing nothing of Slurm but two numbers it starts strangers, as
# other builds do (open-mpi/ompi#13523).
ALONE = ('exec env -i PATH="$PATH" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 SLURM_STEP_NUM_TASKS="$SLURM_STEP_NUM_TASKS" '
         'SLURM_JOB_CPUS_PER_NODE="$SLURM_JOB_CPUS_PER_NODE" "$@"')


def slurm(*arguments):
    done = subprocess.run(arguments, cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def without_pmi():
    """A PATH whose srun lists no PMI (MPICH's mpiexec starts its own helper by srun), and whose mpirun is that of the program's MPI."""
    place = world / "bin"
    place.mkdir(exist_ok=True)
    for name, does in (("srun", f'[ "$*" = --mpi=list ] && echo none || exec {shutil.which("srun")} "$@"'),
                       ("mpirun", f'exec {options.mpiexec} "$@"')):
        (place / name).write_text(f"#!/bin/sh\n{does}\n")
        (place / name).chmod(0o755)
    return f"{place}:{os.environ['PATH']}"


def submit(out, arguments=LONG, path=os.environ["PATH"], job=("--ntasks=2",), **more):
    environment = {**os.environ, "PATH": path, "RELEARN": options.program, "OMPI_MCA_btl": "self,vader", "PMIX_MCA_gds": "hash", **more}
    done = subprocess.run(["sbatch", "--parsable", *job, "--time=10", "--mem-per-cpu=500", f"--output={out}.log",
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
    pending_since = None

    def ended():
        """A requeued job waits two minutes. Two seconds are enough: slurmd refuses ("Job credential revoked") what starts in the second it was ended in."""
        nonlocal pending_since
        now = state(job)[0]
        if now == "PENDING":
            pending_since = pending_since or time.time()
            if time.time() - pending_since > 2.5:
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True)
        return now in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
    wait_until(f"the end of job {job}", ended, 240)
    log = (world / f"{out}.log").read_text()
    assert state(job) == ("COMPLETED", "0:0", restarts), f"{state(job)}\n{log[-3000:]}"
    return log


def undisturbed(out, arguments):
    crash.run(out, 2, arguments=["run", *arguments])
    return crash.contents(out)


def steps(job):
    """The programs that srun started in the job; mpirun starts its ranks as children of the batch script's."""
    return [line.split()[1] for line in slurm("squeue", "--steps", "--noheader", "--format=%i %j").splitlines() if line.startswith(f"{job}.")]


def under_way(out, starts=1):
    """The fine-tuning has a checkpoint, in the start that counts."""
    wait_until("training", lambda: events(out).count('"event":"start"') == starts and list((world / out).glob("stages/*.work/checkpoint")))


def test_a_signal_before_the_limit_requeues_and_goes_on():
    """Under srun, where Slurm speaks the PMI of the program's MPI; relearn has read the time limit of the job."""
    expected = undisturbed("undisturbed", LONG)
    pmi = "pmi2" if "mpich" in subprocess.run(["ldd", options.program], capture_output=True, text=True).stdout else "pmix"
    listed = subprocess.run(["srun", "--mpi=list"], capture_output=True, text=True)
    spoken = pmi in (listed.stdout + listed.stderr).split()
    job = submit("signalled")
    under_way("signalled")
    assert ("relearn" in steps(job)) == spoken, (steps(job), pmi, spoken)
    slurm("scancel", "--signal=USR1", "--batch", job)
    log = finish(job, "signalled", 1)
    assert "stopped with work left; requeueing" in log, log[-2000:]
    assert len(re.findall(rf"note: Slurm job {job} ends in (9 min|10 min 00 s)", log)) == 2, log[-2000:]
    assert events("signalled").count('"event":"returned"') == 1
    crash.assert_same("signalled", expected, "a signalled job")


def test_a_preempted_job_goes_on():
    """Under mpirun, as where Slurm and MPI have no PMI in common: the quick sweep."""
    expected = undisturbed("undisturbed-quick", QUICK)
    job = submit("preempted", QUICK, path=without_pmi())
    under_way("preempted")
    assert "relearn" not in steps(job), steps(job)
    slurm("scontrol", "requeue", job)
    log = finish(job, "preempted", 1)
    assert re.search(r"2 of 2 runs done; \d+ stages computed", log) and "findings: relearn stats preempted" in log, log[-2000:]
    crash.assert_same("preempted", expected, "a preempted job")


def test_scancel_ends_for_good():
    """Its SIGTERM has the ranks that srun started stop with 75, too. What they leave is resumed by whoever submits again."""
    for out, path in (("cancelled-srun", os.environ["PATH"]), ("cancelled-mpirun", without_pmi())):
        job = submit(out, path=path)
        under_way(out)
        slurm("scancel", job)
        wait_until("the end of a cancelled job", lambda: not slurm("squeue", "--noheader", f"--jobs={job}"), 30)
        assert state(job)[::2] == ("CANCELLED", 0), (out, state(job), (world / f"{out}.log").read_text()[-2000:])


def test_a_task_of_an_array_requeues_alone():
    """The last task of an array has the array's own number, which means all of them to scontrol and squeue."""
    (world / "one_task").write_text('#!/bin/sh\nexec "$@-$SLURM_ARRAY_TASK_ID"\n')
    (world / "one_task").chmod(0o755)
    array = submit("task", job=("--ntasks=1", "--array=0-1"), RELEARN_LAUNCH=str(world / "one_task"))
    under_way("task-0")
    under_way("task-1")
    assert len(re.findall(rf"note: Slurm job {array} ends in (9 min|10 min 00 s)", (world / "task.log").read_text())) == 1
    slurm("scancel", "--signal=USR1", "--batch", f"{array}_1")
    wait_until("requeueing", lambda: f"requeueing job {array}_1" in (world / "task.log").read_text())
    wait_until("the second start to wait", lambda: state(f"{array}_1")[::2] == ("PENDING", 1))
    assert state(f"{array}_0")[::2] == ("RUNNING", 0), state(f"{array}_0")
    slurm("scancel", array)


def test_more_threads_than_the_job_has_are_refused():
    """Slurm binds nothing here: the process sees every core of the machine, its job has one."""
    done = subprocess.run(["srun", "-n", "1", "--mem-per-cpu=500", "bash", "-c", ALONE, "-", options.program, "run", *LONG, "--set",
                           "threads_per_rank=2", "--out", "crowded"], cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "may use 1 core; expected as many" in done.stderr, (done.returncode, done.stderr)
    assert not (world / "crowded").exists()


def test_singletons_are_refused():
    done = subprocess.run(["srun", "-n", "2", "--mpi=none", "--mem-per-cpu=500", "bash", "-c", ALONE, "-", options.program, "run", *LONG,
                           "--out", "strangers"], cwd=world, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "do not see each other as MPI ranks" in done.stderr, (done.returncode, done.stderr)
    assert not (world / "strangers").exists()


crash.run_tests(globals())
