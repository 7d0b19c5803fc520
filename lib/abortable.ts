// SPDX-License-Identifier: MIT
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
