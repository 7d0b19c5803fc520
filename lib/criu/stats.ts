// SPDX-License-Identifier: MIT
/**
 * The statistics CRIU writes about a dump or a restore: `stats-dump` and `stats-restore` in its work directory.
 * @module
 */
import { join } from 'node:path';
import { toNumber } from '../protobuf.ts';
import { StatsEntrySchema, type StatsEntry } from './gen/images_pb.ts';
import { CriuImageError, readImage } from './image.ts';

const PAGE_BYTES = 4096;

export interface DumpStats {
  /** Until all tasks were frozen; includes the driver's lock. Milliseconds, as all times below. */
  freezingMs: number;
  /** How long the tasks were frozen. */
  frozenMs: number;
  /** Reading and writing the memory of the tasks. */
  memdumpMs: number;
  /** Writing it, which is a part of `memdumpMs`. */
  memwriteMs: number;
  pagesWritten: number;
  pagesBytes: number;
}

export interface RestoreStats {
  /** Creating the tasks. Milliseconds, as below. */
  forkingMs: number;
  /** From the first task until all are complete, except for their devices. */
  restoreMs: number;
  pagesRestored: number;
}

/** Statistics are for display: what is damaged, as on a full disk, must not fail a run that has succeeded. */
function readStats<Stats>(
  workDir: string,
  name: string,
  select: (entry: StatsEntry) => Stats | undefined,
): Stats | undefined {
  try {
    const entry = readImage(join(workDir, name), 'stats', StatsEntrySchema)?.[0];
    return entry && select(entry);
  } catch (error) {
    if (error instanceof CriuImageError) return undefined;
    throw error;
  }
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new CriuImageError(`stats: ${name} is missing`);
  return value;
}

/** @returns `undefined` when CRIU wrote no statistics because it failed earlier, or not all of them because the disk is full */
export const readDumpStats = (workDir: string): DumpStats | undefined =>
  readStats(workDir, 'stats-dump', ({ dump }) => {
    if (!dump) return undefined;
    const pagesWritten = toNumber(required(dump.pagesWritten, 'pages_written'));
    return {
      freezingMs: required(dump.freezingTime, 'freezing_time') / 1000,
      frozenMs: required(dump.frozenTime, 'frozen_time') / 1000,
      memdumpMs: required(dump.memdumpTime, 'memdump_time') / 1000,
      memwriteMs: required(dump.memwriteTime, 'memwrite_time') / 1000,
      pagesWritten,
      pagesBytes: pagesWritten * PAGE_BYTES,
    };
  });

/** @returns as {@link readDumpStats} */
export const readRestoreStats = (workDir: string): RestoreStats | undefined =>
  readStats(workDir, 'stats-restore', ({ restore }) => {
    if (!restore) return undefined;
    return {
      forkingMs: required(restore.forkingTime, 'forking_time') / 1000,
      restoreMs: required(restore.restoreTime, 'restore_time') / 1000,
      pagesRestored: toNumber(restore.pagesRestored),
    };
  });
