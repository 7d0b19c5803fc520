// SPDX-License-Identifier: MIT
/** vitest's waiting functions, with a longer timeout than its second: on a busy machine things happen later. */
import { vi } from 'vitest';
import { waitForExit, waitUntilCollected } from '../../lib/process/index.ts';

const TIMEOUT_MS = 60_000;

interface Options {
  /** Milliseconds, for what takes longer than what most tests wait for. */
  timeout?: number;
  /** Milliseconds between two attempts. */
  interval?: number;
}

/** Waits until the callback does not throw. @returns what it returned */
export const waitFor = <T>(callback: () => T | Promise<T>, options: Options = {}): Promise<T> =>
  vi.waitFor(callback, { timeout: TIMEOUT_MS, ...options });

/** Waits until the callback returns something truthy. @returns that */
export const waitUntil: (typeof vi)['waitUntil'] = (callback, options) =>
  vi.waitUntil(callback, { timeout: TIMEOUT_MS, ...(options as Options | undefined) });

/** Waits until processes have ended and their pids are free for a restore. */
export async function waitUntilFree(...pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    await waitForExit(pid);
    await waitUntilCollected(pid, TIMEOUT_MS);
  }
}
