"""What neurons mean: similarity to their old meaning, and whether they carry two meanings after relearning."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from . import measures, svg
from .figure import Figure, Table, dot_rows, padded
from .fig_layers import layer_means, layer_table
from .fig_recovery import first_of_each_colour
from .measures import SIMILARITY_BINS, mean_of
from .sweepdata import stage_title
from .words import count, estimate, percent, real, signed

EXAMPLES = 6


def similarity(data):
    panels, rows = [], []
    for arm in first_of_each_colour(data)[:4]:
        counts = sum(data.summaries[int(r)].joint for r in arm.rows)
        panels.append(density_panel(data, arm, counts))
    for arm in data.arms:
        counts = sum(data.summaries[int(r)].joint for r in arm.rows)
        step = 1 / SIMILARITY_BINS
        rows.extend(
            [arm.label, i * step, j * step, int(counts[i, j])]
            for i in range(SIMILARITY_BINS)
            for j in range(SIMILARITY_BINS)
            if counts[i, j]
        )
    rho = [(a.label, data.per_run(a, lambda s: s.spearman_similarity), None) for a in data.arms[:12]]
    panels.append(
        dot_rows(
            "Spearman of similarity and saliency",
            [
                (label, v, mean_of(v), None, svg.colour(data.colour_index(a)))
                for (label, v, _), a in zip(rho, data.arms)
            ],
            padded([x for _, v, _ in rho for x in v], 0),
            "rank correlation within a run, last stage",
            "{:+.2f}",
            reference=0.0,
        )
    )
    head = data.head
    values = data.per_run(head, lambda s: s.spearman_similarity)
    mean = mean_of(values)
    sentence = (
        f"At the last stage of {data.describe(head)} the rank correlation of similarity and saliency within a run is "
        f"{estimate(values, form=signed)}: "
        f"{same_sign(values)}."
        if math.isfinite(mean)
        else "Similarity has no value in the last stage, so there is nothing to correlate."
    )
    return Figure(
        "similarity",
        "Similarity and saliency",
        sentence,
        panels,
        [
            Table("similarity_saliency", ["arm", "similarity_from", "saliency_from", "neurons"], rows),
            Table(
                "similarity_spearman",
                ["arm", "run", "spearman"],
                [
                    [a.label, data.store.runs["id"][r], data.summaries[int(r)].spearman_similarity]
                    for a in data.arms
                    for r in a.rows
                ],
            ),
        ],
        how="Density of neurons over similarity of their top words to those in base (x) and saliency (y), seeds "
        "pooled for the picture; line: mean "
        "saliency at each similarity. The correlation is computed in each run; the interval of the partial effect is "
        "in question 6.",
        lacks_interval=True,
    )


def same_sign(values):
    """What the signs of the seeds' correlations say, and no more."""
    known = values[np.isfinite(values)]
    if (known > 0).all() or (known < 0).all():
        hardly = "if hardly at all, " if abs(known.mean()) < 0.1 else ""
        return f"in {'this run' if len(known) == 1 else 'all these runs'}, {hardly}neurons that kept their old meaning are the {'more' if known[0] > 0 else 'less'} salient ones"
    return "its sign differs between seeds"


def density_panel(data, arm, counts):
    panel = svg.Panel(arm.label if data.varying else "Last stage", height=316, left=40)
    panel.scales((0, 1), (0, 1))
    top = counts.max() if counts.max() > 0 else 1
    wide, tall = (panel.x1 - panel.x0) / SIMILARITY_BINS, (panel.y0 - panel.y1) / SIMILARITY_BINS
    for i in range(SIMILARITY_BINS):
        for j in range(SIMILARITY_BINS):
            if counts[i, j]:
                panel.rect(
                    panel.x0 + i * wide,
                    panel.y0 - (j + 1) * tall,
                    wide - 0.5,
                    tall - 0.5,
                    svg.mixed(svg.VIRIDIS, (counts[i, j] / top) ** 0.4),
                    f"{int(counts[i, j])} neurons",
                )
    middle = (np.arange(SIMILARITY_BINS) + 0.5) / SIMILARITY_BINS
    mean = np.array([(c * middle).sum() / c.sum() if c.sum() >= 10 else np.nan for c in counts])
    panel.line(middle, mean, "var(--paper)", 4.5)
    panel.line(middle, mean, "var(--c1)", 2.2)
    panel.y_axis([0, 0.25, 0.5, 0.75, 1], "saliency")
    panel.x_axis([0, 0.25, 0.5, 0.75, 1], label="similarity to its own base words")
    return panel


def similarity_map(data):
    """Similarity by layer and stage, the counterpart of the saliency maps."""
    panels = []
    for arm in first_of_each_colour(data)[:4]:
        means, stages = layer_means(data, arm, "mean_similarity"), data.arm_stages(arm)
        panels.append(
            svg.heat_panel(
                arm.label if data.varying else "Mean similarity",
                means.T.tolist(),
                list(range(means.shape[1])),
                [stage_title(s) for s in stages],
                0,
                1,
                y_label="layer",
            )
        )
    head = data.head
    table = (
        np.nanmean(data.per_run_stage(head, "mean_similarity")[:, -1], axis=1)
        if np.isfinite(data.per_run_stage(head, "mean_similarity")[:, -1]).any()
        else []
    )
    sentence = f"At the end of {data.describe(head)} a neuron's top words are, on average over layers, {estimate(table)} similar to those it had in base (1 = the same)."
    return Figure(
        "similarity_map",
        "How much of the old meaning is left",
        sentence,
        panels,
        [layer_table(data, "mean_similarity", "similarity_by_layer", "similarity")],
        lacks_interval=not data.stats.present,
        how="Cosine of the mean word vectors of a neuron's top words in base and in this stage; mean over the layer, "
        "then over seeds.",
    )


# ------------------------------------------------------------------------------------------------ primed neurons


def primed(data):
    """Base saliency against last saliency among kept neurons, per run; and the regression of /stats."""
    arms = data.arms[:12]
    values = [data.per_run(a, lambda s: s.spearman_base) for a in arms]
    panels = [
        dot_rows(
            "Spearman of base and last saliency, kept neurons",
            [(a.label, v, mean_of(v), None, svg.colour(data.colour_index(a))) for a, v in zip(arms, values)],
            padded([x for v in values for x in v], 0),
            "rank correlation within a run",
            "{:+.2f}",
            reference=0.0,
        )
    ]
    tables = [
        Table(
            "primed",
            ["arm", "run", "spearman_base_last"],
            [
                [a.label, data.store.runs["id"][r], data.summaries[int(r)].spearman_base]
                for a in data.arms
                for r in a.rows
            ],
        )
    ]
    head = data.per_run(data.head, lambda s: s.spearman_base)
    mean = mean_of(head)
    text = (
        f"Among the neurons that were kept in {data.describe(data.head)}, those salient before pruning "
        f"{'tend to be the salient ones afterwards' if mean > 0 else 'are not the salient ones afterwards'}: rank "
        f"correlation {estimate(head, form=signed)}. "
        if math.isfinite(mean)
        else "Base and last saliency cannot be correlated in any run. "
    )
    found = regression_of(data)
    if found:
        terms, about = found
        shown = [t for t in terms if t != "intercept" and math.isfinite(terms[t].get("estimate", math.nan))]
        panels.append(coefficient_panel(terms, shown))
        tables.append(
            Table(
                "regression",
                ["term", "estimate", "se", "low", "high", "p"],
                [[t, *(terms[t].get(k, math.nan) for k in ("estimate", "se", "low", "high", "p"))] for t in terms],
            )
        )
        text += regression_sentence(terms, about, regression_runs(data, about))
    else:
        text += "The regression that holds layer, pruning and model fixed " + (
            "is not in /stats." if data.stats.present else "needs <code>relearn stats</code>."
        )
    return Figure(
        "primed",
        "Primed neurons",
        text,
        panels,
        tables,
        how="The unit of evidence is the run: correlations are taken within each run, and the regression's "
        "standard errors are clustered by seed.",
        lacks_interval=found is None,
    )


def regression_of(data):
    """The fit of the headline arm's kind of selection where there is one, else of all runs."""
    return data.stats.regression(str(data.head.value("prune.select"))) or data.stats.regression()


def regression_runs(data, about):
    """Which runs the fit is of: more than the headline arm's."""
    runs = count(int(about.get("num_runs", 0)), "run")
    select = str(data.head.value("prune.select"))
    return f"all {runs} with prune.select {escape(select)}" if data.stats.regression(select) else f"all {runs}"


def coefficient_panel(terms, shown):
    colour = svg.colour(0)
    rows = [(t, [], terms[t]["estimate"], (terms[t]["low"], terms[t]["high"]), colour) for t in shown]
    reach = [v for t in shown for v in (terms[t]["low"], terms[t]["high"], terms[t]["estimate"])]
    return dot_rows(
        "Saliency after relearning, regressed on",
        rows,
        padded(reach, None, None, 0.08),
        "coefficient, 95 % interval clustered by seed",
        "{:+.3f}",
        reference=0.0,
    )


def regression_sentence(terms, about, of_runs):
    parts = []
    for term, what in (
        ("base_saliency", "saliency before pruning"),
        ("concept_similarity", "similarity to the concept before pruning (primedness)"),
        ("similarity", "similarity to the old meaning"),
    ):
        t = terms.get(term)
        if not t or not math.isfinite(t["estimate"]):
            continue
        if math.isfinite(t["low"]) and math.isfinite(t["high"]):
            clear = "its interval excludes 0" if t["low"] > 0 or t["high"] < 0 else "its interval includes 0"
            parts.append(
                f"{what} {signed(t['estimate'])} (95 % interval {signed(t['low'])} to {signed(t['high'])}, errors clustered by {count(int(about.get('num_clusters', 0)), 'seed')}; {clear})"
            )
        else:
            parts.append(f"{what} {signed(t['estimate'])} (no interval with {int(about.get('num_clusters', 1))} seed)")
    return (
        f"Over the neurons of {of_runs} that have a saliency at the end, kept or pruned, with layer, pruning and model held fixed, one unit "
        f"more goes with saliency by: {'; '.join(parts)}."
        if parts
        else ""
    )


# ------------------------------------------------------------------------------------------------ polysemanticity

KINDS = (
    ("old_only", "own words only"),
    ("both", "own and lost words"),
    ("new_only", "lost words only"),
    ("neither", "neither"),
)
PAINTS = ("var(--c5)", "var(--c1)", "var(--c2)", "var(--rule)")


def polysemantic(data):
    found = {}
    for arm in data.arms:
        entries = [measures.polysemanticity(data.store, int(r), data.summaries[int(r)]) for r in arm.rows]
        found[arm.label] = [e for e in entries if e is not None and e.kept]
    if not any(found.values()):
        return None
    panels = [stacked_panel(data, found), layer_panel(data, found)]
    rows = [
        [arm.label, data.store.runs["id"][e.row], e.kept, e.old_only, e.both, e.new_only, e.neither]
        for arm in data.arms
        for e in found[arm.label]
    ]
    head = data.head
    shares = np.array([e.both / e.kept for e in found[head.label]])
    text = (
        (
            f"In {data.describe(head)}, {estimate(shares, digits=1, form=percent)} of the kept neurons that had none "
            "of the lost words in base have one at the end while "
            "keeping a word of their own: two meanings at once. "
        )
        if len(shares)
        else f"No neuron of {data.describe(head)} can be judged. "
    )
    control = data.control
    if control is not None and len(found[control.label]) and len(shares):
        other = np.array([e.both / e.kept for e in found[control.label]])
        text += f"In the random control {estimate(other, digits=1, form=percent)}."
    examples = example_cards(data, head, found[head.label])
    return Figure(
        "polysemanticity",
        "Two meanings in one neuron",
        text,
        panels + ([examples] if examples else []),
        [
            Table("polysemanticity", ["arm", "run", "neurons", *(k for k, _ in KINDS)], rows),
            example_table(data, head, found[head.label]),
        ],
        svg.legend([(label, paint, "block") for (_, label), paint in zip(KINDS, PAINTS)]),
        how="Lost words: top words in base of the pruned neurons, at least 3 of them, and more often than the share "
        "of pruned neurons gives (2 standard deviations of "
        "the binomial). Counted are kept neurons without any lost word in base. This follows words, not causes.",
        lacks_interval=True,
    )


def mean_share(entries, kind):
    return mean_of([getattr(e, kind) / e.kept for e in entries]) if entries else math.nan


def stacked_panel(data, found):
    arms = [a for a in data.arms if found[a.label]][:10]
    panel = svg.Panel(
        "Kept neurons at the end, by their top words", height=62 + 42 * len(arms), left=14, right=16, top=30, bottom=34
    )
    panel.scales((0, 1), (0, 1))
    for i, arm in enumerate(arms):
        y, at = panel.y1 + 18 + 42 * i, panel.x0
        panel.text(panel.x0, y - 5, arm.label[:58], "row")
        for (kind, label), paint in zip(KINDS, PAINTS):
            share = mean_share(found[arm.label], kind)
            width = share * (panel.x1 - panel.x0)
            panel.rect(at, y, max(width - 1, 0), 16, paint, f"{label}: {100 * share:.1f} %")
            if width > 30 and kind != "neither":
                panel.text(at + width / 2, y + 12, f"{100 * share:.0f} %", "onbar", "middle")
            at += width
    panel.x_axis([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    return panel


def layer_panel(data, found):
    panel = svg.Panel("Share with two meanings, by layer", height=250, left=44)
    lines = {
        a.label: np.array([e.by_layer for e in found[a.label]]) for a in first_of_each_colour(data) if found[a.label]
    }
    top = max((np.nanmax(v) for v in lines.values() if np.isfinite(v).any()), default=1.0)
    most = max((v.shape[1] for v in lines.values()), default=1)
    panel.scales((-0.3, most - 0.7), (0, max(top * 1.1, 0.01)))
    panel.y_axis(svg.nice_ticks(*panel.ylim), "share")
    panel.x_axis(range(most), label="layer (0 = embeddings)")
    for arm in first_of_each_colour(data):
        if arm.label not in lines:
            continue
        paint, table = svg.colour(data.colour_index(arm)), lines[arm.label]
        for line in table[:30]:
            panel.line(range(table.shape[1]), line, paint, 0.8, opacity=0.4)
        means = [mean_of(c) for c in table.T]
        panel.line(range(table.shape[1]), means, paint, 2.4)
        for l, v in enumerate(means):
            panel.dot(l, v, paint, 3.2, f"{arm.label}, layer {l}: {real(v)}")
    return panel


def examples_of(data, arm, entries):
    """The first seed's most salient neurons with two meanings: (neuron, words [S][k], which of them are lost words)."""
    if not entries:
        return None, []
    entry = entries[0]
    words, vocabulary = data.store.top_words(entry.row), data.store.vocabulary()
    summary = data.summaries[entry.row]
    pruned = data.store.neurons("pruned", entry.row)[min(1, len(summary.stages) - 1)] > 0
    gone = set(measures.lost_words(words, pruned).tolist())
    return entry.row, [
        (int(n), [[(vocabulary[w], int(w) in gone) for w in words[s, n] if w >= 0] for s in range(len(summary.stages))])
        for n in entry.ids[:EXAMPLES]
    ]


def example_table(data, arm, entries):
    row, examples = examples_of(data, arm, entries)
    stages = data.summaries[row].stages if row is not None else []
    layer = data.store.layers(arm.value("model"))
    rows = [
        [data.store.runs["id"][row], n, int(layer[n]), stages[s], " ".join(w for w, _ in words)]
        for n, per_stage in examples
        for s, words in enumerate(per_stage)
    ]
    return Table("example_neurons", ["run", "neuron", "layer", "stage", "top_words"], rows)


def example_cards(data, arm, entries):
    row, examples = examples_of(data, arm, entries)
    if not examples:
        return ""
    layer = data.store.layers(arm.value("model"))
    width = max(int((layer == 0).sum()), 1)
    stages, run = data.summaries[row].stages, data.store.runs["id"][row]
    cards = []
    for n, per_stage in examples:
        lines = "".join(
            f"<dt>{escape(stage_title(s))}</dt><dd>"
            + " ".join(f"<mark>{escape(w)}</mark>" if lost else escape(w) for w, lost in words)
            + "</dd>"
            for s, words in zip(stages, per_stage)
        )
        cards.append(
            f'<div class="neuron"><h4>neuron {n} <small>layer {n // width}, unit '
            f"{n % width}</small></h4><dl>{lines}</dl></div>"
        )
    return (
        f'<div class="neurons"><p class="caption">The most salient examples of run <a href="#run-{run}">{run}</a>; '
        "<mark>marked</mark>: words that the pruned neurons "
        f"had carried.</p>{''.join(cards)}</div>"
    )
