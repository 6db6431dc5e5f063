#!/usr/bin/env python3
"""Goldens of the room stats: tests/golden/stats/{grid,one,constant,finders,arms}.h5 and expected.json.

Small stores in the layout of docs/formats.md, and what numpy, scipy and statsmodels say of them.
usage: stats.py [FOLDER]"""
import itertools
import json
import pathlib
import sys

import h5py
import numpy as np
import pandas as pd
import scipy
import scipy.stats as st
import statsmodels
import statsmodels.api as sm
import statsmodels.formula.api as smf
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "tests/golden/stats")
STAGES = ["base", "pruned", "retrained_1", "retrained_2"]
LAYERS, WIDTH = 3, 12
N = LAYERS * WIDTH


# ------------------------------------------------------------------------------------------------ stores

def text(dataset_owner, name, values, scale=None, **attributes):
    values = [v.encode() for v in values]
    dtype = h5py.string_dtype("utf-8", max(1, max(map(len, values))))
    d = dataset_owner.create_dataset(name, data=np.array(values, dtype=dtype))
    return finish(d, scale, attributes)


def finish(d, scale, attributes):
    for key, value in attributes.items():
        d.attrs.create(key, value.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(value.encode()))))
    if scale:
        d.make_scale(scale)
    return d


def numbers(owner, name, values, scale=None, **attributes):
    return finish(owner.create_dataset(name, data=values), scale, attributes)


def write_store(path, runs, neurons, epochs):
    """runs: list of dicts; neurons: {array: [run, stage, N]}; epochs [run, stage, epoch]."""
    with h5py.File(path, "w", libver=("earliest", "v108"), track_order=False) as f:
        for key, value in {"format": "relearn results 1", "created": "2026-01-01T00:00:00Z", "title": "golden"}.items():
            f.attrs.create(key, value.encode(), dtype=h5py.string_dtype("utf-8", len(value)))
        g = f.create_group("runs")
        run = text(g, "run", [r["id"] for r in runs], "run")
        for key in ("id", "status", "error", "model", "concept"):
            text(g, key, [r[key] for r in runs])
        numbers(g, "seed", np.array([r["seed"] for r in runs], "i8"))
        axis = "axis of the sweep's grid"
        text(g, "prune.select", [r["prune.select"] for r in runs], long_name=axis)
        numbers(g, "prune.ratio", np.array([r["prune.ratio"] for r in runs], "f8"), long_name=axis)
        for key in ("rank.method", "arm"):
            if key in runs[0]:
                text(g, key, [r[key] for r in runs], long_name=axis)
        for s, stage in enumerate(STAGES):
            for measure in ("f1", "loss", *(["concept_f1"] if "concept_f1" in runs[0] else [])):
                numbers(g, f"{measure}_{stage}", np.array([r[measure][s] for r in runs]))
        n = f.create_group("neurons/mini")
        text(n, "run", [r["id"] for r in runs], "run")
        text(n, "stage", STAGES, "stage")
        numbers(n, "layer", np.repeat(np.arange(LAYERS), WIDTH).astype("i4"))
        for key, value in neurons.items():
            numbers(n, key, value)
        t = f.create_group("training")
        numbers(t, "f1", epochs)
        del run


def make_grid(seeds, selects, ratios, random, failed=None, nan_loss=None):
    runs = []
    for seed, select, ratio in itertools.product(seeds, selects, ratios):
        base = 0.9 + 0.01 * random.standard_normal()
        pruned = base - ratio - (0.3 if select == "concept" else 0.05) + 0.02 * random.standard_normal()
        first = pruned + (base - pruned) * (0.4 + 0.1 * random.standard_normal())
        last = pruned + (base - pruned) * (0.8 + 0.05 * random.standard_normal())
        runs.append({"id": f"{len(runs):012x}", "status": "done", "error": "", "model": "mini", "concept": "location",
                     "seed": seed, "prune.select": select, "prune.ratio": ratio, "f1": [base, pruned, first, last],
                     "loss": list(0.2 + 0.1 * random.random(4))})
    if failed is not None:
        runs[failed].update(status="failed", error="the loss is NaN", f1=[np.nan] * 4, loss=[np.nan] * 4)
    if nan_loss is not None:
        runs[nan_loss]["loss"][2] = np.nan
    return runs


def make_neurons(runs, random, nulls=True):
    R, S = len(runs), len(STAGES)
    saliency = np.empty((R, S, N))
    for r in range(R):
        hidden = random.standard_normal(N) + np.linspace(-1, 1, N) * (1 + 0.2 * runs[r]["seed"])
        for s in range(S):
            saliency[r, s, np.argsort(hidden + 0.5 * s * random.standard_normal(N))] = np.arange(N) / (N - 1)
    pruned = np.zeros((R, S, N), "i1")
    similarity = np.where(random.random((R, S, N)) < 0.05, np.nan, random.random((R, S, N)))
    difference = random.standard_normal((R, S, N)).astype("f4")
    for r in range(R):
        count = int(runs[r]["prune.ratio"] * N)
        order = np.argsort(-saliency[r, 0]) if runs[r]["prune.select"] == "concept" else random.permutation(N)
        pruned[r, 1:, order[:count]] = 1
        if nulls:
            saliency[r, 1:, random.integers(0, N, 2)] = np.nan
        if runs[r]["status"] != "done":
            saliency[r], similarity[r], difference[r], pruned[r] = np.nan, np.nan, np.nan, -1
    return {"saliency": saliency, "similarity": similarity, "mean_difference": difference,
            "effect_size": (difference * 0.5).astype("f4"), "pruned": pruned, "score": np.nan_to_num(saliency)}


def make_epochs(runs):
    epochs = np.full((len(runs), len(STAGES), 2), np.nan)
    for r, run in enumerate(runs):
        if run["status"] == "done":
            base, pruned, first, last = run["f1"]
            epochs[r, 0] = base
            epochs[r, 2] = [pruned + (first - pruned) / 2, first]
            epochs[r, 3] = [(first + last) / 2, last]
    return epochs


# ------------------------------------------------------------------------------------- what the peers say

def plain(value):
    value = np.asarray(value, float)
    return None if value.ndim == 0 and not np.isfinite(value) else (
        float(value) if value.ndim == 0 else [plain(v) for v in value])


def components(neurons):
    out = []
    for s in range(len(STAGES)):
        x = neurons["saliency"][:, s, :]
        present = np.isfinite(neurons["mean_difference"][:, s, 0])
        x = x[present].copy()
        with np.errstate(invalid="ignore"):
            mean = np.array([np.mean(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in x.T])
        holes = ~np.isfinite(x)
        x[holes] = np.broadcast_to(mean, x.shape)[holes]
        x -= x.mean(axis=0)
        R = len(x)
        if R < 2:
            out.append({"num_runs": R, "imputed": int(holes.sum())})
            continue
        u, d, vt = np.linalg.svd(x, full_matrices=False)
        k = min(10, R - 1, N)
        sign = np.sign(vt[np.arange(len(d)), np.abs(vt).argmax(axis=1)])
        out.append({"num_runs": R, "imputed": int(holes.sum()), "total": plain((d ** 2).sum() / (R - 1)),
                    "variance": plain(d[:k] ** 2 / (R - 1)), "score": plain((u * d * sign)[:, :2]), "loading": plain((vt * sign[:, None])[:2])})
    return out


def regression(runs, neurons, keep):
    rows, y, cluster = [], [], []
    for r, run in enumerate(runs):
        if run["status"] != "done" or not keep(run):
            continue
        for n in range(N):
            row = [1.0, neurons["saliency"][r, 0, n], neurons["similarity"][r, 3, n], (n // WIDTH) / (LAYERS - 1),
                   float(neurons["pruned"][r, 1, n])]
            target = neurons["saliency"][r, 3, n]
            if np.isfinite(row).all() and np.isfinite(target):
                rows.append(row), y.append(target), cluster.append(run["seed"])
    x = np.array(rows)
    used = [j for j in range(x.shape[1]) if np.linalg.matrix_rank(x[:, : j + 1]) > np.linalg.matrix_rank(x[:, :j]) or j == 0]
    clusters = len(set(cluster))
    fit = sm.OLS(np.array(y), x[:, used]).fit()
    out = {"used": used, "num_rows": len(y), "num_clusters": clusters, "estimate": plain(fit.params), "r_squared": plain(fit.rsquared)}
    if clusters > 1:
        robust = sm.OLS(np.array(y), x[:, used]).fit(cov_type="cluster", cov_kwds={"groups": np.array(cluster)}, use_t=True)
        out.update(se=plain(robust.bse), t=plain(robust.tvalues), p=plain(robust.pvalues), low=plain(robust.conf_int()[:, 0]),
                   high=plain(robust.conf_int()[:, 1]))
    return out


def variance(runs):
    data = pd.DataFrame([{"y": (r["f1"][3] - r["f1"][1]) / (r["f1"][0] - r["f1"][1]), "select": r["prune.select"],
                          "ratio": r["prune.ratio"], "seed": r["seed"]} for r in runs if r["status"] == "done"])
    table = sm.stats.anova_lm(smf.ols("y ~ C(ratio) + C(select) + C(seed)", data).fit(), typ=2)
    return {"sum_of_squares": plain(table["sum_sq"]), "df": plain(table["df"]), "F": plain(table["F"]), "p": plain(table["PR(>F)"]),
            "total": plain(((data.y - data.y.mean()) ** 2).sum()), "num_runs": len(data)}


def paired(runs):
    """concept - random at ratio 0.3, F1 after pruning, seeds that have both."""
    arm = {s: {r["seed"]: r["f1"][1] for r in runs if r["prune.select"] == s and r["prune.ratio"] == 0.3 and r["status"] == "done"}
           for s in ("concept", "random")}
    d = [arm["concept"][s] - arm["random"][s] for s in sorted(arm["concept"]) if s in arm["random"]]
    d_z = np.mean(d) / np.std(d, ddof=1)
    return {"n": len(d), "difference": float(np.mean(d)), "p": sign_flip(d), "d_z": float(d_z),
            "g_z": float(d_z * (1 - 3 / (4 * (len(d) - 1) - 1))), "superiority": float(np.mean(np.array(d) > 0))}


def agreement(runs, neurons):
    """Cell 0 (concept, 0.1), last stage."""
    rows = [neurons["saliency"][i] for i, r in enumerate(runs) if r["prune.select"] == "concept" and r["prune.ratio"] == 0.1]
    rho, index, chance = [], [], []
    for a, b in itertools.combinations(rows, 2):
        rho.append(st.spearmanr(a[3], b[3], nan_policy="omit").statistic)
        universe = ~((a[0] > 0.5) | (b[0] > 0.5))
        x, y = (a[3] > 0.5) & universe, (b[3] > 0.5) & universe
        n, A, B = universe.sum(), x.sum(), y.sum()
        index.append((x & y).sum() / (x | y).sum())
        chance.append(sum(st.hypergeom.pmf(k, n, A, B) * k / (A + B - k) for k in range(min(A, B) + 1)))
    return {"spearman": float(np.mean(rho)), "jaccard": float(np.mean(index)), "chance": float(np.mean(chance)),
            "relearning": float(np.mean([((r[3] > 0.5) & ~(r[0] > 0.5)).sum() for r in rows]))}


def make_finders(random):
    """Two finders, five seeds, run 9 (probe, seed 4) failed."""
    runs = make_grid(range(5), ("concept",), (0.3,), random) + make_grid(range(5), ("concept",), (0.3,), random, failed=4)
    for i, run in enumerate(runs):
        run.update({"id": f"{i:012x}", "rank.method": "probeless" if i < 5 else "probe"})
    neurons = make_neurons(runs, random, nulls=False)
    rank = np.argsort(np.argsort(-np.nan_to_num(neurons["saliency"]), axis=2, kind="stable"), axis=2, kind="stable")
    neurons["rank"] = np.where(np.isfinite(neurons["saliency"]), rank, -1).astype("i4")
    rho = [st.spearmanr(neurons["rank"][i, 3], neurons["rank"][i + 5, 3]).statistic for i in range(4)]
    overlap = [((neurons["rank"][i, 3] < 4) & (neurons["rank"][i + 5, 3] < 4)).sum() / 4 for i in range(4)]
    return runs, neurons, {"spearman": float(np.mean(rho)), "overlap": float(np.mean(overlap)), "n": 4}


def make_arms():
    """Per seed a pruned run, an unpruned one and a never_learned one. Seed 3 has no never_learned run that is done, seed 2's pruned
    run gains nothing, seed 1 learns faster afresh than it relearns (R = 1)."""
    random = np.random.default_rng(7)
    runs = []
    for seed in range(6):
        for arm, select in (("relearn", "concept"), ("relearn", "none"), ("never_learned", "none")):
            run = make_grid((seed,), (select,), (0.3,), random)[0]
            before, after = (0.1, 0.8) if select == "concept" else (0.9, 0.91) if arm == "relearn" else (0.05, 0.4)
            scores = np.array([0.9, before, (before + after) / 2, after]) + 0.01 * random.standard_normal(4)
            if (seed, arm) == (1, "never_learned"):
                scores[3] = 0.95
            if (seed, select) == (2, "concept"):
                scores[3] = scores[1] - 0.01
            run.update({"id": f"{len(runs):012x}", "arm": arm, "concept_f1": list(scores)})
            if arm == "never_learned":  # another ratio of nothing
                run["prune.ratio"] = 0.1
            if (seed, arm) == (3, "never_learned"):
                run.update(status="failed", error="stuck")
            runs.append(run)
    gain = {(r["seed"], r["arm"], r["prune.select"]): r["concept_f1"][3] - r["concept_f1"][1] for r in runs if r["status"] == "done"}
    R = [min(gain[s, "never_learned", "none"] / gain[s, "relearn", "concept"], 1.0) for s in (0, 1, 4, 5)]
    return runs, make_neurons(runs, random, nulls=False), {"robustness": plain(np.array(R)), "mean": float(np.mean(R))}


def survival(time, censored):
    s = SurvfuncRight(np.array(time, float), 1 - np.array(censored))
    low, high = s.quantile_ci(0.5, method="cloglog")
    return {"time": time, "censored": censored, "low": plain(low), "high": plain(high)}


def sign_flip(d):
    total = abs(sum(d)) - 1e-12 * sum(map(abs, d))
    return sum(abs(sum(s * x for s, x in zip(signs, d))) >= total for signs in itertools.product((1, -1), repeat=len(d))) / 2 ** len(d)


def bca(sample):  # sums of these samples are exact, so that ties are ties here and there
    draws = np.array([sum(s) / len(s) for s in itertools.product(sample, repeat=len(sample))])
    result = st.bootstrap((np.array(sample),), np.mean, n_resamples=0, method="BCa",
                          bootstrap_result=type("R", (), {"bootstrap_distribution": draws})())
    return {"sample": list(sample), "low": float(result.confidence_interval.low), "high": float(result.confidence_interval.high)}


def functions(random):
    p = [random.random() ** 3 for _ in range(12)] + [0.01, 0.01]
    a, b = random.standard_normal(30).round(1), random.standard_normal(30).round(1)
    return {
        "normal_quantile": [[x, st.norm.ppf(x)] for x in (1e-12, 0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 1 - 1e-9)],
        "student": [[t, df, 2 * st.t.sf(t, df)] for t, df in ((0.0, 3), (0.7, 1), (2.2, 7), (12.0, 30), (3.0, 1e5))],
        "student_critical": [[q, df, st.t.isf(q / 2, df)] for q, df in ((0.05, 1), (0.05, 9), (0.001, 4), (0.05, 1e4))],
        "f": [[F, d1, d2, st.f.sf(F, d1, d2)] for F, d1, d2 in ((0.3, 2, 9), (4.5, 1, 14), (30.0, 3, 200))],
        "noncentral_t": [[t, df, d, st.nct.cdf(t, df, d)] for t, df, d in ((2.0, 7, 1.5), (2.3, 9, 3.0), (-2.3, 9, 1.0), (1.98, 99, 2.8))],
        "power": [[d, n, alpha, TTestPower().power(d, n, alpha)] for d, n, alpha in ((0.5, 10, 0.05), (1.2, 6, 0.05), (0.8, 20, 0.001))],
        "pairs_needed": [[d, alpha, int(np.ceil(TTestPower().solve_power(effect_size=d, alpha=alpha, power=0.8) - 1e-9))]
                         for d, alpha in ((0.3, 0.05), (0.8, 0.05), (0.5, 0.0005))],
        "overlap": [[n, A, B, x, st.hypergeom.sf(x - 1, n, A, B)] for n, A, B, x in ((50, 20, 15, 9), (5000, 300, 250, 30), (10, 9, 9, 8))],
        "jaccard_chance": [[n, A, B, sum(st.hypergeom.pmf(x, n, A, B) * x / (A + B - x) for x in range(0, min(A, B) + 1))]
                           for n, A, B in ((50, 20, 15), (1000, 300, 100), (10, 9, 9))],
        "spearman": {"a": a.tolist(), "b": b.tolist(), "rho": st.spearmanr(a, b).statistic},
        "sign_flip": [{"d": d, "p": sign_flip(d)} for d in ([0.3], [0.1, 0.2, 0.4], random.standard_normal(9).tolist(),
                                                            [1.0, -1.0, 2.0, 0.0, 0.5], (0.4 + random.standard_normal(12)).tolist())],
        "benjamini_hochberg": {"p": p, "adjusted": multipletests(p, method="fdr_bh")[1].tolist()},
        "bca": [bca(s) for s in ((1.0, 2.0, 4.0, 8.0, 9.5), (0.875, 0.9375, 0.953125, 0.25), (-1.0, 0.0, 0.125, 3.0, 0.25))],
        "survival": [survival([1, 2, 2, 3, 5, 8, 8, 8], [0, 0, 1, 0, 0, 1, 1, 1]), survival([1, 1, 2, 2, 3, 3, 4, 4, 4, 4], [0] * 8 + [1, 1]),
                     survival([4, 4, 4], [1, 1, 1])],
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(6)
    expected = {"made_with": f"numpy {np.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
                "functions": functions(random)}
    grid = make_grid(range(6), ("concept", "random"), (0.1, 0.3), random, failed=5, nan_loss=8)
    one = make_grid((3,), ("concept",), (0.3,), random)
    constant = make_grid((0, 1, 2), ("concept", "none"), (0.0,), random)
    for name, runs in (("grid", grid), ("one", one), ("constant", constant)):
        neurons = make_neurons(runs, random, nulls=name != "constant")
        if name == "constant":  # nothing pruned; a layer whose neurons never move
            neurons["saliency"][:, :, WIDTH:2 * WIDTH] = 0.5
        write_store(OUT / f"{name}.h5", runs, neurons, make_epochs(runs))
        done = [r["status"] == "done" for r in runs]
        expected[name] = {
            "components": components(neurons),
            "regression": regression(runs, neurons, lambda r: True),
            "layers": {"run": 0, "stage": 2, "saliency": plain(np.nanmean(neurons["saliency"][0, 2].reshape(LAYERS, WIDTH), axis=1)),
                       "share": plain((neurons["saliency"][0, 2] > 0.5).reshape(LAYERS, WIDTH).mean(axis=1)),
                       "mass": plain(np.abs(neurons["mean_difference"][0, 2].astype(float)).reshape(LAYERS, WIDTH).mean(axis=1)),
                       "centre": plain(np.nansum(neurons["saliency"][0, 2] * np.repeat(np.arange(LAYERS), WIDTH)) / np.nansum(neurons["saliency"][0, 2]))},
            "num_done": sum(done)}
        if name == "grid":
            expected[name]["variance"] = variance(runs)
            expected[name]["paired"] = paired(runs)
            expected[name]["agreement"] = agreement(runs, neurons)
            expected[name]["concept_fit"] = regression(runs, neurons, lambda r: r["prune.select"] == "concept")
            cell = [r for r in runs if r["prune.select"] == "concept" and r["prune.ratio"] == 0.3]
            expected[name]["f1_pruned_cell_1"] = plain(np.nanmean([r["f1"][1] for r in cell]))
    runs, neurons, expected["finders"] = make_finders(random)
    write_store(OUT / "finders.h5", runs, neurons, make_epochs(runs))
    runs, neurons, expected["arms"] = make_arms()
    write_store(OUT / "arms.h5", runs, neurons, make_epochs(runs))
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
