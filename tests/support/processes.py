"""What the tests that start ranks share: how a launcher wants to be called, who descends from whom, which rank a process is."""
import functools
import pathlib
import subprocess


@functools.lru_cache
def _counts_slots(mpiexec):
    """Open MPI refuses more ranks than cores unless told; MPICH's launcher does not know the option."""
    done = subprocess.run([mpiexec, "--version"], capture_output=True, text=True)
    return "Open MPI" in done.stdout or "OpenRTE" in done.stdout


def launcher(mpiexec, ranks):
    """The command that starts so many ranks of whatever follows it, also on fewer cores."""
    return [mpiexec, *(["--oversubscribe"] if _counts_slots(mpiexec) else []), "-n", str(ranks)]


def on_ranks(mpiexec, ranks, program, *arguments):
    """The command that has so many ranks run the program, also on fewer cores. Under a launcher that does not count them, relearn itself does."""
    asks = not _counts_slots(mpiexec) and arguments[0] in ("run", "nightly")
    return [*launcher(mpiexec, ranks), program, *arguments, *(["--oversubscribe"] if asks else [])]


def rank_of(pid):
    """The rank that MPI's launcher gave a process; None: none, or it is gone."""
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    for name in (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK="):
        for one in environment:
            if one.startswith(name):
                return int(one[len(name):])
    return None


def descendants(pid, living=False):
    """Its children and theirs, by /proc: to be killed by id, never by name. living: without those that only wait to be reaped."""
    parent = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its = stat.read_text().rpartition(")")[2].split()[:2]
            if not living or state != "Z":
                parent[int(stat.parent.name)] = int(its)
        except OSError:  # gone meanwhile
            pass
    found = [pid]
    for one in found:
        found += [child for child, its in parent.items() if its == one]
    return found[1:]
