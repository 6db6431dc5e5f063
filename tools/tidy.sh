#!/usr/bin/env bash
# clang-tidy and clang-format over our sources, as .clang-tidy and .clang-format ask. Changes nothing.
# usage: tools/tidy.sh [--format] [FILE...]      default: every src/**/*.c of build/release/compile_commands.json
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
mode=tidy
if [ "${1:-}" = --format ]; then
    mode=format
    shift
fi
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
    mapfile -t files < <(git ls-files 'src/*.c')
fi
if [ $mode = format ]; then
    for file in "${files[@]}"; do diff -u --label "$file" --label "$file, formatted" "$file" <(clang-format "$file") || status=1; done
    exit "${status:-0}"
fi
[ -f build/release/compile_commands.json ] || { echo 'tools/tidy.sh: no build/release/compile_commands.json; run cmake --preset release' >&2; exit 2; }
# GCC's own warning names mean nothing to clang, and GCC's omp.h is not for it.
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 4 clang-tidy -p build/release --quiet --extra-arg=-Wno-unknown-warning-option \
    --extra-arg=-fno-openmp --warnings-as-errors='*'
