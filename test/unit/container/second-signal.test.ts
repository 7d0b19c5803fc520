// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { createMachine, criuScript, type TestMachine } from '../setup/machine.ts';

const program = join(projectRoot, 'dist', 'cli.cjs');

let machine: TestMachine;
beforeEach(() => {
  machine = createMachine();
});
afterEach(() => {
  machine.remove();
});

it('a second Ctrl-C waits for podman, which would lose the container', async () => {
  const [begun, ends, dir] = ['begun', 'ends', 'container'].map((name) => join(machine.dir, name));
  await exec('mkfifo', [begun ?? '', ends ?? '']);
  mkdirSync(dir ?? '');
  const inspected = [
    {
      Id: 'a'.repeat(64),
      Name: 'box',
      State: { Running: true, Pid: process.pid },
      Config: {},
      StaticDir: dir,
    },
  ];
  machine.script(
    'bin/podman',
    `case "$2" in inspect) echo '${JSON.stringify(inspected)}';;
*) echo $$ > ${begun}; read -r _ < ${ends}; echo "that was it" >&2; exit 1;; esac`,
  );
  const criu = machine.script('bin/criu', criuScript('4.2'));
  const child = spawn(process.execPath, [program, 'container', 'checkpoint', 'box'], {
    env: {
      ...process.env,
      PATH: `${machine.bin}:${process.env.PATH ?? ''}`,
      CRIU_CUDA_CRIU: criu,
      CRIU_CUDA_RUN_DIR: join(machine.dir, 'run'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close');
  const podman = Number(await readFile(begun ?? '', 'utf8'));
  const said = once(child.stderr, 'data');
  child.kill('SIGINT');
  // the second one only counts when the first has been noticed; one that comes too early is the first
  const repeat = setInterval(() => child.kill('SIGINT'), 50);
  expect(String(await said)).toMatch(/^criu-cuda: podman is still ending its work/);
  clearInterval(repeat);
  expect(isAlive(podman)).toBe(true);
  expect(child.exitCode).toBe(null);
  await writeFile(ends ?? '', '\n');
  expect(await closed).toEqual([130, null]);
});
