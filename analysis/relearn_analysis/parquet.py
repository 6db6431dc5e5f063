"""One stage's neuron table of a shard (docs/formats.md) as Parquet."""

from __future__ import annotations

import os

import h5py
import numpy as np

from .errors import BadInput
from .store import first_line, text

ARRAYS = ("rank", "score", "saliency", "similarity", "mean_difference", "effect_size", "sd", "null")


def read_stage(path, stage):
    """{column: values} in the order of ranks; `pruned` is of the stage, `top_words` a list of words, best first."""
    try:
        with h5py.File(path, "r", locking=False) as shard:
            stages = [text(s) for s in shard["stages"][()]]
            if stage not in stages:
                raise BadInput(f"{path}: has no stage '{stage}'; it has {', '.join(stages)}")
            s = stages.index(stage)
            columns = {
                "neuron": np.arange(shard["neurons/layer"].shape[0], dtype=np.int32),
                "layer": shard["neurons/layer"][()],
                "unit": shard["neurons/unit"][()],
            }
            columns.update({name: shard[f"neurons/{name}"][s] for name in ARRAYS})
            columns["null"] = columns["null"] != 0
            columns["pruned"] = (
                np.isin(columns["neuron"], shard["pruned"][()]) if s > 0 else np.zeros(len(columns["neuron"]), bool)
            )
            vocabulary = [text(w) for w in shard["vocabulary"][()]]
            words, scores = shard["words/word"][s], shard["words/score"][s]
    except (OSError, KeyError) as error:
        raise BadInput(f"{path}: is not a whole shard ({first_line(error)})") from None
    order = np.argsort(columns["rank"], kind="stable")
    table = {name: values[order] for name, values in columns.items()}
    table["top_words"] = [[vocabulary[w] for w in row if w >= 0] for row in words[order]]
    table["top_scores"] = [
        [float(x) for w, x in zip(row, score) if w >= 0] for row, score in zip(words[order], scores[order])
    ]
    return table


def export(shard, stage, path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(read_stage(shard, stage))
    table = table.replace_schema_metadata(
        {"relearn": f"run {os.path.splitext(os.path.basename(shard))[0]}, stage {stage}"}
    )
    aside = f"{path}.tmp.{os.getpid()}"
    try:
        pyarrow.parquet.write_table(table, aside)
        os.replace(aside, path)
    except OSError:
        if os.path.exists(aside):
            os.unlink(aside)
        raise
