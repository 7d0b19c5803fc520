#!/bin/sh
# SPDX-License-Identifier: MIT
# Puts the glibc of Debian 11 (2.31) into tmp/old-glibc, and what a compiler needs for it into tmp/old-glibc-root, from the
# Debian mirror that apt uses here. The interceptor, and images with other programs, are tested with it; nothing is installed.
set -eu
cd "$(dirname "$0")/.."

dir=$PWD/tmp/old-glibc
root=$PWD/tmp/old-glibc-root
[ ! -e "$dir/ld-linux-x86-64.so.2" ] || [ ! -e "$root/usr/include/stdio.h" ] || exit 0
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk -v name="$codename" '$2 == name { print $1; exit }')
[ -n "$mirror" ] || { echo "apt has no Debian mirror for $codename" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$work/sources.list"
apt() {
	apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/none" \
		-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}
apt update
cd "$work"
apt download libc6:amd64/bullseye libc6-dev:amd64/bullseye linux-libc-dev:amd64/bullseye
for package in *.deb; do dpkg-deb --extract "$package" root; done
# links to absolute paths would lead out of it
find root -type l -lname '/*' | while read -r link; do
	target=$(realpath --no-symlinks --canonicalize-missing --relative-to="$(dirname "$link")" "root$(readlink "$link")")
	ln -sfn "$target" "$link"
done
mkdir -p "$(dirname "$dir")"
rm -rf "$dir" "$root"
cp -a root/lib/x86_64-linux-gnu "$dir"
cp -a root "$root"
