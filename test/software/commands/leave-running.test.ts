// SPDX-License-Identifier: MIT
// A tree that runs on after its dump: its files in the images are those of the dump, not what it writes afterwards.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { SharingServer } from '../../helpers/sharing-server.ts';

let machine: Machine;
let server: SharingServer;
beforeEach(async () => {
  machine = new Machine();
  server = await SharingServer.start(machine);
});
afterEach(async () => {
  await server.close();
  await machine.close();
});

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], { env: machine.env });

it('has shared memory and semaphores of the dump in its images', async () => {
  await server.ask();
  const dumped = await cli(['checkpoint', '--leave-running', String(server.pid), machine.imagesDir]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  expect(dumped.stderr).not.toMatch(/contents are not in the images|cannot be restored/);
  expect(readFileSync(join(machine.imagesDir, 'dump.log'), 'utf8')).not.toMatch(/Error .*link_remap/);
  expect(server.linkRemaps()).toEqual([]);
  for (const count of [2, 3, 4])
    expect(await server.ask()).toMatchObject({ private: count, shared: count, in_time: true });
  await server.end();
  for (let round = 0; round < 2; round++) {
    const restored = await cli(['restore', machine.imagesDir, '--detach']);
    expect(restored.exitCode, restored.stderr).toBe(0);
    expect(isAlive(server.pid)).toBe(true);
    for (const count of [2, 3])
      expect(await server.ask()).toMatchObject({ private: count, shared: count, in_time: true });
    await server.end();
  }
});
