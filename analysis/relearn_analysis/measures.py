"""What one run says, reduced to numbers per stage and layer. Every formula of the report that is not in /stats is here.

Letters as in docs/notation.md: S stages, L layers with the embeddings, N neurons. NaN means "no value" and is never counted as 0.
"""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np

BINS = 40  # of the saliency distributions
SMALLEST_DROP = 0.01  # of F1, below which recovery is undefined; the same as in /stats
SIMILARITY_BINS = 20  # of the similarity-saliency picture


@dataclasses.dataclass
class RunSummary:
    row: int
    stages: list  # names, in order; the stages that this run has
    mean_saliency: np.ndarray  # [S, L], mean over the layer's neurons that have a saliency
    above_half: (
        np.ndarray
    )  # [S, L], share of the layer's neurons with saliency > 0.5 (one without a saliency counts as not)
    salient: np.ndarray  # [S, L], how many have saliency > 0.5
    mean_similarity: np.ndarray  # [S, L]
    centre: np.ndarray  # [S], saliency-weighted mean layer
    absolute_centre: (
        np.ndarray
    )  # [S], the same weighted by |mean difference|, which is not zero-sum over layers (protocol §14.15)
    histogram: np.ndarray  # [S, L, BINS], counts of saliency
    pruned_by_layer: np.ndarray  # [L], number of pruned neurons
    removed: np.ndarray  # [L], base saliency that sat in the pruned neurons
    gained: np.ndarray  # [L], rise of saliency above base in the neurons that were kept
    joint: np.ndarray  # [SIMILARITY_BINS, SIMILARITY_BINS], counts: similarity x saliency in the last stage
    spearman_similarity: float  # rank correlation of similarity and saliency in the last stage
    spearman_base: float  # rank correlation of base saliency and last saliency among kept neurons
    relearning: np.ndarray  # ids: saliency > 0.5 in the last stage and not in base
    could_relearn: np.ndarray  # ids: not salient in base
    last_saliency: np.ndarray  # [N]


def ranks(values):
    """Average ranks from 1, ties shared (scipy.stats.rankdata)."""
    values = np.asarray(values, float)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.array([], int)
    ends = np.r_[starts[1:], len(values)]
    shared = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    out = np.empty(len(values))
    out[order] = shared
    return out


def spearman(x, y):
    """Spearman's rho over the pairs that both have a value; NaN with fewer than 3 pairs or a constant side."""
    keep = np.isfinite(x) & np.isfinite(y)
    if keep.sum() < 3:
        return np.nan
    rx, ry = ranks(np.asarray(x)[keep]), ranks(np.asarray(y)[keep])
    rx, ry = rx - rx.mean(), ry - ry.mean()
    scale = np.sqrt((rx * rx).sum() * (ry * ry).sum())
    return float((rx * ry).sum() / scale) if scale > 0 else np.nan


def mean_of(values):
    """Mean of the finite values; NaN without any."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


DRAWS = 5000  # of the bootstrap, as in /stats
FEWEST = 6  # values whose bootstrap interval can cover 95 %: it lies within their range, which misses the centre with 2^(1-n)
_draws = {}


def normal_quantile(p):
    return statistics.NormalDist().inv_cdf(min(max(p, 1e-12), 1 - 1e-12))


def bca(values, level=0.95):
    """(low, high) of the mean: BCa bootstrap over seeds (Efron 1987), the same conventions as /stats; None below FEWEST values."""
    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    n = len(x)
    if n < FEWEST:
        return None
    if np.all(x == x[0]):
        return float(x[0]), float(x[0])
    if n not in _draws:
        _draws[n] = np.random.default_rng(n).integers(0, n, (DRAWS, n))
    means, mean = x[_draws[n]].mean(axis=1), x.mean()
    left_out = (x.sum() - x) / (n - 1)
    d = left_out.mean() - left_out
    acceleration = (d**3).sum() / (6 * (d * d).sum() ** 1.5)
    tie = 1e-12 * np.abs(means).max()  # the same values in another order are the mean itself, whatever their sum rounds to
    bias = normal_quantile(((means < mean - tie).sum() + (means <= mean + tie).sum()) / (2 * DRAWS))
    ends = []
    for z in (normal_quantile((1 - level) / 2), normal_quantile((1 + level) / 2)):
        at = statistics.NormalDist().cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        ends.append(float(np.quantile(means, at)))
    return ends[0], ends[1]


def by_layer(values, layer, num_layers):
    """Mean over each layer's finite values: [S, N] -> [S, L]."""
    finite = np.isfinite(values)
    filled = np.where(finite, values, 0.0)
    out = np.full((len(values), num_layers), np.nan)
    for l in range(num_layers):
        here = layer == l
        count = finite[:, here].sum(axis=1)
        np.divide(filled[:, here].sum(axis=1), count, out=out[:, l], where=count > 0)
    return out


def share_above_half(saliency, layer, num_layers):
    return by_layer((saliency > 0.5).astype(float), layer, num_layers)


def centre_of_mass(mass, layer):
    """sum l m / sum m over neurons with a finite mass: [S, N] -> [S]."""
    mass = np.where(np.isfinite(mass), np.abs(mass), 0.0)
    total = mass.sum(axis=1)
    return np.divide((mass * layer).sum(axis=1), total, out=np.full(len(mass), np.nan), where=total > 0)


def histograms(saliency, layer, num_layers):
    out = np.zeros((len(saliency), num_layers, BINS), int)
    for s, values in enumerate(saliency):
        for l in range(num_layers):
            v = values[layer == l]
            out[s, l] = np.histogram(v[np.isfinite(v)], bins=BINS, range=(0, 1))[0]
    return out


def per_layer_sum(values, layer, num_layers):
    return np.bincount(layer, weights=np.where(np.isfinite(values), values, 0.0), minlength=num_layers)[:num_layers]


def summarise(store, row):
    """One run's numbers, from its own slabs of results.h5."""
    model = store.runs["model"][row]
    layer = store.layers(model)
    num_layers = int(layer.max()) + 1
    names = store.model_stages(model)
    own = min(int(store.runs["num_stages"][row]), len(names)) if "num_stages" in store.runs else len(names)
    saliency, similarity = store.neurons("saliency", row)[:own], store.neurons("similarity", row)[:own]
    pruned = store.neurons("pruned", row)[min(1, own - 1)] > 0
    last = saliency[-1]
    kept = ~pruned
    rise = np.where(kept, np.clip(last - saliency[0], 0, None), 0.0)
    both = np.isfinite(similarity[-1]) & np.isfinite(last)
    joint = np.histogram2d(similarity[-1][both], last[both], bins=SIMILARITY_BINS, range=((0, 1), (0, 1)))[0]
    return RunSummary(
        row=row,
        stages=names[:own],
        mean_saliency=by_layer(saliency, layer, num_layers),
        above_half=share_above_half(saliency, layer, num_layers),
        salient=np.array([np.bincount(layer[s > 0.5], minlength=num_layers) for s in saliency]),
        mean_similarity=by_layer(similarity, layer, num_layers),
        centre=centre_of_mass(saliency, layer),
        absolute_centre=centre_of_mass(store.neurons("mean_difference", row)[:own], layer),
        histogram=histograms(saliency, layer, num_layers),
        pruned_by_layer=np.bincount(layer[pruned], minlength=num_layers)[:num_layers],
        removed=per_layer_sum(np.where(pruned, saliency[0], 0.0), layer, num_layers),
        gained=per_layer_sum(rise, layer, num_layers),
        joint=joint,
        spearman_similarity=spearman(similarity[-1], last),
        spearman_base=spearman(saliency[0][kept], last[kept]),
        relearning=np.flatnonzero((last > 0.5) & ~(saliency[0] > 0.5)),
        could_relearn=np.flatnonzero(~(saliency[0] > 0.5)),
        last_saliency=last,
    )


# ------------------------------------------------------------------------------------------------ recovery


@dataclasses.dataclass
class Recovery:
    """Entity F1 on validation over retraining: epochs[0] = 0 is the pruned model before any retraining."""

    base: float
    epochs: np.ndarray
    f1: np.ndarray

    @property
    def pruned(self):
        return float(self.f1[0])

    def recovered(self):
        """rho(t) = (F1(t) - F1(pruned)) / (F1(base) - F1(pruned)); undefined where pruning cost less than SMALLEST_DROP."""
        lost = self.base - self.pruned
        return (
            (self.f1 - self.pruned) / lost
            if np.isfinite(lost) and lost >= SMALLEST_DROP
            else np.full(len(self.f1), np.nan)
        )

    def final(self):
        return float(self.recovered()[-1])

    def half_life(self):
        """The first epoch with rho >= 0.5; inf when none reached it (censored), NaN when rho is undefined or an epoch is missing."""
        rho = self.recovered()[1:]
        if not len(rho) or not np.isfinite(rho).all():
            return np.nan
        reached = np.flatnonzero(rho >= 0.5)
        return float(self.epochs[1:][reached[0]]) if len(reached) else np.inf

    def area(self):
        """(1/T) times the trapezoid integral of rho over the epochs; NaN with a gap in it."""
        rho = self.recovered()
        span = self.epochs[-1] - self.epochs[0]
        return float(np.trapezoid(rho, self.epochs) / span) if span > 0 and np.isfinite(rho).all() else np.nan


def recovery(store, row):
    """From /training/f1 after each epoch; where a stage left none, its F1 at the end stands for its only point."""
    f1, names = store.training("f1", row)
    epochs, values = [0.0], [float(store.score("f1", "pruned", [row])[0])]
    own = int(store.runs["num_stages"][row]) if "num_stages" in store.runs else len(store.stages)
    for stage in store.stages[:own]:
        if not stage.startswith("retrained_"):
            continue
        curve = f1[names.index(stage)] if f1 is not None and stage in names else np.array([])
        curve = curve[: 1 + max(np.flatnonzero(np.isfinite(curve)), default=-1)]  # what follows is padding; a gap before it stays one
        if not len(curve):
            curve = store.score("f1", stage, [row])
        for value in curve:
            epochs.append(epochs[-1] + 1)
            values.append(float(value))
    return Recovery(float(store.score("f1", "base", [row])[0]), np.array(epochs), np.array(values))


# ------------------------------------------------------------------------------------------------ relocation, agreement, words


def monotone_flow(source, target):
    """The cheapest way to carry `source` to `target` along a line (1-D optimal transport: keep the order). Both are normalised to 1."""
    source, target = np.asarray(source, float), np.asarray(target, float)
    flow = np.zeros((len(source), len(target)))
    if source.sum() <= 0 or target.sum() <= 0:
        return flow
    left, right = source / source.sum(), target / target.sum()
    i = j = 0
    left, right = left.copy(), right.copy()
    while i < len(left) and j < len(right):
        moved = min(left[i], right[j])
        flow[i, j] += moved
        left[i] -= moved
        right[j] -= moved
        if left[i] <= right[j]:
            i += 1
        else:
            j += 1
    return flow


def jaccard(a, b):
    union = len(np.union1d(a, b))
    return len(np.intersect1d(a, b)) / union if union else np.nan


def jaccard_by_chance(size_a, size_b, population):
    """E|A n B| under the hypergeometric law, over E|A u B|: what two unrelated sets of these sizes would give."""
    expected = size_a * size_b / population if population else 0
    union = size_a + size_b - expected
    return expected / union if union > 0 else np.nan


@dataclasses.dataclass
class Polysemanticity:
    """Counts over the neurons of one run that were kept, from their top words in base and in the last stage."""

    row: int
    kept: int
    old_only: int  # still (some of) its own base words, none that were lost
    both: int  # its own base words and lost words: polysemantic after relearning
    new_only: int  # lost words instead of its own
    neither: int
    by_layer: np.ndarray  # [L], share of kept neurons that are `both`
    ids: np.ndarray  # the `both` neurons, the most salient first


def lost_words(words, pruned):
    """Words that were among the base top words of pruned neurons, more often there than their share of neurons would give."""
    base = words[0]
    inside = np.unique(base[pruned][base[pruned] >= 0], return_counts=True)
    overall = dict(zip(*np.unique(base[base >= 0], return_counts=True)))
    expected = pruned.mean()
    return np.array(
        [
            w
            for w, c in zip(*inside)
            if c >= 3 and c > expected * overall[w] + 2 * np.sqrt(expected * (1 - expected) * overall[w])
        ],
        int,
    )


def polysemanticity(store, row, summary):
    words = store.top_words(row)
    if words is None:
        return None
    words = words[: len(summary.stages)]
    model = store.runs["model"][row]
    layer = store.layers(model)
    pruned = store.neurons("pruned", row)[min(1, len(summary.stages) - 1)] > 0
    gone = lost_words(words, pruned)
    has_gone = np.isin(words[-1], gone)
    own = ((words[-1][:, :, None] == words[0][:, None, :]) & (words[-1] >= 0)[:, :, None]).any(axis=(1, 2))
    started_without = ~np.isin(words[0], gone).any(axis=1)
    kept = ~pruned & started_without & (words[0] >= 0).any(axis=1)
    took = has_gone.any(axis=1)
    both = kept & own & took
    num_layers = int(layer.max()) + 1
    share = np.full(num_layers, np.nan)
    for l in range(num_layers):
        here = kept & (layer == l)
        if here.any():
            share[l] = both[here].mean()
    ids = np.flatnonzero(both)
    strength = np.where(np.isfinite(summary.last_saliency[ids]), summary.last_saliency[ids], -1)
    return Polysemanticity(
        row,
        int(kept.sum()),
        int((kept & own & ~took).sum()),
        int(both.sum()),
        int((kept & ~own & took).sum()),
        int((kept & ~own & ~took).sum()),
        share,
        ids[np.argsort(-strength, kind="stable")],
    )
