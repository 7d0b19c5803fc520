// SPDX-License-Identifier: MIT
/**
 * The `code` of Node's errors from system calls: `ENOENT`, `ECONNREFUSED` …
 * @module
 */

/** Whether a system call failed with one of these codes. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && names.includes(String(error.code));
}

/** Why something failed: the code of the error, or its text if it has none. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
