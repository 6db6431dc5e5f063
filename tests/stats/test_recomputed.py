#!/usr/bin/env python3
"""Every number of /stats, computed a second time from what was gathered, with numpy alone and straight from docs/results-format.md. A dataset that is
not computed here, or named in HELD_ELSEWHERE, fails the test: no number is printed that only one program has ever computed.

usage: test_recomputed.py --program RELEARN [--store results.h5]...      exit 77: h5py or numpy is missing
"""

import argparse
import itertools
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

from plain_statistics import (  # noqa: E402
    LEVEL, Q, bca, benjamini_hochberg, chances, could_be_claimed, jackknife, median_life, pairs_needed, sign_flip, spearman, student_critical, student_tail,
)

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "stats"
PROGRAM, STORES = None, []
SALIENT, SMALLEST_DROP = 0.5, 0.01
# p of t and F: statsmodels, in stats.scalapack
HELD_ELSEWHERE = {"variance/p"}


def text(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


# ------------------------------------------------------------------------------------------------ one store


class Recomputed:
    """What /stats of a file should hold: exact {path: array}; means {path: (per-run values [run, ...], rows of the first axis)}."""

    def __init__(self, file):
        self.file, self.stats = file, file["stats"]
        self.runs = {k: np.array(text(v[()])) if v.dtype.kind in "SO" else v[()] for k, v in file["runs"].items() if v.ndim == 1}
        self.done, self.seed = self.runs["status"] == "done", self.runs["seed"]
        self.ids, self.count = list(self.runs["run"]), len(self.done)
        self.stages = [k[3:] for k in self.runs if k.startswith("f1_")]
        self.stages.sort(key=lambda s: {"base": -2, "pruned": -1}.get(s, int(s.split("_")[-1]) if s[-1].isdigit() else 0))
        self.f1 = np.array([np.where(self.done, self.runs[f"f1_{s}"], np.nan) for s in self.stages]).T
        axes = self.stats["cells"].attrs["axes"].decode().split("\t")
        self.axes = [a for a in axes if a != "seed"]
        seen = {}
        self.cell = np.array([seen.setdefault(tuple(self.runs[a][r] for a in self.axes), len(seen)) for r in range(self.count)])
        self.first = [int(np.flatnonzero(self.cell == c)[0]) for c in range(len(seen))]
        self.exact, self.means = {}, {}
        self.counts()
        self.curves()
        self.scores()
        for model in file["neurons"]:
            self.layers(model)
        self.runs_and_robustness()

    def runs_of(self, cell):
        return sorted(np.flatnonzero((self.cell == cell) & self.done), key=lambda r: self.seed[r])

    def counts(self):
        status = self.runs["status"]
        for name, is_so in (("planned", status == status), ("done", self.done), ("failed", status == "failed")):
            self.exact[f"cells/{name}"] = np.bincount(self.cell, is_so)
        self.exact["cells/complete"] = self.exact["cells/planned"] == self.exact["cells/done"]
        self.exact["runs/cell"] = self.cell

    def curves(self):
        lost = self.f1[:, 0] - self.f1[:, 1]
        scale = np.where(lost >= SMALLEST_DROP, lost, np.nan)
        self.drop, self.rho = lost, (self.f1[:, 1:] - self.f1[:, 1:2]) / scale[:, None]
        after = self.file["training/f1"][:, 2:]
        self.epochs = np.full((self.count, 1 + after.shape[1] * after.shape[2]), np.nan)
        self.area, self.life, self.censored = np.full(self.count, np.nan), np.full(self.count, np.nan), np.full(self.count, -1)
        for r in np.flatnonzero(self.done):
            f1 = np.concatenate([f[: 1 + max(np.flatnonzero(np.isfinite(f)), default=-1)] for f in after[r]])
            rho = np.r_[0 * scale[r], (f1 - self.f1[r, 1]) / scale[r]]
            self.epochs[r, : len(rho)] = rho
            if len(f1) and np.isfinite(rho).all():
                self.area[r] = np.trapezoid(rho) / len(f1)
                half = np.flatnonzero(rho >= 0.5)
                self.life[r], self.censored[r] = (half[0], 0) if len(half) else (len(f1), 1)
        self.exact.update({"runs/drop": lost, "runs/rho": self.rho, "runs/area": self.area, "runs/half_life": self.life, "runs/censored": self.censored})
        self.means.update({"recovery/rho": (self.rho, None), "recovery/rho_epoch": (self.epochs, None), "recovery/area": (self.area, None)})
        lives = []
        for c in range(len(self.first)):
            rows = [r for r in self.runs_of(c)]
            known = [r for r in rows if self.censored[r] >= 0]
            lives.append([*median_life(self.life[known], self.censored[known] == 0), len(known), sum(self.censored[known] == 1), len(rows) - len(known)])
        for k, tail in enumerate(("", "_low", "_high", "_n", "_censored", "_undefined")):
            self.exact[f"recovery/half_life{tail}"] = np.array(lives)[:, k]

    def scores(self):
        for name in {k.rsplit("_base", 1)[0] for k in self.runs if k.endswith("_base")}:
            if f"scores/{name}" in self.stats:
                self.means[f"scores/{name}"] = (np.array([self.runs[f"{name}_{s}"] for s in self.stages]).T.astype(float), None)

    def spread(self, model, values):
        """[row of the model, ...] to [run, ...]."""
        out = np.full((self.count,) + values.shape[1:], np.nan)
        out[[self.ids.index(r) for r in text(self.file[f"neurons/{model}/run"][()])]] = values
        return out

    def layers(self, model):
        g = self.file[f"neurons/{model}"]
        layer = g["layer"][()]
        inside = np.array([layer == l for l in range(layer.max() + 1)])
        saliency, similarity = g["saliency"][()], g["similarity"][()]
        mass, effect, pruned = np.abs(g["mean_difference"][()].astype(float)), np.abs(g["effect_size"][()].astype(float)), g["pruned"][()]
        there = np.isfinite(mass).all(axis=2)

        def sums(x):
            return np.array([np.where(np.isfinite(x[..., i]), x[..., i], 0).sum(-1) for i in inside]).transpose(1, 2, 0)

        def means(x):
            with np.errstate(invalid="ignore"):
                return sums(x) / sums(np.where(np.isfinite(x), 1.0, np.nan))

        count = inside.sum(axis=1)
        salient, total = sums(np.where(saliency > SALIENT, 1.0, np.nan)), sums(mass)
        cut = sums(np.where(pruned[:, 1:2] == 1, mass, 0.0))
        weight, order = sums(saliency), np.arange(len(inside))
        with np.errstate(invalid="ignore", divide="ignore"):
            part = weight / weight.sum(-1, keepdims=True)
            by_layer = {
                "saliency": means(saliency), "share": salient / count, "redistribution": salient / salient.sum(-1, keepdims=True),
                "mass": total / count, "mass_share": total / total.sum(-1, keepdims=True), "pruned_mass_share": cut / total.sum(-1, keepdims=True),
                "effect_size": sums(effect) / count, "similarity": means(similarity), "null_share": sums(np.where(np.isfinite(saliency), np.nan, 1.0)) / count,
            }
            by_stage = {
                "centre": (part * order).sum(-1), "centre_mass": (total * order).sum(-1) / total.sum(-1),
                "entropy": -np.where(part == 0, 0, part * np.log(part)).sum(-1) / math.log(len(inside)),
            }
        for name in ("cka", "probe_accuracy", "selectivity"):
            if f"layers/{model}/{name}" in self.file:
                by_layer[name] = self.file[f"layers/{model}/{name}"][()]
        cells = self.stats[f"layers/{model}/cell"][()]
        self.per_model = getattr(self, "per_model", {})
        for name, values in {**by_layer, **by_stage}.items():
            values = np.where(there.reshape(there.shape + (1,) * (values.ndim - 2)), values, np.nan) if name in by_stage or name not in ("cka", "probe_accuracy", "selectivity") else values
            self.per_model[model, name] = self.spread(model, values)
            self.means[f"layers/{model}/{name}"] = (self.per_model[model, name], cells)
        self.agreement(model, saliency)
        self.finders(model, g)
        self.components(model, saliency, there)

    def row(self, model, run):
        return text(self.file[f"neurons/{model}/run"][()]).index(self.ids[run])

    def agreement(self, model, saliency):
        if f"agreement/{model}" not in self.stats:
            return
        g = self.stats[f"agreement/{model}"]
        cells, S = g["cell"][()], len(self.stages)
        out = {f"{n}{t}": np.full((len(cells), S), np.nan) for n in ("spearman", "jaccard", "jaccard_excess") for t in ("", "_low", "_high", "_n")}
        out["jaccard_chance"], out["relearning"] = np.full((len(cells), S), np.nan), np.full((len(cells), S), np.nan)
        pairs = {n: [] for n in ("pair_spearman", "pair_jaccard", "pair_chance", "pair_p")}
        for at, c in enumerate(cells):
            x = saliency[[self.row(model, r) for r in self.runs_of(c)]]
            found = {n: np.full((len(x) * (len(x) - 1) // 2, S), np.nan) for n in pairs}
            for k, (a, b) in enumerate(itertools.combinations(x, 2)):
                for s in range(S):
                    found["pair_spearman"][k, s] = spearman(a[s], b[s])
                    could = ~(a[0] > SALIENT) & ~(b[0] > SALIENT)
                    one, two = (a[s] > SALIENT) & could, (b[s] > SALIENT) & could
                    if s < 2 or not (one | two).any():
                        continue
                    law, both = chances(int(could.sum()), int(one.sum()), int(two.sum())), int((one & two).sum())
                    found["pair_jaccard"][k, s] = both / (one | two).sum()
                    found["pair_chance"][k, s] = sum(p * o / (one.sum() + two.sum() - o) for o, p in law.items())
                    found["pair_p"][k, s] = sum(p for o, p in law.items() if o >= both)
            for s in range(S):
                for name, values in (("spearman", found["pair_spearman"]), ("jaccard", found["pair_jaccard"]), ("jaccard_excess", found["pair_jaccard"] - found["pair_chance"])):
                    for tail, v in zip(("", "_low", "_high", "_n"), jackknife(values[:, s], len(x))):
                        out[name + tail][at, s] = v
                out["jaccard_chance"][at, s] = jackknife(found["pair_chance"][:, s], len(x))[0]
                if s > 1 and len(x):
                    out["relearning"][at, s] = np.mean([((r[s] > SALIENT) & ~(r[0] > SALIENT)).sum() for r in x])
            for n in pairs:
                pairs[n].append(found[n])
        del out["jaccard_excess_n"]
        self.exact.update({f"agreement/{model}/{n}": v for n, v in out.items()})
        self.exact.update({f"agreement/{model}/{n}": np.concatenate(v) for n, v in pairs.items()})
        self.exact[f"agreement/{model}/pair_cell"] = np.concatenate([[c] * (len(self.runs_of(c)) * (len(self.runs_of(c)) - 1) // 2) for c in cells])

    def finders(self, model, g):
        if f"finders/{model}" not in self.stats:
            return
        rank, axis = g["rank"][()], self.axes.index("rank.method")
        key = [tuple(self.runs[a][self.first[c]] for a in self.axes) for c in range(len(self.first))]
        here = [c for c in self.stats[f"layers/{model}/cell"][()]]
        pairs = [(a, b) for a, b in itertools.combinations(here, 2) if all((u == v) != (i == axis) for i, (u, v) in enumerate(zip(key[a], key[b])))]
        values = {"spearman": [], "overlap": []}
        for a, b in pairs:
            one, two = ({self.seed[r]: rank[self.row(model, r)].astype(float) for r in self.runs_of(c)} for c in (a, b))
            top = round(0.1 * rank.shape[2])
            rho, both = [], []
            for seed in sorted(set(one) & set(two)):
                x, y = (np.where(v < 0, np.nan, v) for v in (one[seed], two[seed]))
                rho.append([spearman(p, q) for p, q in zip(x, y)])
                both.append([((p < top) & (q < top)).sum() / top if np.isfinite(p).all() and np.isfinite(q).all() else np.nan for p, q in zip(x, y)])
            values["spearman"].append(np.array(rho)), values["overlap"].append(np.array(both))
        for name in values:
            self.means[f"finders/{model}/{name}"] = (values[name], "grouped")
        self.exact[f"finders/{model}/cell_a"], self.exact[f"finders/{model}/cell_b"] = np.array(pairs).T
        self.exact[f"finders/{model}/overlap_chance"] = 0.1

    def components(self, model, saliency, there):
        if f"components/{model}" not in self.stats:
            return
        g = self.stats[f"components/{model}"]
        place = f"components/{model}"
        for name in ("variance", "share", "total_variance", "num_runs", "imputed", "score", "loading"):
            self.exact[f"{place}/{name}"] = np.full(g[name].shape, np.nan)
        for s in range(len(self.stages)):
            rows = np.flatnonzero(there[:, s])
            x = saliency[rows, s]
            self.exact[f"{place}/num_runs"][s], self.exact[f"{place}/imputed"][s] = len(rows), 0
            if len(rows) < 2:
                continue
            with np.errstate(invalid="ignore"):
                middle = np.where(np.isfinite(x), x, 0).sum(0) / np.isfinite(x).sum(0)
            z = np.where(np.isfinite(x), x - middle, 0)
            u, d, v = np.linalg.svd(z, full_matrices=False)
            variance, k = d**2 / (len(rows) - 1), min(10, len(rows) - 1, x.shape[1])
            self.exact[f"{place}/imputed"][s], self.exact[f"{place}/total_variance"][s] = (~np.isfinite(x)).sum(), variance.sum()
            self.exact[f"{place}/variance"][s, :k], self.exact[f"{place}/share"][s, :k] = variance[:k], variance[:k] / variance.sum()
            for c in range(k):
                if not d[c] ** 2 > 1e-12 * d[0] ** 2:  # rounding, not variance: no direction
                    self.exact[f"{place}/variance"][s, c] = self.exact[f"{place}/share"][s, c] = 0
                    self.exact[f"{place}/score"][s, rows, c] = 0
                    continue
                sign = np.sign(v[c][np.argmax(np.abs(v[c]))])
                self.exact[f"{place}/score"][s, rows, c], self.exact[f"{place}/loading"][s, c] = sign * u[:, c] * d[c], sign * v[c]

    def relocation(self, name):
        out = np.full(self.count, np.nan)
        for (model, measure), v in self.per_model.items():
            if measure == name:
                for r in np.flatnonzero(np.isfinite(self.per_model[model, "centre_mass"][:, 2:]).any(axis=1)):
                    last = 2 + np.flatnonzero(np.isfinite(self.per_model[model, "centre_mass"][r, 2:]))[-1]
                    out[r] = v[r, last] - v[r, 0]
        return out

    def runs_and_robustness(self):
        self.exact["runs/relocation"], self.exact["runs/relocation_mass"] = self.relocation("centre"), self.relocation("centre_mass")
        if "robustness" in self.stats:
            gain = self.runs[f"concept_f1_{self.stages[-1]}"] - self.runs["concept_f1_pruned"]
            same = [a for a in self.axes if a != "arm" and not a.startswith(("prune.", "rank."))]
            out = np.full(self.count, np.nan)
            for r in np.flatnonzero(self.done & (self.runs["arm"] == "relearn") & (self.runs["prune.select"] != "none")):
                twins = [t for t in np.flatnonzero(self.done & (self.runs["arm"] == "never_learned")) if self.seed[t] == self.seed[r] and all(self.runs[a][t] == self.runs[a][r] for a in same)]
                if twins and gain[r] > 0:
                    out[r] = min(gain[twins[0]] / gain[r], 1)
            self.exact["robustness/robustness_of_run"], self.means["robustness/robustness"] = out, (out, None)
        self.comparisons()
        self.regression()
        self.variance()

    # -------------------------------------------------------------------------------- comparisons

    def value(self, measure, stage, layer, run):
        if measure in ("f1", "rho", "area"):
            return {"f1": lambda: self.f1[run, self.stages.index(stage)], "rho": lambda: self.rho[run, self.stages.index(stage) - 1], "area": lambda: self.area[run]}[measure]()
        found = self.per_model[self.runs["model"][run], measure][run, self.stages.index(stage)]
        return found[layer] if measure == "saliency" else found

    def longer(self, a, b):
        """Whose half-life is longer: +1 a's, -1 b's, 0 where censoring hides it."""
        if self.censored[a] < 0 or self.censored[b] < 0:
            return math.nan
        a_least, b_least = self.life[a], self.life[b]
        a_most, b_most = (math.inf if self.censored[r] else self.life[r] for r in (a, b))
        later_a = b_most < a_least or (self.censored[a] and not self.censored[b] and b_most <= a_least)
        later_b = a_most < b_least or (self.censored[b] and not self.censored[a] and a_most <= b_least)
        return float(later_a) - float(later_b)

    def comparisons(self):
        if "comparisons" not in self.stats:
            return
        g = self.stats["comparisons"]
        names = {n: text(g[n][()]) for n in ("family", "measure", "stage", "arm_a", "arm_b", "verdict")}
        out = {n: [] for n in ("n", "missing", "mean_a", "mean_b", "difference", "p", "p_smallest", "exact", "draws", "d_z", "g_z", "superiority", "coverage_at_most")}
        self.differences, listed = [], set()
        for i in range(len(g["n"])):
            a, b = ({self.seed[r]: r for r in np.flatnonzero(self.cell == g[side][i])} for side in ("cell_a", "cell_b"))
            measure, stage, layer = names["measure"][i], names["stage"][i], int(g["layer"][i])
            listed.add((names["family"][i], int(g["cell_a"][i]), int(g["cell_b"][i]), measure, stage, layer))
            both = [(a[s], b[s]) for s in sorted(set(a) & set(b)) if self.done[a[s]] and self.done[b[s]]]
            sides = [(math.nan, math.nan, self.longer(x, y)) for x, y in both] if measure == "half_life" else [
                (u, v, u - v) for x, y in both for u, v in [(self.value(measure, stage, layer, x), self.value(measure, stage, layer, y))]]
            kept = np.array([s for s in sides if math.isfinite(s[2])]).reshape(-1, 3)
            d, n = kept[:, 2], len(kept)
            self.differences.append(d)
            sd = d.std(ddof=1) if n > 1 and not (d == d[0]).all() else 0.0
            d_z = d.mean() / sd if sd > 0 else math.nan
            fill = {"n": n, "missing": len(set(a) | set(b)) - n, "mean_a": kept[:, 0].mean() if n else math.nan, "mean_b": kept[:, 1].mean() if n else math.nan,
                    "difference": d.mean() if n else math.nan, "p": sign_flip(d) if n else math.nan, "p_smallest": 2.0 ** (1 - n) if n else math.nan, "exact": n > 0,
                    "draws": 2**n if n else 0, "d_z": d_z, "g_z": d_z * (1 - 3 / (4 * (n - 1) - 1)), "superiority": ((d > 0).sum() + (d == 0).sum() / 2) / n if n else math.nan,
                    "coverage_at_most": min(LEVEL, 1 - 2.0 ** (1 - n)) if n > 1 else math.nan}
            for k, v in fill.items():
                out[k].append(v)
        out = {k: np.array(v, float) for k, v in out.items()}
        self.whole_family(names["family"], listed)
        out["p_adjusted"], out["family_size"] = np.full(len(out["n"]), np.nan), np.zeros(len(out["n"]))
        words = list(names["verdict"])
        low, high = g["low"][()], g["high"][()]  # checked against the exact bootstrap elsewhere
        needed, alone, claimed = [], [], []
        for family in sorted(set(names["family"])):
            here = [i for i, f in enumerate(names["family"]) if f == family]
            p = out["p"][here]
            out["p_adjusted"][here], out["family_size"][here] = benjamini_hochberg(p), np.isfinite(p).sum()
        for i, d in enumerate(self.differences):
            here = [k for k, f in enumerate(names["family"]) if f == names["family"][i]]
            m = out["family_size"][i]
            claimed.append(out["p_adjusted"][i] <= Q and (low[i] > 0 or high[i] < 0))
            smallest, n = out["p_smallest"][i], len(d)
            words[i] = ("no pairs" if n == 0 else "claimed" if claimed[i] else "no difference" if (d == 0).all()
                        else f"cannot be significant with {n} seed{'' if n == 1 else 's'}" if smallest > Q or not could_be_claimed(out["p"][here], here.index(i), smallest) else "not claimed")
            needed.append(pairs_needed(out["d_z"][i], Q / m)), alone.append(pairs_needed(out["d_z"][i], Q))
        self.exact.update({f"comparisons/{k}": v for k, v in out.items()})
        self.exact.update({"comparisons/claimed": np.array(claimed), "comparisons/seeds_needed": np.array(needed), "comparisons/seeds_needed_alone": np.array(alone)})
        self.verdicts = (words, names["verdict"])

    def whole_family(self, families, listed):
        """Every hypothesis of every pair of cells that differ in one axis alone is there: none is left out of the family that is corrected for."""
        key = [tuple(self.runs[a][f] for a in self.axes) for f in self.first]
        expected = set()
        for i, axis in enumerate(self.axes):
            if axis in ("model", "concept"):
                continue
            for a, b in itertools.permutations(range(len(key)), 2):
                if [u == v for u, v in zip(key[a], key[b])] != [k != i for k in range(len(self.axes))]:
                    continue
                if key[a][i] != ("concept" if axis == "prune.select" else self.runs[axis][0]):
                    continue
                layers = self.per_model[self.runs["model"][self.first[a]], "saliency"].shape[2]
                later = self.stages[1:]
                expected |= {(axis, a, b, m, s, -1) for m in ("f1", "centre", "centre_mass") for s in later} | {(axis, a, b, "rho", s, -1) for s in later[1:]}
                expected |= {(axis, a, b, "saliency", s, l) for s in later for l in range(layers)} if axis == "prune.select" else set()
                expected |= {(axis, a, b, "area", "", -1), (axis, a, b, "half_life", "", -1)}
        self.family = (listed, expected)

    # -------------------------------------------------------------------------------- models of many runs

    def regression(self):
        if "regression" not in self.stats:
            return
        g = self.stats["regression"]
        fits, terms = text(g["fit"][()]), text(g["term"][()])
        models = list(dict.fromkeys(self.runs["model"]))
        primed = all(f"neurons/{m}/concept_similarity" in self.file for m in models)
        for name in ("estimate", "se", "t", "p", "low", "high"):
            self.exact[f"regression/{name}"] = np.full(g[name].shape, np.nan)
        for name in ("num_rows", "num_runs", "num_clusters", "r_squared"):
            self.exact[f"regression/{name}"] = np.full(len(fits), np.nan)
        dropped = []
        for k, fit in enumerate(fits):
            rows, y, seeds, used_runs = [], [], [], 0
            for r in np.flatnonzero(self.done):
                if fit != "all" and self.runs["prune.select"][r] != fit:
                    continue
                model = self.runs["model"][r]
                n, at = self.file[f"neurons/{model}"], self.row(model, r)
                last = max(np.flatnonzero(np.isfinite(n["mean_difference"][at]).all(axis=1)))
                if last < 2:
                    continue
                used_runs += 1
                layer = n["layer"][()]
                likeness = n["concept_similarity"][at, 0] if primed else n["similarity"][at, last]
                x = np.column_stack([np.ones(len(layer)), n["saliency"][at, 0], likeness, layer / layer.max(), n["pruned"][at, 1], *[np.full(len(layer), model == m) for m in models[1:]]])
                target = n["saliency"][at, last]
                known = np.isfinite(x).all(axis=1) & np.isfinite(target)
                rows.append(x[known]), y.append(target[known]), seeds.extend([self.seed[r]] * int(known.sum()))
            x, y, seeds = np.concatenate(rows), np.concatenate(y), np.array(seeds)
            used = [j for j in range(x.shape[1]) if j == 0 or np.linalg.matrix_rank(x[:, : j + 1]) > np.linalg.matrix_rank(x[:, :j])]
            dropped.append(", ".join(terms[j] for j in range(len(terms)) if j not in used))
            beta = np.linalg.lstsq(x[:, used], y, rcond=None)[0]
            error, clusters = y - x[:, used] @ beta, sorted(set(seeds))
            G, n = len(clusters), len(y)
            values = {"estimate": beta}
            if G > 1:
                bread = np.linalg.inv(x[:, used].T @ x[:, used])
                scores = np.array([x[seeds == c][:, used].T @ error[seeds == c] for c in clusters])
                se = np.sqrt(np.diag(bread @ scores.T @ scores @ bread) * G / (G - 1) * (n - 1) / (n - len(used)))
                half = student_critical(1 - LEVEL, G - 1) * se
                values.update(se=se, t=beta / se, p=[student_tail(v, G - 1) for v in beta / se], low=beta - half, high=beta + half)
            for name, v in values.items():
                self.exact[f"regression/{name}"][k, used] = v
            for name, v in (("num_rows", n), ("num_runs", used_runs), ("num_clusters", G), ("r_squared", 1 - (error @ error) / ((y - y.mean()) @ (y - y.mean())))):
                self.exact[f"regression/{name}"][k] = v
        self.dropped = (dropped, text(g["dropped"][()]))

    def variance(self):
        if "variance" not in self.stats:
            return
        g = self.stats["variance"]
        factors = text(g["factor"][()])[:-1]
        last = np.array([r[np.isfinite(r)][-1] if np.isfinite(r).any() else np.nan for r in self.rho[:, 1:]])
        responses = {"f1_recovery": last, "area": self.area, "relocation": self.exact["runs/relocation"], "relocation_mass": self.exact["runs/relocation_mass"]}
        self.factors = (factors, [a for a in [*self.axes, "seed"] if len(set(self.runs[a])) > 1])
        for name in ("sum_of_squares", "df", "F", "share"):
            self.exact[f"variance/{name}"] = np.full(g[name].shape, np.nan)
        for name in ("total", "num_runs"):
            self.exact[f"variance/{name}"] = np.full(len(responses), np.nan)
        for k, response in enumerate(text(g["response"][()])):
            y = responses[response]
            rows = np.flatnonzero(np.isfinite(y) & self.done)
            y, n = y[rows], len(rows)
            self.exact["variance/num_runs"][k] = n
            if n < 2:
                continue

            def left(out):
                columns = [np.ones(n)] + [self.runs[f][rows] == v for f in factors if f != out for v in sorted(set(self.runs[f]))]
                x = np.column_stack(columns).astype(float)
                rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
                return rest @ rest, np.linalg.matrix_rank(x)

            full, rank = left(None)
            total = ((y - y.mean()) ** 2).sum()
            self.exact["variance/total"][k] = total
            for j, factor in enumerate(factors):
                rss, less = left(factor)
                df = rank - less
                self.exact["variance/df"][k, j], self.exact["variance/sum_of_squares"][k, j] = df, rss - full
                if df:
                    self.exact["variance/share"][k, j] = (rss - full) / total
                if df and n > rank:
                    self.exact["variance/F"][k, j] = (rss - full) / df / (full / (n - rank))
            for name, v in (("df", n - rank), ("sum_of_squares", full), ("share", full / total)):
                self.exact[f"variance/{name}"][k, -1] = v


# ------------------------------------------------------------------------------------------------ the comparison


class Stats(unittest.TestCase):
    def same(self, path, mine, theirs, rtol=1e-8, atol=1e-10):
        mine, theirs = np.asarray(mine, float), np.asarray(theirs, float)
        self.assertEqual(mine.shape, theirs.shape, path)
        self.assertTrue(np.allclose(mine, theirs, rtol=rtol, atol=atol, equal_nan=True), f"{path}: {mine.ravel()[:12]} here, {theirs.ravel()[:12]} there")

    def interval(self, path, x, low, high):
        if len(x) < 2:
            return self.assertTrue(math.isnan(low) and math.isnan(high), path)
        if (x == x[0]).all():
            return self.assertEqual((low, high), (x[0], x[0]), path)
        means, weight, levels = bca(x)
        rounding = 1e-9 * np.abs(x).max()
        for given, level in zip((low, high), levels):
            z = statistics.NormalDist().inv_cdf(level)
            of_bias = 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * 0.5 * math.sqrt(2 * math.pi) / math.sqrt(5000)  # both of 5,000 draws
            slack = 4 * (math.sqrt(level * (1 - level) / 5000) + of_bias)
            below, up_to = weight[means < given - rounding].sum(), weight[means <= given + rounding].sum()
            self.assertTrue(below <= level + slack and up_to >= level - slack, f"{path}: {given} cuts {below} .. {up_to}, not {level}")

    def estimate(self, stats, path, values, rows, recomputed):
        """values [run, ...] by cell, or a list with one [seed, ...] each."""
        given = {t: np.asarray(stats[path + t][()], float) for t in ("", "_low", "_high", "_sd", "_n")}
        groups = values if isinstance(rows, str) else [values[recomputed.runs_of(c)] for c in (range(len(recomputed.first)) if rows is None else rows)]
        for k, group in enumerate(groups):
            for place in np.ndindex(given[""].shape[1:]):
                x = np.array([v[place] for v in group], float)
                x = x[np.isfinite(x)]
                at = (k, *place)
                self.same(f"{path}{at}", x.mean() if len(x) else math.nan, given[""][at])
                self.same(f"{path}_n{at}", len(x), given["_n"][at])
                self.same(f"{path}_sd{at}", x.std(ddof=1) if len(x) > 1 else math.nan, given["_sd"][at])
                self.interval(f"{path}{at}", x, given["_low"][at], given["_high"][at])

    def check(self, path):
        with h5py.File(path) as file:
            r, stats = Recomputed(file), file["stats"]
            datasets = []
            stats.visititems(lambda name, item: datasets.append(name) if isinstance(item, h5py.Dataset) and not item.is_scale and item.dtype.kind not in "SO" else None)
            for name, values in r.exact.items():
                self.same(name, values, stats[name][()], 1e-7 if name.endswith(("/p", "pair_p", "score", "loading")) else 1e-8, 1e-9)
            for name, (values, rows) in r.means.items():
                self.estimate(stats, name, values, rows, r)
            known = set(r.exact) | HELD_ELSEWHERE | {n + t for n in r.means for t in ("", "_low", "_high", "_sd", "_n")}
            known |= {f"cells/{a}" for a in r.axes}
            if "comparisons" in stats:
                c = stats["comparisons"]
                for i, d in enumerate(r.differences):
                    self.interval(f"comparisons {i}", d, c["low"][i], c["high"][i])
                self.assertEqual(*r.verdicts)
                self.assertEqual(*r.family)
                known |= {f"comparisons/{n}" for n in ("cell_a", "cell_b", "layer", "low", "high")}  # what was compared: whole_family
            if "regression" in stats:
                self.assertEqual(*r.dropped)
            if "variance" in stats:
                self.assertEqual(*r.factors)
            self.assertEqual(sorted(set(datasets) - known), [], "computed by one program only")
            self.assertEqual(sorted(n for n in r.exact if n not in stats), [])

    def with_stats(self, source, change=None):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "sweep"
            folder.mkdir()
            shutil.copyfile(source, folder / "results.h5")
            if change:
                with h5py.File(folder / "results.h5", "r+") as file:
                    change(file)
            done = subprocess.run([PROGRAM, "stats", str(folder)], capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.check(folder / "results.h5")
            return done.stdout

    def test_the_golden_stores(self):
        for name in ("grid", "finders", "arms", "constant", "one"):
            with self.subTest(name):
                self.with_stats(GOLDEN / f"{name}.h5")

    def test_what_is_never_reached_undefined_or_missing(self):
        """Of the first cell one run never gets to half, one lost next to nothing, one lacks an epoch in the middle, one is still planned, one is exactly
        half-way back after its second epoch."""

        def change(file):
            runs, f1 = file["runs"], file["training/f1"]
            at = np.flatnonzero((runs["prune.select"][()] == runs["prune.select"][0]) & (runs["prune.ratio"][()] == runs["prune.ratio"][0]))
            base, pruned = runs["f1_base"][()], runs["f1_pruned"][()]
            f1[at[0], 2:] = pruned[at[0]] + 0.3 * (base - pruned)[at[0]]
            runs["f1_pruned"][at[1]] = base[at[1]] - 0.005
            f1[at[2], 2, 0] = np.nan
            runs["f1_base"][at[4]], runs["f1_pruned"][at[4]] = 0.5, 0.0
            f1[at[4], 2:] = [[0.125, 0.25], [0.375, 0.375]]
            status = runs["status"][()]
            status[at[3]] = b"planned"
            runs["status"][()] = status

        self.with_stats(GOLDEN / "grid.h5", change)

    def test_an_axis_that_another_determines_has_no_share(self):
        """In a store where selection and ratio change together neither has a share of the variance: 0 % would say that it has no effect."""

        def change(file):
            runs = file["runs"]
            runs["prune.ratio"][()] = np.where(runs["prune.select"][()] == b"concept", 0.1, 0.3)

        out = self.with_stats(GOLDEN / "grid.h5", change)
        self.assertRegex(out, r"f1_recovery +prune.ratio +not to be told")
        self.assertRegex(out, r"f1_recovery +prune.select +not to be told")
        self.assertRegex(out, r"f1_recovery +seed +[\d.]+ %")

    def test_how_neurons_were_found_does_not_part_a_run_from_its_fresh_twin(self):
        """Robustness is against the never_learned run of the seed; that one ranks with something, but nothing was pruned by it."""

        def change(file):
            fresh = file["runs/arm"][()] == b"never_learned"
            penalty = file["runs"].create_dataset("rank.lambda1", data=np.where(fresh, 0.001, 0.01))
            penalty.attrs.create("long_name", np.bytes_("axis of the sweep's grid"))

        self.assertIn("Relearning robustness", self.with_stats(GOLDEN / "arms.h5", change))

    def test_stores_that_were_named(self):
        for path in STORES:
            with self.subTest(path):
                self.check(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--store", action="append", default=[])
    options, rest = parser.parse_known_args()
    PROGRAM, STORES = options.program, options.store
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    unittest.main(argv=[sys.argv[0], *rest])
