"""The readings beside saliency: entity types, other concepts, CKA, primedness, meanings, the causal check, finders within a run."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from . import measures, svg
from .fig_recovery import any_run, filter_of, first_of_each_colour
from .figure import Figure, Table, dot_rows, padded
from .measures import mean_of
from .store import stage_title
from .words import estimate, join, percent, real, signed

TOP = 0.1  # of a concept's neurons: "its most salient tenth"


def finite_mean(table):
    return np.array([mean_of(c) for c in np.asarray(table, float).T])


def legend_of(data, arms):
    return svg.legend(
        [(data.colour_label(a), svg.colour(data.colour_index(a)), "line", "#runs", filter_of(data, a)) for a in arms]
    )


def stage_panel(title, data, lines, y_label="", low=None, high=None, height=262):
    """lines: (colour, label, values [n, S], intervals [S] of (low, high) or None). A dot a stage, a thin line a seed."""
    most = max(v.shape[1] for _, _, v, _ in lines)
    stages = max((data.arm_stages(a) for a in data.arms), key=len)[:most]
    panel = svg.Panel(title, height=height, left=46)
    panel.scales((-0.3, most - 0.7), padded([x for _, _, v, _ in lines for x in v.ravel()], low, high, 0.1))
    panel.y_axis(svg.nice_ticks(*panel.ylim), y_label)
    panel.x_axis(range(most), [stage_title(s) for s in stages], rotate=most > 6)
    for paint, label, values, intervals in lines:
        known = [i if i else (math.nan, math.nan) for i in intervals]
        panel.band(range(len(known)), [k[0] for k in known], [k[1] for k in known], paint)
        if len(lines) <= 4:
            for line in values[:30]:
                panel.line(range(len(line)), line, paint, 0.8, opacity=0.4)
        mean = finite_mean(values)
        panel.line(range(len(mean)), mean, paint, 2.4)
        for x, v in enumerate(mean):
            panel.dot(x, v, paint, 3.2, f"{label}: {real(v)}")
    return panel


def intervals_of(values):
    """Of each column, over seeds."""
    return [measures.bca(column) for column in np.asarray(values, float).T]


def stage_rows(data, arm, values, *more):
    intervals = intervals_of(values)
    return [
        [arm.label, stage, *more, int(np.isfinite(values[:, s]).sum()), mean_of(values[:, s]), *(intervals[s] or (math.nan, math.nan))]
        for s, stage in enumerate(data.arm_stages(arm)[: values.shape[1]])
    ]


def per_stage(data, arm, of_run):
    """[n, S]: of_run(row, number of its stages) -> [S'], padded with NaN."""
    num = len(data.arm_stages(arm))
    table = np.full((arm.n, num), math.nan)
    for i, r in enumerate(arm.rows):
        found = of_run(int(r), len(data.summaries[int(r)].stages))
        if found is not None:
            table[i, : len(found)] = found
    return table


# ------------------------------------------------------------------------------------------------ entity types


def entity_types(data):
    """F1 of every entity type by stage. None in a store without /types."""
    names = data.store.names("types", "type")
    if not names:
        return None
    arms = [a for a in (data.head, data.control) if a is not None]
    panels, rows = [], []
    for arm in data.arms:
        lines = []
        for t, name in enumerate(names):
            values = per_stage(data, arm, lambda r, own: column_of(data.store.by_run("types", "f1", r), own, t))
            rows.extend(stage_rows(data, arm, values, name))
            lines.append((svg.colour(t), name, values, intervals_of(values)))
        if arm in arms and any(np.isfinite(v).any() for _, _, v, _ in lines):
            panels.append(stage_panel(arm.label if data.varying else "F1 by entity type", data, lines, "F1", 0, 1))
    if not panels:
        return None
    fallen = []
    for t, name in enumerate(names):
        values = per_stage(data, data.head, lambda r, own: column_of(data.store.by_run("types", "f1", r), own, t))
        if values.shape[1] > 1 and np.isfinite(values[:, 0] - values[:, 1]).any():
            fallen.append((mean_of(values[:, 0] - values[:, 1]), name, values))
    if not fallen:
        return None
    drop, name, values = max(fallen, key=lambda f: f[0])
    sentence = (
        f"In {data.describe(data.head)} pruning took most from <em>{escape(name)}</em>: {estimate(values[:, 0] - values[:, 1])} of its F1, and "
        f"{estimate(values[:, 0] - values[:, -1], form=signed)} is still missing at the end. "
        + "The others lost "
        + join(f"{escape(n)} {real(d)}" for d, n, _ in sorted(fallen, reverse=True) if n != name)
        + "."
    )
    return Figure(
        "types",
        "Entity type by entity type",
        sentence,
        panels,
        [Table("types_f1", ["arm", "stage", "type", "seeds", "f1", "low", "high"], rows)],
        svg.legend([(n, svg.colour(i), "line") for i, n in enumerate(names)]),
        "Word-level F1 of each entity type on the validation data (from /types).",
    )


def column_of(values, own, at):
    return None if values is None else values[:own, at]


# ------------------------------------------------------------------------------------------------ CKA


def cka(data):
    """Linear CKA of every layer to the unpruned model. None where the store has none."""
    arms = first_of_each_colour(data)[:4]
    panels, rows = [], []
    for arm in data.arms:
        table = layer_table(data, arm, "cka")
        if table is None:
            continue
        for s, stage in enumerate(data.arm_stages(arm)):
            for l, interval in enumerate(intervals_of(table[:, s])):
                rows.append([arm.label, stage, l, int(np.isfinite(table[:, s, l]).sum()), mean_of(table[:, s, l]), *(interval or (math.nan, math.nan))])
        if arm in arms:
            means = np.array([[mean_of(table[:, s, l]) for l in range(table.shape[2])] for s in range(table.shape[1])])
            panels.append(
                svg.heat_panel(
                    arm.label if data.varying else "CKA to the unpruned model",
                    means.T.tolist(),
                    list(range(means.shape[1])),
                    [stage_title(s) for s in data.arm_stages(arm)],
                    0,
                    1,
                    y_label="layer",
                )
            )
    head = layer_table(data, data.head, "cka")
    if not panels or head is None or head.shape[1] < 2:
        return None
    pruned, last = (np.array([mean_of(v) for v in head[:, s]]) for s in (1, -1))
    back = last - pruned
    sentence = (
        f"Averaged over layers, the representations of {data.describe(data.head)} have a CKA of {estimate(pruned)} with the unpruned model "
        f"right after pruning and of {estimate(last)} at the end: retraining changed it by {estimate(back, form=signed)}."
    )
    return Figure(
        "cka",
        "How far the representations are from the unpruned model's",
        sentence,
        panels,
        [Table("cka", ["arm", "stage", "layer", "seeds", "cka", "low", "high"], rows)],
        how="Debiased linear CKA (Nguyen et al. 2021) of a layer's hidden states at the words of the concept corpus; 1 = the same up to "
        "rotation and scale (from /layers). F1 may be back where the representation is not.",
    )


def layer_table(data, arm, name):
    """[n, S, L] of /layers; None where there is none or nothing in it."""
    tables = []
    num = len(data.arm_stages(arm))
    for r in arm.rows:
        values = data.store.by_run(f"layers/{arm.value('model')}", name, int(r))
        if values is None:
            return None
        own = values[: len(data.summaries[int(r)].stages)]
        tables.append(np.concatenate([own, np.full((num - len(own), values.shape[1]), math.nan)]))
    table = np.array(tables)
    return table if np.isfinite(table).any() else None


# ------------------------------------------------------------------------------------------------ other concepts


def other_concepts(data):
    """What pruning one concept does to the order of neurons for the others (/also). None where the sweep follows no other."""
    group = f"also/{data.head.value('model')}"
    names = data.store.names(group, "concept")
    if not names:
        return None
    arms, rows = [a for a in data.arms if a.value("model") == data.head.value("model")], []
    dots = {"gone": [], "kept": []}
    for arm in arms:
        for name, gone, kept in fates(data, arm, group, names):
            for key, values in (("gone", gone), ("kept", kept)):
                dots[key].append((f"{arm.label}: {name}" if data.varying else name, values, mean_of(values), measures.bca(values), svg.colour(data.colour_index(arm))))
            rows.extend(
                [arm.label, data.store.runs["id"][r], name, float(g), float(k)] for r, g, k in zip(arm.rows, gone, kept)
            )
    if not any(np.isfinite(v).any() for _, v, *_ in dots["gone"] + dots["kept"]):
        return None
    shown = 12
    panels = [
        dot_rows("Pruned of the concept's most salient tenth", dots["gone"][:shown], (0, 1), "share (chance: the share pruned)", "{:.2f}"),
        dot_rows("Order of the kept neurons, base to last stage", dots["kept"][:shown], padded([v for d in dots["kept"] for v in d[1]], 0, 1), "Spearman of saliency", "{:+.2f}"),
    ]
    head = [(n, g, k) for n, g, k in fates(data, data.head, group, names)]
    sentence = f"Pruning {escape(str(data.head.value('concept')))} in {data.describe(data.head)} took " + join(
        f"{estimate(g, form=percent, digits=1)} of the most salient tenth of <em>{escape(n)}</em>{' (its own)' if n == data.head.value('concept') else ''}"
        for n, g, _ in head
    )
    sentence += "; the kept neurons' order at the end correlates with that of base at " + join(
        f"{estimate(k, form=signed)} for <em>{escape(n)}</em>" for n, _, k in head
    )
    return Figure(
        "also",
        "What happens to the other concepts",
        sentence + ".",
        panels,
        [Table("other_concepts", ["arm", "run", "concept", "pruned_of_top_tenth", "spearman_base_last"], rows)],
        how="Each concept's own saliency, of the same models, from /also; the run's own concept is beside the others."
        + (f" {len(dots['gone']) - shown} further rows are in the CSV." if len(dots["gone"]) > shown else ""),
    )


def fates(data, arm, group, names):
    """(concept, [n] pruned share of its top tenth in base, [n] Spearman base to last among kept), the run's own concept first."""
    own = str(arm.value("concept"))
    order = [own] + [n for n in names if n != own]
    out = []
    for name in order:
        gone, kept = [], []
        for r in arm.rows:
            saliency = data.store.neurons("saliency", int(r)) if name == own else also(data, group, "saliency", int(r), names.index(name))
            pruned = data.store.neurons("pruned", int(r))
            stages = len(data.summaries[int(r)].stages)
            if saliency is None or stages < 2:
                gone.append(math.nan), kept.append(math.nan)
                continue
            cut = pruned[1] > 0
            known = np.flatnonzero(np.isfinite(saliency[0]))
            top = known[np.argsort(-saliency[0][known], kind="stable")][: max(1, int(TOP * len(known)))]
            gone.append(float(cut[top].mean()) if len(top) else math.nan)
            kept.append(measures.spearman(saliency[0][~cut], saliency[stages - 1][~cut]))
        out.append((name, np.array(gone), np.array(kept)))
    return out


def also(data, group, name, row, concept):
    values = data.store.by_run(group, name, row)
    if values is None:
        return None
    values = values[:, concept]
    return values if np.isfinite(values[0]).any() else None


# ------------------------------------------------------------------------------------------------ primedness, spread of saliency


def score_figure(data, name, ident, title, y_label, sentence, how, low=None, high=None, zero=False):
    """A measure that /runs has by stage, arm by arm. None where no run has a value."""
    tables = {a.label: np.array([data.store.score(name, s, a.rows) for s in data.arm_stages(a)], float).T.reshape(a.n, -1) for a in data.arms}
    if not any(np.isfinite(t).any() for t in tables.values()):
        return None
    arms = [a for a in first_of_each_colour(data) if np.isfinite(tables[a.label]).any()]
    if not arms:
        return None
    lines = [(svg.colour(data.colour_index(a)), a.label, tables[a.label], intervals_of(tables[a.label])) for a in arms]
    panel = stage_panel(title, data, lines, y_label, low, high)
    if zero and panel.ylim[0] <= 0 <= panel.ylim[1]:
        panel.add(f'<path class="reference" d="M{panel.x0} {svg.number(panel.y(0), 1)}H{panel.x1}"/>')
    rows = [row for a in data.arms for row in stage_rows(data, a, tables[a.label])]
    return Figure(ident, title, sentence(tables[data.head.label]), [panel], [Table(ident, ["arm", "stage", "seeds", name, "low", "high"], rows)], legend_of(data, arms), how)


def primedness(data):
    def sentence(table):
        if not np.isfinite(table[:, -1]).any():
            return f"Primedness has no value in the last stage of {data.describe(data.head)}."
        interval = measures.bca(table[:, -1])
        clear = interval and (interval[0] > 0 or interval[1] < 0)
        return (
            f"Over the pruned neurons of {data.describe(data.head)}, similarity to the concept before it was pruned and saliency after relearning "
            f"have a rank correlation of {estimate(table[:, -1], form=signed)}"
            + (": what meant something like the concept before " + ("takes more of it up." if mean_of(table[:, -1]) > 0 else "takes less of it up.") if clear else ", which does not tell primed from unprimed neurons.")
        )

    return score_figure(
        data, "primedness", "primedness", "Primedness of the neurons that regained it", "rank correlation", sentence,
        "Spearman over pruned neurons (those that were silenced and may regrow): cosine of the base top words with the concept's centroid, against "
        "saliency in the stage (from /runs).", zero=True,
    )


def entropy(data):
    def sentence(table):
        change = table[:, -1] - table[:, 0]
        return (
            f"The concept's saliency is spread over the layers with an entropy of {estimate(table[:, 0])} in base, {estimate(table[:, 1])} right after pruning and "
            f"{estimate(table[:, -1])} at the end of {data.describe(data.head)} (1 = evenly): from base to the end it changed by {estimate(change, form=signed)}."
            if table.shape[1] > 1
            else f"The concept's saliency is spread over the layers with an entropy of {estimate(table[:, 0])} in base (1 = evenly)."
        )

    return score_figure(
        data, "saliency_entropy", "entropy", "How evenly layers share the concept", "entropy", sentence,
        "Entropy over layers of summed saliency, divided by that of an even spread (redistribution, protocol §12; from /runs).",
    )


# ------------------------------------------------------------------------------------------------ meanings


MEANINGS = (
    ("old_share", "own words of base", 5),
    ("new_share", "new words of the concept", 1),
    ("concept_share", "words of the concept", 2),
    ("spread", "spread of meaning", 3),
)


def meanings(data):
    """Mean over kept neurons of the shares of top words, by stage. None where the store has no readings."""
    if not data.store.has_array("old_share", data.head.value("model")):
        return None
    tables, rows = {}, []
    for arm in data.arms:
        for name, _, _ in MEANINGS:
            tables[arm.label, name] = per_stage(data, arm, lambda r, own: kept_means(data, r, own, name))
            rows.extend(stage_rows(data, arm, tables[arm.label, name], name))
    shown = [a for a in (data.head, data.control) if a is not None]
    panels = []
    for arm in shown:
        lines = [(svg.colour(c), label, tables[arm.label, n], intervals_of(tables[arm.label, n])) for n, label, c in MEANINGS if np.isfinite(tables[arm.label, n]).any()]
        if lines:
            panels.append(stage_panel(arm.label if data.varying else "Kept neurons' top words", data, lines, "mean over kept neurons", 0, 1))
    new, spread = (tables[data.head.label, n] for n in ("new_share", "spread"))
    if not panels or new.shape[1] < 2 or not np.isfinite(new[:, -1]).any():
        return None
    sentence = (
        f"At the end of {data.describe(data.head)}, {estimate(new[:, -1], form=percent, digits=1)} of a kept neuron's top words are words of the concept that it did "
        f"not have in base ({estimate(new[:, 1], form=percent, digits=1)} right after pruning), and the words of one neuron lie "
        f"{estimate(spread[:, -1])} apart (base: {estimate(spread[:, 0])}; larger = more meanings in one neuron)."
    )
    return Figure(
        "meanings", "Polysemanticity before and after", sentence, panels,
        [Table("meanings", ["arm", "stage", "measure", "seeds", "mean", "low", "high"], rows)],
        svg.legend([(label, svg.colour(c), "line") for _, label, c in MEANINGS]),
        "Shares of a neuron's top words, and mean pairwise distance 1 - cos of their vectors (spread); mean over neurons that were not pruned and have "
        "words, then over seeds (from /neurons).",
    )


def kept_means(data, row, own, name):
    values = data.store.neurons(name, row)[:own]
    kept = data.store.neurons("pruned", row)[min(1, own - 1)] <= 0
    return np.array([mean_of(v[kept]) for v in values])


# ------------------------------------------------------------------------------------------------ the causal check


def causal(data):
    """F1 lost when a set of neurons is zeroed at a stage, against as many matched random ones. None without analyse.causal."""
    names = data.store.names("causal", "set")
    if not names:
        return None
    rows, dots = [], []
    for arm in data.arms:
        for i, name in enumerate(names):
            drops = {w: per_stage(data, arm, lambda r, own: column_of(data.store.by_run("causal", w, r), own, i)) for w in ("concept_drop", "other_drop")}
            if not np.isfinite(drops["concept_drop"]).any():
                continue
            for s, stage in enumerate(data.arm_stages(arm)):
                for w in drops:
                    interval = measures.bca(drops[w][:, s]) or (math.nan, math.nan)
                    rows.append([arm.label, stage, name, w, int(np.isfinite(drops[w][:, s]).sum()), mean_of(drops[w][:, s]), *interval])
            last = drops["concept_drop"][:, -1]
            if arm in (data.head, data.control) and np.isfinite(last).any():
                label = name.replace("_", " ")
                dots.append((f"{arm.label}: {label}" if data.varying else label, last, mean_of(last), measures.bca(last), svg.colour(i)))
    if not dots:
        return None
    found = {}
    for i, name in enumerate(names):
        values = per_stage(data, data.head, lambda r, own: column_of(data.store.by_run("causal", "concept_drop", r), own, i))[:, -1]
        if np.isfinite(values).any():
            found[name] = values
    if not found:
        return None
    sentence = f"Zeroed at the end of {data.describe(data.head)}, " + join(f"the {n.replace('_', ' ')} neurons cost {estimate(v)} F1" for n, v in found.items()) + "."
    if "newly_salient" in found and "random_matched" in found:
        d = found["newly_salient"] - found["random_matched"]
        interval, sizes = measures.bca(d), set_sizes(data, names)
        sentence += f" Newly salient minus random: {estimate(d, form=signed)}; " + (
            f"no fair comparison: {' and '.join(sizes)} neurons (computed before relearn drew as many)." if sizes[0] != sizes[1]
            else "the concept rests on them more than on others of their layers." if interval and interval[0] > 0
            else "the model does not rest on them more than on others." if interval and interval[1] < 0
            else "that they are salient does not show that the concept rests on them."
        )
    panel = dot_rows("F1 lost without these neurons, last stage", dots, padded([v for d in dots for v in d[1]], 0), "F1 of the concept that is lost", "{:+.3f}", reference=0.0)
    return Figure(
        "causal", "Does the concept rest on the neurons that look salient?", sentence, [panel],
        [Table("causal", ["arm", "stage", "neurons", "measure", "seeds", "drop", "low", "high"], rows)],
        how="Each set is zeroed in the forward pass for one evaluation (from /causal; <code>analyse.causal</code>): the pruned neurons, those that became salient, and as many "
        "random ones of the same layers.",
    )


def set_sizes(data, names):
    """Neurons that were zeroed at the end, newly salient and random: means over the runs of the headline arm, as text."""
    means = []
    for name in ("newly_salient", "random_matched"):
        values = per_stage(data, data.head, lambda r, own: column_of(data.store.by_run("causal", "count", r), own, names.index(name)))
        means.append(real(mean_of(values[:, -1]), 0))
    return means


# ------------------------------------------------------------------------------------------------ finders within a run


def within_run(data):
    """The run's own ranking against the other finders' on the same activations (/finders). None where they were not computed."""
    names = data.store.names("finders", "finder")
    if not names:
        return None
    values = {}
    for arm in data.arms:
        for i, name in enumerate(names):
            table = {w: per_stage(data, arm, lambda r, own: column_of(data.store.by_run("finders", w, r), own, i)) for w in ("spearman", "overlap")}
            if np.isfinite(table["overlap"]).any():
                values[arm.label, name] = table
    shown = [(n, values[data.head.label, n]) for n in names if (data.head.label, n) in values]
    if not shown:
        return None
    rows = [
        [arm.label, stage, n, int(np.isfinite(t["overlap"][:, s]).sum()), mean_of(t["spearman"][:, s]), mean_of(t["overlap"][:, s])]
        for arm in data.arms for n in names if (arm.label, n) in values for t in [values[arm.label, n]]
        for s, stage in enumerate(data.arm_stages(arm))
    ]
    panels = []
    for w, title, x_label in (
        ("spearman", "Spearman with the run's own finder, base", "rank correlation"),
        ("overlap", "Shared among the most important hundredth, base", "share (chance: 0.01)"),
    ):
        dots = [(n, t[w][:, 0], mean_of(t[w][:, 0]), measures.bca(t[w][:, 0]), svg.colour(0)) for n, t in shown]
        panels.append(dot_rows(title, dots, padded([v for d in dots for v in d[1]], 0, 1), x_label, "{:+.2f}" if w == "spearman" else "{:.2f}"))
    ordered = sorted(shown, key=lambda p: mean_of(p[1]["overlap"][:, 0]))
    (low, least), (high, most) = ordered[0], ordered[-1]
    sentence = f"Beside the finder that {data.describe(data.head)} ranks with, <em>{escape(high)}</em> names the most of the same neurons in base: of the most important hundredth {estimate(most['overlap'][:, 0])} is common (chance: 0.010)"
    sentence += f"; <em>{escape(low)}</em> the fewest, {estimate(least['overlap'][:, 0])}." if low != high else "."
    return Figure(
        "finders_within", "Other finders on the same activations", sentence, panels,
        [Table("finders_within_run", ["arm", "stage", "finder", "seeds", "spearman", "overlap"], rows)],
        how="Computed inside each run on the same activations (from /finders); later stages, where they have them, are in the CSV.",
    )
