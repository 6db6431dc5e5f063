"""Nothing a sweep file says runs a shell or names a place outside DIR to write to."""
import os
import subprocess

import crash_support as crash
from crash_support import options, world

TEXT = (world / "sweep.yaml").read_text()
NASTY = ["..", ".", "../escape", "a/b", "/tmp/escape", "$(touch escaped)", "`touch escaped`", "a;touch escaped", "a|touch escaped", "-rf", "a\\nb"]


def listing():
    return sorted(str(p.relative_to(crash.folder)) for p in crash.folder.rglob("*"))


def test_the_program_cannot_start_a_shell():
    symbols = subprocess.run(["nm", "-D", "--undefined-only", options.program], capture_output=True, text=True, check=True).stdout
    used = {line.split()[-1].split("@")[0] for line in symbols.splitlines() if line.strip()}
    assert "write" in used, "nm shows no symbols"
    assert not used & {"system", "popen", "execl", "execlp", "execle"}, used


def test_names_that_are_paths_or_commands_are_refused():
    before = listing()
    for name in NASTY:
        (world / "nasty.yaml").write_text(TEXT.replace("sweep: tiny", f'sweep: "{name}"', 1))
        done = subprocess.run([options.program, "run", "nasty.yaml"], cwd=world, capture_output=True, text=True, timeout=60)
        (world / "nasty.yaml").unlink()
        assert done.returncode == 2, f"{name}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert "nasty.yaml:1:8: " in done.stderr, f"{name}: {done.stderr}"
        assert listing() == before, f"{name}: something was written"


def test_what_looks_like_a_command_is_only_a_file_name():
    odd = "odd $(touch escaped);`touch escaped`|x.conll"
    os.rename(world / "train.conll", world / odd)
    (world / "odd.yaml").write_text(TEXT.replace("train: train.conll", f'train: "{odd}"', 1))
    done = subprocess.run([options.program, "run", "odd.yaml", "--out", "odd out $(touch escaped)"], cwd=world, capture_output=True, text=True, timeout=60)
    os.rename(world / odd, world / "train.conll")
    assert done.returncode == 0, done.stderr
    assert not list(crash.folder.rglob("escaped")) and (world / "odd out $(touch escaped)/results.h5").exists()


def test_everything_written_is_inside_the_folder():
    log = world / "inside.shim"
    crash.run("inside", env={**crash.shim("inside", LOG=log), "RELEARN_FAULT_ROOT": str(world)})
    for line in log.read_text().splitlines():
        path = line.split(" ", 2)[2].split(" -> ")[0]
        assert path.startswith(f"{world}/inside/") or path == f"{world}/inside", line


crash.run_tests(globals())
