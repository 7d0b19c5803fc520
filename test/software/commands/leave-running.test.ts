// SPDX-License-Identifier: MIT
// A tree that runs on after its dump: its files in the images are those of the dump, not what it writes afterwards.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/sharing.py');

let machine: Machine;
let disk: string;
let name: string;
let pid: number;
let port: number;
let child: ChildProcess;
let before: string[];
const inMemory = (): string[] => readdirSync('/dev/shm').filter((one) => /^(?:sem\.|link_remap)/.test(one));
beforeEach(async () => {
  machine = new Machine();
  disk = mkdtempSync(join(tmpdir(), 'ccr-running-'));
  name = `ccr-running-${process.pid}`;
  before = inMemory();
  const output = openSync(join(disk, 'output'), 'w');
  child = spawn('setsid', ['python3', program, join(disk, 'work'), name], {
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  const printed = (): RegExpExecArray | null =>
    /pid (\d+) port (\d+)/.exec(readFileSync(join(disk, 'output'), 'utf8'));
  [pid = 0, port = 0] = (await waitUntil(printed)).slice(1).map(Number);
});
afterEach(async () => {
  await end();
  child.kill('SIGKILL');
  await machine.close();
  rmSync(disk, { recursive: true });
  for (const one of inMemory().filter((left) => !before.includes(left))) rmSync(`/dev/shm/${one}`);
  rmSync(`/dev/shm/${name}`, { force: true });
});

async function end(): Promise<void> {
  const tree = readProcessTree(pid).map((one) => one.pid);
  await machine.kill(pid);
  await Promise.all(tree.map((one) => waitForExit(one)));
}

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], { env: machine.env });

async function ask(): Promise<unknown> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'close');
  return JSON.parse(text);
}

it('has shared memory and semaphores of the dump in its images', async () => {
  await ask();
  const dumped = await cli(['checkpoint', '--leave-running', String(pid), machine.imagesDir]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(dumped.stderr).not.toMatch(/contents are not in the images|cannot be restored/);
  expect(readFileSync(join(machine.imagesDir, 'dump.log'), 'utf8')).not.toMatch(/Error .*link_remap/);
  expect(inMemory().filter((one) => one.startsWith('link_remap'))).toEqual([]);
  for (const count of [2, 3, 4])
    expect(await ask()).toMatchObject({ private: count, shared: count, in_time: true });
  await end();
  for (let round = 0; round < 2; round++) {
    const restored = await cli(['restore', machine.imagesDir, '--detach']);
    expect(restored.exitCode, restored.stderr).toBe(0);
    expect(isAlive(pid)).toBe(true);
    for (const count of [2, 3])
      expect(await ask()).toMatchObject({ private: count, shared: count, in_time: true });
    await end();
  }
});
