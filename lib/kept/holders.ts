// SPDX-License-Identifier: MIT
/** Which processes have a file open or mapped. @module */
import { readFileSync } from 'node:fs';
import type { Pause } from '../abortable.ts';
import { listPids } from '../process/index.ts';
import { attempt, openFiles } from './open-files.ts';

/** The paths that a process has open or mapped, of those asked for. */
function heldBy(pid: number, paths: readonly string[]): string[] {
  const maps = attempt(() => readFileSync(`/proc/${pid}/maps`, 'utf8'), '');
  const open = openFiles(pid);
  return paths.filter((path) => open.includes(path) || maps.includes(` ${path}\n`));
}

/**
 * Finds a process for each file that is held by one.
 * @param own processes that do not count
 */
export async function findHolder(
  paths: readonly string[],
  own: readonly number[],
  pause: Pause,
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  if (paths.length === 0) return found;
  const others = listPids().filter((pid) => !own.includes(pid));
  for (const pid of others) {
    await pause(); // machines have thousands
    for (const path of heldBy(pid, paths)) found.set(path, pid);
  }
  return found;
}
