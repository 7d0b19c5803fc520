// SPDX-License-Identifier: MIT
/** A running workload-pattern and its line protocol. */
import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { builtProgram } from '../../lib/paths.ts';

export interface WorkloadOptions {
  /** Options of workload-pattern. @default three allocations of 8 MiB and one of 1 MiB */
  args?: readonly string[];
  env?: Record<string, string>;
}

export const DEFAULT_ARGS = ['--alloc', '8Mx3', '--alloc', '1M', '--host', '2M', '--pinned', '1M'];
const START_DEADLINE_MS = 15_000;
const ANSWER_TIMEOUT_MS = 30_000;

/** One request, one answer, one connection: none is open when CRIU comes. */
export function ask(socketPath: string, request: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const lines = createInterface({ input: socket });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer to «${request}»`)));
    socket.once('error', reject);
    socket.once('close', () => {
      reject(new Error(`no answer to «${request}»: connection closed`));
    });
    lines.once('line', (line) => {
      resolve(line);
      socket.destroy();
    });
    lines.once('error', () => undefined); // the socket's own error is the one that counts
    socket.write(`${request}\n`);
  });
}

function isRefused(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ECONNREFUSED';
}

export class Workload {
  readonly pid: number;
  readonly socketPath: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, pid: number, socketPath: string) {
    this.#child = child;
    this.pid = pid;
    this.socketPath = socketPath;
    this.#ended = new Promise((resolve) =>
      child.once('exit', () => {
        resolve();
      }),
    );
  }

  static async start(socketPath: string, options: WorkloadOptions): Promise<Workload> {
    const child = spawn(
      builtProgram('workload-pattern'),
      [...(options.args ?? DEFAULT_ARGS), '--socket', socketPath],
      { detached: true, stdio: 'ignore', env: { ...process.env, ...options.env } },
    );
    if (child.pid === undefined) throw new Error('workload-pattern did not start');
    const workload = new Workload(child, child.pid, socketPath);
    await workload.#ready();
    return workload;
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + START_DEADLINE_MS;
    for (;;) {
      try {
        await this.ask('status');
        return;
      } catch (error) {
        if (!isRefused(error) || Date.now() > deadline || this.#child.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  ask(request: string): Promise<string> {
    return ask(this.socketPath, request);
  }

  /** Every byte read on the device and found right; the checksum. Throws otherwise. */
  async verify(prefix = ''): Promise<string> {
    const answer = await this.ask(`${prefix}verify`);
    const checksum = /^ok checksum=([0-9a-f]{16}) /.exec(answer)?.[1];
    if (checksum === undefined) throw new Error(answer);
    return checksum;
  }

  addresses(prefix = ''): Promise<string> {
    return this.ask(`${prefix}addresses`);
  }

  /** The end of the process as Node's own child: after a dump that kills it. */
  ended(): Promise<void> {
    return this.#ended;
  }

  close(): void {
    this.#child.unref();
  }
}
