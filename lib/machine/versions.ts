// SPDX-License-Identifier: MIT
/** Version numbers of programs. @module */

/** First release with the hooks a CUDA plugin needs. */
export const oldestCriu = '4.0';

/**
 * Compares versions such as `4.2.1` and `4.0`; suffixes such as `-rc1` are ignored.
 * @returns a number below, equal to or above zero
 */
export function compareVersions(a: string, b: string): number {
  const parts = (version: string): number[] => (version.match(/\d+/g) ?? []).slice(0, 3).map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
