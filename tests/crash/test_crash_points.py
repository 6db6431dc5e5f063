"""SIGKILL exactly before, in the middle of, and after single calls that change files: every start of one sweep is killed at a drawn call,
and goes on from there, until it comes to its end. Cheaper and meaner than a clock: half-written records, a folder complete but not renamed,
a rename without its journal record all occur.

    python3 test_crash_points.py ... --count 500 --seed 7
"""
import random
import time

import crash_support as crash
from crash_support import options, world

COUNT = options.count or 180
HOW = ["KILL", "TEAR", "AFTER"]
# A training start makes some 10 calls before its first checkpoint is in place; one that is always killed sooner gets nowhere.
SHORTEST, LONGEST = 1, 90


def main():
    draw = random.Random(options.seed)
    crash.run("undisturbed")
    reference = crash.contents("undisturbed")
    kills, sweeps, begun = 0, 0, time.time()
    by = dict.fromkeys(HOW, 0)
    print(f"seed {options.seed}, {COUNT} kills", flush=True)
    while kills < COUNT:
        crash.progress(kills, COUNT, "kills")
        out, log, moments = f"points{sweeps}", world / f"points{sweeps}.shim", []
        while True:
            how, at = HOW[draw.randrange(len(HOW))], draw.randint(SHORTEST, LONGEST)
            done = crash.run(out, env=crash.shim(out, LOG=log, AT=at, DO=how), code=None)
            if done.returncode != -9:
                break
            moments.append(f"{how}@{at}")
            by[how] += 1
        where = f"{out} (seed {options.seed}, killed at {' '.join(moments)})"
        assert done.returncode == 0, f"{where}: exit {done.returncode}\n{done.stderr[-2000:]}"
        crash.assert_same(out, reference, where)
        crash.assert_nothing_twice(out, log)
        assert not list((world / out).rglob("*.tmp.*")), f"{where}: half-written files are left"
        kills += len(moments)
        sweeps += 1
    print(f"{kills} kills in {sweeps} sweeps, {time.time() - begun:.0f} s: {by}")


crash.run_campaign(main)
