// SPDX-License-Identifier: MIT
/**
 * Ends process trees whose root is not a child of Node.
 * @module
 */
import { isErrno } from '../errno.ts';
import { isSameProcess, readStat, readProcessTree, type ProcessStat } from './proc.ts';
import { waitForExit } from './wait.ts';
import { checkMilliseconds } from '../check.ts';

const MAX_ROUNDS = 32;
// a process in an uninterruptible call may ignore SIGKILL forever
const KILL_TIMEOUT_MS = 10_000;

/** Sends a signal; a process that has already ended is ignored. @returns whether the process existed */
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

/** Sends SIGKILL until no process that is found is alive: one may fork while others are being killed. */
function killNow(find: () => readonly ProcessStat[]): ProcessStat[] {
  const killed = new Map<string, ProcessStat>();
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const fresh = living(find()).filter((stat) => !killed.has(`${stat.pid}:${stat.startTime}`));
    if (fresh.length === 0) break;
    for (const stat of fresh) {
      if (isSameProcess(stat)) sendSignal(stat.pid, 'SIGKILL');
      killed.set(`${stat.pid}:${stat.startTime}`, stat);
    }
  }
  return [...killed.values()];
}

/**
 * Sends SIGKILL until no process of the tree is alive. Does not wait and does not collect; safe in an `exit` handler.
 * @returns everything that was killed
 */
export const killTreeNow = (pid: number): ProcessStat[] => killNow(() => readProcessTree(pid));

/** All processes below this one, parents before children. */
export const readDescendants = (): ProcessStat[] =>
  readProcessTree(process.pid).filter((stat) => stat.pid !== process.pid);

/**
 * The same, of everything below this process.
 * @param spared are left alive with everything below them
 */
export function killDescendantsNow(spared: readonly ProcessStat[] = []): ProcessStat[] {
  return killNow(() => {
    const kept = new Set<number>();
    return readDescendants().filter(({ pid, ppid, startTime }) => {
      const isKept = kept.has(ppid) || spared.some((one) => one.pid === pid && one.startTime === startTime);
      if (isKept) kept.add(pid);
      return !isKept;
    });
  });
}

/**
 * Ends a process tree: SIGTERM to the root, which is resumed if it was stopped, then SIGKILL to everything that is left
 * after `graceMs`. Collects the processes that are children of this one.
 * @param graceMs milliseconds; 0 sends SIGKILL at once
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
  // a process that ended before its parent becomes our child, and ours to collect, only when the parent has ended
  for (const one of pids) if (readStat(one)?.state === 'Z') await waitForExit(one);
}
