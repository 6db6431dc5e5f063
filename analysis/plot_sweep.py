#!/usr/bin/env python3
"""Two pictures of a finished sweep from its results.h5: F1 over the stages, and concept saliency by layer.

    analysis/plot_sweep.py results/quick/results.h5 --out docs/img/quick.svg
Points are means over seeds, bars one standard deviation over seeds (never over neurons: neurons of a run are no
independent evidence). Needs numpy, h5py, matplotlib.
"""
import argparse

import h5py
import matplotlib
import numpy as np

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "relearn"  # the same store gives the same file
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("results")
parser.add_argument("--out", required=True, help="an .svg file")
parser.add_argument("--by", default="prune.select", help="the column of /runs whose values become the lines")
options = parser.parse_args()


def texts(dataset):
    return np.array([value.decode() for value in dataset[...]])


def mean_and_sd(values):
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return values.mean() if values.size else np.nan, values.std(ddof=1) if values.size > 1 else 0.0


with h5py.File(options.results) as store:
    runs = store["runs"]
    done = texts(runs["status"]) == "done"
    if options.by not in runs:
        parser.error(f"{options.results}: /runs has no column '{options.by}'; it has {', '.join(sorted(runs))}")
    column = runs[options.by]
    group = texts(column) if column.dtype.kind == "S" else np.array([f"{value:g}" for value in column[...]])
    groups = sorted(set(group[done]))
    model = sorted(store["neurons"])[0]
    neurons = store["neurons"][model]
    stages = list(texts(neurons["stage"]))
    layer = neurons["layer"][...]
    own = np.isin(texts(runs["id"]), texts(neurons["run"])) & done
    saliency = neurons["saliency"][...]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    titles = [stage.replace("retrained_", "round ") for stage in stages]
    colours = plt.get_cmap("tab10")
    for i, name in enumerate(groups):
        members = done & (group == name)
        points = [mean_and_sd(runs[f"f1_{stage}"][members]) for stage in stages]
        left.errorbar(titles, [p[0] for p in points], yerr=[p[1] for p in points], marker="o", capsize=3, color=colours(i),
                      label=f"{options.by} {name} (n = {members.sum()})")
    left.set_ylim(0, 1)
    left.set_ylabel("entity F1, validation")
    left.set_title("Removed, and relearned")
    left.legend(frameon=False)

    order = {run: i for i, run in enumerate(texts(neurons["run"]))}
    for i, name in enumerate(groups):
        rows = [order[run] for run in texts(runs["id"])[own & (group == name)]]
        for s, style in ((0, "--"), (len(stages) - 1, "-")):
            by_layer = []
            for l in range(layer.max() + 1):
                values = saliency[rows][:, s][:, layer == l]
                by_layer.append(mean_and_sd([np.nanmean(v) if np.isfinite(v).any() else np.nan for v in values]))
            right.errorbar(range(len(by_layer)), [p[0] for p in by_layer], yerr=[p[1] for p in by_layer], linestyle=style,
                           marker=".", capsize=2, color=colours(i), label=f"{name}, {titles[s]}")
    right.set_xlabel("layer (0 = embeddings)")
    right.set_ylabel("mean concept saliency")
    right.set_title("Where the concept sits")
    right.legend(frameon=False, fontsize="small")
    figure.suptitle(f"{store.attrs['sweep'].decode() if isinstance(store.attrs['sweep'], bytes) else store.attrs['sweep']}: {model}, "
                    f"{int(done.sum())} runs", fontsize="medium")
    figure.savefig(options.out, metadata={"Date": None})
print(options.out)
