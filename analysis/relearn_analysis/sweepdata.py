"""One sweep in memory, reduced: its arms, each run's summary and recovery, and how arms are laid out in pictures."""

from __future__ import annotations

import dataclasses
import math
from html import escape

import numpy as np

from . import measures
from .errors import BadInput
from .stats import Stats
from .store import Store, name_value, plain, stage_title

PREFERRED = (
    "prune.select",
    "rank.method",
    "prune.permanent",
    "prune.site",
    "prune.ratio",
)  # which axis becomes the colours
MAX_PANELS, MAX_COLOURS = 6, 8


@dataclasses.dataclass
class Group:
    """Arms drawn in one panel: they differ in the colour axis only."""

    label: str
    arms: list


class SweepData:
    def __init__(self, path, by=None):
        self.store = store = Store(path)
        self.stats = Stats(store.file)
        self.all_arms = store.arms()
        self.arms = [a for a in self.all_arms if a.n]
        if not self.arms:
            raise BadInput(
                f"{path}: none of its {store.num_runs} runs is done ({int(store.failed.sum())} failed); there is "
                "nothing to report yet"
            )
        self.varying = store.varying()
        self.by = self._colour_axis(by)
        self.colours = self._colour_values()
        self.groups = self._groups()
        self.summaries = {int(r): measures.summarise(store, r) for a in self.arms for r in a.rows}
        self.recoveries = {int(r): measures.recovery(store, r) for a in self.arms for r in a.rows}
        self.head = self._headline()
        self.control = self._control_of(self.head)

    # -------------------------------------------------------------------------------------------- layout

    def _colour_axis(self, by):
        if by is not None:
            if by not in self.store.axes:
                raise BadInput(f"--by: /runs has no axis '{by}'; it has {', '.join(self.store.axes)}")
            return by
        for axis in PREFERRED + tuple(self.varying):
            if axis in self.varying:
                return axis
        return None

    def _colour_values(self):
        seen = []
        for arm in self.arms:
            value = arm.value(self.by)
            if value not in seen:
                seen.append(value)
        if all(isinstance(v, (int, float)) for v in seen):
            seen.sort()
        return seen

    def colour_index(self, arm):
        return self.colours.index(arm.value(self.by)) % MAX_COLOURS

    def colour_label(self, arm):
        if self.by is None:
            return "all runs"
        return name_value(self.by, arm.value(self.by), [self.by])

    def _groups(self):
        others = [a for a in self.varying if a != self.by]
        groups = {}
        for arm in self.arms:
            label = ", ".join(name_value(a, arm.value(a), others if len(others) > 1 else [a]) for a in others)
            groups.setdefault(label, []).append(arm)
        return [
            Group(label, sorted(arms, key=lambda a: self.colours.index(a.value(self.by))))
            for label, arms in groups.items()
        ]

    def shown_groups(self, limit=MAX_PANELS):
        return self.groups[:limit]

    def left_out(self, limit=MAX_PANELS):
        hidden = len(self.groups) - limit
        return f" {limit} of {len(self.groups)} panels are drawn; the CSV holds all." if hidden > 0 else ""

    def _headline(self):
        """The arm the summary speaks of: concept-selected where selection is an axis; the first that has (nearly) as many seeds as any."""
        learned = [a for a in self.arms if a.value("arm") in (None, "relearn")] or self.arms
        concept = [a for a in learned if a.value("prune.select") in (None, "concept")] or learned
        most = max(a.n for a in concept)
        return next(a for a in concept if a.n >= 0.8 * most)

    def _control_of(self, arm):
        """The arm that differs from `arm` in prune.select = random alone."""
        for other in self.arms:
            if (
                other.value("prune.select") == "random"
                and arm.value("prune.select") not in (None, "random")
                and all(other.value(axis) == value for axis, value in arm.key if axis != "prune.select")
            ):
                return other
        return None

    # -------------------------------------------------------------------------------------------- numbers

    def arm_stages(self, arm):
        return max((self.summaries[int(r)].stages for r in arm.rows), key=len)

    def layer_count(self, arm):
        return self.summaries[int(arm.rows[0])].mean_saliency.shape[1]

    def stage_titles(self, arm):
        return [stage_title(s) for s in self.arm_stages(arm)]

    def per_run(self, arm, measure):
        """[n]: measure(summary) of each run of the arm, by seed."""
        return np.array([measure(self.summaries[int(r)]) for r in arm.rows], float)

    def per_run_stage(self, arm, attribute):
        """[n, S, ...]: an attribute of the summaries; NaN in the stages that a run does not have."""
        num = len(self.arm_stages(arm))
        rows = []
        for r in arm.rows:
            values = np.asarray(getattr(self.summaries[int(r)], attribute), float)
            pad = np.full((num - len(values),) + values.shape[1:], np.nan)
            rows.append(np.concatenate([values, pad]) if len(pad) else values)
        return np.array(rows)

    def recovery_curves(self, arm):
        """epochs [E], rows [n, E] of F1 (E = epochs from 0), base [n]."""
        curves = [self.recoveries[int(r)] for r in arm.rows]
        longest = max((c.epochs for c in curves), key=len)
        table = np.full((len(curves), len(longest)), np.nan)
        for i, c in enumerate(curves):
            table[i, : len(c.f1)] = c.f1
        return longest, table, np.array([c.base for c in curves])

    def recovered(self, arm):
        return np.array([self.recoveries[int(r)].final() for r in arm.rows])

    def half_lives(self, arm):
        return np.array([self.recoveries[int(r)].half_life() for r in arm.rows])

    def areas(self, arm):
        return np.array([self.recoveries[int(r)].area() for r in arm.rows])

    def seeds(self, arm):
        return [plain(self.store.runs["seed"][r]) for r in arm.rows]

    def paired(self, first, second, values):
        """values(first) - values(second), seed by seed, over the seeds in which both have a value."""
        a, b = dict(zip(self.seeds(first), values(first))), dict(zip(self.seeds(second), values(second)))
        d = np.array([a[s] - b[s] for s in sorted(set(a) & set(b))], float)
        return d[np.isfinite(d)]

    def describe(self, arm):
        """The arm in words, for a sentence."""
        return f"the arm <em>{escape(arm.label)}</em>" if self.varying else "the only arm"

    def full_label(self, arm):
        return f"{arm.value('model')}, {arm.label}" if arm.value("model") and "model" not in self.varying else arm.label


def smallest_p(n):
    """The smallest two-sided p of a sign-flip permutation over n pairs."""
    return 2.0 ** (1 - n) if n > 0 else 1.0


def median_with_censored(values):
    """The median where inf means "not reached": itself inf when half or more are; NaN values are left out."""
    values = np.sort(np.asarray(values, float)[~np.isnan(np.asarray(values, float))])
    if not len(values):
        return math.nan
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return math.inf if math.isinf(high) else float((low + high) / 2)
