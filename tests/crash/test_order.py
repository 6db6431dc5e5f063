"""The order that makes a file durable, as the shim saw it for every file of a whole sweep: written aside, synchronised, renamed, and the
folder synchronised after that, before anything else is put in place by the same process."""
import collections
import os
import pathlib

import crash_support as crash
from crash_support import world


def calls(log):
    for line in pathlib.Path(log).read_text().splitlines():
        pid, op, rest = line.split(" ", 2)
        path, _, to = rest.partition(" -> ")
        yield int(pid), op, path, os.path.join(world, to) if to else to


def check(log):
    dirty, unsynced_folders, renamed = {}, collections.defaultdict(set), 0
    for pid, op, path, to in calls(log):
        if op == "write":
            dirty[path] = pid
        elif op == "fsync":
            dirty.pop(path, None)
            unsynced_folders[pid].discard(path)
        elif op == "rename":
            left = {p for p in dirty if p == path or p.startswith(path + "/")}
            assert not left, f"{path} was renamed while {left} had not been synchronised"
            assert not unsynced_folders[pid], f"{path} was renamed while {unsynced_folders[pid]} had not been"
            assert ".tmp." in path or path.endswith(".work"), f"{path} was not written aside"
            unsynced_folders[pid].add(os.path.dirname(to))
            renamed += 1
    left = {folder for folders in unsynced_folders.values() for folder in folders}
    assert not left, f"never synchronised after a rename: {left}"
    # the logs are for reading: nothing is made from them, and their last lines may be lost
    in_place = {p for p in dirty if not p.endswith(("/lock", "/journal.jsonl")) and "/logs/" not in p}
    assert not in_place, f"written and never synchronised: {in_place}"
    return renamed


def test_every_file_is_synchronised_before_it_is_put_in_place():
    for ranks in (0, 3):
        log = world / f"order{ranks}.shim"
        crash.run(f"order{ranks}", ranks, crash.shim(f"order{ranks}", LOG=log))
        assert check(log) > 100


crash.run_tests(globals())
