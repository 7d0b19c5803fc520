// SPDX-License-Identifier: MIT
/**
 * The numbers CRIU writes about a dump or a restore: `stats-dump` and
 * `stats-restore` in its work directory.
 * @module
 */
import { join } from 'node:path';
import { ImageError, messageField, numberField, readImage, type Fields } from './image.ts';

const PAGE_BYTES = 4096;

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

function required(fields: Fields, number: number, what: string): number {
  const value = numberField(fields, number);
  if (value === undefined) throw new ImageError(`stats: ${what} is missing`);
  return value;
}

const milliseconds = (fields: Fields, number: number, what: string): number =>
  required(fields, number, what) / 1000;

/** `undefined` when CRIU wrote none, because it failed before. */
export function readDumpStats(workDir: string): DumpStats | undefined {
  const [entry] = readImage(join(workDir, 'stats-dump'), 'stats') ?? [];
  const dump = entry && messageField(entry, 1);
  if (!dump) return undefined;
  const pagesWritten = required(dump, 7, 'pages_written');
  return {
    freezingMs: milliseconds(dump, 1, 'freezing_time'),
    frozenMs: milliseconds(dump, 2, 'frozen_time'),
    memdumpMs: milliseconds(dump, 3, 'memdump_time'),
    memwriteMs: milliseconds(dump, 4, 'memwrite_time'),
    pagesWritten,
    pagesBytes: pagesWritten * PAGE_BYTES,
  };
}

/** `undefined` when CRIU wrote none, because it failed before. */
export function readRestoreStats(workDir: string): RestoreStats | undefined {
  const [entry] = readImage(join(workDir, 'stats-restore'), 'stats') ?? [];
  const restore = entry && messageField(entry, 2);
  if (!restore) return undefined;
  return {
    forkingMs: milliseconds(restore, 3, 'forking_time'),
    restoreMs: milliseconds(restore, 4, 'restore_time'),
    pagesRestored: numberField(restore, 5) ?? 0,
  };
}
