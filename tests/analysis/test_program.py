#!/usr/bin/env python3
"""`relearn report` and `relearn export --parquet` as a user starts them: from the build tree, from an installed copy, with a Python that lacks
modules, with none, with an unreadable store; paths are never seen by a shell.

usage: test_program.py --program RELEARN        exit 77: h5py or numpy is missing
"""

import argparse
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

try:
    import h5py  # noqa: F401
    import numpy  # noqa: F401
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import make_store  # noqa: E402

PROGRAM = None


class Program(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.folder = os.path.join(self.place.name, "-a b; $(touch x) 'é")
        os.makedirs(self.folder)

    def tearDown(self):
        self.place.cleanup()

    def relearn(self, *arguments, program=None, **environment):
        done = subprocess.run(
            [program or PROGRAM, *arguments],
            capture_output=True,
            text=True,
            cwd=self.place.name,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("RELEARN_")},
                "RELEARN_PYTHON": sys.executable,
                **environment,
            },
        )
        return done.returncode, done.stdout, done.stderr

    def store(self):
        make_store.write(os.path.join(self.folder, "results.h5"), seeds=2)

    def refused(self, *words, **environment):
        code, _, err = self.relearn("report", "--", self.folder, **environment)
        self.assertEqual((code, err.count("\n")), (2, 1), err)
        self.assertTrue(err.startswith("relearn: "), err)
        for word in words:
            self.assertIn(word, err)

    def test_report_and_its_path(self):
        self.store()
        code, out, err = self.relearn("report", "--", self.folder)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, os.path.join(self.folder, "report", "index.html") + "\n")
        self.assertTrue(os.path.getsize(out.strip()) > 10_000)
        self.assertEqual(os.listdir(self.place.name), [os.path.basename(self.folder)])
        code, out, _ = self.relearn("report", "--out", "elsewhere", "--by", "model", "--", self.folder)
        self.assertEqual((code, out), (0, "elsewhere/index.html\n"))

    def test_refusals_are_one_line(self):
        self.refused("results.h5", "there is no such file")
        with open(os.path.join(self.folder, "results.h5"), "w") as file:
            file.write("text")
        self.refused("is not an HDF5 file")

    def test_no_python(self):
        self.refused("/nowhere/python", "apt-get install python3", RELEARN_PYTHON="/nowhere/python")

    def test_python_without_modules_names_them_all(self):
        python = os.path.join(self.place.name, "python")
        with open(python, "w") as file:  # -S and -I leave site-packages out
            file.write(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
        os.chmod(python, 0o755)
        self.refused("no numpy and no h5py", "pip install numpy h5py", "python3-h5py", RELEARN_PYTHON=python)

    def test_python_that_crashes_is_an_internal_error(self):
        python = os.path.join(self.place.name, "python")
        with open(python, "w") as file:
            file.write("#!/bin/sh\nkill -SEGV $$\n")
        os.chmod(python, os.stat(python).st_mode | stat.S_IXUSR)
        code, _, err = self.relearn("report", "--", self.folder, RELEARN_PYTHON=python)
        self.assertEqual((code, "signal 11" in err), (70, True), err)

    def test_an_installed_copy_finds_its_package(self):
        self.store()
        prefix = os.path.join(self.place.name, "prefix")
        os.makedirs(os.path.join(prefix, "bin"))
        shutil.copy(PROGRAM, os.path.join(prefix, "bin", "relearn"))
        shutil.copytree(
            os.path.join(HERE, "..", "..", "analysis"),
            os.path.join(prefix, "share", "relearn", "analysis"),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        with open(os.path.join(prefix, "share", "relearn", "analysis", "relearn_analysis", "style.css"), "a") as file:
            file.write("/* the installed one */")
        code, out, err = self.relearn("report", "--", self.folder, program=os.path.join(prefix, "bin", "relearn"))
        self.assertEqual(code, 0, err)
        with open(out.strip(), encoding="utf-8") as file:
            self.assertIn("the installed one", file.read())
        self.refused("RELEARN_ANALYSIS=/nowhere", RELEARN_ANALYSIS="/nowhere")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    options, rest = parser.parse_known_args()
    PROGRAM = os.path.abspath(options.program)
    unittest.main(argv=sys.argv[:1] + rest)
