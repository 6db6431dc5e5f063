#!/usr/bin/env bash
# mpich_aside.sh FOLDER: Debian's MPICH, with HDF5 and ScaLAPACK of the same MPI, unpacked into FOLDER instead of installed, so that relearn can
# be built and tested against it on a machine whose mpicc, mpirun and libraries are Open MPI's. Nothing outside FOLDER changes. Afterwards:
#
#     . FOLDER/env && cmake --preset mpich && cmake --build --preset mpich && ctest --preset mpich
#
# Where the packages are installed (apt-get install mpich libmpich-dev libhdf5-mpich-dev libscalapack-mpich-dev) the preset needs none of this.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1/debs" "$1/root"
place=$(readlink -f "$1") root=$place/root
lib=$root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2> /dev/null || gcc -print-multiarch)

# What MPICH brings along that a machine with Open MPI may lack; everything else is shared with Open MPI.
packages=(mpich libmpich-dev libmpich12 libhdf5-mpich-dev libhdf5-mpich-103-1 libhdf5-mpich-hl-100 libscalapack-mpich-dev libscalapack-mpich2.2
    libslurm38 libhwloc15)
for package in "${packages[@]}"; do
    compgen -G "$place/debs/${package}_*.deb" > /dev/null || (cd "$place/debs" && apt-get download -q "$package")
done
for deb in "$place"/debs/*.deb; do dpkg -x "$deb" "$root"; done

# The compiler wrapper and the .pc files name /usr; the MPICH of this folder is meant. hwloc and UCX are libmpich.so's own affair: their
# development packages are not needed to link with it.
mkdir -p "$place/pkgconfig"
sed -i "s|=/usr|=$root/usr|; s|=/etc/mpich|=$root/etc/mpich|; s/-l\(hwloc\|ucp\|ucs\)\b//g" "$root/usr/bin/mpicc.mpich"
for file in mpich hdf5-mpich; do
    sed "s|/usr/|$root/usr/|g; s|=/usr$|=$root/usr|; s/-l\(hwloc\|ucp\|ucs\)\b//g" "$lib/pkgconfig/$file.pc" > "$place/pkgconfig/$file.pc"
done
cat > "$place/env" <<ENV
export PATH="$root/usr/bin:\$PATH" LD_LIBRARY_PATH="$lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export PKG_CONFIG_PATH="$place/pkgconfig\${PKG_CONFIG_PATH:+:\$PKG_CONFIG_PATH}" CMAKE_LIBRARY_PATH="$lib\${CMAKE_LIBRARY_PATH:+:\$CMAKE_LIBRARY_PATH}"
ENV
echo "MPICH lies in $root; next: . $place/env && cmake --preset mpich"
