#!/usr/bin/env python3
"""Training speed beside Hugging Face Trainer, in one go, on two cores: real tokens a second, the same batches.

    compare_training.py --program BUILD/bench/bench_train_step --train eng.train --tokenizer models/minilm
                        [--shape minilm|distilbert] [--steps N] [--python /path/with/torch]

Three rows a shape: Trainer with two threads, two Trainers with one thread each, two of ours with one thread each (a
sweep trains one model a rank). Two processes' rates are added. The machine should do nothing else meanwhile; its load
is printed.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run_together(commands):
    """Start all, wait for all; the last JSON line of each."""
    pipe = subprocess.PIPE
    running = [subprocess.Popen(c, stdout=pipe, stderr=pipe, text=True, env=e) for c, e in commands]
    rows = []
    for process in running:
        out, err = process.communicate()
        if process.returncode:
            sys.exit(f"compare_training.py: {process.args[0]} failed ({process.returncode}): {err.strip()[-500:]}")
        rows.append(json.loads([line for line in out.splitlines() if '"tokens_per_second":' in line][-1]))
    return rows


def peer(a, shape, threads):
    command = [a.python, os.path.join(HERE, "hf_trainer.py"), "--shape", shape, "--tokenizer", a.tokenizer, "--train",
               a.train, "--steps", str(a.steps), "--threads", str(threads)]
    return command, dict(os.environ, OMP_NUM_THREADS=str(threads))


def ours(a, shape):
    command = [a.program, "--shape", shape, "--train", a.train, "--tokenizer", a.tokenizer, "--steps", str(a.steps)]
    return command, dict(os.environ)


def report(what, shape, rows, base=None):
    rate = sum(row["tokens_per_second"] for row in rows)
    line = {"what": what, "shape": shape, "processes": len(rows), "tokens_per_second": rate}
    if base:
        line["times_best_peer"] = round(rate / base, 2)
        line["ratio_to_sgemm"] = [row["ratio"] for row in rows]
        line["sgemm_gflops"] = [row["sgemm_gflops"] for row in rows]
        line["backend"] = rows[0]["backend"]
    print(json.dumps(line), flush=True)
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--shape", choices=["minilm", "distilbert"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--python", default=sys.executable)
    a = parser.parse_args()
    for shape in [a.shape] if a.shape else ["minilm", "distilbert"]:
        print(json.dumps({"load_average_before": os.getloadavg()[0], "cores": os.cpu_count()}), flush=True)
        best = report("hf_trainer, 2 threads", shape, run_together([peer(a, shape, 2)]))
        best = max(best, report("hf_trainer, 2 processes", shape, run_together([peer(a, shape, 1)] * 2)))
        report("relearn, 2 processes", shape, run_together([ours(a, shape)] * 2), best)


if __name__ == "__main__":
    main()
