// SPDX-License-Identifier: MIT
/**
 * What Node's errors of system calls carry in `code`: `ENOENT`, `ECONNREFUSED` …
 * @module
 */

/** The system call failed with one of these. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && names.includes(String(error.code));
}

/** Why something failed, in a word where there is one. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
