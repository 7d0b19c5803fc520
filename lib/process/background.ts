// SPDX-License-Identifier: MIT
/**
 * What the plugin leaves beside criu for a moment: its companions, and the pool
 * that serves one run. They come to this process as their subreaper, which
 * nobody else collects: without that each dump would leave a zombie.
 * @module
 */
import { readChildren, readStat } from './proc.ts';
import { waitForExit } from './wait.ts';

/** Their names, as the plugin and `cuda-poold --once` set them; the watcher is waited for by whoever reads what it writes. */
const names = /^cuda-(preinit|readahead|pool-once)$/;

/** They end a moment after criu. */
const ENDING_MS = 5000;

/** Collects them as they end. @returns when there is none any more, or after some seconds */
export async function collectBackgroundProcesses(): Promise<void> {
  const ours = readChildren(process.pid).filter((pid) => names.test(readStat(pid)?.comm ?? ''));
  await Promise.all(ours.map((pid) => waitForExit(pid, { timeoutMs: ENDING_MS })));
}
