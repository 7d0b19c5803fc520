// SPDX-License-Identifier: MIT
/** How much of a running tree's files is in memory: whether keeping them will take long. @module */
import { lstatSync, readdirSync, readlinkSync, statfsSync } from 'node:fs';
import { fileStatuses } from '../native/index.ts';
import { readMappedFiles } from '../process/index.ts';
import { isVirtual, TMPFS } from './list.ts';

/** What has ended, or is closed by now, has no files. */
function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function openFiles(pid: number): string[] {
  const dir = `/proc/${pid}/fd`;
  return attempt(() => readdirSync(dir), []).map((fd) => attempt(() => readlinkSync(`${dir}/${fd}`), ''));
}

/** The files that the processes have open or mapped, by the names that they have here. */
export const usedFiles = (pids: readonly number[]): string[] =>
  [...new Set([...readMappedFiles(pids), ...pids.flatMap(openFiles)])].filter(
    (path) => path.startsWith('/') && !isVirtual(path),
  );

/** What the files of the processes that are on a tmpfs take there. Bytes. */
export function bytesInMemory(pids: readonly number[]): number {
  const paths = usedFiles(pids);
  const isTmpfs = new Map<number, boolean>();
  const inodes = new Map<string, number>();
  fileStatuses(paths).forEach((stat, index) => {
    const path = paths[index] ?? '';
    if (stat === undefined || stat.size === 0) return;
    const known = isTmpfs.get(stat.dev) ?? attempt(() => statfsSync(path).type === TMPFS, false);
    isTmpfs.set(stat.dev, known);
    if (known)
      inodes.set(
        `${stat.dev} ${stat.ino}`,
        attempt(() => lstatSync(path).blocks * 512, 0),
      );
  });
  return [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0);
}
