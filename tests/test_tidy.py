#!/usr/bin/env python3
"""House rules that no compiler checks: memory through core, words through cli, communicators from above, nothing left open, one story
per file. Comments and string literals do not count as code.

With an argument, checks that tree instead; without, it also checks itself against made-up violations."""
import pathlib
import re
import sys

import source_check

MAX_LINES = 700
ALLOCATION = re.compile(r"(?<![\w.>])(?:malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|free|strdup|strndup|asprintf)\s*\(")
OUTPUT = re.compile(r"(?<![\w.>])(?:printf|puts|putchar|perror|exit|_exit|abort|vprintf)\s*\(|\bfprintf\s*\(\s*std(?:out|err)\b")
JANSSON_FREE = re.compile(r"\bjson_dumps\s*\(")  # whose result the caller must give back to malloc's free
OPEN_ENDS = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """C text with comments and literals blanked, lines kept."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.DOTALL)


def check_c(path, room, text):
    code = code_only(text)
    may_free = bool(JANSSON_FREE.search(code))
    for number, line in enumerate(code.split("\n"), start=1):
        call = ALLOCATION.search(line)
        if room != "core" and call and not (may_free and call.group(0).startswith("free")):
            yield number, f"{call.group(0)}) outside core; use rl_calloc, RL_ALLOC, rl_strdup, rl_free"
        call = OUTPUT.search(line)
        if room != "cli" and call:
            yield number, f"{call.group(0)}) outside cli; return an rl_status (RL_REQUIRE for our own mistakes)"
        if room != "cli" and re.search(r"\bMPI_COMM_WORLD\b", line):
            yield number, "MPI_COMM_WORLD below cli; take a communicator from the caller"


def check_file(path, root):
    parts = path.relative_to(root).parts
    text = path.read_text(encoding="utf-8")
    problems = []
    if parts[0] == "src" and path.suffix in (".c", ".h"):
        problems += check_c(path, parts[1], text)
    if path.resolve() != pathlib.Path(__file__).resolve():
        problems += [(n, f"left open: {line.strip()}") for n, line in enumerate(text.split("\n"), 1) if OPEN_ENDS.search(line)]
    num_lines = text.count("\n")
    if num_lines > MAX_LINES:
        problems.append((num_lines, f"more than {MAX_LINES} lines; does it still tell one story?"))
    return [f"{path}:{number}: {what}" for number, what in problems]


def check_tree(root):
    patterns = ["src/**/*.[ch]", "include/**/*.h", "tests/**/*.[ch]", "tests/**/*.py", "bench/**/*.[ch]", "bench/**/*.py", "tools/**/*.py",
                "tools/**/*.sh", "analysis/**/*.py", "cmake/*.cmake", "slurm/*", "sweeps/**/*.yaml", "quickstart"]
    files = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return [problem for path in files for problem in check_file(path, root)], len(files)


CULPRITS = {
    "src/text/a.c": "void f(void) { char *p = malloc(3); }\n",
    "src/text/b.c": "void f(char *p) { free(p); }\n",
    "src/model/a.c": 'void f(void) { printf("hello"); }\n',
    "src/model/b.c": "void f(void) { abort(); }\n",
    "src/store/a.c": "int f(void) { return MPI_Barrier(MPI_COMM_WORLD); }\n",
    "src/store/b.c": 'void f(void) { fprintf(stderr, "no"); }\n',
    "src/core/a.c": "/* TO" "DO: later */\n",
    "src/core/long.c": "\n" * (MAX_LINES + 1),
}
INNOCENTS = {
    "src/core/b.c": "void *f(void) { return malloc(3); }\n",
    "src/cli/a.c": 'int main(void) { printf("%d", MPI_COMM_WORLD != 0); return 0; }\n',
    "src/text/c.c": '/* malloc(3) */ const char *f(void) { rl_free(0); x->free(x); return "printf(1)"; }\n',
    "src/cluster/a.c": "void f(json_t *j) { char *t = json_dumps(j, 0); free(t); }\n",
    "src/sweep/a.c": '_Static_assert(sizeof(int) == 4, "int");\nvoid f(char *s) { snprintf(s, 3, "a"); }\n',
}


if __name__ == "__main__":
    sys.exit(source_check.main(check_file, check_tree, CULPRITS, INNOCENTS, "files are tidy"))
