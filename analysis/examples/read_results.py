#!/usr/bin/env python3
"""results.h5 with h5py and numpy alone: F1 by stage and arm, where the concept sits, one neuron's words, and /stats where there is one.

python3 analysis/examples/read_results.py DIR/results.h5
"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1]) as store:
    runs = store["runs"]
    done = runs["status"].asstr()[:] == "done"
    select = runs["prune.select"].asstr()[:] if "prune.select" in runs else np.full(len(done), "all")
    stages = sorted((n[3:] for n in runs if n.startswith("f1_")), key=lambda s: (s != "base", s != "pruned", len(s), s))

    print("Entity F1, mean over the runs of each selection")
    for arm in sorted(set(select[done])):
        rows = done & (select == arm)
        means = [np.nanmean(runs[f"f1_{stage}"][:][rows]) for stage in stages]
        print(f"  {arm:10} n = {rows.sum()}  " + "  ".join(f"{s} {m:.4f}" for s, m in zip(stages, means)))

    model = next(iter(store["neurons"]))
    neurons = store[f"neurons/{model}"]
    layer, names = neurons["layer"][:], neurons["stage"].asstr()[:]
    first = neurons["saliency"][0]  # one run: [stage, neuron]; read a run at a time, the whole may be large
    print(f"\nMean saliency by layer, run {neurons['run'].asstr()[0]}")
    for stage, values in zip(names, first):
        by_layer = [
            np.nanmean(values[layer == l]) if np.isfinite(values[layer == l]).any() else np.nan
            for l in range(layer.max() + 1)
        ]
        print(f"  {stage:12}" + " ".join(f"{v:6.3f}" for v in by_layer))

    last = np.flatnonzero(np.isfinite(first).any(axis=1))[-1]  # runs may have fewer rounds than the store: NaN beyond
    neuron = int(np.nanargmax(first[last]))  # the most salient one at the end
    vocabulary = store["vocabulary"].asstr()[:]
    print(f"\nTop words of neuron {neuron} (layer {layer[neuron]})")
    for stage, ids in zip(names, store[f"words/{model}/word"][0][:, neuron]):
        print(f"  {stage:12}" + " ".join(vocabulary[i] for i in ids if i >= 0))

    if "stats/comparisons" in store:
        c = store["stats/comparisons"]
        print("\nComparisons of recovery")
        for i in np.flatnonzero(c["measure"].asstr()[:] == "rho"):
            print(
                f"  {c['arm_a'].asstr()[i]} - {c['arm_b'].asstr()[i]}, {c['stage'].asstr()[i]}: {c['difference'][i]:+.3f} "
                f"[{c['low'][i]:+.3f}, {c['high'][i]:+.3f}], {c['verdict'].asstr()[i]}"
            )
    else:
        print("\nNo /stats: relearn stats DIR makes it")
