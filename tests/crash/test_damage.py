"""Bits flipped and files cut short at random in every kind of file a sweep leaves: noticed, set aside under quarantine/, said in one line,
made again, to the same results.

    python3 test_damage.py ... --count 100 --seed 7
"""
import random
import shutil

import crash_support as crash
from crash_support import options, world

COUNT = options.count or 24  # damages a kind of sweep folder
draw = random.Random(options.seed)
print(f"seed {options.seed}")


def flip(path):
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data))
    data[at] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return f"bit flipped in byte {at} of {path}"


def cut(path):
    data = path.read_bytes()
    length = draw.randrange(len(data))
    path.write_bytes(data[:length])
    return f"{path} cut to {length} of {len(data)} bytes"


def damage(path):
    return (flip if draw.random() < 0.7 else cut)(path)


def copy_of(name, out):
    shutil.rmtree(world / out, ignore_errors=True)
    shutil.copytree(world / name, world / out)
    return world / out


def notes(done):
    return [line for line in done.stderr.splitlines() if line.startswith("relearn: note: ")]


def expect_mended(out, what, victim, reference, ranks=0):
    """The next start says what it found in one line, keeps the damaged bytes, and ends with the same results."""
    damaged = victim.read_bytes()
    done = crash.run(out, ranks)
    lines = notes(done)
    assert len(lines) == 1 and str(victim.name) in lines[0] and f"{out}/quarantine/" in lines[0], f"{what}: {done.stderr}"
    kept = [path for path in (world / out / "quarantine").rglob("*") if path.is_file() and path.read_bytes() == damaged]
    assert kept, f"{what}: the damaged file is not in quarantine"
    crash.assert_same(out, reference, what)


def finished():
    """A finished sweep, and what it holds."""
    if not (world / "finished").exists():
        crash.run("finished", 3)
    return crash.contents("finished")


def interrupted():
    """A sweep that was killed in the middle of its second training, with a checkpoint; without shards."""
    if not (world / "interrupted").exists():
        crash.run("interrupted", env=crash.shim("interrupted", OPS="rename", PATH="/checkpoint", AT=crash.TRAIN_EPOCHS + 3, DO="AFTER"), code=-9)
    return finished()


def test_damaged_shards():
    reference = finished()
    for i in range(COUNT):
        crash.progress(i, COUNT, "in this test")
        base = copy_of("finished", "shard")
        victim = draw.choice(sorted((base / "runs").glob("*.h5")))
        if i % 2:  # with and without the stages it was made from
            shutil.rmtree(base / "stages")
        what = damage(victim)
        damaged = victim.read_bytes()
        done = crash.run("shard", 2 if i % 8 == 0 else 0)
        assert len(notes(done)) == 1 and victim.name in notes(done)[0], f"{what}: {done.stderr}"
        assert (base / "quarantine/runs" / victim.name).read_bytes() == damaged, what
        mine = crash.contents("shard")
        assert all(mine[name] == reference[name] for name in mine) and "results.h5" in mine, what
        assert sum(name.startswith("runs/") for name in mine) == 2, what


def test_damaged_stages():
    """Every file of every stage that an interrupted sweep still needs."""
    reference = interrupted()
    complete = [p.name for p in (world / "interrupted/stages").iterdir() if not p.name.endswith(".work")]
    assert complete
    for i in range(COUNT):
        crash.progress(i, COUNT, "in this test")
        base = copy_of("interrupted", "stage")
        victim = draw.choice([p for key in complete for p in sorted((base / "stages" / key).iterdir()) if p.stat().st_size])
        expect_mended("stage", damage(victim), victim, reference)


def test_damaged_checkpoint():
    reference = interrupted()
    for i in range(COUNT // 2):
        crash.progress(i, COUNT // 2, "in this test")
        base = copy_of("interrupted", "checkpoint")
        victim = next((base / "stages").glob("*.work/checkpoint"))
        expect_mended("checkpoint", damage(victim), victim, reference)


def test_damaged_scores_of_a_stage_under_way():
    reference = interrupted()
    for i in range(COUNT // 2):
        crash.progress(i, COUNT // 2, "in this test")
        base = copy_of("interrupted", "scores")
        victim = next((base / "stages").glob(draw.choice(["*.work/epochs.json", "*.work/curve.json"])))
        what, damaged = damage(victim), victim.read_bytes()
        done = crash.run("scores")
        assert len(notes(done)) == 1 and victim.name in notes(done)[0], f"{what}: {done.stderr}"  # its checkpoint goes with it
        assert any(p.is_file() and p.read_bytes() == damaged for p in (base / "quarantine").rglob("*")), what
        crash.assert_same("scores", reference, what)


def test_damage_between_the_last_epoch_and_the_record():
    """Its scores are measured once more: nothing that a kill left there without a checksum becomes a result."""
    reference = finished()
    crash.run("behind", env=crash.shim("behind", OPS="rename", PATH="/checkpoint", AT=crash.TRAIN_EPOCHS, DO="AFTER"), code=-9)
    left = {p.name for p in next((world / "behind/stages").glob("*.work")).iterdir()}
    for i in range(COUNT // 2):
        base = copy_of("behind", "scored")
        work = next((base / "stages").glob("*.work"))
        (work / "evaluation.json").write_text('{"validation": {}}' if i % 2 else "")
        (work / "model.safetensors").write_bytes(b"from nowhere")
        crash.run("scored")
        crash.assert_same("scored", reference, f"a work folder with {sorted(left)} and strangers")


def test_damaged_finished_work():
    """A stage complete but for its last rename."""
    reference = finished()
    log = world / "unpublished.shim"
    crash.run("unpublished", env=crash.shim("unpublished", LOG=log))
    renames = [line.split(" -> ")[1] for line in log.read_text().splitlines() if " rename " in line and ".work" in line]
    publish = next(i for i, to in enumerate(renames) if ".work" not in to)
    shutil.rmtree(world / "unpublished")
    crash.run("unpublished", env=crash.shim("unpublished", OPS="rename", PATH=".work", AT=publish + 1, DO="KILL"), code=-9)
    for i in range(COUNT // 2):
        crash.progress(i, COUNT // 2, "in this test")
        base = copy_of("unpublished", "work")
        folder = next((base / "stages").glob("*.work"))
        assert (folder / "stage.json").exists()
        victim = draw.choice([p for p in sorted(folder.iterdir()) if p.stat().st_size and p.name != "checkpoint"])
        what, damaged = damage(victim), victim.read_bytes()
        done = crash.run("work")
        assert len(notes(done)) == 1 and victim.name in notes(done)[0], f"{what}: {done.stderr}"
        assert any(p.is_file() and p.read_bytes() == damaged for p in (base / "quarantine").rglob("*")), what
        crash.assert_same("work", reference, what)


def test_damaged_journal():
    reference = interrupted()
    for i in range(COUNT):
        crash.progress(i, COUNT, "in this test")
        base = copy_of("interrupted" if i % 2 else "finished", "journal")
        victim = base / "journal.jsonl"
        what = damage(victim)
        if victim.stat().st_size == 0 or victim.read_bytes().endswith(b"\n") and "cut" in what:
            continue  # cut between two records: nothing shows, and nothing is lost but their history
        try:
            expect_mended("journal", what, victim, reference)
        except AssertionError as problem:
            if "cut to" in what and "differ" not in str(problem) and not notes(crash.run("journal")):
                continue  # only the last newline was cut off: the record is whole
            raise


crash.run_tests(globals())
