// SPDX-License-Identifier: MIT
/**
 * Changes of contexts, as events and as an async iterable.
 * @module
 */
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { checkMilliseconds } from '../check.ts';
import { compareSnapshots, type ContextChange } from './compare.ts';
import { pidsOf, readerOf, type ContextOptions } from './list.ts';
import type { ContextSnapshot } from './types.ts';

/** What is watched, and how often. */
export interface ContextWatchOptions extends Omit<ContextOptions, 'signal'> {
  /** Milliseconds from one look to the next. @default 250 */
  intervalMs?: number | undefined;
  /** Ends the watch, as {@link ContextWatcher.close} does. */
  signal?: AbortSignal | undefined;
}

/** The arguments of each event. */
export interface ContextEvents {
  /** What is found first, and every difference after it. */
  change: [ContextChange];
  /** All of the named processes have ended. */
  end: [];
  /** Why it cannot look any more. */
  error: [Error];
}

const DEFAULT_INTERVAL_MS = 250;

/**
 * Emits `change` for what is found first and for every difference after it, `end` when all of the named processes have
 * ended (never without `pid`), `error` when it cannot look any more; after `end`, `error` or {@link close} nothing
 * follows. As an async iterable it yields the same changes. If a loop is busy, everything that happens meanwhile is one
 * change, the next one; leaving a loop closes the watch. What comes and goes between two looks is not seen.
 */
export class ContextWatcher extends EventEmitter<ContextEvents> implements AsyncIterable<ContextChange> {
  readonly #closing = new AbortController();
  #latest: ContextSnapshot | undefined;
  #error: Error | undefined;
  #isFinished = false;
  /** Of loops that wait for news. */
  readonly #waiting = new Set<() => void>();
  #loops = 0;

  /** @throws `UsageError` for something that is not a pid, or not an interval */
  constructor(options: ContextWatchOptions = {}) {
    super();
    const { signal } = options;
    const { intervalMs = DEFAULT_INTERVAL_MS } = options;
    checkMilliseconds('intervalMs', intervalMs);
    const watch = this.#watch(options, pidsOf(options.pid), intervalMs);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted) this.close();
    void watch.finally(() => {
      signal?.removeEventListener('abort', this.#onAbort);
    });
  }

  readonly #onAbort = (): void => {
    this.close();
  };

  /** Stops the watch: no event follows, and loops over it end. */
  close(): void {
    this.#closing.abort();
    this.#finish();
  }

  /** The changes, from the first look on; leaving the loop closes the watch. Throws what `error` would say. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ContextChange, void, undefined> {
    let seen: ContextSnapshot | undefined;
    this.#loops += 1;
    try {
      for (;;) {
        const latest = this.#latest;
        const change = latest && latest !== seen ? compareSnapshots(seen, latest) : undefined;
        seen = latest;
        if (change) yield change;
        else if (this.#error) throw this.#error;
        else if (this.#isFinished) return;
        else await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      this.#loops -= 1;
      this.close();
    }
  }

  async #watch(
    options: ContextOptions,
    pids: readonly number[] | undefined,
    intervalMs: number,
  ): Promise<void> {
    const { signal } = this.#closing;
    await Promise.resolve(); // listeners come first
    try {
      const reader = await readerOf(options, pids);
      while (!signal.aborted) {
        const { snapshot, isAlive } = await reader.read(pids);
        this.#show(snapshot);
        if (pids && !isAlive) break;
        await delay(intervalMs, undefined, { signal });
      }
      if (!signal.aborted) this.emit('end');
    } catch (error) {
      if (!signal.aborted) this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
    this.#finish();
  }

  #show(snapshot: ContextSnapshot): void {
    if (this.#closing.signal.aborted) return;
    const change = compareSnapshots(this.#latest, snapshot);
    if (!change) return;
    this.#latest = snapshot;
    this.#wakeLoops();
    this.emit('change', change);
  }

  /** A loop throws it; an event that nobody listens for would end the program. */
  #fail(error: Error): void {
    this.#error = error;
    if (this.#loops === 0 || this.listenerCount('error') > 0) this.emit('error', error);
  }

  #finish(): void {
    this.#isFinished = true;
    this.#wakeLoops();
  }

  #wakeLoops(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** Watches contexts; see {@link ContextWatcher}. @throws `UsageError` for something that is not a pid, or not an interval */
export function watchContexts(options: ContextWatchOptions = {}): ContextWatcher {
  return new ContextWatcher(options);
}
