#!/usr/bin/env python3
"""Top words of all neurons beside NeuroX's get_top_words, in one go: NeuroX timed on a few neurons and scaled to all, ours on all, in turns.

    compare_top_words.py --program BUILD/bench/bench_concept_top_words --tokens location_tokens.txt [--sample 5] [--rounds 3] [--quick]

NeuroX looks at one neuron at a time, so its time is proportional to their number. Its activations are random ones of the corpus' shape; ours are those
of the benchmark, with as many words. The ratio is of the two medians. --quick: one neuron, one round. Needs numpy and neurox==1.0.9 (only
neurox/analysis/corpus.py is loaded, so none of its other dependencies).
"""
import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

NEURONS = 5376  # DistilBERT: 7 hidden states of 768


def neurox_corpus():
    """The module, loaded from its file: importing the package would import all of its dependencies."""
    try:
        place = importlib.metadata.distribution("neurox").locate_file("neurox/analysis/corpus.py")
        spec = importlib.util.spec_from_file_location("neurox_corpus", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (ImportError, OSError) as error:
        print(f"skipped: NeuroX cannot be loaded: {error}")
        sys.exit(77)


def seconds_a_neuron(corpus, source, activations, sample):
    start = time.monotonic()
    for neuron in range(sample):
        corpus.get_top_words({"source": source}, activations, neuron, 5)
    return (time.monotonic() - start) / sample


def ours(program, smoke):
    done = subprocess.run([program, *(["--smoke"] if smoke else [])], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"compare_top_words.py: {program} failed ({done.returncode}): {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--sample", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="little of everything: only whether it runs")
    a = parser.parse_args()
    if a.quick or a.smoke:
        a.sample = a.rounds = 1
    if not os.path.exists(a.tokens):
        print(f"skipped: {a.tokens} is not there")
        sys.exit(77)
    corpus = neurox_corpus()
    import numpy as np
    source = [line.rstrip("\n").split(" ") for line in open(a.tokens, encoding="utf-8")]
    source = source[:200] if a.smoke else source
    words, rng = sum(map(len, source)), np.random.default_rng(0)
    activations = [rng.standard_normal((len(s), a.sample)).astype(np.float32) for s in source]
    load, theirs, own = os.getloadavg()[0], [], []
    for _ in range(a.rounds):
        theirs.append(seconds_a_neuron(corpus, source, activations, a.sample) * NEURONS)
        own.append(ours(a.program, a.smoke))
    row = {"what": "top words", "load_average_before": load, "rounds": a.rounds, "neurox_words": words, "neurox_seconds": round(statistics.median(theirs), 1),
           "relearn_words": own[0]["words"], "relearn_seconds": statistics.median(r["seconds"] for r in own)}
    if not a.smoke:  # else the sizes differ
        row["times"] = round(row["neurox_seconds"] / row["relearn_seconds"])
    print(json.dumps(row))


if __name__ == "__main__":
    main()
