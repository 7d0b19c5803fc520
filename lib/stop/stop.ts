// SPDX-License-Identifier: MIT
/**
 * Ends a process tree: first the driver checkpoints its CUDA processes, then all of it is killed.
 * @module
 */
import { checkMilliseconds, checkPath } from '../check.ts';
import { UsageError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import {
  checkNoThread,
  checkPid,
  isAlive,
  isSameProcess,
  killTreeNow,
  readProcessTree,
  readStat,
  waitForExit,
  watchProcess,
  type ProcessStat,
} from '../process/index.ts';
import { StopError } from './error.ts';
import { DEFAULT_RELEASE_MS, releaseDevices } from './release.ts';

/** How to stop a process tree. */
export interface StopOptions {
  /** How long the driver may take for all processes together, in milliseconds. @default 30_000 */
  timeoutMs?: number | undefined;
  /** A libcuda.so.1. @default the setting CRIU_CUDA_DRIVER */
  driver?: string | undefined;
  /** The environment that settings are read from. @default the process's own */
  env?: Environment | undefined;
}

/** A CUDA process that was stopped. */
export interface StoppedProcess {
  /** Its pid. */
  pid: number;
  /** Whether it used no GPU any more when it was killed. */
  isCheckpointed: boolean;
  /** Why it was killed without a checkpoint; `undefined` when it had one. */
  reason?: string | undefined;
}

/** A process tree that has ended. */
export interface StopResult {
  /** The root of the tree. */
  pid: number;
  /** Its CUDA processes; the others were only killed. */
  processes: StoppedProcess[];
  /** Why the driver was not asked, such as that there is none; `undefined` when it was. */
  reason: string | undefined;
  /** Until all had ended. Milliseconds. */
  durationMs: number;
}

/** A process that is in the kernel ends when its call returns. Milliseconds. */
const KILL_TIMEOUT_MS = 10_000;

/**
 * Waits without collecting the root: its parent does that, which may be Node. What was orphaned meanwhile is ours.
 * @returns whether it has ended
 */
async function waitForEnd({ pid }: ProcessStat, root: number): Promise<boolean> {
  if (pid !== root) return (await waitForExit(pid, { timeoutMs: KILL_TIMEOUT_MS })) !== undefined;
  const watched = watchProcess(pid);
  try {
    return (await watched?.ended({ timeoutMs: KILL_TIMEOUT_MS })) ?? true;
  } finally {
    watched?.close();
  }
}

/** @returns the pids that have not ended */
async function killAll(root: ProcessStat): Promise<number[]> {
  // its pid may be another process's by now
  const killed = isSameProcess(root) ? killTreeNow(root.pid) : [];
  const ended = await Promise.all(killed.map((stat) => waitForEnd(stat, root.pid)));
  return killed.filter((_, index) => ended[index] !== true).map(({ pid }) => pid);
}

/**
 * Ends a process and its descendants. The driver locks and checkpoints every CUDA process first, so that none is killed
 * while it uses a GPU: that has hung machines with some drivers. With more than 1 GiB of device memory, or more than the
 * host has free, they are only locked: nothing of theirs runs on the GPU, and nothing is copied. Where the driver cannot do it, or not in time, the
 * processes are killed as they are, and the result says why. Their memory is not saved: use `checkpoint` for that.
 * @throws {@link UsageError} there is no such process, only such a thread, or its tree has this program, as that of process 1 does
 * @throws {@link StopError} ERR_STOP a process was killed and has not ended after 10 seconds
 */
export async function stopProcess(pid: number, options: StopOptions = {}): Promise<StopResult> {
  const { timeoutMs = DEFAULT_RELEASE_MS, driver, env } = options;
  checkPid(pid);
  checkNoThread(pid);
  checkMilliseconds('timeoutMs', timeoutMs);
  if (driver !== undefined) checkPath('driver', driver);
  const root = readStat(pid);
  if (!root || !isAlive(pid)) throw new UsageError(`there is no process ${pid}`);
  if (readProcessTree(pid).some((one) => one.pid === process.pid)) {
    throw new UsageError(
      `${pid} is this program or started it`,
      'name a process that did not start this program',
    );
  }
  const start = performance.now();
  const { processes, reason } = await releaseDevices(pid, { timeoutMs, driver, env });
  const left = await killAll(root);
  if (left.length > 0) {
    throw new StopError('ERR_STOP', `killed, but not ended after 10 s: ${left.join(', ')}`, {
      hint: 'a process in the kernel, such as in a GPU driver that hangs, ends when its call returns: see dmesg',
    });
  }
  return { pid, processes, reason, durationMs: performance.now() - start };
}
