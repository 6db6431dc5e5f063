#!/usr/bin/env python3
"""results.h5 opens with h5py and with xarray, and says there what the synthetic runs of tests/store/synthetic.h say.

usage: check_results.py FOLDER        (as make_results left it)      exit 77: a module is missing
"""
import glob
import math
import sys

try:
    import h5py
    import numpy as np
    import xarray as xr
    import h5netcdf  # noqa: F401  (xarray's engine)
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

RUNS = [f"{0xabc0 + 7 * r:012x}" for r in range(8)]
FAILED = 3
STAGES = ["base", "pruned", "retrained_1", "retrained_2"]


def value_at(run, stage, i):
    return run * 1000.0 + stage * 100.0 + i / 7


def check_h5py(path):
    with h5py.File(path, "r") as f:
        assert f.attrs["format"] in ("relearn results 1", b"relearn results 1"), f.attrs["format"]
        assert set(f) == {"causal", "finders", "layers", "neurons", "runs", "sweep_yaml", "training", "types", "vocabulary", "words"}, set(f)
        assert "seed: 0..9" in f["sweep_yaml"][()].decode()
        words = [w.decode() for w in f["vocabulary"][()]]
        assert words == ["the", "Anna", "Paris", "Zürich", "of"], words
        score = f["neurons/mini/score"]
        assert score.shape == (6, 4, 24) and score.dtype == np.float64
        assert [d[0].name.split("/")[-1] for d in score.dims] == ["run", "stage", "neuron"]
        assert score[0, 1, 5] == value_at(0, 1, 5)
        assert math.isnan(score.fillvalue)
        assert f["words/mini/word"].shape == (6, 4, 24, 3)
        assert [d[0].name.split("/")[-1] for d in f["words/mini/word"].dims] == ["run", "stage", "neuron", "k"]
        unlabelled = []

        def visit(name, thing):
            if not isinstance(thing, h5py.Dataset):
                return
            if "long_name" not in thing.attrs:
                unlabelled.append(name)
            if not thing.is_scale:
                unlabelled.extend(f"{name} axis {i}" for i, d in enumerate(thing.dims) if len(d) != 1)

        f.visititems(visit)
        assert not unlabelled, unlabelled


def check_runs(path):
    runs = xr.open_dataset(path, group="runs", engine="h5netcdf")
    assert dict(runs.sizes) == {"run": 8}, runs.sizes
    assert list(runs.run.values) == RUNS, runs.run.values
    assert list(runs["id"].values) == RUNS
    assert runs.status.sel(run=RUNS[FAILED]).item() == "failed"
    assert runs.error.sel(run=RUNS[FAILED]).item() == "the loss is NaN at step 3"
    assert runs.seed.dtype == np.int64 and runs.seed.values[7] == 3
    assert runs["prune.ratio"].values[1] == 0.1
    assert runs.f1_base.sel(run=RUNS[6]).item() == value_at(6, 0, 0) + 0.3
    assert math.isnan(runs.f1_base.sel(run=RUNS[FAILED]).item())
    assert math.isnan(runs.f1_retrained_2.sel(run=RUNS[0]).item())
    assert runs.seconds.attrs["units"] == "s"
    assert list(runs.model.values[:3]) == ["mini", "mini", "mini_2"]


def check_neurons(path):
    runs = xr.open_dataset(path, group="runs", engine="h5netcdf")
    neurons = xr.open_dataset(path, group="neurons/mini_2", engine="h5netcdf")
    assert dict(neurons.sizes) == {"run": 2, "stage": 4, "neuron": 10}, neurons.sizes
    assert list(neurons.stage.values) == STAGES
    assert {"layer", "unit"} <= set(neurons.coords), neurons.coords
    assert neurons.layer.dims == ("neuron",) and neurons.unit.values[7] == 2
    assert list(neurons.run.values) == [RUNS[2], RUNS[5]]
    one = neurons.score.sel(run=RUNS[5], stage="retrained_2", neuron=9)
    assert one.item() == value_at(5, 3, 9)
    assert math.isnan(neurons.score.sel(run=RUNS[2], stage="retrained_2", neuron=9).item())
    assert neurons["rank"].sel(run=RUNS[2], stage="retrained_2", neuron=9).item() == -1
    by_layer = neurons.effect_size.groupby("layer").mean()
    assert by_layer.sizes["layer"] == 2
    joined = xr.merge([runs[["seed", "concept"]], neurons[["saliency"]]], join="inner")
    assert joined.sizes["run"] == 2 and list(joined.seed.values) == [1, 2]


def check_words_and_training(path):
    words = xr.open_dataset(path, group="words/mini", engine="h5netcdf")
    root = xr.open_dataset(path, engine="h5netcdf")
    ids = words.word.sel(run=RUNS[1], stage="base", neuron=0).values
    assert [root.vocabulary.values[i] for i in ids[:2]] == ["the", "Zürich"], ids
    assert ids[2] == -1 and words.word.dtype == np.int32
    training = xr.open_dataset(path, group="training", engine="h5netcdf")
    assert training.loss.dims == ("run", "stage", "step")
    assert training.loss.sel(run=RUNS[7], stage="base", step=2).item() == value_at(7, 0, 1)
    assert math.isnan(training.loss.sel(run=RUNS[7], stage="pruned", step=1).item())
    assert training.f1.dims == ("run", "stage", "epoch")
    assert training.f1.sel(run=RUNS[0], stage="base", epoch=2).item() == value_at(0, 0, 0) + 1


def check_types_and_readings(path):
    types = xr.open_dataset(path, group="types", engine="h5netcdf")
    assert dict(types.sizes) == {"run": 8, "stage": 4, "type": 3}, types.sizes
    assert types.f1.sel(run=RUNS[0], stage="pruned", type="PER").item() == value_at(0, 1, 0) + 1.3
    assert types.support.sel(run=RUNS[7], stage="retrained_1", type="MISC").item() == 7206
    assert np.isnan(types.f1.sel(run=RUNS[FAILED])).all()
    readings = {"layers/mini": ("cka", ("run", "stage", "layer")), "finders": ("spearman", ("run", "stage", "finder")),
                "causal": ("concept_drop", ("run", "stage", "set"))}
    for group, (name, dims) in readings.items():  # the synthetic runs have no readings: gaps, not zeros
        reading = xr.open_dataset(path, group=group, engine="h5netcdf")[name]
        assert reading.dims == dims and np.isnan(reading).all(), (group, reading)


def check_shards(folder):
    shards = sorted(set(glob.glob(f"{folder}/*.h5")) - {f"{folder}/results.h5"})
    assert len(shards) == 7, shards
    with h5py.File(shards[1], "r") as f:
        assert f.attrs["run"].decode() if isinstance(f.attrs["run"], bytes) else f.attrs["run"] == RUNS[1]
        assert [s.decode() for s in f["stages"][()]] == STAGES
        assert f["neurons/score"][2, 3] == value_at(1, 2, 3)
        assert f["scores/word_f1"][3] == value_at(1, 3, 0) + 0.3


def main():
    folder = sys.argv[1]
    path = f"{folder}/results.h5"
    check_h5py(path)
    check_runs(path)
    check_neurons(path)
    check_words_and_training(path)
    check_types_and_readings(path)
    check_shards(folder)
    print(f"{path}: h5py {h5py.__version__} and xarray {xr.__version__} read what was written")


if __name__ == "__main__":
    main()
