// SPDX-License-Identifier: MIT
/** Zeroes that the device finds before a dump copies anything, in the pool and in what is said about it. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint, type CheckpointResult } from '../../../lib/checkpoint/index.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { restore, type RestoredProcess } from '../../../lib/restore/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { ParallelMachine, snapshot } from '../../helpers/parallel.ts';

const MIB = 2 ** 20;
/** The interceptor allocates in units of 2 MiB: the last MiB of this one is never written. */
const ARGS = ['--alloc', '4M', '--alloc', '3M'];
const scan = { CRIU_CUDA_DEVICE_SCAN: 'on', CRIU_CUDA_CHUNK_MB: '1' };

let machine: ParallelMachine;
let workload: Workload;
let before: string;
const restored: RestoredProcess[] = [];
beforeEach(async () => {
  machine = new ParallelMachine();
  workload = await machine.startIntercepted({}, ARGS);
  before = await snapshot(workload);
});
afterEach(async () => {
  for (const one of restored.splice(0)) await one.kill(0);
  await machine.close();
});

const options = (env: Record<string, string>) => ({
  ...{ imagesDir: machine.imagesDir, criu: criuProgram() },
  env: { ...machine.env, ...env },
});
const dump = (env: Record<string, string>): Promise<CheckpointResult> =>
  checkpoint({ ...options(env), pid: workload.pid });
const bytesOfStripes = (): number =>
  machine.stripes().reduce((sum, name) => sum + statSync(join(machine.imagesDir, name)).size, 0);

async function expectRestored(): Promise<void> {
  restored.push(await restore(options({})));
  expect(await snapshot(workload)).toBe(before);
}

it.each(['helper', 'daemon'] as const)('the %s leaves them out', async (by) => {
  if (by === 'daemon') await machine.startPool(scan);
  const { memory } = await dump(by === 'daemon' ? { CRIU_CUDA_CHUNK_MB: '1' } : scan);
  expect(memory).toMatchObject([{ pool: { by, bytes: 8 * MIB, zeroBytes: MIB, scanError: undefined } }]);
  expect(bytesOfStripes()).toBe(7 * MIB);
  await expectRestored();
});

it('without it the image is the same', async () => {
  const { memory } = await dump({ ...scan, CRIU_CUDA_DEVICE_SCAN: 'off' });
  expect(memory).toMatchObject([{ pool: { zeroBytes: undefined, scanError: undefined } }]);
  expect(bytesOfStripes()).toBe(7 * MIB);
  await expectRestored();
});

it.each([
  ['cuModuleLoadData:1:209', 'device 0: cuModuleLoadData: CUDA_ERROR_NO_BINARY_FOR_GPU'],
  ['cuStreamSynchronize:1:719', 'device 0: cuStreamSynchronize: CUDA_ERROR_LAUNCH_FAILED'],
])('a device that cannot look (%s) costs nothing but time', async (fail, scanError) => {
  const { memory, warnings } = await dump({ ...scan, SOFTCUDA_FAIL: fail });
  expect(memory).toMatchObject([{ pool: { zeroBytes: 0, scanError } }]);
  expect(warnings.filter((one) => /zero|cuda/i.test(one))).toEqual([]);
  expect(bytesOfStripes()).toBe(7 * MIB);
  await expectRestored();
});

it('the program has its memory when the pool is killed while it looks', async () => {
  await expect(dump({ ...scan, SOFTCUDA_FAIL: 'cuLaunchKernel:1:kill' })).rejects.toThrow();
  expect(isAlive(workload.pid)).toBe(true);
  expect(await snapshot(workload)).toBe(before);
  expect(machine.ownFiles()).toEqual([]);
});
