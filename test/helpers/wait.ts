// SPDX-License-Identifier: MIT
/**
 * vitest's waiting, but not given up after its default of a second: what is
 * waited for comes, on a busy machine later.
 */
import { vi } from 'vitest';

const TIMEOUT_MS = 20_000;

interface Options {
  /** Milliseconds between two looks. */
  interval?: number;
}

/** Until the callback does not throw. @returns what it returned */
export const waitFor = <T>(callback: () => T | Promise<T>, options: Options = {}): Promise<T> =>
  vi.waitFor(callback, { timeout: TIMEOUT_MS, ...options });

/** Until the callback returns something true. @returns that */
export const waitUntil: (typeof vi)['waitUntil'] = (callback, options) =>
  vi.waitUntil(callback, { timeout: TIMEOUT_MS, ...(options as Options | undefined) });
