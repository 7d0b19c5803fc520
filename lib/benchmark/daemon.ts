// SPDX-License-Identifier: MIT
import { startPool, stopPool } from '../pool/index.ts';
import { transferVariables } from '../settings/index.ts';
import { needsDaemon } from './cases.ts';
import type { BenchmarkCase } from './dump-restore.ts';

/** Settings of a case that the daemon reads only when it starts. */
const daemonSettings = Object.values(transferVariables);

/**
 * The pool daemon of a benchmark. It runs with a case's settings where the case needs it, and is stopped for all other
 * cases, which would otherwise find a warm GPU.
 */
export class BenchmarkDaemon {
  readonly #signal: AbortSignal | undefined;
  #running: string | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Starts, restarts or stops the daemon as a case needs it; call it before each sample. */
  async prepare(one: BenchmarkCase): Promise<void> {
    const env = Object.fromEntries(daemonSettings.map((name) => [name, one.env?.[name]]));
    const wanted = needsDaemon(one) ? JSON.stringify(env) : undefined;
    if (wanted === this.#running) return;
    await this.stop();
    if (wanted === undefined) return;
    const signal = this.#signal;
    await startPool({ env: { ...process.env, ...env }, signal });
    this.#running = wanted;
  }

  async stop(): Promise<void> {
    if (this.#running === undefined) return;
    this.#running = undefined;
    await stopPool();
  }
}
