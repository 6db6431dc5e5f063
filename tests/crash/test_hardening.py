"""Nothing a sweep file says runs a shell or names a place outside DIR to write to."""
import json
import os
import shutil
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


def test_links_in_the_folder_lead_nothing_outside():
    outside = world / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    crash.run("linked")
    for name in ("stages", "runs", "logs", "quarantine", "quarantine/runs", "quarantine/stages", "nightly", "lock", "journal.jsonl"):
        inside, aside = world / "linked" / name, world / "linked" / f"{name}.aside"
        inside.parent.mkdir(exist_ok=True)
        if inside.exists():
            inside.rename(aside)
        inside.symlink_to(outside if "." not in name and name != "lock" else outside / "kept")
        done = crash.run("linked", code=2)
        lines = [line for line in done.stderr.splitlines() if line.startswith("relearn: ")]
        assert len(lines) == 1 and f"linked/{name}: is a symbolic link" in lines[0] and "--out" in lines[0], (name, done.stderr)
        inside.unlink()
        if aside.exists():
            aside.rename(inside)
    for file in ("results.h5", "sweep.yaml", "metrics.prom", "progress.json"):  # replaced whole: the link goes, what it named stays
        (world / "linked" / file).unlink(missing_ok=True)
        (world / "linked" / file).symlink_to(outside / "kept")
    key = min((world / "linked/stages").iterdir()).name
    shutil.rmtree(world / "linked/stages" / key)  # made again, not in the folder that a link in its place names
    (world / "linked/stages" / f"{key}.0123456789abcdef.work").symlink_to(outside)
    for shard in (world / "linked/runs").glob("*.h5"):
        shard.unlink()
        shard.symlink_to(outside / "kept")
    more = [*crash.SWEEP[:3], "seed=0..1", *crash.SWEEP[4:]]  # so that results.h5 changes
    crash.run("linked", arguments=more)
    assert sorted(p.name for p in outside.iterdir()) == ["kept"] and (outside / "kept").read_text() == "kept"
    assert not [p for p in (world / "linked").rglob("*") if p.is_symlink() and "quarantine" not in p.parts]
    crash.run("unlinked", arguments=more)
    crash.assert_same("linked", crash.contents("unlinked"), "links replaced")


def test_doctor_notices_a_disk_that_changes_bytes():
    (world / "disk").mkdir()
    for ranks in (0, 2):
        command = [*(crash.launcher(options.mpiexec, ranks) if ranks else []), options.program, "doctor", "--directory", "disk", "--json"]
        for env, code in (({}, 0), (crash.shim("disk", OPS="write", AT=1, FOR=0, DO="FLIP"), 1)):
            done = subprocess.run(command, cwd=world, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
            assert done.returncode == code, (ranks, done.returncode, done.stdout, done.stderr)
            found = json.loads(done.stdout)
            assert found["hdf5"]["round_trip"] is (code == 0), found["hdf5"]
            assert any("reads back other bytes than it wrote" in line for line in found["advice"]) is (code == 1), found["advice"]
    assert not list((world / "disk").iterdir())


crash.run_tests(globals())
