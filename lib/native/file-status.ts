// SPDX-License-Identifier: MIT
/** What is at many paths: a server has thousands of files, and Node asks for one at a time. @module */
import { lstatSync } from 'node:fs';
import { nativeBackend } from './backend.ts';
import { fileStatusFields, type FileStatus, type LibcCalls } from './types.ts';

/** What is at a path, links not followed. @returns `undefined` if there is nothing, or it may not be looked at */
function statusOf(path: string): FileStatus | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Without native code, Node does it. */
function libcCalls(): Partial<LibcCalls> {
  try {
    return nativeBackend().libc;
  } catch {
    return {};
  }
}

/** @param at index of its first number */
function statusAt(numbers: Float64Array, at: number): FileStatus | undefined {
  const mode = numbers[at] ?? 0;
  if (mode === 0) return undefined;
  return {
    mode,
    size: numbers[at + 1] ?? 0,
    dev: numbers[at + 2] ?? 0,
    ino: numbers[at + 3] ?? 0,
    nlink: numbers[at + 4] ?? 0,
    uid: numbers[at + 5] ?? 0,
    gid: numbers[at + 6] ?? 0,
    mtimeMs: numbers[at + 7] ?? 0,
    ctimeMs: numbers[at + 8] ?? 0,
  };
}

/**
 * What is at each of these paths, links not followed.
 * @returns in their order; `undefined` where there is nothing, or it may not be looked at
 */
export function fileStatuses(paths: readonly string[]): (FileStatus | undefined)[] {
  const isUsual = paths.every((path) => !path.includes('\0'));
  const numbers = isUsual ? libcCalls().fileStatus?.(paths.map((path) => `${path}\0`).join('')) : undefined;
  if (!numbers) return paths.map(statusOf);
  return paths.map((_, index) => statusAt(numbers, index * fileStatusFields.length));
}
