#!/usr/bin/env python3
"""The examples of docs/report.md, the report and Parquet on a store that the C code gathered (tests/store/make_results.c).

usage: test_examples.py FOLDER        exit 77: a module is missing
"""

import contextlib
import csv
import glob
import io
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ANALYSIS = os.path.normpath(os.path.join(HERE, "..", "..", "analysis"))
sys.path[:0] = [ANALYSIS, HERE]
try:
    import h5py
    import numpy as np
    import pyarrow.parquet
    import xarray  # noqa: F401
    import h5netcdf  # noqa: F401
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)
from relearn_analysis import command  # noqa: E402


def example(name, path):
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", os.path.join(ANALYSIS, "examples", name), path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def relearn(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command.main(list(arguments))
    return code, out.getvalue(), err.getvalue()


def check_examples(path):
    said = example("read_results.py", path)
    with h5py.File(path) as f:
        done = f["runs/status"].asstr()[:] == "done"
        mean = np.nanmean(f["runs/f1_base"][:][done]) if "prune.select" not in f["runs"] else None
        first = f["neurons"][next(iter(f["neurons"]))]
        layer_mean = np.nanmean(first["saliency"][0, 0][first["layer"][:] == 0])
    if mean is not None:
        assert f"base {mean:.4f}" in said, said
    assert f"{layer_mean:6.3f}" in said, said
    said = example("xarray_results.py", path)
    assert "by layer and run" in said and "nan" not in said.split("F1 lost")[1], said


def check_report(folder):
    with tempfile.TemporaryDirectory() as out:
        code, said, err = relearn("report", folder, "--out", out)
        assert (code, err) == (0, ""), err
        with open(os.path.join(out, "data", "runs.csv"), newline="") as file:
            rows = {row["run"]: row for row in csv.DictReader(file)}
        with h5py.File(os.path.join(folder, "results.h5")) as f:
            for run_id, status, f1 in zip(f["runs/id"].asstr()[:], f["runs/status"].asstr()[:], f["runs/f1_base"][:]):
                assert rows[run_id]["status"] == status
                assert rows[run_id]["f1_base"] == ("" if np.isnan(f1) else repr(float(f1)))


def check_parquet(shard):
    with tempfile.TemporaryDirectory() as out:
        path = os.path.join(out, "table.parquet")
        code, _, err = relearn("export", "--parquet", path, shard, "retrained_1")
        assert code == 0, err
        table = pyarrow.parquet.read_table(path)
        with h5py.File(shard) as f:
            stage = list(f["stages"].asstr()[:]).index("retrained_1")
            words, vocabulary = f["words/word"][stage], f["vocabulary"].asstr()[:]
            assert table.num_rows == f["neurons/score"].shape[1]
            order = table["neuron"].to_numpy()
            for name in ("score", "saliency", "similarity", "rank"):
                np.testing.assert_array_equal(table[name].to_numpy(), f[f"neurons/{name}"][stage][order])
            assert table["top_words"].to_pylist() == [[vocabulary[w] for w in words[n] if w >= 0] for n in order]
            assert set(order[table["pruned"].to_numpy()]) == set(f["pruned"][:])
        assert (np.diff(table["rank"].to_numpy()) >= 0).all()
        code, _, err = relearn("export", "--parquet", path, shard, "retrained_9")
        assert code == 2 and err.count("\n") == 1 and "retrained_1" in err, err
        with open(os.path.join(out, "x.h5"), "w") as file:
            file.write("no shard")
        code, _, err = relearn("export", "--parquet", path, os.path.join(out, "x.h5"), "base")
        assert code == 2 and err.count("\n") == 1, err


def main():
    folder = sys.argv[1]
    check_examples(os.path.join(folder, "results.h5"))
    check_report(folder)
    check_parquet(sorted(set(glob.glob(f"{folder}/*.h5")) - {f"{folder}/results.h5"})[0])


if __name__ == "__main__":
    main()
