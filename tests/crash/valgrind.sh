#!/usr/bin/env bash
# valgrind.sh PROGRAM MAKE_WORLD: one run of the tiny world under valgrind's memcheck, which must find nothing wrong. Baseline kernels and a CBLAS
# kernel without AVX-512, which valgrind 3.19 does not know. Exits 77 where valgrind is not installed.
set -euo pipefail
command -v valgrind > /dev/null || { echo 'skip: valgrind is not installed (apt-get install valgrind)'; exit 77; }
place=$(mktemp -d /tmp/relearn-valgrind.XXXXXX)
trap 'rm -rf "$place"' EXIT
cd "$("$2" "$place")"
suppressions=()
for file in /usr/share/openmpi/openmpi-valgrind.supp; do [ -f "$file" ] && suppressions+=("--suppressions=$file"); done
export RELEARN_ISA=baseline RELEARN_GEMM=cblas OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
if ! valgrind -q --error-exitcode=9 --leak-check=no "${suppressions[@]}" "$1" run sweep.yaml --out out --set seed=0 --set prune.select=concept \
    > "$place/log" 2>&1; then
    tail -n 60 "$place/log"
    exit 1
fi
if grep '^==' "$place/log"; then exit 1; fi
tail -n 3 "$place/log"
