"""Night after night: the runs of each night beside those before, and what `relearn nightly` flagged."""

from __future__ import annotations

import glob
import json
import math
import os
from html import escape

from . import svg
from .figure import Figure, Table, dot_rows, padded
from .measures import mean_of
from .words import count, join, real, signed

MAX_METRICS = 14


def nights_of(journal):
    """{run id: day} of the last day on which the run's shard was finished; lines that are not whole are left out."""
    days = {}
    if not os.path.exists(journal):
        return days
    with open(journal, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(event, dict)
                and event.get("event") == "done"
                and event.get("stage") == "shard"
                and event.get("run")
            ):
                days[event["run"]] = str(event.get("time", ""))[:10]
    return days


def nightly_reports(folder):
    """DIR/nightly/*.json, oldest first; what is not whole is left out."""
    found = []
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "nightly", "*.json"))):
        try:
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
            if isinstance(report, dict) and isinstance(report.get("metrics"), list):
                found.append(report)
        except (ValueError, OSError):
            continue
    return found


def value(metric, name):
    """A number of a report; null and text are no value."""
    given = metric.get(name)
    return float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else math.nan


def nights_panel(data, day_of):
    """(panel, table rows, sentence) of the headline arm's recovered share by night; None with fewer than two nights."""
    ids, arm = data.store.runs["id"], data.head
    nights = sorted({day_of[ids[r]] for a in data.arms for r in a.rows if day_of.get(ids[r])})
    if len(nights) < 2:
        return None
    rows = [
        [day_of[ids[r]], ids[r], float(v)]
        for r, v in zip(arm.rows, data.recovered(arm))
        if day_of.get(ids[r]) in nights
    ]
    values = {n: [v for night, _, v in rows if night == n] for n in nights}
    panel = svg.Panel(f"Recovered at the end, {arm.label}", height=260, left=40)
    panel.scales((-0.5, len(nights) - 0.5), padded([v for _, _, v in rows], 0, 1))
    panel.y_axis(svg.nice_ticks(*panel.ylim), "share of the lost F1")
    step = math.ceil(len(nights) / 7)
    panel.x_axis(
        range(len(nights)), [n[5:] if i % step == 0 else "" for i, n in enumerate(nights)], label="night (UTC)"
    )
    for i, night in enumerate(nights):
        for v in values[night]:
            panel.dot(i, v, "var(--c0)", 3, real(v), hollow=True)
    panel.line(range(len(nights)), [mean_of(values[n]) for n in nights], "var(--c0)", 2)
    known = [n for n in nights if any(math.isfinite(v) for v in values[n])]
    if len(known) < 2:
        return panel, rows, f"Runs were finished on {len(nights)} nights, but the headline arm's on one only. "
    last, before = mean_of(values[known[-1]]), mean_of([v for n in known[:-1] for v in values[n]])
    return (
        panel,
        rows,
        f"Night {known[-1]} recovered {real(last)} ({count(len(values[known[-1]]), 'seed')}) against {real(before)} on the "
        f"nights before, a difference of {signed(last - before)}; different seeds differ anyway. ",
    )


def verdict_panel(report):
    """What the newest night's metrics were expected to be, and what they were; those that moved first."""
    known = [m for m in report["metrics"] if isinstance(m, dict) and math.isfinite(value(m, "mean_now"))]
    known.sort(
        key=lambda m: (not m.get("moved"), value(m, "adjusted_p") if math.isfinite(value(m, "adjusted_p")) else 2)
    )
    rows = [
        (
            str(m.get("metric", "?")),
            [],
            value(m, "mean_now"),
            (value(m, "predicted_low"), value(m, "predicted_high")),
            "var(--c1)" if m.get("moved") else "var(--c0)",
        )
        for m in known[:MAX_METRICS]
    ]
    reach = [v for _, _, mean, interval, _ in rows for v in (mean, *interval)]
    title = f"Night {str(report.get('time', '?'))[:10]}: expected and found"
    return dot_rows(title, rows, padded(reach), "band: 95 % prediction interval from earlier seeds") if rows else None


def verdict_sentence(report):
    metrics = [m for m in report["metrics"] if isinstance(m, dict)]
    moved = [m for m in metrics if m.get("moved")]
    night = escape(str(report.get("time", "?"))[:10])
    if not moved:
        return f"relearn nightly compared {count(len(metrics), 'metric')} of night {night} with all earlier seeds and flagged none."
    names = join(
        f"<em>{escape(str(m.get('metric', '?')))}</em> ({real(value(m, 'mean_before'))} before, {real(value(m, 'mean_now'))} "
        f"now, adjusted p = {real(value(m, 'adjusted_p'))})"
        for m in moved[:4]
    )
    more = f" and {len(moved) - 4} more" if len(moved) > 4 else ""
    return f"relearn nightly flagged {len(moved)} of {count(len(metrics), 'metric')} of night {night}: {names}{more}."


def drift(data, folder):
    """None where there are neither two nights in the journal nor a report of relearn nightly."""
    by_night = nights_panel(data, nights_of(os.path.join(folder, "journal.jsonl")))
    reports = nightly_reports(folder)
    if by_night is None and not reports:
        return None
    panels, tables, sentence = [], [], ""
    if by_night:
        panels.append(by_night[0])
        tables.append(Table("nights", ["night", "run", "recovered"], by_night[1]))
        sentence = by_night[2]
    if reports:
        panels.extend(p for p in [verdict_panel(reports[-1])] if p)
        columns = ["mean_before", "mean_now", "predicted_low", "predicted_high", "p", "adjusted_p"]
        rows = [
            [
                str(r.get("time", "")),
                str(m.get("metric", "")),
                *(value(m, c) for c in columns),
                int(bool(m.get("moved"))),
            ]
            for r in reports
            for m in r["metrics"]
            if isinstance(m, dict)
        ]
        tables.append(Table("nightly", ["time", "metric", *columns, "moved"], rows))
        sentence += verdict_sentence(reports[-1])
    else:
        sentence += "No test is made of this; relearn nightly makes one."
    how = "A night is the day (UTC) on which a run's shard was finished, from the journal; verdicts are those of DIR/nightly."
    return Figure("drift", "Night after night", sentence, panels, tables, how=how, lacks_interval=not reports)
