// SPDX-License-Identifier: MIT
/**
 * The second half of a restore that left its tasks standing still: they go on,
 * and take the device memory that the pool has for them.
 * @module
 */
import { loadSettings } from '../settings/index.ts';
import { collectStatus, listOpStatus, readOpStatus, type CudaTask } from '../criu/index.ts';
import { UsageError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import { checkPid, isAlive, killTree, readStat, readProcessTree, wakeTree } from '../process/index.ts';
import { WakeError } from './error.ts';
import { checkPath } from '../check.ts';

/** How a standby is woken. */
export interface WakeOptions {
  /** @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** The environment that settings are read from. @default the process's own */
  env?: Environment | undefined;
  /** Gives up waiting; what was woken goes on. */
  signal?: AbortSignal | undefined;
}

/** What was woken. */
export interface WakeResult {
  /** Those that stood still. */
  pids: number[];
  /** Until all that waited for device memory had it. Milliseconds. */
  durationMs: number;
  /** Those that had waited for it. */
  tasks: CudaTask[];
}

/** The run of criu whose watcher still waits for a process of this tree. */
async function findStandby(runDir: string, root: number): Promise<number | undefined> {
  const pids = new Set(readProcessTree(root).map(({ pid }) => pid));
  for (const criuPid of listOpStatus(runDir)) {
    // of what another run has written nothing is expected
    const status = await readOpStatus(runDir, criuPid).catch(() => undefined);
    if (status?.watcherPid === undefined || readStat(status.watcherPid)?.comm !== 'cuda-watcher') continue;
    if (!status.attaching.some((pid) => pids.has(pid))) continue;
    const other = status.attaching.find((pid) => !pids.has(pid) && isAlive(pid));
    if (other === undefined) return criuPid;
    throw new UsageError(
      `${root} was restored with ${other}, which is not below it`,
      'wake the root of the tree',
    );
  }
  return undefined;
}

/**
 * Lets a process tree go on that stands still, as `restore` with `leaveStopped`
 * leaves it, and waits until it has its device memory.
 * @throws {@link ToolkitError} ERR_WAKE when it has ended, or a process did not get it and the tree was killed
 */
export async function wake(pid: number, options: WakeOptions = {}): Promise<WakeResult> {
  checkPid(pid);
  if (options.runDir !== undefined) checkPath('runDir', options.runDir);
  const runDir = options.runDir ?? loadSettings(options.env ?? process.env).settings.CRIU_CUDA_RUN_DIR;
  const criuPid = await findStandby(runDir, pid);
  const start = performance.now();
  const pids = wakeTree(pid);
  const { signal } = options;
  const status =
    criuPid === undefined
      ? undefined
      : await collectStatus(runDir, criuPid, signal === undefined ? {} : { signal });
  const tasks = status?.tasks ?? [];
  const failed = tasks.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0) {
    await killTree(pid); // as after a restore that failed: no part of it runs on
    const reasons = failed.map((task) => `${task.pid}: ${task.reason ?? 'unknown reason'}`);
    throw new WakeError('ERR_WAKE', `${pid} was killed, device memory is lost: ${reasons.join('; ')}`, {
      hint: 'restore it again',
    });
  }
  // one that was about to end when it was woken stood still no more
  if (pids.length === 0 && !isAlive(pid)) {
    await killTree(pid); // what is left of it
    throw new WakeError('ERR_WAKE', `${pid} has ended`, { hint: 'restore it again' });
  }
  return { pids, durationMs: performance.now() - start, tasks };
}
