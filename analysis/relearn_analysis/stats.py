"""What `relearn stats` left in /stats (docs/results-format.md). Where a group is absent every question to it is answered with None or an
empty list, and the report says what is missing and how to get it.
"""

from __future__ import annotations

import h5py
import numpy as np


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _columns(group):
    """The one-dimensional datasets of a group as lists; text as str."""
    out = {}
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and item.ndim == 1:
            values = item[()]
            out[name] = [_text(v) for v in values] if item.dtype.kind in "SO" else values.tolist()
    return out


class Stats:
    def __init__(self, file):
        self.group = file.get("stats")
        self.cell_of_run = {}
        self.stale = False
        if self.group is None:
            return
        made_from, now = self.group.attrs.get("gathered"), file.attrs.get("created")
        if made_from is not None and now is not None and _text(made_from) != _text(now):
            self.group, self.stale = None, True
            return
        if "runs" in self.group and "cell" in self.group["runs"] and "run" in self.group["runs"]:
            runs = _columns(self.group["runs"])
            self.cell_of_run = dict(zip(runs["run"], runs["cell"]))

    @property
    def present(self):
        return self.group is not None

    def attribute(self, name, default=""):
        return _text(self.group.attrs[name]) if self.present and name in self.group.attrs else default

    def _find(self, path):
        return self.group.get(path) if self.present else None

    def _row(self, group, cell):
        """Where a group's first axis holds only some cells (one model), the row of `cell` in it."""
        if "cell" in group:
            at = np.flatnonzero(group["cell"][()] == cell)
            return int(at[0]) if len(at) else None
        return cell

    def estimate(self, path, name, run, *index):
        """(mean, low, high, n) of estimate `name` of group `path` for the cell of `run`; an index may be a stage's name. None when absent."""
        return self._values(path, [f"{name}{tail}" for tail in ("", "_low", "_high", "_n")], run, index)

    def _values(self, path, names, run, index):
        group = self._find(path)
        cell = self.cell_of_run.get(run)
        if group is None or cell is None or any(name not in group for name in names):
            return None
        row = self._row(group, cell)
        if row is None:
            return None
        place = [row]
        for i in index:
            if isinstance(i, str):
                stages = [_text(s) for s in group["stage"][()]] if "stage" in group else []
                if i not in stages:
                    return None
                i = stages.index(i)
            place.append(i)
        if any(p >= size for p, size in zip(place, group[names[0]].shape)):
            return None
        return tuple(float(group[name][tuple(place)]) for name in names)

    def interval(self, path, name, run, *index):
        """(low, high); None when absent or without one."""
        found = self._values(path, [f"{name}_low", f"{name}_high"], run, index)
        return found if found is not None and np.isfinite(found).all() else None

    def comparisons(self, **wanted):
        """Rows of /stats/comparisons as dictionaries whose fields equal `wanted`."""
        group = self._find("comparisons")
        if group is None:
            return []
        columns = _columns(group)
        keep = [i for i in range(len(columns.get("measure", []))) if all(columns[k][i] == v for k, v in wanted.items())]
        return [{name: values[i] for name, values in columns.items()} for i in keep]

    def compare(self, run_a, run_b, measure, **wanted):
        """The row of arm a minus arm b; with a's and b's places exchanged where it was computed the other way round."""
        a, b = self.cell_of_run.get(run_a), self.cell_of_run.get(run_b)
        for row in self.comparisons(measure=measure, **wanted):
            if (row["cell_a"], row["cell_b"]) == (a, b):
                return row
            if (row["cell_a"], row["cell_b"]) == (b, a):
                turned = dict(
                    row,
                    cell_a=a,
                    cell_b=b,
                    arm_a=row["arm_b"],
                    arm_b=row["arm_a"],
                    mean_a=row["mean_b"],
                    mean_b=row["mean_a"],
                )
                turned.update(difference=-row["difference"], low=-row["high"], high=-row["low"])
                return turned
        return None

    def regression(self, fit="all"):
        """{term: {estimate, se, p, low, high}} and {num_runs, num_clusters, r_squared, num_rows}; None when absent."""
        group = self._find("regression")
        if group is None:
            return None
        fits, terms = [_text(v) for v in group["fit"][()]], [_text(v) for v in group["term"][()]]
        if fit not in fits:
            return None
        f = fits.index(fit)
        names = [n for n in ("estimate", "se", "p", "low", "high") if n in group]
        about = {n: float(group[n][f]) for n in ("num_runs", "num_clusters", "r_squared", "num_rows") if n in group}
        return {t: {n: float(group[n][f, i]) for n in names} for i, t in enumerate(terms)}, about

    def variance(self):
        """{response: {factor: share}}; None when absent."""
        group = self._find("variance")
        if group is None or "share" not in group:
            return None
        factors = [_text(v) for v in group["factor"][()]]
        return {
            _text(r): dict(zip(factors, map(float, row))) for r, row in zip(group["response"][()], group["share"][()])
        }

    def components(self, model, stage):
        """scores [run, component], shares [component], run ids; None when absent."""
        group = self._find(f"components/{model}")
        if group is None or "score" not in group or "stage" not in group:
            return None
        stages = [_text(s) for s in group["stage"][()]]
        if stage not in stages:
            return None
        s = stages.index(stage)
        return group["score"][s], group["share"][s], [_text(r) for r in group["run"][()]]

    def skipped(self):
        return [line for line in self.attribute("skipped").split("\n") if line.strip()]
