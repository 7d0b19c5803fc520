// SPDX-License-Identifier: MIT
/**
 * The numbers CRIU writes about a dump or a restore: `stats-dump` and
 * `stats-restore` in its work directory.
 * @module
 */
import { join } from 'node:path';
import { ImageError, readImage } from './image.ts';

const PAGE_BYTES = 4096;

/** Numbers by the names that CRIU gives them; times in microseconds. */
const dumpEntry = {
  freezing_time: { number: 1, type: 'uint', optional: true },
  frozen_time: { number: 2, type: 'uint', optional: true },
  memdump_time: { number: 3, type: 'uint', optional: true },
  memwrite_time: { number: 4, type: 'uint', optional: true },
  pages_written: { number: 7, type: 'uint', optional: true },
} as const;

const restoreEntry = {
  forking_time: { number: 3, type: 'uint', optional: true },
  restore_time: { number: 4, type: 'uint', optional: true },
  pages_restored: { number: 5, type: 'uint' },
} as const;

const stats = {
  dump: { number: 1, type: dumpEntry, optional: true },
  restore: { number: 2, type: restoreEntry, optional: true },
} as const;

export interface DumpStats {
  /** Until all tasks stood still; the driver's lock is part of it. Milliseconds, as all below. */
  freezingMs: number;
  /** How long the tasks stood still. */
  frozenMs: number;
  /** Reading and writing the tasks' memory. */
  memdumpMs: number;
  /** The writing of it. */
  memwriteMs: number;
  pagesWritten: number;
  pagesBytes: number;
}

export interface RestoreStats {
  /** Making the tasks. Milliseconds, as below. */
  forkingMs: number;
  /** From the first task to the last being complete, except for its devices. */
  restoreMs: number;
  pagesRestored: number;
}

function required<K extends string>(entry: Readonly<Record<K, number | undefined>>, name: K): number {
  const value = entry[name];
  if (value === undefined) throw new ImageError(`stats: ${name} is missing`);
  return value;
}

/** `undefined` when CRIU wrote none, because it failed before. */
export function readDumpStats(workDir: string): DumpStats | undefined {
  const dump = readImage(join(workDir, 'stats-dump'), 'stats', stats)?.[0]?.dump;
  if (!dump) return undefined;
  const pagesWritten = required(dump, 'pages_written');
  return {
    freezingMs: required(dump, 'freezing_time') / 1000,
    frozenMs: required(dump, 'frozen_time') / 1000,
    memdumpMs: required(dump, 'memdump_time') / 1000,
    memwriteMs: required(dump, 'memwrite_time') / 1000,
    pagesWritten,
    pagesBytes: pagesWritten * PAGE_BYTES,
  };
}

/** `undefined` when CRIU wrote none, because it failed before. */
export function readRestoreStats(workDir: string): RestoreStats | undefined {
  const restore = readImage(join(workDir, 'stats-restore'), 'stats', stats)?.[0]?.restore;
  if (!restore) return undefined;
  return {
    forkingMs: required(restore, 'forking_time') / 1000,
    restoreMs: required(restore, 'restore_time') / 1000,
    pagesRestored: restore.pages_restored,
  };
}
