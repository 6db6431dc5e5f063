"""What a launcher or Slurm says to relearn through the environment: strangers and more ranks than cores are refused before anything is
written, and a time limit stops a sweep by itself. squeue is a file of ours here; tests/slurm asks a real one."""
import json
import os
import re
import subprocess
import time

from cli_support import folder, launcher, options, refused, relearn, run_tests, shards, world

LONG = ("sweep.yaml", "--set", "seed=0", "--set", "train.epochs=600", "--filter", "prune.select==random")


def slurm(answer, **more):
    """The environment of a job whose squeue prints `answer`."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    (place / "squeue").write_text(f"#!/bin/sh\necho \"$@\" > '{folder}/asked'\n{answer}\n")
    (place / "squeue").chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}", "SLURM_JOB_ID": "17", **more}


def notes(done):
    return [line for line in done.stderr.splitlines() if "Slurm job" in line]


def test_strangers_are_refused_before_anything_is_written():
    relearn("run", "sweep.yaml", "--out", "there", "--set", "seed=0")
    before = {path: path.stat().st_mtime_ns for path in sorted(world.rglob("*"))}
    for variable, who in (("SLURM_STEP_NUM_TASKS", "srun"), ("PMI_SIZE", "MPICH's mpiexec"), ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun")):
        for command in (("run", "sweep.yaml"), ("nightly", "sweep.yaml", "--budget", "1h"), ("gather", "there"), ("stats", "there")):
            refused(*command, says=[f"{who}", "started 4 processes that do not see each other as MPI ranks", "mpirun"], env={variable: "4"})
    assert {path: path.stat().st_mtime_ns for path in sorted(world.rglob("*"))} == before
    relearn("run", "sweep.yaml", "--dry-run", env={"SLURM_STEP_NUM_TASKS": "1"})
    found = json.loads(relearn("doctor", "--json", env={"SLURM_STEP_NUM_TASKS": "4"}).stdout)
    assert any("do not see each other" in line for line in found["advice"]), found["advice"]


def test_idle_tasks_are_named():
    env = slurm("echo 17 UNLIMITED")
    short = ("run", "sweep.yaml", "--out", "idle", "--set", "seed=0")
    line, = notes(relearn(*short, env={**env, "SLURM_NTASKS": "4"}))
    assert "has 4 tasks, and relearn runs as 1: the others lie idle; srun --mpi=pmix or mpirun -n 4" in line, line
    assert notes(relearn(*short, env={**env, "SLURM_NTASKS": "1"})) == []
    for tasks, said in (("3", 1), ("2", 0)):
        done = relearn(*short, ranks=2, env={**env, "SLURM_NTASKS": tasks})
        assert done.stderr.count("lie idle") == said, (tasks, done.stderr)


def limited(out, ranks, env):
    """mpirun called by its full path puts its own folder first in the PATH, where a real squeue may lie."""
    start = [*launcher(options.mpiexec, ranks), "env", f"PATH={env['PATH']}"] if ranks else []
    return subprocess.run([*start, options.program, "run", *LONG, "--out", out], cwd=world, env={**os.environ, **env}, capture_output=True,
                          text=True, timeout=60)


def test_a_time_limit_stops_the_sweep():
    for ranks in (0, 2):
        start, out = time.time(), f"limited{ranks}"
        done = limited(out, ranks, slurm("echo 17 0:06"))
        assert done.returncode == 75 and time.time() - start < 30, (ranks, done.returncode, done.stdout, done.stderr)
        assert len(notes(done)) == 1 and "Slurm job 17 ends in 6" in notes(done)[0], done.stderr
        assert (folder / "asked").read_text() == "--noheader --format=%A %L --jobs 17\n"
        assert "the same command resumes" in done.stdout and not shards(out), done.stdout
        assert list((world / out / "stages").glob("*.work/checkpoint"))


def test_limits_far_away_change_nothing():
    short = ("run", "sweep.yaml", "--out", "short", "--set", "seed=0")
    assert notes(relearn(*short, env=slurm("echo 17 UNLIMITED"))) == []
    for answer, says in (("echo 17 1-02:00:00", "ends in"), ("echo 17 59:00", "ends in 59 min"),
                         ("echo 16 0:06; echo 17 59:00; echo 171 0:06", "ends in 59 min"), ("echo 171 0:06", "squeue does not say"), ("echo 17 INVALID; exit 1", "squeue does not say"),
                         ("exit 1", "squeue does not say"), ("echo 17 5:", "squeue does not say"), ("sleep 0; exec > /dev/null", "squeue does not say")):
        line, = notes(relearn(*short, env=slurm(answer)))
        assert says in line, (answer, line)
    line, = notes(relearn(*short, env=slurm("exit 1", SLURM_JOB_END_TIME=str(int(time.time()) + 1000))))
    assert "ends in 16 min" in line, line
    line, = notes(relearn(*short, env=slurm("exit 1", SLURM_JOB_END_TIME=str(int(time.time()) - 10))))
    assert "squeue does not say" in line, line
    assert notes(relearn(*short, env={**slurm("echo 17 0:01"), "SLURM_JOB_ID": "1; touch escaped"}))[0].count("squeue does not say") == 1
    assert not list(folder.rglob("escaped"))


def on_one_core(*arguments, unasked=True, **more):
    """Three ranks in a Slurm job of one core, and a launcher that nobody asked for more ranks than that: as MPICH's starts them."""
    launch = ["env", "-u", "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_UNIVERSE_SIZE=3"] if unasked else ["env"]
    return subprocess.run([*launcher(options.mpiexec, 3), *launch, *(f"{name}={value}" for name, value in more.items()),
                           "SLURM_JOB_CPUS_PER_NODE=1(x2)", options.program, *arguments, "--out", "crowded", "--set", "seed=0"],
                          cwd=world, capture_output=True, text=True, timeout=120)


def test_more_ranks_than_cores_are_refused_unless_asked_for():
    for command in (("run", "sweep.yaml"), ("nightly", "sweep.yaml", "--budget", "1h")):
        done = on_one_core(*command)
        assert done.returncode == 2 and re.search(r"for 2 working ranks on .*, which has 1 core for them; expected at most 1 working rank there, "
                                                  r"or run --oversubscribe", done.stderr), (command, done.stderr)
        assert not (world / "crowded").exists()
    refused("run", "sweep.yaml", "--out", "crowded", "--set", "threads_per_rank=2", says=["threads_per_rank: 2", "may use 1 core; expected as many"],
            env={"SLURM_JOB_CPUS_PER_NODE": "1(x2),1"})
    assert not (world / "crowded").exists()
    assert on_one_core("run", "sweep.yaml", "--oversubscribe").returncode == 0
    assert on_one_core("run", "sweep.yaml", SLURM_OVERCOMMIT=1).returncode == 0
    if "Open MPI" in subprocess.run([options.mpiexec, "--version"], capture_output=True, text=True).stdout:
        assert on_one_core("run", "sweep.yaml", unasked=False).returncode == 0
        assert on_one_core("run", "sweep.yaml", "--set", "threads_per_rank=2", unasked=False).returncode == 2, "mpirun is asked for ranks, not threads"


run_tests(globals())
