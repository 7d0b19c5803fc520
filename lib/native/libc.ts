// SPDX-License-Identifier: MIT
/**
 * The system calls Node has no API for. Every call is short; nothing here waits.
 * @module
 */
import { constants } from 'node:os';
import { nativeBackend } from './backend.ts';
import { SystemCallError } from './errors.ts';

function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallError(call, -result);
  return result;
}

/** Whether orphaned descendants become children of this process. */
export function getChildSubreaper(): boolean {
  return check('prctl(PR_GET_CHILD_SUBREAPER)', nativeBackend().libc.getChildSubreaper()) === 1;
}

export function setChildSubreaper(on: boolean): void {
  check('prctl(PR_SET_CHILD_SUBREAPER)', nativeBackend().libc.setChildSubreaper(on));
}

/** A close-on-exec descriptor that becomes readable when the process has ended; the caller closes it. */
export function pidfdOpen(pid: number): number {
  return check(`pidfd_open(${pid})`, nativeBackend().libc.pidfdOpen(pid));
}

/**
 * Locks a file or directory until its descriptor is closed.
 * @returns whether there is a lock now; not if another descriptor has one that excludes it
 */
export function tryLock(fd: number, exclusive: boolean): boolean {
  const result = nativeBackend().libc.flock(fd, exclusive);
  if (result === -constants.errno.EWOULDBLOCK) return false;
  check(`flock(${fd})`, result);
  return true;
}

/**
 * The parts of a file that are not holes, as `[first byte, byte behind the last]`. Moves the descriptor's position.
 * @param size bytes of the file to look at
 */
export function* dataRanges(fd: number, size: number): Generator<[number, number]> {
  const { libc } = nativeBackend();
  for (let at = 0; at < size;) {
    const begin = libc.seekData(fd, at, false);
    if (begin === -constants.errno.ENXIO || begin >= size) return;
    const end = begin < 0 ? begin : libc.seekData(fd, begin, true);
    // a file system that knows no holes has data everywhere
    const range: [number, number] = end < 0 ? [at, size] : [begin, Math.min(end, size)];
    yield range;
    at = range[1];
  }
}

/** Collects one ended child without waiting. @returns its wait status, or `undefined` while it runs */
export function waitpidNoHang(pid: number): number | undefined {
  const { result, value } = nativeBackend().libc.waitpid(pid);
  return check(`waitpid(${pid})`, result) === pid ? value : undefined;
}

/**
 * This process becomes another program, which keeps its pid, variables, stdin, stdout and stderr.
 * @throws {@link SystemCallError} it cannot be executed
 */
export function execv(path: string, args: readonly string[]): never {
  throw new SystemCallError(`execv(${path})`, -nativeBackend().libc.execv(path, [path, ...args]));
}

/** Calls back once when `fd` becomes readable. @returns a function that stops waiting, any number of times */
export function onReadable(fd: number, callback: () => void): () => void {
  const stop = nativeBackend().libc.onReadable(fd, callback);
  if (typeof stop === 'number') throw new SystemCallError(`poll(${fd})`, -stop);
  return stop;
}
