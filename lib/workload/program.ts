// SPDX-License-Identifier: MIT
/**
 * A program that is to be dumped: started with nothing open and in a session of
 * its own, so that CRIU can take it away and bring it back.
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
   * @param env added to the environment
   * @param log file that its output is appended to
   * @throws {@link ToolkitError} ERR_WORKLOAD when it cannot be started
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
    throw new WorkloadError('ERR_WORKLOAD', `${file} could not be started`, { cause });
  }

  /** Starts it; `log`: where its output goes, nowhere by default. */
  static async run(
    command: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
    log?: string,
  ): Promise<Program> {
    const { child, pid } = await Program.spawn(command, env, log);
    return new Program(child, pid);
  }

  /** Until the process that was started here has ended. */
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of the process as this program started it: after a dump that kills it. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** The end of the process, started or restored, whose pid is free then. */
  async gone(): Promise<void> {
    await this.#ended;
    await waitForExit(this.pid);
  }

  /** As {@link kill}, without waiting. @returns what was killed: nothing where a foreign process has the pid by now */
  killNow(): ProcessStat[] {
    return this.isRunning || isDescendant(this.pid) ? killTreeNow(this.pid) : [];
  }

  /** Ends it and its descendants, whether it is still the process that was started or a restored one. */
  async kill(): Promise<void> {
    const killed = this.killNow();
    await this.#ended;
    if (isDescendant(this.pid)) await waitForExit(this.pid);
    for (const { pid } of killed) await waitForExit(pid);
    this.#child.unref();
  }
}
