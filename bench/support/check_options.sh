#!/usr/bin/env bash
# check_options.sh PROGRAM: --help goes to standard output with 0; a wrong option or number is one line and 2, before anything is timed.
set -u
help=$("$1" --help) || { echo "--help: exit $?"; exit 1; }
[[ $help == *--smoke* ]] || { echo "--help says: $help"; exit 1; }
for wrong in --nonsense "--smoke extra" "--steps x" "--sentences -1" "--seconds"; do
    # shellcheck disable=SC2086
    said=$("$1" $wrong 2>&1)
    [ $? -eq 2 ] && [ "$(wc -l <<< "$said")" -eq 1 ] || { echo "$wrong: $said"; exit 1; }
done
