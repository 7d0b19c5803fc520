// SPDX-License-Identifier: MIT
/**
 * The second half of a restore that left its tasks stopped: resumes them, and waits until they have taken their device
 * memory from the pool.
 * @module
 */
import { loadSettings } from '../settings/index.ts';
import { collectStatus, listOpStatus, tryReadOpStatus, type CudaTask } from '../criu/index.ts';
import { UsageError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import {
  checkNoThread,
  checkPid,
  isAlive,
  killTree,
  readStat,
  readProcessTree,
  wakeTree,
  watcherName,
} from '../process/index.ts';
import { WakeError } from './error.ts';
import { checkPath } from '../check.ts';

/** How to wake a standby. */
export interface WakeOptions {
  /** @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** The environment that settings are read from. @default the process's own */
  env?: Environment | undefined;
  /** Stops waiting; processes that were woken keep running. */
  signal?: AbortSignal | undefined;
}

/** What was woken. */
export interface WakeResult {
  /** The processes that were stopped. */
  pids: number[];
  /** Until every waiting process had its device memory. Milliseconds. */
  durationMs: number;
  /** The CUDA processes that waited for device memory. */
  tasks: CudaTask[];
}

/** Finds the run of criu whose watcher still waits for a process of this tree. */
function findStandby(runDir: string, root: number): number | undefined {
  const pids = new Set(readProcessTree(root).map(({ pid }) => pid));
  for (const criuPid of listOpStatus(runDir)) {
    // status files of other runs need not be readable
    const status = tryReadOpStatus(runDir, criuPid);
    if (!status?.watcherPids.some((pid) => watcherName.test(readStat(pid)?.comm ?? ''))) continue;
    if (!status.attaching.some((pid) => pids.has(pid))) continue;
    const other = status.attaching.find((pid) => !pids.has(pid) && isAlive(pid));
    if (other === undefined) return criuPid;
    throw new UsageError(
      `${root} was restored together with ${other}, which is not one of its descendants`,
      'wake the root of the tree',
    );
  }
  return undefined;
}

/**
 * Resumes a tree that `restore` with `leaveStopped` left stopped, and waits until it has its device memory.
 * @throws {@link ToolkitError} ERR_WAKE when the tree has ended, or when a process did not get its memory and the tree
 * was killed
 */
export async function wake(pid: number, options: WakeOptions = {}): Promise<WakeResult> {
  checkPid(pid);
  checkNoThread(pid);
  if (options.runDir !== undefined) checkPath('runDir', options.runDir);
  const runDir = options.runDir ?? loadSettings(options.env ?? process.env).settings.CRIU_CUDA_RUN_DIR;
  const criuPid = findStandby(runDir, pid);
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
    await killTree(pid); // as after a failed restore: no part of the tree keeps running
    const reasons = failed.map((task) => `${task.pid}: ${task.reason ?? 'unknown reason'}`);
    throw new WakeError(
      'ERR_WAKE',
      `${pid} was killed because its device memory is lost: ${reasons.join('; ')}`,
      {
        hint: 'restore it again',
      },
    );
  }
  // a process that was ending when it was woken is no longer stopped
  if (pids.length === 0 && !isAlive(pid)) {
    await killTree(pid); // the rest of the tree
    throw new WakeError('ERR_WAKE', `${pid} has ended`, { hint: 'restore it again' });
  }
  return { pids, durationMs: performance.now() - start, tasks };
}
