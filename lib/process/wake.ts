// SPDX-License-Identifier: MIT
/**
 * Stops and wakes restored process trees.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { sendSignal } from './kill.ts';
import { readProcessTree } from './proc.ts';

const POLL_MS = 2;

/** Waits until no process of a tree runs, or for the timeout. Only a parent is notified of a stop, so this polls. */
export async function waitUntilStopped(pid: number, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  const isRunning = (): boolean => readProcessTree(pid).some(({ state }) => state !== 'T' && state !== 'Z');
  while (isRunning() && performance.now() < end) await delay(POLL_MS);
}

/**
 * Sends SIGCONT to every process of a tree, children before parents, so that no parent sees a stopped child.
 * @returns the pids of those that were stopped, in that order; none when there is no such process
 */
export function wakeTree(pid: number): number[] {
  const tree = readProcessTree(pid).reverse();
  const sent = tree.filter((stat) => sendSignal(stat.pid, 'SIGCONT'));
  return sent.filter(({ state }) => state === 'T').map((stat) => stat.pid);
}
