#!/usr/bin/env bash
# coverage.sh BUILD CORPUS TARGET...: which lines of each source file the inputs in CORPUS/TARGET reach (run.sh keeps them there, RELEARN_FUZZ_CORPUS):
# a target that stops at the door shows itself. BUILD has the programs with clang's counters and no sanitizer:
#   cmake -S . -B BUILD -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DRELEARN_FUZZ=ON -DRELEARN_ONEDNN=OFF \
#       -DCMAKE_C_FLAGS='-fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping' && cmake --build BUILD
set -euo pipefail
build=$(readlink -f "$1") corpus=$(readlink -f "$2")
shift 2
tool() { command -v "$1" || compgen -c "$1-" | sort -V | tail -n 1 | grep . || { echo "coverage.sh: $1 is missing (Debian: llvm)" >&2; exit 2; }; }
profdata=$(tool llvm-profdata) cov=$(tool llvm-cov)
place=$(mktemp -d /tmp/relearn-coverage.XXXXXX)
trap 'rm -rf "$place"' EXIT
export OMP_NUM_THREADS=1
for target in "$@"; do
    LLVM_PROFILE_FILE=$place/raw "$build/tests/fuzz_$target" -runs=0 -verbosity=0 "$corpus/$target" > "$place/log" 2>&1 || { tail -n 5 "$place/log" >&2; exit 1; }
    "$profdata" merge -sparse "$place/raw" -o "$place/merged"
    "$cov" report "$build/tests/fuzz_$target" -instr-profile="$place/merged" |
        awk -v target="$target" '$1 ~ /\.c$/ && $8 > $9 {sub(/.*src\//, "", $1); print target, $1, $8 - $9, "of", $8, "lines", $10}'
done
