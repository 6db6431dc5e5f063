"""Two pictures of a finished sweep from its results.h5: F1 over the stages, and concept saliency by layer.

    analysis/plot_sweep.py results/quick/results.h5 --out docs/img/quick.svg
Points are means over seeds, bars one standard deviation over seeds (never over neurons: neurons of a run are no
independent evidence). Needs matplotlib; everything else in this package does without.
"""

from __future__ import annotations

import argparse

import numpy as np

from .errors import BadInput
from .measures import summarise
from .store import Store, plain, stage_title


def mean_and_sd(values):
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return values.mean() if values.size else np.nan, values.std(ddof=1) if values.size > 1 else 0.0


def draw(path, out, by):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "relearn"  # the same store gives the same file
    import matplotlib.pyplot as plt

    store = Store(path)
    if by not in store.runs:
        raise BadInput(f"{path}: /runs has no column '{by}'; it has {', '.join(sorted(store.runs))}")
    group = np.array([f"{plain(v):g}" if isinstance(plain(v), float) else str(plain(v)) for v in store.runs[by]])
    groups = sorted(set(group[store.done]))
    model = sorted(store.row_of)[0]
    stages = store.model_stages(model)
    titles = [stage_title(stage) for stage in stages]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    colours = plt.get_cmap("tab10")
    for i, name in enumerate(groups):
        members = np.flatnonzero(store.done & (group == name))
        points = [mean_and_sd(store.score("f1", stage, members)) for stage in stages]
        left.errorbar(
            titles,
            [p[0] for p in points],
            yerr=[p[1] for p in points],
            marker="o",
            capsize=3,
            color=colours(i),
            label=f"{by} {name} (n = {len(members)})",
        )
        own = [
            summarise(store, r).mean_saliency
            for r in members
            if store.runs["model"][r] == model and store.has_neurons(r)
        ]
        for s, style in ((0, "--"), (len(stages) - 1, "-")):
            layers = [mean_and_sd(column) for column in np.array([m[s] for m in own if len(m) == len(stages)]).T]
            right.errorbar(
                range(len(layers)),
                [p[0] for p in layers],
                yerr=[p[1] for p in layers],
                linestyle=style,
                marker=".",
                capsize=2,
                color=colours(i),
                label=f"{name}, {titles[s]}",
            )
    left.set(ylim=(0, 1), ylabel="entity F1, validation", title="Removed, and relearned")
    left.legend(frameon=False)
    right.set(xlabel="layer (0 = embeddings)", ylabel="mean concept saliency", title="Where the concept sits")
    right.legend(frameon=False, fontsize="small")
    figure.suptitle(f"{store.sweep}: {model}, {int(store.done.sum())} runs", fontsize="medium")
    figure.savefig(out, metadata={"Date": None})


def add_to(commands):
    plot = commands.add_parser(
        "plot",
        help="two pictures of a sweep as one SVG",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plot.add_argument("results")
    plot.add_argument("--out", required=True, help="an .svg file")
    plot.add_argument("--by", default="prune.select", help="the column of /runs whose values become the lines")


def run(options):
    draw(options.results, options.out, options.by)
    print(options.out)
    return 0
