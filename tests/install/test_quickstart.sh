#!/usr/bin/env bash
# ./quickstart refuses clearly: an unknown word, and missing packages on a machine where it may not install any. Nothing is installed
# or built here: `id`, `sudo`, `pkg-config` and `apt-get` are stand-ins.
set -euo pipefail
quickstart=$(dirname "$(readlink -f "$0")")/../../quickstart
stubs=$(mktemp -d)
trap 'rm -rf "$stubs"' EXIT

stub() { # NAME LINE
    printf '#!/bin/sh\n%s\n' "$2" > "$stubs/$1"
    chmod +x "$stubs/$1"
}
fail() { echo "FAILED: $1"; exit 1; }
expect() { # STATUS PATTERN ARGUMENTS...
    local status=0 said
    said=$(PATH=$stubs:$PATH "$quickstart" "${@:3}" 2>&1 < /dev/null) || status=$?
    [ "$status" = "$1" ] || fail "exit status $status instead of $1 for '${*:3}': $said"
    grep -qE -- "$2" <<< "$said" || fail "'${*:3}' did not say /$2/ but: $said"
    [ "$(wc -l <<< "$said")" -eq 1 ] || [ "$1" = 0 ] || fail "more than one line: $said"
    if grep -q $'\e' <<< "$said"; then fail "colours without a terminal: $said"; fi
}

stub id 'echo 1000'
stub sudo 'exit 1'
stub apt-get "echo called > '$stubs/called'"
expect 0 'RELEARN_OFFLINE' --help
expect 2 "no 'tset'.*--help" tset
expect 2 'takes --sanitize or nothing' test everything
stub pkg-config 'exit 1'
expect 2 'libopenblas-dev libyaml-dev libjansson-dev libxxhash-dev libutf8proc-dev libpcre2-dev libcmocka-dev libhdf5-openmpi-dev'
expect 2 'ask your administrator for: apt-get install .*libyaml-dev' test
[ ! -e "$stubs/called" ] || fail 'apt-get was called without root'
echo 'quickstart refuses clearly'
