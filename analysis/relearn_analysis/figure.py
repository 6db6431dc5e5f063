"""A figure of the report: panels, what they show in one computed sentence, and the numbers as tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import math

from . import svg


@dataclasses.dataclass
class Table:
    """Written as report/data/<name>.csv."""

    name: str
    header: list
    rows: list

    def csv(self):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        for row in self.rows:
            writer.writerow([cell(v) for v in row])
        return out.getvalue()


def cell(value):
    """Reals as the shortest text that gives the same double; no value is an empty field, never a number."""
    if isinstance(value, float):
        return "" if math.isnan(value) else "inf" if math.isinf(value) else repr(float(value))
    return str(value)


@dataclasses.dataclass
class Figure:
    id: str
    title: str
    sentence: str  # HTML; says what is seen, with numbers
    panels: list  # svg.Panel, or ready HTML
    tables: list
    legend: str = ""
    how: str = ""  # HTML; how it is computed, in small print
    lacks_interval: bool = False


def dot_rows(title, rows, xlim, x_label, form="{:.2f}", reference=None, reference_label="", censor_at=None):
    """rows: (label, values per seed, mean, (low, high) or None, colour). The label stands above its line, so it may be long.

    inf is drawn as a hollow dot at `censor_at`: not reached. A mean of NaN or inf is not drawn."""
    step = 40
    panel = svg.Panel(title, height=60 + step * len(rows) + 24, left=14, right=58, top=40, bottom=44)
    panel.scales(xlim, (0, 1))
    ticks = svg.nice_ticks(*xlim)
    for t in ticks:
        panel.add(f'<path class="grid" d="M{svg.number(panel.x(t), 1)} {panel.y1 - 4}V{panel.y0}"/>')
    panel.x_axis(ticks, label=x_label)
    if reference is not None and xlim[0] <= reference <= xlim[1]:
        panel.add(f'<path class="reference" d="M{svg.number(panel.x(reference), 1)} {panel.y1 - 4}V{panel.y0}"/>')
        if reference_label:
            panel.text(panel.x(reference), panel.y1 - 8, reference_label, "tick", "middle")
    for i, (label, values, mean, interval, colour) in enumerate(rows):
        y = panel.y1 + 28 + i * step
        panel.ylim = (0, 1)
        at = (panel.y0 - y) / (panel.y0 - panel.y1)
        panel.text(panel.x0, y - 11, label[:58], "row")
        shown = "" if mean is None or math.isnan(mean) else form.format(mean) if math.isfinite(mean) else "never"
        panel.text(panel.x1 + 8, y + 4, shown, "row value")
        panel.add(f'<path class="grid" d="M{panel.x0} {svg.number(y, 1)}H{panel.x1}"/>')
        if interval is not None and all(math.isfinite(v) for v in interval):
            a, b = (min(max(v, xlim[0]), xlim[1]) for v in interval)
            panel.add(
                f'<path d="M{svg.number(panel.x(a), 1)} {svg.number(y, 1)}H{svg.number(panel.x(b), 1)}" '
                f'stroke="{colour}" '
                f'stroke-width="7" stroke-opacity=".35" stroke-linecap="round"/>'
            )
        for value in values:
            if math.isinf(value) and censor_at is not None:
                panel.dot(censor_at, at, colour, 3.2, "not reached", hollow=True)
            elif math.isfinite(value):
                panel.dot(min(max(value, xlim[0]), xlim[1]), at, colour, 2.6, form.format(value), hollow=True)
        if mean is not None and math.isfinite(mean):
            panel.dot(min(max(mean, xlim[0]), xlim[1]), at, colour, 4.6, form.format(mean))
    return panel


def padded(values, low=None, high=None, share=0.06):
    """Axis limits around finite values; given ends are kept unless the data go beyond them."""
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if low is not None:
        finite.append(low)
    if high is not None:
        finite.append(high)
    if not finite:
        return 0.0, 1.0
    a, b = min(finite), max(finite)
    if a == b:
        return a - 0.5, b + 0.5
    extra = (b - a) * share
    return a if a == low else a - extra, b if b == high else b + extra
