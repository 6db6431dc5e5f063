#!/usr/bin/env bash
# Where pkg-config knows no parallel HDF5 by Debian's names, as on most clusters, the one whose h5pcc the site's modules put into the PATH is taken.
# usage: test_modules.sh SOURCE_FOLDER BUILD_FOLDER
set -euo pipefail
command -v h5pcc > /dev/null || { echo 'SKIPPED: no h5pcc'; exit 77; }
grep -q '^RELEARN_MPI:STRING=.' "$2/CMakeCache.txt" && { echo 'SKIPPED: h5pcc is that of another MPI'; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/pkgconfig"
IFS=: read -ra places <<< "$(pkg-config --variable pc_path pkg-config)"
for place in "${places[@]}"; do
    find "$place" -maxdepth 1 -name '*.pc' ! -name 'hdf5*' -exec ln -sf -t "$folder/pkgconfig" {} + 2> /dev/null || true
done
PKG_CONFIG_LIBDIR=$folder/pkgconfig cmake -S "$1" -B "$folder/build" -G Ninja -DBUILD_TESTING=OFF > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
grep '^HDF5_C_LIBRARY_hdf5:' "$folder/build/CMakeCache.txt"
grep -q 'hdf5-' "$folder/build/relearn-config.cmake" && { echo 'relearn-config.cmake asks pkg-config for HDF5'; exit 1; }
# A serial one is refused, with what to do.
mkdir "$folder/bin"
printf '#!/bin/sh\nexit 1\n' > "$folder/bin/h5pcc"
chmod +x "$folder/bin/h5pcc"
if PATH=$folder/bin:$PATH PKG_CONFIG_LIBDIR=$folder/pkgconfig cmake -S "$1" -B "$folder/none" -G Ninja -DBUILD_TESTING=OFF > "$folder/log" 2>&1; then
    echo 'configured without parallel HDF5'
    exit 1
fi
grep -q 'no parallel HDF5 for this MPI' "$folder/log" || { cat "$folder/log"; exit 1; }
