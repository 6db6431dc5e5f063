"""The paper's quantities from a store, in the paper's own rows and columns, so that they can be laid side by side.

    python3 analysis/paper.py DIR
For each arm, means over seeds (protocol §9, §10, §12):
(1) neurons with saliency > 0.5 by layer, in percent of all such neurons: Base and Retrained. "As coded" is the Retrained column of the paper: only the
    last half of the base ranking, ranked anew in bins of 100.
(2) mean saliency by layer and stage, each with its error, 1.96 sd/sqrt(neurons): a spread over the neurons of one run, not evidence over seeds.
    "null as 0" is the paper's rule for Base; elsewhere null neurons are left out, as there (defect 13 of the protocol).
(3) mean similarity of top words to base by layer and retrained stage, with the same error. The paper leaves out neurons whose words did not change at
    all; "unchanged too" counts them as 1.
(4) similarity by saliency over the cells that have both, last stage, unchanged words left out.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

import numpy as np

from .measures import by_layer, mean_of
from .store import Store, stage_title

BINS = 5  # of saliency, in table (4)
NORMAL = 1.959963984540054


def redistribution(saliency, layer, num_layers):
    """100 x (neurons of the layer with saliency > 0.5) / (all neurons with saliency > 0.5); NaN counts as not above."""
    above = saliency > 0.5
    total = above.sum()
    counts = np.bincount(layer[above], minlength=num_layers)
    return 100.0 * counts / total if total else np.full(num_layers, math.nan)


def filter_ablated(base_rank, rank, null):
    """The saliency of the paper's Retrained column [N]: neurons among the last N//2 of the base ranking, numbered anew in the order of the stage, in bins
    of 100 with T = N//2 (protocol §9); all others and null neurons NaN."""
    half = len(rank) // 2
    kept = np.flatnonzero(base_rank >= len(rank) - half)
    kept = kept[np.argsort(rank[kept], kind="stable")]
    m, out = half / 100, np.full(len(rank), math.nan)
    if m != 1:
        out[kept] = np.abs((np.arange(half) // 100 + 1 - m) / (1 - m))
    out[null] = math.nan
    return out


def errors(values, layer, num_layers):
    """1.96 sd(ddof 1)/sqrt(n) over each layer's finite values: [S, N] -> [S, L]."""
    out = np.full((len(values), num_layers), math.nan)
    for s, l in np.ndindex(out.shape):
        v = values[s][(layer == l) & np.isfinite(values[s])]
        if len(v) > 1:
            out[s, l] = NORMAL * v.std(ddof=1) / math.sqrt(len(v))
    return out


def changed(words, similarity):
    """[S, N]: top words are another set than in base. Without words: the similarity is not exactly 1."""
    if words is None:
        return similarity != 1
    return np.array([[set(now) != set(base) for now, base in zip(stage.tolist(), words[0].tolist())] for stage in words])


def by_saliency(saliency, similarity):
    """[BINS, 2]: cells and their mean similarity, by saliency from 0 to 1."""
    at = np.clip((saliency * BINS).astype(int), 0, BINS - 1)
    return np.array([[(at == b).sum(), mean_of(similarity[at == b])] for b in range(BINS)], float)


def run_quantities(store, row):
    """One run's tables: {name: [L], [S, L] or number}."""
    model = store.runs["model"][row]
    layer = store.layers(model)
    num_layers = int(layer.max()) + 1
    names = store.model_stages(model)[: int(store.runs["num_stages"][row])]
    saliency, similarity = store.neurons("saliency", row)[: len(names)], store.neurons("similarity", row)[: len(names)]
    rank, words = store.neurons("rank", row)[: len(names)], store.top_words(row)
    as_coded = filter_ablated(rank[0], rank[-1], np.isnan(saliency[-1]))
    base = np.nan_to_num(saliency[:1])
    other_words = np.where(changed(None if words is None else words[: len(names)], similarity), similarity, math.nan)
    both = np.isfinite(saliency[-1]) & np.isfinite(other_words[-1])
    return {
        "stages": names,
        "base_share": redistribution(saliency[0], layer, num_layers),
        "last_share": redistribution(saliency[-1], layer, num_layers),
        "coded_share": redistribution(as_coded, layer, num_layers),
        "saliency": by_layer(saliency, layer, num_layers),
        "saliency_error": errors(saliency, layer, num_layers),
        "base_null_as_0": by_layer(base, layer, num_layers)[0],
        "base_error": errors(base, layer, num_layers)[0],
        "similarity": by_layer(other_words, layer, num_layers),
        "similarity_error": errors(other_words, layer, num_layers),
        "similarity_of_all": by_layer(similarity, layer, num_layers),
        "by_saliency": by_saliency(saliency[-1][both], other_words[-1][both]),
        "cells": (int(both.sum()), mean_of(saliency[-1][both]), mean_of(other_words[-1][both])),
    }


def mean_over_runs(values):
    """Element by element over runs, NaN left out; NaN where no run has a value."""
    table = np.array([np.ravel(v) for v in values], float)
    return np.array([mean_of(c) for c in table.T]).reshape(np.shape(values[0]))


def line(name, values, form="{:>14.3f}"):
    return f"{name:<12}" + "".join(form.format(v) if math.isfinite(v) else f"{'-':>14}" for v in values)


def heads(*names):
    return f"{'layer':<12}" + "".join(f"{n:>14}" for n in names)


def print_table(title, columns, out):
    """columns: (name, [L])."""
    print(f"\n{title}\n{heads(*(n for n, _ in columns))}", file=out)
    for l, values in enumerate(zip(*(v for _, v in columns))):
        print(line(str(l), values), file=out)


def with_errors(names, means, spreads):
    return [column for n, m, e in zip(names, means, spreads) for column in ((n, m), ("error", e))]


def print_arm(store, arm, out):
    runs = [run_quantities(store, int(r)) for r in arm.rows]
    stages = max((r["stages"] for r in runs), key=len)
    runs = [r for r in runs if len(r["stages"]) == len(stages)]
    titles = [stage_title(s) for s in stages]
    retrained = [i for i, s in enumerate(stages) if s.startswith("retrained_")]
    mean = {name: mean_over_runs([r[name] for r in runs]) for name in runs[0] if name not in ("stages", "cells")}
    print(f"\n{arm.value('model')}, {arm.label}: mean over {len(runs)} seed{'' if len(runs) == 1 else 's'}", file=out)
    shares = [("Base", mean["base_share"]), ("Retrained", mean["last_share"]), ("as coded", mean["coded_share"])]
    print_table("Neurons with saliency > 0.5 by layer, % of all such neurons", shares, out)
    saliency = [("null as 0", mean["base_null_as_0"]), ("error", mean["base_error"])] + with_errors(titles, mean["saliency"], mean["saliency_error"])
    print_table("Mean saliency", saliency, out)
    similarity = with_errors([titles[i] for i in retrained], mean["similarity"][retrained], mean["similarity_error"][retrained])
    similarity += [("unchanged too", mean["similarity_of_all"][i]) for i in retrained]
    print_table("Mean similarity to base", similarity, out)
    print(f"\nSimilarity by saliency, {titles[-1]}\n{'saliency':<12}{'cells':>14}{'similarity':>14}", file=out)
    for b, (cells, value) in enumerate(mean["by_saliency"]):
        print(f"{f'{b / BINS:.1f} to {(b + 1) / BINS:.1f}':<12}{cells:>14.1f}" + (f"{value:>14.3f}" if math.isfinite(value) else f"{'-':>14}"), file=out)
    print(
        f"\nSaliency and similarity, {titles[-1]}, cells with both: {sum(r['cells'][0] for r in runs)} "
        f"cells, mean saliency {mean_of([r['cells'][1] for r in runs]):.3f}, mean similarity {mean_of([r['cells'][2] for r in runs]):.3f}",
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
