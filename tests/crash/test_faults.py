"""A file system that refuses: ENOSPC, EDQUOT, EIO, short writes and EINTR at drawn calls; and a disk that is really full. What was finished
stays whole, one line says what is wrong, and the next start goes on to the same results.

    python3 test_faults.py ... --count 200 --seed 7
"""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import crash_support as crash
from crash_support import options, world

COUNT = options.count or 40
CALLS = 400  # about as many as the sweep makes
draw = random.Random(options.seed)
print(f"seed {options.seed}")


def reference():
    if not (world / "undisturbed").exists():
        crash.run("undisturbed")
    return crash.contents("undisturbed")


def said(done):
    return [line for line in done.stderr.splitlines()
            if line.startswith("relearn: ") and not re.match(r"relearn: (note:|\d+/\d+ runs|finished |stopped )", line)]


def test_interrupted_and_short_calls_are_no_failure():
    expected = reference()
    for i in range(COUNT // 2):
        crash.progress(i, COUNT // 2, "in this test")
        what = {"OPS": "write", "DO": "SHORT"} if i % 2 else {"OPS": "write,fsync,open", "DO": "EINTR"}
        at, row = draw.randint(1, CALLS), draw.choice([1, 3])
        shutil.rmtree(world / "patient", ignore_errors=True)
        crash.run("patient", env=crash.shim("patient", AT=at, FOR=row, **what))
        crash.assert_same("patient", expected, f"{what} at {at}, {row} in a row")


def test_the_first_calls_may_be_interrupted_too():
    """Each of the calls that take the lock and begin the journal: few draws of hundreds would meet them."""
    expected = reference()
    for at in range(1, 11):
        shutil.rmtree(world / "early", ignore_errors=True)
        crash.run("early", env=crash.shim("early", AT=at, FOR=1, OPS="write,fsync,open,truncate,lock", DO="EINTR"))
        shutil.rmtree(world / "early", ignore_errors=True)
        crash.run("early", env=crash.shim("early", AT=at, FOR=2, OPS="write", DO="SHORT"))
    crash.assert_same("early", expected, "interrupted while it began")


def test_a_refused_call_costs_nothing_that_was_finished():
    expected = reference()
    for i in range(COUNT):
        crash.progress(i, COUNT, "in this test")
        error = draw.choice(["ENOSPC", "EDQUOT", "EIO"])
        at, row = draw.randint(1, CALLS), draw.choice([1, 1, 0])  # 0: from then on
        where = f"{error} at {at}{' and ever after' if row == 0 else ''}"
        shutil.rmtree(world / "refused", ignore_errors=True)
        done = crash.run("refused", env=crash.shim("refused", AT=at, FOR=row, DO=error), code=None)
        began = (world / "refused/journal.jsonl").exists() and '"event":"start"' in (world / "refused/journal.jsonl").read_text(errors="replace")
        # 0: a file that nothing depends on; 75 once work has begun, 2 before: then nothing was computed
        assert done.returncode in (0, 75) or done.returncode == 2 and not began, f"{where}: exit {done.returncode}\n{done.stderr[-2000:]}"
        if done.returncode:
            assert len(said(done)) == 1 and any(name in said(done)[0] for name in (str(world), "refused/", "refused:")), f"{where}: {done.stderr[-2000:]}"
            reason = {"ENOSPC": "No space left", "EDQUOT": "quota", "EIO": "Input/output error"}[error]
            assert reason in said(done)[0], f"{where}: {said(done)}"
        finished = {p.name: p.read_bytes() for p in (world / "refused/runs").glob("*.h5")}
        for name, data in finished.items():
            assert data == expected[f"runs/{name}"], f"{where}: {name} is damaged"
        crash.run("refused")
        crash.assert_same("refused", expected, where)


def test_what_cannot_be_read_now_is_neither_damaged_nor_failed():
    """EINTR is nothing; EIO ends the start, without a failed run and with nothing set aside."""
    expected = reference()
    for i in range(COUNT // 2):
        crash.progress(i, COUNT // 2, "in this test")
        interrupted, at, row = i % 2 == 1, draw.randint(1, 150), draw.choice([1, 3, 0])
        where = f"{'EINTR' if interrupted else 'EIO'} at {at}, {row or 'all'} in a row"
        shutil.rmtree(world / "unread", ignore_errors=True)
        env = crash.shim("unread", OPS="read", PATH="stages/", AT=at, FOR=min(row, 1) if not interrupted else max(row, 1), DO=where.split()[0])
        done = crash.run("unread", env=env, code=0 if interrupted else 75)
        assert interrupted or len(said(done)) == 1 and "Input/output error" in said(done)[0], f"{where}: {done.stderr[-2000:]}"
        assert not (world / "unread/quarantine").exists(), f"{where}: {done.stderr[-2000:]}"
        assert '"event":"run_failed"' not in (world / "unread/journal.jsonl").read_text(), where
        if not interrupted:
            done = crash.run("unread", env=crash.shim("unread", OPS="read", PATH="stages/", AT=1, FOR=0, DO="EIO"), code=None)
            assert done.returncode in (2, 75) and "Input/output error" in said(done)[-1], f"{where}: {done.stderr[-2000:]}"  # 2: nothing was begun
            assert not (world / "unread/quarantine").exists(), f"{where}: {done.stderr[-2000:]}"
            crash.run("unread")
        crash.assert_same("unread", expected, where)


def test_a_disk_that_stays_broken_ends_the_requeueing():
    expected = reference()
    lasting = crash.shim("lasting", PATH="stages/", OPS="write", AT=3, FOR=0, DO="EIO")  # each start; its journal can be written
    for ranks in (0, 0, 3, 0):
        done = crash.run("lasting", ranks, env=lasting, code=75)
        assert "the same command goes on" in said(done)[-1], done.stderr
    for ranks in (0, 3):
        done = crash.run("lasting", ranks, env=lasting, code=2)
        assert "starts in a row ended like this with nothing done" in said(done)[-1] and "Input/output error" in said(done)[-1], done.stderr
    crash.run("lasting")  # mended: by hand it goes on
    crash.assert_same("lasting", expected, "a disk that was broken for six starts")
    done = crash.run("lasting", env=crash.shim("lasting", PATH="stages/", OPS="write", AT=3, FOR=0, DO="EIO"), code=75,
                     arguments=[*crash.SWEEP[:3], "seed=0..1", *crash.SWEEP[4:]])
    assert "the same command goes on" in said(done)[-1], "the count began anew"


def test_results_stay_when_there_is_no_room_for_more():
    reference()
    shutil.copytree(world / "undisturbed", world / "grown")
    before = crash.digest("grown")
    more = [*crash.SWEEP[:3], "seed=0..1", *crash.SWEEP[4:]]
    done = crash.run("grown", env=crash.shim("grown", AT=draw.randint(30, 200), FOR=0, DO="ENOSPC"), code=75, arguments=more)
    assert "No space left on device" in said(done)[0], done.stderr
    assert crash.digest("grown") == before
    crash.run("grown", arguments=more)
    crash.run("anew", arguments=more)
    assert crash.digest("grown") == crash.digest("anew") != before


def test_a_full_disk_beside_a_rank_that_answers_no_more():
    """Rank 0 waits for the rank's last report before it ends; it waited for ever."""
    more = [*crash.SWEEP[:3], "seed=0..1", *crash.SWEEP[4:]]
    env = {**os.environ, **crash.shim("both", PATH="journal.jsonl", OPS="write", AT=25, FOR=0, DO="ENOSPC")}
    limits = ["--set", "stuck_after=0.5", "--set", "hung_after=1"]
    process = subprocess.Popen(crash.command("both", 3, [*more, *limits]), cwd=world, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    journal = world / "both/journal.jsonl"
    while not (journal.exists() and '"started"' in journal.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    for pid in crash.descendants(process.pid):
        if crash.rank_of(pid) == 1:
            os.kill(pid, signal.SIGSTOP)
    try:
        text, _ = process.communicate(timeout=60)
    finally:
        for pid in [*crash.descendants(process.pid), process.pid] if process.poll() is None else []:
            crash.kill(pid)
    assert process.returncode == 75 and "No space left on device" in text and "answers no more" in text, (process.returncode, text)
    crash.run("both", 3, arguments=more)
    crash.run("neither", arguments=more)
    crash.assert_same("both", crash.contents("neither"), "a full disk beside a rank that answers no more")


def test_a_really_full_disk():
    expected, place = reference(), world / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "relearn-test", str(place)], capture_output=True, text=True)
    if mounted.returncode:
        print(f"skip  test_a_really_full_disk: no small file system can be mounted here ({mounted.stderr.strip()})")
        return
    try:
        filler = place / "filler"
        filler.write_bytes(b"x" * (1100 << 10))
        done = crash.run("small/sweep", code=2)
        assert len(said(done)) >= 1 and "are free where one stage alone needs" in said(done)[-1], done.stderr  # before it begins
        filler.write_bytes(b"x" * 100)
        subprocess.run(["mount", "-o", "remount,size=2300k", str(place)], check=True)  # room for a stage, not for thirty seeds
        done = crash.run("small/many", arguments=[*crash.SWEEP, "--set", "seed=0..29"], code=None)
        full = "No space left on device" in done.stderr or "disk is full" in done.stdout
        assert done.returncode == 75 and full, (done.returncode, done.stdout, done.stderr)
        shutil.rmtree(place / "many")
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        crash.run("small/sweep")
        crash.assert_same("small/sweep", expected, "a disk that was full")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_second_sweep_is_refused_and_a_stale_lock_is_not():
    for env in ({}, crash.shim("locked", OPS="lock", AT=1, FOR=0, DO="ENOSYS")):  # with locks, and on a file system that has none
        shutil.rmtree(world / "locked", ignore_errors=True)
        first = crash.start("locked", env=env)
        end = time.time() + 30
        while time.time() < end and not ((world / "locked/lock").exists() and (world / "locked/lock").read_text()):
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            second = crash.run("locked", env=env, code=2)
            line = [line for line in second.stderr.splitlines() if line.startswith("relearn: ")][-1]
            assert f"{os.uname().nodename} {first.pid}" in line and "another relearn" in line, line
        finally:
            crash.kill(first.pid)
            first.wait()
        assert (world / "locked/lock").read_text(), "the dead holder's name is gone already"
        crash.run("locked", env=env)
    (world / "locked/lock").write_text("elsewhere 123\n")
    line = crash.run("locked", env=env, code=2).stderr
    assert "elsewhere 123" in line and "remove the file" in line, line
    crash.run("locked")  # with locks, nobody holds it: elsewhere's process was killed


crash.run_tests(globals())
