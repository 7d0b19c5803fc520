// SPDX-License-Identifier: MIT
/**
 * Runs something that cannot be stopped at once. Aborted, the promise rejects with the signal's reason without
 * waiting; nobody hears what becomes of the rest.
 * @param onAbort what to do about that which is still running: shorten it, or take back what it did
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
