// SPDX-License-Identifier: MIT
/** What processes have open, as far as it can be read. @module */
import { readdirSync, readlinkSync } from 'node:fs';

/** What has ended, or is closed by now, has no files. */
export function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** The targets of a process's descriptors; not all of them are paths. */
export function openFiles(pid: number): string[] {
  const dir = `/proc/${pid}/fd`;
  return attempt(() => readdirSync(dir), []).map((fd) => attempt(() => readlinkSync(`${dir}/${fd}`), ''));
}
