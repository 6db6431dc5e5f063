"""Does it come back, how fast, and which removal resists longest."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from . import svg
from .figure import Figure, Table, dot_rows, padded
from .measures import mean_of
from .store import stage_title
from .sweepdata import MAX_COLOURS, median_with_censored
from .words import count, estimate, interval_name, join, real, signed, verdict_of, verdict_on


def finite_mean(table):
    """Column means over the finite values, NaN without any."""
    return np.array([mean_of(c) for c in np.asarray(table, float).T])


def any_run(data, arm):
    return data.store.runs["id"][arm.rows[0]]


def filter_of(data, arm):
    """What the run table is filtered by when an arm's legend entry is followed."""
    return " ".join(f"{a}={v}" for a, v in arm.key if a in data.varying) or "done"


def curve_interval(data, arm, epochs):
    """low, high of F1 at base and after each epoch [1 + E]. /stats keeps them at the ends of rounds; NaN between."""
    stages = ["pruned"] + [s for s in data.arm_stages(arm) if s.startswith("retrained_")]
    low, high = np.full(len(epochs) + 1, np.nan), np.full(len(epochs) + 1, np.nan)
    per_round = (len(epochs) - 1) / max(len(stages) - 1, 1)
    places = [(0, "base")] + (
        [(1 + int(i * per_round), s) for i, s in enumerate(stages)] if per_round == int(per_round) else []
    )
    for at, stage in places:
        found = data.stats.interval("scores", "f1", any_run(data, arm), stage)
        if found:
            low[at], high[at] = found
    return low, high


def seed_range(curves):
    """Smallest and largest of each column; NaN where no seed has a value."""
    known = np.isfinite(curves)
    low = np.where(known.any(axis=0), np.where(known, curves, np.inf).min(axis=0), np.nan)
    return low, np.where(known.any(axis=0), np.where(known, curves, -np.inf).max(axis=0), np.nan)


def draw_arm(panel, data, arm):
    """One arm's band, seeds and mean. True when the band is an interval."""
    epochs, table, base = data.recovery_curves(arm)
    paint, xs, curves = svg.colour(data.colour_index(arm)), np.r_[-1, epochs], np.column_stack([base, table])
    low, high = curve_interval(data, arm, epochs)
    known = np.isfinite(low)
    if known.any():
        panel.band(xs[known], low[known], high[known], paint)
    elif arm.n > 1:
        panel.band(xs, *seed_range(curves), paint, 0.10)
    for line in curves[:30]:
        panel.line(xs, line, paint, 0.8, opacity=0.45)
    mean = finite_mean(curves)
    panel.line(xs, mean, paint, 2.6)
    for x, value in zip(xs, mean):
        panel.dot(x, value, paint, 3.4, f"{arm.label}: {real(value)} (mean of {count(arm.n, 'seed')})")
    return bool(known.any())


def recovery_panel(data, group):
    arms = group.arms[:MAX_COLOURS]
    longest = max(len(data.recovery_curves(a)[0]) for a in arms)
    panel = svg.Panel(
        group.label or "Entity F1, validation", height=280, left=38, label=f"Recovery curves {group.label}"
    )
    panel.scales((-1.4, longest - 1 + 0.3), (0, 1))
    panel.y_axis([0, 0.2, 0.4, 0.6, 0.8, 1], "F1" if group.label else "")
    ticks = [-1, 0] + [t for t in range(1, longest) if longest <= 9 or t % math.ceil(longest / 8) == 0]
    panel.x_axis(ticks, ["base", "pruned"] + [str(t) for t in ticks[2:]], "epochs of retraining")
    intervals = [draw_arm(panel, data, arm) for arm in arms]
    return panel, all(intervals)


def recovery_tables(data):
    runs, means = [], []
    for arm in data.arms:
        epochs, table, base = data.recovery_curves(arm)
        low, high = curve_interval(data, arm, epochs)
        curves = np.column_stack([base, table])
        names = ["base", "pruned"] + ["retraining"] * (len(epochs) - 1)
        for r, seed, curve in zip(arm.rows, data.seeds(arm), curves):
            runs.extend(
                [data.store.runs["id"][r], arm.label, seed, name, max(e - 1, 0), float(v)]
                for e, (name, v) in enumerate(zip(names, curve))
            )
        for e, (name, column) in enumerate(zip(names, curves.T)):
            means.append(
                [
                    arm.label,
                    name,
                    max(e - 1, 0),
                    int(np.isfinite(column).sum()),
                    mean_of(column),
                    float(low[e]),
                    float(high[e]),
                ]
            )
    return [
        Table("recovery_runs", ["run", "arm", "seed", "stage", "epoch", "f1"], runs),
        Table("recovery", ["arm", "stage", "epoch", "seeds", "f1", "low", "high"], means),
    ]


def recovery(data):
    drawn = [recovery_panel(data, g) for g in data.shown_groups()]
    intervals = all(known for _, known in drawn)
    head = data.head
    epochs = int(data.recovery_curves(head)[0][-1])
    sentence = (
        f"After {count(epochs, 'epoch')} of retraining {estimate(data.recovered(head), rho_interval(data, head))} of "
        "the F1 lost to pruning was back in "
        f"{data.describe(head)}"
    )
    if data.control is not None:
        sentence += f", against {estimate(data.recovered(data.control), rho_interval(data, data.control))} with as many random neurons pruned"
    legend = svg.legend(
        [
            (data.colour_label(a), svg.colour(data.colour_index(a)), "line", "#runs", filter_of(data, a))
            for a in first_of_each_colour(data)
        ]
    )
    shade = (
        f"Band: BCa {interval_name(head.n)} over seeds (/stats), at the ends of rounds."
        if intervals and head.n >= 6
        else f"Band: BCa {interval_name(head.n)} (/stats), at the ends of rounds."
        if intervals
        else "Shade: range over seeds, which is not an interval."
    )
    how = f"Thick: mean over seeds; thin: each seed. {shade} Entity F1 at word level on the validation data.{data.left_out()}"
    return Figure(
        "recovery",
        "Removed, and relearned",
        f"{sentence}. {control_sentence(data)}",
        [panel for panel, _ in drawn],
        recovery_tables(data),
        legend,
        how,
        lacks_interval=not intervals,
    )


# ------------------------------------------------------------------------------------------------ the concept itself


def stage_scores(data, arm, measure):
    """[n, S] of a column of /runs by stage; NaN where there is none."""
    return np.array([data.store.score(measure, stage, arm.rows) for stage in data.arm_stages(arm)], float).T.reshape(
        arm.n, -1
    )


def concept_itself(data):
    """F1 of the concept's own entity types beside all others', by stage. None where the store has no concept F1."""
    if not any(np.isfinite(stage_scores(data, a, "concept_f1")).any() for a in data.arms):
        return None
    panels, rows = [], []
    group = next(g for g in data.groups if any(a is data.head for a in g.arms))
    stages = data.arm_stages(data.head)
    for measure, title in (("concept_f1", "The concept's own entity types"), ("other_f1", "All other types")):
        panel = svg.Panel(title, height=272, left=38)
        panel.scales((-0.3, len(stages) - 0.7), (0, 1))
        panel.y_axis([0, 0.2, 0.4, 0.6, 0.8, 1], "F1")
        panel.x_axis(range(len(stages)), [stage_title(s) for s in stages], rotate=len(stages) > 6)
        for arm in group.arms[:MAX_COLOURS]:
            table, paint = stage_scores(data, arm, measure), svg.colour(data.colour_index(arm))
            for line in table[:30]:
                panel.line(range(len(line)), line, paint, 0.8, opacity=0.45)
            found = [data.stats.interval("scores", measure, any_run(data, arm), s) for s in data.arm_stages(arm)]
            panel.band(
                range(len(found)),
                [f[0] if f else math.nan for f in found],
                [f[1] if f else math.nan for f in found],
                paint,
            )
            mean = finite_mean(table)
            panel.line(range(len(mean)), mean, paint, 2.6)
            for x, v in enumerate(mean):
                panel.dot(x, v, paint, 3.4, f"{arm.label}: {real(v)}")
        panels.append(panel)
    for arm in data.arms:
        own, other = stage_scores(data, arm, "concept_f1"), stage_scores(data, arm, "other_f1")
        for s, stage in enumerate(data.arm_stages(arm)):
            rows.append([arm.label, stage, int(np.isfinite(own[:, s]).sum()), mean_of(own[:, s]), mean_of(other[:, s])])
    own, other = (stage_scores(data, data.head, m) for m in ("concept_f1", "other_f1"))
    gap = (own[:, 0] - own[:, -1]) - (other[:, 0] - other[:, -1])
    sentence = (
        f"In {data.describe(data.head)} the F1 of the concept's own types fell from {real(mean_of(own[:, 0]))} to "
        f"{real(mean_of(own[:, 1]))} when it was pruned and ended at "
        f"{real(mean_of(own[:, -1]))}; that of all other types fell from {real(mean_of(other[:, 0]))} to "
        f"{real(mean_of(other[:, 1]))} and ended at {real(mean_of(other[:, -1]))}. "
        f"What is still missing at the end is {'larger' if mean_of(gap) > 0 else 'not larger'} for the concept than "
        f"for the others, by {estimate(gap, form=signed)}."
    )
    legend = svg.legend(
        [
            (data.colour_label(a), svg.colour(data.colour_index(a)), "line", "#runs", filter_of(data, a))
            for a in first_of_each_colour(data)
        ]
    )
    return Figure(
        "concept",
        "The concept itself, and everything else",
        sentence,
        panels,
        [Table("concept_f1", ["arm", "stage", "seeds", "concept_f1", "other_f1"], rows)],
        legend,
        "Micro F1 at word level over the entity types that carry the concept (column concept_types of /runs), and "
        "over all others.",
        lacks_interval=True,
    )


def by_step(data):
    """Recovered share against steps since pruning, where the sweep evaluated more often than at epoch ends. None otherwise."""
    panel = svg.Panel("Recovered share by step", height=272, left=42)
    lines, rows = [], []
    for arm in first_of_each_colour(data):
        for r in arm.rows:
            rho, step, names = data.store.curve("recovered", int(r))
            if rho is None:
                return None
            if not np.isfinite(data.recoveries[int(r)].recovered()).any():
                continue  # next to nothing was lost: what /curve divides by it means nothing
            later = [i for i, s in enumerate(names) if s.startswith(("pruned", "retrained_"))]
            x, y = step[later].ravel(), rho[later].ravel()
            known = np.isfinite(x) & np.isfinite(y) & (x >= 0)
            if known.sum() > 1:
                order = np.argsort(x[known], kind="stable")
                lines.append((arm, x[known][order], y[known][order]))
                rows.extend(
                    [data.store.runs["id"][r], arm.label, float(a), float(b)]
                    for a, b in zip(x[known][order], y[known][order])
                )
    epochs = max(len(data.recovery_curves(a)[0]) for a in data.arms)
    if not lines or max(len(x) for _, x, _ in lines) <= epochs:
        return None
    panel.scales((0, max(x.max() for _, x, _ in lines)), padded([v for _, _, y in lines for v in y], 0, 1))
    panel.y_axis(svg.nice_ticks(*panel.ylim), "recovered share")
    panel.x_axis(svg.nice_ticks(*panel.xlim), label="optimiser steps since pruning")
    for arm, x, y in lines:
        panel.line(x, y, svg.colour(data.colour_index(arm)), 1.3, opacity=0.7)
    quarter = [
        float(x[np.flatnonzero(y >= 0.25)[0]]) if (y >= 0.25).any() else math.inf for a, x, y in lines if a is data.head
    ]
    reached = median_with_censored(quarter)
    sentence = (
        f"A quarter of the lost F1 is back after {reached:g} steps (median of {count(len(quarter), 'seed')}) in "
        f"{data.describe(data.head)}."
        if math.isfinite(reached)
        else f"In half or more of the seeds of {data.describe(data.head)} a quarter of the lost F1 never came back."
    )
    return Figure(
        "steps",
        "Within the first epoch",
        sentence,
        [panel],
        [Table("recovered_by_step", ["run", "arm", "step", "recovered"], rows)],
        how="One line a run; points every <code>retrain.evaluate_every</code> steps and at epoch ends (from /curve).",
        lacks_interval=True,
    )


def first_of_each_colour(data):
    seen, arms = set(), []
    near = next(
        g.arms for g in data.groups if any(a is data.head for a in g.arms)
    )  # beside the headline arm where it can be
    for arm in near + data.arms:
        index = data.colours.index(arm.value(data.by))
        if index not in seen and len(seen) < MAX_COLOURS:
            seen.add(index)
            arms.append(arm)
    return sorted(arms, key=lambda a: data.colours.index(a.value(data.by)))


def rho_interval(data, arm):
    rounds = sum(s.startswith("retrained_") for s in data.arm_stages(arm))
    return data.stats.interval("recovery", "rho", any_run(data, arm), rounds)


def control_sentence(data):
    """Concept against random: the paired difference, and what may be claimed about it."""
    if data.control is None:
        return (
            ""
            if "prune.select" in data.varying
            else "Not in this sweep: a control. Add <code>prune.select: [concept, random]</code>."
        )
    d = data.paired(data.head, data.control, data.recovered)
    if not len(d):
        return "No seed has both arms, so they cannot be compared."
    last = [s for s in data.arm_stages(data.head) if s.startswith("retrained_")]
    row = (
        data.stats.compare(any_run(data, data.head), any_run(data, data.control), "rho", stage=last[-1])
        if last
        else None
    )
    text = f"Paired by seed the difference is {signed(float(d.mean()))}"
    if row is not None:
        text += f" ({interval_name(row['n'])} {signed(row['low'])} to {signed(row['high'])}, adjusted p = {real(row['p_adjusted'])}): {verdict_of(row)}. "
    else:
        text += f" over {count(len(d), 'pair')}; {verdict_on(len(d))}. "
    return text


# ------------------------------------------------------------------------------------------------ how fast


def ordered_arms(data, key, limit=16):
    arms = sorted(data.arms, key=lambda a: (math.isnan(key(a)), -key(a) if not math.isnan(key(a)) else 0))
    return arms[:limit], len(arms) - limit


def speed(data):
    """Half-life and area of every arm."""
    rows = []
    for arm in data.arms:
        halves, areas = data.half_lives(arm), data.areas(arm)
        rows.append(
            [
                arm.label,
                arm.n,
                median_with_censored(halves),
                int(np.isinf(halves).sum()),
                int(np.isnan(halves).sum()),
                mean_of(areas),
                *(data.stats.interval("recovery", "area", any_run(data, arm)) or (math.nan, math.nan)),
            ]
        )
    arms, hidden = ordered_arms(data, lambda a: median_with_censored(data.half_lives(a)))
    last = max(data.recovery_curves(a)[0][-1] for a in data.arms)
    half = dot_rows(
        "Half-life: epochs until half is back",
        [
            (
                a.label,
                data.half_lives(a),
                median_with_censored(data.half_lives(a)),
                None,
                svg.colour(data.colour_index(a)),
            )
            for a in arms
        ],
        (0, float(last) + 0.6),
        "epochs of retraining (never: not reached)",
        "{:g}",
        censor_at=float(last) + 0.4,
    )
    arms, _ = ordered_arms(data, lambda a: mean_of(data.areas(a)))
    area = dot_rows(
        "Area under the recovery curve",
        [
            (
                a.label,
                data.areas(a),
                mean_of(data.areas(a)),
                data.stats.interval("recovery", "area", any_run(data, a)),
                svg.colour(data.colour_index(a)),
            )
            for a in arms
        ],
        padded([v for a in data.arms for v in data.areas(a)], 0, 1),
        "1 = recovered at once",
        reference=1.0,
    )
    head = data.head
    return Figure(
        "speed",
        "How fast it comes back",
        speed_sentence(data, head),
        [half, area],
        [
            Table(
                "half_life",
                ["arm", "seeds", "half_life_median", "not_reached", "undefined", "area_mean", "area_low", "area_high"],
                rows,
            )
        ],
        how="Half-life: the first epoch after which at least half of the F1 lost to pruning is back; filled: median "
        "over seeds, where a "
        "seed that never got there counts as later than all others. Area: mean of the recovered fraction over the "
        "epochs of retraining. "
        "Undefined where pruning cost less than 0.01 "
        f"F1.{f' {hidden} further arms are in the CSV.' if hidden > 0 else ''}",
        lacks_interval=not data.stats.present,
    )


def first_epoch(data, arm):
    """rho after the first epoch of retraining, by seed."""
    return np.array(
        [data.recoveries[int(r)].recovered()[1] if len(data.recoveries[int(r)].f1) > 1 else math.nan for r in arm.rows]
    )


def half_life_words(data, arm):
    halves = data.half_lives(arm)
    defined = halves[~np.isnan(halves)]
    if not len(defined):
        return "undefined (pruning cost less than 0.01 F1)"
    median = median_with_censored(halves)
    epochs = int(data.recovery_curves(arm)[0][-1])
    censored = int(np.isinf(defined).sum())
    text = (
        f"{median:g} {'epoch' if median == 1 else 'epochs'}"
        if math.isfinite(median)
        else f"not reached within {count(epochs, 'epoch')}"
    )
    return (
        text
        + f" (median of {count(len(defined), 'seed')}"
        + (f", {censored} of them not there after {epochs}" if censored and math.isfinite(median) else "")
        + ")"
    )


def speed_sentence(data, head):
    text = f"Half of the lost F1 is back after {half_life_words(data, head)} in {data.describe(head)}"
    if data.control is not None:
        text += f", after {half_life_words(data, data.control)} in the random control"
    text += f". The first epoch alone brings {estimate(first_epoch(data, head), first_interval(data, head))} of it"
    return (
        text
        + ", and the area under the curve is "
        + estimate(data.areas(head), data.stats.interval("recovery", "area", any_run(data, head)))
        + "."
    )


def first_interval(data, arm):
    return data.stats.interval("recovery", "rho_epoch", any_run(data, arm), 1)


# ------------------------------------------------------------------------------------------------ which removal resists

REMOVAL_AXES = ("prune.ratio", "prune.permanent", "prune.site", "prune.zero_beta", "prune.select", "rank.method")


EMPTY = 0.95  # of a layer's neurons: hardly anything passes through what is left


def emptied_layers(data, arm):
    """Hidden states that the arm's pruning all but emptied, in the mean over its seeds."""
    share = np.mean(
        [s.pruned_by_layer * len(s.pruned_by_layer) / len(s.last_saliency) for s in (data.summaries[int(r)] for r in arm.rows)], axis=0
    )
    return [int(l) for l in np.flatnonzero(share >= EMPTY)]


def warning_of_emptied(data, arm):
    layers = emptied_layers(data, arm)
    if not layers:
        return ""
    return (
        f" That removal takes {EMPTY:.0%} or more of hidden state {join([str(l) for l in layers])}, through which every text has to pass: "
        "that nothing comes back says little about the concept."
    )


def resistance(data):
    """Every arm by the fraction recovered at the end, the most resistant first."""
    arms = sorted(data.arms, key=lambda a: (math.isnan(mean_of(data.recovered(a))), mean_of(data.recovered(a))))
    shown = arms[:20]
    panel = dot_rows(
        "Recovered at the end, most resistant removal first",
        [
            (
                a.label,
                data.recovered(a),
                mean_of(data.recovered(a)),
                rho_interval(data, a),
                svg.colour(data.colour_index(a)),
            )
            for a in shown
        ],
        padded([v for a in data.arms for v in data.recovered(a)], 0, 1),
        "share of the lost F1 that is back",
        reference=1.0,
    )
    rows = [
        [
            a.label,
            a.n,
            mean_of(data.recovered(a)),
            *(rho_interval(data, a) or (math.nan, math.nan)),
            mean_of(data.areas(a)),
            median_with_censored(data.half_lives(a)),
        ]
        for a in arms
    ]
    known = [a for a in arms if math.isfinite(mean_of(data.recovered(a)))]
    if len(known) < 2:
        sentence = "There is a single removal in this sweep, so nothing can be ranked."
    else:
        first, last = known[0], known[-1]
        sentence = (
            f"Of {count(len(known), 'removal')}, <em>{escape(first.label)}</em> holds longest: "
            f"{estimate(data.recovered(first), rho_interval(data, first))} of the "
            f"lost F1 is back at the end; <em>{escape(last.label)}</em> least: "
            f"{estimate(data.recovered(last), rho_interval(data, last))}. "
            "The ranking is descriptive: the arms at its ends were picked for being there."
            + warning_of_emptied(data, first)
        )
    return Figure(
        "resistance",
        "Which removal resists relearning",
        sentence,
        [panel],
        [Table("resistance", ["arm", "seeds", "recovered", "low", "high", "area", "half_life_median"], rows)],
        lacks_interval=not data.stats.present,
    )


def factors(data):
    """Shares of variance over the axes, from /stats/variance; None when there is none."""
    shares = data.stats.variance()
    if not shares:
        return None
    names = list(next(iter(shares.values())))
    titles = {
        "f1_recovery": "recovery",
        "area": "area",
        "relocation": "relocation",
        "relocation_mass": "relocation (mass)",
    }
    responses = list(shares)
    values = [[shares[r].get(f, math.nan) for r in responses] for f in reversed(names)]
    panel = svg.heat_panel(
        "Share of variance by factor", values, list(reversed(names)), [titles.get(r, r) for r in responses], 0, 1
    )
    first = shares.get("f1_recovery", {})
    known = sorted(((v, k) for k, v in first.items() if math.isfinite(v) and k != "residual"), reverse=True)
    sentence = (
        f"Most of the variance in recovery goes with <em>{known[0][1]}</em> (share {real(known[0][0])})"
        + (f", then {join(f'{k} ({real(v)})' for v, k in known[1:3])}" if len(known) > 1 else "")
        + f"; {real(first.get('residual', math.nan))} is left over."
        if known
        else "No share of variance is defined here."
    )
    rows = [[r, f, shares[r].get(f, math.nan)] for r in responses for f in names]
    return Figure(
        "factors",
        "What the differences come from",
        sentence,
        [panel],
        [Table("variance_shares", ["response", "factor", "share"], rows)],
        how="Main-effects analysis of variance over runs, type II (from /stats/variance); with an unbalanced grid "
        "shares need not add to 1. Hatched: the axis has one value among these runs, or other axes determine it.",
    )
