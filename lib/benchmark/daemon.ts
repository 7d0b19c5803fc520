// SPDX-License-Identifier: MIT
import { startPool, stopPool } from '../pool/index.ts';
import { transferVariables } from '../settings/index.ts';
import { needsDaemon } from './cases.ts';
import type { BenchmarkCase } from './dump-restore.ts';

/** What the daemon reads of a case's settings, at its start only. */
const daemonSettings = Object.values(transferVariables);

/**
 * The pool daemon of a benchmark: there for the cases that want it, with their
 * settings, and gone for the others, which would find the GPU warm.
 */
export class BenchmarkDaemon {
  readonly #signal: AbortSignal | undefined;
  #running: string | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** To be called before each sample. */
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
