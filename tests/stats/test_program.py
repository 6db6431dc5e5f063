#!/usr/bin/env python3
"""`relearn stats` on stores that something happened to: remade again and again, killed half-way, touched by h5py, with one seed, NaN metrics,
a foreign or unfinished file. Never a wrong number, never a damaged file, never a growing one.

usage: test_program.py --program RELEARN        exit 77: h5py or numpy is missing
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "stats"
PROGRAM = None


def gathered(path):
    """A digest of all that relearn gathered: values, types, scales and texts, /stats left out."""
    digest = hashlib.sha256()
    with h5py.File(path) as file:

        def take(name):
            if name.startswith("stats"):
                return
            item = file[name]
            digest.update(name.encode())
            if isinstance(item, h5py.Dataset):
                digest.update(str(item.dtype).encode() + item[()].tobytes())
                digest.update(str([[v.name for v in d.values()] for d in item.dims]).encode())
            for key, value in item.attrs.items():
                if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                    digest.update(f"{key}={value}".encode())

        take("/")
        file.visit(take)
    return digest.hexdigest()


class Program(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.place.name) / "sweep"
        self.folder.mkdir()
        self.results = self.folder / "results.h5"

    def tearDown(self):
        self.place.cleanup()

    def take(self, name):
        shutil.copyfile(GOLDEN / f"{name}.h5", self.results)

    def stats(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, "stats", str(self.folder), *arguments], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def findings(self):
        return json.loads(self.stats("--json").stdout)

    def test_the_file_keeps_its_size(self):
        self.take("grid")
        before = gathered(self.results)
        self.stats()
        sizes = []
        for _ in range(5):
            self.stats()
            sizes.append(self.results.stat().st_size)
        self.assertEqual(len(set(sizes)), 1, sizes)
        self.assertEqual(gathered(self.results), before)

    def test_a_kill_leaves_the_old_file(self):
        self.take("grid")
        self.stats()
        before, stats = gathered(self.results), h5py.File(self.results)["stats"].attrs["computed_by"]
        start = time.monotonic()
        self.stats()
        whole = time.monotonic() - start
        killed = 0
        for k in range(12):  # the writing is the last part of it
            child = subprocess.Popen([PROGRAM, "stats", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(whole * (0.3 + 0.06 * k))
            child.send_signal(signal.SIGKILL)
            killed += child.wait() == -signal.SIGKILL
            with h5py.File(self.results) as file:
                self.assertEqual(file["stats"].attrs["computed_by"], stats)
            self.assertEqual(gathered(self.results), before)
        self.assertGreater(killed, 0)
        self.stats()  # what the killed ones left aside is cleared away
        self.assertEqual(sorted(p.name for p in self.folder.iterdir() if ".tmp." in p.name), [])

    def test_a_format_written_by_h5py_is_text_too(self):
        self.take("grid")
        with h5py.File(self.results, "r+") as file:
            del file.attrs["format"]
            file.attrs["format"] = "relearn results 1"  # variable length: how h5py writes text
        self.stats()
        with h5py.File(self.results, "r+") as file:
            file.attrs["format"] = "relearn results 7"
        self.assertIn("found 'relearn results 7'", self.stats(code=2).stderr)

    def test_few_seeds_never_claim_95_percent(self):
        self.take("grid")
        found = self.findings()
        cells = {c["cell"]: c for c in found["cells"]}
        self.assertEqual(cells[0]["f1"][0]["coverage_at_most"], 0.95)  # 6 seeds
        self.assertEqual(cells[1]["f1"][0]["coverage_at_most"], 1 - 2.0**-4)  # 5: one failed
        with h5py.File(self.results) as file:
            f1 = file["stats/scores/f1"]
            self.assertIn(b"cannot give", f1.attrs["interval"])
            self.assertEqual(f1.attrs["coverage_at_most"], b"0.9375")
            c = file["stats/comparisons"]
            n, most = c["n"][()], c["coverage_at_most"][()]
            for pairs, covers, claimed in zip(n, most, c["claimed"][()]):
                self.assertAlmostEqual(covers, min(0.95, 1 - 2.0 ** (1 - int(pairs))))
                self.assertFalse(claimed and pairs < 6)
        self.assertIn("not 95 %: an interval over 5 seeds covers at most 93.75 %", self.stats().stdout)

    def test_one_seed_has_no_interval(self):
        self.take("one")
        for cell in self.findings()["cells"]:
            for estimate in cell["f1"] + cell["recovery"]:
                self.assertIsNone(estimate["low"])
                self.assertIsNone(estimate["high"])
                self.assertIsNone(estimate["coverage_at_most"])
        self.assertNotIn("[", self.stats().stdout.split("Entity F1")[1].split("\n\n")[0].split("\n", 1)[1])
        with h5py.File(self.results) as file:
            self.assertEqual(file["stats/scores/f1"].attrs["interval"], b"none: one seed")
            self.assertTrue(np.isnan(file["stats/scores/f1_low"][()]).all())

    def test_nan_metrics_are_gaps(self):
        self.take("grid")
        before = self.findings()
        with h5py.File(self.results, "r+") as file:
            file["runs/f1_pruned"][0] = np.nan
        after = self.findings()
        old, new = (f["cells"][0]["f1"][1] for f in (before, after))
        self.assertEqual(new["n"], old["n"] - 1)
        with h5py.File(self.results) as file:
            values, cell = file["runs/f1_pruned"][()], file["stats/runs/cell"][()]
            done = file["runs/status"][()] == b"done"
            self.assertAlmostEqual(new["mean"], np.nanmean(values[(cell == 0) & done]), places=12)
            self.assertTrue(np.isnan(file["stats/runs/rho"][0]).all())
            self.assertEqual(file["stats/runs/censored"][0], -1)

    def test_nothing_done_is_said(self):
        self.take("one")
        with h5py.File(self.results, "r+") as file:
            file["runs/status"][()] = np.array([b"failed"] * len(file["runs/status"]), file["runs/status"].dtype)
        line = self.stats(code=2).stderr
        self.assertIn("none of its 1 runs is done", line)
        self.assertEqual(line.count("\n"), 1)

    def test_foreign_and_unfinished_files_are_refused(self):
        self.take("grid")
        whole = self.results.read_bytes()
        cases = {"cut in half": whole[: len(whole) // 2], "text": b"not HDF5 at all\n", "empty": b""}
        for name, content in cases.items():
            with self.subTest(name):
                self.results.write_bytes(content)
                line = self.stats(code=2).stderr
                self.assertTrue(line.startswith("relearn: ") and line.count("\n") == 1 and "results.h5" in line, line)
                self.assertEqual(self.results.read_bytes(), content)
        self.results.unlink()
        with h5py.File(self.results, "w") as file:
            file["other"] = np.arange(3)
        self.assertIn("is not a relearn results file", self.stats(code=2).stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options, rest = parser.parse_known_args()
    PROGRAM = options.program
    if os.geteuid() == 0:
        os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    unittest.main(argv=[sys.argv[0], *rest])
