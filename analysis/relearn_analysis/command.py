"""report, export and paper as commands: `relearn` starts them, and so can anyone: python3 analysis report DIR.

Exit codes are those of relearn: 0 done, 2 wrong usage or input, 70 an error of this program.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys


DEBIAN = {
    "numpy": "python3-numpy",
    "h5py": "python3-h5py",
    "matplotlib": "python3-matplotlib",
    "pyarrow": None,
}  # no pyarrow in Debian 12


def lacks(modules):
    packages = [DEBIAN[m] for m in modules if DEBIAN[m]]
    debian = f" (Debian: apt-get install {' '.join(packages)})" if packages else ""
    return (
        f"{sys.executable} has no {' and no '.join(modules)}; install it: {sys.executable} -m pip install "
        f"{' '.join(modules)}{debian}, "
        "or name another Python in RELEARN_PYTHON"
    )


def fail(message, code=2):
    print(f"relearn: {message}", file=sys.stderr)
    return code


def parser():
    top = argparse.ArgumentParser(prog="relearn", description="What reads a sweep's results in Python.")
    commands = top.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="DIR/report/index.html")
    report.add_argument("directory")
    report.add_argument(
        "--by", help="the axis that becomes the colours (default: prune.select, rank.method, ... whichever varies)"
    )
    report.add_argument("--out", help="another folder than DIR/report")
    export = commands.add_parser("export", help="one stage's neuron table of a shard as Parquet")
    export.add_argument("shard")
    export.add_argument("stage")
    export.add_argument("--parquet", required=True)
    from . import plot_sweep, paper

    plot_sweep.add_to(commands)
    paper.add_to(commands)
    return top


def write_report(options):
    from . import page
    from .files import write_atomically
    from .sweepdata import SweepData

    path = os.path.join(options.directory, "results.h5")
    data = SweepData(path, options.by)
    html, texts = page.page(data, options.directory, path)
    out = options.out or os.path.join(options.directory, "report")
    for name, text in texts.items():
        write_atomically(os.path.join(out, "data", f"{name}.csv"), text)
    write_atomically(os.path.join(out, "index.html"), html)
    print(os.path.join(out, "index.html"))
    return 0


def write_parquet(options):
    from .parquet import export

    export(options.shard, options.stage, options.parquet)
    print(options.parquet)
    return 0


def main(arguments=None):
    absent = [name for name in ("numpy", "h5py") if importlib.util.find_spec(name) is None]
    if absent:
        return fail(lacks(absent))
    from . import paper, plot_sweep
    from .errors import BadInput

    options = parser().parse_args(arguments)
    try:
        return {"report": write_report, "export": write_parquet, "plot": plot_sweep.run, "paper": paper.run}[
            options.command
        ](options)
    except ImportError as missing:
        module = (missing.name or "").split(".")[0]
        if module not in DEBIAN:
            raise
        return fail(lacks([module]))
    except BadInput as error:
        return fail(str(error))
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        return fail(f"{error.filename}: {error.strerror}")
    except BrokenPipeError:  # whoever read our output has seen enough
        return 0
    except OSError as error:
        return fail(f"{error.filename or getattr(options, 'directory', '')}: {str(error).splitlines()[0]}")
