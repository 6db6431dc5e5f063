#!/usr/bin/env python3
"""Training speed beside Hugging Face Trainer, in one go, on two cores: real tokens a second, the same batches.

    compare_training.py --program BUILD/bench/bench_train_step --train eng.train --tokenizer models/minilm
                        [--shape minilm|distilbert] [--steps N] [--python /path/with/torch] [--no-compile]

Rows a shape: Trainer with two threads and as two processes of one thread; PyTorch by hand (torch_tuned.py) in the same two
arrangements, plain and with torch.compile; two of ours with one thread each (a sweep trains one model a rank). Two
processes' rates are added. times_trainer and times_tuned are against the better arrangement of each. A peer that fails
(torch.compile without a compiler) is a row with its error. The machine should do nothing else meanwhile; its load is
printed. --smoke: few steps of the small shape, one arrangement, no result worth keeping.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def run_together(commands):
    """Start all, wait for all; the last JSON line of each. RuntimeError when one fails."""
    pipe = subprocess.PIPE
    running = [subprocess.Popen(c, stdout=pipe, stderr=pipe, text=True, env=e) for c, e in commands]
    rows = []
    for process in running:
        out, err = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{process.args[1]} failed ({process.returncode}): {err.strip()[-300:]}")
        rows.append(json.loads([line for line in out.splitlines() if '"tokens_per_second":' in line][-1]))
    return rows


def peer(a, shape, threads, script="hf_trainer.py", *more):
    command = [a.python, os.path.join(HERE, script), "--shape", shape, "--tokenizer", a.tokenizer, "--train", a.train,
               "--steps", str(a.steps), "--threads", str(threads), *more]
    return command, dict(os.environ, OMP_NUM_THREADS=str(threads))


def ours(a, shape):
    command = [a.program, "--shape", shape, "--train", a.train, "--tokenizer", a.tokenizer, "--steps", str(a.steps)]
    return command, dict(os.environ)


def report(what, shape, rows, **more):
    rate = sum(row["tokens_per_second"] for row in rows)
    print(json.dumps({"what": what, "shape": shape, "processes": len(rows), "tokens_per_second": rate, **more}), flush=True)
    return rate


def best_of(a, shape, what, script, *more):
    """The better rate of two threads and two processes; 0 when neither runs."""
    best = 0
    for name, commands in (("2 threads", [peer(a, shape, 2, script, *more)]),
                           ("2 processes", [peer(a, shape, 1, script, *more)] * 2))[:1 if a.smoke else 2]:
        try:
            best = max(best, report(f"{what}, {name}", shape, run_together(commands)))
        except RuntimeError as error:
            print(json.dumps({"what": f"{what}, {name}", "shape": shape, "error": str(error)}), flush=True)
    return best


def times(rate, base):
    return round(rate / base, 2) if base else None


def compare(a, shape):
    print(json.dumps({"load_average_before": os.getloadavg()[0], "cores": os.cpu_count()}), flush=True)
    trainer = best_of(a, shape, "hf_trainer", "hf_trainer.py")
    tuned = best_of(a, shape, "torch_tuned", "torch_tuned.py")
    if not (a.no_compile or a.smoke):
        tuned = max(tuned, best_of(a, shape, "torch_tuned, compiled", "torch_tuned.py", "--compile"))
    rows = run_together([ours(a, shape)] * 2)
    rate = sum(row["tokens_per_second"] for row in rows)
    report("relearn, 2 processes", shape, rows, times_trainer=times(rate, trainer), times_tuned=times(rate, tuned),
           ratio_to_sgemm=[row["ratio"] for row in rows], sgemm_gflops=[row["sgemm_gflops"] for row in rows],
           backend=rows[0]["backend"])
    return trainer > 0 and tuned > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--shape", choices=["minilm", "distilbert"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it compiles for a minute")
    parser.add_argument("--smoke", action="store_true")
    a = parser.parse_args()
    if a.smoke:
        a.shape, a.steps = "minilm", 4
        if subprocess.run([a.python, "-c", "import torch, transformers, accelerate"], capture_output=True).returncode:
            print("skipped: torch, transformers and accelerate are not installed")
            sys.exit(77)
        if not (os.path.exists(a.train) and os.path.isdir(a.tokenizer)):
            print(f"skipped: {a.train} or {a.tokenizer} is not there")
            sys.exit(77)
    try:
        whole = [compare(a, shape) for shape in ([a.shape] if a.shape else ["minilm", "distilbert"])]
    except RuntimeError as error:
        sys.exit(f"compare_training.py: {error}")
    sys.exit(0 if all(whole) else "compare_training.py: a peer did not run in any arrangement; see its error above")


if __name__ == "__main__":
    main()
