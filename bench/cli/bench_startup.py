#!/usr/bin/env python3
"""bench_startup.py -- how long a user waits before anything happens: one JSON line for each of three commands.

    bench_startup.py --program relearn [--model FOLDER --train FILE --validation FILE] [--smoke]

version     relearn --version
plan        relearn plan of a sweep of 10,000 runs (random-bert and the quick sweep's data)
first_step  from the start of relearn finetune to the report of its first training step; MiniLM with --model
Wall and CPU seconds, best and median: other programs only ever make them longer. Fails only when a command does.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

QUICK = pathlib.Path(__file__).resolve().parents[2] / "sweeps" / "quick"


def timed(command, until=None):
    """Wall seconds until the command ends, or says `until` on stderr; CPU seconds of all of it."""
    before, start, said = os.times(), time.perf_counter(), None
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if until and said is None and until in line:
            said = time.perf_counter() - start
    assert process.wait() == 0, f"{command}: exit {process.returncode}: {''.join(lines)}"
    assert not until or said is not None, f"{command}: no '{until}' on stderr"
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return (said if until else time.perf_counter() - start), cpu


def report(what, command, times, until=None):
    runs = [timed(command(i), until) for i in range(times)]
    wall, cpu = zip(*runs)
    print(json.dumps({"bench": "cli.startup", "what": what, "times": times, "wall_s": round(min(wall), 4),
                      "wall_median_s": round(statistics.median(wall), 4), "cpu_s": round(min(cpu), 4)}), flush=True)


def sweep_of(folder, runs):
    path = pathlib.Path(folder) / "sweep.yaml"
    path.write_text(f"""sweep: startup
data: {{train: {QUICK}/train.conll, validation: {QUICK}/validation.conll}}
concepts:
  location: {{tokens: {QUICK}/location_tokens.txt, labels: {QUICK}/location_labels.txt, positive: ["SEM:named_entity:location"]}}
grid:
  model: [{QUICK}/random-bert]
  seed: 0..{runs // 10 - 1}
  concept: [location]
  prune.ratio: [0.1, 0.2, 0.3, 0.4, 0.5]
  prune.select: [concept, random]
""")
    return str(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", default=str(QUICK / "random-bert"))
    parser.add_argument("--train", default=str(QUICK / "train.conll"))
    parser.add_argument("--validation", default=str(QUICK / "validation.conll"))
    parser.add_argument("--smoke", action="store_true")
    a = parser.parse_args()
    times = 1 if a.smoke else 20
    with tempfile.TemporaryDirectory() as folder:
        sweep = sweep_of(folder, 100 if a.smoke else 10000)
        report("version", lambda i: [a.program, "--version"], times)
        report("plan of 100" if a.smoke else "plan of 10000", lambda i: [a.program, "plan", sweep], max(1, times // 4))
        report("first_step", lambda i: [a.program, "finetune", "--model", a.model, "--train", a.train, "--validation",
                                        a.validation, "--out", f"{folder}/out{i}", "--set", "train.max_steps=1"],
               max(1, times // 4), until="step 1 of 1")


if __name__ == "__main__":
    main()
