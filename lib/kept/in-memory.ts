// SPDX-License-Identifier: MIT
/** How much of a running tree's files is in memory: whether keeping them will take long. @module */
import { lstatSync } from 'node:fs';
import { fileStatuses } from '../native/index.ts';
import { readMappedFiles } from '../process/index.ts';
import { isInMemory, isVirtual } from './list.ts';
import { attempt, openFiles } from './open-files.ts';

/** What a file takes in its file system: without its holes. Bytes. */
export const takenBytes = (path: string): number =>
  (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;

/** The files that the processes have open or mapped, by the names that they have here. */
export const usedFiles = (pids: readonly number[]): string[] =>
  [...new Set([...readMappedFiles(pids), ...pids.flatMap(openFiles)])].filter(
    (path) => path.startsWith('/') && !isVirtual(path),
  );

/** What the files of the processes that are on a tmpfs take there. Bytes. */
export function bytesInMemory(pids: readonly number[]): number {
  const paths = usedFiles(pids);
  const devices = new Map<number, boolean>();
  const inodes = new Map<string, number>();
  fileStatuses(paths).forEach((stat, index) => {
    const path = paths[index] ?? '';
    if (stat === undefined || stat.size === 0) return;
    if (attempt(() => isInMemory(path, stat, devices), false))
      inodes.set(
        `${stat.dev} ${stat.ino}`,
        attempt(() => takenBytes(path), 0),
      );
  });
  return [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0);
}
