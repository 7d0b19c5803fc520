// SPDX-License-Identifier: MIT
/**
 * A registry that sends a byte now and then is no better than a silent one.
 * @module
 */
import type { TransferProgress } from '../../process/index.ts';
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

/** How often a transfer of another program is looked at while one attempt of ours might be silent. */
const LOOKS = 12;

/** Counts what comes, of transfers whose bytes are also taken back: by a program that begins a file again. */
class Arrivals {
  readonly #transfer: () => TransferProgress;
  readonly #missedAtFirst: boolean;
  #before: number;
  #bytes = 0;

  constructor(transfer: () => TransferProgress) {
    this.#transfer = transfer;
    const { doneBytes, totalBytes } = transfer();
    this.#before = doneBytes;
    this.#missedAtFirst = doneBytes < totalBytes;
  }

  /** @returns whether more can come, or nothing was to come at all */
  look(): boolean {
    const { doneBytes, totalBytes } = this.#transfer();
    this.#bytes += Math.max(0, doneBytes - this.#before);
    this.#before = doneBytes;
    return !this.#missedAtFirst || doneBytes < totalBytes;
  }

  /** What has come since it was asked before. */
  take(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }
}

/**
 * Has another program move something, and stops it when it has brought nothing for as long as we would try it ourselves.
 * The time in which this process is stopped does not count, nor that in which all bytes are here, and are only written.
 * @param what what failed then
 * @param transfer how many bytes have come, and how many are to come
 * @param work gets a signal that ends it
 * @param silenceMs how long one attempt may be silent. Milliseconds. @default 60_000
 * @throws {@link RegistryError} it was stopped
 */
export async function whileItComes<T>(
  what: string,
  transfer: () => TransferProgress,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  silenceMs: number = SILENCE_MS,
): Promise<T> {
  const slow = new AbortController();
  const arrivals = new Arrivals(transfer);
  const periodMs = FRUITLESS * silenceMs;
  // looks are counted, not time: the timer of a process that was stopped fires once for all of it
  let left = FRUITLESS * LOOKS;
  const timer = setInterval(() => {
    if (!arrivals.look()) return;
    left -= 1;
    if (left > 0) return;
    left = FRUITLESS * LOOKS;
    const bytes = arrivals.take();
    if (bytes < leastIn(periodMs))
      slow.abort(
        new RegistryError(
          'ERR_REGISTRY',
          `${what}: the registry has sent ${bytes} bytes in ${Math.round(periodMs / 1000)} s`,
          { hint: 'check that the registry runs; the next attempt continues with what is missing' },
        ),
      );
  }, silenceMs / LOOKS);
  try {
    return await work(signal ? AbortSignal.any([signal, slow.signal]) : slow.signal);
  } finally {
    clearInterval(timer);
  }
}
