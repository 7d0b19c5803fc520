// SPDX-License-Identifier: MIT
/**
 * The `code` of Node's errors from system calls: `ENOENT`, `ECONNREFUSED` …
 * @module
 */

/** Whether a system call failed with one of these codes. */
export function isErrno(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && names.includes(String(error.code));
}

/** Why something failed, in words: `permission denied`. What no system call has refused says its own text. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!('code' in error)) return error.message;
  return /^[A-Z0-9]+: ([^,]+), /.exec(error.message)?.[1] ?? String(error.code);
}

/** What cannot be done, of the system calls with other names than what they do. */
const verbs: Readonly<Record<string, string>> = {
  access: 'use',
  copyfile: 'copy',
  lstat: 'look at',
  mkdtemp: 'create',
  mkdir: 'create',
  rmdir: 'remove',
  scandir: 'read',
  stat: 'look at',
  unlink: 'remove',
};

/** What a system call could not do, as a sentence: `cannot read /run/x: permission denied`; `undefined` for any other error. */
export function describeErrno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined;
  const call = String(error.syscall);
  // to a file that is open already
  if (call === 'write') return `cannot write: ${reasonOf(error)}`;
  if (!('path' in error)) return undefined;
  const to = 'dest' in error ? ` to ${String(error.dest)}` : '';
  return `cannot ${verbs[call] ?? call} ${String(error.path)}${to}: ${reasonOf(error)}`;
}
