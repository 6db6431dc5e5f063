#!/usr/bin/env bash
# run.sh BUILD_DIR SECONDS [TARGET...]: each libFuzzer program for so long, from seeds made of the tiny world and of a finished sweep over it.
# RELEARN_FUZZ_CORPUS=DIR keeps what was found in DIR/TARGET, and a later call goes on from there: an hour may be made of several calls. DIR/campaign.tsv
# gets a line for each that found nothing: target, seconds by the clock, seconds of a core (beside other work they differ), inputs.
set -euo pipefail
build=$(readlink -f "$1") seconds=$2 source=$(readlink -f "$(dirname "$0")/../..")
shift 2
[ $# -gt 0 ] || set -- $(cd "$build/tests" && ls fuzz_* | sed 's/^fuzz_//')
place=$(mktemp -d /tmp/relearn-fuzz.XXXXXX)
trap 'rm -rf "$place"' EXIT
export ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1
world=$("$build/tests/make_world" "$place")
(cd "$world" && "$build/relearn" run sweep.yaml --out done --set seed=0 > "$place/log" 2>&1) || { tail "$place/log" >&2; exit 1; }
python3 "$source/tests/fuzz/make_seeds.py" "$world" "$place/seeds" "$source"
fuzz() { # TARGET CORPUS: its output in TARGET.log, its seconds of a core in TARGET.cpu
    local TIMEFORMAT='%U %S'
    { time ASAN_OPTIONS=detect_leaks=1 "$build/tests/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -dict="$place/seeds/$1.dict" -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="/tmp/relearn-fuzz-$1-" "$2" > "$place/$1.log" 2>&1; } 2> "$place/$1.cpu"
}
failed=0
for target in "$@"; do
    corpus=${RELEARN_FUZZ_CORPUS:-$place/corpus}/$target
    mkdir -p "$corpus"
    cp "$place/seeds/$target"/* "$corpus"
    if fuzz "$target" "$corpus"; then
        inputs=$(awk '/number_of_executed_units/ {print $2}' "$place/$target.log")
        core=$(awk '{printf "%.0f", $1 + $2}' "$place/$target.cpu")
        echo "ok    $target: $inputs inputs in $seconds s ($core s of a core)"
        [ -z "${RELEARN_FUZZ_CORPUS:-}" ] || printf '%s\t%s\t%s\t%s\n' "$target" "$seconds" "$core" "$inputs" >> "$RELEARN_FUZZ_CORPUS/campaign.tsv"
    else
        echo "FAIL  $target"
        grep -E 'ERROR|runtime error|SUMMARY|artifact|#[0-6] ' "$place/$target.log" | head -n 25
        failed=1
    fi
done
exit $failed
