"""What the command-line tests share: the tiny world, running the program, and checks that say what went wrong."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from processes import launcher, on_ranks  # noqa: E402,F401

parser = argparse.ArgumentParser()
parser.add_argument("--program", required=True)
parser.add_argument("--make-world", required=True)
parser.add_argument("--mpiexec", default="mpirun")
parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
parser.add_argument("only", nargs="*", help="names of tests to run")
options = parser.parse_args()
if os.geteuid() == 0:  # containers and CI: Open MPI asks twice
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

folder = pathlib.Path(tempfile.mkdtemp(prefix="relearn-cli-"))
world = pathlib.Path(subprocess.run([options.make_world, str(folder)], check=True, capture_output=True, text=True).stdout.strip())


def relearn(*arguments, ranks=0, code=0, timeout=120, env=None, cwd=None):
    """Run the program; fail unless it exits with `code`. Returns the CompletedProcess."""
    command = [options.program, *map(str, arguments)]
    if ranks:
        command = on_ranks(options.mpiexec, ranks, *command)
    done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", timeout=timeout, cwd=cwd or world,
                          env={**os.environ, **(env or {})})
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(command)}\nexit {done.returncode}, expected {code}\n"
                             f"stdout: {done.stdout[-3000:]}\nstderr: {done.stderr[-3000:]}")
    return done


def refused(*arguments, says, ranks=0, code=2, **more):
    """The program refuses with one clear line that contains every text of `says`."""
    done = relearn(*arguments, ranks=ranks, code=code, **more)
    lines = [line for line in done.stderr.splitlines() if line.startswith("relearn: ")]
    if len(lines) != 1:
        raise AssertionError(f"{arguments}: one line was expected on stderr:\n{done.stderr}")
    for text in [says] if isinstance(says, str) else says:
        if text not in lines[0]:
            raise AssertionError(f"{arguments}: {text!r} is not in:\n{lines[0]}")
    return lines[0]


def shards(directory):
    return {path.name: path.read_bytes() for path in sorted((world / directory / "runs").glob("*.h5"))}


def run_tests(namespace):
    tests = [(n, f) for n, f in namespace.items() if n.startswith("test_") and (not options.only or n in options.only)]
    failed = 0
    for name, test in tests:
        try:
            test()
            print(f"ok    {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    if options.keep:
        print(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(tests) - failed} of {len(tests)} passed")
    sys.exit(1 if failed or not tests else 0)
