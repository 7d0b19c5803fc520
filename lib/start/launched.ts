// SPDX-License-Identifier: MIT
/**
 * What criu-cuda-start (plugins-cuda/start) has begun before Node: the pool's helper, whose driver starts as long as Node
 * does. It is a child of this process, with a pipe from it as standard input.
 * @module
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { startedAt } from '../clock.ts';

/** A helper that was started before this program, and that nobody has taken over yet. */
export interface LaunchedHelper {
  pid: number;
  /** Our end of the pipe, whose end ends the helper; `undefined` when the helper has ended. */
  pipe: number | undefined;
}

let launched: LaunchedHelper | undefined;

/** Another descriptor of our end of the pipe, which no child inherits: it would keep the helper alive. */
function reopen(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined; // nobody has the other end any more
  } finally {
    closeSync(fd);
  }
}

function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false;
  }
}

/** Reads and removes the variable in which criu-cuda-start says what it has begun. To be called before anything is started. */
export function readLaunched(): void {
  const value = process.env.CRIU_CUDA_STARTED_HELPER;
  if (value === undefined) return;
  delete process.env.CRIU_CUDA_STARTED_HELPER;
  const [, pid, fd, ns] = /^(\d+):([3-9]|\d{2,}):(\d+)$/.exec(value) ?? [];
  if (pid === undefined || fd === undefined || ns === undefined) return;
  startedAt(Number(ns) / 1e6);
  if (!isPipe(Number(fd))) return; // nobody but criu-cuda-start sets it
  launched = { pid: Number(pid), pipe: reopen(Number(fd)) };
}

/** The pid of that helper, while nobody has taken it over. */
export const launchedPid = (): number | undefined => launched?.pid;

/** The helper that was started before this program, for the first who asks. */
export function takeLaunched(): LaunchedHelper | undefined {
  const taken = launched;
  launched = undefined;
  return taken;
}
