"""Numbers in sentences: an estimate never stands without its n, and never with an interval that nobody computed."""

from __future__ import annotations

import math

import numpy as np

from .measures import FEWEST, bca
from .sweepdata import smallest_p

HOW = "relearn stats"


def real(x, digits=3):
    if x is None or math.isnan(x):
        return "no value"
    if math.isinf(x):
        return "not reached"
    return f"{x:.{digits}f}"


def signed(x, digits=3):
    return "no value" if math.isnan(x) else f"{x:+.{digits}f}".replace("-", "\u2212")


def percent(x, digits=1):
    """The form of a share that is to be read in percent."""
    return "no value" if x is None or math.isnan(x) else f"{100 * x:.{digits}f} %"


def count(n, noun):
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def estimate(values, interval=None, digits=3, form=real):
    """Mean over seeds with what is known of its spread."""
    values = np.asarray(values, float)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "no value"
    mean = form(float(finite.mean()), digits)
    missing = f"; {count(len(values) - len(finite), 'seed')} without a value" if len(finite) < len(values) else ""
    if len(finite) == 1:
        return f"{mean} (one seed, so no interval{missing})"
    if interval is None or not all(math.isfinite(v) for v in interval):
        interval = bca(finite)
    if interval is not None:
        ends = f"{form(interval[0], digits)} to {form(interval[1], digits)}"
        return f"{mean} ({interval_name(len(finite))} {ends}, {len(finite)} seeds{missing})"
    if len(finite) == 2:
        return f"{mean} (2 seeds: {form(float(finite[0]), digits)} and {form(float(finite[1]), digits)}; no interval{missing})"
    return f"{mean} ({len(finite)} seeds, from {form(float(finite.min()), digits)} to {form(float(finite.max()), digits)}; no interval{missing})"


def interval_name(n):
    """What an interval over n seeds may be called: fewer than 6 cannot give 95 % (docs/results-format.md)."""
    return "95 % interval" if n >= FEWEST else f"interval (over {n} seeds it covers at most {100 * (1 - smallest_p(n)):g} %)"


def verdict_on(n):
    """What n pairs could show at all (sign flips: p >= 2^(1-n))."""
    p = smallest_p(n)
    if n < 1:
        return "no pair of seeds to compare"
    if p > 0.05:
        return f"with {count(n, 'seed')} no difference can be significant (smallest possible p = {p:g})"
    return f"with {count(n, 'seed')} the smallest possible p is {p:.3g}"


def verdict_of(row):
    """The verdict of a row of /stats/comparisons and, where it is open, how many seeds would settle it."""
    needed = row.get("seeds_needed", -1)
    return row["verdict"] + (f" (about {needed} seeds would settle it)" if not row["claimed"] and needed > 0 else "")


def join(items):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
