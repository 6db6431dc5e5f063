"""A results.h5 in the layout of docs/formats.md with known, seeded numbers: any axes, any seeds, failed runs, missing values.

write(path, axes={"prune.select": ["concept", "random"]}, seeds=3, failed=[4], ...) -> the path
"""

import itertools
import json

import h5py
import numpy as np

STAGES = ["base", "pruned", "retrained_1", "retrained_2"]
VOCABULARY = [f"word{i}" for i in range(40)] + ["Zürich", "O'Brien", "</script>", "<b>"]
MEASURES = ["f1", "precision", "recall", "accuracy", "loss", "subword_f1"]


def texts(values):
    encoded = [v.encode() for v in values]
    return np.array(encoded, dtype=f"S{max([1] + [len(v) for v in encoded])}")


def design(axes, seeds):
    names = list(axes)
    return [
        dict(zip(names, values), seed=seed) for values in itertools.product(*axes.values()) for seed in range(seeds)
    ]


def f1_of(run, rng):
    """base, pruned, then the F1 after each of 2 epochs in each of 2 rounds."""
    base = 0.9 + 0.02 * rng.random()
    pruned = (0.05 if run.get("prune.select", "concept") == "concept" else 0.2) + 0.02 * rng.random()
    rise = (
        np.array([0.45, 0.66, 0.8, 0.86]) * (0.9 + 0.1 * rng.random()) * (1 - 0.3 * float(run.get("prune.ratio", 0.3)))
    )
    return base, pruned, pruned + (base - pruned) * rise


def write(
    path,
    axes=None,
    seeds=3,
    failed=(),
    nan=(),
    planned=(),
    layers=4,
    width=30,
    model="tiny",
    epochs=2,
    words=True,
    sweep="synthetic",
    curve=False,
    readings=False,
):
    """failed, planned: rows that are so; nan: rows whose F1 is NaN everywhere. A list for `model` makes it an axis. curve: F1 of the concept's types
    and /curve too, with 3 points an epoch."""
    axes = dict(axes or {})
    models = model if isinstance(model, list) else [model]
    runs = design({"model": models, "concept": ["place"], **axes}, seeds)
    rng = np.random.default_rng(7)
    count, num_stages = len(runs), len(STAGES)
    ids = [f"{0xA00000000000 + 4099 * i:012x}" for i in range(count)]
    scores = [f1_of(run, rng) for run in runs]
    absent = set(failed) | set(planned)
    with h5py.File(path, "w") as f:
        f.attrs.update(
            {
                "title": "test",
                "format": "relearn results 1",
                "sweep": sweep,
                "created": "2026-01-01T00:00:00Z",
                "gathered_by": "test",
                "computed_by": "test",
                "numerics_version": "1",
                "gemm_backend": "none",
                "isa": "none",
            }
        )
        f["sweep_yaml"] = np.bytes_(f"sweep: {sweep}\nrank:\n  method: probeless\n")
        f["vocabulary"] = texts(VOCABULARY)
        g = f.create_group("runs")
        g["run"], g["id"] = texts(ids), texts(ids)
        g["status"] = texts(["failed" if i in failed else "planned" if i in planned else "done" for i in range(count)])
        g["error"] = texts(["the loss is NaN at step 3 <script>" if i in failed else "" for i in range(count)])
        g["seconds"] = np.array([np.nan if i in absent else 10.0 + i for i in range(count)])
        g["num_stages"], g["num_pruned"] = np.full(count, num_stages), np.full(count, layers * width // 3)
        for name in ("version", "gemm_backend", "isa", "model_folder"):
            g[name] = texts(["x"] * count)
        for name in runs[0]:
            values = [run[name] for run in runs]
            g[name] = texts(values) if isinstance(values[0], str) else np.array(values)
        for s, stage in enumerate(STAGES):
            for measure in MEASURES:
                at = [[b, p, r[epochs - 1], r[2 * epochs - 1]][s] for b, p, r in scores]
                g[f"{measure}_{stage}"] = np.array([np.nan if i in absent or i in nan else v for i, v in enumerate(at)])
        if curve:
            g["concept_types"], g["concept_f1_note"] = texts(["LOC"] * count), texts([""] * count)
            for s, stage in enumerate(STAGES):
                f1 = g[f"f1_{stage}"][:]
                g[f"concept_f1_{stage}"], g[f"other_f1_{stage}"] = f1 - 0.1 * (s > 0), f1 + 0.01
            points(f, ids, scores, absent, epochs)
        training = f.create_group("training")
        training["run"], training["stage"] = texts(ids), texts(STAGES)
        training["epoch"], training["step"] = np.arange(1, epochs + 1), np.arange(1, 3)
        curve = np.full((count, num_stages, epochs), np.nan)
        for i, (_, _, rise) in enumerate(scores):
            if i not in absent and i not in nan:
                curve[i, 2], curve[i, 3] = rise[:epochs], rise[epochs : 2 * epochs]
        training["f1"] = curve
        training["loss"] = np.zeros((count, num_stages, 2))
        for name in models:
            rows = [i for i, run in enumerate(runs) if run["model"] == name and i not in absent]
            neurons(f, name, [runs[i] for i in rows], [ids[i] for i in rows], layers, width, words)
            if readings:
                of_model(f, name, [runs[i] for i in rows], [ids[i] for i in rows], layers, layers * width)
        if readings:
            of_all(f, ids, [run["seed"] for run in runs], absent)
    return path


def of_model(f, model, runs, ids, layers, num):
    """CKA 1, 0.5, 0.8, 0.9 by stage, plus seed / 100; another concept whose order of neurons never changes; shares of words."""
    seed = np.array([run["seed"] for run in runs]) / 100
    cka = np.array([1.0, 0.5, 0.8, 0.9])[None, :, None] - seed[:, None, None] + np.zeros((1, 1, layers))
    g = f.create_group(f"layers/{model}")
    g["run"], g["cka"] = texts(ids), cka
    a = f.create_group(f"also/{model}")
    a["run"], a["concept"] = texts(ids), texts(["place", "animal"])
    saliency = np.full((len(ids), len(STAGES), 2, num), np.nan)
    saliency[:, :, 1] = np.linspace(0, 1, num)
    a["saliency"] = saliency
    n = f[f"neurons/{model}"]
    for name, values in (("old_share", [1, 0.8, 0.7, 0.6]), ("new_share", [0, 0.1, 0.2, 0.3]), ("concept_share", [0.2, 0.2, 0.3, 0.4]), ("spread", [0.5, 0.6, 0.7, 0.8])):
        n[name] = np.array(values)[None, :, None] + seed[:, None, None] + np.zeros((1, 1, num))


def of_all(f, ids, seeds, absent):
    """F1 by type: LOC loses 0.5, PER 0.1; newly salient neurons cost 0.3, random ones 0.1; other finders share 0.6 and 0.2."""
    there, seed = np.array([np.nan if i in absent else 0.0 for i in range(len(ids))]), np.array(seeds) / 1000
    spread = (there + seed)[:, None, None]
    t = f.create_group("types")
    t["run"], t["stage"], t["type"] = texts(ids), texts(STAGES), texts(["LOC", "PER"])
    t["f1"] = np.array([[0.9, 0.8], [0.4, 0.7], [0.6, 0.75], [0.7, 0.8]])[None] * (1 + spread)
    c = f.create_group("causal")
    c["run"], c["stage"], c["set"] = texts(ids), texts(STAGES), texts(["pruned", "newly_salient", "random_matched"])
    drop = np.full((1, len(STAGES), 3), np.nan)
    drop[0, 2:] = [0.0, 0.3, 0.1]
    c["count"] = np.where(np.isfinite(drop), 40.0, np.nan) + there[:, None, None]
    c["concept_drop"], c["other_drop"] = drop * (1 + spread), drop * 0.1 + spread
    k = f.create_group("finders")
    k["run"], k["stage"], k["finder"] = texts(ids), texts(STAGES), texts(["probeless", "gaussian", "iou"])
    overlap = np.full((1, len(STAGES), 3), np.nan)
    overlap[0, 0] = [np.nan, 0.6, 0.2]
    k["spearman"], k["overlap"] = overlap + spread, overlap + spread
    for s, stage in enumerate(STAGES):
        f["runs"][f"primedness_{stage}"] = there + seed + (np.nan if s == 1 else 0.25)
        f["runs"][f"saliency_entropy_{stage}"] = there + seed + 0.9


def points(f, ids, scores, absent, epochs):
    c = f.create_group("curve")
    c["run"], c["stage"] = texts(ids), texts(STAGES)
    per_stage = 3 * epochs
    step, rho = np.full((len(ids), len(STAGES), per_stage), -1), np.full((len(ids), len(STAGES), per_stage), np.nan)
    for i, (base, pruned, rise) in enumerate(scores):
        if i in absent:
            continue
        step[i, 1, 0], rho[i, 1, 0] = 0, 0.0
        whole = (
            np.interp(np.arange(1, 6 * epochs + 1) / 3, np.arange(len(rise) + 1), np.r_[pruned, rise]) - pruned
        ) / (base - pruned)
        for k in (0, 1):
            step[i, 2 + k], rho[i, 2 + k] = (
                10 * (np.arange(per_stage) + 1 + k * per_stage),
                whole[k * per_stage : (k + 1) * per_stage],
            )
    c["step"], c["recovered"] = step, rho


def neurons(f, model, runs, ids, layers, width, words):
    if not runs:
        return f.require_group("neurons")
    num, shape = layers * width, (len(runs), len(STAGES), layers * width)
    layer = np.repeat(np.arange(layers), width)
    g = f.create_group(f"neurons/{model}")
    g["run"], g["stage"], g["neuron"] = texts(ids), texts(STAGES), np.arange(num)
    g["layer"], g["unit"] = layer.astype(np.int32), (np.arange(num) % width).astype(np.int32)
    score, pruned, null, similarity = (
        np.zeros(shape),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.int8),
        np.zeros(shape),
    )
    rank, saliency = np.zeros(shape, np.int32), np.zeros(shape)
    word = np.zeros(shape + (3,), np.int32)
    for r, run in enumerate(runs):
        rng = np.random.default_rng(run["seed"] + 1)
        base = rng.random(num) + layer / layers
        gone = (
            np.argsort(-base)[: num // 3]
            if run.get("prune.select", "concept") == "concept"
            else rng.permutation(num)[: num // 3]
        )
        for s in range(len(STAGES)):
            score[r, s] = base if s == 0 else 0.6 * base + 0.4 * rng.random(num)
            if s:
                pruned[r, s, gone] = null[r, s, gone] = 1
                score[r, s, gone] = 0
            order = np.argsort(-score[r, s], kind="stable")
            rank[r, s, order] = np.arange(num)
            saliency[r, s] = 1 - rank[r, s] / (num - 1)
            saliency[r, s, null[r, s] == 1] = np.nan
            similarity[r, s] = 1.0 if s == 0 else rng.random(num)
            word[r, s] = rng.integers(0, 20, (num, 3))
            word[r, s, :, 0] = np.arange(num) % 20
            word[r, s, gone, 1] = 20 + np.arange(len(gone)) % 4 if s == 0 else 40
            if s:
                word[r, s, ::5, 2] = 20 + np.arange(len(word[r, s, ::5])) % 4
            word[r, s, 3, 1], word[r, s, 6, 2] = 42, -1
    for name, values in (
        ("score", score),
        ("rank", rank),
        ("saliency", saliency),
        ("similarity", similarity),
        ("mean_difference", score.astype("f4")),
        ("effect_size", score.astype("f4")),
        ("sd", score.astype("f4")),
        ("null", null),
        ("pruned", pruned),
    ):
        g[name] = values
    if words:
        w = f.create_group(f"words/{model}")
        w["run"], w["word"], w["score"] = texts(ids), word, np.ones(word.shape)


def journal(path, days):
    """{run id: day}: a journal whose runs were finished on those days, and one torn line."""
    with open(path, "w") as file:
        for run, day in days.items():
            file.write(json.dumps({"event": "done", "stage": "shard", "run": run, "time": f"{day}T03:00:00Z"}) + "\n")
        file.write('{"event": "done", "sta')


# ------------------------------------------------------------------------------------------------ /stats, with invented numbers


def estimate(group, name, value, low, high, n, shape):
    for tail, x in (("", value), ("_low", low), ("_high", high), ("_sd", 0.1)):
        group[name + tail] = np.full(shape, x)
    group[f"{name}_n"] = np.full(shape, n, np.int32)


def stats(path, sign=-1, gathered=None, primed=None, two_epochs=(0.2, 0.9)):
    """/stats as docs/results-format.md has it, for a store of one model whose only axis is prune.select: intervals are invented, so that a page
    that shows them can only have read them. sign: the direction of concept minus random in the centre of mass; primed: the sign of the partial effect of
    similarity to the concept (None: there is none); two_epochs: the interval of what is back by then."""
    with h5py.File(path, "r+") as f:
        runs = list(f["runs/run"][:])
        select = f["runs/prune.select"][:] if "prune.select" in f["runs"] else np.array([b"concept"] * len(runs))
        cells = sorted(set(select))
        layers = int(f["neurons/tiny/layer"][:].max()) + 1
        g = f.create_group("stats")
        g.attrs.update(
            {
                "format": "relearn stats 1",
                "computed_by": "test",
                "gathered": gathered or f.attrs["created"],
                "level": "0.95",
                "q": "0.05",
                "draws": "10000",
                "random_seed": "1",
                "salient_above": "0.5",
                "smallest_drop": "0.01",
                "skipped": "finders: add rank.method",
            }
        )
        r = g.create_group("runs")
        r["run"], r["cell"] = np.array(runs), np.array([cells.index(s) for s in select], np.int32)
        scores = g.create_group("scores")
        scores["stage"] = texts(STAGES)
        estimate(scores, "f1", 0.5, 0.4, 0.6, 6, (len(cells), len(STAGES)))
        recovery = g.create_group("recovery")
        estimate(recovery, "rho", 0.8, 0.123 if sign > 0 else 0.623, 0.487 if sign > 0 else 0.987, 6, (len(cells), 3))
        recovery["rho_low"][0], recovery["rho_high"][0] = (0.123, 0.487) if sign > 0 else (0.123, 0.987)
        estimate(recovery, "rho_epoch", 0.8, *two_epochs, 6, (len(cells), 5))
        estimate(recovery, "area", 0.7, 0.65, 0.75, 6, (len(cells),))
        layer = g.create_group("layers/tiny")
        layer["cell"], layer["stage"] = np.arange(len(cells), dtype=np.int32), texts(STAGES)
        for name in ("saliency", "share", "similarity"):
            estimate(layer, name, 0.5, 0.25, 0.75, 6, (len(cells), len(STAGES), layers))
        for name in ("centre", "centre_mass"):
            estimate(layer, name, 1.5, 1.25, 1.75, 6, (len(cells), len(STAGES)))
        comparison = g.create_group("comparisons")
        rows = [("rho", "retrained_2"), ("centre", "retrained_2")]
        low, high = sorted((0.2 * sign, 0.4 * sign))
        for name, value in (
            ("family", "prune.select"),
            ("arm_a", "concept"),
            ("arm_b", "random"),
            ("context", "all"),
            ("verdict", "claimed"),
        ):
            comparison[name] = texts([value] * len(rows))
        comparison["measure"], comparison["stage"] = texts([m for m, _ in rows]), texts([s for _, s in rows])
        for name, value in (
            ("cell_a", 0),
            ("cell_b", 1),
            ("layer", -1),
            ("n", 6),
            ("missing", 0),
            ("claimed", 1),
            ("family_size", 2),
        ):
            comparison[name] = np.full(len(rows), value, np.int32)
        for name, value in (
            ("difference", 0.3 * sign),
            ("low", low),
            ("high", high),
            ("p", 0.03125),
            ("p_adjusted", 0.03125),
            ("mean_a", 1.0),
            ("mean_b", 1.0),
        ):
            comparison[name] = np.full(len(rows), value)
        regression = g.create_group("regression")
        terms = ["intercept", "base_saliency", "similarity" if primed is None else "concept_similarity", "depth", "pruned"]
        regression["fit"], regression["term"] = texts(["all"]), texts(terms)
        for name, value in (("estimate", 0.4), ("se", 0.1), ("p", 0.01), ("low", 0.2), ("high", 0.6)):
            regression[name] = np.full((1, len(terms)), value * (1 if sign < 0 else -1))
        if sign > 0:
            regression["low"][...], regression["high"][...] = -0.6, -0.2
        if primed is not None:
            for name, value in (("estimate", 0.4), ("low", 0.4 - 0.2), ("high", 0.4 + 0.2)):
                regression[name][0, 2] = value * primed if primed else value - 0.4
            if primed < 0:
                regression["low"][0, 2], regression["high"][0, 2] = -0.6, -0.2
        agreement = g.create_group("agreement/tiny")
        agreement["cell"], agreement["stage"] = np.arange(len(cells), dtype=np.int32), texts(STAGES)
        for name, low, high in (("spearman", 0.111, 0.222), ("jaccard_excess", 0.0123, 0.0345)):
            agreement[f"{name}_low"], agreement[f"{name}_high"] = (np.full((len(cells), len(STAGES)), v) for v in (low, high))
        for name, value in (("num_runs", 12), ("num_clusters", 6), ("num_rows", 1000), ("r_squared", 0.5)):
            regression[name] = np.array([value])
