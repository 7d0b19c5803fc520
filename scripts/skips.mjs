// SPDX-License-Identifier: MIT
// Which tests may be skipped in CI: those that this machine's kernel or devices rule out. Packages are installed by
// scripts/ci-packages.sh, so that a test that is skipped without them is a failure.

/** The reasons, as the tests print them. */
const accepted = [
  /criu cannot dump a sanitized program$/,
  /this kernel has no MADV_POPULATE_READ$/,
  /this machine has an NVIDIA driver$/,
  /the self-test needs a GPU: no NVIDIA GPU on this machine$/,
];

/** Those of the skipped tests ("name: reason") that CI does not accept. */
export function unacceptedSkips(skipped) {
  return skipped.filter((skip) => !accepted.some((reason) => reason.test(skip)));
}
