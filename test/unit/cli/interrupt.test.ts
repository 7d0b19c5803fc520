// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { createMachine, type TestMachine } from '../setup/machine.ts';

const program = join(projectRoot, 'dist', 'cli.cjs');

let machine: TestMachine;
beforeEach(() => {
  machine = createMachine();
});
afterEach(() => {
  machine.remove();
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGQUIT', 131],
] as const)('%s ends what is running and exits with %d', async (signal, exitCode) => {
  expect(existsSync(program), `${program} exists: npm run build:ts`).toBe(true);
  const pipe = join(machine.dir, 'pipe');
  await exec('mkfifo', [pipe]);
  const criu = machine.script('bin/criu', `echo $$ > ${pipe}; exec sleep 600`);
  const child = spawn(process.execPath, [program, 'setup', '--check'], {
    env: { ...process.env, CRIU_CUDA_CRIU: criu },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pid = Number(await readFile(pipe, 'utf8'));
  expect(isAlive(pid)).toBe(true);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.kill(signal);
  expect(await once(child, 'close')).toEqual([exitCode, null]);
  expect(stderr).toBe(`criu-cuda: interrupted by ${signal}\n`);
  expect(isAlive(pid)).toBe(false);
});

it('says that the current directory is gone', async () => {
  const words = `cd ${machine.dir} && mkdir gone && cd gone && rmdir ../gone && exec ${process.execPath} ${program}`;
  const lost = await execResult('sh', ['-c', `${words} restore images`]);
  expect([lost.exitCode, lost.stderr]).toEqual([
    2,
    'criu-cuda: the current directory does not exist any more\ngo to another one: cd /',
  ]);
  const json = await execResult('sh', ['-c', `${words} --json restore images`]);
  expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'ERR_USAGE' } });
});
