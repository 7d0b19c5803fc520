// SPDX-License-Identifier: MIT
/**
 * Processes that stand still, as `restore` leaves them when asked to.
 * @module
 */
import { sendSignal } from './kill.ts';
import { readTree } from './proc.ts';

/**
 * Lets every process of a tree go on that stands still, children before their
 * parents, so that no parent sees a child stopped.
 * @returns those that stood still, in that order; empty as well when there is no such process
 */
export function wakeTree(pid: number): number[] {
  const stopped = readTree(pid).filter(({ state }) => state === 'T');
  return stopped
    .reverse()
    .filter((stat) => sendSignal(stat.pid, 'SIGCONT'))
    .map((stat) => stat.pid);
}
