// SPDX-License-Identifier: MIT
/**
 * Status files of operations that have ended, in the directory `history` of the run directory. This program moves those
 * that it has read there; the plugin those that nobody reads (`plugins-cuda/common/status_history.c`).
 * @module
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, truncateSync, utimesSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isErrno } from '../../errno.ts';

/** As many files stay; the plugin has the same number. */
const HISTORY_FILES = 64;

/** Where they are. */
export const historyDir = (runDir: string): string => join(runDir, 'history');

/** A status file, running or not. */
export interface StatusFile {
  /** Its path. */
  path: string;
  /** When its last line was written; milliseconds since 1970. */
  modifiedMs: number;
}

function statusFilesIn(dir: string): StatusFile[] {
  let names: string[] = [];
  try {
    names = readdirSync(dir);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  return names
    .filter((name) => /^op-\d+-\d+(-\d+)?\.jsonl$/.test(name))
    .flatMap((name) => {
      const path = join(dir, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat?.isFile() === true ? [{ path, modifiedMs: stat.mtimeMs }] : [];
    });
}

/** All status files below the run directory, the latest last. */
export const listStatusFiles = (runDir: string): StatusFile[] =>
  [...statusFilesIn(runDir), ...statusFilesIn(historyDir(runDir))].toSorted(
    (one, other) => one.modifiedMs - other.modifiedMs,
  );

/** Moves a status file, without the space that was reserved for it, and removes the oldest ones. */
export function moveToHistory(runDir: string, path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return;
  const history = historyDir(runDir);
  try {
    mkdirSync(history, { recursive: true, mode: 0o700 });
    truncateSync(path, stat.size);
    utimesSync(path, stat.atime, stat.mtime);
    const seconds = Math.floor(stat.mtimeMs / 1000);
    renameSync(path, join(history, `${basename(path, '.jsonl')}-${seconds}.jsonl`));
    const files = statusFilesIn(history).toSorted((one, other) => other.modifiedMs - one.modifiedMs);
    for (const old of files.slice(HISTORY_FILES)) rmSync(old.path, { force: true });
  } catch {
    rmSync(path, { force: true }); // as a full or foreign directory cannot keep it
  }
}
