// SPDX-License-Identifier: MIT
/** `criu-cuda` in PATH, as `setup` puts it there. */
import { currentSystem, type System } from '../../machine/index.ts';
import type { Io } from '../../output.ts';
import { readLauncher, removeLauncher, writeLauncher, type Launcher } from '../../setup/index.ts';

/** Writes the launcher where root may and nothing is in the way, and adds it to what was done. */
export function ensureLauncher(io: Io, system: System, done: string[]): Launcher | undefined {
  const found = readLauncher(system);
  if (found?.state !== 'free' || !system.isRoot) return found;
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
