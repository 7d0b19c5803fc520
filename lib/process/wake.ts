// SPDX-License-Identifier: MIT
/**
 * Processes that stand still, as `restore` leaves them when asked to.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { sendSignal } from './kill.ts';
import { readProcessTree } from './proc.ts';

const POLL_MS = 2;

/** Waits until nothing of a tree runs, or the timeout. Only a parent is told that a process stopped, so this looks. */
export async function waitUntilStopped(pid: number, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  const isRunning = (): boolean => readProcessTree(pid).some(({ state }) => state !== 'T' && state !== 'Z');
  while (isRunning() && performance.now() < end) await delay(POLL_MS);
}

/**
 * Lets every process of a tree go on that stands still or is about to, children
 * before their parents, so that no parent sees a child stopped.
 * @returns those that stood still, in that order; empty as well when there is no such process
 */
export function wakeTree(pid: number): number[] {
  const tree = readProcessTree(pid).reverse();
  const sent = tree.filter((stat) => sendSignal(stat.pid, 'SIGCONT'));
  return sent.filter(({ state }) => state === 'T').map((stat) => stat.pid);
}
