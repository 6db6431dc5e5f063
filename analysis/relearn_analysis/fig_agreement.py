"""Do finders agree, do seeds agree, do model families agree."""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import measures, svg
from .figure import Figure, Table, dot_rows, padded
from .fig_recovery import any_run, rho_interval
from .measures import mean_of
from .words import count, estimate, interval_name, join, real, signed

MAX_SEEDS = 16


# ------------------------------------------------------------------------------------------------ finders


def finder_pairs(data):
    """{(method a, method b): ([spearman], [overlap of the top 10 %])} of base scores' ranks; one value a seed: the mean over arms that differ in
    the method alone. Arms of a seed may share its base model, so they are no repetitions."""
    rows = {}
    for arm in data.arms:
        rest = tuple((k, v) for k, v in arm.key if k != "rank.method")
        for r, seed in zip(arm.rows, data.seeds(arm)):
            rows.setdefault((rest, seed), {})[arm.value("rank.method")] = int(r)
    by_seed = {}
    for (_, seed), methods in rows.items():
        ranks = {m: data.store.neurons("rank", r)[0] for m, r in methods.items()}
        for a, b in itertools.combinations(sorted(ranks), 2):
            known = (ranks[a] >= 0) & (ranks[b] >= 0)
            top = max(1, int(0.1 * int(known.sum()) + 0.5))  # as in /stats
            ra, rb = (
                np.argsort(np.where(known, ranks[a], np.inf), kind="stable")[:top],
                np.argsort(np.where(known, ranks[b], np.inf), kind="stable")[:top],
            )
            rho, overlap = by_seed.setdefault((a, b), {}).setdefault(seed, ([], []))
            rho.append(measures.spearman(np.where(known, ranks[a], np.nan), np.where(known, ranks[b], np.nan)))
            overlap.append(len(np.intersect1d(ra, rb)) / top)
    return {
        pair: tuple([mean_of(values[k]) for _, values in sorted(seeds.items())] for k in (0, 1))
        for pair, seeds in by_seed.items()
    }


def finders(data):
    """None where rank.method is no axis."""
    if "rank.method" not in data.varying:
        return None
    pairs = finder_pairs(data)
    if not pairs:
        return None
    names = sorted({m for pair in pairs for m in pair})
    matrices = []
    for k in (0, 1):
        table = np.full((len(names), len(names)), math.nan)
        for (a, b), values in pairs.items():
            table[names.index(a), names.index(b)] = table[names.index(b), names.index(a)] = mean_of(values[k])
        matrices.append(table)
    panels = [
        svg.heat_panel(
            "Spearman of the rankings in base",
            matrices[0].tolist(),
            names,
            names,
            -1,
            1,
            "{:+.2f}",
            svg.DIVERGING,
        ),
        svg.heat_panel("Shared among the top 10 %", matrices[1].tolist(), names, names, 0, 1),
    ]
    ordered = sorted(pairs.items(), key=lambda item: mean_of(item[1][1]))
    (low, low_values), (high, high_values) = ordered[0], ordered[-1]
    sentence = (
        f"<em>{high[0]}</em> and <em>{high[1]}</em> share {estimate(high_values[1])} of their top 10 % (chance: 0.100)"
    )
    if low != high:
        sentence += f"; <em>{low[0]}</em> and <em>{low[1]}</em>, the least alike, {estimate(low_values[1])}"
    rows = [[a, b, len(v[0]), mean_of(v[0]), mean_of(v[1])] for (a, b), v in sorted(pairs.items())]
    return Figure(
        "finders",
        "Do finders agree?",
        sentence + ".",
        panels,
        [Table("finder_agreement", ["finder_a", "finder_b", "pairs", "spearman", "overlap_top_10_percent"], rows)],
        how="Arms that differ in <code>rank.method</code> alone, seed by seed; means over seeds. Rankings of the "
        "unpruned, fine-tuned model.",
        lacks_interval=not data.stats.present,
    )


# ------------------------------------------------------------------------------------------------ seeds


def seed_pairs(data, arm):
    """Spearman matrix of last saliency, and per pair (Jaccard of relearning neurons, its chance level)."""
    rows = [int(r) for r in arm.rows[:MAX_SEEDS]]
    table = np.full((len(rows), len(rows)), math.nan)
    overlaps = []
    for i, j in itertools.combinations(range(len(rows)), 2):
        a, b = data.summaries[rows[i]], data.summaries[rows[j]]
        table[i, j] = table[j, i] = measures.spearman(a.last_saliency, b.last_saliency)
        could = np.intersect1d(a.could_relearn, b.could_relearn)
        first, second = np.intersect1d(a.relearning, could), np.intersect1d(b.relearning, could)
        overlaps.append(
            (measures.jaccard(first, second), measures.jaccard_by_chance(len(first), len(second), len(could)))
        )
    return table, overlaps


def seeds(data):
    """None where no arm has two seeds."""
    arms = [a for a in data.arms if a.n > 1]
    if not arms:
        return None
    panels, rows, dots = [], [], []
    for i, arm in enumerate(arms):
        table, overlaps = seed_pairs(data, arm)
        names = [str(s) for s in data.seeds(arm)[:MAX_SEEDS]]
        if i < 3 and len(names) > 2:
            panels.append(
                svg.heat_panel(
                    arm.label if data.varying else "Spearman between seeds",
                    table.tolist(),
                    names,
                    names,
                    0,
                    1,
                    y_label="seed",
                    x_label="seed",
                )
            )
        for (a, b), (index, expected) in zip(itertools.combinations(range(len(names)), 2), overlaps):
            rows.append([arm.label, names[a], names[b], float(table[a, b]), index, expected])
        dots.append((arm, [index - expected for index, expected in overlaps], overlaps, table))
    panels.append(
        dot_rows(
            "Overlap of relearning neurons above chance",
            [
                (
                    arm.label,
                    values if len(values) <= 60 else [],
                    mean_of(values),
                    last_interval(data, arm, "jaccard_excess"),
                    svg.colour(data.colour_index(arm)),
                )
                for arm, values, _, _ in dots[:12]
            ],
            padded([v for d in dots for v in d[1]] + [0.0]),
            "Jaccard index minus what chance gives, pairs of seeds",
            "{:+.3f}",
            reference=0.0,
        )
    )
    head = next((d for d in dots if d[0] is data.head), dots[0])
    arm, _, overlaps, table = head
    index, chance = mean_of([v for v, _ in overlaps]), mean_of([c for _, c in overlaps])
    upper = table[np.triu_indices(len(table), 1)]
    pair_words = f"{count(len(upper), 'pair')} of seeds"
    spearman = last_interval(data, arm, "spearman")
    sentence = (
        f"Between two seeds of {data.describe(arm)} the last saliencies correlate with {real(mean_of(upper))} "
        f"({interval_name(arm.n) + ' ' + real(spearman[0]) + ' to ' + real(spearman[1]) + ', ' if spearman else ''}{pair_words}), and the neurons that relearn overlap with a Jaccard index of "
        f"{real(index)}, where chance gives {real(chance)}: {above_chance(data, arm, index - chance)}."
    )
    return Figure(
        "seeds",
        "Do seeds agree?",
        sentence,
        panels,
        [Table("seed_agreement", ["arm", "seed_a", "seed_b", "spearman", "jaccard", "jaccard_by_chance"], rows)],
        how="Relearning neurons: saliency above 0.5 at the end and not in base; counted among neurons that could be "
        "in both runs, so that chance is hypergeometric. "
        f"At most the first {MAX_SEEDS} seeds of an arm. Pairs share seeds, so they are not independent.",
        lacks_interval=not data.stats.present,
    )


def above_chance(data, arm, excess):
    """In words, from the interval of /stats over seeds, where there is one that can tell."""
    found = last_interval(data, arm, "jaccard_excess")
    if not found:
        return f"{signed(excess)}, without an interval"
    words = "more than chance" if found[0] > 0 else "less than chance" if found[1] < 0 else "no different from chance"
    return f"{signed(excess)} ({interval_name(arm.n)} {signed(found[0])} to {signed(found[1])}), {words}"


def last_interval(data, arm, name):
    return data.stats.interval(f"agreement/{arm.value('model')}", name, any_run(data, arm), data.arm_stages(arm)[-1])


def components(data):
    """Runs on the first two principal components of last saliency, from /stats; None when absent."""
    model, stage = data.head.value("model"), data.arm_stages(data.head)[-1]
    found = data.stats.components(model, stage)
    if not found or found[0].shape[1] < 2:
        return None
    scores, shares, ids = found
    arm_of = {data.store.runs["id"][r]: a for a in data.arms for r in a.rows}
    known = [(i, run) for i, run in enumerate(ids) if run in arm_of and np.isfinite(scores[i, :2]).all()]
    if len(known) < 3:
        return None
    panel = svg.Panel(f"Runs by their saliencies, {stage.replace('retrained_', 'round ')}", height=300, left=46)
    panel.scales(padded([scores[i, 0] for i, _ in known]), padded([scores[i, 1] for i, _ in known]))
    panel.y_axis(svg.nice_ticks(*panel.ylim), f"component 2 ({100 * shares[1]:.0f} %)")
    panel.x_axis(svg.nice_ticks(*panel.xlim), label=f"component 1 ({100 * shares[0]:.0f} %)")
    for i, run in known:
        panel.dot(
            scores[i, 0],
            scores[i, 1],
            svg.colour(data.colour_index(arm_of[run])),
            4,
            f"{arm_of[run].label}, {run}",
            link=f"#run-{run}",
        )
    sentence = (
        "The first two principal components of the runs × neurons saliency matrix hold "
        f"{100 * float(shares[:2].sum()):.0f} % of the variance of "
        f"{count(len(known), 'run')}."
    )
    return Figure(
        "components",
        "Runs that end alike",
        sentence,
        [panel],
        [
            Table(
                "components",
                ["run", "arm", "component_1", "component_2"],
                [[run, arm_of[run].label, float(scores[i, 0]), float(scores[i, 1])] for i, run in known],
            )
        ],
        how="From /stats/components. Each dot is a run and leads to its row.",
    )


# ------------------------------------------------------------------------------------------------ model families


def families(data):
    """None with one model."""
    if "model" not in data.varying:
        return None
    rest = tuple((k, v) for k, v in data.head.key if k not in ("model", "model_folder"))
    arms = [a for a in data.arms if tuple((k, v) for k, v in a.key if k not in ("model", "model_folder")) == rest]
    rows = [
        (str(a.value("model")), data.recovered(a), mean_of(data.recovered(a)), rho_interval(data, a), svg.colour(i))
        for i, a in enumerate(arms)
    ]
    shifts = [
        (str(a.value("model")), v, mean_of(v), None, svg.colour(i))
        for i, (a, v) in enumerate((a, relative_shift(data, a)) for a in arms)
    ]
    panels = [
        dot_rows(
            "Recovered at the end",
            rows,
            padded([v for r in rows for v in r[1]], 0, 1),
            "share of the lost F1",
            reference=1.0,
        ),
        dot_rows(
            "Shift of the centre, of the model's depth",
            shifts,
            padded([v for r in shifts for v in r[1]] + [0]),
            "negative: towards the embeddings",
            "{:+.3f}",
            reference=0.0,
        ),
    ]
    back = [a for a, r in zip(arms, rows) if r[2] > 0.5]
    earlier = [s for s in shifts if s[2] < 0]
    sentence = (
        f"More than half of the lost F1 is back at the end in {len(back)} of {count(len(arms), 'model')}, and the "
        "centre of saliency moved to earlier layers in "
        f"{len(earlier)} of them: {join(f'{r[0]} recovered {estimate(r[1], r[3])}' for r in rows)}."
    )
    return Figure(
        "families",
        "Other model families",
        sentence,
        panels,
        [
            Table(
                "families",
                ["model", "seeds", "recovered", "relative_shift"],
                [[r[0], a.n, r[2], s[2]] for r, s, a in zip(rows, shifts, arms)],
            )
        ],
        how="The headline arm in each model, everything else equal.",
        lacks_interval=not data.stats.present,
    )


def relative_shift(data, arm):
    table = data.per_run_stage(arm, "centre")
    return (table[:, -1] - table[:, 0]) / max(data.layer_count(arm) - 1, 1)
