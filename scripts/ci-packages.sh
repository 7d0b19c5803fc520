#!/bin/sh
# SPDX-License-Identifier: MIT
# Containers and the report's page are tested where these are; without them the tests say that they were skipped.
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
apt-get update -qq && apt-get install -qq --yes --no-install-recommends podman runc chromium-headless-shell >/dev/null ||
	echo "podman, runc or chromium could not be installed"
