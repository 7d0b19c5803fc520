// SPDX-License-Identifier: MIT
/** What is interrupted although it cannot be stopped at once, or would keep this process from noticing. @module */

/** For how long a loop does nothing else. Milliseconds. */
const SLICE_MS = 8;

/** Awaited between the pieces of long work. */
export type Pause = () => Promise<void> | undefined;

/**
 * For a loop that waits for nothing: a signal such as Ctrl-C is noticed, and timers run, between two of its pieces.
 * @returns throws the signal's reason once it is aborted
 */
export function createPause(signal: AbortSignal | undefined): Pause {
  let end = performance.now() + SLICE_MS;
  return () => {
    signal?.throwIfAborted();
    if (performance.now() < end) return undefined;
    return new Promise((resolve, reject) => {
      setImmediate(() => {
        end = performance.now() + SLICE_MS;
        if (signal?.aborted === true) reject(signal.reason as Error);
        else resolve();
      });
    });
  };
}

/**
 * Runs something that cannot be stopped at once. Aborted, the promise rejects with the signal's reason without
 * waiting, and the result of the rest is ignored.
 * @param onAbort what to do about the part that is still running: end it early, or undo what it did
 */
export async function abortable<T>(
  run: () => Promise<T>,
  signal: AbortSignal | undefined,
  onAbort: (running: Promise<T>) => unknown = () => undefined,
): Promise<T> {
  if (!signal) return run();
  signal.throwIfAborted();
  const running = run();
  let stopListening: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const listener = (): void => {
      onAbort(running);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', listener, { once: true });
    stopListening = () => {
      signal.removeEventListener('abort', listener);
    };
  });
  try {
    return await Promise.race([running, aborted]);
  } finally {
    stopListening();
  }
}
