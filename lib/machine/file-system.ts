// SPDX-License-Identifier: MIT
import { statfsSync } from 'node:fs';
import { totalmem } from 'node:os';
import { availableHostMemory } from './host-memory.ts';

/** The size of a file system. */
export interface FileSystemRoom {
  /** All of it. Bytes. */
  totalBytes: number;
  /** What this user can still write. Bytes. */
  freeBytes: number;
}

/**
 * The size of the file system of a directory. One in memory that was mounted without a limit (`size=0`, a ramfs) reports no
 * blocks at all: it has what the machine has.
 * @throws the error of statfs
 */
export function fileSystemRoom(dir: string): FileSystemRoom {
  const { blocks, bavail, bsize } = statfsSync(dir);
  if (blocks === 0) return { totalBytes: totalmem(), freeBytes: availableHostMemory() ?? totalmem() };
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
}
