// SPDX-License-Identifier: MIT
/**
 * A running workload-pattern and its line protocol (plugins-cuda/workloads/README.md).
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno } from '../errno.ts';
import { ToolkitError } from '../errors.ts';
import { builtProgram } from '../paths.ts';
import { Program } from './program.ts';
import { WorkloadError } from './error.ts';

export interface WorkloadOptions {
  /** A different program and its first arguments, with the same protocol. @default workload-pattern */
  program?: readonly string[] | undefined;
  /** Path of the socket on which it listens; at most as long as a Unix socket address allows. */
  socketPath: string;
  /** Further arguments, for example `['--alloc', '512Mx32']`. */
  args: readonly string[];
  /** Added to the environment. */
  env?: Record<string, string | undefined> | undefined;
  /** Ends it while it is starting. */
  signal?: AbortSignal | undefined;
}

export interface WorkloadStatus {
  device: string;
  /** Whether it runs on the software driver, where times mean nothing. */
  software: boolean;
  allocations: number;
  /** Device memory it holds, in bytes. */
  bytes: number;
}

/** Filling many gigabytes takes long on a cold machine. */
const START_TIMEOUT_MS = 120_000;
const ANSWER_TIMEOUT_MS = 120_000;
const RETRY_MS = 2;

function failed(message: string, cause?: unknown, hint?: string): ToolkitError {
  return new WorkloadError('ERR_WORKLOAD', message, {
    cause,
    hint,
  });
}

/**
 * Sends one request on its own connection, so that no connection is open during a dump.
 * @returns the line of the answer
 */
export function askWorkload(socketPath: string, request: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const lines = createInterface({ input: socket });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(failed(`no answer to "${request}" within ${timeoutMs} ms`)),
    );
    socket.once('error', reject);
    socket.once('close', () => {
      reject(failed(`the workload closed the connection instead of answering "${request}"`));
    });
    lines.on('error', () => undefined); // the socket's own error is reported instead
    lines.once('line', (line) => {
      resolve(line);
      socket.destroy();
    });
    socket.write(`${request}\n`);
  });
}

/**
 * A hint with the command that shows the workload's output; here it is discarded, because CRIU would have to dump its
 * destination.
 */
function byHand(command: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): string {
  const driver = env.CRIU_CUDA_DRIVER ?? process.env.CRIU_CUDA_DRIVER;
  return `start it by hand to see its output: ${driver === undefined ? '' : `CRIU_CUDA_DRIVER=${driver} `}${command.join(' ')}`;
}

export class Workload extends Program {
  readonly socketPath: string;

  private constructor(child: ChildProcess, pid: number, socketPath: string) {
    super(child, pid);
    this.socketPath = socketPath;
  }

  /** Starts a workload and waits until it answers. @throws {@link WorkloadError} it ended, or did not answer in time */
  static async start(options: WorkloadOptions): Promise<Workload> {
    const { socketPath, args, env, signal } = options;
    const command = options.program ?? [builtProgram('workload-pattern')];
    const { child, pid } = await Program.spawn([...command, ...args, '--socket', socketPath], env);
    const workload = new Workload(child, pid, socketPath);
    try {
      await workload.#answering(START_TIMEOUT_MS, byHand([...command, ...args], env), signal);
      return workload;
    } catch (error) {
      await workload.kill();
      throw error;
    }
  }

  /** Polls until it answers; nothing announces that it listens. */
  async #answering(timeoutMs: number, hint: string, signal: AbortSignal | undefined): Promise<void> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      try {
        await this.ask('status');
        return;
      } catch (error) {
        if (!isErrno(error, 'ENOENT', 'ECONNREFUSED')) throw error;
        if (!this.isRunning) throw failed('the workload ended before it answered', undefined, hint);
        if (performance.now() > end)
          throw failed(`the workload did not answer within ${timeoutMs} ms`, error, hint);
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  ask(request: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<string> {
    return askWorkload(this.socketPath, request, timeoutMs);
  }

  /**
   * Compares every byte in device memory.
   * @returns the checksum
   * @throws {@link WorkloadError} a byte is wrong
   */
  async verify(prefix = ''): Promise<string> {
    const answer = await this.ask(`${prefix}verify`);
    const checksum = /^ok checksum=([0-9a-f]{16}) /.exec(answer)?.[1];
    if (checksum === undefined) throw failed(answer);
    return checksum;
  }

  /** Device addresses of its allocations, separated by commas. */
  async addresses(prefix = ''): Promise<string> {
    const answer = await this.ask(`${prefix}addresses`);
    if (!answer.startsWith('ok ')) throw failed(answer);
    return answer.slice(3);
  }

  async status(): Promise<WorkloadStatus> {
    const answer = await this.ask('status');
    const match = /device="([^"]*)" software=([01]) allocations=(\d+) bytes=(\d+)/.exec(answer);
    if (!match) throw failed(answer);
    return {
      device: match[1] ?? '',
      software: match[2] === '1',
      allocations: Number(match[3]),
      bytes: Number(match[4]),
    };
  }
}
