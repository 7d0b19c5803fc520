// SPDX-License-Identifier: MIT
/**
 * Runs something that cannot be stopped but can be taken back. Aborted, the promise rejects at once with the
 * signal's reason; what succeeds after that is undone, and nobody hears how that went.
 */
export async function abortable(
  run: () => Promise<void>,
  signal: AbortSignal,
  undo: () => Promise<unknown>,
): Promise<void> {
  signal.throwIfAborted();
  const running = run();
  let stopListening: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => {
      running.then(undo).catch(() => undefined);
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    stopListening = () => {
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    await Promise.race([running, aborted]);
  } finally {
    stopListening();
  }
}
