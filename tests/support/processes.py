"""What the tests that kill things share: who descends from whom."""
import pathlib


def descendants(pid):
    """Its children and theirs, by /proc: to be killed by id, never by name."""
    parent = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # gone meanwhile
            pass
    found = [pid]
    for one in found:
        found += [child for child, its in parent.items() if its == one]
    return found[1:]
