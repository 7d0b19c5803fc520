// SPDX-License-Identifier: MIT
/**
 * A lock on an images directory, for as long as a command writes it or restores from it. The kernel releases it with the
 * last process that has its descriptor, however that ends: the command, or criu if the command is killed before it.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { SystemCallError, tryLock } from './native/index.ts';
import { isAlive } from './process/index.ts';

/** A lock that is held. */
export interface ImagesLock {
  /** A process that gets it keeps the lock, too. */
  descriptor: number;
  /** Set where the file system has no such locks, so that nothing is locked. */
  warning?: string;
  release(): void;
}

/** The living processes that have locked the directory, as /proc/locks tells. */
function holders(fd: number): number[] {
  const { ino } = fstatSync(fd);
  const lines = readFileSync('/proc/locks', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const [, kind, , , pid, file] = line.trim().split(/\s+/);
    return kind === 'FLOCK' && file?.endsWith(`:${ino}`) === true && isAlive(Number(pid))
      ? [Number(pid)]
      : [];
  });
}

/** "(process 4711)"; empty where it cannot be seen. */
function describeHolders(fd: number): string {
  try {
    const pids = [...new Set(holders(fd))];
    if (pids.length === 0) return '';
    return ` (${pids.length === 1 ? 'process' : 'processes'} ${pids.join(', ')})`;
  } catch {
    return '';
  }
}

/**
 * Locks an images directory, which exists, against commands of this machine: Linux asks no server of a network file system
 * about locks on directories.
 * @param exclusive otherwise others may have a lock that is not exclusive, too
 * @param refuse throws what the user is told; it gets who has the lock, in words, after a blank, or nothing
 */
export function lockImages(
  dir: string,
  exclusive: boolean,
  refuse: (holders: string) => never,
  lock: typeof tryLock = tryLock,
): ImagesLock {
  const fd = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  const release = (): void => {
    closeSync(fd);
  };
  let locked = true;
  try {
    locked = lock(fd, exclusive);
  } catch (error) {
    if (error instanceof SystemCallError) {
      const warning = `${dir} cannot be locked (${error.message}): nothing keeps another checkpoint from writing to it at the same time`;
      return { descriptor: fd, warning, release };
    }
    release();
    throw error;
  }
  if (locked) return { descriptor: fd, release };
  const found = describeHolders(fd);
  release();
  return refuse(found);
}
