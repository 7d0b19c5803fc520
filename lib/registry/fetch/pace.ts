// SPDX-License-Identifier: MIT
/**
 * A registry that sends a byte now and then is no better than a silent one.
 * @module
 */
import { RegistryError } from '../error.ts';

/** What is silent for so long is given up. Milliseconds. */
export const SILENCE_MS = 60_000;

/** What sends less on average, for as long as it may be silent, counts as silent. Bytes per second. */
export const LEAST_RATE = 1024;

/** Attempts that bring nothing, one after the other. */
export const FRUITLESS = 5;

const leastIn = (ms: number, rate = LEAST_RATE): number => (rate * ms) / 1000;

/** An attempt that brings less has brought nothing. Bytes. */
export const LEAST_BYTES = leastIn(SILENCE_MS);

/** Watches over one transfer. */
export class Pace {
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;

  /**
   * @param leastRate bytes per second; `undefined`: {@link LEAST_RATE}
   * @param onSlow called with the reason whenever less has come for `silenceMs`
   */
  constructor(silenceMs: number, leastRate: number | undefined, onSlow: (why: string) => void) {
    this.#timer = setInterval(() => {
      const bytes = this.#bytes;
      this.#bytes = 0;
      if (bytes < leastIn(silenceMs, leastRate))
        onSlow(`has sent ${bytes} bytes in ${Math.round(silenceMs / 1000)} s`);
    }, silenceMs);
  }

  /** Bytes have come. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The transfer has ended. */
  end(): void {
    clearInterval(this.#timer);
  }
}

/**
 * Has another program move something, and stops it when it has brought nothing for as long as we would try it ourselves.
 * @param what what failed then
 * @param doneBytes how many bytes have come
 * @param work gets a signal that ends it
 * @param silenceMs how long one attempt may be silent. Milliseconds. @default 60_000
 * @throws {@link RegistryError} it was stopped
 */
export async function whileItComes<T>(
  what: string,
  doneBytes: () => number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  silenceMs: number = SILENCE_MS,
): Promise<T> {
  const slow = new AbortController();
  const periodMs = FRUITLESS * silenceMs;
  let before = doneBytes();
  const timer = setInterval(() => {
    const bytes = doneBytes() - before;
    before += bytes;
    if (bytes < leastIn(periodMs))
      slow.abort(
        new RegistryError(
          'ERR_REGISTRY',
          `${what}: the registry has sent ${bytes} bytes in ${Math.round(periodMs / 1000)} s`,
          { hint: 'check that the registry runs; the next attempt continues with what is missing' },
        ),
      );
  }, periodMs);
  try {
    return await work(signal ? AbortSignal.any([signal, slow.signal]) : slow.signal);
  } finally {
    clearInterval(timer);
  }
}
