#!/bin/sh
# SPDX-License-Identifier: MIT
# foreign.sh glibc|musl SYSROOT DIR
# Builds softcuda and workload-pattern into DIR, for the glibc below SYSROOT or for musl.
set -eu
kind=$1 sysroot=$2 dir=$3
cd "$(dirname "$0")/../../../plugins-cuda"

case $kind in
glibc) compiler="gcc --sysroot=$sysroot -B$sysroot/usr/lib/x86_64-linux-gnu" ;;
# the headers of Linux are among those of the machine's own C library
musl) compiler="musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu" ;;
*) echo "unknown C library $kind" >&2; exit 2 ;;
esac

mkdir -p "$dir"
build() {
	out=$1
	shift
	# shellcheck disable=SC2086 # words
	$compiler -std=gnu11 -D_GNU_SOURCE -I. -O1 -fPIC -fvisibility=hidden -o "$dir/$out" "$@" \
		common/driver/cuda_error.c -lpthread -ldl
}

# shellcheck disable=SC2046 # a list of files
build libcuda.so.1 -shared -Wl,-soname,libcuda.so.1 -Wl,--version-script=softcuda/softcuda.map \
	$(find softcuda -name '*.c' -not -path '*/nvml/*') common/process.c
# shellcheck disable=SC2046 # a list of files
build workload-pattern $(find workloads -maxdepth 1 -name '*.c' -not -name copies.c) common/driver/driver.c common/io.c \
	common/log.c
