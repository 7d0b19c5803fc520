// SPDX-License-Identifier: MIT
/** `criu-cuda` in PATH, as `setup` puts it there. */
import { existsSync } from 'node:fs';
import { currentSystem, type System } from '../../machine/index.ts';
import type { Io } from '../../output.ts';
import { readLauncher, removeLauncher, writeLauncher, type Launcher } from '../../setup/index.ts';

/**
 * Writes the launcher where root may and nothing is in the way, and adds it to what was done.
 * @param takesOver whether that of another clone, which is still there, is replaced
 */
export function ensureLauncher(
  io: Io,
  system: System,
  done: string[],
  takesOver: boolean,
): Launcher | undefined {
  const found = readLauncher(system);
  if (found?.state !== 'free' || !system.isRoot) return found;
  const isUsed = found.runs !== undefined && existsSync(found.runs);
  if (isUsed && !takesOver) return { ...found, missing: undefined };
  const path = writeLauncher(system.programDir);
  done.push(path);
  if (found.runs !== undefined) io.err(`${path} ran ${found.runs} until now`);
  return readLauncher(system);
}

/** Removes it. */
export function undoLauncher(io: Io): void {
  const path = removeLauncher(currentSystem(io.signal));
  io.result({ removed: path === undefined ? [] : [path] }, () =>
    path === undefined
      ? 'there is nothing to undo'
      : `removed ${path}; packages, and the CRIU that setup built, stay installed`,
  );
}
