// SPDX-License-Identifier: MIT
/**
 * Events for the CUDA state of a process.
 * @module
 */
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckpointDriver } from './driver.ts';
import { checkMilliseconds } from '../check.ts';
import { DriverError, ProcessStateError } from './driver-error.ts';
import type { ProcessState } from '../native/index.ts';
import { checkPid, isEnding, watchProcess, type WatchedProcess } from '../process/index.ts';

/** How often is asked, and until when. */
export interface StateWatchOptions {
  /** Milliseconds between two questions to the driver. @default 250 */
  intervalMs?: number | undefined;
  /** Ends the watch, as {@link StateWatcher.close} does. */
  signal?: AbortSignal | undefined;
}

/** A state that is not the one before. */
export interface StateChange {
  /** The process that is watched. */
  pid: number;
  /** The state now. */
  state: ProcessState;
  /** `undefined` for the state found first. */
  previous: ProcessState | undefined;
}

/** Arguments of the listeners, by event. */
export interface StateEvents {
  /** The first state, and every other one after it. */
  change: [StateChange];
  /** The process has ended. */
  end: [];
  /** The process cannot be asked. */
  error: [Error];
}

/** How long a process that the driver does not know any more may take to be seen ending. */
const ENDING_MS = 500;

/**
 * Emits `change` for the state found first and for every other one after it, `end` when the process has ended,
 * `error` when it cannot be asked any more; after `end` or `error` nothing follows. A state that comes and goes
 * between two questions is not seen. While the process's restore thread is stopped, as during a dump, the last
 * state stands.
 */
export class StateWatcher extends EventEmitter<StateEvents> {
  /** The process that is watched. */
  readonly pid: number;
  readonly #closing = new AbortController();

  constructor(driver: CheckpointDriver, pid: number, options: StateWatchOptions = {}) {
    super();
    const { intervalMs = 250 } = options;
    checkPid(pid);
    checkMilliseconds('intervalMs', intervalMs);
    this.pid = pid;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal?.aborted) this.close();
    void this.#watch(driver, intervalMs).finally(() => {
      options.signal?.removeEventListener('abort', this.#onAbort);
    });
  }

  readonly #onAbort = (): void => {
    this.close();
  };

  /** Stops asking; no event follows. */
  close(): void {
    this.#closing.abort();
  }

  async #watch(driver: CheckpointDriver, intervalMs: number): Promise<void> {
    const { signal } = this.#closing;
    await Promise.resolve(); // listeners come first
    const process = watchProcess(this.pid);
    try {
      if (!process) {
        this.#tell(() => this.emit('end'));
        return;
      }
      await this.#poll(driver, process, intervalMs);
    } catch (error) {
      if (!signal.aborted) this.emit('error', error instanceof Error ? error : new Error(String(error)));
    } finally {
      process?.close();
    }
  }

  async #poll(driver: CheckpointDriver, process: WatchedProcess, intervalMs: number): Promise<void> {
    const { signal } = this.#closing;
    let previous: ProcessState | undefined;
    for (;;) {
      const state = await this.#ask(driver, previous, process);
      if (state === undefined) {
        this.#tell(() => this.emit('end'));
        return;
      }
      if (state !== previous) {
        const change = { pid: this.pid, state, previous };
        this.#tell(() => this.emit('change', change));
      }
      previous = state;
      if (intervalMs === 0) await delay(0, undefined, { signal });
      else await process.ended({ timeoutMs: intervalMs, signal });
    }
  }

  /** @returns `undefined` when the process has ended */
  async #ask(
    driver: CheckpointDriver,
    previous: ProcessState | undefined,
    process: WatchedProcess,
  ): Promise<ProcessState | undefined> {
    try {
      return await driver.state(this.pid);
    } catch (error) {
      // a process that ends loses its memory, and with it its state, before it is gone
      const timeoutMs = isEnding(this.pid) ? undefined : ENDING_MS;
      if (await process.ended({ timeoutMs, signal: this.#closing.signal })) return undefined;
      const stopped = error instanceof ProcessStateError && error.code === 'ERR_DRIVER_THREAD_STOPPED';
      if (stopped && previous !== undefined) return previous;
      if (
        error instanceof DriverError &&
        previous !== undefined &&
        error.resultName === 'CUDA_ERROR_NOT_READY'
      ) {
        return previous;
      }
      throw error;
    }
  }

  #tell(emit: () => void): void {
    if (!this.#closing.signal.aborted) emit();
  }
}

/** Watches the CUDA state of a process; see {@link StateWatcher}. */
export function watchState(
  driver: CheckpointDriver,
  pid: number,
  options: StateWatchOptions = {},
): StateWatcher {
  return new StateWatcher(driver, pid, options);
}
