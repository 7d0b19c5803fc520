// SPDX-License-Identifier: MIT
// Tests that may be skipped in CI: those that the machine's kernel or devices rule out. scripts/ci-packages.sh
// installs packages, so a test that is skipped because a package is missing counts as a failure.

/** The reasons, as the tests print them. */
const accepted = [
  /criu dumps another user's process only with CAP_SYS_RESOURCE$/,
  /Go(?: that listens with MPTCP)?: go build .*ENOENT$/,
  /criu cannot dump a sanitized program$/,
  /no device file with a driver can be created and opened here$/,
  /there is no older glibc in \S+ \(scripts\/old-glibc\.sh\)$/,
  /this kernel has no MADV_POPULATE_READ$/,
  /this machine has no cgroups of version 1$/,
  /this machine has an NVIDIA driver$/,
  /the self-test needs a GPU: no NVIDIA GPU on this machine$/,
];

/** Those of the skipped tests ("name: reason") that CI does not accept. */
export function unacceptedSkips(skipped) {
  return skipped.filter((skip) => !accepted.some((reason) => reason.test(skip)));
}
