// SPDX-License-Identifier: MIT
/**
 * A program that is to be dumped: started with nothing open and in a session of
 * its own, so that CRIU can take it away and bring it back.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { ToolkitError } from '../errors.ts';
import { waitForExit } from '../process/index.ts';

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
   * @throws {@link ToolkitError} ERR_WORKLOAD when it cannot be started
   */
  protected static async spawn(
    command: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
  ): Promise<{ child: ChildProcess; pid: number }> {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { detached: true, stdio: 'ignore', env: { ...process.env, ...env } });
    const { pid } = child;
    if (pid !== undefined) return { child, pid };
    const [cause] = await new Promise<unknown[]>((resolve) =>
      child.once('error', (error) => {
        resolve([error]);
      }),
    );
    throw new ToolkitError('ERR_WORKLOAD', `${file} could not be started`, { cause });
  }

  /** Starts it. */
  static async run(
    command: readonly string[],
    env: Readonly<Record<string, string | undefined>> = {},
  ): Promise<Program> {
    const { child, pid } = await Program.spawn(command, env);
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

  /** Ends it, whether it is still the process that was started or a restored one. */
  async kill(): Promise<void> {
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // gone already
    }
    await this.gone();
    this.#child.unref();
  }
}
