#!/usr/bin/env python3
"""The arrows of docs/architecture.md: a room includes only rooms to its left, and only the rooms that may know MPI include it.

Reads #include lines, so it sees what the link lists of CMakeLists.txt cannot: a header is found whether or not its library is linked.
With an argument, checks that tree instead; without, it also checks itself against made-up violations."""
import pathlib
import re
import sys

import source_check

ORDER = "core linalg text model train concept cycle sweep store stats cluster cli".split()
SIBLINGS = {("linalg", "text"), ("text", "linalg")}  # beside each other: neither sees the other
MPI_ROOMS = {"store", "stats", "cluster", "cli"}
POINT_TO_POINT = re.compile(r"\bMPI_(?:I?[bsr]?send|I?m?recv|Sendrecv\w*|I?m?probe|\w+_init|Start(?:all)?)\s*\(", re.IGNORECASE)
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def room_of(path, root):
    relative = path.relative_to(root).parts
    if relative[:2] == ("include", "relearn"):
        return path.stem
    return relative[1]


def included_room(name, path, root):
    """The room an #include reaches into, or None when it is none of ours."""
    if name.startswith("relearn/"):
        return pathlib.PurePosixPath(name).stem
    target = (path.parent / name).resolve()
    if target.exists():
        return room_of(target, root.resolve())
    match = re.match(r"(?:src/)?(\w+)/", name)
    if match and match.group(1) in ORDER:
        return match.group(1)
    return name[: -len("_internal.h")] if name.endswith("_internal.h") else None


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.DOTALL)


def check_file(path, root):
    room, problems = room_of(path, root), []
    if room not in ORDER:
        return [f"{path}:1: '{room}' is not a room; the rooms are {' '.join(ORDER)}"]
    text = strip_comments(path.read_text(encoding="utf-8"))
    for number, line in enumerate(text.split("\n"), start=1):
        match = INCLUDE.match(line)
        if match:
            other = included_room(match.group(1), path, root)
            if other and other not in ORDER:
                problems.append(f"{path}:{number}: '{match.group(1)}' belongs to no room")
            elif other and (ORDER.index(other) > ORDER.index(room) or (room, other) in SIBLINGS):
                problems.append(f"{path}:{number}: {room} includes {other}, which is not to its left")
            if match.group(1) in ("mpi.h", "mpi/mpi.h") and room not in MPI_ROOMS:
                problems.append(f"{path}:{number}: {room} includes mpi.h; only {' '.join(sorted(MPI_ROOMS))} may")
        if room != "cluster" and POINT_TO_POINT.search(line):
            problems.append(f"{path}:{number}: MPI point-to-point outside cluster: {line.strip()}")
    return problems


def check_tree(root):
    files = sorted(root.glob("src/**/*.[ch]")) + sorted(root.glob("include/relearn/*.h"))
    return [problem for path in files for problem in check_file(path, root)], len(files)


CULPRITS = {
    "src/core/a.c": '#include "relearn/linalg.h"\n',
    "src/linalg/a.c": '#include "relearn/text.h"\n',
    "src/text/a.c": '#include "../linalg/linalg_internal.h"\n',
    "src/model/a.c": '#include <mpi.h>\n',
    "src/train/a.c": '#include "concept_internal.h"\n',
    "src/store/a.c": "#include <mpi.h>\nvoid f(void) { MPI_Send(0, 0, 0, 0, 0, 0); }\n",
    "include/relearn/sweep.h": '#include "relearn/cluster.h"\n',
    "src/parlour/a.c": "int x;\n",
}
INNOCENTS = {
    "src/cluster/a.c": '#include "relearn/store.h"\n#include <mpi.h>\nvoid f(void) { MPI_Isend(0, 0, 0, 0, 0, 0, 0); }\n',
    "src/cycle/a.c": '/* #include "relearn/cli.h" */\n#include "relearn/concept.h"\n#include "contents.h"\n#include "cycle_internal.h"\n',
    "src/store/b.c": "/* MPI_Send(1) is for cluster */ void g(void) { MPI_Bcast(0, 0, 0, 0, 0); }\n",
}


if __name__ == "__main__":
    sys.exit(source_check.main(check_file, check_tree, CULPRITS, INNOCENTS, "files follow the arrows"))
