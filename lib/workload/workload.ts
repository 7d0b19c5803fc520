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
  /** Another program and its first arguments, with the same protocol. @default workload-pattern */
  program?: readonly string[] | undefined;
  /** Where it listens; the path must not be longer than a Unix address. */
  socketPath: string;
  /** Its own options, for example `['--alloc', '512Mx32']`. */
  args: readonly string[];
  /** Added to the environment. */
  env?: Record<string, string | undefined> | undefined;
  /** Ends it while it starts. */
  signal?: AbortSignal | undefined;
}

export interface WorkloadStatus {
  device: string;
  /** On the software driver: times mean nothing. */
  software: boolean;
  allocations: number;
  /** Device memory it holds. */
  bytes: number;
}

/** Filling many gigabytes takes a while on a cold machine. */
const START_TIMEOUT_MS = 120_000;
const ANSWER_TIMEOUT_MS = 120_000;
const RETRY_MS = 2;

function failed(message: string, cause?: unknown, hint?: string): ToolkitError {
  return new WorkloadError('ERR_WORKLOAD', message, {
    cause,
    hint,
  });
}

/** One request on a connection of its own: none is open when CRIU comes. */
export function askWorkload(socketPath: string, request: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const lines = createInterface({ input: socket });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(failed(`no answer to «${request}» in ${timeoutMs} ms`)),
    );
    socket.once('error', reject);
    socket.once('close', () => {
      reject(failed(`the workload closed the connection instead of answering «${request}»`));
    });
    lines.on('error', () => undefined); // the socket's own error is the one that counts
    lines.once('line', (line) => {
      resolve(line);
      socket.destroy();
    });
    socket.write(`${request}\n`);
  });
}

/** Its output goes nowhere, for CRIU would have to dump where it goes: how to see what it says. */
function byHand(command: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): string {
  const driver = env.CRIU_CUDA_DRIVER ?? process.env.CRIU_CUDA_DRIVER;
  return `to see why, start it by hand: ${driver === undefined ? '' : `CRIU_CUDA_DRIVER=${driver} `}${command.join(' ')}`;
}

export class Workload extends Program {
  readonly socketPath: string;

  private constructor(child: ChildProcess, pid: number, socketPath: string) {
    super(child, pid);
    this.socketPath = socketPath;
  }

  /** Starts one and waits until it answers. */
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

  /** Until it listens nothing tells that it will, so it is asked again and again. */
  async #answering(timeoutMs: number, hint: string, signal: AbortSignal | undefined): Promise<void> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      try {
        await this.ask('status');
        return;
      } catch (error) {
        if (!isErrno(error, 'ENOENT', 'ECONNREFUSED')) throw error;
        if (!this.isRunning) throw failed('the workload ended at its start', undefined, hint);
        if (performance.now() > end)
          throw failed(`the workload did not start in ${timeoutMs} ms`, error, hint);
        await delay(RETRY_MS, undefined, { signal });
      }
    }
  }

  ask(request: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<string> {
    return askWorkload(this.socketPath, request, timeoutMs);
  }

  /** Reads every byte on the device. @returns the checksum; throws when a byte is wrong */
  async verify(prefix = ''): Promise<string> {
    const answer = await this.ask(`${prefix}verify`);
    const checksum = /^ok checksum=([0-9a-f]{16}) /.exec(answer)?.[1];
    if (checksum === undefined) throw failed(answer);
    return checksum;
  }

  /** Device addresses of its allocations, joined by commas. */
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
