// SPDX-License-Identifier: MIT
/**
 * A program that is going to be dumped: it starts with no descriptors but 0 to 2, in its own session, so that CRIU can
 * dump and restore it.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { isDescendant, killTreeNow, waitForExit, type ProcessStat } from '../process/index.ts';
import { WorkloadError } from './error.ts';

export class Program {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  protected constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    this.#ended = new Promise((resolve) =>
      child.once('exit', () => {
        resolve();
      }),
    );
  }

  /**
   * Starts a program.
   * @param env added to the environment
   * @param log file to which its output is appended
   * @throws {@link WorkloadError} it cannot be started
   */
  protected static async spawn(
    command: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
    log?: string,
  ): Promise<{ child: ChildProcess; pid: number }> {
    const [file = '', ...args] = command;
    const output = log === undefined ? 'ignore' : openSync(log, 'a');
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, ...env },
    });
    if (output !== 'ignore') closeSync(output);
    const { pid } = child;
    if (pid !== undefined) return { child, pid };
    const [cause] = await new Promise<unknown[]>((resolve) =>
      child.once('error', (error) => {
        resolve([error]);
      }),
    );
    throw new WorkloadError('ERR_WORKLOAD', `cannot start ${file}`, { cause });
  }

  /**
   * Starts a program.
   * @param env added to the environment
   * @param log file to which its output is appended; discarded by default
   * @throws {@link WorkloadError} it cannot be started
   */
  static async run(
    command: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
    log?: string,
  ): Promise<Program> {
    const { child, pid } = await Program.spawn(command, env, log);
    return new Program(child, pid);
  }

  /** Whether the process that was started here is still running; says nothing about a restored one. */
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits for the end of the process that was started here; a dump ends it. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** Waits for the end of the process, started or restored; its pid is free afterwards. */
  async gone(): Promise<void> {
    await this.#ended;
    await waitForExit(this.pid);
  }

  /**
   * Like {@link kill}, without waiting.
   * @returns what was killed: nothing if an unrelated process has the pid by now
   */
  killNow(): ProcessStat[] {
    return this.isRunning || isDescendant(this.pid) ? killTreeNow(this.pid) : [];
  }

  /** Ends the process and its descendants, whether it was started here or restored. */
  async kill(): Promise<void> {
    const killed = this.killNow();
    await this.#ended;
    if (isDescendant(this.pid)) await waitForExit(this.pid);
    for (const { pid } of killed) await waitForExit(pid);
    this.#child.unref();
  }
}
