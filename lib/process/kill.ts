// SPDX-License-Identifier: MIT
/**
 * Ending a process tree that is not led by a child of Node.
 * @module
 */
import { isErrno } from '../errno.ts';
import { isSameProcess, readStat, readProcessTree, type ProcessStat } from './proc.ts';
import { waitForExit } from './wait.ts';
import { checkMilliseconds } from '../check.ts';

const MAX_ROUNDS = 32;
// a process in an uninterruptible call may ignore SIGKILL for ever
const KILL_TIMEOUT_MS = 10_000;

/** Sends a signal; a process that is gone already is no error. @returns whether it was there */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
}

const living = (tree: readonly ProcessStat[]): ProcessStat[] =>
  tree.filter((stat) => stat.state !== 'Z' && stat.state !== 'X');

/**
 * Sends SIGKILL to a tree until nothing of it lives: a process may fork while
 * its siblings are being killed. Does not wait and does not collect; safe in
 * an `exit` handler.
 * @returns everything that was killed
 */
export function killTreeNow(pid: number): ProcessStat[] {
  const killed = new Map<string, ProcessStat>();
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const fresh = living(readProcessTree(pid)).filter((stat) => !killed.has(`${stat.pid}:${stat.startTime}`));
    if (fresh.length === 0) break;
    for (const stat of fresh) {
      if (isSameProcess(stat)) sendSignal(stat.pid, 'SIGKILL');
      killed.set(`${stat.pid}:${stat.startTime}`, stat);
    }
  }
  return [...killed.values()];
}

/**
 * Ends a process tree: SIGTERM to the root, which goes on if it stood still, and SIGKILL to whatever is left
 * after `graceMs`. Collects those that are children of this process.
 * @param graceMs 0 = SIGKILL at once
 */
export async function killTree(pid: number, graceMs = 0): Promise<void> {
  checkMilliseconds('graceMs', graceMs);
  const before = readProcessTree(pid);
  if (graceMs > 0 && sendSignal(pid, 'SIGTERM')) {
    sendSignal(pid, 'SIGCONT');
    await waitForExit(pid, { timeoutMs: graceMs });
  }
  const left = before.filter(isSameProcess);
  const killed = left.flatMap((stat) => killTreeNow(stat.pid));
  const pids = new Set([...left, ...killed].map((stat) => stat.pid));
  await Promise.all([...pids].map((one) => waitForExit(one, { timeoutMs: KILL_TIMEOUT_MS })));
  // one that ended before its parent did becomes our child, to be collected, only afterwards
  for (const one of pids) if (readStat(one)?.state === 'Z') await waitForExit(one);
}
