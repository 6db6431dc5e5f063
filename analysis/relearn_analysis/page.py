"""The report as one HTML file: everything inline, nothing fetched."""

from __future__ import annotations

import base64
import math
import os
from html import escape


from . import fig_drift, questions
from .figure import Table
from .store import plain, stage_title
from .sweepdata import smallest_p
from .words import count

MAX_EMBEDDED = 48 * 1024  # a CSV larger than this is linked, not embedded: the page stays below 5 MB
MAX_ROWS = 5000


def here(name):
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


# ------------------------------------------------------------------------------------------------ pieces


def link_to(table, text):
    """The CSV inside the page where it is small, so that the page alone is enough; beside the page in data/ in any case."""
    content = text.encode()
    where = f"data/{table.name}.csv"
    if len(content) <= MAX_EMBEDDED:
        where = "data:text/csv;charset=utf-8;base64," + base64.b64encode(content).decode()
    return f'<a href="{where}" download="{table.name}.csv">{table.name}.csv</a>'


def figure_html(figure, stats_present, texts):
    panels = "".join(p if isinstance(p, str) else p.svg() for p in figure.panels)
    links = [link_to(t, texts[t.name]) for t in figure.tables]
    if figure.lacks_interval and not stats_present:
        links.append('<span class="lack">no intervals: run relearn stats, then report again</span>')
    files = (
        f'<p class="files">{"".join(f"<span>{l}</span>" if l.startswith("<a") else l for l in links)}</p>'
        if links
        else ""
    )
    how = f'<p class="caption">{figure.how}</p>' if figure.how else ""
    solo = ' class="solo"' if len(figure.panels) == 1 else ""  # a lone panel stands beside its text where there is room
    return (
        f'<figure id="{figure.id}"{solo}><div class="text"><h3>{escape(figure.title)}</h3><p '
        f'class="says">{figure.sentence}</p>{figure.legend}</div>'
        f'<div class="panels">{panels}</div><div class="under">{how}{files}</div></figure>'
    )


def card(answer, data):
    word = questions.paper_word(answer)
    verdict = f'<span class="verdict {answer.against_paper}">{word}</span>' if word else ""
    return (
        f'<a class="card" href="#q{answer.number}"><span class="ask">{escape(answer.card)}</span><span '
        f'class="big">{escape(answer.short)}</span>'
        f'<span class="more">{escape(card_note(answer, data))}</span>{verdict}</a>'
    )


def card_note(answer, data):
    n = count(data.head.n, "seed")
    notes = {
        2: f"of the lost F1 is back at the end ({n})",
        4: f"of retraining until half is back ({n})",
        5: f"shift of the centre of saliency{', the removal’s, not the relearning’s' if questions.by_removal_alone(data) else ''} ({n})",
        6: f"base against last saliency, kept neurons ({n})",
        7: f"of kept neurons carry old and lost words ({n})",
        10: "the removal after which least comes back" if len(data.arms) > 1 else "",
    }
    return notes.get(answer.number, "")


def section(answer, data, texts):
    word = questions.paper_word(answer)
    verdict = f' <span class="verdict {answer.against_paper}">{word}</span>' if word else ""
    figures = "".join(figure_html(f, data.stats.present, texts) for f in answer.figures)
    return (
        f'<section id="q{answer.number}"><h2><span class="n">{answer.number}</span>{escape(answer.question)}</h2>'
        f'<p class="answer">{answer.text}{verdict}</p>{figures}</section>'
    )


# ------------------------------------------------------------------------------------------------ the run table


def run_table(data):
    """Every planned run: axes, F1 by stage, recovery; as the CSV and as the table of the page."""
    store = data.store
    header = [
        "run",
        "status",
        *[a for a in store.axes if a == "concept" or a in data.varying],
        "seed",
        *[f"f1_{s}" for s in store.stages],
        "recovered",
        "half_life",
        "area",
        "seconds",
        "error",
    ]
    rows = []
    for r in range(store.num_runs):
        known = data.recoveries.get(r)
        values = [
            store.runs["id"][r],
            store.runs["status"][r],
            *[plain(store.runs[a][r]) for a in header[2 : header.index("seed")]],
            plain(store.runs["seed"][r]),
        ]
        values += [float(store.runs[f"f1_{s}"][r]) for s in store.stages]
        values += [known.final(), known.half_life(), known.area()] if known else [math.nan] * 3
        values.append(float(store.runs["seconds"][r]) if "seconds" in store.runs else math.nan)
        values.append(store.runs["error"][r] if "error" in store.runs else "")
        rows.append(values)
    return Table("runs", header, rows)


TITLES = {"recovered": "recovered", "half_life": "half-life", "f1_base": "F1 base"}


def run_section(data, table, text, folder):
    kinds = [
        "text" if any(isinstance(row[i], str) for row in table.rows) else "number" for i in range(len(table.header))
    ]
    heads = "".join(
        f'<th scope="col" class="{"t" if k == "text" else ""}" data-name="{escape(n)}"><button '
        f'type="button">{escape(title_of(n))}</button></th>'
        for n, k in zip(table.header, kinds)
    )
    body = []
    for row in table.rows[:MAX_ROWS]:
        cells = "".join(run_cell(v, k, n, folder, data) for v, k, n in zip(row, kinds, table.header))
        state = "" if row[1] == "done" else f' class="{escape(str(row[1]))}"'
        body.append(f'<tr id="run-{escape(row[0])}"{state}>{cells}</tr>')
    cut = (
        f"<p class='caption'>The first {MAX_ROWS:,} of {len(table.rows):,} runs; runs.csv holds all.</p>"
        if len(table.rows) > MAX_ROWS
        else ""
    )
    return (
        f'<section id="runs"><h2>Every run</h2><p class="answer">{run_sentence(data)}</p><div class="tools"><input '
        'id="filter" type="search" '
        f'placeholder="filter: any text, or axis=value" aria-label="filter runs"><output id="shown"></output></div>'
        '<div class="scroll" tabindex="0"><table '
        f'id="run-table"><thead><tr>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>{cut}'
        f'<p class="files"><span>{link_to(table, text)}</span></p></section>'
    )


def title_of(name):
    if name.startswith("f1_"):
        return "F1 " + stage_title(name[3:])
    return TITLES.get(name, name)


def run_cell(value, kind, name, folder, data):
    if name == "run":
        shard = f"../runs/{value}.h5"
        link = os.path.exists(os.path.join(folder, "runs", f"{value}.h5"))
        return (
            f'<td class="t"><a href="{shard}">{escape(value)}</a></td>'
            if link
            else f'<td class="t">{escape(value)}</td>'
        )
    if kind == "text":
        return f'<td class="t{" wide" if name == "error" and value else ""}">{escape(str(value))}</td>'
    if isinstance(value, float) and math.isnan(value):
        return '<td class="none" data-v="">·</td>'
    if isinstance(value, float) and math.isinf(value):
        return '<td data-v="1e9">not reached</td>'
    shown = (
        str(value)
        if isinstance(value, int)
        else f"{value:g}"
        if name in data.store.axes or name == "half_life"
        else f"{value:.0f}"
        if name == "seconds"
        else f"{value:.4f}"
    )
    return f'<td data-v="{value!r}">{shown}</td>'


def run_sentence(data):
    store = data.store
    done, failed = int(store.done.sum()), int(store.failed.sum())
    text = f"{count(store.num_runs, 'run')} planned: {done} done, {failed} failed, {store.num_runs - done - failed} still to come."
    short = [a for a in data.all_arms if a.n < a.planned]
    if short:
        text += " Incomplete arms: " + "; ".join(
            f"{escape(a.label)} ({a.n} of {a.planned} done{f', {a.failed} failed' if a.failed else ''})"
            for a in short[:8]
        )
        text += "; …" if len(short) > 8 else "."
        text += " Their means are over what is done; a run that failed may have failed because of its outcome."
    nan = [r for a in data.arms for r in a.rows if not math.isfinite(data.recoveries[int(r)].final())]
    if nan:
        text += f" {count(len(nan), 'done run')} {'has' if len(nan) == 1 else 'have'} no recovered share (F1 is missing, or pruning cost less than 0.01); shown as a dot."
    return text


# ------------------------------------------------------------------------------------------------ head and foot


def notices(data):
    lines = []
    n = max(a.n for a in data.arms)
    if n == 1:
        lines.append(
            "One seed per arm: there are no intervals in this report, and no difference between arms can be told from "
            "chance."
        )
    elif smallest_p(n) > 0.05:
        lines.append(
            f"{n} seeds: no difference can be significant (the smallest possible two-sided p is {smallest_p(n):g}). "
            "Six seeds are the fewest that can."
            + (
                f" A bootstrap interval over {n} seeds stays inside their range, so it covers at most "
                f"{100 * (1 - smallest_p(n)):g} %, not 95 %."
                if data.stats.present
                else ""
            )
        )
    if data.stats.stale:
        lines.append(
            "/stats was computed from an older gathering of these results and is left aside. <code>relearn stats "
            "DIR</code> makes it again."
        )
    elif not data.stats.present and n > 1:
        lines.append(
            "This store has no /stats, so figures show means and ranges without intervals, and nothing is tested. "
            "<code>relearn stats DIR</code>, then <code>relearn report DIR</code>."
        )
    failed = int(data.store.failed.sum())
    if failed:
        lines.append(
            f"{count(failed, 'run')} of {data.store.num_runs} failed; <a href='#runs' "
            "data-filter='status=failed'>which, and why</a>."
        )
    return f'<div class="notice">{"".join(f"<p>{line}</p>" for line in lines)}</div>' if lines else ""


def head_line(data):
    store = data.store
    models = sorted({str(m) for m in store.runs["model"]})
    concepts = sorted({str(c) for c in store.runs["concept"]}) if "concept" in store.runs else []
    seeds = len({plain(s) for s in store.runs["seed"]})
    axes = f"; axes: {', '.join(data.varying)}" if data.varying else ""
    return f"{', '.join(models[:4])} · {', '.join(concepts[:4])} · {count(int(store.done.sum()), 'run')} done of {store.num_runs} · {count(seeds, 'seed')}{escape(axes)}"


def provenance(data, path):
    a = data.store.attributes
    rows = [
        ("results", os.path.abspath(path)),
        ("gathered", f"{a.get('created', '?')} by {a.get('gathered_by', '?')}"),
        ("computed by", a.get("computed_by", "?")),
        ("numerics", a.get("numerics_version", "?")),
        ("matrix products", f"{a.get('gemm_backend', '?')}, {a.get('isa', '?')}"),
    ]
    if data.stats.present:
        rows.append(
            (
                "/stats",
                f"{data.stats.attribute('computed_by', '?')}; level {data.stats.attribute('level', '?')}, "
                f"{data.stats.attribute('draws', '?')} bootstrap draws, false-discovery rate "
                f"{data.stats.attribute('q', '?')}",
            )
        )
        skipped = data.stats.skipped()
        if skipped:
            rows.append(("not in /stats", "; ".join(skipped)))
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in rows)
    return (
        '<section id="provenance"><h2>Provenance</h2><dl '
        f'class="provenance">{items}</dl><details><summary>sweep.yaml, resolved</summary>'
        f'<pre>{escape(data.store.sweep_yaml())}</pre></details><p class="caption">The unit of evidence is the run, '
        "repeated over seeds; never a neuron, a layer or a token. "
        "Tests, and intervals where it has them, are those of relearn stats; other intervals are BCa over at least six seeds, taken here by the same rule. "
        "Agreement or contradiction with the paper is stated only where an interval decides it.</p></section>"
    )


def page(data, folder, path):
    """(html, tables): the file, and every table for report/data."""
    answers = questions.all_answers(data)
    night = fig_drift.drift(data, folder)
    runs = run_table(data)
    figures = [f for a in answers for f in a.figures] + ([night] if night else [])
    tables = [t for f in figures for t in f.tables] + [runs]
    texts = {t.name: t.csv() for t in tables}
    cards = "".join(card(a, data) for a in answers if a.card)
    contents = (
        "".join(f'<a href="#q{a.number}"><b>{a.number}</b>{escape(a.question)}</a>' for a in answers)
        + '<a href="#runs"><b>·</b>Every run</a><a href="#provenance"><b>·</b>Provenance</a>'
    )
    nights = (
        f'<section id="nights"><h2>Drift</h2>{figure_html(night, data.stats.present, texts)}</section>' if night else ""
    )
    body = "".join(section(a, data, texts) for a in answers)
    title = escape(data.store.sweep)
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>{title}: relearn report</title>'
        f'<link rel="icon" href="data:,"><style>{here("style.css")}</style></head><body>'
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs><pattern id="gap" width="6" '
        'height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path d="M0 0V6" stroke="var(--rule)" stroke-width="2"/></pattern></defs></svg>'
        f'<header class="top"><p class="kicker">relearn report</p><h1>{title}</h1><p '
        f'class="facts">{head_line(data)}</p>'
        f'{notices(data)}<p class="facts" style="margin-top:1.2em">Headline arm: '
        f'<strong>{escape(data.full_label(data.head))}</strong></p><div class="summary">{cards}</div>'
        '<nav class="contents" '
        f'aria-label="contents">{contents}</nav></header><main>{body}{nights}{run_section(data, runs, texts["runs"], folder)}'
        f"{provenance(data, path)}</main><footer>Made by relearn report from results.h5 "
        f"alone.</footer><script>{here('page.js')}</script></body></html>"
    )
    return html, texts
