// SPDX-License-Identifier: MIT
/** vitest's waiting functions, with a longer timeout than its second: on a busy machine things happen later. */
import { vi } from 'vitest';

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
