// SPDX-License-Identifier: MIT
/**
 * A real server in the life that the README shows: started by `criu-cuda run`, dumped and restored by the commands as
 * typed, without a flag, and asked over HTTP.
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import { execResult, type ExecResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';
import { waitForExit, waitUntilCollected } from '../../lib/process/index.ts';
import type { Machine } from '../helpers/machine.ts';
import { waitFor, waitUntil } from '../helpers/wait.ts';

/** What every server of this suite answers. */
export interface Answer {
  /** How often it was asked since its start. */
  count: number;
  /** What must be the same after a restore. */
  state: string;
}

const cliPath = join(projectRoot, 'dist', 'cli.js');

/** Where restored servers must not write among others' files; the commands get no other variable. */
function variables(machine: Machine): Record<string, string> {
  const names = ['CRIU_CUDA_RUN_DIR', 'SOFTCUDA_DIR', 'SOFTCUDA_MEMORY_MB'];
  return Object.fromEntries(names.map((name) => [name, machine.env[name] ?? '']));
}

/** `criu-cuda` as typed. @param under words of a command that runs it */
export function criuCuda(
  machine: Machine,
  words: readonly string[],
  under: readonly string[] = [],
): Promise<ExecResult> {
  const [file = '', ...rest] = [...under, process.execPath, cliPath, ...words];
  return execResult(file, rest, { env: variables(machine) });
}

async function request(url: string): Promise<Answer> {
  const text = await new Promise<string>((resolve, reject) => {
    get(url, { agent: false, timeout: 20_000 }, (response) => {
      let body = '';
      response.on('data', (data: Buffer) => (body += data.toString()));
      response.on('end', () => {
        resolve(body);
      });
    }).on('error', reject);
  });
  return JSON.parse(text) as Answer;
}

/** How a server is started. */
export interface ServerOptions {
  /** The program and its arguments; it prints `running on http://ADDRESS:PORT`. */
  command: readonly string[];
  /** Flags of `criu-cuda run`. */
  flags?: readonly string[];
  /** Words of a command that runs `criu-cuda run`. */
  under?: readonly string[];
}

export class RunServer {
  readonly pid: number;
  readonly #machine: Machine;
  readonly #url: string;

  private constructor(machine: Machine, pid: number, url: string) {
    this.#machine = machine;
    this.pid = pid;
    this.#url = url;
  }

  static async start(machine: Machine, options: ServerOptions): Promise<RunServer> {
    const { command, flags = [], under } = options;
    const log = join(machine.dir, 'server.log');
    const words = ['run', '--detach', '--log', log, ...flags, '--', ...command];
    const { stdout, stderr, exitCode } = await criuCuda(machine, words, under);
    expect(exitCode, stderr).toBe(0);
    const url = await waitUntil(() => /running on (http:\S+)/.exec(readFileSync(log, 'utf8'))?.[1]);
    return new RunServer(machine, Number(stdout), url);
  }

  ask(): Promise<Answer> {
    return request(this.#url);
  }

  /** @param under words of a command that runs `criu-cuda` */
  async dump(imagesDir: string, under?: readonly string[]): Promise<ExecResult> {
    const words = ['checkpoint', '--pid', String(this.pid), '--images-dir', imagesDir];
    const dumped = await criuCuda(this.#machine, words, under);
    // an orphan is ours to collect
    if (dumped.exitCode === 0) await waitForExit(this.pid);
    return dumped;
  }

  restore(imagesDir: string, under?: readonly string[]): Promise<ExecResult> {
    return criuCuda(this.#machine, ['restore', '--detach', '--images-dir', imagesDir], under);
  }

  /** A line of /proc/PID/status. */
  status(name: string): string {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';
  }

  async kill(): Promise<void> {
    await this.#machine.kill(this.pid);
    await waitUntilCollected(this.pid, 5000);
  }
}

/** Dumps it, restores it `times` times, and asks it each time: it continues where the dump was. */
export async function dumpAndRestore(server: RunServer, imagesDir: string, times: number): Promise<void> {
  await server.ask();
  const { count, state } = await server.ask();
  const [filters, privileges] = [server.status('Seccomp_filters'), server.status('NoNewPrivs')];
  const dumped = await server.dump(imagesDir);
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  for (let time = 1; time <= times; time++) {
    const restored = await server.restore(imagesDir);
    expect(restored.exitCode, restored.stdout + restored.stderr).toBe(0);
    expect(await waitFor(() => server.ask())).toEqual({ count: count + 1, state });
    expect(await server.ask()).toEqual({ count: count + 2, state });
    expect(server.status('Seccomp_filters')).toBe(filters);
    expect(server.status('NoNewPrivs')).toBe(privileges);
    if (time < times) await server.kill();
  }
}
