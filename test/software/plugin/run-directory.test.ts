// SPDX-License-Identifier: MIT
/**
 * The plugin writes the outcome of a run to the run directory. If it cannot, it says so before it changes anything,
 * and the command fails: nothing is worse than an outcome that nobody knows.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { execResult } from '../../../lib/exec.ts';
import { restore } from '../../../lib/restore/index.ts';
import { pluginVariants, variantDir } from '../../../lib/variant.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(async () => {
  machine = new Machine();
  mkdirSync(machine.runDir);
  // The smallest tmpfs: one page.
  await mount(['-t', 'tmpfs', '-o', 'size=4k,mode=0700', 'none', machine.runDir]);
});
afterEach(async () => {
  await execResult('umount', ['-l', machine.runDir]);
  await machine.close();
});

async function mount(args: string[]): Promise<void> {
  const { exitCode, stderr } = await execResult('mount', args);
  expect(exitCode, stderr).toBe(0);
}

const reason = /cannot create a status file in .*run: No space left on device; free space there/;

it.each(pluginVariants)('%s: a full run directory fails a dump and a restore', async (variant) => {
  const workload = await machine.start();
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  const { imagesDir, env } = machine;
  const options = { imagesDir, env, libdir: variantDir(variant), criu: criuProgram() };
  await expect(checkpoint({ ...options, pid: workload.pid })).rejects.toThrow(reason);
  expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');

  await mount(['-o', 'remount,size=1m', machine.runDir]);
  await checkpoint({ ...options, pid: workload.pid });
  rmSync(join(machine.runDir, 'history'), { recursive: true });
  await mount(['-o', 'remount,size=4k', machine.runDir]);
  await expect(restore(options)).rejects.toThrow(reason);
  await mount(['-o', 'remount,size=1m', machine.runDir]);
  await restore(options);
  expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
});
