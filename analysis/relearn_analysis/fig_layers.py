"""Where the concept sits, layer by layer and stage by stage, and where it goes."""

from __future__ import annotations

import math

import numpy as np

from . import svg
from .figure import Figure, Table, padded
from .fig_recovery import any_run, filter_of, finite_mean, first_of_each_colour
from .measures import BINS, mean_of, monotone_flow
from .words import count, estimate, interval_name, percent, real, signed, verdict_of, verdict_on
from .sweepdata import stage_title


def layer_means(data, arm, attribute):
    """[S, L]: mean over seeds of a per-run [S, L]; NaN where no seed has a value."""
    values = data.per_run_stage(arm, attribute)
    finite = np.isfinite(values)
    total = np.where(finite, values, 0).sum(axis=0)
    return np.divide(total, finite.sum(axis=0), out=np.full(total.shape, np.nan), where=finite.any(axis=0))


def layer_table(data, attribute, name, stats_name):
    rows = []
    for arm in data.arms:
        model = arm.value("model")
        means, per_run = layer_means(data, arm, attribute), data.per_run_stage(arm, attribute)
        for s, stage in enumerate(data.arm_stages(arm)):
            for l in range(means.shape[1]):
                interval = data.stats.interval(f"layers/{model}", stats_name, any_run(data, arm), stage, l) or (
                    math.nan,
                    math.nan,
                )
                rows.append(
                    [arm.label, stage, l, int(np.isfinite(per_run[:, s, l]).sum()), float(means[s, l]), *interval]
                )
    return Table(name, ["arm", "stage", "layer", "seeds", attribute, "low", "high"], rows)


def interval_note(data, arm, stage, layer, name="saliency"):
    found = data.stats.interval(f"layers/{arm.value('model')}", name, any_run(data, arm), stage, layer)
    return f", {interval_name(arm.n)} {real(found[0])} to {real(found[1])}" if found else ""


def saliency_map(data):
    panels = []
    for arm in data.arms[:6]:
        means, stages = layer_means(data, arm, "mean_saliency"), data.arm_stages(arm)
        notes = (
            [[interval_note(data, arm, s, l) for s in stages] for l in range(means.shape[1])]
            if data.stats.present
            else None
        )
        panels.append(
            svg.heat_panel(
                arm.label if data.varying else "Mean saliency",
                means.T.tolist(),
                list(range(means.shape[1])),
                [stage_title(s) for s in stages],
                0,
                1,
                y_label="layer",
                notes=notes,
            )
        )
    if len(data.arms) > 1:
        panels.append(change_panel(data))
    head = data.head
    per_run = data.per_run_stage(head, "mean_saliency")
    change = per_run[:, -1] - per_run[:, 0]
    means = finite_mean(change)
    if np.isfinite(means).any():
        up, down = int(np.nanargmax(means)), int(np.nanargmin(means))
        sentence = (
            f"In {data.describe(head)} mean saliency rose most in layer {up}, by "
            f"{estimate(change[:, up], form=signed)}, and "
            f"{'fell' if means[down] < 0 else 'rose'} {'most' if means[down] < 0 else 'least'} in layer {down}, by "
            f"{estimate(change[:, down], form=signed)}."
        )
    else:
        sentence = "No layer has a saliency in both the first and the last stage."
    hidden = len(data.arms) - 6
    return Figure(
        "saliency",
        "Saliency by layer and stage",
        sentence,
        panels,
        [
            layer_table(data, "mean_saliency", "saliency_by_layer", "saliency"),
            layer_table(data, "above_half", "share_above_half", "share"),
        ],
        how="Mean over the layer's neurons that have a saliency (1 = first in the ranking of this stage, 0 = last), "
        "then over seeds; layer 0 is the "
        "embeddings. Saliency is a rank and therefore zero-sum: where neurons are silenced, the ranks of all others "
        "rise, in every layer. "
        "Hatched: no value." + (f" {count(hidden, 'further arm')} in the CSV." if hidden > 0 else ""),
        lacks_interval=not data.stats.present,
    )


def change_panel(data):
    arms = data.arms[:8]
    layers = max(layer_means(data, a, "mean_saliency").shape[1] for a in arms)
    values = np.full((layers, len(arms)), np.nan)
    for i, arm in enumerate(arms):
        means = layer_means(data, arm, "mean_saliency")
        values[: means.shape[1], i] = means[-1] - means[0]
    reach = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    names = [a.label if len(a.label) <= 9 and len(arms) <= 4 else str(i + 1) for i, a in enumerate(arms)]
    return svg.heat_panel(
        "Change, base to last stage",
        values.tolist(),
        list(range(layers)),
        names,
        -reach,
        reach,
        form="{:+.2f}",
        stops=svg.DIVERGING,
        y_label="layer",
        x_label="" if names[0] == arms[0].label else "arm, in the order above",
    )


# ------------------------------------------------------------------------------------------------ ridge lines


def ridges(data):
    """Distribution of saliency in each layer, base against the last stage, seeds pooled for the eye only."""
    panels, rows = [], []
    arms = first_of_each_colour(data)[:4]
    for arm in arms:
        counts = sum(resized(data.summaries[int(r)].histogram, len(data.arm_stages(arm))) for r in arm.rows)
        panels.append(ridge_panel(data, arm, counts))
        for s, stage in ((0, "base"), (counts.shape[0] - 1, data.arm_stages(arm)[-1])):
            for l in range(counts.shape[1]):
                rows.extend([arm.label, stage, l, b / BINS, (b + 1) / BINS, int(counts[s, l, b])] for b in range(BINS))
    head = data.head
    low = [lower_half_share(data, head, s) for s in (0, -1)]
    sentence = (
        f"Of all neurons with saliency above 0.5 in {data.describe(head)}, {estimate(low[0], digits=1, form=percent)} "
        "lay in the lower half of the layers before "
        f"pruning and {estimate(low[1], digits=1, form=percent)} at the end."
    )
    if data.control is not None:
        other = [lower_half_share(data, data.control, s) for s in (0, -1)]
        sentence += f" In the random control it was {real(100 * mean_of(other[0]), 1)} % and {real(100 * mean_of(other[1]), 1)} %."
    return Figure(
        "ridges",
        "The neurons behind the means",
        sentence,
        panels,
        [Table("saliency_distribution", ["arm", "stage", "layer", "from", "to", "neurons"], rows)],
        svg.legend([("base", "var(--muted)", "line"), ("last stage", "var(--c0)", "area")]),
        "Each ridge is a histogram of the layer's neurons over saliency (40 bins, each layer scaled by the panel's "
        "highest). Seeds are pooled for the "
        "picture only; nothing is claimed from neurons.",
        lacks_interval=True,
    )


def lower_half_share(data, arm, stage):
    """Share of the neurons with saliency > 0.5 that lie in the lower half of the layers (the middle one of an odd number belongs to neither)."""
    counts = data.per_run_stage(arm, "salient")[:, stage]
    return np.array([c[: len(c) // 2].sum() / c.sum() if c.sum() > 0 else math.nan for c in counts])


def resized(histogram, stages):
    if len(histogram) == stages:
        return histogram
    return np.concatenate([histogram, np.zeros((stages - len(histogram),) + histogram.shape[1:], int)])


def smooth(counts):
    """Weights 1 2 3 2 1 over neighbouring bins, ends reflected: for the eye; the CSV has the counts."""
    padded_counts = np.pad(np.asarray(counts, float), 2, mode="symmetric")
    return np.convolve(padded_counts, np.array([1, 2, 3, 2, 1]) / 9, mode="valid")


def ridge_panel(data, arm, counts):
    layers = counts.shape[1]
    step = 30 if layers <= 13 else 18
    panel = svg.Panel(
        arm.label if data.varying else "Distribution of saliency", height=76 + step * layers, left=30, top=58, bottom=38
    )
    ends = [0, counts.shape[0] - 1]
    density = np.array([[smooth(counts[s, l]) / max(counts[s, l].sum(), 1) for l in range(layers)] for s in ends])
    peak = max(float(np.quantile(density, 0.995)), 1e-9)
    lift = np.minimum(density / peak, 1.15) * step * 1.55
    centres = (np.arange(BINS) + 0.5) / BINS
    panel.scales((0, 1), (0, 1))
    for t in (0, 0.25, 0.5, 0.75, 1):
        panel.add(f'<path class="grid" d="M{svg.number(panel.x(t), 1)} {panel.y1 - 20}V{panel.y0}"/>')
    panel.x_axis([0, 0.25, 0.5, 0.75, 1], label="saliency")
    paint = svg.colour(data.colour_index(arm))
    for l in reversed(range(layers)):
        y = panel.y0 - l * step
        last = "L".join(f"{svg.number(panel.x(x), 1)} {svg.number(v, 1)}" for x, v in zip(centres, y - lift[1, l]))
        base = "L".join(f"{svg.number(panel.x(x), 1)} {svg.number(v, 1)}" for x, v in zip(centres, y - lift[0, l]))
        first, end = svg.number(panel.x(centres[0]), 1), svg.number(panel.x(centres[-1]), 1)
        panel.add(
            f'<path d="M{first} {y}L{last}L{end} {y}Z" fill="var(--paper)" fill-opacity=".82"/>'
            f'<path d="M{first} {y}L{last}L{end} {y}Z" fill="{paint}" fill-opacity=".42"/><path d="M{last}" '
            f'fill="none" stroke="{paint}" stroke-width="1.4"/>'
            f'<path d="M{base}" fill="none" stroke="var(--muted)" stroke-width="1.3" stroke-dasharray="3 2"/>'
        )
        panel.text(panel.x0 - 6, y, str(l), "tick", "end")
    panel.text(8, 36, "layer", "axis")
    return panel


# ------------------------------------------------------------------------------------------------ earlier layers


def centre(data):
    """Centre of mass over stages: by ranks, and by absolute mean difference."""
    panels, rows = [], []
    most = max(data.layer_count(a) for a in data.arms) - 1
    for attribute, stats_name, title in (
        ("centre", "centre", "Weighted by saliency (ranks)"),
        ("absolute_centre", "centre_mass", "Weighted by |mean difference|"),
    ):
        stages = max((data.arm_stages(a) for a in data.arms), key=len)
        values = [v for a in data.arms for v in data.per_run_stage(a, attribute).ravel()]
        panel = svg.Panel(title, height=262, left=38)
        panel.scales((-0.3, len(stages) - 0.7), padded(values, share=0.12))
        panel.y_axis(svg.nice_ticks(*panel.ylim), "mean layer")
        panel.x_axis(range(len(stages)), [stage_title(s) for s in stages], rotate=len(stages) > 6)
        for arm in data.arms[:24]:
            table, paint = data.per_run_stage(arm, attribute), svg.colour(data.colour_index(arm))
            mean, xs = finite_mean(table), np.arange(table.shape[1])
            found = [
                data.stats.interval(f"layers/{arm.value('model')}", stats_name, any_run(data, arm), s)
                for s in data.arm_stages(arm)
            ]
            low, high = ([f[k] if f else math.nan for f in found] for k in (0, 1))
            panel.band(xs, low, high, paint)
            if len(data.arms) <= 4:
                for line in table[:30]:
                    panel.line(xs, line, paint, 0.8, opacity=0.4)
            panel.line(xs, mean, paint, 2.4)
            for x, v in zip(xs, mean):
                panel.dot(x, v, paint, 3.2, f"{arm.label}: {real(v)}")
            for s, stage in enumerate(data.arm_stages(arm)):
                rows.append(
                    [
                        arm.label,
                        stats_name,
                        stage,
                        int(np.isfinite(table[:, s]).sum()),
                        float(mean[s]),
                        float(low[s]),
                        float(high[s]),
                    ]
                )
        panels.append(panel)
    legend = svg.legend(
        [
            (data.colour_label(a), svg.colour(data.colour_index(a)), "line", "#runs", filter_of(data, a))
            for a in first_of_each_colour(data)
        ]
    )
    return Figure(
        "centre",
        "Earlier layers?",
        centre_sentence(data),
        panels,
        [Table("centre_of_mass", ["arm", "weight", "stage", "seeds", "centre", "low", "high"], rows)],
        legend,
        f"Mean layer, 0 (embeddings) to {most}, weighted by each neuron's saliency, or by |mean difference| between "
        "the concept's words and the others, "
        "which is no rank and so is not zero-sum. Silenced neurons weigh nothing, so pruning alone moves the centre: "
        "compare with the random control.",
        lacks_interval=not data.stats.present,
    )


def shift(data, arm, attribute="centre"):
    table = data.per_run_stage(arm, attribute)
    return table[:, -1] - table[:, 0]


def shift_since_pruning(data, arm, attribute="centre"):
    table = data.per_run_stage(arm, attribute)
    return table[:, -1] - table[:, 1] if table.shape[1] > 1 else np.full(len(table), np.nan)


def direction(x, unit="layers"):
    if not math.isfinite(x):
        return "could not be measured"
    return (
        f"moved {abs(x):.2f} {unit} towards the {'embeddings (earlier)' if x < 0 else 'output (later)'}"
        if abs(x) >= 0.005
        else "did not move"
    )


def centre_sentence(data):
    head = data.head
    by_rank, by_mass = shift(data, head), shift(data, head, "absolute_centre")
    text = (
        f"From base to the last stage the centre of saliency {direction(mean_of(by_rank))} in {data.describe(head)}: "
        f"{estimate(by_rank, form=signed)}; "
        f"by |mean difference| it {direction(mean_of(by_mass))}: {estimate(by_mass, form=signed)}. "
    )
    if data.control is not None:
        other = shift(data, data.control)
        text += f"The random control: {estimate(other, form=signed)}; "
        stage = data.arm_stages(head)[-1]
        row = data.stats.compare(any_run(data, head), any_run(data, data.control), "centre", stage=stage)
        pairs = len(set(data.seeds(head)) & set(data.seeds(data.control)))
        text += (
            f"the paired difference at the last stage is {signed(row['difference'])} ({interval_name(row['n'])} "
            f"{signed(row['low'])} to {signed(row['high'])}): {verdict_of(row)}. "
            if row
            else f"{verdict_on(pairs)}. "
        )
    since = shift_since_pruning(data, head)
    return (
        text + f"During retraining alone, from the pruned model on, it {direction(mean_of(since))}: "
        f"{estimate(since, form=signed)}."
    )


# ------------------------------------------------------------------------------------------------ relocation


def relocation(data):
    panels, rows = [], []
    arms = first_of_each_colour(data)[:4]
    for arm in data.arms:
        removed, gained = arm_flow(data, arm)
        flow = monotone_flow(removed, gained)
        for i in range(len(flow)):
            rows.extend([arm.label, i, j, float(flow[i, j])] for j in range(len(flow)) if flow[i, j] > 0)
        if arm in arms:
            panels.append(flow_panel(data, arm, removed, gained, flow))
    head = data.head
    sources = np.array([centre_of(data.summaries[int(r)].removed) for r in head.rows])
    targets = np.array([centre_of(data.summaries[int(r)].gained) for r in head.rows])
    move = targets - sources
    text = (
        f"In {data.describe(head)} the removed saliency sat at layer {estimate(sources, digits=2)} on average, and "
        "the kept neurons gained at layer "
        f"{estimate(targets, digits=2)}: {direction(mean_of(move))}."
    )
    if data.control is not None:
        c = np.array(
            [
                centre_of(data.summaries[int(r)].gained) - centre_of(data.summaries[int(r)].removed)
                for r in data.control.rows
            ]
        )
        text += f" With random neurons removed it {direction(mean_of(c))}, which is what re-ranking alone can do."
    return Figure(
        "relocation",
        "Where the removed concept goes",
        text,
        panels,
        [Table("relocation", ["arm", "from_layer", "to_layer", "share"], rows)],
        how="Left: saliency that the pruned neurons had in base, by layer. Right: rise of saliency over base in the "
        "kept neurons, by layer. The ribbons are "
        "the cheapest way to carry one to the other (order-preserving transport): no experiment sees which neuron "
        "replaced which.",
        lacks_interval=True,
    )


def arm_flow(data, arm):
    """Shares of removed and gained saliency by layer, each run normalised to 1, mean over seeds."""

    def share(x):
        return x / x.sum() if x.sum() > 0 else np.full(len(x), np.nan)

    removed = finite_mean([share(data.summaries[int(r)].removed) for r in arm.rows])
    gained = finite_mean([share(data.summaries[int(r)].gained) for r in arm.rows])
    return np.nan_to_num(removed), np.nan_to_num(gained)


def centre_of(mass):
    return float((mass * np.arange(len(mass))).sum() / mass.sum()) if mass.sum() > 0 else math.nan


def flow_panel(data, arm, removed, gained, flow):
    layers = len(removed)
    panel = svg.Panel(
        arm.label if data.varying else "Relocation",
        height=max(250, 80 + 22 * layers),
        left=58,
        right=58,
        top=54,
        bottom=14,
    )
    if not flow.any():
        panel.text(panel.width / 2, panel.height / 2, "nothing was pruned, or nothing gained", "axis", "middle")
        return panel
    room = panel.y0 - panel.y1
    gap = min(6.0, room * 0.2 / layers)
    tall = room - gap * (layers - 1)

    def stack(shares):  # the last layer on top, the embeddings at the bottom
        tops, y = {}, panel.y1
        for l in reversed(range(layers)):
            tops[l] = y
            y += shares[l] * tall + gap
        return tops

    left, right = stack(removed), stack(gained)
    for side, tops, shares, x in ((0, left, removed, panel.x0), (1, right, gained, panel.x1 - 10)):
        for l in range(layers):
            panel.rect(
                x,
                tops[l],
                10,
                max(shares[l] * tall, 0.6),
                svg.mixed(svg.VIRIDIS, 0.08 + 0.82 * l / max(layers - 1, 1)),
                f"layer {l}: {shares[l]:.3f}",
            )
            if shares[l] * tall >= 9 or layers <= 8:
                panel.text(
                    x - 6 if side == 0 else x + 16,
                    tops[l] + shares[l] * tall / 2 + 4,
                    f"{l} · {100 * shares[l]:.0f} %",
                    "tick",
                    "end" if side == 0 else "start",
                )
    start, end = dict(left), dict(right)
    x0, x1 = panel.x0 + 11, panel.x1 - 11
    middle = (x0 + x1) / 2
    for i in reversed(range(layers)):
        for j in reversed(range(layers)):
            h = flow[i, j] * tall
            if h < 0.05:
                continue
            a, b = start[i], end[j]
            start[i] += h
            end[j] += h
            n = svg.number
            panel.add(
                f'<path d="M{n(x0, 1)} {n(a, 1)}C{n(middle, 1)} {n(a, 1)} {n(middle, 1)} {n(b, 1)} {n(x1, 1)} '
                f"{n(b, 1)}V{n(b + h, 1)}"
                f'C{n(middle, 1)} {n(b + h, 1)} {n(middle, 1)} {n(a + h, 1)} {n(x0, 1)} {n(a + h, 1)}Z" '
                f'fill="{svg.mixed(svg.VIRIDIS, 0.08 + 0.82 * i / max(layers - 1, 1))}" '
                f'fill-opacity=".5"><title>layer {i} to layer {j}: {flow[i, j]:.3f}</title></path>'
            )
    panel.text(8, 40, "removed, from layer", "axis")
    panel.text(panel.width - 8, 40, "gained, in layer", "axis", "end")
    return panel
