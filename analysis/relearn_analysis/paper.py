"""The paper's quantities from a store, in the paper's own rows and columns, so that they can be laid side by side.

    python3 analysis/paper.py DIR
For each arm, means over seeds (docs/protocols.md, protocol §12): (1) share of the neurons with saliency > 0.5 that lie in each layer, Base and
Retrained, in percent with three decimals; (2) mean saliency by layer and stage; (3) mean similarity by layer and retrained stage; (4) mean similarity
and mean saliency over the cells that have both, last stage. "null as 0" is the paper's rule for Base (defect 13 of the protocol): both are printed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

import numpy as np

from .measures import by_layer, mean_of
from .store import Store, stage_title


def redistribution(saliency, layer, num_layers):
    """100 x (neurons of the layer with saliency > 0.5) / (all neurons with saliency > 0.5); NaN counts as not above."""
    above = saliency > 0.5
    total = above.sum()
    counts = np.bincount(layer[above], minlength=num_layers)
    return 100.0 * counts / total if total else np.full(num_layers, math.nan)


def run_quantities(store, row):
    """One run's tables: {name: [L] or number}."""
    model = store.runs["model"][row]
    layer = store.layers(model)
    num_layers = int(layer.max()) + 1
    names = store.model_stages(model)[: int(store.runs["num_stages"][row])]
    saliency, similarity = store.neurons("saliency", row)[: len(names)], store.neurons("similarity", row)[: len(names)]
    out = {
        "stages": names,
        "base_share": redistribution(saliency[0], layer, num_layers),
        "last_share": redistribution(saliency[-1], layer, num_layers),
        "saliency": by_layer(saliency, layer, num_layers),
        "base_null_as_0": by_layer(np.nan_to_num(saliency[:1]), layer, num_layers)[0],
        "similarity": by_layer(similarity, layer, num_layers),
    }
    both = np.isfinite(saliency[-1]) & np.isfinite(similarity[-1])
    out["cells"] = (int(both.sum()), mean_of(saliency[-1][both]), mean_of(similarity[-1][both]))
    return out


def mean_over_runs(values):
    """Element by element over runs, NaN left out; NaN where no run has a value."""
    table = np.array([np.ravel(v) for v in values], float)
    return np.array([mean_of(c) for c in table.T]).reshape(np.shape(values[0]))


def line(name, values, form="{:>10.3f}"):
    return f"{name:<12}" + "".join(form.format(v) if math.isfinite(v) else f"{'-':>10}" for v in values)


def print_arm(store, arm, out):
    runs = [run_quantities(store, int(r)) for r in arm.rows]
    stages = max((r["stages"] for r in runs), key=len)
    runs = [r for r in runs if len(r["stages"]) == len(stages)]
    retrained = [i for i, s in enumerate(stages) if s.startswith("retrained_")]
    layers = len(runs[0]["base_share"])
    print(f"\n{arm.value('model')}, {arm.label}: mean over {len(runs)} seed{'' if len(runs) == 1 else 's'}", file=out)
    print(
        f"\nNeurons with saliency > 0.5 by layer, % of all such neurons\n{'layer':<12}{'Base':>10}{'Retrained':>10}",
        file=out,
    )
    for l, values in enumerate(
        zip(mean_over_runs([r["base_share"] for r in runs]), mean_over_runs([r["last_share"] for r in runs]))
    ):
        print(line(str(l), values), file=out)
    saliency, similarity = (
        mean_over_runs([r["saliency"] for r in runs]),
        mean_over_runs([r["similarity"] for r in runs]),
    )
    null_as_0 = mean_over_runs([r["base_null_as_0"] for r in runs])
    print(
        f"\nMean saliency\n{'layer':<12}{'null as 0':>10}" + "".join(f"{stage_title(s):>10}" for s in stages), file=out
    )
    for l in range(layers):
        print(line(str(l), [null_as_0[l], *saliency[:, l]]), file=out)
    print(
        f"\nMean similarity to base\n{'layer':<12}" + "".join(f"{stage_title(stages[i]):>10}" for i in retrained),
        file=out,
    )
    for l in range(layers):
        print(line(str(l), [similarity[i, l] for i in retrained]), file=out)
    print(
        f"\nSaliency and similarity, {stage_title(stages[-1])}, cells with both: {sum(r['cells'][0] for r in runs)} "
        "cells, mean saliency "
        f"{mean_of([r['cells'][1] for r in runs]):.3f}, mean similarity {mean_of([r['cells'][2] for r in runs]):.3f}",
        file=out,
    )


def add_to(commands):
    paper = commands.add_parser(
        "paper",
        help="the paper's tables from DIR/results.h5",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    paper.add_argument("directory")


def run(options):
    path = os.path.join(options.directory, "results.h5") if os.path.isdir(options.directory) else options.directory
    store = Store(path)
    arms = [a for a in store.arms() if a.n]
    print(f"{path}: {len(arms)} arm{'' if len(arms) == 1 else 's'} with finished runs")
    for arm in arms:
        print_arm(store, arm, sys.stdout)
    return 0
