#!/usr/bin/env bash
# An installed relearn is usable from outside: its program runs, and a small consumer builds and runs with find_package and with pkg-config.
# usage: test_install.sh BUILD_FOLDER
set -euo pipefail
build=$(readlink -f "$1")
if grep -q '^RELEARN_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt"; then
    echo 'SKIPPED: a sanitizer build is not for installing'
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cmake --install "$build" --prefix "$folder/first" > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
mv "$folder/first" "$folder/prefix" # the CMake package must not remember where it was installed first
prefix=$folder/prefix
"$prefix/bin/relearn" --version

mkdir "$folder/consumer"
cat > "$folder/consumer/main.c" <<'C'
#include <relearn/cluster.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    rl_error err = {0};
    rl_sweep *sweep = NULL;
    rl_status status = rl_sweep_read(&sweep, argv[argc - 1], NULL, 0, NULL, &err);
    printf("%s: %lld runs, HDF5 %s\n", status == RL_OK ? sweep->name : err.message, status == RL_OK ? (long long)sweep->num_runs : -1LL,
           rl_hdf5_version());
    rl_sweep_free(sweep);
    return status != RL_ERR_INPUT && status != RL_ERR_IO;
}
C
cat > "$folder/consumer/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.22)
project(consumer C)
find_package(relearn 0.1 REQUIRED)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE relearn::cluster)
CMAKE

expect_refusal() { # PROGRAM: a sweep file that is not there is named in the message
    local said
    said=$("$1" "$folder/absent.yaml")
    echo "$said"
    case $said in *absent.yaml*) ;; *) echo "expected absent.yaml to be named"; exit 1 ;; esac
}

cmake -S "$folder/consumer" -B "$folder/consumer/build" -DCMAKE_PREFIX_PATH="$prefix" > "$folder/log" 2>&1 \
    && cmake --build "$folder/consumer/build" >> "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
expect_refusal "$folder/consumer/build/consumer"

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig:$(echo "$prefix"/lib/*/pkgconfig)${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} # HDF5 and MPI may lie aside too
flags=$(pkg-config --define-variable=prefix="$prefix" --cflags --libs relearn)
# shellcheck disable=SC2086
${CC:-cc} "$folder/consumer/main.c" -o "$folder/consumer/by_pkg_config" $flags
expect_refusal "$folder/consumer/by_pkg_config"
