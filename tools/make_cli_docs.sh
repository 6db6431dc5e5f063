#!/usr/bin/env bash
# Prints docs/cli.md from the program's own --help: tools/make_cli_docs.sh build/release/relearn > docs/cli.md
set -euo pipefail
program=${1:?usage: make_cli_docs.sh PROGRAM}
cat <<'TEXT'
# Commands

Printed by `tools/make_cli_docs.sh build/release/relearn` from the program's own help.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | some runs failed; the rest is complete and gathered |
| 2 | wrong usage or bad input; nothing was computed |
| 3 | `nightly` saw a metric move (also when its budget or a signal cut the night short) |
| 70 | internal error |
| 75 | stopped on request (SIGTERM, SIGINT, SIGUSR1); the same command resumes |

Errors are one line on standard error: `relearn: FILE:LINE:COL: what is wrong; what was expected; the nearest valid name`.
Environment: `RELEARN_GEMM` (onednn, cblas) and `RELEARN_ISA` (baseline, avx2, avx512) choose the matrix products' back end and lower the
instruction set; both are part of every stage key. `NO_COLOR` turns colours off.

TEXT
for command in $("$program" --help | awk '/^  [a-z]/ { print $1 }'); do
    printf '## %s\n\n```\n' "$command"
    "$program" "$command" --help
    printf '```\n\n'
done
