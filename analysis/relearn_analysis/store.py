"""Reading results.h5 (docs/formats.md): the runs as columns, one run's neurons at a time, never a whole neuron array."""

from __future__ import annotations

import dataclasses
import os

import h5py
import numpy as np

from .errors import BadInput

ONE_WORD_AXES = {
    "model",
    "concept",
    "arm",
    "protocol",
}  # every other configuration path has a dot in it, and no measure has


def text(value):
    """HDF5 text as str: fixed-length bytes, variable-length objects, numpy scalars."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def column(dataset):
    """A whole dataset; text becomes an array of str."""
    values = dataset[()]
    if dataset.dtype.kind in "SO":
        return np.array([text(v) for v in values], dtype=object)
    return np.asarray(values)


@dataclasses.dataclass(frozen=True)
class Arm:
    """The runs that differ in nothing but the seed."""

    key: tuple  # ((axis, value), ...) of every axis but the seed
    label: str  # the axes that vary, in words
    rows: np.ndarray  # rows of /runs that are done and have neurons, by seed
    planned: int
    failed: int

    def value(self, axis):
        return dict(self.key).get(axis)

    @property
    def n(self):
        return len(self.rows)


class Store:
    """An open results.h5. Raises BadInput with one line when it is not one."""

    def __init__(self, path):
        self.path = path
        self.file = _open(path)
        self.attributes = {
            name: text(value) if isinstance(value, (bytes, str)) else value for name, value in self.file.attrs.items()
        }
        if not str(self.attributes.get("format", "")).startswith("relearn results"):
            raise BadInput(
                f"{path}: is HDF5, but not a store of relearn (its attribute 'format' is "
                f"{self.attributes.get('format', 'absent')!r}; expected 'relearn results 1')"
            )
        for group in ("runs", "neurons", "training"):
            if group not in self.file:
                raise BadInput(
                    f"{path}: group /{group} is missing; gather the sweep again: relearn gather "
                    f"{os.path.dirname(path) or '.'}"
                )
        self.runs = {name: column(item) for name, item in self.file["runs"].items() if isinstance(item, h5py.Dataset)}
        for name in ("id", "status", "seed", "model"):
            if name not in self.runs:
                raise BadInput(
                    f"{path}: column /runs/{name} is missing; gather the sweep again with this version of relearn"
                )
        self.num_runs = len(self.runs["id"])
        if not self.num_runs:
            raise BadInput(f"{path}: holds no runs")
        self.stages = [name[len("f1_") :] for name in self.runs if name.startswith("f1_")]
        self.stages.sort(key=stage_order)
        self.done = self.runs["status"] == "done"
        self.failed = self.runs["status"] == "failed"
        self.row_of = {}  # model -> {run id: row of /neurons/<model>}
        for model, group in self.file["neurons"].items():
            self.row_of[model] = {run: i for i, run in enumerate(column(group["run"]))}
        self.curve_row = None
        self.group_row = {}  # group -> {run id: row of its arrays}
        self.words_row = {}  # model -> {run id: row of /words/<model>}
        self.training_row = {run: i for i, run in enumerate(column(self.file["training/run"]))}
        self.axes = self._find_axes()

    def close(self):
        self.file.close()

    @property
    def sweep(self):
        return self.attributes.get("sweep", os.path.basename(os.path.dirname(os.path.abspath(self.path))))

    def _find_axes(self):
        names = [n for n in self.runs if "." in n or n in ONE_WORD_AXES]
        return sorted(names, key=lambda n: (n != "model", n != "concept", n))

    def varying(self):
        """The axes, seed aside, that have more than one value."""
        return [a for a in self.axes if len(set(plain(v) for v in self.runs[a])) > 1]

    def has_neurons(self, row):
        return self.runs["id"][row] in self.row_of.get(self.runs["model"][row], {})

    def arms(self):
        """All arms in order of first appearance. A done run without neurons counts as planned, not as done."""
        groups = {}
        for row in range(self.num_runs):
            groups.setdefault(tuple((a, plain(self.runs[a][row])) for a in self.axes), []).append(row)
        varying = self.varying()
        arms = []
        for key, rows in groups.items():
            label = ", ".join(name_value(a, v, varying) for a, v in key if a in varying) or "all runs"
            usable = [r for r in rows if self.done[r] and self.has_neurons(r)]
            usable.sort(key=lambda r: plain(self.runs["seed"][r]))
            arms.append(Arm(key, label, np.array(usable, int), len(rows), int(sum(self.failed[r] for r in rows))))
        return arms

    def score(self, measure, stage, rows):
        name = f"{measure}_{stage}"
        return np.asarray(self.runs[name][rows], float) if name in self.runs else np.full(len(rows), np.nan)

    def layers(self, model):
        return self.file[f"neurons/{model}/layer"][()]

    def model_stages(self, model):
        return [text(s) for s in self.file[f"neurons/{model}/stage"][()]]

    def neurons(self, array, row):
        """One run's [stage, neuron] as float64; integers keep their -1."""
        model = self.runs["model"][row]
        return np.asarray(self.file[f"neurons/{model}/{array}"][self.row_of[model][self.runs["id"][row]]], float)

    def has_array(self, array, model):
        return f"neurons/{model}/{array}" in self.file

    def top_words(self, row):
        """One run's word ids [stage, neuron, k]; -1 where the list is shorter. None without words."""
        model = self.runs["model"][row]
        if f"words/{model}/word" not in self.file:
            return None
        if model not in self.words_row:
            self.words_row[model] = {run: i for i, run in enumerate(column(self.file[f"words/{model}/run"]))}
        at = self.words_row[model].get(self.runs["id"][row])
        return self.file[f"words/{model}/word"][at] if at is not None else None

    def vocabulary(self):
        return column(self.file["vocabulary"]) if "vocabulary" in self.file else np.array([], object)

    def training(self, array, row):
        """One run's [stage, epoch or step] with the stages' names; None where the run left no shard."""
        at = self.training_row.get(self.runs["id"][row])
        if at is None or array not in self.file["training"]:
            return None, []
        return np.asarray(self.file["training"][array][at], float), [text(s) for s in self.file["training/stage"][()]]

    def curve(self, array, row):
        """One run's [stage, point] of /curve with its steps and the stages' names; None in stores from before recovery curves."""
        if "curve" not in self.file or array not in self.file["curve"] or "step" not in self.file["curve"]:
            return None, None, []
        if self.curve_row is None:
            self.curve_row = {run: i for i, run in enumerate(column(self.file["curve/run"]))}
        at = self.curve_row.get(self.runs["id"][row])
        if at is None:
            return None, None, []
        group = self.file["curve"]
        return (
            np.asarray(group[array][at], float),
            np.asarray(group["step"][at], float),
            [text(s) for s in group["stage"][()]],
        )

    def names(self, group, scale):
        """The entries of a text scale; none where the group is absent."""
        place = f"{group}/{scale}"
        return [text(v) for v in self.file[place][()]] if place in self.file else []

    def by_run(self, group, name, row):
        """One run's slab of /<group>/<name> as float64; None where the store has none."""
        if f"{group}/{name}" not in self.file or f"{group}/run" not in self.file:
            return None
        if group not in self.group_row:
            self.group_row[group] = {run: i for i, run in enumerate(column(self.file[f"{group}/run"]))}
        at = self.group_row[group].get(self.runs["id"][row])
        return np.asarray(self.file[f"{group}/{name}"][at], float) if at is not None else None

    def sweep_yaml(self):
        return text(self.file["sweep_yaml"][()]) if "sweep_yaml" in self.file else ""


def plain(value):
    return value.item() if isinstance(value, np.generic) else value


def name_value(axis, value, varying):
    """One axis of a label. Values that speak for themselves stand alone; where two axes have values in common ("random") the finder says "by"."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    if axis == "rank.method" and "prune.select" in varying:
        return f"by {shown}"
    if len(varying) > 1 and shown in ("true", "false"):
        return ("" if shown == "true" else "not ") + axis.split(".")[-1]
    if len(varying) > 1 and axis == "arm":
        return shown
    if len(varying) == 1 or axis in ("model", "concept", "prune.select", "rank.method"):
        return shown if axis in ("model", "concept", "prune.select", "rank.method") else f"{axis} {shown}"
    return f"{axis.split('.')[-1]} {shown}"


def stage_order(stage):
    fixed = {"base": 0, "pruned": 1}
    number = stage.rsplit("_", 1)[-1]
    return fixed.get(stage, 2 + (int(number) if number.isdigit() else 0))


def stage_title(stage):
    return stage.replace("retrained_", "round ")


def _open(path):
    if os.path.isdir(path):
        raise BadInput(f"{path}: is a folder; expected a results.h5")
    if not os.path.exists(path):
        raise BadInput(
            f"{path}: there is no such file; relearn run writes it at its end, relearn gather from what is finished "
            "so far"
        )
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if not h5py.is_hdf5(path):
            raise BadInput(f"{path}: is not an HDF5 file; expected the results.h5 of a sweep") from None
        raise BadInput(
            f"{path}: cannot be read as HDF5, perhaps it is unfinished or damaged ({first_line(error)}); "
            f"make it again: relearn gather {os.path.dirname(path) or '.'}"
        ) from None


def first_line(error):
    return str(error).split("\n")[0]
