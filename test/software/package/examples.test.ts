// SPDX-License-Identifier: MIT
/** The examples, run the way a reader would run them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { freePort } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const example = (name: string): string => join(projectRoot, 'examples', `${name}.mjs`);

/** A program and the lines it has printed. */
class Program {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;

  constructor(file: string, args: readonly string[], env: Record<string, string>) {
    this.#child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    if (this.#child.stdout) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.lines.push(line));
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for the next line that matches. */
  async line(pattern: RegExp): Promise<string> {
    const found = await waitUntil(() => this.lines.find((line) => pattern.test(line)));
    this.lines.splice(0, this.lines.indexOf(found) + 1);
    return found;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exit;
  }
}

let machine: Machine;
let programs: Program[] = [];

function start(file: string, ...args: string[]): Program {
  const program = new Program(file, args, machine.env);
  programs.push(program);
  return program;
}

beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  for (const program of programs) await program.end('SIGKILL');
  programs = [];
  await machine.close();
});

it('state-exporter reports the state and memory of each process', async () => {
  const { pid } = await machine.start();
  const exporter = start(process.execPath, example('state-exporter'), '--port', '0');
  const url = await exporter.line(/^http/);
  const samples = async (): Promise<string[]> => {
    const text = await (await fetch(url)).text();
    return text.split('\n').filter((line) => line.includes(`pid="${pid}"`) && !line.endsWith(' 0'));
  };
  const uuid = 'GPU-736f6674-6375-6461-0000-000100000000';
  expect(await samples()).toEqual([
    `cuda_process_state{pid="${pid}",state="running"} 1`,
    `cuda_process_memory_bytes{pid="${pid}",uuid="${uuid}"} ${28 * 2 ** 20}`,
  ]);
  await machine.action(pid, 'lock');
  await machine.action(pid, 'checkpoint');
  expect(await samples()).toEqual([`cuda_process_state{pid="${pid}",state="checkpointed"} 1`]);
  expect((await fetch(`${url}/no`)).status).toBe(404);
});

it('guarded-checkpoint refuses a locked process, and dumps it when it is free', async () => {
  const workload = await machine.start();
  const { pid } = workload;
  const checksum = await workload.verify();
  const guard = () =>
    execResult(
      process.execPath,
      [example('guarded-checkpoint'), '--pid', String(pid), '--images-dir', machine.imagesDir],
      { env: { ...machine.env, CRIU_CUDA_CRIU: criuProgram() } },
    );
  await machine.action(pid, 'lock');
  const refused = await guard();
  expect(refused).toMatchObject({ exitCode: 1, stderr: `refused: ${pid} is locked` });
  expect(existsSync(join(machine.imagesDir, 'inventory.img'))).toBe(false);
  expect(await machine.state(pid)).toBe('locked');

  await machine.action(pid, 'unlock');
  const done = await guard();
  expect(done).toMatchObject({ exitCode: 0, stderr: '' });
  expect(done.stdout).toMatch(/^1 CUDA processes, \d+ bytes in /);
  await workload.ended();
  expect((await machine.restore()).exitCode).toBe(0);
  expect(await workload.verify()).toBe(checksum);
  await machine.kill(pid);
});

it('autosuspend frees the device memory of an idle server and restores it for the next request', async () => {
  const port = String(await freePort());
  const server = start(builtProgram('workload-pattern'), '--alloc', '8Mx3', '--http', port);
  const direct = `http://127.0.0.1:${port}`;
  await waitFor(() => fetch(`${direct}/health`));
  const complete = async (base: string): Promise<string> => {
    const response = await fetch(`${base}/v1/completions`, { method: 'POST', body: '{"prompt":"x"}' });
    expect(response.status).toBe(200);
    return response.text();
  };
  const answer = await complete(direct);
  expect(answer).toMatch(/"text":"[0-9a-f]{16}"/);

  const args = ['--pid', String(server.pid), '--server', port, '--idle-ms', '50'];
  const proxy = start(process.execPath, example('autosuspend'), ...args);
  const url = await proxy.line(/^http/);
  for (let round = 0; round < 2; round++) {
    await proxy.line(/^suspended/);
    expect(await machine.state(server.pid)).toBe('checkpointed');
    expect(await complete(url)).toBe(answer);
    await proxy.line(/^resumed/);
  }
  await proxy.line(/^suspended/);
  const answers = await Promise.all([complete(url), complete(url), complete(url)]);
  expect(answers).toEqual([answer, answer, answer]);
  await proxy.line(/^suspended/);
  await proxy.end('SIGTERM');
  expect(await machine.state(server.pid)).toBe('running');
  expect(await complete(direct)).toBe(answer);
});
