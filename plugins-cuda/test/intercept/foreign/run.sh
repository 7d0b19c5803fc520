#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh glibc|musl|host LIBC PRELOAD PROGRAM [DRIVER]
# Description: programs of other C libraries run with the interceptor preloaded, with lazy and with immediate binding.
# LIBC is the directory of an old glibc, or musl's loader; exit 77 where it does not exist.
set -eu
kind=$1 libc=$2 preload=$3 program=$4 driver=${5:-}

case $kind in
glibc)
	loader=$libc/ld-linux-x86-64.so.2
	[ -e "$loader" ] || { echo "skipped: there is no older glibc in $libc (scripts/old-glibc.sh)"; exit 77; }
	set -- "$loader" --library-path "$libc"
	;;
musl)
	[ -e "$libc" ] || { echo "skipped: the package musl is not installed"; exit 77; }
	set -- "$libc"
	;;
host) set -- ;;
*) echo "unknown kind $kind" >&2; exit 2 ;;
esac

# expect TEXT WORD…: the program prints TEXT and ends well.
expect() {
	text=$1
	shift
	for now in "" 1; do
		out=$(env LD_PRELOAD="$preload" LD_BIND_NOW="$now" "$@" 2>&1) || {
			echo "ended with $?${now:+ (LD_BIND_NOW)}: $out" >&2
			exit 1
		}
		case $out in
		*"ERROR: ld.so"* | *"Error loading"*) echo "not preloaded: $out" >&2; exit 1 ;;
		*"$text"*) ;;
		*) echo "\"$text\" is missing: $out" >&2; exit 1 ;;
		esac
	done
}

expect "a program without CUDA runs" "$@" "$program"
[ -z "$driver" ] || expect "the service thread runs" "$@" "$program" "$driver"
