#!/usr/bin/env python3
"""A real sweep on 1, 2, 3, ... ranks: what `plan` predicted, what it took, how busy the workers were, what a message cost the coordinator.

    bench/cluster/real_sweep.py --program build/release/relearn sweeps/quick/quick.yaml --ranks 1 2 3 -- --set seed=0..11

One JSON line a rank count. `predicted_s` is plan's forecast for an empty folder, `predicted_like_s` the one with stage times learnt from the
sweep just before (--like). `efficiency` is busy time over workers x makespan, `of_bound` the shortest possible
makespan (longest path, work over workers) over the real one. `disk_bytes` is the most that the folder held at once (looked at every
half second), `memory_bytes` the most resident memory of a rank. `others` is the share of the workers' cores' time that other processes took,
or that a hypervisor withheld: needs an otherwise idle machine with a core a worker, and this says whether it was one."""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("sweep")
parser.add_argument("--program", default="build/release/relearn")
parser.add_argument("--mpiexec", default="mpirun")
parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3])
split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)  # what follows are options of relearn run
options = parser.parse_args(sys.argv[1:split])
options.more = sys.argv[split + 1:]


def ask(command, ranks, folder, *more):
    done = subprocess.run([options.program, command, options.sweep, "--ranks", str(ranks), "--out", str(folder), "--json", *options.more, *more],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def bytes_in(folder):
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:  # renamed or deleted meanwhile
                pass
    return total


class DiskWatch(threading.Thread):
    """The most bytes that a folder held at once."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.most, self.over = folder, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            self.most = max(self.most, bytes_in(self.folder))

    def end(self):
        self.over.set()
        self.join()
        return max(self.most, bytes_in(self.folder))


def busy_seconds():
    """Of all processors, for anybody, since the machine started; what a hypervisor took away counts (proc(5), /proc/stat)."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split(None, 9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in (mine, theirs))


with tempfile.TemporaryDirectory(prefix="relearn-bench-") as place:
    before = None
    for turn, ranks in enumerate(options.ranks):
        folder = pathlib.Path(place) / f"{turn}-ranks{ranks}"
        plan = ask("plan", ranks, folder)
        like = ask("plan", ranks, folder, "--like", str(before)) if before else None
        watch = DiskWatch(folder)
        watch.start()
        start, others = time.monotonic(), busy_seconds() - own_seconds()
        done = subprocess.run([options.mpiexec, "-n", str(ranks), "--oversubscribe", options.program, "run", options.sweep, "--out", str(folder),
                               *options.more], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{options.mpiexec} -n {ranks} ... run: exit {done.returncode}\n{done.stderr[-3000:]}")
        wall, others = time.monotonic() - start, busy_seconds() - own_seconds() - others
        events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines() if line]
        end = [e for e in events if e["event"] == "end"][-1]
        done = [e for e in events if e["event"] == "done"]
        line = {"runs": plan["num_runs"], "ranks": ranks, "workers": end["workers"], "wall_s": round(wall, 2), "makespan_s": round(end["elapsed_s"], 2),
                "predicted_s": round(plan["wall_seconds"], 2), "predicted_over_wall": round(plan["wall_seconds"] / wall, 3),
                "efficiency": round(end["busy_s"] / (end["workers"] * end["elapsed_s"]), 4),
                "of_bound": round(end["bound_s"] / end["elapsed_s"], 4), "stages": len(done)}
        line.update(others=round(others / (wall * end["workers"]), 4), predicted_disk_bytes=round(plan["peak_disk_bytes"]), disk_bytes=watch.end(),
                    predicted_memory_bytes=round(plan["memory_bytes_per_rank"]),
                    memory_bytes=1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        if like:
            line.update(predicted_like_s=round(like["wall_seconds"], 2), predicted_like_over_wall=round(like["wall_seconds"] / wall, 3))
        if end["messages"]:
            line.update(messages=end["messages"], coordinator_us_per_message=round(1e6 * end["messages_s"] / end["messages"], 1),
                        coordinator_cpu_us_per_message=round(1e6 * end["messages_cpu_s"] / end["messages"], 1),
                        upkeep_us_per_message=round(1e6 * end["upkeep_s"] / end["messages"], 1))
        print(json.dumps(line), flush=True)
        before = folder
