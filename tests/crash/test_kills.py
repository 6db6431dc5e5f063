"""SIGKILL at random moments: mpirun, one rank, the coordinator, or all at once. Whatever is killed, the next start goes on, and in the
end every stage, shard and results.h5 is what an undisturbed sweep makes, nothing having been computed twice beyond one epoch.

    python3 test_kills.py ... --count 200 --seed 7      the moments are drawn from the seed, which is printed
"""
import random
import subprocess
import time

import crash_support as crash
from crash_support import options, world

COUNT = options.count or 40
HOW = ["everything", "mpirun", "worker", "coordinator", "alone"]
LONGEST_S = 0.3  # from the first record of a start to its kill: a tenth to a third of the whole sweep


def wait_for_work(process, out, size_before, limit=30):
    """Until this start has written its first record (or has ended)."""
    journal, end = world / out / "journal.jsonl", time.time() + limit
    while time.time() < end and process.poll() is None:
        if journal.exists() and journal.stat().st_size > size_before:
            return
        time.sleep(0.002)


def victims(process, how):
    ranks = {crash.rank_of(pid): pid for pid in crash.descendants(process.pid)}
    if how == "mpirun" or how == "alone":
        return [process.pid]
    if how == "worker":
        return [pid for rank, pid in ranks.items() if rank == 1]
    if how == "coordinator":
        return [pid for rank, pid in ranks.items() if rank == 0]
    return [process.pid, *crash.descendants(process.pid)]


hung_launchers = 0


def wait_for_end(process):
    """Open MPI 4.1's mpirun may wait for itself for ever when a rank dies while it starts (github.com/open-mpi/ompi, issue 7790): once
    in some hundreds of kills here. It is none of ours once all ranks are gone; it is counted, and few may do so."""
    global hung_launchers
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        if crash.descendants(process.pid, living=True):
            raise
        crash.kill(process.pid)
        process.wait()
        hung_launchers += 1
        assert hung_launchers <= 1 + COUNT // 200, f"{hung_launchers} launchers hung without ranks"


def disturbed_start(out, draw, how, log):
    """One start, killed on the way. True when it was killed, False when it came to its end first."""
    journal = world / out / "journal.jsonl"
    size = journal.stat().st_size if journal.exists() else 0
    ranks = 0 if how == "alone" else 3
    anywhere = draw.random() < 0.2  # also while it starts up
    pause = draw.random() * (1.5 if anywhere else LONGEST_S)
    process = crash.start(out, ranks, crash.shim(out, LOG=log))
    if not anywhere:
        wait_for_work(process, out, size)
    time.sleep(pause)
    if process.poll() is not None:
        return False
    for pid in victims(process, how):
        crash.kill(pid)
    wait_for_end(process)
    return True


def finish(out, log):
    """The last start is left alone. Ranks that outlived mpirun may still hold the folder: it says so, and is started again."""
    end = time.time() + 60
    while True:
        done = crash.run(out, 3, crash.shim(out, LOG=log), code=None)
        if done.returncode != 2 or "another relearn works here" not in done.stderr or time.time() > end:
            break
        time.sleep(0.1)
    assert done.returncode == 0, f"{out}: exit {done.returncode}\n{done.stderr[-3000:]}"


def main():
    draw = random.Random(options.seed)
    crash.run("undisturbed", 3)
    reference = crash.contents("undisturbed")
    kills, sweeps, begun = 0, 0, time.time()
    by = dict.fromkeys(HOW, 0)
    print(f"seed {options.seed}, {COUNT} kills", flush=True)
    while kills < COUNT:
        crash.progress(kills, COUNT, "kills")
        out, log = f"killed{sweeps}", world / f"killed{sweeps}.shim"
        # After so many kills a sweep is left to finish, if it has not come to its end before.
        for _ in range(min(12, COUNT - kills)):
            how = HOW[draw.randrange(len(HOW))]
            if not disturbed_start(out, draw, how, str(log)):
                break
            kills += 1
            by[how] += 1
        finish(out, str(log))
        crash.assert_same(out, reference, f"{out} (seed {options.seed}, {kills} kills so far)")
        crash.assert_nothing_twice(out, log)
        sweeps += 1
    hung = f"; {hung_launchers} launchers hung after their ranks were gone" if hung_launchers else ""
    print(f"{kills} kills in {sweeps} sweeps, {time.time() - begun:.0f} s: {by}{hung}")


crash.run_campaign(main)
